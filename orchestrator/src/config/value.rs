//! Durations and sizes as people write them: `250ms`, `10s`, `1h`; `512KiB`, `4MiB`, `1000`.

use std::time::Duration;

const DURATION_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const SIZE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a duration: one or more whole numbers, each with its unit (`ms`, `s`, `m`, `h`, `d`), without spaces.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    loop {
        let (number, after) = leading_number(rest)?;
        let unit_len = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        total_ms = total_ms.checked_add(number.checked_mul(factor(unit, DURATION_UNITS)?)?)?;
        if next.is_empty() {
            return Some(Duration::from_millis(total_ms));
        }
        rest = next;
    }
}

/// Writes a duration in the largest unit that leaves a whole number.
pub(super) fn write_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0ms".to_owned();
    }
    let (unit, factor) = DURATION_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| ms.is_multiple_of(u128::from(*factor)))
        .expect("every whole number of milliseconds is one of milliseconds");
    format!("{}{unit}", ms / u128::from(*factor))
}

/// Reads a size in bytes: a whole number, with `B`, `KiB`, `MiB`, `GiB` or nothing.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    number.checked_mul(factor(unit.trim(), SIZE_UNITS)?)
}

/// Writes a size in the largest unit that leaves a whole number.
pub(super) fn write_size(bytes: u64) -> String {
    let whole = SIZE_UNITS
        .iter()
        .skip(2)
        .rev()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let len = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(len);
    Some((number.replace('_', "").parse().ok()?, rest))
}

fn factor(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
}

/// For serde: a [`Duration`] as its text.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write_duration(*value))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no duration")))
    }
}

/// For serde: a number of bytes as its text.
pub(super) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &u64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write_size(*value))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_size(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no size")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_in_any_unit_and_written_in_the_largest() {
        for (text, ms, written) in [
            ("0ms", 0, "0ms"),
            ("250ms", 250, "250ms"),
            ("1500ms", 1_500, "1500ms"),
            ("60s", 60_000, "1m"),
            ("1h30m", 5_400_000, "90m"),
            ("7d", 604_800_000, "7d"),
        ] {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(ms), "{text}");
            assert_eq!(write_duration(read), written);
        }
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "10sec",
            "99999999999999999d",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_is_read_with_or_without_its_unit() {
        for (text, bytes, written) in [
            ("0", 0, "0"),
            ("1000", 1_000, "1000"),
            ("1_048_576", 1 << 20, "1MiB"),
            ("4MiB", 4 << 20, "4MiB"),
            ("512 KiB", 512 << 10, "512KiB"),
            ("2GiB", 2 << 30, "2GiB"),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(write_size(bytes), written);
        }
        for wrong in ["", "4MB", "-1", "1.5MiB", "MiB", "99999999999GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
