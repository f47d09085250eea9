//! Transactions: what is open, and how it ends. The requests are in `txn_api`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::ResponseError;
use rusqlite::{OptionalExtension, params};

use super::batch::{BatchHeader, end_marker, placed};
use super::failpoint::{Point, reach};
use super::ledger::{Ledger, now_ms};
use super::partition::{Aborted, PartitionId};

/// A transactional id and its producer.
#[derive(Debug, Clone)]
pub(crate) struct Txn {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) timeout_ms: i32,
    /// Milliseconds since 1970 at which the open transaction began; `None` when none is open.
    pub(crate) started_ms: Option<i64>,
    pub(crate) partitions: BTreeSet<PartitionId>,
    /// How the transaction before ended.
    pub(crate) before: Before,
    /// The epoch that this producer had before it asked for a new one. It may ask again, its answer being lost.
    pub(crate) previous_epoch: Option<i16>,
}

/// How the last transaction of an id ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// There was none since the producer began.
    Nothing,
    Committed,
    Aborted,
    /// It was before the broker started.
    Unknown,
}

/// Where a transactional id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    Committed,
    Aborted,
}

impl Txn {
    /// A producer that has not begun a transaction.
    pub(crate) fn new(producer_id: i64, epoch: i16, timeout_ms: i32, before: Before) -> Txn {
        Txn {
            producer_id,
            epoch,
            timeout_ms,
            started_ms: None,
            partitions: BTreeSet::new(),
            before,
            previous_epoch: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        match (self.started_ms, self.before) {
            (Some(_), _) => State::Ongoing,
            (None, Before::Nothing | Before::Unknown) => State::Empty,
            (None, Before::Committed) => State::Committed,
            (None, Before::Aborted) => State::Aborted,
        }
    }

    /// Whether a wish to end the transaction that finds none open is the wish of before, its answer being lost.
    pub(crate) fn was_ended(&self, committed: bool) -> bool {
        match self.before {
            Before::Nothing => false,
            Before::Committed => committed,
            Before::Aborted => !committed,
            Before::Unknown => true,
        }
    }

    fn expires_ms(&self) -> Option<i64> {
        Some(self.started_ms?.saturating_add(i64::from(self.timeout_ms)))
    }
}

/// When the next open transaction runs out of time.
#[derive(Debug, Default)]
pub(crate) struct TxnClock {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Next {
    /// Milliseconds since 1970; `None` when nothing is open.
    at_ms: Option<i64>,
    closed: bool,
}

impl TxnClock {
    /// Takes over the transactions of a commit.
    pub(crate) fn publish(&self, txns: &HashMap<String, Txn>) {
        let at_ms = txns.values().filter_map(Txn::expires_ms).min();
        self.next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .at_ms = at_ms;
        self.changed.notify_all();
    }

    /// Ends [`TxnClock::wait_due`].
    pub(crate) fn close(&self) {
        self.next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.changed.notify_all();
    }

    /// Waits so long, or until closed.
    pub(crate) fn rest(&self, pause: Duration) {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = self
            .changed
            .wait_timeout_while(next, pause, |next| !next.closed);
        drop(rested);
    }

    /// Waits until a transaction is out of time. Returns false when closed.
    pub(crate) fn wait_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while !next.closed {
            next = match next
                .at_ms
                .map(|at| u64::try_from(at - now_ms()).unwrap_or(0))
            {
                None => self
                    .changed
                    .wait(next)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(0) => {
                    next.at_ms = None; // The commit that ends it publishes the next one.
                    return true;
                }
                Some(left) => {
                    let left = Duration::from_millis(left);
                    let woken = self.changed.wait_timeout(next, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        false
    }
}

/// Reads what is open.
pub(crate) fn read(ledger: &mut Ledger) -> rusqlite::Result<()> {
    let mut txns = HashMap::new();
    let mut find = ledger
        .db
        .prepare("select id, producer_id, epoch, timeout_ms, started_ms from txn")?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let txn = Txn {
            started_ms: row.get(4)?,
            ..Txn::new(row.get(1)?, row.get(2)?, row.get(3)?, Before::Unknown)
        };
        txns.insert(row.get::<_, String>(0)?, txn);
    }
    drop(rows);
    drop(find);
    let mut find = ledger
        .db
        .prepare("select txn, partition, first_offset from txn_partition")?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let Some(txn) = txns.get_mut(row.get_ref(0)?.as_str()?) else {
            continue;
        };
        let id = PartitionId(row.get(1)?);
        let Some(log) = ledger.logs.get_mut(&id) else {
            continue;
        };
        txn.partitions.insert(id);
        if let Some(first_offset) = row.get::<_, Option<i64>>(2)? {
            log.open.insert(txn.producer_id, first_offset);
        }
    }
    drop(rows);
    drop(find);
    ledger.owners = txns
        .iter()
        .map(|(id, txn)| (txn.producer_id, id.clone()))
        .collect();
    ledger.txns = txns;
    Ok(())
}

impl Ledger {
    /// Finds the transactional id's state, if that producer may speak for it.
    pub(crate) fn txn(
        &mut self,
        id: &str,
        producer_id: i64,
        epoch: i16,
    ) -> Result<&mut Txn, ResponseError> {
        let txn = self
            .txns
            .get_mut(id)
            .ok_or(ResponseError::InvalidProducerIdMapping)?;
        if txn.producer_id != producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if txn.epoch != epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(txn)
    }

    /// Opens a transaction unless one is open.
    pub(crate) fn txn_begin(&mut self, id: &str) -> rusqlite::Result<()> {
        let Some(txn) = self.txns.get_mut(id).filter(|txn| txn.started_ms.is_none()) else {
            return Ok(());
        };
        txn.started_ms = Some(now_ms());
        self.txns_changed = true;
        self.db.execute(
            "update txn set started_ms = ?2 where id = ?1",
            params![id, txn.started_ms],
        )?;
        reach(Point::TxnBegun)
    }

    /// Adds a partition to the open transaction.
    pub(crate) fn txn_add_partition(
        &mut self,
        id: &str,
        partition: PartitionId,
    ) -> rusqlite::Result<()> {
        if let Some(txn) = self.txns.get_mut(id)
            && txn.partitions.insert(partition)
        {
            let add = "insert or ignore into txn_partition (txn, partition) values (?1, ?2)";
            self.db
                .prepare_cached(add)?
                .execute(params![id, partition.0])?;
        }
        Ok(())
    }

    /// Whether a transactional batch may be appended.
    pub(crate) fn txn_allows(
        &self,
        partition: PartitionId,
        header: &BatchHeader,
    ) -> Result<(), ResponseError> {
        let owner = self
            .owners
            .get(&header.producer_id)
            .and_then(|id| self.txns.get(id));
        let Some(txn) = owner else {
            return if header.is_transactional() {
                Err(ResponseError::InvalidProducerIdMapping)
            } else {
                Ok(())
            };
        };
        if header.producer_epoch != txn.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if header.is_transactional()
            && (txn.started_ms.is_none() || !txn.partitions.contains(&partition))
        {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(())
    }

    /// Notes the first offset that a transaction wrote in a partition.
    pub(crate) fn txn_wrote(
        &mut self,
        partition: PartitionId,
        producer_id: i64,
        offset: i64,
    ) -> rusqlite::Result<()> {
        let log = self.log(partition);
        if log.open.contains_key(&producer_id) {
            return Ok(());
        }
        log.open.insert(producer_id, offset);
        if let Some(id) = self.owners.get(&producer_id) {
            let note =
                "update txn_partition set first_offset = ?3 where txn = ?1 and partition = ?2";
            self.db
                .prepare_cached(note)?
                .execute(params![id, partition.0, offset])?;
        }
        Ok(())
    }

    /// Ends the open transaction: markers in its partitions, its offsets kept or dropped.
    pub(crate) fn txn_end(&mut self, id: &str, committed: bool) -> rusqlite::Result<()> {
        let Some(txn) = self.txns.get_mut(id) else {
            return Ok(());
        };
        txn.started_ms = None;
        txn.before = if committed {
            Before::Committed
        } else {
            Before::Aborted
        };
        self.txns_changed = true;
        let (producer_id, epoch) = (txn.producer_id, txn.epoch);
        for partition in std::mem::take(&mut txn.partitions) {
            let Some(log) = self.logs.get_mut(&partition) else {
                continue;
            };
            let Some(first_offset) = log.open.remove(&producer_id) else {
                continue;
            };
            let marker_offset = log.next;
            if !committed {
                log.aborted.push(Aborted {
                    producer_id,
                    first_offset,
                    marker_offset,
                });
                self.db
                    .prepare_cached("insert into aborted (partition, marker_offset, producer_id, first_offset) values (?1, ?2, ?3, ?4)")?
                    .execute(params![partition.0, marker_offset, producer_id, first_offset])?;
            }
            let marker = placed(
                end_marker(producer_id, epoch, committed, now_ms()),
                marker_offset,
                None,
            );
            self.append(partition, &BatchHeader::read(&marker), marker)?;
            self.change_window(partition, producer_id, epoch, |window| {
                window.advance_epoch(epoch)
            })?;
            reach(Point::MarkerWritten)?;
        }
        if committed {
            self.db.execute(
                "insert or replace into group_offset (group_id, topic, position, committed, leader_epoch, metadata, committed_ms)
                 select group_id, topic, position, committed, leader_epoch, metadata, ?2 from txn_offset where txn = ?1",
                params![id, now_ms()],
            )?;
            reach(Point::OffsetsMoved)?;
        }
        self.db
            .execute("delete from txn_partition where txn = ?1", [id])?;
        self.db
            .execute("delete from txn_offset where txn = ?1", [id])?;
        self.db.execute(
            "update txn set started_ms = null, touched_ms = ?2 where id = ?1",
            params![id, now_ms()],
        )?;
        Ok(())
    }

    /// Raises the epoch, so that whoever held the older one can write no more.
    pub(crate) fn txn_fence(&mut self, id: &str) -> rusqlite::Result<()> {
        if let Some(txn) = self.txns.get_mut(id) {
            txn.epoch = txn.epoch.saturating_add(1);
            self.db.execute(
                "update txn set epoch = ?2, touched_ms = ?3 where id = ?1",
                params![id, txn.epoch, now_ms()],
            )?;
        }
        Ok(())
    }

    /// Gives up every transaction that is out of time. Returns their ids.
    pub(crate) fn txn_expire(&mut self) -> rusqlite::Result<Vec<String>> {
        let now = now_ms();
        let late = |txn: &Txn| txn.expires_ms().is_some_and(|at| at <= now);
        let ids: Vec<String> = self
            .txns
            .iter()
            .filter(|(_, txn)| late(txn))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &ids {
            self.txn_fence(id)?;
            reach(Point::TxnFenced)?;
            self.txn_end(id, false)?;
        }
        self.txns_changed = true;
        Ok(ids)
    }

    /// Whether an open transaction has written offsets of that group.
    pub(crate) fn txn_holds(&self, group: &str) -> rusqlite::Result<bool> {
        let find = "select 1 from txn_offset where group_id = ?1 limit 1";
        Ok(self
            .db
            .query_row(find, [group], |_| Ok(()))
            .optional()?
            .is_some())
    }
}
