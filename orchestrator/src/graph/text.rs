//! A drawing as text, for a terminal.

use super::canvas::{Canvas, DOWN, LEFT, Pen, RIGHT, UP, plain};
use super::drawing::{Drawing, Edge, EdgeRole, LineRole, Node, NodeRole, Point, Rect, Sample};
use super::metrics::columns_of;

/// Which characters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    /// Lines and arrows as Unicode has them.
    Unicode,
    /// ASCII alone; what it lacks becomes `?`.
    Ascii,
}

/// Draws it, with its name above and its legend below. Without the last line's end.
///
/// The drawing is to be laid out in [characters](super::Metrics::characters).
pub fn text(drawing: &Drawing, glyphs: Glyphs) -> String {
    let mut canvas = Canvas::new(drawing.width, drawing.height);
    for frame in &drawing.frames {
        border(&mut canvas, frame.rect, Pen::Frame);
    }
    for node in &drawing.nodes {
        draw_box(&mut canvas, node);
    }
    for role in [
        EdgeRole::Back,
        EdgeRole::Drop,
        EdgeRole::SideWay,
        EdgeRole::Forward,
    ] {
        for edge in drawing.edges.iter().filter(|edge| edge.role == role) {
            draw_way(&mut canvas, drawing, edge);
        }
    }
    for label in &drawing.labels {
        canvas.write(label.at.x, label.at.y, &label.text);
    }
    let mut lines = vec![drawing.name.clone(), String::new()];
    lines.extend(canvas.lines());
    lines.push(String::new());
    lines.extend(legend(drawing));
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let text = lines.join("\n");
    match glyphs {
        Glyphs::Unicode => text,
        Glyphs::Ascii => text.chars().map(plain_or_end).collect(),
    }
}

fn plain_or_end(c: char) -> char {
    if c == '\n' { c } else { plain(c) }
}

fn border(canvas: &mut Canvas, rect: Rect, pen: Pen) {
    let (left, right) = (rect.x, rect.right() - 1);
    let (top, bottom) = (rect.y, rect.bottom() - 1);
    for x in left + 1..right {
        canvas.line(x, top, pen, LEFT | RIGHT);
        canvas.line(x, bottom, pen, LEFT | RIGHT);
    }
    for y in top + 1..bottom {
        canvas.line(left, y, pen, UP | DOWN);
        canvas.line(right, y, pen, UP | DOWN);
    }
    canvas.line(left, top, pen, DOWN | RIGHT);
    canvas.line(right, top, pen, DOWN | LEFT);
    canvas.line(left, bottom, pen, UP | RIGHT);
    canvas.line(right, bottom, pen, UP | LEFT);
}

fn draw_box(canvas: &mut Canvas, node: &Node) {
    let rect = node.rect;
    if node.role.is_dot() {
        let dot = if node.role == NodeRole::Join {
            '●'
        } else {
            '○'
        };
        canvas.put(rect.x, rect.y, dot);
        return;
    }
    canvas.wipe(rect.x, rect.y, rect.w, rect.h);
    if rect.h > 1 {
        border(canvas, rect, pen_of(node.role));
    }
    let words_y = rect.y + i32::from(rect.h > 1);
    for (y, line) in (words_y..).zip(&node.lines) {
        let words = match (line.role, node.role) {
            (LineRole::Reaction, NodeRole::Pivot) if line.text == "pivot" => "PIVOT",
            _ => &line.text,
        };
        canvas.write(rect.x + 2, y, words);
    }
    if rect.h == 1 {
        canvas.put(rect.x, rect.y, '(');
        canvas.put(rect.right() - 1, rect.y, ')');
    }
}

fn pen_of(role: NodeRole) -> Pen {
    match role {
        NodeRole::Pivot => Pen::Heavy,
        NodeRole::Undo | NodeRole::Nothing | NodeRole::OneWay => Pen::Dashed,
        NodeRole::Start | NodeRole::Completed | NodeRole::Compensated | NodeRole::Parked => {
            Pen::Frame
        }
        NodeRole::Step
        | NodeRole::Group
        | NodeRole::Fail
        | NodeRole::End
        | NodeRole::Join
        | NodeRole::BackJoin => Pen::Light,
    }
}

fn way_pen(role: EdgeRole) -> Pen {
    match role {
        EdgeRole::Forward => Pen::Light,
        EdgeRole::SideWay => Pen::Dotted,
        EdgeRole::Drop | EdgeRole::Back => Pen::Dashed,
    }
}

fn draw_way(canvas: &mut Canvas, drawing: &Drawing, edge: &Edge) {
    let pen = way_pen(edge.role);
    let cells = cells(&edge.points);
    let mut came = cells.first().map_or(RIGHT, |(_, goes)| *goes);
    for (at, goes) in &cells {
        canvas.line(at.x, at.y, pen, opposite(came) | goes);
        came = *goes;
    }
    if let Some((at, goes)) = cells.first() {
        // A line that leaves a box downwards shows on its border.
        let joins_border = *goes == DOWN && drawing.nodes[edge.from].rect.h > 1;
        if joins_border {
            canvas.join(at.x, at.y - 1, DOWN);
        }
    }
    let Some((at, goes)) = cells.last() else {
        return;
    };
    if !drawing.nodes[edge.to].role.is_dot() && edge.role != EdgeRole::Drop {
        let head = match *goes {
            LEFT => '◀',
            UP => '▲',
            DOWN => '▼',
            _ => '▶',
        };
        canvas.put(at.x, at.y, head);
    }
}

fn opposite(way: u8) -> u8 {
    match way {
        UP => DOWN,
        DOWN => UP,
        LEFT => RIGHT,
        _ => LEFT,
    }
}

/// The characters of a way, each with where it goes from there; the last goes into the box.
fn cells(points: &[Point]) -> Vec<(Point, u8)> {
    let mut cells = Vec::new();
    let parts = points.len().saturating_sub(1);
    for (n, pair) in points.windows(2).enumerate() {
        let (mut from, mut to) = (pair[0], pair[1]);
        let (dx, dy) = ((to.x - from.x).signum(), (to.y - from.y).signum());
        // The border of a box on its right and lower side is the first character outside.
        if n == 0 {
            from = Point {
                x: from.x + dx.min(0),
                y: from.y + dy.min(0),
            };
        }
        if n + 1 == parts {
            to = Point {
                x: to.x - dx.max(0),
                y: to.y - dy.max(0),
            };
        }
        let way = match (dx, dy) {
            (1, _) => RIGHT,
            (-1, _) => LEFT,
            (_, 1) => DOWN,
            _ => UP,
        };
        let mut at = from;
        loop {
            // A corner belongs to the part that leaves it.
            if at == to && n + 1 < parts {
                break;
            }
            cells.push((at, way));
            if at == to {
                break;
            }
            at = Point {
                x: at.x + dx,
                y: at.y + dy,
            };
            // A way without room between its ends.
            if (dx, dy) == (0, 0) {
                break;
            }
        }
    }
    cells
}

fn legend(drawing: &Drawing) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for sample in drawing.legend() {
        let words = match sample {
            Sample::Edge(EdgeRole::Forward, words) => format!("──▶ {words}"),
            Sample::Edge(EdgeRole::SideWay, words) => format!("┄┄▶ {words}"),
            Sample::Edge(EdgeRole::Back | EdgeRole::Drop, words) => format!("◀╌╌ {words}"),
            Sample::Node(NodeRole::Pivot, words) => format!("┏━┓ {words}"),
            // The chip says it itself.
            Sample::Node(NodeRole::Nothing, _) => continue,
            Sample::Node(_, words) => format!("( no undo ) {words}"),
        };
        let width = |text: &str| text.chars().map(columns_of).sum::<i32>();
        if !line.is_empty() && width(&line) + width(&words) + 3 > 96 {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str("   ");
        }
        line.push_str(&words);
    }
    lines.push(line);
    lines
}
