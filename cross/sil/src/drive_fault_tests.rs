//! Faults of the drive and of the 12 V system, each by its symptom: it shows in decoded signals after the onset, and in
//! no other signal.

use crate::rig::*;
use crate::*;
use std::collections::BTreeMap;

const ONSET_S: f64 = 600.0;
const SEEN: [&str; 6] = [
    "MotorTorque",
    "InverterDcCurrent",
    "MotorTemperature",
    "DriveCoolantTemperature",
    "InverterPower",
    "LowVoltage",
];

fn drive(faults: &[&str]) -> BTreeMap<String, Series> {
    let plan = ["suburban:1500", "park:600", "urban:600"].map(str::to_owned).to_vec();
    let faults = faults.iter().map(|fault| format!("{fault},onset={ONSET_S}")).collect();
    signals(
        &Spec { powertrain: true, usage: Usage { plan, ..Usage::default() }, faults, ..slow(0.7, &[]) },
        &SEEN,
    )
}

/// The greatest difference of a signal in two vehicles before the onset and after it.
fn apart(a: &Series, b: &Series) -> (f64, f64) {
    assert_eq!(a.len(), b.len(), "the fault changes no time");
    let most = |after: bool| {
        let both = a.iter().zip(b).filter(|((t, _), _)| (*t >= ONSET_S) == after);
        both.map(|((_, a), (_, b))| (a - b).abs()).fold(0.0, f64::max)
    };
    (most(false), most(true))
}

#[test]
fn each_fault_of_the_drive_shows_in_its_own_signals_after_its_onset() {
    let sound = drive(&[]);
    for (fault, shows, least) in [
        ("torque-offset:nm=8", &["MotorTorque"][..], 7.9),
        ("current-gain:factor=1.1", &["InverterDcCurrent"], 5.0),
        ("motor-temperature-drift:k_per_hour=60", &["MotorTemperature"], 15.0),
        ("blocked-drive-cooling:share=0.8", &["DriveCoolantTemperature", "MotorTemperature"], 3.0),
        ("aged-low-voltage-battery:factor=3", &["LowVoltage"], 0.5),
    ] {
        let faulty = drive(&[fault]);
        for signal in SEEN {
            let (before, after) = apart(&faulty[signal], &sound[signal]);
            assert_eq!(before, 0.0, "{fault}: {signal} before its onset");
            match shows.contains(&signal) {
                true => assert!(after >= least, "{fault}: {signal} is off by {after} at the most"),
                false => assert_eq!(after, 0.0, "{fault} shows in {signal}"),
            }
        }
    }
}

#[test]
fn the_12_v_battery_rests_is_pulled_down_by_the_coils_and_then_held_by_the_converter() {
    let volts = &drive(&[])["LowVoltage"];
    let at_wake = between(volts, 0.0, 1.0);
    let rest = at_wake[0];
    let dip = at_wake.iter().fold(f64::MAX, |a, b| a.min(*b));
    assert!((12.5..12.62).contains(&rest) && (12.1..12.3).contains(&dip), "{at_wake:?}");
    assert!((13.9..14.2).contains(&at(volts, 1.5)), "{}", at(volts, 1.5));
}

#[test]
fn a_fault_of_the_drive_needs_its_bus() {
    let refused = Vehicle::new(&spec(1.0, &["torque-offset"]), 1).map(drop).unwrap_err();
    assert!(matches!(refused, SpecError::NoPowertrain(target) if target == "Drive"));
}
