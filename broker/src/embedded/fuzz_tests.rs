//! Whatever bytes come as a request, they are answered or refused: no panic, no endless wait, and nobody else notices.
//!
//! Every API in every version of [`SERVED`] is drawn, right and changed, with records inside. Input `n` of a seed is
//! drawn by itself, so what failed is drawn again by the one command that the failure prints.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;

use super::EmbeddedConfig;
use super::batch::tests::sample;
use super::error::RequestError;
use super::frame::Frame;
use super::fuzz_draw::{Chance, framed, mutate, request, request_of};
use super::lent_tests::joined;
use super::memory::Memory;
use super::protocol::{Reply, SERVED, answer};
use super::protocol_tests::{Talk, topic};
use super::waker::Waker;

const SEED: u64 = 0x5eed;
/// Inputs, without a wish for more.
const INPUTS: u64 = 20_000;
/// Inputs are drawn side by side: some wait for a commit, or for members that never come.
const DRAWERS: u64 = 16;
/// One in so many goes over a socket.
const OVER_SOCKET: usize = 8;
/// APIs and versions, at most.
const PAIRS_MAX: usize = 256;
/// The longest that one may take on a busy machine. What may wait ends when its client is seen to be gone.
const LIMIT: Duration = Duration::from_secs(20);
/// The longest that none of the inputs may end.
const STANDSTILL: Duration = Duration::from_secs(60);

/// What became of the inputs of one API and version.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    answered: u64,
    refused: u64,
    /// Batches of records that were taken.
    taken: u64,
}

type Tallies = BTreeMap<(i16, i16), Tally>;

fn wish(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

fn command(seed: u64, input: u64) -> String {
    format!(
        "BACKSTITCH_FUZZ_SEED={seed} BACKSTITCH_FUZZ_FROM={input} BACKSTITCH_FUZZ_INPUTS=1 \
         cargo test -p backstitch-broker --lib whatever_comes"
    )
}

#[test]
fn whatever_comes_is_answered_or_refused_and_the_broker_is_sound_after_it() {
    let talk = Talk::start_with(EmbeddedConfig {
        auto_create_topics: true,
        ..EmbeddedConfig::default()
    });
    make_topics(&talk);
    let seed = wish("BACKSTITCH_FUZZ_SEED").unwrap_or(SEED);
    let from = wish("BACKSTITCH_FUZZ_FROM").unwrap_or(0);
    let inputs = wish("BACKSTITCH_FUZZ_INPUTS").unwrap_or(INPUTS);
    let (next, begun) = (AtomicU64::new(from), Instant::now());
    let current: Vec<AtomicU64> = (0..DRAWERS).map(|_| AtomicU64::new(from)).collect();
    let (report, ended) = channel();
    let all = thread::scope(|scope| {
        for number in &current {
            let (report, talk, next) = (report.clone(), &talk, &next);
            scope.spawn(move || {
                let mut drawer = Drawer::new(talk, seed);
                loop {
                    let input = next.fetch_add(1, Ordering::Relaxed);
                    if input >= from + inputs {
                        break;
                    }
                    number.store(input, Ordering::Relaxed);
                    drawer.draw(input);
                    let _ = report.send(None);
                }
                let _ = report.send(Some(drawer.tallies));
            });
        }
        drop(report);
        let mut all = Tallies::new();
        loop {
            match ended.recv_timeout(STANDSTILL) {
                Ok(None) => {}
                Ok(Some(tallies)) => {
                    for (key, tally) in tallies {
                        let sum = all.entry(key).or_default();
                        sum.answered += tally.answered;
                        sum.refused += tally.refused;
                        sum.taken += tally.taken;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break all,
                Err(RecvTimeoutError::Timeout) => {
                    let stuck = current.iter().map(|at| at.load(Ordering::Relaxed));
                    let commands: Vec<String> = stuck.map(|at| command(seed, at)).collect();
                    println!("nothing ends; one of these:\n{}", commands.join("\n"));
                    std::process::abort();
                }
            }
        }
    });
    let sum = |of: fn(&Tally) -> u64| all.values().map(of).sum::<u64>();
    let (answered, refused) = (sum(|tally| tally.answered), sum(|tally| tally.refused));
    let taken = sum(|tally| tally.taken);
    println!(
        "seed {seed}: {inputs} inputs in {:?}, {answered} answered, {refused} refused, {taken} batches taken",
        begun.elapsed()
    );
    if inputs >= INPUTS {
        assert!(taken > 0, "no batch was taken");
        for &(api, first, last) in SERVED {
            for version in first..=last {
                let tally = all[&(api as i16, version)];
                assert!(
                    tally.answered > 0 && tally.refused > 0,
                    "{api:?} {version}: {tally:?}"
                );
            }
        }
    }
    is_sound(talk);
}

/// Topics for the requests to meet; those that are there already stay.
fn make_topics(talk: &Talk) {
    let wish = |name: &str| {
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name("cleanup.policy".to_owned().into())
            .with_value((name == "keyed").then(|| "compact".to_owned().into()));
        create_topics_request::CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(3)
            .with_replication_factor(1)
            .with_configs(if name == "keyed" {
                vec![config]
            } else {
                vec![]
            })
    };
    let request = CreateTopicsRequest::default().with_topics(vec![wish("orders"), wish("keyed")]);
    let _: CreateTopicsResponse = talk.ask(ApiKey::CreateTopics, 5, &request);
}

/// Records go in and come out, now and after a restart, and no memory is held any more.
fn is_sound(talk: Talk) {
    talk.make_topic("sound");
    assert_eq!(
        talk.produce(9, "sound", sample(-1, -1, -1, &[100, 110])),
        (0, 0)
    );
    // What closed connections held is given back when their threads end.
    let deadline = Instant::now() + LIMIT;
    while talk.held() != (0, 0) {
        assert!(Instant::now() < deadline, "held: {:?}", talk.held());
        thread::yield_now();
    }
    let talk = talk.restarted();
    assert_eq!(talk.produce(9, "sound", sample(-1, -1, -1, &[120])), (0, 2));
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
    let asked = fetch_request::FetchTopic::default()
        .with_topic(topic("sound"))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked]);
    let answer: FetchResponse = talk.ask(ApiKey::Fetch, 12, &request);
    let partition = &answer.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 3));
}

/// Draws inputs and hands them in, some to the dispatch and some to a socket.
struct Drawer<'a> {
    talk: &'a Talk,
    seed: u64,
    /// The client of what is dispatched is gone, so that nothing waits for it.
    waker: Arc<Waker>,
    tallies: Tallies,
}

impl<'a> Drawer<'a> {
    fn new(talk: &'a Talk, seed: u64) -> Drawer<'a> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (ended, _) = listener.accept().unwrap();
        let waker = Waker::of(Arc::new(ended));
        assert!(waker.is_gone());
        Drawer {
            talk,
            seed,
            waker: Arc::new(waker),
            tallies: Tallies::new(),
        }
    }

    fn draw(&mut self, input: u64) {
        let mut chance = Chance::of_input(self.seed, input);
        // Each API and version in turn, so that none is left out; the others as chance has it.
        let pairs = || {
            SERVED
                .iter()
                .flat_map(|&(api, first, last)| (first..=last).map(move |version| (api, version)))
        };
        assert!(pairs().count() <= PAIRS_MAX);
        let (api, version, mut bytes) =
            match pairs().nth(usize::try_from(input).unwrap() % PAIRS_MAX) {
                Some((api, version)) => (api, version, request_of(&mut chance, api, version)),
                None => request(&mut chance),
            };
        if !chance.is_one_in(3) {
            mutate(&mut chance, &mut bytes);
        }
        let begun = Instant::now();
        let answered = if chance.is_one_in(OVER_SOCKET) {
            self.over_socket(&bytes)
        } else {
            let dispatched = AssertUnwindSafe(|| self.dispatch(Bytes::from(bytes)));
            match catch_unwind(dispatched) {
                Ok(answered) => answered,
                Err(_) => panic!("a panic: {}", command(self.seed, input)),
            }
        };
        let took = begun.elapsed();
        assert!(took < LIMIT, "{took:?}: {}", command(self.seed, input));
        let tally = self.tallies.entry((api as i16, version)).or_default();
        tally.answered += u64::from(answered.is_some());
        tally.refused += u64::from(answered.is_none());
        if let Some(bytes) = answered.filter(|_| api == ApiKey::Produce) {
            tally.taken += taken(version, bytes);
        }
        if input.is_multiple_of(97) {
            make_topics(&self.talk.another());
        }
    }

    /// What it was answered, without its length; nothing where nothing is wanted, or nobody is there to want it.
    fn dispatch(&self, frame: Bytes) -> Option<Bytes> {
        let broker = self.talk.inner();
        let reply = answer(
            &broker,
            "127.0.0.1",
            &self.waker,
            Frame {
                held: broker.requests.take(0),
                bytes: frame.to_vec(),
            },
        );
        let mut bytes = match reply {
            Ok(Reply::Now(bytes)) => bytes.freeze(),
            Ok(Reply::Pieces(pieces, _)) => joined(&pieces, &broker.readers.segments).unwrap(),
            Ok(Reply::Later(later)) => later.wait().unwrap().freeze(),
            Ok(Reply::None) | Err(RequestError::Stopping) => return Some(Bytes::new()),
            Err(error @ RequestError::Unencodable { .. }) => panic!("{error}"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return None;
            }
        };
        let length = usize::try_from(bytes.get_u32()).unwrap();
        assert_eq!(length, bytes.len());
        Some(bytes)
    }

    /// What came back before the connection was closed, if anything did. The client says no more after its request, so
    /// that what waits ends, and what wants no answer is seen to have none.
    fn over_socket(&self, request: &[u8]) -> Option<Bytes> {
        let mut stream = self.talk.another().stream.try_clone().unwrap();
        // A refusal may come while this is still written.
        let _ = stream.write_all(&framed(request));
        let _ = stream.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        if let Err(error) = ended {
            assert!(
                error.kind() == std::io::ErrorKind::ConnectionReset,
                "the connection is neither answered nor closed: {error}"
            );
        }
        (!bytes.is_empty()).then(|| Bytes::from(bytes).slice(4..))
    }
}

/// How many batches an answer says were taken.
fn taken(version: i16, mut answer: Bytes) -> u64 {
    if answer.is_empty() {
        return 0;
    }
    let header = ApiKey::Produce.response_header_version(version);
    ResponseHeader::decode(&mut answer, header).unwrap();
    let answer = ProduceResponse::decode(&mut answer, version).unwrap();
    let topics = answer.responses.iter();
    let partitions = topics.flat_map(|topic| &topic.partition_responses);
    let count = partitions.filter(|partition| partition.error_code == 0);
    u64::try_from(count.count()).unwrap()
}

impl Talk {
    /// What requests and answers hold.
    fn held(&self) -> (usize, usize) {
        let broker = self.inner();
        let held = |memory: &Memory, max: usize| max - memory.free();
        (
            held(&broker.requests, broker.config.requests_bytes_max),
            held(&broker.answers, broker.config.answers_bytes_max),
        )
    }
}
