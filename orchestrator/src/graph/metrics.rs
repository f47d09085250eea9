//! How large things are.

use super::drawing::LineRole;

/// How large things are: the same layout in characters and in pixels.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// How wide a line is.
    pub text_width: fn(&str, LineRole) -> i32,
    /// From one line to the next.
    pub line: i32,
    /// From the left border of a box to its words.
    pub pad_x: i32,
    /// From the upper border of a box to its words.
    pub pad_y: i32,
    /// The same for what is only one line: `undo: nothing`.
    pub chip_pad_y: i32,
    /// From the upper border of a box to where ways come in and go out.
    pub anchor: i32,
    /// Between two boxes of a row: room for an arrow.
    pub gap: i32,
    /// Between the boxes of a row and their undos.
    pub undo_gap: i32,
    /// Between what stands above each other.
    pub lane_gap: i32,
    /// Height of the words above a lane.
    pub caption: i32,
    /// From the upright line that leads into lanes to their first boxes: room for an arrow.
    pub lead: i32,
    /// Between two upright lines.
    pub channel: i32,
    /// From the last box of a row to the line that turns to the next row.
    pub turn: i32,
    /// Between two level lines from row to row.
    pub wire: i32,
    /// Between a row and the lines that turn to the next row.
    pub gutter: i32,
    /// Side of a dot.
    pub dot: i32,
    /// From a frame's left and right border to what is in it.
    pub frame_x: i32,
    /// From a frame's upper and lower border to what is in it.
    pub frame_y: i32,
    /// Around everything.
    pub margin: i32,
    /// No box is narrower.
    pub box_min: i32,
    /// A row that would be wider goes on in the next one, where it can.
    pub width_max: i32,
    /// Longer lines in a box are broken, then cut.
    pub line_chars_max: usize,
    /// Longer words above a lane are cut.
    pub caption_chars_max: usize,
}

impl Metrics {
    /// In characters of a terminal that is so many columns wide.
    pub fn characters(width_max: i32) -> Self {
        Self {
            text_width: |text, _| columns(text),
            line: 1,
            pad_x: 2,
            pad_y: 1,
            chip_pad_y: 0,
            anchor: 1,
            gap: 3,
            undo_gap: 1,
            lane_gap: 1,
            caption: 1,
            lead: 3,
            channel: 2,
            turn: 1,
            wire: 1,
            gutter: 0,
            dot: 1,
            frame_x: 2,
            frame_y: 1,
            margin: 0,
            box_min: 12,
            width_max,
            line_chars_max: 26,
            caption_chars_max: 64,
        }
    }

    /// In pixels.
    pub fn pixels() -> Self {
        Self {
            text_width: pixels_wide,
            line: 17,
            pad_x: 14,
            pad_y: 11,
            chip_pad_y: 4,
            anchor: 22,
            gap: 38,
            undo_gap: 26,
            lane_gap: 20,
            caption: 24,
            lead: 28,
            channel: 16,
            turn: 18,
            wire: 14,
            gutter: 18,
            dot: 8,
            frame_x: 18,
            frame_y: 18,
            margin: 28,
            box_min: 110,
            width_max: 1_360,
            line_chars_max: 30,
            caption_chars_max: 96,
        }
    }
}

/// How many columns of a terminal a text takes.
pub(super) fn columns(text: &str) -> i32 {
    text.chars().map(columns_of).sum()
}

/// Scripts whose characters fill two columns.
pub(super) fn columns_of(c: char) -> i32 {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

/// The size of the letters of a line, in pixels.
pub(super) fn letter_size(role: LineRole) -> i32 {
    match role {
        LineRole::Title => 13,
        LineRole::Does
        | LineRole::Condition
        | LineRole::Limit
        | LineRole::Reaction
        | LineRole::State => 11,
    }
}

/// All lines are set in a typewriter face: there alone is the width known whatever the reader's fonts are. It is 0.6 of
/// the size in nearly all of them; a little more is taken, for the few that are wider.
fn pixels_wide(text: &str, role: LineRole) -> i32 {
    columns(text) * letter_size(role) * 61 / 100 + 1
}
