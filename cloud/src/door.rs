//! Connections: accept, shake hands, serve HTTP, let go. Every wait here ends by itself, and their number is bounded.

use crate::identity;
use crate::server::Limits;
use crate::sync::Peer;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Streams that one HTTP/2 connection may have open. A vehicle needs one; a second covers a late cancellation.
const STREAMS: u32 = 4;
/// Bytes of headers that are read.
const MAX_HEADERS: u32 = 16 * 1024;
/// How often a silent HTTP/2 connection is asked for a sign of life. Each asking costs a vehicle some 200 bytes.
const PING_INTERVAL: Duration = Duration::from_secs(300);
/// How long the sign may take, on a slow mobile link.
const PING_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One listener with what it serves.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// Present on the vehicles' side.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
}

impl Door {
    /// Serves until `stop` turns true or its sender is gone, then lets running requests finish for a while.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let seats = Arc::new(Semaphore::new(self.limits.max_connections));
        let open = GracefulShutdown::new();
        loop {
            // A full house waits for a seat, and newcomers wait in the kernel's queue.
            let next = async {
                let seat = Arc::clone(&seats).acquire_owned().await;
                (seat, self.listener.accept().await)
            };
            let (seat, accepted) = tokio::select! {
                next = next => next,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let visit = Visit { tls: self.tls.clone(), router: self.router.clone(), limits: self.limits };
            let watcher = open.watcher();
            tokio::spawn(async move {
                if let Err(error) = visit.serve(stream, watcher).await {
                    log::debug!("{address}: {error}");
                }
                drop(seat);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(self.limits.drain, open.shutdown()).await.is_err() {
            log::warn!("connections that did not finish within {:?} are cut", self.limits.drain);
        }
    }
}

/// One connection.
struct Visit {
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
}

impl Visit {
    async fn serve(
        self,
        stream: TcpStream,
        watcher: Watcher,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return self.http(stream, self.router.clone(), watcher).await;
        };
        let address = stream.peer_addr()?;
        let handshake = tokio::time::timeout(self.limits.handshake_timeout, tls.accept(stream)).await;
        let stream = handshake?.inspect_err(|error| handshake_failed(address, error))?;
        let chain: Arc<[_]> = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec().into();
        let leaf = chain.first().ok_or("the handshake gave no client certificate")?;
        let peer = Peer { vehicle: identity::vehicle_of(leaf), chain: Arc::clone(&chain) };
        self.http(stream, self.router.clone().layer(Extension(peer)), watcher).await
    }

    async fn http<S>(
        &self,
        stream: S,
        router: Router,
        watcher: Watcher,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.header_timeout);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        watcher.watch(connection.into_owned()).await
    }
}

/// The usual reasons are worth a line: a vehicle without a certificate, with an expired one, or of another fleet.
fn handshake_failed(address: SocketAddr, error: &io::Error) {
    log::warn!("{address}: the TLS handshake failed: {error}");
}
