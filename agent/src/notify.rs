//! What systemd is told (`sd_notify(3)`), and how the watchdog is fed: only while the capture thread and the store's
//! thread both make progress.

use crate::mailbox::Post;
use crate::store::StoreHandle;
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often the state is told where no watchdog asks for more.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// The way to the service manager; leads nowhere if there is none.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// To where `NOTIFY_SOCKET` says.
    #[must_use]
    pub fn from_environment() -> Notifier {
        let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else {
            return Notifier::default();
        };
        Notifier::to(&place).unwrap_or_else(|error| {
            log::warn!("NOTIFY_SOCKET {}: {error}; the service manager is told nothing", place.display());
            Notifier::default()
        })
    }

    /// To a path, or to an abstract address that starts with `@`.
    ///
    /// # Errors
    /// If it is no address.
    pub fn to(place: &OsStr) -> io::Result<Notifier> {
        let address = match place.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(place)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up the agent.
        socket.set_nonblocking(true)?;
        Ok(Notifier(Some((socket, address))))
    }

    /// The agent is up, or up again.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The agent reads its configuration again.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The agent winds down.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            log::debug!("the service manager was not told {what:?}: {error}");
        }
    }
}

/// The watchdog's period, if one watches this process.
#[must_use]
pub fn watchdog_period() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros)
}

/// Tells how the agent fares, and feeds the watchdog while both threads make progress. Runs until it is dropped.
pub async fn keep_telling(notifier: &Notifier, watchdog: Option<Duration>, post: &Post, store: &StoreHandle) {
    let period = watchdog.map_or(STATUS_PERIOD, |period| (period / 2).min(STATUS_PERIOD));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns = None;
    loop {
        ticks.tick().await;
        let now = post.turns();
        let captures = post.has_ended() || turns.replace(now) != Some(now);
        // Half a period is left for the way.
        let stored = timeout(period / 2, store.stats()).await.ok().and_then(Result::ok);
        let status = match (&stored, captures) {
            (Some(stats), true) => {
                format!(
                    "{} records wait, {} lost, {} KiB",
                    stats.waiting_records,
                    stats.lost,
                    stats.disk_bytes / 1024
                )
            }
            (None, true) => "the store's thread does not answer".into(),
            (_, false) => "the capture thread does not turn".into(),
        };
        let well = captures && stored.is_some();
        if !well {
            log::error!("{status}");
        }
        let feed = if watchdog.is_some() && well { "\nWATCHDOG=1" } else { "" };
        notifier.tell(&format!("STATUS={status}{feed}"));
    }
}
