//! The paths through the verbs that hold steps.

use super::checker::Checker;
use super::flow::Around;
use super::state::{Pivot, Seen, State};
use crate::definition::blocks::Slot;
use crate::definition::model::{Choose, Each, Need, Parallel, Repeat, Step};
use crate::definition::place::place_of_block;
use crate::definition::walk;
use crate::expression::Type;

impl<'c> Checker<'c> {
    pub(super) fn parallel(
        &mut self,
        parallel: &'c Parallel,
        place: &str,
        state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        let mut ends = Vec::new();
        for (n, (name, steps)) in parallel.branches.iter().enumerate() {
            let slot = Slot::Branch(u16::try_from(n).unwrap_or(u16::MAX), name);
            let block = place_of_block(place, slot);
            let around = Around {
                next: None,
                ..around.clone()
            };
            ends.push(self.sequence(steps, &block, state.clone(), &around));
        }
        let count = ends.len();
        let needed = match parallel.need {
            Need::All => count,
            Need::Count(need) => usize::from(need).min(count),
        };
        let mut after = state;
        for end in &ends {
            for (id, seen) in &end.steps {
                let seen = match seen {
                    Seen::Always if needed < count => Seen::Maybe("not every branch must finish"),
                    seen => *seen,
                };
                after.steps.entry(id).or_insert(seen);
            }
        }
        // A variable is set for sure if it is in each set of branches that is enough.
        let names: Vec<&'c str> = ends
            .iter()
            .flat_map(|end| end.vars.keys().copied())
            .collect();
        for name in names {
            let set = ends.iter().filter(|end| end.vars.get(name) == Some(&true));
            let sure = set.count() + needed > count;
            let known = after.vars.entry(name).or_insert(false);
            *known |= sure;
        }
        let stopped = ends.iter().filter(|end| end.ended.is_some()).count();
        if count - stopped < needed {
            after.ended = ends.into_iter().find_map(|end| end.ended);
        }
        after
    }

    pub(super) fn choose(
        &mut self,
        choose: &'c Choose,
        place: &str,
        state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        const WHY: &str = "it is in one case of a `choose`";
        let mut left = state;
        let mut taken: Option<String> = None;
        let mut after: Option<State<'c>> = None;
        for (n, case) in choose.cases.iter().enumerate() {
            let place_of_case = format!("{place}.choose[{n}]");
            if let Some(by) = &taken {
                self.never_taken(&place_of_case, by);
            }
            let when = format!("{place_of_case}.when");
            let at = self.at(place, &left, around);
            self.condition(&case.when, &when, &at);
            match case.when.source() {
                "true" => {
                    let span = self.places.span(&when);
                    let by = match span.line {
                        0 => format!("case {}", n + 1),
                        line => format!("line {line}"),
                    };
                    taken.get_or_insert(by);
                }
                "false" => self.never_holds(&when),
                _ => {}
            }
            let mut state = left.clone();
            state.know(&case.when, true);
            let slot = Slot::Case(u16::try_from(n).unwrap_or(u16::MAX));
            let end = self.sequence(&case.steps, &place_of_block(place, slot), state, around);
            after = Some(match after {
                None => end,
                Some(after) => after.join(end, WHY),
            });
            left.know(&case.when, false);
        }
        if let Some(steps) = &choose.otherwise {
            let slot = Slot::Otherwise(u16::try_from(choose.cases.len()).unwrap_or(u16::MAX));
            let block = place_of_block(place, slot);
            if let Some(by) = &taken {
                self.never_taken(&block, by);
            }
            let end = self.sequence(steps, &block, left.clone(), around);
            after = Some(match after {
                None => end,
                Some(after) => after.join(end, WHY),
            });
        }
        after.unwrap_or(left)
    }

    fn never_taken(&mut self, place: &str, by: &str) {
        let diagnostic = self
            .places
            .warning(
                "BS0211",
                self.places.span(place),
                "this case is never taken".to_owned(),
            )
            .with_note(format!(
                "the condition of another before it always holds ({by})"
            ))
            .with_help("leave it out, or put it before the other");
        self.push(diagnostic);
    }

    fn never_holds(&mut self, place: &str) {
        let diagnostic = self
            .places
            .warning(
                "BS0211",
                self.places.span(place),
                "this case is never taken: its condition never holds".to_owned(),
            )
            .with_help("leave the case out");
        self.push(diagnostic);
    }

    pub(super) fn each(
        &mut self,
        step: &'c Step,
        each: &'c Each,
        place: &str,
        state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        let at = self.at(place, &state, around);
        let item = self.over(&each.over, &format!("{place}.over"), &at);
        let mut inner = Around {
            next: None,
            ..around.clone()
        };
        inner.locals.push((each.item.clone(), item));
        inner.locals.push(("index".to_owned(), Type::Int));
        let block = place_of_block(place, Slot::Body);
        let mut end = self.sequence(&each.steps, &block, state.clone(), &inner);
        if let Some(collect) = &each.collect {
            let mut at = self.at(place, &end, &inner);
            at.position = self.index.inside(place);
            self.template(collect, &format!("{place}.collect"), &at);
            let of = self.type_of_template(collect, &at);
            self.collected.insert(&step.id, Type::List(Box::new(of)));
        }
        // There may be no items at all.
        end.doubt_since(&state, "there may be no items");
        end.ended = None;
        end.not_null = state.not_null;
        if each.collect.is_some() {
            end.steps.insert(&step.id, Seen::Always);
        }
        end
    }

    pub(super) fn repeat(
        &mut self,
        step: &'c Step,
        repeat: &'c Repeat,
        place: &str,
        state: State<'c>,
        around: &Around,
    ) -> State<'c> {
        let mut round = state.clone();
        let mut inner_vars: Vec<&'c str> = Vec::new();
        walk(&repeat.steps, &mut |inner| {
            if has_output(inner) {
                round
                    .steps
                    .entry(&inner.id)
                    .or_insert(Seen::Maybe("it has not run in the first round"));
            }
            if let crate::definition::model::Verb::Set(set) = &inner.verb {
                inner_vars.extend(set.keys().map(String::as_str));
            }
        });
        for name in inner_vars {
            round.forget_var(name);
            round.vars.entry(name).or_insert(false);
        }
        let inner = Around {
            next: None,
            ..around.clone()
        };
        let block = place_of_block(place, Slot::Body);
        let mut end = self.sequence(&repeat.steps, &block, round, &inner);
        let until = format!("{place}.until");
        let mut at = self.at(place, &end, &inner);
        at.position = self.index.inside(place);
        self.condition(&repeat.until, &until, &at);
        if repeat.until.source() == "false" {
            let diagnostic = self
                .places
                .warning(
                    "BS0211",
                    self.places.span(&until),
                    "the rounds never come to an end".to_owned(),
                )
                .with_note(format!(
                    "after {} of them the step fails with `too_many_rounds`",
                    repeat.rounds_max
                ))
                .with_help("say what must hold after the last round");
            self.push(diagnostic);
            end.ended = Some((place.to_owned(), &step.id));
        }
        end.know(&repeat.until, true);
        // No pivot is inside.
        end.pivot = match state.pivot {
            Pivot::Never => end.pivot,
            pivot => pivot,
        };
        end
    }
}

/// Whether something can be read of a step.
pub(super) fn has_output(step: &Step) -> bool {
    use crate::definition::model::Verb;
    match &step.verb {
        Verb::Do(_) | Verb::Wait(_) | Verb::Run(_) | Verb::Approve(_) => true,
        Verb::Each(each) => each.collect.is_some(),
        Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Repeat(_)
        | Verb::Sleep(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => false,
    }
}
