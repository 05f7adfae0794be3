//! A repository that may be anything, served over HTTP as it stands at each request, and the client's program beside it.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_repository::canonical::canonical;
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::Expires;
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

/// The top roles in the order in which a client asks for them.
pub(crate) const TOP: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32]).unwrap()
}

pub(crate) fn keyid(seed: u8) -> String {
    key(seed).id().as_str().to_owned()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The moment so many seconds from now, as metadata states it.
pub(crate) fn expires_in(seconds: i64) -> Value {
    serde_json::to_value(Expires::after(WallTime((now() + seconds) * 1_000_000), 0)).unwrap()
}

/// What a repository says and serves.
pub(crate) struct State {
    /// The root that is worked on; [`State::publish_root`] adds it to `roots`.
    pub(crate) root: Value,
    pub(crate) roots: Vec<Vec<u8>>,
    /// All roles but the root, by name.
    pub(crate) roles: BTreeMap<String, Value>,
    /// Who signs for each: the name of the key that the signature claims, and the seed of the key that makes it.
    pub(crate) signers: BTreeMap<String, Vec<(String, u8)>>,
    pub(crate) artifacts: BTreeMap<String, Vec<u8>>,
    /// Whether metadata is named with length and digest.
    pub(crate) hashes: bool,
    /// What was asked for: role, and version where the name has one.
    pub(crate) asked: Vec<(String, Option<u64>)>,
}

fn role(kind: &str) -> Value {
    json!({ "_type": kind, "spec_version": "1.0.31", "version": 1, "expires": expires_in(30 * 86_400) })
}

impl State {
    fn new() -> State {
        let mut root = role("root");
        let seeds: BTreeMap<&str, u8> = TOP.into_iter().zip(1..).collect();
        let keys =
            seeds.values().map(|seed| (keyid(*seed), serde_json::to_value(key(*seed).public()).unwrap()));
        root["keys"] = Value::Object(keys.collect::<Map<_, _>>());
        let roles = seeds
            .iter()
            .map(|(role, seed)| ((*role).to_owned(), json!({ "keyids": [keyid(*seed)], "threshold": 1 })));
        root["roles"] = Value::Object(roles.collect::<Map<_, _>>());
        root["consistent_snapshot"] = true.into();
        let mut roles: BTreeMap<String, Value> =
            ["timestamp", "snapshot", "targets"].map(|name| (name.to_owned(), role(name))).into();
        roles.get_mut("targets").unwrap()["targets"] = json!({});
        roles.get_mut("snapshot").unwrap()["meta"] = json!({ "targets.json": { "version": 1 } });
        roles.get_mut("timestamp").unwrap()["meta"] = json!({ "snapshot.json": { "version": 1 } });
        let signers = seeds.iter().map(|(role, seed)| ((*role).to_owned(), vec![(keyid(*seed), *seed)]));
        let mut state = State {
            root,
            roots: Vec::new(),
            roles,
            signers: signers.collect(),
            artifacts: BTreeMap::new(),
            hashes: false,
            asked: Vec::new(),
        };
        state.publish_root();
        state
    }

    /// A role's metadata, to be changed.
    pub(crate) fn role(&mut self, name: &str) -> &mut Value {
        self.roles.get_mut(name).unwrap()
    }

    pub(crate) fn version(&self, name: &str) -> u64 {
        let role = if name == "root" { &self.root } else { &self.roles[name] };
        role["version"].as_u64().unwrap()
    }

    pub(crate) fn set_version(&mut self, name: &str, version: u64) {
        let role = if name == "root" { &mut self.root } else { self.role(name) };
        role["version"] = version.into();
    }

    fn count_up(&mut self, name: &str) {
        let next = self.version(name) + 1;
        self.set_version(name, next);
    }

    /// The bytes of a role, signed now.
    pub(crate) fn signed(&self, name: &str) -> Vec<u8> {
        let content = if name == "root" { &self.root } else { &self.roles[name] };
        let message = canonical(content).unwrap();
        let by = |(keyid, seed): &(String, u8)| json!({ "keyid": keyid, "sig": key(*seed).sign(&message) });
        let signatures: Vec<Value> = self.signers.get(name).into_iter().flatten().map(by).collect();
        serde_json::to_vec(&json!({ "signatures": signatures, "signed": content })).unwrap()
    }

    /// Publishes the root as it stands.
    pub(crate) fn publish_root(&mut self) {
        self.roots.push(self.signed("root"));
    }

    /// Publishes it as the next version.
    pub(crate) fn next_root(&mut self) {
        self.count_up("root");
        self.publish_root();
    }

    fn named(&self, name: &str) -> Value {
        let mut named = json!({ "version": self.version(name) });
        if self.hashes {
            let bytes = self.signed(name);
            named["length"] = bytes.len().into();
            named["hashes"] = json!({ "sha256": Digest::of(&bytes).to_hex() });
        }
        named
    }

    /// A new timestamp, of the snapshot as it stands.
    pub(crate) fn next_timestamp(&mut self) {
        let named = self.named("snapshot");
        self.role("timestamp")["meta"]["snapshot.json"] = named;
        self.count_up("timestamp");
    }

    /// A new snapshot of all targets as they stand, and a new timestamp.
    pub(crate) fn next_snapshot(&mut self) {
        let names: Vec<String> =
            self.roles.keys().filter(|n| !TOP[..3].contains(&n.as_str())).cloned().collect();
        for name in names {
            let named = self.named(&name);
            self.role("snapshot")["meta"][format!("{name}.json")] = named;
        }
        self.count_up("snapshot");
        self.next_timestamp();
    }

    /// One more key that signs for a top role.
    pub(crate) fn add_key(&mut self, role: &str, seed: u8) {
        self.name_key(role, &keyid(seed), seed);
        self.signers.get_mut(role).unwrap().push((keyid(seed), seed));
    }

    /// One more key of a top role, under any name.
    pub(crate) fn name_key(&mut self, role: &str, name: &str, seed: u8) {
        self.root["keys"][name] = serde_json::to_value(key(seed).public()).unwrap();
        self.root["roles"][role]["keyids"].as_array_mut().unwrap().push(name.into());
    }

    /// These keys instead of all others of a top role, of which these sign.
    pub(crate) fn set_keys(&mut self, role: &str, keys: &[u8], threshold: u64, sign: &[u8]) {
        self.root["roles"][role] = json!({ "keyids": [], "threshold": threshold });
        keys.iter().for_each(|seed| self.name_key(role, &keyid(*seed), *seed));
        self.signers.insert(role.to_owned(), sign.iter().map(|seed| (keyid(*seed), *seed)).collect());
    }

    /// Leaves paths to another role, which a key of its own signs for.
    pub(crate) fn delegate(&mut self, from: &str, to: &str, paths: &[&str], terminating: bool) {
        let seed = 100;
        let by = self.role(from);
        if by["delegations"].is_null() {
            by["delegations"] = json!({ "keys": {}, "roles": [] });
        }
        by["delegations"]["keys"][keyid(seed)] = serde_json::to_value(key(seed).public()).unwrap();
        let delegated = json!({
            "name": to, "keyids": [keyid(seed)], "threshold": 1, "terminating": terminating, "paths": paths,
        });
        by["delegations"]["roles"].as_array_mut().unwrap().push(delegated);
        let mut targets = role("targets");
        targets["targets"] = json!({});
        self.roles.entry(to.to_owned()).or_insert(targets);
        self.signers.insert(to.to_owned(), vec![(keyid(seed), seed)]);
    }

    /// An artifact that a role names.
    pub(crate) fn add_artifact(&mut self, role: &str, path: &str, bytes: &[u8]) {
        let hash = Digest::of(bytes).to_hex();
        self.role(role)["targets"][path] = json!({ "length": bytes.len(), "hashes": { "sha256": hash } });
        self.serve(path, &hash, bytes);
    }

    /// What is served where an artifact of this digest is looked for.
    pub(crate) fn serve(&mut self, path: &str, hash: &str, bytes: &[u8]) {
        let name = match path.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/{hash}.{name}"),
            None => format!("{hash}.{path}"),
        };
        self.artifacts.insert(name, bytes.to_vec());
    }

    fn answer(&mut self, path: &str) -> Option<Vec<u8>> {
        if let Some(name) = path.strip_prefix("/targets/") {
            return self.artifacts.get(&unquoted(name)).cloned();
        }
        let file = path.strip_prefix("/metadata/")?.strip_suffix(".json")?;
        let (version, quoted) = match file.split_once('.') {
            Some((number, name)) if number.parse::<u64>().is_ok() => (number.parse().ok(), name),
            _ => (None, file),
        };
        self.asked.push((quoted.to_owned(), version));
        if quoted == "root" {
            return self.roots.get(version? as usize - 1).cloned();
        }
        let name = unquoted(quoted);
        let is_there = self.roles.contains_key(&name)
            && (name == "timestamp") == version.is_none()
            && version.is_none_or(|version| version == self.version(&name));
        is_there.then(|| self.signed(&name))
    }
}

fn unquoted(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        match (first, behind) {
            (b'%', [a, b, behind @ ..]) => {
                let digits = [*a, *b];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A repository that is served, and a client that was given its first root.
pub(crate) struct Rig {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Rig {
    /// Version 1 of everything, and a client that knows the root.
    pub(crate) fn new() -> Rig {
        let rig = Rig::uninitialised();
        let root = rig.state().roots[0].clone();
        assert!(rig.init(&root));
        rig
    }

    pub(crate) fn uninitialised() -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::new()));
        let served = Arc::clone(&state);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &served);
            }
        });
        let dir = tempfile::tempdir().unwrap();
        for folder in ["metadata", "targets"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Rig { state, address, dir }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn run(&self, words: &[&str]) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuf-client"));
        command.arg("--metadata-dir").arg(self.dir.path().join("metadata"));
        command.arg("--metadata-url").arg(format!("http://{}/metadata", self.address));
        command.arg("--target-base-url").arg(format!("http://{}/targets", self.address));
        command.arg("--target-dir").arg(self.dir.path().join("targets"));
        let output = command.args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        output.status.success()
    }

    pub(crate) fn init(&self, root: &[u8]) -> bool {
        let path = self.dir.path().join("root.json");
        std::fs::write(&path, root).unwrap();
        self.run(&["init", path.to_str().unwrap()])
    }

    pub(crate) fn refresh(&self) -> bool {
        self.run(&["refresh"])
    }

    pub(crate) fn download(&self, path: &str) -> bool {
        self.run(&["--target-name", path, "download"])
    }

    /// What the client believes of a role, as bytes; `None` if nothing.
    pub(crate) fn held(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("metadata").join(format!("{name}.json"))).ok()
    }

    /// The version of it; 0 for none.
    pub(crate) fn believes(&self, name: &str) -> u64 {
        let bytes = self.held(name).unwrap_or_else(|| b"{}".to_vec());
        serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"].as_u64().unwrap_or(0)
    }

    /// How many roles the client believes something of.
    pub(crate) fn roles(&self) -> usize {
        let entries = std::fs::read_dir(self.dir.path().join("metadata")).unwrap().map(Result::unwrap);
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
    }

    /// What was downloaded, each file's bytes, sorted.
    pub(crate) fn files(&self) -> Vec<Vec<u8>> {
        let folder: PathBuf = self.dir.path().join("targets");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        files.sort();
        files
    }

    /// What was asked for since this was asked last.
    pub(crate) fn asked(&self) -> Vec<(String, Option<u64>)> {
        std::mem::take(&mut self.state().asked)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut rest = String::new();
    while reader.read_line(&mut rest).is_ok_and(|count| count > 2) {
        rest.clear();
    }
    let path = line.split_whitespace().nth(1).unwrap_or_default();
    let body = state.lock().unwrap().answer(path);
    let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.0 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    // A client that goes away has its reasons.
    let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
}
