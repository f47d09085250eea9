//! What an expression gives, what it refuses, and what it costs at most.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstitch_saga::expression::{Expression, Scope, Steps, Template, limits};
use serde_json::{Value, json};

fn event() -> Value {
    json!({
        "type": "OrderPlaced",
        "order_id": "4711",
        "total": 120,
        "rate": 1.5,
        "big": u64::MAX,
        "nothing": null,
        "lines": [ { "sku": "a", "n": 1 }, { "sku": "b", "n": 3 } ],
        "stock": { "z": 1, "a": 2, "k": 3 },
        "with-hyphen": "yes",
    })
}

fn outputs() -> BTreeMap<String, Value> {
    BTreeMap::from([("check_fraud".to_owned(), json!({ "score": 7 }))])
}

fn give(source: &str) -> Result<Value, String> {
    let expression = Expression::compile(source).map_err(|error| format!("refused: {error}"))?;
    let (event, steps) = (event(), outputs());
    let vars = BTreeMap::from([("limit".to_owned(), json!(100))]);
    let result = json!({ "payment_id": "p-1" });
    expression
        .evaluate(&Scope {
            event: &event,
            key: "4711",
            steps: &steps,
            now_ms: 1_700_000_000_000,
            result: Some(&result),
            failure: None,
            message: None,
            locals: &[],
            vars: &vars,
        })
        .map_err(|error| error.to_string())
}

fn refusal(source: &str) -> String {
    give(source).expect_err(source)
}

#[test]
fn a_path_gives_what_it_leads_to() {
    for (source, expected) in [
        ("event.order_id", json!("4711")),
        (" event . total ", json!(120)),
        ("event.lines[1].sku", json!("b")),
        ("event['with-hyphen']", json!("yes")),
        (
            "event.lines",
            json!([{ "sku": "a", "n": 1 }, { "sku": "b", "n": 3 }]),
        ),
        ("event.nothing", json!(null)),
        ("event.big", json!(u64::MAX)),
        ("key", json!("4711")),
        ("now", json!(1_700_000_000_000_i64)),
        ("vars.limit", json!(100)),
        ("result.payment_id", json!("p-1")),
        ("steps.check_fraud.score", json!(7)),
        ("steps.check_fraud", json!({ "score": 7 })),
        ("steps.not_reached", json!(null)),
    ] {
        assert_eq!(give(source), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_missing_is_an_error_that_says_what_is_there() {
    for (source, reason) in [
        (
            "event.totl",
            "`event` has no field `totl`; it has `big`, `lines`, `nothing`, `order_id`, `rate`, \
             `stock`, `total`, `type`, `with-hyphen`",
        ),
        (
            "event.lines[2].sku",
            "`event.lines` has no element 2; it has 2, counted from 0",
        ),
        (
            "event.lines.sku",
            "`event.lines` is a list and has no field `sku`",
        ),
        (
            "event.total.x",
            "`event.total` is a number and has no field `x`",
        ),
        (
            "event.nothing.x",
            "`event.nothing` is null and has no field `x`",
        ),
        (
            "steps.not_reached.x",
            "`steps.not_reached` is null and has no field `x`",
        ),
        ("failure", "`failure` is only there in `on_failure`"),
        // The same within CEL.
        ("event.totl > 1", "`event` has no field `totl`"),
        ("1 + steps.not_reached.x", "`steps.not_reached` is null"),
    ] {
        let said = refusal(source);
        assert!(
            said.starts_with(&format!("cannot evaluate `{source}`: ")),
            "{said}"
        );
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn missing_can_be_asked_for_and_taken_for_null() {
    for (source, expected) in [
        ("has(event.total)", json!(true)),
        ("has(event.totl)", json!(false)),
        ("has(event.nothing.x)", json!(false)),
        ("has(steps.check_fraud)", json!(true)),
        ("has(steps.check_fraud.score)", json!(true)),
        ("has(steps.not_reached)", json!(false)),
        ("has(steps.not_reached.x)", json!(false)),
        ("has(event.totl) && event.totl > 1", json!(false)),
        ("event.?totl", json!(null)),
        ("event.?total", json!(120)),
        ("event.?lines[0].sku", json!("a")),
        ("event.?lines[7].sku", json!(null)),
        ("event.?totl.orValue(5)", json!(5)),
        ("event.?total.orValue(5)", json!(120)),
        ("steps.not_reached.?x.orValue('none')", json!("none")),
        // CEL: an error does not matter where the other side decides.
        ("event.totl == 1 || event.total == 120", json!(true)),
        ("event.total == 1 && event.totl == 120", json!(false)),
        ("event.total == 120 ? 'y' : event.totl", json!("y")),
    ] {
        assert_eq!(give(source), Ok(expected), "{source}");
    }
    assert!(refusal("has(event.totl.x)").contains("has no field `totl`"));
}

#[test]
fn arithmetic_and_texts_are_as_cel_has_them() {
    for (source, expected) in [
        ("event.total * 2 + 1", json!(241)),
        ("7 / 2", json!(3)),
        ("-7 % 3", json!(-1)),
        ("double(event.total) * event.rate", json!(180.0)),
        ("event.rate < event.total", json!(true)),
        ("event.total == 120.0", json!(true)),
        ("event.big > 1", json!(true)),
        ("int(event.order_id) + 1", json!(4712)),
        ("'order ' + event.order_id", json!("order 4711")),
        ("string(event.total) + '€'", json!("120€")),
        ("size('grün')", json!(4)),
        ("event.lines.size()", json!(2)),
        ("event.order_id.startsWith('47')", json!(true)),
        (
            "event.order_id.endsWith('11') && event.order_id.contains('71')",
            json!(true),
        ),
        ("event.order_id.matches('^[0-9]+$')", json!(true)),
        ("event.type in ['OrderPlaced', 'OrderChanged']", json!(true)),
        ("type(event.total) == int", json!(true)),
        ("{'a': [event.total, null]}", json!({ "a": [120, null] })),
        ("b'abc'", json!("YWJj")),
        ("b'a'", json!("YQ==")),
        ("b'abcde'", json!("YWJjZGU=")),
        ("event.stock == {'a': 2, 'k': 3, 'z': 1}", json!(true)),
    ] {
        assert_eq!(give(source), Ok(expected), "{source}");
    }
    for (source, reason) in [
        (
            "event.total * 1.5",
            "`*` is not defined for (int 120, float 1.5)",
        ),
        ("9223372036854775807 + 1", "`+` overflows"),
        ("event.big + 1u", "`+` overflows"),
        ("1 / 0", "a division by zero"),
        ("0.0 / 0.0", "which JSON does not have"),
        ("event.stock + 1", "`+` is not defined for (map, int 1)"),
        ("[1] + event.stock", "a map cannot be added"),
        ("event.order_id.matches('(')", "not a valid regex"),
        ("{'a': 1, 'a': 2}", "the same key twice"),
        ("{1: 1, '1': 2}", "have the same text"),
    ] {
        assert!(refusal(source).contains(reason), "{}", refusal(source));
    }
}

#[test]
fn comprehensions_go_through_maps_in_order_of_their_keys() {
    for (source, expected) in [
        ("event.lines.map(l, l.sku)", json!(["a", "b"])),
        (
            "event.lines.filter(l, l.n > 1)",
            json!([{ "sku": "b", "n": 3 }]),
        ),
        ("event.lines.map(l, l.n > 1, l.sku)", json!(["b"])),
        ("event.lines.all(l, l.n > 0)", json!(true)),
        ("event.lines.exists(l, l.sku == 'b')", json!(true)),
        ("event.lines.exists_one(l, l.n < 9)", json!(false)),
        (
            "event.lines.map(a, event.lines.map(b, a.n * b.n))",
            json!([[1, 3], [3, 9]]),
        ),
        ("event.?totl.optMap(x, x + 1)", json!(null)),
        ("event.?total.optMap(x, x + 1)", json!(121)),
    ] {
        assert_eq!(give(source), Ok(expected), "{source}");
    }
    // CEL's own order is drawn for each map: 50 draws of 3! orders.
    for _ in 0..50 {
        assert_eq!(give("event.stock.map(k, k)"), Ok(json!(["a", "k", "z"])));
        assert_eq!(
            give("{'b': 1, 'c': 1, 'a': 1}.map(k, k)"),
            Ok(json!(["a", "b", "c"]))
        );
    }
}

#[test]
fn only_a_boolean_holds() {
    let event = event();
    let scope = Scope::of_event(&event, 0);
    let holds = |source: &str| {
        Expression::compile(source)
            .unwrap()
            .holds(&scope)
            .map_err(|error| error.reason)
    };
    assert_eq!(holds("event.total > 100"), Ok(true));
    assert_eq!(holds("event.total < 100"), Ok(false));
    assert_eq!(holds("true"), Ok(true));
    for (source, kind) in [
        ("event.total", "a number"),
        ("event.total + 1", "int"),
        ("event.order_id", "a string"),
        ("event.?nope", "null"),
    ] {
        assert_eq!(
            holds(source),
            Err(format!("it must be true or false, and is {kind}"))
        );
    }
}

#[test]
fn an_expression_tells_what_it_names() {
    let expression = Expression::compile(
        "event.lines.exists(l, l.sku == steps.a.sku) && has(steps.b.x) || wrong.n > vars.m",
    )
    .unwrap();
    let names: Vec<&str> = expression.references().iter().map(String::as_str).collect();
    assert_eq!(names, ["event", "steps", "vars", "wrong"]);
    let mut paths: Vec<String> = expression.paths().map(ToString::to_string).collect();
    paths.sort();
    // A name of the definition's own, such as an item's, is a path too.
    assert_eq!(
        paths,
        [
            "event.lines",
            "steps.a.sku",
            "steps.b.x",
            "vars.m",
            "wrong.n"
        ]
    );
}

#[test]
fn what_cannot_work_is_refused_when_it_is_read() {
    for (source, reason) in [
        ("", "the expression is empty"),
        ("  ", "the expression is empty"),
        ("event.", "not a CEL expression"),
        ("event.total +", "it ends too early"),
        ("event total", "extraneous input 'total'"),
        ("'open", "not a CEL expression"),
        ("steps", "`steps` must be followed by a step's id"),
        ("steps[key]", "`steps` must be followed by a step's id"),
        ("size(steps)", "`steps` must be followed by a step's id"),
        (
            "event.lines.map(event, 1)",
            "`event` means something else here",
        ),
        ("lenght(event.lines)", "there is no function `lenght`"),
        ("event.lines.sum()", "there is no function `sum`"),
        ("Order{id: 1}", "there are no named types to build"),
        (
            "event.lines.map(a, event.lines.map(b, event.lines.map(c, 1)))",
            "more than 2 comprehensions inside each other",
        ),
    ] {
        let said = refusal(source);
        assert!(said.starts_with("refused: "), "{source}: {said}");
        assert!(said.contains(reason), "{source}: {said}");
    }
}

#[test]
fn every_known_function_is_there() {
    for source in [
        "size([])",
        "string(1)",
        "int('1')",
        "uint(1)",
        "double(1)",
        "bytes('a')",
        "bool('true')",
        "dyn(1)",
        "type(1)",
        "'a'.contains('a')",
        "'a'.startsWith('a')",
        "'a'.endsWith('a')",
        "'a'.matches('a')",
        "optional.of(1).value()",
        "optional.none().hasValue()",
        "optional.ofNonZeroValue(0).or(optional.of(1))",
        "optional.none().orValue(1)",
    ] {
        assert!(give(source).is_ok(), "{source}: {:?}", give(source));
    }
}

#[test]
fn limits_hold_before_the_parser_runs() {
    let long = format!("'{}'", "x".repeat(limits::SOURCE_CHARS_MAX));
    assert!(refusal(&long).contains("at most 4096 are allowed"));
    let longest = format!("'{}'", "x".repeat(limits::SOURCE_CHARS_MAX - 2));
    assert!(give(&longest).is_ok());

    let nested = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(give(&nested(limits::NESTING_MAX)), Ok(json!(1)));
    assert!(refusal(&nested(limits::NESTING_MAX + 1)).contains("brackets are open"));
    // Brackets in texts do not count.
    assert!(give(&format!("'{}'", "(".repeat(1_000))).is_ok());
    assert!(give(&format!("r'\\' + \"\"\"{}\"\"\"", "(".repeat(1_000))).is_ok());

    assert!(refusal(&format!("1{}", "+1".repeat(1_000))).contains("characters of operators"));
    assert!(refusal(&format!("1{}", "+1".repeat(limits::TREE_DEPTH_MAX))).contains("levels deep"));
}

/// The worst that the guards let through, on a thread with three quarters of the usual stack: what
/// calls an expression needs some as well.
#[test]
fn the_deepest_expressions_fit_a_small_stack() {
    let n = limits::NESTING_MAX;
    let operators = limits::OPERATOR_CHARS_MAX;
    let worst = [
        format!("{}1{}", "(".repeat(n), ")".repeat(n)),
        format!("{}1{}", "[".repeat(n), "]".repeat(n)),
        format!("{}1{}", "{'a':".repeat(n), "}".repeat(n)),
        format!("{}1{}", "size(".repeat(n), ")".repeat(n)),
        format!("{}true", "!".repeat(operators)),
        format!("{}1", "- ".repeat(operators)),
        format!("1{}", "+1".repeat(operators)),
        format!("1{}", "+1".repeat(limits::TREE_DEPTH_MAX - 2)),
        format!("true{}", "&&true".repeat(operators / 2)),
        format!("true{}", "?1:true".repeat(operators)),
        format!("true{}", "?true:true".repeat(limits::TREE_DEPTH_MAX - 2)),
        format!("event{}", ".a".repeat(operators)),
        format!("event{}", ".?a".repeat(operators / 2)),
        format!("event{}", "[0]".repeat(1_000)),
        format!("1{}", "==1".repeat(operators / 2)),
        format!("'a'{}", ".contains('a')".repeat(200)),
        format!("[1]{}", ".map(x, x)".repeat(limits::LOOPS_MAX)),
        format!("[1]{}", ".map(x, x)".repeat(300)),
        format!("{}x{}", "[1].map(x, ".repeat(60), ")".repeat(60)),
    ];
    let thread = std::thread::Builder::new()
        .stack_size(1_536 * 1024)
        .spawn(move || {
            let mut evaluated = 0;
            for source in &worst {
                if let Ok(expression) = Expression::compile(source) {
                    let event = json!({});
                    let _ = expression.evaluate(&Scope::of_event(&event, 0));
                    evaluated += 1;
                }
            }
            evaluated
        })
        .unwrap();
    assert!(thread.join().unwrap() >= 6);
}

#[test]
fn loops_pay_for_what_they_go_through() {
    let event = json!({ "items": (0..400).collect::<Vec<u32>>(), "text": "x".repeat(600_000) });
    let scope = Scope::of_event(&event, 0);
    let give = |source: &str| Expression::compile(source).unwrap().evaluate(&scope);

    let squared = give("event.items.map(a, event.items.map(b, a * b).size())").unwrap();
    assert_eq!(squared.as_array().map(Vec::len), Some(400));
    // Doubling in a chain: each link pays for what the one before has made.
    let bomb = format!("[event.text]{}", ".map(t, t + t)".repeat(limits::LOOPS_MAX));
    let carried = "[event.items, event.items].map(a, event.items.map(b, a))".to_owned();
    let through = "[event.text, event.text].map(t, size(t))".to_owned();
    for source in [bomb, carried, through] {
        let error = give(&source).expect_err(&source);
        assert!(
            error.reason.contains("more than 1000000")
                || error.reason.contains("larger than 1048576"),
            "{error}"
        );
    }
    let error = give("[event.text, event.text]").unwrap_err();
    assert!(
        error.reason.contains("larger than 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn a_template_keeps_its_shape() {
    let template = Template::from_value(json!({
        "id": "=event.order_id",
        "list": [1, "=event.total + 1", "plain", null],
        "literal": "==event.total",
        "equals": "a=b",
        "deep": { "x": { "y": "=key" } },
    }))
    .unwrap();
    let event = event();
    let value = template.evaluate(&Scope {
        key: "k",
        ..Scope::of_event(&event, 0)
    });
    assert_eq!(
        value.unwrap(),
        json!({
            "id": "4711",
            "list": [1, 121, "plain", null],
            "literal": "=event.total",
            "equals": "a=b",
            "deep": { "x": { "y": "k" } },
        })
    );
    let sources: Vec<&str> = template.expressions().map(Expression::source).collect();
    assert_eq!(sources, ["key", "event.order_id", "event.total + 1"]);
}

#[test]
fn a_document_without_expressions_is_one_literal() {
    let value = json!({ "a": [1, { "b": "==c" }] });
    let template = Template::from_value(value).unwrap();
    assert_eq!(
        template,
        Template::Literal(json!({ "a": [1, { "b": "=c" }] }))
    );
    assert!(Template::from_value(json!(["=event."])).is_err());
}

#[test]
fn an_error_in_a_template_says_where() {
    let template = Template::from_value(json!({ "lines": [{ "sku": "=event.nope" }] })).unwrap();
    let event = json!({});
    let error = template.evaluate(&Scope::of_event(&event, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot evaluate `event.nope` at `.lines[0].sku`: `event` has no field `nope`; it is empty"
    );
}

#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Steps for Counted {
    fn output(&self, id: &str) -> Option<Cow<'_, Value>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        (id != "none").then(|| Cow::Owned(json!({ "n": 3, "ok": true })))
    }
}

#[test]
fn outputs_are_read_only_where_they_decide() {
    let counted = Counted::default();
    let event = json!({ "go": false, "lines": [1, 2, 3] });
    let asked = |source: &str| {
        counted.0.store(0, Ordering::Relaxed);
        let value = Expression::compile(source).unwrap().evaluate(&Scope {
            steps: &counted,
            ..Scope::of_event(&event, 0)
        });
        (value.unwrap(), counted.0.load(Ordering::Relaxed))
    };
    assert_eq!(asked("event.go && steps.a.ok"), (json!(false), 0));
    assert_eq!(asked("event.go ? steps.a.n : 5"), (json!(5), 0));
    assert_eq!(asked("steps.a.n"), (json!(3), 1));
    // Once, however often it is used.
    assert_eq!(
        asked("event.lines.map(l, l + steps.a.n)"),
        (json!([4, 5, 6]), 1)
    );
}

#[test]
fn expressions_are_equal_if_their_texts_are() {
    let one = Expression::compile(" event.x ").unwrap();
    assert_eq!(one, Expression::compile("event.x").unwrap());
    assert_ne!(one, Expression::compile("event.y").unwrap());
    assert_eq!(one.source(), "event.x");
}
