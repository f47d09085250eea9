//! What leaves a saga, in words.

use backstitch_saga::core::{Answer, Body, Change, Command, Direction, Entry, Note, NoteBody};

/// What left, as it is told: `a` for a command, `-a` for its undo, with the number of the attempt
/// where it is not the first.
pub(super) fn told(command: &Command) -> (String, String) {
    let sign = match command.direction {
        Direction::Do => "",
        Direction::Undo => "-",
    };
    let attempt = match command.attempt {
        1 => String::new(),
        n => format!("*{n}"),
    };
    let mark = format!("{}/{}", command.key, command.attempt);
    (mark, format!("{sign}{}{attempt}", command.occurrence))
}

/// `+a` for a child, `-a` for its undo, `?a` for a wait, `!a` for one that is over; `^…` for what a
/// parent is told.
pub(super) fn told_note(note: &Note) -> (String, String) {
    let words = match &note.body {
        NoteBody::Start { start, .. } => {
            format!("+{}", start.parent.as_ref().unwrap().occurrence)
        }
        NoteBody::Undo(undo) => format!("-{}", undo.parent.occurrence),
        NoteBody::Want(want) if want.cancel => format!("!{}", want.occurrence),
        NoteBody::Want(want) => format!("?{}", want.occurrence),
        NoteBody::Reply(reply) => match &reply.answer {
            Answer::Done(_) => "^done".to_owned(),
            Answer::Failed { code, .. } => format!("^failed:{code}"),
            Answer::Refused { code, .. } => format!("^refused:{code}"),
            Answer::Heartbeat => unreachable!("children have no heartbeat"),
        },
        NoteBody::Event(_) => "event".to_owned(),
    };
    (String::new(), words)
}

/// In the order in which the journal has them: commands and notes leave side by side.
pub(super) fn in_order(journal: &[Entry], words: Vec<(String, String)>) -> Vec<String> {
    let latest = journal.last().unwrap();
    if words.len() < 2 {
        return words.into_iter().map(|(_, words)| words).collect();
    }
    let body = Entry::read_body(&latest.body).unwrap();
    let (mut commands, mut notes): (Vec<_>, Vec<_>) =
        words.into_iter().partition(|(mark, _)| !mark.is_empty());
    commands.reverse();
    notes.reverse();
    let mut told = Vec::new();
    for change in &body.changes {
        let one = Body {
            cause: body.cause.clone(),
            changes: vec![change.clone()],
        };
        if matches!(change, Change::Requested(_)) {
            told.push(commands.pop().unwrap().1);
        } else if !Entry::notes("", 0, &one).is_empty() {
            told.push(notes.pop().unwrap().1);
        }
    }
    told
}
