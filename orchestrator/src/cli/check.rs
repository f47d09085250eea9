//! `check`: what is wrong with definitions.

use backstitch_saga::Definition;
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::CheckArgs;
use super::error::CliError;

/// Checks each file, and goes on after one that is wrong.
pub(crate) fn check(args: &CheckArgs) -> Result<Answer, CliError> {
    let mut text = Vec::new();
    let mut files = Vec::new();
    let mut wrong_count = 0;
    for path in &args.files {
        let name = path.display().to_string();
        let source = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {name}: {error}");
            if error.kind() == std::io::ErrorKind::NotFound {
                CliError::not_found(message)
            } else {
                CliError::failed(message)
            }
        })?;
        let (definition, found) = match Definition::check_yaml(Some(&name), &source) {
            Ok((definition, warnings)) => (Some(definition), warnings),
            Err(found) => (None, found),
        };
        wrong_count += usize::from(definition.is_none());
        text.extend(found.iter().map(|one| format!("{one}\n")));
        if let Some(definition) = &definition {
            let steps = definition.steps.len();
            let plural = if steps == 1 { "step" } else { "steps" };
            text.push(format!(
                "ok: {name} defines {}, {steps} {plural}, hash {}",
                definition.name, definition.hash
            ));
        }
        let diagnostics: Vec<Value> = found.iter().map(|one| one.to_json()).collect();
        files.push(json!({
            "file": name,
            "ok": definition.is_some(),
            "name": definition.as_ref().map(|d| &d.name),
            "hash": definition.as_ref().map(|d| &d.hash),
            "diagnostics": diagnostics,
        }));
    }
    let json = json!({ "ok": wrong_count == 0, "files": files });
    Ok(if wrong_count == 0 {
        Answer::good(text.join("\n"), json)
    } else {
        Answer::bad(text.join("\n").trim_end(), json)
    })
}
