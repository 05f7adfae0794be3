//! Keys that change, thresholds that rise and fall, and keys that are counted twice.

use crate::repository::{Rig, keyid};

/// Keys of a root, how many must sign, and which sign.
type Root = (&'static [u8], u64, &'static [u8]);

/// Fifteen scenarios: roots in their order, and whether the last one is believed.
const ROOTS: &[(&[Root], bool)] = &[
    (&[(&[1], 1, &[1]), (&[2], 1, &[2, 1]), (&[2], 1, &[2])], true),
    (&[(&[1], 1, &[3, 1, 4]), (&[2], 1, &[3, 2, 1, 4]), (&[2], 1, &[3, 2, 4])], true),
    (
        &[
            (&[10, 1, 2, 3, 4], 3, &[10, 2, 4]),
            (&[10, 1, 2, 3, 4], 3, &[10, 4, 1]),
            (&[10, 1, 2, 3, 4], 3, &[10, 1, 3]),
            (&[10, 1, 2, 3, 4], 3, &[10, 1, 3]),
        ],
        true,
    ),
    (&[(&[10, 1, 2, 3, 4], 3, &[10, 2, 4]), (&[10, 1, 3, 4, 5], 3, &[10, 4, 1])], true),
    (
        &[
            (&[10, 1, 2, 3, 4], 3, &[10, 2, 4]),
            (&[10, 1, 3, 4, 5], 3, &[10, 2, 4, 5]),
            (&[10, 1, 3, 4, 5], 3, &[10, 4, 5]),
        ],
        true,
    ),
    (
        &[
            (&[10, 1, 2, 3, 4], 3, &[10, 2, 4]),
            (&[5, 6, 7, 8, 9], 3, &[10, 2, 4, 5, 6, 7]),
            (&[5, 6, 7, 8, 9], 3, &[5, 6, 7]),
        ],
        true,
    ),
    (&[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])], true),
    (&[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1, 2]), (&[1, 2, 3], 1, &[1])], true),
    (&[(&[1], 1, &[1]), (&[1, 2], 2, &[1, 2])], true),
    (&[(&[1], 1, &[1]), (&[2], 1, &[2, 3, 4])], false),
    (&[(&[1], 1, &[1]), (&[2], 1, &[1, 3, 4])], false),
    (&[(&[10, 1, 2, 3, 4], 3, &[10, 2, 4]), (&[10, 1, 3, 4, 5], 3, &[10, 2, 4])], false),
    (&[(&[10, 1, 2, 3, 4], 3, &[10, 2, 4]), (&[10, 1, 3, 4, 5], 3, &[10, 4, 5])], false),
    (&[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])], false),
    (&[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])], false),
];

#[test]
fn a_root_needs_those_before_it_and_its_own() {
    for (place, (roots, good)) in ROOTS.iter().enumerate() {
        let rig = Rig::uninitialised();
        {
            let mut state = rig.state();
            state.roots.clear();
            state.set_version("root", 0);
            for (keys, threshold, sign) in *roots {
                // Their numbers apart from those of the other roles.
                let apart = |seeds: &[u8]| seeds.iter().map(|seed| seed + 20).collect::<Vec<_>>();
                state.set_keys("root", &apart(keys), *threshold, &apart(sign));
                state.next_root();
            }
        }
        let published = rig.state().roots.clone();
        assert!(rig.init(&published[0]));
        assert_eq!(rig.refresh(), *good, "case {place}");
        let last = published.len() - if *good { 1 } else { 2 };
        assert_eq!(rig.held("root").as_ref(), Some(&published[last]), "case {place}");
    }
}

/// Ten scenarios, each for timestamp, snapshot and targets in turn.
const OTHERS: &[(Root, bool)] = &[
    ((&[2], 1, &[2]), true),
    ((&[1], 1, &[3, 1, 4]), true),
    ((&[2], 1, &[1, 3, 4]), false),
    ((&[10, 1, 3, 4, 5], 3, &[10, 2, 4]), false),
    ((&[10, 1, 3, 4, 5], 3, &[10, 4]), false),
    ((&[10, 1, 2, 3, 4], 3, &[10, 2, 4]), true),
    ((&[10, 1, 2, 3, 4], 3, &[10, 4, 1]), true),
    ((&[10, 1, 2, 3, 4], 3, &[10, 1, 3]), true),
    ((&[10, 1, 2, 3, 4], 3, &[1, 2, 3]), true),
    ((&[10, 1, 2, 3, 4], 3, &[2, 3, 4]), true),
];

#[test]
fn a_role_needs_as_many_of_its_own_keys_as_the_root_says() {
    for (place, ((keys, threshold, sign), good)) in OTHERS.iter().enumerate() {
        let rig = Rig::new();
        for role in ["timestamp", "snapshot", "targets"] {
            {
                let mut state = rig.state();
                state.set_keys(role, keys, *threshold, sign);
                state.next_root();
            }
            assert_eq!(rig.refresh(), *good, "case {place}: {role}");
            if !good {
                break;
            }
            let signed = rig.state().signed(role);
            assert_eq!(rig.held(role), Some(signed), "case {place}: {role}");
        }
    }
}

/// A snapshot that four keys may sign and three must, after a refusal on the way.
fn four_keys() -> Rig {
    let rig = Rig::new();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        state.root["roles"]["snapshot"]["threshold"] = 3.into();
        state.next_root();
        state.add_key("snapshot", 31);
        state.next_snapshot();
        state.next_root();
    }
    assert!(!rig.refresh(), "two of three");
    {
        let mut state = rig.state();
        state.add_key("snapshot", 32);
        state.add_key("snapshot", 33);
        state.next_snapshot();
        state.next_root();
    }
    assert!(rig.refresh());
    assert_eq!((rig.believes("root"), rig.believes("snapshot")), (4, 3));
    rig
}

#[test]
fn keys_that_only_the_root_names_sign_nothing() {
    let rig = four_keys();
    {
        let mut state = rig.state();
        state.root["roles"]["snapshot"]["threshold"] = 5.into();
        state.next_root();
        state.next_snapshot();
    }
    assert!(!rig.refresh());
    assert_eq!((rig.believes("root"), rig.believes("snapshot")), (5, 3));
    rig.state().name_key("snapshot", &keyid(34), 34);
    rig.state().next_root();
    assert!(!rig.refresh());
    assert_eq!(rig.believes("snapshot"), 3);
}

#[test]
fn what_a_key_says_of_its_name_s_digest_is_nobody_s_business() {
    let rig = four_keys();
    {
        let mut state = rig.state();
        state.add_key("snapshot", 34);
        state.root["roles"]["snapshot"]["threshold"] = 5.into();
        let first = state.root["roles"]["snapshot"]["keyids"][0].as_str().unwrap().to_owned();
        state.root["keys"][&first]["keyid_hash_algorithms"] = serde_json::json!(["md5"]);
        state.next_root();
        state.next_snapshot();
    }
    assert!(rig.refresh());
    assert_eq!((rig.believes("root"), rig.believes("snapshot")), (5, 4));
}

#[test]
fn more_signatures_than_there_are_keys_is_too_many_to_ask() {
    let rig = Rig::new();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        (31..35).for_each(|seed| state.add_key("snapshot", seed));
        state.root["roles"]["snapshot"]["threshold"] = 6.into();
        state.next_root();
        state.next_snapshot();
    }
    assert!(!rig.refresh());
    assert_eq!(rig.believes("snapshot"), 1);
}

#[test]
fn one_key_under_many_names_is_one_key() {
    let rig = Rig::new();
    assert!(rig.refresh());
    {
        let mut state = rig.state();
        for alias in 0..9 {
            let name = format!("{alias:064}");
            state.name_key("snapshot", &name, 31);
            state.signers.get_mut("snapshot").unwrap().push((name, 31));
        }
        state.root["roles"]["snapshot"]["threshold"] = 6.into();
        state.next_root();
        state.next_snapshot();
    }
    assert!(!rig.refresh());
    assert_eq!(rig.believes("snapshot"), 1);
}
