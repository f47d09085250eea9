//! What a transition of the order saga costs: run under a tool that counts instructions.
//!
//! ```text
//! cargo build --release -p backstitch-saga --example transitions
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/transitions 1000
//! ```
//!
//! The difference between two numbers of sagas, divided by the transitions between them, leaves the
//! start of the program out. `scripts/count-instructions.sh` does that.

#![expect(clippy::print_stdout, reason = "it is a program")]

use backstitch_saga::core::{Reply, Start};
use backstitch_saga::{Answer, Definition, Message, Outcome, Payload, Saga};

const ORDER: &str = r#"
saga: process-order
tags: { customer: =event.customer_id, country: =event.address.country }
deadline: 2d
defaults: { timeout: 5s, retry: { attempts: 5, backoff: 200ms..10s, budget: 2m } }
steps:
  - do: check-fraud
    with: { order_id: =event.order_id, amount: =event.total, channel: web }
    undo: nothing
  - do: reserve-stock
    with: { lines: =event.lines }
    undo: { do: release-stock, with: { reservation: =result.?reservation_id, lines: =event.lines } }
  - do: charge-payment
    with: { order_id: =event.order_id, amount: =event.total, risk: =steps.check_fraud.score }
    undo: { do: refund-payment, with: { payment: =result.?payment_id } }
  - do: ship-order
    with: { order_id: =event.order_id, address: =event.address }
    undo: { do: cancel-shipment, with: { shipment: =result.?shipment_id } }
output: { payment: =steps.charge_payment.payment_id, shipment: =steps.ship_order.shipment_id }
"#;

const EVENT: &str = r#"{"type":"OrderPlaced","order_id":"4711","customer_id":"c-17","total":12900,"currency":"EUR",
"lines":[{"sku":"sku-1","quantity":2},{"sku":"sku-2","quantity":1}],"address":{"country":"DE","city":"Bonn","street":"Weg 1"}}"#;

const OUTPUTS: [&str; 4] = [
    r#"{"score":12}"#,
    r#"{"reservation_id":"r-1"}"#,
    r#"{"payment_id":"p-1"}"#,
    r#"{"shipment_id":"s-1"}"#,
];

fn main() {
    let sagas = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let definition = Definition::from_yaml(ORDER).expect("the definition is right");
    let mut transitions = 0_u64;
    let mut bytes = 0;
    for number in 0..sagas.unwrap_or(1_000_u64) {
        let start = Start {
            key: format!("process-order/{number}"),
            event: Payload::from_bytes(EVENT.as_bytes()).expect("it is JSON"),
            trace: None,
            by: None,
            event_time_ms: 1,
            parent: None,
        };
        let (mut saga, first) = Saga::start(&definition, start, 1);
        transitions += 1;
        let mut commands = first.commands;
        bytes += first.entry.body.len();
        for output in OUTPUTS {
            let command = commands.pop().expect("each answer leads to a command");
            let message = Message::Reply(Reply {
                occurrence: command.occurrence,
                direction: command.direction,
                key: command.key,
                attempt: command.attempt,
                answer: Answer::Done(Payload::from_bytes(output.as_bytes()).ok()),
                worker: None,
            });
            let Outcome::Advanced(transition) = saga.advance(&definition, &message, 2) else {
                panic!("each answer is awaited");
            };
            transitions += 1;
            bytes += transition.entry.body.len();
            commands = transition.commands;
        }
        assert!(saga.status.has_ended());
    }
    println!("transitions {transitions} journal_bytes {bytes}");
}
