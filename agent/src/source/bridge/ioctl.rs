//! The device calls that no crate in use wraps: full duplex transactions of `spidev` (`linux/spi/spidev.h`), and the edges
//! of a GPIO line (`linux/gpio.h`, version 2 of its interface, Linux 5.10). The layouts are the kernel's for every
//! architecture.
#![allow(unsafe_code)] // Beside `source/recvmmsg.rs` the only such file of this crate: ioctl(2).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Setter, Updater, ioctl, opcode};
use std::mem;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// `SPI_IOC_MAGIC`, and the group of the GPIO calls.
const SPI: u8 = b'k';
const GPIO: u8 = 0xB4;

/// `GPIO_V2_LINE_FLAG_INPUT`, `GPIO_V2_LINE_FLAG_EDGE_RISING`.
const INPUT_WITH_RISING_EDGES: u64 = 1 << 2 | 1 << 4;

/// `sizeof(struct gpio_v2_line_event)`, and as many of them as the kernel holds for one line.
const EVENT: usize = 48;
const EVENTS: usize = 16;

/// Shown by `gpioinfo` beside the line.
const CONSUMER: &[u8] = b"telltale bridge";

/// `struct spi_ioc_transfer`.
#[repr(C)]
#[derive(Default)]
struct Transfer {
    tx_buf: u64,
    rx_buf: u64,
    len: u32,
    speed_hz: u32,
    delay_usecs: u16,
    bits_per_word: u8,
    cs_change: u8,
    tx_nbits: u8,
    rx_nbits: u8,
    word_delay_usecs: u8,
    pad: u8,
}

/// `struct gpio_v2_line_attribute` with its mask. None is used.
#[repr(C)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
    mask: u64,
}

/// `struct gpio_v2_line_config`.
#[repr(C)]
struct LineConfig {
    flags: u64,
    num_attrs: u32,
    padding: [u32; 5],
    attrs: [Attribute; 10],
}

/// `struct gpio_v2_line_request`.
#[repr(C)]
struct LineRequest {
    offsets: [u32; 64],
    consumer: [u8; 32],
    config: LineConfig,
    num_lines: u32,
    event_buffer_size: u32,
    padding: [u32; 5],
    fd: i32,
}

/// `struct gpio_v2_line_values`.
#[repr(C)]
struct LineValues {
    bits: u64,
    mask: u64,
}

const _: () = assert!(size_of::<Transfer>() == 32);
const _: () = assert!(size_of::<LineConfig>() == 272 && size_of::<LineRequest>() == 592);

/// A device on an SPI bus that the driver spidev has.
pub(super) struct SpiDevice {
    device: OwnedFd,
    speed_hz: u32,
}

impl SpiDevice {
    /// Opens it, in an SPI mode of 0 to 3 and with words of 8 bits.
    pub(super) fn open(path: &Path, speed_hz: u32, mode: u8) -> Result<SpiDevice, Errno> {
        let device = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        // SAFETY: SPI_IOC_WR_MODE32, SPI_IOC_WR_BITS_PER_WORD and SPI_IOC_WR_MAX_SPEED_HZ each read an integer of the
        // type that stands here. Another driver knows none of them and says so.
        unsafe {
            ioctl(&device, Setter::<{ opcode::write::<u32>(SPI, 5) }, u32>::new(u32::from(mode)))?;
            ioctl(&device, Setter::<{ opcode::write::<u8>(SPI, 3) }, u8>::new(8))?;
            ioctl(&device, Setter::<{ opcode::write::<u32>(SPI, 4) }, u32>::new(speed_hz))?;
        }
        Ok(SpiDevice { device, speed_hz })
    }

    /// One transaction: chip select falls, as many bytes go each way, chip select rises. Waits for its end.
    pub(super) fn transfer<const N: usize>(
        &self,
        send: &[u8; N],
        receive: &mut [u8; N],
    ) -> Result<(), Errno> {
        let transfer = Transfer {
            tx_buf: send.as_ptr().expose_provenance() as u64,
            rx_buf: receive.as_mut_ptr().expose_provenance() as u64,
            len: u32::try_from(N).map_err(|_| Errno::MSGSIZE)?,
            speed_hz: self.speed_hz,
            bits_per_word: 8,
            ..Transfer::default()
        };
        // SAFETY: SPI_IOC_MESSAGE(1) reads this structure; the kernel reads `len` bytes of `send` and writes `len` of
        // `receive`, both of which are that long and borrowed through the call, the second one mutably.
        unsafe {
            ioctl(&self.device, Setter::<{ opcode::write::<Transfer>(SPI, 0) }, Transfer>::new(transfer))
        }
    }
}

/// A GPIO line whose rising edges the kernel counts.
pub(super) struct ReadyInput(OwnedFd);

impl ReadyInput {
    /// Asks a chip for a line as an input.
    pub(super) fn open(chip: &Path, line: u32) -> Result<ReadyInput, Errno> {
        let chip = rustix::fs::open(chip, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        // SAFETY: the structure is made of integers, for which zero is a value, and the kernel asks for zeros in what it
        // does not use.
        let mut request: LineRequest = unsafe { mem::zeroed() };
        request.offsets[0] = line;
        request.num_lines = 1;
        request.consumer[..CONSUMER.len()].copy_from_slice(CONSUMER);
        request.config.flags = INPUT_WITH_RISING_EDGES;
        // SAFETY: GPIO_V2_GET_LINE_IOCTL reads and writes this structure, which lives through the call.
        unsafe {
            ioctl(&chip, Updater::<{ opcode::read_write::<LineRequest>(GPIO, 7) }, _>::new(&mut request))?;
        }
        // SAFETY: the call succeeded, so that this is a new descriptor that nobody else has.
        let line = unsafe { OwnedFd::from_raw_fd(request.fd) };
        let flags = rustix::fs::fcntl_getfl(&line)?;
        rustix::fs::fcntl_setfl(&line, flags | OFlags::NONBLOCK)?;
        Ok(ReadyInput(line))
    }

    /// Whether it rose since the last look; does not wait.
    pub(super) fn rose(&self) -> Result<bool, Errno> {
        let mut events = [0; EVENT * EVENTS];
        match rustix::io::read(self.0.as_fd(), &mut events) {
            Ok(read) => Ok(read > 0),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it is high.
    pub(super) fn is_high(&self) -> Result<bool, Errno> {
        let mut values = LineValues { bits: 0, mask: 1 };
        // SAFETY: GPIO_V2_LINE_GET_VALUES_IOCTL reads and writes this structure, which lives through the call.
        unsafe {
            ioctl(&self.0, Updater::<{ opcode::read_write::<LineValues>(GPIO, 14) }, _>::new(&mut values))?;
        }
        Ok(values.bits & 1 == 1)
    }

    /// Waits until it rises, or the time is over.
    pub(super) fn wait(&self, wait: Duration) -> Result<(), Errno> {
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
