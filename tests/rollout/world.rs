//! The server with its repositories, and the people who publish, approve and roll out.

use crate::models::{Does, bundle};
use crate::vehicle::Vehicle;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telltale_cloud::director::OtaConfig;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_cloud::registry;
use telltale_cloud::rollout::{Person, Plan, Verb};
use telltale_cloud::server::{Config, Server};
use telltale_cloud::store::Store;
use telltale_cloud::store::ota::RolloutReport;
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::{
    Custom, DelegatedRole, Delegations, Envelope, Expires, MetaFile, Metadata, RoleKeys, Root, SPEC_VERSION,
    Snapshot, Target, Targets, Timestamp,
};
use telltale_trust::Roots;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const FAMILY: &str = "cell-fault";
/// How often the server lets rollouts decide. A round of the fleet takes longer.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn now() -> WallTime {
    WallTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}

pub(crate) fn name(n: usize) -> String {
    format!("car-{n:03}")
}

pub(crate) struct World {
    pub(crate) store: Store,
    dir: tempfile::TempDir,
    pki: Pki,
    vehicles: SocketAddr,
    pub(crate) people: SocketAddr,
    keys: Keys,
    roots: Roots,
    /// What the image repository publishes.
    targets: BTreeMap<String, Target>,
    version: u64,
    newest: i64,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// One key a role.
struct Keys {
    root: SigningKey,
    targets: SigningKey,
    family: SigningKey,
    online: SigningKey,
    director: SigningKey,
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = || SigningKey::generate().unwrap();
        let keys = Keys { root: key(), targets: key(), family: key(), online: key(), director: key() };
        let repository = dir.path().join("repository");
        for side in ["image", "director"] {
            fs::create_dir_all(repository.join(side)).unwrap();
        }
        let director = root(&keys.root, &keys.director, &keys.director);
        let image = root(&keys.root, &keys.targets, &keys.online);
        fs::write(repository.join("director/1.root.json"), &director).unwrap();
        fs::write(repository.join("image/1.root.json"), &image).unwrap();
        keys.director.write(&dir.path().join("director.pem")).unwrap();
        let pki = Pki::init(&dir.path().join("pki"), &[], Existing::Keep).unwrap();
        let mut config = Config::new(dir.path().join("pki"), dir.path().join("fleet.db"));
        config.limits.rollout_interval = LOOK;
        config.limits.patience = Duration::from_secs(30);
        config.ota = Some(OtaConfig { repository, key: dir.path().join("director.pem") });
        let server = Server::bind(config).await.unwrap();
        let (vehicles, people) = (server.vehicle_addr(), server.dashboard_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let store = Store::open(&dir.path().join("fleet.db"), Duration::from_secs(30)).await.unwrap();
        let mut world = Self {
            store,
            dir,
            pki,
            vehicles,
            people,
            keys,
            roots: Roots { director, image },
            targets: BTreeMap::new(),
            version: 0,
            newest: 0,
            stop,
            server,
        };
        world.publish();
        world
    }

    /// An enrolled vehicle, connected.
    pub(crate) async fn vehicle(&self, n: usize) -> Vehicle {
        let id = VehicleId::new(&name(n)).unwrap();
        let out = self.dir.path().join("enrolled").join(name(n));
        let files = self.pki.enroll(&id, &out, Validity::days(30), Existing::Replace).unwrap();
        let mut authorities = rustls::RootCertStore::empty();
        authorities.add(CertificateDer::from_pem_file(self.pki.ca_cert()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(authorities)
            .with_client_auth_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let trust: PathBuf = self.dir.path().join("trust").join(name(n));
        fs::create_dir_all(&trust).unwrap();
        Vehicle::connect(id, self.vehicles, tls, &trust, self.roots.clone()).await
    }

    /// Signs a release offline, imports and approves it, and starts its rollout.
    pub(crate) async fn roll_out(&mut self, release: u32, does: Does, plan: &str) -> i64 {
        let (index, chunks) = bundle(release, does);
        let body = index.encode().unwrap();
        let path = index.path().to_string();
        let folder = self.dir.path().join(format!("bundle-{release}"));
        fs::create_dir_all(folder.join("index").join(FAMILY)).unwrap();
        fs::create_dir_all(folder.join("chunk")).unwrap();
        fs::write(folder.join("index").join(&path), &body).unwrap();
        for chunk in &chunks {
            fs::write(folder.join("chunk").join(Digest::of(chunk).to_hex()), chunk).unwrap();
        }
        let custom = Custom {
            hardware_ids: index.hardware.clone(),
            release,
            family: index.family.clone(),
            content_key: None,
        };
        self.targets.insert(path.clone(), Target::of(&body, Some(custom)));
        self.publish();

        let model = registry::import(&folder, &[]).unwrap().remove(0);
        self.store.add_model(&model, "ann", now()).await.unwrap();
        self.store.approve_model(&path, "ben", "its figures", now()).await.unwrap();
        let plan = Plan::read(plan).unwrap();
        self.newest = self.store.create_rollout(&path, &plan, "ann", "", now()).await.unwrap();
        self.ask(self.newest, Verb::Approve).await;
        self.ask(self.newest, Verb::Start).await;
        self.newest
    }

    pub(crate) async fn ask(&self, rollout: i64, verb: Verb) {
        let name = if verb == Verb::Approve { "ben" } else { "ann" };
        self.store.ask_rollout(rollout, verb, Person { name, why: "a test" }, now()).await.unwrap();
    }

    pub(crate) async fn newest(&self) -> RolloutReport {
        self.store.rollout(self.newest, now()).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.store.close().await;
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }

    /// Signs the image repository anew, as its people would with their offline keys.
    fn publish(&mut self) {
        self.version += 1;
        let (version, expires) = (self.version, Expires::after(now(), 30));
        let spec_version = || SPEC_VERSION.to_owned();
        let Keys { targets, family, online, .. } = &self.keys;
        let delegations = Delegations {
            keys: [(family.id(), family.public().clone())].into(),
            roles: vec![DelegatedRole {
                name: FAMILY.into(),
                keys: RoleKeys { keyids: vec![family.id()], threshold: 1 },
                terminating: true,
                paths: vec![format!("{FAMILY}/*")],
            }],
        };
        let role = |targets: BTreeMap<String, Target>, delegations| {
            Metadata::Targets(Targets {
                spec_version: spec_version(),
                version,
                expires,
                targets,
                delegations,
                vehicle: None,
            })
        };
        let top = Envelope::signed(&role(BTreeMap::new(), Some(delegations)), [targets]).unwrap();
        let models = Envelope::signed(&role(self.targets.clone(), None), [family]).unwrap();
        let meta = [("targets.json", &top), ("cell-fault.json", &models)];
        let meta = meta.map(|(name, bytes)| (name.to_owned(), MetaFile::of(bytes, version))).into();
        let snapshot = Metadata::Snapshot(Snapshot {
            spec_version: spec_version(),
            version,
            expires,
            meta,
            vehicle: None,
        });
        let snapshot = Envelope::signed(&snapshot, [online]).unwrap();
        let meta = [("snapshot.json".to_owned(), MetaFile::of(&snapshot, version))].into();
        let timestamp = Metadata::Timestamp(Timestamp {
            spec_version: spec_version(),
            version,
            expires,
            meta,
            vehicle: None,
        });
        let timestamp = Envelope::signed(&timestamp, [online]).unwrap();
        // The timestamp last: what it names is there when it is.
        for (name, bytes) in [
            (format!("{version}.targets.json"), top),
            (format!("{version}.{FAMILY}.json"), models),
            (format!("{version}.snapshot.json"), snapshot),
            ("timestamp.json".to_owned(), timestamp),
        ] {
            let path = self.dir.path().join("repository/image").join(name);
            let beside = path.with_extension("partial");
            fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).unwrap();
        }
    }
}

fn root(by: &SigningKey, targets: &SigningKey, online: &SigningKey) -> Vec<u8> {
    let who = |key: &SigningKey| RoleKeys { keyids: vec![key.id()], threshold: 1 };
    let roles = [("root", by), ("targets", targets), ("snapshot", online), ("timestamp", online)];
    let metadata = Metadata::Root(Root {
        spec_version: SPEC_VERSION.into(),
        version: 1,
        expires: Expires::after(now(), 365),
        consistent_snapshot: true,
        keys: [by, targets, online].map(|key| (key.id(), key.public().clone())).into(),
        roles: roles.map(|(role, key)| (role.to_owned(), who(key))).into(),
    });
    Envelope::signed(&metadata, [by]).unwrap()
}
