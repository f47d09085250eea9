//! What a command answers: text for people, JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

use super::error::CliError;

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

    /// The answer of a command that has said all it had to say.
    pub(crate) fn said() -> Self {
        Self::good("", Value::Null)
    }

    /// Prints it to stdout. Whoever closed the other end has seen enough: that is no error.
    ///
    /// # Errors
    ///
    /// If stdout can't be written to for another reason.
    pub(crate) fn print(&self, as_json: bool) -> io::Result<()> {
        let mut text = if as_json && self.json.is_null() {
            String::new()
        } else if as_json {
            serde_json::to_string_pretty(&self.json).expect("a JSON value has string keys only")
        } else {
            self.text.clone()
        };
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        write(text.as_bytes()).map(|_| ())
    }
}

/// Says a line on stdout, before the command is at its end. `false` if nobody reads it any more.
pub(crate) fn say(line: &str) -> Result<bool, CliError> {
    say_bytes(format!("{line}\n").as_bytes())
}

/// Writes bytes to stdout as they are. `false` if nobody reads them any more.
pub(crate) fn say_bytes(bytes: &[u8]) -> Result<bool, CliError> {
    write(bytes).map_err(|error| CliError::failed(format!("cannot write to stdout: {error}")))
}

fn write(bytes: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
