//! The ids of steps for which none is written.

use std::collections::BTreeMap;

use super::model::{Step, Verb};

/// Gives an id to each step without one: its verb and its number among the steps of that verb
/// without one, in the order of [`walk`](super::walk), from 1.
pub(super) fn name_steps(steps: &mut [Step]) {
    Names::default().give(steps);
}

/// What has been numbered so far.
#[derive(Default)]
pub(super) struct Names {
    counts: BTreeMap<&'static str, usize>,
}

impl Names {
    fn give(&mut self, steps: &mut [Step]) {
        for step in steps {
            if step.id.is_empty() {
                step.id = self.next(&step.verb);
                self.take(&step.verb);
            }
            for steps in step.blocks_mut() {
                self.give(steps);
            }
        }
    }

    /// The id that the next step of this verb gets if it has none.
    pub(super) fn next(&self, verb: &Verb) -> String {
        let name = verb.name();
        format!("{name}_{}", self.counts.get(name).copied().unwrap_or(0) + 1)
    }

    /// Counts a step that got such an id.
    pub(super) fn take(&mut self, verb: &Verb) {
        *self.counts.entry(verb.name()).or_default() += 1;
    }
}
