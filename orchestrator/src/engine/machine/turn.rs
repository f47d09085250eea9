//! The machine: inputs are taken in one by one, then a turn decides.

use std::collections::BTreeMap;

use backstitch_broker::partition_of;
use backstitch_schemas::{Codec, Limits, wire};

use super::batch::{Batch, InFlight, Publishing};
use super::inbox;
use super::io::{Effect, Input, Report};
use super::outbox::Names;
use super::shard::{Cached, Hot, Pending, Phase, Scan, Shard};
use crate::engine::Book;
use crate::store::{Epoch, SagaRow, SagaStatus, ShardId, ShardRow};

/// Bytes of one journal entry on its topic; `topics apply` sets the topic's limit to it.
pub const JOURNAL_BYTES_MAX: usize = 8 << 20;

/// Bytes of one record of the inbox or of a command topic: below what every broker takes by default
/// (1,000,000 bytes and the record's own overhead).
pub const MESSAGE_BYTES_MAX: usize = 900_000;

/// What bounds a machine.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// Partitions of the inbox, which are the shards.
    pub partitions: i32,
    /// How topics are named.
    pub topics: wire::Topics,
    /// Records of the inbox taken into one commit. Default 1,000.
    pub batch_count_max: usize,
    /// Bytes of journal and commands in one commit. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// Records of one shard that wait; above it, the partition is paused. Default 5,000.
    pub pending_count_max: usize,
    /// Bytes of one shard that wait; above it, the partition is paused. Default 16 MiB.
    pub pending_bytes_max: usize,
    /// Sagas at hand, a shard. Default 20,000.
    pub cache_count_max: usize,
    /// Sagas asked for in one load. Default 2,000.
    pub load_count_max: usize,
    /// Batches at the producer that are not acknowledged yet; above it, nothing is committed.
    /// Default 64.
    pub publish_batches_max: usize,
    /// Journal rows read at once on take-over. Default 1,000.
    pub outbox_rows_max: u32,
    /// Due sagas read at once. Default 1,000.
    pub due_rows_max: u32,
    /// Timers up to so far ahead are kept in memory. Default 60 s.
    pub horizon_ms: i64,
    /// Without other work, the published watermark is written after this. Default 1 s.
    pub watermark_idle_ms: i64,
    /// How long to wait until a shard that another owner took is claimed again, if the group still
    /// gives it to us. Default 5 s.
    pub fenced_wait_ms: i64,
    /// The first wait until an unavailable store is asked again; it doubles up to 2 s.
    /// Default 50 ms.
    pub store_wait_ms: i64,
    /// How long a shard that is given up may take to finish. Default 3 s.
    pub closing_ms: i64,
    /// Whether transitions are published to the journal topic. Default true.
    pub publishes_journal: bool,
}

impl MachineConfig {
    /// The defaults, for an inbox of so many partitions.
    pub fn new(topics: wire::Topics, partitions: i32) -> Self {
        Self {
            partitions,
            topics,
            batch_count_max: 1_000,
            batch_bytes_max: 4 << 20,
            pending_count_max: 5_000,
            pending_bytes_max: 16 << 20,
            cache_count_max: 20_000,
            load_count_max: 2_000,
            publish_batches_max: 64,
            outbox_rows_max: 1_000,
            due_rows_max: 1_000,
            horizon_ms: 60_000,
            watermark_idle_ms: 1_000,
            fenced_wait_ms: 5_000,
            store_wait_ms: 50,
            closing_ms: 3_000,
            publishes_journal: true,
        }
    }
}

/// What a machine has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sagas begun.
    pub started: u64,
    /// Sagas completed, by commits that are done.
    pub completed: u64,
    /// Sagas compensated, by commits that are done.
    pub compensated: u64,
    /// Transitions applied.
    pub transitions: u64,
    /// Messages that changed nothing (S-5).
    pub ignored: u64,
    /// Records that went to the dead letters.
    pub dead_letters: u64,
    /// Records that lay in the wrong partition.
    pub forwarded: u64,
    /// Starts of a saga that exists, with another event.
    pub other_events: u64,
    /// Answers that broke the contract of their activity.
    pub misfits: u64,
    /// Commits done.
    pub commits: u64,
    /// Commits that were fenced.
    pub fenced: u64,
    /// Commits whose answer was lost.
    pub in_doubt: u64,
    /// Loads asked for.
    pub loads: u64,
    /// Rules found broken. Never expected.
    pub violations: u64,
}

/// The engine's state machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: MachineConfig,
    pub(super) codec: Codec,
    /// A journal entry carries an input and an answer: it may be larger than either.
    pub(super) journal_codec: Codec,
    pub(super) names: Names,
    pub(super) book: Book,
    pub(super) shards: BTreeMap<ShardId, Shard>,
    pub(super) generation: u64,
    pub(super) batch: Batch,
    pub(super) in_flight: Option<InFlight>,
    pub(super) publishing: Publishing,
    pub(super) tickets: u64,
    pub(super) is_loading: bool,
    pub(super) load_retry_at_ms: Option<i64>,
    /// When the store was last asked for definitions, and answered.
    pub(super) definitions_read_ms: Option<i64>,
    /// Sagas that were loaded but whose definition is not known yet, with the claim of their load.
    unpinned: Vec<(Epoch, SagaRow)>,
    pub(super) last_commit_ms: i64,
    pub(super) turn_count: usize,
    is_draining: bool,
    is_drained: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) counters: Counters,
}

/// What a record of the inbox or of a command topic may cost.
pub fn message_limits() -> Limits {
    Limits {
        input_bytes_max: MESSAGE_BYTES_MAX,
        ..Limits::default()
    }
}

impl Machine {
    /// Makes a machine that owns nothing yet.
    pub fn new(config: MachineConfig, codec: Codec, book: Book) -> Self {
        Self {
            names: Names::new(&config.topics),
            journal_codec: codec.clone().with_limits(Limits {
                input_bytes_max: JOURNAL_BYTES_MAX,
                ..Limits::default()
            }),
            codec: codec.with_limits(message_limits()),
            config,
            book,
            shards: BTreeMap::new(),
            generation: 0,
            batch: Batch::new(1),
            in_flight: None,
            publishing: Publishing::default(),
            tickets: 0,
            is_loading: false,
            load_retry_at_ms: None,
            definitions_read_ms: None,
            unpinned: Vec::new(),
            last_commit_ms: 0,
            turn_count: 0,
            is_draining: false,
            is_drained: false,
            effects: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The shards that it owns, with their epochs.
    pub fn held(&self) -> Vec<(ShardId, Epoch)> {
        self.shards
            .values()
            .filter(|shard| shard.is_held())
            .map(|shard| (shard.id, shard.epoch))
            .collect()
    }

    /// The shards that the group has given to it, held or not.
    pub fn assigned_shards(&self) -> Vec<ShardId> {
        self.shards.keys().copied().collect()
    }

    /// Inbox offsets that are committed in the store, for the group's view of the lag.
    pub fn positions(&self) -> Vec<(ShardId, i64)> {
        self.shards
            .values()
            .filter(|shard| shard.is_open())
            .map(|shard| (shard.id, shard.committed_offset))
            .collect()
    }

    /// Whether nothing waits, is in flight or unpublished.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.publishing.count() == 0
            && self.batch.journal.is_empty()
            && self.shards.values().all(|shard| {
                shard.pending.is_empty()
                    && !shard.outbox_open
                    && shard.next_offset == shard.committed_offset
                    && shard.is_open()
            })
    }

    /// When time alone will give it something to do, in milliseconds since the Unix epoch.
    pub fn next_wake_ms(&self) -> Option<i64> {
        let shards = self.shards.values().flat_map(|shard| {
            let phase = match shard.phase {
                Phase::Waiting { until_ms } => Some(until_ms),
                Phase::Closing { by_ms } => Some(by_ms),
                Phase::Claiming | Phase::Open => None,
            };
            let scan = match &shard.scan {
                Some(scan) => scan.retry_at_ms,
                None => shard
                    .is_open()
                    .then(|| shard.horizon_ms.saturating_sub(self.config.horizon_ms / 2)),
            };
            [phase, scan, shard.timers.next_ms()]
        });
        let commit = match &self.in_flight {
            Some(commit) => commit.retry_at_ms,
            // The watermark is behind, and nothing else may come to take it along.
            None => (self.publishing.count() < self.config.publish_batches_max
                && self.shards.values().any(Shard::lags))
            .then(|| {
                self.last_commit_ms
                    .saturating_add(self.config.watermark_idle_ms)
            }),
        };
        shards
            .chain([commit, self.load_retry_at_ms])
            .flatten()
            .min()
    }

    /// Takes one input in. Call [`Machine::turn`] once all that have arrived are in: that is how
    /// a batch becomes what arrived during the last commit.
    pub fn take(&mut self, input: Input, now_ms: i64) {
        match input {
            Input::Assigned(shards) => self.assigned(&shards),
            Input::Revoked { shards, lost } => self.revoked(&shards, lost, now_ms),
            Input::Claimed(rows) => self.claimed(&rows, now_ms),
            Input::Outbox { shard, epoch, rows } => self.outbox(shard, epoch, rows),
            Input::Due { shard, epoch, rows } => self.due(shard, epoch, rows, now_ms),
            Input::Records { shard, records } => self.records(shard, records),
            Input::Loaded { shards, keys, rows } => self.loaded(&shards, &keys, rows, now_ms),
            // A store that knows none at all is asked only by who has none to give it.
            Input::Definitions(definitions)
                if definitions.is_empty() && self.book.all().next().is_some() =>
            {
                // Still loading: the sagas and then the definitions are asked for again.
                self.unpinned.clear();
                self.load_retry_at_ms = Some(now_ms.saturating_add(self.config.store_wait_ms * 4));
            }
            Input::Definitions(definitions) => {
                for definition in definitions {
                    self.book.add(definition);
                }
                self.is_loading = false;
                self.definitions_read_ms = Some(now_ms);
                for (epoch, row) in std::mem::take(&mut self.unpinned) {
                    self.at_hand(epoch, row, true);
                }
            }
            Input::Learned(definitions) => {
                for definition in definitions {
                    self.book.add(definition);
                }
            }
            Input::Committed { ticket, outcome } => self.committed(ticket, outcome, now_ms),
            Input::Published(batch) => self.published(batch),
            Input::ProducerLost => self.producer_lost(now_ms),
            Input::Drain => {
                self.is_draining = true;
                let all: Vec<ShardId> = self.shards.keys().copied().collect();
                self.revoked(&all, false, now_ms);
            }
            Input::Tick => {}
        }
    }

    /// Decides on all that has been taken in.
    pub fn turn(&mut self, now_ms: i64) -> Vec<Effect> {
        self.turn_count = self.turn_count.wrapping_add(1);
        self.tell_definitions(now_ms);
        self.claim_again(now_ms);
        self.look_ahead(now_ms);
        self.fire_timers(now_ms);
        if self.load_retry_at_ms.is_some_and(|at| at <= now_ms) {
            self.load_retry_at_ms = None;
            self.is_loading = false;
        }
        self.apply_pending(now_ms);
        while self.start_commit(now_ms) {
            self.apply_pending(now_ms);
        }
        self.hold_back();
        self.let_go(now_ms);
        if self.is_draining && self.shards.is_empty() && !self.is_drained {
            self.is_drained = true;
            self.effects.push(Effect::Drained);
        }
        std::mem::take(&mut self.effects)
    }

    fn assigned(&mut self, shards: &[ShardId]) {
        if self.is_draining {
            return self.effects.push(Effect::LetGo(shards.to_vec()));
        }
        let mut claims = Vec::new();
        for id in shards {
            self.generation += 1;
            self.shards
                .insert(*id, Shard::claiming(*id, self.generation));
            self.batch.drop_shard(*id);
            claims.push(*id);
        }
        if !claims.is_empty() {
            self.effects.push(Effect::Claim(claims));
        }
    }

    fn claim_again(&mut self, now_ms: i64) {
        let mut claims = Vec::new();
        for shard in self.shards.values_mut() {
            if matches!(shard.phase, Phase::Waiting { until_ms } if until_ms <= now_ms) {
                shard.phase = Phase::Claiming;
                claims.push(shard.id);
            }
        }
        if !claims.is_empty() {
            self.effects.push(Effect::Claim(claims));
        }
    }

    fn claimed(&mut self, rows: &[ShardRow], now_ms: i64) {
        let mut strangers = Vec::new();
        for row in rows {
            let is_awaited = |shard: &Shard| match shard.phase {
                Phase::Claiming => true,
                // We have fenced ourselves: an earlier claim was answered first.
                Phase::Open => shard.epoch < row.epoch,
                Phase::Waiting { .. } | Phase::Closing { .. } => false,
            };
            let known = self.shards.get_mut(&row.id);
            let Some(shard) = known.filter(|shard| is_awaited(shard)) else {
                strangers.push((row.id, row.epoch));
                continue;
            };
            self.batch.drop_shard(row.id);
            self.generation += 1;
            *shard = Shard::opened(row, self.generation);
            shard.horizon_ms = now_ms.saturating_add(self.config.horizon_ms);
            shard.scan = Some(Scan {
                until_ms: shard.horizon_ms,
                after: None,
                retry_at_ms: None,
            });
            self.effects.push(Effect::ReadOutbox {
                shard: row.id,
                epoch: row.epoch,
                after_seq: row.published_seq,
                limit: self.config.outbox_rows_max,
            });
            self.effects.push(Effect::ReadDue {
                shard: row.id,
                epoch: row.epoch,
                after: None,
                until_ms: shard.horizon_ms,
                limit: self.config.due_rows_max,
            });
            self.effects.push(Effect::Read {
                shard: row.id,
                offset: row.inbox_next_offset,
                generation: self.generation,
            });
        }
        if rows.is_empty() {
            let until_ms = now_ms.saturating_add(self.config.store_wait_ms * 10);
            for shard in self.shards.values_mut() {
                if shard.phase == Phase::Claiming {
                    shard.phase = Phase::Waiting { until_ms };
                }
            }
        }
        if !strangers.is_empty() {
            self.effects.push(Effect::Release(strangers));
        }
    }

    fn records(&mut self, id: ShardId, records: Vec<backstitch_broker::IncomingRecord>) {
        let Some(shard) = self.shards.get_mut(&id).filter(|shard| shard.is_open()) else {
            return;
        };
        for record in records {
            if record.generation != shard.generation {
                continue;
            }
            let arrival = inbox::read(&self.codec, &record, id, self.config.partitions);
            let payload = record.payload.as_ref().map_or(0, Vec::len);
            let bytes = payload + record.key.as_ref().map_or(0, Vec::len) + 128;
            shard.pending_bytes += bytes;
            shard.pending.push_back(Pending::Record {
                record: Box::new(record),
                arrival,
                bytes,
            });
        }
    }

    fn loaded(
        &mut self,
        shards: &[(ShardId, Epoch)],
        keys: &[String],
        rows: Option<Vec<SagaRow>>,
        now_ms: i64,
    ) {
        let Some(rows) = rows else {
            // Still loading: the next question waits for its time.
            self.load_retry_at_ms = Some(now_ms.saturating_add(self.config.store_wait_ms * 4));
            return;
        };
        self.is_loading = false;
        let is_ours = |machine: &Self, key: &str| {
            let id = ShardId(partition_of(key.as_bytes(), machine.config.partitions));
            let shard = machine.shards.get(&id)?;
            let asked = shards.contains(&(id, shard.epoch)) && shard.is_open();
            (asked && shard.cache.get(key).is_none()).then_some((id, shard.epoch))
        };
        for row in rows {
            if let Some((_, epoch)) = is_ours(self, &row.key) {
                self.at_hand(epoch, row, false);
            }
        }
        for key in keys {
            let waits = self.unpinned.iter().any(|(_, row)| row.key == *key);
            if let Some((id, _)) = is_ours(self, key).filter(|_| !waits)
                && let Some(shard) = self.shards.get_mut(&id)
            {
                shard.cache.put(key, Cached::Absent);
            }
        }
        if !self.unpinned.is_empty() {
            self.is_loading = true;
            self.effects.push(Effect::ReadDefinitions);
        }
    }

    /// Puts a saga that was read from the store under a claim at hand.
    fn at_hand(&mut self, epoch: Epoch, row: SagaRow, is_last_try: bool) {
        let id = ShardId(partition_of(row.key.as_bytes(), self.config.partitions));
        let held = self.shards.get_mut(&id);
        let Some(shard) = held.filter(|s| s.epoch == epoch && s.is_open()) else {
            return;
        };
        let has_ended = match row.status {
            SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Terminated => true,
            SagaStatus::Running | SagaStatus::Compensating | SagaStatus::Parked => false,
        };
        let is_needed =
            |waiting: &Pending| waiting.key() == Some(&row.key) && waiting.needs_ended();
        if has_ended && !shard.pending.iter().any(is_needed) {
            return shard.cache.put(&row.key, Cached::Ended);
        }
        let Some(definition) = self.book.pinned(&row.definition_hash).cloned() else {
            if !is_last_try {
                return self.unpinned.push((epoch, row));
            }
            let what = format!(
                "saga {} is pinned to definition {}, which is in no store and no file",
                row.key, row.definition_hash
            );
            self.effects.push(Effect::Report(Report::Violation(what)));
            return shard.cache.put(&row.key, Cached::Unreadable);
        };
        match serde_json::from_slice(&row.state) {
            Ok(saga) => shard.cache.put(
                &row.key,
                Cached::Hot(Box::new(Hot {
                    saga,
                    definition,
                    stored_wake_ms: row.wake_at_ms,
                    in_batch: 0,
                })),
            ),
            Err(error) => {
                let what = format!("the state of saga {} cannot be read: {error}", row.key);
                self.effects.push(Effect::Report(Report::Violation(what)));
                shard.cache.put(&row.key, Cached::Unreadable);
            }
        }
    }

    fn due(&mut self, id: ShardId, epoch: Epoch, rows: Option<Vec<SagaRow>>, now_ms: i64) {
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        let Some(scan) = shard.scan.as_mut().filter(|_| shard.epoch == epoch) else {
            return;
        };
        let Some(rows) = rows else {
            scan.retry_at_ms = Some(now_ms.saturating_add(self.config.store_wait_ms * 10));
            return;
        };
        let is_whole = rows.len() < usize::try_from(self.config.due_rows_max).unwrap_or(usize::MAX);
        let last = rows
            .last()
            .and_then(|row| Some((row.wake_at_ms?, row.key.clone())));
        for row in rows {
            // A saga at hand knows better than its row.
            if shard.cache.get(&row.key).is_some() {
                shard.reset_timer(&row.key);
            } else if !shard.timers.has(&row.key) {
                shard.timers.set(&row.key, row.wake_at_ms);
            }
        }
        if is_whole {
            shard.scan = None;
            return;
        }
        let Some(scan) = &mut shard.scan else {
            return;
        };
        scan.after = last;
        self.effects.push(Effect::ReadDue {
            shard: id,
            epoch,
            after: scan.after.clone(),
            until_ms: scan.until_ms,
            limit: self.config.due_rows_max,
        });
    }

    /// Reads which sagas are due soon, before the timers in memory run out.
    fn look_ahead(&mut self, now_ms: i64) {
        for shard in self.shards.values_mut().filter(|shard| shard.is_open()) {
            match &mut shard.scan {
                Some(scan) => {
                    if scan.retry_at_ms.is_none_or(|at| at > now_ms) {
                        continue;
                    }
                    scan.retry_at_ms = None;
                }
                None => {
                    if shard.horizon_ms - now_ms > self.config.horizon_ms / 2 {
                        continue;
                    }
                    // Above every key with the old horizon as its time.
                    let after = Some((shard.horizon_ms.saturating_add(1), String::new()));
                    shard.look_further(now_ms.saturating_add(self.config.horizon_ms));
                    shard.scan = Some(Scan {
                        until_ms: shard.horizon_ms,
                        after,
                        retry_at_ms: None,
                    });
                }
            }
            if let Some(scan) = &shard.scan {
                self.effects.push(Effect::ReadDue {
                    shard: shard.id,
                    epoch: shard.epoch,
                    after: scan.after.clone(),
                    until_ms: scan.until_ms,
                    limit: self.config.due_rows_max,
                });
            }
        }
    }

    fn fire_timers(&mut self, now_ms: i64) {
        for shard in self.shards.values_mut().filter(|shard| shard.is_open()) {
            while let Some(key) = shard.timers.take_due(now_ms) {
                shard.pending.push_front(Pending::Wake(key));
            }
        }
    }

    /// Pauses partitions of which too much is waiting, and reads on when it is not.
    fn hold_back(&mut self) {
        for shard in self.shards.values_mut().filter(|shard| shard.is_open()) {
            let (count, bytes) = (shard.pending.len(), shard.pending_bytes);
            let (count_max, bytes_max) =
                (self.config.pending_count_max, self.config.pending_bytes_max);
            if !shard.paused && (count > count_max || bytes > bytes_max) {
                shard.paused = true;
                self.effects.push(Effect::Pause(shard.id));
            } else if shard.paused && count <= count_max / 2 && bytes <= bytes_max / 2 {
                shard.paused = false;
                self.effects.push(Effect::Resume(shard.id));
            }
        }
    }
}
