//! Definitions that nobody wrote: valid, nested, of all verbs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::definition::{
    Approve, Case, Choose, Definition, Do, Each, Fail, Need, OnFailure, OtherUndo, Parallel,
    Repeat, Retry, Run, Sleep, Step, Timeout, Undo, Verb, Wait,
};
use backstitch_saga::expression::{Expression, Template};
use serde_json::{Value, json};

use crate::core_support::chance::Chance;

const STEPS_MAX: usize = 12;
const DEPTH_MAX: usize = 3;

/// Draws the steps of one definition.
struct Author<'c> {
    chance: &'c mut Chance,
    count: usize,
    /// What it may run.
    children: &'c [&'c str],
    has_pivot: bool,
    /// Steps whose outputs can be named.
    known: Vec<String>,
    vars: Vec<String>,
    items: Vec<String>,
}

/// Where a step stands.
#[derive(Clone, Copy)]
struct At {
    depth: usize,
    /// Inside parallel or each.
    beside: bool,
    /// Inside parallel, each or repeat.
    inner: bool,
    failure: bool,
}

/// A parent, and the two that it may run.
pub(super) fn family(chance: &mut Chance) -> Vec<Definition> {
    vec![
        drawn(chance, "parent", &["child", "other", "nobody"]),
        drawn(chance, "child", &["other"]),
        drawn(chance, "other", &[]),
    ]
}

/// What they are started with.
pub(super) fn event(chance: &mut Chance, now_ms: i64) -> Value {
    let lines: Vec<usize> = (0..chance.below(5)).collect();
    json!({
        "total": chance.below(200),
        "gift": chance.is_one_in(2),
        "lines": lines,
        "k": format!("k{}", chance.below(2)),
        "at": now_ms + i64::try_from(chance.below(3_000)).unwrap() - 500,
        "part": 0.1,
    })
}

fn drawn(chance: &mut Chance, name: &str, children: &[&str]) -> Definition {
    loop {
        let mut author = Author {
            chance,
            count: 0,
            children,
            has_pivot: false,
            known: Vec::new(),
            vars: Vec::new(),
            items: Vec::new(),
        };
        let at = At {
            depth: 1,
            beside: false,
            inner: false,
            failure: false,
        };
        let steps = author.steps(1, at);
        let output = author.chance.is_one_in(2).then(|| author.data(at));
        let deadline_ms = author.chance.is_one_in(5).then_some(20_000);
        let definition = Definition {
            name: name.to_owned(),
            deadline_ms,
            steps,
            output,
            ..Definition::default()
        };
        if let Ok((definition, _)) = definition.checked() {
            return definition;
        }
    }
}

thread_local! {
    /// Compiling is most of the work, and the same few are drawn again and again.
    static KNOWN: RefCell<BTreeMap<String, Expression>> = const { RefCell::new(BTreeMap::new()) };
    static TEMPLATES: RefCell<BTreeMap<String, Template>> = const { RefCell::new(BTreeMap::new()) };
}

fn logic(source: &str) -> Expression {
    KNOWN.with_borrow_mut(|known| {
        let compiled = known.entry(source.to_owned()).or_insert_with(|| {
            Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"))
        });
        compiled.clone()
    })
}

impl Author<'_> {
    fn steps(&mut self, least: usize, at: At) -> Vec<Step> {
        let count = least + self.chance.below(3);
        let mut steps = Vec::new();
        for n in 0..count {
            if self.count < STEPS_MAX || n < least {
                steps.push(self.step(at));
            }
        }
        steps
    }

    fn inner(&mut self, least: usize, at: At) -> Vec<Step> {
        let depth = at.depth + 1;
        self.steps(least, At { depth, ..at })
    }

    fn step(&mut self, at: At) -> Step {
        self.count += 1;
        let id = format!("s{}", self.count);
        let when = self.chance.is_one_in(8).then(|| self.truth(at));
        let may_nest = at.depth < DEPTH_MAX && self.count < STEPS_MAX;
        let verb = loop {
            match self.chance.below(24) {
                0..=9 => break self.work(&id, at, when.is_some()),
                10 => break self.wait(at),
                11 => break self.sleep(),
                12 if !self.children.is_empty() => break self.run(at),
                13 => break self.approve(at),
                14 => {
                    let name = format!("v{}", self.count);
                    let value = self.data(at);
                    self.vars.push(name.clone());
                    break Verb::Set(BTreeMap::from([(name, value)]));
                }
                15 if self.chance.is_one_in(3) => {
                    break Verb::Fail(Fail {
                        code: "made_up".to_owned(),
                        reason: self.chance.is_one_in(2).then(|| self.data(at)),
                    });
                }
                16 if !at.beside && self.chance.is_one_in(4) => {
                    break Verb::End(self.chance.is_one_in(2).then(|| self.data(at)));
                }
                17 | 18 if may_nest => break self.parallel(at),
                19 | 20 if may_nest => break self.choose(at),
                21 | 22 if may_nest => break self.each(at),
                23 if may_nest => break self.repeat(at),
                _ => {}
            }
        };
        let cannot_fail = matches!(verb, Verb::Set(_) | Verb::Sleep(_) | Verb::End(_));
        let on_failure = match cannot_fail {
            true => OnFailure::TurnBack,
            false => self.reaction(at),
        };
        let asks = matches!(verb, Verb::Wait(_) | Verb::Approve(_));
        let on_timeout = (asks && self.chance.is_one_in(2)).then(|| self.reaction(at));
        let is_approve = matches!(verb, Verb::Approve(_));
        let on_refused = (is_approve && self.chance.is_one_in(2)).then(|| self.reaction(at));
        let has_output = matches!(
            verb,
            Verb::Do(_) | Verb::Wait(_) | Verb::Run(_) | Verb::Approve(_)
        ) || matches!(&verb, Verb::Each(each) if each.collect.is_some());
        if has_output {
            self.known.push(id.clone());
        }
        Step {
            id,
            when,
            on_failure,
            on_timeout,
            on_refused,
            verb,
        }
    }

    fn reaction(&mut self, at: At) -> OnFailure {
        match self.chance.below(12) {
            0 | 1 => OnFailure::Ignore,
            2 => OnFailure::Park,
            3 | 4 if at.depth < DEPTH_MAX && self.count < STEPS_MAX => {
                let at = At {
                    failure: true,
                    ..at
                };
                OnFailure::Steps(self.inner(1, at))
            }
            _ => OnFailure::TurnBack,
        }
    }

    fn work(&mut self, id: &str, at: At, has_when: bool) -> Verb {
        let pivot = !at.inner && !self.has_pivot && !has_when && self.chance.is_one_in(8);
        let was_past = self.has_pivot;
        self.has_pivot |= pivot;
        let undo = match self.chance.below(10) {
            0 | 1 => Undo::Other(Box::new(OtherUndo {
                activity: format!("un{id}"),
                with: self.template(json!({ "of": "=result", "key": "=key" })),
                timeout: Timeout::of_reply(1_000),
                retry: self.retry(),
            })),
            2 => Undo::Nothing,
            3 if pivot || was_past => Undo::Absent,
            _ => Undo::Same,
        };
        Verb::Do(Do {
            activity: format!("w{id}"),
            with: self.data(at),
            undo,
            timeout: Timeout {
                start_ms: self.chance.is_one_in(10).then_some(300),
                heartbeat_ms: self.chance.is_one_in(10).then_some(400),
                total_ms: self.chance.is_one_in(10).then_some(2_500),
                ..Timeout::of_reply(1_000)
            },
            retry: self.retry(),
            pivot,
        })
    }

    fn retry(&mut self) -> Retry {
        Retry {
            attempts_max: 1 + u32::try_from(self.chance.below(3)).unwrap(),
            backoff_min_ms: 100,
            backoff_max_ms: 400,
            not: BTreeSet::from(["fatal".to_owned()]),
            ..Retry::default()
        }
    }

    fn wait(&mut self, at: At) -> Verb {
        Verb::Wait(Wait {
            topic: "news".to_owned(),
            key: logic("message.k"),
            matches: match self.chance.below(4) {
                0 => None,
                1 if !self.items.is_empty() => Some(logic("event.k + string(index)")),
                _ => Some(logic(if at.failure {
                    "failure.step"
                } else {
                    "event.k"
                })),
            },
            accept: self.chance.is_one_in(3).then(|| logic("message.good")),
            input: None,
            early_ms: 2_000,
            within_ms: (!self.chance.is_one_in(4)).then_some(3_000),
        })
    }

    fn sleep(&mut self) -> Verb {
        Verb::Sleep(match self.chance.below(3) {
            0 => Sleep::For(500),
            1 => Sleep::Until(logic("event.at")),
            _ => Sleep::Until(logic("now + 200")),
        })
    }

    fn run(&mut self, at: At) -> Verb {
        let saga = (*self.chance.of(self.children)).to_owned();
        Verb::Run(Run {
            saga,
            key: match self.chance.below(3) {
                0 => Some(logic("event.k")),
                1 if !self.items.is_empty() => Some(logic("key + '-' + string(index)")),
                _ => None,
            },
            with: if self.chance.is_one_in(2) {
                self.template(json!("=event"))
            } else {
                self.data(at)
            },
        })
    }

    fn approve(&mut self, at: At) -> Verb {
        let by = match self.chance.is_one_in(2) {
            true => BTreeSet::from(["boss".to_owned()]),
            false => BTreeSet::new(),
        };
        Verb::Approve(Approve {
            by,
            show: self.data(at),
            within_ms: self.chance.is_one_in(2).then_some(3_000),
        })
    }

    fn parallel(&mut self, at: At) -> Verb {
        let at = At {
            beside: true,
            inner: true,
            ..at
        };
        let count = 2 + self.chance.below(2);
        let branches: Vec<(String, Vec<Step>)> = (0..count)
            .map(|n| (format!("b{n}"), self.inner(1, at)))
            .collect();
        let need = match self.chance.below(3) {
            0 => Need::All,
            1 => Need::Count(1),
            _ => Need::Count(u16::try_from(1 + self.chance.below(count)).unwrap()),
        };
        Verb::Parallel(Parallel { branches, need })
    }

    fn choose(&mut self, at: At) -> Verb {
        let before = self.has_pivot;
        let cases = (0..=self.chance.below(2))
            .map(|_| Case {
                when: self.truth(at),
                steps: self.inner(0, at),
            })
            .collect();
        let otherwise = (!self.chance.is_one_in(3)).then(|| self.inner(0, at));
        let _ = before;
        Verb::Choose(Choose { cases, otherwise })
    }

    fn each(&mut self, at: At) -> Verb {
        let inner = At {
            beside: true,
            inner: true,
            ..at
        };
        let item = format!("i{}", self.count);
        let over = match self.chance.below(3) {
            0 => "[1, 2, 3]",
            1 => "event.?lines.orValue([0])",
            _ => "event.lines",
        };
        let over = logic(over);
        self.items.push(item.clone());
        let steps = self.inner(1, inner);
        let collect = self.chance.is_one_in(2).then(|| self.data(inner));
        self.items.pop();
        Verb::Each(Each {
            item,
            over,
            at_once: u16::try_from(1 + self.chance.below(3)).unwrap(),
            items_max: if self.chance.is_one_in(6) { 2 } else { 10 },
            steps,
            collect,
        })
    }

    fn repeat(&mut self, at: At) -> Verb {
        let inner = At { inner: true, ..at };
        let steps = self.inner(1, inner);
        let until = match (self.chance.below(3), self.known.last().cloned()) {
            (0, Some(id)) => format!("steps.{id}.?ok.orValue(true) == true"),
            (1, _) => "event.?gift.orValue(false)".to_owned(),
            _ => "now % 2 == 0".to_owned(),
        };
        Verb::Repeat(Repeat {
            steps,
            until: logic(&until),
            rounds_max: u16::try_from(1 + self.chance.below(3)).unwrap(),
            pause_ms: if self.chance.is_one_in(2) { 300 } else { 0 },
        })
    }

    fn truth(&mut self, at: At) -> Expression {
        let known = self.known.last().cloned();
        let item = self.items.last().cloned();
        match (self.chance.below(7), known, item) {
            (0, Some(id), _) => logic(&format!("steps.{id} != null")),
            (1, _, Some(_)) => logic("index % 2 == 0"),
            (2, _, _) if at.failure => logic("failure.kind == 'refused'"),
            (3, _, _) => logic("event.gift"),
            (4, _, _) => logic("!(event.?gift.orValue(true))"),
            (5, _, _) => logic("event.?total.orValue(7) > 60"),
            _ => logic("now % 3 != 0"),
        }
    }

    /// A document with what can be named.
    fn data(&mut self, at: At) -> Template {
        let mut fields = serde_json::Map::new();
        fields.insert("at".to_owned(), json!("=now"));
        if self.chance.is_one_in(2) {
            fields.insert("total".to_owned(), json!("=event.?total.orValue(1)"));
        }
        if self.chance.is_one_in(2)
            && let Some(id) = self.known.last()
        {
            fields.insert("step".to_owned(), json!(format!("=steps.{id}")));
        }
        if self.chance.is_one_in(3)
            && let Some(name) = self.vars.last()
        {
            let source = format!("=vars.?{name}.orValue(0.3)");
            fields.insert("var".to_owned(), json!(source));
        }
        if self.chance.is_one_in(2)
            && let Some(item) = self.items.last()
        {
            fields.insert("item".to_owned(), json!(format!("=[{item}, index]")));
        }
        if at.failure {
            fields.insert("why".to_owned(), json!("=failure.code"));
        }
        if self.chance.is_one_in(3) {
            fields.insert("part".to_owned(), json!("=double(now) * 0.1 / 3.0"));
        }
        self.template(Value::Object(fields))
    }

    fn template(&self, value: Value) -> Template {
        TEMPLATES.with_borrow_mut(|known| {
            let text = value.to_string();
            let compiled = known.entry(text);
            compiled
                .or_insert_with(|| Template::from_value(value).unwrap())
                .clone()
        })
    }
}
