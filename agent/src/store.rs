//! The thread that owns the spool. The capture thread hands records over without ever waiting; the asynchronous
//! half asks for batches and brings acknowledgements.

use crate::files::Directory;
use crate::state;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use telltale_core::spool::{Allowance, AppendError, OpenError, OpenReport, Spool, SpoolConfig, SpoolStats};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::{LossRecord, LossStage, Record};
use telltale_wire::sync::{Ack, Batch};
use telltale_wire::time::{MonoTime, Stamp};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

/// Commands that wait for the thread. A record is a few hundred bytes: about 1 MB at the worst.
const MAX_COMMANDS: usize = 1024;

/// The thread looks up at least this often, so that a clock of a replay may run as it likes.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How long the asynchronous half steps back when capture fills the channel.
const STEP_BACK: Duration = Duration::from_millis(5);

/// Gives the time: of the system when live, of the log in a replay.
pub type Clock = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// Why the store did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// See [`OpenError`].
    #[error(transparent)]
    Spool(#[from] OpenError),
    /// The system gives no thread.
    #[error("the store's thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// The thread has ended; nothing is stored any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the store has ended")]
pub struct StoreEnded;

/// What the uplink watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Durable {
    /// Records that wait for an acknowledgement.
    pub waiting: u64,
    /// Critical records made durable in this boot.
    pub critical: u64,
}

enum Command {
    Append(Record),
    /// A small state that outlives a power cut.
    Keep(PathBuf, Vec<u8>),
    Lose(LossRecord),
    NextBatch(Allowance, oneshot::Sender<Vec<Batch>>),
    Ack(Vec<Ack>, oneshot::Sender<()>),
    Discard {
        boot: BootId,
        lane: Lane,
        seq: Seq,
        why: String,
        done: oneshot::Sender<()>,
    },
    Flush(oneshot::Sender<()>),
    Stats(oneshot::Sender<SpoolStats>),
    Close,
}

/// Records that found the channel full.
#[derive(Clone, Copy, Debug)]
struct Losing {
    count: u64,
    since: Stamp,
}

/// A way to the store, for any thread. Clones lead to the same store.
#[derive(Clone)]
pub struct StoreHandle {
    commands: SyncSender<Command>,
    losing: Arc<Mutex<Option<Losing>>>,
    durable: watch::Receiver<Durable>,
}

/// The store's thread. Dropping this without [`Store::close`] loses what is not yet due, as a power cut would.
pub struct Store {
    handle: StoreHandle,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the spool of a locked directory for this boot and starts the thread.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        files: Directory,
        config: SpoolConfig,
        boot: BootId,
        clock: Clock,
    ) -> Result<(Self, OpenReport), StartError> {
        let (spool, report) = Spool::open(files, config, boot, clock())?;
        let (commands, inbox) = sync_channel(MAX_COMMANDS);
        let (durable, watching) = watch::channel(Durable::default());
        let keeper = Keeper { spool, clock, durable };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || keeper.run(&inbox));
        let handle = StoreHandle { commands, losing: Arc::default(), durable: watching };
        Ok((Self { handle, thread: Some(thread.map_err(StartError::Thread)?) }, report))
    }

    /// A way to the store.
    #[must_use]
    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Makes everything durable and ends the thread.
    pub fn close(mut self) {
        self.handle.report_losing();
        // A thread that is gone has nothing left to close.
        let _ = self.handle.commands.send(Command::Close);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the store's thread had failed");
        }
    }
}

impl StoreHandle {
    /// Hands a record over without waiting. If the channel is full the record is lost and counted; a loss record
    /// goes ahead of the next one that finds room.
    pub fn append(&self, at: Stamp, record: Record) {
        if !self.report_losing() || self.commands.try_send(Command::Append(record)).is_err() {
            let mut losing = self.losing.lock().unwrap_or_else(PoisonError::into_inner);
            losing.get_or_insert(Losing { count: 0, since: at }).count += 1;
        }
    }

    /// Hands over a small state to be kept in a file, without waiting. False if there is no room now: try again with
    /// what there is then.
    #[must_use]
    pub fn keep(&self, path: PathBuf, state: Vec<u8>) -> bool {
        self.commands.try_send(Command::Keep(path, state)).is_ok()
    }

    /// Hands a record over, waiting for room: for a source that can wait, as a log can.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub fn append_waiting(&self, record: Record) -> Result<(), StoreEnded> {
        self.commands.send(Command::Append(record)).map_err(|_| StoreEnded)
    }

    /// Accounts for something that was lost on the way to the store. False if there is no room now: keep the count
    /// and try again.
    #[must_use]
    pub fn record_loss(&self, loss: LossRecord) -> bool {
        self.commands.try_send(Command::Lose(loss)).is_ok()
    }

    /// The records to send next; the same again until they are acknowledged.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub async fn next_batch(&self, allowance: impl Into<Allowance>) -> Result<Vec<Batch>, StoreEnded> {
        let allowance = allowance.into();
        self.ask(|reply| Command::NextBatch(allowance, reply)).await
    }

    /// Brings the cloud's acknowledgements.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub async fn ack(&self, acks: Vec<Ack>) -> Result<(), StoreEnded> {
        self.ask(|reply| Command::Ack(acks, reply)).await
    }

    /// Gives up a record that the cloud will never take.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub async fn discard(&self, boot: BootId, lane: Lane, seq: Seq, why: String) -> Result<(), StoreEnded> {
        self.ask(|done| Command::Discard { boot, lane, seq, why, done }).await
    }

    /// Makes everything that was handed over before durable.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub async fn flush(&self) -> Result<(), StoreEnded> {
        self.report_losing();
        self.ask(Command::Flush).await
    }

    /// What the spool holds and has done.
    ///
    /// # Errors
    /// [`StoreEnded`].
    pub async fn stats(&self) -> Result<SpoolStats, StoreEnded> {
        self.ask(Command::Stats).await
    }

    /// Changes whenever records become durable or are acknowledged.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Durable> {
        self.durable.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, StoreEnded> {
        let (reply, answer) = oneshot::channel();
        let mut command = command(reply);
        loop {
            match self.commands.try_send(command) {
                Ok(()) => return answer.await.map_err(|_| StoreEnded),
                Err(TrySendError::Disconnected(_)) => return Err(StoreEnded),
                Err(TrySendError::Full(back)) => command = back,
            }
            tokio::time::sleep(STEP_BACK).await;
        }
    }

    /// Tells of records that found no room; false if there is still none.
    fn report_losing(&self) -> bool {
        let mut losing = self.losing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Losing { count, since }) = *losing else { return true };
        let why = "the store could not keep up".to_owned();
        let told =
            self.record_loss(LossRecord { at: since, stage: LossStage::Channel, count, range: None, why });
        if told {
            *losing = None;
        }
        told
    }
}

/// The thread's side.
struct Keeper {
    spool: Spool<Directory>,
    clock: Clock,
    durable: watch::Sender<Durable>,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            self.publish();
            match inbox.recv_timeout(self.wait()) {
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.serve(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = (self.clock)();
            if self.spool.next_sync_deadline().is_some_and(|due| due <= now.mono) {
                self.spool.sync(now);
            }
        }
        self.spool.flush((self.clock)());
    }

    fn wait(&self) -> Duration {
        let now = (self.clock)().mono;
        self.spool.next_sync_deadline().map_or(MAX_WAIT, |due: MonoTime| due.since(now).min(MAX_WAIT))
    }

    /// Answers whose asker is gone are dropped.
    fn serve(&mut self, command: Command) {
        let now = (self.clock)();
        match command {
            Command::Append(record) => match self.spool.append(now, &record) {
                Ok(_) | Err(AppendError::Lost { .. }) => {}
                Err(error @ (AppendError::Record(_) | AppendError::TooLong { .. })) => {
                    log::error!("a record was not stored: {error}");
                    let why = error.to_string();
                    let loss =
                        LossRecord { at: now, stage: LossStage::SpoolWrite, count: 1, range: None, why };
                    self.spool.record_loss(loss);
                }
            },
            Command::Keep(path, state) => {
                if let Err(error) = state::replace_file(&path, &state) {
                    log::error!("{:#}", anyhow::Error::new(error));
                }
            }
            Command::Lose(loss) => self.spool.record_loss(loss),
            Command::NextBatch(allowance, reply) => drop(reply.send(self.spool.next_batch(now, allowance))),
            Command::Ack(acks, done) => {
                self.spool.ack(now, &acks);
                let _ = done.send(());
            }
            Command::Discard { boot, lane, seq, why, done } => {
                self.spool.discard(now, boot, lane, seq, &why);
                let _ = done.send(());
            }
            Command::Flush(done) => {
                self.spool.flush(now);
                let _ = done.send(());
            }
            Command::Stats(reply) => drop(reply.send(self.spool.stats())),
            Command::Close => {}
        }
    }

    fn publish(&self) {
        let critical = self.spool.durable_through(Lane::Critical).map_or(0, |seq| seq.0);
        let durable = Durable { waiting: self.spool.stats().waiting_records, critical };
        self.durable.send_if_modified(|before| std::mem::replace(before, durable) != durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::DirectoryError;
    use std::path::Path;
    use std::time::Instant;
    use telltale_core::spool::BatchLimits;
    use telltale_wire::record::{Counts, Status};

    const ALL: BatchLimits = BatchLimits { records: 2_000, bytes: 1_000_000 };

    fn clock() -> Clock {
        let start = Instant::now();
        Arc::new(move || Stamp { mono: MonoTime(start.elapsed().as_micros() as u64), wall: None })
    }

    fn status(n: u64) -> Record {
        let at = Stamp { mono: MonoTime(n), wall: None };
        Record::Status(Status { at, totals: Counts::default(), spool_bytes: n, pss_bytes: 0 })
    }

    fn start(dir: &Path, boot: u32) -> Store {
        let files = Directory::lock(dir).unwrap();
        Store::start(files, SpoolConfig::default(), BootId::new(boot, 1), clock()).unwrap().0
    }

    fn count(batches: &[Batch]) -> usize {
        batches.iter().map(|batch| batch.records.len()).sum()
    }

    #[tokio::test]
    async fn records_outlive_the_store_and_leave_with_their_acknowledgement() {
        let dir = tempfile::tempdir().unwrap();
        let store = start(dir.path(), 1);
        for n in 0..25 {
            store.handle().append(Stamp { mono: MonoTime(n), wall: None }, status(n));
        }
        let second = Directory::lock(dir.path());
        assert!(matches!(second, Err(DirectoryError::InUse { .. })));
        store.close();

        let store = start(dir.path(), 2);
        let handle = store.handle();
        let batches = handle.next_batch(ALL).await.unwrap();
        assert_eq!(count(&batches), 25);
        let mut watch = handle.watch();
        let acks = batches.iter().map(|b| Ack { boot: b.boot, lane: b.lane, through: b.last_seq().unwrap() });
        handle.ack(acks.collect()).await.unwrap();
        watch.wait_for(|durable| durable.waiting == 0).await.unwrap();
        assert_eq!(count(&handle.next_batch(ALL).await.unwrap()), 0);
        store.close();
        assert_eq!(handle.flush().await, Err(StoreEnded));
    }

    #[tokio::test]
    async fn a_flood_costs_records_but_no_time_and_every_one_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = start(dir.path(), 1);
        let handle = store.handle();
        let flood = 20_000;
        for n in 0..flood {
            handle.append(Stamp { mono: MonoTime(n), wall: None }, status(n));
        }
        handle.flush().await.unwrap();
        let (mut stored, mut lost) = (0, 0);
        loop {
            let batches = handle.next_batch(ALL).await.unwrap();
            if batches.is_empty() {
                break;
            }
            for raw in batches.iter().flat_map(|batch| &batch.records) {
                match raw.parse().unwrap() {
                    Record::Loss(loss) => lost += loss.count,
                    _ => stored += 1,
                }
            }
            let acks =
                batches.iter().map(|b| Ack { boot: b.boot, lane: b.lane, through: b.last_seq().unwrap() });
            handle.ack(acks.collect()).await.unwrap();
            handle.flush().await.unwrap();
        }
        assert_eq!(stored + lost, flood);
        assert!(lost > 0, "the flood was no flood");
        store.close();
    }
}
