//! Composes the agent: the capture thread, the store's thread, and the asynchronous half with uplink and signals.

use crate::config::{Config, SourceConfig, UplinkSettings};
use crate::control::ControlSocket;
use crate::desk::Desk;
use crate::drive::drive;
use crate::files::SpoolDirectory;
use crate::guard::{Budget, guard};
use crate::load;
use crate::mailbox::{Mailbox, mailbox};
use crate::memory;
use crate::observe::{Observer, Seen};
use crate::source::{self, SourceError, boot_time};
use crate::state;
use crate::store::{Clock, Store, StoreEnded, StoreHandle};
use crate::tls::{self, Credentials};
use crate::uplink::{self, LineConfig, Purse, Until, UplinkView};
use anyhow::Context as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::{Pipeline, PipelineConfig};
use telltale_core::uplink::UplinkConfig;
use telltale_wire::ids::BootId;
use telltale_wire::record::{BootRecord, Counts, ModelRef, Record, Status};
use telltale_wire::time::{Stamp, WallTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the capture thread may take to see that it should stop. One that waits for standard input does not.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// An agent that is ready to run: everything that it was configured with has been read and found sound.
pub struct Agent {
    config: Config,
    catalog: Catalog,
    pipeline: Pipeline,
}

impl Agent {
    /// Reads the catalog, the models and the credentials that a configuration names.
    ///
    /// # Errors
    /// What can't be used, and why.
    pub fn prepare(config: Config) -> anyhow::Result<Agent> {
        let catalog = load::catalog(&config.catalog)?;
        let models = load::models(&config.models, &catalog)?;
        let models = guard(models, &Budget::of(config.inference_budget()));
        if models.is_empty() {
            log::warn!("the configuration names no model: frames are decoded and counted, nothing is judged");
        }
        if let Some(settings) = &config.uplink {
            tls::client_config(&credentials(settings)).context("the uplink can't be used")?;
        }
        let pipeline_config =
            PipelineConfig { summary_period: config.summary_period(), ..PipelineConfig::default() };
        let pipeline = Pipeline::new(&catalog, models, pipeline_config)?;
        Ok(Agent { config, catalog, pipeline })
    }

    /// Runs until a signal, or until a log has been judged and synced.
    ///
    /// # Errors
    /// If the source fails, or the spool can't be used.
    pub fn run(self) -> anyhow::Result<()> {
        let Agent { config, catalog, pipeline } = self;
        let directory = &config.spool.dir;
        // Locked before the boot is counted: an agent that is turned away leaves no trace.
        let files = SpoolDirectory::open(directory)?;
        let boot = state::next_boot(directory)?;
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(serve(&config, catalog, pipeline, store.handle(), clock, boot));
        // Without this a task that waits for the network would hold up the end.
        runtime.shutdown_background();
        store.close();
        log::info!("ended; every record is durable");
        outcome
    }
}

/// The asynchronous half: starts capture, syncs, listens for signals, and winds down in the right order.
async fn serve(
    config: &Config,
    catalog: Catalog,
    pipeline: Pipeline,
    store: StoreHandle,
    clock: Clock,
    boot: BootId,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let totals = Arc::new(Mutex::new(Counts::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let (post, mailbox) = mailbox();
    let (uplink_view, uplink_seen) = watch::channel(UplinkView::default());
    let desk = Desk {
        observer: Observer {
            vehicle: config.vehicle.to_string(),
            boot,
            started: Instant::now(),
            spool_dir: config.spool.dir.clone(),
            uplink_url: config.uplink.as_ref().map(|settings| settings.url.clone()),
            clock: Arc::clone(&clock),
            post,
            store: store.clone(),
            uplink: uplink_seen,
            seen: Seen::nothing(Arc::clone(pipeline.outline())),
        },
    };
    open_control(config, desk);
    let capture =
        Capture { store: store.clone(), stop: Arc::clone(&stop), totals: Arc::clone(&totals), mailbox };
    let mut capture = capture.start(config, catalog, pipeline)?;

    let (hang_up, hung_up) = watch::channel(false);
    let line = config.uplink.as_ref().map(|settings| line(config, settings, boot));
    let uplink_view = Arc::new(uplink_view);
    let mut syncing = line.clone().map(|line| {
        let (store, clock, view) = (store.clone(), Arc::clone(&clock), Arc::clone(&uplink_view));
        let hung_up = hung_up.clone();
        tokio::spawn(
            async move { uplink::run_in_view(line, store, clock, Until::Shutdown, hung_up, &view).await },
        )
    });
    tokio::spawn(report_status(config.status_period(), store.clone(), Arc::clone(&clock), totals));

    let captured = tokio::select! {
        ended = &mut capture => Some(ended),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    // The line that ran beside capture is closed first; what is left is drained below if the log has ended.
    hang_up.send_replace(true);
    if let Some(task) = syncing.take() {
        task.await??;
    }
    let Some(ended) = captured else {
        log::info!("stopping: a signal asked for it");
        stop.store(true, Ordering::Relaxed);
        if tokio::time::timeout(STOP_TIMEOUT, capture).await.is_err() {
            log::warn!("the source did not stop in {STOP_TIMEOUT:?}; what it was about to give is not read");
        }
        return Ok(store.flush().await?);
    };
    ended.context("the capture thread failed")??;
    store.flush().await?;
    if let Some(line) = line {
        log::info!("the log has ended; syncing what is left");
        let (_keep, never) = watch::channel(false);
        let drained = uplink::run_in_view(line, store, clock, Until::Drained, never, &uplink_view);
        tokio::select! {
            stats = drained => { stats?; }
            _ = terminate.recv() => log::info!("stopping before everything was synced: a signal asked for it"),
            _ = interrupt.recv() => log::info!("stopping before everything was synced: a signal asked for it"),
        }
    }
    Ok(())
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

/// The capture thread's ties to the others.
struct Capture {
    store: StoreHandle,
    stop: Arc<AtomicBool>,
    totals: Arc<Mutex<Counts>>,
    mailbox: Mailbox,
}

impl Capture {
    /// Starts the capture thread; the receiver learns how it ended.
    fn start(
        self,
        config: &Config,
        catalog: Catalog,
        mut pipeline: Pipeline,
    ) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
        let Capture { store, stop, totals, mailbox } = self;
        let can_wait = matches!(config.source, SourceConfig::Log { .. });
        let mut source = source::open(&config.source, catalog)?;
        let (done, ended) = oneshot::channel();
        let body = move || {
            let mut stored = Ok(());
            let driven = drive(source.as_mut(), &mut pipeline, &stop, &mailbox, |pipeline, record| {
                *totals.lock().unwrap_or_else(PoisonError::into_inner) = *pipeline.totals();
                announce(&record);
                if can_wait {
                    stored = store.append_waiting(record);
                    if stored.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                } else {
                    store.append(now(), record);
                }
            });
            source.report().notes.iter().for_each(|note| log::warn!("{note}"));
            // Nobody listens any more after a signal.
            let _ = done.send(finished(driven, stored));
        };
        thread::Builder::new()
            .name("capture".into())
            .spawn(body)
            .context("can't start the capture thread")?;
        Ok(ended)
    }
}

fn finished(driven: Result<(), SourceError>, stored: Result<(), StoreEnded>) -> anyhow::Result<()> {
    driven.context("the source failed")?;
    Ok(stored?)
}

/// A verdict is worth a line in the log.
fn announce(record: &Record) {
    if let Record::Verdict(event) = record {
        log::info!("{} {}: {:?}, score {:.3}", event.model.name, event.subject, event.verdict, event.score);
    }
}

/// Records the agent's own health, again and again.
async fn report_status(period: Duration, store: StoreHandle, clock: Clock, totals: Arc<Mutex<Counts>>) {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        let Ok(stats) = store.stats().await else { return };
        let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clock();
        let status = Status { at, totals, spool_bytes: stats.disk_bytes, pss_bytes: memory::pss_bytes() };
        store.append(at, Record::Status(status));
    }
}

/// Now, on both clocks of this machine.
fn now() -> Stamp {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    Stamp { mono: boot_time(), wall: wall.map(|since| WallTime::from_unix_micros(since.as_micros() as i64)) }
}

fn credentials(settings: &UplinkSettings) -> Credentials {
    Credentials { ca: settings.ca.clone(), certificate: settings.cert.clone(), key: settings.key.clone() }
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
