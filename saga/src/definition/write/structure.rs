//! What is written, and what is left out because it is the default.
//!
//! Each structure is taken apart field by field, so that a new field cannot be forgotten.

use super::text::Out;
use crate::definition::ids::Names;
use crate::definition::model::{
    AT_ONCE_DEFAULT, Approve, Case, Choose, Contract, Definition, Do, EARLY_MS_DEFAULT, Each, Fail,
    ITEMS_MAX_DEFAULT, Need, OnFailure, OtherUndo, Parallel, ROUNDS_MAX_DEFAULT, Repeat, Retry,
    Run, SchemaFile, Sleep, StartRule, Step, Timeout, Undo, Verb, Wait,
};
use crate::definition::words::{written_ms, written_range};
use crate::expression::{Expression, Template};

/// A map as it grows.
#[derive(Default)]
struct Entries(Vec<(String, Out)>);

impl Entries {
    fn put(&mut self, key: &str, value: Out) {
        self.0.push((key.to_owned(), value));
    }

    fn may(&mut self, key: &str, value: Option<Out>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn map(self) -> Out {
        Out::Map(self.0)
    }
}

pub(super) fn definition(definition: &Definition) -> Out {
    let Definition {
        name,
        hash: _,
        source: _,
        files: _,
        start,
        input,
        activities,
        tags,
        deadline_ms,
        steps,
        output,
    } = definition;
    let mut entries = Entries::default();
    entries.put("saga", Out::text(name));
    if !start.is_empty() {
        entries.put("start", Out::List(start.iter().map(start_rule).collect()));
    }
    entries.may("input", input.as_ref().map(schema));
    if !activities.is_empty() {
        let contracts = activities
            .iter()
            .map(|(activity, agreed)| (activity.clone(), contract(agreed)));
        entries.put("activities", Out::Map(contracts.collect()));
    }
    if !tags.is_empty() {
        entries.put("tags", named(tags));
    }
    entries.may("deadline", deadline_ms.map(duration));
    entries.put("steps", sequence(steps, &mut Names::default()));
    entries.may("output", output.as_ref().map(template));
    entries.map()
}

fn start_rule(StartRule { topic, when, key }: &StartRule) -> Out {
    let mut entries = Entries::default();
    entries.put("topic", Out::text(topic));
    entries.may("when", when.as_ref().map(logic));
    entries.put("key", logic(key));
    entries.map()
}

fn schema(SchemaFile { path, schema: _ }: &SchemaFile) -> Out {
    Out::text(path)
}

fn contract(
    Contract {
        input,
        output,
        errors,
    }: &Contract,
) -> Out {
    let mut entries = Entries::default();
    entries.may("input", input.as_ref().map(schema));
    entries.may("output", output.as_ref().map(schema));
    if !errors.is_empty() {
        entries.put("errors", Out::List(errors.iter().map(Out::text).collect()));
    }
    entries.map()
}

fn sequence(steps: &[Step], names: &mut Names) -> Out {
    Out::List(steps.iter().map(|taken| step(taken, names)).collect())
}

fn step(
    Step {
        id,
        when,
        on_failure,
        on_timeout,
        on_refused,
        verb,
    }: &Step,
    names: &mut Names,
) -> Out {
    let mut entries = Entries::default();
    // Where the id stands, behind the verb; the steps inside are numbered after this one.
    let own_id = match verb {
        Verb::Do(Do { activity, .. }) => *id != activity.replace('-', "_"),
        Verb::Run(Run { saga, .. }) => *id != saga.replace('-', "_"),
        Verb::Wait(_) | Verb::Approve(_) => false,
        Verb::Parallel(_)
        | Verb::Choose(_)
        | Verb::Each(_)
        | Verb::Repeat(_)
        | Verb::Sleep(_)
        | Verb::Set(_)
        | Verb::Fail(_)
        | Verb::End(_) => {
            let numbered = *id == names.next(verb);
            if numbered {
                names.take(verb);
            }
            !numbered
        }
    };
    let (argument, more) = does(id, verb, names);
    entries.put(verb.name(), argument);
    entries.may("id", own_id.then(|| Out::text(id)));
    entries.may("when", when.as_ref().map(logic));
    entries.0.extend(more.0);
    match on_failure {
        OnFailure::TurnBack => {}
        OnFailure::Ignore | OnFailure::Park | OnFailure::Steps(_) => {
            entries.put("on_failure", reaction(on_failure, names));
        }
    }
    for (key, other) in [("on_timeout", on_timeout), ("on_refused", on_refused)] {
        if let Some(other) = other {
            entries.put(key, reaction(other, names));
        }
    }
    entries.map()
}

fn reaction(reaction: &OnFailure, names: &mut Names) -> Out {
    match reaction {
        OnFailure::TurnBack => Out::word("turn_back"),
        OnFailure::Ignore => Out::word("ignore"),
        OnFailure::Park => Out::word("park"),
        OnFailure::Steps(steps) => sequence(steps, names),
    }
}

/// A verb's argument, and its keys.
fn does(id: &str, verb: &Verb, names: &mut Names) -> (Out, Entries) {
    let mut more = Entries::default();
    let argument = match verb {
        Verb::Do(does) => activity(does, &mut more),
        Verb::Parallel(does) => parallel(does, &mut more, names),
        Verb::Choose(does) => choose(does, names),
        Verb::Each(does) => each(does, &mut more, names),
        Verb::Repeat(does) => repeat(does, &mut more, names),
        Verb::Wait(does) => {
            wait(does, &mut more);
            Out::text(id)
        }
        Verb::Sleep(Sleep::For(ms)) => duration(*ms),
        Verb::Sleep(Sleep::Until(time)) => Out::Map(vec![("until".to_owned(), logic(time))]),
        Verb::Run(Run { saga, key, with }) => {
            more.may("key", key.as_ref().map(logic));
            more.may("with", document(with));
            Out::text(saga)
        }
        Verb::Approve(Approve {
            by,
            show,
            within_ms,
        }) => {
            if !by.is_empty() {
                more.put("by", Out::List(by.iter().map(Out::text).collect()));
            }
            more.may("show", document(show));
            more.may("within", within_ms.map(duration));
            Out::text(id)
        }
        Verb::Set(values) => named(values),
        Verb::Fail(Fail { code, reason }) => {
            more.may("reason", reason.as_ref().map(template));
            Out::text(code)
        }
        Verb::End(output) => output.as_ref().map_or(Out::word("null"), template),
    };
    (argument, more)
}

fn activity(
    Do {
        activity,
        with,
        undo,
        timeout,
        retry,
        pivot,
    }: &Do,
    more: &mut Entries,
) -> Out {
    more.may("with", document(with));
    match undo {
        Undo::Same => more.put("undo", Out::word("yes")),
        Undo::Nothing => more.put("undo", Out::word("nothing")),
        Undo::Absent => {}
        Undo::Other(other) => {
            let OtherUndo {
                activity,
                with,
                timeout,
                retry,
            } = other.as_ref();
            let mut entries = Entries::default();
            entries.put("do", Out::text(activity));
            entries.may("with", document(with));
            entries.may("timeout", limits(*timeout));
            entries.may("retry", retrying(retry));
            more.put("undo", entries.map());
        }
    }
    more.may("timeout", limits(*timeout));
    more.may("retry", retrying(retry));
    more.may("pivot", pivot.then(|| Out::word("yes")));
    Out::text(activity)
}

fn parallel(Parallel { branches, need }: &Parallel, more: &mut Entries, names: &mut Names) -> Out {
    more.may(
        "need",
        match need {
            Need::All => None,
            Need::Count(1) => Some(Out::word("any")),
            Need::Count(count) => Some(Out::word(count)),
        },
    );
    let branches = branches
        .iter()
        .map(|(name, steps)| (name.clone(), sequence(steps, names)));
    Out::Map(branches.collect())
}

fn choose(Choose { cases, otherwise }: &Choose, names: &mut Names) -> Out {
    let mut ways: Vec<Out> = cases
        .iter()
        .map(|Case { when, steps }| {
            let mut entries = Entries::default();
            entries.put("when", logic(when));
            entries.put("steps", sequence(steps, names));
            entries.map()
        })
        .collect();
    if let Some(steps) = otherwise {
        ways.push(Out::Map(vec![("else".to_owned(), sequence(steps, names))]));
    }
    Out::List(ways)
}

fn each(
    Each {
        item,
        over,
        at_once,
        items_max,
        steps,
        collect,
    }: &Each,
    more: &mut Entries,
    names: &mut Names,
) -> Out {
    more.put("over", logic(over));
    more.may("at_once", unless(*at_once, AT_ONCE_DEFAULT));
    more.may("most", unless(*items_max, ITEMS_MAX_DEFAULT));
    more.put("steps", sequence(steps, names));
    more.may("collect", collect.as_ref().map(template));
    Out::text(item)
}

fn repeat(
    Repeat {
        steps,
        until,
        rounds_max,
        pause_ms,
    }: &Repeat,
    more: &mut Entries,
    names: &mut Names,
) -> Out {
    more.put("until", logic(until));
    more.may("most", unless(*rounds_max, ROUNDS_MAX_DEFAULT));
    more.may("pause", (*pause_ms > 0).then(|| duration(*pause_ms)));
    sequence(steps, names)
}

fn wait(
    Wait {
        topic,
        key,
        matches,
        accept,
        input,
        early_ms,
        within_ms,
    }: &Wait,
    more: &mut Entries,
) {
    more.put("topic", Out::text(topic));
    more.put("key", logic(key));
    more.may("match", matches.as_ref().map(logic));
    more.may("accept", accept.as_ref().map(logic));
    more.may("input", input.as_ref().map(schema));
    if *early_ms != EARLY_MS_DEFAULT {
        more.put("early", duration(*early_ms));
    }
    more.may("within", within_ms.map(duration));
}

fn limits(timeout: Timeout) -> Option<Out> {
    let built_in = Timeout::default();
    if timeout == Timeout::of_reply(timeout.reply_ms) {
        // One limit is written as such.
        return (timeout != built_in).then(|| duration(timeout.reply_ms));
    }
    let Timeout {
        start_ms,
        reply_ms,
        heartbeat_ms,
        total_ms,
    } = timeout;
    let mut entries = Entries::default();
    entries.may("start", start_ms.map(duration));
    if reply_ms != built_in.reply_ms {
        entries.put("reply", duration(reply_ms));
    }
    entries.may("heartbeat", heartbeat_ms.map(duration));
    entries.may("total", total_ms.map(duration));
    Some(entries.map())
}

fn retrying(retry: &Retry) -> Option<Out> {
    let built_in = Retry::default();
    let Retry {
        attempts_max,
        backoff_min_ms,
        backoff_max_ms,
        jitter_percent,
        budget_ms,
        not,
    } = retry;
    let mut entries = Entries::default();
    entries.may("attempts", unless(*attempts_max, built_in.attempts_max));
    let backoff = (*backoff_min_ms, *backoff_max_ms);
    if backoff != (built_in.backoff_min_ms, built_in.backoff_max_ms) {
        entries.put("backoff", Out::word(written_range(backoff)));
    }
    entries.may("jitter", unless(*jitter_percent, built_in.jitter_percent));
    entries.may("budget", budget_ms.map(duration));
    if !not.is_empty() {
        entries.put("not", Out::List(not.iter().map(Out::text).collect()));
    }
    (!entries.0.is_empty()).then(|| entries.map())
}

fn unless<T: PartialEq + ToString>(value: T, default: T) -> Option<Out> {
    (value != default).then(|| Out::word(value.to_string()))
}

fn duration(ms: u64) -> Out {
    Out::word(written_ms(ms))
}

fn logic(expression: &Expression) -> Out {
    Out::text(expression.source())
}

fn named(values: &std::collections::BTreeMap<String, Template>) -> Out {
    let values = values
        .iter()
        .map(|(name, value)| (name.clone(), template(value)));
    Out::Map(values.collect())
}

/// A document that is the empty object where nothing is written.
fn document(with: &Template) -> Option<Out> {
    (*with != Template::empty()).then(|| template(with))
}

fn template(value: &Template) -> Out {
    match value {
        Template::Literal(value) => Out::json(value, literal_text),
        Template::Expression(expression) => Out::text(format!("={}", expression.source())),
        Template::List(items) => Out::List(items.iter().map(template).collect()),
        Template::Object(fields) => named(fields),
    }
}

/// A text that begins with `=` gets another one, so as not to be an expression.
fn literal_text(text: &str) -> String {
    if text.starts_with('=') {
        format!("={text}")
    } else {
        text.to_owned()
    }
}
