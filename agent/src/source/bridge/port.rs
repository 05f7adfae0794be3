//! The line to a bridge: a serial port, or a socket for a bridge that runs in an emulator or behind a terminal server.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How long a connection over TCP may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the line is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A serial port.
    Serial(PathBuf),
    /// A socket of this machine.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// Not a place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no line: write `/dev/ttyAMA1`, `unix:/run/bridge.sock` or `tcp:127.0.0.1:5000`")]
pub struct NotAPlace(String);

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Place, NotAPlace> {
        let place = match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Place::Unix(path.into()),
            Some(("tcp", address)) if address.contains(':') => Place::Tcp(address.into()),
            None if text.starts_with('/') => Place::Serial(text.into()),
            _ => return Err(NotAPlace(text.into())),
        };
        Ok(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Serial(path) => write!(f, "{}", path.display()),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// An open line. Nothing here waits but [`Port::wait`].
pub(super) struct Port(OwnedFd);

impl Port {
    /// Opens the line; a serial port raw, with eight bits and no parity, at so many bits a second.
    pub(super) fn open(place: &Place, baud: u32) -> io::Result<Port> {
        match place {
            Place::Serial(path) => {
                let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let line = rustix::fs::open(path, flags, Mode::empty())?;
                let mut settings = rustix::termios::tcgetattr(&line)?;
                settings.make_raw();
                // The modem's lines are not wired on a board; hardware flow control is not needed, the link has its own.
                settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
                settings.control_modes &= !(ControlModes::CRTSCTS | ControlModes::CSTOPB);
                settings.set_speed(baud)?;
                rustix::termios::tcsetattr(&line, OptionalActions::Flush, &settings)?;
                Ok(Port(line))
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Port(stream.into()))
            }
            Place::Tcp(address) => {
                let Some(address) = address.to_socket_addrs()?.next() else {
                    return Err(io::Error::new(ErrorKind::NotFound, "no such host"));
                };
                let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Port(stream.into()))
            }
        }
    }

    /// Waits until there are bytes to read, or room for those that are to be written, or the time is over.
    pub(super) fn wait(&self, to_write: bool, wait: Duration) -> io::Result<()> {
        let wanted = if to_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.0, wanted)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there, up to the size of the buffer; zero if there is nothing yet.
    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.0, into) {
            // A serial port that was unplugged reads as its end, as a closed socket does.
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => Ok(n),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.0, bytes) {
            Ok(n) => Ok(n),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in ["/dev/ttyAMA1", "unix:/run/bridge.sock", "tcp:127.0.0.1:5000", "tcp:[::1]:5000"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "ttyAMA1", "unix:", "tcp:5000", "usb:/dev/x"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_terminal_carries_every_byte_as_it_is_both_ways() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
        let port = Port::open(&Place::Serial(path.into()), 2_000_000).unwrap();
        // Among them what a terminal would take for an interrupt, a line's end, a stop or an echo.
        let every: Vec<u8> = (0..=255).collect();
        rustix::io::write(&far, &every).unwrap();
        let mut read: Vec<u8> = Vec::new();
        let mut chunk = [0; 300];
        while read.len() < every.len() {
            port.wait(false, Duration::from_secs(5)).unwrap();
            let more = port.read(&mut chunk).unwrap();
            assert!(more > 0, "{} bytes came", read.len());
            read.extend(&chunk[..more]);
        }
        assert_eq!(read, every);
        assert_eq!(port.read(&mut chunk).unwrap(), 0, "nothing there is no end");
        assert_eq!(port.write(&every).unwrap(), every.len());
        let len = rustix::io::read(&far, &mut chunk).unwrap();
        assert_eq!(chunk[..len], every[..len]);
        drop(far);
        assert!(port.read(&mut chunk).is_err(), "the other end is gone");
    }

    #[test]
    fn a_file_that_is_no_serial_port_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Port::open(&Place::Serial(file.path().into()), 115_200).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
