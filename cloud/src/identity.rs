//! Who a certificate speaks for: the URI `urn:telltale:vehicle:<id>` among its subject alternative names.
//!
//! Exactly one such name must stand there. A certificate that carries two could answer as either, and the one
//! question this file settles is which vehicle's records a request may touch.

use rustls::pki_types::{CertificateDer, UnixTime};
use telltale_wire::ids::VehicleId;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// What stands before the vehicle's id.
pub const URI_PREFIX: &str = "urn:telltale:vehicle:";

/// Why a certificate names no vehicle.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not an X.509 certificate that can be read.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(webpki::Error),
    /// No URI of ours.
    #[error(
        "the certificate names no vehicle (no {URI_PREFIX}<id> among its alternative names): enroll the vehicle again"
    )]
    NoVehicle,
    /// Several URIs of ours.
    #[error("the certificate names more than one vehicle: enroll each vehicle by itself")]
    SeveralVehicles,
    /// A URI of ours with an id that breaks the rules.
    #[error("the certificate names a vehicle by an id that is none")]
    InvalidId,
}

/// The name that a vehicle's certificate carries.
#[must_use]
pub fn uri_of(vehicle: &VehicleId) -> String {
    format!("{URI_PREFIX}{vehicle}")
}

/// The vehicle that this certificate names. Says nothing on whether the certificate is to be trusted.
///
/// # Errors
/// Every [`IdentityError`].
pub fn vehicle_of(certificate: &CertificateDer<'_>) -> Result<VehicleId, IdentityError> {
    let cert = EndEntityCert::try_from(certificate).map_err(IdentityError::Unreadable)?;
    let mut ids = cert.valid_uri_names().filter_map(|uri| uri.strip_prefix(URI_PREFIX));
    let id = ids.next().ok_or(IdentityError::NoVehicle)?;
    if ids.next().is_some() {
        return Err(IdentityError::SeveralVehicles);
    }
    VehicleId::new(id).map_err(|_| IdentityError::InvalidId)
}

/// Whether a server that trusts `authority` would take this client certificate at that time.
pub(crate) fn is_signed_by(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    at: UnixTime,
) -> Result<bool, webpki::Error> {
    let cert = EndEntityCert::try_from(certificate)?;
    let anchor = anchor_from_trusted_cert(authority)?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let usage = KeyUsage::client_auth();
    Ok(cert.verify_for_usage(algorithms, &[anchor], &[], at, usage, None, None).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn exactly_one_vehicle_must_be_named() {
        let named = |uris: &[&str]| vehicle_of(&certificate(uris));
        assert_eq!(named(&["urn:telltale:vehicle:bench-01"]).unwrap().as_str(), "bench-01");
        assert_eq!(named(&["https://x.example", "urn:telltale:vehicle:a"]).unwrap().as_str(), "a");
        assert_eq!(named(&["https://x.example"]), Err(IdentityError::NoVehicle));
        assert_eq!(named(&[]), Err(IdentityError::NoVehicle));
        let two = named(&["urn:telltale:vehicle:a", "urn:telltale:vehicle:b"]);
        assert_eq!(two, Err(IdentityError::SeveralVehicles));
        assert_eq!(named(&["urn:telltale:vehicle:../x"]), Err(IdentityError::InvalidId));
        assert!(matches!(
            vehicle_of(&CertificateDer::from(vec![1, 2, 3])),
            Err(IdentityError::Unreadable(_))
        ));
    }
}
