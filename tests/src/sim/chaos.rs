//! What comes from outside: orders, people, accidents, and the end of them.

use backstitch_orchestrator::engine::machine::Input;
use backstitch_orchestrator::store::{ListQuery, SagaStatus};
use backstitch_saga::Saga;
use backstitch_schemas::{Act, ActKind, Direction, Reply, ReplyOutcome, Start};

use super::broker::{COMMAND_PARTITIONS, Stored};
use super::faults::Faults;
use super::scenario::NAME;
use super::world::{Event, World};

impl World {
    /// An order comes in, perhaps twice.
    pub(super) fn order(&mut self, order: usize) {
        let key = Saga::key_of(NAME, &format!("k{order}"));
        let note = ["plain", "gr\u{fc}n", "nul\\u0000"][self.rng.below(3)];
        let start = Start {
            definition: NAME.to_owned(),
            saga: key.clone(),
            event: format!("{{\"note\":\"{note}\"}}").into_bytes(),
            source: None,
            event_time_ms: self.now,
            by: None,
            at_ms: self.now,
            parent: None,
        };
        let payload = match self.codec.encode_start(&start) {
            Ok(payload) => payload,
            Err(error) => return self.fail(format!("a start cannot be written: {error}")),
        };
        let record = Stored::new(key.as_bytes(), payload, self.now);
        let times = 1 + usize::from(self.strikes(self.faults.twice));
        for n in 0..times {
            let partition = self.partition_of(&key);
            let partition = self.astray(partition);
            let wait = if n == 0 { 0 } else { self.rng.between(0, 600) };
            self.place_after(wait, partition, record.clone());
        }
        self.ordered.insert(key);
    }

    pub(super) fn partition_of(&self, key: &str) -> i32 {
        backstitch_broker::partition_of(key.as_bytes(), self.scenario.partitions)
    }

    /// The partition, or by mistake another one.
    pub(super) fn astray(&mut self, partition: i32) -> i32 {
        if self.strikes(self.faults.stray) {
            let most = i64::from(self.scenario.partitions) - 1;
            return i32::try_from(self.rng.between(0, most)).unwrap_or(partition);
        }
        partition
    }

    /// Something may go wrong.
    pub(super) fn stir(&mut self) {
        if self.is_healed {
            return;
        }
        let wait = self.rng.between(5, 25);
        self.after(wait, Event::Stir);
        let process = self.rng.below(self.processes.len());
        let of = self.life_of(process);
        let is_up = self.processes[process].machine.is_some();
        if self.strikes(self.faults.crash) && is_up {
            self.kill(process);
        } else if self.strikes(self.faults.pause) && is_up {
            self.trace(|_| format!("process {process} stops"));
            self.processes[process].is_paused = true;
            let wait = self.rng.between(20, 900);
            self.after(wait, Event::GoOn(of));
        } else if self.strikes(self.faults.drain) && is_up {
            self.processes[process].is_draining = true;
            self.deliver(of, Input::Drain);
        } else if self.strikes(self.faults.producer_lost) && is_up {
            self.lose_producer(of);
        }
        if self.strikes(self.faults.clock) {
            self.processes[process].skew_ms = self.rng.between(-400, 400);
        }
        if self.strikes(self.faults.rebalance) {
            self.move_some();
        }
        if self.strikes(self.faults.overlap) {
            let worker = self.rng.below(self.guild.workers.len());
            let partitions = [vec![0], vec![1], vec![0, 1]][self.rng.below(3)].clone();
            self.assign_worker(worker, partitions);
        }
        if self.strikes(self.faults.garbage) {
            self.poison();
        }
        if self.strikes(self.faults.act) {
            self.act();
        }
    }

    /// Puts a record that nobody can use into the inbox.
    fn poison(&mut self) {
        let key = "order/nobody".to_owned();
        let mut record = Stored::new(key.as_bytes(), b"garbage".to_vec(), self.now);
        record.headers = [("h", Some([1, 2])), ("n", None)].into_iter().collect();
        match self.rng.below(8) {
            0 => {}
            1 => record.payload = None,
            2 => record.key = None,
            3 => record.key = Some(vec![0xff, 0xfe]),
            4 => record.payload = self.stranger_reply("order/somebody"),
            5 => record.payload = self.stranger_reply(&key),
            6 => {
                let key = "order/nul\u{0}";
                record.key = Some(key.as_bytes().to_vec());
                record.payload = self.stranger_start(NAME, key);
            }
            _ => {
                let key = "unheard/of";
                record.key = Some(key.as_bytes().to_vec());
                record.payload = self.stranger_start("unheard", key);
            }
        }
        let key = record.key.clone().unwrap_or_default();
        let partition = backstitch_broker::partition_of(&key, self.scenario.partitions);
        let offset = self.broker.end(&self.broker.inbox, partition);
        self.judge
            .poison
            .insert((partition, offset), record.clone());
        self.place(partition, record);
    }

    fn stranger_reply(&self, saga: &str) -> Option<Vec<u8>> {
        let reply = Reply {
            saga: saga.to_owned(),
            step: "a0".to_owned(),
            direction: Direction::Do,
            attempt: 1,
            idempotency_key: format!("{saga}/a0/do"),
            outcome: ReplyOutcome::Done,
            output: None,
            code: None,
            reason: None,
            worker: None,
            at_ms: self.now,
        };
        self.codec.encode_reply(&reply).ok()
    }

    fn stranger_start(&self, definition: &str, saga: &str) -> Option<Vec<u8>> {
        let start = Start {
            definition: definition.to_owned(),
            saga: saga.to_owned(),
            event: br#"{"note":"x"}"#.to_vec(),
            source: None,
            event_time_ms: self.now,
            by: None,
            at_ms: self.now,
            parent: None,
        };
        self.codec.encode_start(&start).ok()
    }

    /// A person acts on some saga, sensibly or not.
    fn act(&mut self) {
        let rows = self.store.list_now(&ListQuery::default());
        let Some(row) = self.rng.pick(&rows).cloned() else {
            return;
        };
        let kind = [
            ActKind::Cancel,
            ActKind::Resume,
            ActKind::Retry,
            ActKind::Waive,
        ][self.rng.below(4)];
        let step = matches!(kind, ActKind::Retry | ActKind::Waive)
            .then(|| format!("a{}", self.rng.below(4)));
        let partition = self.partition_of(&row.key);
        let partition = self.astray(partition);
        self.ask_act(&row.key, kind, step, partition);
    }

    fn ask_act(&mut self, saga: &str, act: ActKind, step: Option<String>, partition: i32) {
        let act = Act {
            saga: saga.to_owned(),
            act,
            step,
            by: "operator".to_owned(),
            reason: Some("drawn".to_owned()),
            at_ms: self.now,
        };
        match self.codec.encode_act(&act) {
            Ok(payload) => {
                let record = Stored::new(saga.as_bytes(), payload, self.now);
                self.place(partition, record);
            }
            Err(error) => self.fail(format!("an act cannot be written: {error}")),
        }
    }

    /// From here on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.trace(|_| "all is healed".to_owned());
        self.is_healed = true;
        self.faults = Faults::none();
        for process in 0..self.processes.len() {
            let of = self.life_of(process);
            self.go_on(of);
        }
        for worker in 0..self.guild.workers.len() {
            let own = i32::try_from(worker).unwrap_or(0) % COMMAND_PARTITIONS;
            self.assign_worker(worker, vec![own]);
        }
    }

    /// The operator resumes what is parked.
    pub(super) fn look_around(&mut self) {
        self.after(200, Event::LookAround);
        let parked = ListQuery {
            statuses: vec![SagaStatus::Parked],
            ..ListQuery::default()
        };
        for row in self.store.list_now(&parked) {
            let partition = self.partition_of(&row.key);
            self.ask_act(&row.key, ActKind::Resume, None, partition);
        }
    }
}
