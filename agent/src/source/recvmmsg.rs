//! The system calls that no crate wraps: many frames of a CAN socket at once, with their times, interfaces and the
//! count of dropped ones; and the clock that goes on while the machine sleeps.
#![allow(unsafe_code)] // Beside `bridge/ioctl.rs` the only such file of this crate: recvmmsg(2), cmsg(3), clock_gettime(2).

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;
use telltale_wire::time::MonoTime;

/// Messages of one call: 64 frames are 8 ms of a full classic bus.
pub(super) const MESSAGES: usize = 64;

/// Room for a timestamp (`CMSG_SPACE(16)`, 32 bytes) and a drop count (`CMSG_SPACE(4)`, 24), twice.
const CONTROL: usize = 128;

/// `struct can_frame` is 16 bytes, `struct canfd_frame` 72; the size of a message tells them apart.
const CLASSIC_MTU: usize = 16;
const FD_MTU: usize = 72;

/// Microseconds since the boot, the time asleep included (`CLOCK_BOOTTIME`): after a sleep, old signals are old.
#[must_use]
pub fn boot_time() -> MonoTime {
    MonoTime(clock_nanos(libc::CLOCK_BOOTTIME) / 1_000)
}

/// Nanoseconds since 1970 (`CLOCK_REALTIME`); zero before.
pub(super) fn real_nanos() -> u64 {
    clock_nanos(libc::CLOCK_REALTIME)
}

fn clock_nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives through the call. Both clocks exist on every Linux since 2.6.39, and
    // a failure would leave the zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    nanos(time)
}

fn nanos(time: libc::timespec) -> u64 {
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Frame([u8; FD_MTU]);

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What came in one call, until the next. 18 kB, allocated once.
pub(super) struct Batch {
    frames: [Frame; MESSAGES],
    controls: [Control; MESSAGES],
    addresses: [libc::sockaddr_can; MESSAGES],
    headers: [libc::mmsghdr; MESSAGES],
    parts: [libc::iovec; MESSAGES],
    len: usize,
}

// SAFETY: the pointers inside `headers` and `parts` are written and followed within one call of `receive`; between
// calls nothing follows them, so that the value may move to another thread.
unsafe impl Send for Batch {}

/// One message of the socket.
pub(super) struct Message<'b> {
    /// The identifier with its flags, as the kernel has it.
    pub(super) can_id: u32,
    /// Whether it came as a CAN FD frame.
    pub(super) is_fd: bool,
    /// Its data, at most as many bytes as its kind carries.
    pub(super) data: &'b [u8],
    /// The interface it was received on.
    pub(super) ifindex: u32,
    /// When the kernel received it, in nanoseconds since 1970.
    pub(super) real_nanos: Option<u64>,
    /// How many frames the socket had dropped when this one was queued; the counter wraps.
    pub(super) dropped: Option<u32>,
}

impl Batch {
    pub(super) fn new() -> Box<Batch> {
        // SAFETY: all fields are plain C structures, integers and null pointers, for which zero is a value.
        Box::new(unsafe { mem::zeroed() })
    }

    /// Waits for a frame as the socket's receive timeout says, or not at all, and takes what else is there. Gives how
    /// many came.
    pub(super) fn receive(&mut self, socket: &impl AsFd, block: bool) -> io::Result<usize> {
        self.len = 0;
        for i in 0..MESSAGES {
            self.parts[i] = libc::iovec { iov_base: self.frames[i].0.as_mut_ptr().cast(), iov_len: FD_MTU };
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = (&raw mut self.addresses[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_can>() as libc::socklen_t;
            header.msg_iov = &raw mut self.parts[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            header.msg_flags = 0;
        }
        let flags = if block { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: `headers` has MESSAGES entries, each of which points to a name, a vector of one part and a control
        // buffer of the lengths it gives; all lie in `self`, which is borrowed mutably through the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                MESSAGES as libc::c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        self.len = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.len)
    }

    /// What came; `None` is a message that is no CAN frame.
    pub(super) fn messages(&self) -> impl Iterator<Item = Option<Message<'_>>> {
        (0..self.len).map(|i| self.message(i))
    }

    fn message(&self, i: usize) -> Option<Message<'_>> {
        let is_fd = match self.headers[i].msg_len as usize {
            CLASSIC_MTU => false,
            FD_MTU => true,
            _ => return None,
        };
        let [id0, id1, id2, id3, len, ..] = self.frames[i].0;
        let data = self.frames[i].0.get(8..8 + usize::from(len))?;
        if !is_fd && data.len() > CLASSIC_MTU - 8 {
            return None;
        }
        let (real_nanos, dropped) = self.ancillary(i);
        Some(Message {
            can_id: u32::from_ne_bytes([id0, id1, id2, id3]),
            is_fd,
            data,
            ifindex: self.addresses[i].can_ifindex.unsigned_abs(),
            real_nanos,
            dropped,
        })
    }

    /// The timestamp and the drop count of a message.
    fn ancillary(&self, i: usize) -> (Option<u64>, Option<u32>) {
        let (mut real_nanos, mut dropped) = (None, None);
        // SAFETY: a msghdr is plain C; zero and null are values of all its fields.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_control = self.controls[i].0.as_ptr().cast_mut().cast();
        header.msg_controllen = self.headers[i].msg_hdr.msg_controllen;
        // SAFETY: the buffer is aligned for cmsghdr and the length is what the kernel wrote into it, so that
        // CMSG_FIRSTHDR and CMSG_NXTHDR stay inside. Nothing is written through the pointer.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        while !control.is_null() {
            // SAFETY: a header that CMSG_FIRSTHDR or CMSG_NXTHDR gave is whole and initialised by the kernel.
            let (kind, len) = unsafe { ((*control).cmsg_type, (*control).cmsg_len as usize) };
            // SAFETY: CMSG_DATA only computes an address.
            let data = unsafe { libc::CMSG_DATA(control) };
            if kind == libc::SO_TIMESTAMPNS && holds::<libc::timespec>(len) {
                // SAFETY: the length says that a timespec lies there; it may be unaligned.
                real_nanos = Some(nanos(unsafe { ptr::read_unaligned(data.cast::<libc::timespec>()) }));
            } else if kind == libc::SO_RXQ_OVFL && holds::<u32>(len) {
                // SAFETY: the length says that a u32 lies there; it may be unaligned.
                dropped = Some(unsafe { ptr::read_unaligned(data.cast::<u32>()) });
            }
            // SAFETY: as for CMSG_FIRSTHDR.
            control = unsafe { libc::CMSG_NXTHDR(&raw const header, control) };
        }
        (real_nanos, dropped)
    }
}

/// Whether a control message of this length holds a `T`.
fn holds<T>(len: usize) -> bool {
    // SAFETY: CMSG_LEN only computes a length.
    len >= unsafe { libc::CMSG_LEN(size_of::<T>() as libc::c_uint) } as usize
}
