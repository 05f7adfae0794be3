//! Every kernel of this machine gives the bytes of ONNX Runtime and of a naive loop.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg32;
use serde::Deserialize;
use telltale_qlinear::{Kernel, Layer, LayerError, LayerSpec, Stack, StackError};

#[derive(Deserialize)]
struct Vectors {
    layer: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    inputs: usize,
    outputs: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
    steps: usize,
    x_scale: f32,
    x_zero: i8,
    w_scales: Vec<f32>,
    y_scale: f32,
    y_zero: i8,
    weights: Vec<i8>,
    bias: Vec<i32>,
    input: Vec<i8>,
    output: Vec<i8>,
}

impl Vector {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            inputs: self.inputs,
            outputs: self.outputs,
            taps: self.taps,
            stride: self.stride,
            dilation: self.dilation,
            pads: self.pads,
            weights: self.weights.clone(),
            bias: self.bias.clone(),
            x_scale: self.x_scale,
            x_zero: self.x_zero,
            w_scales: self.w_scales.clone(),
            y_scale: self.y_scale,
            y_zero: self.y_zero,
        }
    }
}

fn run(stack: &Stack, input: &[i8]) -> Vec<i8> {
    let (channels, steps) = stack.output_shape();
    let mut output = vec![0; channels * steps];
    stack.run(input, &mut stack.scratch(), &mut output);
    output
}

/// What the standard says, one multiplication at a time.
fn naive(spec: &LayerSpec, input: &[i8]) -> Vec<i8> {
    let steps = input.len() / spec.inputs;
    let out = Layer::new(spec).unwrap().span().steps_out(steps);
    let mut output = Vec::new();
    for o in 0..spec.outputs {
        let w_scale = spec.w_scales[if spec.w_scales.len() == 1 { 0 } else { o }];
        for t in 0..out {
            let mut sum = i64::from(spec.bias.get(o).copied().unwrap_or(0));
            for c in 0..spec.inputs {
                for k in 0..spec.taps {
                    let at = (t * spec.stride + k * spec.dilation).checked_sub(spec.pads.0);
                    let x = at.filter(|at| *at < steps).map_or(spec.x_zero, |at| input[c * steps + at]);
                    let w = spec.weights[(o * spec.inputs + c) * spec.taps + k];
                    sum += (i64::from(x) - i64::from(spec.x_zero)) * i64::from(w);
                }
            }
            let scaled = sum as i32 as f32 * (spec.x_scale * w_scale / spec.y_scale);
            let zero = f32::from(spec.y_zero);
            let clamped = scaled.clamp(-128.0 - zero, 127.0 - zero);
            output.push((clamped.round_ties_even() + zero) as i8);
        }
    }
    output
}

fn within(rng: &mut Pcg32, least: usize, most: usize) -> usize {
    least + rng.next_u32() as usize % (most - least + 1)
}

fn random(rng: &mut Pcg32, inputs: usize) -> LayerSpec {
    let (outputs, taps) = (within(rng, 1, 20), within(rng, 1, 7));
    let weights = (0..inputs * outputs * taps).map(|_| rng.next_u32() as i8).collect();
    let bias = (0..outputs).map(|_| rng.next_u32() as i32 >> 14).collect();
    let scales = if rng.next_u32().is_multiple_of(2) { 1 } else { outputs };
    LayerSpec {
        inputs,
        outputs,
        taps,
        stride: within(rng, 1, 4),
        dilation: within(rng, 1, 9),
        pads: (within(rng, 0, 30), within(rng, 0, 30)),
        weights,
        bias: if rng.next_u32().is_multiple_of(4) { Vec::new() } else { bias },
        x_scale: 0.05,
        x_zero: rng.next_u32() as i8,
        w_scales: (0..scales).map(|_| 0.001 + rng.next_u32() as f32 * 1e-12).collect(),
        y_scale: 0.1 + rng.next_u32() as f32 * 1e-9,
        y_zero: rng.next_u32() as i8,
    }
}

#[test]
fn every_kernel_gives_the_bytes_of_onnx_runtime() {
    let vectors: Vectors = toml::from_str(include_str!("vectors.toml")).unwrap();
    assert!(vectors.layer.len() >= 10);
    println!("kernels of this machine: {:?}", Kernel::available());
    for (place, v) in vectors.layer.iter().enumerate() {
        let stack = Stack::new(vec![Layer::new(&v.spec()).unwrap()], v.steps).unwrap();
        for kernel in Kernel::available() {
            assert_eq!(
                run(&stack.clone().with_kernel(kernel), &v.input),
                v.output,
                "layer {place}, {kernel:?}"
            );
        }
        assert_eq!(naive(&v.spec(), &v.input), v.output, "layer {place}, naive");
    }
}

#[test]
fn random_stacks_equal_a_naive_loop_on_every_kernel() {
    let mut rng = Pcg32::seed_from_u64(7);
    let (mut compared, mut levels) = (0, std::collections::BTreeSet::new());
    for _ in 0..400 {
        let (steps, depth) = (within(&mut rng, 1, 60), within(&mut rng, 1, 4));
        let (mut specs, mut inputs) = (Vec::new(), within(&mut rng, 1, 20));
        for _ in 0..depth {
            let spec = random(&mut rng, inputs);
            inputs = spec.outputs;
            specs.push(spec);
        }
        let layers: Vec<_> = specs.iter().map(|s| Layer::new(s).unwrap()).collect();
        let Ok(stack) = Stack::new(layers, steps) else { continue };
        let input: Vec<i8> = (0..specs[0].inputs * steps).map(|_| rng.next_u32() as i8).collect();
        let expected = specs.iter().fold(input.clone(), |x, spec| naive(spec, &x));
        levels.extend(expected.iter().copied());
        let mut scratch = stack.scratch();
        for kernel in Kernel::available() {
            let stack = stack.clone().with_kernel(kernel);
            let mut output = vec![0; expected.len()];
            // Twice: a run leaves nothing that the next one could see.
            for _ in 0..2 {
                stack.run(&input, &mut scratch, &mut output);
                assert_eq!(output, expected, "{kernel:?}: {specs:?}");
            }
        }
        compared += 1;
    }
    assert!(compared > 250, "{compared} stacks had an output");
    assert!(levels.len() > 200, "the outputs take {} of 256 levels: the test is too tame", levels.len());
}

#[test]
fn what_is_no_layer_is_refused() {
    let good = LayerSpec {
        inputs: 4,
        outputs: 2,
        taps: 3,
        stride: 1,
        dilation: 1,
        pads: (0, 0),
        weights: vec![1; 24],
        bias: vec![0; 2],
        x_scale: 1.0,
        x_zero: 0,
        w_scales: vec![1.0],
        y_scale: 1.0,
        y_zero: 0,
    };
    Layer::new(&good).unwrap();
    type Change = fn(&mut LayerSpec);
    let changes: [(&str, Change); 10] = [
        ("stride is 0", |s| s.stride = 0),
        ("inputs is 0", |s| s.inputs = 0),
        ("padding is", |s| s.pads.1 = usize::MAX),
        ("the kernel's reach is", |s| s.dilation = 1 << 16),
        ("weights has 23", |s| s.weights.truncate(23)),
        ("bias has 1", |s| s.bias.truncate(1)),
        ("weight scales has 0", |s| s.w_scales.clear()),
        ("y_scale is not", |s| s.y_scale = 0.0),
        ("a weight scale is not", |s| s.w_scales[0] = f32::NAN),
        ("output channel 1 can overflow", |s| s.bias[1] = i32::MIN),
    ];
    for (expected, change) in changes {
        let mut spec = good.clone();
        change(&mut spec);
        let error = Layer::new(&spec).unwrap_err().to_string();
        assert!(error.starts_with(expected) || error.contains(expected), "{expected}: {error}");
    }
    let huge = LayerSpec { inputs: 1 << 16, outputs: 1 << 16, ..good.clone() };
    assert!(matches!(Layer::new(&huge), Err(LayerError::Dimension { .. })));

    let layer = Layer::new(&good).unwrap();
    let stack = |layers: &[&Layer], steps| Stack::new(layers.iter().copied().cloned().collect(), steps);
    assert_eq!(stack(&[], 5).unwrap_err(), StackError::Empty);
    assert_eq!(stack(&[&layer], 2).unwrap_err(), StackError::NoOutput { layer: 0, steps: 2 });
    assert_eq!(
        stack(&[&layer, &layer], 9).unwrap_err(),
        StackError::Channels { layer: 1, inputs: 4, outputs: 2 }
    );
    assert_eq!(stack(&[&layer], 1 << 21).unwrap_err(), StackError::TooLarge);
    let wide = LayerSpec { stride: 1 << 16, pads: (1 << 16, 1 << 16), ..good };
    assert_eq!(stack(&[&Layer::new(&wide).unwrap()], 1 << 19).unwrap_err(), StackError::TooLarge);
}
