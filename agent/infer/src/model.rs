//! A loaded model: from bytes to a plan, and from int8 features to int8 logits.

use crate::operator::Convolutions;
use crate::{gate, operator, screen};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use telltale_core::model::Model;
use telltale_qlinear::{Scratch, Stack, StreamError};
use thiserror::Error;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// What a model is fed and what is read from it: int8 `[1, channels, subjects]` in, int8 of the same subjects out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Channels of the input, one a feature.
    pub channels: usize,
    /// Subjects: cells, say. They lie along the convolutions' axis, so that one run scores them all.
    pub subjects: usize,
    /// The output channel that holds the logit; the rest is padding.
    pub output_channel: usize,
}

/// An int8 model, ready to run on this machine.
pub struct Int8Model {
    program: Program,
    kernels: Vec<String>,
    shape: Shape,
}

/// How a loaded model runs.
enum Program {
    /// Convolutions in a row and nothing else: without tract, and without an allocation.
    Row { stack: Arc<Stack>, scratch: Scratch },
    /// Any other graph, as tract planned it.
    Graph {
        plan: Arc<TypedSimplePlan>,
        /// Buffers of the runs before; `None` after one that failed, whose half-done work nothing may see.
        state: Option<TypedSimpleState>,
    },
}

/// Why a model was not loaded, or gave no output.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file exceeds the limit.
    #[error("the model file has {bytes} bytes; at most {} are taken", screen::MAX_MODEL_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The bytes are no ONNX model, or not all of one.
    #[error("the file is not a whole ONNX model: {detail}")]
    NotOnnx {
        /// The parser's words.
        detail: String,
    },
    /// Something in the file that this runtime does not run.
    #[error("`{at}` in the model: {problem}")]
    Unsupported {
        /// The node or tensor.
        at: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Input or output is not what the vehicle feeds or reads.
    #[error("the model's {what} is {found}, expected {expected}")]
    Mismatch {
        /// Input or output.
        what: &'static str,
        /// Type and shape that are needed.
        expected: String,
        /// Type and shape of the model.
        found: String,
    },
    /// An operator that is none of ours.
    #[error("`{node}` ({operator}) is none of this runtime's int8 operators; export it as QLinearConv")]
    ForeignOperator {
        /// The node.
        node: String,
        /// Its operator after optimisation.
        operator: String,
    },
    /// The runtime refused.
    #[error("tract could not {stage} the model: {detail}")]
    Runtime {
        /// What was under way.
        stage: &'static str,
        /// Its words.
        detail: String,
    },
    /// The runtime panicked. The panic went no further than this model.
    #[error("tract panicked while it tried to {stage} the model: {detail}")]
    Panicked {
        /// What was under way.
        stage: &'static str,
        /// The panic's message.
        detail: String,
    },
    /// The model can't take its samples one by one.
    #[error("the model can't run on one sample after another: {why}")]
    NoStream {
        /// What stands in the way.
        why: String,
    },
    /// A caller's slice has the wrong length.
    #[error("the {what} slice has {found} elements, the model needs {expected}")]
    Length {
        /// Input or output.
        what: &'static str,
        /// What the model needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
}

impl Int8Model {
    /// Loads a model for this shape and this machine's kernels. Takes milliseconds and a few hundred kilobytes.
    ///
    /// # Errors
    /// [`ModelError`]: the bytes are not a model, not one of ours, or not of this shape.
    pub fn load(file: &[u8], shape: Shape) -> Result<Int8Model, ModelError> {
        let optimised = optimised(file, &shape)?;
        let kernels = kernels(&optimised);
        let program = match row(&optimised) {
            Some(stack) => Program::Row { scratch: stack.scratch(), stack },
            None => Program::Graph { plan: guarded("plan", || optimised.into_runnable())?, state: None },
        };
        Ok(Int8Model { program, kernels, shape })
    }

    /// Scores all subjects: `input` is `[channels][subjects]`, `output` one int8 a subject. Convolutions in a row allocate
    /// nothing; with a residual among them tract does.
    ///
    /// # Errors
    /// [`ModelError`]: a slice of the wrong length, or the runtime failed. The model can be run again.
    pub fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), ModelError> {
        let Shape { channels, subjects, output_channel } = self.shape;
        check_length("input", channels * subjects, input.len())?;
        check_length("output", subjects, output.len())?;
        match &mut self.program {
            Program::Row { stack, scratch } => guarded("run", || {
                stack.run_channel(input, scratch, output_channel, output);
                Ok(())
            }),
            Program::Graph { plan, state } => {
                let mut running = match state.take() {
                    Some(state) => state,
                    None => guarded("plan", || plan.spawn())?,
                };
                guarded("run", || {
                    let tensor = Tensor::from_shape(&[1, channels, subjects], input)?;
                    let results = running.run(tvec!(tensor.into_tvalue()))?;
                    let result = results.first().context("no output")?.to_plain_array_view::<i8>()?;
                    let row =
                        result.as_slice().and_then(|all| all.chunks_exact(subjects).nth(output_channel));
                    output.copy_from_slice(row.context("the output is not of its checked shape")?);
                    Ok(())
                })?;
                *state = Some(running);
                Ok(())
            }
        }
    }

    /// What the model was loaded for.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The nodes of the optimised graph that compute, each with its operator and what tract says of its kernel.
    #[must_use]
    pub fn kernels(&self) -> &[String] {
        &self.kernels
    }
}

/// Reads a model, holds it against the shape and gives the graph that computes it, checked.
pub(crate) fn optimised(file: &[u8], shape: &Shape) -> Result<TypedModel, ModelError> {
    let proto = guarded("read", || Ok(screen::read(file)))??;
    check_declaration(&proto, shape)?;
    let typed = guarded("type", || {
        let input = InferenceFact::dt_shape(i8::datum_type(), [1, shape.channels, shape.subjects]);
        operator::onnx().model_for_proto_model(&proto)?.with_input_fact(0, input)?.into_typed()
    })?;
    guarded("type", || gate::check_shapes(&typed, shape))??;
    let optimised = guarded("optimise", || typed.into_optimized())?;
    gate::check_integers(&optimised)?;
    Ok(optimised)
}

/// The convolutions of a graph that is one row of them from its input to its output.
pub(crate) fn row(optimised: &TypedModel) -> Option<Arc<Stack>> {
    let output = optimised.nodes.get(optimised.outputs.first()?.node)?;
    let stack = output.op_as::<Convolutions>()?.stack();
    (output.inputs.first() == optimised.inputs.first()).then(|| Arc::clone(stack))
}

fn kernels(optimised: &TypedModel) -> Vec<String> {
    let computing = optimised.nodes.iter().filter(|n| !matches!(n.op.name().as_ref(), "Const" | "Source"));
    computing
        .map(|n| {
            let info = n.op.info().unwrap_or_default().join("; ");
            format!("{} {} {info}", n.name, n.op.name()).trim_end().to_owned()
        })
        .collect()
}

impl From<StreamError> for ModelError {
    fn from(error: StreamError) -> ModelError {
        ModelError::NoStream { why: error.to_string() }
    }
}

impl Model for Int8Model {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        Int8Model::infer(self, input, output).map_err(|e| e.to_string())
    }
}

/// Holds what the file itself says of its input against the vehicle, for a clear word before tract's inference.
fn check_declaration(proto: &tract_onnx::pb::ModelProto, shape: &Shape) -> Result<(), ModelError> {
    let declared = proto.graph.as_ref().and_then(|g| g.input.first()).and_then(screen::declared);
    let expected = [1, shape.channels, shape.subjects];
    let fits = |dims: &[Option<i64>]| {
        let each = |(d, e): (&Option<i64>, usize)| d.is_none_or(|d| usize::try_from(d) == Ok(e));
        dims.len() == expected.len() && dims.iter().zip(expected).all(each)
    };
    match declared {
        Some((DataType::Int8, dims)) if fits(&dims) => Ok(()),
        other => Err(ModelError::Mismatch {
            what: "input",
            expected: format!("Int8 {expected:?}"),
            found: other
                .map_or_else(|| "undeclared".into(), |(kind, dims)| format!("{kind:?} {}", show(&dims))),
        }),
    }
}

fn show(dims: &[Option<i64>]) -> String {
    let each = dims.iter().take(8).map(|d| d.map_or_else(|| "N".to_owned(), |d| d.to_string()));
    format!("[{}]", each.collect::<Vec<_>>().join(", "))
}

pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), ModelError> {
    if expected == found { Ok(()) } else { Err(ModelError::Length { what, expected, found }) }
}

/// Calls into tract. Its panics become errors; nothing that the closure borrowed is used after one, except `output`,
/// which the caller may not read after an error.
pub(crate) fn guarded<T>(
    stage: &'static str,
    call: impl FnOnce() -> TractResult<T>,
) -> Result<T, ModelError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(ModelError::Runtime { stage, detail: format!("{e:#}") }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(ModelError::Panicked { stage, detail: text.unwrap_or("no message").to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_with_the_model_and_keeps_its_message() {
        let error = guarded("run", || -> TractResult<()> { panic!("index {} of {}", 9, 8) }).unwrap_err();
        assert_eq!(error.to_string(), "tract panicked while it tried to run the model: index 9 of 8");
        let error = guarded("run", || -> TractResult<()> { panic!("plain") }).unwrap_err();
        assert!(error.to_string().ends_with(": plain"), "{error}");
    }
}
