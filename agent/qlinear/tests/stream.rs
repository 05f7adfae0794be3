//! A stream gives the bytes of the whole window's last step, on every kernel, and nothing before it has seen enough.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg32;
use telltale_qlinear::{Kernel, Layer, LayerSpec, Stack, Stream, StreamError};

fn within(rng: &mut Pcg32, least: usize, most: usize) -> usize {
    least + rng.next_u32() as usize % (most - least + 1)
}

/// Pads a layer in front; as many steps as its kernel reaches make it causal over the whole window.
fn causal(rng: &mut Pcg32, inputs: usize) -> LayerSpec {
    let (outputs, taps, dilation) = (within(rng, 1, 20), within(rng, 1, 5), within(rng, 1, 6));
    let scales = if rng.next_u32().is_multiple_of(2) { 1 } else { outputs };
    LayerSpec {
        inputs,
        outputs,
        taps,
        stride: 1,
        dilation,
        pads: (if rng.next_u32().is_multiple_of(4) { within(rng, 0, 9) } else { (taps - 1) * dilation }, 0),
        weights: (0..inputs * outputs * taps).map(|_| rng.next_u32() as i8).collect(),
        bias: (0..outputs).map(|_| rng.next_u32() as i32 >> 16).collect(),
        x_scale: 0.05,
        x_zero: rng.next_u32() as i8,
        w_scales: (0..scales).map(|_| 0.001 + rng.next_u32() as f32 * 1e-12).collect(),
        y_scale: 0.2 + rng.next_u32() as f32 * 1e-9,
        y_zero: rng.next_u32() as i8,
    }
}

/// One to four layers, and a window over which they can be a stream.
fn random(rng: &mut Pcg32) -> (Stack, Stream) {
    loop {
        let (mut inputs, mut layers) = (within(rng, 1, 20), Vec::new());
        for _ in 0..within(rng, 1, 4) {
            let spec = causal(rng, inputs);
            inputs = spec.outputs;
            layers.push(Layer::new(&spec).unwrap());
        }
        let Ok(stack) = Stack::new(layers, within(rng, 1, 80)) else { continue };
        if let Ok(stream) = Stream::new(&stack, within(rng, 1, 5)) {
            return (stack, stream);
        }
    }
}

/// What the whole window of `[steps][channels]` says in its last step. -> `[channels]`
fn last_step(stack: &Stack, window: &[Vec<i8>]) -> Vec<i8> {
    let ((channels, steps), (outputs, answered)) = (stack.input_shape(), stack.output_shape());
    assert_eq!(window.len(), steps);
    let input: Vec<i8> = (0..channels).flat_map(|c| window.iter().map(move |column| column[c])).collect();
    let mut output = vec![0; outputs * answered];
    stack.run(&input, &mut stack.scratch(), &mut output);
    output.chunks_exact(answered).map(|row| row[answered - 1]).collect()
}

#[test]
fn random_streams_equal_the_whole_window_across_gaps_on_every_kernel() {
    let mut rng = Pcg32::seed_from_u64(11);
    let (mut compared, mut levels) = (0, std::collections::BTreeSet::new());
    for _ in 0..50 {
        let (stack, stream) = random(&mut rng);
        let (subjects, (inputs, outputs)) = (stream.subjects(), stream.channels());
        let steps = stack.input_shape().1;
        let pushes = steps + within(&mut rng, 1, 2 * steps);
        // What came of each subject since its last gap, and where its next gaps are.
        let samples: Vec<Vec<i8>> =
            (0..pushes).map(|_| (0..inputs * subjects).map(|_| rng.next_u32() as i8).collect()).collect();
        let gaps: Vec<Vec<bool>> = (0..pushes)
            .map(|_| (0..subjects).map(|_| rng.next_u32().is_multiple_of(150)).collect())
            .collect();
        for kernel in Kernel::available() {
            let stack = stack.clone().with_kernel(kernel);
            let mut stream = Stream::new(&stack, subjects).unwrap();
            let mut past: Vec<Vec<Vec<i8>>> = vec![Vec::new(); subjects];
            let mut output = vec![0; outputs * subjects];
            for (sample, gaps) in samples.iter().zip(&gaps) {
                for (subject, _) in gaps.iter().enumerate().filter(|(_, gap)| **gap) {
                    stream.forget(subject);
                    past[subject].clear();
                }
                stream.push(sample, &mut output);
                for (subject, past) in past.iter_mut().enumerate() {
                    past.push(sample.chunks_exact(subjects).map(|row| row[subject]).collect());
                    assert_eq!(stream.is_warm(subject), past.len() >= stream.looks_back(), "{kernel:?}");
                    let Some(window) = past.len().checked_sub(steps).map(|from| &past[from..]) else {
                        continue;
                    };
                    let got: Vec<i8> = output.chunks_exact(subjects).map(|row| row[subject]).collect();
                    assert_eq!(got, last_step(&stack, window), "{kernel:?}, subject {subject} of {subjects}");
                    levels.extend(got);
                    compared += 1;
                }
            }
        }
    }
    println!("{compared} columns compared on {:?}", Kernel::available());
    assert!(compared > 3_000, "{compared}");
    assert!(levels.len() > 200, "the outputs take {} of 256 levels: the test is too tame", levels.len());
}

/// The answer that counts begins with the sample that completes what the layers look back, wherever the window ends.
#[test]
fn the_first_warm_answer_is_that_of_every_longer_window() {
    let mut rng = Pcg32::seed_from_u64(5);
    for _ in 0..40 {
        let (stack, _) = random(&mut rng);
        let (channels, steps) = stack.input_shape();
        let mut stream = Stream::new(&stack, 1).unwrap();
        let mut output = vec![0; stream.channels().1];
        let window: Vec<Vec<i8>> =
            (0..steps).map(|_| (0..channels).map(|_| rng.next_u32() as i8).collect()).collect();
        for sample in &window[steps - stream.looks_back()..] {
            assert!(!stream.is_warm(0));
            stream.push(sample, &mut output);
        }
        assert!(stream.is_warm(0));
        assert_eq!(output, last_step(&stack, &window));
    }
}

#[test]
fn what_is_no_stream_is_refused() {
    let layer = |stride, dilation, pads| {
        let (weights, bias) = (vec![1; 12], vec![0; 2]);
        let spec = LayerSpec {
            inputs: 2,
            outputs: 2,
            taps: 3,
            stride,
            dilation,
            pads,
            weights,
            bias,
            x_scale: 1.0,
            x_zero: 0,
            w_scales: vec![1.0],
            y_scale: 1.0,
            y_zero: 0,
        };
        Layer::new(&spec).unwrap()
    };
    let stream = |layers: Vec<Layer>, steps, subjects| {
        Stream::new(&Stack::new(layers, steps).unwrap(), subjects).map(|stream| stream.looks_back())
    };
    let plain = layer(1, 2, (4, 0));
    assert_eq!(stream(vec![plain.clone(), plain.clone()], 9, 3), Ok(9));
    assert_eq!(
        stream(vec![plain.clone(), plain.clone()], 8, 3),
        Err(StreamError::Window { reach: 9, steps: 8 })
    );
    assert_eq!(
        stream(vec![plain.clone(), layer(2, 1, (2, 0))], 20, 1),
        Err(StreamError::Stride { layer: 1, stride: 2 })
    );
    assert_eq!(stream(vec![layer(1, 1, (1, 1))], 20, 1), Err(StreamError::Ahead { layer: 0, steps: 1 }));
    for subjects in [0, 1 << 19, usize::MAX] {
        assert_eq!(stream(vec![plain.clone()], 9, subjects), Err(StreamError::Subjects { subjects }));
    }
    assert!(!Stream::new(&Stack::new(vec![plain], 9).unwrap(), 1).unwrap().is_warm(7), "there is no seventh");
}
