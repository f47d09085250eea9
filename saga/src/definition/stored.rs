//! A definition as one text, for stores and journals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::diagnostic::Diagnostic;
use super::files::Files;
use super::model::Definition;
use super::place::Places;
use super::yaml::read_only;

/// A definition with the files that it names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    /// Its YAML.
    definition: String,
    files: BTreeMap<String, String>,
}

impl Definition {
    /// Everything of it as one text: the YAML itself if it has no files, else JSON with them.
    pub fn stored(&self) -> String {
        if self.files.is_empty() {
            return self.source.clone();
        }
        let bundle = Bundle {
            definition: self.source.clone(),
            files: self.files.clone(),
        };
        serde_json::to_string(&bundle).expect("texts by text are JSON")
    }

    /// Reads what [`Definition::stored`] gave, or YAML without files.
    ///
    /// It is not checked again: it was when it was stored, and a rule that is stricter today must
    /// not take from a saga what it runs by.
    ///
    /// # Errors
    ///
    /// If it cannot be read; at least one.
    pub fn from_stored(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let bundle = Some(text)
            .filter(|text| text.starts_with('{'))
            .and_then(|text| serde_json::from_str::<Bundle>(text).ok());
        let mut found = Vec::new();
        let definition = match &bundle {
            Some(Bundle { definition, files }) => {
                let mut places = Places::of_text(None, definition);
                let files: &dyn Files = files;
                read_only(definition, Some(files), &mut places, &mut found)
            }
            None => read_only(text, None, &mut Places::of_text(None, text), &mut found),
        };
        found.retain(Diagnostic::is_error);
        if found.is_empty() {
            Ok(definition)
        } else {
            Err(found)
        }
    }
}
