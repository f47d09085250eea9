//! Contracts and schemas, and the files they stand in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Reader;
use crate::contract::Schema;
use crate::definition::files::beside;
use crate::definition::keys;
use crate::definition::limits::{DEFINITION_BYTES_MAX, FILES_BYTES_MAX};
use crate::definition::model::{Contract, SchemaFile};
use crate::definition::node::{Node, Yaml};
use crate::definition::place::Places;
use crate::definition::yaml::no_yaml;

impl Reader<'_> {
    /// Contracts, by activity: a map of them, or the path of a file that holds such a map.
    pub(super) fn activities(&mut self, node: &Node) -> BTreeMap<String, Contract> {
        self.places.put("activities", node.span);
        match &node.yaml {
            Yaml::Text(path) => self.contracts_in(path, node),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::List(_) | Yaml::Map(_) => {
                self.contracts(node, "`activities`", "")
            }
        }
    }

    fn contracts_in(&mut self, path: &str, node: &Node) -> BTreeMap<String, Contract> {
        if self.files.is_none() {
            // Timeouts stand there: without them it would be another definition.
            self.error(
                "BS0112",
                node.span,
                format!("the file `{path}` is not at hand"),
            );
            return BTreeMap::new();
        }
        let Some(text) = self.file(path, node) else {
            return BTreeMap::new();
        };
        let mut inner = Places::of_text(Some(path), &text);
        let root = match Node::read(&text) {
            Ok(root) => root,
            Err(error) => {
                self.push(no_yaml(&inner, error));
                return BTreeMap::new();
            }
        };
        std::mem::swap(self.places, &mut inner);
        let contracts = self.contracts(&root, "a file of contracts", path);
        std::mem::swap(self.places, &mut inner);
        // From here on, what stands in that file stands where the text names it.
        for place in inner.names() {
            self.places.put(place, node.span);
        }
        contracts
    }

    fn contracts(&mut self, node: &Node, what: &str, file: &str) -> BTreeMap<String, Contract> {
        let Yaml::Map(entries) = &node.yaml else {
            self.wrong_kind(node, what, "a map from activities to contracts");
            return BTreeMap::new();
        };
        entries
            .iter()
            .filter_map(|(key, value)| {
                let activity = self.key(key)?.to_owned();
                let place = format!("activities.{activity}");
                self.places.put(format!("{place}#"), key.span);
                self.places.put(&place, key.span);
                let contract = self.contract(value, &activity, file)?;
                Some((activity, contract))
            })
            .collect()
    }

    fn contract(&mut self, node: &Node, activity: &str, file: &str) -> Option<Contract> {
        let place = format!("activities.{activity}");
        let fields = self.fields(node, "a contract", keys::CONTRACT)?;
        let agreed = self.settings(&fields, &place);
        self.agreed.insert(activity.to_owned(), agreed);
        Some(Contract {
            input: fields
                .get("input")
                .and_then(|node| self.schema(node, &format!("{place}.input"), file)),
            output: fields
                .get("output")
                .and_then(|node| self.schema(node, &format!("{place}.output"), file)),
            errors: fields
                .get("errors")
                .and_then(|node| {
                    self.texts_of(
                        node,
                        &format!("{place}.errors"),
                        "`errors`",
                        "an error code",
                    )
                })
                .unwrap_or_default(),
        })
    }

    /// A schema that stands in a file of its own, named in `file`.
    pub(super) fn schema(&mut self, node: &Node, place: &str, file: &str) -> Option<SchemaFile> {
        let path = self.text(node, place, "the path of a schema")?;
        let path = beside(file, &path);
        if self.files.is_none() {
            return Some(SchemaFile { path, schema: None });
        }
        let schema = match self.schemas.get(&path) {
            Some(known) => known.clone(),
            None => {
                let schema = self.parsed(&path, node);
                self.schemas.insert(path.clone(), schema.clone());
                schema
            }
        };
        Some(SchemaFile { path, schema })
    }

    fn parsed(&mut self, path: &str, node: &Node) -> Option<Arc<Schema>> {
        let text = self.file(path, node)?;
        match Schema::parse(&text) {
            Ok(schema) => Some(Arc::new(schema)),
            Err(error) => {
                self.push(
                    self.places
                        .error(
                            "BS0112",
                            node.span,
                            format!("the file `{path}` is no schema: {error}"),
                        )
                        .with_help("a schema is an Avro schema, as JSON"),
                );
                None
            }
        }
    }

    /// What stands in a file.
    fn file(&mut self, path: &str, node: &Node) -> Option<String> {
        if let Some(known) = self.texts.get(path) {
            return Some(known.clone());
        }
        let text = match self.files?.read(path) {
            Ok(text) => text,
            Err(reason) => {
                self.error(
                    "BS0112",
                    node.span,
                    format!("the file `{path}` cannot be read: {reason}"),
                );
                return None;
            }
        };
        let all: usize = self.texts.values().map(String::len).sum();
        if text.len() > DEFINITION_BYTES_MAX || all + text.len() > FILES_BYTES_MAX {
            self.error(
                "BS0102",
                node.span,
                format!(
                    "with `{path}`, the files of the definition have {} bytes, and at most {FILES_BYTES_MAX} are allowed",
                    all + text.len()
                ),
            );
            return None;
        }
        self.texts.insert(path.to_owned(), text.clone());
        Some(text)
    }
}
