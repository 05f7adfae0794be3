//! Our DBC decoder against `cantools` on every file of `opendbc`, the Kona's and one with every layout: equal
//! values from random payloads, by the tools' decoder and by the compiled one, and the same bits encoded back.
//!
//! Runs where `TELLTALE_PYTHON` names an interpreter with `tests/oracle/requirements.txt` installed.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use telltale_core::dbc::{Database, Decoder, Disposition, Message, Request, SignalValue};
use telltale_core::frame::{BusId, CanFrame, FrameKind};
use telltale_core::signal::{NoData, SampleSink, SignalId};
use telltale_wire::time::MonoTime;

/// cantools 45.1 loads 46 of opendbc's 58 files; ours must load all.
const OPENDBC_FILES: usize = 58;
const OPENDBC_LOADED_BY_CANTOOLS: usize = 46;

#[test]
fn no_value_differs_from_cantools() {
    let Some(python) = std::env::var_os("TELLTALE_PYTHON") else {
        println!("skipped: TELLTALE_PYTHON names no interpreter with tests/oracle/requirements.txt");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("fixtures/dbc/every_layout.dbc")];
    files.extend(recorded_files(root));
    let mut oracle = Command::new(python)
        .arg(root.join("oracle/dbc_expected.py"))
        .args(&files)
        .stdout(Stdio::piped())
        .spawn()
        .expect("TELLTALE_PYTHON can be run");
    let mut tally = Tally::default();
    let mut file = None;
    for line in BufReader::new(oracle.stdout.take().expect("its output is piped")).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match line.get("file").and_then(Value::as_str) {
            Some(path) => file = Some(File::load(path, &line, &mut tally)),
            None => file.as_ref().expect("a file stands first").compare(&line, &mut tally),
        }
    }
    assert!(oracle.wait().unwrap().success(), "the oracle failed");
    println!("{tally:#?}");
    assert!(tally.mismatches.is_empty(), "{} mismatches", tally.mismatches.len());
    assert!(tally.opendbc_files >= OPENDBC_FILES, "opendbc is not installed beside cantools");
    assert_eq!(tally.opendbc_loaded_by_cantools, OPENDBC_LOADED_BY_CANTOOLS);
    assert!(
        tally.values > 100_000 && tally.multiplexed > 1_000 && tally.over_8_bytes > 1_000,
        "too little compared"
    );
}

/// The DBC files beside the real recordings, where these are present.
fn recorded_files(root: &Path) -> Vec<PathBuf> {
    let data =
        std::env::var_os("TELLTALE_DATA").map_or_else(|| root.join("../../shared/data"), PathBuf::from);
    let mut files = Vec::new();
    for folder in ["kona_ev_can/dbc", "opendbc_dbc"] {
        match std::fs::read_dir(data.join(folder)) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => println!("skipped: {folder} is not in {}", data.display()),
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dbc"));
    files.sort();
    files
}

#[derive(Debug, Default)]
struct Tally {
    files: usize,
    opendbc_files: usize,
    opendbc_loaded_by_cantools: usize,
    payloads: usize,
    values: usize,
    multiplexed: usize,
    over_8_bytes: usize,
    encoded_back: usize,
    not_decoded_by_cantools: usize,
    /// Signals whose switch cantools does not see.
    beyond_cantools: usize,
    mismatches: Vec<String>,
}

impl Tally {
    fn mismatch(&mut self, text: String) {
        if self.mismatches.len() < 50 {
            self.mismatches.push(text);
        }
    }
}

struct File {
    path: String,
    database: Database,
    decoder: Decoder,
    /// The first signal number of each message.
    first_id: Vec<u16>,
}

impl File {
    fn load(path: &str, line: &Value, tally: &mut Tally) -> File {
        let (database, _) = Database::parse(std::fs::read(path).unwrap(), path);
        tally.files += 1;
        if path.contains("site-packages") {
            tally.opendbc_files += 1;
            tally.opendbc_loaded_by_cantools += usize::from(line.get("error").is_none());
        }
        if database.messages.is_empty() {
            tally.mismatch(format!("{path}: no message was read"));
        }
        let mut first_id = Vec::new();
        let mut requests = Vec::new();
        for message in &database.messages {
            first_id.push(requests.len() as u16);
            requests.extend((0..message.signals.len()).map(|signal| Request {
                id: SignalId(0),
                bus: BusId(0),
                message,
                signal,
                sentinels: &[],
                min: f64::MIN,
                max: f64::MAX,
                inverted: false,
            }));
        }
        for (number, request) in requests.iter_mut().enumerate() {
            request.id = SignalId(u16::try_from(number).unwrap());
        }
        let decoder = Decoder::compile([], &requests);
        File { path: path.to_owned(), decoder, first_id, database }
    }

    fn compare(&self, line: &Value, tally: &mut Tally) {
        let name = line["message"].as_str().unwrap();
        if line.get("error").is_some() {
            tally.not_decoded_by_cantools += 1;
            return;
        }
        let place = self.database.messages.iter().position(|message| message.name == name);
        let Some(place) = place else {
            return tally.mismatch(format!("{}: no message {name}", self.path));
        };
        let message = &self.database.messages[place];
        let payload = bytes(line["payload"].as_str().unwrap());
        let expected: BTreeMap<&str, f64> = line["values"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), number(value)))
            .collect();
        tally.payloads += 1;
        tally.values += expected.len();
        tally.over_8_bytes += if payload.len() > 8 { expected.len() } else { 0 };
        let context = format!("{} {name} {}", self.path, line["payload"]);
        let mut values = message.decode(&payload).unwrap();
        let unreachable: Vec<&str> =
            line["unreachable"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        values.retain(|value| !unreachable.contains(&value.signal.name.as_str()));
        tally.multiplexed += values.iter().filter(|value| value.signal.selection.is_some()).count();
        let ours = values.iter().map(|value| (value.signal.name.as_str(), value.value)).collect();
        compare(&context, "decode", &expected, &ours, tally);
        let mut compiled = self.dispatch(place, &payload);
        compiled.retain(|name, _| !unreachable.contains(name));
        tally.beyond_cantools += unreachable.len();
        compare(&context, "dispatch", &expected, &compiled, tally);
        encode_back(&context, message, &values, tally);
    }

    /// The values of the compiled decoder; one that is not finite is a sensor fault there.
    fn dispatch(&self, place: usize, payload: &[u8]) -> BTreeMap<&str, f64> {
        let message = &self.database.messages[place];
        let first = self.first_id[place];
        let frame = CanFrame::new(MonoTime(0), BusId(0), message.id, FrameKind::Fd, payload).unwrap();
        let mut sink = Collected::default();
        let disposition = self.decoder.dispatch(&frame, &mut sink);
        assert_eq!(disposition, Disposition::Decoded(u16::try_from(sink.0.len()).unwrap()));
        // Another message of the file may have the same identifier: its signals arrive too.
        let of_message =
            sink.0.into_iter().filter_map(|(id, value)| Some((usize::from(id.checked_sub(first)?), value)));
        of_message
            .filter_map(|(signal, value)| Some((message.signals.get(signal)?.name.as_str(), value)))
            .collect()
    }
}

#[derive(Default)]
struct Collected(Vec<(u16, f64)>);

impl SampleSink for Collected {
    fn value(&mut self, signal: SignalId, value: f64) {
        self.0.push((signal.0, value));
    }
    fn absent(&mut self, signal: SignalId, why: NoData) {
        assert!(matches!(why, NoData::SensorFault | NoData::OutOfRange));
        self.0.push((signal.0, f64::NAN));
    }
}

fn compare(
    context: &str,
    by: &str,
    expected: &BTreeMap<&str, f64>,
    ours: &BTreeMap<&str, f64>,
    tally: &mut Tally,
) {
    if !expected.keys().eq(ours.keys()) {
        let missing: Vec<_> = expected.keys().filter(|name| !ours.contains_key(*name)).collect();
        let extra: Vec<_> = ours.keys().filter(|name| !expected.contains_key(*name)).collect();
        tally.mismatch(format!("{context} {by}: missing {missing:?}, extra {extra:?}"));
    }
    for (name, value) in expected {
        let Some(our) = ours.get(name) else { continue };
        // cantools computes integers exactly; a double holds 53 bits of them.
        let close = (value - our).abs() <= 1e-15 * value.abs().max(our.abs());
        let both_none = !value.is_finite() && (our.is_nan() || our == value);
        if !(value == our || close || both_none) {
            tally.mismatch(format!("{context} {by}: {name} is {our}, expected {value}"));
        }
    }
}

/// Encodes what was decoded and compares the bits, as far as a double holds them.
fn encode_back(context: &str, message: &Message, values: &[SignalValue<'_>], tally: &mut Tally) {
    let exact: Vec<_> = values.iter().filter(|v| v.value.is_finite() && is_exact(v)).collect();
    let given: Vec<(&str, f64)> = exact.iter().map(|v| (v.signal.name.as_str(), v.value)).collect();
    match message.encode(&given) {
        Ok(payload) => {
            let again = message.decode(&payload).unwrap();
            for value in exact {
                let raw = again.iter().find(|v| v.signal.name == value.signal.name).map(|v| v.raw);
                tally.encoded_back += 1;
                if raw != Some(value.raw) {
                    let (name, was) = (&value.signal.name, value.raw);
                    tally.mismatch(format!("{context} encode: {name} was {was:#x}, came back as {raw:x?}"));
                }
            }
        }
        Err(error) => tally.mismatch(format!("{context} encode: {error}")),
    }
}

fn is_exact(value: &SignalValue<'_>) -> bool {
    use telltale_core::dbc::RawKind::{Double, Float, Signed, Unsigned};
    match value.signal.layout.kind() {
        Unsigned | Signed => value.signal.layout.bits() <= 48 && value.signal.factor != 0.0,
        // Scaling rounds; only unscaled ones come back bit by bit.
        Float | Double => value.signal.factor == 1.0 && value.signal.offset == 0.0,
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
