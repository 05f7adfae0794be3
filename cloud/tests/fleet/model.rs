//! Bundles for tests: real indexes over made-up parts, and what vehicles tell of them.

use super::stamp;
use std::path::Path;
use telltale_cloud::registry;
use telltale_cloud::store::Store;
use telltale_seal::ContentKey;
use telltale_wire::bundle::{
    AgentVersion, Budget, BundleIndex, BundleName, HardwareId, Part, PartKind, SEAL_OVERHEAD, chunk_exponent,
    chunks_of,
};
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::record::{ModelRef, RawRecord, Record};
use telltale_wire::time::WallTime;
use telltale_wire::update::{Disagreements, RunFigures, ShadowReport, UpdateEvent, UpdateReason, UpdateStep};

/// A bundle of this release, made by ann.
pub fn bundle(release: u32) -> (BundleIndex, Vec<Vec<u8>>) {
    built(release, "cell-fault", None)
}

/// A bundle of this family and release, sealed if there is a key.
pub fn built(release: u32, family: &str, key: Option<&ContentKey>) -> (BundleIndex, Vec<Vec<u8>>) {
    let provenance = format!("{{\"author\":\"ann\",\"data\":{{\"digest\":\"abc{release}\"}}}}").into_bytes();
    let parts: Vec<(PartKind, Vec<u8>)> = vec![
        (PartKind::Model, (0..5_000 + release).map(|n| (n * 7 % 251) as u8).collect()),
        (PartKind::Manifest, b"name = \"cell-fault\"".to_vec()),
        (PartKind::Features, b"[features]".to_vec()),
        (PartKind::Golden, vec![release as u8; 100]),
        (PartKind::Card, format!("# cell-fault, release {release}").into_bytes()),
        (PartKind::Provenance, provenance),
    ];
    let exponent = chunk_exponent(parts.iter().map(|(_, part)| part.len() as u64).sum());
    let name = BundleName::new(family).unwrap();
    let cut = |part: &[u8]| -> Vec<Vec<u8>> {
        match key {
            None => chunks_of(part, exponent).map(<[u8]>::to_vec).collect(),
            Some(key) => {
                let content = part.chunks((1 << exponent) - SEAL_OVERHEAD);
                content.map(|content| key.seal(&name, content).unwrap()).collect()
            }
        }
    };
    let cuts: Vec<Vec<Vec<u8>>> = parts.iter().map(|(_, part)| cut(part)).collect();
    let length = |chunks: &Vec<Vec<u8>>| chunks.iter().map(Vec::len).sum::<usize>() as u32;
    let chunks: Vec<Vec<u8>> = cuts.iter().flatten().cloned().collect();
    let index = BundleIndex {
        family: name.clone(),
        name,
        version: format!("1.{release}.0"),
        release,
        hardware: vec![HardwareId::new("ecu-a").unwrap()],
        min_agent: AgentVersion { major: 0, minor: 1, patch: 0 },
        features: Digest::of(&parts[2].1),
        needs: vec![],
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 0,
        chunk_exponent: exponent,
        parts: parts
            .iter()
            .zip(&cuts)
            .map(|((kind, _), cut)| Part { kind: *kind, length: length(cut) })
            .collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal: key.map(ContentKey::seal_of),
    };
    (index, chunks)
}

/// The bundle as the folder that its builder writes.
pub fn write(index: &BundleIndex, chunks: &[Vec<u8>], dir: &Path) {
    let path = dir.join("index").join(index.path().to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::create_dir_all(dir.join("chunk")).unwrap();
    std::fs::write(path, index.encode().unwrap()).unwrap();
    for chunk in chunks {
        std::fs::write(dir.join("chunk").join(Digest::of(chunk).to_hex()), chunk).unwrap();
    }
}

/// Imports a bundle as ann and approves it as ben. Gives its path and digest.
pub async fn approved(store: &Store, release: u32, now: WallTime) -> (String, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let (index, chunks) = bundle(release);
    write(&index, &chunks, dir.path());
    let found = registry::import(dir.path(), &[]).unwrap();
    assert!(store.add_model(&found[0], "ann", now).await.unwrap());
    let path = index.path().to_string();
    store.approve_model(&path, "ben", "looks good", now).await.unwrap();
    (path, Digest::of(&index.encode().unwrap()))
}

pub fn event(second: u64, bundle: Digest, step: UpdateStep, reason: Option<UpdateReason>) -> RawRecord {
    let event = UpdateEvent {
        at: stamp(second),
        family: "cell-fault".into(),
        release: 1,
        version: "1.1.0".into(),
        bundle,
        step,
        reason,
        why: String::new(),
    };
    Record::Update(event).to_raw().unwrap()
}

pub fn shadow(second: u64, bundle: Digest, compared: u64, differ: u64, failed: u64) -> RawRecord {
    let report = ShadowReport {
        from: stamp(0),
        to: stamp(second),
        family: "cell-fault".into(),
        release: 1,
        bundle,
        reference: ModelRef { name: "cell-fault".into(), digest: ShortDigest([7; 8]) },
        is_trial: false,
        windows: compared / 10,
        compared,
        disagreements: Disagreements { only_candidate_anomalous: differ, ..Disagreements::default() },
        widest_gap: 0.1,
        candidate: RunFigures { inferences: 100, not_finite: failed, p99_us: 900, ..RunFigures::default() },
        reference_ran: RunFigures { inferences: 100, ..RunFigures::default() },
    };
    Record::Shadow(report).to_raw().unwrap()
}
