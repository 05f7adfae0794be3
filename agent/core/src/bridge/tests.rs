//! The link against a bridge that is written out by hand, message by message.

use super::*;
use telltale_wire::bridge::Filter;

const SESSION: u32 = 77;

fn at(ms: u64) -> MonoTime {
    MonoTime(ms * 1_000)
}

struct Bench {
    link: BridgeLink,
    frames: VecDeque<CanFrame>,
}

impl Bench {
    fn new() -> Bench {
        let config = BridgeConfig { channels: vec![(0, BusId(3))], filters: None };
        let mut link = BridgeLink::new(config);
        link.connected(SESSION, at(0));
        Bench { link, frames: VecDeque::new() }
    }

    fn open() -> Bench {
        let mut bench = Bench::new();
        bench.hear(LinkMessage::Beat(beat(0)), 10);
        bench.events();
        bench
    }

    fn hear(&mut self, message: LinkMessage, ms: u64) {
        let mut line = [0; MAX_ENCODED];
        let len = message.encode(&mut line);
        self.link.receive(&line[..len], at(ms), &mut self.frames);
    }

    fn said(&mut self, ms: u64) -> Vec<AgentMessage> {
        let mut said = Vec::new();
        let mut reader = telltale_wire::bridge::AgentReader::new();
        let mut line = [0; MAX_TRANSMIT];
        while let Some(len) = self.link.poll_transmit(at(ms), &mut line) {
            said.extend(line[..len].iter().filter_map(|byte| reader.push(*byte)).map(Result::unwrap));
        }
        said
    }

    fn events(&mut self) -> Vec<BridgeEvent> {
        std::iter::from_fn(|| self.link.poll_event()).collect()
    }

    fn lost(&self) -> u64 {
        self.link.counts().lost
    }
}

fn beat(sent: u64) -> Beat {
    Beat { session: SESSION, boot: 5, clock_us: 1_000_000, next: sent + 100, sent, ..Beat::default() }
}

fn batch(first: u64, frames: usize, at_us: u32) -> LinkMessage {
    let mut batch = FrameBatch::new(first as u16, at_us);
    let id = BridgeId::Standard(0x123);
    let heard = HeardFrame { at_us: 0, channel: 0, id, kind: BridgeKind::Classic, data: &[1] };
    (0..frames).for_each(|_| assert!(batch.push(&heard, 0)));
    LinkMessage::Frames(batch)
}

#[test]
fn nothing_is_taken_before_a_beat_says_from_where_the_numbers_count() {
    let mut bench = Bench::new();
    bench.hear(batch(7, 3, 0), 1);
    assert_eq!(bench.frames.len(), 0);
    let opens = [0, 100, 200, 350, 400].map(|ms| bench.said(ms).len());
    assert_eq!(opens, [1, 0, 1, 0, 1], "it opens the link every 200 ms");
    bench.hear(LinkMessage::Beat(beat(7)), 401);
    assert_eq!(bench.events(), [BridgeEvent::Opened { waiting: 100, restarts: 0 }]);
    bench.hear(batch(7, 3, 0), 402);
    assert_eq!((bench.frames.len(), bench.lost()), (3, 0));
    assert_eq!((bench.frames[0].bus, bench.frames[0].id), (BusId(3), CanId::Standard(0x123)));
}

#[test]
fn gaps_and_reports_and_beats_count_every_number_once() {
    let mut bench = Bench::open();
    bench.hear(batch(0, 2, 0), 11);
    bench.hear(batch(5, 1, 0), 12);
    assert_eq!(bench.lost(), 3, "a gap");
    bench.hear(LinkMessage::Loss(LossReport { first_seq: 6, at_us: 0, count: 70_000 }), 13);
    assert_eq!(bench.lost(), 70_003, "a report");
    bench.hear(batch(70_006, 1, 0), 14);
    bench.hear(LinkMessage::Beat(Beat { dropped: 70_000, ..beat(70_010) }), 15);
    assert_eq!((bench.lost(), bench.link.counts().dropped), (70_006, 70_000), "three at the end");
    bench.hear(LinkMessage::Beat(Beat { dropped: 80_000, overruns: 4, ..beat(80_010) }), 16);
    assert_eq!(
        (bench.lost(), bench.link.counts().dropped),
        (80_006, 80_000),
        "a report that was lost itself"
    );
    assert_eq!((bench.link.counts().overruns, bench.link.counts().frames), (4, 4));
}

#[test]
fn what_comes_again_after_a_cut_is_left_out() {
    let mut bench = Bench::open();
    bench.hear(batch(0, 10, 0), 11);
    bench.link.connected(SESSION + 1, at(20));
    bench.hear(batch(10, 1, 0), 21);
    assert_eq!(bench.frames.len(), 10, "said to the session before");
    bench.hear(LinkMessage::Beat(Beat { session: SESSION + 1, ..beat(4) }), 22);
    bench.hear(batch(4, 8, 0), 23);
    assert_eq!((bench.frames.len(), bench.lost(), bench.link.counts().again), (12, 0, 6));
}

#[test]
fn the_bridge_is_told_what_was_taken_ten_times_a_second_and_when_it_is_much() {
    let mut bench = Bench::open();
    let taken = |said: Vec<AgentMessage>| match said[..] {
        [AgentMessage::Grant(Grant { session: SESSION, taken })] => Some(taken),
        _ => None,
    };
    assert_eq!(taken(bench.said(10)), Some(0));
    bench.hear(batch(0, 5, 0), 11);
    assert_eq!(taken(bench.said(12)), None);
    assert_eq!(taken(bench.said(110)), Some(5));
    bench.hear(LinkMessage::Loss(LossReport { first_seq: 5, at_us: 0, count: WINDOW / 4 }), 111);
    assert_eq!(taken(bench.said(112)), Some(5 + u64::from(WINDOW) / 4));
}

#[test]
fn a_bridge_that_lost_its_agent_is_opened_again() {
    let mut bench = Bench::open();
    let hello = Hello { version: LINK_VERSION, boot: 5, next_seq: 0, at_us: 0 };
    bench.hear(LinkMessage::Hello(hello), 20);
    let said = bench.said(20);
    assert!(matches!(said[..], [AgentMessage::Open(open)] if open.session == SESSION + 1), "{said:?}");
}

#[test]
fn a_bridge_of_another_version_is_named_once_and_asked_seldom() {
    let mut bench = Bench::open();
    let hello = Hello { version: 9, boot: 5, next_seq: 0, at_us: 0 };
    for ms in (100..8_000).step_by(500) {
        bench.hear(LinkMessage::Hello(hello), ms);
    }
    assert_eq!(bench.events(), [BridgeEvent::OtherVersion(9)]);
    assert_eq!(bench.said(9_000).len(), 0);
    assert!(BridgeEvent::OtherVersion(9).to_string().contains("flash the firmware"));
}

#[test]
fn a_bridge_without_power_starts_anew_and_one_that_restarted_goes_on() {
    let mut bench = Bench::open();
    bench.hear(batch(0, 10, 0), 11);
    bench.hear(LinkMessage::Beat(Beat { restarts: 1, ..beat(12) }), 20);
    assert_eq!((bench.events(), bench.lost()), (vec![BridgeEvent::Restarted], 2));
    bench.hear(LinkMessage::Beat(Beat { boot: 6, ..beat(0) }), 30);
    assert_eq!(bench.events(), [BridgeEvent::StartedAnew]);
    bench.hear(batch(0, 1, 0), 31);
    assert_eq!((bench.frames.len(), bench.lost()), (11, 2));
    // The same boot number by chance, and numbers that went back.
    bench.hear(batch(1, 30, 0), 32);
    bench.hear(LinkMessage::Beat(Beat { boot: 6, next: 3, ..beat(3) }), 33);
    assert_eq!(bench.events(), [BridgeEvent::StartedAnew]);
    bench.hear(LinkMessage::Beat(Beat { boot: 6, clock_us: 999_999, ..beat(50) }), 34);
    assert_eq!((bench.events(), bench.lost()), (vec![BridgeEvent::StartedAnew], 2), "its clock went back");
}

#[test]
fn filters_are_repeated_until_a_beat_shows_them_in_force() {
    let filter = Filter { channel: 0, extended: false, id: 0x100, mask: 0x7FF };
    let set = FilterSet((0..40).map(|id| Filter { id, ..filter }).collect());
    let mut bench = Bench::new();
    bench.link = BridgeLink::new(BridgeConfig { channels: vec![], filters: Some(set.clone()) });
    bench.link.connected(SESSION, at(0));
    bench.hear(LinkMessage::Beat(beat(0)), 10);
    bench.events();
    let parts =
        |said: Vec<AgentMessage>| said.iter().filter(|m| matches!(m, AgentMessage::Filters(_))).count();
    assert_eq!([10, 500, 1_010].map(|ms| parts(bench.said(ms))), [3, 0, 3]);
    bench.hear(LinkMessage::Beat(Beat { filters: set.digest(), ..beat(0) }), 1_020);
    assert_eq!((parts(bench.said(3_000)), bench.events()), (0, vec![BridgeEvent::Filtering]));
}

#[test]
fn times_are_the_vehicles_and_never_go_back_or_ahead_of_now() {
    let mut bench = Bench::open();
    // The beat named 1.000 s at 10 ms: the offset is -990 ms.
    bench.hear(batch(0, 1, 1_005_000), 20);
    assert_eq!(bench.frames[0].at, at(15));
    bench.hear(batch(1, 1, 1_001_000), 21);
    assert_eq!(bench.frames[1].at, at(15), "the bridge's own disorder");
    bench.hear(batch(2, 1, 9_000_000), 22);
    assert_eq!(bench.frames[2].at, at(22), "a time that is not there yet");
    assert_eq!(bench.link.counts().clock_steps, 2);
}

#[test]
fn silence_and_noise_are_told_once() {
    let mut bench = Bench::new();
    bench.link.receive(&[0x55; 300], at(10), &mut bench.frames);
    bench.link.receive(&[0, 1, 2, 0], at(11), &mut bench.frames);
    assert_eq!(bench.events(), [BridgeEvent::Noise(LinkError::TooLong)]);
    bench.said(4_000);
    assert_eq!(bench.events(), []);
    bench.said(5_100);
    bench.said(9_000);
    assert_eq!(bench.events(), [BridgeEvent::Silent]);
    assert_eq!(bench.link.counts().bad_messages, 2);
}
