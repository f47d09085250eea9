//! A whole small world: sagas and mailboxes by key, the messages between them, workers, people,
//! records and a clock, and everything that may go wrong with messages.

use std::collections::BTreeMap;
use std::rc::Rc;

use backstitch_saga::Payload;
use backstitch_saga::core::{
    Act, ActKind, Answer, Body, Command, Decision, Direction, Entry, Event, Message, Note,
    NoteBody, Outcome, Reply, Saga, Source, Start, Status, Transition, mailbox, nothing_to_undo,
    refuse_start,
};
use backstitch_saga::definition::{Definition, Verb, walk};
use backstitch_saga::expression::{Scope, key_text};
use backstitch_saga::invariant;
use serde_json::Value;

use super::told::{in_order, told, told_note};
use super::workers::{self, Workers};
use crate::core_support::chance::Chance;

/// When everything begins. Milliseconds since the Unix epoch.
pub(super) const START_MS: i64 = 1_000_000;

/// What can reach someone.
#[derive(Debug, Clone)]
pub(super) enum What {
    Command(Command),
    Note(NoteBody),
    Message(Message),
}

/// A message on its way. Between the same two, the order is kept.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    from: String,
    to: String,
    pub(super) what: What,
}

/// What goes wrong, beside what workers do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Everything is delivered twice, but what people do.
    pub(super) twice: bool,
    /// After each transition the state is lost, built anew, and what it sent is sent again.
    pub(super) crashes: bool,
}

/// One mistake, made around the real core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// An undo counts as done, and nobody was asked.
    SkipsUndos,
    /// Each attempt has its own key.
    RenewsKeys,
    /// A child counts as undone, and was not asked.
    LeavesChildren,
    /// A mailbox is not told that a wait is over.
    WaitsOn,
    /// A worker does it, and says that it has refused it.
    RefusesWhatItDoes,
    /// What one saga says to another is lost now and then.
    LosesNotes,
}

/// A saga or a mailbox, and its journal.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) saga: Saga,
    pub(super) journal: Vec<Entry>,
    folded: Option<Saga>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) definitions: BTreeMap<String, Rc<Definition>>,
    pub(super) sagas: BTreeMap<String, Running>,
    pub(super) queue: Vec<Envelope>,
    pub(super) now_ms: i64,
    pub(super) workers: Workers,
    pub(super) faults: Faults,
    /// Draws what goes wrong; without it, only `faults` do.
    pub(super) chance: Option<Chance>,
    /// By saga: what left it, in words.
    pub(super) left: BTreeMap<String, Vec<String>>,
    pub(super) transitions: usize,
    pub(super) crash_count: usize,
    pub(super) mutant: Option<Mutant>,
    offset: i64,
    /// Checks each transition only now and then, where there are very many.
    pub(super) hasty: bool,
}

impl World {
    pub(super) fn of(definitions: impl IntoIterator<Item = Definition>) -> Self {
        let named = definitions
            .into_iter()
            .map(|d| (d.name.clone(), Rc::new(d)));
        Self {
            definitions: named.collect(),
            now_ms: START_MS,
            ..Self::default()
        }
    }

    fn definition_of(&self, saga: &Saga) -> Rc<Definition> {
        if saga.definition_hash == mailbox::MAILBOX_HASH {
            return Rc::new(mailbox::definition());
        }
        let name = saga.key.split_once('/').unwrap().0;
        Rc::clone(&self.definitions[name])
    }

    // ---- from outside --------------------------------------------------------------------------

    pub(super) fn begin(&mut self, definition: &str, business_key: &str, event: &Value) {
        let start = Start {
            key: Saga::key_of(definition, business_key),
            event: Payload::from_value(event),
            trace: None,
            by: None,
            event_time_ms: self.now_ms,
            parent: None,
        };
        self.started(definition, start);
    }

    fn started(&mut self, definition: &str, start: Start) {
        if let Some(known) = self.sagas.get(&start.key) {
            if let Some(note) = known.saga.refusal_of(&start) {
                let from = start.key.clone();
                self.post(&from, note);
            }
            return;
        }
        let Some(known) = self.definitions.get(definition).cloned() else {
            if let Some(parent) = &start.parent {
                let why = format!("nothing is called `{definition}`");
                let note = refuse_start(parent, &start.key, "unknown_saga", why);
                self.post(&start.key.clone(), note);
            }
            return;
        };
        let (saga, transition) = Saga::start(&known, start, self.now_ms);
        self.took(saga, None, transition);
    }

    /// A record is read from a topic.
    pub(super) fn record(&mut self, topic: &str, value: &Value) {
        self.offset += 1;
        let source = Source {
            topic: topic.to_owned(),
            partition: 0,
            offset: self.offset,
        };
        let scope = Scope::of_message(value, self.now_ms);
        let mut events = Vec::new();
        for definition in self.definitions.values() {
            walk(&definition.steps, &mut |step| {
                let Verb::Wait(wait) = &step.verb else { return };
                let accepts = wait.accept.as_ref();
                let accepts = accepts.is_none_or(|accept| accept.holds(&scope).unwrap_or(false));
                let Ok(key) = wait.key.evaluate(&scope) else {
                    return;
                };
                if wait.topic == topic && accepts {
                    let key = key_text(&key).unwrap();
                    let early = i64::try_from(wait.early_ms).unwrap();
                    events.push((
                        mailbox::key_of(&definition.name, &step.id, &key),
                        Event {
                            occurrence: None,
                            value: Payload::from_value(value),
                            source: source.clone(),
                            until_ms: Some(self.now_ms + early),
                            trace: None,
                        },
                    ));
                }
            });
        }
        for (to, event) in events {
            self.send("intake", &to, What::Message(Message::Event(event)));
        }
    }

    pub(super) fn act(&mut self, saga: &str, kind: ActKind, occurrence: Option<&str>) {
        let act = Act {
            kind,
            occurrence: occurrence.map(str::to_owned),
            by: "anna".to_owned(),
            reason: Some("by hand".to_owned()),
        };
        self.send("anna", saga, What::Message(Message::Act(act)));
    }

    pub(super) fn decide(&mut self, saga: &str, occurrence: Option<&str>, role: &str, yes: bool) {
        let decision = Decision {
            occurrence: occurrence.map(str::to_owned),
            approved: yes,
            by: "boris".to_owned(),
            role: Some(role.to_owned()),
            reason: Some("seen".to_owned()),
        };
        self.send("boris", saga, What::Message(Message::Decision(decision)));
    }

    // ---- messages ------------------------------------------------------------------------------

    fn send(&mut self, from: &str, to: &str, what: What) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.queue.push(Envelope { from, to, what });
    }

    fn post(&mut self, from: &str, note: Note) {
        self.send(from, &note.to.clone(), What::Note(note.body));
    }

    fn post_reply(&mut self, from: &str, saga: &str, reply: Reply) {
        self.send(from, saga, What::Message(Message::Reply(reply)));
    }

    /// Delivers the next message. Returns whether there was one.
    pub(super) fn deliver(&mut self) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let at = match &mut self.chance {
            None => 0,
            Some(chance) => {
                // Any that no earlier one between the same two has to go before.
                let drawn = chance.below(self.queue.len());
                let (from, to) = (&self.queue[drawn].from, &self.queue[drawn].to);
                let same = |e: &Envelope| e.from == *from && e.to == *to;
                self.queue.iter().position(same).unwrap()
            }
        };
        let envelope = self.queue.remove(at);
        let doubles = match &mut self.chance {
            None => self.faults.twice,
            Some(chance) => chance.is_one_in(8),
        };
        let is_of_people = matches!(&envelope.what, What::Message(Message::Act(_)));
        if doubles && !is_of_people {
            self.arrive(envelope.clone());
        }
        self.arrive(envelope);
        true
    }

    fn arrive(&mut self, envelope: Envelope) {
        let Envelope { from, to, what } = envelope;
        let mutant = self.mutant;
        let message = match what {
            What::Command(command)
                if mutant == Some(Mutant::SkipsUndos) && command.direction == Direction::Undo =>
            {
                let made_up = workers::reply(&command, Answer::Done(None));
                return self.post_reply(&to, &command.saga, made_up);
            }
            What::Command(mut command) if mutant == Some(Mutant::RenewsKeys) => {
                let key = command.key.clone();
                let occurrence = command.key.clone();
                let base = occurrence.rsplit_once('/').unwrap();
                command.key = format!("{}~{}/{}", base.0, command.attempt, base.1);
                if let Some(reply) = self.workers.work(&command) {
                    self.post_reply(&to, &command.saga, Reply { key, ..reply });
                }
                return;
            }
            What::Note(NoteBody::Undo(undo)) if mutant == Some(Mutant::LeavesChildren) => {
                return self.post(&to, nothing_to_undo(&undo, &to));
            }
            What::Note(NoteBody::Want(want)) if mutant == Some(Mutant::WaitsOn) && want.cancel => {
                return;
            }
            What::Note(_)
                if mutant == Some(Mutant::LosesNotes)
                    && self
                        .chance
                        .as_mut()
                        .is_some_and(|chance| chance.is_one_in(8)) =>
            {
                return;
            }
            What::Command(command) => {
                if let Some(reply) = self.workers.work(&command) {
                    let refused = matches!(reply.answer, Answer::Refused { .. });
                    if mutant == Some(Mutant::RefusesWhatItDoes) && refused {
                        self.workers.effects.insert(command.key.clone());
                    }
                    self.post_reply(&to, &command.saga, reply);
                }
                return;
            }
            What::Note(NoteBody::Start { definition, start }) => {
                return self.started(&definition, start);
            }
            What::Note(NoteBody::Undo(undo)) if !self.sagas.contains_key(&to) => {
                return self.post(&to, nothing_to_undo(&undo, &to));
            }
            What::Note(NoteBody::Undo(undo)) => Message::Undo(undo),
            What::Note(NoteBody::Reply(reply)) => Message::Reply(reply),
            What::Note(NoteBody::Event(event)) => Message::Event(event),
            What::Note(NoteBody::Want(want)) => Message::Want(want),
            What::Message(message) => message,
        };
        if !self.sagas.contains_key(&to) {
            assert!(
                mailbox::is_mailbox(&to),
                "{from} writes to {to}, who is nobody"
            );
            let start = Start {
                key: to.clone(),
                event: Payload::null(),
                trace: None,
                by: None,
                event_time_ms: self.now_ms,
                parent: None,
            };
            let (saga, transition) = Saga::start(&mailbox::definition(), start, self.now_ms);
            self.took(saga, None, transition);
        }
        self.advance(&to, &message);
    }

    /// Returns whether anything changed.
    pub(super) fn advance(&mut self, key: &str, message: &Message) -> bool {
        let running = self.sagas.remove(key).unwrap();
        let definition = self.definition_of(&running.saga);
        let mut saga = running.saga.clone();
        match saga.advance(&definition, message, self.now_ms) {
            Outcome::Ignored(_) => {
                assert_eq!(saga, running.saga, "what is ignored changes nothing");
                self.sagas.insert(key.to_owned(), running);
                false
            }
            Outcome::Advanced(transition) => {
                self.took(saga, Some(running), *transition);
                true
            }
        }
    }

    fn took(&mut self, saga: Saga, before: Option<Running>, transition: Transition) {
        self.transitions += 1;
        let Transition {
            entry,
            commands,
            notes,
        } = transition;
        let key = saga.key.clone();
        let (mut journal, folded) = match before {
            Some(running) => (running.journal, running.folded),
            None => (Vec::new(), None),
        };
        let keeps = invariant::never_forgotten(&saga).and(invariant::settled_balances(&saga));
        if let Err(wrong) = keeps {
            for entry in journal.iter().chain([&entry]) {
                println!("{} {}", entry.at_ms, String::from_utf8_lossy(&entry.body));
            }
            panic!("{wrong}");
        }
        let folded = Saga::fold(
            folded,
            &key,
            entry.seq,
            entry.at_ms,
            &entry.body,
            &entry.hash,
        );
        let folded = folded.unwrap();
        assert_eq!(folded, saga, "folding the journal gives the state (S-6)");
        if !self.hasty || self.transitions.is_multiple_of(8) {
            let body = Entry::read_body(&entry.body).unwrap();
            assert_eq!(Entry::commands(&key, &body), commands);
            assert_eq!(Entry::notes(&key, entry.at_ms, &body), notes);
            let stored = serde_json::to_vec(&saga).unwrap();
            let loaded: Saga = serde_json::from_slice(&stored).unwrap();
            assert_eq!(loaded, saga, "what is stored is what is loaded");
        }
        journal.push(entry);
        let words = self.left.entry(key.clone()).or_default();
        let (commands_told, notes_told) = (commands.iter().map(told), notes.iter().map(told_note));
        words.extend(in_order(
            &journal,
            commands_told.chain(notes_told).collect(),
        ));
        let running = Running {
            saga,
            journal,
            folded: Some(folded),
        };
        self.sagas.insert(key.clone(), running);
        self.publish(&key, commands, notes);
        let crashes = match &mut self.chance {
            None => self.faults.crashes,
            Some(chance) => chance.is_one_in(16),
        };
        if crashes {
            self.crash(&key);
        }
    }

    fn publish(&mut self, key: &str, commands: Vec<Command>, notes: Vec<Note>) {
        for command in commands {
            let to = format!("@{}", command.activity);
            self.send(key, &to, What::Command(command));
        }
        for note in notes {
            self.post(key, note);
        }
    }

    /// The state is lost and built anew, from the store or from the journal, and what the latest
    /// entries sent is sent again.
    pub(super) fn crash(&mut self, key: &str) {
        self.crash_count += 1;
        let running = self.sagas.get_mut(key).unwrap();
        let stored = serde_json::to_vec(&running.saga).unwrap();
        let loaded: Saga = serde_json::from_slice(&stored).unwrap();
        let mut folded = None;
        for e in &running.journal {
            let next = Saga::fold(folded, key, e.seq, e.at_ms, &e.body, &e.hash).unwrap();
            folded = Some(next);
        }
        let folded = folded.unwrap();
        assert_eq!(loaded, folded, "store and journal say the same");
        assert_eq!(loaded, running.saga, "a crash loses nothing");
        running.saga = if self.crash_count.is_multiple_of(2) {
            loaded
        } else {
            folded
        };
        let count = match &mut self.chance {
            None => 1,
            Some(chance) => 1 + chance.below(3),
        };
        let from = running.journal.len().saturating_sub(count);
        let again: Vec<(Vec<Command>, Vec<Note>)> = running.journal[from..]
            .iter()
            .map(|entry| {
                let body = Entry::read_body(&entry.body).unwrap();
                let notes = Entry::notes(key, entry.at_ms, &body);
                (Entry::commands(key, &body), notes)
            })
            .collect();
        for (commands, notes) in again {
            self.publish(key, commands, notes);
        }
    }

    /// The answers that workers held back are given.
    pub(super) fn let_late(&mut self) {
        for (saga, reply) in self.workers.let_late() {
            self.post_reply("late", &saga, reply);
        }
    }

    // ---- time ----------------------------------------------------------------------------------

    /// When the next of them has to be woken.
    pub(super) fn next_wake_ms(&self) -> Option<i64> {
        let sagas = self.sagas.values();
        sagas.filter_map(|running| running.saga.wake_at_ms()).min()
    }

    /// Wakes whoever is due.
    pub(super) fn wake(&mut self) {
        let due: Vec<String> = self
            .sagas
            .iter()
            .filter(|(_, r)| r.saga.wake_at_ms().is_some_and(|due| due <= self.now_ms))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let moved = self.advance(&key, &Message::Wake);
            assert!(moved, "{key} asked to be woken, and nothing was due");
        }
    }

    pub(super) fn bodies(&self, key: &str) -> Vec<Body> {
        let journal = self.sagas[key].journal.iter();
        journal
            .map(|entry| Entry::read_body(&entry.body).unwrap())
            .collect()
    }

    pub(super) fn saga(&self, key: &str) -> &Saga {
        &self.sagas[key].saga
    }

    pub(super) fn status(&self, key: &str) -> Status {
        self.saga(key).status
    }

    pub(super) fn sagas_only(&self) -> impl Iterator<Item = &Running> {
        let all = self.sagas.values();
        all.filter(|running| running.saga.mailbox().is_none())
    }
}
