//! What the file holds, partition by partition.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use rusqlite::params;

use super::broker::{Broker, read_error};
use super::partition::PartitionId;
use super::protocol::{count, once, text};
use super::storage::{OFFSET_END, batch_row};

impl Broker {
    /// The one folder there is, named by the broker's file. A partition's size is that of its records as they are stored; what
    /// the disk has in all and has left is not told (-1).
    pub(crate) fn describe_log_dirs(
        &self,
        request: DescribeLogDirsRequest,
    ) -> DescribeLogDirsResponse {
        let asked: Vec<(TopicName, Vec<i32>)> = match request.topics {
            Some(topics) => once(topics, |topic| topic.topic.clone())
                .into_iter()
                .map(|topic| (topic.topic, once(topic.partitions, |index| *index)))
                .collect(),
            None => {
                let all = self.topics.all();
                all.iter()
                    .map(|(name, topic)| {
                        (
                            TopicName(text(name)),
                            (0..count(topic.partitions.len())).collect(),
                        )
                    })
                    .collect()
            }
        };
        let result = DescribeLogDirsResult::default()
            .with_log_dir(text(&self.config.path.display().to_string()));
        let result = match self.sizes(asked) {
            Ok(topics) => result.with_topics(topics),
            Err(error) => result.with_error_code(error.code()),
        };
        DescribeLogDirsResponse::default().with_results(vec![result])
    }

    /// Sizes of the partitions that are there; the others are left out, as Kafka does.
    fn sizes(
        &self,
        asked: Vec<(TopicName, Vec<i32>)>,
    ) -> Result<Vec<DescribeLogDirsTopic>, ResponseError> {
        let partitions = asked.iter().flat_map(|(name, indexes)| {
            let find = |index: &i32| self.topics.partition(name, *index);
            indexes.iter().filter_map(find)
        });
        self.settle(&partitions.collect::<Vec<_>>());
        let mut topics = Vec::new();
        for (name, indexes) in asked {
            let mut partitions = Vec::new();
            for index in indexes {
                let Some(partition) = self.topics.partition(&name, index) else {
                    continue;
                };
                partitions.push(
                    DescribeLogDirsPartition::default()
                        .with_partition_index(index)
                        .with_partition_size(self.size(partition.id)?),
                );
            }
            if !partitions.is_empty() {
                topics.push(
                    DescribeLogDirsTopic::default()
                        .with_name(name)
                        .with_partitions(partitions),
                );
            }
        }
        Ok(topics)
    }

    fn size(&self, partition: PartitionId) -> Result<i64, ResponseError> {
        let sum = "select coalesce(sum(coalesce(length, length(bytes))), 0) from batch where id between ?1 and ?2";
        let range = params![
            batch_row(partition, 0),
            batch_row(partition, OFFSET_END - 1)
        ];
        self.readers
            .read(|db| db.prepare_cached(sum)?.query_row(range, |row| row.get(0)))
            .map_err(read_error)
    }
}
