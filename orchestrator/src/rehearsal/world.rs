//! The world of one run: the real machine and core, over a store and a broker in memory, with time
//! that is turned by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use backstitch_broker::{IncomingRecord, OutgoingRecord, partition_of};
use backstitch_saga::core::mailbox;
use backstitch_schemas::wire::Topics;
use backstitch_schemas::{Codec, Command, EncodeError};

use super::cast::{Cast, Data};
use super::intake::Meant;
use super::post::Stored;
use super::script::{Fault, Script};
use super::witness::Witness;
use super::workers::{Said, Workers};
use crate::engine::machine::{CommitOutcome, Effect, Input, Machine, MachineConfig, Report};
use crate::store::{CommitError, CommitPlan, MemoryStore, ShardId};

/// When a world begins: 2027-01-15 08:00 UTC. Milliseconds since the Unix epoch.
pub(super) const BEGIN_MS: i64 = 1_800_000_000_000;
/// Inbox partitions: sagas, children and mailboxes lie in different ones.
const PARTITIONS: i32 = 3;
/// A run that has more events than this goes round in circles.
const EVENTS_MAX: u32 = 20_000;
/// How far ahead the machine keeps timers in memory: looking often would cost a rehearsal of days
/// more than all else.
const HORIZON_MS: i64 = 30 * 86_400_000;
/// How long a worker takes, and how long a record from outside.
const WORK_MS: i64 = 1;

/// What happens at a point in time.
#[derive(Debug)]
pub(super) enum Happening {
    /// Intake reads a record of a source topic.
    Read(Box<(IncomingRecord, Meant)>),
    /// A record reaches the inbox.
    Place(Stored),
    /// A worker takes a command.
    Work(Box<Command>),
}

/// One partition of the inbox, as it is read.
#[derive(Debug)]
struct Reader {
    generation: u64,
    next: usize,
    is_paused: bool,
}

#[derive(Debug)]
pub(super) struct World<'c> {
    pub(super) cast: &'c Cast,
    pub(super) data: &'c Data,
    pub(super) script: &'c Script,
    pub(super) now: i64,
    queue: BTreeMap<(i64, u64), Happening>,
    queued: u64,
    events: u32,
    topics: Topics,
    inbox_topic: Arc<str>,
    pub(super) codec: Codec,
    machine: Machine,
    inputs: VecDeque<Input>,
    readers: BTreeMap<ShardId, Reader>,
    inbox: Vec<Vec<Stored>>,
    pub(super) store: MemoryStore,
    /// Commits that the machine has asked for, over all its lives.
    pub(super) commits: u64,
    pub(super) workers: Workers,
    pub(super) witness: Witness,
    /// Counts the records of each source topic.
    pub(super) offsets: BTreeMap<String, i64>,
    /// The keys to which the event has led that starts the saga.
    pub(super) begun: BTreeSet<String>,
    /// Why that event starts nothing, if it does not.
    pub(super) refusal: Option<String>,
    /// Whether all goes well again, whatever the script has.
    pub(super) is_healed: bool,
    /// What could not be played, in words.
    pub(super) notes: BTreeSet<String>,
    /// The first rule that was broken.
    pub(super) wrong: Option<String>,
}

impl<'c> World<'c> {
    pub(super) fn new(cast: &'c Cast, data: &'c Data, script: &'c Script) -> Self {
        let store = MemoryStore::new();
        store
            .prepare_now(PARTITIONS)
            .expect("a new store takes any number of shards");
        let topics = Topics::default();
        let codec = Codec::single_object();
        let mut world = Self {
            cast,
            data,
            script,
            now: BEGIN_MS,
            queue: BTreeMap::new(),
            queued: 0,
            events: 0,
            inbox_topic: Arc::from(topics.inbox()),
            machine: new_machine(cast, &topics, &codec),
            topics,
            codec,
            inputs: VecDeque::new(),
            readers: BTreeMap::new(),
            inbox: vec![Vec::new(); usize::try_from(PARTITIONS).unwrap_or(1)],
            store,
            commits: 0,
            workers: Workers::new(cast.patience),
            witness: Witness::default(),
            offsets: BTreeMap::new(),
            begun: BTreeSet::new(),
            refusal: None,
            is_healed: false,
            notes: BTreeSet::new(),
            wrong: None,
        };
        world.take_over();
        world
    }

    /// Turns time until nothing is left to happen, or something is wrong.
    pub(super) fn run(&mut self) {
        loop {
            self.pump();
            if self.wrong.is_some() {
                return;
            }
            let is_quiet = self.queue.is_empty() && !self.is_awaited();
            if is_quiet {
                let held = self.workers.release();
                if held.is_empty() {
                    return;
                }
                self.say(held);
                continue;
            }
            self.events += 1;
            if self.events > EVENTS_MAX {
                let what = format!("it goes round in circles: more than {EVENTS_MAX} events");
                return self.fail(what);
            }
            // What was due by now has been done: a time in the past would stand still.
            let wake = self.machine.next_wake_ms().unwrap_or(i64::MAX);
            let wake = wake.max(self.now + 1);
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            self.now = next.map_or(wake, |next| next.min(wake)).max(self.now);
            let due = self
                .queue
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now);
            match due.map(std::collections::btree_map::OccupiedEntry::remove) {
                Some(Happening::Read(read)) => self.read_source(&read.0, &read.1),
                Some(Happening::Place(record)) => self.place(record),
                Some(Happening::Work(command)) => self.work(&command),
                None => self.inputs.push_back(Input::Tick),
            }
        }
    }

    /// Whether time alone will change a saga.
    fn is_awaited(&self) -> bool {
        let due = |shard| {
            !self
                .store
                .due_now(ShardId(shard), None, i64::MAX, 1)
                .is_empty()
        };
        !self.machine.is_idle() || (0..PARTITIONS).any(due)
    }

    /// The first thing that is wrong ends the run.
    pub(super) fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub(super) fn after(&mut self, wait_ms: i64, happening: Happening) {
        self.queued += 1;
        let at = self.now.saturating_add(wait_ms.max(0));
        self.queue.insert((at, self.queued), happening);
    }

    /// Nothing moves until then, in the whole world; then everything is due that became so meanwhile.
    pub(super) fn stand_still_until(&mut self, at_ms: i64) {
        self.now = self.now.max(at_ms);
        self.inputs.push_back(Input::Tick);
    }

    /// Sends a record from outside to the inbox.
    pub(super) fn send(&mut self, wait_ms: i64, record: Result<Stored, EncodeError>) {
        match record {
            Ok(record) => self.after(wait_ms, Happening::Place(record)),
            Err(error) => self.fail(format!("a record cannot be written: {error}")),
        }
    }

    /// Sends what workers said.
    pub(super) fn say(&mut self, said: Vec<Said>) {
        for said in said {
            let of = partition_of(said.reply.saga.as_bytes(), PARTITIONS);
            if of != said.partition {
                return self.fail("a command names another partition for its answer".to_owned());
            }
            let record = Stored::reply(&self.codec, &said.reply);
            self.send(said.wait_ms, record);
        }
    }

    // ---- the orchestrator --------------------------------------------------------------------

    /// An orchestrator begins, and takes over what there is.
    fn take_over(&mut self) {
        self.machine = new_machine(self.cast, &self.topics, &self.codec);
        self.inputs.clear();
        self.readers.clear();
        let all = (0..PARTITIONS).map(ShardId).collect();
        self.inputs.push_back(Input::Assigned(all));
    }

    /// Lets the machine decide until it has nothing more to do now.
    fn pump(&mut self) {
        loop {
            let mut is_still = self.inputs.is_empty();
            while let Some(input) = self.inputs.pop_front() {
                self.machine.take(input, self.now);
            }
            is_still &= !self.read();
            let effects = self.machine.turn(self.now);
            if is_still && effects.is_empty() {
                return;
            }
            for effect in effects {
                let lives_on = self.carry_out(effect);
                if self.wrong.is_some() {
                    return;
                }
                if !lives_on {
                    self.take_over();
                    break;
                }
            }
        }
    }

    /// Reads the inbox. Returns whether there was something.
    fn read(&mut self) -> bool {
        let mut any = false;
        for (shard, reader) in &mut self.readers {
            let partition = usize::try_from(shard.0).unwrap_or(0);
            let log = &self.inbox[partition];
            if reader.is_paused || reader.next >= log.len() {
                continue;
            }
            let read = log.iter().enumerate().skip(reader.next);
            let records = read
                .map(|(n, stored)| {
                    let offset = i64::try_from(n).unwrap_or(i64::MAX);
                    stored.read(&self.inbox_topic, shard.0, offset, reader.generation)
                })
                .collect();
            reader.next = log.len();
            let shard = *shard;
            self.machine
                .take(Input::Records { shard, records }, self.now);
            any = true;
        }
        any
    }

    /// Carries an effect out. Returns whether the orchestrator lives on.
    fn carry_out(&mut self, effect: Effect) -> bool {
        let answer = match effect {
            Effect::Claim(shards) => {
                let rows = self.store.claim_now(&shards, "rehearsal");
                Input::Claimed(rows.unwrap_or_default())
            }
            Effect::ReadOutbox {
                shard,
                epoch,
                after_seq,
                limit,
            } => {
                let rows = self.store.journal_of_shard_now(shard, after_seq, limit);
                let rows = Some(rows);
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
                let all = self.cast.by_name.values();
                Input::Definitions(all.map(|one| (**one).clone()).collect())
            }
            Effect::Read {
                shard,
                offset,
                generation,
            } => {
                let reader = Reader {
                    generation,
                    next: usize::try_from(offset).unwrap_or(0),
                    is_paused: false,
                };
                self.readers.insert(shard, reader);
                return true;
            }
            Effect::Pause(shard) => {
                self.pause(shard, true);
                return true;
            }
            Effect::Resume(shard) => {
                self.pause(shard, false);
                return true;
            }
            Effect::Commit { ticket, plan } => {
                self.commits += 1;
                let fault = self.script.commits.get(&self.commits).copied();
                if fault == Some(Fault::CrashBefore) {
                    return false;
                }
                let outcome = self.commit(&plan);
                match fault {
                    Some(Fault::CrashAfter) => return false,
                    Some(Fault::InDoubt) => Input::Committed {
                        ticket,
                        outcome: CommitOutcome::InDoubt,
                    },
                    _ => Input::Committed { ticket, outcome },
                }
            }
            Effect::Publish { batch, records } => {
                for record in records {
                    self.publish(record);
                }
                Input::Published(batch)
            }
            Effect::Report(Report::Violation(what)) => {
                self.fail(what);
                return true;
            }
            Effect::Release(_) | Effect::LetGo(_) | Effect::Drained | Effect::Report(_) => {
                return true;
            }
        };
        self.inputs.push_back(answer);
        true
    }

    fn pause(&mut self, shard: ShardId, is_paused: bool) {
        if let Some(reader) = self.readers.get_mut(&shard) {
            reader.is_paused = is_paused;
        }
    }

    fn commit(&mut self, plan: &CommitPlan) -> CommitOutcome {
        match self.store.commit_now(plan) {
            Ok(()) => {
                match self.witness.see(&self.codec, plan) {
                    Ok(asked) => {
                        for asked in asked {
                            self.respond(&asked);
                        }
                    }
                    Err(what) => self.fail(what),
                }
                CommitOutcome::Done
            }
            Err(CommitError::Fenced { shards }) => CommitOutcome::Fenced(shards),
            Err(error) => {
                self.fail(format!("the store refuses a commit: {error}"));
                CommitOutcome::Refused
            }
        }
    }

    // ---- the broker --------------------------------------------------------------------------

    fn publish(&mut self, record: OutgoingRecord) {
        let payload = record.payload.as_deref().unwrap_or_default();
        if *record.topic == *self.inbox_topic {
            self.place(Stored::from(record));
        } else if *record.topic == self.topics.journal() {
            let arrived = match self.codec.decode_journal_entry(payload) {
                Ok(entry) => self.witness.entry_arrives(&entry),
                // Definitions travel with the journal.
                Err(_) if self.codec.decode_definition(payload).is_ok() => Ok(()),
                Err(error) => Err(format!("a journal record cannot be read: {error}")),
            };
            if let Err(what) = arrived {
                self.fail(what);
            }
        } else if *record.topic != self.topics.dead_letters() {
            match self.codec.decode_command(payload) {
                Ok(command) => match self.witness.command_leaves(&command) {
                    Ok(()) => self.after(WORK_MS, Happening::Work(Box::new(command))),
                    Err(what) => self.fail(what),
                },
                Err(error) => self.fail(format!("a command cannot be read: {error}")),
            }
        }
    }

    fn place(&mut self, record: Stored) {
        let key = record.key.as_deref().unwrap_or_default();
        let partition = partition_of(key, PARTITIONS);
        if let Some(log) = usize::try_from(partition)
            .ok()
            .and_then(|n| self.inbox.get_mut(n))
        {
            log.push(record);
        }
    }

    /// A worker takes a command, and another one after it if it dies.
    fn work(&mut self, command: &Command) {
        let answering = self.answering(command);
        let output = self.output(command);
        let work = self
            .workers
            .take(command, answering.as_deref(), output, self.now);
        self.say(work.said);
        if let Some(again_ms) = work.again_ms {
            self.after(again_ms, Happening::Work(Box::new(command.clone())));
        }
    }

    /// The saga that was begun first.
    pub(super) fn main_saga(&self) -> Option<&str> {
        let mut sagas = self.witness.sagas.keys();
        sagas
            .find(|key| self.witness.label_of(key) == Some("") && !mailbox::is_mailbox(key))
            .map(String::as_str)
    }
}

fn new_machine(cast: &Cast, topics: &Topics, codec: &Codec) -> Machine {
    let config = MachineConfig {
        horizon_ms: HORIZON_MS,
        ..MachineConfig::new(topics.clone(), PARTITIONS)
    };
    Machine::new(config, codec.clone(), cast.book.clone())
}
