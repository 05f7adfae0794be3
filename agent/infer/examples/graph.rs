//! What of a model is left to compute: the nodes of its optimised graph, in the vehicle's runtime and in tract as it comes.
//! `graph FILE [SUBJECTS]`.
#![allow(clippy::print_stdout)] // what it found is what it is for

use std::error::Error;
use telltale_infer::{Int8Model, Shape};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut words = std::env::args().skip(1);
    let file = std::fs::read(words.next().ok_or("graph FILE [SUBJECTS]")?)?;
    let subjects = words.next().map_or(Ok(96), |word| word.parse())?;
    let declared = onnx().model_for_read(&mut &file[..])?;
    let channels = declared.input_fact(0)?.shape.dims().nth(1).and_then(|dim| dim.concretize());
    let channels = channels.ok_or("the input declares no number of channels")?.to_i64()?.try_into()?;

    let ours = Int8Model::load(&file, Shape { channels, subjects, output_channel: 0 })?;
    println!("input i8[1, {channels}, {subjects}]");
    println!("in the vehicle, {}:", counted(ours.kernels().len()));
    ours.kernels().iter().for_each(|node| println!("  {node}"));

    let fact = InferenceFact::dt_shape(i8::datum_type(), [1, channels, subjects]);
    let stock = declared.with_input_fact(0, fact)?.into_optimized()?;
    let computing: Vec<_> =
        stock.nodes.iter().filter(|node| !matches!(node.op.name().as_ref(), "Const" | "Source")).collect();
    println!("in tract as it comes, {}:", counted(computing.len()));
    for node in computing {
        let made: Vec<String> =
            node.outputs.iter().map(|output| format!("{:?}", output.fact.datum_type)).collect();
        println!("  {} -> {}", node.op.name(), made.join(", "));
    }
    Ok(())
}

fn counted(nodes: usize) -> String {
    if nodes == 1 { "one node".into() } else { format!("{nodes} nodes") }
}
