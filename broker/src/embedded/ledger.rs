//! What the writer knows of the file, one commit ahead of what everybody else sees.
//!
//! Changes are made here first, inside an open SQL transaction. [`Ledger::commit`] commits and only then publishes to
//! the registry and the partitions. When SQL fails, [`Ledger::reload`] reads everything again, so memory never keeps
//! what the file refused.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::ahead::Ahead;
use super::appender::{Appender, Spill};
use super::batch::BatchHeader;
use super::checkpoint::{Checkpoints, LogWatch};
use super::failpoint::{Point, pass, reach};
use super::partition::{Aborted, Bounds, Partition, PartitionId, PlacedBatch, Swapped, TailBudget};
use super::segments::Segments;
use super::sequence::Window;
use super::spare::Spare;
use super::storage::{OFFSET_END, batch_row};
use super::topics::{TopicMap, Topics};
use super::txn::{Txn, TxnClock};

/// Producers whose window is kept in memory, per partition; others are read from the file when they write again.
const WINDOWS_MAX: usize = 1_000;
/// The first producer id given out.
pub(crate) const PRODUCER_ID_FIRST: i64 = 1_000;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A partition's log as the writer sees it.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) partition: Arc<Partition>,
    pub(crate) start: i64,
    pub(crate) next: i64,
    /// Open transactions: producer id to first offset.
    pub(crate) open: BTreeMap<i64, i64>,
    windows: HashMap<i64, Window>,
    touched: BTreeSet<i64>,
    fresh: Vec<PlacedBatch>,
    /// Batches that the file lacks.
    pub(crate) ahead: Vec<PlacedBatch>,
    pub(crate) swapped: Vec<Swapped>,
    pub(crate) aborted: Vec<Aborted>,
}

impl Log {
    pub(crate) fn new(partition: Arc<Partition>, start: i64, next: i64) -> Log {
        Log {
            partition,
            start,
            next,
            open: BTreeMap::new(),
            windows: HashMap::new(),
            touched: BTreeSet::new(),
            fresh: Vec::new(),
            ahead: Vec::new(),
            swapped: Vec::new(),
            aborted: Vec::new(),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            start: self.start,
            next: self.next,
            stable: self.open.values().copied().min().unwrap_or(self.next),
        }
    }
}

/// The file and what the writer knows of it.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) db: Connection,
    pub(crate) map: TopicMap,
    pub(crate) map_changed: bool,
    pub(crate) logs: HashMap<PartitionId, Log>,
    pub(crate) changed: BTreeSet<PartitionId>,
    /// Partitions of a commit that failed, and may have landed all the same.
    pub(crate) doubted: BTreeSet<PartitionId>,
    pub(crate) dropped: Vec<Arc<Partition>>,
    pub(crate) txns: HashMap<String, Txn>,
    /// Producer id to transactional id.
    pub(crate) owners: HashMap<i64, String>,
    pub(crate) txns_changed: bool,
    pub(crate) next_producer_id: i64,
    pub(crate) topics: Arc<Topics>,
    pub(crate) clock: Arc<TxnClock>,
    pub(crate) budget: Arc<TailBudget>,
    pub(crate) spare: Arc<Spare>,
    /// How long the file's log has become.
    pub(crate) growth: LogWatch,
    pub(crate) appender: Appender,
    pub(crate) ahead: Ahead,
    /// Whether a segment may have become empty.
    pub(crate) emptied: bool,
}

impl Ledger {
    /// Reads the file.
    pub(crate) fn load(
        path: &Path,
        db: Connection,
        topics: Arc<Topics>,
        clock: Arc<TxnClock>,
        budget: Arc<TailBudget>,
    ) -> rusqlite::Result<Ledger> {
        let spare = Spare::of(path);
        let growth = LogWatch::of(&db)?;
        let segments = Arc::new(Segments::open(path, &db)?);
        let mut ledger = Ledger {
            db,
            map: TopicMap::new(),
            map_changed: false,
            logs: HashMap::new(),
            changed: BTreeSet::new(),
            doubted: BTreeSet::new(),
            dropped: Vec::new(),
            txns: HashMap::new(),
            owners: HashMap::new(),
            txns_changed: false,
            next_producer_id: PRODUCER_ID_FIRST,
            topics,
            clock,
            budget,
            spare: Arc::new(spare),
            growth,
            appender: Appender::new(segments, Spill::default()),
            ahead: Ahead::default(),
            emptied: true,
        };
        ledger.read()?;
        Ok(ledger)
    }

    /// Drops what is not committed and reads the file again.
    pub(crate) fn reload(&mut self) -> rusqlite::Result<()> {
        if !self.db.is_autocommit() {
            self.db.execute_batch("rollback")?;
        }
        self.appender.abandon(&self.db)?;
        self.emptied = true;
        self.read()
    }

    /// Opens the SQL transaction of the next commit, which is to have about so many bytes of records, and tells the file
    /// what it lacks.
    pub(crate) fn begin(&mut self, bytes: usize) -> rusqlite::Result<()> {
        let spills = bytes >= self.appender.spill.inline_bytes_max;
        self.begin_with(spills)
    }

    /// Begins a commit of nothing but appends, so many bytes of them and none of a transaction: it waits for its segment
    /// alone, if there is one.
    pub(crate) fn begin_appends(&mut self, bytes: usize) -> rusqlite::Result<()> {
        if !self.appender.spill.is_wanted() {
            return self.begin(bytes);
        }
        if self.appender.is_ready() && self.ahead.has_room(bytes) {
            reach(Point::Beginning)?;
            self.appender.begin_marked();
            return Ok(());
        }
        let spills = bytes >= self.appender.spill.inline_bytes_max || !self.appender.is_ready();
        self.begin_with(spills)
    }

    fn begin_with(&mut self, spills: bool) -> rusqlite::Result<()> {
        reach(Point::Beginning)?;
        // The one that is full may be empty already.
        self.emptied |= self.appender.begin(spills);
        self.db.execute_batch("begin immediate")?;
        self.appender.seal(&self.db)?;
        self.index_ahead()
    }

    /// Commits, then shows everybody what changed.
    pub(crate) fn commit(&mut self) -> rusqlite::Result<()> {
        if self.appender.marks() {
            reach(Point::Committing)?;
            self.appender.settle()?;
        } else {
            self.commit_file()?;
        }
        self.show();
        Ok(())
    }

    fn commit_file(&mut self) -> rusqlite::Result<()> {
        self.save_windows()?;
        self.appender.count(&self.db)?;
        let freed = self.free_segments()?;
        reach(Point::Committing)?;
        self.appender.settle()?;
        self.db.execute_batch("commit")?;
        reach(Point::Landed)?;
        self.appender.landed();
        self.ahead = Ahead::default();
        // They are there as long as anybody reads, so readers need not be told first.
        self.appender.free(freed);
        Ok(())
    }

    fn show(&mut self) {
        let is_indexed = !self.appender.marks();
        if self.map_changed {
            self.topics.replace(self.map.clone());
            self.map_changed = false;
        }
        for id in std::mem::take(&mut self.changed) {
            if let Some(log) = self.logs.get_mut(&id) {
                let (fresh, aborted) = (
                    std::mem::take(&mut log.fresh),
                    std::mem::take(&mut log.aborted),
                );
                let swapped = std::mem::take(&mut log.swapped);
                if !swapped.is_empty() {
                    log.partition.swap(&swapped);
                }
                if is_indexed {
                    log.ahead.clear();
                }
                log.partition
                    .publish(log.bounds(), fresh, &aborted, is_indexed);
            }
        }
        for partition in self.dropped.drain(..) {
            partition.reset(Bounds::default(), Vec::new(), &[]);
        }
        if std::mem::take(&mut self.txns_changed) {
            self.clock.publish(&self.txns);
        }
        pass(Point::Published);
    }

    /// After something was deleted on a full disk, makes room of it.
    pub(crate) fn regain(&self, checkpoints: &Checkpoints) -> rusqlite::Result<()> {
        let segments = &self.appender.segments;
        self.spare.regain(&self.db, segments, checkpoints)
    }

    /// Finds a partition's log.
    pub(crate) fn log_of(&self, topic: &str, index: i32) -> Option<PartitionId> {
        Some(self.map.get(topic)?.partition(index)?.id)
    }

    pub(crate) fn log(&mut self, id: PartitionId) -> &mut Log {
        self.logs
            .get_mut(&id)
            .expect("every partition of the map has a log")
    }

    /// The window of a producer in a partition, if it has written there.
    pub(crate) fn window(
        &mut self,
        id: PartitionId,
        producer_id: i64,
    ) -> rusqlite::Result<Option<&mut Window>> {
        let log = self
            .logs
            .get_mut(&id)
            .expect("every partition of the map has a log");
        if let Entry::Vacant(place) = log.windows.entry(producer_id) {
            let mut find = self.db.prepare_cached(
                "select epoch, taken from producer where partition = ?1 and producer_id = ?2",
            )?;
            let found = find.query_row(params![id.0, producer_id], |row| {
                Ok(Window::from_bytes(row.get(0)?, row.get_ref(1)?.as_blob()?))
            });
            match found.optional()? {
                Some(window) => place.insert(window),
                None => return Ok(None),
            };
        }
        Ok(log.windows.get_mut(&producer_id))
    }

    /// Changes the window of a producer, making it first when needed. It is saved with the commit.
    pub(crate) fn change_window(
        &mut self,
        id: PartitionId,
        producer_id: i64,
        epoch: i16,
        change: impl FnOnce(&mut Window),
    ) -> rusqlite::Result<()> {
        self.window(id, producer_id)?;
        let log = self.log(id);
        change(
            log.windows
                .entry(producer_id)
                .or_insert_with(|| Window::new(epoch)),
        );
        log.touched.insert(producer_id);
        self.changed.insert(id);
        Ok(())
    }

    /// Remembers the batch of an idempotent producer that was appended.
    pub(crate) fn remember(
        &mut self,
        id: PartitionId,
        header: &BatchHeader,
        base_offset: i64,
    ) -> rusqlite::Result<()> {
        let (epoch, first, last) = (
            header.producer_epoch,
            header.base_sequence,
            header.last_sequence(),
        );
        self.change_window(id, header.producer_id, epoch, |window| {
            window.remember(epoch, first, last, base_offset)
        })
    }

    /// Forgets a producer that rests, unless this commit hears of it. Returns whether it did.
    pub(crate) fn forget_producer(
        &mut self,
        id: PartitionId,
        producer_id: i64,
        rested_before_ms: i64,
    ) -> rusqlite::Result<bool> {
        if let Some(log) = self.logs.get_mut(&id) {
            if log.touched.contains(&producer_id) || log.open.contains_key(&producer_id) {
                return Ok(false);
            }
            log.windows.remove(&producer_id);
        }
        let mut forget = self.db.prepare_cached(
            "delete from producer where partition = ?1 and producer_id = ?2 and touched_ms < ?3",
        )?;
        let forgotten = forget.execute(params![id.0, producer_id, rested_before_ms])? > 0;
        reach(Point::ProducerForgotten)?;
        Ok(forgotten)
    }

    /// Appends a batch that already carries its place.
    pub(crate) fn append(
        &mut self,
        id: PartitionId,
        header: &BatchHeader,
        bytes: Bytes,
    ) -> rusqlite::Result<()> {
        let base_offset = self.log(id).next;
        let last_offset = base_offset + i64::from(header.last_offset_delta);
        if last_offset >= OFFSET_END {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, last_offset));
        }
        let row = batch_row(id, base_offset);
        let spot = self.appender.take(&self.db, row, &bytes)?;
        self.changed.insert(id);
        if let Some(spot) = spot.filter(|_| self.appender.marks()) {
            reach(Point::Appended)?;
            let placed = self.note_ahead(id, header, bytes, spot);
            self.log(id).fresh.push(placed);
            return Ok(());
        }
        let inline: &[u8] = if spot.is_some() { &[] } else { &bytes };
        self.db
            .prepare_cached(
                "insert into batch (id, last_offset, max_timestamp, bytes, segment, position, length)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                row,
                last_offset,
                header.max_timestamp,
                inline,
                spot.map(|spot| spot.segment),
                spot.map(|spot| spot.position),
                spot.map(|spot| spot.length)
            ])?;
        reach(Point::Appended)?;
        let log = self.log(id);
        log.next = last_offset + 1;
        log.fresh.push(PlacedBatch {
            base_offset,
            last_offset,
            bytes,
        });
        Ok(())
    }

    /// Gives a batch that is there new bytes, or another place.
    pub(crate) fn put(&mut self, row: i64, bytes: &Bytes) -> rusqlite::Result<()> {
        let spot = self.appender.take(&self.db, row, bytes)?;
        let inline: &[u8] = if spot.is_some() { &[] } else { bytes };
        self.db
            .prepare_cached(
                "update batch set bytes = ?2, segment = ?3, position = ?4, length = ?5 where id = ?1",
            )?
            .execute(params![
                row,
                inline,
                spot.map(|spot| spot.segment),
                spot.map(|spot| spot.position),
                spot.map(|spot| spot.length)
            ])?;
        self.emptied = true;
        Ok(())
    }

    /// Gives up the segments of which nothing is left.
    fn free_segments(&mut self) -> rusqlite::Result<Vec<i64>> {
        if !self.emptied {
            return Ok(Vec::new());
        }
        let mut free = self
            .db
            .prepare_cached("delete from segment where live = 0 returning id")?;
        let freed = free.query_map([], |row| row.get(0))?.collect();
        self.emptied = false;
        freed
    }

    /// Gives out a producer id that was never given out before.
    pub(crate) fn new_producer_id(&mut self) -> rusqlite::Result<i64> {
        let id = self.next_producer_id;
        self.db
            .prepare_cached(
                "insert or replace into setting (name, value) values ('next_producer_id', ?1)",
            )?
            .execute([(id + 1).to_string()])?;
        reach(Point::ProducerIdTaken)?;
        self.next_producer_id = id + 1;
        Ok(id)
    }

    /// Makes the in-memory side of a partition.
    pub(crate) fn add_log(&mut self, id: PartitionId) -> Arc<Partition> {
        let partition = Arc::new(Partition::new(id, Arc::clone(&self.budget)));
        self.logs.insert(id, Log::new(Arc::clone(&partition), 0, 0));
        partition
    }

    fn save_windows(&mut self) -> rusqlite::Result<()> {
        let mut save = self.db.prepare_cached(
            "insert into producer (partition, producer_id, epoch, taken, touched_ms) values (?1, ?2, ?3, ?4, ?5)
             on conflict (partition, producer_id) do update
             set epoch = excluded.epoch, taken = excluded.taken, touched_ms = excluded.touched_ms",
        )?;
        let now = now_ms();
        for id in &self.changed {
            let Some(log) = self.logs.get_mut(id) else {
                continue;
            };
            for producer_id in std::mem::take(&mut log.touched) {
                if let Some(window) = log.windows.get(&producer_id) {
                    save.execute(params![
                        id.0,
                        producer_id,
                        window.epoch(),
                        window.to_bytes(),
                        now
                    ])?;
                    reach(Point::WindowSaved)?;
                }
            }
            if log.windows.len() > WINDOWS_MAX {
                log.windows.clear();
            }
        }
        Ok(())
    }
}
