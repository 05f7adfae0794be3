//! The pinned cases of the desired state: every command by itself, and a file with all of them.

use super::Case;
use telltale_wire::desired::*;
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

pub(crate) fn cases() -> Vec<Case> {
    // A command that is missing below does not compile.
    let _listed = |command: Command| match command {
        Command::LogLevel(_)
        | Command::Snapshot(_)
        | Command::Feature(_)
        | Command::Pin(_)
        | Command::Rollback(_)
        | Command::Catalog(_)
        | Command::Campaign(_)
        | Command::Model(_)
        | Command::Ahead(_) => (),
    };
    let installed = Installed { digest: Digest(core::array::from_fn(|i| i as u8)) };
    let commands = [
        ("log-level", Command::LogLevel(LogLevel { filter: "info,telltale_agent=debug".into() })),
        ("snapshot", Command::Snapshot(SnapshotNow { before_ms: 30_000, after_ms: 300, why: "look".into() })),
        ("feature", Command::Feature(FeatureSwitch { feature: Feature::Models, on: false })),
        ("pin", Command::Pin(Pin { family: "cell-fault".into(), pinned: true })),
        ("rollback", Command::Rollback(Rollback { family: "cell-fault".into(), release: 300 })),
        ("catalog", Command::Catalog(installed.clone())),
        ("campaign", Command::Campaign(installed)),
    ];
    let raw = |id: u64, command: &Command| RawCommand {
        id,
        expires: WallTime(1_557_477_897_250_000),
        kind: command.kind(),
        body: command.to_body().unwrap(),
    };
    let state = DesiredState {
        version: 300,
        issued: WallTime(-1),
        expires: WallTime(1_557_477_897_250_000),
        commands: (1..).zip(&commands).map(|(id, (_, command))| raw(id, command)).collect(),
    };
    let model = Command::Model(ModelSwitch { model: "cell-fault".into(), on: false });
    let until = WallTime(1_557_477_897_250_000);
    let cold = Command::Ahead(Ahead { until, decicelsius: Some(-50), road: Some(RoadClass::Motorway) });
    let clear = Command::Ahead(Ahead { until, decicelsius: None, road: None });
    let later = [("model", model), ("ahead", cold), ("ahead-nothing", clear)];
    let commands = commands.into_iter().chain(later);
    let mut cases: Vec<Case> = (1..)
        .zip(commands)
        .map(|(id, (label, command))| {
            let bytes = postcard::to_allocvec(&raw(id, &command)).unwrap();
            let reads = move |bytes: &[u8]| {
                postcard::from_bytes::<RawCommand>(bytes)
                    .is_ok_and(|raw| raw.parse().as_ref() == Ok(&command))
            };
            Case { label: label.into(), bytes, reads: Box::new(reads) }
        })
        .collect();
    let bytes = state.to_bytes().unwrap();
    let reads = move |bytes: &[u8]| DesiredState::read(bytes).as_ref() == Ok(&state);
    cases.push(Case { label: "state".into(), bytes, reads: Box::new(reads) });
    cases
}
