//! The paths through the steps.

use super::checker::Checker;
use super::sight::{At, Sight};
use super::state::{Pivot, Seen, State};
use crate::definition::blocks::Slot;
use crate::definition::model::{Fail, OnFailure, Step, Undo, Verb};
use crate::definition::place::{place_of_block, place_of_step};
use crate::expression::{Expression, Template, Type};

/// What there is at a place beside what has happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// The items of the `each` around it, and their indexes.
    pub(super) locals: Vec<(String, Type)>,
    /// Whether there is a `failure`.
    pub(super) failure: bool,
    /// What runs after the last step of a sequence.
    pub(super) next: Option<String>,
}

impl<'c> Checker<'c> {
    /// Goes through the definition as a saga may.
    pub(super) fn paths(&mut self) {
        let definition = self.definition;
        let nothing = State::default();
        let at_start = At::outside(&nothing, Sight::Tags);
        for (name, tag) in &definition.tags {
            self.tag(name, tag, &at_start);
        }
        let around = Around::default();
        let end = self.sequence(&definition.steps, "steps", State::default(), &around);
        if let Some(output) = &definition.output {
            if let Some((place, id)) = &end.ended {
                let by = self.at_step(place, id);
                let diagnostic = self
                    .places
                    .warning(
                        "BS0211",
                        self.places.span("output"),
                        "no path comes to the definition's output".to_owned(),
                    )
                    .with_note(format!("each has ended before ({by})"))
                    .with_help("give the output at the `end` of each path instead");
                self.push(diagnostic);
            }
            let at_end = At::outside(&end, Sight::Step);
            self.template(output, "output", &at_end);
        }
        if end.ended.is_none() {
            let at_end = At::outside(&end, Sight::Step);
            let output = definition.output.as_ref();
            self.completes(output, &at_end);
        }
    }

    /// A place at which sagas complete, and what they answer there.
    fn completes(&mut self, output: Option<&Template>, at: &At<'_, 'c>) {
        let of = output.map_or(Type::Null, |output| self.type_of_template(output, at));
        self.outputs.push(of.as_result());
    }

    pub(super) fn sequence(
        &mut self,
        steps: &'c [Step],
        block: &str,
        mut state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        let mut over = None;
        for (n, step) in steps.iter().enumerate() {
            let place = place_of_step(block, n);
            if let Some((by, id)) = state.ended.take()
                && over.is_none()
            {
                self.never_reached(step, &place, &by, id);
                over = Some((by, id));
            }
            let next = steps.get(n + 1).map(|next| next.id.clone());
            let around = Around {
                next: next.or_else(|| around.next.clone()),
                ..around.clone()
            };
            state = self.step(step, &place, state, &around);
        }
        // What comes after steps that are never reached is not reached either.
        state.ended = over.or(state.ended);
        state
    }

    fn never_reached(&mut self, step: &Step, place: &str, by: &str, id: &str) {
        let by = self.at_step(by, id);
        let diagnostic = self
            .places
            .warning(
                "BS0211",
                self.places.span(place),
                format!("`{}` is never reached", step.id),
            )
            .with_note(format!("each path has ended before it ({by})"))
            .with_help("leave it out, or give what ends the path a `when`");
        self.push(diagnostic);
    }

    fn step(
        &mut self,
        step: &'c Step,
        place: &str,
        mut state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        let reactions = [
            (Slot::OnFailure, Some(&step.on_failure)),
            (Slot::OnTimeout, step.on_timeout.as_ref()),
            (Slot::OnRefused, step.on_refused.as_ref()),
        ];
        let catches = reactions
            .iter()
            .any(|(_, reaction)| reaction.is_some_and(is_caught));
        let is_plain = step.when.is_none() && !catches;
        let before = if is_plain {
            State::default()
        } else {
            state.clone()
        };
        if let Some(when) = &step.when {
            self.when(step, when, place, &state, around);
            state.know(when, true);
        }
        let entry = if catches {
            state.clone()
        } else {
            State::default()
        };
        let mut after = self.verb(step, place, state, around);
        self.reactions(step, place);
        for (slot, reaction) in reactions {
            match reaction {
                None | Some(OnFailure::TurnBack | OnFailure::Park) => {}
                Some(OnFailure::Ignore) => {
                    let why = "its failure is ignored";
                    let failed = failed(&entry, &after, step, why);
                    after = after.join(failed, why);
                }
                Some(OnFailure::Steps(steps)) => {
                    let why = "its failure is caught";
                    let failed = failed(&entry, &after, step, "it did not end done");
                    let block = place_of_block(place, slot);
                    let around = Around {
                        failure: true,
                        ..around.clone()
                    };
                    let caught = self.sequence(steps, &block, failed, &around);
                    after = after.join(caught, why);
                }
            }
        }
        match &step.when {
            Some(when) if when.source() != "true" => after.join(before, "it has a `when`"),
            Some(_) | None => after,
        }
    }

    fn when(
        &mut self,
        step: &Step,
        when: &Expression,
        place: &str,
        state: &State<'c>,
        around: &Around,
    ) {
        let place_of_when = format!("{place}.when");
        let at = self.at(place, state, around);
        self.condition(when, &place_of_when, &at);
        if when.source() == "false" {
            let diagnostic = self
                .places
                .warning(
                    "BS0211",
                    self.places.span(&place_of_when),
                    format!("`{}` is never run: its condition never holds", step.id),
                )
                .with_help("leave the step out");
            self.push(diagnostic);
        }
    }

    /// What an expression sees that stands at a step.
    pub(super) fn at<'a>(
        &self,
        place: &str,
        state: &'a State<'c>,
        around: &'a Around,
    ) -> At<'a, 'c> {
        At {
            state,
            sight: Sight::Step,
            position: self.index.at(place),
            locals: &around.locals,
            failure: around.failure,
        }
    }

    fn verb(
        &mut self,
        step: &'c Step,
        place: &str,
        mut state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        match &step.verb {
            Verb::Do(work) => {
                let at = self.at(place, &state, around);
                self.template(&work.with, &format!("{place}.with"), &at);
                self.sent_to(&work.activity, &work.with, &format!("{place}.with"), &at);
                self.codes_of(work, place);
                if let Undo::Other(other) = &work.undo {
                    let mut undone = state.clone();
                    undone
                        .steps
                        .insert(&step.id, Seen::Maybe("it may not have answered"));
                    let at = At {
                        sight: Sight::Undo,
                        ..self.at(place, &undone, around)
                    };
                    let with = format!("{place}.undo.with");
                    self.template(&other.with, &with, &at);
                    self.sent_to(&other.activity, &other.with, &with, &at);
                }
                self.cover(step, work, place, &state, around);
                if work.pivot {
                    self.pivot(step, place, &state);
                    state.pivot = if is_caught(&step.on_failure) {
                        Pivot::Maybe
                    } else {
                        Pivot::Done
                    };
                    state
                        .pivot_at
                        .get_or_insert_with(|| (place.to_owned(), &step.id));
                }
                state.steps.insert(&step.id, Seen::Always);
            }
            Verb::Wait(wait) => {
                self.wait(wait, place, &state, around);
                state.steps.insert(&step.id, Seen::Always);
            }
            Verb::Sleep(sleep) => self.sleep(sleep, place, &state, around),
            Verb::Run(run) => {
                let at = self.at(place, &state, around);
                if let Some(key) = &run.key {
                    self.key(key, &format!("{place}.key"), &at);
                }
                self.template(&run.with, &format!("{place}.with"), &at);
                self.run(step, run, place, &state, around);
                state.steps.insert(&step.id, Seen::Always);
            }
            Verb::Approve(approve) => {
                let at = self.at(place, &state, around);
                self.template(&approve.show, &format!("{place}.show"), &at);
                state.steps.insert(&step.id, Seen::Always);
            }
            Verb::Set(set) => {
                let at = self.at(place, &state, around);
                for (name, value) in set {
                    self.set(name, value, &format!("{place}.set.{name}"), &at);
                }
                for name in set.keys() {
                    state.forget_var(name);
                    state.vars.insert(name, true);
                }
            }
            Verb::Fail(fail) => {
                self.fail(step, fail, place, &state, around);
                state.ended = Some((place.to_owned(), &step.id));
            }
            Verb::End(output) => {
                self.end(output.as_ref(), place, &state, around);
                state.ended = Some((place.to_owned(), &step.id));
            }
            Verb::Parallel(parallel) => return self.parallel(parallel, place, state, around),
            Verb::Choose(choose) => return self.choose(choose, place, state, around),
            Verb::Each(each) => return self.each(step, each, place, state, around),
            Verb::Repeat(repeat) => return self.repeat(step, repeat, place, state, around),
        }
        state
    }

    fn fail(&mut self, step: &Step, fail: &Fail, place: &str, state: &State<'c>, around: &Around) {
        if let Some(reason) = &fail.reason {
            let at = self.at(place, state, around);
            self.template(reason, &format!("{place}.reason"), &at);
        }
        let goes_up = step.on_failure == OnFailure::TurnBack && self.catcher(place).is_none();
        if state.pivot == Pivot::Done && goes_up {
            let pivot = match &state.pivot_at {
                Some((place, id)) => self.line_of(place, id),
                None => "before it".to_owned(),
            };
            let diagnostic = self
                .places
                .warning(
                    "BS0215",
                    self.places.span(place),
                    format!("`fail` after the pivot ({pivot}) turns nothing back"),
                )
                .with_note("the saga is parked here for a person")
                .with_help("do what makes good instead and `end`, or write `on_failure: park` if a person has to look");
            self.push(diagnostic);
        }
    }

    fn end(&mut self, output: Option<&Template>, place: &str, state: &State<'c>, around: &Around) {
        if let Some(output) = output {
            let at = self.at(place, state, around);
            self.template(output, &format!("{place}.end"), &at);
        }
        self.completes(output, &self.at(place, state, around));
        let Some(known) = self.index.known(place) else {
            return;
        };
        let outer = known.around.iter().find(|(position, slot)| {
            let verb = &self.index.steps[*position].step.verb;
            matches!(
                (slot, verb),
                (Slot::Branch(..), Verb::Parallel(_)) | (Slot::Body, Verb::Each(_))
            )
        });
        if let Some((position, slot)) = outer {
            let outer = &self.index.steps[*position];
            let by = self.at_step(&outer.place, &outer.step.id);
            let diagnostic = self
                .places
                .error(
                    "BS0212",
                    self.places.span(place),
                    format!("`end` in {}", Self::told(*slot)),
                )
                .with_note(format!(
                    "it is {by}; what runs beside it would be left as it stands"
                ))
                .with_help("`set` a variable here, and `end` after the step when it is set");
            self.push(diagnostic);
        }
    }

    /// Reactions to what cannot happen.
    fn reactions(&mut self, step: &Step, place: &str) {
        let within = match &step.verb {
            Verb::Wait(wait) => Some(wait.within_ms),
            Verb::Approve(approve) => Some(approve.within_ms),
            Verb::Do(_)
            | Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Each(_)
            | Verb::Repeat(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => None,
        };
        if step.on_timeout.is_some() && within == Some(None) {
            self.never_comes(
                &format!("{place}.on_timeout"),
                "the time never runs out: there is no `within`",
                "say how long to wait: `within: 2d`",
            );
        }
        let cannot_fail = matches!(step.verb, Verb::Set(_) | Verb::Sleep(_) | Verb::End(_));
        if cannot_fail && step.on_failure != OnFailure::TurnBack {
            self.never_comes(
                &format!("{place}.on_failure"),
                &format!("`{}` never fails", step.verb.name()),
                "leave `on_failure` out; an expression without a value parks the saga",
            );
        }
    }

    fn never_comes(&mut self, place: &str, message: &str, help: &str) {
        let span = self.places.span(place);
        let diagnostic = self
            .places
            .warning("BS0221", span, message.to_owned())
            .with_help(help);
        self.push(diagnostic);
    }
}

pub(super) fn is_caught(reaction: &OnFailure) -> bool {
    match reaction {
        OnFailure::Ignore | OnFailure::Steps(_) => true,
        OnFailure::TurnBack | OnFailure::Park => false,
    }
}

/// What is known where a step has failed: what it is made of may have run.
fn failed<'c>(
    entry: &State<'c>,
    after: &State<'c>,
    step: &'c Step,
    why: &'static str,
) -> State<'c> {
    let mut failed = entry.clone();
    for id in after.steps.keys() {
        failed.steps.entry(id).or_insert(Seen::Maybe(why));
    }
    for name in after.vars.keys() {
        failed.vars.entry(name).or_insert(false);
    }
    if after.steps.contains_key(step.id.as_str()) {
        failed.steps.insert(&step.id, Seen::Maybe(why));
    }
    if after.pivot != entry.pivot && entry.pivot == Pivot::Never {
        failed.pivot_at = failed.pivot_at.or_else(|| after.pivot_at.clone());
    }
    failed
}
