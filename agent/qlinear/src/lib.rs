//! Int8 convolutions over time: ONNX's `QLinearConv`, one to many of them in a row, exact to the bit on every machine.
//!
//! A [`Layer`] is one `QLinearConv` of one time axis: group 1, any stride, dilation and padding, a scale for the whole
//! layer or one for each output channel. A [`Stack`] is layers in a row over a fixed number of time steps; running it
//! allocates nothing.
//!
//! A causal stack can also run as a [`Stream`]: one new sample, one column a layer, the same bytes.
//!
//! Activations lie as words of four channels, `[channels / 4][steps][4]`: one step of four channels is what a dot
//! product instruction takes, neighbouring steps are neighbouring words, and no column matrix is ever built. A stride
//! is dealt out into as many phases when a word is written, so that the kernels read neighbours always.
//!
//! The arithmetic is that of ONNX Runtime: the sum in i32, times one f32 (`x_scale * w_scale / y_scale`), clamped,
//! rounded half to even, plus the zero point. Sums cannot overflow: [`Layer::new`] refuses weights with which they
//! could. So each kernel (VNNI, AVX2, NEON's dot product, portable) gives the same bytes, which the tests hold against
//! vectors of ONNX Runtime and against a naive loop.

mod kernel;
mod layer;
mod requantize;
mod stack;
mod stream;

pub use kernel::Kernel;
pub use layer::{Layer, LayerError, LayerSpec, Span};
pub use stack::{Scratch, Stack, StackError};
pub use stream::{Stream, StreamError};

/// Channels in a word.
pub(crate) const WORD: usize = 4;
/// Output channels that a kernel computes together.
pub(crate) const OUTPUTS: usize = 8;
/// Time steps that a kernel computes together.
pub(crate) const STEPS: usize = 16;

/// The sums of one tile.
pub(crate) type Sums = [[i32; STEPS]; OUTPUTS];
/// The weights that one word meets: of each output channel of a tile, those of the word's channels.
pub(crate) type Weights = [i8; OUTPUTS * WORD];
