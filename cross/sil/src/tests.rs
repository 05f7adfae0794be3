//! The simulated vehicle as a whole: what stands on the bus, against the physics and the DBC.

use super::*;
use std::collections::BTreeMap;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Database;
use telltale_core::signal::{NoData, SampleSink, SignalId};

const BMS: &str = include_str!("../../../models/cell-fault/bms.dbc");
const CATALOG: &str = include_str!("../../../models/cell-fault/catalog-sim.toml");

fn options(hours: u64, fault: Fault) -> Options {
    Options { duration: Duration::from_secs(hours * 3_600), fault, ..Options::default() }
}

fn word(frame: &SimFrame, place: usize) -> u16 {
    u16::from_le_bytes([frame.can.payload()[2 * place], frame.can.payload()[2 * place + 1]])
}

fn number(frame: &SimFrame) -> u32 {
    frame.can.id.raw()
}

/// Every reading in mV of one cell, counted from 1.
fn readings(frames: &[SimFrame], cell: usize) -> Vec<u16> {
    let id = 0x1A0 + (cell as u32 - 1) / 4;
    frames.iter().filter(|f| number(f) == id).map(|f| word(f, (cell - 1) % 4)).collect()
}

#[test]
fn one_seed_is_one_recording() {
    let base = options(1, Fault::demo());
    let frames = |options: &Options| Simulator::new(options).unwrap().collect::<Vec<SimFrame>>();
    let first = frames(&base);
    assert!(first == frames(&base), "the same seed gives the same frames");
    assert!(first != frames(&Options { seed: 2, ..base }), "another seed gives others");
}

#[test]
fn frames_come_at_their_periods_and_in_order() {
    let frames: Vec<SimFrame> = Simulator::new(&options(1, Fault::None)).unwrap().collect();
    assert!(frames.windows(2).all(|w| w[0].wall < w[1].wall), "time goes forward");
    let first_minute = |id: u32| {
        let end = frames[0].wall.0 + 60_000_000;
        frames.iter().filter(|f| number(f) == id && f.wall.0 < end).count()
    };
    assert_eq!(first_minute(0x180), 600);
    assert_eq!(first_minute(0x181), 60);
    assert_eq!(first_minute(0x190), 12);
    (0..24).for_each(|k| assert_eq!(first_minute(0x1A0 + k), 60, "cells frame {k}"));
    assert_eq!(first_minute(0x1B8), 0, "96 cells need 24 frames");
}

#[test]
fn a_day_has_trips_gaps_and_charging() {
    let slow = Options { cells_every: Duration::from_secs(10), ..options(24, Fault::None) };
    let frames: Vec<SimFrame> = Simulator::new(&slow).unwrap().collect();
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
    assert!(pack.iter().skip(5).all(|f| f.can.payload()[5] >> 4 == 0), "a healthy pack never warns");
    for cell in 1..=CELLS {
        assert!(readings(&frames, cell).iter().all(|mv| (3_000..4_220).contains(mv)), "cell {cell}");
    }
}

#[test]
fn charge_on_the_bus_is_the_integral_of_current_on_the_bus() {
    let frames: Vec<SimFrame> = Simulator::new(&options(3, Fault::None)).unwrap().collect();
    let pack: Vec<&SimFrame> = frames.iter().filter(|f| number(f) == 0x180).collect();
    let ampere_hours: f64 = pack.iter().map(|f| f64::from(word(f, 1) as i16) * 0.1 * 0.1 / 3_600.0).sum();
    let (first, last) = (pack[0].can.payload()[4], pack[pack.len() - 1].can.payload()[4]);
    let fell = f64::from(first - last) * 0.005;
    assert!(fell > 0.1, "three hours with trips cost charge");
    assert!((ampere_hours / NOMINAL_AH - fell).abs() < 0.006, "{ampere_hours} Ah but {fell}");
}

#[test]
fn the_demo_cell_falls_60_mv_behind_and_no_other_does() {
    let slow = |fault| Options { cells_every: Duration::from_secs(10), ..options(4, fault) };
    let healthy: Vec<SimFrame> = Simulator::new(&slow(Fault::None)).unwrap().collect();
    let faulty: Vec<SimFrame> = Simulator::new(&slow(Fault::demo())).unwrap().collect();
    assert_eq!(healthy.len(), faulty.len(), "the fault does not change the day");

    let apart = |cell: usize| -> Vec<i32> {
        let (healthy, faulty) = (readings(&healthy, cell), readings(&faulty, cell));
        healthy.iter().zip(faulty).map(|(h, f)| i32::from(*h) - i32::from(f)).take(2 * 360).collect()
    };
    let deficit = apart(42);
    assert!(deficit[..170].iter().all(|mv| mv.abs() <= 1), "nothing before minute 30");
    let after_2_h = deficit.last().copied().unwrap_or_default();
    assert!((50..75).contains(&after_2_h), "{after_2_h} mV after two hours of driving");
    for cell in (1..=CELLS).filter(|c| *c != 42) {
        let most = apart(cell).iter().map(|mv| mv.abs()).max();
        assert!(most <= Some(3), "cell {cell}: {most:?} mV of pack effect");
    }
    // The BMS itself sees nothing wrong yet: that is what the model is for.
    let early = faulty.iter().filter(|f| number(f) == 0x180).take(2 * 36_000).skip(5);
    assert!(early.into_iter().all(|f| f.can.payload()[5] >> 4 == 0));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let base = Options::default();
    let ms = Duration::from_millis;
    for wrong in [
        Options { pack_every: ms(0), ..base.clone() },
        Options { cells_every: ms(150), ..base.clone() },
        Options { temps_every: ms(0), ..base.clone() },
        Options { scan: ms(2_000), ..base.clone() },
        Options { duration: Duration::MAX, ..base.clone() },
        Options { start: WallTime(-1), ..base.clone() },
    ] {
        assert!(Simulator::new(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_dbc_decodes_every_frame_to_what_it_means() {
    let (database, diagnostics) = Database::parse(BMS, "bms.dbc");
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut last = BTreeMap::new();
    for frame in Simulator::new(&options(1, Fault::None)).unwrap() {
        let message = database.message_by_id(frame.can.id).unwrap();
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
    for frame in Simulator::new(&options(1, Fault::demo())).unwrap() {
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
