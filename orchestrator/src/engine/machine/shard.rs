//! One shard: its position, the sagas it has at hand, and its timers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use backstitch_broker::IncomingRecord;
use backstitch_saga::{Definition, Message, Saga};

use super::inbox::Arrival;
use crate::store::{Epoch, ShardId, ShardRow};

/// One shard that this process owns, or is about to.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) phase: Phase,
    pub(super) epoch: Epoch,
    /// Goes up with each [`super::Effect::Read`]; records of an older one are dropped.
    pub(super) generation: u64,
    /// The next offset to be applied.
    pub(super) next_offset: i64,
    /// The offset that the next commit starts from.
    pub(super) committed_offset: i64,
    pub(super) journal_seq: i64,
    /// Acknowledged by the broker.
    pub(super) published_seq: i64,
    /// The watermark that the store has, or that the commit in flight brings.
    pub(super) stored_published_seq: i64,
    pub(super) pending: VecDeque<Pending>,
    pub(super) pending_bytes: usize,
    pub(super) paused: bool,
    pub(super) cache: Cache,
    pub(super) timers: Timers,
    /// Due sagas up to this time are in `timers`; later ones are in the store only.
    pub(super) horizon_ms: i64,
    /// A scan of due sagas is under way, up to this time, after this key.
    pub(super) scan: Option<Scan>,
    /// What was committed before us and perhaps not published is being read.
    pub(super) outbox_open: bool,
}

/// How far a shard has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The claim is under way.
    Claiming,
    /// The claim is tried again at this time.
    Waiting {
        /// When.
        until_ms: i64,
    },
    /// It is ours.
    Open,
    /// It is ours, and we are giving it up.
    Closing {
        /// No later than this.
        by_ms: i64,
    },
}

/// A scan for due sagas.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) until_ms: i64,
    pub(super) after: Option<(i64, String)>,
    /// When to ask again, if the store could not be reached.
    pub(super) retry_at_ms: Option<i64>,
}

/// Something to be applied.
#[derive(Debug)]
pub(super) enum Pending {
    /// A record, understood when it arrived.
    Record {
        record: Box<IncomingRecord>,
        arrival: Arrival,
        bytes: usize,
    },
    /// Something may be due.
    Wake(Arc<str>),
}

impl Pending {
    /// The saga it is for, if it is for one.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Record { arrival, .. } => match arrival {
                Arrival::Start { key, .. } | Arrival::Message { key, .. } => Some(key),
                Arrival::Stray { .. } | Arrival::Dead { .. } => None,
            },
            Self::Wake(key) => Some(key),
        }
    }

    /// The name of the definition whose saga it would begin.
    pub(super) fn definition(&self) -> Option<&str> {
        match self {
            Self::Record {
                arrival: Arrival::Start { definition, .. },
                ..
            } => Some(definition),
            Self::Record { .. } | Self::Wake(_) => None,
        }
    }

    /// Whether it needs the saga itself even where that has ended: its parent may still take it back,
    /// and whoever would start it again is told if it is another's.
    pub(super) fn needs_ended(&self) -> bool {
        match self {
            Self::Record { arrival, .. } => match arrival {
                Arrival::Start { .. } => true,
                Arrival::Message { message, .. } => matches!(message, Message::Undo(_)),
                Arrival::Stray { .. } | Arrival::Dead { .. } => false,
            },
            Self::Wake(_) => false,
        }
    }
}

/// What is known of a key without asking the store.
#[derive(Debug)]
pub(super) enum Cached {
    /// The saga, at hand.
    Hot(Box<Hot>),
    /// It has ended: nothing changes it any more (S-5).
    Ended,
    /// There is no such saga.
    Absent,
    /// It is in the store, but cannot be read by this version.
    Unreadable,
}

/// A saga at hand.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) saga: Saga,
    pub(super) definition: Arc<Definition>,
    /// `wake_at_ms` as the store has it, or as the next commit brings it.
    pub(super) stored_wake_ms: Option<i64>,
    /// The batch that will write it next, if any; see [`super::batch::Batch::number`].
    pub(super) in_batch: u64,
}

/// The sagas at hand, by key, with the longest untouched given up first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    by_key: HashMap<Arc<str>, (Cached, u64)>,
    touched: VecDeque<(Arc<str>, u64)>,
    stamp: u64,
}

impl Cache {
    pub(super) fn get(&self, key: &str) -> Option<&Cached> {
        self.by_key.get(key).map(|(cached, _)| cached)
    }

    pub(super) fn hot_mut(&mut self, key: &str) -> Option<&mut Hot> {
        match self.by_key.get_mut(key) {
            Some((Cached::Hot(hot), _)) => Some(hot),
            Some((Cached::Ended | Cached::Absent | Cached::Unreadable, _)) | None => None,
        }
    }

    /// The sagas at hand, in no order.
    pub(super) fn hot(&self) -> impl Iterator<Item = (&str, &Saga)> {
        self.by_key
            .iter()
            .filter_map(|(key, (cached, _))| match cached {
                Cached::Hot(hot) => Some((&**key, &hot.saga)),
                Cached::Ended | Cached::Absent | Cached::Unreadable => None,
            })
    }

    pub(super) fn put(&mut self, key: &str, cached: Cached) {
        let key: Arc<str> = match self.by_key.get_key_value(key) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(key),
        };
        self.stamp += 1;
        self.touched.push_back((Arc::clone(&key), self.stamp));
        self.by_key.insert(key, (cached, self.stamp));
    }

    /// Forgets what is known of a key: it is read anew.
    pub(super) fn forget(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    pub(super) fn touch(&mut self, key: &str) {
        if let Some((known, (_, stamp))) = self
            .by_key
            .get_key_value(key)
            .map(|(k, _)| Arc::clone(k))
            .and_then(|k| self.by_key.get_mut(key).map(|v| (k, v)))
        {
            self.stamp += 1;
            *stamp = self.stamp;
            self.touched.push_back((known, self.stamp));
        }
    }

    /// Gives up what was untouched longest, down to `count_max`. What a batch still has to write
    /// (`batches_from` on) is kept.
    pub(super) fn shrink(&mut self, count_max: usize, batches_from: u64) {
        let mut tries = self.touched.len();
        let too_many_touches = count_max.saturating_mul(8).max(64);
        while tries > 0 && (self.by_key.len() > count_max || self.touched.len() > too_many_touches)
        {
            tries -= 1;
            let Some((key, stamp)) = self.touched.pop_front() else {
                return;
            };
            let Some((cached, latest)) = self.by_key.get(&key) else {
                continue;
            };
            if *latest != stamp {
                continue;
            }
            let is_needed = matches!(cached, Cached::Hot(hot) if hot.in_batch >= batches_from);
            if is_needed || self.by_key.len() <= count_max {
                self.touched.push_back((key, stamp));
            } else {
                self.by_key.remove(&key);
            }
        }
    }
}

/// When which saga has to be woken.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_key: HashMap<Arc<str>, i64>,
    by_time: BTreeSet<(i64, Arc<str>)>,
}

impl Timers {
    /// Sets, moves or clears the timer of a saga.
    pub(super) fn set(&mut self, key: &str, due_ms: Option<i64>) {
        let known = self
            .by_key
            .get_key_value(key)
            .map(|(k, v)| (Arc::clone(k), *v));
        match (known, due_ms) {
            (Some((_, old)), Some(new)) if old == new => {}
            (Some((key, old)), Some(new)) => {
                self.by_time.remove(&(old, Arc::clone(&key)));
                self.by_time.insert((new, Arc::clone(&key)));
                self.by_key.insert(key, new);
            }
            (Some((key, old)), None) => {
                self.by_key.remove(&key);
                self.by_time.remove(&(old, key));
            }
            (None, Some(new)) => {
                let key: Arc<str> = Arc::from(key);
                self.by_time.insert((new, Arc::clone(&key)));
                self.by_key.insert(key, new);
            }
            (None, None) => {}
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// Takes the earliest one that is due.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Option<Arc<str>> {
        let (due, _) = self.by_time.first()?;
        if *due > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// When the earliest one is due.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.by_time.first().map(|(due, _)| *due)
    }
}

impl Shard {
    pub(super) fn claiming(id: ShardId, generation: u64) -> Self {
        Self {
            id,
            phase: Phase::Claiming,
            epoch: Epoch(0),
            generation,
            next_offset: 0,
            committed_offset: 0,
            journal_seq: 0,
            published_seq: 0,
            stored_published_seq: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            paused: false,
            cache: Cache::default(),
            timers: Timers::default(),
            horizon_ms: 0,
            scan: None,
            outbox_open: false,
        }
    }

    pub(super) fn opened(row: &ShardRow, generation: u64) -> Self {
        Self {
            phase: Phase::Open,
            epoch: row.epoch,
            next_offset: row.inbox_next_offset,
            committed_offset: row.inbox_next_offset,
            journal_seq: row.journal_seq,
            published_seq: row.published_seq,
            stored_published_seq: row.published_seq,
            outbox_open: true,
            ..Self::claiming(row.id, generation)
        }
    }

    /// Sets the timer of a saga at hand to what its state says.
    pub(super) fn reset_timer(&mut self, key: &str) {
        if let Some(Cached::Hot(hot)) = self.cache.get(key) {
            let due = hot.saga.wake_at_ms();
            // Where its row says an earlier time, no later scan will find it: keep it here.
            let due = due.filter(|due| *due <= self.horizon_ms || hot.stored_wake_ms != Some(*due));
            self.timers.set(key, due);
        }
    }

    /// Moves the horizon. A scan will not see the sagas at hand as they are: they may not be
    /// committed yet.
    pub(super) fn look_further(&mut self, horizon_ms: i64) {
        self.horizon_ms = horizon_ms;
        for (key, saga) in self.cache.hot() {
            let due = saga.wake_at_ms().filter(|due| *due <= horizon_ms);
            if due.is_some() {
                self.timers.set(key, due);
            }
        }
    }

    /// Whether messages may be applied to it.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the store does not know yet how far it is published.
    pub(super) fn lags(&self) -> bool {
        self.is_held() && self.published_seq > self.stored_published_seq
    }

    /// Whether its rows may be committed.
    pub(super) fn is_held(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Closing { .. } => true,
            Phase::Claiming | Phase::Waiting { .. } => false,
        }
    }
}
