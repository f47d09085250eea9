//! Going forward through the tree of running parts.

use serde_json::Value;

use super::advance::Turn;
use super::back::Back;
use super::change::{Change, Shape};
use super::fate::describe;
use super::ledger::{Failure, FailureKind, LineStatus};
use super::part::{Caught, Part, Place};
use super::state::{Course, ParkedBy, Status, TurnedBackBy};
use crate::definition::{
    Choose, Each, Fail, Need, ON_FAILURE, OnFailure, Parallel, Repeat, Step, Verb,
};
use crate::expression::{EvaluationError, Template};
use crate::payload::Payload;

/// How far a part has come on the way forward.
pub(super) enum Forth {
    /// It waits for someone.
    Waits,
    /// It lies behind.
    Finished,
    /// It did not end *done*, and what is around it has to see to that.
    Failed(Box<Caught>),
    /// The saga completes here, with this output.
    Ended(Option<Payload>),
}

impl<'d> Turn<'d> {
    /// Goes on until the saga waits for someone, or has ended.
    pub(super) fn proceed(&mut self) {
        self.go_on();
        self.park_if_stuck();
    }

    fn go_on(&mut self) {
        if self.saga.parked.is_some()
            || self.saga.status.has_ended()
            || self.saga.mailbox().is_some()
        {
            return;
        }
        let place = &mut Vec::new();
        if self.saga.course == Course::Forward {
            let definition = self.definition;
            match self.forth_sequence(&definition.steps, place) {
                Forth::Waits => return,
                Forth::Finished => return self.complete(),
                Forth::Ended(output) => return self.end(Status::Completed, output),
                Forth::Failed(caught) => {
                    if let Err(why) = self.may_turn_back() {
                        return self.park_at(&caught, why);
                    }
                    let Caught {
                        occurrence,
                        failure,
                        ..
                    } = *caught;
                    self.emit(Change::TurnedBack(TurnedBackBy::Failure {
                        occurrence,
                        failure,
                    }));
                }
            }
        }
        let root = self.saga.root.clone();
        place.clear();
        match self.back(&root, place) {
            Back::Waits => {}
            Back::Undone => self.end(Status::Compensated, None),
        }
    }

    fn complete(&mut self) {
        let definition = self.definition;
        match self.output_of(definition.output.as_ref(), &[]) {
            Ok(output) => self.end(Status::Completed, output),
            Err(error) => {
                let reason = format!("the output cannot be evaluated: {error}");
                self.park(ParkedBy::Expression, None, reason);
            }
        }
    }

    fn output_of(
        &self,
        template: Option<&Template>,
        place: &[u16],
    ) -> Result<Option<Payload>, EvaluationError> {
        let output = template.map(|template| self.fill(place, template, None));
        // In a journal, null and nothing are the same.
        Ok(output.transpose()?.filter(|output| !output.is_null()))
    }

    fn forth_sequence(&mut self, steps: &'d [Step], place: &mut Place) -> Forth {
        loop {
            let Some(Part::Sequence { behind, running }) = self.saga.root.at(place) else {
                unreachable!("a sequence of the definition is a sequence of the tree");
            };
            let next = behind.len();
            let entered = running.is_some();
            let Some(step) = steps.get(next) else {
                return Forth::Finished;
            };
            place.push(u16::try_from(next).expect("a definition has at most 1,000 steps"));
            let forth = if entered {
                self.forth_step(step, place)
            } else {
                self.enter_step(step, place)
            };
            // A skipped step has left by itself.
            let leaves = matches!(forth, Forth::Finished) && self.is_entered(place);
            let at = if leaves { place.clone() } else { Vec::new() };
            place.pop();
            if leaves {
                self.emit(Change::Left { place: at });
            }
            match forth {
                Forth::Finished => {}
                Forth::Waits | Forth::Failed(_) | Forth::Ended(_) => return forth,
            }
        }
    }

    /// The sequence at a position inside a step.
    fn forth_block(&mut self, step: &'d Step, block: u16, place: &mut Place) -> Forth {
        let steps = step
            .block_at(block)
            .expect("what was entered stands in the definition");
        place.push(block);
        let forth = self.forth_sequence(steps, place);
        place.pop();
        forth
    }

    /// Takes the first look at a step.
    fn enter_step(&mut self, step: &'d Step, place: &mut Place) -> Forth {
        if let Some(when) = &step.when {
            match self.holds(place, when) {
                Ok(true) => {}
                Ok(false) => {
                    let place = place.clone();
                    self.emit(Change::Skipped { place });
                    return Forth::Finished;
                }
                Err(error) => return self.cannot_evaluate("when", step, &error),
            }
        }
        match &step.verb {
            Verb::Do(work) => match self.fill(place, &work.with, None) {
                Ok(input) => {
                    let occurrence = self.fresh_occurrence(&step.id, place);
                    self.ask(step, work, place, occurrence, input);
                    Forth::Waits
                }
                Err(error) => self.cannot_evaluate("with", step, &error),
            },
            Verb::Wait(wait) => self.begin_wait(step, wait, place),
            Verb::Sleep(sleep) => self.begin_sleep(step, sleep, place),
            Verb::Approve(approve) => self.begin_approve(step, approve, place),
            Verb::Run(run) => self.begin_run(step, run, place),
            Verb::Parallel(parallel) => {
                let branches = u16::try_from(parallel.branches.len()).unwrap_or(u16::MAX);
                self.enter(place, Shape::Parallel(branches));
                self.forth_step(step, place)
            }
            Verb::Choose(choose) => self.enter_choose(step, choose, place),
            Verb::Each(each) => self.enter_each(step, each, place),
            Verb::Repeat(_) => {
                self.enter(place, Shape::Repeat);
                self.forth_step(step, place)
            }
            Verb::Set(set) => {
                let mut vars = std::collections::BTreeMap::new();
                for (name, template) in set {
                    match self.fill_value(place, template) {
                        Ok(value) => vars.insert(name.clone(), value),
                        Err(error) => return self.cannot_evaluate("set", step, &error),
                    };
                }
                let place = place.clone();
                self.emit(Change::Set { place, vars });
                Forth::Finished
            }
            Verb::Fail(fail) => self.fail(step, fail, place),
            Verb::End(output) => match self.output_of(output.as_ref(), place) {
                Ok(output) => Forth::Ended(output),
                Err(error) => self.cannot_evaluate("end", step, &error),
            },
        }
    }

    fn enter(&mut self, place: &[u16], shape: Shape) {
        let place = place.to_vec();
        self.emit(Change::Entered { place, shape });
    }

    /// Goes on with a step that was entered.
    fn forth_step(&mut self, step: &'d Step, place: &mut Place) -> Forth {
        let forth = match self.saga.root.at(place) {
            Some(&Part::Line(index)) => return self.forth_line(step, index, place),
            Some(Part::Reversing { .. }) => return self.forth_reversing(step, place),
            Some(&Part::Recovering { block, .. }) => return self.forth_block(step, block, place),
            Some(&Part::Choose { case, .. }) => self.forth_block(step, case, place),
            Some(Part::Parallel(_)) => {
                let Verb::Parallel(parallel) = &step.verb else {
                    unreachable!("the tree has the shape of the definition")
                };
                self.forth_parallel(step, parallel, place)
            }
            Some(Part::Each { .. }) => {
                let Verb::Each(each) = &step.verb else {
                    unreachable!("the tree has the shape of the definition")
                };
                self.forth_each(step, each, place)
            }
            Some(Part::Repeat(_)) => {
                let Verb::Repeat(repeat) = &step.verb else {
                    unreachable!("the tree has the shape of the definition")
                };
                self.forth_repeat(step, repeat, place)
            }
            Some(Part::Sequence { .. } | Part::Skipped | Part::Mailbox(_)) | None => {
                unreachable!("a step that was entered is a part of the tree")
            }
        };
        match forth {
            Forth::Failed(caught) => self.catch(step, caught, place),
            Forth::Waits | Forth::Finished | Forth::Ended(_) => forth,
        }
    }

    // ---- lines -----------------------------------------------------------------------------

    fn forth_line(&mut self, step: &'d Step, index: usize, place: &mut Place) -> Forth {
        let line = &self.saga.lines[index];
        let failure = line.failure.clone().unwrap_or_else(Failure::unanswered);
        let was_undone = line.undo_round > 0;
        let is_open = line.status == LineStatus::Ambiguous;
        let (reaction, block) = step.reaction(&failure);
        match line.status {
            LineStatus::InFlight
            | LineStatus::Waiting
            | LineStatus::Undoing
            | LineStatus::UndoWaiting
            | LineStatus::Stuck => return Forth::Waits,
            LineStatus::Done => return Forth::Finished,
            // A person took it off the ledger: before it was to be undone, or while it was.
            LineStatus::Waived if !was_undone => return Forth::Finished,
            LineStatus::Refused
            | LineStatus::Ambiguous
            | LineStatus::Undone
            | LineStatus::Waived => {}
        }
        let caught = Caught {
            step: line.step.clone(),
            occurrence: line.occurrence.clone(),
            failure,
        };
        match reaction {
            OnFailure::TurnBack => Forth::Failed(Box::new(caught)),
            OnFailure::Park => {
                self.park_at(&caught, "it is declared `on_failure: park`");
                Forth::Waits
            }
            OnFailure::Ignore | OnFailure::Steps(_) if is_open && self.holds_pivot(place) => {
                Forth::Failed(Box::new(caught))
            }
            // What is not done is undone first, so that the ledger keeps no open line.
            OnFailure::Ignore => match self.undo(index) {
                Back::Waits => Forth::Waits,
                Back::Undone => Forth::Finished,
            },
            OnFailure::Steps(_) => match self.undo(index) {
                Back::Waits => Forth::Waits,
                Back::Undone => self.recover(step, block, caught, place),
            },
        }
    }

    // ---- failures --------------------------------------------------------------------------

    fn fail(&mut self, step: &'d Step, fail: &Fail, place: &mut Place) -> Forth {
        let reason = fail.reason.as_ref().map(|r| self.fill_value(place, r));
        let reason = match reason.transpose() {
            Ok(None) => "the definition says so".to_owned(),
            Ok(Some(Value::String(text))) => text,
            Ok(Some(value)) => value.to_string(),
            Err(error) => return self.cannot_evaluate("reason", step, &error),
        };
        self.fails_at_once(step, &fail.code, reason, place)
    }

    /// A step failed before anything of it was entered.
    fn fails_at_once(
        &mut self,
        step: &'d Step,
        code: &str,
        reason: String,
        place: &mut Place,
    ) -> Forth {
        let caught = self.failed_by_itself(step, code, reason, place);
        match &step.on_failure {
            OnFailure::TurnBack => Forth::Failed(caught),
            OnFailure::Park => {
                self.park_at(&caught, "it is declared `on_failure: park`");
                Forth::Waits
            }
            OnFailure::Ignore => {
                let place = place.clone();
                self.emit(Change::Skipped { place });
                Forth::Finished
            }
            OnFailure::Steps(_) => {
                self.enter(place, Shape::Nothing);
                self.recover(step, ON_FAILURE, *caught, place)
            }
        }
    }

    fn failed_by_itself(
        &self,
        step: &Step,
        code: &str,
        reason: String,
        place: &[u16],
    ) -> Box<Caught> {
        Box::new(Caught {
            step: step.id.clone(),
            occurrence: self.occurrence_at(&step.id, place),
            failure: Failure {
                kind: FailureKind::Failed,
                code: code.to_owned(),
                reason,
            },
        })
    }

    /// Something inside a step failed.
    fn catch(&mut self, step: &'d Step, caught: Box<Caught>, place: &mut Place) -> Forth {
        match &step.on_failure {
            OnFailure::TurnBack => Forth::Failed(caught),
            OnFailure::Park => {
                let why = format!("`{}` around it is declared `on_failure: park`", step.id);
                self.park_at(&caught, &why);
                Forth::Waits
            }
            // The saga only goes forward.
            OnFailure::Ignore | OnFailure::Steps(_) if self.holds_pivot(place) => {
                Forth::Failed(caught)
            }
            OnFailure::Ignore | OnFailure::Steps(_) => {
                self.reverse(place, *caught);
                self.forth_reversing(step, place)
            }
        }
    }

    fn reverse(&mut self, place: &[u16], caught: Caught) {
        let place = place.to_vec();
        self.emit(Change::Reversed { place, caught });
    }

    fn forth_reversing(&mut self, step: &'d Step, place: &mut Place) -> Forth {
        let Some(Part::Reversing { part, caught }) = self.saga.root.at(place).cloned() else {
            unreachable!("it was just looked at");
        };
        match (self.back(&part, place), &step.on_failure) {
            (Back::Waits, _) => Forth::Waits,
            (Back::Undone, OnFailure::Steps(_)) => self.recover(step, ON_FAILURE, caught, place),
            (Back::Undone, OnFailure::Ignore | OnFailure::TurnBack | OnFailure::Park) => {
                Forth::Finished
            }
        }
    }

    fn recover(&mut self, step: &'d Step, block: u16, caught: Caught, place: &mut Place) -> Forth {
        self.emit(Change::Recovering {
            place: place.clone(),
            block,
            caught,
        });
        self.forth_block(step, block, place)
    }

    fn park_at(&mut self, caught: &Caught, why: &str) {
        let words = describe(&caught.failure);
        let occurrence = &caught.occurrence;
        let reason = format!("step `{occurrence}` was {words}; the saga waits because {why}");
        self.park(ParkedBy::Step, Some(occurrence.clone()), reason);
    }

    pub(super) fn cannot_evaluate(
        &mut self,
        field: &str,
        step: &Step,
        error: &EvaluationError,
    ) -> Forth {
        let reason = format!(
            "`{field}` of step `{}` cannot be evaluated: {error}",
            step.id
        );
        self.park(ParkedBy::Expression, Some(step.id.clone()), reason);
        Forth::Waits
    }

    // ---- steps with others inside ------------------------------------------------------------

    fn forth_parallel(
        &mut self,
        step: &'d Step,
        parallel: &'d Parallel,
        place: &mut Place,
    ) -> Forth {
        let total = parallel.branches.len();
        let need = match parallel.need {
            Need::All => total,
            Need::Count(count) => usize::from(count).min(total),
        };
        let (mut going, mut finished, mut undoing) = (Vec::new(), 0, false);
        let mut last = None;
        for (n, (_, steps)) in parallel.branches.iter().enumerate() {
            let position = u16::try_from(n).expect("positions are of 16 bits");
            place.push(position);
            let failed = match self.saga.root.at(place) {
                Some(Part::Reversing { caught, .. }) => Some(Box::new(caught.clone())),
                _ => match self.forth_sequence(steps, place) {
                    Forth::Failed(caught) if need == total => {
                        place.pop();
                        return Forth::Failed(caught);
                    }
                    Forth::Failed(caught) => {
                        self.reverse(place, (*caught).clone());
                        Some(caught)
                    }
                    Forth::Waits => {
                        going.push(position);
                        None
                    }
                    Forth::Finished | Forth::Ended(_) => {
                        finished += 1;
                        None
                    }
                },
            };
            if let Some(caught) = failed {
                last = Some(caught);
                undoing |= self.branch_back(place) == Back::Waits;
            }
            place.pop();
        }
        if finished >= need {
            for position in going {
                place.push(position);
                let loser = Caught {
                    step: step.id.clone(),
                    occurrence: self.occurrence_at(&step.id, place),
                    failure: Failure::overtaken(),
                };
                self.reverse(place, loser);
                undoing |= self.branch_back(place) == Back::Waits;
                place.pop();
            }
            return if undoing {
                Forth::Waits
            } else {
                Forth::Finished
            };
        }
        match last {
            Some(caught) if finished + going.len() < need => Forth::Failed(caught),
            Some(_) | None => Forth::Waits,
        }
    }

    fn branch_back(&mut self, place: &mut Place) -> Back {
        match self.saga.root.at(place).cloned() {
            Some(branch) => self.back(&branch, place),
            None => Back::Undone,
        }
    }

    fn enter_choose(&mut self, step: &'d Step, choose: &Choose, place: &mut Place) -> Forth {
        let mut chosen = None;
        for (n, case) in choose.cases.iter().enumerate() {
            match self.holds(place, &case.when) {
                Ok(false) => {}
                Ok(true) => {
                    chosen = Some(n);
                    break;
                }
                Err(error) => return self.cannot_evaluate("choose", step, &error),
            }
        }
        let otherwise = choose.otherwise.as_ref().map(|_| choose.cases.len());
        match chosen.or(otherwise) {
            Some(case) => {
                let case = u16::try_from(case).expect("positions are of 16 bits");
                self.enter(place, Shape::Choose(case));
                self.forth_step(step, place)
            }
            None => {
                let reason = "no condition holds, and there is no `else`".to_owned();
                self.fails_at_once(step, "no_case", reason, place)
            }
        }
    }

    fn enter_each(&mut self, step: &'d Step, each: &Each, place: &mut Place) -> Forth {
        let items = match self.value(place, &each.over) {
            Ok(Value::Array(items)) => items,
            Ok(Value::Null) => Vec::new(),
            Ok(_) => {
                let error = EvaluationError {
                    expression: each.over.source().to_owned(),
                    at: String::new(),
                    reason: "it is no list".to_owned(),
                };
                return self.cannot_evaluate("over", step, &error);
            }
            Err(error) => return self.cannot_evaluate("over", step, &error),
        };
        if items.len() > usize::from(each.items_max) {
            let (found, most) = (items.len(), each.items_max);
            let reason = format!("the list has {found} items, and at most {most} are allowed");
            return self.fails_at_once(step, "too_many_items", reason, place);
        }
        let id = step.id.clone();
        let items = Payload::from_value(&Value::Array(items));
        self.enter(place, Shape::Each { id, items });
        self.forth_step(step, place)
    }

    fn forth_each(&mut self, step: &'d Step, each: &'d Each, place: &mut Place) -> Forth {
        let Some(Part::Each { items, parts, .. }) = self.saga.root.at(place) else {
            unreachable!("it was just looked at");
        };
        let total = items.value().as_array().map_or(0, Vec::len);
        let mut begun = parts.len();
        let (mut running, mut n) = (0, 0);
        while n < total {
            if n == begun {
                if running >= each.at_once.max(1) {
                    break;
                }
                let place = place.clone();
                self.emit(Change::NextBegan { place });
                begun += 1;
            }
            place.push(u16::try_from(n).expect("positions are of 16 bits"));
            let forth = self.forth_sequence(&each.steps, place);
            place.pop();
            match forth {
                Forth::Waits => running += 1,
                Forth::Finished => {}
                Forth::Failed(_) | Forth::Ended(_) => return forth,
            }
            n += 1;
        }
        if running > 0 || begun < total {
            return Forth::Waits;
        }
        let Some(collect) = &each.collect else {
            return Forth::Finished;
        };
        let mut values = Vec::with_capacity(total);
        for n in 0..total {
            place.push(u16::try_from(n).expect("positions are of 16 bits"));
            // A position inside the item makes the item and its outputs seen.
            place.push(0);
            let value = self.fill_value(place, collect);
            place.truncate(place.len() - 2);
            match value {
                Ok(value) => values.push(value),
                Err(error) => return self.cannot_evaluate("collect", step, &error),
            }
        }
        let values = Payload::from_value(&Value::Array(values));
        let place = place.clone();
        self.emit(Change::Collected { place, values });
        Forth::Finished
    }

    fn forth_repeat(&mut self, step: &'d Step, repeat: &'d Repeat, place: &mut Place) -> Forth {
        loop {
            let Some(Part::Repeat(rounds)) = self.saga.root.at(place) else {
                unreachable!("it was just looked at");
            };
            let begun = rounds.len();
            if self.saga.pauses.iter().any(|(known, _)| known == place) {
                return Forth::Waits;
            }
            if let Some(latest) = begun.checked_sub(1) {
                place.push(u16::try_from(latest).expect("positions are of 16 bits"));
                let forth = self.forth_sequence(&repeat.steps, place);
                place.pop();
                match forth {
                    Forth::Finished => {}
                    Forth::Waits | Forth::Failed(_) | Forth::Ended(_) => return forth,
                }
                match self.holds(place, &repeat.until) {
                    Ok(true) => return Forth::Finished,
                    Ok(false) => {}
                    Err(error) => return self.cannot_evaluate("until", step, &error),
                }
                if begun >= usize::from(repeat.rounds_max) {
                    let reason = format!("it was not enough after {begun} rounds");
                    return Forth::Failed(self.failed_by_itself(
                        step,
                        "too_many_rounds",
                        reason,
                        place,
                    ));
                }
                if repeat.pause_ms > 0 {
                    let due_ms = self.after(repeat.pause_ms);
                    let place = place.clone();
                    self.emit(Change::Paused { place, due_ms });
                    return Forth::Waits;
                }
            }
            let place = place.clone();
            self.emit(Change::NextBegan { place });
        }
    }
}
