//! What is to be sent and what was sent and is not acknowledged yet.

use std::collections::HashMap;
use std::sync::Arc;

use backstitch_broker::{IncomingRecord, OutgoingRecord};
use backstitch_schemas::{DeadLetterReason, EncodeError};

use crate::intake::{Job, Rejected};
use crate::outlet::Outlet;
use crate::said::Said;

/// One thing to be sent; when it is acknowledged, its record is finished.
#[derive(Debug)]
pub(super) enum Parcel {
    Reply { job: Arc<Job>, said: Said },
    Letter(Box<Rejected>),
}

impl Parcel {
    /// The record that it answers.
    pub(super) fn origin(&self) -> &IncomingRecord {
        match self {
            Self::Reply { job, .. } => &job.record,
            Self::Letter(rejected) => &rejected.record,
        }
    }

    /// The dead letter in place of a reply that can't be delivered.
    fn given_up(self, detail: String) -> Self {
        match self {
            Self::Reply { job, .. } => Self::Letter(Box::new(Rejected {
                record: job.record.clone(),
                reason: DeadLetterReason::CannotApply,
                detail,
            })),
            Self::Letter(_) => self,
        }
    }
}

/// What is to be sent and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    next_batch: u64,
    /// To be sent with the next flush.
    pending: Vec<Parcel>,
    /// To be sent later, one by one, for something kept them from being delivered.
    troubled: Vec<Parcel>,
    unacknowledged: HashMap<u64, Vec<Parcel>>,
}

/// A batch for the producer.
#[derive(Debug)]
pub(super) struct Shipment {
    pub(super) batch_id: u64,
    pub(super) records: Vec<OutgoingRecord>,
}

impl Outbox {
    pub(super) fn add(&mut self, parcel: Parcel) {
        self.pending.push(parcel);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.troubled.is_empty() && self.unacknowledged.is_empty()
    }

    pub(super) fn has_trouble(&self) -> bool {
        !self.troubled.is_empty()
    }

    /// Makes one batch of what is pending.
    pub(super) fn flush(&mut self, outlet: &Outlet, now_ms: i64) -> Option<Shipment> {
        if self.pending.is_empty() {
            return None;
        }
        let parcels = std::mem::take(&mut self.pending);
        Some(self.ship(parcels, outlet, now_ms))
    }

    /// Makes a batch of each one that is in trouble, so that one of them can't hold up another.
    pub(super) fn retry(&mut self, outlet: &Outlet, now_ms: i64) -> Vec<Shipment> {
        std::mem::take(&mut self.troubled)
            .into_iter()
            .map(|parcel| self.ship(vec![parcel], outlet, now_ms))
            .collect()
    }

    fn ship(&mut self, parcels: Vec<Parcel>, outlet: &Outlet, now_ms: i64) -> Shipment {
        let mut records = Vec::with_capacity(parcels.len());
        let mut shipped = Vec::with_capacity(parcels.len());
        for mut parcel in parcels {
            match write(&mut parcel, outlet, now_ms) {
                Ok(record) => {
                    records.push(record);
                    shipped.push(parcel);
                }
                Err(error) => {
                    tracing::warn!(%error, "a reply can't be written yet");
                    self.troubled.push(parcel);
                }
            }
        }
        let batch_id = self.next_batch;
        self.next_batch += 1;
        self.unacknowledged.insert(batch_id, shipped);
        Shipment { batch_id, records }
    }

    /// A batch was acknowledged: returns what was in it. Empty for one that is not known (any more).
    pub(super) fn acknowledged(&mut self, batch_id: u64) -> Vec<Parcel> {
        self.unacknowledged.remove(&batch_id).unwrap_or_default()
    }

    /// Some of a batch was not delivered. What was in it is tried again, alone; a reply that fails alone becomes a dead letter.
    pub(super) fn undelivered(&mut self, batch_id: u64, reason: &str) {
        let mut parcels = self.acknowledged(batch_id);
        if parcels.len() == 1
            && let Some(parcel) = parcels.pop()
        {
            parcels.push(parcel.given_up(format!("its reply can't be delivered: {reason}")));
        }
        self.troubled.append(&mut parcels);
    }

    /// A batch was not even taken: all of it is tried again.
    pub(super) fn not_taken(&mut self, batch_id: u64) {
        let mut parcels = self.acknowledged(batch_id);
        self.troubled.append(&mut parcels);
    }

    /// Gives up everything, sent or not: its records will be read again. Returns it.
    pub(super) fn clear(&mut self) -> Vec<Parcel> {
        let mut all = std::mem::take(&mut self.pending);
        all.append(&mut self.troubled);
        all.extend(self.unacknowledged.drain().flat_map(|(_, parcels)| parcels));
        all
    }
}

/// Writes a parcel; a reply that is too large becomes a dead letter. An error is worth another try later.
fn write(parcel: &mut Parcel, outlet: &Outlet, now_ms: i64) -> Result<OutgoingRecord, EncodeError> {
    let written = match parcel {
        Parcel::Reply { job, said } => outlet.reply(job, said, now_ms),
        Parcel::Letter(rejected) => return outlet.dead_letter(rejected, now_ms),
    };
    let (Parcel::Reply { job, .. }, Err(EncodeError::TooLarge { size, .. })) = (&parcel, &written)
    else {
        return written;
    };
    let rejected = Rejected {
        record: job.record.clone(),
        reason: DeadLetterReason::Oversized,
        detail: format!("its reply of {size} bytes is larger than a message may be"),
    };
    let letter = outlet.dead_letter(&rejected, now_ms);
    *parcel = Parcel::Letter(Box::new(rejected));
    letter
}
