//! What an intruder or a failing unit does to the frames of a step before they reach the bus.

use crate::bus::{FRAME_US, Outgoing, protection, sender};
use crate::fault::{Ecu, Fault, Kind, Target};
use crate::random::{Draws, Use};
use std::collections::VecDeque;
use std::ops::Range;

/// The identifier of a flood: nothing goes before it.
const FLOOD_ID: u16 = 0;
/// Frames that a replaying intruder remembers: 60 s of the faster bus and some. 512 kB.
const MAX_RECORDED: usize = 16_384;
/// A replay starts when so much of its window is recorded.
const ENOUGH: f64 = 0.9;
/// `missing-ecu` is silent for a share of this many seconds.
const SILENCE_CYCLE_S: f64 = 60.0;

/// A fault of the bus, with what it remembers.
pub(crate) struct Attack {
    fault: Fault,
    draws: Draws,
    memory: Memory,
}

enum Memory {
    Nothing,
    /// When the next frame of the flood is due, in microseconds.
    Flood {
        next_us: f64,
    },
    Replay {
        recorded: VecDeque<Outgoing>,
        next: usize,
        shift_us: Option<i64>,
    },
    /// The message's last content.
    Masquerade {
        held: Option<[u8; 8]>,
    },
}

impl Attack {
    /// `None` for a fault that is not one of the bus.
    pub(crate) fn new(seed: u64, fault: Fault) -> Option<Attack> {
        let memory = match fault.kind {
            Kind::CanFlood => Memory::Flood { next_us: 0.0 },
            Kind::Replay => Memory::Replay { recorded: VecDeque::new(), next: 0, shift_us: None },
            Kind::Masquerade => Memory::Masquerade { held: None },
            Kind::MissingEcu => Memory::Nothing,
            _ => return None,
        };
        Some(Attack { fault, draws: Draws::new(seed, Use::Attacker), memory })
    }

    /// Changes what one unit sends in this step.
    pub(crate) fn meddle(&mut self, step: &Range<i64>, unit: Ecu, frames: &mut Vec<Outgoing>) {
        let target = match self.fault.target {
            Target::Message(id) => sender(id),
            Target::Ecu(ecu) => Some(ecu),
            _ => None,
        };
        if target != Some(unit) {
            return;
        }
        let fault = self.fault;
        let holds = |due_us: i64| fault.holds(due_us as f64 / 1e6);
        match &mut self.memory {
            Memory::Nothing => {
                let since_s = |due_us: i64| due_us as f64 / 1e6 - fault.onset_s;
                let silent = |due_us| since_s(due_us) % SILENCE_CYCLE_S < fault.size * SILENCE_CYCLE_S;
                frames.retain(|frame| !(holds(frame.due_us) && silent(frame.due_us)));
            }
            Memory::Flood { next_us } => {
                // No more than fits: an intruder's controller waits for its frame, too.
                let apart_us = (1e6 / fault.size).max(FRAME_US as f64);
                *next_us = next_us.max(step.start as f64).max(fault.onset_s * 1e6);
                while (*next_us as i64) < step.end {
                    let due_us = *next_us as i64;
                    if holds(due_us) {
                        frames.push(Outgoing { due_us, id: FLOOD_ID, data: [0; 8] });
                    }
                    *next_us += apart_us;
                }
            }
            Memory::Masquerade { held } => {
                let Target::Message(id) = fault.target else { return };
                for frame in frames.iter_mut().filter(|frame| frame.id == id) {
                    if !holds(frame.due_us) {
                        *held = Some(frame.data);
                        continue;
                    }
                    let mut data = *held.get_or_insert(frame.data);
                    if let Some(protection) = protection(id) {
                        let mut counter = protection.counter(&frame.data);
                        protection.apply(id, &mut counter, &mut data);
                    }
                    frame.data = data;
                    frame.due_us += self.draws.bell(fault.size).abs() as i64;
                }
            }
            Memory::Replay { recorded, next, shift_us } => {
                let window_us = (fault.size * 1e6) as i64;
                let span = |recorded: &VecDeque<Outgoing>| match (recorded.front(), recorded.back()) {
                    (Some(first), Some(last)) => last.due_us - first.due_us,
                    _ => 0,
                };
                let may_start = holds(step.start) && span(recorded) as f64 >= ENOUGH * window_us as f64;
                if !may_start && shift_us.is_none() {
                    record(recorded, frames, window_us);
                    return;
                }
                if !holds(step.start) {
                    return;
                }
                repeat(recorded, next, shift_us, step, frames);
            }
        }
    }
}

/// Remembers what a unit sends, no longer than the window.
fn record(recorded: &mut VecDeque<Outgoing>, frames: &[Outgoing], window_us: i64) {
    let first = recorded.len();
    recorded.extend(frames);
    recorded.make_contiguous()[first..].sort_unstable_by_key(|frame| (frame.due_us, frame.id));
    let newest = recorded.back().map_or(0, |frame| frame.due_us);
    while recorded.len() > MAX_RECORDED
        || recorded.front().is_some_and(|frame| frame.due_us <= newest - window_us)
    {
        recorded.pop_front();
    }
}

/// Sends the recorded frames again, over and over.
fn repeat(
    recorded: &VecDeque<Outgoing>,
    next: &mut usize,
    shift_us: &mut Option<i64>,
    step: &Range<i64>,
    frames: &mut Vec<Outgoing>,
) {
    let (Some(first), Some(last)) = (recorded.front(), recorded.back()) else { return };
    let round_us = last.due_us - first.due_us + FRAME_US;
    let shift_us = shift_us.get_or_insert(step.start - first.due_us);
    // A vehicle that slept goes on where it was.
    if recorded[*next].due_us + *shift_us < step.start {
        *shift_us = step.start - recorded[*next].due_us;
    }
    while recorded[*next].due_us + *shift_us < step.end {
        let frame = recorded[*next];
        frames.push(Outgoing { due_us: frame.due_us + *shift_us, ..frame });
        *next += 1;
        if *next == recorded.len() {
            *next = 0;
            *shift_us += round_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_US: i64 = 100_000;

    /// A unit that sends 0x180 ten times a second, its count in byte 0, with an attack on it.
    fn attacked(fault: &str, steps: i64) -> Vec<Outgoing> {
        let mut attack = Attack::new(1, fault.parse().unwrap()).unwrap();
        let mut all = Vec::new();
        for step in 0..steps {
            let mut frames =
                vec![Outgoing { due_us: step * STEP_US, id: 0x180, data: [step as u8, 0, 0, 0, 0, 0, 0, 0] }];
            attack.meddle(&(step * STEP_US..(step + 1) * STEP_US), Ecu::Bms, &mut frames);
            all.append(&mut frames);
        }
        all
    }

    #[test]
    fn a_flood_has_its_rate_from_its_onset_to_its_end() {
        let all = attacked("can-flood:rate=1000,onset=2,for=3", 100);
        let flood: Vec<&Outgoing> = all.iter().filter(|frame| frame.id == FLOOD_ID).collect();
        assert_eq!(flood.len(), 3_000);
        assert!(flood.iter().all(|frame| (2_000_000..5_000_000).contains(&frame.due_us)));
        assert_eq!(all.len() - flood.len(), 100, "the unit goes on");
    }

    #[test]
    fn a_replay_repeats_its_window_beside_the_unit() {
        let all = attacked("replay:window_s=1,onset=5", 80);
        let late: Vec<u8> = all.iter().filter(|frame| frame.due_us >= 6_000_000).map(|f| f.data[0]).collect();
        let (old, new): (Vec<u8>, Vec<u8>) = late.iter().partition(|count| **count < 50);
        assert_eq!(new.len(), 20);
        assert!(
            (19..=24).contains(&old.len()) && old.iter().all(|count| (40..50).contains(count)),
            "{old:?}"
        );
        assert!(all.iter().filter(|f| f.due_us < 5_000_000).count() == 50, "nothing before");
    }

    #[test]
    fn a_masquerade_holds_the_content_and_keeps_the_counter() {
        let all = attacked("masquerade:message=0x180,onset=5", 80);
        assert_eq!(all.len(), 80);
        assert!(all[50..].iter().all(|frame| frame.data[0] == 49));
        assert!(all[50..].iter().all(|frame| crate::protect::seal(&frame.data[..7]) == frame.data[7]));
        assert!(all[50..].iter().any(|frame| frame.due_us % STEP_US > 100), "its timing is not the unit's");
    }

    #[test]
    fn a_missing_unit_is_silent_for_its_share() {
        assert!(attacked("missing-ecu:onset=5", 80).len() == 50);
        let half = attacked("missing-ecu:onset=0,share=0.5", 6_000).len();
        assert_eq!(half, 3_000);
    }
}
