//! The processes under test. Each is killed and restarted, and only by the handle that it was started with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::CrashError;

/// How long a process that ended by itself stays down, as under a supervisor.
const RESTART_WAIT: Duration = Duration::from_millis(300);

/// How long a drain may take.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(40);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// What every process of the fleet is told.
#[derive(Debug)]
pub(super) struct Orders<'a> {
    pub(super) bin: &'a Path,
    pub(super) env: Vec<(&'static str, String)>,
    pub(super) logs: PathBuf,
}

impl Orders<'_> {
    /// The program, told nothing but what it is to be told.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.bin);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BACKSTITCH_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// One process, over its restarts.
#[derive(Debug)]
struct Member {
    name: String,
    args: Vec<String>,
    child: Option<Child>,
    /// When it ended by itself, if it is down for that.
    down_since: Option<Instant>,
    kills: usize,
    /// How it ended by itself, and how often.
    own_ends: BTreeMap<String, usize>,
}

/// All processes.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    orders: Orders<'a>,
    members: Vec<Member>,
}

impl<'a> Fleet<'a> {
    /// Starts a process for each name and its arguments; the name is its instance id, too.
    pub(super) fn start(
        orders: Orders<'a>,
        members: Vec<(String, Vec<String>)>,
    ) -> Result<Self, CrashError> {
        std::fs::create_dir_all(&orders.logs)?;
        let mut fleet = Self {
            orders,
            members: Vec::new(),
        };
        for (name, args) in members {
            fleet.members.push(Member {
                name,
                args,
                child: None,
                down_since: None,
                kills: 0,
                own_ends: BTreeMap::new(),
            });
        }
        for place in 0..fleet.members.len() {
            fleet.launch(place)?;
        }
        Ok(fleet)
    }

    /// How many processes there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Kills one as `kill -9` does, and starts it again at once.
    pub(super) fn kill(&mut self, place: usize) -> Result<(), CrashError> {
        let member = &mut self.members[place];
        if let Some(child) = &mut member.child {
            child.kill()?;
            child.wait()?;
            member.kills += 1;
        }
        self.launch(place)
    }

    /// Starts again what has ended by itself.
    pub(super) fn tend(&mut self) -> Result<(), CrashError> {
        for place in 0..self.members.len() {
            let log = self.log(&self.members[place].name);
            let member = &mut self.members[place];
            if let Some(child) = &mut member.child
                && let Some(status) = child.try_wait()?
            {
                let said = std::fs::read_to_string(log)?;
                let why = said.lines().rfind(|line| line.starts_with("error:"));
                let end = format!("{status}, {}", why.unwrap_or("without an error"));
                *member.own_ends.entry(end).or_default() += 1;
                member.child = None;
                member.down_since = Some(Instant::now());
            }
            if member
                .down_since
                .is_some_and(|since| since.elapsed() > RESTART_WAIT)
            {
                self.launch(place)?;
            }
        }
        Ok(())
    }

    /// Asks all to end, and waits until they have.
    ///
    /// # Errors
    ///
    /// Names those that ended otherwise than well, or not in time.
    pub(super) fn drain(&mut self) -> Result<(), CrashError> {
        for member in &self.members {
            if let Some(child) = &member.child {
                // The standard library can only kill; this program can ask.
                Command::new("kill")
                    .arg("-TERM")
                    .arg(child.id().to_string())
                    .status()?;
            }
        }
        let until = Instant::now() + DRAIN_WAIT_MAX;
        let mut bad = Vec::new();
        for member in &mut self.members {
            let Some(mut child) = member.child.take() else {
                bad.push(format!("{} was down", member.name));
                continue;
            };
            match wait_until(&mut child, until)? {
                Some(status) if status.success() => {}
                Some(status) => bad.push(format!("{}: {status}", member.name)),
                None => {
                    child.kill()?;
                    child.wait()?;
                    bad.push(format!(
                        "{} did not end within {DRAIN_WAIT_MAX:?}",
                        member.name
                    ));
                }
            }
        }
        if bad.is_empty() {
            Ok(())
        } else {
            Err(format!("processes did not drain: {}", bad.join("; ")).into())
        }
    }

    /// How often each was killed, and how each ended by itself.
    pub(super) fn history(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            // Writing to a string cannot fail.
            let _ = write!(text, " {}:{}", member.name, member.kills);
        }
        for member in &self.members {
            for (end, times) in &member.own_ends {
                let _ = write!(
                    text,
                    "\n  {} ended {times} times by itself: {end}",
                    member.name
                );
            }
        }
        text
    }

    /// How many times any was killed.
    pub(super) fn kill_count(&self) -> usize {
        self.members.iter().map(|member| member.kills).sum()
    }

    /// Lines of any log that tell of a panic.
    pub(super) fn panics(&self) -> Result<Vec<String>, CrashError> {
        let mut found = Vec::new();
        for member in &self.members {
            let text = std::fs::read_to_string(self.log(&member.name))?;
            let lines = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(lines.map(|line| format!("{}: {line}", member.name)));
        }
        Ok(found)
    }

    /// The last lines of every log.
    pub(super) fn tails(&self, lines: usize) -> String {
        let mut text = String::new();
        for member in &self.members {
            let log = std::fs::read_to_string(self.log(&member.name)).unwrap_or_default();
            let all: Vec<&str> = log.lines().collect();
            let _ = writeln!(text, "---- {} ({} lines)", member.name, all.len());
            for line in &all[all.len().saturating_sub(lines)..] {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    fn log(&self, name: &str) -> PathBuf {
        self.orders.logs.join(format!("{name}.log"))
    }

    fn launch(&mut self, place: usize) -> Result<(), CrashError> {
        let name = self.members[place].name.clone();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(&name))?;
        let member = &mut self.members[place];
        let child = self
            .orders
            .command()
            .args(&member.args)
            .args(["--instance-id", &name])
            .current_dir(&self.orders.logs)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.orders.bin.display()))?;
        member.child = Some(child);
        member.down_since = None;
        Ok(())
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for child in self
            .members
            .iter_mut()
            .filter_map(|member| member.child.as_mut())
        {
            // One that has ended already cannot be killed, and needs not be.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a process; `None` if it has not ended by then.
pub(super) fn wait_until(child: &mut Child, until: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}
