//! From text to a program that reads only the paths it names.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{Env, IdedExpr};

use super::error::ExpressionError;
use super::evaluate;
use super::limits::{LOOPS_MAX, LOOPS_NESTED_MAX, TREE_DEPTH_MAX};
use super::path::{Path, Root, Segment};
use super::source;

/// An expression that was read and checked; cheap to clone, equal if the text is.
///
/// A plain path (`event.order_id`) is looked up in the document; CEL runs for the rest, and is
/// given only what the paths in it lead to.
#[derive(Clone)]
pub struct Expression(pub(super) Arc<Compiled>);

pub(super) struct Compiled {
    pub(super) source: String,
    pub(super) program: Program,
    references: BTreeSet<String>,
}

pub(super) enum Program {
    Path(Path),
    Cel {
        tree: IdedExpr,
        slots: Vec<Slot>,
        loops: bool,
    },
}

/// Something that the tree reads from the scope, under the name [`slot_name`].
#[derive(Debug, PartialEq)]
pub(super) struct Slot {
    pub(super) path: Path,
    pub(super) kind: SlotKind,
}

#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) enum SlotKind {
    /// What the path leads to.
    Value,
    /// Whether it leads anywhere.
    IsThere,
}

/// No identifier in a source can begin with `@`.
fn slot_name(slot: usize) -> String {
    format!("@{slot}")
}

/// The slot that an identifier of a compiled tree stands for.
pub(super) fn slot_of(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// The global function that puts the keys of a map in order; anything else it gives back.
pub(super) const IN_ORDER: &str = "@in_order";

/// The global function that refuses a map, and gives anything else back. CEL adds a map to a list as
/// its keys, in no order.
pub(super) const NO_MAP: &str = "@no_map";

/// The global function that takes the cost of an element off what the evaluation may spend.
pub(super) const SPEND: &str = "@spend";

pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    evaluate::add_functions(&mut env);
    Arc::new(env)
});

impl Expression {
    /// Reads an expression. White space around it does not count.
    ///
    /// # Errors
    ///
    /// If it is not CEL, exceeds one of [`limits`](super::limits), uses `steps` without a step's
    /// id, names a loop variable like something in scope, or makes a message of a named type.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        let trimmed = source.trim();
        let indent = source.chars().count() - source.trim_start().chars().count();
        compile(trimmed)
            .map(|compiled| Self(Arc::new(compiled)))
            .map_err(|error| ExpressionError {
                offset: error.offset.map(|offset| offset + indent),
                ..error
            })
    }

    /// The text, without white space around it.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The names outside itself that it uses: `event`, `key`, `steps`, … and unknown ones too.
    pub fn references(&self) -> &BTreeSet<String> {
        &self.0.references
    }

    /// The fixed ways it takes into what is in scope, in no particular order.
    ///
    /// A path ends where the expression computes an index: `event.lines[n].sku` gives
    /// `event.lines`.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, many) = match &self.0.program {
            Program::Path(path) => (Some(path), [].as_slice()),
            Program::Cel { slots, .. } => (None, slots.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|slot| &slot.path))
    }

    /// Whether it is ready for a step without an output: it asks for it with `has`, compares the
    /// whole of it, or reads only what may be missing (`steps.check_fraud.?score`).
    pub fn is_careful_with(&self, step: &str) -> bool {
        let of_step = |path: &Path| matches!(&path.root, Root::Step(id) if id.as_str() == step);
        let ready = |path: &Path| path.segments.is_empty() || path.optional_from == Some(0);
        match &self.0.program {
            Program::Path(path) => !of_step(path) || ready(path),
            Program::Cel { slots, .. } => {
                let mut slots = slots.iter().filter(|slot| of_step(&slot.path)).peekable();
                slots.peek().is_none()
                    || slots.any(|slot| slot.kind == SlotKind::IsThere || ready(&slot.path))
            }
        }
    }
}

impl Expression {
    /// Whether it is ready for a variable that is not set: it asks for it with `has`, or reads
    /// `vars.?name`.
    pub fn is_careful_with_var(&self, name: &str) -> bool {
        let of_var = |path: &Path| {
            path.root == Root::Vars
                && matches!(path.segments.first(), Some(Segment::Field(field)) if field == name)
        };
        let ready = |path: &Path| path.optional_from == Some(0);
        match &self.0.program {
            Program::Path(path) => !of_var(path) || ready(path),
            Program::Cel { slots, .. } => {
                let mut slots = slots.iter().filter(|slot| of_var(&slot.path)).peekable();
                slots.peek().is_none()
                    || slots.any(|slot| slot.kind == SlotKind::IsThere || ready(&slot.path))
            }
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}

fn compile(source: &str) -> Result<Compiled, ExpressionError> {
    source::guard(source)?;
    let mut tree = ENV
        .parser()
        .parse(source)
        .map_err(|errors| syntax_error(source, &errors))?;
    refuse_deep(&tree)?;
    let mut references = BTreeSet::new();
    if let Some((root, path)) = fixed_path(&tree, &[])? {
        references.insert(root);
        return Ok(Compiled {
            source: source.to_owned(),
            program: Program::Path(path),
            references,
        });
    }
    let mut binder = Binder {
        slots: Vec::new(),
        references,
        bound: Vec::new(),
        loops: 0,
        nested: 0,
    };
    binder.bind(&mut tree)?;
    Ok(Compiled {
        source: source.to_owned(),
        program: Program::Cel {
            tree,
            slots: binder.slots,
            loops: binder.loops > 0,
        },
        references: binder.references,
    })
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else {
        return ExpressionError::new("not a CEL expression");
    };
    let message = error.msg.trim();
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    // What follows is a list of the parser's tokens.
    let message = message.split(" expecting ").next().unwrap_or(message);
    let message = match message {
        "mismatched input '<EOF>'" => "it ends too early",
        // The parser's own limit, of recursion: chains of `?:` reach it.
        other if other.contains("ecursion limit") => "it is nested too deeply",
        other => other,
    };
    let (line, column) = error.pos;
    let offset = usize::try_from(line - 1).ok().and_then(|line| {
        let before: usize = source
            .split_inclusive('\n')
            .take(line)
            .map(|line| line.chars().count())
            .sum();
        usize::try_from(column - 1)
            .ok()
            .map(|column| before + column)
    });
    let reason = format!("not a CEL expression: {}", message.replace('\n', " "));
    match offset {
        Some(offset) => ExpressionError::at(reason, offset.min(source.chars().count())),
        None => ExpressionError::new(reason),
    }
}

/// Refuses what evaluation, which recurses, could not walk. Walks without recursing.
fn refuse_deep(tree: &IdedExpr) -> Result<(), ExpressionError> {
    let mut open = vec![(tree, 1)];
    while let Some((node, depth)) = open.pop() {
        if depth > TREE_DEPTH_MAX {
            return Err(ExpressionError::new(format!(
                "the expression is nested more than {TREE_DEPTH_MAX} levels deep"
            )));
        }
        let mut push = |child| open.push((child, depth + 1));
        match &node.expr {
            Expr::Unspecified => {
                return Err(ExpressionError::new("a part of the expression is missing"));
            }
            Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| push(target));
                call.args.iter().for_each(push);
            }
            Expr::Comprehension(comprehension) => {
                push(&comprehension.iter_range);
                push(&comprehension.accu_init);
                push(&comprehension.loop_cond);
                push(&comprehension.loop_step);
                push(&comprehension.result);
            }
            Expr::List(list) => list.elements.iter().for_each(push),
            Expr::Select(select) => push(&select.operand),
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            push(&entry.key);
                            push(&entry.value);
                        }
                        EntryExpr::StructField(_) => return Err(no_messages()),
                    }
                }
            }
            Expr::Struct(_) => return Err(no_messages()),
        }
    }
    Ok(())
}

fn no_messages() -> ExpressionError {
    ExpressionError::new("there are no named types to build; write a map, `{\"name\": value}`")
}

/// A chain of fields and fixed indexes on a name that is not one of `bound`, the variables of the
/// comprehensions around. The name is given too.
fn fixed_path(
    expr: &IdedExpr,
    bound: &[String],
) -> Result<Option<(String, Path)>, ExpressionError> {
    let mut segments = Vec::new();
    let mut optional = Vec::new();
    let mut at = expr;
    let name = loop {
        match &at.expr {
            Expr::Ident(name) => break name.strip_prefix('.').unwrap_or(name),
            Expr::Select(select) if !select.test => {
                segments.push(Segment::Field(select.field.clone()));
                optional.push(false);
                at = &select.operand;
            }
            Expr::Call(CallExpr {
                func_name,
                target: None,
                args,
            }) => {
                let [operand, index] = args.as_slice() else {
                    return Ok(None);
                };
                let is_optional = match func_name.as_str() {
                    operators::INDEX => false,
                    operators::OPT_INDEX | operators::OPT_SELECT => true,
                    _ => return Ok(None),
                };
                let Some(segment) = fixed_segment(index) else {
                    return Ok(None);
                };
                segments.push(segment);
                optional.push(is_optional);
                at = operand;
            }
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => return Ok(None),
        }
    };
    segments.reverse();
    optional.reverse();
    let mut optional_from = optional.iter().position(|optional| *optional);
    let root = match name {
        "event" => Root::Event,
        "key" => Root::Key,
        "vars" => Root::Vars,
        "now" => Root::Now,
        "result" => Root::Result,
        "failure" => Root::Failure,
        "steps" => {
            if segments.is_empty() || optional_from == Some(0) {
                return Err(bare_steps());
            }
            optional_from = optional_from.map(|from| from - 1);
            match segments.remove(0) {
                Segment::Field(id) => Root::Step(id),
                Segment::Index(_) => return Err(bare_steps()),
            }
        }
        "message" => Root::Message,
        "optional" => return Ok(None),
        name if name.starts_with('@') || is_type(name) || bound.iter().any(|b| b == name) => {
            return Ok(None);
        }
        name => Root::Local(name.to_owned()),
    };
    Ok(Some((
        name.to_owned(),
        Path {
            root,
            segments,
            optional_from,
        },
    )))
}

fn fixed_segment(index: &IdedExpr) -> Option<Segment> {
    let Expr::Literal(literal) = &index.expr else {
        return None;
    };
    match literal {
        LiteralValue::String(name) => Some(Segment::Field(name.inner().to_owned())),
        LiteralValue::Int(index) => Some(Segment::Index(*index.inner())),
        LiteralValue::UInt(index) => i64::try_from(*index.inner()).ok().map(Segment::Index),
        LiteralValue::Boolean(_)
        | LiteralValue::Bytes(_)
        | LiteralValue::Double(_)
        | LiteralValue::Null => None,
    }
}

fn bare_steps() -> ExpressionError {
    ExpressionError::new("`steps` must be followed by a step's id, as in `steps.check_fraud.score`")
}

/// Names that are always in scope.
fn is_root(name: &str) -> bool {
    matches!(
        name,
        "event" | "key" | "steps" | "vars" | "now" | "result" | "failure" | "message"
    )
}

/// CEL's names of types, which are values.
pub(super) fn is_type(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "int"
            | "uint"
            | "double"
            | "string"
            | "bytes"
            | "list"
            | "map"
            | "null_type"
            | "type"
            | "dyn"
            | "optional_type"
    )
}

/// Every function that CEL has here; macros are gone when a tree is bound.
pub(super) const FUNCTIONS: [&str; 20] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "hasValue",
    "int",
    "matches",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
];

/// Refuses a call that could only fail. Operators are called by names that no source can hold.
fn known_function(name: &str) -> Result<(), ExpressionError> {
    let is_operator = !name
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if is_operator || FUNCTIONS.contains(&name) {
        return Ok(());
    }
    Err(ExpressionError::new(format!(
        "there is no function `{name}`"
    )))
}

/// Puts slots in the place of fixed paths.
struct Binder {
    slots: Vec<Slot>,
    references: BTreeSet<String>,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
    loops: usize,
    nested: usize,
}

impl Binder {
    fn bind(&mut self, node: &mut IdedExpr) -> Result<(), ExpressionError> {
        if let Some((name, path)) = fixed_path(node, &self.bound)? {
            self.references.insert(name);
            node.expr = self.slot(path, SlotKind::Value);
            return Ok(());
        }
        match &mut node.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Struct(_) => Ok(()),
            Expr::Ident(name) => {
                if !name.starts_with('@') && !self.bound.contains(name) && !is_type(name) {
                    self.references.insert(name.clone());
                }
                Ok(())
            }
            Expr::Select(select) => {
                if select.test
                    && let Some((name, path)) = self.tested_path(&select.operand, &select.field)?
                {
                    self.references.insert(name);
                    node.expr = self.slot(path, SlotKind::IsThere);
                    return Ok(());
                }
                self.bind(&mut select.operand)
            }
            Expr::Call(call) => {
                let is_namespace = |target: &IdedExpr| matches!(&target.expr, Expr::Ident(name) if name == "optional");
                match &mut call.target {
                    // `optional.of(x)` is a function of a namespace.
                    Some(target) if is_namespace(target) => {
                        known_function(&format!("optional.{}", call.func_name))?;
                    }
                    Some(target) => {
                        known_function(&call.func_name)?;
                        self.bind(target)?;
                    }
                    None => known_function(&call.func_name)?,
                }
                call.args.iter_mut().try_for_each(|arg| self.bind(arg))?;
                if call.func_name == operators::ADD
                    && let [_, right] = call.args.as_mut_slice()
                    && !matches!(right.expr, Expr::List(_) | Expr::Literal(_))
                {
                    wrap(NO_MAP, right);
                }
                Ok(())
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|e| self.bind(e)),
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|entry| match &mut entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.bind(&mut entry.key)?;
                        self.bind(&mut entry.value)
                    }
                    EntryExpr::StructField(field) => self.bind(&mut field.value),
                }),
            Expr::Comprehension(comprehension) => {
                self.bind(&mut comprehension.iter_range)?;
                self.bind(&mut comprehension.accu_init)?;
                self.enter(&comprehension.iter_var)?;
                let bound = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.push(comprehension.accu_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bind(&mut comprehension.loop_cond)?;
                self.bind(&mut comprehension.loop_step)?;
                self.bind(&mut comprehension.result)?;
                self.bound.truncate(bound);
                self.nested -= 1;
                wrap(IN_ORDER, &mut comprehension.iter_range);
                spend(
                    &mut comprehension.loop_step,
                    &comprehension.iter_var,
                    &comprehension.accu_var,
                );
                Ok(())
            }
        }
    }

    fn enter(&mut self, variable: &str) -> Result<(), ExpressionError> {
        if is_root(variable) {
            return Err(ExpressionError::new(format!(
                "`{variable}` means something else here; give the loop variable another name"
            )));
        }
        self.loops += 1;
        self.nested += 1;
        if self.loops > LOOPS_MAX {
            return Err(ExpressionError::new(format!(
                "more than {LOOPS_MAX} comprehensions in one expression"
            )));
        }
        if self.nested > LOOPS_NESTED_MAX {
            return Err(ExpressionError::new(format!(
                "more than {LOOPS_NESTED_MAX} comprehensions inside each other"
            )));
        }
        Ok(())
    }

    /// `has(operand.field)` as a path, where it is a fixed one.
    fn tested_path(
        &self,
        operand: &IdedExpr,
        field: &str,
    ) -> Result<Option<(String, Path)>, ExpressionError> {
        if matches!(&operand.expr, Expr::Ident(name) if name == "steps") {
            return Ok(Some((
                "steps".to_owned(),
                Path {
                    root: Root::Step(field.to_owned()),
                    segments: Vec::new(),
                    optional_from: None,
                },
            )));
        }
        Ok(fixed_path(operand, &self.bound)?.map(|(name, mut path)| {
            path.segments.push(Segment::Field(field.to_owned()));
            (name, path)
        }))
    }

    fn slot(&mut self, path: Path, kind: SlotKind) -> Expr {
        let slot = Slot { path, kind };
        let position = self.slots.iter().position(|known| *known == slot);
        let position = position.unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        Expr::Ident(slot_name(position))
    }
}

fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

fn call(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    })
}

fn wrap(function: &str, around: &mut IdedExpr) {
    let inner = std::mem::take(around);
    *around = node(call(function, vec![inner]));
}

/// Makes each turn of a loop pay for its element before anything is computed from it.
///
/// The shape of a step, e.g. `@result + [x]`, is kept, for CEL knows it and appends in place.
fn spend(step: &mut IdedExpr, variable: &str, accumulator: &str) {
    let is_accumulator =
        |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == accumulator);
    let paid = match &mut step.expr {
        // The step of `optMap`: it never loops.
        Expr::Ident(_) => return,
        Expr::Call(CallExpr {
            func_name, args, ..
        }) if func_name == operators::CONDITIONAL => args.first_mut(),
        Expr::Call(CallExpr { args, .. }) => match args.as_mut_slice() {
            [left, right] if is_accumulator(left) => match &mut right.expr {
                Expr::List(list) => list.elements.first_mut(),
                Expr::Unspecified
                | Expr::Call(_)
                | Expr::Comprehension(_)
                | Expr::Ident(_)
                | Expr::Literal(_)
                | Expr::Map(_)
                | Expr::Select(_)
                | Expr::Struct(_) => Some(right),
            },
            _ => None,
        },
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => None,
    };
    let paid = match paid {
        Some(paid) => paid,
        None => step,
    };
    let inner = std::mem::take(paid);
    let pay = node(call(SPEND, vec![node(Expr::Ident(variable.to_owned()))]));
    *paid = node(call(
        operators::CONDITIONAL,
        vec![pay, inner, node(Expr::Literal(LiteralValue::Null))],
    ));
}
