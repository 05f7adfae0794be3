//! How the uplink paces itself: its configuration, and the backoff.

use crate::jitter::Backoff;
use crate::spool::BatchLimits;
use std::time::Duration;

/// The shortest backoff: full jitter may roll a zero.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(50);

/// How the uplink paces itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UplinkConfig {
    /// The most of one request; the server may ask for less.
    pub limits: BatchLimits,
    /// How long ordinary records wait for company. Batching decides the cost on the line: 50 records a request
    /// take 207 bytes of IP traffic each, single ones 542.
    pub linger: Duration,
    /// How often to ask for news when there is nothing to send.
    pub idle_poll: Duration,
    /// The first backoff is drawn from zero to this; the range doubles with each failure.
    pub backoff_first: Duration,
    /// The range's end.
    pub backoff_max: Duration,
    /// How long to wait after a refusal that only a person can mend.
    pub refused_wait: Duration,
}

impl Default for UplinkConfig {
    /// 500 records or 256 KiB a request, 10 s of linger, news every 15 minutes, backoff from 1 s to 5 minutes.
    fn default() -> Self {
        Self {
            limits: BatchLimits { records: 500, bytes: 256 * 1024 },
            linger: Duration::from_secs(10),
            idle_poll: Duration::from_secs(15 * 60),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            refused_wait: Duration::from_secs(30 * 60),
        }
    }
}

impl UplinkConfig {
    pub(super) const fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff_first, max: self.backoff_max, min: MIN_BACKOFF }
    }
}
