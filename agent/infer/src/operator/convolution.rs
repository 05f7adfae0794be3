//! `QLinearConv` over one time axis, and rows of them as one operator.
//!
//! A convolution that only the next one reads is fused with it: activations stay in the kernels' layout from the
//! first layer to the last, and a model of plain convolutions is one node with one buffer.

use super::{constant, scalar};
use std::sync::Arc;
use telltale_qlinear::{Layer, LayerSpec, Scratch, Span, Stack};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operands: x, its scale and zero point, w, its scales and zero points, y's scale and zero point, bias.
const OPERANDS: [usize; 2] = [8, 9];

/// Reads the node's attributes.
pub(super) fn build(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let list = |name: &str, default: &[usize]| -> TractResult<Vec<usize>> {
        let found = node.get_attr_opt_vec::<usize>(name)?.unwrap_or_else(|| default.to_vec());
        ensure!(
            found.len() == default.len(),
            "{name} has {} elements: convolutions over one axis are taken",
            found.len()
        );
        Ok(found)
    };
    let automatic = node.get_attr_opt::<String>("auto_pad")?;
    ensure!(automatic.is_none_or(|a| a == "NOTSET"), "auto_pad is not taken: state pads");
    ensure!(node.get_attr_opt::<usize>("group")?.is_none_or(|g| g == 1), "only group 1 is taken");
    let kernel = node.get_attr_opt_vec::<usize>("kernel_shape")?;
    ensure!(kernel.as_ref().is_none_or(|k| k.len() == 1), "kernel_shape is not of one axis");
    let pads = list("pads", &[0, 0])?;
    let convolution = Convolution {
        kernel: kernel.map(|k| k[0]),
        stride: list("strides", &[1])?[0],
        dilation: list("dilations", &[1])?[0],
        pads: (pads[0], pads[1]),
        operands: node.input.len(),
    };
    Ok((expand(convolution), vec![]))
}

/// The attributes of a `QLinearConv`.
#[derive(Clone, Debug)]
struct Convolution {
    kernel: Option<usize>,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
    operands: usize,
}

impl Convolution {
    /// Attributes and steps were bounded before: no sum here overflows.
    fn steps_out(&self, steps: usize, taps: usize) -> TractResult<usize> {
        ensure!(taps > 0 && self.stride > 0, "a kernel without taps or stride");
        let Convolution { stride, dilation, pads, .. } = *self;
        match (Span { taps, stride, dilation, pads }).steps_out(steps) {
            0 => bail!("the kernel is longer than the padded input"),
            steps => Ok(steps),
        }
    }
}

impl Expansion for Convolution {
    fn name(&self) -> StaticName {
        "QLinearConv".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(OPERANDS.contains(&self.operands), "{} operands; 8 or 9 are taken", self.operands);
        check_input_arity(inputs, self.operands)?;
        check_output_arity(outputs, 1)?;
        for data in [&inputs[0], &inputs[3], &outputs[0]] {
            s.equals(&data.datum_type, i8::datum_type())?;
            s.equals(&data.rank, 3)?;
        }
        s.equals(&inputs[0].shape[0], 1.to_dim())?;
        s.equals(&outputs[0].shape[0], 1.to_dim())?;
        s.equals(&inputs[0].shape[1], &inputs[3].shape[1])?;
        s.equals(&outputs[0].shape[1], &inputs[3].shape[0])?;
        s.given_2(&inputs[0].shape[2], &inputs[3].shape[2], move |s, steps, taps| {
            let steps = self.steps_out(steps.to_usize()?, taps.to_usize()?)?;
            s.equals(&outputs[0].shape[2], steps.to_dim())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let shape = fact.shape.as_concrete().context("the input's shape is open")?.to_vec();
        let [1, channels, steps] = shape[..] else {
            bail!("the input is {shape:?}, not [1, channels, steps]")
        };
        let weights = model.outlet_fact(inputs[3])?.shape.as_concrete().context("open weights")?.to_vec();
        let [outputs, of, taps] = weights[..] else { bail!("the weights are {weights:?}") };
        ensure!(of == channels, "the weights are for {of} channels, the input has {channels}");
        ensure!(self.kernel.is_none_or(|k| k == taps), "kernel_shape is not that of the weights");
        let zeros = constant::<i8>(model, inputs[5], "the weights' zero point")?;
        ensure!(
            zeros.iter().all(|z| *z == 0),
            "the weights' zero point is not 0: quantize them symmetrically"
        );
        let bias = inputs.get(8).map(|bias| constant::<i32>(model, *bias, "the bias")).transpose()?;
        let layer = Layer::new(&LayerSpec {
            inputs: channels,
            outputs,
            taps,
            stride: self.stride,
            dilation: self.dilation,
            pads: self.pads,
            weights: constant(model, inputs[3], "the weights")?,
            bias: bias.unwrap_or_default(),
            x_scale: scalar(model, inputs[1], "x_scale")?,
            x_zero: scalar(model, inputs[2], "x_zero_point")?,
            w_scales: constant(model, inputs[4], "w_scale")?,
            y_scale: scalar(model, inputs[6], "y_scale")?,
            y_zero: scalar(model, inputs[7], "y_zero_point")?,
        })?;
        let row = Convolutions { stack: Arc::new(Stack::new(vec![layer], steps)?) };
        model.wire_node(prefix, row, &inputs[..1])
    }
}

/// Convolutions in a row: int8 `[1, channels, steps]` in and out.
#[derive(Clone, Debug)]
pub(crate) struct Convolutions {
    stack: Arc<Stack>,
}

impl PartialEq for Convolutions {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stack, &other.stack)
    }
}

impl Eq for Convolutions {}

impl Convolutions {
    /// What it computes.
    pub(crate) const fn stack(&self) -> &Arc<Stack> {
        &self.stack
    }

    fn run(&self, scratch: &mut Scratch, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let (channels, steps) = self.stack.output_shape();
        let mut output = Tensor::zero::<i8>(&[1, channels, steps])?;
        let x = input.try_as_plain_ram()?;
        self.stack.run(x.as_slice::<i8>()?, scratch, output.try_as_plain_ram_mut()?.as_slice_mut::<i8>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl Op for Convolutions {
    fn name(&self) -> StaticName {
        "QLinearConvs".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let (layers, work) = self.stack.layers().fold((0, 0), |(n, w), l| (n + 1, w + l.multiply_adds()));
        Ok(vec![format!(
            "{layers} int8 layers, {work} multiply-adds a step, {:?} kernel",
            self.stack.kernel()
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for Convolutions {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.run(&mut self.stack.scratch(), inputs).map(Some)
    }

    fn state(&self, _: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(Buffer(self.stack.scratch()))))
    }
}

impl TypedOp for Convolutions {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (channels, steps) = self.stack.input_shape();
        ensure!(inputs.len() == 1 && inputs[0].shape.as_concrete() == Some(&[1, channels, steps]));
        let (channels, steps) = self.stack.output_shape();
        Ok(tvec!(i8::fact([1, channels, steps])))
    }

    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        let Some(next) = model.single_succ(node.id)? else { return Ok(None) };
        let Some(behind) = next.op_as::<Convolutions>() else { return Ok(None) };
        let layers = self.stack.layers().chain(behind.stack.layers()).cloned().collect();
        let stack = Arc::new(Stack::new(layers, self.stack.input_shape().1)?);
        TypedModelPatch::fuse_with_next(model, node, Convolutions { stack }).map(Some)
    }

    as_op!();
}

/// What one run needs and the next one uses again. Nothing in it outlives a run but the padding.
#[derive(Clone, Debug)]
struct Buffer(Scratch);

impl OpState for Buffer {
    fn eval(&mut self, _: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        op.downcast_ref::<Convolutions>().context("the state of another operator")?.run(&mut self.0, inputs)
    }

    fn reset_lanes(&mut self, _: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}
