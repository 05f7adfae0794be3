//! Which signal catalog and campaign are in force: those of the vehicle's own configuration, or in their place what a
//! signed configuration brought. One that can't be used gives way to the one before it, down to the vehicle's own.

use super::depot::{Depot, MAX_FALLBACKS};
use super::slot::Bundle;
use crate::campaign::Campaign;
use crate::config::Config;
use crate::files::Directory;
use crate::load;
use telltale_core::catalog::Catalog;
use telltale_core::update::{Arrangement, Event, Failure, Place, Release, Shelf, Slot};
use telltale_seal::Keyring;
use telltale_wire::bundle::{BundleName, CONFIGURATION, Documents, PartKind};
use telltale_wire::update::UpdateReason;

/// What is in force.
pub(crate) struct Setup {
    pub(crate) catalog: Catalog,
    pub(crate) campaign: Option<Campaign>,
    /// Where it comes from.
    pub(crate) arrangement: Arrangement,
}

/// The family of the configurations.
pub(crate) fn family() -> BundleName {
    // The one name that is fixed keeps the rules of names: a test sees to it.
    #[allow(clippy::expect_used, reason = "a constant of the wire")]
    BundleName::new(CONFIGURATION).expect("the name of a family")
}

impl Depot {
    /// What is in force.
    ///
    /// # Errors
    /// If the vehicle's own catalog can't be read.
    pub(crate) fn setup(&self, config: &Config) -> anyhow::Result<Setup> {
        let name = family();
        for _ in 0..MAX_FALLBACKS {
            let arrangement = self.arrangement(&name);
            let Place::Slot(slot) = arrangement.speaks else { break };
            match self.setup_of(slot, config) {
                Ok((catalog, campaign)) => return Ok(Setup { catalog, campaign, arrangement }),
                Err(failure) => {
                    log::error!("the configuration can't be used ({}): {}", failure.reason, failure.why);
                    self.give_way(&name, arrangement.speaks, failure);
                }
            }
        }
        let arrangement = Arrangement { speaks: Place::Factory, beside: None };
        Ok(Setup { catalog: load::catalog(&config.catalog)?, campaign: None, arrangement })
    }

    /// What the configuration under way brings.
    ///
    /// # Errors
    /// Why it can't be used.
    pub(crate) fn candidate_setup(&self, config: &Config) -> Result<Setup, Failure> {
        let gone = || Failure { reason: UpdateReason::Damaged, why: "there is none under way".into() };
        let (_, slot) = self.candidate(&family()).ok_or_else(gone)?;
        let (catalog, campaign) = self.setup_of(slot, config)?;
        let arrangement = Arrangement { speaks: Place::Slot(slot), beside: None };
        Ok(Setup { catalog, campaign, arrangement })
    }

    /// What should run does not: the next best takes over.
    pub(crate) fn give_way(&self, name: &BundleName, place: Place, failure: Failure) {
        if let Err(error) = self.handle(name, Event::Unusable(place, failure)) {
            log::error!("{name}: {error}");
        }
    }

    fn setup_of(&self, slot: Slot, config: &Config) -> Result<(Catalog, Option<Campaign>), Failure> {
        let name = family();
        let release = self
            .in_slot(&name, slot)
            .ok_or_else(|| Failure { reason: UpdateReason::Damaged, why: "its slot is empty".into() })?;
        let keyring = self.keyring();
        let (documents, campaign) = self.with_shelf(|shelf| read(shelf, &keyring, &name, slot, &release))?;
        let not_loadable = |error: String| Failure { reason: UpdateReason::NotLoadable, why: error };
        let campaign = campaign.map(|text| Campaign::parse(&text)).transpose();
        let campaign = campaign.map_err(|error| not_loadable(format!("{error:#}")))?;
        if let Some(campaign) = &campaign {
            log::info!("the campaign {} of the configuration's {release}", campaign.name());
        }
        let catalog = match documents {
            Some(documents) => catalog(&documents, &release).map_err(not_loadable)?,
            None => load::catalog(&config.catalog).map_err(|error| not_loadable(format!("{error:#}")))?,
        };
        Ok((catalog, campaign))
    }
}

/// The parts of the configuration in a slot.
fn read(
    shelf: &mut Shelf<Directory>,
    keyring: &Keyring,
    name: &BundleName,
    slot: Slot,
    release: &Release,
) -> Result<(Option<Documents>, Option<String>), Failure> {
    let bundle = Bundle::open(shelf, keyring, name, slot, release)?;
    let has = |kind| bundle.index.place(kind);
    let campaign = has(PartKind::Campaign).map(|_| bundle.text(shelf, PartKind::Campaign)).transpose()?;
    if has(PartKind::Catalog).is_none() {
        return Ok((None, campaign));
    }
    let bytes = bundle.part(shelf, PartKind::Catalog)?;
    let documents = Documents::decode(&bytes).map_err(|error| Failure {
        reason: UpdateReason::NotLoadable,
        why: format!("its catalog: {error}"),
    })?;
    Ok((Some(documents), campaign))
}

/// The first document is the catalog, the others are what it names.
fn catalog(documents: &Documents, release: &Release) -> Result<Catalog, String> {
    let [first, ..] = documents.files.as_slice() else { return Err("it brings no document".into()) };
    let text = std::str::from_utf8(&first.bytes).map_err(|_| format!("{} is not UTF-8 text", first.name))?;
    let mut load = |name: &str| {
        documents.find(name).map(<[u8]>::to_vec).ok_or_else(|| format!("the bundle does not bring {name}"))
    };
    let origin = format!("{} of {release}", first.name);
    Catalog::parse(text, &origin, &mut load).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_family_s_name_is_one() {
        assert_eq!(super::family().as_str(), "configuration");
    }
}
