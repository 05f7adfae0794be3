//! Composes the agent: the capture thread, the store's thread, and the asynchronous half with uplink, control socket,
//! metrics and signals.

use crate::capture::{Capture, now, remember};
use crate::config::{Config, UplinkSettings};
use crate::control::ControlSocket;
use crate::desk::Desk;
use crate::files::Directory;
use crate::guard::Budget;
use crate::held::Held;
use crate::limits;
use crate::mailbox::{Post, mailbox};
use crate::memory;
use crate::notify::{Notifier, keep_telling, watchdog_period};
use crate::observe::{Observer, Seen};
use crate::prepare::{Assembled, Prepared};
use crate::reload::{InForce, Reloader};
use crate::state;
use crate::store::{Clock, Store, StoreHandle};
use crate::update::{self, Depot, Inbox, UpdateFacts, Updates, keyring, orders};
use crate::uplink::{self, LineConfig, Purse, Until, UplinkError, UplinkView};
use anyhow::Context as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telltale_core::uplink::UplinkConfig;
use telltale_wire::ids::BootId;
use telltale_wire::record::{BootRecord, Counts, ModelRef, Record, Status};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the capture thread may take to see that it should stop. One that waits for standard input does not.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// An agent that is ready to run: everything that it was configured with has been read and found sound.
pub struct Agent {
    prepared: Prepared,
    budget: Budget,
}

impl Agent {
    /// Reads the catalog, the models and the credentials that a configuration names.
    ///
    /// # Errors
    /// What can't be used, and why.
    pub fn prepare(config: Config) -> anyhow::Result<Agent> {
        let budget = Budget::of(config.limits.inference());
        Ok(Agent { prepared: Prepared::read(config, &budget, None)?, budget })
    }

    /// Runs until a signal, or until a log has been judged and synced. A reload reads `path` again.
    ///
    /// # Errors
    /// If the source fails, or the spool can't be used.
    pub fn run(self, path: &Path) -> anyhow::Result<()> {
        let Agent { mut prepared, budget } = self;
        let config = prepared.config.clone();
        limits::apply(&config.limits);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A file that may not grow is an error like any other (setrlimit(2): RLIMIT_FSIZE), not the agent's end.
        let _refused = runtime.block_on(async { signal(SignalKind::from_raw(libc::SIGXFSZ)) })?;
        let directory = &config.spool.dir;
        // Locked before the boot is counted: an agent that is turned away leaves no trace.
        let files = Directory::lock(directory)?;
        let boot = state::next_boot(directory)?;
        let depot = config
            .update
            .as_ref()
            .map(|update| Depot::open(update, &config.models, keyring(update, &config.vehicle)));
        let depot = depot.transpose()?;
        let depot = depot.map(Arc::new);
        if let Some(depot) = &depot {
            depot.start();
            prepared = Prepared::read(config.clone(), &budget, Some(depot))?;
        }
        remember(&mut prepared.assembled.pipeline, directory)?;
        let held = Held::of(&config).map(Arc::new);
        if let Some(held) = &held {
            held.recall(&mut prepared.assembled.pipeline);
        }
        let Assembled { catalog, pipeline, running, .. } = &prepared.assembled;
        if let Some(depot) = &depot {
            depot.runs(running.clone());
        }
        let clock: Clock = Arc::new(now);
        let (store, report) = Store::start(files, config.spool.spool(), boot, Arc::clone(&clock))?;
        log::info!(
            "boot {boot} of {}; {} records wait from before",
            config.vehicle,
            store.handle().watch().borrow().waiting
        );
        for loss in &report.losses {
            log::warn!("the spool lost {} records: {}", loss.count, loss.why);
        }
        let models: Vec<ModelRef> = pipeline.models().cloned().collect();
        store.handle().append(
            clock(),
            Record::Boot(BootRecord {
                at: clock(),
                agent_version: env!("CARGO_PKG_VERSION").into(),
                catalog: catalog.digest(),
                models,
            }),
        );
        let ties = Ties { path, budget, store: store.handle(), clock, boot, depot, held };
        let outcome = runtime.block_on(ties.serve(prepared));
        // Without this a task that waits for the network would hold up the end.
        runtime.shutdown_background();
        store.close();
        log::info!("ended; every record is durable");
        outcome
    }
}

/// What the asynchronous half works with.
struct Ties<'a> {
    path: &'a Path,
    budget: Budget,
    store: StoreHandle,
    clock: Clock,
    boot: BootId,
    depot: Option<Arc<Depot>>,
    held: Option<Arc<Held>>,
}

impl Ties<'_> {
    /// The asynchronous half: starts capture, syncs, listens for signals, and winds down in the right order.
    async fn serve(self, prepared: Prepared) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let Prepared { config, assembled } = prepared;
        let in_force_first = InForce::of(&assembled);
        let Assembled { catalog, pipeline, .. } = assembled;
        let notifier = Arc::new(Notifier::from_environment());
        let totals = Arc::new(Mutex::new(Counts::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (post, mailbox) = mailbox();
        let (view, viewed) = watch::channel(UplinkView::default());
        let config = Arc::new(config);
        let (in_force, follows) = watch::channel(Arc::clone(&config));
        let reloader = Arc::new(Reloader {
            path: self.path.to_owned(),
            budget: self.budget.clone(),
            post: post.clone(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            notifier: Arc::clone(&notifier),
            catalog: tokio::sync::Mutex::new(in_force_first),
            depot: self.depot.clone(),
            in_force,
        });
        let (orders, inbox) = orders();
        let (tell, told) = watch::channel(self.depot.as_ref().map_or_else(Vec::new, |depot| depot.facts()));
        let watched = viewed.clone();
        let observer = Arc::new(self.observer(
            &config,
            post.clone(),
            viewed,
            Seen::nothing(Arc::clone(pipeline.outline())),
            self.depot.as_ref().map(|_| told),
        ));
        let desk = Desk {
            observer: Arc::clone(&observer),
            reloader: Arc::clone(&reloader),
            orders: self.depot.as_ref().map(|_| orders),
        };
        open_control(&config, desk);
        open_metrics(&config, observer, self.depot.clone());
        let (store, totals_seen) = (self.store.clone(), Arc::clone(&totals));
        let capture = Capture { store, stop: Arc::clone(&stop), totals, mailbox };
        let mut capture = capture.start(&config, catalog, pipeline)?;
        let updates = self.updates(&config, &reloader, &post, watched, tell, inbox)?;
        tokio::spawn(reload_at_hangup(signal(SignalKind::hangup())?, reloader));
        tokio::spawn(report_status(
            follows.clone(),
            self.store.clone(),
            Arc::clone(&self.clock),
            totals_seen,
        ));
        if let Some(held) = &self.held {
            tokio::spawn(Arc::clone(held).keep_on(post.clone()));
        }
        let (told, store, watched) = (Arc::clone(&notifier), self.store.clone(), post.clone());
        tokio::spawn(async move { keep_telling(&told, watchdog_period(), &watched, &store).await });

        let (hang_up, hung_up) = watch::channel(false);
        let line = Line {
            follows,
            boot: self.boot,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            view,
        };
        let line = Arc::new(line);
        let beside = Arc::clone(&line);
        let syncing = tokio::spawn(async move { beside.sync(Until::Shutdown, hung_up).await });
        notifier.ready();

        let captured = tokio::select! {
            ended = &mut capture => Some(ended),
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        if let Some(updates) = updates {
            updates.stop().await;
        }
        // The line that ran beside capture is closed first; what is left is drained below if the log has ended.
        hang_up.send_replace(true);
        syncing.await??;
        let Some(ended) = captured else {
            log::info!("stopping: a signal asked for it");
            notifier.stopping();
            if let Some(held) = &self.held {
                held.keep(&post, true).await;
            }
            stop.store(true, Ordering::Relaxed);
            if tokio::time::timeout(STOP_TIMEOUT, capture).await.is_err() {
                log::warn!(
                    "the source did not stop in {STOP_TIMEOUT:?}; what it was about to give is not read"
                );
            }
            return Ok(self.store.flush().await?);
        };
        ended.context("the capture thread failed")??;
        self.store.flush().await?;
        if config.uplink.is_some() {
            log::info!("the log has ended; syncing what is left");
        }
        let (_keep, never) = watch::channel(false);
        tokio::select! {
            drained = line.sync(Until::Drained, never) => drained?,
            _ = terminate.recv() => log::info!("stopping before everything was synced: a signal asked for it"),
            _ = interrupt.recv() => log::info!("stopping before everything was synced: a signal asked for it"),
        }
        notifier.stopping();
        Ok(())
    }

    /// Starts the updates' thread, if there is an `[update]`.
    fn updates(
        &self,
        config: &Config,
        reloader: &Arc<Reloader>,
        post: &Post,
        uplink: watch::Receiver<UplinkView>,
        tell: watch::Sender<Vec<UpdateFacts>>,
        inbox: Inbox,
    ) -> anyhow::Result<Option<Updates>> {
        let (Some(settings), Some(depot)) = (&config.update, &self.depot) else { return Ok(None) };
        let ties = update::Ties {
            settings: settings.clone(),
            vehicle: config.vehicle.clone(),
            depot: Arc::clone(depot),
            reloader: Arc::clone(reloader),
            post: post.clone(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            uplink,
            tell,
        };
        Updates::start(ties, inbox).map(Some)
    }

    fn observer(
        &self,
        config: &Config,
        post: Post,
        uplink: watch::Receiver<UplinkView>,
        seen: Seen,
        updates: Option<watch::Receiver<Vec<UpdateFacts>>>,
    ) -> Observer {
        Observer {
            vehicle: config.vehicle.to_string(),
            boot: self.boot,
            started: Instant::now(),
            spool_dir: config.spool.dir.clone(),
            uplink_url: config.uplink.as_ref().map(|settings| settings.url.clone()),
            clock: Arc::clone(&self.clock),
            post,
            store: self.store.clone(),
            uplink,
            seen,
            updates,
            depot: self.depot.clone(),
        }
    }
}

/// The uplink, as the configuration in force says.
struct Line {
    follows: watch::Receiver<Arc<Config>>,
    boot: BootId,
    store: StoreHandle,
    clock: Clock,
    view: watch::Sender<UplinkView>,
}

impl Line {
    /// Syncs until it is done or `stop` says so. A reload hangs up and dials again: address and certificates may be
    /// others.
    async fn sync(&self, until: Until, mut stop: watch::Receiver<bool>) -> Result<(), UplinkError> {
        let mut follows = self.follows.clone();
        loop {
            let config = Arc::clone(&follows.borrow_and_update());
            let Some(settings) = &config.uplink else { return Ok(()) };
            let (hang_up, hung_up) = watch::channel(false);
            let line = line(&config, settings, self.boot);
            let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
            let running = uplink::run_in_view(line, store, clock, until, hung_up, &self.view);
            tokio::pin!(running);
            let dial_again = tokio::select! {
                ended = &mut running => return ended.map(drop),
                // Senders that are gone change nothing any more.
                changed = follows.changed() => changed.is_ok(),
                stop = stop.wait_for(|stop| *stop) => { drop(stop); false }
            };
            hang_up.send_replace(true);
            running.await?;
            if !dial_again {
                return Ok(());
            }
        }
    }
}

/// Opens the control socket. An agent that can't be asked goes on judging.
fn open_control(config: &Config, desk: Desk) {
    let Some(path) = config.control_socket() else { return };
    match ControlSocket::bind(&path) {
        Ok(socket) => {
            log::info!("control socket {}", path.display());
            tokio::spawn(socket.serve(desk));
        }
        Err(error) => log::warn!("{:#}; the agent runs without one", anyhow::Error::new(error)),
    }
}

#[cfg(feature = "metrics")]
fn open_metrics(config: &Config, observer: Arc<Observer>, depot: Option<Arc<Depot>>) {
    if let Some(address) = config.metrics.listen {
        tokio::spawn(crate::metrics::serve(address, observer, depot));
    }
}

#[cfg(not(feature = "metrics"))]
fn open_metrics(config: &Config, _observer: Arc<Observer>, _depot: Option<Arc<Depot>>) {
    if config.metrics.listen.is_some() {
        log::warn!("`metrics.listen` is set, but this build has no metrics (feature `metrics`)");
    }
}

async fn reload_at_hangup(mut hangup: tokio::signal::unix::Signal, reloader: Arc<Reloader>) {
    while hangup.recv().await.is_some() {
        // The reloader has told the log and the record.
        let _ = reloader.reload().await;
    }
}

/// Records the agent's own health, again and again, and holds it against its limits.
async fn report_status(
    mut follows: watch::Receiver<Arc<Config>>,
    store: StoreHandle,
    clock: Clock,
    totals: Arc<Mutex<Counts>>,
) {
    let mut usage = limits::Usage::begin();
    loop {
        let Ok(stats) = store.stats().await else { return };
        let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clock();
        let pss_bytes = memory::pss_bytes();
        store.append(at, Record::Status(Status { at, totals, spool_bytes: stats.disk_bytes, pss_bytes }));
        let config = Arc::clone(&follows.borrow_and_update());
        usage.check(&config.limits, pss_bytes).iter().for_each(|over| log::warn!("{over}"));
        // A reload begins a new period.
        let _ = tokio::time::timeout(config.status_period(), follows.changed()).await;
    }
}

fn line(config: &Config, settings: &UplinkSettings, boot: BootId) -> LineConfig {
    LineConfig {
        url: settings.url.clone(),
        ca: settings.ca.clone(),
        certificate: settings.cert.clone(),
        key: settings.key.clone(),
        vehicle: config.vehicle.clone(),
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: REQUEST_TIMEOUT,
        pace: UplinkConfig::default(),
        seed: boot.0,
        purse: settings.budget().map(|budget| Purse { budget, file: config.spool.dir.join("budget") }),
    }
}
