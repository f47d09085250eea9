//! Each construct, in YAML and in Rust.

use std::collections::BTreeSet;

use backstitch_saga::definition::{
    Approve, Case, Choose, Contract, Definition, Do, Each, Fail, Need, OnFailure, Parallel, Repeat,
    Retry, Run, Sleep, StartRule, Step, Timeout, Undo, Verb, Wait, walk,
};

use backstitch_saga::expression::Template;

use super::examples::{EXAMPLES, files};

fn read(yaml: &str) -> Definition {
    Definition::from_yaml_with("example.yaml", yaml, &files()).unwrap_or_else(|found| {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        panic!("{yaml}\n{}", shown.join("\n"))
    })
}

#[test]
fn yaml_and_rust_give_the_same_structure() {
    for example in EXAMPLES {
        let about = example.about;
        let mut read = read(example.yaml);
        let built = (example.rust)().build().unwrap_or_else(|found| {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            panic!("{about}\n{}", shown.join("\n"))
        });
        assert_eq!(built.source, built.to_yaml(), "{about}");
        read.source.clone_from(&built.source);
        assert_eq!(read, built, "{about}");
    }
}

#[test]
fn a_built_definition_can_be_stored_and_read_again() {
    for example in EXAMPLES {
        let built = (example.rust)().build().unwrap();
        assert_eq!(Definition::from_stored(&built.stored()).unwrap(), built);
        assert_eq!(read(&built.source), built, "{}", example.about);
    }
}

#[test]
fn ids_that_are_not_written_are_numbered_in_the_order_of_the_text() {
    let example = EXAMPLES.last().unwrap();
    let definition = read(example.yaml);
    let mut ids = Vec::new();
    walk(&definition.steps, &mut |step| ids.push(step.id.as_str()));
    assert_eq!(
        ids,
        [
            "sleep_1", "choose_1", "nap", "sleep_2", "sleep_3", "sleep_4"
        ]
    );
    let canonical = definition.to_yaml();
    assert!(!canonical.contains("id: sleep"), "{canonical}");
    assert!(canonical.contains("id: nap"), "{canonical}");
}

/// What must be among the examples. A new part of the structure does not compile here before it is
/// marked below.
const MARKS: &[&str] = &[
    "approve",
    "approve by",
    "approve show",
    "approve within",
    "choose",
    "choose else",
    "choose without else",
    "collect",
    "contract",
    "contract errors",
    "contract input",
    "contract output",
    "deadline",
    "do",
    "each",
    "end",
    "end with an output",
    "fail",
    "ignore",
    "input",
    "need a number",
    "need all",
    "need any",
    "on refused",
    "on timeout",
    "output",
    "parallel",
    "park",
    "pivot",
    "reason",
    "repeat",
    "repeat pause",
    "retry attempts",
    "retry backoff",
    "retry budget",
    "retry jitter",
    "retry not",
    "run",
    "run key",
    "set",
    "sleep for",
    "sleep until",
    "start",
    "start when",
    "steps on failure",
    "tag",
    "timeout heartbeat",
    "timeout reply",
    "timeout start",
    "timeout total",
    "turn back",
    "undo absent",
    "undo nothing",
    "undo other",
    "undo same",
    "wait",
    "wait accept",
    "wait early",
    "wait input",
    "wait match",
    "wait within",
    "when",
];

#[test]
fn no_part_of_the_structure_is_without_an_example() {
    let mut seen = BTreeSet::new();
    for example in EXAMPLES {
        of_definition(&read(example.yaml), &mut seen);
    }
    let wanted: BTreeSet<&str> = MARKS.iter().copied().collect();
    assert_eq!(seen, wanted);
}

type Marks = BTreeSet<&'static str>;

fn mark(mark: &'static str, there: bool, seen: &mut Marks) {
    if there {
        seen.insert(mark);
    }
}

fn of_definition(definition: &Definition, seen: &mut Marks) {
    let Definition {
        name: _,
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
    for StartRule {
        topic: _,
        when,
        key: _,
    } in start
    {
        mark("start", true, seen);
        mark("start when", when.is_some(), seen);
    }
    for Contract {
        input,
        output,
        errors,
    } in activities.values()
    {
        mark("contract", true, seen);
        mark("contract input", input.is_some(), seen);
        mark("contract output", output.is_some(), seen);
        mark("contract errors", !errors.is_empty(), seen);
    }
    mark("input", input.is_some(), seen);
    mark("tag", !tags.is_empty(), seen);
    mark("deadline", deadline_ms.is_some(), seen);
    mark("output", output.is_some(), seen);
    walk(steps, &mut |step| of_step(step, seen));
}

fn of_step(
    Step {
        id: _,
        when,
        on_failure,
        on_timeout,
        on_refused,
        verb,
    }: &Step,
    seen: &mut Marks,
) {
    mark("when", when.is_some(), seen);
    mark("on timeout", on_timeout.is_some(), seen);
    mark("on refused", on_refused.is_some(), seen);
    seen.insert(match on_failure {
        OnFailure::TurnBack => "turn back",
        OnFailure::Ignore => "ignore",
        OnFailure::Park => "park",
        OnFailure::Steps(_) => "steps on failure",
    });
    match verb {
        Verb::Do(work) => of_work(work, seen),
        Verb::Parallel(Parallel { branches: _, need }) => {
            mark("parallel", true, seen);
            seen.insert(match need {
                Need::All => "need all",
                Need::Count(1) => "need any",
                Need::Count(_) => "need a number",
            });
        }
        Verb::Choose(Choose { cases, otherwise }) => {
            for Case { when: _, steps: _ } in cases {
                mark("choose", true, seen);
            }
            mark("choose else", otherwise.is_some(), seen);
            mark("choose without else", otherwise.is_none(), seen);
        }
        Verb::Each(Each {
            item: _,
            over: _,
            at_once,
            items_max,
            steps: _,
            collect,
        }) => {
            mark("each", *at_once != 10 && *items_max != 1_000, seen);
            mark("collect", collect.is_some(), seen);
        }
        Verb::Repeat(Repeat {
            steps: _,
            until: _,
            rounds_max,
            pause_ms,
        }) => {
            mark("repeat", *rounds_max != 100, seen);
            mark("repeat pause", *pause_ms > 0, seen);
        }
        Verb::Wait(wait) => of_wait(wait, seen),
        Verb::Sleep(Sleep::For(_)) => mark("sleep for", true, seen),
        Verb::Sleep(Sleep::Until(_)) => mark("sleep until", true, seen),
        Verb::Run(Run {
            saga: _,
            key,
            with: _,
        }) => {
            mark("run", true, seen);
            mark("run key", key.is_some(), seen);
        }
        Verb::Approve(Approve {
            by,
            show,
            within_ms,
        }) => {
            mark("approve", true, seen);
            mark("approve by", !by.is_empty(), seen);
            mark("approve show", *show != Template::empty(), seen);
            mark("approve within", within_ms.is_some(), seen);
        }
        Verb::Set(_) => mark("set", true, seen),
        Verb::Fail(Fail { code: _, reason }) => {
            mark("fail", true, seen);
            mark("reason", reason.is_some(), seen);
        }
        Verb::End(None) => mark("end", true, seen),
        Verb::End(Some(_)) => mark("end with an output", true, seen),
    }
}

fn of_wait(
    Wait {
        topic: _,
        key: _,
        matches,
        accept,
        input,
        early_ms,
        within_ms,
    }: &Wait,
    seen: &mut Marks,
) {
    mark("wait", true, seen);
    mark("wait match", matches.is_some(), seen);
    mark("wait accept", accept.is_some(), seen);
    mark("wait input", input.is_some(), seen);
    mark("wait early", *early_ms != 3_600_000, seen);
    mark("wait within", within_ms.is_some(), seen);
}

fn of_work(
    Do {
        activity: _,
        with: _,
        undo,
        timeout,
        retry,
        pivot,
    }: &Do,
    seen: &mut Marks,
) {
    mark("do", true, seen);
    mark("pivot", *pivot, seen);
    seen.insert(match undo {
        Undo::Same => "undo same",
        Undo::Other(_) => "undo other",
        Undo::Nothing => "undo nothing",
        Undo::Absent => "undo absent",
    });
    let Timeout {
        start_ms,
        reply_ms,
        heartbeat_ms,
        total_ms,
    } = timeout;
    mark("timeout start", start_ms.is_some(), seen);
    mark("timeout reply", *reply_ms != 30_000, seen);
    mark("timeout heartbeat", heartbeat_ms.is_some(), seen);
    mark("timeout total", total_ms.is_some(), seen);
    let built_in = Retry::default();
    let Retry {
        attempts_max,
        backoff_min_ms,
        backoff_max_ms,
        jitter_percent,
        budget_ms,
        not,
    } = retry;
    let backoff = (*backoff_min_ms, *backoff_max_ms);
    let default = (built_in.backoff_min_ms, built_in.backoff_max_ms);
    mark(
        "retry attempts",
        *attempts_max != built_in.attempts_max,
        seen,
    );
    mark("retry backoff", backoff != default, seen);
    mark(
        "retry jitter",
        *jitter_percent != built_in.jitter_percent,
        seen,
    );
    mark("retry budget", budget_ms.is_some(), seen);
    mark("retry not", !not.is_empty(), seen);
}
