//! Decides, from what is remembered, what a command comes to (W-1). Pure.

use backstitch_schemas::Direction;

use crate::memory::Entry;

/// The code of a refusal: an undo came first, so the late *do* must not run.
pub(crate) const UNDONE_BEFORE_DONE: &str = "undone_before_done";

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Run the handler. `bar` says what the memory must hold under the key of the do from now on, if anything changes there.
    Run { bar: Option<Entry> },
    /// Repeat the answer that is remembered under its key.
    Repeat,
    /// The do was undone before it came.
    TooLate,
    /// An undo of what was never done: *done*, without asking the handler.
    NothingToUndo { bar: Option<Entry> },
}

/// What is known about the do of an undo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoneKnown<'a> {
    /// Its entry.
    pub(crate) entry: Option<&'a Entry>,
    /// Whether the sender knows an output of it, so that it was done whatever the memory holds.
    pub(crate) output_known: bool,
}

/// Decides what a command comes to. `own` is the entry under its key, `done` what is known about the do that it undoes
/// (`None` for a do, and for an undo that names no do).
pub(crate) fn decide(
    direction: Direction,
    own: Option<&Entry>,
    done: Option<DoneKnown<'_>>,
) -> Verdict {
    match own {
        Some(Entry::Done { .. } | Entry::Refused { .. }) => Verdict::Repeat,
        Some(Entry::Barred { .. }) => Verdict::TooLate,
        None | Some(Entry::Begun) => match (direction, done) {
            (Direction::Undo, Some(done)) => undo(done),
            (Direction::Do, _) | (Direction::Undo, None) => Verdict::Run { bar: None },
        },
    }
}

fn undo(done: DoneKnown<'_>) -> Verdict {
    match done.entry {
        Some(Entry::Done { .. } | Entry::Barred { may_have_run: true }) => {
            Verdict::Run { bar: None }
        }
        Some(
            Entry::Refused { .. }
            | Entry::Barred {
                may_have_run: false,
            },
        ) => Verdict::NothingToUndo { bar: None },
        // It may be running this moment, elsewhere: whatever comes of it, it must not begin again.
        Some(Entry::Begun) => Verdict::Run {
            bar: Some(Entry::Barred { may_have_run: true }),
        },
        // The memory may be younger than the do.
        None if done.output_known => Verdict::Run {
            bar: Some(Entry::Barred { may_have_run: true }),
        },
        None => Verdict::NothingToUndo {
            bar: Some(Entry::Barred {
                may_have_run: false,
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Entry = Entry::Done { output: Vec::new() };
    const REFUSED: Entry = Entry::Refused {
        code: String::new(),
        reason: String::new(),
    };
    const NEVER: Entry = Entry::Barred {
        may_have_run: false,
    };
    const DOUBTFUL: Entry = Entry::Barred { may_have_run: true };

    fn undo_after(entry: Option<&Entry>, output_known: bool) -> Verdict {
        decide(
            Direction::Undo,
            None,
            Some(DoneKnown {
                entry,
                output_known,
            }),
        )
    }

    #[test]
    fn a_do_runs_once_and_its_answer_is_repeated() {
        assert_eq!(
            decide(Direction::Do, None, None),
            Verdict::Run { bar: None }
        );
        assert_eq!(decide(Direction::Do, Some(&DONE), None), Verdict::Repeat);
        assert_eq!(decide(Direction::Do, Some(&REFUSED), None), Verdict::Repeat);
    }

    #[test]
    fn a_do_that_was_begun_and_not_answered_runs_again() {
        assert_eq!(
            decide(Direction::Do, Some(&Entry::Begun), None),
            Verdict::Run { bar: None }
        );
    }

    #[test]
    fn a_do_that_comes_after_its_undo_is_too_late() {
        assert_eq!(decide(Direction::Do, Some(&NEVER), None), Verdict::TooLate);
        assert_eq!(
            decide(Direction::Do, Some(&DOUBTFUL), None),
            Verdict::TooLate
        );
    }

    #[test]
    fn an_undo_runs_if_its_do_was_done_or_may_have_been() {
        assert_eq!(undo_after(Some(&DONE), false), Verdict::Run { bar: None });
        assert_eq!(
            undo_after(Some(&Entry::Begun), false),
            Verdict::Run {
                bar: Some(DOUBTFUL)
            }
        );
        assert_eq!(
            undo_after(Some(&DOUBTFUL), false),
            Verdict::Run { bar: None }
        );
        assert_eq!(
            undo_after(None, true),
            Verdict::Run {
                bar: Some(DOUBTFUL)
            }
        );
    }

    #[test]
    fn an_undo_of_what_never_was_has_nothing_to_undo_and_bars_the_do() {
        assert_eq!(
            undo_after(None, false),
            Verdict::NothingToUndo { bar: Some(NEVER) }
        );
        assert_eq!(
            undo_after(Some(&NEVER), false),
            Verdict::NothingToUndo { bar: None }
        );
        assert_eq!(
            undo_after(Some(&REFUSED), false),
            Verdict::NothingToUndo { bar: None }
        );
    }

    #[test]
    fn an_undo_is_answered_once_too() {
        let done = Some(DoneKnown {
            entry: Some(&DONE),
            output_known: true,
        });
        assert_eq!(decide(Direction::Undo, Some(&DONE), done), Verdict::Repeat);
        assert_eq!(
            decide(Direction::Undo, Some(&Entry::Begun), done),
            Verdict::Run { bar: None }
        );
    }
}
