//! What a condition says about null.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::access::path_text;
use crate::expression::compile::{ENV, Expression};

impl Expression {
    /// The paths, as they are written (`event.coupon`), that are not null if the expression holds,
    /// or if it does not.
    pub fn not_null_if(&self, holds: bool) -> Vec<String> {
        ENV.parser()
            .parse(self.source())
            .map(|tree| not_null(&tree, holds))
            .unwrap_or_default()
    }
}

/// The paths that are not null where a condition holds, or where it does not.
pub(super) fn not_null(condition: &IdedExpr, holds: bool) -> Vec<String> {
    let mut paths = Vec::new();
    collect(condition, holds, &mut paths);
    paths
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "nothing else says anything about null"
)]
fn collect(condition: &IdedExpr, holds: bool, paths: &mut Vec<String>) {
    match &condition.expr {
        Expr::Select(select) if select.test && holds => {
            paths.extend(path_text(&select.operand));
            // `has(steps.x)`: there is no `steps` without a step.
            if matches!(&select.operand.expr, Expr::Ident(name) if name == "steps") {
                paths.push(format!("steps.{}", select.field));
            }
        }
        Expr::Call(CallExpr {
            func_name, args, ..
        }) => match (func_name.as_str(), args.as_slice()) {
            (operators::LOGICAL_NOT, [inner]) => collect(inner, !holds, paths),
            (operators::LOGICAL_AND, [left, right]) if holds => {
                collect(left, holds, paths);
                collect(right, holds, paths);
            }
            (operators::LOGICAL_OR, [left, right]) if !holds => {
                collect(left, holds, paths);
                collect(right, holds, paths);
            }
            (operators::EQUALS, [left, right]) => compared(left, right, holds, paths),
            (operators::NOT_EQUALS, [left, right]) => compared(left, right, !holds, paths),
            _ => {}
        },
        _ => {}
    }
}

/// Two sides that are equal, or are not.
fn compared(left: &IdedExpr, right: &IdedExpr, equal: bool, paths: &mut Vec<String>) {
    for (side, other) in [(left, right), (right, left)] {
        let side = named(side);
        let is_null = matches!(&other.expr, Expr::Literal(LiteralValue::Null));
        let is_value = matches!(&other.expr, Expr::Literal(_)) && !is_null || is_type_name(other);
        if equal && is_value || !equal && is_null {
            paths.extend(path_text(side));
        }
    }
}

/// `type(x)` speaks of `x`.
fn named(side: &IdedExpr) -> &IdedExpr {
    if let Expr::Call(CallExpr {
        func_name,
        target: None,
        args,
    }) = &side.expr
        && func_name == "type"
        && let Some(inner) = args.first()
    {
        inner
    } else {
        side
    }
}

fn is_type_name(other: &IdedExpr) -> bool {
    const NAMES: [&str; 7] = ["bool", "int", "uint", "double", "string", "list", "map"];
    matches!(&other.expr, Expr::Ident(name) if NAMES.contains(&name.as_str()))
}
