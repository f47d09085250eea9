//! A broker in a process of its own, and what it had before its clients came.

use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiVersionsRequest;

use crate::figures::{Figures, PATIENCE, until};
use crate::process::Process;
use crate::wire::Wire;

/// Files that readers of the broker's file may have open more: they are opened under load, and four are kept.
pub(crate) const FILES_READ_MAX: usize = 12;

pub(crate) struct World {
    folder: tempfile::TempDir,
    process: Process,
}

impl World {
    pub(crate) fn start(arguments: &[&str]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let process = Process::start_with(&file, 0, arguments);
        let world = World { folder, process };
        // What is made once, such as a reader of the file, is there before anything is counted.
        let mut wire = world.wire();
        wire.make_topic("orders", 1, &[]);
        assert_eq!(wire.produce("orders", 0, 10).0, 0);
        assert!(wire.fetch("orders", 0) > 0);
        world
    }

    /// The same files, another process.
    pub(crate) fn restart(self, arguments: &[&str]) -> World {
        let World { folder, process } = self;
        assert!(process.stop().success());
        let process = Process::start_with(&folder.path().join("broker.db"), 0, arguments);
        World { folder, process }
    }

    pub(crate) fn address(&self) -> &str {
        &self.process.bootstrap
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// What the broker holds now.
    pub(crate) fn figures(&self) -> Figures {
        Figures::of(self.pid())
    }

    /// What it holds when no client is there: every connection's thread has ended.
    pub(crate) fn at_rest(&self) -> Figures {
        // Those who connected before it have been let in by then.
        let mut last = self.wire();
        last.send(&ApiVersionsRequest::default(), 3);
        let _ = last.answer();
        drop(last);
        let count = |named: fn(&str) -> bool| {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
            tasks
                .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
                .filter(|name| named(name))
                .count()
        };
        until("every connection to end", || {
            // A thread has the name of the one that made it until it gives itself its own.
            count(|name| name.starts_with("kafka-listener")) <= 2
                && count(|name| name.starts_with("kafka-connectio")) == 0
        });
        self.figures()
    }

    /// Waits until threads and files are what they were.
    pub(crate) fn is_as(&self, before: Figures) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.figures();
            if now.threads <= before.threads
                && now.sockets <= before.sockets
                && now.files <= before.files + FILES_READ_MAX
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{now:?} after {PATIENCE:?}, {before:?} before"
            );
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}
