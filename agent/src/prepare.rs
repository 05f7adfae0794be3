//! From a configuration file to a pipeline that is ready to run: at the start, and again at a reload, where nothing
//! of what runs is touched until all of it has been found sound.

use crate::config::{Config, RangeSettings, UplinkSettings};
use crate::guard::{Budget, guard};
use crate::load;
use crate::logging;
use crate::tls::{self, Credentials};
use crate::update::{Cast, Depot};
use anyhow::Context as _;
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::{Pipeline, PipelineConfig};

/// What a configuration comes to.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) catalog: Catalog,
    pub(crate) pipeline: Pipeline,
}

impl Prepared {
    /// Reads the catalog, the models and the credentials that a configuration names.
    ///
    /// # Errors
    /// What can't be used, and why.
    pub(crate) fn read(config: Config, budget: &Budget, depot: Option<&Depot>) -> anyhow::Result<Prepared> {
        logging::filter(&config.log.level).context("`log.level`")?;
        let catalog = load::catalog(&config.catalog)?;
        let cast = match depot {
            Some(depot) => depot.cast(&config.models, &catalog, budget)?,
            None => configured(&config, &catalog, budget)?,
        };
        if cast.models.is_empty() {
            log::warn!("the configuration names no model: frames are decoded and counted, nothing is judged");
        }
        if let Some(settings) = &config.uplink {
            tls::client_config(&credentials(settings)).context("the uplink can't be used")?;
        }
        let pipeline = pipeline(&config, &catalog, cast)?;
        Ok(Prepared { config, catalog, pipeline })
    }
}

/// A pipeline of these models.
///
/// # Errors
/// What does not fit the catalog.
pub(crate) fn pipeline(config: &Config, catalog: &Catalog, cast: Cast) -> anyhow::Result<Pipeline> {
    let settings = PipelineConfig {
        summary_period: config.summary_period(),
        bus_period: config.bus_period(),
        snapshot: config.snapshot.snapshot(),
        trip: config.trip.trip(),
        condition: config.condition.as_deref().map(load::condition).transpose()?,
        range: config.range.as_ref().map(RangeSettings::read).transpose()?,
    };
    Ok(Pipeline::with_beside(catalog, cast.models, cast.beside, settings)?)
}

/// The models that the configuration names, and no others.
fn configured(config: &Config, catalog: &Catalog, budget: &Budget) -> anyhow::Result<Cast> {
    let models = load::models(&config.models, catalog)?;
    let models = models.into_iter().map(|model| guard(model, budget, None)).collect();
    Ok(Cast { models, beside: Vec::new() })
}

/// The files of the vehicle's identity.
pub(crate) fn credentials(settings: &UplinkSettings) -> Credentials {
    Credentials { ca: settings.ca.clone(), certificate: settings.cert.clone(), key: settings.key.clone() }
}
