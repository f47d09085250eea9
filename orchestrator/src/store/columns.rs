//! Rows as both databases return them, and what they are in the domain.

use super::packed::unpack;
use super::{
    DefinitionRow, Epoch, JournalKind, JournalRow, ListQuery, SagaRow, SagaStatus, SagaSummary,
    ShardId, ShardRow, StoreError,
};

/// `id, epoch, owner, inbox_next_offset, journal_seq, published_seq`
pub(super) type ShardColumns = (i32, i64, String, i64, i64, i64);

/// `key, definition_hash, shard, status, seq, wake_at_ms, tags, parked_reason, state, started_at_ms, ended_at_ms`
pub(super) type SagaColumns = (
    String,
    String,
    i32,
    i16,
    i64,
    Option<i64>,
    String,
    Option<String>,
    Vec<u8>,
    i64,
    Option<i64>,
);

/// `shard, seq, kind, saga_key, saga_seq, at_ms, entry`
pub(super) type JournalColumns = (i32, i64, i16, String, i64, i64, Vec<u8>);

/// `key, status, seq, shard, parked_reason, tags, started_at_ms, ended_at_ms`
pub(super) type SummaryColumns = (
    String,
    i16,
    i64,
    i32,
    Option<String>,
    String,
    i64,
    Option<i64>,
);

/// `hash, name, source, first_seen_at_ms`
pub(super) type DefinitionColumns = (String, String, String, i64);

pub(super) fn shard(row: ShardColumns) -> ShardRow {
    let (id, epoch, owner, inbox_next_offset, journal_seq, published_seq) = row;
    ShardRow {
        id: ShardId(id),
        epoch: Epoch(epoch),
        owner,
        inbox_next_offset,
        journal_seq,
        published_seq,
    }
}

pub(super) fn saga(row: SagaColumns) -> Result<SagaRow, StoreError> {
    let (key, definition_hash, shard, status, seq, wake, tags, parked_reason, state, start, end) =
        row;
    let status = status_of(status, &key)?;
    Ok(SagaRow {
        key,
        definition_hash,
        shard: ShardId(shard),
        status,
        seq,
        wake_at_ms: wake,
        tags,
        parked_reason,
        state: unpack(state)?,
        started_at_ms: start,
        ended_at_ms: end,
    })
}

pub(super) fn journal(row: JournalColumns) -> Result<JournalRow, StoreError> {
    let (shard, seq, kind, saga_key, saga_seq, at_ms, entry) = row;
    let kind = JournalKind::from_number(kind).ok_or_else(|| StoreError::Corrupt {
        what: format!("row {seq} of the journal of shard {shard} has the unknown kind {kind}"),
    })?;
    Ok(JournalRow {
        shard: ShardId(shard),
        seq,
        kind,
        saga_key,
        saga_seq,
        at_ms,
        entry: unpack(entry)?,
    })
}

pub(super) fn summary(row: SummaryColumns) -> Result<SagaSummary, StoreError> {
    let (key, status, seq, shard, parked_reason, tags, started_at_ms, ended_at_ms) = row;
    let status = status_of(status, &key)?;
    Ok(SagaSummary {
        key,
        status,
        seq,
        shard: ShardId(shard),
        parked_reason,
        tags,
        started_at_ms,
        ended_at_ms,
    })
}

pub(super) fn definition(row: DefinitionColumns) -> DefinitionRow {
    let (hash, name, source, first_seen_at_ms) = row;
    DefinitionRow {
        hash,
        name,
        source,
        first_seen_at_ms,
    }
}

/// One line for each status, those without a saga too.
pub(super) fn counts(rows: &[(i16, i64)]) -> Vec<(SagaStatus, i64)> {
    let of = |status: SagaStatus| rows.iter().find(|row| row.0 == status.number());
    SagaStatus::ALL
        .map(|status| (status, of(status).map_or(0, |row| row.1)))
        .to_vec()
}

/// Where a page of a list begins; for the first page, above every saga.
pub(super) fn list_after(query: &ListQuery) -> (i64, &str) {
    query
        .after
        .as_ref()
        .map_or((i64::MAX, "\u{10FFFF}"), |(ms, key)| (*ms, key.as_str()))
}

/// Puts claimed rows in the order asked for.
pub(super) fn in_order(asked: &[ShardId], rows: &[ShardRow]) -> Result<Vec<ShardRow>, StoreError> {
    let row_of = |id: &ShardId| {
        rows.iter()
            .find(|row| row.id == *id)
            .cloned()
            .ok_or_else(|| StoreError::Corrupt {
                what: format!("shard {} does not exist", id.0),
            })
    };
    asked.iter().map(row_of).collect()
}

fn status_of(number: i16, key: &str) -> Result<SagaStatus, StoreError> {
    SagaStatus::from_number(number).ok_or_else(|| StoreError::Corrupt {
        what: format!("saga {key:?} has the unknown status {number}"),
    })
}
