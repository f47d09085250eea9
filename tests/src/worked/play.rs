//! A definition with its children, and what the world does for it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use backstitch_saga::Definition;
use backstitch_saga::definition::Files;
use backstitch_workers::Work;
use serde_json::Value;

/// Shorter than in the definitions, so that a silent worker is soon asked again.
const DEFAULTS: &str = "defaults: { timeout: 2s, retry: { attempts: 6, backoff: 50ms..500ms } }";

/// A definition with its children, and what the world does for it.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// The folder below `docs/definitions`.
    pub(super) folder: &'static str,
    /// The file of the saga that is started, then those of its children.
    pub(super) files: &'static [&'static str],
    /// The topic that starts it, as the definition has it.
    pub(super) source: &'static str,
    /// Texts of the definition, and what stands for them here: what takes days there.
    pub(super) sooner: &'static [(&'static str, &'static str)],
    /// What may go wrong for good, by activity. What is not named fails at first and is done then.
    pub(super) troubles: &'static [(&'static str, Trouble)],
    /// The business key and the start event of the saga of this number.
    pub(super) event: fn(u64) -> (String, Value),
    /// What an activity answers.
    pub(super) output: fn(&Work) -> Value,
    /// The record that a `wait` of this saga waits for, if one ever comes.
    pub(super) awaited: fn(u64) -> Option<Awaited>,
}

/// What may go wrong for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is refused.
    Refusal,
    /// It is refused, or fails until its retries are used up.
    Any,
}

/// A record that a saga waits for.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    /// The topic, as the definition has it.
    pub(super) topic: &'static str,
    pub(super) record: Value,
    /// Published before the saga is started.
    pub(super) early: bool,
}

/// Files below a folder, changed as the definition is.
struct Changed<'p> {
    folder: PathBuf,
    play: &'p Play,
    prefix: &'p str,
}

impl Files for Changed<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let text = std::fs::read_to_string(self.folder.join(path));
        text.map(|text| self.change(&text))
            .map_err(|error| error.to_string())
    }
}

impl Changed<'_> {
    fn change(&self, text: &str) -> String {
        let mut text = text.replace("topic: ", &format!("topic: {}.", self.prefix));
        for long in ["5s", "10s", "20s", "30s", "1m"] {
            text = text.replace(&format!("timeout: {long},"), "timeout: 2s,");
        }
        for (there, here) in self.play.sooner {
            text = text.replace(there, here);
        }
        text
    }
}

impl Play {
    /// Its definitions, with topics that begin with a prefix, and little patience.
    pub(super) fn definitions(&self, prefix: &str) -> Vec<Definition> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/definitions")
            .join(self.folder);
        let files = Changed {
            folder,
            play: self,
            prefix,
        };
        self.files
            .iter()
            .map(|name| {
                let text = files.read(name).expect("a definition can be read");
                let text = text.replacen("\nsteps:\n", &format!("\n{DEFAULTS}\nsteps:\n"), 1);
                Definition::from_yaml_with(name, &text, &files).unwrap_or_else(|found| {
                    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
                    panic!("{}", told.join("\n"))
                })
            })
            .collect()
    }

    /// What may go wrong for good with an activity.
    pub(super) fn trouble(&self, activity: &str) -> Option<Trouble> {
        let mut troubles = self.troubles.iter();
        troubles
            .find(|(name, _)| *name == activity)
            .map(|(_, t)| *t)
    }
}

/// A number from 0 to 99 that follows from a seed and what is drawn for.
pub(super) fn draw(seed: u64, what: &str) -> u64 {
    // Its keys are fixed: the same in every process.
    let mut hasher = DefaultHasher::new();
    (seed, what).hash(&mut hasher);
    hasher.finish() % 100
}
