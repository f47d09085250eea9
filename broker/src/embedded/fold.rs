//! Records compressed as a client would have compressed them. The way back is in `codec`.

use std::io::{self, Write};

use lz4_flex::frame::FrameEncoder;

/// What Java's snappy puts in front of its blocks: its name, its version, the oldest version that reads it.
const SNAPPY_JAVA: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Bytes that one block of Java's snappy holds.
const SNAPPY_BLOCK: usize = 32 << 10;
/// The level of gzip that clients take when nobody chooses.
const GZIP_LEVEL: u8 = 6;
/// The same for zstd.
const ZSTD_LEVEL: i32 = 3;

/// Compresses records with the codec that a batch's `attributes` name.
pub(crate) fn folded(attributes: i16, plain: &[u8]) -> io::Result<Vec<u8>> {
    match attributes & 0x07 {
        0 => Ok(plain.to_vec()),
        1 => Ok(gzip(plain)),
        2 => snappy(plain),
        3 => {
            let mut encoder = FrameEncoder::new(Vec::new());
            encoder.write_all(plain)?;
            encoder.finish().map_err(io::Error::other)
        }
        4 => {
            let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
            zstd_safe::compress(&mut bytes, plain, ZSTD_LEVEL)
                .map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            Ok(bytes)
        }
        _ => Err(io::Error::other("an unknown compression")),
    }
}

/// One gzip member (RFC 1952).
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    bytes.extend(miniz_oxide::deflate::compress_to_vec(plain, GZIP_LEVEL));
    bytes.extend_from_slice(&crc32(plain).to_le_bytes());
    let [a, b, c, d, ..] = plain.len().to_le_bytes();
    bytes.extend_from_slice(&[a, b, c, d]);
    bytes
}

fn snappy(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = SNAPPY_JAVA.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(SNAPPY_BLOCK) {
        let block = encoder.compress_vec(block)?;
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&block);
    }
    Ok(bytes)
}

/// The checksum of gzip: CRC-32 of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[index as usize] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| {
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::codec::unfolded;
    use super::*;

    #[test]
    fn what_is_folded_unfolds_to_itself() {
        let long: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        for plain in [&b"hello hello hello"[..], &long, b""] {
            for codec in 0..=4 {
                let mut read = Vec::new();
                let bytes = folded(codec, plain).unwrap();
                unfolded(codec, &bytes)
                    .unwrap()
                    .read_to_end(&mut read)
                    .unwrap();
                assert_eq!(read, plain, "codec {codec}");
            }
        }
        assert!(folded(5, b"").is_err());
    }

    #[test]
    fn the_checksum_of_gzip_is_the_one_of_its_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
