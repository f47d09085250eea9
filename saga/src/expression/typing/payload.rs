//! Whether a template fits a schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::kind::Type;
use super::scope::TypeScope;
use crate::contract::{Kind, Schema, TypeId};
use crate::expression::Template;
use crate::nearest::nearest;

/// A place of a template that does not fit a schema, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadProblem {
    /// Where in the template, e.g. `.lines[0].sku`; empty at its top.
    pub at: String,
    /// Whether it is the key of the field at this place that is wrong.
    pub is_key: bool,
    /// What is wrong, in a sentence without its full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether it may fit all the same.
    pub is_warning: bool,
}

impl Template {
    /// The type of the document, as far as the types of what its expressions see tell.
    pub fn type_in(&self, scope: &TypeScope<'_>) -> Type {
        match self {
            Self::Literal(value) => Type::of_value(value),
            Self::Expression(expression) => expression.type_in(scope).0.as_result(),
            Self::Object(fields) => Type::Object(Arc::new(
                fields
                    .iter()
                    .map(|(name, field)| (name.clone(), field.type_in(scope)))
                    .collect(),
            )),
            Self::List(items) => Type::List(Box::new(Type::one_of(
                items.iter().map(|item| item.type_in(scope)),
            ))),
        }
    }

    /// Returns where its documents do not fit a schema, or may not.
    ///
    /// Fields that the schema does not have count as misspelt, though documents with them would be
    /// let pass: what is written here is written for this schema.
    pub fn misfits(&self, schema: &Arc<Schema>, scope: &TypeScope<'_>) -> Vec<PayloadProblem> {
        let mut holder = Holder {
            schema,
            scope,
            found: Vec::new(),
        };
        holder.template(self, schema.root(), "");
        holder.found
    }
}

struct Holder<'h> {
    schema: &'h Arc<Schema>,
    scope: &'h TypeScope<'h>,
    found: Vec<PayloadProblem>,
}

/// How a type goes with a schema's.
enum Fit {
    Always,
    /// All but null.
    UnlessNull,
    Never,
}

impl Holder<'_> {
    fn problem(&mut self, at: &str, message: String) -> &mut PayloadProblem {
        self.found.push(PayloadProblem {
            at: at.to_owned(),
            is_key: false,
            message,
            help: None,
            is_warning: false,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn template(&mut self, template: &Template, id: TypeId, at: &str) {
        match template {
            Template::Literal(value) => self.literal(value, id, at),
            Template::Expression(expression) => {
                let of = expression.type_in(self.scope).0.as_result();
                self.value(&of, id, at);
            }
            Template::Object(fields) => {
                let Some(id) = self.only(id, |kind| {
                    matches!(kind, Kind::Record { .. } | Kind::Map(_) | Kind::Duration)
                }) else {
                    return self.wrong_sort("an object", id, at);
                };
                let parts = fields.iter().map(|(name, field)| (name.as_str(), field));
                self.object(&parts.collect(), id, at, Self::template);
            }
            Template::List(items) => match self.only(id, |kind| matches!(kind, Kind::Array(_))) {
                Some(list) => {
                    if let Kind::Array(of) = self.schema.kind(list) {
                        for (n, item) in items.iter().enumerate() {
                            self.template(item, *of, &format!("{at}[{n}]"));
                        }
                    }
                }
                None => self.wrong_sort("a list", id, at),
            },
        }
    }

    /// A literal object or list is looked at part by part, as a template is: it is written here too.
    fn literal(&mut self, value: &Value, id: TypeId, at: &str) {
        match value {
            Value::Object(fields) => {
                let is_object = |kind: &Kind| matches!(kind, Kind::Record { .. } | Kind::Map(_));
                match self.only(id, is_object) {
                    Some(id) => {
                        let parts = fields.iter().map(|(name, field)| (name.as_str(), field));
                        self.object(&parts.collect(), id, at, Self::literal);
                    }
                    None => self.whole(value, id, at),
                }
            }
            Value::Array(items) => match self.only(id, |kind| matches!(kind, Kind::Array(_))) {
                Some(list) => {
                    if let Kind::Array(of) = self.schema.kind(list) {
                        for (n, item) in items.iter().enumerate() {
                            self.literal(item, *of, &format!("{at}[{n}]"));
                        }
                    }
                }
                None => self.whole(value, id, at),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.whole(value, id, at);
            }
        }
    }

    fn whole(&mut self, value: &Value, id: TypeId, at: &str) {
        if let Some(misfit) = self.schema.misfit_of(value, id) {
            let place = format!("{at}{}", misfit.at);
            let shown = shown(&place);
            self.problem(&place, format!("{shown} {}", misfit.reason));
        }
    }

    /// The one type of a union, or the type itself, for which something holds. A union with several
    /// such is not told apart here: it gives none, and nothing is said of it.
    fn only(&self, id: TypeId, holds: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        match self.schema.kind(id) {
            Kind::Union(branches) => {
                let mut near = branches
                    .iter()
                    .copied()
                    .filter(|branch| holds(self.schema.kind(*branch)));
                near.next().filter(|_| near.next().is_none())
            }
            kind => holds(kind).then_some(id),
        }
    }

    fn wrong_sort(&mut self, sort: &str, id: TypeId, at: &str) {
        let kind = self.schema.kind(id);
        // Several branches may take it: which one, only the document tells.
        if let Kind::Union(branches) = kind
            && branches.iter().any(|branch| {
                matches!(
                    self.schema.kind(*branch),
                    Kind::Record { .. } | Kind::Map(_) | Kind::Array(_) | Kind::Duration
                )
            })
        {
            return;
        }
        let told = kind.tell();
        let shown = shown(at);
        self.problem(at, format!("{shown} is {sort}, and must be {told}"));
    }

    fn object<T>(
        &mut self,
        parts: &BTreeMap<&str, T>,
        id: TypeId,
        at: &str,
        part: fn(&mut Self, T, TypeId, &str),
    ) where
        T: Copy,
    {
        let schema = Arc::clone(self.schema);
        match schema.kind(id) {
            Kind::Map(of) => {
                for (name, value) in parts {
                    part(self, *value, *of, &format!("{at}.{name}"));
                }
            }
            Kind::Record { name, fields, .. } => {
                let record = name.rsplit('.').next().unwrap_or(name);
                let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                let unknown = parts.keys().filter(|name| !known.contains(name));
                // What is misspelt is not missing as well.
                let meant: Vec<&str> = unknown.filter_map(|name| nearest(name, &known)).collect();
                for field in fields {
                    match parts.get(field.name.as_str()) {
                        Some(value) => {
                            part(self, *value, field.of, &format!("{at}.{}", field.name));
                        }
                        None if field.default.is_some() => {}
                        None if meant.contains(&field.name.as_str()) => {}
                        None => {
                            let of = schema.kind(field.of).tell();
                            let doc = field.doc.as_ref().map(|doc| format!(": {doc}"));
                            let message =
                                format!("`{}` is missing, which `{record}` must have", field.name);
                            let help = format!("it is {of}{}", doc.unwrap_or_default());
                            self.problem(at, message).help = Some(help);
                        }
                    }
                }
                for name in parts.keys().filter(|name| !known.contains(name)) {
                    let help = match nearest(name, &known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("it has {}", known.join(", ")),
                    };
                    let problem = self.problem(
                        &format!("{at}.{name}"),
                        format!("`{record}` has no field `{name}`"),
                    );
                    problem.help = Some(help);
                    problem.is_key = true;
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, of: &Type, id: TypeId, at: &str) {
        let told = match self.schema.kind(id) {
            Kind::Union(branches) => {
                let told: Vec<String> = branches
                    .iter()
                    .map(|branch| self.schema.kind(*branch).tell())
                    .collect();
                told.join(" or ")
            }
            kind => kind.tell(),
        };
        let shown = shown(at);
        match self.fit(of, id, 0) {
            Fit::Always => {}
            Fit::UnlessNull => {
                let message = format!("{shown} may be null, and must be {told}");
                let problem = self.problem(at, message);
                problem.is_warning = true;
                problem.help = Some(
                    "say what counts instead of null, or ask first: `… != null ? … : …`".to_owned(),
                );
            }
            Fit::Never => {
                self.problem(at, format!("{shown} is {of}, and must be {told}"));
            }
        }
    }

    fn fit(&self, of: &Type, id: TypeId, depth: usize) -> Fit {
        const DEPTH_MAX: usize = 16;
        if of.is_any() || depth > DEPTH_MAX {
            return Fit::Always;
        }
        let mut fits = false;
        let mut null_fails = false;
        for of in of.alternatives() {
            let fit = match self.schema.kind(id) {
                Kind::Union(branches) => branches
                    .iter()
                    .any(|branch| self.one_fits(of, *branch, depth)),
                _ => self.one_fits(of, id, depth),
            };
            fits |= fit;
            null_fails |= !fit && *of == Type::Null;
        }
        match (fits, null_fails) {
            (false, _) => Fit::Never,
            (true, true) => Fit::UnlessNull,
            (true, false) => Fit::Always,
        }
    }

    /// Whether one alternative may fit.
    fn one_fits(&self, of: &Type, id: TypeId, depth: usize) -> bool {
        let may = |of: &Type, id| !matches!(self.fit(of, id, depth + 1), Fit::Never);
        match (of, self.schema.kind(id)) {
            (Type::Any, _)
            | (Type::Null, Kind::Null)
            | (Type::Bool, Kind::Boolean)
            | (Type::Int | Type::Uint, Kind::Int | Kind::Long | Kind::Float | Kind::Double)
            | (Type::Double, Kind::Float | Kind::Double)
            | (
                Type::Text,
                Kind::String
                | Kind::Uuid
                | Kind::Bytes
                | Kind::Fixed { .. }
                | Kind::Decimal { .. }
                | Kind::Enum { .. },
            )
            | (Type::Symbol(_), Kind::String)
            | (Type::Bytes, Kind::String | Kind::Bytes | Kind::Fixed { .. })
            | (Type::Map(_) | Type::Object(_) | Type::Record(_), Kind::Duration) => true,
            (Type::Symbol(known), Kind::Enum { symbols, .. }) => {
                known.iter().any(|symbol| symbols.contains(symbol))
            }
            (Type::List(of), Kind::Array(id)) => may(of, *id),
            (Type::Map(of), Kind::Map(id)) => may(of, *id),
            (Type::Map(_), Kind::Record { .. }) => true,
            (Type::Object(fields), Kind::Map(id)) => fields.values().all(|of| may(of, *id)),
            (Type::Object(known), Kind::Record { fields, .. }) => {
                fields.iter().all(|field| match known.get(&field.name) {
                    Some(of) => may(of, field.of),
                    None => field.default.is_some(),
                })
            }
            (Type::Record(record), Kind::Map(id)) => record
                .names()
                .iter()
                .all(|name| record.field(name).is_none_or(|of| may(&of, *id))),
            (Type::Record(record), Kind::Record { fields, .. }) => {
                fields.iter().all(|field| match record.field(&field.name) {
                    Some(of) => may(&of, field.of),
                    None => field.default.is_some(),
                })
            }
            _ => false,
        }
    }
}

fn shown(at: &str) -> String {
    if at.is_empty() {
        "what is sent".to_owned()
    } else {
        format!("`{}`", at.trim_start_matches('.'))
    }
}
