//! One bundle on its way: which chunks are missing, and what became of the last one. A chunk at a time, so that
//! whoever drives it can look after other things in between.

use super::depot::Depot;
use super::source::Source;
use crate::uplink::CourierError;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use telltale_core::update::{Failure, ShelfError};
use telltale_trust::Verified;
use telltale_wire::bundle::BundleIndex;
use telltale_wire::update::UpdateReason;

/// After a failure the line is left alone for so long, twice as long each time, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// A chunk that came wrong so often is wrong at the server.
const MAX_WRONG: u32 = 3;

/// Chunks between two syncs of the folder that makes their names durable.
const SETTLE_EVERY: usize = 16;

/// A download under way.
pub(super) struct Download {
    index: Verified<BundleIndex>,
    missing: VecDeque<usize>,
    began: Instant,
    most: Duration,
    not_before: Option<Instant>,
    failures: u32,
    wrong: u32,
    unsettled: usize,
}

/// What became of a step.
#[derive(Debug)]
pub(super) enum Progress {
    /// There is more to fetch.
    More,
    /// All of it is held, durable.
    Done,
    /// It is given up.
    Failed(Failure),
}

impl Download {
    /// What of the bundle is not held yet.
    pub(super) fn new(
        depot: &Depot,
        index: Verified<BundleIndex>,
        most: Duration,
    ) -> Result<Download, ShelfError> {
        let missing: VecDeque<usize> = depot.with_shelf(|shelf| shelf.missing(&index))?.into();
        let (all, fetch) = (index.chunks.len(), missing.len());
        log::info!("{}: {fetch} of {all} chunks are to be fetched, the others are held", index.path());
        Ok(Download {
            index,
            missing,
            began: Instant::now(),
            most,
            not_before: None,
            failures: 0,
            wrong: 0,
            unsettled: 0,
        })
    }

    /// When it may go on.
    pub(super) fn wait(&self) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Fetches, verifies and keeps the next chunk.
    pub(super) async fn step(&mut self, depot: &Depot, source: &Source) -> Progress {
        if self.began.elapsed() > self.most {
            let why = format!(
                "{} chunks were still missing after {} h",
                self.missing.len(),
                self.most.as_secs() / 3_600
            );
            return give_up(UpdateReason::NotFetched, why);
        }
        let Some(chunk) = self.missing.front().and_then(|number| self.index.chunk(*number)) else {
            return match depot.with_shelf(|shelf| shelf.settle()) {
                Ok(()) => Progress::Done,
                Err(error) => give_up(UpdateReason::NoSpace, error.to_string()),
            };
        };
        let bytes = match source.chunk(&chunk).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let why = format!("chunk {} ({}) is not there", chunk.number, chunk.digest);
                return self.wrong(UpdateReason::NotFetched, why);
            }
            Err(CourierError::TooLong(_)) => {
                return self.wrong(UpdateReason::NotVerified, format!("chunk {} is too long", chunk.number));
            }
            Err(error) => return self.pause(&error.to_string()),
        };
        let verified = match self.index.check_chunk(chunk.number, &bytes) {
            Ok((_, verified)) => verified,
            Err(error) => return self.wrong(UpdateReason::NotVerified, error.to_string()),
        };
        if let Err(error) = self.keep(depot, chunk.number, &verified) {
            return give_up(UpdateReason::NoSpace, error.to_string());
        }
        self.missing.pop_front();
        (self.failures, self.wrong, self.not_before) = (0, 0, None);
        Progress::More
    }

    fn keep(&mut self, depot: &Depot, number: usize, bytes: &Verified<&[u8]>) -> Result<(), ShelfError> {
        self.unsettled += 1;
        depot.with_shelf(|shelf| shelf.put(&self.index, number, bytes))?;
        if self.unsettled >= SETTLE_EVERY {
            depot.with_shelf(|shelf| shelf.settle())?;
            self.unsettled = 0;
        }
        Ok(())
    }

    /// What came is not what was signed for: once may be the line's fault.
    fn wrong(&mut self, reason: UpdateReason, why: String) -> Progress {
        self.wrong += 1;
        if self.wrong >= MAX_WRONG { give_up(reason, why) } else { self.pause(&why) }
    }

    fn pause(&mut self, why: &str) -> Progress {
        let [first, longest] = PAUSES;
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures += 1;
        log::warn!(
            "{}: {why}; {} chunks are missing, tried again in {pause:?}",
            self.index.path(),
            self.missing.len()
        );
        self.not_before = Some(Instant::now() + pause);
        Progress::More
    }
}

fn give_up(reason: UpdateReason, why: String) -> Progress {
    Progress::Failed(Failure { reason, why })
}
