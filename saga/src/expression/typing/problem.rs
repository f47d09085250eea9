//! What is wrong with the types of an expression, and where.

/// Something in an expression that cannot be right, or may fail when it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeProblem {
    /// Which rule it breaks.
    pub rule: Rule,
    /// Where, in characters from the start of the expression's text.
    pub offset: usize,
    /// How many characters of it; at least 1.
    pub len: usize,
    /// What is wrong, in a sentence without its full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// The rules for the types of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A field is read that the schema does not have.
    UnknownField,
    /// An operator or a function is given what it is not defined for.
    Operands,
    /// A field or an element is read of something that has none.
    NoParts,
    /// What may be null is used as if it could not be. A warning.
    MayBeNull,
    /// A comparison whose answer is always the same. A warning.
    SameAnswer,
}

impl Rule {
    /// Whether evaluation may go well all the same.
    pub fn is_warning(self) -> bool {
        match self {
            Self::UnknownField | Self::Operands | Self::NoParts => false,
            Self::MayBeNull | Self::SameAnswer => true,
        }
    }
}
