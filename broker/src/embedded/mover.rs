//! What lives in segments that are mostly dead moves to the active one, so that they can be deleted.
//!
//! The cleaner does it, in steps that go through the write queue. It alone rewrites batches, so a batch that it has read
//! is, at the commit, where it was or gone.

use std::collections::BTreeSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::is_intact;
use super::broker::Broker;
use super::cleaner::Halt;
use super::error::is_damage;
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::segments::Spot;
use super::storage::row_offset;

/// Bytes that one step moves; one batch may have more.
const STEP_BYTES: usize = 1 << 20;
/// Segments below a quarter of their size that are left as they are. Each start of the broker may leave one.
const SMALL_MAX: usize = 8;
/// Segments that one round empties; it rests for longer than that takes.
const ROUND_SEGMENTS: usize = 8;

/// What cannot be moved.
#[derive(Debug, Default)]
pub(crate) struct Stuck(BTreeSet<i64>);

/// A batch, and where it was read.
struct Moving {
    row: i64,
    from: Spot,
    bytes: Bytes,
}

/// Moves what has to. Returns whether there is more to do.
pub(crate) fn tidy(broker: &Broker, stuck: &mut Stuck) -> Result<bool, Halt> {
    let worn = worn(broker, stuck)?;
    let mut failed = None;
    for &segment in worn.iter().take(ROUND_SEGMENTS) {
        match empty(broker, segment) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(
                    file = %broker.readers.segments.path(segment).display(),
                    "embedded broker: of a file of records not everything can be read, so its space is not given back"
                );
                stuck.0.insert(segment);
            }
            Err(Halt::Stopping) => return Err(Halt::Stopping),
            // Another one may be in reach.
            Err(error) => failed = failed.or(Some(error)),
        }
        if broker.is_stopping() {
            return Err(Halt::Stopping);
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(worn.len() > ROUND_SEGMENTS),
    }
}

/// The segments that are worth it, those that take least first: less than a half of them lives, or they are small and there
/// are many.
fn worn(broker: &Broker, stuck: &Stuck) -> Result<Vec<i64>, Halt> {
    let sizes = broker.readers.segments.closed();
    if sizes.is_empty() {
        return Ok(Vec::new());
    }
    let lives: Vec<(i64, u64)> = broker.readers.read(|db| {
        let mut find = db.prepare_cached("select id, live from segment where live > 0")?;
        let lives = find.query_map([], |row| {
            let live: i64 = row.get(1)?;
            Ok((row.get(0)?, u64::try_from(live).unwrap_or(0)))
        })?;
        lives.collect()
    })?;
    let (mut worn, mut small) = (Vec::new(), Vec::new());
    for (id, live) in lives {
        let Some(size) = sizes.get(&id).filter(|_| !stuck.0.contains(&id)) else {
            continue;
        };
        if live.saturating_mul(2) < *size {
            worn.push((live, id));
        } else if *size < broker.config.segment_bytes / 4 {
            small.push((live, id));
        }
    }
    if small.len() > SMALL_MAX {
        worn.append(&mut small);
    }
    worn.sort_unstable();
    Ok(worn.into_iter().map(|(_, id)| id).collect())
}

/// Moves all that lives in a segment. Returns whether nothing is left.
fn empty(broker: &Broker, segment: i64) -> Result<bool, Halt> {
    let segments = &broker.readers.segments;
    let mut frames = match broker.readers.read(|_| segments.frames(segment)) {
        // It is not there, or was just deleted.
        Err(error) if is_damage(&error) => Vec::new(),
        frames => frames?,
    };
    // From the end, so that those that are done with come off.
    frames.reverse();
    loop {
        let step = broker
            .readers
            .read(|db| next_step(broker, db, &mut frames))?;
        if step.is_empty() {
            break;
        }
        let bytes = step.iter().map(|moving| moving.bytes.len()).sum();
        broker
            .queue
            .make_room(bytes, move |ledger| move_all(ledger, &step))?;
        if broker.is_stopping() {
            return Err(Halt::Stopping);
        }
    }
    let left = "select live from segment where id = ?1";
    let left = |db: &Connection| db.query_row(left, [segment], |row| row.get(0)).optional();
    let left: Option<i64> = broker.readers.read(left)?;
    Ok(left.is_none_or(|live| live == 0))
}

/// Reads the next of the batches that live.
fn next_step(
    broker: &Broker,
    db: &Connection,
    frames: &mut Vec<(i64, Spot)>,
) -> rusqlite::Result<Vec<Moving>> {
    let (mut step, mut bytes) = (Vec::new(), 0);
    while bytes < STEP_BYTES
        && let Some((row, from)) = frames.pop()
    {
        if !is_at(db, row, from)? {
            continue;
        }
        let read = match broker.readers.segments.read(row, from) {
            // What is damaged stays, for its readers to be told.
            Err(error) if is_damage(&error) => continue,
            Ok(read) if !is_intact(&read, row_offset(row)) => continue,
            read => read?,
        };
        bytes += read.len();
        step.push(Moving {
            row,
            from,
            bytes: read,
        });
    }
    Ok(step)
}

fn is_at(db: &Connection, row: i64, spot: Spot) -> rusqlite::Result<bool> {
    let find =
        "select exists (select 1 from batch where id = ?1 and segment = ?2 and position = ?3)";
    db.prepare_cached(find)?
        .query_row(params![row, spot.segment, spot.position], |row| row.get(0))
}

fn move_all(ledger: &mut Ledger, step: &[Moving]) -> rusqlite::Result<()> {
    for moving in step {
        if is_at(&ledger.db, moving.row, moving.from)? {
            ledger.put(moving.row, &moving.bytes)?;
            reach(Point::BatchMoved)?;
        }
    }
    Ok(())
}
