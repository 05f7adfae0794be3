//! The power fails again and again while the vehicle takes a new model: at each state as soon as it is told, and at moments
//! between. Each boot must find a model that speaks, and an update that has gone on, or was never begun.

use super::release::Release;
use super::{BOOT, Bench, STEP};
use crate::sil::Kind;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

/// The states on the way, as the agent calls them.
const STATES: [&str; 7] =
    ["offered", "downloading", "staged", "self-tested", "in shadow", "on trial", "committed"];
/// Those that the power is cut at, as soon as the agent tells of them.
const CUT_AT: [&str; 5] = ["downloading", "staged", "in shadow", "on trial", "committed"];
/// How long after the agent's start the power is cut at no state in particular: once before each of the above.
const CUT_AFTER: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(1_300),
    Duration::from_millis(400),
    Duration::from_millis(2_300),
    Duration::from_millis(900),
];
/// More boots than the above are wasted on an update that does not go on.
const MAX_BOOTS: usize = 16;

/// What the course came to.
#[derive(Default)]
pub(in crate::sil) struct Course {
    /// How often the power was cut.
    pub(in crate::sil) cuts: u64,
    /// The update's state that each boot found on the disk; `none` before the first.
    pub(in crate::sil) found: Vec<String>,
}

/// A boot's way to its end.
enum End {
    /// At a moment after the agent's start.
    After(Duration),
    /// When one of the states from here on is told.
    At(usize),
}

impl Bench<'_> {
    /// Rolls a release out and cuts the power until the vehicle has committed it.
    pub(super) fn take_an_update(&self) -> Result<Course> {
        Release { programs: self.programs, folder: &self.folder }.roll_out()?;
        let mut course = Course::default();
        let (mut told, mut next, mut between) = (None, 0, true);
        for _ in 0..MAX_BOOTS {
            let end = match CUT_AFTER.get(next) {
                Some(after) if between => End::After(*after),
                _ => End::At(next.min(CUT_AT.len() - 1)),
            };
            let until = match end {
                End::After(_) => "nothing".to_owned(),
                End::At(from) => CUT_AT[from..].join("|"),
            };
            self.write("plan", &format!("PHASE=update RATE={} UNTIL=\"{until}\"\n", self.rate_of_one()))?;
            let mut machine = self.boot()?;
            machine.console.expect("up", BOOT)?;
            let held = serde_json::from_str(&machine.console.expect("held", STEP)?.rest)?;
            let started = machine.console.expect("status", STEP)?.rest;
            let started = started.strip_prefix("started ").context("another status than expected")?;
            let state = found(&held, &serde_json::from_str(started)?, told)?;
            course.found.push(state.map_or("none", |state| STATES[state]).to_owned());
            told = told.max(state);
            if state == Some(STATES.len() - 1) {
                let after = machine.console.expect("status", STEP)?.rest;
                spoke(&serde_json::from_str(after.strip_prefix("updated ").context("another status")?)?)?;
                machine.console.expect("done", STEP)?;
                machine.wait(STEP)?;
                return Ok(course);
            }
            match end {
                End::After(after) => sleep(after),
                End::At(_) => {
                    let step = machine.console.expect("step", STEP)?.rest;
                    let place = STATES.iter().position(|state| *state == step);
                    let place = place.with_context(|| format!("the agent told of {step:?}"))?;
                    told = told.max(Some(place));
                }
            }
            machine.cut_power()?;
            course.cuts += 1;
            // What lies behind is not waited for again.
            next = CUT_AT.iter().take_while(|state| reached(state, told)).count();
            between = matches!(end, End::At(_));
        }
        bail!("after {} cuts the update is not committed: each boot found {:?}", course.cuts, course.found);
    }

    /// Frames a second on the bus with the cells, enough for the windows of this machine.
    const fn rate_of_one(&self) -> u32 {
        match self.kind {
            Kind::Uml => 4_000,
            Kind::Aarch64 => 2_000,
        }
    }
}

fn reached(state: &str, told: Option<usize>) -> bool {
    STATES.iter().position(|other| *other == state) <= told
}

/// The state of the update on the disk, held against the last that was told before the cut, and the model that speaks.
fn found(held: &Value, started: &Value, told: Option<usize>) -> Result<Option<usize>> {
    let state = match held.get(0).and_then(|family| family["state"].as_str()) {
        None => None,
        Some(state) => {
            let place = STATES.iter().position(|known| *known == state);
            Some(place.with_context(|| format!("the update of a good model is {state:?}: {held}"))?)
        }
    };
    ensure!(
        state >= told,
        "the agent had told of {:?}, the disk holds {state:?}: {held}",
        told.map(|t| STATES[t])
    );
    let models = started["models"].as_array().map_or(0, Vec::len);
    ensure!(models == 1, "{models} models run after the boot: {held}");
    let release = held.get(0).and_then(|family| family["release"].as_u64()).unwrap_or(0);
    let is_new = state >= STATES.iter().position(|state| *state == "committed");
    ensure!(!is_new || release == 1, "it was committed, and release {release} speaks: {held}");
    Ok(state)
}

/// The committed model judged windows of its own.
fn spoke(status: &Value) -> Result<()> {
    let family = &status["updates"][0];
    let is_whole = family["release"] == 1 && family["is_trial"] == false && family["floor"] == 1;
    let windows = status["capture"]["windows"].as_u64().unwrap_or(0);
    ensure!(is_whole && windows > 0, "in the end {windows} windows were judged, and {family}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_that_went_back_a_lost_model_and_a_refusal_are_told() {
        let one = json!({ "models": [{}] });
        let held = |state: &str, release: u32| json!([{ "state": state, "release": release }]);
        assert_eq!(found(&json!([]), &one, None).unwrap(), None);
        assert_eq!(found(&held("in shadow", 0), &one, Some(2)).unwrap(), Some(4));
        assert_eq!(found(&held("committed", 1), &one, Some(6)).unwrap(), Some(6));
        for (held, started, told, said) in [
            (held("staged", 0), &one, Some(4), "had told of Some(\"in shadow\")"),
            (json!([]), &one, Some(0), "the disk holds None"),
            (held("staged", 0), &json!({ "models": [] }), Some(2), "0 models run"),
            (held("rolled back: damaged on disk", 0), &one, Some(2), "of a good model"),
            (held("committed", 0), &one, Some(5), "release 0 speaks"),
        ] {
            let error = found(&held, started, told).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
