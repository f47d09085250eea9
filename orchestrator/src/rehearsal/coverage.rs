//! What of a definition was seen at work, and what never was.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::Definition;
use backstitch_saga::definition::{ON_FAILURE, ON_REFUSED, ON_TIMEOUT, Slot, Step, Undo, Verb};

/// Something of a definition that can be seen at work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Covered {
    /// A step was begun.
    Ran(String),
    /// A step was undone by someone who was asked to.
    Undone(String),
    /// A case of a `choose` was taken; the one after the last is `else`.
    Case(String, u16),
    /// The steps of `on_failure` and the like were taken, by their position.
    Reaction(String, u16),
    /// A step was passed over.
    Skipped(String),
}

/// What was seen, by definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    by_name: BTreeMap<String, BTreeSet<Covered>>,
}

impl Seen {
    pub(super) fn insert(&mut self, definition: &str, covered: Covered) {
        match self.by_name.get_mut(definition) {
            Some(known) => {
                known.insert(covered);
            }
            None => {
                let known = BTreeSet::from([covered]);
                self.by_name.insert(definition.to_owned(), known);
            }
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (name, covered) in &other.by_name {
            let known = self.by_name.entry(name.clone()).or_default();
            known.extend(covered.iter().cloned());
        }
    }

    /// Whether it was seen.
    pub fn has(&self, definition: &str, covered: &Covered) -> bool {
        let known = self.by_name.get(definition);
        known.is_some_and(|known| known.contains(covered))
    }
}

/// Something that was never seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Of which definition.
    pub definition: String,
    /// What, in words.
    pub what: String,
    /// Why, as far as is known.
    pub why: String,
}

/// How much of one sort was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// So many were seen.
    pub seen: usize,
    /// Of so many.
    pub all: usize,
}

/// What was seen of all there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Steps that were begun.
    pub ran: Share,
    /// Steps that were undone, of those that can be.
    pub undone: Share,
    /// Cases of `choose` that were taken.
    pub cases: Share,
    /// `on_failure`, `on_timeout`, `on_refused` with steps that were taken.
    pub reactions: Share,
    /// What was never seen.
    pub missed: Vec<Missed>,
}

/// Something that there is to be seen.
struct Item {
    sort: Sort,
    covered: Covered,
    what: String,
    why: &'static str,
    /// What it is inside of, if that is not always taken.
    inside: Option<Covered>,
}

#[derive(Clone, Copy)]
enum Sort {
    Ran,
    Undone,
    Case,
    Reaction,
}

impl Coverage {
    /// Holds what was seen against definitions. `unsolved` says for what no values were found.
    pub(super) fn of<'d>(
        definitions: impl IntoIterator<Item = &'d Definition>,
        seen: &Seen,
        unsolved: &BTreeMap<(String, Covered), String>,
    ) -> Self {
        let mut coverage = Self::default();
        for definition in definitions {
            let name = &definition.name;
            let mut items = Vec::new();
            collect(&definition.steps, None, &mut items);
            for item in items {
                let is_seen = seen.has(name, &item.covered);
                let share = match item.sort {
                    Sort::Ran => &mut coverage.ran,
                    Sort::Undone => &mut coverage.undone,
                    Sort::Case => &mut coverage.cases,
                    Sort::Reaction => &mut coverage.reactions,
                };
                share.all += 1;
                share.seen += usize::from(is_seen);
                // Of what was never entered, only the entrance is told.
                let was_entered = item.inside.is_none_or(|around| seen.has(name, &around));
                if is_seen || !was_entered {
                    continue;
                }
                let known = unsolved.get(&(name.clone(), item.covered));
                coverage.missed.push(Missed {
                    definition: name.clone(),
                    what: item.what,
                    why: known.cloned().unwrap_or_else(|| item.why.to_owned()),
                });
            }
        }
        coverage
    }
}

fn collect(steps: &[Step], inside: Option<&Covered>, items: &mut Vec<Item>) {
    for step in steps {
        let id = &step.id;
        let mut item = |sort, covered, what: String, why, inside: Option<&Covered>| {
            items.push(Item {
                sort,
                covered,
                what,
                why,
                inside: inside.cloned(),
            });
        };
        let ran = Covered::Ran(id.clone());
        if !matches!(step.verb, Verb::Fail(_) | Verb::End(_)) {
            let why = "no run got to it";
            item(Sort::Ran, ran.clone(), format!("`{id}`"), why, inside);
        }
        if is_undoable(step) {
            let why = "nothing after it made a saga turn back";
            let covered = Covered::Undone(id.clone());
            item(
                Sort::Undone,
                covered,
                format!("the undo of `{id}`"),
                why,
                Some(&ran),
            );
        }
        let mut blocks = Vec::new();
        for block in step.blocks() {
            let (sort, what, why) = match block.slot {
                Slot::Branch(..) | Slot::Body => {
                    blocks.push((ran.clone(), block.steps));
                    continue;
                }
                Slot::Case(n) => (
                    Sort::Case,
                    format!("case {} of `{id}`", n + 1),
                    "its condition held in no run",
                ),
                Slot::Otherwise(_) => (
                    Sort::Case,
                    format!("`else` of `{id}`"),
                    "a case held in each run",
                ),
                Slot::OnFailure => (Sort::Reaction, format!("`on_failure` of `{id}`"), NEVER),
                Slot::OnTimeout => (Sort::Reaction, format!("`on_timeout` of `{id}`"), NEVER),
                Slot::OnRefused => (Sort::Reaction, format!("`on_refused` of `{id}`"), NEVER),
            };
            let covered = match block.slot {
                Slot::Case(n) | Slot::Otherwise(n) => Covered::Case(id.clone(), n),
                Slot::OnFailure => Covered::Reaction(id.clone(), ON_FAILURE),
                Slot::OnTimeout => Covered::Reaction(id.clone(), ON_TIMEOUT),
                Slot::OnRefused => Covered::Reaction(id.clone(), ON_REFUSED),
                Slot::Branch(..) | Slot::Body => continue,
            };
            item(sort, covered.clone(), what, why, Some(&ran));
            blocks.push((covered, block.steps));
        }
        for (around, steps) in blocks {
            collect(steps, Some(&around), items);
        }
    }
}

/// Why a reaction was not seen.
const NEVER: &str = "nothing made it happen";

fn is_undoable(step: &Step) -> bool {
    match &step.verb {
        Verb::Do(work) => matches!(work.undo, Undo::Same | Undo::Other(_)),
        Verb::Run(_) => true,
        Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Repeat(_)
        | Verb::Wait(_)
        | Verb::Sleep(_)
        | Verb::Approve(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => false,
    }
}
