//! One model run again and again, for whoever measures: `speed WAY FILE CHANNELS STEPS`.
//!
//! WAY is `ours` (the vehicle's runtime), `stock` (tract as it comes) or `stream` (ours, a new sample at a time). The input
//! lies beside FILE, with the ending `input`: `[CHANNELS][STEPS]` int8. It answers lines: a number with the nanoseconds
//! that so many runs took together, `output` with the output channel 0 in hexadecimal.
#![allow(clippy::print_stdout)] // what it found is what it is for

use std::error::Error;
use std::hint::black_box;
use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};
use telltale_infer::{Int8Model, Shape, StreamedModel};
use tract_onnx::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut contestant = Contestant::new(&words)?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "output" => {
                let output = contestant.run()?;
                println!(
                    "{}",
                    output.iter().map(|q| format!("{:02x}", q.cast_unsigned())).collect::<String>()
                );
            }
            number => println!("{}", contestant.time(number.parse()?)?.as_nanos()),
        }
    }
    Ok(())
}

/// A runtime with a model in it.
enum Runtime {
    Ours(Int8Model),
    Stock(TypedSimpleState),
    Stream(StreamedModel),
}

struct Contestant {
    runtime: Runtime,
    shape: Shape,
    input: Vec<i8>,
    /// The same by steps: `[steps][channels]`.
    samples: Vec<Vec<i8>>,
    /// The step that comes next to a stream.
    next: usize,
    output: Vec<i8>,
}

impl Contestant {
    fn new(words: &[String]) -> Result<Contestant> {
        let [way, file, channels, steps] = words else {
            return Err("speed ours|stock|stream FILE CHANNELS STEPS".into());
        };
        let shape = Shape { channels: channels.parse()?, subjects: steps.parse()?, output_channel: 0 };
        let input = std::fs::read(Path::new(file).with_extension("input"))?;
        let input: Vec<i8> = input.into_iter().map(u8::cast_signed).collect();
        if input.len() != shape.channels * shape.subjects {
            return Err(format!("{} bytes of input are not [{channels}][{steps}]", input.len()).into());
        }
        let file = &std::fs::read(file)?[..];
        let way = way.as_str();
        let runtime = match way {
            "ours" => Runtime::Ours(Int8Model::load(file, shape)?),
            "stream" => Runtime::Stream(StreamedModel::load(file, shape, 1)?),
            "stock" => {
                let fact = InferenceFact::dt_shape(i8::datum_type(), [1, shape.channels, shape.subjects]);
                let model = onnx().model_for_read(&mut &*file)?.with_input_fact(0, fact)?;
                Runtime::Stock(model.into_optimized()?.into_runnable()?.spawn()?)
            }
            other => return Err(format!("there is no way {other:?}").into()),
        };
        let column = |step| input.iter().skip(step).step_by(shape.subjects).copied().collect();
        let samples = (0..shape.subjects).map(column).collect();
        let output = vec![0; if way == "stream" { 1 } else { shape.subjects }];
        Ok(Contestant { runtime, shape, input, samples, next: 0, output })
    }

    /// One window, or one sample.
    fn once(&mut self) -> Result<()> {
        match &mut self.runtime {
            Runtime::Ours(model) => model.infer(black_box(&self.input), &mut self.output)?,
            Runtime::Stock(state) => {
                let Shape { channels, subjects, .. } = self.shape;
                let input = Tensor::from_shape(&[1, channels, subjects], black_box(&self.input))?;
                let results = state.run(tvec!(input.into_tvalue()))?;
                let all = results[0].to_plain_array_view::<i8>()?;
                let row = all.as_slice().and_then(|all| all.get(..subjects)).ok_or("no output")?;
                self.output.copy_from_slice(row);
            }
            Runtime::Stream(model) => {
                model.push(black_box(&self.samples[self.next]), &mut self.output)?;
                self.next = (self.next + 1) % self.samples.len();
            }
        }
        black_box(&self.output);
        Ok(())
    }

    /// The output of a window; of a stream that of its last sample, after all that stand in the window.
    fn run(&mut self) -> Result<&[i8]> {
        let samples = if matches!(self.runtime, Runtime::Stream(_)) { self.samples.len() } else { 1 };
        self.next = 0;
        for _ in 0..samples {
            self.once()?;
        }
        Ok(&self.output)
    }

    fn time(&mut self, repetitions: u32) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..repetitions {
            self.once()?;
        }
        Ok(start.elapsed())
    }
}
