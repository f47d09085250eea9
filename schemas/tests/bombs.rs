//! Small messages that ask for much are refused fast and cheaply.
//!
//! The only tests of this binary, so that its peak of memory is theirs.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

mod support;

use std::time::{Duration, Instant};

use backstitch_schemas::{
    Codec, DecodeError, EncodeError, EventSchemas, HeaderField, Limits, RecordKind, decode_event,
};

/// The longest that a refusal may take, in a debug build on a busy machine. Without bounds the shapes
/// take minutes or the process.
const TIME_MAX: Duration = Duration::from_millis(500);
/// What all of them together may add to the peak of memory, in KiB.
const PEAK_KIB_MAX: u64 = 16 << 10;

fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let low = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A record with one field of the given type.
fn record_of(field: &str) -> String {
    format!(r#"{{"type":"record","name":"Bomb","fields":[{{"name":"field","type":{field}}}]}}"#)
}

/// A schema that doubles without taking a byte: 2^depth records.
fn doubling(depth: usize) -> String {
    let mut schema = r#"{"type":"record","name":"R0","fields":[]}"#.to_owned();
    for level in 1..=depth {
        let below = level - 1;
        schema = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{schema}}},{{"name":"b","type":"R{below}"}}]}}"#
        );
    }
    schema
}

fn refused(shape: &str, schema: &str, datum: &[u8]) {
    let schemas = EventSchemas::new().with_schema(schema).unwrap();
    let mut message = vec![0xc3, 0x01];
    message.extend_from_slice(&fingerprint(schema).to_le_bytes());
    message.extend_from_slice(datum);
    let begun = Instant::now();
    let result = decode_event(&message, [], &schemas);
    let taken = begun.elapsed();
    match result {
        Err(DecodeError::TooLarge { .. } | DecodeError::Malformed { .. }) => {}
        other => panic!("{shape}: {other:?}"),
    }
    assert!(taken < TIME_MAX, "{shape}: {taken:?}");
}

/// The frame's fingerprint. These schemas have no logical types, where apache-avro's would be wrong.
fn fingerprint(schema: &str) -> u64 {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let bytes = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// The peak of this process's memory in KiB, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn no_bomb_costs_more_than_it_weighs() {
    let before = peak_kib();
    let array_of_nulls = record_of(r#"{"type":"array","items":"null"}"#);
    let map_of_nulls = record_of(r#"{"type":"map","values":"null"}"#);
    let empty = r#"{"type":"record","name":"Empty","fields":[]}"#;
    let nothing = r#"{"type":"fixed","name":"Nothing","size":0}"#;
    let array_of_empty = record_of(&format!(r#"{{"type":"array","items":{empty}}}"#));
    let array_of_nothing = record_of(&format!(r#"{{"type":"array","items":{nothing}}}"#));
    let chain = record_of(r#"["null","Bomb"]"#);
    let tree = record_of(r#"{"type":"array","items":"Bomb"}"#);
    let text = record_of(r#""string""#);
    let bytes = record_of(r#""bytes""#);

    // 1: lists whose items take no bytes, with a count that does.
    for schema in [
        &array_of_nulls,
        &array_of_empty,
        &array_of_nothing,
        &map_of_nulls,
    ] {
        for count in [200_000_000, 1 << 40, i64::MAX] {
            let bomb = [long(count), vec![0; 90]].concat();
            refused("a huge count", schema, &bomb);
            // 2: the same as a negative count with a block size.
            let bomb = [long(-count), long(4), vec![0; 90]].concat();
            refused("a huge negative count", schema, &bomb);
        }
        // 3: the count that has no positive counterpart.
        let bomb = [long(i64::MIN), long(i64::MIN), vec![0; 90]].concat();
        refused("i64::MIN", schema, &bomb);
    }
    // 4: a schema that refers to itself nests as deep as the input says.
    refused("a long chain", &chain, &[2; 1_000]);
    refused("a deep tree", &tree, &[2; 1_000]);
    refused("a deep tree of 1 MB", &tree, &vec![2; 1_000_000]);
    // 5: lengths that nothing follows.
    for schema in [&text, &bytes] {
        for len in [1 << 33, i64::MAX, -1, i64::MIN] {
            refused("a huge length", schema, &long(len));
        }
    }
    let huge_fixed = record_of(r#"{"type":"fixed","name":"Huge","size":4294967296}"#);
    refused("a huge fixed", &huge_fixed, &[0; 100]);
    // 6: maps, by their keys and by their entries.
    let bomb = [long(1), long(i64::MAX), vec![0; 90]].concat();
    refused("a huge key", &map_of_nulls, &bomb);
    let many_keys = [long(900_000), vec![0; 900_001]].concat();
    refused("many empty keys", &map_of_nulls, &many_keys);
    // Within each count, and too much in all.
    let many = [long(1_000_000), vec![0; 1_000_001]].concat();
    refused(
        "a million nulls that the input could hold",
        &array_of_nulls,
        &many,
    );
    let blocks: Vec<u8> = (0..250_000).flat_map(|_| long(200_000)).collect();
    refused("blocks over blocks", &array_of_nulls, &blocks);
    refused("records that double", &doubling(25), &[]);
    let decimal = record_of(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#);
    let digits = [long(900_000), vec![0x7f; 900_000]].concat();
    let schemas = EventSchemas::new().with_schema(&decimal).unwrap();
    let plain = record_of(r#""bytes""#);
    let frame = [
        &[0xc3, 0x01][..],
        &fingerprint(&plain).to_le_bytes(),
        &digits,
    ]
    .concat();
    let begun = Instant::now();
    decode_event(&frame, [], &schemas).unwrap_err();
    assert!(begun.elapsed() < TIME_MAX);

    // The records of the wire, whose reader is another.
    let codec = Codec::single_object();
    let golden = codec.encode_dead_letter(&support::dead_letter()).unwrap();
    let frame = &golden[..10];
    for count in [200_000_000, i64::MAX, i64::MIN, 1_900_000] {
        let mut bomb = frame.to_vec();
        bomb.push(0);
        bomb.extend(long(0));
        bomb.extend(long(0));
        bomb.extend([0; 5]);
        bomb.extend(long(count));
        bomb.extend(vec![0; 2_000_000]);
        let begun = Instant::now();
        let error = codec.decode_dead_letter(&bomb).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
        assert!(begun.elapsed() < TIME_MAX);
    }
    for len in [i64::MAX, i64::MIN, -1, 1 << 33] {
        let mut bomb = frame.to_vec();
        bomb.push(0);
        bomb.extend(long(len));
        codec.decode_dead_letter(&bomb).unwrap_err();
    }
    // A length that nothing follows in the first field, in the last, and any byte that is a length.
    for kind in RecordKind::ALL {
        let golden = support::Any::sample(kind).encode(&codec);
        let (frame, datum) = golden.split_at(10);
        for len in [i64::MAX, i64::MIN, -1, 1 << 33] {
            for at in 0..datum.len() {
                let bomb = [frame, &datum[..at], &long(len)].concat();
                let begun = Instant::now();
                // What it says cannot be known: the byte may be a number.
                drop(support::Any::decode(kind, &codec, &bomb));
                assert!(begun.elapsed() < TIME_MAX, "{kind:?} {at}");
            }
        }
    }
    // JSON.
    let deep = "[".repeat(1_000_000);
    decode_event(deep.as_bytes(), [], &EventSchemas::new()).unwrap_err();
    let wide = format!("[{}{{}}]", r#"{"a":1},"#.repeat(120_000));
    decode_event(wide.as_bytes(), [], &EventSchemas::new()).unwrap_err();

    if let (Some(before), Some(after)) = (before, peak_kib()) {
        let added = after - before;
        assert!(added < PEAK_KIB_MAX, "the peak rose by {added} KiB");
    }
}

#[test]
fn what_is_within_the_limits_is_read() {
    let schema = record_of(r#"["null","Bomb"]"#);
    let schemas = EventSchemas::new().with_schema(&schema).unwrap();
    let frame = [&[0xc3, 0x01][..], &fingerprint(&schema).to_le_bytes()].concat();
    let chain = |depth: usize| [frame.clone(), vec![2; depth - 1], vec![0]].concat();
    decode_event(&chain(32), [], &schemas).unwrap();
    let error = decode_event(&chain(33), [], &schemas).unwrap_err();
    assert!(
        matches!(error, DecodeError::TooLarge { limit: 32, .. }),
        "{error}"
    );
}

#[test]
fn a_message_above_the_limit_is_neither_written_nor_read() {
    let codec = Codec::single_object();
    let limit = Limits::default().input_bytes_max;
    let mut command = support::command();
    command.input = vec![b' '; limit];
    let error = codec.encode_command(&command).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { .. }), "{error}");
    let generous = codec.clone().with_limits(Limits {
        input_bytes_max: 2 * limit,
        ..Limits::default()
    });
    let bytes = generous.encode_command(&command).unwrap();
    assert_eq!(generous.decode_command(&bytes).unwrap(), command);
    let error = codec.decode_command(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
}

#[test]
fn a_dead_letter_holds_the_largest_record_and_many_headers() {
    let codec = Codec::single_object();
    let mut letter = support::dead_letter();
    letter.value = Some(vec![0; Limits::default().input_bytes_max]);
    letter.headers = vec![
        HeaderField {
            name: "h".to_owned(),
            value: None
        };
        1_000
    ];
    let bytes = codec.encode_dead_letter(&letter).unwrap();
    assert_eq!(codec.decode_dead_letter(&bytes).unwrap(), letter);
}

#[test]
fn each_kind_of_bad_message_has_its_reason() {
    let codec = Codec::single_object();
    let reason = |bytes: &[u8]| {
        codec
            .decode_inbox(bytes)
            .unwrap_err()
            .reason()
            .unwrap()
            .as_str()
    };
    let reply = codec.encode_reply(&support::reply()).unwrap();
    assert_eq!(reason(b""), "garbage");
    assert_eq!(reason(b"\xc3\x01\x00"), "garbage");
    assert_eq!(reason(b"not a message"), "garbage");
    assert_eq!(
        reason(b"\xc3\x01\x00\x11\x22\x33\x44\x55\x66\x77 "),
        "unknown_schema"
    );
    assert_eq!(reason(b"\x00\x00\x00\x00\x07 "), "unknown_schema");
    assert_eq!(
        reason(&codec.encode_command(&support::command()).unwrap()),
        "wrong_type"
    );
    assert_eq!(reason(&vec![0xc3; (1 << 20) + 1]), "oversized");
    assert_eq!(reason(&reply[..reply.len() - 1]), "undecodable");
    assert_eq!(RecordKind::Reply.name(), "backstitch.v1.Reply");
}
