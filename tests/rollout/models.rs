//! Models that do what their first byte says, in real bundles with golden vectors.

use std::time::Duration;
use telltale_core::pipeline::Comparison;
use telltale_wire::bundle::{AgentVersion, Budget, BundleIndex, Part, PartKind, chunk_exponent, chunks_of};
use telltale_wire::digest::Digest;
use telltale_wire::update::{Disagreements, RunFigures};

pub(crate) const HARDWARE: &str = "bench-a";

/// How a model behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Does {
    Well,
    WrongGolden,
    Slowly,
    NotFinite,
    Disagree,
    Crash,
    DifferALittle,
}

impl Does {
    const ALL: [Does; 7] = [
        Does::Well,
        Does::WrongGolden,
        Does::Slowly,
        Does::NotFinite,
        Does::Disagree,
        Does::Crash,
        Does::DifferALittle,
    ];

    /// What a model of these bytes does.
    pub(crate) fn read(model: &[u8]) -> Self {
        Self::ALL[usize::from(model[0])]
    }

    /// How it did beside the model before, over some hours of windows.
    pub(crate) fn compared(self, is_trial: bool) -> Comparison {
        let (inferences, compared) = (20, 100);
        let good =
            RunFigures { inferences, p50_us: 300, p99_us: 900, max_us: 1_000, ..RunFigures::default() };
        let differ = match self {
            Does::Disagree => 40,
            Does::DifferALittle => 4,
            _ => 0,
        };
        let ran = match self {
            Does::Slowly => RunFigures { too_slow: inferences, p99_us: 90_000, ..good },
            Does::NotFinite => RunFigures { not_finite: 7, ..good },
            _ => good,
        };
        Comparison {
            is_trial,
            windows: 20,
            compared,
            disagreements: Disagreements { only_candidate_anomalous: differ, ..Disagreements::default() },
            ran: Duration::from_secs(7_200),
            candidate_ran: ran,
            reference_ran: good,
            ..Comparison::default()
        }
    }
}

/// What a run of the model over the golden inputs gives.
pub(crate) fn outputs(model: &[u8]) -> Digest {
    Digest::of(model)
}

pub(crate) fn bundle(release: u32, does: Does) -> (BundleIndex, Vec<Vec<u8>>) {
    let place = Does::ALL.iter().position(|known| *known == does).unwrap() as u8;
    let model: Vec<u8> = std::iter::once(place).chain((0..4_000).map(|n| (n * release) as u8)).collect();
    let mut golden = outputs(&model).0.to_vec();
    if does == Does::WrongGolden {
        golden[0] ^= 1;
    }
    let provenance = b"{\"author\":\"ann\",\"recipe\":\"a test\"}".to_vec();
    let parts = [
        (PartKind::Model, model),
        (PartKind::Manifest, b"name = \"cell-fault\"".to_vec()),
        (PartKind::Features, b"[features]".to_vec()),
        (PartKind::Golden, golden),
        (PartKind::Provenance, provenance),
    ];
    let exponent = chunk_exponent(parts.iter().map(|(_, part)| part.len() as u64).sum());
    let chunks: Vec<Vec<u8>> =
        parts.iter().flat_map(|(_, part)| chunks_of(part, exponent).map(<[u8]>::to_vec)).collect();
    let index = BundleIndex {
        family: "cell-fault".parse().unwrap(),
        name: "cell-fault".parse().unwrap(),
        version: format!("1.{release}.0"),
        release,
        hardware: vec![HARDWARE.parse().unwrap()],
        min_agent: AgentVersion::default(),
        features: Digest::of(&parts[2].1),
        needs: Vec::new(),
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 0,
        chunk_exponent: exponent,
        parts: parts.iter().map(|(kind, part)| Part { kind: *kind, length: part.len() as u32 }).collect(),
        chunks: chunks.iter().map(|chunk| Digest::of(chunk)).collect(),
        seal: None,
    };
    (index, chunks)
}
