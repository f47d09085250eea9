//! Every reachable transition of definitions of four steps, one by one.
//!
//! From each state that can be reached, every message is tried: right and wrong, in time and late,
//! repeated, from the future, and everything that a person may ask. Two sagas that differ by their
//! number, hash, times and the count of attempts beyond the limit are the same state.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what fails here is a test that fails; and it says how much it has seen"
)]

mod core_support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backstitch_saga::core::{
    ActKind, Answer, Change, Course, Direction, Entry, Ignored, Message, Outcome, ParkedBy, Reply,
    Saga, Status, Transition,
};
use backstitch_saga::definition::Definition;
use backstitch_saga::invariant;
use core_support::shapes::{START_MS, shapes, start};
use core_support::world::{act, due_times, failed, is_far_out, refused, standing};

/// How many of everything.
#[derive(Debug, Default)]
struct Census {
    states: usize,
    advanced: usize,
    ignored: BTreeMap<&'static str, usize>,
    changes: BTreeSet<String>,
    ended: BTreeMap<&'static str, usize>,
    /// Not gone on from, as a step was opened anew so often that nothing new can come.
    cut: usize,
}

/// A message, when it comes, and whether it must be ignored whatever the state.
struct Tried {
    message: Message,
    at_ms: i64,
    must_be_ignored: bool,
}

/// Says which transition it is about, once something is wrong with it.
struct Named<'a> {
    name: &'a str,
    before: &'a Saga,
    tried: &'a Tried,
}

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (message, at_ms) = (&self.tried.message, self.tried.at_ms);
        let (name, before) = (self.name, self.before);
        write!(f, "{name}: {message:?} at {at_ms} on {before:#?}")
    }
}

fn reply(occurrence: &str, direction: Direction, key: &str, attempt: u32, answer: Answer) -> Reply {
    Reply {
        occurrence: occurrence.to_owned(),
        direction,
        key: key.to_owned(),
        attempt,
        answer,
        worker: Some("w-1".to_owned()),
    }
}

fn replies(saga: &Saga, tried: &mut Vec<(Reply, bool)>) {
    let answers = || {
        [
            Answer::Done(None),
            failed("busy"),
            failed("no_use"),
            refused("no"),
            Answer::Heartbeat,
        ]
    };
    for line in &saga.lines {
        for direction in [Direction::Do, Direction::Undo] {
            let occurrence = line.occurrence.as_str();
            let round = line.undo_round.max(1);
            let key = saga.idempotency_key(occurrence, direction, round);
            // What was asked for in the other direction last is no attempt of this one.
            let never_asked = direction == Direction::Undo && line.undo_round == 0;
            let after_the_turn =
                direction == Direction::Do && (saga.course == Course::Back || line.undo_round > 0);
            let attempts: BTreeSet<u32> = [
                0,
                1,
                line.attempt.saturating_sub(1),
                line.attempt,
                line.attempt + 1,
            ]
            .into();
            for attempt in attempts {
                let unknown = attempt == 0 || attempt > line.attempt;
                for answer in answers() {
                    let must = never_asked || after_the_turn || unknown;
                    tried.push((reply(occurrence, direction, &key, attempt, answer), must));
                }
            }
            let turned = match direction {
                Direction::Do => Direction::Undo,
                Direction::Undo => Direction::Do,
            };
            let earlier = saga.idempotency_key(occurrence, direction, round + 1);
            let other = saga.idempotency_key(occurrence, turned, 1);
            for wrong in [other.as_str(), earlier.as_str(), "test/4712/a/do", ""] {
                if wrong == key {
                    continue;
                }
                for answer in [Answer::Done(None), refused("no")] {
                    let attempt = line.attempt;
                    tried.push((reply(occurrence, direction, wrong, attempt, answer), true));
                }
            }
        }
    }
    for occurrence in ["nobody", "d#9", ""] {
        let key = saga.idempotency_key(occurrence, Direction::Do, 1);
        let answer = Answer::Done(None);
        tried.push((reply(occurrence, Direction::Do, &key, 1, answer), true));
    }
}

fn acts(saga: &Saga) -> Vec<(Message, bool)> {
    let mut tried = Vec::new();
    let is_parked = saga.parked.is_some();
    for kind in [ActKind::Cancel, ActKind::Resume, ActKind::Terminate] {
        let must = kind == ActKind::Resume && !is_parked;
        tried.push((act(kind, None, Some("why not")), must));
    }
    let lines = saga.lines.iter().map(|line| line.occurrence.as_str());
    for occurrence in lines.chain(["nobody"]) {
        let must = !is_parked || occurrence == "nobody";
        tried.push((act(ActKind::Retry, Some(occurrence), None), must));
        tried.push((act(ActKind::Waive, Some(occurrence), None), must));
        tried.push((act(ActKind::Waive, Some(occurrence), Some(" ")), must));
        tried.push((act(ActKind::Waive, Some(occurrence), Some("paid")), must));
    }
    for kind in [ActKind::Retry, ActKind::Waive] {
        tried.push((act(kind, None, Some("names nothing")), true));
    }
    tried
}

/// Everything that can come next.
fn everything(saga: &Saga) -> Vec<Tried> {
    let has_ended = saga.status.has_ended();
    let now_ms = saga.changed_at_ms + 1;
    let mut tried = Vec::new();
    let mut add = |message, at_ms, must: bool| {
        tried.push(Tried {
            message,
            at_ms,
            must_be_ignored: must || has_ended,
        });
    };
    let mut found = Vec::new();
    replies(saga, &mut found);
    for (reply, must) in found {
        // A heartbeat just before the deadline puts the line's time after it.
        if let (Answer::Heartbeat, Some(deadline_ms)) = (&reply.answer, saga.deadline_ms) {
            add(Message::Reply(reply.clone()), deadline_ms - 1, must);
        }
        add(Message::Reply(reply), now_ms, must);
    }
    for (message, must) in acts(saga) {
        add(message, now_ms, must);
    }
    let nothing_due = saga.wake_at_ms().is_none_or(|due| due > now_ms);
    add(Message::Wake, now_ms, nothing_due);
    for due in due_times(saga) {
        add(Message::Wake, due, saga.parked.is_some());
    }
    tried
}

/// What must hold of one transition, whichever it is.
fn holds(before: &Saga, after: &Saga, transition: &Transition, named: &Named<'_>) {
    let entry = &transition.entry;
    invariant::never_forgotten(after).unwrap_or_else(|v| panic!("{named}: {v}"));
    invariant::settled_balances(after).unwrap_or_else(|v| panic!("{named}: {v}"));
    assert_eq!(after.seq, before.seq + 1, "{named}");
    assert_eq!(
        (entry.seq, &entry.hash),
        (after.seq, &after.head),
        "{named}"
    );
    assert_eq!(entry.previous_hash, before.head, "{named}");
    assert_eq!(entry.status, after.status, "{named}");
    assert!(after.changed_at_ms >= before.changed_at_ms, "{named}");

    let body = Entry::read_body(&entry.body).unwrap();
    assert!(!body.changes.is_empty(), "{named}: an entry says something");
    let commands = Entry::commands(&after.key, &body);
    assert_eq!(commands, transition.commands, "{named}");
    let seq = entry.seq;
    let (before_it, key) = (Some(before.clone()), &after.key);
    let folded = Saga::fold(before_it, key, seq, entry.at_ms, &entry.body, &entry.hash);
    assert_eq!(folded.as_ref(), Ok(after), "{named}");

    for line in &after.lines {
        let Some(earlier) = before.line(&line.occurrence) else {
            assert_eq!(line.attempt, 1, "{named}: attempts count from 1");
            continue;
        };
        let turned = earlier.undo_round == 0 && line.undo_round > 0;
        let goes_on = line.attempt == earlier.attempt || line.attempt == earlier.attempt + 1;
        assert!(
            if turned { line.attempt == 1 } else { goes_on },
            "{named}: attempt {} follows {}",
            line.attempt,
            earlier.attempt
        );
        assert!(line.undo_round >= earlier.undo_round, "{named}");
    }
    if after.course == Course::Forward {
        assert_eq!(
            before.course,
            Course::Forward,
            "{named}: nobody turns twice"
        );
    }
    if before.is_past_pivot() {
        assert_eq!(after.course, before.course, "{named}: past the pivot");
    }
    let asks = |direction| commands.iter().filter(|c| c.direction == direction).count();
    assert!(
        asks(Direction::Do) + asks(Direction::Undo) <= 1,
        "{named}: one at a time"
    );
    if after.course == Course::Back {
        assert_eq!(asks(Direction::Do), 0, "{named}: on the way back");
    }
    // A deadline sets aside what is under way, and an attempt can leave in the same moment.
    let parked = after.parked.as_ref();
    if after.status.has_ended() || parked.is_some_and(|p| p.by != ParkedBy::Deadline) {
        assert_eq!(commands, [], "{named}");
    }
}

/// Whether a message may have its effect more than once, and by which rule.
fn repeats(message: &Message, body: &[Change], after: &Saga) -> bool {
    match message {
        // Each one extends the time.
        Message::Reply(reply) => matches!(reply.answer, Answer::Heartbeat),
        Message::Wake
        | Message::Event(_)
        | Message::Decision(_)
        | Message::Want(_)
        | Message::Undo(_) => false,
        // Each refusal of an act is noted; and what is resumed can be parked again at once.
        Message::Act(act) => {
            let declined = body.iter().any(|c| matches!(c, Change::Declined { .. }));
            let resumes = matches!(act.kind, ActKind::Resume | ActKind::Retry);
            declined || (resumes && after.parked.is_some())
        }
    }
}

fn walk(name: &str, definition: &Definition, census: &mut Census) {
    let (saga, first) = Saga::start(definition, start(definition), START_MS);
    let entry = &first.entry;
    let folded = Saga::fold(None, &saga.key, 1, entry.at_ms, &entry.body, &entry.hash);
    assert_eq!(folded.as_ref(), Ok(&saga));
    let mut known = BTreeSet::from([standing(definition, &saga)]);
    let mut open = VecDeque::from([saga]);
    while let Some(before) = open.pop_front() {
        census.states += 1;
        assert!(census.states < 20_000, "{name}: there is no end to it");
        if before.status.has_ended() {
            *census.ended.entry(before.status.name()).or_default() += 1;
        }
        let mut scratch = before.clone();
        for tried in everything(&before) {
            let message = &tried.message;
            match scratch.advance(definition, message, tried.at_ms) {
                Outcome::Ignored(why) => {
                    assert_eq!(scratch, before, "{name}: {message:?} was ignored");
                    assert_eq!(why == Ignored::Ended, before.status.has_ended());
                    *census.ignored.entry(why.name()).or_default() += 1;
                }
                Outcome::Advanced(transition) => {
                    let named = Named {
                        name,
                        before: &before,
                        tried: &tried,
                    };
                    assert!(!tried.must_be_ignored, "{named} should have been ignored");
                    census.advanced += 1;
                    let after = std::mem::replace(&mut scratch, before.clone());
                    holds(&before, &after, &transition, &named);
                    let changes = Entry::read_body(&transition.entry.body).unwrap().changes;
                    for change in &changes {
                        let word = serde_json::to_value(change).unwrap();
                        let word = word.as_object().map_or_else(
                            || word.as_str().unwrap().to_owned(),
                            |change| change.keys().next().unwrap().clone(),
                        );
                        census.changes.insert(word);
                    }
                    let mut again = after.clone();
                    let second = again.advance(definition, message, tried.at_ms);
                    if !repeats(message, &changes, &after) {
                        assert!(
                            matches!(second, Outcome::Ignored(_)),
                            "{named}: it counts the second time too"
                        );
                    }
                    if is_far_out(&after) {
                        census.cut += 1;
                    } else if known.insert(standing(definition, &after)) {
                        open.push_back(after);
                    }
                }
            }
        }
    }
}

#[test]
fn every_reachable_transition_keeps_the_rules() {
    let mut all = Census::default();
    for (name, definition) in shapes() {
        let mut census = Census::default();
        walk(name, &definition, &mut census);
        let ignored: usize = census.ignored.values().sum();
        println!(
            "{name}: {} states, {} transitions, {ignored} ignored, {} cut, ended {:?}",
            census.states, census.advanced, census.cut, census.ended
        );
        assert!(census.states > 50, "{name}: {census:?}");
        assert!(
            census.ended.contains_key(Status::Completed.name()),
            "{name}"
        );
        assert!(
            census.ended.contains_key(Status::Compensated.name()),
            "{name}"
        );
        assert!(
            census.ended.contains_key(Status::Terminated.name()),
            "{name}"
        );
        all.states += census.states;
        all.advanced += census.advanced;
        all.cut += census.cut;
        all.changes.append(&mut census.changes);
        for (why, count) in census.ignored {
            *all.ignored.entry(why).or_default() += count;
        }
    }
    println!("in all: {all:#?}");
    assert!(all.states > 7_500, "{} states", all.states);
    assert!(all.advanced > 30_000, "{} transitions", all.advanced);
    assert_eq!(all.ignored.len(), 5, "every reason to ignore a message");
    // Everything but `Began` and `Tagged`, which only a start brings.
    assert_eq!(all.changes.len(), 17, "{:?}", all.changes);
}
