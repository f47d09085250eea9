//! Reading the file into the ledger, at the start and after a failure.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::failpoint::{Point, reach};
use super::ledger::{Ledger, Log, PRODUCER_ID_FIRST};
use super::partition::{Aborted, Bounds, Partition, PartitionId};
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
        self.doubted.append(&mut self.changed);
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
        reach(Point::Reading)?;
        super::txn::read(self)?;
        self.replay()?;
        self.show_all(&known)
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

    /// Publishes the whole state, as after a start or a failure. `known` are the partitions of before.
    fn show_all(&mut self, known: &HashMap<PartitionId, Arc<Partition>>) -> rusqlite::Result<()> {
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
            // A step of compaction changes records and no bounds.
            if log.partition.bounds() != log.bounds() || self.doubted.contains(id) {
                log.partition.reset(log.bounds(), aborted, &log.ahead);
            }
        }
        drop(find);
        self.doubted.clear();
        let is_gone = |id: &PartitionId| !self.logs.contains_key(id);
        for (_, partition) in known.iter().filter(|(id, _)| is_gone(id)) {
            partition.reset(Bounds::default(), Vec::new(), &[]);
        }
        self.topics.replace(self.map.clone());
        self.clock.publish(&self.txns);
        self.txns_changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::batch::tests::sample;
    use super::super::batch::{BatchHeader, placed};
    use super::super::partition::{TailBudget, TailRead};
    use super::super::storage::open_writer;
    use super::super::swap::{Becomes, Change, Place, swap};
    use super::super::topic_change::{NewTopic, create, delete};
    use super::*;

    /// A file with a compacted topic of one partition, which holds these batches.
    fn table(folder: &tempfile::TempDir, batches: &[Bytes]) -> (Ledger, Place) {
        let path = folder.path().join("broker.db");
        let db = open_writer(&path).unwrap();
        let budget = Arc::new(TailBudget::new(1 << 20, 1 << 20));
        let mut ledger = Ledger::load(&path, db, Arc::default(), Arc::default(), budget).unwrap();
        let settings = [("cleanup.policy".to_owned(), "compact".to_owned())];
        let new = NewTopic {
            name: "table".to_owned(),
            partition_count: 1,
            configs: settings.into(),
        };
        ledger.begin(0).unwrap();
        create(&mut ledger, &new, false).unwrap().unwrap();
        let id = ledger.log_of("table", 0).unwrap();
        for batch in batches {
            let batch = placed(batch.clone(), ledger.log(id).next, None);
            ledger
                .append(id, &BatchHeader::read(&batch), batch)
                .unwrap();
        }
        ledger.commit().unwrap();
        let (topic, index) = ("table".to_owned(), 0);
        (ledger, Place { topic, index, id })
    }

    #[test]
    fn after_a_step_of_compaction_that_may_have_landed_readers_have_what_the_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let batch = sample(-1, -1, -1, &[1]);
        let (mut ledger, place) = table(&folder, &[batch.clone(), batch.clone(), batch]);
        let partition = Arc::clone(&ledger.log(place.id).partition);
        let in_memory = |from| match partition.read_tail(from, 3, |_| true) {
            TailRead::Hot(batches, _) => Some(batches.len()),
            TailRead::Cold => None,
        };
        assert_eq!(in_memory(0), Some(3));
        ledger.begin(0).unwrap();
        let to = Becomes::Gone;
        let gone = Change { base_offset: 1, to };
        assert!(swap(&mut ledger, &place, vec![gone], None).unwrap());
        // It lands, and whoever asked for it is told that it did not.
        ledger.db.execute_batch("commit").unwrap();
        ledger.reload().unwrap();
        assert_eq!(in_memory(0), None, "the file is read");
    }

    #[test]
    fn after_the_end_of_a_topic_that_may_have_landed_its_readers_find_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, place) = table(&folder, &[sample(-1, -1, -1, &[1])]);
        let partition = Arc::clone(&ledger.log(place.id).partition);
        ledger.begin(0).unwrap();
        delete(&mut ledger, "table").unwrap().unwrap();
        ledger.db.execute_batch("commit").unwrap();
        ledger.reload().unwrap();
        assert_eq!(partition.bounds(), Bounds::default());
    }
}
