//! What a seed draws before its world begins: definition, sizes, limits.

use std::collections::BTreeMap;

use backstitch_orchestrator::engine::machine::MachineConfig;
use backstitch_saga::Definition;
use backstitch_saga::definition::{Undo, Verb};
use backstitch_schemas::wire::Topics;

use super::faults::Bug;
use super::planted::forget_undo;
use super::rng::Rng;

/// The name of the only definition.
pub(super) const NAME: &str = "order";

/// The topics of the world.
pub(super) fn topics() -> Topics {
    Topics::new("sim")
}

/// What was drawn.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) processes: usize,
    pub(super) partitions: i32,
    pub(super) sagas: usize,
    /// Faults end after so much time.
    pub(super) chaos_ms: i64,
    pub(super) definition: Definition,
    /// A later version of it: a process knows one of them, the store both.
    pub(super) successor: Definition,
    /// By step id: whether its effect has to be undone.
    pub(super) undoable: BTreeMap<String, bool>,
    pub(super) activities: Vec<String>,
    pub(super) machine: MachineConfig,
}

impl Scenario {
    pub(super) fn draw(rng: &mut Rng, bug: Option<Bug>) -> Self {
        let source = source(rng);
        let definition = Definition::from_yaml(&source)
            .unwrap_or_else(|wrong| panic!("the definition is wrong: {wrong:?}\n{source}"));
        let mut undoable = BTreeMap::new();
        let mut activities = Vec::new();
        for step in &definition.steps {
            let Verb::Do(work) = &step.verb else {
                continue;
            };
            let is_undoable = matches!(work.undo, Undo::Same | Undo::Other(_));
            undoable.insert(step.id.clone(), is_undoable);
            activities.push(work.activity.clone());
            if let Undo::Other(other) = &work.undo {
                activities.push(other.activity.clone());
            }
        }
        let definition = if bug == Some(Bug::UndoForgotten) {
            forget_undo(definition)
        } else {
            definition
        };
        let partitions = i32::try_from(rng.between(2, 3)).unwrap_or(2);
        let mut successor = definition.clone();
        successor.deadline_ms = successor.deadline_ms.map_or(Some(86_400_000), |_| None);
        let (successor, _) = successor
            .checked()
            .unwrap_or_else(|wrong| panic!("the successor is wrong: {wrong:?}\n{source}"));
        Self {
            successor,
            processes: 2 + rng.below(2),
            partitions,
            sagas: 3 + rng.below(4),
            chaos_ms: rng.between(800, 2_000),
            definition,
            undoable,
            activities,
            machine: machine(rng, partitions),
        }
    }
}

/// Small limits, so that each is met.
fn machine(rng: &mut Rng, partitions: i32) -> MachineConfig {
    let mut count = |most: i64| usize::try_from(rng.between(1, most)).unwrap_or(1);
    let (batch, pending, cache) = (count(8), count(12), count(6));
    let (load, publish, outbox, due) = (count(6), count(6), count(6), count(4));
    let small = |count: usize| u32::try_from(count).unwrap_or(1);
    MachineConfig {
        batch_count_max: batch,
        pending_count_max: pending,
        cache_count_max: cache,
        load_count_max: load,
        publish_batches_max: publish,
        outbox_rows_max: small(outbox),
        due_rows_max: small(due),
        horizon_ms: [50, 300, 60_000][rng.below(3)],
        watermark_idle_ms: rng.between(20, 300),
        fenced_wait_ms: rng.between(20, 400),
        store_wait_ms: rng.between(1, 30),
        closing_ms: rng.between(20, 400),
        ..MachineConfig::new(topics(), partitions)
    }
}

/// Four steps; the last ones may lie after a pivot.
fn source(rng: &mut Rng) -> String {
    let mut text = format!("saga: {NAME}\ntags: {{ note: =event.note }}\n");
    if rng.happens(250) {
        text += &format!("deadline: {}ms\n", rng.between(150, 1_500));
    }
    let pivot = if rng.happens(400) {
        rng.below(4)
    } else {
        usize::MAX
    };
    text += "steps:\n";
    for n in 0..4 {
        text += &step(rng, n, pivot);
    }
    text
}

fn step(rng: &mut Rng, n: usize, pivot: usize) -> String {
    let retry = |rng: &mut Rng| {
        let (attempts, most) = (rng.between(1, 4), rng.between(10, 120));
        format!("{{ attempts: {attempts}, backoff: 10ms..{most}ms }}")
    };
    let mut text = format!("  - do: a{n}\n    with: {{ order: =key }}\n");
    text += &format!("    timeout: {}ms\n", rng.between(40, 400));
    text += &format!("    retry: {}\n", retry(rng));
    match (n >= pivot && rng.happens(500), rng.below(5)) {
        (true, _) => {}
        (false, 0) => text += "    undo: nothing\n",
        (false, 1 | 2) => text += "    undo: yes\n",
        (false, _) => {
            let (timeout, retry) = (rng.between(40, 400), retry(rng));
            text += &format!(
                "    undo: {{ do: u{n}, with: {{ order: =key, got: =result }}, \
                 timeout: {timeout}ms, retry: {retry} }}\n"
            );
        }
    }
    if n == pivot {
        text += "    pivot: true\n";
    } else {
        match rng.below(6) {
            0 => text += "    on_failure: ignore\n",
            1 => text += "    on_failure: park\n",
            _ => {}
        }
    }
    text
}
