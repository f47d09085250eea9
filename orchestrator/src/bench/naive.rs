//! The way it is usually done, to be measured against: a transaction for each transition, an
//! outbox table, and a relay that polls it.
//!
//! It runs the same sagas by the same core over the same topics and workers. It keeps no timers
//! and takes nothing over: it is here for its cost only.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use backstitch_broker::{
    BrokerError, Consumer, ConsumerError, ConsumerHandler, ConsumerOptions, IncomingRecord,
    KafkaConfig, OutgoingRecord, Producer, StartAt, TopicPartition, partition_of,
};
use backstitch_saga::{Definition, Outcome, Saga, Transition};
use backstitch_schemas::{Codec, EventSchemas, wire};
use sqlx::{Connection, PgConnection, Row};

use crate::engine::machine::{Arrival, Names, journal_entry, read};
use crate::engine::{Found, Matched, Matcher, now_ms};
use crate::store::{JournalKind, JournalRow, ShardId};

/// Connections that commit side by side. Default 8.
const LANES: usize = 8;

/// How long the relay waits when the outbox was empty.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// Rows that the relay takes at once.
const RELAY_ROWS: i64 = 500;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS naive_saga (key text PRIMARY KEY, seq bigint, state bytea);
    CREATE TABLE IF NOT EXISTS naive_inbox (id text PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS naive_outbox (
        id bigserial PRIMARY KEY, topic text, key text, payload bytea)";

/// Why the naive way ended.
#[derive(Debug, thiserror::Error)]
pub enum NaiveError {
    /// It commits to Postgres only.
    #[error("the naive way is measured on Postgres: set store.url to postgres://…")]
    NeedsPostgres,
    /// Kafka is in the way.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Postgres is in the way.
    #[error("the naive way's database")]
    Database(#[from] sqlx::Error),
}

#[derive(Clone)]
struct Kit {
    url: String,
    codec: Codec,
    names: Names,
    definition: Arc<Definition>,
    partitions: i32,
}

/// Runs until `stop` says so.
///
/// # Errors
///
/// [`NaiveError`] says what was in the way at the start.
pub async fn run_naive(
    kafka: KafkaConfig,
    topics: wire::Topics,
    url: &str,
    definition: Definition,
    stop: impl Future<Output = ()>,
) -> Result<(), NaiveError> {
    if !url.starts_with("postgres") {
        return Err(NaiveError::NeedsPostgres);
    }
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    let partitions = backstitch_broker::Admin::new(&kafka)?
        .partition_count(&topics.inbox())?
        .unwrap_or(1);
    let definition = Arc::new(definition);
    let matcher = Matcher::new(
        vec![Arc::clone(&definition)],
        Vec::new(),
        EventSchemas::new(),
    );
    let kit = Kit {
        url: url.to_owned(),
        codec: Codec::single_object(),
        names: Names::new(&topics),
        definition,
        partitions,
    };
    let runtime = tokio::runtime::Handle::current();
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        let (sender, records) = channel();
        lanes.push(sender);
        let (kit, runtime) = (kit.clone(), runtime.clone());
        std::thread::spawn(move || runtime.block_on(commit_each(kit, records)));
    }
    let relay = tokio::spawn(relay(kit.clone(), kafka.clone()));
    let sources = matcher.topics();
    let intake = Intake {
        producer: Producer::new(&kafka, |_| {})?,
        matcher,
        kit: kit.clone(),
        next: 0,
    };
    let taking_in = Consumer::start(
        &kafka,
        ConsumerOptions::new(topics.intake_group(), sources),
        intake,
    )?;
    let inbox = Consumer::start(
        &kafka,
        ConsumerOptions::new(topics.orchestrator_group(), [topics.inbox()]),
        Inbox { lanes },
    )?;
    stop.await;
    relay.abort();
    taking_in.stop();
    inbox.stop();
    Ok(())
}

struct Intake {
    producer: Producer,
    matcher: Matcher,
    kit: Kit,
    next: u64,
}

impl ConsumerHandler for Intake {
    fn assigned(&mut self, _partitions: &[TopicPartition]) -> Vec<StartAt> {
        Vec::new()
    }

    fn revoked(&mut self, _partitions: &[TopicPartition], _lost: bool) {}

    fn records(&mut self, records: Vec<IncomingRecord>) {
        let mut out = Vec::new();
        for record in &records {
            let Matched::Found(Found { starts, .. }) = self.matcher.matches(record, now_ms())
            else {
                continue;
            };
            for start in starts {
                let partition = partition_of(start.saga.as_bytes(), self.kit.partitions);
                let Ok(payload) = self.kit.codec.encode_start(&start) else {
                    continue;
                };
                let mut record = OutgoingRecord::new(Arc::clone(&self.kit.names.inbox), payload)
                    .with_key(start.saga.into_bytes());
                record.partition = Some(partition);
                out.push(record);
            }
        }
        self.next += 1;
        if let Err(error) = self.producer.send(self.next, out) {
            tracing::error!(%error, "the naive intake");
        }
    }

    fn failed(&mut self, error: ConsumerError) {
        tracing::warn!(%error, "the naive intake");
    }
}

struct Inbox {
    lanes: Vec<Sender<IncomingRecord>>,
}

impl ConsumerHandler for Inbox {
    fn assigned(&mut self, _partitions: &[TopicPartition]) -> Vec<StartAt> {
        Vec::new()
    }

    fn revoked(&mut self, _partitions: &[TopicPartition], _lost: bool) {}

    fn records(&mut self, records: Vec<IncomingRecord>) {
        for record in records {
            let mut hasher = DefaultHasher::new();
            record.key.hash(&mut hasher);
            let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
            // A lane that has ended has logged why.
            let _ = self.lanes[lane].send(record);
        }
    }

    fn failed(&mut self, error: ConsumerError) {
        tracing::warn!(%error, "the naive inbox");
    }
}

async fn commit_each(kit: Kit, records: Receiver<IncomingRecord>) {
    let mut connection = match PgConnection::connect(&kit.url).await {
        Ok(connection) => connection,
        Err(error) => return tracing::error!(%error, "the naive way cannot connect"),
    };
    while let Ok(record) = records.recv() {
        if let Err(error) = commit_one(&kit, &mut connection, &record).await {
            tracing::error!(%error, "the naive way's transaction");
        }
    }
}

async fn commit_one(
    kit: &Kit,
    connection: &mut PgConnection,
    record: &IncomingRecord,
) -> Result<(), sqlx::Error> {
    let shard = ShardId(record.partition);
    let arrival = read(&kit.codec, record, shard, kit.partitions);
    let key = match &arrival {
        Arrival::Start { key, .. } | Arrival::Message { key, .. } => key.clone(),
        Arrival::Stray { .. } | Arrival::Dead { .. } => return Ok(()),
    };
    let mut tx = connection.begin().await?;
    let id = format!("{}/{}", record.partition, record.offset);
    let seen = sqlx::query("INSERT INTO naive_inbox (id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    if seen.rows_affected() == 0 {
        return tx.rollback().await;
    }
    let row = sqlx::query("SELECT state FROM naive_saga WHERE key = $1 FOR UPDATE")
        .bind(&key)
        .fetch_optional(&mut *tx)
        .await?;
    let now = now_ms();
    let known = row.and_then(|row| serde_json::from_slice::<Saga>(row.get("state")).ok());
    let advanced: Option<(Saga, Transition)> = match (known, arrival) {
        (None, Arrival::Start { start, .. }) => Some(Saga::start(&kit.definition, *start, now)),
        (Some(mut saga), Arrival::Message { message, .. }) => {
            match saga.advance(&kit.definition, &message, now) {
                Outcome::Advanced(transition) => Some((saga, *transition)),
                Outcome::Ignored(_) => None,
            }
        }
        (Some(_), Arrival::Start { .. } | Arrival::Stray { .. } | Arrival::Dead { .. })
        | (None, Arrival::Message { .. } | Arrival::Stray { .. } | Arrival::Dead { .. }) => None,
    };
    let Some((saga, transition)) = advanced else {
        return tx.commit().await;
    };
    let seq = i64::try_from(saga.seq).unwrap_or(i64::MAX);
    let state = serde_json::to_vec(&saga).unwrap_or_default();
    sqlx::query(
        "INSERT INTO naive_saga (key, seq, state) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, state = excluded.state",
    )
    .bind(&key)
    .bind(seq)
    .bind(state)
    .execute(&mut *tx)
    .await?;
    let entry = journal_entry(transition.entry, shard, seq, &kit.definition.hash, None);
    let row = JournalRow {
        shard,
        seq,
        kind: JournalKind::Transition,
        saga_key: key.clone(),
        saga_seq: seq,
        at_ms: now,
        entry: kit.codec.encode_journal_entry(&entry).unwrap_or_default(),
    };
    let mut out = vec![kit.names.transition(&row, None)];
    for command in transition.commands {
        if let Ok(record) = kit.names.command(&kit.codec, command, None, shard, now) {
            out.push(record);
        }
    }
    for record in out {
        sqlx::query("INSERT INTO naive_outbox (topic, key, payload) VALUES ($1, $2, $3)")
            .bind(record.topic.to_string())
            .bind(&key)
            .bind(record.payload)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}

async fn relay(kit: Kit, kafka: KafkaConfig) {
    let (done, acknowledged) = channel();
    let producer = match Producer::new(&kafka, move |batch| {
        // Nobody waits once the relay has ended.
        let _ = done.send(batch.batch_id);
    }) {
        Ok(producer) => producer,
        Err(error) => return tracing::error!(%error, "the naive relay"),
    };
    let Ok(mut connection) = PgConnection::connect(&kit.url).await else {
        return tracing::error!("the naive relay cannot connect");
    };
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    let mut number = 0;
    loop {
        let rows =
            sqlx::query("SELECT id, topic, key, payload FROM naive_outbox ORDER BY id LIMIT $1")
                .bind(RELAY_ROWS)
                .fetch_all(&mut connection)
                .await
                .unwrap_or_default();
        if rows.is_empty() {
            tokio::time::sleep(IDLE_POLL).await;
            continue;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
        let records = rows
            .iter()
            .map(|row| {
                let name: String = row.get("topic");
                let topic = names
                    .entry(name)
                    .or_insert_with_key(|n| Arc::from(n.as_str()));
                let key: String = row.get("key");
                let payload: Vec<u8> = row.get("payload");
                OutgoingRecord::new(Arc::clone(topic), payload).with_key(key.into_bytes())
            })
            .collect();
        number += 1;
        if producer.send(number, records).is_err() {
            continue;
        }
        // The relay waits for its acknowledgements before it forgets the rows.
        if tokio::task::block_in_place(|| acknowledged.recv()).is_err() {
            return;
        }
        let deleted = sqlx::query("DELETE FROM naive_outbox WHERE id = ANY($1)")
            .bind(ids)
            .execute(&mut connection)
            .await;
        if let Err(error) = deleted {
            tracing::error!(%error, "the naive relay");
        }
    }
}
