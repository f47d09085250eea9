//! One step, with its undo below it and the sequences inside it.

use super::drawing::{EdgeRole, FrameRole, Label, LineRole, NodeRole, Point, Rect};
use super::lanes::{Block, Lane, Sized};
use super::layout::{Layout, Port};
use super::rows::{Row, Run};
use super::words::Card;

/// A lane that lies.
#[derive(Debug)]
struct LaidLane<'b> {
    lane: &'b Lane,
    run: Run,
    /// Of the way through a lane without steps.
    level: i32,
}

impl Layout<'_> {
    /// Lays a block out, with its left border at `x`.
    pub(super) fn block(&mut self, block: &Block, x: i32, row: &Row) -> Run {
        let step = block.step.as_deref();
        let frame = match (block.frame, step) {
            (Some(role), Some(step)) => Some(self.open(role, step, None)),
            _ => None,
        };
        let head_x = x + if frame.is_some() { self.m.frame_x } else { 0 };
        let head = self.place(step, &block.head, head_x, row.level);
        let below = self.below(block, head, row);
        let enter = Some(self.left(head, row.level));
        let below_bottom = below.map_or(0, |node| self.drawing.nodes[node].rect.bottom());
        let head_rect = self.drawing.nodes[head].rect;
        let on_the_way = below.filter(|_| block.below.as_ref().is_some_and(|b| b.is_on_the_way));
        if block.lanes.is_empty() {
            let below_right = below.map_or(0, |node| self.drawing.nodes[node].rect.right());
            return Run {
                right: head_rect.right().max(below_right),
                bottom: head_rect.bottom().max(below_bottom),
                enter,
                leave: block.goes_on.then(|| self.right(head, row.level)),
                back_in: on_the_way.map(|node| self.right(node, row.back_level)),
                back_out: on_the_way.map(|node| self.left(node, row.back_level)),
            };
        }
        self.group(block, x, row, frame, head, below, on_the_way)
    }

    /// What stands below a step, and the way down to it.
    fn below(&mut self, block: &Block, head: usize, row: &Row) -> Option<usize> {
        let below = block.below.as_ref()?;
        let head_rect = self.drawing.nodes[head].rect;
        let x = if below.sized.card.role.is_dot() {
            head_rect.x + (head_rect.w - below.sized.w) / 2
        } else if block.lanes.is_empty() {
            head_rect.x
        } else {
            head_rect.x + block.indent(self.m)
        };
        let node = self.place(block.step.as_deref(), &below.sized, x, row.back_level);
        if below.has_drop {
            let rect = self.drawing.nodes[node].rect;
            let from = head_rect.x.max(rect.x);
            let to = head_rect.right().min(rect.right());
            let x = from + (to - from) / 2;
            let points = vec![
                Point {
                    x,
                    y: head_rect.bottom(),
                },
                Point { x, y: rect.y },
            ];
            self.connect(EdgeRole::Drop, head, node, points, None);
        }
        Some(node)
    }

    /// The sequences inside a step, below it; and where their ways part and meet.
    #[expect(
        clippy::too_many_arguments,
        reason = "what `block` has found out so far"
    )]
    fn group(
        &mut self,
        block: &Block,
        x: i32,
        row: &Row,
        frame: Option<usize>,
        head: usize,
        below: Option<usize>,
        on_the_way: Option<usize>,
    ) -> Run {
        let m = self.m;
        let head_rect = self.drawing.nodes[head].rect;
        let lanes_x = head_rect.x + block.indent(m);
        let after = m.channel + m.dot + if block.has_back { m.channel } else { 0 };
        let frame_w = if frame.is_some() { m.frame_x } else { 0 };
        let limit = row.limit - after - frame_w;
        let below_rect = below.map(|node| self.drawing.nodes[node].rect);
        let mut right = head_rect.right().max(below_rect.map_or(0, Rect::right));
        let mut bottom = head_rect.bottom().max(below_rect.map_or(0, Rect::bottom));
        let mut y = if block.below.is_some() || block.is_passed {
            row.lanes_y
        } else {
            head_rect.bottom() + m.lane_gap
        };
        let mut laid = Vec::new();
        for lane in block.lanes.iter().filter(|lane| !lane.is_side_way()) {
            let lane = self.lane(lane, lanes_x, y, limit);
            (right, bottom) = (right.max(lane.run.right), bottom.max(lane.run.bottom));
            y = lane.run.bottom + m.lane_gap;
            laid.push(lane);
        }
        if let Some(frame) = frame.filter(|_| block.has_side_way()) {
            (right, bottom) = (right + m.frame_x, bottom + m.frame_y);
            self.close(
                frame,
                around(
                    x,
                    row,
                    self.drawing.nodes[head].rect,
                    right,
                    bottom,
                    m.frame_y,
                ),
            );
            y = bottom + m.lane_gap;
        }
        for lane in block.lanes.iter().filter(|lane| lane.is_side_way()) {
            let step = block.step.as_deref().unwrap_or_default();
            let inner = self.open(FrameRole::SideWay, step, lane.caption.as_deref());
            let lane = self.lane(lane, lanes_x + m.frame_x, y + m.frame_y, limit - m.frame_x);
            let rect = Rect {
                x: lanes_x,
                y,
                w: lane.run.right + m.frame_x - lanes_x,
                h: lane.run.bottom + m.frame_y - y,
            };
            self.close(inner, rect);
            (right, bottom) = (right.max(rect.right()), bottom.max(rect.bottom()));
            y = rect.bottom() + m.lane_gap;
            laid.push(lane);
        }
        let join_x = right + m.channel;
        let leave = self.forward_ways(block, row, head, join_x, &laid);
        let back_x = join_x + m.channel;
        let (back_in, back_out) = self.back_ways(block, row, head, back_x, on_the_way, &laid);
        right += after;
        if let Some(frame) = frame.filter(|_| !block.has_side_way()) {
            (right, bottom) = (right + m.frame_x, bottom + m.frame_y);
            self.close(frame, around(x, row, head_rect, right, bottom, m.frame_y));
        }
        Run {
            right,
            bottom,
            enter: Some(self.left(head, row.level)),
            leave,
            back_in,
            back_out,
        }
    }

    /// One sequence inside a step, with its words above it.
    fn lane<'b>(&mut self, lane: &'b Lane, x: i32, y: i32, limit: i32) -> LaidLane<'b> {
        let m = self.m;
        let mut sequence_y = y;
        let mut caption_right = x;
        if let Some(caption) = &lane.caption {
            self.drawing.labels.push(Label {
                at: Point { x, y },
                text: caption.clone(),
                role: lane.role,
            });
            sequence_y += m.caption;
            caption_right += (m.text_width)(caption, LineRole::Title);
        }
        let level = sequence_y + m.dot / 2;
        let mut run = self.sequence(&lane.blocks, x, sequence_y, limit);
        run.right = run.right.max(caption_right);
        if lane.blocks.is_empty() {
            run.bottom = sequence_y + m.dot;
        }
        if !lane.leaves() {
            // What comes later is never undone together with this.
            run.back_in = None;
        }
        LaidLane { lane, run, level }
    }

    /// The ways from a step into its sequences, and out of them to where they meet.
    fn forward_ways(
        &mut self,
        block: &Block,
        row: &Row,
        head: usize,
        join_x: i32,
        laid: &[LaidLane<'_>],
    ) -> Option<Port> {
        let m = self.m;
        let goes_on = block.goes_on
            || laid
                .iter()
                .any(|lane| lane.run.leave.is_some() || lane.lane.blocks.is_empty());
        let join = goes_on.then(|| self.dot(NodeRole::Join, block, join_x, row.level));
        let head_rect = self.drawing.nodes[head].rect;
        if let Some(join) = join.filter(|_| block.goes_on) {
            let (from, to) = (self.right(head, row.level), self.left(join, row.level));
            self.connect(EdgeRole::Forward, head, join, vec![from.at, to.at], None);
        }
        let riser = head_rect.x + m.dot / 2 + m.channel;
        let meet = Point {
            x: join_x + m.dot / 2,
            y: row.level - m.dot / 2 + m.dot,
        };
        for LaidLane { lane, run, level } in laid {
            let (role, x) = match lane.is_side_way() {
                true => (EdgeRole::SideWay, riser),
                false if block.has_side_riser() => (EdgeRole::Forward, riser + m.channel),
                false => (EdgeRole::Forward, riser),
            };
            let label = lane.caption.as_deref();
            let down = Point {
                x,
                y: head_rect.bottom(),
            };
            if let Some(enter) = run.enter {
                let turn = Point { x, y: enter.at.y };
                self.connect(role, head, enter.node, vec![down, turn, enter.at], label);
            } else if let Some(join) = join {
                let points = vec![
                    down,
                    Point { x, y: *level },
                    Point {
                        x: meet.x,
                        y: *level,
                    },
                    meet,
                ];
                self.connect(role, head, join, points, label);
            }
            if let (Some(leave), Some(join)) = (run.leave, join) {
                let turn = Point {
                    x: meet.x,
                    y: leave.at.y,
                };
                self.connect(role, leave.node, join, vec![leave.at, turn, meet], None);
            }
        }
        join.map(|join| self.right(join, row.level))
    }

    /// The ways back into the sequences of a step, and out of them. Where they come in and go out.
    fn back_ways(
        &mut self,
        block: &Block,
        row: &Row,
        head: usize,
        right_x: i32,
        below: Option<usize>,
        laid: &[LaidLane<'_>],
    ) -> (Option<Port>, Option<Port>) {
        let level = row.back_level;
        let own =
            |layout: &Self| below.map(|node| (layout.right(node, level), layout.left(node, level)));
        let has_in = laid.iter().any(|lane| lane.run.back_in.is_some());
        let has_out = laid.iter().any(|lane| lane.run.back_out.is_some());
        let half = self.m.dot / 2;
        let mut back_in = own(self).map(|(right, _)| right);
        if has_in {
            let dot = self.dot(NodeRole::BackJoin, block, right_x, level);
            let from = self.left(dot, level);
            if let Some(own) = back_in {
                self.connect(EdgeRole::Back, dot, own.node, vec![from.at, own.at], None);
            }
            for to in laid.iter().filter_map(|lane| lane.run.back_in) {
                let x = right_x + half;
                let turn = Point { x, y: to.at.y };
                let start = match to.at.y == level {
                    true => from.at,
                    false => leave_dot(x, level, to.at.y, self.m.dot),
                };
                self.connect(
                    EdgeRole::Back,
                    dot,
                    to.node,
                    vec![start, if start.y == turn.y { start } else { turn }, to.at],
                    None,
                );
            }
            back_in = Some(self.right(dot, level));
        }
        let mut back_out = own(self).map(|(_, left)| left);
        if has_out {
            let left_x = self.drawing.nodes[head].rect.x;
            let dot = self.dot(NodeRole::BackJoin, block, left_x, level);
            // It lies in the frame of the step, which may be closed by now.
            self.drawing.nodes[dot].frame = self.drawing.nodes[head].frame;
            let to = self.right(dot, level);
            if let Some(own) = back_out {
                self.connect(EdgeRole::Back, own.node, dot, vec![own.at, to.at], None);
            }
            for from in laid.iter().filter_map(|lane| lane.run.back_out) {
                let x = left_x + half;
                let turn = Point { x, y: from.at.y };
                let end = match from.at.y == level {
                    true => to.at,
                    false => leave_dot(x, level, from.at.y, self.m.dot),
                };
                self.connect(
                    EdgeRole::Back,
                    from.node,
                    dot,
                    vec![from.at, if end.y == turn.y { end } else { turn }, end],
                    None,
                );
            }
            if let Some(newest) = back_in.filter(|_| block.has_bypass) {
                let start = self.left(newest.node, level);
                self.connect(
                    EdgeRole::Back,
                    newest.node,
                    dot,
                    vec![start.at, to.at],
                    None,
                );
            }
            back_in = back_in.or(Some(to));
            back_out = Some(self.left(dot, level));
        }
        (back_in, back_out)
    }

    fn dot(&mut self, role: NodeRole, block: &Block, x: i32, level: i32) -> usize {
        let dot = self.m.dot;
        let sized = Sized {
            card: Card {
                role,
                lines: Vec::new(),
                detail: String::new(),
            },
            state: None,
            w: dot,
            h: dot,
            anchor: dot / 2,
        };
        self.place(block.step.as_deref(), &sized, x, level)
    }
}

/// The border of a dot towards a height below or above it.
fn leave_dot(x: i32, level: i32, towards_y: i32, dot: i32) -> Point {
    let top = level - dot / 2;
    let y = if towards_y > level { top + dot } else { top };
    Point { x, y }
}

/// The area of the frame of a step.
fn around(x: i32, row: &Row, head: Rect, right: i32, bottom: i32, pad: i32) -> Rect {
    debug_assert!(head.y <= row.level, "ways go out of the box");
    let y = head.y - pad;
    Rect {
        x,
        y,
        w: right - x,
        h: bottom - y,
    }
}
