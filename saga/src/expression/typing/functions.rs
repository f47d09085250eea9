//! Functions.

use cel::IdedExpr;

use super::kind::Type;
use super::walk::Typer;

/// What a function gives; the target of a method is its first argument. `None` where it is not
/// defined. None of the types is one of several.
fn applied(name: &str, given: &[&Type]) -> Option<Type> {
    let number = |of: &Type| matches!(of, Type::Any | Type::Int | Type::Uint | Type::Double);
    let text = |of: &Type| matches!(of, Type::Any | Type::Text | Type::Symbol(_));
    let bytes = |of: &Type| matches!(of, Type::Any | Type::Bytes);
    let truth = |of: &Type| matches!(of, Type::Any | Type::Bool);
    match (name, given) {
        ("size", [of]) => {
            let sized = matches!(
                of,
                Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Record(_)
            );
            (sized || text(of) || bytes(of)).then_some(Type::Int)
        }
        ("string", [of]) => {
            (number(of) || text(of) || bytes(of) || truth(of)).then_some(Type::Text)
        }
        ("int", [of]) => (number(of) || text(of)).then_some(Type::Int),
        ("uint", [of]) => (number(of) || text(of)).then_some(Type::Uint),
        ("double", [of]) => (number(of) || text(of)).then_some(Type::Double),
        ("bool", [of]) => (truth(of) || text(of)).then_some(Type::Bool),
        ("bytes", [of]) => (text(of) || bytes(of)).then_some(Type::Bytes),
        ("type", [_]) => Some(Type::TypeName),
        ("contains" | "startsWith" | "endsWith" | "matches", [of, part]) => {
            (text(of) && text(part)).then_some(Type::Bool)
        }
        ("hasValue", [of]) => match of {
            Type::Any | Type::Optional(_) => Some(Type::Bool),
            _ => None,
        },
        ("value", [of]) => match of {
            Type::Any => Some(Type::Any),
            Type::Optional(inner) => Some((**inner).clone()),
            _ => None,
        },
        ("orValue", [of, other]) => match of {
            Type::Any => Some(Type::Any),
            Type::Optional(inner) => Some(Type::one_of([(**inner).clone(), (*other).clone()])),
            _ => None,
        },
        ("or", [of, other]) => match (of, other) {
            (Type::Any, Type::Any | Type::Optional(_)) | (Type::Optional(_), Type::Any) => {
                Some(Type::Any)
            }
            (Type::Optional(inner), Type::Optional(other)) => {
                Some(Type::Optional(Box::new(Type::one_of([
                    (**inner).clone(),
                    (**other).clone(),
                ]))))
            }
            _ => None,
        },
        ("optional.of" | "optional.ofNonZeroValue", [of]) => {
            Some(Type::Optional(Box::new((*of).clone())))
        }
        ("optional.none", []) => Some(Type::Optional(Box::new(Type::OneOf(Vec::new())))),
        _ => Some(Type::Any),
    }
}

impl Typer<'_> {
    pub(super) fn function(
        &mut self,
        node: &IdedExpr,
        name: &str,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Type {
        let args: Vec<&IdedExpr> = target.into_iter().chain(args).collect();
        let given: Vec<Type> = args.iter().map(|arg| self.type_of(arg)).collect();
        self.resolve(node, name, args, &given, |given| applied(name, given))
    }
}
