//! A story: definitions as they are written, what happens, and what is seen.
//!
//! Each story is told three times: as it is, with every message delivered twice, and with a crash
//! after each transition. All three have to look the same from outside.

use std::collections::BTreeMap;

use backstitch_saga::core::{ActKind, LineStatus, Saga, Status};
use backstitch_saga::definition::Definition;
use serde_json::{Value, json};

use super::workers::Say;
use super::world::{Faults, World};

/// The key of the saga that a story is about.
pub(super) const SAGA: &str = "test/4711";

/// A definition called `test` with these steps: one second for an answer, two attempts.
pub(super) fn test(steps: &str) -> Definition {
    written("test", "", steps)
}

/// Another one, with more keys at its top.
pub(super) fn written(name: &str, top: &str, steps: &str) -> Definition {
    let text = format!(
        "saga: {name}\n\
         defaults: {{ timeout: 1s, retry: {{ attempts: 2, backoff: 100ms..100ms, jitter: 0% }} }}\n\
         {top}\nsteps:\n{steps}\n"
    );
    Definition::from_yaml(&text).unwrap_or_else(|found| panic!("{found:#?}\n{text}"))
}

/// What is given, and what happens.
pub(super) struct Story {
    pub(super) world: World,
}

/// Tells a story three times. Returns how it stands at its end.
pub(super) fn play(
    definitions: impl IntoIterator<Item = Definition>,
    happens: impl Fn(&mut Story),
) -> Seen {
    let definitions: Vec<Definition> = definitions.into_iter().collect();
    let plain = Faults::default();
    let twice = Faults {
        twice: true,
        ..plain
    };
    let crashes = Faults {
        crashes: true,
        ..plain
    };
    let mut told: Option<Seen> = None;
    for faults in [plain, twice, crashes] {
        let mut world = World::of(definitions.iter().cloned());
        world.faults = faults;
        let mut story = Story { world };
        happens(&mut story);
        story.settle();
        story
            .world
            .judge()
            .unwrap_or_else(|wrong| panic!("{faults:?}: {wrong}"));
        let seen = Seen { world: story.world };
        match &told {
            None => told = Some(seen),
            Some(first) => assert_eq!(first.outside(), seen.outside(), "{faults:?}"),
        }
    }
    told.unwrap()
}

/// A story that begins with the usual event and in which workers do the rest.
pub(super) fn plays<const N: usize>(steps: &str, says: [(&str, Vec<Say>); N]) -> Seen {
    play([test(steps)], |story| {
        for (who, says) in &says {
            story.says(who, says.clone());
        }
        story.begin();
        story.run();
    })
}

impl Story {
    pub(super) fn says(&mut self, who: &str, says: impl IntoIterator<Item = Say>) {
        self.world.workers.script(who, says);
    }

    pub(super) fn begin(&mut self) {
        self.begin_with(&json!({ "total": 120, "gift": false, "lines": ["a", "b", "c"] }));
    }

    pub(super) fn begin_with(&mut self, event: &Value) {
        self.world.begin("test", "4711", event);
        self.settle();
    }

    /// Until no message is on its way. No time passes.
    pub(super) fn settle(&mut self) {
        let mut count = 0;
        while self.world.deliver() {
            count += 1;
            assert!(count < 10_000, "there is no end to it");
        }
    }

    /// Time passes, and whoever is due is woken at that time.
    pub(super) fn pass(&mut self, ms: i64) {
        let until = self.world.now_ms + ms;
        self.settle();
        while let Some(next) = self.world.next_wake_ms().filter(|next| *next <= until) {
            self.world.now_ms = self.world.now_ms.max(next);
            self.world.wake();
            self.settle();
        }
        self.world.now_ms = until;
    }

    /// An hour, which is longer than anything that workers may take.
    pub(super) fn run(&mut self) {
        self.pass(3_600_000);
    }

    pub(super) fn record(&mut self, topic: &str, value: &Value) {
        self.world.record(topic, value);
        self.settle();
    }

    pub(super) fn act(&mut self, kind: ActKind) {
        self.world.act(SAGA, kind, None);
        self.settle();
    }

    pub(super) fn act_on(&mut self, kind: ActKind, occurrence: &str) {
        self.world.act(SAGA, kind, Some(occurrence));
        self.settle();
    }

    pub(super) fn decide(&mut self, role: &str, yes: bool) {
        self.world.decide(SAGA, None, role, yes);
        self.settle();
    }

    /// The answers that were held back are given.
    pub(super) fn let_late(&mut self) {
        self.world.let_late();
        self.settle();
    }
}

/// How a story stands at its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) world: World,
}

impl Seen {
    /// What can be seen from outside.
    fn outside(&self) -> BTreeMap<String, (Status, Value, String)> {
        let sagas = self.world.sagas_only();
        sagas
            .map(|running| {
                let saga = &running.saga;
                let left = self.world.left[&saga.key].iter();
                // What a parent is told may be told twice.
                let left: Vec<&str> = left
                    .map(String::as_str)
                    .filter(|words| !words.starts_with('^'))
                    .collect();
                let output = saga.output.as_ref();
                let output = output.map_or(Value::Null, |output| output.value().clone());
                (saga.key.clone(), (saga.status, output, left.join(" ")))
            })
            .collect()
    }

    pub(super) fn saga(&self) -> &Saga {
        self.world.saga(SAGA)
    }

    /// What left the saga, in order.
    #[track_caller]
    pub(super) fn left(&self, words: &str) -> &Self {
        self.left_of(SAGA, words)
    }

    #[track_caller]
    pub(super) fn left_of(&self, key: &str, words: &str) -> &Self {
        assert_eq!(self.world.left[key].join(" "), words, "of {key}");
        self
    }

    #[track_caller]
    pub(super) fn ends(&self, status: Status) -> &Self {
        assert_eq!(self.saga().status, status, "{:#?}", self.saga().parked);
        self
    }

    #[track_caller]
    pub(super) fn completed(&self) -> &Self {
        self.ends(Status::Completed)
    }

    #[track_caller]
    pub(super) fn compensated(&self) -> &Self {
        self.ends(Status::Compensated)
    }

    /// It is set aside at this occurrence or step.
    #[track_caller]
    pub(super) fn parked_at(&self, at: &str) -> &Self {
        self.ends(Status::Parked);
        let parked = self.saga().parked.as_ref().unwrap();
        assert_eq!(parked.at.as_deref(), Some(at), "{parked:?}");
        self
    }

    #[track_caller]
    pub(super) fn is_running(&self) -> &Self {
        self.ends(Status::Running)
    }

    #[track_caller]
    pub(super) fn output(&self, output: Value) -> &Self {
        let found = self.saga().output.as_ref();
        let found = found.map_or(Value::Null, |found| found.value().clone());
        assert_eq!(found, output);
        self
    }

    /// The workers of this command were given this. `a/do`, `a/undo`, …
    #[track_caller]
    pub(super) fn given(&self, command: &str, input: Value) -> &Self {
        let key = format!("{SAGA}/{command}");
        assert_eq!(self.world.workers.inputs[&key], input, "{key}");
        self
    }

    #[track_caller]
    pub(super) fn line(&self, occurrence: &str, status: LineStatus) -> &Self {
        let line = self.saga().line(occurrence);
        let found = line.map(|line| line.status);
        assert_eq!(found, Some(status), "{occurrence}");
        self
    }

    /// Why it turned back: the occurrence and the code.
    #[track_caller]
    pub(super) fn because(&self, occurrence: &str, code: &str) -> &Self {
        use backstitch_saga::core::TurnedBackBy;
        let Some(TurnedBackBy::Failure {
            occurrence: at,
            failure,
        }) = &self.saga().turned_back
        else {
            panic!("{:?}", self.saga().turned_back)
        };
        assert_eq!((at.as_str(), failure.code.as_str()), (occurrence, code));
        self
    }

    #[track_caller]
    pub(super) fn child(&self, key: &str, status: Status) -> &Self {
        assert_eq!(self.world.status(key), status, "{key}");
        self
    }
}
