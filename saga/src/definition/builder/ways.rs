//! The verbs with steps inside, and those that only change the course: `set`, `fail`, `end`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::faults::Faults;
use super::step::{AnyStep, StepOf, listed};
use crate::definition::model::{
    AT_ONCE_DEFAULT, Case, Choose, Each, Fail, ITEMS_MAX_DEFAULT, Need, Parallel,
    ROUNDS_MAX_DEFAULT, Repeat, Step, Verb,
};
use crate::expression::{Expression, Template};

/// `parallel`: goes several ways at once; each branch has a name and steps.
pub fn parallel<N: Into<String>, S: Into<AnyStep>>(
    branches: impl IntoIterator<Item = (N, Vec<S>)>,
) -> StepOf<Parallel> {
    let mut faults = Faults::default();
    let mut names = BTreeSet::new();
    let branches = branches
        .into_iter()
        .map(|(name, steps)| {
            let name = name.into();
            if !names.insert(name.clone()) {
                faults.push("BS0106", "parallel", format!("`{name}` is written twice"));
            }
            (name, listed(steps, &mut faults))
        })
        .collect();
    let need = Need::All;
    StepOf::of(Parallel { branches, need }).with_faults(faults)
}

impl StepOf<Parallel> {
    /// One branch is enough; the others are stopped and undone then.
    pub fn need_any(self) -> Self {
        self.need(1)
    }

    /// So many branches are enough; the others are stopped and undone then.
    pub fn need(mut self, branches: u16) -> Self {
        self.verb.need = Need::Count(branches);
        self
    }
}

/// A way that may be chosen.
#[derive(Debug, Clone)]
#[must_use]
pub struct CaseDraft {
    case: Case,
    faults: Faults,
}

/// A way that is taken if this expression holds.
pub fn case<S: Into<AnyStep>>(
    condition: impl AsRef<str>,
    steps: impl IntoIterator<Item = S>,
) -> CaseDraft {
    let mut faults = Faults::default();
    let case = Case {
        when: faults.logic("when", condition.as_ref()),
        steps: listed(steps, &mut faults),
    };
    CaseDraft { case, faults }
}

/// `choose`: goes the first way of which the condition holds.
pub fn choose(cases: impl IntoIterator<Item = CaseDraft>) -> StepOf<Choose> {
    let mut faults = Faults::default();
    let cases = cases
        .into_iter()
        .map(|draft| {
            faults.take(draft.faults);
            draft.case
        })
        .collect();
    let otherwise = None;
    StepOf::of(Choose { cases, otherwise }).with_faults(faults)
}

impl StepOf<Choose> {
    /// `else`: what is done where no case holds. Without it, the step fails then.
    pub fn otherwise<S: Into<AnyStep>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.verb.otherwise = Some(listed(steps, &mut self.faults));
        self
    }
}

/// An `each` that does not yet say over what.
#[derive(Debug, Clone)]
#[must_use]
pub struct EachOf {
    item: String,
}

/// An `each` that does not yet say what is done.
#[derive(Debug, Clone)]
#[must_use]
pub struct EachOver {
    item: String,
    over: Expression,
    faults: Faults,
}

/// `each`: does the same for each item of a list; names the item in expressions.
pub fn each(item: impl Into<String>) -> EachOf {
    EachOf { item: item.into() }
}

impl EachOf {
    /// The list, an expression.
    pub fn over(self, list: impl AsRef<str>) -> EachOver {
        let mut faults = Faults::default();
        EachOver {
            item: self.item,
            over: faults.logic("over", list.as_ref()),
            faults,
        }
    }
}

impl EachOver {
    /// What is done for an item.
    pub fn steps<S: Into<AnyStep>>(mut self, steps: impl IntoIterator<Item = S>) -> StepOf<Each> {
        let steps = listed(steps, &mut self.faults);
        let each = Each {
            item: self.item,
            over: self.over,
            at_once: AT_ONCE_DEFAULT,
            items_max: ITEMS_MAX_DEFAULT,
            steps,
            collect: None,
        };
        StepOf::of(each).with_faults(self.faults)
    }
}

impl StepOf<Each> {
    /// How many items are worked on side by side. Default 10.
    pub fn at_once(mut self, items: u16) -> Self {
        self.verb.at_once = items;
        self
    }

    /// How many items there may be. Default 1,000.
    pub fn most(mut self, items: u16) -> Self {
        self.verb.items_max = items;
        self
    }

    /// What an item gives; the step's output is the list of these.
    pub fn collect(mut self, value: impl Into<Value>) -> Self {
        self.verb.collect = Some(self.faults.template("collect", value));
        self
    }
}

/// A `repeat` that does not yet say when it is over.
#[derive(Debug, Clone)]
#[must_use]
pub struct Rounds {
    steps: Vec<Step>,
    faults: Faults,
}

/// `repeat`: does the same until it is enough.
pub fn repeat<S: Into<AnyStep>>(steps: impl IntoIterator<Item = S>) -> Rounds {
    let mut faults = Faults::default();
    Rounds {
        steps: listed(steps, &mut faults),
        faults,
    }
}

impl Rounds {
    /// Asked after each round, an expression; it is over when this holds.
    pub fn until(mut self, condition: impl AsRef<str>) -> StepOf<Repeat> {
        let repeat = Repeat {
            steps: self.steps,
            until: self.faults.logic("until", condition.as_ref()),
            rounds_max: ROUNDS_MAX_DEFAULT,
            pause_ms: 0,
        };
        StepOf::of(repeat).with_faults(self.faults)
    }
}

impl StepOf<Repeat> {
    /// How many rounds there may be. Default 100.
    pub fn most(mut self, rounds: u16) -> Self {
        self.verb.rounds_max = rounds;
        self
    }

    /// The wait between two rounds. Default none.
    pub fn pause(mut self, time: Duration) -> Self {
        self.verb.pause_ms = self.faults.ms("pause", time);
        self
    }
}

/// `set`: sets variables, each name under `vars` to its value.
pub fn set<N: Into<String>, T: Into<Value>>(
    values: impl IntoIterator<Item = (N, T)>,
) -> StepOf<Verb> {
    let mut faults = Faults::default();
    let mut set = BTreeMap::new();
    for (name, value) in values {
        let name = name.into();
        let template: Template = faults.template(&name, value);
        if set.insert(name.clone(), template).is_some() {
            faults.push("BS0106", "set", format!("`{name}` is written twice"));
        }
    }
    StepOf::of(Verb::Set(set)).with_faults(faults)
}

/// `fail`: fails, with this code.
pub fn fail(code: impl Into<String>) -> StepOf<Fail> {
    StepOf::of(Fail {
        code: code.into(),
        reason: None,
    })
}

impl StepOf<Fail> {
    /// Why, for people. A text that begins with `=` is an expression.
    pub fn reason(mut self, reason: impl Into<Value>) -> Self {
        self.verb.reason = Some(self.faults.template("reason", reason));
        self
    }
}

/// `end`: completes the saga here, without an output.
pub fn end() -> StepOf<Verb> {
    StepOf::of(Verb::End(None))
}

/// `end`: completes the saga here, with this output.
pub fn end_with(output: impl Into<Value>) -> StepOf<Verb> {
    let mut faults = Faults::default();
    let output = faults.template("end", output);
    // As in YAML, no output and null are one.
    let output = Some(output).filter(|output| *output != Template::Literal(Value::Null));
    StepOf::of(Verb::End(output)).with_faults(faults)
}
