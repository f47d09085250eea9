//! JSON within limits, and Avro as JSON.

use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, InnerDecimalSchema, NamesRef, NamespaceRef, RecordSchema, UuidSchema,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Number, Value};

use crate::datum::Input;
use crate::guard::NODE_COST;
use crate::{DecodeError, Limits};

/// What one JSON value costs, in a list that has just grown.
const VALUE_COST: usize = 3 * size_of::<Value>();
/// The largest scale of a decimal: more zeros than that are no amount of anything.
const SCALE_MAX: usize = 256;

/// Reads JSON that came from outside.
///
/// The text is looked over first, so that neither its depth nor what it will take in memory surprises.
pub(crate) fn parse(text: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    look_over(text, limits)?;
    serde_json::from_slice(text).map_err(|error| DecodeError::Malformed {
        record: "JSON".to_owned(),
        detail: error.to_string(),
    })
}

/// Holds the depth and the cost of a JSON text against the limits, without allocating.
fn look_over(text: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let mut depth = 0_usize;
    let mut cost = text.len();
    let mut quoted = false;
    let mut escaped = false;
    for byte in text {
        if quoted {
            (quoted, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                cost = cost.saturating_add(if *byte == b'{' { NODE_COST } else { VALUE_COST });
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            // An entry of an object has room in its node; half-full nodes make it dearer.
            b',' | b':' => cost = cost.saturating_add(VALUE_COST),
            _ => {}
        }
        if depth > limits.json_depth_max {
            return Err(DecodeError::TooLarge {
                what: "the depth of a JSON value",
                size: depth as u64,
                limit: limits.json_depth_max as u64,
            });
        }
        if cost > limits.allocation_max {
            return Err(DecodeError::TooLarge {
                what: "a JSON value in bytes",
                size: cost as u64,
                limit: limits.allocation_max as u64,
            });
        }
    }
    Ok(())
}

/// Reads a datum as JSON, by the schema that wrote it.
///
/// The datum must have passed [`crate::guard::check`], which bounds what this allocates. A union is its
/// value; bytes and fixed are base64; a decimal is its decimal text, so that no digit is lost; dates,
/// times and timestamps are the numbers that were written; a duration is an object of months, days and
/// millis; a number that JSON lacks is the text `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn from_avro(
    schema: &Schema,
    names: &NamesRef<'_>,
    datum: &[u8],
) -> Result<Value, String> {
    let mut input = Input::new(datum, 0);
    let value = read(schema, names, None, &mut input)?;
    input.end()?;
    Ok(value)
}

fn read<'a>(
    schema: &'a Schema,
    names: &'a NamesRef<'a>,
    namespace: NamespaceRef<'a>,
    input: &mut Input<'_>,
) -> Result<Value, String> {
    Ok(match schema {
        Schema::Null => Value::Null,
        Schema::Boolean => Value::Bool(input.take(1)? == [1]),
        Schema::Int | Schema::Date | Schema::TimeMillis => input.int()?.into(),
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => input.long()?.into(),
        Schema::Float => float(f64::from(f32::from_le_bytes(input.array()?))),
        Schema::Double => float(f64::from_le_bytes(input.array()?)),
        Schema::String | Schema::Uuid(UuidSchema::String) => input.string()?.into(),
        Schema::Bytes | Schema::BigDecimal => base64(input.bytes()?),
        Schema::Fixed(fixed) => base64(input.take(fixed.size)?),
        Schema::Uuid(UuidSchema::Bytes) => uuid(input.bytes()?)?,
        Schema::Uuid(UuidSchema::Fixed(fixed)) => uuid(input.take(fixed.size)?)?,
        Schema::Decimal(DecimalSchema { scale, inner, .. }) => {
            let bytes = match inner {
                InnerDecimalSchema::Bytes => input.bytes()?,
                InnerDecimalSchema::Fixed(fixed) => input.take(fixed.size)?,
            };
            decimal(bytes, *scale)?.into()
        }
        Schema::Duration(_) => {
            let mut part = || input.array().map(u32::from_le_bytes);
            serde_json::json!({ "months": part()?, "days": part()?, "millis": part()? })
        }
        Schema::Enum(r#enum) => input
            .symbol(
                &r#enum
                    .symbols
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )?
            .into(),
        Schema::Union(union) => {
            let branch = input.long()?;
            let variant = usize::try_from(branch)
                .ok()
                .and_then(|branch| union.variants().get(branch))
                .ok_or_else(|| format!("a union has no branch {branch}"))?;
            read(variant, names, namespace, input)?
        }
        Schema::Array(array) => {
            let mut items = Vec::new();
            loop {
                let count = input.block()?;
                if count == 0 {
                    break Value::Array(items);
                }
                for _ in 0..count {
                    items.push(read(&array.items, names, namespace, input)?);
                }
            }
        }
        Schema::Map(map) => {
            let mut entries = Map::new();
            loop {
                let count = input.block()?;
                if count == 0 {
                    break Value::Object(entries);
                }
                for _ in 0..count {
                    let key = input.string()?;
                    entries.insert(key, read(&map.types, names, namespace, input)?);
                }
            }
        }
        Schema::Record(record) => fields(record, names, namespace, input)?,
        Schema::Ref { name } => {
            let full = name.fully_qualified_name(namespace);
            let (known, schema) = names
                .get_key_value(full.as_ref())
                .ok_or_else(|| format!("the schema refers to {full}, which it lacks"))?;
            read(schema, names, known.namespace(), input)?
        }
    })
}

fn fields<'a>(
    record: &'a RecordSchema,
    names: &'a NamesRef<'a>,
    namespace: NamespaceRef<'a>,
    input: &mut Input<'_>,
) -> Result<Value, String> {
    let inner = record.name.namespace().or(namespace);
    let mut entries = Map::new();
    for field in &record.fields {
        let value = read(&field.schema, names, inner, input)?;
        entries.insert(field.name.clone(), value);
    }
    Ok(Value::Object(entries))
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(
        || {
            Value::from(if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })
        },
        Value::Number,
    )
}

fn base64(bytes: &[u8]) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

fn uuid(bytes: &[u8]) -> Result<Value, String> {
    let bytes: [u8; 16] = bytes
        .try_into()
        .map_err(|_| format!("{} bytes are no uuid", bytes.len()))?;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
    .into())
}

/// Writes a big-endian two's complement number with `scale` digits after the point.
fn decimal(bytes: &[u8], scale: usize) -> Result<String, String> {
    if scale > SCALE_MAX {
        return Err(format!("a scale of {scale} is above {SCALE_MAX}"));
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    // Decimal digits of the magnitude, the lowest first.
    let mut digits = vec![0_u8];
    let mut append = |byte: u8| {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    };
    if negative {
        for byte in negated(bytes) {
            append(byte);
        }
    } else {
        for byte in bytes {
            append(*byte);
        }
    }
    digits.resize(digits.len().max(scale + 1), 0);
    let mut text = String::with_capacity(digits.len() + 2);
    if negative {
        text.push('-');
    }
    for (place, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(b'0' + digit));
        if place == scale && scale > 0 {
            text.push('.');
        }
    }
    Ok(text)
}

/// The magnitude of a negative two's complement number.
fn negated(bytes: &[u8]) -> Vec<u8> {
    let mut magnitude: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    for byte in magnitude.iter_mut().rev() {
        let carried;
        (*byte, carried) = byte.overflowing_add(1);
        if !carried {
            break;
        }
    }
    magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_keeps_every_digit() {
        let write = |number: i128, scale| decimal(&number.to_be_bytes(), scale).unwrap();
        assert_eq!(write(0, 2), "0.00");
        assert_eq!(write(5, 2), "0.05");
        assert_eq!(write(-5, 2), "-0.05");
        assert_eq!(write(123_456, 3), "123.456");
        assert_eq!(write(-256, 0), "-256");
        assert_eq!(write(i128::MIN, 0), i128::MIN.to_string());
        assert_eq!(write(i128::MAX, 0), i128::MAX.to_string());
        assert_eq!(decimal(&[0x80], 1).unwrap(), "-12.8");
        assert_eq!(decimal(&[], 1).unwrap(), "0.0");
        assert!(decimal(&[1], 1 << 30).is_err());
    }

    #[test]
    fn a_brace_within_a_text_opens_nothing() {
        let text = format!(r#"{{"a": "{}\"["}}"#, "[{".repeat(1000));
        parse(text.as_bytes(), &Limits::default()).unwrap();
    }

    #[test]
    fn json_above_a_limit_is_refused_before_it_is_read() {
        let limits = Limits::default();
        let refused = |text: &str| {
            let error = parse(text.as_bytes(), &limits).unwrap_err();
            assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
        };
        parse("[".repeat(64).as_bytes(), &limits).unwrap_err();
        refused(&"[".repeat(65));
        refused(&"{\"a\":".repeat(100_000));
        refused(&format!("[{}0]", "0,".repeat(500_000)));
        refused(&format!("[{}0]", "{\"a\":1},".repeat(100_000)));
    }
}
