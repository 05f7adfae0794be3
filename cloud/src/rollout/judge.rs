//! What the evidence says of a running rollout: go on, wait, or halt, and why in words.

use super::engine::{Engine, Phase};
use super::evidence::{Evidence, Metric, Tally, excess};
use super::freeze::frozen_until;
use std::fmt;
use std::time::Duration;
use telltale_wire::time::WallTime;

/// What a look at the evidence comes to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Look {
    /// Pause or stop.
    Halt(Phase, String),
    /// Nothing to do yet.
    Wait(Waiting),
    /// This wave begins.
    Release(usize, String),
    /// All is done.
    Complete(String),
}

/// What a running rollout waits for.
#[derive(Clone, PartialEq, Debug)]
pub enum Waiting {
    /// More vehicles must end their update.
    Executed {
        /// So many have.
        executed: u64,
        /// So many must.
        needed: u64,
        /// So many are not waited for.
        absent: u64,
    },
    /// Enough have ended, and too few of them well; others are still to come.
    Success {
        /// The share that committed.
        share: f64,
        /// The share that must.
        needed: f64,
    },
    /// Nobody is left who could show anything: all are absent or were passed over.
    Nobody,
    /// It must stay so for a while.
    Hold {
        /// Until then.
        until: WallTime,
    },
    /// A second person must approve the next wave.
    Approval {
        /// The wave, from 0.
        wave: usize,
    },
    /// A freeze window of the plan.
    Freeze {
        /// Until then.
        until: WallTime,
    },
    /// The last wave has shown what it should, and some of its vehicles are under way.
    Rest {
        /// How many.
        left: u64,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executed { executed, needed, absent } => {
                write!(f, "{executed} of {needed} vehicles have ended their update")?;
                if *absent > 0 { write!(f, "; {absent} silent ones are not waited for") } else { Ok(()) }
            }
            Self::Success { share, needed } => {
                write!(f, "{} of them committed, {} must", percent(*share), percent(*needed))
            }
            Self::Nobody => f.write_str(
                "every vehicle of the wave is silent or was passed over: advance or stop it by hand",
            ),
            Self::Hold { until } => write!(f, "the wave has shown what it should, and holds until {until}"),
            Self::Approval { wave } => write!(f, "a second person must approve wave {}", wave + 1),
            Self::Freeze { until } => write!(f, "nothing may begin before {until}: a freeze window"),
            Self::Rest { left } => write!(f, "{left} vehicles of the last wave are under way"),
        }
    }
}

impl Engine {
    /// What the evidence asks for. Danger first, whatever else is the case.
    pub(super) fn look(&self, evidence: &Evidence, now: WallTime) -> Look {
        let Some(wave) = self.wave else {
            return self.next(0, "the first wave", now);
        };
        if let Some(halt) = self.danger(wave, evidence) {
            return halt;
        }
        let tally = evidence.wave(wave);
        if !self.is_met(wave, evidence) {
            return Look::Wait(self.unmet(wave, &tally));
        }
        let hold = Duration::from_secs(60 * u64::from(self.plan.waves[wave].hold_minutes));
        let until = WallTime(self.met_since.unwrap_or(now).0.saturating_add(hold.as_micros() as i64));
        if now < until && tally.size > 0 {
            return Look::Wait(Waiting::Hold { until });
        }
        let shown = shown(&tally);
        if wave + 1 < self.plan.waves.len() {
            return self.next(wave + 1, &shown, now);
        }
        let left: u64 = evidence.waves.iter().map(Tally::left).sum();
        if left > 0 { Look::Wait(Waiting::Rest { left }) } else { Look::Complete(shown) }
    }

    fn next(&self, wave: usize, why: &str, now: WallTime) -> Look {
        if self.lacks_approval(wave) {
            return Look::Wait(Waiting::Approval { wave });
        }
        match frozen_until(&self.plan.freezes, now) {
            Some(until) => Look::Wait(Waiting::Freeze { until }),
            None => Look::Release(wave, why.to_owned()),
        }
    }

    /// Whether the wave has shown what it should.
    pub(super) fn is_met(&self, wave: usize, evidence: &Evidence) -> bool {
        let tally = evidence.wave(wave);
        if tally.size == 0 {
            return true;
        }
        let executed = self.counted(&tally).0;
        executed >= self.needed(wave, &tally) && self.success(&tally) >= self.plan.waves[wave].success
    }

    fn unmet(&self, wave: usize, tally: &Tally) -> Waiting {
        let (executed, needed) = (self.counted(tally).0, self.needed(wave, tally));
        if executed == 0 && tally.left() == 0 {
            Waiting::Nobody
        } else if executed < needed {
            Waiting::Executed { executed, needed, absent: tally.absent }
        } else {
            Waiting::Success { share: self.success(tally), needed: self.plan.waves[wave].success }
        }
    }

    /// Vehicles that must have ended: the plan's number, or all who can of a smaller wave, but never none.
    fn needed(&self, wave: usize, tally: &Tally) -> u64 {
        let able = self.counted(tally).0 + tally.left();
        u64::from(self.plan.waves[wave].min_executed).min(able).max(1)
    }

    /// Executed vehicles and failures of the wave, without those that a person excused.
    fn counted(&self, tally: &Tally) -> (u64, u64) {
        without(tally, self.excused.0)
    }

    fn success(&self, tally: &Tally) -> f64 {
        let (executed, faults) = self.counted(tally);
        1.0 - share(faults, executed)
    }

    /// What halts the rollout, if anything does.
    pub(super) fn danger(&self, wave: usize, evidence: &Evidence) -> Option<Look> {
        let gates = &self.plan.gates;
        let alpha = gates.error_rate / Metric::ALL.len() as f64;
        let proven = |metric: Metric, limit: f64| evidence.readings.of(metric).is_above(limit, alpha);
        let n = |metric| evidence.readings.of(metric).len();
        let tally = evidence.wave(wave);
        let is_judged = self.counted(&tally).0 >= self.needed(wave, &tally);
        // Failures end sooner than successes, so that an early share errs on the safe side.
        // A later wave's failures must not hide behind the successes of the earlier ones, nor the other way round.
        let shares = [
            ("of the wave", self.counted(&tally)),
            ("of all waves", without(&evidence.through(wave), self.excused.1)),
        ];
        let above = |limit: f64| {
            let (where_, (executed, faults)) =
                shares.into_iter().find(|(_, (executed, faults))| share(*faults, *executed) > limit)?;
            let is = if is_judged { percent(share(faults, executed)) } else { return None };
            Some(format!("{faults} of {executed} vehicles {where_} failed: {is}, above {}", percent(limit)))
        };
        let by_proof = |metric: Metric, limit: f64, allowed: f64| {
            proven(metric, limit).then(|| {
                format!(
                    "{}: proven above {} by {} vehicles, at an error rate of {}",
                    metric.word(),
                    percent(allowed),
                    n(metric),
                    percent(alpha)
                )
            })
        };
        let stop = above(gates.stop_above)
            .or_else(|| by_proof(Metric::Failure, gates.stop_above, gates.stop_above))
            .or_else(|| {
                by_proof(Metric::ExcessFailure, excess(gates.max_excess_failures), gates.max_excess_failures)
            });
        if let Some(why) = stop {
            return Some(Look::Halt(Phase::Stopped, why));
        }
        let pause = above(gates.pause_above)
            .or_else(|| by_proof(Metric::Failure, gates.pause_above, gates.pause_above))
            .or_else(|| by_proof(Metric::Disagreement, gates.max_disagreement, gates.max_disagreement))
            .or_else(|| self.cannot_succeed(wave, &tally));
        pause.map(|why| Look::Halt(Phase::Paused, why))
    }

    /// A wave that has ended below its threshold would wait for ever.
    fn cannot_succeed(&self, wave: usize, tally: &Tally) -> Option<String> {
        let (executed, _) = self.counted(tally);
        let is_over = executed > 0 && tally.left() == 0;
        let needed = self.plan.waves[wave].success;
        (is_over && self.success(tally) < needed).then(|| {
            format!(
                "the wave has ended: {} of {executed} committed, {} must",
                percent(self.success(tally)),
                percent(needed)
            )
        })
    }
}

fn without(tally: &Tally, excused: u64) -> (u64, u64) {
    let excused = excused.min(tally.faults());
    (tally.executed() - excused, tally.faults() - excused)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn shown(tally: &Tally) -> String {
    if tally.size == 0 {
        return "no vehicle belongs to the wave before".to_owned();
    }
    let mut text = format!("{} of {} vehicles committed", tally.committed, tally.executed());
    for (number, what) in [(tally.absent, "silent"), (tally.passed_over, "passed over")] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text
}

/// `2 %`, `0.5 %`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.005 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.2} %")
    }
}
