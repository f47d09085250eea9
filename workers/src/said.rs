//! An answer in words: as it is remembered and sent.

use crate::verdict::UNDONE_BEFORE_DONE;
use crate::work::Answer;

/// Bytes of an output as JSON, so that a reply stays well below what a broker takes.
const OUTPUT_BYTES_MAX: usize = 768 << 10;

/// Bytes of a code or a reason. The rest is cut off.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// An answer as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Done { output: Vec<u8> },
    Refused { code: String, reason: String },
    Failed { code: String, reason: String },
}

impl Said {
    /// Puts an answer into words; `None` for silence. An output that is too large is a failure: nobody could be told of it.
    pub(crate) fn from_answer(answer: Answer) -> Option<Self> {
        Some(match answer {
            Answer::Done(value) => {
                let output = serde_json::to_vec(&value).expect("a JSON value is always JSON");
                if output.len() > OUTPUT_BYTES_MAX {
                    let reason = format!(
                        "an output of {} bytes is above the limit of {OUTPUT_BYTES_MAX}",
                        output.len()
                    );
                    Self::failed("output_too_large", reason)
                } else {
                    Self::Done { output }
                }
            }
            Answer::Refused { code, reason } => Self::Refused {
                code: cut(code),
                reason: cut(reason),
            },
            Answer::Failed { code, reason } => Self::failed(code, reason),
            Answer::Silent => return None,
        })
    }

    pub(crate) fn failed(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed {
            code: cut(code.into()),
            reason: cut(reason.into()),
        }
    }

    /// The answer to a *do* whose undo came first.
    pub(crate) fn too_late() -> Self {
        Self::Refused {
            code: UNDONE_BEFORE_DONE.to_owned(),
            reason: "its undo came first".to_owned(),
        }
    }

    /// The answer to an undo of what never happened.
    pub(crate) fn nothing_to_undo() -> Self {
        Self::Done {
            output: b"null".to_vec(),
        }
    }
}

/// Cuts a text to what a reply and every memory can hold: Postgres has no text with a zero in it.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    if text.contains('\0') {
        text = text.replace('\0', " ");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_output_that_no_reply_can_carry_is_a_failure() {
        let large = Answer::Done(Value::String("x".repeat(OUTPUT_BYTES_MAX)));
        assert!(matches!(
            Said::from_answer(large),
            Some(Said::Failed { code, .. }) if code == "output_too_large"
        ));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_has_no_zero() {
        let Some(Said::Refused { code, reason }) =
            Said::from_answer(Answer::refused("a\0b", "é".repeat(TEXT_BYTES_MAX)))
        else {
            panic!("a refusal stays one")
        };
        assert_eq!(code, "a b");
        assert_eq!(reason.len(), TEXT_BYTES_MAX);
    }
}
