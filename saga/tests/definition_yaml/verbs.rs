//! What is refused in each verb, and where in steps inside steps.

use backstitch_saga::definition::Definition;

use super::around;

/// Code, a step that begins on line 3, the line, a part of the message, a part of the help.
const BROKEN: &[(&str, &str, usize, &str, &str)] = &[
    // Verbs and keys.
    (
        "BS0111",
        "  - do: a\n    undo: yes\n    wait: b\n",
        5,
        "this one has `do` and `wait`",
        "`- wait: …`",
    ),
    (
        "BS0108",
        "  - paralel:\n      a: []\n",
        3,
        "a step without a verb",
        "did you mean `parallel`?",
    ),
    (
        "BS0108",
        "  - undo: yes\n",
        3,
        "a step without a verb",
        "the verbs are do, wait,",
    ),
    (
        "BS0103",
        "  - do: a\n    undo: yes\n    within: 5s\n",
        5,
        "a `do` step has no `within`",
        "`within` goes with `wait` and `approve`",
    ),
    (
        "BS0103",
        "  - do: a\n    undo: yes\n    on_timeout: park\n",
        5,
        "a `do` step has no `on_timeout`",
        "goes with `wait` and `approve`",
    ),
    (
        "BS0103",
        "  - wait: a\n    topic: t\n    key: message.a\n    on_refused: park\n",
        6,
        "a `wait` step has no `on_refused`",
        "`on_refused` goes with `approve`",
    ),
    (
        "BS0103",
        "  - each: a\n    ovre: event.xs\n    over: event.xs\n    steps: []\n",
        4,
        "an `each` step has no `ovre`",
        "did you mean `over`?",
    ),
    (
        "BS0103",
        "  - sleep: 5s\n    retry: {}\n",
        4,
        "a `sleep` step has no `retry`",
        "`retry` goes with `do`",
    ),
    (
        "BS0103",
        "  - sleep: 5s\n    until: event.at\n",
        4,
        "a `sleep` step has no `until`",
        "write `sleep: { until: … }`",
    ),
    (
        "BS0103",
        "  - fail: x\n    zebra: 1\n",
        4,
        "a `fail` step has no `zebra`",
        "it may have id, when, on_failure, fail, reason",
    ),
    // Reactions.
    (
        "BS0105",
        "  - do: a\n    undo: yes\n    on_failure: { do: b }\n",
        5,
        "`on_failure` is neither `turn_back`",
        "a list of steps",
    ),
    (
        "BS0105",
        "  - approve: a\n    on_refused: explode\n",
        4,
        "`on_refused` is neither `turn_back`",
        "",
    ),
    (
        "BS0108",
        "  - do: a\n    undo: yes\n    on_failure:\n      - do: b\n      - when: event.x\n",
        7,
        "a step without a verb",
        "",
    ),
    // Timeouts.
    (
        "BS0103",
        "  - do: a\n    undo: yes\n    timeout:\n      replay: 5s\n",
        6,
        "`timeout` has no `replay`",
        "did you mean `reply`?",
    ),
    (
        "BS0109",
        "  - do: a\n    undo: yes\n    timeout: { start: 5 }\n",
        5,
        "its unit is missing",
        "",
    ),
    (
        "BS0109",
        "  - do: a\n    undo: yes\n    timeout: [5s]\n",
        5,
        "a duration is expected, not a list",
        "",
    ),
    // wait.
    (
        "BS0104",
        "  - wait: a\n    key: message.a\n",
        3,
        "a `wait` step must have `topic`",
        "",
    ),
    (
        "BS0104",
        "  - wait: a\n    topic: t\n",
        3,
        "a `wait` step must have `key`",
        "",
    ),
    (
        "BS0105",
        "  - wait:\n    topic: t\n    key: message.a\n",
        3,
        "what is waited for must be a text, and is nothing",
        "",
    ),
    (
        "BS0203",
        "  - wait: a\n    topic: t\n    key: message.a\n    match: =steps.a\n",
        6,
        "not a CEL expression",
        "leave out the `=`",
    ),
    (
        "BS0109",
        "  - wait: a\n    topic: t\n    key: message.a\n    early: soon\n",
        6,
        "`soon` is not a duration",
        "",
    ),
    // sleep, run, approve.
    (
        "BS0109",
        "  - sleep: tomorrow\n",
        3,
        "`tomorrow` is not a duration",
        "",
    ),
    (
        "BS0103",
        "  - sleep: { untill: event.x, until: event.x }\n",
        3,
        "`sleep` has no `untill`",
        "did you mean `until`?",
    ),
    (
        "BS0104",
        "  - sleep: {}\n",
        3,
        "`sleep` must have `until`",
        "",
    ),
    ("BS0105", "  - run: 5\n", 3, "a saga must be a text", ""),
    (
        "BS0105",
        "  - approve: a\n    by: cfo\n",
        4,
        "`by` must be a list, each a role, and is a text",
        "",
    ),
    (
        "BS0105",
        "  - approve: a\n    by:\n      - cfo\n      - 5\n",
        6,
        "a role must be a text",
        "",
    ),
    // parallel.
    (
        "BS0105",
        "  - parallel:\n      - do: a\n",
        4,
        "`parallel` must be a map from names to lists of steps, and is a list",
        "",
    ),
    (
        "BS0105",
        "  - parallel:\n      a: { do: a }\n      b: []\n",
        4,
        "`a` must be a list of steps, and is a map",
        "`- do: charge-payment`",
    ),
    (
        "BS0105",
        "  - parallel:\n      a: []\n      b: []\n    need: most\n",
        6,
        "`need` is neither `all`, `any` nor a number",
        "",
    ),
    (
        "BS0103",
        "  - parallel:\n      a:\n        - do: a\n          undo: yes\n          undoo: yes\n      b: []\n",
        7,
        "a `do` step has no `undoo`",
        "did you mean `undo`?",
    ),
    // choose.
    (
        "BS0105",
        "  - choose: { when: event.x }\n",
        3,
        "`choose` must be a list of cases, and is a map",
        "`- else: […]`",
    ),
    (
        "BS0103",
        "  - choose:\n      - { when: event.x, steps: [] }\n    else: []\n",
        5,
        "a `choose` step has no `else`",
        "the last of the list: `- else: […]`",
    ),
    (
        "BS0104",
        "  - choose:\n      - { steps: [] }\n",
        4,
        "a case of `choose` must have `when`",
        "",
    ),
    (
        "BS0104",
        "  - choose:\n      - when: event.x\n",
        4,
        "a case of `choose` must have `steps`",
        "",
    ),
    (
        "BS0103",
        "  - choose:\n      - { else: [], when: event.x }\n",
        4,
        "`else` has no `when`",
        "",
    ),
    (
        "BS0105",
        "  - choose:\n      - else: []\n      - { when: event.x, steps: [] }\n",
        4,
        "`else` is not the last",
        "put it last",
    ),
    (
        "BS0105",
        "  - choose:\n      - { when: event.x, steps: { do: a } }\n",
        4,
        "`steps` must be a list of steps, and is a map",
        "",
    ),
    // each and repeat.
    (
        "BS0104",
        "  - each: a\n    steps: []\n",
        3,
        "an `each` step must have `over`",
        "",
    ),
    (
        "BS0104",
        "  - each: a\n    over: event.xs\n",
        3,
        "an `each` step must have `steps`",
        "",
    ),
    (
        "BS0105",
        "  - each: a\n    over: event.xs\n    steps: []\n    at_once: many\n",
        6,
        "`at_once` must be a whole number",
        "",
    ),
    (
        "BS0110",
        "  - each: a\n    over: event.xs\n    steps: []\n    most: 70000\n",
        6,
        "`most` is 70000, and at most 65535 is allowed",
        "",
    ),
    (
        "BS0104",
        "  - repeat: []\n",
        3,
        "a `repeat` step must have `until`",
        "",
    ),
    (
        "BS0105",
        "  - repeat: 5\n    until: true\n",
        3,
        "`repeat` must be a list of steps, and is a number",
        "",
    ),
    // set, fail, end.
    (
        "BS0105",
        "  - set: [a]\n",
        3,
        "`set` must be a map, and is a list",
        "",
    ),
    (
        "BS0203",
        "  - set:\n      a: 1\n      b: =1 +\n",
        5,
        "it ends too early",
        "",
    ),
    (
        "BS0105",
        "  - fail:\n",
        3,
        "an error code must be a text, and is nothing",
        "",
    ),
    (
        "BS0203",
        "  - end: { a: =) }\n",
        3,
        "not a CEL expression",
        "",
    ),
];

#[test]
fn what_is_wrong_in_a_verb_has_its_code_its_line_and_its_help() {
    for (code, step, line, message, help) in BROKEN {
        let source = around(step);
        let found = Definition::from_yaml(&source).expect_err(&source);
        let [only] = found.as_slice() else {
            panic!("{source}\n{found:#?}");
        };
        assert_eq!((only.code, only.line), (*code, *line), "{source}\n{only}");
        assert!(only.message.contains(message), "{source}\n{only}");
        let told = only.help.as_deref().unwrap_or_default();
        assert!(told.contains(help), "{source}\n{only}");
    }
}

#[test]
fn the_check_finds_the_place_of_what_stands_inside_steps() {
    // Each names a step that is not there, once, on the line that says so.
    for step in [
        "  - parallel:\n      a:\n        - { do: a, undo: yes }\n        - do: b\n          undo: yes\n          with: { x: =steps.nope }\n      c: [{ do: c, undo: yes }]\n",
        "  - choose:\n      - { when: event.x, steps: [] }\n      - when: event.y\n        steps:\n          - do: a\n            with: { x: =steps.nope }\n            undo: yes\n",
        "  - choose:\n      - { when: event.x, steps: [] }\n      - when: event.y && steps.nope.x\n        steps: []\n",
        "  - choose:\n      - { when: event.x, steps: [] }\n      - else:\n          - do: a\n            undo: yes\n            with: { x: =steps.nope }\n",
        "  - each: line\n    over: event.lines\n    steps:\n      - do: a\n        undo: yes\n        when: steps.nope.x\n",
        "  - repeat:\n      - do: a\n        undo: nothing\n\n        when: steps.nope.x\n    until: event.x\n",
        "  - do: a\n    undo: yes\n    on_failure:\n      - sleep: 1s\n      - do: b\n        undo: { do: c, with: [=steps.nope] }\n",
        "  - approve: a\n    on_refused:\n      - sleep: 1s\n      - do: b\n        undo: nothing\n        with: { x: { y: =steps.nope } }\n",
        "  - wait: a\n    topic: t\n    key: message.x\n    on_timeout:\n      - sleep: 1s\n      - end: { x: =steps.nope }\n    within: 1s\n",
    ] {
        let source = around(step);
        let line = 1 + source
            .lines()
            .position(|line| line.contains("steps.nope"))
            .unwrap();
        let found = Definition::from_yaml(&source).expect_err(&source);
        assert!(
            found.iter().any(|d| d.code == "BS0205" && d.line == line),
            "{source}\n{found:#?}"
        );
    }
}
