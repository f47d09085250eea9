//! What the steps of a saga have answered, for expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::ledger::Line;
use super::part::Part;
use super::state::Saga;
use crate::expression::Steps;

/// What the steps of a saga have answered, as it is seen from a place.
///
/// A step inside `each` has an output for each item. From within an item it is that item's; from
/// outside, the list over the items. Of the rounds of a repetition, and of steps that were opened
/// anew, the latest counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) saga: &'a Saga,
    pub(super) from: &'a [u16],
}

impl Steps for Outputs<'_> {
    fn output(&self, id: &str) -> Option<Cow<'_, Value>> {
        let latest = self.saga.lines.iter().rev().find(|line| line.step == id);
        match latest {
            None => self.collected(&self.saga.root, id, 0, true),
            // Most steps are not inside another.
            Some(line) if line.place.len() == 1 => value_of(line),
            Some(line) => self.of_place(id, line),
        }
    }
}

fn value_of(line: &Line) -> Option<Cow<'_, Value>> {
    let output = line.output.as_ref()?;
    Some(Cow::Borrowed(output.value()))
}

impl Outputs<'_> {
    /// The output of a step inside others.
    fn of_place(&self, id: &str, latest: &Line) -> Option<Cow<'_, Value>> {
        let depths = self.item_depths(&latest.place);
        // Items that both places lie in are not listed.
        let shared = |depth: &&usize| {
            let through = **depth + 1;
            self.from.len() >= through && latest.place.len() >= through && {
                self.from[..**depth] == latest.place[..**depth]
            }
        };
        let own = depths.iter().take_while(shared).count();
        let (fixed, listed) = depths.split_at(own);
        let mine = |line: &&Line| {
            line.step == id && fixed.iter().all(|depth| line.place[*depth] == self.from[*depth])
        };
        let lines: Vec<&Line> = self.saga.lines.iter().filter(mine).collect();
        match listed {
            [] => lines.last().and_then(|line| value_of(line)),
            _ => Some(Cow::Owned(list(&lines, listed))),
        }
    }

    /// The positions in a place that are those of an item of an `each`.
    fn item_depths(&self, place: &[u16]) -> Vec<usize> {
        (1..place.len())
            .step_by(2)
            .filter(|depth| {
                let around = self.saga.root.at(&place[..*depth]);
                around.is_some_and(|part| items_of(part).is_some())
            })
            .collect()
    }

    /// What an `each` has collected, looked for in a part at a depth; `on_way` while the part is
    /// one around the place that is seen from.
    fn collected(&self, part: &Part, id: &str, depth: usize, on_way: bool) -> Option<Cow<'_, Value>> {
        let mut found = None;
        let mut visit = |n: usize, child: &Part| {
            let on_way = on_way && self.from.get(depth).is_some_and(|at| usize::from(*at) == n);
            if let Some(value) = self.collected(child, id, depth + 1, on_way) {
                let better = found.is_none() || on_way;
                if better {
                    found = Some(Cow::Owned(value.into_owned()));
                }
            }
        };
        match part {
            Part::Sequence { behind, running } => {
                for (n, child) in behind.iter().chain(running.as_deref()).enumerate() {
                    visit(n, child);
                }
            }
            Part::Parallel(parts) | Part::Repeat(parts) => {
                for (n, child) in parts.iter().enumerate() {
                    visit(n, child);
                }
            }
            Part::Each {
                id: own,
                collected,
                parts,
                ..
            } => {
                if own == id {
                    let list = collected.as_ref()?;
                    return Some(Cow::Owned(list.value().clone()));
                }
                for (n, child) in parts.iter().enumerate() {
                    visit(n, child);
                }
            }
            Part::Choose { case, steps } => visit(usize::from(*case), steps),
            Part::Reversing { part, .. } => return self.collected(part, id, depth, on_way),
            Part::Recovering {
                failed,
                block,
                steps,
                ..
            } => {
                if let Some(value) = self.collected(failed, id, depth, on_way) {
                    return Some(Cow::Owned(value.into_owned()));
                }
                visit(usize::from(*block), steps);
            }
            Part::Line(_) | Part::Skipped | Part::Mailbox(_) => {}
        }
        found
    }
}

/// The items of an `each`, through what it was wrapped in when it failed.
pub(super) fn items_of(part: &Part) -> Option<&crate::payload::Payload> {
    match part {
        Part::Each { items, .. } => Some(items),
        Part::Reversing { part, .. } | Part::Recovering { failed: part, .. } => items_of(part),
        Part::Sequence { .. }
        | Part::Line(_)
        | Part::Skipped
        | Part::Parallel(_)
        | Part::Choose { .. }
        | Part::Repeat(_)
        | Part::Mailbox(_) => None,
    }
}

/// The outputs of lines by the items at these depths, outermost first; null where there is none.
fn list(lines: &[&Line], depths: &[usize]) -> Value {
    let Some((depth, inner)) = depths.split_first() else {
        let latest = lines.iter().rev().find_map(|line| line.output.as_ref());
        return latest.map_or(Value::Null, |output| output.value().clone());
    };
    let mut by_item: BTreeMap<u16, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        if let Some(item) = line.place.get(*depth) {
            by_item.entry(*item).or_default().push(line);
        }
    }
    let len = by_item.keys().next_back().map_or(0, |last| last + 1);
    let of_item = |item| by_item.get(&item).map_or(Value::Null, |lines| list(lines, inner));
    Value::Array((0..len).map(of_item).collect())
}
