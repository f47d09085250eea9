//! The example event of the documentation and the demo.

use crate::datum::{
    Datum, Input, VARINT_LEN_MAX, bytes_size, write_bytes, write_int, write_len, write_long,
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
        })
    }
}
