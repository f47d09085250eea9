//! A stream of orders: the same seed gives the same orders.

use std::sync::Arc;

use backstitch_broker::OutgoingRecord;
use serde_json::json;

/// What one order shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSpec {
    /// Its number.
    pub order_id: String,
    /// The activity that shall fail it, if one shall.
    pub fail_at: Option<&'static str>,
}

/// Makes orders.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The source topic.
    pub topic: Arc<str>,
    /// Begins every order's number, so that runs do not meet.
    pub name: String,
    /// The part of the orders that shall fail, from 0 to 1.
    pub fail_rate: f64,
    /// The activities at which orders fail, in turn.
    pub fail_at: Vec<&'static str>,
    /// Draws which orders fail.
    pub seed: u64,
}

impl Orders {
    /// The order of this number, counted from 0.
    pub fn spec(&self, number: u64) -> OrderSpec {
        let drawn = mix(self.seed ^ mix(number));
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits of a hash fill a double"
        )]
        let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        let index = usize::try_from(mix(drawn) % self.fail_at.len().max(1) as u64).unwrap_or(0);
        OrderSpec {
            order_id: format!("{}{number}", self.name),
            fail_at: (share < self.fail_rate)
                .then(|| self.fail_at.get(index).copied())
                .flatten(),
        }
    }

    /// The event of the order of this number, as JSON; readable with any Kafka client.
    pub fn record(&self, number: u64, at_ms: i64) -> OutgoingRecord {
        let spec = self.spec(number);
        let event = json!({
            "type": "OrderPlaced",
            "order_id": spec.order_id,
            "customer_id": format!("customer-{}", number % 997),
            "placed_at": at_ms,
            "currency": "EUR",
            "total": 1_000 + number % 9_000,
            "lines": [ { "sku": format!("sku-{}", number % 50), "n": 1 + number % 3 } ],
            "address": {
                "name": "A. Customer",
                "street": "Main Street 1",
                "city": "Springfield",
                "postcode": "12345",
                "country": "DE",
            },
            "fail_at": spec.fail_at,
            "fail_how": spec.fail_at.map(|_| "refuse"),
        });
        let mut record =
            OutgoingRecord::new(Arc::clone(&self.topic), event.to_string().into_bytes())
                .with_key(spec.order_id.into_bytes());
        record.timestamp_ms = Some(at_ms);
        record
    }
}

/// A well-known 64-bit finalizer (splitmix64).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
