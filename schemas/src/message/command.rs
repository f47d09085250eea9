//! The request to run a step or to undo it.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option,
};
use crate::known::RecordKind;

/// Whether a step is to be run or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Run it.
    Do,
    /// Undo it.
    Undo,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::Do, Self::Undo];

    /// Returns `do` or `undo`, as headers and idempotency keys have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }

    pub(super) fn place(self) -> i32 {
        match self {
            Self::Do => 0,
            Self::Undo => 1,
        }
    }
}

/// The request to run a step or to undo it, answered by a [`crate::Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// The name of the saga's definition.
    pub definition: String,
    /// The occurrence of the step: its path in the running saga.
    pub step: String,
    /// Whether to run or to undo it.
    pub direction: Direction,
    /// From 1; never restarts for the same work.
    pub attempt: i32,
    /// What kind of work it is.
    pub activity: String,
    /// The same for every attempt of the same work.
    pub idempotency_key: String,
    /// For an undo: the idempotency key of its do.
    pub done_key: Option<String>,
    /// What the work needs, JSON.
    pub input: Vec<u8>,
    /// For an undo: what the do answered, JSON; `None` when no answer is known.
    pub output: Option<Vec<u8>>,
    /// Where the reply goes.
    pub reply_topic: String,
    /// The partition it goes to, whatever a client's partitioner says.
    pub reply_partition: i32,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at_ms: i64,
    /// After this a reply is late, in milliseconds since 1970.
    pub deadline_ms: i64,
    /// Where set: the worker sends a heartbeat as soon as it has begun, and at least this often, in
    /// milliseconds, while it is at it.
    pub heartbeat_ms: Option<i64>,
}

impl Datum for Command {
    const KIND: RecordKind = RecordKind::Command;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + bytes_size(&self.definition)
            + bytes_size(&self.step)
            + bytes_size(&self.activity)
            + bytes_size(&self.idempotency_key)
            + option_size(self.done_key.as_ref())
            + bytes_size(&self.input)
            + option_size(self.output.as_ref())
            + bytes_size(&self.reply_topic)
            + 7 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_bytes(out, &self.definition);
        write_bytes(out, &self.step);
        write_int(out, self.direction.place());
        write_int(out, self.attempt);
        write_bytes(out, &self.activity);
        write_bytes(out, &self.idempotency_key);
        write_option(out, self.done_key.as_ref());
        write_bytes(out, &self.input);
        write_option(out, self.output.as_ref());
        write_bytes(out, &self.reply_topic);
        write_int(out, self.reply_partition);
        write_long(out, self.sent_at_ms);
        write_long(out, self.deadline_ms);
        match self.heartbeat_ms {
            None => write_int(out, 0),
            Some(heartbeat_ms) => {
                write_int(out, 1);
                write_long(out, heartbeat_ms);
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            definition: input.string()?,
            step: input.string()?,
            direction: input.symbol(&Direction::ALL)?,
            attempt: input.int()?,
            activity: input.string()?,
            idempotency_key: input.string()?,
            done_key: input.optional_string()?,
            input: input.vec()?,
            output: input.optional_vec()?,
            reply_topic: input.string()?,
            reply_partition: input.int()?,
            sent_at_ms: input.long()?,
            deadline_ms: input.long()?,
            heartbeat_ms: if input.present()? {
                Some(input.long()?)
            } else {
                None
            },
        })
    }
}
