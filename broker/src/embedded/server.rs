//! Starting and stopping: the file, the threads, the listeners.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::appender::Spill;
use super::broker::Broker;
use super::checkpoint;
use super::cleaner;
use super::config::EmbeddedConfig;
use super::connection::{self, STACK_BYTES};
use super::coordinator::Coordinator;
use super::error::{EmbeddedError, RequestError};
use super::failpoint::{Point, pass};
use super::ledger::Ledger;
use super::listen::{connections_possible, listen, remedy};
use super::memory::Memory;
use super::partition::TailBudget;
use super::storage::{FileLock, Readers, open_copier, open_writer, sync_never};
use super::topics::Topics;
use super::txn::TxnClock;
use super::waker::Waker;
use super::writer::{self, WriteQueue};

/// Wait after an accept that failed for want of resources, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Wait after the file refused to give up a transaction that is out of time. The refusal made it due again at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Connections over the limit that are told so at once; more are closed without a word.
const REFUSED_MAX: usize = 16;

/// A Kafka endpoint inside this process, durable in a SQLite file and files of records beside it.
///
/// It serves until [`EmbeddedBroker::stop`] or until it is dropped. A record is acknowledged after the commit that
/// holds it is on the disk, so a process killed at any moment loses nothing that was acknowledged.
pub struct EmbeddedBroker {
    broker: Arc<Broker>,
    clock: Arc<TxnClock>,
    connections: Arc<Connections>,
    listeners: Vec<(SocketAddr, JoinHandle<()>)>,
    workers: Vec<JoinHandle<()>>,
    /// The workers and the connections may wait for it: it begins before them, and ends after them.
    writer: Option<JoinHandle<()>>,
    lock: Option<FileLock>,
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("bootstrap_servers", &self.bootstrap_servers())
            .finish_non_exhaustive()
    }
}

impl EmbeddedBroker {
    /// Opens or makes the file, listens, and serves.
    ///
    /// # Errors
    ///
    /// When the port or the file is taken by another process, when the address is not loopback, and when the file
    /// cannot be opened. Nothing is left running then.
    pub fn start(mut config: EmbeddedConfig) -> Result<EmbeddedBroker, EmbeddedError> {
        if !config.listen.ip().is_loopback() {
            return Err(EmbeddedError::NotLoopback {
                address: config.listen,
            });
        }
        config.connections_max = connections_possible(config.connections_max);
        config.idle_max = config.idle_max.max(Duration::from_millis(1));
        let lock = FileLock::take(&config.path)?;
        let sockets = listen(config.listen)?;
        let port = sockets[0].1.port();
        let storage = |attempted| {
            let path = config.path.clone();
            move |source| EmbeddedError::of_file(attempted, path, source)
        };
        let db = open_writer(&config.path)?;
        if !config.durable {
            sync_never(&db).map_err(storage("prepare"))?;
        }
        let cluster_id = cluster_id(&db).map_err(storage("read"))?;
        let (topics, clock) = (Arc::<Topics>::default(), Arc::<TxnClock>::default());
        let budget = Arc::new(TailBudget::new(
            config.tail_bytes_max,
            config.tails_bytes_max,
        ));
        let mut ledger = Ledger::load(
            &config.path,
            db,
            Arc::clone(&topics),
            Arc::clone(&clock),
            budget,
        )
        .map_err(storage("read"))?;
        let segments = Arc::clone(&ledger.appender.segments);
        if let Some(missing) = segments
            .missing(&ledger.db, config.durable)
            .map_err(storage("read"))?
        {
            return Err(EmbeddedError::RecordsMissing {
                path: config.path,
                missing,
            });
        }
        ledger.appender.spill = Spill {
            inline_bytes_max: config.inline_bytes_max,
            segment_bytes: config.segment_bytes,
            durable: config.durable,
        };
        let broker = Arc::new(Broker {
            host: config.listen.ip(),
            port,
            cluster_id,
            topics,
            queue: Arc::default(),
            readers: Readers::new(config.path.clone(), segments),
            spare: Arc::clone(&ledger.spare),
            coordinator: Coordinator::new(config.initial_rebalance_delay),
            requests: Arc::new(Memory::new(config.requests_bytes_max)),
            answers: Arc::new(Memory::new(config.answers_bytes_max)),
            stopping: AtomicBool::new(false),
            config,
        });
        let mut this = EmbeddedBroker {
            broker,
            clock,
            connections: Arc::default(),
            listeners: Vec::new(),
            workers: Vec::new(),
            writer: None,
            lock: Some(lock),
        };
        // From here on, an early return drops `this`, which stops what was started.
        this.start_workers(ledger)?;
        for (socket, address) in sockets {
            let (broker, connections) = (Arc::clone(&this.broker), Arc::clone(&this.connections));
            let thread = spawn("kafka-listener", move || {
                accept(&broker, &connections, &socket)
            })?;
            this.listeners.push((address, thread));
        }
        tracing::info!(bootstrap = %this.bootstrap_servers(), file = %this.broker.config.path.display(), "embedded broker serves");
        Ok(this)
    }

    /// Returns what a client's `bootstrap.servers` should be.
    pub fn bootstrap_servers(&self) -> String {
        SocketAddr::new(self.broker.host, self.broker.port).to_string()
    }

    /// Returns the port that is listened on.
    pub fn port(&self) -> u16 {
        self.broker.port
    }

    /// Commits what was taken, closes every connection and the file, and returns when all is done.
    pub fn stop(mut self) {
        self.shut_down();
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> Arc<Broker> {
        Arc::clone(&self.broker)
    }

    fn start_workers(&mut self, ledger: Ledger) -> Result<(), EmbeddedError> {
        let queue = Arc::clone(&self.broker.queue);
        self.writer = Some(spawn("kafka-writer", move || writer::run(&queue, ledger))?);
        let broker = Arc::clone(&self.broker);
        let timers = spawn("kafka-groups", move || broker.coordinator.run())?;
        self.workers.push(timers);
        let broker = Arc::clone(&self.broker);
        let cleaner = spawn("kafka-cleaner", move || cleaner::run(&broker))?;
        self.workers.push(cleaner);
        let (broker, clock) = (Arc::clone(&self.broker), Arc::clone(&self.clock));
        let expiry = spawn("kafka-txns", move || expire_txns(&broker.queue, &clock))?;
        self.workers.push(expiry);
        let config = &self.broker.config;
        let copier = open_copier(&config.path, config.durable)
            .map_err(|source| EmbeddedError::of_file("open", config.path.clone(), source))?;
        let queue = Arc::clone(&self.broker.queue);
        let copier = spawn("kafka-checkpoint", move || {
            checkpoint::run(&queue.checkpoints, &copier);
        })?;
        self.workers.push(copier);
        Ok(())
    }

    fn shut_down(&mut self) {
        if self.lock.is_none() {
            return;
        }
        self.broker.stopping.store(true, Ordering::SeqCst);
        for (address, thread) in self.listeners.drain(..) {
            // Wakes the accept; whoever connects from now on is closed.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            let _ = thread.join();
        }
        self.broker.coordinator.close();
        self.clock.close();
        self.broker.queue.news.close();
        self.broker.queue.close();
        self.broker.queue.checkpoints.close();
        self.broker.requests.close();
        self.connections.close_all();
        pass(Point::Stopping);
        for worker in self.workers.drain(..).chain(self.writer.take()) {
            let _ = worker.join();
        }
        pass(Point::Stopped);
        self.lock = None;
        tracing::info!(bootstrap = %self.bootstrap_servers(), "embedded broker has stopped");
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// The open connections.
#[derive(Debug, Default)]
struct Connections {
    open: Mutex<HashMap<u64, Connection>>,
}

#[derive(Debug)]
struct Connection {
    stream: Arc<TcpStream>,
    waker: Arc<Waker>,
    service: Service,
    thread: Option<JoinHandle<()>>,
}

/// What is done for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Full,
    /// It is told that there is no room.
    Refusal,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, service: Service) -> usize {
        let open = self.open();
        let alike = |connection: &&Connection| connection.service == service;
        open.values().filter(alike).count()
    }

    /// Ends every connection and waits for their threads.
    fn close_all(&self) {
        let open: Vec<Connection> = self.open().drain().map(|(_, open)| open).collect();
        for connection in &open {
            let _ = connection.stream.shutdown(Shutdown::Both);
            connection.waker.wake();
        }
        for thread in open.into_iter().filter_map(|connection| connection.thread) {
            let _ = thread.join();
        }
    }
}

fn accept(broker: &Arc<Broker>, connections: &Arc<Connections>, socket: &TcpListener) {
    let (mut refused, mut failed) = (0_u64, 0_u64);
    for number in 0_u64.. {
        let accepted = socket.accept();
        if broker.is_stopping() {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                failed += 1;
                if failed.is_power_of_two() {
                    let remedy = remedy(&error);
                    tracing::warn!(%error, failed, remedy, "embedded broker: a connection could not be accepted");
                }
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let mut service = Service::Full;
        if connections.count(Service::Full) >= broker.config.connections_max {
            refused += 1;
            if refused.is_power_of_two() {
                tracing::warn!(
                    connections_max = broker.config.connections_max,
                    refused,
                    peer = ?stream.peer_addr().ok(),
                    "embedded broker: too many connections, the newest is refused; close some, or raise connections_max"
                );
            }
            if connections.count(Service::Refusal) >= REFUSED_MAX {
                continue;
            }
            service = Service::Refusal;
        }
        if let Err(error) = start_connection(broker, connections, stream, service, number) {
            tracing::warn!(%error, "embedded broker: a connection could not be served");
        }
    }
}

fn start_connection(
    broker: &Arc<Broker>,
    connections: &Arc<Connections>,
    stream: TcpStream,
    service: Service,
    number: u64,
) -> io::Result<()> {
    // The two listeners count on their own: the address tells their connections apart.
    let key = (number << 1) | u64::from(stream.local_addr()?.is_ipv6());
    // One handle for all that read, write and end it: a process may have a thousand open.
    let stream = Arc::new(stream);
    let waker = Arc::new(Waker::of(Arc::clone(&stream)));
    connections.open().insert(
        key,
        Connection {
            stream: Arc::clone(&stream),
            waker: Arc::clone(&waker),
            service,
            thread: None,
        },
    );
    let end = End {
        connections: Arc::clone(connections),
        stream,
        key,
    };
    let broker = Arc::clone(broker);
    // Without a thread, what was to be run is dropped, and `end` with it.
    let thread = thread::Builder::new()
        .name("kafka-connection".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let end = end;
            let peer = end.stream.peer_addr().ok();
            let ended = match service {
                Service::Full => connection::serve(&broker, &end.stream, &waker),
                Service::Refusal => connection::refuse(&end.stream),
            };
            match ended {
                Ok(()) | Err(RequestError::Closed(_) | RequestError::Stopping) => {}
                Err(error @ RequestError::Idle { .. }) => {
                    tracing::debug!(%error, ?peer, "embedded broker: a connection is closed");
                }
                Err(error) => {
                    tracing::warn!(%error, ?peer, "embedded broker: a connection is closed");
                }
            }
        })?;
    // A connection that has ended meanwhile has taken itself out.
    if let Some(connection) = connections.open().get_mut(&key) {
        connection.thread = Some(thread);
    }
    Ok(())
}

/// Closes a connection and takes it out of the list, however its thread ends: a panic costs one connection.
struct End {
    connections: Arc<Connections>,
    stream: Arc<TcpStream>,
    key: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.connections.open().remove(&self.key);
    }
}

fn expire_txns(queue: &Arc<WriteQueue>, clock: &TxnClock) {
    while clock.wait_due() {
        let Ok(ids) = queue.write(Ledger::txn_expire) else {
            clock.rest(REFUSED_PAUSE);
            continue;
        };
        for id in ids {
            tracing::warn!(transactional_id = %id, "embedded broker: a transaction ran out of time and is given up");
        }
    }
}

fn cluster_id(db: &rusqlite::Connection) -> rusqlite::Result<String> {
    let new = uuid::Uuid::new_v4().simple().to_string();
    db.execute(
        "insert or ignore into setting (name, value) values ('cluster_id', ?1)",
        [new],
    )?;
    db.query_row(
        "select value from setting where name = 'cluster_id'",
        [],
        |row| row.get(0),
    )
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, EmbeddedError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| EmbeddedError::Thread { source })
}
