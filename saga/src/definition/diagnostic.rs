//! What is wrong with a definition, and where.

use std::fmt;

use serde_json::{Value, json};

use super::limits::DIAGNOSTICS_MAX;

/// Something about a definition that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Names the rule, e.g. `BS0207`. Never reused for another; [`explain`](super::explain) has
    /// more to say on each.
    pub code: &'static str,
    /// Whether the definition can be used all the same.
    pub severity: Severity,
    /// What is wrong, in a sentence without its full stop.
    pub message: String,
    /// Which file, if it was read from one.
    pub file: Option<String>,
    /// Counts from 1; 0 if the definition was not read from a text.
    pub line: usize,
    /// Counts from 1, in characters; 0 as for the line.
    pub column: usize,
    /// How many characters of the line it is about; at least 1.
    pub length: usize,
    /// The line, without its end.
    pub snippet: String,
    /// What to say at the place.
    pub note: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// Whether a definition can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but may not do what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Diagnostic {
    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As of a definition that was not read from a text.
    pub(super) fn without_place(mut self) -> Self {
        self.file = None;
        (self.line, self.column, self.length) = (0, 0, 1);
        self.snippet.clear();
        self
    }

    /// Whether the definition cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The same for programs: an object with the names of the fields.
    pub fn to_json(&self) -> Value {
        json!({
            "code": self.code,
            "severity": self.severity.name(),
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "length": self.length,
            "note": self.note,
            "help": self.help,
        })
    }
}

/// In the order of the text, once each. Errors go before warnings where not all can be shown.
pub(super) fn sorted(mut found: Vec<Diagnostic>, file: Option<&str>) -> Vec<Diagnostic> {
    let all = found.len();
    found.sort_by_key(|diagnostic| diagnostic.severity);
    found.truncate(DIAGNOSTICS_MAX);
    let more = all - found.len();
    found.sort_by(|a, b| {
        // Other files come after the definition's own.
        let a = (
            a.file.as_deref() != file,
            &a.file,
            a.line,
            a.column,
            a.code,
            &a.message,
        );
        let b = (
            b.file.as_deref() != file,
            &b.file,
            b.line,
            b.column,
            b.code,
            &b.message,
        );
        a.cmp(&b)
    });
    // A default that is wrong is found wrong in each step that takes it.
    found.dedup();
    if more > 0
        && let Some(last) = found.last_mut()
    {
        last.help = Some(format!("{more} more are not shown"));
    }
    found
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]: {}",
            self.severity.name(),
            self.code,
            self.message
        )?;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        if self.line > 0 {
            let file = self.file.as_deref().unwrap_or("definition");
            // A tab would move the carets away from what they point at.
            let snippet = self.snippet.replace('\t', " ");
            write!(f, "\n{gutter}┌─ {file}:{number}:{}", self.column)?;
            write!(f, "\n{number}│ {snippet}")?;
            let before = " ".repeat(self.column.saturating_sub(1));
            let carets = "^".repeat(self.length.max(1));
            write!(f, "\n{gutter}│ {before}{carets}")?;
            if let Some(note) = &self.note {
                write!(f, " {note}")?;
            }
        } else if let Some(note) = &self.note {
            write!(f, "\n{gutter}= {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter}= {help}")?;
        }
        Ok(())
    }
}
