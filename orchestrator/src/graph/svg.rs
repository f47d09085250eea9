//! A drawing as an SVG that stands by itself: no scripts, no fonts or pictures from elsewhere, text as text.

use std::fmt::Write as _;

use super::drawing::{
    Drawing, Edge, EdgeRole, Frame, FrameRole, Line, LineRole, Node, NodeRole, Point, Sample,
};
use super::metrics::{columns, letter_size};
use super::overlay::State;
use super::style;

/// Room for the name, above the drawing.
const HEAD_H: i32 = 44;
/// Room for the legend, below the drawing.
const LEGEND_LINE_H: i32 = 24;
/// From the left border.
const MARGIN: i32 = 28;
/// Pixels of an arrow's head.
const ARROW: i32 = 8;

/// Writes it as a whole SVG document.
///
/// The drawing is to be laid out in [pixels](super::Metrics::pixels).
pub fn svg(drawing: &Drawing) -> String {
    let legend = legend_places(drawing);
    let legend_lines = legend.last().map_or(0, |(_, at)| at.y / LEGEND_LINE_H + 1);
    let name_w = columns(&drawing.name) * 11;
    let legend_w = legend.iter().map(|(sample, at)| at.x + sample_w(*sample));
    let legend_w = legend_w.max().unwrap_or(0);
    let width = drawing.width.max(2 * MARGIN + name_w.max(legend_w));
    let height = HEAD_H + drawing.height + legend_lines * LEGEND_LINE_H + MARGIN / 2;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"name told\">\n\
         <title id=\"name\">{}</title>\n<desc id=\"told\">{}</desc>\n<style>{}</style>\n",
        escaped(&format!("The saga {}", drawing.name)),
        escaped(&told(drawing)),
        style::sheet()
    );
    put(
        &mut svg,
        format_args!("<rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n"),
    );
    put(
        &mut svg,
        format_args!(
            "<text class=\"words name\" x=\"{MARGIN}\" y=\"34\">{}</text>\n",
            escaped(&drawing.name)
        ),
    );
    put(
        &mut svg,
        format_args!("<g transform=\"translate(0 {HEAD_H})\">\n"),
    );
    for frame in &drawing.frames {
        write_frame(&mut svg, frame);
    }
    for node in drawing
        .nodes
        .iter()
        .filter(|node| node.role == NodeRole::Pivot)
    {
        write_barrier(&mut svg, drawing, node);
    }
    for role in [
        EdgeRole::Drop,
        EdgeRole::Back,
        EdgeRole::SideWay,
        EdgeRole::Forward,
    ] {
        for edge in drawing.edges.iter().filter(|edge| edge.role == role) {
            write_way(&mut svg, drawing, edge);
        }
    }
    for node in &drawing.nodes {
        write_node(&mut svg, node);
    }
    for label in &drawing.labels {
        let side = if label.role == FrameRole::SideWay {
            " side"
        } else {
            ""
        };
        let (x, y) = (label.at.x, label.at.y + 14);
        put(
            &mut svg,
            format_args!(
                "<text class=\"caption{side}\" x=\"{x}\" y=\"{y}\">{}</text>\n",
                escaped(&label.text)
            ),
        );
    }
    svg.push_str("</g>\n");
    let legend_y = HEAD_H + drawing.height;
    put(
        &mut svg,
        format_args!("<g transform=\"translate({MARGIN} {legend_y})\">\n"),
    );
    for (sample, at) in legend {
        write_sample(&mut svg, sample, at);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn put(svg: &mut String, words: std::fmt::Arguments<'_>) {
    svg.write_fmt(words)
        .expect("a string takes all that is written");
}

fn write_frame(svg: &mut String, frame: &Frame) {
    let side = if frame.role == FrameRole::SideWay {
        " side"
    } else {
        ""
    };
    let rect = frame.rect;
    put(
        svg,
        format_args!(
            "<rect class=\"frame{side}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\"><title>{}</title></rect>\n",
            rect.x,
            rect.y,
            rect.w,
            rect.h,
            escaped(&frame.title)
        ),
    );
}

/// The line behind the pivot that no way back crosses.
fn write_barrier(svg: &mut String, drawing: &Drawing, node: &Node) {
    let own = || drawing.nodes.iter().filter(|other| other.step == node.step);
    let x = own().map(|node| node.rect.right()).max().unwrap_or(0) + 15;
    let bottom = own().map(|node| node.rect.bottom());
    let bottom = bottom.max().unwrap_or(0).max(node.rect.bottom() + 12);
    put(
        svg,
        format_args!(
            "<line class=\"barrier\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\"/>\n",
            node.rect.y
        ),
    );
}

fn way_class(role: EdgeRole) -> &'static str {
    match role {
        EdgeRole::Forward => "",
        EdgeRole::SideWay => " side",
        EdgeRole::Drop => " drop",
        EdgeRole::Back => " back",
    }
}

fn write_way(svg: &mut String, drawing: &Drawing, edge: &Edge) {
    let has_head = !drawing.nodes[edge.to].role.is_dot() && edge.role != EdgeRole::Drop;
    let class = way_class(edge.role);
    let mut points = edge.points.clone();
    let end = points.last().copied();
    if let ([.., before, last], true) = (points.as_mut_slice(), has_head) {
        // The line ends inside the head.
        last.x -= (last.x - before.x).signum() * (ARROW - 2);
        last.y -= (last.y - before.y).signum() * (ARROW - 2);
    }
    // Ways that meet in a dot share their last part: drawn from there, their dashes fall together.
    if drawing.nodes[edge.to].role.is_dot() {
        points.reverse();
    }
    put(
        svg,
        format_args!("<path class=\"way{class}\" d=\"{}\"/>\n", path(&points)),
    );
    if let (Some(end), [.., before, _], true) = (end, edge.points.as_slice(), has_head) {
        write_head(svg, class, *before, end);
    }
}

fn write_head(svg: &mut String, class: &str, from: Point, to: Point) {
    let (dx, dy) = ((to.x - from.x).signum(), (to.y - from.y).signum());
    let (x, y) = (to.x - dx * ARROW, to.y - dy * ARROW);
    let half = ARROW / 2;
    put(
        svg,
        format_args!(
            "<path class=\"head{class}\" d=\"M{} {}L{} {}L{} {}z\"/>\n",
            to.x,
            to.y,
            x - dy * half,
            y - dx * half,
            x + dy * half,
            y + dx * half
        ),
    );
}

/// A path with round corners.
fn path(points: &[Point]) -> String {
    let mut path = String::new();
    for (n, point) in points.iter().enumerate() {
        if n == 0 {
            put(&mut path, format_args!("M{} {}", point.x, point.y));
            continue;
        }
        let Some(next) = points.get(n + 1) else {
            put(&mut path, format_args!("L{} {}", point.x, point.y));
            continue;
        };
        let before = points[n - 1];
        let length = |a: Point, b: Point| (a.x - b.x).abs() + (a.y - b.y).abs();
        let round = (length(before, *point) / 2)
            .min(length(*point, *next) / 2)
            .min(7);
        let towards = |to: Point| Point {
            x: point.x + (to.x - point.x).signum() * round,
            y: point.y + (to.y - point.y).signum() * round,
        };
        let (start, end) = (towards(before), towards(*next));
        put(
            &mut path,
            format_args!(
                "L{} {}Q{} {} {} {}",
                start.x, start.y, point.x, point.y, end.x, end.y
            ),
        );
    }
    path
}

fn node_class(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Start => "start",
        NodeRole::Step => "step",
        NodeRole::Pivot => "pivot",
        NodeRole::Group => "group",
        NodeRole::Fail => "fail",
        NodeRole::End => "end",
        NodeRole::Undo => "undo",
        NodeRole::Nothing | NodeRole::OneWay => "quiet",
        NodeRole::Join => "dot",
        NodeRole::BackJoin => "dot back",
        NodeRole::Completed => "completed",
        NodeRole::Compensated => "compensated",
        NodeRole::Parked => "parked",
    }
}

fn state_class(state: Option<State>) -> &'static str {
    match state {
        None => "",
        Some(State::Done) => " live done",
        Some(State::InFlight | State::Ambiguous) => " live busy",
        Some(State::Undone | State::Undoing) => " live undone",
        Some(State::Stuck) => " live stuck",
        Some(State::Refused | State::Waived) => " live off",
    }
}

fn write_node(svg: &mut String, node: &Node) {
    let (rect, class) = (node.rect, node_class(node.role));
    if node.role.is_dot() {
        let half = rect.w / 2;
        let (x, y) = (rect.x + half, rect.y + half);
        put(
            svg,
            format_args!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{half}\"/>\n"),
        );
        return;
    }
    let state = state_class(node.state);
    let id = match (&node.step, node.role.is_step()) {
        (Some(step), true) => format!(" data-step=\"{}\"", escaped(step)),
        _ => String::new(),
    };
    let round = match node.role {
        NodeRole::Start | NodeRole::Completed | NodeRole::Compensated | NodeRole::Parked => 18,
        NodeRole::Nothing | NodeRole::OneWay => rect.h / 2,
        NodeRole::Group => 2,
        NodeRole::Step
        | NodeRole::Pivot
        | NodeRole::Fail
        | NodeRole::End
        | NodeRole::Undo
        | NodeRole::Join
        | NodeRole::BackJoin => 7,
    };
    put(
        svg,
        format_args!(
            "<g class=\"{class}{state}\"{id}><title>{}</title><rect class=\"box\" x=\"{}\" y=\"{}\" width=\"{}\" \
             height=\"{}\" rx=\"{round}\"/>",
            escaped(&node.detail),
            rect.x,
            rect.y,
            rect.w,
            rect.h
        ),
    );
    let mut y = rect.y + if node.role.is_chip() { 16 } else { 25 };
    for line in &node.lines {
        if node.role == NodeRole::Pivot && line.role == LineRole::Reaction && line.text == "pivot" {
            write_badge(svg, rect.x + 14, y);
        } else {
            write_line(svg, line, rect.x + 14, y);
        }
        y += 17;
    }
    svg.push_str("</g>\n");
}

fn write_badge(svg: &mut String, x: i32, y: i32) {
    let (text_x, rect_y) = (x + 7, y - 11);
    put(
        svg,
        format_args!(
            "<rect class=\"badge-box\" x=\"{x}\" y=\"{rect_y}\" width=\"48\" height=\"15\" rx=\"7\"/>\
             <text class=\"words badge\" x=\"{text_x}\" y=\"{y}\">PIVOT</text>"
        ),
    );
}

fn write_line(svg: &mut String, line: &Line, x: i32, y: i32) {
    let class = match line.role {
        LineRole::Title => "title",
        LineRole::Does => "does",
        LineRole::Condition | LineRole::Limit => "soft",
        LineRole::Reaction => "reaction",
        LineRole::State => "state",
    };
    if !line.text.is_empty() {
        put(
            svg,
            format_args!(
                "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
                escaped(&line.text)
            ),
        );
    }
}

/// What a reader who does not see the picture is told.
fn told(drawing: &Drawing) -> String {
    let mut told = String::from("Steps in order. ");
    for node in drawing.nodes.iter().filter(|node| node.role.is_step()) {
        let words: Vec<&str> = node.detail.lines().collect();
        told.push_str(&words.join(", "));
        let undo = drawing
            .nodes
            .iter()
            .find(|other| other.step == node.step && !other.role.is_step() && !other.role.is_dot());
        match undo.map(|undo| (undo.role, undo.detail.lines().next().unwrap_or_default())) {
            Some((NodeRole::Undo, name)) => told.push_str(&format!("; undone by {name}")),
            Some((NodeRole::Nothing, _)) => told.push_str("; nothing to undo"),
            _ => {}
        }
        told.push_str(". ");
    }
    told.truncate(told.trim_end().len());
    told
}

fn sample_words(sample: Sample) -> &'static str {
    match sample {
        Sample::Edge(_, words) | Sample::Node(_, words) => words,
    }
}

fn sample_w(sample: Sample) -> i32 {
    44 + columns(sample_words(sample)) * letter_size(LineRole::Does) * 58 / 100
}

/// The legend, with where each of it stands.
fn legend_places(drawing: &Drawing) -> Vec<(Sample, Point)> {
    let width_max = drawing.width.max(560) - 2 * MARGIN;
    let mut at = Point { x: 0, y: 0 };
    let mut places = Vec::new();
    for sample in drawing.legend() {
        if at.x > 0 && at.x + sample_w(sample) > width_max {
            at = Point {
                x: 0,
                y: at.y + LEGEND_LINE_H,
            };
        }
        places.push((sample, at));
        at.x += sample_w(sample) + 26;
    }
    places
}

fn write_sample(svg: &mut String, sample: Sample, at: Point) {
    let y = at.y + 8;
    match sample {
        Sample::Edge(role, _) => {
            let (from, to) = match role {
                EdgeRole::Back | EdgeRole::Drop => (at.x + 34, at.x),
                EdgeRole::Forward | EdgeRole::SideWay => (at.x, at.x + 34),
            };
            let class = way_class(role);
            let end = to - (to - from).signum() * (ARROW - 2);
            put(
                svg,
                format_args!("<path class=\"way{class}\" d=\"M{from} {y}L{end} {y}\"/>"),
            );
            write_head(svg, class, Point { x: from, y }, Point { x: to, y });
        }
        Sample::Node(role, _) => {
            let class = node_class(role);
            let (x, top) = (at.x + 4, y - 7);
            put(
                svg,
                format_args!(
                    "<g class=\"{class}\"><rect class=\"box\" x=\"{x}\" y=\"{top}\" width=\"26\" height=\"14\" rx=\"4\"/></g>"
                ),
            );
        }
    }
    let (x, y) = (at.x + 44, y + 4);
    put(
        svg,
        format_args!(
            "<text class=\"words soft\" x=\"{x}\" y=\"{y}\">{}</text>\n",
            escaped(sample_words(sample))
        ),
    );
}

/// A text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}
