//! Which delegated roles are asked for a path, in which order.

use crate::repository::Rig;

/// From, to, paths, and whether nobody else is asked for them.
type Delegation = (&'static str, &'static str, &'static [&'static str], bool);

const ALL: &[&str] = &["*"];

const fn to(from: &'static str, to: &'static str) -> Delegation {
    (from, to, ALL, false)
}

/// Twelve scenarios: delegations, and the roles that are asked for a path that nobody has, in this order.
const GRAPHS: &[(&[Delegation], &str)] = &[
    (&[to("targets", "A")], "A"),
    (&[to("targets", "A"), to("targets", "B")], "AB"),
    (&[to("targets", "A"), to("targets", "B"), to("B", "C")], "ABC"),
    (&[to("targets", "A"), to("targets", "B"), to("A", "C"), to("A", "D")], "ACDB"),
    (&[to("targets", "A"), to("targets", "B"), to("A", "C"), to("C", "D")], "ACDB"),
    (&[to("targets", "A"), to("targets", "B"), ("A", "C", ALL, true), to("A", "D")], "AC"),
    (&[to("targets", "A"), to("targets", "B"), ("A", "C", ALL, true), to("C", "D")], "ACD"),
    (&[("targets", "A", &["*.py"], false), to("targets", "B"), to("A", "C")], "B"),
    (&[to("targets", "A"), to("targets", "B"), ("A", "C", &["*.py"], false), to("C", "D")], "AB"),
    (&[to("targets", "A"), to("targets", "B"), to("B", "C"), to("C", "D"), to("D", "B")], "ABCD"),
    (&[to("targets", "A"), to("targets", "B"), to("B", "C"), to("A", "C")], "ACB"),
    (&[to("targets", "A"), to("targets", "B"), to("B", "C"), ("A", "C", &["*.py"], false)], "ABC"),
];

fn delegate(rig: &Rig, delegations: &[Delegation]) {
    let mut state = rig.state();
    for (from, to, paths, terminating) in delegations {
        state.delegate(from, to, paths, *terminating);
    }
    state.set_version("targets", 2);
    state.next_snapshot();
}

/// The delegated roles that were asked for, in their order.
fn asked(rig: &Rig) -> String {
    rig.asked()
        .into_iter()
        .skip(4)
        .map(|(role, version)| {
            assert_eq!(version, Some(1), "{role}");
            role
        })
        .collect()
}

#[test]
fn roles_are_asked_depth_first_in_the_order_of_their_naming() {
    for (delegations, order) in GRAPHS {
        let rig = Rig::new();
        delegate(&rig, delegations);
        assert!(!rig.download("missingpath"));
        assert_eq!(asked(&rig), *order, "{delegations:?}");
    }
}

const TREE: &[Delegation] = &[
    ("targets", "A", &["*.doc", "*.md"], false),
    ("targets", "B", &["releases/*/*"], false),
    ("B", "C", &["releases/x/*"], false),
    ("B", "D", &["releases/y/*.zip"], false),
];

/// Five scenarios: a path, who names it, whether it is found, and who is asked.
const SEARCHES: &[(&str, &str, bool, &str)] = &[
    ("targetfile", "targets", true, ""),
    ("README.md", "A", true, "A"),
    ("releases/x/x_v1", "C", true, "BC"),
    ("releases/y/y_v1.zip", "D", true, "BD"),
    ("releases/z/z_v1.zip", "D", false, "B"),
];

#[test]
fn a_path_is_found_where_each_role_on_the_way_leaves_it() {
    for (path, by, is_found, order) in SEARCHES {
        let rig = Rig::new();
        delegate(&rig, TREE);
        rig.state().add_artifact(by, path, path.as_bytes());
        assert_eq!(rig.download(path), *is_found, "{path}");
        assert_eq!(rig.files().len(), usize::from(*is_found), "{path}");
        assert_eq!(asked(&rig), *order, "{path}");
    }
}
