//! Carries out a batch of commands in one transaction: one look-up, the handlers in order, one remembering, one commit.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::handler::{AnyLocal, Caught};
use crate::memory::{Entry, Memory, MemoryError, Remembered};
use crate::said::Said;
use crate::verdict::{DoneKnown, Verdict, decide};
use crate::work::{Answer, Work};

/// One piece of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Names the piece to whoever made the batch.
    pub(crate) ticket: u64,
    pub(crate) work: Arc<Work>,
    pub(crate) task: Task,
}

/// What to do with a command inside of the transaction.
#[derive(Clone)]
pub(crate) enum Task {
    /// Ask the memory, run the handler, remember.
    Run(Arc<dyn AnyLocal>),
    /// Ask the memory; if the handler has to run, remember that it was begun.
    Begin,
    /// Remember what an outside handler answered.
    Finish(Answer),
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Run(_) => "Run",
            Self::Begin => "Begin",
            Self::Finish(_) => "Finish",
        })
    }
}

/// What became of one piece.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// Say this.
    Say(Said),
    /// Say this again: the memory knew it.
    Repeat(Said),
    /// Run the outside handler on this work (the output of the do filled in), then come back with its answer.
    Go(Arc<Work>),
    /// Say nothing.
    Silence,
}

/// Runs the batch. On success each item has an outcome, in the order of the items, and all of it is committed. After an
/// error nobody knows whether anything is; the same batch can be run again, and finds out.
pub(crate) async fn run_batch<M: Memory>(
    memory: &mut M,
    items: &[Item],
    handler_timeout: Duration,
    at_ms: i64,
) -> Result<Vec<Outcome>, MemoryError> {
    let result = attempt(memory, items, handler_timeout, at_ms).await;
    if result.is_err() {
        memory.rollback().await;
    }
    result
}

async fn attempt<M: Memory>(
    memory: &mut M,
    items: &[Item],
    handler_timeout: Duration,
    at_ms: i64,
) -> Result<Vec<Outcome>, MemoryError> {
    let sagas: Vec<&str> = items.iter().map(|item| item.work.saga.as_str()).collect();
    let mut known = Known::open(memory, &sagas, items).await?;
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        outcomes.push(settle(memory, &mut known, item, handler_timeout).await?);
    }
    known.remember(memory, at_ms).await?;
    memory.commit().await?;
    Ok(outcomes)
}

async fn settle<'i, M: Memory>(
    memory: &mut M,
    known: &mut Known<'i>,
    item: &'i Item,
    handler_timeout: Duration,
) -> Result<Outcome, MemoryError> {
    let work = &*item.work;
    let handler = match &item.task {
        Task::Finish(answer) => return Ok(finish(known, work, answer)),
        Task::Begin => None,
        Task::Run(handler) => Some(handler),
    };
    match known.decide(work) {
        Verdict::Repeat => return Ok(Outcome::Repeat(known.answer_of(work))),
        Verdict::TooLate => return Ok(Outcome::Repeat(Said::too_late())),
        Verdict::NothingToUndo { bar } => {
            known.bar(work, bar);
            return Ok(known.say(work, Said::nothing_to_undo()));
        }
        // A bar stays even if the undo fails: it only keeps the do from beginning.
        Verdict::Run { bar } => known.bar(work, bar),
    }
    let work_with_output = known.fill_output(&item.work);
    let Some(handler) = handler else {
        known.begin(work);
        return Ok(Outcome::Go(work_with_output));
    };
    let answer = {
        let mut tx = memory.tx();
        let answering = Caught::new(handler.call(&work_with_output, &mut tx), &work_with_output);
        tokio::time::timeout(handler_timeout, answering)
            .await
            .unwrap_or_else(|_| handler_timed_out(handler_timeout))
    };
    let said = Said::from_answer(answer);
    if matches!(said, Some(Said::Done { .. })) {
        memory.keep().await?;
    } else {
        memory.undo().await?;
    }
    Ok(said.map_or(Outcome::Silence, |said| known.say(work, said)))
}

/// Remembers the answer of an outside handler, unless somebody else has settled its key meanwhile: then that counts.
fn finish<'i>(known: &mut Known<'i>, work: &'i Work, answer: &Answer) -> Outcome {
    match known.get(&work.key) {
        Some(Entry::Done { .. } | Entry::Refused { .. }) => Outcome::Repeat(known.answer_of(work)),
        Some(Entry::Barred { .. }) => {
            tracing::warn!(
                saga.id = work.saga,
                saga.step = work.step,
                activity = work.activity,
                "an outside handler answered after its undo; the outside must undo by key"
            );
            Outcome::Repeat(Said::too_late())
        }
        None | Some(Entry::Begun) => match Said::from_answer(answer.clone()) {
            Some(said) => known.say(work, said),
            None => Outcome::Silence,
        },
    }
}

/// The answer in place of a handler's that took too long.
fn handler_timed_out(after: Duration) -> Answer {
    Answer::failed("handler_timeout", format!("no answer within {after:?}"))
}

/// What is remembered under the keys of a batch, and what the batch adds to it.
struct Known<'i> {
    entries: HashMap<&'i str, Slot>,
    /// The keys that changed, in the order they did.
    changed: Vec<&'i str>,
}

#[derive(Default)]
struct Slot {
    entry: Option<Entry>,
    changed: bool,
}

impl<'i> Known<'i> {
    /// Begins the transaction and looks up what it is about.
    async fn open<M: Memory>(
        memory: &mut M,
        sagas: &[&str],
        items: &'i [Item],
    ) -> Result<Self, MemoryError> {
        let mut entries: HashMap<&str, Slot> = HashMap::with_capacity(items.len() * 2);
        for item in items {
            entries.entry(&item.work.key).or_default();
            if let Some(done_key) = &item.work.done_key {
                entries.entry(done_key).or_default();
            }
        }
        let keys: Vec<&str> = entries.keys().copied().collect();
        for (key, entry) in memory.begin(sagas, &keys).await? {
            if let Some(slot) = entries.get_mut(key.as_str()) {
                slot.entry = Some(entry);
            }
        }
        Ok(Self {
            entries,
            changed: Vec::with_capacity(items.len()),
        })
    }

    fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)?.entry.as_ref()
    }

    fn decide(&self, work: &Work) -> Verdict {
        let done = work.done_key.as_ref().map(|key| DoneKnown {
            entry: self.get(key),
            output_known: work.output.is_some(),
        });
        decide(work.direction, self.get(&work.key), done)
    }

    /// The remembered answer in words.
    fn answer_of(&self, work: &Work) -> Said {
        match self.get(&work.key) {
            Some(Entry::Done { output }) => Said::Done {
                output: output.clone(),
            },
            Some(Entry::Refused { code, reason }) => Said::Refused {
                code: code.clone(),
                reason: reason.clone(),
            },
            Some(Entry::Begun | Entry::Barred { .. }) | None => Said::too_late(),
        }
    }

    /// Remembers what is said, if it is something that is kept.
    fn say(&mut self, work: &'i Work, said: Said) -> Outcome {
        match &said {
            Said::Done { output } => {
                let output = output.clone();
                self.set(&work.key, Entry::Done { output });
            }
            Said::Refused { code, reason } => {
                let (code, reason) = (code.clone(), reason.clone());
                self.set(&work.key, Entry::Refused { code, reason });
            }
            Said::Failed { .. } => {}
        }
        Outcome::Say(said)
    }

    fn begin(&mut self, work: &'i Work) {
        if self.get(&work.key).is_none() {
            self.set(&work.key, Entry::Begun);
        }
    }

    fn bar(&mut self, work: &'i Work, bar: Option<Entry>) {
        if let (Some(done_key), Some(bar)) = (&work.done_key, bar) {
            self.set(done_key, bar);
        }
    }

    fn set(&mut self, key: &'i str, entry: Entry) {
        let slot = self.entries.entry(key).or_default();
        if !slot.changed {
            slot.changed = true;
            self.changed.push(key);
        }
        slot.entry = Some(entry);
    }

    /// Gives an undo the output of its do, where only the memory knows it.
    fn fill_output(&self, work: &Arc<Work>) -> Arc<Work> {
        let done = work.done_key.as_ref().and_then(|key| self.get(key));
        if let Some(Entry::Done { output }) = done
            && work.output.is_none()
        {
            return Arc::new(Work {
                output: serde_json::from_slice(output).ok(),
                ..Work::clone(work)
            });
        }
        Arc::clone(work)
    }

    async fn remember<M: Memory>(&self, memory: &mut M, at_ms: i64) -> Result<(), MemoryError> {
        let new: Vec<Remembered<'_>> = self
            .changed
            .iter()
            .filter_map(|key| self.get(key).map(|entry| Remembered { key, entry }))
            .collect();
        memory.remember(&new, at_ms).await
    }
}
