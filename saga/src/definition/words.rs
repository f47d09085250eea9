//! Names and durations, as they are written.

pub(super) use crate::nearest::nearest;

use super::limits::{DURATION_MS_MAX, NAME_CHARS_MAX, TOPIC_CHARS_MAX};

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads `200ms`, `5s`, `10m`, `2h` or `3d`; milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = UNITS.iter().find(|(name, _)| *name == unit);
    let (Ok(number), Some((_, unit_ms))) = (number.parse::<u64>(), unit_ms) else {
        return Err(format!("`{text}` is not a duration"));
    };
    number
        .checked_mul(*unit_ms)
        .filter(|ms| *ms <= DURATION_MS_MAX)
        .ok_or_else(|| {
            let days = DURATION_MS_MAX / 86_400_000;
            format!("`{text}` is longer than {days} days")
        })
}

/// Reads `200ms..10s`, or one duration for both ends.
pub(super) fn range_ms(text: &str) -> Result<(u64, u64), String> {
    match text.split_once("..") {
        Some((min, max)) => Ok((duration_ms(min.trim())?, duration_ms(max.trim())?)),
        None => duration_ms(text).map(|ms| (ms, ms)),
    }
}

/// Milliseconds in the largest unit that gives a whole number.
pub(super) fn written_ms(ms: u64) -> String {
    let unit = UNITS
        .iter()
        .rev()
        .find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms));
    match unit {
        Some((unit, unit_ms)) => format!("{}{unit}", ms / unit_ms),
        None => "0s".to_owned(),
    }
}

/// A range of milliseconds; one duration where both ends are the same.
pub(super) fn written_range((min, max): (u64, u64)) -> String {
    if min == max {
        written_ms(min)
    } else {
        format!("{}..{}", written_ms(min), written_ms(max))
    }
}

/// What to write instead of what is no duration.
pub(super) const DURATION_HELP: &str =
    "write a number and one of ms, s, m, h, d: `200ms`, `5s`, `10m`, `2h`, `3d`";

/// What a step of a verb is called.
pub(super) fn a_step(verb: &str) -> String {
    let article = if verb.starts_with(['a', 'e']) {
        "an"
    } else {
        "a"
    };
    format!("{article} `{verb}` step")
}

/// Why a name of a saga or activity is refused.
pub(super) fn refuse_kebab(name: &str) -> Option<String> {
    refuse_name(name, '-', "kebab-case", "charge-payment")
}

/// Why a step's id, or a tag, is refused.
pub(super) fn refuse_snake(name: &str) -> Option<String> {
    refuse_name(name, '_', "snake_case", "charge_payment").or_else(|| {
        RESERVED
            .contains(&name)
            .then(|| format!("`{name}` is a reserved word of CEL"))
    })
}

fn refuse_name(name: &str, joint: char, case: &str, example: &str) -> Option<String> {
    let len = name.chars().count();
    if len > NAME_CHARS_MAX {
        return Some(format!(
            "a name of {len} characters, and at most {NAME_CHARS_MAX} are allowed"
        ));
    }
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let good = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split(joint).all(part);
    (!good).then(|| {
        let mended = mended(name, joint);
        let is_one = mended.starts_with(|c: char| c.is_ascii_lowercase());
        let example = if is_one { &mended } else { example };
        format!("`{name}` is not {case}, as `{example}` is")
    })
}

/// A name with the joint between its words: `PayOut`, `pay_out` and `Pay Out` are `pay-out`.
fn mended(name: &str, joint: char) -> String {
    let mut mended = String::new();
    let mut was_small = false;
    for c in name.chars() {
        let is_part = c.is_ascii_alphanumeric();
        let begins = c.is_ascii_uppercase() && was_small;
        if (!is_part || begins) && !mended.is_empty() && !mended.ends_with(joint) {
            mended.push(joint);
        }
        if is_part {
            mended.push(c.to_ascii_lowercase());
        }
        was_small = is_part && !c.is_ascii_uppercase();
    }
    mended.trim_end_matches(joint).to_owned()
}

/// CEL cannot read these after a point.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Why the name of a topic is refused. Topics that start sagas are others' and named as Kafka
/// allows.
pub(super) fn refuse_topic(name: &str) -> Option<String> {
    let len = name.chars().count();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if len == 0 || len > TOPIC_CHARS_MAX {
        return Some(format!(
            "a topic of {len} characters; Kafka allows 1 to {TOPIC_CHARS_MAX}"
        ));
    }
    if !name.chars().all(legal) || name == "." || name == ".." {
        return Some(format!(
            "`{name}` is no name of a topic: Kafka allows letters, digits, `.`, `_` and `-`"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, ms) in [
            ("200ms", 200),
            ("5s", 5_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
            ("0s", 0),
            ("3650d", DURATION_MS_MAX),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "5sec",
            "1h30m",
            "3651d",
            "99999999999999999999s",
        ] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_of_another_form_is_mended() {
        for (name, kebab) in [
            ("PayOut", "pay-out"),
            ("pay_out", "pay-out"),
            ("Pay Out", "pay-out"),
            ("-pay--out-", "pay-out"),
            ("payOUT2", "pay-out2"),
            ("ü", ""),
        ] {
            assert_eq!(mended(name, '-'), kebab, "{name}");
        }
    }

    #[test]
    fn a_range_is_two_durations_or_one() {
        assert_eq!(range_ms("200ms..10s"), Ok((200, 10_000)));
        assert_eq!(range_ms("200ms .. 10s"), Ok((200, 10_000)));
        assert_eq!(range_ms("1s"), Ok((1_000, 1_000)));
        assert!(range_ms("1s..").is_err());
        assert!(range_ms("..1s").is_err());
    }

    #[test]
    fn a_duration_is_written_as_it_would_be_read() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (60_000, "1m"),
            (90_000, "90s"),
            (3_600_000, "1h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(written_ms(ms), text);
            assert_eq!(duration_ms(text), Ok(ms));
        }
        assert_eq!(written_range((200, 10_000)), "200ms..10s");
        assert_eq!(written_range((1_000, 1_000)), "1s");
    }
}
