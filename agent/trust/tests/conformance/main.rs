//! The verifier's client in the scenarios that TUF's public conformance suite publishes (theupdateframework/tuf-conformance),
//! set up anew here by their description: 81 of them (basics 9, expiry 8, rollback 10, downloads 4, names 4, keys 4,
//! rotations 25, delegations 17). Left out are its recorded repositories, which are not ours to copy, and keys that are
//! no Ed25519 keys, which Telltale does not have. These run everywhere; `suite` runs the suite's own code, where it is.

// Helpers of a test may end it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod delegation;
mod repository;
mod rotation;

use repository::{Rig, TOP, expires_in};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

const DAY: i64 = 86_400;

fn top(versions: [u64; 4]) -> Vec<(String, Option<u64>)> {
    let [root, _, snapshot, targets] = versions;
    let version = |name: &str| match name {
        "root" => Some(root),
        "timestamp" => None,
        "snapshot" => Some(snapshot),
        _ => Some(targets),
    };
    TOP.map(|name| (name.to_owned(), version(name))).to_vec()
}

fn believed(rig: &Rig) -> [u64; 4] {
    TOP.map(|name| rig.believes(name))
}

// Basics.

#[test]
fn a_first_refresh_asks_for_each_role_once_and_believes_it() {
    let rig = Rig::new();
    assert!(rig.refresh());
    assert_eq!(rig.asked(), top([2, 0, 1, 1]));
    assert_eq!(believed(&rig), [1; 4]);
}

#[test]
fn a_download_refreshes_first() {
    let rig = Rig::new();
    assert!(!rig.download("nothing of that name"));
    assert_eq!(rig.asked(), top([2, 0, 1, 1]));
    assert_eq!(believed(&rig), [1; 4]);
}

#[test]
fn a_first_root_that_is_none_or_is_not_signed_asks_nobody() {
    let spoil: [fn(&mut Value); 2] = [
        |root| drop(root["signed"].as_object_mut().unwrap().remove("version")),
        |root| root["signatures"][0]["sig"] = "30450221".repeat(16).into(),
    ];
    for spoil in spoil {
        let rig = Rig::uninitialised();
        let mut root: Value = serde_json::from_slice(&rig.state().roots[0]).unwrap();
        spoil(&mut root);
        rig.init(&serde_json::to_vec(&root).unwrap());
        assert!(!rig.refresh());
        assert_eq!(rig.asked(), []);
    }
}

/// Two scenarios of the suite, which look at what is kept in two ways.
#[test]
fn a_timestamp_of_the_same_version_does_not_take_the_place_of_the_one_that_is_held() {
    let rig = Rig::new();
    assert!(rig.refresh());
    let held = rig.held("timestamp");
    rig.state().role("timestamp")["meta"]["snapshot.json"]["version"] = 100.into();
    rig.refresh();
    assert_eq!((rig.believes("timestamp"), rig.held("timestamp")), (1, held));
}

#[test]
fn targets_that_are_not_those_of_the_snapshot_are_not_believed() {
    // By their digest.
    let rig = Rig::new();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        state.hashes = true;
        state.next_snapshot();
    }
    assert!(rig.refresh());
    let before = rig.believes("snapshot");
    {
        let mut state = rig.state();
        state.set_version("targets", 2);
        state.role("snapshot")["meta"]["targets.json"]["version"] = 2.into();
        let next = state.version("snapshot") + 1;
        state.set_version("snapshot", next);
        state.next_timestamp();
    }
    assert!(!rig.refresh());
    assert_eq!(rig.believes("targets"), 1);
    assert!(rig.believes("snapshot") >= before);
    // By their version: what nobody names is not asked for.
    let rig = Rig::new();
    assert!(rig.refresh());
    rig.state().set_version("targets", 2);
    assert!(rig.refresh());
    assert_eq!(believed(&rig), [1; 4]);
}

#[test]
fn fields_that_are_not_known_are_signed_for_too() {
    let rig = Rig::new();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        state.root["custom-field"] = "value".into();
        let keyid = state.root["roles"]["root"]["keyids"][0].as_str().unwrap().to_owned();
        state.root["keys"][&keyid]["extra-field"] = json!({ "a": 1, "b": 2 });
        state.root["roles"]["root"]["another-field"] = "value".into();
        state.next_root();
    }
    assert!(rig.refresh());
    assert_eq!(rig.believes("root"), 2);
}

// Expiry.

#[test]
fn an_ended_root_is_kept_and_nothing_behind_it_is_believed() {
    let rig = Rig::new();
    assert!(rig.refresh());
    rig.state().next_root();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        state.root["expires"] = expires_in(-DAY);
        state.next_root();
        state.set_version("targets", 2);
        state.next_snapshot();
    }
    assert!(!rig.refresh());
    assert_eq!(believed(&rig), [3, 1, 1, 1]);
}

/// Three scenarios: timestamp, snapshot and targets.
#[test]
fn a_role_that_has_ended_is_not_believed() {
    for (name, held) in [("timestamp", 1), ("snapshot", 1), ("targets", 1)] {
        let rig = Rig::new();
        assert!(rig.refresh());
        {
            let mut state = rig.state();
            state.role(name)["expires"] = expires_in(-5 * DAY);
            if name == "targets" {
                state.set_version("targets", 2);
            }
            state.next_snapshot();
        }
        assert!(!rig.refresh(), "{name}");
        assert_eq!(rig.believes(name), held, "{name}");
    }
}

#[test]
fn what_is_held_may_end_where_newer_is_there() {
    let rig = Rig::new();
    rig.state().role("timestamp")["expires"] = expires_in(4);
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        state.role("timestamp")["expires"] = expires_in(DAY);
        state.set_version("targets", 2);
        state.next_snapshot();
    }
    sleep(Duration::from_secs(5));
    assert!(rig.refresh());
    assert_eq!(believed(&rig), [1, 2, 2, 2]);
}

#[test]
fn a_delegated_role_that_has_ended_names_nothing() {
    let rig = Rig::new();
    {
        let mut state = rig.state();
        state.delegate("targets", "delegated", &["delegatedpath/*"], false);
        state.role("delegated")["expires"] = expires_in(-DAY);
        state.add_artifact("delegated", "delegatedpath/target", b"content");
        state.set_version("targets", 2);
        state.next_snapshot();
    }
    assert!(rig.refresh());
    assert!(!rig.download("delegatedpath/target"));
    assert!(rig.files().is_empty());
    assert_eq!((believed(&rig), rig.roles()), ([1, 2, 2, 2], 4));
}

/// Two scenarios: with and without a newer one on the other side.
#[test]
fn a_delegated_role_that_ends_while_it_is_held_is_renewed_or_names_nothing_more() {
    for renewed in [false, true] {
        let rig = Rig::new();
        {
            let mut state = rig.state();
            state.delegate("targets", "delegated", &["delegatedpath/*"], false);
            state.role("delegated")["expires"] = expires_in(4);
            state.add_artifact("delegated", "delegatedpath/first", b"first");
            state.add_artifact("delegated", "delegatedpath/second", b"second");
            state.set_version("targets", 2);
            state.next_snapshot();
        }
        assert!(rig.download("delegatedpath/first"));
        if renewed {
            let mut state = rig.state();
            state.role("delegated")["expires"] = expires_in(DAY);
            state.set_version("delegated", 2);
            state.next_snapshot();
        }
        sleep(Duration::from_secs(5));
        assert_eq!(rig.download("delegatedpath/second"), renewed);
        assert_eq!(rig.files().len(), 1 + usize::from(renewed));
    }
}

// Rollback.

#[test]
fn an_older_snapshot_that_nobody_names_changes_nothing() {
    let rig = Rig::new();
    rig.state().next_snapshot();
    assert!(rig.refresh());
    rig.asked();
    rig.state().set_version("snapshot", 1);
    assert!(rig.refresh());
    assert_eq!(rig.believes("snapshot"), 2);
    assert_eq!(rig.asked().last().unwrap(), &("timestamp".to_owned(), None));
}

#[test]
fn an_older_timestamp_is_refused() {
    let rig = Rig::new();
    rig.state().next_timestamp();
    assert!(rig.refresh());
    rig.state().set_version("timestamp", 1);
    assert!(!rig.refresh());
    assert_eq!(rig.believes("timestamp"), 2);
}

/// Two scenarios each: named by version, and by length and digest too.
#[test]
fn an_older_snapshot_and_older_targets_are_refused() {
    for hashes in [false, true] {
        let rig = Rig::new();
        rig.state().hashes = hashes;
        rig.state().next_snapshot();
        assert!(rig.refresh());
        {
            let mut state = rig.state();
            state.set_version("snapshot", 1);
            state.next_timestamp();
        }
        assert!(!rig.refresh());
        assert_eq!((rig.believes("timestamp"), rig.believes("snapshot")), (2, 2));

        let rig = Rig::new();
        rig.state().hashes = hashes;
        rig.state().set_version("targets", 3);
        rig.state().next_snapshot();
        assert!(rig.refresh());
        rig.state().set_version("targets", 1);
        rig.state().next_snapshot();
        assert!(!rig.refresh());
        assert_eq!(rig.believes("targets"), 3);
    }
}

#[test]
fn a_snapshot_that_is_not_the_one_that_is_named_is_not_there() {
    let rig = Rig::new();
    rig.state().set_version("snapshot", 2);
    assert!(!rig.refresh());
    assert_eq!((rig.believes("root"), rig.believes("timestamp"), rig.roles()), (1, 1, 2));
    assert_eq!(rig.asked().last().unwrap(), &("snapshot".to_owned(), Some(1)));
}

/// Three scenarios: versions that an attacker drove up come down again once the keys are others.
#[test]
fn versions_come_down_again_with_other_keys() {
    for (name, rotated) in [
        ("timestamp", &["timestamp"][..]),
        ("snapshot", &["snapshot", "timestamp"]),
        ("targets", &["snapshot"]),
    ] {
        let rig = Rig::new();
        {
            let mut state = rig.state();
            state.set_version(name, 99_999);
            if name == "targets" { state.next_snapshot() } else { state.next_timestamp() }
        }
        assert!(rig.refresh(), "{name}");
        let high = rig.believes(name);
        assert!(high >= 99_999, "{name}");
        {
            let mut state = rig.state();
            for (role, seed) in rotated.iter().zip(50..) {
                state.set_keys(role, &[seed], 1, &[seed]);
            }
            state.next_root();
            state.set_version(name, 1);
            match name {
                "timestamp" => {}
                "snapshot" => state.next_timestamp(),
                _ => state.next_snapshot(),
            }
        }
        assert!(rig.refresh(), "{name}");
        assert!(rig.believes(name) < 10, "{name}: {}", rig.believes(name));
    }
}

// Downloads.

#[test]
fn a_file_is_downloaded_when_it_is_asked_for() {
    for path in ["target_file.txt", "path/to/a/target_file.txt"] {
        let rig = Rig::new();
        rig.state().add_artifact("targets", path, b"contents");
        assert!(rig.refresh());
        assert!(rig.files().is_empty());
        assert!(rig.download(path));
        assert_eq!(rig.files(), [b"contents"]);
    }
}

#[test]
fn a_file_that_was_replaced_is_not_taken() {
    let rig = Rig::new();
    {
        let mut state = rig.state();
        state.add_artifact("targets", "first", b"first contents");
        state.add_artifact("targets", "second", b"second contents");
    }
    assert!(rig.download("first"));
    for (path, bytes) in [("first", &b"first contents"[..]), ("second", b"second contents")] {
        let hash = telltale_wire::digest::Digest::of(bytes).to_hex();
        rig.state().serve(path, &hash, b"evil contents!");
    }
    rig.download("first");
    assert_eq!(rig.files(), [b"first contents"]);
    assert!(!rig.download("second"));
    assert_eq!(rig.files(), [b"first contents"]);
}

#[test]
fn a_file_follows_each_signed_change_and_no_other() {
    let rig = Rig::new();
    rig.state().add_artifact("targets", "file", b"contents");
    assert!(rig.download("file"));
    for round in 0..11_u8 {
        let contents = format!("contents {round}").into_bytes();
        {
            let mut state = rig.state();
            state.add_artifact("targets", "file", &contents);
            let next = state.version("targets") + 1;
            state.set_version("targets", next);
            state.next_snapshot();
        }
        // The client sees every fifth.
        if round % 5 == 0 {
            assert!(rig.download("file"));
            assert_eq!(rig.files(), std::slice::from_ref(&contents));
            let hash = telltale_wire::digest::Digest::of(&contents).to_hex();
            rig.state().serve("file", &hash, b"evil contents");
            rig.download("file");
            assert_eq!(rig.files(), [contents]);
        }
    }
}

// Names of roles.

#[test]
fn a_role_s_name_is_no_path_and_no_query() {
    for (name, quoted) in [
        ("?", "%3F"),
        ("#", "%23"),
        ("/delegatedrole", "%2Fdelegatedrole"),
        ("../delegatedrole", "..%2Fdelegatedrole"),
    ] {
        let rig = Rig::new();
        {
            let mut state = rig.state();
            state.delegate("targets", name, &["*"], false);
            state.set_version("targets", 2);
            state.next_snapshot();
        }
        assert!(!rig.download("nothing of that name"));
        let asked = rig.asked();
        let is_it = |(role, version): &(String, Option<u64>)| {
            role.eq_ignore_ascii_case(quoted) && *version == Some(1)
        };
        assert!(asked.iter().any(is_it), "{name}: {asked:?}");
        assert_eq!(rig.roles(), 5, "{name}");
    }
}
