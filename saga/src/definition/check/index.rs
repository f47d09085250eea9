//! Every step: where it stands, and inside what.

use std::collections::BTreeMap;

use crate::definition::blocks::Slot;
use crate::definition::model::{Step, Verb};
use crate::definition::place::{place_of_block, place_of_step};

/// The steps of a definition, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Index<'d> {
    pub(super) steps: Vec<Known<'d>>,
    by_id: BTreeMap<&'d str, usize>,
    by_place: BTreeMap<String, usize>,
}

/// A step, and where it stands.
#[derive(Debug)]
pub(super) struct Known<'d> {
    pub(super) step: &'d Step,
    /// Its place in the text.
    pub(super) place: String,
    /// The sequences around it, outermost first: the position of the step they belong to, and which
    /// of its sequences.
    pub(super) around: Vec<(usize, Slot<'d>)>,
}

impl<'d> Index<'d> {
    pub(super) fn of(steps: &'d [Step]) -> Self {
        let mut index = Self::default();
        index.add(steps, "steps", &[]);
        index
    }

    fn add(&mut self, steps: &'d [Step], block: &str, around: &[(usize, Slot<'d>)]) {
        for (n, step) in steps.iter().enumerate() {
            let position = self.steps.len();
            let place = place_of_step(block, n);
            self.steps.push(Known {
                step,
                place: place.clone(),
                around: around.to_vec(),
            });
            self.by_id.entry(&step.id).or_insert(position);
            self.by_place.insert(place.clone(), position);
            for inner in step.blocks() {
                let mut around = around.to_vec();
                around.push((position, inner.slot));
                self.add(inner.steps, &place_of_block(&place, inner.slot), &around);
            }
        }
    }

    /// The first step of an id.
    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Known<'d>> {
        self.steps.get(self.position(id)?)
    }

    /// The step at a place.
    pub(super) fn at(&self, place: &str) -> Option<usize> {
        self.by_place.get(place).copied()
    }

    pub(super) fn known(&self, place: &str) -> Option<&Known<'d>> {
        self.steps.get(self.at(place)?)
    }

    /// The first step of the body of an `each` or a `repeat`: what stands beside it is seen as by it.
    pub(super) fn inside(&self, place: &str) -> Option<usize> {
        self.at(&place_of_step(&place_of_block(place, Slot::Body), 0))
            .or_else(|| self.at(place))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &'d str> {
        self.by_id.keys().copied()
    }

    /// The steps of `each` around a step, outermost first.
    pub(super) fn items_around(&self, known: &Known<'d>) -> Vec<usize> {
        known
            .around
            .iter()
            .filter(|(position, slot)| {
                *slot == Slot::Body && matches!(self.steps[*position].step.verb, Verb::Each(_))
            })
            .map(|(position, _)| *position)
            .collect()
    }
}
