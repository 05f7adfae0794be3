//! A fleet for tests: a PKI and a server in a temporary folder, vehicles that speak TLS to it, records to send.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's own set-up: to fail loudly is its way to say so")]

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telltale_cloud::pki::{Existing, Pki, Validity};
use telltale_cloud::server::{Config, Server};
use telltale_cloud::store::Store;
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::envelope;
use telltale_wire::ids::VehicleId;
use telltale_wire::record::{
    BootRecord, Counts, Evidence, ModelRef, ModelSummary, RawRecord, Record, Summary, VerdictCode,
    VerdictEvent,
};
use telltale_wire::sync::{Batch, SYNC_PATH, SyncRequest, SyncResponse};
use telltale_wire::time::{MonoTime, Stamp, WallTime};
use telltale_wire::unit::Unit;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

pub mod directed;
pub mod model;

pub type Failure = Box<dyn Error + Send + Sync>;

pub struct Fleet {
    dir: tempfile::TempDir,
    pub pki: Pki,
    config: Config,
    running: Option<Running>,
}

struct Running {
    vehicles: SocketAddr,
    people: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Fleet {
    pub async fn start() -> Self {
        Self::start_with(Config::new("", "")).await
    }

    pub async fn start_with(mut config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        config.pki = dir.path().join("pki");
        config.db = dir.path().join("fleet.db");
        let pki = Pki::init(&config.pki, &[], Existing::Keep).unwrap();
        let mut fleet = Self { dir, pki, config, running: None };
        fleet.launch().await;
        fleet
    }

    async fn launch(&mut self) {
        let server = Server::bind(self.config.clone()).await.unwrap();
        let (vehicles, people) = (server.vehicle_addr(), server.dashboard_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        self.running = Some(Running { vehicles, people, stop, server });
    }

    pub async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        self.launch().await;
    }

    pub async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub fn people(&self) -> SocketAddr {
        self.running.as_ref().unwrap().people
    }

    pub fn enroll(&self, id: &str) -> Vehicle {
        self.enroll_by(&self.pki, id, Validity::days(30))
    }

    /// A vehicle with a certificate of that authority. It trusts this server in any case.
    pub fn enroll_by(&self, pki: &Pki, id: &str, validity: Validity) -> Vehicle {
        let out = self.dir.path().join("enrolled").join(id);
        let files = pki.enroll(&VehicleId::new(id).unwrap(), &out, validity, Existing::Replace).unwrap();
        let chain = vec![CertificateDer::from_pem_file(files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
        self.vehicle(|builder| builder.with_client_auth_cert(chain, key).unwrap())
    }

    pub fn stranger(&self) -> Vehicle {
        self.vehicle(|builder| builder.with_no_client_auth())
    }

    fn vehicle(
        &self,
        identify: impl FnOnce(
            rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>,
        ) -> rustls::ClientConfig,
    ) -> Vehicle {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.pki.ca_cert()).unwrap()).unwrap();
        let builder =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        Vehicle { address: self.running.as_ref().unwrap().vehicles, tls: identify(builder) }
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.config.db, Duration::from_secs(20)).await.unwrap()
    }

    pub async fn revoke(&self, id: &str, revoked: bool) {
        let store = Store::open(&self.config.db, Duration::from_secs(5)).await.unwrap();
        store.set_revoked(&VehicleId::new(id).unwrap(), revoked).await.unwrap();
        store.close().await;
    }

    /// Holds the database's write lock until dropped, as another process would.
    pub async fn lock_database(&self) -> sqlx::Transaction<'static, sqlx::Sqlite> {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.config.db);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    /// Runs statements on the database, as another program would.
    pub async fn run_sql(&self, sql: &'static str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.config.db);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }

    pub async fn get(&self, path: &str) -> (StatusCode, hyper::HeaderMap, String) {
        let host = self.people().to_string();
        self.get_as(path, &host).await
    }

    pub async fn get_as(&self, path: &str, host: &str) -> (StatusCode, hyper::HeaderMap, String) {
        let stream = TcpStream::connect(self.people()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", host).body(Full::<Bytes>::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.into()).unwrap())
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (status, _, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn report(&self, id: &str) -> serde_json::Value {
        self.json(&format!("/api/vehicle/{id}")).await
    }

    pub async fn vehicles(&self) -> serde_json::Value {
        self.json("/api/vehicles").await["vehicles"].clone()
    }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}

#[derive(Clone)]
pub struct Vehicle {
    address: SocketAddr,
    tls: rustls::ClientConfig,
}

/// An open HTTP/2 connection.
pub struct Line(hyper::client::conn::http2::SendRequest<Full<Bytes>>);

impl Line {
    pub async fn post(&mut self, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        let uri = format!("https://localhost{SYNC_PATH}");
        let request = Request::post(uri).body(Full::from(body))?;
        self.send(request).await
    }

    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.send(Request::get(format!("https://localhost{path}")).body(Full::default())?).await
    }

    pub async fn put(&mut self, path: &str, body: &str) -> Result<(StatusCode, String), Failure> {
        let request = Request::put(format!("https://localhost{path}")).body(Full::from(body.to_owned()))?;
        let (status, said) = self.send(request).await?;
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes().into()))
    }
}

impl Vehicle {
    pub async fn connect(&self) -> Result<Line, Failure> {
        let io = self.handshake("h2").await?;
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Ok(Line(sender))
    }

    pub async fn post(&self, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.connect().await?.post(body).await
    }

    pub async fn post_http1(&self, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        let io = self.handshake("http/1.1").await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        let request = Request::post(SYNC_PATH).header("host", "localhost").body(Full::<Bytes>::from(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes().into()))
    }

    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncResponse, Failure> {
        let (status, body) = self.post(envelope::seal(request)?).await?;
        if status != StatusCode::OK {
            return Err(format!("{status}").into());
        }
        Ok(envelope::open(&body)?)
    }

    async fn handshake(
        &self,
        protocol: &str,
    ) -> Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>, Failure> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let stream =
            TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("localhost")?, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        Ok(TokioIo::new(stream))
    }
}

pub fn stamp(second: u64) -> Stamp {
    let wall = WallTime::from_unix_micros(1_795_000_000_000_000 + second as i64 * 1_000_000);
    Stamp { mono: MonoTime::from_micros(second * 1_000_000), wall: Some(wall) }
}

pub fn request(vehicle: &str, batches: Vec<Batch>) -> SyncRequest {
    SyncRequest { vehicle: VehicleId::new(vehicle).unwrap(), sent: stamp(100), batches }
}

pub fn model() -> ModelRef {
    ModelRef { name: "cell-fault".into(), digest: ShortDigest([7; 8]) }
}

pub fn boot() -> RawRecord {
    let catalog = Digest::of(b"catalog");
    let body = BootRecord { at: stamp(0), agent_version: "0.1.0".into(), catalog, models: vec![model()] };
    Record::Boot(body).to_raw().unwrap()
}

pub fn verdict(second: u64, subject: &str, verdict: VerdictCode) -> RawRecord {
    let event = VerdictEvent {
        at: stamp(second),
        model: model(),
        subject: subject.into(),
        verdict,
        score: 0.93,
        confidence: 0.98,
        since: stamp(second.saturating_sub(1)),
        evidence: vec![Evidence { what: "voltage".into(), value: 3.712, reference: 3.921, unit: Unit::Volt }],
        departure: None,
    };
    Record::Verdict(event).to_raw().unwrap()
}

pub fn summary(second: u64, anomalous: &[u16]) -> RawRecord {
    let score = (0..12).map(|cell| if anomalous.contains(&cell) { 240 } else { 10 + cell as u8 }).collect();
    let deviation =
        (0..12).map(|cell| if anomalous.contains(&cell) { -84 } else { cell as i16 - 6 }).collect();
    let view = ModelSummary {
        model: model(),
        unit: Unit::Volt,
        reference: 3.921,
        deviation,
        score,
        anomalous: anomalous.to_vec(),
        prefix: "Cell".into(),
    };
    let body =
        Summary { from: stamp(second), to: stamp(second + 1), counts: Counts::default(), models: vec![view] };
    Record::Summary(body).to_raw().unwrap()
}
