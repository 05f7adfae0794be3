//! What other threads ask of the capture loop. It looks into its mailbox between two batches of frames and never
//! waits for it: the asker brings the paper, and waits for the answer.

use crate::source::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use telltale_core::pipeline::{Outline, Pipeline, View};
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
    turns: Arc<AtomicU64>,
}

/// Everyone else's end.
#[derive(Clone)]
pub struct Post {
    letters: SyncSender<Mail>,
    turns: Arc<AtomicU64>,
}

/// A mailbox and the way to it.
#[must_use]
pub fn mailbox() -> (Post, Mailbox) {
    let (letters, inbox) = sync_channel(MAX_MAIL);
    let turns = Arc::new(AtomicU64::new(0));
    (Post { letters, turns: Arc::clone(&turns) }, Mailbox { inbox, turns })
}

impl Mailbox {
    /// A mailbox that nobody writes to.
    #[must_use]
    pub fn unused() -> Mailbox {
        mailbox().1
    }

    /// Answers what has come, and counts a turn of the loop. Neither waits nor allocates.
    pub fn serve(&self, source: &dyn Source, pipeline: &Pipeline) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        for mail in self.inbox.try_iter().take(MAX_MAIL) {
            match mail {
                Mail::Look(mut view, reply) => {
                    pipeline.look(source.now(), &mut view);
                    // An asker that has given up needs no answer.
                    let _ = reply.send(view);
                }
            }
        }
    }
}

impl Post {
    /// Asks what the pipeline holds.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn look(&self, outline: &Arc<Outline>) -> Result<Box<View>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.letters.try_send(Mail::Look(Box::new(View::with_room(outline)), reply)).map_err(|error| {
            match error {
                TrySendError::Full(_) => Unanswered::Silent,
                TrySendError::Disconnected(_) => Unanswered::Ended,
            }
        })?;
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answered) => answered.map_err(|_| Unanswered::Ended),
            Err(_) => Err(Unanswered::Silent),
        }
    }

    /// How often the loop has turned: a number that stands still tells of one that is stuck.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}
