//! Finding values for which expressions give what is wanted: a small search over the literals that
//! stand in them and what lies next to these.

use std::borrow::Cow;
use std::collections::BTreeMap;

use backstitch_saga::definition::{Step, Verb};
use backstitch_saga::expression::{Expression, Root, Scope, Template, key_text, time_ms};
use serde_json::{Value, json};

use super::reading::{Aim, Around, Index, Reading};
use super::values::{Key, Leaf, Setting, Source, Values, get, put};
use super::world::BEGIN_MS;

/// Tries of one search at most.
const TRIES_MAX: usize = 4_000;
/// Values that are varied in one search at most.
const LEAVES_MAX: usize = 4;

/// What an expression has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Something of the right sort.
    Fits,
    /// Truth, or its opposite.
    Holds(bool),
    /// A list of so many.
    Len(usize),
}

/// An expression, and what it has to give.
pub(super) type Wanted<'d> = (Reading<'d>, Target);

/// The data of a definition, as expressions see it.
#[derive(Clone, Copy)]
pub(super) struct Stage<'s, 'd> {
    pub(super) index: &'s Index<'d>,
    /// The variables, in the order in which they are set.
    pub(super) sets: &'s [(&'d str, &'d Template, Around<'d>)],
    /// Data as it would be if none were given: for the items of lists that are empty.
    pub(super) made_up: &'s Values,
    /// What is run as a step, and what that may answer.
    pub(super) children: &'s BTreeMap<String, Value>,
    /// Whether a source can be chosen.
    pub(super) is_free: &'s dyn Fn(&Source) -> bool,
    /// Whether what a source would give fits what is agreed about it.
    pub(super) is_agreed: &'s dyn Fn(&Source, &Values) -> bool,
}

impl<'d> Stage<'_, 'd> {
    /// Whether an expression gives what it has to.
    pub(super) fn gives(&self, wanted: &Wanted<'d>, values: &Values) -> bool {
        let (reading, target) = wanted;
        let given = self.evaluate(reading.expression, &reading.around, values);
        match (target, given) {
            (_, Err(_)) => false,
            (Target::Holds(truth), Ok(value)) => value == Value::Bool(*truth),
            (Target::Len(len), Ok(value)) => value.as_array().is_some_and(|a| a.len() == *len),
            (Target::Fits, Ok(value)) => match reading.aim {
                Aim::Truth => value.is_boolean(),
                Aim::List => value.is_array(),
                Aim::Key => key_text(&value).is_ok_and(|key| !key.trim().is_empty()),
                // A time in the past is over at once, and shows nothing.
                Aim::Time => time_ms(&value).is_ok_and(|at_ms| at_ms > BEGIN_MS),
                Aim::Any => true,
            },
        }
    }

    /// Finds values that make all of this so, and leave the rest so.
    pub(super) fn solve(
        &self,
        wanted: &[Wanted<'d>],
        rest: &[Wanted<'d>],
        values: &Values,
    ) -> Option<Vec<Setting>> {
        let all = |values: &Values| {
            wanted.iter().all(|one| self.gives(one, values))
                && rest.iter().all(|one| self.gives(one, values))
        };
        if all(values) {
            return Some(Vec::new());
        }
        let mut leaves: Vec<Leaf> = Vec::new();
        for (reading, _) in wanted {
            for leaf in self.leaves(reading) {
                if !leaves.contains(&leaf) && (self.is_free)(&leaf.source) {
                    leaves.push(leaf);
                }
            }
        }
        leaves.truncate(LEAVES_MAX);
        let literals = literals(wanted);
        let candidates: Vec<Vec<Value>> = leaves
            .iter()
            .map(|leaf| candidates(leaf, wanted, &literals, values, self.made_up))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let mut tried = values.clone();
        let settled = tried.settings.len();
        let mut chosen = vec![0_usize; leaves.len()];
        for _ in 0..TRIES_MAX {
            tried.settings.truncate(settled);
            let settings = leaves.iter().zip(&chosen).zip(&candidates);
            let settings = settings.map(|((leaf, n), of)| Setting {
                leaf: leaf.clone(),
                value: of[*n].clone(),
                from_round: None,
            });
            tried.settings.extend(settings);
            let agreed = || {
                leaves
                    .iter()
                    .all(|leaf| (self.is_agreed)(&leaf.source, &tried))
            };
            if all(&tried) && agreed() {
                return Some(tried.settings.split_off(settled));
            }
            // The next combination; the first leaf turns fastest.
            let turned = chosen.iter_mut().zip(&candidates).find_map(|(n, of)| {
                *n += 1;
                if *n < of.len() {
                    return Some(());
                }
                *n = 0;
                None
            });
            turned?;
        }
        None
    }

    fn leaves(&self, reading: &Reading<'d>) -> Vec<Leaf> {
        let paths = reading.expression.paths();
        let mut leaves: Vec<Leaf> = paths
            .filter_map(|path| self.index.leaf(path, &reading.around))
            .collect();
        leaves.dedup();
        leaves
    }

    /// Evaluates an expression as it would be at the first item and in the first round.
    pub(super) fn evaluate(
        &self,
        expression: &Expression,
        around: &Around<'d>,
        values: &Values,
    ) -> Result<Value, ()> {
        self.in_scope(
            expression.paths().map(|p| p.root()),
            around,
            values,
            |scope| expression.evaluate(scope).map_err(|_| ()),
        )
    }

    /// Evaluates a template.
    pub(super) fn fill(
        &self,
        template: &Template,
        around: &Around<'d>,
        values: &Values,
    ) -> Result<Value, ()> {
        let roots = template.expressions().flat_map(Expression::paths);
        self.in_scope(roots.map(|p| p.root()), around, values, |scope| {
            template.evaluate(scope).map_err(|_| ())
        })
    }

    fn in_scope<'p, T>(
        &self,
        roots: impl Iterator<Item = &'p Root>,
        around: &Around<'d>,
        values: &Values,
        with: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        let event = values.event();
        let mut steps: BTreeMap<String, Value> = BTreeMap::new();
        let mut vars = BTreeMap::new();
        let mut names: Vec<&str> = Vec::new();
        let mut has_vars = false;
        for root in roots {
            match root {
                Root::Step(id) => names.push(id),
                Root::Vars => has_vars = true,
                Root::Event
                | Root::Key
                | Root::Now
                | Root::Result
                | Root::Failure
                | Root::Message
                | Root::Local(_) => {}
            }
        }
        for (step, _) in self
            .index
            .steps()
            .filter(|(s, _)| names.contains(&s.id.as_str()))
        {
            if let Some(output) = self.output(step, around, values) {
                steps.insert(step.id.clone(), output);
            }
        }
        if has_vars {
            for (name, template, around) in self.sets {
                // A variable that is made of itself has no value yet.
                let before = self.fill_plain(template, around, values, &vars);
                vars.insert((*name).to_owned(), before);
            }
        }
        let mut locals: Vec<(String, Cow<'_, Value>)> = Vec::new();
        for (n, (item, over)) in around.items.iter().enumerate() {
            let outer = Around {
                items: around.items[..n].to_vec(),
                ..around.clone()
            };
            let list = self.evaluate(over, &outer, values).unwrap_or(Value::Null);
            let first = list.get(0).cloned().unwrap_or(Value::Null);
            locals.push(((*item).to_owned(), Cow::Owned(first)));
            locals.push(("index".to_owned(), Cow::Owned(json!(0))));
        }
        let output_of = |id: &str| values.output(id).unwrap_or(Value::Null);
        let result = around.undoes.map(output_of);
        let message = around.waits.map(|id| values.message(id));
        let failure = json!({ "step": "", "kind": "failed", "code": "", "reason": "" });
        with(&Scope {
            event: &event,
            key: "key",
            steps: &steps,
            now_ms: BEGIN_MS,
            result: Some(result.as_ref().unwrap_or(&Value::Null)),
            failure: Some(&failure),
            message: message.as_ref(),
            locals: &locals,
            vars: &vars,
        })
    }

    /// A template that may read variables that are set by then.
    fn fill_plain(
        &self,
        template: &Template,
        around: &Around<'d>,
        values: &Values,
        vars: &BTreeMap<String, Value>,
    ) -> Value {
        let roots: Vec<&Root> = template
            .expressions()
            .flat_map(Expression::paths)
            .map(|path| path.root())
            .filter(|root| **root != Root::Vars)
            .collect();
        let filled = self.in_scope(roots.into_iter(), around, values, |scope| {
            let scope = Scope { vars, ..*scope };
            template.evaluate(&scope).ok()
        });
        filled.unwrap_or(Value::Null)
    }

    /// What a step has answered, as it is seen from a place.
    fn output(&self, step: &Step, around: &Around<'d>, values: &Values) -> Option<Value> {
        let own = match &step.verb {
            Verb::Do(_) => values.output(&step.id)?,
            Verb::Wait(_) => values.message(&step.id),
            Verb::Run(run) => self.children.get(&run.saga)?.clone(),
            Verb::Approve(approve) => json!({
                "by": "a person",
                "role": approve.by.first(),
                "at_ms": BEGIN_MS,
                "reason": null,
            }),
            Verb::Each(_) => json!([]),
            Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Repeat(_)
            | Verb::Sleep(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_) => return None,
        };
        let listed = self.index.listed(&step.id, around);
        Some((0..listed).fold(own, |inner, _| json!([inner])))
    }
}

/// The values to try for a leaf, the present one first.
fn candidates(
    leaf: &Leaf,
    wanted: &[Wanted<'_>],
    literals: &[Value],
    values: &Values,
    made_up: &Values,
) -> Vec<Value> {
    let present = match &leaf.source {
        Source::Event => values.event(),
        Source::Output(step) => values.output(step).unwrap_or(Value::Null),
        Source::Message(step) => values.message(step),
    };
    let present = get(&present, &leaf.path).cloned().unwrap_or(Value::Null);
    let mut all = vec![present.clone()];
    let mut add = |value: Value| {
        if !all.contains(&value) {
            all.push(value);
        }
    };
    let has = |aim| wanted.iter().any(|(reading, _)| reading.aim == aim);
    let is_empty = present.get(0).is_none();
    let listed = get(made_up.base(&leaf.source), &leaf.path).filter(|_| is_empty);
    let listed = listed.unwrap_or(&present);
    for (_, target) in wanted {
        if let Target::Len(len) = target {
            add(list_of(listed, *len));
        }
    }
    if has(Aim::Time) {
        add(json!(BEGIN_MS + 3_600_000));
    }
    if has(Aim::List) {
        add(list_of(listed, 1));
        add(list_of(listed, 3));
    }
    if has(Aim::Truth) {
        add(json!(true));
        add(json!(false));
    }
    literals.iter().cloned().for_each(&mut add);
    for value in [
        json!("text"),
        json!(1),
        json!(0),
        json!(100),
        json!(1_000_000),
        json!(1.5),
        json!(-1),
        json!(true),
        json!(false),
        json!([]),
        json!(["text"]),
        json!({}),
        json!(["text", "other", "third"]),
    ] {
        add(value);
    }
    all
}

/// A list of so many of what is in the present one, told apart.
pub(super) fn list_of(present: &Value, len: usize) -> Value {
    let first = match present {
        Value::Array(items) => items.first().cloned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            None
        }
    };
    let first = first.unwrap_or_else(|| json!("item"));
    let items = (0..len).map(|n| {
        if n == 0 {
            first.clone()
        } else {
            varied(&first, n)
        }
    });
    Value::Array(items.collect())
}

/// The same, but for a number at the end of its texts.
fn varied(value: &Value, n: usize) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}-{}", n + 1)),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), varied(field, n)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.clone(),
    }
}

/// The literals in expressions, and for numbers what lies next to them.
fn literals(wanted: &[Wanted<'_>]) -> Vec<Value> {
    let mut all = Vec::new();
    for (reading, _) in wanted {
        for literal in literals_of(reading.expression.source()) {
            if !all.contains(&literal) {
                all.push(literal);
            }
        }
    }
    all
}

fn literals_of(source: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let chars: Vec<char> = source.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '"' || c == '\'' {
            let text: String = chars[at + 1..].iter().take_while(|d| **d != c).collect();
            at += text.chars().count() + 2;
            found.push(json!(format!("{text}, other")));
            found.insert(found.len() - 1, json!(text));
            continue;
        }
        let is_inside = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        if c.is_ascii_digit() && !is_inside {
            let text: String = chars[at..]
                .iter()
                .take_while(|d| d.is_ascii_digit() || **d == '.')
                .collect();
            at += text.chars().count();
            if let Ok(number) = text.parse::<i64>() {
                found.extend([json!(number), json!(number + 1), json!(number - 1)]);
            } else if let Ok(number) = text.parse::<f64>() {
                found.extend([json!(number), json!(number + 1.0), json!(number - 1.0)]);
            }
            continue;
        }
        at += 1;
    }
    found
}

/// Makes the way to a leaf, if there is nothing yet, and puts something plausible there.
pub(super) fn ensure(value: &mut Value, path: &[Key], name: &str) {
    let Some((key, rest)) = path.split_first() else {
        if value.is_null() {
            *value = plausible(name);
        }
        return;
    };
    let next = match key {
        Key::Field(name) => name.as_str(),
        Key::Item(_) | Key::All => name,
    };
    if get(value, std::slice::from_ref(key)).is_none() {
        put(value, std::slice::from_ref(key), &Value::Null);
    }
    let inner = match (key, &mut *value) {
        (Key::Field(name), Value::Object(fields)) => fields.get_mut(name),
        (Key::Item(n), Value::Array(items)) => items.get_mut(*n),
        (Key::All, Value::Array(items)) => items.first_mut(),
        (_, _) => None,
    };
    if let Some(inner) = inner {
        ensure(inner, rest, next);
    }
}

/// Something that a field of this name may hold.
fn plausible(name: &str) -> Value {
    const NUMBERS: [&str; 18] = [
        "amount", "total", "price", "count", "quantity", "qty", "score", "number", "size", "limit",
        "age", "days", "hours", "n", "weight", "rate", "sum", "risk",
    ];
    let last = name.rsplit('_').next().unwrap_or(name);
    if NUMBERS.contains(&last) || last == "ms" {
        return json!(100);
    }
    if name.starts_with("is_") || name.starts_with("has_") {
        return json!(true);
    }
    json!(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literals_of_an_expression_are_found_with_what_lies_next_to_them() {
        let found = literals_of(r#"event.kind == "gold" && steps.a2.score >= 80"#);
        assert_eq!(
            found,
            [
                json!("gold"),
                json!("gold, other"),
                json!(80),
                json!(81),
                json!(79)
            ]
        );
    }

    #[test]
    fn a_way_is_made_once_and_what_is_there_stays() {
        let mut value = json!({});
        let field = |name: &str| Key::Field(name.to_owned());
        ensure(&mut value, &[field("total")], "event");
        ensure(
            &mut value,
            &[field("lines"), Key::All, field("sku")],
            "event",
        );
        ensure(&mut value, &[field("lines")], "event");
        assert_eq!(value, json!({ "total": 100, "lines": [{ "sku": "sku" }] }));
    }

    #[test]
    fn the_items_of_a_longer_list_are_told_apart() {
        let list = list_of(&json!([{ "sku": "a", "n": 1 }]), 3);
        assert_eq!(list[2], json!({ "sku": "a-3", "n": 1 }));
        assert_eq!(list_of(&json!([1]), 0), json!([]));
    }
}
