//! Reading the value of an expression as a key or as a time.

use serde_json::Value;

/// The value as the key of something: a text that is not empty, a whole number or a boolean.
///
/// # Errors
///
/// Why it is no key, in a sentence without its full stop.
pub fn key_text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("it is empty, and no key".to_owned()),
        Value::String(text) if text.contains('\0') => {
            Err("it holds U+0000, which no key may".to_owned())
        }
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null => Err("it is null, and no key".to_owned()),
        Value::Number(_) => Err("it is a fraction, and no key".to_owned()),
        Value::Array(_) => Err("it is a list, and no key".to_owned()),
        Value::Object(_) => Err("it is an object, and no key".to_owned()),
    }
}

/// The value as a time in milliseconds since the Unix epoch: a whole number of these, or a text as
/// RFC 3339 has it, such as `2026-03-01T12:00:00Z`. Fractions of a millisecond are dropped.
///
/// # Errors
///
/// Why it is no time, in a sentence without its full stop.
pub fn time_ms(value: &Value) -> Result<i64, String> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .ok_or_else(|| "it is no whole number of milliseconds".to_owned()),
        Value::String(text) => rfc3339_ms(text).ok_or_else(|| {
            "it is no time: write 2026-03-01T12:00:00Z, or milliseconds since 1970".to_owned()
        }),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err("it is neither a text nor a number, and no time".to_owned())
        }
    }
}

fn rfc3339_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let is = |at: usize, what: &[u8]| bytes.get(at).is_some_and(|byte| what.contains(byte));
    let marks = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    if !marks {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let three: String = fraction[..len]
            .chars()
            .chain("000".chars())
            .take(3)
            .collect();
        ms = if len == 0 {
            return None;
        } else {
            three.parse().ok()?
        };
        rest = &fraction[len..];
    }
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let two = |part: &str| -> Option<i64> {
                let is_two = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
                is_two.then(|| part.parse().ok())?
            };
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    let days = days_since_1970(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * 1_000 + ms)
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted by years that begin with March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_has_them() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696_000),
            ("2026-03-01T12:00:00.5+02:00", 1_772_359_200_500),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(time_ms(&json!(text)), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for value in [
            json!("2026-02-29T00:00:00Z"),
            json!("2026-01-01"),
            json!("2026-01-01T00:00:00"),
            json!("2026-01-01T24:00:00Z"),
            json!("2026-01-01T00:00:00.Z"),
            json!("2026-01-01T00:00:00+2:00"),
            json!("ä026-01-01T00:00:00Z"),
            json!(1.5),
            json!(null),
        ] {
            assert!(time_ms(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_key_is_a_text_a_whole_number_or_a_boolean() {
        assert_eq!(key_text(&json!("a b")), Ok("a b".to_owned()));
        assert_eq!(key_text(&json!(4711)), Ok("4711".to_owned()));
        for value in [
            json!(""),
            json!(null),
            json!(0.5),
            json!([1]),
            json!({}),
            json!("\u{0}"),
        ] {
            assert!(key_text(&value).is_err(), "{value}");
        }
    }
}
