//! Carries other requests over the uplink's connection, for whoever needs something of the server besides syncing. What
//! it carries is metered with the rest, and so counts in the byte budget.

use super::line::{Line, LineError};
use http_body_util::LengthLimitError;
use hyper::StatusCode;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Handle;

/// A way to the server, for any thread. Clones share one connection.
#[derive(Clone)]
pub struct Courier {
    line: Arc<Line>,
    /// The runtime that the connection lives on.
    home: Handle,
}

/// Why nothing was brought.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CourierError {
    /// The line failed. Trying again later may help.
    #[error("{0}")]
    Line(String),
    /// There is more than was asked for.
    #[error("the server sends more than {0} bytes")]
    TooLong(usize),
    /// The server refuses it.
    #[error("the server answers {0}")]
    Status(u16),
}

impl Courier {
    /// To be called on the runtime that the line is to live on.
    pub(super) fn new(line: &Arc<Line>) -> Courier {
        Courier { line: Arc::clone(line), home: Handle::current() }
    }

    /// What stands at a path of the server; `None` if there is nothing (404).
    ///
    /// # Errors
    /// [`CourierError`].
    pub async fn get(&self, path: &str, most: usize) -> Result<Option<Vec<u8>>, CourierError> {
        let (line, path) = (Arc::clone(&self.line), path.to_owned());
        let fetched = self.home.spawn(async move {
            let fetched = line.get(&path, most).await;
            brought(&line, fetched, most).await
        });
        match fetched.await {
            Ok(Ok((StatusCode::OK, body))) => Ok(Some(body.into())),
            Ok(Ok((StatusCode::NOT_FOUND, _))) => Ok(None),
            Ok(Ok((status, _))) => Err(CourierError::Status(status.as_u16())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ended()),
        }
    }

    /// Gives the server what is to stand at a path of it. To do it twice is to do it once.
    ///
    /// # Errors
    /// [`CourierError`]; [`CourierError::Status`] for every answer but one of success.
    pub async fn put(&self, path: &str, body: Vec<u8>) -> Result<(), CourierError> {
        let (line, path) = (Arc::clone(&self.line), path.to_owned());
        let given = self.home.spawn(async move {
            let given = line.put(&path, body.into()).await;
            brought(&line, given, 0).await
        });
        match given.await {
            Ok(Ok((status, _))) if status.is_success() => Ok(()),
            Ok(Ok((status, _))) => Err(CourierError::Status(status.as_u16())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ended()),
        }
    }
}

/// What an exchange came to. Whatever happened, the next request is not to wait for a connection that died in silence.
async fn brought<T>(line: &Line, outcome: Result<T, LineError>, most: usize) -> Result<T, CourierError> {
    if outcome.is_err() {
        line.hang_up().await;
    }
    outcome.map_err(|error| {
        let too_long = error.source().is_some_and(|source| source.is::<LengthLimitError>());
        if too_long { CourierError::TooLong(most) } else { CourierError::Line(line.explain(&error)) }
    })
}

fn ended() -> CourierError {
    CourierError::Line("the uplink has ended".into())
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Courier")
    }
}

/// Two are the same if they share a connection.
impl PartialEq for Courier {
    fn eq(&self, other: &Courier) -> bool {
        Arc::ptr_eq(&self.line, &other.line)
    }
}

impl Eq for Courier {}
