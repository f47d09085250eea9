//! A drawing as a Mermaid flowchart, which lays itself out.

use std::fmt::Write as _;

use super::drawing::{Drawing, EdgeRole, FrameRole, LineRole, Node, NodeRole};

/// Classes of nodes: by role, with their style. Border and words are dark enough for light pages, and the fill is set
/// with them, so that dark pages change nothing.
const CLASSES: [(&str, &str); 9] = [
    ("step", "fill:#ffffff,stroke:#64748b,color:#0f172a"),
    ("group", "fill:#eef2f7,stroke:#64748b,color:#0f172a"),
    (
        "pivot",
        "fill:#ede9fe,stroke:#6d28d9,stroke-width:3px,color:#0f172a",
    ),
    (
        "undo",
        "fill:#fff7ed,stroke:#c2410c,stroke-dasharray:4 3,color:#0f172a",
    ),
    (
        "quiet",
        "fill:#f8fafc,stroke:#94a3b8,stroke-dasharray:2 3,color:#475569",
    ),
    ("dot", "fill:#64748b,stroke:#64748b,color:#64748b"),
    ("good", "fill:#dcfce7,stroke:#15803d,color:#0f172a"),
    ("back", "fill:#ffedd5,stroke:#c2410c,color:#0f172a"),
    ("parked", "fill:#fee2e2,stroke:#b91c1c,color:#0f172a"),
];

/// Writes it as a flowchart. Without the last line's end.
pub fn mermaid(drawing: &Drawing) -> String {
    let mut text = format!(
        "---\ntitle: {}\n---\nflowchart LR\n",
        // A YAML string: JSON is YAML too.
        serde_json::Value::from(drawing.name.as_str())
    );
    write_nodes(&mut text, drawing, None, 1);
    for edge in &drawing.edges {
        let arrow = match edge.role {
            EdgeRole::Forward => "-->",
            EdgeRole::SideWay => "==>",
            EdgeRole::Drop => "-.-",
            EdgeRole::Back => "-.->",
        };
        let label = edge
            .label
            .as_deref()
            .map_or(String::new(), |label| format!("|\"{}\"|", escaped(label)));
        line(
            &mut text,
            1,
            &format!("n{} {arrow}{label} n{}", edge.from, edge.to),
        );
    }
    for (name, style) in CLASSES {
        let nodes: Vec<String> = (0..)
            .zip(&drawing.nodes)
            .filter(|(_, node)| class_of(node.role) == name)
            .map(|(n, _): (usize, _)| format!("n{n}"))
            .collect();
        if !nodes.is_empty() {
            line(&mut text, 1, &format!("classDef {name} {style}"));
            line(&mut text, 1, &format!("class {} {name}", nodes.join(",")));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(text: &mut String, depth: usize, words: &str) {
    writeln!(text, "{:1$}{words}", "", depth * 2).expect("a string takes all that is written");
}

fn write_nodes(text: &mut String, drawing: &Drawing, frame: Option<usize>, depth: usize) {
    for (n, node) in drawing.nodes.iter().enumerate() {
        if node.frame == frame {
            line(text, depth, &shape(n, node));
        }
    }
    for (n, inner) in drawing.frames.iter().enumerate() {
        if inner.parent != frame {
            continue;
        }
        line(
            text,
            depth,
            &format!("subgraph f{n}[\"{}\"]", escaped(&inner.title)),
        );
        line(text, depth + 1, "direction LR");
        write_nodes(text, drawing, Some(n), depth + 1);
        line(text, depth, "end");
        let style = match inner.role {
            FrameRole::SideWay => "fill:none,stroke:#b45309,stroke-dasharray:2 3",
            FrameRole::Parallel | FrameRole::Choose | FrameRole::Each | FrameRole::Repeat => {
                "fill:none,stroke:#94a3b8"
            }
        };
        line(text, depth, &format!("style f{n} {style}"));
    }
}

fn shape(n: usize, node: &Node) -> String {
    if node.role.is_dot() {
        return format!("n{n}((\" \"))");
    }
    let words: Vec<String> = node
        .lines
        .iter()
        .filter(|line| !line.text.is_empty())
        .map(|line| match line.role {
            LineRole::Title => format!("<b>{}</b>", escaped(&line.text)),
            LineRole::Does
            | LineRole::Condition
            | LineRole::Limit
            | LineRole::Reaction
            | LineRole::State => escaped(&line.text),
        })
        .collect();
    let words = words.join("<br>");
    match node.role {
        NodeRole::Start | NodeRole::Completed | NodeRole::Compensated | NodeRole::Parked => {
            format!("n{n}([\"{words}\"])")
        }
        NodeRole::Undo | NodeRole::Nothing | NodeRole::OneWay => format!("n{n}(\"{words}\")"),
        NodeRole::Group => format!("n{n}{{{{\"{words}\"}}}}"),
        NodeRole::Step
        | NodeRole::Pivot
        | NodeRole::Fail
        | NodeRole::End
        | NodeRole::Join
        | NodeRole::BackJoin => format!("n{n}[\"{words}\"]"),
    }
}

fn class_of(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Start | NodeRole::Step => "step",
        NodeRole::Group => "group",
        NodeRole::Pivot => "pivot",
        NodeRole::Undo => "undo",
        NodeRole::Nothing | NodeRole::OneWay => "quiet",
        NodeRole::Join | NodeRole::BackJoin => "dot",
        NodeRole::Completed | NodeRole::End => "good",
        NodeRole::Compensated => "back",
        NodeRole::Parked | NodeRole::Fail => "parked",
    }
}

/// A text inside a quoted label. All but letters, digits and a few harmless signs become entities, as Mermaid has them:
/// a label is read as Markdown and as HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        let is_harmless =
            c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | ':' | '-' | '_' | '/');
        if is_harmless {
            escaped.push(c);
        } else {
            write!(escaped, "#{};", u32::from(c)).expect("a string takes all that is written");
        }
    }
    escaped
}
