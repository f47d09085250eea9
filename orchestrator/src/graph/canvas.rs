//! A sheet of characters.

use super::metrics::columns_of;

/// The four ways in which a line leaves a character.
pub(super) const UP: u8 = 1;
pub(super) const DOWN: u8 = 2;
pub(super) const LEFT: u8 = 4;
pub(super) const RIGHT: u8 = 8;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pen {
    /// A way forward, the border of a box.
    Light,
    /// The pivot.
    Heavy,
    /// What goes back.
    Dashed,
    /// What is taken instead.
    Dotted,
    /// Around what belongs together.
    Frame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Blank,
    /// The right half of a wide character.
    Covered,
    Line(Pen, u8),
    Is(char),
}

/// A sheet of characters; what lies outside is not drawn.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    pub(super) fn new(width: i32, height: i32) -> Self {
        let side = |n: i32| usize::try_from(n).unwrap_or(0);
        Self {
            width: side(width),
            cells: vec![Cell::Blank; side(width) * side(height)],
        }
    }

    fn cell(&mut self, x: i32, y: i32) -> Option<&mut Cell> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        if x >= self.width {
            return None;
        }
        self.cells.get_mut(y * self.width + x)
    }

    /// A piece of a line: joins with lines of the same pen, lies over others.
    pub(super) fn line(&mut self, x: i32, y: i32, pen: Pen, ways: u8) {
        if let Some(cell) = self.cell(x, y) {
            *cell = match *cell {
                Cell::Line(there, others) if there == pen => Cell::Line(pen, others | ways),
                Cell::Blank | Cell::Covered | Cell::Line(..) | Cell::Is(_) => Cell::Line(pen, ways),
            };
        }
    }

    /// Lets a line that is there, whatever its pen, go these ways too.
    pub(super) fn join(&mut self, x: i32, y: i32, ways: u8) {
        if let Some(Cell::Line(_, there)) = self.cell(x, y) {
            *there |= ways;
        }
    }

    /// A character.
    pub(super) fn put(&mut self, x: i32, y: i32, c: char) {
        if let Some(cell) = self.cell(x, y) {
            *cell = Cell::Is(c);
        }
    }

    /// Words, from left to right.
    pub(super) fn write(&mut self, x: i32, y: i32, words: &str) {
        let mut at = x;
        for c in words.chars() {
            self.put(at, y, c);
            let columns = columns_of(c);
            if let Some(cell) = self.cell(at + 1, y).filter(|_| columns == 2) {
                *cell = Cell::Covered;
            }
            at += columns;
        }
    }

    /// Blanks.
    pub(super) fn wipe(&mut self, x: i32, y: i32, w: i32, h: i32) {
        for y in y..y + h {
            for x in x..x + w {
                if let Some(cell) = self.cell(x, y) {
                    *cell = Cell::Blank;
                }
            }
        }
    }

    /// The lines of the sheet, without blanks at their ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let rows = self.cells.chunks(self.width.max(1));
        rows.map(|row| {
            let line: String = row.iter().filter_map(|cell| glyph(*cell)).collect();
            line.trim_end().to_owned()
        })
        .collect()
    }
}

fn glyph(cell: Cell) -> Option<char> {
    match cell {
        Cell::Blank => Some(' '),
        Cell::Covered => None,
        Cell::Is(c) => Some(c),
        Cell::Line(pen, ways) => Some(line_glyph(pen, ways)),
    }
}

fn line_glyph(pen: Pen, ways: u8) -> char {
    const ACROSS: u8 = LEFT | RIGHT;
    const UPRIGHT: u8 = UP | DOWN;
    let of_pen = |light, heavy, dashed, dotted| match pen {
        Pen::Light => light,
        Pen::Heavy => heavy,
        Pen::Dashed => dashed,
        Pen::Dotted | Pen::Frame => dotted,
    };
    let corner = |light, heavy| of_pen(light, heavy, light, light);
    const DOWN_RIGHT: u8 = DOWN | RIGHT;
    const DOWN_LEFT: u8 = DOWN | LEFT;
    const UP_RIGHT: u8 = UP | RIGHT;
    const UP_LEFT: u8 = UP | LEFT;
    const ALL_BUT_LEFT: u8 = UPRIGHT | RIGHT;
    const ALL_BUT_RIGHT: u8 = UPRIGHT | LEFT;
    const ALL_BUT_UP: u8 = ACROSS | DOWN;
    const ALL_BUT_DOWN: u8 = ACROSS | UP;
    match ways {
        0 => ' ',
        LEFT | RIGHT | ACROSS => of_pen('─', '━', '╌', '┄'),
        UP | DOWN | UPRIGHT => of_pen('│', '┃', '╎', '┆'),
        DOWN_RIGHT => of_pen('┌', '┏', '┌', '╭'),
        DOWN_LEFT => of_pen('┐', '┓', '┐', '╮'),
        UP_RIGHT => of_pen('└', '┗', '└', '╰'),
        UP_LEFT => of_pen('┘', '┛', '┘', '╯'),
        ALL_BUT_LEFT => corner('├', '┣'),
        ALL_BUT_RIGHT => corner('┤', '┫'),
        ALL_BUT_UP => corner('┬', '┳'),
        ALL_BUT_DOWN => corner('┴', '┻'),
        _ => corner('┼', '╋'),
    }
}

/// The nearest to a character that an old terminal has.
pub(super) fn plain(c: char) -> char {
    match c {
        '─' => '-',
        '━' => '=',
        '╌' | '┄' => '.',
        '│' => '|',
        '┃' => '#',
        '╎' | '┆' => ':',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
        '╭' | '╮' | '╰' | '╯' => '.',
        '┏' | '┓' | '┗' | '┛' | '┣' | '┫' | '┳' | '┻' | '╋' => '#',
        '▶' => '>',
        '◀' => '<',
        '▼' => 'v',
        '▲' => '^',
        '●' => 'o',
        '○' => 'o',
        '…' => '~',
        '«' | '»' => '"',
        c if c.is_ascii() => c,
        _ => '?',
    }
}
