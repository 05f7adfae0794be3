//! The endpoint: HTTP/1.1, `GET /metrics`, on an address of the configuration's choice.

use super::page;
use crate::observe::Observer;
use crate::update::Depot;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::desired::Feature;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections that are served at once; more wait in the kernel's queue. About 30 kB each.
const MAX_CONNECTIONS: usize = 4;
/// A request's head has to have come by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection ends by then, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// After a refusal by the system (no descriptors) the next connection is tried this much later.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// What Prometheus asks for.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it is dropped. An agent that can't be scraped goes on judging.
///
/// While a command has switched metrics off, nobody is answered what he asks for.
pub(crate) async fn serve(address: SocketAddr, observer: Arc<Observer>, depot: Option<Arc<Depot>>) {
    if !address.ip().is_loopback() {
        log::warn!("the metrics on {address} are open to the network: they have no password and no TLS");
    }
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            log::warn!("the metrics can't be served on {address}: {error}; the agent runs without them");
            return;
        }
    };
    match listener.local_addr() {
        Ok(bound) => log::info!("metrics on http://{bound}/metrics"),
        Err(error) => log::warn!("metrics: {error}"),
    }
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (observer, depot) = (Arc::clone(&observer), depot.clone());
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION_TIMEOUT, converse(stream, observer, depot)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                log::warn!("metrics: {error}");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, observer: Arc<Observer>, depot: Option<Arc<Depot>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&observer), depot.clone()));
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = ended {
        log::debug!("metrics: a client was cut off: {error}");
    }
}

async fn answer(
    request: Request<Incoming>,
    observer: Arc<Observer>,
    depot: Option<Arc<Depot>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_off = depot.is_some_and(|depot| !depot.switches().is_on(Feature::Metrics));
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") if is_off => {
            (StatusCode::SERVICE_UNAVAILABLE, "metrics are switched off by a command of the cloud\n".into())
        }
        (&Method::GET, "/metrics") => (StatusCode::OK, page(&observer.report().await)),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET alone\n".into()),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
