//! Test files: on this event and with these answers, it ends so.

use std::collections::BTreeSet;

use backstitch_saga::definition::{Step, Undo, Verb, walk};
use serde_json::Value;

use super::cast::Cast;
use super::expect::Expect;
use super::notation::{Node, Place, Wrong, Yaml};
use super::script::{Answering, Coming, Deciding, Event, Script, plain};
use super::words::{ANSWERS, answer_of, duration_ms, nearest};

/// The keys of a test.
const KEYS: [&str; 8] = [
    "test",
    "event",
    "answers",
    "approvals",
    "events",
    "cancel",
    "deadline",
    "expect",
];

/// A test of a user.
#[derive(Debug, Clone)]
pub struct Test {
    /// What it states.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What starts the saga; made up if it is not given.
    pub event: Option<Value>,
    pub(super) script: Script,
    /// How it ends.
    pub expect: Expect,
}

impl Test {
    /// Whether its event is to start a saga.
    pub fn begins(&self) -> bool {
        self.expect.begins()
    }

    /// Reads the tests of a file: one or more documents, each a test or a list of tests.
    ///
    /// # Errors
    ///
    /// All that is wrong with it; at least one.
    pub fn read_all(source: &str, cast: &Cast) -> Result<Vec<Self>, Vec<Wrong>> {
        let documents = Node::read_all(source).map_err(|wrong| vec![wrong])?;
        let mut tests = Vec::new();
        let mut wrong = Vec::new();
        for document in &documents {
            let nodes = match &document.yaml {
                Yaml::List(nodes) => nodes.as_slice(),
                Yaml::Map(_) | Yaml::Scalar(_) => std::slice::from_ref(document),
            };
            for node in nodes {
                let mut reader = Reader {
                    cast,
                    wrong: &mut wrong,
                };
                tests.extend(reader.test(node));
            }
        }
        if documents.is_empty() {
            wrong.push(Wrong::new(Place::default(), "there is no test in the file"));
        }
        if wrong.is_empty() {
            Ok(tests)
        } else {
            Err(wrong)
        }
    }
}

/// What a mark may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// What workers answer: a `do`, or its undo.
    Answer,
    /// What an event answers.
    Wait,
    /// What a person answers.
    Approve,
    /// Anything that is asked for.
    Asked,
}

pub(super) struct Reader<'r> {
    pub(super) cast: &'r Cast,
    pub(super) wrong: &'r mut Vec<Wrong>,
}

impl Reader<'_> {
    pub(super) fn complain(&mut self, place: Place, message: impl Into<String>) {
        self.wrong.push(Wrong::new(place, message));
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        let entries = self.entries(node, "a test", &KEYS)?;
        let mut test = Test {
            name: String::new(),
            place: node.place,
            event: None,
            script: Script::default(),
            expect: Expect::default(),
        };
        for (key, _, value) in entries {
            match key.as_str() {
                "test" => match value.text() {
                    Some(name) => {
                        name.clone_into(&mut test.name);
                        test.place = value.place;
                    }
                    None => self.complain(value.place, "`test` is a text: what the test states"),
                },
                "event" => test.event = Some(value.value()),
                "answers" => self.answers(value, &mut test.script),
                "approvals" => self.approvals(value, &mut test.script),
                "events" => self.events(value, &mut test.script),
                "cancel" => {
                    let marks = self.marks(value, Named::Asked);
                    test.script.cancels = marks.into_iter().collect();
                }
                "deadline" => {
                    let marks = self.marks(value, Named::Asked);
                    test.script.overdue = marks.into_iter().collect();
                    self.has_deadline(value);
                }
                _ => test.expect = self.expect(value),
            }
        }
        if test.name.is_empty() {
            let wrong = Wrong::new(node.place, "a test says what it states");
            self.wrong
                .push(wrong.with_help("write `test: a refused payment releases the stock`"));
        }
        Some(test)
    }

    /// A time that is up has to be written somewhere.
    fn has_deadline(&mut self, node: &Node) {
        let mut all = self.cast.by_name.values();
        if all.all(|one| one.deadline_ms.is_none()) {
            let message = format!("`{}` has no deadline that could pass", self.cast.main.name);
            let wrong = Wrong::new(node.place, message);
            let help = "give the definition one, such as `deadline: 2d`, or leave this out";
            self.wrong.push(wrong.with_help(help));
        }
    }

    /// The entries of a map whose keys are among these.
    pub(super) fn entries<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
    ) -> Option<Vec<(String, &'n Node, &'n Node)>> {
        let entries = self.map(node, what)?;
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (key, value) in entries {
            let word = key.word();
            if !keys.contains(&word.as_str()) {
                self.unknown(key, &word, what, keys);
            } else if !seen.insert(word.clone()) {
                self.complain(key.place, format!("`{word}` is written twice"));
            } else {
                found.push((word, key, value));
            }
        }
        Some(found)
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        match &node.yaml {
            Yaml::Map(entries) => Some(entries),
            Yaml::Scalar(_) | Yaml::List(_) => {
                self.complain(node.place, format!("{what} is a map, not {}", node.kind()));
                None
            }
        }
    }

    pub(super) fn unknown(&mut self, node: &Node, word: &str, what: &str, known: &[&str]) {
        let wrong = Wrong::new(node.place, format!("{what} has no `{word}`"));
        let help = match nearest(word, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.wrong.push(wrong.with_help(help));
    }

    // ---- marks -------------------------------------------------------------------------------

    /// A mark, if it names something that is there.
    pub(super) fn mark(&mut self, node: &Node, named: Named) -> Option<String> {
        let mark = node.word();
        let step_mark = plain(&mark);
        let (definition, rest) = match step_mark.rsplit_once('/') {
            Some((child, rest)) => (child, rest),
            None => (self.cast.main.name.as_str(), step_mark.as_str()),
        };
        let Some(of) = self.cast.by_name.get(definition) else {
            let children: Vec<&str> = self.cast.by_name.keys().map(String::as_str).collect();
            self.unknown(node, definition, "this rehearsal", &children);
            return None;
        };
        let (id, is_undo) = match rest.strip_suffix(".undo") {
            Some(id) => (id, true),
            None => (rest, false),
        };
        let mut ids: Vec<&str> = Vec::new();
        let mut found = None;
        walk(&of.steps, &mut |step| {
            if fits(step, named) {
                ids.push(&step.id);
            }
            if step.id == id {
                found = Some(step);
            }
        });
        let what = match named {
            Named::Answer => "among what workers answer, `%`",
            Named::Wait => "among what waits for an event, `%`",
            Named::Approve => "among what a person decides, `%`",
            Named::Asked => "`%`",
        };
        let what = what.replace('%', definition);
        let Some(step) = found.filter(|step| fits(step, named)) else {
            self.unknown(node, id, &what, &ids);
            return None;
        };
        if is_undo && !is_undoable(step) {
            let message = format!("`{id}` has no undo that anyone is asked for");
            self.complain(node.place, message);
            return None;
        }
        Some(mark)
    }

    /// A mark, or a list of them.
    pub(super) fn marks(&mut self, node: &Node, named: Named) -> Vec<String> {
        match &node.yaml {
            Yaml::List(nodes) => nodes
                .iter()
                .filter_map(|node| self.mark(node, named))
                .collect(),
            Yaml::Scalar(Value::Null) => Vec::new(),
            Yaml::Scalar(_) => self.mark(node, named).into_iter().collect(),
            Yaml::Map(_) => {
                self.complain(node.place, "this is a list of steps, not a map");
                Vec::new()
            }
        }
    }

    // ---- answers -----------------------------------------------------------------------------

    fn answers(&mut self, node: &Node, script: &mut Script) {
        for (key, value) in self.map(node, "`answers`").unwrap_or_default() {
            let Some(mark) = self.mark(key, Named::Answer) else {
                continue;
            };
            match &value.yaml {
                Yaml::Scalar(_) => match answer_of(&value.word()) {
                    Ok(answering) => {
                        script.answers.insert(mark, answering);
                    }
                    Err(message) => {
                        let wrong = Wrong::new(value.place, message);
                        self.wrong.push(wrong.with_help(ANSWERS));
                    }
                },
                Yaml::Map(_) => self.long_answer(mark, value, script),
                Yaml::List(_) => {
                    let wrong = Wrong::new(value.place, "an answer is a text or a map");
                    self.wrong.push(wrong.with_help(ANSWERS));
                }
            }
        }
    }

    /// `{ refused: code }`, `{ failed: code, times: 2, done: {…} }`, `{ late: 30s }`.
    fn long_answer(&mut self, mark: String, node: &Node, script: &mut Script) {
        const KEYS: [&str; 8] = [
            "done",
            "refused",
            "failed",
            "times",
            "late",
            "unanswered",
            "twice",
            "worker_crash",
        ];
        let Some(entries) = self.entries(node, "an answer", &KEYS) else {
            return;
        };
        let mut ways: Vec<Answering> = Vec::new();
        let mut times = None;
        for (key, _, value) in &entries {
            let code = || match value.word().as_str() {
                "null" | "" => key.clone(),
                code => code.to_owned(),
            };
            match key.as_str() {
                "done" => {
                    let output = value.value();
                    let output = Some(output).filter(|output| !output.is_null());
                    if let Some(output) = output {
                        script.outputs.insert(mark.clone(), output);
                    }
                }
                "refused" => ways.push(Answering::Refused { code: code() }),
                "failed" => ways.push(Answering::Failed {
                    code: code(),
                    times: None,
                }),
                "times" => match value.value().as_u64().and_then(|n| u32::try_from(n).ok()) {
                    Some(count) => times = Some(count),
                    None => self.complain(value.place, "`times` is a whole number"),
                },
                "late" => match duration_ms(&value.word()) {
                    Some(ms) => ways.push(Answering::Late(Some(ms))),
                    None => self.complain(value.place, "`late` is a duration, such as 30s"),
                },
                "unanswered" => ways.push(Answering::Unanswered { effect: true }),
                "twice" => ways.push(Answering::Twice),
                _ => ways.push(Answering::Crash),
            }
        }
        if ways.len() > 1 {
            return self.complain(node.place, "a step is answered in one way");
        }
        let mut way = ways.pop().unwrap_or(Answering::Done(None));
        match (&mut way, times) {
            (Answering::Failed { times, .. }, Some(count)) => *times = Some(count),
            (_, Some(_)) => self.complain(node.place, "`times` belongs to `failed`"),
            (_, None) => {}
        }
        script.answers.insert(mark, way);
    }

    // ---- events and approvals ----------------------------------------------------------------

    fn events(&mut self, node: &Node, script: &mut Script) {
        for (key, value) in self.map(node, "`events`").unwrap_or_default() {
            let Some(mark) = self.mark(key, Named::Wait) else {
                continue;
            };
            let mut event = Event {
                coming: Coming::InTime,
                with: None,
            };
            if let Yaml::Map(_) = &value.yaml {
                let keys = ["at", "with"];
                for (key, _, value) in self.entries(value, "an event", &keys).unwrap_or_default() {
                    match key.as_str() {
                        "at" => event.coming = self.coming(value),
                        _ => event.with = Some(value.value()),
                    }
                }
            } else {
                event.coming = self.coming(value);
            }
            script.events.insert(mark, event);
        }
    }

    fn approvals(&mut self, node: &Node, script: &mut Script) {
        const KEYS: [&str; 5] = ["decision", "by", "role", "reason", "at"];
        for (key, value) in self.map(node, "`approvals`").unwrap_or_default() {
            let Some(mark) = self.mark(key, Named::Approve) else {
                continue;
            };
            let mut deciding = Deciding::default();
            if let Yaml::Map(_) = &value.yaml {
                let entries = self.entries(value, "an approval", &KEYS);
                for (key, _, value) in entries.unwrap_or_default() {
                    match key.as_str() {
                        "decision" => self.decision(value, &mut deciding),
                        "by" => deciding.by = Some(value.word()),
                        "role" => deciding.role = Some(value.word()),
                        "reason" => deciding.reason = Some(value.word()),
                        _ => deciding.coming = self.coming(value),
                    }
                }
            } else {
                self.decision(value, &mut deciding);
            }
            script.decisions.insert(mark, deciding);
        }
    }

    fn decision(&mut self, node: &Node, deciding: &mut Deciding) {
        match node.word().as_str() {
            "yes" | "true" | "approved" => deciding.approved = true,
            "no" | "false" | "refused" => deciding.approved = false,
            "never" => deciding.coming = Coming::Never,
            other => {
                let message = format!("`{other}` is no decision");
                let wrong = Wrong::new(node.place, message);
                self.wrong.push(wrong.with_help("write yes, no or never"));
            }
        }
    }

    fn coming(&mut self, node: &Node) -> Coming {
        match node.word().as_str() {
            "in_time" => Coming::InTime,
            "early" => Coming::Early,
            "late" => Coming::Late,
            "never" => Coming::Never,
            "twice" => Coming::Twice,
            other => match duration_ms(other) {
                Some(ms) => Coming::After(ms),
                None => {
                    let wrong = Wrong::new(node.place, format!("`{other}` is no time to come at"));
                    let help = "write early, in_time, late, never, twice, or how long after it is awaited: 2h";
                    self.wrong.push(wrong.with_help(help));
                    Coming::InTime
                }
            },
        }
    }
}

fn fits(step: &Step, named: Named) -> bool {
    match (&step.verb, named) {
        (Verb::Do(_), Named::Answer | Named::Asked)
        | (Verb::Wait(_), Named::Wait | Named::Asked)
        | (Verb::Approve(_), Named::Approve | Named::Asked)
        | (Verb::Sleep(_) | Verb::Run(_), Named::Asked) => true,
        (
            Verb::Do(_)
            | Verb::Wait(_)
            | Verb::Approve(_)
            | Verb::Sleep(_)
            | Verb::Run(_)
            | Verb::Parallel(_)
            | Verb::Choose(_)
            | Verb::Each(_)
            | Verb::Repeat(_)
            | Verb::Set(_)
            | Verb::Fail(_)
            | Verb::End(_),
            _,
        ) => false,
    }
}

fn is_undoable(step: &Step) -> bool {
    match &step.verb {
        Verb::Do(work) => matches!(work.undo, Undo::Same | Undo::Other(_)),
        Verb::Run(_) => true,
        Verb::Wait(_)
        | Verb::Approve(_)
        | Verb::Sleep(_)
        | Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Repeat(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => false,
    }
}
