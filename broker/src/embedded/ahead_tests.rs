//! What is acknowledged and not in the SQLite file yet: it is shown, and it is found again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::tests::sample;
use super::batch::{BatchHeader, placed};
use super::ledger::Ledger;
use super::partition::{Bounds, PartitionId, TailRead};
use super::segment_file::FRAME_BYTES;
use super::segment_tests::{World, lengths, load, world};
use super::sequence::Verdict;
use super::storage::{batch_row, open_beside, sync_never};
use super::topic_change::{NewTopic, create, delete};
use super::writer::{WriteQueue, run};

/// What a segment may have: many appends.
const LARGE: u64 = 1 << 20;

impl World {
    /// A commit of nothing but appends.
    fn append(&mut self, count: usize) -> Vec<Bytes> {
        self.ledger.begin_appends(1).unwrap();
        let put = (0..count).map(|_| self.put()).collect();
        self.ledger.commit().unwrap();
        put
    }

    /// Appends a batch of an idempotent producer, within an open commit.
    fn put_of(&mut self, producer_id: i64, sequence: i32) -> Bytes {
        let next = self.ledger.log(self.id).next;
        let bytes = placed(sample(producer_id, 0, sequence, &[1, 2]), next, None);
        let header = BatchHeader::read(&bytes);
        self.ledger.append(self.id, &header, bytes.clone()).unwrap();
        self.ledger
            .change_window(self.id, producer_id, 0, |window| {
                window.remember(0, sequence, sequence + 1, next)
            })
            .unwrap();
        bytes
    }

    /// What a reader of the newest records is given.
    fn tail(&mut self) -> Vec<Bytes> {
        tail_of(&mut self.ledger, self.id)
    }

    fn bounds(&mut self) -> Bounds {
        self.ledger.log(self.id).partition.bounds()
    }

    fn count(&self, query: &str) -> i64 {
        self.ledger
            .db
            .query_row(query, [], |row| row.get(0))
            .unwrap()
    }

    fn rows(&self) -> i64 {
        self.count("select count(*) from batch")
    }

    /// Tells the file what it lacks.
    fn index(&mut self) {
        self.ledger.begin(0).unwrap();
        self.ledger.commit().unwrap();
    }
}

fn tail_of(ledger: &mut Ledger, id: PartitionId) -> Vec<Bytes> {
    let partition = &ledger.log(id).partition;
    let bounds = partition.bounds();
    match partition.read_tail(partition.indexed_bounds().next, bounds.next, |_| true) {
        TailRead::Hot(batches, _) => batches,
        TailRead::Cold => panic!("what the file lacks is in memory"),
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn appends_are_shown_before_the_file_has_them_and_the_file_gets_them_before_anything_else() {
    let mut world = world(LARGE);
    let first = world.append(1);
    assert_eq!(world.rows(), 1, "the first commit of a segment names it");
    let more = [world.append(2), world.append(1)].concat();
    assert_eq!((world.rows(), world.bounds().next), (1, 12));
    assert_eq!(world.tail(), more);
    assert!(world.ledger.log(world.id).partition.is_ahead());
    let all = [first, more, world.commit(1)].concat();
    assert_eq!((world.rows(), world.bounds().next), (5, 15));
    assert!(!world.ledger.log(world.id).partition.is_ahead());
    assert_eq!(world.read().unwrap(), all);
    assert_eq!(world.live(), [(1, lengths(&all))]);
}

#[test]
fn what_the_file_lacks_is_found_by_the_next_start_and_by_the_one_after_it() {
    let mut world = world(LARGE);
    let first = world.append(1);
    let more = [world.append(2), world.append(3)].concat();
    for _ in 0..2 {
        world = world.restart();
        assert_eq!((world.rows(), world.bounds().next), (1, 18));
        assert_eq!(world.tail(), more);
    }
    let next = world.append(1);
    let all = [first, more, next].concat();
    assert_eq!(world.read().unwrap(), all, "the next commit tells the file");
    let live = world.live();
    assert_eq!(live[0], (1, lengths(&all[..6])));
    assert_eq!(live[1], (2, lengths(&all[6..])));
    let open = "select count(*) from segment where indexed < 9223372036854775807";
    assert_eq!(world.count(open), 1, "the first gets no more");
    world = world.restart();
    assert_eq!((world.rows(), world.bounds().next), (7, 21));
}

#[test]
fn what_a_start_has_found_is_told_to_the_file_though_nobody_writes() {
    let mut world = world(LARGE);
    world.append(1);
    world.append(2);
    let World { folder, ledger, .. } = world.restart();
    let queue = Arc::<WriteQueue>::default();
    let serving = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || run(&queue, ledger))
    };
    let beside = open_beside(&folder.path().join("broker.db")).unwrap();
    let rows = || -> i64 {
        let count = "select count(*) from batch";
        beside.query_row(count, [], |row| row.get(0)).unwrap()
    };
    let begun = Instant::now();
    while rows() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of 3", rows());
        thread::yield_now();
    }
    queue.close();
    serving.join().unwrap();
}

/// Where the file system can set room aside, as ext4, xfs, btrfs and tmpfs can.
#[cfg(target_os = "linux")]
#[test]
fn room_is_set_aside_for_the_segment_that_is_written_and_given_back_when_it_is_not_any_more() {
    use std::os::unix::fs::MetadataExt;
    let taken = |world: &World, id| {
        let path = world.ledger.appender.segments.path(id);
        let about = fs::metadata(path).unwrap();
        assert!(about.len() < 4_096, "it is as long as what was written");
        about.blocks() * 512
    };
    let mut world = world(LARGE);
    world.append(1);
    if taken(&world, 1) < LARGE {
        println!("skipped: this file system sets no room aside");
        return;
    }
    // As after kill -9.
    world = world.restart();
    assert!(taken(&world, 1) < LARGE / 2);
    world.append(1);
    assert!(taken(&world, 2) >= LARGE);
    world.ledger.reload().unwrap();
    assert!(taken(&world, 2) < LARGE / 2, "after a refusal");
    world.append(1);
    assert!(world.ledger.appender.finish());
    assert!(taken(&world, 2) < LARGE / 2);
}

#[test]
fn what_a_producer_wrote_is_known_before_the_file_knows_it_and_after_the_next_start() {
    let mut world = world(LARGE);
    world.append(1);
    world.ledger.begin_appends(1).unwrap();
    world.put_of(7, 0);
    world.put_of(7, 2);
    world.ledger.commit().unwrap();
    let judge = |world: &mut World, first| {
        let window = world.ledger.window(world.id, 7).unwrap().unwrap();
        window.judge(0, first, first + 1)
    };
    for _ in 0..2 {
        assert_eq!(world.count("select count(*) from producer"), 0);
        assert_eq!(judge(&mut world, 0), Verdict::Duplicate(3));
        assert_eq!(judge(&mut world, 2), Verdict::Duplicate(5));
        assert_eq!(judge(&mut world, 4), Verdict::Append);
        assert_eq!(judge(&mut world, 6), Verdict::OutOfOrder);
        world = world.restart();
    }
    world.index();
    assert_eq!(world.count("select count(*) from producer"), 1);
    world = world.restart();
    assert_eq!(judge(&mut world, 2), Verdict::Duplicate(5));
}

#[test]
fn the_file_is_told_when_it_lacks_many() {
    let mut world = world(LARGE);
    let mut count = 1;
    world.append(1);
    while world.rows() == 1 {
        world.append(10);
        count += 10;
        assert!(count < 10_000);
    }
    assert!(count > 400, "{count}");
    assert_eq!(world.rows(), count);
}

#[test]
fn a_segment_that_is_full_is_named_with_all_that_it_has() {
    let mut world = world(1_000);
    let all: Vec<Bytes> = (0..60).flat_map(|_| world.append(1)).collect();
    assert!(world.live().len() > 3);
    world = world.restart();
    assert_eq!(world.bounds().next, 180);
    world.index();
    assert_eq!(world.read().unwrap(), all);
    let live: i64 = world.live().iter().map(|(_, live)| live).sum();
    assert_eq!(live, lengths(&all));
}

/// Wherever it is torn, and whatever byte of it is another: what is left is the beginning of what was acknowledged.
#[test]
fn a_segment_that_is_torn_anywhere_leaves_the_beginning_of_what_the_file_lacks() {
    let mut world = world(LARGE);
    let named = world.append(1);
    let more = world.append(4);
    let name = world.names()[0].clone();
    let whole = fs::read(&name).unwrap();
    let starts = usize::try_from(lengths(&named)).unwrap() + FRAME_BYTES;
    let torn = |bytes: Vec<u8>, at: usize| {
        let copy = tempfile::tempdir().unwrap();
        copy_all(world.folder.path(), copy.path());
        let file = name.strip_prefix(world.folder.path()).unwrap();
        fs::write(copy.path().join(file), bytes).unwrap();
        let mut ledger = load(copy.path(), world.ledger.appender.spill);
        // This one waits for no disk: it is not what is tested.
        sync_never(&ledger.db).unwrap();
        ledger.appender.spill.durable = false;
        let left = tail_of(&mut ledger, world.id);
        assert_eq!(left, more[..left.len()], "at {at}");
        let mut again = World {
            folder: copy,
            ledger,
            id: world.id,
        };
        let next = again.append(1);
        let mut again = again.restart();
        let all = [&named[..], &left, &next].concat();
        assert_eq!(again.read().unwrap(), all, "at {at}");
        assert_eq!(again.bounds().next, i64::try_from(all.len()).unwrap() * 3);
        left.len()
    };
    let batch = usize::try_from(lengths(&more[..1])).unwrap() + FRAME_BYTES;
    for at in starts..=whole.len() {
        let left = torn(whole[..at].to_vec(), at);
        assert_eq!(left, (at - starts) / batch, "cut off at {at}");
        if at < whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let left = torn(changed, at);
            assert_eq!(left, (at - starts) / batch, "changed at {at}");
            let mut zeros = whole.clone();
            zeros[at..].fill(0);
            torn(zeros, at);
        }
    }
}

#[test]
fn what_a_commit_of_the_file_wrote_and_did_not_land_never_happened() {
    let mut world = world(LARGE);
    let first = world.append(1);
    let second = world.append(1);
    // It is in the segment, and on the disk, when the file refuses.
    world.ledger.begin(0).unwrap();
    world.put();
    world.ledger.appender.settle().unwrap();
    let dead = tempfile::tempdir().unwrap();
    copy_all(world.folder.path(), dead.path());
    world.ledger.reload().unwrap();
    assert_eq!(world.bounds().next, 6);
    assert_eq!(world.tail(), second);
    // What is appended from now on stands behind it, and is found all the same.
    let third = world.append(1);
    let fourth = world.append(1);
    world = world.restart();
    assert_eq!(world.bounds().next, 12);
    world.index();
    let all = [first.clone(), second.clone(), third, fourth].concat();
    assert_eq!(world.read().unwrap(), all);
    // And if the process had died instead:
    let mut ledger = load(dead.path(), world.ledger.appender.spill);
    assert_eq!(ledger.log(world.id).partition.bounds().next, 6);
    assert_eq!(tail_of(&mut ledger, world.id), second);
}

#[test]
fn appends_that_reached_no_disk_are_taken_back_and_those_before_them_stand() {
    let mut world = world(LARGE);
    let first = world.append(1);
    let second = world.append(2);
    world.ledger.begin_appends(1).unwrap();
    world.put();
    world.ledger.reload().unwrap();
    assert_eq!(world.bounds().next, 9);
    assert_eq!(world.tail(), second);
    let third = world.append(1);
    assert_eq!(world.rows(), 4, "after a refusal the file is told first");
    let fourth = world.append(1);
    assert_eq!(world.tail(), fourth);
    world = world.restart();
    world.index();
    assert_eq!(
        world.read().unwrap(),
        [first, second, third, fourth].concat()
    );
}

#[test]
fn a_file_of_an_earlier_day_takes_of_the_records_what_follows_its_own_and_nothing_else() {
    let mut world = world(LARGE);
    let first = world.append(1);
    let second = world.append(1);
    let earlier = tempfile::tempdir().unwrap();
    fs::copy(
        world.folder.path().join("broker.db"),
        earlier.path().join("broker.db"),
    )
    .unwrap();
    fs::copy(
        world.folder.path().join("broker.db-wal"),
        earlier.path().join("broker.db-wal"),
    )
    .unwrap();
    // A commit of the file, whose batch has no mark; what follows it does not follow the second.
    world.commit(1);
    world.append(1);
    let (folder, id) = (world.folder.path().to_owned(), world.id);
    copy_all(
        &folder.join("broker.db-records"),
        &earlier.path().join("broker.db-records"),
    );
    let mut ledger = load(earlier.path(), world.ledger.appender.spill);
    assert_eq!(ledger.log(id).partition.bounds().next, 6);
    assert_eq!(tail_of(&mut ledger, id), second);
    let mut earlier = World {
        folder: earlier,
        ledger,
        id,
    };
    let third = earlier.append(1);
    let earlier = earlier.restart();
    assert_eq!(earlier.read().unwrap(), [first, second, third].concat());
}

#[test]
fn marked_frames_of_a_transaction_or_of_another_place_are_not_taken() {
    for (marked, what) in [
        (placed(sample(7, 1, 0, &[1]), 3, None), "of a transaction"),
        (placed(sample(-1, -1, -1, &[1]), 4, None), "behind a gap"),
        (placed(sample(-1, -1, -1, &[1]), 0, None), "a second time"),
    ] {
        let mut world = world(LARGE);
        world.append(1);
        let offset = i64::from_be_bytes(*marked.first_chunk().unwrap());
        world.ledger.begin_appends(1).unwrap();
        let row = batch_row(world.id, offset);
        let (appender, db) = (&mut world.ledger.appender, &world.ledger.db);
        appender.take(db, row, &marked).unwrap().unwrap();
        world.ledger.commit().unwrap();
        let mut world = world.restart();
        assert_eq!(world.bounds().next, 3, "{what}");
        world.append(1);
        assert_eq!(world.restart().bounds().next, 6, "{what}");
    }
}

#[test]
fn a_topic_that_goes_takes_what_the_file_lacks_with_it() {
    let mut world = world(LARGE);
    world.append(1);
    world.append(2);
    world.ledger.begin(0).unwrap();
    delete(&mut world.ledger, "orders").unwrap().unwrap();
    world.ledger.commit().unwrap();
    assert_eq!((world.rows(), world.live()), (0, vec![]));
    assert_eq!(world.names(), Vec::<std::path::PathBuf>::new());
    let world = world.restart();
    assert!(world.ledger.logs.is_empty());
}

#[test]
fn records_that_are_deleted_before_the_file_has_them_stay_deleted() {
    let mut world = world(LARGE);
    world.append(1);
    let more = world.append(3);
    world.delete_to(9);
    assert_eq!(world.read().unwrap(), more[2..]);
    let mut world = world.restart();
    let bounds = world.bounds();
    assert_eq!((bounds.start, bounds.next), (9, 12));
    assert_eq!(world.read().unwrap(), more[2..]);
}

#[test]
fn a_segment_that_may_have_what_the_file_lacks_must_be_there_and_one_that_the_file_knows_need_not()
{
    let mut world = world(LARGE);
    world.append(2);
    world.append(1);
    let name = world.names()[0].clone();
    let whole = fs::read(&name).unwrap();
    let missing = |world: World| {
        let world = world.restart();
        let segments = &world.ledger.appender.segments;
        let missing = segments.missing(&world.ledger.db, true).unwrap();
        (world, missing)
    };
    fs::remove_file(&name).unwrap();
    fs::write(name.with_file_name("another"), "x").unwrap();
    let (world, found) = missing(world);
    assert_eq!(found.as_ref(), Some(&name));
    fs::write(&name, &whole[..100]).unwrap();
    let (world, found) = missing(world);
    assert_eq!(
        found.as_ref(),
        Some(&name),
        "shorter than the file knows it"
    );
    fs::write(&name, &whole).unwrap();
    let (mut world, found) = missing(world);
    assert_eq!((found, world.bounds().next), (None, 9));
    assert!(world.ledger.appender.finish());
    world.index();
    assert!(!world.ledger.appender.finish());
    fs::remove_file(&name).unwrap();
    assert_eq!(missing(world).1, None, "its readers are told");
}

#[test]
fn what_has_lost_its_place_in_one_partition_keeps_none_of_another_back() {
    let mut world = world(LARGE);
    let new = NewTopic {
        name: "others".to_owned(),
        partition_count: 1,
        configs: [].into(),
    };
    world.ledger.begin(0).unwrap();
    create(&mut world.ledger, &new, false).unwrap().unwrap();
    world.ledger.commit().unwrap();
    let others = world.ledger.log_of("others", 0).unwrap();
    world.append(1);
    world.ledger.begin_appends(1).unwrap();
    let stranger = placed(sample(-1, -1, -1, &[1]), 7, None);
    let (appender, db) = (&mut world.ledger.appender, &world.ledger.db);
    appender
        .take(db, batch_row(others, 7), &stranger)
        .unwrap()
        .unwrap();
    world.ledger.commit().unwrap();
    let more = world.append(2);
    let mut world = world.restart();
    assert_eq!(world.tail(), more);
    assert_eq!(world.ledger.log(others).partition.bounds().next, 0);
}
