//! A broker in a process of its own, to be killed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A broker in a process of its own, killed when it goes out of scope.
pub struct Process {
    pub child: Child,
    pub bootstrap: String,
    out: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(file: &Path, port: u16) -> Process {
        Process::start_with(file, port, &[])
    }

    pub fn start_with(file: &Path, port: u16, arguments: &[&str]) -> Process {
        Process::try_start(file, port, arguments)
            .unwrap_or_else(|status| panic!("the broker did not start: {status}"))
    }

    /// Returns how it ended where it ended before it served.
    pub fn try_start(file: &Path, port: u16, arguments: &[&str]) -> Result<Process, ExitStatus> {
        let mut command = Command::new(example());
        command
            .args([
                "--path",
                file.to_str().unwrap(),
                "--port",
                &port.to_string(),
            ])
            .args(arguments);
        Process::run(command)
    }

    /// Runs a command that becomes a broker.
    pub fn run(mut command: Command) -> Result<Process, ExitStatus> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        if line.is_empty() {
            return Err(child.wait().unwrap());
        }
        Ok(Process {
            child,
            bootstrap: line.trim().to_owned(),
            out,
        })
    }

    pub fn port(&self) -> u16 {
        self.bootstrap.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Says a line to the example, and returns its answer.
    pub fn say(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.out.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    /// Lets it stop as it should, and returns how it ended.
    pub fn stop(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: no chance to write anything more.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The example beside this test's binary; cargo builds it with the tests of the crate.
pub fn example() -> PathBuf {
    let profile = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned();
    let example = profile.join("examples/embedded");
    assert!(
        example.exists(),
        "build it first: cargo build -p backstitch-broker --example embedded"
    );
    example
}
