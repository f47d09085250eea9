//! What a person says to a step that waits for approval.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_boolean, write_bytes, write_long,
    write_option,
};
use crate::known::RecordKind;

/// Approves or refuses, with who, in which role and why, so that the audit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The saga key, which is also the record's key.
    pub saga: String,
    /// The occurrence meant; `None` where only one waits.
    pub step: Option<String>,
    /// Yes or no.
    pub approved: bool,
    /// Who decides.
    pub by: String,
    /// In which role. Where the step names roles, it must be one of them.
    pub role: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Datum for Decision {
    const KIND: RecordKind = RecordKind::Decision;

    fn size_max(&self) -> usize {
        bytes_size(&self.saga)
            + option_size(self.step.as_ref())
            + 1
            + bytes_size(&self.by)
            + option_size(self.role.as_ref())
            + option_size(self.reason.as_ref())
            + VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.saga);
        write_option(out, self.step.as_ref());
        write_boolean(out, self.approved);
        write_bytes(out, &self.by);
        write_option(out, self.role.as_ref());
        write_option(out, self.reason.as_ref());
        write_long(out, self.at_ms);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            saga: input.string()?,
            step: input.optional_string()?,
            approved: input.boolean()?,
            by: input.string()?,
            role: input.optional_string()?,
            reason: input.optional_string()?,
            at_ms: input.long()?,
        })
    }
}
