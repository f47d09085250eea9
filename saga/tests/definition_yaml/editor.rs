//! The JSON Schema of the language.

use std::path::Path;

use backstitch_saga::definition::Definition;
use serde_json::{Value, json};

use super::examples::EXAMPLES;
use super::shape::misfits;

const WRITTEN: &str = include_str!("../../../docs/definition.schema.json");

/// `UPDATE_SCHEMA=1 cargo test -p backstitch-saga --test definition_yaml editor` writes the file.
#[test]
fn the_schema_beside_the_docs_is_that_of_the_program() {
    let schema = Definition::editor_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/definition.schema.json"
        );
        let text = serde_json::to_string_pretty(&schema).unwrap();
        std::fs::write(path, text + "\n").unwrap();
        println!("wrote {path}");
        return;
    }
    let written: Value = serde_json::from_str(WRITTEN).unwrap();
    assert_eq!(written, schema);
}

/// YAML as an editor sees it.
fn seen(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn each_example_fits_as_it_is_written_and_in_canonical_form() {
    let schema = Definition::editor_schema();
    for example in EXAMPLES {
        let built = (example.rust)().build().unwrap();
        for yaml in [example.yaml, &built.source] {
            let wrong = misfits(&schema, &seen(yaml));
            assert!(wrong.is_empty(), "{yaml}\n{wrong:#?}");
        }
    }
}

#[test]
fn the_worked_definitions_fit() {
    let schema = Definition::editor_schema();
    let mut fitting = 0;
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/definitions"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../orchestrator/definitions"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".yaml")
                && !name.ends_with(".test.yaml")
                && name != "activities.yaml"
            {
                let yaml = std::fs::read_to_string(&path).unwrap();
                let wrong = misfits(&schema, &seen(&yaml));
                assert!(wrong.is_empty(), "{}\n{wrong:#?}", path.display());
                fitting += 1;
            }
        }
    }
    assert!(fitting >= 6, "{fitting}");
}

#[test]
fn what_the_language_refuses_in_shape_the_schema_refuses_too() {
    let schema = Definition::editor_schema();
    let fits = |step: &Value| {
        let whole = json!({ "saga": "s", "steps": [step] });
        misfits(&schema, &whole).is_empty()
    };
    for step in [
        json!({ "do": "a", "undo": "yes" }),
        json!({ "do": "a", "undo": { "do": "b" }, "timeout": { "total": "1h" } }),
        json!({ "end": null }),
    ] {
        assert!(fits(&step), "{step}");
    }
    for step in [
        json!({}),
        json!({ "do": "a", "wait": "b", "topic": "t", "key": "message.x" }),
        json!({ "do": "charge_payment" }),
        json!({ "do": "a", "retries": 5 }),
        json!({ "do": "a", "undo": "maybe" }),
        json!({ "do": "a", "timeout": 5 }),
        json!({ "do": "a", "timeout": "5 s" }),
        json!({ "do": "a", "timeout": { "replay": "5s" } }),
        json!({ "do": "a", "retry": { "attempts": 0 } }),
        json!({ "do": "a", "on_timeout": "park" }),
        json!({ "do": "a", "on_failure": "explode" }),
        json!({ "do": "a", "on_failure": [{ "do": "B" }] }),
        json!({ "do": "a", "id": "a-b" }),
        json!({ "wait": "a", "topic": "t" }),
        json!({ "wait": "a", "topic": "t t", "key": "message.x" }),
        json!({ "sleep": { "untill": "event.x" } }),
        json!({ "sleep": "5s", "until": "event.x" }),
        json!({ "approve": "a", "by": "cfo" }),
        json!({ "parallel": { "a": [] } }),
        json!({ "parallel": { "a": [], "b": [] }, "need": "most" }),
        json!({ "choose": [{ "when": "event.x" }] }),
        json!({ "choose": [{ "when": "event.x", "steps": [] }], "else": [] }),
        json!({ "each": "line", "over": "event.lines" }),
        json!({ "repeat": [{ "do": "a" }] }),
        json!({ "set": ["a"] }),
        json!({ "fail": "NoSuchCard" }),
    ] {
        assert!(!fits(&step), "{step}");
    }
    for whole in [
        json!({ "saga": "s" }),
        json!({ "saga": "s", "steps": [] }),
        json!({ "saga": "s", "steps": [{ "do": "a" }], "step": [] }),
        json!({ "saga": "s", "steps": [{ "do": "a" }], "start": { "topic": "t" } }),
        json!({ "saga": "s", "steps": [{ "do": "a" }], "tags": { "a": [1] } }),
        json!({ "saga": "s", "steps": [{ "do": "a" }], "activities": { "a": { "inptu": "x" } } }),
    ] {
        assert!(!misfits(&schema, &whole).is_empty(), "{whole}");
    }
}

#[test]
fn a_key_that_the_schema_requires_is_required_by_the_language() {
    let schema = Definition::editor_schema();
    let mut left_out = 0;
    for example in EXAMPLES {
        let whole = seen(example.yaml);
        let steps = whole["steps"].as_array().unwrap().len();
        for n in 0..steps {
            let keys: Vec<String> = whole["steps"][n]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            for key in keys {
                let mut without = whole.clone();
                without["steps"][n].as_object_mut().unwrap().remove(&key);
                let refused = !misfits(&schema, &without).is_empty();
                // What is stored is read and not checked: the shape alone counts.
                let read = Definition::from_stored(&without.to_string());
                let bare = read.is_err_and(|found| {
                    found.iter().any(|d| matches!(d.code, "BS0104" | "BS0108"))
                });
                assert_eq!(refused, bare, "{}: {key} of step {n}", example.about);
                left_out += usize::from(refused);
            }
        }
    }
    assert!(left_out > 20, "{left_out}");
}

#[test]
fn each_key_says_what_it_is_for() {
    let schema = Definition::editor_schema();
    let mut maps = vec![&schema];
    maps.extend(schema["definitions"].as_object().unwrap().values());
    let mut keys = 0;
    for map in maps {
        let Some(properties) = map["properties"].as_object() else {
            continue;
        };
        for (key, property) in properties {
            keys += 1;
            let about = property["description"].as_str().unwrap_or_default();
            assert!(about.ends_with('.') && about.len() > 10, "{key}: {about}");
            let refers = property["$ref"].as_str().unwrap();
            let name = refers.strip_prefix("#/definitions/").unwrap();
            assert!(schema["definitions"].get(name).is_some(), "{refers}");
        }
    }
    assert!(keys > 60, "{keys}");
}
