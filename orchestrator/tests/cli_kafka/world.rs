//! A broker for each test, started as a test suite of anybody's would: on a free port, told by its first line.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use backstitch_broker::{Admin, KafkaConfig, OutgoingRecord, Producer};
use serde_json::Value;

/// No step waits longer, whatever the machine has to do besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running `backstitch broker`; killed with the test.
pub(crate) struct Broker {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said first.
    pub(crate) said: Value,
    pub(crate) bootstrap: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    /// Keeps nothing, on a free port.
    pub(crate) fn ephemeral(folder: &Path) -> Self {
        Self::start(folder, &["--listen", "0", "--ephemeral"])
    }

    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = backstitch(folder)
            .args(["broker", "--json"])
            .args(arguments)
            .env("TMPDIR", folder)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("broker.err")).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let errors = std::fs::read_to_string(folder.join("broker.err")).unwrap();
            panic!("{error}: {line:?} {errors}")
        });
        let bootstrap = said["bootstrap_servers"].as_str().unwrap().to_owned();
        Self {
            child,
            stdout,
            said,
            bootstrap,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end; how it did, and what it said after its first line.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        terminate(&self.child);
        let status = await_end(&mut self.child);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest)
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// A command against it, not run yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = backstitch(Path::new("/"));
        command
            .args(arguments)
            .args(["--bootstrap-servers", &self.bootstrap]);
        command
    }

    /// Runs a command that has to end well, and gives what it says.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    /// Runs a command that has to end with this code; what it says on stderr.
    pub(crate) fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let (found, out, err) = self.run(arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        assert_eq!(out, "", "{arguments:?}");
        err
    }

    /// Runs a command that has to end well, and reads its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Runs a command that has to end well, and reads its JSON line by line.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.text(&[arguments, &["--json"]].concat());
        out.lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    pub(crate) fn kafka(&self) -> KafkaConfig {
        KafkaConfig::new(self.bootstrap.as_str())
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.kafka()).unwrap()
    }

    pub(crate) fn topic(&self, name: &str, partitions: i32) {
        self.json(&[
            "topics",
            "create",
            name,
            "--partitions",
            &partitions.to_string(),
        ]);
    }

    /// Sends records, and waits until they are acknowledged.
    pub(crate) fn send(&self, records: Vec<OutgoingRecord>) {
        let (done, wait) = std::sync::mpsc::channel();
        let producer =
            Producer::new(&self.kafka(), move |batch| done.send(batch).unwrap()).unwrap();
        producer.send(1, records).unwrap();
        assert_eq!(wait.recv_timeout(PATIENCE).unwrap().result, Ok(()));
    }

    /// Sends texts to a partition, a second apart by their times from 2026-03-01T00:00:00Z on.
    pub(crate) fn fill(&self, topic: &str, partition: i32, payloads: &[&str]) {
        let records = payloads
            .iter()
            .zip(0..)
            .map(|(payload, second)| OutgoingRecord {
                partition: Some(partition),
                timestamp_ms: Some(1_772_323_200_000 + second * 1_000),
                ..OutgoingRecord::new(topic, *payload)
            });
        self.send(records.collect());
    }
}

/// The program, in a folder, with no configuration but what is given.
pub(crate) fn backstitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTITCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Asks a process to end.
pub(crate) fn terminate(child: &Child) {
    let pid = child.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(asked.success());
}

pub(crate) fn await_end(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "it has not ended within {PATIENCE:?}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
