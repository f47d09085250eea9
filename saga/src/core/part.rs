//! The tree of running parts, in the shape of the definition.

use serde::{Deserialize, Serialize};

use super::ledger::Failure;
use super::mailbox::Mailbox;
use crate::definition::{ON_FAILURE, ON_REFUSED, ON_TIMEOUT};
use crate::payload::Payload;

/// Where a part stands: the position of a step in its sequence, then of a sequence in that step,
/// and so on in turn; all from 0. The sequences of a step are its branches, its cases, its items or
/// its rounds; those of `on_failure` and the like have the positions [`ON_FAILURE`] and so on.
pub type Place = Vec<u16>;

/// One part of a running saga.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Steps one after another.
    Sequence {
        /// What lies behind, oldest first.
        behind: Vec<Part>,
        /// What runs now.
        running: Option<Box<Part>>,
    },
    /// A step that asks someone: its line in the ledger.
    #[serde(alias = "do")]
    Line(usize),
    /// A step that leaves nothing to undo: its condition did not hold, or it only set variables.
    Skipped,
    /// Branches side by side.
    Parallel(Vec<Part>),
    /// The case that was chosen.
    Choose {
        /// Its position.
        case: u16,
        /// Its steps.
        steps: Box<Part>,
    },
    /// The items of a list.
    Each {
        /// The step's id.
        id: String,
        /// The list.
        items: Payload,
        /// What the items gave: a list, once all are done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collected: Option<Payload>,
        /// The items that have begun, in order.
        parts: Vec<Part>,
    },
    /// The rounds of a repetition, oldest first.
    Repeat(Vec<Part>),
    /// It failed, and is undone by itself while the saga goes forward.
    Reversing {
        /// What is undone.
        part: Box<Part>,
        /// Why.
        caught: Caught,
    },
    /// It failed, and the steps of `on_failure` are taken.
    Recovering {
        /// What failed; nothing of it is left to undo.
        failed: Box<Part>,
        /// Why.
        caught: Caught,
        /// [`ON_FAILURE`], [`ON_TIMEOUT`] or [`ON_REFUSED`].
        block: u16,
        /// The steps that are taken.
        steps: Box<Part>,
    },
    /// Not a saga at all, but events that wait for one.
    Mailbox(Box<Mailbox>),
}

/// A failure on its way up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    /// The step that failed.
    pub step: String,
    /// Which occurrence of it.
    pub occurrence: String,
    /// How it ended.
    pub failure: Failure,
}

impl Part {
    /// A sequence of which nothing has run.
    pub fn sequence() -> Self {
        Self::Sequence {
            behind: Vec::new(),
            running: None,
        }
    }

    /// The part at a place, if it has been entered.
    pub fn at(&self, place: &[u16]) -> Option<&Self> {
        let Some((first, rest)) = place.split_first() else {
            return Some(self);
        };
        let n = usize::from(*first);
        match self {
            Self::Sequence { behind, running } => {
                let child = match n.cmp(&behind.len()) {
                    std::cmp::Ordering::Less => behind.get(n),
                    std::cmp::Ordering::Equal => running.as_deref(),
                    std::cmp::Ordering::Greater => None,
                };
                child?.at(rest)
            }
            Self::Parallel(parts) | Self::Repeat(parts) | Self::Each { parts, .. } => {
                parts.get(n)?.at(rest)
            }
            Self::Choose { case, steps } if case == first => steps.at(rest),
            Self::Reversing { part, .. } => part.at(place),
            Self::Recovering { block, steps, .. } if block == first => steps.at(rest),
            Self::Recovering { failed, .. } => failed.at(place),
            Self::Choose { .. } | Self::Line(_) | Self::Skipped | Self::Mailbox(_) => None,
        }
    }

    /// As [`Part::at`], to be changed. Only `apply` does so.
    pub(super) fn at_mut(&mut self, place: &[u16]) -> Option<&mut Self> {
        let Some((first, rest)) = place.split_first() else {
            return Some(self);
        };
        let n = usize::from(*first);
        match self {
            Self::Sequence { behind, running } => {
                let child = match n.cmp(&behind.len()) {
                    std::cmp::Ordering::Less => behind.get_mut(n),
                    std::cmp::Ordering::Equal => running.as_deref_mut(),
                    std::cmp::Ordering::Greater => None,
                };
                child?.at_mut(rest)
            }
            Self::Parallel(parts) | Self::Repeat(parts) | Self::Each { parts, .. } => {
                parts.get_mut(n)?.at_mut(rest)
            }
            Self::Choose { case, steps } if case == first => steps.at_mut(rest),
            Self::Reversing { part, .. } => part.at_mut(place),
            Self::Recovering { block, steps, .. } if block == first => steps.at_mut(rest),
            Self::Recovering { failed, .. } => failed.at_mut(place),
            Self::Choose { .. } | Self::Line(_) | Self::Skipped | Self::Mailbox(_) => None,
        }
    }

    /// Whether of two sequences inside this step the one with the higher position runs later. Those
    /// of which this is not so run side by side, or never both.
    pub(crate) fn runs_in_order(&self) -> bool {
        match self {
            Self::Repeat(_) => true,
            Self::Reversing { part, .. } | Self::Recovering { failed: part, .. } => {
                part.runs_in_order()
            }
            Self::Sequence { .. }
            | Self::Line(_)
            | Self::Skipped
            | Self::Parallel(_)
            | Self::Choose { .. }
            | Self::Each { .. }
            | Self::Mailbox(_) => false,
        }
    }
}

/// Whether a position in a place is that of the steps of `on_failure` and the like.
pub(crate) fn is_reaction(position: u16) -> bool {
    matches!(position, ON_FAILURE | ON_TIMEOUT | ON_REFUSED)
}
