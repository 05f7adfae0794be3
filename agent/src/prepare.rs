//! From a configuration file to a pipeline that is ready to run: at the start, and again at a reload, where nothing
//! of what runs is touched until all of it has been found sound.

use crate::campaign::Campaign;
use crate::config::{Config, Listen, RangeSettings, UplinkSettings};
use crate::guard::{Budget, guard, guard_watch};
use crate::load;
use crate::logging;
use crate::tls::{self, Credentials};
use crate::update::{Cast, Depot, MAX_FALLBACKS, Setup, configuration_family};
use anyhow::Context as _;
use std::collections::BTreeMap;
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::{Pipeline, PipelineConfig};
use telltale_core::update::{Arrangement, Failure, Place};
use telltale_wire::bundle::BundleName;
use telltale_wire::desired::Feature;
use telltale_wire::update::UpdateReason;

/// What a configuration comes to.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) assembled: Assembled,
}

/// A pipeline with what it was made of.
pub(crate) struct Assembled {
    pub(crate) catalog: Catalog,
    pub(crate) campaign: Option<Campaign>,
    pub(crate) pipeline: Pipeline,
    /// What of each family it consists of.
    pub(crate) running: BTreeMap<BundleName, Arrangement>,
}

impl Prepared {
    /// Reads the catalog, the models and the credentials that a configuration names, and in their places what updates
    /// brought.
    ///
    /// # Errors
    /// What can't be used, and why.
    pub(crate) fn read(config: Config, budget: &Budget, depot: Option<&Depot>) -> anyhow::Result<Prepared> {
        logging::filter(&config.log.level).context("`log.level`")?;
        let assembled = match depot {
            Some(depot) => assemble(&config, budget, depot)?,
            None => {
                let catalog = load::catalog(&config.catalog)?;
                let models = load::models(&config.models, &catalog)?;
                let models = models.into_iter().map(|model| guard(model, budget, None)).collect();
                let cast = Cast { models, ..Cast::default() };
                let pipeline = pipeline(&config, &catalog, cast, budget, None)?;
                Assembled { catalog, campaign: None, pipeline, running: BTreeMap::new() }
            }
        };
        if assembled.pipeline.models().next().is_none() && config.intrusion.is_none() {
            log::warn!("the configuration names no model: frames are decoded and counted, nothing is judged");
        }
        if let Some(settings) = &config.uplink {
            tls::client_config(&credentials(settings)).context("the uplink can't be used")?;
        }
        Ok(Prepared { config, assembled })
    }
}

/// A pipeline of what is to run. A configuration from over the air with which none can be made gives way.
///
/// # Errors
/// What of the vehicle's own configuration can't be used.
pub(crate) fn assemble(config: &Config, budget: &Budget, depot: &Depot) -> anyhow::Result<Assembled> {
    for _ in 0..MAX_FALLBACKS {
        let setup = depot.setup(config)?;
        let place = setup.arrangement.speaks;
        match assembled(config, budget, depot, setup, place != Place::Factory) {
            Ok(assembled) => return Ok(assembled),
            Err(error) if place == Place::Factory => return Err(error),
            Err(error) => {
                log::error!("no pipeline can be made with the configuration from over the air: {error:#}");
                let failure = Failure { reason: UpdateReason::NotLoadable, why: format!("{error:#}") };
                depot.give_way(&configuration_family(), place, failure);
            }
        }
    }
    anyhow::bail!("no configuration can be used: see the log")
}

/// The same with a configuration that is only tried: nothing gives way.
///
/// # Errors
/// What does not fit.
pub(crate) fn rehearse(
    config: &Config,
    budget: &Budget,
    depot: &Depot,
    setup: Setup,
) -> anyhow::Result<Assembled> {
    assembled(config, budget, depot, setup, true)
}

fn assembled(
    config: &Config,
    budget: &Budget,
    depot: &Depot,
    setup: Setup,
    rehearsed: bool,
) -> anyhow::Result<Assembled> {
    let Setup { catalog, campaign, arrangement } = setup;
    let mut cast = depot.cast(&config.models, &catalog, budget, rehearsed)?;
    let mut running = std::mem::take(&mut cast.running);
    running.insert(configuration_family(), arrangement);
    let pipeline = pipeline(config, &catalog, cast, budget, Some((depot, campaign.as_ref())))?;
    Ok(Assembled { catalog, campaign, pipeline, running })
}

/// A pipeline of these models.
fn pipeline(
    config: &Config,
    catalog: &Catalog,
    cast: Cast,
    budget: &Budget,
    updated: Option<(&Depot, Option<&Campaign>)>,
) -> anyhow::Result<Pipeline> {
    let mut settings = PipelineConfig {
        summary_period: config.summary_period(),
        bus_period: config.bus_period(),
        snapshot: config.snapshot.snapshot(),
        trip: config.trip.trip(),
        condition: config.condition.as_deref().map(load::condition).transpose()?,
        range: config.range.as_ref().map(RangeSettings::read).transpose()?,
        ..PipelineConfig::default()
    };
    if let Some((depot, campaign)) = updated {
        let switches = depot.switches();
        settings.off = switches.of_the_loop();
        if let Some(campaign) = campaign.filter(|_| switches.is_on(Feature::Campaign)) {
            campaign.apply(config, &mut settings);
        }
    }
    let mut pipeline = Pipeline::with_beside(catalog, cast.models, cast.beside, settings)?;
    if let Some(watch) = &config.intrusion {
        let loaded = load::intrusion(&watch.model, &watch.profile).context("`intrusion`")?;
        pipeline.watch_buses(guard_watch(loaded, budget), catalog).context("`intrusion`")?;
        if config.bus.listen == Listen::Catalog && config.source.is_live() {
            log::warn!("the buses are watched with `bus.listen = \"catalog\"`: {UNHEARD}");
        }
    }
    Ok(pipeline)
}

/// What a watch of the buses lacks where the kernel drops what the catalog does not ask for.
pub(crate) const UNHEARD: &str = "unknown identifiers and floods are never heard, and every identifier beyond the catalog seems to be missing";

/// The files of the vehicle's identity.
pub(crate) fn credentials(settings: &UplinkSettings) -> Credentials {
    Credentials { ca: settings.ca.clone(), certificate: settings.cert.clone(), key: settings.key.clone() }
}
