//! A definition for tests, and orders for it.

use backstitch_schemas::{Address, Line, OrderPlaced};
use serde_json::{Value, json};

/// The order of the program with less patience, so that silence is soon told from an answer, and with a second mark: its last
/// step fails by `ship_fail_at`, so that an order can both turn back and fail on the way back. `SOURCE` stands for the topic.
pub const DEFINITION: &str = "
saga: process-order
start:
  - topic: SOURCE
    when: event.type == \"OrderPlaced\"
    key: event.order_id
tags: { customer: =event.customer_id }
deadline: 1h
defaults: { timeout: 2s, retry: { attempts: 20, backoff: 50ms..200ms } }
steps:
  - do: check-fraud
    with: { order_id: =event.order_id, customer_id: =event.customer_id, amount: =event.total, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo: nothing
  - do: reserve-stock
    timeout: 4s
    retry: { attempts: 2, backoff: 50ms..100ms }
    with: { order_id: =event.order_id, lines: =event.lines, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo: yes
  - do: charge-payment
    with: { order_id: =event.order_id, amount: =event.total, currency: =event.currency, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
    undo:
      do: refund-payment
      with: { order_id: =event.order_id, payment_id: =result.?payment_id, fail_at: =event.?fail_at, fail_how: =event.?fail_how }
  - do: ship-order
    with: { order_id: =event.order_id, address: =event.address, lines: =event.lines, fail_at: =event.?ship_fail_at, fail_how: =event.?ship_fail_how }
    undo:
      do: cancel-shipment
      with: { order_id: =event.order_id, tracking: =result.?tracking }
output: { order_id: =event.order_id, tracking: =steps.ship_order.tracking }
";

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: String,
    /// The activity that shall fail it and how, if one shall: every step but the last.
    pub fails: Option<(&'static str, &'static str)>,
    /// How the last step shall fail, if it shall.
    pub ship_fails: Option<&'static str>,
}

impl Order {
    /// An order like any other.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            fails: None,
            ship_fails: None,
        }
    }

    /// The same, failing at this activity (or `<activity>/undo`) in this way: `refuse`, `fail`, `fail_always` or `hang`.
    #[must_use]
    pub fn failing(mut self, at: &'static str, how: &'static str) -> Self {
        self.fails = Some((at, how));
        self
    }

    /// The same, failing at its last step in this way.
    #[must_use]
    pub fn failing_to_ship(mut self, how: &'static str) -> Self {
        self.ship_fails = Some(how);
        self
    }

    /// Its saga.
    pub fn saga(&self) -> String {
        format!("process-order/{}", self.id)
    }

    /// Its event as JSON.
    pub fn event(&self) -> Value {
        json!({
            "type": "OrderPlaced",
            "order_id": self.id,
            "customer_id": "customer-7",
            "placed_at": 1_700_000_000_000_i64,
            "currency": "EUR",
            "total": 4_200,
            "lines": [ { "sku": "sku-1", "n": 2 } ],
            "address": { "street": "Main Street 1", "city": "Springfield", "country": "DE" },
            "fail_at": self.fails.map(|(at, _)| at),
            "fail_how": self.fails.map(|(_, how)| how),
            "ship_fail_at": self.ship_fails.map(|_| "ship-order"),
            "ship_fail_how": self.ship_fails,
        })
    }

    /// Its event as the Avro record has it.
    pub fn placed(&self) -> OrderPlaced {
        OrderPlaced {
            kind: "OrderPlaced".to_owned(),
            order_id: self.id.clone(),
            customer_id: "customer-7".to_owned(),
            total: 4_200,
            currency: "EUR".to_owned(),
            lines: vec![Line {
                sku: "sku-1".to_owned(),
                n: 2,
            }],
            address: Address {
                street: "Main Street 1".to_owned(),
                city: "Springfield".to_owned(),
                country: "DE".to_owned(),
            },
            placed_at_ms: 1_700_000_000_000,
            fail_at: self.fails.map(|(at, _)| at.to_owned()),
            fail_how: self.fails.map(|(_, how)| how.to_owned()),
        }
    }
}
