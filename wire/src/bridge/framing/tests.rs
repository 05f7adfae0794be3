//! What is read after every kind of garbage.

use super::super::*;
use super::*;
use heapless::Vec;

type Read = std::vec::Vec<Result<LinkMessage, LinkError>>;
extern crate std;

fn frame(len: usize) -> LinkMessage {
    let payload: [u8; 64] = core::array::from_fn(|i| (i % 5) as u8);
    let kind = if len > 8 { BridgeKind::Fd } else { BridgeKind::Classic };
    LinkMessage::Frame(BridgeFrame {
        seq: 0x0100,
        at_us: 0xFFFF_0000,
        id: BridgeId::Extended(0x1FFF_FFFF),
        kind,
        data: Vec::from_slice(&payload[..len]).unwrap(),
    })
}

/// As many frames as fit.
fn batch(len: usize) -> FrameBatch {
    let mut batch = FrameBatch::new(u16::MAX, u32::MAX);
    let payload: [u8; 64] = core::array::from_fn(|i| (i % 5) as u8);
    let (kind, id) = match len {
        0..=8 => (BridgeKind::Classic, BridgeId::Standard(0x7FF)),
        _ => (BridgeKind::Fd, BridgeId::Extended(0x1FFF_FFFF)),
    };
    let heard = HeardFrame { at_us: 0, channel: SENSOR_CHANNEL, id, kind, data: &payload[..len] };
    while batch.push(&heard, 125) {}
    batch
}

fn samples() -> std::vec::Vec<LinkMessage> {
    let hello = Hello { version: LINK_VERSION, boot: 0, next_seq: u16::MAX, at_us: u32::MAX };
    let loss = LossReport { first_seq: 0, at_us: 0, count: u32::MAX };
    let beat = Beat {
        session: u32::MAX,
        boot: 0,
        restarts: u32::MAX,
        clock_us: u64::MAX,
        next: u64::MAX,
        sent: u64::MAX,
        dropped: u64::MAX,
        filtered: u64::MAX,
        overruns: u64::MAX,
        refused: u32::MAX,
        filters: u32::MAX,
        stack_unused: u32::MAX,
    };
    let batches = [0, 8, 64].map(|len| LinkMessage::Frames(batch(len)));
    [
        LinkMessage::Hello(hello),
        LinkMessage::Loss(loss),
        LinkMessage::Beat(beat),
        frame(0),
        frame(8),
        frame(64),
    ]
    .into_iter()
    .chain(batches)
    .collect()
}

fn encode<M: OnLine>(message: &M) -> std::vec::Vec<u8> {
    let mut line = [0; MAX_ENCODED];
    let len = message.encode(&mut line);
    line[..len].to_vec()
}

fn read(bytes: &[u8]) -> Read {
    let mut reader = LinkReader::new();
    bytes.iter().filter_map(|byte| reader.push(*byte)).collect()
}

/// xorshift32: repeatable noise.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

#[test]
fn what_was_sent_is_read() {
    let line: std::vec::Vec<u8> = samples().iter().flat_map(encode).collect();
    let got: Result<std::vec::Vec<_>, _> = read(&line).into_iter().collect();
    assert_eq!(got.unwrap(), samples());
}

#[test]
fn the_longest_messages_fit() {
    for message in samples() {
        let line = encode(&message);
        assert!((8..=MAX_ENCODED).contains(&line.len()), "{message:?} has {} bytes", line.len());
        assert_eq!(read(&line), [Ok(message)]);
    }
    let filters = (0..16).map(|id| Filter { channel: 31, extended: true, id, mask: u32::MAX }).collect();
    let part = AgentMessage::Filters(FilterPart { digest: 0, first: 0, total: 64, filters });
    let line = encode(&part);
    let mut reader = AgentReader::new();
    let got: std::vec::Vec<_> = line.iter().filter_map(|byte| reader.push(*byte)).collect();
    assert_eq!(got, [Ok(part)]);
}

#[test]
fn a_full_bus_fits_a_line_of_1_4_megabaud() {
    let batch = batch(8);
    let (frames, bytes) = (batch.frames().count(), encode(&LinkMessage::Frames(batch)).len());
    // Ten bits a byte on the line; 8,800 frames a second are 1 Mbit/s of classic frames with 8 bytes.
    let baud = 8_800 * 10 * bytes / frames;
    assert!(frames == 18 && baud < 1_400_000, "{frames} frames in {bytes} bytes: {baud} baud");
}

#[test]
fn every_flipped_bit_is_refused() {
    for message in samples() {
        let line = encode(&message);
        // The closing zero is left out: flipped, it joins two messages, which the test below covers.
        for bit in 0..(line.len() - 1) * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).iter().all(Result::is_err), "bit {bit} of {message:?}");
        }
    }
}

#[test]
fn two_messages_that_run_together_are_refused_and_the_third_is_read() {
    let mut line = encode(&frame(8));
    line.pop();
    line.extend(encode(&frame(8)));
    line.extend(encode(&frame(3)));
    let got = read(&line);
    assert!(got.len() == 2 && got[0].is_err(), "{got:?}");
    assert_eq!(got[1], Ok(frame(3)));
}

#[test]
fn after_garbage_one_message_is_lost_at_most() {
    let mut noise = Noise(0x9E37_79B9);
    for len in 0..2_000 {
        let mut line: std::vec::Vec<u8> = (0..len % 600).map(|_| noise.next() as u8).collect();
        line.extend(encode(&frame(8)));
        line.extend(encode(&frame(64)));
        let got = read(&line);
        assert_eq!(got.last(), Some(&Ok(frame(64))), "{len} bytes of noise");
        let believed = got.iter().filter_map(|read| read.as_ref().ok());
        assert!(believed.into_iter().all(|message| *message == frame(8) || *message == frame(64)));
    }
}

#[test]
fn after_garbage_that_ends_in_a_zero_the_first_whole_message_is_read() {
    let mut noise = Noise(0x1234_5678);
    for len in 0..2_000 {
        let mut line: std::vec::Vec<u8> = (0..len % 600).map(|_| noise.next() as u8).collect();
        line.push(0);
        line.extend(encode(&frame(8)));
        assert_eq!(read(&line).last(), Some(&Ok(frame(8))), "{len} bytes of noise");
    }
}

#[test]
fn noise_without_end_is_held_in_one_buffer_and_told() {
    let mut line = std::vec![1; 10_000];
    line.push(0);
    assert_eq!(read(&line), [Err(LinkError::TooLong)]);
}

#[test]
fn nobody_hears_its_own_voice() {
    let open = AgentMessage::Open(Open { version: 2, session: 1, window: 1 });
    assert_eq!(read(&encode(&open)), [Err(LinkError::CrcMismatch)]);
}

#[test]
fn frames_that_no_bus_carries_are_refused() {
    let LinkMessage::Frame(good) = frame(8) else { unreachable!() };
    let bad = [
        BridgeFrame { id: BridgeId::Standard(0x800), ..good.clone() },
        BridgeFrame { id: BridgeId::Extended(0x2000_0000), ..good.clone() },
        BridgeFrame { kind: BridgeKind::Remote, ..good.clone() },
        BridgeFrame { data: Vec::from_slice(&[0; 9]).unwrap(), ..good },
    ];
    for frame in bad {
        assert_eq!(read(&encode(&LinkMessage::Frame(frame))), [Err(LinkError::NotAFrame)]);
    }
    let heard = HeardFrame {
        at_us: 0,
        channel: 0,
        id: BridgeId::Standard(0x7FF),
        kind: BridgeKind::Classic,
        data: &[0; 8],
    };
    for bad in [
        HeardFrame { id: BridgeId::Standard(0x800), ..heard },
        HeardFrame { id: BridgeId::Extended(0x2000_0000), ..heard },
        HeardFrame { kind: BridgeKind::Remote, ..heard },
        HeardFrame { data: &[0; 9], ..heard },
    ] {
        let mut batch = FrameBatch::new(0, 0);
        assert!(batch.push(&heard, 1) && batch.push(&bad, 1));
        assert_eq!(read(&encode(&LinkMessage::Frames(batch))), [Err(LinkError::NotAFrame)], "{bad:?}");
    }
}

#[test]
fn a_batch_gives_back_times_across_the_wrap() {
    let mut batch = FrameBatch::new(7, u32::MAX - 10);
    let heard = |at_us| HeardFrame {
        at_us,
        channel: 3,
        id: BridgeId::Extended(5),
        kind: BridgeKind::Fd,
        data: &[1, 2],
    };
    let sent = [heard(u32::MAX - 10), heard(u32::MAX), heard(40)];
    let mut latest = batch.at_us;
    for frame in &sent {
        assert!(batch.push(frame, frame.at_us.wrapping_sub(latest)));
        latest = frame.at_us;
    }
    let got: std::vec::Vec<_> = batch.frames().collect();
    assert_eq!(got, sent);
}
