//! `new`: a definition with its schemas, a worker and a test file, all of which pass as written.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::answer::Answer;
use super::args::{NewArgs, NewWorker};
use super::error::CliError;

/// Characters of a name. An activity is named after it, and a topic after the activity.
const NAME_CHARS_MAX: usize = 80;

/// A file that is written, and what stands in it. `{{…}}` are filled in, in both.
struct Sheet {
    path: &'static str,
    text: &'static str,
}

macro_rules! sheet {
    ($path:literal, $template:literal) => {
        Sheet {
            path: $path,
            text: include_str!(concat!("../../templates/new/", $template)),
        }
    };
}

const FOR_ALL: &[Sheet] = &[
    sheet!("{{name}}.yaml", "definition.yaml"),
    sheet!("{{name}}.test.yaml", "tests.yaml"),
    sheet!("activities.yaml", "activities.yaml"),
    sheet!("schemas/requested.avsc", "schemas/requested.avsc"),
    sheet!("schemas/reserve.avsc", "schemas/reserve.avsc"),
    sheet!("schemas/reserved.avsc", "schemas/reserved.avsc"),
    sheet!("backstitch.toml", "backstitch.toml"),
    sheet!("events.jsonl", "events.jsonl"),
];

const IN_RUST: &[Sheet] = &[
    sheet!("README.md", "rust/README.md"),
    sheet!("worker/Cargo.toml", "rust/Cargo.toml"),
    sheet!("worker/src/lib.rs", "rust/src/lib.rs"),
    sheet!("worker/src/main.rs", "rust/src/main.rs"),
];

const IN_PYTHON: &[Sheet] = &[
    sheet!("README.md", "python/README.md"),
    sheet!("worker/requirements.txt", "python/requirements.txt"),
    sheet!("worker/reservations.py", "python/reservations.py"),
    sheet!("worker/test_reservations.py", "python/test_reservations.py"),
    sheet!("worker/worker.py", "python/worker.py"),
    Sheet {
        path: "worker/wire/command.avsc",
        text: include_str!("../../../schemas/avsc/command.avsc"),
    },
    Sheet {
        path: "worker/wire/reply.avsc",
        text: include_str!("../../../schemas/avsc/reply.avsc"),
    },
];

/// Writes the files of a new saga, or none.
pub(crate) fn new(args: &NewArgs) -> Result<Answer, CliError> {
    let name = args.name.as_str();
    if let Some(problem) = refuse(name) {
        return Err(CliError::usage(problem).with_help(
            "write words of a-z and 0-9 with hyphens between them, such as `book-room`",
        ));
    }
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let (sheets, kit) = match args.worker {
        NewWorker::Rust => (IN_RUST, kit(args.kit.as_deref())?),
        NewWorker::Python => (IN_PYTHON, String::new()),
    };
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{activity}}", &format!("{name}-reserve"))
            .replace("{{step}}", &format!("{}_reserve", snake(name)))
            .replace("{{namespace}}", &snake(name))
            .replace("{{crate}}", &format!("{}_worker", snake(name)))
            .replace("{{kit}}", &kit)
    };
    let files: Vec<(PathBuf, String)> = FOR_ALL
        .iter()
        .chain(sheets)
        .map(|sheet| (PathBuf::from(fill(sheet.path)), fill(sheet.text)))
        .collect();
    // All of it, or nothing: half a project would be in the way of the next try.
    for (path, _) in &files {
        let path = folder.join(path);
        if path.symlink_metadata().is_ok() {
            return Err(
                CliError::usage(format!("{} is there already", path.display()))
                    .with_help("nothing is overwritten: take another name, or --dir"),
            );
        }
    }
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    Ok(answer(name, &folder, &files))
}

fn answer(name: &str, folder: &Path, files: &[(PathBuf, String)]) -> Answer {
    let shown = folder.display();
    let paths: Vec<String> = files
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    let text = format!(
        "{}\n\nnext:\n  cd {shown}\n  backstitch check {name}.yaml\n  backstitch test {name}.yaml\n\
         and README.md says how it is run",
        paths
            .iter()
            .map(|path| format!("wrote {shown}/{path}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let json = json!({ "name": name, "dir": shown.to_string(), "files": paths });
    Answer::good(text, json)
}

/// Why a name is refused.
fn refuse(name: &str) -> Option<String> {
    let len = name.chars().count();
    if len > NAME_CHARS_MAX {
        return Some(format!(
            "a name of {len} characters, and at most {NAME_CHARS_MAX} are allowed"
        ));
    }
    let is_word = |word: &str| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !word.is_empty() && word.chars().all(legal)
    };
    let good = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('-').all(is_word);
    (!good).then(|| format!("`{name}` is not kebab-case"))
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// The checkout that the worker kit is taken from: the one that is named, or the one that this program was built from.
fn kit(named: Option<&Path>) -> Result<String, CliError> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let checkout = named.or(built_from).unwrap_or(Path::new(""));
    if !checkout.join("workers/Cargo.toml").is_file() {
        return Err(CliError::not_found(format!(
            "the worker kit is not in {}",
            checkout.display()
        ))
        .with_help(
            "it is not on a registry: name a checkout of Backstitch with --kit, or take --worker python, which needs none",
        ));
    }
    let checkout = fs::canonicalize(checkout).map_err(|error| {
        CliError::failed(format!("cannot read {}: {error}", checkout.display()))
    })?;
    let path = checkout.display().to_string();
    if path.contains(['"', '\\', '\n']) {
        return Err(CliError::failed(format!(
            "the path {path} cannot stand in a Cargo.toml"
        )));
    }
    Ok(path)
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::failed(format!("cannot write {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_name_a_saga_is_a_name() {
        for name in ["a", "book-room", "a1-2b"] {
            assert_eq!(refuse(name), None, "{name}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for name in [
            "",
            "Book",
            "book_room",
            "-a",
            "a-",
            "a--b",
            "1a",
            "../a",
            "a b",
            &long,
        ] {
            assert!(refuse(name).is_some(), "{name}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let known = ["name", "activity", "step", "namespace", "crate", "kit"];
        for sheet in FOR_ALL.iter().chain(IN_RUST).chain(IN_PYTHON) {
            for text in [sheet.path, sheet.text] {
                for part in text.split("{{").skip(1) {
                    let name = part.split("}}").next().unwrap_or_default();
                    assert!(known.contains(&name), "{}: {name}", sheet.path);
                }
            }
        }
    }
}
