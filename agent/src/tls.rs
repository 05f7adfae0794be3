//! Mutual TLS for the uplink: credentials from PEM files, and errors that name the file and the remedy.

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The files of an identity.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The authority that signed the server's certificate.
    pub ca: PathBuf,
    /// The vehicle's certificate and the chain above it.
    pub certificate: PathBuf,
    /// The vehicle's private key.
    pub key: PathBuf,
}

/// The credentials cannot be used.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// A file is missing or is no PEM.
    #[error("{what} {} cannot be read: check the path and that it is a PEM file", .path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: pem::Error,
    },
    /// A PEM file holds no certificate.
    #[error("{what} {} holds no certificate: check that it is not a key or an empty file", .path.display())]
    NoCertificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the authority is not usable.
    #[error("the authority's certificate {} is not usable: ask for it again", .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// Certificate and key are not a pair, or of a kind that is not supported.
    #[error(
        "the certificate {} and the key {} cannot be used together: check that they were made as a pair (ECDSA P-256 is usual)",
        .certificate.display(), .key.display()
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The TLS library has no usable protocol version.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// A client configuration for HTTP/2 with these credentials.
///
/// # Errors
/// See [`CredentialError`].
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, CredentialError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("the authority's certificate", &credentials.ca)? {
        roots
            .add(authority)
            .map_err(|source| CredentialError::Authority { path: credentials.ca.clone(), source })?;
    }
    let chain = certificates("the vehicle's certificate", &credentials.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&credentials.key).map_err(|source| {
        CredentialError::Unreadable { what: "the vehicle's key", path: credentials.key.clone(), source }
    })?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CredentialError::Setup)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|source| CredentialError::Pair {
            certificate: credentials.certificate.clone(),
            key: credentials.key.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|source| CredentialError::Unreadable { what, path: path.to_owned(), source })?;
    if found.is_empty() {
        return Err(CredentialError::NoCertificate { what, path: path.to_owned() });
    }
    Ok(found)
}

/// What a person should do about a TLS error.
#[must_use]
pub fn advice(error: &(dyn StdError + 'static), credentials: &Credentials) -> Option<String> {
    let (ca, certificate) = (credentials.ca.display(), credentials.certificate.display());
    Some(match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            format!("this vehicle's certificate {certificate} has expired: enrol the vehicle again")
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied,
        ) => format!("the server does not accept {certificate}: check that its fleet's authority signed it"),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "the server's certificate is not valid at this time: check the vehicle's clock, then the server"
            .into(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name: check the address".into(),
        rustls::Error::InvalidCertificate(_) => {
            format!("the server's certificate was not signed by {ca}: check that file and the address")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let credentials = Credentials { ca: path("ca.pem"), certificate: path("a.pem"), key: path("a.key") };
        let missing = client_config(&credentials).unwrap_err();
        assert!(
            matches!(missing, CredentialError::Unreadable { .. }) && missing.to_string().contains("ca.pem")
        );
        std::fs::write(&credentials.ca, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
            .unwrap();
        let key = client_config(&credentials).unwrap_err();
        assert!(matches!(key, CredentialError::NoCertificate { .. }), "{key}");
        std::fs::write(&credentials.ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(matches!(client_config(&credentials).unwrap_err(), CredentialError::Authority { .. }));
    }
}
