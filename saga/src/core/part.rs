//! The tree of running parts. A sequence is one shape of it.

use serde::{Deserialize, Serialize};

/// Where a part stands: at each level, the position of the child, from 0.
pub type Place = Vec<u16>;

/// One part of a running saga, in the shape of the definition.
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
    /// A step that asks a worker: its line in the ledger.
    Do(usize),
    /// A step whose condition did not hold.
    Skipped,
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
        match self {
            Self::Sequence { behind, running } => {
                let first = usize::from(*first);
                let child = match first.cmp(&behind.len()) {
                    std::cmp::Ordering::Less => behind.get(first),
                    std::cmp::Ordering::Equal => running.as_deref(),
                    std::cmp::Ordering::Greater => None,
                };
                child.and_then(|child| child.at(rest))
            }
            Self::Do(_) | Self::Skipped => None,
        }
    }

    /// As [`Part::at`], to be changed. Only `apply` does so.
    pub(super) fn at_mut(&mut self, place: &[u16]) -> Option<&mut Self> {
        let Some((first, rest)) = place.split_first() else {
            return Some(self);
        };
        match self {
            Self::Sequence { behind, running } => {
                let first = usize::from(*first);
                let child = match first.cmp(&behind.len()) {
                    std::cmp::Ordering::Less => behind.get_mut(first),
                    std::cmp::Ordering::Equal => running.as_deref_mut(),
                    std::cmp::Ordering::Greater => None,
                };
                child.and_then(|child| child.at_mut(rest))
            }
            Self::Do(_) | Self::Skipped => None,
        }
    }
}
