//! Running an expression.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cel::common::types::{CelBool, CelList, CelMap, CelMapKey, CelOptional, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError};
use serde_json::Value;

use super::compile::{ENV, Expression, IN_ORDER, NO_MAP, Program, SPEND, Slot, SlotKind, slot_of};
use super::error::EvaluationError;
use super::limits::LOOP_COST_MAX;
use super::scope::Scope;
use super::value::{cost, from_cel, kind, to_cel};

impl Expression {
    /// Returns its value.
    ///
    /// # Errors
    ///
    /// If a field is missing, types do not fit, a number overflows, a limit is reached, or the
    /// result has no JSON. The same documents always give the same answer.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match &self.0.program {
            Program::Path(path) => path
                .find(scope)
                .map(|found| found.map_or(Value::Null, Cow::into_owned)),
            Program::Cel { .. } => self.run(scope, |result| {
                cel::Value::try_from(result)
                    .map_err(|error| tell(&error))
                    .and_then(|value| from_cel(&value))
            }),
        }
        .map_err(|reason| self.failed(reason))
    }

    /// Returns whether it holds.
    ///
    /// # Errors
    ///
    /// As [`Expression::evaluate`], and if the value is not a boolean.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        match &self.0.program {
            Program::Path(path) => path.find(scope).and_then(|found| match found.as_deref() {
                Some(Value::Bool(truth)) => Ok(*truth),
                Some(other) => Err(not_a_boolean(match other {
                    Value::Number(_) => "a number",
                    Value::String(_) => "a string",
                    Value::Array(_) => "a list",
                    Value::Object(_) => "an object",
                    Value::Null | Value::Bool(_) => "null",
                })),
                None => Err(not_a_boolean("null")),
            }),
            Program::Cel { .. } => self.run(scope, |result| {
                result
                    .downcast_ref::<CelBool>()
                    .map(|truth| *truth.inner())
                    .ok_or_else(|| not_a_boolean(result.get_type().name()))
            }),
        }
        .map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: String) -> EvaluationError {
        EvaluationError {
            expression: self.source().to_owned(),
            at: String::new(),
            reason,
        }
    }

    fn run<T>(
        &self,
        scope: &Scope<'_>,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let Program::Cel { tree, slots, loops } = &self.0.program else {
            return Err("the expression is a path".to_owned());
        };
        let lookup = Lookup {
            scope: *scope,
            slots,
            found: slots.iter().map(|_| OnceLock::new()).collect(),
        };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&lookup);
        if *loops {
            let left = AtomicU64::new(LOOP_COST_MAX);
            context
                .add_function(SPEND, move |element: cel::Value| spend(&left, &element))
                .expect("no function of the library begins with `@`");
        }
        match cel::Value::resolve_val(tree, &context) {
            Ok(result) => read(result.as_ref()),
            Err(ExecutionError::UndeclaredReference(name)) => Err(slot_of(&name)
                .and_then(|slot| lookup.reason(slot))
                .unwrap_or_else(|| format!("`{name}` is not known"))),
            Err(error) => Err(tell(&error)),
        }
    }
}

fn not_a_boolean(kind: &str) -> String {
    format!("it must be true or false, and is {kind}")
}

/// What the tree reads, looked up when it is read, and once.
struct Lookup<'s, 'a> {
    scope: Scope<'a>,
    slots: &'s [Slot],
    found: Vec<OnceLock<Option<Box<dyn Val + 'a>>>>,
}

impl<'a> Lookup<'_, 'a> {
    fn find(&self, slot: &Slot) -> Result<Box<dyn Val + 'a>, String> {
        match slot.kind {
            SlotKind::IsThere => {
                let there = slot.path.is_there(&self.scope)?;
                Ok(Box::new(CelBool::from(there)))
            }
            SlotKind::Value => {
                let found = slot.path.find(&self.scope)?;
                if slot.path.optional_from.is_none() {
                    return Ok(to_cel(found.unwrap_or(Cow::Owned(Value::Null))));
                }
                Ok(Box::new(match found {
                    Some(value) => CelOptional::of(to_cel(value)),
                    None => CelOptional::none(),
                }))
            }
        }
    }

    /// Why the tree could not read something.
    fn reason(&self, slot: usize) -> Option<String> {
        self.slots.get(slot).and_then(|slot| self.find(slot).err())
    }
}

impl VariableResolver for Lookup<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let position = slot_of(variable)?;
        let slot = self.slots.get(position)?;
        self.found
            .get(position)?
            .get_or_init(|| self.find(slot).ok())
            .as_deref()
            .map(CowVal::Borrowed)
    }
}

/// Adds what the compiled trees call.
pub(super) fn add_functions(env: &mut Env) {
    env.add_overload(IN_ORDER, "in_order", vec![DYN_TYPE], in_order)
        .expect("it is added once");
    env.add_overload(NO_MAP, "no_map", vec![DYN_TYPE], no_map)
        .expect("it is added once");
}

fn no_map<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match args.pop() {
        None => Err(ExecutionError::missing_argument_or_target()),
        Some(value) if value.downcast_ref::<CelMap<'v>>().is_some() => {
            Err(ExecutionError::function_error("+", "a map cannot be added"))
        }
        Some(value) => Ok(value),
    }
}

fn in_order<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(range) = args.pop() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let Some(map) = range.downcast_ref::<CelMap<'v>>() else {
        return Ok(range);
    };
    let mut keys: Vec<&CelMapKey<'v>> = map.inner().keys().collect();
    keys.sort();
    let keys: Vec<Box<dyn Val + 'v>> = keys
        .into_iter()
        .map(|key| key.inner().clone_as_boxed())
        .collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

fn spend(left: &AtomicU64, element: &cel::Value) -> Result<bool, ExecutionError> {
    let cost = cost(element);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(cost)
    })
    .map(|_| true)
    .map_err(|_| {
        ExecutionError::function_error(
            SPEND,
            format!("its comprehensions go through more than {LOOP_COST_MAX} elements and bytes"),
        )
    })
}

/// Says what went wrong without the contents of maps: those have no order, and this text goes into
/// the journal.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is open, and what is left carries no values"
)]
fn tell(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => format!("there is no field `{name}`"),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        ExecutionError::FunctionError { function, message } if function == SPEND => message.clone(),
        ExecutionError::FunctionError { function, message } => {
            let words: Vec<&str> = message.split_whitespace().collect();
            format!("`{function}`: {}", words.join(" "))
        }
        ExecutionError::UnsupportedTargetType { target } => {
            format!("this cannot be done with a {}", kind(target))
        }
        ExecutionError::NotSupportedAsMethod { method, target } => {
            format!("a {} has no method `{method}`", kind(target))
        }
        ExecutionError::UnsupportedKeyType(key) => format!("a {} cannot be a key", kind(key)),
        ExecutionError::UnexpectedType { got, want } => format!("expected {want}, got {got}"),
        ExecutionError::NoSuchOverload(overload) => {
            let function = overload.function();
            format!(
                "`{}` is not defined for ({})",
                symbol(function),
                overload.argument_types().join(", ")
            )
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("a {} cannot be compared with a {}", kind(left), kind(right))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!(
                "`{}` is not defined for ({}, {})",
                symbol(operator),
                kind(left),
                kind(right)
            )
        }
        ExecutionError::UnsupportedIndex(index, value) => {
            format!("a {} cannot be an index of a {}", kind(index), kind(value))
        }
        ExecutionError::DivisionByZero(_) => "a division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "a remainder by zero".to_owned(),
        ExecutionError::Overflow(operator, left, right) => {
            format!(
                "`{}` overflows for ({}, {})",
                symbol(operator),
                kind(left),
                kind(right)
            )
        }
        ExecutionError::IndexOutOfBounds(index) => {
            format!("there is no element {}", kind(index))
        }
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments and was given {actual}")
        }
        ExecutionError::MissingArgumentOrTarget => "an argument is missing".to_owned(),
        _ => "the expression cannot be evaluated".to_owned(),
    }
}

/// An operator as it is written.
fn symbol(function: &str) -> &str {
    match function {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_[_]" => "[]",
        other => other.trim_matches('_').trim_start_matches('@'),
    }
}
