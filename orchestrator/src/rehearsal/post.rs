//! Records of the inbox, as services, workers and people send them.

use std::sync::Arc;

use backstitch_broker::{Headers, IncomingRecord, OutgoingRecord};
use backstitch_schemas::{Act, ActKind, Codec, Decision, EncodeError, Reply, Start, WaitEvent};

/// A record as it lies in the inbox.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Headers,
    timestamp_ms: i64,
}

impl Stored {
    fn new(key: &str, payload: Vec<u8>, at_ms: i64) -> Self {
        Self {
            key: Some(key.as_bytes().to_vec()),
            payload: Some(payload),
            headers: Headers::new(),
            timestamp_ms: at_ms,
        }
    }

    /// The start of a saga.
    pub(super) fn start(codec: &Codec, start: &Start) -> Result<Self, EncodeError> {
        let payload = codec.encode_start(start)?;
        Ok(Self::new(&start.saga, payload, start.at_ms))
    }

    /// A worker's answer.
    pub(super) fn reply(codec: &Codec, reply: &Reply) -> Result<Self, EncodeError> {
        let payload = codec.encode_reply(reply)?;
        Ok(Self::new(&reply.saga, payload, reply.at_ms))
    }

    /// Something that a saga may wait for.
    pub(super) fn event(codec: &Codec, event: &WaitEvent) -> Result<Self, EncodeError> {
        let payload = codec.encode_wait_event(event)?;
        Ok(Self::new(&event.saga, payload, event.at_ms))
    }

    /// A person decides.
    pub(super) fn decision(codec: &Codec, decision: &Decision) -> Result<Self, EncodeError> {
        let payload = codec.encode_decision(decision)?;
        Ok(Self::new(&decision.saga, payload, decision.at_ms))
    }

    /// A person acts on a saga.
    pub(super) fn act(
        codec: &Codec,
        saga: &str,
        act: ActKind,
        at_ms: i64,
    ) -> Result<Self, EncodeError> {
        let payload = codec.encode_act(&Act {
            saga: saga.to_owned(),
            act,
            step: None,
            by: "a person".to_owned(),
            reason: Some("rehearsed".to_owned()),
            at_ms,
        })?;
        Ok(Self::new(saga, payload, at_ms))
    }

    /// As it is read.
    pub(super) fn read(
        &self,
        topic: &Arc<str>,
        partition: i32,
        offset: i64,
        generation: u64,
    ) -> IncomingRecord {
        IncomingRecord {
            topic: Arc::clone(topic),
            partition,
            offset,
            generation,
            key: self.key.clone(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            timestamp_ms: self.timestamp_ms,
        }
    }
}

impl From<OutgoingRecord> for Stored {
    fn from(record: OutgoingRecord) -> Self {
        Self {
            key: record.key,
            payload: record.payload,
            headers: record.headers,
            timestamp_ms: record.timestamp_ms.unwrap_or(-1),
        }
    }
}
