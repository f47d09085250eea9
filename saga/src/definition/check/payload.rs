//! Templates, literals, contracts.

use std::sync::Arc;

use serde_json::Value;

use super::checker::Checker;
use super::sight::At;
use crate::contract::Schema;
use crate::definition::limits::LITERAL_BYTES_MAX;
use crate::definition::model::Do;
use crate::definition::words::nearest;
use crate::expression::{Expression, PayloadProblem, Template, Type};

impl<'c> Checker<'c> {
    /// A document with expressions in it.
    pub(super) fn template(&mut self, template: &Template, place: &str, at: &At<'_, 'c>) {
        match template {
            Template::Literal(value) => {
                let bytes = value.to_string().len();
                if bytes > LITERAL_BYTES_MAX {
                    let span = self.places.span(place);
                    let message = format!(
                        "{bytes} bytes are written here, and at most {LITERAL_BYTES_MAX} are allowed"
                    );
                    self.error("BS0102", span, message);
                }
                self.literal(value, place, at);
            }
            Template::Expression(expression) => {
                self.expression(expression, place, at);
            }
            Template::Object(fields) => {
                for (name, field) in fields {
                    self.template(field, &format!("{place}.{name}"), at);
                }
            }
            Template::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.template(item, &format!("{place}[{n}]"), at);
                }
            }
        }
    }

    fn literal(&mut self, value: &Value, place: &str, at: &At<'_, 'c>) {
        match value {
            Value::String(text) if looks_foreign(text) => {
                let diagnostic = self
                    .places
                    .warning(
                        "BS0209",
                        self.places.span(place),
                        format!("the text `{text}` looks like one with an expression inside"),
                    )
                    .with_help("texts are put together in an expression: `=\"order \" + event.order_id`; as it stands, it is sent as it is");
                self.push(diagnostic);
            }
            Value::String(text) if looks_forgotten(text, at) => {
                let diagnostic = self
                    .places
                    .warning(
                        "BS0209",
                        self.places.span(place),
                        format!("the text `{text}` looks like an expression"),
                    )
                    .with_help(format!(
                        "write `={text}` if it is one; as it stands, it is sent as a text"
                    ));
                self.push(diagnostic);
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.literal(field, &format!("{place}.{name}"), at);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.literal(item, &format!("{place}[{n}]"), at);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    pub(super) fn tag(&mut self, name: &str, tag: &Template, at: &At<'_, 'c>) {
        let place = format!("tags.{name}");
        self.template(tag, &place, at);
        let many = match tag {
            Template::Object(_) | Template::List(_) => true,
            Template::Literal(value) => value.is_object() || value.is_array(),
            Template::Expression(_) => {
                let of = self.type_of_template(tag, at);
                !of.is_any()
                    && of.alternatives().iter().all(|of| {
                        matches!(
                            of,
                            Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Record(_)
                        )
                    })
            }
        };
        if many {
            let span = self.places.span(&place);
            self.error(
                "BS0105",
                span,
                format!("the tag `{name}` must be one value"),
            );
        }
    }

    /// A variable and its value.
    pub(super) fn set(&mut self, name: &str, value: &Template, place: &str, at: &At<'_, 'c>) {
        self.template(value, place, at);
        // What is made of variables may change with each round: nothing is known of it.
        let of_vars = value
            .expressions()
            .any(|expression| expression.references().contains("vars"));
        let of = if of_vars {
            Type::Any
        } else {
            self.type_of_template(value, at)
        };
        let of = match self.vars.remove(name) {
            None => of,
            Some(known) => Type::one_of([known, of]),
        };
        self.vars.insert(name.to_owned(), of);
    }

    /// What is sent to the workers of an activity, against its contract.
    pub(super) fn sent_to(
        &mut self,
        activity: &str,
        with: &Template,
        place: &str,
        at: &At<'_, 'c>,
    ) {
        let definition = self.definition;
        let schema = definition
            .activities
            .get(activity)
            .and_then(|contract| contract.input.as_ref()?.schema.as_ref());
        if let Some(schema) = schema {
            let note = format!("the contract of `{activity}` says so");
            self.held_against(with, schema, place, &note, at);
        }
    }

    pub(super) fn held_against(
        &mut self,
        with: &Template,
        schema: &Arc<Schema>,
        place: &str,
        note: &str,
        at: &At<'_, 'c>,
    ) {
        let problems = self.typed(at, |scope| with.misfits(schema, scope));
        for problem in problems {
            let PayloadProblem {
                at,
                is_key,
                message,
                help,
                is_warning,
            } = problem;
            let mut span = self.places.span(&format!("{place}{at}"));
            // The key stands before the value, on its line or on one before.
            if is_key && let Some(name) = at.rsplit('.').next() {
                span = self.key_before(span, name);
            }
            let code = "BS0307";
            let diagnostic = if is_warning {
                self.places.warning(code, span, message)
            } else {
                self.places.error(code, span, message)
            };
            let diagnostic = diagnostic.with_note(note);
            self.push(match help {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic,
            });
        }
    }

    /// Codes that are not to be tried again, against those that there are.
    pub(super) fn codes_of(&mut self, work: &Do, place: &str) {
        let definition = self.definition;
        let Some(contract) = definition.activities.get(&work.activity) else {
            return;
        };
        if contract.errors.is_empty() {
            return;
        }
        let known: Vec<&str> = contract.errors.iter().map(String::as_str).collect();
        for code in &work.retry.not {
            if contract.errors.contains(code) {
                continue;
            }
            // What stands under `defaults` is for all activities.
            let own = format!("{place}.retry.not");
            let agreed = format!("activities.{}.retry.not", work.activity);
            let Some(written) = [own, agreed].into_iter().find(|written| {
                self.places.has(written) || self.places.has(&format!("{written}[0]"))
            }) else {
                continue;
            };
            let span = self.item_of(&written, code);
            let help = match nearest(code, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it may be {}", known.join(", ")),
            };
            let diagnostic = self
                .places
                .error(
                    "BS0308",
                    span,
                    format!("`{}` never answers with the code `{code}`", work.activity),
                )
                .with_note("its contract lists its `errors`")
                .with_help(help);
            self.push(diagnostic);
        }
    }
}

/// Whether a literal is what an author writes who thinks of `{{ event.x }}` or `${event.x}`.
fn looks_foreign(text: &str) -> bool {
    const ROOTS: [&str; 6] = ["event", "steps", "vars", "key", "result", "failure"];
    ["{{", "${"].iter().any(|open| {
        let mut inside = text.split(open).skip(1);
        inside.any(|rest| {
            let rest = rest.trim_start();
            ROOTS.iter().any(|root| {
                let after = rest.strip_prefix(root);
                after.is_some_and(|after| after.trim_start().starts_with(['.', '[', '}']))
            })
        })
    })
}

/// Whether a literal is what an author writes who forgets the `=`.
fn looks_forgotten(text: &str, at: &At<'_, '_>) -> bool {
    const BEGINS: [&str; 6] = ["event.", "event[", "steps.", "result.", "vars.", "failure."];
    let begins = BEGINS.iter().any(|begin| text.starts_with(begin));
    let item = at.locals.iter().any(|(name, _)| {
        text.strip_prefix(name.as_str())
            .is_some_and(|rest| rest.starts_with('.') && !rest.contains(' '))
    });
    (begins || item) && Expression::compile(text).is_ok()
}
