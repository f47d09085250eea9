//! What each code of a diagnostic means.

/// One rule of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// E.g. `BS0207`.
    pub code: &'static str,
    /// The rule, in a sentence without its full stop.
    pub title: &'static str,
    /// Why there is such a rule and what to do, in a few sentences.
    pub text: &'static str,
}

/// What a code means, if there is such a code.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(code))
}

/// Every code, in order. 01 is about the text and its shape, 02 about what it means.
pub const CODES: &[Code] = &[
    Code {
        code: "BS0101",
        title: "the text is not YAML",
        text: "A definition is one YAML 1.2 document. `yes`, `no`, `on` and `off` are texts there, except where a \
               definition asks for yes or no. Quote an expression that holds `: ` or ` #`, or begins with a quote, \
               a bracket or `&`.",
    },
    Code {
        code: "BS0102",
        title: "the definition exceeds a limit",
        text: "A definition has at most 1 MiB, 96 levels, 200,000 values, 1,000 steps, 16 of them inside each other, 100 \
               start rules and 32 tags, and the files that it names have 1 MiB together. A saga carries a part of \
               each in its state; a longer one is better cut into several, which `run` each other.",
    },
    Code {
        code: "BS0103",
        title: "a key is not known here",
        text: "Each part of a definition and each verb has its keys, and a misspelt one would be left out in silence. \
               The nearest known key is named, or the verbs with which it goes.",
    },
    Code {
        code: "BS0104",
        title: "a key, or a step, is missing",
        text: "A definition must have `saga` and at least one step, a start rule `topic` and `key`, an undo by \
               another activity `do`; and a verb has parts without which it means nothing, as `over` with `each`.",
    },
    Code {
        code: "BS0105",
        title: "a value is of the wrong kind",
        text: "For example a list where a text is expected. Quote a number that is meant as a text.",
    },
    Code {
        code: "BS0106",
        title: "a key is written twice",
        text: "Only one of them could count, and which one is a matter of taste. Leave one out.",
    },
    Code {
        code: "BS0108",
        title: "a step has no verb",
        text: "Each step says what it does with one verb, for example `do: charge-payment`.",
    },
    Code {
        code: "BS0109",
        title: "a duration cannot be read",
        text: "A duration is a whole number and a unit, without a space: `200ms`, `5s`, `10m`, `2h`, `3d`; at most \
               3,650 days. A range is two of them: `200ms..10s`.",
    },
    Code {
        code: "BS0110",
        title: "a number is out of range",
        text: "The first attempt counts, so there is at least one. Timeouts, backoffs, budgets and deadlines of no time \
               at all would fail everything or turn a retry into a storm. A backoff does not end below its begin.",
    },
    Code {
        code: "BS0111",
        title: "a step has two verbs",
        text: "A step does one thing, so that its id, its place in the journal and its undo are one. Make two steps \
               of it; steps that belong together go under `parallel`, `choose`, `each` or `repeat`.",
    },
    Code {
        code: "BS0112",
        title: "a file cannot be read",
        text: "A definition may name schemas (`input`, `output`) and contracts (`activities`) that stand in files of \
               their own. Each path is relative to the file in which it is written. A schema is an Avro schema, as \
               JSON; contracts are YAML, a map from activities to contracts.",
    },
    Code {
        code: "BS0201",
        title: "a name is not in its form",
        text: "Sagas and activities are kebab-case (`charge-payment`): they are parts of names of topics. Steps and tags \
               are snake_case (`charge_payment`): CEL reads `a-b` as a subtraction. Names have at most 100 characters; \
               topics are named as Kafka allows.",
    },
    Code {
        code: "BS0202",
        title: "two steps have the same id",
        text: "An id names a step in expressions, in the journal and in idempotency keys. By default it is the activity \
               with `_` for `-`; a second step of the same activity needs an `id` of its own.",
    },
    Code {
        code: "BS0203",
        title: "an expression cannot be read",
        text: "Where logic stands (`when`, `key`) the whole text is CEL; where data stands (`with`, `output`, `tags`) a \
               text that begins with `=` is, and `==x` is the text `=x`. An expression has at most 4,096 characters, \
               32 open brackets and two comprehensions inside each other, and calls functions that CEL has.",
    },
    Code {
        code: "BS0204",
        title: "a name is not in scope",
        text: "A start rule sees `event` and `now`; tags and steps also `key` and `steps.<id>`; an undo also `result`, \
               which is null if the step gave none.",
    },
    Code {
        code: "BS0205",
        title: "an expression names a step that is not there",
        text: "`steps.<id>` is followed by the id of a step of this definition, with `_` and not `-`.",
    },
    Code {
        code: "BS0206",
        title: "an expression names a step that has not run",
        text: "Steps run in order, so a step sees what earlier ones have answered. The `undo` of a step also sees the \
               step itself.",
    },
    Code {
        code: "BS0207",
        title: "a step may have run, and nothing says how to undo it",
        text: "Before the pivot a saga can turn back, and then each step that may have run is undone, newest first. So \
               each step before the pivot says how: `undo: yes` (the same activity takes it back), `undo: { do: other }`, \
               or `undo: nothing` where there is nothing worth undoing. Without a pivot this holds for every step.",
    },
    Code {
        code: "BS0208",
        title: "there is more than one pivot",
        text: "The pivot is the step after which a saga only goes forward. There is one such point on a path.",
    },
    Code {
        code: "BS0209",
        title: "a text looks like a forgotten expression",
        text: "In `with`, `output` and `tags` only a text that begins with `=` is an expression: `=event.total` is a \
               number, `event.total` are eleven letters.",
    },
    Code {
        code: "BS0210",
        title: "a step may have no output",
        text: "A step that was skipped, or whose failure was ignored, has no output, which reads as null; a field of \
               null is an error, which parks the saga. Write `steps.x.?field` for null instead, \
               `steps.x.?field.orValue(0)` for another value, or ask `has(steps.x)`.",
    },
];
