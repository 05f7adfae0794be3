//! How much and how long, each with what it costs at worst. Whoever holds the network can send what he likes.

use std::time::Duration;

/// The longest root metadata, in bytes. One with 20 keys has 5 kB.
pub const MAX_ROOT: usize = 64 * 1024;
/// The longest timestamp metadata, in bytes. One has 500.
pub const MAX_TIMESTAMP: usize = 8 * 1024;
/// The longest snapshot metadata, in bytes: 160 a role.
pub const MAX_SNAPSHOT: usize = 64 * 1024;
/// The longest targets metadata, in bytes: 300 a release, so about 1,700 releases of a family. Parsed, it takes about
/// ten times that for as long as a check lasts.
pub const MAX_TARGETS_METADATA: usize = 512 * 1024;
/// The most versions by which the root may move on in one check. Each is at most [`MAX_ROOT`] long, one at a time.
pub const MAX_ROOT_STEPS: u32 = 32;
/// The most targets roles that are read to find one path.
pub const MAX_DELEGATIONS: u32 = 16;
/// The most targets that a director may name for one vehicle.
pub const MAX_TARGETS: usize = 32;
/// The longest that one file may take to arrive.
pub const FILE_TIME: Duration = Duration::from_secs(60);
/// The longest that all metadata of one repository may take to arrive. A slow server can't hold a check for longer.
pub const CHECK_TIME: Duration = Duration::from_secs(300);

/// The limits of one repository's client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`MAX_ROOT`].
    pub root: usize,
    /// See [`MAX_TIMESTAMP`].
    pub timestamp: usize,
    /// See [`MAX_SNAPSHOT`].
    pub snapshot: usize,
    /// See [`MAX_TARGETS_METADATA`].
    pub targets: usize,
    /// See [`MAX_ROOT_STEPS`].
    pub root_steps: u32,
    /// See [`MAX_DELEGATIONS`].
    pub delegations: u32,
    /// See [`FILE_TIME`].
    pub file_time: Duration,
    /// See [`CHECK_TIME`].
    pub check_time: Duration,
}

impl Limits {
    /// A vehicle's.
    pub const VEHICLE: Limits = Limits {
        root: MAX_ROOT,
        timestamp: MAX_TIMESTAMP,
        snapshot: MAX_SNAPSHOT,
        targets: MAX_TARGETS_METADATA,
        root_steps: MAX_ROOT_STEPS,
        delegations: MAX_DELEGATIONS,
        file_time: FILE_TIME,
        check_time: CHECK_TIME,
    };
}
