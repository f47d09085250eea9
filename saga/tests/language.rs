//! The Rust of `docs/language.md`: it compiles, it is what the page shows, and it gives the same structure as the YAML above it.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::path::Path;
use std::time::Duration;

use backstitch_saga::Definition;
use backstitch_saga::definition::builder::{
    AnyStep, act, approve, by, case, choose, each, end, end_with, fail, ignore, limits, parallel,
    park, repeat, run, saga, set, sleep, sleep_until, steps, take, wait,
};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// By the heading of the page.
fn shown() -> Vec<(&'static str, Vec<AnyStep>)> {
    vec![
        // What a failure does
        (
            "What a failure does",
            steps![
                parallel([
                    ("seats", steps![act("reserve-seats").undo_same()]),
                    ("hotel", steps![act("reserve-room").undo_same()]),
                ])
                .on_failure(take(steps![
                    act("offer-voucher")
                        .with(json!({ "customer": "=event.customer_id", "because": "=failure.reason" }))
                        .undo_nothing()
                ]))
            ],
        ),
        // do
        (
            "do",
            steps![
                act("charge-payment")
                    .with(json!({ "order_id": "=event.order_id", "amount": "=event.total" }))
                    .undo(by("refund-payment").with(json!({ "payment_id": "=result.?payment_id" })))
                    .limits(
                        limits()
                            .start(Duration::from_secs(2))
                            .reply(Duration::from_secs(10))
                            .heartbeat(Duration::from_secs(3))
                            .total(5 * MINUTE)
                            .attempts(5)
                            .backoff(Duration::from_millis(200), Duration::from_secs(10))
                            .jitter(20)
                            .budget(2 * MINUTE)
                            .not(["card_declined"])
                    )
            ],
        ),
        // parallel
        (
            "parallel",
            steps![
                parallel([
                    ("label", steps![act("print-label").undo_same()]),
                    ("notice", steps![act("notify-customer").undo_nothing().on_failure(ignore())]),
                ])
            ],
        ),
        // choose
        (
            "choose",
            steps![
                choose([
                    case("event.total > 100000", steps![act("review-order").undo_nothing()]),
                    case("event.total > 0", steps![act("check-order").undo_nothing()]),
                ])
                .otherwise(steps![])
            ],
        ),
        // each
        (
            "each",
            steps![
                each("line")
                    .over("event.lines")
                    .steps(steps![
                        act("reserve-item")
                            .with(json!({ "sku": "=line.sku", "n": "=line.n", "position": "=index" }))
                            .undo_same()
                    ])
                    .id("lines")
                    .at_once(5)
                    .most(200)
                    .collect(json!({ "sku": "=line.sku", "bin": "=steps.reserve_item.bin" })),
                act("print-picking-list")
                    .with(json!({ "bins": "=steps.lines.map(l, l.bin)" }))
                    .undo_nothing()
            ],
        ),
        // repeat
        (
            "repeat",
            steps![
                repeat(steps![
                    act("ask-customs")
                        .with(json!({ "parcel": "=event.parcel_id" }))
                        .undo_nothing()
                ])
                .until("steps.ask_customs.cleared")
                .most(20)
                .pause(10 * MINUTE)
            ],
        ),
        // wait
        (
            "wait",
            steps![
                act("send-invoice").with(json!({ "order_id": "=event.order_id" })).undo_same(),
                wait("payment")
                    .topic("payments")
                    .key("message.invoice_id")
                    .matching("steps.send_invoice.invoice_id")
                    .accept(r#"message.type == "PaymentReceived""#)
                    .early(DAY)
                    .within(14 * DAY)
                    .on_timeout(take(steps![
                        act("send-reminder")
                            .with(json!({ "order_id": "=event.order_id" }))
                            .undo_nothing()
                    ]))
            ],
        ),
        // sleep
        ("sleep", steps![sleep(30 * MINUTE), sleep_until("event.deliver_at")]),
        // run
        (
            "run",
            steps![
                run("prepare-parcel")
                    .key(r#"event.order_id + "-1""#)
                    .with(json!({ "order_id": "=event.order_id", "lines": "=event.lines" }))
            ],
        ),
        // approve
        (
            "approve",
            steps![
                approve("large_order")
                    .by(["sales", "sales-lead"])
                    .show(json!({ "customer": "=event.customer_id", "total": "=event.total" }))
                    .within(2 * DAY)
                    .on_refused(take(steps![
                        act("tell-customer")
                            .with(json!({ "order_id": "=event.order_id", "because": "=failure.reason" }))
                            .undo_nothing(),
                        fail("not_approved").reason("=failure.reason")
                    ]))
                    .on_timeout(park())
            ],
        ),
        // set
        (
            "set",
            steps![
                set([("net", "=event.total * 100 / 119"), ("currency", "EUR")]),
                act("book-order")
                    .with(json!({ "net": "=vars.net", "currency": "=vars.currency" }))
                    .undo_same()
            ],
        ),
        // fail
        (
            "fail",
            steps![
                fail("too_large")
                    .when("event.total > 1000000")
                    .reason(r#"="an order of " + string(event.total) + " is too large""#),
                act("accept-order").undo_same()
            ],
        ),
        // end
        (
            "end",
            steps![
                act("find-customer").undo_nothing(),
                choose([case(
                    "steps.find_customer.is_closed",
                    steps![end_with(json!({ "result": "closed" }))]
                )])
                .otherwise(steps![]),
                act("charge-customer").undo_same()
            ],
        ),
    ]
}

/// The first block of a section that is marked so.
fn block<'p>(page: &'p str, heading: &str, info: &str) -> &'p str {
    let section = page
        .split("\n## ")
        .find(|section| section.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("the page has no section {heading}"));
    let (_, rest) = section
        .split_once(&format!("```{info}\n"))
        .unwrap_or_else(|| panic!("{heading} has no block `{info}`"));
    rest.split_once("```").unwrap().0
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_rust_of_the_page_gives_the_same_structure_as_its_yaml() {
    let page = page();
    for (heading, steps) in shown() {
        let yaml = format!(
            "saga: example\nsteps:\n{}",
            block(&page, heading, "yaml steps")
        );
        let read = Definition::from_yaml(&yaml).unwrap();
        let built = saga("example").steps(steps).build().unwrap();
        assert_eq!(built.hash, read.hash, "{heading}:\n{}", built.to_yaml());
    }
}

/// Without what only lays it out.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn the_rust_of_the_page_is_the_rust_of_this_file() {
    let (page, here) = (page(), bare(include_str!("language.rs")));
    for (heading, _) in shown() {
        let rust = bare(block(&page, heading, "rust"));
        assert!(here.contains(&rust), "{heading}: {rust}");
    }
}

#[test]
fn an_end_may_be_without_output() {
    let yaml = "saga: example\nsteps:\n- end:\n";
    let read = Definition::from_yaml(yaml);
    let built = saga("example").step(end()).build();
    assert_eq!(
        built.map(|built| built.hash).ok(),
        read.map(|read| read.hash).ok()
    );
}
