//! The few bytes in front of a datum that say which schema wrote it.

use crate::{DecodeError, SchemaRef};

/// The two bytes that begin a single-object frame; the fingerprint follows, lowest byte first.
pub(crate) const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];
/// The byte that begins a Confluent frame; the registry id follows, highest byte first.
pub(crate) const CONFLUENT: u8 = 0x00;
/// Bytes of the longer frame.
pub(crate) const FRAME_LEN_MAX: usize = 10;

/// Splits a message into the schema that its frame names and the datum.
pub(crate) fn split(bytes: &[u8]) -> Result<(SchemaRef, &[u8]), DecodeError> {
    if let Some(rest) = bytes.strip_prefix(&SINGLE_OBJECT) {
        if let Some((fingerprint, datum)) = rest.split_first_chunk::<8>() {
            let fingerprint = u64::from_le_bytes(*fingerprint);
            return Ok((SchemaRef::Fingerprint(fingerprint), datum));
        }
    } else if let Some(rest) = bytes.strip_prefix(&[CONFLUENT])
        && let Some((id, datum)) = rest.split_first_chunk::<4>()
    {
        return Ok((SchemaRef::Id(u32::from_be_bytes(*id)), datum));
    }
    let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
    Err(DecodeError::Garbage {
        detail: format!("{} bytes that begin with [{}]", bytes.len(), head.join(" ")),
    })
}
