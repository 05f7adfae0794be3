//! The self-test on this machine: the golden vectors to the bit that was signed, the latency of a run on the vehicle's
//! own subjects, and the memory that the model takes.

use super::depot::latency;
use super::slot;
use crate::files::Directory;
use crate::memory;
use serde::Deserialize;
use std::time::{Duration, Instant};
use telltale_core::catalog::Catalog;
use telltale_core::model::Manifest;
use telltale_core::pipeline::LoadedModel;
use telltale_core::update::{Failure, Release, Shelf, Slot};
use telltale_infer::{Int8Model, Shape};
use telltale_wire::bundle::{BundleIndex, BundleName, PartKind};
use telltale_wire::update::UpdateReason;

/// Runs of which the median counts as the latency.
const RUNS: usize = 21;

/// The most golden vectors that are run.
const MAX_VECTORS: usize = 64;

/// The most subjects of a golden vector.
const MAX_SUBJECTS: usize = 4_096;

/// Everything that the test needs, read under the depot's lock; the test itself needs none.
pub(super) struct Exam {
    index: BundleIndex,
    model: LoadedModel,
    onnx: Vec<u8>,
    golden: String,
    subjects: usize,
    before: u64,
}

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

impl Exam {
    /// Loads the candidate.
    ///
    /// # Errors
    /// As [`slot::load`].
    pub(super) fn prepare(
        shelf: &mut Shelf<Directory>,
        family: &BundleName,
        slot: Slot,
        release: &Release,
        catalog: &Catalog,
    ) -> Result<Exam, Failure> {
        let before = memory::pss_bytes();
        let (index, model) = slot::load(shelf, family, slot, release, catalog)?;
        let golden = slot::text(shelf, &index, PartKind::Golden)?;
        let onnx = shelf
            .part(&index, PartKind::Model)
            .map_err(|error| Failure { reason: UpdateReason::Damaged, why: error.to_string() })?;
        let layout = telltale_core::feature::Layout::new(&model.features, catalog)
            .map_err(|error| Failure { reason: UpdateReason::CatalogLacks, why: error.to_string() })?;
        Ok(Exam { index, model, onnx, golden, subjects: layout.members(), before })
    }

    /// Runs it. May take seconds.
    ///
    /// # Errors
    /// What the candidate does not hold.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let took = self.latency()?;
        let grown = memory::pss_bytes().saturating_sub(self.before);
        if grown > u64::from(self.index.budget.memory_bytes) {
            let why = format!("{grown} bytes, at most {} were signed for", self.index.budget.memory_bytes);
            return failed(UpdateReason::TooLarge, why);
        }
        if took > latency(&self.index) {
            let why =
                format!("{} us, at most {} were signed for", took.as_micros(), self.index.budget.latency_us);
            return failed(UpdateReason::TooSlow, why);
        }
        let vectors = self.golden()?;
        log::info!(
            "the self-test of {} passed: {vectors} golden vectors, {} us a run, {} kB",
            self.index.path(),
            took.as_micros(),
            grown / 1_000
        );
        Ok(())
    }

    /// The median of some runs over the vehicle's subjects.
    fn latency(&mut self) -> Result<Duration, Failure> {
        let channels = self.model.features.features.len();
        let (input, mut output) = (vec![0; channels * self.subjects], vec![0; self.subjects]);
        let mut runs = [Duration::ZERO; RUNS];
        for took in &mut runs {
            let started = Instant::now();
            let ran = self.model.model.infer(&input, &mut output);
            *took = started.elapsed();
            ran.map_err(|why| Failure { reason: UpdateReason::NoOutput, why })?;
        }
        runs.sort_unstable();
        Ok(runs[RUNS / 2])
    }

    fn golden(&self) -> Result<usize, Failure> {
        let differs = |why: String| Failure { reason: UpdateReason::GoldenDiffers, why };
        let golden: Golden = toml::from_str(&self.golden).map_err(|error| differs(error.to_string()))?;
        if golden.vector.is_empty() {
            return Err(differs("it brings no golden vector".into()));
        }
        for vector in golden.vector.iter().take(MAX_VECTORS) {
            self.vector(vector).map_err(|why| differs(format!("vector {}: {why}", vector.name)))?;
        }
        Ok(golden.vector.len().min(MAX_VECTORS))
    }

    fn vector(&self, vector: &Vector) -> Result<(), String> {
        let channels = self.model.features.features.len();
        let (input, expected) = (bytes(&vector.input)?, bytes(&vector.output)?);
        let lengths = (channels * vector.subjects, vector.subjects);
        if vector.subjects > MAX_SUBJECTS || (input.len(), expected.len()) != lengths {
            return Err(format!("it is not of {} subjects", vector.subjects));
        }
        let output_channel = manifest_channel(&self.model.manifest);
        let shape = Shape { channels, subjects: vector.subjects, output_channel };
        let mut model = Int8Model::load(&self.onnx, shape).map_err(|error| error.to_string())?;
        let mut output = vec![0; vector.subjects];
        model.infer(&input, &mut output).map_err(|error| error.to_string())?;
        let most = self.index.golden_tolerance;
        match output.iter().zip(&expected).position(|(found, expected)| found.abs_diff(*expected) > most) {
            None => Ok(()),
            Some(at) => {
                let (found, expected) = (output.get(at), expected.get(at));
                Err(format!("output {at} is {found:?}, was signed as {expected:?} (tolerance {most})"))
            }
        }
    }
}

const fn manifest_channel(manifest: &Manifest) -> usize {
    manifest.output.channel
}

fn failed(reason: UpdateReason, why: String) -> Result<(), Failure> {
    Err(Failure { reason, why })
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
