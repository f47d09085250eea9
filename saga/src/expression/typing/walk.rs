//! From the syntax tree to a type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, SourceInfo, operators,
};

use super::access::path_text;
use super::kind::Type;
use super::known;
use super::problem::{Rule, TypeProblem};
use super::scope::TypeScope;
use crate::expression::compile::{ENV, Expression, is_type};

impl Expression {
    /// The type of its value, as far as the types of what it sees tell, and what may go wrong.
    ///
    /// Without a type that is known nothing is found. A problem that is no warning is one that each
    /// evaluation meets that comes to that part.
    pub fn type_in(&self, scope: &TypeScope<'_>) -> (Type, Vec<TypeProblem>) {
        let Ok((tree, places)) = ENV.parser().parse_with_source_info(self.source()) else {
            // It was parsed when it was compiled.
            return (Type::Any, Vec::new());
        };
        let mut typer = Typer {
            scope: *scope,
            source: self.source().chars().collect(),
            places: &places,
            bound: Vec::new(),
            not_null: scope.not_null.to_vec(),
            told: BTreeSet::new(),
            problems: Vec::new(),
            there: None,
        };
        let mut of = typer.type_of(&tree);
        // As a whole it is its value, and not a value or nothing.
        if typer.there == Some(tree.id)
            && let Type::Optional(inner) = of
        {
            of = *inner;
        }
        let mut problems = typer.problems;
        problems.sort_by_key(|problem| (problem.offset, problem.rule));
        (of, problems)
    }
}

pub(super) struct Typer<'t> {
    pub(super) scope: TypeScope<'t>,
    source: Vec<char>,
    places: &'t SourceInfo,
    /// Variables of the comprehensions around.
    bound: Vec<(String, Type)>,
    /// Paths that are known not to be null here.
    pub(super) not_null: Vec<String>,
    /// Paths of which it was said that they may be null.
    told: BTreeSet<String>,
    problems: Vec<TypeProblem>,
    /// The latest `.?field` of which it is known that the field is there.
    pub(super) there: Option<u64>,
}

impl Typer<'_> {
    pub(super) fn type_of(&mut self, node: &IdedExpr) -> Type {
        let of = self.any_type_of(node);
        if of.may_be_null() && path_text(node).is_some_and(|path| self.not_null.contains(&path)) {
            return of.not_null();
        }
        of
    }

    fn any_type_of(&mut self, node: &IdedExpr) -> Type {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => Type::Any,
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.of_name(name),
            Expr::Select(select) if select.test => self.tested(select),
            Expr::Select(select) => self.selected(node, select),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => {
                let items: Vec<Type> = list.elements.iter().map(|e| self.type_of(e)).collect();
                if list.optional_indices.is_empty() {
                    Type::List(Box::new(Type::one_of(items)))
                } else {
                    Type::List(Box::new(Type::Any))
                }
            }
            Expr::Map(map) => self.of_map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    pub(super) fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|(known, _)| known == name)
    }

    fn of_name(&self, name: &str) -> Type {
        if let Some((_, of)) = self.bound.iter().rev().find(|(known, _)| known == name) {
            return of.clone();
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if is_type(name) {
            return Type::TypeName;
        }
        self.scope.name(name)
    }

    fn of_map(&mut self, map: &MapExpr) -> Type {
        let mut fields = BTreeMap::new();
        let mut closed = true;
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Type::Any;
            };
            self.type_of(&entry.key);
            let value = self.type_of(&entry.value);
            match &entry.key.expr {
                Expr::Literal(LiteralValue::String(name)) if !entry.optional => {
                    fields.insert(name.inner().to_owned(), value);
                }
                Expr::Unspecified
                | Expr::Call(_)
                | Expr::Comprehension(_)
                | Expr::Ident(_)
                | Expr::List(_)
                | Expr::Literal(_)
                | Expr::Map(_)
                | Expr::Select(_)
                | Expr::Struct(_) => closed = false,
            }
        }
        if closed {
            Type::Object(Arc::new(fields))
        } else {
            Type::Any
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Type {
        let args = call.args.as_slice();
        if let Some(target) = &call.target {
            let namespace = matches!(&target.expr, Expr::Ident(name) if name == "optional");
            if namespace && !self.is_bound("optional") {
                return self.function(node, &format!("optional.{}", call.func_name), None, args);
            }
            return self.function(node, &call.func_name, Some(target), args);
        }
        match (call.func_name.as_str(), args) {
            (operators::LOGICAL_AND, [left, right]) => self.both(left, right, "&&", true),
            (operators::LOGICAL_OR, [left, right]) => self.both(left, right, "||", false),
            (operators::LOGICAL_NOT, [inner]) => {
                self.boolean(inner, "`!` takes a boolean");
                Type::Bool
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.boolean(condition, "a condition must be true or false");
                let yes = self.knowing(known::not_null(condition, true), yes);
                let no = self.knowing(known::not_null(condition, false), no);
                Type::one_of([yes, no])
            }
            (operators::INDEX, [operand, index]) => self.indexed(node, operand, index, false),
            (operators::OPT_INDEX | operators::OPT_SELECT, [operand, index]) => {
                self.indexed(node, operand, index, true)
            }
            (operators::NOT_STRICTLY_FALSE, _) => Type::Bool,
            (name, args) => match super::operators::symbol(name) {
                Some(symbol) => self.operator(node, symbol, args),
                None => self.function(node, name, None, args),
            },
        }
    }

    fn both(&mut self, left: &IdedExpr, right: &IdedExpr, symbol: &str, and: bool) -> Type {
        let told = format!("`{symbol}` takes booleans");
        self.boolean(left, &told);
        let known = known::not_null(left, and);
        let len = self.not_null.len();
        self.not_null.extend(known);
        self.boolean(right, &told);
        self.not_null.truncate(len);
        Type::Bool
    }

    fn knowing(&mut self, not_null: Vec<String>, node: &IdedExpr) -> Type {
        let len = self.not_null.len();
        self.not_null.extend(not_null);
        let of = self.type_of(node);
        self.not_null.truncate(len);
        of
    }

    fn boolean(&mut self, node: &IdedExpr, rule: &str) {
        let of = self.type_of(node);
        if of.is_any() {
            return;
        }
        let may = of
            .alternatives()
            .iter()
            .any(|of| matches!(of, Type::Bool | Type::Any));
        if !may {
            self.problem(
                Rule::Operands,
                node,
                format!("{rule}, and this is {of}"),
                optional_help(&of),
            );
        } else if of.may_be_null() {
            self.may_be_null(node);
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type {
        let range = &comprehension.iter_range;
        let item = self.item_of(range);
        let kept = kept_by_filter(range, &comprehension.iter_var);
        let accumulated = self.type_of(&comprehension.accu_init);
        let bound = self.bound.len();
        if let Some(second) = &comprehension.iter_var2 {
            self.bound.push((comprehension.iter_var.clone(), Type::Any));
            self.bound.push((second.clone(), Type::Any));
        } else {
            self.bound.push((comprehension.iter_var.clone(), item));
        }
        self.bound
            .push((comprehension.accu_var.clone(), accumulated.clone()));
        let step = self.knowing(kept, &comprehension.loop_step);
        self.bound.pop();
        self.bound.push((
            comprehension.accu_var.clone(),
            Type::one_of([accumulated, step]),
        ));
        let result = self.type_of(&comprehension.result);
        self.bound.truncate(bound);
        result
    }

    /// The type of what a comprehension over this goes through.
    fn item_of(&mut self, range: &IdedExpr) -> Type {
        let of = self.type_of(range);
        if of.is_any() {
            return Type::Any;
        }
        let mut items = Vec::new();
        for of in of.alternatives() {
            match of {
                Type::List(item) => items.push((**item).clone()),
                Type::Map(_) | Type::Object(_) | Type::Record(_) => items.push(Type::Text),
                Type::Any => items.push(Type::Any),
                Type::Null
                | Type::Bool
                | Type::Int
                | Type::Uint
                | Type::Double
                | Type::Text
                | Type::Symbol(_)
                | Type::Bytes
                | Type::Optional(_)
                | Type::TypeName
                | Type::OneOf(_) => {}
            }
        }
        if items.is_empty() {
            let message = format!("a list or a map is gone through, and this is {of}");
            self.problem(Rule::Operands, range, message, optional_help(&of));
            return Type::Any;
        }
        if of.may_be_null() {
            self.may_be_null(range);
        }
        Type::one_of(items)
    }

    /// Says, once for each path, that something may be null.
    pub(super) fn may_be_null(&mut self, node: &IdedExpr) {
        self.may_be_null_with(node, None);
    }

    /// The same with another way out.
    pub(super) fn may_be_null_with(&mut self, node: &IdedExpr, help: Option<String>) {
        let text = path_text(node);
        let (start, end) = self.range(node);
        let shown = text.clone().unwrap_or_else(|| self.text(start, end));
        if !self.told.insert(shown.clone()) {
            return;
        }
        let ask = || format!("ask first, `{shown} != null && …` or `{shown} != null ? … : …`");
        let help = help.unwrap_or_else(ask);
        self.problem(
            Rule::MayBeNull,
            node,
            format!("`{shown}` may be null, which is an error here"),
            Some(help),
        );
    }

    pub(super) fn problem(
        &mut self,
        rule: Rule,
        node: &IdedExpr,
        message: String,
        help: Option<String>,
    ) {
        let (start, end) = self.range(node);
        self.problem_at(rule, start, end, message, help);
    }

    pub(super) fn problem_at(
        &mut self,
        rule: Rule,
        start: usize,
        end: usize,
        message: String,
        help: Option<String>,
    ) {
        let problem = TypeProblem {
            rule,
            offset: start,
            len: end.saturating_sub(start).max(1),
            message,
            help,
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn text(&self, start: usize, end: usize) -> String {
        self.source
            .get(start..end)
            .map(|chars| chars.iter().collect())
            .unwrap_or_default()
    }

    /// Where a node's own token stands: for a field and a call, what follows the operand.
    pub(super) fn token(&self, node: &IdedExpr) -> Option<(usize, usize)> {
        let (start, stop) = self.places.offset_for(node.id)?;
        let (start, stop) = (usize::try_from(start).ok()?, usize::try_from(stop).ok()?);
        (start <= stop && stop < self.source.len()).then_some((start, stop + 1))
    }

    /// From the first character of a node to the one after its last, brackets around it left out.
    pub(super) fn range(&self, node: &IdedExpr) -> (usize, usize) {
        let mut range: Option<(usize, usize)> = None;
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if let Some((mut start, mut end)) = self.token(node) {
                if let Expr::Select(select) = &node.expr
                    && !select.test
                {
                    end = self.end_of_name(end, &select.field);
                }
                // The token of a function is its bracket.
                if let Expr::Call(call) = &node.expr
                    && call.target.is_none()
                {
                    let len = call.func_name.chars().count();
                    let name = start.saturating_sub(len);
                    if self.text(name, start) == call.func_name {
                        start = name;
                    }
                }
                range = Some(match range {
                    Some((first, last)) => (first.min(start), last.max(end)),
                    None => (start, end),
                });
            }
            children(node, &mut open);
        }
        let (start, mut end) = range.unwrap_or((0, self.source.len()));
        // The bracket that closes an index or a call has no node.
        let opened = |open, close| {
            let count = |c| self.source[start..end].iter().filter(|x| **x == c).count();
            count(open) > count(close)
        };
        for (open, close) in [('[', ']'), ('(', ')')] {
            if opened(open, close)
                && let Some(at) = self.source[end..].iter().position(|c| *c == close)
                && self.source[end..end + at].iter().all(|c| c.is_whitespace())
            {
                end += at + 1;
                break;
            }
        }
        (start, end)
    }

    /// Where a name ends that follows a point.
    fn end_of_name(&self, after: usize, name: &str) -> usize {
        let len = name.chars().count();
        let rest = self.source.get(after..).unwrap_or_default();
        let blank = rest
            .iter()
            .take_while(|c| c.is_whitespace() || **c == '?')
            .count();
        (after + blank + len).min(self.source.len())
    }
}

/// What to do about an optional value where a plain one is asked for.
pub(super) fn optional_help(of: &Type) -> Option<String> {
    of.alternatives()
        .iter()
        .any(|of| matches!(of, Type::Optional(_)))
        .then(|| "say what counts where there is none: `….orValue(0)`".to_owned())
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

fn children<'n>(node: &'n IdedExpr, open: &mut Vec<&'n IdedExpr>) {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => {}
        Expr::Select(select) => open.push(&select.operand),
        Expr::Call(call) => {
            open.extend(call.target.as_deref());
            open.extend(&call.args);
        }
        Expr::List(list) => open.extend(&list.elements),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    open.push(&entry.key);
                    open.push(&entry.value);
                }
            }
        }
        Expr::Comprehension(comprehension) => {
            open.push(&comprehension.iter_range);
            open.push(&comprehension.loop_step);
        }
    }
}

/// What is known not to be null of the elements that a `filter` keeps, as paths of another variable.
fn kept_by_filter(range: &IdedExpr, variable: &str) -> Vec<String> {
    let Expr::Comprehension(filter) = &range.expr else {
        return Vec::new();
    };
    let Expr::Call(step) = &filter.loop_step.expr else {
        return Vec::new();
    };
    let (true, Some(condition)) = (step.func_name == operators::CONDITIONAL, step.args.first())
    else {
        return Vec::new();
    };
    known::not_null(condition, true)
        .into_iter()
        .filter_map(|path| {
            let rest = path.strip_prefix(filter.iter_var.as_str())?;
            Some(format!("{variable}{rest}"))
        })
        .collect()
}
