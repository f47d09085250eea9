//! What has happened, or may have, before a step.

use std::collections::BTreeMap;

use crate::expression::Expression;

/// What has happened on the way to a place, on every path or on some.
#[derive(Debug, Clone, Default)]
pub(super) struct State<'d> {
    /// The steps that have run, or may have.
    pub(super) steps: BTreeMap<&'d str, Seen>,
    /// What was set, and whether on every path.
    pub(super) vars: BTreeMap<&'d str, bool>,
    pub(super) pivot: Pivot,
    /// The place and the id of the first pivot on the way.
    pub(super) pivot_at: Option<(String, &'d str)>,
    /// Paths that are not null, as expressions write them.
    pub(super) not_null: Vec<String>,
    /// The place and the id of the step after which no path goes on.
    pub(super) ended: Option<(String, &'d str)>,
}

/// Whether a step has an output that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has, on every path.
    Always,
    /// It may have none; why, in the words that follow "it may have none:".
    Maybe(&'static str),
}

/// Whether the pivot is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pivot {
    /// On no path.
    #[default]
    Never,
    /// On some.
    Maybe,
    /// On every path.
    Done,
}

impl<'d> State<'d> {
    /// What is known where two paths meet: `why` is told of what has happened on one of them only.
    pub(super) fn join(self, other: Self, why: &'static str) -> Self {
        match (&self.ended, &other.ended) {
            (Some(_), None) => return other.with_maybe(&self, why),
            (None, Some(_)) => return self.with_maybe(&other, why),
            (None, None) | (Some(_), Some(_)) => {}
        }
        let mut joined = self;
        for (id, seen) in &mut joined.steps {
            match other.steps.get(id) {
                Some(Seen::Always) => {}
                Some(maybe @ Seen::Maybe(_)) if *seen == Seen::Always => *seen = *maybe,
                Some(Seen::Maybe(_)) => {}
                None if *seen == Seen::Always => *seen = Seen::Maybe(why),
                None => {}
            }
        }
        for (id, seen) in other.steps {
            joined.steps.entry(id).or_insert(match seen {
                Seen::Always => Seen::Maybe(why),
                maybe @ Seen::Maybe(_) => maybe,
            });
        }
        for (name, sure) in &mut joined.vars {
            *sure &= other.vars.get(name).copied().unwrap_or(false);
        }
        for name in other.vars.keys() {
            joined.vars.entry(name).or_insert(false);
        }
        if joined.pivot != other.pivot {
            joined.pivot = Pivot::Maybe;
        }
        joined.pivot_at = joined.pivot_at.or(other.pivot_at);
        joined.not_null.retain(|path| other.not_null.contains(path));
        joined
    }

    /// The same, with what may be asked for though no path comes from there: it is never there.
    fn with_maybe(mut self, other: &Self, why: &'static str) -> Self {
        for id in other.steps.keys() {
            self.steps.entry(id).or_insert(Seen::Maybe(why));
        }
        for name in other.vars.keys() {
            self.vars.entry(name).or_insert(false);
        }
        self
    }

    /// What follows from a condition that holds, or that does not.
    pub(super) fn know(&mut self, condition: &Expression, holds: bool) {
        for path in condition.not_null_if(holds) {
            let step = path.strip_prefix("steps.").map(|rest| {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                rest.split_at(end).0
            });
            if let Some(seen) = step.and_then(|id| self.steps.get_mut(id)) {
                *seen = Seen::Always;
            }
            self.not_null.push(path);
        }
    }

    /// A variable gets another value.
    pub(super) fn forget_var(&mut self, name: &str) {
        let path = format!("vars.{name}");
        self.not_null.retain(|known| {
            let rest = known.strip_prefix(&path);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
    }

    /// What is new since another state has happened on some paths only.
    pub(super) fn doubt_since(&mut self, before: &Self, why: &'static str) {
        for (id, seen) in &mut self.steps {
            if *seen == Seen::Always && !before.steps.contains_key(id) {
                *seen = Seen::Maybe(why);
            }
        }
        for (name, sure) in &mut self.vars {
            *sure &= before.vars.get(name).copied().unwrap_or(false);
        }
    }
}
