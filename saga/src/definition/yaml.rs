//! Reading a definition.

use std::collections::BTreeMap;

use super::blocks::walk;
use super::check::check;
use super::diagnostic::{Diagnostic, sorted};
use super::files::Files;
use super::hash::hash;
use super::model::{Definition, SchemaFile, Verb};
use super::node::{Node, YamlError};
use super::place::{Places, Span};
use super::read::read;
use crate::contract::Schema;

impl Definition {
    /// Reads a definition from YAML, checks it and names it by its hash. Warnings are dropped.
    ///
    /// No other files are at hand: schemas stay unread, and payloads are not held against them;
    /// contracts in a file of their own are an error. See [`Definition::from_yaml_with`].
    ///
    /// # Errors
    ///
    /// All that is wrong with it, in the order of the text; at least one.
    pub fn from_yaml(source: &str) -> Result<Self, Vec<Diagnostic>> {
        errors_only(read_and_check(None, source, None))
    }

    /// As [`Definition::from_yaml`], and the diagnostics name the file.
    ///
    /// # Errors
    ///
    /// As [`Definition::from_yaml`].
    pub fn from_yaml_named(file: &str, source: &str) -> Result<Self, Vec<Diagnostic>> {
        errors_only(read_and_check(Some(file), source, None))
    }

    /// As [`Definition::from_yaml_named`], with the files that the definition names.
    ///
    /// # Errors
    ///
    /// As [`Definition::from_yaml`]; also for a file that is not there or not what it should be.
    pub fn from_yaml_with(
        file: &str,
        source: &str,
        files: &dyn Files,
    ) -> Result<Self, Vec<Diagnostic>> {
        errors_only(read_and_check(Some(file), source, Some(files)))
    }

    /// As [`Definition::from_yaml_named`], with the warnings; there are no errors among them.
    ///
    /// # Errors
    ///
    /// The errors and the warnings, in the order of the text; at least one error.
    pub fn check_yaml(
        file: Option<&str>,
        source: &str,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        read_and_check(file, source, None)
    }

    /// As [`Definition::from_yaml_with`], with the warnings; there are no errors among them.
    ///
    /// # Errors
    ///
    /// The errors and the warnings, in the order of the text; at least one error.
    pub fn check_yaml_with(
        file: Option<&str>,
        source: &str,
        files: &dyn Files,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        read_and_check(file, source, Some(files))
    }

    /// Checks a definition that was not read from a text: the diagnostics have no lines.
    ///
    /// Its source becomes the YAML of what it holds, its files the schemas in it, and all else what
    /// these say when they are read: what is returned can be stored and read again.
    ///
    /// # Errors
    ///
    /// The errors and the warnings; at least one error. What YAML cannot hold, such as too many start
    /// rules, is an error too.
    pub fn checked(mut self) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut found = Vec::new();
        check(&self, &Places::default(), &mut found);
        if found.iter().any(Diagnostic::is_error) {
            return Err(sorted(found, None));
        }
        self.source = self.to_yaml();
        self.files = self.schema_texts();
        match Self::from_stored(&self.stored()) {
            Ok(read) => Ok((read, sorted(found, None))),
            Err(unwritable) => {
                // Nobody has seen the text that has these lines.
                found.extend(unwritable.into_iter().map(Diagnostic::without_place));
                Err(sorted(found, None))
            }
        }
    }

    /// The schemas that it names, wherever: of its start event, of contracts, of waits.
    pub(super) fn schema_files(&self) -> Vec<&SchemaFile> {
        let contracts = self.activities.values();
        let mut files: Vec<&SchemaFile> = contracts
            .flat_map(|contract| [&contract.input, &contract.output])
            .chain([&self.input])
            .flatten()
            .collect();
        walk(&self.steps, &mut |step| {
            if let Verb::Wait(wait) = &step.verb {
                files.extend(&wait.input);
            }
        });
        files
    }

    /// The texts of its schemas, by path.
    fn schema_texts(&self) -> BTreeMap<String, String> {
        self.schema_files()
            .into_iter()
            .filter_map(|file| {
                let schema = file.schema.as_ref()?;
                // The text as it was written, if it is at hand.
                let text = self
                    .files
                    .get(&file.path)
                    .filter(|text| Schema::parse(text).is_ok_and(|written| written == **schema));
                let text = text.cloned().unwrap_or_else(|| schema.source().to_string());
                Some((file.path.clone(), text))
            })
            .collect()
    }
}

fn errors_only(
    outcome: Result<(Definition, Vec<Diagnostic>), Vec<Diagnostic>>,
) -> Result<Definition, Vec<Diagnostic>> {
    match outcome {
        Ok((definition, _warnings)) => Ok(definition),
        Err(mut found) => {
            found.retain(Diagnostic::is_error);
            Err(found)
        }
    }
}

fn read_and_check(
    file: Option<&str>,
    source: &str,
    files: Option<&dyn Files>,
) -> Result<(Definition, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut places = Places::of_text(file, source);
    let mut found = Vec::new();
    let definition = read_only(source, files, &mut places, &mut found);
    // Checking what could only be read in part would report what follows from that.
    if found.is_empty() {
        check(&definition, &places, &mut found);
    }
    if found.iter().any(Diagnostic::is_error) {
        return Err(sorted(found, file));
    }
    Ok((definition, sorted(found, file)))
}

/// Reads a text and names what it holds; it is not checked.
pub(super) fn read_only(
    source: &str,
    files: Option<&dyn Files>,
    places: &mut Places,
    found: &mut Vec<Diagnostic>,
) -> Definition {
    let root = match Node::read(source) {
        Ok(root) => root,
        Err(error) => {
            found.push(no_yaml(places, error));
            return Definition::default();
        }
    };
    let mut definition = read(&root, files, places, found);
    definition.hash = hash(&definition);
    source.clone_into(&mut definition.source);
    definition
}

pub(super) fn no_yaml(places: &Places, error: YamlError) -> Diagnostic {
    const TOP: Span = Span {
        line: 1,
        column: 1,
        len: 1,
    };
    let (code, span, message) = match error {
        YamlError::TooLarge(message) => ("BS0102", TOP, message),
        YamlError::Syntax { message, span } => ("BS0101", span, message),
        YamlError::DuplicateKey { message, span } => ("BS0106", span, message),
    };
    places.error(code, if span.line == 0 { TOP } else { span }, message)
}
