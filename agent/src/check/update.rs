//! `[update]`: the roots of trust, the folder, and what an update could not do without.

use super::{Check, place};
use crate::config::Config;
use crate::load;
use std::path::Path;
use telltale_core::dbc::Severity;
use telltale_seal::read_sealing_key;
use telltale_trust::check_root;
use telltale_wire::bundle::BundleName;

pub(super) fn check(check: &mut Check, config: &Config) {
    let Some(settings) = &config.update else { return };
    for (setting, path) in
        [("update.director_root", &settings.director_root), ("update.image_root", &settings.image_root)]
    {
        if let Err(text) = root(path) {
            let hint = "it is the file `1.root.json` of that repository, as it was given to this vehicle";
            check.add(setting, Severity::Error, text, Some(hint));
        }
    }
    place::folder(check, "update.dir", &settings.dir);
    if let Some(path) = settings.sealing_key.as_ref().filter(|path| path.exists())
        && let Err(error) = read_sealing_key(path)
    {
        let hint =
            "without it no sealed bundle is opened; a key that is lost is made anew by taking its file away";
        check.add("update.sealing_key", Severity::Error, error.to_string(), Some(hint));
    }
    if config.uplink.is_none() {
        let text = "without an `[uplink]` nothing is offered: only `telltale model install` brings updates"
            .to_owned();
        check.add("update", Severity::Warning, text, None);
    }
    for folder in &config.models {
        let Ok((_, manifest)) = load::manifest(folder) else { continue };
        if BundleName::new(&manifest.name).is_err() {
            let text = format!(
                "the model {} can't be updated: a bundle's name is 1 to 32 of a-z 0-9 -",
                manifest.name
            );
            check.add("models", Severity::Warning, text, None);
        }
    }
}

fn root(path: &Path) -> Result<(), String> {
    let most = telltale_trust::limits::MAX_ROOT as u64;
    let bytes = load::read_bounded(path, most).map_err(|error| format!("{error:#}"))?;
    check_root(&bytes).map_err(|error| format!("{} is no root metadata: {error}", path.display()))
}
