//! The simulated vehicle as a whole: what stands on the bus, against the physics and the DBC files.

use crate::rig::*;
use crate::*;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Database;
use telltale_core::signal::{NoData, SampleSink, SignalId};

const CATALOG: &str = include_str!("../../../models/cell-fault/catalog-sim.toml");

/// SHA-256 of the first hour of seed 1 with both buses, as `examples/hour.rs` tells it. It has to be the same on every machine; a change
/// of the simulator changes it, and whoever makes one pins it anew.
const FIRST_HOUR: &str = include_str!("../first-hour.sha256");

fn sha256(spec: &Spec, seed: u64) -> String {
    let mut hash = Sha256::new();
    for frame in Vehicle::new(spec, seed).unwrap() {
        hash.update(frame.wall.0.to_le_bytes());
        hash.update([frame.can.bus.0]);
        hash.update(frame.can.id.raw().to_le_bytes());
        hash.update(frame.can.payload());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_seed_is_one_recording_on_every_machine() {
    let hour = Spec { powertrain: true, ..spec(1.0, &[]) };
    assert_eq!(sha256(&hour, 1), FIRST_HOUR.trim());
    let faulty = spec(1.0, &["loose-connector:onset=0", "noisy-sensor:onset=0", "replay:onset=60"]);
    assert_eq!(sha256(&faulty, 1), sha256(&faulty, 1));
    assert_ne!(sha256(&faulty, 1), sha256(&faulty, 2));
    assert_ne!(sha256(&faulty, 1), sha256(&spec(1.0, &[]), 1));
}

#[test]
fn frames_come_at_their_periods_and_in_order() {
    let frames = frames(&Spec { powertrain: true, ..spec(1.0, &[]) });
    assert!(frames.windows(2).all(|w| w[0].wall <= w[1].wall), "time goes forward");
    for bus in [BMS_BUS, POWERTRAIN_BUS] {
        let times: Vec<i64> = frames.iter().filter(|f| f.can.bus == bus).map(|f| f.wall.0).collect();
        assert!(times.windows(2).all(|w| w[1] - w[0] >= 250), "a frame takes its time");
    }
    let first_minute = |id: u32| {
        let end = frames[0].wall.0 + 60_000_000;
        frames.iter().filter(|f| number(f) == id && f.wall.0 < end).count()
    };
    assert_eq!(first_minute(0x180), 600);
    (0x181..0x185).for_each(|id| assert_eq!(first_minute(id), 60, "{id:X}"));
    assert_eq!(first_minute(0x190), 12);
    (0..24).for_each(|k| assert_eq!(first_minute(0x1A0 + k), 60, "cells frame {k}"));
    assert_eq!(first_minute(0x1B8), 0, "96 cells need 24 frames");
    (0x0F0..0x0F3).for_each(|id| assert_eq!(first_minute(id), 3_000, "{id:X}"));
    (0x0F3..0x0F5).for_each(|id| assert_eq!(first_minute(id), 600, "{id:X}"));
    assert_eq!((first_minute(0x1F0), first_minute(0x1F1)), (60, 300));
}

#[test]
fn a_day_has_trips_gaps_and_charging() {
    let frames = frames(&slow(24.0, &[]));
    let gaps = frames.windows(2).filter(|w| w[1].wall.0 - w[0].wall.0 > 60_000_000).count();
    assert!((4..30).contains(&gaps), "{gaps} gaps");
    let pack: Vec<&SimFrame> = frames.iter().filter(|f| number(f) == 0x180).collect();
    let charging = pack.iter().filter(|f| f.can.payload()[5] & 15 == 1).count() / 10;
    assert!((1_800..40_000).contains(&charging), "{charging} s of charging");
    assert!(
        pack.iter().all(|f| (300 * 10..405 * 10).contains(&word(f, 0))),
        "96 cells between 3.1 and 4.2 V"
    );
    // In steady order: a counter that runs on and a checksum that holds.
    assert!(pack.windows(2).all(|w| w[1].can.payload()[6] == (w[0].can.payload()[6] + 1) % 16));
    assert!(pack.iter().all(|f| protect::seal(&f.can.payload()[..7]) == f.can.payload()[7]));
    assert!(
        pack.iter().skip(5).all(|f| f.can.payload()[5] >> 4 == 0 || f.can.payload()[5] >> 4 == 15),
        "a healthy pack never warns"
    );
    for cell in 1..=CELLS {
        assert!(readings(&frames, cell).iter().all(|mv| (3_000..4_220).contains(mv)), "cell {cell}");
    }
}

#[test]
fn charge_on_the_bus_is_the_integral_of_current_on_the_bus() {
    // Rests shorter than an hour, after which the count would start anew.
    let plan = ["suburban:3600", "park:600", "urban:1800"].map(str::to_owned).to_vec();
    let usage = Usage { plan, ..Usage::default() };
    let frames = frames(&Spec { usage, ..spec(3.0, &[]) });
    let pack: Vec<&SimFrame> = frames.iter().filter(|f| number(f) == 0x180).collect();
    let ampere_hours: f64 = pack.iter().map(|f| f64::from(word(f, 1) as i16) * 0.1 * 0.1 / 3_600.0).sum();
    let (first, last) = (pack[0].can.payload()[4], pack[pack.len() - 1].can.payload()[4]);
    let fell = f64::from(first - last) * 0.005;
    assert!(fell > 0.1, "three hours with trips cost charge");
    assert!(
        (ampere_hours / Spec::default().pack.capacity_ah - fell).abs() < 0.006,
        "{ampere_hours} Ah but {fell}"
    );
}

#[test]
fn an_old_pack_holds_less_and_resists_more() {
    let drop = |age_years: f64, cycles: f64| {
        let pack = PackSpec { age_years, cycles, charge: 0.6, ..PackSpec::default() };
        let plan = vec!["dc-charge".into()];
        let usage = Usage { plan, ..Usage::default() };
        let seen = signals(&Spec { pack, usage, ..spec(0.25, &[]) }, &["PackVoltage", "PackStateOfCharge"]);
        let volts = &seen["PackVoltage"];
        // The push of the current, a minute after plugging in, and the rise over ten minutes.
        (at(volts, 60.0) - at(volts, 0.3), at(volts, 800.0) - at(volts, 200.0))
    };
    let (new, old) = (drop(0.0, 0.0), drop(10.0, 1_500.0));
    assert!(old.0 > 1.25 * new.0, "resistance: {new:?} {old:?}");
    assert!(old.1 > 1.1 * new.1, "capacity: {new:?} {old:?}");
}

#[test]
fn balancing_brings_high_cells_down() {
    let pack = PackSpec { charge: 0.92, charge_spread: 0.02, balancing_ma: 1_000.0, ..PackSpec::default() };
    let usage = Usage { plan: vec!["idle:10000".into()], ..Usage::default() };
    let spread = |balancing_ma: f64| {
        let pack = PackSpec { balancing_ma, ..pack.clone() };
        let vehicle = VehicleSpec { auxiliary_w: 0.0, ..VehicleSpec::default() };
        let spec = Spec { pack, usage: usage.clone(), vehicle, ..slow(4.0, &[]) };
        let seen = signals(&spec, &["CellVoltageMax", "CellVoltageMin", "BalancingCount"]);
        let last = |name: &str| seen[name].last().unwrap().1;
        (last("CellVoltageMax") - last("CellVoltageMin"), seen["BalancingCount"][10].1)
    };
    let ((off, none), (on, some)) = (spread(0.0), spread(1_000.0));
    assert!(none == 0.0 && some > 40.0, "{none} and {some} cells bleed");
    assert!(on < off - 0.015, "{off} V apart without, {on} with balancing");
}

#[test]
fn charging_is_constant_current_and_then_constant_voltage() {
    let pack = PackSpec { charge: 0.75, ..PackSpec::default() };
    let charging = Charging { until: 1.0, limit_v: 4.10, ..Charging::default() };
    let usage = Usage { plan: vec!["dc-charge".into(), "park:20000".into()], ..Usage::default() };
    let mut spec = Spec { pack, charging, usage, ..slow(2.5, &[]) };
    spec.thermal.ambient_c = 20.0;
    let seen = signals(&spec, &["PackCurrent", "CellVoltageMax", "ChargeStatus"]);
    let amperes = &seen["PackCurrent"];
    assert!((at(amperes, 600.0) + 58.5).abs() < 0.5, "{}", at(amperes, 600.0));
    let end = amperes[amperes.len() - 30].1;
    assert!((-12.0..0.0).contains(&end), "it has faded: {end} A");
    let top = seen["CellVoltageMax"].iter().map(|(_, volts)| *volts).fold(0.0, f64::max);
    assert!((4.095..4.115).contains(&top), "{top} V is held");
    assert!(seen["ChargeStatus"].iter().all(|(_, status)| *status == 1.0));
}

#[test]
fn both_dbcs_decode_every_frame_to_what_it_means() {
    let databases = databases();
    let mut last = BTreeMap::new();
    for frame in frames(&Spec { powertrain: true, ..spec(1.0, &[]) }) {
        let message = databases[usize::from(frame.can.bus.0)].message_by_id(frame.can.id).unwrap();
        assert_eq!(frame.can.len(), message.len);
        for decoded in message.decode(frame.can.payload()).unwrap() {
            last.insert(decoded.signal.name.clone(), decoded.value);
        }
    }
    let cells: Vec<f64> = (1..=CELLS).map(|k| last[&format!("CellVoltage_{k}")]).collect();
    let (low, high) = cells.iter().fold((9.0_f64, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
    assert!((last["CellVoltageMin"] - low).abs() < 1e-9 && (last["CellVoltageMax"] - high).abs() < 1e-9);
    let position = |name: &str| cells[last[name] as usize - 1];
    assert_eq!((position("CellVoltageMinPosition"), position("CellVoltageMaxPosition")), (low, high));
    assert!((cells.iter().sum::<f64>() - last["PackVoltage"]).abs() < 20.0, "the cells make up the pack");
    assert!((50.0..90.0).contains(&last["PackStateOfCharge"]));
    assert!((4_900.0..5_100.0).contains(&last["InsulationResistance"]));
    assert!((5_000.0..40_100.0).contains(&last["Odometer"]));
    assert!((0.0..=120.0).contains(&last["VehicleSpeed"]));
    assert!((1..=MODULES).all(|k| (5.0..40.0).contains(&last[&format!("ProbeTemp_{k}")])));
    assert_eq!((last["ChargeStatus"], last["WarningLevel"]), (3.0, 0.0));
    assert!((100.0..400.0).contains(&last["DischargeLimit"]) && last["BalancingCells_65_96"] == 0.0);
    // What both units tell of one thing agrees.
    assert!((last["WheelSpeed"] - last["VehicleSpeed"]).abs() < 6.0);
    assert!((last["InverterDcVoltage"] - last["PackVoltage"]).abs() < 2.0);
    assert!(
        (last["MotorSpeed"] / last["WheelSpeed"].max(1.0) - 71.0).abs() < 4.0 || last["WheelSpeed"] < 3.0
    );
    assert_eq!((last["MainPositive"], last["MainNegative"], last["Precharge"]), (1.0, 1.0, 0.0));
    assert!((13.0..14.5).contains(&last["LowVoltage"]));
    assert!((5.0..20.0).contains(&last["AmbientTemperature"]));
    assert_eq!(last.len(), databases.iter().map(simulated_signals).sum::<usize>(), "every signal was heard");
}

/// Signals of a DBC but those of cells that only larger packs have.
fn simulated_signals(database: &Database) -> usize {
    let cells_beyond =
        |name: &str| name.strip_prefix("CellVoltage_").is_some_and(|k| k.parse::<usize>().unwrap() > CELLS);
    database.messages.iter().flat_map(|m| &m.signals).filter(|s| !cells_beyond(&s.name)).count()
}

/// Counts the samples of each signal.
#[derive(Default)]
struct Heard {
    values: BTreeMap<SignalId, u32>,
    absent: BTreeMap<SignalId, u32>,
}

impl SampleSink for Heard {
    fn value(&mut self, signal: SignalId, _: f64) {
        *self.values.entry(signal).or_default() += 1;
    }

    fn absent(&mut self, signal: SignalId, _: NoData) {
        *self.absent.entry(signal).or_default() += 1;
    }
}

#[test]
fn the_catalog_hears_every_signal_in_range() {
    let load = &mut |_: &str| Ok(BMS.as_bytes().to_vec());
    let catalog = Catalog::parse(CATALOG, "catalog-sim.toml", load).unwrap();
    assert!(catalog.diagnostics.is_empty(), "{:?}", catalog.diagnostics);
    let (decoder, mut heard) = (catalog.decoder(), Heard::default());
    for frame in frames(&spec(1.0, &["cell-drift"])) {
        decoder.dispatch(&frame.can, &mut heard);
    }
    assert_eq!(heard.values.len(), catalog.signals.len(), "every signal of the catalog has a value");
    // Before the first scan the BMS has no warning level.
    let names: Vec<&str> = heard.absent.keys().map(|id| catalog.signal(*id).unwrap().vss.as_str()).collect();
    assert_eq!(names, ["Vehicle.Powertrain.TractionBattery.WarningLevel"]);
}

#[test]
fn the_cars_catalogs_resolve_too() {
    for (text, cells, probes) in [
        (include_str!("../../../models/cell-fault/catalog-car2.toml"), 88, 19),
        (include_str!("../../../models/cell-fault/catalog-car3.toml"), 87, 15),
    ] {
        let catalog = Catalog::parse(text, "catalog", &mut |_: &str| Ok(BMS.as_bytes().to_vec())).unwrap();
        let count = |start: &str| catalog.signals.iter().filter(|s| s.signal.starts_with(start)).count();
        assert_eq!((count("CellVoltage_"), count("ProbeTemp_")), (cells, probes));
    }
}

#[test]
fn the_truth_names_what_was_laid_in() {
    let spec = spec(1.0, &["cell-drift:cell=7,onset=60", "missing-ecu:onset=120,for=30"]);
    let truth = truth(&spec).unwrap();
    assert_eq!(
        (truth[0].fault, truth[0].target.as_str(), truth[0].until_s),
        (Kind::CellDrift, "Cell7", None)
    );
    assert_eq!((truth[1].target.as_str(), truth[1].until_s), ("bms", Some(150.0)));
    assert_eq!(truth[1].onset_unix_us, (spec.start_unix_s + 120) * 1_000_000);
    assert_eq!((truth[0].size, truth[0].size_is), (55.0, "mv_per_hour"));
}

#[test]
fn the_truth_tells_each_cell_by_age_and_temperature() {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let cells = |ambient_c: f64, age_years: f64, cycles: f64| {
        let mut spec = spec(1.0, &[]);
        (spec.thermal.ambient_c, spec.thermal.swing_k) = (ambient_c, 0.0);
        (spec.pack.age_years, spec.pack.cycles) = (age_years, cycles);
        let cells = Vehicle::new(&spec, 1).unwrap().cells();
        assert_eq!((cells.len(), cells[41].cell.as_str()), (CELLS, "Cell42"));
        let ohm = median(cells.iter().map(|cell| cell.ohmic_ohm).collect());
        let pairs = cells.iter().all(|cell| cell.pairs.iter().all(|pair| pair.ohm == 0.5 * cell.ohmic_ohm));
        assert!(pairs, "diffusion and charge transfer add as much again");
        (median(cells.iter().map(|cell| cell.capacity_ah).collect()), ohm)
    };
    let near = |(ah, ohm): (f64, f64), capacity: f64, resistance: f64| {
        (ah / capacity - 1.0).abs() < 0.005 && (ohm / resistance - 1.0).abs() < 0.01
    };
    assert!(near(cells(25.0, 0.0, 0.0), 121.0, 0.0009));
    // Four years take 4 % and 500 cycles 5 %; resistance gains twice as much.
    assert!(near(cells(25.0, 4.0, 500.0), 121.0 * 0.91, 0.0009 * 1.18));
    // 20 kJ/mol between 5 and 25 degrees.
    assert!(near(cells(5.0, 0.0, 0.0), 121.0, 0.0009 * 1.786));
}
