//! The world: everything there is in a run, and the loop that turns its time.

use std::collections::{BTreeMap, BTreeSet};

use backstitch_broker::OutgoingRecord;
use backstitch_orchestrator::engine::machine::{BatchId, Input};
use backstitch_orchestrator::store::{MemoryStore, ShardId};
use backstitch_schemas::Codec;

use super::broker::{Broker, Stored};
use super::faults::{Bug, Faults};
use super::group::Group;
use super::judge::Judge;
use super::planted::Altered;
use super::process::Process;
use super::rng::Rng;
use super::scenario::Scenario;
use super::storekeeper::Ask;
use super::workers::Guild;

/// When the world begins. Milliseconds since the Unix epoch.
pub(super) const BEGIN_MS: i64 = 1_000_000;
/// A run that has more events than this goes round in circles.
const EVENTS_MAX: u64 = 40_000;
/// So long after the last fault everything has to be settled.
const HEALED_MS_MAX: i64 = 60_000;

/// How often each situation was met.
pub(super) type Marks = BTreeMap<&'static str, u64>;

/// One life of one process: what is meant for an earlier one is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) process: usize,
    pub(super) number: u64,
}

/// What happens at a point in time.
#[derive(Debug)]
pub(super) enum Event {
    /// An input reaches a machine.
    Deliver(Life, Input),
    /// A machine decides on what it was given.
    Turn(Life),
    /// A machine asked to be woken.
    Wake(Life),
    /// A question or a commit reaches the store.
    Store(Life, Ask),
    /// A produced record reaches its topic.
    Arrive {
        of: Life,
        producer: u64,
        record: Box<OutgoingRecord>,
        partition: i32,
    },
    /// Every record of a batch has arrived.
    Acked(Life, u64, BatchId),
    /// The inbox is read on.
    Fetch(Life, ShardId, u64),
    /// A process goes on after a pause.
    GoOn(Life),
    /// A process is started again.
    Restart(usize),
    /// The group has waited long enough for a partition to be given up.
    HandOver(ShardId, u64),
    /// The old owner of a partition hears of it.
    Tell(Life, ShardId),
    /// The group looks who is alive.
    Heartbeats,
    /// A worker makes its next move.
    Work(usize, u64),
    /// A record from outside reaches a topic.
    Place { partition: i32, record: Box<Stored> },
    /// An order comes in.
    Order(usize),
    /// Something may go wrong.
    Stir,
    /// Nothing goes wrong any more.
    Heal,
    /// The operator looks after what is parked, and the world whether it is done.
    LookAround,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) bug: Option<Bug>,
    pub(super) is_traced: bool,
    pub(super) rng: Rng,
    pub(super) now: i64,
    queue: BTreeMap<(i64, u64), Event>,
    queued: u64,
    pub(super) events: u64,
    pub(super) hash: u64,
    pub(super) faults: Faults,
    pub(super) fault_count: u64,
    pub(super) is_healed: bool,
    pub(super) scenario: Scenario,
    pub(super) codec: Codec,
    pub(super) store: MemoryStore,
    pub(super) broker: Broker,
    pub(super) group: Group,
    pub(super) processes: Vec<Process>,
    pub(super) guild: Guild,
    pub(super) judge: Judge,
    /// Records from outside that are still on their way.
    pub(super) on_the_way: usize,
    /// Sagas that were ordered.
    pub(super) ordered: BTreeSet<String>,
    /// What a planted bug has altered.
    pub(super) altered: Altered,
    /// Situations that were met.
    pub(super) marks: Marks,
    pub(super) wrong: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>, is_traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let faults = Faults::draw(&mut rng);
        let scenario = Scenario::draw(&mut rng, bug);
        let store = MemoryStore::new();
        store
            .prepare_now(scenario.partitions)
            .expect("a new store takes any number of shards");
        let mut world = Self {
            bug,
            is_traced,
            now: BEGIN_MS,
            queue: BTreeMap::new(),
            queued: 0,
            events: 0,
            hash: seed ^ 0xcbf2_9ce4_8422_2325,
            faults,
            fault_count: 0,
            is_healed: false,
            codec: Codec::single_object(),
            store,
            broker: Broker::new(scenario.partitions, &scenario.activities),
            group: Group::new(scenario.partitions),
            processes: Vec::new(),
            guild: Guild::new(&scenario.activities),
            judge: Judge::default(),
            on_the_way: 0,
            ordered: BTreeSet::new(),
            altered: Altered::new(),
            marks: Marks::new(),
            wrong: None,
            rng,
            scenario,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for process in 0..self.scenario.processes {
            self.processes.push(Process::dead());
            self.start_process(process);
        }
        self.first_assignment();
        for worker in 0..self.guild.workers.len() {
            self.wake_worker(worker);
        }
        for order in 0..self.scenario.sagas {
            let wait = self.rng.between(0, self.scenario.chaos_ms / 2);
            self.after(wait, Event::Order(order));
        }
        self.after(10, Event::Stir);
        self.after(50, Event::Heartbeats);
        self.after(self.scenario.chaos_ms, Event::Heal);
        self.after(self.scenario.chaos_ms + 200, Event::LookAround);
    }

    /// Turns time until all is settled, or something is wrong.
    pub(super) fn run(&mut self) {
        while self.wrong.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                return self.fail("nothing is left to happen".to_owned());
            };
            self.now = self.now.max(at);
            self.events += 1;
            self.note(&event);
            if self.events > EVENTS_MAX {
                return self.fail(format!("more than {EVENTS_MAX} events: {}", self.unrest()));
            }
            let limit = BEGIN_MS + self.scenario.chaos_ms + HEALED_MS_MAX;
            if self.now > limit {
                return self.fail(format!("liveness: {}", self.unrest()));
            }
            if matches!(event, Event::LookAround) && self.is_settled() {
                return self.judge_all();
            }
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(to, input) => self.deliver(to, input),
            Event::Turn(of) => self.turn(of),
            Event::Wake(of) => self.wake(of),
            Event::Store(of, ask) => self.reach_store(of, ask),
            Event::Arrive {
                of,
                producer,
                record,
                partition,
            } => self.arrive(of, producer, *record, partition),
            Event::Acked(of, producer, batch) => self.acked(of, producer, batch),
            Event::Fetch(of, shard, generation) => self.fetch(of, shard, generation),
            Event::GoOn(of) => self.go_on(of),
            Event::Restart(process) => self.start_process(process),
            Event::HandOver(shard, number) => self.hand_over(shard, number),
            Event::Tell(of, shard) => self.tell(of, shard),
            Event::Heartbeats => self.heartbeats(),
            Event::Work(worker, life) => self.work(worker, life),
            Event::Place { partition, record } => {
                self.on_the_way -= 1;
                self.place(partition, *record);
            }
            Event::Order(order) => self.order(order),
            Event::Stir => self.stir(),
            Event::Heal => self.heal(),
            Event::LookAround => self.look_around(),
        }
    }

    /// Lets something happen after a while.
    pub(super) fn after(&mut self, wait_ms: i64, event: Event) {
        self.at(self.now.saturating_add(wait_ms.max(0)), event);
    }

    pub(super) fn at(&mut self, at_ms: i64, event: Event) {
        self.queued += 1;
        let at_ms = at_ms.max(self.now);
        self.queue.insert((at_ms, self.queued), event);
    }

    /// How long something ordinary takes.
    pub(super) fn latency(&mut self) -> i64 {
        self.rng.between(1, self.faults.latency_ms)
    }

    /// Whether a fault happens now; counts it.
    pub(super) fn strikes(&mut self, permille: u32) -> bool {
        let strikes = self.rng.happens(permille) && !self.is_healed;
        self.fault_count += u64::from(strikes);
        strikes
    }

    pub(super) fn has_bug(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Notes that a situation was met.
    pub(super) fn mark(&mut self, situation: &'static str) {
        *self.marks.entry(situation).or_insert(0) += 1;
    }

    /// The first thing that is wrong ends the run.
    pub(super) fn fail(&mut self, what: String) {
        if self.is_traced {
            self.trace(|_| format!("WRONG {what}"));
        }
        self.wrong.get_or_insert(what);
    }
}
