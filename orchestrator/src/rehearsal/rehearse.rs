//! A cast with its paths: what plays cases and tests.

use serde_json::Value;

use super::cast::Cast;
use super::paths::{Path, Paths};
use super::run::{End, Run, Then, run};
use super::script::{Case, Script};
use super::turns::Begins;

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
    /// If there is no such path.
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
        Ok(self.play_script(path, &event, &Script::of(case), then))
    }

    /// Plays a script on an event; what it does not give is as on the path.
    pub(super) fn play_script(
        &self,
        path: &Path,
        event: &Value,
        script: &Script,
        then: Then,
    ) -> Run {
        run(&self.cast, path, event, script, then)
    }

    /// Why a run is not as it should be that began nothing.
    pub(super) fn starts_nothing(
        &self,
        path: usize,
        end: &End,
        reason: Option<String>,
    ) -> Option<String> {
        let begins = self.paths.all.get(path)?.begins;
        (*end == End::Nothing && begins != Begins::Never)
            .then(|| reason.unwrap_or_else(|| "the event starts nothing".to_owned()))
    }
}
