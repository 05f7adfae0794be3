//! Sends on vcan0 to vcan3 and listens as the agent does: run inside the vcan machine by `system/vcan.rs`.
//!
//! Each phase prints one line and fails with what it saw. The process ends with 0 only if all hold.
#![allow(clippy::print_stdout)] // A program for a terminal.

mod links;

use anyhow::{Context as _, Result, anyhow, ensure};
use socketcan::{CanDataFrame, ExtendedId, Id, StandardId};
use socketcan::{CanErrorFrame, CanFdFrame, CanFdSocket, CanRemoteFrame, EmbeddedFrame as _, Socket as _};
use std::thread;
use std::time::{Duration, Instant};
use telltale_agent::source::{
    SocketCanOptions, SocketCanSource, Source, SourceError, SourceEvent, boot_time,
};
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::MonoTime;

const BUSES: [&str; 4] = ["vcan0", "vcan1", "vcan2", "vcan3"];

/// Once nothing has come for so long, nothing will.
const QUIET: Duration = Duration::from_millis(300);

fn main() -> Result<()> {
    refusals().context("refusals")?;
    kinds().context("kinds")?;
    filters().context("filters")?;
    links::come_and_go().context("interfaces that come and go")?;
    links::error_frames().context("error frames")?;
    rate("rate-1", 1, 8_000).context("one bus at 8,000 frames/s")?;
    rate("rate-4", 4, 2_500).context("four buses at 2,500 frames/s each")?;
    overflow().context("overflow")
}

/// Required interfaces that are down or missing are refused by name, and waiting for nothing takes as long as asked.
fn refusals() -> Result<()> {
    let open = |name: &str| {
        let interfaces = vec![(name.to_owned(), BusId(0))];
        let required = vec![name.to_owned()];
        SocketCanSource::open(&SocketCanOptions { required, ..SocketCanOptions::new(interfaces) })
    };
    ensure!(matches!(open("vcan-down"), Err(SourceError::InterfaceDown { name }) if name == "vcan-down"));
    ensure!(matches!(open("vcan77"), Err(SourceError::NoSuchInterface { .. })));
    ensure!(matches!(open("lo"), Err(SourceError::NotCan { .. })));
    let mut source = open("vcan0")?;
    let began = Instant::now();
    let event = source.next(&mut Vec::new(), Duration::from_millis(50))?;
    let waited = began.elapsed();
    ensure!(event == SourceEvent::Idle && waited >= Duration::from_millis(45), "{event:?} after {waited:?}");
    ensure!(waited < Duration::from_millis(500), "waited {waited:?} of 50 ms");
    println!("refusals ok");
    Ok(())
}

/// Every kind of frame arrives once, on its bus, in order, as it was sent.
fn kinds() -> Result<()> {
    const EACH: u32 = 400;
    let mut source = listen(4)?;
    let began = boot_time();
    let sender = thread::spawn(|| -> Result<()> {
        let sockets = BUSES.map(CanFdSocket::open);
        for i in 0..EACH {
            for (bus, socket) in sockets.iter().enumerate() {
                let socket = socket.as_ref().map_err(|e| anyhow!("{}: {e}", BUSES[bus]))?;
                send(socket, &expected(bus, i))?;
            }
        }
        Ok(())
    });
    let frames = collect(&mut source)?;
    sender.join().map_err(|_| anyhow!("the sender panicked"))??;
    for (bus, name) in BUSES.iter().enumerate() {
        let heard: Vec<&CanFrame> = frames.iter().filter(|f| usize::from(f.bus.0) == bus).collect();
        ensure!(heard.len() == EACH as usize, "{} of {EACH} frames on {name}", heard.len());
        for (i, heard) in heard.into_iter().enumerate() {
            let sent = expected(bus, i as u32);
            let same = (sent.kind, sent.id, sent.payload()) == (heard.kind, heard.id, heard.payload());
            ensure!(same, "sent {sent:?}, heard {heard:?}");
        }
    }
    ensure!(frames.is_sorted_by_key(|f| f.at), "times go back");
    ensure!(frames.iter().all(|f| f.at >= began && f.at <= boot_time()), "times lie outside the run");
    report("kinds", &source, frames.len(), "");
    Ok(())
}

/// Of all that is sent, only what was asked for arrives; and remote frames.
fn filters() -> Result<()> {
    let mut options = options(2);
    options.ids = Some(vec![CanId::Standard(0x100), CanId::Extended(0x200)]);
    let mut source = SocketCanSource::open(&options)?;
    let socket = CanFdSocket::open("vcan1")?;
    let frame = |id, kind| CanFrame::new(MonoTime(0), BusId(1), id, kind, &[]).context("frame");
    let remote = frame(CanId::Standard(0x105), FrameKind::Remote)?;
    for id in 0..0x300 {
        send(&socket, &frame(CanId::Standard(id), FrameKind::Classic)?)?;
        send(&socket, &frame(CanId::Extended(u32::from(id)), FrameKind::Fd)?)?;
    }
    send(&socket, &remote)?;
    // An interface that was not asked for is heard by a socket on all of them, and left out.
    send(&CanFdSocket::open("vcan2")?, &remote)?;
    let heard: Vec<(FrameKind, CanId)> = collect(&mut source)?.iter().map(|f| (f.kind, f.id)).collect();
    let wanted = [
        (FrameKind::Classic, CanId::Standard(0x100)),
        (FrameKind::Fd, CanId::Extended(0x200)),
        (FrameKind::Remote, CanId::Standard(0x105)),
    ];
    ensure!(heard == wanted, "{heard:?}");
    ensure!(source.report().unclaimed == 1, "{:?}", source.report());
    println!("filters ok");
    Ok(())
}

/// Two seconds of traffic at a steady rate on the first buses: nothing is lost, nothing changes places.
fn rate(name: &str, buses: usize, per_second: u32) -> Result<()> {
    let mut source = listen(buses)?;
    let each = per_second * 2;
    let sender = thread::spawn(move || -> Result<Duration> {
        let sockets = BUSES[..buses].iter().map(|bus| CanFdSocket::open(bus));
        let sockets = sockets.collect::<std::io::Result<Vec<_>>>()?;
        let began = Instant::now();
        for seq in 0..each {
            let due = began + Duration::from_millis(u64::from(seq) * 1_000 / u64::from(per_second));
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            for socket in &sockets {
                send(socket, &numbered(seq)?)?;
            }
        }
        Ok(began.elapsed())
    });
    let mut delays = Vec::new();
    let frames = collect_with(&mut source, |now, frame| delays.push(now.since(frame.at)))?;
    let took = sender.join().map_err(|_| anyhow!("the sender panicked"))??;
    for (bus, name) in BUSES[..buses].iter().enumerate() {
        let heard = frames.iter().filter(|f| usize::from(f.bus.0) == bus);
        let heard: Vec<u32> = heard.map(sequence).collect();
        ensure!(heard.iter().copied().eq(0..each), "{} of {each} on {name}", heard.len());
    }
    ensure!(frames.is_sorted_by_key(|f| f.at), "times go back");
    ensure!(source.lost() == 0, "{} lost", source.lost());
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_micros();
    let sent = f64::from(each) * buses as f64 / took.as_secs_f64();
    report(
        name,
        &source,
        frames.len(),
        &format!(" sent_per_s={sent:.0} p50_us={} p99_us={}", at(50), at(99)),
    );
    Ok(())
}

/// A reader that pauses over a small buffer loses frames, and knows exactly how many.
fn overflow() -> Result<()> {
    const BURST: u32 = 3_000;
    let mut options = options(1);
    options.receive_buffer = 16 << 10;
    let mut source = SocketCanSource::open(&options)?;
    let socket = CanFdSocket::open("vcan0")?;
    for seq in 0..BURST {
        send(&socket, &numbered(seq)?)?;
    }
    let kept: Vec<u32> = collect(&mut source)?.iter().map(sequence).collect();
    ensure!(kept.iter().copied().eq(0..kept.len() as u32), "the kept frames are not the first");
    ensure!(!kept.is_empty() && kept.len() < BURST as usize, "kept {} of {BURST}", kept.len());
    // The kernel tells what it dropped with the next frame that it queues.
    send(&socket, &numbered(BURST)?)?;
    let last: Vec<u32> = collect(&mut source)?.iter().map(sequence).collect();
    ensure!(last == [BURST], "{last:?}");
    let missing = u64::from(BURST) - kept.len() as u64;
    ensure!(source.lost() == missing, "{} counted, {missing} missing", source.lost());
    report("overflow", &source, kept.len() + 1, &format!(" missing={missing}"));
    Ok(())
}

fn options(buses: usize) -> SocketCanOptions {
    let buses = BUSES[..buses].iter().zip(0..).map(|(name, bus)| ((*name).to_owned(), BusId(bus)));
    SocketCanOptions::new(buses.collect())
}

fn listen(buses: usize) -> Result<SocketCanSource> {
    let source = SocketCanSource::open(&options(buses))?;
    ensure!(source.report().notes.is_empty(), "{:?}", source.report().notes);
    Ok(source)
}

fn report(phase: &str, source: &SocketCanSource, frames: usize, more: &str) {
    println!("{phase} frames={frames} lost={}{more}", source.lost());
}

fn collect(source: &mut SocketCanSource) -> Result<Vec<CanFrame>> {
    collect_with(source, |_, _| {})
}

/// All frames until it is quiet. `seen` gets each with the time at which it was handed over.
fn collect_with(
    source: &mut SocketCanSource,
    mut seen: impl FnMut(MonoTime, &CanFrame),
) -> Result<Vec<CanFrame>> {
    let (mut all, mut batch) = (Vec::new(), Vec::with_capacity(256));
    let mut last = Instant::now();
    while last.elapsed() < QUIET {
        if let SourceEvent::Frames(n) = source.next(&mut batch, Duration::from_millis(50))? {
            ensure!(n == batch.len() && n <= 256, "{n} frames announced, {} given", batch.len());
            let now = source.now();
            batch.iter().for_each(|frame| seen(now, frame));
            all.extend_from_slice(&batch);
            last = Instant::now();
        }
    }
    Ok(all)
}

/// The frame that a bus carries at a place: kinds, formats and lengths take turns.
fn expected(bus: usize, i: u32) -> CanFrame {
    let data: Vec<u8> =
        (0..64).map(|byte| (i as u8).wrapping_mul(7).wrapping_add(byte ^ bus as u8)).collect();
    let (standard, extended) = (CanId::Standard((i % 0x800) as u16), CanId::Extended(i % 0x800));
    let (id, kind, len) = match i % 6 {
        0 => (standard, FrameKind::Classic, i % 9),
        1 => (extended, FrameKind::Classic, 8),
        2 => (standard, FrameKind::Fd, 64),
        3 => (extended, FrameKind::Fd, 12),
        4 => (standard, FrameKind::Remote, 0),
        _ => (CanId::Extended(0x40), FrameKind::Error, 8),
    };
    let payload = &data[..len as usize];
    CanFrame::new(MonoTime(0), BusId(bus as u8), id, kind, payload)
        .unwrap_or_else(|| unreachable!("{kind:?} {len}"))
}

fn numbered(seq: u32) -> Result<CanFrame> {
    let id = CanId::Standard((seq % 0x700) as u16);
    CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Classic, &u64::from(seq).to_le_bytes())
        .context("frame")
}

fn sequence(frame: &CanFrame) -> u32 {
    frame.payload().first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}

fn send(socket: &CanFdSocket, frame: &CanFrame) -> Result<()> {
    let id: Id = match frame.id {
        CanId::Standard(id) => StandardId::new(id).context("identifier")?.into(),
        CanId::Extended(id) => ExtendedId::new(id).context("identifier")?.into(),
    };
    let data = frame.payload();
    match frame.kind {
        FrameKind::Classic => socket.write_frame(&CanDataFrame::new(id, data).context("data")?),
        FrameKind::Fd => socket.write_frame(&CanFdFrame::new(id, data).context("data")?),
        FrameKind::Remote => socket.write_frame(&CanRemoteFrame::new_remote(id, 4).context("length")?),
        FrameKind::Error => socket.write_frame(&CanErrorFrame::new_error(frame.id.raw(), data)?),
    }
    .context("send")
}
