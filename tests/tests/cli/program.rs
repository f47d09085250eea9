//! The program in a folder and an environment of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backstitch_tests::world::{WAIT_MAX, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// All of stdout, as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A folder to run in, and a port for its broker.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) port: u16,
}

/// The program: where the environment says, else beside the tests.
fn binary() -> PathBuf {
    let path = std::env::var_os("BACKSTITCH_BIN").map_or_else(
        || {
            let test = std::env::current_exe().unwrap();
            let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
            profile.join("backstitch")
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "there is no {}: build it with `cargo build --bin backstitch`, or name it in BACKSTITCH_BIN",
        path.display()
    );
    path
}

impl Home {
    pub(crate) fn new() -> Self {
        // Free a moment ago; no two homes of this process get the same, as the system gives ports in turn.
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            folder: tempfile::tempdir().unwrap(),
            port,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_string_lossy().starts_with("BACKSTITCH_");
            if is_ours || name == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command as it is.
    pub(crate) fn run_plain(&self, args: &[&str]) -> Run {
        finish(&mut self.command(args))
    }

    /// Runs a command on this home's port.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Run {
        let mut command = self.command(args);
        command.args(["--set", &format!("embedded.port={}", self.port)]);
        command.envs(environment.iter().copied());
        finish(&mut command)
    }

    /// Runs a command that has to succeed; returns its JSON.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let run = self.run(&[args, &["--json"]].concat());
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run.json()
    }

    /// Starts a server, and waits until it says that it serves.
    pub(crate) fn start(&self, args: &[&str]) -> Server {
        let mut command = self.command(args);
        command.args(["--json", "--set", &format!("embedded.port={}", self.port)]);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Server {
            child,
            lines,
            said: String::new(),
            reader: Some(reader),
        };
        server.wait_for_word("serving");
        server
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    said: String,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    fn wait_for_word(&mut self, word: &str) {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it never said `{word}`, but: {}", self.said);
            };
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(word) {
                return;
            }
        }
    }

    /// Asks it to end by SIGTERM, and waits until it has.
    pub(crate) fn end(mut self, within: Duration) -> Run {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(asked.success());
        let began = Instant::now();
        let status = eventually("the server to end", || self.child.try_wait().unwrap());
        let took = began.elapsed();
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.said
            .extend(self.lines.try_iter().map(|line| line + "\n"));
        assert!(took < within, "it took {took:?}: {}", self.said);
        Run {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
