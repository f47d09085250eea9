//! The example event of the documentation and the demo.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, option_size, write_bytes, write_int, write_len,
    write_long, write_option,
};
use crate::known::RecordKind;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is ordered.
    pub sku: String,
    /// Pieces, at least 1.
    pub n: i32,
}

/// Where an order goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// A customer placed an order: the example event, no part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlaced {
    /// The kind of event, `OrderPlaced`.
    pub kind: String,
    /// The order, which also names its saga.
    pub order_id: String,
    /// The customer.
    pub customer_id: String,
    /// What the customer pays, in minor units (cents).
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
    /// What is ordered.
    pub lines: Vec<Line>,
    /// Where it goes.
    pub address: Address,
    /// When it was placed, in milliseconds since 1970.
    pub placed_at_ms: i64,
    /// For trying failures out: the activity whose reference worker misbehaves on this order.
    pub fail_at: Option<String>,
    /// What that worker then does: `refuse`, `fail`, `fail_always` or `hang`. `None` is `refuse`.
    pub fail_how: Option<String>,
}

impl Datum for OrderPlaced {
    const KIND: RecordKind = RecordKind::OrderPlaced;

    fn size_max(&self) -> usize {
        let lines: usize = self
            .lines
            .iter()
            .map(|line| bytes_size(&line.sku) + VARINT_LEN_MAX)
            .sum();
        bytes_size(&self.kind)
            + bytes_size(&self.order_id)
            + bytes_size(&self.customer_id)
            + bytes_size(&self.currency)
            + bytes_size(&self.address.street)
            + bytes_size(&self.address.city)
            + bytes_size(&self.address.country)
            + option_size(self.fail_at.as_ref())
            + option_size(self.fail_how.as_ref())
            + lines
            + 4 * VARINT_LEN_MAX
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, &self.kind);
        write_bytes(out, &self.order_id);
        write_bytes(out, &self.customer_id);
        write_long(out, self.total);
        write_bytes(out, &self.currency);
        if !self.lines.is_empty() {
            write_len(out, self.lines.len());
            for line in &self.lines {
                write_bytes(out, &line.sku);
                write_int(out, line.n);
            }
        }
        out.push(0);
        write_bytes(out, &self.address.street);
        write_bytes(out, &self.address.city);
        write_bytes(out, &self.address.country);
        write_long(out, self.placed_at_ms);
        write_option(out, self.fail_at.as_ref());
        write_option(out, self.fail_how.as_ref());
    }

    fn read(input: &mut Input<'_>) -> Result<Self, String> {
        Ok(Self {
            kind: input.string()?,
            order_id: input.string()?,
            customer_id: input.string()?,
            total: input.long()?,
            currency: input.string()?,
            lines: input.items(|input| {
                Ok(Line {
                    sku: input.string()?,
                    n: input.int()?,
                })
            })?,
            address: Address {
                street: input.string()?,
                city: input.string()?,
                country: input.string()?,
            },
            placed_at_ms: input.long()?,
            fail_at: input.optional_string()?,
            fail_how: input.optional_string()?,
        })
    }
}
