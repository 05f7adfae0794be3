//! Commands from end to end: typed by a person, signed by the real director, carried out by the real agent once,
//! acknowledged, and read on the page.

use crate::bench::{Bench, Process};
use crate::over_the_air::{PATIENCE, bench};
use crate::release::Release;
use crate::rig;
use crate::update_server::Server;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};
use telltale_wire::command::CommandOutcome;
use telltale_wire::desired::{Command, DesiredState, Feature, FeatureSwitch, LogLevel, RawCommand};
use telltale_wire::record::Record;
use telltale_wire::time::WallTime;

/// What a person asks of the vehicle.
pub(crate) fn ask(release: &Release<'_>, what: &str) {
    release.ask("command", &format!("--by ann --why test v1 {what}"));
}

/// Waits until each command so far has been dealt with; gives what became of them, the oldest first.
pub(crate) fn dealt_with(release: &Release<'_>, agent: &Process) -> Vec<(String, String)> {
    let start = Instant::now();
    loop {
        let list: Value = serde_json::from_str(&release.ask("command", "--json v1 list")).unwrap();
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let lines = list.as_array().unwrap().iter().rev();
        let all: Vec<_> = lines.map(|line| (text(line, "outcome"), text(line, "told"))).collect();
        if all.iter().all(|(outcome, _)| outcome != "waiting") {
            return all;
        }
        assert!(start.elapsed() < PATIENCE, "{all:?}\n{}", agent.said());
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn status(bench: &Bench) -> Value {
    let config = bench.path("agent.toml");
    serde_json::from_str(&rig::telltale_ok(&["status", "--json", "--config", rig::text(&config)])).unwrap()
}

/// The first line of what the metrics' endpoint answers.
fn metrics(port: u16) -> String {
    let start = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            // The agent has just begun.
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        sleep(Duration::from_millis(20));
    };
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

/// Records of statistics that the server holds.
fn statistics(bench: &Bench) -> usize {
    let is_one = |raw: &telltale_wire::record::RawRecord| matches!(raw.parse(), Ok(Record::Signals(_)));
    bench.fleet().records.values().filter(|raw| is_one(raw)).count()
}

#[test]
fn a_command_is_signed_carried_out_once_and_read_on_the_page() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = bench("24", "60", &format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    let release = Release::begin(&bench, &[]);
    let mut agent = bench.agent("agent.toml");
    release.wait("/api/vehicles", &agent, PATIENCE, |fleet| fleet.to_string().contains("\"v1\""));
    assert!(metrics(port).contains("200"));

    ask(&release, "snapshot --before-s 5 --after-s 1");
    ask(&release, "log-level info,telltale_agent::update=debug");
    ask(&release, "feature statistics off");
    ask(&release, "feature metrics off");
    ask(&release, "model cell-fault off");
    ask(&release, "model cell-flaw off");
    ask(&release, "campaign 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    ask(&release, "rollback cell-fault 9");
    ask(&release, "ahead --road urban");
    let outcomes = dealt_with(&release, &agent);
    let words: Vec<&str> = outcomes.iter().map(|(outcome, _)| outcome.as_str()).collect();
    let expected = ["done", "done", "done", "done", "done", "refused", "refused", "refused", "refused"];
    assert_eq!(words, expected, "{outcomes:?}");
    assert!(outcomes[5].1.contains("no model cell-flaw runs"), "{outcomes:?}");
    assert!(outcomes[6].1.contains("no campaign is installed"), "{outcomes:?}");
    assert!(outcomes[8].1.contains("`[range]` is not configured"), "{outcomes:?}");

    // What it did, seen from outside.
    assert!(metrics(port).contains("503"), "switched off");
    let off = status(&bench)["switched_off"].to_string();
    assert_eq!(off, r#"["statistics","metrics","model cell-fault"]"#);
    let view =
        release.wait("/api/vehicle/v1", &agent, PATIENCE, |it| it.to_string().contains("asked for: test"));
    assert!(view.to_string().contains("command 1 of desired state"), "{view}");
    let read = release.page("/vehicle/v1");
    assert!(
        read.contains("switch statistics off") && read.contains("switch the model cell-fault off"),
        "{read}"
    );
    assert!(read.contains("refused") && read.contains("no model cell-flaw runs"), "{read}");
    let (told, summaries) = (statistics(&bench), bench.stored());
    // Five minutes of the vehicle's time are five summaries.
    let start = Instant::now();
    while bench.stored() < summaries + 5 {
        assert!(start.elapsed() < PATIENCE, "{}", agent.said());
        sleep(Duration::from_millis(200));
    }
    assert_eq!(statistics(&bench), told, "no statistics are recorded any more");

    // Snapshots, too; and nothing of all that ends with the agent. A log level does.
    ask(&release, "feature snapshots off");
    dealt_with(&release, &agent);
    ask(&release, "snapshot");
    let last = dealt_with(&release, &agent).pop().unwrap();
    assert_eq!((last.0.as_str(), last.1.contains("turned off")), ("refused", true), "{last:?}");
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    let before = agent.said();
    agent = bench.agent("agent.toml");
    assert!(metrics(port).contains("503"), "over starts");
    ask(&release, "feature metrics on");
    ask(&release, "model cell-fault on");
    dealt_with(&release, &agent);
    assert!(metrics(port).contains("200"));
    assert_eq!(status(&bench)["switched_off"].to_string(), r#"["snapshots","statistics"]"#);
    let said = before + &agent.said();
    for id in 1..=13 {
        assert_eq!(said.matches(&format!("command {id}: ")).count(), 1, "once each: {said}");
    }
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
    release.end();
}

/// What no honest cloud sends: the agent is asked by a server that signs whatever it is told to.
#[test]
fn what_is_expired_older_or_unknown_is_not_obeyed_and_each_is_told_once() {
    let bench = bench("24", "60", "");
    let mut server = Server::start(&bench);
    let now = crate::world::NOW.0;
    let (past, future) = (WallTime(now - 1), WallTime(now + 3_600_000_000));
    let off = Command::Feature(FeatureSwitch { feature: Feature::Snapshots, on: false });
    let raw = |id: u64, expires: WallTime, command: &Command| RawCommand {
        id,
        expires,
        kind: command.kind(),
        body: command.to_body().unwrap(),
    };
    let newer = RawCommand { id: 3, expires: future, kind: 999, body: vec![1] };
    let torn = RawCommand { id: 4, expires: future, kind: 3, body: vec![200] };
    let level = Command::LogLevel(LogLevel { filter: "telltale_agent=loud".into() });
    let file = |version: u64, expires: WallTime, commands: Vec<RawCommand>| DesiredState {
        version,
        issued: WallTime(now),
        expires,
        commands,
    };
    let first = vec![raw(1, past, &off), raw(2, future, &off), newer, torn, raw(5, future, &level)];
    server.want(&file(10, future, first.clone()));
    let mut agent = bench.agent("agent.toml");
    use CommandOutcome::{Done, Expired, Refused, Superseded, Unknown};
    server.acknowledged(&[(1, Expired), (2, Done), (3, Unknown), (4, Refused), (5, Refused)], PATIENCE);
    assert_eq!(status(&bench)["switched_off"].to_string(), r#"["snapshots"]"#);

    // The same file again, and its commands in a later one: nothing of it is done again.
    server.want(&file(11, future, first));
    // An older file with a new command, and a new file that ended.
    server.want(&file(9, future, vec![raw(6, future, &off)]));
    server.acknowledged(&[(6, Superseded)], PATIENCE);
    server.want(&file(12, past, vec![raw(7, future, &off)]));
    server.acknowledged(&[(7, Expired)], PATIENCE);
    for id in 1..=7 {
        assert_eq!(server.acknowledgements(id).len(), 1, "command {id}: {}", agent.said());
    }
    agent.terminate();
    assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
}
