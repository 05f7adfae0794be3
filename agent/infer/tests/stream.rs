//! A causal network that takes its samples one by one: the bytes of the whole window, and nothing allocated.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use prost::Message as _;
use telltale_core::model::Model as _;
use telltale_infer::{Int8Model, Shape, StreamedModel};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
};

const STEPS: usize = 32;
/// Channels from the input to the logit, kernels of three taps, dilated 1, 2 and 4: they look back over 15 steps.
const WIDTHS: [usize; 4] = [6, 16, 16, 8];
const LOOKS_BACK: usize = 15;
const WINDOW: Shape = Shape { channels: WIDTHS[0], subjects: STEPS, output_channel: 0 };

fn tensor(name: &str, data_type: i32, dims: &[usize], raw_data: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|d| *d as i64).collect();
    TensorProto { name: name.into(), data_type, dims, raw_data, ..TensorProto::default() }
}

fn info(name: &str, channels: usize) -> ValueInfoProto {
    let dim = |n: usize| Dimension { value: Some(Dim::DimValue(n as i64)), ..Dimension::default() };
    let shape = Some(TensorShapeProto { dim: [1, channels, STEPS].map(dim).to_vec() });
    let tensor = Value::TensorType(Tensor { elem_type: 3, shape });
    let kind = Some(TypeProto { value: Some(tensor), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type: kind, ..ValueInfoProto::default() }
}

/// Dilated convolutions with weights that look random; `behind` steps of padding would make them look ahead.
fn network(behind: i64) -> Vec<u8> {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut byte = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % 256) as u8
    };
    let mut graph = GraphProto { name: "tcn".into(), ..GraphProto::default() };
    for (n, ends) in WIDTHS.windows(2).enumerate() {
        let names = ["xs", "xz", "w", "ws", "wz", "ys", "yz", "b"].map(|name| format!("{name}{n}"));
        let scale = |s: f32| s.to_le_bytes().to_vec();
        let zero = if n == 0 { 0 } else { -128_i8 as u8 };
        let weights = (0..ends[0] * ends[1] * 3).map(|_| byte()).collect();
        let bias = (0..ends[1]).flat_map(|_| (i32::from(byte()) - 128).to_le_bytes()).collect();
        let initial = [
            tensor(&names[0], 1, &[], scale(0.04)),
            tensor(&names[1], 3, &[], vec![zero]),
            tensor(&names[2], 3, &[ends[1], ends[0], 3], weights),
            tensor(&names[3], 1, &[], scale(0.01)),
            tensor(&names[4], 3, &[], vec![0]),
            tensor(&names[5], 1, &[], scale(0.1)),
            tensor(&names[6], 3, &[], vec![if n == 2 { 0 } else { -128_i8 as u8 }]),
            tensor(&names[7], 6, &[ends[1]], bias),
        ];
        graph.initializer.extend(initial);
        let ints = |name: &str, ints: Vec<i64>| AttributeProto {
            name: name.into(),
            ints,
            r#type: 7,
            ..AttributeProto::default()
        };
        let before = if n == 0 { "features".to_owned() } else { format!("y{}", n - 1) };
        graph.node.push(NodeProto {
            op_type: "QLinearConv".into(),
            input: std::iter::once(before).chain(names).collect(),
            output: vec![if n == 2 { "logit".into() } else { format!("y{n}") }],
            attribute: vec![
                ints("dilations", vec![1 << n]),
                ints("pads", vec![(2 << n) - behind, behind]),
                ints("kernel_shape", vec![3]),
            ],
            ..NodeProto::default()
        });
    }
    graph.input.push(info("features", WIDTHS[0]));
    graph.output.push(info("logit", WIDTHS[3]));
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// A sample of every subject in a step. -> `[channels][subjects]`
fn sample(step: usize, subjects: usize) -> Vec<i8> {
    (0..WIDTHS[0] * subjects).map(|place| ((step * 7 + place * 31) * 97 % 251) as u8 as i8).collect()
}

#[test]
fn each_answer_is_that_of_the_whole_window_and_a_gap_ends_it() {
    const SUBJECTS: usize = 3;
    let file = network(0);
    let mut whole = Int8Model::load(&file, WINDOW).unwrap();
    let mut streamed = StreamedModel::load(&file, WINDOW, SUBJECTS).unwrap();
    assert_eq!(streamed.looks_back(), LOOKS_BACK);
    let (mut output, mut window_output) = ([0; SUBJECTS], [0; STEPS]);
    let mut answers = std::collections::BTreeSet::new();
    for step in 0..3 * STEPS {
        if step == STEPS + 9 {
            streamed.forget(1);
        }
        streamed.infer(&sample(step, SUBJECTS), &mut output).unwrap();
        for (subject, answer) in output.iter().enumerate() {
            let since = step - if subject == 1 && step >= STEPS + 9 { STEPS + 9 } else { 0 };
            assert_eq!(streamed.is_warm(subject), since + 1 >= LOOKS_BACK, "step {step}, subject {subject}");
            if since + 1 < STEPS {
                continue;
            }
            let past: Vec<_> = (step + 1 - STEPS..=step).map(|step| sample(step, SUBJECTS)).collect();
            let window: Vec<i8> =
                (0..WIDTHS[0]).flat_map(|c| past.iter().map(move |s| s[c * SUBJECTS + subject])).collect();
            whole.infer(&window, &mut window_output).unwrap();
            assert_eq!(Some(answer), window_output.last(), "step {step}, subject {subject}");
            answers.insert(*answer);
        }
    }
    assert!(answers.len() > 20, "{} answers are too few to tell anything", answers.len());
}

#[test]
fn a_new_sample_allocates_nothing() {
    let mut streamed = StreamedModel::load(&network(0), WINDOW, 2).unwrap();
    let (input, mut output) = (sample(1, 2), [0; 2]);
    let spent = allocation_counter::measure(|| streamed.push(&input, &mut output).unwrap());
    assert_eq!((spent.count_total, spent.bytes_total), (0, 0));
    assert!(streamed.push(&input[1..], &mut output).is_err());
}

#[test]
fn a_model_that_looks_ahead_or_farther_back_than_its_window_is_refused() {
    let refusal = |file: &[u8], window| StreamedModel::load(file, window, 1).unwrap_err().to_string();
    let ahead = refusal(&network(1), WINDOW);
    assert!(ahead.contains("one sample after another") && ahead.contains("1 steps ahead"), "{ahead}");
    // The file declares its steps: a window of others is refused as for any model.
    let shorter = refusal(&network(0), Shape { subjects: 8, ..WINDOW });
    assert!(shorter.contains("expected Int8 [1, 6, 8]"), "{shorter}");
}
