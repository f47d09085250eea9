//! `graph`: a definition as a picture.

use std::path::Path;

use serde_json::json;

use super::answer::Answer;
use super::args::{GraphArgs, GraphFormat};
use super::error::CliError;
use super::test::read;
use crate::graph::{Glyphs, Metrics, lay_out, mermaid, svg, text};

/// Draws a definition.
pub(crate) fn graph(args: &GraphArgs) -> Result<Answer, CliError> {
    let definition = read(&args.file)?;
    let format = args
        .format
        .unwrap_or_else(|| format_of(args.out.as_deref()));
    let (name, picture) = match format {
        GraphFormat::Text => {
            let metrics = Metrics::characters(args.width);
            let glyphs = if args.ascii {
                Glyphs::Ascii
            } else {
                Glyphs::Unicode
            };
            ("text", text(&lay_out(&definition, &metrics, None), glyphs))
        }
        GraphFormat::Svg => ("svg", svg(&lay_out(&definition, &Metrics::pixels(), None))),
        GraphFormat::Mermaid => (
            "mermaid",
            mermaid(&lay_out(&definition, &Metrics::pixels(), None)),
        ),
    };
    let picture = picture.trim_end();
    let Some(out) = &args.out else {
        let json = json!({
            "name": definition.name,
            "hash": definition.hash,
            "format": name,
            "picture": picture,
        });
        return Ok(Answer::good(picture, json));
    };
    let shown = out.display().to_string();
    std::fs::write(out, format!("{picture}\n"))
        .map_err(|error| CliError::failed(format!("cannot write {shown}: {error}")))?;
    let json = json!({
        "name": definition.name,
        "hash": definition.hash,
        "format": name,
        "out": shown,
    });
    let told = format!("{} is drawn in {shown}", definition.name);
    Ok(Answer::good(told, json))
}

/// What the ending of a file's name says.
fn format_of(out: Option<&Path>) -> GraphFormat {
    let ending = out
        .and_then(Path::extension)
        .and_then(|ending| ending.to_str());
    match ending {
        Some("svg") => GraphFormat::Svg,
        Some("mmd" | "mermaid") => GraphFormat::Mermaid,
        _ => GraphFormat::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_says_what_is_drawn() {
        for (out, format) in [
            (None, GraphFormat::Text),
            (Some("a/order.svg"), GraphFormat::Svg),
            (Some("order.mmd"), GraphFormat::Mermaid),
            (Some("order.txt"), GraphFormat::Text),
            (Some("order"), GraphFormat::Text),
        ] {
            assert_eq!(format_of(out.map(Path::new)), format, "{out:?}");
        }
    }
}
