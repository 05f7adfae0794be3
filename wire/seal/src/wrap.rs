//! A vehicle's sealing key, and content keys that are wrapped for it.

use crate::{ContentKey, SealError};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use std::fmt;
use std::str::FromStr;
use telltale_wire::bundle::BundleName;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use zeroize::Zeroizing;

type Private = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;

/// The bytes of a public key, of what HPKE encapsulates, and of a content key with its tag.
const KEY: usize = 32;
const SEALED: usize = 48;

/// What a content key is wrapped for. A key that was wrapped for one purpose opens for no other.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The vehicle, as its certificate names it.
    pub vehicle: &'a VehicleId,
    /// The family whose bundles it opens.
    pub family: &'a BundleName,
    /// The name of the content key.
    pub key_id: &'a Digest,
}

impl Purpose<'_> {
    /// HPKE's `info`: each text with its length before it.
    fn info(&self) -> Vec<u8> {
        let mut info = b"telltale content key 1".to_vec();
        for text in [self.vehicle.as_str(), self.family.as_str()] {
            info.extend((text.len() as u32).to_le_bytes());
            info.extend(text.as_bytes());
        }
        info.extend(self.key_id.0);
        info
    }
}

/// The private half of a vehicle's key pair. Wiped when dropped.
pub struct SealingKey {
    private: Private,
    public: RecipientKey,
}

impl SealingKey {
    /// A new one.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn generate() -> Result<Self, SealError> {
        let mut material = Zeroizing::new([0; KEY]);
        getrandom::fill(material.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
        let (private, public) = X25519HkdfSha256::derive_keypair(material.as_slice());
        Ok(Self { private, public: RecipientKey(public.to_bytes().into()) })
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`SealError::Malformed`] if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let private = Private::from_bytes(bytes).map_err(|_| SealError::Malformed("sealing key"))?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes().into();
        Ok(Self { private, public: RecipientKey(public) })
    }

    /// Its bytes: the secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.private.to_bytes().into())
    }

    /// Its public half, which the cloud is told.
    #[must_use]
    pub const fn public(&self) -> RecipientKey {
        self.public
    }

    /// Opens a content key that was wrapped for this vehicle.
    ///
    /// # Errors
    /// [`SealError::OtherSealingKey`], [`SealError::NotThisPurpose`], [`SealError::WrongContentKey`].
    pub fn unwrap(&self, wrapped: &WrappedKey, purpose: Purpose<'_>) -> Result<ContentKey, SealError> {
        if wrapped.recipient != self.public {
            return Err(SealError::OtherSealingKey { theirs: wrapped.recipient, ours: self.public });
        }
        let encapped = Encapped::from_bytes(&wrapped.encapped).map_err(|_| SealError::NotThisPurpose)?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapped,
            &purpose.info(),
            &wrapped.sealed,
            &[],
        );
        let opened = Zeroizing::new(opened.map_err(|_| SealError::NotThisPurpose)?);
        let key = ContentKey::from_bytes(&opened)?;
        // Who signs could have wrapped any key under this name.
        if key.id() == *purpose.key_id { Ok(key) } else { Err(SealError::WrongContentKey) }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.public)
    }
}

/// The public half of a vehicle's key pair: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecipientKey([u8; KEY]);

impl RecipientKey {
    /// The key of these bytes, found fit to wrap for.
    ///
    /// # Errors
    /// [`SealError::Malformed`] if they are not 32, [`SealError::WeakKey`].
    pub fn new(bytes: &[u8]) -> Result<Self, SealError> {
        let key = Self(bytes.try_into().map_err(|_| SealError::Malformed("public key"))?);
        // RFC 9180, section 7.1.4: a shared secret of zeros is refused. Only a public key of low order gives one.
        X25519HkdfSha256::encap(&key.public()?, None).map_err(|_| SealError::WeakKey)?;
        Ok(key)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Wraps a content key for the vehicle with this key. Each time gives other bytes.
    ///
    /// # Errors
    /// [`SealError::WeakKey`].
    pub fn wrap(
        &self,
        key: &ContentKey,
        vehicle: &VehicleId,
        family: &BundleName,
    ) -> Result<WrappedKey, SealError> {
        let info = Purpose { vehicle, family, key_id: &key.id() }.info();
        let (encapped, sealed) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &self.public()?,
            &info,
            key.as_bytes(),
            &[],
        )
        .map_err(|_| SealError::WeakKey)?;
        let sealed = sealed.try_into().map_err(|_| SealError::Malformed("wrapped key"))?;
        Ok(WrappedKey { recipient: *self, encapped: encapped.to_bytes().into(), sealed })
    }

    fn public(&self) -> Result<Public, SealError> {
        Public::from_bytes(&self.0).map_err(|_| SealError::WeakKey)
    }
}

impl FromStr for RecipientKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        Self::new(&hex::decode(text).map_err(|_| SealError::Malformed("public key"))?)
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({self})")
    }
}

/// A content key that one vehicle can open. No secret: it travels in signed metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedKey {
    recipient: RecipientKey,
    encapped: [u8; KEY],
    sealed: [u8; SEALED],
}

impl WrappedKey {
    /// The bytes of one: whom it is for, what HPKE encapsulates, and the sealed key.
    pub const LENGTH: usize = KEY + KEY + SEALED;

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.recipient.0.as_slice(), &self.encapped, &self.sealed].concat()
    }

    /// Reads one. Whether it opens, only [`SealingKey::unwrap`] finds out.
    ///
    /// # Errors
    /// [`SealError::Malformed`] if they are not [`WrappedKey::LENGTH`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let parts = || {
            let (recipient, rest) = bytes.split_first_chunk()?;
            let (encapped, rest) = rest.split_first_chunk()?;
            Some(Self {
                recipient: RecipientKey(*recipient),
                encapped: *encapped,
                sealed: rest.try_into().ok()?,
            })
        };
        parts().ok_or(SealError::Malformed("wrapped content key"))
    }

    /// Whom it is for.
    #[must_use]
    pub const fn recipient(&self) -> RecipientKey {
        self.recipient
    }

    /// As metadata has it: hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.to_bytes())
    }
}

impl FromStr for WrappedKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        Self::from_bytes(&hex::decode(text).map_err(|_| SealError::Malformed("wrapped content key"))?)
    }
}

#[cfg(test)]
mod tests;
