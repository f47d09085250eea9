//! Broken definitions, and what is said of each: the place and the words.
//!
//! `broken/*.txt` hold a case each after a line `=== NAME`: the definition, other files after lines
//! `--- NAME`, and after `>>>` what is said. Another file that ends in `.yaml` is a definition that
//! is checked together with it, and `older.yaml` the version before it.
//!
//! `UPDATE_BROKEN=1 cargo test -p backstitch-saga --test broken` writes down what is said now.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says what it has written"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use backstitch_saga::Diagnostic;
use backstitch_saga::definition::{Source, check_against, check_all, explain};

struct Case {
    name: String,
    text: String,
    files: BTreeMap<String, String>,
    told: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut file: Option<String> = None;
    let mut is_told = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            cases.push(Case {
                name: name.to_owned(),
                text: String::new(),
                files: BTreeMap::new(),
                told: String::new(),
            });
            (file, is_told) = (None, false);
            continue;
        }
        let case = cases.last_mut().expect("a file begins with a case");
        if line == ">>>" {
            is_told = true;
        } else if is_told {
            writeln!(case.told, "{line}").unwrap();
        } else if let Some(name) = line.strip_prefix("--- ") {
            file = Some(name.to_owned());
            case.files.insert(name.to_owned(), String::new());
        } else if let Some(name) = &file {
            writeln!(case.files.get_mut(name).unwrap(), "{line}").unwrap();
        } else {
            writeln!(case.text, "{line}").unwrap();
        }
    }
    for case in &mut cases {
        case.told = case.told.trim_end().to_owned();
    }
    cases
}

fn found(case: &Case) -> Vec<Diagnostic> {
    let source = |file, text| Source {
        file,
        text,
        files: &case.files,
    };
    let own = source("saga.yaml", case.text.as_str());
    if let Some(older) = case.files.get("older.yaml") {
        return check_against(&own, &source("older.yaml", older)).diagnostics;
    }
    let others = case
        .files
        .iter()
        .filter(|(name, _)| name.ends_with(".yaml"))
        .map(|(name, text)| source(name, text));
    let all: Vec<Source<'_>> = std::iter::once(own).chain(others).collect();
    let checked = check_all(&all);
    for one in &checked {
        let wrong = one.diagnostics.iter().any(Diagnostic::is_error);
        assert_eq!(one.definition.is_none(), wrong, "{}", case.name);
    }
    checked
        .into_iter()
        .flat_map(|one| one.diagnostics)
        .collect()
}

fn rendered(found: &[Diagnostic]) -> String {
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    shown.join("\n\n")
}

fn read(path: &Path) -> Vec<Case> {
    cases(&std::fs::read_to_string(path).unwrap())
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn write(path: &Path, cases: &[Case]) {
    let mut text = String::new();
    for (n, case) in cases.iter().enumerate() {
        let gap = if n == 0 { "" } else { "\n" };
        write!(text, "{gap}=== {}\n{}", case.name, case.text).unwrap();
        for (name, file) in &case.files {
            write!(text, "--- {name}\n{file}").unwrap();
        }
        let told = rendered(&found(case));
        // A rendering ends its lines without blanks, but for the empty margin of a caret's line.
        writeln!(text, ">>>\n{told}").unwrap();
    }
    std::fs::write(path, text).unwrap();
    println!("wrote {}", path.display());
}

#[test]
fn each_broken_definition_is_told_of_in_these_words_at_this_place() {
    let update = std::env::var_os("UPDATE_BROKEN").is_some();
    let mut different = Vec::new();
    for path in files() {
        let cases = read(&path);
        if update {
            write(&path, &cases);
        }
        for case in read(&path) {
            let told = rendered(&found(&case));
            assert!(!told.is_empty(), "nothing is said of {}", case.name);
            if told != case.told {
                different.push(format!(
                    "{}: {}\n{}\n--- said now:\n{told}",
                    path.file_name().unwrap().display(),
                    case.name,
                    case.told
                ));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

#[test]
fn two_hundred_broken_definitions_are_refused_and_none_is_not() {
    let mut refused = 0;
    let mut names = BTreeSet::new();
    for path in files() {
        let warned = path.file_stem().unwrap() == "warned";
        for case in read(&path) {
            let found = found(&case);
            let is_refused = found.iter().any(Diagnostic::is_error);
            assert_eq!(is_refused, !warned, "{}: {}", case.name, rendered(&found));
            refused += usize::from(is_refused);
            assert!(
                names.insert(case.name.clone()) || warned,
                "{} is there twice",
                case.name
            );
        }
    }
    assert!(refused >= 200, "{refused}");
}

#[test]
fn each_diagnostic_has_a_page_a_place_and_something_to_do() {
    for path in files() {
        for case in read(&path) {
            for one in found(&case) {
                assert!(explain(one.code).is_some(), "{}: {one}", case.name);
                assert!(one.line >= 1 && one.column >= 1, "{}: {one}", case.name);
                let width = one.snippet.chars().count();
                assert!(one.column + one.length <= width + 2, "{}: {one}", case.name);
                assert!(!one.message.ends_with('.'), "{}: {one}", case.name);
            }
        }
    }
}

/// What an editor sees while somebody writes: a definition without one of its lines.
#[test]
fn whatever_line_is_missing_there_is_an_answer() {
    let mut checked = 0;
    for path in files() {
        for case in read(&path) {
            for gone in 0..case.text.lines().count() {
                let lines = case.text.lines().enumerate();
                let text: String = lines
                    .filter(|(n, _)| *n != gone)
                    .map(|(_, line)| format!("{line}\n"))
                    .collect();
                let without = Case {
                    name: case.name.clone(),
                    text,
                    files: case.files.clone(),
                    told: String::new(),
                };
                for one in found(&without) {
                    assert!(
                        one.line >= 1 && !one.to_string().is_empty(),
                        "{}",
                        case.name
                    );
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 1_000, "{checked}");
}
