//! Serves `{{activity}}` until it is asked to end.
//!
//! `BACKSTITCH_BOOTSTRAP` (default `127.0.0.1:9092`, where `backstitch dev` listens) says where Kafka is, and
//! `WORKER_DATABASE` (default `{{activity}}.db`) where the database lies.

use std::error::Error;

use backstitch_broker::KafkaConfig;
use backstitch_workers::memory::SqliteMemory;
use backstitch_workers::{MemoryUrl, Worker, WorkerConfig};
use {{crate}}::{ACTIVITY, Reservations, SCHEMA};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let kafka = KafkaConfig::new(setting("BACKSTITCH_BOOTSTRAP", "127.0.0.1:9092"));
    let database = setting("WORKER_DATABASE", "{{activity}}.db");

    SqliteMemory::open(&database).await?.prepare(SCHEMA).await?;
    let config = WorkerConfig::new(kafka, ACTIVITY, MemoryUrl::Sqlite(database.into()));
    let worker = Worker::builder(config)
        .local(ACTIVITY, Reservations)
        .start()
        .await?;
    eprintln!("serving {ACTIVITY}; Ctrl-C ends it");

    tokio::signal::ctrl_c().await?;
    worker.drain();
    worker.join().await?;
    Ok(())
}
