//! What the documentation shows of the program is what the program says: checks, pictures and walks of every definition in it.
//! `BACKSTITCH_BLESS=1` writes the blocks of the pages anew.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pairs of faults that are played for each definition: all single ones are.
const PAIRS: &str = "30";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the program at the top of the project; what it prints, and whether all is well.
fn backstitch(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command.current_dir(top()).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTITCH_") {
            command.env_remove(name);
        }
    }
    let output = command.env_remove("RUST_LOG").output().unwrap();
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let text = String::from_utf8(said).unwrap();
    (output.status.success(), text)
}

/// The definitions in a folder, sorted: files of contracts, and test files, are none.
fn definitions_in(folder: &str) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(top().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .filter(|name| !name.ends_with(".test.yaml") && name != "activities.yaml")
        .map(|name| format!("{folder}/{name}"))
        .collect();
    found.sort();
    found
}

/// The folders of the worked definitions.
fn worked() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(top().join("docs/definitions"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("docs/definitions/{}", entry.file_name().to_string_lossy()))
        .collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

fn passes(arguments: &[&str]) {
    let (is_well, said) = backstitch(arguments);
    assert!(is_well, "backstitch {}\n{said}", arguments.join(" "));
}

#[test]
fn every_worked_definition_is_checked_with_those_that_it_runs() {
    for folder in worked() {
        let files = definitions_in(&folder);
        let mut arguments = vec!["check", "--deny-warnings"];
        arguments.extend(files.iter().map(String::as_str));
        passes(&arguments);
    }
}

#[test]
fn every_stage_of_the_guide_is_checked() {
    let child = "docs/guide/prepare-parcel.yaml";
    for stage in definitions_in("docs/guide") {
        let mut arguments = vec!["check", "--deny-warnings", stage.as_str()];
        if stage.ends_with("6-parcels.yaml") {
            arguments.push(child);
        }
        passes(&arguments);
    }
}

#[test]
fn every_worked_definition_passes_its_tests_and_the_walk() {
    for file in worked().iter().flat_map(|folder| definitions_in(folder)) {
        assert!(
            top().join(file.replace(".yaml", ".test.yaml")).exists(),
            "{file} has no tests"
        );
        passes(&["test", &file, "--pairs", PAIRS]);
    }
}

#[test]
fn every_stage_of_the_guide_passes_its_tests_and_the_walk() {
    for file in definitions_in("docs/guide") {
        assert!(
            top().join(file.replace(".yaml", ".test.yaml")).exists(),
            "{file} has no tests"
        );
        passes(&["test", &file, "--pairs", PAIRS]);
    }
}

#[test]
fn the_test_file_of_the_language_passes() {
    let page = fs::read_to_string(top().join("docs/language.md")).unwrap();
    let block = |info: &str| {
        let (_, rest) = page.split_once(&format!("```{info}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.yaml");
    fs::write(&file, block("yaml")).unwrap();
    fs::write(folder.path().join("order.test.yaml"), block("yaml test")).unwrap();
    let said = said(&["test", file.to_str().unwrap(), "--pairs", PAIRS]);
    assert!(said.contains("3 of 3 tests passed"), "{said}");
}

/// A page with its blocks as the program would write them now.
fn written(page: &str) -> String {
    let mut new = String::new();
    let mut example = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        new.push_str(line);
        new.push('\n');
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = body.iter().map(|line| format!("{line}\n")).collect();
        let said = match info.split(' ').collect::<Vec<_>>().as_slice() {
            ["yaml"] => {
                example = Some(text);
                None
            }
            ["yaml", "steps"] => {
                example = Some(format!("saga: example\nsteps:\n{text}"));
                None
            }
            ["text", "graph"] => Some(drawn(example.as_deref().unwrap())),
            ["text", "graph", file] => Some(said(&["graph", &stage(file)])),
            ["text", "test", file] => Some(said(&["test", &stage(file)])),
            ["text", "tests", file] => Some(said(&["test", &stage(file), "--tests-only"])),
            _ => None,
        };
        match said {
            Some(said) => new.push_str(&said),
            None => body.iter().for_each(|line| {
                new.push_str(line);
                new.push('\n');
            }),
        }
        new.push_str("```\n");
    }
    new
}

fn stage(file: &str) -> String {
    format!("docs/guide/{file}")
}

/// What the program says, in lines without blanks at their ends.
fn said(arguments: &[&str]) -> String {
    let (is_well, said) = backstitch(arguments);
    assert!(is_well, "backstitch {}\n{said}", arguments.join(" "));
    let lines = said.trim_end().lines();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The picture of an example, without the words that explain pictures.
fn drawn(example: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.yaml");
    fs::write(&file, example).unwrap();
    let picture = said(&["graph", file.to_str().unwrap()]);
    let lines: Vec<&str> = picture.lines().skip(2).collect();
    let legend = lines.iter().position(|line| line.starts_with("──▶ "));
    let lines = &lines[..legend.unwrap_or(lines.len())];
    format!("{}\n", lines.join("\n").trim_end())
}

fn shows_what_the_program_says(page: &str) {
    let path = top().join("docs").join(page);
    let there = fs::read_to_string(&path).unwrap();
    let new = written(&there);
    if std::env::var_os("BACKSTITCH_BLESS").is_some() {
        fs::write(&path, new).unwrap();
        return;
    }
    let differs = there.lines().zip(new.lines()).position(|(a, b)| a != b);
    assert!(
        there == new,
        "docs/{page} differs from what the program says, first in line {}; BACKSTITCH_BLESS=1 writes it anew",
        differs.map_or(0, |line| line + 1)
    );
}

#[test]
fn the_language_shows_its_pictures() {
    shows_what_the_program_says("language.md");
}

#[test]
fn the_guide_shows_its_pictures_and_walks() {
    shows_what_the_program_says("guide.md");
}
