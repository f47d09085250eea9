//! Fields, indexes and `has`.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};

use super::kind::Type;
use super::problem::Rule;
use super::walk::{Typer, optional_help};
use crate::nearest::nearest;

/// A fixed path as it is written, without care for `.?`; `None` for anything else.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "nothing else is part of a path"
)]
pub(super) fn path_text(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) if !name.starts_with('@') => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", path_text(&select.operand)?, select.field))
        }
        Expr::Call(CallExpr {
            func_name,
            target: None,
            args,
        }) if func_name == operators::INDEX => {
            let [operand, index] = args.as_slice() else {
                return None;
            };
            let operand = path_text(operand)?;
            match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => {
                    Some(format!("{operand}.{}", name.inner()))
                }
                Expr::Literal(LiteralValue::Int(index)) => {
                    Some(format!("{operand}[{}]", index.inner()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// What reading a field of something gives.
enum Read {
    Field(Type),
    /// There is none of that name; the names that there are.
    Unknown(Vec<String>),
    Null,
    NoParts,
}

fn read(of: &Type, name: &str) -> Read {
    match of {
        Type::Any => Read::Field(Type::Any),
        Type::Map(value) => Read::Field((**value).clone()),
        Type::Object(fields) => match fields.get(name) {
            Some(field) => Read::Field(field.clone()),
            None => Read::Unknown(fields.keys().cloned().collect()),
        },
        Type::Record(record) => match record.field(name) {
            Some(field) => Read::Field(field),
            None => Read::Unknown(record.names().into_iter().map(str::to_owned).collect()),
        },
        Type::Optional(inner) => Read::Field(optional_field(inner, name)),
        Type::Null => Read::Null,
        Type::Bool
        | Type::Int
        | Type::Uint
        | Type::Double
        | Type::Text
        | Type::Symbol(_)
        | Type::Bytes
        | Type::List(_)
        | Type::TypeName
        | Type::OneOf(_) => Read::NoParts,
    }
}

fn no_parts_help(of: &Type, holder: &str, name: &str) -> Option<String> {
    let mut types = of.alternatives().iter();
    if types.any(|of| matches!(of, Type::List(_))) {
        return Some(format!(
            "name an element, `{holder}[0].{name}`, or all of them, `{holder}.map(one, one.{name})`"
        ));
    }
    match of {
        Type::Text | Type::Symbol(_) if ["length", "len", "size"].contains(&name) => {
            Some(format!("the length of a text is `size({holder})`"))
        }
        Type::Null if holder.starts_with("steps.") => Some(
            "it never has an output; a saga that is run answers what its definition says under `output`".to_owned(),
        ),
        _ => None,
    }
}

/// Whether a value of this type has a field for sure.
fn is_there(of: &Type, name: &str) -> bool {
    let mut types = of.alternatives().iter();
    !of.is_any()
        && types.all(|of| match of {
            Type::Object(fields) => fields.contains_key(name),
            Type::Record(record) => record.requires(name),
            _ => false,
        })
}

/// A field of what may be nothing: what is not there is nothing as well.
fn optional_field(of: &Type, name: &str) -> Type {
    let mut fields = Vec::new();
    for of in of.alternatives() {
        match read(of, name) {
            Read::Field(Type::Optional(inner)) => fields.push(*inner),
            Read::Field(field) => fields.push(field),
            Read::Unknown(_) => return Type::Optional(Box::new(Type::Any)),
            Read::Null | Read::NoParts => {}
        }
    }
    if of.is_any() {
        fields.push(Type::Any);
    }
    Type::Optional(Box::new(Type::one_of(fields)))
}

impl Typer<'_> {
    /// `operand.field`
    pub(super) fn selected(&mut self, node: &IdedExpr, select: &SelectExpr) -> Type {
        if let Some(of) = self.of_scope(&select.operand, &select.field) {
            return of;
        }
        let of = self.type_of(&select.operand);
        let end = self.range(node).1;
        let start = end.saturating_sub(select.field.chars().count());
        self.field(&select.operand, &of, &select.field, (start, end))
    }

    /// `steps.id` and `vars.name`, which have no types as a whole.
    fn of_scope(&self, operand: &IdedExpr, name: &str) -> Option<Type> {
        let Expr::Ident(root) = &operand.expr else {
            return None;
        };
        match root.as_str() {
            "steps" => Some(self.scope.steps.output(name)),
            "vars" => Some(self.scope.vars.get(name).cloned().unwrap_or(Type::Any)),
            _ => None,
        }
    }

    fn field(
        &mut self,
        operand: &IdedExpr,
        of: &Type,
        name: &str,
        (start, end): (usize, usize),
    ) -> Type {
        if of.is_any() {
            return Type::Any;
        }
        let mut fields = Vec::new();
        let mut known: Option<Vec<String>> = None;
        for of in of.alternatives() {
            match read(of, name) {
                Read::Field(field) => fields.push(field),
                Read::Unknown(names) => known.get_or_insert_default().extend(names),
                Read::Null | Read::NoParts => {}
            }
        }
        if fields.is_empty() {
            let (from, to) = self.range(operand);
            let holder = path_text(operand).unwrap_or_else(|| self.text(from, to));
            match known {
                Some(names) => {
                    let help = field_help(name, &names);
                    let message = format!("`{holder}` has no field `{name}`");
                    self.problem_at(Rule::UnknownField, start, end, message, help);
                }
                None => {
                    let message = format!("`{holder}` is {of} and has no field `{name}`");
                    let help = no_parts_help(of, &holder, name);
                    self.problem_at(Rule::NoParts, start, end, message, help);
                }
            }
            return Type::Any;
        }
        if of.may_be_null() {
            self.may_be_null_before(operand, name);
        }
        // Of several records only some may have it: which one it is, nobody knows before.
        if known.is_some() {
            return Type::Any;
        }
        Type::one_of(fields)
    }

    fn may_be_null_before(&mut self, operand: &IdedExpr, name: &str) {
        let help = path_text(operand).map(|path| {
            format!("write `{path}.?{name}` to get null instead, or ask `{path} != null` first")
        });
        self.may_be_null_with(operand, help);
    }

    /// `has(operand.field)`
    pub(super) fn tested(&mut self, select: &SelectExpr) -> Type {
        if self.of_scope(&select.operand, &select.field).is_some() {
            return Type::Bool;
        }
        let of = self.type_of(&select.operand);
        self.maybe(&select.operand, &of, &select.field, "`has` is always false");
        Type::Bool
    }

    /// A field that is allowed to be missing.
    fn maybe(&mut self, operand: &IdedExpr, of: &Type, name: &str, so: &str) {
        if of.is_any() {
            return;
        }
        let mut known = Vec::new();
        let mut parts = false;
        for of in of.alternatives() {
            match read(of, name) {
                Read::Field(_) => return,
                Read::Unknown(names) => {
                    parts = true;
                    known.extend(names);
                }
                Read::Null => parts = true,
                Read::NoParts => {}
            }
        }
        let (from, to) = self.range(operand);
        let holder = path_text(operand).unwrap_or_else(|| self.text(from, to));
        if !parts {
            let message = format!("`{holder}` is {of} and has no field `{name}`");
            self.problem_at(Rule::NoParts, from, to, message, None);
            return;
        }
        // A schema does not say that there is nothing else: only what looks misspelt is told.
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        if let Some(near) = nearest(name, &names) {
            let message = format!("`{holder}` has no field `{name}`: {so}");
            let help = format!("did you mean `{near}`?");
            self.problem_at(Rule::SameAnswer, from, to, message, Some(help));
        }
    }

    /// `operand[index]`, and `operand.?field` and `operand[?index]`.
    pub(super) fn indexed(
        &mut self,
        node: &IdedExpr,
        operand: &IdedExpr,
        index: &IdedExpr,
        optional: bool,
    ) -> Type {
        let name = match &index.expr {
            Expr::Literal(LiteralValue::String(name)) => Some(name.inner().to_owned()),
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => None,
        };
        if let Some(name) = &name
            && let Some(of) = self.of_scope(operand, name)
        {
            return if optional {
                Type::Optional(Box::new(of))
            } else {
                of
            };
        }
        let of = self.type_of(operand);
        match (name, optional) {
            (Some(name), true) => {
                let plain = match &of {
                    Type::Optional(inner) => (**inner).clone(),
                    of => of.clone(),
                };
                self.maybe(operand, &plain, &name, "there is never anything");
                if !matches!(of, Type::Optional(_)) && is_there(&plain, &name) {
                    self.there = Some(node.id);
                }
                optional_field(&plain, &name)
            }
            (Some(name), false) => {
                let range = self.range(index);
                self.field(operand, &of, &name, range)
            }
            (None, true) => {
                self.type_of(index);
                Type::Optional(Box::new(Type::Any))
            }
            (None, false) => self.element(node, operand, &of, index),
        }
    }

    fn element(
        &mut self,
        node: &IdedExpr,
        operand: &IdedExpr,
        of: &Type,
        index: &IdedExpr,
    ) -> Type {
        let at = self.type_of(index);
        if of.is_any() {
            return Type::Any;
        }
        let number = matches!(at, Type::Any | Type::Int | Type::Uint | Type::Double) || at.is_any();
        let text = matches!(at, Type::Any | Type::Text | Type::Symbol(_)) || at.is_any();
        let several = matches!(at, Type::OneOf(_));
        let mut elements = Vec::new();
        for of in of.alternatives() {
            match of {
                Type::List(item) if number || several => elements.push((**item).clone()),
                Type::Map(value) if text || several => elements.push((**value).clone()),
                Type::Object(_) | Type::Record(_) if text || several => elements.push(Type::Any),
                Type::Any => elements.push(Type::Any),
                Type::Optional(_) => elements.push(Type::Optional(Box::new(Type::Any))),
                Type::Null
                | Type::Bool
                | Type::Int
                | Type::Uint
                | Type::Double
                | Type::Text
                | Type::Symbol(_)
                | Type::Bytes
                | Type::List(_)
                | Type::Map(_)
                | Type::Object(_)
                | Type::Record(_)
                | Type::TypeName
                | Type::OneOf(_) => {}
            }
        }
        if elements.is_empty() {
            let (from, to) = self.range(operand);
            let holder = path_text(operand).unwrap_or_else(|| self.text(from, to));
            let has_parts = of.alternatives().iter().any(|of| {
                matches!(
                    of,
                    Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Record(_)
                )
            });
            let message = if has_parts {
                format!("`{holder}` is {of}, and {at} is no index of it")
            } else {
                format!("`{holder}` is {of} and has no elements")
            };
            self.problem(Rule::NoParts, node, message, optional_help(of));
            return Type::Any;
        }
        if of.may_be_null() {
            self.may_be_null(operand);
        }
        if at.may_be_null() {
            self.may_be_null(index);
        }
        Type::one_of(elements)
    }
}

fn field_help(name: &str, names: &[String]) -> Option<String> {
    const SHOWN_MAX: usize = 12;
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(near) = nearest(name, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    if known.is_empty() {
        return Some("it has no fields".to_owned());
    }
    let shown: Vec<String> = known
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = match known.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("it has {}{more}", shown.join(", ")))
}
