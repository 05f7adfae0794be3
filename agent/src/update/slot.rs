//! From the bytes of a slot to a model that can run. Every byte was held against the signed index on its way.

use crate::files::Directory;
use crate::load;
use telltale_core::catalog::Catalog;
use telltale_core::feature::FeatureSpec;
use telltale_core::model::Manifest;
use telltale_core::pipeline::LoadedModel;
use telltale_core::update::{Failure, Release, Shelf, ShelfError, Slot};
use telltale_wire::bundle::{BundleIndex, BundleName, PartKind};
use telltale_wire::update::UpdateReason;

/// Loads the model of a slot for the subjects that the catalog has.
///
/// # Errors
/// Damaged, not loadable, trained on other features, or not for this catalog.
pub(super) fn load(
    shelf: &mut Shelf<Directory>,
    family: &BundleName,
    slot: Slot,
    release: &Release,
    catalog: &Catalog,
) -> Result<(BundleIndex, LoadedModel), Failure> {
    let index = shelf.index(family, slot, release).map_err(|error| damaged(&error))?;
    let manifest = text(shelf, &index, PartKind::Manifest)?;
    let features = text(shelf, &index, PartKind::Features)?;
    let onnx = shelf.part(&index, PartKind::Model).map_err(|error| damaged(&error))?;
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
    Ok((index, model))
}

/// A part that is text.
pub(super) fn text(
    shelf: &mut Shelf<Directory>,
    index: &BundleIndex,
    kind: PartKind,
) -> Result<String, Failure> {
    let bytes = shelf.part(index, kind).map_err(|error| damaged(&error))?;
    String::from_utf8(bytes).map_err(|_| Failure {
        reason: UpdateReason::NotLoadable,
        why: format!("its {} is not UTF-8 text", kind.as_str()),
    })
}

pub(super) fn damaged(error: &ShelfError) -> Failure {
    Failure { reason: UpdateReason::Damaged, why: error.to_string() }
}

fn not_loadable(error: &dyn std::error::Error) -> Failure {
    Failure { reason: UpdateReason::NotLoadable, why: error.to_string() }
}
