//! The uplink on a real line: HTTPS/2 with mutual TLS, one connection, carrying what the state machine of
//! `telltale_core::uplink` decides.

use crate::store::{Clock, StoreEnded, StoreHandle};
use crate::tls::{self, CredentialError, Credentials};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use telltale_core::uplink::{Advice, Phase, Uplink, UplinkConfig, UplinkStats};
use telltale_wire::envelope::{self, EnvelopeError, HEADER_LEN, MAX_PAYLOAD};
use telltale_wire::ids::VehicleId;
use telltale_wire::sync::{CONTENT_TYPE, SYNC_PATH, SyncRefusal, SyncRequest, SyncResponse};
use telltale_wire::time::MonoTime;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// A ping after this long without a sign of the server finds lines that died in silence.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The most that is waited for at once, so that a clock that was set is noticed.
const MAX_SLEEP: Duration = Duration::from_secs(60);

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
    /// When an exchange last succeeded.
    pub taken_at: Option<MonoTime>,
    /// Why the latest exchange failed; `None` if it did not.
    pub trouble: Option<String>,
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

/// Why one exchange failed.
#[derive(Debug, Error)]
enum LineError {
    #[error("connecting to {0} failed")]
    Connect(String, #[source] std::io::Error),
    #[error("the TLS handshake with {0} failed")]
    Handshake(String, #[source] std::io::Error),
    #[error("the connection was lost")]
    Http(#[from] hyper::Error),
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the request could not be made")]
    Request(#[from] hyper::http::Error),
    #[error("the message could not be sealed")]
    Seal(#[source] EnvelopeError),
    #[error("HTTP status {status} without a Telltale message: is {host} a Telltale server?")]
    Foreign {
        status: StatusCode,
        host: String,
        #[source]
        source: EnvelopeError,
    },
}

/// What the server said.
enum Answer {
    Taken(SyncResponse),
    Refused(SyncRefusal),
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
    let mut machine = Uplink::new(config.pace, config.vehicle.clone(), config.seed);
    let mut line = Line::new(&config)?;
    let mut durable = store.watch();
    let mut critical = durable.borrow_and_update().critical;
    loop {
        tell(&machine, view);
        let due = machine.poll_timeout().unwrap_or(MonoTime(0));
        let wait = due.since(clock().mono).min(MAX_SLEEP);
        tokio::select! {
            biased;
            stop = shutdown.wait_for(|stop| *stop) => {
                // A sender that is gone means the same as its signal.
                drop(stop);
                return Ok(machine.stats());
            }
            () = sleep(wait) => {}
            changed = durable.changed() => {
                changed.map_err(|_| StoreEnded)?;
                let now = *durable.borrow_and_update();
                if now.waiting > 0 {
                    machine.handle_records(clock().mono, until == Until::Drained || now.critical > critical);
                }
                critical = now.critical;
            }
        }
        let Some(limits) = machine.poll_transmit(clock().mono) else { continue };
        if until == Until::Drained {
            store.flush().await?;
        }
        let batches = store.next_batch(limits).await?;
        if batches.is_empty() && until == Until::Drained {
            return Ok(machine.stats());
        }
        let Some(request) = machine.begin(clock(), batches) else { continue };
        tell(&machine, view);
        let answered = tokio::select! {
            biased;
            stop = shutdown.wait_for(|stop| *stop) => {
                drop(stop);
                return Ok(machine.stats());
            }
            answered = line.exchange(&request) => answered,
        };
        let trouble = match &answered {
            Ok(Answer::Taken(_)) => None,
            Ok(Answer::Refused(refusal)) => Some(format!("the server refuses: {}", refusal.message)),
            Err(error) => Some(line.explain(error)),
        };
        view.send_modify(|view| {
            view.taken_at = if trouble.is_none() { Some(clock().mono) } else { view.taken_at };
            view.trouble = trouble;
        });
        let needs_person = settle(&mut machine, &store, &clock, &mut line, answered).await?;
        if needs_person && until == Until::Drained {
            return Err(UplinkError::Refused);
        }
    }
}

fn tell(machine: &Uplink, view: &watch::Sender<UplinkView>) {
    view.send_modify(|view| {
        view.phase = machine.phase();
        view.due = machine.poll_timeout();
        view.stats = machine.stats();
    });
}

/// Carries out what an answer means; true if a person has to act.
async fn settle(
    machine: &mut Uplink,
    store: &StoreHandle,
    clock: &Clock,
    line: &mut Line,
    answered: Result<Answer, LineError>,
) -> Result<bool, StoreEnded> {
    machine.count_bytes(std::mem::take(&mut line.bytes_up), std::mem::take(&mut line.bytes_down));
    let now = clock().mono;
    match answered {
        Ok(Answer::Taken(response)) => store.ack(machine.handle_response(now, &response)).await?,
        Ok(Answer::Refused(refusal)) => match machine.handle_refusal(now, &refusal) {
            Advice::Again => {}
            Advice::NeedsPerson => return Ok(true),
            Advice::Discard { boot, lane, seq, why } => store.discard(boot, lane, seq, why).await?,
        },
        Err(error) => {
            log::warn!("sync failed: {}", line.explain(&error));
            line.sender = None;
            machine.handle_failure(now);
        }
    }
    Ok(false)
}

/// The connection, made when it is needed.
struct Line {
    host: String,
    port: u16,
    server: ServerName<'static>,
    credentials: Credentials,
    tls: TlsConnector,
    connect_timeout: Duration,
    request_timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
    bytes_up: usize,
    bytes_down: usize,
}

impl Line {
    fn new(config: &LineConfig) -> Result<Self, UplinkError> {
        let bad = || UplinkError::Address(config.url.clone());
        let uri: Uri = config.url.parse().map_err(|_| bad())?;
        let https = uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/");
        let host = uri.host().filter(|_| https).ok_or_else(bad)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let credentials = Credentials {
            ca: config.ca.clone(),
            certificate: config.certificate.clone(),
            key: config.key.clone(),
        };
        Ok(Self {
            server: ServerName::try_from(bare.clone()).map_err(|_| bad())?,
            host: bare,
            port: uri.port_u16().unwrap_or(443),
            // One configuration for all connections: it keeps the tickets that make the next handshake short.
            tls: TlsConnector::from(Arc::new(tls::client_config(&credentials)?)),
            credentials,
            connect_timeout: config.connect_timeout,
            request_timeout: config.request_timeout,
            sender: None,
            bytes_up: 0,
            bytes_down: 0,
        })
    }

    async fn exchange(&mut self, message: &SyncRequest) -> Result<Answer, LineError> {
        let body = Bytes::from(envelope::seal(message).map_err(LineError::Seal)?);
        let mut sender = match self.sender.take().filter(SendRequest::is_ready) {
            Some(sender) => sender,
            None => {
                let limit = self.connect_timeout;
                timeout(limit, self.connect()).await.map_err(|_| LineError::Timeout(limit))??
            }
        };
        self.bytes_up = body.len();
        let request = Request::post(format!("https://{}:{}{SYNC_PATH}", bracketed(&self.host), self.port))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(Full::new(body))?;
        let limit = self.request_timeout;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), HEADER_LEN + MAX_PAYLOAD);
            Ok::<_, LineError>((status, body.collect().await.map_err(LineError::Body)?.to_bytes()))
        };
        let (status, body) = timeout(limit, exchange).await.map_err(|_| LineError::Timeout(limit))??;
        self.bytes_down = body.len();
        self.sender = Some(sender);
        let foreign = |source| LineError::Foreign { status, host: self.host.clone(), source };
        if status.is_success() {
            envelope::open(&body).map(Answer::Taken).map_err(foreign)
        } else {
            envelope::open(&body).map(Answer::Refused).map_err(foreign)
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LineError> {
        let name = format!("{}:{}", bracketed(&self.host), self.port);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|e| LineError::Connect(name.clone(), e))?;
        tcp.set_nodelay(true).map_err(|e| LineError::Connect(name.clone(), e))?;
        let stream = self.tls.connect(self.server.clone(), tcp).await;
        let stream = stream.map_err(|e| LineError::Handshake(name.clone(), e))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(self.connect_timeout)
            .handshake(TokioIo::new(stream))
            .await?;
        // It ends with the sender, and its error reaches the exchange that it hits.
        tokio::spawn(async move { drop(connection.await) });
        log::info!("connected to {name}");
        Ok(sender)
    }

    /// An error with all its causes, and what to do where certificates are the cause.
    fn explain(&self, error: &LineError) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let more = source.to_string();
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            if let Some(advice) = tls::advice(source, &self.credentials) {
                text = format!("{text}; {advice}");
            }
            // An I/O error does not name the error inside it as its source.
            let inside = source.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
            cause = inside.map(|inside| inside as &(dyn StdError + 'static)).or_else(|| source.source());
        }
        text
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
