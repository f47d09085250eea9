//! Reading the file into the ledger, at the start and after a failure.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::ledger::{Ledger, Log, PRODUCER_ID_FIRST};
use super::partition::{Aborted, Partition, PartitionId};
use super::storage::{OFFSET_END, batch_row, row_offset};
use super::topics::{Topic, TopicMap};

impl Ledger {
    pub(crate) fn read(&mut self) -> rusqlite::Result<()> {
        let published = self.published();
        let known: HashMap<PartitionId, Arc<Partition>> = self
            .logs
            .drain()
            .map(|(id, log)| (id, log.partition))
            .chain(published)
            .collect();
        self.changed.clear();
        self.dropped.clear();
        self.map_changed = false;
        self.next_producer_id = self
            .db
            .query_row(
                "select cast(value as integer) from setting where name = 'next_producer_id'",
                [],
                |row| row.get(0),
            )
            .optional()?
            .unwrap_or(PRODUCER_ID_FIRST);
        self.read_topics(&known)?;
        super::txn::read(self)?;
        self.show_all()
    }

    fn published(&self) -> impl Iterator<Item = (PartitionId, Arc<Partition>)> + use<> {
        let all = self.topics.all();
        all.into_values()
            .flat_map(|topic| topic.partitions.clone())
            .map(|partition| (partition.id, partition))
    }

    fn read_topics(
        &mut self,
        known: &HashMap<PartitionId, Arc<Partition>>,
    ) -> rusqlite::Result<()> {
        let mut map = TopicMap::new();
        let mut logs = HashMap::new();
        let mut topics = self.db.prepare("select id, name, uuid from topic")?;
        let mut configs = self
            .db
            .prepare("select name, value from topic_config where topic = ?1")?;
        let mut partitions = self
            .db
            .prepare("select id, start from partition where topic = ?1 order by position")?;
        let mut last = self.db.prepare(
            "select last_offset, id from batch where id between ?1 and ?2 order by id desc limit 1",
        )?;
        let mut rows = topics.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
            let uuid = Uuid::parse_str(row.get_ref(2)?.as_str()?).unwrap_or_default();
            let mut parts = Vec::new();
            let mut part_rows = partitions.query([id])?;
            while let Some(part) = part_rows.next()? {
                let (part_id, start): (i64, i64) = (part.get(0)?, part.get(1)?);
                let part_id = PartitionId(part_id);
                let range = params![batch_row(part_id, 0), batch_row(part_id, OFFSET_END - 1)];
                let newest = last
                    .query_row(range, |row| {
                        Ok((row.get::<_, i64>(0)?, row_offset(row.get(1)?)))
                    })
                    .optional()?;
                let next = newest
                    .map_or(start, |(last_offset, base)| last_offset.max(base) + 1)
                    .max(start);
                let partition = known
                    .get(&part_id)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Partition::new(part_id, Arc::clone(&self.budget))));
                logs.insert(part_id, Log::new(Arc::clone(&partition), start, next));
                parts.push(partition);
            }
            let configs = configs
                .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            map.insert(
                name,
                Arc::new(Topic {
                    id,
                    uuid,
                    configs,
                    partitions: parts,
                }),
            );
        }
        drop(rows);
        drop((topics, configs, partitions, last));
        self.map = map;
        self.logs = logs;
        Ok(())
    }

    /// Publishes the whole state, as after a start or a failure.
    fn show_all(&mut self) -> rusqlite::Result<()> {
        let mut find =
            self.db.prepare("select producer_id, first_offset, marker_offset from aborted where partition = ?1 order by marker_offset")?;
        for (id, log) in &mut self.logs {
            let aborted = find
                .query_map([id.0], |row| {
                    Ok(Aborted {
                        producer_id: row.get(0)?,
                        first_offset: row.get(1)?,
                        marker_offset: row.get(2)?,
                    })
                })?
                .collect::<Result<Vec<_>, _>>()?;
            if log.partition.bounds() != log.bounds() {
                log.partition.reset(log.bounds(), aborted);
            }
        }
        drop(find);
        self.topics.replace(self.map.clone());
        self.clock.publish(&self.txns);
        self.txns_changed = false;
        Ok(())
    }
}
