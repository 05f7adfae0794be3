//! The frame of a residual: two int8 tensors become floats, are added, and become int8 again, as ONNX Runtime
//! computes it. Nothing here multiplies two tensors.

use super::scalar;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

type Builder = fn(&ParsingContext, &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// The operators and what builds them.
pub(super) const BUILDERS: [(&str, Builder); 3] = [
    ("DequantizeLinear", |_, _| Ok((expand(Node::Dequantize), vec![]))),
    ("QuantizeLinear", |_, _| Ok((expand(Node::Quantize), vec![]))),
    ("Add", |_, _| Ok((expand(Node::Add), vec![]))),
];

/// A node before its constants are known.
#[derive(Clone, Copy, Debug)]
enum Node {
    Dequantize,
    Quantize,
    Add,
}

impl Expansion for Node {
    fn name(&self) -> StaticName {
        format!("{self:?}").into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let (from, to) = match self {
            Node::Dequantize => (i8::datum_type(), f32::datum_type()),
            Node::Quantize => (f32::datum_type(), i8::datum_type()),
            Node::Add => (f32::datum_type(), f32::datum_type()),
        };
        s.equals(&inputs[0].datum_type, from)?;
        s.equals(&outputs[0].datum_type, to)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        if matches!(self, Node::Add) {
            check_input_arity(inputs, 2)?;
            s.equals(&inputs[1].datum_type, from)?;
            return s.equals(&inputs[0].shape, &inputs[1].shape);
        }
        // Without a zero point the standard means uint8, which this runtime does not take.
        check_input_arity(inputs, 3)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if matches!(self, Node::Add) {
            return model.wire_node(prefix, Residual::Add, inputs);
        }
        let scale = Scale(scalar(model, inputs[1], "the scale")?);
        let zero = scalar(model, inputs[2], "the zero point")?;
        let op = match self {
            Node::Quantize => Residual::Quantize { scale, zero },
            _ => Residual::Dequantize { scale, zero },
        };
        model.wire_node(prefix, op, &inputs[..1])
    }
}

/// A scale above zero, so that equality is total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale(f32);

impl Eq for Scale {}

/// One step of a residual's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residual {
    /// int8 to float: `(x - zero) * scale`.
    Dequantize {
        /// The step of the numbers.
        scale: Scale,
        /// What stands for 0.
        zero: i8,
    },
    /// Float to int8: `x / scale` rounded half to even, plus `zero`, saturated.
    Quantize {
        /// The step of the numbers.
        scale: Scale,
        /// What stands for 0.
        zero: i8,
    },
    /// Float plus float.
    Add,
}

impl Op for Residual {
    fn name(&self) -> StaticName {
        match self {
            Residual::Dequantize { .. } => "DequantizeLinear".into(),
            Residual::Quantize { .. } => "QuantizeLinear".into(),
            Residual::Add => "Add".into(),
        }
    }

    op_as_typed_op!();
}

impl EvalOp for Residual {
    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let first = inputs.first().context("no input")?;
        let mut output = Tensor::zero_dt(
            if matches!(self, Residual::Quantize { .. }) { i8::datum_type() } else { f32::datum_type() },
            first.shape(),
        )?;
        let mut place = output.try_as_plain_ram_mut()?;
        let x = first.try_as_plain_ram()?;
        match *self {
            Residual::Dequantize { scale, zero } => {
                for (y, x) in place.as_slice_mut::<f32>()?.iter_mut().zip(x.as_slice::<i8>()?) {
                    *y = f32::from(i16::from(*x) - i16::from(zero)) * scale.0;
                }
            }
            Residual::Quantize { scale, zero } => {
                for (y, x) in place.as_slice_mut::<i8>()?.iter_mut().zip(x.as_slice::<f32>()?) {
                    // Casts saturate: an infinite quotient ends at the end of the range.
                    let rounded = (x / scale.0).round_ties_even() as i32;
                    *y = rounded.saturating_add(i32::from(zero)).clamp(-128, 127) as i8;
                }
            }
            Residual::Add => {
                let second = inputs.get(1).context("one input")?.try_as_plain_ram()?;
                let sums = x.as_slice::<f32>()?.iter().zip(second.as_slice::<f32>()?);
                for (y, (a, b)) in place.as_slice_mut::<f32>()?.iter_mut().zip(sums) {
                    *y = a + b;
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for Residual {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let first = inputs.first().context("no input")?;
        let to = if matches!(self, Residual::Quantize { .. }) { i8::datum_type() } else { f32::datum_type() };
        Ok(tvec!(to.fact(first.shape.clone())))
    }

    as_op!();
}
