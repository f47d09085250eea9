//! A true journal is passed, and each way of falsifying it is found.

use backstitch_saga::core::Reply;
use backstitch_saga::{Answer, Definition, Direction, Entry, Message, Outcome, Payload, Start};
use backstitch_schemas::JournalEntry;

use super::*;

const ONE_STEP: &str = "
saga: greet
start: [{ topic: t, when: 'true', key: event.id }]
steps:
  - do: wave
    undo: nothing
";

fn bytes_of(hex: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate().take(hex.len() / 2) {
        *byte = u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap();
    }
    bytes
}

fn row(entry: &Entry) -> Row {
    let record = JournalEntry {
        saga: entry.saga.clone(),
        saga_seq: entry.seq.try_into().unwrap(),
        shard: 0,
        shard_seq: 1,
        at_ms: entry.at_ms,
        definition_hash: Definition::from_yaml(ONE_STEP).unwrap().hash,
        cause: entry.cause.to_owned(),
        status: entry.status.name().to_owned(),
        body: entry.body.clone(),
        previous_hash: bytes_of(&entry.previous_hash),
        hash: bytes_of(&entry.hash),
        traceparent: None,
    };
    Row {
        saga: record.saga.clone(),
        saga_seq: record.saga_seq,
        entry: Codec::single_object()
            .encode_journal_entry(&record)
            .unwrap(),
    }
}

/// The journal of a saga that starts, and ends with its only step's answer.
fn rows() -> Vec<Row> {
    let definition = Definition::from_yaml(ONE_STEP).unwrap();
    let start = Start {
        key: "greet/1".to_owned(),
        event: Payload::from_value(&serde_json::json!({"id": "1"})),
        trace: None,
        by: None,
        event_time_ms: 1,
        parent: None,
    };
    let (mut saga, first) = Saga::start(&definition, start, 1);
    let command = first.commands.first().unwrap();
    let reply = Message::Reply(Reply {
        occurrence: command.occurrence.clone(),
        direction: Direction::Do,
        key: command.key.clone(),
        attempt: command.attempt,
        answer: Answer::Done(None),
        worker: None,
    });
    let Outcome::Advanced(second) = saga.advance(&definition, &reply, 2) else {
        panic!("the reply is awaited")
    };
    vec![row(&first.entry), row(&second.entry)]
}

/// The definition, as it lies on the topic.
fn told() -> Vec<u8> {
    let definition = Definition::from_yaml(ONE_STEP).unwrap();
    let record = backstitch_schemas::Definition {
        source: definition.stored(),
        hash: definition.hash,
        name: definition.name,
        at_ms: 1,
    };
    Codec::single_object().encode_definition(&record).unwrap()
}

fn values(rows: &[Row]) -> Vec<Vec<u8>> {
    rows.iter().map(|row| row.entry.clone()).collect()
}

fn altered(row: &Row, change: impl FnOnce(&mut JournalEntry)) -> Row {
    let codec = Codec::single_object();
    let mut entry = codec.decode_journal_entry(&row.entry).unwrap();
    change(&mut entry);
    Row {
        saga: entry.saga.clone(),
        saga_seq: entry.saga_seq,
        entry: codec.encode_journal_entry(&entry).unwrap(),
    }
}

fn assert_found(rows: &[Row], records: &[Vec<u8>], what: &str) {
    let wrongs = check(rows, records).wrongs;
    assert!(
        wrongs.iter().any(|wrong| wrong.contains(what)),
        "{wrongs:?}"
    );
}

#[test]
fn a_true_journal_is_passed_and_repeated_records_with_it() {
    let rows = rows();
    let mut records = vec![told()];
    records.extend(values(&rows));
    records.extend(values(&rows));
    let verdict = check(&rows, &records);
    assert_eq!(verdict.wrongs, Vec::<String>::new());
    assert_eq!((verdict.rows, verdict.records, verdict.folded), (2, 5, 1));
    assert_eq!(verdict.definitions, 1);
    assert_eq!(verdict.status["greet/1"], "completed");
}

#[test]
fn a_definition_that_is_not_on_the_topic_is_found() {
    let rows = rows();
    assert_found(
        &rows,
        &values(&rows),
        "is not on the topic, and entries are pinned",
    );
}

#[test]
fn an_entry_that_was_not_published_is_found() {
    let rows = rows();
    assert_found(&rows, &values(&rows[..1]), "published up to entry 1 of 2");
    assert_found(&rows, &[], "published up to entry 0 of 2");
}

#[test]
fn a_gap_on_the_topic_is_found() {
    let rows = rows();
    assert_found(
        &rows,
        &values(&rows[1..]),
        "came on the topic after entry 0",
    );
}

#[test]
fn a_ghost_on_the_topic_is_found() {
    let rows = rows();
    assert_found(&rows[..1], &values(&rows), "not in the store");
}

#[test]
fn a_copy_with_other_bytes_is_found() {
    let rows = rows();
    let mut records = values(&rows);
    records.push(altered(&rows[1], |entry| entry.at_ms += 1).entry);
    assert_found(&rows, &records, "other bytes");
}

#[test]
fn an_altered_journal_is_found_though_both_copies_agree() {
    let rows = rows();
    let changes: [fn(&mut JournalEntry); 3] = [
        |entry| entry.at_ms += 1,
        |entry| entry.body.push(b' '),
        |entry| entry.hash[0] ^= 1,
    ];
    for change in changes {
        let false_rows = vec![rows[0].clone(), altered(&rows[1], change)];
        assert_found(&false_rows, &values(&false_rows), "does not carry the hash");
    }
    let moved = vec![
        rows[0].clone(),
        altered(&rows[1], |entry| entry.previous_hash[0] ^= 1),
    ];
    assert_found(&moved, &values(&moved), "names another row before it");
}

#[test]
fn a_row_that_is_missing_or_doubled_in_the_store_is_found() {
    let rows = rows();
    let records = values(&rows);
    assert_found(&rows[1..], &records, "row 2 names another row before it");
    let doubled = vec![rows[0].clone(), rows[1].clone(), rows[1].clone()];
    assert_found(&doubled, &records, "two rows 2");
}

#[test]
fn a_record_that_is_no_entry_is_found() {
    let rows = rows();
    let mut records = values(&rows);
    records.push(b"garbage".to_vec());
    assert_found(&rows, &records, "no journal entry");
}
