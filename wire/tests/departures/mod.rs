//! A verdict with the kind of its departure, the same as an older agent and a newer one write it, and a record of drift.

use telltale_wire::departure::*;
use telltale_wire::drift::*;
use telltale_wire::record::{Evidence, ModelRef, Record, VerdictEvent};
use telltale_wire::time::Stamp;
use telltale_wire::unit::Unit;

pub(crate) fn of(event: VerdictEvent) -> VerdictEvent {
    let excess = Evidence { what: "excess resistance".into(), value: 0.5, reference: 0.25, unit: Unit::Ohm };
    let departure = Departure { kind: DepartureKind::Resistance, numbers: vec![excess] };
    VerdictEvent { departure: Some(departure), ..event }
}

pub(crate) fn drift(at: Stamp, model: ModelRef) -> DriftRecord {
    let input = |horizon, severity| InputDrift {
        input: "pack_level".into(),
        horizon,
        severity,
        index: 2.5,
        limit: 1.5,
        outside: 0.75,
    };
    let inputs = vec![input(Horizon::Fast, Severity::Severe), input(Horizon::Slow, Severity::None)];
    DriftRecord { at, model, inputs }
}

#[test]
fn an_older_body_has_no_departure_and_a_newer_kind_leaves_the_verdict() {
    let event = VerdictEvent {
        at: crate::AT,
        model: crate::model(),
        subject: "Cell1".into(),
        verdict: telltale_wire::record::VerdictCode::Anomalous,
        score: 0.5,
        confidence: 0.5,
        since: crate::AT,
        evidence: vec![],
        departure: None,
    };
    let mut older = Record::Verdict(event.clone()).to_raw().unwrap();
    let with = Record::Verdict(of(event.clone())).to_raw().unwrap();
    assert_eq!(with.body[..older.body.len()], older.body[..], "it stands behind what an older reader knows");
    assert_eq!(older.parse(), Ok(Record::Verdict(event.clone())));
    older.body.extend_from_slice(&[0x7f, 0]);
    assert_eq!(older.parse(), Ok(Record::Verdict(event)), "a kind of a newer agent");
}

#[test]
fn every_name_is_another() {
    for (n, kind) in DepartureKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, n);
    }
    for (n, severity) in Severity::ALL.into_iter().enumerate() {
        assert_eq!(severity as usize, n);
    }
    assert_eq!(Horizon::ALL.map(|h| h as usize), [0, 1]);
}
