//! The capture thread: a source, the pipeline, and its ties to the others.

use crate::config::{Config, SourceConfig};
use crate::drive::drive;
use crate::mailbox::Mailbox;
use crate::source::{self, SourceError, boot_time};
use crate::state;
use crate::store::{StoreEnded, StoreHandle};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::{Memory, Pipeline};
use telltale_wire::record::{Counts, Record};
use telltale_wire::time::{Stamp, WallTime};
use tokio::sync::oneshot;

/// What the thread has in common with others.
pub(crate) struct Capture {
    pub(crate) store: StoreHandle,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) totals: Arc<Mutex<Counts>>,
    pub(crate) mailbox: Mailbox,
}

impl Capture {
    /// Starts the capture thread; the receiver learns how it ended.
    pub(crate) fn start(
        self,
        config: &Config,
        catalog: Catalog,
        mut pipeline: Pipeline,
    ) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
        let Capture { store, stop, totals, mailbox } = self;
        let can_wait = matches!(config.source, SourceConfig::Log { .. });
        let mut source = source::open(&config.source, &config.bus, catalog)?;
        let (done, ended) = oneshot::channel();
        let mut kept = Kept::new(&config.spool.dir, &pipeline);
        let body = move || {
            let mut stored = Ok(());
            let driven = drive(source.as_mut(), &mut pipeline, &stop, &mailbox, |pipeline, record| {
                *totals.lock().unwrap_or_else(PoisonError::into_inner) = *pipeline.totals();
                announce(&record);
                // Once a stretch, after each trip, and at the end.
                if matches!(record, Record::Summary(_) | Record::Estimate(_)) {
                    kept.keep(pipeline, &store);
                }
                if can_wait {
                    stored = store.append_waiting(record);
                    if stored.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                } else {
                    store.append(now(), record);
                }
            });
            source.report().notes.iter().for_each(|note| log::warn!("{note}"));
            // Nobody listens any more after a signal.
            let _ = done.send(finished(driven, stored));
        };
        thread::Builder::new()
            .name("capture".into())
            .spawn(body)
            .context("can't start the capture thread")?;
        Ok(ended)
    }
}

/// What of the pipeline outlives a restart, in files of the spool's folder.
struct Kept {
    folder: PathBuf,
    /// How often each had changed when it was last kept.
    changes: [Option<u64>; Memory::ALL.len()],
}

impl Kept {
    fn new(folder: &Path, pipeline: &Pipeline) -> Kept {
        Kept { folder: folder.to_owned(), changes: Memory::ALL.map(|memory| pipeline.changes(memory)) }
    }

    /// Has the store's thread keep what is new.
    fn keep(&mut self, pipeline: &Pipeline, store: &StoreHandle) {
        for (memory, kept) in Memory::ALL.into_iter().zip(&mut self.changes) {
            let changes = pipeline.changes(memory);
            if changes != *kept
                && let Some(state) = pipeline.memory(memory)
                && store.keep(self.folder.join(memory.file()), state)
            {
                *kept = changes;
            }
        }
    }
}

/// Goes on with what an earlier start kept.
pub(crate) fn remember(pipeline: &mut Pipeline, folder: &Path) -> anyhow::Result<()> {
    for memory in Memory::ALL {
        if pipeline.changes(memory).is_none() {
            continue;
        }
        let path = folder.join(memory.file());
        if let Some(state) = state::read_file(&path)?
            && !pipeline.restore(memory, &state)
        {
            log::warn!("{} is damaged, or of another document: what it held begins anew", path.display());
        }
    }
    Ok(())
}

fn finished(driven: Result<(), SourceError>, stored: Result<(), StoreEnded>) -> anyhow::Result<()> {
    driven.context("the source failed")?;
    Ok(stored?)
}

/// A verdict is worth a line in the log.
fn announce(record: &Record) {
    if let Record::Verdict(event) = record {
        log::info!("{} {}: {:?}, score {:.3}", event.model.name, event.subject, event.verdict, event.score);
    }
}

/// Now, on both clocks of this machine.
pub(crate) fn now() -> Stamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    Stamp { mono: boot_time(), wall: wall.map(|since| WallTime::from_unix_micros(since.as_micros() as i64)) }
}
