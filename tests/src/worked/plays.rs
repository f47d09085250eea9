//! The five worked definitions, and what the world does for them.

use backstitch_workers::Work;
use serde_json::{Value, json};

use super::play::{Awaited, Play, Trouble, draw};

/// A trip: holds side by side, one of two rooms, a car that may be missing, the payment as the pivot.
#[must_use]
pub fn travel_booking() -> Play {
    Play {
        folder: "travel",
        files: &["book-trip.yaml"],
        source: "trips",
        sooner: &[],
        troubles: &[
            ("hold-seats", Trouble::Any),
            ("hold-room", Trouble::Any),
            ("hold-car", Trouble::Any),
            ("charge-card", Trouble::Any),
            ("send-itinerary", Trouble::Any),
        ],
        event: |n| {
            let id = format!("trip-{n}");
            let event = json!({
                "type": "TripRequested", "trip_id": id, "traveller_id": "ada", "origin": "HAM",
                "destination": "LIS", "city": "Lisbon", "departs_on": 20_100, "nights": 3,
                "travellers": 2, "wants_car": n.is_multiple_of(2), "card": "tok-1",
            });
            (id, event)
        },
        output: |work| match work.activity.as_str() {
            "hold-seats" | "hold-room" | "hold-car" => {
                json!({ "hold_id": named("hold", work), "price_cents": 10_000 })
            }
            "charge-card" => json!({ "payment_id": named("payment", work) }),
            "confirm-seats" | "confirm-room" | "confirm-car" => {
                json!({ "booking_id": named("booking", work) })
            }
            _ => Value::Null,
        },
        awaited: |_| None,
    }
}

/// A transfer: a pivot that cannot be undone, in each of two ways, and money that comes back.
#[must_use]
pub fn bank_transfer() -> Play {
    Play {
        folder: "transfer",
        files: &["transfer-money.yaml"],
        source: "transfers",
        sooner: &[],
        troubles: &[
            ("screen-transfer", Trouble::Any),
            ("hold-amount", Trouble::Any),
            ("book-transfer", Trouble::Refusal),
            ("send-to-clearing", Trouble::Refusal),
            ("notify-party", Trouble::Any),
        ],
        event: |n| {
            let id = format!("transfer-{n}");
            let bank = if n.is_multiple_of(3) {
                "ours"
            } else {
                "theirs"
            };
            let event = json!({
                "type": "TransferOrdered", "transfer_id": id,
                "payer": { "bank": "ours", "iban": "DE01" }, "payee": { "bank": bank, "iban": "DE02" },
                "amount_cents": 5_000, "currency": "EUR", "purpose": "rent",
            });
            (id, event)
        },
        output: |work| match work.activity.as_str() {
            "screen-transfer" => json!({ "score": draw(1, &work.saga) * 85 / 100 }),
            "hold-amount" => json!({ "hold_id": named("hold", work) }),
            "book-transfer" | "send-to-clearing" => {
                json!({ "booking_id": named("booking", work), "booked_at": work.sent_at_ms })
            }
            _ => Value::Null,
        },
        awaited: |n| {
            let returned = n.is_multiple_of(5);
            Some(Awaited {
                topic: "clearing",
                record: json!({
                    "type": if returned { "Returned" } else { "Settled" },
                    "transfer_id": format!("transfer-{n}"),
                    "reason": returned.then_some("account closed"),
                }),
                early: n.is_multiple_of(2),
            })
        },
    }
}

/// A subscription: a person decides on some, a payment that comes late, or early, or never.
#[must_use]
pub fn subscription() -> Play {
    Play {
        folder: "subscription",
        files: &["subscribe.yaml"],
        source: "subscriptions",
        sooner: &[("within: 7d", "within: 2s")],
        troubles: &[
            ("open-account", Trouble::Any),
            ("start-trial", Trouble::Any),
            ("send-invoice", Trouble::Any),
            ("remind-customer", Trouble::Any),
            ("book-payment", Trouble::Any),
            ("activate-plan", Trouble::Refusal),
            ("tell-customer", Trouble::Any),
        ],
        event: |n| {
            let id = format!("subscription-{n}");
            let seats = if n.is_multiple_of(3) { 500 } else { 5 };
            let event = json!({
                "type": "SubscriptionRequested", "subscription_id": id, "company": "Acme",
                "email": "ada@acme.example", "plan": "team", "seats": seats, "price_cents": 9_900,
                "trial_ends_at": 1_700_000_000_000_i64,
            });
            (id, event)
        },
        output: |work| match work.activity.as_str() {
            "open-account" => json!({ "account_id": named("account", work) }),
            "send-invoice" => json!({ "invoice_id": invoice_of(&work.input["subscription_id"]) }),
            "activate-plan" => json!({ "active_until": work.sent_at_ms + 1_000 }),
            _ => Value::Null,
        },
        awaited: |n| {
            let invoice = invoice_of(&json!(format!("subscription-{n}")));
            let record = json!({
                "type": "PaymentReceived", "invoice_id": invoice,
                "payment_id": format!("payment-{n}"), "amount_cents": 9_900,
            });
            (n % 7 != 6).then_some(Awaited {
                topic: "payments",
                record,
                early: n.is_multiple_of(4),
            })
        },
    }
}

/// A batch of payouts: one that fails stops none of the others.
#[must_use]
pub fn batch_payout() -> Play {
    Play {
        folder: "payout",
        files: &["pay-out.yaml"],
        source: "payout-batches",
        sooner: &[("backoff: 500ms..20s", "backoff: 50ms..200ms")],
        troubles: &[
            ("reserve-funds", Trouble::Any),
            ("send-payout", Trouble::Any),
            ("settle-funds", Trouble::Refusal),
        ],
        event: |n| {
            let id = format!("batch-{n}");
            let payouts: Vec<Value> = (0..n % 8 + 1)
                .map(|p| {
                    json!({ "payout_id": format!("{id}-{p}"), "iban": "DE01", "amount_cents": 100 })
                })
                .collect();
            let event = json!({
                "type": "BatchClosed", "batch_id": id, "merchant_id": "acme",
                "total_cents": 100 * payouts.len(), "payouts": payouts,
            });
            (id, event)
        },
        output: |work| match work.activity.as_str() {
            "reserve-funds" => json!({ "reservation_id": named("reservation", work) }),
            "send-payout" => json!({ "receipt_id": named("receipt", work) }),
            _ => Value::Null,
        },
        awaited: |_| None,
    }
}

/// An order in parcels: a child saga for each, which is taken back if another cannot be prepared.
#[must_use]
pub fn order_split() -> Play {
    Play {
        folder: "split",
        files: &["split-order.yaml", "prepare-parcel.yaml"],
        source: "warehouse-orders",
        sooner: &[],
        troubles: &[
            ("plan-parcels", Trouble::Any),
            ("pick-items", Trouble::Any),
            ("book-carrier", Trouble::Any),
            ("charge-customer", Trouble::Any),
        ],
        event: |n| {
            let id = format!("order-{n}");
            let lines: Vec<Value> = (0..n % 4 + 1)
                .map(|line| json!({ "sku": format!("sku-{line}"), "n": 1 }))
                .collect();
            let event = json!({
                "type": "OrderPlaced", "order_id": id, "customer_id": "ada", "total_cents": 4_200,
                "lines": lines,
                "address": { "street": "Main Street 1", "city": "Springfield", "country": "DE" },
            });
            (id, event)
        },
        output: |work| match work.activity.as_str() {
            "plan-parcels" => {
                let lines = work.input["lines"].as_array().cloned().unwrap_or_default();
                let parcels: Vec<Value> = lines
                    .into_iter()
                    .enumerate()
                    .map(|(n, line)| {
                        json!({ "parcel_id": n.to_string(), "warehouse": "north", "lines": [line] })
                    })
                    .collect();
                json!({ "parcels": parcels })
            }
            "pick-items" => json!({ "bin": "b-1", "weight_grams": 500 }),
            "book-carrier" => json!({ "tracking": named("tracking", work) }),
            "charge-customer" => json!({ "payment_id": named("payment", work) }),
            _ => Value::Null,
        },
        awaited: |_| None,
    }
}

fn named(what: &str, work: &Work) -> String {
    format!("{what}-of-{}", work.key)
}

fn invoice_of(subscription: &Value) -> String {
    format!("invoice-of-{}", subscription.as_str().unwrap_or_default())
}
