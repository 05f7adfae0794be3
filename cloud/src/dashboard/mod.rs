//! The pages that people look at, and the same content as JSON for scripts.

use crate::report::{FleetReport, VehicleReport};
use crate::store::{Store, StoreError};
use crate::sync::{health, now};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

pub(crate) fn router(store: Store, _public: bool) -> Router {
    Router::new()
        .route("/api/vehicles", get(vehicles_json))
        .route("/api/vehicle/{id}", get(vehicle_json))
        .route("/healthz", get(async |State(store): State<Store>| health(&store).await))
        .with_state(store)
}

struct Failed(StoreError);
impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}
impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        log::error!("a page could not be read: {:?}", self.0);
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer now: try again\n").into_response()
    }
}

async fn vehicles_json(State(store): State<Store>) -> Result<Json<FleetReport>, Failed> {
    Ok(Json(store.fleet(now()).await?))
}

async fn vehicle_json(
    State(store): State<Store>,
    Path(id): Path<String>,
) -> Result<Result<Json<VehicleReport>, StatusCode>, Failed> {
    Ok(store.vehicle(&id).await?.map(Json).ok_or(StatusCode::NOT_FOUND))
}
