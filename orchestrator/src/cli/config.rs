//! `config show`, `config keys`, `config docs`.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::text::{table, write_table};
use crate::config::{KEYS, Loaded, key_line, markdown};

/// What is in force, and where it comes from.
pub(crate) fn show(loaded: &Loaded) -> Answer {
    let shown = loaded.shown();
    let mut rows = table(["key", "value", "from"]);
    let mut json = Map::new();
    for line in &shown {
        let value = match line.value.as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            Some(_) | None => line.value.to_string(),
        };
        rows.add_row([line.name.clone(), value, line.origin.to_string()]);
        let own = json!({ "value": line.value, "origin": line.origin.to_string() });
        json.insert(line.name.clone(), own);
    }
    Answer::good(write_table(&rows), Value::Object(json))
}

/// Every key.
pub(crate) fn keys() -> Answer {
    let mut text = Vec::new();
    let mut json = Vec::new();
    for key in KEYS {
        let [name, kind, default, env, what] = key_line(key);
        let shown_default = if default.is_empty() { "none" } else { &default };
        text.push(format!(
            "{name}\n    {what}\n    {kind}; default {shown_default}; env {env}"
        ));
        let default: Value = serde_json::from_str(&default).unwrap_or_default();
        json.push(
            json!({ "key": name, "type": kind, "default": default, "env": env, "what": what }),
        );
    }
    Answer::good(text.join("\n"), Value::Array(json))
}

/// The page of all keys.
pub(crate) fn docs() -> Answer {
    let page = markdown();
    Answer::good(page.trim_end(), json!({ "markdown": page }))
}
