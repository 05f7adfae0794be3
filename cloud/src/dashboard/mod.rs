//! The pages that people look at, and the same content as JSON for scripts. Plain HTTP, meant for this machine.
//!
//! Everything is rendered here on the server: no script runs in the browser, and the content policy would let none
//! run. Whatever text a vehicle sent reaches a page through `maud`, which escapes it.

mod buses_section;
mod chart;
mod condition_section;
mod curve;
mod drift_section;
mod estimates_section;
mod fleet_page;
mod heat_map;
mod models_page;
mod page;
mod plot;
mod rollout_page;
mod signals_section;
mod snapshot_chart;
mod snapshot_page;
mod trips_section;
mod update_section;
mod vehicle_page;

use crate::report::{FleetReport, VehicleReport};
use crate::signals::{Asked, BadRange, FleetSignalReport, SignalsReport};
use crate::snapshot::{SnapshotReport, Wanted};
use crate::store::ota::{AuditLine, ModelLine, OtaError, RolloutLine, RolloutReport};
use crate::store::{Found, Store, StoreError};
use crate::sync::{health, now};
use crate::trips::TripsReport;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use maud::Markup;
use update_section::Updates;

/// The routes of the dashboard. Unless it is public, it answers only to names of this machine.
pub(crate) fn router(store: Store, public: bool) -> Router {
    let routes = Router::new()
        .route("/", get(fleet))
        .route("/vehicle/{id}", get(vehicle))
        .route("/vehicle/{id}/snapshot/{n}", get(snapshot))
        .route("/api/vehicle/{id}/snapshot/{n}", get(snapshot_data))
        .route("/api/vehicle/{id}/signals", get(signals_json))
        .route("/api/signals/{name}", get(fleet_signal_json))
        .route("/api/vehicle/{id}/trips", get(trips_json))
        .route("/api/vehicle/{id}/trips.csv", get(trips_csv))
        .route("/models", get(models))
        .route("/model/{family}/{file}", get(model))
        .route("/rollouts", get(rollouts))
        .route("/rollout/{id}", get(rollout))
        .route("/api/models", get(models_json))
        .route("/api/model/{family}/{file}", get(model_json))
        .route("/api/rollouts", get(rollouts_json))
        .route("/api/rollout/{id}", get(rollout_json))
        .route("/api/audit", get(audit_json))
        .route("/api/vehicles", get(fleet_json))
        .route("/api/vehicle/{id}", get(vehicle_json))
        .route("/healthz", get(async |State(store): State<Store>| health(&store).await))
        .fallback(async || Failure::NotFound("there is no such page".to_owned()))
        .with_state(store)
        .layer(middleware::from_fn(secure));
    if public { routes } else { routes.layer(middleware::from_fn(from_this_machine)) }
}

async fn fleet(State(store): State<Store>, uri: Uri) -> Result<Html<String>, Failure> {
    let now = now();
    let report = store.fleet(now).await?;
    Ok(html(&fleet_page::render(&report, now, wants_reload(&uri))))
}

async fn vehicle(
    State(store): State<Store>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Html<String>, Failure> {
    let report = find(&store, &id).await?;
    let signals = store.signals(&id, Asked::default()).await?.ok_or_else(unknown)?;
    let trips = store.trips(&id, Asked::default()).await?.ok_or_else(unknown)?;
    let updates = Updates::of(&store, &id, now()).await?;
    let ahead = store.ahead(&id, now()).await?;
    let sections =
        vehicle_page::Sections { signals: &signals, trips: &trips, updates: &updates, ahead: ahead.as_ref() };
    Ok(html(&vehicle_page::render(&report, &sections, now(), wants_reload(&uri))))
}

async fn models(State(store): State<Store>, uri: Uri) -> Result<Html<String>, Failure> {
    Ok(html(&models_page::list(&store.models().await?, now(), wants_reload(&uri))))
}

async fn model(
    State(store): State<Store>,
    Path((family, file)): Path<(String, String)>,
    uri: Uri,
) -> Result<Html<String>, Failure> {
    let model = store.model(&format!("{family}/{file}")).await?;
    Ok(html(&models_page::one(&model, now(), wants_reload(&uri))))
}

async fn rollouts(State(store): State<Store>, uri: Uri) -> Result<Html<String>, Failure> {
    Ok(html(&rollout_page::list(&store.rollouts(now()).await?, now(), wants_reload(&uri))))
}

async fn rollout(
    State(store): State<Store>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Html<String>, Failure> {
    let report = find_rollout(&store, &id).await?;
    Ok(html(&rollout_page::one(&report, now(), wants_reload(&uri))))
}

async fn models_json(State(store): State<Store>) -> Result<Json<Vec<ModelLine>>, Failure> {
    Ok(Json(store.models().await?))
}

async fn model_json(
    State(store): State<Store>,
    Path((family, file)): Path<(String, String)>,
) -> Result<Json<ModelLine>, Failure> {
    Ok(Json(store.model(&format!("{family}/{file}")).await?))
}

async fn rollouts_json(State(store): State<Store>) -> Result<Json<Vec<RolloutLine>>, Failure> {
    Ok(Json(store.rollouts(now()).await?))
}

async fn rollout_json(
    State(store): State<Store>,
    Path(id): Path<String>,
) -> Result<Json<RolloutReport>, Failure> {
    Ok(Json(find_rollout(&store, &id).await?))
}

async fn audit_json(State(store): State<Store>) -> Result<Json<Vec<AuditLine>>, Failure> {
    Ok(Json(store.audit().await?))
}

async fn find_rollout(store: &Store, id: &str) -> Result<RolloutReport, Failure> {
    let id = id.parse().map_err(|_| Failure::NotFound("a rollout has a number".to_owned()))?;
    Ok(store.rollout(id, now()).await?)
}

async fn fleet_json(State(store): State<Store>) -> Result<Json<FleetReport>, Failure> {
    Ok(Json(store.fleet(now()).await?))
}

async fn vehicle_json(
    State(store): State<Store>,
    Path(id): Path<String>,
) -> Result<Json<VehicleReport>, Failure> {
    Ok(Json(find(&store, &id).await?))
}

/// The statistics of a vehicle's signals over a range.
async fn signals_json(
    State(store): State<Store>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<SignalsReport>, Failure> {
    let asked = Asked::of(uri.query())?;
    Ok(Json(store.signals(&id, asked).await?.ok_or_else(unknown)?))
}

/// The trips of a vehicle that start in a range, all without one.
async fn trips_json(
    State(store): State<Store>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<TripsReport>, Failure> {
    Ok(Json(find_trips(&store, &id, &uri).await?))
}

/// The same as CSV.
async fn trips_csv(
    State(store): State<Store>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let report = find_trips(&store, &id, &uri).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"trips.csv\""),
    ];
    Ok((headers, report.csv()).into_response())
}

async fn find_trips(store: &Store, id: &str, uri: &Uri) -> Result<TripsReport, Failure> {
    store.trips(id, Asked::of(uri.query())?).await?.ok_or_else(unknown)
}

/// One signal over the fleet and a range.
async fn fleet_signal_json(
    State(store): State<Store>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<FleetSignalReport>, Failure> {
    Ok(Json(store.fleet_signal(&name, Asked::of(uri.query())?, now()).await?))
}

/// The page of a snapshot. The chart takes some signals, the table all.
async fn snapshot(
    State(store): State<Store>,
    Path((id, n)): Path<(String, String)>,
    uri: Uri,
) -> Result<Html<String>, Failure> {
    Ok(html(&match find_snapshot(&store, &id, &n, &Wanted::default()).await? {
        Found::Snapshot(report) => snapshot_page::render(&id, &report, &Wanted::of(uri.query()), now()),
        Found::TooMany(line) => snapshot_page::too_large(&id, &line, now()),
        Found::Nothing => return Err(no_snapshot()),
    }))
}

/// The samples of a snapshot, as JSON or, by `.csv` behind its number, as CSV.
async fn snapshot_data(
    State(store): State<Store>,
    Path((id, n)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let (n, is_csv) = match n.strip_suffix(".csv") {
        Some(n) => (n, true),
        None => (n.strip_suffix(".json").unwrap_or(&n), false),
    };
    let report: SnapshotReport = match find_snapshot(&store, &id, n, &Wanted::of(uri.query())).await? {
        Found::Snapshot(report) => report,
        Found::TooMany(_) => return Err(Failure::TooMany),
        Found::Nothing => return Err(no_snapshot()),
    };
    if !is_csv {
        return Ok(Json(report).into_response());
    }
    let name = format!("attachment; filename=\"snapshot-{}.csv\"", report.line.n);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, &name)];
    Ok((headers, report.csv()).into_response())
}

async fn find_snapshot(store: &Store, id: &str, n: &str, wanted: &Wanted) -> Result<Found, Failure> {
    let Ok(n) = n.parse() else { return Ok(Found::Nothing) };
    Ok(store.snapshot(id, n, wanted).await?)
}

fn no_snapshot() -> Failure {
    Failure::NotFound("that vehicle has no snapshot of that number".to_owned())
}

async fn find(store: &Store, id: &str) -> Result<VehicleReport, Failure> {
    store.vehicle(id).await?.ok_or_else(unknown)
}

fn unknown() -> Failure {
    Failure::NotFound("no vehicle of that id has ever called".to_owned())
}

/// `?live` asks for a page that loads itself again.
fn wants_reload(uri: &Uri) -> bool {
    uri.query() == Some("live")
}

fn html(markup: &Markup) -> Html<String> {
    Html(markup.0.clone())
}

enum Failure {
    NotFound(String),
    Asked(BadRange),
    TooMany,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OtaError> for Failure {
    fn from(error: OtaError) -> Self {
        match error {
            OtaError::Refused(why) => Self::NotFound(why),
            OtaError::Store(error) => Self::Store(error),
        }
    }
}

impl From<BadRange> for Failure {
    fn from(error: BadRange) -> Self {
        Self::Asked(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Self::Asked(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::TooMany => {
                let most = crate::snapshot::MAX_SAMPLES;
                let message =
                    format!("more than {most} samples: choose signals by ?signals=PATH, which may end in *");
                (StatusCode::PAYLOAD_TOO_LARGE, message)
            }
            Self::Store(error) => {
                log::error!("a page could not be read: {error}");
                (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer now: try again".to_owned())
            }
        };
        (status, html(&page::message(status.as_u16(), &message))).into_response()
    }
}

/// What the browser may do with a page: show it, with its own style, and nothing else.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(page::content_policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page on the web can point a name of its own at 127.0.0.1 and read what answers there (DNS rebinding). The
/// browser then sends that name, so only this machine's own names are answered.
async fn from_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    match host {
        Some(host) if !is_this_machine(host) => {
            let message = "the dashboard answers only to localhost here\n";
            (StatusCode::MISDIRECTED_REQUEST, message).into_response()
        }
        // Browsers always name the host; what names none is a script on this machine.
        Some(_) | None => next.run(request).await,
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for good in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9", "[::1]"] {
            assert!(is_this_machine(good), "{good}");
        }
        for bad in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "[::2]:80"] {
            assert!(!is_this_machine(bad), "{bad}");
        }
    }
}
