//! What the catalog says of good data: signals that must agree, and the ways of operating.

use super::CatalogSignal;
use super::file::{CheckEntry, ConditionEntry, RegimeEntry};
use super::names::did_you_mean;
use super::names::{expand, has_placeholder, parse_range};
use crate::dbc::Findings;
use crate::signal::SignalId;
use serde::Deserialize;
use std::collections::HashMap;
use telltale_wire::unit::Unit;

/// The most checks; each is computed at every step of the statistics, in as many additions as it has signals.
pub const MAX_CHECKS: usize = 64;
/// The most regimes.
pub const MAX_REGIMES: usize = 16;
/// The most conditions of a regime.
pub const MAX_CONDITIONS: usize = 8;
/// The most signals that all checks together combine: 2 bytes each.
const MAX_OPERANDS: usize = 8_192;
/// The longest name of a check or a regime, in bytes. It travels in the statistics' directory.
const MAX_NAME: usize = 80;

/// Signals that must agree: `scale` times their combination equals another signal.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What is combined.
    pub signals: Vec<SignalId>,
    /// How.
    pub of: Combination,
    /// Factor on the combination, to the unit of `equals`.
    pub scale: f64,
    /// What it is compared with.
    pub equals: SignalId,
    /// The unit of `equals`, and of the tolerance.
    pub unit: Unit,
    /// The difference that is still consistent.
    pub tolerance: f64,
}

/// How the signals of a check are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combination {
    /// Their sum, as of cells in series.
    Sum,
    /// Their mean.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their product, as of voltage and current.
    Product,
}

/// A way of operating, such as charging.
#[derive(Clone, PartialEq, Debug)]
pub struct Regime {
    /// Its name.
    pub name: String,
    /// All must hold.
    pub when: Vec<Condition>,
}

/// What must hold of a signal: above the one and below the other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Condition {
    /// The signal.
    pub signal: SignalId,
    /// Not included; negative infinity if there is no such limit.
    pub above: f64,
    /// Not included; infinity if there is no such limit.
    pub below: f64,
}

/// Finds the signals that checks and regimes name, and tells what it can't find.
pub(super) struct Resolver<'r> {
    pub(super) signals: &'r [CatalogSignal],
    pub(super) by_vss: &'r HashMap<String, SignalId>,
    pub(super) findings: &'r mut Findings,
}

impl Resolver<'_> {
    pub(super) fn checks(&mut self, entries: Vec<(u32, CheckEntry)>) -> Vec<Check> {
        let (mut checks, mut operands) = (Vec::new(), 0);
        for (line, entry) in entries {
            let name = entry.name.get_ref().clone();
            match self.check(&name, &entry) {
                Ok(check) => {
                    operands += check.signals.len();
                    if checks.len() >= MAX_CHECKS || operands > MAX_OPERANDS {
                        let text = format!(
                            "a catalog has at most {MAX_CHECKS} checks of {MAX_OPERANDS} signals together"
                        );
                        self.findings.error(line, &name, text);
                        break;
                    }
                    checks.push(check);
                }
                Err(why) => self.findings.error(line, &name, why),
            }
        }
        checks
    }

    fn check(&self, name: &str, entry: &CheckEntry) -> Result<Check, String> {
        check_name(name)?;
        let CheckEntry { of, n, equals, scale, tolerance, .. } = entry;
        let range = match n {
            Some(n) => Some(parse_range(n.get_ref()).ok_or("`n` is to be a range such as \"1..88\"")?),
            None => None,
        };
        let mut signals = Vec::new();
        for path in entry.signals.iter().map(|path| path.get_ref()) {
            match &range {
                Some(range) if has_placeholder(path) => {
                    // The catalog's own bound on numbered signals holds here too: a number too many is not found.
                    for n in range.clone() {
                        signals.push(self.find(&expand(path, n))?);
                    }
                }
                _ => signals.push(self.find(path)?),
            }
        }
        let scale = scale.unwrap_or(1.0);
        if signals.is_empty() {
            return Err("`signals` names none".into());
        }
        if !(scale.is_finite() && tolerance.is_finite() && *tolerance >= 0.0) {
            return Err("`scale` and `tolerance` are to be finite, `tolerance` not negative".into());
        }
        let equals = self.find(equals.get_ref())?;
        let unit = self.signals.get(equals.index()).map_or(Unit::None, |signal| signal.unit);
        Ok(Check { name: name.to_owned(), signals, of: *of, scale, equals, unit, tolerance: *tolerance })
    }

    pub(super) fn regimes(&mut self, entries: Vec<(u32, RegimeEntry)>) -> Vec<Regime> {
        let mut regimes: Vec<Regime> = Vec::new();
        for (line, entry) in entries {
            let name = entry.name.get_ref();
            let regime = match self.regime(name, &entry.when) {
                Ok(_) if regimes.len() >= MAX_REGIMES => {
                    Err(format!("a catalog has at most {MAX_REGIMES} regimes"))
                }
                Ok(_) if regimes.iter().any(|regime| regime.name == *name) => {
                    Err("a regime of this name already stands above".into())
                }
                other => other,
            };
            match regime {
                Ok(regime) => regimes.push(regime),
                Err(why) => self.findings.error(line, name, why),
            }
        }
        regimes
    }

    fn regime(&self, name: &str, when: &[ConditionEntry]) -> Result<Regime, String> {
        check_name(name)?;
        if when.is_empty() || when.len() > MAX_CONDITIONS {
            return Err(format!("`when` is to hold 1 to {MAX_CONDITIONS} conditions"));
        }
        let condition = |entry: &ConditionEntry| {
            let given = [entry.above, entry.below];
            if given == [None, None] || given.iter().flatten().any(|limit| !limit.is_finite()) {
                return Err("a condition needs `above` or `below`, a finite number".to_owned());
            }
            Ok(Condition {
                signal: self.find(entry.signal.get_ref())?,
                above: entry.above.unwrap_or(f64::NEG_INFINITY),
                below: entry.below.unwrap_or(f64::INFINITY),
            })
        };
        Ok(Regime { name: name.to_owned(), when: when.iter().map(condition).collect::<Result<_, _>>()? })
    }

    fn find(&self, path: &str) -> Result<SignalId, String> {
        self.by_vss.get(path).copied().ok_or_else(|| {
            let hint = did_you_mean(path, self.by_vss.keys().map(String::as_str));
            format!("the catalog has no signal {path}{hint}")
        })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control);
    if fits { Ok(()) } else { Err(format!("a name has 1 to {MAX_NAME} bytes and no control characters")) }
}
