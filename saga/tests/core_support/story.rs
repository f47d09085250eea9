//! A told story: what is given, what the saga sends, what is answered, how it ends.

use backstitch_saga::Payload;
use backstitch_saga::core::{
    ActKind, Answer, Body, Command, Direction, Entry, Ignored, LineStatus, Message, Outcome,
    ParkedBy, Reply, Saga, Status, Transition,
};
use backstitch_saga::definition::Definition;
use backstitch_saga::invariant;
use serde_json::{Value, json};

use super::shapes::{START_MS, start};
use super::world::{World, act, failed, refused};

/// One saga, and everyone around it.
pub(crate) struct Story {
    definition: Definition,
    pub(crate) saga: Saga,
    pub(crate) now_ms: i64,
    /// What was sent and has not been looked at.
    unread: Vec<Command>,
    /// All that was sent.
    pub(crate) sent: Vec<Command>,
    pub(crate) entries: Vec<Entry>,
    world: World,
    latest: Option<Ignored>,
}

pub(crate) fn given(definition: Definition) -> Story {
    let (saga, transition) = Saga::start(&definition, start(&definition), START_MS);
    let mut story = Story {
        definition,
        saga,
        now_ms: START_MS,
        unread: Vec::new(),
        sent: Vec::new(),
        entries: Vec::new(),
        world: World::default(),
        latest: None,
    };
    story.take(transition);
    story
}

impl Story {
    fn take(&mut self, transition: Transition) {
        let body = Entry::read_body(&transition.entry.body).unwrap();
        assert_eq!(Entry::commands(&self.saga.key, &body), transition.commands);
        for command in &transition.commands {
            self.world
                .left(&self.definition, &self.saga, command)
                .unwrap();
        }
        self.unread.extend(transition.commands.iter().cloned());
        self.sent.extend(transition.commands);
        self.entries.push(transition.entry);
        self.holds();
    }

    /// Every rule that one saga can break.
    fn holds(&self) {
        invariant::never_forgotten(&self.saga).unwrap();
        invariant::settled_balances(&self.saga).unwrap();
        self.world.ended(&self.definition, &self.saga).unwrap();
        let bodies: Vec<Body> = self
            .entries
            .iter()
            .map(|entry| Entry::read_body(&entry.body).unwrap())
            .collect();
        invariant::history_is_exact(&self.saga, &bodies).unwrap();
        let entries = self.entries.iter();
        let rows = entries.map(|e| (e.seq, e.at_ms, e.body.as_slice(), e.hash.as_str()));
        invariant::fold_gives_state(&self.saga, rows).unwrap();
        let stored = serde_json::to_vec(&self.saga).unwrap();
        let loaded: Saga = serde_json::from_slice(&stored).unwrap();
        assert_eq!(loaded, self.saga, "what is stored is what is loaded");
    }

    pub(crate) fn message(mut self, message: Message) -> Self {
        let before = self.saga.clone();
        let outcome = self.saga.advance(&self.definition, &message, self.now_ms);
        self.world
            .arrived(&message, matches!(outcome, Outcome::Ignored(_)));
        match outcome {
            Outcome::Ignored(ignored) => {
                assert_eq!(self.saga, before, "what is ignored changes nothing");
                self.latest = Some(ignored);
            }
            Outcome::Advanced(transition) => {
                self.latest = None;
                self.take(*transition);
            }
        }
        self
    }

    // ---- what the saga does ----------------------------------------------------------------

    /// The next command is this step's, forward.
    pub(crate) fn sends(self, step: &str) -> Self {
        self.sends_command(step, Direction::Do, step)
    }

    /// The next command takes this step back.
    pub(crate) fn sends_undo(self, step: &str) -> Self {
        self.sends_command(step, Direction::Undo, step)
    }

    /// As [`Story::sends_undo`], to another activity.
    pub(crate) fn sends_undo_to(self, activity: &str, step: &str) -> Self {
        self.sends_command(step, Direction::Undo, activity)
    }

    fn sends_command(mut self, occurrence: &str, direction: Direction, activity: &str) -> Self {
        assert!(!self.unread.is_empty(), "nothing was sent: {:?}", self.saga);
        let command = self.unread.remove(0);
        let activity = activity.split('#').next().unwrap().replace('_', "-");
        assert_eq!(
            (command.occurrence.as_str(), command.direction),
            (occurrence, direction)
        );
        assert_eq!(command.activity, activity);
        self
    }

    pub(crate) fn sends_nothing(self) -> Self {
        assert_eq!(self.unread, [], "nothing should have been sent");
        self
    }

    /// The latest command has this number.
    pub(crate) fn attempt(self, attempt: u32) -> Self {
        assert_eq!(self.sent.last().unwrap().attempt, attempt);
        self
    }

    /// The latest command has a key that ends so.
    pub(crate) fn under(self, key: &str) -> Self {
        assert_eq!(self.sent.last().unwrap().key, format!("test/4711/{key}"));
        self
    }

    /// The workers of the latest command are given this.
    pub(crate) fn giving(self, input: Value) -> Self {
        assert_eq!(self.sent.last().unwrap().input.value(), &input);
        self
    }

    // ---- what is answered ------------------------------------------------------------------

    /// The latest command of all is answered.
    pub(crate) fn answer(self, answer: Answer) -> Self {
        let command = self.sent.last().unwrap().clone();
        self.answer_to(&command, answer)
    }

    pub(crate) fn answer_to(self, command: &Command, answer: Answer) -> Self {
        self.message(Message::Reply(Reply {
            occurrence: command.occurrence.clone(),
            direction: command.direction,
            key: command.key.clone(),
            attempt: command.attempt,
            answer,
            worker: None,
        }))
    }

    /// The latest command for this occurrence, in this direction, is answered at last.
    pub(crate) fn late(self, occurrence: &str, direction: Direction, answer: Answer) -> Self {
        let mut sent = self.sent.iter().rev();
        let command = sent.find(|c| c.occurrence == occurrence && c.direction == direction);
        let command = command.unwrap().clone();
        self.answer_to(&command, answer)
    }

    pub(crate) fn done(self) -> Self {
        self.answer(Answer::Done(None))
    }

    pub(crate) fn done_with(self, output: Value) -> Self {
        self.answer(Answer::Done(Some(Payload::from_value(&output))))
    }

    pub(crate) fn failed(self) -> Self {
        self.answer(failed("busy"))
    }

    pub(crate) fn failed_with(self, code: &str) -> Self {
        self.answer(failed(code))
    }

    pub(crate) fn refused(self) -> Self {
        self.answer(refused("card_declined"))
    }

    pub(crate) fn heartbeat(self) -> Self {
        self.answer(Answer::Heartbeat)
    }

    /// Time passes until something is due.
    pub(crate) fn then_time_passes(mut self) -> Self {
        self.now_ms = self.saga.wake_at_ms().expect("something is due some time");
        self.message(Message::Wake)
    }

    pub(crate) fn after_ms(mut self, wait_ms: i64) -> Self {
        self.now_ms += wait_ms;
        self
    }

    pub(crate) fn wake(self) -> Self {
        self.message(Message::Wake)
    }

    /// No attempt of the latest round is answered.
    pub(crate) fn unanswered(mut self) -> Self {
        let line = |story: &Self| {
            let awaited = |l: &&backstitch_saga::Line| l.due_ms.is_some();
            let line = story.saga.lines.iter().find(awaited);
            line.map(|l| (l.occurrence.clone(), l.status.awaits()))
        };
        let open = line(&self);
        while line(&self) == open && self.saga.parked.is_none() {
            self = self.then_time_passes();
        }
        let last = self.unread.pop();
        self.unread.clear();
        // What was sent next stays to be read, the attempts that nobody answered do not.
        let is_next = |c: &Command| Some((c.occurrence.clone(), Some(c.direction))) != open;
        self.unread.extend(last.filter(is_next));
        self
    }

    // ---- what people do --------------------------------------------------------------------

    pub(crate) fn cancel(self) -> Self {
        self.message(act(ActKind::Cancel, None, Some("the customer rang")))
    }

    pub(crate) fn resume(self) -> Self {
        self.message(act(ActKind::Resume, None, None))
    }

    pub(crate) fn retry(self, occurrence: &str) -> Self {
        self.message(act(ActKind::Retry, Some(occurrence), None))
    }

    pub(crate) fn waive(self, occurrence: &str, reason: &str) -> Self {
        self.message(act(ActKind::Waive, Some(occurrence), Some(reason)))
    }

    pub(crate) fn terminate(self) -> Self {
        self.message(act(ActKind::Terminate, None, Some("no use")))
    }

    // ---- how it stands ---------------------------------------------------------------------

    pub(crate) fn ignored(self, why: Ignored) -> Self {
        assert_eq!(self.latest, Some(why));
        self
    }

    pub(crate) fn advanced(self) -> Self {
        assert_eq!(self.latest, None);
        self
    }

    /// The latest entry of the journal says so.
    pub(crate) fn noted(self, words: &str) -> Self {
        let body = String::from_utf8(self.entries.last().unwrap().body.clone()).unwrap();
        assert!(body.contains(words), "{words:?} is not in {body}");
        self
    }

    pub(crate) fn stands(self, step: &str, status: LineStatus) -> Self {
        assert_eq!(self.saga.line(step).unwrap().status, status);
        self
    }

    pub(crate) fn is(self, status: Status) -> Self {
        assert_eq!(self.saga.status, status, "{:?}", self.saga.parked);
        self
    }

    pub(crate) fn parks(self, by: ParkedBy, at: Option<&str>) -> Self {
        let parked = self.saga.parked.as_ref().expect("it is parked");
        assert_eq!((parked.by, parked.at.as_deref()), (by, at));
        self.is(Status::Parked).sends_nothing()
    }

    pub(crate) fn because(self, words: &str) -> Self {
        let reason = &self.saga.parked.as_ref().expect("it is parked").reason;
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
        self
    }

    /// It has ended so; nothing is left to be sent, and whatever comes is ignored.
    pub(crate) fn ends(self, status: Status) -> Self {
        let story = self.is(status).sends_nothing();
        assert_eq!(story.saga.wake_at_ms(), None);
        let story = story.wake().ignored(Ignored::Ended);
        story.cancel().ignored(Ignored::Ended)
    }

    /// These were undone, in this order, and nothing else was.
    pub(crate) fn undone(self, steps: &[&str]) -> Self {
        assert_eq!(self.world.undone(), steps);
        self
    }

    pub(crate) fn never(self, step: &str) -> Self {
        assert!(self.sent.iter().all(|c| c.occurrence != step));
        self
    }

    pub(crate) fn output(self, output: Value) -> Self {
        let found = self
            .saga
            .output
            .as_ref()
            .map_or(json!(null), |o| o.value().clone());
        assert_eq!(found, output);
        self
    }
}
