//! Where the parts of a definition stand in its text.
//!
//! A part is named by the keys that lead to it, however deep:
//!
//! | part | name |
//! | --- | --- |
//! | what stands under a key of the definition | `deadline`, `output.label`, `tags.customer` |
//! | a start rule, and a part of it | `start[0]`, `start[0].when` |
//! | a contract, and a part of it | `activities.print-label`, `activities.print-label.retry.budget` |
//! | a default | `defaults.timeout`, `defaults.retry.attempts` |
//! | a step: its verb and the verb's argument | `steps[2]` |
//! | the verb's argument, and any other key | `steps[2].do`, `steps[2].with.lines[0]`, `steps[2].timeout.reply` |
//! | a name that is given with `set`, and its value | `steps[2].set.limit#`, `steps[2].set.limit` |
//! | a branch of `parallel`: its name, its steps | `steps[2].parallel.label#`, `steps[2].parallel.label` |
//! | a case of `choose`, and its condition | `steps[3].choose[1]`, `steps[3].choose[1].when` |
//! | a role under `by`, a code under `not` or `errors` | `steps[3].by[0]`, `steps[3].retry.not[1]` |
//! | a sequence inside a step | [`place_of_block`] |
//! | the steps of a sequence | [`place_of_step`] |
//!
//! The sequences inside a step are, for example, `steps[2].parallel.label`,
//! `steps[3].choose[1].steps`, `steps[3].choose[2].else`, `steps[4].steps` (of `each`, and of
//! `repeat` too) and `steps[1].on_failure`; their steps are `steps[2].parallel.label[0]` and so on.
//! With a `#` at its end, a name is that of the key instead of the value.
//!
//! What is read from another file stands, here, where the text names that file.

use std::collections::BTreeMap;

use super::blocks::Slot;
use super::diagnostic::{Diagnostic, Severity};

/// The place of a sequence inside a step.
pub(super) fn place_of_block(step: &str, slot: Slot<'_>) -> String {
    match slot {
        Slot::Branch(_, name) => format!("{step}.parallel.{name}"),
        Slot::Case(n) => format!("{step}.choose[{n}].steps"),
        Slot::Otherwise(n) => format!("{step}.choose[{n}].else"),
        Slot::Body => format!("{step}.steps"),
        Slot::OnFailure => format!("{step}.on_failure"),
        Slot::OnTimeout => format!("{step}.on_timeout"),
        Slot::OnRefused => format!("{step}.on_refused"),
    }
}

/// The place of a step of a sequence: `n` counts from 0, and the sequence of the definition itself
/// is `steps`.
pub(super) fn place_of_step(block: &str, n: usize) -> String {
    format!("{block}[{n}]")
}

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

    /// The parts that stand in the text.
    pub(super) fn names(&self) -> Vec<String> {
        self.spans.keys().cloned().collect()
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

    /// Where a part of a step's `timeout` or `retry` is written: at the step (or its undo), in the
    /// contract of its activity, or under `defaults`; at the step if nowhere.
    pub(super) fn written(&self, step: &str, activity: &str, field: &str) -> Span {
        let own = format!("{step}.{field}");
        let below = [
            format!("activities.{activity}.{field}"),
            format!("defaults.{field}"),
        ];
        if self.has(&own) {
            return self.span(&own);
        }
        match below.iter().find(|place| self.has(place)) {
            Some(place) => self.span(place),
            None => self.span(&own),
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
