//! The forwarder on a line that takes only so many bytes at a time and with an agent that comes and goes: nothing
//! waits, nothing is lost in silence.
// Helpers of a test may end it.
#![allow(clippy::unwrap_used)]

mod rig;

use embedded_can::{ExtendedId, Frame, Id};
use rig::{Line, TestFrame, standard};
use telltale_bridge::{Forwarder, Kept, Outcome};
use telltale_wire::bridge::{
    AgentMessage, Beat, BridgeId, BridgeKind, Filter, FilterSet, Grant, LINK_VERSION, LinkMessage,
    LinkReader, MAX_ENCODED, OnLine, Open, SENSOR_CHANNEL,
};

const SIZE: usize = 2_000;
/// A window that is never used up.
const WIDE: u32 = 1_000_000;

type Bridge<'k> = Forwarder<'k, SIZE>;

fn say(bridge: &mut Bridge<'_>, message: &AgentMessage, now_us: u64) {
    let mut line = [0; MAX_ENCODED];
    let len = message.encode(&mut line);
    line[..len].iter().for_each(|byte| bridge.listen(*byte, now_us));
}

fn open(bridge: &mut Bridge<'_>, session: u32, window: u32, now_us: u64) {
    say(bridge, &AgentMessage::Open(Open { version: LINK_VERSION, session, window }), now_us);
}

fn grant(bridge: &mut Bridge<'_>, session: u32, taken: u64, now_us: u64) {
    say(bridge, &AgentMessage::Grant(Grant { session, taken }), now_us);
}

/// Pumps until nothing moves any more, on a line with room for everything; what was said.
fn drain(bridge: &mut Bridge<'_>, line: &Line, now_us: u64) -> Vec<LinkMessage> {
    line.make_room(usize::MAX);
    while bridge.pump(&mut line.clone(), now_us).unwrap() {}
    line.take()
}

/// The numbers that were sent, and those that were reported lost.
fn numbers(said: &[LinkMessage]) -> (Vec<u16>, Vec<(u16, u32)>) {
    let (mut sent, mut lost) = (Vec::new(), Vec::new());
    for message in said {
        match message {
            LinkMessage::Frames(batch) => {
                sent.extend((0..batch.frames().count()).map(|n| batch.seq.wrapping_add(n as u16)));
            }
            LinkMessage::Loss(report) => lost.push((report.first_seq, report.count)),
            LinkMessage::Hello(_) | LinkMessage::Frame(_) | LinkMessage::Beat(_) => {}
        }
    }
    (sent, lost)
}

fn last_beat(said: &[LinkMessage]) -> Beat {
    let beat = |message: &LinkMessage| if let LinkMessage::Beat(beat) = message { Some(*beat) } else { None };
    said.iter().rev().find_map(beat).unwrap()
}

#[test]
fn frames_of_every_kind_and_readings_arrive_as_they_were() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    open(&mut bridge, 5, WIDE, 1 << 33);
    let extended = ExtendedId::new(0x1234_5678).unwrap();
    let sent = [
        standard(0x7FF, &[1, 0, 2]),
        TestFrame::new(extended, &[0; 64]).unwrap(),
        TestFrame::new_remote(extended, 4).unwrap(),
    ];
    for (channel, frame) in sent.iter().enumerate() {
        assert_eq!(bridge.heard(channel as u8, frame, u64::from(u32::MAX) + channel as u64), Outcome::Kept);
    }
    assert_eq!(bridge.sampled(0x10, &[9; 32], 1 << 33), Outcome::Kept);
    let said = drain(&mut bridge, &line, 1 << 33);
    let beat = last_beat(&said);
    assert_eq!((beat.session, beat.boot, beat.clock_us, beat.sent, beat.next), (5, 7, 1 << 33, 0, 4));

    let batches =
        said.iter().filter_map(|m| if let LinkMessage::Frames(batch) = m { Some(batch) } else { None });
    let frames: Vec<_> = batches.flat_map(|batch| batch.frames()).collect();
    let shown: Vec<_> = frames.iter().map(|f| (f.channel, f.at_us, f.id, f.kind, f.data.len())).collect();
    let id = BridgeId::Extended(0x1234_5678);
    assert_eq!(
        shown,
        [
            (0, u32::MAX, BridgeId::Standard(0x7FF), BridgeKind::Classic, 3),
            (1, 0, id, BridgeKind::Fd, 64),
            (2, 1, id, BridgeKind::Remote, 0),
            (SENSOR_CHANNEL, 0, BridgeId::Standard(0x10), BridgeKind::Fd, 32),
        ]
    );
    assert_eq!(frames[0].data, [1, 0, 2]);
}

#[test]
fn every_frame_is_sent_or_reported_whatever_the_line_takes() {
    // From a line that is faster than the bus (15 bytes a frame in full batches) to one that does not move.
    for bytes_per_frame in [0, 1, 3, 9, 13, 17, 40] {
        let (mut kept, line) = (Kept::new(), Line::default());
        let mut bridge = Bridge::new(&mut kept, 7);
        open(&mut bridge, 5, WIDE, 0);
        const SENT: u64 = 70_000;
        let mut said = Vec::new();
        for n in 0..SENT {
            // The agent is quick; only the line is slow.
            if n.is_multiple_of(1_000) {
                grant(&mut bridge, 5, n.saturating_sub(500), n * 125);
            }
            line.make_room(bytes_per_frame);
            while bridge.pump(&mut line.clone(), n * 125).unwrap() {}
            let _ = bridge.heard(0, &standard(0x100, &n.to_le_bytes()), n * 125);
            said.extend(line.take());
        }
        said.extend(drain(&mut bridge, &line, SENT * 125));
        let (sent, lost) = numbers(&said);
        let reported: u64 = lost.iter().map(|(_, count)| u64::from(*count)).sum();
        assert_eq!(sent.len() as u64 + reported, SENT, "{bytes_per_frame} bytes a frame");
        assert_eq!(reported > 0, bytes_per_frame < 15, "{reported} lost at {bytes_per_frame}");
        numbers_follow_one_another(&said);
        open(&mut bridge, 5, WIDE, SENT * 125);
        assert_eq!(last_beat(&drain(&mut bridge, &line, SENT * 125)).dropped, reported);
    }
}

fn numbers_follow_one_another(said: &[LinkMessage]) {
    let mut next = 0_u16;
    for message in said {
        match message {
            LinkMessage::Frames(batch) => {
                assert_eq!(batch.seq, next);
                next = next.wrapping_add(batch.frames().count() as u16);
            }
            LinkMessage::Loss(report) => {
                assert_eq!(report.first_seq, next);
                next = next.wrapping_add(report.count as u16);
            }
            LinkMessage::Beat(beat) => assert_eq!(beat.sent as u16, next),
            LinkMessage::Hello(_) | LinkMessage::Frame(_) => {}
        }
    }
}

#[test]
fn without_an_agent_it_tells_of_itself_once_a_second_and_sends_nothing_else() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    let mut said = Vec::new();
    for ms in 0..5_000 {
        let _ = bridge.heard(0, &standard(1, &[0; 8]), ms * 1_000);
        said.extend(drain(&mut bridge, &line, ms * 1_000));
    }
    assert_eq!(said.len(), 5);
    assert!(
        matches!(said[4], LinkMessage::Hello(hello) if hello.next_seq == 4_001 && hello.version == LINK_VERSION)
    );
}

#[test]
fn an_agent_that_returns_gets_the_last_frames_and_is_told_how_many_fell_out() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    open(&mut bridge, 5, WIDE, 0);
    for n in 0..20 {
        let _ = bridge.heard(0, &standard(1, &[n; 8]), u64::from(n));
    }
    assert_eq!(numbers(&drain(&mut bridge, &line, 30)).0.len(), 20);
    grant(&mut bridge, 5, 15, 30);
    // The agent dies. What it was sent and did not take is sent again, up to what the ring holds.
    open(&mut bridge, 6, WIDE, 40);
    assert_eq!(numbers(&drain(&mut bridge, &line, 40)), ((15..20).collect(), vec![]));

    let later = 10_000_000;
    let said = drain(&mut bridge, &line, later);
    assert!(matches!(said[0], LinkMessage::Hello(_)), "its silence was not noticed: {said:?}");
    for n in 0..300 {
        let _ = bridge.heard(0, &standard(1, &[0; 8]), later + n);
    }
    open(&mut bridge, 7, WIDE, later + 300);
    let said = drain(&mut bridge, &line, later + 300);
    let held = SIZE / 20;
    let (sent, lost) = numbers(&said);
    assert_eq!((sent[0], sent.len(), lost), (320 - held as u16, held, vec![(15, 305 - held as u32)]));
    assert_eq!(last_beat(&said).sent, 15, "the beat says from where the numbers count");
}

#[test]
fn a_restart_of_the_microcontroller_keeps_frames_numbers_and_time() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    for n in 0..10 {
        let _ = bridge.heard(0, &standard(1, &[n; 8]), 5_000_000 + u64::from(n));
    }
    let mut bridge = Bridge::new(&mut kept, 8);
    assert_eq!((bridge.clock_us(), bridge.restarts()), (5_000_009, 1));
    open(&mut bridge, 5, WIDE, 5_100_000);
    let said = drain(&mut bridge, &line, 5_100_000);
    assert_eq!(numbers(&said), ((0..10).collect(), vec![]));
    let beat = last_beat(&said);
    assert_eq!((beat.boot, beat.restarts, beat.next), (7, 1, 10));
}

#[test]
fn no_more_is_under_way_than_the_window_and_a_beat_asks_for_more() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    open(&mut bridge, 5, 30, 0);
    for n in 0..80 {
        let _ = bridge.heard(0, &standard(1, &[n; 8]), 0);
    }
    assert_eq!(numbers(&drain(&mut bridge, &line, 0)).0.len(), 30);
    assert_eq!(last_beat(&drain(&mut bridge, &line, 60_000)).sent, 30, "it waits without telling");
    grant(&mut bridge, 5, 31, 60_000);
    assert_eq!(numbers(&drain(&mut bridge, &line, 60_000)).0, [0_u16; 0], "taken what was never sent");
    grant(&mut bridge, 4, 30, 60_000);
    assert_eq!(numbers(&drain(&mut bridge, &line, 60_000)).0, [0_u16; 0], "the grant of another session");
    grant(&mut bridge, 5, 30, 60_000);
    assert_eq!(numbers(&drain(&mut bridge, &line, 60_000)).0, (30..60).collect::<Vec<u16>>());
}

#[test]
fn filters_are_set_by_the_agent_and_what_they_hold_back_is_counted() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    open(&mut bridge, 5, WIDE, 0);
    let filter = Filter { channel: 0, extended: false, id: 0x120, mask: 0x7F0 };
    let set = FilterSet([filter].into_iter().collect());
    set.parts().for_each(|part| say(&mut bridge, &AgentMessage::Filters(part), 0));
    let heard = [0x120, 0x12F, 0x130].map(|id| bridge.heard(0, &standard(id, &[]), 0));
    assert_eq!(heard, [Outcome::Kept, Outcome::Kept, Outcome::Filtered]);
    let extended = TestFrame::new(Id::Extended(ExtendedId::new(0x120).unwrap()), &[]).unwrap();
    assert_eq!(bridge.heard(0, &extended, 0), Outcome::Filtered);
    assert_eq!(bridge.sampled(0x700, &[1], 0), Outcome::Kept);
    let beat = last_beat(&drain(&mut bridge, &line, 0));
    assert_eq!((beat.filtered, beat.next, beat.filters), (2, 3, set.digest()));
    assert_eq!(bridge.filters(), Some(&set));
}

#[test]
fn an_agent_of_another_version_is_told_ours_and_gets_nothing() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    let _ = bridge.heard(0, &standard(1, &[0; 8]), 0);
    drain(&mut bridge, &line, 0);
    let version = LINK_VERSION + 1;
    say(&mut bridge, &AgentMessage::Open(Open { version, session: 5, window: WIDE }), 10);
    let said = drain(&mut bridge, &line, 10);
    assert!(matches!(said[..], [LinkMessage::Hello(hello)] if hello.version == LINK_VERSION), "{said:?}");
}

#[test]
fn noise_between_messages_costs_none_of_them() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    open(&mut bridge, 5, WIDE, 0);
    let mut heard = LinkReader::new();
    let (mut frames, mut noise) = (0, 1_u32);
    for n in 0..2_000_u64 {
        for _ in 0..n % 300 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let _ = heard.push((noise >> 24) as u8);
        }
        let _ = bridge.heard(0, &standard(1, &[0; 8]), 0);
        line.make_room(usize::MAX);
        while bridge.pump(&mut line.clone(), 0).unwrap() {}
        for byte in line.take_bytes() {
            if let Some(Ok(LinkMessage::Frames(batch))) = heard.push(byte) {
                frames += batch.frames().count();
            }
        }
        grant(&mut bridge, 5, n, 0);
    }
    assert_eq!(frames, 2_000);
}

#[test]
fn messages_of_the_agent_that_cannot_be_read_are_counted() {
    let (mut kept, line) = (Kept::new(), Line::default());
    let mut bridge = Bridge::new(&mut kept, 7);
    [1, 2, 3, 0, 5, 0].into_iter().for_each(|byte| bridge.listen(byte, 0));
    open(&mut bridge, 5, WIDE, 0);
    assert_eq!(last_beat(&drain(&mut bridge, &line, 0)).refused, 2);
}
