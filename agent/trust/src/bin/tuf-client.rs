//! The verifier's TUF client as a command, so that suites which know nothing of Telltale can drive it. It speaks the
//! protocol of `tuf-conformance` (CLIENT-CLI.md there). No vehicle carries it.
//!
//! ```text
//! tuf-client --metadata-dir DIR init ROOT
//! tuf-client --metadata-dir DIR --metadata-url URL refresh
//! tuf-client --metadata-dir DIR --metadata-url URL --target-name PATH --target-base-url URL --target-dir DIR download
//! ```
//!
//! With `--limits vehicle` before the rest it takes no more from a repository than a vehicle does.

#![allow(clippy::print_stderr, reason = "a command's output room")]

use ring::digest::{Algorithm, SHA256, SHA512, digest};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telltale_trust::{FetchError, Fetched, Limits, Refreshed, Target, Transport};
use telltale_wire::time::WallTime;

type Failure = Box<dyn std::error::Error>;

/// What other repositories than a fleet's need: the defaults of TUF's reference implementation.
const WIDE: Limits = Limits {
    root: 512_000,
    timestamp: 16_384,
    snapshot: 2_000_000,
    targets: 5_000_000,
    root_steps: 256,
    delegations: 32,
    file_time: Duration::from_secs(60),
    check_time: Duration::from_secs(300),
};
/// The longest file that is downloaded, in bytes.
const MAX_FILE: u64 = 50_000_000;
/// The longest head of an HTTP answer.
const MAX_HEAD: usize = 16 * 1024;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tuf-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<(), Failure> {
    let (mut options, mut paths, mut command) = (HashMap::new(), Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some("target-name") => paths.extend(words.next()),
            Some(option) => drop(options.insert(option.to_owned(), words.next().unwrap_or_default())),
            None => command.push(word),
        }
    }
    let option = |name: &str| options.get(name).ok_or_else(|| format!("--{name} is missing"));
    let folder = PathBuf::from(option("metadata-dir")?);
    let limits = match options.get("limits").map(String::as_str) {
        None => &WIDE,
        Some("vehicle") => &Limits::VEHICLE,
        Some(other) => return Err(format!("--limits {other}: only \"vehicle\" is known").into()),
    };
    match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["init", root] => {
            fs::copy(root, folder.join("root.json"))?;
            Ok(())
        }
        ["refresh"] => runtime()?.block_on(refresh(&folder, option("metadata-url")?, limits)).map(|_| ()),
        ["download"] => {
            let base = option("target-base-url")?;
            let to = PathBuf::from(option("target-dir")?);
            runtime()?.block_on(async {
                let mut repository = refresh(&folder, option("metadata-url")?, limits).await?;
                for path in &paths {
                    let target = repository.target(path).await?.ok_or("no role names the target")?;
                    download(&target, path, base, &to, repository.consistent())?;
                }
                Ok(())
            })
        }
        _ => Err("init ROOT, refresh or download".into()),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}

async fn refresh(folder: &Path, url: &str, limits: &Limits) -> Result<Refreshed, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = WallTime(i64::try_from(now.as_micros())?);
    let root = fs::read(folder.join("root.json"))?;
    let line = Arc::new(Http { base: url.trim_end_matches('/').to_owned() });
    Ok(Refreshed::new(&root, folder, line, None, now, limits).await?)
}

/// Fetches a file unless it is there already, and holds it against its metadata.
fn download(target: &Target, path: &str, base: &str, to: &Path, consistent: bool) -> Result<(), Failure> {
    let named =
        ["sha256", "sha512"].into_iter().find_map(|name| target.hashes.get(name).map(|hash| (name, hash)));
    let (_, hash) = named.ok_or("the target has no digest that is known")?;
    // One file a target, whatever letters are in its name.
    let file = to.join(hex::encode(path));
    if fs::read(&file).is_ok_and(|bytes| is(target, &bytes)) {
        return Ok(());
    }
    if target.length > MAX_FILE {
        return Err("the target is too long".into());
    }
    let name = match (consistent, path.rsplit_once('/')) {
        (false, _) => path.to_owned(),
        (true, Some((folder, name))) => format!("{folder}/{hash}.{name}"),
        (true, None) => format!("{hash}.{path}"),
    };
    let url = format!("{}/{}", base.trim_end_matches('/'), quoted(&name));
    let bytes = get(&url, usize::try_from(target.length)?)?.ok_or("the target is not there")?;
    if !is(target, &bytes) {
        return Err("the target is not the one that was signed for".into());
    }
    fs::write(file, bytes)?;
    Ok(())
}

fn is(target: &Target, bytes: &[u8]) -> bool {
    let known: [(&str, &Algorithm); 2] = [("sha256", &SHA256), ("sha512", &SHA512)];
    let mut named =
        known.into_iter().filter_map(|(name, by)| Some((target.hashes.get(name)?, by))).peekable();
    let there = named.peek().is_some() && bytes.len() as u64 == target.length;
    there && named.all(|(hash, by)| hex::encode(digest(by, bytes)).eq_ignore_ascii_case(hash))
}

/// Metadata over plain HTTP.
struct Http {
    base: String,
}

impl Transport for Http {
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a> {
        // What could be a path or a query in a role's name is percent-encoded in the name of its file.
        let fetched = get(&format!("{}/{name}", self.base), limit);
        Box::pin(std::future::ready(fetched))
    }
}

/// `GET` by HTTP/1.0, at most `limit` bytes; `None` for 403 and 404.
fn get(url: &str, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
    let failed = |error: &dyn std::fmt::Display| FetchError::Failed(format!("{url}: {error}"));
    let rest = url.strip_prefix("http://").ok_or_else(|| failed(&"only http:// is spoken"))?;
    let (host, path) = rest.split_once('/').ok_or_else(|| failed(&"no path"))?;
    let mut line = TcpStream::connect(host).map_err(|e| failed(&e))?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    line.write_all(request.as_bytes()).map_err(|e| failed(&e))?;
    let mut answer = Vec::new();
    line.take((MAX_HEAD + limit + 1) as u64).read_to_end(&mut answer).map_err(|e| failed(&e))?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| failed(&"no answer"))?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    match head.split_whitespace().nth(1) {
        Some("200") if body.len() > limit => Err(FetchError::TooLong { limit }),
        Some("200") => Ok(Some(body)),
        Some("403" | "404") => Ok(None),
        status => Err(failed(&status.unwrap_or("no status"))),
    }
}

fn quoted(path: &str) -> String {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    path.bytes().map(|b| if letter(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
