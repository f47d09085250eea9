//! One order service: its business write, its undo and its ledger, all in the transaction of the answer.

use backstitch_schemas::Direction;
use serde_json::{Value, json};

use super::knobs::{Conduct, Knobs};
use crate::handler::Local;
use crate::memory::{Cell, Tx, TxError};
use crate::time::now_ms;
use crate::work::{Answer, Work};

/// What differs between the services.
#[derive(Debug)]
pub(super) struct Service {
    /// The activity that it offers.
    pub(super) activity: &'static str,
    /// The activity that undoes it, if it can be undone.
    pub(super) undo_activity: Option<&'static str>,
    /// Makes its table.
    pub(super) schema: &'static str,
    /// Its business write: an insert without its values.
    write: &'static str,
    /// The write that undoes it.
    unwrite: &'static str,
    /// What a refusal says.
    refusal: (&'static str, &'static str),
}

/// The ledger's part of each write.
const EFFECT: &str =
    "INSERT INTO effect (at_ms, saga, step, direction, key, attempt, activity, pid)";

pub(super) const CHECK_FRAUD: Service = Service {
    activity: "check-fraud",
    undo_activity: None,
    schema: "CREATE TABLE IF NOT EXISTS fraud_check (
        key TEXT PRIMARY KEY, order_id TEXT NOT NULL, detail TEXT NOT NULL, state TEXT NOT NULL
            DEFAULT 'checked') STRICT;",
    write: "INSERT INTO fraud_check (key, order_id, detail)",
    unwrite: "UPDATE fraud_check SET state = 'withdrawn' WHERE key = ?",
    refusal: ("fraud_suspected", "the order looks like fraud"),
};

pub(super) const RESERVE_STOCK: Service = Service {
    activity: "reserve-stock",
    undo_activity: Some("release-stock"),
    schema: "CREATE TABLE IF NOT EXISTS reservation (
        key TEXT PRIMARY KEY, order_id TEXT NOT NULL, detail TEXT NOT NULL, state TEXT NOT NULL
            DEFAULT 'reserved') STRICT;",
    write: "INSERT INTO reservation (key, order_id, detail)",
    unwrite: "UPDATE reservation SET state = 'released' WHERE key = ?",
    refusal: ("out_of_stock", "there is not enough in stock"),
};

pub(super) const CHARGE_PAYMENT: Service = Service {
    activity: "charge-payment",
    undo_activity: Some("refund-payment"),
    schema: "CREATE TABLE IF NOT EXISTS payment (
        key TEXT PRIMARY KEY, order_id TEXT NOT NULL, detail TEXT NOT NULL, state TEXT NOT NULL
            DEFAULT 'charged') STRICT;",
    write: "INSERT INTO payment (key, order_id, detail)",
    unwrite: "UPDATE payment SET state = 'refunded' WHERE key = ?",
    refusal: ("card_declined", "the bank declined the card"),
};

pub(super) const SHIP_ORDER: Service = Service {
    activity: "ship-order",
    undo_activity: Some("cancel-shipment"),
    schema: "CREATE TABLE IF NOT EXISTS shipment (
        key TEXT PRIMARY KEY, order_id TEXT NOT NULL, detail TEXT NOT NULL, state TEXT NOT NULL
            DEFAULT 'shipped') STRICT;",
    write: "INSERT INTO shipment (key, order_id, detail)",
    unwrite: "UPDATE shipment SET state = 'cancelled' WHERE key = ?",
    refusal: ("no_carrier", "no carrier delivers to this address"),
};

/// Every order service.
pub(super) const SERVICES: [&Service; 4] =
    [&CHECK_FRAUD, &RESERVE_STOCK, &CHARGE_PAYMENT, &SHIP_ORDER];

/// The handler of one service, for its activity and for the one that undoes it.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) service: &'static Service,
    pub(super) knobs: Knobs,
}

impl Local for Desk {
    async fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> Answer {
        let only_undoes = self.service.undo_activity == Some(work.activity.as_str());
        match self.knobs.conduct(work, only_undoes) {
            Conduct::Behave => {}
            Conduct::Refuse => {
                let (code, reason) = self.service.refusal;
                return Answer::refused(code, reason);
            }
            Conduct::Fail => return Answer::failed("unlucky", "asked to fail"),
            Conduct::Hang => return Answer::Silent,
        }
        let undoes = only_undoes || work.direction == Direction::Undo;
        let result = if undoes {
            self.undo(work, tx).await
        } else {
            self.do_it(work, tx)
        };
        result.unwrap_or_else(|error| Answer::failed("database", error.to_string()))
    }

    fn prepares(&self) -> bool {
        !self.knobs.delay.is_zero()
    }

    async fn prepare(&self, _work: &Work) {
        tokio::time::sleep(self.knobs.delay).await;
    }
}

/// Why a business write was not made.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Transaction(#[from] TxError),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Desk {
    fn do_it(&self, work: &Work, tx: &mut Tx<'_>) -> Result<Answer, WriteError> {
        let order_id = order_id(work);
        let row = vec![
            work.key.as_str().into(),
            order_id.as_str().into(),
            work.input.to_string().into(),
        ];
        tx.sqlite_insert(self.service.write, row)?;
        tx.sqlite_insert(EFFECT, effect(work))?;
        Ok(Answer::Done(self.output(work, &order_id)))
    }

    async fn undo(&self, work: &Work, tx: &mut Tx<'_>) -> Result<Answer, WriteError> {
        let done_key = work.done_key.clone().unwrap_or_default();
        sqlx::query(self.service.unwrite)
            .bind(done_key)
            .execute(tx.sqlite().await?)
            .await?;
        tx.sqlite_insert(EFFECT, effect(work))?;
        Ok(Answer::Done(json!({ "undone": self.service.activity })))
    }

    fn output(&self, work: &Work, order_id: &str) -> Value {
        match self.service.activity {
            "check-fraud" => json!({ "score": score(work) }),
            "reserve-stock" => json!({ "reservation_id": format!("rsv-{order_id}") }),
            "charge-payment" => json!({
                "payment_id": format!("pay-{order_id}"),
                "amount": work.input.get("amount"),
            }),
            _ => json!({ "tracking": format!("trk-{order_id}") }),
        }
    }
}

/// The ledger's row.
fn effect(work: &Work) -> Vec<Cell> {
    vec![
        now_ms().into(),
        work.saga.as_str().into(),
        work.step.as_str().into(),
        work.direction.as_str().into(),
        work.key.as_str().into(),
        i64::from(work.attempt).into(),
        work.activity.as_str().into(),
        i64::from(std::process::id()).into(),
    ]
}

fn order_id(work: &Work) -> String {
    match work.input.get("order_id") {
        Some(Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => work.saga.clone(),
    }
}

/// A score from 0 to 99: the larger the amount, the higher; a little more for orders from the web.
fn score(work: &Work) -> u32 {
    let amount = work.input.get("amount").and_then(Value::as_f64);
    let by_amount = (1..=90_u32)
        .take_while(|step| f64::from(*step) * 100.0 <= amount.unwrap_or(0.0))
        .count();
    let web = work.input.get("channel").and_then(Value::as_str) == Some("web");
    u32::try_from(by_amount).unwrap_or(90) + u32::from(web) * 5
}
