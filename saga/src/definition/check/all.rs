//! Checking files together.

use std::collections::BTreeMap;

use super::against::compare;
use super::checker::check_in;
use super::family::Family;
use crate::definition::diagnostic::{Diagnostic, sorted};
use crate::definition::files::Files;
use crate::definition::model::Definition;
use crate::definition::place::Places;
use crate::definition::yaml::read_only;

/// A definition's text, and where the files are that it names.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// What diagnostics call it.
    pub file: &'s str,
    /// The YAML.
    pub text: &'s str,
    /// Where its schemas and contracts are.
    pub files: &'s dyn Files,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What was found of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What it defines; `None` if there is an error.
    pub definition: Option<Definition>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// What an older version of it means for sagas in flight, in sentences for people.
    pub in_flight: Vec<String>,
}

struct Read {
    definition: Definition,
    places: Places,
    found: Vec<Diagnostic>,
}

fn read(source: &Source<'_>) -> Read {
    let mut places = Places::of_text(Some(source.file), source.text);
    let mut found = Vec::new();
    let definition = read_only(source.text, Some(source.files), &mut places, &mut found);
    Read {
        definition,
        places,
        found,
    }
}

impl Read {
    fn checked(&self, family: Option<&Family<'_>>) -> Vec<Diagnostic> {
        let mut found = self.found.clone();
        // Checking what could only be read in part would report what follows from that.
        if found.is_empty() {
            check_in(&self.definition, &self.places, family, &mut found);
        }
        found
    }

    fn into_checked(self, found: Vec<Diagnostic>, file: &str, in_flight: Vec<String>) -> Checked {
        let is_good = !found.iter().any(Diagnostic::is_error);
        Checked {
            definition: is_good.then_some(self.definition),
            diagnostics: sorted(found, Some(file)),
            in_flight,
        }
    }
}

/// Checks definitions, each by itself and as they run each other. In the order in which they are
/// given.
///
/// A saga that is run and that none of several texts defines is a warning; of a single text nothing
/// is known of the others.
pub fn check_all(sources: &[Source<'_>]) -> Vec<Checked> {
    let reads: Vec<Read> = sources.iter().map(read).collect();
    let mut family = Family::default();
    let mut twice = BTreeMap::new();
    for (n, read) in reads.iter().enumerate() {
        let name = read.definition.name.as_str();
        if name.is_empty() {
            continue;
        }
        if !read.found.is_empty() {
            family.unread.insert(name);
        } else if family.known.insert(name, &read.definition).is_some() {
            twice.insert(n, name.to_owned());
        }
    }
    let is_alone = sources.len() == 1;
    let found: Vec<Vec<Diagnostic>> = reads
        .iter()
        .enumerate()
        .map(|(n, read)| {
            let mut found = read.checked((!is_alone).then_some(&family));
            if let Some(name) = twice.get(&n) {
                found.push(
                    read.places
                        .error(
                            "BS0230",
                            read.places.span("saga"),
                            format!("another of the files defines `{name}` too"),
                        )
                        .with_help("give one of them another name; versions of one saga are checked one by one"),
                );
            }
            found
        })
        .collect();
    let sources = sources.iter().zip(reads).zip(found);
    sources
        .map(|((source, read), found)| read.into_checked(found, source.file, Vec::new()))
        .collect()
}

/// Checks a definition, and whether it goes together with an older version of it.
///
/// An older text with an error is an error of the newer one: there is nothing to compare with.
pub fn check_against(newer: &Source<'_>, older: &Source<'_>) -> Checked {
    let new = read(newer);
    let old = read(older);
    let mut found = new.checked(None);
    let mut in_flight = Vec::new();
    if old.found.iter().any(Diagnostic::is_error) {
        found.extend(old.found.iter().filter(|one| one.is_error()).cloned());
    } else if new.found.is_empty() {
        in_flight = compare(&new.definition, &old.definition, &new.places, &mut found);
    }
    new.into_checked(found, newer.file, in_flight)
}
