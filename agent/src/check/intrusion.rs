//! The watch of the buses: its model, its profile, and whether it will hear what it is to judge.

use super::Check;
use crate::config::{Config, Listen};
use crate::load;
use crate::prepare::UNHEARD;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Severity;
use telltale_core::intrusion::Detector;

pub(super) fn check(check: &mut Check, config: &Config, catalog: &Catalog) {
    let Some(watch) = &config.intrusion else { return };
    let buses: Vec<String> = catalog.buses.iter().map(|bus| bus.name.clone()).collect();
    match load::intrusion(&watch.model, &watch.profile) {
        Err(error) => check.add("intrusion.model", Severity::Error, format!("{error:#}"), None),
        Ok(loaded) => {
            if let Err(error) = Detector::new(&loaded.profile, &buses) {
                let hint = "the buses of a profile are called as in the catalog it was learned with";
                check.add("intrusion.profile", Severity::Error, error.to_string(), Some(hint));
            }
            for name in buses.iter().filter(|name| !loaded.profile.buses.iter().any(|bus| bus.name == **name))
            {
                let text = format!("the bus {name} is not in the profile: it is not watched");
                check.add(
                    "intrusion.profile",
                    Severity::Warning,
                    text,
                    Some("learn it with `telltale bus learn`"),
                );
            }
        }
    }
    if config.bus.listen == Listen::Catalog && config.source.is_live() {
        let text = format!("the buses are watched, but only the catalog's messages are heard: {UNHEARD}");
        check.add("bus.listen", Severity::Error, text, Some("write listen = \"all\" under [bus]"));
    }
    if !config.source.bridges().is_empty() {
        let text = "a firmware bridge forwards the catalog's messages only: on its buses unknown identifiers are not heard";
        check.add("source", Severity::Warning, text.into(), None);
    }
}
