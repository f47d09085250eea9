//! How lists, maps and texts are laid out.

use serde_json::Value;

/// What is written.
pub(super) enum Out {
    /// As it stands.
    Word(String),
    /// Quoted where it must be.
    Text(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

impl Out {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn word(word: impl ToString) -> Self {
        Self::Word(word.to_string())
    }

    /// A JSON value; its texts are those given by `text`.
    pub(super) fn json(value: &Value, text: fn(&str) -> String) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::word(value),
            Value::String(written) => Self::Text(text(written)),
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::json(item, text)).collect())
            }
            Value::Object(fields) => {
                let mut fields: Vec<(String, Self)> = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), Self::json(field, text)))
                    .collect();
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Map(fields)
            }
        }
    }
}

/// The text of a map.
pub(super) fn laid_out(out: &Out) -> String {
    let mut text = String::new();
    block(out, 0, &mut text);
    text
}

/// Lines, each of them indented.
fn block(out: &Out, indent: usize, text: &mut String) {
    match out {
        Out::Word(_) | Out::Text(_) => {
            text.push_str(&inline(out).unwrap_or_default());
            text.push('\n');
        }
        Out::List(items) => {
            for item in items {
                margin(indent, text);
                text.push('-');
                item_of_list(item, indent, text);
            }
        }
        Out::Map(entries) => {
            for entry in entries {
                margin(indent, text);
                entry_of_map(entry, indent, text);
            }
        }
    }
}

fn item_of_list(item: &Out, indent: usize, text: &mut String) {
    if let Some(inline) = inline(item) {
        text.push(' ');
        text.push_str(&inline);
        text.push('\n');
    } else if let Out::Map(entries) = item {
        // The first entry stands beside the dash.
        for (n, entry) in entries.iter().enumerate() {
            match n {
                0 => text.push(' '),
                _ => margin(indent + 2, text),
            }
            entry_of_map(entry, indent + 2, text);
        }
    } else {
        text.push('\n');
        block(item, indent + 2, text);
    }
}

fn entry_of_map((key, value): &(String, Out), indent: usize, text: &mut String) {
    text.push_str(&quoted(key));
    text.push(':');
    match inline(value) {
        Some(inline) => {
            text.push(' ');
            text.push_str(&inline);
            text.push('\n');
        }
        None => {
            text.push('\n');
            block(value, indent + 2, text);
        }
    }
}

fn margin(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// What fits behind a key.
fn inline(out: &Out) -> Option<String> {
    match out {
        Out::Word(word) => Some(word.clone()),
        Out::Text(text) => Some(quoted(text)),
        Out::List(items) if items.is_empty() => Some("[]".to_owned()),
        Out::Map(entries) if entries.is_empty() => Some("{}".to_owned()),
        Out::List(_) | Out::Map(_) => None,
    }
}

/// A text as a YAML scalar: plain where no reader of YAML could take it for something else.
fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            // Readable, and in no reader's way.
            c if c.is_alphanumeric() => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    const TAKEN: [&str; 11] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan",
    ];
    let begins = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '=' | '/' | '(');
    text.starts_with(begins)
        && text.len() > usize::from(text.starts_with('='))
        && text.chars().all(|c| matches!(c, ' '..='~'))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str())
}
