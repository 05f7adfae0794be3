//! Models that foretell a feature, in the loop: what is measured against what was foretold.

use super::tests::{CELLS, SPEC, catalog, loaded, run};
use super::*;
use crate::feature::FeatureSpec;
use crate::model::{Manifest, Model};

/// Foretells the same for every subject.
struct Foretells(i8);

impl Model for Foretells {
    fn infer(&mut self, _: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.fill(self.0);
        Ok(())
    }
}

const RESIDUAL: &str = "schema = 1\nname = \"r\"\nversion = \"1\"\nonnx = \"a.onnx\"\nfeatures = \"features.toml\"\n\
    features_digest = \"DIGEST\"\ninput = { scale = 0.0625, zero_point = 0 }\n\
    output = { channel = 0, scale = 0.1, zero_point = 0 }\ncalibration = { slope = 1.0, intercept = -3.0 }\n\
    decision = { enter = 0.5, enter_windows = 2, enter_of = 3, exit = 0.2, exit_windows = 2 }\n\
    [residual]\nfeature = \"FEATURE\"\noffset = 0.0\nscale = 0.1\nsigma = 0.005\n";

fn pipeline(output: i8, feature: &str) -> Result<Pipeline, LoadError> {
    let mut model = loaded("r", Foretells(output));
    let text = RESIDUAL.replace("DIGEST", &model.features.digest.to_hex()).replace("FEATURE", feature);
    model.manifest = Manifest::parse(&text, "m.toml").unwrap();
    Pipeline::new(&catalog(""), vec![model], PipelineConfig::default())
}

#[test]
fn what_lies_far_from_what_was_foretold_is_odd_and_the_evidence_says_both() {
    let mut pipeline = pipeline(0, "deviation_median").unwrap();
    assert!(run(&mut pipeline, 0..10, [3_700; CELLS]).is_empty());
    let events = run(&mut pipeline, 10..20, [3_700, 3_640, 3_700, 3_700]);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.subject.as_str(), event.verdict), ("Cell2", VerdictCode::Anomalous));
    let residual = &event.evidence[1];
    assert_eq!((residual.what.as_str(), residual.reference), ("deviation_median", 0.0));
    assert!((residual.value + 0.060).abs() < 1e-3, "{residual:?}");
}

#[test]
fn what_was_foretold_is_not_odd() {
    // An output of -6 is -0.6 by its scale, and foretells -60 mV: then it is the three others that are odd.
    let mut pipeline = pipeline(-6, "deviation_median").unwrap();
    let events = run(&mut pipeline, 0..20, [3_700, 3_640, 3_700, 3_700]);
    let odd: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(odd, ["Cell1", "Cell3", "Cell4"]);
}

/// With a second feature, `deviation_low`, and one of them that is known so many times.
fn knowing(feature: &str, factor: &str) -> Result<Pipeline, LoadError> {
    let second =
        "[[feature]]\nname = \"deviation_low\"\nop = \"quantile\"\nq = 0.25\nscale = 0.01\nclip = 8\n";
    let mut model = loaded("r", Foretells(0));
    model.features = FeatureSpec::parse(&format!("{SPEC}{second}"), "f.toml").unwrap();
    let text =
        RESIDUAL.replace("DIGEST", &model.features.digest.to_hex()).replace("FEATURE", "deviation_median");
    let known = format!("known = [{{ feature = \"{feature}\", factor = {factor} }}]\n");
    model.manifest = Manifest::parse(&(text + &known), "m.toml").unwrap();
    Pipeline::new(&catalog(""), vec![model], PipelineConfig::default())
}

#[test]
fn what_is_known_of_it_is_added_to_what_the_model_foretells() {
    let odd = [3_700, 3_640, 3_700, 3_700];
    assert!(run(&mut knowing("deviation_low", "1.0").unwrap(), 0..20, odd).is_empty(), "all of it is known");
    let events = run(&mut knowing("deviation_low", "0.5").unwrap(), 0..20, odd);
    let [event] = &events[..] else { panic!("{events:?}") };
    let residual = &event.evidence[1];
    assert!((residual.reference + 0.030).abs() < 1e-3, "{residual:?}");
}

#[test]
fn a_feature_that_there_is_not_is_refused() {
    let strange = pipeline(0, "power");
    assert!(matches!(strange, Err(LoadError::StrangeBound { feature, .. }) if feature == "power"));
    let known = |name: &str, factor: &str| {
        format!("sigma = 0.005\nknown = [{{ feature = \"{name}\", factor = {factor} }}]")
    };
    let strange = knowing("power", "1.0");
    assert!(matches!(strange, Err(LoadError::StrangeBound { feature, .. }) if feature == "power"));
    let many = format!("sigma = 0.005\nknown = [{}]", "{ feature = \"a\", factor = 1 },".repeat(17));
    for (from, to, expected) in [
        ("sigma = 0.005", "sigma = 0", "`residual.sigma`"),
        ("[residual]", "[residuum]", "unknown field"),
        ("sigma = 0.005", &known("low", "inf"), "`residual.known`: finite"),
        ("sigma = 0.005", &known("FEATURE", "1.0"), "`residual.known`: not what is foretold"),
        ("sigma = 0.005", &many, "`residual.known`: at most 16"),
    ] {
        let error = Manifest::parse(&RESIDUAL.replace(from, to), "m").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
