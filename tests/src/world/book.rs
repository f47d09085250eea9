//! What the store, the journal topic and the workers' ledgers hold of a saga.

use backstitch_broker::{IncomingRecord, OutgoingRecord};
use backstitch_orchestrator::store::{JournalRow, SagaRow, ShardId};
use backstitch_saga::Saga;
use backstitch_schemas::{Act, ActKind, JournalEntry};
use backstitch_workers::order::{Effect, order_activities, read_ledger};

use super::orders::Order;
use super::tape::eventually;
use super::world::World;

impl World {
    /// The entries of a saga on the journal topic so far, each once, in order.
    pub fn journal_of(&self, saga: &str) -> Vec<JournalEntry> {
        let topic = self.topics().journal();
        let records = self.tape().all(|record| is_of(record, &topic, saga));
        let mut entries: Vec<JournalEntry> =
            records.iter().map(|record| self.entry_of(record)).collect();
        entries.sort_by_key(|entry| entry.saga_seq);
        entries.dedup();
        entries
    }

    fn entry_of(&self, record: &IncomingRecord) -> JournalEntry {
        let payload = record.payload.as_deref().unwrap_or_default();
        self.codec()
            .decode_journal_entry(payload)
            .expect("the journal holds entries")
    }

    /// Waits until a saga stands so, by the journal topic.
    pub fn wait_for(&self, saga: &str, status: &str) {
        let topic = self.topics().journal();
        self.tape()
            .wait(&format!("{saga} to be {status}"), |records| {
                records
                    .iter()
                    .rev()
                    .filter(|record| is_of(record, &topic, saga))
                    .any(|record| self.entry_of(record).status == status)
                    .then_some(())
            });
    }

    /// Waits until an order is done, and holds it against the services' ledgers: each step once, none undone.
    pub fn completes(&self, order: &Order) {
        self.wait_for(&order.saga(), "completed");
        let activities = order_activities();
        let expected: Vec<(&str, &str)> = activities.iter().map(|a| (*a, "do")).collect();
        assert_eq!(self.effects_in_short(&order.saga()), expected, "{order:?}");
    }

    /// A saga's effects by the services' own ledgers: activity and direction, in the order of the services.
    pub fn effects_in_short(&self, saga: &str) -> Vec<(&'static str, &'static str)> {
        let known = [
            "check-fraud",
            "reserve-stock",
            "charge-payment",
            "refund-payment",
            "ship-order",
            "cancel-shipment",
        ];
        self.effects_of(saga)
            .iter()
            .map(|effect| {
                let activity = known
                    .into_iter()
                    .find(|name| *name == effect.activity)
                    .expect("there are no other activities");
                let direction = if effect.direction == "do" {
                    "do"
                } else {
                    "undo"
                };
                (activity, direction)
            })
            .collect()
    }

    /// A saga's effects by the services' own ledgers, service by service.
    pub fn effects_of(&self, saga: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for activity in order_activities() {
            let path = self.workers_dir().join(format!("{activity}.db"));
            if path.exists() {
                let ledger = self.block_on(read_ledger(&path)).expect("a ledger is read");
                effects.extend(ledger.into_iter().filter(|effect| effect.saga == saga));
            }
        }
        effects
    }

    /// A saga's row in the store.
    pub fn row_of(&self, saga: &str) -> Option<SagaRow> {
        let keys = [saga.to_owned()];
        self.block_on(self.store().load(&keys))
            .expect("the store answers")
            .pop()
    }

    /// A saga's state as the store has it.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn saga(&self, saga: &str) -> Saga {
        let row = self.row_of(saga).expect("the saga is in the store");
        serde_json::from_slice(&row.state).expect("a state in the store can be read")
    }

    /// A saga's journal rows in the store.
    pub fn rows_of(&self, saga: &str) -> Vec<JournalRow> {
        self.block_on(self.store().journal_of_saga(saga, 0, 1_000))
            .expect("the store answers")
    }

    /// A saga's commands for an activity so far, as they lie on its topic.
    pub fn commands_of(&self, saga: &str, activity: &str) -> Vec<IncomingRecord> {
        let topic = self.topics().commands(activity);
        self.tape().all(|record| is_of(record, &topic, saga))
    }

    /// Waits for a command to an activity.
    pub fn wait_for_command(&self, saga: &str, activity: &str) {
        let topic = self.topics().commands(activity);
        self.tape()
            .wait(&format!("a command to {activity}"), |records| {
                records
                    .iter()
                    .any(|record| is_of(record, &topic, saga))
                    .then_some(())
            });
    }

    /// Waits until the owner of a shard has committed what it made of the inbox up to this offset.
    pub fn reads_past(&self, partition: i32, offset: i64) {
        let shard = [ShardId(partition)];
        eventually("the inbox to be read", || {
            let shards = self.block_on(self.store().shards(&shard));
            let shards = shards.expect("the store answers");
            (shards[0].inbox_next_offset > offset).then_some(())
        });
    }

    /// Sends an act through the inbox.
    pub fn act(&self, saga: &str, act: ActKind, step: Option<&str>) -> (i32, i64) {
        let act = self.an_act(saga, act, step);
        let payload = self.codec().encode_act(&act).expect("an act is small");
        self.produce(self.for_inbox(saga, payload))
    }

    /// An act of a test.
    pub fn an_act(&self, saga: &str, act: ActKind, step: Option<&str>) -> Act {
        Act {
            saga: saga.to_owned(),
            act,
            step: step.map(str::to_owned),
            by: "test".to_owned(),
            reason: Some("a test asks".to_owned()),
            at_ms: 1,
        }
    }

    /// A record for the inbox, in the partition of its saga.
    pub fn for_inbox(&self, saga: &str, payload: Vec<u8>) -> OutgoingRecord {
        let mut record = OutgoingRecord::new(self.topics().inbox(), payload).with_key(saga);
        record.partition = Some(backstitch_broker::partition_of(saga.as_bytes(), 4));
        record
    }
}

fn is_of(record: &IncomingRecord, topic: &str, saga: &str) -> bool {
    *record.topic == *topic && record.key.as_deref() == Some(saga.as_bytes())
}
