//! The vehicle's identity: whether the files can be used together, whom they name, and until when they hold.

use super::Check;
use crate::config::Config;
use crate::prepare::credentials;
use crate::tls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telltale_core::dbc::Severity;
use telltale_wire::time::WallTime;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

/// What stands before the vehicle's id among the certificate's alternative names.
const URI_PREFIX: &str = "urn:telltale:vehicle:";

/// A certificate that ends within this time is due for renewal.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The end of the year 9999, the last that a certificate can name.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

pub(super) fn check(check: &mut Check, config: &Config) {
    let Some(settings) = &config.uplink else { return };
    if let Err(error) = tls::client_config(&credentials(settings)) {
        check.add("uplink", Severity::Error, format!("{:#}", anyhow::Error::new(error)), None);
        return;
    }
    if fs::metadata(&settings.key).is_ok_and(|key| key.mode() & 0o007 != 0) {
        let text = format!("everybody may read the key {}", settings.key.display());
        check.add("uplink.key", Severity::Warning, text, Some("chmod o= FILE"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for (setting, path) in [("uplink.cert", &settings.cert), ("uplink.ca", &settings.ca)] {
        validity(check, setting, path, now);
    }
    let Some(certificate) = first(&settings.cert) else { return };
    let named = EndEntityCert::try_from(&certificate).ok().and_then(|cert| {
        cert.valid_uri_names().find_map(|uri| uri.strip_prefix(URI_PREFIX).map(str::to_owned))
    });
    if named.as_deref() != Some(config.vehicle.as_str()) {
        let named = named.map_or_else(|| "no vehicle".into(), |id| format!("the vehicle {id}"));
        let text = format!("the certificate names {named}, the configuration {}", config.vehicle);
        check.add(
            "uplink.cert",
            Severity::Error,
            text,
            Some("the cloud will refuse its records: enrol this vehicle"),
        );
    }
}

fn first(path: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).ok()?.next()?.ok()
}

fn validity(check: &mut Check, setting: &str, path: &Path, now: Duration) {
    let Some(certificate) = first(path) else { return };
    let date = |at: Duration| WallTime::from_unix_micros(at.as_micros() as i64).to_string();
    match (refusal(&certificate, now), refusal(&certificate, LATEST)) {
        (Some(Error::CertExpired { not_after, .. }), _) => {
            let text = format!("{} expired on {}", path.display(), date(since(not_after)));
            check.add(setting, Severity::Error, text, Some("enrol again, or check this machine's clock"));
        }
        (Some(Error::CertNotValidYet { not_before, .. }), _) => {
            let text = format!("{} holds from {} only", path.display(), date(since(not_before)));
            check.add(setting, Severity::Error, text, Some("check this machine's clock"));
        }
        (_, Some(Error::CertExpired { not_after, .. })) if since(not_after) < now + RENEW_BEFORE => {
            let text = format!("{} expires on {}", path.display(), date(since(not_after)));
            check.add(setting, Severity::Warning, text, Some("enrol the vehicle again before then"));
        }
        _ => {}
    }
}

fn since(time: UnixTime) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// What the verifier says of a certificate at a time. It looks at the validity before it looks for an issuer, so
/// that any anchor serves.
fn refusal(certificate: &CertificateDer<'_>, at: Duration) -> Option<Error> {
    let cert = EndEntityCert::try_from(certificate).ok()?;
    let anchor = anchor_from_trusted_cert(certificate).ok()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(at);
    cert.verify_for_usage(algorithms, &[anchor], &[], time, KeyUsage::client_auth(), None, None).err()
}
