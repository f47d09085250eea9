//! Orchestrators without threads: machines over one store in memory, an inbox and what was published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use backstitch_broker::{Headers, IncomingRecord, OutgoingRecord, partition_of};
use backstitch_orchestrator::engine::Book;
use backstitch_orchestrator::engine::machine::{
    CommitOutcome, Counters, Effect, Input, Machine, MachineConfig, Report,
};
use backstitch_orchestrator::store::{CommitError, DefinitionRow, MemoryStore, ShardId};
use backstitch_saga::{Definition, Saga};
use backstitch_schemas::{
    Codec, Command, DeadLetter, Decision, Direction, InboxMessage, Reply, ReplyOutcome,
    SourcePosition, Start, WaitEvent, wire,
};

pub(crate) const PARTITIONS: i32 = 4;

type Answers = Box<dyn Fn(&Command) -> Option<(ReplyOutcome, Option<Vec<u8>>)>>;

/// One orchestrator.
struct Node {
    machine: Machine,
    /// By shard: next offset to read and generation.
    readers: BTreeMap<ShardId, (usize, u64)>,
    inputs: VecDeque<Input>,
}

/// All there is.
pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) codec: Codec,
    pub(crate) store: MemoryStore,
    pub(crate) topics: wire::Topics,
    /// Everything that left, in order.
    pub(crate) published: Vec<OutgoingRecord>,
    pub(crate) reports: Vec<Report>,
    /// What is to leave is lost, as by a crash between commit and publishing.
    pub(crate) is_mute: bool,
    inbox: Vec<Vec<IncomingRecord>>,
    nodes: Vec<Option<Node>>,
    answers: Answers,
}

/// Reads a definition.
pub(crate) fn definition(yaml: &str) -> Definition {
    Definition::from_yaml(yaml).unwrap_or_else(|found| panic!("{found:?}"))
}

impl World {
    /// An empty world, whose workers do whatever they are asked, and answer `{}`.
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        store.prepare_now(PARTITIONS).unwrap();
        Self {
            now: 1_000_000,
            codec: Codec::single_object(),
            store,
            topics: wire::Topics::default(),
            published: Vec::new(),
            reports: Vec::new(),
            is_mute: false,
            inbox: vec![Vec::new(); usize::try_from(PARTITIONS).unwrap()],
            nodes: Vec::new(),
            answers: Box::new(|_| Some((ReplyOutcome::Done, Some(b"{}".to_vec())))),
        }
    }

    /// Lets the workers answer otherwise; `None` is silence.
    pub(crate) fn workers(
        &mut self,
        answers: impl Fn(&Command) -> Option<(ReplyOutcome, Option<Vec<u8>>)> + 'static,
    ) {
        self.answers = Box::new(answers);
    }

    /// Starts an orchestrator as the program does: what the store has, then its own definitions.
    /// It owns these shards. Returns its number.
    pub(crate) fn starts(&mut self, own: &[Definition], shards: &[i32]) -> usize {
        let mut book = Book::default();
        for row in self.store.definitions_now() {
            book.add(Definition::from_stored(&row.source).unwrap());
        }
        for definition in own {
            self.remembers(definition);
            book.publish(definition.clone());
        }
        let config = MachineConfig::new(self.topics.clone(), PARTITIONS);
        let mut machine = Machine::new(config, self.codec.clone(), book);
        let shards = shards.iter().map(|id| ShardId(*id)).collect();
        machine.take(Input::Assigned(shards), self.now);
        self.nodes.push(Some(Node {
            machine,
            readers: BTreeMap::new(),
            inputs: VecDeque::new(),
        }));
        self.run();
        self.nodes.len() - 1
    }

    /// A definition comes into the store.
    pub(crate) fn remembers(&mut self, definition: &Definition) {
        self.store.put_definition_now(&DefinitionRow {
            hash: definition.hash.clone(),
            name: definition.name.clone(),
            source: definition.stored(),
            first_seen_at_ms: self.now,
        });
        self.now += 1;
    }

    /// An orchestrator dies.
    pub(crate) fn dies(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub(crate) fn counters(&self, node: usize) -> Counters {
        self.nodes[node].as_ref().unwrap().machine.counters()
    }

    /// Time passes.
    pub(crate) fn passes(&mut self, ms: i64) {
        self.now += ms;
        self.run();
    }

    /// A record for the inbox, in the partition of its key.
    pub(crate) fn sends(&mut self, key: &str, payload: Vec<u8>) {
        self.writes(key, payload, Headers::new());
        self.run();
    }

    fn writes(&mut self, key: &str, payload: Vec<u8>, headers: Headers) {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let log = &mut self.inbox[usize::try_from(partition).unwrap()];
        log.push(IncomingRecord {
            topic: Arc::from(self.topics.inbox()),
            partition,
            offset: i64::try_from(log.len()).unwrap(),
            generation: 0,
            key: Some(key.as_bytes().to_vec()),
            payload: Some(payload),
            headers,
            timestamp_ms: self.now,
        });
    }

    /// Starts a saga by its event.
    pub(crate) fn begins(&mut self, saga: &str, event: &str) {
        let start = Start {
            definition: saga.split('/').next().unwrap().to_owned(),
            saga: saga.to_owned(),
            event: event.as_bytes().to_vec(),
            source: None,
            event_time_ms: self.now,
            by: None,
            at_ms: self.now,
            parent: None,
        };
        let payload = self.codec.encode_start(&start).unwrap();
        self.sends(saga, payload);
    }

    /// The worker of a step says that it is done.
    pub(crate) fn does(&mut self, saga: &str, step: &str) {
        let asked = self.published.iter().rev().find_map(|record| {
            let payload = record.payload.as_deref()?;
            let command = self.codec.decode_command(payload).ok()?;
            (command.saga == saga && command.step == step).then_some(command)
        });
        self.answer(&asked.unwrap(), ReplyOutcome::Done, None);
        self.run();
    }

    /// Intake has read a record for a mailbox.
    pub(crate) fn happens(
        &mut self,
        mailbox: &str,
        value: &str,
        offset: i64,
        until_ms: Option<i64>,
    ) {
        let event = WaitEvent {
            saga: mailbox.to_owned(),
            step: None,
            value: value.as_bytes().to_vec(),
            source: SourcePosition {
                topic: "shipments".to_owned(),
                partition: 0,
                offset,
            },
            until_ms,
            at_ms: self.now,
        };
        let payload = self.codec.encode_wait_event(&event).unwrap();
        self.sends(mailbox, payload);
    }

    /// A person decides.
    pub(crate) fn decides(&mut self, saga: &str, approved: bool, role: Option<&str>) {
        let decision = Decision {
            saga: saga.to_owned(),
            step: None,
            approved,
            by: "ada".to_owned(),
            role: role.map(str::to_owned),
            reason: Some("looked at it".to_owned()),
            at_ms: self.now,
        };
        let payload = self.codec.encode_decision(&decision).unwrap();
        self.sends(saga, payload);
    }

    /// Runs until nothing moves but time.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for node in 0..self.nodes.len() {
                moved |= self.turn(node);
            }
            if !moved {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn turn(&mut self, number: usize) -> bool {
        let Some(mut node) = self.nodes[number].take() else {
            return false;
        };
        let mut moved = false;
        for (shard, (next, generation)) in &mut node.readers {
            let log = &self.inbox[usize::try_from(shard.0).unwrap()];
            if *next < log.len() {
                let fresh = log[*next..].iter().cloned();
                let records = fresh.map(|record| IncomingRecord {
                    generation: *generation,
                    ..record
                });
                let (shard, records) = (*shard, records.collect());
                node.machine
                    .take(Input::Records { shard, records }, self.now);
                *next = log.len();
                moved = true;
            }
        }
        while let Some(input) = node.inputs.pop_front() {
            node.machine.take(input, self.now);
            moved = true;
        }
        for effect in node.machine.turn(self.now) {
            moved = true;
            self.carry_out(&mut node, effect);
        }
        self.nodes[number] = Some(node);
        moved
    }

    fn carry_out(&mut self, node: &mut Node, effect: Effect) {
        let answer = match effect {
            Effect::Claim(shards) => Input::Claimed(self.store.claim_now(&shards, "test").unwrap()),
            Effect::ReadOutbox {
                shard,
                epoch,
                after_seq,
                limit,
            } => {
                let rows = Some(self.store.journal_of_shard_now(shard, after_seq, limit));
                Input::Outbox { shard, epoch, rows }
            }
            Effect::ReadDue {
                shard,
                epoch,
                after,
                until_ms,
                limit,
            } => {
                let after = after.as_ref().map(|(at, key)| (*at, key.as_str()));
                let rows = Some(self.store.due_now(shard, after, until_ms, limit));
                Input::Due { shard, epoch, rows }
            }
            Effect::Load { shards, keys } => {
                let rows = Some(self.store.load_now(&keys));
                Input::Loaded { shards, keys, rows }
            }
            Effect::ReadDefinitions => {
                let rows = self.store.definitions_now();
                let read = rows
                    .iter()
                    .map(|row| Definition::from_stored(&row.source).unwrap());
                Input::Definitions(read.collect())
            }
            Effect::Commit { ticket, plan } => {
                let outcome = match self.store.commit_now(&plan) {
                    Ok(()) => CommitOutcome::Done,
                    Err(CommitError::Fenced { shards }) => CommitOutcome::Fenced(shards),
                    Err(error) => panic!("{error}"),
                };
                Input::Committed { ticket, outcome }
            }
            Effect::Publish { batch, records } => {
                if self.is_mute {
                    return;
                }
                for record in records {
                    self.publish(record);
                }
                Input::Published(batch)
            }
            Effect::Read {
                shard,
                offset,
                generation,
            } => {
                let next = usize::try_from(offset).unwrap();
                node.readers.insert(shard, (next, generation));
                return;
            }
            Effect::Report(report) => return self.reports.push(report),
            Effect::Pause(_)
            | Effect::Resume(_)
            | Effect::Release(_)
            | Effect::LetGo(_)
            | Effect::Drained => return,
        };
        node.inputs.push_back(answer);
    }

    fn publish(&mut self, record: OutgoingRecord) {
        if *record.topic == *self.topics.inbox() {
            let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
            assert_eq!(
                record.partition,
                Some(partition_of(key.as_bytes(), PARTITIONS))
            );
            self.writes(
                &key,
                record.payload.clone().unwrap(),
                record.headers.clone(),
            );
        } else if record.topic.contains(".commands.") {
            let payload = record.payload.as_deref().unwrap();
            let command = self.codec.decode_command(payload).unwrap();
            if let Some((outcome, output)) = (self.answers)(&command) {
                self.answer(&command, outcome, output);
            }
        }
        self.published.push(record);
    }

    fn answer(&mut self, command: &Command, outcome: ReplyOutcome, output: Option<Vec<u8>>) {
        let reply = Reply {
            saga: command.saga.clone(),
            step: command.step.clone(),
            direction: command.direction,
            attempt: command.attempt,
            idempotency_key: command.idempotency_key.clone(),
            outcome,
            output,
            code: None,
            reason: None,
            worker: None,
            at_ms: self.now,
        };
        let payload = self.codec.encode_reply(&reply).unwrap();
        self.writes(&command.saga, payload, Headers::new());
    }

    /// A saga, as the store has it.
    pub(crate) fn saga(&self, key: &str) -> Saga {
        let rows = self.store.load_now(&[key.to_owned()]);
        let row = rows.first().unwrap_or_else(|| panic!("there is no {key}"));
        serde_json::from_slice(&row.state).unwrap()
    }

    pub(crate) fn exists(&self, key: &str) -> bool {
        !self.store.load_now(&[key.to_owned()]).is_empty()
    }

    pub(crate) fn status(&self, key: &str) -> &'static str {
        self.saga(key).status.name()
    }

    /// Activities and directions that were asked for, each attempt once.
    pub(crate) fn commands(&self) -> Vec<(String, Direction)> {
        let mut seen = BTreeSet::new();
        self.published
            .iter()
            .filter(|record| record.topic.contains(".commands."))
            .map(|record| {
                let payload = record.payload.as_deref().unwrap();
                self.codec.decode_command(payload).unwrap()
            })
            .filter(|command| seen.insert((command.idempotency_key.clone(), command.attempt)))
            .map(|command| (command.activity, command.direction))
            .collect()
    }

    /// What sagas said to each other, in order.
    pub(crate) fn said(&self) -> Vec<InboxMessage> {
        let inbox = self.topics.inbox();
        self.published
            .iter()
            .filter(|record| *record.topic == *inbox)
            .map(|record| {
                let payload = record.payload.as_deref().unwrap();
                self.codec.decode_inbox(payload).unwrap()
            })
            .collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        let topic = self.topics.dead_letters();
        self.published
            .iter()
            .filter(|record| *record.topic == *topic)
            .map(|record| {
                let payload = record.payload.as_deref().unwrap();
                self.codec.decode_dead_letter(payload).unwrap()
            })
            .collect()
    }
}
