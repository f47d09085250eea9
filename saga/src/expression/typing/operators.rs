//! Operators.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};

use super::kind::Type;
use super::problem::Rule;
use super::walk::{Typer, optional_help};
use crate::nearest::nearest;

/// An operator as it is written, if it is one that takes values.
pub(super) fn symbol(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::SUBSTRACT | operators::NEGATE => "-",
        operators::ADD => "+",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::GREATER_EQUALS => ">=",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::LESS => "<",
        operators::IN => "in",
        _ => return None,
    })
}

/// What an operator gives; `None` where it is not defined. None of the types is one of several.
fn applied(symbol: &str, given: &[&Type]) -> Option<Type> {
    match (symbol, given) {
        ("-", [of]) => match of {
            Type::Any | Type::Int | Type::Double => Some((*of).clone()),
            _ => None,
        },
        ("+" | "-" | "*" | "/" | "%", [left, right]) => arithmetic(symbol, left, right),
        ("<" | "<=" | ">" | ">=", [left, right]) => {
            let number =
                |of: &Type| matches!(of, Type::Any | Type::Int | Type::Uint | Type::Double);
            let text = |of: &Type| matches!(of, Type::Any | Type::Text | Type::Symbol(_));
            let same = |of: fn(&Type) -> bool| of(left) && of(right);
            let comparable = number(left) && number(right)
                || text(left) && text(right)
                || same(|of| matches!(of, Type::Any | Type::Bool))
                || same(|of| matches!(of, Type::Any | Type::Bytes));
            comparable.then_some(Type::Bool)
        }
        ("in", [of, holder]) => match holder {
            Type::Any | Type::List(_) => Some(Type::Bool),
            Type::Map(_) | Type::Object(_) | Type::Record(_) => {
                let a_key = matches!(
                    of,
                    Type::Any
                        | Type::Bool
                        | Type::Int
                        | Type::Uint
                        | Type::Double
                        | Type::Text
                        | Type::Symbol(_)
                );
                a_key.then_some(Type::Bool)
            }
            _ => None,
        },
        _ => Some(Type::Any),
    }
}

fn arithmetic(symbol: &str, left: &Type, right: &Type) -> Option<Type> {
    match (left, right) {
        (Type::Any, Type::Any) => Some(Type::Any),
        (Type::Any, known) | (known, Type::Any) => {
            let may = match known {
                Type::Int | Type::Uint => true,
                Type::Double => symbol != "%",
                Type::Text | Type::Symbol(_) | Type::Bytes | Type::List(_) => symbol == "+",
                _ => false,
            };
            may.then_some(Type::Any)
        }
        (Type::Int, Type::Int) => Some(Type::Int),
        (Type::Uint, Type::Uint) => Some(Type::Uint),
        (Type::Double, Type::Double) if symbol != "%" => Some(Type::Double),
        (Type::Text | Type::Symbol(_), Type::Text | Type::Symbol(_)) if symbol == "+" => {
            Some(Type::Text)
        }
        (Type::Bytes, Type::Bytes) if symbol == "+" => Some(Type::Bytes),
        (Type::List(left), Type::List(right)) if symbol == "+" => {
            let both = [(**left).clone(), (**right).clone()];
            Some(Type::List(Box::new(Type::one_of(both))))
        }
        _ => None,
    }
}

/// Whether two values can ever be equal. None of the types is one of several.
fn may_equal(left: &Type, right: &Type) -> bool {
    let group = |of: &Type| match of {
        Type::Any | Type::OneOf(_) => 0,
        Type::Null => 1,
        Type::Bool => 2,
        Type::Int | Type::Uint | Type::Double => 3,
        Type::Text | Type::Symbol(_) => 4,
        Type::Bytes => 5,
        Type::List(_) => 6,
        Type::Map(_) | Type::Object(_) | Type::Record(_) => 7,
        Type::Optional(_) => 8,
        Type::TypeName => 9,
    };
    let (left, right) = (group(left), group(right));
    left == 0 || right == 0 || left == right
}

impl Typer<'_> {
    pub(super) fn operator(&mut self, node: &IdedExpr, symbol: &str, args: &[IdedExpr]) -> Type {
        let given: Vec<Type> = args.iter().map(|arg| self.type_of(arg)).collect();
        match (symbol, args, given.as_slice()) {
            ("==" | "!=", [left, right], [of_left, of_right]) => {
                self.equality(node, symbol, (left, of_left), (right, of_right));
                Type::Bool
            }
            _ => {
                if let ("in", [left, right], [of_left, _]) = (symbol, args, given.as_slice()) {
                    self.symbols_in(left, of_left, right);
                }
                self.resolve(node, symbol, args.iter().collect(), &given, |given| {
                    applied(symbol, given)
                })
            }
        }
    }

    /// Applies an operator or a function to each combination of what its arguments may be.
    pub(super) fn resolve(
        &mut self,
        node: &IdedExpr,
        name: &str,
        args: Vec<&IdedExpr>,
        given: &[Type],
        apply: impl Fn(&[&Type]) -> Option<Type>,
    ) -> Type {
        const COMBINATIONS_MAX: usize = 200;
        let alternatives: Vec<Vec<&Type>> = given
            .iter()
            .map(|of| match of {
                of if of.is_any() => vec![&Type::Any],
                of => of.alternatives().iter().collect(),
            })
            .collect();
        let count: usize = alternatives.iter().map(Vec::len).product();
        if count > COMBINATIONS_MAX {
            return Type::Any;
        }
        let mut results = Vec::new();
        let mut null_fails = vec![false; given.len()];
        for mut n in 0..count {
            let chosen: Vec<&Type> = alternatives
                .iter()
                .map(|of| {
                    let one = of[n % of.len()];
                    n /= of.len();
                    one
                })
                .collect();
            match apply(&chosen) {
                Some(of) => results.push(of),
                None => {
                    for (fails, of) in null_fails.iter_mut().zip(&chosen) {
                        *fails |= **of == Type::Null;
                    }
                }
            }
        }
        if results.is_empty() {
            let told: Vec<String> = given.iter().map(ToString::to_string).collect();
            let message = format!("`{name}` is not defined for {}", told.join(" and "));
            let help = given
                .iter()
                .find_map(optional_help)
                .or_else(|| mixed_help(name, given));
            self.problem(Rule::Operands, node, message, help);
            return Type::Any;
        }
        for ((fails, arg), of) in null_fails.into_iter().zip(args).zip(given) {
            if fails && of.may_be_null() {
                self.may_be_null(arg);
            }
        }
        Type::one_of(results)
    }

    fn equality(
        &mut self,
        node: &IdedExpr,
        symbol: &str,
        (left, of_left): (&IdedExpr, &Type),
        (right, of_right): (&IdedExpr, &Type),
    ) {
        if of_left.is_any() || of_right.is_any() {
            return;
        }
        let always = if symbol == "==" { "false" } else { "true" };
        let may = of_left.alternatives().iter().any(|left| {
            let right = of_right.alternatives();
            right.iter().any(|right| may_equal(left, right))
        });
        let optional = |of: &Type| matches!(of, Type::Optional(_));
        // To ask for null where there is none is care, not a mistake.
        let asks_null = *of_left == Type::Null || *of_right == Type::Null;
        if !may && (!asks_null || optional(of_left) || optional(of_right)) {
            let message = format!("{of_left} never equals {of_right}: this is always {always}");
            let help = if optional(of_left) || optional(of_right) {
                Some("say what counts where there is none: `….orValue(null)`".to_owned())
            } else {
                None
            };
            self.problem(Rule::SameAnswer, node, message, help);
        }
        self.symbol_of(of_left, right, &format!("this is always {always}"));
        self.symbol_of(of_right, left, &format!("this is always {always}"));
    }

    fn symbols_in(&mut self, left: &IdedExpr, of: &Type, holder: &IdedExpr) {
        let _ = left;
        if let Expr::List(list) = &holder.expr {
            for element in &list.elements {
                self.symbol_of(of, element, "it is never found");
            }
        }
    }

    /// Whether a text that is compared with symbols is one of them.
    fn symbol_of(&mut self, of: &Type, text: &IdedExpr, so: &str) {
        let Expr::Literal(LiteralValue::String(text_value)) = &text.expr else {
            return;
        };
        let mut symbols: Vec<&str> = Vec::new();
        for of in of.alternatives() {
            match of {
                Type::Symbol(known) => symbols.extend(known.iter().map(String::as_str)),
                Type::Null => {}
                _ => return,
            }
        }
        let written = text_value.inner();
        if symbols.is_empty() || symbols.contains(&written) {
            return;
        }
        let help = match nearest(written, &symbols) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it may be {}", symbols.join(", ")),
        };
        let message = format!("`{written}` is none of the symbols that this may be: {so}");
        self.problem(Rule::SameAnswer, text, message, Some(help));
    }
}

/// What to do about an int and a double.
fn mixed_help(name: &str, given: &[Type]) -> Option<String> {
    let [left, right] = given else { return None };
    let is = |of: &Type, wanted: &Type| of.alternatives().iter().any(|of| of == wanted);
    if is(left, &Type::Text) != is(right, &Type::Text) {
        match name {
            "+" => return Some("write `string(…)` around what is no string".to_owned()),
            "<" | "<=" | ">" | ">=" => {
                return Some(
                    "compare numbers with numbers: `100` is one, `\"100\"` is a text, and `int(…)` makes one of a text"
                        .to_owned(),
                );
            }
            _ => {}
        }
    }
    let numbers = [Type::Int, Type::Uint, Type::Double];
    let a_number = |of: &Type| numbers.iter().any(|number| is(of, number));
    if !a_number(left) || !a_number(right) {
        return None;
    }
    Some(if is(left, &Type::Double) || is(right, &Type::Double) {
        "an int and a double do not mix: write `double(…)` around the int, or `2.0` for `2`"
            .to_owned()
    } else {
        "an int and a uint do not mix: write `int(…)` around the uint".to_owned()
    })
}
