//! What both repositories agree on. This file alone makes a [`Verified`]: between bytes from outside and a model's slot
//! there is no way around it.

use crate::error::{Refusal, Side};
use crate::refresh::Target;
use serde::Deserialize;
use std::ops::Deref;
use telltale_seal::{ContentKey, Keyring, WrappedKey};
use telltale_wire::bundle::{BundleError, BundleIndex, BundleName, Chunk, HardwareId, IndexPath, MAX_INDEX};
use telltale_wire::desired;
use telltale_wire::digest::Digest;

/// Something that was signed for this vehicle.
#[derive(Clone, PartialEq, Debug)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A file by what was signed of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

impl Pin {
    /// Whether these bytes are that file.
    fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() as u64 != self.length {
            return Err(Refusal::FileLength { expected: self.length, found: bytes.len() as u64 });
        }
        if Digest::of(bytes) == self.digest { Ok(()) } else { Err(Refusal::FileDigest) }
    }
}

/// A bundle that this vehicle shall have, by what both repositories say of its index.
#[derive(Clone, PartialEq, Debug)]
pub struct Offer {
    path: IndexPath,
    hardware: HardwareId,
    pin: Verified<Pin>,
    wrapped_key: Option<WrappedKey>,
}

impl Offer {
    /// Family, name and release.
    #[must_use]
    pub const fn path(&self) -> &IndexPath {
        &self.path
    }

    /// The index's length and digest: the digest names the bundle exactly.
    #[must_use]
    pub const fn pin(&self) -> &Verified<Pin> {
        &self.pin
    }

    /// The content key that the director wrapped for this vehicle, if it did. Whether it opens, [`Offer::unlock`] says.
    #[must_use]
    pub const fn wrapped_key(&self) -> Option<&WrappedKey> {
        self.wrapped_key.as_ref()
    }

    /// The content key of this offer's bundle; `None` if that lies open, and may.
    ///
    /// # Errors
    /// [`Refusal::Seal`].
    pub fn unlock(
        &self,
        index: &Verified<BundleIndex>,
        keyring: &Keyring,
    ) -> Result<Option<ContentKey>, Refusal> {
        keyring.admit(index, self.wrapped_key.as_ref()).map_err(Refusal::Seal)
    }

    /// Takes the index that was fetched for this offer.
    ///
    /// # Errors
    /// [`Refusal::FileLength`], [`Refusal::FileDigest`], [`Refusal::Index`] or [`Refusal::OtherBundle`].
    pub fn index(&self, bytes: &[u8]) -> Result<Verified<BundleIndex>, Refusal> {
        self.pin.check(bytes)?;
        let index = BundleIndex::decode(bytes).map_err(Refusal::Index)?;
        if index.path() != self.path || !index.hardware.contains(&self.hardware) {
            return Err(Refusal::OtherBundle);
        }
        Ok(Verified(index))
    }
}

impl Verified<BundleIndex> {
    /// Takes a chunk that was fetched: what comes back may be written into a slot.
    ///
    /// # Errors
    /// [`BundleError::NoChunk`], [`BundleError::ChunkLength`] or [`BundleError::ChunkDigest`].
    pub fn check_chunk<'a>(
        &self,
        number: usize,
        bytes: &'a [u8],
    ) -> Result<(Chunk, Verified<&'a [u8]>), BundleError> {
        self.0.check_chunk(number, bytes).map(|chunk| (chunk, Verified(bytes)))
    }
}

impl Verified<Pin> {
    /// Takes the desired state that was fetched for this pin.
    ///
    /// # Errors
    /// [`Refusal::FileLength`] or [`Refusal::FileDigest`].
    pub fn desired_state<'a>(&self, bytes: &'a [u8]) -> Result<Verified<&'a [u8]>, Refusal> {
        self.0.check(bytes).map(|()| Verified(bytes))
    }
}

/// What a repository says of a bundle beside its length and digest.
#[derive(Deserialize)]
struct Custom {
    hardware_ids: Vec<HardwareId>,
    release: u32,
    family: BundleName,
    /// The director's alone: the content key, wrapped for the vehicle.
    #[serde(default)]
    content_key: Option<String>,
}

impl Custom {
    fn read(target: &Target, side: Side) -> Result<Self, Refusal> {
        let custom = target.custom.clone().ok_or(Refusal::Custom { side })?;
        serde_json::from_value(custom).map_err(|_| Refusal::Custom { side })
    }
}

/// Reads the path and what the director says of it: all that can be refused before the image repository is asked.
///
/// `floor` is the lowest release of the family that this vehicle takes.
pub(crate) fn directed(
    path: &str,
    director: &Target,
    hardware: &HardwareId,
    floor: impl FnOnce(&BundleName) -> u32,
) -> Result<IndexPath, Refusal> {
    let path: IndexPath = path.parse().map_err(|_| Refusal::Path)?;
    fits(&path, director, Side::Director, hardware)?;
    bounded(director.length, MAX_INDEX)?;
    let floor = floor(&path.family);
    if path.release < floor {
        return Err(Refusal::Rollback { floor, offered: path.release });
    }
    Ok(path)
}

/// Uptane's full verification (standard 2.0, section 5.4.4.2): the director's word counts as far as the image
/// repository says the same.
pub(crate) fn agreed(
    path: IndexPath,
    director: &Target,
    image: Option<&Target>,
    hardware: &HardwareId,
) -> Result<Offer, Refusal> {
    let image = image.ok_or(Refusal::NotInImage)?;
    let (ours, theirs) = (Custom::read(director, Side::Director)?, Custom::read(image, Side::Image)?);
    if director.length != image.length {
        return Err(Refusal::Length { director: director.length, image: image.length });
    }
    let digest = director.sha256().filter(|digest| image.sha256() == Some(*digest));
    // Every algorithm that both name must agree, SHA-256 must be among them.
    let differs = |(name, hash): (&String, &String)| {
        image.hashes.get(name).is_some_and(|other| !other.eq_ignore_ascii_case(hash))
    };
    let digest = digest.filter(|_| !director.hashes.iter().any(differs)).ok_or(Refusal::Digest)?;
    if ours.release != theirs.release {
        return Err(Refusal::Release { director: ours.release, image: theirs.release });
    }
    if ours.family != theirs.family {
        return Err(Refusal::Family { director: ours.family, image: theirs.family });
    }
    fits(&path, image, Side::Image, hardware)?;
    let wrapped_key = ours.content_key.map(|text| text.parse::<WrappedKey>()).transpose();
    let wrapped_key = wrapped_key.map_err(Refusal::Seal)?;
    let pin = Verified(Pin { length: director.length, digest });
    Ok(Offer { path, hardware: hardware.clone(), pin, wrapped_key })
}

/// The desired state is the director's word alone: it holds commands and configuration, no model.
pub(crate) fn desired_state(director: &Target) -> Result<Verified<Pin>, Refusal> {
    bounded(director.length, desired::MAX_LEN)?;
    let digest = director.sha256().ok_or(Refusal::Digest)?;
    Ok(Verified(Pin { length: director.length, digest }))
}

fn fits(path: &IndexPath, target: &Target, side: Side, hardware: &HardwareId) -> Result<(), Refusal> {
    let custom = Custom::read(target, side)?;
    if custom.family != path.family || custom.release != path.release {
        return Err(Refusal::Names { side });
    }
    if !custom.hardware_ids.contains(hardware) {
        return Err(Refusal::Hardware { side, hardware: hardware.clone() });
    }
    Ok(())
}

const fn bounded(length: u64, limit: usize) -> Result<(), Refusal> {
    let limit = limit as u64;
    if length > limit { Err(Refusal::TooLong { length, limit }) } else { Ok(()) }
}
