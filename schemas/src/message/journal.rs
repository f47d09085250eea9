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
    /// What [`JournalEntry::chain_hash`] gave when it was written.
    pub hash: [u8; HASH_LEN],
    /// W3C trace context of the saga.
    pub traceparent: Option<String>,
}

impl JournalEntry {
    /// Computes the hash that belongs in [`JournalEntry::hash`].
    ///
    /// It covers what happened to the saga and the hash before it. Shard and trace are left out: moving
    /// a saga to another shard must not break its chain.
    pub fn chain_hash(&self) -> [u8; HASH_LEN] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"backstitch.v1.JournalEntry");
        hasher.update(&self.previous_hash);
        hasher.update(&self.saga_seq.to_be_bytes());
        hasher.update(&self.at_ms.to_be_bytes());
        // Each length goes first, so that no two entries give the same bytes.
        for field in [
            self.saga.as_bytes(),
            self.definition_hash.as_bytes(),
            self.cause.as_bytes(),
            self.status.as_bytes(),
            &self.body,
        ] {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        *hasher.finalize().as_bytes()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> JournalEntry {
        JournalEntry {
            saga: "s".to_owned(),
            saga_seq: 1,
            shard: 0,
            shard_seq: 1,
            at_ms: 1,
            definition_hash: "d".to_owned(),
            cause: "start".to_owned(),
            status: "running".to_owned(),
            body: b"{}".to_vec(),
            previous_hash: [0; HASH_LEN],
            hash: [0; HASH_LEN],
            traceparent: None,
        }
    }

    #[test]
    fn a_change_of_what_happened_changes_the_hash() {
        let changes: [fn(&mut JournalEntry); 8] = [
            |entry| entry.saga.push('x'),
            |entry| entry.saga_seq = 2,
            |entry| entry.at_ms = 2,
            |entry| entry.definition_hash.push('x'),
            |entry| entry.cause.push('x'),
            |entry| entry.status.push('x'),
            |entry| entry.body.push(b' '),
            |entry| entry.previous_hash[31] = 1,
        ];
        let hash = entry().chain_hash();
        for change in changes {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(changed.chain_hash(), hash, "{changed:?}");
        }
    }

    #[test]
    fn a_letter_that_moves_to_the_next_field_changes_the_hash() {
        let mut moved = entry();
        moved.saga.clear();
        moved.definition_hash = "sd".to_owned();
        assert_ne!(moved.chain_hash(), entry().chain_hash());
    }

    #[test]
    fn moving_a_saga_to_another_shard_keeps_its_chain() {
        let mut moved = entry();
        moved.shard = 9;
        moved.shard_seq = 9;
        moved.traceparent = Some("00".to_owned());
        assert_eq!(moved.chain_hash(), entry().chain_hash());
    }
}
