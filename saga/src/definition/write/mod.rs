//! From the structure to canonical YAML.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `structure.rs` | what is written, and what is left out because it is the default |
//! | `text.rs` | how lists, maps and texts are laid out |

mod structure;
mod text;

use super::model::Definition;

impl Definition {
    /// The definition as canonical YAML, however it came about: what is a default is left out, what
    /// came from `defaults` or a contract stands at each step. Reading it gives the same hash, given
    /// the same schemas.
    pub fn to_yaml(&self) -> String {
        text::laid_out(&structure::definition(self))
    }
}
