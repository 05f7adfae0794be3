//! Whether a graph computes what the vehicle expects: on the shapes it is fed, in integers.

use crate::model::{ModelError, Shape};
use crate::operator::{Convolutions, Residual};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

/// The largest tensor between two nodes, in elements: 16 MB of accumulators.
const MAX_ELEMENTS: usize = 4 << 20;

/// Holds the inferred shapes against the expected ones, before anything of these sizes is allocated.
pub(crate) fn check_shapes(model: &TypedModel, shape: &Shape) -> TractResult<Result<(), ModelError>> {
    for node in &model.nodes {
        for fact in node.outputs.iter().map(|o| &o.fact) {
            let elements = fact.shape.as_concrete().and_then(|dims| {
                dims.iter().try_fold(1_usize, |all, d| all.checked_mul(*d)).filter(|n| *n <= MAX_ELEMENTS)
            });
            if elements.is_none() {
                let problem =
                    format!("computes a tensor of {:?}; at most {MAX_ELEMENTS} elements", fact.shape);
                return Ok(Err(ModelError::Unsupported { at: node.name.clone(), problem }));
            }
        }
    }
    let fact = model.output_fact(0)?;
    let dims = fact.shape.as_concrete().unwrap_or_default();
    let fits = matches!(dims, [1, channels, subjects]
        if *channels > shape.output_channel && *subjects == shape.subjects);
    if fits && fact.datum_type == i8::datum_type() {
        return Ok(Ok(()));
    }
    Ok(Err(ModelError::Mismatch {
        what: "output",
        expected: format!("Int8 [1, {} or more, {}]", shape.output_channel + 1, shape.subjects),
        found: format!("{:?} {dims:?}", fact.datum_type),
    }))
}

/// Refuses an optimised graph in which something computes that is not one of our operators: tract is free to lower
/// what it knows to other arithmetic, and the result would no longer be that of the golden vectors.
pub(crate) fn check_integers(model: &TypedModel) -> Result<(), ModelError> {
    for node in &model.nodes {
        let ours = node.op_is::<Convolutions>() || node.op_is::<Residual>();
        if !ours && !node.op_is::<Const>() && !node.op_is::<TypedSource>() {
            let operator = node.op.name().into_owned();
            return Err(ModelError::ForeignOperator { node: node.name.clone(), operator });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator;
    use tract_onnx::Onnx;
    use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

    const CELL_FAULT: &[u8] = include_bytes!("../../../models/cell-fault/cell-fault.int8.onnx");
    const SHAPE: Shape = Shape { channels: 8, subjects: 12, output_channel: 0 };

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        let input = inputs.iter().map(ToString::to_string).collect();
        NodeProto {
            op_type: op.into(),
            name: output.into(),
            input,
            output: vec![output.into()],
            ..Default::default()
        }
    }

    /// The committed model's head as exporters with "QDQ" write it: int8 outside, a float convolution inside.
    fn quantize_dequantize() -> ModelProto {
        let mut model = onnx().proto_model_for_read(&mut &CELL_FAULT[..]).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let (dims, float_data) = (vec![8, 8, 1], vec![0.25; 64]);
        let weights = TensorProto { name: "w".into(), data_type: 1, dims, float_data, ..Default::default() };
        graph.initializer.push(weights);
        graph.node = vec![
            node("DequantizeLinear", &["features", "x0_scale", "x0_zero"], "x"),
            node("Conv", &["x", "w"], "dense"),
            node("QuantizeLinear", &["dense", "x0_scale", "x0_zero"], "logit"),
        ];
        model
    }

    fn typed(model: &ModelProto, onnx: Onnx) -> TypedModel {
        let input = InferenceFact::dt_shape(i8::datum_type(), [1, SHAPE.channels, SHAPE.subjects]);
        let model = onnx.model_for_proto_model(model).unwrap();
        model.with_input_fact(0, input).unwrap().into_typed().unwrap()
    }

    #[test]
    fn a_float_convolution_between_int8_ends_is_named() {
        let error =
            check_integers(&typed(&quantize_dequantize(), onnx()).into_optimized().unwrap()).unwrap_err();
        assert!(error.to_string().contains("is none of this runtime's int8 operators"), "{error}");
    }

    #[test]
    fn the_committed_model_and_a_residual_in_floats_pass() {
        let mut model = onnx().proto_model_for_read(&mut &CELL_FAULT[..]).unwrap();
        check_integers(&typed(&model, operator::onnx()).into_optimized().unwrap()).unwrap();
        let graph = model.graph.as_mut().unwrap();
        graph.node.last_mut().unwrap().output = vec!["plain".into()];
        graph.node.extend([
            node("DequantizeLinear", &["plain", "y2_scale", "y2_zero"], "a"),
            node("DequantizeLinear", &["features", "x0_scale", "x0_zero"], "b"),
            node("Add", &["a", "b"], "c"),
            node("QuantizeLinear", &["c", "y2_scale", "y2_zero"], "logit"),
        ]);
        check_integers(&typed(&model, operator::onnx()).into_optimized().unwrap()).unwrap();
    }

    #[test]
    fn a_tensor_beyond_the_limit_is_refused_before_it_is_allocated() {
        let mut model = onnx().proto_model_for_read(&mut &CELL_FAULT[..]).unwrap();
        let attributes = &mut model.graph.as_mut().unwrap().node[0].attribute;
        let name = "pads".to_owned();
        let ints = vec![1 << 20, 1 << 20];
        attributes.push(tract_onnx::pb::AttributeProto { name, ints, r#type: 7, ..Default::default() });
        let error = check_shapes(&typed(&model, onnx()), &SHAPE).unwrap().unwrap_err().to_string();
        assert!(error.contains("at most 4194304 elements"), "{error}");
    }
}
