//! A bridge behind SPI: `spidev` for the transactions, a GPIO line on which the bridge calls for one.
//!
//! When a transaction begins is `telltale_core::bridge::SpiCarrier`'s to say; here it takes place. It takes 0.4 ms at
//! 10 MHz, in which this thread sleeps where the controller has DMA.

use super::ioctl::{ReadyInput, SpiDevice};
use crate::source::boot_time;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;
use telltale_core::bridge::{BridgeLink, ReadyWire, SpiCarrier};
use telltale_core::frame::CanFrame;
use telltale_wire::bridge::SPI_TRANSACTION;

/// A bridge that is a peripheral on an SPI bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpiPlace {
    /// The device of the driver spidev: bus and chip select.
    pub device: PathBuf,
    /// The clock, in hertz.
    pub speed_hz: u32,
    /// Clock polarity and phase, 0 to 3.
    pub mode: u8,
    /// The line on which the bridge says that there is something to fetch.
    pub ready: ReadyLine,
}

/// A line of a GPIO chip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadyLine {
    /// The chip's device.
    pub chip: PathBuf,
    /// The line's number on it.
    pub line: u32,
}

/// Not a line of a GPIO chip.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no GPIO line: write the chip and the number of its line, as in `/dev/gpiochip0:17`")]
pub struct NotALine(String);

impl FromStr for ReadyLine {
    type Err = NotALine;

    fn from_str(text: &str) -> Result<ReadyLine, NotALine> {
        let parts = text.rsplit_once(':').filter(|(chip, _)| chip.starts_with('/'));
        let line = parts.and_then(|(chip, line)| Some((chip, line.parse().ok()?)));
        line.map(|(chip, line)| ReadyLine { chip: chip.into(), line }).ok_or_else(|| NotALine(text.into()))
    }
}

impl fmt::Display for ReadyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chip.display(), self.line)
    }
}

/// The device and the line, open.
pub(super) struct Spi {
    device: SpiDevice,
    ready: ReadyInput,
    carrier: SpiCarrier,
    name: String,
}

impl Spi {
    pub(super) fn open(place: &SpiPlace) -> io::Result<Spi> {
        let SpiPlace { device: path, speed_hz, mode, ready } = place;
        let device = SpiDevice::open(path, *speed_hz, *mode).map_err(|error| of_spi(path, error))?;
        let input = ReadyInput::open(&ready.chip, ready.line).map_err(|error| of_ready(ready, error))?;
        Ok(Spi { device, ready: input, carrier: SpiCarrier::new(), name: path.display().to_string() })
    }

    /// Carries out a transaction if there is cause for one, or waits for it.
    pub(super) fn exchange(
        &mut self,
        link: &mut BridgeLink,
        wait: Duration,
        frames: &mut VecDeque<CanFrame>,
    ) -> io::Result<()> {
        let now = boot_time();
        // First the edges: one that comes between the two looks is seen by the second.
        let rose = self.ready.rose()?;
        let wire = ReadyWire { rose, high: self.ready.is_high()? };
        if let Some(send) = self.carrier.poll_exchange(link, wire, now) {
            let mut received = [0; SPI_TRANSACTION];
            self.device.transfer(send, &mut received).map_err(of_transfer)?;
            self.carrier.exchanged(link, &received, boot_time(), frames);
            if let Some(trouble) = self.carrier.poll_trouble() {
                log::warn!("bridge {}: {trouble}", self.name);
            }
            return Ok(());
        }
        let wait = wait.min(self.carrier.poll_timeout(link).since(now));
        if self.carrier.is_called() {
            // An edge would say nothing new, and a wire that flutters would wake this thread without end.
            thread::sleep(wait);
            return Ok(());
        }
        Ok(self.ready.wait(wait)?)
    }
}

fn of_spi(path: &Path, error: Errno) -> io::Error {
    let advice = match error {
        Errno::NOENT => "enable the SPI bus in the device tree, with a node that the driver spidev takes",
        Errno::ACCESS | Errno::PERM => {
            "add the agent's user to the device's group (often spi), and allow the device in its sandbox"
        }
        Errno::NOTTY => "this is no device of the driver spidev",
        Errno::INVAL => "this controller cannot do such a mode or speed",
        _ => "is this the bridge's bus and chip select?",
    };
    told(error, &path.display().to_string(), advice)
}

fn of_ready(ready: &ReadyLine, error: Errno) -> io::Error {
    let advice = match error {
        Errno::NOENT => "`gpiodetect` lists the chips of this machine",
        Errno::ACCESS | Errno::PERM => {
            "add the agent's user to the device's group (often gpio), and allow the device in its sandbox"
        }
        Errno::NOTTY => "this is no GPIO chip, or its kernel is older than 5.10",
        Errno::BUSY => "another driver or program has this line: `gpioinfo` names it",
        Errno::INVAL => "the chip has no such line: `gpioinfo` lists them",
        Errno::NXIO | Errno::OPNOTSUPP => "this line has no interrupt: wire ready to one that has",
        _ => "`gpioinfo` shows this machine's lines",
    };
    told(error, &ready.to_string(), advice)
}

fn of_transfer(error: Errno) -> io::Error {
    if error == Errno::MSGSIZE {
        let least =
            format!("give the module spidev a bufsiz of {SPI_TRANSACTION} at least (4096 is its default)");
        return told(error, "a transaction", &least);
    }
    error.into()
}

fn told(error: Errno, what: &str, advice: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(device: &str, ready: &str) -> SpiPlace {
        SpiPlace { device: device.into(), speed_hz: 10_000_000, mode: 0, ready: ready.parse().unwrap() }
    }

    #[test]
    fn a_ready_line_is_read_as_it_is_shown() {
        for text in ["/dev/gpiochip0:17", "/dev/gpiochip12:0", "/dev/by:name:3"] {
            assert_eq!(text.parse::<ReadyLine>().unwrap().to_string(), text);
        }
        for text in ["", "gpiochip0:17", "/dev/gpiochip0", "/dev/gpiochip0:", "/dev/gpiochip0:-1", "17"] {
            let error = text.parse::<ReadyLine>().unwrap_err().to_string();
            assert!(error.contains("/dev/gpiochip0:17"), "{error}");
        }
    }

    #[test]
    fn what_is_no_spidev_and_no_gpio_chip_is_refused_with_what_to_do() {
        for (device, expected) in [
            ("/dev/spidev99.0", ["/dev/spidev99.0: ", "device tree"]),
            ("/dev/null", ["/dev/null: ", "no device of the driver spidev"]),
        ] {
            let error = Spi::open(&place(device, "/dev/null:0")).err().unwrap().to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        }
        let error = |ready: &str| {
            let ready: ReadyLine = ready.parse().unwrap();
            of_ready(&ready, ReadyInput::open(&ready.chip, ready.line).err().unwrap()).to_string()
        };
        assert!(error("/dev/gpiochip99:1").contains("gpiodetect"));
        assert!(
            error("/dev/null:1").contains("/dev/null:1: ") && error("/dev/null:1").contains("no GPIO chip")
        );
    }

    #[test]
    fn errors_of_a_driver_say_what_to_do() {
        let ready: ReadyLine = "/dev/gpiochip0:17".parse().unwrap();
        for (error, advice) in [
            (of_spi(Path::new("/dev/spidev0.0"), Errno::ACCESS), "group (often spi)"),
            (of_ready(&ready, Errno::ACCESS), "group (often gpio)"),
            (of_ready(&ready, Errno::BUSY), "gpioinfo"),
            (of_ready(&ready, Errno::NXIO), "no interrupt"),
            (of_transfer(Errno::MSGSIZE), "bufsiz of 512"),
        ] {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
