//! Pivots, and what can be undone.

use super::checker::Checker;
use super::flow::{Around, is_caught};
use super::state::{Pivot, State};
use crate::definition::blocks::Slot;
use crate::definition::model::{Do, Need, Step, Undo, Verb};

impl<'c> Checker<'c> {
    /// Where a pivot may stand.
    pub(super) fn pivot(&mut self, step: &Step, place: &str, state: &State<'c>) {
        let span = self.places.span(&format!("{place}.pivot"));
        let known = self.index.known(place);
        let outer = known.and_then(|known| {
            known
                .around
                .iter()
                .find(|(_, slot)| matches!(slot, Slot::Branch(..) | Slot::Body))
        });
        if let Some((position, _)) = outer {
            let outer = &self.index.steps[*position];
            let verb = outer.step.verb.name();
            let by = self.at_step(&outer.place, &outer.step.id);
            let diagnostic = self
                .places
                .error("BS0213", span, format!("a pivot inside {}", Self::a(verb)))
                .with_note(format!("the `{verb}` is {by}"))
                .with_help("the pivot is one moment of the whole saga: put it before or after");
            self.push(diagnostic);
        }
        if state.pivot != Pivot::Never {
            let first = match &state.pivot_at {
                Some((place, id)) => self.at_step(place, id),
                None => "before it".to_owned(),
            };
            let diagnostic = self
                .places
                .error("BS0208", span, "a second pivot".to_owned())
                .with_note(format!("the first is {first}"))
                .with_help(
                    "after the first pivot the saga only goes forward: leave out the second",
                );
            self.push(diagnostic);
        }
        let why = if step.when.is_some() {
            "it has a `when`"
        } else if is_caught(&step.on_failure) {
            "the saga goes on when it fails"
        } else {
            return;
        };
        let diagnostic = self
            .places
            .warning("BS0214", span, format!("the pivot may not be done: {why}"))
            .with_note("what follows can turn back then, and each step after it needs an undo")
            .with_help("put the pivot, and what follows it, into a case of a `choose`");
        self.push(diagnostic);
    }

    /// Whether what a step may have done can be undone where it may have to be.
    pub(super) fn cover(
        &mut self,
        step: &Step,
        work: &Do,
        place: &str,
        state: &State<'c>,
        around: &Around,
    ) {
        if work.undo != Undo::Absent {
            return;
        }
        if state.pivot == Pivot::Done {
            return self.cover_after_pivot(step, work, place);
        }
        if work.pivot {
            return;
        }
        let when = match &around.next {
            Some(next) => format!("when `{next}` fails"),
            None => match self.beside(place) {
                Some(name) => format!("when the branch `{name}` beside it fails"),
                None => "when the saga turns back".to_owned(),
            },
        };
        let note = match (&state.pivot_at, self.next_pivot(place)) {
            (Some((place, id)), _) => {
                let pivot = self.line_of(place, id);
                format!("the pivot ({pivot}) is not done on every path to here")
            }
            (None, Some(pivot)) => format!("runs before the pivot ({pivot})"),
            (None, None) if self.has_pivot() => "no pivot is done on the way to here".to_owned(),
            (None, None) => "no step is the pivot, so the saga can turn back to its end".to_owned(),
        };
        let diagnostic = self
            .places
            .error(
                "BS0207",
                self.places.span(place),
                format!(
                    "`{}` may have run {when}, and nothing says how to undo it",
                    step.id
                ),
            )
            .with_note(note)
            .with_help(format!(
                "write `undo: yes` if the worker of `{}` can take it back, name another activity, or `undo: nothing` if it only reads",
                work.activity
            ));
        self.push(diagnostic);
    }

    /// After the pivot only a part is ever undone: one whose failure is caught, or one too many.
    fn cover_after_pivot(&mut self, step: &Step, work: &Do, place: &str) {
        let Some((position, loser)) = self.catcher(place) else {
            return;
        };
        let outer = &self.index.steps[position];
        let verb = outer.step.verb.name();
        let by = self.at_step(&outer.place, &outer.step.id);
        let note = if loser {
            format!("the `parallel` {by} needs only some of its branches, and undoes the others")
        } else {
            format!(
                "a failure inside the `{verb}` {by} is caught there, and what has run in it is undone"
            )
        };
        let diagnostic = self
            .places
            .warning(
                "BS0223",
                self.places.span(place),
                format!("`{}` may have to be undone, and nothing says how", step.id),
            )
            .with_note(note)
            .with_help(format!(
                "write `undo: yes` if the worker of `{}` can take it back, name another activity, or `undo: nothing` if it may stay",
                work.activity
            ));
        self.push(diagnostic);
    }

    /// The innermost step around a place that catches what fails in it, and whether it does so
    /// because it needs only some of its branches.
    pub(super) fn catcher(&self, place: &str) -> Option<(usize, bool)> {
        let known = self.index.known(place)?;
        for (position, slot) in known.around.iter().rev() {
            let outer = self.index.steps[*position].step;
            match slot {
                // What fails on the way of a reaction goes past the step that it belongs to.
                Slot::OnFailure | Slot::OnTimeout | Slot::OnRefused => continue,
                Slot::Branch(..) | Slot::Case(_) | Slot::Otherwise(_) | Slot::Body => {}
            }
            if let Verb::Parallel(parallel) = &outer.verb
                && let Need::Count(need) = parallel.need
                && usize::from(need) < parallel.branches.len()
            {
                return Some((*position, true));
            }
            if is_caught(&outer.on_failure) {
                return Some((*position, false));
            }
        }
        None
    }

    /// Another branch of the innermost `parallel` around a place.
    fn beside(&self, place: &str) -> Option<String> {
        let known = self.index.known(place)?;
        let (position, own) =
            known
                .around
                .iter()
                .rev()
                .find_map(|(position, slot)| match slot {
                    Slot::Branch(n, _) => Some((*position, usize::from(*n))),
                    _ => None,
                })?;
        let Verb::Parallel(parallel) = &self.index.steps[position].step.verb else {
            return None;
        };
        let mut others = parallel.branches.iter().enumerate();
        others
            .find(|(n, _)| *n != own)
            .map(|(_, (name, _))| name.clone())
    }

    fn has_pivot(&self) -> bool {
        let mut steps = self.index.steps.iter();
        steps.any(|known| matches!(&known.step.verb, Verb::Do(work) if work.pivot))
    }

    /// Where the first pivot after a place is written.
    fn next_pivot(&self, place: &str) -> Option<String> {
        let position = self.index.at(place)?;
        self.index
            .steps
            .iter()
            .skip(position)
            .find(|known| matches!(&known.step.verb, Verb::Do(work) if work.pivot))
            .map(|known| self.line_of(&known.place, &known.step.id))
    }
}
