//! The verbs, and what their steps may have.

use super::{Holds, Key, RETRY_KEY, TIMEOUT_KEY, may, must};

const WITH_KEY: Key = may(
    "with",
    Holds::Data,
    "What the workers are given. A text that begins with `=` is an expression.",
);
const WITHIN_KEY: Key = may(
    "within",
    Holds::Duration,
    "How long to wait; for ever without it. The step ends unanswered then.",
);
const ON_TIMEOUT_KEY: Key = may(
    "on_timeout",
    Holds::Reaction,
    "The same as `on_failure`, when the time ran out.",
);

/// A verb, and what else its steps may have.
#[derive(Debug)]
pub(in crate::definition) struct VerbKeys {
    /// The verb itself, and what its argument is.
    pub(in crate::definition) verb: Key,
    pub(in crate::definition) keys: &'static [Key],
}

/// The verbs of the language.
pub(in crate::definition) const VERBS: &[VerbKeys] = &[
    VerbKeys {
        verb: must(
            "do",
            Holds::Kebab,
            "Asks the workers of an activity, in kebab-case: `charge-payment`.",
        ),
        keys: &[
            WITH_KEY,
            may(
                "undo",
                Holds::Undo,
                "How it is taken back: `yes` (the same activity), another activity, or `nothing`. Needed before the pivot.",
            ),
            TIMEOUT_KEY,
            RETRY_KEY,
            may(
                "pivot",
                Holds::Truth,
                "Once this step is done, the saga only goes forward.",
            ),
        ],
    },
    VerbKeys {
        verb: must("wait", Holds::Word, "Waits for an event from outside."),
        keys: &[
            must("topic", Holds::Topic, "The source topic of the event."),
            must(
                "key",
                Holds::Logic,
                "The key of a record, an expression that sees `message`: `message.order_id`. Must equal the saga's key, or `match`.",
            ),
            may(
                "match",
                Holds::Logic,
                "What the record's key is held against, instead of the saga's key.",
            ),
            may(
                "accept",
                Holds::Logic,
                "Only records for which this holds. It sees `message` and `now`.",
            ),
            may(
                "input",
                Holds::Path,
                "The Avro schema of such a record: a path, relative to this file. A record that is accepted and does not fit becomes a dead letter.",
            ),
            may(
                "early",
                Holds::Duration,
                "How long a record is kept that comes before anyone waits for it. Default 1h.",
            ),
            WITHIN_KEY,
            ON_TIMEOUT_KEY,
        ],
    },
    VerbKeys {
        verb: must(
            "sleep",
            Holds::Sleep,
            "Lets time pass: a duration, or `{ until: … }`.",
        ),
        keys: &[],
    },
    VerbKeys {
        verb: must(
            "run",
            Holds::Kebab,
            "Runs another definition as a step; undoing it compensates that saga.",
        ),
        keys: &[
            may(
                "key",
                Holds::Logic,
                "The business key of the saga that is run.",
            ),
            may("with", Holds::Data, "Its start event."),
        ],
    },
    VerbKeys {
        verb: must("approve", Holds::Word, "Asks a person to decide."),
        keys: &[
            may(
                "by",
                Holds::Roles,
                "Who may decide: any of these roles. Without it: anybody.",
            ),
            may("show", Holds::Data, "What is shown to them."),
            WITHIN_KEY,
            ON_TIMEOUT_KEY,
            may(
                "on_refused",
                Holds::Reaction,
                "The same as `on_failure`, when it was refused.",
            ),
        ],
    },
    VerbKeys {
        verb: must(
            "parallel",
            Holds::Branches,
            "Goes several ways at once: steps by the name of the branch.",
        ),
        keys: &[may(
            "need",
            Holds::Need,
            "How many branches must finish: `all` (the default), `any`, or a number. The others are stopped and undone then.",
        )],
    },
    VerbKeys {
        verb: must(
            "choose",
            Holds::Cases,
            "Goes the first way of which the condition holds.",
        ),
        keys: &[],
    },
    VerbKeys {
        verb: must(
            "each",
            Holds::Snake,
            "Does the same for each item of a list; names the item in expressions. Its position, from 0, is `index`.",
        ),
        keys: &[
            must(
                "over",
                Holds::Logic,
                "The list, an expression: `event.lines`.",
            ),
            may(
                "at_once",
                Holds::Count,
                "How many items are worked on side by side. Default 10.",
            ),
            may(
                "most",
                Holds::Count,
                "How many items there may be. Default 1000.",
            ),
            must("steps", Holds::Steps, "What is done for an item."),
            may(
                "collect",
                Holds::Data,
                "What an item gives; the step's output is the list of these.",
            ),
        ],
    },
    VerbKeys {
        verb: must("repeat", Holds::Steps, "Does the same until it is enough."),
        keys: &[
            must(
                "until",
                Holds::Logic,
                "An expression, asked after each round. It is over when this holds.",
            ),
            may(
                "most",
                Holds::Count,
                "How many rounds there may be. Default 100.",
            ),
            may(
                "pause",
                Holds::Duration,
                "The wait between two rounds. Default none.",
            ),
        ],
    },
    VerbKeys {
        verb: must(
            "set",
            Holds::Settings,
            "Sets variables: each name under `vars` to its value.",
        ),
        keys: &[],
    },
    VerbKeys {
        verb: must("fail", Holds::Code, "Fails, with this code."),
        keys: &[may("reason", Holds::Data, "Why, for people.")],
    },
    VerbKeys {
        verb: must(
            "end",
            Holds::Data,
            "Completes the saga here, with this output, if any.",
        ),
        keys: &[],
    },
];
