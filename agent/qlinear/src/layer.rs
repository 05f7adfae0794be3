//! One `QLinearConv`: checked, and its weights in the order in which the kernels take them.

use crate::{OUTPUTS, WORD, Weights};
use thiserror::Error;

/// The most weights of a layer: 1 MB.
const MAX_WEIGHTS: usize = 1 << 20;
/// The longest reach of kernel, stride, dilation or padding, in steps.
const MAX_REACH: usize = 1 << 16;

/// A `QLinearConv` as ONNX states it, for one time axis and int8 throughout.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Length of the kernel in taps.
    pub taps: usize,
    /// Steps between two outputs.
    pub stride: usize,
    /// Steps between two taps.
    pub dilation: usize,
    /// Steps of padding before and behind; they hold `x_zero`.
    pub pads: (usize, usize),
    /// `[outputs][inputs][taps]`; their zero point is 0.
    pub weights: Vec<i8>,
    /// One an output channel, in units of `x_scale * w_scale`; empty for none.
    pub bias: Vec<i32>,
    /// Scale of the input, above 0.
    pub x_scale: f32,
    /// Zero point of the input.
    pub x_zero: i8,
    /// Scale of the weights: one, or one an output channel; above 0.
    pub w_scales: Vec<f32>,
    /// Scale of the output, above 0.
    pub y_scale: f32,
    /// Zero point of the output.
    pub y_zero: i8,
}

/// How a kernel lies over the steps of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Length of the kernel in taps, at least 1.
    pub taps: usize,
    /// Steps between two outputs, at least 1.
    pub stride: usize,
    /// Steps between two taps.
    pub dilation: usize,
    /// Steps of padding before and behind.
    pub pads: (usize, usize),
}

impl Span {
    /// Steps from the first tap to the last.
    #[must_use]
    pub const fn reach(&self) -> usize {
        (self.taps - 1) * self.dilation
    }

    /// How many outputs come of so many input steps; 0 if the kernel is longer than the padded input.
    #[must_use]
    pub const fn steps_out(&self, steps: usize) -> usize {
        let padded = steps + self.pads.0 + self.pads.1;
        if padded <= self.reach() { 0 } else { (padded - self.reach() - 1) / self.stride + 1 }
    }
}

/// What a layer cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayerError {
    /// A dimension is zero or too large.
    #[error("{what} is {found}, at least 1 and at most {most} are taken")]
    Dimension {
        /// Which.
        what: &'static str,
        /// What was given.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// A list is not as long as the dimensions say.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// Which.
        what: &'static str,
        /// What was given.
        found: usize,
        /// What the dimensions say.
        expected: String,
    },
    /// A scale is not a finite number above zero.
    #[error("{what} is not a finite number above 0")]
    Scale {
        /// Which.
        what: &'static str,
    },
    /// Some input could take the sum of this channel past 32 bits.
    #[error("the sum of output channel {output} can overflow 32 bits")]
    Overflow {
        /// The channel.
        output: usize,
    },
}

/// A checked layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) span: Span,
    pub(crate) x_zero: i8,
    pub(crate) y_zero: i8,
    /// `[outputs / 8][inputs / 4][taps]`, filled up with zeros.
    pub(crate) weights: Vec<Weights>,
    /// Of each eight output channels.
    pub(crate) outlets: Vec<Outlet>,
}

/// What turns the sums of eight output channels into int8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlet {
    /// Bias, less what the input's zero point adds to the sum.
    pub(crate) offset: [i32; OUTPUTS],
    /// The same where a kernel sums over `x + 128`.
    pub(crate) offset_unsigned: [i32; OUTPUTS],
    /// `x_scale * w_scale / y_scale`.
    pub(crate) multiplier: [f32; OUTPUTS],
}

impl Layer {
    /// Checks a layer and packs it.
    ///
    /// # Errors
    /// [`LayerError`]: a dimension, a list, a scale, or a sum that could overflow.
    pub fn new(spec: &LayerSpec) -> Result<Layer, LayerError> {
        check_dimensions(spec)?;
        let words = spec.inputs.div_ceil(WORD);
        let blocks = spec.outputs.div_ceil(OUTPUTS);
        let mut weights = vec![[0; OUTPUTS * WORD]; blocks * words * spec.taps];
        let mut outlets =
            vec![
                Outlet { offset: [0; OUTPUTS], offset_unsigned: [0; OUTPUTS], multiplier: [0.0; OUTPUTS] };
                blocks
            ];
        for (output, rows) in spec.weights.chunks_exact(spec.inputs * spec.taps).enumerate() {
            let (block, lane) = (output / OUTPUTS, output % OUTPUTS);
            for (input, row) in rows.chunks_exact(spec.taps).enumerate() {
                for (tap, weight) in row.iter().enumerate() {
                    let place = (block * words + input / WORD) * spec.taps + tap;
                    weights[place][lane * WORD + input % WORD] = *weight;
                }
            }
            let bias = i64::from(spec.bias.get(output).copied().unwrap_or(0));
            let reach: i64 = rows.iter().map(|w| 255 * i64::from(w.unsigned_abs())).sum();
            if 2 * reach + bias.abs() > i64::from(i32::MAX) {
                return Err(LayerError::Overflow { output });
            }
            // Within 32 bits: the sum of the weights times 255 is, as was just seen.
            let sum: i32 = rows.iter().map(|w| i32::from(*w)).sum();
            let outlet = &mut outlets[block];
            outlet.offset[lane] = bias as i32 - i32::from(spec.x_zero) * sum;
            outlet.offset_unsigned[lane] = bias as i32 - (i32::from(spec.x_zero) + 128) * sum;
            let w_scale = spec.w_scales[if spec.w_scales.len() == 1 { 0 } else { output }];
            outlet.multiplier[lane] = spec.x_scale * w_scale / spec.y_scale;
        }
        Ok(Layer {
            inputs: spec.inputs,
            outputs: spec.outputs,
            span: Span { taps: spec.taps, stride: spec.stride, dilation: spec.dilation, pads: spec.pads },
            x_zero: spec.x_zero,
            y_zero: spec.y_zero,
            weights,
            outlets,
        })
    }

    /// Output channels.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// How its kernel lies over time.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Multiply-adds of one output step.
    #[must_use]
    pub const fn multiply_adds(&self) -> usize {
        self.inputs * self.outputs * self.span.taps
    }
}

fn check_dimensions(spec: &LayerSpec) -> Result<(), LayerError> {
    let dimensions = [
        ("inputs", spec.inputs),
        ("outputs", spec.outputs),
        ("taps", spec.taps),
        ("stride", spec.stride),
        ("dilation", spec.dilation),
    ];
    for (what, found) in dimensions {
        if !(1..=MAX_REACH).contains(&found) {
            return Err(LayerError::Dimension { what, found, most: MAX_REACH });
        }
    }
    for (what, found) in [
        ("padding", spec.pads.0.max(spec.pads.1)),
        ("the kernel's reach", (spec.taps - 1).saturating_mul(spec.dilation)),
    ] {
        if found > MAX_REACH {
            return Err(LayerError::Dimension { what, found, most: MAX_REACH });
        }
    }
    // Filled up to whole words and blocks, that is what the layer takes.
    let packed = [spec.inputs.next_multiple_of(WORD), spec.outputs.next_multiple_of(OUTPUTS), spec.taps];
    let packed = packed.iter().fold(1_usize, |all, d| all.saturating_mul(*d));
    if packed > MAX_WEIGHTS {
        return Err(LayerError::Dimension {
            what: "the number of weights",
            found: packed,
            most: MAX_WEIGHTS,
        });
    }
    let weights = spec.inputs * spec.outputs * spec.taps;
    let length = |what, found, expected: String| Err(LayerError::Length { what, found, expected });
    if spec.weights.len() != weights {
        return length("weights", spec.weights.len(), weights.to_string());
    }
    if !spec.bias.is_empty() && spec.bias.len() != spec.outputs {
        return length("bias", spec.bias.len(), spec.outputs.to_string());
    }
    if spec.w_scales.len() != 1 && spec.w_scales.len() != spec.outputs {
        return length("weight scales", spec.w_scales.len(), format!("1 or {}", spec.outputs));
    }
    let sound = |scale: &f32| scale.is_finite() && *scale > 0.0;
    let scales = [("x_scale", sound(&spec.x_scale)), ("y_scale", sound(&spec.y_scale))];
    let scales = scales.into_iter().chain([("a weight scale", spec.w_scales.iter().all(sound))]);
    for (what, is_sound) in scales {
        if !is_sound {
            return Err(LayerError::Scale { what });
        }
    }
    Ok(())
}
