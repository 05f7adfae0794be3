//! The content key of a family, and chunks sealed with it.

use crate::SealError;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2_of_hpke::Sha256;
use std::fmt;
use telltale_wire::bundle::{BundleIndex, BundleName, SEAL_OVERHEAD, SEAL_SCHEME, Seal};
use telltale_wire::digest::Digest;
use zeroize::Zeroizing;

/// The bytes of a nonce, which stand before the sealed ones.
const NONCE: usize = 24;

/// What the subkeys and the key's name are made under; no two alike, none the beginning of another.
const ENCRYPTS: &[u8] = b"telltale content key 1, encrypts";
const NONCES: &[u8] = b"telltale content key 1, makes nonces";
const NAMES: &[u8] = b"telltale content key 1, is named";

/// What the chunks of a family's bundles are sealed with: 256 random bits. Wiped when dropped.
pub struct ContentKey(Zeroizing<[u8; 32]>);

impl ContentKey {
    /// A new one.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`SealError::Malformed`] if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let bytes = bytes.try_into().map_err(|_| SealError::Malformed("content key"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Its bytes: the secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest that names it; nobody comes from it to the key.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest(*self.mac(NAMES, &[]))
    }

    /// What a bundle says that is sealed with it.
    #[must_use]
    pub fn seal_of(&self) -> Seal {
        Seal { scheme: SEAL_SCHEME, key_id: self.id() }
    }

    /// Seals the content of a chunk: [`SEAL_OVERHEAD`] bytes longer, and always the same for the same content.
    ///
    /// # Errors
    /// [`SealError::Malformed`] if the content is longer than the cipher takes, 256 GiB.
    pub fn seal(&self, family: &BundleName, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonces = self.mac(NONCES, &[]);
        let mac = authenticated(&nonces, &[&length(family), family.as_str().as_bytes(), content]);
        let mut sealed = mac.get(..NONCE).unwrap_or_default().to_vec();
        let aad = associated(family);
        let bytes = self
            .cipher()
            .encrypt(&nonce(&sealed)?, Payload { msg: content, aad: &aad })
            .map_err(|_| SealError::Malformed("content of a chunk"))?;
        sealed.extend(bytes);
        Ok(sealed)
    }

    /// The content of a sealed chunk.
    ///
    /// # Errors
    /// [`SealError::NotOpened`].
    pub fn open(&self, family: &BundleName, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.opened(&self.cipher(), &associated(family), sealed)
    }

    /// The content of a whole part of a bundle, of which `sealed` is every chunk, one behind the other.
    ///
    /// # Errors
    /// [`SealError::WrongContentKey`] if the bundle names another key, [`SealError::NotOpened`].
    pub fn open_part(&self, index: &BundleIndex, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        if index.seal != Some(self.seal_of()) {
            return Err(SealError::WrongContentKey);
        }
        let (cipher, aad) = (self.cipher(), associated(&index.family));
        let mut content = Vec::with_capacity(sealed.len());
        for chunk in sealed.chunks(index.chunk_size()) {
            content.extend(self.opened(&cipher, &aad, chunk)?);
        }
        Ok(content)
    }

    fn opened(&self, cipher: &XChaCha20Poly1305, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (first, msg) = sealed.split_at_checked(NONCE).ok_or(SealError::NotOpened)?;
        cipher.decrypt(&nonce(first)?, Payload { msg, aad }).map_err(|_| SealError::NotOpened)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.mac(ENCRYPTS, &[])).into())
    }

    fn mac(&self, label: &[u8], more: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let parts: Vec<&[u8]> = std::iter::once(label).chain(more.iter().copied()).collect();
        authenticated(&self.0, &parts)
    }
}

/// Two are the same by their names, which tells nothing of where they differ.
impl PartialEq for ContentKey {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({})", self.id().short())
    }
}

/// HMAC-SHA256 over the parts, one behind the other.
fn authenticated(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // A key shorter than the hash's block is filled up with zeros (RFC 2104, section 2).
    let mut block = Zeroizing::new([0; 64]);
    let (filled, _) = block.split_at_mut(key.len());
    filled.copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn nonce(bytes: &[u8]) -> Result<XNonce, SealError> {
    let bytes: [u8; NONCE] = bytes.try_into().map_err(|_| SealError::NotOpened)?;
    Ok(bytes.into())
}

/// A name's length in one byte: it has 32 at the most.
fn length(family: &BundleName) -> [u8; 1] {
    [family.as_str().len() as u8]
}

/// What belongs to each chunk without standing in it: the format, the scheme and the family.
fn associated(family: &BundleName) -> Vec<u8> {
    [b"telltale chunk ".as_slice(), &[SEAL_SCHEME], family.as_str().as_bytes()].concat()
}

const _: () = assert!(NONCE + 16 == SEAL_OVERHEAD);
const _: () = assert!(BundleName::MAX_LEN <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::bundle::{AgentVersion, Budget, HardwareId, Part, PartKind};

    fn family(name: &str) -> BundleName {
        BundleName::new(name).unwrap()
    }

    fn key(seed: u8) -> ContentKey {
        ContentKey::from_bytes(&[seed; 32]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_key_and_family_alone() {
        let (content, cells) = (b"a chunk of a model".as_slice(), family("cell-fault"));
        let sealed = key(1).seal(&cells, content).unwrap();
        assert_eq!(sealed.len(), content.len() + SEAL_OVERHEAD);
        assert_eq!(key(1).open(&cells, &sealed).unwrap(), content);
        assert_eq!(key(2).open(&cells, &sealed), Err(SealError::NotOpened));
        assert_eq!(key(1).open(&family("cell-fault-2"), &sealed), Err(SealError::NotOpened));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(&cells, &bad), Err(SealError::NotOpened), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(key(1).open(&cells, &sealed[..len]), Err(SealError::NotOpened), "cut at {len}");
        }
    }

    #[test]
    fn equal_content_is_equal_sealed_and_nothing_else_is() {
        let cells = family("cell-fault");
        let seal = |seed, family: &BundleName, content: &[u8]| key(seed).seal(family, content).unwrap();
        let first = seal(1, &cells, &[7; 984]);
        assert_eq!(first, seal(1, &cells, &[7; 984]));
        let mut other = [7; 984];
        other[983] = 8;
        for different in
            [seal(1, &cells, &other), seal(2, &cells, &[7; 984]), seal(1, &family("x"), &[7; 984])]
        {
            // Under the same nonce the equal beginnings of two contents would show.
            assert_ne!(first[..NONCE], different[..NONCE]);
            assert_ne!(first[NONCE..NONCE + 64], different[NONCE..NONCE + 64]);
        }
    }

    #[test]
    fn a_part_opens_chunk_by_chunk_with_the_key_that_its_bundle_names() {
        let cells = family("cell-fault");
        let content: Vec<u8> = (0..2_500_u32).map(|at| at as u8).collect();
        let chunks = content.chunks(1_024 - SEAL_OVERHEAD).map(|chunk| key(1).seal(&cells, chunk).unwrap());
        let sealed = chunks.collect::<Vec<_>>().concat();
        let index = |seal| BundleIndex {
            family: cells.clone(),
            name: cells.clone(),
            version: "1".into(),
            release: 1,
            hardware: vec![HardwareId::new("ecu").unwrap()],
            min_agent: AgentVersion::default(),
            features: Digest([0; 32]),
            needs: vec![],
            budget: Budget { latency_us: 1, memory_bytes: 1 },
            golden_tolerance: 0,
            chunk_exponent: 10,
            parts: vec![Part { kind: PartKind::Model, length: sealed.len() as u32 }],
            chunks: sealed.chunks(1_024).map(Digest::of).collect(),
            seal,
        };
        let said = index(Some(key(1).seal_of()));
        assert_eq!(key(1).open_part(&said, &sealed).unwrap(), content);
        assert_eq!(key(1).open_part(&said, &sealed[..sealed.len() - 1]), Err(SealError::NotOpened));
        for other in [None, Some(key(2).seal_of())] {
            assert_eq!(key(1).open_part(&index(other), &sealed), Err(SealError::WrongContentKey));
        }
    }

    #[test]
    fn a_key_s_name_and_its_picture_do_not_give_it_away() {
        let (mut one, other) = (ContentKey::generate().unwrap(), ContentKey::generate().unwrap());
        assert_ne!(one.id(), other.id());
        assert_ne!(one.id(), Digest::of(one.as_bytes()), "a digest of the key alone could be looked for");
        let hex = hex::encode(one.as_bytes());
        assert!(!format!("{one:?} {}", one.id()).contains(&hex[..16]));
        one = ContentKey::from_bytes(other.as_bytes()).unwrap();
        assert_eq!(one, other);
        assert_eq!(ContentKey::from_bytes(&[1; 31]), Err(SealError::Malformed("content key")));
    }

    /// What is sealed today is opened by the agents of later years. The bytes are also those of another implementation,
    /// of RFC 2104, RFC 8439 and the draft on XChaCha.
    #[test]
    fn the_bytes_of_a_sealed_chunk_are_pinned() {
        let sealed = key(1).seal(&family("cell-fault"), b"abc").unwrap();
        assert_eq!(hex::encode(sealed), PINNED);
        assert_eq!(key(1).id().to_hex(), PINNED_ID);
    }

    const PINNED: &str =
        "b8364b12f776d7ce2f9a11447c6c39e44647793bcbcf7236f82b1a5919aee1c11b367cbd8bb8846893e0fa";
    const PINNED_ID: &str = "68dc18be073f7f4c4c99e9ed60625992a4cdab2d8c58fdbacf66d6f9c24c0431";
}
