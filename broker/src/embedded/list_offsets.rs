//! Offsets by meaning: first, last, at a time.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::batch::{BatchHeader, end_offset};
use super::broker::{Broker, read_error};
use super::records::first_at_or_after;
use super::storage::{newest_timestamp, offset_at};

/// Asks for the end.
const LATEST: i64 = -1;
/// Asks for the start.
const EARLIEST: i64 = -2;
/// Asks for the record with the newest timestamp.
const MAX_TIMESTAMP: i64 = -3;
/// Readers of committed records ask with this level.
const READ_COMMITTED: i8 = 1;

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
                match self.offset_for(&topic.name, asked, isolation) {
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
        asked: &ListOffsetsPartition,
        isolation: i8,
    ) -> Result<(i64, i64), ResponseError> {
        let partition = self
            .topics
            .partition(topic, asked.partition_index)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        if asked.current_leader_epoch > 0 {
            return Err(ResponseError::UnknownLeaderEpoch);
        }
        let bounds = partition.bounds();
        let end = if isolation == READ_COMMITTED {
            bounds.stable
        } else {
            bounds.next
        };
        match asked.timestamp {
            LATEST => return Ok((end, -1)),
            EARLIEST => return Ok((bounds.start, -1)),
            at if at < MAX_TIMESTAMP => return Err(ResponseError::UnsupportedVersion),
            _ => {}
        }
        // What the file lacks is looked at in memory; it is taken first, so that nothing is between the two.
        let ahead = partition.ahead();
        let segments = &self.readers.segments;
        let found = match asked.timestamp {
            MAX_TIMESTAMP => self
                .readers
                .read(|db| newest_timestamp(db, segments, partition.id))
                .map(|found| newest_of(found, &ahead)),
            at => self
                .readers
                .read(|db| offset_at(db, segments, partition.id, bounds.start, at))
                .map(|found| {
                    let mut ahead = ahead.iter();
                    found.or_else(|| {
                        ahead.find_map(|batch| first_at_or_after(batch, at, bounds.start))
                    })
                }),
        };
        let found = found.map_err(read_error)?;
        // What lies beyond the end is not there for this reader.
        Ok(found
            .filter(|(offset, _)| (bounds.start..end).contains(offset))
            .unwrap_or((-1, -1)))
    }
}

/// The newest record of what was found in the file and of the batches that follow; the first of those that are equally new.
fn newest_of(found: Option<(i64, i64)>, ahead: &[Bytes]) -> Option<(i64, i64)> {
    ahead.iter().fold(found, |found, batch| {
        let newest = BatchHeader::read(batch).max_timestamp;
        match found {
            Some((_, timestamp)) if timestamp >= newest => found,
            // Where the header tells of a time that no record has, it is the last one's, as in the file.
            Some(_) | None => {
                first_at_or_after(batch, newest, 0).or(Some((end_offset(batch) - 1, newest)))
            }
        }
    })
}
