//! The servers of one world.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use backstitch_broker::{KafkaConfig, OutgoingRecord, Producer};
use backstitch_orchestrator::engine::machine::Counters;
use backstitch_orchestrator::engine::{
    EngineError, Orchestrator, OrchestratorConfig, TopicSizes, apply_topics, topics_needed,
};
use backstitch_orchestrator::store::{self, Store};
use backstitch_saga::Definition;
use backstitch_schemas::{Codec, EventSchemas, wire};
use backstitch_workers::RunningWorker;
use backstitch_workers::order::{OrderWorkerOptions, order_activities, start_order_worker};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::ground::{Ground, Standing, unique_name};
use super::orders::{DEFINITION, Order};
use super::tape::Tape;

/// What is different about a world. [`WorldOptions::default`] is one orchestrator and all four workers on the embedded ground.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// What it stands on.
    pub ground: Ground,
    /// How many orchestrators run from the start.
    pub orchestrators: usize,
    /// The activities whose workers run from the start.
    pub workers: Vec<&'static str>,
    /// What source events may be written with.
    pub schemas: EventSchemas,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            ground: Ground::Embedded,
            orchestrators: 1,
            workers: order_activities().to_vec(),
            schemas: EventSchemas::new(),
        }
    }
}

/// A broker, a store, orchestrators and workers. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct World {
    runtime: Runtime,
    standing: Standing,
    kafka: KafkaConfig,
    topics: wire::Topics,
    source: String,
    definition: Definition,
    schemas: EventSchemas,
    store_url: String,
    store: Option<Arc<dyn Store>>,
    orchestrators: Vec<Orchestrator>,
    workers: Vec<RunningWorker>,
    producer: Option<Producer>,
    tape: Option<Tape>,
    folder: TempDir,
    order_count: AtomicU32,
}

impl World {
    /// Starts a world.
    ///
    /// # Panics
    ///
    /// If anything of it does not start.
    pub fn start(options: &WorldOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a test may start threads");
        let folder = tempfile::tempdir().expect("a test may make a folder");
        let name = unique_name();
        let (standing, kafka, store_url) =
            Standing::take(&options.ground, &name, folder.path(), &runtime);
        let topics = wire::Topics::new(name.as_str());
        let source = format!("{name}.orders");
        let definition = Definition::from_yaml(&DEFINITION.replace("SOURCE", &source))
            .expect("the definition of the tests is valid");
        apply_topics(&kafka, &topics, [&definition], TopicSizes::default(), true)
            .expect("the topics can be made");
        let producer = Producer::new(&roomy(&kafka), |_| {}).expect("a producer starts");
        let needed = topics_needed(&topics, [&definition]).own;
        let tape = Tape::start(&roomy(&kafka), &format!("{name}.tape"), needed)
            .expect("a consumer starts");
        let store = runtime
            .block_on(store::open(&store_url))
            .expect("the store opens");
        let mut world = Self {
            runtime,
            standing,
            kafka,
            topics,
            source,
            definition,
            schemas: options.schemas.clone(),
            store_url,
            store: Some(store),
            orchestrators: Vec::new(),
            workers: Vec::new(),
            producer: Some(producer),
            tape: Some(tape),
            folder,
            order_count: AtomicU32::new(0),
        };
        for _ in 0..options.orchestrators {
            world.add_orchestrator();
        }
        for activity in &options.workers {
            world.add_worker(activity);
        }
        world
    }

    /// A world that tests of one process share for as long as one of them holds it.
    pub fn shared(options: &WorldOptions) -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = shared.upgrade() {
            return world;
        }
        let world = Arc::new(Self::start(options));
        *shared = Arc::downgrade(&world);
        world
    }

    /// Starts one more orchestrator.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn add_orchestrator(&mut self) {
        let mut config = OrchestratorConfig::new(self.kafka.clone(), self.topics.clone());
        config.schemas = self.schemas.clone();
        let orchestrator = self
            .runtime
            .block_on(async {
                let store = store::open(&self.store_url).await?;
                Orchestrator::start(config, store, vec![self.definition.clone()]).await
            })
            .expect("an orchestrator starts");
        self.orchestrators.push(orchestrator);
    }

    /// Starts the worker of one activity.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn add_worker(&mut self, activity: &str) {
        let mut options = OrderWorkerOptions::new(self.kafka.clone(), self.workers_dir());
        options.prefix = self.topics.prefix().to_owned();
        let worker = self
            .runtime
            .block_on(start_order_worker(activity, options))
            .expect("a worker starts");
        self.workers.push(worker);
    }

    /// The orchestrators that run.
    pub fn orchestrators(&self) -> &[Orchestrator] {
        &self.orchestrators
    }

    /// Drops the oldest orchestrator as it stands.
    pub fn drop_orchestrator(&mut self) {
        drop(self.orchestrators.remove(0));
    }

    /// Drains the oldest orchestrator; returns what it has done.
    ///
    /// # Errors
    ///
    /// As [`Orchestrator::drain`].
    pub fn drain_orchestrator(&mut self) -> Result<Counters, EngineError> {
        self.orchestrators.remove(0).drain()
    }

    /// Publishes a record and waits for its acknowledgement; returns where it lies.
    ///
    /// # Panics
    ///
    /// If it is not acknowledged.
    pub fn produce(&self, record: OutgoingRecord) -> (i32, i64) {
        let producer = self.producer.as_ref().expect("it goes with the world");
        producer
            .send_one(record)
            .expect("the broker takes a record")
    }

    /// A new order, unlike all others of this world.
    pub fn order(&self) -> Order {
        let number = self.order_count.fetch_add(1, Ordering::Relaxed);
        Order::new(format!("o{number}"))
    }

    /// A new order whose saga's key lies in this partition of a topic of so many.
    pub fn order_in(&self, partition: i32, partitions: i32) -> Order {
        loop {
            let order = self.order();
            if backstitch_broker::partition_of(order.saga().as_bytes(), partitions) == partition {
                return order;
            }
        }
    }

    /// Publishes an order as JSON, by its number as its key.
    pub fn place(&self, order: &Order) -> (i32, i64) {
        self.produce(self.event(order))
    }

    /// The record of an order as JSON.
    pub fn event(&self, order: &Order) -> OutgoingRecord {
        let payload = order.event().to_string().into_bytes();
        OutgoingRecord::new(self.source.as_str(), payload).with_key(order.id.as_str())
    }

    /// How to reach the broker.
    pub fn kafka(&self) -> &KafkaConfig {
        &self.kafka
    }

    /// How topics are named.
    pub fn topics(&self) -> &wire::Topics {
        &self.topics
    }

    /// The topic that orders are published to.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the sagas run.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What messages are written with.
    pub fn codec(&self) -> Codec {
        Codec::single_object()
    }

    /// The store, by a handle of the test's own.
    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it goes with the world")
    }

    /// Waits for a future.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Everything that was written to the world's own topics.
    pub fn tape(&self) -> &Tape {
        self.tape.as_ref().expect("it goes with the world")
    }

    /// The folder of the workers' databases.
    pub fn workers_dir(&self) -> PathBuf {
        self.folder.path().join("workers")
    }
}

/// A client that lets through whatever a broker takes.
fn roomy(kafka: &KafkaConfig) -> KafkaConfig {
    kafka.clone().with("message.max.bytes", "8000000")
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that fails leaves nothing running either; why it failed is told elsewhere.
        for worker in &self.workers {
            worker.drain();
        }
        for worker in self.workers.drain(..) {
            let _ = self.runtime.block_on(worker.join());
        }
        for orchestrator in self.orchestrators.drain(..) {
            let _ = orchestrator.drain();
        }
        self.tape = None;
        self.producer = None;
        self.store = None;
        let mut topics = topics_needed(&self.topics, [&self.definition]).own;
        topics.push(self.source.clone());
        self.standing.give_back(&self.kafka, &topics, &self.runtime);
    }
}
