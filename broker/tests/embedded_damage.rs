//! The embedded broker on a disk that is full, that lies, or that may not be written to.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test's own tools too, a failure is the test's, and what is skipped is told"
)]

mod embedded_support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig, EmbeddedError};
use embedded_support::asks::{STORAGE_ERROR, delete_before, delete_topic};
use embedded_support::process::{Process, example};
use embedded_support::wire::{Wire, batch};
use embedded_support::{
    RECORDS, copy_files, create_topic, inline, segments, spill, start, start_with, until,
};

/// Bytes of a write-ahead log before its first frame.
const LOG_HEADER: usize = 32;
/// Bytes of a frame before its page.
const FRAME_HEADER: usize = 24;
const PAGE: usize = 4_096;
const FRAME: usize = FRAME_HEADER + PAGE;
/// A user without rights.
const NOBODY: u32 = 65_534;
/// What a client sees of damage.
const CORRUPT_MESSAGE: i16 = 2;

/// Sends a record as a batch of its own. Returns the error code and the offset.
fn put(wire: &mut Wire, topic: &str, value: &str) -> (i16, i64) {
    let record = batch((-1, -1), -1, false, &[(None, Some(value))]);
    wire.produce(topic, 0, None, record).unwrap()
}

fn values(wire: &mut Wire, topic: &str) -> Vec<String> {
    let records = wire.read_all(topic, 0, 0).unwrap().unwrap();
    records
        .into_iter()
        .map(|(_, _, value)| value.unwrap())
        .collect()
}

/// A copy of a broker's files, as a kill leaves them.
fn copied(from: &Path) -> (tempfile::TempDir, PathBuf) {
    let copy = tempfile::tempdir().unwrap();
    copy_files(from, copy.path());
    let file = copy.path().join("broker.db");
    (copy, file)
}

/// What is wrong with the end of a log.
#[derive(Debug, Clone, Copy)]
enum Torn {
    /// It ends so many bytes before its end.
    Short(usize),
    /// A byte so far before its end has changed.
    Changed(usize),
}

#[test]
fn a_log_that_is_torn_in_its_last_commit_loses_that_one_and_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), inline);
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let mut wire = Wire::connect(&bootstrap);
    let log = folder.path().join("broker.db-wal");
    let length = || usize::try_from(fs::metadata(&log).unwrap().len()).unwrap();
    let long = "x".repeat(9_000);
    let mut sent = Vec::new();
    let mut before_last = 0;
    for number in 0..5 {
        before_last = length();
        let value = format!("{number}{long}");
        assert_eq!(put(&mut wire, "orders", &value), (0, number));
        sent.push(value);
    }
    let last = length() - before_last;
    assert!(
        last >= 3 * FRAME && last % FRAME == 0,
        "{last} bytes are some frames"
    );
    assert_eq!((before_last - LOG_HEADER) % FRAME, 0);
    let ends = [
        1,
        PAGE / 2,
        PAGE,
        PAGE + 8,
        FRAME,
        FRAME + 1,
        last - FRAME,
        last - 1,
        last,
    ];
    let changes = [
        1,
        PAGE,
        PAGE + 1,
        FRAME,
        FRAME + PAGE,
        last - FRAME,
        last - 1,
    ];
    let torn = ends
        .map(Torn::Short)
        .into_iter()
        .chain(changes.map(Torn::Changed));
    for torn in torn {
        let (copy, _) = copied(folder.path());
        let path = copy.path().join("broker.db-wal");
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        match torn {
            Torn::Short(by) => bytes.truncate(end - by),
            Torn::Changed(before) => bytes[end - before] ^= 0x40,
        }
        fs::write(&path, bytes).unwrap();
        let broker = start(copy.path());
        let mut wire = Wire::connect(&broker.bootstrap_servers());
        assert_eq!(values(&mut wire, "orders"), sent[..4], "{torn:?}");
        assert_eq!(put(&mut wire, "orders", "next"), (0, 4), "{torn:?}");
    }
    let (copy, _) = copied(folder.path());
    let whole = start(copy.path());
    assert_eq!(
        values(&mut Wire::connect(&whole.bootstrap_servers()), "orders"),
        sent
    );
}

/// A disk that lost what it said it had: what is left is the beginning of what was acknowledged, without a gap.
#[test]
fn a_log_that_is_torn_anywhere_leaves_the_beginning_of_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), inline);
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    let mut wire = Wire::connect(&bootstrap);
    let log = folder.path().join("broker.db-wal");
    let frames = |bytes: u64| usize::try_from(bytes).unwrap() / FRAME;
    let first = frames(fs::metadata(&log).unwrap().len());
    let sent: Vec<String> = (0..30).map(|number| format!("{number:04}")).collect();
    for value in &sent {
        assert_eq!(put(&mut wire, "orders", value).0, 0);
    }
    let whole = fs::read(&log).unwrap();
    let frames = frames(whole.len() as u64);
    let mut left_before = 0;
    for frame in (first..frames).step_by(5) {
        let (copy, _) = copied(folder.path());
        let mut bytes = whole.clone();
        bytes[LOG_HEADER + frame * FRAME + FRAME_HEADER + 100] ^= 1;
        fs::write(copy.path().join("broker.db-wal"), bytes).unwrap();
        let broker = start(copy.path());
        let mut wire = Wire::connect(&broker.bootstrap_servers());
        let left = values(&mut wire, "orders");
        assert_eq!(left, sent[..left.len()], "frame {frame} of {frames}");
        assert!(left.len() >= left_before && left.len() < sent.len());
        left_before = left.len();
        let next = i64::try_from(left.len()).unwrap();
        assert_eq!(put(&mut wire, "orders", "next"), (0, next));
    }
    assert!(left_before > 20, "only {left_before} were ever left");
}

/// A file at rest, whose partition holds `count` records of 9,000 bytes each.
fn at_rest(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), inline);
    let bootstrap = broker.bootstrap_servers();
    create_topic(&bootstrap, "orders", 1);
    create_topic(&bootstrap, "others", 1);
    let mut wire = Wire::connect(&bootstrap);
    let long = "x".repeat(9_000);
    for number in 0..count {
        assert_eq!(put(&mut wire, "orders", &format!("{number:04}{long}")).0, 0);
    }
    assert_eq!(put(&mut wire, "others", "sound").0, 0);
    drop(wire);
    broker.stop();
    // All of it is in the file, and nothing in the log, whoever was the last to close it.
    let db = rusqlite::Connection::open(folder.path().join("broker.db")).unwrap();
    let busy = db.query_row("pragma wal_checkpoint(truncate)", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(busy, Ok(0));
    folder
}

fn try_start(file: &Path) -> Result<EmbeddedBroker, EmbeddedError> {
    EmbeddedBroker::start(EmbeddedConfig {
        path: file.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        ..EmbeddedConfig::default()
    })
}

#[test]
fn a_damaged_record_is_told_to_its_readers_and_those_before_and_behind_it_are_read() {
    let folder = at_rest(5);
    let file = folder.path().join("broker.db");
    let mut bytes = fs::read(&file).unwrap();
    // What was moved from page to page may have left a copy behind.
    let found = |at: &usize| bytes[*at..].starts_with(b"0002x");
    let places: Vec<usize> = (0..bytes.len()).filter(found).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at + 10] ^= 1);
    fs::write(&file, bytes).unwrap();
    let broker = try_start(&file).unwrap();
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let before = wire.fetch("orders", 0, 0, 0).unwrap();
    assert_eq!(
        (before.error_code, before.records.unwrap().len() / 9_000),
        (0, 2)
    );
    assert_eq!(
        wire.fetch("orders", 0, 2, 0).unwrap().error_code,
        CORRUPT_MESSAGE
    );
    let behind = wire.fetch("orders", 0, 3, 0).unwrap();
    assert_eq!(
        (behind.error_code, behind.records.unwrap().len() / 9_000),
        (0, 2)
    );
    assert_eq!(values(&mut wire, "others"), ["sound"]);
    assert_eq!(put(&mut wire, "orders", "next"), (0, 5));
}

/// The same where records are in segments: one of them has a changed byte, one is not there.
#[test]
fn a_damaged_or_missing_file_of_records_is_told_to_their_readers_and_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), spill);
    create_topic(&broker.bootstrap_servers(), "orders", 1);
    create_topic(&broker.bootstrap_servers(), "others", 1);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let long = "x".repeat(9_000);
    for number in 0..5 {
        assert_eq!(put(&mut wire, "orders", &format!("{number:04}{long}")).0, 0);
    }
    assert_eq!(put(&mut wire, "others", "sound").0, 0);
    drop(wire);
    broker.stop();
    let files = segments(folder.path());
    assert_eq!(files.len(), 6, "each commit is larger than a segment");
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes[200] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    fs::remove_file(&files[3]).unwrap();
    let broker = start_with(folder.path(), spill);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let mut found = |offset| {
        let fetched = wire.fetch("orders", 0, offset, 0).unwrap();
        let length = fetched.records.map_or(0, |records| records.len());
        (fetched.error_code, length / 9_000)
    };
    let expected = [
        (0, 1),
        (CORRUPT_MESSAGE, 0),
        (0, 1),
        (CORRUPT_MESSAGE, 0),
        (0, 1),
    ];
    assert_eq!([0, 1, 2, 3, 4].map(&mut found), expected);
    assert_eq!(values(&mut wire, "others"), ["sound"]);
    assert_eq!(put(&mut wire, "orders", "next"), (0, 5));
}

/// The same behind what is read before an answer is begun: that one is cut off, and whoever asks again is told.
#[test]
fn damage_that_is_found_when_the_answer_is_on_its_way_is_told_to_who_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let keep = |config: &mut EmbeddedConfig| {
        (config.inline_bytes_max, config.tail_bytes_max) = (0, 0);
    };
    let broker = start_with(folder.path(), keep);
    create_topic(&broker.bootstrap_servers(), "orders", 1);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let long = "x".repeat(9_000);
    for number in 0..20 {
        assert_eq!(put(&mut wire, "orders", &format!("{number:04}{long}")).0, 0);
    }
    drop(wire);
    broker.stop();
    let file = &segments(folder.path())[0];
    let mut bytes = fs::read(file).unwrap();
    let found = bytes.windows(5).position(|window| window == b"0015x");
    bytes[found.unwrap() + 100] ^= 1;
    fs::write(file, bytes).unwrap();
    let broker = start_with(folder.path(), keep);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let ended = wire.fetch("orders", 0, 0, 0).unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    let mut found = |offset| {
        let fetched = wire.fetch("orders", 0, offset, 0).unwrap();
        let length = fetched.records.map_or(0, |records| records.len());
        (fetched.error_code, length / 9_000)
    };
    let expected = [(0, 15), (0, 1), (CORRUPT_MESSAGE, 0), (0, 4), (0, 15)];
    assert_eq!([0, 14, 15, 16, 0].map(&mut found), expected);
}

#[test]
fn a_file_without_the_folder_of_its_records_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start_with(folder.path(), spill);
    create_topic(&broker.bootstrap_servers(), "orders", 1);
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    assert_eq!(put(&mut wire, "orders", "first"), (0, 0));
    drop(wire);
    broker.stop();
    let (records, moved) = (folder.path().join(RECORDS), folder.path().join("moved"));
    fs::rename(&records, &moved).unwrap();
    let file = folder.path().join("broker.db");
    let error = try_start(&file).unwrap_err().to_string();
    assert!(
        error.contains("broker.db-records, which is not there, or not whole: put it back"),
        "{error}"
    );
    fs::rename(&moved, &records).unwrap();
    let broker = try_start(&file).unwrap();
    let mut wire = Wire::connect(&broker.bootstrap_servers());
    assert_eq!(values(&mut wire, "orders"), ["first"]);
}

/// Each page of the file in turn is overwritten. Whatever page it is: the start is refused with the remedy, or what is
/// served is right, or the client is told. Nothing panics, and no record is given out that nobody wrote.
#[test]
fn whichever_page_is_damaged_the_broker_says_so_or_serves_what_was_written() {
    let folder = at_rest(3);
    let whole = fs::read(folder.path().join("broker.db")).unwrap();
    let (mut refused, mut told) = (0, 0);
    for page in 0..whole.len() / PAGE {
        for filling in [0x00, 0xff] {
            let copy = tempfile::tempdir().unwrap();
            let file = copy.path().join("broker.db");
            let mut bytes = whole.clone();
            bytes[page * PAGE..(page + 1) * PAGE].fill(filling);
            fs::write(&file, bytes).unwrap();
            let broker = match try_start(&file) {
                Ok(broker) => broker,
                Err(error) => {
                    let message = error.to_string();
                    assert!(
                        message.contains("is damaged") && message.contains(".recover"),
                        "page {page}: {message}"
                    );
                    refused += 1;
                    continue;
                }
            };
            let mut wire = Wire::connect(&broker.bootstrap_servers());
            for topic in wire.topics().unwrap().into_keys() {
                match wire.read_all(&topic, 0, 0).unwrap() {
                    Ok(records) => assert!(
                        records.iter().all(|(offset, _, value)| {
                            let value = value.as_deref().unwrap();
                            value == "sound" || value.starts_with(&format!("{offset:04}x"))
                        }),
                        "page {page}"
                    ),
                    Err(code) => {
                        assert_eq!(code, CORRUPT_MESSAGE, "page {page}");
                        told += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 2 && told > 2, "{refused} refused, {told} told");
}

#[test]
fn what_is_no_brokers_file_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    fs::write(
        &text,
        "These are not the pages of a database.\n".repeat(200),
    )
    .unwrap();
    let error = try_start(&text).unwrap_err().to_string();
    assert!(
        error.contains("text.db is damaged, or is no broker's file"),
        "{error}"
    );
    let dir = folder.path().join("dir.db");
    fs::create_dir(&dir).unwrap();
    let error = try_start(&dir).unwrap_err().to_string();
    assert!(
        error.contains("dir.db: check the folder, its rights"),
        "{error}"
    );
}

/// A broker in a mount of its own, on a disk of so many MiB; `None` where this machine lets nobody mount.
fn on_a_small_disk(folder: &Path, mib: usize) -> Option<Process> {
    let script = format!("mount -t tmpfs -o size={mib}m none \"$0\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(folder)
        .arg(example())
        .arg("--path")
        .arg(folder.join("broker.db"))
        .args(["--port", "0", "--clean-every", "20"]);
    Process::run(command).ok()
}

#[test]
fn on_a_full_disk_records_are_refused_and_read_and_what_is_deleted_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut process) = on_a_small_disk(folder.path(), 160) else {
        println!("skipped: unshare cannot mount here");
        return;
    };
    create_topic(&process.bootstrap, "orders", 1);
    create_topic(&process.bootstrap, "others", 1);
    let mut wire = Wire::connect(&process.bootstrap);
    assert_eq!(put(&mut wire, "others", "kept"), (0, 0));
    for (size, delete) in [
        (900_000, Delete::Half),
        (20_000, Delete::Half),
        (900_000, Delete::Topic),
    ] {
        let value = "x".repeat(size);
        let before = wire.bounds("orders", 0).unwrap().unwrap();
        let (end, tried) = until("the disk to stay full", || {
            let end = until_refused(&mut wire, &value);
            process.say("arm Beginning 1000000 full");
            let mut again = (0..20).map(|_| put(&mut wire, "orders", &value).0);
            let stays_full = again.all(|code| code == STORAGE_ERROR);
            let tried: u64 = process.say("count").parse().unwrap();
            process.say("disarm");
            // The log may have been cut off meanwhile.
            stays_full.then_some((end, tried))
        });
        assert!(end > before.1, "{size}: none was taken");
        // Whoever tries again and again costs little: nothing is tried before room was sought, at most once a second.
        assert!(tried <= 2, "{tried} commits were tried on a full disk");
        assert_eq!(wire.bounds("orders", 0).unwrap().unwrap().1, end);
        assert_eq!(wire.fetch("orders", 0, end - 1, 0).unwrap().error_code, 0);
        assert_eq!(wire.fetch("orders", 0, before.0, 0).unwrap().error_code, 0);
        match delete {
            Delete::Half => assert_eq!(
                delete_before(&mut wire, "orders", before.0 + (end - before.0) * 3 / 4).unwrap(),
                0
            ),
            Delete::Topic => {
                assert_eq!(delete_topic(&mut wire, "orders").unwrap(), 0);
                create_topic(&process.bootstrap, "orders", 1);
            }
        }
        for _ in 0..20 {
            put_when_there_is_room(&mut wire, "orders", &value);
        }
        assert_eq!(values(&mut wire, "others"), ["kept"]);
    }
    process.child.kill().unwrap();
}

/// A topic that goes leaves its part of each file of records dead: what lives moves out of them in the spare room.
#[test]
fn on_a_full_disk_the_end_of_a_topic_makes_room_though_others_share_its_files_of_records() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut process) = on_a_small_disk(folder.path(), 160) else {
        println!("skipped: unshare cannot mount here");
        return;
    };
    create_topic(&process.bootstrap, "orders", 1);
    create_topic(&process.bootstrap, "kept", 1);
    let mut wire = Wire::connect(&process.bootstrap);
    let value = |number: i64| format!("{number:06}{}", "x".repeat(500_000));
    let (mut kept, mut refused) = (0, 0);
    while refused < 3 {
        let before = refused;
        if put(&mut wire, "kept", &value(kept)).0 == 0 {
            kept += 1;
            refused = 0;
        }
        for _ in 0..2 {
            let (code, _) = put(&mut wire, "orders", &value(0));
            refused = if code == 0 { 0 } else { before + 1 };
        }
    }
    assert!(kept > 30, "{kept}");
    assert_eq!(delete_topic(&mut wire, "orders").unwrap(), 0);
    for number in kept..2 * kept {
        put_when_there_is_room(&mut wire, "kept", &value(number));
    }
    let found = values(&mut wire, "kept");
    assert_eq!(found.len(), usize::try_from(2 * kept).unwrap());
    assert!(
        (0..)
            .zip(&found)
            .all(|(number, found)| *found == value(number))
    );
    process.child.kill().unwrap();
}

#[derive(Debug, Clone, Copy)]
enum Delete {
    Half,
    Topic,
}

/// Sends a record again and again, as a client does that is refused.
fn put_when_there_is_room(wire: &mut Wire, topic: &str, value: &str) {
    until("room", || {
        if put(wire, topic, value).0 == 0 {
            return Some(());
        }
        wire.wait_in_vain(topic).unwrap();
        None
    });
}

/// Returns the end of the log at which the disk is full. Copied into the file, the log may make room once more or twice.
fn until_refused(wire: &mut Wire, value: &str) -> i64 {
    let (mut end, mut refused) = (0, 0);
    while refused < 3 {
        match put(wire, "orders", value) {
            (0, offset) => (end, refused) = (offset + 1, 0),
            (code, _) => {
                assert_eq!(code, STORAGE_ERROR);
                refused += 1;
            }
        }
    }
    end
}

/// Root may write to every file: then the broker is somebody else.
#[test]
fn a_file_or_a_folder_that_may_not_be_written_to_is_refused_with_its_name() {
    let folder = at_rest(1);
    let path = |name: &str| folder.path().join(name);
    let program = path("embedded");
    fs::copy(example(), &program).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let refusal = |listed: [(&str, u32); 3]| {
        listed
            .into_iter()
            .for_each(|(name, mode)| set(&path(name), mode));
        let mut command = Command::new(&program);
        command
            .arg("--path")
            .arg(path("broker.db"))
            .args(["--port", "0"]);
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let lock = refusal([("", 0o555), ("broker.db", 0o666), ("broker.db.lock", 0o444)]);
    assert!(
        lock.contains("Lock {") && lock.contains("broker.db.lock"),
        "{lock}"
    );
    let file = refusal([("", 0o777), ("broker.db", 0o444), ("broker.db.lock", 0o666)]);
    assert!(
        file.contains("Storage {") && file.contains("readonly"),
        "{file}"
    );
    let dir = refusal([("", 0o555), ("broker.db", 0o666), ("broker.db.lock", 0o666)]);
    assert!(
        dir.contains("Storage {") && dir.contains("broker.db"),
        "{dir}"
    );
    set(folder.path(), 0o755);
}
