//! The fingerprint by which a single-object frame names its schema.
//!
//! Not apache-avro's: up to 0.22 its canonical form keeps `{"type":"long"}` for a primitive that had a
//! logical type, and the precision and scale of a decimal, so that Java and Python compute another
//! fingerprint for the same schema.

use serde_json::Value;

/// Types that the canonical form writes as their bare name.
const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Returns the CRC-64-AVRO of the Parsing Canonical Form of a schema that has been parsed before.
pub(crate) fn of(schema: &Value) -> u64 {
    let mut canonical = String::new();
    write(schema, "", &mut canonical);
    rabin(canonical.as_bytes())
}

/// Appends the canonical form: full names, the attributes that matter in their fixed order, no space.
fn write(schema: &Value, namespace: &str, out: &mut String) {
    match schema {
        Value::Object(attributes) => match attributes.get("type") {
            Some(Value::String(kind)) => write_typed(kind, schema, namespace, out),
            Some(inner) => write(inner, namespace, out),
            None => {}
        },
        Value::Array(branches) => write_list(branches, out, |branch, out| {
            write(branch, namespace, out);
        }),
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => write_text(name, out),
        Value::String(name) => write_text(&full_name(name, namespace), out),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn write_typed(kind: &str, schema: &Value, namespace: &str, out: &mut String) {
    let list = |name: &str| schema[name].as_array().map_or(&[][..], Vec::as_slice);
    match kind {
        "record" | "error" | "enum" | "fixed" => {
            let namespace = schema["namespace"].as_str().unwrap_or(namespace);
            let name = full_name(schema["name"].as_str().unwrap_or_default(), namespace);
            let inner = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
            out.push_str("{\"name\":");
            write_text(&name, out);
            out.push_str(",\"type\":");
            write_text(kind, out);
            match kind {
                "enum" => {
                    out.push_str(",\"symbols\":");
                    write_list(list("symbols"), out, |symbol, out| {
                        write_text(symbol.as_str().unwrap_or_default(), out);
                    });
                }
                "fixed" => {
                    // Old writers put the size in quotes.
                    let size = schema["size"].to_string();
                    out.push_str(",\"size\":");
                    out.push_str(size.trim_matches('"'));
                }
                _ => {
                    out.push_str(",\"fields\":");
                    write_list(list("fields"), out, |field, out| {
                        out.push_str("{\"name\":");
                        write_text(field["name"].as_str().unwrap_or_default(), out);
                        out.push_str(",\"type\":");
                        write(&field["type"], inner, out);
                        out.push('}');
                    });
                }
            }
            out.push('}');
        }
        "array" | "map" => {
            let items = if kind == "array" { "items" } else { "values" };
            out.push_str("{\"type\":");
            write_text(kind, out);
            out.push(',');
            write_text(items, out);
            out.push(':');
            write(&schema[items], namespace, out);
            out.push('}');
        }
        _ => write(&schema["type"], namespace, out),
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// Names need no escapes: the specification allows letters, digits, underscores and dots.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn write_list(items: &[Value], out: &mut String, mut write: impl FnMut(&Value, &mut String)) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// CRC-64-AVRO, as the specification gives it.
fn rabin(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    bytes.iter().fold(EMPTY, |crc, byte| {
        let mut entry = (crc ^ u64::from(*byte)) & 0xff;
        for _ in 0..8 {
            entry = (entry >> 1) ^ (EMPTY & (entry & 1).wrapping_neg());
        }
        (crc >> 8) ^ entry
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = String::new();
        write(&serde_json::from_str(text).unwrap(), "", &mut out);
        out
    }

    /// From `schema-tests.txt` of the Avro project.
    #[test]
    fn the_fingerprints_of_the_avro_project_come_out() {
        for (schema, fingerprint) in [
            (r#""null""#, 7_195_948_357_588_979_594),
            (r#"{"type":"null"}"#, 7_195_948_357_588_979_594),
            (r#""boolean""#, -6_970_731_678_124_411_036),
            (r#""int""#, 8_247_732_601_305_521_295),
            (r#""long""#, -3_434_872_931_120_570_953),
            (r#""float""#, 5_583_340_709_985_441_680),
            (r#""double""#, -8_181_574_048_448_539_266),
            (r#""bytes""#, 5_746_618_253_357_095_269),
            (r#""string""#, -8_142_146_995_180_207_161),
        ] {
            let schema = serde_json::from_str(schema).unwrap();
            assert_eq!(of(&schema).cast_signed(), fingerprint, "{schema}");
        }
    }

    #[test]
    fn what_does_not_change_the_bytes_is_left_out() {
        assert_eq!(
            canonical(
                r#"{"type":"record","doc":"d","aliases":["y"],"namespace":"a.b","name":"R","fields":[
                    {"doc":"d","type":{"type":"long","logicalType":"timestamp-millis"},"name":"t","default":0},
                    {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},
                    {"name":"r","type":["null","R",{"type":"array","items":"c.O"}]},
                    {"name":"e","type":{"type":"enum","name":"x.E","symbols":["A","B"],"default":"A"}},
                    {"name":"m","type":{"type":"map","values":{"type":"fixed","name":"F","size":4}}}]}"#
            ),
            concat!(
                r#"{"name":"a.b.R","type":"record","fields":[{"name":"t","type":"long"},"#,
                r#"{"name":"d","type":"bytes"},{"name":"r","type":["null","a.b.R",{"type":"array","items":"c.O"}]},"#,
                r#"{"name":"e","type":{"name":"x.E","type":"enum","symbols":["A","B"]}},"#,
                r#"{"name":"m","type":{"type":"map","values":{"name":"a.b.F","type":"fixed","size":4}}}]}"#
            )
        );
    }
}
