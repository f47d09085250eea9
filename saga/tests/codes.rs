//! The page of each code: its wrong example is told of by the code, its right one by none.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use backstitch_saga::definition::{CODES, Checked, Source, check_against, check_all, explain};

/// The parts of an example, by name; the definition itself is `pay.yaml`.
fn parts(example: &str) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut name = "pay.yaml".to_owned();
    let mut text = String::new();
    for line in example.lines() {
        match line.strip_prefix("# file: ") {
            Some(next) => {
                parts.insert(
                    std::mem::replace(&mut name, next.to_owned()),
                    std::mem::take(&mut text),
                );
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    parts.insert(name, text);
    parts
}

fn checked(example: &str) -> Vec<Checked> {
    let parts = parts(example);
    let source = |file: &'static str| {
        let text = parts.get(file)?;
        Some(Source {
            file,
            text,
            files: &parts,
        })
    };
    let Some(newer) = source("pay.yaml") else {
        panic!("an example has a definition");
    };
    if let Some(older) = source("older.yaml") {
        return vec![check_against(&newer, &older)];
    }
    let mut sources = vec![newer];
    sources.extend(
        parts
            .iter()
            .filter(|(name, _)| name.ends_with(".yaml") && *name != "pay.yaml")
            .map(|(name, text)| Source {
                file: name,
                text,
                files: &parts,
            }),
    );
    check_all(&sources)
}

fn told(example: &str) -> (BTreeSet<&'static str>, String) {
    let found: Vec<_> = checked(example)
        .into_iter()
        .flat_map(|one| one.diagnostics)
        .collect();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    (
        found.iter().map(|one| one.code).collect(),
        shown.join("\n\n"),
    )
}

#[test]
fn the_wrong_example_of_a_code_is_told_of_by_it_and_by_no_other() {
    let mut failures = Vec::new();
    for code in CODES {
        let (codes, shown) = told(code.wrong);
        if codes != BTreeSet::from([code.code]) {
            failures.push(format!("{}: {codes:?}\n{}\n{shown}", code.code, code.wrong));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n----\n"));
}

#[test]
fn nothing_is_said_of_the_right_example_of_a_code() {
    let mut failures = Vec::new();
    for code in CODES {
        let (codes, shown) = told(code.right);
        if !codes.is_empty() {
            failures.push(format!("{}: {codes:?}\n{}\n{shown}", code.code, code.right));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n----\n"));
}

#[test]
fn codes_are_in_order_and_found_by_their_names() {
    let codes: Vec<&str> = CODES.iter().map(|code| code.code).collect();
    let sorted: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(codes, sorted.into_iter().collect::<Vec<_>>());
    assert_eq!(explain("bs0207").map(|code| code.code), Some("BS0207"));
    assert_eq!(explain("BS9999"), None);
    for code in CODES {
        assert!(
            !code.title.ends_with('.') && code.text.ends_with('.'),
            "{}",
            code.code
        );
        let page = code.to_string();
        assert!(page.starts_with(&format!("{}: {}\n\n", code.code, code.title)));
        assert!(
            page.contains("\n\nWrong:\n\n    saga: ") && page.contains("\n\nRight:\n\n    saga: ")
        );
        assert!(
            page.lines().all(|line| line.chars().count() <= 160),
            "{page}"
        );
    }
}
