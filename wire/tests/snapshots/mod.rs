//! The cases of the snapshots' packing and causes.

use super::{AT, Case, plain};
use telltale_wire::snapshot::{
    self, Number, SampleState, SnapshotBlock, SnapshotCause, SnapshotMessage, SnapshotPart, SnapshotRow,
    SnapshotSample, SnapshotSignal,
};
use telltale_wire::unit::Unit;

/// A packed block: the packing is an interface, too, for old snapshots are read by new servers.
fn block(label: &str, messages: Vec<SnapshotMessage>) -> Case {
    let mut value = SnapshotBlock { messages };
    let bytes = snapshot::encode(&mut value).unwrap();
    let reads = move |bytes: &[u8]| snapshot::decode(bytes).as_ref() == Ok(&value);
    Case { label: label.into(), bytes, reads: Box::new(reads) }
}

/// Every number, scale, state and set of signals; steps, drifts, noise and times that jitter, repeat and pause.
pub(super) fn blocks() -> Vec<Case> {
    let signal = |name: &str, number, bits, factor, offset| SnapshotSignal {
        name: name.into(),
        number,
        bits,
        unit: Unit::Volt,
        factor,
        offset,
    };
    let cells = (1..=4).map(|n| signal(&format!("Pack.Cell{n}.Voltage"), Number::Unsigned, 16, 0.001, 0.0));
    let mut pack = SnapshotMessage { signals: cells.collect(), ..SnapshotMessage::default() };
    let mixed = vec![
        signal("Pack.Current", Number::Signed, 13, -0.1, 0.0),
        signal("Pack.Counter", Number::Unsigned, 4, 1.0, 0.0),
        signal("Pack.Heat", Number::Float, 32, 1.0 / 3.0, -0.0),
        signal("Pack.Ähnlich", Number::Double, 64, 1e300, 1.5),
    ];
    let mut mixed = SnapshotMessage { signals: mixed, ..SnapshotMessage::default() };
    let mut noise = 1u64;
    for n in 0..40u64 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let jitter = noise >> 61;
        let raw = |cell: u64| 3_700 + n / 4 + cell + jitter / 4;
        let state = if n == 20 { SampleState::SensorFault } else { SampleState::Value };
        pack.samples.extend((0..4).map(|cell| SnapshotSample {
            signal: cell,
            state,
            raw: raw(u64::from(cell)),
        }));
        pack.rows.push(SnapshotRow { at: 5_000_000 + n * 100_000 + jitter, end: pack.samples.len() as u32 });
        let values =
            [(noise >> 40) & 0x1FFF, n % 16, u64::from((n as f32 * 0.5).to_bits()), f64::NAN.to_bits()];
        let state = if n % 9 == 0 { SampleState::OutOfRange } else { SampleState::Value };
        for (place, raw) in values.into_iter().enumerate().filter(|(place, _)| n % 3 != 0 || *place < 2) {
            mixed.samples.push(SnapshotSample { signal: place as u16, state, raw });
        }
        let pause = if n > 30 { 77_000_000 } else { 0 };
        mixed
            .rows
            .push(SnapshotRow { at: 4_000_000 + n / 2 * 10_000 + pause, end: mixed.samples.len() as u32 });
    }
    vec![block("empty", vec![]), block("cells", vec![pack.clone()]), block("mixed", vec![mixed, pack])]
}

pub(super) fn causes() -> Vec<Case> {
    let _listed = |cause: SnapshotCause| match cause {
        SnapshotCause::Verdict { .. } | SnapshotCause::Command { .. } => (),
    };
    vec![
        plain("Verdict", SnapshotCause::Verdict { model: "limits".into(), subject: "Cell82".into() }),
        plain("Command", SnapshotCause::Command { note: "it smells".into() }),
    ]
}

pub(super) fn part() -> SnapshotPart {
    SnapshotPart {
        number: 3,
        part: 1,
        parts: 300,
        at: AT,
        cause: SnapshotCause::Verdict { model: "cell-fault".into(), subject: "Cell82".into() },
        merged: 2,
        before_ms: 60_000,
        after_ms: 30_500,
        missing_ms: 1,
        samples: 129,
        block: vec![1, 0, 255],
    }
}
