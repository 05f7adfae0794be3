//! The self-test on this machine: the golden vectors to the bit that was signed, the latency of a run on the vehicle's
//! own subjects, and the memory that the model takes.

use super::depot::latency;
use super::slot::{self, Bundle};
use crate::files::Directory;
use crate::golden;
use crate::memory;
use std::time::{Duration, Instant};
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::LoadedModel;
use telltale_core::update::{Failure, Release, Shelf, Slot};
use telltale_infer::Shape;
use telltale_seal::Keyring;
use telltale_wire::bundle::{BundleName, PartKind};
use telltale_wire::update::UpdateReason;

/// Runs of which the median counts as the latency.
const RUNS: usize = 21;

/// Everything that the test needs, read under the depot's lock; the test itself needs none.
pub(super) struct Exam {
    bundle: Bundle,
    model: LoadedModel,
    onnx: Vec<u8>,
    golden: String,
    subjects: usize,
    before: u64,
}

impl Exam {
    /// Loads the candidate.
    ///
    /// # Errors
    /// As [`slot::load`].
    pub(super) fn prepare(
        shelf: &mut Shelf<Directory>,
        keyring: &Keyring,
        family: &BundleName,
        slot: Slot,
        release: &Release,
        catalog: &Catalog,
    ) -> Result<Exam, Failure> {
        let before = memory::pss_bytes();
        let (bundle, model) = slot::load(shelf, keyring, family, slot, release, catalog)?;
        let golden = bundle.text(shelf, PartKind::Golden)?;
        let onnx = bundle.part(shelf, PartKind::Model)?;
        let layout = telltale_core::feature::Layout::new(&model.features, catalog)
            .map_err(|error| Failure { reason: UpdateReason::CatalogLacks, why: error.to_string() })?;
        Ok(Exam { bundle, model, onnx, golden, subjects: layout.members(), before })
    }

    /// Runs it. May take seconds.
    ///
    /// # Errors
    /// What the candidate does not hold.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let took = self.latency()?;
        let grown = memory::pss_bytes().saturating_sub(self.before);
        if grown > u64::from(self.bundle.index.budget.memory_bytes) {
            let why =
                format!("{grown} bytes, at most {} were signed for", self.bundle.index.budget.memory_bytes);
            return failed(UpdateReason::TooLarge, why);
        }
        if took > latency(&self.bundle.index) {
            let why = format!(
                "{} us, at most {} were signed for",
                took.as_micros(),
                self.bundle.index.budget.latency_us
            );
            return failed(UpdateReason::TooSlow, why);
        }
        let vectors = self.golden()?;
        log::info!(
            "the self-test of {} passed: {vectors} golden vectors, {} us a run, {} kB",
            self.bundle.index.path(),
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
        let shape = |subjects| Shape {
            channels: self.model.features.features.len(),
            subjects,
            output_channel: self.model.manifest.output.channel,
        };
        golden::check(&self.golden, &self.onnx, shape, self.bundle.index.golden_tolerance)
            .map_err(|why| Failure { reason: UpdateReason::GoldenDiffers, why })
    }
}

fn failed(reason: UpdateReason, why: String) -> Result<(), Failure> {
    Err(Failure { reason, why })
}
