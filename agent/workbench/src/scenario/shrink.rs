//! Makes a failing scenario small: the earliest values of its matrix and the shortest drive that still fail in the same way.

use super::file::Scenario;
use super::run::{Outcome, RunError, Workshop};

/// A drive is cut this long behind the moment from which its failure was certain.
const MARGIN_S: f64 = 60.0;

/// A smaller scenario of the same file that fails in the same way as this one, with its outcome, and how many were tried;
/// the scenario itself where there is none. `siblings` are the scenarios of its file.
///
/// Each axis of the matrix is turned back as far as the failure stays, one after the other: a file lists its plainest
/// value first. The drive's end comes last.
///
/// # Errors
/// [`RunError`].
pub fn shrink(
    workshop: &Workshop,
    failing: &Scenario,
    siblings: &[Scenario],
) -> Result<(Scenario, Outcome, usize), RunError> {
    let (mut least, mut outcome, mut tried) = (failing.clone(), workshop.run(failing)?, 1);
    let words = |outcome: &Outcome| outcome.failures.iter().map(|f| f.word()).collect::<Vec<_>>();
    let Some(word) = words(&outcome).first().copied() else { return Ok((least, outcome, tried)) };
    for axis in 0..least.coordinates.len() {
        for place in 0..least.coordinates[axis] {
            let mut wanted = least.coordinates.clone();
            wanted[axis] = place;
            let Some(sibling) = siblings.iter().find(|s| s.coordinates == wanted && s.file == least.file)
            else {
                continue;
            };
            tried += 1;
            let came = workshop.run(sibling)?;
            if words(&came).contains(&word) {
                (least, outcome) = (sibling.clone(), came);
                break;
            }
        }
    }
    let certain = outcome.failures.iter().filter(|f| f.word() == word).find_map(|f| f.certain_at_s());
    if let Some(end_s) =
        certain.map(|at_s| at_s + MARGIN_S).filter(|end_s| *end_s < least.spec.hours * 3_600.0)
    {
        let shorter = least.clone().cut(end_s / 3_600.0);
        tried += 1;
        let came = workshop.run(&shorter)?;
        if words(&came).contains(&word) {
            (least, outcome) = (shorter, came);
        }
    }
    Ok((least, outcome, tried))
}
