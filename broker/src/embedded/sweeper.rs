//! Compaction of one partition: when it is worth a pass, and the pass. The rules of what stays are in `compaction`.
//!
//! The part that Kafka's active segment plays here is the newest batch: it is not compacted, so that the end of the log
//! stays where it is, until it is older than `max.compaction.lag.ms`; even then it does not go.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::batch::is_placed_at;
use super::broker::Broker;
use super::cleaner::{Halt, earlier};
use super::compaction::{Fate, GivenUp, NewestKeys, Sweep};
use super::error::is_damage;
use super::partition::{Bounds, PartitionId};
use super::policy::Compaction;
use super::segments::Segments;
use super::storage::{
    OFFSET_END, batch_row, bytes_of, read_aborted, read_index, read_newest, row_offset,
};
use super::swap::{Becomes, Change, Place, swap};

/// Bytes that one step may move, before and after counted together; one batch may have more.
const STEP_BYTES: usize = 256 << 10;
/// Batches that one step may change.
const STEP_BATCHES: usize = 256;
/// Bytes of batches read at once.
const READ_BYTES: usize = 4 << 20;
/// Batches whose sizes are read at once.
const COUNTED: usize = 4_096;
/// A pass for nothing but tombstones waits for others that are due soon: an eighth of their time, at most this long.
const TOMBSTONES_SLACK_MAX_MS: i64 = 3_600_000;

/// What is known of the part of a log that was compacted, and of the part that was not.
#[derive(Debug)]
pub(crate) struct Dirt {
    /// Where the log started when this was counted.
    start: i64,
    /// The first offset that was never compacted.
    compacted: i64,
    clean_bytes: i64,
    /// The end of what may be compacted.
    seen_to: i64,
    dirty_bytes: i64,
    /// The newest time in the first batch that was never compacted.
    oldest_ms: Option<i64>,
    /// When the last pass looked for tombstones that may go.
    swept_ms: i64,
}

impl Dirt {
    /// Counts what was compacted.
    fn count(db: &Connection, id: PartitionId, start: i64) -> rusqlite::Result<Dirt> {
        let find = "select compacted from partition where id = ?1";
        let compacted = match db.query_row(find, [id.0], |row| row.get(0)) {
            Err(rusqlite::Error::QueryReturnedNoRows) => 0,
            found => found?,
        };
        let (mut clean_bytes, mut from) = (0, 0);
        loop {
            let found = read_index(db, id, from, compacted, COUNTED)?;
            clean_bytes += found.iter().map(|batch| batch.bytes).sum::<i64>();
            match found.last() {
                Some(last) if found.len() == COUNTED => from = last.last_offset + 1,
                Some(_) | None => break,
            }
        }
        Ok(Dirt {
            start,
            compacted,
            clean_bytes,
            seen_to: compacted,
            dirty_bytes: 0,
            oldest_ms: None,
            swept_ms: 0,
        })
    }

    /// Counts what may be compacted below `upper`. Returns when the next batch is old enough to be.
    fn extend(
        &mut self,
        db: &Connection,
        id: PartitionId,
        upper: i64,
        rules: &Compaction,
        now_ms: i64,
    ) -> rusqlite::Result<Option<i64>> {
        while self.seen_to < upper {
            let found = read_index(db, id, self.seen_to, upper, COUNTED)?;
            for batch in &found {
                let ready_ms = batch.max_timestamp.saturating_add(rules.lag_min_ms);
                if rules.lag_min_ms > 0 && ready_ms > now_ms {
                    return Ok(Some(ready_ms));
                }
                self.oldest_ms.get_or_insert(batch.max_timestamp);
                self.dirty_bytes += batch.bytes;
                self.seen_to = batch.last_offset + 1;
            }
            if found.len() < COUNTED {
                break;
            }
        }
        Ok(None)
    }

    /// When the oldest of what was not compacted must be.
    fn overdue_ms(&self, rules: &Compaction) -> Option<i64> {
        self.oldest_ms?.checked_add(rules.lag_max_ms)
    }

    /// Whether a pass is worth its work.
    fn is_ripe(&self, rules: &Compaction, now_ms: i64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio of sizes needs no more than 53 bits"
        )]
        let ratio = self.dirty_bytes as f64 / (self.clean_bytes + self.dirty_bytes).max(1) as f64;
        self.dirty_bytes > 0
            && (ratio > rules.dirty_ratio || self.overdue_ms(rules).is_some_and(|at| at <= now_ms))
    }
}

/// What a pass achieved.
struct Passed {
    /// The end of what it compacted.
    to: i64,
    /// What is left before that.
    bytes: i64,
}

/// Compacts a partition if it is worth it. Returns when it is worth another look, if nothing changes.
pub(crate) fn compact(
    broker: &Broker,
    place: &Place,
    bounds: Bounds,
    rules: &Compaction,
    known: &mut Option<Dirt>,
    now_ms: i64,
) -> Result<Option<i64>, Halt> {
    loop {
        let counted = known.take().filter(|dirt| dirt.start == bounds.start);
        let look = |db: &Connection| look(db, place.id, bounds, rules, counted, now_ms);
        let Some(mut look) = broker.readers.read(look)? else {
            return Ok(None);
        };
        let tombstones_ms = look.horizon_ms.map(|at| at.saturating_add(slack_ms(rules)));
        if !look.dirt.is_ripe(rules, now_ms) && tombstones_ms.is_none_or(|at| at > now_ms) {
            let due_ms = earlier(look.due_ms, look.dirt.overdue_ms(rules));
            *known = Some(look.dirt);
            return Ok(earlier(due_ms, tombstones_ms));
        }
        let pass = Pass {
            broker,
            place,
            upper: look.dirt.seen_to,
            newest: look.newest,
            rules,
            now_ms,
        };
        let Some(passed) = pass.run(look.dirt.compacted)? else {
            return Ok(None);
        };
        tracing::debug!(
            topic = place.topic,
            partition = place.index,
            to = passed.to,
            bytes_before = look.dirt.clean_bytes + look.dirt.dirty_bytes,
            bytes_after = passed.bytes,
            "embedded broker: a partition is compacted"
        );
        look.dirt = Dirt {
            compacted: passed.to,
            clean_bytes: passed.bytes,
            seen_to: passed.to,
            dirty_bytes: 0,
            oldest_ms: None,
            swept_ms: now_ms,
            ..look.dirt
        };
        *known = Some(look.dirt);
    }
}

fn slack_ms(rules: &Compaction) -> i64 {
    (rules.tombstones_ms / 8).clamp(0, TOMBSTONES_SLACK_MAX_MS)
}

struct Look {
    dirt: Dirt,
    /// The base offset of the newest batch.
    newest: i64,
    due_ms: Option<i64>,
    /// When the next tombstones may go.
    horizon_ms: Option<i64>,
}

/// Finds out what there is to compact. `None` in an empty log.
fn look(
    db: &Connection,
    id: PartitionId,
    bounds: Bounds,
    rules: &Compaction,
    counted: Option<Dirt>,
    now_ms: i64,
) -> rusqlite::Result<Option<Look>> {
    let Some(newest) = read_newest(db, id)? else {
        return Ok(None);
    };
    let overdue_ms = newest.max_timestamp.checked_add(rules.lag_max_ms);
    let is_overdue = overdue_ms.is_some_and(|at| at <= now_ms);
    let upper = if is_overdue {
        bounds.stable
    } else {
        bounds.stable.min(newest.base_offset)
    };
    let mut dirt = match counted {
        Some(dirt) => dirt,
        None => Dirt::count(db, id, bounds.start)?,
    };
    let ready_ms = dirt.extend(db, id, upper, rules, now_ms)?;
    let mut find = db.prepare_cached(
        "select min(due_ms) from horizon where batch >= ?1 and batch < ?2 and due_ms > ?3",
    )?;
    let range = params![
        batch_row(id, 0),
        batch_row(id, dirt.compacted),
        dirt.swept_ms
    ];
    let horizon_ms = find.query_row(range, |row| row.get(0))?;
    Ok(Some(Look {
        dirt,
        newest: newest.base_offset,
        due_ms: earlier(ready_ms, overdue_ms.filter(|_| !is_overdue)),
        horizon_ms,
    }))
}

/// One pass over a partition.
struct Pass<'a> {
    broker: &'a Broker,
    place: &'a Place,
    /// Batches from here on are not touched.
    upper: i64,
    /// The base offset of the newest batch.
    newest: i64,
    rules: &'a Compaction,
    now_ms: i64,
}

impl Pass<'_> {
    /// Returns `None` when the partition is gone or is not compacted any more.
    fn run(&self, compacted: i64) -> Result<Option<Passed>, Halt> {
        let id = self.place.id;
        let aborted = |db: &Connection| read_aborted(db, id, 0, OFFSET_END);
        let given_up = GivenUp::new(&self.broker.readers.read(aborted)?);
        let mut newest = NewestKeys::default();
        let to = self.learn(compacted, &given_up, &mut newest)?;
        let sweep = Sweep::new(&newest, &given_up, self.now_ms, self.rules.tombstones_ms);
        self.sweep(sweep, to)
    }

    /// Learns the keys of what is new. Returns the end of it.
    fn learn(&self, from: i64, given_up: &GivenUp, newest: &mut NewestKeys) -> Result<i64, Halt> {
        let mut to = from;
        while !newest.is_full() {
            let chunk = self.read(to, self.upper)?;
            if chunk.is_empty() {
                return Ok(to.max(self.upper));
            }
            for batch in chunk {
                newest.learn(&batch.bytes, given_up);
                to = batch.last_offset + 1;
                if newest.is_full() {
                    break;
                }
            }
        }
        Ok(to)
    }

    fn sweep(&self, mut sweep: Sweep<'_>, to: i64) -> Result<Option<Passed>, Halt> {
        let mut step = Step::default();
        let (mut from, mut left) = (0, 0);
        loop {
            let chunk = self.read(from, to)?;
            if chunk.is_empty() {
                break;
            }
            for batch in chunk {
                from = batch.last_offset + 1;
                let mut fate = sweep.judge(&batch.bytes, batch.until_ms);
                if fate == Fate::Go && batch.base_offset >= self.newest {
                    fate = Fate::Stay;
                }
                left += step.add(batch, fate);
                if step.is_full() && !self.write(&mut step, None)? {
                    return Ok(None);
                }
            }
        }
        let bytes = i64::try_from(left).unwrap_or(i64::MAX);
        let written = self.write(&mut step, Some(to))?;
        Ok(written.then_some(Passed { to, bytes }))
    }

    fn write(&self, step: &mut Step, compacted: Option<i64>) -> Result<bool, Halt> {
        let Step { changes, bytes } = std::mem::take(step);
        let place = self.place.clone();
        let done = self.broker.queue.submit(bytes, move |ledger| {
            swap(ledger, &place, changes, compacted)
        });
        Ok(done.wait()?)
    }

    /// Reads some of the batches from `from` on, below `upper`.
    fn read(&self, from: i64, upper: i64) -> Result<Vec<Batch>, Halt> {
        if self.broker.is_stopping() {
            return Err(Halt::Stopping);
        }
        let id = self.place.id;
        Ok(self
            .broker
            .readers
            .read(|db| read_batches(db, &self.broker.readers.segments, id, from, upper))?)
    }
}

/// A stored batch.
struct Batch {
    base_offset: i64,
    last_offset: i64,
    /// None where they cannot be read: it counts as damaged.
    bytes: Bytes,
    until_ms: Option<i64>,
}

fn read_batches(
    db: &Connection,
    segments: &Segments,
    id: PartitionId,
    from: i64,
    upper: i64,
) -> rusqlite::Result<Vec<Batch>> {
    let mut scan = db.prepare_cached(
        "select bytes, segment, position, length, id, last_offset, horizon.due_ms
         from batch left join horizon on horizon.batch = batch.id
         where batch.id >= ?1 and batch.id < ?2 order by batch.id",
    )?;
    let mut rows = scan.query(params![batch_row(id, from), batch_row(id, upper)])?;
    let (mut batches, mut read) = (Vec::new(), 0);
    while read < READ_BYTES
        && let Some(row) = rows.next()?
    {
        let bytes = match bytes_of(row, segments) {
            Err(error) if is_damage(&error) => Bytes::new(),
            bytes => bytes?,
        };
        let base_offset = row_offset(row.get(4)?);
        // What is not at its place is as damaged as what no checksum fits: it stays as it is.
        let is_placed = is_placed_at(&bytes, base_offset);
        let bytes = if is_placed { bytes } else { Bytes::new() };
        let batch = Batch {
            base_offset,
            last_offset: row.get(5)?,
            bytes,
            until_ms: row.get(6)?,
        };
        read += batch.bytes.len();
        batches.push(batch);
    }
    Ok(batches)
}

/// Changes that go into one commit.
#[derive(Default)]
struct Step {
    changes: Vec<Change>,
    bytes: usize,
}

impl Step {
    /// Adds what becomes of a batch. Returns the bytes that it has then.
    fn add(&mut self, batch: Batch, fate: Fate) -> usize {
        let (before, base_offset) = (batch.bytes.len(), batch.base_offset);
        let (after, to) = match fate {
            Fate::Stay => return before,
            Fate::StayUntil(until_ms) => (before, Becomes::Kept { until_ms }),
            Fate::Shrink { bytes, until_ms } => {
                self.bytes += before + bytes.len();
                (bytes.len(), Becomes::Replaced { bytes, until_ms })
            }
            Fate::Go => {
                self.bytes += before;
                (0, Becomes::Gone)
            }
        };
        self.changes.push(Change { base_offset, to });
        after
    }

    fn is_full(&self) -> bool {
        self.bytes >= STEP_BYTES || self.changes.len() >= STEP_BATCHES
    }
}
