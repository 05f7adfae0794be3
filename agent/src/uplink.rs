//! The uplink on a real line: HTTPS/2 with mutual TLS, one connection, carrying what the state machine of
//! `telltale_core::uplink` decides.

mod courier;
mod line;
mod meter;
mod purse;

pub use courier::{Courier, CourierError};
pub use purse::Purse;

use crate::store::{Clock, StoreEnded, StoreHandle};
use crate::tls::CredentialError;
use hyper::body::Bytes;
use line::{Answer, Line, LineError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telltale_core::uplink::{Advice, Phase, Uplink, UplinkConfig, UplinkStats};
use telltale_wire::envelope;
use telltale_wire::ids::VehicleId;
use telltale_wire::sync::SyncRequest;
use telltale_wire::time::{MonoTime, WallTime};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

/// The most that is waited for at once, so that a clock that was set is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// What an exchange costs besides its body, at most: a handshake with two certificates, headers, the answer.
const EXCHANGE_OVERHEAD: usize = 8 * 1024;

/// Where to send, and as whom.
#[derive(Clone, Debug)]
pub struct LineConfig {
    /// The server: `https://host:port`.
    pub url: String,
    /// PEM file of the authority that signed the server's certificate.
    pub ca: PathBuf,
    /// PEM file of this vehicle's certificate and the chain above it.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// This vehicle; the certificate must name the same.
    pub vehicle: VehicleId,
    /// For connecting, the TLS handshake included.
    pub connect_timeout: Duration,
    /// For one exchange.
    pub request_timeout: Duration,
    /// When and how much to send.
    pub pace: UplinkConfig,
    /// For the jitter; another one for each vehicle and boot.
    pub seed: u64,
    /// The byte budget, if there is one.
    pub purse: Option<Purse>,
}

/// When the uplink is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// At the shutdown signal alone.
    Shutdown,
    /// When everything in the store is acknowledged, or at the signal: for replays and tests.
    Drained,
}

/// How the uplink fares, for whoever looks on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UplinkView {
    /// What it is at.
    pub phase: Phase,
    /// When it next wants to send; `None` while it does.
    pub due: Option<MonoTime>,
    /// What went over the line so far.
    pub stats: UplinkStats,
    /// What the byte budget has left; below zero it is owed. `None` without one.
    pub budget_left: Option<i64>,
    /// When an exchange last succeeded.
    pub taken_at: Option<MonoTime>,
    /// Why the latest exchange failed; `None` if it did not.
    pub trouble: Option<String>,
    /// The version of what the cloud wants of this vehicle, as of the latest answer; 0 for nothing.
    pub desired_state: u64,
    /// What time it was by the server at the latest answer, and by this machine.
    pub server_time: Option<(WallTime, MonoTime)>,
    /// Carries other requests over the same connection.
    pub courier: Option<Courier>,
}

/// Why the uplink ended. Trouble on the line is not among these: it is logged and tried again.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// The address is not one.
    #[error("`{0}` is no server address: write `https://host` or `https://host:port`")]
    Address(String),
    /// See [`CredentialError`].
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// There is nothing to send from.
    #[error(transparent)]
    Store(#[from] StoreEnded),
    /// While draining: the server will not take this vehicle's records until a person has acted.
    #[error("the server refuses this vehicle's records; its reason is in the log")]
    Refused,
}

/// Runs the uplink.
///
/// # Errors
/// Only what no repetition mends: see [`UplinkError`].
pub async fn run(
    config: LineConfig,
    store: StoreHandle,
    clock: Clock,
    until: Until,
    shutdown: watch::Receiver<bool>,
) -> Result<UplinkStats, UplinkError> {
    run_in_view(config, store, clock, until, shutdown, &watch::Sender::default()).await
}

/// Runs the uplink, as [`run`] does, and tells how it fares.
///
/// # Errors
/// As [`run`].
pub async fn run_in_view(
    config: LineConfig,
    store: StoreHandle,
    clock: Clock,
    until: Until,
    mut shutdown: watch::Receiver<bool>,
    view: &watch::Sender<UplinkView>,
) -> Result<UplinkStats, UplinkError> {
    let (budget, keeper) = config.purse.as_ref().map(|purse| purse.open(clock())).unzip();
    let machine = Uplink::new(config.pace, config.vehicle.clone(), config.seed).with_budget(budget);
    let line = Arc::new(Line::new(&config)?);
    view.send_modify(|view| view.courier = Some(Courier::new(&line)));
    let mut run = Run { machine, line, keeper, store, clock, until, view };
    let outcome = tokio::select! {
        biased;
        // A sender that is gone means the same as its signal.
        _ = shutdown.wait_for(|stop| *stop) => Ok(()),
        outcome = run.sync() => outcome,
    };
    // Whatever was on the line when the signal came is counted too.
    run.count_bytes();
    if let (Some(keeper), Some(budget)) = (&mut run.keeper, run.machine.budget()) {
        keeper.close(budget, (run.clock)());
    }
    view.send_modify(|view| view.courier = None);
    outcome.map(|()| run.machine.stats())
}

/// The uplink at work.
struct Run<'a> {
    machine: Uplink,
    line: Arc<Line>,
    keeper: Option<purse::Keeper>,
    store: StoreHandle,
    clock: Clock,
    until: Until,
    view: &'a watch::Sender<UplinkView>,
}

impl Run<'_> {
    /// Syncs until there is nothing left to do. May be dropped at any time: what is under way is sent again.
    async fn sync(&mut self) -> Result<(), UplinkError> {
        let drain = self.until == Until::Drained;
        let mut durable = self.store.watch();
        let mut critical = durable.borrow_and_update().critical;
        loop {
            self.tell();
            let due = self.machine.poll_timeout().unwrap_or(MonoTime(0));
            let wait = due.since((self.clock)().mono).min(MAX_SLEEP);
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                changed = durable.changed() => {
                    changed.map_err(|_| StoreEnded)?;
                    let now = *durable.borrow_and_update();
                    if now.waiting > 0 {
                        self.machine.handle_records((self.clock)().mono, drain || now.critical > critical);
                    }
                    critical = now.critical;
                }
            }
            let Some(allowance) = self.machine.poll_transmit((self.clock)().mono) else { continue };
            if drain {
                self.store.flush().await?;
            }
            let batches = self.store.next_batch(allowance).await?;
            if batches.is_empty() && drain {
                let waiting = self.store.stats().await?.waiting_records;
                if waiting > 0 {
                    log::warn!("the byte budget is used up: {waiting} records wait in the spool");
                }
                return Ok(());
            }
            let Some(request) = self.machine.begin((self.clock)(), batches) else { continue };
            self.tell();
            let needs_person = self.exchange(&request).await?;
            if needs_person && drain {
                return Err(UplinkError::Refused);
            }
        }
    }

    /// One exchange; true if a person has to act.
    async fn exchange(&mut self, request: &SyncRequest) -> Result<bool, StoreEnded> {
        let answered = match envelope::seal(request).map_err(LineError::Seal) {
            Ok(body) => {
                if let (Some(keeper), Some(budget)) = (&mut self.keeper, self.machine.budget()) {
                    keeper.before(budget, (self.clock)(), body.len() + EXCHANGE_OVERHEAD);
                }
                self.line.exchange(Bytes::from(body)).await
            }
            Err(error) => Err(error),
        };
        self.count_bytes();
        let now = (self.clock)().mono;
        let trouble = match &answered {
            Ok(Answer::Taken(_)) => None,
            Ok(Answer::Refused(refusal)) => Some(format!("the server refuses: {}", refusal.message)),
            Err(error) => Some(self.line.explain(error)),
        };
        self.view.send_modify(|view| {
            view.taken_at = if trouble.is_none() { Some(now) } else { view.taken_at };
            view.trouble.clone_from(&trouble);
            if let Ok(Answer::Taken(response)) = &answered {
                view.desired_state = response.desired_state;
                view.server_time = Some((response.server_time, now));
            }
        });
        match answered {
            Ok(Answer::Taken(response)) => {
                let acks = self.machine.handle_response(now, &response);
                self.store.ack(acks).await?;
            }
            Ok(Answer::Refused(refusal)) => match self.machine.handle_refusal(now, &refusal) {
                Advice::Again => {}
                Advice::NeedsPerson => return Ok(true),
                Advice::Discard { boot, lane, seq, why } => self.store.discard(boot, lane, seq, why).await?,
            },
            Err(_) => {
                log::warn!("sync failed: {}", trouble.unwrap_or_default());
                self.line.hang_up().await;
                self.machine.handle_failure(now);
            }
        }
        Ok(false)
    }

    fn tell(&mut self) {
        let budget_left = self.machine.budget().map(|budget| budget.level());
        self.view.send_modify(|view| {
            view.phase = self.machine.phase();
            view.due = self.machine.poll_timeout();
            view.stats = self.machine.stats();
            view.budget_left = budget_left;
        });
    }

    fn count_bytes(&mut self) {
        let (up, down) = self.line.meter.take();
        self.machine.count_bytes((self.clock)().mono, up, down);
    }
}
