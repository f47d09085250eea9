//! Segments under the ledger: what goes there, what comes back, and when they go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use super::appender::Spill;
use super::batch::tests::sample;
use super::batch::{BatchHeader, placed};
use super::ledger::Ledger;
use super::lent::Piece;
use super::partition::{PartitionId, TailBudget};
use super::segment_file::FRAME_BYTES;
use super::segments::Segments;
use super::storage::{Readers, Taken, open_writer, read_batches, read_index};
use super::topic_change::{NewTopic, create, delete, delete_before};

/// The batches of a partition, read.
fn read_all(
    db: &Connection,
    segments: &Segments,
    id: PartitionId,
    upper: i64,
) -> rusqlite::Result<Vec<Bytes>> {
    let found = read_batches(db, segments, id, 0, upper, |_| Some(Taken::Checked))?;
    let bytes = found.into_iter().map(|piece| match piece {
        Piece::Memory(bytes) => Ok(bytes),
        Piece::Lent(lent) => segments.read(lent.row, lent.spot),
    });
    bytes.collect()
}

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) ledger: Ledger,
    pub(super) id: PartitionId,
}

fn file(folder: &Path) -> PathBuf {
    folder.join("broker.db")
}

pub(super) fn load(folder: &Path, spill: Spill) -> Ledger {
    let path = file(folder);
    let db = open_writer(&path).unwrap();
    let budget = Arc::new(TailBudget::new(0, 0));
    let mut ledger = Ledger::load(&path, db, Arc::default(), Arc::default(), budget).unwrap();
    ledger.appender.spill = spill;
    ledger
}

/// A broker's file with one partition. Everything goes to segments of so many bytes.
pub(super) fn world(segment_bytes: u64) -> World {
    let folder = tempfile::tempdir().unwrap();
    let spill = Spill {
        inline_bytes_max: 0,
        segment_bytes,
        durable: true,
    };
    let mut ledger = load(folder.path(), spill);
    let new = NewTopic {
        name: "orders".to_owned(),
        partition_count: 1,
        configs: [].into(),
    };
    ledger.begin(0).unwrap();
    create(&mut ledger, &new, false).unwrap().unwrap();
    let id = ledger.log_of("orders", 0).unwrap();
    ledger.commit().unwrap();
    World { folder, ledger, id }
}

impl World {
    pub(super) fn put(&mut self) -> Bytes {
        let bytes = placed(
            sample(-1, -1, -1, &[1, 2, 3]),
            self.ledger.log(self.id).next,
            None,
        );
        self.ledger
            .append(self.id, &BatchHeader::read(&bytes), bytes.clone())
            .unwrap();
        bytes
    }

    pub(super) fn commit(&mut self, count: usize) -> Vec<Bytes> {
        self.ledger.begin(0).unwrap();
        let put = (0..count).map(|_| self.put()).collect();
        self.ledger.commit().unwrap();
        put
    }

    pub(super) fn delete_to(&mut self, offset: i64) {
        self.ledger.begin(0).unwrap();
        delete_before(&mut self.ledger, "orders", 0, offset)
            .unwrap()
            .unwrap();
        self.ledger.commit().unwrap();
    }

    fn readers(&self) -> Readers {
        Readers::new(
            file(self.folder.path()),
            Arc::clone(&self.ledger.appender.segments),
        )
    }

    pub(super) fn read(&self) -> rusqlite::Result<Vec<Bytes>> {
        let segments = &self.ledger.appender.segments;
        let read = |db: &_| read_all(db, segments, self.id, i64::MAX >> 24);
        self.readers().read(read)
    }

    /// What is there after a round of the cleaner.
    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.ledger.appender.segments.delete_condemned();
        names(self.folder.path())
    }

    pub(super) fn restart(self) -> World {
        let World { folder, ledger, id } = self;
        let spill = ledger.appender.spill;
        drop(ledger);
        let ledger = load(folder.path(), spill);
        World { folder, ledger, id }
    }

    pub(super) fn live(&self) -> Vec<(i64, i64)> {
        let mut find = self
            .ledger
            .db
            .prepare("select id, live from segment order by id")
            .unwrap();
        let rows = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder.join("broker.db-records")) else {
        return Vec::new();
    };
    let mut found: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

pub(super) fn lengths(batches: &[Bytes]) -> i64 {
    let bytes: usize = batches.iter().map(Bytes::len).sum();
    i64::try_from(bytes).unwrap()
}

#[test]
fn large_commits_go_to_segments_small_ones_stay_and_both_are_read_as_one_log() {
    let mut world = world(1 << 20);
    let mut all = world.commit(3);
    world.ledger.appender.spill.inline_bytes_max = 1;
    all.extend(world.commit(2));
    world.ledger.appender.spill.inline_bytes_max = 0;
    all.extend(world.commit(1));
    assert_eq!(world.read().unwrap(), all);
    let spilled = lengths(&all[..3]) + lengths(&all[5..]);
    assert_eq!(world.live(), [(1, spilled)]);
    let inline = "select count(*), sum(length(bytes)) from batch where segment is null";
    let inline: (i64, i64) = world
        .ledger
        .db
        .query_row(inline, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(inline, (2, lengths(&all[3..5])));
    let sizes = |db: &_| read_index(db, world.id, 0, 100, 100);
    let sizes = world.readers().read(sizes).unwrap();
    let sizes: Vec<i64> = sizes.iter().map(|stored| stored.bytes).collect();
    let expected: Vec<i64> = all.chunks(1).map(lengths).collect();
    assert_eq!(sizes, expected);
}

#[test]
fn a_batch_that_is_larger_than_what_is_written_at_once_comes_back_whole() {
    let mut world = world(1 << 20);
    let sizes = [10, 700_000, 700_000, 3 << 20, 10, (1 << 20) - FRAME_BYTES];
    let batches = sizes.map(|size| Bytes::from(vec![u8::try_from(size % 251).unwrap(); size]));
    world.ledger.begin(0).unwrap();
    let spots = batches.each_ref().map(|batch| {
        let appender = &mut world.ledger.appender;
        appender.take(&world.ledger.db, 7, batch).unwrap().unwrap()
    });
    world.ledger.commit().unwrap();
    let segments = &world.ledger.appender.segments;
    for (spot, batch) in spots.into_iter().zip(batches) {
        assert!(segments.read(7, spot).unwrap() == batch, "{spot:?}");
    }
}

#[test]
fn what_was_not_committed_leaves_no_bytes_and_no_segment() {
    let mut world = world(1 << 20);
    world.ledger.begin(0).unwrap();
    world.put();
    assert_eq!(world.names().len(), 1);
    world.ledger.reload().unwrap();
    assert_eq!(world.names(), Vec::<PathBuf>::new());
    let all = world.commit(2);
    let length = || fs::metadata(&world.names()[0]).unwrap().len();
    let before = length();
    assert_eq!(
        before,
        u64::try_from(lengths(&all)).unwrap() + 2 * FRAME_BYTES as u64
    );
    let mut world = world;
    world.ledger.begin(0).unwrap();
    world.put();
    world.ledger.appender.settle().unwrap();
    world.ledger.reload().unwrap();
    // It may have been committed, for all that is known: what comes next goes behind it.
    world.ledger.begin(0).unwrap();
    world.put();
    world.ledger.reload().unwrap();
    assert_eq!(world.read().unwrap(), all);
    let more = world.commit(1);
    assert_eq!(world.read().unwrap(), [all, more].concat());
    assert_eq!(world.names().len(), 1);
}

#[test]
fn a_first_commit_that_may_have_landed_keeps_its_segment_until_another_one_has() {
    for lands in [false, true] {
        let mut world = world(1 << 20);
        world.ledger.begin(0).unwrap();
        let mut all = vec![world.put()];
        world.ledger.appender.count(&world.ledger.db).unwrap();
        world.ledger.appender.settle().unwrap();
        if lands {
            world.ledger.db.execute_batch("commit").unwrap();
        }
        world.ledger.reload().unwrap();
        world.ledger.reload().unwrap();
        // What SQLite has rolled back may be in its log, and come back with the next start.
        assert_eq!(world.names().len(), 1);
        if !lands {
            all.clear();
        }
        assert_eq!(world.read().unwrap(), all);
        all.extend(world.commit(1));
        assert_eq!(world.read().unwrap(), all);
        let live: i64 = world.live().iter().map(|(_, live)| live).sum();
        assert_eq!(live, lengths(&all));
        world.ledger.reload().unwrap();
        assert_eq!(world.names().len(), 1);
        let world = world.restart();
        assert_eq!(world.read().unwrap(), all);
    }
}

#[test]
fn a_segment_goes_with_its_last_batch_and_stays_for_who_reads_it() {
    let mut world = world(1);
    let all = [world.commit(1), world.commit(1), world.commit(1)].concat();
    assert_eq!(world.names().len(), 3);
    let readers = world.readers();
    let (id, segments) = (world.id, Arc::clone(&world.ledger.appender.segments));
    let read = readers.read(|db| {
        let moment = db.unchecked_transaction()?;
        // The moment begins with the first look.
        read_index(&moment, id, 0, 9, 9)?;
        world.delete_to(6);
        assert_eq!(world.live().len(), 1);
        assert_eq!(world.names().len(), 3);
        read_all(&moment, &segments, id, 9)
    });
    assert_eq!(read.unwrap(), all);
    assert_eq!(world.names().len(), 1);
    world.delete_to(9);
    assert_eq!(world.names(), Vec::<PathBuf>::new());
    let next = world.commit(1);
    assert_eq!(world.read().unwrap(), next);
}

#[test]
fn what_is_put_and_deleted_in_one_commit_is_counted_once() {
    let mut world = world(1 << 20);
    world.ledger.begin(0).unwrap();
    world.put();
    delete_before(&mut world.ledger, "orders", 0, -1)
        .unwrap()
        .unwrap();
    world.ledger.commit().unwrap();
    assert_eq!((world.live(), world.names().len()), (vec![], 0));
    world.ledger.begin(0).unwrap();
    world.put();
    let kept = world.put();
    delete_before(&mut world.ledger, "orders", 0, 6)
        .unwrap()
        .unwrap();
    world.ledger.commit().unwrap();
    assert_eq!(world.live(), [(2, lengths(std::slice::from_ref(&kept)))]);
    world.ledger.begin(0).unwrap();
    delete(&mut world.ledger, "orders").unwrap().unwrap();
    world.ledger.commit().unwrap();
    assert_eq!((world.live(), world.names().len()), (vec![], 0));
}

#[test]
fn a_start_deletes_what_the_file_named_once_and_nothing_else() {
    let mut world = world(1);
    let first = world.commit(1);
    let all = [first, world.commit(1), world.commit(1)].concat();
    world.delete_to(3);
    let names = world.names();
    let folder = names[0].parent().unwrap().to_owned();
    let named = |id: i64| {
        let name = names[0].file_name().unwrap().to_str().unwrap();
        let (prefix, _) = name.split_once('-').unwrap();
        folder.join(format!("{prefix}-{id:010}"))
    };
    let foreign = [
        folder.join("other-0000000001"),
        folder.join("notes.txt"),
        named(9),
    ];
    for path in foreign.iter().chain([&named(1)]) {
        fs::write(path, "x").unwrap();
    }
    let mut world = world.restart();
    assert!(!named(1).exists());
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(world.read().unwrap(), all[1..]);
    // It may belong to a later state of this file, so its number is not used again.
    world.commit(1);
    assert!(named(10).exists());
}

#[test]
fn a_segment_that_is_missing_or_too_short_is_damage_and_the_start_tells_a_missing_folder() {
    let mut world = world(1);
    let all = [world.commit(1), world.commit(1)].concat();
    // As at a stop.
    assert!(world.ledger.appender.finish());
    world.ledger.begin(0).unwrap();
    world.ledger.commit().unwrap();
    let names = world.names();
    let bytes = fs::read(&names[1]).unwrap();
    fs::write(&names[1], &bytes[..bytes.len() - 1]).unwrap();
    // What this process wrote is not read again to find out whether it is there.
    let world = world.restart();
    assert_eq!(
        world.read().unwrap(),
        all[..1],
        "those before it are given out"
    );
    fs::remove_file(&names[0]).unwrap();
    let world = world.restart();
    let error = world.read().unwrap_err().to_string();
    assert!(
        error.contains("the batch at offset 0 of orders-0 is not as it was written")
            && error.contains("broker.db-records"),
        "{error}"
    );
    let segments = &world.ledger.appender.segments;
    assert_eq!(segments.missing(&world.ledger.db, true).unwrap(), None);
    fs::remove_dir_all(names[0].parent().unwrap()).unwrap();
    let missing = segments.missing(&world.ledger.db, true).unwrap();
    assert_eq!(missing.as_deref(), names[0].parent());
}

#[test]
fn a_file_beside_the_records_of_another_state_does_not_give_out_what_is_not_its_own() {
    let mut world = world(1);
    world.commit(1);
    world.commit(1);
    let names = world.names();
    assert!(world.ledger.appender.finish());
    world.ledger.begin(0).unwrap();
    world.ledger.commit().unwrap();
    fs::copy(&names[1], &names[0]).unwrap();
    let world = world.restart();
    let error = world.read().unwrap_err().to_string();
    assert!(error.contains("another batch is in its place"), "{error}");
}

#[test]
fn where_a_segment_cannot_be_made_the_next_one_is_tried() {
    let mut world = world(1);
    let mut all = world.commit(1);
    let second = world.names()[0].with_file_name("in-the-way");
    let named = world.names()[0]
        .display()
        .to_string()
        .replace("0001", "0002");
    fs::write(&second, "x").unwrap();
    fs::rename(&second, &named).unwrap();
    world.ledger.begin(0).unwrap();
    let bytes = placed(sample(-1, -1, -1, &[1]), 3, None);
    let refused = world
        .ledger
        .append(world.id, &BatchHeader::read(&bytes), bytes);
    assert!(refused.unwrap_err().to_string().contains("0002"));
    world.ledger.reload().unwrap();
    all.extend(world.commit(1));
    assert_eq!(world.read().unwrap(), all);
}

#[test]
fn frames_tell_what_a_segment_was_given_up_to_where_it_is_cut_off() {
    let mut world = world(1 << 20);
    world.commit(3);
    let segments = Arc::clone(&world.ledger.appender.segments);
    let name = &world.names()[0];
    let rows = || {
        segments
            .frames(1)
            .unwrap()
            .into_iter()
            .map(|(row, _)| row & 0xff)
    };
    assert_eq!(rows().collect::<Vec<_>>(), [0, 3, 6]);
    let whole = fs::metadata(name).unwrap().len();
    let cut = fs::File::options().write(true).open(name).unwrap();
    cut.set_len(whole - 1).unwrap();
    assert_eq!(rows().collect::<Vec<_>>(), [0, 3]);
}
