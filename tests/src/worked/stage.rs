//! The servers, from the first event to the last saga settled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backstitch_broker::{KafkaConfig, OutgoingRecord, Producer};
use backstitch_orchestrator::engine::{
    Orchestrator, OrchestratorConfig, TopicSizes, apply_topics, topics_needed,
};
use backstitch_orchestrator::store::{self, Store};
use backstitch_saga::core::{LineKind, LineStatus, Status};
use backstitch_saga::{Definition, Saga};
use backstitch_schemas::{Codec, Decision, wire};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::judge::faults;
use super::play::{Awaited, Play, draw};
use super::troupe::Troupe;
use crate::world::{Ground, Standing, unique_name};

/// How long all sagas may take to settle.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// Between two looks at the store.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A broker, a store, orchestrators and workers that perform one play. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct Stage {
    runtime: Runtime,
    standing: Standing,
    kafka: KafkaConfig,
    topics: wire::Topics,
    play: Play,
    definitions: Vec<Definition>,
    store_url: String,
    store: Option<Arc<dyn Store>>,
    orchestrators: Vec<Orchestrator>,
    troupe: Troupe,
    producer: Option<Producer>,
    folder: TempDir,
    seed: u64,
}

/// How the sagas of a play ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// So many completed, children included.
    pub completed: usize,
    /// So many turned back.
    pub compensated: usize,
    /// So many were run by others.
    pub children: usize,
    /// So many things were done, or undone, by the workers' own book.
    pub effects: usize,
}

impl Stage {
    /// Starts two orchestrators and the workers.
    ///
    /// # Panics
    ///
    /// If anything does not start.
    pub fn start(ground: &Ground, play: Play, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a test may start threads");
        let folder = tempfile::tempdir().expect("a test may make a folder");
        let name = unique_name();
        let (standing, kafka, store_url) = Standing::take(ground, &name, folder.path(), &runtime);
        let topics = wire::Topics::new(name.as_str());
        let definitions = play.definitions(&name);
        apply_topics(&kafka, &topics, &definitions, TopicSizes::default(), true)
            .expect("the topics can be made");
        let producer = Producer::new(&kafka, |_| {}).expect("a producer starts");
        let store = runtime
            .block_on(store::open(&store_url))
            .expect("the store opens");
        let troupe = runtime.block_on(Troupe::start(
            play,
            seed,
            &definitions,
            &kafka,
            topics.prefix(),
            folder.path(),
        ));
        let mut stage = Self {
            runtime,
            standing,
            kafka,
            topics,
            play,
            definitions,
            store_url,
            store: Some(store),
            orchestrators: Vec::new(),
            troupe,
            producer: Some(producer),
            folder,
            seed,
        };
        stage.add_orchestrator();
        stage.add_orchestrator();
        stage
    }

    fn add_orchestrator(&mut self) {
        let config = OrchestratorConfig::new(self.kafka.clone(), self.topics.clone());
        let orchestrator = self
            .runtime
            .block_on(async {
                let store = store::open(&self.store_url).await?;
                Orchestrator::start(config, store, self.definitions.clone()).await
            })
            .expect("an orchestrator starts");
        self.orchestrators.push(orchestrator);
    }

    /// Starts so many sagas, gives them the events and decisions that they wait for, drops an orchestrator when half of them
    /// have settled, and waits for the rest.
    ///
    /// # Panics
    ///
    /// If they do not all settle, or the books do not balance.
    #[expect(clippy::print_stdout, reason = "a test that fails shows it")]
    pub fn perform(&mut self, count: u64) -> Outcome {
        println!("seed {}", self.seed);
        let mut waiting = Vec::new();
        for n in 0..count {
            let awaited = (self.play.awaited)(n);
            if let Some(awaited) = awaited.as_ref().filter(|awaited| awaited.early) {
                self.publish(awaited.topic, None, &awaited.record);
            }
            let (key, event) = (self.play.event)(n);
            self.publish(self.play.source, Some(&key), &event);
            let saga = format!("{}/{key}", self.definitions[0].name);
            let late = awaited.filter(|awaited| !awaited.early);
            waiting.push(Waiting { saga, late });
        }
        let keys: Vec<String> = waiting.iter().map(|one| one.saga.clone()).collect();
        self.see_through(waiting);
        let sagas = self.with_children(&keys);
        let effects = self.runtime.block_on(self.troupe.effects());
        let faults = faults(&sagas, &self.definitions, &effects);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        let of = |status| sagas.iter().filter(|saga| saga.status == status).count();
        Outcome {
            completed: of(Status::Completed),
            compensated: of(Status::Compensated),
            children: sagas.len() - keys.len(),
            effects: effects.len(),
        }
    }

    fn see_through(&mut self, mut waiting: Vec<Waiting>) {
        let (all, until) = (waiting.len(), Instant::now() + SETTLE_MAX);
        let mut decided = BTreeSet::new();
        let mut has_crashed = false;
        while !waiting.is_empty() {
            let keys: Vec<String> = waiting.iter().map(|one| one.saga.clone()).collect();
            let sagas = self.load(&keys);
            waiting.retain(|one| {
                let saga = sagas.iter().find(|saga| saga.key == one.saga);
                !saga.is_some_and(|saga| saga.status.has_ended())
            });
            for one in &mut waiting {
                if let Some(saga) = sagas.iter().find(|saga| saga.key == one.saga) {
                    self.help(saga, one, &mut decided);
                }
            }
            if !has_crashed && waiting.len() * 2 <= all {
                drop(self.orchestrators.remove(0));
                self.add_orchestrator();
                has_crashed = true;
            }
            if Instant::now() > until {
                panic!(
                    "{} of {all} did not settle: {:#?}",
                    waiting.len(),
                    sagas.first()
                );
            }
            self.runtime
                .block_on(async { tokio::time::sleep(LOOK_EVERY).await });
        }
    }

    /// Gives a saga what it waits for.
    fn help(&self, saga: &Saga, waiting: &mut Waiting, decided: &mut BTreeSet<String>) {
        let waits = |kind| {
            let mut lines = saga.lines.iter();
            lines.find(|line| line.kind == kind && line.status == LineStatus::InFlight)
        };
        if waits(LineKind::Wait).is_some()
            && let Some(awaited) = waiting.late.take()
        {
            self.publish(awaited.topic, None, &awaited.record);
        }
        if let Some(line) = waits(LineKind::Approve)
            && decided.insert(saga.key.clone())
        {
            self.decide(saga, &line.occurrence);
        }
    }

    fn decide(&self, saga: &Saga, occurrence: &str) {
        let decision = Decision {
            saga: saga.key.clone(),
            step: Some(occurrence.to_owned()),
            approved: draw(self.seed, &saga.key) >= 20,
            by: "ada".to_owned(),
            role: Some("sales".to_owned()),
            reason: Some("a test decides".to_owned()),
            at_ms: 1,
        };
        let payload = Codec::single_object()
            .encode_decision(&decision)
            .expect("a decision is small");
        let mut record =
            OutgoingRecord::new(self.topics.inbox(), payload).with_key(saga.key.as_str());
        let partitions = TopicSizes::default().inbox_partitions;
        record.partition = Some(backstitch_broker::partition_of(
            saga.key.as_bytes(),
            partitions,
        ));
        self.produce(record);
    }

    fn publish(&self, topic: &str, key: Option<&str>, value: &Value) {
        let topic = format!("{}.{topic}", self.topics.prefix());
        let mut record = OutgoingRecord::new(topic, value.to_string().into_bytes());
        if let Some(key) = key {
            record = record.with_key(key);
        }
        self.produce(record);
    }

    fn produce(&self, record: OutgoingRecord) {
        let producer = self.producer.as_ref().expect("it goes with the stage");
        producer
            .send_one(record)
            .expect("the broker takes a record");
    }

    fn load(&self, keys: &[String]) -> Vec<Saga> {
        let store = self.store.as_ref().expect("it goes with the stage");
        let rows = self.runtime.block_on(store.load(keys));
        rows.expect("the store answers")
            .iter()
            .map(|row| {
                serde_json::from_slice(&row.state).expect("a state in the store can be read")
            })
            .collect()
    }

    /// These sagas, and all that they run.
    fn with_children(&self, keys: &[String]) -> Vec<Saga> {
        let mut found = self.load(keys);
        let mut open: Vec<String> = children(&found);
        while !open.is_empty() {
            let sagas = self.load(&open);
            open = children(&sagas);
            found.extend(sagas);
        }
        found
    }
}

/// A saga that has not settled yet.
#[derive(Debug)]
struct Waiting {
    saga: String,
    /// What is published once it waits.
    late: Option<Awaited>,
}

fn children(sagas: &[Saga]) -> Vec<String> {
    sagas
        .iter()
        .flat_map(|saga| &saga.lines)
        .filter(|line| line.kind == LineKind::Run)
        .filter_map(|line| line.target.clone())
        .collect()
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.runtime.block_on(self.troupe.end());
        for orchestrator in self.orchestrators.drain(..) {
            // A test that fails leaves nothing running either; why it failed is told elsewhere.
            let _ = orchestrator.drain();
        }
        self.producer = None;
        self.store = None;
        let needed = topics_needed(&self.topics, &self.definitions);
        let topics: Vec<String> = needed.own.into_iter().chain(needed.sources).collect();
        self.standing.give_back(&self.kafka, &topics, &self.runtime);
        // Last: the databases of the workers lie in it.
        let _ = self.folder.path();
    }
}
