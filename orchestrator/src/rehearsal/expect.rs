//! What a test expects, and whether it came so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::notation::{Node, Wrong, Yaml};
use super::rehearse::Rehearsal;
use super::run::{End, Run, Then};
use super::script::step_of;
use super::test_file::{Named, Reader, Test};
use super::words::duration_ms;

/// The keys of `expect`.
const KEYS: [&str; 8] = [
    "status",
    "undone",
    "never",
    "done",
    "output",
    "within",
    "parked_at",
    "tags",
];

/// How a saga can stand at the end of a test.
const STATUSES: [&str; 6] = [
    "completed",
    "compensated",
    "parked",
    "terminated",
    "waiting",
    NOT_BEGUN,
];

/// The event starts nothing.
const NOT_BEGUN: &str = "not_begun";

/// How a test ends. What is not said is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    pub(super) status: Option<String>,
    pub(super) undone: Option<Vec<String>>,
    pub(super) never: Vec<String>,
    pub(super) done: Vec<String>,
    pub(super) output: Option<Value>,
    pub(super) within_ms: Option<u64>,
    pub(super) parked_at: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Its key.
    pub what: &'static str,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// What came of a test.
#[derive(Debug, Clone)]
pub struct Tested {
    /// What it states.
    pub name: String,
    /// The line where it stands.
    pub line: usize,
    /// The expectations that were not met; none if it passed.
    pub unmet: Vec<Unmet>,
    /// A rule that was broken on the way, or why it could not be played.
    pub violation: Option<String>,
    /// The run, with its story.
    pub run: Option<Run>,
}

impl Tested {
    /// Whether it came as it was expected.
    pub fn passed(&self) -> bool {
        self.unmet.is_empty() && self.violation.is_none()
    }
}

impl Reader<'_> {
    pub(super) fn expect(&mut self, node: &Node) -> Expect {
        let mut expect = Expect::default();
        for (key, _, value) in self.entries(node, "`expect`", &KEYS).unwrap_or_default() {
            match key.as_str() {
                "status" => {
                    let word = value.word();
                    if STATUSES.contains(&word.as_str()) {
                        expect.status = Some(word);
                    } else {
                        self.unknown(value, &word, "`status`", &STATUSES);
                    }
                }
                "undone" => expect.undone = Some(self.marks(value, Named::Asked)),
                "never" => expect.never = self.marks(value, Named::Asked),
                "done" => expect.done = self.marks(value, Named::Asked),
                "output" => expect.output = Some(value.value()),
                "within" => match duration_ms(&value.word()) {
                    Some(ms) => expect.within_ms = Some(ms),
                    None => {
                        let message = format!("`{}` is no duration", value.word());
                        let wrong = Wrong::new(value.place, message);
                        self.wrong.push(wrong.with_help("write 30s, 10m, 2h"));
                    }
                },
                "parked_at" => expect.parked_at = self.mark(value, Named::Asked),
                _ => match &value.yaml {
                    Yaml::Map(entries) => {
                        let entries = entries.iter();
                        expect.tags = entries.map(|(k, v)| (k.word(), v.word())).collect();
                    }
                    Yaml::Scalar(_) | Yaml::List(_) => {
                        self.complain(value.place, "`tags` is a map");
                    }
                },
            }
        }
        expect
    }
}

impl Rehearsal {
    /// Plays a test, and holds what came against what it expects.
    pub fn test(&self, test: &Test) -> Tested {
        let mut tested = Tested {
            name: test.name.clone(),
            line: test.place.line,
            unmet: Vec::new(),
            violation: None,
            run: None,
        };
        let Some(usual) = self.paths.all.first() else {
            return tested;
        };
        let event = test.event.clone().or_else(|| self.event_of(0));
        let event = event.unwrap_or_default();
        let then = Then {
            resumes: false,
            tells: true,
        };
        let run = self.play_script(usual, &event, &test.script, then);
        tested.violation.clone_from(&run.violation);
        if run.end == End::Nothing && test.begins() {
            // All else that was expected follows from this.
            tested.violation = tested.violation.or_else(|| run.reason.clone());
            return tested;
        }
        tested.unmet = test.expect.unmet(&run);
        tested.run = Some(run);
        tested
    }
}

impl Expect {
    pub(super) fn begins(&self) -> bool {
        self.status.as_deref() != Some(NOT_BEGUN)
    }

    /// What of it did not come so.
    pub(super) fn unmet(&self, run: &Run) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let mut differs = |what, expected: String, got: String| {
            unmet.push(Unmet {
                what,
                expected,
                got,
            });
        };
        let end = run.end.name();
        if let Some(status) = &self.status
            && status != end
        {
            let why = run.reason.as_deref();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            differs("status", status.clone(), format!("{end}{why}"));
        }
        if let Some(at) = &self.parked_at
            && !run.end.at().is_some_and(|got| names(at, got))
        {
            let got = run.end.at().unwrap_or("nowhere");
            differs("parked_at", at.clone(), got.to_owned());
        }
        if let Some(undone) = &self.undone {
            let is_so = undone.len() == run.undone.len()
                && undone.iter().zip(&run.undone).all(|(a, b)| names(a, b));
            if !is_so {
                differs("undone", listed(undone), listed(&run.undone));
            }
        }
        let among = |list: &[String], one: &String| list.iter().any(|known| names(one, known));
        for step in self.never.iter().filter(|step| among(&run.begun, step)) {
            differs("never", format!("{step} not begun"), "it was".to_owned());
        }
        for step in self.done.iter().filter(|step| !among(&run.done, step)) {
            differs("done", step.clone(), listed(&run.done));
        }
        let output = run.output.clone().unwrap_or_default();
        if let Some(expected) = &self.output
            && *expected != output
        {
            differs("output", expected.to_string(), output.to_string());
        }
        let took_ms = u64::try_from(run.took_ms).unwrap_or(0);
        if let Some(within_ms) = self.within_ms
            && took_ms > within_ms
        {
            differs("within", format!("{within_ms} ms"), format!("{took_ms} ms"));
        }
        for (name, expected) in &self.tags {
            let got = run.tags.get(name).map_or("", String::as_str);
            if got != expected {
                let expected = format!("{name}: {expected}");
                differs("tags", expected, format!("{name}: {got}"));
            }
        }
        unmet
    }
}

/// Whether a step or an occurrence of it is meant.
fn names(named: &str, occurrence: &str) -> bool {
    named == occurrence || named == step_of(occurrence)
}

fn listed(steps: &[String]) -> String {
    format!("[{}]", steps.join(", "))
}
