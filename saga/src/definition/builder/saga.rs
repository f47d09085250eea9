//! The definition, what starts it, and contracts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::faults::Faults;
use super::step::{AnyStep, listed};
use crate::contract::Schema;
use crate::definition::diagnostic::Diagnostic;
use crate::definition::ids::name_steps;
use crate::definition::model::{Contract, Definition, SchemaFile, StartRule};

/// A definition as it is built.
#[derive(Debug, Clone)]
#[must_use = "it is a definition when `build` is called"]
pub struct SagaDraft {
    definition: Definition,
    faults: Faults,
}

/// A definition of this name, in kebab-case, without a step.
pub fn saga(name: impl Into<String>) -> SagaDraft {
    SagaDraft {
        definition: Definition {
            name: name.into(),
            ..Definition::default()
        },
        faults: Faults::default(),
    }
}

impl SagaDraft {
    /// Records that start it. Without any, it is started by `start` only.
    pub fn start(mut self, rule: StartDraft) -> Self {
        let StartDraft { rule, faults } = rule;
        self.faults.take_in("`start`", faults);
        self.definition.start.push(rule);
        self
    }

    /// The Avro schema of the start event: its text, and the path that the YAML has for it.
    pub fn input(mut self, path: impl Into<String>, avro: impl Into<String>) -> Self {
        let mut files = BTreeMap::new();
        let file = schema(
            "input",
            path.into(),
            avro.into(),
            &mut files,
            &mut self.faults,
        );
        self.definition.input = Some(file);
        self.add(files);
        self
    }

    /// What is agreed with the workers of an activity.
    pub fn contract(mut self, activity: impl Into<String>, agreed: ContractDraft) -> Self {
        let ContractDraft {
            contract,
            files,
            faults,
        } = agreed;
        let activity = activity.into();
        self.faults
            .take_in(&format!("the contract of `{activity}`"), faults);
        let known = self
            .definition
            .activities
            .insert(activity.clone(), contract);
        if known.is_some() {
            self.twice("activities", &activity);
        }
        self.add(files);
        self
    }

    fn add(&mut self, files: BTreeMap<String, String>) {
        for (path, text) in files {
            let known = self.definition.files.insert(path.clone(), text.clone());
            if known.is_some_and(|known| known != text) {
                self.faults
                    .push("BS0112", &path, "two schemas have the same path");
            }
        }
    }

    fn twice(&mut self, at: &str, name: &str) {
        self.faults
            .push("BS0106", at, format!("`{name}` is written twice"));
    }

    /// What its sagas are searched by.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        let tag = self.faults.template(&name, value);
        if self.definition.tags.insert(name.clone(), tag).is_some() {
            self.twice("tags", &name);
        }
        self
    }

    /// How long a saga may take in all.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.definition.deadline_ms = Some(self.faults.ms("deadline", limit));
        self
    }

    /// What it does next.
    pub fn step(self, step: impl Into<AnyStep>) -> Self {
        self.steps([step.into()])
    }

    /// What it does next, in order.
    pub fn steps<S: Into<AnyStep>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        let steps = listed(steps, &mut self.faults);
        self.definition.steps.extend(steps);
        self
    }

    /// What it answers when it completes.
    pub fn output(mut self, output: impl Into<Value>) -> Self {
        self.definition.output = Some(self.faults.template("output", output));
        self
    }

    /// The definition, checked. Warnings are dropped.
    ///
    /// # Errors
    ///
    /// All that is wrong with it; at least one. There are no lines, but the parts are named.
    pub fn build(self) -> Result<Definition, Vec<Diagnostic>> {
        self.build_with_warnings()
            .map(|(definition, _warnings)| definition)
            .map_err(|mut found| {
                found.retain(Diagnostic::is_error);
                found
            })
    }

    /// As [`SagaDraft::build`], with the warnings; there are no errors among them.
    ///
    /// # Errors
    ///
    /// The errors and the warnings; at least one error.
    pub fn build_with_warnings(self) -> Result<(Definition, Vec<Diagnostic>), Vec<Diagnostic>> {
        let Self {
            mut definition,
            mut faults,
        } = self;
        one_schema_a_path(&definition, &mut faults);
        let told = faults.told();
        if !told.is_empty() {
            return Err(told);
        }
        name_steps(&mut definition.steps);
        definition.checked()
    }
}

/// Records that start a saga.
#[derive(Debug, Clone)]
#[must_use]
pub struct StartDraft {
    rule: StartRule,
    faults: Faults,
}

/// Records of a topic, of which it is not said yet what their key is.
#[derive(Debug, Clone)]
#[must_use]
pub struct StartOn {
    topic: String,
}

/// Records of a source topic.
pub fn on(topic: impl Into<String>) -> StartOn {
    StartOn {
        topic: topic.into(),
    }
}

impl StartOn {
    /// The business key, an expression: one saga for each key.
    pub fn key(self, key: impl AsRef<str>) -> StartDraft {
        let mut faults = Faults::default();
        let rule = StartRule {
            topic: self.topic,
            when: None,
            key: faults.logic("key", key.as_ref()),
        };
        StartDraft { rule, faults }
    }
}

impl StartDraft {
    /// Only records for which this expression holds.
    pub fn when(mut self, condition: impl AsRef<str>) -> Self {
        self.rule.when = Some(self.faults.logic("when", condition.as_ref()));
        self
    }
}

/// What is agreed with the workers of an activity.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ContractDraft {
    contract: Contract,
    files: BTreeMap<String, String>,
    faults: Faults,
}

/// A contract that says nothing yet.
pub fn contract() -> ContractDraft {
    ContractDraft::default()
}

impl ContractDraft {
    /// The Avro schema of what they are given: its text, and the path that the YAML has for it.
    pub fn input(mut self, path: impl Into<String>, avro: impl Into<String>) -> Self {
        self.contract.input = Some(self.schema("input", path.into(), avro.into()));
        self
    }

    /// The Avro schema of what they answer: its text, and the path that the YAML has for it.
    pub fn output(mut self, path: impl Into<String>, avro: impl Into<String>) -> Self {
        self.contract.output = Some(self.schema("output", path.into(), avro.into()));
        self
    }

    fn schema(&mut self, at: &str, path: String, avro: String) -> SchemaFile {
        schema(at, path, avro, &mut self.files, &mut self.faults)
    }

    /// The codes with which they may fail or refuse. Without it: any.
    pub fn errors<C: Into<String>>(mut self, codes: impl IntoIterator<Item = C>) -> Self {
        self.contract
            .errors
            .extend(codes.into_iter().map(Into::into));
        self
    }
}

/// The schemas of waits come with their steps, and their paths are known only here.
fn one_schema_a_path(definition: &Definition, faults: &mut Faults) {
    let mut known: BTreeMap<&str, &SchemaFile> = BTreeMap::new();
    for file in definition.schema_files() {
        let first = *known.entry(&file.path).or_insert(file);
        if first.schema.is_some() && file.schema.is_some() && first.schema != file.schema {
            faults.push("BS0112", &file.path, "two schemas have the same path");
        }
    }
}

/// A schema, of which the text goes to the files.
fn schema(
    at: &str,
    path: String,
    avro: String,
    files: &mut BTreeMap<String, String>,
    faults: &mut Faults,
) -> SchemaFile {
    let file = schema_file(at, path, &avro, faults);
    if files.get(&file.path).is_some_and(|known| *known != avro) {
        let path = &file.path;
        faults.push("BS0112", at, format!("two schemas have the path `{path}`"));
    }
    files.insert(file.path.clone(), avro);
    file
}

/// A schema, by its text.
pub(super) fn schema_file(at: &str, path: String, avro: &str, faults: &mut Faults) -> SchemaFile {
    let schema = match Schema::parse(avro) {
        Ok(schema) => Some(Arc::new(schema)),
        Err(error) => {
            faults.push("BS0112", at, format!("`{path}` is no schema: {error}"));
            None
        }
    };
    SchemaFile { path, schema }
}
