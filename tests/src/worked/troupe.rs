//! The workers: what they answer, when they fail, and the book of what really happened.

use std::path::{Path, PathBuf};

use backstitch_broker::KafkaConfig;
use backstitch_saga::Definition;
use backstitch_saga::definition::{Undo, Verb, walk};
use backstitch_workers::memory::{SqliteMemory, TxError};
use backstitch_workers::order::{Effect, read_ledger};
use backstitch_workers::{
    Answer, Direction, Local, MemoryUrl, RunningWorker, Tx, Work, Worker, WorkerConfig,
};

use super::play::{Play, Trouble, draw};

/// Of a hundred commands, so many have trouble.
const TROUBLED: u64 = 20;

/// Nothing in it is unique: what happened twice shows as two rows. As the order workers have it.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS effect (
        seq INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        saga TEXT NOT NULL,
        step TEXT NOT NULL,
        direction TEXT NOT NULL,
        key TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        activity TEXT NOT NULL,
        pid INTEGER NOT NULL
    ) STRICT;";

const WRITE: &str =
    "INSERT INTO effect (at_ms, saga, step, direction, key, attempt, activity, pid)";

/// The workers of all activities of a play, with one memory: an undo by another activity needs that of its do.
#[derive(Debug)]
pub(super) struct Troupe {
    workers: Vec<RunningWorker>,
    database: PathBuf,
}

/// One for all activities.
#[derive(Debug, Clone, Copy)]
struct Player {
    play: Play,
    seed: u64,
}

/// How a command goes.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Well,
    Refused,
    Fails,
    Silent,
}

impl Player {
    /// What happens follows from the seed, the key and the attempt alone.
    fn turn(&self, work: &Work) -> Turn {
        if draw(self.seed, &work.key) >= TROUBLED {
            return Turn::Well;
        }
        let kind = draw(self.seed ^ 1, &work.key) % 4;
        let trouble = match work.direction {
            Direction::Do => self.play.trouble(&work.activity),
            // An undo that never succeeds is for a person.
            Direction::Undo => None,
        };
        match (kind, trouble) {
            (0, Some(_)) => Turn::Refused,
            (1, Some(Trouble::Any)) => Turn::Fails,
            (2, _) if work.attempt == 1 => Turn::Silent,
            (3, _) if work.attempt <= 2 => Turn::Fails,
            _ => Turn::Well,
        }
    }

    fn write(work: &Work, tx: &mut Tx<'_>) -> Result<(), TxError> {
        // An undo is booked under the key of what it undoes.
        let key = match work.direction {
            Direction::Do => work.key.as_str(),
            Direction::Undo => work.done_key.as_deref().unwrap_or_default(),
        };
        let row = vec![
            work.sent_at_ms.into(),
            work.saga.as_str().into(),
            work.step.as_str().into(),
            work.direction.as_str().into(),
            key.into(),
            i64::from(work.attempt).into(),
            work.activity.as_str().into(),
            0_i64.into(),
        ];
        tx.sqlite_insert(WRITE, row)
    }
}

impl Local for Player {
    async fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> Answer {
        match self.turn(work) {
            Turn::Refused => Answer::refused("rehearsed", "asked to refuse"),
            Turn::Fails => Answer::failed("rehearsed", "asked to fail"),
            Turn::Silent => Answer::Silent,
            Turn::Well => match Self::write(work, tx) {
                Ok(()) => Answer::Done((self.play.output)(work)),
                Err(error) => Answer::failed("database", error.to_string()),
            },
        }
    }
}

impl Troupe {
    /// Starts a worker for each activity and what undoes it.
    pub(super) async fn start(
        play: Play,
        seed: u64,
        definitions: &[Definition],
        kafka: &KafkaConfig,
        prefix: &str,
        folder: &Path,
    ) -> Self {
        let database = folder.join("troupe.db");
        let mut memory = SqliteMemory::open(&database)
            .await
            .expect("a database can be made");
        memory.prepare(SCHEMA).await.expect("a table can be made");
        let player = Player { play, seed };
        let mut workers = Vec::new();
        for activity in activities(definitions) {
            let memory = MemoryUrl::Sqlite(database.clone());
            let mut config = WorkerConfig::new(kafka.clone(), activity.as_str(), memory);
            prefix.clone_into(&mut config.prefix);
            let worker = Worker::builder(config)
                .local(activity, player)
                .start()
                .await
                .expect("a worker starts");
            workers.push(worker);
        }
        Self { workers, database }
    }

    /// What really happened, in order.
    pub(super) async fn effects(&self) -> Vec<Effect> {
        read_ledger(&self.database)
            .await
            .expect("the book can be read")
    }

    /// Lets all of them finish what they are at.
    pub(super) async fn end(&mut self) {
        for worker in &self.workers {
            worker.drain();
        }
        for worker in self.workers.drain(..) {
            // A test that fails leaves nothing running either; why it failed is told elsewhere.
            let _ = worker.join().await;
        }
    }
}

fn activities(definitions: &[Definition]) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for definition in definitions {
        walk(&definition.steps, &mut |step| {
            if let Verb::Do(work) = &step.verb {
                found.insert(work.activity.clone());
                if let Undo::Other(other) = &work.undo {
                    found.insert(other.activity.clone());
                }
            }
        });
    }
    found.into_iter().collect()
}
