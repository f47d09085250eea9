//! Definitions that run each other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, output_type};
use super::flow::Around;
use super::state::{Pivot, State};
use crate::definition::blocks::Slot;
use crate::definition::model::{Definition, Run, Step, Verb};
use crate::definition::walk;
use crate::definition::words::nearest;
use crate::expression::Type;

/// The definitions that are checked together, by name.
#[derive(Debug, Default)]
pub(super) struct Family<'d> {
    pub(super) known: BTreeMap<&'d str, &'d Definition>,
    /// Names of files that could not be read whole: nothing is said of them.
    pub(super) unread: BTreeSet<&'d str>,
    /// What the sagas of each answer, as far as it was asked for.
    outputs: RefCell<BTreeMap<String, Type>>,
}

impl Family<'_> {
    /// The type of what the sagas of a definition answer.
    pub(super) fn output_of(&self, name: &str) -> Type {
        if let Some(known) = self.outputs.borrow().get(name) {
            return known.clone();
        }
        let Some(definition) = self.known.get(name) else {
            return Type::Any;
        };
        // Of sagas that run each other in a circle nothing is known here.
        let put = |of: Type| self.outputs.borrow_mut().insert(name.to_owned(), of);
        put(Type::Any);
        let of = output_type(definition, self);
        put(of.clone());
        of
    }
}

impl<'c> Checker<'c> {
    pub(super) fn run(
        &mut self,
        step: &Step,
        run: &Run,
        place: &str,
        state: &State<'c>,
        around: &Around,
    ) {
        if run.saga == self.definition.name {
            let chain = format!("`{0}` runs `{0}`", run.saga);
            self.circle(step, place, chain);
            return;
        }
        let Some(family) = self.family else { return };
        let Some(child) = family.known.get(run.saga.as_str()).copied() else {
            if !family.unread.contains(run.saga.as_str()) {
                self.unknown_saga(run, place, family);
            }
            return;
        };
        let mut way = Vec::new();
        if leads_to(family, child, &self.definition.name, &mut way) {
            way.insert(0, self.definition.name.as_str());
            way.push(self.definition.name.as_str());
            let way: Vec<String> = way.iter().map(|name| format!("`{name}`")).collect();
            self.circle(step, place, way.join(" runs "));
        }
        if state.pivot != Pivot::Done
            && let Some(pivot) = pivot_of(child)
        {
            let diagnostic = self
                .places
                .warning(
                    "BS0229",
                    self.places.span(place),
                    format!(
                        "`{}` cannot be taken back once its pivot (`{pivot}`) is done",
                        run.saga
                    ),
                )
                .with_note("this saga can still turn back here, and would be stuck then")
                .with_help("run it after the pivot of this saga, or as its last step");
            self.push(diagnostic);
        }
        let schema = child.input.as_ref().and_then(|file| file.schema.as_ref());
        if let Some(schema) = schema {
            let at = self.at(place, state, around);
            let note = format!("it is the start event of `{}`", run.saga);
            self.held_against(&run.with, schema, &format!("{place}.with"), &note, &at);
        }
    }

    fn unknown_saga(&mut self, run: &Run, place: &str, family: &Family<'c>) {
        let names: Vec<&str> = family
            .known
            .keys()
            .chain(&family.unread)
            .copied()
            .filter(|name| *name != self.definition.name)
            .collect();
        let diagnostic = self.places.warning(
            "BS0228",
            self.places.span(&format!("{place}.run")),
            format!("none of the files defines `{}`", run.saga),
        );
        let help = match nearest(&run.saga, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "check it together with the file that defines it".to_owned(),
        };
        self.push(diagnostic.with_help(help));
    }

    /// A saga that runs itself, by itself or by way of others.
    fn circle(&mut self, step: &Step, place: &str, chain: String) {
        let known = self.index.known(place);
        let inside = known.is_some_and(|known| {
            known.around.iter().any(|(position, slot)| match slot {
                Slot::Branch(..) => false,
                Slot::Body => {
                    matches!(self.index.steps[*position].step.verb, Verb::Each(_))
                }
                Slot::Case(_)
                | Slot::Otherwise(_)
                | Slot::OnFailure
                | Slot::OnTimeout
                | Slot::OnRefused => true,
            })
        });
        let span = self.places.span(place);
        let diagnostic = if inside || step.when.is_some() {
            self.places
                .warning("BS0227", span, "a saga that runs itself again".to_owned())
                .with_help(
                    "make sure that it comes to an end: each run keeps the one before it open",
                )
        } else {
            self.places
                .error(
                    "BS0227",
                    span,
                    "a saga that runs itself again, without end".to_owned(),
                )
                .with_help("run it in a case of a `choose`, or `repeat` the steps instead")
        };
        self.push(diagnostic.with_note(chain));
    }
}

/// Whether a definition runs another, by itself or by way of others; which ones it goes through.
fn leads_to<'d>(
    family: &Family<'d>,
    from: &'d Definition,
    to: &str,
    way: &mut Vec<&'d str>,
) -> bool {
    if way.contains(&from.name.as_str()) {
        return false;
    }
    way.push(&from.name);
    let mut runs = BTreeSet::new();
    walk(&from.steps, &mut |step| {
        if let Verb::Run(run) = &step.verb {
            runs.insert(run.saga.as_str());
        }
    });
    if runs.contains(to) {
        return true;
    }
    for name in runs {
        if let Some(next) = family.known.get(name)
            && leads_to(family, next, to, way)
        {
            return true;
        }
    }
    way.pop();
    false
}

fn pivot_of(definition: &Definition) -> Option<&str> {
    let mut pivot = None;
    walk(&definition.steps, &mut |step| {
        if matches!(&step.verb, Verb::Do(work) if work.pivot) && pivot.is_none() {
            pivot = Some(step.id.as_str());
        }
    });
    pivot
}
