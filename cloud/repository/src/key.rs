//! Keys that sign: Ed25519, each in a PEM file of its own that only its owner reads.

use crate::RepositoryError;
use crate::canonical::canonical;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use telltale_wire::digest::Digest;

/// PKCS #8 version 1 of an Ed25519 key, up to its 32 bytes (RFC 8410 section 7). OpenSSL reads it.
const PRIVATE_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// SubjectPublicKeyInfo of an Ed25519 key, up to its 32 bytes (RFC 8410 section 4).
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// A key file is not larger.
const MAX_FILE: u64 = 4_096;

/// The name of a public key: the SHA-256 of its canonical form, in hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, enough for a person to tell keys apart.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// A public key as it stands in metadata.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicKey {
    keytype: String,
    keyval: KeyValue,
    scheme: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct KeyValue {
    public: String,
}

impl PublicKey {
    fn of(raw: &[u8]) -> Self {
        let public = raw.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        Self { keytype: "ed25519".into(), keyval: KeyValue { public }, scheme: "ed25519".into() }
    }

    fn raw(&self) -> Option<Vec<u8>> {
        unhex(&self.keyval.public).filter(|raw| raw.len() == 32 && self.keytype == "ed25519")
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        // Three strings: nothing that canonical JSON refuses.
        let value = serde_json::to_value(self).unwrap_or_default();
        KeyId(Digest::of(&canonical(&value).unwrap_or_default()).to_hex())
    }

    /// Whether `signature`, in hexadecimal, is one of this key over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let (Some(raw), Some(signature)) = (self.raw(), unhex(signature)) else { return false };
        UnparsedPublicKey::new(&ED25519, raw).verify(message, &signature).is_ok()
    }

    /// Reads a public key in PEM; of a private key, its public half.
    ///
    /// # Errors
    /// If the file can't be read or holds no Ed25519 key.
    pub fn read(path: &Path) -> Result<Self, RepositoryError> {
        let (tag, der) = read_pem(path, "public")?;
        if tag == "PRIVATE KEY" {
            return SigningKey::read(path).map(|key| key.public().clone());
        }
        match der.strip_prefix(&PUBLIC_HEAD) {
            Some(raw) if raw.len() == 32 && tag == "PUBLIC KEY" => Ok(Self::of(raw)),
            _ => Err(RepositoryError::NoKey { path: path.to_owned(), expected: "public" }),
        }
    }

    /// Writes it in PEM, beside whatever is there, never over it.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub fn write(&self, path: &Path) -> Result<(), RepositoryError> {
        let der = [&PUBLIC_HEAD[..], &self.raw().unwrap_or_default()].concat();
        write_new(path, &pem::encode(&pem::Pem::new("PUBLIC KEY", der)), 0o644)
    }
}

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// A new key, of the system's randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub fn generate() -> Result<Self, RepositoryError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| RepositoryError::NoRandom)?;
        Self::from_seed(seed)
    }

    /// The key of this seed. For tests that must repeat; a real key is [`SigningKey::generate`]d.
    ///
    /// # Errors
    /// None is known; the library may refuse a seed.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, RepositoryError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| RepositoryError::NoRandom)?;
        let public = PublicKey::of(pair.public_key().as_ref());
        Ok(Self { pair, seed, public })
    }

    /// Reads a private key in PKCS #8 PEM.
    ///
    /// # Errors
    /// If the file can't be read, holds no Ed25519 key, or may be read by others than its owner.
    pub fn read(path: &Path) -> Result<Self, RepositoryError> {
        let mode =
            fs::metadata(path).map_err(RepositoryError::io("read", path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(RepositoryError::ExposedKey { path: path.to_owned(), mode });
        }
        let (tag, der) = read_pem(path, "private")?;
        let seed = der.strip_prefix(&PRIVATE_HEAD).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
        match seed.filter(|_| tag == "PRIVATE KEY") {
            Some(seed) => Self::from_seed(seed),
            None => Err(RepositoryError::NoKey { path: path.to_owned(), expected: "private" }),
        }
    }

    /// Writes it in PKCS #8 PEM, mode 0600, never over a file that is there.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub fn write(&self, path: &Path) -> Result<(), RepositoryError> {
        let der = [&PRIVATE_HEAD[..], &self.seed].concat();
        write_new(path, &pem::encode(&pem::Pem::new("PRIVATE KEY", der)), 0o600)
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The name of its public half.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs; the signature in hexadecimal.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let signature = self.pair.sign(message);
        signature.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

fn read_pem(path: &Path, expected: &'static str) -> Result<(String, Vec<u8>), RepositoryError> {
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(RepositoryError::io("read", path))?;
    file.take(MAX_FILE).read_to_end(&mut text).map_err(RepositoryError::io("read", path))?;
    let parsed = pem::parse(&text).map_err(|_| RepositoryError::NoKey { path: path.to_owned(), expected })?;
    Ok((parsed.tag().to_owned(), parsed.into_contents()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), RepositoryError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => RepositoryError::Exists(path.to_owned()),
        _ => RepositoryError::Io { action: "make", path: path.to_owned(), source },
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(RepositoryError::io("write", path))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("k.pem"), dir.path().join("k.pub"));
        let key = SigningKey::generate().unwrap();
        key.write(&private).unwrap();
        key.public().write(&public).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SigningKey::read(&private).unwrap();
        assert_eq!((read.id(), read.sign(b"x")), (key.id(), key.sign(b"x")));
        assert_eq!(&PublicKey::read(&public).unwrap(), key.public());
        assert_eq!(&PublicKey::read(&private).unwrap(), key.public());
        assert!(matches!(key.write(&private), Err(RepositoryError::Exists(_))));
        assert!(matches!(SigningKey::read(&public), Err(RepositoryError::ExposedKey { .. })));
        fs::set_permissions(&private, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::read(&private).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn other_files_are_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        for text in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let _ = fs::remove_file(&path);
            write_new(&path, text, 0o600).unwrap();
            assert!(matches!(SigningKey::read(&path), Err(RepositoryError::NoKey { .. })), "{text}");
            assert!(matches!(PublicKey::read(&path), Err(RepositoryError::NoKey { .. })), "{text}");
        }
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let [a, b] = [1, 2].map(|seed| SigningKey::from_seed([seed; 32]).unwrap());
        let signature = a.sign(b"message");
        assert!(a.public().verifies(b"message", &signature));
        assert!(!b.public().verifies(b"message", &signature) && !a.public().verifies(b"massage", &signature));
        for bad in ["", "0", "zz", "é0", &signature[2..]] {
            assert!(!a.public().verifies(b"message", bad));
        }
    }

    #[test]
    fn a_key_id_is_the_one_that_the_reference_implementation_gives() {
        // securesystemslib: sha256 of {"keytype":"ed25519","keyval":{"public":"..."},"scheme":"ed25519"}.
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let text = format!(
            "{{\"keytype\":\"ed25519\",\"keyval\":{{\"public\":\"{}\"}},\"scheme\":\"ed25519\"}}",
            key.public().keyval.public
        );
        assert_eq!(key.id().as_str(), Digest::of(text.as_bytes()).to_hex());
    }
}
