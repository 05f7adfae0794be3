//! Counters and checksums from end to end: none is called wrong on a sound bus, a real car's and the simulator's, and each
//! error that is planted is named with its message.

use crate::rig;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Protected messages of the Kona's two buses. What protects them was found by computing it over the whole log, apart from
/// the agent. The public DBC files have no CCAN message of these.
const CCAN: &str = "BS_:\n\
    BO_ 304 C130: 8 ECU\n SG_ C130_State : 0|8@1+ (1,0) [0|255] \"\" X\n\
    BO_ 320 C140: 8 ECU\n SG_ C140_State : 0|8@1+ (1,0) [0|255] \"\" X\n\
    BO_ 593 C251: 8 ECU\n SG_ C251_State : 0|8@1+ (1,0) [0|255] \"\" X\n";

/// Channel, identifier, message, a signal of it, and what protects it.
const PROTECTED: [(&str, u32, &str, &str, &str); 10] = [
    (
        "0",
        0x153,
        "TractionControlFast",
        "TCS_REQ",
        "counter = \"52|4@1\"\nmodulo = 15\nchecksum = { algorithm = \"sum\", at = \"56|8@1\" }",
    ),
    ("0", 0x220, "StabilityControl", "LAT_ACCEL", "counter = \"60|4@1\""),
    ("0", 0x2B0, "Steering", "Angle", "counter = \"Counter\""),
    (
        "0",
        0x354,
        "SBW_354",
        "Gear_Displayed",
        "counter = \"56|4@1\"\nchecksum = { algorithm = \"nibble-sum\", at = \"60|4@1\" }",
    ),
    (
        "0",
        0x387,
        "IEB_387_WHEEL",
        "WHL_PUL_FL",
        "counter = \"AliveCounterWHL_PUL\"\nmodulo = 15\nchecksum = { algorithm = \"sum\", at = \"WHL_PUL_Chksum\" }",
    ),
    ("0", 0x394, "TractionControlMed", "aBasis", "counter = \"Counter\""),
    ("0", 0x471, "UNK_471", "Maybezeroes", "counter = \"Counter\""),
    (
        "1",
        0x130,
        "C130",
        "C130_State",
        "counter = \"48|4@1\"\nchecksum = { algorithm = \"crc8-j1850\", at = \"56|8@1\" }",
    ),
    (
        "1",
        0x140,
        "C140",
        "C140_State",
        "counter = \"48|4@1\"\nchecksum = { algorithm = \"crc8-j1850\", at = \"56|8@1\" }",
    ),
    (
        "1",
        0x251,
        "C251",
        "C251_State",
        "counter = \"16|8@1\"\nchecksum = { algorithm = \"sum\", at = \"24|8@1\" }",
    ),
];

/// Messages that failed a check: repeated, out of sequence, wrong checksum.
type Failures = BTreeMap<String, [u64; 3]>;

/// Frames checked on all buses, and the messages that failed.
fn checked(report: &Value) -> (u64, Failures) {
    let (mut sum, mut failures) = (0, Failures::new());
    for bus in report["buses"].as_array().unwrap() {
        sum += bus["checked"].as_u64().unwrap();
        for message in bus["suspicious"].as_array().unwrap() {
            let counts =
                ["repeated", "wrong_sequence", "wrong_checksum"].map(|key| message[key].as_u64().unwrap());
            failures.insert(message["message"].as_str().unwrap().to_owned(), counts);
        }
    }
    (sum, failures)
}

/// The Kona's catalog and its DBC files in a folder.
fn kona(folder: &Path, data: &Path) -> PathBuf {
    fs::copy(data.join("dbc/pcan.dbc"), folder.join("pcan.dbc")).unwrap();
    fs::write(folder.join("ccan.dbc"), CCAN).unwrap();
    let mut text = "schema = 1\n".to_owned();
    for (name, channel) in [("pcan", "0"), ("ccan", "1")] {
        text += &format!("[[bus]]\nname = \"{name}\"\nchannels = [\"{channel}\"]\ndbc = [\"{name}.dbc\"]\n");
    }
    for (channel, _, message, signal, protection) in PROTECTED {
        let bus = if channel == "0" { "pcan" } else { "ccan" };
        text += &format!(
            "[[signal]]\nvss = \"Vehicle.{message}\"\nbus = \"{bus}\"\nmessage = \"{message}\"\nsignal = \"{signal}\"\n\
             stale_ms = 5000\n[[message]]\nbus = \"{bus}\"\nmessage = \"{message}\"\n{protection}\n"
        );
    }
    let path = folder.join("catalog.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Channel and identifier of a line of the log.
fn who(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(',').skip(1);
    let id = u32::from_str_radix(fields.next()?, 16).ok()?;
    Some((fields.nth(1)?, id))
}

#[test]
fn a_real_car_s_counters_and_checksums_hold_and_planted_errors_are_named() {
    let Some(data) = rig::recordings("kona_ev_can") else { return };
    let folder = tempfile::tempdir().unwrap();
    let catalog = kona(folder.path(), &data);
    let log = data.join(crate::kona::LOG);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is = |line: &str, channel: &str, id: u32| who(line) == Some((channel, id));
    let protected = lines.iter().filter(|line| PROTECTED.iter().any(|known| is(line, known.0, known.1)));
    let (count, failures) = checked(&rig::replay(&catalog, &log));
    println!("kona: {count} frames of {} messages checked, {} wrong", PROTECTED.len(), failures.len());
    assert_eq!((count, failures), (protected.count() as u64, Failures::new()));
    assert!(count > 5_000, "{count}");

    // The frame of a message in the middle of the log.
    let middle = |channel, id| {
        let places: Vec<usize> = (0..lines.len()).filter(|n| is(lines[*n], channel, id)).collect();
        places[places.len() / 2]
    };
    let mut planted: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    // A byte that is neither counter nor checksum.
    for (channel, id) in [("0", 0x153), ("1", 0x130), ("0", 0x354)] {
        let mut fields: Vec<String> = lines[middle(channel, id)].split(',').map(str::to_owned).collect();
        fields[6] = format!("{:02X}", u8::from_str_radix(&fields[6], 16).unwrap() ^ 0x01);
        planted[middle(channel, id)] = fields.join(",");
    }
    for (channel, id) in [("0", 0x387), ("1", 0x251)] {
        let place = middle(channel, id);
        planted[place] = format!("{0}\n{0}", lines[place]);
    }
    planted[middle("0", 0x220)].clear();
    planted[middle("1", 0x140)].clear();
    planted.retain(|line| !line.is_empty());
    let spoiled = folder.path().join("spoiled.csv");
    fs::write(&spoiled, planted.join("\n") + "\n").unwrap();
    let (_, failures) = checked(&rig::replay(&catalog, &spoiled));
    println!("kona, planted: {failures:?}");
    // What is not whole does not move the counter: to the next frame it jumps by two.
    let expected = [
        ("TractionControlFast", [0, 1, 1]),
        ("C130", [0, 1, 1]),
        ("SBW_354", [0, 1, 1]),
        ("IEB_387_WHEEL", [1, 0, 0]),
        ("C251", [1, 0, 0]),
        ("StabilityControl", [0, 1, 0]),
        ("C140", [0, 1, 0]),
    ];
    assert_eq!(failures, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
}

/// Replays a simulated drive of both buses with these faults.
fn simulated(folder: &Path, faults: &[&str], change: impl Fn(&str) -> String) -> (Value, String) {
    let log = folder.join("drive.log");
    let mut command = vec!["simulate", "--seed", "3", "--hours", "0.1", "--powertrain", "can1"];
    command.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    command.extend(["-o", rig::text(&log)]);
    rig::telltale_ok(&command);
    let text = change(&fs::read_to_string(&log).unwrap());
    fs::write(&log, &text).unwrap();
    (rig::replay(&rig::root().join("cross/sil/catalog.toml"), &log), text)
}

fn bus<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["buses"].as_array().unwrap().iter().find(|bus| bus["bus"] == name).unwrap()
}

#[test]
fn the_simulator_s_protection_holds_and_its_intruders_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let same = |text: &str| text.to_owned();
    let (clean, text) = simulated(folder.path(), &[], same);
    let protected = ["can0 180#", "can1 0F0#", "can1 0F1#", "can1 0F2#", "can1 0F4#"];
    let sent = text.lines().filter(|line| protected.iter().any(|start| line.contains(start))).count();
    let (count, failures) = checked(&clean);
    println!("simulated: {count} frames checked, {} messages wrong", failures.len());
    assert_eq!((count, failures), (sent as u64, Failures::new()));
    assert!(count > 50_000, "{count}");
    assert_eq!(bus(&clean, "powertrain")["unknown_frames"], 0);

    // An intruder repeats the powertrain's last seconds beside it: every protected message of it jumps to and fro.
    let (replayed, _) =
        simulated(folder.path(), &["replay:ecu=powertrain,window_s=5,onset=120,for=60"], same);
    let (_, failures) = checked(&replayed);
    println!("replay: {failures:?}");
    let names: Vec<&str> = failures.keys().map(String::as_str).collect();
    assert_eq!(names, ["PT_Contactors", "PT_Motor", "PT_Pedals", "PT_Speed"]);
    assert!(failures.values().all(|[_, jumps, torn]| *jumps > 500 && *torn == 0), "{failures:?}");

    // A flood has an identifier that no DBC file has.
    let (flooded, text) =
        simulated(folder.path(), &["can-flood:ecu=powertrain,rate=2000,onset=120,for=10"], same);
    let (unknown, flood) =
        (bus(&flooded, "powertrain"), text.lines().filter(|line| line.contains("can1 000#")));
    let flood = flood.count() as u64;
    println!("flood: {flood} frames, {}", unknown["unknown"]);
    assert_eq!(unknown["unknown_frames"], flood);
    assert!(flood > 15_000 && checked(&flooded).1.is_empty());

    // An intruder that sends the last frame as it was, over and over.
    let held = |text: &str| {
        let motor = |line: &&str| line.contains("can1 0F0#");
        let frozen =
            text.lines().filter(motor).nth(5_000).and_then(|line| line.split('#').nth(1)).unwrap().to_owned();
        let mut seen = 0;
        let hold = |line: &str| {
            seen += u32::from(motor(&line));
            if motor(&line) && seen > 5_000 {
                format!("{}#{frozen}\n", line.split('#').next().unwrap())
            } else {
                format!("{line}\n")
            }
        };
        text.lines().map(hold).collect()
    };
    let (held, _) = simulated(folder.path(), &[], held);
    let (_, failures) = checked(&held);
    println!("held: {failures:?}");
    assert!(failures.len() == 1 && failures["PT_Motor"][0] > 5_000, "{failures:?}");

    // One that knows counter and checksum passes both checks: what protects against errors does not against that.
    let (masked, text) = simulated(folder.path(), &["masquerade:message=0x0F0,onset=120"], same);
    let frames: Vec<&str> = text.lines().filter(|line| line.contains("can1 0F0#")).collect();
    let content = |line: &str| line.split('#').nth(1).map(|data| data[4..].to_owned());
    assert!(frames.iter().rev().take(5_000).all(|line| content(line) == content(frames[frames.len() - 1])));
    assert_eq!(checked(&masked).1, Failures::new());
}
