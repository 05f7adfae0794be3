//! The director: what one vehicle shall run, signed online for that vehicle alone.
//!
//! All metadata but the root names the vehicle, so that nobody can hand one vehicle what was signed for another.

use crate::RepositoryError;
use crate::key::SigningKey;
use crate::metadata::{
    Envelope, Expires, MetaFile, Metadata, RoleKeys, Root, SPEC_VERSION, Snapshot, Target, Targets, Timestamp,
};
use std::collections::BTreeMap;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// For how many days a director's targets and snapshot hold. A vehicle that the server does not reach for longer acts
/// on nothing new.
pub const TARGETS_DAYS: u32 = 7;
/// For how many days a director's timestamp holds.
pub const TIMESTAMP_DAYS: u32 = 1;

/// Signs for vehicles.
#[derive(Debug)]
pub struct Director {
    key: SigningKey,
}

/// The versions of a vehicle's metadata. They only ever grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Versions {
    /// Of the targets: what the sync answer calls the desired state.
    pub targets: u64,
    /// Of the snapshot.
    pub snapshot: u64,
    /// Of the timestamp.
    pub timestamp: u64,
}

/// A vehicle's metadata, as it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// Their versions, to be kept for the next issue.
    pub versions: Versions,
    /// `N.targets.json`, N being `versions.targets`.
    pub targets: Vec<u8>,
    /// `N.snapshot.json`, N being `versions.snapshot`.
    pub snapshot: Vec<u8>,
    /// `timestamp.json`.
    pub timestamp: Vec<u8>,
}

impl Director {
    /// A director that signs with this key.
    ///
    /// # Errors
    /// [`RepositoryError::NotAKeyOf`] if the root does not name it for targets, snapshot and timestamp: vehicles would
    /// refuse all that it signs.
    pub fn new(root: &Root, key: SigningKey) -> Result<Self, RepositoryError> {
        for role in ["targets", "snapshot", "timestamp"] {
            let alone = |who: &RoleKeys| who.keyids.contains(&key.id()) && who.threshold == 1;
            if !root.roles.get(role).is_some_and(alone) {
                return Err(RepositoryError::NotAKeyOf { role: role.into(), key: key.id() });
            }
        }
        Ok(Self { key })
    }

    /// Signs what a vehicle shall have, all of it by path, as the next version after `before`.
    ///
    /// # Errors
    /// If the metadata has no JSON form.
    pub fn issue(
        &self,
        vehicle: &VehicleId,
        before: Versions,
        targets: &BTreeMap<String, Target>,
        now: WallTime,
    ) -> Result<Issued, RepositoryError> {
        let Versions { targets: last, snapshot, timestamp } = before;
        let versions = Versions { targets: last + 1, snapshot: snapshot + 1, timestamp: timestamp + 1 };
        let expires = Expires::after(now, TARGETS_DAYS);
        let vehicle = Some(vehicle.to_string());
        let targets = Metadata::Targets(Targets {
            spec_version: SPEC_VERSION.into(),
            version: versions.targets,
            expires,
            targets: targets.clone(),
            delegations: None,
            vehicle: vehicle.clone(),
        });
        let targets = Envelope::signed(&targets, [&self.key])?;
        let snapshot = Metadata::Snapshot(Snapshot {
            spec_version: SPEC_VERSION.into(),
            version: versions.snapshot,
            expires,
            meta: BTreeMap::from([("targets.json".into(), MetaFile::of(&targets, versions.targets))]),
            vehicle: vehicle.clone(),
        });
        let snapshot = Envelope::signed(&snapshot, [&self.key])?;
        let timestamp = self.timestamp(vehicle, versions, &snapshot, now)?;
        Ok(Issued { versions, targets, snapshot, timestamp })
    }

    /// The same with a new timestamp, for a vehicle for which nothing changed. To be done before the timestamp ends;
    /// once the targets themselves near their end, [`Director::issue`] them again.
    ///
    /// # Errors
    /// If the metadata has no JSON form.
    pub fn renew(
        &self,
        vehicle: &VehicleId,
        issued: Issued,
        now: WallTime,
    ) -> Result<Issued, RepositoryError> {
        let versions = Versions { timestamp: issued.versions.timestamp + 1, ..issued.versions };
        let timestamp = self.timestamp(Some(vehicle.to_string()), versions, &issued.snapshot, now)?;
        Ok(Issued { versions, timestamp, ..issued })
    }

    fn timestamp(
        &self,
        vehicle: Option<String>,
        versions: Versions,
        snapshot: &[u8],
        now: WallTime,
    ) -> Result<Vec<u8>, RepositoryError> {
        let timestamp = Metadata::Timestamp(Timestamp {
            spec_version: SPEC_VERSION.into(),
            version: versions.timestamp,
            expires: Expires::after(now, TIMESTAMP_DAYS),
            meta: BTreeMap::from([("snapshot.json".into(), MetaFile::of(snapshot, versions.snapshot))]),
            vehicle,
        });
        Envelope::signed(&timestamp, [&self.key])
    }
}

/// The end of signed metadata.
///
/// # Errors
/// If it does not read.
pub fn expires(metadata: &[u8]) -> Result<WallTime, RepositoryError> {
    Ok(Envelope::parse(metadata, "metadata")?.metadata()?.expires().at())
}
