//! One transition of one saga, chained to the one before.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option,
};
use crate::known::RecordKind;

/// Bytes of a journal entry's hash.
pub const HASH_LEN: usize = 32;

/// One transition of one saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// From 1, without a gap within the saga.
    pub saga_seq: i64,
    /// The shard that made it.
    pub shard: i32,
    /// Rising within the shard.
    pub shard_seq: i64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The content hash of the saga's definition.
    pub definition_hash: String,
    /// What moved the saga: `start`, `reply`, and so on.
    pub cause: String,
    /// The saga's status after it.
    pub status: String,
    /// The cause and its changes, JSON.
    pub body: Vec<u8>,
    /// The hash of the saga's entry before; zero bytes for the first.
    pub previous_hash: [u8; HASH_LEN],
    /// Chains the entry to the one before. The saga core makes and checks it; here it is 32 bytes.
    pub hash: [u8; HASH_LEN],
    /// W3C trace context of the saga.
    pub traceparent: Option<String>,
}

impl Datum for JournalEntry {
    const KIND: RecordKind = RecordKind::JournalEntry;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + bytes_size(&self.definition_hash)
            + bytes_size(&self.cause)
            + bytes_size(&self.status)
            + bytes_size(&self.body)
            + option_size(self.traceparent.as_ref())
            + 2 * HASH_LEN
            + 4 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_long(out, self.saga_seq);
        write_int(out, self.shard);
        write_long(out, self.shard_seq);
        write_long(out, self.at_ms);
        write_bytes(out, &self.definition_hash);
        write_bytes(out, &self.cause);
        write_bytes(out, &self.status);
        write_bytes(out, &self.body);
        out.extend_from_slice(&self.previous_hash);
        out.extend_from_slice(&self.hash);
        write_option(out, self.traceparent.as_ref());
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            saga_seq: input.long()?,
            shard: input.int()?,
            shard_seq: input.long()?,
            at_ms: input.long()?,
            definition_hash: input.string()?,
            cause: input.string()?,
            status: input.string()?,
            body: input.vec()?,
            previous_hash: input.array()?,
            hash: input.array()?,
            traceparent: input.optional_string()?,
        })
    }
}
