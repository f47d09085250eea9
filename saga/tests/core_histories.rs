//! Whole histories, judged by a world that sees only commands and messages; and mutants of the
//! core, each of which that world has to catch, by the rule that it breaks.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what fails here is a test that fails; and it says how much it has seen"
)]

mod core_support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backstitch_saga::core::{
    Answer, Body, Cause, Change, Command, Direction, Entry, LineStatus, Message, Outcome, Reply,
    Saga, Status, Transition,
};
use backstitch_saga::definition::{Definition, OnFailure, Step, Undo};
use backstitch_saga::invariant::{self, Invariant, Violation};
use core_support::chance::Chance;
use core_support::shapes::{
    START_MS, Written, definition, order, other, shapes, start, step, with_deadline,
};
use core_support::world::{World, act, due_times, is_far_out, possible_acts, refused, standing};

/// A core with one mistake, made around the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// None: the core as it is.
    Healthy,
    /// The first undo is not sent, and counts as done.
    SkipsAnUndo,
    /// The oldest step is undone first.
    UndoesInForwardOrder,
    /// No answer in time counts as refused.
    TakesSilenceForRefusal,
    /// A late *done* of the step is taken for the answer to its undo.
    AcceptsALateAnswer,
    /// Each attempt is the first.
    RestartsAttempts,
    /// Each attempt has its own key.
    RenewsKeys,
    /// The payment is charged again once it is refunded.
    DoesOnTheWayBack,
}

/// A saga with its mistake, the world around it, and what the journal has.
#[derive(Clone)]
struct Run {
    mutant: Mutant,
    saga: Saga,
    world: World,
    journal: Vec<Entry>,
    has_skipped: bool,
}

impl Run {
    fn start(definition: &Definition, mutant: Mutant) -> Result<Self, Violation> {
        let (saga, transition) = Saga::start(definition, start(definition), START_MS);
        let mut run = Self {
            mutant,
            saga,
            world: World::default(),
            journal: Vec::new(),
            has_skipped: false,
        };
        run.take(definition, transition)?;
        Ok(run)
    }

    /// Sends a message. Returns whether it changed anything.
    fn send(
        &mut self,
        definition: &Definition,
        message: &Message,
        at_ms: i64,
    ) -> Result<bool, Violation> {
        let heard = self.as_heard(message);
        let outcome = self.saga.advance(definition, &heard, at_ms);
        let was_ignored = matches!(outcome, Outcome::Ignored(_));
        self.world.arrived(message, was_ignored);
        match outcome {
            Outcome::Ignored(_) => Ok(false),
            Outcome::Advanced(transition) => {
                self.take(definition, *transition)?;
                Ok(true)
            }
        }
    }

    fn take(&mut self, definition: &Definition, transition: Transition) -> Result<(), Violation> {
        self.journal.push(transition.entry);
        for mut command in transition.commands {
            let skips = self.mutant == Mutant::SkipsAnUndo && !self.has_skipped;
            if skips && command.direction == Direction::Undo {
                self.has_skipped = true;
                let made_up = Message::Reply(answer(&command, Answer::Done(None)));
                let at_ms = self.saga.changed_at_ms;
                if let Outcome::Advanced(next) = self.saga.advance(definition, &made_up, at_ms) {
                    self.take(definition, *next)?;
                }
                continue;
            }
            self.mutate(&mut command);
            self.world.left(definition, &self.saga, &command)?;
        }
        invariant::never_forgotten(&self.saga)?;
        invariant::settled_balances(&self.saga)?;
        if self.saga.status.has_ended() {
            self.world.ended(definition, &self.saga)?;
        }
        Ok(())
    }

    /// What a mutant makes of a command.
    fn mutate(&self, command: &mut Command) {
        match self.mutant {
            Mutant::Healthy
            | Mutant::SkipsAnUndo
            | Mutant::TakesSilenceForRefusal
            | Mutant::AcceptsALateAnswer => {}
            Mutant::RestartsAttempts => command.attempt = 1,
            Mutant::RenewsKeys => command.key = format!("{}/{}", command.key, command.attempt),
            Mutant::DoesOnTheWayBack => {
                let payment = self.saga.line("charge_payment");
                let is_refunded = payment.is_some_and(|l| l.status == LineStatus::Undone);
                if is_refunded && command.direction == Direction::Undo {
                    command.occurrence = "charge_payment".to_owned();
                    command.direction = Direction::Do;
                    command.key = "test/4711/charge_payment/do".to_owned();
                }
            }
            Mutant::UndoesInForwardOrder => {
                if command.direction == Direction::Undo {
                    let is_open = |s: LineStatus| s.may_have_run() || s == LineStatus::Undoing;
                    let mut open = self.saga.lines.iter().filter(|l| is_open(l.status));
                    let oldest = open.next().expect("what is undone is open");
                    command.occurrence.clone_from(&oldest.occurrence);
                    command.key = format!("test/4711/{}/undo", oldest.occurrence);
                    command.done_key = Some(format!("test/4711/{}/do", oldest.occurrence));
                }
            }
        }
    }

    /// What a mutant makes of a message.
    fn as_heard(&self, message: &Message) -> Message {
        let in_flight = |line: &&backstitch_saga::Line| line.status == LineStatus::InFlight;
        match (self.mutant, message) {
            (Mutant::TakesSilenceForRefusal, Message::Wake) => {
                let silent = self.saga.lines.iter().find(in_flight);
                silent.map_or(Message::Wake, |line| {
                    let occurrence = line.occurrence.as_str();
                    Message::Reply(Reply {
                        occurrence: occurrence.to_owned(),
                        direction: Direction::Do,
                        key: self.saga.idempotency_key(occurrence, Direction::Do, 1),
                        attempt: line.attempt,
                        answer: refused("silence"),
                        worker: None,
                    })
                })
            }
            (Mutant::AcceptsALateAnswer, Message::Reply(reply)) => {
                let line = self.saga.line(&reply.occurrence);
                let undoing = line.filter(|line| line.status == LineStatus::Undoing);
                match undoing {
                    Some(line) if reply.direction == Direction::Do => Message::Reply(Reply {
                        direction: Direction::Undo,
                        key: self
                            .saga
                            .idempotency_key(&line.occurrence, Direction::Undo, 1),
                        attempt: line.attempt,
                        ..reply.clone()
                    }),
                    Some(_) | None => message.clone(),
                }
            }
            (_, message) => message.clone(),
        }
    }

    /// The rules over the whole journal.
    fn judge(&self) -> Result<(), Violation> {
        invariant::history_is_exact(&self.saga, &bodies(&self.journal))?;
        let entries = self.journal.iter();
        let rows = entries.map(|e| (e.seq, e.at_ms, e.body.as_slice(), e.hash.as_str()));
        invariant::fold_gives_state(&self.saga, rows)
    }

    fn everything(&self) -> Vec<(Message, i64)> {
        let now_ms = self.saga.changed_at_ms + 1;
        let replies = self.world.possible_replies().into_iter();
        let replies = replies.map(|reply| (Message::Reply(reply), now_ms));
        let acts = possible_acts(&self.saga).into_iter().map(|a| (a, now_ms));
        let wakes = due_times(&self.saga).into_iter();
        let wakes = wakes.map(|due_ms| (Message::Wake, due_ms));
        replies.chain(acts).chain(wakes).collect()
    }
}

fn bodies(journal: &[Entry]) -> Vec<Body> {
    let bodies = journal.iter().map(|entry| Entry::read_body(&entry.body));
    bodies.map(|body| body.expect("we wrote it")).collect()
}

fn answer(command: &Command, answer: Answer) -> Reply {
    Reply {
        occurrence: command.occurrence.clone(),
        direction: command.direction,
        key: command.key.clone(),
        attempt: command.attempt,
        answer,
        worker: None,
    }
}

#[derive(Debug, Default)]
struct Census {
    states: usize,
    transitions: usize,
    ends: BTreeMap<&'static str, usize>,
    orders: BTreeSet<Vec<String>>,
}

/// Goes through every history in which workers keep W-1 and W-2, up to what looks the same from
/// inside and outside.
fn explore(definition: &Definition, mutant: Mutant) -> Result<Census, Violation> {
    let mut census = Census::default();
    let first = Run::start(definition, mutant)?;
    let mut known = BTreeSet::new();
    let mut open = VecDeque::from([first]);
    while let Some(run) = open.pop_front() {
        census.states += 1;
        assert!(census.states < 40_000, "there is no end to it");
        for (message, at_ms) in run.everything() {
            let mut next = run.clone();
            if !next.send(definition, &message, at_ms)? {
                continue;
            }
            census.transitions += 1;
            if next.saga.status.has_ended() {
                next.judge()?;
                *census.ends.entry(next.saga.status.name()).or_default() += 1;
                if next.saga.status == Status::Compensated {
                    let undone = next.world.undone();
                    let undone = undone.into_iter().map(str::to_owned).collect();
                    census.orders.insert(undone);
                }
                continue;
            }
            let inside = standing(definition, &next.saga);
            if !is_far_out(&next.saga) && known.insert((inside, next.world.standing())) {
                open.push_back(next);
            }
        }
    }
    Ok(census)
}

#[test]
fn every_history_is_undone_in_reverse_and_ends_exact() {
    let mut ends: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut states, mut transitions) = (0, 0);
    for (name, definition) in shapes() {
        let census = explore(&definition, Mutant::Healthy)
            .unwrap_or_else(|violation| panic!("{name}: {violation}"));
        println!(
            "{name}: {} states, {} transitions, {:?}, {} orders of undoing",
            census.states,
            census.transitions,
            census.ends,
            census.orders.len()
        );
        assert!(census.orders.len() > 1, "{name}");
        states += census.states;
        transitions += census.transitions;
        for (end, count) in census.ends {
            *ends.entry(end).or_default() += count;
        }
    }
    println!("in all: {states} states, {transitions} transitions, {ends:?}");
    assert!(states > 2_000, "{states} states");
    assert!(transitions > 8_000, "{transitions} transitions");
    assert!(ends[Status::Completed.name()] > 100, "{ends:?}");
    assert!(ends[Status::Compensated.name()] > 100, "{ends:?}");
}

// ---- mutants -------------------------------------------------------------------------------

fn dies(mutant: Mutant, rule: Invariant, words: &str) {
    let violation = explore(&order(), mutant).expect_err("the mutant lives");
    println!("{mutant:?}: {violation}");
    assert_eq!(violation.rule, rule, "{violation}");
    assert!(violation.what.contains(words), "{violation}");
}

#[test]
fn a_core_without_a_mistake_lives() {
    explore(&order(), Mutant::Healthy).unwrap();
}

#[test]
fn a_mutant_that_skips_an_undo_dies() {
    dies(
        Mutant::SkipsAnUndo,
        Invariant::UndoneInReverse,
        "was not undone",
    );
}

#[test]
fn a_mutant_that_undoes_in_forward_order_dies() {
    let rule = Invariant::UndoneInReverse;
    dies(Mutant::UndoesInForwardOrder, rule, "is undone before");
}

#[test]
fn a_mutant_that_takes_silence_for_a_refusal_dies() {
    let rule = Invariant::UndoneInReverse;
    dies(Mutant::TakesSilenceForRefusal, rule, "was not undone");
}

#[test]
fn a_mutant_that_accepts_a_late_answer_after_the_turn_dies() {
    let rule = Invariant::UndoneInReverse;
    dies(Mutant::AcceptsALateAnswer, rule, "was not undone");
}

#[test]
fn a_mutant_that_restarts_attempts_dies() {
    dies(
        Mutant::RestartsAttempts,
        Invariant::OneKeyPerWork,
        "attempt 1 of",
    );
}

#[test]
fn a_mutant_that_renews_keys_dies() {
    dies(
        Mutant::RenewsKeys,
        Invariant::OneKeyPerWork,
        "goes from key",
    );
}

#[test]
fn a_mutant_that_does_on_the_way_back_dies() {
    let rule = Invariant::UndoneInReverse;
    dies(Mutant::DoesOnTheWayBack, rule, "on the way back");
}

// ---- journals that were tampered with ------------------------------------------------------

/// The journal of an order whose payment nobody answers: two undos, compensated.
fn journal() -> (Saga, Vec<Body>) {
    let definition = order();
    let mut run = Run::start(&definition, Mutant::Healthy).unwrap();
    let send = |run: &mut Run, message: Message| {
        let at_ms = run.saga.wake_at_ms().unwrap_or_default();
        run.send(&definition, &message, at_ms).unwrap()
    };
    let done = |run: &Run| {
        let replies = run.world.possible_replies();
        let line = run.saga.lines.iter().find(|l| l.due_ms.is_some()).unwrap();
        let awaited = line.status.awaits().unwrap();
        let fits = |r: &&Reply| {
            r.occurrence == line.occurrence
                && r.direction == awaited
                && matches!(r.answer, Answer::Done(_))
        };
        Message::Reply(replies.iter().find(fits).unwrap().clone())
    };
    for _ in 0..2 {
        let message = done(&run);
        send(&mut run, message);
    }
    while run.saga.status == Status::Running {
        send(&mut run, Message::Wake);
    }
    while !run.saga.status.has_ended() {
        let message = done(&run);
        send(&mut run, message);
    }
    assert_eq!(run.saga.status, Status::Compensated);
    (run.saga, bodies(&run.journal))
}

fn found(tamper: impl FnOnce(&mut Vec<Body>)) -> Violation {
    let (saga, mut history) = journal();
    invariant::history_is_exact(&saga, &history).unwrap();
    tamper(&mut history);
    invariant::history_is_exact(&saga, &history).expect_err("nobody notices")
}

fn asks_to_undo(change: &Change, step: &str) -> bool {
    if let Change::Requested(request) = change {
        return request.direction == Direction::Undo && request.occurrence == step;
    }
    false
}

fn is_undo_of(change: &Change, step: &str) -> bool {
    if let Change::Undone { occurrence, .. } = change {
        return occurrence == step;
    }
    asks_to_undo(change, step)
}

#[test]
fn a_journal_without_one_of_its_undos_is_found() {
    let violation = found(|history| {
        for body in history {
            body.changes.retain(|c| !is_undo_of(c, "reserve_stock"));
        }
    });
    assert_eq!(violation.rule, Invariant::UndoneInReverse, "{violation}");
}

#[test]
fn a_journal_with_an_undo_that_nobody_was_asked_for_is_found() {
    let violation = found(|history| {
        for body in history {
            body.changes.retain(|c| !asks_to_undo(c, "reserve_stock"));
        }
    });
    assert_eq!(violation.rule, Invariant::UndoneInReverse, "{violation}");
    assert!(violation.what.contains("nobody was asked"), "{violation}");
}

#[test]
fn a_journal_in_which_an_older_step_is_undone_first_is_found() {
    let violation = found(|history| {
        for change in history.iter_mut().flat_map(|body| &mut body.changes) {
            if let Change::Requested(request) = change
                && request.direction == Direction::Undo
            {
                request.occurrence = match request.occurrence.as_str() {
                    "charge_payment" => "reserve_stock".to_owned(),
                    _ => "charge_payment".to_owned(),
                };
            }
        }
    });
    assert_eq!(violation.rule, Invariant::UndoneInReverse, "{violation}");
    assert!(violation.what.contains("may have run"), "{violation}");
}

#[test]
fn a_journal_in_which_silence_is_a_refusal_is_found() {
    let violation = found(|history| {
        for body in history {
            for change in &mut body.changes {
                if let Change::Doubted {
                    occurrence,
                    failure,
                } = change
                {
                    let (occurrence, failure) = (occurrence.clone(), failure.clone());
                    *change = Change::Refused {
                        occurrence,
                        failure,
                    };
                }
            }
        }
    });
    assert_eq!(violation.rule, Invariant::UndoneInReverse, "{violation}");
    assert!(violation.what.contains("nobody said so"), "{violation}");
}

#[test]
fn a_journal_that_takes_an_answer_after_the_turn_is_found() {
    let violation = found(|history| {
        let turned = |c: &Change| matches!(c, Change::TurnedBack(_));
        let at = history.iter().position(|b| b.changes.iter().any(turned));
        let cause = Cause::Reply {
            occurrence: "charge_payment".to_owned(),
            direction: Direction::Do,
            attempt: 1,
            answer: "done".to_owned(),
            worker: None,
        };
        let done = Change::Done {
            occurrence: "charge_payment".to_owned(),
            output: None,
        };
        let late = Body {
            cause,
            changes: vec![done],
        };
        history.insert(at.unwrap() + 1, late);
    });
    assert_eq!(violation.rule, Invariant::EndedIsEnded, "{violation}");
}

#[test]
fn a_journal_whose_attempts_or_keys_start_anew_is_found() {
    let requests = |history: &mut Vec<Body>, change: fn(&mut backstitch_saga::core::Request)| {
        for body in history.iter_mut() {
            for found in &mut body.changes {
                if let Change::Requested(request) = found {
                    change(request);
                }
            }
        }
    };
    let violation = found(|history| requests(history, |r| r.attempt = 1));
    assert_eq!(violation.rule, Invariant::OneKeyPerWork, "{violation}");
    let violation = found(|history| requests(history, |r| r.key.push_str(&r.attempt.to_string())));
    assert_eq!(violation.rule, Invariant::OneKeyPerWork, "{violation}");
}

#[test]
fn a_journal_that_goes_on_after_its_end_is_found() {
    let violation = found(|history| {
        let first = history[0].clone();
        history.push(first);
    });
    assert_eq!(violation.rule, Invariant::EndedIsEnded, "{violation}");
}

#[test]
fn a_journal_that_completes_with_a_step_open_is_found() {
    let violation = found(|history| {
        let turned = |c: &Change| matches!(c, Change::TurnedBack(_));
        let at = history.iter().position(|b| b.changes.iter().any(turned));
        history.truncate(at.unwrap());
        let (status, output) = (Status::Completed, None);
        let last = history.last_mut().unwrap();
        last.changes.push(Change::Ended { status, output });
    });
    assert_eq!(violation.rule, Invariant::EndedIsEnded, "{violation}");
}

// ---- at random -----------------------------------------------------------------------------

fn drawn_step(n: usize, pivot: Option<usize>, chance: &mut Chance) -> Step {
    let may_lack = pivot.is_some_and(|pivot| n >= pivot);
    let undo = match chance.below(if may_lack { 5 } else { 4 }) {
        0 | 1 => Undo::Same,
        2 => other("un-do"),
        3 => Undo::Nothing,
        _ => Undo::Absent,
    };
    let how = chance
        .of(&[
            OnFailure::TurnBack,
            OnFailure::TurnBack,
            OnFailure::TurnBack,
            OnFailure::Ignore,
            OnFailure::Park,
        ])
        .clone();
    let mut step = step(&format!("s{n}"))
        .undo(undo)
        .fails(how)
        .attempts(*chance.of(&[1, 2, 3]));
    if chance.is_one_in(6) {
        step = step.when("event.gift");
    }
    if chance.is_one_in(5) {
        step = step.never_again("busy");
    }
    if chance.is_one_in(5) {
        step = step.budget(1_500);
    }
    if pivot == Some(n) {
        step = step.pivot();
    }
    step
}

fn drawn_definition(chance: &mut Chance) -> Definition {
    let count = 1 + chance.below(5);
    let pivot = (!chance.is_one_in(3)).then(|| chance.below(count));
    let steps = (0..count).map(|n| drawn_step(n, pivot, chance)).collect();
    let drawn = definition(steps);
    match chance.below(3) {
        0 => with_deadline(2_000, drawn),
        _ => drawn,
    }
}

/// Plays one history, and ends it: whatever was drawn, a person can bring the saga to an end.
fn play(seed: u64) -> Result<Run, Violation> {
    let mut chance = Chance::from_seed(seed);
    let definition = drawn_definition(&mut chance);
    let mut run = Run::start(&definition, Mutant::Healthy)?;
    for _ in 0..chance.below(40) {
        if run.saga.status.has_ended() {
            break;
        }
        let possible = run.everything();
        let (message, at_ms) = chance.of(&possible).clone();
        // Messages come twice, and after a while.
        run.send(&definition, &message, at_ms + chance.of(&[0, 0, 50, 1_200]))?;
        if chance.is_one_in(5) {
            run.send(&definition, &message, at_ms)?;
        }
    }
    // From here everyone is of good will.
    for _ in 0..200 {
        if run.saga.status.has_ended() {
            break;
        }
        let possible = run.everything();
        // A worker that has refused can only repeat that, and is then asked under a new key.
        let answers = possible.iter().filter(|(message, _)| {
            let Message::Reply(reply) = message else {
                return false;
            };
            let line = run.saga.line(&reply.occurrence);
            let awaits = line.and_then(|line| line.status.awaits());
            awaits == Some(reply.direction)
        });
        let done = answers.min_by_key(|(message, _)| match message {
            Message::Reply(reply) => match reply.answer {
                Answer::Done(_) => 0,
                Answer::Refused { .. } => 1,
                Answer::Failed { .. } | Answer::Heartbeat => 2,
            },
            Message::Wake
            | Message::Event(_)
            | Message::Decision(_)
            | Message::Want(_)
            | Message::Undo(_)
            | Message::Act(_) => 3,
        });
        let (message, at_ms) = match (done, &run.saga.parked) {
            (_, Some(_)) => {
                let at_ms = run.saga.changed_at_ms;
                let resume = backstitch_saga::core::ActKind::Resume;
                (act(resume, None, None), at_ms)
            }
            (Some(done), None) => done.clone(),
            (None, None) => {
                let Some(due_ms) = run.saga.wake_at_ms() else {
                    break;
                };
                (Message::Wake, due_ms)
            }
        };
        run.send(&definition, &message, at_ms)?;
    }
    run.judge()?;
    Ok(run)
}

#[test]
fn random_histories_of_random_definitions_keep_the_rules_and_come_to_an_end() {
    const COUNT: u64 = 20_000;
    let first: u64 = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => 1,
    };
    println!("seeds {first} … {}", first + COUNT - 1);
    let mut ends: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut entries = 0;
    for seed in first..first + COUNT {
        let run = play(seed).unwrap_or_else(|violation| {
            panic!("{violation}\nSEED={seed} cargo test -p backstitch-saga --test core_histories random")
        });
        *ends.entry(run.saga.status.name()).or_default() += 1;
        entries += run.journal.len();
        assert!(
            run.saga.status.has_ended(),
            "SEED={seed} does not end: {:#?}",
            run.saga
        );
    }
    println!("{entries} transitions, {ends:?}");
    assert!(entries > 80_000, "{entries}");
    assert!(
        ends["completed"] > 2_000 && ends["compensated"] > 2_000,
        "{ends:?}"
    );
}
