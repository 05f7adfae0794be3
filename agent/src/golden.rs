//! Golden vectors: inputs of a model, and the outputs that it must give on every machine. Its bundle is not built, and not
//! let run on a vehicle, where it gives others.

use serde::Deserialize;
use telltale_infer::{Int8Model, Shape};

/// The most golden vectors that are run.
const MAX_VECTORS: usize = 64;

/// The most subjects of a golden vector.
const MAX_SUBJECTS: usize = 4_096;

#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    subjects: usize,
    input: String,
    output: String,
}

/// Runs the model on its golden vectors; gives how many there are. `shape` is that of the model for so many subjects,
/// `tolerance` by how many int8 steps an output may differ.
///
/// # Errors
/// A sentence on the first that differs, or can't be run.
pub(crate) fn check(
    golden: &str,
    onnx: &[u8],
    shape: impl Fn(usize) -> Shape,
    tolerance: u8,
) -> Result<usize, String> {
    let golden: Golden = toml::from_str(golden).map_err(|error| error.to_string())?;
    if golden.vector.is_empty() {
        return Err("it brings no golden vector".into());
    }
    for vector in golden.vector.iter().take(MAX_VECTORS) {
        run(vector, onnx, &shape, tolerance).map_err(|why| format!("vector {}: {why}", vector.name))?;
    }
    Ok(golden.vector.len().min(MAX_VECTORS))
}

fn run(vector: &Vector, onnx: &[u8], shape: impl Fn(usize) -> Shape, most: u8) -> Result<(), String> {
    let not_so_many = || Err(format!("it is not of {} subjects", vector.subjects));
    if vector.subjects > MAX_SUBJECTS {
        return not_so_many();
    }
    let shape = shape(vector.subjects);
    let (input, expected) = (bytes(&vector.input)?, bytes(&vector.output)?);
    if (input.len(), expected.len()) != (shape.channels * vector.subjects, vector.subjects) {
        return not_so_many();
    }
    let mut model = Int8Model::load(onnx, shape).map_err(|error| error.to_string())?;
    let mut output = vec![0; vector.subjects];
    model.infer(&input, &mut output).map_err(|error| error.to_string())?;
    match output.iter().zip(&expected).position(|(found, expected)| found.abs_diff(*expected) > most) {
        None => Ok(()),
        Some(at) => {
            let (found, expected) = (output.get(at), expected.get(at));
            Err(format!("output {at} is {found:?}, should be {expected:?} (tolerance {most})"))
        }
    }
}

/// Bytes of a document in hexadecimal, as int8.
fn bytes(hex: &str) -> Result<Vec<i8>, String> {
    let digits = hex.as_bytes().chunks(2);
    let pair = |pair: &[u8]| {
        // Without this a sign would count as a digit.
        let are_digits = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(pair).ok().filter(|_| are_digits)?;
        u8::from_str_radix(text, 16).ok().map(u8::cast_signed)
    };
    digits.map(pair).collect::<Option<_>>().ok_or_else(|| "it is not in hexadecimal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits_and_nothing_else() {
        assert_eq!(bytes("007fff80").unwrap(), [0, 127, -1, -128]);
        for bad in ["0", "0g", "é", "+1", "00 0"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
