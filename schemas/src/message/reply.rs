//! The answer to a command.

use crate::Direction;
use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option,
};
use crate::known::RecordKind;

/// What a worker says became of a command. Silence is no outcome: the step is then ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplyOutcome {
    /// It happened.
    Done,
    /// It may be tried again.
    Failed,
    /// Nothing changed, and trying again will not help.
    Refused,
    /// Still at work; the outcome follows.
    Heartbeat,
}

impl ReplyOutcome {
    const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Refused, Self::Heartbeat];

    /// Returns the outcome in lower case, for logs and tools.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Heartbeat => "heartbeat",
        }
    }

    fn place(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 2,
            Self::Heartbeat => 3,
        }
    }
}

/// The answer to a [`crate::Command`]; its first five fields are copied from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// The occurrence of the step.
    pub step: String,
    /// Whether it answers a do or an undo.
    pub direction: Direction,
    /// The attempt that is answered.
    pub attempt: i32,
    /// The work that is answered.
    pub idempotency_key: String,
    /// What became of it.
    pub outcome: ReplyOutcome,
    /// What the step gives to later ones, JSON.
    pub output: Option<Vec<u8>>,
    /// Why it failed or was refused, for machines.
    pub code: Option<String>,
    /// The same for people.
    pub reason: Option<String>,
    /// Who answered.
    pub worker: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Reply {
    const KIND: RecordKind = RecordKind::Reply;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + bytes_size(&self.step)
            + bytes_size(&self.idempotency_key)
            + option_size(self.output.as_ref())
            + option_size(self.code.as_ref())
            + option_size(self.reason.as_ref())
            + option_size(self.worker.as_ref())
            + 4 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_bytes(out, &self.step);
        write_int(out, self.direction.place());
        write_int(out, self.attempt);
        write_bytes(out, &self.idempotency_key);
        write_int(out, self.outcome.place());
        write_option(out, self.output.as_ref());
        write_option(out, self.code.as_ref());
        write_option(out, self.reason.as_ref());
        write_option(out, self.worker.as_ref());
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            step: input.string()?,
            direction: input.symbol(&Direction::ALL)?,
            attempt: input.int()?,
            idempotency_key: input.string()?,
            outcome: input.symbol(&ReplyOutcome::ALL)?,
            output: input.optional_vec()?,
            code: input.optional_string()?,
            reason: input.optional_string()?,
            worker: input.optional_string()?,
            at_ms: input.long()?,
        })
    }
}
