//! A broker in a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A broker in a process of its own, killed when it goes out of scope.
pub struct Process {
    pub child: Child,
    pub bootstrap: String,
}

impl Process {
    pub fn start(file: &Path, port: u16) -> Process {
        Process::start_with(file, port, &[])
    }

    pub fn start_with(file: &Path, port: u16, arguments: &[&str]) -> Process {
        let mut child = Command::new(example())
            .args([
                "--path",
                file.to_str().unwrap(),
                "--port",
                &port.to_string(),
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(!line.is_empty(), "the broker did not start");
        Process {
            child,
            bootstrap: line.trim().to_owned(),
        }
    }

    pub fn port(&self) -> u16 {
        self.bootstrap.rsplit(':').next().unwrap().parse().unwrap()
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
