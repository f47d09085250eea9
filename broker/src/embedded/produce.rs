//! Taking records.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::batch::{BatchError, BatchHeader, placed};
use super::broker::Broker;
use super::error::RequestError;
use super::ledger::{Ledger, now_ms};
use super::memory::Held;
use super::partition::PartitionId;
use super::protocol::{Asked, Later, Reply, text};
use super::record_rules::{RecordError, RecordRefusal, RecordRules};
use super::sequence::Verdict;
use super::settings::max_message_bytes;
use super::storage::OFFSET_END;
use super::writer::Pending;

/// Offsets at the end of a partition that only the markers of transactions may take.
const OFFSETS_KEPT: i64 = 1 << 20;
/// Refused records that an answer names, over all its partitions.
const NAMED_MAX: usize = 10_000;

/// The records of one partition, checked as far as that goes without the log.
struct Offered {
    topic: TopicName,
    index: i32,
    checked: Result<Checked, Refusal>,
}

/// A batch that may be appended as far as its topic is concerned.
struct Checked {
    header: BatchHeader,
    /// Nobody else has them, so that they need not be copied to get their place.
    bytes: Bytes,
    /// Whether its records get the time at which they are appended.
    broker_time: bool,
}

/// Why records were refused.
struct Refusal {
    error: ResponseError,
    message: Option<String>,
    records: Vec<RecordError>,
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Refusal {
        Refusal {
            error,
            message: None,
            records: Vec::new(),
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Refusal {
        match error {
            BatchError::Corrupt => ResponseError::CorruptMessage.into(),
            BatchError::OldFormat => ResponseError::UnsupportedForMessageFormat.into(),
            BatchError::Invalid(message) => Refusal {
                message: Some(message.to_owned()),
                ..ResponseError::InvalidRecord.into()
            },
        }
    }
}

impl From<RecordRefusal> for Refusal {
    fn from(refusal: RecordRefusal) -> Refusal {
        let error = match refusal {
            RecordRefusal::Times(_) => ResponseError::InvalidTimestamp,
            RecordRefusal::Unreadable(_) | RecordRefusal::Records { .. } => {
                ResponseError::InvalidRecord
            }
        };
        Refusal {
            error,
            message: Some(refusal.message()),
            records: refusal.named(),
        }
    }
}

/// Where records went.
struct Taken {
    base_offset: i64,
    /// The first offset of the log.
    start: i64,
    /// The time that the broker gave them, in milliseconds since 1970; -1 where they keep their own.
    append_time: i64,
}

/// Where records went, or why not.
struct Outcome {
    topic: TopicName,
    index: i32,
    result: Result<Taken, Refusal>,
}

/// Records that wait for their commit.
struct Taking {
    pending: Pending<Vec<Outcome>>,
    named: Vec<(TopicName, i32)>,
    asked: Asked,
}

impl Later for Taking {
    fn wait(self: Box<Self>) -> Result<BytesMut, RequestError> {
        let Taking {
            pending,
            named,
            asked,
        } = *self;
        let outcomes = pending.wait().unwrap_or_else(|_| {
            let refused = |(topic, index)| Outcome {
                topic,
                index,
                result: Err(ResponseError::KafkaStorageError.into()),
            };
            named.into_iter().map(refused).collect()
        });
        asked.encode(&answer(outcomes, asked.version))
    }
}

impl Broker {
    /// Hands the records to the writer, with the memory that their request holds. The answer comes after the commit.
    pub(crate) fn produce(&self, mut request: ProduceRequest, asked: Asked, held: Held) -> Reply {
        let acks = request.acks;
        // What is left of the request's bytes are its records.
        request.transactional_id = None;
        let (mut offered, mut named) = (Vec::new(), 0);
        for topic in request.topic_data {
            let name = TopicName(StrBytes::from_string(topic.name.to_string()));
            drop(topic.name);
            for partition in topic.partition_data {
                let records = own(partition.records.unwrap_or_default(), &held);
                let mut checked = if matches!(acks, -1..=1) {
                    self.check(&name, partition.index, records)
                } else {
                    Err(ResponseError::InvalidRequiredAcks.into())
                };
                if let Err(refusal) = &mut checked {
                    refusal.records.truncate(NAMED_MAX - named);
                    named += refusal.records.len();
                }
                offered.push(Offered {
                    topic: name.clone(),
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
            .map(|checked| checked.bytes.len())
            .sum();
        let checked = offered
            .iter()
            .filter_map(|offer| offer.checked.as_ref().ok());
        let is_plain = checked
            .into_iter()
            .all(|checked| !checked.header.is_transactional());
        let work = move |ledger: &mut Ledger| {
            let _held = held;
            offered
                .into_iter()
                .map(|offer| take(ledger, offer))
                .collect::<Result<Vec<_>, _>>()
        };
        let pending = if is_plain {
            self.queue.append(bytes, work)
        } else {
            self.queue.submit(bytes, work)
        };
        if acks == 0 {
            return Reply::None;
        }
        Reply::Later(Box::new(Taking {
            pending,
            named,
            asked,
        }))
    }

    fn check(&self, topic: &str, index: i32, records: Bytes) -> Result<Checked, Refusal> {
        let name = topic;
        let Some(topic) = self.topics.get(name) else {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        };
        if topic.partition(index).is_none() {
            return Err(ResponseError::UnknownTopicOrPartition.into());
        }
        if records.len() > max_message_bytes(&topic.configs) {
            return Err(ResponseError::MessageTooLarge.into());
        }
        let header = BatchHeader::parse(&records)?;
        let rules = RecordRules::of(&topic.configs);
        rules.judge(name, &records, &header, now_ms())?;
        Ok(Checked {
            header,
            bytes: records,
            broker_time: rules.broker_time,
        })
    }
}

/// Records that are most of their request stay where they arrived; others are copied, so that they do not keep the rest of it.
fn own(records: Bytes, held: &Held) -> Bytes {
    if records.len() >= held.bytes() / 2 {
        records
    } else {
        Bytes::copy_from_slice(&records)
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
        Ok(checked) => match ledger.log_of(&topic, index) {
            None => Err(ResponseError::UnknownTopicOrPartition.into()),
            Some(id) => append(ledger, id, checked)?.map_err(Refusal::from),
        },
    };
    Ok(Outcome {
        topic,
        index,
        result,
    })
}

/// Appends a batch unless it was taken before.
fn append(
    ledger: &mut Ledger,
    id: PartitionId,
    checked: Checked,
) -> rusqlite::Result<Result<Taken, ResponseError>> {
    let (base_offset, start) = (ledger.log(id).next, ledger.log(id).start);
    if base_offset + i64::from(checked.header.last_offset_delta) >= OFFSET_END - OFFSETS_KEPT {
        // Refused before anything is written: an error of the file would take the whole commit with it.
        return Ok(Err(ResponseError::PolicyViolation));
    }
    let append_time = checked.broker_time.then(now_ms);
    let header = BatchHeader {
        max_timestamp: append_time.unwrap_or(checked.header.max_timestamp),
        ..checked.header
    };
    let taken = |base_offset, append_time: Option<i64>| Taken {
        base_offset,
        start,
        append_time: append_time.unwrap_or(-1),
    };
    let batch = |base_offset| placed(checked.bytes, base_offset, append_time);
    if header.producer_id < 0 {
        ledger.append(id, &header, batch(base_offset))?;
        return Ok(Ok(taken(base_offset, append_time)));
    }
    if let Err(error) = ledger.txn_allows(id, &header) {
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
        Verdict::Duplicate(offset) => return Ok(Ok(taken(offset, None))),
        Verdict::OutOfOrder => return Ok(Err(ResponseError::OutOfOrderSequenceNumber)),
        Verdict::Fenced => return Ok(Err(ResponseError::InvalidProducerEpoch)),
    }
    ledger.append(id, &header, batch(base_offset))?;
    ledger.remember(id, &header, base_offset)?;
    if header.is_transactional() {
        ledger.txn_wrote(id, header.producer_id, base_offset)?;
    }
    Ok(Ok(taken(base_offset, append_time)))
}

fn answer(outcomes: Vec<Outcome>, version: i16) -> ProduceResponse {
    let mut topics: Vec<TopicProduceResponse> = Vec::new();
    for outcome in outcomes {
        let partition = PartitionProduceResponse::default()
            .with_index(outcome.index)
            .with_log_append_time_ms(-1);
        let partition = match outcome.result {
            Ok(taken) => partition
                .with_base_offset(taken.base_offset)
                .with_log_append_time_ms(taken.append_time)
                .with_log_start_offset(if version >= 5 { taken.start } else { -1 }),
            Err(refusal) if version < 8 => partition
                .with_base_offset(-1)
                .with_error_code(refusal.error.code()),
            Err(refusal) => partition
                .with_base_offset(-1)
                .with_error_code(refusal.error.code())
                .with_error_message(refusal.message.as_deref().map(text))
                .with_record_errors(refusal.records.into_iter().map(told).collect()),
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

fn told(error: RecordError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(error.index)
        .with_batch_index_error_message(Some(text(&error.message)))
}
