//! The server as a whole: one listener for vehicles, one for people, one database.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use telltale_cloud::server::{Config, Server};
//! let server = Server::bind(Config::new("pki", "fleet.db")).await?;
//! println!("vehicles at {}, people at {:?}", server.vehicle_addr(), server.dashboard_addr());
//! server.run(std::future::pending()).await;
//! # Ok(()) }
//! ```

use crate::dashboard;
use crate::director::{Director, DirectorError, OtaConfig};
use crate::door::Door;
use crate::ota;
use crate::store::{Store, StoreError};
use crate::sync;
use crate::tls::{self, TlsError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::envelope::{HEADER_LEN, MAX_PAYLOAD};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// The longest body that can be asked for: one sealed message of the longest kind.
const MAX_BODY: usize = MAX_PAYLOAD + HEADER_LEN;

/// What a server is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder with `ca.pem`, `server.pem` and `server.key`.
    pub pki: PathBuf,
    /// The database file; made if it is not there.
    pub db: PathBuf,
    /// Where vehicles connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where people look; `None` for no dashboard.
    pub dashboard: Option<SocketAddr>,
    /// Whether the dashboard, which asks nobody for a password, may listen beyond this machine.
    pub dangerous_public_dashboard: bool,
    /// What updates are signed with; `None` for a server that updates no vehicle.
    pub ota: Option<OtaConfig>,
    /// The bounds.
    pub limits: Limits,
}

impl Config {
    /// Free ports on this machine, with a dashboard.
    #[must_use]
    pub fn new(pki: impl Into<PathBuf>, db: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            pki: pki.into(),
            db: db.into(),
            listen: any,
            dashboard: Some(any),
            dangerous_public_dashboard: false,
            ota: None,
            limits: Limits::default(),
        }
    }
}

/// The bounds on what the outside can take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of each listener. One costs about 60 kB with its TLS buffers: 60 MB.
    pub max_connections: usize,
    /// Bytes of one request's body, envelope included. Vehicles are told it as the batch limit.
    pub max_body: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long HTTP/1.1 headers may take, and how long such a connection may idle.
    pub header_timeout: Duration,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long a request waits for the database before it is told to come back.
    pub patience: Duration,
    /// How often running rollouts look at their evidence.
    pub rollout_interval: Duration,
    /// How long running requests may go on after a shutdown was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            max_body: 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(2),
            rollout_interval: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificates are not there, or not good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database is not there, or not good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository or the director's key is not there, or not good.
    #[error(transparent)]
    Director(#[from] DirectorError),
    /// An address can't be listened on.
    #[error("cannot listen on {address}: {}", advice(.source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The dashboard would be open to the network.
    #[error(
        "the dashboard has no password, and {0} can be reached from other machines: use a loopback address and \
        a proxy or an SSH tunnel, or say --dangerous-public-dashboard"
    )]
    PublicDashboard(SocketAddr),
    /// The body limit is senseless.
    #[error("a body limit of {0} bytes is not between {HEADER_LEN} and {MAX_BODY}")]
    BodyLimit(usize),
}

/// A server that listens, and serves once it runs.
pub struct Server {
    vehicles: TcpListener,
    vehicle_addr: SocketAddr,
    dashboard: Option<(TcpListener, SocketAddr)>,
    tls: TlsAcceptor,
    verifier: tls::Verifier,
    store: Store,
    director: Option<Director>,
    config: Config,
}

impl Server {
    /// Reads the certificates, opens the database and takes the addresses. Connections queue up from now on.
    ///
    /// # Errors
    /// Every [`ServeError`].
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        if !(HEADER_LEN..=MAX_BODY).contains(&config.limits.max_body) {
            return Err(ServeError::BodyLimit(config.limits.max_body));
        }
        if let Some(address) = config.dashboard
            && !address.ip().is_loopback()
            && !config.dangerous_public_dashboard
        {
            return Err(ServeError::PublicDashboard(address));
        }
        let (tls, verifier) = tls::server_config(&config.pki)?;
        let (vehicles, vehicle_addr) = listen(config.listen).await?;
        let dashboard = match config.dashboard {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let store = Store::open(&config.db, config.limits.patience).await?;
        let director = match &config.ota {
            Some(ota) => {
                let folder = std::path::absolute(&ota.repository);
                store.set_repository(folder.as_ref().unwrap_or(&ota.repository)).await?;
                Some(Director::open(store.clone(), ota)?)
            }
            None => None,
        };
        let tls = TlsAcceptor::from(Arc::new(tls));
        Ok(Self { vehicles, vehicle_addr, dashboard, tls, verifier, store, director, config })
    }

    /// Where vehicles connect.
    #[must_use]
    pub fn vehicle_addr(&self) -> SocketAddr {
        self.vehicle_addr
    }

    /// Where people look.
    #[must_use]
    pub fn dashboard_addr(&self) -> Option<SocketAddr> {
        self.dashboard.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `shutdown` is done, then finishes the running requests and closes the database.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Config { limits, dangerous_public_dashboard, .. } = self.config;
        let (stop, stopped) = watch::channel(false);
        let router = sync::router(self.store.clone(), self.verifier.clone(), self.director.clone(), limits)
            .merge(ota::router(self.store.clone(), self.verifier, self.director));
        let vehicles = Door { listener: self.vehicles, tls: Some(self.tls), router, limits };
        let people = self.dashboard.map(|(listener, _)| {
            let router = dashboard::router(self.store.clone(), dangerous_public_dashboard);
            Door { listener, tls: None, router, limits }
        });
        let people_stopped = stopped.clone();
        let serve_people = async move {
            if let Some(people) = people {
                people.serve(people_stopped).await;
            }
        };
        let ask_to_stop = async move {
            shutdown.await;
            // The doors are gone only when nobody waits for them any more.
            let _ = stop.send(true);
        };
        let rollouts = rollouts(self.store.clone(), limits.rollout_interval, stopped.clone());
        tokio::join!(ask_to_stop, vehicles.serve(stopped), serve_people, rollouts);
        self.store.close().await;
    }
}

/// Lets rollouts decide, until the server stops. What fails is tried again at the next look.
async fn rollouts(store: Store, interval: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = store.advance_rollouts(sync::now()).await {
            log::error!("rollouts could not be advanced: {error}");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is taken, by another telltale-cloud perhaps; stop it or choose another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "see the cause below",
    }
}
