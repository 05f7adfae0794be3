//! Interfaces that go and come while the source runs, and error frames on a real bus.

use super::{collect, numbered, send};
use anyhow::{Context as _, Result, ensure};
use socketcan::{CanErrorFrame, CanFdSocket, Socket as _};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use telltale_agent::source::{SocketCanOptions, SocketCanSource, Source};
use telltale_core::bus::{Absence, ErrorReport, LinkEvent};
use telltale_core::frame::{BusId, FrameKind};

/// News are told within a twentieth of a second; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An interface that is made here, and one beside it that stays.
const COMES: &str = "vcan9";
const STAYS: &str = "vcan3";

fn ip(words: &str) -> Result<()> {
    let status = Command::new("/bin/busybox").arg("ip").args(words.split(' ')).status()?;
    ensure!(status.success(), "ip {words}: {status}");
    Ok(())
}

/// Waits until the bus has told this.
fn told(source: &mut SocketCanSource, bus: u8, wanted: LinkEvent) -> Result<()> {
    let (began, mut seen) = (Instant::now(), Vec::new());
    while began.elapsed() < PATIENCE {
        source.next(&mut Vec::new(), Duration::from_millis(10))?;
        while let Some(news) = source.poll_link() {
            if news.bus == BusId(bus) && news.event == wanted {
                return Ok(());
            }
            if !matches!(news.event, LinkEvent::Counted(_)) {
                seen.push(news);
            }
        }
    }
    anyhow::bail!("{wanted:?} was not told in {PATIENCE:?}, but {seen:?}")
}

/// Sends on an interface and hears every frame of it, by name and by bus.
fn heard(source: &mut SocketCanSource, interface: &str, bus: u8) -> Result<()> {
    let socket = CanFdSocket::open(interface).with_context(|| interface.to_owned())?;
    (0..100).try_for_each(|seq| send(&socket, &numbered(seq)?))?;
    let frames = collect(source)?;
    let of_bus = frames.iter().filter(|frame| frame.bus == BusId(bus)).count();
    ensure!(of_bus == 100 && frames.len() == 100, "{of_bus} of {} frames of {interface}", frames.len());
    Ok(())
}

/// An interface is waited for, comes, goes down, up, gets another name, its own again, is removed and made anew; the
/// other bus is heard all the while.
pub(crate) fn come_and_go() -> Result<()> {
    let interfaces = vec![(COMES.to_owned(), BusId(0)), (STAYS.to_owned(), BusId(1))];
    let mut source = SocketCanSource::open(&SocketCanOptions::new(interfaces))?;
    told(&mut source, 0, LinkEvent::Absent(Absence::NeverSeen)).context("at the start")?;
    heard(&mut source, STAYS, 1)?;
    ip("link add dev vcan9 type vcan")?;
    told(&mut source, 0, LinkEvent::Down).context("made")?;
    ip("link set vcan9 up")?;
    // Frames that come before the source has looked are its own all the same.
    heard(&mut source, COMES, 0).context("up")?;
    told(&mut source, 0, LinkEvent::Up)?;
    ip("link set vcan9 down")?;
    told(&mut source, 0, LinkEvent::Down).context("down")?;
    heard(&mut source, STAYS, 1)?;
    ip("link set vcan9 name vcan8")?;
    told(&mut source, 0, LinkEvent::Absent(Absence::Renamed)).context("renamed")?;
    ip("link set vcan8 name vcan9")?;
    ip("link set vcan9 up")?;
    told(&mut source, 0, LinkEvent::Up).context("renamed back")?;
    heard(&mut source, COMES, 0)?;
    ip("link del vcan9")?;
    told(&mut source, 0, LinkEvent::Absent(Absence::Removed)).context("removed")?;
    heard(&mut source, STAYS, 1)?;
    ip("link add dev vcan9 type vcan")?;
    ip("link set vcan9 up")?;
    told(&mut source, 0, LinkEvent::Up).context("made anew")?;
    heard(&mut source, COMES, 0)?;
    heard(&mut source, STAYS, 1)?;
    ensure!(source.report().unclaimed == 0 && source.lost() == 0, "{:?}", source.report());
    ip("link del vcan9")?;
    println!("come-and-go ok");
    Ok(())
}

/// Error frames arrive beside the others, and say what they said.
pub(crate) fn error_frames() -> Result<()> {
    let interfaces = vec![(STAYS.to_owned(), BusId(0))];
    let mut source = SocketCanSource::open(&SocketCanOptions::new(interfaces))?;
    let socket = CanFdSocket::open(STAYS)?;
    for (class, data) in
        [(0x204, [0, 0x08, 0, 0, 0, 0, 96, 0]), (0x088, [0, 0, 4, 8, 0, 0, 0, 0]), (0x040, [0; 8])]
    {
        let frame = CanErrorFrame::new_error(class, &data).context("error frame")?;
        socket.write_frame(&frame)?;
        send(&socket, &numbered(class)?)?;
    }
    thread::sleep(Duration::from_millis(10));
    let frames = collect(&mut source)?;
    let errors: Vec<String> = frames.iter().filter_map(ErrorReport::of).map(|r| r.to_string()).collect();
    let expected = [
        "error warning (sending); tx errors 96, rx errors 0",
        "protocol violation: bit stuffing at the CRC sequence",
        "bus-off",
    ];
    ensure!(errors == expected, "{errors:?}");
    let data = frames.iter().filter(|frame| frame.kind != FrameKind::Error).count();
    ensure!(frames.len() == 6 && data == 3, "{frames:?}");
    println!("error-frames ok");
    Ok(())
}
