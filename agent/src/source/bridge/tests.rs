//! The source against a bridge behind a socket, spoken by hand.

use super::*;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;
use telltale_core::frame::BusId;
use telltale_wire::bridge::{
    AgentMessage, AgentReader, Beat, BridgeId, BridgeKind, FrameBatch, HeardFrame, LinkMessage, MAX_ENCODED,
    OnLine as _,
};

/// For what takes milliseconds, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

fn at(socket: &Path) -> BridgeLine {
    BridgeLine::Stream { place: Place::Unix(socket.into()), baud: 0 }
}

fn say(line: &mut UnixStream, message: &LinkMessage) {
    let mut bytes = [0; MAX_ENCODED];
    let len = message.encode(&mut bytes);
    line.write_all(&bytes[..len]).unwrap();
}

fn frames(first: u16, count: usize) -> LinkMessage {
    let mut batch = FrameBatch::new(first, 1_000);
    let id = BridgeId::Standard(0x123);
    let heard = HeardFrame { at_us: 0, channel: 0, id, kind: BridgeKind::Classic, data: &[1] };
    (0..count).for_each(|_| assert!(batch.push(&heard, 0)));
    LinkMessage::Frames(batch)
}

/// A bridge that waits for an agent to open the link, and answers it.
fn answer(listener: &UnixListener, sent: u64) -> UnixStream {
    let (mut line, _) = listener.accept().unwrap();
    let mut reader = AgentReader::new();
    let mut byte = [0];
    let session = loop {
        line.read_exact(&mut byte).unwrap();
        if let Some(Ok(AgentMessage::Open(open))) = reader.push(byte[0]) {
            break open.session;
        }
    };
    say(
        &mut line,
        &LinkMessage::Beat(Beat { session, boot: 5, clock_us: 1_000, next: sent, sent, ..Beat::default() }),
    );
    line
}

/// Asks the source until it gave so many frames.
fn take(source: &mut BridgeSource, wanted: usize) -> Vec<CanFrame> {
    let (mut batch, mut taken) = (Vec::with_capacity(256), Vec::new());
    let started = Instant::now();
    while taken.len() < wanted {
        assert!(started.elapsed() < PATIENCE, "{} of {wanted} frames came", taken.len());
        source.next(&mut batch, Duration::from_millis(20)).unwrap();
        taken.append(&mut batch);
    }
    taken
}

#[test]
fn frames_come_over_a_line_that_appears_late_and_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.sock");
    let link = BridgeConfig { channels: vec![(0, BusId(2))], filters: None };
    let mut source = BridgeSource::new(BridgeOptions { line: at(&path), link });
    let mut batch = Vec::with_capacity(256);
    assert_eq!(source.next(&mut batch, Duration::ZERO).unwrap(), SourceEvent::Idle, "there is no line yet");

    let listener = UnixListener::bind(&path).unwrap();
    let bridge = thread::spawn(move || {
        let mut line = answer(&listener, 0);
        (0..5).for_each(|n| say(&mut line, &frames(n * 30, 30)));
        // The line breaks in the middle of a message; 10 frames are lost with it.
        line.write_all(&[5, 1, 2]).unwrap();
        drop(line);
        let mut line = answer(&listener, 160);
        say(&mut line, &frames(160, 40));
        line
    });
    let taken = take(&mut source, 190);
    assert!(taken.iter().all(|frame| frame.bus == BusId(2) && frame.at <= boot_time()));
    assert!(taken.is_sorted_by_key(|frame| frame.at));
    assert_eq!((source.lost(), source.lost_in_bridge(), source.report().frames), (10, 10, 190));
    assert!(source.report().notes[0].contains("10 on the line"), "{:?}", source.report().notes);
    drop(bridge.join().unwrap());
}

#[test]
fn more_frames_than_asked_for_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let options = BridgeOptions { line: at(&path), link: BridgeConfig::default() };
    let mut source = BridgeSource::new(options);
    let bridge = thread::spawn(move || {
        let mut line = answer(&listener, 0);
        (0..40).for_each(|n| say(&mut line, &frames(n * 30, 30)));
        line
    });
    let mut batch = Vec::new();
    let (mut given, mut largest) = (0, 0);
    let started = Instant::now();
    while given < 1_200 && started.elapsed() < PATIENCE {
        source.next(&mut batch, Duration::from_millis(20)).unwrap();
        largest = largest.max(batch.len());
        given += batch.len();
    }
    assert_eq!((given, largest), (1_200, MIN_BATCH));
    drop(bridge.join().unwrap());
}
