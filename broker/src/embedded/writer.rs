//! The one thread that changes the file: it takes all changes that wait, and commits them together.
//!
//! A change is a closure over the [`Ledger`]. Its answer is given after the commit; when there is no commit there is
//! no answer, which its submitter sees as [`Unavailable`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::checkpoint::Checkpoints;
use super::error::Unavailable;
use super::failpoint::{Point, pass, reach};
use super::ledger::Ledger;
use super::news::News;

/// Changes that share a commit, at most. Bounds how long the first of them waits.
const COMMIT_CHANGES_MAX: usize = 1_000;
/// Record bytes that share a commit, at most.
const COMMIT_BYTES_MAX: usize = 32 << 20;
/// Record bytes that wait, at most; further submitters wait for room.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Changes that wait, at most.
const QUEUE_CHANGES_MAX: usize = 10_000;

/// How long the file is left alone after it refused, as far as nobody asks for a change.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

type Answer = Box<dyn FnOnce() + Send>;
type Change = Box<dyn FnOnce(&mut Ledger) -> rusqlite::Result<Answer> + Send>;

/// What a change does to the room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Adds,
    /// It appends batches of no transaction and does nothing else.
    Appends,
    /// It deletes, so it is taken on a full disk too.
    Frees,
}

struct Queued {
    bytes: usize,
    effect: Effect,
    change: Change,
}

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Queued>,
    bytes: usize,
    closed: bool,
}

/// Where changes are handed in.
#[derive(Default)]
pub(crate) struct WriteQueue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Condvar,
    /// Told of every commit.
    pub(crate) news: News,
    /// Asked to copy the log when it is long.
    pub(crate) checkpoints: Checkpoints,
}

impl fmt::Debug for WriteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteQueue").finish_non_exhaustive()
    }
}

/// An answer that comes with the commit.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    answer: Receiver<T>,
    come: Option<Result<T, Unavailable>>,
}

impl<T> Pending<T> {
    /// Waits for the commit.
    pub(crate) fn wait(self) -> Result<T, Unavailable> {
        self.come
            .unwrap_or_else(|| self.answer.recv().map_err(|_| Unavailable))
    }

    /// Whether there is nothing to wait for any more.
    pub(crate) fn is_there(&mut self) -> bool {
        if self.come.is_none() {
            self.come = match self.answer.try_recv() {
                Ok(answer) => Some(Ok(answer)),
                Err(TryRecvError::Disconnected) => Some(Err(Unavailable)),
                Err(TryRecvError::Empty) => None,
            };
        }
        self.come.is_some()
    }
}

impl WriteQueue {
    /// Hands in a change that carries `bytes` of records. Waits only for room in the queue.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.queue(bytes, Effect::Adds, work)
    }

    /// The same for a change that appends batches of no transaction and does nothing else: a commit of such changes alone
    /// waits for less.
    pub(crate) fn append<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.queue(bytes, Effect::Appends, work)
    }

    /// Returns when the file has everything that was acknowledged before.
    pub(crate) fn settle(&self) -> Result<(), Unavailable> {
        // On a full disk as well: there is room for that much.
        self.queue(0, Effect::Frees, |_| Ok(())).wait()
    }

    fn queue<T: Send + 'static>(
        &self,
        bytes: usize,
        effect: Effect,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = sync_channel(1);
        let change: Change = Box::new(move |ledger| {
            let value = work(ledger)?;
            Ok(Box::new(move || {
                // Whoever asked may be gone; the change stands.
                let _ = sender.send(value);
            }))
        });
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !waiting.closed
            && (waiting.bytes + bytes > QUEUE_BYTES_MAX && waiting.bytes > 0
                || waiting.changes.len() >= QUEUE_CHANGES_MAX)
        {
            waiting = self
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.closed {
            waiting.bytes += bytes;
            waiting.changes.push_back(Queued {
                bytes,
                effect,
                change,
            });
            self.arrived.notify_one();
        }
        Pending {
            answer: receiver,
            come: None,
        }
    }

    /// Makes a change and waits for its commit.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.submit(0, work).wait()
    }

    /// Makes a change that deletes and waits for its commit. It is taken on a full disk too.
    pub(crate) fn free<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.queue(0, Effect::Frees, work).wait()
    }

    /// The same for a change that moves `bytes` of records so that more can be deleted.
    pub(crate) fn make_room<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.queue(bytes, Effect::Frees, work).wait()
    }

    /// Whether no change waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .changes
            .is_empty()
    }

    /// Takes no more changes. Those that wait are still made.
    pub(crate) fn close(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// Takes what waits, within the limits of one commit: nothing when `until` comes first. `None` when closed and empty.
    fn take(&self, until: Option<Instant>) -> Option<Vec<Queued>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.changes.is_empty() {
            if waiting.closed {
                return None;
            }
            let Some(until) = until else {
                waiting = self
                    .arrived
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Vec::new());
            }
            let woken = self.arrived.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = waiting.changes.front() {
            if !taken.is_empty()
                && (taken.len() >= COMMIT_CHANGES_MAX || bytes + next.bytes > COMMIT_BYTES_MAX)
            {
                break;
            }
            bytes += next.bytes;
            let next = waiting.changes.pop_front();
            taken.push(next.expect("the front was just seen"));
        }
        waiting.bytes -= bytes;
        self.room.notify_all();
        Some(taken)
    }
}

/// Whatever ends the writer, nobody waits for it in vain.
struct Leaving<'a>(&'a WriteQueue);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.close();
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.changes.clear();
    }
}

/// Runs until the queue is closed and empty.
pub(crate) fn run(queue: &Arc<WriteQueue>, mut ledger: Ledger) {
    let _leaving = Leaving(queue);
    let mut sound = true;
    // When the file is to be told what it lacks, if it refused that before.
    let mut not_before = Instant::now();
    while let Some(mut changes) = {
        let due = ledger.ahead.due().filter(|_| sound);
        queue.take(due.map(|due| due.max(not_before)))
    } {
        let is_quiet = changes.is_empty();
        if !sound {
            match ledger.reload() {
                Ok(()) => {
                    tracing::info!("embedded broker: the file answers again");
                    sound = true;
                }
                // The changes are dropped, which answers them; nothing is tried until the next ones come.
                Err(error) => {
                    tracing::error!(%error, "embedded broker: the file still refuses; changes are refused");
                    continue;
                }
            }
        }
        if ledger.spare.is_full(&queue.checkpoints) && !is_quiet {
            changes.retain(|queued| queued.effect == Effect::Frees);
            if changes.is_empty() {
                continue;
            }
        }
        match commit(&mut ledger, changes) {
            Ok(answers) => {
                answers.into_iter().for_each(|answer| answer());
                pass(Point::Answered);
                queue.news.tell();
                if let Err(error) = ledger.regain(&queue.checkpoints) {
                    tracing::warn!(%error, "embedded broker: pages cannot be given back to the full disk");
                }
                ledger.growth.after_commit(&ledger.db, &queue.checkpoints);
            }
            Err(error) => {
                if is_quiet {
                    tracing::error!(%error, "embedded broker: the file does not take what it lacks; nothing is refused for that, and it is tried again");
                } else {
                    tracing::error!(%error, "embedded broker: the file took no change; the changes are refused");
                }
                ledger.spare.hear(&error);
                sound = ledger.reload().is_ok();
                not_before = Instant::now() + REFUSED_PAUSE;
            }
        }
    }
    if sound
        && ledger.appender.finish()
        && let Err(error) = commit(&mut ledger, Vec::new())
    {
        tracing::warn!(%error, "embedded broker: the file does not take what it lacks; the next start finds it in the files of records");
    }
}

fn commit(ledger: &mut Ledger, changes: Vec<Queued>) -> rusqlite::Result<Vec<Answer>> {
    let bytes = changes.iter().map(|queued| queued.bytes).sum();
    let appends = |queued: &Queued| queued.effect == Effect::Appends;
    if !changes.is_empty() && changes.iter().all(appends) {
        ledger.begin_appends(bytes)?;
    } else {
        ledger.begin(bytes)?;
    }
    let mut answers = Vec::with_capacity(changes.len());
    for queued in changes {
        answers.push((queued.change)(ledger)?);
        reach(Point::Changed)?;
    }
    ledger.commit()?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::partition::TailBudget;
    use super::super::storage::{Readers, open_writer};
    use super::*;

    fn note(ledger: &mut Ledger, name: &str) -> rusqlite::Result<()> {
        ledger.db.execute(
            "insert into setting (name, value) values (?1, 'noted')",
            [name],
        )?;
        Ok(())
    }

    fn noted(readers: &Readers) -> i64 {
        let count = "select count(*) from setting where value = 'noted'";
        readers
            .read(|db| db.query_row(count, [], |row| row.get(0)))
            .unwrap()
    }

    /// A queue over a new file, with what reads the file beside it.
    fn queue(folder: &tempfile::TempDir) -> (Arc<WriteQueue>, Ledger, Arc<Readers>) {
        let path = folder.path().join("broker.db");
        let budget = Arc::new(TailBudget::new(0, 0));
        let ledger = Ledger::load(
            &path,
            open_writer(&path).unwrap(),
            Arc::default(),
            Arc::default(),
            budget,
        )
        .unwrap();
        let readers = Readers::new(path, Arc::clone(&ledger.appender.segments));
        (Arc::default(), ledger, Arc::new(readers))
    }

    #[test]
    fn changes_that_wait_share_one_commit_and_are_answered_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        let waiting: Vec<_> = (0..10)
            .map(|number| {
                let readers = Arc::clone(&readers);
                queue.submit(0, move |ledger| {
                    note(ledger, &number.to_string())?;
                    Ok(noted(&readers))
                })
            })
            .collect();
        queue.close();
        run(&queue, ledger);
        let seen_meanwhile: Vec<i64> = waiting
            .into_iter()
            .map(|pending| pending.wait().unwrap())
            .collect();
        assert_eq!((seen_meanwhile, noted(&readers)), (vec![0; 10], 10));
    }

    #[test]
    fn a_change_that_fails_takes_its_whole_commit_with_it_and_the_next_one_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        let good = queue.submit(0, |ledger| note(ledger, "good"));
        let bad = queue.submit(0, |ledger| {
            ledger.db.execute("insert into nowhere values (1)", [])
        });
        let serving = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || run(&queue, ledger))
        };
        assert_eq!(
            (good.wait(), bad.wait()),
            (Err(Unavailable), Err(Unavailable))
        );
        assert_eq!(noted(&readers), 0);
        assert_eq!(queue.write(|ledger| note(ledger, "next")), Ok(()));
        assert_eq!(noted(&readers), 1);
        queue.close();
        serving.join().unwrap();
        assert_eq!(queue.write(|ledger| note(ledger, "late")), Err(Unavailable));
    }

    #[test]
    fn when_the_writer_panics_everybody_is_refused_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, _) = queue(&folder);
        let bad = queue.submit(0, |_| -> rusqlite::Result<()> {
            panic!("a mistake of ours")
        });
        let with_it = queue.submit(0, |ledger| note(ledger, "with it"));
        let serving = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || run(&queue, ledger))
        };
        assert_eq!(
            (bad.wait(), with_it.wait()),
            (Err(Unavailable), Err(Unavailable))
        );
        assert!(serving.join().is_err());
        assert_eq!(queue.write(|ledger| note(ledger, "late")), Err(Unavailable));
    }
}
