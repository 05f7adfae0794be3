//! Convolutions of a shape run again and again, for whoever counts their instructions: `count WAY STEPS LAYERS RUNS`, once
//! or several times in a row.
//!
//! WAY is `ours` for whole windows or `stream` for one new sample; LAYERS are `INPUTSxOUTPUTS:TAPS:DILATION` with commas between,
//! padded in front as far as they reach. For each it prints the nanoseconds of one run, by a clock that may count
//! instructions. What they compute with does not change the count.
#![allow(clippy::print_stdout)] // what it found is what it is for

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;
use telltale_qlinear::{Layer, LayerSpec, Stack, Stream};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    for job in words.chunks(4) {
        let [way, steps, layers, runs] = job else {
            return Err("count ours|stream STEPS INPUTSxOUTPUTS:TAPS:DILATION,... RUNS".into());
        };
        let layers = layers.split(',').map(layer).collect::<Result<Vec<_>>>()?;
        let stack = Stack::new(layers, steps.parse()?)?;
        println!("{}", if way == "stream" { samples(&stack, runs)? } else { windows(&stack, runs)? });
    }
    Ok(())
}

fn layer(shape: &str) -> Result<Layer> {
    let numbers = shape.split(['x', ':']).map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
    let [inputs, outputs, taps, dilation] = numbers[..] else {
        return Err(format!("{shape} is not INPUTSxOUTPUTS:TAPS:DILATION").into());
    };
    Ok(Layer::new(&LayerSpec {
        inputs,
        outputs,
        taps,
        stride: 1,
        dilation,
        pads: (taps.saturating_sub(1) * dilation, 0),
        weights: (0..inputs * outputs * taps).map(|n| (n * 37 % 255) as u8 as i8).collect(),
        bias: vec![0; outputs],
        x_scale: 0.05,
        x_zero: -128,
        w_scales: vec![0.001],
        y_scale: 0.05,
        y_zero: -128,
    })?)
}

fn windows(stack: &Stack, runs: &str) -> Result<u128> {
    let ((channels, steps), (_, steps_out)) = (stack.input_shape(), stack.output_shape());
    let (input, mut output) = (vec![1; channels * steps], vec![0; steps_out]);
    let mut scratch = stack.scratch();
    timed(runs, || stack.run_channel(black_box(&input), &mut scratch, 0, black_box(&mut output)))
}

fn samples(stack: &Stack, runs: &str) -> Result<u128> {
    let mut stream = Stream::new(stack, 1)?;
    let (inputs, outputs) = stream.channels();
    let (sample, mut output) = (vec![1; inputs], vec![0; outputs]);
    timed(runs, || stream.push(black_box(&sample), black_box(&mut output)))
}

/// -> nanoseconds of one run
fn timed(runs: &str, mut run: impl FnMut()) -> Result<u128> {
    let runs: u32 = runs.parse()?;
    let start = Instant::now();
    for _ in 0..runs {
        run();
    }
    Ok(start.elapsed().as_nanos() / u128::from(runs.max(1)))
}
