//! The vehicle's sealing key: made once, kept in a file that the agent alone may read, never written over.

use crate::config::UpdateSettings;
use std::path::Path;
use telltale_seal::{Keyring, SealingKey, create, read_sealing_key};
use telltale_wire::ids::VehicleId;

/// What this vehicle opens sealed bundles with. A key that can't be read or made costs the sealed bundles, not the start.
pub(crate) fn keyring(settings: &UpdateSettings, vehicle: &VehicleId) -> Keyring {
    let key = settings.sealing_key.as_ref().and_then(|path| match sealing_key(path) {
        Ok(key) => Some(key),
        Err(error) => {
            log::error!("`update.sealing_key`: no sealed bundle is taken: {error:#}");
            None
        }
    });
    Keyring { vehicle: vehicle.clone(), key, require_sealed: settings.require_sealed }
}

/// The key in a file, which is made if it is not there.
///
/// # Errors
/// If the file can't be made, is no key, or others may read it.
pub(crate) fn sealing_key(path: &Path) -> anyhow::Result<SealingKey> {
    if path.try_exists()? {
        return Ok(read_sealing_key(path)?);
    }
    let key = SealingKey::generate()?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    create(path, &key)?;
    log::info!("{} was made: its public half is {}", path.display(), key.public());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_a_damaged_one_is_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/sealing.key");
        let first = sealing_key(&path).unwrap().public();
        assert_eq!(sealing_key(&path).unwrap().public(), first);
        std::fs::write(&path, "half a k").unwrap();
        let error = sealing_key(&path).unwrap_err().to_string();
        assert!(error.contains("holds no telltale-sealing-key"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"half a k", "somebody may know what it was");
    }
}
