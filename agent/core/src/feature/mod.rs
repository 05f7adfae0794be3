//! From samples to features: a specification that is data, and the only implementation of what it says.
//!
//! The vehicle and the training both go through this room, so that a model is trained on exactly the numbers it
//! will meet. [`spec`] is the document (named by the digest of its content), [`window`] resamples samples onto a
//! grid and keeps the sliding window, [`compute`] turns a full window into one row of features a subject. A
//! specification of charges has no window: [`charge`] follows the grid's steps and describes each charge that ends.

pub mod charge;
pub mod compute;
pub mod spec;
pub mod window;

pub use charge::{ChargeOp, ChargeSpec};
pub use compute::{FeatureTable, Features};
pub use spec::FeatureSpec;
pub use window::{Layout, LayoutError, Resampler, Samples, Window};

use crate::catalog::Catalog;
use charge::ChargeFeatures;
use telltale_wire::time::MonoTime;

/// Samples in, features out: the resampler and the computation behind it, for one specification.
#[derive(Clone)]
pub struct Extractor {
    resampler: Resampler,
    rows: Rows,
    subjects: Vec<String>,
}

/// What makes rows of features out of steps.
#[derive(Clone)]
enum Rows {
    /// Each full window gives one.
    Windows(Features),
    /// Each charge that ended gives one.
    Charges(ChargeFeatures),
}

impl Extractor {
    /// An extractor for a specification on a catalog.
    ///
    /// # Errors
    /// [`LayoutError`] if the catalog lacks a signal.
    pub fn new(spec: &FeatureSpec, catalog: &Catalog) -> Result<Extractor, LayoutError> {
        let layout = Layout::new(spec, catalog)?;
        let members = layout.members();
        Ok(Extractor {
            rows: match &spec.charge {
                Some(charge) => Rows::Charges(ChargeFeatures::new(spec, charge, members)),
                None => Rows::Windows(Features::new(spec, members)),
            },
            subjects: (1..=members)
                .map(|n| spec.members.subject.replace(spec::PLACEHOLDER, &n.to_string()))
                .collect(),
            resampler: Resampler::new(spec, layout, catalog.signals.len()),
        })
    }

    /// Turns time to `now`; `full` is called with each window that became due and its features. For a charge that
    /// ended, the window is the step that ended it.
    #[inline]
    pub fn advance(&mut self, now: MonoTime, mut full: impl FnMut(&Window, &FeatureTable)) {
        let rows = &mut self.rows;
        self.resampler.advance(now, |window| match rows {
            Rows::Windows(features) => full(window, features.compute(window)),
            Rows::Charges(charges) => {
                if let Some(table) = charges.step(window) {
                    full(window, table);
                }
            }
        });
    }

    /// Takes the samples that `deliver` puts into the sink: those of a frame at `at`, to which time has been
    /// advanced.
    #[inline]
    pub fn take<R>(&mut self, at: MonoTime, deliver: impl FnOnce(&mut Samples<'_>) -> R) -> R {
        self.resampler.take(at, deliver)
    }

    /// Whether [`Extractor::advance`] has something to do at `now`.
    #[inline]
    #[must_use]
    pub fn is_due(&self, now: MonoTime) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// When [`Extractor::advance`] next has something to do.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<MonoTime> {
        self.resampler.next_deadline()
    }

    /// Where the specification's signals stand.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        self.resampler.layout()
    }

    /// The subjects' names, in order.
    #[must_use]
    pub fn subjects(&self) -> &[String] {
        &self.subjects
    }
}
