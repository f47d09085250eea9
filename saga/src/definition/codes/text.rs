//! Codes about the text and its shape.

use super::Code;

pub(super) const TEXT: [Code; 11] = [
    Code {
        code: "BS0101",
        title: "the text is not YAML",
        text: "A definition is one YAML 1.2 document. `yes`, `no`, `on` and `off` are texts there, except where a \
               definition asks for yes or no. Quote an expression that holds `: ` or ` #`, or begins with a quote, \
               a bracket or `&`.",
        wrong: r#"saga: pay
steps:
  - do: charge-card
    undo: yes
    when: "event.total > 100
"#,
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
    when: event.total > 100
",
    },
    Code {
        code: "BS0102",
        title: "the definition exceeds a limit",
        text: "A definition has at most 1 MiB, 96 levels, 200,000 values, 1,000 steps, 16 of them inside each \
               other, 100 start rules and 32 tags; a `parallel` and a `choose` have at most 100 branches, an `each` \
               10,000 items, a `repeat` 10,000 rounds; a literal that is sent has at most 64 KiB, and the files \
               that a definition names have 1 MiB together. A saga carries a part of each in its state; a longer \
               one is better cut into several, which `run` each other.",
        wrong: "saga: count
steps:
  - repeat:
      - do: count-one
        undo: nothing
    until: steps.count_one.done
    most: 12000
",
        right: "saga: count
steps:
  - repeat:
      - do: count-one
        undo: nothing
    until: steps.count_one.done
    most: 500
",
    },
    Code {
        code: "BS0103",
        title: "a key is not known here",
        text: "Each part of a definition and each verb has its keys, and a misspelt one would be left out in \
               silence. The nearest known key is named, or the verbs with which it goes.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
    timout: 5s
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
    timeout: 5s
",
    },
    Code {
        code: "BS0104",
        title: "a key, or a step, is missing",
        text: "A definition must have `saga` and at least one step, a start rule `topic` and `key`, an undo by \
               another activity `do`; and a verb has parts without which it means nothing, as `over` with `each`.",
        wrong: "saga: pay
start: { topic: orders }
steps:
  - do: charge-card
    undo: yes
",
        right: "saga: pay
start: { topic: orders, key: event.order_id }
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0105",
        title: "a value is of the wrong kind",
        text: "For example a list where a text is expected. Quote a number that is meant as a text.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: no
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: nothing
",
    },
    Code {
        code: "BS0106",
        title: "a key is written twice",
        text: "Only one of them could count, and which one is a matter of taste. Leave one out.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
    undo: nothing
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0108",
        title: "a step has no verb",
        text: "Each step says what it does with one verb, for example `do: charge-payment`.",
        wrong: "saga: pay
steps:
  - charge: card
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0109",
        title: "a duration cannot be read",
        text: "A duration is a whole number and a unit, without a space: `200ms`, `5s`, `10m`, `2h`, `3d`; at most \
               3,650 days. A range is two of them: `200ms..10s`.",
        wrong: "saga: pay
deadline: 2 days
steps:
  - do: charge-card
    undo: yes
",
        right: "saga: pay
deadline: 2d
steps:
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0110",
        title: "a number is out of range",
        text: "The first attempt counts, so there is at least one. Timeouts, backoffs, budgets, waits and deadlines \
               of no time at all would fail everything or turn a retry into a storm. A backoff does not end below \
               its begin. A `parallel` has two branches or more, and needs from one to all of them.",
        wrong: "saga: pay
steps:
  - do: charge-card
    undo: yes
    retry: { attempts: 0 }
",
        right: "saga: pay
steps:
  - do: charge-card
    undo: yes
    retry: { attempts: 1 }
",
    },
    Code {
        code: "BS0111",
        title: "a step has two verbs",
        text: "A step does one thing, so that its id, its place in the journal and its undo are one. Make two steps \
               of it; steps that belong together go under `parallel`, `choose`, `each` or `repeat`.",
        wrong: "saga: pay
steps:
  - do: charge-card
    sleep: 1h
    undo: yes
",
        right: "saga: pay
steps:
  - sleep: 1h
  - do: charge-card
    undo: yes
",
    },
    Code {
        code: "BS0112",
        title: "a file cannot be read",
        text: "A definition may name schemas (`input`, `output`) and contracts (`activities`) that stand in files \
               of their own. Each path is relative to the file in which it is written. A schema is an Avro schema, \
               as JSON; contracts are YAML, a map from activities to contracts.",
        wrong: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    undo: yes
# file: order.avsc
{ "type": "strnig" }
"#,
        right: r#"saga: pay
input: order.avsc
steps:
  - do: charge-card
    undo: yes
# file: order.avsc
{ "type": "string" }
"#,
    },
];
