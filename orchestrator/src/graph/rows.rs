//! A sequence of steps, in as many rows as it takes.

use std::ops::Range;

use super::drawing::{EdgeRole, Point};
use super::lanes::{Block, sequence_w};
use super::layout::{Layout, Port};
use super::metrics::Metrics;

/// Heights that the blocks of a row share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Of the ways forward.
    pub(super) level: i32,
    /// Of the ways back.
    pub(super) back_level: i32,
    /// Where sequences inside the blocks begin.
    pub(super) lanes_y: i32,
    /// Nothing should lie right of this.
    pub(super) limit: i32,
}

/// Where a sequence lies, and how one gets in and out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) right: i32,
    pub(super) bottom: i32,
    /// Into its first step; none if there are no steps.
    pub(super) enter: Option<Port>,
    /// Out of its last step; none if the saga never gets out there.
    pub(super) leave: Option<Port>,
    /// Where the way back comes in: at the newest that is undone.
    pub(super) back_in: Option<Port>,
    /// Where the way back goes out: at the oldest.
    pub(super) back_out: Option<Port>,
}

/// A row that lies, as far as ways to and from it need to know.
#[derive(Debug, Clone, Copy)]
struct Laid {
    right: i32,
    bottom: i32,
}

impl Layout<'_> {
    /// Lays blocks out one after another.
    pub(super) fn sequence(&mut self, blocks: &[Block], x: i32, y: i32, limit: i32) -> Run {
        let m = self.m;
        let is_one_row = x + sequence_w(blocks, m) <= limit || blocks.len() < 2;
        let (x_first, limit_row) = if is_one_row {
            (x, limit)
        } else {
            (x + m.wire + m.lead, limit - m.turn - m.wire - 1)
        };
        let width_max = if is_one_row {
            i32::MAX
        } else {
            limit_row - x_first
        };
        let rows = rows(blocks, width_max, m);
        let mut run = Run {
            right: x,
            bottom: y,
            enter: None,
            leave: None,
            back_in: None,
            back_out: None,
        };
        let has_back = blocks
            .iter()
            .any(|block| block.below.is_some() || block.has_back);
        let mut laid: Vec<Laid> = Vec::new();
        // The row of the newest that is undone.
        let mut back_row = 0;
        let mut row_y = y;
        for range in rows {
            let in_row = &blocks[range];
            let row = row_of(in_row, row_y, limit_row, has_back, m);
            let mut at = x_first;
            let mut here = Laid {
                right: x_first,
                bottom: row_y,
            };
            for (n, block) in in_row.iter().enumerate() {
                let placed = self.block(block, at, &row);
                let before = laid.last().copied().filter(|_| n == 0);
                self.forward(run.leave, placed.enter, x, before);
                if let (Some(from), Some(to)) = (placed.back_out, run.back_in) {
                    let wrap = (back_row != laid.len()).then(|| laid[back_row]);
                    self.back(from, to, x, wrap);
                }
                run.enter = run.enter.or(placed.enter);
                run.leave = placed.leave;
                run.back_out = run.back_out.or(placed.back_out);
                if placed.back_in.is_some() {
                    run.back_in = placed.back_in;
                    back_row = laid.len();
                }
                if block.is_point_of_no_return {
                    // What comes later is never undone together with what came before.
                    run.back_in = None;
                }
                here.right = here.right.max(placed.right);
                here.bottom = here.bottom.max(placed.bottom);
                at = placed.right + m.gap;
            }
            run.right = run
                .right
                .max(here.right + if is_one_row { 0 } else { m.turn + m.wire + 1 });
            run.bottom = here.bottom;
            row_y = here.bottom + 2 * m.gutter + 2 * m.wire;
            laid.push(here);
        }
        run
    }

    /// The way from one step to the next; around the end of the row, if that is where it leads.
    fn forward(&mut self, from: Option<Port>, to: Option<Port>, x: i32, wrap: Option<Laid>) {
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        let m = self.m;
        let mut points = vec![from.at];
        if let Some(before) = wrap {
            let (right, left) = (before.right + m.turn + m.wire, x + m.wire);
            let gutter = before.bottom + m.gutter + m.wire;
            points.extend([
                Point {
                    x: right,
                    y: from.at.y,
                },
                Point {
                    x: right,
                    y: gutter,
                },
                Point { x: left, y: gutter },
                Point {
                    x: left,
                    y: to.at.y,
                },
            ]);
        }
        points.push(to.at);
        self.connect(EdgeRole::Forward, from.node, to.node, points, None);
    }

    /// The way from one that is undone to the one that is undone next.
    fn back(&mut self, from: Port, to: Port, x: i32, wrap: Option<Laid>) {
        let m = self.m;
        let mut points = vec![from.at];
        if let Some(before) = wrap {
            let right = before.right + m.turn;
            let gutter = before.bottom + m.gutter;
            points.extend([
                Point { x, y: from.at.y },
                Point { x, y: gutter },
                Point {
                    x: right,
                    y: gutter,
                },
                Point {
                    x: right,
                    y: to.at.y,
                },
            ]);
        }
        points.push(to.at);
        self.connect(EdgeRole::Back, from.node, to.node, points, None);
    }
}

/// Which blocks stand in one row: as many as fit, at least one.
fn rows(blocks: &[Block], width_max: i32, m: &Metrics) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut first = 0;
    let mut width = 0;
    for (n, block) in blocks.iter().enumerate() {
        let own = block.natural_w.min(width_max);
        let wider = if n == first { own } else { width + m.gap + own };
        if wider > width_max {
            rows.push(first..n);
            first = n;
            width = own;
        } else {
            width = wider;
        }
    }
    // What would stand alone in the last row takes its neighbour along.
    let is_alone = first + 1 == blocks.len();
    if let Some(before) = rows.last_mut().filter(|row| is_alone && row.len() > 1) {
        let own = blocks[first - 1].natural_w + m.gap + width;
        if own <= width_max {
            before.end -= 1;
            first -= 1;
        }
    }
    rows.push(first..blocks.len());
    rows
}

fn row_of(blocks: &[Block], y: i32, limit: i32, has_back: bool, m: &Metrics) -> Row {
    let heads_h = blocks.iter().map(|block| block.head.h).max().unwrap_or(0);
    let is_framed = blocks.iter().any(|block| block.frame.is_some());
    let heads_y = y + if is_framed { m.frame_y } else { 0 };
    let heads_bottom = heads_y + heads_h;
    let belows = || blocks.iter().filter_map(|block| block.below.as_ref());
    // A way that only passes takes as much room as a dot.
    let passing = (m.dot / 2, m.dot - m.dot / 2);
    let above = belows().map(|below| below.sized.anchor).max();
    let under = belows()
        .map(|below| below.sized.h - below.sized.anchor)
        .max();
    let back_level = heads_bottom + m.undo_gap + above.unwrap_or(0).max(passing.0);
    let back_bottom = back_level + under.unwrap_or(0).max(passing.1);
    Row {
        level: heads_y + m.anchor,
        back_level,
        lanes_y: m.lane_gap + if has_back { back_bottom } else { heads_bottom },
        limit,
    }
}
