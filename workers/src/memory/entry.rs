//! What is remembered under a key, and what can go wrong with remembering.

/// What is remembered under one idempotency key. A key that failed is not remembered: it may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The work was done; its output as JSON.
    Done {
        /// JSON text.
        output: Vec<u8>,
    },
    /// The work was refused: nothing changed.
    Refused {
        /// Short, for machines: `card_declined`.
        code: String,
        /// For people.
        reason: String,
    },
    /// Work outside of this database was begun and has not been answered: it may or may not have happened.
    Begun,
    /// An undo came: the do under this key must not run any more.
    Barred {
        /// Whether the do had begun when it was barred, so that its undo has something to look for.
        may_have_run: bool,
    },
}

/// An entry and its key, as handed to [`Memory::remember`](super::Memory::remember).
#[derive(Debug, Clone, Copy)]
pub struct Remembered<'a> {
    /// The idempotency key.
    pub key: &'a str,
    /// What to remember.
    pub entry: &'a Entry,
}

/// Why a memory could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The database did not answer, or not in time, or said no. Roll back and try the whole transaction again.
    #[error("cannot {attempted} the memory of answers")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// Someone else remembered one of the keys first. Roll back and try again: the keys now have their answers.
    #[error("{found} of {expected} answers could be remembered: another process was first")]
    Conflict {
        /// Entries handed over.
        expected: u64,
        /// Entries written.
        found: u64,
    },
    /// A stored row can't be understood; a person has to look at it.
    #[error("what is remembered under {key} has the unknown state {state}")]
    Unreadable {
        /// The idempotency key.
        key: String,
        /// The number in its `state` column.
        state: i64,
    },
}

impl MemoryError {
    pub(super) fn unavailable(attempted: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Unavailable { attempted, source }
    }
}

/// An entry as the columns `state`, `output`, `code`, `reason`.
pub(super) type Columns<'a> = (i16, Option<&'a [u8]>, Option<&'a str>, Option<&'a str>);

/// The number of [`Entry::Begun`] in the `state` column, which the SQL texts name too.
const BEGUN: i16 = 3;

impl Entry {
    pub(super) fn columns(&self) -> Columns<'_> {
        match self {
            Self::Done { output } => (1, Some(output), None, None),
            Self::Refused { code, reason } => (2, None, Some(code), Some(reason)),
            Self::Begun => (BEGUN, None, None, None),
            Self::Barred {
                may_have_run: false,
            } => (4, None, None, None),
            Self::Barred { may_have_run: true } => (5, None, None, None),
        }
    }

    pub(super) fn from_columns(
        key: &str,
        state: i16,
        output: Option<Vec<u8>>,
        code: Option<String>,
        reason: Option<String>,
    ) -> Result<Self, MemoryError> {
        Ok(match state {
            1 => Self::Done {
                output: output.unwrap_or_default(),
            },
            2 => Self::Refused {
                code: code.unwrap_or_default(),
                reason: reason.unwrap_or_default(),
            },
            BEGUN => Self::Begun,
            4 => Self::Barred {
                may_have_run: false,
            },
            5 => Self::Barred { may_have_run: true },
            unknown => {
                return Err(MemoryError::Unreadable {
                    key: key.to_owned(),
                    state: unknown.into(),
                });
            }
        })
    }
}
