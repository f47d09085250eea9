//! What an error of Postgres, or of the way to it, says about the statement that it answers.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::StoreError;

/// What is known of a statement that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The guard of a commit failed: it divides by zero then.
    Fenced,
    /// Nothing was changed; trying again may help.
    Passing,
    /// Nothing was changed; trying again will not help.
    Lasting,
    /// The answer was lost: it may have been carried out.
    Lost,
}

impl Answer {
    /// Reads an error that came after the statement was sent.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            // Encoding comes before anything is sent; all else comes after.
            let unsent = matches!(error, sqlx::Error::Encode(_));
            return if unsent { Self::Lasting } else { Self::Lost };
        };
        let postgres: &PgDatabaseError = database.downcast_ref();
        // A session that ends may have committed: the last word can be lost behind its notice.
        match postgres.severity() {
            PgSeverity::Fatal | PgSeverity::Panic => return Self::Lost,
            PgSeverity::Error
            | PgSeverity::Warning
            | PgSeverity::Notice
            | PgSeverity::Debug
            | PgSeverity::Info
            | PgSeverity::Log => {}
        }
        let code = postgres.code();
        match code {
            "22012" => Self::Fenced,
            // A standby, or a primary that is being demoted.
            "25006" => Self::Passing,
            _ => match code.get(..2).unwrap_or_default() {
                "08" => Self::Lost,
                // Deadlock or serialization; resources; busy; cancelled; the server's own trouble.
                "40" | "53" | "55" | "57" | "58" => Self::Passing,
                _ => Self::Lasting,
            },
        }
    }

    /// Tells whether the connection is still in order after it.
    pub(super) fn keeps_connection(error: &sqlx::Error) -> bool {
        // After 25006 the address may lead to another server.
        let read_only =
            error.as_database_error().and_then(|e| e.code()).as_deref() == Some("25006");
        Self::of(error) != Self::Lost && !read_only
    }
}

/// The error of anything but a commit.
pub(super) fn failed(attempted: &'static str, error: sqlx::Error) -> StoreError {
    if let sqlx::Error::ColumnDecode { .. } = error {
        return StoreError::Corrupt {
            what: error.to_string(),
        };
    }
    match Answer::of(&error) {
        Answer::Lost | Answer::Passing => StoreError::Unavailable {
            attempted,
            source: Box::new(error),
        },
        Answer::Fenced | Answer::Lasting => StoreError::Refused {
            attempted,
            source: Box::new(error),
        },
    }
}
