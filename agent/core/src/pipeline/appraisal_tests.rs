//! A model that estimates, from frames to its record: what it says after a charge, and what outside its regime.

use super::*;
use crate::feature::FeatureSpec;
use crate::frame::{BusId, CanId, FrameKind};
use crate::model::{Manifest, Model};
use telltale_wire::estimate::{EstimateRecord, Quantity};
use telltale_wire::record::IndeterminateReason;

pub(super) const SPEC: &str = r#"
    schema = 1
    name = "charge"
    period_s = 10
    reset_gap_s = 300
    members = { signal = "Pack.Cell{n}", subject = "Cell{n}" }
    context = { amps = "Pack.Current", celsius = "Pack.Temperature" }
    feature = [
        { name = "amount", op = "charge_between", low = 3.8, high = 4.0, offset = 0.2, scale = 0.1, clip = 4 },
        { name = "more", op = "charge_between", low = 3.6, high = 3.8, offset = 0.2, scale = 0.1, clip = 4 },
        { name = "has_amount", op = "present", of = "amount", scale = 1, clip = 4 },
        { name = "has_more", op = "present", of = "more", scale = 1, clip = 4 },
        { name = "warmth", op = "charge_temperature", offset = 25, scale = 10, clip = 4 },
    ]
    charge = { current = "amps", temperature = "celsius", nominal_ah = 10, start_rate = 0.05, stop_rate = 0.02, step_rate = 0.2, pause_s = 60, shortest_s = 600, settle_s = 10 }
"#;

const MANIFEST: &str = r#"
    schema = 1
    name = "soh"
    version = "1"
    onnx = "a.onnx"
    features = "features.toml"
    features_digest = "{digest}"
    input = { scale = 0.03125, zero_point = 0 }
    output = { channel = 0, scale = 0.03125, zero_point = 0 }
    [estimate]
    quantity = "state-of-health"
    offset = 0.9
    scale = 0.1
    coverage = 0.9
    half_width = [0.02, 0.05]
    bounds = [
        { feature = "has_amount", low = 1, high = 1 },
        { feature = "warmth", low = 10, high = 40 },
    ]
"#;

/// The amount of charge is the answer.
struct Amount;

impl Model for Amount {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.copy_from_slice(&input[..output.len()]);
        Ok(())
    }
}

fn catalog() -> Catalog {
    let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n \
        SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n SG_ C2 : 16|16@1+ (0.001,0) [0|5] \"V\" XXX\n \
        SG_ I : 32|16@1- (0.01,0) [-99|99] \"A\" XXX\n SG_ T : 48|16@1- (0.1,0) [-40|99] \"degC\" XXX\n";
    let text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n\
        [[signal]]\nvss = \"Pack.Cell{n}\"\nn = \"1..2\"\nsignal = \"C{n}\"\nsentinels = [65535]\n\
        [[signal]]\nvss = \"Pack.Current\"\nsignal = \"I\"\n[[signal]]\nvss = \"Pack.Temperature\"\nsignal = \"T\"\n";
    Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
}

fn load(manifest: &str) -> Result<Pipeline, LoadError> {
    let features = FeatureSpec::parse(SPEC, "f.toml").unwrap();
    let manifest = manifest.replace("{digest}", &features.digest.to_string());
    let manifest = Manifest::parse(&manifest, "m.toml").unwrap();
    let model = LoadedModel { manifest, digest: Digest::of(b"soh"), features, model: Box::new(Amount) };
    Pipeline::new(&catalog(), vec![model], PipelineConfig::default())
}

/// A charge at 10 A from `begin` volts, 1 mV a step of 10 s, which are 0.2778 of the capacity for 0.1 V; cell 2 says
/// nothing. Then two minutes of rest.
fn charge(pipeline: &mut Pipeline, start_s: u64, begin: u16, celsius: i16) -> Vec<EstimateRecord> {
    let steps = 4_050 - begin;
    for step in 0..steps + 12 {
        let (mv, amps) = if step < steps { (begin + step, 1_000_i16) } else { (4_040, 0) };
        let mut payload = [0; 8];
        payload[..2].copy_from_slice(&mv.to_le_bytes());
        payload[2..4].copy_from_slice(&65_535_u16.to_le_bytes());
        payload[4..6].copy_from_slice(&amps.to_le_bytes());
        payload[6..].copy_from_slice(&(celsius * 10).to_le_bytes());
        let at = MonoTime((start_s + u64::from(step) * 10) * 1_000_000);
        let id = CanId::Standard(0x100);
        pipeline.handle_frame(&CanFrame::new(at, BusId(0), id, FrameKind::Classic, &payload).unwrap());
    }
    std::iter::from_fn(|| pipeline.poll_record())
        .filter_map(|record| if let Record::Estimate(record) = record { Some(record) } else { None })
        .collect()
}

#[test]
fn a_charge_is_told_with_its_interval_and_held_for_whoever_looks() {
    let mut pipeline = load(MANIFEST).unwrap();
    let told = charge(&mut pipeline, 0, 3_500, 25);
    let [record] = &told[..] else { panic!("{told:?}") };
    assert_eq!((record.quantity, record.prefix.as_str()), (Quantity::StateOfHealth, "Cell"));
    // 0.2 V are 0.5556, of which the model sees (0.5556 - 0.2) / 0.1, in steps of 1/32.
    let interval = record.subjects[0].value.unwrap();
    assert!((interval.value - (0.9 + 0.1 * 3.5556)).abs() < 0.002, "{interval:?}");
    assert!((interval.high - interval.value - 0.02).abs() < 1e-6 && interval.low < interval.value);
    assert_eq!(record.subjects[1].value, Err(IndeterminateReason::SensorFault));
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(0), &mut view);
    assert_eq!(view.models[0].estimates, [Ok(interval), Err(IndeterminateReason::SensorFault)]);
    assert!(view.models[0].subjects.is_empty());
    assert_eq!(pipeline.totals().nominal + pipeline.totals().indeterminate, 0, "an estimate is no verdict");
}

#[test]
fn what_is_missing_widens_the_interval_and_what_lies_outside_gives_no_number() {
    let mut pipeline = load(MANIFEST).unwrap();
    let late = charge(&mut pipeline, 0, 3_700, 25)[0].subjects[0].value.unwrap();
    assert!((late.high - late.value - 0.05).abs() < 1e-6, "{late:?}");
    for (start_s, begin, celsius) in [(100_000, 3_850, 25), (200_000, 3_500, 5)] {
        let told = charge(&mut pipeline, start_s, begin, celsius);
        let value = told[0].subjects[0].value;
        assert_eq!(value, Err(IndeterminateReason::OutsideTrainingRegime), "{begin} mV, {celsius} degC");
    }
}

#[test]
fn an_estimate_is_of_one_charge_and_nothing_of_it_outlives_a_restart() {
    let pipeline = load(MANIFEST).unwrap();
    assert_eq!(load(MANIFEST).unwrap().recall(&pipeline.remember()), Ok(Vec::new()));
}

#[test]
fn a_bound_on_a_feature_that_is_not_there_is_refused() {
    let error = load(&MANIFEST.replace("\"warmth\"", "\"warmht\"")).err().unwrap().to_string();
    assert!(error.contains("bounds the feature `warmht`"), "{error}");
    for (from, to, expected) in [
        ("half_width = [0.02, 0.05]", "half_width = []", "`estimate.half_width`"),
        ("coverage = 0.9", "coverage = 1.5", "`estimate.coverage`"),
        ("low = 10, high = 40", "low = 40, high = 10", "`estimate.bounds`"),
        ("state-of-health\"", "state-of-mind\"", "is no quantity"),
    ] {
        let error = Manifest::parse(&MANIFEST.replace(from, to), "m").unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

/// Two that estimate, on the same charges: they agree, or one states less than the other's interval.
#[test]
fn estimates_of_a_candidate_are_held_against_the_interval_of_the_one_before() {
    let features = || FeatureSpec::parse(SPEC, "f.toml").unwrap();
    let loaded = |manifest: &str, name: &[u8]| {
        let manifest = manifest.replace("{digest}", &features().digest.to_string());
        let manifest = Manifest::parse(&manifest, "m.toml").unwrap();
        LoadedModel { manifest, digest: Digest::of(name), features: features(), model: Box::new(Amount) }
    };
    for (offset, expected) in [("0.9", (0, 0)), ("0.91", (0, 0)), ("0.7", (1, 0)), ("1.1", (0, 1))] {
        let other = MANIFEST.replace("offset = 0.9", &format!("offset = {offset}"));
        let beside = Beside { speaker: 0, model: Some(loaded(&other, b"new")), is_trial: false };
        let (models, config) = (vec![loaded(MANIFEST, b"soh")], PipelineConfig::default());
        let mut pipeline = Pipeline::with_beside(&catalog(), models, vec![beside], config).unwrap();
        assert_eq!(charge(&mut pipeline, 0, 3_500, 25).len(), 1, "one speaks");
        let found = pipeline.comparisons().next().unwrap();
        assert_eq!((found.windows, found.compared), (1, 1), "cell 2 says nothing: {found:?}");
        let differ = found.disagreements;
        let lower_and_higher = (differ.only_candidate_anomalous, differ.only_reference_anomalous);
        assert_eq!((lower_and_higher, differ.total()), (expected, expected.0 + expected.1), "{offset}");
    }
}
