//! What the director signed last for each vehicle.

use super::OtaError;
use crate::store::Store;
use telltale_wire::ids::VehicleId;

/// How many earlier snapshots and targets of a vehicle are kept: a vehicle that read the timestamp before the newest was
/// signed still finds what that one names. A vehicle asks three files within a minute.
const MAX_BEFORE: i64 = 4;

/// What the director signed for a vehicle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Issue {
    /// The digest of what it says.
    pub(crate) wanted: Vec<u8>,
    /// Versions of targets, snapshot and timestamp.
    pub(crate) targets_v: i64,
    /// Of the snapshot.
    pub(crate) snapshot_v: i64,
    /// Of the timestamp.
    pub(crate) timestamp_v: i64,
    /// `N.targets.json`.
    pub(crate) targets: Vec<u8>,
    /// `N.snapshot.json`.
    pub(crate) snapshot: Vec<u8>,
    /// `timestamp.json`.
    pub(crate) timestamp: Vec<u8>,
    /// The desired state, if the targets name one.
    pub(crate) desired: Option<Vec<u8>>,
}

columns!(Issue: wanted targets_v snapshot_v timestamp_v targets snapshot timestamp desired);

impl Store {
    /// What the director signed last for a vehicle.
    pub(crate) async fn issue(&self, vehicle: i64) -> Result<Option<Issue>, OtaError> {
        let sql = "SELECT wanted, targets_v, snapshot_v, timestamp_v, targets, snapshot, timestamp, desired \
             FROM director WHERE vehicle = ?";
        Ok(sqlx::query_as(sql).bind(vehicle).fetch_optional(&self.readers).await?)
    }

    /// The version of a vehicle's targets that was signed last.
    pub(crate) async fn issued_version(&self, vehicle: &VehicleId) -> Result<Option<i64>, OtaError> {
        let sql = "SELECT targets_v FROM director WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?)";
        Ok(sqlx::query_scalar(sql).bind(vehicle.as_str()).fetch_optional(&self.readers).await?)
    }

    /// Keeps what the director signed. `false` if another request was faster: what that one signed counts, so that a
    /// version never has two contents.
    pub(crate) async fn keep_issue(&self, vehicle: i64, issue: &Issue) -> Result<bool, OtaError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO director_before (vehicle, snapshot_v, targets_v, snapshot, targets) \
             SELECT vehicle, snapshot_v, targets_v, snapshot, targets FROM director \
             WHERE vehicle = ?1 AND snapshot_v < ?2 AND timestamp_v + 1 = ?3 ON CONFLICT DO NOTHING",
        )
        .bind(vehicle)
        .bind(issue.snapshot_v)
        .bind(issue.timestamp_v)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM director_before WHERE vehicle = ?1 AND snapshot_v NOT IN \
                 (SELECT snapshot_v FROM director_before WHERE vehicle = ?1 ORDER BY snapshot_v DESC LIMIT ?2)",
        )
        .bind(vehicle)
        .bind(MAX_BEFORE)
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query(
            "INSERT INTO director (vehicle, wanted, targets_v, snapshot_v, timestamp_v, targets, snapshot, timestamp, \
                 desired) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET wanted = excluded.wanted, targets_v = excluded.targets_v, \
                 snapshot_v = excluded.snapshot_v, timestamp_v = excluded.timestamp_v, targets = excluded.targets, \
                 snapshot = excluded.snapshot, timestamp = excluded.timestamp, desired = excluded.desired \
             WHERE excluded.timestamp_v = director.timestamp_v + 1",
        )
        .bind(vehicle)
        .bind(issue.wanted.as_slice())
        .bind(issue.targets_v)
        .bind(issue.snapshot_v)
        .bind(issue.timestamp_v)
        .bind(issue.targets.as_slice())
        .bind(issue.snapshot.as_slice())
        .bind(issue.timestamp.as_slice())
        .bind(issue.desired.as_deref())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// A snapshot or targets file that the director signed for a vehicle before the newest, by its name.
    pub(crate) async fn earlier_file(
        &self,
        vehicle: &VehicleId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, OtaError> {
        let Some((version, kind)) = name.split_once('.') else { return Ok(None) };
        let Ok(version) = version.parse::<i64>() else { return Ok(None) };
        let sql = match kind {
            "snapshot.json" => {
                "SELECT snapshot FROM director_before WHERE snapshot_v = ? \
                     AND vehicle = (SELECT id FROM vehicles WHERE name = ?)"
            }
            "targets.json" => {
                "SELECT targets FROM director_before WHERE targets_v = ? \
                     AND vehicle = (SELECT id FROM vehicles WHERE name = ?)"
            }
            _ => return Ok(None),
        };
        Ok(sqlx::query_scalar(sql).bind(version).bind(vehicle.as_str()).fetch_optional(&self.readers).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_version_never_has_two_contents() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("fleet.db"), Duration::from_secs(5)).await.unwrap();
        store.set_revoked(&VehicleId::new("a").unwrap(), false).await.unwrap();
        let issue = |version: i64, content: u8| Issue {
            wanted: vec![content; 32],
            targets_v: version,
            snapshot_v: version,
            timestamp_v: version,
            targets: vec![content],
            snapshot: vec![content],
            timestamp: vec![content],
            desired: None,
        };
        assert!(store.keep_issue(1, &issue(1, 7)).await.unwrap());
        for late in [1, 3] {
            assert!(!store.keep_issue(1, &issue(late, 8)).await.unwrap(), "version {late}");
        }
        assert_eq!(store.issue(1).await.unwrap(), Some(issue(1, 7)));
        assert_eq!(store.issued_version(&VehicleId::new("a").unwrap()).await.unwrap(), Some(1));
        assert_eq!(store.issued_version(&VehicleId::new("b").unwrap()).await.unwrap(), None);
        assert!(store.keep_issue(1, &issue(2, 8)).await.unwrap());
    }

    #[tokio::test]
    async fn what_was_said_before_is_kept_for_a_while_and_for_its_vehicle_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("fleet.db"), Duration::from_secs(5)).await.unwrap();
        let vehicle = |name: &str| VehicleId::new(name).unwrap();
        for name in ["a", "b"] {
            store.set_revoked(&vehicle(name), false).await.unwrap();
        }
        // Each second issue only renews the timestamp.
        for timestamp_v in 1..=20_i64 {
            let version = (timestamp_v + 1) / 2;
            let issue = Issue {
                wanted: vec![version as u8; 32],
                targets_v: 100 + version,
                snapshot_v: version,
                timestamp_v,
                targets: vec![version as u8, 1],
                snapshot: vec![version as u8, 2],
                timestamp: vec![timestamp_v as u8],
                desired: None,
            };
            assert!(store.keep_issue(1, &issue).await.unwrap());
        }
        let file = async |name: &str, version: i64, kind: &str| {
            store.earlier_file(&vehicle(name), &format!("{version}.{kind}.json")).await.unwrap()
        };
        for version in 1..=10 {
            // The newest, 10, is the director's own row.
            let is_kept = (6..10).contains(&version);
            let (snapshot, targets) = (vec![version as u8, 2], vec![version as u8, 1]);
            assert_eq!(file("a", version, "snapshot").await, is_kept.then_some(snapshot), "{version}");
            assert_eq!(file("a", 100 + version, "targets").await, is_kept.then_some(targets), "{version}");
            assert_eq!(file("b", version, "snapshot").await, None);
        }
        for bad in ["", "snapshot.json", "x.snapshot.json", "7.root.json", "7.snapshot.json.gz"] {
            assert_eq!(store.earlier_file(&vehicle("a"), bad).await.unwrap(), None, "{bad}");
        }
    }
}
