//! What the signing side publishes, over months of keys and releases, as the vehicle believes it.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use telltale_repository::director::{Director, Issued, Versions};
use telltale_repository::key::{PublicKey, SigningKey};
use telltale_repository::{Holders, Repository, RepositoryError, Side};
use telltale_trust::{Answer, Distrust, Floors, Identity, Roots, Stick, TrustError, Verifier};
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

const NOW: WallTime = WallTime(1_780_272_000_000_000);
const DAY: i64 = 86_400_000_000;

fn day(days: i64) -> WallTime {
    WallTime(NOW.0 + days * DAY)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32]).unwrap()
}

fn keys(seeds: &[u8]) -> Vec<SigningKey> {
    seeds.iter().map(|seed| key(*seed)).collect()
}

fn public(seeds: &[u8]) -> Vec<PublicKey> {
    seeds.iter().map(|seed| key(*seed).public().clone()).collect()
}

/// Roots 1 to 3, targets 4, family 5, snapshot 6, timestamp 7, director 8.
const ALL: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn index(release: u32) -> (BundleIndex, Vec<Vec<u8>>) {
    let parts: Vec<(PartKind, Vec<u8>)> = PartKind::REQUIRED
        .into_iter()
        .map(|kind| {
            (kind, (0..3_000u32).map(|at| (at * (1 + release) + u32::from(u8::from(kind))) as u8).collect())
        })
        .collect();
    let chunks: Vec<Vec<u8>> =
        parts.iter().flat_map(|(_, bytes)| chunks_of(bytes, 10).map(<[u8]>::to_vec)).collect();
    let index = BundleIndex {
        family: "cell-fault".parse().unwrap(),
        name: "cell-fault".parse().unwrap(),
        version: "1".into(),
        release,
        hardware: vec!["bench-a".parse().unwrap()],
        min_agent: AgentVersion::default(),
        features: Digest::of(b""),
        needs: vec![],
        budget: Budget { latency_us: 1, memory_bytes: 1 },
        golden_tolerance: 0,
        chunk_exponent: 10,
        parts: parts.iter().map(|(kind, bytes)| Part { kind: *kind, length: bytes.len() as u32 }).collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal: None,
    };
    (index, chunks)
}

fn build(folder: &Path, release: u32) -> IndexPath {
    let (index, chunks) = index(release);
    std::fs::create_dir_all(folder.join("index/cell-fault")).unwrap();
    std::fs::create_dir_all(folder.join("chunk")).unwrap();
    std::fs::write(folder.join("index").join(index.path().to_string()), index.encode().unwrap()).unwrap();
    for chunk in chunks {
        std::fs::write(folder.join("chunk").join(Digest::of(&chunk).to_hex()), chunk).unwrap();
    }
    index.path()
}

/// The signing side and one vehicle.
struct Fleet {
    dir: tempfile::TempDir,
    repository: Repository,
    issued: Option<Issued>,
    vehicle: Verifier,
}

fn vehicle() -> VehicleId {
    VehicleId::new("bench-01").unwrap()
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::open(dir.path().join("repo"));
        let holders = |targets: u8, snapshot: u8, timestamp: u8| Holders {
            root: public(&[1, 2, 3]),
            root_threshold: 2,
            targets: key(targets).public().clone(),
            snapshot: key(snapshot).public().clone(),
            timestamp: key(timestamp).public().clone(),
        };
        repository.init(Side::Image, &holders(4, 6, 7), NOW).unwrap();
        repository.init(Side::Director, &holders(8, 8, 8), NOW).unwrap();
        let repository_root = |side: Side| {
            std::fs::read(dir.path().join("repo").join(side.folder()).join("1.root.json")).unwrap()
        };
        repository.sign(&keys(&ALL)).unwrap();
        repository.publish(&keys(&ALL), NOW).unwrap();
        let roots = Roots { director: repository_root(Side::Director), image: repository_root(Side::Image) };
        let identity = Identity { vehicle: vehicle(), hardware: "bench-a".parse().unwrap() };
        let vehicle = Verifier::open(&dir.path().join("vehicle"), roots, identity).unwrap();
        let fleet = Self { repository, issued: None, vehicle, dir };
        fleet.repository.delegate(&"cell-fault".parse().unwrap(), &public(&[5]), 1, NOW).unwrap();
        fleet.publish(&ALL, NOW);
        fleet
    }

    fn publish(&self, seeds: &[u8], now: WallTime) {
        self.repository.sign(&keys(seeds)).unwrap();
        self.repository.publish(&keys(seeds), now).unwrap();
    }

    fn release(&self, release: u32, now: WallTime) -> IndexPath {
        let bundles = self.dir.path().join("bundles");
        let path = build(&bundles, release);
        self.repository.add(&bundles, &path, now).unwrap();
        self.publish(&ALL, now);
        path
    }

    /// What the vehicle says to a stick with these bundles.
    fn check(&mut self, director: u8, paths: &[IndexPath], now: WallTime) -> Result<Answer, TrustError> {
        let root = self.repository.root(Side::Director).unwrap();
        let director = Director::new(&root, key(director)).unwrap();
        let named: BTreeMap<_, _> = paths
            .iter()
            .map(|path| (path.to_string(), self.repository.target(path).unwrap().unwrap()))
            .collect();
        let before = self.issued.as_ref().map_or(Versions::default(), |issued| issued.versions);
        let issued = director.issue(&vehicle(), before, &named, now).unwrap();
        let out = self.dir.path().join("stick");
        let _ = std::fs::remove_dir_all(&out);
        self.repository.write_stick(&out, &issued, paths).unwrap();
        self.issued = Some(issued);
        self.look(now)
    }

    fn look(&mut self, now: WallTime) -> Result<Answer, TrustError> {
        let stick = Stick::new(self.dir.path().join("stick"));
        run(self.vehicle.check(stick.director(), stick.image(), Some(now), &Floors::new()))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn a_published_bundle_arrives_whole() {
    let mut fleet = Fleet::new();
    let path = fleet.release(7, NOW);
    let answer = fleet.check(8, std::slice::from_ref(&path), NOW).unwrap();
    assert_eq!((answer.version, answer.offers.len(), answer.refused.len()), (1, 1, 0));
    let stick = Stick::new(fleet.dir.path().join("stick"));
    let taken = answer.offers[0].index(&stick.index(&path).unwrap().unwrap()).unwrap();
    let (expected, chunks) = index(7);
    assert_eq!(*taken, expected);
    for (chunk, expected) in taken.chunks().zip(chunks) {
        let bytes = stick.chunk(&chunk).unwrap().unwrap();
        assert_eq!(*taken.check_chunk(chunk.number, &bytes).unwrap().1, expected);
    }
}

#[test]
fn years_of_releases_and_rotated_keys_are_followed() {
    let mut fleet = Fleet::new();
    let first = fleet.release(1, NOW);
    assert_eq!(fleet.check(8, &[first], NOW).unwrap().offers.len(), 1);

    // Every key but the targets' is replaced, one after the other; the vehicle is away meanwhile.
    let root = |side, role, add: u8, revoke: u8, signers: &[u8], now| {
        let (add, revoke) = (public(&[add]), vec![key(revoke).id()]);
        fleet.repository.rotate(side, role, &add, &revoke, None, now).unwrap();
        fleet.repository.sign(&keys(signers)).unwrap();
        fleet.repository.publish(&keys(&[6, 7, 16, 17]), now).unwrap();
    };
    root(Side::Image, "root", 11, 1, &[1, 2, 11], day(10));
    root(Side::Image, "root", 12, 2, &[2, 3, 11], day(20));
    root(Side::Image, "snapshot", 16, 6, &[11, 12], day(30));
    root(Side::Image, "timestamp", 17, 7, &[3, 12], day(40));
    for role in ["targets", "snapshot", "timestamp"] {
        root(Side::Director, role, 18, 8, &[1, 3], day(50));
    }
    let family = "cell-fault".parse().unwrap();
    fleet.repository.delegate(&family, &public(&[15]), 1, day(60)).unwrap();
    fleet.publish(&[4, 15, 16, 17], day(60));
    let bundles = fleet.dir.path().join("bundles");
    let second = build(&bundles, 2);
    fleet.repository.add(&bundles, &second, day(61)).unwrap();
    fleet.publish(&[15, 16, 17], day(61));
    let answer = fleet.check(18, &[second], day(61)).unwrap();
    assert_eq!(answer.offers[0].path().release, 2);

    // The revoked keys are worth nothing.
    let root = fleet.repository.root(Side::Director).unwrap();
    assert!(matches!(Director::new(&root, key(8)), Err(RepositoryError::NotAKeyOf { .. })));
    let third = build(&bundles, 3);
    fleet.repository.add(&bundles, &third, day(62)).unwrap();
    fleet.repository.sign(&keys(&[5])).unwrap();
    let refused = fleet.repository.publish(&keys(&[16, 17]), day(62));
    assert!(matches!(refused, Err(RepositoryError::NotSigned { found: 0, .. })), "{refused:?}");
    fleet.repository.sign(&keys(&[15])).unwrap();
    let refused = fleet.repository.publish(&keys(&[6, 7]), day(62));
    assert!(matches!(refused, Err(RepositoryError::NotSigned { .. })), "{refused:?}");
}

#[test]
fn what_ends_is_told_and_renewed() {
    let mut fleet = Fleet::new();
    let path = fleet.release(1, NOW);
    fleet.check(8, std::slice::from_ref(&path), NOW).unwrap();
    let expired = |answer: Result<Answer, TrustError>| match answer.unwrap_err().reason {
        Distrust::Expired { role, .. } => role,
        other => panic!("{other}"),
    };
    // The director's timestamp ends first, and is renewed without a new version of the targets.
    assert_eq!(expired(fleet.look(day(2))), "timestamp");
    let director = Director::new(&fleet.repository.root(Side::Director).unwrap(), key(8)).unwrap();
    let issued = director.renew(&vehicle(), fleet.issued.clone().unwrap(), day(2)).unwrap();
    fleet.repository.write_stick(&fleet.dir.path().join("stick"), &issued, &[]).unwrap();
    assert_eq!(fleet.look(day(2)).unwrap().version, 1);
    fleet.issued = Some(issued);
    // Then the image repository's, which a timer renews.
    fleet.repository.publish(&keys(&[6, 7]), day(100)).unwrap();
    assert_eq!(fleet.check(8, std::slice::from_ref(&path), day(100)).unwrap().offers.len(), 1);
    // After half a year, what is signed offline.
    let renewed = fleet.repository.renew(30, day(160)).unwrap();
    let image = |role: &str| (Side::Image, role.to_owned());
    assert_eq!(renewed, [image("cell-fault"), image("targets")]);
    fleet.publish(&ALL, day(170));
    assert_eq!(
        fleet.check(8, std::slice::from_ref(&path), day(200)).unwrap_err().side,
        telltale_trust::Side::Image
    );
    fleet.repository.publish(&keys(&[6, 7]), day(200)).unwrap();
    assert_eq!(fleet.check(8, &[path], day(200)).unwrap().offers.len(), 1);
    let renewed = fleet.repository.renew(30, day(340)).unwrap();
    assert_eq!(renewed.iter().filter(|(_, role)| role == "root").count(), 2);
}

#[test]
fn releases_never_change_and_only_count_up() {
    let fleet = Fleet::new();
    let bundles = fleet.dir.path().join("bundles");
    let path = fleet.release(5, NOW);
    let again = fleet.repository.add(&bundles, &path, NOW);
    assert!(matches!(again, Err(RepositoryError::ReleaseTaken(_))));
    let older = fleet.repository.add(&bundles, &build(&bundles, 4), NOW);
    assert!(matches!(older, Err(RepositoryError::ReleaseOrder { newest: 5, .. })));
    let other = "battery/battery-1.index".parse().unwrap();
    assert!(fleet.repository.add(&bundles, &other, NOW).is_err());
    fleet.repository.add(&bundles, &build(&bundles, 6), NOW).unwrap();
    let twice = fleet.repository.add(&bundles, &build(&bundles, 7), NOW);
    assert!(matches!(twice, Err(RepositoryError::Staged(_))), "{twice:?}");
    fleet.publish(&ALL, NOW);
    // A chunk that was changed after it was built.
    let path = build(&bundles, 8);
    let name = index(8).0.chunks[2].to_hex();
    std::fs::write(bundles.join("chunk").join(name), b"x").unwrap();
    assert!(matches!(fleet.repository.add(&bundles, &path, NOW), Err(RepositoryError::Bundle { .. })));
}

#[test]
fn a_withdrawn_bundle_is_no_longer_taken() {
    let mut fleet = Fleet::new();
    let path = fleet.release(1, NOW);
    let named = fleet.repository.target(&path).unwrap().unwrap();
    fleet.check(8, std::slice::from_ref(&path), NOW).unwrap();
    fleet.repository.withdraw(&path, NOW).unwrap();
    fleet.publish(&ALL, NOW);
    assert_eq!(fleet.repository.target(&path).unwrap(), None);
    let director = Director::new(&fleet.repository.root(Side::Director).unwrap(), key(8)).unwrap();
    let before = fleet.issued.clone().unwrap().versions;
    let issued = director.issue(&vehicle(), before, &[(path.to_string(), named)].into(), NOW).unwrap();
    fleet.repository.write_stick(&fleet.dir.path().join("stick"), &issued, &[]).unwrap();
    let answer = fleet.look(NOW).unwrap();
    assert_eq!(answer.refused[0].1, telltale_trust::Refusal::NotInImage);
}

#[test]
fn a_root_needs_as_many_holders_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path());
    let holders = |threshold| Holders {
        root: public(&[1, 1, 2]),
        root_threshold: threshold,
        targets: key(4).public().clone(),
        snapshot: key(6).public().clone(),
        timestamp: key(7).public().clone(),
    };
    for bad in [0, 3] {
        let refused = repository.init(Side::Image, &holders(bad), NOW);
        assert!(matches!(refused, Err(RepositoryError::Threshold { keys: 2, .. })), "{bad}");
    }
    repository.init(Side::Image, &holders(2), NOW).unwrap();
    repository.sign(&keys(&[1, 4])).unwrap();
    let refused = repository.publish(&keys(&[6, 7]), NOW);
    assert!(matches!(refused, Err(RepositoryError::NotSigned { found: 1, threshold: 2, .. })), "{refused:?}");
    assert!(!dir.path().join("image").exists());
}

/// Before a rollout is written, the server's people follow the chain as a vehicle does.
#[test]
fn a_bundle_is_proven_by_its_whole_chain_or_not_at_all() {
    let fleet = Fleet::new();
    let path = fleet.release(1, NOW);
    let target = fleet.repository.proven_target(&path, day(1)).unwrap().unwrap();
    assert_eq!(Some(target), fleet.repository.target(&path).unwrap());
    assert_eq!(
        fleet.repository.proven_target(&"cell-fault/cell-fault-2.index".parse().unwrap(), NOW).unwrap(),
        None
    );
    assert_eq!(fleet.repository.proven_target(&"other/other-1.index".parse().unwrap(), NOW).unwrap(), None);
    // Timestamps hold for 3 days.
    let ended = fleet.repository.proven_target(&path, day(4)).unwrap_err();
    assert!(matches!(&ended, RepositoryError::Ended { role, .. } if role == "timestamp"), "{ended}");

    let image = fleet.repository.path().join("image");
    let newest = |end: &str| {
        let mut names: Vec<_> =
            std::fs::read_dir(&image).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| path.to_string_lossy().ends_with(end));
        names.sort();
        names.pop().unwrap()
    };
    for (role, change) in [
        ("cell-fault", ("\"release\":1", "\"release\":2")),
        ("targets", ("\"terminating\":true", "\"terminating\":false")),
        ("snapshot", ("\"version\":", "\"version\":1")),
        ("timestamp", ("\"length\":", "\"length\":1")),
    ] {
        let file = newest(&format!("{role}.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        let changed = text.replacen(change.0, change.1, 1);
        assert_ne!(changed, text, "{role}");
        std::fs::write(&file, changed).unwrap();
        assert!(fleet.repository.proven_target(&path, day(1)).is_err(), "{role}");
        std::fs::write(&file, text).unwrap();
    }
    assert!(fleet.repository.proven_target(&path, day(1)).unwrap().is_some());
}
