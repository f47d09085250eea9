//! Where the parts of a definition stand in its text.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Severity};

/// A stretch of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// Counts from 1; 0 if unknown.
    pub(super) line: usize,
    /// Counts from 1, in characters.
    pub(super) column: usize,
    /// In characters; may run over the end of the line.
    pub(super) len: usize,
}

/// The stretches of the parts, by names such as `steps[2].with.amount`.
#[derive(Debug, Default)]
pub(super) struct Places {
    file: Option<String>,
    lines: Vec<String>,
    spans: BTreeMap<String, Span>,
}

impl Places {
    pub(super) fn of_text(file: Option<&str>, source: &str) -> Self {
        Self {
            file: file.map(str::to_owned),
            lines: source.lines().map(str::to_owned).collect(),
            spans: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, place: impl Into<String>, span: Span) {
        self.spans.insert(place.into(), span);
    }

    /// Whether a part stands in the text itself.
    pub(super) fn has(&self, place: &str) -> bool {
        self.spans.contains_key(place)
    }

    /// The stretch of a part, or of the smallest known part around it.
    pub(super) fn span(&self, place: &str) -> Span {
        let mut place = place;
        loop {
            if let Some(span) = self.spans.get(place) {
                return *span;
            }
            match place.rfind(['.', '[']) {
                Some(end) => place = &place[..end],
                None => return self.spans.get("").copied().unwrap_or_default(),
            }
        }
    }

    pub(super) fn error(&self, code: &'static str, span: Span, message: String) -> Diagnostic {
        self.diagnostic(Severity::Error, code, span, message)
    }

    pub(super) fn warning(&self, code: &'static str, span: Span, message: String) -> Diagnostic {
        self.diagnostic(Severity::Warning, code, span, message)
    }

    fn diagnostic(
        &self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
    ) -> Diagnostic {
        let snippet = self.line(span.line).to_owned();
        let rest = (snippet.chars().count() + 1).saturating_sub(span.column);
        Diagnostic {
            code,
            severity,
            message,
            file: self.file.clone(),
            line: span.line,
            column: span.column,
            length: span.len.min(rest).max(1),
            snippet,
            note: None,
            help: None,
        }
    }

    fn line(&self, line: usize) -> &str {
        line.checked_sub(1)
            .and_then(|line| self.lines.get(line))
            .map_or("", String::as_str)
    }

    /// The stretch of the `offset`th character and `len - 1` more of an expression that stands at
    /// `span`; all of `span` where quoting or folding hides where that is.
    pub(super) fn within(&self, span: Span, offset: usize, len: usize) -> Span {
        let written: String = self
            .line(span.line)
            .chars()
            .skip(span.column.saturating_sub(1))
            .take(span.len)
            .collect();
        let quote = usize::from(written.starts_with(['"', '\'']));
        if written.starts_with(['|', '>'])
            || written.contains('\\')
            || offset + quote >= written.chars().count()
        {
            return span;
        }
        Span {
            line: span.line,
            column: span.column + quote + offset,
            len,
        }
    }

    /// The first stretch within `span` where `word` is written; all of `span` if it is not.
    pub(super) fn word(&self, span: Span, word: &str) -> Span {
        let written: String = self
            .line(span.line)
            .chars()
            .skip(span.column.saturating_sub(1))
            .take(span.len)
            .collect();
        match written.find(word) {
            Some(at) => Span {
                line: span.line,
                column: span.column + written[..at].chars().count(),
                len: word.chars().count(),
            },
            None => span,
        }
    }
}
