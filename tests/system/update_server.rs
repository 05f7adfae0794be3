//! A server with two signed repositories: real HTTPS/2 with mutual TLS, real signatures, and a line that can be cut.

use crate::bench::Bench;
use crate::world::{self, Side, World};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_cloud::pki::Pki;
use telltale_core::feature::FeatureSpec;
use telltale_repository::metadata::Target;
use telltale_wire::bundle::*;
use telltale_wire::command::CommandOutcome;
use telltale_wire::desired::{self, DesiredState};
use telltale_wire::digest::Digest;
use telltale_wire::envelope;
use telltale_wire::record::Record;
use telltale_wire::sync::{Ack, SYNC_PATH, SyncRequest, SyncResponse};
use telltale_wire::unit::Unit;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// The vehicle asks again this soon, so that a test has not to wait for its patience.
const AGAIN_MS: u32 = 1_500;

/// The files of a model, to be spoilt.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) onnx: Vec<u8>,
    pub(crate) manifest: String,
    pub(crate) features: String,
    pub(crate) golden: String,
    pub(crate) latency_us: u32,
}

impl Model {
    /// The model that the product ships, on windows ten times as short: a test has not hours.
    pub(crate) fn shipped() -> Model {
        let read = |name: &str| fs::read_to_string(crate::rig::cell_fault().join(name)).unwrap();
        let features = read("features.toml").replace("period_s = 30", "period_s = 3");
        let digest = |text: &str| FeatureSpec::parse(text, "features").unwrap().digest.to_hex();
        let manifest = read("model.toml").replace(&digest(&read("features.toml")), &digest(&features));
        assert!(manifest.contains(&digest(&features)));
        let onnx = fs::read(crate::rig::cell_fault().join("cell-fault.int8.onnx")).unwrap();
        Model { onnx, manifest, features, golden: read("golden.toml"), latency_us: 500_000 }
    }

    /// The model of a folder, as it is.
    pub(crate) fn of(folder: &Path) -> Model {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Model {
            onnx: fs::read(folder.join("cell-fault.int8.onnx")).unwrap(),
            manifest: read("model.toml"),
            features: read("features.toml"),
            golden: read("golden.toml"),
            latency_us: 500_000,
        }
    }

    /// Writes its bundle as the builder does, into a folder that has others; gives its path.
    pub(crate) fn write(&self, bundles: &Path, release: u32) -> String {
        let (index, chunks) = self.bundle(release);
        let path = index.path().to_string();
        let file = bundles.join("index").join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, index.encode().unwrap()).unwrap();
        fs::create_dir_all(bundles.join("chunk")).unwrap();
        for chunk in chunks {
            fs::write(bundles.join("chunk").join(Digest::of(&chunk).to_hex()), chunk).unwrap();
        }
        path
    }

    /// Writes it as a folder that a configuration can name.
    pub(crate) fn install(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("cell-fault.int8.onnx"), &self.onnx).unwrap();
        fs::write(folder.join("model.toml"), &self.manifest).unwrap();
        fs::write(folder.join("features.toml"), &self.features).unwrap();
    }

    /// As a bundle: its index, and its chunks.
    fn bundle(&self, release: u32) -> (BundleIndex, Vec<Vec<u8>>) {
        let parts = [
            (PartKind::Model, self.onnx.clone()),
            (PartKind::Manifest, self.manifest.clone().into_bytes()),
            (PartKind::Features, self.features.clone().into_bytes()),
            (PartKind::Golden, self.golden.clone().into_bytes()),
        ];
        let chunks: Vec<Vec<u8>> =
            parts.iter().flat_map(|(_, bytes)| chunks_of(bytes, 10)).map(<[u8]>::to_vec).collect();
        let index = BundleIndex {
            family: "cell-fault".parse().unwrap(),
            name: "cell-fault".parse().unwrap(),
            version: format!("1.{release}.0"),
            release,
            hardware: vec![world::HARDWARE.parse().unwrap()],
            min_agent: AgentVersion::default(),
            features: FeatureSpec::parse(&self.features, "features").unwrap().digest,
            needs: vec![SignalNeed {
                vss: "Vehicle.Powertrain.TractionBattery.Cell{n}.Voltage".into(),
                unit: Unit::Volt,
            }],
            budget: Budget { latency_us: self.latency_us, memory_bytes: 256 << 20 },
            golden_tolerance: 0,
            chunk_exponent: 10,
            parts: parts
                .iter()
                .map(|(kind, bytes)| Part { kind: *kind, length: bytes.len() as u32 })
                .collect(),
            chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
            seal: None,
        };
        (index, chunks)
    }
}

/// What the server holds and has seen.
#[derive(Default)]
pub(crate) struct Held {
    files: BTreeMap<String, Vec<u8>>,
    version: u64,
    pub(crate) records: Vec<Record>,
    /// How often each file was sent whole.
    pub(crate) sent: BTreeMap<String, u32>,
    /// How often the line was cut.
    pub(crate) cuts: u32,
}

pub(crate) struct Server {
    world: World,
    held: Arc<Mutex<Held>>,
    /// Whether each connection carries one chunk, and is cut in the middle of the next.
    pub(crate) cuts_after_each_chunk: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// On the bench's port, with its certificates; roots of trust are written beside them.
    pub(crate) fn start(bench: &Bench) -> Server {
        let mut world = World::honest();
        let Side { targets, snapshot, timestamp, .. } = &mut world.director;
        for vehicle in [&mut targets.vehicle, &mut snapshot.vehicle, &mut timestamp.vehicle] {
            *vehicle = Some("v1".into());
        }
        targets.targets.clear();
        world.image.family().targets.clear();
        for (side, name) in [(&world.director, "director-root.json"), (&world.image, "image-root.json")] {
            fs::write(bench.path(name), &side.files()["1.root.json"]).unwrap();
        }
        let held = Arc::new(Mutex::new(Held::default()));
        let cuts = Arc::new(AtomicBool::new(false));
        let acceptor = TlsAcceptor::from(Arc::new(tls(&bench.path("pki"))));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", bench.port))).unwrap();
        let (shared, cutting) = (Arc::clone(&held), Arc::clone(&cuts));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, held, cutting) = (acceptor.clone(), Arc::clone(&shared), Arc::clone(&cutting));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let line =
                        Arc::new(Line { held, cutting, carried: AtomicBool::new(false), cut: Notify::new() });
                    let answering = Arc::clone(&line);
                    let service = service_fn(move |request| {
                        let line = Arc::clone(&answering);
                        async move { Ok::<_, Infallible>(line.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = connection => {}
                        () = line.cut.notified() => {}
                    }
                });
            }
        });
        let mut server = Server { world, held, cuts_after_each_chunk: cuts, _runtime: runtime };
        server.publish();
        server
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Offers this model as the only one, signed by all who have to; gives its index.
    pub(crate) fn offer(&mut self, release: u32, model: &Model) -> BundleIndex {
        let (index, chunks) = model.bundle(release);
        let (path, bytes) = (index.path().to_string(), index.encode().unwrap());
        let target = world::target(&bytes, release);
        self.world.image.family().targets.insert(path.clone(), target.clone());
        self.world.director.targets.targets = BTreeMap::from([(path.clone(), target)]);
        {
            let mut held = self.held();
            held.files.insert(format!("index/{path}"), bytes);
            for chunk in chunks {
                held.files.insert(format!("chunk/{}", Digest::of(&chunk).to_hex()), chunk);
            }
        }
        self.publish();
        index
    }

    /// Wants this of the vehicle, and no model.
    pub(crate) fn want(&mut self, desired: &DesiredState) {
        let bytes = desired.to_bytes().unwrap();
        let target = Target::of(&bytes, None);
        self.world.director.targets.targets = BTreeMap::from([(desired::TARGET.to_owned(), target)]);
        self.held().files.insert(format!("director/{}", desired::TARGET), bytes);
        self.publish();
    }

    /// What the vehicle said became of a command, each time that it did.
    pub(crate) fn acknowledgements(&self, id: u64) -> Vec<CommandOutcome> {
        let told = |record: &Record| match record {
            Record::Command(ack) if ack.id == id => Some(ack.outcome),
            _ => None,
        };
        self.held().records.iter().filter_map(told).collect()
    }

    /// Waits until the vehicle has told of each of these commands what became of it.
    pub(crate) fn acknowledged(&self, expected: &[(u64, CommandOutcome)], patience: Duration) {
        let start = Instant::now();
        for (id, outcome) in expected {
            while self.acknowledgements(*id).is_empty() {
                assert!(start.elapsed() < patience, "command {id} is not told of");
                sleep(Duration::from_millis(20));
            }
            assert_eq!(self.acknowledgements(*id), [*outcome], "command {id}");
        }
    }

    fn publish(&mut self) {
        self.world.director.next();
        self.world.image.next();
        let mut held = self.held();
        for (side, files) in [("director", self.world.director.files()), ("image", self.world.image.files())]
        {
            held.files.extend(files.into_iter().map(|(name, bytes)| (format!("{side}/{name}"), bytes)));
        }
        held.version = self.world.director.targets.version;
    }

    /// The steps of a release that the vehicle told, each `step` or `step (reason)`, in order.
    pub(crate) fn steps(&self, release: u32) -> Vec<String> {
        let told = |record: &Record| match record {
            Record::Update(event) if event.release == release => {
                Some(event.reason.map_or(event.step.to_string(), |why| format!("{} ({why})", event.step)))
            }
            _ => None,
        };
        self.held().records.iter().filter_map(told).collect()
    }

    /// Waits until the vehicle has told this step of a release; gives all its steps.
    pub(crate) fn wait_for(&self, release: u32, step: &str, patience: Duration) -> Vec<String> {
        let start = Instant::now();
        loop {
            let steps = self.steps(release);
            if steps.iter().any(|told| told == step) {
                return steps;
            }
            assert!(start.elapsed() < patience, "release {release} is not {step}, but {steps:?}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// One connection.
struct Line {
    held: Arc<Mutex<Held>>,
    cutting: Arc<AtomicBool>,
    carried: AtomicBool,
    cut: Notify,
}

impl Line {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if path == SYNC_PATH {
            return self.sync(request).await;
        }
        let name = path.strip_prefix("/v1/ota/").unwrap_or_default().to_owned();
        if name.starts_with("chunk/")
            && self.cutting.load(Ordering::Relaxed)
            && self.carried.swap(true, Ordering::Relaxed)
        {
            self.held.lock().unwrap().cuts += 1;
            self.cut.notify_one();
            return std::future::pending().await;
        }
        let mut held = self.held.lock().unwrap();
        let Some(bytes) = held.files.get(&name).cloned() else {
            return reply(StatusCode::NOT_FOUND, format!("there is no {name}\n").into());
        };
        *held.sent.entry(name).or_default() += 1;
        reply(StatusCode::OK, bytes.into())
    }

    async fn sync(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let SyncRequest { batches, .. } = envelope::open(&body).unwrap();
        let mut held = self.held.lock().unwrap();
        let mut acks = Vec::new();
        for batch in batches {
            held.records.extend(batch.records.iter().map(|raw| raw.parse().unwrap()));
            acks.push(Ack { boot: batch.boot, lane: batch.lane, through: batch.last_seq().unwrap() });
        }
        let answer = SyncResponse {
            acks,
            server_time: world::NOW,
            desired_state: held.version,
            retry_after_ms: AGAIN_MS,
            batch_limit: 1 << 20,
        };
        reply(StatusCode::OK, envelope::seal(&answer).unwrap().into())
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body)).unwrap()
}

fn tls(pki: &Path) -> ServerConfig {
    let pki = Pki::open(pki).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.ca_cert()).unwrap()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = CertificateDer::pem_file_iter(pki.server_cert()).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(pki.server_key()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key);
    let mut config = config.unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
