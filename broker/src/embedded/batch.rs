//! Record batches as bytes: their header is read, checked and written. What is inside them is in `records`.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::UNFOLDED_MAX;

/// Bytes before the first record of a batch.
pub(crate) const HEADER_LEN: usize = 61;
/// Bytes before what a batch's length field counts.
const LENGTH_OVERHEAD: usize = 12;
/// Where the part covered by the checksum starts.
const CRC_START: usize = 21;

/// Bytes of a record without a key, a value and headers: six fields of one byte, and their length.
const RECORD_LEN_MIN: u64 = 7;

/// The attribute of a batch that has the broker's time.
const LOG_APPEND_TIME: i16 = 0x08;

/// What the broker needs to know about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    /// -1 when the producer is not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

/// Why a batch is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchError {
    /// Shorter than it says, or the checksum differs.
    Corrupt,
    /// Written in the format before Kafka 0.11.
    OldFormat,
    /// Well-formed bytes that say something impossible, such as no records.
    Invalid(&'static str),
}

impl BatchHeader {
    /// Reads and checks the one batch that `bytes` must hold.
    pub(crate) fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if bytes.is_empty() {
            return Err(BatchError::Invalid("no record batch"));
        }
        if bytes.len() < HEADER_LEN {
            // An old message set can be shorter than a header of today; its magic byte lies in the same place.
            return match bytes.get(16) {
                Some(0 | 1) => Err(BatchError::OldFormat),
                _ => Err(BatchError::Corrupt),
            };
        }
        match bytes[16] {
            2 => {}
            0 | 1 => return Err(BatchError::OldFormat),
            _ => return Err(BatchError::Corrupt),
        }
        let length =
            usize::try_from(be_i32(bytes, 8)).map_err(|_| BatchError::Corrupt)? + LENGTH_OVERHEAD;
        if length < HEADER_LEN || length > bytes.len() {
            return Err(BatchError::Corrupt);
        }
        if length < bytes.len() {
            return Err(BatchError::Invalid(
                "more than one record batch for a partition",
            ));
        }
        if !checksum_holds(bytes) {
            return Err(BatchError::Corrupt);
        }
        let header = BatchHeader::read(bytes);
        if header.is_control() {
            return Err(BatchError::Invalid(
                "control records are written by the broker only",
            ));
        }
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return Err(BatchError::Invalid("record count and last offset differ"));
        }
        // A count that its bytes cannot hold would use up the offsets of the partition.
        let records_max = if header.is_compressed() {
            UNFOLDED_MAX / RECORD_LEN_MIN
        } else {
            (bytes.len() - HEADER_LEN) as u64 / RECORD_LEN_MIN
        };
        if u64::from(header.record_count.unsigned_abs()) > records_max {
            return Err(BatchError::Invalid("more records than the batch can hold"));
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchError::Invalid(
                "a producer id without an epoch or a sequence",
            ));
        }
        Ok(header)
    }

    /// Reads the header of a batch that was checked before.
    ///
    /// # Panics
    ///
    /// If `bytes` is shorter than a header.
    pub(crate) fn read(bytes: &[u8]) -> BatchHeader {
        BatchHeader {
            attributes: be_i16(bytes, 21),
            last_offset_delta: be_i32(bytes, 23),
            base_timestamp: be_i64(bytes, 27),
            max_timestamp: be_i64(bytes, 35),
            producer_id: be_i64(bytes, 43),
            producer_epoch: be_i16(bytes, 51),
            base_sequence: be_i32(bytes, 53),
            record_count: be_i32(bytes, 57),
        }
    }

    /// The sequence number of the last record; numbers go on from 0 after the largest.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & 0x07 != 0
    }

    /// Whether its records have the broker's time, which is the batch's newest.
    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }
}

/// Gives a batch its place in the log and, where the topic has the broker's time, that time. It is copied where somebody
/// else has its bytes too.
///
/// The checksum covers the time and not the place, so it is written anew for the time only.
pub(crate) fn placed(batch: Bytes, base_offset: i64, append_time: Option<i64>) -> Bytes {
    let mut copy = BytesMut::from(batch);
    copy[0..8].copy_from_slice(&base_offset.to_be_bytes());
    copy[12..16].copy_from_slice(&0_i32.to_be_bytes()); // The leader epoch: there was never another leader.
    let attributes = be_i16(&copy, 21);
    if append_time.is_some() || attributes & LOG_APPEND_TIME != 0 {
        // A client cannot give the broker's time: without one the attribute is taken away.
        let (attributes, max_timestamp) = match append_time {
            Some(now_ms) => (attributes | LOG_APPEND_TIME, now_ms),
            None => (attributes & !LOG_APPEND_TIME, be_i64(&copy, 35)),
        };
        copy[21..23].copy_from_slice(&attributes.to_be_bytes());
        copy[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
        let crc = crc32c::crc32c(&copy[CRC_START..]);
        copy[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    copy.freeze()
}

/// Makes a batch of fewer records. Its offsets, its producer and its place in that one's sequence stay as they are.
pub(crate) fn with_records(
    batch: &[u8],
    record_count: i32,
    max_timestamp: i64,
    records: &[u8],
) -> Bytes {
    let mut copy = BytesMut::with_capacity(HEADER_LEN + records.len());
    copy.extend_from_slice(&batch[..HEADER_LEN]);
    copy.extend_from_slice(records);
    let length = i32::try_from(copy.len() - LENGTH_OVERHEAD)
        .expect("some of the records of a batch are shorter than a batch may be");
    copy[8..12].copy_from_slice(&length.to_be_bytes());
    copy[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    copy[57..61].copy_from_slice(&record_count.to_be_bytes());
    let crc = crc32c::crc32c(&copy[CRC_START..]);
    copy[17..21].copy_from_slice(&crc.to_be_bytes());
    copy.freeze()
}

/// Whether a stored batch is as it was written, its place and the leader's epoch apart, which no checksum covers.
pub(crate) fn is_sound(batch: &[u8]) -> bool {
    Sounding::begin(batch, batch.len()).is_some_and(|sounding| sounding.is_sound())
}

/// Finds out whether a stored batch that comes bit by bit is as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sounding {
    written: [u8; 4],
    found: u32,
}

impl Sounding {
    /// `first`: its first bytes, of `whole` that it has. `None` when it is no batch of that length, or when these do not hold
    /// its header.
    pub(crate) fn begin(first: &[u8], whole: usize) -> Option<Sounding> {
        let is_header = first.len() >= HEADER_LEN
            && usize::try_from(be_i32(first, 8))
                .is_ok_and(|length| length + LENGTH_OVERHEAD == whole);
        is_header.then(|| Sounding {
            written: [first[17], first[18], first[19], first[20]],
            found: crc32c::crc32c(&first[CRC_START..]),
        })
    }

    pub(crate) fn go_on(&mut self, more: &[u8]) {
        self.found = crc32c::crc32c_append(self.found, more);
    }

    /// Once all of it has come.
    pub(crate) fn is_sound(&self) -> bool {
        self.found.to_be_bytes() == self.written
    }
}

/// Whether a stored batch is as it was written, at this place.
pub(crate) fn is_intact(batch: &[u8], offset: i64) -> bool {
    is_placed_at(batch, offset) && is_sound(batch)
}

/// Whether what no checksum covers of a stored batch is as [`placed`] writes it for this place. Its beginning is enough.
pub(crate) fn is_placed_at(batch: &[u8], offset: i64) -> bool {
    batch.len() >= HEADER_LEN && base_offset(batch) == offset && batch[12..=16] == [0, 0, 0, 0, 2]
}

fn checksum_holds(batch: &[u8]) -> bool {
    crc32c::crc32c(&batch[CRC_START..]).to_be_bytes() == batch[17..21]
}

/// The first offset that a batch says it has.
pub(crate) fn base_offset(batch: &[u8]) -> i64 {
    be_i64(batch, 0)
}

/// The offset after the last one of a stored batch.
pub(crate) fn end_offset(batch: &[u8]) -> i64 {
    base_offset(batch) + i64::from(be_i32(batch, 23)) + 1
}

/// Makes the batch that ends a transaction in a partition.
pub(crate) fn end_marker(
    producer_id: i64,
    producer_epoch: i16,
    committed: bool,
    now_ms: i64,
) -> Bytes {
    let mut record = BytesMut::new();
    record.put_u8(0); // Attributes.
    record.put_u8(0); // Timestamp delta.
    record.put_u8(0); // Offset delta.
    record.put_u8(4 << 1); // Key length.
    record.put_i16(0);
    record.put_i16(i16::from(committed));
    record.put_u8(6 << 1); // Value length.
    record.put_i16(0);
    record.put_i32(0); // Coordinator epoch.
    record.put_u8(0); // No headers.

    let mut covered = BytesMut::new();
    covered.put_i16(0x30); // Transactional, control.
    covered.put_i32(0);
    covered.put_i64(now_ms);
    covered.put_i64(now_ms);
    covered.put_i64(producer_id);
    covered.put_i16(producer_epoch);
    covered.put_i32(-1);
    covered.put_i32(1);
    covered.put_u8(u8::try_from(record.len() << 1).expect("the record is 17 bytes long"));
    covered.extend_from_slice(&record);

    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(i32::try_from(covered.len() + 9).expect("the batch is under 100 bytes long"));
    batch.put_i32(0);
    batch.put_u8(2);
    batch.put_u32(crc32c::crc32c(&covered));
    batch.extend_from_slice(&covered);
    batch.freeze()
}

fn be_i16(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("the caller checked the length"),
    )
}

fn be_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("the caller checked the length"),
    )
}

fn be_i64(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("the caller checked the length"),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::fuzz_draw::sealed;
    use super::*;

    /// A batch of empty records with these timestamps, as a client would write it.
    pub(crate) fn sample(producer_id: i64, epoch: i16, sequence: i32, timestamps: &[i64]) -> Bytes {
        let count = i32::try_from(timestamps.len()).unwrap();
        let mut covered = BytesMut::new();
        covered.put_i16(if producer_id >= 0 && epoch > 0 {
            0x10
        } else {
            0
        });
        covered.put_i32(count - 1);
        covered.put_i64(timestamps[0]);
        covered.put_i64(*timestamps.iter().max().unwrap());
        covered.put_i64(producer_id);
        covered.put_i16(epoch);
        covered.put_i32(sequence);
        covered.put_i32(count);
        for (index, timestamp) in timestamps.iter().enumerate() {
            // Length 6, attributes, time as one byte, offset, no key, no value, no headers.
            let zigzag = |value: i64| u8::try_from(value << 1).unwrap();
            let time = zigzag(timestamp - timestamps[0]);
            let offset = zigzag(i64::try_from(index).unwrap());
            covered.extend_from_slice(&[6 << 1, 0, time, offset, 1, 1, 0]);
        }
        let mut batch = BytesMut::new();
        batch.put_i64(0);
        batch.put_i32(i32::try_from(covered.len()).unwrap() + 9);
        batch.put_i32(-1);
        batch.put_u8(2);
        batch.put_u32(crc32c::crc32c(&covered));
        batch.extend_from_slice(&covered);
        batch.freeze()
    }

    /// The same batch, compressed.
    pub(crate) fn folded(codec: i16, batch: &[u8]) -> Bytes {
        use std::io::Write;
        let plain = &batch[HEADER_LEN..];
        let records = match codec {
            1 => {
                let deflated = miniz_oxide::deflate::compress_to_vec(plain, 6);
                [
                    &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
                    &deflated,
                    &[0; 8],
                ]
                .concat()
            }
            2 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
            3 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            4 => {
                let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
                zstd_safe::compress(&mut bytes, plain, 3).unwrap();
                bytes
            }
            _ => plain.to_vec(),
        };
        let mut copy = BytesMut::from(&batch[..HEADER_LEN]);
        copy.extend_from_slice(&records);
        let length = i32::try_from(copy.len() - LENGTH_OVERHEAD).unwrap();
        copy[8..12].copy_from_slice(&length.to_be_bytes());
        copy[21..23].copy_from_slice(&(be_i16(batch, 21) | codec).to_be_bytes());
        let crc = crc32c::crc32c(&copy[CRC_START..]);
        copy[17..21].copy_from_slice(&crc.to_be_bytes());
        copy.freeze()
    }

    #[test]
    fn a_clients_batch_is_taken_whole() {
        let header = BatchHeader::parse(&sample(9, 0, 5, &[100, 110, 105])).unwrap();
        assert_eq!(
            (
                header.producer_id,
                header.base_sequence,
                header.last_sequence()
            ),
            (9, 5, 7)
        );
        assert_eq!(header.max_timestamp, 110);
    }

    #[test]
    fn a_batch_that_claims_more_records_than_its_bytes_can_hold_is_refused() {
        let plain = sample(-1, -1, -1, &[100, 101]);
        for (codec, claim) in [(0, 3), (4, i32::MAX)] {
            let mut batch = folded(codec, &plain).to_vec();
            batch[23..27].copy_from_slice(&(claim - 1).to_be_bytes());
            batch[57..61].copy_from_slice(&claim.to_be_bytes());
            assert!(matches!(
                BatchHeader::parse(&sealed(batch)),
                Err(BatchError::Invalid(_))
            ));
        }
    }

    #[test]
    fn a_placed_batch_keeps_its_checksum() {
        let batch = placed(sample(-1, -1, -1, &[100, 101]), 77, None);
        assert_eq!(base_offset(&batch), 77);
        assert!(BatchHeader::parse(&batch).is_ok());
    }

    #[test]
    fn the_brokers_time_is_written_and_a_clients_claim_to_it_is_taken_away() {
        let batch = placed(sample(-1, -1, -1, &[100, 101]), 77, Some(500));
        let header = BatchHeader::parse(&batch).unwrap();
        assert!(header.is_log_append_time());
        assert_eq!((header.base_timestamp, header.max_timestamp), (100, 500));
        let header = BatchHeader::parse(&placed(batch, 78, None)).unwrap();
        assert!(!header.is_log_append_time());
    }

    #[test]
    fn two_batches_at_once_are_refused() {
        let one = sample(-1, -1, -1, &[100]);
        let two = [&one[..], &one[..]].concat();
        assert!(matches!(
            BatchHeader::parse(&two),
            Err(BatchError::Invalid(_))
        ));
    }

    #[test]
    fn a_changed_byte_is_corrupt() {
        let marker = end_marker(7, 1, true, 1_000);
        let mut changed = BytesMut::from(&marker[..]);
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(BatchHeader::parse(&changed), Err(BatchError::Corrupt));
    }

    #[test]
    fn a_control_batch_of_a_client_is_refused() {
        let marker = end_marker(7, 1, true, 1_000);
        assert!(matches!(
            BatchHeader::parse(&marker),
            Err(BatchError::Invalid(_))
        ));
    }

    #[test]
    fn the_marker_says_who_ended_what() {
        let header = BatchHeader::read(&end_marker(7, 3, false, 1_000));
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.max_timestamp
            ),
            (7, 3, 1_000)
        );
        assert!(header.is_transactional());
    }

    #[test]
    fn half_a_batch_is_corrupt_and_never_a_panic() {
        let marker = end_marker(7, 1, true, 1_000);
        for length in 0..marker.len() {
            assert!(
                BatchHeader::parse(&marker[..length]).is_err(),
                "{length} bytes were taken"
            );
        }
    }

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        let mut header = BatchHeader::read(&end_marker(7, 3, false, 1_000));
        header.base_sequence = i32::MAX;
        header.last_offset_delta = 2;
        assert_eq!(header.last_sequence(), 1);
    }
}
