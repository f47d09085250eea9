//! The keys of the language: one list for what is read, what is offered instead of a misspelt key,
//! and what editors are told.

mod verbs;

pub(in crate::definition) use verbs::{VERBS, VerbKeys};

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub(in crate::definition) struct Key {
    pub(in crate::definition) name: &'static str,
    /// What stands under it.
    pub(in crate::definition) holds: Holds,
    pub(in crate::definition) required: bool,
    /// What it is for, in a sentence or two, for editors.
    pub(in crate::definition) about: &'static str,
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::definition) enum Holds {
    /// The name of a saga or an activity.
    Kebab,
    /// The name of a step or an item.
    Snake,
    /// The name of a wait or an approval.
    Word,
    Topic,
    /// An error code.
    Code,
    /// The path of a file.
    Path,
    /// A text that is an expression.
    Logic,
    /// A document with expressions in it.
    Data,
    Duration,
    Range,
    /// A whole number from 1.
    Count,
    Percent,
    Truth,
    Start,
    Tags,
    Defaults,
    Activities,
    /// At least one step.
    Steps,
    /// Steps, or none.
    StepsOrNone,
    Undo,
    Timeout,
    Retry,
    Reaction,
    Branches,
    Need,
    Cases,
    Roles,
    Codes,
    Sleep,
    Settings,
}

const fn may(name: &'static str, holds: Holds, about: &'static str) -> Key {
    let required = false;
    Key {
        name,
        holds,
        required,
        about,
    }
}

const fn must(name: &'static str, holds: Holds, about: &'static str) -> Key {
    let required = true;
    Key {
        name,
        holds,
        required,
        about,
    }
}

/// Of a definition.
pub(in crate::definition) const DEFINITION: &[Key] = &[
    must(
        "saga",
        Holds::Kebab,
        "The name of the saga, in kebab-case: `process-order`.",
    ),
    may(
        "start",
        Holds::Start,
        "Which records start it. Without it, it is started by `start` only.",
    ),
    may(
        "input",
        Holds::Path,
        "The Avro schema of the start event: a path, relative to this file.",
    ),
    may(
        "activities",
        Holds::Activities,
        "What is agreed with the workers of its activities: contracts by activity, or the path of a YAML file with them.",
    ),
    may(
        "tags",
        Holds::Tags,
        "What its sagas are searched by. Each is one value, known when a saga starts.",
    ),
    may(
        "deadline",
        Holds::Duration,
        "How long a saga may take in all. It turns back then, or parks once the pivot is done.",
    ),
    may(
        "defaults",
        Holds::Defaults,
        "`timeout` and `retry` of each `do` that does not say otherwise.",
    ),
    must("steps", Holds::Steps, "What it does, in order."),
    may(
        "output",
        Holds::Data,
        "What it answers when it completes. A text that begins with `=` is an expression.",
    ),
];

/// Of a start rule.
pub(in crate::definition) const START: &[Key] = &[
    must("topic", Holds::Topic, "The source topic."),
    may(
        "when",
        Holds::Logic,
        "Only records for which this expression holds. It sees `event` and `now`.",
    ),
    must(
        "key",
        Holds::Logic,
        "The business key, an expression: `event.order_id`. One saga for each key.",
    ),
];

const TIMEOUT_KEY: Key = may(
    "timeout",
    Holds::Timeout,
    "How long an answer may take: a duration (default 30s), or `start`, `reply`, `heartbeat` and `total`.",
);
const RETRY_KEY: Key = may(
    "retry",
    Holds::Retry,
    "How often, and how far apart, it is asked again.",
);

/// Of `defaults`.
pub(in crate::definition) const DEFAULTS: &[Key] = &[TIMEOUT_KEY, RETRY_KEY];

/// Of a contract.
pub(in crate::definition) const CONTRACT: &[Key] = &[
    may(
        "input",
        Holds::Path,
        "The Avro schema of what its workers are given: a path.",
    ),
    may(
        "output",
        Holds::Path,
        "The Avro schema of what they answer. An answer that does not fit is refused where it arrives.",
    ),
    TIMEOUT_KEY,
    RETRY_KEY,
    may(
        "errors",
        Holds::Codes,
        "The codes with which they may fail or refuse. Without it: any.",
    ),
];

/// Of each step.
pub(in crate::definition) const STEP: &[Key] = &[
    may(
        "id",
        Holds::Snake,
        "Names the step in expressions, in the journal and in idempotency keys. By default what the verb names, or the verb and a number: `parallel_1`.",
    ),
    may(
        "when",
        Holds::Logic,
        "An expression. The step is skipped unless it holds.",
    ),
    may(
        "on_failure",
        Holds::Reaction,
        "What happens when the step does not end done: `turn_back` (the default), `ignore`, `park`, or steps to take, which see `failure`.",
    ),
];

/// Of `undo`, where another activity undoes.
pub(in crate::definition) const UNDO: &[Key] = &[
    must("do", Holds::Kebab, "The activity that undoes the step."),
    may(
        "with",
        Holds::Data,
        "What its workers are given. `result` is the step's output, or null.",
    ),
    TIMEOUT_KEY,
    RETRY_KEY,
];

/// Of `timeout`, in parts.
pub(in crate::definition) const TIMEOUT: &[Key] = &[
    may(
        "start",
        Holds::Duration,
        "From the command until a worker's first heartbeat, or its answer.",
    ),
    may(
        "reply",
        Holds::Duration,
        "From the command until the answer, for one attempt. Default 30s. Without `heartbeat`, a heartbeat begins it anew.",
    ),
    may(
        "heartbeat",
        Holds::Duration,
        "From a heartbeat until the next one or the answer.",
    ),
    may(
        "total",
        Holds::Duration,
        "From the first command until the answer, all attempts together.",
    ),
];

/// Of `retry`.
pub(in crate::definition) const RETRY: &[Key] = &[
    may(
        "attempts",
        Holds::Count,
        "How often it is asked, the first time included. Default 5.",
    ),
    may(
        "backoff",
        Holds::Range,
        "The wait after the first attempt, which doubles, and the longest wait. Default 200ms..10s.",
    ),
    may(
        "jitter",
        Holds::Percent,
        "The part of a wait that is drawn. Default 20%.",
    ),
    may(
        "budget",
        Holds::Duration,
        "No attempt is sent later than this after the first.",
    ),
    may(
        "not",
        Holds::Codes,
        "Failures with these codes are not tried again.",
    ),
];

/// Of a case of `choose`.
pub(in crate::definition) const CASE: &[Key] = &[
    must(
        "when",
        Holds::Logic,
        "An expression. The first case for which it holds is taken.",
    ),
    must("steps", Holds::StepsOrNone, "What is done then."),
];

/// Of the last case of `choose`.
pub(in crate::definition) const ELSE: &[Key] = &[must(
    "else",
    Holds::StepsOrNone,
    "What is done where no case holds.",
)];

/// Of `sleep`, until a time.
pub(in crate::definition) const SLEEP: &[Key] = &[must(
    "until",
    Holds::Logic,
    "An expression: milliseconds since 1970, or a text as RFC 3339 has it.",
)];

/// The verb of a name.
pub(in crate::definition) fn verb(name: &str) -> Option<&'static VerbKeys> {
    VERBS.iter().find(|verb| verb.verb.name == name)
}

/// The verb for what other languages call otherwise.
pub(in crate::definition) fn verb_elsewhere(word: &str) -> Option<&'static str> {
    let verb = match word.to_ascii_lowercase().as_str() {
        "call" | "invoke" | "activity" | "task" | "action" | "execute" | "command" => "do",
        "event" | "receive" | "await" | "signal" | "listen" => "wait",
        "delay" | "timer" | "pause" => "sleep",
        "subflow" | "subprocess" | "workflow" | "child" | "saga" => "run",
        "human" | "manual" | "approval" | "decide" => "approve",
        "fork" | "branches" | "all" => "parallel",
        "if" | "switch" | "case" | "match" | "branch" => "choose",
        "for" | "foreach" | "for_each" | "map" => "each",
        "loop" | "while" | "until" => "repeat",
        "assign" | "let" | "var" | "vars" => "set",
        "throw" | "raise" | "error" | "abort" => "fail",
        "return" | "stop" | "complete" | "exit" => "end",
        _ => return None,
    };
    Some(verb)
}

/// The verbs whose steps have a key.
pub(in crate::definition) fn verbs_with(key: &str) -> Vec<&'static str> {
    VERBS
        .iter()
        .filter(|verb| verb.keys.iter().any(|known| known.name == key))
        .map(|verb| verb.verb.name)
        .collect()
}
