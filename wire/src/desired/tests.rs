//! What may stand in a desired state, and what is refused.

use super::*;
use alloc::vec;

fn raw(id: u64, command: &Command) -> RawCommand {
    RawCommand { id, expires: WallTime(9), kind: command.kind(), body: command.to_body().unwrap() }
}

fn state(commands: Vec<RawCommand>) -> DesiredState {
    DesiredState { version: 3, issued: WallTime(1), expires: WallTime(9), commands }
}

#[test]
fn an_unknown_kind_is_refused_alone() {
    let pin = Command::Pin(Pin { family: "cell-fault".into(), pinned: true });
    let newer = RawCommand { id: 7, expires: WallTime(9), kind: 400, body: vec![1, 2, 3] };
    let bytes = state(vec![newer, raw(8, &pin)]).to_bytes().unwrap();
    let read = DesiredState::read(&bytes).unwrap();
    assert_eq!(read.commands[0].parse(), Err(DesiredError::UnknownKind(400)));
    assert_eq!(read.commands[1].parse(), Ok(pin));
}

#[test]
fn appended_bytes_of_a_newer_cloud_are_ignored() {
    let mut bytes = state(vec![]).to_bytes().unwrap();
    bytes.extend_from_slice(&[9, 9, 9]);
    assert_eq!(DesiredState::read(&bytes).unwrap(), state(vec![]));
}

#[test]
fn every_bound_holds_in_both_directions() {
    let on = Command::Feature(FeatureSwitch { feature: Feature::Models, on: true });
    let full = |n: u64| state((1..=n).map(|id| raw(id, &on)).collect());
    let most = full(MAX_COMMANDS as u64).to_bytes().unwrap();
    assert_eq!(DesiredState::read(&most).unwrap().commands.len(), MAX_COMMANDS);
    let over = full(MAX_COMMANDS as u64 + 1);
    let bytes = postcard::to_allocvec(&over).unwrap();
    assert_eq!(DesiredState::read(&bytes), Err(DesiredError::TooMany { count: MAX_COMMANDS + 1 }));
    assert!(over.to_bytes().is_err());

    let twice = state(vec![raw(4, &on), raw(4, &on)]);
    let bytes = postcard::to_allocvec(&twice).unwrap();
    assert_eq!(DesiredState::read(&bytes), Err(DesiredError::Order { id: 4 }));
    assert_eq!(DesiredState::read(&vec![0; MAX_LEN + 1]), Err(DesiredError::TooLong { len: MAX_LEN + 1 }));
    let long = RawCommand { body: vec![0; MAX_BODY + 1], ..raw(1, &on) };
    assert!(DesiredState::read(&postcard::to_allocvec(&state(vec![long])).unwrap()).is_err());
}

#[test]
fn the_fullest_file_fits_its_bound() {
    let full = |id| RawCommand {
        id: u64::MAX - MAX_COMMANDS as u64 + id,
        expires: WallTime(i64::MIN),
        kind: u16::MAX,
        body: vec![255; MAX_BODY],
    };
    let state = DesiredState {
        version: u64::MAX,
        issued: WallTime(i64::MIN),
        expires: WallTime(i64::MIN),
        commands: (1..=MAX_COMMANDS as u64).map(full).collect(),
    };
    assert!(state.to_bytes().unwrap().len() <= MAX_LEN);
}

#[test]
fn a_part_out_of_its_range_is_refused_by_writer_and_reader() {
    let long = SnapshotNow { before_ms: MAX_SNAPSHOT_MS + 1, after_ms: 0, why: "x".into() };
    let command = Command::Snapshot(long.clone());
    assert!(command.to_body().is_err());
    let body = postcard::to_allocvec(&long).unwrap();
    let raw = RawCommand { id: 1, expires: WallTime(9), kind: 2, body };
    assert!(matches!(raw.parse(), Err(DesiredError::Malformed(_))));
    let silent = Command::LogLevel(LogLevel { filter: String::new() });
    assert!(silent.to_body().is_err());
    let wordy = Command::LogLevel(LogLevel { filter: "x".repeat(MAX_TEXT + 1) });
    assert!(wordy.to_body().is_err());
    let hot = Ahead { until: WallTime(9), decicelsius: Some(601), road: None };
    assert!(Command::Ahead(hot).to_body().is_err());
    let raw = RawCommand { id: 1, expires: WallTime(9), kind: 9, body: postcard::to_allocvec(&hot).unwrap() };
    assert!(matches!(raw.parse(), Err(DesiredError::Malformed(_))));
}
