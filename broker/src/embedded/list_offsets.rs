//! Offsets by meaning: first, last, at a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::broker::{Broker, read_error};
use super::storage::{newest_timestamp, offset_at};

/// Asks for the end.
const LATEST: i64 = -1;
/// Asks for the start.
const EARLIEST: i64 = -2;
/// Asks for the record with the newest timestamp.
const MAX_TIMESTAMP: i64 = -3;

impl Broker {
    pub(crate) fn list_offsets(
        &self,
        request: ListOffsetsRequest,
        version: i16,
    ) -> ListOffsetsResponse {
        let isolation = request.isolation_level;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                match self.offset_for(
                    &topic.name,
                    asked.partition_index,
                    asked.timestamp,
                    isolation,
                ) {
                    Ok((offset, timestamp)) => {
                        let epoch = if version >= 4 && offset >= 0 { 0 } else { -1 };
                        answer
                            .with_offset(offset)
                            .with_timestamp(timestamp)
                            .with_leader_epoch(epoch)
                    }
                    Err(error) => answer
                        .with_offset(-1)
                        .with_timestamp(-1)
                        .with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// Returns an offset and its record's timestamp; -1 where there is none.
    fn offset_for(
        &self,
        topic: &str,
        index: i32,
        timestamp: i64,
        isolation: i8,
    ) -> Result<(i64, i64), ResponseError> {
        let partition = self
            .topics
            .partition(topic, index)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let bounds = partition.bounds();
        let found = match timestamp {
            LATEST => {
                return Ok((
                    if isolation == 1 {
                        bounds.stable
                    } else {
                        bounds.next
                    },
                    -1,
                ));
            }
            EARLIEST => return Ok((bounds.start, -1)),
            MAX_TIMESTAMP => self.readers.read(|db| newest_timestamp(db, partition.id)),
            at => self.readers.read(|db| offset_at(db, partition.id, at)),
        };
        Ok(found
            .map_err(read_error)?
            .map_or((-1, -1), |(offset, at)| (offset.max(bounds.start), at)))
    }
}
