//! The broker under test, and names that no other fact uses.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use backstitch_broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use backstitch_broker::{Admin, BatchDone, KafkaConfig, NewTopicSpec, OutgoingRecord, Producer};

/// No fact waits longer than this, whatever the machine has to do besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static EMBEDDED: OnceLock<EmbeddedBroker> = OnceLock::new();

/// Where the broker under test listens.
pub(crate) fn bootstrap() -> String {
    if let Ok(bootstrap) = std::env::var("BACKSTITCH_TEST_BOOTSTRAP") {
        return bootstrap;
    }
    EMBEDDED
        .get_or_init(|| {
            let folder = tempfile::Builder::new()
                .prefix("conformance-")
                .tempdir_in(tidy(Path::new(env!("CARGO_TARGET_TMPDIR"))))
                .unwrap()
                .keep();
            embedded(&folder.join("broker.db"), "127.0.0.1:0")
        })
        .bootstrap_servers()
        .to_owned()
}

/// A test process has no end at which it could tidy up, so each removes what runs of an hour ago and more have left. Not all that is
/// there: another run may be going on.
fn tidy(folder: &Path) -> &Path {
    for entry in folder.read_dir().unwrap().flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|at| {
                at.elapsed()
                    .is_ok_and(|age| age > Duration::from_secs(3_600))
            });
        if old
            && entry
                .file_name()
                .to_string_lossy()
                .starts_with("conformance-")
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    folder
}

pub(crate) fn embedded(path: &Path, listen: &str) -> EmbeddedBroker {
    EmbeddedBroker::start(EmbeddedConfig {
        path: path.to_path_buf(),
        listen: listen.parse().unwrap(),
        ..EmbeddedConfig::default()
    })
    .unwrap()
}

pub(crate) fn config() -> KafkaConfig {
    KafkaConfig::new(bootstrap())
}

pub(crate) fn admin() -> Admin {
    Admin::new(&config()).unwrap()
}

/// A name that no other fact or run uses.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

/// A topic of its own. It keeps records whose time is long ago: a broker that keeps a week would delete them meanwhile.
pub(crate) fn topic(what: &str, partitions: i32) -> String {
    topic_with(what, partitions, &[("retention.ms", "-1")])
}

pub(crate) fn topic_with(what: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique(what);
    let mut spec = NewTopicSpec::new(&name, partitions);
    spec.config = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    admin().create_topics(&[spec]).unwrap();
    name
}

/// Sends one batch and waits for its end.
pub(crate) fn send(config: &KafkaConfig, records: Vec<OutgoingRecord>) -> BatchDone {
    let (done, wait) = std::sync::mpsc::channel();
    let producer = Producer::new(config, move |batch| done.send(batch).unwrap()).unwrap();
    producer.send(1, records).unwrap();
    wait.recv_timeout(PATIENCE).expect("every batch ends")
}

/// Sends payloads to one partition.
pub(crate) fn fill(topic: &str, partition: i32, payloads: impl IntoIterator<Item = String>) {
    let records = payloads
        .into_iter()
        .map(|payload| to(topic, partition, payload))
        .collect();
    assert_eq!(send(&config(), records).result, Ok(()));
}

pub(crate) fn to(topic: &str, partition: i32, payload: impl Into<Vec<u8>>) -> OutgoingRecord {
    OutgoingRecord {
        partition: Some(partition),
        ..OutgoingRecord::new(topic, payload)
    }
}

pub(crate) fn text(payload: Option<&Vec<u8>>) -> String {
    String::from_utf8(payload.expect("a payload").clone()).unwrap()
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
