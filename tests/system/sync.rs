//! The agent's store and uplink against the real server over real TLS, through a line that keeps breaking.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use telltale_agent::files::Directory;
use telltale_agent::store::{Clock, Store};
use telltale_agent::uplink::{self, LineConfig, Until, UplinkError};
use telltale_cloud::pki::{Enrolled, Existing, Pki, Validity};
use telltale_cloud::server::{Config, Server};
use telltale_cloud::store::Store as FleetStore;
use telltale_core::spool::{BatchLimits, SpoolConfig};
use telltale_core::uplink::{UplinkConfig, UplinkStats};
use telltale_wire::ids::{BootId, VehicleId};
use telltale_wire::record::{Counts, LossRecord, LossStage, Record, Status};
use telltale_wire::time::{MonoTime, Stamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

const VEHICLE: &str = "bench-01";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || Stamp { mono: MonoTime(start.elapsed().as_micros() as u64), wall: None })
}

fn vehicle() -> VehicleId {
    VehicleId::new(VEHICLE).unwrap()
}

/// A fleet server in this process.
async fn serve(dir: &Path) -> (SocketAddr, Pki) {
    let pki = Pki::init(&dir.join("pki"), &[], Existing::Keep).unwrap();
    let server = Server::bind(Config::new(dir.join("pki"), dir.join("fleet.db"))).await.unwrap();
    let address = server.vehicle_addr();
    tokio::spawn(server.run(std::future::pending()));
    (address, pki)
}

/// A line to `server` of which the first `breaks` connections break, each after another number of bytes down:
/// from nothing at all, through the handshake, to behind several answers.
async fn breaking_line(server: SocketAddr, breaks: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let n = count.fetch_add(1, Ordering::Relaxed);
            let limit = if n < breaks { 97 * (n % 20) } else { usize::MAX };
            tokio::spawn(carry(near, server, limit));
        }
    });
    (address, connections)
}

async fn carry(near: TcpStream, server: SocketAddr, limit: usize) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = async { drop(tokio::io::copy(&mut near_read, &mut far_write).await) };
    let down = async {
        let (mut left, mut buffer) = (limit, vec![0; 4096]);
        while let Ok(n @ 1..) = far_read.read(&mut buffer).await {
            let n = n.min(left);
            if near_write.write_all(&buffer[..n]).await.is_err() || n == left {
                break;
            }
            left -= n;
        }
    };
    // Whichever side ends first takes the other with it: both sockets close here.
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

fn line(address: SocketAddr, files: &Enrolled) -> LineConfig {
    LineConfig {
        url: format!("https://{address}"),
        ca: files.authority.clone(),
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        vehicle: vehicle(),
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
        pace: UplinkConfig {
            limits: BatchLimits { records: 5, bytes: 64 * 1024 },
            backoff_first: Duration::from_millis(1),
            backoff_max: Duration::from_millis(5),
            ..UplinkConfig::default()
        },
        seed: 7,
        purse: None,
    }
}

fn record(n: u64) -> Record {
    let at = Stamp { mono: MonoTime(n), wall: None };
    if n.is_multiple_of(10) {
        let why = "a test".to_owned();
        return Record::Loss(LossRecord { at, stage: LossStage::Receive, count: 1, range: None, why });
    }
    Record::Status(Status { at, totals: Counts::default(), spool_bytes: n, pss_bytes: 0 })
}

async fn drain(store: &Store, line: LineConfig) -> Result<UplinkStats, UplinkError> {
    let (_stop, stopped) = watch::channel(false);
    let running = uplink::run(line, store.handle(), clock(), Until::Drained, stopped);
    tokio::time::timeout(Duration::from_secs(120), running).await.expect("the store did not drain in 120 s")
}

#[test]
fn every_record_has_its_effect_exactly_once_over_a_line_that_breaks() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (server, pki) = serve(dir.path()).await;
        let files =
            pki.enroll(&vehicle(), &dir.path().join("vehicle"), Validity::days(1), Existing::Keep).unwrap();
        let (address, connections) = breaking_line(server, 40).await;
        let spool = dir.path().join("spool");
        for boot in 1..=2 {
            let start = Store::start(
                Directory::lock(&spool).unwrap(),
                SpoolConfig::default(),
                BootId::new(boot, 5),
                clock(),
            );
            let (store, _) = start.unwrap();
            for n in 1..=250 {
                store.handle().append(Stamp { mono: MonoTime(n), wall: None }, record(n));
            }
            if boot == 2 {
                let stats = drain(&store, line(address, &files)).await.unwrap();
                assert!(stats.failures >= 10 && stats.acknowledged == 500, "{stats:?}");
                assert_eq!(store.handle().stats().await.unwrap().waiting_records, 0);
            }
            store.close();
        }
        assert!(connections.load(Ordering::Relaxed) > 10, "the line did not break");

        let fleet = FleetStore::open(&dir.path().join("fleet.db"), Duration::from_secs(5)).await.unwrap();
        let counts = fleet.vehicle(VEHICLE).await.unwrap().expect("the vehicle is known").line.counts;
        assert_eq!((counts.records, counts.conflicts, counts.unexplained_gaps), (500, 0, 0));
        assert_eq!(counts.lost_frames, 50, "each loss was counted once");
        assert!(counts.duplicates > 0, "no answer was cut behind its commit: the line broke too early");
    });
}

#[test]
fn a_certificate_of_another_vehicle_is_refused_and_nothing_leaves_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (server, pki) = serve(dir.path()).await;
        let other = VehicleId::new("bench-02").unwrap();
        let files = pki.enroll(&other, &dir.path().join("other"), Validity::days(1), Existing::Keep).unwrap();
        let start = Store::start(
            Directory::lock(&dir.path().join("spool")).unwrap(),
            SpoolConfig::default(),
            BootId::new(1, 5),
            clock(),
        );
        let (store, _) = start.unwrap();
        store.handle().append(Stamp { mono: MonoTime(1), wall: None }, record(1));
        let refused = drain(&store, line(server, &files)).await;
        assert!(matches!(refused, Err(UplinkError::Refused)), "{refused:?}");
        assert_eq!(store.handle().stats().await.unwrap().waiting_records, 1);
        store.close();
    });
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_named() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (server, pki) = serve(dir.path()).await;
        let mine = pki.enroll(&vehicle(), &dir.path().join("a"), Validity::days(1), Existing::Keep).unwrap();
        let other = pki.enroll(&vehicle(), &dir.path().join("b"), Validity::days(1), Existing::Keep).unwrap();
        let start = Store::start(
            Directory::lock(&dir.path().join("spool")).unwrap(),
            SpoolConfig::default(),
            BootId::new(1, 5),
            clock(),
        );
        let (store, _) = start.unwrap();
        let mixed = LineConfig { key: other.key.clone(), ..line(server, &mine) };
        let error = drain(&store, mixed).await.unwrap_err().to_string();
        assert!(
            error.contains("vehicle.pem") && error.contains("vehicle.key") && error.contains("pair"),
            "{error}"
        );
        store.close();
    });
}
