//! Layers in a row over a fixed number of steps.

use crate::kernel::Kernel;
use crate::layer::Layer;
use crate::{OUTPUTS, STEPS, WORD};
use thiserror::Error;

/// The most words that the activations of a stack take together: 4 MB.
const MAX_WORDS: usize = 1 << 20;

/// Layers in a row, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    placed: Vec<Placed>,
    kernel: Kernel,
}

/// A layer with what the number of steps decides.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    layer: Layer,
    /// Input steps without padding, and output steps.
    steps: (usize, usize),
    /// Words from one phase of four channels to the next.
    pitch: usize,
    /// Where the word of each four channels and each tap lies, seen from the first output step.
    taps: Vec<u32>,
}

/// The activations between layers, and the last output: what a run needs besides the weights.
#[derive(Clone, Debug)]
pub struct Scratch {
    inputs: Vec<Vec<u32>>,
    output: Vec<u32>,
}

/// Layers that are no stack.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StackError {
    /// There is no layer, or no input step.
    #[error("a stack has at least one layer and one step")]
    Empty,
    /// Two neighbours differ in their channels.
    #[error("layer {layer} takes {inputs} channels, the one before it gives {outputs}")]
    Channels {
        /// The second of the two, counted from 0.
        layer: usize,
        /// What it takes.
        inputs: usize,
        /// What the first gives.
        outputs: usize,
    },
    /// A kernel is longer than its padded input.
    #[error("layer {layer} has no output: its kernel is longer than its {steps} steps with padding")]
    NoOutput {
        /// The layer, counted from 0.
        layer: usize,
        /// Its input steps without padding.
        steps: usize,
    },
    /// The activations take too much memory.
    #[error("the activations take more than {} bytes", MAX_WORDS * 4)]
    TooLarge,
}

impl Stack {
    /// A stack over so many input steps, for this machine's best kernel.
    ///
    /// # Errors
    /// [`StackError`]: the layers do not fit each other or the steps, or take too much memory.
    pub fn new(layers: Vec<Layer>, steps: usize) -> Result<Stack, StackError> {
        if layers.is_empty() || steps == 0 {
            return Err(StackError::Empty);
        }
        let (mut placed, mut words) = (Vec::<Placed>::with_capacity(layers.len()), 0_usize);
        let mut steps_in = steps;
        for (place, layer) in layers.into_iter().enumerate() {
            let outputs = placed.last().map_or(layer.inputs, |before| before.layer.outputs);
            if outputs != layer.inputs {
                return Err(StackError::Channels { layer: place, inputs: layer.inputs, outputs });
            }
            if steps_in > MAX_WORDS {
                return Err(StackError::TooLarge);
            }
            let steps_out = layer.span.steps_out(steps_in);
            if steps_out == 0 {
                return Err(StackError::NoOutput { layer: place, steps: steps_in });
            }
            let next = Placed::new(layer, (steps_in, steps_out));
            // Saturating in 64 bits is not needed: every factor is at most 2^21.
            words += next.words() + next.layer.outputs.div_ceil(WORD) * steps_out;
            if words > MAX_WORDS {
                return Err(StackError::TooLarge);
            }
            placed.push(next);
            steps_in = steps_out;
        }
        Ok(Stack { placed, kernel: Kernel::best() })
    }

    /// The same with another kernel, for tests and comparisons.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Stack {
        self.kernel = kernel;
        self
    }

    /// The kernel that it runs with.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Its layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.placed.iter().map(|p| &p.layer)
    }

    /// Input `[channels][steps]`.
    #[must_use]
    pub fn input_shape(&self) -> (usize, usize) {
        self.placed.first().map_or((0, 0), |p| (p.layer.inputs, p.steps.0))
    }

    /// Output `[channels][steps]`.
    #[must_use]
    pub fn output_shape(&self) -> (usize, usize) {
        self.placed.last().map_or((0, 0), |p| (p.layer.outputs, p.steps.1))
    }

    /// What a run needs: made once, used again.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        let filled = |p: &Placed| vec![u32::from_le_bytes([p.layer.x_zero as u8; WORD]); p.words()];
        let (channels, steps) = self.output_shape();
        Scratch {
            inputs: self.placed.iter().map(filled).collect(),
            output: vec![0; channels.div_ceil(WORD) * steps],
        }
    }

    /// Runs the stack: `[channels][steps]` in and out. Allocates nothing.
    ///
    /// # Panics
    /// If `input`, `output` or `scratch` are not of this stack's shapes.
    pub fn run(&self, input: &[i8], scratch: &mut Scratch, output: &mut [i8]) {
        let (channels, steps) = self.output_shape();
        assert_eq!(output.len(), channels * steps);
        self.compute(input, scratch);
        for (channel, row) in output.chunks_exact_mut(steps).enumerate() {
            scratch.unpack(channel, row);
        }
    }

    /// The same, of which one output channel is wanted: `[steps]` out.
    ///
    /// # Panics
    /// As [`Stack::run`], and if there is no such channel.
    pub fn run_channel(&self, input: &[i8], scratch: &mut Scratch, channel: usize, output: &mut [i8]) {
        let (channels, steps) = self.output_shape();
        assert!(channel < channels && output.len() == steps);
        self.compute(input, scratch);
        scratch.unpack(channel, output);
    }

    fn compute(&self, input: &[i8], scratch: &mut Scratch) {
        let ((channels, steps), (_, steps_out)) = (self.input_shape(), self.output_shape());
        assert_eq!(input.len(), channels * steps);
        assert_eq!(scratch.inputs.len(), self.placed.len());
        if let (Some(first), Some(words)) = (self.placed.first(), scratch.inputs.first_mut()) {
            first.enter(input, words);
        }
        for (place, layer) in self.placed.iter().enumerate() {
            let (before, behind) = scratch.inputs.split_at_mut(place + 1);
            match (self.placed.get(place + 1), behind.first_mut()) {
                (Some(next), Some(words)) => layer.run(self.kernel, &before[place], |group, from, values| {
                    next.write(words, group, from, values);
                }),
                _ => layer.run(self.kernel, &before[place], |group, from, values| {
                    scratch.output[group * steps_out + from..][..values.len()].copy_from_slice(values);
                }),
            }
        }
    }
}

impl Scratch {
    /// One channel of the output, over all its steps.
    fn unpack(&self, channel: usize, row: &mut [i8]) {
        let words = &self.output[channel / WORD * row.len()..][..row.len()];
        let shift = 8 * (channel % WORD) as u32;
        row.iter_mut().zip(words).for_each(|(value, word)| *value = (word >> shift) as u8 as i8);
    }
}

impl Placed {
    fn new(layer: Layer, steps: (usize, usize)) -> Placed {
        let padded = steps.0 + layer.span.pads.0 + layer.span.pads.1;
        let reach = layer.span.reach();
        // A tile may begin at the last output and read a whole tile of words beyond the farthest tap.
        let read = steps.1.next_multiple_of(STEPS) + reach / layer.span.stride + 1;
        let pitch = read.max(padded.div_ceil(layer.span.stride));
        let taps = (0..layer.inputs.div_ceil(WORD))
            .flat_map(|group| (0..layer.span.taps).map(move |tap| (group, tap)))
            .map(|(group, tap)| {
                let ahead = tap * layer.span.dilation;
                ((group * layer.span.stride + ahead % layer.span.stride) * pitch + ahead / layer.span.stride)
                    as u32
            })
            .collect();
        Placed { layer, steps, pitch, taps }
    }

    /// Words of its input, padding and all.
    fn words(&self) -> usize {
        self.layer.inputs.div_ceil(WORD) * self.layer.span.stride * self.pitch
    }

    /// Takes `[channels][steps]` in.
    fn enter(&self, input: &[i8], words: &mut [u32]) {
        let steps = self.steps.0;
        let mut values = [0; STEPS];
        for (group, rows) in input.chunks(WORD * steps).enumerate() {
            for from in (0..steps).step_by(STEPS) {
                let values = &mut values[..STEPS.min(steps - from)];
                values.fill(0);
                for (channel, row) in rows.chunks_exact(steps).enumerate() {
                    let shift = 8 * channel as u32;
                    for (value, x) in values.iter_mut().zip(&row[from..]) {
                        *value |= u32::from(*x as u8) << shift;
                    }
                }
                self.write(words, group, from, values);
            }
        }
    }

    /// Writes neighbouring steps of four channels into its input.
    #[inline]
    fn write(&self, words: &mut [u32], group: usize, from: usize, values: &[u32]) {
        let (stride, first) = (self.layer.span.stride, from + self.layer.span.pads.0);
        let row = &mut words[group * stride * self.pitch..][..stride * self.pitch];
        if stride == 1 {
            row[first..][..values.len()].copy_from_slice(values);
        } else {
            for (place, value) in (first..).zip(values) {
                row[place % stride * self.pitch + place / stride] = *value;
            }
        }
    }

    /// Computes all outputs and hands them on: four channels, the first step, the words.
    #[inline]
    fn run(&self, kernel: Kernel, words: &[u32], mut give: impl FnMut(usize, usize, &[u32])) {
        let layer = &self.layer;
        let groups = layer.outputs.div_ceil(WORD);
        for (block, outlet) in layer.outlets.iter().enumerate() {
            let weights = &layer.weights[block * self.taps.len()..][..self.taps.len()];
            for from in (0..self.steps.1).step_by(STEPS) {
                let tile = kernel.tile(&words[from..], &self.taps, weights, outlet, layer.y_zero);
                let count = STEPS.min(self.steps.1 - from);
                for (half, values) in tile.iter().enumerate() {
                    let group = block * (OUTPUTS / WORD) + half;
                    if group < groups {
                        give(group, from, &values[..count]);
                    }
                }
            }
        }
    }
}
