//! How loaded a bus is: bits of each shape of frame, and the time they take.
//!
//! A receiver does not see stuffed bits, so there are two counts of them. *Worst*: a stuffed bit after every four, which
//! is the most that can occur (R. I. Davis et al., "Controller Area Network (CAN) schedulability analysis: Refuted,
//! revisited and revised", 2007). *Nominal*: one in 30, because random bits need 30 further ones on average until five
//! are equal (the stuffed bit itself begins the next run).
//!
//! - Classic (ISO 11898-1, 10.4.2), n bytes: `g + 8n + 13` bits, g = 34 of standard and 54 of extended format from the
//!   start of frame to the CRC; stuffing falls on g + 8n of them; 13 are CRC delimiter, acknowledgement, end of frame and
//!   the space of three. Worst case: `floor((g + 8n - 1) / 4)` more.
//! - FD (ISO 11898-1, 10.4.2 and 10.5): arbitration of 17 or 36 bits and 13 bits of tail at the nominal bitrate; between
//!   them error state, length (5 bits), 8n bits of data, the stuff count (4) and a CRC of 17 bits up to 16 bytes, else
//!   21, with 6 or 7 fixed stuffed bits, at the data bitrate. Stuffing falls on what stands before the stuff count.
//!   Frames are taken to switch their bitrate: sources do not tell.
//!
//! Remote frames count as frames without data; error frames are signals of the controller and have no length.

use crate::catalog::Bus;
use crate::frame::{CanFrame, CanId, FrameKind};
use std::time::Duration;
use telltale_wire::signals::BusLoad;

/// Random bits up to a stuffed one.
const BITS_PER_STUFFED: u64 = 30;
/// Classic and FD, standard and extended, each with 0 to 64 bytes: 260 counters, 1 kB a bus.
const SHAPES: usize = 4 * LENGTHS;
const LENGTHS: usize = CanFrame::MAX_LEN + 1;

/// The frames of one bus in the stretch under way.
pub(super) struct BusTally {
    /// Frames of the step under way, by shape.
    step: Box<[u32; SHAPES]>,
    cost: Box<[Cost; SHAPES]>,
    frames: u64,
    nominal: Sum,
    worst: Sum,
    silent: u32,
    longest_silence: u32,
    /// Airtime with nominal stuffing of all steps that are over, since the start.
    nanos: u64,
}

/// Bits so far, the time they took, and the longest time of one step.
#[derive(Clone, Copy, Default)]
struct Sum {
    bits: u64,
    nanos: u64,
    peak: u64,
}

/// What one frame of a shape costs, with nominal and with worst-case stuffing.
#[derive(Clone, Copy, Default)]
struct Cost {
    nominal: Airtime,
    worst: Airtime,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Airtime {
    bits: u32,
    nanos: u32,
}

impl BusTally {
    pub(super) fn new(bus: &Bus) -> BusTally {
        let mut cost = Box::new([Cost::default(); SHAPES]);
        for (shape, cost) in cost.iter_mut().enumerate() {
            let (len, kind) = ((shape % LENGTHS) as u64, shape / LENGTHS);
            let bits = if kind >= 2 { fd_bits(kind == 3, len) } else { classic_bits(kind == 1, len) };
            *cost = Cost { nominal: bits.nominal.airtime(bus), worst: bits.worst.airtime(bus) };
        }
        BusTally {
            step: Box::new([0; SHAPES]),
            cost,
            frames: 0,
            nominal: Sum::default(),
            worst: Sum::default(),
            silent: 0,
            longest_silence: 0,
            nanos: 0,
        }
    }

    /// For how long the bus was busy since the start, in nanoseconds, with nominal stuffing.
    pub(super) fn busy_nanos(&self) -> u64 {
        let step = self.step.iter().zip(self.cost.iter()).filter(|(count, _)| **count > 0);
        let under_way: u64 =
            step.map(|(count, cost)| u64::from(*count) * u64::from(cost.nominal.nanos)).sum();
        self.nanos + under_way
    }

    /// Takes over what was counted since the start on the same bus before. Its stretch has been told.
    pub(super) fn inherit(&mut self, before: &BusTally) {
        self.nanos = before.busy_nanos();
    }

    #[inline]
    pub(super) fn count(&mut self, frame: &CanFrame) {
        let kind = match frame.kind {
            FrameKind::Classic | FrameKind::Remote => 0,
            FrameKind::Fd => 2 * LENGTHS,
            FrameKind::Error => return,
        };
        let extended = if matches!(frame.id, CanId::Extended(_)) { LENGTHS } else { 0 };
        if let Some(count) = self.step.get_mut(kind + extended + frame.len()) {
            *count += 1;
        }
    }

    /// Ends a step.
    pub(super) fn tick(&mut self) {
        let (mut nominal, mut worst, mut frames) = (0, 0, 0);
        for (count, cost) in self.step.iter_mut().zip(self.cost.iter()).filter(|(count, _)| **count > 0) {
            let n = u64::from(std::mem::take(count));
            frames += n;
            for (sum, nanos, cost) in
                [(&mut self.nominal, &mut nominal, cost.nominal), (&mut self.worst, &mut worst, cost.worst)]
            {
                sum.bits += n * u64::from(cost.bits);
                *nanos += n * u64::from(cost.nanos);
            }
        }
        self.nominal.add(nominal);
        self.nanos += nominal;
        self.worst.add(worst);
        self.frames += frames;
        self.silent = if frames == 0 { self.silent + 1 } else { 0 };
        self.longest_silence = self.longest_silence.max(self.silent);
    }

    /// What the stretch came to; begins a new one.
    pub(super) fn take(&mut self, steps: u32, step: Duration) -> BusLoad {
        let (nominal, worst) = (std::mem::take(&mut self.nominal), std::mem::take(&mut self.worst));
        let stretch = u64::from(steps) * step.as_nanos() as u64;
        self.silent = 0;
        BusLoad {
            frames: std::mem::take(&mut self.frames),
            nominal_bits: nominal.bits,
            worst_bits: worst.bits,
            nominal_load: per_mille(nominal.nanos, stretch),
            nominal_peak: per_mille(nominal.peak, step.as_nanos() as u64),
            worst_load: per_mille(worst.nanos, stretch),
            worst_peak: per_mille(worst.peak, step.as_nanos() as u64),
            longest_silence: std::mem::take(&mut self.longest_silence),
        }
    }
}

impl Sum {
    fn add(&mut self, nanos: u64) {
        self.nanos += nanos;
        self.peak = self.peak.max(nanos);
    }
}

fn per_mille(part: u64, whole: u64) -> u16 {
    (part * 1_000).checked_add(whole / 2).and_then(|sum| sum.checked_div(whole)).unwrap_or(0).min(65_535)
        as u16
}

/// Bits of a frame at the nominal bitrate, and those at the data bitrate.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bits {
    arbitration: u64,
    data: u64,
}

struct Stuffed {
    nominal: Bits,
    worst: Bits,
}

impl Bits {
    fn airtime(self, bus: &Bus) -> Airtime {
        let nanos = |bits: u64, rate: u32| bits * 1_000_000_000 / u64::from(rate.max(1));
        let nanos = nanos(self.arbitration, bus.bitrate) + nanos(self.data, bus.data_bitrate);
        Airtime { bits: (self.arbitration + self.data) as u32, nanos: nanos.min(u64::from(u32::MAX)) as u32 }
    }
}

const fn classic_bits(extended: bool, len: u64) -> Stuffed {
    let stuffable = if extended { 54 } else { 34 } + 8 * len;
    let plain = stuffable + 13;
    Stuffed {
        nominal: Bits { arbitration: plain + stuffable / BITS_PER_STUFFED, data: 0 },
        worst: Bits { arbitration: plain + (stuffable - 1) / 4, data: 0 },
    }
}

const fn fd_bits(extended: bool, len: u64) -> Stuffed {
    let arbitration = if extended { 36 } else { 17 };
    let checked = 5 + 8 * len;
    let crc = if len <= 16 { 4 + 17 + 6 } else { 4 + 21 + 7 };
    let stuffable = arbitration + checked;
    let worst_arbitration = (arbitration - 1) / 4;
    Stuffed {
        nominal: Bits {
            arbitration: arbitration + 13 + arbitration / BITS_PER_STUFFED,
            data: checked + crc + stuffable / BITS_PER_STUFFED - arbitration / BITS_PER_STUFFED,
        },
        worst: Bits {
            arbitration: arbitration + 13 + worst_arbitration,
            data: checked + crc + (stuffable - 1) / 4 - worst_arbitration,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::BusId;
    use telltale_wire::time::MonoTime;

    fn bus() -> Bus {
        let (name, interface) = ("b".to_owned(), "can0".to_owned());
        Bus {
            name,
            interface,
            channels: vec![],
            databases: vec![],
            bitrate: 500_000,
            data_bitrate: 2_000_000,
        }
    }

    fn frame(kind: FrameKind, id: CanId, len: usize) -> CanFrame {
        CanFrame::new(MonoTime(0), BusId(0), id, kind, &[0; 64][..len]).unwrap()
    }

    #[test]
    fn classic_frames_have_the_bits_of_the_literature() {
        // Davis et al.: 135 bits for 8 bytes in standard format, 160 in extended format.
        assert_eq!(classic_bits(false, 8).worst.arbitration, 135);
        assert_eq!(classic_bits(true, 8).worst.arbitration, 160);
        assert_eq!(classic_bits(false, 0).worst.arbitration, 55);
        // 111 bits without a stuffed one, and three on 98 random ones.
        assert_eq!(classic_bits(false, 8).nominal.arbitration, 114);
    }

    #[test]
    fn fd_frames_switch_the_bitrate() {
        let longest = fd_bits(false, 64);
        assert_eq!(longest.worst, Bits { arbitration: 17 + 13 + 4, data: 5 + 512 + 32 + (534 - 1) / 4 - 4 });
        assert_eq!(fd_bits(false, 16).nominal.data - fd_bits(false, 12).nominal.data, 34);
        let airtime = longest.worst.airtime(&bus());
        assert_eq!(airtime.nanos, 34 * 2_000 + 678 * 500);
    }

    #[test]
    fn a_full_second_is_the_peak_and_silence_is_counted() {
        let mut tally = BusTally::new(&bus());
        let step = Duration::from_secs(1);
        let full = frame(FrameKind::Classic, CanId::Standard(1), 8);
        (0..3_000).for_each(|_| tally.count(&full));
        tally.tick();
        tally.count(&frame(FrameKind::Remote, CanId::Extended(1), 0));
        tally.count(&frame(FrameKind::Error, CanId::Standard(1), 8));
        (0..3).for_each(|_| tally.tick());
        let load = tally.take(4, step);
        assert_eq!((load.frames, load.longest_silence), (3_001, 2));
        assert_eq!(load.nominal_bits, 3_000 * 114 + 68);
        assert_eq!(load.worst_bits, 3_000 * 135 + 80);
        // 3,000 frames of 228 us, and of 270 us.
        assert_eq!((load.nominal_peak, load.worst_peak), (684, 810));
        assert_eq!((load.nominal_load, load.worst_load), (171, 203));
        assert_eq!(tally.take(4, step), BusLoad::default());
        tally.count(&full);
        assert_eq!(
            tally.busy_nanos(),
            (3_001 * 114 + 68) * 2_000,
            "what is told goes on, the step under way included"
        );
    }
}
