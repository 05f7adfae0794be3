//! From a configuration file to a pipeline that is ready to run: at the start, and again at a reload, where nothing
//! of what runs is touched until all of it has been found sound.

use crate::config::{Config, UplinkSettings};
use crate::guard::{Budget, guard};
use crate::load;
use crate::logging;
use crate::tls::{self, Credentials};
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
    pub(crate) fn read(config: Config, budget: &Budget) -> anyhow::Result<Prepared> {
        logging::filter(&config.log.level).context("`log.level`")?;
        let catalog = load::catalog(&config.catalog)?;
        let models = guard(load::models(&config.models, &catalog)?, budget);
        if models.is_empty() {
            log::warn!("the configuration names no model: frames are decoded and counted, nothing is judged");
        }
        if let Some(settings) = &config.uplink {
            tls::client_config(&credentials(settings)).context("the uplink can't be used")?;
        }
        let pipeline_config = PipelineConfig {
            summary_period: config.summary_period(),
            bus_period: config.bus_period(),
            snapshot: config.snapshot.snapshot(),
        };
        let pipeline = Pipeline::new(&catalog, models, pipeline_config)?;
        Ok(Prepared { config, catalog, pipeline })
    }
}

/// The files of the vehicle's identity.
pub(crate) fn credentials(settings: &UplinkSettings) -> Credentials {
    Credentials { ca: settings.ca.clone(), certificate: settings.cert.clone(), key: settings.key.clone() }
}
