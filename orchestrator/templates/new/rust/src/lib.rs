//! The activity `{{activity}}`: a book of what is reserved, in the database that also remembers the answers.
//!
//! A command may come twice, and an undo may come for a command that never arrived. The kit sees to both: a key is
//! answered once, in the same transaction as what is written here, and the answer is repeated.

use backstitch_workers::{Answer, Direction, Local, Tx, Work};
use serde_json::{Value, json};

/// What this worker carries out, and takes back.
pub const ACTIVITY: &str = "{{activity}}";

/// The book. What is released has a line of its own, with a negative amount.
pub const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS reservation (
        key TEXT PRIMARY KEY, request TEXT NOT NULL, amount INTEGER NOT NULL
    ) STRICT;";

const WRITE: &str = "INSERT INTO reservation (key, request, amount)";

/// A line of the book.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// The request's id.
    pub request: String,
    /// Positive for what is reserved, negative for what is released.
    pub amount: i64,
}

/// Decides what a command comes to. Nothing is written here.
///
/// # Errors
///
/// The answer, where nothing is to be written: *refused*, since nothing changed and asking again would not help.
pub fn decide(direction: Direction, input: &Value) -> Result<Line, Answer> {
    let request = input.get("id").and_then(Value::as_str);
    let amount = input.get("amount").and_then(Value::as_i64);
    let (Some(request), Some(amount)) = (request, amount) else {
        return Err(Answer::refused("bad_input", "an id and an amount are needed"));
    };
    if amount <= 0 {
        return Err(Answer::refused("nothing_to_reserve", format!("the amount is {amount}")));
    }
    Ok(Line {
        request: request.to_owned(),
        amount: match direction {
            Direction::Do => amount,
            Direction::Undo => -amount,
        },
    })
}

/// The handler.
#[derive(Debug)]
pub struct Reservations;

impl Local for Reservations {
    async fn handle(&self, work: &Work, tx: &mut Tx<'_>) -> Answer {
        let line = match decide(work.direction, &work.input) {
            Ok(line) => line,
            Err(answer) => return answer,
        };
        let row = vec![
            work.key.as_str().into(),
            line.request.as_str().into(),
            line.amount.into(),
        ];
        match tx.sqlite_insert(WRITE, row) {
            Ok(()) => Answer::Done(json!({ "reservation_id": format!("r-{}", line.request) })),
            Err(error) => Answer::failed("database", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_leaves_the_book_in_balance() {
        let input = json!({ "id": "4711", "amount": 12 });
        let done = decide(Direction::Do, &input).unwrap();
        let undone = decide(Direction::Undo, &input).unwrap();
        assert_eq!(done.amount + undone.amount, 0);
    }

    #[test]
    fn nothing_is_written_for_a_request_without_an_amount() {
        let refused = decide(Direction::Do, &json!({ "id": "4711" }));
        assert!(matches!(refused, Err(Answer::Refused { code, .. }) if code == "bad_input"));
    }

    #[test]
    fn there_is_nothing_to_reserve_of_nothing() {
        let refused = decide(Direction::Do, &json!({ "id": "4711", "amount": 0 }));
        assert!(matches!(refused, Err(Answer::Refused { code, .. }) if code == "nothing_to_reserve"));
    }
}
