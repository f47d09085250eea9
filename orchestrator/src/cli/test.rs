//! `test`: a definition is walked before it runs.

use std::path::{Path, PathBuf};

use backstitch_saga::Definition;
use backstitch_saga::definition::{Files, Verb, walk};
use serde_json::Value;

use super::answer::Answer;
use super::args::TestArgs;
use super::error::CliError;
use super::test_report::{replay, report};
use crate::rehearsal::{Cast, Extent, Rehearsal, Test, Tested};

/// Threads that walk.
const THREADS_MAX: usize = 8;

/// Plays the tests of a definition, and walks it by itself.
pub(crate) fn test(args: &TestArgs) -> Result<Answer, CliError> {
    let (file, tests) = files_of(args);
    let main = read(&file)?;
    let children = children_of(&file, &main, &args.children)?;
    let cast = Cast::new(main, children);
    if let Some(name) = cast.missing().first() {
        let help = format!(
            "write it to {name}.yaml beside {}, or give its file too",
            file.display()
        );
        let message = format!("`{name}` is run as a step, and its definition was not found");
        return Err(CliError::not_found(message).with_help(help));
    }
    let mut all = Vec::new();
    for path in &tests {
        let source = source_of(path)?;
        let name = path.display().to_string();
        let read = Test::read_all(&source, &cast);
        let read = read.map_err(|wrong| {
            let told: Vec<String> = wrong.iter().map(|one| one.told(&name, &source)).collect();
            let count = told.len();
            let plural = if count == 1 { "" } else { "s" };
            CliError::failed(format!("{name} cannot be used\n{}", told.join("\n\n")))
                .with_help(format!("mend the {count} place{plural} above"))
        })?;
        all.extend(read.into_iter().map(|test| (name.clone(), test)));
    }
    // The walk is one of sagas that begin.
    let mut begin = all.iter().filter(|(_, test)| test.begins());
    let event = event_of(args)?.or_else(|| begin.find_map(|(_, test)| test.event.clone()));
    let rehearsal = Rehearsal::new(cast, event.as_ref());
    if let Some(case) = &args.case {
        return replay(&rehearsal, case);
    }
    let tested: Vec<(String, Tested)> = all
        .iter()
        .map(|(file, test)| (file.clone(), rehearsal.test(test)))
        .collect();
    let explored = (!args.tests_only).then(|| rehearsal.explore(extent(args)));
    Ok(report(&rehearsal, &file, args, &tested, explored.as_ref()))
}

fn extent(args: &TestArgs) -> Extent {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Extent {
        seed: args.seed,
        pairs_max: args.pairs,
        threads: threads.min(THREADS_MAX),
    }
}

// ---- files -------------------------------------------------------------------------------------

/// The file of the definition, and those of its tests.
fn files_of(args: &TestArgs) -> (PathBuf, Vec<PathBuf>) {
    let name = args.file.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let mut tests = args.tests.clone();
    // `order.test.yaml` alone means `order.yaml`, too.
    for ending in ["yaml", "yml"] {
        let dotted = format!(".test.{ending}");
        if let Some(stem) = name.strip_suffix(dotted.as_str()) {
            tests.insert(0, args.file.clone());
            return (args.file.with_file_name(format!("{stem}.{ending}")), tests);
        }
    }
    if tests.is_empty()
        && let Some((stem, ending)) = name.rsplit_once('.')
    {
        let beside = args.file.with_file_name(format!("{stem}.test.{ending}"));
        tests.extend(Some(beside).filter(|path| path.exists()));
    }
    (args.file.clone(), tests)
}

/// The files that a definition names lie beside it.
struct Beside<'p>(&'p Path);

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let folder = self.0.parent().unwrap_or_else(|| Path::new("."));
        std::fs::read_to_string(folder.join(path)).map_err(|error| error.to_string())
    }
}

fn source_of(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::NotFound {
            CliError::not_found(message)
        } else {
            CliError::failed(message)
        }
    })
}

/// Reads a definition, with the files that it names from beside it.
pub(super) fn read(path: &Path) -> Result<Definition, CliError> {
    let name = path.display().to_string();
    let source = source_of(path)?;
    Definition::from_yaml_with(&name, &source, &Beside(path)).map_err(|found| {
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        CliError::failed(format!("{name} can't be used\n{}", told.join("\n")))
            .with_help("`backstitch check FILE` says what is wrong with a definition")
    })
}

/// The definitions that are run as steps: those that are given, and those that lie beside.
fn children_of(
    file: &Path,
    main: &Definition,
    given: &[PathBuf],
) -> Result<Vec<Definition>, CliError> {
    let mut children = Vec::new();
    for path in given {
        children.push(read(path)?);
    }
    let mut wanted = runs_of(main);
    let mut n = 0;
    loop {
        for child in children.iter().skip(n) {
            wanted.extend(runs_of(child));
        }
        n = children.len();
        wanted
            .retain(|name| *name != main.name && children.iter().all(|child| child.name != *name));
        let Some(name) = wanted.pop() else {
            return Ok(children);
        };
        for ending in ["yaml", "yml"] {
            let beside = file.with_file_name(format!("{name}.{ending}"));
            if beside.exists() {
                children.push(read(&beside)?);
                break;
            }
        }
    }
}

fn runs_of(definition: &Definition) -> Vec<String> {
    let mut names = Vec::new();
    walk(&definition.steps, &mut |step| {
        if let Verb::Run(run) = &step.verb {
            names.push(run.saga.clone());
        }
    });
    names
}

/// The event of `--event`: JSON, or `@FILE` with JSON in it.
fn event_of(args: &TestArgs) -> Result<Option<Value>, CliError> {
    let Some(given) = &args.event else {
        return Ok(None);
    };
    let text = match given.strip_prefix('@') {
        Some(path) => source_of(Path::new(path))?,
        None => given.clone(),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| CliError::usage(format!("--event is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "
saga: order
steps:
  - do: reserve
    undo: yes
  - do: charge
    undo: yes
output: { id: =steps.charge.id }
";

    const PARENT: &str = "
saga: parent
steps:
  - run: order
";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn args(folder: &tempfile::TempDir, file: &str) -> TestArgs {
        TestArgs {
            file: folder.path().join(file),
            children: Vec::new(),
            tests: Vec::new(),
            event: None,
            case: None,
            tests_only: false,
            seed: 1,
            pairs: 20,
        }
    }

    #[test]
    fn a_definition_is_walked_and_the_tests_beside_it_are_played() {
        let tests = "test: x\nanswers: { charge: refused }\nexpect: { undone: [reserve] }\n";
        let folder = folder(&[("order.yaml", ORDER), ("order.test.yaml", tests)]);
        for file in ["order.yaml", "order.test.yaml"] {
            let answer = test(&args(&folder, file)).unwrap();
            assert!(!answer.is_bad, "{}", answer.text);
            for part in [
                "1 of 1 tests passed",
                "compensated",
                "walked ",
                "pairs were left out; `--pairs ",
                "seen at work: 2 of 2 steps begun, 2 of 2 undos",
            ] {
                assert!(answer.text.contains(part), "{part}: {}", answer.text);
            }
            assert_eq!(answer.json["ok"], true);
            assert_eq!(answer.json["walk"]["pairs"], 20);
        }
    }

    #[test]
    fn a_test_that_fails_tells_what_came_and_how() {
        let tests = "- test: it is undone\n  expect: { undone: [reserve], output: { id: 7 } }\n";
        let folder = folder(&[("order.yaml", ORDER), ("order.test.yaml", tests)]);
        let mut args = args(&folder, "order.yaml");
        args.tests_only = true;
        let answer = test(&args).unwrap();
        assert!(answer.is_bad);
        for part in [
            "0 of 1 tests passed",
            "FAILED  it is undone",
            "undone: expected [reserve], got []",
            "output: expected {\"id\":7}, got {\"id\":\"id\"}",
            "do charge asked of charge",
            "ends completed after 2 ms",
        ] {
            assert!(answer.text.contains(part), "{part}: {}", answer.text);
        }
        assert_eq!(answer.json["tests"][0]["unmet"][0]["what"], "undone");
    }

    #[test]
    fn a_case_is_replayed_with_all_that_happens() {
        let folder = folder(&[("order.yaml", ORDER)]);
        let mut args = args(&folder, "order.yaml");
        args.case = Some("p0+charge:failed_once".parse().unwrap());
        let answer = test(&args).unwrap();
        assert!(
            answer.text.contains("charge failed (rehearsed"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("ends completed"), "{}", answer.text);
    }

    #[test]
    fn a_child_is_found_beside_its_parent_or_missed() {
        let both = folder(&[("parent.yaml", PARENT), ("order.yaml", ORDER)]);
        let answer = test(&args(&both, "parent.yaml")).unwrap();
        assert!(!answer.is_bad, "{}", answer.text);
        assert!(
            answer.text.contains("3 of 3 steps begun"),
            "{}",
            answer.text
        );
        let alone = folder(&[("parent.yaml", PARENT)]);
        let error = test(&args(&alone, "parent.yaml")).unwrap_err();
        assert!(
            error.to_string().contains("`order` is run as a step"),
            "{error}"
        );
    }

    #[test]
    fn a_test_file_that_is_wrong_is_told_with_its_places() {
        let tests = "test: x\nanswers: { chrage: done }\n";
        let folder = folder(&[("order.yaml", ORDER), ("order.test.yaml", tests)]);
        let error = test(&args(&folder, "order.yaml")).unwrap_err().to_string();
        assert!(error.contains("order.test.yaml:2:12"), "{error}");
        assert!(error.contains("did you mean `charge`?"), "{error}");
    }
}
