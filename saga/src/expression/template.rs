//! Documents with expressions in them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compile::Expression;
use super::error::{EvaluationError, ExpressionError};
use super::scope::Scope;

/// A document in which strings that begin with `=` are expressions.
///
/// A string that begins with `==` is the text after the first `=`: `==5` is the text `=5`.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Is itself. A document without expressions is one literal.
    Literal(Value),
    /// Is what the expression gives.
    Expression(Expression),
    /// Is an object with these fields.
    Object(BTreeMap<String, Template>),
    /// Is a list of these elements.
    List(Vec<Template>),
}

impl Template {
    /// The empty object: what workers are given when nothing is written.
    pub fn empty() -> Self {
        Self::Literal(Value::Object(serde_json::Map::new()))
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// The first expression that is none.
    pub fn from_value(value: Value) -> Result<Self, ExpressionError> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(items) => items
                .into_iter()
                .map(Self::from_value)
                .collect::<Result<_, _>>()
                .map(Self::list),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, field)| Ok((name, Self::from_value(field)?)))
                .collect::<Result<_, _>>()
                .map(Self::object),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Self::Literal(value)),
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    ///
    /// If it begins with one `=` and what follows is no expression.
    pub fn from_text(text: String) -> Result<Self, ExpressionError> {
        match text.strip_prefix('=') {
            None => Ok(Self::Literal(Value::String(text))),
            Some(escaped) if escaped.starts_with('=') => {
                Ok(Self::Literal(Value::String(escaped.to_owned())))
            }
            Some(source) => Expression::compile(source)
                .map(Self::Expression)
                .map_err(|error| ExpressionError {
                    offset: error.offset.map(|offset| offset + 1),
                    ..error
                }),
        }
    }

    /// A list; one literal if its elements are.
    pub fn list(items: Vec<Self>) -> Self {
        if !items.iter().all(Self::is_literal) {
            return Self::List(items);
        }
        Self::Literal(items.into_iter().filter_map(Self::into_literal).collect())
    }

    /// An object; one literal if its fields are.
    pub fn object(fields: BTreeMap<String, Self>) -> Self {
        if !fields.values().all(Self::is_literal) {
            return Self::Object(fields);
        }
        let fields = fields
            .into_iter()
            .filter_map(|(name, field)| field.into_literal().map(|field| (name, field)));
        Self::Literal(Value::Object(fields.collect()))
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn into_literal(self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Expression(_) | Self::Object(_) | Self::List(_) => None,
        }
    }

    /// Returns the document with the values of its expressions.
    ///
    /// # Errors
    ///
    /// The first expression that has no value, and where it stands.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(scope),
            Self::Object(fields) => fields
                .iter()
                .map(|(name, field)| {
                    let value = field.evaluate(scope);
                    Ok((
                        name.clone(),
                        value.map_err(|e| within(e, &format!(".{name}")))?,
                    ))
                })
                .collect::<Result<_, _>>()
                .map(Value::Object),
            Self::List(items) => items
                .iter()
                .enumerate()
                .map(|(n, item)| {
                    let value = item.evaluate(scope);
                    value.map_err(|e| within(e, &format!("[{n}]")))
                })
                .collect::<Result<_, _>>()
                .map(Value::Array),
        }
    }

    /// The expressions in it, in order of place.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            while let Some(template) = open.pop() {
                match template {
                    Self::Literal(_) => {}
                    Self::Expression(expression) => return Some(expression),
                    Self::Object(fields) => open.extend(fields.values().rev()),
                    Self::List(items) => open.extend(items.iter().rev()),
                }
            }
            None
        })
    }
}

fn within(error: EvaluationError, outer: &str) -> EvaluationError {
    EvaluationError {
        at: format!("{outer}{}", error.at),
        ..error
    }
}
