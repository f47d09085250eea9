//! Taking records.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};

use super::batch::{BatchError, BatchHeader, placed};
use super::broker::Broker;
use super::ledger::Ledger;
use super::partition::PartitionId;
use super::protocol::{Asked, Reply, text};
use super::sequence::Verdict;
use super::settings::max_message_bytes;

/// The records of one partition, checked as far as that goes without the log.
struct Offered {
    topic: TopicName,
    index: i32,
    checked: Result<(BatchHeader, Bytes), Refusal>,
}

/// Why records were refused.
struct Refusal {
    error: ResponseError,
    message: Option<&'static str>,
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Refusal {
        Refusal {
            error,
            message: None,
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Refusal {
        match error {
            BatchError::Corrupt => ResponseError::CorruptMessage.into(),
            BatchError::OldFormat => ResponseError::UnsupportedForMessageFormat.into(),
            BatchError::Invalid(message) => Refusal {
                error: ResponseError::InvalidRecord,
                message: Some(message),
            },
        }
    }
}

/// Where records went, or why not.
struct Outcome {
    topic: TopicName,
    index: i32,
    result: Result<(i64, i64), Refusal>,
}

impl Broker {
    /// Hands the records to the writer. The answer comes after the commit.
    pub(crate) fn produce(&self, request: ProduceRequest, asked: Asked) -> Reply {
        let acks = request.acks;
        let mut offered = Vec::new();
        for topic in request.topic_data {
            for partition in topic.partition_data {
                let records = partition.records.unwrap_or_default();
                let checked = if matches!(acks, -1..=1) {
                    self.check(&topic.name, partition.index, records)
                } else {
                    Err(ResponseError::InvalidRequiredAcks.into())
                };
                offered.push(Offered {
                    topic: topic.name.clone(),
                    index: partition.index,
                    checked,
                });
            }
        }
        let named: Vec<(TopicName, i32)> = offered
            .iter()
            .map(|offer| (offer.topic.clone(), offer.index))
            .collect();
        let bytes = offered
            .iter()
            .filter_map(|offer| offer.checked.as_ref().ok())
            .map(|(_, bytes)| bytes.len())
            .sum();
        let pending = self.queue.submit(bytes, move |ledger| {
            offered
                .into_iter()
                .map(|offer| take(ledger, offer))
                .collect::<Result<Vec<_>, _>>()
        });
        if acks == 0 {
            return Reply::None;
        }
        Reply::Later(Box::new(move || {
            let outcomes = pending.wait().unwrap_or_else(|_| {
                let refused = |(topic, index)| Outcome {
                    topic,
                    index,
                    result: Err(ResponseError::KafkaStorageError.into()),
                };
                named.into_iter().map(refused).collect()
            });
            asked.encode(&answer(outcomes, asked.version))
        }))
    }

    fn check(
        &self,
        topic: &str,
        index: i32,
        records: Bytes,
    ) -> Result<(BatchHeader, Bytes), Refusal> {
        let Some(topic) = self.topics.get(topic) else {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        };
        if topic.partition(index).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        if records.len() > max_message_bytes(&topic.configs) {
            return Err(ResponseError::MessageTooLarge.into());
        }
        Ok((BatchHeader::parse(&records)?, records))
    }
}

fn take(ledger: &mut Ledger, offer: Offered) -> rusqlite::Result<Outcome> {
    let Offered {
        topic,
        index,
        checked,
    } = offer;
    let result = match checked {
        Err(refusal) => Err(refusal),
        Ok((header, bytes)) => match ledger.log_of(&topic, index) {
            None => Err(ResponseError::UnknownTopicOrPartition.into()),
            Some(id) => append(ledger, id, &header, &bytes)?
                .map(|base| (base, ledger.log(id).start))
                .map_err(Refusal::from),
        },
    };
    Ok(Outcome {
        topic,
        index,
        result,
    })
}

/// Appends a batch unless it was taken before. Returns its first offset.
fn append(
    ledger: &mut Ledger,
    id: PartitionId,
    header: &BatchHeader,
    bytes: &[u8],
) -> rusqlite::Result<Result<i64, ResponseError>> {
    let base_offset = ledger.log(id).next;
    if header.producer_id < 0 {
        ledger.append(id, header, placed(bytes, base_offset))?;
        return Ok(Ok(base_offset));
    }
    if let Err(error) = ledger.txn_allows(id, header) {
        return Ok(Err(error));
    }
    let (epoch, first, last) = (
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
    );
    let verdict = ledger
        .window(id, header.producer_id)?
        .map_or(Verdict::Append, |window| window.judge(epoch, first, last));
    match verdict {
        Verdict::Append => {}
        Verdict::Duplicate(offset) => return Ok(Ok(offset)),
        Verdict::OutOfOrder => return Ok(Err(ResponseError::OutOfOrderSequenceNumber)),
        Verdict::Fenced => return Ok(Err(ResponseError::InvalidProducerEpoch)),
    }
    ledger.append(id, header, placed(bytes, base_offset))?;
    ledger.change_window(id, header.producer_id, epoch, |window| {
        window.remember(epoch, first, last, base_offset)
    })?;
    if header.is_transactional() {
        ledger.txn_wrote(id, header.producer_id, base_offset)?;
    }
    Ok(Ok(base_offset))
}

fn answer(outcomes: Vec<Outcome>, version: i16) -> ProduceResponse {
    let mut topics: Vec<TopicProduceResponse> = Vec::new();
    for outcome in outcomes {
        let partition = PartitionProduceResponse::default()
            .with_index(outcome.index)
            .with_log_append_time_ms(-1);
        let partition = match outcome.result {
            Ok((base_offset, start)) => {
                let start = if version >= 5 { start } else { -1 };
                partition
                    .with_base_offset(base_offset)
                    .with_log_start_offset(start)
            }
            Err(refusal) => {
                let message = refusal.message.filter(|_| version >= 8).map(text);
                partition
                    .with_base_offset(-1)
                    .with_error_code(refusal.error.code())
                    .with_error_message(message)
            }
        };
        match topics.last_mut() {
            Some(topic) if topic.name == outcome.topic => topic.partition_responses.push(partition),
            Some(_) | None => topics.push(
                TopicProduceResponse::default()
                    .with_name(outcome.topic)
                    .with_partition_responses(vec![partition]),
            ),
        }
    }
    ProduceResponse::default().with_responses(topics)
}
