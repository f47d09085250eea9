//! From a definition to a drawing.

use backstitch_saga::Definition;

use super::drawing::{Drawing, Edge, EdgeRole, Frame, FrameRole, Node, Point, Rect};
use super::lanes::{Planner, Sized, frame_title};
use super::metrics::Metrics;
use super::overlay::Overlay;
use super::words::clean;

/// Lays a definition out; the same definition in the same measures always gives the same drawing.
///
/// With an overlay each step says how far a saga is with it. The places are the same then whatever the overlay holds,
/// unless what it says is wider than the box.
pub fn lay_out(definition: &Definition, metrics: &Metrics, overlay: Option<&Overlay>) -> Drawing {
    let blocks = Planner::plan(definition, metrics, overlay);
    let mut layout = Layout {
        m: metrics,
        drawing: Drawing {
            name: clean(&definition.name),
            width: 0,
            height: 0,
            nodes: Vec::new(),
            edges: Vec::new(),
            frames: Vec::new(),
            labels: Vec::new(),
        },
        frame: None,
    };
    let margin = metrics.margin;
    let run = layout.sequence(&blocks, margin, margin, metrics.width_max - margin);
    layout.drawing.width = run.right + margin;
    layout.drawing.height = run.bottom + margin;
    layout.drawing
}

/// A drawing that grows.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) m: &'a Metrics,
    pub(super) drawing: Drawing,
    /// The innermost frame that is open.
    pub(super) frame: Option<usize>,
}

/// Where a way leaves a node or comes to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port {
    pub(super) node: usize,
    pub(super) at: Point,
}

impl Layout<'_> {
    /// Adds a box, with its place of ways at this height.
    pub(super) fn place(&mut self, step: Option<&str>, sized: &Sized, x: i32, level: i32) -> usize {
        self.drawing.nodes.push(Node {
            role: sized.card.role,
            step: step.map(str::to_owned),
            rect: Rect {
                x,
                y: level - sized.anchor,
                w: sized.w,
                h: sized.h,
            },
            lines: sized.card.lines.clone(),
            detail: sized.card.detail.clone(),
            frame: self.frame,
            state: sized.state,
        });
        self.drawing.nodes.len() - 1
    }

    /// Adds a frame inside the one that is open, and opens it. Its area is known when it is closed.
    pub(super) fn open(&mut self, role: FrameRole, step: &str, caption: Option<&str>) -> usize {
        self.drawing.frames.push(Frame {
            role,
            step: step.to_owned(),
            rect: Rect {
                x: 0,
                y: 0,
                w: 0,
                h: 0,
            },
            parent: self.frame,
            title: frame_title(role, step, caption),
        });
        let frame = self.drawing.frames.len() - 1;
        self.frame = Some(frame);
        frame
    }

    /// Says where a frame lies, and goes on in the one around it.
    pub(super) fn close(&mut self, frame: usize, rect: Rect) {
        let frame = &mut self.drawing.frames[frame];
        frame.rect = rect;
        self.frame = frame.parent;
    }

    /// Adds a way.
    pub(super) fn connect(
        &mut self,
        role: EdgeRole,
        from: usize,
        to: usize,
        points: Vec<Point>,
        label: Option<&str>,
    ) {
        let mut straight: Vec<Point> = Vec::with_capacity(points.len());
        for point in points {
            if straight.last() == Some(&point) {
                continue;
            }
            if let [.., before, last] = straight.as_slice() {
                let is_between = (before.x == last.x && last.x == point.x)
                    || (before.y == last.y && last.y == point.y);
                if is_between {
                    straight.pop();
                }
            }
            straight.push(point);
        }
        self.drawing.edges.push(Edge {
            from,
            to,
            role,
            points: straight,
            label: label.map(str::to_owned),
        });
    }

    /// Where ways come in and go out at the left border of a node.
    pub(super) fn left(&self, node: usize, level: i32) -> Port {
        let x = self.drawing.nodes[node].rect.x;
        let at = Point { x, y: level };
        Port { node, at }
    }

    /// Where ways come in and go out at the right border of a node.
    pub(super) fn right(&self, node: usize, level: i32) -> Port {
        let x = self.drawing.nodes[node].rect.right();
        let at = Point { x, y: level };
        Port { node, at }
    }
}
