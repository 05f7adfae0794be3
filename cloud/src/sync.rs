//! `POST /v1/sync`: from a request's bytes to an acknowledgement, or to a refusal that says why.
//!
//! The order is the argument: the certificate first, then the size, then the envelope, then the vehicle's name, then
//! the limits, then the database. An acknowledgement is built from what a committed transaction returned, and from
//! nothing else.

use crate::director::Director;
use crate::identity::IdentityError;
use crate::server::Limits;
use crate::store::{Ingested, Store, StoreError};
use crate::tls::Verifier;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telltale_wire::envelope::{self, EnvelopeError, HEADER_LEN, Message};
use telltale_wire::ids::VehicleId;
use telltale_wire::sync::{
    CONTENT_TYPE, MAX_BATCHES, MAX_RECORDS, RefusalCode, SYNC_PATH, SyncRefusal, SyncRequest, SyncResponse,
};
use telltale_wire::time::WallTime;
use tokio::sync::Semaphore;

/// Requests that may be in hand at once: each holds a body of at most [`Limits::max_body`], so 64 MiB by default.
const REQUESTS_IN_HAND: usize = 64;

/// How long a vehicle is asked to wait when the server cannot store now.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The certificates as presented, leaf first.
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// The vehicle that the leaf names.
    pub(crate) vehicle: Result<VehicleId, IdentityError>,
}

/// The routes of the vehicle listener.
pub(crate) fn router(store: Store, verifier: Verifier, director: Option<Director>, limits: Limits) -> Router {
    let desk = Desk { store, verifier, director, limits, in_hand: Semaphore::new(REQUESTS_IN_HAND) };
    Router::new()
        .route(SYNC_PATH, post(sync))
        .route("/healthz", get(async |State(desk): State<Arc<Desk>>| health(&desk.store).await))
        .with_state(Arc::new(desk))
}

/// Whether the database answers.
pub(crate) async fn health(store: &Store) -> Response {
    match store.check().await {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(error) => {
            log::error!("health check: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

/// The server's time.
pub(crate) fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

struct Desk {
    store: Store,
    verifier: Verifier,
    director: Option<Director>,
    limits: Limits,
    in_hand: Semaphore,
}

/// A refusal: what the vehicle is told.
struct Refusal {
    code: RefusalCode,
    message: String,
    retry_after: Duration,
}

impl Refusal {
    fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: Duration::ZERO }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self { code: RefusalCode::Unavailable, message: message.into(), retry_after: RETRY_AFTER }
    }

    const fn status(&self) -> StatusCode {
        match self.code {
            RefusalCode::Malformed => StatusCode::BAD_REQUEST,
            RefusalCode::NotThisVehicle => StatusCode::FORBIDDEN,
            RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RefusalCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            RefusalCode::NewerProtocol => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }
}

async fn sync(State(desk): State<Arc<Desk>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    match desk.serve(&peer, request.into_body()).await {
        Ok(response) => sealed(StatusCode::OK, &response),
        Err(refusal) => {
            let who = peer.vehicle.as_ref().map_or("a certificate without a vehicle", VehicleId::as_str);
            log::warn!("{who}: refused, {}", refusal.message);
            refuse(&refusal)
        }
    }
}

impl Desk {
    async fn serve(&self, peer: &Peer, body: Body) -> Result<SyncResponse, Refusal> {
        let vehicle = self.admit(peer)?;
        let _place = tokio::time::timeout(self.limits.patience, self.in_hand.acquire())
            .await
            .map_err(|_| Refusal::unavailable("the server has too many requests in hand"))?;
        let bytes = self.receive(body).await?;
        let request: SyncRequest = envelope::open(&bytes).map_err(unopened)?;
        drop(bytes);
        check(&request, vehicle)?;
        let done = self.store.ingest(&request, now()).await.map_err(|error| unstored(vehicle, &error))?;
        report(vehicle, &done);
        Ok(SyncResponse {
            acks: done.acks,
            server_time: now(),
            desired_state: self.desired(vehicle).await,
            retry_after_ms: 0,
            batch_limit: u32::try_from(self.limits.max_body - HEADER_LEN).unwrap_or(u32::MAX),
        })
    }

    /// The version of what the vehicle is to have. The records are stored: that it can't be said now is no reason to let
    /// them come again, and the vehicle asks again with its next request.
    async fn desired(&self, vehicle: &VehicleId) -> u64 {
        let Some(director) = &self.director else { return 0 };
        match director.version(vehicle, now()).await {
            Ok(version) => version,
            Err(error) => {
                log::error!("{vehicle}: what it is to have can't be signed: {error}");
                director.last_version(vehicle).await
            }
        }
    }

    fn admit<'a>(&self, peer: &'a Peer) -> Result<&'a VehicleId, Refusal> {
        let not_you = |message: String| Refusal::new(RefusalCode::NotThisVehicle, message);
        self.verifier.check(&peer.chain).map_err(|error| {
            not_you(format!("the client certificate is no longer good ({error}): enroll again"))
        })?;
        peer.vehicle.as_ref().map_err(|error| not_you(error.to_string()))
    }

    async fn receive(&self, body: Body) -> Result<Vec<u8>, Refusal> {
        let limit = self.limits.max_body;
        let collect = Limited::new(body, limit).collect();
        match tokio::time::timeout(self.limits.body_timeout, collect).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes().into()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::new(
                RefusalCode::TooLarge,
                format!("the request is over the limit of {limit} bytes"),
            )),
            Ok(Err(error)) => {
                Err(Refusal::new(RefusalCode::Malformed, format!("the request broke off: {error}")))
            }
            Err(_) => Err(Refusal::unavailable("the request took too long to arrive")),
        }
    }
}

fn check(request: &SyncRequest, vehicle: &VehicleId) -> Result<(), Refusal> {
    if request.vehicle != *vehicle {
        let message = format!("the certificate is {vehicle}'s, the request {}'s", request.vehicle);
        return Err(Refusal::new(RefusalCode::NotThisVehicle, message));
    }
    let batches = request.batches.len();
    if batches > MAX_BATCHES {
        let message = format!("{batches} batches are over the limit of {MAX_BATCHES}");
        return Err(Refusal::new(RefusalCode::TooLarge, message));
    }
    let records: usize = request.batches.iter().map(|batch| batch.records.len()).sum();
    if records > MAX_RECORDS {
        let message = format!("{records} records are over the limit of {MAX_RECORDS}");
        return Err(Refusal::new(RefusalCode::TooLarge, message));
    }
    Ok(())
}

fn unopened(error: EnvelopeError) -> Refusal {
    let code = match error {
        EnvelopeError::NewerProtocol { .. } => RefusalCode::NewerProtocol,
        EnvelopeError::TooLong { .. } => RefusalCode::TooLarge,
        EnvelopeError::NotAnEnvelope
        | EnvelopeError::OtherKind { .. }
        | EnvelopeError::DigestMismatch
        | EnvelopeError::Malformed(_) => RefusalCode::Malformed,
    };
    Refusal::new(code, error.to_string())
}

/// What the vehicle hears of the database. The cause stays in the server's log.
fn unstored(vehicle: &VehicleId, error: &StoreError) -> Refusal {
    match error {
        StoreError::Revoked(_) => Refusal::new(RefusalCode::NotThisVehicle, error.to_string()),
        StoreError::Unstorable(_) => Refusal::new(RefusalCode::Malformed, error.to_string()),
        StoreError::Busy => Refusal::unavailable("the database is busy"),
        StoreError::Open { .. } | StoreError::NewerSchema { .. } | StoreError::Failed(_) => {
            log::error!(
                "{vehicle}: not stored: {error}: {}",
                std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
            );
            Refusal::unavailable("the server cannot store now")
        }
    }
}

fn report(vehicle: &VehicleId, done: &Ingested) {
    let Ingested { stored, duplicates, conflicts, .. } = done;
    log::info!("{vehicle}: {stored} records stored, {duplicates} known already, {conflicts} in conflict");
}

fn refuse(refusal: &Refusal) -> Response {
    let retry_after_ms = u32::try_from(refusal.retry_after.as_millis()).unwrap_or(u32::MAX);
    let message = SyncRefusal { code: refusal.code, message: refusal.message.clone(), retry_after_ms };
    let mut response = sealed(refusal.status(), &message);
    if !refusal.retry_after.is_zero() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(refusal.retry_after.as_secs()));
    }
    response
}

fn sealed<M: Message>(status: StatusCode, message: &M) -> Response {
    match envelope::seal(message) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], bytes).into_response(),
        Err(error) => {
            log::error!("an answer could not be sealed: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
