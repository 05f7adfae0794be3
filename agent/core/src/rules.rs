//! The rule baseline: the limits of the catalog, checked beside every model, on the same windows.
//!
//! It needs no training, knows no context, and speaks when a model can't.

use crate::catalog::Catalog;
use crate::feature::{Layout, Window};
use crate::model::Decision;
use crate::signal::{NoData, SignalId};

/// The name under which the rules' verdicts stand in records.
pub const MODEL_NAME: &str = "limits";

/// The score is the share of steps beyond a limit: a twentieth, which is one step of twenty, in two windows.
pub const DECISION: Decision =
    Decision { enter: 0.05, enter_windows: 2, enter_of: 2, exit: 0.05, exit_windows: 2 };

/// Limits of the signals of one specification.
pub struct Limits {
    rules: Vec<Rule>,
}

/// One signal's limits.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The signal.
    pub signal: SignalId,
    /// Its place in the window's rows: members first, then context.
    pub slot: usize,
    low: f32,
    high: f32,
}

/// What a rule found in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The share of the steps with a value that lie beyond a limit.
    pub score: f32,
    /// The value that lies furthest beyond, or deepest within.
    pub worst: f32,
    /// The limit next to it.
    pub limit: f32,
}

impl Limits {
    /// The limits that the catalog sets on the signals of a layout.
    #[must_use]
    pub fn new(layout: &Layout, catalog: &Catalog) -> Limits {
        let rule = |(slot, id): (usize, &SignalId)| {
            let signal = &catalog.signals[id.index()];
            (signal.low.is_some() || signal.high.is_some()).then_some(Rule {
                signal: *id,
                slot,
                low: signal.low.map_or(f32::NEG_INFINITY, |x| x as f32),
                high: signal.high.map_or(f32::INFINITY, |x| x as f32),
            })
        };
        Limits { rules: layout.signals().iter().enumerate().filter_map(rule).collect() }
    }

    /// The rules, in the order of the layout.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// Checks one window.
    ///
    /// # Errors
    /// The reason of the last step, if no step has a value.
    pub fn check(&self, window: &Window) -> Result<Finding, NoData> {
        let mut finding: Option<Finding> = None;
        let (mut present, mut beyond) = (0u32, 0u32);
        let mut why = NoData::NotReceived;
        for step in 0..window.steps() {
            let (members, context) = window.row(step);
            let cell = members.get(self.slot).or_else(|| context.get(self.slot - members.len()));
            let value = match cell.map(|c| c.get()) {
                Some(Ok(value)) => value,
                Some(Err(reason)) => {
                    why = reason;
                    continue;
                }
                None => continue,
            };
            present += 1;
            let (excess, limit) = self.excess(value);
            beyond += u32::from(excess > 0.0);
            let worse = finding.is_none_or(|f| excess > self.excess(f.worst).0);
            if worse {
                finding = Some(Finding { score: 0.0, worst: value, limit });
            }
        }
        finding.map(|f| Finding { score: beyond as f32 / present as f32, ..f }).ok_or(why)
    }

    /// How far a value lies beyond the nearer limit (negative: within), and that limit.
    fn excess(&self, value: f32) -> (f32, f32) {
        let (under, over) = (self.low - value, value - self.high);
        if under > over { (under, self.low) } else { (over, self.high) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_is_measured_from_the_nearer_limit() {
        let rule = Rule { signal: SignalId(0), slot: 0, low: 2.5, high: 4.3 };
        assert_eq!(rule.excess(2.0), (0.5, 2.5));
        assert!(rule.excess(3.0).0 < 0.0);
        let (over, limit) = rule.excess(4.5);
        assert!((over - 0.2).abs() < 1e-6 && limit == 4.3);
        let open = Rule { low: f32::NEG_INFINITY, ..rule };
        assert_eq!(open.excess(0.0).1, 4.3);
    }
}
