//! What a command answers: text for people, JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

/// What a command answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For people; without the last line's end.
    pub(crate) text: String,
    /// For programs: one document.
    pub(crate) json: Value,
    /// Whether it found out that something is wrong, which makes the exit code 1.
    pub(crate) is_bad: bool,
}

impl Answer {
    /// An answer of a command that did what was asked.
    pub(crate) fn good(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
            is_bad: false,
        }
    }

    /// An answer that says what is wrong.
    pub(crate) fn bad(text: impl Into<String>, json: Value) -> Self {
        Self {
            is_bad: true,
            ..Self::good(text, json)
        }
    }

    /// Prints it to stdout. Whoever closed the other end has seen enough: that is no error.
    ///
    /// # Errors
    ///
    /// If stdout can't be written to for another reason.
    pub(crate) fn print(&self, as_json: bool) -> io::Result<()> {
        let mut text = if as_json {
            serde_json::to_string_pretty(&self.json).expect("a JSON value has string keys only")
        } else {
            self.text.clone()
        };
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
