//! Offsets as the library looks them up and gives them.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::ANSWER_WAIT_MAX;
use super::error::{BrokerError, ErrorCode};
use super::record::TopicPartition;

/// Wait until a leader is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Looks offsets up by time.
pub(super) fn offsets_for_times(
    asker: &BaseConsumer,
    times: &TopicPartitionList,
    attempted: impl Fn() -> String,
) -> Result<Vec<(TopicPartition, Option<i64>)>, BrokerError> {
    once_led(|left| {
        let list = asker
            .offsets_for_times(times.clone(), left)
            .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
        read_offsets(&list, &attempted)
    })
}

/// Asks leaders, and asks again while one doesn't know yet that it is one, as after a topic was made. The library asks once.
pub(super) fn once_led<T>(
    ask: impl Fn(Duration) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(left) {
            Err(error) if is_leader_unsettled(&error) && !left.is_zero() => {
                std::thread::sleep(ASK_AGAIN_AFTER);
            }
            answer => return answer,
        }
    }
}

fn is_leader_unsettled(error: &BrokerError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::NotLeaderForPartition
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::OffsetNotAvailable
        )
    )
}

/// Reads what a list of partitions holds: an offset, or none.
pub(super) fn read_offsets(
    list: &TopicPartitionList,
    attempted: impl Fn() -> String,
) -> Result<Vec<(TopicPartition, Option<i64>)>, BrokerError> {
    list.elements()
        .iter()
        .map(|element| {
            element
                .error()
                .map_err(|error| BrokerError::from_kafka(attempted(), error))?;
            let partition = TopicPartition::new(element.topic(), element.partition());
            Ok((
                partition,
                match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    Offset::Beginning
                    | Offset::End
                    | Offset::Stored
                    | Offset::Invalid
                    | Offset::OffsetTail(_) => None,
                },
            ))
        })
        .collect()
}
