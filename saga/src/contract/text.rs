//! Texts with a form: base64, decimals, UUIDs.

/// How many bytes a base64 text (standard alphabet, padded) holds; `None` if it is none.
pub(super) fn base64_len(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let (digits, _) = bytes.split_at(bytes.len() - padding);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if padding > 2 || !digits.iter().all(legal) {
        return None;
    }
    u64::try_from(bytes.len() / 4 * 3 - padding).ok()
}

/// Whether a text is a decimal number of so many digits at most, of them so many after its point.
pub(super) fn is_decimal(text: &str, precision: u64, scale: u64) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return false,
        None => (digits, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return false;
    }
    let count = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    count(fraction) <= scale
        && count(whole.trim_start_matches('0')) <= precision.saturating_sub(scale)
}

/// Whether a text is a UUID with its hyphens.
pub(super) fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lens: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lens == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_told_from_other_texts() {
        for (text, len) in [("", 0), ("AA==", 1), ("AAA=", 2), ("AAAA", 3), ("+/9=", 2)] {
            assert_eq!(base64_len(text), Some(len), "{text}");
        }
        for text in ["A", "AAA", "A===", "====", "AA=A", "A-_A", "AAAA "] {
            assert_eq!(base64_len(text), None, "{text}");
        }
    }

    #[test]
    fn a_decimal_has_its_digits_and_no_more() {
        for text in ["0", "0.00", "-12.80", "999.99", "12.8", "007"] {
            assert!(is_decimal(text, 5, 2), "{text}");
        }
        for text in [
            "", "-", ".5", "5.", "1000", "1.234", "1e3", "+1", "1,5", "a",
        ] {
            assert!(!is_decimal(text, 5, 2), "{text}");
        }
    }

    #[test]
    fn a_uuid_has_its_hyphens() {
        assert!(is_uuid("123e4567-e89b-12d3-a456-426614174000"));
        assert!(!is_uuid("123e4567e89b12d3a456426614174000"));
        assert!(!is_uuid("123e4567-e89b-12d3-a456-42661417400g"));
    }
}
