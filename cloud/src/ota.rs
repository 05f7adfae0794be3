//! `/v1/ota/...`: what vehicles fetch of updates, over the same mutual TLS as the sync.
//!
//! An index and a chunk are named by what is in them, and the vehicle checks both against signed metadata: this room
//! only has to find them, bound the questions, and answer the vehicle that its certificate names.

use crate::director::{Director, DirectorError};
use crate::identity::IdentityError;
use crate::store::ota::{Introduced, OtaError};
use crate::store::{Store, StoreError};
use crate::sync::{Peer, now};
use crate::tls::Verifier;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use std::sync::Arc;
use telltale_seal::RecipientKey;
use telltale_wire::bundle::IndexPath;
use telltale_wire::ids::VehicleId;

/// The media type of metadata.
const JSON: &str = "application/json";
/// The media type of an index, a chunk and the desired state.
const BYTES: &str = "application/octet-stream";

/// The longest body that a vehicle gives here, in bytes: a public key in hexadecimal digits.
const MAX_BODY: usize = 64;

/// The routes.
pub(crate) fn router(store: Store, verifier: Verifier, director: Option<Director>) -> Router {
    Router::new()
        .route("/v1/ota/director/{file}", get(director_file))
        .route("/v1/ota/image/{file}", get(image_file))
        .route("/v1/ota/index/{family}/{file}", get(index))
        .route("/v1/ota/chunk/{digest}", get(chunk))
        .route("/v1/ota/sealing-key", put(sealing_key))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Office { store, verifier, director }))
}

struct Office {
    store: Store,
    verifier: Verifier,
    director: Option<Director>,
}

/// Why a vehicle gets nothing: a status and a line of text.
pub(crate) enum Denied {
    /// The certificate is not good, or no longer.
    Certificate(String),
    /// There is no such thing.
    NotFound(&'static str),
    /// What the vehicle gives is not what it should be.
    Malformed(String),
    /// It contradicts what is known.
    Conflict(&'static str),
    /// The server can't now.
    Unavailable,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::Certificate(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, format!("{what}\n")).into_response(),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
            Self::Conflict(why) => (StatusCode::CONFLICT, format!("{why}\n")).into_response(),
            Self::Unavailable => {
                let retry = [(header::RETRY_AFTER, "5")];
                (StatusCode::SERVICE_UNAVAILABLE, retry, "the server can't answer now\n").into_response()
            }
        }
    }
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        log::error!("over the air: {error}");
        Self::Unavailable
    }
}

impl From<OtaError> for Denied {
    fn from(error: OtaError) -> Self {
        log::error!("over the air: {error}");
        Self::Unavailable
    }
}

impl From<DirectorError> for Denied {
    fn from(error: DirectorError) -> Self {
        log::error!("the director: {error}");
        Self::Unavailable
    }
}

impl From<&IdentityError> for Denied {
    fn from(error: &IdentityError) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl Office {
    /// Who asks. A connection can outlive its certificate and the vehicle's good name.
    async fn admit<'a>(&self, peer: &'a Peer) -> Result<&'a VehicleId, Denied> {
        let not_good = |error| Denied::Certificate(format!("the client certificate is not good: {error}"));
        self.verifier.check(&peer.chain).map_err(not_good)?;
        let vehicle = peer.vehicle.as_ref().map_err(Denied::from)?;
        if self.store.is_revoked(vehicle).await? {
            return Err(Denied::Certificate(format!("vehicle {vehicle} is revoked")));
        }
        Ok(vehicle)
    }

    fn director(&self) -> Result<&Director, Denied> {
        self.director.as_ref().ok_or(Denied::NotFound("this server has no repository: it updates no vehicle"))
    }
}

/// The director's metadata for the vehicle that asks.
async fn director_file(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    Path(file): Path<String>,
) -> Result<Response, Denied> {
    let vehicle = office.admit(&peer).await?;
    let body = office.director()?.file(vehicle, &file, now()).await?;
    let kind = if file.ends_with(".json") { JSON } else { BYTES };
    found(body, kind)
}

/// The image repository's metadata, the same for all.
async fn image_file(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    Path(file): Path<String>,
) -> Result<Response, Denied> {
    office.admit(&peer).await?;
    found(office.director()?.image(&file).await?, JSON)
}

fn found(body: Option<Vec<u8>>, kind: &'static str) -> Result<Response, Denied> {
    let body = body.ok_or(Denied::NotFound("there is no such file"))?;
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

async fn index(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    Path((family, file)): Path<(String, String)>,
) -> Result<Response, Denied> {
    office.admit(&peer).await?;
    let none = Denied::NotFound("there is no such index");
    let Ok(path) = format!("{family}/{file}").parse::<IndexPath>() else { return Err(none) };
    let body = office.store.index(&path.to_string()).await?.ok_or(none)?;
    Ok(([(header::CONTENT_TYPE, BYTES)], body).into_response())
}

async fn chunk(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    Path(digest): Path<String>,
) -> Result<Response, Denied> {
    office.admit(&peer).await?;
    let none = Denied::NotFound("there is no such chunk");
    let Ok(digest) = crate::cli::digest(&digest) else { return Err(none) };
    let body = office.store.chunk(&digest).await?.ok_or(none)?;
    Ok(([(header::CONTENT_TYPE, BYTES)], body).into_response())
}

/// The public half of the vehicle's sealing key: the first is taken, and stays until a person forgets it.
async fn sealing_key(
    State(office): State<Arc<Office>>,
    Extension(peer): Extension<Peer>,
    body: String,
) -> Result<&'static str, Denied> {
    let vehicle = office.admit(&peer).await?;
    let key: RecipientKey = body.trim().parse().map_err(|error| Denied::Malformed(format!("{error}")))?;
    match office.store.introduce(vehicle, &key, now()).await? {
        Introduced::Taken => Ok("taken\n"),
        Introduced::Known => Ok("known\n"),
        Introduced::Other => {
            log::error!("{vehicle} tells another sealing key than the one that is known of it: {key}");
            Err(Denied::Conflict(
                "another sealing key of this vehicle is known: telltale-cloud vehicle forget-key",
            ))
        }
    }
}
