//! The two halves of the bridge against each other, over lines that spoil bytes: the microcontroller's forwarder and
//! the agent's link, in virtual time. Every frame arrives as it was sent, or is counted, whatever the line does.

use embedded_can::{Frame, Id, StandardId};
use std::collections::VecDeque;
use std::convert::Infallible;
use telltale_bridge::{Forwarder, Kept};
use telltale_core::bridge::{BridgeConfig, BridgeLink, MAX_TRANSMIT, acceptance};
use telltale_core::frame::{BusId, CanFrame, CanId};
use telltale_wire::time::MonoTime;

const RING: usize = 32 * 1024;

/// The step of virtual time, in microseconds.
const STEP_US: u64 = 1_000;

/// One in a hundred.
const ONE_PERCENT: u32 = u32::MAX / 100;

/// xorshift32.
pub(crate) struct Dice(pub(crate) u32);

impl Dice {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// Spoils bytes: some become others, some have a bit flipped, some are missing, some are too many.
fn spoil(bytes: &[u8], dice: &mut Dice, rate: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if dice.next() >= rate {
            out.push(*byte);
            continue;
        }
        match dice.next() % 4 {
            0 => out.push(dice.next() as u8),
            1 => out.push(*byte ^ 1 << (dice.next() % 8)),
            2 => {}
            _ => out.extend([*byte, dice.next() as u8]),
        }
    }
    out
}

/// A frame that carries its own number, so that one which was changed on the way is seen.
pub(crate) struct Numbered([u8; 4]);

impl Numbered {
    pub(crate) fn of(number: u32) -> Numbered {
        Numbered(number.to_le_bytes())
    }
}

fn id_of(number: u32) -> u16 {
    (number % 0x700) as u16
}

impl Frame for Numbered {
    fn new(_: impl Into<Id>, data: &[u8]) -> Option<Self> {
        data.try_into().ok().map(Self)
    }
    fn new_remote(_: impl Into<Id>, _: usize) -> Option<Self> {
        None
    }
    fn is_extended(&self) -> bool {
        false
    }
    fn is_remote_frame(&self) -> bool {
        false
    }
    fn id(&self) -> Id {
        Id::Standard(StandardId::new(id_of(u32::from_le_bytes(self.0))).unwrap())
    }
    fn dlc(&self) -> usize {
        self.0.len()
    }
    fn data(&self) -> &[u8] {
        &self.0
    }
}

/// What the line takes in one step, and what it took.
#[derive(Default)]
struct Line {
    room: usize,
    bytes: Vec<u8>,
}

impl embedded_io::ErrorType for Line {
    type Error = Infallible;
}

impl embedded_io::WriteReady for Line {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.room > 0)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let taken = bytes.len().min(self.room);
        self.bytes.extend(&bytes[..taken]);
        self.room -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What is played: how many frames a second, over which line, how spoilt, and how often one side goes away.
struct Play {
    seconds: u64,
    frames_per_second: u64,
    bytes_per_second: u64,
    spoilt: u32,
    /// The agent's connection is cut this often.
    cut_s: Option<u64>,
    /// The microcontroller restarts this often.
    restart_s: Option<u64>,
    /// The agent does not listen from this second to that.
    away_s: Option<(u64, u64)>,
}

const QUIET: Play = Play {
    seconds: 10,
    frames_per_second: 1_000,
    bytes_per_second: 156_250,
    spoilt: 0,
    cut_s: None,
    restart_s: None,
    away_s: None,
};

/// What came of it.
#[derive(Debug)]
struct Played {
    sent: u64,
    came: u64,
    lost: u64,
    dropped: u64,
    bad_messages: u64,
}

/// Plays it, and checks what must hold whatever happens: no frame comes twice, changed or out of order, times never go
/// back, and at the end every number has come or was counted.
fn play(play: &Play, seed: u32) -> Played {
    let mut kept = Kept::<RING>::new();
    let mut bridge = Forwarder::new(&mut kept, 7);
    let wanted: Vec<(u8, CanId)> = (0..0x700).map(|id| (0, CanId::Standard(id))).collect();
    let config = BridgeConfig { channels: vec![(0, BusId(0))], filters: Some(acceptance(&wanted)) };
    let mut link = BridgeLink::new(config);
    let (mut dice, mut line) = (Dice(seed), Line::default());
    let (mut frames, mut came) = (VecDeque::new(), 0);
    let (mut sent, mut latest, mut latest_at) = (0_u64, None, MonoTime(0));
    let mut restarted_at = 0;
    link.connected(1, MonoTime(0));
    // At the end the line gets ten quiet seconds, in which both sides learn what the other has.
    for step in 0..(play.seconds + 10) * 1_000_000 / STEP_US {
        let us = step * STEP_US;
        let (second, now) = (us / 1_000_000, MonoTime(us + 55_000_000));
        let whole_second = us.is_multiple_of(1_000_000);
        let every = |period: Option<u64>| {
            period.is_some_and(|s| second > 0 && whole_second && second.is_multiple_of(s))
        };
        let playing = second < play.seconds;
        if playing {
            while sent < (us + STEP_US) * play.frames_per_second / 1_000_000 {
                let _ = bridge.heard(0, &Numbered::of(sent as u32), us);
                sent += 1;
            }
        }
        if playing && every(play.restart_s) && restarted_at != us {
            restarted_at = us;
            bridge = restart(bridge, &mut line);
        }
        if playing && every(play.cut_s) {
            line.bytes.clear();
            link.connected(dice.next(), now);
        }
        let away = play.away_s.is_some_and(|(from, to)| (from..to).contains(&second));
        if play.away_s.is_some_and(|(_, to)| second == to && whole_second) {
            link.connected(dice.next(), now);
        }
        let rate = if playing { play.spoilt } else { 0 };
        line.room = (play.bytes_per_second * STEP_US / 1_000_000) as usize;
        while bridge.pump(&mut line, us).unwrap() {}
        let bytes = std::mem::take(&mut line.bytes);
        if away {
            continue;
        }
        link.receive(&spoil(&bytes, &mut dice, rate), now, &mut frames);
        let mut message = [0; MAX_TRANSMIT];
        while let Some(len) = link.poll_transmit(now, &mut message) {
            spoil(&message[..len], &mut dice, rate).iter().for_each(|byte| bridge.listen(*byte, us));
        }
        came += check(&mut frames, &mut latest, &mut latest_at, now);
    }
    let counts = link.counts();
    assert_eq!(counts.frames, came);
    Played { sent, came, lost: counts.lost, dropped: counts.dropped, bad_messages: counts.bad_messages }
}

/// The microcontroller restarts: what the forwarder had on its way to the line is gone, the ring is not.
fn restart<'k>(bridge: Forwarder<'k, RING>, line: &mut Line) -> Forwarder<'k, RING> {
    line.bytes.clear();
    let kept = bridge.release();
    Forwarder::new(kept, 8)
}

/// Takes the frames that came, and counts them: none twice, changed, out of order, or from the future.
pub(crate) fn check(
    frames: &mut VecDeque<CanFrame>,
    latest: &mut Option<u32>,
    latest_at: &mut MonoTime,
    now: MonoTime,
) -> u64 {
    let count = frames.len() as u64;
    for frame in frames.drain(..) {
        let number = u32::from_le_bytes(frame.payload().try_into().unwrap());
        assert_eq!(frame.id, CanId::Standard(id_of(number)), "frame {number} was changed");
        assert!(latest.is_none_or(|latest| number > latest), "frame {number} came behind {latest:?}");
        assert!(frame.at >= *latest_at && frame.at <= now, "frame {number} at {:?}", frame.at);
        (*latest, *latest_at) = (Some(number), frame.at);
    }
    count
}

#[test]
fn ten_minutes_at_one_spoilt_byte_in_a_hundred_lose_nothing_uncounted() {
    let played = play(&Play { seconds: 600, frames_per_second: 500, spoilt: ONE_PERCENT, ..QUIET }, 1);
    println!("bridge, 10 minutes at 1 %: {played:?}");
    assert_eq!((played.sent, played.came + played.lost, played.dropped), (300_000, 300_000, 0));
    // A lone frame has 29 bytes between its zeros, of which each is spoilt with 1 %: three quarters are to come.
    let share = played.came as f64 / played.sent as f64;
    assert!((0.68..0.82).contains(&share), "{share} came");
    assert!(played.bad_messages > 50_000);
}

#[test]
fn a_quiet_line_loses_nothing() {
    let played = play(&QUIET, 2);
    assert_eq!((played.sent, played.came, played.lost), (10_000, 10_000, 0));
}

#[test]
fn a_line_that_is_too_slow_for_a_flood_drops_and_counts() {
    let flood = Play { frames_per_second: 20_000, bytes_per_second: 50_000, ..QUIET };
    let played = play(&flood, 3);
    assert_eq!((played.sent, played.came + played.lost), (200_000, 200_000));
    assert!(played.lost > 100_000 && played.dropped == played.lost, "{played:?}");
    let spoilt = play(&Play { spoilt: ONE_PERCENT, ..flood }, 4);
    assert_eq!((spoilt.sent, spoilt.came + spoilt.lost), (200_000, 200_000), "{spoilt:?}");
}

#[test]
fn cuts_restarts_and_absences_lose_nothing_uncounted() {
    for seed in 1..=20 {
        let played = play(
            &Play {
                seconds: 30,
                spoilt: if seed % 2 == 0 { ONE_PERCENT } else { 0 },
                cut_s: (seed % 3 == 0).then_some(4),
                restart_s: (seed % 5 == 0).then_some(7),
                away_s: (seed % 4 == 0).then_some((10, 10 + u64::from(seed) / 2)),
                ..QUIET
            },
            seed,
        );
        assert_eq!((played.sent, played.came + played.lost), (30_000, 30_000), "seed {seed}: {played:?}");
    }
}

#[test]
fn an_absence_within_the_ring_loses_nothing_at_all() {
    let played = play(&Play { frames_per_second: 100, seconds: 30, away_s: Some((5, 15)), ..QUIET }, 5);
    assert_eq!((played.sent, played.came, played.lost), (3_000, 3_000, 0));
}
