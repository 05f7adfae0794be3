//! Where updates come from: the server, over the uplink's connection, or a USB stick that somebody brought. Nothing that
//! comes either way is believed: `telltale-trust` says what it is worth.

use super::repositories;
use crate::uplink::{Courier, CourierError};
use std::sync::Arc;
use telltale_trust::{FetchError, Stick, Transport};
use telltale_wire::bundle::{Chunk, IndexPath};

/// A source.
#[derive(Clone)]
pub(super) enum Source {
    /// The server.
    Line(Courier),
    /// A folder laid out as the server's paths are.
    Stick(Stick),
}

impl Source {
    /// The director's metadata.
    pub(super) fn director(&self) -> Arc<dyn Transport> {
        match self {
            Source::Line(courier) => repositories::director(courier),
            Source::Stick(stick) => stick.director(),
        }
    }

    /// The image repository's.
    pub(super) fn image(&self) -> Arc<dyn Transport> {
        match self {
            Source::Line(courier) => repositories::image(courier),
            Source::Stick(stick) => stick.image(),
        }
    }

    /// An index, still to be verified; `None` if there is none.
    pub(super) async fn index(&self, path: &IndexPath) -> Result<Option<Vec<u8>>, CourierError> {
        match self {
            Source::Line(courier) => repositories::index(courier, path).await,
            Source::Stick(stick) => stick.index(path).map_err(of_a_stick),
        }
    }

    /// The file of commands, likewise.
    pub(super) async fn desired_state(&self) -> Result<Option<Vec<u8>>, CourierError> {
        match self {
            Source::Line(courier) => repositories::desired_state(courier).await,
            Source::Stick(stick) => stick.desired_state().map_err(of_a_stick),
        }
    }

    /// A chunk, likewise.
    pub(super) async fn chunk(&self, chunk: &Chunk) -> Result<Option<Vec<u8>>, CourierError> {
        match self {
            Source::Line(courier) => repositories::chunk(courier, chunk).await,
            Source::Stick(stick) => stick.chunk(chunk).map_err(of_a_stick),
        }
    }
}

fn of_a_stick(error: FetchError) -> CourierError {
    match error {
        FetchError::TooLong { limit } => CourierError::TooLong(limit),
        other => CourierError::Line(other.to_string()),
    }
}
