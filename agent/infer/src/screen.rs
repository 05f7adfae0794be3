//! What a model file may hold, checked on the protobuf before tract builds anything from it.
//!
//! Every rule here closes a way to a large allocation, an endless fold of constants, a file of the host, or float
//! arithmetic. What is left is the recipe by which int8 models are exported: `QLinearConv` throughout (dense layers
//! as 1x1 convolutions), with dequantize, add, quantize around a residual.

use crate::ModelError;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

/// The largest model file. Decoding the densest possible protobuf of this size takes about 85 bytes of memory for
/// each of its own, 45 MB at worst; the largest network that fits a vehicle's cycle has some 100 kB.
pub const MAX_MODEL_BYTES: usize = 512 * 1024;
/// The most nodes.
pub const MAX_NODES: usize = 256;
/// The operators taken.
pub const OPERATORS: [&str; 4] = ["QLinearConv", "QuantizeLinear", "DequantizeLinear", "Add"];
/// The operator sets in which these operators mean the same and which tract is tested with.
const OPSETS: RangeInclusive<i64> = 13..=18;
/// The largest stride, dilation, padding, kernel or group.
const MAX_ATTRIBUTE: i64 = 4_096;

/// Decodes a model file and refuses what this runtime does not run.
pub(crate) fn read(onnx: &[u8]) -> Result<ModelProto, ModelError> {
    if onnx.len() > MAX_MODEL_BYTES {
        return Err(ModelError::TooLarge { bytes: onnx.len() });
    }
    let model = crate::operator::onnx()
        .proto_model_for_read(&mut &onnx[..])
        .map_err(|e| ModelError::NotOnnx { detail: format!("{e:#}") })?;
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| ModelError::NotOnnx { detail: "the protobuf holds no graph".into() })?;
    let opset =
        model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
    require(opset.is_some_and(|v| OPSETS.contains(&v)), "opset_import", || match opset {
        Some(version) => format!("opset {version}; export with 13 to 18"),
        None => "no opset of ONNX itself; export with 13 to 18".into(),
    })?;
    check_graph(graph)?;
    Ok(model)
}

fn check_graph(graph: &GraphProto) -> Result<(), ModelError> {
    require(graph.node.len() <= MAX_NODES, "graph", || {
        format!("{} nodes; at most {MAX_NODES}", graph.node.len())
    })?;
    require(graph.sparse_initializer.is_empty(), "graph", || {
        "holds sparse tensors; write them dense".into()
    })?;
    for tensor in &graph.initializer {
        check_constant(tensor)?;
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let [input] = graph.input.as_slice() else {
        return refuse("graph", format!("has {} inputs; one is expected", graph.input.len()));
    };
    require(!constants.contains(input.name.as_str()), &input.name, || "the input is a constant".into())?;
    let [output] = graph.output.as_slice() else {
        return refuse("graph", format!("has {} outputs; one is expected", graph.output.len()));
    };
    let mut computed: HashSet<&str> = HashSet::from([input.name.as_str()]);
    for node in &graph.node {
        check_node(node, &computed, &constants)?;
        for name in &node.output {
            let fresh = !constants.contains(name.as_str()) && computed.insert(name);
            require(fresh, &label(node), || format!("computes `{name}`, which exists already"))?;
        }
    }
    require(computed.contains(output.name.as_str()), &output.name, || "no node computes the output".into())
}

/// Constants are int8 weights and zero points, i32 biases and float scales, all inside the file.
fn check_constant(tensor: &TensorProto) -> Result<(), ModelError> {
    let outside =
        tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty();
    require(!outside, &tensor.name, || "the data lies in another file; store it inside".into())?;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int8 | DataType::Int32) => Ok(()),
        Ok(DataType::Float) => {
            let raw = tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            let sound = raw.chain(tensor.float_data.iter().copied()).all(|s| s.is_finite() && s > 0.0);
            require(sound, &tensor.name, || {
                "a float constant is a scale and must be finite and above 0".into()
            })
        }
        Ok(other) => refuse(&tensor.name, format!("a constant of {other:?}; Int8, Int32 or Float are taken")),
        Err(_) => refuse(&tensor.name, format!("a constant of the unknown type {}", tensor.data_type)),
    }
}

fn check_node(
    node: &NodeProto,
    computed: &HashSet<&str>,
    constants: &HashSet<&str>,
) -> Result<(), ModelError> {
    let known = OPERATORS.contains(&node.op_type.as_str()) && matches!(node.domain.as_str(), "" | "ai.onnx");
    require(known, &label(node), || {
        format!("operator `{}` is not taken; export with {}", node.op_type, OPERATORS.join(", "))
    })?;
    // The data must stem from the input: a node over constants alone would be folded while loading, at any size.
    let data = if node.op_type == "Add" { 2 } else { 1 };
    for (place, name) in node.input.iter().enumerate() {
        let name = name.as_str();
        let exists = if place < data { computed.contains(name) } else { constants.contains(name) };
        let kind = if place < data { "a computed tensor" } else { "a constant" };
        require(exists, &label(node), || format!("operand {place}, `{name}`, is not {kind}"))?;
    }
    require(node.input.len() >= data && node.output.len() == 1, &label(node), || {
        format!("has {} operands and {} results", node.input.len(), node.output.len())
    })?;
    for attribute in &node.attribute {
        let least =
            i64::from(matches!(attribute.name.as_str(), "kernel_shape" | "strides" | "dilations" | "group"));
        let values =
            if attribute.ints.is_empty() { std::slice::from_ref(&attribute.i) } else { &attribute.ints };
        let bounded = values.iter().all(|v| (least..=MAX_ATTRIBUTE).contains(v));
        let plain = attribute.g.is_none() && attribute.t.is_none() && attribute.tensors.is_empty();
        require(bounded && plain, &label(node), || {
            format!("attribute `{}` is not within {least} and {MAX_ATTRIBUTE}", attribute.name)
        })?;
    }
    Ok(())
}

/// The type and shape that the file declares for its input or output: `None` is a dimension that is left open.
pub(crate) fn declared(info: &ValueInfoProto) -> Option<(DataType, Vec<Option<i64>>)> {
    let Type::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|d| match d.value {
        Some(Dim::DimValue(v)) => Some(v),
        Some(Dim::DimParam(_)) | None => None,
    });
    Some((DataType::try_from(tensor.elem_type).ok()?, dims.collect()))
}

fn label(node: &NodeProto) -> String {
    let name = [&node.name, &node.op_type].into_iter().find(|n| !n.is_empty());
    name.map_or_else(|| "unnamed node".into(), Clone::clone)
}

fn refuse(at: &str, problem: String) -> Result<(), ModelError> {
    Err(ModelError::Unsupported { at: at.chars().take(80).collect(), problem })
}

fn require(holds: bool, at: &str, problem: impl FnOnce() -> String) -> Result<(), ModelError> {
    if holds { Ok(()) } else { refuse(at, problem()) }
}
