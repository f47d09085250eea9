//! The embedded broker at each of its failpoints: its process dies there, or its file refuses there.

#![allow(
    clippy::unwrap_used,
    reason = "in a test's own tools too, a failure is the test's"
)]

mod embedded_support;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use backstitch_broker::embedded::Point;
use embedded_support::asks::STORAGE_ERROR;
use embedded_support::diary::{Diary, Ended, seen};
use embedded_support::process::Process;
use embedded_support::wire::Wire;
use embedded_support::{PATIENCE, SPILL, copy_files, start, until};

/// Rounds of requests within which a point must be reached.
const ROUNDS_MAX: usize = 60;
/// The signal of a process that ended itself.
const SIGABRT: i32 = 6;
/// What a client sees of damage.
const CORRUPT_MESSAGE: i16 = 2;
const FAILURES: [&str; 4] = ["full", "ioerr", "corrupt", "readonly"];
/// Runs beside each other. They wait for the disk more than they work.
const RUNS_AT_ONCE: usize = 6;
/// What has a broker keep all records in its SQLite file.
const INLINE: [&str; 2] = ["--inline-bytes", "1000000000"];
const CLEAN: [&str; 2] = ["--clean-every", "1"];
const KEEP: [&str; 2] = ["--clean-every", "3600000"];
const FORGET: [&str; 4] = ["--clean-every", "1", "--forget-after", "400"];

/// How a broker is brought to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Start,
    /// Every commit passes it.
    Commit,
    /// Some request of a round, or what the broker does of itself meanwhile.
    Round,
    /// Megabytes are written.
    Load,
    /// Megabytes are deleted, and then nothing happens.
    Silence,
    /// Something has rested.
    Rest,
    /// More is read than is looked at before the answer is begun.
    Answer,
    Stop,
}

fn way(point: Point) -> Way {
    match point {
        Point::LaidOut | Point::Rebuilding => Way::Start,
        Point::Beginning
        | Point::Changed
        | Point::Committing
        | Point::Landed
        | Point::Published
        | Point::Answered => Way::Commit,
        Point::Reading
        | Point::Replayed
        | Point::Indexed
        | Point::Appended
        | Point::WindowSaved
        | Point::SegmentMade
        | Point::SegmentWritten
        | Point::SegmentSynced
        | Point::SegmentFreed
        | Point::BatchMoved
        | Point::ProducerIdTaken
        | Point::TopicNamed
        | Point::PartitionAdded
        | Point::SettingsCleared
        | Point::PartitionEmptied
        | Point::RecordsDeleted
        | Point::OffsetKept
        | Point::TxnBegun
        | Point::MarkerWritten
        | Point::OffsetsMoved
        | Point::TxnFenced
        | Point::BatchReplaced
        | Point::BatchRemoved
        | Point::Swapped
        | Point::ColdRead => Way::Round,
        Point::LentRead => Way::Answer,
        Point::LogCopiedBeside => Way::Load,
        Point::PagesGivenBack | Point::LogCopied | Point::LogCut => Way::Silence,
        Point::OffsetsForgotten | Point::ProducerForgotten | Point::TxnForgotten => Way::Rest,
        Point::Stopping | Point::Stopped => Way::Stop,
    }
}

/// Where a broker of that run keeps its records: the points of segments need some, the others have some in half of the runs.
fn keeping(point: Point, number: u64) -> &'static [&'static str] {
    let needs = [
        Point::SegmentMade,
        Point::SegmentWritten,
        Point::SegmentSynced,
        Point::SegmentFreed,
        Point::BatchMoved,
        Point::LentRead,
    ];
    if needs.contains(&point) {
        return &SPILL;
    }
    // What they are about is the SQLite file and its log.
    if matches!(way(point), Way::Load | Way::Silence) {
        return &INLINE;
    }
    if number.is_multiple_of(2) {
        &SPILL
    } else {
        &[]
    }
}

/// At which times of passing a point something happens there.
fn times(point: Point) -> Vec<u64> {
    let all = std::env::var("BACKSTITCH_FAILPOINT_TIMES").ok();
    let all = all.and_then(|all| all.parse().ok());
    match (way(point), all) {
        (Way::Start | Way::Load | Way::Silence | Way::Rest | Way::Stop, _) => vec![1],
        (Way::Round | Way::Commit | Way::Answer, Some(all)) => (1..=all).collect(),
        (Way::Round | Way::Answer, None) => vec![1, 2],
        // A round has about twenty commits, of which each is of another kind.
        (Way::Commit, None) => vec![1, 4, 9, 14],
    }
}

fn arguments(way: Way) -> Vec<&'static str> {
    match way {
        Way::Rest => FORGET.to_vec(),
        Way::Load => KEEP.to_vec(),
        Way::Answer => [&KEEP[..], &["--tail-bytes", "0"]].concat(),
        Way::Start | Way::Commit | Way::Round | Way::Silence | Way::Stop => CLEAN.to_vec(),
    }
}

/// Does the work for each item, some at once.
fn each<T: Send + std::fmt::Debug>(items: Vec<T>, work: impl Fn(T) + Sync) {
    let queue = Mutex::new(items);
    thread::scope(|scope| {
        for _ in 0..RUNS_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(item) = queue.lock().unwrap().pop() else {
                        return;
                    };
                    work(item);
                }
            });
        }
    });
}

#[test]
fn killed_at_each_point_it_keeps_what_it_acknowledged_and_what_it_did_not_is_there_once_or_not_at_all()
 {
    let points = Point::ALL.iter().filter(|&&point| way(point) != Way::Start);
    let runs = points.flat_map(|&point| times(point).into_iter().map(move |nth| (point, nth)));
    each(runs.collect(), |(point, nth)| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let (mut diary, status) = die(&file, point, nth);
        assert_eq!(
            status.signal(),
            Some(SIGABRT),
            "{point:?} {nth} is never reached"
        );
        let process = Process::start_with(&file, 0, &CLEAN);
        let mut wire = Wire::connect(&process.bootstrap);
        diary.check(&mut wire);
        assert_eq!(
            diary.again(&mut wire).unwrap(),
            Ended::Done,
            "{point:?} {nth}"
        );
        assert_eq!(
            diary.round(&mut wire).unwrap(),
            Ended::Done,
            "{point:?} {nth}"
        );
        diary.check(&mut wire);
    });
}

/// Lets a broker die at a point.
fn die(file: &Path, point: Point, nth: u64) -> (Diary, ExitStatus) {
    if matches!(point, Point::Reading | Point::Replayed) {
        let arguments = [&CLEAN[..], keeping(point, nth)].concat();
        let mut process = Process::start_with(file, 0, &arguments);
        let diary = written(&mut process, Way::Round);
        drop(process);
        let dying = ["--failpoint", &format!("{point:?} 1 die")];
        let status = Process::try_start(file, 0, &dying).err().unwrap();
        return (diary, status);
    }
    let way = way(point);
    let arguments = [&arguments(way)[..], keeping(point, nth)].concat();
    let mut process = Process::start_with(file, 0, &arguments);
    let mut diary = written(&mut process, way);
    let mut wire = Wire::connect(&process.bootstrap);
    process.say(&format!("arm {point:?} {nth} die"));
    let ended = if way == Way::Stop {
        Ok(Ended::Done)
    } else {
        drive(&mut diary, &mut wire, way)
    };
    match (way, ended) {
        (Way::Stop, _) => return (diary, process.stop()),
        (Way::Load | Way::Silence, Ok(_)) => wire.wait_for_the_end(),
        (_, Ok(ended)) => panic!("{point:?} {nth} is never reached: {ended:?}"),
        (_, Err(_)) => {}
    }
    (diary, process.child.wait().unwrap())
}

/// A diary of a round, as it was without any fault.
fn written(process: &mut Process, way: Way) -> Diary {
    let mut wire = Wire::connect(&process.bootstrap);
    let mut diary = Diary::open(&mut wire);
    diary.leaves = true;
    assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
    diary.forgets = way == Way::Rest;
    diary
}

/// Makes requests until the broker dies or refuses, or for so many rounds.
fn drive(diary: &mut Diary, wire: &mut Wire, way: Way) -> io::Result<Ended> {
    drive_for(diary, wire, way, ROUNDS_MAX)
}

fn drive_for(diary: &mut Diary, wire: &mut Wire, way: Way, rounds: usize) -> io::Result<Ended> {
    if matches!(way, Way::Load | Way::Silence) {
        return diary.bulk(wire);
    }
    for _ in 0..rounds {
        if way == Way::Answer {
            diary.long(wire)?;
        }
        if let refused @ Ended::Refused(_) = diary.round(wire)? {
            return Ok(refused);
        }
        // What was read last is in memory, what is older in the file.
        wire.fetch("orders", 0, 0, 0)?;
        if way == Way::Answer {
            wire.fetch("bulk", 0, 0, 0)?;
        }
    }
    Ok(Ended::Done)
}

#[test]
fn where_its_file_refuses_the_client_is_told_memory_is_as_the_file_and_service_goes_on_when_it_answers()
 {
    let points = Point::ALL.iter().filter(|&&point| refuses_requests(point));
    let runs = points.zip(FAILURES.into_iter().cycle()).zip(0..);
    each(runs.collect(), |((&point, failure), number)| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        // Without a cleaner, what is armed concerns requests only.
        let arguments = [&KEEP[..], &["--tail-bytes", "0"], keeping(point, number)].concat();
        let mut process = Process::start_with(&file, 0, &arguments);
        let mut wire = Wire::connect(&process.bootstrap);
        let mut diary = Diary::open(&mut wire);
        assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
        process.say(&format!("arm {point:?} 1 {failure}"));
        let refused = drive(&mut diary, &mut wire, Way::Round).unwrap();
        assert_eq!(
            refused,
            Ended::Refused(STORAGE_ERROR),
            "{point:?} {failure}"
        );
        assert_same_as_file(&mut wire, folder.path(), &format!("{point:?} {failure}"));
        diary.check(&mut wire);
        // Nothing is tried before somebody asks for it.
        let tried = process.say("count");
        wire.wait_in_vain("orders").unwrap();
        assert_eq!(process.say("count"), tried, "{point:?} {failure}");
        let again = diary.again(&mut wire).unwrap();
        // What had landed is found when it is asked for once more.
        assert!(
            again == refused || matches!(point, Point::Landed | Point::SegmentSynced),
            "{point:?} {failure}: {again:?}"
        );
        process.say("disarm");
        assert_eq!(
            diary.again(&mut wire).unwrap(),
            Ended::Done,
            "{point:?} {failure}"
        );
        goes_on(
            &mut diary,
            &mut wire,
            folder.path(),
            &format!("{point:?} {failure}"),
        );
    });
}

/// Whether a refusal at that point refuses a request.
fn refuses_requests(point: Point) -> bool {
    let others = [
        // It is passed when something was refused; what is read by others is not in a request's way.
        Point::Reading,
        Point::Replayed,
        Point::ColdRead,
        // Nothing fails there.
        Point::Published,
        Point::Answered,
        // The cleaner's, and that of the clock of transactions.
        Point::BatchReplaced,
        Point::BatchRemoved,
        Point::Swapped,
        Point::BatchMoved,
        Point::SegmentFreed,
        Point::TxnFenced,
    ];
    !others.contains(&point) && matches!(way(point), Way::Round | Way::Commit)
}

/// Another round is taken, all that was acknowledged is there, and memory is as the file.
fn goes_on(diary: &mut Diary, wire: &mut Wire, folder: &Path, when: &str) {
    assert_eq!(diary.round(wire).unwrap(), Ended::Done, "{when}");
    diary.check(wire);
    assert_same_as_file(wire, folder, when);
}

/// What clients see of a broker is what a broker that starts with a copy of its file shows: as soon as both have given up the
/// same transactions, which a refusal puts off for a second.
fn assert_same_as_file(wire: &mut Wire, folder: &Path, when: &str) {
    let copy = tempfile::tempdir().unwrap();
    copy_files(folder, copy.path());
    let broker = start(copy.path());
    let mut other = Wire::connect(&broker.bootstrap_servers());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (of_broker, of_copy) = (seen(wire), seen(&mut other));
        if of_broker == of_copy {
            return;
        }
        // Either of them may be compacting, which the other does too.
        if Instant::now() > deadline {
            assert_eq!(of_broker, of_copy, "{when}");
        }
    }
}

#[test]
fn what_the_broker_does_of_itself_where_its_file_refuses_is_tried_again_later_and_requests_are_served()
 {
    let points = Point::ALL
        .iter()
        .filter(|&&point| refuses_the_cleaner(point));
    let runs = points.zip(FAILURES.into_iter().cycle()).zip(0..);
    each(runs.collect(), |((&point, failure), number)| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let way = way(point);
        let arguments = [&arguments(way)[..], keeping(point, number)].concat();
        let mut process = Process::start_with(&file, 0, &arguments);
        let mut diary = written(&mut process, way);
        let mut wire = Wire::connect(&process.bootstrap);
        process.say(&format!("arm {point:?} 1 {failure}"));
        let serve =
            |diary: &mut Diary, wire: &mut Wire| match drive_for(diary, wire, way, 3).unwrap() {
                // A commit that the cleaner shares is refused to all who share it.
                Ended::Refused(STORAGE_ERROR) => diary.again(wire).unwrap(),
                ended @ (Ended::Done | Ended::Refused(_)) => ended,
            };
        assert_eq!(
            serve(&mut diary, &mut wire),
            Ended::Done,
            "{point:?} {failure}"
        );
        while way == Way::Rest && process.say("count") == "0" {
            assert_eq!(
                serve(&mut diary, &mut wire),
                Ended::Done,
                "{point:?} {failure}"
            );
        }
        assert_eq!(process.say("await 1"), "reached", "{point:?} {failure}");
        let tried: u64 = process.say("count").parse().unwrap();
        assert!(tried <= 2, "{point:?} {failure} was tried {tried} times");
        goes_on(
            &mut diary,
            &mut wire,
            folder.path(),
            &format!("{point:?} {failure}"),
        );
    });
}

/// Whether a refusal at that point is one of the cleaner's.
fn refuses_the_cleaner(point: Point) -> bool {
    let cleaning = [
        Point::BatchReplaced,
        Point::BatchRemoved,
        Point::Swapped,
        Point::BatchMoved,
    ];
    cleaning.contains(&point) || matches!(way(point), Way::Load | Way::Silence | Way::Rest)
}

#[test]
fn a_transaction_out_of_time_that_the_file_will_not_give_up_is_given_up_later_and_nothing_spins() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&folder.path().join("broker.db"), 0);
    let mut wire = Wire::connect(&process.bootstrap);
    let mut diary = Diary::open(&mut wire);
    diary.leaves = true;
    process.say("arm TxnFenced 1 full");
    let ended = diary.round(&mut wire).unwrap();
    assert!(matches!(ended, Ended::Done | Ended::Refused(STORAGE_ERROR)));
    assert_eq!(process.say("await 1"), "reached");
    wire.wait_in_vain("orders").unwrap();
    let tried: u64 = process.say("count").parse().unwrap();
    assert!(tried <= 2, "it was tried {tried} times");
    process.say("disarm");
    until("the transaction to be given up", || {
        wire.wait_in_vain("orders").unwrap();
        let end = wire.bounds("left", 0).unwrap().unwrap().1;
        let found = wire.fetch("left", 0, end, 1).unwrap();
        (found.last_stable_offset == end).then_some(())
    });
}

#[test]
fn a_commit_in_doubt_is_found_when_the_file_answers_again_and_until_then_nothing_is_tried_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&folder.path().join("broker.db"), 0);
    let mut wire = Wire::connect(&process.bootstrap);
    let mut diary = Diary::open(&mut wire);
    assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
    process.say("arm Landed 1 ioerr");
    process.say("arm Reading 1 ioerr");
    for _ in 0..3 {
        let ended = diary.again(&mut wire).unwrap();
        let ended = if ended == Ended::Done {
            diary.round(&mut wire).unwrap()
        } else {
            ended
        };
        assert_eq!(ended, Ended::Refused(STORAGE_ERROR));
        diary.check(&mut wire);
    }
    assert_eq!(process.say("count"), "1", "one commit was tried");
    process.say("disarm");
    assert_eq!(diary.again(&mut wire).unwrap(), Ended::Done);
    diary.check(&mut wire);
    assert_same_as_file(&mut wire, folder.path(), "afterwards");
}

#[test]
fn a_read_that_the_file_refuses_is_an_error_of_that_partition_and_damage_is_told_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--clean-every", "3600000", "--tail-bytes", "0"];
    let mut process = Process::start_with(&folder.path().join("broker.db"), 0, &arguments);
    let mut wire = Wire::connect(&process.bootstrap);
    let mut diary = Diary::open(&mut wire);
    for _ in 0..3 {
        assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
    }
    for (failure, code) in [("ioerr", STORAGE_ERROR), ("corrupt", CORRUPT_MESSAGE)] {
        process.say(&format!("arm ColdRead 1 {failure}"));
        assert_eq!(wire.fetch("orders", 0, 0, 0).unwrap().error_code, code);
        assert_eq!(wire.committed("readers", "orders").unwrap(), Err(code));
        assert_eq!(process.say("count"), "2", "each is tried once");
        // What is in memory is read, and what is new is taken.
        let newest = wire.bounds("orders", 0).unwrap().unwrap().1 - 1;
        assert_eq!(wire.fetch("orders", 0, newest, 0).unwrap().error_code, 0);
        assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
        process.say("disarm");
        assert_eq!(wire.fetch("orders", 0, 0, 0).unwrap().error_code, 0);
        diary.check(&mut wire);
    }
}

#[test]
fn a_read_that_is_refused_when_its_answer_is_on_its_way_ends_the_connection_and_the_next_one_is_served()
 {
    each(FAILURES.to_vec(), |failure| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [&arguments(Way::Answer)[..], &SPILL].concat();
        let mut process = Process::start_with(&folder.path().join("broker.db"), 0, &arguments);
        let mut wire = Wire::connect(&process.bootstrap);
        let mut diary = Diary::open(&mut wire);
        process.say(&format!("arm LentRead 1 {failure}"));
        let ended = drive(&mut diary, &mut wire, Way::Answer);
        assert!(ended.is_err(), "{failure}: {ended:?}");
        let mut wire = Wire::connect(&process.bootstrap);
        // What could not be read is read before the answer is begun, as it can be; all others refuse still.
        assert!(wire.fetch("bulk", 0, 0, 0).is_err());
        process.say("disarm");
        let mut wire = Wire::connect(&process.bootstrap);
        assert_eq!(wire.fetch("bulk", 0, 0, 0).unwrap().error_code, 0);
        diary.check(&mut wire);
        goes_on(&mut diary, &mut wire, folder.path(), failure);
    });
}

#[test]
fn killed_while_it_starts_it_starts_the_next_time_with_all_that_was_there() {
    each(vec![0, 1, 2], |age| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let mut diary = (age > 0).then(|| {
            let arguments = [&CLEAN[..], &INLINE].concat();
            let mut process = Process::start_with(&file, 0, &arguments);
            let diary = written(&mut process, Way::Start);
            assert!(process.stop().success());
            age_file(&file);
            diary
        });
        let dying = ["LaidOut 1 die", "LaidOut 1 die", "Rebuilding 1 die"][age];
        let status = Process::try_start(&file, 0, &["--failpoint", dying]).err();
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(SIGABRT), "{dying} is never reached");
        let process = Process::start_with(&file, 0, &CLEAN);
        let mut wire = Wire::connect(&process.bootstrap);
        let diary = diary.get_or_insert_with(|| Diary::open(&mut wire));
        diary.check(&mut wire);
        assert_eq!(diary.round(&mut wire).unwrap(), Ended::Done);
        diary.check(&mut wire);
    });
}

/// Makes of a file what the first version would have made: without what later layouts added, and unable to shrink.
fn age_file(file: &Path) {
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute_batch(
        "drop trigger batch_gone; drop trigger batch_moved; drop table segment; alter table batch drop column segment;
         alter table batch drop column position; alter table batch drop column length;
         alter table partition drop column compacted; drop table horizon;
         alter table group_offset drop column committed_ms; alter table txn drop column touched_ms;
         pragma user_version = 1; pragma journal_mode = delete; pragma auto_vacuum = none; vacuum",
    )
    .unwrap();
}
