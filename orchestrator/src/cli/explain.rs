//! `explain`: the page of a code.

use backstitch_saga::definition::{CODES, Code, explain as page_of};
use serde_json::{Value, json};

use super::answer::Answer;
use super::args::ExplainArgs;
use super::error::CliError;

/// The page of a code, or the list of all codes.
pub(crate) fn explain(args: &ExplainArgs) -> Result<Answer, CliError> {
    let Some(code) = &args.code else {
        let lines: Vec<String> = CODES
            .iter()
            .map(|code| format!("{}  {}", code.code, code.title))
            .collect();
        let all: Vec<Value> = CODES.iter().map(as_json).collect();
        return Ok(Answer::good(lines.join("\n"), json!(all)));
    };
    let Some(page) = page_of(code) else {
        return Err(CliError::not_found(format!("there is no code {code}"))
            .with_help("`backstitch explain` lists them all"));
    };
    Ok(Answer::good(page.to_string(), as_json(page)))
}

fn as_json(code: &Code) -> Value {
    json!({
        "code": code.code,
        "title": code.title,
        "text": code.text,
        "wrong": code.wrong,
        "right": code.right,
    })
}
