//! What goes otherwise than it should in a run: by mark, and by commit.
//!
//! A *mark* names something that was asked: `charge_payment`, `charge_payment.undo`, `sku[2]`; of a
//! child saga, `ship-parcel/print_label`. It is what a test file and a case on the command line
//! name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// One thing that goes otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The worker refuses, the person says no.
    Refused,
    /// The first attempt fails.
    FailedOnce,
    /// Each attempt fails.
    Failed,
    /// No worker takes it, and nothing happens.
    Silent,
    /// It happens, and no answer ever comes.
    Lost,
    /// It happens, and the worker dies before it answers; another one takes the command again.
    Crash,
    /// The answer, the event or the decision comes twice.
    Twice,
    /// The answer, the event or the decision comes after its time.
    Late,
    /// The answer comes after the undo.
    AfterUndo,
    /// A person cancels the saga when this has been asked.
    Cancel,
    /// Everything stands still from when this has been asked until the saga's time is up.
    Deadline,
    /// The event or the decision never comes.
    Never,
    /// The event comes before anyone waits for it.
    Early,
    /// Intake dies before it has noted how far it is, and reads the record again.
    ReadAgain,
    /// The orchestrator dies before this commit is carried out.
    CrashBefore,
    /// The orchestrator dies when this commit is carried out, before anything of it has left.
    CrashAfter,
    /// This commit is carried out, and the answer of the store is lost.
    InDoubt,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Refused,
        Self::FailedOnce,
        Self::Failed,
        Self::Silent,
        Self::Lost,
        Self::Crash,
        Self::Twice,
        Self::Late,
        Self::AfterUndo,
        Self::Cancel,
        Self::Deadline,
        Self::Never,
        Self::Early,
        Self::ReadAgain,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::InDoubt,
    ];

    /// As it stands in the name of a case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::FailedOnce => "failed_once",
            Self::Failed => "failed",
            Self::Silent => "silent",
            Self::Lost => "lost",
            Self::Crash => "worker_crash",
            Self::Twice => "twice",
            Self::Late => "late",
            Self::AfterUndo => "after_undo",
            Self::Cancel => "cancel",
            Self::Deadline => "deadline",
            Self::Never => "never",
            Self::Early => "early",
            Self::ReadAgain => "read_again",
            Self::CrashBefore => "crash_before",
            Self::CrashAfter => "crash_after",
            Self::InDoubt => "in_doubt",
        }
    }

    /// What may happen to what was asked in this way; a deadline beside it, where there is one.
    pub fn of(kind: AskedKind, is_limited: bool) -> &'static [Self] {
        match (kind, is_limited) {
            (AskedKind::Do, _) => &[
                Self::Refused,
                Self::FailedOnce,
                Self::Failed,
                Self::Silent,
                Self::Lost,
                Self::Crash,
                Self::Twice,
                Self::Late,
                Self::AfterUndo,
                Self::Cancel,
            ],
            (AskedKind::Undo, _) => &[
                Self::Refused,
                Self::FailedOnce,
                Self::Failed,
                Self::Silent,
                Self::Lost,
                Self::Crash,
                Self::Twice,
                Self::Late,
            ],
            (AskedKind::Wait, true) => &[
                Self::Never,
                Self::Early,
                Self::Late,
                Self::Twice,
                Self::ReadAgain,
                Self::Cancel,
            ],
            (AskedKind::Wait, false) => &[
                Self::Never,
                Self::Early,
                Self::Twice,
                Self::ReadAgain,
                Self::Cancel,
            ],
            (AskedKind::Approve, true) => &[
                Self::Refused,
                Self::Never,
                Self::Late,
                Self::Twice,
                Self::Cancel,
            ],
            (AskedKind::Approve, false) => &[Self::Refused, Self::Never, Self::Twice, Self::Cancel],
            (AskedKind::Sleep | AskedKind::Run, _) => &[Self::Cancel],
            (AskedKind::Start, _) => &[Self::Twice, Self::ReadAgain],
            (AskedKind::Commit, _) => &[Self::CrashBefore, Self::CrashAfter, Self::InDoubt],
        }
    }
}

/// What kind of thing a mark names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AskedKind {
    /// The world, for the event that starts the saga.
    Start,
    /// Workers, to do something.
    Do,
    /// Workers, to undo it.
    Undo,
    /// The world, for an event.
    Wait,
    /// A person.
    Approve,
    /// The clock.
    Sleep,
    /// Another saga.
    Run,
    /// The store, to commit.
    Commit,
}

/// One run: a path, and what goes otherwise on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// Which path, from 0: its values decide which branches are taken.
    pub path: usize,
    /// What goes otherwise, by mark.
    pub faults: Vec<(String, Fault)>,
}

impl Case {
    /// A path on which nothing goes otherwise.
    pub(super) fn plain(path: usize) -> Self {
        Self {
            path,
            faults: Vec::new(),
        }
    }

    /// The same, and this too.
    pub fn with(&self, mark: &str, fault: Fault) -> Self {
        let mut faults = self.faults.clone();
        faults.push((mark.to_owned(), fault));
        Self {
            path: self.path,
            faults,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.path)?;
        for (mark, fault) in &self.faults {
            write!(f, "+{mark}:{}", fault.name())?;
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('+');
        let path = parts.next().and_then(|path| path.strip_prefix('p'));
        let Some(path) = path.and_then(|path| path.parse().ok()) else {
            return Err(format!(
                "`{text}` is no case: one is written as `p0+charge_payment:refused`"
            ));
        };
        let mut case = Self::plain(path);
        for part in parts {
            let named = part.rsplit_once(':');
            let found = named.and_then(|(mark, word)| {
                let mut all = Fault::ALL.into_iter();
                Some((mark, all.find(|fault| fault.name() == word)?))
            });
            let Some((mark, fault)) = found else {
                let words: Vec<&str> = Fault::ALL.into_iter().map(Fault::name).collect();
                return Err(format!(
                    "`{part}` is not MARK:FAULT; the faults are {}",
                    words.join(", ")
                ));
            };
            case = case.with(mark, fault);
        }
        Ok(case)
    }
}

/// How workers answer what has one mark.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answering {
    /// They do it; with this output, or one that is made up.
    Done(Option<Value>),
    /// They refuse.
    Refused {
        /// Machine-readable.
        code: String,
    },
    /// They fail so often, then do it; `None`: each time.
    Failed {
        /// Machine-readable.
        code: String,
        /// How often.
        times: Option<u32>,
    },
    /// They say nothing; `effect`: it happens all the same.
    Unanswered {
        /// Whether it happens.
        effect: bool,
    },
    /// It happens, the worker dies, and the command is taken again.
    Crash,
    /// They answer twice.
    Twice,
    /// The first answer takes so long; `None`: a little more than its time.
    Late(Option<u64>),
    /// The answer comes after that to the undo.
    AfterUndo,
}

/// When the event of a `wait` comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    /// As soon as someone waits.
    InTime,
    /// Before the saga begins.
    Early,
    /// When its time is up.
    Late,
    /// Not at all.
    Never,
    /// As soon as someone waits, and another one after it.
    Twice,
    /// As soon as someone waits, and intake reads it twice.
    ReadAgain,
    /// So many milliseconds after someone waits.
    After(u64),
}

/// An event of a test, or one that is made up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// When it comes.
    pub coming: Coming,
    /// Fields of the record, laid over what is made up.
    pub with: Option<Value>,
}

/// A decision of a test, or one that is made up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deciding {
    /// When it comes; [`Coming::Early`] counts as in time.
    pub coming: Coming,
    /// Yes or no.
    pub approved: bool,
    /// Who.
    pub by: Option<String>,
    /// In which role; one that may decide, if it is not given.
    pub role: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Default for Deciding {
    fn default() -> Self {
        Self {
            coming: Coming::InTime,
            approved: true,
            by: None,
            role: None,
            reason: None,
        }
    }
}

/// All that is laid down for a run. What it does not mention goes well.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// How workers answer, by mark.
    pub answers: BTreeMap<String, Answering>,
    /// What workers answer once they have done it, by mark.
    pub outputs: BTreeMap<String, Value>,
    /// Events, by mark of the wait.
    pub events: BTreeMap<String, Event>,
    /// Decisions, by mark of the approval.
    pub decisions: BTreeMap<String, Deciding>,
    /// A person cancels when this is asked.
    pub cancels: BTreeSet<String>,
    /// The saga's time is up before anything comes of this.
    pub overdue: BTreeSet<String>,
    /// What happens to which commit, counted from 1.
    pub commits: BTreeMap<u64, Fault>,
}

impl Script {
    /// Lays down what a case says.
    pub(super) fn of(case: &Case) -> Self {
        let mut script = Self::default();
        for (mark, fault) in &case.faults {
            script.add(mark, *fault);
        }
        script
    }

    /// Lays one thing down.
    pub(super) fn add(&mut self, mark: &str, fault: Fault) {
        let answer = |answering| Some((mark.to_owned(), answering));
        let code = || MADE_UP.to_owned();
        let answer = match fault {
            Fault::Refused => {
                let approved = false;
                let no = Deciding {
                    approved,
                    ..Deciding::default()
                };
                self.decisions.insert(mark.to_owned(), no);
                answer(Answering::Refused { code: code() })
            }
            Fault::FailedOnce => answer(Answering::Failed {
                code: code(),
                times: Some(1),
            }),
            Fault::Failed => answer(Answering::Failed {
                code: code(),
                times: None,
            }),
            Fault::Silent => answer(Answering::Unanswered { effect: false }),
            Fault::Lost => answer(Answering::Unanswered { effect: true }),
            Fault::Crash => answer(Answering::Crash),
            Fault::Twice => {
                self.comes(mark, Coming::Twice);
                answer(Answering::Twice)
            }
            Fault::Late => {
                self.comes(mark, Coming::Late);
                answer(Answering::Late(None))
            }
            Fault::AfterUndo => answer(Answering::AfterUndo),
            Fault::Cancel => {
                self.cancels.insert(mark.to_owned());
                None
            }
            Fault::Deadline => {
                self.overdue.insert(mark.to_owned());
                None
            }
            Fault::ReadAgain => {
                self.comes(mark, Coming::ReadAgain);
                None
            }
            Fault::Never => {
                self.comes(mark, Coming::Never);
                None
            }
            Fault::Early => {
                self.comes(mark, Coming::Early);
                None
            }
            Fault::CrashBefore | Fault::CrashAfter | Fault::InDoubt => {
                if let Some(number) = mark.strip_prefix(COMMIT).and_then(|n| n.parse().ok()) {
                    self.commits.insert(number, fault);
                }
                None
            }
        };
        self.answers.extend(answer);
    }

    fn comes(&mut self, mark: &str, coming: Coming) {
        let event = Event { coming, with: None };
        self.events.insert(mark.to_owned(), event);
        let decision = Deciding {
            coming,
            ..Deciding::default()
        };
        self.decisions.insert(mark.to_owned(), decision);
    }
}

/// The code of a failure or refusal that is made up, where no contract has one.
pub(super) const MADE_UP: &str = "rehearsed";

/// The mark of the event that starts the saga.
pub(super) const START: &str = "start";

/// Begins the mark of a commit: `commit7`.
pub(super) const COMMIT: &str = "commit";

/// Looks a mark up: as it is, then without what tells occurrences of the step apart.
pub(super) fn find<'m, T>(map: &'m BTreeMap<String, T>, mark: &str) -> Option<&'m T> {
    if map.is_empty() {
        return None;
    }
    map.get(mark).or_else(|| map.get(&plain(mark)))
}

/// Whether a mark is among these: as [`find`] has it.
pub(super) fn is_in(marks: &BTreeSet<String>, mark: &str) -> bool {
    !marks.is_empty() && (marks.contains(mark) || marks.contains(&plain(mark)))
}

/// The mark of a step whatever its occurrence: `lines[2]#2.undo` is `lines.undo`.
pub(super) fn plain(mark: &str) -> String {
    let (rest, undo) = match mark.strip_suffix(".undo") {
        Some(rest) => (rest, ".undo"),
        None => (mark, ""),
    };
    let (saga, occurrence) = match rest.rsplit_once('/') {
        Some((saga, occurrence)) => (Some(saga), occurrence),
        None => (None, rest),
    };
    let id = step_of(occurrence);
    match saga {
        // `ship-parcel~2` is the second child of that name.
        Some(saga) => {
            let name = saga.split('~').next().unwrap_or(saga);
            format!("{name}/{id}{undo}")
        }
        None => format!("{id}{undo}"),
    }
}

/// The id of the step of an occurrence.
pub(super) fn step_of(occurrence: &str) -> &str {
    occurrence.split(['[', '#']).next().unwrap_or(occurrence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_case_is_read_as_it_is_written() {
        for text in [
            "p0",
            "p3+charge_payment:refused",
            "p1+ship-parcel~2/label[0].undo:failed_once+commit7:crash_before",
        ] {
            let case: Case = text.parse().unwrap();
            assert_eq!(case.to_string(), text);
        }
        for text in ["", "0", "p", "p0+charge", "p0+charge:sad"] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mark_without_its_numbers_is_that_of_the_step() {
        for (mark, of_step) in [
            ("charge", "charge"),
            ("line[2]#2", "line"),
            ("line[2][0].undo", "line.undo"),
            ("ship-parcel~2/label[0].undo", "ship-parcel/label.undo"),
        ] {
            assert_eq!(plain(mark), of_step);
        }
    }

    #[test]
    fn a_mark_is_found_by_its_occurrence_before_its_step() {
        let map = BTreeMap::from([("a".to_owned(), 1), ("a[1]".to_owned(), 2)]);
        assert_eq!(find(&map, "a[0]"), Some(&1));
        assert_eq!(find(&map, "a[1]"), Some(&2));
        assert_eq!(find(&map, "b"), None);
    }
}
