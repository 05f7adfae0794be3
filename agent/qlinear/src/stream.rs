//! Layers in a row over samples that come one by one: what a whole window would compute again is kept.
//!
//! Each layer holds the inputs that its kernel still reaches, in a ring. A new sample makes one column a layer, and the
//! result is that of the whole window's last step, to the bit, once as many samples have come as the layers look back.

use crate::kernel::Kernel;
use crate::layer::Layer;
use crate::{OUTPUTS, Stack, WORD};
use thiserror::Error;

/// The most words that the rings of all subjects take together: 4 MB.
const MAX_WORDS: usize = 1 << 20;

/// A causal [`Stack`] as a stream, for several subjects side by side, each with a past of its own.
#[derive(Clone, Debug)]
pub struct Stream {
    rings: Vec<Ring>,
    kernel: Kernel,
    looks_back: usize,
    /// Samples of each subject since it was made or last forgotten, held at `looks_back`.
    seen: Vec<usize>,
    /// What one layer's kernel meets, in the order of its weights.
    met: Vec<u32>,
    /// The last layer's column.
    result: Vec<u32>,
}

/// A layer and the inputs that it still reaches.
#[derive(Clone, Debug)]
struct Ring {
    layer: Layer,
    /// Words of four channels in a column.
    groups: usize,
    /// Columns that are kept: the kernel's reach and the step itself.
    slots: usize,
    /// Where the column of this step goes.
    at: usize,
    /// `[subjects][groups][slots]`.
    words: Vec<u32>,
    /// The slot of each tap in this step.
    taps: Vec<usize>,
}

/// A stack that can't be a stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// A layer gives fewer outputs than it takes steps.
    #[error("layer {layer} has stride {stride}: only layers that answer every step are taken")]
    Stride {
        /// The layer, counted from 0.
        layer: usize,
        /// Its stride.
        stride: usize,
    },
    /// A layer is padded behind its last step.
    #[error("layer {layer} looks {steps} steps ahead: pad it in front only")]
    Ahead {
        /// The layer, counted from 0.
        layer: usize,
        /// The steps of padding behind.
        steps: usize,
    },
    /// The window would cut off what a stream remembers.
    #[error("the layers look back over {reach} steps, the window has {steps}")]
    Window {
        /// Steps that decide one output, its own included.
        reach: usize,
        /// Steps of the window.
        steps: usize,
    },
    /// There is no subject, or the rings take too much memory.
    #[error("{subjects} subjects: there must be one, and their past may take {} bytes", MAX_WORDS * 4)]
    Subjects {
        /// How many were asked for.
        subjects: usize,
    },
}

impl Stream {
    /// A stream with the kernel of the stack, over no past.
    ///
    /// # Errors
    /// [`StreamError`]: a layer looks ahead or skips steps, the stack's window is shorter than what its layers look
    /// back, or the subjects take too much memory.
    pub fn new(stack: &Stack, subjects: usize) -> Result<Stream, StreamError> {
        let mut looks_back = 1;
        for (place, layer) in stack.layers().enumerate() {
            if layer.span.stride != 1 {
                return Err(StreamError::Stride { layer: place, stride: layer.span.stride });
            }
            if layer.span.pads.1 != 0 {
                return Err(StreamError::Ahead { layer: place, steps: layer.span.pads.1 });
            }
            looks_back += layer.span.reach();
        }
        let (_, steps) = stack.input_shape();
        if looks_back > steps {
            return Err(StreamError::Window { reach: looks_back, steps });
        }
        let columns = stack.layers().map(|layer| layer.inputs.div_ceil(WORD) * (layer.span.reach() + 1));
        // Neither factor exceeds what the window's own words were held to.
        let words = columns.sum::<usize>().saturating_mul(subjects);
        if subjects == 0 || words > MAX_WORDS {
            return Err(StreamError::Subjects { subjects });
        }
        let (channels, _) = stack.output_shape();
        Ok(Stream {
            rings: stack.layers().map(|layer| Ring::new(layer, subjects)).collect(),
            kernel: stack.kernel(),
            looks_back,
            seen: vec![0; subjects],
            met: vec![0; stack.layers().map(|l| l.inputs.div_ceil(WORD) * l.span.taps).max().unwrap_or(0)],
            result: vec![0; channels.div_ceil(OUTPUTS) * (OUTPUTS / WORD)],
        })
    }

    /// How many subjects it keeps apart.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.seen.len()
    }

    /// How many samples decide one output, its own included.
    #[must_use]
    pub const fn looks_back(&self) -> usize {
        self.looks_back
    }

    /// Input and output channels.
    #[must_use]
    pub fn channels(&self) -> (usize, usize) {
        let ends = self.rings.first().zip(self.rings.last());
        ends.map_or((0, 0), |(first, last)| (first.layer.inputs, last.layer.outputs))
    }

    /// Whether a subject's latest output rests on as many samples as decide one: before, it is no answer.
    #[must_use]
    pub fn is_warm(&self, subject: usize) -> bool {
        self.seen.get(subject).is_some_and(|seen| *seen == self.looks_back)
    }

    /// Forgets what came of a subject, as after a gap: its next sample is its first. What the rings still hold has left
    /// them by the time it is warm again.
    pub fn forget(&mut self, subject: usize) {
        if let Some(seen) = self.seen.get_mut(subject) {
            *seen = 0;
        }
    }

    /// Takes the next sample of every subject: `[channels][subjects]` in and out. Allocates nothing.
    ///
    /// # Panics
    /// If `sample` or `output` is not of this stream's shape.
    pub fn push(&mut self, sample: &[i8], output: &mut [i8]) {
        let (subjects, (inputs, outputs)) = (self.subjects(), self.channels());
        assert_eq!((sample.len(), output.len()), (inputs * subjects, outputs * subjects));
        self.rings.iter_mut().for_each(Ring::turn);
        for subject in 0..subjects {
            self.compute(sample, subject);
            for (channel, row) in output.chunks_exact_mut(subjects).enumerate() {
                row[subject] = self.result[channel / WORD].to_le_bytes()[channel % WORD] as i8;
            }
            self.seen[subject] = (self.seen[subject] + 1).min(self.looks_back);
        }
    }

    /// One subject's column through all layers.
    fn compute(&mut self, sample: &[i8], subject: usize) {
        let subjects = self.seen.len();
        if let Some(first) = self.rings.first_mut() {
            for (group, rows) in sample.chunks(WORD * subjects).enumerate() {
                let mut word = [0; WORD];
                for (byte, row) in word.iter_mut().zip(rows.chunks_exact(subjects)) {
                    *byte = row[subject] as u8;
                }
                first.put(subject, group, u32::from_le_bytes(word));
            }
        }
        for place in 0..self.rings.len() {
            let (before, behind) = self.rings.split_at_mut(place + 1);
            let ring = &before[place];
            let met = &mut self.met[..ring.groups * ring.layer.span.taps];
            ring.meet(subject, met);
            let weights = ring.layer.weights.chunks_exact(met.len());
            for (block, (outlet, weights)) in ring.layer.outlets.iter().zip(weights).enumerate() {
                let words = self.kernel.column(met, weights, outlet, ring.layer.y_zero);
                let groups = block * words.len()..;
                match behind.first_mut() {
                    Some(next) => groups.zip(words).for_each(|(group, word)| next.put(subject, group, word)),
                    None => self.result[groups][..words.len()].copy_from_slice(&words),
                }
            }
        }
    }
}

impl Ring {
    fn new(layer: &Layer, subjects: usize) -> Ring {
        let (groups, slots) = (layer.inputs.div_ceil(WORD), layer.span.reach() + 1);
        Ring {
            groups,
            slots,
            at: 0,
            words: vec![0; subjects * groups * slots],
            taps: vec![0; layer.span.taps],
            layer: layer.clone(),
        }
    }

    /// The next step: the oldest column makes room.
    fn turn(&mut self) {
        self.at = if self.at + 1 == self.slots { 0 } else { self.at + 1 };
        // The first tap reaches farthest back: to the column right after this one.
        let mut slot = if self.at + 1 == self.slots { 0 } else { self.at + 1 };
        for tap in &mut self.taps {
            *tap = slot;
            slot += self.layer.span.dilation;
            slot -= if slot >= self.slots { self.slots } else { 0 };
        }
    }

    /// Writes four channels of this step; those of a filled-up block that the layer does not take are dropped.
    #[inline]
    fn put(&mut self, subject: usize, group: usize, word: u32) {
        if group < self.groups {
            self.words[(subject * self.groups + group) * self.slots + self.at] = word;
        }
    }

    /// The words that the kernel meets in this step: of each four channels, one a tap.
    #[inline]
    fn meet(&self, subject: usize, met: &mut [u32]) {
        let past = &self.words[subject * self.groups * self.slots..][..self.groups * self.slots];
        for (met, past) in met.chunks_exact_mut(self.taps.len()).zip(past.chunks_exact(self.slots)) {
            met.iter_mut().zip(&self.taps).for_each(|(word, slot)| *word = past[*slot]);
        }
    }
}
