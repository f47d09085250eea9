//! Random definitions: all verbs, inside each other, with every way to end. Not all of them would pass `check`; all of
//! them can be drawn.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::Definition;
use backstitch_saga::definition::{
    Approve, Case, Choose, Do, Each, Fail, Need, OnFailure, OtherUndo, Parallel, Repeat, Retry,
    Run, Sleep, StartRule, Step, Timeout, Undo, Verb, Wait,
};
use backstitch_saga::expression::{Expression, Template};

/// The same seed gives the same definition.
pub(super) fn random_definition(seed: u64) -> Definition {
    let mut chance = Chance {
        state: seed,
        ids: 0,
        budget: 30,
    };
    let steps = chance.steps(0, 1);
    Definition {
        name: format!("random-{seed}"),
        hash: String::new(),
        source: String::new(),
        files: BTreeMap::new(),
        start: (0..chance.below(5))
            .map(|n| StartRule {
                topic: format!("topic-{n}"),
                when: chance.maybe_expression(),
                key: chance.expression(),
            })
            .collect(),
        input: None,
        activities: BTreeMap::new(),
        tags: BTreeMap::new(),
        deadline_ms: chance.one_in(2).then_some(3_600_000),
        steps,
        output: None,
    }
}

struct Chance {
    state: u64,
    ids: u64,
    /// Steps that may still be made.
    budget: u64,
}

impl Chance {
    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn name(&mut self) -> String {
        let names = [
            "a",
            "charge-payment",
            "hold-seats-for-all-passengers-of-the-group",
            "x-y",
        ];
        let name = names[usize::try_from(self.below(4)).unwrap()];
        name.to_owned()
    }

    fn expression(&mut self) -> Expression {
        let sources = [
            "event.a",
            "event.total > 1000 && event.address.country in [\"DE\", \"FR\"] && vars.limit < event.total",
            "event.name == \"<&>\"",
        ];
        Expression::compile(sources[usize::try_from(self.below(3)).unwrap()]).unwrap()
    }

    fn maybe_expression(&mut self) -> Option<Expression> {
        self.one_in(3).then(|| self.expression())
    }

    fn steps(&mut self, depth: u32, count_min: u64) -> Vec<Step> {
        let count = count_min + self.below(4);
        let mut steps = Vec::new();
        for _ in 0..count {
            if self.budget == 0 && steps.len() as u64 >= count_min {
                break;
            }
            steps.push(self.step(depth));
        }
        steps
    }

    fn step(&mut self, depth: u32) -> Step {
        self.budget = self.budget.saturating_sub(1);
        self.ids += 1;
        let id = format!("{}_{}", self.name().replace('-', "_"), self.ids);
        let verb = self.verb(depth);
        Step {
            id,
            when: self.maybe_expression(),
            on_failure: self.reaction(depth),
            on_timeout: self.one_in(4).then(|| self.reaction(depth)),
            on_refused: self.one_in(6).then(|| self.reaction(depth)),
            verb,
        }
    }

    fn reaction(&mut self, depth: u32) -> OnFailure {
        match self.below(8) {
            0 => OnFailure::Ignore,
            1 => OnFailure::Park,
            2 if depth < 4 => OnFailure::Steps(self.steps(depth + 1, 1)),
            _ => OnFailure::TurnBack,
        }
    }

    fn verb(&mut self, depth: u32) -> Verb {
        let kinds = if depth < 4 && self.budget > 0 { 16 } else { 12 };
        match self.below(kinds) {
            0..=4 => Verb::Do(self.work()),
            5 => Verb::Wait(Wait {
                topic: self.name(),
                key: self.expression(),
                matches: self.maybe_expression(),
                accept: self.maybe_expression(),
                input: None,
                early_ms: 0,
                within_ms: self.one_in(2).then_some(60_000),
            }),
            6 => Verb::Sleep(match self.one_in(2) {
                true => Sleep::For(1_500),
                false => Sleep::Until(self.expression()),
            }),
            7 => Verb::Run(Run {
                saga: self.name(),
                key: self.maybe_expression(),
                with: Template::empty(),
            }),
            8 => Verb::Approve(Approve {
                by: (0..self.below(4)).map(|n| format!("role-{n}")).collect(),
                show: Template::empty(),
                within_ms: self.one_in(2).then_some(60_000),
            }),
            9 => Verb::Set(BTreeMap::from([(self.name(), Template::empty())])),
            10 => Verb::Fail(Fail {
                code: "no_money".to_owned(),
                reason: None,
            }),
            11 => Verb::End(None),
            12 => {
                let count = 2 + self.below(2);
                Verb::Parallel(Parallel {
                    branches: (0..count)
                        .map(|n| (format!("branch_{n}"), self.steps(depth + 1, 1)))
                        .collect(),
                    need: if self.one_in(2) {
                        Need::All
                    } else {
                        Need::Count(1)
                    },
                })
            }
            13 => Verb::Choose(Choose {
                cases: (0..=self.below(3))
                    .map(|_| Case {
                        when: self.expression(),
                        steps: self.steps(depth + 1, 0),
                    })
                    .collect(),
                otherwise: self.one_in(2).then(|| self.steps(depth + 1, 0)),
            }),
            14 => Verb::Each(Each {
                item: "line".to_owned(),
                over: self.expression(),
                at_once: 10,
                items_max: 1_000,
                steps: self.steps(depth + 1, 1),
                collect: None,
            }),
            _ => Verb::Repeat(Repeat {
                steps: self.steps(depth + 1, 1),
                until: self.expression(),
                rounds_max: 3,
                pause_ms: 1_000,
            }),
        }
    }

    fn work(&mut self) -> Do {
        let undo = match self.below(6) {
            0 => Undo::Nothing,
            1 => Undo::Absent,
            2 => Undo::Other(Box::new(OtherUndo {
                activity: self.name(),
                with: Template::empty(),
                timeout: Timeout::of_reply(5_000),
                retry: Retry::default(),
            })),
            _ => Undo::Same,
        };
        Do {
            activity: self.name(),
            with: Template::empty(),
            undo,
            timeout: Timeout {
                heartbeat_ms: self.one_in(4).then_some(1_000),
                ..Timeout::of_reply(30_000)
            },
            retry: Retry {
                not: BTreeSet::new(),
                ..Retry::default()
            },
            pivot: self.one_in(12),
        }
    }
}
