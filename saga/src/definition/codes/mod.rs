//! What each code of a diagnostic means.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `text.rs` | codes about the text and its shape |
//! | `paths.rs` | codes about what a definition means |
//! | `parts.rs` | codes about what a definition means |
//! | `types.rs` | codes about types, schemas and versions |

mod parts;
mod paths;
mod text;
mod types;

use std::fmt;

/// One rule of the language, with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// E.g. `BS0207`.
    pub code: &'static str,
    /// The rule, in a few words: what is wrong.
    pub title: &'static str,
    /// Why there is such a rule and what to do, in a few sentences.
    pub text: &'static str,
    /// A definition that is told of by this code. What follows a line `# file: NAME` is another
    /// file: a schema, a definition that is checked together with it, or (`older.yaml`) the version
    /// before it.
    pub wrong: &'static str,
    /// The same, put right: nothing is said of it.
    pub right: &'static str,
}

/// What a code means, if there is such a code.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(code))
}

/// Every code, in order. 01 is about the text and its shape, 02 about what it means, 03 about types.
pub const CODES: &[Code] = &ALL;

const PARTS: [&[Code]; 4] = [&text::TEXT, &paths::PATHS, &parts::PARTS, &types::TYPES];

const ALL: [Code; text::TEXT.len() + paths::PATHS.len() + parts::PARTS.len() + types::TYPES.len()] = {
    let mut all = [text::TEXT[0];
        text::TEXT.len() + paths::PATHS.len() + parts::PARTS.len() + types::TYPES.len()];
    let (mut part, mut n) = (0, 0);
    while part < PARTS.len() {
        let mut of = 0;
        while of < PARTS[part].len() {
            all[n] = PARTS[part][of];
            n += 1;
            of += 1;
        }
        part += 1;
    }
    all
};

/// The page of the code.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: usize = 100;
        writeln!(f, "{}: {}\n", self.code, self.title)?;
        let mut column = 0;
        for word in self.text.split_whitespace() {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > WIDTH {
                writeln!(f)?;
                column = 0;
            }
            if column > 0 {
                f.write_str(" ")?;
                column += 1;
            }
            f.write_str(word)?;
            column += len;
        }
        for (what, example) in [("Wrong", self.wrong), ("Right", self.right)] {
            write!(f, "\n\n{what}:\n")?;
            for line in example.trim_end().lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}
