//! The TLS side of the vehicle listener: TLS 1.2 and 1.3 by `ring`, a client certificate always asked for.

use crate::pki::{Pki, PkiError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sessions kept for resumption, which saves a vehicle about a kilobyte a connect. About 2 kB each.
const SESSIONS: usize = 4_096;

/// Why the files of a PKI make no server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A file does not hold what it should.
    #[error("cannot read {expected} from {}: restore it, or make a new PKI with `telltale-cloud pki init --force`",
        .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The authority can't be trusted with clients.
    #[error("{} is no authority for client certificates", .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::server::VerifierBuilderError,
    },
    /// Certificate and key are not a pair, or another thing that rustls refuses.
    #[error("cannot serve TLS with server.pem and server.key of {}", .dir.display())]
    Config {
        /// The PKI's folder.
        dir: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// What decides whether a client certificate is good, kept to ask again after the handshake.
#[derive(Clone, Debug)]
pub(crate) struct Verifier(Arc<dyn ClientCertVerifier>);

impl Verifier {
    /// Whether the chain is still good. A connection or a resumed session can outlive the certificate that opened it.
    pub(crate) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (leaf, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.0.verify_client_cert(leaf, intermediates, UnixTime::now()).map(|_| ())
    }
}

/// The server's TLS configuration, and the verifier it uses.
pub(crate) fn server_config(dir: &Path) -> Result<(ServerConfig, Verifier), TlsError> {
    let pki = Pki::open(dir)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates(&pki.ca_cert())? {
        roots.add(authority).map_err(|source| TlsError::Config { dir: dir.to_owned(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|source| TlsError::Authority { path: pki.ca_cert(), source })?;
    let key = PrivateKeyDer::from_pem_file(pki.server_key()).map_err(|source| TlsError::Unreadable {
        path: pki.server_key(),
        expected: "a private key",
        source,
    })?;
    let config_error = |source| TlsError::Config { dir: dir.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(config_error)?
        .with_client_cert_verifier(Arc::clone(&verifier))
        .with_single_cert(certificates(&pki.server_cert())?, key)
        .map_err(config_error)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    // One ticket is what one vehicle uses; each more costs bytes on the air.
    config.send_tls13_tickets = 1;
    Ok((config, Verifier(verifier)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable =
        |source| TlsError::Unreadable { path: path.to_owned(), expected: "a certificate", source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() { Err(unreadable(rustls::pki_types::pem::Error::NoItemsFound)) } else { Ok(found) }
}
