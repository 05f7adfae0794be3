//! Every committed model gives the bytes that ONNX Runtime gave when it was exported, whatever ran before.

mod vectors;

use vectors::{CELL_FAULT, golden, model};

#[test]
fn outputs_equal_those_of_onnx_runtime() {
    let vectors = golden();
    assert!(vectors.len() >= 4);
    for v in vectors {
        let mut output = vec![0; v.subjects];
        model(CELL_FAULT, v.subjects).infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output, "{}", v.name);
    }
}

#[test]
fn an_inference_leaves_nothing_to_the_next() {
    let vectors = golden();
    let v = vectors.iter().find(|v| v.subjects == 96).unwrap();
    let mut model = model(CELL_FAULT, 96);
    let other: Vec<i8> = v.input.iter().rev().copied().collect();
    for _ in 0..3 {
        let mut output = vec![0; 96];
        model.infer(&other, &mut output).unwrap();
        assert_ne!(output, v.output);
        model.infer(&other[1..], &mut output).unwrap_err();
        model.infer(&v.input, &mut output).unwrap();
        assert_eq!(output, v.output);
    }
}

#[test]
fn subjects_do_not_mix() {
    let v = golden().into_iter().find(|v| v.subjects == 96).unwrap();
    let mut rotated = v.input.clone();
    rotated.chunks_exact_mut(96).for_each(|channel| channel.rotate_left(5));
    let mut output = vec![0; 96];
    model(CELL_FAULT, 96).infer(&rotated, &mut output).unwrap();
    output.rotate_right(5);
    assert_eq!(output, v.output);
}

#[test]
fn every_product_is_an_integer_kernel() {
    let kernels = model(CELL_FAULT, 96).kernels();
    let products: Vec<_> = kernels.iter().filter(|k| k.contains(" OptMatMul ")).collect();
    assert_eq!(products.len(), 3, "{kernels:#?}");
    assert!(products.iter().all(|k| k.contains("i32")), "{products:#?}");
}
