//! The matrix, the way to the cloud, and how an outcome is judged. Whole scenarios with the model are run by the system
//! tests.

use super::cloud::Cloud;
use super::file::Link;
use super::*;
use std::path::PathBuf;
use telltale_wire::record::{Counts, Record, Status};
use telltale_wire::time::{MonoTime, Stamp};

const FILE: &str = r#"
schema = 1
about = "a cell that drifts"

[vehicle]
hours = 2
faults = ["{fault}:cell={cell}"]

[matrix]
seed = "1..3"
"thermal.ambient_c" = [15, -10]
case = [{ fault = "cell-drift", by_s = 7000 }, { fault = "high-resistance", by_s = 5000 }]
cell = [7]

[[expect]]
subject = "Cell{cell}"
verdict = "anomalous"
not_before_s = 1800
by_s = "{by_s}"
"#;

fn scenarios(text: &str) -> Result<Vec<Scenario>, FileError> {
    read(PathBuf::from("drift.toml"), "drift", text)
}

#[test]
fn a_matrix_crosses_its_axes_and_fills_in_their_values() {
    let all = scenarios(FILE).unwrap();
    assert_eq!(all.len(), 12);
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), 12);
    let last = all.iter().find(|s| s.seed == 3 && s.spec.thermal.ambient_c == -10.0).unwrap();
    assert!(
        last.settings.contains("seed=3") && last.settings.contains("thermal.ambient_c=-10"),
        "{}",
        last.settings
    );
    let faults: Vec<&str> = all.iter().map(|s| s.spec.faults[0].as_str()).collect();
    assert_eq!(faults.iter().filter(|fault| **fault == "high-resistance:cell=7").count(), 6);
    let late = |s: &&Scenario| s.expect[0].by_s == 7_000.0 && s.kinds == ["cell-drift"];
    assert_eq!(all.iter().filter(late).count(), 6, "values of one table vary together");
    assert_eq!(all[0].expect[0].subject, "Cell7");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_scenario() {
    for (from, to, said) in [
        ("seed = \"1..3\"", "seed = \"3..1\"", "`matrix.seed`"),
        ("seed = \"1..3\"", "seed = \"1..100000\"", "`matrix.seed`"),
        ("cell = [7]", "cell = []", "`matrix.cell`"),
        ("cell = [7]", "cell = [97]", "drift#1): faults: `cell=97`"),
        ("thermal.ambient_c", "thermal.ambient", "ambient"),
        ("thermal.ambient_c\" = [15, -10]", "thermal.ambient_c\" = [15, -99]", "thermal.ambient_c = -99"),
        ("by_s = 7000", "by_s = 8000", "lies behind the drive's end"),
        ("not_before_s = 1800", "not_before_s = 6000", "the earlier comes first"),
        ("schema = 1", "schema = 2", "write 1"),
        ("[[expect]]", "[[expects]]", "unknown field `expects`"),
        ("{fault}:", "{faults}:", "unknown fault"),
    ] {
        let text = FILE.replace(from, to);
        assert_ne!(text, FILE, "{from}");
        let error = scenarios(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
}

fn at(seconds: u64) -> Stamp {
    Stamp { mono: MonoTime(seconds * 1_000_000), wall: None }
}

/// A record a minute for an hour.
fn hour(link: Link) -> (Cloud, Vec<(telltale_wire::ids::Lane, telltale_wire::ids::Seq)>) {
    let mut cloud = Cloud::new(link, 1).unwrap();
    let record = |n: u64| {
        Record::Status(Status { at: at(n), totals: Counts::default(), spool_bytes: n, pss_bytes: 0 })
    };
    let mut keys = Vec::new();
    for second in 0..3_600 {
        cloud.advance(at(second).mono);
        if second % 60 == 0 {
            keys.extend(cloud.append(at(second), &record(second)));
        }
    }
    (cloud, keys)
}

#[test]
fn without_a_line_records_wait_and_then_arrive_once() {
    let (mut cloud, keys) = hour(Link { down_s: vec![[600.0, 2_400.0]], ..Link::default() });
    let delivered = cloud.finish(at(3_600).mono);
    assert_eq!((delivered.records, delivered.waiting, delivered.came_twice), (60, 0, 0));
    let late: Vec<u64> =
        keys.iter().map(|key| cloud.stored_at(*key).unwrap().as_micros() / 1_000_000).collect();
    assert!(late[5] < 400, "{late:?}");
    // The backoff goes up to five minutes.
    assert!(late[12..39].iter().all(|at_s| (2_400..2_760).contains(at_s)), "{late:?}");
    assert_eq!(cloud.broken(), Vec::<String>::new());
}

#[test]
fn answers_that_are_lost_make_records_come_twice_and_count_once() {
    let (mut cloud, _) = hour(Link { deaf_s: vec![[600.0, 1_200.0]], ..Link::default() });
    let delivered = cloud.finish(at(3_600).mono);
    assert_eq!((delivered.records, delivered.waiting), (60, 0));
    assert!(delivered.came_twice > 0);
    assert_eq!(cloud.broken(), Vec::<String>::new());
}

#[test]
fn a_line_that_never_comes_back_leaves_records_waiting() {
    let (mut cloud, keys) = hour(Link { down_s: vec![[600.0, 1e6]], ..Link::default() });
    let delivered = cloud.finish(at(3_600).mono);
    assert_eq!(delivered.records + delivered.waiting, 60);
    assert!(delivered.waiting >= 50 && cloud.stored_at(keys[59]).is_none());
    assert_eq!(cloud.broken(), Vec::<String>::new());
}
