//! What one vehicle opens bundles with, and which it takes.

use crate::{ContentKey, Purpose, SealError, SealingKey, WrappedKey};
use telltale_wire::bundle::BundleIndex;
use telltale_wire::ids::VehicleId;

/// How one vehicle stands to sealed bundles.
#[derive(Debug)]
pub struct Keyring {
    /// As its certificate names it.
    pub vehicle: VehicleId,
    /// Its sealing key, if it has one.
    pub key: Option<SealingKey>,
    /// Whether it refuses what is not sealed.
    pub require_sealed: bool,
}

impl Keyring {
    /// That of a vehicle without a sealing key.
    #[must_use]
    pub const fn empty(vehicle: VehicleId) -> Self {
        Self { vehicle, key: None, require_sealed: false }
    }

    /// Whether a bundle that is offered is taken, by the key that came with the offer.
    ///
    /// # Errors
    /// [`SealError::NotSealed`], and those of [`Keyring::open`].
    pub fn admit(
        &self,
        index: &BundleIndex,
        wrapped: Option<&WrappedKey>,
    ) -> Result<Option<ContentKey>, SealError> {
        if index.seal.is_none() && self.require_sealed {
            return Err(SealError::NotSealed);
        }
        self.open(index, wrapped)
    }

    /// The content key of a bundle; `None` if that is not sealed.
    ///
    /// # Errors
    /// [`SealError::NoSealingKey`], [`SealError::NoContentKey`], and those of [`SealingKey::unwrap`].
    pub fn open(
        &self,
        index: &BundleIndex,
        wrapped: Option<&WrappedKey>,
    ) -> Result<Option<ContentKey>, SealError> {
        let Some(seal) = &index.seal else { return Ok(None) };
        let key = self.key.as_ref().ok_or(SealError::NoSealingKey)?;
        let wrapped = wrapped.ok_or(SealError::NoContentKey)?;
        let purpose = Purpose { vehicle: &self.vehicle, family: &index.family, key_id: &seal.key_id };
        key.unwrap(wrapped, purpose).map(Some)
    }
}
