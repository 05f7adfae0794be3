//! Tables onto CAN and back through the DBC decoder.

use super::*;
use telltale_core::trace::{Format, LineParser};
use telltale_sil::protect::seal;

const BMS: &str = include_str!("../../../../models/cell-fault/bms.dbc");

const MAP: &str = r#"
[time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"
[[protect]]
message = "BMS_Pack"
counter = "PackCounter"
checksum = "PackChecksum"
[[map]]
column = "volts"
signal = "PackVoltage"
not_available = 65535
[[map]]
column = "amperes"
signal = "PackCurrent"
not_available = -32768
[[map]]
column = "soc"
signal = "PackStateOfCharge"
scale = 100.0
[[constant]]
signal = "ChargeStatus"
raw = 15
[[constant]]
signal = "WarningLevel"
raw = 15
[[map]]
column = "T_{n}"
n = "1..2"
signal = "ProbeTemp_{n}"
offset = -40.0
absent = [255]
not_available = 255
[[constant]]
signal = "ProbeTemp_{n}"
n = "3..8"
raw = 255
"#;

const HEADER: &str = "time,volts,amperes,soc,T_1,T_2\n";

fn database() -> Database {
    Database::parse(BMS, "bms.dbc").0
}

fn encoded(map: &str, rows: &str) -> Result<(Encoded, String), EncodeError> {
    let map = ColumnMap::parse(map, "map.toml").unwrap();
    let (csv, mut out) = (format!("{HEADER}{rows}"), Vec::new());
    let counted = encode(csv.as_bytes(), "rows.csv", &database(), &map, &"can0".parse().unwrap(), &mut out)?;
    Ok((counted, String::from_utf8(out).unwrap()))
}

/// Each frame of a log: microseconds, and the values of its message by name.
fn decoded(log: &str) -> Vec<(i64, Vec<(String, f64)>)> {
    let (database, mut lines) = (database(), LineParser::new(Format::CandumpLog));
    let frames = log.lines().map(|line| {
        let read = lines.parse(line.as_bytes()).unwrap().unwrap();
        let (at_us, frame) = (read.at_us, read.into_frame(MonoTime(0), BusId(0)));
        let message = database.message_by_id(frame.id).unwrap();
        let values = message.decode(frame.payload()).unwrap();
        (at_us, values.into_iter().map(|v| (v.signal.name.clone(), v.value)).collect())
    });
    frames.collect()
}

#[test]
fn a_row_becomes_frames_that_decode_to_it() {
    let (counted, log) = encoded(MAP, "2019-05-10 08:44:57,351.2,-44.3,0.925,65.0,66.0\n").unwrap();
    assert_eq!(counted, Encoded { rows: 1, frames: 2, ..Encoded::default() });
    let frames = decoded(&log);
    assert_eq!(frames[0].0, 1_557_477_897_000_000);
    assert_eq!(frames[1].0, 1_557_477_897_000_200, "the frames of a row follow one another");
    let value = |frame: usize, name: &str| frames[frame].1.iter().find(|(n, _)| n == name).unwrap().1;
    assert!((value(0, "PackVoltage") - 351.2).abs() < 1e-9);
    assert!((value(0, "PackCurrent") + 44.3).abs() < 1e-9);
    assert_eq!(value(0, "PackStateOfCharge"), 92.5);
    assert_eq!(value(0, "ChargeStatus"), 15.0);
    assert_eq!((value(1, "ProbeTemp_1"), value(1, "ProbeTemp_2")), (25.0, 26.0));
    assert_eq!(value(1, "ProbeTemp_3"), 215.0, "the raw 255 of a probe that is not there");
}

#[test]
fn absence_and_excess_become_not_available() {
    let rows = "2019-05-10 08:44:57,,5000,0.5,255.0,300\n\
                2019-05-10 08:44:57,7000,0,,NaN,65\n\
                2019-05-10 08:44:56,6553.5,0,0.5,65,65\n";
    let (counted, log) = encoded(MAP, rows).unwrap();
    assert_eq!(
        counted,
        Encoded { rows: 3, frames: 5, left_out: 1, missing: 4, beyond: 4, repeated: 1, stepped_back: 1 }
    );
    let payload = |line: usize| log.lines().nth(line).unwrap().split_once('#').unwrap().1.to_owned();
    // Row 1: no voltage, 5,000 A, both probes without a value. Row 2 lacks the charge, for which the map gives
    // no raw value. Row 3: 6553.5 V would read as the raw value for "not available", so it is none.
    assert!(payload(0).starts_with("FFFF008064FF00"));
    assert_eq!(payload(1), "FFFFFFFFFFFFFFFF");
    assert!(payload(2).starts_with("FF41"), "the frame of the probes alone: {}", payload(2));
    assert!(payload(3).starts_with("FFFF000064FF01"), "the counter counts frames that were sent");
}

#[test]
fn protected_frames_close_with_counter_and_checksum() {
    let rows: String = (0..20).map(|s| format!("2019-05-10 08:45:{s:02},350,1,0.5,65,65\n")).collect();
    let (_, log) = encoded(MAP, &rows).unwrap();
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|k| u8::from_str_radix(&text[2 * k..2 * k + 2], 16).unwrap()).collect()
    };
    let pack: Vec<Vec<u8>> =
        log.lines().filter_map(|line| line.split_once(" 180#")).map(|(_, payload)| hex(payload)).collect();
    assert_eq!(pack.len(), 20);
    for (k, payload) in pack.iter().enumerate() {
        assert_eq!(usize::from(payload[6]), k % 16);
        assert_eq!(payload[7], seal(&payload[..7]));
    }
}

#[test]
fn errors_name_file_line_column_and_value() {
    let message = |rows: &str| encoded(MAP, rows).unwrap_err().to_string();
    let good = "2019-05-10 08:44:57,350,1,0.5,65,65\n";
    assert_eq!(
        message(&format!("{good}2019-05-10 08:45:27,35O,1,0.5,65,65\n")),
        "rows.csv:3: column `volts`: `35O` is no number"
    );
    assert_eq!(
        message("2019-05-10,350,1,0.5,65,65\n"),
        "rows.csv:2: column `time`: `2019-05-10` is no time in the map's format"
    );
    assert!(matches!(encoded(MAP, "1,2\n"), Err(EncodeError::Csv { .. })), "a row of another length");
}

#[test]
fn maps_that_do_not_fit_are_refused_before_the_first_frame() {
    let refused = |from: &str, to: &str| encoded(&MAP.replace(from, to), "").unwrap_err();
    assert!(matches!(refused("\"volts\"", "\"kilovolts\""), EncodeError::Column { times: 0, .. }));
    assert!(matches!(refused("\"PackVoltage\"", "\"PackVolts\""), EncodeError::Signal { carriers: 0, .. }));
    assert!(matches!(refused("\"PackVoltage\"", "\"PackCurrent\""), EncodeError::Signal { named: 2, .. }));
    assert!(matches!(refused("-32768", "65536"), EncodeError::Raw { raw: 65_536, .. }));
    assert!(matches!(refused("n = \"3..8\"", "n = \"3..7\""), EncodeError::Layout { .. }));
    assert!(matches!(refused("\"PackChecksum\"", "\"PackCounter\""), EncodeError::Layout { .. }));
}

/// The recordings of two real cars, where they are: every row, no cell beyond its signal.
#[test]
fn the_real_cars_fit_their_maps() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var("TELLTALE_DATA").unwrap_or_else(|_| beside.into());
    for (car, map, rows, missing, repeated) in [
        ("car2", include_str!("../../../../models/cell-fault/columns-car2.toml"), 14_385, 0, 1),
        ("car3", include_str!("../../../../models/cell-fault/columns-car3.toml"), 50_000, 408_181, 34),
    ] {
        let path = format!("{data}/ev_cell_faults/{car}_processed.zip");
        let Ok(file) = std::fs::File::open(&path) else {
            println!("skipped: there is no {path}");
            return;
        };
        let mut archive = zip::ZipArchive::new(file).unwrap();
        // Each archive holds the one table.
        let table = archive.by_index(0).unwrap();
        let map = ColumnMap::parse(map, car).unwrap();
        let counted =
            encode(table, car, &database(), &map, &"can0".parse().unwrap(), &mut io::sink()).unwrap();
        let frames = 28 * rows;
        assert_eq!(counted, Encoded { rows, frames, missing, repeated, ..Encoded::default() });
    }
}
