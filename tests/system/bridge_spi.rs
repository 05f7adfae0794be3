//! The two halves of the bridge against each other over SPI, in virtual time: the microcontroller's forwarder and exchange,
//! the agent's carrier and link, and between them the wires bit by bit. Bytes are spoilt, clock edges are lost or come
//! twice, the ready wire rises unseen, the firmware arms its buffers late: every frame arrives as it was sent, or is counted.

use crate::bridge_line::{Dice, Numbered, check};
use std::collections::VecDeque;
use telltale_bridge::{Exchange, Forwarder, Kept};
use telltale_core::bridge::{BridgeConfig, BridgeLink, ReadyWire, SpiCarrier, SpiCounts, acceptance};
use telltale_core::frame::{BusId, CanId};
use telltale_wire::bridge::SPI_TRANSACTION;
use telltale_wire::time::MonoTime;

const RING: usize = 32 * 1024;

/// The step of virtual time, in microseconds, in which at most one transaction takes place: 512 bytes at 10 MHz take 410.
const STEP_US: u64 = 500;

type Bytes = [u8; SPI_TRANSACTION];

/// What is played: how many frames a second, what becomes of the wires, and how often one side goes away.
struct Play {
    seconds: u64,
    frames_per_second: u64,
    /// One byte in so many becomes another, each way.
    spoilt: Option<u32>,
    /// In one transaction of so many the microcontroller misses a clock edge, or sees one twice.
    slips: Option<u32>,
    /// One transaction in so many leaves the microcontroller without a buffer for 5 ms.
    late: Option<u32>,
    /// One call in so many is not seen to rise.
    unseen: Option<u32>,
    /// Whether the chip can put messages in place of a buffer that is armed already.
    brings_forward: bool,
    /// The agent opens the device anew this often.
    cut_s: Option<u64>,
    /// The microcontroller restarts this often.
    restart_s: Option<u64>,
    /// The agent is not there from this second to that.
    away_s: Option<(u64, u64)>,
}

const QUIET: Play = Play {
    seconds: 10,
    frames_per_second: 1_000,
    spoilt: None,
    slips: None,
    late: None,
    unseen: None,
    brings_forward: true,
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
    spi: SpiCounts,
}

/// The microcontroller's SPI peripheral, and the wires from it.
struct Chip {
    exchange: Exchange,
    /// Without a buffer before.
    armed_at_us: u64,
    wire: ReadyWire,
}

impl Chip {
    fn new() -> Chip {
        Chip { exchange: Exchange::new(), armed_at_us: 0, wire: ReadyWire::default() }
    }

    fn is_armed(&self, us: u64) -> bool {
        us >= self.armed_at_us
    }

    /// Drives the ready wire.
    fn call(&mut self, us: u64, seen: bool) {
        let high = self.is_armed(us) && self.exchange.ready();
        self.wire.rose |= high && !self.wire.high && seen;
        self.wire.high = high;
    }

    /// One transaction; what comes back.
    fn clock(&mut self, said: &Bytes, slip: Option<Slip>, us: u64) -> Bytes {
        if !self.is_armed(us) {
            return [0xFF; SPI_TRANSACTION];
        }
        let (heard, answered) = shift(said, self.exchange.to_send(), slip);
        self.exchange.ended(&heard);
        self.wire.high = false;
        answered
    }
}

/// A clock edge, by its number, that the microcontroller misses or sees twice.
#[derive(Clone, Copy)]
struct Slip {
    at: usize,
    twice: bool,
}

/// Both shift registers, edge by edge: what the microcontroller takes in, and what the agent does.
fn shift(said: &Bytes, answer: &Bytes, slip: Option<Slip>) -> (Vec<u8>, Bytes) {
    let Some(slip) = slip else { return (said.to_vec(), *answer) };
    let bit = |bytes: &Bytes, at: usize| bytes.get(at / 8).is_none_or(|byte| byte >> (7 - at % 8) & 1 == 1);
    let (mut heard, mut answered) = (Vec::new(), [0; SPI_TRANSACTION]);
    for edge in 0..8 * SPI_TRANSACTION {
        // The microcontroller's next bit stands on its line until it sees an edge.
        answered[edge / 8] |= u8::from(bit(answer, heard.len())) << (7 - edge % 8);
        let seen = if edge != slip.at { 1 } else { usize::from(slip.twice) * 2 };
        heard.extend(std::iter::repeat_n(bit(said, edge), seen));
    }
    // It has room for a whole transaction, and no use for part of a byte.
    let whole = heard.chunks_exact(8).take(SPI_TRANSACTION);
    (whole.map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect(), answered)
}

/// Spoils one byte in so many: it becomes another, or has a bit flipped.
struct Noise {
    one_in: Option<u32>,
    /// Bytes until the next one.
    next: usize,
}

impl Noise {
    fn spoil(&mut self, bytes: &Bytes, dice: &mut Dice) -> Bytes {
        let mut out = *bytes;
        let Some(one_in) = self.one_in else { return out };
        while let Some(byte) = out.get_mut(self.next) {
            *byte = if dice.next().is_multiple_of(2) {
                dice.next() as u8
            } else {
                *byte ^ 1 << (dice.next() % 8)
            };
            self.next += 1 + (dice.next() % (2 * one_in - 1)) as usize;
        }
        self.next -= out.len();
        out
    }
}

/// Plays it, and checks what must hold whatever happens: no frame comes twice, changed or out of order, times never go
/// back, and at the end every number has come or was counted.
fn play(play: &Play, seed: u32) -> Played {
    let mut kept = Kept::<RING>::new();
    let mut bridge = Forwarder::new(&mut kept, 7);
    let mut chip = Chip::new();
    let wanted: Vec<(u8, CanId)> = (0..0x700).map(|id| (0, CanId::Standard(id))).collect();
    let config = BridgeConfig { channels: vec![(0, BusId(0))], filters: Some(acceptance(&wanted)) };
    let (mut link, mut carrier) = (BridgeLink::new(config), SpiCarrier::new());
    let mut dice = Dice(seed);
    let (mut to_agent, mut to_bridge) =
        (Noise { one_in: play.spoilt, next: 50 }, Noise { one_in: play.spoilt, next: 70 });
    let (mut frames, mut came) = (VecDeque::new(), 0);
    let (mut sent, mut latest, mut latest_at) = (0_u64, None, MonoTime(0));
    let mut spi = SpiCounts::default();
    link.connected(1, MonoTime(0));
    // At the end the wires get ten quiet seconds, in which both sides learn what the other has.
    for step in 0..(play.seconds + 10) * 1_000_000 / STEP_US {
        let us = step * STEP_US;
        let (second, now) = (us / 1_000_000, MonoTime(us + 55_000_000));
        let whole_second = us.is_multiple_of(1_000_000);
        let every = |period: Option<u64>| {
            period.is_some_and(|s| second > 0 && whole_second && second.is_multiple_of(s))
        };
        let playing = second < play.seconds;
        let mut falls =
            |one_in: Option<u32>| playing && one_in.is_some_and(|n| dice.next().is_multiple_of(n));
        let (slips, late, unseen) = (falls(play.slips), falls(play.late), falls(play.unseen));
        while playing && sent < (us + STEP_US) * play.frames_per_second / 1_000_000 {
            let _ = bridge.heard(0, &Numbered::of(sent as u32), us);
            sent += 1;
        }
        if playing && every(play.restart_s) {
            bridge = Forwarder::new(bridge.release(), 8);
            chip = Chip::new();
        }
        let returns = play.away_s.is_some_and(|(_, to)| second == to && whole_second);
        if playing && every(play.cut_s) || returns {
            sum(&mut spi, carrier.counts());
            (link, carrier) = reconnected(link, &mut dice, now);
        }
        while let Some(byte) = chip.exchange.next_byte() {
            bridge.listen(byte, us);
        }
        while bridge.pump(&mut chip.exchange, us).unwrap() {}
        if play.brings_forward && chip.is_armed(us) {
            chip.exchange.bring_forward();
        }
        chip.call(us, !unseen);
        if play.away_s.is_some_and(|(from, to)| (from..to).contains(&second)) {
            continue;
        }
        let wire = chip.wire;
        chip.wire.rose = false;
        let Some(said) = carrier.poll_exchange(&mut link, wire, now) else { continue };
        if !playing {
            (to_agent.one_in, to_bridge.one_in) = (None, None);
        }
        let said = to_bridge.spoil(said, &mut dice);
        let slip =
            Slip { at: dice.next() as usize % (8 * SPI_TRANSACTION), twice: dice.next().is_multiple_of(2) };
        let answer = chip.clock(&said, slips.then_some(slip), us);
        chip.armed_at_us = us + if late { 5_000 } else { 20 };
        carrier.exchanged(&mut link, &to_agent.spoil(&answer, &mut dice), now, &mut frames);
        came += check(&mut frames, &mut latest, &mut latest_at, now);
    }
    sum(&mut spi, carrier.counts());
    let counts = link.counts();
    assert_eq!(counts.frames, came);
    let (lost, dropped, bad_messages) = (counts.lost, counts.dropped, counts.bad_messages);
    Played { sent, came, lost, dropped, bad_messages, spi }
}

/// The agent opens the device anew; what it knows of the bridge stays.
fn reconnected(mut link: BridgeLink, dice: &mut Dice, now: MonoTime) -> (BridgeLink, SpiCarrier) {
    link.connected(dice.next(), now);
    (link, SpiCarrier::new())
}

fn sum(all: &mut SpiCounts, more: &SpiCounts) {
    all.transactions += more.transactions;
    all.vain += more.vain;
    all.unanswered += more.unanswered;
}

#[test]
fn ten_minutes_of_spoilt_bytes_and_slipped_clocks_lose_nothing_uncounted() {
    let spoilt = Play {
        seconds: 600,
        frames_per_second: 500,
        spoilt: Some(100),
        slips: Some(50),
        late: Some(200),
        unseen: Some(20),
        ..QUIET
    };
    let played = play(&spoilt, 1);
    println!("bridge over SPI, 10 minutes at 1 %: {played:?}");
    assert_eq!((played.sent, played.came + played.lost, played.dropped), (300_000, 300_000, 0));
    let share = played.came as f64 / played.sent as f64;
    assert!((0.6..0.85).contains(&share), "{share} came");
    assert!(played.bad_messages > 50_000, "{played:?}");
}

#[test]
fn quiet_wires_lose_nothing_and_a_full_bus_fills_its_transactions() {
    for brings_forward in [true, false] {
        let played = play(&Play { brings_forward, ..QUIET }, 2);
        assert_eq!((played.sent, played.came, played.lost), (10_000, 10_000, 0));
        println!("1,000 frames a second for ten: {played:?}");
        let full = play(&Play { frames_per_second: 8_000, brings_forward, ..QUIET }, 2);
        assert_eq!((full.sent, full.came, full.lost), (80_000, 80_000, 0), "{full:?}");
        println!("8,000 frames a second for ten: {full:?}");
    }
}

#[test]
fn one_slipped_edge_costs_one_transaction_at_the_most() {
    let slipping = Play { slips: Some(100), ..QUIET };
    let played = play(&slipping, 3);
    assert_eq!((played.sent, played.came + played.lost), (10_000, 10_000), "{played:?}");
    // 20,000 steps of half a millisecond, one in a hundred with a slip if there is a transaction in it.
    assert!((1..=200 * 5).contains(&played.lost), "{played:?}");
}

#[test]
fn a_flood_drops_in_the_ring_and_counts() {
    // Two full messages in each of 2,000 transactions a second carry some 100,000 of these short frames.
    let played = play(&Play { frames_per_second: 200_000, seconds: 3, ..QUIET }, 4);
    assert_eq!((played.sent, played.came + played.lost), (600_000, 600_000), "{played:?}");
    assert!(played.lost > 100_000 && played.dropped == played.lost, "{played:?}");
}

#[test]
fn buffers_that_are_armed_late_and_calls_that_are_not_seen_lose_nothing() {
    let played = play(&Play { seconds: 60, late: Some(10), unseen: Some(3), ..QUIET }, 6);
    println!("late and unseen: {played:?}");
    assert_eq!((played.sent, played.came, played.lost), (60_000, 60_000, 0), "{played:?}");
    assert!(played.spi.unanswered > 10, "{played:?}");
}

#[test]
fn cuts_restarts_and_absences_lose_nothing_uncounted() {
    for seed in 1..=20 {
        let played = play(
            &Play {
                seconds: 30,
                spoilt: (seed % 2 == 0).then_some(100),
                slips: (seed % 7 == 0).then_some(10),
                late: (seed % 2 == 1).then_some(30),
                unseen: (seed % 3 == 1).then_some(5),
                brings_forward: seed % 4 < 2,
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
