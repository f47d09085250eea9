//! A batch taken apart, so that some of its records can be left out.

use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;

use super::batch::{BatchHeader, HEADER_LEN, base_offset, with_records};
use super::codec::unfolded;
use super::fold::folded;

/// Bytes that a batch's records may unfold to and still be taken apart. One that claims more is left as it is.
const UNPACKED_MAX: u64 = 64 << 20;

/// A record as compaction sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Whether it has a value; one without is a tombstone.
    pub(crate) has_value: bool,
    key: Option<Range<usize>>,
    whole: Range<usize>,
}

/// The records of one batch, unfolded.
#[derive(Debug)]
pub(crate) struct Unpacked {
    plain: Vec<u8>,
    pub(crate) records: Vec<Span>,
}

impl Unpacked {
    /// Takes a stored batch apart.
    ///
    /// # Errors
    ///
    /// When its bytes are not the records that its header tells of, or more than [`UNPACKED_MAX`].
    pub(crate) fn of(batch: &[u8]) -> io::Result<Unpacked> {
        let header = BatchHeader::read(batch);
        let mut plain = Vec::new();
        unfolded(header.attributes, &batch[HEADER_LEN..])?
            .take(UNPACKED_MAX + 1)
            .read_to_end(&mut plain)?;
        if plain.len() as u64 > UNPACKED_MAX {
            return Err(io::Error::other("the records are too large to be unpacked"));
        }
        let records = spans(&plain, &header, base_offset(batch))
            .ok_or_else(|| io::Error::other("the bytes are not the records of the header"))?;
        Ok(Unpacked { plain, records })
    }

    pub(crate) fn key(&self, record: &Span) -> Option<&[u8]> {
        Some(&self.plain[record.key.clone()?])
    }

    /// Makes the batch anew with those records only, compressed as it was. At least one must be kept.
    pub(crate) fn packed(&self, batch: &[u8], kept: &[&Span]) -> io::Result<Bytes> {
        let header = BatchHeader::read(batch);
        let plain: Vec<u8> = kept
            .iter()
            .flat_map(|record| self.plain[record.whole.clone()].iter().copied())
            .collect();
        let newest = kept.iter().map(|record| record.timestamp).max();
        let count = i32::try_from(kept.len()).map_err(io::Error::other)?;
        let records = folded(header.attributes, &plain)?;
        let max_timestamp = newest.unwrap_or(header.max_timestamp);
        Ok(with_records(batch, count, max_timestamp, &records))
    }
}

/// Finds the records in the unfolded bytes; `None` unless these are exactly the records that the header tells of.
fn spans(plain: &[u8], header: &BatchHeader, base_offset: i64) -> Option<Vec<Span>> {
    let mut cursor = Cursor {
        bytes: plain,
        at: 0,
    };
    let mut spans = Vec::new();
    for _ in 0..header.record_count {
        spans.push(cursor.record(header, base_offset)?);
    }
    (cursor.at == plain.len()).then_some(spans)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn record(&mut self, header: &BatchHeader, base_offset: i64) -> Option<Span> {
        let begin = self.at;
        let length = usize::try_from(self.varint()?).ok()?;
        let end = self.at.checked_add(length)?;
        if end > self.bytes.len() {
            return None;
        }
        self.at += 1; // Attributes, of which there are none.
        let timestamp = self.varint()?;
        let delta = i32::try_from(self.varint()?).ok()?;
        let key = self.counted()?;
        let value = self.counted()?;
        if self.at > end || delta < 0 || delta > header.last_offset_delta {
            return None;
        }
        self.at = end;
        Some(Span {
            offset: base_offset + i64::from(delta),
            timestamp: if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.wrapping_add(timestamp)
            },
            has_value: value.is_some(),
            key,
            whole: begin..end,
        })
    }

    /// Steps over bytes that their length precedes. The length -1 stands for nothing, which is not the same as no bytes.
    fn counted(&mut self) -> Option<Option<Range<usize>>> {
        let length = self.varint()?;
        if length < 0 {
            return Some(None);
        }
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        if end > self.bytes.len() {
            return None;
        }
        let begin = std::mem::replace(&mut self.at, end);
        Some(Some(begin..end))
    }

    /// Takes one zigzag-encoded number.
    fn varint(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;
    use kafka_protocol::indexmap::IndexMap;
    use kafka_protocol::records::{
        Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    };

    use super::*;

    /// A record to store: timestamp, key, value.
    pub(crate) type Plain<'a> = (i64, Option<&'a str>, Option<&'a str>);

    /// Who writes a batch: producer id, and whether in a transaction.
    pub(crate) type Writer = (i64, bool);

    /// A batch as a client's library would write it, at its place, compressed by the codec of that number.
    pub(crate) fn stored(base: i64, codec: i16, writer: Writer, records: &[Plain<'_>]) -> Bytes {
        let (producer_id, transactional) = writer;
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let records: Vec<Record> = records
            .iter()
            .zip(0..)
            .map(|((timestamp, key, value), sequence)| Record {
                transactional,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 0,
                producer_id,
                producer_epoch: 0,
                sequence,
                timestamp_type: TimestampType::Creation,
                offset: base + i64::from(sequence),
                timestamp: *timestamp,
                key: key.map(text),
                value: value.map(text),
                headers: IndexMap::default(),
            })
            .collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression: Compression::None,
        };
        RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        let records = folded(codec, &bytes[HEADER_LEN..]).unwrap();
        bytes[22] |= codec.to_be_bytes()[1];
        let header = BatchHeader::read(&bytes);
        with_records(&bytes, header.record_count, header.max_timestamp, &records)
    }

    /// What a batch holds, by another decoder than ours: offset, key, value.
    pub(crate) fn decoded(batch: &[u8]) -> Vec<(i64, Option<Bytes>, Option<Bytes>)> {
        let header = BatchHeader::read(batch);
        let mut plain = Vec::new();
        unfolded(header.attributes, &batch[HEADER_LEN..])
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        let mut open = BytesMut::from(
            &with_records(batch, header.record_count, header.max_timestamp, &plain)[..],
        );
        open[22] &= !0x07;
        let crc = crc32c::crc32c(&open[21..]).to_be_bytes();
        open[17..21].copy_from_slice(&crc);
        let set = RecordBatchDecoder::decode(&mut open.freeze()).unwrap();
        set.records
            .into_iter()
            .map(|record| (record.offset, record.key, record.value))
            .collect()
    }

    #[test]
    fn records_that_stay_keep_offset_key_value_and_codec_and_the_batch_its_place() {
        for codec in 0..=4 {
            let batch = stored(
                70,
                codec,
                (9, false),
                &[
                    (100, Some("a"), Some("1")),
                    (130, Some("b"), None),
                    (120, None, Some("3")),
                ],
            );
            let unpacked = Unpacked::of(&batch).unwrap();
            let seen: Vec<_> = unpacked
                .records
                .iter()
                .map(|record| (record.offset, unpacked.key(record), record.has_value))
                .collect();
            let (a, b) = (Some(&b"a"[..]), Some(&b"b"[..]));
            assert_eq!(seen, [(70, a, true), (71, b, false), (72, None, true)]);
            let kept = [&unpacked.records[0], &unpacked.records[2]];
            let fewer = unpacked.packed(&batch, &kept).unwrap();
            let expected = [
                (70, Some("a".into()), Some("1".into())),
                (72, None, Some("3".into())),
            ];
            assert_eq!(decoded(&fewer), expected, "codec {codec}");
            let (before, after) = (BatchHeader::read(&batch), BatchHeader::read(&fewer));
            let changed = BatchHeader {
                record_count: 2,
                max_timestamp: 120,
                ..before
            };
            assert_eq!(after, changed, "codec {codec}");
            assert_eq!(fewer[17..21], crc32c::crc32c(&fewer[21..]).to_be_bytes());
        }
    }

    #[test]
    fn no_changed_byte_makes_a_batch_panic_or_lie_about_its_count() {
        for codec in 0..=4 {
            let batch = stored(
                0,
                codec,
                (-1, false),
                &[(1, Some("a"), Some("1")), (2, Some("b"), Some("2"))],
            );
            for at in HEADER_LEN..batch.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = batch.to_vec();
                    changed[at] = value;
                    if let Ok(unpacked) = Unpacked::of(&changed) {
                        assert_eq!(unpacked.records.len(), 2);
                    }
                }
            }
        }
    }

    #[test]
    fn what_unfolds_to_too_much_is_not_unpacked() {
        let zeros = vec![0; usize::try_from(UNPACKED_MAX).unwrap() + 1];
        let one = stored(0, 4, (-1, false), &[(1, Some("a"), Some("1"))]);
        let bomb = with_records(&one, 1, 1, &folded(4, &zeros).unwrap());
        assert!(Unpacked::of(&bomb).is_err());
    }
}
