//! From the bytes of a slot to a model that can run. Every byte is held against the signed index on its way. What is
//! sealed on the disk is opened in memory alone, and nowhere kept open.

use crate::files::Directory;
use crate::load;
use telltale_core::catalog::Catalog;
use telltale_core::feature::FeatureSpec;
use telltale_core::model::Manifest;
use telltale_core::pipeline::LoadedModel;
use telltale_core::update::{Failure, Release, Shelf, ShelfError, Slot};
use telltale_seal::{ContentKey, Keyring, SealError, WrappedKey};
use telltale_wire::bundle::{BundleIndex, BundleName, PartKind};
use telltale_wire::update::UpdateReason;

/// The bundle of a slot, with what opens it.
pub(super) struct Bundle {
    pub(super) index: BundleIndex,
    key: Option<ContentKey>,
}

impl Bundle {
    /// Reads the index of a slot and, where it is sealed, opens its content key.
    ///
    /// # Errors
    /// Damaged, or not for this vehicle's sealing key.
    pub(super) fn open(
        shelf: &mut Shelf<Directory>,
        keyring: &Keyring,
        family: &BundleName,
        slot: Slot,
        release: &Release,
    ) -> Result<Bundle, Failure> {
        let index = shelf.index(family, slot, release).map_err(|error| damaged(&error))?;
        let wrapped = match index.seal {
            None => None,
            Some(_) => shelf.key_bytes(family, slot).map_err(|error| damaged(&error))?,
        };
        let wrapped = wrapped.map(|bytes| WrappedKey::from_bytes(&bytes)).transpose();
        let key = wrapped.and_then(|wrapped| keyring.open(&index, wrapped.as_ref()));
        Ok(Bundle { index, key: key.map_err(|error| locked(&error))? })
    }

    /// A part, opened.
    ///
    /// # Errors
    /// Damaged, or sealed with another key than it says.
    pub(super) fn part(&self, shelf: &mut Shelf<Directory>, kind: PartKind) -> Result<Vec<u8>, Failure> {
        let bytes = shelf.part(&self.index, kind).map_err(|error| damaged(&error))?;
        match &self.key {
            None => Ok(bytes),
            Some(key) => key.open_part(&self.index, &bytes).map_err(|error| locked(&error)),
        }
    }

    /// A part that is text.
    ///
    /// # Errors
    /// Likewise, or no UTF-8.
    pub(super) fn text(&self, shelf: &mut Shelf<Directory>, kind: PartKind) -> Result<String, Failure> {
        String::from_utf8(self.part(shelf, kind)?).map_err(|_| Failure {
            reason: UpdateReason::NotLoadable,
            why: format!("its {} is not UTF-8 text", kind.as_str()),
        })
    }
}

/// Loads the model of a slot for the subjects that the catalog has.
///
/// # Errors
/// Damaged, not to be opened, not loadable, trained on other features, or not for this catalog.
pub(super) fn load(
    shelf: &mut Shelf<Directory>,
    keyring: &Keyring,
    family: &BundleName,
    slot: Slot,
    release: &Release,
    catalog: &Catalog,
) -> Result<(Bundle, LoadedModel), Failure> {
    let bundle = Bundle::open(shelf, keyring, family, slot, release)?;
    let manifest = bundle.text(shelf, PartKind::Manifest)?;
    let features = bundle.text(shelf, PartKind::Features)?;
    let onnx = bundle.part(shelf, PartKind::Model)?;
    let index = &bundle.index;
    let origin = format!("{} ({release})", index.path());
    let manifest = Manifest::parse(&manifest, &origin).map_err(|error| not_loadable(&error))?;
    let features = FeatureSpec::parse(&features, &origin).map_err(|error| not_loadable(&error))?;
    if features.digest != index.features || manifest.features_digest != features.digest.to_hex() {
        let why = format!("trained on {}, brings {}", manifest.features_digest, features.digest);
        return Err(Failure { reason: UpdateReason::OtherFeatures, why });
    }
    if manifest.name != index.name.as_str() {
        let why = format!("its manifest is of {}, its index of {}", manifest.name, index.name);
        return Err(Failure { reason: UpdateReason::NotLoadable, why });
    }
    let model = load::assemble(manifest, features, &onnx, release.bundle, catalog, &origin)
        .map_err(|error| Failure { reason: UpdateReason::NotLoadable, why: format!("{error:#}") })?;
    Ok((bundle, model))
}

fn damaged(error: &ShelfError) -> Failure {
    Failure { reason: UpdateReason::Damaged, why: error.to_string() }
}

/// A seal that does not give way, as a reason for the record.
pub(super) fn locked(error: &SealError) -> Failure {
    let reason = match error {
        SealError::NotSealed => UpdateReason::NotSealed,
        SealError::NoSealingKey | SealError::NoRandomness => UpdateReason::NoSealingKey,
        SealError::NoContentKey => UpdateReason::NoContentKey,
        SealError::OtherSealingKey { .. } => UpdateReason::OtherSealingKey,
        SealError::NotThisPurpose
        | SealError::WrongContentKey
        | SealError::WeakKey
        | SealError::Malformed(_) => UpdateReason::WrongContentKey,
        SealError::NotOpened => UpdateReason::NotOpened,
    };
    Failure { reason, why: error.to_string() }
}

fn not_loadable(error: &dyn std::error::Error) -> Failure {
    Failure { reason: UpdateReason::NotLoadable, why: error.to_string() }
}
