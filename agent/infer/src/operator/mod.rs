//! The operators that a model may hold, built by us into tract's graph.
//!
//! tract's own registry knows every operator of ONNX, and each one that is registered is linked. Ours knows the four
//! that [`screen`](crate::screen) lets through: the vehicle's binary is 1.7 MB smaller for it, and a file has no way
//! to arithmetic that was never compared with ONNX Runtime.

mod convolution;
mod residual;

pub(crate) use convolution::Convolutions;
pub(crate) use residual::Residual;

use tract_onnx::Onnx;
use tract_onnx::prelude::*;

/// ONNX, as far as this runtime takes it.
pub(crate) fn onnx() -> Onnx {
    let mut onnx = Onnx::default().with_ignore_value_info(true);
    onnx.op_register.insert("QLinearConv", convolution::build);
    for (name, build) in residual::BUILDERS {
        onnx.op_register.insert(name, build);
    }
    onnx
}

/// The elements of a constant operand.
fn constant<T: Datum>(model: &TypedModel, outlet: OutletId, what: &str) -> TractResult<Vec<T>> {
    use tract_onnx::tract_hir::internal::*;
    let fact = model.outlet_fact(outlet)?;
    let tensor = fact.konst.as_ref().with_context(|| format!("{what} is not a constant"))?;
    let view = tensor.try_as_plain_ram()?;
    Ok(view.as_slice::<T>().with_context(|| format!("{what} is {:?}", tensor.datum_type()))?.to_vec())
}

/// The one element of a constant operand.
fn scalar<T: Datum + Copy>(model: &TypedModel, outlet: OutletId, what: &str) -> TractResult<T> {
    use tract_onnx::tract_hir::internal::*;
    match constant::<T>(model, outlet, what)?.as_slice() {
        [only] => Ok(*only),
        all => bail!("{what} has {} elements; one is taken", all.len()),
    }
}
