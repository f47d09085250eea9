//! The shape of each request, walked before it is decoded.
//!
//! The decoder makes room for as many elements as a request claims, before it has seen one: a request of 20 bytes
//! could ask for more memory than there is and end the process. So the claims are compared with the bytes first.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;

/// Elements of all arrays of a request together, tagged fields included. A fetch of 10,000 partitions has as many.
const ELEMENTS_MAX: usize = 1_000_000;

/// Each request: its first flexible version (lengths as varints, tagged fields), and its fields in order.
///
/// `o` one byte, `h` two, `i` four, `l` eight, `u` sixteen, `s` a string, `b` bytes, `(x)` an array of plain values,
/// `[…]` an array of structures. A field ends with the versions that have it, such as `3+` or `0-2`; without, all do.
const SHAPES: &[(ApiKey, i16, &str)] = &[
    (ApiKey::Produce, 9, "s h i [s [i b]]"),
    (
        ApiKey::Fetch,
        12,
        "i i i i o i7+ i7+ [s [i i9+ l i12+ l5+ i]] [s (i)]7+ s11+",
    ),
    (ApiKey::ListOffsets, 6, "i o2+ [s [i i4+ l]]"),
    (ApiKey::Metadata, 9, "[u10+ s] o4+ o8-10 o8+"),
    (ApiKey::OffsetCommit, 8, "s i s s7+ l2-4 [s [i l i6+ s]]"),
    (ApiKey::OffsetFetch, 6, "s0-7 [s (i)]0-7 [s [s (i)]]8+ o7+"),
    (ApiKey::FindCoordinator, 3, "s0-3 o1+ (s)4+"),
    (ApiKey::JoinGroup, 6, "s i i1+ s s5+ s [s b] s8+"),
    (ApiKey::Heartbeat, 4, "s i s s3+"),
    (ApiKey::LeaveGroup, 4, "s s0-2 [s s s5+]3+"),
    (ApiKey::SyncGroup, 4, "s i s s3+ s5+ s5+ [s b]"),
    (ApiKey::DescribeGroups, 5, "(s) o3+"),
    (ApiKey::ListGroups, 3, "(s)4+ (s)5+"),
    (ApiKey::ApiVersions, 3, "s3+ s3+"),
    (ApiKey::CreateTopics, 5, "[s i h [i (i)] [s s]] i o"),
    (ApiKey::DeleteTopics, 4, "(s) i"),
    (ApiKey::DeleteRecords, 2, "[s [i l]] i"),
    (ApiKey::InitProducerId, 2, "s i l3+ h3+"),
    (ApiKey::OffsetForLeaderEpoch, 4, "i3+ [s [i i i]]"),
    (ApiKey::AddPartitionsToTxn, 3, "s l h [s (i)]"),
    (ApiKey::AddOffsetsToTxn, 3, "s l h s"),
    (ApiKey::EndTxn, 3, "s l h o"),
    (
        ApiKey::TxnOffsetCommit,
        3,
        "s s l h i3+ s3+ s3+ [s [i l i2+ s]]",
    ),
    (ApiKey::DescribeConfigs, 4, "[o s (s)] o o3+"),
    (ApiKey::AlterConfigs, 2, "[o s [s s]] o"),
    (ApiKey::IncrementalAlterConfigs, 1, "[o s [s o s]] o"),
    (ApiKey::CreatePartitions, 2, "[s i [(i)]] i o"),
    (ApiKey::DeleteGroups, 2, "(s)"),
    (ApiKey::DescribeCluster, 0, "o o1+"),
    (ApiKey::OffsetDelete, i16::MAX, "s [s [i]]"),
    (ApiKey::DescribeLogDirs, 2, "[s (i)]"),
    (ApiKey::DescribeProducers, 0, "[s (i)]"),
    (ApiKey::DescribeTransactions, 0, "(s)"),
    (ApiKey::ListTransactions, 0, "(s) (l) l1+"),
    (
        ApiKey::ConsumerGroupHeartbeat,
        0,
        "s s i s s i (s) s1+ s [u (i)]",
    ),
];

/// Each request's first flexible version and its fields.
pub(crate) static PARSED: LazyLock<HashMap<i16, (i16, Vec<Field>)>> = LazyLock::new(|| {
    let parsed = SHAPES.iter().map(|&(api, flexible, shape)| {
        (
            api as i16,
            (flexible, fields(&mut shape.chars().peekable())),
        )
    });
    parsed.collect()
});

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    first: i16,
    last: i16,
}

impl Field {
    pub(crate) fn is_in(&self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Fixed(usize),
    String,
    Bytes,
    Plain(Box<Kind>),
    Structures(Vec<Field>),
}

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Elements of all its arrays, and tagged fields.
    pub(crate) elements: usize,
    /// Bytes after its end.
    pub(crate) left_over: usize,
}

/// Checks that a request's header holds what it claims. `version` is the header's.
pub(crate) fn check_header(version: i16, frame: &Bytes) -> Result<(), &'static str> {
    let mut walk = Walk {
        rest: frame.clone(),
        version,
        flexible: false,
        elements: 0,
    };
    walk.skip(8)?;
    if version >= 1 {
        // The client's id keeps its old form in flexible headers.
        let length = walk.length(true)?;
        walk.skip(length)?;
    }
    if version >= 2 {
        walk.flexible = true;
        walk.tagged()?;
    }
    Ok(())
}

/// Checks that a request's body holds what it claims.
pub(crate) fn check(api: ApiKey, version: i16, body: &Bytes) -> Result<Held, &'static str> {
    let (flexible, fields) = PARSED.get(&(api as i16)).ok_or("no shape is known")?;
    let mut walk = Walk {
        rest: body.clone(),
        version,
        flexible: version >= *flexible,
        elements: 0,
    };
    walk.structure(fields)?;
    Ok(Held {
        elements: walk.elements,
        left_over: walk.rest.len(),
    })
}

struct Walk {
    rest: Bytes,
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk {
    fn structure(&mut self, fields: &[Field]) -> Result<(), &'static str> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            self.field(&field.kind)?;
        }
        if self.flexible { self.tagged() } else { Ok(()) }
    }

    /// Unknown ones are kept by the decoder, each in a place of its own.
    fn tagged(&mut self) -> Result<(), &'static str> {
        let count = self.varint()?;
        self.claim(count)?;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
        }
        Ok(())
    }

    fn field(&mut self, kind: &Kind) -> Result<(), &'static str> {
        match kind {
            Kind::Fixed(length) => self.skip(*length),
            Kind::String | Kind::Bytes => {
                let length = self.length(matches!(kind, Kind::String))?;
                self.skip(length)
            }
            Kind::Plain(element) => {
                for _ in 0..self.count()? {
                    self.field(element)?;
                }
                Ok(())
            }
            Kind::Structures(fields) => {
                for _ in 0..self.count()? {
                    self.structure(fields)?;
                }
                Ok(())
            }
        }
    }

    fn count(&mut self) -> Result<usize, &'static str> {
        let count = self.length(false)?;
        self.claim(count)?;
        Ok(count)
    }

    fn claim(&mut self, count: usize) -> Result<(), &'static str> {
        self.elements = self.elements.saturating_add(count);
        // No element is empty, so there cannot be more of them than bytes.
        if count > self.rest.len() || self.elements > ELEMENTS_MAX {
            return Err("it claims more elements than it can hold");
        }
        Ok(())
    }

    /// Reads a length; null counts as 0.
    fn length(&mut self, short: bool) -> Result<usize, &'static str> {
        if self.flexible {
            return Ok(self.varint()?.saturating_sub(1));
        }
        let length = if short {
            self.rest.try_get_i16().map(i32::from)
        } else {
            self.rest.try_get_i32()
        };
        match length.map_err(|_| "it ends early")? {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_| "a length is negative"),
        }
    }

    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.rest.try_get_u8().map_err(|_| "it ends early")?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| "a length is too large");
            }
        }
        Err("a length never ends")
    }

    fn skip(&mut self, length: usize) -> Result<(), &'static str> {
        if length > self.rest.len() {
            return Err("it ends early");
        }
        self.rest.advance(length);
        Ok(())
    }
}

/// Reads fields up to the end or the closing bracket.
fn fields(shape: &mut Peekable<Chars<'_>>) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(next) = shape.next() {
        let kind = match next {
            ' ' => continue,
            ']' | ')' => break,
            '[' => Kind::Structures(self::fields(shape)),
            '(' => {
                let element = self::fields(shape)
                    .pop()
                    .expect("an array names its element");
                Kind::Plain(Box::new(element.kind))
            }
            's' => Kind::String,
            'b' => Kind::Bytes,
            'o' => Kind::Fixed(1),
            'h' => Kind::Fixed(2),
            'i' => Kind::Fixed(4),
            'l' => Kind::Fixed(8),
            'u' => Kind::Fixed(16),
            other => panic!("the shapes above have no {other}"),
        };
        let (first, last) = versions(shape);
        fields.push(Field { kind, first, last });
    }
    fields
}

fn versions(shape: &mut Peekable<Chars<'_>>) -> (i16, i16) {
    let Some(first) = number(shape) else {
        return (0, i16::MAX);
    };
    if shape.next_if_eq(&'-').is_some() {
        return (first, number(shape).expect("a range has two ends"));
    }
    assert_eq!(shape.next(), Some('+'), "versions are a range or open");
    (first, i16::MAX)
}

fn number(shape: &mut Peekable<Chars<'_>>) -> Option<i16> {
    let mut value = None;
    while let Some(digit) = shape.peek().and_then(|next| next.to_digit(10)) {
        value = Some(value.unwrap_or(0) * 10 + i16::try_from(digit).expect("a digit is small"));
        shape.next();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::protocol::SERVED;
    use super::*;

    #[test]
    fn every_api_that_is_served_has_its_shape() {
        for (api, ..) in SERVED {
            assert!(PARSED.contains_key(&(*api as i16)), "{api:?}");
        }
        assert_eq!(PARSED.len(), SERVED.len());
    }

    #[test]
    fn a_claim_of_two_thousand_million_topics_is_refused() {
        let old = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
        assert!(check(ApiKey::Metadata, 1, &old).is_err());
        let flexible = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x07, 0]);
        assert!(check(ApiKey::Metadata, 9, &flexible).is_err());
    }

    #[test]
    fn no_bytes_make_the_walk_panic_or_linger() {
        let mut random = 1_u64;
        for round in 0..20_000 {
            let bytes: Vec<u8> = (0..round % 97)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random.to_le_bytes()[3] >> (round % 7)
                })
                .collect();
            let bytes = Bytes::from(bytes);
            for (api, first, last) in SERVED {
                let _ = check(*api, *first, &bytes);
                let _ = check(*api, *last, &bytes);
            }
        }
    }
}
