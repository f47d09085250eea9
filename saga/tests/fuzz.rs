//! Whatever is written, reading it ends, and with an answer: a million texts and a million
//! expressions, on a stack of the usual size.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a drawn seed is printed"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "that nothing takes long is what is tested; the core reads no clock"
)]

mod core_support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use backstitch_saga::Definition;
use backstitch_saga::expression::{Expression, Scope, Template};
use core_support::chance::Chance;
use serde_json::{Value, json};

/// How many inputs each test goes through.
const INPUTS: u64 = 1_000_000;
const SEED: u64 = 0x5eed;
/// The longest that one small input may take: a thousand times the usual, for busy machines.
const LIMIT: Duration = Duration::from_secs(2);

/// `SEED=… INPUTS=… cargo test -p backstitch-saga --test fuzz` draws others.
fn drawn(
    what: &str,
    mut input: impl FnMut(&mut Chance, u64) -> String,
    read: impl Fn(&str) -> bool,
) {
    let from = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seed = from("SEED").unwrap_or(SEED);
    let inputs = from("INPUTS").unwrap_or(INPUTS);
    let mut chance = Chance::from_seed(seed);
    let (mut good, mut longest) = (0_u64, Duration::ZERO);
    for n in 0..inputs {
        let input = input(&mut chance, n);
        let before = Instant::now();
        let is_good = catch_unwind(AssertUnwindSafe(|| read(&input)));
        let Ok(is_good) = is_good else {
            panic!("SEED={seed}, input {n}: {input:?}")
        };
        let took = before.elapsed();
        assert!(
            took < LIMIT,
            "SEED={seed}, input {n} took {took:?}: {input:?}"
        );
        longest = longest.max(took);
        good += u64::from(is_good);
    }
    println!("{what}: SEED={seed}, {good} of {inputs} are good, the longest took {longest:?}");
    // Both are reached.
    assert!(
        good > inputs / 50 && good < inputs - inputs / 50,
        "{good} of {inputs}"
    );
}

fn several(chance: &mut Chance, most: usize, parts: &[&str], between: &str) -> String {
    let count = 1 + chance.below(most);
    let drawn: Vec<&str> = (0..count).map(|_| *chance.of(parts)).collect();
    drawn.join(between)
}

/// Some characters are taken out, put in, changed or moved.
fn mutated(chance: &mut Chance, text: &str, odd: &[&str]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=chance.below(3) {
        if chars.is_empty() {
            break;
        }
        let at = chance.below(chars.len());
        match chance.below(4) {
            0 => drop(chars.remove(at)),
            1 => {
                let other = *chance.of(odd);
                chars.splice(at..at, other.chars()).for_each(drop);
            }
            2 => {
                let other = chance.below(chars.len());
                chars.swap(at, other);
            }
            _ => chars[at] = char::from_u32(u32::try_from(chance.below(0x250)).unwrap()).unwrap(),
        }
    }
    chars.into_iter().collect()
}

fn noise(chance: &mut Chance, most: usize) -> String {
    let count = chance.below(most);
    let bytes: Vec<u8> = (0..count)
        .map(|_| u8::try_from(chance.below(256)).unwrap())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

// ---- definitions ---------------------------------------------------------------------------

/// Steps, each on one line.
const STEPS: &[&str] = &[
    "{do: a, undo: yes}",
    "{do: b, undo: nothing, on_failure: ignore}",
    "{do: c, pivot: yes}",
    "{do: d, undo: {do: un-d, with: =result}}",
    "{do: e, undo: yes, with: {x: =event.x}}",
    "{do: f, undo: yes, timeout: 1s, retry: {attempts: 2, backoff: 1s..2s, not: [x]}}",
    "{wait: w, topic: t, key: message.k, within: 1d}",
    "{sleep: 3m}",
    "{sleep: {until: event.at}}",
    "{run: other, key: key, with: =event}",
    "{approve: x, by: [boss], on_refused: ignore, within: 1h}",
    "{set: {v: =event.x}}",
    "{fail: no, reason: '=vars.v'}",
    "{end: =event}",
    "{end: null}",
    "{parallel: {x: [{do: g, undo: yes}], y: [{fail: x}]}, need: any}",
    "{choose: [{when: event.x, steps: []}, {else: []}]}",
    "{each: i, over: event.l, at_once: 2, steps: [{do: h, undo: yes}], collect: =i}",
    "{repeat: [{do: i, undo: yes}], until: event.x, most: 3, pause: 1s}",
    "{do: j, undo: yes, when: event.x, on_failure: [{do: k, undo: yes}]}",
];

const WORDS: &[&str] = &[
    "saga: t",
    "steps:",
    "- do: a",
    "undo: yes",
    "  undo: yes",
    "- ",
    "  ",
    "\n",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a",
    "*a",
    "<<: *a",
    "!!int 1",
    "!x",
    "|",
    ">",
    "'",
    "\"",
    "#",
    "---",
    "...",
    "%YAML 1.2",
    "? a",
    "~",
    "null",
    "0x1F",
    "1e999",
    ".inf",
    "=event.x",
    "==",
    "=",
    "1s",
    "0..1s",
    "\t",
    "\u{feff}",
    "\u{0}",
    "é",
    "on: off",
    "when: true",
    "need: all",
    "choose:",
    "parallel:",
    "each: x",
    "repeat:",
    "deadline: 2d",
    "tags: {a: =key}",
    "start: [{topic: t, key: event.k}]",
    "defaults: {timeout: 1s}",
    "output: =steps.a",
];

const TOPS: &[&str] = &[
    "",
    "",
    "deadline: 2d\n",
    "tags: {a: =key}\n",
    "start: [{topic: t, key: event.k}]\n",
    "output: {x: =steps.a}\n",
    "defaults: {timeout: 1s, retry: {attempts: 1}}\n",
];

fn a_definition(chance: &mut Chance) -> String {
    let top = *chance.of(TOPS);
    let steps = several(chance, 2, STEPS, "\n- ");
    format!("saga: t\n{top}steps:\n- {steps}\n")
}

fn text(chance: &mut Chance, n: u64) -> String {
    match n % 8 {
        0 => a_definition(chance),
        1 => {
            let good = a_definition(chance);
            mutated(chance, &good, WORDS)
        }
        2 => {
            // One step only, so that little hides what is wrong with it.
            let step = mutated(
                chance,
                STEPS[usize::try_from(n / 8).unwrap() % STEPS.len()],
                WORDS,
            );
            format!("saga: t\nsteps: [{step}]")
        }
        3 | 4 => several(chance, 5, WORDS, "\n"),
        5 | 6 => several(chance, 6, WORDS, ""),
        _ => noise(chance, 24),
    }
}

#[test]
fn any_text_is_read_or_refused() {
    drawn("definitions", text, |text| {
        match Definition::from_yaml(text) {
            Ok(definition) => {
                assert_eq!(definition.hash.len(), 64);
                true
            }
            Err(found) => {
                assert!(!found.is_empty());
                for diagnostic in found {
                    assert!(
                        diagnostic.line >= 1 && diagnostic.column >= 1,
                        "{diagnostic}"
                    );
                }
                false
            }
        }
    });
}

#[test]
fn any_depth_and_any_length_is_read_or_refused() {
    let many = |text: &str, count: usize| text.repeat(count);
    for count in [10, 100, 1_000, 20_000] {
        let deep = [
            many("[", count),
            many("{a: ", count),
            many("- ", count),
            many("? ", count),
            format!("saga: t\nsteps: {}", many("[{repeat: ", count)),
            format!("saga: t\nsteps:\n{}", many("- {do: a, undo: yes}\n", count)),
            format!("a: &a [x]\n{}", many("b: [*a, *a]\n", count)),
            format!("saga: {}", many("x", count)),
            format!(
                "saga: t\nsteps: [{{do: a, undo: yes, with: {}1}}]",
                many("[", count)
            ),
            format!(
                "saga: t\nsteps: [{{do: a, undo: yes, when: '{}'}}]",
                many("(", count)
            ),
        ];
        for text in deep {
            let before = Instant::now();
            let read = Definition::from_yaml(&text);
            drop(read);
            let took = before.elapsed();
            assert!(took < 10 * LIMIT, "{took:?}: {}", &text[..40]);
        }
        for part in [
            "(", "[", "{'a':", "!", "-", "a.", "a[", "1+", "true?", "x.map(x,", "'", "event", "f(",
        ] {
            let before = Instant::now();
            let read = Expression::compile(&many(part, count));
            drop(read);
            let took = before.elapsed();
            assert!(took < 10 * LIMIT, "{took:?}: {part}");
        }
    }
}

// ---- expressions ---------------------------------------------------------------------------

const TOKENS: &[&str] = &[
    "event",
    "event.total",
    "event.lines",
    "event.m.b",
    "key",
    "steps.a",
    "steps.a.n",
    "now",
    "vars.x",
    "result",
    "failure.code",
    "message.k",
    "x",
    "y.n",
    "1",
    "0",
    "-1",
    "2u",
    "1.5",
    "1e999",
    "9223372036854775807",
    "18446744073709551615u",
    "'a'",
    "\"b\"",
    "b'\\xff'",
    "r'\\'",
    "'''",
    "true",
    "false",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
    ".",
    ".?",
    "[?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "<",
    "<=",
    "==",
    "!=",
    ">",
    "&&",
    "||",
    " in ",
    "has(event.x)",
    "has(",
    ".map(x, x)",
    ".filter(y, y)",
    ".all(x, x > 0)",
    ".exists(x, x)",
    "size(",
    ".size()",
    ".matches('a+')",
    "string(",
    "int(",
    "double(",
    "type(",
    ".contains('a')",
    ".orValue(1)",
    "optional.none()",
    "//",
    "\n",
    " ",
    "\u{0}",
    "é",
    "`a`",
    "@",
    "#",
    "$",
    "\\",
    "Msg{a: 1}",
    "[0]",
    "['k']",
    "[-1]",
];

const VALUES: &[&str] = &[
    "event.total",
    "event.lines",
    "event.m",
    "key",
    "steps.a.n",
    "1",
    "2u",
    "1.5",
    "'a'",
    "true",
    "null",
    "[]",
    "{'a': 1}",
    "now",
    "event.?z",
];

fn grown(chance: &mut Chance, depth: usize) -> String {
    if depth == 0 {
        return (*chance.of(VALUES)).to_owned();
    }
    let a = grown(chance, depth - 1);
    let b = grown(chance, 0);
    match chance.below(10) {
        0 => format!("{a} + {b}"),
        1 => format!("{a} == {b}"),
        2 => format!("({a}) * {b}"),
        3 => format!("{a} && {b}"),
        4 => format!("[{a}, {b}]"),
        5 => format!("{a} ? {b} : 1"),
        6 => format!("[{a}].map(x, [x, {b}])"),
        7 => format!("size({a})"),
        8 => format!("({a})[{b}]"),
        _ => format!("{a} < {b}"),
    }
}

fn source(chance: &mut Chance, n: u64) -> String {
    match n % 8 {
        0 => (*chance.of(TOKENS)).to_owned(),
        1 => several(chance, 3, TOKENS, ""),
        2 => several(chance, 5, TOKENS, " "),
        3 => grown(chance, 1),
        4 => {
            let good = grown(chance, 1);
            mutated(chance, &good, TOKENS)
        }
        5 => {
            let good = *chance.of(VALUES);
            mutated(chance, good, TOKENS)
        }
        6 => noise(chance, 12),
        _ => {
            let depth = chance.below(3);
            grown(chance, depth)
        }
    }
}

#[test]
fn any_expression_is_compiled_and_evaluated_or_refused() {
    let event =
        json!({ "total": 120, "lines": [1, 2, 3], "m": { "b": 2, "a": { "x": [null, true] } } });
    let steps: BTreeMap<String, Value> = BTreeMap::from([("a".to_owned(), json!({ "n": 3 }))]);
    let vars = BTreeMap::from([("x".to_owned(), json!("v"))]);
    let scope = Scope {
        steps: &steps,
        vars: &vars,
        key: "k",
        ..Scope::of_event(&event, 1)
    };
    drawn("expressions", source, |source| {
        let Ok(expression) = Expression::compile(source) else {
            return false;
        };
        match expression.evaluate(&scope) {
            Ok(value) => assert_eq!(expression.holds(&scope).ok(), value.as_bool(), "{source}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        true
    });
}

#[test]
fn any_template_is_compiled_and_filled_or_refused() {
    let event = json!({ "total": 120 });
    let scope = Scope::of_event(&event, 1);
    let mut chance = Chance::from_seed(SEED);
    for _ in 0..20_000 {
        let text = several(&mut chance, 3, TOKENS, "");
        let document = match chance.below(4) {
            0 => json!(text),
            1 => json!(format!("={text}")),
            2 => json!([format!("={text}"), { "k": text.clone() }]),
            _ => json!({ text.clone(): format!("=={text}"), "n": [null, 1.5] }),
        };
        if let Ok(template) = Template::from_value(document) {
            drop(template.evaluate(&scope));
        }
    }
}
