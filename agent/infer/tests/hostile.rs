//! Files that are no model, or not one for us: refused with a reason, never a panic out of the crate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test may fail it")]

mod vectors;

use prost::Message;
use telltale_infer::{Int8Model, MAX_MODEL_BYTES, ModelError, Shape};
use tract_onnx::pb::{AttributeProto, ModelProto};
use vectors::{CELL_FAULT, CHANNELS};

const MUTATIONS: u32 = 500;
const SHAPE: Shape = Shape { channels: CHANNELS, subjects: 12, output_channel: 0 };

fn refusal(onnx: &[u8]) -> String {
    match Int8Model::load(onnx, SHAPE) {
        Ok(_) => panic!("loaded"),
        Err(e) => e.to_string(),
    }
}

/// The committed model with one change.
fn changed(change: impl FnOnce(&mut tract_onnx::pb::GraphProto)) -> Vec<u8> {
    let mut model = ModelProto::decode(CELL_FAULT).unwrap();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

fn without_opset() -> Vec<u8> {
    let mut model = ModelProto::decode(CELL_FAULT).unwrap();
    model.opset_import.clear();
    model.encode_to_vec()
}

fn attribute(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..AttributeProto::default() }
}

#[test]
fn bytes_that_are_no_model_are_named_so() {
    assert!(refusal(b"").contains("no graph"));
    assert!(refusal(b"hello, world").contains("not a whole ONNX model"));
    assert!(refusal(&vec![0; MAX_MODEL_BYTES + 1]).contains("524289 bytes; at most 524288"));
}

#[test]
fn every_truncation_is_refused() {
    for length in 0..CELL_FAULT.len() {
        assert!(Int8Model::load(&CELL_FAULT[..length], SHAPE).is_err(), "cut at {length}");
    }
}

/// Flips bits and overwrites bytes all over the file, then runs what still loads.
#[test]
fn mutations_end_in_an_error_or_in_an_output_of_the_right_shape() {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let (mut refused, mut panicked, mut ran) = (0, 0, 0);
    let input: Vec<i8> = (0..CHANNELS * 12).map(|i| (i * 37 % 255) as u8 as i8).collect();
    for _ in 0..MUTATIONS {
        let mut bytes = CELL_FAULT.to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            bytes[at] = if next(2) == 0 { bytes[at] ^ (1 << next(8)) } else { next(256) as u8 };
        }
        let mut output = [0; 12];
        match Int8Model::load(&bytes, SHAPE).and_then(|mut m| m.infer(&input, &mut output)) {
            Ok(()) => ran += 1,
            Err(ModelError::Panicked { .. }) => panicked += 1,
            Err(_) => refused += 1,
        }
    }
    println!("of {MUTATIONS} mutations {refused} refused, {panicked} panics caught, {ran} ran");
    assert!(
        refused > MUTATIONS / 10 && ran > MUTATIONS / 10,
        "both outcomes have to occur for this test to mean anything"
    );
}

#[test]
fn a_model_of_another_shape_names_both_shapes() {
    let load = |shape| Int8Model::load(CELL_FAULT, shape).err().unwrap().to_string();
    assert_eq!(
        load(Shape { channels: 9, ..SHAPE }),
        "the model's input is Int8 [1, 8, N], expected Int8 [1, 9, 12]"
    );
    let channel = load(Shape { output_channel: 8, ..SHAPE });
    assert!(channel.contains("output is I8 [1, 8, 12], expected Int8 [1, 9 or more, 12]"), "{channel}");
    let float = changed(|g| {
        let Some(tract_onnx::pb::type_proto::Value::TensorType(t)) =
            g.input[0].r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            panic!("no tensor type")
        };
        t.elem_type = 1;
    });
    assert_eq!(refusal(&float), "the model's input is Float [1, 8, N], expected Int8 [1, 8, 12]");
}

#[test]
fn each_way_out_of_the_recipe_is_refused_by_name() {
    let far = i64::MAX / 4;
    for (expected, bytes) in [
        (
            "operator `Conv` is not taken; export with QLinearConv",
            changed(|g| g.node[0].op_type = "Conv".into()),
        ),
        ("operator `QLinearConv` is not taken", changed(|g| g.node[0].domain = "evil".into())),
        (
            "attribute `pads` is not within 0 and 4096",
            changed(|g| g.node[0].attribute.push(attribute("pads", &[far, far]))),
        ),
        (
            "attribute `strides` is not within 1",
            changed(|g| g.node[0].attribute.push(attribute("strides", &[0]))),
        ),
        ("the data lies in another file", changed(|g| g.initializer[0].data_location = Some(1))),
        ("a constant of Double", changed(|g| g.initializer[0].data_type = 11)),
        (
            "a scale and must be finite and above 0",
            changed(|g| g.initializer[0].raw_data = f32::NAN.to_le_bytes().into()),
        ),
        ("operand 0, `w0`, is not a computed tensor", changed(|g| g.node[0].input[0] = "w0".into())),
        ("operand 3, `features`, is not a constant", changed(|g| g.node[0].input[3] = "features".into())),
        ("no node computes the output", changed(|g| g.output[0].name = "elsewhere".into())),
        ("has 0 inputs", changed(|g| g.input.clear())),
        ("the input is a constant", changed(|g| g.initializer[0].name = "features".into())),
        ("which exists already", changed(|g| g.node[1].output[0] = g.node[0].output[0].clone())),
        ("no opset of ONNX itself", without_opset()),
        ("257 nodes; at most 256", changed(|g| g.node = vec![g.node[0].clone(); 257])),
    ] {
        let found = refusal(&bytes);
        assert!(found.contains(expected), "{expected} -> {found}");
    }
}
