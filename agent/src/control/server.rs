//! The agent's end of the control socket, on the asynchronous half. Nothing that a client does or leaves undone
//! reaches further than its own connection: requests, connections and the time of each are bounded.

use super::{Answer, MAX_REQUEST, Request};
use rustix::process::geteuid;
use serde_json::Value;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections that are served at once; more wait in the kernel's queue. Each may hold an answer: 4 MB at the worst.
const MAX_CONNECTIONS: usize = 4;

/// A request has to have come by then.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer has to have been taken by then.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// After a refusal by the system (no descriptors) the next connection is tried this much later.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The agent's user and group, and nobody else.
const MODE: u32 = 0o660;

/// The socket can't be had.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another process listens there.
    #[error("another process listens on the control socket {}: give this agent a path of its own", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket stands in its place.
    #[error("{} is in the place of the control socket and is none: remove it, or name another path", .0.display())]
    NoSocket(PathBuf),
    /// The system refuses it.
    #[error("the control socket {} can't be made: its folder has to exist and be writable, its path under 108 bytes", .path.display())]
    Unusable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The socket, bound. Its file goes with it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket; one that a killed agent left behind is replaced. To be called on a runtime.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        let unusable = |source| SocketError::Unusable { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            Ok(_) => match BlockingStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(unusable)?;
                }
                _ => return Err(SocketError::InUse(path.to_owned())),
            },
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(unusable)?;
        let socket = ControlSocket { listener, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(unusable)?;
        Ok(socket)
    }

    /// Serves until it is dropped. `answer` gives the JSON of what was asked for, or a sentence.
    pub async fn serve(self, answer: impl Answering) {
        let answer = Arc::new(answer);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answer = Arc::clone(&answer);
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &*answer).await {
                            log::debug!("control socket: a client was cut off: {error}");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    log::warn!("control socket: {error}");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // One that is gone already is as well.
        let _ = fs::remove_file(&self.path);
    }
}

/// What answers the requests.
pub trait Answering: Send + Sync + 'static {
    /// The answer, or a sentence on why there is none.
    fn answer(&self, request: Request) -> impl Future<Output = Result<Value, String>> + Send;
}

/// One connection, from the request to the answer.
async fn converse(mut stream: UnixStream, desk: &impl Answering) -> io::Result<()> {
    let read = timeout(READ_TIMEOUT, read_line(&mut stream)).await;
    let line = read.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    let answered = match serde_json::from_slice::<Request>(&line) {
        Err(error) => Err(format!("no such request: {error}")),
        Ok(request) if !may(&stream, &request)? => {
            Err("this changes the agent: it is for the agent's own user and root".into())
        }
        Ok(request) => desk.answer(request).await,
    };
    let mut text = serde_json::to_vec(&match answered {
        Ok(value) => Answer::Ok(value),
        Err(why) => Answer::Error(why),
    })?;
    text.push(b'\n');
    let write = async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    timeout(WRITE_TIMEOUT, write).await.map_err(|_| io::Error::from(ErrorKind::TimedOut))?
}

/// Whether the process at the other end may ask this.
fn may(stream: &UnixStream, request: &Request) -> io::Result<bool> {
    Ok(request.only_looks() || [0, geteuid().as_raw()].contains(&stream.peer_cred()?.uid()))
}

/// One line without its end, or all there is before the other side's end.
async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut part = [0; 512];
    loop {
        let n = stream.read(&mut part).await?;
        let part = part.get(..n).unwrap_or_default();
        let end = part.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(part.get(..end.unwrap_or(n)).unwrap_or_default());
        if line.len() > MAX_REQUEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "the request is too long"));
        }
        if end.is_some() || n == 0 {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AskError, ask};
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::time::Instant;

    struct Echo;

    impl Answering for Echo {
        async fn answer(&self, request: Request) -> Result<Value, String> {
            Ok(format!("{request:?}").into())
        }
    }

    /// Runs `client` on a thread of its own while the socket is served.
    fn with_server<T: Send + 'static>(client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = ControlSocket::bind(&path).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, MODE);
            let there = path.clone();
            let client = tokio::task::spawn_blocking(move || client(&there));
            tokio::select! {
                () = socket.serve(Echo) => unreachable!("it serves for ever"),
                result = client => result.unwrap(),
            }
        })
    }

    #[test]
    fn a_request_is_answered_and_nonsense_is_refused_with_a_sentence() {
        let (status, refused) = with_server(|path| {
            let status = ask(path, &Request::Status).unwrap();
            let mut stream = BlockingStream::connect(path).unwrap();
            stream.write_all(b"{\"format\":\"disk\"}\n").unwrap();
            let mut refused = String::new();
            stream.read_to_string(&mut refused).unwrap();
            (status, refused)
        });
        assert_eq!(status, "Status");
        assert!(refused.starts_with("{\"error\":\"no such request: unknown variant `format`"), "{refused}");
    }

    #[test]
    fn silent_and_endless_clients_hold_nobody_up() {
        let (waited, refused) = with_server(|path| {
            let silent: Vec<_> =
                (0..3 * MAX_CONNECTIONS).map(|_| BlockingStream::connect(path).unwrap()).collect();
            let asked = Instant::now();
            let mut endless = BlockingStream::connect(path).unwrap();
            endless.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
            let refused = (0..100_000).any(|_| endless.write_all(&[b'x'; 1024]).is_err());
            ask(path, &Request::Status).unwrap();
            drop(silent);
            (asked.elapsed(), refused)
        });
        assert!(refused, "a request without an end was read on and on");
        // Those that say nothing are cut off in rounds of as many as are served at once.
        assert!(waited < 4 * READ_TIMEOUT, "{waited:?}");
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists(), "its file goes with it");
        assert!(matches!(ask(&path, &Request::Status), Err(AskError::NobodyThere(_))));
        fs::write(&path, "a letter").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
    }
}
