//! The development PKI: a certificate authority in a folder, the server's certificate, and one for each vehicle.
//!
//! Keys are ECDSA on P-256, the curve that secure elements in vehicles speak. A vehicle's identity is the URI
//! `urn:telltale:vehicle:<id>` in its certificate's subject alternative names (see [`crate::identity`]). A fleet in
//! production keeps its authority elsewhere; the server asks only for the four files that [`Pki`] names.

use crate::identity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use telltale_wire::ids::VehicleId;
use time::{Duration, OffsetDateTime};

/// How long a new authority is valid.
const CA_DAYS: i64 = 3_650;
/// How long a new server certificate is valid.
const SERVER_DAYS: i64 = 730;
/// How long a vehicle's certificate is valid unless the caller says otherwise.
pub const VEHICLE_DAYS: u32 = 365;
/// Certificates begin to be valid this long before they are made, for clocks that lag.
const BACKDATE: Duration = Duration::hours(1);
/// The authority's name. It is a constant because enrolment builds the issuer's name from it again.
const CA_NAME: &str = "Telltale development CA";

/// A folder that holds `ca.pem`, `ca.key`, `server.pem` and `server.key`.
#[derive(Clone, Debug)]
pub struct Pki {
    dir: PathBuf,
}

/// Whether files that exist are replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Refuse, and touch nothing.
    Keep,
    /// Replace them: certificates that the old keys made will no longer be accepted.
    Replace,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The first moment.
    pub not_before: OffsetDateTime,
    /// The last moment.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From an hour ago, for this many days.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let not_before = OffsetDateTime::now_utc() - BACKDATE;
        Self { not_before, not_after: not_before + Duration::days(i64::from(days)) }
    }
}

/// Where an enrolled vehicle's files are.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The vehicle's certificate, PEM.
    pub certificate: PathBuf,
    /// The vehicle's private key, PKCS #8 PEM, mode 0600.
    pub key: PathBuf,
    /// The authority that signs the server's certificate, PEM.
    pub authority: PathBuf,
}

/// Why the PKI could not do something.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file is there already.
    #[error("{} exists: it is not overwritten (use --force to replace it and what depends on it)", .0.display())]
    Exists(PathBuf),
    /// The folder holds no PKI.
    #[error("no PKI in {} ({} is missing): make one with `telltale-cloud pki init --dir {}`",
        .dir.display(), .missing, .dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A PEM file does not hold what it should.
    #[error("{} does not hold {expected}: restore it, or make a new PKI with `telltale-cloud pki init`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A host is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address: give --host a name such as fleet.example.org")]
    Host(String),
    /// The lifetime is none.
    #[error("a certificate needs an end after its beginning, between the years 1970 and 9999")]
    Validity,
    /// The certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The authority's key and certificate do not belong together.
    #[error("the certificate just made does not verify against {}: its key and certificate are not a pair", .0.display())]
    NotAPair(PathBuf),
}

impl Pki {
    /// Makes an authority and a server certificate for `localhost`, `127.0.0.1`, `::1` and `hosts` in `dir`.
    ///
    /// # Errors
    /// [`PkiError`]; nothing is written when one of the files exists and is to be kept.
    pub fn init(dir: &Path, hosts: &[String], existing: Existing) -> Result<Self, PkiError> {
        let pki = Self { dir: dir.to_owned() };
        create_dir(dir)?;
        let files = [pki.ca_key(), pki.ca_cert(), pki.server_key(), pki.server_cert()];
        refuse_existing(&files, existing)?;

        let ca_key = KeyPair::generate()?;
        let ca_cert = ca_params()?.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca_params()?, &ca_key);
        let server_key = KeyPair::generate()?;
        let server_cert = server_params(hosts)?.signed_by(&server_key, &issuer)?;

        write_private(&pki.ca_key(), &ca_key.serialize_pem())?;
        write_public(&pki.ca_cert(), &ca_cert.pem())?;
        write_private(&pki.server_key(), &server_key.serialize_pem())?;
        write_public(&pki.server_cert(), &server_cert.pem())?;
        Ok(pki)
    }

    /// The PKI that `dir` holds.
    ///
    /// # Errors
    /// [`PkiError::Missing`] if a file that a server needs is not there. The authority's key is not needed.
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let pki = Self { dir: dir.to_owned() };
        for name in ["ca.pem", "server.pem", "server.key"] {
            if !dir.join(name).is_file() {
                return Err(PkiError::Missing { dir: pki.dir, missing: name });
            }
        }
        Ok(pki)
    }

    /// Makes a key and a certificate for a vehicle, and writes `vehicle.pem`, `vehicle.key` and `ca.pem` into `out`.
    ///
    /// # Errors
    /// [`PkiError`]; nothing is written when one of the files exists and is to be kept.
    pub fn enroll(
        &self,
        vehicle: &VehicleId,
        out: &Path,
        validity: Validity,
        existing: Existing,
    ) -> Result<Enrolled, PkiError> {
        if validity.not_after <= validity.not_before || validity.not_after.year() > 9_999 {
            return Err(PkiError::Validity);
        }
        let issuer = self.issuer()?;
        let key = KeyPair::generate()?;
        let cert = vehicle_params(vehicle, validity)?.signed_by(&key, &issuer)?;
        let authority = read(&self.ca_cert())?;
        self.check_pair(cert.der(), validity)?;

        create_dir(out)?;
        let enrolled = Enrolled {
            certificate: out.join("vehicle.pem"),
            key: out.join("vehicle.key"),
            authority: out.join("ca.pem"),
        };
        refuse_existing(&[&enrolled.certificate, &enrolled.key, &enrolled.authority], existing)?;
        write_private(&enrolled.key, &key.serialize_pem())?;
        write_public(&enrolled.certificate, &cert.pem())?;
        write_public(&enrolled.authority, &authority)?;
        Ok(enrolled)
    }

    /// Where a vehicle's files go when nothing else is said.
    #[must_use]
    pub fn vehicle_dir(&self, vehicle: &VehicleId) -> PathBuf {
        self.dir.join("vehicles").join(vehicle.as_str())
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The authority's private key. The server does not read it.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// The server's certificate.
    #[must_use]
    pub fn server_cert(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// The server's private key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, PkiError> {
        if !self.ca_key().is_file() {
            return Err(PkiError::Missing { dir: self.dir.clone(), missing: "ca.key" });
        }
        let key = KeyPair::from_pem(&read(&self.ca_key())?)
            .map_err(|_| PkiError::Unreadable { path: self.ca_key(), expected: "a PKCS #8 private key" })?;
        Ok(Issuer::new(ca_params()?, key))
    }

    /// The authority's name is built anew for each signature, so the result is checked against the file that
    /// vehicles and server will trust.
    fn check_pair(&self, cert: &CertificateDer<'_>, validity: Validity) -> Result<(), PkiError> {
        let unreadable = || PkiError::Unreadable { path: self.ca_cert(), expected: "a certificate" };
        let authority = CertificateDer::from_pem_file(self.ca_cert()).map_err(|_| unreadable())?;
        let begin = u64::try_from(validity.not_before.unix_timestamp()).map_err(|_| PkiError::Validity)?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(begin + 1));
        match identity::is_signed_by(cert, &authority, at) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PkiError::NotAPair(self.ca_cert())),
            Err(_) => Err(unreadable()),
        }
    }
}

fn ca_params() -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - BACKDATE;
    params.not_after = params.not_before + Duration::days(CA_DAYS);
    Ok(params)
}

fn server_params(hosts: &[String]) -> Result<CertificateParams, PkiError> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    for host in hosts {
        let known = rustls::pki_types::ServerName::try_from(host.as_str());
        known.map_err(|_| PkiError::Host(host.clone()))?;
        names.push(host.clone());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Telltale fleet server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = OffsetDateTime::now_utc() - BACKDATE;
    params.not_after = params.not_before + Duration::days(SERVER_DAYS);
    Ok(params)
}

fn vehicle_params(vehicle: &VehicleId, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, vehicle.as_str());
    params.subject_alt_names = vec![SanType::URI(identity::uri_of(vehicle).as_str().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    Ok(params)
}

fn refuse_existing(paths: &[impl AsRef<Path>], existing: Existing) -> Result<(), PkiError> {
    match paths.iter().find(|path| path.as_ref().exists()) {
        Some(path) if existing == Existing::Keep => Err(PkiError::Exists(path.as_ref().to_owned())),
        _ => Ok(()),
    }
}

fn create_dir(dir: &Path) -> Result<(), PkiError> {
    fs::create_dir_all(dir).map_err(|source| PkiError::Io {
        action: "create folder",
        path: dir.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Io { action: "read", path: path.to_owned(), source })
}

fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, 0o600)
}

fn write_public(path: &Path, text: &str) -> Result<(), PkiError> {
    write(path, text, 0o644)
}

/// Writes beside the target and renames, so that a reader sees the old file or the new one, and a key is never
/// readable for others, not even between two calls.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let beside = path.with_extension("partial");
    let attempt = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| PkiError::Io { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn vehicle(id: &str) -> VehicleId {
        VehicleId::new(id).unwrap()
    }

    #[test]
    fn an_enrolled_vehicle_carries_its_identity_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::init(dir.path(), &["fleet.example.org".into()], Existing::Keep).unwrap();
        let out = pki.vehicle_dir(&vehicle("bench-01"));
        let files = pki.enroll(&vehicle("bench-01"), &out, Validity::days(30), Existing::Keep).unwrap();
        let cert = CertificateDer::from_pem_file(&files.certificate).unwrap();
        assert_eq!(identity::vehicle_of(&cert).unwrap(), vehicle("bench-01"));
        for key in [files.key, pki.ca_key(), pki.server_key()] {
            assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
        }
    }

    #[test]
    fn nothing_is_overwritten_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::init(dir.path(), &[], Existing::Keep).unwrap();
        let before = fs::read(pki.ca_key()).unwrap();
        assert!(matches!(Pki::init(dir.path(), &[], Existing::Keep), Err(PkiError::Exists(_))));
        assert_eq!(fs::read(pki.ca_key()).unwrap(), before);

        let out = dir.path().join("out");
        let enroll = |existing| pki.enroll(&vehicle("a"), &out, Validity::days(1), existing);
        enroll(Existing::Keep).unwrap();
        let first = fs::read(out.join("vehicle.key")).unwrap();
        assert!(matches!(enroll(Existing::Keep), Err(PkiError::Exists(_))));
        assert_eq!(fs::read(out.join("vehicle.key")).unwrap(), first);
        enroll(Existing::Replace).unwrap();
        assert_ne!(fs::read(out.join("vehicle.key")).unwrap(), first);
    }

    #[test]
    fn a_foreign_authority_key_is_noticed_at_enrolment() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pki = Pki::init(one.path(), &[], Existing::Keep).unwrap();
        let other = Pki::init(two.path(), &[], Existing::Keep).unwrap();
        fs::copy(other.ca_key(), pki.ca_key()).unwrap();
        let refused = pki.enroll(&vehicle("a"), &one.path().join("v"), Validity::days(1), Existing::Keep);
        assert!(matches!(refused, Err(PkiError::NotAPair(_))), "{refused:?}");
    }

    #[test]
    fn what_is_missing_or_senseless_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = Pki::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("telltale-cloud pki init --dir"), "{message}");
        let bad = Pki::init(dir.path(), &["not a host".into()], Existing::Keep);
        assert!(matches!(bad, Err(PkiError::Host(_))));
        let pki = Pki::init(dir.path(), &[], Existing::Keep).unwrap();
        let never = pki.enroll(&vehicle("a"), dir.path(), Validity::days(0), Existing::Keep);
        assert!(matches!(never, Err(PkiError::Validity)));
    }
}
