//! What is refused before the parser sees it: the parser uses the thread's stack.

use super::error::ExpressionError;
use super::limits::{NESTING_MAX, OPERATOR_CHARS_MAX, SOURCE_CHARS_MAX};

/// Refuses a text that is too long or nested too deeply to be parsed in safety.
pub(super) fn guard(source: &str) -> Result<(), ExpressionError> {
    if source.is_empty() {
        return Err(ExpressionError::new("the expression is empty"));
    }
    let len = source.chars().count();
    if len > SOURCE_CHARS_MAX {
        return Err(ExpressionError::new(format!(
            "the expression has {len} characters, and at most {SOURCE_CHARS_MAX} are allowed"
        )));
    }
    let mut open = 0_usize;
    let mut operators = 0_usize;
    let mut scan = Scan::new(source);
    while let Some((offset, c)) = scan.next_outside_strings() {
        match c {
            '(' | '[' | '{' => {
                open += 1;
                if open > NESTING_MAX {
                    return Err(ExpressionError::at(
                        format!("more than {NESTING_MAX} brackets are open here"),
                        offset,
                    ));
                }
            }
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '.' | '+' | '-' | '*' | '/' | '%' | '!' | '<' | '>' | '=' | '&' | '|' | '?' => {
                operators += 1;
                if operators > OPERATOR_CHARS_MAX {
                    return Err(ExpressionError::at(
                        format!(
                            "the expression has more than {OPERATOR_CHARS_MAX} characters of operators"
                        ),
                        offset,
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

struct Scan<'s> {
    chars: std::iter::Peekable<std::iter::Enumerate<std::str::Chars<'s>>>,
    previous: char,
}

impl<'s> Scan<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            chars: source.chars().enumerate().peekable(),
            previous: ' ',
        }
    }

    /// The next character that is not part of a string. Where strings are not closed it may take
    /// too much for a string: the parser refuses those.
    fn next_outside_strings(&mut self) -> Option<(usize, char)> {
        loop {
            let (offset, c) = self.chars.next()?;
            if c != '"' && c != '\'' {
                self.previous = c;
                return Some((offset, c));
            }
            let raw = matches!(self.previous, 'r' | 'R');
            self.previous = c;
            self.skip_string(c, raw);
        }
    }

    fn skip_string(&mut self, quote: char, raw: bool) {
        let mut quotes = 1;
        while quotes < 3 && self.chars.next_if(|(_, c)| *c == quote).is_some() {
            quotes += 1;
        }
        // Two quotes are an empty string; three open a long one, which three close.
        if quotes == 2 {
            return;
        }
        let mut closing = 0;
        while let Some((_, c)) = self.chars.next() {
            if c == '\\' && !raw {
                closing = 0;
                self.chars.next();
            } else if c == quote {
                closing += 1;
                if closing == quotes {
                    return;
                }
            } else {
                closing = 0;
                // A short string ends with its line; the parser refuses it.
                if quotes == 1 && c == '\n' {
                    return;
                }
            }
        }
    }
}
