//! What the loop holds of its subjects, kept over restarts of a live agent: read before the first frame, written in the
//! asynchronous half and never on the capture thread. A log begins anew each time, so that it gives the same each time.

use crate::config::{Config, SourceConfig};
use crate::mailbox::Post;
use crate::state;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telltale_core::pipeline::{HELD, Happened, Pipeline, Recalled};
use tokio::sync::Mutex;

/// How often it is asked whether something is worth being kept: so much is lost at most to a power cut, besides the
/// windows since then.
const LOOK: Duration = Duration::from_secs(60);

/// The file, and how much had happened when it was last written.
pub(crate) struct Held {
    path: PathBuf,
    kept: Mutex<Happened>,
}

impl Held {
    /// `None` where nothing is to be kept.
    pub(crate) fn of(config: &Config) -> Option<Held> {
        let is_live = !matches!(config.source, SourceConfig::Log { .. });
        is_live.then(|| Held::at(config.spool.dir.join(HELD)))
    }

    fn at(path: PathBuf) -> Held {
        Held { path, kept: Mutex::default() }
    }

    /// Goes on from the file, as far as it is of these models. Whatever is wrong with it costs what it held and not the
    /// start.
    pub(crate) fn recall(&self, pipeline: &mut Pipeline) {
        let bytes = match state::read_file(&self.path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return log::warn!("{:#}; verdicts begin anew", anyhow::Error::new(error)),
        };
        match pipeline.recall(&bytes) {
            Ok(models) => models.iter().for_each(|model| match model {
                Recalled::Taken(name) => log::info!("{name}: verdicts go on from the last start"),
                Recalled::OtherModel(name) => log::info!(
                    "{name}: what was held is of another model or other features and is left; verdicts begin anew"
                ),
                Recalled::Unfit(name) => {
                    log::warn!("{name}: what was held is not of these subjects; verdicts begin anew")
                }
            }),
            Err(error) => {
                log::warn!("{}: the bytes were not taken: {error}; verdicts begin anew", self.path.display())
            }
        }
    }

    /// Keeps what is worth it, again and again, until the loop has ended.
    pub(crate) async fn keep_on(self: Arc<Held>, post: Post) {
        while !post.has_ended() {
            tokio::time::sleep(LOOK).await;
            self.keep(&post, false).await;
        }
    }

    /// Keeps what is held, if it is worth it, or `at_once` if anything happened at all.
    pub(crate) async fn keep(&self, post: &Post, at_once: bool) {
        let mut kept = self.kept.lock().await;
        // A loop that has ended or is busy holds what it held: the next look finds it.
        let Ok(Some((happened, bytes))) = post.remember(*kept, at_once).await else { return };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || state::replace_file(&path, &bytes)).await;
        match written {
            Ok(Ok(())) => *kept = happened,
            Ok(Err(error)) => log::warn!("{:#}; a restart goes on from before", anyhow::Error::new(error)),
            Err(error) => log::error!("keeping what is held failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
