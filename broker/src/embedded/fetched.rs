//! An answer with records, in pieces: batches are written from where they lie, and not copied into the answer first.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::Encodable;

use super::error::RequestError;
use super::lent::Piece;
use super::protocol::Asked;

/// The first version whose lengths are variable and whose structures end with tagged fields.
const FLEXIBLE: i16 = 12;
/// A batch of fewer bytes is copied: that is less than a piece costs.
const PIECE_BYTES: usize = 2 << 10;

/// What a reader gets.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Without topics.
    pub(crate) head: FetchResponse,
    pub(crate) topics: Vec<FetchedTopic>,
}

#[derive(Debug)]
pub(crate) struct FetchedTopic {
    /// Without partitions.
    pub(crate) head: FetchableTopicResponse,
    pub(crate) partitions: Vec<FetchedPartition>,
}

#[derive(Debug)]
pub(crate) struct FetchedPartition {
    /// With records of no bytes.
    pub(crate) head: PartitionData,
    pub(crate) batches: Vec<Piece>,
}

impl Fetched {
    /// Writes the whole answer, with its length.
    ///
    /// Each structure is encoded with nothing in its last field, whose length is then written anew. So what the fields are
    /// in each version is left to the library.
    pub(crate) fn encode(&self, asked: Asked) -> Result<Vec<Piece>, RequestError> {
        let mut out = Pieces {
            is_flexible: asked.version >= FLEXIBLE,
            ..Pieces::default()
        };
        out.text.extend_from_slice(&asked.encode(&self.head)?);
        out.reopen(self.topics.len());
        for topic in &self.topics {
            out.put(asked, &topic.head)?;
            out.reopen(topic.partitions.len());
            for partition in &topic.partitions {
                out.put(asked, &partition.head)?;
                out.reopen(partition.batches.iter().map(Piece::len).sum());
                partition.batches.iter().for_each(|batch| out.push(batch));
                out.close();
            }
            out.close();
        }
        out.close();
        out.finish(asked)
    }
}

#[derive(Default)]
struct Pieces {
    is_flexible: bool,
    whole: Vec<Piece>,
    /// The piece that is written to.
    text: BytesMut,
}

impl Pieces {
    fn put(&mut self, asked: Asked, part: &impl Encodable) -> Result<(), RequestError> {
        part.encode(&mut self.text, asked.version)
            .map_err(|error| asked.unencodable(error.to_string()))
    }

    /// Takes the end of a structure back, up to the length of its last field, and writes that length.
    fn reopen(&mut self, length: usize) {
        if self.is_flexible {
            // The length, of one byte, and the count of tagged fields.
            self.text.truncate(self.text.len() - 2);
            self.put_varint(length + 1);
        } else {
            self.text.truncate(self.text.len() - 4);
            self.text.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        }
    }

    /// Ends a structure that was reopened.
    fn close(&mut self) {
        if self.is_flexible {
            self.text.put_u8(0);
        }
    }

    fn put_varint(&mut self, mut number: usize) {
        let low = |number: usize| u8::try_from(number & 0x7f).unwrap_or(0);
        while number > 0x7f {
            self.text.put_u8(low(number) | 0x80);
            number >>= 7;
        }
        self.text.put_u8(low(number));
    }

    fn push(&mut self, batch: &Piece) {
        match batch {
            Piece::Memory(bytes) if bytes.len() < PIECE_BYTES => self.text.extend_from_slice(bytes),
            Piece::Memory(_) | Piece::Lent(_) => {
                self.end_text();
                self.whole.push(batch.clone());
            }
        }
    }

    fn end_text(&mut self) {
        let is_first = self.whole.is_empty();
        if is_first || !self.text.is_empty() {
            self.whole.push(Piece::Memory(self.text.split().freeze()));
        }
    }

    fn finish(mut self, asked: Asked) -> Result<Vec<Piece>, RequestError> {
        self.end_text();
        let bytes: usize = self.whole.iter().map(Piece::len).sum();
        let length =
            u32::try_from(bytes - 4).map_err(|_| asked.unencodable("over 4 GiB".to_owned()))?;
        if let Some(Piece::Memory(first)) = self.whole.first_mut() {
            // In place of the length that the head was given, which had nothing behind it.
            let mut head = BytesMut::from(std::mem::take(first));
            head[..4].copy_from_slice(&length.to_be_bytes());
            *first = head.freeze();
        }
        Ok(self.whole)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_response::AbortedTransaction;
    use kafka_protocol::messages::{ApiKey, ProducerId, TopicName};
    use kafka_protocol::protocol::StrBytes;

    use super::super::protocol::SERVED;
    use super::*;

    fn partition(index: i32, batches: &[usize]) -> FetchedPartition {
        let head = PartitionData::default()
            .with_partition_index(index)
            .with_high_watermark(i64::from(index) << 33)
            .with_last_stable_offset(7)
            .with_aborted_transactions((index % 2 == 0).then(|| {
                let aborted = AbortedTransaction::default();
                vec![aborted.with_producer_id(ProducerId(9)); 3]
            }))
            .with_records(Some(Bytes::new()));
        let batch = |(number, size): (usize, &usize)| {
            Piece::Memory(Bytes::from(vec![u8::try_from(number).unwrap(); *size]))
        };
        FetchedPartition {
            head,
            batches: batches.iter().enumerate().map(batch).collect(),
        }
    }

    fn topic(name: &'static str, partitions: Vec<FetchedPartition>) -> FetchedTopic {
        FetchedTopic {
            head: FetchableTopicResponse::default()
                .with_topic(TopicName(StrBytes::from_static_str(name))),
            partitions,
        }
    }

    fn whole(pieces: &[Piece]) -> Bytes {
        let mut whole = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Memory(bytes) => whole.extend_from_slice(bytes),
                Piece::Lent(lent) => panic!("{lent:?} is in no file"),
            }
        }
        whole.into()
    }

    /// As the library writes it, in one piece.
    fn joined(fetched: &Fetched, asked: Asked) -> BytesMut {
        let topics = fetched.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let head = partition.head.clone();
                head.with_records(Some(whole(&partition.batches)))
            });
            let head = topic.head.clone();
            head.with_partitions(partitions.collect())
        });
        let head = fetched.head.clone();
        asked
            .encode(&head.with_responses(topics.collect()))
            .unwrap()
    }

    #[test]
    fn the_pieces_are_what_the_library_writes_in_every_version() {
        let empty = Fetched::default();
        let full = Fetched {
            head: FetchResponse::default(),
            topics: vec![
                topic(
                    "orders",
                    vec![partition(0, &[100, 5_000, 10, 2_048, 2_047])],
                ),
                topic("none", vec![]),
                topic("more", (0..200).map(|at| partition(at, &[])).collect()),
                topic(
                    "large",
                    vec![partition(3, &[3 << 20]), partition(4, &[20_000])],
                ),
            ],
        };
        let &(_, first, last) = SERVED
            .iter()
            .find(|(api, ..)| *api == ApiKey::Fetch)
            .unwrap();
        for version in first..=last {
            for fetched in [&empty, &full] {
                let asked = Asked::for_test(ApiKey::Fetch, version);
                let pieces = fetched.encode(asked).unwrap();
                assert!(
                    whole(&pieces) == joined(fetched, asked),
                    "version {version}"
                );
            }
        }
        let failed = Fetched {
            head: FetchResponse::default().with_error_code(70),
            topics: vec![],
        };
        let asked = Asked::for_test(ApiKey::Fetch, last);
        assert_eq!(
            whole(&failed.encode(asked).unwrap()),
            joined(&failed, asked)
        );
    }
}
