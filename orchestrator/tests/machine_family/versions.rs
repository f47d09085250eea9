//! Versions of definitions, and what the journal topic says of them.

use std::collections::{BTreeMap, HashSet};

use backstitch_orchestrator::engine::machine::Report;
use backstitch_saga::Definition;
use backstitch_saga::definition::Files;
use backstitch_schemas::{DeadLetterReason, ReplyOutcome};

use super::world::{World, definition};

const FIRST: &str = "
saga: greet
steps:
  - do: wave
    undo: nothing
  - wait: answered
    topic: answers
    key: message.who
  - do: smile
    undo: nothing
";

const SECOND: &str = "
saga: greet
steps:
  - do: bow
    undo: nothing
";

fn activities(world: &World) -> Vec<String> {
    world.commands().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_new_version_takes_new_sagas_only_after_a_restart() {
    let mut world = World::new();
    let first = world.starts(&[definition(FIRST)], &[0, 1, 2, 3]);
    world.begins("greet/old", "{}");
    world.dies(first);
    world.starts(&[definition(SECOND)], &[0, 1, 2, 3]);
    world.begins("greet/new", "{}");
    assert_eq!(world.status("greet/new"), "completed");
    world.happens("~greet.answered/old", r#"{"who":"old"}"#, 1, None);
    assert_eq!(world.status("greet/old"), "completed");
    assert_eq!(
        world.saga("greet/old").definition_hash,
        definition(FIRST).hash
    );
    assert_eq!(activities(&world), ["wave", "bow", "smile"]);
}

#[test]
fn two_versions_run_side_by_side_on_two_orchestrators() {
    let mut world = World::new();
    // Which shard a key lies in decides who begins it, and with which version.
    world.starts(&[definition(FIRST)], &[0, 1]);
    world.starts(&[definition(SECOND)], &[2, 3]);
    let keys: Vec<String> = (0..40).map(|n| format!("greet/{n}")).collect();
    let mut by_hash: BTreeMap<String, usize> = BTreeMap::new();
    for key in &keys {
        world.begins(key, "{}");
        *by_hash.entry(world.saga(key).definition_hash).or_default() += 1;
    }
    assert_eq!(by_hash.len(), 2, "{by_hash:?}");
    // The second takes all over: what began with the first version ends with it.
    world.starts(&[definition(SECOND)], &[0, 1, 2, 3]);
    for (n, key) in keys.iter().enumerate() {
        let offset = i64::try_from(n).unwrap();
        let mailbox = format!("~greet.answered/{n}");
        world.happens(&mailbox, r#"{"who":"x"}"#, offset, None);
        assert_eq!(world.status(key), "completed", "{key}");
    }
    let smiles = activities(&world)
        .iter()
        .filter(|name| *name == "smile")
        .count();
    assert_eq!(smiles, by_hash[&definition(FIRST).hash]);
}

#[test]
fn an_orchestrator_without_files_takes_the_newest_version_of_the_store() {
    let mut world = World::new();
    world.remembers(&definition(FIRST));
    world.remembers(&definition(SECOND));
    world.starts(&[], &[0, 1, 2, 3]);
    world.begins("greet/1", "{}");
    assert_eq!(
        world.saga("greet/1").definition_hash,
        definition(SECOND).hash
    );
}

#[test]
fn the_journal_has_each_definition_before_the_first_entry_that_is_pinned_to_it() {
    let mut world = World::new();
    let first = world.starts(&[definition(FIRST)], &[0, 1, 2, 3]);
    world.begins("greet/1", "{}");
    world.dies(first);
    world.starts(&[definition(SECOND)], &[0, 1, 2, 3]);
    world.begins("greet/2", "{}");
    let topic = world.topics.journal();
    let mut known = HashSet::from(["mailbox".to_owned()]);
    let mut entries = 0;
    for record in world.published.iter().filter(|r| *r.topic == *topic) {
        let payload = record.payload.as_deref().unwrap();
        if let Ok(told) = world.codec.decode_definition(payload) {
            let read = Definition::from_stored(&told.source).unwrap();
            assert_eq!(read.hash, told.hash);
            assert_eq!(record.key.as_deref(), Some(told.hash.as_bytes()));
            known.insert(told.hash);
        } else {
            let entry = world.codec.decode_journal_entry(payload).unwrap();
            assert!(known.contains(&entry.definition_hash), "{}", entry.saga);
            entries += 1;
        }
    }
    assert_eq!(known.len(), 3);
    assert!(entries > 4);
}

#[test]
fn another_event_for_a_saga_that_exists_is_told_and_changes_nothing() {
    let mut world = World::new();
    let node = world.starts(&[definition(FIRST), definition(SECOND)], &[0, 1, 2, 3]);
    world.begins("greet/1", r#"{"n":1}"#);
    let before = world.saga("greet/1");
    world.begins("greet/1", r#"{"n":1}"#);
    assert_eq!(world.counters(node).other_events, 0);
    world.begins("greet/1", r#"{"n":2}"#);
    assert_eq!(world.counters(node).other_events, 1);
    assert_eq!(world.saga("greet/1"), before);
    let saga = "greet/1".to_owned();
    assert!(world.reports.contains(&Report::OtherEvent { saga }));
}

struct Folder;

impl Files for Folder {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "event.avsc" => Ok(
                r#"{"type":"record","name":"Placed","fields":[{"name":"n","type":"int"}]}"#
                    .to_owned(),
            ),
            "score.avsc" => Ok(
                r#"{"type":"record","name":"Score","fields":[{"name":"score","type":"int"}]}"#
                    .to_owned(),
            ),
            other => Err(format!("there is no {other}")),
        }
    }
}

const AGREED: &str = "
saga: agreed
input: event.avsc
activities:
  check: { output: score.avsc }
steps:
  - do: check
    with: { n: =event.n }
    undo: nothing
    retry: { attempts: 2, backoff: 10ms..10ms }
";

fn agreed() -> Definition {
    Definition::from_yaml_with("agreed.yaml", AGREED, &Folder)
        .unwrap_or_else(|found| panic!("{found:?}"))
}

#[test]
fn an_output_that_breaks_its_contract_is_kept_for_people_and_asked_for_again() {
    let mut world = World::new();
    world.workers(|command| {
        let output = match command.attempt {
            1 => br#"{"score":"high"}"#.to_vec(),
            _ => br#"{"score":3}"#.to_vec(),
        };
        Some((ReplyOutcome::Done, Some(output)))
    });
    world.starts(&[agreed()], &[0, 1, 2, 3]);
    world.begins("agreed/1", r#"{"n":1}"#);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].detail.contains("score.avsc"),
        "{}",
        letters[0].detail
    );
    let line = world.saga("agreed/1").line("check").unwrap().clone();
    assert_eq!(line.failure.unwrap().code, "output_misfit");
    world.passes(1_000);
    assert_eq!(world.status("agreed/1"), "completed");
}

#[test]
fn an_event_that_breaks_the_contract_of_its_definition_starts_nothing() {
    let mut world = World::new();
    world.starts(&[agreed()], &[0, 1, 2, 3]);
    world.begins("agreed/1", r#"{"n":"one"}"#);
    assert!(!world.exists("agreed/1"));
    let letters = world.dead_letters();
    assert_eq!(letters[0].reason, DeadLetterReason::CannotApply);
    assert!(
        letters[0].detail.contains("event.avsc"),
        "{}",
        letters[0].detail
    );
}

#[test]
fn a_definition_with_files_is_whole_for_the_next_owner() {
    let mut world = World::new();
    world.workers(|_| None);
    let first = world.starts(&[agreed()], &[0, 1, 2, 3]);
    world.begins("agreed/1", r#"{"n":1}"#);
    world.dies(first);
    world.workers(|_| Some((ReplyOutcome::Done, Some(br#"{"score":"high"}"#.to_vec()))));
    world.starts(&[], &[0, 1, 2, 3]);
    world.passes(60_000);
    assert!(
        !world.dead_letters().is_empty(),
        "the schema is known there too"
    );
}
