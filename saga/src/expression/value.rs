//! Between JSON and CEL.

use std::borrow::Cow;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use cel::objects::{Key, OptionalValue};
use serde_json::{Map, Number, Value};

use super::limits::RESULT_BYTES_MAX;

/// JSON as CEL sees it; text is borrowed where it can be.
pub(super) fn to_cel<'v>(value: Cow<'v, Value>) -> Box<dyn Val + 'v> {
    match value {
        Cow::Borrowed(Value::String(text)) => Box::new(CelString::from(text.as_str())),
        Cow::Owned(Value::String(text)) => Box::new(CelString::from(text)),
        Cow::Borrowed(Value::Array(items)) => list(items.iter().map(Cow::Borrowed)),
        Cow::Owned(Value::Array(items)) => list(items.into_iter().map(Cow::Owned)),
        Cow::Borrowed(Value::Object(fields)) => object(
            fields
                .iter()
                .map(|(name, field)| (CelString::from(name.as_str()), Cow::Borrowed(field))),
        ),
        Cow::Owned(Value::Object(fields)) => object(
            fields
                .into_iter()
                .map(|(name, field)| (CelString::from(name), Cow::Owned(field))),
        ),
        Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => Box::new(CelNull),
        Cow::Borrowed(Value::Bool(truth)) => Box::new(CelBool::from(*truth)),
        Cow::Owned(Value::Bool(truth)) => Box::new(CelBool::from(truth)),
        Cow::Borrowed(Value::Number(number)) => number_to_cel(number),
        Cow::Owned(Value::Number(number)) => number_to_cel(&number),
    }
}

fn list<'v>(items: impl Iterator<Item = Cow<'v, Value>>) -> Box<dyn Val + 'v> {
    let items: Vec<Box<dyn Val + 'v>> = items.map(to_cel).collect();
    Box::new(CelList::from(items))
}

#[expect(
    clippy::disallowed_types,
    reason = "CEL's map is one; comprehensions go through its keys in order (see `IN_ORDER`)"
)]
fn object<'v>(fields: impl Iterator<Item = (CelString<'v>, Cow<'v, Value>)>) -> Box<dyn Val + 'v> {
    let fields: std::collections::HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = fields
        .map(|(name, field)| (CelMapKey::String(name), to_cel(field)))
        .collect();
    Box::new(CelMap::from(fields))
}

fn number_to_cel<'v>(number: &Number) -> Box<dyn Val + 'v> {
    if let Some(int) = number.as_i64() {
        Box::new(CelInt::from(int))
    } else if let Some(uint) = number.as_u64() {
        Box::new(CelUInt::from(uint))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}

/// CEL's result as JSON, within [`RESULT_BYTES_MAX`]. An empty optional is null.
pub(super) fn from_cel(value: &cel::Value) -> Result<Value, String> {
    let mut room = RESULT_BYTES_MAX;
    convert(value, &mut room)
}

fn take(room: &mut usize, bytes: usize) -> Result<(), String> {
    *room = room
        .checked_sub(bytes)
        .ok_or_else(|| format!("the result is larger than {RESULT_BYTES_MAX} bytes"))?;
    Ok(())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what CEL may add has no JSON until we say which"
)]
fn convert(value: &cel::Value, room: &mut usize) -> Result<Value, String> {
    const ELEMENT_BYTES: usize = 8;
    take(room, ELEMENT_BYTES)?;
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(truth) => Value::Bool(*truth),
        cel::Value::Int(int) => Value::from(*int),
        cel::Value::UInt(uint) => Value::from(*uint),
        cel::Value::Float(double) => Number::from_f64(*double)
            .map(Value::Number)
            .ok_or_else(|| format!("the result is {double}, which JSON does not have"))?,
        cel::Value::String(text) => {
            take(room, text.len())?;
            Value::String(text.as_ref().clone())
        }
        cel::Value::Bytes(bytes) => {
            take(room, bytes.len() / 3 * 4)?;
            Value::String(base64(bytes))
        }
        cel::Value::List(items) => Value::Array(
            items
                .iter()
                .map(|item| convert(item, room))
                .collect::<Result<_, _>>()?,
        ),
        cel::Value::Map(map) => {
            let mut fields = Map::new();
            for (key, field) in map.map.iter() {
                let name = match key {
                    Key::String(name) => name.as_ref().clone(),
                    Key::Int(int) => int.to_string(),
                    Key::Uint(uint) => uint.to_string(),
                    Key::Bool(truth) => truth.to_string(),
                };
                take(room, name.len())?;
                if fields.insert(name, convert(field, room)?).is_some() {
                    return Err(
                        "two keys of the result, of different types, have the same text".to_owned(),
                    );
                }
            }
            Value::Object(fields)
        }
        cel::Value::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => match optional.value() {
                Some(value) => convert(value, room)?,
                None => Value::Null,
            },
            None => return Err("the result has no JSON".to_owned()),
        },
        _ => {
            return Err(format!(
                "the result is a {}, which has no JSON",
                value.type_of()
            ));
        }
    })
}

/// Standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            if n > chunk.len() {
                text.push('=');
            } else {
                let index = (group >> (18 - 6 * n)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            }
        }
    }
    text
}

/// What a loop pays for an element: one for each value in it, and one for each byte of text.
pub(super) fn cost(value: &cel::Value) -> u64 {
    let len = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let mut sum = 0_u64;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        sum = sum.saturating_add(1);
        if let cel::Value::List(items) = value {
            open.extend(items.iter());
        } else if let cel::Value::Map(map) = value {
            open.extend(map.map.values());
            sum = sum.saturating_add(len(map.map.len()));
        } else if let cel::Value::String(text) = value {
            sum = sum.saturating_add(len(text.len()));
        } else if let cel::Value::Bytes(bytes) = value {
            sum = sum.saturating_add(len(bytes.len()));
        }
    }
    sum
}

/// What a value is, for a message: never its contents, which have no order in a map.
pub(super) fn kind(value: &cel::Value) -> String {
    let kind = value.type_of();
    if let cel::Value::Int(int) = value {
        format!("{kind} {int}")
    } else if let cel::Value::UInt(uint) = value {
        format!("{kind} {uint}")
    } else if let cel::Value::Float(double) = value {
        format!("{kind} {double}")
    } else {
        kind.to_string()
    }
}
