//! Changes are made and committed by one thread at a time: all that wait share a commit.
//!
//! A change is a closure over the [`Ledger`]. Its answer is given after the commit; when there is no commit there is
//! no answer, which its submitter sees as [`Unavailable`].
//!
//! Who waits for a change commits it, and all others that wait, when nobody else is committing: handing it to another thread and
//! its answer back takes longer than the commit. What comes meanwhile is for the writer's own thread. (Flat combining, Hendler and
//! others, SPAA 2010, and the leader of a group commit in `RocksDB`, work in this way.)

use std::fmt;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::changes::{Answer, Change, Changes, Effect};
use super::checkpoint::Checkpoints;
use super::error::Unavailable;
use super::failpoint::{Point, pass, reach};
use super::ledger::Ledger;
use super::news::News;

/// How long the file is left alone after it refused, as far as nobody asks for a change.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Where changes are handed in, and committed.
#[derive(Default)]
pub(crate) struct WriteQueue {
    changes: Changes,
    /// Whoever has it commits. `None` before the writer's thread has begun, and after it has ended.
    desk: Mutex<Option<Writer>>,
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

/// An answer that comes with the commit. The change is made whatever becomes of this: waited for, or dropped.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    queue: Arc<WriteQueue>,
    answer: Receiver<T>,
    come: Option<Result<T, Unavailable>>,
    /// Whether the writer's thread need not be called for it any more.
    is_called: bool,
}

impl<T> Pending<T> {
    /// Leaves the commit to the writer's thread.
    fn call(&mut self) {
        if !self.is_called {
            self.is_called = true;
            self.queue.call();
        }
    }

    /// Waits for the commit, or makes it.
    pub(crate) fn wait(mut self) -> Result<T, Unavailable> {
        if !self.is_called {
            // Somebody else may have made it meanwhile.
            self.is_called = self.is_there() || self.queue.lead() && self.is_there();
        }
        self.call();
        let come = self.come.take();
        come.unwrap_or_else(|| self.answer.recv().map_err(|_| Unavailable))
    }

    /// Whether there is nothing to wait for any more.
    fn is_there(&mut self) -> bool {
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

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.call();
    }
}

impl WriteQueue {
    /// Hands in a change that carries `bytes` of records. Waits only for room in the queue.
    pub(crate) fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.queue(bytes, Effect::Adds, work)
    }

    /// The same for a change that appends batches of no transaction and does nothing else: a commit of such changes alone
    /// waits for less.
    pub(crate) fn append<T: Send + 'static>(
        self: &Arc<Self>,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.queue(bytes, Effect::Appends, work)
    }

    /// Returns when the file has everything that was acknowledged before.
    pub(crate) fn settle(self: &Arc<Self>) -> Result<(), Unavailable> {
        // On a full disk as well: there is room for that much.
        self.queue(0, Effect::Frees, |_| Ok(())).wait()
    }

    fn queue<T: Send + 'static>(
        self: &Arc<Self>,
        bytes: usize,
        effect: Effect,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = sync_channel(1);
        self.changes.add(Change {
            bytes,
            effect,
            work: Box::new(move |ledger| {
                let value = work(ledger)?;
                Ok(Box::new(move || {
                    // Whoever asked may be gone; the change stands.
                    let _ = sender.send(value);
                }))
            }),
        });
        Pending {
            queue: Arc::clone(self),
            answer: receiver,
            come: None,
            is_called: false,
        }
    }

    /// Makes a change and waits for its commit.
    pub(crate) fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.submit(0, work).wait()
    }

    /// Makes a change that deletes and waits for its commit. It is taken on a full disk too.
    pub(crate) fn free<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.queue(0, Effect::Frees, work).wait()
    }

    /// The same for a change that moves `bytes` of records so that more can be deleted.
    pub(crate) fn make_room<T: Send + 'static>(
        self: &Arc<Self>,
        bytes: usize,
        work: impl FnOnce(&mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.queue(bytes, Effect::Frees, work).wait()
    }

    /// Whether no change waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Has the writer's thread commit what waits.
    pub(crate) fn call(&self) {
        self.changes.call();
    }

    /// Takes no more changes. Those that wait are still made.
    pub(crate) fn close(&self) {
        self.changes.close();
    }

    /// Commits what waits, if nobody else is committing. Returns whether it did.
    fn lead(&self) -> bool {
        let _falling = Falling(self);
        // Somebody else is at it; or was, and panicked: then nobody commits any more.
        let Ok(mut desk) = self.desk.try_lock() else {
            return false;
        };
        let Some(writer) = desk.as_mut() else {
            return false;
        };
        writer.work(self);
        true
    }
}

/// Whatever breaks who commits, nobody waits for it in vain, and the file is closed. To be made before the desk is taken.
struct Falling<'a>(&'a WriteQueue);

impl Drop for Falling<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.changes.abandon();
            if let Err(broken) = self.0.desk.lock() {
                // Nothing is known of its state.
                drop(broken.into_inner().take());
            }
        }
    }
}

/// What whoever commits works with.
#[derive(Debug)]
struct Writer {
    ledger: Ledger,
    /// Whether it is as the file.
    is_sound: bool,
    /// When the file is to be told what it lacks, if it refused that before.
    not_before: Instant,
}

/// Runs the writer's thread until the queue is closed and empty.
pub(crate) fn run(queue: &WriteQueue, ledger: Ledger) {
    let writer = Writer::new(ledger);
    // What a process before did not tell the file.
    queue.changes.set_due(writer.due());
    if let Ok(mut desk) = queue.desk.lock() {
        *desk = Some(writer);
    }
    work_until_closed(queue);
}

fn work_until_closed(queue: &WriteQueue) {
    let _falling = Falling(queue);
    while queue.changes.wait() {
        let Ok(mut desk) = queue.desk.lock() else {
            break;
        };
        let Some(writer) = desk.as_mut() else {
            break;
        };
        writer.work(queue);
    }
    let ended = queue.desk.lock().map(|mut desk| desk.take());
    if let Ok(Some(writer)) = ended {
        writer.finish();
    }
}

impl Writer {
    fn new(ledger: Ledger) -> Writer {
        Writer {
            ledger,
            is_sound: true,
            not_before: Instant::now(),
        }
    }

    /// When the file is to be told what it lacks, if nothing else is to be done.
    fn due(&self) -> Option<Instant> {
        let due = self.ledger.ahead.due().filter(|_| self.is_sound)?;
        Some(due.max(self.not_before))
    }

    /// Commits what waits. If nothing does, tells the file what it lacks once that is due.
    fn work(&mut self, queue: &WriteQueue) {
        let changes = queue.changes.take();
        let is_due = || self.due().is_some_and(|due| due <= Instant::now());
        if !changes.is_empty() || is_due() {
            self.commit(queue, changes);
        }
        queue.changes.set_due(self.due());
    }

    fn commit(&mut self, queue: &WriteQueue, mut changes: Vec<Change>) {
        let is_quiet = changes.is_empty();
        let ledger = &mut self.ledger;
        if !self.is_sound {
            match ledger.reload() {
                Ok(()) => {
                    tracing::info!("embedded broker: the file answers again");
                    self.is_sound = true;
                }
                // The changes are dropped, which answers them; nothing is tried until the next ones come.
                Err(error) => {
                    tracing::error!(%error, "embedded broker: the file still refuses; changes are refused");
                    return;
                }
            }
        }
        if ledger.spare.is_full(&queue.checkpoints) && !is_quiet {
            changes.retain(|change| change.effect == Effect::Frees);
            if changes.is_empty() {
                return;
            }
        }
        match commit(ledger, changes) {
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
                self.is_sound = ledger.reload().is_ok();
                self.not_before = Instant::now() + REFUSED_PAUSE;
            }
        }
    }

    fn finish(mut self) {
        if self.is_sound
            && self.ledger.appender.finish()
            && let Err(error) = commit(&mut self.ledger, Vec::new())
        {
            tracing::warn!(%error, "embedded broker: the file does not take what it lacks; the next start finds it in the files of records");
        }
    }
}

fn commit(ledger: &mut Ledger, changes: Vec<Change>) -> rusqlite::Result<Vec<Answer>> {
    let bytes = changes.iter().map(|change| change.bytes).sum();
    let appends = |change: &Change| change.effect == Effect::Appends;
    if !changes.is_empty() && changes.iter().all(appends) {
        ledger.begin_appends(bytes)?;
    } else {
        ledger.begin(bytes)?;
    }
    let mut answers = Vec::with_capacity(changes.len());
    for change in changes {
        answers.push((change.work)(ledger)?);
        reach(Point::Changed)?;
    }
    ledger.commit()?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::{JoinHandle, ThreadId};

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

    fn serve(queue: &Arc<WriteQueue>, ledger: Ledger) -> JoinHandle<()> {
        let queue = Arc::clone(queue);
        thread::spawn(move || run(&queue, ledger))
    }

    fn is_file_closed(queue: &WriteQueue) -> bool {
        let desk = queue.desk.lock().unwrap_err();
        desk.get_ref().is_none()
    }

    /// A change that tells which thread made it.
    fn maker(_: &mut Ledger) -> rusqlite::Result<ThreadId> {
        Ok(thread::current().id())
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
    fn who_waits_commits_what_waits_when_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        *queue.desk.lock().unwrap() = Some(Writer::new(ledger));
        let mut earlier = queue.submit(0, |ledger| note(ledger, "earlier"));
        // There is no thread of the writer here.
        assert_eq!(queue.write(maker), Ok(thread::current().id()));
        assert!(earlier.is_there());
        assert_eq!(noted(&readers), 1);
    }

    #[test]
    fn what_comes_while_somebody_commits_is_for_the_writers_thread() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        *queue.desk.lock().unwrap() = Some(Writer::new(ledger));
        let (report, begun) = channel();
        let (release, released) = channel();
        let leader = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.write(move |ledger| {
                    report.send(()).unwrap();
                    released.recv().unwrap();
                    maker(ledger)
                })
            })
        };
        begun.recv().unwrap();
        let (mut called, dropped) = (queue.submit(0, maker), queue.submit(0, maker));
        called.call();
        drop(dropped);
        let mut waited = queue.submit(0, |ledger| {
            note(ledger, "waited")?;
            maker(ledger)
        });
        assert!(!queue.lead());
        waited.call();
        let leads = leader.thread().id();
        let serving = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || work_until_closed(&queue))
        };
        release.send(()).unwrap();
        assert_eq!(leader.join().unwrap(), Ok(leads));
        let by = Ok(serving.thread().id());
        assert_eq!((called.wait(), waited.wait()), (by, by));
        assert_eq!(noted(&readers), 1);
        queue.close();
        serving.join().unwrap();
    }

    #[test]
    fn a_change_is_made_though_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        let serving = serve(&queue, ledger);
        let (report, made) = channel();
        drop(queue.submit(0, move |ledger| {
            note(ledger, "dropped")?;
            report.send(()).unwrap();
            Ok(())
        }));
        made.recv().unwrap();
        queue.close();
        serving.join().unwrap();
        assert_eq!(noted(&readers), 1);
    }

    #[test]
    fn a_change_that_fails_takes_its_whole_commit_with_it_and_the_next_one_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, readers) = queue(&folder);
        let good = queue.submit(0, |ledger| note(ledger, "good"));
        let bad = queue.submit(0, |ledger| {
            ledger.db.execute("insert into nowhere values (1)", [])
        });
        let serving = serve(&queue, ledger);
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
        let mut bad = queue.submit(0, |_| -> rusqlite::Result<()> {
            panic!("a mistake of ours")
        });
        let mut with_it = queue.submit(0, |ledger| note(ledger, "with it"));
        bad.call();
        with_it.call();
        let serving = serve(&queue, ledger);
        assert_eq!(
            (bad.wait(), with_it.wait()),
            (Err(Unavailable), Err(Unavailable))
        );
        assert!(serving.join().is_err());
        assert_eq!(queue.write(|ledger| note(ledger, "late")), Err(Unavailable));
        assert!(is_file_closed(&queue));
    }

    #[test]
    fn when_another_thread_panics_over_a_commit_everybody_is_refused_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, ledger, _) = queue(&folder);
        *queue.desk.lock().unwrap() = Some(Writer::new(ledger));
        let with_it = queue.submit(0, |ledger| note(ledger, "with it"));
        let leader = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.write(|_| -> rusqlite::Result<()> { panic!("a mistake of ours") })
            })
        };
        assert!(leader.join().is_err());
        assert_eq!(with_it.wait(), Err(Unavailable));
        assert_eq!(queue.write(|ledger| note(ledger, "late")), Err(Unavailable));
        assert!(is_file_closed(&queue));
        // The writer's thread ends by itself.
        work_until_closed(&queue);
    }
}
