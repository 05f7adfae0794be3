//! Signatures and digests by `ring`, the one cryptographic library of the agent, for the TUF client.

use ring::digest::{Algorithm, Context, SHA256, SHA384, SHA512};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sigstore_crypto::{CryptoProvider, Error, HashContext, SigningScheme};
use sigstore_types::HashAlgorithm;

/// Makes `ring` the process's provider. Doing it twice is harmless.
pub(crate) fn install() {
    // The one that is there already is this one: nothing else in the agent brings a provider.
    let _ = sigstore_crypto::install_default_provider(&Ring);
}

#[derive(Debug)]
struct Ring;

struct Hash(Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

const fn digest(algorithm: HashAlgorithm) -> Option<&'static Algorithm> {
    match algorithm {
        HashAlgorithm::Sha2256 => Some(&SHA256),
        HashAlgorithm::Sha2384 => Some(&SHA384),
        HashAlgorithm::Sha2512 => Some(&SHA512),
        _ => None,
    }
}

/// What this project signs with is Ed25519. The others are what other TUF repositories sign with.
fn verification(scheme: SigningScheme) -> Option<&'static dyn VerificationAlgorithm> {
    match scheme {
        SigningScheme::Ed25519 => Some(&signature::ED25519),
        SigningScheme::EcdsaP256Sha256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
        SigningScheme::EcdsaP384Sha384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
        SigningScheme::RsaPssSha256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        SigningScheme::RsaPssSha384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        SigningScheme::RsaPssSha512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        let algorithm =
            digest(algorithm).ok_or_else(|| Error::UnsupportedAlgorithm(format!("{algorithm:?}")))?;
        Ok(Box::new(Hash(Context::new(algorithm))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let algorithm =
            verification(scheme).ok_or_else(|| Error::UnsupportedAlgorithm(scheme.name().into()))?;
        UnparsedPublicKey::new(algorithm, key)
            .verify(data, signature)
            .map_err(|_| Error::Verification(format!("{} signature invalid", scheme.name())))
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        _key: &[u8],
        _digest: &[u8],
        _signature: &[u8],
    ) -> Result<(), Error> {
        // TUF signs the metadata itself, never a digest of it.
        Err(Error::UnsupportedAlgorithm(scheme.name().into()))
    }
}
