//! What other threads ask of the capture loop. It looks into its mailbox between two batches of frames and never
//! waits for it: the asker brings the paper, and waits for the answer.

use crate::source::{Source, SourceError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use telltale_core::frame::{BusId, CanId};
use telltale_core::pipeline::{Comparison, Happened, Outline, Pipeline, SwitchedOff, View};
use telltale_core::range::Outlook;
use telltale_core::snapshot::{SnapshotRequest, Triggered};
use telltale_wire::desired::Ahead;
use telltale_wire::record::Record;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Letters that wait. Each holds a view at the most, of 150 kB with the most signals: about 1 MB in all.
const MAX_MAIL: usize = 8;

/// How long an answer is waited for. The loop comes by every 100 ms, unless its source holds it up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A letter to the capture loop.
enum Mail {
    /// Write down what is held.
    Look(Box<View>, oneshot::Sender<Box<View>>),
    /// Write down how the models beside others compare with them, as far as there is room.
    Compare(Vec<Comparison>, oneshot::Sender<Vec<Comparison>>),
    /// Go on with another pipeline; the one before comes back.
    Swap(Box<Swap>, oneshot::Sender<Result<Box<Swap>, SourceError>>),
    /// Switch parts of the pipeline off and on.
    Switch(SwitchedOff, oneshot::Sender<()>),
    /// Foretell the range with what lies ahead, for so long; or with that no longer.
    LookAhead(Option<(Ahead, Duration)>, oneshot::Sender<bool>),
    /// Take a snapshot: what it is for, and what of it is asked.
    Snapshot(String, SnapshotRequest, oneshot::Sender<Triggered>),
    /// Write down what is held over a restart, if that much has happened since, or anything at all.
    Remember(Happened, bool, oneshot::Sender<Memory>),
}

/// What is held as bytes, and how much had happened then; `None` if it is not worth being kept again.
pub(crate) type Memory = Option<(Happened, Vec<u8>)>;

/// A pipeline to go on with.
pub struct Swap {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The messages that it asks for.
    pub wanted: Vec<(BusId, CanId)>,
}

/// Why the capture loop gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Unanswered {
    /// The loop has ended: the log has been read, or the source failed.
    #[error("capture has ended")]
    Ended,
    /// The loop has not come by: its source holds it up, or it is stuck.
    #[error("the capture loop does not answer")]
    Silent,
}

/// The capture loop's end.
pub struct Mailbox {
    inbox: Receiver<Mail>,
    pulse: Arc<Pulse>,
}

/// Signs of life.
#[derive(Default)]
struct Pulse {
    turns: AtomicU64,
    ended: AtomicBool,
}

/// Everyone else's end.
#[derive(Clone)]
pub struct Post {
    letters: SyncSender<Mail>,
    pulse: Arc<Pulse>,
}

/// A mailbox and the way to it.
#[must_use]
pub fn mailbox() -> (Post, Mailbox) {
    let (letters, inbox) = sync_channel(MAX_MAIL);
    let pulse = Arc::new(Pulse::default());
    (Post { letters, pulse: Arc::clone(&pulse) }, Mailbox { inbox, pulse })
}

impl Mailbox {
    /// A mailbox that nobody writes to.
    #[must_use]
    pub fn unused() -> Mailbox {
        mailbox().1
    }

    /// Answers what has come, and counts a turn of the loop. Neither waits nor allocates, but for a snapshot, a switch, what
    /// lies ahead, what is kept over a restart and the records of a pipeline that is replaced, which go to `sink`.
    pub fn serve(
        &self,
        source: &mut dyn Source,
        pipeline: &mut Pipeline,
        sink: &mut impl FnMut(&Pipeline, Record),
    ) {
        self.pulse.turns.fetch_add(1, Ordering::Relaxed);
        for mail in self.inbox.try_iter().take(MAX_MAIL) {
            match mail {
                Mail::Look(mut view, reply) => {
                    pipeline.look(source.now(), &mut view);
                    // An asker that has given up needs no answer.
                    let _ = reply.send(view);
                }
                Mail::Compare(mut room, reply) => {
                    let most = room.capacity();
                    room.extend(pipeline.comparisons().take(most));
                    let _ = reply.send(room);
                }
                Mail::Swap(mut swap, reply) => {
                    let told = source.retarget(&swap.wanted);
                    let _ = reply.send(told.map(|()| {
                        pipeline.finish();
                        while let Some(record) = pipeline.poll_record() {
                            sink(pipeline, record);
                        }
                        swap.pipeline.inherit(pipeline);
                        std::mem::swap(pipeline, &mut swap.pipeline);
                        swap
                    }));
                }
                Mail::Switch(off, reply) => {
                    pipeline.switch(off);
                    let _ = reply.send(());
                }
                Mail::LookAhead(ahead, reply) => {
                    let now = source.now();
                    let outlook = ahead.map(|(ahead, left)| Outlook {
                        until: now.plus(left),
                        ambient_c: ahead.celsius(),
                        road: ahead.road,
                    });
                    let _ = reply.send(pipeline.look_ahead(now, outlook));
                }
                Mail::Snapshot(note, request, reply) => {
                    let _ = reply.send(pipeline.trigger_snapshot(source.now(), note, &request));
                }
                Mail::Remember(kept, at_once, reply) => {
                    let happened = pipeline.happened();
                    let is_due = happened.is_worth_keeping(kept) || (at_once && happened != kept);
                    let _ = reply.send(is_due.then(|| (happened, pipeline.remember())));
                }
            }
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.pulse.ended.store(true, Ordering::Relaxed);
    }
}

impl Post {
    /// Asks what the pipeline holds.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn look(&self, outline: &Arc<Outline>) -> Result<Box<View>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Look(Box::new(View::with_room(outline)), reply), answer).await
    }

    /// Asks how the models that are beside others compare with them; at most `most` of them.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn compare(&self, most: usize) -> Result<Vec<Comparison>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Compare(Vec::with_capacity(most), reply), answer).await
    }

    /// Asks for a snapshot around now; `note` says what it is for.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn snapshot(&self, note: String, request: SnapshotRequest) -> Result<Triggered, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Snapshot(note, request, reply), answer).await
    }

    /// Switches parts of the pipeline off, and all others on.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn switch(&self, off: SwitchedOff) -> Result<(), Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Switch(off, reply), answer).await
    }

    /// Has the range foretold with what lies ahead, for so long, or with that no longer; false where none is estimated.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn look_ahead(&self, ahead: Option<(Ahead, Duration)>) -> Result<bool, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::LookAhead(ahead, reply), answer).await
    }

    /// Asks for what is to outlive a restart, if more has happened than what was `kept` that is worth it, or `at_once`
    /// anything at all.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(crate) async fn remember(&self, kept: Happened, at_once: bool) -> Result<Memory, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Remember(kept, at_once, reply), answer).await
    }

    /// Gives the loop another pipeline to go on with; the one before comes back.
    ///
    /// # Errors
    /// [`Unanswered`]. Inside, the source's: it can't hear what the pipeline asks for, and the old one goes on.
    pub async fn swap(&self, swap: Swap) -> Result<Result<Box<Swap>, SourceError>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Swap(Box::new(swap), reply), answer).await
    }

    async fn send<T>(&self, mail: Mail, answer: oneshot::Receiver<T>) -> Result<T, Unanswered> {
        self.letters.try_send(mail).map_err(|error| match error {
            TrySendError::Full(_) => Unanswered::Silent,
            TrySendError::Disconnected(_) => Unanswered::Ended,
        })?;
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answered) => answered.map_err(|_| Unanswered::Ended),
            Err(_) => Err(Unanswered::Silent),
        }
    }

    /// How often the loop has turned: a number that stands still tells of one that is stuck.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.pulse.turns.load(Ordering::Relaxed)
    }

    /// Whether the loop has ended and will turn no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pulse.ended.load(Ordering::Relaxed)
    }
}
