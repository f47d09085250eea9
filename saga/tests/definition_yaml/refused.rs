//! What is refused: its code, its line, its words.

use backstitch_saga::definition::{Definition, explain};

use super::around;

/// Code, line and a part of the message; `~` stands where a step of [`around`] begins.
const BROKEN: &[(&str, &str, usize, &str)] = &[
    // The text.
    ("BS0101", "saga: [", 1, "unclosed bracket"),
    (
        "BS0101",
        "saga: s\nsteps:\n  - do: a\n   undo: yes\n",
        4,
        "",
    ),
    ("BS0101", "saga: s\nsteps: &a [*a]\n", 2, ""),
    ("BS0101", "saga: s\ninput: .nan\n", 2, ""),
    (
        "BS0102",
        "saga: s\n---\nsaga: t\n",
        1,
        "more than one document",
    ),
    (
        "BS0106",
        "saga: s\nsteps:\n  - do: a\n    undo: yes\n    undo: nothing\n",
        5,
        "`undo` is written twice",
    ),
    // Its shape.
    (
        "BS0105",
        "",
        1,
        "a definition must be a map, and is nothing",
    ),
    (
        "BS0105",
        "- do: a\n",
        1,
        "a definition must be a map, and is a list",
    ),
    ("BS0104", "saga: s\n", 1, "must have `steps`"),
    (
        "BS0104",
        "steps:\n  - do: a\n    undo: yes\n",
        1,
        "must have `saga`",
    ),
    ("BS0104", "saga: s\nsteps: []\n", 2, "at least one step"),
    (
        "BS0105",
        "saga: s\nsteps: { do: a }\n",
        2,
        "`steps` must be a list of steps, and is a map",
    ),
    (
        "BS0105",
        "saga: s\nsteps:\n  - charge-payment\n",
        3,
        "a step must be a map, and is a text",
    ),
    (
        "BS0105",
        "saga: 5\nsteps: [{ do: a, undo: yes }]\n",
        1,
        "must be a text, and is a number",
    ),
    (
        "BS0103",
        "saga: s\nstep: []\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a definition has no `step`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: yes\n    retries: 5\n",
        5,
        "a `do` step has no `retries`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: yes\n    retry: { attemps: 5 }\n",
        5,
        "`retry` has no `attemps`",
    ),
    (
        "BS0103",
        "~  - do: a\n    undo: { do: b, whit: {} }\n",
        4,
        "`undo` has no `whit`",
    ),
    (
        "BS0104",
        "saga: s\nstart:\n  - topic: orders\nsteps: [{ do: a, undo: yes }]\n",
        3,
        "a start rule must have `key`",
    ),
    (
        "BS0104",
        "saga: s\nstart: { key: event.id }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a start rule must have `topic`",
    ),
    (
        "BS0104",
        "~  - do: a\n    undo: { with: {} }\n",
        4,
        "`undo` must have `do`",
    ),
    (
        "BS0108",
        "~  - id: a\n    undo: yes\n",
        3,
        "a step without a verb",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: maybe\n",
        4,
        "`undo` is not one of the ways to undo",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: no\n",
        4,
        "`undo` is not one of the ways to undo",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    on_failure: explode\n",
        5,
        "neither `turn_back`, `ignore`, `park` nor a list of steps",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    pivot: 5\n",
        5,
        "`pivot` must be true or false",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    retry: { attempts: -1 }\n",
        5,
        "must be a whole number",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    with: { 5: x }\n",
        5,
        "a key must be a text",
    ),
    (
        "BS0105",
        "~  - do: a\n    undo: yes\n    when: [event.x]\n",
        5,
        "`when` must be an expression",
    ),
    // Durations and numbers.
    (
        "BS0109",
        "saga: s\ndeadline: 5\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "its unit is missing",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    timeout: 5 sec\n",
        5,
        "`5 sec` is not a duration",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 1s...2s }\n",
        5,
        "is not a duration",
    ),
    (
        "BS0109",
        "~  - do: a\n    undo: yes\n    timeout: 99999d\n",
        5,
        "longer than 3650 days",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    timeout: 0s\n",
        5,
        "a timeout of no time at all",
    ),
    (
        "BS0110",
        "saga: s\ndeadline: 0ms\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "a deadline of no time at all",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { attempts: 0 }\n",
        5,
        "0 attempts",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 10s..1s }\n",
        5,
        "which is less",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { backoff: 0s }\n",
        5,
        "a backoff of no time",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: yes\n    retry: { jitter: 101 }\n",
        5,
        "not a percentage",
    ),
    (
        "BS0110",
        "~  - do: a\n    undo: { do: b, timeout: 0s }\n",
        4,
        "a timeout of no time",
    ),
    (
        "BS0110",
        "saga: s\ndefaults:\n  retry: { attempts: 0 }\nsteps: [{ do: a, undo: yes }, { do: b, undo: yes }]\n",
        3,
        "0 attempts",
    ),
    // Names.
    (
        "BS0201",
        "saga: Process Order\nsteps: [{ do: a, undo: yes }]\n",
        1,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "~  - do: charge_payment\n    undo: yes\n",
        3,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "~  - do: a\n    id: charge-payment\n    undo: yes\n",
        4,
        "is not snake_case",
    ),
    (
        "BS0201",
        "~  - do: return\n    undo: yes\n",
        3,
        "a reserved word of CEL",
    ),
    (
        "BS0201",
        "~  - do: a\n    undo: { do: Refund }\n",
        4,
        "is not kebab-case",
    ),
    (
        "BS0201",
        "saga: s\nstart: { topic: or ders, key: event.id }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "no name of a topic",
    ),
    (
        "BS0201",
        "saga: s\ntags:\n  customer-id: =event.x\nsteps: [{ do: a, undo: yes }]\n",
        3,
        "is not snake_case",
    ),
    (
        "BS0202",
        "~  - do: a\n    undo: yes\n  - do: a\n    undo: yes\n",
        5,
        "two steps have the id `a`",
    ),
    (
        "BS0202",
        "~  - do: a\n    undo: yes\n  - do: b\n    id: a\n    undo: yes\n",
        6,
        "two steps have the id `a`",
    ),
    // Expressions.
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    when: event.total >\n",
        5,
        "it ends too early",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    when: =event.total\n",
        5,
        "not a CEL expression",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    with:\n      x: 1\n      y: =event.\n",
        7,
        "not a CEL expression",
    ),
    (
        "BS0203",
        "~  - do: a\n    undo: yes\n    with: { y: =lenght(event.x) }\n",
        5,
        "there is no function `lenght`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    when: evnt.total > 1\n",
        5,
        "nothing is called `evnt`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =result.id }\n",
        5,
        "`result` is only there in `undo`",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =failure.code }\n",
        5,
        "`failure` is only there",
    ),
    (
        "BS0204",
        "~  - do: a\n    undo: yes\n    with: { x: =vars.limit }\n",
        5,
        "no step sets anything",
    ),
    (
        "BS0204",
        "saga: s\nstart: { topic: t, key: key }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`key` is not there yet",
    ),
    (
        "BS0204",
        "saga: s\ntags: { x: =result.y }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`result` is only there",
    ),
    (
        "BS0206",
        "saga: s\ntags: { x: =steps.a.y }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "`a` has not run",
    ),
    (
        "BS0205",
        "~  - do: a\n    undo: yes\n  - do: b\n    undo: yes\n    with: { x: =steps.c.y }\n",
        7,
        "there is no step `c`",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: yes\n    with: { x: =steps.b.y }\n  - do: b\n    undo: yes\n",
        5,
        "`b` has not run",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: yes\n    when: has(steps.a.y)\n",
        5,
        "`a` has not run",
    ),
    (
        "BS0206",
        "~  - do: a\n    undo: { do: b, with: { x: =steps.c.y } }\n  - do: c\n    undo: yes\n",
        4,
        "`c` has not run",
    ),
    (
        "BS0105",
        "saga: s\ntags: { x: [1] }\nsteps: [{ do: a, undo: yes }]\n",
        2,
        "must be one value",
    ),
    // Undoing.
    (
        "BS0207",
        "~  - do: a\n",
        3,
        "`a` may have run when the saga turns back",
    ),
    (
        "BS0207",
        "~  - do: a\n    undo: yes\n  - do: b\n  - do: c\n    pivot: true\n",
        5,
        "`b` may have run when `c` fails",
    ),
    (
        "BS0208",
        "~  - do: a\n    pivot: true\n  - do: b\n    pivot: true\n",
        6,
        "a second pivot",
    ),
];

#[test]
fn what_is_wrong_has_its_code_and_its_line() {
    for (code, source, line, message) in BROKEN {
        let source = match source.strip_prefix('~') {
            Some(step) => around(step),
            None => (*source).to_owned(),
        };
        let found = Definition::from_yaml(&source).expect_err(&source);
        let [only] = found.as_slice() else {
            panic!("{source}\n{found:#?}");
        };
        assert_eq!((only.code, only.line), (*code, *line), "{source}\n{only}");
        assert!(only.message.contains(message), "{source}\n{only}");
        assert!(only.column >= 1 && only.length >= 1, "{only}");
        assert!(explain(only.code).is_some(), "{only}");
        // The carets stay on the line.
        let width = only.snippet.chars().count();
        assert!(only.column + only.length <= width + 2, "{only}");
    }
}
