//! Planted drift: on one input of several, inside and beyond what training saw, and its end.

use super::*;
use crate::feature::spec::tests::EXAMPLE;

const REFERENCE: &str = r#"
    fast_windows = 8
    slow_windows = 64
    [[input]]
    feature = "median"
    edges = [-0.02, -0.01, 0.0, 0.01, 0.02]
    share = [0.0, 0.2, 0.3, 0.3, 0.2, 0.0]
    limits = { fast = 1.0, slow = 0.5 }
    [[input]]
    feature = "resistance"
    edges = [-0.002, 0.0, 0.002]
    share = [0.0, 0.5, 0.5, 0.0]
    limits = { fast = 1.0, slow = 0.5 }
    [[input]]
    signal = "Pack.Cell{n}"
    edges = [3.5, 3.7, 4.0]
    share = [0.0, 0.5, 0.5, 0.0]
    limits = { fast = 2.0, slow = 1.0 }
    [[input]]
    score = true
    edges = [0.1, 0.5]
    share = [0.9, 0.1, 0.0]
    limits = { fast = 4.0, slow = 2.0 }
"#;

fn catalog() -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n \
        SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C2 : 16|16@1+ (0.001,0) [0|5] \"V\" XXX\n";
    let text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\n\
        n = \"1..2\"\nsignal = \"C{n}\"\nstale_ms = 2000\n";
    Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
}

fn reference(text: &str) -> Reference {
    toml::from_str(text).unwrap()
}

/// Signals that all have one value.
struct Everywhere(f64);

impl Conditions for Everywhere {
    fn value(&self, _: SignalId, _: Duration) -> Option<f64> {
        Some(self.0)
    }
}

fn drift() -> Drift {
    let reference = reference(REFERENCE);
    assert_eq!(reference.fault(), None);
    let spec = FeatureSpec::parse(EXAMPLE, "x").unwrap();
    Drift::new(reference, &spec, &catalog())
}

/// Windows of 40 subjects, spread as in training but for what is added to the first feature.
fn windows(drift: &mut Drift, count: u32, shift: f32, volts: f64, score: f32) -> Vec<InputDrift> {
    let mut table = FeatureTable::new(2, 40);
    for subject in 0..40 {
        let spread = (subject as f32 - 19.5) / 19.5;
        table.set(0, subject, 0.018 * spread + shift, 0.0);
        table.set(1, subject, 0.0015 * spread, 0.0);
        table.set_state(subject, Ok(()), None);
    }
    let scores = vec![Ok(score); 40];
    (0..count).flat_map(|_| drift.note(&table, &scores, &Everywhere(volts))).collect()
}

fn told(drifts: &[InputDrift]) -> Vec<String> {
    drifts.iter().map(|d| format!("{} {} {}", d.input, d.horizon, d.severity)).collect()
}

#[test]
fn what_is_as_in_training_is_told_once_and_as_none() {
    let mut drift = drift();
    assert!(windows(&mut drift, 7, 0.0, 3.6, 0.05).is_empty(), "the horizon is not full");
    let first = windows(&mut drift, 1, 0.0, 3.8, 0.05);
    let expected = ["median fast none", "resistance fast none", "Pack.Cell{n} fast none", "score fast none"];
    assert_eq!(told(&first), expected);
    let rest: Vec<InputDrift> = (0..100)
        .flat_map(|n| windows(&mut drift, 1, 0.0, if n % 2 == 0 { 3.6 } else { 3.8 }, 0.05))
        .collect();
    assert!(rest.iter().all(|d| d.horizon == Horizon::Slow && d.severity == Severity::None), "{rest:?}");
    assert_eq!(rest.len(), 4);
}

#[test]
fn drift_is_found_on_the_input_that_it_was_planted_on_and_ends_with_it() {
    let mut drift = drift();
    for n in 0..40 {
        windows(&mut drift, 1, 0.0, if n % 2 == 0 { 3.6 } else { 3.8 }, 0.05);
    }
    let mut planted: Vec<InputDrift> = Vec::new();
    for n in 0..40 {
        planted.extend(windows(&mut drift, 1, 0.05, if n % 2 == 0 { 3.6 } else { 3.8 }, 0.05));
    }
    let of_fast: Vec<String> = told(&planted).into_iter().filter(|line| line.contains("fast")).collect();
    assert_eq!(of_fast, ["median fast moderate", "median fast severe"]);
    assert!(
        planted
            .iter()
            .all(|d| d.horizon == Horizon::Fast || d.input == "median" || d.severity == Severity::None)
    );
    let standing: Vec<[Standing; 2]> = drift.standings().collect();
    assert!(standing[0][0].outside > 0.9 && standing[0][0].index > 2.0, "{standing:?}");
    let mut after: Vec<InputDrift> = Vec::new();
    for n in 0..60 {
        after.extend(windows(&mut drift, 1, 0.0, if n % 2 == 0 { 3.6 } else { 3.8 }, 0.05));
    }
    let ended: Vec<&InputDrift> =
        after.iter().filter(|d| d.horizon == Horizon::Fast && d.input == "median").collect();
    assert_eq!(ended.last().map(|d| d.severity), Some(Severity::None), "{after:?}");
}

#[test]
fn conditions_and_scores_drift_too() {
    let mut drift = drift();
    let hot = windows(&mut drift, 8, 0.0, 4.5, 0.05);
    assert_eq!(told(&hot)[2], "Pack.Cell{n} fast severe");
    assert_eq!(told(&hot)[3], "score fast none");
    let mut other = self::drift();
    let odd = windows(&mut other, 8, 0.0, 3.6, 0.95);
    assert_eq!(told(&odd)[3], "score fast severe");
}

#[test]
fn absent_values_are_no_drift() {
    struct Gone;
    impl Conditions for Gone {
        fn value(&self, _: SignalId, _: Duration) -> Option<f64> {
            None
        }
    }
    let mut drift = drift();
    let table = FeatureTable::new(2, 4);
    let gone = [Err(IndeterminateReason::Stale); 4];
    assert!((0..100).all(|_| drift.note(&table, &gone, &Gone).is_empty()));
}

#[test]
fn what_was_remembered_has_to_fit() {
    let (mut drift, mut other) = (drift(), drift());
    windows(&mut drift, 30, 0.05, 3.6, 0.05);
    assert!(other.recall(drift.sketches().to_vec()));
    assert_eq!(other.standings().collect::<Vec<_>>(), drift.standings().collect::<Vec<_>>());
    for spoil in [
        |s: &mut Vec<[Sketch; 2]>| s.truncate(1),
        |s: &mut Vec<[Sketch; 2]>| s[0][0].mass.truncate(1),
        |s: &mut Vec<[Sketch; 2]>| s[1][1].mass[0] = f32::NAN,
        |s: &mut Vec<[Sketch; 2]>| s[1][0].weight = 7.0,
    ] {
        let mut sketches = drift.sketches().to_vec();
        spoil(&mut sketches);
        assert!(!other.recall(sketches));
    }
}

#[test]
fn each_fault_of_a_reference_is_named() {
    for (from, to, field) in [
        ("fast_windows = 8", "fast_windows = 0", "drift.fast_windows"),
        ("slow_windows = 64", "slow_windows = 8", "drift.slow_windows"),
        ("score = true", "", "drift.input"),
        ("score = true", "score = true\nfeature = \"median\"", "drift.input"),
        ("edges = [0.1, 0.5]", "edges = [0.5, 0.1]", "drift.input.edges"),
        ("edges = [0.1, 0.5]", "edges = [0.1, nan]", "drift.input.edges"),
        ("share = [0.9, 0.1, 0.0]", "share = [0.9, 0.1]", "drift.input.share"),
        ("share = [0.9, 0.1, 0.0]", "share = [0.9, 0.2, -0.1]", "drift.input.share"),
        ("share = [0.9, 0.1, 0.0]", "share = [0.9, 0.0, 0.0]", "drift.input.share"),
        ("fast = 4.0", "fast = 0.0", "drift.input.limits"),
        ("slow = 2.0", "slow = inf", "drift.input.limits"),
        ("slow_windows = 64", "slow_windows = 100001", "drift.slow_windows"),
        ("edges = [0.1, 0.5]", "edges = []", "drift.input.edges"),
    ] {
        let fault = reference(&REFERENCE.replace(from, to)).fault();
        assert_eq!(fault.map(|(field, _)| field), Some(field), "{to}");
    }
}

#[test]
fn a_reference_has_as_many_inputs_and_edges_as_it_may_and_no_more() {
    let of = |inputs: usize, edges: usize| {
        let mut reference = reference(REFERENCE);
        let mut input = reference.input.remove(3);
        input.edges = (0..edges).map(|n| n as f32).collect();
        input.share = vec![0.0; edges + 1];
        input.share[0] = 1.0;
        reference.input = vec![input; inputs];
        reference.fault().map(|(field, _)| field)
    };
    assert_eq!(of(MAX_INPUTS, reference::MAX_EDGES), None);
    assert_eq!(of(MAX_INPUTS + 1, 2), Some("drift.input"));
    assert_eq!(of(0, 2), Some("drift.input"));
    assert_eq!(of(1, reference::MAX_EDGES + 1), Some("drift.input.edges"));
}

/// What a severity becomes by a fast horizon full of these shares of four bins. Training saw nothing of the outer two;
/// its index's limit is 1, or this.
fn full(shares: [f32; 4], severity: Severity, limit: f32) -> Severity {
    let mut input = reference(REFERENCE).input.remove(1);
    input.limits.fast = limit;
    let mut sketch = Sketch { mass: shares.to_vec(), weight: 1.0, severity, is_told: true };
    sketch.judge(&input, Horizon::Fast);
    sketch.severity
}

#[test]
fn drift_begins_at_its_limits_and_ends_well_below_them() {
    use Severity::{Moderate, None, Severe};
    // The index's limit is 1 here, severe from twice that; it ends below four fifths of either.
    let index = |shares: [f32; 4]| {
        let input = reference(REFERENCE).input.remove(1);
        Sketch { mass: shares.to_vec(), weight: 1.0, ..Sketch::default() }.index(&input.share)
    };
    for (shares, range, before, after) in [
        ([0.0, 0.80, 0.20, 0.0], 0.0..0.8, Moderate, None),
        ([0.0, 0.89, 0.11, 0.0], 0.8..1.0, None, None),
        ([0.0, 0.89, 0.11, 0.0], 0.8..1.0, Moderate, Moderate),
        ([0.0, 0.93, 0.07, 0.0], 1.0..1.6, None, Moderate),
        ([0.0, 0.93, 0.07, 0.0], 1.0..1.6, Severe, Moderate),
        ([0.0, 0.98, 0.02, 0.0], 1.6..2.0, Severe, Severe),
        ([0.0, 1.0, 0.0, 0.0], 2.0..4.0, None, Severe),
    ] {
        let found = index(shares);
        assert!(range.contains(&found), "{shares:?}: {found}");
        assert_eq!(full(shares, before, 1.0), after, "{shares:?}: {found}");
    }
}

#[test]
fn half_of_it_beyond_all_that_training_saw_is_drift_whatever_the_index() {
    use Severity::{Moderate, None, Severe};
    for (outside, before, after) in [
        (0.45, None, None),
        (0.45, Moderate, Moderate),
        (0.35, Moderate, None),
        (0.55, None, Moderate),
        (0.95, None, Severe),
    ] {
        let inside = (1.0 - outside) / 2.0;
        assert_eq!(full([outside, inside, inside, 0.0], before, 1e6), after, "{outside} below");
        assert_eq!(full([0.0, inside, inside, outside], before, 1e6), after, "{outside} above");
    }
    // Where training itself was in the outermost bins, nothing of them is unseen.
    let mut input = reference(REFERENCE).input.remove(1);
    input.share = vec![0.25; 4];
    let sketch = Sketch { mass: vec![0.5, 0.0, 0.0, 0.5], weight: 1.0, ..Sketch::default() };
    assert_eq!(sketch.outside(&input.share), 0.0);
}
