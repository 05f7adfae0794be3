//! The forwarder on a line that takes only so many bytes at a time: nothing waits, nothing is lost in silence.
// Helpers of a test may end it.
#![allow(clippy::unwrap_used)]

use embedded_can::{ExtendedId, Frame, Id, StandardId};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use telltale_bridge::{Forwarder, Outcome};
use telltale_wire::bridge::{
    BridgeFrame, BridgeId, BridgeKind, LINK_VERSION, LinkMessage, LinkReader, LossReport,
};

#[derive(Clone)]
struct TestFrame {
    id: Id,
    remote: bool,
    data: Vec<u8>,
}

impl Frame for TestFrame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        (data.len() <= 64).then(|| Self { id: id.into(), remote: false, data: data.to_vec() })
    }
    fn new_remote(id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        Some(Self { id: id.into(), remote: true, data: Vec::new() })
    }
    fn is_extended(&self) -> bool {
        matches!(self.id, Id::Extended(_))
    }
    fn is_remote_frame(&self) -> bool {
        self.remote
    }
    fn id(&self) -> Id {
        self.id
    }
    fn dlc(&self) -> usize {
        self.data.len()
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
}

/// A line whose transmit buffer takes `room` bytes until the test makes room again.
#[derive(Clone, Default)]
struct Line(Rc<RefCell<(usize, Vec<u8>)>>);

impl Line {
    fn make_room(&self, bytes: usize) {
        self.0.borrow_mut().0 = bytes;
    }

    fn heard(&self) -> Vec<LinkMessage> {
        let mut reader = LinkReader::new();
        self.0.borrow().1.iter().filter_map(|byte| reader.push(*byte)).map(Result::unwrap).collect()
    }
}

impl embedded_io::ErrorType for Line {
    type Error = Infallible;
}

impl embedded_io::WriteReady for Line {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().0 > 0)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let (room, heard) = &mut *self.0.borrow_mut();
        assert!(*room > 0, "a write here would wait");
        let taken = bytes.len().min(*room);
        heard.extend(&bytes[..taken]);
        *room -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn standard(id: u16, data: &[u8]) -> TestFrame {
    TestFrame::new(StandardId::new(id).unwrap(), data).unwrap()
}

fn frames(heard: &[LinkMessage]) -> Vec<&BridgeFrame> {
    heard
        .iter()
        .filter_map(|message| if let LinkMessage::Frame(frame) = message { Some(frame) } else { None })
        .collect()
}

fn losses(heard: &[LinkMessage]) -> Vec<LossReport> {
    heard
        .iter()
        .filter_map(|message| if let LinkMessage::Loss(report) = message { Some(*report) } else { None })
        .collect()
}

#[test]
fn frames_of_every_kind_arrive_as_they_were_behind_a_hello() {
    let line = Line::default();
    line.make_room(10_000);
    let mut forwarder = Forwarder::<_, 512>::new(line.clone(), 7, 100);
    let extended = ExtendedId::new(0x1234_5678).unwrap();
    let sent = [
        standard(0x7FF, &[1, 0, 2]),
        TestFrame::new(extended, &[0; 64]).unwrap(),
        TestFrame::new_remote(extended, 4).unwrap(),
    ];
    for (at, frame) in sent.iter().enumerate() {
        assert_eq!(forwarder.forward(frame, at as u32), Outcome::Queued);
    }
    forwarder.pump().unwrap();

    let heard = line.heard();
    let LinkMessage::Hello(hello) = &heard[0] else { panic!("{heard:?}") };
    assert_eq!((hello.version, hello.boot, hello.next_seq, hello.at_us), (LINK_VERSION, 7, 0, 100));
    let frames = frames(&heard);
    let kinds: Vec<_> =
        frames.iter().map(|frame| (frame.seq, frame.at_us, frame.id, frame.kind, frame.data.len())).collect();
    let id = BridgeId::Extended(0x1234_5678);
    assert_eq!(
        kinds,
        [
            (0, 0, BridgeId::Standard(0x7FF), BridgeKind::Classic, 3),
            (1, 1, id, BridgeKind::Fd, 64),
            (2, 2, id, BridgeKind::Remote, 0),
        ]
    );
    assert_eq!(frames[0].data, [1, 0, 2]);
}

#[test]
fn every_frame_is_heard_or_reported_whatever_the_line_takes() {
    // From a line that is faster than the bus (28 bytes a frame) to one that hardly moves.
    for bytes_per_frame in [0, 1, 3, 9, 20, 27, 40] {
        let line = Line::default();
        let mut forwarder = Forwarder::<_, 256>::new(line.clone(), 1, 0);
        const SENT: u32 = 70_000;
        let mut dropped = 0;
        for n in 0..SENT {
            line.make_room(bytes_per_frame);
            forwarder.pump().unwrap();
            dropped +=
                u32::from(forwarder.forward(&standard(0x100, &n.to_le_bytes()), n) == Outcome::Dropped);
        }
        line.make_room(10_000);
        forwarder.pump().unwrap();
        assert_eq!(forwarder.waiting(), 0);

        let heard = line.heard();
        let reported: u32 = losses(&heard).iter().map(|report| report.count).sum();
        assert_eq!(reported, dropped, "{bytes_per_frame} bytes a frame");
        assert_eq!(frames(&heard).len() as u32 + reported, SENT);
        assert_eq!(dropped > 0, bytes_per_frame < 24, "{dropped} dropped at {bytes_per_frame}");
        numbers_have_no_unexplained_gap(&heard);
    }
}

fn numbers_have_no_unexplained_gap(heard: &[LinkMessage]) {
    let mut next = 0_u16;
    for message in heard {
        match message {
            LinkMessage::Hello(hello) => assert_eq!(hello.next_seq, next),
            LinkMessage::Frame(frame) => {
                assert_eq!(frame.seq, next);
                next = next.wrapping_add(1);
            }
            LinkMessage::Loss(report) => {
                assert_eq!(report.first_seq, next);
                next = next.wrapping_add(report.count as u16);
            }
        }
    }
}

#[test]
fn a_loss_is_reported_on_a_bus_that_fell_silent() {
    let line = Line::default();
    let mut forwarder = Forwarder::<_, 99>::new(line.clone(), 1, 0);
    while forwarder.forward(&standard(1, &[0; 8]), 5) == Outcome::Queued {}
    line.make_room(10_000);
    forwarder.pump().unwrap();
    assert!(matches!(losses(&line.heard())[..], [LossReport { at_us: 5, count: 1, .. }]));
}
