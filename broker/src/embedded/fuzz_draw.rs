//! Requests drawn from a seed: right ones of any API and version, after their shapes, and what is made of them.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

use super::batch::HEADER_LEN;
use super::batch::tests::{folded, sample};
use super::protocol::SERVED;
use super::shape::{Field, Kind, PARSED};

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The numbers of one input: each is drawn by itself, so that it can be drawn again without those before it.
    pub(super) fn of_input(seed: u64, input: u64) -> Chance {
        Chance(seed ^ input.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    pub(super) fn is_one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// What strings may be: names of things that are there, of others, values of settings.
const STRINGS: &[&str] = &[
    "orders",
    "orders",
    "keyed",
    "other",
    "g",
    "h",
    "txn",
    "",
    "consumer",
    "range",
    "member",
    "cleanup.policy",
    "compact",
    "retention.ms",
    "1",
    "5000",
    "Stable",
    "Ongoing",
    "..",
    "é\u{1f600}\0",
];
/// What numbers may be. Those that make a topic's partitions are few.
const NUMBERS: &[i64] = &[
    0,
    0,
    1,
    1,
    -1,
    -2,
    -3,
    2,
    3,
    4,
    7,
    10,
    100,
    1_000,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// A right request, without its length: its API, its version and its bytes.
pub(super) fn request(chance: &mut Chance) -> (ApiKey, i16, Vec<u8>) {
    let &(api, first, last) = chance.of(SERVED);
    let span = usize::try_from(last - first).unwrap();
    let version = first + i16::try_from(chance.below(span + 1)).unwrap();
    (api, version, request_of(chance, api, version))
}

pub(super) fn request_of(chance: &mut Chance, api: ApiKey, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_i16(api as i16);
    out.put_i16(version);
    out.put_u32(7);
    let header = api.request_header_version(version);
    if header >= 1 {
        string(chance, &mut out, false);
    }
    if header >= 2 {
        tagged(chance, &mut out);
    }
    let (flexible, fields) = &PARSED[&(api as i16)];
    let mut draw = Draw {
        chance,
        out,
        api,
        version,
        flexible: version >= *flexible,
    };
    draw.structure(fields);
    draw.out.to_vec()
}

struct Draw<'a> {
    chance: &'a mut Chance,
    out: BytesMut,
    api: ApiKey,
    version: i16,
    flexible: bool,
}

impl Draw<'_> {
    fn structure(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            self.field(&field.kind);
        }
        if self.flexible {
            tagged(self.chance, &mut self.out);
        }
    }

    fn field(&mut self, kind: &Kind) {
        match kind {
            Kind::Fixed(length) => {
                let number = if self.is_likely() {
                    *self.chance.of(&[0, 1, -1])
                } else {
                    *self.chance.of(NUMBERS)
                };
                let bytes = [[0; 8], number.to_be_bytes()].concat();
                self.out.put_slice(&bytes[16 - length..]);
            }
            Kind::String if self.is_likely() => {
                let name = *self.chance.of(&["orders", "keyed"]);
                put_text(&mut self.out, Some(name), self.flexible);
            }
            Kind::String => string(self.chance, &mut self.out, self.flexible),
            Kind::Bytes => {
                let bytes = if self.api == ApiKey::Produce {
                    batch(self.chance)
                } else {
                    let length = self.chance.below(40);
                    (0..length).map(|_| self.chance.byte()).collect()
                };
                self.length(Some(bytes.len()));
                self.out.put_slice(&bytes);
            }
            Kind::Plain(element) => {
                for _ in 0..self.count() {
                    self.field(element);
                }
            }
            Kind::Structures(fields) => {
                for _ in 0..self.count() {
                    self.structure(fields);
                }
            }
        }
    }

    /// Whether a field of a produce request is drawn among what leads to a log. All its fields must.
    fn is_likely(&mut self) -> bool {
        self.api == ApiKey::Produce && !self.chance.is_one_in(6)
    }

    fn count(&mut self) -> usize {
        let count = match self.chance.below(16) {
            0 => None,
            1 => Some(0),
            2 => Some(self.chance.below(20)),
            _ => Some(1 + self.chance.below(2)),
        };
        self.length(count);
        count.unwrap_or(0)
    }

    /// Writes the length of an array or of bytes; `None` is null.
    fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            varint(
                &mut self.out,
                length.map_or(0, |length| u32::try_from(length).unwrap() + 1),
            );
        } else {
            self.out
                .put_i32(length.map_or(-1, |length| i32::try_from(length).unwrap()));
        }
    }
}

fn string(chance: &mut Chance, out: &mut BytesMut, flexible: bool) {
    let long = "x".repeat(300);
    let text = match chance.below(24) {
        0 => None,
        1 => Some(&*long),
        _ => Some(*chance.of(STRINGS)),
    };
    put_text(out, text, flexible);
}

fn put_text(out: &mut BytesMut, text: Option<&str>, flexible: bool) {
    let length = text.map(str::len);
    if flexible {
        varint(
            out,
            length.map_or(0, |length| u32::try_from(length).unwrap() + 1),
        );
    } else {
        out.put_i16(length.map_or(-1, |length| i16::try_from(length).unwrap()));
    }
    out.put_slice(text.unwrap_or_default().as_bytes());
}

/// Unknown tagged fields, mostly none.
fn tagged(chance: &mut Chance, out: &mut BytesMut) {
    let count = if chance.is_one_in(12) {
        chance.below(4)
    } else {
        0
    };
    varint(out, u32::try_from(count).unwrap());
    for tag in 0..count {
        varint(out, u32::try_from(100 * (tag + 1)).unwrap());
        let length = chance.below(5);
        varint(out, u32::try_from(length).unwrap());
        out.put_bytes(chance.byte(), length);
    }
}

fn varint(out: &mut BytesMut, mut value: u32) {
    while value > 0x7f {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

/// A batch of records: as a client makes it, compressed or not, or changed inside and sealed again, or a bomb.
fn batch(chance: &mut Chance) -> Vec<u8> {
    let times: Vec<i64> = (0..=chance.below(5)).map(|_| 100).collect();
    let producer = *chance.of(&[-1, -1, 0, 1, 2]);
    let (epoch, sequence) = if producer < 0 { (-1, -1) } else { (0, 0) };
    let plain = sample(producer, epoch, sequence, &times);
    if chance.is_one_in(100) {
        let bomb = [&plain[..HEADER_LEN], &vec![0; 4 << 20]].concat();
        return sealed(folded(4, &bomb).to_vec());
    }
    let codec = i16::try_from(chance.below(5)).unwrap();
    let mut bytes = folded(codec, &plain).to_vec();
    match chance.below(4) {
        0 => {
            for _ in 0..=chance.below(3) {
                let at = HEADER_LEN + chance.below(bytes.len() - HEADER_LEN);
                bytes[at] = chance.byte();
            }
            sealed(bytes)
        }
        1 => {
            let at = 21 + chance.below(HEADER_LEN - 24);
            let number = i32::try_from(chance.of(NUMBERS) % (1 << 31)).unwrap();
            bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            sealed(bytes)
        }
        _ => bytes,
    }
}

/// The batch with the length and the checksum that its bytes have.
pub(super) fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch
}

/// Changes a request in one to four places. What names its API and version stays, so that it gets as far as it can.
pub(super) fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    const FIXED: usize = 8;
    for _ in 0..=chance.below(4) {
        if bytes.len() <= FIXED {
            return;
        }
        let at = FIXED + chance.below(bytes.len() - FIXED);
        match chance.below(9) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = *chance.of(&[0, 1, 0x7f, 0x80, 0xff]),
            2 => bytes.truncate(at),
            3 => bytes.extend((0..chance.below(20)).map(|_| 0xff)),
            4 => {
                let claim = *chance.of(&[i32::MAX, i32::MIN, -1, -2, 1 << 20, 0x7fff]);
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&claim.to_be_bytes()[..end - at]);
            }
            5 => {
                let endless = *chance.of::<&[u8]>(&[
                    &[0xff, 0xff, 0xff, 0xff, 0x0f],
                    &[0xff; 6],
                    &[0x80, 0x80, 0x80, 0x80, 0x80, 1],
                    &[0xff, 0xff, 0x3f],
                ]);
                bytes.splice(at..at, endless.iter().copied());
            }
            6 => {
                let end = at + chance.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            7 => {
                let end = bytes.len().min(at + 1 + chance.below(16));
                let piece = bytes[at..end].to_vec();
                let to = FIXED + chance.below(bytes.len() - FIXED);
                bytes.splice(to..to, piece);
            }
            _ => {
                let end = bytes.len().min(at + 2);
                let length = *chance.of(&[i16::MAX, i16::MIN, -1, -2]);
                bytes[at..end].copy_from_slice(&length.to_be_bytes()[..end - at]);
            }
        }
    }
}

/// What a client sends for it.
pub(super) fn framed(request: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + request.len());
    frame.put_u32(u32::try_from(request.len()).unwrap());
    frame.put_slice(request);
    frame.freeze()
}
