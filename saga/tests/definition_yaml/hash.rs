//! What the hash is of.

use std::collections::BTreeSet;

use backstitch_saga::definition::{Definition, Undo, Verb};

use super::read;

const HASHED: &str = "saga: s
start:
  - { topic: orders, when: event.a, key: event.id }
tags: { customer: =event.customer }
deadline: 1h
defaults: { timeout: 60s }
steps:
  - do: a
    with: { x: =event.x, y: [1, two, =key] }
    undo: { do: b, with: { z: =result.z } }
    retry: { attempts: 3, backoff: 1s..60s }
  - do: c
    pivot: true
output: { done: true }
";

#[test]
fn the_hash_is_of_the_structure_and_not_of_the_text() {
    let hash = read(HASHED).hash;
    assert_eq!(hash.len(), 64);
    assert!(hash.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    // Pinned: running sagas are bound to it.
    assert_eq!(hash, PINNED);

    for (from, to) in [
        ("saga: s\n", "# why\nsaga: s # name\n"),
        ("deadline: 1h", "deadline: 60m"),
        ("backoff: 1s..60s", "backoff: 1000ms..1m"),
        ("timeout: 60s }", "timeout: 1m, retry: { jitter: 20 } }"),
        (
            "{ attempts: 3, backoff: 1s..60s }",
            "{ backoff: 1s..60s, attempts: 3 }",
        ),
        (
            "{ x: =event.x, y: [1, two, =key] }",
            "{ y: [1, \"two\", '=key'], x: '= event.x ' }",
        ),
        (
            "    pivot: true\n",
            "    id: c\n    pivot: yes\n    timeout: 1m\n    with: {}\n",
        ),
        (
            "  - { topic: orders, when: event.a, key: event.id }\n",
            "  { topic: orders, key: event.id, when: event.a }\n",
        ),
    ] {
        let other = HASHED.replace(from, to);
        assert_ne!(other, HASHED, "{from}");
        assert_eq!(read(&other).hash, hash, "{from} → {to}");
    }

    let mut seen = BTreeSet::from([hash]);
    for (from, to) in [
        ("saga: s", "saga: t"),
        ("topic: orders", "topic: other"),
        ("when: event.a", "when: event.b"),
        ("key: event.id", "key: event.no"),
        ("when: event.a, ", ""),
        ("customer: =", "client: ="),
        ("=event.customer", "event_customer"),
        ("deadline: 1h", "deadline: 61m"),
        ("timeout: 60s", "timeout: 61s"),
        ("do: a\n", "do: d\n    id: a\n"),
        ("do: a\n", "do: a\n    id: d\n"),
        ("do: a\n", "do: a\n    when: event.a\n"),
        ("do: a\n", "do: a\n    on_failure: park\n"),
        ("do: a\n", "do: a\n    on_failure: ignore\n"),
        ("=event.x", "==event.x"),
        ("=event.x", "=event.y"),
        ("[1, two, =key]", "[1, =key, two]"),
        ("[1, two, =key]", "[1.0, two, =key]"),
        ("[1, two, =key]", "['1', two, =key]"),
        ("{ do: b, with: { z: =result.z } }", "yes"),
        ("{ do: b, with: { z: =result.z } }", "nothing"),
        ("{ do: b, with", "{ do: e, with"),
        ("{ do: b, with", "{ do: b, timeout: 1s, with"),
        ("{ do: b, with", "{ do: b, retry: { attempts: 2 }, with"),
        ("attempts: 3", "attempts: 4"),
        ("1s..60s", "2s..60s"),
        ("1s..60s", "1s..61s"),
        ("1s..60s", "1s..60s, jitter: 21"),
        ("1s..60s", "1s..60s, budget: 1h"),
        ("1s..60s", "1s..60s, not: [x]"),
        ("do: c\n", "do: c\n    undo: nothing\n"),
        ("do: c\n", "do: c\n    undo: yes\n"),
        ("    pivot: true\n", "    undo: nothing\n"),
        ("deadline: 1h", "deadline: 1h\ninput: a.avsc"),
        ("output: { done: true }", ""),
        ("done: true", "done: false"),
    ] {
        let other = HASHED.replacen(from, to, 1);
        assert_ne!(other, HASHED, "{from}");
        assert!(seen.insert(read(&other).hash), "{from} → {to}");
    }
}

const PINNED: &str = "c6b9a5c122e3ce0b68d7168c967688fa94d202b5510b46dadd7c167d3af13473";

/// Every verb, and every key of each.
const VERBS: &str = include_str!("every_verb.yaml");

#[test]
fn the_hash_is_of_all_verbs_and_all_that_is_in_them() {
    let hash = read(VERBS).hash;
    // Pinned: running sagas are bound to it.
    assert_eq!(hash, PINNED_VERBS);
    for (from, to) in [
        ("most: 20\n    steps", "most: 20\n    id: each_1\n    steps"),
        ("need: any", "need: 1"),
        ("[r1, r2]", "[r2, r1]"),
        (
            "within: 8s\n    on_timeout: ignore",
            "on_timeout: ignore\n    within: 8000ms",
        ),
        ("set: { v: 1 }", "{ set: { v: 1 }, on_failure: turn_back }"),
    ] {
        let other = VERBS.replacen(from, to, 1);
        assert_ne!(other, VERBS, "{from}");
        assert_eq!(read(&other).hash, hash, "{from} → {to}");
    }

    let mut seen = BTreeSet::from([hash]);
    for (from, to) in [
        ("errors: [e1]", "errors: [e2]"),
        ("{ errors: [e1] }", "{ input: x.avsc, errors: [e1] }"),
        ("{ errors: [e1] }", "{ output: x.avsc, errors: [e1] }"),
        ("start: 1s", "start: 10s"),
        ("reply: 2s", "reply: 10s"),
        ("heartbeat: 3s", "heartbeat: 10s"),
        ("total: 4s", "total: 10s"),
        ("      one:", "      uno:"),
        ("need: any", "need: 2"),
        ("need: any", "need: all"),
        ("    need: any", "    need: any\n    id: both"),
        ("when: event.a", "when: event.c"),
        ("sleep: 5s", "sleep: 50s"),
        ("sleep: { until: event.at }", "sleep: 5s"),
        ("event.at", "event.by"),
        ("else: [{ sleep", "else: [{ fail: x }, { sleep"),
        ("      - else: []\n", ""),
        ("each: line", "each: item"),
        ("event.lines", "event.items"),
        ("at_once: 2", "at_once: 3"),
        ("most: 20", "most: 21"),
        ("do: c", "do: c2"),
        ("    collect: =line\n", ""),
        ("collect: =line", "collect: line"),
        ("do: d", "do: d2"),
        ("event.until", "event.til"),
        ("most: 30", "most: 31"),
        ("pause: 6s", "pause: 60s"),
        ("wait: w", "wait: w2"),
        ("topic: t", "topic: t2"),
        ("message.k", "message.l"),
        ("    match: event.m\n", ""),
        ("event.m", "event.n"),
        ("    accept: message.a\n", ""),
        ("message.a", "message.b"),
        ("early: 7s", "input: x.avsc\n    early: 7s"),
        ("early: 7s", "early: 70s"),
        ("within: 8s", "within: 80s"),
        ("on_timeout: ignore", "on_timeout: park"),
        ("on_timeout: ignore", "on_timeout: turn_back"),
        ("    on_timeout: ignore\n", ""),
        ("run: r", "run: r2"),
        ("key: event.rk, ", ""),
        ("event.rk", "event.rl"),
        ("rw: 1", "rw: 2"),
        ("approve: p", "approve: p2"),
        ("by: [r1, r2]", "by: [r1]"),
        ("sh: 1", "sh: 2"),
        ("within: 9s", "within: 90s"),
        ("on_timeout: park, ", ""),
        (", on_refused: [{ fail: nope }]", ""),
        ("on_refused: [{ fail: nope }]", "on_refused: park"),
        ("fail: nope", "fail: never"),
        ("set: { v: 1 }", "set: { v: 2 }"),
        ("set: { v: 1 }", "set: { w: 1 }"),
        ("fail: code", "fail: kode"),
        (", reason: because", ""),
        ("reason: because", "reason: why"),
        ("on_failure: [{", "on_failure: [{ sleep: 1s }, {"),
        ("end: { out: 1 }", "end: { out: 2 }"),
        ("end: { out: 1 }", "end: "),
    ] {
        let other = VERBS.replacen(from, to, 1);
        assert_ne!(other, VERBS, "{from}");
        // The hash of a structure that a check might refuse counts as well.
        let hash = Definition::from_stored(&other).expect(from).hash;
        assert!(seen.insert(hash), "{from} → {to}");
    }
    // Branches have positions in the state of a saga.
    let swapped = VERBS
        .replace("      one:", "      x:")
        .replace("      two:", "      one:");
    let swapped = Definition::from_stored(&swapped.replace("      x:", "      two:"));
    assert!(seen.insert(swapped.unwrap().hash));
}

const PINNED_VERBS: &str = "12e1b55779791406665c76822870094268770c6aa78affd5c3360c40355be537";

#[test]
fn a_definition_can_be_built_and_checked_without_a_text() {
    let mut built = read(HASHED);
    let hash = std::mem::take(&mut built.hash);
    let (checked, warnings) = built.clone().checked().unwrap();
    assert_eq!(checked.hash, hash);
    assert_eq!(warnings, []);

    let Verb::Do(first) = &mut built.steps[0].verb else {
        panic!("it asks no worker")
    };
    first.undo = Undo::Absent;
    let found = built.checked().unwrap_err();
    assert_eq!((found[0].code, found[0].line), ("BS0207", 0));
    assert!(found[0].to_string().contains("before the pivot (`c`)"));
}
