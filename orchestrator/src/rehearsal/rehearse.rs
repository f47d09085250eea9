//! A cast with its paths: what plays cases and tests.

use backstitch_saga::expression::{Scope, key_text};
use serde_json::Value;

use super::cast::{Cast, Data};
use super::paths::{Path, Paths};
use super::run::{Run, Then, run};
use super::script::{Case, Script};
use super::world::BEGIN_MS;

/// The business key where no start rule says one.
const KEY: &str = "rehearsal";

/// A cast with its paths.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    pub(super) cast: Cast,
    pub(super) paths: Paths,
}

impl Rehearsal {
    /// Finds the paths of a cast. `event` is what starts it; where there is none, one is made up.
    pub fn new(cast: Cast, event: Option<&Value>) -> Self {
        let paths = Paths::of(&cast, event);
        Self { cast, paths }
    }

    /// The cast.
    pub fn cast(&self) -> &Cast {
        &self.cast
    }

    /// The paths, the usual one first.
    pub fn paths(&self) -> &[Path] {
        &self.paths.all
    }

    /// The event that starts a path.
    pub fn event_of(&self, path: usize) -> Option<Value> {
        let path = self.paths.all.get(path)?;
        let values = path.data.by_name.get(&self.cast.main.name)?;
        Some(values.event())
    }

    /// Plays a case.
    ///
    /// # Errors
    ///
    /// If there is no such path, or nothing starts on it.
    pub fn play(&self, case: &Case, with_story: bool) -> Result<Run, String> {
        let count = self.paths.all.len();
        let Some(path) = self.paths.all.get(case.path) else {
            return Err(format!(
                "there is no path {}: there are {count}, from 0",
                case.path
            ));
        };
        let event = self.event_of(case.path).unwrap_or_default();
        let then = Then {
            resumes: true,
            tells: with_story,
        };
        self.play_script(&path.data, &event, &Script::of(case), then)
    }

    /// Plays a script on an event; what it does not give is as usual.
    ///
    /// # Errors
    ///
    /// If the event starts nothing.
    pub(super) fn play_script(
        &self,
        data: &Data,
        event: &Value,
        script: &Script,
        then: Then,
    ) -> Result<Run, String> {
        let key = self.key_of(event)?;
        Ok(run(&self.cast, data, &key, event, script, then))
    }

    /// The business key that an event leads to.
    fn key_of(&self, event: &Value) -> Result<String, String> {
        let definition = &self.cast.main;
        if definition.start.is_empty() {
            return Ok(KEY.to_owned());
        }
        let scope = Scope::of_event(event, BEGIN_MS);
        let mut why = Vec::new();
        for rule in &definition.start {
            match rule.when.as_ref().map(|when| when.holds(&scope)) {
                Some(Ok(false)) => {
                    let when = rule.when.as_ref().map_or("", |when| when.source());
                    why.push(format!("`{when}` does not hold"));
                    continue;
                }
                Some(Err(error)) => {
                    why.push(error.to_string());
                    continue;
                }
                None | Some(Ok(true)) => {}
            }
            let key = rule.key.evaluate(&scope).map_err(|e| e.to_string());
            match key.and_then(|key| key_text(&key)) {
                Ok(key) => return Ok(key),
                Err(reason) => why.push(format!("`key`: {reason}")),
            }
        }
        Err(format!(
            "the event {event} starts no `{}`: {}",
            definition.name,
            why.join("; ")
        ))
    }
}
