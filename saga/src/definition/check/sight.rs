//! Names in expressions.

use std::collections::BTreeSet;

use super::checker::Checker;
use super::state::{Seen, State};
use super::ways::has_output;
use crate::definition::blocks::Slot;
use crate::definition::model::Verb;
use crate::definition::place::Span;
use crate::definition::words::nearest;
use crate::expression::{Expression, Root, Segment, Type};

/// Where an expression stands, and what has happened there.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a, 'c> {
    pub(super) state: &'a State<'c>,
    pub(super) sight: Sight,
    /// The step it belongs to, in the index.
    pub(super) position: Option<usize>,
    pub(super) locals: &'a [(String, Type)],
    pub(super) failure: bool,
}

/// What kind of place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// A start rule: before there is a saga.
    Start,
    /// The key and the condition of a `wait`: there is a record, and no saga.
    Message,
    /// Tags: nothing has run.
    Tags,
    /// At a step, and at the end.
    Step,
    /// The undo of a step.
    Undo,
}

impl<'a, 'c> At<'a, 'c> {
    /// A place that is in no step.
    pub(super) fn outside(state: &'a State<'c>, sight: Sight) -> Self {
        Self {
            state,
            sight,
            position: None,
            locals: &[],
            failure: false,
        }
    }

    fn visible(&self) -> Vec<&'a str> {
        let mut visible = match self.sight {
            Sight::Start => vec!["event", "now"],
            Sight::Message => vec!["message", "now"],
            Sight::Tags => vec!["event", "now", "key", "steps"],
            Sight::Step => vec!["event", "now", "key", "steps", "vars"],
            Sight::Undo => vec!["event", "now", "key", "steps", "vars", "result"],
        };
        if self.failure {
            visible.push("failure");
        }
        if self.sees_items() {
            for (name, _) in self.locals {
                if !visible.contains(&name.as_str()) {
                    visible.push(name);
                }
            }
        }
        visible
    }

    fn sees_items(&self) -> bool {
        matches!(self.sight, Sight::Step | Sight::Undo)
    }
}

impl Checker<'_> {
    /// Names that cannot be seen, and steps that cannot have run.
    pub(super) fn references(&mut self, expression: &Expression, span: Span, at: &At<'_, '_>) {
        for name in expression.references() {
            if name == "vars" && matches!(at.sight, Sight::Step | Sight::Undo) {
                continue;
            }
            if let Some((message, help)) = self.out_of_scope(name, at) {
                let diagnostic = self
                    .places
                    .error("BS0204", self.word(span, name), message)
                    .with_help(help);
                self.push(diagnostic);
            }
        }
        if matches!(at.sight, Sight::Start | Sight::Message) {
            return;
        }
        let mut steps = BTreeSet::new();
        let mut vars = BTreeSet::new();
        for path in expression.paths() {
            match (path.root(), path.segments().first()) {
                (Root::Step(id), _) => {
                    steps.insert(id.as_str());
                }
                (Root::Vars, Some(Segment::Field(name))) => {
                    vars.insert(name.as_str());
                }
                _ => {}
            }
        }
        for id in steps {
            self.step_reference(expression, id, span, at);
        }
        if at.sight != Sight::Tags {
            for name in vars {
                self.var_reference(expression, name, span, at);
            }
        }
    }

    /// Where a name stands as a word of its own; all of `span` where it cannot be found.
    fn word(&self, span: Span, name: &str) -> Span {
        self.places.word(span, name)
    }

    /// Why a name cannot be seen, and what to do.
    fn out_of_scope(&self, name: &str, at: &At<'_, '_>) -> Option<(String, String)> {
        let visible = at.visible();
        if visible.contains(&name) {
            return None;
        }
        let listed: Vec<String> = visible.iter().map(|name| format!("`{name}`")).collect();
        let listed = format!("in scope here: {}", listed.join(", "));
        if at.sight == Sight::Message && ["event", "key", "steps", "vars"].contains(&name) {
            return Some((
                format!("`{name}` is not there when a record is looked at: no saga is asked yet"),
                format!("compare with the saga's own values in `match`; {listed}"),
            ));
        }
        Some(match name {
            "vars" => ("variables are not set yet here".to_owned(), listed),
            "result" => (
                "`result` is only there in `undo`".to_owned(),
                format!("use `steps.<id>` for what a step has answered; {listed}"),
            ),
            "failure" => ("`failure` is only there in `on_failure`".to_owned(), listed),
            "message" => (
                "`message` is only there in the `key` and the `accept` of a `wait`".to_owned(),
                listed,
            ),
            "key" | "steps" => (
                format!("`{name}` is not there yet when a saga is started"),
                listed,
            ),
            _ => {
                let near = nearest(name, &visible);
                let step = self.index.get(name).is_some();
                let item = self.index.steps.iter().find(
                    |known| matches!(&known.step.verb, Verb::Each(each) if each.item == name),
                );
                if name == "index" || item.is_some() {
                    let of = item.map_or(String::new(), |known| {
                        format!(" ({})", self.line_of(&known.place, &known.step.id))
                    });
                    return Some((
                        format!("`{name}` is only there inside its `each`{of}"),
                        listed,
                    ));
                }
                let set = self.vars.contains_key(name);
                let help = match (step, set, near) {
                    (true, _, _) => format!("did you mean `steps.{name}`?"),
                    (_, true, _) => format!("did you mean `vars.{name}`?"),
                    (_, _, Some(near)) => format!("did you mean `{near}`?"),
                    (_, _, None) => listed,
                };
                (format!("nothing is called `{name}`"), help)
            }
        })
    }

    fn var_reference(&mut self, expression: &Expression, name: &str, span: Span, at: &At<'_, '_>) {
        let span = self.word(span, &format!("vars.{name}"));
        match at.state.vars.get(name) {
            Some(true) => {}
            Some(false) => {
                if expression.is_careful_with_var(name) {
                    return;
                }
                let diagnostic = self
                    .places
                    .warning(
                        "BS0216",
                        span,
                        format!("`vars.{name}` may not be set: not every path to here sets it"),
                    )
                    .with_note("this is an error then")
                    .with_help(format!("set it before, or write `vars.?{name}.orValue(…)`"));
                self.push(diagnostic);
            }
            None => {
                let setters: Vec<(&str, &str)> = self
                    .index
                    .steps
                    .iter()
                    .filter_map(|known| match &known.step.verb {
                        Verb::Set(set) => Some((known, set)),
                        _ => None,
                    })
                    .flat_map(|(known, set)| {
                        set.keys()
                            .map(|name| (name.as_str(), known.place.as_str()))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                let names: Vec<&str> = setters.iter().map(|(name, _)| *name).collect();
                let setter = setters.iter().find(|(known, _)| *known == name);
                let diagnostic = match setter {
                    Some((_, place)) => self
                        .places
                        .error(
                            "BS0216",
                            span,
                            format!("`vars.{name}` is not set when it is asked for here"),
                        )
                        .with_note(format!("it is set {}", self.at_step(place, name)))
                        .with_help("a variable is there once a step before has set it"),
                    None if names.is_empty() => self
                        .places
                        .error("BS0204", span, "no step sets anything in `vars`".to_owned())
                        .with_help(format!("set it first: `- set: {{ {name}: … }}`")),
                    None => {
                        let help = match nearest(name, &names) {
                            Some(near) => format!("did you mean `vars.{near}`?"),
                            None => format!("set it first: `- set: {{ {name}: … }}`"),
                        };
                        self.places
                            .error("BS0204", span, format!("no step sets `vars.{name}`"))
                            .with_help(help)
                    }
                };
                self.push(diagnostic);
            }
        }
    }

    fn step_reference(&mut self, expression: &Expression, id: &str, span: Span, at: &At<'_, '_>) {
        let span = self.word(span, &format!("steps.{id}"));
        let Some(position) = self.index.position(id) else {
            let known: Vec<&str> = self.index.ids().collect();
            let mut diagnostic =
                self.places
                    .error("BS0205", span, format!("there is no step `{id}`"));
            if let Some(near) = nearest(id, &known) {
                diagnostic = diagnostic.with_help(format!("did you mean `steps.{near}`?"));
            }
            self.push(diagnostic);
            return;
        };
        let known = &self.index.steps[position];
        if !has_output(known.step) {
            let verb = known.step.verb.name();
            let help = match verb {
                "each" => "say what an item gives with `collect`".to_owned(),
                "set" => "what was set is under `vars`".to_owned(),
                _ => "ask for the steps inside it, which have outputs of their own".to_owned(),
            };
            let diagnostic = self
                .places
                .error(
                    "BS0226",
                    span,
                    format!("`{id}` is {} and gives nothing", Self::a(verb)),
                )
                .with_help(help);
            self.push(diagnostic);
            return;
        }
        match at.state.steps.get(id) {
            Some(Seen::Always) => {}
            // An undo asks for the step itself as it is: `result` is the way to ask.
            Some(Seen::Maybe(_)) if at.sight == Sight::Undo && at.position == Some(position) => {}
            Some(Seen::Maybe(why)) => {
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
                self.push(diagnostic);
            }
            None => self.has_not_run(id, position, span, at),
        }
    }

    fn has_not_run(&mut self, id: &str, position: usize, span: Span, at: &At<'_, '_>) {
        let known = &self.index.steps[position];
        let line = self.at_step(&known.place, id);
        let (note, help) = match self.apart(position, at) {
            Some((Slot::Branch(_, name), true)) => (
                format!("it is {line}, in the branch `{name}`, which runs beside this one"),
                "what one branch needs of another has to run before the `parallel`",
            ),
            Some((slot, false)) => (
                format!("it is {line}, in {}", Self::told(slot)),
                "only one case of a `choose` is taken, so a case sees nothing of another",
            ),
            Some((_, true)) | None => (
                format!("it is {line}"),
                "a step can use what earlier steps have answered",
            ),
        };
        let diagnostic = self
            .places
            .error(
                "BS0206",
                span,
                format!("`{id}` has not run when its output is asked for here"),
            )
            .with_note(note)
            .with_help(help);
        self.push(diagnostic);
    }

    /// The sequence that a step is in, of a step that the place is in as well, in another of its
    /// sequences; and whether the two run side by side.
    fn apart(&self, position: usize, at: &At<'_, '_>) -> Option<(Slot<'_>, bool)> {
        let own = &self.index.steps[at.position?].around;
        let other = &self.index.steps[position].around;
        let (mine, theirs) = own
            .iter()
            .zip(other)
            .find(|(mine, theirs)| mine != theirs)?;
        if mine.0 != theirs.0 {
            return None;
        }
        match theirs.1 {
            Slot::Branch(..) => Some((theirs.1, true)),
            Slot::Case(_) | Slot::Otherwise(_) => Some((theirs.1, false)),
            Slot::Body | Slot::OnFailure | Slot::OnTimeout | Slot::OnRefused => None,
        }
    }
}
