//! Each construct of the language, in YAML and in Rust.

use std::collections::BTreeMap;
use std::time::Duration;

use backstitch_saga::definition::builder::{
    SagaDraft, act, approve, by, case, choose, contract, each, end, end_with, fail, ignore, limits,
    on, parallel, park, repeat, run, saga, set, sleep, sleep_until, steps, take, turn_back, wait,
};
use serde_json::json;

/// The same definition, written twice.
pub(crate) struct Example {
    pub(crate) about: &'static str,
    pub(crate) yaml: &'static str,
    pub(crate) rust: fn() -> SagaDraft,
}

pub(crate) const ORDER_AVSC: &str =
    r#"{ "type": "record", "name": "Order", "fields": [{ "name": "id", "type": "string" }] }"#;
pub(crate) const STOCK_AVSC: &str =
    r#"{ "type": "record", "name": "Stock", "fields": [{ "name": "order", "type": "string" }] }"#;

/// As a schema is written down again.
const PAYMENT_AVSC: &str = r#"{"fields":[{"name":"payment_id","type":"string"},{"name":"state","type":"string"}],"name":"Payment","type":"record"}"#;

/// The files that the examples name.
pub(crate) fn files() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("order.avsc".to_owned(), ORDER_AVSC.to_owned()),
        ("schemas/stock.avsc".to_owned(), STOCK_AVSC.to_owned()),
        ("schemas/payment.avsc".to_owned(), PAYMENT_AVSC.to_owned()),
    ])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const EXAMPLES: &[Example] = &[
    Example {
        about: "what stands around the steps",
        yaml: "
saga: process-order
start:
  - { topic: orders, when: event.id != '', key: event.id }
  - { topic: orders.v2, key: event.id }
input: order.avsc
activities:
  reserve-stock:
    input: schemas/stock.avsc
    output: order.avsc
    errors: [sold_out, unknown]
  tell: {}
tags: { order: =event.id, channel: web, tries: 3 }
deadline: 2d
steps:
  - { do: reserve-stock, with: { order: =event.id }, undo: yes }
output: { id: =event.id, text: ==literal, list: [1, 2.5, =key, { a: null }], truth: true }
",
        rust: || {
            saga("process-order")
                .start(on("orders").key("event.id").when("event.id != ''"))
                .start(on("orders.v2").key("event.id"))
                .input("order.avsc", ORDER_AVSC)
                .contract(
                    "reserve-stock",
                    contract()
                        .input("schemas/stock.avsc", STOCK_AVSC)
                        .output("order.avsc", ORDER_AVSC)
                        .errors(["unknown", "sold_out"]),
                )
                .contract("tell", contract())
                .tag("order", "=event.id")
                .tag("channel", "web")
                .tag("tries", 3)
                .deadline(seconds(2 * 86_400))
                .step(
                    act("reserve-stock")
                        .with(json!({ "order": "=event.id" }))
                        .undo_same(),
                )
                .output(json!({
                    "id": "=event.id",
                    "text": "==literal",
                    "list": [1, 2.5, "=key", { "a": null }],
                    "truth": true,
                }))
        },
    },
    Example {
        about: "do: the ways to undo, the pivot, and what all steps have",
        yaml: "
saga: s
steps:
  - { do: check-fraud, id: checked, when: event.total > 100, undo: nothing, on_failure: ignore }
  - { do: reserve-stock, undo: yes, on_failure: park }
  - do: charge-payment
    with: { amount: =event.total }
    undo: { do: refund-payment, with: { payment: =result }, timeout: 3s, retry: { attempts: 9 } }
    on_failure: turn_back
  - { do: ship-order, pivot: yes }
  - { do: tell-customer }
",
        rust: || {
            saga("s")
                .step(
                    act("check-fraud")
                        .id("checked")
                        .when("event.total > 100")
                        .undo_nothing()
                        .on_failure(ignore()),
                )
                .step(act("reserve-stock").undo_same().on_failure(park()))
                .step(
                    act("charge-payment")
                        .with(json!({ "amount": "=event.total" }))
                        .undo(
                            by("refund-payment")
                                .with(json!({ "payment": "=result" }))
                                .limits(limits().reply(seconds(3)).attempts(9)),
                        )
                        .on_failure(turn_back()),
                )
                .steps([act("ship-order").pivot(), act("tell-customer")])
        },
    },
    Example {
        about: "do: timeouts in parts, and retries",
        yaml: "
saga: s
defaults: { timeout: 4s }
steps:
  - do: a
    undo: yes
    timeout: { start: 1s, reply: 2m, heartbeat: 10s, total: 1h }
    retry: { attempts: 7, backoff: 1s..2m, jitter: 5%, budget: 1d, not: [no_such_card, stolen] }
  - do: b
    undo: yes
    timeout: { total: 1h }
  - do: c
    undo: yes
    retry: { backoff: 1s }
",
        rust: || {
            saga("s")
                .step(
                    act("a").undo_same().limits(
                        limits()
                            .start(seconds(1))
                            .reply(seconds(120))
                            .heartbeat(seconds(10))
                            .total(seconds(3_600))
                            .attempts(7)
                            .backoff(seconds(1), seconds(120))
                            .jitter(5)
                            .budget(seconds(86_400))
                            .not(["stolen", "no_such_card"]),
                    ),
                )
                .step(
                    act("b")
                        .undo_same()
                        .limits(limits().reply(seconds(4)).total(seconds(3_600))),
                )
                .step(
                    act("c")
                        .undo_same()
                        .limits(limits().reply(seconds(4)).backoff(seconds(1), seconds(1))),
                )
        },
    },
    Example {
        about: "steps when a step fails",
        yaml: "
saga: s
steps:
  - do: call-customer
    undo: nothing
    on_failure:
      - { do: write-letter, with: { why: =failure.code }, undo: nothing }
      - fail: not_reached
",
        rust: || {
            saga("s").step(act("call-customer").undo_nothing().on_failure(take(steps![
                act("write-letter")
                    .with(json!({ "why": "=failure.code" }))
                    .undo_nothing(),
                fail("not_reached"),
            ])))
        },
    },
    Example {
        about: "parallel: all, any, so many",
        yaml: "
saga: s
steps:
  - parallel:
      label: [{ do: print-label, undo: nothing }]
      both:
        - { do: b, undo: yes }
        - { do: c, undo: yes }
  - parallel:
      one: [{ do: d, undo: yes }]
      other: [{ do: e, undo: yes }]
    need: any
    id: quotes
  - parallel:
      zulu: [{ do: f, undo: yes }]
      yankee: [{ do: g, undo: yes }]
      xray: [{ do: h, undo: yes }]
    need: 2
",
        rust: || {
            saga("s")
                .step(parallel([
                    ("label", steps![act("print-label").undo_nothing()]),
                    ("both", steps![act("b").undo_same(), act("c").undo_same()]),
                ]))
                .step(
                    parallel([
                        ("one", steps![act("d").undo_same()]),
                        ("other", steps![act("e").undo_same()]),
                    ])
                    .need_any()
                    .id("quotes"),
                )
                .step(
                    parallel([
                        ("zulu", steps![act("f").undo_same()]),
                        ("yankee", steps![act("g").undo_same()]),
                        ("xray", steps![act("h").undo_same()]),
                    ])
                    .need(2),
                )
        },
    },
    Example {
        about: "choose: with and without an else",
        yaml: "
saga: s
steps:
  - choose:
      - when: event.total > 1000
        steps:
          - approve: large_order
      - when: event.total < 0
        steps: []
      - else:
          - { do: note, undo: nothing }
  - choose:
      - when: event.gift
        steps: [{ do: wrap, undo: yes }]
    on_failure: ignore
",
        rust: || {
            saga("s")
                .step(
                    choose([
                        case("event.total > 1000", steps![approve("large_order")]),
                        case("event.total < 0", steps![]),
                    ])
                    .otherwise([act("note").undo_nothing()]),
                )
                .step(choose([case("event.gift", [act("wrap").undo_same()])]).on_failure(ignore()))
        },
    },
    Example {
        about: "each",
        yaml: "
saga: s
steps:
  - each: line
    over: event.lines
    at_once: 3
    most: 50
    steps:
      - { do: reserve, with: { sku: =line.sku, at: =index }, undo: yes }
    collect: =steps.reserve.place
  - each: line
    over: event.lines
    steps: [{ do: tell, with: { line: =line }, undo: nothing }]
",
        rust: || {
            saga("s")
                .step(
                    each("line")
                        .over("event.lines")
                        .steps([act("reserve")
                            .with(json!({ "sku": "=line.sku", "at": "=index" }))
                            .undo_same()])
                        .at_once(3)
                        .most(50)
                        .collect("=steps.reserve.place"),
                )
                .step(
                    each("line")
                        .over("event.lines")
                        .steps([act("tell").with(json!({ "line": "=line" })).undo_nothing()]),
                )
        },
    },
    Example {
        about: "repeat",
        yaml: "
saga: s
steps:
  - repeat:
      - { do: poll, undo: nothing }
    until: steps.poll.ready
    most: 20
    pause: 30s
  - repeat: [{ do: poll-again, undo: nothing }]
    until: steps.poll_again.ready
",
        rust: || {
            saga("s")
                .step(
                    repeat([act("poll").undo_nothing()])
                        .until("steps.poll.ready")
                        .most(20)
                        .pause(seconds(30)),
                )
                .step(repeat([act("poll-again").undo_nothing()]).until("steps.poll_again.ready"))
        },
    },
    Example {
        about: "wait",
        yaml: "
saga: s
steps:
  - { do: charge, undo: yes }
  - wait: payment-settled
    topic: payments
    key: message.payment_id
    match: steps.charge.payment_id
    accept: message.state == 'settled'
    input: schemas/payment.avsc
    early: 10m
    within: 2d
    on_timeout:
      - { do: remind, undo: nothing }
  - { wait: shipped, topic: shipments, key: message.order_id }
",
        rust: || {
            saga("s")
                .step(act("charge").undo_same())
                .step(
                    wait("payment-settled")
                        .topic("payments")
                        .key("message.payment_id")
                        .matching("steps.charge.payment_id")
                        .accept("message.state == 'settled'")
                        .input("schemas/payment.avsc", PAYMENT_AVSC)
                        .early(seconds(600))
                        .within(seconds(2 * 86_400))
                        .on_timeout(take([act("remind").undo_nothing()])),
                )
                .step(wait("shipped").topic("shipments").key("message.order_id"))
        },
    },
    Example {
        about: "sleep: for a time, and until one",
        yaml: "
saga: s
steps:
  - sleep: 90s
  - sleep: { until: event.deliver_at }
",
        rust: || {
            saga("s")
                .step(sleep(seconds(90)))
                .step(sleep_until("event.deliver_at"))
        },
    },
    Example {
        about: "run",
        yaml: "
saga: s
steps:
  - run: ship-parcel
    key: event.parcel_id
    with: { parcel: =event.parcel }
  - { run: send-invoice, id: invoice }
",
        rust: || {
            saga("s")
                .step(
                    run("ship-parcel")
                        .key("event.parcel_id")
                        .with(json!({ "parcel": "=event.parcel" })),
                )
                .step(run("send-invoice").id("invoice"))
        },
    },
    Example {
        about: "approve",
        yaml: "
saga: s
steps:
  - approve: refund
    by: [cfo, head_of_sales]
    show: { amount: =event.total }
    within: 3d
    on_timeout: park
    on_refused:
      - { do: tell-customer, undo: nothing }
      - end: { refunded: false }
  - approve: anything
",
        rust: || {
            saga("s")
                .step(
                    approve("refund")
                        .by(["head_of_sales", "cfo"])
                        .show(json!({ "amount": "=event.total" }))
                        .within(seconds(3 * 86_400))
                        .on_timeout(park())
                        .on_refused(take(steps![
                            act("tell-customer").undo_nothing(),
                            end_with(json!({ "refunded": false })),
                        ])),
                )
                .step(approve("anything"))
        },
    },
    Example {
        about: "set, and what was set",
        yaml: "
saga: s
steps:
  - set: { limit: 500, owner: =event.owner }
  - { do: a, with: { limit: =vars.limit }, undo: nothing }
",
        rust: || {
            saga("s")
                .step(set([
                    ("limit", json!(500)),
                    ("owner", json!("=event.owner")),
                ]))
                .step(
                    act("a")
                        .with(json!({ "limit": "=vars.limit" }))
                        .undo_nothing(),
                )
        },
    },
    Example {
        about: "fail and end",
        yaml: "
saga: s
steps:
  - choose:
      - when: event.total == 0
        steps: [end: ]
      - when: event.total < 0
        steps:
          - { fail: negative_total, reason: =string(event.total) + ' is less than nothing' }
      - when: event.total > 100
        steps:
          - { end: { done: true } }
      - else:
          - { fail: no_idea }
",
        rust: || {
            saga("s").step(
                choose([
                    case("event.total == 0", steps![end()]),
                    case(
                        "event.total < 0",
                        steps![
                            fail("negative_total")
                                .reason("=string(event.total) + ' is less than nothing'")
                        ],
                    ),
                    case(
                        "event.total > 100",
                        steps![end_with(json!({ "done": true }))],
                    ),
                ])
                .otherwise([fail("no_idea")]),
            )
        },
    },
    Example {
        about: "ids: what verbs name, and numbers, in the order of the text",
        yaml: "
saga: s
steps:
  - sleep: 1s
  - choose:
      - when: event.x
        steps:
          - { sleep: 2s, id: nap }
          - sleep: 3s
    on_failure:
      - sleep: 4s
  - sleep: 5s
",
        rust: || {
            saga("s")
                .step(sleep(seconds(1)))
                .step(
                    choose([case(
                        "event.x",
                        steps![sleep(seconds(2)).id("nap"), sleep(seconds(3))],
                    )])
                    .on_failure(take([sleep(seconds(4))])),
                )
                .step(sleep(seconds(5)))
        },
    },
];
