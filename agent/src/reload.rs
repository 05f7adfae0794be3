//! Reading the configuration again while the agent runs, at SIGHUP or `telltale reload`. Everything is read and
//! checked aside; then the capture thread changes pipelines between two frames. Whatever is wrong, the old one goes on.

use crate::config::Config;
use crate::guard::Budget;
use crate::logging;
use crate::mailbox::{Post, Swap};
use crate::notify::Notifier;
use crate::prepare::{self, Prepared};
use crate::store::{Clock, StoreHandle};
use crate::update::Depot;
use anyhow::{Context as _, bail};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use telltale_core::catalog::Catalog;
use telltale_core::frame::{BusId, CanId};
use telltale_core::pipeline::Pipeline;
use telltale_wire::agent_event::{AgentChange, AgentEvent};
use telltale_wire::record::Record;
use tokio::sync::{Mutex, watch};

/// The messages that the catalog asks for.
pub(crate) fn wanted(catalog: &Catalog) -> Vec<(BusId, CanId)> {
    catalog
        .signals
        .iter()
        .map(|signal| (signal.bus, signal.id))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Reads the configuration again, one reload at a time.
pub(crate) struct Reloader {
    pub(crate) path: PathBuf,
    pub(crate) budget: Budget,
    pub(crate) post: Post,
    pub(crate) store: StoreHandle,
    pub(crate) clock: Clock,
    pub(crate) notifier: Arc<Notifier>,
    /// The catalog in force.
    pub(crate) catalog: Mutex<Catalog>,
    /// Where updated models are, if there is an `[update]`.
    pub(crate) depot: Option<Arc<Depot>>,
    /// The configuration in force; whoever follows it takes up what may change.
    pub(crate) in_force: watch::Sender<Arc<Config>>,
}

impl Reloader {
    /// Reloads, and tells how it went: to the log, in a record, and to whoever asked.
    ///
    /// # Errors
    /// What is wrong; nothing has changed then.
    pub(crate) async fn reload(&self) -> Result<String, String> {
        let mut catalog = self.catalog.lock().await;
        self.notifier.reloading();
        let outcome = self.try_reload(&mut catalog).await;
        self.notifier.ready();
        let (change, outcome) = match outcome {
            Ok((change, summary)) => {
                log::info!("reloaded {}: {summary}", self.path.display());
                (change, Ok(summary))
            }
            Err(error) => {
                let why = format!("{error:#}");
                log::error!("the reload is refused, and the agent goes on as before: {why}");
                (AgentChange::ReloadRefused { why: why.clone() }, Err(why))
            }
        };
        let at = (self.clock)();
        self.store.append(at, Record::Agent(AgentEvent { at, change }));
        outcome
    }

    async fn try_reload(&self, catalog: &mut Catalog) -> anyhow::Result<(AgentChange, String)> {
        let (path, budget, depot) = (self.path.clone(), self.budget.clone(), self.depot.clone());
        let read = move || Prepared::read(Config::read(&path)?, &budget, depot.as_deref());
        let Prepared { config, catalog: fresh, pipeline } = tokio::task::spawn_blocking(read).await??;
        let before = Arc::clone(&self.in_force.borrow());
        let fixed = fixed(&before, &config, catalog, &fresh);
        if !fixed.is_empty() {
            bail!("{} can't change while the agent runs: restart it for that", fixed.join(", "));
        }
        let models: Vec<_> = pipeline.models().cloned().collect();
        let summary = format!("catalog {}, {} models", fresh.digest().short(), models.len());
        self.swap(pipeline, &fresh).await?;
        if config.log.level != before.log.level {
            logging::change(&config.log.level)?;
        }
        self.budget.set(config.limits.inference());
        let change = AgentChange::Reloaded { catalog: fresh.digest(), models };
        *catalog = fresh;
        self.in_force.send_replace(Arc::new(config));
        Ok((change, summary))
    }

    /// Lets the models run that the life cycle of their updates says, everything else as it is.
    ///
    /// # Errors
    /// What can't be loaded, or that the capture loop did not take it; what ran runs on.
    pub(crate) async fn rearrange(&self, depot: Arc<Depot>) -> anyhow::Result<()> {
        let catalog = self.catalog.lock().await;
        let (fresh, config, budget) =
            (catalog.clone(), Arc::clone(&self.in_force.borrow()), self.budget.clone());
        let assemble = move || {
            let cast = depot.cast(&config.models, &fresh, &budget)?;
            prepare::pipeline(&config, &fresh, cast)
        };
        let pipeline = tokio::task::spawn_blocking(assemble).await??;
        self.swap(pipeline, &catalog).await
    }

    /// The old pipeline is dropped here, off the capture thread.
    async fn swap(&self, pipeline: Pipeline, catalog: &Catalog) -> anyhow::Result<()> {
        let swap = Swap { pipeline, wanted: wanted(catalog) };
        drop(self.post.swap(swap).await.context("the capture loop did not take the new pipeline")??);
        Ok(())
    }
}

/// What differs and is in use from the start to the end.
fn fixed(old: &Config, new: &Config, old_catalog: &Catalog, new_catalog: &Catalog) -> Vec<&'static str> {
    // Settings are plain data: what they print is what they are.
    fn differ(a: &impl std::fmt::Debug, b: &impl std::fmt::Debug) -> bool {
        format!("{a:?}") != format!("{b:?}")
    }
    let buses = |catalog: &Catalog| {
        let names = |bus: &telltale_core::catalog::Bus| {
            (bus.name.clone(), bus.interface.clone(), bus.channels.clone())
        };
        catalog.buses.iter().map(names).collect::<Vec<_>>()
    };
    let filtered_aside = !new.source.bridges().is_empty() && wanted(old_catalog) != wanted(new_catalog);
    [
        (old.vehicle != new.vehicle, "`vehicle`"),
        (differ(&old.source, &new.source), "`source`"),
        (differ(&old.spool, &new.spool), "`spool`"),
        (differ(&old.control, &new.control), "`control`"),
        (differ(&old.update, &new.update), "`update`"),
        (old.metrics.listen != new.metrics.listen, "`metrics`"),
        (old.limits.nice != new.limits.nice, "`limits.nice`"),
        (old.uplink.is_some() != new.uplink.is_some(), "whether there is an `uplink`"),
        (buses(old_catalog) != buses(new_catalog), "the catalog's buses"),
        (filtered_aside, "the messages that a bridge forwards"),
    ]
    .into_iter()
    .filter_map(|(changes, what)| changes.then_some(what))
    .collect()
}
