//! Types of expressions, and what they stand for.

use std::sync::Arc;

use super::checker::Checker;
use super::flow::Around;
use super::sight::{At, Sight};
use super::state::{Seen, State};
use super::ways::has_output;
use crate::definition::diagnostic::Diagnostic;
use crate::definition::model::{Do, Sleep, Step, Verb, Wait};
use crate::definition::place::Span;
use crate::expression::{Expression, Rule, StepTypes, Template, Type, TypeProblem, TypeScope};

/// The outputs of steps as they are seen from a place.
#[derive(Debug)]
struct Outputs<'o, 'c> {
    checker: &'o Checker<'c>,
    state: &'o State<'c>,
    position: Option<usize>,
}

impl StepTypes for Outputs<'_, '_> {
    fn output(&self, id: &str) -> Type {
        let index = &self.checker.index;
        let Some(known) = index.get(id) else {
            return Type::Any;
        };
        if !has_output(known.step) {
            return Type::Any;
        }
        let mut of = self.checker.output_of(known.step);
        let around = index.items_around(known);
        let own = self
            .position
            .map(|position| index.items_around(&index.steps[position]))
            .unwrap_or_default();
        let shared = around.iter().zip(&own).take_while(|(a, b)| a == b).count();
        for _ in shared..around.len() {
            of = Type::List(Box::new(of.or_null()));
        }
        match self.state.steps.get(id) {
            Some(Seen::Always) => of,
            // What may be null was said of the step as a whole: see `sight.rs`.
            Some(Seen::Maybe(_)) | None => maybe(of),
        }
    }
}

/// The type of the records that a wait takes.
fn record_of(wait: &Wait) -> Type {
    let schema = wait.input.as_ref().and_then(|file| file.schema.as_ref());
    schema.map_or(Type::Any, Type::of_schema)
}

/// A step that may have no output is told of by its own rule: a type that may be null would say the
/// same again.
fn maybe(of: Type) -> Type {
    if of.is_any() { of } else { of.or_null() }
}

impl std::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("definition", &self.definition.name)
            .finish_non_exhaustive()
    }
}

impl<'c> Checker<'c> {
    /// The type of what a step answers.
    fn output_of(&self, step: &Step) -> Type {
        match &step.verb {
            Verb::Do(work) => self.answer_of(work),
            Verb::Approve(_) => Type::Object(Arc::new(
                [
                    ("by", Type::Text),
                    ("role", Type::Text.or_null()),
                    ("at_ms", Type::Int),
                    ("reason", Type::Text.or_null()),
                ]
                .map(|(name, of)| (name.to_owned(), of))
                .into(),
            )),
            Verb::Each(_) => self
                .collected
                .get(step.id.as_str())
                .cloned()
                .unwrap_or(Type::Any),
            Verb::Wait(wait) => record_of(wait),
            Verb::Run(run) => self
                .family
                .map_or(Type::Any, |family| family.output_of(&run.saga)),
            Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Repeat(_)
            | Verb::Sleep(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => Type::Any,
        }
    }

    fn answer_of(&self, work: &Do) -> Type {
        self.definition
            .activities
            .get(&work.activity)
            .and_then(|contract| contract.output.as_ref()?.schema.as_ref())
            .map_or(Type::Any, Type::of_schema)
    }

    /// Calls `with` with the types of what is seen at a place.
    pub(super) fn typed<T>(&self, at: &At<'_, 'c>, with: impl FnOnce(&TypeScope<'_>) -> T) -> T {
        let outputs = Outputs {
            checker: self,
            state: at.state,
            position: at.position,
        };
        let step = at
            .position
            .map(|position| &self.index.steps[position].step.verb);
        let message = match (at.sight, step) {
            (Sight::Message, Some(Verb::Wait(wait))) => record_of(wait),
            _ => Type::Any,
        };
        let result = match (at.sight, step) {
            (Sight::Undo, Some(Verb::Do(work))) => maybe(self.answer_of(work)),
            _ => Type::Any,
        };
        let failure = Type::Object(Arc::new(
            ["step", "kind", "code", "reason"]
                .map(|name| (name.to_owned(), Type::Text))
                .into(),
        ));
        with(&TypeScope {
            event: &self.event,
            result: &result,
            failure: &failure,
            message: &message,
            vars: &self.vars,
            locals: at.locals,
            steps: &outputs,
            not_null: &at.state.not_null,
        })
    }

    pub(super) fn type_of_template(&self, template: &Template, at: &At<'_, 'c>) -> Type {
        self.typed(at, |scope| template.type_in(scope))
    }

    /// An expression: its names and its types. What it gives.
    pub(super) fn expression(
        &mut self,
        expression: &Expression,
        place: &str,
        at: &At<'_, 'c>,
    ) -> Type {
        let span = self.places.span(place);
        let before = self.found.len();
        self.references(expression, span, at);
        let told: Vec<String> = self.found[before..]
            .iter()
            .filter(|found| found.code == "BS0210")
            .map(|found| found.message.clone())
            .collect();
        let (of, problems) = self.typed(at, |scope| expression.type_in(scope));
        for problem in problems {
            // That a step may have no output was said of the whole step.
            let again = problem.rule == Rule::MayBeNull
                && told.iter().any(|message| {
                    message
                        .strip_prefix('`')
                        .and_then(|rest| rest.split('`').next())
                        .is_some_and(|id| problem.message.starts_with(&format!("`steps.{id}`")))
                });
            if !again {
                let diagnostic = self.problem(expression, span, problem);
                self.push(diagnostic);
            }
        }
        of
    }

    fn problem(&self, expression: &Expression, span: Span, problem: TypeProblem) -> Diagnostic {
        let code = match problem.rule {
            Rule::UnknownField => "BS0301",
            Rule::Operands => "BS0302",
            Rule::NoParts => "BS0303",
            Rule::MayBeNull => "BS0304",
            Rule::SameAnswer => "BS0305",
        };
        let span = self.within(span, expression.source(), problem.offset, problem.len);
        let diagnostic = if problem.rule.is_warning() {
            self.places.warning(code, span, problem.message)
        } else {
            self.places.error(code, span, problem.message)
        };
        match problem.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }

    /// A place where true or false is asked for.
    pub(super) fn condition(&mut self, expression: &Expression, place: &str, at: &At<'_, 'c>) {
        let of = self.expression(expression, place, at).as_result();
        let is_bool = |of: &Type| matches!(of, Type::Any | Type::Bool);
        self.expects(
            expression,
            place,
            &of,
            is_bool,
            "a condition",
            "true or false",
            "compare it with something: `… > 0`, `… == \"yes\"`, `… != null`",
        );
    }

    /// A place where a business key is asked for.
    pub(super) fn key(&mut self, expression: &Expression, place: &str, at: &At<'_, 'c>) {
        let of = self.expression(expression, place, at).as_result();
        let is_key = |of: &Type| {
            matches!(
                of,
                Type::Any | Type::Text | Type::Symbol(_) | Type::Int | Type::Uint | Type::Bool
            )
        };
        self.expects(
            expression,
            place,
            &of,
            is_key,
            "a key",
            "a text or a whole number",
            "name one field that is the same for all that belongs together",
        );
    }

    /// The list of an `each`; the type of its items.
    pub(super) fn over(&mut self, expression: &Expression, place: &str, at: &At<'_, 'c>) -> Type {
        let of = self.expression(expression, place, at).as_result();
        let is_list = |of: &Type| matches!(of, Type::Any | Type::List(_));
        self.expects(
            expression,
            place,
            &of,
            is_list,
            "what an `each` goes over",
            "a list",
            "name a list; for the names of a map write `….map(name, name)`",
        );
        let items = of.alternatives().iter().map(|of| match of {
            Type::List(item) => (**item).clone(),
            _ => Type::Any,
        });
        Type::one_of(items.collect::<Vec<_>>())
    }

    pub(super) fn sleep(&mut self, sleep: &Sleep, place: &str, state: &State<'c>, around: &Around) {
        let Sleep::Until(until) = sleep else { return };
        let place_of_until = format!("{place}.sleep.until");
        let at = self.at(place, state, around);
        let of = self.expression(until, &place_of_until, &at).as_result();
        let is_time = |of: &Type| {
            matches!(
                of,
                Type::Any | Type::Int | Type::Uint | Type::Text | Type::Symbol(_)
            )
        };
        self.expects(
            until,
            &place_of_until,
            &of,
            is_time,
            "a time",
            "milliseconds since 1970, or a text such as `2026-03-01T12:00:00Z`",
            "for a while from now, write `now + 60000`, or `sleep: 1m`",
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what is asked for, in the words of each place"
    )]
    fn expects(
        &mut self,
        expression: &Expression,
        place: &str,
        of: &Type,
        is_one: impl Fn(&Type) -> bool,
        what: &str,
        must_be: &str,
        help: &str,
    ) {
        if of.is_any() {
            return;
        }
        let span = self.places.span(place);
        let span = self.within(
            span,
            expression.source(),
            0,
            expression.source().chars().count(),
        );
        if !of.alternatives().iter().any(&is_one) {
            let diagnostic = self
                .places
                .error(
                    "BS0306",
                    span,
                    format!("{what} must be {must_be}, and this is {of}"),
                )
                .with_help(help);
            self.push(diagnostic);
        } else if of.may_be_null() {
            // Of a step without an output it was said already.
            let told = self
                .found
                .iter()
                .any(|found| found.code == "BS0210" && found.line == span.line);
            if told {
                return;
            }
            let diagnostic = self
                .places
                .warning("BS0304", span, format!("{what} must be {must_be}, and this may be null"))
                .with_note("this is an error then")
                .with_help("say what counts where there is none: `….?field.orValue(…)`, or ask `… != null` first");
            self.push(diagnostic);
        }
    }
}
