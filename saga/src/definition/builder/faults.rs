//! What is wrong with the parts, until it can be told.

use std::time::Duration;

use serde_json::Value;

use crate::definition::diagnostic::Diagnostic;
use crate::definition::limits::DURATION_MS_MAX;
use crate::definition::place::{Places, Span};
use crate::expression::{Expression, Template};

/// Something that cannot be in a definition.
#[derive(Debug, Clone)]
struct Fault {
    code: &'static str,
    message: String,
    /// Where: first the part, then what is around it.
    at: Vec<String>,
}

/// What was wrong so far. Nothing is told before the whole is built: a chain of calls goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn push(&mut self, code: &'static str, at: &str, message: impl Into<String>) {
        self.0.push(Fault {
            code,
            message: message.into(),
            at: vec![format!("`{at}`")],
        });
    }

    /// Those of a part.
    pub(super) fn take(&mut self, inner: Self) {
        self.0.extend(inner.0);
    }

    /// Those of a part, which is named.
    pub(super) fn take_in(&mut self, around: &str, inner: Self) {
        self.0.extend(inner.0.into_iter().map(|mut fault| {
            fault.at.push(around.to_owned());
            fault
        }));
    }

    pub(super) fn told(self) -> Vec<Diagnostic> {
        let places = Places::default();
        let tell = |fault: Fault| {
            places
                .error(fault.code, Span::default(), fault.message)
                .with_note(format!("in {}", fault.at.join(" of ")))
        };
        self.0.into_iter().map(tell).collect()
    }

    /// An expression, where the whole text is one.
    pub(super) fn logic(&mut self, at: &str, source: &str) -> Expression {
        match Expression::compile(source) {
            Ok(expression) => expression,
            Err(error) => {
                self.push("BS0203", at, format!("{}: `{source}`", error.reason));
                Expression::compile("true").expect("`true` is an expression")
            }
        }
    }

    /// A document with expressions in it.
    pub(super) fn template(&mut self, at: &str, value: impl Into<Value>) -> Template {
        Template::from_value(value.into()).unwrap_or_else(|error| {
            self.push("BS0203", at, error.reason);
            Template::empty()
        })
    }

    /// Milliseconds; a part of one counts as one.
    pub(super) fn ms(&mut self, at: &str, duration: Duration) -> u64 {
        let ms = duration.as_nanos().div_ceil(1_000_000);
        match u64::try_from(ms) {
            Ok(ms) if ms <= DURATION_MS_MAX => ms,
            _ => {
                let days = DURATION_MS_MAX / 86_400_000;
                self.push(
                    "BS0109",
                    at,
                    format!("{duration:?} is longer than {days} days"),
                );
                DURATION_MS_MAX
            }
        }
    }
}
