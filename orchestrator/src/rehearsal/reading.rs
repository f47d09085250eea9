//! What the expressions of a definition read, and what they have to give.

use std::collections::BTreeMap;

use backstitch_saga::Definition;
use backstitch_saga::definition::{Sleep, Slot, Step, Undo, Verb};
use backstitch_saga::expression::{Expression, Path, Root, Template};

use super::values::{Key, Leaf, Source};

/// What an expression has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// True or false.
    Truth,
    /// A list.
    List,
    /// The key of something.
    Key,
    /// A time.
    Time,
    /// Anything at all.
    Any,
}

/// An expression where it stands.
#[derive(Debug, Clone)]
pub(super) struct Reading<'d> {
    pub(super) expression: &'d Expression,
    pub(super) aim: Aim,
    pub(super) around: Around<'d>,
}

/// What is around an expression.
#[derive(Debug, Clone, Default)]
pub(super) struct Around<'d> {
    /// The `each` around it, outermost first: item and list.
    pub(super) items: Vec<(&'d str, &'d Expression)>,
    /// The ids of these `each`.
    pub(super) eaches: Vec<&'d str>,
    /// How many numbers an occurrence here has.
    pub(super) numbers: usize,
    /// The step whose output `result` is.
    pub(super) undoes: Option<&'d str>,
    /// The wait whose record `message` is.
    pub(super) waits: Option<&'d str>,
}

/// What is known of the steps of a definition.
#[derive(Debug, Default)]
pub(super) struct Index<'d> {
    steps: BTreeMap<&'d str, (&'d Step, Vec<&'d str>)>,
    /// Variables that are set to what a path leads to.
    vars: BTreeMap<&'d str, (&'d Path, Around<'d>)>,
}

/// All expressions of a definition, with the index to resolve them by.
pub(super) fn readings(definition: &Definition) -> (Vec<Reading<'_>>, Index<'_>) {
    let mut all = Vec::new();
    let mut index = Index::default();
    let top = Around::default();
    for rule in &definition.start {
        all.extend(rule.when.iter().map(|when| at(when, Aim::Truth, &top)));
        all.push(at(&rule.key, Aim::Key, &top));
    }
    let tags = definition.tags.values();
    for template in tags.chain(&definition.output) {
        in_template(template, &top, &mut all);
    }
    of_steps(&definition.steps, &top, &mut all, &mut index);
    (all, index)
}

fn at<'d>(expression: &'d Expression, aim: Aim, around: &Around<'d>) -> Reading<'d> {
    Reading {
        expression,
        aim,
        around: around.clone(),
    }
}

fn in_template<'d>(template: &'d Template, around: &Around<'d>, all: &mut Vec<Reading<'d>>) {
    all.extend(template.expressions().map(|e| at(e, Aim::Any, around)));
}

fn of_steps<'d>(
    steps: &'d [Step],
    around: &Around<'d>,
    all: &mut Vec<Reading<'d>>,
    index: &mut Index<'d>,
) {
    for step in steps {
        index.steps.insert(&step.id, (step, around.eaches.clone()));
        all.extend(step.when.iter().map(|when| at(when, Aim::Truth, around)));
        of_verb(step, around, all, index);
        for block in step.blocks() {
            let inner = inside(step, block.slot, around);
            of_steps(block.steps, &inner, all, index);
        }
        if let (Verb::Each(each), Slot::Body) = (&step.verb, Slot::Body)
            && let Some(collect) = &each.collect
        {
            in_template(collect, &inside(step, Slot::Body, around), all);
        }
    }
}

/// What is around the steps of a block.
pub(super) fn inside<'d>(step: &'d Step, slot: Slot<'_>, around: &Around<'d>) -> Around<'d> {
    let mut inner = around.clone();
    if let (Verb::Each(each), Slot::Body) = (&step.verb, slot) {
        inner.items.push((&each.item, &each.over));
        inner.eaches.push(&step.id);
        inner.numbers += 1;
    }
    if let (Verb::Repeat(_), Slot::Body) = (&step.verb, slot) {
        inner.numbers += 1;
    }
    inner
}

fn of_verb<'d>(
    step: &'d Step,
    around: &Around<'d>,
    all: &mut Vec<Reading<'d>>,
    index: &mut Index<'d>,
) {
    match &step.verb {
        Verb::Do(work) => {
            in_template(&work.with, around, all);
            if let Undo::Other(other) = &work.undo {
                let undo = Around {
                    undoes: Some(&step.id),
                    ..around.clone()
                };
                in_template(&other.with, &undo, all);
            }
        }
        Verb::Choose(choose) => {
            let cases = choose.cases.iter();
            all.extend(cases.map(|case| at(&case.when, Aim::Truth, around)));
        }
        Verb::Each(each) => all.push(at(&each.over, Aim::List, around)),
        Verb::Repeat(repeat) => {
            let inner = inside(step, Slot::Body, around);
            all.push(at(&repeat.until, Aim::Truth, &inner));
        }
        Verb::Wait(wait) => {
            let record = Around {
                waits: Some(&step.id),
                ..around.clone()
            };
            all.push(at(&wait.key, Aim::Key, &record));
            let accept = wait.accept.iter();
            all.extend(accept.map(|accept| at(accept, Aim::Truth, &record)));
            let matches = wait.matches.iter();
            all.extend(matches.map(|matches| at(matches, Aim::Key, around)));
        }
        Verb::Sleep(Sleep::Until(until)) => all.push(at(until, Aim::Time, around)),
        Verb::Run(run) => {
            all.extend(run.key.iter().map(|key| at(key, Aim::Key, around)));
            in_template(&run.with, around, all);
        }
        Verb::Approve(approve) => in_template(&approve.show, around, all),
        Verb::Set(vars) => {
            for (name, template) in vars {
                in_template(template, around, all);
                let path = as_path(template);
                index
                    .vars
                    .extend(path.map(|path| (name.as_str(), (path, around.clone()))));
            }
        }
        Verb::Fail(fail) => {
            let reason = fail.reason.iter();
            reason.for_each(|template| in_template(template, around, all));
        }
        Verb::End(output) => {
            let output = output.iter();
            output.for_each(|template| in_template(template, around, all));
        }
        Verb::Parallel(_) | Verb::Sleep(Sleep::For(_)) => {}
    }
}

/// The path that a template is, if it is nothing else.
fn as_path(template: &Template) -> Option<&Path> {
    match template {
        Template::Expression(expression) => path_of(expression),
        Template::Literal(_) | Template::Object(_) | Template::List(_) => None,
    }
}

/// The path that an expression is, if it is nothing else.
pub(super) fn path_of(expression: &Expression) -> Option<&Path> {
    let mut paths = expression.paths();
    let only = paths.next().filter(|_| paths.next().is_none())?;
    (only.to_string() == expression.source()).then_some(only)
}

impl<'d> Index<'d> {
    /// Where a path leads that can be played; `None` where nobody can choose what stands there.
    pub(super) fn leaf(&self, path: &Path, around: &Around<'d>) -> Option<Leaf> {
        self.resolve(path, around, 0)
    }

    fn resolve(&self, path: &Path, around: &Around<'d>, depth: usize) -> Option<Leaf> {
        // A variable may be set to itself.
        if depth > 8 {
            return None;
        }
        let segments = path.segments();
        // What may be missing is left out.
        let upto = path.optional_from().unwrap_or(segments.len());
        let keys: Vec<Key> = segments[..upto].iter().map(Key::of).collect();
        let after = |leaf: Leaf, keys: &[Key]| {
            let mut leaf = leaf;
            leaf.path.extend(keys.iter().cloned());
            Some(leaf)
        };
        let of = |source| Leaf {
            source,
            path: Vec::new(),
        };
        match path.root() {
            Root::Event => after(of(Source::Event), &keys),
            Root::Step(id) => {
                let (step, eaches) = self.steps.get(id.as_str())?;
                let listed = listed(eaches, around);
                if listed > keys.len() {
                    return None;
                }
                let source = match &step.verb {
                    Verb::Do(_) => Source::Output(id.clone()),
                    Verb::Wait(_) => Source::Message(id.clone()),
                    Verb::Parallel(_)
                    | Verb::Choose(_)
                    | Verb::Each(_)
                    | Verb::Repeat(_)
                    | Verb::Sleep(_)
                    | Verb::Run(_)
                    | Verb::Approve(_)
                    | Verb::Set(_)
                    | Verb::Fail(_)
                    | Verb::End(_) => return None,
                };
                after(of(source), &keys[listed..])
            }
            Root::Result => {
                let step = around.undoes?.to_owned();
                after(of(Source::Output(step)), &keys)
            }
            Root::Message => after(of(Source::Message(around.waits?.to_owned())), &keys),
            Root::Local(name) => {
                let position = around.items.iter().rposition(|(item, _)| item == name)?;
                let (_, over) = around.items[position];
                let outer = Around {
                    items: around.items[..position].to_vec(),
                    ..around.clone()
                };
                let mut list = self.resolve(path_of(over)?, &outer, depth + 1)?;
                list.path.push(Key::All);
                after(list, &keys)
            }
            Root::Vars => {
                let (Key::Field(name), rest) = keys.split_first()? else {
                    return None;
                };
                let (path, around) = self.vars.get(name.as_str())?;
                after(self.resolve(path, around, depth + 1)?, rest)
            }
            Root::Key | Root::Now | Root::Failure => None,
        }
    }

    /// How many lists inside each other the output of a step is, as it is seen from a place.
    pub(super) fn listed(&self, id: &str, around: &Around<'d>) -> usize {
        let known = self.steps.get(id);
        known.map_or(0, |(_, eaches)| listed(eaches, around))
    }

    /// The steps by id, with the number of `each` around them.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&'d Step, usize)> {
        self.steps
            .values()
            .map(|(step, eaches)| (*step, eaches.len()))
    }
}

/// From outside an `each`, an output is a list over its items.
fn listed(eaches: &[&str], around: &Around<'_>) -> usize {
    let shared = eaches.iter().zip(&around.eaches);
    eaches.len() - shared.take_while(|(a, b)| a == b).count()
}
