//! Schemas: which texts are some, which documents fit, and which versions go together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use backstitch_saga::contract::{Change, Schema, limits};
use serde_json::{Value, json};

fn schema(json: Value) -> Schema {
    Schema::parse(&json.to_string()).unwrap()
}

fn refused(json: Value) -> String {
    Schema::parse(&json.to_string()).unwrap_err().to_string()
}

fn record(fields: Value) -> Value {
    json!({ "type": "record", "name": "R", "fields": fields })
}

fn misfit(schema: &Schema, value: Value) -> String {
    schema.misfit(&value).unwrap().to_string()
}

/// Every type, each in a field of its own.
fn everything() -> Schema {
    schema(record(json!([
        { "name": "nothing", "type": "null" },
        { "name": "truth", "type": "boolean" },
        { "name": "small", "type": "int" },
        { "name": "large", "type": { "type": "long", "logicalType": "timestamp-millis" } },
        { "name": "real", "type": "double" },
        { "name": "text", "type": "string", "doc": "any" },
        { "name": "raw", "type": "bytes" },
        { "name": "hash", "type": { "type": "fixed", "name": "Hash", "size": 4 } },
        { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2 } },
        { "name": "id", "type": { "type": "string", "logicalType": "uuid" } },
        { "name": "span", "type": { "type": "fixed", "name": "Span", "size": 12, "logicalType": "duration" } },
        { "name": "suit", "type": { "type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"] } },
        { "name": "list", "type": { "type": "array", "items": "int" } },
        { "name": "map", "type": { "type": "map", "values": "string" } },
        { "name": "maybe", "type": ["null", "string"] },
        { "name": "again", "type": ["null", "Hash"], "default": null },
        { "name": "odd", "type": { "type": "int", "logicalType": "fortnight" }, "default": 1 },
    ])))
}

fn fitting() -> Value {
    json!({
        "nothing": null, "truth": true, "small": -5, "large": 1_700_000_000_000_i64, "real": 1,
        "text": "", "raw": "AAE=", "hash": "AAAAAA==", "price": "-12.50",
        "id": "123e4567-e89b-12d3-a456-426614174000",
        "span": { "months": 1, "days": 0, "millis": 4_294_967_295_u32 },
        "suit": "SPADES", "list": [1, 2], "map": { "a": "b" }, "maybe": null,
        "new": "a newer producer's",
    })
}

#[test]
fn a_document_of_every_type_fits() {
    assert_eq!(everything().misfit(&fitting()), None);
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let everything = everything();
    for (field, value, told) in [
        ("nothing", json!(0), "`.nothing` is 0, and must be null"),
        (
            "truth",
            json!("yes"),
            "`.truth` is a text, and must be a boolean",
        ),
        (
            "small",
            json!(2_147_483_648_i64),
            "`.small` is 2147483648, and must be a whole number of 32 bits",
        ),
        (
            "small",
            json!(1.0),
            "`.small` is 1.0, and must be a whole number of 32 bits",
        ),
        (
            "large",
            json!(u64::MAX),
            "`.large` is 18446744073709551615, and must be a whole number of 64 bits",
        ),
        (
            "real",
            json!("1"),
            "`.real` is the text `1`, and must be a number",
        ),
        ("text", json!(5), "`.text` is 5, and must be a text"),
        (
            "raw",
            json!("?"),
            "`.raw` is the text `?`, and must be bytes in base64",
        ),
        (
            "hash",
            json!("AAA="),
            "`.hash` is the text `AAA=`, and must be 4 bytes in base64",
        ),
        (
            "price",
            json!(12.5),
            "`.price` is 12.5, and must be a decimal number as text, with at most 6 digits and 2 after the point",
        ),
        (
            "id",
            json!("x"),
            "`.id` is the text `x`, and must be a UUID",
        ),
        (
            "span",
            json!({ "months": 1 }),
            "`.span` is an object, and must be a duration of months, days and millis",
        ),
        (
            "suit",
            json!("CLUBS"),
            "`.suit` is `CLUBS`, and `Suit` has `HEARTS`, `SPADES`",
        ),
        (
            "list",
            json!([1, "2"]),
            "`.list[1]` is the text `2`, and must be a whole number of 32 bits",
        ),
        (
            "map",
            json!({ "a": 1 }),
            "`.map.a` is 1, and must be a text",
        ),
        (
            "maybe",
            json!([]),
            "`.maybe` is a list, and must be null or a text",
        ),
    ] {
        let mut document = fitting();
        document[field] = value;
        assert_eq!(misfit(&everything, document), told);
    }
    let mut document = fitting();
    document.as_object_mut().unwrap().remove("text");
    assert_eq!(
        misfit(&everything, document),
        "`.text` is missing: `R` has it, a text, without a default"
    );
    assert_eq!(
        misfit(&everything, json!([])),
        "is a list, and must be a record `R`"
    );
}

#[test]
fn a_type_may_be_part_of_itself() {
    let list = schema(record(json!([
        { "name": "n", "type": "int" },
        { "name": "next", "type": ["null", "R"], "default": null },
    ])));
    let mut document = json!({ "n": 0 });
    for n in 1..60 {
        document = json!({ "n": n, "next": document });
    }
    assert_eq!(list.misfit(&document), None);
    assert_eq!(list.compatible_with(&list), []);
    let mut deep = json!({ "n": "last" });
    for n in 1..200 {
        deep = json!({ "n": n, "next": deep });
    }
    assert!(misfit(&list, deep).contains("more than 128 levels deep"));
}

#[test]
fn a_union_of_records_is_tried_without_trying_all_ways() {
    // Each level has two branches, and only the innermost value tells which.
    let tree = schema(json!({ "type": "record", "name": "A", "fields": [
        { "name": "x", "type": ["null", "A", { "type": "record", "name": "B", "fields": [
            { "name": "x", "type": ["null", "A", "B"] },
            { "name": "z", "type": "int" },
        ] }] },
        { "name": "y", "type": "int" },
    ] }));
    let mut good = Value::Null;
    let mut bad = json!(5);
    for _ in 0..60 {
        good = json!({ "x": good, "z": 1 });
        bad = json!({ "x": bad, "z": 1, "y": 1 });
    }
    good["y"] = json!(1);
    assert_eq!(tree.misfit(&good), None);
    assert!(
        misfit(&tree, bad).ends_with("is a number, and must be null, a record `A` or a record `B`")
    );
}

#[test]
fn names_are_found_through_their_namespaces() {
    let order = schema(json!({ "type": "record", "name": "shop.Order", "fields": [
        { "name": "a", "type": { "type": "enum", "name": "Kind", "symbols": ["X"] } },
        { "name": "b", "type": "Kind" },
        { "name": "c", "type": "shop.Kind" },
        { "name": "d", "type": { "type": "record", "name": "Inner", "namespace": "other", "fields": [
            { "name": "e", "type": { "type": "fixed", "name": "F", "size": 1 } },
            { "name": "f", "type": "other.F" },
        ] } },
    ] }));
    let document = json!({ "a": "X", "b": "X", "c": "X", "d": { "e": "AA==", "f": "AA==" } });
    assert_eq!(order.misfit(&document), None);
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (json, told) in [
        (json!(5), "a type is a name, an object or a list of types"),
        (json!("strnig"), "there is no type `strnig` before here"),
        (
            json!("record"),
            "`record` needs more: write an object, `{\"type\": \"record\", …}`",
        ),
        (json!({}), "an object without `type`"),
        (json!({ "type": "array" }), "`items` is missing"),
        (json!({ "type": "map" }), "`values` is missing"),
        (json!([]), "a union of no types"),
        (
            json!(["null", ["int", "null"]]),
            "at `[1]`: a union directly in a union",
        ),
        (
            json!(["int", "int"]),
            "at `[1]`: a type that the union has already",
        ),
        (
            json!({ "type": "fixed", "name": "F", "size": "4" }),
            "at `.size`: a size is a whole number",
        ),
        (
            json!({ "type": "enum", "name": "E", "symbols": ["a b"] }),
            "at `.symbols[0]`: `a b` is no symbol: letters, digits and `_`",
        ),
        (
            json!({ "type": "enum", "name": "E", "symbols": ["A", "A"] }),
            "at `.symbols[1]`: `A` is there twice",
        ),
        (
            json!({ "type": "enum", "name": "E", "symbols": ["A"], "default": "B" }),
            "at `.default`: `B` is none of the symbols",
        ),
        (
            json!({ "type": "record", "name": "1", "fields": [] }),
            "at `.name`: `1` is no name: letters, digits and `_`",
        ),
        (
            json!({ "type": "record", "name": "int", "fields": [] }),
            "at `.name`: there is a type `int` already",
        ),
        (record(json!({})), "at `.fields`: a list is expected here"),
        (
            record(json!([5])),
            "at `.fields[0]`: a field is an object with `name` and `type`",
        ),
        (
            record(json!([{ "name": "a" }])),
            "at `.fields[0]`: `type` is missing",
        ),
        (
            record(json!([{ "name": "a", "type": "in" }])),
            "at `.fields[0].type`: there is no type `in` before here",
        ),
        (
            record(json!([{ "name": "a", "type": "int" }, { "name": "a", "type": "int" }])),
            "at `.fields[1].name`: two fields are called `a`",
        ),
        (
            record(json!([{ "name": "a", "type": "int", "default": "x" }])),
            "at `.fields[0].default`: the default is the text `x`, and must be a whole number of 32 bits",
        ),
    ] {
        assert_eq!(refused(json.clone()), told, "{json}");
    }
    let told = Schema::parse("{").unwrap_err().to_string();
    assert!(
        told.starts_with("not JSON: ") && told.contains("line 1"),
        "{told}"
    );
}

#[test]
fn a_schema_beyond_a_limit_is_refused() {
    let mut deep = json!("int");
    for _ in 0..limits::SCHEMA_DEPTH_MAX {
        deep = json!({ "type": "array", "items": deep });
    }
    assert!(refused(deep).ends_with("more than 32 types inside each other"));
    let fields: Vec<Value> = (0..limits::SCHEMA_TYPES_MAX)
        .map(|n| json!({ "name": format!("f{n}"), "type": "int" }))
        .collect();
    assert!(refused(record(json!(fields))).ends_with("more than 5000 types"));
    let long = " ".repeat(limits::SCHEMA_BYTES_MAX + 1);
    assert!(
        Schema::parse(&long)
            .unwrap_err()
            .reason
            .contains("262145 bytes")
    );
    assert!(Schema::parse(&"[".repeat(10_000)).is_err());
}

/// What a change of one field is told as: where, and for which readers.
fn changed(older: Value, newer: Value) -> Vec<(String, Change)> {
    let of = |field: Value| {
        schema(record(if field.is_null() {
            json!([])
        } else {
            json!([field])
        }))
    };
    of(newer)
        .compatible_with(&of(older))
        .into_iter()
        .map(|found| (found.at, found.change))
        .collect()
}

#[test]
fn a_compatible_change_is_silent() {
    let field = |of: Value| json!({ "name": "f", "type": of });
    let with_default =
        |of: Value, default: Value| json!({ "name": "f", "type": of, "default": default });
    for (older, newer) in [
        (field(json!("int")), field(json!("int"))),
        (json!(null), with_default(json!("int"), json!(0))),
        (with_default(json!("int"), json!(0)), json!(null)),
        (field(json!("int")), with_default(json!("int"), json!(5))),
        (field(json!(["null", "int"])), field(json!(["int", "null"]))),
        (field(json!("float")), field(json!("float"))),
        (
            field(json!({ "type": "enum", "name": "E", "symbols": ["A"], "default": "A" })),
            field(json!({ "type": "enum", "name": "n.E", "symbols": ["A", "B"] })),
        ),
    ] {
        assert_eq!(changed(older.clone(), newer.clone()), [], "{older} {newer}");
    }
}

#[test]
fn an_incompatible_change_is_told_with_its_place_and_its_readers() {
    let field = |of: Value| json!({ "name": "f", "type": of });
    let both = |at: &str| {
        vec![
            (at.to_owned(), Change::Backward),
            (at.to_owned(), Change::Forward),
        ]
    };
    let backward = |at: &str| vec![(at.to_owned(), Change::Backward)];
    let forward = |at: &str| vec![(at.to_owned(), Change::Forward)];
    let list = |of: &str| field(json!({ "type": "array", "items": of }));
    let inner = |fields: Value| field(json!({ "type": "record", "name": "I", "fields": fields }));
    for (older, newer, told) in [
        (field(json!("int")), field(json!("string")), both(".f")),
        (field(json!("string")), field(json!("bytes")), both(".f")),
        (field(json!("int")), field(json!("long")), forward(".f")),
        (field(json!("double")), field(json!("int")), backward(".f")),
        (json!(null), field(json!("int")), backward(".f")),
        (field(json!("int")), json!(null), forward(".f")),
        (
            field(json!("int")),
            field(json!(["null", "int"])),
            forward(".f"),
        ),
        (
            field(json!(["null", "int"])),
            field(json!("int")),
            backward(".f"),
        ),
        (list("long"), list("int"), backward(".f[]")),
        (
            inner(json!([])),
            inner(json!([{ "name": "g", "type": "string" }])),
            backward(".f.g"),
        ),
        (
            field(json!({ "type": "enum", "name": "E", "symbols": ["A"] })),
            field(json!({ "type": "enum", "name": "E", "symbols": ["A", "B"] })),
            forward(".f"),
        ),
        (
            field(json!({ "type": "fixed", "name": "F", "size": 1 })),
            field(json!({ "type": "fixed", "name": "F", "size": 2 })),
            both(".f"),
        ),
    ] {
        assert_eq!(
            changed(older.clone(), newer.clone()),
            told,
            "{older} {newer}"
        );
    }
}

#[test]
fn a_renamed_field_is_read_by_its_alias() {
    let older = json!({ "name": "sum", "type": "int", "default": 0 });
    let newer = json!({ "name": "total", "aliases": ["sum"], "type": "int" });
    assert_eq!(changed(older, newer), []);
}
