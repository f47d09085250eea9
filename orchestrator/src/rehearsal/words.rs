//! Answers, durations and names, as they are written in test files.

use super::script::Answering;

/// How answers are written.
pub(super) const ANSWERS: &str = "write done, refused CODE, failed CODE, failed CODE ×2 then done, unanswered, late 30s, twice \
     or worker_crash; `{ done: {…} }` gives the output";

/// Reads an answer that is written as a text.
pub(super) fn answer_of(text: &str) -> Result<Answering, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let no = || format!("`{text}` is no answer");
    let code = |at: usize, usual: &str| words.get(at).copied().unwrap_or(usual).to_owned();
    match words.as_slice() {
        ["done"] => Ok(Answering::Done(None)),
        ["unanswered"] => Ok(Answering::Unanswered { effect: true }),
        ["twice"] => Ok(Answering::Twice),
        ["worker_crash"] => Ok(Answering::Crash),
        ["late"] => Ok(Answering::Late(None)),
        ["late", wait] => duration_ms(wait)
            .map(|ms| Answering::Late(Some(ms)))
            .ok_or_else(|| format!("`{wait}` is no duration")),
        ["refused"] | ["refused", _] => Ok(Answering::Refused {
            code: code(1, "refused"),
        }),
        ["failed"] | ["failed", _] => {
            let counted = words.get(1).and_then(|word| times_of(word));
            Ok(Answering::Failed {
                code: code(1 + usize::from(counted.is_some()), "failed"),
                times: counted,
            })
        }
        ["failed", code, times] | ["failed", code, times, "then", "done"] => {
            let times = times_of(times).ok_or_else(no)?;
            Ok(Answering::Failed {
                code: (*code).to_owned(),
                times: Some(times),
            })
        }
        _ => Err(no()),
    }
}

/// `×2` or `x2`.
fn times_of(word: &str) -> Option<u32> {
    word.strip_prefix(['×', 'x'])?.parse().ok()
}

/// `200ms`, `5s`, `10m`, `2h`, `3d`.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// The known name that is most like what was written, if one is like it.
pub(super) fn nearest<'n>(written: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|name| (distance(written, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// How many characters to insert, remove or replace to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(200).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_is_said() {
        let failed = |code: &str, times| Answering::Failed {
            code: code.to_owned(),
            times,
        };
        let refused = |code: &str| Answering::Refused {
            code: code.to_owned(),
        };
        for (text, answering) in [
            ("done", Answering::Done(None)),
            ("refused card_declined", refused("card_declined")),
            ("refused", refused("refused")),
            ("failed busy", failed("busy", None)),
            ("failed busy ×2 then done", failed("busy", Some(2))),
            ("failed busy x3", failed("busy", Some(3))),
            ("failed ×1", failed("failed", Some(1))),
            ("late 30s", Answering::Late(Some(30_000))),
            ("unanswered", Answering::Unanswered { effect: true }),
            ("twice", Answering::Twice),
        ] {
            assert_eq!(answer_of(text), Ok(answering), "{text}");
        }
        for text in ["", "maybe", "late soon", "failed busy often", "done well"] {
            assert!(answer_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration_ms("90m"), Some(5_400_000));
        assert_eq!(duration_ms("90"), None);
        assert_eq!(duration_ms("m"), None);
    }
}
