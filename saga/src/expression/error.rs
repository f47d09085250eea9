//! Why an expression cannot be read, or has no value.

/// Why a text is no expression. All are for the author of the definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ExpressionError {
    /// What is wrong, in a sentence without its full stop.
    pub reason: String,
    /// Where, in characters from the start of the text, if it is one place.
    pub offset: Option<usize>,
}

impl ExpressionError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            offset: None,
        }
    }

    pub(super) fn at(reason: impl Into<String>, offset: usize) -> Self {
        Self {
            reason: reason.into(),
            offset: Some(offset),
        }
    }
}

/// Why an expression has no value for the documents at hand. Trying again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate `{expression}`{}: {reason}", place(.at))]
pub struct EvaluationError {
    /// The text of the expression.
    pub expression: String,
    /// Where the expression stands in its template, e.g. `.lines[0].sku`; empty at its top.
    pub at: String,
    /// What is wrong, in a sentence without its full stop.
    pub reason: String,
}

fn place(at: &str) -> String {
    if at.is_empty() {
        String::new()
    } else {
        format!(" at `{at}`")
    }
}
