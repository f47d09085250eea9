//! Whatever is written, reading it ends, and with an answer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a drawn seed is printed"
)]

use std::collections::BTreeMap;

use backstitch_saga::Definition;
use backstitch_saga::expression::{Expression, Scope};
use serde_json::{Value, json};

const SEED: u64 = 0x5eed_0f2e_a0d3_0001;

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn of<'p>(&mut self, parts: &[&'p str]) -> &'p str {
        parts[self.below(parts.len())]
    }
}

/// `SEED=… cargo test -p backstitch-saga --test definition_garbage` draws others.
fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("SEED={seed}");
    seed
}

/// `DRAWS=1000000 cargo test …` draws so many instead.
fn draws(usual: usize) -> usize {
    std::env::var("DRAWS").map_or(usual, |text| text.parse().unwrap())
}

const TOKENS: &[&str] = &[
    "event",
    "event.total",
    "event.lines",
    "event.m",
    "key",
    "steps.a",
    "steps",
    "now",
    "vars.x",
    "result",
    "x",
    "y",
    "x.n",
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
    "\"\"\"",
    "'\\u00e9'",
    "'\\x'",
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
    ".map(x, x > 1, x)",
    ".filter(y, y)",
    ".all(x, x > 0)",
    ".exists(x, x)",
    ".exists_one(x, x == 1)",
    ".map(",
    "size(",
    ".size()",
    ".matches('a+')",
    ".matches('(')",
    "string(",
    "int(",
    "uint(",
    "double(",
    "bytes(",
    "type(",
    "dyn(",
    ".contains('a')",
    ".orValue(1)",
    ".value()",
    "optional.of(",
    "optional.none()",
    ".optMap(x, x)",
    "int",
    "list",
    "//",
    "\n",
    " ",
    "\t",
    "\u{0}",
    "é",
    "\u{1f600}",
    "`a`",
    "@",
    "#",
    "$",
    "\\",
    "if",
    "for",
    "in",
    "Msg{a: 1}",
    ".a",
    ".b.c",
    "[0]",
    "['k']",
    "[-1]",
    "[event.total]",
];

fn tokens(draw: &mut Draw) -> String {
    let len = 1 + draw.below(14);
    (0..len).map(|_| draw.of(TOKENS)).collect()
}

/// Mostly well-formed, so that evaluation is reached.
fn grown(draw: &mut Draw, depth: usize) -> String {
    if depth == 0 {
        return draw
            .of(&[
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
                "[1, 'a']",
                "{'a': 1}",
                "b'a'",
                "now",
                "event.?z",
                "event.m.b",
            ])
            .to_owned();
    }
    let a = grown(draw, depth - 1);
    let below = draw.below(depth);
    let b = grown(draw, below);
    match draw.below(12) {
        0 => format!("({a} + {b})"),
        1 => format!("({a} * {b})"),
        2 => format!("({a} == {b} ? {a} : {b})"),
        3 => format!("({a} && {b} || !{a})"),
        4 => format!("[{a}, {b}]"),
        5 => format!("{{'k': {a}, {b}: 1}}"),
        6 => format!("[{a}, {b}].map(x, [x, {b}])"),
        7 => format!("({a}).filter(y, y == {b})"),
        8 => format!("size({a})"),
        9 => format!("({a})[{b}]"),
        10 => format!("({a} < {b})"),
        _ => format!("string({a})"),
    }
}

fn mutated(draw: &mut Draw, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=draw.below(4) {
        if chars.is_empty() {
            break;
        }
        let at = draw.below(chars.len());
        match draw.below(4) {
            0 => {
                chars.remove(at);
            }
            1 => chars.insert(at, draw.of(TOKENS).chars().next().unwrap()),
            2 => {
                let other = draw.below(chars.len());
                chars.swap(at, other);
            }
            _ => {
                chars[at] = char::from_u32(u32::try_from(draw.below(0x250)).unwrap()).unwrap_or('x')
            }
        }
    }
    chars.into_iter().collect()
}

/// What a source gives, as text: a value, an error or a refusal.
fn outcome(source: &str) -> String {
    let expression = match Expression::compile(source) {
        Ok(expression) => expression,
        Err(error) => return format!("refused: {error} at {:?}", error.offset),
    };
    let event = json!({
        "total": 120,
        "lines": [1, 2, 3],
        "m": { "c": 1, "b": 2, "a": { "x": [null, true] } },
    });
    let steps: BTreeMap<String, Value> = BTreeMap::from([("a".to_owned(), json!({ "n": 3 }))]);
    let scope = Scope {
        steps: &steps,
        key: "k",
        ..Scope::of_event(&event, 1)
    };
    match (expression.evaluate(&scope), expression.holds(&scope)) {
        (Ok(value), Ok(truth)) => {
            assert_eq!(value, Value::Bool(truth), "{source}");
            value.to_string()
        }
        (Ok(value), Err(error)) => {
            assert!(!value.is_boolean(), "{source}: {error}");
            value.to_string()
        }
        (Err(error), _) => error.to_string(),
    }
}

#[test]
fn any_source_of_an_expression_gets_the_same_answer_twice() {
    let mut draw = Draw(seed());
    let all = draws(20_000);
    let mut values = 0_usize;
    let mut refused = 0_usize;
    for n in 0..all {
        let source = match n % 4 {
            0 => tokens(&mut draw),
            1 => {
                let grown = grown(&mut draw, 3);
                mutated(&mut draw, &grown)
            }
            _ => {
                let depth = 1 + draw.below(3);
                grown(&mut draw, depth)
            }
        };
        let answer = outcome(&source);
        values += usize::from(!answer.starts_with("refused") && !answer.starts_with("cannot"));
        refused += usize::from(answer.starts_with("refused"));
        // Maps of CEL have another order each time; no answer may show it.
        assert_eq!(answer, outcome(&source), "{source}");
    }
    // The draw reaches all three: values, errors of evaluation, refusals.
    println!("{values} values, {refused} refused of {all}");
    assert!(values > all / 20 && refused > all / 20 && values + refused < all - all / 20);
}

const GOOD: [&str; 2] = [
    include_str!("../../orchestrator/definitions/order.yaml"),
    include_str!("definition_yaml/every_verb.yaml"),
];

#[test]
fn any_text_gets_an_answer_as_a_definition() {
    let mut draw = Draw(seed());
    let all = draws(3_000);
    let mut wrong = 0;
    for n in 0..all {
        let good = GOOD[draw.below(GOOD.len())];
        let lines: Vec<&str> = good.lines().collect();
        let text = match n % 3 {
            0 => {
                let mut lines = lines.clone();
                let from = draw.below(lines.len());
                let line = lines.remove(from);
                if draw.below(2) == 0 {
                    let to = draw.below(lines.len());
                    lines.insert(to, line);
                }
                lines.join("\n")
            }
            1 => mutated(&mut draw, good),
            _ => {
                let len = draw.below(good.len());
                let cut: String = good.chars().take(len).collect();
                mutated(&mut draw, &cut)
            }
        };
        match Definition::from_yaml_named("drawn.yaml", &text) {
            Ok(definition) => {
                // What is good is good in its canonical form too, and is the same.
                let canonical = Definition::from_yaml(&definition.to_yaml());
                assert_eq!(canonical.unwrap().hash, definition.hash, "{text}");
            }
            Err(found) => {
                wrong += 1;
                assert!(!found.is_empty(), "{text}");
                for diagnostic in found {
                    assert!(diagnostic.is_error());
                    assert!(
                        diagnostic.line >= 1 && diagnostic.column >= 1,
                        "{diagnostic}\n{text}"
                    );
                    assert!(!diagnostic.to_string().is_empty());
                }
            }
        }
    }
    println!("{wrong} of {all} wrong");
    assert!(wrong > all / 3 && wrong < all, "{wrong}");
}
