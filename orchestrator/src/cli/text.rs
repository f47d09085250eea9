//! How tables, times and bytes are written for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

/// An empty table with these columns: no lines but what is needed, as wide as its content or the terminal.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.map(str::to_uppercase));
    table
}

/// The table as text, without its margin and without blanks at the ends of lines.
pub(crate) fn write_table(table: &Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| {
            line.strip_prefix(' ')
                .unwrap_or(&line)
                .trim_end()
                .to_owned()
        })
        .collect();
    lines.join("\n")
}

/// Milliseconds since the Unix epoch, now.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time as `2026-11-22 21:03:35.123Z`.
pub(crate) fn write_time(at_ms: i64) -> String {
    let (days, of_day) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// How long something took or takes, in two figures or so.
pub(crate) fn write_span(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// Reads what stands behind `--wait`: a duration such as `5s`.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
        .ok_or_else(|| "a duration is a whole number with its unit, such as 500ms or 5s".to_owned())
}

/// Bytes as text if they are text, else as `… bytes: 00 01 02 …`. At most `chars_max` characters.
pub(crate) fn write_bytes(bytes: &[u8], chars_max: usize) -> String {
    let readable = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.chars().all(|c| !c.is_control() || c.is_whitespace()));
    match readable {
        Some(text) => shortened(text, chars_max),
        None => {
            let hex: Vec<String> = bytes
                .iter()
                .take((chars_max / 3).max(4))
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let more = if hex.len() < bytes.len() { " …" } else { "" };
            format!("{} bytes: {}{more}", bytes.len(), hex.join(" "))
        }
    }
}

/// The text, or its beginning with an ellipsis.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Base64 of RFC 4648, padded.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The bytes that a text in JSON stands for; `None` if it is no base64.
pub(crate) fn unbase64(value: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value.as_str()?).ok()
}

/// Lower-case hex, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a terminal must not be told by a stored text: control characters become `�`.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (at_ms, written) in [
            (0, "1970-01-01 00:00:00.000Z"),
            (951_826_154_321, "2000-02-29 12:09:14.321Z"),
            (-1, "1969-12-31 23:59:59.999Z"),
            (1_800_000_000_000, "2027-01-15 08:00:00.000Z"),
        ] {
            assert_eq!(write_time(at_ms), written);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hex_and_shortened() {
        assert_eq!(write_bytes(b"{\"a\": 1}", 20), "{\"a\": 1}");
        assert_eq!(write_bytes(&[0, 255, 7], 60), "3 bytes: 00 ff 07");
        assert_eq!(write_bytes(&[0; 9], 12), "9 bytes: 00 00 00 00 …");
        assert_eq!(shortened("äöü", 2), "äö…");
    }

    #[test]
    fn a_stored_text_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
