//! Whether a bad record was set aside as it should be.

use backstitch_broker::{IncomingRecord, OutgoingRecord};
use backstitch_schemas::{Codec, DeadLetter, DeadLetterReason, HeaderField, Limits, wire};

use super::orders::Order;
use super::world::World;

impl World {
    /// Publishes a bad record and a good order right after it on the same partition. The order settles, each of its effects
    /// once; the record becomes one dead letter, whole, with this reason.
    pub fn sets_aside(&self, bad: OutgoingRecord, reason: DeadLetterReason) -> DeadLetter {
        let (letter, bad, at) = self.sets_aside_somehow(bad, reason);
        assert_eq!(letter.value, bad.payload, "its bytes are kept at {at:?}");
        assert_eq!(letter.key, bad.key, "its key is kept");
        let headers: Vec<HeaderField> = bad
            .headers
            .iter()
            .map(|(name, value)| HeaderField {
                name: name.to_owned(),
                value: value.map(<[u8]>::to_vec),
            })
            .collect();
        assert_eq!(letter.headers, headers, "its headers are kept");
        letter
    }

    /// The same, but for what the dead letter keeps of the record.
    pub fn sets_aside_somehow(
        &self,
        mut bad: OutgoingRecord,
        reason: DeadLetterReason,
    ) -> (DeadLetter, OutgoingRecord, (i32, i64)) {
        bad.headers.push("x-from", b"\xfft\0est");
        bad.headers.push_field("x-null", None);
        let (letter, at) = self.set_aside(&bad);
        assert_eq!(letter.reason, reason, "{}", letter.detail);
        (letter, bad, at)
    }

    fn set_aside(&self, bad: &OutgoingRecord) -> (DeadLetter, (i32, i64)) {
        let topic = bad.topic.to_string();
        let at = self.produce(bad.clone());
        let good = self.good_after(&topic, at.0);
        self.completes(&good);

        let lies_there =
            |letter: &DeadLetter| letter.topic == topic && (letter.partition, letter.offset) == at;
        let what = format!("the dead letter of {topic} {at:?}");
        let (record, letter) = self.tape().wait(&what, |records| {
            let mut letters = self.letters(records).into_iter();
            letters.find(|(_, letter)| lies_there(letter))
        });
        assert!(!letter.detail.is_empty());
        let (partition, offset) = (at.0.to_string(), at.1.to_string());
        for (name, value) in [
            (wire::DLQ_REASON, letter.reason.as_str()),
            (wire::DLQ_ORIGINAL_TOPIC, &topic),
            (wire::DLQ_ORIGINAL_PARTITION, &partition),
            (wire::DLQ_ORIGINAL_OFFSET, &offset),
            (wire::DLQ_DETAIL, &letter.detail),
        ] {
            let found = record.header(name).map(String::from_utf8_lossy);
            assert_eq!(found.as_deref(), Some(value), "the header {name}");
        }
        let count = self.letters_from(&topic, at).len();
        assert_eq!(count, 1, "dead letters of {topic} {at:?}");
        (letter, at)
    }

    /// The same as [`Self::sets_aside_somehow`], with one of several reasons.
    pub fn sets_aside_as_any_of(
        &self,
        bad: &OutgoingRecord,
        reasons: &[DeadLetterReason],
    ) -> DeadLetter {
        let (letter, _) = self.set_aside(bad);
        assert!(
            reasons.contains(&letter.reason),
            "{}: {}",
            letter.reason,
            letter.detail
        );
        letter
    }

    /// Waits for the dead letter of a record with this key.
    pub fn letter_of(&self, key: &str) -> DeadLetter {
        self.tape()
            .wait(&format!("a dead letter about {key}"), |records| {
                self.letters(records)
                    .into_iter()
                    .map(|(_, letter)| letter)
                    .find(|letter| letter.key.as_deref() == Some(key.as_bytes()))
            })
    }

    /// The dead letters so far of the record that lay there.
    pub fn letters_from(&self, topic: &str, at: (i32, i64)) -> Vec<DeadLetter> {
        let records = self.tape().all(|_| true);
        self.letters(&records)
            .into_iter()
            .map(|(_, letter)| letter)
            .filter(|letter| letter.topic == topic && (letter.partition, letter.offset) == at)
            .collect()
    }

    fn letters(&self, records: &[IncomingRecord]) -> Vec<(IncomingRecord, DeadLetter)> {
        let topic = self.topics().dead_letters();
        let codec = Codec::single_object().with_limits(Limits {
            input_bytes_max: 4 << 20,
            ..Limits::default()
        });
        records
            .iter()
            .filter(|record| *record.topic == *topic)
            .map(|record| {
                let payload = record.payload.as_deref().unwrap_or_default();
                let letter = codec
                    .decode_dead_letter(payload)
                    .expect("the topic of dead letters holds dead letters");
                (record.clone(), letter)
            })
            .collect()
    }

    /// Places an order that goes by the given partition.
    fn good_after(&self, topic: &str, partition: i32) -> Order {
        if topic == self.source() {
            let order = self.order();
            let mut record = self.event(&order);
            record.partition = Some(partition);
            self.produce(record);
            return order;
        }
        let partitions = if topic == self.topics().inbox() { 4 } else { 2 };
        let order = self.order_in(partition, partitions);
        self.place(&order);
        order
    }
}
