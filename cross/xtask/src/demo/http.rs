//! One plain HTTP request to this machine: all that the demo asks of the cloud's page.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the cloud may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// The body of a page. HTTP/1.0 asks for an answer in one piece that ends with the connection.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let what = || format!("http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(what)?;
    stream.set_read_timeout(Some(TIMEOUT)).with_context(what)?;
    // In one write: a server may answer, and close, before a second one.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(what)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).with_context(what)?;
    body(&answer).map(str::to_owned).with_context(what)
}

fn body(answer: &str) -> Result<&str> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("no HTTP answer") };
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "answered {status:?}");
    let length = head.lines().filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let Some((_, told)) = length.next() {
        ensure!(told.trim() == body.len().to_string(), "the answer was cut: {} bytes of {told}", body.len());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_page_is_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let len = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        assert_eq!(get(address, "/api/vehicles").unwrap(), "hello");
        assert!(server.join().unwrap().starts_with("GET /api/vehicles HTTP/1.0\r\n"));
    }

    #[test]
    fn errors_cut_answers_and_other_protocols_are_refused() {
        for answer in [
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
            "220 mail ready\r\n",
            "",
        ] {
            assert!(body(answer).is_err(), "{answer:?}");
        }
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nx").unwrap(), "x");
    }
}
