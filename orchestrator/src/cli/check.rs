//! `check`: what is wrong with definitions.

use std::path::{Path, PathBuf};

use backstitch_saga::definition::{Checked, Files, Source, check_against, check_all};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::CheckArgs;
use super::error::CliError;

/// Checks each file, and goes on after one that is wrong.
pub(crate) fn check(args: &CheckArgs) -> Result<Answer, CliError> {
    let texts = args
        .files
        .iter()
        .map(|path| Text::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let checked = match (&args.against, texts.as_slice()) {
        (None, texts) => check_all(&texts.iter().map(Text::source).collect::<Vec<_>>()),
        (Some(older), [newer]) => {
            vec![check_against(&newer.source(), &Text::read(older)?.source())]
        }
        (Some(_), _) => {
            return Err(
                CliError::usage("one file is checked against an older version of it")
                    .with_help("backstitch check --against OLD.yaml NEW.yaml"),
            );
        }
    };
    let all_good = checked.iter().all(|one| is_good(one, args.deny_warnings));
    let mut text = Vec::new();
    for (file, one) in texts.iter().zip(&checked) {
        text.extend(told(&file.name, one, args.deny_warnings));
    }
    let files: Vec<Value> = texts
        .iter()
        .zip(&checked)
        .map(|(file, one)| as_json(&file.name, one, args.deny_warnings))
        .collect();
    let json = json!({ "ok": all_good, "files": files });
    Ok(if all_good {
        Answer::good(text.join("\n"), json)
    } else {
        Answer::bad(text.join("\n").trim_end(), json)
    })
}

/// A definition's text; the files that it names lie beside it.
struct Text {
    name: String,
    text: String,
    folder: PathBuf,
}

impl Files for Text {
    fn read(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        std::fs::read_to_string(&path)
            .map_err(|error| format!("{error} (looked for {})", path.display()))
    }
}

impl Text {
    fn read(path: &Path) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {name}: {error}");
            if error.kind() == std::io::ErrorKind::NotFound {
                CliError::not_found(message)
            } else {
                CliError::failed(message)
            }
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        Ok(Self { name, text, folder })
    }

    fn source(&self) -> Source<'_> {
        Source {
            file: &self.name,
            text: &self.text,
            files: self,
        }
    }
}

fn is_good(checked: &Checked, deny_warnings: bool) -> bool {
    checked.definition.is_some() && (!deny_warnings || checked.diagnostics.is_empty())
}

fn told(name: &str, checked: &Checked, deny_warnings: bool) -> Vec<String> {
    let mut text: Vec<String> = checked
        .diagnostics
        .iter()
        .map(|one| format!("{one}\n"))
        .collect();
    if let Some(definition) = &checked.definition {
        let mut steps = 0_usize;
        backstitch_saga::definition::walk(&definition.steps, &mut |_| steps += 1);
        let plural = if steps == 1 { "step" } else { "steps" };
        let verdict = if is_good(checked, deny_warnings) {
            "ok"
        } else {
            "warnings are denied"
        };
        text.push(format!(
            "{verdict}: {name} defines {}, {steps} {plural}, hash {}",
            definition.name, definition.hash
        ));
    }
    text.extend(checked.in_flight.iter().map(|line| format!("  {line}")));
    text
}

fn as_json(name: &str, checked: &Checked, deny_warnings: bool) -> Value {
    let diagnostics: Vec<Value> = checked
        .diagnostics
        .iter()
        .map(backstitch_saga::Diagnostic::to_json)
        .collect();
    let definition = checked.definition.as_ref();
    json!({
        "file": name,
        "ok": is_good(checked, deny_warnings),
        "name": definition.map(|definition| &definition.name),
        "hash": definition.map(|definition| &definition.hash),
        "diagnostics": diagnostics,
        "in_flight": checked.in_flight,
    })
}
