//! How a record is written: for people, in a few lines or whole; for programs, as one object a line.

use backstitch_broker::IncomingRecord;
use serde_json::{Value, json};

use super::record_read::{Reader, Seen, Understood};
use super::text::{base64, harmless, shortened, write_bytes, write_time};

/// Characters of a value, of all headers and of a key in a list; `show` and the JSON have all of it.
const VALUE_CHARS: usize = 1_000;
const HEADERS_CHARS: usize = 300;
const KEY_CHARS: usize = 100;
/// Characters of bytes that `show` writes as hex.
const HEX_CHARS: usize = 12_000;

/// A record in a few lines, for lists.
pub(crate) fn brief(record: &IncomingRecord, reader: &mut Reader) -> String {
    let understood = reader.read(record);
    let mut text = format!(
        "{}/{}  {}  {}",
        record.partition,
        record.offset,
        time(record),
        key(record, reader, KEY_CHARS)
    );
    if !record.headers.is_empty() {
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", header(value, 100)))
            .collect();
        text.push_str(&format!(
            "\n  headers  {}",
            shortened(&headers.join("  "), HEADERS_CHARS)
        ));
    }
    text.push_str(&format!("\n  {}", in_brief(record, &understood)));
    if let Some(reason) = &understood.undecoded {
        text.push_str(&format!("\n  not decoded: {reason}"));
    }
    harmless(&text)
}

/// What a value says, in a line; a journal entry in a line each change.
fn in_brief(record: &IncomingRecord, understood: &Understood) -> String {
    if let Some(entry) = &understood.entry {
        let mut text = format!(
            "backstitch.v1.JournalEntry #{} {}, by {}",
            entry.seq, entry.status, entry.cause
        );
        for change in &entry.changes {
            text.push_str(&format!("\n    {}", shortened(change, VALUE_CHARS)));
        }
        return text;
    }
    match &understood.seen {
        Seen::Null => "null: a tombstone".to_owned(),
        Seen::Avro { schema, value } => {
            format!("{schema} {}", shortened(&value.to_string(), VALUE_CHARS))
        }
        Seen::Json(value) => shortened(&value.to_string(), VALUE_CHARS),
        Seen::Text(text) if text.is_empty() => "(empty)".to_owned(),
        Seen::Text(text) => shortened(text, VALUE_CHARS).replace('\n', "\n  "),
        Seen::Bytes => write_bytes(payload(record), 200),
    }
}

/// A record whole.
pub(crate) fn whole(record: &IncomingRecord, reader: &mut Reader) -> String {
    let understood = reader.read(record);
    let mut text = format!(
        "topic     {}\nplace     {}/{}\nwritten   {}\nkey       {}\n",
        record.topic,
        record.partition,
        record.offset,
        time(record),
        key(record, reader, HEX_CHARS),
    );
    for (name, value) in record.headers.iter() {
        let value = header(value, HEX_CHARS);
        text.push_str(&format!("header    {name} = {value}\n"));
    }
    let size = record.payload.as_ref().map_or(0, Vec::len);
    text.push_str(&match &understood.seen {
        Seen::Null => "value     null: a tombstone".to_owned(),
        Seen::Avro { schema, value } => {
            format!("schema    {schema}, {size} bytes of Avro\nvalue     {value:#}")
        }
        Seen::Json(value) => format!("schema    none, {size} bytes of JSON\nvalue     {value:#}"),
        Seen::Text(text) => format!("schema    none, {size} bytes of text\nvalue     {text}"),
        Seen::Bytes => format!(
            "schema    none\nvalue     {}",
            write_bytes(payload(record), HEX_CHARS)
        ),
    });
    if let Some(entry) = &understood.entry {
        text.push_str(&format!("\ncause     {}", entry.cause));
        for change in &entry.changes {
            text.push_str(&format!("\nchange    {change}"));
        }
    }
    if let Some(reason) = &understood.undecoded {
        text.push_str(&format!("\nnot decoded: {reason}"));
    }
    harmless(&text)
}

/// A record for programs.
pub(crate) fn json_of(record: &IncomingRecord, reader: &mut Reader) -> Value {
    let understood = reader.read(record);
    let key_value = record.key.as_deref().and_then(|bytes| reader.key(bytes));
    let mut json = json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": key_value,
        "headers": record.headers.iter().map(|(name, value)| header_json(name, value)).collect::<Vec<_>>(),
    });
    if let (None, Some(bytes)) = (&key_value, &record.key) {
        json["key_base64"] = base64(bytes).into();
    }
    let (format, schema, value) = match understood.seen {
        Seen::Null => ("null", None, Value::Null),
        Seen::Avro { schema, value } => ("avro", Some(schema), value),
        Seen::Json(value) => ("json", None, value),
        Seen::Text(text) => ("text", None, text.into()),
        Seen::Bytes => {
            json["value_base64"] = base64(payload(record)).into();
            ("bytes", None, Value::Null)
        }
    };
    json["format"] = format.into();
    json["schema"] = schema.into();
    json["value"] = value;
    if let Some(entry) = understood.entry {
        json["cause"] = entry.cause.into();
        json["changes"] = entry.changes.into();
    }
    if let Some(reason) = understood.undecoded {
        json["undecoded"] = reason.into();
    }
    json
}

fn header_json(name: &str, value: Option<&[u8]>) -> Value {
    match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => json!({ "name": name, "value": null }),
        Some((_, Ok(text))) => json!({ "name": name, "value": text }),
        Some((bytes, Err(_))) => {
            json!({ "name": name, "value": null, "value_base64": base64(bytes) })
        }
    }
}

/// Whether a text is in the record's key, a header or its value, as they are read.
pub(crate) fn contains(record: &IncomingRecord, reader: &mut Reader, text: &str) -> bool {
    let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    if record.key.as_deref().is_some_and(is_in)
        || record.payload.as_deref().is_some_and(is_in)
        || record
            .headers
            .iter()
            .any(|(name, value)| name.contains(text) || value.is_some_and(is_in))
    {
        return true;
    }
    // What stands in an Avro record as text was found by its bytes; numbers and what is packed in it were not.
    let understood = reader.read(record);
    let in_words = understood.entry.is_some_and(|entry| {
        entry.cause.contains(text) || entry.changes.iter().any(|change| change.contains(text))
    });
    in_words
        || match understood.seen {
            Seen::Avro { schema, value } => {
                schema.contains(text) || value.to_string().contains(text)
            }
            Seen::Json(value) => value.to_string().contains(text),
            Seen::Null | Seen::Text(_) | Seen::Bytes => false,
        }
}

fn time(record: &IncomingRecord) -> String {
    if record.timestamp_ms < 0 {
        "no time".to_owned()
    } else {
        write_time(record.timestamp_ms)
    }
}

fn key(record: &IncomingRecord, reader: &mut Reader, chars_max: usize) -> String {
    let Some(bytes) = record.key.as_deref() else {
        return "(no key)".to_owned();
    };
    match reader.key(bytes) {
        Some(Value::String(text)) if text.is_empty() => "(empty key)".to_owned(),
        Some(Value::String(text)) => shortened(&text, chars_max),
        Some(value) => shortened(&value.to_string(), chars_max),
        None => write_bytes(bytes, chars_max),
    }
}

fn header(value: Option<&[u8]>, chars_max: usize) -> String {
    value.map_or_else(|| "null".to_owned(), |bytes| write_bytes(bytes, chars_max))
}

fn payload(record: &IncomingRecord) -> &[u8] {
    record.payload.as_deref().unwrap_or_default()
}
