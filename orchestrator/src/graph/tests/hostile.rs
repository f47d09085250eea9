//! Names and expressions that try to be markup. The language refuses most of them; a definition built in Rust need not
//! have passed it.

use backstitch_saga::Definition;
use backstitch_saga::definition::{Undo, Verb};
use backstitch_saga::expression::Expression;

use super::super::{Glyphs, Metrics, lay_out, mermaid, svg, text};
use super::{definition, sound, xml};

const EVIL: [&str; 6] = [
    "</title></text><script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "a\"]:::x\n  click n0 \"javascript:alert(1)\"",
    "--> n1 end subgraph %%{init: {}}%%",
    "\u{1b}[2J\u{7}\u{202e}&amp;\u{fffe}]]>",
    "漢字 `**b**` #quot; 'x'",
];

fn hostile(evil: &str) -> Definition {
    let mut definition = definition("src/graph/golden/every-verb.yaml");
    definition.name = evil.to_owned();
    definition.start[0].topic = evil.to_owned();
    let evil_text = format!(
        "event.a == {}",
        serde_json::Value::from(evil.replace('\u{fffe}', ""))
    );
    for step in &mut definition.steps {
        step.id = format!("{}{evil}", step.id);
        if step.when.is_none() {
            step.when = Expression::compile(&evil_text).ok();
        }
        if let Verb::Do(work) = &mut step.verb {
            work.activity = evil.to_owned();
            if let Undo::Other(other) = &mut work.undo {
                other.activity = evil.to_owned();
            }
        }
        if let Verb::Parallel(parallel) = &mut step.verb {
            parallel.branches[0].0 = evil.to_owned();
        }
    }
    definition
}

#[test]
fn hostile_names_change_no_layout_rule_and_no_markup() {
    for evil in EVIL {
        let definition = hostile(evil);
        sound::assert_sound(&definition, evil);
        let picture = svg(&lay_out(&definition, &Metrics::pixels(), None));
        xml::assert_well_formed(&picture, evil);
        assert!(!picture.contains("<script"), "{evil}");
        assert!(!picture.contains("onload=\""), "{evil}");
    }
}

#[test]
fn hostile_names_cannot_command_the_terminal() {
    for evil in EVIL {
        let drawing = lay_out(&hostile(evil), &Metrics::characters(100), None);
        let picture = text(&drawing, Glyphs::Unicode);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!picture.contains(acts), "{picture}");
    }
}

#[test]
fn hostile_names_stay_inside_their_labels_in_mermaid() {
    for evil in EVIL {
        let chart = mermaid(&lay_out(&hostile(evil), &Metrics::pixels(), None));
        for line in chart.lines().skip(3) {
            let is_ours = |c: char| c.is_alphanumeric() || " .,:;-/#\"[](){}|<>=_".contains(c);
            assert!(line.chars().all(is_ours), "{line}");
            // Between quotes stands nothing but letters, entities, and our own two tags.
            for label in line.split('"').skip(1).step_by(2) {
                let bare = label
                    .replace("<b>", "")
                    .replace("</b>", "")
                    .replace("<br>", "");
                let is_safe = |c: char| c.is_alphanumeric() || " .,:-_/#;".contains(c);
                assert!(bare.chars().all(is_safe), "{line}");
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(
                !matches!(words.first(), Some(&("click" | "%%{init:"))),
                "{line}"
            );
        }
    }
}
