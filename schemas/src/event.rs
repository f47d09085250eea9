//! Events that other services publish: Avro or JSON, plain or as CloudEvents.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

#[cfg(feature = "registry")]
use crate::Registry;
use crate::frame::{self, CONFLUENT, SINGLE_OBJECT};
use crate::writer::Writer;
use crate::{DecodeError, Limits, RecordKind, SchemaRef, json, known, time, wire};

/// An event as expressions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened. Avro becomes JSON: a union is its value, bytes and fixed are base64, a decimal is
    /// text, dates and timestamps are the numbers that were written.
    pub value: Value,
    /// W3C trace context, as it came.
    pub traceparent: Option<String>,
    /// W3C trace state, as it came.
    pub tracestate: Option<String>,
    /// The CloudEvents id.
    pub ce_id: Option<String>,
    /// The CloudEvents type.
    pub ce_type: Option<String>,
    /// The CloudEvents source.
    pub ce_source: Option<String>,
    /// The CloudEvents subject.
    pub ce_subject: Option<String>,
    /// The CloudEvents time in milliseconds since 1970; `None` where it is missing or no RFC 3339.
    pub time_ms: Option<i64>,
}

/// A value as it was written, and what it was written with.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadValue {
    /// The value; Avro becomes JSON as in [`Event::value`].
    pub value: Value,
    /// The full name of its schema; `None` for JSON without a frame.
    pub schema: Option<String>,
    /// Which record of the wire it is, by the name of its schema.
    pub kind: Option<RecordKind>,
}

/// Says why a schema file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the schema cannot be used: {detail}")]
pub struct SchemaError {
    detail: String,
}

/// What events may be written with, beside JSON: schema files, and a registry.
///
/// Cheap to clone. The example event's schema is always known.
#[derive(Debug, Clone, Default)]
pub struct EventSchemas {
    files: Arc<HashMap<u64, Arc<Writer>>>,
    /// For what names no schema that is known.
    otherwise: Option<Arc<Writer>>,
    limits: Limits,
    #[cfg(feature = "registry")]
    registry: Option<Registry>,
}

impl EventSchemas {
    /// Knows the example event, and JSON.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the text of a schema file, for events in the single-object framing.
    ///
    /// The same schema twice is the same as once. Each stays in memory for the life of the process.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] where the text is no Avro schema.
    pub fn with_schema(mut self, avsc: &str) -> Result<Self, SchemaError> {
        let writer = Writer::avro(avsc, &[]).map_err(|detail| SchemaError { detail })?;
        if let Some(fingerprint) = writer.fingerprint() {
            Arc::make_mut(&mut self.files).insert(fingerprint, Arc::new(writer));
        }
        Ok(self)
    }

    /// Adds the text of a schema file for values that name no schema, or one that is not known: bare datums, and the Confluent
    /// framing where its registry is not at hand. Values that name it are read with it too.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] where the text is no Avro schema.
    pub fn with_schema_otherwise(self, avsc: &str) -> Result<Self, SchemaError> {
        let mut this = self.with_schema(avsc)?;
        let writer = Writer::avro(avsc, &[]).map_err(|detail| SchemaError { detail })?;
        this.otherwise = Some(Arc::new(writer));
        Ok(this)
    }

    /// Adds a registry, for events in the Confluent framing.
    #[cfg(feature = "registry")]
    #[must_use]
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads any value of any topic by its first bytes: an Avro frame, or else a bare datum where a schema was given for that,
    /// or else JSON. Says what it was written with.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`]'s variants say.
    pub fn read(&self, payload: &[u8]) -> Result<ReadValue, DecodeError> {
        let (value, writer) = self.read_with_writer(payload)?;
        Ok(ReadValue {
            value,
            schema: writer.map(|writer| writer.name().to_owned()),
            kind: writer.and_then(Writer::kind),
        })
    }

    /// The same; no writer where it is JSON without a frame.
    fn read_with_writer(&self, payload: &[u8]) -> Result<(Value, Option<&Writer>), DecodeError> {
        if payload.first() != Some(&CONFLUENT) && !payload.starts_with(&SINGLE_OBJECT) {
            let Some(writer) = self.otherwise.as_deref() else {
                return Ok((json::parse(payload, &self.limits)?, None));
            };
            return match writer.value(payload, &self.limits) {
                Ok(value) => Ok((value, Some(writer))),
                Err(error) => match json::parse(payload, &self.limits) {
                    Ok(value) => Ok((value, None)),
                    Err(_) => Err(error),
                },
            };
        }
        let (schema, datum) = frame::split(payload)?;
        let writer = match schema {
            SchemaRef::Fingerprint(fingerprint) => self
                .files
                .get(&fingerprint)
                .map(Arc::as_ref)
                .or_else(|| known::by_fingerprint(fingerprint)),
            #[cfg(feature = "registry")]
            SchemaRef::Id(id) => match &self.registry {
                Some(registry) => registry.writer_for_record(id)?,
                None => None,
            },
            #[cfg(not(feature = "registry"))]
            SchemaRef::Id(_) => None,
        };
        let writer = writer
            .or(self.otherwise.as_deref())
            .ok_or(DecodeError::UnknownSchema { schema })?;
        Ok((writer.value(datum, &self.limits)?, Some(writer)))
    }
}

/// Reads what another service published.
///
/// Whether it is Avro or JSON is told by its first bytes. CloudEvents are read in binary mode (`ce_`
/// headers) and in structured mode (a `content-type` of `application/cloudevents+json`), where the data
/// is the event. Header names are compared without case, as HTTP gateways change it; of several headers
/// with one name the first counts, and one that is not UTF-8 counts as missing.
///
/// # Errors
///
/// As [`DecodeError`]'s variants say. An empty payload is [`DecodeError::Garbage`].
pub fn decode_event<'h>(
    payload: &[u8],
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    schemas: &EventSchemas,
) -> Result<Event, DecodeError> {
    let limit = schemas.limits.input_bytes_max;
    if payload.len() > limit {
        return Err(DecodeError::TooLarge {
            what: "an event in bytes",
            size: payload.len() as u64,
            limit: limit as u64,
        });
    }
    if payload.is_empty() {
        return Err(DecodeError::Garbage {
            detail: "an event without a value".to_owned(),
        });
    }
    let headers = Headers::collect(headers);
    let structured = headers
        .content_type
        .is_some_and(|media_type| is_media_type(media_type, wire::CONTENT_TYPE_CLOUDEVENT));
    if structured {
        return structured_event(payload, &headers, schemas);
    }
    let text = |header: Option<&str>| header.map(str::to_owned);
    Ok(Event {
        value: schemas.read_with_writer(payload)?.0,
        traceparent: text(headers.traceparent),
        tracestate: text(headers.tracestate),
        ce_id: text(headers.id),
        ce_type: text(headers.kind),
        ce_source: text(headers.source),
        ce_subject: text(headers.subject),
        time_ms: headers.time.and_then(time::rfc3339_ms),
    })
}

/// Reads a CloudEvent in structured JSON mode.
fn structured_event(
    payload: &[u8],
    headers: &Headers<'_>,
    schemas: &EventSchemas,
) -> Result<Event, DecodeError> {
    let malformed = |detail: &str| DecodeError::Malformed {
        record: "a CloudEvent".to_owned(),
        detail: detail.to_owned(),
    };
    let Value::Object(mut envelope) = json::parse(payload, &schemas.limits)? else {
        return Err(malformed("it is no object"));
    };
    let value = match (envelope.remove("data"), envelope.remove("data_base64")) {
        (Some(_), Some(_)) => return Err(malformed("it has data twice")),
        (Some(data), None) => data,
        (None, Some(Value::String(text))) => {
            let data = BASE64_STANDARD
                .decode(text)
                .map_err(|_| malformed("data_base64 is no base64"))?;
            schemas.read_with_writer(&data)?.0
        }
        (None, Some(_)) => return Err(malformed("data_base64 is no text")),
        (None, None) => Value::Null,
    };
    let mut attribute = |name: &str| match envelope.remove(name) {
        Some(Value::String(text)) => Some(text),
        Some(_) | None => None,
    };
    // The record's own trace header is nearer to the sending than the envelope's.
    Ok(Event {
        value,
        traceparent: headers
            .traceparent
            .map(str::to_owned)
            .or_else(|| attribute("traceparent")),
        tracestate: headers
            .tracestate
            .map(str::to_owned)
            .or_else(|| attribute("tracestate")),
        ce_id: attribute("id"),
        ce_type: attribute("type"),
        ce_source: attribute("source"),
        ce_subject: attribute("subject"),
        time_ms: attribute("time").as_deref().and_then(time::rfc3339_ms),
    })
}

/// The headers that say something about an event.
#[derive(Default)]
struct Headers<'h> {
    content_type: Option<&'h str>,
    traceparent: Option<&'h str>,
    tracestate: Option<&'h str>,
    id: Option<&'h str>,
    kind: Option<&'h str>,
    source: Option<&'h str>,
    subject: Option<&'h str>,
    time: Option<&'h str>,
}

impl<'h> Headers<'h> {
    fn collect(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let slots = [
                (wire::CONTENT_TYPE, &mut found.content_type),
                (wire::TRACEPARENT, &mut found.traceparent),
                (wire::TRACESTATE, &mut found.tracestate),
                (wire::CE_ID, &mut found.id),
                (wire::CE_TYPE, &mut found.kind),
                (wire::CE_SOURCE, &mut found.source),
                (wire::CE_SUBJECT, &mut found.subject),
                (wire::CE_TIME, &mut found.time),
            ];
            for (known, slot) in slots {
                if slot.is_none() && name.eq_ignore_ascii_case(known) {
                    *slot = std::str::from_utf8(value).ok();
                }
            }
        }
        found
    }
}

/// Compares a media type, leaving its parameters out.
fn is_media_type(text: &str, expected: &str) -> bool {
    let bare = text.split(';').next().unwrap_or_default();
    bare.trim().eq_ignore_ascii_case(expected)
}
