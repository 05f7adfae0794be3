//! A small fleet's two repositories and one bundle, made from seeds, to be spoilt by attacks and written as a folder
//! that the vehicle's verifier reads like a USB stick.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::*;
use telltale_seal::ContentKey;
use telltale_trust::{Identity, Roots, Verifier};
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;
use telltale_wire::unit::Unit;

/// 2026-06-01, the day of every attack.
pub(crate) const NOW: WallTime = WallTime(1_780_272_000_000_000);
pub(crate) const DAY: i64 = 86_400_000_000;
pub(crate) const VEHICLE: &str = "bench-01";
pub(crate) const HARDWARE: &str = "bench-a";
pub(crate) const PATH: &str = "cell-fault/cell-fault-7.index";

/// The seeds of the keys.
pub(crate) const ROOTS: [u8; 3] = [1, 2, 3];
pub(crate) const TARGETS: u8 = 4;
pub(crate) const FAMILY: u8 = 5;
pub(crate) const SNAPSHOT: u8 = 6;
pub(crate) const TIMESTAMP: u8 = 7;
pub(crate) const ONLINE: u8 = 8;
/// A key that no root names.
pub(crate) const THIEF: u8 = 99;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32]).unwrap()
}

pub(crate) fn role_keys(seeds: &[u8], threshold: usize) -> RoleKeys {
    RoleKeys { keyids: seeds.iter().map(|seed| key(*seed).id()).collect(), threshold }
}

pub(crate) fn later(days: u32) -> Expires {
    Expires::after(NOW, days)
}

/// One repository, not signed yet.
#[derive(Clone)]
pub(crate) struct Side {
    /// All versions of the root, from 1, and who signs each.
    pub(crate) roots: Vec<(Root, Vec<u8>)>,
    pub(crate) targets: Targets,
    /// Delegated roles.
    pub(crate) families: BTreeMap<String, Targets>,
    pub(crate) snapshot: Snapshot,
    pub(crate) timestamp: Timestamp,
    /// Who signs for each role but the root.
    pub(crate) signers: BTreeMap<String, Vec<u8>>,
    /// Changes a file's bytes after it was signed, before others name it.
    pub(crate) tamper: Option<(&'static str, Tamper)>,
}

/// Changes the bytes of a signed file.
pub(crate) type Tamper = fn(Vec<u8>) -> Vec<u8>;

fn root(targets: u8, snapshot: u8, timestamp: u8) -> Root {
    let seeds = ROOTS.into_iter().chain([targets, snapshot, timestamp]);
    let role = |name: &str, seed: u8| (name.to_owned(), role_keys(&[seed], 1));
    Root {
        spec_version: SPEC_VERSION.into(),
        version: 1,
        expires: later(365),
        consistent_snapshot: true,
        keys: seeds.map(|seed| (key(seed).id(), key(seed).public().clone())).collect(),
        roles: BTreeMap::from([
            ("root".to_owned(), role_keys(&ROOTS, 2)),
            role("targets", targets),
            role("snapshot", snapshot),
            role("timestamp", timestamp),
        ]),
    }
}

impl Side {
    fn new(targets: u8, snapshot: u8, timestamp: u8, vehicle: Option<&str>) -> Self {
        let vehicle = vehicle.map(str::to_owned);
        let spec_version = SPEC_VERSION.to_owned();
        let signers = [("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)];
        Self {
            roots: vec![(root(targets, snapshot, timestamp), vec![ROOTS[0], ROOTS[1]])],
            targets: no_targets(vehicle.clone()),
            families: BTreeMap::new(),
            snapshot: Snapshot {
                spec_version: spec_version.clone(),
                version: 1,
                expires: later(7),
                meta: BTreeMap::new(),
                vehicle: vehicle.clone(),
            },
            timestamp: Timestamp {
                spec_version,
                version: 1,
                expires: later(1),
                meta: BTreeMap::new(),
                vehicle,
            },
            signers: signers.into_iter().map(|(role, seed)| (role.to_owned(), vec![seed])).collect(),
            tamper: None,
        }
    }

    /// Leaves this family's paths to a role of the same name.
    pub(crate) fn delegate(&mut self, family: &str, seed: u8) {
        let delegations = self.targets.delegations.get_or_insert_default();
        delegations.keys.insert(key(seed).id(), key(seed).public().clone());
        delegations.roles.push(DelegatedRole {
            name: family.into(),
            keys: role_keys(&[seed], 1),
            terminating: true,
            paths: vec![format!("{family}/*")],
        });
        self.families.insert(family.into(), no_targets(None));
        self.signers.insert(family.into(), vec![seed]);
    }

    /// Counts all versions but the root's up: a new state.
    pub(crate) fn next(&mut self) {
        self.targets.version += 1;
        self.families.values_mut().for_each(|family| family.version += 1);
        self.snapshot.version += 1;
        self.timestamp.version += 1;
    }

    /// The next root, signed by the same two keys, changed.
    pub(crate) fn rotate(&mut self, change: impl FnOnce(&mut Root)) {
        let (mut root, signers) = self.roots.last().cloned().unwrap();
        root.version += 1;
        change(&mut root);
        self.roots.push((root, signers));
    }

    /// Every file by its name.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (root, signers) in &self.roots {
            files.insert(
                format!("{}.root.json", root.version),
                signed(&Metadata::Root(root.clone()), signers),
            );
        }
        let mut snapshot = self.snapshot.clone();
        let roles =
            std::iter::once(("targets".to_owned(), self.targets.clone())).chain(self.families.clone());
        for (role, targets) in roles {
            let version = targets.version;
            let bytes = self.signed(&role, Metadata::Targets(targets));
            snapshot.meta.entry(format!("{role}.json")).or_insert_with(|| MetaFile::of(&bytes, version));
            files.insert(format!("{version}.{role}.json"), bytes);
        }
        let (mut timestamp, version) = (self.timestamp.clone(), snapshot.version);
        let bytes = self.signed("snapshot", Metadata::Snapshot(snapshot));
        timestamp.meta.entry("snapshot.json".into()).or_insert_with(|| MetaFile::of(&bytes, version));
        files.insert(format!("{version}.snapshot.json"), bytes);
        files.insert("timestamp.json".into(), self.signed("timestamp", Metadata::Timestamp(timestamp)));
        files
    }

    fn signed(&self, role: &str, metadata: Metadata) -> Vec<u8> {
        let bytes = signed(&metadata, self.signers.get(role).map_or(&[][..], Vec::as_slice));
        match self.tamper {
            Some((tampered, change)) if tampered == role => change(bytes),
            _ => bytes,
        }
    }
}

fn signed(metadata: &Metadata, seeds: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
    Envelope::signed(metadata, &keys).unwrap()
}

fn no_targets(vehicle: Option<String>) -> Targets {
    Targets {
        spec_version: SPEC_VERSION.into(),
        version: 1,
        expires: later(30),
        targets: BTreeMap::new(),
        delegations: None,
        vehicle,
    }
}

/// Both repositories, and the bundle.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) director: Side,
    pub(crate) image: Side,
    pub(crate) index: Vec<u8>,
    pub(crate) chunks: Vec<Vec<u8>>,
}

impl World {
    /// Nothing wrong with it: release 7 of cell-fault, for this vehicle.
    pub(crate) fn honest() -> Self {
        let (index, chunks) = bundle(7, HARDWARE);
        let mut director = Side::new(ONLINE, ONLINE, ONLINE, Some(VEHICLE));
        let mut image = Side::new(TARGETS, SNAPSHOT, TIMESTAMP, None);
        image.delegate("cell-fault", FAMILY);
        let target = target(&index, 7);
        image.family().targets.insert(PATH.into(), target.clone());
        director.targets.targets.insert(PATH.into(), target);
        Self { director, image, index, chunks }
    }

    /// Writes it as a stick.
    pub(crate) fn write(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        for (side, files) in [("director", self.director.files()), ("image", self.image.files())] {
            fs::create_dir_all(folder.join(side)).unwrap();
            for (name, bytes) in files {
                fs::write(folder.join(side).join(name), bytes).unwrap();
            }
        }
        fs::create_dir_all(folder.join("index/cell-fault")).unwrap();
        fs::create_dir_all(folder.join("chunk")).unwrap();
        fs::write(folder.join("index").join(PATH), &self.index).unwrap();
        for chunk in &self.chunks {
            fs::write(folder.join("chunk").join(Digest::of(chunk).to_hex()), chunk).unwrap();
        }
    }

    /// The vehicle that was given the first roots, keeping what it believes in `folder`.
    pub(crate) fn vehicle(&self, folder: &Path) -> Verifier {
        let root = |side: &Side| side.files()["1.root.json"].clone();
        let roots = Roots { director: root(&self.director), image: root(&self.image) };
        Verifier::open(folder, roots, identity()).unwrap()
    }

    /// What the director says of the bundle.
    pub(crate) fn directed(&mut self) -> &mut Target {
        self.director.targets.targets.get_mut(PATH).unwrap()
    }
}

impl Side {
    /// The role of cell-fault.
    pub(crate) fn family(&mut self) -> &mut Targets {
        self.families.get_mut("cell-fault").unwrap()
    }
}

pub(crate) fn identity() -> Identity {
    Identity { vehicle: VehicleId::new(VEHICLE).unwrap(), hardware: HARDWARE.parse().unwrap() }
}

/// What honest metadata says of this index.
pub(crate) fn target(index: &[u8], release: u32) -> Target {
    let hardware_ids = vec![HARDWARE.parse().unwrap()];
    Target::of(
        index,
        Some(Custom { hardware_ids, release, family: "cell-fault".parse().unwrap(), content_key: None }),
    )
}

/// What a part of the bundle holds.
pub(crate) fn part(seed: usize, release: u32) -> Vec<u8> {
    (0..700 * (seed + 1)).map(|at| (at * 31 + seed + release as usize) as u8).collect()
}

/// A small bundle: its index and its chunks.
pub(crate) fn bundle(release: u32, hardware: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    cut(release, hardware, None, |content| content.to_vec())
}

/// The same, of which the index says that it is sealed with one key, and which is sealed with another.
pub(crate) fn sealed_bundle(
    release: u32,
    hardware: &str,
    says: &ContentKey,
    by: &ContentKey,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let family = "cell-fault".parse().unwrap();
    cut(release, hardware, Some(says.seal_of()), |content| by.seal(&family, content).unwrap())
}

fn cut(
    release: u32,
    hardware: &str,
    seal: Option<Seal>,
    made: impl Fn(&[u8]) -> Vec<u8>,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let size = if seal.is_some() { 1_024 - SEAL_OVERHEAD } else { 1_024 };
    let kinds: Vec<PartKind> = PartKind::ALL.into_iter().take(7).collect();
    let parts: Vec<Vec<Vec<u8>>> =
        (0..kinds.len()).map(|seed| part(seed, release).chunks(size).map(&made).collect()).collect();
    let length = |chunks: &Vec<Vec<u8>>| chunks.iter().map(Vec::len).sum::<usize>() as u32;
    let chunks: Vec<Vec<u8>> = parts.iter().flatten().cloned().collect();
    let index = BundleIndex {
        family: "cell-fault".parse().unwrap(),
        name: "cell-fault".parse().unwrap(),
        version: "1.0.0".into(),
        release,
        hardware: vec![hardware.parse().unwrap()],
        min_agent: AgentVersion::default(),
        features: Digest::of(&part(2, release)),
        needs: vec![SignalNeed { vss: "Vehicle.Cell{n}.Voltage".into(), unit: Unit::Volt }],
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 0,
        chunk_exponent: 10,
        parts: kinds
            .iter()
            .zip(&parts)
            .map(|(kind, part)| Part { kind: *kind, length: length(part) })
            .collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal,
    };
    (index.encode().unwrap(), chunks)
}
