//! When to restart a controller that has cut itself off the bus.
//!
//! A controller that goes bus-off again and again disturbs the others each time it comes back. So the wait before a
//! restart is drawn from a range that doubles with each bus-off, and the range shrinks back only after the bus has
//! held for a while.

use crate::jitter::{Backoff, Dice};
use std::time::Duration;
use telltale_wire::time::MonoTime;

/// From half a second on average after the first bus-off to half a minute.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60), min: Duration::from_millis(100) };

/// A bus that has held for so long is sound again: the next bus-off counts as the first.
const STEADY: Duration = Duration::from_secs(120);

/// A restart that has not brought the controller back within this time is asked for again, as after a new bus-off.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// On the bus, as far as is known.
    On { since: Option<MonoTime> },
    /// Off; a restart is due then.
    Off { restart: MonoTime },
    /// A restart was asked for at that time.
    Asked { at: MonoTime },
}

/// The policy for one controller. It asks; the shell restarts.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    phase: Phase,
    failures: u32,
    dice: Dice,
}

impl RestartPolicy {
    /// A policy for a controller of which nothing is known.
    #[must_use]
    pub const fn new(seed: u64) -> RestartPolicy {
        RestartPolicy { phase: Phase::On { since: None }, failures: 0, dice: Dice::new(seed) }
    }

    /// The controller is bus-off. Saying it again changes nothing.
    pub fn handle_off(&mut self, now: MonoTime) {
        match self.phase {
            Phase::Off { .. } => {}
            Phase::Asked { at } if now.since(at) < PATIENCE => {}
            Phase::Asked { .. } => self.wait(now),
            Phase::On { since } => {
                if since.is_some_and(|since| now.since(since) >= STEADY) {
                    self.failures = 0;
                }
                self.wait(now);
            }
        }
    }

    /// The controller is on the bus, in whatever state.
    pub fn handle_on(&mut self, now: MonoTime) {
        if !matches!(self.phase, Phase::On { .. }) {
            self.phase = Phase::On { since: Some(now) };
        }
    }

    /// The controller is gone, or down: whoever brings it up again starts it anew.
    pub fn handle_gone(&mut self) {
        self.phase = Phase::On { since: None };
    }

    /// When [`RestartPolicy::poll_restart`] will ask.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<MonoTime> {
        match self.phase {
            Phase::Off { restart } => Some(restart),
            Phase::On { .. } | Phase::Asked { .. } => None,
        }
    }

    /// Whether to restart the controller now. Says so once a wait.
    pub fn poll_restart(&mut self, now: MonoTime) -> bool {
        let due = self.poll_timeout().is_some_and(|restart| now >= restart);
        if due {
            self.phase = Phase::Asked { at: now };
        }
        due
    }

    fn wait(&mut self, now: MonoTime) {
        let wait = BACKOFF.wait(self.failures, &mut self.dice);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Off { restart: now.plus(wait) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> MonoTime {
        MonoTime(ms * 1_000)
    }

    /// Goes bus-off at `now`, restarts when asked, and comes back; gives the wait.
    fn cycle(policy: &mut RestartPolicy, now: MonoTime) -> Duration {
        policy.handle_off(now);
        let due = policy.poll_timeout().unwrap();
        policy.handle_off(now.plus(Duration::from_micros(1)));
        assert_eq!(policy.poll_timeout(), Some(due), "a bus-off that is told twice is one");
        assert!(!policy.poll_restart(MonoTime(due.as_micros() - 1)));
        assert!(policy.poll_restart(due) && !policy.poll_restart(due));
        policy.handle_on(due);
        due.since(now)
    }

    #[test]
    fn waits_grow_to_a_cap_with_full_jitter() {
        let mut policy = RestartPolicy::new(7);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..300 {
            let wait = cycle(&mut policy, now);
            waits.push(wait);
            now = now.plus(wait).plus(Duration::from_secs(1));
        }
        assert!(waits[0] <= BACKOFF.first);
        let late = &waits[10..];
        assert!(late.iter().all(|wait| *wait >= BACKOFF.min && *wait <= BACKOFF.max));
        let mean = late.iter().map(Duration::as_secs_f64).sum::<f64>() / late.len() as f64;
        assert!((25.0..35.0).contains(&mean), "full jitter has its mean at half the range, not at {mean}");
        assert!(late.iter().any(|wait| *wait < Duration::from_secs(6)), "full jitter reaches down");
    }

    #[test]
    fn a_bus_that_held_begins_anew() {
        let mut policy = RestartPolicy::new(1);
        let mut now = at(0);
        for _ in 0..12 {
            now = now.plus(cycle(&mut policy, now)).plus(Duration::from_secs(1));
        }
        let steady = now.plus(STEADY);
        assert!(cycle(&mut policy, steady) <= BACKOFF.first);
    }

    #[test]
    fn a_restart_that_does_not_help_is_asked_for_again_later() {
        let mut policy = RestartPolicy::new(3);
        policy.handle_off(at(0));
        let first = policy.poll_timeout().unwrap();
        assert!(policy.poll_restart(first));
        policy.handle_off(first.plus(Duration::from_millis(500)));
        assert_eq!(policy.poll_timeout(), None, "it may still be on its way");
        policy.handle_off(first.plus(PATIENCE));
        assert!(policy.poll_timeout().unwrap() > first.plus(PATIENCE));
    }

    #[test]
    fn a_controller_that_is_gone_is_not_restarted() {
        let mut policy = RestartPolicy::new(3);
        policy.handle_off(at(0));
        policy.handle_gone();
        assert_eq!(policy.poll_timeout(), None);
        assert!(!policy.poll_restart(at(1_000_000)));
    }
}
