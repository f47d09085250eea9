//! What a person or a tool asks of one saga.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_long,
    write_option,
};
use crate::known::RecordKind;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActKind {
    /// Undo what may have run, and end.
    Cancel,
    /// Go on with what is parked.
    Resume,
    /// Try a step again.
    Retry,
    /// Count a step as settled without doing it.
    Waive,
    /// End at once, leaving what is done.
    Terminate,
}

impl ActKind {
    const ALL: [Self; 5] = [
        Self::Cancel,
        Self::Resume,
        Self::Retry,
        Self::Waive,
        Self::Terminate,
    ];

    /// Returns the act in lower case, for logs and tools.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Waive => "waive",
            Self::Terminate => "terminate",
        }
    }

    fn place(self) -> i32 {
        match self {
            Self::Cancel => 0,
            Self::Resume => 1,
            Self::Retry => 2,
            Self::Waive => 3,
            Self::Terminate => 4,
        }
    }
}

/// What a person or a tool asks of one saga, with who and why, so that the audit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// What is asked.
    pub act: ActKind,
    /// The step meant, where the act concerns one.
    pub step: Option<String>,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Act {
    const KIND: RecordKind = RecordKind::Act;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + option_size(self.step.as_ref())
            + bytes_size(&self.by)
            + option_size(self.reason.as_ref())
            + 2 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_int(out, self.act.place());
        write_option(out, self.step.as_ref());
        write_bytes(out, &self.by);
        write_option(out, self.reason.as_ref());
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            act: input.symbol(&ActKind::ALL)?,
            step: input.optional_string()?,
            by: input.string()?,
            reason: input.optional_string()?,
            at_ms: input.long()?,
        })
    }
}
