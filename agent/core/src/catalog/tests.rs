//! The catalog on the way from text to values: what expands, what dispatches, and every way it is refused.

use super::*;
use crate::dbc::Disposition;
use crate::frame::{CanFrame, FrameKind};
use crate::signal::{NoData, SampleSink};
use telltale_wire::time::MonoTime;

const BMS: &str = "\
BO_ 256 BMS_Cells_01: 8 BMS
 SG_ CellVoltage_01 : 0|16@1+ (0.001,0) [0|5] \"V\" X
 SG_ CellVoltage_02 : 16|16@1+ (0.001,0) [0|5] \"V\" X
 SG_ PackCurrent : 39|16@0- (0.1,0) [-500|500] \"A\" X
 SG_ State : 48|8@1+ (1,0) [0|0] \"\" X
 SG_ Overrun : 60|8@1+ (1,0) [0|0] \"\" X
BO_ 257 BMS_Misc: 8 BMS
 SG_ State : 0|8@1+ (1,0) [0|0] \"furlong\" X
";

const CATALOG: &str = "\
schema = 1
[[bus]]
name = \"bms\"
interface = \"can0\"
channels = [\"CAN-A\"]
dbc = [\"bms.dbc\"]
[[signal]]
vss = \"Vehicle.Powertrain.TractionBattery.Cell{n}.Voltage\"
n = \"1..2\"
signal = \"CellVoltage_{n:02}\"
min = 1.0
max = 5
sentinels = [65535, 65534]
stale_ms = 60000
low = 2.8
high = 4.25
[[signal]]
vss = \"Vehicle.Powertrain.TractionBattery.Current\"
bus = \"bms\"
signal = \"PackCurrent\"
sign = \"inverted\"
sentinels = [-32768]
range = \"dbc\"
";

fn load(path: &str) -> Result<Vec<u8>, String> {
    if path == "bms.dbc" { Ok(BMS.into()) } else { Err("no such file".into()) }
}

fn parse(text: &str) -> Result<Catalog, CatalogError> {
    Catalog::parse(text, "catalog.toml", &mut load)
}

fn problems(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[derive(Default)]
struct Seen(Vec<(u16, Result<f64, NoData>)>);

impl SampleSink for Seen {
    fn value(&mut self, signal: SignalId, value: f64) {
        self.0.push((signal.0, Ok(value)));
    }
    fn absent(&mut self, signal: SignalId, why: NoData) {
        self.0.push((signal.0, Err(why)));
    }
}

fn dispatch(catalog: &Catalog, id: CanId, payload: &[u8]) -> (Disposition, Seen) {
    let frame = CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Classic, payload).unwrap();
    let mut seen = Seen::default();
    let disposition = catalog.decoder().dispatch(&frame, &mut seen);
    (disposition, seen)
}

#[test]
fn a_catalog_expands_and_resolves() {
    let catalog = parse(CATALOG).unwrap();
    assert_eq!(catalog.signals.len(), 3);
    let cell = &catalog.signals[1];
    assert_eq!(
        (cell.vss.as_str(), cell.signal.as_str()),
        ("Vehicle.Powertrain.TractionBattery.Cell2.Voltage", "CellVoltage_02")
    );
    assert_eq!((cell.unit, cell.id, cell.line), (Unit::Volt, CanId::Standard(256), 7));
    assert_eq!((cell.low, cell.stale_after), (Some(2.8), Duration::from_secs(60)));
    assert_eq!(catalog.signal_id("Vehicle.Powertrain.TractionBattery.Current"), Some(SignalId(2)));
    assert_eq!((catalog.signals[2].min, catalog.signals[2].max), (-500.0, 500.0));
    for channel in ["can0", "CAN-A", "0"] {
        assert_eq!(catalog.bus_of_channel(channel), BusId(0), "{channel}");
    }
    assert_eq!(catalog.bus_of_channel("can1"), BusId::UNMAPPED);
}

#[test]
fn frames_become_samples_with_sentinels_ranges_and_signs() {
    let catalog = parse(CATALOG).unwrap();
    let id = CanId::Standard(256);
    let (disposition, seen) = dispatch(&catalog, id, &[0x10, 0x0E, 0xFF, 0xFF, 0xFF, 0x9C, 0, 0]);
    assert_eq!(disposition, Disposition::Decoded(3));
    assert_eq!(seen.0, [(0, Ok(3.6)), (1, Err(NoData::SensorFault)), (2, Ok(10.0))]);
    let (_, seen) = dispatch(&catalog, id, &[0x10, 0x00, 0xFE, 0xFF, 0x80, 0x00, 0, 0]);
    assert_eq!(
        seen.0,
        [(0, Err(NoData::OutOfRange)), (1, Err(NoData::SensorFault)), (2, Err(NoData::SensorFault))]
    );
    assert_eq!(dispatch(&catalog, id, &[0; 5]).0, Disposition::Malformed);
    assert_eq!(dispatch(&catalog, CanId::Standard(257), &[0; 8]).0, Disposition::Filtered);
    assert_eq!(dispatch(&catalog, CanId::Extended(256), &[0; 8]).0, Disposition::Unknown);
    assert_eq!(dispatch(&catalog, CanId::Standard(258), &[0; 8]).0, Disposition::Unknown);
}

#[test]
fn all_problems_are_told_at_once_with_lines_and_hints() {
    let text = "schema = 1
[[bus]]
name = \"bms\"
dbc = [\"bms.dbc\", \"gone.dbc\"]
[[signal]]
vss = \"Vehicle.A\"
signal = \"CellVolt_01\"
[[signal]]
vss = \"Vehicle.B\"
signal = \"State\"
[[signal]]
vss = \"Vehicle.C\"
signal = \"Overrun\"
[[signal]]
vss = \"Vehicle.D\"
signal = \"PackCurrent\"
unit = \"amps\"
min = 3
max = 2
[[signal]]
vss = \"Vehicle.E\"
signal = \"PackCurrent\"
sentinels = [70000]
[[signal]]
vss = \"Vehicle.F\"
signal = \"PackCurrent\"
stale = 3
[[signal]]
vss = \"Vehicle.G{n}\"
signal = \"CellVoltage_{n:02}\"
[[signal]]
vss = \"Vehicle.H\"
bus = \"bmss\"
signal = \"PackCurrent\"
";
    let told = problems(text);
    for expected in [
        "catalog.toml:4: error: bms: DBC file gone.dbc: no such file",
        "catalog.toml:7: error: Vehicle.A: no DBC file of bus bms has a signal CellVolt_01; did you mean CellVoltage_01?",
        "catalog.toml:10: error: Vehicle.B: signal State stands in several messages, say in which with `message`: BMS_Cells_01, BMS_Misc",
        "catalog.toml:11: error: Vehicle.C: signal Overrun runs over message BMS_Cells_01",
        "catalog.toml:14: error: Vehicle.D: `min` = 3 must be below `max` = 2",
        "catalog.toml:17: error: Vehicle.D: the unit \"amps\" is not known",
        "catalog.toml:20: error: Vehicle.E: the 16 bits of PackCurrent never hold the sentinel 70000",
        "catalog.toml:27: error: [[signal]]: unknown field `stale`",
        "catalog.toml:28: error: Vehicle.G{n}: {n} needs a range",
        "catalog.toml:33: error: Vehicle.H: there is no bus bmss; did you mean bms?",
    ] {
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
    assert_eq!(told.lines().count(), 10, "{told}");
}

#[test]
fn text_that_is_no_catalog_is_refused_with_its_line() {
    assert!(problems("schema = 1\n[[bus]\n").contains("catalog.toml:2: error"));
    assert!(problems("").contains("does not say `schema = 1`"));
    assert!(problems("schema = 2\n").contains("catalog.toml:1: error: this agent reads `schema = 1` only"));
    assert!(problems("schema = 1\nbus = 3\n").contains("write `[[bus]]`"));
    assert!(problems(&CATALOG.replace("\"1..2\"", "\"1..4294967295\"")).contains("more than the 4096"));
    assert!(problems(&" ".repeat(MAX_CATALOG_LEN + 1)).contains("the limit is"));
}

#[test]
fn two_buses_share_no_channel() {
    let second = "[[bus]]\nname = \"b\"\ninterface = \"can1\"\nchannels = [\"0\"]\ndbc = []\n";
    let text = format!("{CATALOG}{second}").replace("signal = \"Cell", "bus = \"bms\"\nsignal = \"Cell");
    let catalog = parse(&text).unwrap();
    assert_eq!((catalog.bus_of_channel("0"), catalog.bus_of_channel("1")), (BusId(1), BusId(1)));
    assert!(problems(&text.replace("can1", "can0")).contains("channel can0 already belongs to bus bms"));
}

#[test]
fn the_digest_covers_text_and_files() {
    let digest = parse(CATALOG).unwrap().digest();
    assert_eq!(parse(CATALOG).unwrap().digest(), digest);
    assert_ne!(parse(&format!("{CATALOG}\n")).unwrap().digest(), digest);
    let other = Catalog::parse(CATALOG, "c", &mut |_| Ok(format!("{BMS}\n").into())).unwrap();
    assert_ne!(other.digest(), digest);
}

#[test]
fn what_init_prints_parses_with_every_signal() {
    let (database, _) = Database::parse(BMS, "bms.dbc");
    let text = init(&[database]);
    let catalog = parse(&text).unwrap();
    assert_eq!(catalog.signals.len(), 5, "{text}");
    assert!(text.contains("# Overrun runs over its message"));
    assert!(text.contains("unit = \"\"   # the DBC's is \"furlong\""));
    assert_eq!(catalog.diagnostics.iter().filter(|d| d.origin == "catalog.toml").count(), 0);
}

#[test]
fn remote_and_error_frames_never_decode() {
    let decoder = parse(CATALOG).unwrap().decoder();
    for (kind, payload) in [(FrameKind::Remote, &[][..]), (FrameKind::Error, &[0; 8][..])] {
        let frame = CanFrame::new(MonoTime(0), BusId(0), CanId::Standard(256), kind, payload).unwrap();
        let mut seen = Seen::default();
        assert_eq!(decoder.dispatch(&frame, &mut seen), Disposition::Malformed);
        assert!(seen.0.is_empty());
    }
}

#[test]
fn of_multiplexed_signals_only_the_selected_ones_arrive() {
    const DBC: &str = "BS_:\nBO_ 7 M: 8 X\n SG_ Switch M : 0|8@1+ (1,0) [0|0] \"\" X\n \
        SG_ Near m1 : 8|8@1+ (1,0) [0|0] \"\" X\n SG_ Far m2 : 56|8@1+ (1,0) [0|0] \"\" X\n";
    let text = "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n\
        [[signal]]\nvss = \"A.Near\"\nsignal = \"Near\"\n[[signal]]\nvss = \"A.Far\"\nsignal = \"Far\"\n";
    let catalog = Catalog::parse(text, "c", &mut |_| Ok(DBC.into())).unwrap();
    let id = CanId::Standard(7);
    let (disposition, seen) = dispatch(&catalog, id, &[1, 5, 0, 0, 0, 0, 0, 9]);
    assert_eq!((disposition, seen.0), (Disposition::Decoded(1), vec![(0, Ok(5.0))]));
    // A frame that ends before a signal that it does not select is whole.
    assert_eq!(dispatch(&catalog, id, &[1, 5]).0, Disposition::Decoded(1));
    let (disposition, seen) = dispatch(&catalog, id, &[2, 5]);
    assert_eq!((disposition, seen.0.len()), (Disposition::Malformed, 0));
    assert_eq!(dispatch(&catalog, id, &[3, 5, 0, 0, 0, 0, 0, 9]).0, Disposition::Filtered);
}

const QUALITY: &str = r#"
[[check]]
name = "cells and pack"
of = "mean"
signals = ["Vehicle.Powertrain.TractionBattery.Cell{n}.Voltage"]
n = "1..2"
equals = "Vehicle.Powertrain.TractionBattery.Current"
scale = 2.0
tolerance = 4
[[regime]]
name = "charge"
when = [{ signal = "Vehicle.Powertrain.TractionBattery.Current", above = 1.0 }]
"#;

#[test]
fn checks_and_regimes_name_signals_of_the_catalog() {
    let catalog = parse(&format!("{CATALOG}{QUALITY}")).unwrap();
    let [check] = &catalog.checks[..] else { panic!("{:?}", catalog.checks) };
    assert_eq!(
        (check.name.as_str(), check.of, check.unit),
        ("cells and pack", Combination::Mean, Unit::Ampere)
    );
    assert_eq!((&check.signals[..], check.equals), (&[SignalId(0), SignalId(1)][..], SignalId(2)));
    assert_eq!((check.scale, check.tolerance), (2.0, 4.0));
    let condition = Condition { signal: SignalId(2), above: 1.0, below: f64::INFINITY };
    assert_eq!(catalog.regimes, [Regime { name: "charge".into(), when: vec![condition] }]);
}

#[test]
fn checks_and_regimes_that_cannot_be_are_told() {
    for (right, wrong, expected) in [
        ("n = \"1..2\"", "n = \"1..3\"", "no signal Vehicle.Powertrain.TractionBattery.Cell3.Voltage"),
        ("n = \"1..2\"", "n = \"2\"", "a range such as"),
        (
            "Battery.Current\"\nscale",
            "Battery.Curent\"\nscale",
            "did you mean Vehicle.Powertrain.TractionBattery.Current",
        ),
        ("tolerance = 4", "tolerance = -1", "not negative"),
        ("of = \"mean\"", "of = \"median\"", "unknown variant"),
        ("above = 1.0", "above = inf", "a finite number"),
        (", above = 1.0", "", "needs `above` or `below`"),
        ("name = \"charge\"", "name = \"\"", "a name has"),
    ] {
        let text = format!("{CATALOG}{}", QUALITY.replace(right, wrong));
        let told = problems(&text);
        assert!(told.contains(expected) && told.lines().count() == 1, "{wrong}: {told}");
    }
    let twice = format!("{CATALOG}{QUALITY}{}", &QUALITY[QUALITY.find("[[regime]]").unwrap()..]);
    assert!(problems(&twice).contains("already stands above"));
}

#[test]
fn bitrates_have_a_default_and_bounds() {
    let bus = |extra: &str| CATALOG.replace("dbc = [\"bms.dbc\"]", &format!("dbc = [\"bms.dbc\"]\n{extra}"));
    let of =
        |text: &str| parse(text).map(|catalog| (catalog.buses[0].bitrate, catalog.buses[0].data_bitrate));
    assert_eq!(of(CATALOG).unwrap(), (DEFAULT_BITRATE, DEFAULT_DATA_BITRATE));
    assert_eq!(of(&bus("bitrate = 250_000\ndata_bitrate = 5_000_000")).unwrap(), (250_000, 5_000_000));
    assert!(problems(&bus("bitrate = 500")).contains("`bitrate` must be 5000 to 8000000"));
    assert!(problems(&CATALOG.replace("stale_ms = 60000", "cycle_ms = 0")).contains("`cycle_ms` must be"));
}
