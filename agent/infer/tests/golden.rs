//! The committed model gives the bytes that ONNX Runtime gave when it was exported, whatever ran before; and from
//! voltages to logit, the vehicle's code agrees with an oracle that shares none of it.

mod vectors;

use telltale_core::catalog::Catalog;
use telltale_core::feature::{Extractor, FeatureSpec};
use telltale_core::intrusion::SecondSpec;
use telltale_core::model::Manifest;
use telltale_core::signal::{NoData, SampleSink as _};
use telltale_wire::time::MonoTime;
use vectors::{
    BUS_INTRUSION, CELL_FAULT, CHANNELS, CHARGE_CHANNELS, Charges, GOLDEN_CHARGE, GOLDEN_CHARGE_SIM,
    GOLDEN_POWERTRAIN, GOLDEN_SECONDS, POWERTRAIN, STATE_OF_HEALTH, STATE_OF_HEALTH_SIM, Seconds, golden,
    golden_window, model, model_of,
};

const CATALOG: &str = include_str!("../../../models/cell-fault/catalog-car2.toml");
const DBC: &[u8] = include_bytes!("../../../models/cell-fault/bms.dbc");
const FEATURES: &str = include_str!("../../../models/cell-fault/features.toml");
const MANIFEST: &str = include_str!("../../../models/cell-fault/model.toml");

const POWERTRAIN_FEATURES: &str = include_str!("../../../models/powertrain-consistency/features.toml");
const POWERTRAIN_MANIFEST: &str = include_str!("../../../models/powertrain-consistency/model.toml");

const BENCH_CATALOG: &str = include_str!("../../../models/state-of-health/catalog-bench.toml");
const BENCH_DBC: &[u8] = include_bytes!("../../../models/state-of-health/bench.dbc");
const CHARGE_FEATURES: &str = include_str!("../../../models/state-of-health/features.toml");
const HEALTH_MANIFEST: &str = include_str!("../../../models/state-of-health/model.toml");

const SECOND_FEATURES: &str = include_str!("../../../models/bus-intrusion/features.toml");
const INTRUSION_MANIFEST: &str = include_str!("../../../models/bus-intrusion/model.toml");

#[test]
fn outputs_equal_those_of_onnx_runtime() {
    let vectors = golden();
    assert!(vectors.len() >= 4);
    for v in vectors {
        let mut output = vec![0; v.subjects];
        model(CELL_FAULT, v.subjects).infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output, "{}", v.name);
    }
}

/// The network that foretells the drive's power, and that its manifest is of the features beside it.
#[test]
fn the_powertrains_outputs_equal_those_of_onnx_runtime() {
    #[derive(serde::Deserialize)]
    struct Golden {
        vector: Vec<vectors::Vector>,
    }
    let golden: Golden = toml::from_str(GOLDEN_POWERTRAIN).unwrap();
    assert!(golden.vector.len() >= 4);
    for v in golden.vector {
        let mut output = vec![0; v.subjects];
        model(POWERTRAIN, v.subjects).infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output, "{}", v.name);
    }
    let spec = FeatureSpec::parse(POWERTRAIN_FEATURES, "features").unwrap();
    let manifest = Manifest::parse(POWERTRAIN_MANIFEST, "manifest").unwrap();
    assert_eq!((manifest.features_digest, spec.features.len()), (spec.digest.to_hex(), CHANNELS));
}

#[test]
fn an_inference_leaves_nothing_to_the_next() {
    let vectors = golden();
    let v = vectors.iter().find(|v| v.subjects == 96).unwrap();
    let mut model = model(CELL_FAULT, 96);
    let other: Vec<i8> = v.input.iter().rev().copied().collect();
    for _ in 0..3 {
        let mut output = vec![0; 96];
        model.infer(&other, &mut output).unwrap();
        assert_ne!(output, v.output);
        model.infer(&other[1..], &mut output).unwrap_err();
        model.infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output);
    }
}

#[test]
fn subjects_do_not_mix() {
    let v = golden().into_iter().find(|v| v.subjects == 96).unwrap();
    let mut rotated = v.input.clone();
    rotated.chunks_exact_mut(96).for_each(|channel| channel.rotate_left(5));
    let mut output = vec![0; 96];
    model(CELL_FAULT, 96).infer(&rotated, &mut output).unwrap();
    output.rotate_right(5);
    assert_eq!(output, v.output);
}

#[test]
fn the_model_is_one_operator_in_integers() {
    let model = model(CELL_FAULT, 96);
    let kernels = model.kernels();
    assert_eq!(kernels.len(), 1, "{kernels:#?}");
    assert!(kernels[0].contains("QLinearConvs 3 int8 layers"), "{kernels:#?}");
}

/// The window goes through the vehicle's resampler, features and quantization; each absent reading is a sensor fault.
#[test]
fn a_window_of_voltages_becomes_the_features_and_logits_of_the_oracle() {
    let window = golden_window();
    let cells = window.present.len();
    let text = CATALOG.replace("n = \"1..88\"", &format!("n = \"1..{cells}\""));
    let catalog = Catalog::parse(&text, "catalog", &mut |_| Ok(DBC.to_vec())).unwrap();
    let spec = FeatureSpec::parse(FEATURES, "features").unwrap();
    let manifest = Manifest::parse(MANIFEST, "manifest").unwrap();
    assert_eq!(manifest.features_digest, spec.digest.to_hex());
    let mut extractor = Extractor::new(&spec, &catalog).unwrap();
    let signals = extractor.layout().signals().to_vec();
    assert_eq!(signals.len(), cells + 1);

    let (mut at, mut windows) = (MonoTime(0), 0);
    for (row, amps) in window.volts.iter().zip(&window.amps) {
        extractor.take(at, |samples| {
            for (signal, value) in signals.iter().zip(row.iter().chain([amps])) {
                match value.is_nan() {
                    true => samples.absent(*signal, NoData::SensorFault),
                    false => samples.value(*signal, *value),
                }
            }
        });
        at = at.plus(spec.period);
        extractor.advance(at, |_, table| {
            windows += 1;
            let present: Vec<bool> = (0..cells).map(|c| table.state(c).is_ok()).collect();
            assert_eq!(present, window.present);
            for (cell, expected) in window.features.iter().enumerate() {
                for (channel, expected) in expected.iter().enumerate() {
                    let found = f64::from(table.normalised_at(channel, cell));
                    assert!(
                        (found - expected).abs() < 1e-3,
                        "{} of cell {cell}: {found}, {expected}",
                        spec.features[channel].name
                    );
                }
            }
            let input: Vec<i8> = table.normalised().iter().map(|x| manifest.input.quantize(*x)).collect();
            assert_eq!(input, window.input);
            let mut output = vec![0; cells];
            model(CELL_FAULT, cells).infer(&input, &mut output).unwrap();
            assert_eq!(output, window.output);
        });
    }
    assert_eq!((windows, window.input.len()), (1, CHANNELS * cells));
}

#[test]
fn estimates_equal_those_of_onnx_runtime() {
    for (file, golden) in [(STATE_OF_HEALTH, GOLDEN_CHARGE), (STATE_OF_HEALTH_SIM, GOLDEN_CHARGE_SIM)] {
        let golden: Charges = toml::from_str(golden).unwrap();
        assert!(golden.vector.len() >= 4);
        for v in golden.vector {
            let mut output = vec![0; v.subjects];
            let mut model = model_of(file, CHARGE_CHANNELS, v.subjects);
            let kernels = model.kernels();
            assert!(kernels.len() == 1 && kernels[0].contains("QLinearConvs 3 int8 layers"), "{kernels:#?}");
            model.infer(&v.input, &mut output).unwrap();
            assert_eq!(output, v.output, "{}", v.name);
        }
    }
}

/// A whole charge goes through the vehicle's grid, its meter and quantization.
#[test]
fn a_charge_becomes_the_features_and_the_estimate_of_the_oracle() {
    let charge = toml::from_str::<Charges>(GOLDEN_CHARGE).unwrap().charge;
    let catalog = Catalog::parse(BENCH_CATALOG, "catalog", &mut |_| Ok(BENCH_DBC.to_vec())).unwrap();
    let spec = FeatureSpec::parse(CHARGE_FEATURES, "features").unwrap();
    let manifest = Manifest::parse(HEALTH_MANIFEST, "manifest").unwrap();
    assert_eq!(manifest.features_digest, spec.digest.to_hex());
    let mut extractor = Extractor::new(&spec, &catalog).unwrap();
    let [volts, first, second] = extractor.layout().signals().to_vec()[..] else { panic!("three signals") };
    // The context is in the order of its names: current, temperature.
    let (amps, celsius) = (first, second);
    let (mut at, mut charges) = (MonoTime(0), 0);
    for step in 0..charge.volts.len() {
        extractor.take(at, |samples| {
            samples.value(volts, charge.volts[step]);
            samples.value(amps, charge.amps[step]);
            samples.value(celsius, charge.celsius[step]);
        });
        at = at.plus(spec.period);
        extractor.advance(at, |_, table| {
            charges += 1;
            for (channel, expected) in charge.features.iter().enumerate() {
                let found = f64::from(table.normalised_at(channel, 0));
                let name = &spec.features[channel].name;
                assert!((found - expected).abs() < 1e-3, "{name}: {found}, {expected}");
            }
            let input: Vec<i8> = table.normalised().iter().map(|x| manifest.input.quantize(*x)).collect();
            assert_eq!(input, charge.input);
            let mut output = [0];
            model_of(STATE_OF_HEALTH, input.len(), 1).infer(&input, &mut output).unwrap();
            assert_eq!(output[..], charge.output);
            // The invented cell has 0.12 ohm, and the step from rest shows it.
            assert!((table.resistance(0).unwrap() - 0.12).abs() < 0.002, "{:?}", table.resistance(0));
        });
    }
    assert_eq!(charges, 1);
}

#[test]
fn scores_of_a_bus_equal_those_of_onnx_runtime() {
    let spec = SecondSpec::parse(SECOND_FEATURES, "features").unwrap();
    let manifest = Manifest::parse(INTRUSION_MANIFEST, "manifest").unwrap();
    assert_eq!(manifest.features_digest, spec.digest.to_hex());
    let golden: Seconds = toml::from_str(GOLDEN_SECONDS).unwrap();
    assert!(golden.vector.len() >= 4);
    for v in golden.vector {
        let mut output = vec![0; v.subjects];
        let mut model = model_of(BUS_INTRUSION, spec.features.len(), v.subjects);
        let kernels = model.kernels();
        assert!(kernels.len() == 1 && kernels[0].contains("QLinearConvs 3 int8 layers"), "{kernels:#?}");
        model.infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output, "{}", v.name);
    }
}
