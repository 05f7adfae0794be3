//! Settings of the loop.

use super::SwitchedOff;
use crate::condition::Condition;
use crate::range::RangeModel;
use crate::snapshot::SnapshotConfig;
use crate::trip::TripConfig;
use std::time::Duration;

/// Settings of the loop.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// How much time one summary covers.
    pub summary_period: Duration,
    /// What is kept and sent around a moment.
    pub snapshot: SnapshotConfig,
    /// How much time lies between two statistics of a bus.
    pub bus_period: Duration,
    /// When a trip is over, and what is harsh.
    pub trip: TripConfig,
    /// What the drive is made of, where its condition is followed.
    pub condition: Option<Condition>,
    /// What a kilometre takes, where the range is estimated.
    pub range: Option<RangeModel>,
    /// What is switched off.
    pub off: SwitchedOff,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        PipelineConfig {
            summary_period: Duration::from_secs(60),
            bus_period: Duration::from_secs(300),
            snapshot: SnapshotConfig::default(),
            trip: TripConfig::default(),
            condition: None,
            range: None,
            off: SwitchedOff::default(),
        }
    }
}
