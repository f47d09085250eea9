//! From a YAML tree to the structure.
//!
//! Reading goes on after an error, so that an author sees all of them at once; what could not be
//! read is left at a harmless value, and the result is not used.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::Diagnostic;
use super::limits::{START_RULES_MAX, STEPS_MAX};
use super::model::{
    Definition, Do, OnFailure, OtherUndo, Retry, SchemaFile, StartRule, Step, Timeout, Undo, Verb,
};
use super::node::{Node, Yaml};
use super::parts::Fields;
use super::place::{Places, Span};
use super::words::range_ms;
use crate::expression::Template;

/// How long one attempt may go without an answer where nothing is written. 30 s.
const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// The verbs of the language.
const VERBS: [&str; 12] = [
    "do", "wait", "sleep", "run", "approve", "parallel", "choose", "each", "repeat", "set", "fail",
    "end",
];

/// Reads the structure; what is found wrong is pushed to `found`.
pub(super) fn read(root: &Node, places: &mut Places, found: &mut Vec<Diagnostic>) -> Definition {
    Reader {
        places,
        found,
        defaults: Defaults::default(),
    }
    .definition(root)
}

pub(super) struct Reader<'r> {
    pub(super) places: &'r mut Places,
    pub(super) found: &'r mut Vec<Diagnostic>,
    defaults: Defaults,
}

#[derive(Default)]
struct Defaults {
    timeout_ms: Option<u64>,
    retry: RetryPart,
}

/// What is written of a [`Retry`].
#[derive(Default, Clone)]
struct RetryPart {
    attempts_max: Option<u32>,
    backoff_ms: Option<(u64, u64)>,
    jitter_percent: Option<u8>,
    budget_ms: Option<u64>,
    not: Option<BTreeSet<String>>,
}

impl RetryPart {
    fn over(&self, below: &Self) -> Retry {
        let built_in = Retry::default();
        let (backoff_min_ms, backoff_max_ms) = self
            .backoff_ms
            .or(below.backoff_ms)
            .unwrap_or((built_in.backoff_min_ms, built_in.backoff_max_ms));
        Retry {
            attempts_max: self
                .attempts_max
                .or(below.attempts_max)
                .unwrap_or(built_in.attempts_max),
            backoff_min_ms,
            backoff_max_ms,
            jitter_percent: self
                .jitter_percent
                .or(below.jitter_percent)
                .unwrap_or(built_in.jitter_percent),
            budget_ms: self.budget_ms.or(below.budget_ms).or(built_in.budget_ms),
            not: self
                .not
                .clone()
                .or_else(|| below.not.clone())
                .unwrap_or(built_in.not),
        }
    }
}

impl Reader<'_> {
    fn definition(&mut self, root: &Node) -> Definition {
        self.places.put(
            "",
            Span {
                line: root.span.line,
                column: root.span.column,
                len: 1,
            },
        );
        let mut definition = Definition {
            name: String::new(),
            hash: String::new(),
            source: String::new(),
            files: BTreeMap::new(),
            start: Vec::new(),
            input: None,
            activities: BTreeMap::new(),
            tags: BTreeMap::new(),
            deadline_ms: None,
            steps: Vec::new(),
            output: None,
        };
        let known = [
            "saga", "start", "input", "tags", "deadline", "defaults", "steps", "output",
        ];
        let Some(fields) = self.fields(root, "a definition", &known) else {
            return definition;
        };
        if let Some(defaults) = fields.get("defaults") {
            self.defaults = self.defaults(defaults);
        }
        if let Some(node) = self.required(&fields, "saga") {
            definition.name = self
                .text(node, "saga", "the name of the saga")
                .unwrap_or_default();
        }
        if let Some(node) = fields.get("start") {
            definition.start = self.start_rules(node);
        }
        definition.input = fields
            .get("input")
            .and_then(|node| self.text(node, "input", "`input`, the path of a schema,"))
            .map(|path| SchemaFile { path, schema: None });
        definition.deadline_ms = fields
            .get("deadline")
            .and_then(|node| self.duration(node, "deadline"));
        if let Some(node) = fields.get("tags") {
            definition.tags = self.tags(node);
        }
        if let Some(node) = self.required(&fields, "steps") {
            definition.steps = self.steps(node);
        }
        definition.output = fields
            .get("output")
            .map(|node| self.template(node, "output"));
        definition
    }

    fn defaults(&mut self, node: &Node) -> Defaults {
        let Some(fields) = self.fields(node, "`defaults`", &["timeout", "retry"]) else {
            return Defaults::default();
        };
        Defaults {
            timeout_ms: fields
                .get("timeout")
                .and_then(|node| self.timeout(node, "defaults.timeout")),
            retry: fields
                .get("retry")
                .map(|node| self.retry(node, "defaults.retry"))
                .unwrap_or_default(),
        }
    }

    fn start_rules(&mut self, node: &Node) -> Vec<StartRule> {
        self.places.put("start", node.span);
        let rules = match &node.yaml {
            Yaml::List(rules) => rules.as_slice(),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
                std::slice::from_ref(node)
            }
        };
        if rules.len() > START_RULES_MAX {
            self.error(
                "BS0102",
                node.span,
                format!(
                    "{} start rules, and at most {START_RULES_MAX} are allowed",
                    rules.len()
                ),
            );
            return Vec::new();
        }
        rules
            .iter()
            .enumerate()
            .filter_map(|(n, rule)| self.start_rule(rule, &format!("start[{n}]")))
            .collect()
    }

    fn start_rule(&mut self, node: &Node, place: &str) -> Option<StartRule> {
        let fields = self.fields(node, "a start rule", &["topic", "when", "key"])?;
        self.places.put(place, fields.span);
        let topic = self
            .required(&fields, "topic")
            .and_then(|node| self.text(node, &format!("{place}.topic"), "a topic"));
        let key = self
            .required(&fields, "key")
            .and_then(|node| self.logic(node, &format!("{place}.key"), "key"));
        let when = fields
            .get("when")
            .map(|node| self.logic(node, &format!("{place}.when"), "when"));
        Some(StartRule {
            topic: topic?,
            key: key?,
            when: when.flatten(),
        })
    }

    fn tags(&mut self, node: &Node) -> BTreeMap<String, Template> {
        self.places.put("tags", node.span);
        let Yaml::Map(entries) = &node.yaml else {
            self.wrong_kind(node, "`tags`", "a map");
            return BTreeMap::new();
        };
        entries
            .iter()
            .filter_map(|(key, value)| {
                let name = self.key(key)?;
                let place = format!("tags.{name}");
                let template = self.template(value, &place);
                self.places.put(format!("{place}#"), key.span);
                Some((name.to_owned(), template))
            })
            .collect()
    }

    fn steps(&mut self, node: &Node) -> Vec<Step> {
        self.places.put("steps", node.span);
        let Yaml::List(steps) = &node.yaml else {
            self.wrong_kind(node, "`steps`", "a list");
            return Vec::new();
        };
        if steps.is_empty() {
            self.error(
                "BS0104",
                node.span,
                "a definition has at least one step".to_owned(),
            );
        }
        if steps.len() > STEPS_MAX {
            self.error(
                "BS0102",
                node.span,
                format!("{} steps, and at most {STEPS_MAX} are allowed", steps.len()),
            );
            return Vec::new();
        }
        steps
            .iter()
            .enumerate()
            .filter_map(|(n, step)| self.step(step, &format!("steps[{n}]")))
            .collect()
    }

    fn step(&mut self, node: &Node, place: &str) -> Option<Step> {
        let Yaml::Map(entries) = &node.yaml else {
            self.wrong_kind(node, "a step", "a map");
            return None;
        };
        let verbs: Vec<&(Node, Node)> = entries
            .iter()
            .filter(|(key, _)| key.text().is_some_and(|key| VERBS.contains(&key)))
            .collect();
        if let Some((key, _)) = verbs.iter().find(|(key, _)| key.text() != Some("do")) {
            let verb = key.text().unwrap_or_default();
            self.push(
                self.places
                    .error(
                        "BS0107",
                        key.span,
                        format!("the verb `{verb}` is not available yet"),
                    )
                    .with_help("`do` is: it asks the workers of an activity"),
            );
            return None;
        }
        let known = [
            "id",
            "when",
            "on_failure",
            "do",
            "with",
            "undo",
            "timeout",
            "retry",
            "pivot",
        ];
        let fields = self.fields(node, "a step", &known)?;
        let Some((verb, activity)) = verbs.first() else {
            self.push(
                self.places
                    .error("BS0108", fields.span, "a step without a verb".to_owned())
                    .with_help("say what it does, for example `do: charge-payment`"),
            );
            return None;
        };
        self.places.put(place, joined(verb, activity));
        let done = self.activity(&fields, place);
        let id = match fields.get("id") {
            Some(node) => self.text(node, &format!("{place}.id"), "an id"),
            None => Some(
                done.as_ref()
                    .map(|done| done.activity.replace('-', "_"))
                    .unwrap_or_default(),
            ),
        };
        let when = fields
            .get("when")
            .map(|node| self.logic(node, &format!("{place}.when"), "when"));
        let on_failure = match fields.get("on_failure") {
            None => OnFailure::TurnBack,
            Some(node) => self.on_failure(node, place),
        };
        Some(Step {
            id: id?,
            when: when.flatten(),
            on_failure,
            on_timeout: None,
            on_refused: None,
            verb: Verb::Do(done?),
        })
    }

    fn activity(&mut self, fields: &Fields<'_>, place: &str) -> Option<Do> {
        let activity = self.text(fields.get("do")?, &format!("{place}.do"), "an activity");
        let with = match fields.get("with") {
            Some(node) => self.template(node, &format!("{place}.with")),
            None => Template::empty(),
        };
        let undo = match fields.get("undo") {
            Some(node) => self.undo(node, &format!("{place}.undo")),
            None => Undo::Absent,
        };
        let pivot = match fields.get("pivot") {
            Some(node) => self.truth(node, &format!("{place}.pivot"), "`pivot`"),
            None => false,
        };
        Some(Do {
            with,
            undo,
            timeout: Timeout::of_reply(self.timeout_of(fields, place)),
            retry: self.retry_of(fields, place),
            pivot,
            activity: activity?,
        })
    }

    fn timeout_of(&mut self, fields: &Fields<'_>, place: &str) -> u64 {
        fields
            .get("timeout")
            .and_then(|node| self.timeout(node, &format!("{place}.timeout")))
            .or(self.defaults.timeout_ms)
            .unwrap_or(TIMEOUT_MS_DEFAULT)
    }

    fn retry_of(&mut self, fields: &Fields<'_>, place: &str) -> Retry {
        fields
            .get("retry")
            .map(|node| self.retry(node, &format!("{place}.retry")))
            .unwrap_or_default()
            .over(&self.defaults.retry)
    }

    fn undo(&mut self, node: &Node, place: &str) -> Undo {
        self.places.put(place, node.span);
        match &node.yaml {
            Yaml::Bool(true) => return Undo::Same,
            Yaml::Text(text) if text == "yes" || text == "true" => return Undo::Same,
            Yaml::Text(text) if text == "nothing" => return Undo::Nothing,
            Yaml::Map(_) => {}
            Yaml::Null | Yaml::Bool(false) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => {
                self.push(
                    self.places
                        .error("BS0105", node.span, "`undo` is not one of the ways to undo".to_owned())
                        .with_help(
                            "write `yes` (the same activity takes it back), `nothing`, or `{ do: other-activity }`",
                        ),
                );
                return Undo::Absent;
            }
        }
        let Some(fields) = self.fields(node, "`undo`", &["do", "with", "timeout", "retry"]) else {
            return Undo::Absent;
        };
        let activity = self
            .required(&fields, "do")
            .and_then(|node| self.text(node, &format!("{place}.do"), "an activity"));
        let with = match fields.get("with") {
            Some(node) => self.template(node, &format!("{place}.with")),
            None => Template::empty(),
        };
        let timeout = Timeout::of_reply(self.timeout_of(&fields, place));
        let retry = self.retry_of(&fields, place);
        match activity {
            Some(activity) => Undo::Other(Box::new(OtherUndo {
                activity,
                with,
                timeout,
                retry,
            })),
            None => Undo::Absent,
        }
    }

    fn on_failure(&mut self, node: &Node, place: &str) -> OnFailure {
        self.places.put(format!("{place}.on_failure"), node.span);
        match node.text() {
            Some("ignore") => return OnFailure::Ignore,
            Some("park") => return OnFailure::Park,
            _ => {}
        }
        let diagnostic = if matches!(node.yaml, Yaml::List(_)) {
            self.places.error(
                "BS0107",
                node.span,
                "steps under `on_failure` are not available yet".to_owned(),
            )
        } else {
            self.places.error(
                "BS0105",
                node.span,
                "`on_failure` is neither `ignore` nor `park`".to_owned(),
            )
        };
        self.push(
            diagnostic
                .with_help("leave it out and the saga turns back; or write `ignore` or `park`"),
        );
        OnFailure::TurnBack
    }

    fn retry(&mut self, node: &Node, place: &str) -> RetryPart {
        let known = ["attempts", "backoff", "jitter", "budget", "not"];
        let Some(fields) = self.fields(node, "`retry`", &known) else {
            return RetryPart::default();
        };
        self.places.put(place, fields.span);
        RetryPart {
            attempts_max: fields
                .get("attempts")
                .and_then(|node| self.count(node, &format!("{place}.attempts"), "`attempts`")),
            backoff_ms: fields.get("backoff").and_then(|node| {
                self.places.put(format!("{place}.backoff"), node.span);
                self.measured(node, range_ms)
            }),
            jitter_percent: fields
                .get("jitter")
                .and_then(|node| self.percent(node, &format!("{place}.jitter"))),
            budget_ms: fields
                .get("budget")
                .and_then(|node| self.duration(node, &format!("{place}.budget"))),
            not: fields.get("not").and_then(|node| self.codes(node)),
        }
    }

    fn codes(&mut self, node: &Node) -> Option<BTreeSet<String>> {
        let Yaml::List(items) = &node.yaml else {
            self.wrong_kind(node, "`not`", "a list of error codes");
            return None;
        };
        let mut codes = BTreeSet::new();
        for item in items {
            match item.text() {
                Some(code) => {
                    codes.insert(code.to_owned());
                }
                None => self.wrong_kind(item, "an error code", "a text"),
            }
        }
        Some(codes)
    }
}

/// From the start of a key to the end of its value, where they share a line.
fn joined(key: &Node, value: &Node) -> Span {
    let end = value.span.column + value.span.len;
    if key.span.line == value.span.line && end > key.span.column {
        Span {
            len: end - key.span.column,
            ..key.span
        }
    } else {
        key.span
    }
}
