//! What an expression gives, and what cannot be right in it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a drawn seed is printed"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use backstitch_saga::contract::Schema;
use backstitch_saga::expression::{Expression, Scope, Template, Type, TypeScope};
use serde_json::{Value, json};

const SEED: u64 = 0x7e9e_d000_0000_0001;

fn order() -> Arc<Schema> {
    let schema = json!({ "type": "record", "name": "shop.Order", "fields": [
        { "name": "order_id", "type": "string" },
        { "name": "total", "type": "long" },
        { "name": "weight", "type": "double" },
        { "name": "express", "type": "boolean" },
        { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"] } },
        { "name": "coupon", "type": ["null", { "type": "record", "name": "Coupon", "fields": [
            { "name": "code", "type": "string" },
            { "name": "percent", "type": ["null", "int"] },
        ] }] },
        { "name": "lines", "type": { "type": "array", "items": { "type": "record", "name": "Line", "fields": [
            { "name": "sku", "type": "string" },
            { "name": "n", "type": "int" },
            { "name": "note", "type": ["null", "string"] },
        ] } } },
        { "name": "labels", "type": { "type": "map", "values": "string" } },
        { "name": "parent", "type": ["null", "Order"] },
    ] });
    Arc::new(Schema::parse(&schema.to_string()).unwrap())
}

/// The type, and what is found: rule and place, and what is written there.
fn typed(source: &str) -> (String, Vec<String>) {
    let of_event = Type::of_schema(&order());
    let scope = TypeScope::of_event(&of_event);
    let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    let (of, problems) = expression.type_in(&scope);
    let problems = problems
        .into_iter()
        .map(|problem| {
            let written: String = source
                .chars()
                .skip(problem.offset)
                .take(problem.len)
                .collect();
            format!("{:?} {written}: {}", problem.rule, problem.message)
        })
        .collect();
    (of.as_result().to_string(), problems)
}

#[test]
fn an_expression_without_a_mistake_has_its_type_and_nothing_to_say() {
    for (source, told) in [
        ("event.total", "an int"),
        ("event.total * 2 + 1", "an int"),
        ("event.weight * 2.0", "a double"),
        ("double(event.total) * 1.5", "a double"),
        ("'n-' + event.order_id", "a string"),
        ("'n-' + string(event.total)", "a string"),
        ("event.total > 100 && event.express", "a boolean"),
        ("event.total < event.weight", "a boolean"),
        ("event.status == 'PAID'", "a boolean"),
        ("event.status in ['PAID', 'OPEN']", "a boolean"),
        ("event.lines[0].sku", "a string"),
        ("event.lines.map(l, l.n * 2)", "a list"),
        ("event.lines.map(l, l.n)[0] + 1", "an int"),
        ("event.lines.filter(l, l.n > 1)[0].sku", "a string"),
        ("event.lines.all(l, l.n > 0)", "a boolean"),
        ("event.lines.exists_one(l, l.sku == 'a')", "a boolean"),
        ("size(event.lines) > 0", "a boolean"),
        ("event.labels['a'] + 'b'", "a string"),
        ("event.labels.map(k, event.labels[k])", "a list"),
        ("'a' in event.labels", "a boolean"),
        ("event.?coupon.code", "a string or null"),
        ("event.?coupon.code.orValue('none')", "a string"),
        (
            "event.coupon != null && event.coupon.code == 'X'",
            "a boolean",
        ),
        (
            "event.coupon == null || event.coupon.code == 'X'",
            "a boolean",
        ),
        (
            "event.coupon == null ? 'none' : event.coupon.code",
            "a string",
        ),
        (
            "!(event.coupon == null) && event.coupon.code == 'X'",
            "a boolean",
        ),
        ("event.parent.parent == null || true", "a boolean"),
        ("event.?brand_new_thing", "anything or null"),
        (
            "event.lines.filter(l, l.note != null).map(m, m.note + '!')",
            "a list",
        ),
        ("has(event.coupon) ? 1 : 2", "an int"),
        ("{'a': event.total}.a", "an int"),
        ("[1, 'a'][0] + 1", "an int"),
        ("event.express ? 1 : 'a'", "an int or a string"),
        ("now + 5", "an int"),
        ("key + '!'", "a string"),
        ("unknown.field + 1", "anything"),
        ("steps.x.y * steps.z.a", "anything"),
        ("event.total == null", "a boolean"),
        ("type(event.total) == int", "a boolean"),
        ("event.lines + [event.lines[0]]", "a list"),
        ("event.lines.map(l, l.n) + []", "a list"),
        ("optional.of(event.total).orValue(2) + 1", "an int"),
        (
            "event.parent != null ? event.parent.total + 1 : 0",
            "an int",
        ),
    ] {
        let (of, problems) = typed(source);
        if source != "event.parent.parent == null || true" {
            assert_eq!(problems, [""; 0], "{source}");
        }
        let told = if told.starts_with("anything") {
            "anything"
        } else {
            told
        };
        assert_eq!(of, told, "{source}");
    }
}

#[test]
fn what_cannot_be_right_is_found_at_its_place() {
    for (source, found) in [
        (
            "event.totl > 5",
            "UnknownField totl: `event` has no field `totl`",
        ),
        (
            "1 + event.lines[0].skuu",
            "UnknownField skuu: `event.lines[0]` has no field `skuu`",
        ),
        (
            "event['totl']",
            "UnknownField 'totl': `event` has no field `totl`",
        ),
        (
            "event.lines.map(l, l.nn)",
            "UnknownField nn: `l` has no field `nn`",
        ),
        (
            "event.order_id.length",
            "NoParts length: `event.order_id` is a string and has no field `length`",
        ),
        (
            "event.lines.sku",
            "NoParts sku: `event.lines` is a list and has no field `sku`",
        ),
        (
            "event.lines['a']",
            "NoParts 'a': `event.lines` is a list and has no field `a`",
        ),
        (
            "event.lines[event.order_id]",
            "NoParts event.lines[event.order_id]: `event.lines` is a list, and a string is no index of it",
        ),
        (
            "event.total[0]",
            "NoParts event.total[0]: `event.total` is an int and has no elements",
        ),
        (
            "event.labels[event.total]",
            "NoParts event.labels[event.total]: `event.labels` is a map, and an int is no index of it",
        ),
        (
            "event.order_id + event.total",
            "Operands event.order_id + event.total: `+` is not defined for a string and an int",
        ),
        (
            "event.weight * 2",
            "Operands event.weight * 2: `*` is not defined for a double and an int",
        ),
        (
            "event.total / 2.0",
            "Operands event.total / 2.0: `/` is not defined for an int and a double",
        ),
        (
            "event.total < 'a'",
            "Operands event.total < 'a': `<` is not defined for an int and a string",
        ),
        (
            "-event.order_id",
            "Operands -event.order_id: `-` is not defined for a string",
        ),
        (
            "!event.total",
            "Operands event.total: `!` takes a boolean, and this is an int",
        ),
        (
            "event.express && event.total",
            "Operands event.total: `&&` takes booleans, and this is an int",
        ),
        (
            "event.total ? 1 : 2",
            "Operands event.total: a condition must be true or false, and this is an int",
        ),
        (
            "size(event.total)",
            "Operands size(event.total): `size` is not defined for an int",
        ),
        (
            "event.total.startsWith('a')",
            "Operands event.total.startsWith('a'): `startsWith` is not defined for an int and a string",
        ),
        (
            "event.order_id.map(c, c)",
            "Operands event.order_id: a list or a map is gone through, and this is a string",
        ),
        (
            "'a' in event.order_id",
            "Operands 'a' in event.order_id: `in` is not defined for a string and a string",
        ),
        (
            "event.coupon.code",
            "MayBeNull event.coupon: `event.coupon` may be null, which is an error here",
        ),
        ("has(event.coupon) ? event.coupon.code : ''", ""),
        (
            "event.coupon == null && event.coupon.code == 'a'",
            "MayBeNull event.coupon: `event.coupon` may be null, which is an error here",
        ),
        (
            "event.lines[0].note + '!'",
            "MayBeNull event.lines[0].note: `event.lines[0].note` may be null, which is an error here",
        ),
        (
            "event.status == 'PAYED'",
            "SameAnswer 'PAYED': `PAYED` is none of the symbols that this may be: this is always false",
        ),
        (
            "event.status in ['PAYED', 'OPEN']",
            "SameAnswer 'PAYED': `PAYED` is none of the symbols that this may be: it is never found",
        ),
        (
            "event.total == '5'",
            "SameAnswer event.total == '5': an int never equals a string: this is always false",
        ),
        (
            "event.?coupon == null",
            "SameAnswer event.?coupon == null: an optional value never equals null: this is always false",
        ),
        (
            "event.?total + 1",
            "Operands event.?total + 1: `+` is not defined for an optional value and an int",
        ),
        (
            "event.?totl",
            "SameAnswer event: `event` has no field `totl`: there is never anything",
        ),
        (
            "has(event.totl)",
            "SameAnswer event: `event` has no field `totl`: `has` is always false",
        ),
        (
            "'é' + event.totl",
            "UnknownField totl: `event` has no field `totl`",
        ),
    ] {
        let (_, problems) = typed(source);
        if found.is_empty() {
            continue;
        }
        assert_eq!(problems, [found], "{source}");
    }
}

#[test]
fn a_template_is_held_against_a_schema() {
    let of_event = Type::of_schema(&order());
    let scope = TypeScope::of_event(&of_event);
    let target = Arc::new(
        Schema::parse(
            &json!({ "type": "record", "name": "Charge", "fields": [
                { "name": "order", "type": "string", "doc": "the order's number" },
                { "name": "amount", "type": "long" },
                { "name": "rate", "type": "double", "default": 1.0 },
                { "name": "coupon", "type": ["null", "string"], "default": null },
                { "name": "lines", "type": { "type": "array", "items": { "type": "record", "name": "L", "fields": [
                    { "name": "sku", "type": "string" },
                ] } }, "default": [] },
            ] })
            .to_string(),
        )
        .unwrap(),
    );
    for (template, found) in [
        (
            json!({ "order": "=event.order_id", "amount": "=event.total" }),
            vec![],
        ),
        (
            json!({ "order": "=key", "amount": 5, "rate": "=event.total", "coupon": "=event.?coupon.code", "lines": "=event.lines" }),
            vec![],
        ),
        (json!({ "order": "x", "amount": "=unknown.thing" }), vec![]),
        (
            json!("=event"),
            vec![(
                "",
                "what is sent is a record `Order`, and must be a record `Charge`",
            )],
        ),
        (
            json!({ "order": "x" }),
            vec![("", "`amount` is missing, which `Charge` must have")],
        ),
        (
            json!({ "order": "x", "amount": 1, "amuont": 1 }),
            vec![(".amuont", "`Charge` has no field `amuont`")],
        ),
        (
            json!({ "order": "x", "amount": "5" }),
            vec![(
                ".amount",
                "`amount` is the text `5`, and must be a whole number of 64 bits",
            )],
        ),
        (
            json!({ "order": "x", "amount": "=event.weight" }),
            vec![(
                ".amount",
                "`amount` is a double, and must be a whole number of 64 bits",
            )],
        ),
        (
            json!({ "order": "=event.total", "amount": 1 }),
            vec![(".order", "`order` is an int, and must be a text")],
        ),
        (
            json!({ "order": "=event.lines[0].note", "amount": 1 }),
            vec![(".order", "`order` may be null, and must be a text")],
        ),
        (
            json!({ "order": "x", "amount": 1, "lines": [{ "sku": 1 }] }),
            vec![(".lines[0].sku", "`lines[0].sku` is 1, and must be a text")],
        ),
        (
            json!({ "order": "x", "amount": 1, "lines": [{ "sku": "=event.total" }] }),
            vec![(
                ".lines[0].sku",
                "`lines[0].sku` is an int, and must be a text",
            )],
        ),
        (
            json!({ "order": "x", "amount": 1, "lines": "=event.labels" }),
            vec![(".lines", "`lines` is a map, and must be a list")],
        ),
        (
            json!(["=event"]),
            vec![("", "what is sent is a list, and must be a record `Charge`")],
        ),
    ] {
        let read = Template::from_value(template.clone()).unwrap();
        let problems = read.misfits(&target, &scope);
        let told: Vec<(&str, &str)> = problems
            .iter()
            .map(|p| (p.at.as_str(), p.message.as_str()))
            .collect();
        assert_eq!(told, found, "{template}");
    }
}

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

const LEAVES: &[&str] = &[
    "event.total",
    "event.weight",
    "event.express",
    "event.order_id",
    "event.status",
    "event.coupon",
    "event.lines",
    "event.labels",
    "event.parent",
    "event.?coupon",
    "event.?total",
    "event.lines[0].n",
    "event.lines[0].note",
    "event.coupon.percent",
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
    "key",
    "event.missing",
    "event.labels.a",
    "event.?coupon.code",
    "x",
];

fn grown(draw: &mut Draw, depth: usize) -> String {
    if depth == 0 {
        return draw.of(LEAVES).to_owned();
    }
    let below = draw.below(depth);
    let (a, b) = (grown(draw, depth - 1), grown(draw, below));
    match draw.below(22) {
        0 => format!("({a} + {b})"),
        1 => format!("({a} * {b})"),
        2 => format!("({a} - {b})"),
        3 => format!("({a} / {b})"),
        4 => format!("({a} % {b})"),
        5 => format!("({a} < {b})"),
        6 => format!("({a} == {b})"),
        7 => format!("({a} in {b})"),
        8 => format!("[{a}, {b}]"),
        9 => format!("[{a}].map(x, {b})"),
        10 => format!("({a}).map(x, x)"),
        11 => format!("({a}).filter(x, {b})"),
        12 => format!("size({a})"),
        13 => format!("({a})[{b}]"),
        14 => format!("string({a})"),
        15 => format!("int({a})"),
        16 => format!("double({a})"),
        17 => format!("!({a})"),
        18 => format!("-({a})"),
        19 => format!("({a}).orValue({b})"),
        20 => format!("({a}).contains({b})"),
        _ => format!("{{'k': {a}}}.k"),
    }
}

fn events(schema: &Schema) -> Vec<Value> {
    let event = json!({
        "order_id": "4711", "total": 12, "weight": 1.25, "express": true, "status": "OPEN",
        "coupon": { "code": "X", "percent": 10 },
        "lines": [{ "sku": "a", "n": 2, "note": "fragile" }], "labels": { "a": "b" }, "parent": null,
    });
    let mut bare = event.clone();
    bare["coupon"] = Value::Null;
    bare["lines"][0]["note"] = Value::Null;
    bare["express"] = json!(false);
    bare["parent"] = event.clone();
    for event in [&event, &bare] {
        assert_eq!(schema.misfit(event), None);
    }
    vec![event, bare]
}

fn is_of(value: &Value, of: &Type) -> bool {
    of.alternatives().iter().any(|of| match of {
        Type::Any => true,
        Type::Null => value.is_null(),
        Type::Bool => value.is_boolean(),
        Type::Int => value.is_i64(),
        Type::Uint => value.is_u64(),
        Type::Double => value.is_f64(),
        Type::Text | Type::Symbol(_) => value.is_string(),
        Type::List(item) => value.as_array().is_some_and(|items| {
            items
                .iter()
                .all(|value| is_of(value, &item.as_ref().clone().as_result()))
        }),
        Type::Map(_) | Type::Object(_) | Type::Record(_) => value.is_object(),
        Type::Bytes | Type::Optional(_) | Type::TypeName | Type::OneOf(_) => false,
    })
}

/// Of drawn expressions over documents that fit their schemas: what is called wrong fails, what
/// gives a value gives one of its type, and where nothing was said no operand is refused.
#[test]
fn what_is_said_of_an_expression_is_what_happens() {
    let seed = std::env::var("SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("SEED={seed}");
    let mut draw = Draw(seed);
    let schema = order();
    let of_event = Type::of_schema(&schema);
    let of_scope = TypeScope::of_event(&of_event);
    let events = events(&schema);
    let steps: BTreeMap<String, Value> = BTreeMap::new();
    let (mut wrong, mut silent) = (0, 0);
    for _ in 0..20_000 {
        let depth = 1 + draw.below(3);
        let source = grown(&mut draw, depth);
        let Ok(expression) = Expression::compile(&source) else {
            continue;
        };
        let (of, problems) = expression.type_in(&of_scope);
        let of = of.as_result();
        let errors: Vec<&str> = problems
            .iter()
            .filter(|problem| !problem.rule.is_warning())
            .map(|problem| problem.message.as_str())
            .collect();
        for problem in &problems {
            assert!(
                problem.len >= 1 && problem.offset + problem.len <= source.chars().count().max(1),
                "{source}: {problem:?}"
            );
        }
        for event in &events {
            let scope = Scope {
                key: "k",
                steps: &steps,
                ..Scope::of_event(event, 1)
            };
            let value = expression.evaluate(&scope);
            match &value {
                Ok(value) => {
                    // A loop over nothing does not come to what is wrong in it, nor does an index of
                    // nothing.
                    let unmet = ["map(", "filter(", ".?"]
                        .iter()
                        .any(|part| source.contains(part));
                    assert!(
                        errors.is_empty() || unmet,
                        "{source} gives {value}: {errors:?}"
                    );
                    assert!(
                        is_of(value, &of) || !errors.is_empty(),
                        "{source} gives {value}, no {of}"
                    );
                }
                Err(error) => {
                    let told = error.reason.as_str();
                    let typed = told.contains("is not defined for");
                    // What may be of several types is let pass if one of them will do.
                    let open = ["x", "[1, 'a']", "orValue"]
                        .iter()
                        .any(|part| source.contains(part));
                    assert!(!typed || !problems.is_empty() || open, "{source}: {told}");
                }
            }
            wrong += usize::from(!errors.is_empty());
            silent += usize::from(problems.is_empty() && value.is_ok());
        }
    }
    println!("{wrong} wrong, {silent} with a value and nothing to say");
    assert!(wrong > 1_000 && silent > 1_000);
}
