//! W3C trace context, as far as a message carries it.

use std::fmt;

/// The `traceparent` of a message: which trace it belongs to and which span sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never all zero.
    pub trace_id: [u8; 16],
    /// The sending span; never all zero.
    pub span_id: [u8; 8],
    /// The trace flags; bit 0 says sampled.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the header's text; `None` where it is not a valid one, which means: start a new trace.
    ///
    /// A version above `00` is read by its first four fields, as the recommendation asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim().as_bytes();
        let (head, rest) = bytes.split_at_checked(55)?;
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let [version] = hex(&head[..2])?;
        let valid_length = match version {
            0 => rest.is_empty(),
            0xff => false,
            1..=0xfe => rest.first().is_none_or(|next| *next == b'-'),
        };
        let parent = Self {
            trace_id: hex(&head[3..35])?,
            span_id: hex(&head[36..52])?,
            flags: hex::<1>(&head[53..55])?[0],
        };
        (valid_length && parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some(parent)
    }

    /// Returns the context of a span in the same trace.
    ///
    /// The id comes from the caller: this crate has no randomness. It must not be all zero.
    #[must_use]
    pub fn child(&self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..*self }
    }

    /// Returns whether the trace is sampled.
    pub fn sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            u128::from_be_bytes(self.trace_id),
            u64::from_be_bytes(self.span_id),
            self.flags
        )
    }
}

/// Reads exactly `N` bytes of lower-case hexadecimal.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_recommendation_is_read_and_written_back() {
        let parent = TraceParent::parse(EXAMPLE).unwrap();
        assert!(parent.sampled());
        assert_eq!(parent.to_string(), EXAMPLE);
    }

    #[test]
    fn a_child_keeps_the_trace_and_the_flags() {
        let parent = TraceParent::parse(EXAMPLE).unwrap();
        assert_eq!(
            parent.child([1, 2, 3, 4, 5, 6, 7, 8]).to_string(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0102030405060708-01"
        );
    }

    #[test]
    fn a_later_version_is_read_by_its_first_fields() {
        let later = format!("cc{}-more", &EXAMPLE[2..]);
        assert_eq!(TraceParent::parse(&later), TraceParent::parse(EXAMPLE));
    }

    #[test]
    fn what_the_recommendation_forbids_is_no_parent() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "ééééééééééééééééééééééééééééééééééééééééééééééééééééééé",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
