//! Canonical YAML of random structures: reading it gives the structure again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstitch_saga::contract::Schema;
use backstitch_saga::definition::{
    Approve, Case, Choose, Contract, Definition, Do, Each, Fail, Need, OnFailure, OtherUndo,
    Parallel, Repeat, Retry, Run, SchemaFile, Sleep, StartRule, Step, Timeout, Undo, Verb, Wait,
    walk,
};
use backstitch_saga::expression::{Expression, Template};
use serde_json::{Value, json};

const SEED: u64 = 0x5eed_0f2e_a0d3_0002;
const DRAWN: usize = 2_000;

/// SplitMix64.
struct Draw {
    state: u64,
    /// The schemas of the definition that is drawn, by path.
    files: BTreeMap<String, String>,
    /// For ids: each is another.
    named: usize,
}

/// Texts that some reader of YAML takes for something else.
const TEXTS: &[&str] = &[
    "",
    "a",
    "plain text",
    "yes",
    "No",
    "true",
    "null",
    "~",
    "1",
    "1.5",
    "0x1f",
    "1_000",
    "01",
    ".5",
    "+1",
    "1e3",
    ".inf",
    ".NaN",
    "2001-01-01",
    "12:30",
    "=",
    "==",
    "= a",
    "<<",
    "-",
    "- a",
    "?",
    ":",
    "a: b",
    "a:",
    "a #b",
    "#",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "@a",
    "`a`",
    "%a",
    "[a",
    "{a",
    "a]",
    "a}",
    "a, b",
    "'",
    "\"",
    "it's",
    "\\",
    "\\n",
    "\n",
    "a\nb\n",
    " a",
    "a ",
    "\t",
    "\r\n",
    "\u{0}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "日本",
    "😀",
    "...",
    "---",
    "é: è",
    "a\u{301}",
];

const SOURCES: &[&str] = &[
    "event.a",
    "event.total > 100",
    "5",
    "1.50",
    "-1",
    "true",
    "null",
    "[1, 2]",
    "{'a': 1}",
    "event.a ? 'x: y' : \"# z\"",
    "event.a\n  + 1",
    "\"it's\" == key",
    "r'\\d' == key",
    "has(event.a)",
    "event.l.map(x, x + 1)",
    "steps.a.b",
    "now",
    "'\\u00e9😀'",
    "event['a-b']",
    "yes",
];

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "18446744073709551615",
    "-9223372036854775808",
    "0.5",
    "1.0",
    "-0.25",
    "1e300",
    "1e-7",
    "123456.789",
];

impl Draw {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<'p>(&mut self, parts: &[&'p str]) -> &'p str {
        parts[self.below(parts.len())]
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| draw(self))
    }

    fn some<T>(&mut self, most: usize, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| draw(self)).collect()
    }

    fn text(&mut self) -> String {
        self.of(TEXTS).to_owned()
    }

    fn kebab(&mut self) -> String {
        self.of(&["charge-payment", "a", "no", "y", "ship-2"])
            .to_owned()
    }

    fn word(&mut self) -> String {
        self.named += 1;
        format!("name_{}", self.named)
    }

    fn small(&mut self) -> u16 {
        u16::try_from(1 + self.below(2_000)).unwrap()
    }

    fn ms(&mut self) -> u64 {
        let units = [1, 1_000, 60_000, 3_600_000, 86_400_000];
        let count = u64::try_from(self.below(3_000)).unwrap();
        count * units[self.below(units.len())]
    }

    fn logic(&mut self) -> Expression {
        Expression::compile(self.of(SOURCES)).unwrap()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.coin()),
            2 => serde_json::from_str(self.of(NUMBERS)).unwrap(),
            3 => match self.text() {
                // In a document this begins an expression.
                text if text.starts_with('=') => json!(format!("={text}")),
                text => json!(text),
            },
            4 => json!(format!("={}", self.of(SOURCES))),
            5 => Value::Array(self.some(3, |draw| draw.value(depth - 1))),
            _ => {
                let fields = self.some(3, |draw| (draw.text(), draw.value(depth - 1)));
                Value::Object(fields.into_iter().collect())
            }
        }
    }

    fn template(&mut self) -> Template {
        let value = self.value(3);
        Template::from_value(value).unwrap()
    }

    fn document(&mut self) -> Template {
        if self.coin() {
            Template::empty()
        } else {
            self.template()
        }
    }

    fn codes(&mut self) -> BTreeSet<String> {
        self.some(3, Self::text).into_iter().collect()
    }

    fn timeout(&mut self) -> Timeout {
        if self.coin() {
            return Timeout::default();
        }
        Timeout {
            start_ms: self.maybe(Self::ms),
            reply_ms: self.ms(),
            heartbeat_ms: self.maybe(Self::ms),
            total_ms: self.maybe(Self::ms),
        }
    }

    fn retry(&mut self) -> Retry {
        if self.coin() {
            return Retry::default();
        }
        Retry {
            attempts_max: u32::from(self.small()),
            backoff_min_ms: self.ms(),
            backoff_max_ms: self.ms(),
            jitter_percent: u8::try_from(self.below(101)).unwrap(),
            budget_ms: self.maybe(Self::ms),
            not: self.codes(),
        }
    }

    fn work(&mut self) -> Do {
        Do {
            activity: self.kebab(),
            with: self.document(),
            undo: match self.below(4) {
                0 => Undo::Same,
                1 => Undo::Nothing,
                2 => Undo::Absent,
                _ => Undo::Other(Box::new(OtherUndo {
                    activity: self.kebab(),
                    with: self.document(),
                    timeout: self.timeout(),
                    retry: self.retry(),
                })),
            },
            timeout: self.timeout(),
            retry: self.retry(),
            pivot: self.coin(),
        }
    }

    fn verb(&mut self, depth: usize) -> Verb {
        match self.below(if depth == 0 { 8 } else { 12 }) {
            0 => Verb::Do(self.work()),
            1 => Verb::Wait(Wait {
                topic: self.text(),
                key: self.logic(),
                matches: self.maybe(Self::logic),
                accept: self.maybe(Self::logic),
                input: self.maybe(Self::schema),
                early_ms: self.ms(),
                within_ms: self.maybe(Self::ms),
            }),
            2 if self.coin() => Verb::Sleep(Sleep::For(self.ms())),
            2 => Verb::Sleep(Sleep::Until(self.logic())),
            3 => Verb::Run(Run {
                saga: self.kebab(),
                key: self.maybe(Self::logic),
                with: self.document(),
            }),
            4 => Verb::Approve(Approve {
                by: self.codes(),
                show: self.document(),
                within_ms: self.maybe(Self::ms),
            }),
            5 => {
                let values = self.some(3, |draw| (draw.text(), draw.template()));
                Verb::Set(values.into_iter().collect())
            }
            6 => Verb::Fail(Fail {
                code: self.text(),
                reason: self.maybe(Self::template),
            }),
            7 => {
                let output = self.maybe(Self::template);
                // As it is read: no output and null are one.
                Verb::End(output.filter(|output| *output != Template::Literal(Value::Null)))
            }
            8 => {
                let branches = self.some(4, |draw| (draw.word(), draw.steps(depth - 1)));
                let need = match self.below(3) {
                    0 => Need::All,
                    1 => Need::Count(1),
                    _ => Need::Count(self.small()),
                };
                Verb::Parallel(Parallel { branches, need })
            }
            9 => Verb::Choose(Choose {
                cases: self.some(3, |draw| Case {
                    when: draw.logic(),
                    steps: draw.steps(depth - 1),
                }),
                otherwise: self.maybe(|draw| draw.steps(depth - 1)),
            }),
            10 => Verb::Each(Each {
                item: self.text(),
                over: self.logic(),
                at_once: self.small(),
                items_max: self.small(),
                steps: self.steps(depth - 1),
                collect: self.maybe(Self::template),
            }),
            _ => Verb::Repeat(Repeat {
                steps: self.steps(depth - 1),
                until: self.logic(),
                rounds_max: self.small(),
                pause_ms: self.ms(),
            }),
        }
    }

    fn reaction(&mut self, depth: usize) -> OnFailure {
        match self.below(4) {
            0 => OnFailure::Ignore,
            1 => OnFailure::Park,
            2 if depth > 0 => OnFailure::Steps(self.steps(depth - 1)),
            _ => OnFailure::TurnBack,
        }
    }

    fn step(&mut self, depth: usize) -> Step {
        let verb = self.verb(depth);
        let waits = matches!(verb, Verb::Wait(_) | Verb::Approve(_));
        let asks = matches!(verb, Verb::Approve(_));
        // Some as if they had been numbered, some as if by the verb, some of their own.
        let id = match (self.below(3), &verb) {
            (0, Verb::Do(work)) => work.activity.replace('-', "_"),
            (0, verb) => format!("{}_{}", verb.name(), 1 + self.below(4)),
            _ => self.word(),
        };
        Step {
            id,
            when: self.maybe(Self::logic),
            on_failure: self.reaction(depth),
            on_timeout: self.maybe(|draw| draw.reaction(depth)).filter(|_| waits),
            on_refused: self.maybe(|draw| draw.reaction(depth)).filter(|_| asks),
            verb,
        }
    }

    fn steps(&mut self, depth: usize) -> Vec<Step> {
        self.some(3, |draw| draw.step(depth))
    }

    fn schema(&mut self) -> SchemaFile {
        let path = format!("{}/{}.avsc", self.word(), self.files.len());
        let text = self.of(&["\"string\"", "{ \"type\": \"array\", \"items\": \"long\" }"]);
        self.files.insert(path.clone(), text.to_owned());
        SchemaFile {
            path,
            schema: Some(Arc::new(Schema::parse(text).unwrap())),
        }
    }

    fn definition(&mut self) -> Definition {
        self.files.clear();
        let named = self.below(3) == 0;
        let activities = self.some(2, |draw| {
            let contract = Contract {
                input: draw.maybe(Self::schema),
                output: draw.maybe(Self::schema),
                errors: draw.codes(),
            };
            (draw.word(), contract)
        });
        let tags = self.some(3, |draw| (draw.word(), draw.template()));
        let mut definition = Definition {
            name: self.kebab(),
            start: self.some(2, |draw| StartRule {
                topic: draw.text(),
                when: draw.maybe(Self::logic),
                key: draw.logic(),
            }),
            input: named.then(|| self.schema()),
            activities: activities.into_iter().collect(),
            tags: tags.into_iter().collect(),
            deadline_ms: self.maybe(Self::ms),
            steps: vec![self.step(4)],
            output: self.maybe(Self::template),
            ..Definition::default()
        };
        definition.steps.extend(self.steps(4));
        definition.source = definition.to_yaml();
        // Not all that is drawn stays.
        definition.files = std::mem::take(&mut self.files);
        let source = &definition.source;
        definition
            .files
            .retain(|path, _| source.contains(path.as_str()));
        definition
    }
}

/// `SEED=… cargo test -p backstitch-saga --test definition_yaml drawn` draws others.
#[test]
fn reading_what_is_written_gives_the_same_structure() {
    let seed = std::env::var("SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("SEED={seed}");
    let mut draw = Draw {
        state: seed,
        files: BTreeMap::new(),
        named: 0,
    };
    let mut hashes = BTreeSet::new();
    let (mut steps, mut bytes) = (0, 0);
    for n in 0..DRAWN {
        let mut drawn = draw.definition();
        let read = Definition::from_stored(&drawn.stored()).unwrap_or_else(|found| {
            panic!("SEED={seed}, number {n}: {}\n{}", found[0], drawn.source)
        });
        drawn.hash.clone_from(&read.hash);
        assert!(
            read == drawn,
            "SEED={seed}, number {n}\n{}\n{read:#?}",
            drawn.source
        );
        // The same structure is written in the same way.
        assert_eq!(read.to_yaml(), drawn.source, "SEED={seed}, number {n}");
        hashes.insert(read.hash);
        bytes += drawn.source.len();
        walk(&drawn.steps, &mut |_| steps += 1);
    }
    println!("{DRAWN} definitions of {steps} steps in all, {bytes} bytes");
    assert!(hashes.len() > DRAWN * 9 / 10 && steps > 5 * DRAWN);
}
