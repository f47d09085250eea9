//! The writer's part of compaction: one step of it, in the transaction of whatever else is committed then.

use bytes::Bytes;
use rusqlite::params;

use super::batch::BatchHeader;
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::partition::{PartitionId, Swapped};
use super::policy::{Policy, Retention};
use super::storage::batch_row;

/// A partition by its names: a topic may be deleted and made again while its cleaner works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) index: i32,
    pub(crate) id: PartitionId,
}

impl Place {
    /// Whether the name still stands for this partition.
    pub(crate) fn is_there(&self, ledger: &Ledger) -> bool {
        ledger.log_of(&self.topic, self.index) == Some(self.id)
    }
}

/// What becomes of one batch.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) base_offset: i64,
    pub(crate) to: Becomes,
}

#[derive(Debug, Clone)]
pub(crate) enum Becomes {
    /// It stays; its tombstones or its marker may go from that time on (milliseconds since 1970).
    Kept {
        until_ms: i64,
    },
    Replaced {
        bytes: Bytes,
        until_ms: Option<i64>,
    },
    Gone,
}

/// Makes the changes to those of the batches that are still there. Returns false, having changed nothing, when the
/// partition is gone or is not compacted any more.
///
/// Whoever planned the changes has seen the batches as they are: batches are rewritten by the cleaner alone, which does
/// one thing at a time, and a row that went (by retention, or because somebody deleted records) never comes back.
pub(crate) fn swap(
    ledger: &mut Ledger,
    place: &Place,
    changes: Vec<Change>,
    compacted: Option<i64>,
) -> rusqlite::Result<bool> {
    let compacts = ledger.map.get(&place.topic).is_some_and(|topic| {
        let policy = Policy::of(&topic.configs, Retention::default());
        policy.compaction.is_some()
    });
    if !place.is_there(ledger) || !compacts {
        return Ok(false);
    }
    let mut swapped = Vec::new();
    for Change { base_offset, to } in changes {
        match to {
            Becomes::Kept { until_ms } => note_horizon(ledger, place.id, base_offset, until_ms)?,
            Becomes::Replaced { bytes, until_ms } => {
                if replace(ledger, place.id, base_offset, &bytes, until_ms)? {
                    let bytes = Some(bytes);
                    swapped.push(Swapped { base_offset, bytes });
                }
            }
            Becomes::Gone => {
                remove(ledger, place.id, base_offset)?;
                swapped.push(Swapped {
                    base_offset,
                    bytes: None,
                });
            }
        }
    }
    if let Some(compacted) = compacted {
        ledger
            .db
            .prepare_cached("update partition set compacted = max(compacted, ?2) where id = ?1")?
            .execute(params![place.id.0, compacted])?;
    }
    reach(Point::Swapped)?;
    if !swapped.is_empty() {
        ledger.log(place.id).swapped.extend(swapped);
        ledger.changed.insert(place.id);
    }
    Ok(true)
}

fn note_horizon(
    ledger: &Ledger,
    id: PartitionId,
    base_offset: i64,
    until_ms: i64,
) -> rusqlite::Result<()> {
    ledger
        .db
        .prepare_cached(
            "insert or replace into horizon (batch, due_ms) select id, ?2 from batch where id = ?1",
        )?
        .execute(params![batch_row(id, base_offset), until_ms])?;
    Ok(())
}

fn forget_horizon(ledger: &Ledger, row: i64) -> rusqlite::Result<()> {
    ledger
        .db
        .prepare_cached("delete from horizon where batch = ?1")?
        .execute([row])?;
    Ok(())
}

fn replace(
    ledger: &mut Ledger,
    id: PartitionId,
    base_offset: i64,
    bytes: &Bytes,
    until_ms: Option<i64>,
) -> rusqlite::Result<bool> {
    let row = batch_row(id, base_offset);
    let max_timestamp = BatchHeader::read(bytes).max_timestamp;
    let find = "select exists (select 1 from batch where id = ?1)";
    let is_there = ledger
        .db
        .prepare_cached(find)?
        .query_row([row], |row| row.get(0))?;
    if is_there {
        ledger.put(row, bytes)?;
        ledger
            .db
            .prepare_cached("update batch set max_timestamp = ?2 where id = ?1")?
            .execute(params![row, max_timestamp])?;
    }
    reach(Point::BatchReplaced)?;
    match until_ms {
        Some(until_ms) => note_horizon(ledger, id, base_offset, until_ms)?,
        None => forget_horizon(ledger, row)?,
    }
    Ok(is_there)
}

fn remove(ledger: &mut Ledger, id: PartitionId, base_offset: i64) -> rusqlite::Result<()> {
    let row = batch_row(id, base_offset);
    ledger.emptied = true;
    ledger
        .db
        .prepare_cached("delete from batch where id = ?1")?
        .execute([row])?;
    reach(Point::BatchRemoved)?;
    forget_horizon(ledger, row)?;
    // If it was the marker of a transaction that was given up.
    ledger
        .db
        .prepare_cached("delete from aborted where partition = ?1 and marker_offset = ?2")?
        .execute(params![id.0, base_offset])?;
    Ok(())
}
