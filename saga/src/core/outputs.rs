//! What the steps of a saga have answered, for expressions.

use std::borrow::Cow;

use serde_json::Value;

use super::part::{Part, Place, is_reaction};
use super::state::Saga;
use crate::definition::{Definition, ON_FAILURE, ON_REFUSED, ON_TIMEOUT, Slot, Step, Verb};
use crate::expression::Steps;

/// What the steps of a saga have answered, as it is seen from a place.
///
/// A step inside `each` has an output for each item. From within an item it is that item's; from
/// outside, the list over the items, null where there is none. Of the rounds of a repetition, and
/// of steps that were opened anew, the latest counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) saga: &'a Saga,
    pub(super) definition: &'a Definition,
    pub(super) from: &'a [u16],
}

/// The position of a step in its sequence, and which sequence inside it the way goes on in.
type Hop<'d> = (u16, &'d Step, Option<Slot<'d>>);

impl Steps for Outputs<'_> {
    fn output(&self, id: &str) -> Option<Cow<'_, Value>> {
        let steps = &self.definition.steps;
        // Most steps are not inside another.
        if let Some(n) = steps.iter().position(|step| step.id == id) {
            return self.at(&[position(n)]);
        }
        let mut way = Vec::new();
        if !find(steps, id, &mut way) {
            return None;
        }
        self.along(&mut Vec::with_capacity(2 * way.len()), &way)
    }
}

impl<'a> Outputs<'a> {
    fn at(&self, place: &[u16]) -> Option<Cow<'a, Value>> {
        let output = match whole(self.saga.root.at(place)?) {
            Part::Line(index) => self.saga.lines.get(*index)?.output.as_ref()?,
            Part::Each { collected, .. } => collected.as_ref()?,
            Part::Sequence { .. }
            | Part::Skipped
            | Part::Parallel(_)
            | Part::Choose { .. }
            | Part::Repeat(_)
            | Part::Reversing { .. }
            | Part::Recovering { .. }
            | Part::Mailbox(_) => return None,
        };
        Some(Cow::Borrowed(output.value()))
    }

    /// The output at the end of a way that goes on from a sequence.
    fn along(&self, sequence: &mut Place, way: &[Hop<'_>]) -> Option<Cow<'a, Value>> {
        let ((at, step, slot), rest) = way.split_first()?;
        sequence.push(*at);
        let found = match slot {
            None => self.at(sequence),
            Some(Slot::Branch(n, _) | Slot::Case(n) | Slot::Otherwise(n)) => {
                self.into(sequence, *n, rest)
            }
            Some(Slot::OnFailure) => self.into(sequence, ON_FAILURE, rest),
            Some(Slot::OnTimeout) => self.into(sequence, ON_TIMEOUT, rest),
            Some(Slot::OnRefused) => self.into(sequence, ON_REFUSED, rest),
            Some(Slot::Body) if matches!(step.verb, Verb::Each(_)) => self.items(sequence, rest),
            Some(Slot::Body) => self.latest_round(sequence, rest),
        };
        sequence.pop();
        found
    }

    fn into(&self, step: &mut Place, n: u16, rest: &[Hop<'_>]) -> Option<Cow<'a, Value>> {
        step.push(n);
        let found = self.along(step, rest);
        step.pop();
        found
    }

    fn items(&self, each: &mut Place, rest: &[Hop<'_>]) -> Option<Cow<'a, Value>> {
        if let Some(item) = self.own_item(each) {
            return self.into(each, item, rest);
        }
        let items = items_of(self.saga.root.at(each)?)?;
        let count = position(items.value().as_array().map_or(0, Vec::len));
        let of_item = |n| {
            let found = self.into(each, n, rest);
            found.map_or(Value::Null, Cow::into_owned)
        };
        Some(Cow::Owned(Value::Array((0..count).map(of_item).collect())))
    }

    /// The item of an `each` in which the place lies that is seen from.
    fn own_item(&self, each: &[u16]) -> Option<u16> {
        let rest = self.from.strip_prefix(each)?;
        rest.first().copied().filter(|item| !is_reaction(*item))
    }

    fn latest_round(&self, repeat: &mut Place, rest: &[Hop<'_>]) -> Option<Cow<'a, Value>> {
        let Part::Repeat(rounds) = whole(self.saga.root.at(repeat)?) else {
            return None;
        };
        let mut rounds = (0..rounds.len()).rev().map(position);
        rounds.find_map(|n| self.into(repeat, n, rest))
    }
}

/// The way to a step inside others.
fn find<'d>(steps: &'d [Step], id: &str, way: &mut Vec<Hop<'d>>) -> bool {
    for (n, step) in steps.iter().enumerate() {
        if step.id == id {
            way.push((position(n), step, None));
            return true;
        }
        for block in step.blocks() {
            way.push((position(n), step, Some(block.slot)));
            if find(block.steps, id, way) {
                return true;
            }
            way.pop();
        }
    }
    false
}

fn position(n: usize) -> u16 {
    u16::try_from(n).expect("positions are of 16 bits")
}

/// A part, without what it was wrapped in when it failed.
fn whole(part: &Part) -> &Part {
    match part {
        Part::Reversing { part, .. } | Part::Recovering { failed: part, .. } => whole(part),
        Part::Sequence { .. }
        | Part::Line(_)
        | Part::Skipped
        | Part::Parallel(_)
        | Part::Choose { .. }
        | Part::Each { .. }
        | Part::Repeat(_)
        | Part::Mailbox(_) => part,
    }
}

/// The items of an `each`, through what it was wrapped in when it failed.
pub(super) fn items_of(part: &Part) -> Option<&crate::payload::Payload> {
    match whole(part) {
        Part::Each { items, .. } => Some(items),
        Part::Sequence { .. }
        | Part::Line(_)
        | Part::Skipped
        | Part::Parallel(_)
        | Part::Choose { .. }
        | Part::Repeat(_)
        | Part::Reversing { .. }
        | Part::Recovering { .. }
        | Part::Mailbox(_) => None,
    }
}
