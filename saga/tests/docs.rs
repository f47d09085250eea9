//! What the documentation shows is what the language is: every definition in it is read and checked here, with its schemas.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use backstitch_saga::Definition;
use backstitch_saga::definition::{CODES, Files, walk};
use backstitch_saga::expression::{Expression, Scope};
use serde_json::Value;

/// Files beside a definition.
struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }
}

/// No files at all, for what stands in a page.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Result<String, String> {
        Err("a page has no files".to_owned())
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The definitions below a folder: files of contracts, and test files, are none.
fn definitions(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".yaml")
                && !name.ends_with(".test.yaml")
                && name != "activities.yaml"
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A definition, or all that is said about it, warnings too.
fn checked(name: &str, source: &str, files: &dyn Files) -> Result<Definition, String> {
    let found = match Definition::check_yaml_with(Some(name), source, files) {
        Ok((definition, warnings)) if warnings.is_empty() => return Ok(definition),
        Ok((_, found)) | Err(found) => found,
    };
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    Err(told.join("\n"))
}

/// Fails with all faults of all of them.
fn without_faults(read: Vec<Result<Definition, String>>) -> Vec<Definition> {
    let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    let faults: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    good.into_iter().filter_map(Result::ok).collect()
}

fn files_without_faults(folder: &str) -> Vec<Definition> {
    let read = definitions(&docs().join(folder)).into_iter().map(|path| {
        let beside = Beside(path.parent().unwrap().to_owned());
        checked(&path.display().to_string(), &read(&path), &beside)
    });
    without_faults(read.collect())
}

/// A fenced block of a page.
struct Block {
    /// What stands behind the fence: `yaml`, `yaml steps`.
    info: String,
    /// The line of the page on which it begins.
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (n, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => {
                open = Some(Block {
                    info: info.to_owned(),
                    line: n + 2,
                    text: String::new(),
                });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The definition that a block shows: itself, or its steps in the least there can be around them.
fn definition_of(block: &Block) -> Option<String> {
    match block.info.as_str() {
        "yaml" => Some(block.text.clone()),
        "yaml steps" => Some(format!("saga: example\nsteps:\n{}", block.text)),
        _ => None,
    }
}

fn page_without_faults(name: &str) -> Vec<Definition> {
    let page = read(&docs().join(name));
    let read = blocks(&page).into_iter().filter_map(|block| {
        let source = definition_of(&block)?;
        let place = format!("docs/{name}, the block at line {}", block.line);
        Some(checked(&place, &source, &NoFiles))
    });
    without_faults(read.collect())
}

#[test]
fn the_worked_definitions_have_no_faults() {
    let names: Vec<String> = files_without_faults("definitions")
        .into_iter()
        .map(|definition| definition.name)
        .collect();
    assert_eq!(
        names,
        [
            "pay-out",
            "prepare-parcel",
            "split-order",
            "subscribe",
            "transfer-money",
            "book-trip"
        ]
    );
}

#[test]
fn the_worked_definitions_are_the_same_when_they_are_read_from_a_store() {
    for definition in files_without_faults("definitions") {
        let again = Definition::from_stored(&definition.stored()).unwrap();
        assert_eq!(again.hash, definition.hash, "{}", definition.name);
    }
}

#[test]
fn the_stages_of_the_guide_have_no_faults() {
    assert!(!files_without_faults("guide").is_empty());
}

#[test]
fn the_guide_shows_what_stands_in_its_stages() {
    let page = read(&docs().join("guide.md"));
    let mut shown = 0;
    for block in blocks(&page) {
        if let Some(file) = block.info.strip_prefix("yaml in ") {
            let stage = read(&docs().join("guide").join(file));
            assert!(
                stage.contains(&block.text),
                "docs/guide.md, the block at line {}, is not in {file}",
                block.line
            );
            shown += 1;
        }
    }
    assert!(shown >= 6, "only {shown} blocks were found");
}

#[test]
fn the_examples_of_the_language_have_no_faults() {
    let examples = page_without_faults("language.md");
    assert!(examples.len() > 10, "only {} were found", examples.len());
}

#[test]
fn the_contract_of_the_language_is_one() {
    let page = read(&docs().join("language.md"));
    let block = blocks(&page)
        .into_iter()
        .find(|block| block.info == "yaml activities")
        .expect("the page shows a contract");
    let anything = r#"{ "type": "map", "values": "string" }"#.to_owned();
    let files = BTreeMap::from([
        ("activities.yaml".to_owned(), block.text),
        ("schemas/charge.avsc".to_owned(), anything.clone()),
        ("schemas/charged.avsc".to_owned(), anything),
    ]);
    let source =
        "saga: example\nactivities: activities.yaml\nsteps:\n- do: charge-payment\n  undo: yes\n";
    let read = checked("docs/language.md", source, &files);
    let definition = without_faults(vec![read]).remove(0);
    assert_eq!(definition.activities["charge-payment"].errors.len(), 2);
}

#[test]
fn each_verb_has_an_example() {
    let examples = page_without_faults("language.md");
    let mut seen = BTreeSet::new();
    for example in &examples {
        walk(&example.steps, &mut |step| {
            seen.insert(step.verb.name());
        });
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

/// What the page has in scope, under one of its three names.
fn scope_of(page: &str, name: &str) -> Value {
    let block = blocks(page)
        .into_iter()
        .find(|block| block.info == "json scope")
        .expect("the page says what is in scope");
    let mut scope: Value = serde_json::from_str(&block.text).unwrap();
    scope[name].take()
}

fn by_name(value: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).unwrap()
}

/// What stands in the code of a table's cell.
fn code(cell: &str) -> &str {
    let cell = cell.trim();
    let ticks = cell.len() - cell.trim_start_matches('`').len();
    cell[ticks..cell.len() - ticks].trim()
}

#[test]
fn expressions_give_what_the_page_says() {
    let page = read(&docs().join("language.md"));
    let event = scope_of(&page, "event");
    let (steps, vars) = (
        by_name(scope_of(&page, "steps")),
        by_name(scope_of(&page, "vars")),
    );
    let scope = Scope {
        event: &event,
        key: "4711",
        steps: &steps,
        vars: &vars,
        ..Scope::of_event(&event, 0)
    };
    let rows = page
        .lines()
        .skip_while(|line| *line != "| expression | gives |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut tried = 0;
    for row in rows {
        let cells = row.trim_start_matches("| ").trim_end_matches(" |");
        // The last: expressions have bars of their own.
        let (source, gives) = cells.rsplit_once(" | ").unwrap();
        let source = code(source);
        let given = Expression::compile(source).unwrap().evaluate(&scope);
        match gives.strip_prefix("error: ") {
            None => {
                let expected: Value = serde_json::from_str(code(gives)).unwrap();
                assert_eq!(
                    given.map_err(|error| error.to_string()),
                    Ok(expected),
                    "{source}"
                );
            }
            Some(reason) => {
                let error = given.expect_err(source).to_string();
                assert!(error.contains(code(reason)), "{source}: {error}");
            }
        }
        tried += 1;
    }
    assert!(tried > 20, "only {tried} were tried");
}

/// The table of codes, as the page has it between its marks.
fn table_of_codes() -> String {
    let rows: Vec<String> = CODES
        .iter()
        .map(|code| format!("| `{}` | {} |\n", code.code, code.title.replace('|', "\\|")))
        .collect();
    format!("\n| code | |\n| --- | --- |\n{}\n", rows.concat())
}

#[test]
fn the_page_has_every_code() {
    const MARKS: [&str; 2] = ["<!-- codes -->", "<!-- /codes -->"];
    let path = docs().join("language.md");
    let page = read(&path);
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (there, after) = rest.split_once(MARKS[1]).unwrap();
    let table = table_of_codes();
    if std::env::var_os("BACKSTITCH_BLESS").is_some() {
        let page = format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]);
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert_eq!(there, table, "BACKSTITCH_BLESS=1 writes it anew");
}
