//! Reading the configuration again while the agent runs, at SIGHUP or `telltale reload`. Everything is read and
//! checked aside; then the capture thread changes pipelines between two frames. Whatever is wrong, the old one goes on.

use crate::config::Config;
use crate::guard::Budget;
use crate::logging;
use crate::mailbox::{Post, Swap};
use crate::notify::Notifier;
use crate::prepare::{self, Assembled, Prepared};
use crate::store::{Clock, StoreHandle};
use crate::update::Depot;
use anyhow::{Context as _, bail};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use telltale_core::catalog::Catalog;
use telltale_core::frame::{BusId, CanId};
use telltale_core::pipeline::Outline;
use telltale_core::update::Failure;
use telltale_wire::agent_event::{AgentChange, AgentEvent};
use telltale_wire::digest::Digest;
use telltale_wire::record::Record;
use telltale_wire::update::UpdateReason;
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

/// What the pipeline was made by.
pub(crate) struct InForce {
    pub(crate) catalog: Catalog,
    /// The digest of the campaign that the configuration from over the air brought.
    pub(crate) campaign: Option<Digest>,
    /// What the pipeline consists of.
    pub(crate) outline: Arc<Outline>,
}

impl InForce {
    pub(crate) fn of(assembled: &Assembled) -> InForce {
        InForce {
            catalog: assembled.catalog.clone(),
            campaign: assembled.campaign.as_ref().map(|campaign| campaign.digest),
            outline: Arc::clone(assembled.pipeline.outline()),
        }
    }
}

/// Reads the configuration again, one reload at a time.
pub(crate) struct Reloader {
    pub(crate) path: PathBuf,
    pub(crate) budget: Budget,
    pub(crate) post: Post,
    pub(crate) store: StoreHandle,
    pub(crate) clock: Clock,
    pub(crate) notifier: Arc<Notifier>,
    /// The catalog in force, and what is made by it.
    pub(crate) catalog: Mutex<InForce>,
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
        let mut in_force = self.catalog.lock().await;
        self.notifier.reloading();
        let outcome = self.try_reload(&mut in_force).await;
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

    async fn try_reload(&self, in_force: &mut InForce) -> anyhow::Result<(AgentChange, String)> {
        let (path, budget, depot) = (self.path.clone(), self.budget.clone(), self.depot.clone());
        let read = move || Prepared::read(Config::read(&path)?, &budget, depot.as_deref());
        let Prepared { config, assembled } = tokio::task::spawn_blocking(read).await??;
        let before = Arc::clone(&self.in_force.borrow());
        let mut fixed = fixed(&before, &config);
        fixed.extend(fixed_of_catalogs(&config, &in_force.catalog, &assembled.catalog));
        if !fixed.is_empty() {
            bail!("{} can't change while the agent runs: restart it for that", fixed.join(", "));
        }
        let (fresh, models) = (assembled.catalog.digest(), assembled.pipeline.models().cloned());
        let models: Vec<_> = models.collect();
        let summary = format!("catalog {}, {} models", fresh.short(), models.len());
        self.swap(assembled, in_force).await?;
        if config.log.level != before.log.level {
            logging::change(&config.log.level)?;
        }
        self.budget.set(config.limits.inference());
        let change = AgentChange::Reloaded { catalog: fresh, models };
        self.in_force.send_replace(Arc::new(config));
        Ok((change, summary))
    }

    /// Lets run what the life cycles of the updates say, models and configuration, everything else as it is.
    ///
    /// # Errors
    /// What can't be used, or that the capture loop did not take it; what ran runs on.
    pub(crate) async fn rearrange(&self, depot: Arc<Depot>) -> anyhow::Result<()> {
        let mut in_force = self.catalog.lock().await;
        let (config, budget) = (Arc::clone(&self.in_force.borrow()), self.budget.clone());
        let settings = Arc::clone(&config);
        let assemble = move || prepare::assemble(&settings, &budget, &depot);
        let assembled = tokio::task::spawn_blocking(assemble).await??;
        let fixed = fixed_of_catalogs(&config, &in_force.catalog, &assembled.catalog);
        anyhow::ensure!(fixed.is_empty(), "{} can't change while the agent runs", fixed.join(", "));
        self.swap(assembled, &mut in_force).await
    }

    /// Whether the configuration under way could be in force: all of a pipeline is made with it, and given up again.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn rehearse(&self, depot: Arc<Depot>) -> Result<(), Failure> {
        let not_loadable = |why: String| Failure { reason: UpdateReason::NotLoadable, why };
        let in_force = self.catalog.lock().await;
        let (config, budget) = (Arc::clone(&self.in_force.borrow()), self.budget.clone());
        let settings = Arc::clone(&config);
        let work = move || {
            let setup = depot.candidate_setup(&settings)?;
            let rehearsed = prepare::rehearse(&settings, &budget, &depot, setup);
            rehearsed.map_err(|error| not_loadable(format!("{error:#}")))
        };
        let made =
            tokio::task::spawn_blocking(work).await.map_err(|panic| not_loadable(panic.to_string()))??;
        let fixed = fixed_of_catalogs(&config, &in_force.catalog, &made.catalog);
        let why = || not_loadable(format!("{} can't change while the agent runs", fixed.join(", ")));
        if fixed.is_empty() { Ok(()) } else { Err(why()) }
    }

    /// The old pipeline is dropped here, off the capture thread.
    async fn swap(&self, assembled: Assembled, in_force: &mut InForce) -> anyhow::Result<()> {
        let next = InForce::of(&assembled);
        let Assembled { catalog, pipeline, running, .. } = assembled;
        let swap = Swap { pipeline, wanted: wanted(&catalog) };
        drop(self.post.swap(swap).await.context("the capture loop did not take the new pipeline")??);
        *in_force = next;
        if let Some(depot) = &self.depot {
            depot.runs(running);
        }
        Ok(())
    }
}

/// What differs and is in use from the start to the end.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    // Settings are plain data: what they print is what they are.
    fn differ(a: &impl std::fmt::Debug, b: &impl std::fmt::Debug) -> bool {
        format!("{a:?}") != format!("{b:?}")
    }
    [
        (old.vehicle != new.vehicle, "`vehicle`"),
        (differ(&old.source, &new.source), "`source`"),
        (differ(&old.spool, &new.spool), "`spool`"),
        (differ(&old.control, &new.control), "`control`"),
        (differ(&old.update, &new.update), "`update`"),
        (old.metrics.listen != new.metrics.listen, "`metrics`"),
        (old.limits.nice != new.limits.nice, "`limits.nice`"),
        (old.uplink.is_some() != new.uplink.is_some(), "whether there is an `uplink`"),
    ]
    .into_iter()
    .filter_map(|(changes, what)| changes.then_some(what))
    .collect()
}

/// What of two catalogs differs and is in use from the start to the end.
fn fixed_of_catalogs(config: &Config, old: &Catalog, new: &Catalog) -> Vec<&'static str> {
    let buses = |catalog: &Catalog| {
        let names = |bus: &telltale_core::catalog::Bus| {
            (bus.name.clone(), bus.interface.clone(), bus.channels.clone())
        };
        catalog.buses.iter().map(names).collect::<Vec<_>>()
    };
    let filtered_aside = !config.source.bridges().is_empty() && wanted(old) != wanted(new);
    let both = [
        (buses(old) != buses(new), "the catalog's buses"),
        (filtered_aside, "the messages that a bridge forwards"),
    ];
    both.into_iter().filter_map(|(changes, what)| changes.then_some(what)).collect()
}
