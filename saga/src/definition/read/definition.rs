//! The top of a definition.

use std::collections::BTreeMap;

use super::Reader;
use super::settings::Settings;
use crate::definition::blocks::walk;
use crate::definition::ids::name_steps;
use crate::definition::keys;
use crate::definition::limits::{START_RULES_MAX, STEPS_MAX};
use crate::definition::model::{Definition, StartRule};
use crate::definition::node::{Node, Yaml};
use crate::definition::place::Span;
use crate::expression::Template;

impl Reader<'_> {
    pub(super) fn definition(mut self, root: &Node) -> Definition {
        self.places.put(
            "",
            Span {
                line: root.span.line,
                column: root.span.column,
                len: 1,
            },
        );
        let mut definition = Definition::default();
        if !matches!(root.yaml, Yaml::Map(_)) {
            let diagnostic = self
                .of_wrong_kind(root, "a definition", "a map")
                .with_help("it begins with `saga: its-name`, and has `steps:`");
            self.push(diagnostic);
            return definition;
        }
        let Some(fields) = self.fields(root, "a definition", keys::DEFINITION) else {
            return definition;
        };
        if let Some(defaults) = fields.get("defaults") {
            self.defaults = self.defaults(defaults);
        }
        if let Some(node) = self.required(&fields, "saga") {
            definition.name = self
                .text(node, "saga", "the name of the saga")
                .unwrap_or_default();
        }
        if let Some(node) = fields.get("start") {
            definition.start = self.start_rules(node);
        }
        definition.input = fields
            .get("input")
            .and_then(|node| self.schema(node, "input", ""));
        // Before the steps, which take from the contracts what they do not say.
        if let Some(node) = fields.get("activities") {
            definition.activities = self.activities(node);
        }
        definition.deadline_ms = fields
            .get("deadline")
            .and_then(|node| self.duration(node, "deadline"));
        if let Some(node) = fields.get("tags") {
            definition.tags = self.named(node, "tags", "`tags`");
        }
        if let Some(node) = self.required(&fields, "steps") {
            definition.steps = self.sequence(node, "steps", "steps");
            self.count_steps(&definition, node);
        }
        definition.output = fields
            .get("output")
            .map(|node| self.template(node, "output"));
        name_steps(&mut definition.steps);
        definition.files = self.texts;
        definition
    }

    fn count_steps(&mut self, definition: &Definition, node: &Node) {
        let mut count = 0_usize;
        walk(&definition.steps, &mut |_| count += 1);
        if matches!(&node.yaml, Yaml::List(steps) if steps.is_empty()) {
            self.error(
                "BS0104",
                node.span,
                "a definition has at least one step".to_owned(),
            );
        }
        if count > STEPS_MAX {
            self.error(
                "BS0102",
                node.span,
                format!("{count} steps, and at most {STEPS_MAX} are allowed"),
            );
        }
    }

    fn defaults(&mut self, node: &Node) -> Settings {
        let Some(fields) = self.fields(node, "`defaults`", keys::DEFAULTS) else {
            return Settings::default();
        };
        self.settings(&fields, "defaults")
    }

    fn start_rules(&mut self, node: &Node) -> Vec<StartRule> {
        self.places.put("start", node.span);
        let rules = match &node.yaml {
            Yaml::List(rules) => rules.as_slice(),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
                std::slice::from_ref(node)
            }
        };
        if rules.len() > START_RULES_MAX {
            self.error(
                "BS0102",
                node.span,
                format!(
                    "{} start rules, and at most {START_RULES_MAX} are allowed",
                    rules.len()
                ),
            );
            return Vec::new();
        }
        rules
            .iter()
            .enumerate()
            .filter_map(|(n, rule)| self.start_rule(rule, &format!("start[{n}]")))
            .collect()
    }

    fn start_rule(&mut self, node: &Node, place: &str) -> Option<StartRule> {
        let fields = self.fields(node, "a start rule", keys::START)?;
        self.places.put(place, fields.span);
        let topic = self
            .required(&fields, "topic")
            .and_then(|node| self.text(node, &format!("{place}.topic"), "a topic"));
        let key = self.required_logic(&fields, place, "key");
        let when = self.optional_logic(&fields, place, "when");
        Some(StartRule {
            topic: topic?,
            key: key?,
            when,
        })
    }

    /// A map from names to documents.
    pub(super) fn named(
        &mut self,
        node: &Node,
        place: &str,
        what: &str,
    ) -> BTreeMap<String, Template> {
        self.places.put(place, node.span);
        let Yaml::Map(entries) = &node.yaml else {
            let diagnostic = self
                .of_wrong_kind(node, what, "a map")
                .with_help("write each under its name: `{ customer: =event.customer_id }`");
            self.push(diagnostic);
            return BTreeMap::new();
        };
        entries
            .iter()
            .filter_map(|(key, value)| {
                let name = self.key(key)?;
                let place = format!("{place}.{name}");
                let template = self.template(value, &place);
                self.places.put(format!("{place}#"), key.span);
                Some((name.to_owned(), template))
            })
            .collect()
    }
}
