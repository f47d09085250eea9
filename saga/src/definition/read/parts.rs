//! Reading the small parts: maps with fixed keys, numbers, durations, expressions.

use std::collections::{BTreeMap, BTreeSet};

use super::Reader;
use crate::definition::diagnostic::Diagnostic;
use crate::definition::keys::{Key, verbs_with};
use crate::definition::node::{Node, Yaml};
use crate::definition::place::Span;
use crate::definition::words::{DURATION_HELP, duration_ms, nearest};
use crate::expression::{Expression, ExpressionError, Template};

/// The entries of a map, by key.
pub(super) struct Fields<'n> {
    what: String,
    pub(super) span: Span,
    entries: BTreeMap<&'n str, (&'n Node, &'n Node)>,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.get(name).map(|(_, value)| *value)
    }
}

impl Reader<'_> {
    pub(super) fn duration(&mut self, node: &Node, place: &str) -> Option<u64> {
        self.places.put(place, node.span);
        self.measured(node, duration_ms)
    }

    pub(super) fn measured<T>(
        &mut self,
        node: &Node,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let reason = match &node.yaml {
            Yaml::Text(text) => match read(text) {
                Ok(measured) => return Some(measured),
                Err(reason) => reason,
            },
            Yaml::Number(number) => format!("`{number}` is not a duration: its unit is missing"),
            Yaml::Null | Yaml::Bool(_) | Yaml::List(_) | Yaml::Map(_) => {
                format!("a duration is expected, not {}", node.kind())
            }
        };
        self.push(
            self.places
                .error("BS0109", node.span, reason)
                .with_help(DURATION_HELP),
        );
        None
    }

    pub(super) fn count(&mut self, node: &Node, place: &str, what: &str) -> Option<u32> {
        self.places.put(place, node.span);
        let count = match &node.yaml {
            Yaml::Number(number) => number.as_u64().and_then(|count| u32::try_from(count).ok()),
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => None,
        };
        if count.is_none() {
            self.wrong_kind(node, what, "a whole number");
        }
        count
    }

    /// A number of items, of rounds: at most 65,535.
    pub(super) fn optional_small(
        &mut self,
        fields: &Fields<'_>,
        place: &str,
        name: &str,
    ) -> Option<u16> {
        let node = fields.get(name)?;
        let count = self.count(node, &format!("{place}.{name}"), &format!("`{name}`"))?;
        let small = u16::try_from(count).ok();
        if small.is_none() {
            self.error(
                "BS0110",
                node.span,
                format!("`{name}` is {count}, and at most {} is allowed", u16::MAX),
            );
        }
        small
    }

    pub(super) fn optional_duration(
        &mut self,
        fields: &Fields<'_>,
        place: &str,
        name: &str,
    ) -> Option<u64> {
        let node = fields.get(name)?;
        self.duration(node, &format!("{place}.{name}"))
    }

    pub(super) fn percent(&mut self, node: &Node, place: &str) -> Option<u8> {
        self.places.put(place, node.span);
        let number = match &node.yaml {
            Yaml::Number(number) => number.as_u64(),
            Yaml::Text(text) => text
                .strip_suffix('%')
                .and_then(|text| text.trim().parse().ok()),
            Yaml::Null | Yaml::Bool(_) | Yaml::List(_) | Yaml::Map(_) => None,
        };
        let percent = number
            .and_then(|number| u8::try_from(number).ok())
            .filter(|percent| *percent <= 100);
        if percent.is_none() {
            self.push(
                self.places
                    .error(
                        "BS0110",
                        node.span,
                        "`jitter` is not a percentage".to_owned(),
                    )
                    .with_help("write a whole number from 0 to 100"),
            );
        }
        percent
    }

    pub(super) fn truth(&mut self, node: &Node, place: &str, what: &str) -> bool {
        self.places.put(place, node.span);
        match &node.yaml {
            Yaml::Bool(truth) => *truth,
            Yaml::Text(text) if text == "yes" => true,
            Yaml::Text(text) if text == "no" => false,
            Yaml::Null | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => {
                self.wrong_kind(node, what, "true or false");
                false
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, place: &str, what: &str) -> Option<String> {
        self.places.put(place, node.span);
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong_kind(node, what, "a text");
                None
            }
        }
    }

    /// A place where the whole text is an expression.
    pub(super) fn logic(&mut self, node: &Node, place: &str, name: &str) -> Option<Expression> {
        self.places.put(place, node.span);
        let source = match &node.yaml {
            Yaml::Text(text) => text.clone(),
            // `when: true` and `key: 5` are expressions as well.
            Yaml::Bool(truth) => truth.to_string(),
            Yaml::Number(number) => number.to_string(),
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => {
                self.wrong_kind(node, &format!("`{name}`"), "an expression");
                return None;
            }
        };
        match Expression::compile(&source) {
            Ok(expression) => Some(expression),
            Err(error) => {
                let mut diagnostic = self.no_expression(&error, &source, node.span);
                if source.starts_with('=') {
                    diagnostic = diagnostic.with_help(format!(
                        "the whole of `{name}` is an expression: leave out the `=`"
                    ));
                }
                self.push(diagnostic);
                None
            }
        }
    }

    pub(super) fn optional_logic(
        &mut self,
        fields: &Fields<'_>,
        place: &str,
        name: &str,
    ) -> Option<Expression> {
        let node = fields.get(name)?;
        self.logic(node, &format!("{place}.{name}"), name)
    }

    pub(super) fn required_logic(
        &mut self,
        fields: &Fields<'_>,
        place: &str,
        name: &str,
    ) -> Option<Expression> {
        let node = self.required(fields, name)?;
        self.logic(node, &format!("{place}.{name}"), name)
    }

    /// A document under a key, or the empty object.
    pub(super) fn document(&mut self, fields: &Fields<'_>, place: &str, name: &str) -> Template {
        match fields.get(name) {
            Some(node) => self.template(node, &format!("{place}.{name}")),
            None => Template::empty(),
        }
    }

    /// A list of texts, of which the order counts for nothing.
    pub(super) fn texts_of(
        &mut self,
        node: &Node,
        place: &str,
        what: &str,
        one: &str,
    ) -> Option<BTreeSet<String>> {
        self.places.put(place, node.span);
        let Yaml::List(items) = &node.yaml else {
            let diagnostic = self.of_wrong_kind(node, what, &format!("a list, each {one}"));
            self.push(match node.text() {
                Some(text) => diagnostic.with_help(format!("write `[{text}]`")),
                None => diagnostic,
            });
            return None;
        };
        let mut texts = BTreeSet::new();
        for (n, item) in items.iter().enumerate() {
            if let Some(text) = self.text(item, &format!("{place}[{n}]"), one) {
                texts.insert(text);
            }
        }
        Some(texts)
    }

    /// `source` is what the offset of the error counts in.
    pub(super) fn no_expression(
        &self,
        error: &ExpressionError,
        source: &str,
        span: Span,
    ) -> Diagnostic {
        let span = match error.offset {
            Some(offset) => self.places.within(span, offset, 1),
            None => span,
        };
        let diagnostic = self.places.error("BS0203", span, error.reason.clone());
        match error.offset.and_then(|offset| meant_at(source, offset)) {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }

    /// A document in which strings that begin with `=` are expressions.
    pub(super) fn template(&mut self, node: &Node, place: &str) -> Template {
        self.places.put(place, node.span);
        match &node.yaml {
            Yaml::Text(text) => Template::from_text(text.clone()).unwrap_or_else(|error| {
                let source = node.text().unwrap_or_default();
                let diagnostic = self.no_expression(&error, source, node.span);
                self.push(diagnostic);
                Template::empty()
            }),
            Yaml::List(items) => Template::list(
                items
                    .iter()
                    .enumerate()
                    .map(|(n, item)| self.template(item, &format!("{place}[{n}]")))
                    .collect(),
            ),
            Yaml::Map(entries) => Template::object(
                entries
                    .iter()
                    .filter_map(|(key, value)| {
                        let name = self.key(key)?.to_owned();
                        let template = self.template(value, &format!("{place}.{name}"));
                        Some((name, template))
                    })
                    .collect(),
            ),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => {
                Template::Literal(node.scalar().unwrap_or_default())
            }
        }
    }

    pub(super) fn key<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.wrong_kind(node, "a key", "a text");
        }
        text
    }

    /// The entries of a map of which the keys are fixed.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[Key],
    ) -> Option<Fields<'n>> {
        let Yaml::Map(nodes) = &node.yaml else {
            self.wrong_kind(node, what, "a map");
            return None;
        };
        let mut entries = BTreeMap::new();
        for (key, value) in nodes {
            let Some(name) = self.key(key) else {
                continue;
            };
            if known.iter().any(|known| known.name == name) {
                entries.insert(name, (key, value));
                continue;
            }
            self.push(
                self.places
                    .error("BS0103", key.span, format!("{what} has no `{name}`"))
                    .with_help(instead(name, known)),
            );
        }
        let span = nodes.first().map_or(node.span, |(key, _)| key.span);
        Some(Fields {
            what: what.to_owned(),
            span,
            entries,
        })
    }

    pub(super) fn required<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<&'n Node> {
        let node = fields.get(name);
        if node.is_none() {
            self.error(
                "BS0104",
                fields.span,
                format!("{} must have `{name}`", fields.what),
            );
        }
        node
    }

    pub(super) fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        let diagnostic = self.of_wrong_kind(node, what, expected);
        self.push(diagnostic);
    }

    pub(super) fn of_wrong_kind(&self, node: &Node, what: &str, expected: &str) -> Diagnostic {
        let found = node.kind();
        let message = format!("{what} must be {expected}, and is {found}");
        self.places.error("BS0105", node.span, message)
    }

    pub(super) fn error(&mut self, code: &'static str, span: Span, message: String) {
        self.push(self.places.error(code, span, message));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }
}

/// What is meant at the place where an expression of another language stops being one of CEL.
fn meant_at(source: &str, offset: usize) -> Option<&'static str> {
    let rest: String = source.chars().skip(offset).collect();
    let is_word = |word: &str| {
        rest.strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    if is_word("and") {
        Some("write `&&` for and")
    } else if is_word("or") {
        Some("write `||` for or")
    } else if source
        .trim_start_matches('=')
        .trim_start()
        .starts_with("not ")
    {
        Some("write `!` for not: `!(…)`")
    } else if rest.starts_with("= ") {
        Some("write `==` to compare")
    } else {
        None
    }
}

/// What to write instead of a key that is not known.
fn instead(name: &str, known: &[Key]) -> String {
    let names: Vec<&str> = known.iter().map(|known| known.name).collect();
    let of_a_step = known.iter().any(|known| known.name == "on_failure");
    if of_a_step {
        if name == "until" && names.contains(&"sleep") {
            return "write `sleep: { until: … }`".to_owned();
        }
        if name == "else" && names.contains(&"choose") {
            return "write it as the last of the list: `- else: […]`".to_owned();
        }
        let others: Vec<String> = verbs_with(name)
            .iter()
            .map(|verb| format!("`{verb}`"))
            .collect();
        if !others.is_empty() {
            return format!("`{name}` goes with {}", others.join(" and "));
        }
    }
    match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it may have {}", names.join(", ")),
    }
}

/// From the start of a key to the end of its value, where they share a line.
pub(super) fn joined(key: &Node, value: &Node) -> Span {
    let end = value.span.column + value.span.len;
    if key.span.line == value.span.line && end > key.span.column {
        Span {
            len: end - key.span.column,
            ..key.span
        }
    } else {
        key.span
    }
}
