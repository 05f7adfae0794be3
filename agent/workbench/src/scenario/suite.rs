//! Many scenarios on many threads. Which thread runs which changes nothing: each has its own vehicle, pipeline and cloud.

use super::coverage::Coverage;
use super::expect::Departure;
use super::file::Scenario;
use super::run::{Outcome, RunError, Workshop};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use telltale_wire::digest::Digest;

/// Scenarios with what came of them, in their order.
pub struct Suite {
    /// Each with its outcome.
    pub runs: Vec<(Scenario, Outcome)>,
    /// How long all of it took.
    pub took: Duration,
    /// On how many threads.
    pub jobs: usize,
}

/// What a suite came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdicts {
    /// Scenarios that held.
    pub passed: usize,
    /// And that did not.
    pub failed: usize,
    /// Scenarios a minute.
    pub per_minute: f64,
    /// Simulated time over real time.
    pub realtime_factor: f64,
    /// Simulated hours.
    pub hours: f64,
    /// Over the digests of all scenarios.
    pub digest: Digest,
}

/// Runs all scenarios, on as many threads as there are workshops. `seen` hears of each outcome as it comes, in no order.
///
/// # Errors
/// The first scenario that could not be run, by its identity.
pub fn run_all(
    scenarios: Vec<Scenario>,
    workshops: Vec<Workshop>,
    seen: impl Fn(&Scenario, &Outcome) + Sync,
) -> Result<Suite, Box<(String, RunError)>> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Outcome, RunError>)>> = Mutex::new(Vec::new());
    let jobs = workshops.len();
    thread::scope(|scope| {
        let (next, done, scenarios, seen) = (&next, &done, &scenarios, &seen);
        for workshop in workshops {
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(place) else { return };
                    let outcome = workshop.run(scenario);
                    if let Ok(outcome) = &outcome {
                        seen(scenario, outcome);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    let runs = scenarios.into_iter().zip(done).map(|(scenario, (_, outcome))| match outcome {
        Ok(outcome) => Ok((scenario, outcome)),
        Err(error) => Err(Box::new((scenario.id, error))),
    });
    Ok(Suite { runs: runs.collect::<Result<_, _>>()?, took: began.elapsed(), jobs })
}

impl Suite {
    /// What it came to.
    #[must_use]
    pub fn verdicts(&self) -> Verdicts {
        let failed = self.runs.iter().filter(|(_, outcome)| !outcome.failures.is_empty()).count();
        let simulated: f64 = self.runs.iter().map(|(_, outcome)| outcome.simulated.as_secs_f64()).sum();
        let digests: String = self.runs.iter().map(|(_, outcome)| outcome.digest.to_hex()).collect();
        let seconds = self.took.as_secs_f64().max(1e-9);
        Verdicts {
            passed: self.runs.len() - failed,
            failed,
            per_minute: self.runs.len() as f64 / seconds * 60.0,
            realtime_factor: simulated / seconds,
            hours: simulated / 3_600.0,
            digest: Digest::of(digests.as_bytes()),
        }
    }

    /// Of each true kind of departure that scenarios expect, how often which kind was told; `None` where none was.
    #[must_use]
    pub fn departures(&self) -> BTreeMap<Departure, BTreeMap<Option<Departure>, usize>> {
        let mut table: BTreeMap<Departure, BTreeMap<Option<Departure>, usize>> = BTreeMap::new();
        for (scenario, outcome) in &self.runs {
            for expectation in &scenario.expect {
                if let Some(is) = expectation.departure.first() {
                    *table.entry(*is).or_default().entry(expectation.told(outcome)).or_default() += 1;
                }
            }
        }
        table
    }

    /// What all of them went through.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let mut all = Coverage::default();
        self.runs.iter().for_each(|(_, outcome)| all.merge(&outcome.coverage));
        all
    }
}
