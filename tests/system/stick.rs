//! Without a network: what a USB stick brings is believed, tried and committed like what comes over the air, and what
//! has ended, is for other hardware, or is older than what the vehicle was given is not.

use crate::bench::{Bench, Process};
use crate::over_the_air::{PATIENCE, bench};
use crate::release::{HARDWARE, Release, build, build_for, called, said};
use crate::rig;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use telltale_repository::director::{Director, Versions};
use telltale_repository::key::SigningKey;
use telltale_repository::{Repository, Side};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

fn install(bench: &Bench, stick: &str) -> Vec<String> {
    let (config, folder) = (bench.path("agent.toml"), bench.path(stick));
    ["model", "install", rig::text(&folder), "--config", rig::text(&config)].map(str::to_owned).to_vec()
}

fn installed(bench: &Bench, stick: &str) -> String {
    rig::telltale_ok(&install(bench, stick).iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused(bench: &Bench, stick: &str) -> String {
    rig::telltale_fails(&install(bench, stick).iter().map(String::as_str).collect::<Vec<_>>())
}

fn wait(agent: &Process, words: &str) {
    assert!(agent.says_within(PATIENCE, words), "{words}\n{}", agent.said());
}

/// A stick that was signed at another time, by the real director's key.
fn signed_at(bench: &Bench, out: &str, path: &str, after: u64, now: WallTime) {
    let repository = Repository::open(bench.path("repo"));
    let key = SigningKey::read(&bench.path("online/director.pem")).unwrap();
    let director = Director::new(&repository.root(Side::Director).unwrap(), key).unwrap();
    let bundle = path.parse().unwrap();
    let target = repository.target(&bundle).unwrap().unwrap();
    let before = Versions { targets: after, snapshot: after, timestamp: after };
    let vehicle = VehicleId::new("v1").unwrap();
    let issued = director.issue(&vehicle, before, &[(path.to_owned(), target)].into(), now).unwrap();
    repository.write_stick(&bench.path(out), &issued, &[bundle]).unwrap();
}

fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(since.as_micros() as i64)
}

/// Takes the line away: an agent that was never meant to have one.
fn without_uplink(bench: &Bench) {
    let config = bench.path("agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, rest) = text.split_once("[uplink]").unwrap();
    let (_, update) = rest.split_once("[update]").unwrap();
    fs::write(&config, format!("{before}[update]{update}")).unwrap();
}

#[test]
fn a_stick_is_believed_like_the_line_and_no_more() {
    let bench = bench("12", "300", "");
    let release = Release::begin(&bench, &["cell-fault"]);
    // It has called once, so that the server knows it, and never again.
    let mut agent = bench.agent("agent.toml");
    release.wait("/api/vehicles", &agent, PATIENCE, |fleet| fleet.to_string().contains("\"v1\""));
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    without_uplink(&bench);
    agent = bench.agent("agent.toml");

    let first = build(&bench, &rig::cell_fault(), 1);
    release.publish(&first);
    let foreign = build_for(&bench, &rig::cell_fault(), 2, "ecu-z");
    release.publish(&foreign);
    let third = build(&bench, &rig::cell_fault(), 3);
    release.publish(&third);

    // Signed a month ago, for a day.
    signed_at(&bench, "ended", &third, 0, WallTime(now().0 - 30 * 86_400_000_000));
    let why = refused(&bench, "ended");
    assert!(why.contains("expired") || why.contains("ended"), "{why}");
    // For other hardware.
    signed_at(&bench, "foreign", &foreign, 1, now());
    let why = refused(&bench, "foreign");
    assert!(why.contains("hardware"), "{why}");
    assert!(why.contains(HARDWARE), "{why}");
    // A chunk that is not the one that was signed for.
    signed_at(&bench, "torn", &first, 2, now());
    for chunk in fs::read_dir(bench.path("torn/chunk")).unwrap().map(Result::unwrap) {
        spoil(&chunk.path());
    }
    installed(&bench, "torn");
    wait(&agent, &format!("{} refused (not what was signed)", called(1)));

    // What the server has for the vehicle, models and commands, as its database says.
    release.roll_out(&third, "[[wave]]\npercent = 100\n");
    release.ask("command", "--by ann --why stick v1 feature snapshots off");
    // The server's versions go on from those that the vehicle was given by hand.
    let exported = loop {
        let _ = fs::remove_dir_all(bench.path("good"));
        let words = "--dir repo --director online/director.pem --vehicle v1 --out good";
        let exported = release.ask("repository export", words);
        let version: u64 =
            exported.split("version ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        if version > 3 && exported.contains(&third) {
            break exported;
        }
        // The engine releases the model to the vehicle when it next looks; a command counts the version up.
        if version <= 3 {
            release.ask("command", "--by ann --why stick v1 feature snapshots off");
        }
        sleep(Duration::from_millis(200));
    };
    assert!(exported.contains("good until"), "{exported}");
    installed(&bench, "good");
    wait(&agent, "command 1: done");
    for step in ["staged", "self-tested", "in shadow", "on trial", "committed"] {
        wait(&agent, &format!("{} {step}", called(3)));
    }
    // Older metadata, and with newer metadata an older release.
    let why = refused(&bench, "torn");
    assert!(why.contains("older") || why.contains("rollback") || why.contains("version"), "{why}");
    signed_at(&bench, "back", &first, 40, now());
    let why = refused(&bench, "back");
    assert!(why.contains("release"), "{why}");
    let list = rig::telltale_ok(&["model", "list", "--config", rig::text(&bench.path("agent.toml"))]);
    assert!(list.contains(&format!("cell-fault: {} speaks\n", called(3))), "{list}");
    // The next one takes its place.
    let fourth = build(&bench, &rig::cell_fault(), 4);
    release.publish(&fourth);
    said(
        &bench,
        &format!(
            "repository stick --dir repo --vehicle v1 --director online/director.pem --after 50 --out next {fourth}"
        ),
    );
    installed(&bench, "next");
    wait(&agent, &format!("{} committed", called(4)));
    // A bundle that is there already is no news.
    let list = installed(&bench, "next");
    assert!(list.contains(&format!("{} speaks\n", called(4))), "{list}");
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    let why = refused(&bench, "next");
    assert!(why.contains("no agent listens"), "{why}");
    release.end();
}

fn spoil(chunk: &Path) {
    let mut bytes = fs::read(chunk).unwrap();
    bytes[0] ^= 1;
    fs::write(chunk, bytes).unwrap();
}
