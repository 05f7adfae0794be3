//! Asking the agent, from another process.

use super::{Answer, Request};
use serde_json::Value;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A reload reads models, which takes a slow machine a while.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read: the status of the most signals is under 1 MB.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no agent listens on {}: check that `telltale run` is up, and that its configuration names this socket", .0.display()
    )]
    NobodyThere(PathBuf),
    /// The socket is not for this user.
    #[error("{} is not open to this user: use the agent's own user or group, or root", .0.display())]
    NotAllowed(PathBuf),
    /// The line broke.
    #[error("asking the agent on {} failed", .path.display())]
    Line {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What came is no answer.
    #[error("what answers on {} is no telltale agent of this version", .path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// The agent said no.
    #[error("the agent says: {0}")]
    Refused(String),
}

/// Asks the agent that listens on `path`.
///
/// # Errors
/// [`AskError`].
pub fn ask(path: &Path, request: &Request) -> Result<Value, AskError> {
    let line = |source| AskError::Line { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NobodyThere(path.to_owned()),
        ErrorKind::PermissionDenied => AskError::NotAllowed(path.to_owned()),
        _ => line(error),
    })?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(line)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(line)?;
    let foreign = |source| AskError::Foreign { path: path.to_owned(), source };
    let mut text = serde_json::to_vec(request).map_err(foreign)?;
    text.push(b'\n');
    stream.write_all(&text).map_err(line)?;
    stream.shutdown(Shutdown::Write).map_err(line)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(line)?;
    match serde_json::from_slice(&answer).map_err(foreign)? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(why) => Err(AskError::Refused(why)),
    }
}
