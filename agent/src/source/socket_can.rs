//! Live CAN interfaces.
//!
//! One raw socket hears all buses. A read takes what is there, then rests for a millisecond: the cost of a frame is
//! the wake-up, and at 8,000 frames a second eight of them share one. The reader belongs on a thread of its own, off
//! any executor; the receive buffer holds a third of a second of four full buses while it is away.

use super::filter::kernel_filters;
use super::links::Links;
use super::recvmmsg::{Batch, MESSAGES, Message, boot_time, real_nanos};
use super::{MAX_BATCH, MIN_BATCH, Source, SourceError, SourceEvent, SourceReport};
use libc::{SO_RCVBUF, SO_RCVBUFFORCE, SO_RXQ_OVFL, SOL_SOCKET};
use socketcan::{CanAddr, CanFdSocket, Socket as _, SocketOptions as _};
use std::io::{self, ErrorKind};
use std::thread;
use std::time::Duration;
use telltale_core::bus::LinkNews;
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::{BusId, CanFrame, CanId, FrameKind};
use telltale_wire::time::{MonoTime, WallTime};

/// How long a read is put off after one that took all there was.
const REST: Duration = Duration::from_millis(1);

/// The receive buffer that is asked for: 10,900 frames as the kernel counts, a third of a second of four full buses.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Differences of times below this are the jitter of reading two clocks, not a clock that was set.
const JITTER_US: u64 = 1_000;

/// Before 2025 the wall clock has not been set since the machine started without one.
const WALL_CLOCK_SET_NS: u64 = 1_735_689_600_000_000_000;

/// What to listen to.
#[derive(Clone, Debug)]
pub struct SocketCanOptions {
    /// The interfaces and the bus that each of them is.
    pub interfaces: Vec<(String, BusId)>,
    /// The identifiers that matter; the kernel drops the others. `None` lets all frames pass.
    pub ids: Option<Vec<CanId>>,
    /// The receive buffer in bytes.
    pub receive_buffer: usize,
    /// The interfaces that must be there and up at the start. The others are waited for.
    pub required: Vec<String>,
    /// Whether a controller that is bus-off is restarted where the kernel does not do it by itself.
    pub restart: bool,
}

impl SocketCanOptions {
    /// All frames of these interfaces.
    #[must_use]
    pub fn new(interfaces: Vec<(String, BusId)>) -> SocketCanOptions {
        SocketCanOptions {
            interfaces,
            ids: None,
            receive_buffer: RECEIVE_BUFFER,
            required: Vec::new(),
            restart: false,
        }
    }
}

/// Live interfaces as a source.
pub struct SocketCanSource {
    socket: CanFdSocket,
    batch: Box<Batch>,
    links: Links,
    hears_all: bool,
    timeout: Option<Duration>,
    /// The latest read took all there was.
    rest: bool,
    latest: MonoTime,
    /// The socket's own count of dropped frames, which wraps.
    dropped: u32,
    failed: Option<SourceError>,
    report: SourceReport,
}

impl SocketCanSource {
    /// Opens the interfaces. Those that are absent or down are waited for, unless they are required.
    ///
    /// # Errors
    /// What is missing, and the command that provides it.
    pub fn open(options: &SocketCanOptions) -> Result<SocketCanSource, SourceError> {
        if options.interfaces.is_empty() {
            return Err(SourceError::NoInterfaces);
        }
        let links = Links::open(&options.interfaces, options.restart, boot_time());
        let links = links.map_err(|source| SourceError::Netlink { source })?;
        links.check(&options.required)?;
        // Bound to no interface the socket hears all there are, and those that come later, and its filters stay.
        let address = CanAddr::new(0);
        let socket = CanFdSocket::open_addr(&address).map_err(open_error)?;
        let mut report = SourceReport::default();
        set_up(&socket, options, &mut report).map_err(socket_error("set up"))?;
        report.notes.iter().for_each(|note| log::warn!("{note}"));
        Ok(SocketCanSource {
            socket,
            batch: Batch::new(),
            links,
            hears_all: options.ids.is_none(),
            timeout: None,
            rest: false,
            latest: MonoTime(0),
            dropped: 0,
            failed: None,
            report,
        })
    }

    /// Reads once. Gives whether there may be more right away.
    fn read(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> io::Result<bool> {
        if !wait.is_zero() && self.timeout != Some(wait) {
            self.socket.set_read_timeout(wait)?;
            self.timeout = Some(wait);
        }
        let received = match self.batch.receive(&self.socket, !wait.is_zero()) {
            Ok(received) => received,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            // Told to sockets of an interface that goes; this one has none, and hears the others on.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENETDOWN | libc::ENODEV)) => return Ok(false),
            Err(e) => return Err(e),
        };
        let (mono, real) = both_clocks();
        let mut looked = false;
        for message in self.batch.messages() {
            let Some(message) = message else {
                self.report.bad_lines += 1;
                continue;
            };
            if let Some(dropped) = message.dropped {
                self.report.lost += u64::from(dropped.wrapping_sub(self.dropped));
                self.dropped = dropped;
            }
            let mut bus = self.links.bus_of(message.ifindex);
            if bus.is_none() && !std::mem::replace(&mut looked, true) {
                // It may have come just now: then the news of it already wait.
                self.links.look(mono)?;
                bus = self.links.bus_of(message.ifindex);
            }
            let Some(bus) = bus else {
                self.report.unclaimed += 1;
                continue;
            };
            let at = place(&message, (mono, real), &mut self.latest, &mut self.report.clock_steps);
            match frame(&message, at, bus) {
                Some(frame) => frames.push(frame),
                None => self.report.bad_lines += 1,
            }
        }
        Ok(received == MESSAGES)
    }
}

impl Source for SocketCanSource {
    fn next(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> Result<SourceEvent, SourceError> {
        frames.clear();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let room = frames.capacity().clamp(MIN_BATCH, MAX_BATCH);
        frames.reserve(room);
        if std::mem::take(&mut self.rest) {
            thread::sleep(REST.min(wait));
        }
        let mut wait = wait;
        while frames.len() + MESSAGES <= room {
            match self.read(frames, wait) {
                Ok(true) => wait = Duration::ZERO,
                Ok(false) => {
                    self.rest = true;
                    break;
                }
                Err(e) => {
                    self.failed = Some(socket_error("read from")(e));
                    break;
                }
            }
        }
        if let Err(source) = self.links.turn(boot_time()) {
            self.failed.get_or_insert(SourceError::Netlink { source });
        }
        if !frames.is_empty() {
            self.report.frames += frames.len() as u64;
            return Ok(SourceEvent::Frames(frames.len()));
        }
        self.failed.take().map_or(Ok(SourceEvent::Idle), Err)
    }

    fn now(&self) -> MonoTime {
        boot_time()
    }

    fn poll_link(&mut self) -> Option<LinkNews> {
        self.links.poll()
    }

    fn retarget(&mut self, wanted: &[(BusId, CanId)]) -> Result<(), SourceError> {
        if self.hears_all {
            return Ok(());
        }
        let own = |bus: &BusId| self.links.watches(*bus);
        let ids: Vec<CanId> = wanted.iter().filter(|(bus, _)| own(bus)).map(|(_, id)| *id).collect();
        let set = match kernel_filters(&ids) {
            Some(filters) => self.socket.set_filters(&filters),
            None => self.socket.set_filter_accept_all(),
        };
        set.map_err(socket_error("filter the messages of"))
    }

    fn anchor(&self) -> Option<ClockAnchor> {
        live_anchor()
    }

    fn lost(&self) -> u64 {
        self.report.lost
    }

    fn report(&self) -> SourceReport {
        self.report.clone()
    }
}

fn open_error(source: io::Error) -> SourceError {
    match source.raw_os_error() {
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => SourceError::NoCanInKernel,
        _ => SourceError::Socket { step: "open", source },
    }
}

fn socket_error(step: &'static str) -> impl Fn(io::Error) -> SourceError {
    move |source| SourceError::Socket { step, source }
}

fn set_up(socket: &CanFdSocket, options: &SocketCanOptions, report: &mut SourceReport) -> io::Result<()> {
    socket.set_recv_timestamp(true)?;
    socket.set_socket_option_int(SOL_SOCKET, SO_RXQ_OVFL, 1)?;
    socket.set_error_filter_accept_all()?;
    if let Some(ids) = &options.ids {
        match kernel_filters(ids) {
            Some(filters) => socket.set_filters(&filters)?,
            None => report.notes.push(format!("{} identifiers are more than the kernel filters", ids.len())),
        }
    }
    let wanted = i32::try_from(options.receive_buffer).unwrap_or(i32::MAX);
    if socket.set_socket_option_int(SOL_SOCKET, SO_RCVBUFFORCE, wanted).is_err() {
        socket.set_socket_option_int(SOL_SOCKET, SO_RCVBUF, wanted)?;
    }
    // The kernel counts its own overhead and doubles what is asked for (socket(7), SO_RCVBUF).
    let granted = socket.get_socket_option_int(SOL_SOCKET, SO_RCVBUF)? / 2;
    if granted < wanted {
        report.notes.push(format!(
            "the receive buffer is {granted} bytes instead of {wanted}: give the agent CAP_NET_ADMIN, or raise \
             net.core.rmem_max"
        ));
    }
    Ok(())
}

/// Where the machine's clock stands on the wall clock, if that was set.
pub(super) fn live_anchor() -> Option<ClockAnchor> {
    let (mono, real) = both_clocks();
    let wall = i64::try_from(real / 1_000).ok().map(WallTime::from_unix_micros)?;
    (real >= WALL_CLOCK_SET_NS).then_some(ClockAnchor { mono, wall })
}

/// Monotonic microseconds and wall nanoseconds of one moment.
fn both_clocks() -> (MonoTime, u64) {
    const TRIES: usize = 3;
    const TOGETHER_US: u64 = 50;
    let mut pair = (boot_time(), real_nanos());
    for _ in 1..TRIES {
        let after = boot_time();
        if after.as_micros() - pair.0.as_micros() <= TOGETHER_US {
            break;
        }
        pair = (after, real_nanos());
    }
    pair
}

/// When a message was received, on the monotonic clock: its wall time's age, taken from now. Never before the one
/// before it, and never ahead of now, whatever the wall clock was set to meanwhile.
fn place(
    message: &Message<'_>,
    (mono, real): (MonoTime, u64),
    latest: &mut MonoTime,
    clock_steps: &mut u64,
) -> MonoTime {
    let stamped = message.real_nanos.unwrap_or(real);
    let ahead_us = stamped.saturating_sub(real) / 1_000;
    let at = mono.as_micros().saturating_sub(real.saturating_sub(stamped) / 1_000);
    let back_us = latest.as_micros().saturating_sub(at);
    *clock_steps += u64::from(ahead_us > JITTER_US || back_us > JITTER_US);
    *latest = MonoTime(at).max(*latest);
    *latest
}

/// The kernel's frame as ours.
fn frame(message: &Message<'_>, at: MonoTime, bus: BusId) -> Option<CanFrame> {
    let can_id = message.can_id;
    let has = |flag| can_id & flag != 0;
    let id = if has(libc::CAN_EFF_FLAG) || has(libc::CAN_ERR_FLAG) {
        CanId::Extended(can_id & libc::CAN_EFF_MASK)
    } else {
        CanId::Standard((can_id & libc::CAN_SFF_MASK) as u16)
    };
    let (kind, data) = if has(libc::CAN_ERR_FLAG) {
        (FrameKind::Error, message.data)
    } else if message.is_fd {
        (FrameKind::Fd, message.data)
    } else if has(libc::CAN_RTR_FLAG) {
        (FrameKind::Remote, &[][..])
    } else {
        (FrameKind::Classic, message.data)
    };
    CanFrame::new(at, bus, id, kind, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(can_id: u32, is_fd: bool, data: &[u8]) -> Message<'_> {
        Message { can_id, is_fd, data, ifindex: 1, real_nanos: None, dropped: None }
    }

    #[test]
    fn the_kernels_flags_become_kinds_and_formats() {
        let shown = |m: Message<'_>| {
            let f = frame(&m, MonoTime(0), BusId(0)).unwrap();
            (f.kind, f.id, f.len())
        };
        let (extended, remote, error) = (libc::CAN_EFF_FLAG, libc::CAN_RTR_FLAG, libc::CAN_ERR_FLAG);
        for (m, expected) in [
            (message(0x123, false, &[1; 8]), (FrameKind::Classic, CanId::Standard(0x123), 8)),
            (message(0x123 | extended, false, &[]), (FrameKind::Classic, CanId::Extended(0x123), 0)),
            (message(0x123 | remote, false, &[0; 4]), (FrameKind::Remote, CanId::Standard(0x123), 0)),
            (message(0x40 | error, false, &[0; 8]), (FrameKind::Error, CanId::Extended(0x40), 8)),
            (message(0x7FF, true, &[7; 64]), (FrameKind::Fd, CanId::Standard(0x7FF), 64)),
        ] {
            assert_eq!(shown(m), expected);
        }
        assert_eq!(frame(&message(error, true, &[0; 9]), MonoTime(0), BusId(0)), None);
    }

    #[test]
    fn a_wall_clock_that_is_set_never_moves_monotonic_time_back_or_ahead() {
        let (mut latest, mut steps) = (MonoTime(0), 0);
        let now = (MonoTime(10_000_000), 1_000_000_000_000);
        let mut at = |real_nanos| {
            let m = Message { real_nanos, ..message(1, false, &[]) };
            (place(&m, now, &mut latest, &mut steps).as_micros(), steps)
        };
        assert_eq!(at(Some(999_999_000_000)), (9_999_000, 0));
        assert_eq!(at(Some(999_998_500_000)), (9_999_000, 0), "jitter");
        assert_eq!(at(Some(900_000_000_000)), (9_999_000, 1), "set ahead while it waited");
        assert_eq!(at(Some(2_000_000_000_000)), (10_000_000, 2), "set back while it waited");
        assert_eq!(at(None), (10_000_000, 2));
    }

    #[test]
    fn clocks_run() {
        let (mono, real) = both_clocks();
        thread::sleep(Duration::from_millis(2));
        assert!(boot_time().since(mono) >= Duration::from_millis(2) && real > WALL_CLOCK_SET_NS);
    }
}
