//! Refuses a datum that would cost too much, before a decoder allocates for it.
//!
//! apache-avro up to 0.22 believes the counts in a datum: an array of nulls takes no bytes an item, so a
//! hundred bytes can ask for gigabytes, and a schema that refers to itself nests as deep as the input
//! says. It also reads a string or a union that is cut off as null. So each datum that goes to the
//! generic decoder is walked by its schema first: nothing is allocated, every length is held against what
//! remains, and an estimate of what decoding will take is held against the limits.

use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, InnerDecimalSchema, NamesRef, NamespaceRef, RecordSchema, UuidSchema,
};
use apache_avro::types::Value;

use crate::datum::Input;
use crate::{DecodeError, Limits};

/// What one value costs: once as Avro, once resolved or as JSON, twice while a list grows.
const VALUE_COST: usize = 2 * (size_of::<Value>() + size_of::<serde_json::Value>());
/// What an entry of a record or a map costs beside its name and its value: its share of tree nodes and
/// hash buckets that are half full.
const ENTRY_COST: usize = 256;
/// What a record or a map costs that has any entry: the first node of a tree.
pub(crate) const NODE_COST: usize = 640;
/// Bytes of the longest decimal: 154 digits, where converting to text is still cheap.
const DECIMAL_BYTES_MAX: usize = 64;

/// Walks `datum` by the schema that wrote it.
///
/// # Errors
///
/// [`DecodeError::TooLarge`] where a limit is passed, [`DecodeError::Malformed`] where the bytes do not
/// fit the schema or go on after the datum.
pub(crate) fn check(
    schema: &Schema,
    names: &NamesRef<'_>,
    datum: &[u8],
    limits: &Limits,
    record: &str,
) -> Result<(), DecodeError> {
    let mut guard = Guard {
        names,
        input: Input::new(datum, limits.allocation_max),
        limits,
        cost: 0,
        depth: 0,
    };
    let walked = guard
        .walk(schema, None)
        .and_then(|()| guard.input.end().map_err(Refusal::Malformed));
    walked.map_err(|refusal| match refusal {
        Refusal::Malformed(detail) => DecodeError::Malformed {
            record: record.to_owned(),
            detail,
        },
        Refusal::TooLarge { what, size, limit } => DecodeError::TooLarge { what, size, limit },
    })
}

enum Refusal {
    Malformed(String),
    TooLarge {
        what: &'static str,
        size: u64,
        limit: u64,
    },
}

impl From<String> for Refusal {
    fn from(detail: String) -> Self {
        Self::Malformed(detail)
    }
}

struct Guard<'a> {
    names: &'a NamesRef<'a>,
    input: Input<'a>,
    limits: &'a Limits,
    cost: usize,
    depth: usize,
}

impl<'a> Guard<'a> {
    fn walk(&mut self, schema: &'a Schema, namespace: NamespaceRef<'a>) -> Result<(), Refusal> {
        self.charge(VALUE_COST)?;
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => match self.input.take(1)? {
                [0 | 1] => Ok(()),
                other => Err(format!("{other:?} is no boolean").into()),
            },
            Schema::Int | Schema::Date | Schema::TimeMillis => {
                self.input.int()?;
                Ok(())
            }
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => {
                self.input.long()?;
                Ok(())
            }
            Schema::Float => self.fixed(4),
            Schema::Double => self.fixed(8),
            Schema::Bytes
            | Schema::String
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes) => {
                let len = self.input.bytes()?.len();
                self.charge_bytes(len)
            }
            Schema::BigDecimal
            | Schema::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Bytes,
                ..
            }) => {
                let len = self.input.bytes()?.len();
                Self::decimal(len)
            }
            Schema::Decimal(DecimalSchema {
                inner: InnerDecimalSchema::Fixed(fixed),
                ..
            }) => {
                Self::decimal(fixed.size)?;
                self.fixed(fixed.size)
            }
            Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Duration(fixed)
            | Schema::Fixed(fixed) => self.fixed(fixed.size),
            Schema::Enum(r#enum) => {
                let place = self.input.int()?;
                match usize::try_from(place) {
                    Ok(place) if place < r#enum.symbols.len() => {
                        self.charge_bytes(r#enum.symbols[place].len())
                    }
                    _ => Err(format!("an enum has no symbol {place}").into()),
                }
            }
            Schema::Union(union) => {
                let branch = self.input.long()?;
                match usize::try_from(branch)
                    .ok()
                    .and_then(|branch| union.variants().get(branch))
                {
                    Some(variant) => self.walk(variant, namespace),
                    None => Err(format!("a union has no branch {branch}").into()),
                }
            }
            Schema::Array(array) => {
                self.nested(|guard| guard.blocks(|guard| guard.walk(&array.items, namespace)))
            }
            Schema::Map(map) => self.nested(|guard| {
                guard.charge(NODE_COST)?;
                guard.blocks(|guard| {
                    let key_len = guard.input.bytes()?.len();
                    guard.charge(ENTRY_COST)?;
                    guard.charge_bytes(key_len)?;
                    guard.walk(&map.types, namespace)
                })
            }),
            Schema::Record(record) => self.nested(|guard| guard.record(record, namespace)),
            Schema::Ref { name } => {
                let full = name.fully_qualified_name(namespace);
                match self.names.get_key_value(full.as_ref()) {
                    Some((known, schema)) => self.walk(schema, known.namespace()),
                    None => Err(format!("the schema refers to {full}, which it lacks").into()),
                }
            }
        }
    }

    fn record(
        &mut self,
        record: &'a RecordSchema,
        namespace: NamespaceRef<'a>,
    ) -> Result<(), Refusal> {
        let inner = record.name.namespace().or(namespace);
        if !record.fields.is_empty() {
            self.charge(NODE_COST)?;
        }
        for field in &record.fields {
            self.charge(ENTRY_COST)?;
            self.charge_bytes(field.name.len())?;
            self.walk(&field.schema, inner)?;
        }
        Ok(())
    }

    /// Walks a list's blocks. Items that take no bytes count as one: a list is never longer than what
    /// remains of the input.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        loop {
            let count = self.input.block()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    fn nested(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            return Err(Refusal::TooLarge {
                what: "the depth of a value",
                size: self.depth as u64,
                limit: self.limits.depth_max as u64,
            });
        }
        walk(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn fixed(&mut self, size: usize) -> Result<(), Refusal> {
        self.input.take(size)?;
        self.charge_bytes(size)
    }

    fn decimal(len: usize) -> Result<(), Refusal> {
        if len > DECIMAL_BYTES_MAX {
            return Err(Refusal::TooLarge {
                what: "a decimal in bytes",
                size: len as u64,
                limit: DECIMAL_BYTES_MAX as u64,
            });
        }
        Ok(())
    }

    /// Charges for text or bytes, which exist twice while they are turned into JSON.
    fn charge_bytes(&mut self, len: usize) -> Result<(), Refusal> {
        self.charge(len.saturating_mul(2))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.cost = self.cost.saturating_add(bytes);
        if self.cost > self.limits.allocation_max {
            return Err(Refusal::TooLarge {
                what: "a decoded value in bytes",
                size: self.cost as u64,
                limit: self.limits.allocation_max as u64,
            });
        }
        Ok(())
    }
}
