//! The types of what an expression can see.

use std::collections::BTreeMap;

use super::kind::Type;

/// The types of what an expression can see. What is not known is [`Type::Any`].
#[derive(Debug, Clone, Copy)]
pub struct TypeScope<'s> {
    /// `event`
    pub event: &'s Type,
    /// `result`
    pub result: &'s Type,
    /// `failure`
    pub failure: &'s Type,
    /// `message`
    pub message: &'s Type,
    /// `vars.<name>`; what is not in it is not known.
    pub vars: &'s BTreeMap<String, Type>,
    /// The names of the `each` around it, outermost first: the last of a name counts.
    pub locals: &'s [(String, Type)],
    /// `steps.<id>`
    pub steps: &'s dyn StepTypes,
    /// Paths, as they are written, that are known not to be null.
    pub not_null: &'s [String],
}

/// The types of the outputs of steps.
pub trait StepTypes: std::fmt::Debug {
    /// The type of a step's output as it is seen from where the expression stands; null is part of
    /// it where the step may have none.
    fn output(&self, id: &str) -> Type;
}

/// Nothing is known of any step.
#[derive(Debug, Clone, Copy)]
pub struct NoTypes;

impl StepTypes for NoTypes {
    fn output(&self, _id: &str) -> Type {
        Type::Any
    }
}

impl TypeScope<'_> {
    /// A scope in which only the type of the event is known.
    pub fn of_event(event: &Type) -> TypeScope<'_> {
        static NO_VARS: BTreeMap<String, Type> = BTreeMap::new();
        TypeScope {
            event,
            result: &Type::Any,
            failure: &Type::Any,
            message: &Type::Any,
            vars: &NO_VARS,
            locals: &[],
            steps: &NoTypes,
            not_null: &[],
        }
    }

    /// The type of a name. `steps` and `vars` have none as a whole.
    pub(super) fn name(&self, name: &str) -> Type {
        match name {
            "event" => self.event.clone(),
            "key" => Type::Text,
            "now" => Type::Int,
            "result" => self.result.clone(),
            "failure" => self.failure.clone(),
            "message" => self.message.clone(),
            "steps" | "vars" => Type::Any,
            name => self
                .locals
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map_or(Type::Any, |(_, of)| of.clone()),
        }
    }
}
