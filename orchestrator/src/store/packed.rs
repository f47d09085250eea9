//! How states and journal entries rest in a database: packed, so that a commit writes a third of the bytes.
//!
//! A row is LZ4 against a dictionary of the words that every state and entry repeats. The first byte says which form it has, so rows
//! of every version can be read: `{` and whatever begins an Avro frame are plain, as the first versions wrote them.

use lz4_flex::block::{
    compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size,
};

use super::StoreError;

/// LZ4 with dictionary 1, after the plain length (four bytes, little-endian).
const LZ4_1: u8 = 1;
/// Plain, after this byte: for what begins with one of these bytes itself.
const PLAIN: u8 = 2;

/// Never to be changed, for rows were packed with it; another one is another form.
const DICTIONARY_1: &[u8] = include_bytes!("packed-1.dict");

/// Below this, packing saves nothing.
const LEN_MIN: usize = 64;
/// No byte of LZ4 stands for more than so many.
const EXPANSION_MAX: usize = 255;
const HEAD_LEN: usize = 5;

/// The form in which bytes rest.
pub(super) fn pack(plain: &[u8]) -> Vec<u8> {
    if let Ok(len) = u32::try_from(plain.len())
        && plain.len() >= LEN_MIN
    {
        let mut packed = vec![0; HEAD_LEN + get_maximum_output_size(plain.len())];
        let (head, body) = packed.split_at_mut(HEAD_LEN);
        head[0] = LZ4_1;
        head[1..].copy_from_slice(&len.to_le_bytes());
        if let Ok(body_len) = compress_into_with_dict(plain, body, DICTIONARY_1)
            && HEAD_LEN + body_len < plain.len()
        {
            // Many wait together for a commit: no more room than it takes.
            return packed[..HEAD_LEN + body_len].to_vec();
        }
    }
    match plain.first() {
        Some(&(LZ4_1 | PLAIN)) => [&[PLAIN], plain].concat(),
        Some(_) | None => plain.to_vec(),
    }
}

/// What was packed; bytes of an earlier version are returned as they are.
pub(super) fn unpack(rested: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match rested.first() {
        Some(&LZ4_1) => unpack_lz4(&rested).ok_or_else(|| StoreError::Corrupt {
            what: format!("a packed row of {} bytes cannot be read", rested.len()),
        }),
        Some(&PLAIN) => Ok(rested[1..].to_vec()),
        Some(_) | None => Ok(rested),
    }
}

fn unpack_lz4(rested: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = rested.split_at_checked(HEAD_LEN)?;
    let len = u32::from_le_bytes(head[1..].try_into().ok()?);
    let len = usize::try_from(len).ok()?;
    if len > body.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut plain = vec![0; len];
    let found = decompress_into_with_dict(body, &mut plain, DICTIONARY_1).ok()?;
    (found == len).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_packed_is_read_again() {
        let long = "{\"key\":\"order/1\"}".repeat(100);
        let noise: Vec<u8> = (0..2_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        let mut of_each_first_byte: Vec<Vec<u8>> = (0..=255)
            .flat_map(|first| [vec![first], vec![first; 300]])
            .collect();
        of_each_first_byte.extend([Vec::new(), long.into_bytes(), noise]);
        for plain in of_each_first_byte {
            assert_eq!(unpack(pack(&plain)).unwrap(), plain);
        }
    }

    #[test]
    fn a_state_takes_less_than_half_of_its_room() {
        let line = r#"{"step":"charge","occurrence":"charge","place":[2],"status":"done","attempt":1,"round_first":1,"round_at_ms":1795531059086,"input":{"amount":7792},"output":{"payment_id":"p-1"}}"#;
        let state = format!(
            r#"{{"key":"order/1","seq":4,"status":"running","course":"forward","event":{{}},"lines":[{line},{line}]}}"#
        );
        assert!(pack(state.as_bytes()).len() * 2 < state.len());
    }

    #[test]
    fn rows_of_the_first_version_are_read_as_they_are() {
        for old in [
            &b"{\"key\":\"order/1\"}"[..],
            b"\xC3\x01\x12",
            b"\x00\x00\x00",
        ] {
            assert_eq!(unpack(old.to_vec()).unwrap(), old);
        }
    }

    #[test]
    fn a_damaged_row_is_an_error_and_takes_no_memory() {
        let packed = pack(&b"{\"key\":\"order/1\"}".repeat(20));
        assert_eq!(packed[0], LZ4_1);
        for len in 1..packed.len() {
            assert!(unpack(packed[..len].to_vec()).is_err(), "{len}");
        }
        assert!(unpack([&[LZ4_1][..], &u32::MAX.to_le_bytes(), b"abc"].concat()).is_err());
    }

    #[test]
    fn the_dictionary_is_the_one_that_rows_were_packed_with() {
        assert_eq!(
            blake3::hash(DICTIONARY_1).to_hex().as_str(),
            "823458edf0f1d53ed9b2623c3b14398fdf7272a1d48bb8974a68c46503db4d82"
        );
    }
}
