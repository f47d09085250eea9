//! Small events that ask for much: the six shapes, each by a schema that the orchestrator knows.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use backstitch_schemas::EventSchemas;

/// One bomb: what it is, its schema, its datum.
pub(crate) struct Bomb {
    pub(crate) shape: &'static str,
    schema: String,
    datum: Vec<u8>,
}

impl Bomb {
    /// As it lies on a topic.
    pub(crate) fn message(&self) -> Vec<u8> {
        let schema = Schema::parse_str(&self.schema).unwrap();
        let fingerprint = schema.fingerprint::<Rabin>().bytes;
        [&b"\xc3\x01"[..], &fingerprint, &self.datum].concat()
    }
}

/// Every shape.
pub(crate) fn all() -> Vec<Bomb> {
    let nulls = record_of("Nulls", r#"{"type":"array","items":"null"}"#);
    let map = record_of("Map", r#"{"type":"map","values":"null"}"#);
    let chain = record_of("Chain", r#"["null","Chain"]"#);
    let text = record_of("Text", r#""string""#);
    let bomb = |shape, schema: &str, datum: Vec<u8>| Bomb {
        shape,
        schema: schema.to_owned(),
        datum,
    };
    vec![
        bomb(
            "items without a byte, and a count",
            &nulls,
            [long(i64::MAX), vec![0; 90]].concat(),
        ),
        bomb(
            "a negative count with a size",
            &nulls,
            [long(-200_000_000), long(4), vec![0; 90]].concat(),
        ),
        bomb(
            "the count without a positive",
            &nulls,
            [long(i64::MIN), long(i64::MIN), vec![0; 90]].concat(),
        ),
        bomb("a schema within itself", &chain, vec![2; 1_000]),
        bomb("a length that nothing follows", &text, long(1 << 33)),
        bomb(
            "a map of endless keys",
            &map,
            [long(1), long(i64::MAX), vec![0; 90]].concat(),
        ),
    ]
}

/// What the orchestrator has to know for the bombs to reach it.
pub(crate) fn schemas() -> EventSchemas {
    all().iter().fold(EventSchemas::new(), |schemas, bomb| {
        schemas.with_schema(&bomb.schema).unwrap()
    })
}

fn record_of(name: &str, field: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"field","type":{field}}}]}}"#)
}

/// A number as Avro writes it.
pub(crate) fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}
