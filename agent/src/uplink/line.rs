//! The connection: made when it is needed, metered, for syncs and for what else goes over it.

use super::meter::{Meter, Metered};
use super::{LineConfig, UplinkError};
use crate::tls::{self, Credentials};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::envelope::{self, EnvelopeError, HEADER_LEN, MAX_PAYLOAD};
use telltale_wire::sync::{CONTENT_TYPE, SYNC_PATH, SyncRefusal, SyncResponse};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A ping after this long without a sign of the server finds lines that died in silence.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The longest answer to what was given to the server, in bytes: a line of text.
const MAX_WORD: usize = 1_024;

/// Why one exchange failed.
#[derive(Debug, Error)]
pub(super) enum LineError {
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
pub(super) enum Answer {
    Taken(SyncResponse),
    Refused(SyncRefusal),
}

/// The connection, made when it is needed.
pub(super) struct Line {
    host: String,
    port: u16,
    server: ServerName<'static>,
    credentials: Credentials,
    tls: TlsConnector,
    connect_timeout: Duration,
    request_timeout: Duration,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
    pub(super) meter: Arc<Meter>,
}

impl Line {
    pub(super) fn new(config: &LineConfig) -> Result<Self, UplinkError> {
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
            sender: Mutex::new(None),
            meter: Arc::new(Meter::default()),
        })
    }

    pub(super) async fn exchange(&self, body: Bytes) -> Result<Answer, LineError> {
        let request = Request::post(self.url(SYNC_PATH))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(Full::new(body))?;
        let (status, body) = self.send(request, HEADER_LEN + MAX_PAYLOAD).await?;
        let foreign = |source| LineError::Foreign { status, host: self.host.clone(), source };
        if status.is_success() {
            envelope::open(&body).map(Answer::Taken).map_err(foreign)
        } else {
            envelope::open(&body).map(Answer::Refused).map_err(foreign)
        }
    }

    /// What stands at a path of the server, if that has at most so many bytes.
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<(StatusCode, Bytes), LineError> {
        self.send(Request::get(self.url(path)).body(Full::new(Bytes::new()))?, most).await
    }

    /// Gives the server what is to stand at a path of it.
    pub(super) async fn put(&self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), LineError> {
        self.send(Request::put(self.url(path)).body(Full::new(body))?, MAX_WORD).await
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", bracketed(&self.host), self.port)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), LineError> {
        let mut sender = self.sender().await?;
        let limit = self.request_timeout;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), most);
            Ok::<_, LineError>((status, body.collect().await.map_err(LineError::Body)?.to_bytes()))
        };
        timeout(limit, exchange).await.map_err(|_| LineError::Timeout(limit))?
    }

    /// A way into the connection, which is made if there is none.
    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, LineError> {
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| sender.is_ready()) {
            return Ok(sender.clone());
        }
        let limit = self.connect_timeout;
        let sender = timeout(limit, self.connect()).await.map_err(|_| LineError::Timeout(limit))??;
        *held = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LineError> {
        let name = format!("{}:{}", bracketed(&self.host), self.port);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|e| LineError::Connect(name.clone(), e))?;
        tcp.set_nodelay(true).map_err(|e| LineError::Connect(name.clone(), e))?;
        let metered = Metered::new(tcp, Arc::clone(&self.meter));
        let stream = self.tls.connect(self.server.clone(), metered).await;
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

    /// Gives the connection up; the next exchange makes another.
    pub(super) async fn hang_up(&self) {
        *self.sender.lock().await = None;
    }

    /// An error with all its causes, and what to do where certificates are the cause.
    pub(super) fn explain(&self, error: &LineError) -> String {
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
