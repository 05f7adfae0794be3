//! Bundle indexes as they are pinned.

use super::Case;
use telltale_wire::bundle::*;
use telltale_wire::digest::Digest;
use telltale_wire::unit::Unit;

/// An index of every kind of part, and one with a part that this does not know.
pub(crate) fn indexes() -> Vec<Case> {
    let lengths = [2_500, 600, 700, 80, 1_025, 300, 70_000];
    let index = BundleIndex {
        family: BundleName::new("cell-fault").unwrap(),
        name: BundleName::new("cell-fault-2").unwrap(),
        version: "1.0.0".into(),
        release: 300,
        hardware: vec![HardwareId::new("bench-a").unwrap(), HardwareId::new("orin_nx.1").unwrap()],
        min_agent: AgentVersion { major: 0, minor: 300, patch: 2 },
        features: Digest(core::array::from_fn(|i| i as u8)),
        needs: vec![
            SignalNeed { vss: "Vehicle.Cell{n}.Voltage".into(), unit: Unit::Volt },
            SignalNeed { vss: "Vehicle.Current".into(), unit: Unit::Ampere },
        ],
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 1,
        chunk_exponent: 16,
        // A model's kinds of part; a configuration's are in its own case.
        parts: PartKind::ALL.into_iter().zip(lengths).map(|(kind, length)| Part { kind, length }).collect(),
        chunks: (0..8).map(|i| Digest([i; 32])).collect(),
        seal: None,
    };
    let mut newer = index.clone();
    newer.parts[6] = Part { kind: PartKind::Other(200), length: 1 };
    newer.chunks.pop();
    let case = |label: &str, index: BundleIndex| {
        let bytes = index.encode().unwrap();
        let reads = move |bytes: &[u8]| BundleIndex::decode(bytes).as_ref() == Ok(&index);
        Case { label: label.into(), bytes, reads: Box::new(reads) }
    };
    let configuration = BundleIndex {
        family: BundleName::new(CONFIGURATION).unwrap(),
        features: Digest([0; 32]),
        chunk_exponent: 10,
        parts: vec![
            Part { kind: PartKind::Catalog, length: 1_500 },
            Part { kind: PartKind::Campaign, length: 90 },
        ],
        chunks: (0..3).map(|i| Digest([i; 32])).collect(),
        ..index.clone()
    };
    let seal = Some(Seal { scheme: SEAL_SCHEME, key_id: Digest([0xa5; 32]) });
    let sealed = BundleIndex { seal, ..index.clone() };
    let cases = [case("index", index), case("index-with-a-newer-part", newer)];
    let documents = Documents {
        files: vec![
            Document { name: "catalog.toml".into(), bytes: b"schema = 1".to_vec() },
            Document { name: "dbc/bms.dbc".into(), bytes: vec![0, 200] },
        ],
    };
    let bytes = documents.encode().unwrap();
    let reads = move |bytes: &[u8]| Documents::decode(bytes).as_ref() == Ok(&documents);
    let documents = Case { label: "documents".into(), bytes, reads: Box::new(reads) };
    let more = [case("index-of-a-configuration", configuration), documents, case("sealed-index", sealed)];
    cases.into_iter().chain(more).collect()
}
