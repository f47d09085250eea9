//! The paths of a definition: data with which each branch is taken, each list is empty, single and
//! longer, each repetition goes round once, twice and too often.

use std::collections::BTreeMap;

use backstitch_saga::Definition;
use backstitch_saga::definition::{Step, Verb, walk};
use backstitch_saga::expression::{Expression, Template};
use serde_json::{Map, Value};

use super::cast::{Cast, Data};
use super::coverage::Covered;
use super::reading::{Aim, Around, Reading, inside, readings};
use super::sample::sample;
use super::solve::{Stage, Target, Wanted, ensure};
use super::turns::{Begins, Turn, breaks_off, starts_of, turns_of, usual_case};
use super::values::{Leaf, Setting, Source, Values};

/// Data, and what it is for.
#[derive(Debug, Clone)]
pub struct Path {
    /// What is special about it, in words.
    pub words: String,
    pub(super) data: Data,
    pub(super) begins: Begins,
}

/// All paths of a cast.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    /// The usual one first.
    pub(super) all: Vec<Path>,
    /// For what no data was found, and why.
    pub(super) unsolved: BTreeMap<(String, Covered), String>,
}

impl Paths {
    /// Finds the paths of all definitions of a cast. `event` starts the first one, if it is given;
    /// else one is made up.
    pub(super) fn of(cast: &Cast, event: Option<&Value>) -> Self {
        let mut base = Data::default();
        let mut paths = Self::default();
        let mut turns = Vec::new();
        for definition in in_order(cast) {
            let is_main = definition.name == cast.main.name;
            let given = if is_main {
                event.cloned()
            } else {
                event_of_child(cast, definition, &base)
            };
            let children = outputs_of_children(cast, &base);
            let (values, found) = plan(definition, given, is_main, &children);
            base.by_name.insert(definition.name.clone(), values);
            turns.push((definition.name.clone(), found));
        }
        paths.all.push(Path {
            words: "as usual".to_owned(),
            data: base.clone(),
            begins: Begins::ByAny,
        });
        for (name, found) in turns {
            for turn in found {
                match turn.settings {
                    Ok(settings) => {
                        let mut data = base.clone();
                        if let Some(values) = data.by_name.get_mut(&name) {
                            values.settings.extend(settings);
                        }
                        let begins = turn.begins;
                        let same = |path: &Path| path.data == data && path.begins == begins;
                        let is_new = !paths.all.iter().any(same);
                        let of = if name == cast.main.name {
                            String::new()
                        } else {
                            format!("{name}: ")
                        };
                        if is_new {
                            let words = format!("{of}{}", turn.words);
                            paths.all.push(Path {
                                words,
                                data,
                                begins,
                            });
                        }
                    }
                    Err(why) => {
                        let unsolved = turn.leads_to.map(|covered| ((name.clone(), covered), why));
                        paths.unsolved.extend(unsolved);
                    }
                }
            }
        }
        paths
    }
}

/// The first definition, then those that it runs, and so on.
fn in_order(cast: &Cast) -> Vec<&Definition> {
    let mut order: Vec<&Definition> = vec![&cast.main];
    let mut n = 0;
    while let Some(definition) = order.get(n).copied() {
        walk(&definition.steps, &mut |step| {
            if let Verb::Run(run) = &step.verb
                && let Some(child) = cast.by_name.get(&run.saga)
                && order.iter().all(|known| known.name != child.name)
            {
                order.push(child);
            }
        });
        n += 1;
    }
    order
}

/// What a child is started with, as far as it can be foreseen.
fn event_of_child(cast: &Cast, child: &Definition, data: &Data) -> Option<Value> {
    for (name, values) in &data.by_name {
        let parent = cast.by_name.get(name)?;
        let mut found = None;
        let (_, index) = readings(parent);
        let sets = sets_of(parent);
        let children = BTreeMap::new();
        let stage = Stage {
            index: &index,
            sets: &sets,
            made_up: values,
            children: &children,
            is_free: &|_| false,
            is_agreed: &|_, _| true,
        };
        each_step(&parent.steps, &Around::default(), &mut |step, around| {
            if let Verb::Run(run) = &step.verb
                && run.saga == child.name
                && found.is_none()
            {
                found = stage.fill(&run.with, around, values).ok();
            }
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// What children may answer, as far as it can be foreseen: for expressions of their parents.
fn outputs_of_children(cast: &Cast, data: &Data) -> BTreeMap<String, Value> {
    let mut outputs = BTreeMap::new();
    for definition in cast.by_name.values() {
        let (_, index) = readings(definition);
        let sets = sets_of(definition);
        let none = BTreeMap::new();
        let values = match data.by_name.get(&definition.name) {
            Some(values) => values.clone(),
            None => usual(definition, None, true).0,
        };
        let stage = Stage {
            index: &index,
            sets: &sets,
            made_up: &values,
            children: &none,
            is_free: &|_| false,
            is_agreed: &|_, _| true,
        };
        let output = definition.output.as_ref().and_then(|template| {
            let filled = stage.fill(template, &Around::default(), &values);
            filled.ok()
        });
        outputs.insert(definition.name.clone(), output.unwrap_or_default());
    }
    outputs
}

/// What was found for one turn.
struct Found {
    words: String,
    leads_to: Option<Covered>,
    begins: Begins,
    settings: Result<Vec<Setting>, String>,
}

/// The usual data of a definition, and what has to be other for each turn.
fn plan(
    definition: &Definition,
    event: Option<Value>,
    is_main: bool,
    children: &BTreeMap<String, Value>,
) -> (Values, Vec<Found>) {
    let is_given = event.is_some();
    let (mut values, all) = usual(definition, event, is_main);
    let (made_up, _) = usual(definition, None, true);
    let (_, index) = readings(definition);
    let sets = sets_of(definition);
    let is_free = |source: &Source| is_main || *source != Source::Event;
    let is_agreed = |source: &Source, values: &Values| is_agreed(definition, source, values);
    let stage = Stage {
        index: &index,
        sets: &sets,
        made_up: &made_up,
        children,
        is_free: &is_free,
        is_agreed: &is_agreed,
    };
    // What is given is usual as it is.
    let is_made_up = |source: &Source| !is_given || *source != Source::Event;
    let first = Stage {
        is_free: &is_made_up,
        ..stage
    };
    // One after the other; what is settled stays so.
    let mut settled: Vec<Wanted<'_>> = Vec::new();
    let usual = usual_targets(definition, &all);
    for wanted in usual {
        let found = first.solve(std::slice::from_ref(&wanted), &settled, &values);
        // A default is better than nothing: what cannot be had is told where it fails.
        if let Some(settings) = found {
            adopt(&mut values, settings);
            settled.push(wanted);
        }
    }
    let mut turns = Vec::new();
    if is_main {
        starts_of(definition, &mut turns);
    }
    turns_of(&definition.steps, &Around::default(), &[], &mut turns);
    let found = turns
        .into_iter()
        .map(|turn| {
            let settings = solve_turn(&stage, &turn, &values);
            Found {
                words: turn.words,
                leads_to: turn.leads_to,
                begins: turn.begins,
                settings,
            }
        })
        .collect();
    (values, found)
}

fn solve_turn<'d>(
    stage: &Stage<'_, 'd>,
    turn: &Turn<'d>,
    values: &Values,
) -> Result<Vec<Setting>, String> {
    let solved = stage.solve(&turn.wanted, &[], values).ok_or_else(|| {
        let sources: Vec<String> = turn
            .wanted
            .iter()
            .map(|(reading, target)| match target {
                Target::Holds(true) => format!("`{}` holds", reading.expression),
                Target::Holds(false) => format!("`{}` does not hold", reading.expression),
                Target::Len(len) => format!("`{}` has {len} items", reading.expression),
                Target::Fits => format!("`{}` has a value", reading.expression),
            })
            .collect();
        format!("no data was found with which {}", sources.join(" and "))
    })?;
    let Some(rounds) = &turn.rounds else {
        return Ok(solved);
    };
    // `solved` is what makes it go on; what was usual ends it.
    let mut settings = solved;
    if let Some(enough) = rounds.enough {
        let back: Vec<Setting> = settings
            .iter()
            .filter(|setting| setting.leaf.source != Source::Event)
            .filter_map(|setting| {
                let base = values.base(&setting.leaf.source);
                let before = super::values::get(base, &setting.leaf.path)?;
                Some(Setting {
                    leaf: setting.leaf.clone(),
                    value: before.clone(),
                    from_round: Some((rounds.depth, enough - 1)),
                })
            })
            .collect();
        if back.is_empty() {
            let what = "what it asks does not change from round to round";
            return Err(what.to_owned());
        }
        settings.extend(back);
    }
    Ok(settings)
}

/// Lays settings into the data itself.
fn adopt(values: &mut Values, settings: Vec<Setting>) {
    for Setting { leaf, value, .. } in settings {
        super::values::put(values.base_mut(&leaf.source), &leaf.path, &value);
    }
}

fn is_agreed(definition: &Definition, source: &Source, values: &Values) -> bool {
    let schema = schema_of(definition, source);
    let value = match source {
        Source::Event => Some(values.event()),
        Source::Output(step) => values.output(step),
        Source::Message(step) => Some(values.message(step)),
    };
    match (schema, value) {
        (Some(schema), Some(value)) => schema.misfit(&value).is_none(),
        (_, _) => true,
    }
}

fn schema_of<'d>(
    definition: &'d Definition,
    source: &Source,
) -> Option<&'d backstitch_saga::contract::Schema> {
    let file = match source {
        Source::Event => definition.input.as_ref(),
        Source::Output(step) => {
            let mut activity = None;
            walk(&definition.steps, &mut |known| {
                if let Verb::Do(work) = &known.verb
                    && known.id == *step
                {
                    activity = Some(&work.activity);
                }
            });
            definition.activities.get(activity?)?.output.as_ref()
        }
        Source::Message(step) => {
            let mut input = None;
            walk(&definition.steps, &mut |known| {
                if let Verb::Wait(wait) = &known.verb
                    && known.id == *step
                {
                    input = wait.input.as_ref();
                }
            });
            input
        }
    };
    file?.schema.as_deref()
}

/// Data in which there is something at each place that is read.
fn usual<'d>(
    definition: &'d Definition,
    event: Option<Value>,
    is_main: bool,
) -> (Values, Vec<Reading<'d>>) {
    let (all, index) = readings(definition);
    let mut values = Values::default();
    let is_given = event.is_some();
    let made_up = schema_of(definition, &Source::Event).map(|schema| sample(schema.source()));
    values.event = event
        .or(made_up)
        .unwrap_or_else(|| Value::Object(Map::new()));
    for (step, _) in index.steps() {
        let source = if let Verb::Wait(_) = &step.verb {
            Source::Message(step.id.clone())
        } else {
            Source::Output(step.id.clone())
        };
        if let Some(schema) = schema_of(definition, &source) {
            *values.base_mut(&source) = sample(schema.source());
        }
    }
    for reading in &all {
        for path in reading.expression.paths() {
            let Some(Leaf { source, path }) = index.leaf(path, &reading.around) else {
                continue;
            };
            // What a person or a parent gives is taken as it is.
            if source == Source::Event && (is_given || !is_main) {
                continue;
            }
            let name = match &source {
                Source::Event => "event",
                Source::Output(step) | Source::Message(step) => step.as_str(),
            };
            let is_whole = path.is_empty();
            if !is_whole {
                ensure(values.base_mut(&source), &path, name);
            }
        }
    }
    (values, all)
}

/// What has to be so for a saga to go the usual way.
fn usual_targets<'d>(definition: &'d Definition, all: &[Reading<'d>]) -> Vec<Wanted<'d>> {
    let mut wanted: Vec<Wanted<'d>> = Vec::new();
    // The first start rule; of each choice, the first way that goes on.
    let mut not: Vec<&Expression> = Vec::new();
    let mut loose: Vec<&Expression> = Vec::new();
    loose.extend(definition.start.iter().skip(1).flat_map(|rule| &rule.when));
    walk(&definition.steps, &mut |step| {
        if let Verb::Choose(choose) = &step.verb {
            let usual = usual_case(choose);
            not.extend(choose.cases.iter().take(usual).map(|case| &case.when));
            loose.extend(choose.cases.iter().skip(usual + 1).map(|case| &case.when));
        }
        if breaks_off(step) {
            not.extend(&step.when);
        }
    });
    let is_among =
        |list: &[&Expression], one: &Expression| list.iter().any(|known| std::ptr::eq(*known, one));
    for reading in all {
        let target = match reading.aim {
            Aim::List => Target::Len(1),
            Aim::Truth if is_among(&loose, reading.expression) => Target::Fits,
            Aim::Truth if is_among(&not, reading.expression) => Target::Holds(false),
            Aim::Truth => Target::Holds(true),
            Aim::Key | Aim::Time | Aim::Any => Target::Fits,
        };
        wanted.push((reading.clone(), target));
    }
    // Those that ask for most come first.
    wanted.sort_by_key(|(reading, target)| match (target, reading.aim) {
        (Target::Len(_), _) => 0,
        (Target::Holds(_), _) => 1,
        (_, Aim::Key | Aim::Time) => 2,
        (_, _) => 3,
    });
    wanted
}

/// Calls `visit` with each step and what is around it.
fn each_step<'d>(
    steps: &'d [Step],
    around: &Around<'d>,
    visit: &mut dyn FnMut(&'d Step, &Around<'d>),
) {
    for step in steps {
        visit(step, around);
        for block in step.blocks() {
            each_step(block.steps, &inside(step, block.slot, around), visit);
        }
    }
}

/// The variables, in the order in which they are set.
fn sets_of(definition: &Definition) -> Vec<(&str, &Template, Around<'_>)> {
    let mut sets = Vec::new();
    each_step(
        &definition.steps,
        &Around::default(),
        &mut |step, around| {
            if let Verb::Set(vars) = &step.verb {
                for (name, template) in vars {
                    sets.push((name.as_str(), template, around.clone()));
                }
            }
        },
    );
    sets
}
