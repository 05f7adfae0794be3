//! The updates' thread: asks what the cloud offers, fetches, tests, watches, and carries out what the families' machines
//! ask for. All that it does may be cut off anywhere: what follows is what was kept.

mod introduce;
mod offers;
mod probation;
mod tell;

use super::commands::{Commands, commands_file};
use super::depot::{Depot, DepotError};
use super::download::{Download, Progress};
use super::orders::{Inbox, ModelOrder, UpdateFacts};
use super::self_test::Exam;
use super::setup;
use super::source::Source;
use crate::config::UpdateSettings;
use crate::load;
use crate::mailbox::{Post, Unanswered};
use crate::reload::Reloader;
use crate::store::{Clock, StoreHandle};
use crate::uplink::UplinkView;
use anyhow::Context as _;
use probation::Probation;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telltale_core::pipeline::Comparison;
use telltale_core::update::{Effect, Event, Failure};
use telltale_trust::{Identity, Roots, Verified, Verifier};
use telltale_wire::bundle::{BundleIndex, BundleName};
use telltale_wire::digest::Digest;
use telltale_wire::ids::{Lane, VehicleId};
use telltale_wire::time::Stamp;
use telltale_wire::update::UpdateReason;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often a candidate that runs is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// How often the thread looks up when nothing is under way.
const IDLE: Duration = Duration::from_secs(30);

/// How long a download waits while critical records do.
const YIELD: Duration = Duration::from_secs(1);

/// After a failed check, or a state that could not be kept, it is tried again this much later.
const RETRY: Duration = Duration::from_secs(60);

/// After the first failed check in a row: the director may have signed anew between two files of it.
const RETRY_SOON: Duration = Duration::from_secs(3);

/// A change of what runs that was not taken is tried again this much later.
const AGAIN: Duration = Duration::from_secs(5);

/// The longest root metadata that is read, in bytes.
const MAX_ROOT: u64 = telltale_trust::limits::MAX_ROOT as u64;

/// The most candidates that are compared at once.
const MAX_COMPARED: usize = 8;

/// How long the thread may take to end.
const END: Duration = Duration::from_secs(5);

/// What the thread works with.
pub(crate) struct Ties {
    pub(crate) settings: UpdateSettings,
    pub(crate) vehicle: VehicleId,
    pub(crate) depot: Arc<Depot>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) post: Post,
    pub(crate) store: StoreHandle,
    pub(crate) clock: Clock,
    pub(crate) uplink: watch::Receiver<UplinkView>,
    /// Where it is told how the updates stand.
    pub(crate) tell: watch::Sender<Vec<UpdateFacts>>,
}

/// The thread.
pub(crate) struct Updates {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Updates {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the roots of trust can't be used, or the system gives no thread.
    pub(crate) fn start(ties: Ties, inbox: Inbox) -> anyhow::Result<Updates> {
        let settings = &ties.settings;
        let roots = Roots {
            director: load::read_bounded(&settings.director_root, MAX_ROOT)
                .context("`update.director_root`")?,
            image: load::read_bounded(&settings.image_root, MAX_ROOT).context("`update.image_root`")?,
        };
        let identity = Identity { vehicle: ties.vehicle.clone(), hardware: settings.hardware.clone() };
        let verifier = Verifier::open(&settings.dir.join("trust"), roots, identity).context("`update`")?;
        let commands = Commands::open(commands_file(settings));
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            ties,
            verifier,
            commands,
            acted: 0,
            next_check: Instant::now(),
            quiet_until: Instant::now(),
            arrange_at: None,
            held: BTreeMap::new(),
            downloads: BTreeMap::new(),
            watched: BTreeMap::new(),
            probation: None,
            later: Vec::new(),
            trouble: None,
            strangers: BTreeSet::new(),
            locked: BTreeSet::new(),
            introduction: Some(Instant::now()),
        };
        let thread = std::thread::Builder::new()
            .name("update".into())
            .spawn(move || runtime.block_on(worker.run(inbox, stopped)))
            .context("can't start the updates' thread")?;
        Ok(Updates { thread, stop })
    }

    /// Ends the thread, in good order if it lets itself be ended in time.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let joined = timeout(END, tokio::task::spawn_blocking(move || self.thread.join())).await;
        match joined {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => log::error!("the updates' thread had failed"),
            Err(_) => log::warn!(
                "the updates' thread did not end in {END:?}; its next start goes on from what is kept"
            ),
        }
    }
}

/// An offer that was verified, with its index and, where it is sealed, the wrapped key that opens it.
struct Held {
    index: Verified<BundleIndex>,
    bytes: Vec<u8>,
    wrapped: Option<Vec<u8>>,
    source: Source,
}

/// A candidate that is compared.
struct Watched {
    from: Stamp,
    latest: Option<Comparison>,
}

struct Worker {
    ties: Ties,
    verifier: Verifier,
    commands: Commands,
    /// The desired state that was acted on.
    acted: u64,
    next_check: Instant,
    /// Until then the cloud is not asked.
    quiet_until: Instant,
    /// When what is to run is tried again, after it could not be changed.
    arrange_at: Option<Instant>,
    held: BTreeMap<BundleName, Held>,
    downloads: BTreeMap<BundleName, Download>,
    watched: BTreeMap<BundleName, Watched>,
    /// Of a configuration on trial.
    probation: Option<Probation>,
    /// Events whose consequences could not be kept.
    later: Vec<(Instant, BundleName, Event)>,
    trouble: Option<String>,
    /// Offers of families that this vehicle does not have, that were told of.
    strangers: BTreeSet<Digest>,
    /// Offers that the vehicle's keys don't open, that were told of: the bundle and the wrapped key that came with it.
    locked: BTreeSet<(Digest, Option<Digest>)>,
    /// When the cloud is told the public half of the sealing key; `None` once it knows it.
    introduction: Option<Instant>,
}

impl Worker {
    async fn run(mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
        let mut uplink = self.ties.uplink.clone();
        self.commands.resume(&self.ties).await;
        loop {
            tokio::select! {
                biased;
                // A sender that is gone means the same as its signal. What is under way is done again at the next start.
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.turn(&mut inbox, &mut uplink) => {}
            }
        }
        for name in self.ties.depot.families() {
            self.event(&name, Event::Stopping);
        }
    }

    async fn turn(&mut self, inbox: &mut Inbox, uplink: &mut watch::Receiver<UplinkView>) {
        self.work().await;
        let pause = self.pause();
        tokio::select! {
            biased;
            Some(order) = inbox.0.recv() => {
                let outcome = match &order.order {
                    ModelOrder::Install { folder } => self.install(folder).await,
                    order => order.apply(&self.ties.depot).map_err(|error| error.to_string()),
                };
                self.work().await;
                // Whoever asked may have gone.
                let _ = order.done.send(outcome);
            }
            () = news(uplink, self.acted), if self.listens() => {}
            () = sleep(pause) => {}
        }
        self.watch().await;
        self.watch_configuration().await;
        self.introduce().await;
        self.check_if_due().await;
        self.download().await;
        self.again().await;
    }

    /// Whether it may be asked again what the cloud wants.
    fn listens(&self) -> bool {
        self.quiet_until <= Instant::now()
    }

    fn pause(&self) -> Duration {
        let retry = self.later.iter().map(|(at, ..)| at.saturating_duration_since(Instant::now()));
        let download = self.downloads.values().map(Download::wait);
        let retry = retry.chain(self.arrange_at.map(|at| at.saturating_duration_since(Instant::now())));
        let check = self.next_check.saturating_duration_since(Instant::now()).max(YIELD);
        let watch = self.ties.depot.watches().then_some(WATCH_EVERY);
        retry.chain(download).chain(watch).chain([check]).min().unwrap_or(IDLE).min(IDLE)
    }

    /// Hands an event to its family's machine.
    fn event(&mut self, name: &BundleName, event: Event) {
        match self.ties.depot.handle(name, event.clone()) {
            Ok(()) => {}
            Err(DepotError::Storage(error)) => {
                log::error!("{name}: {error}: tried again in {RETRY:?}");
                // How a candidate does is looked at again anyway.
                if !matches!(event, Event::Compared(_) | Event::Stopping) {
                    self.later.push((Instant::now() + RETRY, name.clone(), event));
                }
            }
            Err(error) => log::warn!("{name}: {error}"),
        }
    }

    /// What could not be done before.
    async fn again(&mut self) {
        let now = Instant::now();
        if self.arrange_at.take_if(|at| *at <= now).is_some() {
            for name in self.ties.depot.families() {
                self.arrange(&name).await;
            }
        }
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, ..)| *at <= now);
        self.later = later;
        for (_, name, event) in Vec::from_iter::<Vec<_>>(due) {
            self.event(&name, event);
        }
    }

    /// Does what the machines ask for, until nothing is left.
    async fn work(&mut self) {
        loop {
            let effects: VecDeque<_> = self.ties.depot.backlog().into();
            if effects.is_empty() {
                break;
            }
            for (name, effect) in effects {
                self.effect(&name, effect).await;
            }
        }
        let facts = self.ties.depot.facts();
        self.ties.tell.send_if_modified(|told| {
            let differs = *told != facts;
            *told = facts;
            differs
        });
    }

    async fn effect(&mut self, name: &BundleName, effect: Effect) {
        match effect {
            Effect::Prepare => self.prepare(name),
            Effect::Fetch => self.fetch(name),
            Effect::SelfTest => self.self_test(name).await,
            Effect::Arrange => self.arrange(name).await,
            Effect::Report => self.report(name),
            Effect::Tell(told) => self.record(name, told),
            Effect::Sweep => {
                self.downloads.remove(name);
                match self.ties.depot.sweep() {
                    Ok(0) => {}
                    Ok(files) => log::debug!("{files} files of old bundles deleted"),
                    Err(error) => log::warn!("old bundles could not be deleted: {error}"),
                }
            }
        }
    }

    /// The verified index goes into the slot.
    fn prepare(&mut self, name: &BundleName) {
        let (Some(held), Some((release, slot))) = (self.held.get(name), self.ties.depot.candidate(name))
        else {
            return;
        };
        let kept = self.ties.depot.with_shelf(|shelf| {
            if let Some(wrapped) = &held.wrapped {
                shelf.hold_key(name, slot, wrapped)?;
            }
            shelf.hold_index(name, slot, &release, &held.bytes)
        });
        let event = match kept {
            Ok(_) => Event::Prepared,
            Err(error) => Event::Failed(Failure { reason: UpdateReason::NoSpace, why: error.to_string() }),
        };
        self.event(name, event);
    }

    fn fetch(&mut self, name: &BundleName) {
        // Without its offer it waits for the next check.
        let Some(held) = self.held.get(name) else { return };
        let most = Duration::from_secs(u64::from(self.ties.settings.fetch_hours) * 3_600);
        match Download::new(&self.ties.depot, held.index.clone(), most) {
            Ok(download) => drop(self.downloads.insert(name.clone(), download)),
            Err(error) => {
                let why = error.to_string();
                self.event(name, Event::Failed(Failure { reason: UpdateReason::NoSpace, why }));
            }
        }
    }

    async fn self_test(&mut self, name: &BundleName) {
        let Some((release, slot)) = self.ties.depot.candidate(name) else { return };
        if *name == setup::family() {
            let event = match self.ties.reloader.rehearse(Arc::clone(&self.ties.depot)).await {
                Ok(()) => Event::Tested,
                Err(failure) => Event::Failed(failure),
            };
            return self.event(name, event);
        }
        let catalog = self.ties.reloader.catalog.lock().await.catalog.clone();
        let (depot, family, keyring) =
            (Arc::clone(&self.ties.depot), name.clone(), self.ties.depot.keyring());
        let test = move || {
            depot
                .with_shelf(|shelf| Exam::prepare(shelf, &keyring, &family, slot, &release, &catalog))
                .and_then(Exam::run)
        };
        let event = match tokio::task::spawn_blocking(test).await {
            Ok(Ok(())) => Event::Tested,
            Ok(Err(failure)) => Event::Failed(failure),
            Err(panic) => Event::Failed(Failure { reason: UpdateReason::NoOutput, why: panic.to_string() }),
        };
        self.event(name, event);
    }

    async fn arrange(&mut self, name: &BundleName) {
        if self.ties.depot.is_arranged(name) {
            return;
        }
        let began = (self.ties.clock)();
        let is_tried = *name == setup::family() && self.on_probation();
        let before = if is_tried { Some(self.witness().await) } else { None };
        match self.ties.reloader.rearrange(Arc::clone(&self.ties.depot)).await {
            Ok(()) => {
                if let Some(before) = before {
                    self.begin_probation(before);
                } else if self.ties.depot.watches() {
                    self.watched.insert(name.clone(), Watched { from: began, latest: None });
                }
            }
            Err(error) if self.ties.post.has_ended() => log::info!("{name}: {error:#}"),
            // The source does not take it, which it would not do later either.
            Err(error) if is_tried => {
                let why = format!("{error:#}");
                self.event(name, Event::Failed(Failure { reason: UpdateReason::NotLoadable, why }));
            }
            Err(error) => {
                log::error!(
                    "{name}: what is to run could not be changed, tried again in {AGAIN:?}: {error:#}"
                );
                self.arrange_at = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Looks at how the candidates do.
    async fn watch(&mut self) {
        if !self.ties.depot.watches() {
            return;
        }
        match self.ties.post.compare(MAX_COMPARED).await {
            Ok(comparisons) => {
                for comparison in comparisons {
                    let Some((name, _)) = self.ties.depot.family_of(comparison.candidate) else { continue };
                    let from = (self.ties.clock)();
                    let watched = self.watched.entry(name.clone()).or_insert(Watched { from, latest: None });
                    watched.latest = Some(comparison);
                    self.event(&name, Event::Compared(comparison));
                }
            }
            Err(Unanswered::Silent | Unanswered::Ended) => {}
        }
    }

    /// One chunk of each download.
    async fn download(&mut self) {
        let courier = self.ties.uplink.borrow().courier.clone();
        let names: Vec<BundleName> = self.downloads.keys().cloned().collect();
        for name in names {
            let source = match (self.held.get(&name).map(|held| &held.source), &courier) {
                (Some(source @ Source::Stick(_)), _) => source.clone(),
                // The connection of now: that of the offer may be gone.
                (_, Some(courier)) => Source::Line(courier.clone()),
                (_, None) => continue,
            };
            if matches!(source, Source::Line(_)) && self.must_yield().await {
                return sleep(YIELD).await;
            }
            let Some(download) = self.downloads.get_mut(&name).filter(|d| d.wait().is_zero()) else {
                continue;
            };
            let event = match download.step(&self.ties.depot, &source).await {
                Progress::More => continue,
                Progress::Done => Event::Fetched,
                Progress::Failed(failure) => Event::Failed(failure),
            };
            self.downloads.remove(&name);
            self.event(&name, event);
        }
    }

    /// Whether the line belongs to others: critical records wait, or the byte budget is used up.
    async fn must_yield(&self) -> bool {
        let over = self.ties.uplink.borrow().budget_left.is_some_and(|left| left <= 0);
        let critical = |stats: telltale_core::spool::SpoolStats| {
            stats.lanes.get(Lane::Critical as usize).is_some_and(|lane| lane.waiting_records > 0)
        };
        over || self.ties.store.stats().await.is_ok_and(critical)
    }
}

/// Until the cloud wants something else than what was acted on.
async fn news(uplink: &mut watch::Receiver<UplinkView>, acted: u64) {
    let is_new = |view: &UplinkView| view.courier.is_some() && view.desired_state != acted;
    if uplink.wait_for(is_new).await.is_err() {
        std::future::pending::<()>().await;
    }
}
