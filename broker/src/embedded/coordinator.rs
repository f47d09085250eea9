//! The groups of the broker and the thread that lets time pass for them.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::group::Group;
use super::group_call::{Answer, Caller, JoinCall, Joined, Refused, Synced, Ticket};
use super::waker::{FIRST_LOOK, LOOK_EVERY, Waker};

/// The timer thread never runs more often than this, whatever the deadlines say.
const TICK_MIN: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct State {
    groups: HashMap<String, Group>,
    waiting: HashMap<Ticket, SyncSender<Answer>>,
    next_ticket: Ticket,
    closed: bool,
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Coordinator {
    initial_delay: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

impl Coordinator {
    pub(crate) fn new(initial_delay: Duration) -> Coordinator {
        Coordinator {
            initial_delay,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Joins, and waits for the round to complete. `None` when the broker stops or the client has gone.
    pub(crate) fn join(
        &self,
        group: &str,
        mut call: JoinCall,
        waker: &Waker,
    ) -> Option<Result<Joined, Refused>> {
        let answer = self.call(group, waker, |group, ticket, now, out| {
            call.ticket = ticket;
            group.join(call, now, out);
        })?;
        match answer {
            Answer::Join(_, result) => Some(result),
            Answer::Sync(..) => None,
        }
    }

    /// Syncs, and waits for the leader. `None` when the broker stops or the client has gone.
    pub(crate) fn sync(
        &self,
        caller: Caller<'_>,
        assignments: Vec<(String, Bytes)>,
        waker: &Waker,
    ) -> Option<Result<Synced, ResponseError>> {
        if !self.state().groups.contains_key(caller.group) {
            return Some(Err(ResponseError::UnknownMemberId));
        }
        let answer = self.call(caller.group, waker, |group, ticket, now, out| {
            group.sync(ticket, caller, assignments, now, out);
        })?;
        match answer {
            Answer::Sync(_, result) => Some(result),
            Answer::Join(..) => None,
        }
    }

    pub(crate) fn heartbeat(&self, caller: Caller<'_>) -> Result<(), ResponseError> {
        let mut state = self.state();
        let group = state
            .groups
            .get_mut(caller.group)
            .ok_or(ResponseError::UnknownMemberId)?;
        group.heartbeat(caller, Instant::now())
    }

    pub(crate) fn leave(
        &self,
        group: &str,
        member_id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        let mut state = self.state();
        let mut out = Vec::new();
        let found = state
            .groups
            .get_mut(group)
            .ok_or(ResponseError::UnknownMemberId)?;
        let result = found.leave(member_id, instance, Instant::now(), &mut out);
        self.settle(state, out);
        result
    }

    /// Whether a commit of offsets is allowed.
    pub(crate) fn may_commit(&self, caller: Caller<'_>) -> Result<(), ResponseError> {
        match self.state().groups.get_mut(caller.group) {
            Some(group) => group.may_commit(caller, Instant::now()),
            None if caller.generation < 0 => Ok(()),
            None => Err(ResponseError::IllegalGeneration),
        }
    }

    /// Shows a group that is known to have, or have had, members.
    pub(crate) fn look<T>(&self, group: &str, see: impl FnOnce(&Group) -> T) -> Option<T> {
        self.state().groups.get(group).map(see)
    }

    /// Shows every group.
    pub(crate) fn look_at_all<T>(&self, mut see: impl FnMut(&str, &Group) -> T) -> Vec<T> {
        self.state()
            .groups
            .iter()
            .map(|(name, group)| see(name, group))
            .collect()
    }

    /// Forgets a group without members. Returns whether it was known.
    pub(crate) fn forget(&self, group: &str) -> Result<bool, ResponseError> {
        let mut state = self.state();
        match state.groups.get(group) {
            Some(found) if !found.members.is_empty() => Err(ResponseError::NonEmptyGroup),
            Some(_) => Ok(state.groups.remove(group).is_some()),
            None => Ok(false),
        }
    }

    /// Ends all waits and the timer thread.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// The timer thread: sleeps until a group has something due.
    pub(crate) fn run(&self) {
        let mut state = self.state();
        while !state.closed {
            let deadline = state.groups.values().filter_map(Group::deadline).min();
            let now = Instant::now();
            state = match deadline {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) if at > now => {
                    let wait = (at - now).max(TICK_MIN);
                    self.changed
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Some(_) => state,
            };
            let now = Instant::now();
            let mut out = Vec::new();
            for group in state
                .groups
                .values_mut()
                .filter(|group| group.deadline().is_some_and(|at| at <= now))
            {
                group.tick(now, &mut out);
            }
            state.groups.retain(|_, group| !group.is_forgettable());
            deliver(&mut state, out);
        }
    }

    fn call(
        &self,
        group: &str,
        waker: &Waker,
        work: impl FnOnce(&mut Group, Ticket, Instant, &mut Vec<Answer>),
    ) -> Option<Answer> {
        let (sender, receiver) = sync_channel(1);
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        state.waiting.insert(ticket, sender);
        let now = Instant::now();
        let mut out = Vec::new();
        let delay = self.initial_delay;
        work(
            state
                .groups
                .entry(group.to_owned())
                .or_insert_with(|| Group::new(delay, now)),
            ticket,
            now,
            &mut out,
        );
        self.settle(state, out);
        self.wait(ticket, &receiver, waker)
    }

    /// Waits for an answer, which may take as long as other members like. Nothing is kept of a client that goes
    /// meanwhile but its membership, until its time is over.
    fn wait(&self, ticket: Ticket, answer: &Receiver<Answer>, waker: &Waker) -> Option<Answer> {
        let mut look_after = if waker.was_gone() {
            Duration::ZERO
        } else {
            FIRST_LOOK
        };
        loop {
            match answer.recv_timeout(look_after) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if waker.was_gone() || waker.is_gone() => {
                    self.state().waiting.remove(&ticket);
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => look_after = LOOK_EVERY,
            }
        }
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, out: Vec<Answer>) {
        deliver(&mut state, out);
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deliver(state: &mut State, out: Vec<Answer>) {
    for answer in out {
        let ticket = match &answer {
            Answer::Join(ticket, _) | Answer::Sync(ticket, _) => *ticket,
        };
        if let Some(sender) = state.waiting.remove(&ticket) {
            // The connection may be gone; its member will miss its heartbeats.
            let _ = sender.try_send(answer);
        }
    }
}
