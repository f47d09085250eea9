//! What idempotence and integrity rest on, asked of the broker itself: sequences, checksums, fetch limits.

use std::time::{Duration, Instant};

use backstitch_broker::read_all;

use crate::wire::{FetchLimits, Wire, batch, seal};
use crate::world::{admin, bootstrap, config, fill, text, topic};

const CORRUPT: i16 = 2;
const OUT_OF_ORDER: i16 = 45;
const DUPLICATE: i16 = 46;
const INVALID_EPOCH: i16 = 47;

#[test]
fn a_batch_whose_acknowledgement_was_lost_is_stored_once() {
    let topic = topic("twice", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let producer = wire.producer_id();
    let first = batch(producer, 0, &["a", "b"]);
    assert_eq!(wire.produce(&topic, 0, first.clone()), (0, 0));
    // Again over another connection, as after a lost one.
    let mut again = Wire::to_leader(&bootstrap(), &topic, 0);
    let (code, offset) = again.produce(&topic, 0, first);
    assert!(
        code == DUPLICATE || (code, offset) == (0, 0),
        "{code} {offset}"
    );
    assert_eq!(again.produce(&topic, 0, batch(producer, 2, &["c"])), (0, 2));
    let got: Vec<String> = read_all(&config(), &topic, 10)
        .unwrap()
        .iter()
        .map(|r| text(r.payload.as_ref()))
        .collect();
    assert_eq!(got, ["a", "b", "c"]);
}

#[test]
fn each_of_five_batches_in_flight_may_be_sent_again() {
    let topic = topic("five", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let producer = wire.producer_id();
    let batches: Vec<_> = (0..5).map(|n| batch(producer, n, &["x"])).collect();
    for (n, sent) in (0..).zip(&batches) {
        assert_eq!(wire.produce(&topic, 0, sent.clone()), (0, n));
    }
    for (n, sent) in (0..).zip(&batches) {
        let (code, offset) = wire.produce(&topic, 0, sent.clone());
        assert!(
            code == DUPLICATE || (code, offset) == (0, n),
            "batch {n}: {code} {offset}"
        );
    }
    assert_eq!(admin().watermarks(&topic, 0).unwrap(), (0, 5));
}

#[test]
fn a_gap_in_a_producers_sequence_is_refused() {
    let topic = topic("gap", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let producer = wire.producer_id();
    assert_eq!(wire.produce(&topic, 0, batch(producer, 0, &["a"])), (0, 0));
    assert_eq!(
        wire.produce(&topic, 0, batch(producer, 5, &["f"])).0,
        OUT_OF_ORDER
    );
    assert_eq!(wire.produce(&topic, 0, batch(producer, 1, &["b"])), (0, 1));
}

#[test]
fn an_older_epoch_of_a_producer_is_refused() {
    let topic = topic("epoch", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let (id, epoch) = wire.producer_id();
    assert_eq!(
        wire.produce(&topic, 0, batch((id, epoch + 1), 0, &["new"])),
        (0, 0)
    );
    assert_eq!(
        wire.produce(&topic, 0, batch((id, epoch), 0, &["old"])).0,
        INVALID_EPOCH
    );
}

#[test]
fn two_producers_have_two_ids_and_sequences_of_their_own() {
    let topic = topic("ids", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let (one, other) = (wire.producer_id(), wire.producer_id());
    assert_ne!(one.0, other.0);
    assert_eq!(wire.produce(&topic, 0, batch(one, 0, &["a"])), (0, 0));
    assert_eq!(wire.produce(&topic, 0, batch(other, 0, &["b"])), (0, 1));
}

#[test]
fn a_damaged_batch_is_refused() {
    let topic = topic("damaged", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let producer = wire.producer_id();
    let mut damaged = batch(producer, 0, &["payload"]).to_vec();
    *damaged.last_mut().unwrap() ^= 0x20;
    assert_eq!(wire.produce(&topic, 0, damaged.into()).0, CORRUPT);
    assert_eq!(admin().watermarks(&topic, 0).unwrap(), (0, 0));
}

#[test]
fn a_header_name_that_is_not_utf8_costs_that_name_and_not_the_consumer() {
    let topic = topic("latin1", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let producer = wire.producer_id();
    let mut foreign = batch(producer, 0, &["payload"]).to_vec();
    let at = foreign
        .windows(4)
        .position(|bytes| bytes == b"name")
        .unwrap();
    foreign[at] = 0xe9;
    seal(&mut foreign);
    assert_eq!(wire.produce(&topic, 0, foreign.into()), (0, 0));
    assert_eq!(
        wire.produce(&topic, 0, batch(producer, 1, &["next"])),
        (0, 1)
    );
    let got = read_all(&config(), &topic, 10).unwrap();
    assert_eq!(got[0].headers.iter().next(), Some(("\u{fffd}", None)));
    assert_eq!(got[1].header("name"), Some(b"value".as_slice()));
}

#[test]
fn a_fetch_below_a_batchs_size_returns_that_batch_whole() {
    let topic = topic("whole", 1);
    fill(&topic, 0, ["z".repeat(30_000)]);
    fill(&topic, 0, ["z".repeat(30_000)]);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let limits = FetchLimits {
        wait_ms_max: 500,
        bytes_min: 1,
        bytes_max: 100,
        partition_bytes_max: 1,
    };
    let part = wire.fetch(&topic, 1, limits);
    assert_eq!((part.error_code, part.high_watermark), (0, 2));
    let records = part.records.unwrap();
    // A whole batch: the length that it states is there.
    let stated = i32::from_be_bytes(records[8..12].try_into().unwrap());
    assert_eq!(records.len(), usize::try_from(stated).unwrap() + 12);
}

#[test]
fn a_fetch_waits_for_its_minimum_but_no_longer_than_asked() {
    let topic = topic("wait", 1);
    let mut wire = Wire::to_leader(&bootstrap(), &topic, 0);
    let limits = FetchLimits {
        wait_ms_max: 400,
        bytes_min: 100_000,
        bytes_max: 1 << 20,
        partition_bytes_max: 1 << 20,
    };
    let begun = Instant::now();
    let part = wire.fetch(&topic, 0, limits);
    assert_eq!((part.error_code, part.high_watermark), (0, 0));
    assert!(
        begun.elapsed() >= Duration::from_millis(390),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );

    // A record that comes meanwhile ends the wait.
    let limits = FetchLimits {
        wait_ms_max: 30_000,
        bytes_min: 1,
        bytes_max: 1 << 20,
        partition_bytes_max: 1 << 20,
    };
    let begun = Instant::now();
    let part = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wire.fetch(&topic, 0, limits));
        fill(&topic, 0, ["came".to_owned()]);
        waiting.join().unwrap()
    });
    assert_eq!(part.high_watermark, 1);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}
