//! What must hold before a definition is run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::limits::{ATTEMPTS_MAX, STEPS_MAX, TAGS_MAX};
use super::model::{Definition, Do, OnFailure, OtherUndo, Retry, Step, Undo, Verb};
use super::place::{Places, Span};
use super::words::{nearest, refuse_kebab, refuse_snake, refuse_topic};
use crate::expression::{Expression, Root, Template};

/// Checks a whole definition; what is wrong is pushed to `found`.
pub(super) fn check(definition: &Definition, places: &Places, found: &mut Vec<Diagnostic>) {
    let mut checker = Checker {
        definition,
        places,
        found,
        ids: definition
            .steps
            .iter()
            .enumerate()
            .rev()
            .map(|(n, step)| (step.id.as_str(), n))
            .collect(),
    };
    checker.names();
    checker.numbers();
    checker.undos();
    checker.expressions();
}

struct Checker<'c> {
    definition: &'c Definition,
    places: &'c Places,
    found: &'c mut Vec<Diagnostic>,
    /// The first step of each id.
    ids: BTreeMap<&'c str, usize>,
}

/// What can be seen at a place, `event` and `now` apart.
#[derive(Clone, Copy, Default)]
struct Seen {
    key: bool,
    /// The steps before this one.
    steps: usize,
    /// This step as well.
    itself: Option<usize>,
    result: bool,
}

impl Checker<'_> {
    fn names(&mut self) {
        let definition = self.definition;
        self.name("saga", refuse_kebab(&definition.name));
        for (n, rule) in definition.start.iter().enumerate() {
            let place = format!("start[{n}].topic");
            self.name(&place, refuse_topic(&rule.topic));
        }
        for name in definition.tags.keys() {
            self.name(&format!("tags.{name}#"), refuse_snake(name));
        }
        for (n, step) in definition.steps.iter().enumerate() {
            let Verb::Do(done) = &step.verb else { continue };
            let place = format!("steps[{n}].do");
            let refused = refuse_kebab(&done.activity);
            // An id that follows from a bad activity would be the same news twice.
            if refused.is_none() {
                let place = format!("steps[{n}].id");
                self.name(&place, refuse_snake(&step.id));
            }
            self.name(&place, refused);
            if let Undo::Other(other) = &done.undo {
                let place = format!("steps[{n}].undo.do");
                self.name(&place, refuse_kebab(&other.activity));
            }
            self.unique(n, step);
        }
    }

    fn name(&mut self, place: &str, refused: Option<String>) {
        if let Some(reason) = refused {
            self.error("BS0201", self.places.span(place), reason);
        }
    }

    fn unique(&mut self, n: usize, step: &Step) {
        let first = self.ids.get(step.id.as_str()).copied().unwrap_or(n);
        if first == n {
            return;
        }
        let line = self.places.span(&format!("steps[{first}]")).line;
        let span = self.places.span(&format!("steps[{n}].id"));
        let diagnostic = self
            .places
            .error(
                "BS0202",
                span,
                format!("two steps have the id `{}`", step.id),
            )
            .with_note(format!("the other is {}", at_line(line, first)))
            .with_help("give one of them an `id` of its own");
        self.found.push(diagnostic);
    }

    fn numbers(&mut self) {
        let definition = self.definition;
        if definition.steps.is_empty() {
            let span = self.places.span("steps");
            self.error(
                "BS0104",
                span,
                "a definition has at least one step".to_owned(),
            );
        }
        let (steps, tags) = (definition.steps.len(), definition.tags.len());
        if steps > STEPS_MAX {
            let span = self.places.span("steps");
            self.error(
                "BS0102",
                span,
                format!("{steps} steps, and at most {STEPS_MAX} are allowed"),
            );
        }
        if tags > TAGS_MAX {
            let span = self.places.span("tags");
            self.error(
                "BS0102",
                span,
                format!("{tags} tags, and at most {TAGS_MAX} are allowed"),
            );
        }
        self.positive(definition.deadline_ms, "", "deadline", "a deadline");
        for (n, step) in definition.steps.iter().enumerate() {
            let Verb::Do(Do {
                timeout,
                retry,
                undo,
                ..
            }) = &step.verb
            else {
                continue;
            };
            let place = format!("steps[{n}].");
            self.positive(Some(timeout.reply_ms), &place, "timeout", "a timeout");
            self.retry(retry, &place);
            if let Undo::Other(other) = undo {
                let OtherUndo { timeout, retry, .. } = other.as_ref();
                let place = format!("steps[{n}].undo.");
                self.positive(Some(timeout.reply_ms), &place, "timeout", "a timeout");
                self.retry(retry, &place);
            }
        }
    }

    fn retry(&mut self, retry: &Retry, place: &str) {
        if retry.attempts_max == 0 || retry.attempts_max > ATTEMPTS_MAX {
            let span = self.written(place, "retry.attempts");
            self.error(
                "BS0110",
                span,
                format!(
                    "{} attempts; the first counts, so from 1 to {ATTEMPTS_MAX}",
                    retry.attempts_max
                ),
            );
        }
        let (min, max) = (retry.backoff_min_ms, retry.backoff_max_ms);
        if min > max {
            let span = self.written(place, "retry.backoff");
            self.error(
                "BS0110",
                span,
                format!("the backoff begins at {min} ms and ends at {max} ms, which is less"),
            );
        }
        self.positive(Some(min), place, "retry.backoff", "a backoff");
        if retry.jitter_percent > 100 {
            let span = self.written(place, "retry.jitter");
            self.error("BS0110", span, "a jitter of more than 100 %".to_owned());
        }
        self.positive(retry.budget_ms, place, "retry.budget", "a budget");
    }

    fn positive(&mut self, ms: Option<u64>, place: &str, field: &str, what: &str) {
        if ms == Some(0) {
            let span = self.written(place, field);
            self.error("BS0110", span, format!("{what} of no time at all"));
        }
    }

    /// Where a field is written: at the step or under `defaults`.
    fn written(&self, place: &str, field: &str) -> Span {
        let own = format!("{place}{field}");
        let default = format!("defaults.{field}");
        if !self.places.has(&own) && self.places.has(&default) {
            self.places.span(&default)
        } else {
            self.places.span(&own)
        }
    }

    fn undos(&mut self) {
        let steps = &self.definition.steps;
        let pivots: Vec<usize> = (0..steps.len())
            .filter(|n| matches!(&steps[*n].verb, Verb::Do(done) if done.pivot))
            .collect();
        let first = pivots.first().copied();
        for second in pivots.iter().skip(1) {
            let first = first.unwrap_or_default();
            let line = self.places.span(&format!("steps[{first}]")).line;
            let span = self.places.span(&format!("steps[{second}].pivot"));
            let diagnostic = self
                .places
                .error("BS0208", span, "a second pivot".to_owned())
                .with_note(format!("the first is {}", at_line(line, first)))
                .with_help(
                    "after the first pivot the saga only goes forward: leave out the second",
                );
            self.found.push(diagnostic);
        }
        for (n, step) in steps.iter().enumerate() {
            let Verb::Do(done) = &step.verb else { continue };
            if done.undo != Undo::Absent || first.is_some_and(|first| n >= first) {
                continue;
            }
            let when = match steps.get(n + 1) {
                Some(next) => format!("when `{}` fails", next.id),
                None => "when the saga turns back".to_owned(),
            };
            let note = match first {
                Some(pivot) => {
                    let line = self.places.span(&format!("steps[{pivot}]")).line;
                    let pivot = if line == 0 {
                        format!("`{}`", steps[pivot].id)
                    } else {
                        format!("line {line}")
                    };
                    format!("runs before the pivot ({pivot})")
                }
                None => "no step is the pivot, so the saga can turn back to its end".to_owned(),
            };
            let span = self.places.span(&format!("steps[{n}]"));
            let diagnostic = self
                .places
                .error(
                    "BS0207",
                    span,
                    format!(
                        "`{}` may have run {when}, and nothing says how to undo it",
                        step.id
                    ),
                )
                .with_note(note)
                .with_help(format!(
                    "write `undo: yes` if the worker of `{}` can take it back, name another activity, or `undo: nothing` if it only reads",
                    done.activity
                ));
            self.found.push(diagnostic);
        }
    }

    fn expressions(&mut self) {
        let definition = self.definition;
        for (n, rule) in definition.start.iter().enumerate() {
            let seen = Seen::default();
            if let Some(when) = &rule.when {
                self.expression(when, &format!("start[{n}].when"), seen);
            }
            self.expression(&rule.key, &format!("start[{n}].key"), seen);
        }
        let at_start = Seen {
            key: true,
            ..Seen::default()
        };
        for (name, tag) in &definition.tags {
            let place = format!("tags.{name}");
            self.template(tag, &place, at_start);
            let many = matches!(
                tag,
                Template::Object(_)
                    | Template::List(_)
                    | Template::Literal(Value::Object(_) | Value::Array(_))
            );
            if many {
                let span = self.places.span(&place);
                self.error(
                    "BS0105",
                    span,
                    format!("the tag `{name}` must be one value"),
                );
            }
        }
        for (n, step) in definition.steps.iter().enumerate() {
            let Verb::Do(done) = &step.verb else { continue };
            let before = Seen {
                key: true,
                steps: n,
                ..Seen::default()
            };
            if let Some(when) = &step.when {
                self.expression(when, &format!("steps[{n}].when"), before);
            }
            self.template(&done.with, &format!("steps[{n}].with"), before);
            if let Undo::Other(other) = &done.undo {
                let undoing = Seen {
                    itself: Some(n),
                    result: true,
                    ..before
                };
                self.template(&other.with, &format!("steps[{n}].undo.with"), undoing);
            }
        }
        if let Some(output) = &definition.output {
            let at_end = Seen {
                key: true,
                steps: definition.steps.len(),
                ..Seen::default()
            };
            self.template(output, "output", at_end);
        }
    }

    fn template(&mut self, template: &Template, place: &str, seen: Seen) {
        match template {
            Template::Literal(value) => self.literal(value, place),
            Template::Expression(expression) => self.expression(expression, place, seen),
            Template::Object(fields) => {
                for (name, field) in fields {
                    self.template(field, &format!("{place}.{name}"), seen);
                }
            }
            Template::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.template(item, &format!("{place}[{n}]"), seen);
                }
            }
        }
    }

    fn literal(&mut self, value: &Value, place: &str) {
        match value {
            Value::String(text) if looks_forgotten(text) => {
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
                self.found.push(diagnostic);
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.literal(field, &format!("{place}.{name}"));
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.literal(item, &format!("{place}[{n}]"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn expression(&mut self, expression: &Expression, place: &str, seen: Seen) {
        let span = self.places.span(place);
        for name in expression.references() {
            if let Some((message, help)) = self.out_of_scope(name, seen) {
                let diagnostic = self
                    .places
                    .error("BS0204", self.places.word(span, name), message)
                    .with_help(help);
                self.found.push(diagnostic);
            }
        }
        let asked: BTreeSet<&str> = expression
            .paths()
            .filter_map(|path| match path.root() {
                Root::Step(id) => Some(id.as_str()),
                Root::Event
                | Root::Key
                | Root::Vars
                | Root::Now
                | Root::Result
                | Root::Failure
                | Root::Message
                | Root::Local(_) => None,
            })
            .collect();
        if seen.key {
            for id in asked {
                self.step_reference(expression, id, span, seen);
            }
        }
    }

    /// Why a name cannot be seen, and what to do.
    fn out_of_scope(&self, name: &str, seen: Seen) -> Option<(String, String)> {
        let mut visible = vec!["event", "now"];
        if seen.key {
            visible.extend(["key", "steps"]);
        }
        if seen.result {
            visible.push("result");
        }
        if visible.contains(&name) {
            return None;
        }
        let listed: Vec<String> = visible.iter().map(|name| format!("`{name}`")).collect();
        let listed = format!("in scope here: {}", listed.join(", "));
        Some(match name {
            "vars" => (
                "no step sets anything in `vars`".to_owned(),
                format!("`set` is not available yet; {listed}"),
            ),
            "result" => (
                "`result` is only there in `undo`".to_owned(),
                format!("use `steps.<id>` for what a step has answered; {listed}"),
            ),
            "failure" => ("`failure` is only there in `on_failure`".to_owned(), listed),
            "key" | "steps" => (
                format!("`{name}` is not there yet when a saga is started"),
                listed,
            ),
            _ => {
                let near = nearest(name, &visible);
                let step = self.ids.contains_key(name);
                let help = match (step, near) {
                    (true, _) => format!("did you mean `steps.{name}`?"),
                    (false, Some(near)) => format!("did you mean `{near}`?"),
                    (false, None) => listed,
                };
                (format!("nothing is called `{name}`"), help)
            }
        })
    }

    fn step_reference(&mut self, expression: &Expression, id: &str, span: Span, seen: Seen) {
        let span = self.places.word(span, &format!("steps.{id}"));
        let Some(n) = self.ids.get(id).copied() else {
            let known: Vec<&str> = self.ids.keys().copied().collect();
            let mut diagnostic =
                self.places
                    .error("BS0205", span, format!("there is no step `{id}`"));
            if let Some(near) = nearest(id, &known) {
                diagnostic = diagnostic.with_help(format!("did you mean `steps.{near}`?"));
            }
            self.found.push(diagnostic);
            return;
        };
        if n >= seen.steps && seen.itself != Some(n) {
            let line = self.places.span(&format!("steps[{n}]")).line;
            let diagnostic = self
                .places
                .error(
                    "BS0206",
                    span,
                    format!("`{id}` has not run when its output is asked for here"),
                )
                .with_note(format!("it is {}", at_line(line, n)))
                .with_help("a step can use what earlier steps have answered");
            self.found.push(diagnostic);
            return;
        }
        let step = &self.definition.steps[n];
        let why = if step.when.is_some() {
            "it has a `when`"
        } else if step.on_failure == OnFailure::Ignore {
            "its failure is ignored"
        } else {
            return;
        };
        if expression.is_careful_with(id) {
            return;
        }
        let diagnostic = self
            .places
            .warning("BS0210", span, format!("`{id}` may have no output: {why}"))
            .with_note("this is an error then")
            .with_help(format!(
                "write `steps.{id}.?field` to get null instead, or ask `has(steps.{id})` first"
            ));
        self.found.push(diagnostic);
    }

    fn error(&mut self, code: &'static str, span: Span, message: String) {
        self.found.push(self.places.error(code, span, message));
    }
}

fn at_line(line: usize, step: usize) -> String {
    if line == 0 {
        format!("step {}", step + 1)
    } else {
        format!("on line {line}")
    }
}

/// Whether a literal is what an author writes who forgets the `=`.
fn looks_forgotten(text: &str) -> bool {
    let begins = ["event.", "event[", "steps.", "result.", "vars.", "failure."]
        .iter()
        .any(|begin| text.starts_with(begin));
    begins && Expression::compile(text).is_ok()
}
