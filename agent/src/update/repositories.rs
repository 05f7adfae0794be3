//! The server's two repositories, its indexes and its chunks, over the uplink's connection. Nothing that comes this way
//! is believed: `telltale-trust` says what it is worth.

use crate::uplink::{Courier, CourierError};
use std::sync::Arc;
use telltale_seal::RecipientKey;
use telltale_trust::{FetchError, Fetched, Transport};
use telltale_wire::bundle::{Chunk, IndexPath, MAX_INDEX};
use telltale_wire::desired;

const ROOT: &str = "/v1/ota";

/// The metadata of one repository.
struct Metadata {
    courier: Courier,
    repository: &'static str,
}

impl Transport for Metadata {
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a> {
        Box::pin(async move {
            let path = format!("{ROOT}/{}/{name}", self.repository);
            self.courier.get(&path, limit).await.map_err(|error| match error {
                CourierError::TooLong(limit) => FetchError::TooLong { limit },
                other => FetchError::Failed(other.to_string()),
            })
        })
    }
}

/// The server's director, or its image repository.
pub(super) fn director(courier: &Courier) -> Arc<dyn Transport> {
    Arc::new(Metadata { courier: courier.clone(), repository: "director" })
}

/// Likewise.
pub(super) fn image(courier: &Courier) -> Arc<dyn Transport> {
    Arc::new(Metadata { courier: courier.clone(), repository: "image" })
}

/// An index, still to be verified; `None` if the server has none.
pub(super) async fn index(courier: &Courier, path: &IndexPath) -> Result<Option<Vec<u8>>, CourierError> {
    courier.get(&format!("{ROOT}/index/{path}"), MAX_INDEX).await
}

/// The file of commands, likewise.
pub(super) async fn desired_state(courier: &Courier) -> Result<Option<Vec<u8>>, CourierError> {
    courier.get(&format!("{ROOT}/director/{}", desired::TARGET), desired::MAX_LEN).await
}

/// Tells the server the public half of this vehicle's sealing key.
pub(super) async fn introduce(courier: &Courier, key: &RecipientKey) -> Result<(), CourierError> {
    courier.put(&format!("{ROOT}/sealing-key"), key.to_string().into_bytes()).await
}

/// A chunk, likewise.
pub(super) async fn chunk(courier: &Courier, chunk: &Chunk) -> Result<Option<Vec<u8>>, CourierError> {
    courier.get(&format!("{ROOT}/chunk/{}", chunk.digest.to_hex()), chunk.length).await
}
