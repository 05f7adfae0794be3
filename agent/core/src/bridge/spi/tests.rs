//! The pace of the controller against a wire and answers that are written out by hand.

use super::super::{BridgeConfig, BridgeEvent};
use super::*;
use crate::frame::BusId;
use telltale_wire::bridge::{
    AgentMessage, AgentReader, Beat, BridgeId, BridgeKind, FrameBatch, HeardFrame, LinkMessage, MAX_ENCODED,
    OnLine as _,
};

const LOW: ReadyWire = ReadyWire { rose: false, high: false };
const ROSE: ReadyWire = ReadyWire { rose: true, high: true };
const HIGH: ReadyWire = ReadyWire { rose: false, high: true };
const IDLE: [u8; SPI_TRANSACTION] = [0; SPI_TRANSACTION];

fn at(us: u64) -> MonoTime {
    MonoTime(us)
}

struct Bench {
    link: BridgeLink,
    carrier: SpiCarrier,
    frames: VecDeque<CanFrame>,
    now_us: u64,
}

impl Bench {
    /// A link that is open since 10 ms, whose next grant is due at 110 ms.
    fn open() -> Bench {
        let config = BridgeConfig { channels: vec![(0, BusId(3))], filters: None };
        let mut link = BridgeLink::new(config);
        link.connected(77, at(0));
        let mut bench = Bench { link, carrier: SpiCarrier::new(), frames: VecDeque::new(), now_us: 0 };
        assert!(matches!(bench.said(LOW)[..], [AgentMessage::Open(_)]));
        bench.now_us = 10_000;
        bench.hear(&transaction(&[LinkMessage::Beat(beat())]));
        bench.now_us = 12_000;
        assert!(matches!(bench.said(LOW)[..], [AgentMessage::Grant(_)]));
        bench.hear(&IDLE);
        bench
    }

    /// What goes out in a transaction now; it must be one.
    fn said(&mut self, wire: ReadyWire) -> Vec<AgentMessage> {
        let mut reader = AgentReader::new();
        let out = self.carrier.poll_exchange(&mut self.link, wire, at(self.now_us)).expect("no transaction");
        out.iter().filter_map(|byte| reader.push(*byte)).map(Result::unwrap).collect()
    }

    fn is_quiet(&mut self, wire: ReadyWire) -> bool {
        self.carrier.poll_exchange(&mut self.link, wire, at(self.now_us)).is_none()
    }

    fn hear(&mut self, received: &[u8; SPI_TRANSACTION]) {
        self.carrier.exchanged(&mut self.link, received, at(self.now_us), &mut self.frames);
    }

    /// The microseconds until the carrier is to be asked again.
    fn wait(&self) -> u64 {
        self.carrier.poll_timeout(&self.link).as_micros() - self.now_us
    }
}

fn beat() -> Beat {
    Beat { session: 77, boot: 5, clock_us: 1_000_000, next: 100, sent: 0, ..Beat::default() }
}

fn frames(first: u16, count: u16) -> LinkMessage {
    let mut batch = FrameBatch::new(first, 1_000_000);
    let id = BridgeId::Standard(0x123);
    let heard = HeardFrame { at_us: 0, channel: 0, id, kind: BridgeKind::Classic, data: &[1; 8] };
    (0..count).for_each(|_| assert!(batch.push(&heard, 0)));
    LinkMessage::Frames(batch)
}

fn transaction(messages: &[LinkMessage]) -> [u8; SPI_TRANSACTION] {
    let mut transaction = SpiTransaction::new();
    for message in messages {
        let mut encoded = [0; MAX_ENCODED];
        let len = message.encode(&mut encoded);
        assert!(transaction.push(&[0]) && transaction.push(&encoded[..len]));
    }
    *transaction.bytes()
}

#[test]
fn without_a_call_it_speaks_when_it_has_something_to_say() {
    let mut bench = Bench::open();
    assert_eq!(bench.wait(), 100_000);
    bench.now_us += 99_999;
    assert!(bench.is_quiet(LOW));
    bench.now_us += 1;
    assert!(matches!(bench.said(LOW)[..], [AgentMessage::Grant(_)]));
    assert_eq!(bench.carrier.counts().transactions, 2, "the one under way has not ended");
}

#[test]
fn a_call_is_answered_at_once_and_then_rested() {
    let mut bench = Bench::open();
    bench.now_us += 5_000;
    assert_eq!(bench.said(ROSE), []);
    bench.hear(&transaction(&[frames(0, 3)]));
    assert_eq!(bench.frames.len(), 3);
    // It calls again at once: frames gather for a millisecond.
    assert!(bench.is_quiet(ROSE));
    assert_eq!(bench.wait(), 1_000);
    bench.now_us += 1_000;
    assert_eq!(bench.said(LOW), [], "the call is remembered");
    // A full one: the next waits already.
    bench.hear(&transaction(&[frames(3, 17), frames(20, 17)]));
    assert_eq!((bench.said(ROSE), bench.frames.len()), (vec![], 37));
    bench.hear(&IDLE);
    assert!(bench.is_quiet(LOW), "what does not call is given time");
    assert_eq!((bench.carrier.counts().vain, bench.link.counts().lost), (1, 0));
}

#[test]
fn a_wire_that_rose_unseen_is_looked_at_a_millisecond_later() {
    let mut bench = Bench::open();
    assert!(bench.is_quiet(HIGH), "it may not have fallen yet");
    assert_eq!(bench.wait(), 1_000);
    bench.now_us += 1_000;
    assert_eq!(bench.said(HIGH), []);
}

#[test]
fn an_idle_buffer_before_the_frames_costs_no_rest() {
    let mut bench = Bench::open();
    bench.now_us += 5_000;
    bench.said(ROSE);
    bench.hear(&IDLE);
    bench.said(ROSE);
    bench.hear(&transaction(&[frames(0, 3)]));
    assert_eq!(bench.frames.len(), 3);
}

#[test]
fn a_wire_that_calls_in_vain_is_asked_ever_more_seldom_and_told_of_once() {
    for wire in [HIGH, ROSE] {
        let mut bench = Bench::open();
        let until = bench.now_us + 60_000_000;
        let mut troubles = Vec::new();
        while bench.now_us < until {
            if !bench.is_quiet(wire) {
                bench.hear(&IDLE);
            }
            troubles.extend(bench.carrier.poll_trouble());
            bench.now_us += bench.wait().max(10);
        }
        // Eight a second at the most, ten for the grants.
        let counts = *bench.carrier.counts();
        assert!((400..1_200).contains(&counts.transactions), "{wire:?}: {counts:?}");
        assert_eq!(troubles, [SpiTrouble::AlwaysReady], "{wire:?}");
        // The first frames end it.
        bench.now_us += 200_000;
        bench.said(wire);
        bench.hear(&transaction(&[frames(0, 3)]));
        assert!(bench.is_quiet(wire));
        assert_eq!(bench.wait(), 1_000, "{wire:?}");
    }
}

#[test]
fn a_bridge_that_never_calls_is_heard_all_the_same_and_told_of() {
    let mut bench = Bench::open();
    let mut troubles = Vec::new();
    for n in 0..150 {
        bench.now_us += bench.wait();
        bench.said(LOW);
        bench.hear(&transaction(&[frames(n, 1)]));
        troubles.extend(bench.carrier.poll_trouble());
    }
    assert_eq!((bench.frames.len(), troubles), (150, vec![SpiTrouble::NeverReady]));
}

#[test]
fn a_line_that_nobody_drives_is_no_noise() {
    let mut bench = Bench::open();
    bench.now_us += 5_000;
    bench.said(ROSE);
    bench.hear(&[0xFF; SPI_TRANSACTION]);
    assert_eq!((bench.carrier.counts().unanswered, bench.link.counts().bad_messages), (1, 0));
    let events = std::iter::from_fn(|| bench.link.poll_event());
    assert!(!events.into_iter().any(|event| matches!(event, BridgeEvent::Noise(_))));
}

#[test]
fn what_a_transaction_cuts_costs_nothing_behind_it() {
    let mut bench = Bench::open();
    let whole = transaction(&[frames(0, 2), frames(2, 5)]);
    // A clock edge is lost in the second message: all behind it comes a bit early, and the last bit is the pull-up's.
    let mut slipped = whole;
    for at in 60..SPI_TRANSACTION {
        let next = whole.get(at + 1).map_or(1, |byte| byte >> 7);
        slipped[at] = whole[at] << 1 | next;
    }
    assert_ne!(slipped[SPI_TRANSACTION - 1], 0);
    // The next transaction begins with the message itself.
    let mut behind = IDLE;
    let mut encoded = [0; MAX_ENCODED];
    let len = frames(7, 4).encode(&mut encoded);
    behind[..len].copy_from_slice(&encoded[..len]);
    for received in [slipped, behind] {
        bench.now_us += 5_000;
        bench.said(ROSE);
        bench.hear(&received);
    }
    assert_eq!((bench.frames.len(), bench.link.counts().lost), (2 + 4, 5));
}
