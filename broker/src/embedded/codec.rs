//! Compressed records, read as a stream: what they unfold to is never held whole, and never read beyond a limit.

use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use zstd_safe::{DCtx, InBuffer, OutBuffer};

/// Bytes that the records of one batch may unfold to. A batch of 1 MiB that claims more is an attack or a mistake.
pub(crate) const UNFOLDED_MAX: u64 = 256 << 20;
/// Unfolded bytes read at once.
const BUFFER: usize = 8 << 10;
/// Java's snappy puts this in front, then a version, then blocks with their lengths.
const SNAPPY_JAVA: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes of the header that [`SNAPPY_JAVA`] begins.
const SNAPPY_JAVA_HEADER: usize = 16;

/// Returns a batch's records unfolded. `attributes` are the batch's, `records` the bytes after its header.
///
/// Reading fails where the bytes are not what the attributes say, and at the limit.
pub(crate) fn unfolded(attributes: i16, records: &[u8]) -> io::Result<Box<dyn BufRead + '_>> {
    let plain: Box<dyn Read + '_> = match attributes & 0x07 {
        0 => return Ok(Box::new(records)),
        1 => Box::new(gzip(records)?),
        2 if records.starts_with(SNAPPY_JAVA) => Box::new(SnappyBlocks {
            rest: records.get(SNAPPY_JAVA_HEADER..).unwrap_or_default(),
            block: Vec::new(),
            read: 0,
        }),
        2 => Box::new(io::Cursor::new(snappy(records)?)),
        3 => Box::new(FrameDecoder::new(records)),
        4 => Box::new(Zstd {
            context: DCtx::create(),
            input: InBuffer::around(records),
        }),
        _ => return Err(io::Error::other("an unknown compression")),
    };
    Ok(Box::new(BufReader::with_capacity(
        BUFFER,
        plain.take(UNFOLDED_MAX),
    )))
}

/// Deflated bytes, without what is around them.
struct Deflated<'a> {
    state: Box<InflateState>,
    rest: &'a [u8],
}

/// Steps over the header of a gzip member (RFC 1952).
fn gzip(records: &[u8]) -> io::Result<Deflated<'_>> {
    let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (header, mut rest) = records.split_first_chunk::<10>().ok_or_else(short)?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else {
        return Err(io::Error::other("no gzip"));
    };
    if flags & 0x04 != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let length = usize::from(u16::from_le_bytes(*length));
        rest = after.get(length..).ok_or_else(short)?;
    }
    for named in [0x08, 0x10] {
        if flags & named != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(short)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & 0x02 != 0 {
        rest = rest.get(2..).ok_or_else(short)?;
    }
    Ok(Deflated {
        state: InflateState::new_boxed(DataFormat::Raw),
        rest,
    })
}

impl Read for Deflated<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let step = inflate(&mut self.state, self.rest, into, MZFlush::None);
        self.rest = &self.rest[step.bytes_consumed..];
        match step.status {
            Ok(MZStatus::Ok | MZStatus::StreamEnd) => {}
            Ok(MZStatus::NeedDict) => return Err(io::Error::other("gzip asks for a dictionary")),
            Err(_) if step.bytes_written > 0 => {}
            Err(error) => return Err(io::Error::other(format!("gzip: {error:?}"))),
        }
        Ok(step.bytes_written)
    }
}

/// The blocks that Java's snappy makes, one after the other.
struct SnappyBlocks<'a> {
    rest: &'a [u8],
    block: Vec<u8>,
    read: usize,
}

impl Read for SnappyBlocks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let (length, after) = self.rest.split_first_chunk::<4>().ok_or_else(short)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
            let (block, after) = after.split_at_checked(length).ok_or_else(short)?;
            (self.block, self.read, self.rest) = (snappy(block)?, 0, after);
        }
        let mut left = &self.block[self.read..];
        let count = left.read(into)?;
        self.read += count;
        Ok(count)
    }
}

/// Unfolds one block. Snappy tells the length first, so a claim over the limit costs nothing.
fn snappy(block: &[u8]) -> io::Result<Vec<u8>> {
    let length = snap::raw::decompress_len(block)?;
    // No byte of snappy unfolds to more than 64.
    if length as u64 > UNFOLDED_MAX || length > block.len().saturating_mul(64) {
        return Err(io::Error::other("snappy claims more than it can hold"));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(block)?)
}

struct Zstd<'a> {
    context: DCtx<'static>,
    input: InBuffer<'a>,
}

impl Read for Zstd<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let before = self.input.pos;
            let mut output = OutBuffer::around(into);
            self.context
                .decompress_stream(&mut output, &mut self.input)
                .map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            let written = output.pos();
            // Without input and output there is nothing left to come.
            if written > 0 || self.input.pos == before {
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "hello hello hello hello" by each codec, as its own tool writes it.
    const PLAIN: &[u8] = b"hello hello hello hello";

    fn read(attributes: i16, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        unfolded(attributes, bytes)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn gzipped(plain: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x8b, 8, 0x08, 0, 0, 0, 0, 0, 3];
        bytes.extend_from_slice(b"name\0");
        bytes.extend(miniz_oxide::deflate::compress_to_vec(plain, 6));
        bytes.extend_from_slice(&[0; 8]);
        bytes
    }

    fn java_snappy(plain: &[u8]) -> Vec<u8> {
        let mut bytes = SNAPPY_JAVA.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for block in plain.chunks(10) {
            let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
            bytes.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(&block);
        }
        bytes
    }

    fn lz4(plain: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        io::Write::write_all(&mut encoder, plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
        zstd_safe::compress(&mut bytes, plain, 3).unwrap();
        bytes
    }

    fn all(plain: &[u8]) -> Vec<(i16, Vec<u8>)> {
        vec![
            (0, plain.to_vec()),
            (1, gzipped(plain)),
            (2, snap::raw::Encoder::new().compress_vec(plain).unwrap()),
            (2, java_snappy(plain)),
            (3, lz4(plain)),
            (4, zstd(plain)),
        ]
    }

    #[test]
    fn every_codec_unfolds_to_what_was_folded() {
        let long: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        for plain in [PLAIN, &long, b""] {
            for (attributes, bytes) in all(plain) {
                assert_eq!(read(attributes, &bytes).unwrap(), plain, "{attributes}");
            }
        }
    }

    #[test]
    fn half_of_it_is_an_error_or_less_and_never_a_panic() {
        for (attributes, bytes) in all(PLAIN) {
            for length in 0..bytes.len() {
                if let Ok(plain) = read(attributes, &bytes[..length]) {
                    assert!(PLAIN.starts_with(&plain), "{attributes} {length}");
                }
            }
        }
        assert!(read(5, PLAIN).is_err());
    }

    #[test]
    fn what_unfolds_beyond_the_limit_is_cut_there() {
        let zeros = vec![0; 1 << 20];
        let one = zstd(&zeros);
        let bomb: Vec<u8> = one.repeat(300);
        let mut count = 0;
        let mut plain = unfolded(4, &bomb).unwrap();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match plain.read(&mut buffer).unwrap() {
                0 => break,
                read => count += read as u64,
            }
        }
        assert_eq!(count, UNFOLDED_MAX);
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_is_refused_before_memory_is_made() {
        assert!(read(2, &[0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0]).is_err());
    }

    #[test]
    fn no_bytes_make_a_codec_panic_or_linger() {
        let mut random = 1_u64;
        for round in 0..3_000 {
            for (attributes, mut bytes) in all(PLAIN) {
                for _ in 0..=round % 4 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let at = usize::try_from(random >> 32).unwrap() % bytes.len();
                    bytes[at] = random.to_le_bytes()[0];
                }
                let _ = read(attributes, &bytes);
            }
        }
    }
}
