//! The one thread that writes. What waits in its queue is committed together and acknowledged afterwards.
//!
//! A sync of the disk costs milliseconds whatever it covers, so the writes that arrive during one share the
//! next. Nothing waits on purpose: a single write is committed at once. Knows no tables.
//!
//! A job that fails undoes nothing but itself. Most fail before they have changed anything, by a precondition
//! that does not hold, and leave nothing to undo; so a group runs without savepoints first, and only when one
//! failed behind a change of its own the whole group runs again with a savepoint for each.

use super::fault::{RowError, explain};
use super::tail::Tail;
use crate::error::StoreError;
use crate::store::StoreHealth;
use haus_model::Timestamp;
use haus_model::error::chain;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Callers beyond this many waiting writes wait for a place in the queue, or are refused, instead of filling
/// the memory.
const QUEUE_MAX: usize = 1_024;
/// Writes in one transaction; bounds how long the first of them waits for the last.
const BATCH_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Writer {
    // Both are `Some` until drop.
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<WriterState>,
}

#[derive(Debug)]
struct WriterState {
    waiting: AtomicUsize,
    condition: Mutex<Condition>,
}

#[derive(Debug)]
struct Condition {
    writable: bool,
    last_error: Option<String>,
    since: Timestamp,
}

/// A write that waits. It may run more than once: a transaction that fails as a whole is taken apart.
trait Job: Send {
    fn run(&mut self, connection: &Connection, tail: &mut Tail) -> Result<(), RowError>;
    fn attempt(&self) -> &'static str;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct JobOf<T, F> {
    attempt: &'static str,
    work: F,
    value: Option<T>,
    reply: Reply<T>,
}

impl<T: Send, F: FnMut(&Connection, &mut Tail) -> Result<T, RowError> + Send> Job for JobOf<T, F> {
    fn run(&mut self, connection: &Connection, tail: &mut Tail) -> Result<(), RowError> {
        self.value = Some((self.work)(connection, tail)?);
        Ok(())
    }

    fn attempt(&self) -> &'static str {
        self.attempt
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let JobOf { value, mut reply, .. } = *self;
        reply.send(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Who waits for a write. Dropped without an answer, as in a writer that panicked, it answers `Closed`: a
/// caller is told exactly once, whatever happens.
struct Reply<T> {
    done: Option<Done<T>>,
    state: Arc<WriterState>,
}

impl<T> Reply<T> {
    /// Counts as waiting from here on.
    fn new(state: &Arc<WriterState>, done: Done<T>) -> Reply<T> {
        state.waiting.fetch_add(1, Ordering::Relaxed);
        Reply { done: Some(done), state: Arc::clone(state) }
    }

    fn send(&mut self, outcome: Result<T, StoreError>) {
        let Some(done) = self.done.take() else { return };
        self.state.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Err(StoreError::Closed) = &outcome {
            self.state.note(Err(&StoreError::Closed));
        }
        // The callback is a stranger on the one thread that writes; its panic must not end the store.
        let _ = catch_unwind(AssertUnwindSafe(move || done(outcome)));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.send(Err(StoreError::Closed));
    }
}

impl Writer {
    pub(crate) fn start(connection: Connection, path: PathBuf) -> Result<Writer, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let condition = Condition { writable: true, last_error: None, since: clock() };
        let state = Arc::new(WriterState { waiting: AtomicUsize::new(0), condition: Mutex::new(condition) });
        let worker = Worker { connection, path: path.clone(), state: Arc::clone(&state) };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(&jobs))
            .map_err(|error| StoreError::Open { path, source: Arc::new(error) })?;
        Ok(Writer { queue: Some(queue), thread: Some(thread), state })
    }

    /// Carries `work` out in a transaction and returns when the disk has it. `work` may run several times.
    /// Waits for a place when the queue is full.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        attempt: &'static str,
        work: impl FnMut(&Connection, &mut Tail) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = sync_channel(1);
        // A caller that has gone away no longer wants the answer.
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        let reply = Reply::new(&self.state, done);
        let job = Box::new(JobOf { attempt, work, value: None, reply });
        // A queue that takes nothing drops the job, which answers `Closed`.
        self.queue.as_ref().map(|queue| queue.send(job));
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// The same without waiting for anything: `done` is called when the disk has it, on the writer's thread,
    /// or at once when the queue is full.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        attempt: &'static str,
        work: impl FnMut(&Connection, &mut Tail) -> Result<T, RowError> + Send + 'static,
        done: Done<T>,
    ) {
        let reply = Reply::new(&self.state, done);
        let job: Box<dyn Job> = Box::new(JobOf { attempt, work, value: None, reply });
        if let Some(Err(TrySendError::Full(job))) = self.queue.as_ref().map(|queue| queue.try_send(job)) {
            // The one that is refused does not wait itself.
            let waiting = self.state.waiting.load(Ordering::Relaxed).saturating_sub(1);
            job.answer(Err(StoreError::Overloaded { waiting }));
        }
    }

    pub(crate) fn health(&self, bytes: u64) -> StoreHealth {
        let condition = self.state.condition.lock().unwrap_or_else(PoisonError::into_inner);
        StoreHealth {
            writable: condition.writable,
            last_error: condition.last_error.clone(),
            since: condition.since,
            queue_len: self.state.waiting.load(Ordering::Relaxed),
            bytes,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has already answered everybody with `Closed`.
            let _ = thread.join();
        }
    }
}

impl WriterState {
    fn note(&self, outcome: Result<(), &StoreError>) {
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        let writable = outcome.is_ok();
        if let Err(error) = outcome {
            condition.last_error = Some(chain(error));
        }
        if condition.writable != writable {
            condition.writable = writable;
            condition.since = clock();
        }
    }
}

fn clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(since_epoch)
}

type Outcomes = Vec<Result<(), StoreError>>;

/// How the jobs of a group share their transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// Without savepoints. A failure behind a change of the same job cannot be undone alone.
    Together,
    /// Each in a savepoint of its own.
    Apart,
}

struct Worker {
    connection: Connection,
    path: PathBuf,
    state: Arc<WriterState>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            batch.extend(jobs.try_iter().take(BATCH_MAX - 1));
            self.carry_out(batch);
        }
    }

    fn carry_out(&mut self, mut batch: Vec<Box<dyn Job>>) {
        match self.commit(&mut batch) {
            Ok(outcomes) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    self.answer(job, outcome);
                }
            }
            // The whole transaction is gone. Alone, the small and the innocent may still succeed.
            Err(error) if batch.len() > 1 && worth_taking_apart(&error) => {
                for mut job in batch {
                    let outcome = self.commit(std::slice::from_mut(&mut job));
                    let outcome = outcome.and_then(|mut outcomes| outcomes.pop().unwrap_or(Ok(())));
                    self.answer(job, outcome);
                }
            }
            Err(error) => {
                for job in batch {
                    self.answer(job, Err(error.clone()));
                }
            }
        }
    }

    /// One transaction. An outer error means that nothing of it holds, an inner one that only one job failed.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Outcomes, StoreError> {
        match self.transact(batch, Care::Together)? {
            Some(outcomes) => Ok(outcomes),
            None => Ok(self.transact(batch, Care::Apart)?.unwrap_or_default()),
        }
    }

    /// Gives nothing when jobs that run together have to be run apart; then nothing was kept.
    fn transact(&mut self, batch: &mut [Box<dyn Job>], care: Care) -> Result<Option<Outcomes>, StoreError> {
        let path: &Path = &self.path;
        let failed = |error| explain(error, path, "write to the database");
        let unwritten = |error: RowError| error.explain(path, "write to the trail");
        let mut transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut tail = Tail::default();
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            let (before, mark) = (transaction.total_changes(), tail.mark());
            let outcome = match care {
                Care::Together => job.run(&transaction, &mut tail),
                Care::Apart => {
                    // Before the savepoint: what others appended must not be undone with this job.
                    tail.flush(&transaction).map_err(unwritten)?;
                    run_apart(&mut transaction, job.as_mut(), &mut tail)
                }
            };
            let outcome = outcome.map_err(|error| error.explain(path, job.attempt()));
            // Some failures (a full disk, a lost one) make SQLite undo the transaction by itself.
            if transaction.is_autocommit() {
                return Err(outcome.err().unwrap_or(StoreError::Closed));
            }
            if outcome.is_err() {
                if care == Care::Together && transaction.total_changes() != before {
                    // Dropped without a commit, the transaction is undone.
                    return Ok(None);
                }
                tail.undo(mark);
            }
            outcomes.push(outcome);
        }
        tail.flush(&transaction).map_err(unwritten)?;
        transaction.commit().map_err(failed)?;
        Ok(Some(outcomes))
    }

    fn answer(&self, job: Box<dyn Job>, outcome: Result<(), StoreError>) {
        match &outcome {
            Ok(()) => self.state.note(Ok(())),
            // The store works and says no.
            Err(error) if error.is_refusal() => {}
            Err(error) => self.state.note(Err(error)),
        }
        job.answer(outcome);
    }
}

/// Runs one job so that its failure undoes nothing but itself.
fn run_apart(transaction: &mut Transaction<'_>, job: &mut dyn Job, tail: &mut Tail) -> Result<(), RowError> {
    let savepoint = transaction.savepoint()?;
    let mark = tail.mark();
    if let Err(error) = job.run(&savepoint, tail) {
        tail.undo(mark);
        return Err(error);
    }
    Ok(savepoint.commit()?)
}

/// Whether jobs may fare differently alone. Waiting for a foreign lock once per job would take minutes, and
/// after a failed sync nothing may be repeated: the disk may have it.
fn worth_taking_apart(error: &StoreError) -> bool {
    match error {
        StoreError::Full { .. } | StoreError::Sql { .. } => true,
        StoreError::Open { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Foreign { .. }
        | StoreError::Busy { .. }
        | StoreError::Io { .. }
        | StoreError::Closed
        | StoreError::Newer { .. }
        | StoreError::PortTaken { .. }
        | StoreError::NoPort { .. }
        | StoreError::Conflict { .. }
        | StoreError::Overloaded { .. }
        | StoreError::Unavailable { .. }
        | StoreError::NoTrail { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_writer_that_panics_answers_everybody_once() {
        let connection = Connection::open_in_memory().unwrap();
        let writer = Writer::start(connection, PathBuf::from("house.db")).unwrap();
        let (begun, wait) = (channel(), channel::<()>());
        // Holds the writer until the others wait behind it.
        writer.submit(
            "hold the writer",
            move |_, _| {
                begun.0.send(()).unwrap();
                let _ = wait.1.recv();
                Ok(())
            },
            Box::new(|_| {}),
        );
        begun.1.recv().unwrap();
        let (sender, answers) = channel();
        for number in 0..5 {
            let sender = sender.clone();
            let work = move |_: &Connection, _: &mut Tail| {
                assert_ne!(number, 2, "the writer dies, on purpose");
                Ok(number)
            };
            writer.submit("count", work, Box::new(move |outcome| sender.send(outcome).unwrap()));
        }
        drop(wait.0);
        drop(sender);
        let answers: Vec<_> = answers.iter().collect();
        assert_eq!(answers.len(), 5);
        assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Closed))), "{answers:?}");
        assert!(matches!(writer.write("come later", |_, _| Ok(())), Err(StoreError::Closed)));
        let health = writer.health(0);
        assert_eq!((health.queue_len, health.writable), (0, false));
    }
}
