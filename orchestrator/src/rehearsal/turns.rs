//! The ways that a definition can go other than usual.

use backstitch_saga::Definition;
use backstitch_saga::definition::{Choose, Slot, StartRule, Step, Verb};
use backstitch_saga::expression::Expression;

use super::coverage::Covered;
use super::reading::{Aim, Around, Reading, inside};
use super::solve::{Target, Wanted};

/// A list is not made longer than this to find out what too long a one does.
const ITEMS_MAX: u16 = 20;
/// A repetition is not gone round more often than this to find out what too often does.
const ROUNDS_MAX: u16 = 20;

/// What an alternative leads to.
pub(super) struct Turn<'d> {
    pub(super) words: String,
    pub(super) wanted: Vec<Wanted<'d>>,
    pub(super) leads_to: Option<Covered>,
    pub(super) rounds: Option<Rounds>,
    pub(super) begins: Begins,
}

/// How a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// By the first start rule that takes its event; by hand where there is none.
    ByAny,
    /// By the start rule of this number, from 0.
    By(usize),
    /// Not at all: no start rule takes its event.
    Never,
}

/// How often a repetition goes round.
pub(super) struct Rounds {
    /// Which number of an occurrence counts it.
    pub(super) depth: usize,
    /// It is enough after so many; never if there are none.
    pub(super) enough: Option<u16>,
}

/// The start rules but the first, which is usual; and none of them.
pub(super) fn starts_of<'d>(definition: &'d Definition, turns: &mut Vec<Turn<'d>>) {
    let around = Around::default();
    let wanted = |rule: &'d StartRule, holds| {
        let when = rule.when.as_ref()?;
        let reading = Reading {
            expression: when,
            aim: Aim::Truth,
            around: around.clone(),
        };
        Some((reading, Target::Holds(holds)))
    };
    for (n, rule) in definition.start.iter().enumerate().skip(1) {
        // Of the rules of one topic, the first that holds takes a record.
        let before = definition.start[..n].iter();
        let before = before.filter(|one| one.topic == rule.topic);
        let mut all: Vec<_> = before.filter_map(|one| wanted(one, false)).collect();
        all.extend(wanted(rule, true));
        turns.push(Turn {
            words: format!("start rule {} (`{}`)", n + 1, rule.topic),
            wanted: all,
            leads_to: None,
            rounds: None,
            begins: Begins::By(n),
        });
    }
    let none: Option<Vec<_>> = definition
        .start
        .iter()
        .map(|rule| wanted(rule, false))
        .collect();
    if let Some(wanted) = none.filter(|wanted| !wanted.is_empty()) {
        turns.push(Turn {
            words: "an event that no start rule takes".to_owned(),
            wanted,
            leads_to: None,
            rounds: None,
            begins: Begins::Never,
        });
    }
}

/// All ways that a definition can go other than usual.
pub(super) fn turns_of<'d>(
    steps: &'d [Step],
    around: &Around<'d>,
    needs: &[Wanted<'d>],
    turns: &mut Vec<Turn<'d>>,
) {
    for step in steps {
        let id = &step.id;
        let reading = |expression: &'d Expression, aim, around: &Around<'d>| Reading {
            expression,
            aim,
            around: around.clone(),
        };
        let with = |more: Vec<Wanted<'d>>| needs.iter().cloned().chain(more).collect::<Vec<_>>();
        let mut inner_needs = needs.to_vec();
        if let Some(when) = &step.when {
            let one = reading(when, Aim::Truth, around);
            let (reached, skipped) = (Covered::Ran(id.clone()), Covered::Skipped(id.clone()));
            for (words, holds, leads_to) in [
                (format!("`{id}` is reached"), true, reached),
                (format!("`{id}` is skipped"), false, skipped),
            ] {
                turns.push(Turn {
                    words,
                    wanted: with(vec![(one.clone(), Target::Holds(holds))]),
                    leads_to: Some(leads_to),
                    rounds: None,
                    begins: Begins::ByAny,
                });
            }
            inner_needs.push((one, Target::Holds(true)));
        }
        match &step.verb {
            Verb::Choose(choose) => {
                let mut before: Vec<Wanted<'d>> = Vec::new();
                for (n, case) in choose.cases.iter().enumerate() {
                    let one = reading(&case.when, Aim::Truth, around);
                    let mut wanted = inner_needs.clone();
                    wanted.extend(before.iter().cloned());
                    wanted.push((one.clone(), Target::Holds(true)));
                    let at = u16::try_from(n).unwrap_or(u16::MAX);
                    turns.push(Turn {
                        words: format!("case {} of `{id}`", n + 1),
                        wanted: wanted.clone(),
                        leads_to: Some(Covered::Case(id.clone(), at)),
                        rounds: None,
                        begins: Begins::ByAny,
                    });
                    turns_of(&case.steps, around, &wanted, turns);
                    before.push((one, Target::Holds(false)));
                }
                let mut wanted = inner_needs.clone();
                wanted.extend(before);
                let at = u16::try_from(choose.cases.len()).unwrap_or(u16::MAX);
                turns.push(Turn {
                    words: match &choose.otherwise {
                        Some(_) => format!("`else` of `{id}`"),
                        None => format!("no case of `{id}`"),
                    },
                    wanted: wanted.clone(),
                    leads_to: Some(Covered::Case(id.clone(), at)),
                    rounds: None,
                    begins: Begins::ByAny,
                });
                if let Some(steps) = &choose.otherwise {
                    turns_of(steps, around, &wanted, turns);
                }
            }
            Verb::Each(each) => {
                let one = reading(&each.over, Aim::List, around);
                let mut lens = vec![0, 1, 3];
                if each.items_max < ITEMS_MAX {
                    lens.push(usize::from(each.items_max) + 1);
                }
                for len in lens {
                    let mut wanted = inner_needs.clone();
                    wanted.push((one.clone(), Target::Len(len)));
                    turns.push(Turn {
                        words: format!("`{id}` over {len} items"),
                        wanted,
                        leads_to: None,
                        rounds: None,
                        begins: Begins::ByAny,
                    });
                }
                let inner = inside(step, Slot::Body, around);
                turns_of(&each.steps, &inner, &inner_needs, turns);
            }
            Verb::Repeat(repeat) => {
                let inner = inside(step, Slot::Body, around);
                let until = reading(&repeat.until, Aim::Truth, &inner);
                let mut counts = Vec::new();
                if repeat.rounds_max >= 2 {
                    counts.push(Some(2));
                }
                if repeat.rounds_max < ROUNDS_MAX {
                    counts.push(None);
                }
                for enough in counts {
                    let mut wanted = inner_needs.clone();
                    wanted.push((until.clone(), Target::Holds(false)));
                    turns.push(Turn {
                        words: match enough {
                            Some(count) => format!("`{id}` goes round {count} times"),
                            None => format!("`{id}` goes round too often"),
                        },
                        wanted,
                        leads_to: None,
                        rounds: Some(Rounds {
                            depth: around.numbers,
                            enough,
                        }),
                        begins: Begins::ByAny,
                    });
                }
                turns_of(&repeat.steps, &inner, &inner_needs, turns);
            }
            Verb::Parallel(parallel) => {
                for (_, steps) in &parallel.branches {
                    turns_of(steps, around, &inner_needs, turns);
                }
            }
            Verb::Do(_)
            | Verb::Wait(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Approve(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => {}
        }
        for block in step.blocks() {
            if let Slot::OnFailure | Slot::OnTimeout | Slot::OnRefused = block.slot {
                turns_of(block.steps, around, &inner_needs, turns);
            }
        }
    }
}

/// The first case that goes on; the one after the last is `else`. The first one if none does.
pub(super) fn usual_case(choose: &Choose) -> usize {
    let goes_on = |steps: &[Step]| !steps.iter().any(breaks_off);
    let first = choose.cases.iter().position(|case| goes_on(&case.steps));
    let otherwise = choose.otherwise.as_deref().is_some_and(goes_on);
    first.unwrap_or(if otherwise { choose.cases.len() } else { 0 })
}

/// Whether a saga ends with a step.
pub(super) fn breaks_off(step: &Step) -> bool {
    matches!(step.verb, Verb::Fail(_) | Verb::End(_))
}
