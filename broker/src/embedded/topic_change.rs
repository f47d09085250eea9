//! Changes to topics, made in the writer's transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use rusqlite::params;
use uuid::Uuid;

use super::configs;
use super::failpoint::{Point, reach};
use super::ledger::Ledger;
use super::partition::{Partition, PartitionId};
use super::protocol::count;
use super::settings;
use super::storage::{OFFSET_END, batch_row};
use super::topics::Topic;

/// Longest name of a topic, as in Kafka.
const NAME_MAX: usize = 249;
/// Partitions that one topic may have.
const PARTITIONS_MAX: i32 = 10_000;

/// Why an admin request was refused, in a code and in words.
pub(crate) type Refusal = (ResponseError, String);

/// A topic to make.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    pub(crate) partition_count: i32,
    pub(crate) configs: BTreeMap<String, String>,
}

/// Whether a topic may be called so.
pub(crate) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

pub(crate) fn create(
    ledger: &mut Ledger,
    new: &NewTopic,
    validate_only: bool,
) -> rusqlite::Result<Result<Uuid, Refusal>> {
    if ledger.map.contains_key(&new.name) {
        return Ok(Err((
            ResponseError::TopicAlreadyExists,
            format!("topic {} exists already", new.name),
        )));
    }
    if !is_valid_name(&new.name) {
        let message = format!(
            "topic name {:?} is not 1 to {NAME_MAX} letters, digits, '.', '_' and '-'",
            new.name
        );
        return Ok(Err((ResponseError::InvalidTopicException, message)));
    }
    if !(1..=PARTITIONS_MAX).contains(&new.partition_count) {
        let message = format!(
            "{} partitions: a topic has 1 to {PARTITIONS_MAX}",
            new.partition_count
        );
        return Ok(Err((ResponseError::InvalidPartitions, message)));
    }
    let uuid = Uuid::new_v4();
    if validate_only {
        return Ok(Ok(uuid));
    }
    ledger.db.execute(
        "insert into topic (name, uuid) values (?1, ?2)",
        params![new.name, uuid.to_string()],
    )?;
    let id = ledger.db.last_insert_rowid();
    reach(Point::TopicNamed)?;
    let partitions = add_partitions(ledger, id, 0..new.partition_count)?;
    let topic = Topic {
        id,
        uuid,
        configs: new.configs.clone(),
        partitions,
    };
    configs::save(ledger, &topic)?;
    ledger.map.insert(new.name.clone(), Arc::new(topic));
    ledger.map_changed = true;
    Ok(Ok(uuid))
}

fn add_partitions(
    ledger: &mut Ledger,
    topic: i64,
    positions: std::ops::Range<i32>,
) -> rusqlite::Result<Vec<Arc<Partition>>> {
    let mut partitions = Vec::new();
    for position in positions {
        ledger
            .db
            .prepare_cached("insert into partition (topic, position, start) values (?1, ?2, 0)")?
            .execute(params![topic, position])?;
        let id = PartitionId(ledger.db.last_insert_rowid());
        partitions.push(ledger.add_log(id));
        reach(Point::PartitionAdded)?;
    }
    Ok(partitions)
}

pub(crate) fn widen(
    ledger: &mut Ledger,
    wish: &CreatePartitionsTopic,
    validate_only: bool,
) -> rusqlite::Result<Result<(), Refusal>> {
    let Some(topic) = ledger.map.get(wish.name.as_str()) else {
        return Ok(Err((
            ResponseError::UnknownTopicOrPartition,
            "no such topic".to_owned(),
        )));
    };
    let mut topic = Topic::clone(topic);
    let has = count(topic.partitions.len());
    if wish.count <= has || wish.count > PARTITIONS_MAX {
        let message =
            format!("the topic has {has} partitions; it can get more, up to {PARTITIONS_MAX}");
        return Ok(Err((ResponseError::InvalidPartitions, message)));
    }
    if validate_only {
        return Ok(Ok(()));
    }
    topic
        .partitions
        .extend(add_partitions(ledger, topic.id, has..wish.count)?);
    ledger.map.insert(wish.name.to_string(), Arc::new(topic));
    ledger.map_changed = true;
    Ok(Ok(()))
}

pub(crate) fn delete(ledger: &mut Ledger, name: &str) -> rusqlite::Result<Result<(), Refusal>> {
    let Some(topic) = ledger.map.remove(name) else {
        return Ok(Err((
            ResponseError::UnknownTopicOrPartition,
            "no such topic".to_owned(),
        )));
    };
    for partition in &topic.partitions {
        let id = partition.id;
        let rows = params![batch_row(id, 0), batch_row(id, OFFSET_END - 1)];
        ledger
            .db
            .prepare_cached("delete from batch where id between ?1 and ?2")?
            .execute(rows)?;
        ledger
            .db
            .prepare_cached("delete from horizon where batch between ?1 and ?2")?
            .execute(rows)?;
        for table in ["producer", "txn_partition", "aborted"] {
            ledger
                .db
                .prepare_cached(&format!("delete from {table} where partition = ?1"))?
                .execute([id.0])?;
        }
        ledger.emptied = true;
        ledger.logs.remove(&id);
        ledger.changed.remove(&id);
        ledger.dropped.push(Arc::clone(partition));
        reach(Point::PartitionEmptied)?;
    }
    ledger
        .db
        .execute("delete from partition where topic = ?1", [topic.id])?;
    ledger
        .db
        .execute("delete from topic_config where topic = ?1", [topic.id])?;
    ledger
        .db
        .execute("delete from topic where id = ?1", [topic.id])?;
    ledger
        .db
        .execute("delete from group_offset where topic = ?1", [name])?;
    ledger
        .db
        .execute("delete from txn_offset where topic = ?1", [name])?;
    ledger.map_changed = true;
    Ok(Ok(()))
}

/// Deletes what lies before `offset`; -1 is the end. Returns the new start.
///
/// A topic that is only compacted promises the newest record of each key, so nothing is deleted from it.
pub(crate) fn delete_before(
    ledger: &mut Ledger,
    topic: &str,
    index: i32,
    offset: i64,
) -> rusqlite::Result<Result<i64, ResponseError>> {
    let Some(id) = ledger.log_of(topic, index) else {
        return Ok(Err(ResponseError::UnknownTopicOrPartition));
    };
    let configs = ledger.map.get(topic).map(|topic| &topic.configs);
    if configs.is_some_and(|configs| !settings::is_deleted(configs)) {
        return Ok(Err(ResponseError::PolicyViolation));
    }
    let log = ledger.log(id);
    let start = if offset == -1 { log.next } else { offset };
    if start < 0 || start > log.next {
        return Ok(Err(ResponseError::OffsetOutOfRange));
    }
    if start <= log.start {
        return Ok(Ok(log.start));
    }
    log.start = start;
    ledger.changed.insert(id);
    ledger.emptied = true;
    let rows = params![batch_row(id, 0), batch_row(id, start), start];
    ledger.db.execute(
        "delete from batch where id >= ?1 and id < ?2 and last_offset < ?3",
        rows,
    )?;
    reach(Point::RecordsDeleted)?;
    // Of these rows, the batch that holds the new start is still there.
    ledger.db.execute(
        "delete from horizon where batch >= ?1 and batch < ?2
         and batch not in (select id from batch where id >= ?1 and id < ?2)",
        params![batch_row(id, 0), batch_row(id, start)],
    )?;
    ledger.db.execute(
        "delete from aborted where partition = ?1 and marker_offset < ?2",
        params![id.0, start],
    )?;
    ledger.db.execute(
        "update partition set start = ?2 where id = ?1",
        params![id.0, start],
    )?;
    Ok(Ok(start))
}
