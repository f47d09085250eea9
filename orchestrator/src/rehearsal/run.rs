//! One run, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::core::{Cause, LineKind, ParkedBy, Status, mailbox};
use backstitch_saga::definition::{Verb, step_at};
use backstitch_saga::{Change, Line, Saga};
use serde_json::Value;

use super::cast::Cast;
use super::coverage::{Covered, Seen};
use super::paths::Path;
use super::script::{AskedKind, Coming, Script, find, plain, step_of};
use super::witness::{Asked, Watched, definition_of};
use super::world::{BEGIN_MS, World};

/// How a saga stands when nothing is left to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Each step of its path is done.
    Completed,
    /// Each step that may have run is undone.
    Compensated,
    /// A person stopped it.
    Terminated,
    /// It waits for a person.
    Parked {
        /// The step that it stopped at, if it stopped at one.
        at: Option<String>,
        /// Of which sort: `step`, `stuck`, `expression`, `deadline`.
        by: String,
    },
    /// It is open, and waits for something outside that did not come.
    Waiting {
        /// For which step.
        at: String,
        /// Whether that is a step of a child that waits for a person.
        is_parked: bool,
    },
    /// It never began.
    Nothing,
}

impl End {
    /// One word, as `expect.status` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Terminated => "terminated",
            Self::Parked { .. } => "parked",
            Self::Waiting { .. } => "waiting",
            Self::Nothing => "not_begun",
        }
    }

    /// The same, with the step in the place of its occurrence: for telling apart how sagas end.
    pub(super) fn plain(&self) -> Self {
        match self {
            Self::Parked { at, by } => Self::Parked {
                at: at.as_deref().map(plain),
                by: by.clone(),
            },
            Self::Waiting { at, is_parked } => Self::Waiting {
                at: plain(at),
                is_parked: *is_parked,
            },
            Self::Completed | Self::Compensated | Self::Terminated | Self::Nothing => self.clone(),
        }
    }

    /// The step that it stands at.
    pub fn at(&self) -> Option<&str> {
        match self {
            Self::Parked { at, .. } => at.as_deref(),
            Self::Waiting { at, .. } => Some(at),
            Self::Completed | Self::Compensated | Self::Terminated | Self::Nothing => None,
        }
    }
}

/// One transition, for a reader.
#[derive(Debug, Clone)]
pub struct Moment {
    /// When. Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The same since the beginning.
    pub since_ms: i64,
    /// The saga key.
    pub saga: String,
    /// What led to it.
    pub cause: Cause,
    /// What changed.
    pub changes: Vec<Change>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// How the saga stands.
    pub end: End,
    /// Why it is parked, or why the event starts nothing, in words.
    pub reason: Option<String>,
    /// The occurrences that someone was asked to undo and that are undone, in order.
    pub undone: Vec<String>,
    /// The occurrences that were done, in order, undone later or not.
    pub done: Vec<String>,
    /// The occurrences that were asked for at all, in order.
    pub begun: Vec<String>,
    /// What it answered.
    pub output: Option<Value>,
    /// What it is searched by.
    pub tags: BTreeMap<String, String>,
    /// From its beginning to its end, or to where it stands.
    pub took_ms: i64,
    /// The first rule that was broken.
    pub violation: Option<String>,
    /// What could not be played, in words.
    pub notes: BTreeSet<String>,
    /// Whether it went on only because attempts without end found one.
    pub gave_in: bool,
    /// How it stands once all goes well again and a person has resumed what was parked.
    pub resumed: Option<End>,
    /// Everything that was asked for, in order.
    pub asked: Vec<Asked>,
    /// How many commits there were.
    pub commits: u64,
    /// What of the definitions was seen at work.
    pub seen: Seen,
    /// Everything that happened.
    pub story: Vec<Moment>,
}

/// What is done after a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Then {
    /// What is parked is resumed, and judged again.
    pub(super) resumes: bool,
    /// All that happened is kept.
    pub(super) tells: bool,
}

/// So often is resumed what is parked: a child, then its parent, then what that is parked on.
const RESUMES_MAX: usize = 4;

/// Begins a saga on this data, lets happen what the script has, and judges it.
pub(super) fn run(cast: &Cast, path: &Path, event: &Value, script: &Script, then: Then) -> Run {
    let data = &path.data;
    let early = early_events(cast, path, event, script);
    let mut world = World::new(cast, data, script);
    for asked in &early {
        let planned = find(&script.events, &asked.mark);
        let with = planned.and_then(|event| event.with.as_ref());
        if let Some(mailbox) = &asked.target {
            world.publish_event(mailbox, &asked.occurrence, with, 0, false);
        }
    }
    world.begin(event, path.begins);
    world.run();
    world.judge();
    let mut run = result(&world);
    if then.resumes && world.wrong.is_none() {
        run.resumed = resume(&mut world);
        run.violation.clone_from(&world.wrong);
        run.seen = seen(&world);
    }
    if then.tells {
        run.story = story(&world);
    }
    run
}

/// Resumes what is parked, once all goes well again: `None` if nothing was.
fn resume(world: &mut World<'_>) -> Option<End> {
    let mut end = None;
    for _ in 0..RESUMES_MAX {
        let is_parked = |watched: &&Watched| watched.saga.parked.is_some();
        let sagas = world.witness.sagas.values().filter(is_parked);
        let parked: Vec<String> = sagas.map(|watched| watched.saga.key.clone()).collect();
        if parked.is_empty() {
            break;
        }
        world.resume(&parked);
        world.run();
        world.judge();
        let main = world.main_saga()?.to_owned();
        end = Some(end_of(world, &world.witness.sagas.get(&main)?.saga));
    }
    end
}

/// The waits whose events come before the saga begins. Their mailboxes are known once they have
/// been waited for: that is found out first.
fn early_events(cast: &Cast, path: &Path, event: &Value, script: &Script) -> Vec<Asked> {
    let is_early = |mark: &str| {
        let planned = find(&script.events, mark);
        planned.is_some_and(|event| event.coming == Coming::Early)
    };
    if !script.events.values().any(|e| e.coming == Coming::Early) {
        return Vec::new();
    }
    let mut usual = script.clone();
    usual.commits.clear();
    for event in usual.events.values_mut() {
        if event.coming == Coming::Early {
            event.coming = Coming::InTime;
        }
    }
    let mut world = World::new(cast, &path.data, &usual);
    world.begin(event, path.begins);
    world.run();
    let mut asked = std::mem::take(&mut world.witness.asked);
    asked.retain(|asked| asked.kind == AskedKind::Wait && is_early(&asked.mark));
    asked
}

fn result(world: &World<'_>) -> Run {
    let main = world
        .main_saga()
        .and_then(|key| world.witness.sagas.get(key));
    let saga = main.map(|watched| &watched.saga);
    let bodies = main.map_or(&[][..], |watched| &watched.bodies);
    let changes = || bodies.iter().flat_map(|body| &body.changes);
    let mut begun: Vec<String> = Vec::new();
    let (mut done, mut undone) = (Vec::new(), Vec::new());
    for change in changes() {
        if let Change::Requested(request) = change {
            begun.push(request.occurrence.clone());
        } else if let Change::Asked(ask) = change {
            begun.push(ask.occurrence.clone());
        } else if let Change::Done { occurrence, .. } = change {
            done.push(occurrence.clone());
        } else if let Change::Undone {
            occurrence,
            asked: true,
        } = change
        {
            undone.push(occurrence.clone());
        }
    }
    let mut unique = BTreeSet::new();
    begun.retain(|occurrence| unique.insert(occurrence.clone()));
    let ends = |saga: &Saga| saga.ended_at_ms.unwrap_or(saga.changed_at_ms);
    Run {
        end: saga.map_or(End::Nothing, |saga| end_of(world, saga)),
        reason: match saga {
            Some(saga) => saga.parked.as_ref().map(|parked| parked.reason.clone()),
            None => world.refusal.clone(),
        },
        undone,
        done,
        begun,
        output: saga.and_then(|saga| Some(saga.output.as_ref()?.value().clone())),
        tags: saga.map(|saga| saga.tags.clone()).unwrap_or_default(),
        took_ms: saga.map_or(0, |saga| ends(saga) - saga.started_at_ms),
        violation: world.wrong.clone(),
        notes: world.notes.clone(),
        gave_in: world.workers.gave_in,
        asked: world.witness.asked.clone(),
        commits: world.commits,
        seen: seen(world),
        resumed: None,
        story: Vec::new(),
    }
}

fn end_of(world: &World<'_>, saga: &Saga) -> End {
    if let Some(parked) = &saga.parked {
        let by = match parked.by {
            ParkedBy::Step => "step",
            ParkedBy::Stuck => "stuck",
            ParkedBy::Expression => "expression",
            ParkedBy::Deadline => "deadline",
        };
        return End::Parked {
            at: parked.at.clone(),
            by: by.to_owned(),
        };
    }
    match saga.status {
        Status::Completed => End::Completed,
        Status::Compensated => End::Compensated,
        Status::Terminated => End::Terminated,
        Status::Running | Status::Compensating | Status::Parked => {
            let open = |line: &&Line| line.kind != LineKind::Do && line.status.awaits().is_some();
            let line = saga.lines.iter().find(open);
            // A child that stands still holds its parent up: it is the child's step that counts.
            let child = line
                .and_then(|line| line.target.as_ref())
                .and_then(|key| world.witness.sagas.get(key))
                .filter(|_| line.is_some_and(|line| line.kind == LineKind::Run));
            match child.map(|child| (child, end_of(world, &child.saga))) {
                Some((child, end)) => {
                    let at = end.at().unwrap_or_default().to_owned();
                    End::Waiting {
                        // Of a child's child, the mark is there already.
                        at: if at.contains('/') {
                            at
                        } else {
                            world.witness.mark(&child.saga.key, &at, false)
                        },
                        is_parked: match end {
                            End::Parked { .. } => true,
                            End::Waiting { is_parked, .. } => is_parked,
                            End::Completed | End::Compensated | End::Terminated | End::Nothing => {
                                false
                            }
                        },
                    }
                }
                None => End::Waiting {
                    at: line.map_or_else(String::new, |line| line.occurrence.clone()),
                    is_parked: false,
                },
            }
        }
    }
}

fn story(world: &World<'_>) -> Vec<Moment> {
    let order = world.witness.order.iter();
    order
        .filter_map(|(key, n)| {
            let watched = world.witness.sagas.get(key)?;
            let body = watched.bodies.get(*n)?;
            let (_, at_ms, ..) = watched.entries.get(*n)?;
            Some(Moment {
                at_ms: *at_ms,
                since_ms: at_ms - BEGIN_MS,
                saga: key.clone(),
                cause: body.cause.clone(),
                changes: body.changes.clone(),
            })
        })
        .collect()
}

/// What of the definitions was at work.
fn seen(world: &World<'_>) -> Seen {
    let mut seen = Seen::default();
    for (key, watched) in &world.witness.sagas {
        if mailbox::is_mailbox(key) {
            continue;
        }
        let name = definition_of(key);
        let Some(definition) = world.cast.by_name.get(name) else {
            continue;
        };
        let id_of = |occurrence: &str| step_of(occurrence).to_owned();
        let step_of_place = |place: &[u16]| step_at(&definition.steps, place);
        for change in watched.bodies.iter().flat_map(|body| &body.changes) {
            let covered = if let Change::Requested(request) = change {
                Some(Covered::Ran(request.step.clone()))
            } else if let Change::Asked(ask) = change {
                Some(Covered::Ran(ask.step.clone()))
            } else if let Change::Undone {
                occurrence,
                asked: true,
            } = change
            {
                Some(Covered::Undone(id_of(occurrence)))
            } else if let Change::Entered { place, shape } = change {
                step_of_place(place).map(|step| match (shape, &step.verb) {
                    (backstitch_saga::core::Shape::Choose(case), Verb::Choose(_)) => {
                        Covered::Case(step.id.clone(), *case)
                    }
                    _ => Covered::Ran(step.id.clone()),
                })
            } else if let Change::Recovering { place, block, .. } = change {
                step_of_place(place).map(|step| Covered::Reaction(step.id.clone(), *block))
            } else if let Change::Set { place, .. } = change {
                step_of_place(place).map(|step| Covered::Ran(step.id.clone()))
            } else if let Change::Skipped { place } = change {
                step_of_place(place).map(|step| Covered::Skipped(step.id.clone()))
            } else {
                None
            };
            if let Some(covered) = covered {
                if let Covered::Case(id, _) = &covered {
                    seen.insert(name, Covered::Ran(id.clone()));
                }
                seen.insert(name, covered);
            }
        }
    }
    seen
}
