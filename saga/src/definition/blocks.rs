//! The sequences inside a step, and where they stand.

use super::model::{OnFailure, Step, Verb};

/// A sequence of steps inside a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block<'d> {
    /// Which one.
    pub slot: Slot<'d>,
    /// Its steps.
    pub steps: &'d [Step],
}

/// Which of the sequences inside a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot<'d> {
    /// A branch of `parallel`: position and name.
    Branch(u16, &'d str),
    /// A case of `choose`: position.
    Case(u16),
    /// `else` of `choose`: the position after the last case.
    Otherwise(u16),
    /// The steps of `each` and `repeat`. At run time each item or round has a position of its own.
    Body,
    /// The steps of `on_failure`.
    OnFailure,
    /// The steps of `on_timeout`.
    OnTimeout,
    /// The steps of `on_refused`.
    OnRefused,
}

/// The position of the steps of `on_failure` in a [`Place`](crate::core::Place).
pub const ON_FAILURE: u16 = u16::MAX;
/// The position of the steps of `on_timeout`.
pub const ON_TIMEOUT: u16 = u16::MAX - 1;
/// The position of the steps of `on_refused`.
pub const ON_REFUSED: u16 = u16::MAX - 2;

pub(super) fn position(n: usize) -> u16 {
    // The limits of a definition are far below.
    u16::try_from(n).unwrap_or(u16::MAX)
}

impl Step {
    /// The sequences inside it, in the order in which they are written.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        match &self.verb {
            Verb::Parallel(parallel) => {
                for (n, (name, steps)) in parallel.branches.iter().enumerate() {
                    let slot = Slot::Branch(position(n), name);
                    blocks.push(Block { slot, steps });
                }
            }
            Verb::Choose(choose) => {
                for (n, case) in choose.cases.iter().enumerate() {
                    let (slot, steps) = (Slot::Case(position(n)), &case.steps);
                    blocks.push(Block { slot, steps });
                }
                if let Some(steps) = &choose.otherwise {
                    let slot = Slot::Otherwise(position(choose.cases.len()));
                    blocks.push(Block { slot, steps });
                }
            }
            Verb::Each(each) => blocks.push(Block {
                slot: Slot::Body,
                steps: &each.steps,
            }),
            Verb::Repeat(repeat) => blocks.push(Block {
                slot: Slot::Body,
                steps: &repeat.steps,
            }),
            Verb::Do(_)
            | Verb::Wait(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
        let reactions = [
            (Slot::OnFailure, Some(&self.on_failure)),
            (Slot::OnTimeout, self.on_timeout.as_ref()),
            (Slot::OnRefused, self.on_refused.as_ref()),
        ];
        for (slot, reaction) in reactions {
            if let Some(OnFailure::Steps(steps)) = reaction {
                blocks.push(Block { slot, steps });
            }
        }
        blocks
    }

    /// The sequences inside it, in the order of [`Step::blocks`], to be changed.
    pub(super) fn blocks_mut(&mut self) -> Vec<&mut Vec<Step>> {
        let mut blocks = Vec::new();
        match &mut self.verb {
            Verb::Parallel(parallel) => {
                blocks.extend(parallel.branches.iter_mut().map(|(_, steps)| steps));
            }
            Verb::Choose(choose) => {
                blocks.extend(choose.cases.iter_mut().map(|case| &mut case.steps));
                blocks.extend(choose.otherwise.as_mut());
            }
            Verb::Each(each) => blocks.push(&mut each.steps),
            Verb::Repeat(repeat) => blocks.push(&mut repeat.steps),
            Verb::Do(_)
            | Verb::Wait(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
        let reactions = [
            Some(&mut self.on_failure),
            self.on_timeout.as_mut(),
            self.on_refused.as_mut(),
        ];
        for reaction in reactions.into_iter().flatten() {
            if let OnFailure::Steps(steps) = reaction {
                blocks.push(steps);
            }
        }
        blocks
    }

    /// The sequence at a position inside it, as a [`Place`](crate::core::Place) has it.
    pub fn block_at(&self, at: u16) -> Option<&[Step]> {
        let reaction = match at {
            ON_FAILURE => Some(&self.on_failure),
            ON_TIMEOUT => self.on_timeout.as_ref(),
            ON_REFUSED => self.on_refused.as_ref(),
            _ => None,
        };
        if let Some(OnFailure::Steps(steps)) = reaction {
            return Some(steps);
        }
        let n = usize::from(at);
        match &self.verb {
            Verb::Parallel(parallel) => parallel.branches.get(n).map(|(_, steps)| &steps[..]),
            Verb::Choose(choose) => match choose.cases.get(n) {
                Some(case) => Some(&case.steps),
                None if n == choose.cases.len() => choose.otherwise.as_deref(),
                None => None,
            },
            Verb::Each(each) => Some(&each.steps),
            Verb::Repeat(repeat) => Some(&repeat.steps),
            Verb::Do(_)
            | Verb::Wait(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => None,
        }
    }
}

/// The step at a [`Place`](crate::core::Place): positions of steps and of sequences in turn.
pub fn step_at<'d>(steps: &'d [Step], place: &[u16]) -> Option<&'d Step> {
    let (first, rest) = place.split_first()?;
    let step = steps.get(usize::from(*first))?;
    match rest.split_first() {
        None => Some(step),
        Some((block, rest)) => step_at(step.block_at(*block)?, rest),
    }
}

/// Calls `visit` with each step, outer ones before those inside them, in the order in which they
/// are written.
pub fn walk<'d>(steps: &'d [Step], visit: &mut dyn FnMut(&'d Step)) {
    for step in steps {
        visit(step);
        for block in step.blocks() {
            walk(block.steps, visit);
        }
    }
}
