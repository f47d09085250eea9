//! Names, ids, topics.

use std::collections::BTreeMap;

use super::checker::Checker;
use crate::definition::blocks::Slot;
use crate::definition::model::{Step, Undo, Verb};
use crate::definition::words::{nearest, refuse_kebab, refuse_snake, refuse_topic};

/// What our own topics begin with where nothing else is configured.
const PREFIX_DEFAULT: &str = "backstitch.";

/// What an item may not be called: it would hide something, or be hidden.
const TAKEN: [&str; 22] = [
    "event",
    "key",
    "steps",
    "vars",
    "now",
    "result",
    "failure",
    "message",
    "index",
    "optional",
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "optional_type",
];

impl Checker<'_> {
    pub(super) fn names(&mut self) {
        let definition = self.definition;
        self.name("saga", refuse_kebab(&definition.name));
        for (n, rule) in definition.start.iter().enumerate() {
            let place = format!("start[{n}].topic");
            self.name(&place, refuse_topic(&rule.topic));
            self.not_ours(&place, &rule.topic);
        }
        for name in definition.tags.keys() {
            self.name(&format!("tags.{name}#"), refuse_snake(name));
        }
        for activity in definition.activities.keys() {
            self.name(&format!("activities.{activity}#"), refuse_kebab(activity));
        }
        for position in 0..self.index.steps.len() {
            let step = self.index.steps[position].step;
            let place = self.index.steps[position].place.clone();
            self.names_of(step, &place);
            self.unique(position, step, &place);
        }
        self.topics();
        self.contracts();
    }

    fn names_of(&mut self, step: &Step, place: &str) {
        let argument = match &step.verb {
            Verb::Do(work) => {
                if let Undo::Other(other) = &work.undo {
                    self.name(&format!("{place}.undo.do"), refuse_kebab(&other.activity));
                }
                Some(("do", refuse_kebab(&work.activity)))
            }
            Verb::Run(run) => Some(("run", refuse_kebab(&run.saga))),
            Verb::Wait(wait) => {
                self.name(&format!("{place}.topic"), refuse_topic(&wait.topic));
                self.not_ours(&format!("{place}.topic"), &wait.topic);
                None
            }
            Verb::Parallel(parallel) => {
                for (name, _) in &parallel.branches {
                    self.name(&format!("{place}.parallel.{name}#"), refuse_snake(name));
                }
                None
            }
            Verb::Each(each) => {
                self.item(&each.item, &format!("{place}.each"));
                None
            }
            Verb::Set(set) => {
                for name in set.keys() {
                    self.name(&format!("{place}.set.{name}#"), refuse_snake(name));
                }
                None
            }
            Verb::Fail(fail) => {
                self.name(&format!("{place}.fail"), refuse_snake(&fail.code));
                None
            }
            Verb::Sleep(_)
            | Verb::Choose(_)
            | Verb::Repeat(_)
            | Verb::Approve(_)
            | Verb::End(_) => None,
        };
        let refused = argument
            .as_ref()
            .is_some_and(|(_, refused)| refused.is_some());
        if let Some((verb, refused)) = argument {
            self.name(&format!("{place}.{verb}"), refused);
        }
        // An id that follows from a bad argument would be the same news twice.
        if !refused {
            self.name(&format!("{place}.id"), refuse_snake(&step.id));
        }
    }

    fn name(&mut self, place: &str, refused: Option<String>) {
        if let Some(reason) = refused {
            self.error("BS0201", self.places.span(place), reason);
        }
    }

    fn item(&mut self, item: &str, place: &str) {
        if TAKEN.contains(&item) {
            let diagnostic = self
                .places
                .error(
                    "BS0217",
                    self.places.span(place),
                    format!("`{item}` means something else in expressions"),
                )
                .with_help("give the item another name, such as `line`");
            self.push(diagnostic);
        } else {
            self.name(place, refuse_snake(item));
        }
    }

    fn unique(&mut self, position: usize, step: &Step, place: &str) {
        let first = self.index.position(&step.id).unwrap_or(position);
        if first == position {
            return;
        }
        let other = self.at_step(&self.index.steps[first].place, &step.id);
        let span = self.places.span(&format!("{place}.id"));
        let diagnostic = self
            .places
            .error(
                "BS0202",
                span,
                format!("two steps have the id `{}`", step.id),
            )
            .with_note(format!("the other is {other}"))
            .with_help("give one of them an `id` of its own");
        self.push(diagnostic);
    }

    fn not_ours(&mut self, place: &str, topic: &str) {
        if !topic.starts_with(PREFIX_DEFAULT) {
            return;
        }
        let diagnostic = self
            .places
            .warning(
                "BS0224",
                self.places.span(place),
                format!("`{topic}` is named as one of the orchestrator's own topics"),
            )
            .with_note("these begin with `backstitch.` where nothing else is configured")
            .with_help("read events from a topic of the service that publishes them");
        self.push(diagnostic);
    }

    /// Kafka counts `.` and `_` as the same where it names metrics, and refuses the second of two
    /// such topics.
    fn topics(&mut self) {
        let definition = self.definition;
        let starts = definition.start.iter().enumerate();
        let mut topics: Vec<(&str, String)> = starts
            .map(|(n, rule)| (rule.topic.as_str(), format!("start[{n}].topic")))
            .collect();
        for known in &self.index.steps {
            if let Verb::Wait(wait) = &known.step.verb {
                topics.push((&wait.topic, format!("{}.topic", known.place)));
            }
        }
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        let mut clashes = Vec::new();
        for (topic, place) in topics {
            let first = known.entry(topic.replace('.', "_")).or_insert(topic);
            if *first != topic {
                clashes.push((*first, topic, place));
            }
        }
        for (first, topic, place) in clashes {
            let diagnostic = self
                .places
                .error(
                    "BS0224",
                    self.places.span(&place),
                    format!("the topics `{first}` and `{topic}` cannot both be there"),
                )
                .with_note("Kafka takes `.` and `_` for the same in the names of metrics")
                .with_help("one of the two is misspelt");
            self.push(diagnostic);
        }
    }

    /// A contract for an activity that is not asked, though one of nearly that name is.
    fn contracts(&mut self) {
        let definition = self.definition;
        let mut asked: Vec<&str> = Vec::new();
        for known in &self.index.steps {
            if let Verb::Do(work) = &known.step.verb {
                asked.push(&work.activity);
                if let Undo::Other(other) = &work.undo {
                    asked.push(&other.activity);
                }
            }
        }
        let bare: Vec<&str> = asked
            .iter()
            .copied()
            .filter(|activity| !definition.activities.contains_key(*activity))
            .collect();
        for activity in definition.activities.keys() {
            if asked.contains(&activity.as_str()) {
                continue;
            }
            let Some(near) = nearest(activity, &bare) else {
                continue;
            };
            let span = self.places.span(&format!("activities.{activity}#"));
            let diagnostic = self
                .places
                .warning(
                    "BS0309",
                    span,
                    format!("no step asks `{activity}`, so this contract is for nobody"),
                )
                .with_help(format!("did you mean `{near}`?"));
            self.push(diagnostic);
        }
    }

    /// The name of a sequence, for people.
    pub(super) fn told(slot: Slot<'_>) -> String {
        match slot {
            Slot::Branch(_, name) => format!("the branch `{name}`"),
            Slot::Case(n) => format!("case {} of a `choose`", n + 1),
            Slot::Otherwise(_) => "the `else` of a `choose`".to_owned(),
            Slot::Body => "an `each` or a `repeat`".to_owned(),
            Slot::OnFailure => "an `on_failure`".to_owned(),
            Slot::OnTimeout => "an `on_timeout`".to_owned(),
            Slot::OnRefused => "an `on_refused`".to_owned(),
        }
    }
}
