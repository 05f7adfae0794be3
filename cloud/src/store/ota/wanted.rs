//! What one vehicle is to have now, by the rollouts and commands.

use super::{OtaError, commands, refused};
use crate::store::Store;
use telltale_seal::WrappedKey;
use telltale_wire::bundle::BundleIndex;
use telltale_wire::desired::RawCommand;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// The most families that a vehicle is told of: it takes 32 targets, the desired state among them.
const MAX_FAMILIES: i64 = 31;

/// What one vehicle is to have.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Wanted {
    /// The vehicle's row.
    pub(crate) vehicle: i64,
    /// The newest model of each family that is released to it.
    pub(crate) bundles: Vec<WantedBundle>,
    /// Its open commands, by growing id.
    pub(crate) commands: Vec<RawCommand>,
    /// Changes with any of it.
    pub(crate) fingerprint: Digest,
}

/// A model that a vehicle is to have.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct WantedBundle {
    /// The path of its index.
    pub(crate) path: String,
    /// The index.
    pub(crate) index: BundleIndex,
    /// The bytes of it.
    pub(crate) body: Vec<u8>,
    /// The content key of a sealed one, wrapped for the vehicle.
    pub(crate) wrapped: Option<WrappedKey>,
}

impl Store {
    /// What a vehicle is to have; `None` for one that never called.
    ///
    /// A running or completed rollout offers its model to all it was released to, a paused one to those under way, a
    /// stopped one to those who committed it; a revoked model is offered to nobody, and a sealed one to no vehicle that
    /// told no key.
    pub(crate) async fn wanted(
        &self,
        vehicle: &VehicleId,
        now: WallTime,
    ) -> Result<Option<Wanted>, OtaError> {
        let mut tx = self.readers.begin().await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM vehicles WHERE name = ? AND revoked = 0")
            .bind(vehicle.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else { return Ok(None) };
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT path, body FROM (SELECT b.path, b.body, b.family, \
                 row_number() OVER (PARTITION BY b.family ORDER BY b.release DESC) AS place \
             FROM members m JOIN rollouts r ON r.id = m.rollout JOIN bundles b ON b.id = r.bundle \
             WHERE m.vehicle = ?1 AND b.revoked IS NULL AND m.stage > 0 \
                 AND (b.key_id IS NULL OR EXISTS (SELECT 1 FROM sealing_keys WHERE vehicle = ?1)) AND ( \
                 r.phase IN (2, 5) OR r.phase = 3 AND m.stage BETWEEN 2 AND 8 OR r.phase = 4 AND m.stage = 8)) \
             WHERE place = 1 ORDER BY family LIMIT ?2",
        )
        .bind(id)
        .bind(MAX_FAMILIES)
        .fetch_all(&mut *tx)
        .await?;
        let commands = commands::open(&mut tx, id, now).await?;
        drop(tx);
        let mut bundles = Vec::with_capacity(rows.len());
        for (path, body) in rows {
            let Ok(index) = BundleIndex::decode(&body) else {
                return refused(format!("the stored index of {path} does not read"));
            };
            let wrapped = match &index.seal {
                None => None,
                Some(seal) => Some(self.wrapped((id, vehicle), &index.family, &seal.key_id).await?),
            };
            bundles.push(WantedBundle { path, index, body, wrapped });
        }
        let mut parts: Vec<Vec<u8>> = bundles
            .iter()
            .flat_map(|bundle| {
                let wrapped = bundle.wrapped.iter().map(WrappedKey::to_bytes);
                let named = [bundle.path.clone().into_bytes(), Digest::of(&bundle.body).0.to_vec()];
                named.into_iter().chain(wrapped)
            })
            .collect();
        parts.extend(commands.iter().map(|command| command.id.to_le_bytes().to_vec()));
        Ok(Some(Wanted { vehicle: id, fingerprint: fingerprint(&parts), bundles, commands }))
    }
}

impl Wanted {
    /// Whether there is nothing to have.
    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.commands.is_empty()
    }

    /// The paths of the models.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.bundles.iter().map(|bundle| bundle.path.as_str())
    }
}

/// A digest that changes with any of the parts.
fn fingerprint(parts: &[Vec<u8>]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes)
}
