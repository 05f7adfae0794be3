//! A fleet whose server has a director: what was signed for a vehicle, as the vehicle asks for it.

#![allow(clippy::panic, reason = "a test's own set-up: to fail loudly is its way to say so")]

use super::model::approved;
use super::{Fleet, Line, request};
use hyper::StatusCode;
use std::path::Path;
use telltale_cloud::director::OtaConfig;
use telltale_cloud::rollout::{Person, Plan, Verb};
use telltale_cloud::server::Config;
use telltale_cloud::store::Store;
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::{Envelope, Expires, Metadata, RoleKeys, Root, SPEC_VERSION, Targets};
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

pub const ANN: Person<'static> = Person { name: "ann", why: "a test" };
pub const BEN: Person<'static> = Person { name: "ben", why: "a test" };

pub fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(since.as_micros() as i64)
}

/// A repository that has a director's root alone, and the director's key.
pub fn repository(dir: &Path) -> OtaConfig {
    let (root, online) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let by = |key: &SigningKey| RoleKeys { keyids: vec![key.id()], threshold: 1 };
    let roles = [
        ("root", by(&root)),
        ("targets", by(&online)),
        ("snapshot", by(&online)),
        ("timestamp", by(&online)),
    ];
    let metadata = Metadata::Root(Root {
        spec_version: SPEC_VERSION.into(),
        version: 1,
        expires: Expires::after(now(), 365),
        consistent_snapshot: true,
        keys: [&root, &online].map(|key| (key.id(), key.public().clone())).into(),
        roles: roles.map(|(role, who)| (role.to_owned(), who)).into(),
    });
    std::fs::create_dir_all(dir.join("director")).unwrap();
    std::fs::create_dir_all(dir.join("image")).unwrap();
    std::fs::write(dir.join("director/1.root.json"), Envelope::signed(&metadata, [&root]).unwrap()).unwrap();
    std::fs::write(dir.join("image/timestamp.json"), b"{\"signed\":{}}").unwrap();
    std::fs::write(dir.join("secret.json"), b"{}").unwrap();
    online.write(&dir.join("director.pem")).unwrap();
    OtaConfig { repository: dir.to_owned(), key: dir.join("director.pem") }
}

pub struct World {
    pub fleet: Fleet,
    pub store: Store,
    pub dir: tempfile::TempDir,
}

pub async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new("", "");
    config.limits.rollout_interval = std::time::Duration::from_secs(3_600);
    config.ota = Some(repository(dir.path()));
    let fleet = Fleet::start_with(config).await;
    let store = fleet.store().await;
    World { fleet, store, dir }
}

impl World {
    pub async fn desired(&self, name: &str) -> u64 {
        self.fleet.enroll(name).sync(&request(name, vec![])).await.unwrap().desired_state
    }

    pub async fn line(&self, name: &str) -> Line {
        self.fleet.enroll(name).connect().await.unwrap()
    }

    pub async fn roll_out(&self, release: u32) -> (i64, String, Digest) {
        let (path, digest) = approved(&self.store, release, now()).await;
        (self.roll_out_path(&path).await, path, digest)
    }

    pub async fn roll_out_path(&self, path: &str) -> i64 {
        let id = self.store.create_rollout(path, &Plan::default(), "ann", "", now()).await.unwrap();
        self.store.ask_rollout(id, Verb::Approve, BEN, now()).await.unwrap();
        self.store.ask_rollout(id, Verb::Start, ANN, now()).await.unwrap();
        self.store.advance_rollouts(now()).await.unwrap();
        id
    }
}

pub async fn file(line: &mut Line, name: &str) -> Option<Vec<u8>> {
    match line.get(&format!("/v1/ota/director/{name}")).await.unwrap() {
        (StatusCode::OK, body) => Some(body),
        (StatusCode::NOT_FOUND, _) => None,
        other => panic!("{name}: {other:?}"),
    }
}

/// The targets by way of timestamp and snapshot, as a vehicle goes.
pub async fn targets(line: &mut Line) -> Targets {
    let parse = |bytes: Vec<u8>| Envelope::parse(&bytes, "metadata").unwrap().metadata().unwrap();
    let Metadata::Root(root) = parse(file(line, "1.root.json").await.unwrap()) else { panic!("no root") };
    let check = |role: &str, bytes: &[u8]| {
        Envelope::parse(bytes, role).unwrap().verify(role, &root.roles[role], &root.keys).unwrap();
    };
    let timestamp = file(line, "timestamp.json").await.unwrap();
    check("timestamp", &timestamp);
    let Metadata::Timestamp(timestamp) = parse(timestamp) else { panic!("no timestamp") };
    let snapshot =
        file(line, &format!("{}.snapshot.json", timestamp.meta["snapshot.json"].version)).await.unwrap();
    check("snapshot", &snapshot);
    let Metadata::Snapshot(snapshot) = parse(snapshot) else { panic!("no snapshot") };
    let targets =
        file(line, &format!("{}.targets.json", snapshot.meta["targets.json"].version)).await.unwrap();
    check("targets", &targets);
    let Metadata::Targets(targets) = parse(targets) else { panic!("no targets") };
    targets
}
