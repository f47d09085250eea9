//! What is forgotten because nobody has used it for long: offsets of groups, producers, transactional ids.
//!
//! The offsets of a group with members are touched with every look, so that they rest from about when the last one left.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::params;

use super::broker::Broker;
use super::cleaner::Halt;
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::partition::PartitionId;

/// Longest time between two looks; they come more often when something is kept for less than eight times that.
const LOOK_EVERY_MAX: Duration = Duration::from_hours(1);
/// What is forgotten in one commit.
const STEP: usize = 500;

/// Forgets what has rested too long. Returns when to look again, in milliseconds since 1970.
pub(crate) fn expire(broker: &Broker, now_ms: i64) -> Result<i64, Halt> {
    let config = &broker.config;
    let every = (config.offsets_retention.min(config.producers_retention) / 8)
        .min(LOOK_EVERY_MAX)
        .max(config.clean_every);
    let every_ms = millis(every);
    let offsets_before = now_ms - millis(config.offsets_retention) - every_ms;
    expire_offsets(broker, now_ms, now_ms - every_ms / 2, offsets_before)?;
    let rested_before = now_ms - millis(config.producers_retention);
    expire_producers(broker, rested_before)?;
    expire_transactional_ids(broker, rested_before)?;
    Ok(now_ms + every_ms)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Touches the offsets of groups with members, and deletes those of others that were not touched since `before`.
fn expire_offsets(broker: &Broker, now_ms: i64, touch: i64, before: i64) -> Result<(), Halt> {
    let with_members: HashSet<String> = broker
        .coordinator
        .look_at_all(|name, group| (!group.members.is_empty()).then(|| name.to_owned()))
        .into_iter()
        .flatten()
        .collect();
    let rested = broker.readers.read(|db| {
        let mut find = db.prepare_cached(
            "select group_id, min(committed_ms) from group_offset group by group_id having min(committed_ms) < ?1",
        )?;
        let rows = find.query_map([touch], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, i64)>>>()
    })?;
    let (alive, rested): (Vec<_>, Vec<_>) = rested
        .into_iter()
        .partition(|(group, _)| with_members.contains(group));
    for some in alive.chunks(STEP) {
        let groups: Vec<String> = some.iter().map(|(group, _)| group.clone()).collect();
        broker
            .queue
            .write(move |ledger| touch_offsets(ledger, &groups, now_ms))?;
    }
    let rested: Vec<_> = rested.iter().filter(|(_, at)| *at < before).collect();
    for some in rested.chunks(STEP) {
        let groups: Vec<String> = some.iter().map(|(group, _)| group.clone()).collect();
        broker
            .queue
            .write(move |ledger| delete_offsets(ledger, &groups, before))?;
    }
    Ok(())
}

fn touch_offsets(ledger: &mut Ledger, groups: &[String], now_ms: i64) -> rusqlite::Result<()> {
    let mut touch = ledger
        .db
        .prepare_cached("update group_offset set committed_ms = ?2 where group_id = ?1")?;
    for group in groups {
        touch.execute(params![group, now_ms])?;
    }
    Ok(())
}

/// Commits that came meanwhile have touched theirs; those of an open transaction are on their way.
fn delete_offsets(ledger: &mut Ledger, groups: &[String], before: i64) -> rusqlite::Result<()> {
    for group in groups {
        if ledger.txn_holds(group)? {
            continue;
        }
        let deleted = ledger
            .db
            .prepare_cached("delete from group_offset where group_id = ?1 and committed_ms < ?2")?
            .execute(params![group, before])?;
        reach(Point::OffsetsForgotten)?;
        tracing::info!(%group, deleted, "embedded broker: the offsets of a group that rests are forgotten");
    }
    Ok(())
}

fn expire_producers(broker: &Broker, before: i64) -> Result<(), Halt> {
    loop {
        let rested = broker.readers.read(|db| {
            let mut find = db.prepare_cached(
                "select partition, producer_id from producer where touched_ms < ?1 limit ?2",
            )?;
            let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
            let rows = find.query_map([before, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()
        })?;
        if rested.is_empty() {
            return Ok(());
        }
        let forgotten = broker.queue.write(move |ledger| {
            let mut count = 0;
            for (partition, producer) in rested {
                let gone = ledger.forget_producer(PartitionId(partition), producer, before)?;
                count += usize::from(gone);
            }
            Ok(count)
        })?;
        if forgotten < STEP {
            return Ok(());
        }
    }
}

fn expire_transactional_ids(broker: &Broker, before: i64) -> Result<(), Halt> {
    let rested = broker.readers.read(|db| {
        let mut find =
            db.prepare_cached("select id from txn where started_ms is null and touched_ms < ?1")?;
        let rows = find.query_map([before], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    })?;
    for some in rested.chunks(STEP) {
        let ids = some.to_vec();
        broker
            .queue
            .write(move |ledger| forget_txns(ledger, &ids, before))?;
    }
    Ok(())
}

fn forget_txns(ledger: &mut Ledger, ids: &[String], before: i64) -> rusqlite::Result<()> {
    let mut gone = HashSet::new();
    for id in ids {
        let deleted = ledger
            .db
            .prepare_cached(
                "delete from txn where id = ?1 and started_ms is null and touched_ms < ?2",
            )?
            .execute(params![id, before])?;
        reach(Point::TxnForgotten)?;
        if deleted > 0 {
            ledger.txns.remove(id);
            gone.insert(id);
        }
    }
    ledger.owners.retain(|_, id| !gone.contains(id));
    Ok(())
}
