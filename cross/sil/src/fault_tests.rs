//! Each fault by its symptom: it shows in decoded signals after the onset, and not before. Most tests compare with
//! the same vehicle without the fault, which draws the same road.

use crate::rig::*;
use crate::*;

const ONSET_S: f64 = 600.0;

/// Three quarters of an hour of town and standing as drawn by seed 1, with faults from minute 10 on.
fn drive(faults: &[&str]) -> Spec {
    let plan = ["suburban:1200", "idle:300", "park:600", "urban:600"].map(str::to_owned).to_vec();
    let from_10 = |fault: &&str| {
        let has_onset = fault.contains("onset=");
        let colon = if fault.contains(':') { "," } else { ":" };
        if has_onset { (*fault).into() } else { format!("{fault}{colon}onset={ONSET_S}") }
    };
    let faults = faults.iter().map(from_10).collect();
    Spec { usage: Usage { plan, ..Usage::default() }, faults, ..slow(0.75, &[]) }
}

/// A signal of the faulty vehicle and of the healthy one.
fn pair(fault: &str, signal: &str) -> (Series, Series) {
    let one = |faults: &[&str]| signals(&drive(faults), &[signal]).remove(signal).unwrap();
    (one(&[fault]), one(&[]))
}

/// The greatest difference of two series of equal times before the onset and after it.
fn apart(a: &Series, b: &Series) -> (f64, f64) {
    assert_eq!(a.len(), b.len(), "the fault changes no time");
    let most = |after: bool| {
        let both = a.iter().zip(b).filter(|((t, _), _)| (*t >= ONSET_S) == after);
        both.map(|((_, a), (_, b))| (a - b).abs()).fold(0.0, f64::max)
    };
    (most(false), most(true))
}

fn sigma(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn cell_drift_lowers_its_cell_and_no_other() {
    let spec = |faults: &[&str]| slow(4.0, faults);
    let (healthy, faulty) = (frames(&spec(&[])), frames(&spec(&["cell-drift"])));
    let apart = |cell: usize| -> Vec<i32> {
        let (healthy, faulty) = (readings(&healthy, cell), readings(&faulty, cell));
        healthy.iter().zip(faulty).map(|(h, f)| i32::from(*h) - i32::from(f)).take(2 * 360).collect()
    };
    let deficit = apart(42);
    assert!(deficit[..170].iter().all(|mv| mv.abs() <= 1), "nothing before minute 30");
    let last = *deficit.last().unwrap();
    assert!((50..95).contains(&last), "{last} mV after two hours awake");
    for cell in (1..=CELLS).filter(|c| *c != 42) {
        let most = apart(cell).iter().map(|mv| mv.abs()).max();
        assert!(most <= Some(3), "cell {cell}: {most:?} mV of pack effect");
    }
    // The BMS itself sees nothing wrong yet: that is what the model is for.
    let pack = faulty.iter().filter(|f| number(f) == 0x180).take(2 * 36_000).skip(110);
    assert!(pack.into_iter().all(|f| f.can.payload()[5] >> 4 == 0));
}

#[test]
fn self_discharge_and_internal_short_drain_their_cell_parked_too() {
    for fault in ["self-discharge:ma=8000,cell=9", "internal-short:ohm=0.5,cell=9"] {
        let (faulty, healthy) = pair(fault, "CellVoltage_9");
        let (before, after) = apart(&faulty, &healthy);
        assert!(before <= 0.001 && after > 0.008, "{fault}: {before} V before, {after} V after");
        // The rest of ten minutes cost charge.
        let fell = |s| at(&healthy, s) - at(&faulty, s);
        assert!(fell(2_160.0) > fell(1_500.0) + 0.002, "{fault}: {} {}", fell(1_500.0), fell(2_160.0));
    }
}

#[test]
fn an_internal_short_warms_its_module() {
    let (faulty, healthy) = pair("internal-short:ohm=0.5,cell=9", "ProbeTemp_3");
    let (before, after) = apart(&faulty, &healthy);
    assert!(before <= 1.0 && after >= 4.0, "{before} K before, {after} K after");
}

#[test]
fn high_resistance_drops_with_current_and_not_at_rest() {
    let (faulty, healthy) = pair("high-resistance:cell=42,factor=3", "CellVoltage_42");
    let (before, after) = apart(&faulty, &healthy);
    assert!(before <= 0.001 && after > 0.05, "{before} V before, {after} V after");
    // Standing with little current, five minutes after the suburb.
    let rest = (at(&faulty, 1_500.0) - at(&healthy, 1_500.0)).abs();
    assert!(rest < 0.3 * after, "{rest} V at rest");
}

#[test]
fn a_loose_connector_comes_and_goes() {
    let (faulty, healthy) = pair("loose-connector:cell=42,mohm=3", "CellVoltage_42");
    let (before, after) = apart(&faulty, &healthy);
    assert!(before <= 0.001 && after > 0.03, "{before} V before, {after} V after");
    // Over the current: the resistance itself changes.
    let spec = drive(&["loose-connector:cell=42,mohm=3"]);
    let current = signals(&spec, &["PackCurrent"]).remove("PackCurrent").unwrap();
    let ohms: Vec<f64> = (0..faulty.len())
        .filter(|k| (600.0..1_200.0).contains(&faulty[*k].0) && at(&current, faulty[*k].0).abs() > 20.0)
        .map(|k| (healthy[k].1 - faulty[k].1) / at(&current, faulty[k].0))
        .collect();
    assert!(ohms.len() > 8 && sigma(&ohms) > 0.3e-3, "{ohms:?}");
}

#[test]
fn a_stuck_sensor_stays_and_a_noisy_one_scatters() {
    for (place, signal) in
        [("cell=5", "CellVoltage_5"), ("sensor=current", "PackCurrent"), ("probe=3", "ProbeTemp_3")]
    {
        let (stuck, healthy) = pair(&format!("stuck-sensor:{place}"), signal);
        let steps = if signal == "PackCurrent" { 0.1 } else { 0.001 };
        assert!(apart(&stuck, &healthy).0 <= steps, "{signal} before");
        let after = between(&stuck, ONSET_S + 10.0, 2_700.0);
        assert!(after.iter().all(|value| *value == after[0]), "{signal} stays");
        let (noisy, healthy) = pair(&format!("noisy-sensor:{place},sigma=20"), signal);
        let noise: Vec<f64> = noisy.iter().zip(&healthy).map(|((_, a), (_, b))| a - b).collect();
        let (quiet, loud) = noise.split_at(noisy.partition_point(|(t, _)| *t < ONSET_S));
        let expected = 20.0
            * if signal == "CellVoltage_5" {
                0.001
            } else if signal == "PackCurrent" {
                0.1
            } else {
                1.0
            };
        assert!(sigma(quiet) < 0.05 * expected, "{signal}: {} before", sigma(quiet));
        assert!((0.7..1.3).contains(&(sigma(loud) / expected)), "{signal}: {} after", sigma(loud));
    }
}

#[test]
fn a_sentinel_sensor_says_not_available() {
    for (place, signal, period_s) in [
        ("cell=5", "CellVoltage_5", 10.0),
        ("sensor=current", "PackCurrent", 0.1),
        ("probe=3", "ProbeTemp_3", 5.0),
    ] {
        let (half, healthy) = pair(&format!("sentinel-sensor:{place},share=0.5"), signal);
        let count = |series: &Series, from, to| between(series, from, to).len() as f64;
        assert_eq!(count(&half, 0.0, ONSET_S), count(&healthy, 0.0, ONSET_S), "{signal} before");
        // The current's raw value is the lowest, which only its range tells: it decodes as below it.
        let heard = if signal == "PackCurrent" {
            between(&half, ONSET_S, 1_500.0).iter().filter(|a| **a > -3_000.0).count() as f64
        } else {
            count(&half, ONSET_S, 1_500.0)
        };
        let share = heard / ((1_500.0 - ONSET_S) / period_s);
        assert!((0.35..0.65).contains(&share), "{signal}: {share} heard");
    }
}

#[test]
fn blocked_cooling_heats_what_it_is_blocked_for() {
    let hot = |faults: &[&str]| {
        let mut spec = drive(faults);
        spec.thermal.ambient_c = 35.0;
        spec.usage.plan = vec!["motorway:300".into(), "dc-charge".into()];
        (spec.charging.max_a, spec.charging.dc_kw, spec.charging.limit_v) = (120.0, 60.0, 4.2);
        (spec.pack.charge, spec.hours) = (0.4, 1.0);
        signals(&spec, &["ProbeTemp_8", "ProbeTemp_16"])
    };
    let (healthy, faulty) = (hot(&[]), hot(&["blocked-cooling:probe=8"]));
    let (before, after) = apart(&faulty["ProbeTemp_8"], &healthy["ProbeTemp_8"]);
    assert!(before == 0.0 && after >= 4.0, "{before} K before, {after} K after");
    assert!(apart(&faulty["ProbeTemp_16"], &healthy["ProbeTemp_16"]).1 <= 1.0, "the neighbour stays cool");
    let all = hot(&["blocked-cooling"]);
    assert!(apart(&all["ProbeTemp_16"], &healthy["ProbeTemp_16"]).1 >= 4.0, "the whole pack");
}

#[test]
fn a_weak_contactor_loses_volts_between_pack_and_inverter() {
    let spec = Spec { powertrain: true, ..drive(&["weak-contactor:mohm=100"]) };
    let seen = signals(&spec, &["PackVoltage", "InverterDcVoltage", "PackCurrent", "Precharge"]);
    let loss = |from: f64, to: f64| {
        // Late in a step, when both units have told of it.
        let under_load = |t: &f64| at(&seen["PackCurrent"], *t) > 25.0;
        let times: Vec<f64> =
            (from as u32..to as u32).map(|s| f64::from(s) + 0.09).filter(under_load).collect();
        assert!(times.len() > 20, "{} s under load", times.len());
        let ohms = times.iter().map(|t| {
            (at(&seen["PackVoltage"], *t) - at(&seen["InverterDcVoltage"], *t)) / at(&seen["PackCurrent"], *t)
        });
        ohms.sum::<f64>() / times.len() as f64
    };
    let (before, after) = (loss(60.0, ONSET_S), loss(ONSET_S, 1_200.0));
    assert!(before.abs() < 0.01 && (0.08..0.12).contains(&after), "{before} ohm before, {after} after");
    let precharge = |from, to| between(&seen["Precharge"], from, to).iter().sum::<f64>();
    assert!(precharge(2_050.0, 2_250.0) > 2.0 * precharge(0.0, 200.0), "the precharge takes longer");
}

/// How many frames of an identifier a second, on a bus, before the onset and after it.
fn rates(fault: &str, bus: u8, id: u32) -> (f64, f64) {
    let spec = Spec { powertrain: true, ..drive(&[fault]) };
    let (mut before, mut after) = (0.0, 0.0);
    let vehicle = Vehicle::new(&spec, 1).unwrap();
    for frame in vehicle.filter(|f| f.can.bus.0 == bus && number(f) == id) {
        match frame.can.at.as_micros() as f64 / 1e6 {
            t if t < ONSET_S => before += 1.0 / ONSET_S,
            t if t < ONSET_S + 200.0 => after += 1.0 / 200.0,
            _ => {}
        }
    }
    (before, after)
}

#[test]
fn a_flood_fills_its_bus_and_a_full_one_starves_the_units() {
    let (before, after) = rates("can-flood:rate=1000", 0, 0);
    assert!(before == 0.0 && (after - 1_000.0).abs() < 5.0, "{before} {after}");
    assert_eq!(rates("can-flood:rate=1000", 1, 0).1, 0.0, "the other bus is left alone");
    let (before, after) = rates("can-flood:rate=20000,ecu=powertrain", 1, 0x0F0);
    assert!((before - 50.0).abs() < 0.1 && after < 5.0, "{before} {after} of 50 a second");
}

#[test]
fn a_replay_doubles_its_bus_with_old_counters() {
    let (before, after) = rates("replay:ecu=bms", 0, 0x180);
    assert!((before - 10.0).abs() < 0.1 && (19.0..=21.0).contains(&after), "{before} {after}");
    let frames = frames(&drive(&["replay:ecu=bms"]));
    let jumps = |from: f64, to: f64| {
        let pack: Vec<u8> = frames
            .iter()
            .filter(|f| number(f) == 0x180 && (from..to).contains(&(f.can.at.as_micros() as f64 / 1e6)))
            .map(|f| f.can.payload()[6])
            .collect();
        pack.windows(2).filter(|w| w[1] != (w[0] + 1) % 16).count()
    };
    assert!(jumps(0.0, ONSET_S) == 0 && jumps(ONSET_S, 800.0) > 1_000, "counters jump");
}

#[test]
fn a_masquerade_freezes_a_message_whose_protection_holds() {
    let (fault, spec) = ("masquerade:message=0x180", drive(&["masquerade:message=0x180"]));
    let (faulty, healthy) = pair(fault, "PackCurrent");
    assert_eq!(faulty.len(), healthy.len());
    let after = between(&faulty, ONSET_S + 0.2, 1_500.0);
    assert!(after.iter().all(|a| *a == after[0]), "its content is frozen");
    assert!(sigma(&between(&faulty, 0.0, ONSET_S)) > 3.0, "it was not before");
    let pack: Vec<SimFrame> = frames(&spec).into_iter().filter(|f| number(f) == 0x180).collect();
    assert!(pack.iter().all(|f| protect::seal(&f.can.payload()[..7]) == f.can.payload()[7]));
    let awake = pack.iter().take(14_000).collect::<Vec<_>>();
    assert!(awake.windows(2).all(|w| w[1].can.payload()[6] == (w[0].can.payload()[6] + 1) % 16));
}

#[test]
fn a_missing_unit_falls_silent() {
    let (before, after) = rates("missing-ecu:ecu=bms", 0, 0x180);
    assert!((before - 10.0).abs() < 0.1 && after == 0.0, "{before} {after}");
    let (before, after) = rates("missing-ecu:ecu=powertrain,for=100", 1, 0x0F0);
    assert!((before - 50.0).abs() < 0.1 && (after - 25.0).abs() < 0.5, "{before} {after}");
    assert!((rates("missing-ecu:ecu=powertrain", 0, 0x180).1 - 10.0).abs() < 0.1, "the other unit goes on");
}

#[test]
fn a_skewed_clock_changes_the_period() {
    let (before, after) = rates("clock-skew:ecu=bms,ppm=20000", 0, 0x180);
    assert!((before - 10.0).abs() < 0.01 && (after - 10.2).abs() < 0.02, "{before} {after}");
    let (_, after) = rates("clock-skew:ecu=powertrain,ppm=-20000", 1, 0x0F0);
    assert!((after - 49.0).abs() < 0.1, "{after}");
}

#[test]
fn a_fault_with_an_end_ends() {
    let (faulty, healthy) = pair("high-resistance:cell=42,factor=5,onset=300,for=300", "CellVoltage_42");
    let apart = |from: f64, to: f64| {
        let both = faulty.iter().zip(&healthy).filter(|((t, _), _)| (from..to).contains(t));
        both.map(|((_, a), (_, b))| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(apart(300.0, 600.0) > 0.03 && apart(0.0, 300.0) <= 0.001);
    assert!(apart(2_200.0, 2_700.0) <= 0.003, "{}", apart(2_200.0, 2_700.0));
}
