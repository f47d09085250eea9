//! What all steps have, and what happens when one fails.

use super::faults::Faults;
use crate::definition::model::{
    Approve, Choose, Do, Each, Fail, OnFailure, Parallel, Repeat, Run, Sleep, Step, Verb, Wait,
};
use crate::definition::words::a_step;
use crate::expression::Expression;

/// A step of one verb.
#[derive(Debug, Clone)]
#[must_use = "a step does nothing until it is in a definition"]
pub struct StepOf<V> {
    /// Empty: given where the definition is built.
    pub(super) id: String,
    step: Common,
    pub(super) verb: V,
    pub(super) faults: Faults,
}

#[derive(Debug, Clone, Default)]
struct Common {
    when: Option<Expression>,
    on_failure: Option<OnFailure>,
    on_timeout: Option<OnFailure>,
    on_refused: Option<OnFailure>,
}

/// A step of any verb: what [`steps!`](crate::steps) makes lists of.
#[derive(Debug, Clone)]
#[must_use = "a step does nothing until it is in a definition"]
pub struct AnyStep {
    pub(super) step: Step,
    pub(super) faults: Faults,
}

/// Steps of any verbs as a list.
///
/// ```
/// use backstitch_saga::definition::builder::{act, fail, steps};
///
/// let tried = steps![act("call-customer").undo_nothing(), fail("nobody_answers")];
/// assert_eq!(tried.len(), 2);
/// ```
#[macro_export]
macro_rules! steps {
    ($($step:expr),* $(,)?) => {{
        let steps: ::std::vec::Vec<$crate::definition::builder::AnyStep> =
            ::std::vec![$($crate::definition::builder::AnyStep::from($step)),*];
        steps
    }};
}

/// What happens when a step does not end done.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reaction {
    taken: OnFailure,
    faults: Faults,
}

/// The saga turns back: the default.
pub fn turn_back() -> Reaction {
    Reaction::of(OnFailure::TurnBack)
}

/// The step itself is undone if it may have run, then the saga goes on.
pub fn ignore() -> Reaction {
    Reaction::of(OnFailure::Ignore)
}

/// The saga is set aside for a person.
pub fn park() -> Reaction {
    Reaction::of(OnFailure::Park)
}

/// The step itself is undone if it may have run, then these steps are taken, and the saga goes on.
/// They see `failure`.
pub fn take<S: Into<AnyStep>>(steps: impl IntoIterator<Item = S>) -> Reaction {
    let mut faults = Faults::default();
    let steps = listed(steps, &mut faults);
    Reaction {
        taken: OnFailure::Steps(steps),
        faults,
    }
}

impl Reaction {
    fn of(taken: OnFailure) -> Self {
        Self {
            taken,
            faults: Faults::default(),
        }
    }
}

/// The steps of a list, and what is wrong with them.
pub(super) fn listed<S: Into<AnyStep>>(
    steps: impl IntoIterator<Item = S>,
    faults: &mut Faults,
) -> Vec<Step> {
    let taken = steps.into_iter().map(|step| {
        let AnyStep {
            step,
            faults: inner,
        } = step.into();
        faults.take(inner);
        step
    });
    taken.collect()
}

impl<V> StepOf<V> {
    pub(super) fn of(verb: V) -> Self {
        Self {
            id: String::new(),
            step: Common::default(),
            verb,
            faults: Faults::default(),
        }
    }

    /// A step that its argument names.
    pub(super) fn named(name: &str, verb: V) -> Self {
        Self {
            id: name.replace('-', "_"),
            ..Self::of(verb)
        }
    }

    pub(super) fn with_faults(mut self, faults: Faults) -> Self {
        self.faults.take(faults);
        self
    }

    /// Names it in expressions, in the journal and in idempotency keys. By default what the verb
    /// names, or the verb and a number.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        if self.id.is_empty() {
            self.faults
                .push("BS0201", "id", "an id without a character");
        }
        self
    }

    /// It is skipped unless this expression holds.
    pub fn when(mut self, condition: impl AsRef<str>) -> Self {
        self.step.when = Some(self.faults.logic("when", condition.as_ref()));
        self
    }

    /// What happens when it does not end done.
    pub fn on_failure(mut self, reaction: Reaction) -> Self {
        self.step.on_failure = Some(self.reaction(reaction));
        self
    }

    fn reaction(&mut self, reaction: Reaction) -> OnFailure {
        self.faults.take(reaction.faults);
        reaction.taken
    }
}

impl StepOf<Wait> {
    /// What happens when nothing came in time; `on_failure` without it.
    pub fn on_timeout(mut self, reaction: Reaction) -> Self {
        self.step.on_timeout = Some(self.reaction(reaction));
        self
    }
}

impl StepOf<Approve> {
    /// What happens when nobody decided in time; `on_failure` without it.
    pub fn on_timeout(mut self, reaction: Reaction) -> Self {
        self.step.on_timeout = Some(self.reaction(reaction));
        self
    }

    /// What happens when it was refused; `on_failure` without it.
    pub fn on_refused(mut self, reaction: Reaction) -> Self {
        self.step.on_refused = Some(self.reaction(reaction));
        self
    }
}

impl<V> StepOf<V> {
    fn any(self, wrap: fn(V) -> Verb) -> AnyStep {
        let verb = wrap(self.verb);
        let name = if self.id.is_empty() {
            a_step(verb.name())
        } else {
            format!("the step `{}`", self.id)
        };
        let mut faults = Faults::default();
        faults.take_in(&name, self.faults);
        AnyStep {
            step: Step {
                id: self.id,
                when: self.step.when,
                on_failure: self.step.on_failure.unwrap_or(OnFailure::TurnBack),
                on_timeout: self.step.on_timeout,
                on_refused: self.step.on_refused,
                verb,
            },
            faults,
        }
    }
}

/// A step without further keys: `set`, `end`.
impl From<StepOf<Verb>> for AnyStep {
    fn from(step: StepOf<Verb>) -> Self {
        step.any(|verb| verb)
    }
}

macro_rules! any_step {
    ($($verb:ident),*) => {
        $(impl From<StepOf<$verb>> for AnyStep {
            fn from(step: StepOf<$verb>) -> Self {
                step.any(Verb::$verb)
            }
        })*
    };
}

any_step!(
    Do, Parallel, Choose, Each, Repeat, Wait, Sleep, Run, Approve, Fail
);
