//! A raw CAN socket that sends many frames with one call.
#![allow(unsafe_code)] // The only such file of this crate: socket(2), bind(2), setsockopt(2), sendmmsg(2).

use anyhow::{Context as _, Result, ensure};
use std::ffi::{CString, c_int, c_void};
use std::io::{Error, ErrorKind};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// A buffer that stays full for so long is not emptied any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a full buffer is given to empty itself.
const REST: Duration = Duration::from_millis(1);

/// A frame as the kernel takes it. A classic one is the first 16 bytes of it.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    raw: libc::canfd_frame,
    is_fd: bool,
}

impl Frame {
    pub(crate) fn classic(id: u32, data: &[u8]) -> Result<Frame> {
        ensure!(data.len() <= 8, "{} bytes are more than 8", data.len());
        Ok(Frame::of(id, 0, data, false))
    }

    pub(crate) fn fd(id: u32, flags: u8, data: &[u8]) -> Result<Frame> {
        ensure!(
            matches!(data.len(), 0..=8 | 12 | 16 | 20 | 24 | 32 | 48 | 64),
            "no frame has {} bytes",
            data.len()
        );
        Ok(Frame::of(id, flags, data, true))
    }

    fn of(id: u32, flags: u8, data: &[u8], is_fd: bool) -> Frame {
        // SAFETY: zero is a valid value for every field of this plain structure.
        let mut raw: libc::canfd_frame = unsafe { zeroed() };
        (raw.can_id, raw.len, raw.flags) = (id, data.len() as u8, flags);
        raw.data[..data.len()].copy_from_slice(data);
        Frame { raw, is_fd }
    }

    const fn size(&self) -> usize {
        if self.is_fd { libc::CANFD_MTU } else { libc::CAN_MTU }
    }

    #[cfg(test)]
    pub(crate) fn shown(&self) -> (u32, usize, bool) {
        (self.raw.can_id, usize::from(self.raw.len), self.is_fd)
    }
}

/// One interface.
pub(crate) struct Sender(OwnedFd);

impl Sender {
    /// Opens an interface. It hears nothing, its own frames neither.
    pub(crate) fn open(name: &str) -> Result<Sender> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::socket(libc::PF_CAN, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::CAN_RAW) };
        ensure!(fd >= 0, "no CAN socket: {}", Error::last_os_error());
        // SAFETY: the descriptor was just opened and is nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let on: c_int = 1;
        // SAFETY: an option of no filter has no bytes; the other points to an integer and tells its size.
        let set = unsafe {
            libc::setsockopt(fd, libc::SOL_CAN_RAW, libc::CAN_RAW_FILTER, ptr::null(), 0)
                | libc::setsockopt(
                    fd,
                    libc::SOL_CAN_RAW,
                    libc::CAN_RAW_FD_FRAMES,
                    (&raw const on).cast::<c_void>(),
                    size_of::<c_int>() as libc::socklen_t,
                )
        };
        ensure!(set == 0, "its options cannot be set: {}", Error::last_os_error());
        let terminated = CString::new(name).context("a name holds no zero byte")?;
        // SAFETY: the pointer is to a string that ends with a zero byte and lives through the call.
        let index = unsafe { libc::if_nametoindex(terminated.as_ptr()) };
        ensure!(index != 0, "there is no interface {name}");
        // SAFETY: zero is a valid value for every field of this plain structure.
        let mut address: libc::sockaddr_can = unsafe { zeroed() };
        address.can_family = libc::AF_CAN as libc::sa_family_t;
        address.can_ifindex = index.cast_signed();
        let size = size_of::<libc::sockaddr_can>() as libc::socklen_t;
        // SAFETY: the address lives through the call, and the size is its own.
        let bound = unsafe { libc::bind(fd, (&raw const address).cast(), size) };
        ensure!(bound == 0, "it cannot be bound: {}", Error::last_os_error());
        Ok(Sender(socket))
    }

    /// Sends all of these frames; gives the number of system calls.
    pub(crate) fn send(&mut self, frames: &[Frame]) -> Result<u64> {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec {
                iov_base: (&raw const frame.raw).cast_mut().cast(),
                iov_len: frame.size(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: zero is a valid value for every field of this plain structure.
                let mut message: libc::mmsghdr = unsafe { zeroed() };
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let (mut left, mut calls, began) = (messages.as_mut_slice(), 0, Instant::now());
        while !left.is_empty() {
            // SAFETY: each message points to one part, each part to a frame of `frames`; the kernel reads them only, and
            // all live through the call.
            let sent = unsafe {
                libc::sendmmsg(self.0.as_raw_fd(), left.as_mut_ptr(), left.len() as libc::c_uint, 0)
            };
            calls += 1;
            if let Ok(sent) = usize::try_from(sent) {
                left = &mut left[sent..];
                continue;
            }
            let error = Error::last_os_error();
            let full = error.raw_os_error() == Some(libc::ENOBUFS);
            ensure!(
                (full || error.kind() == ErrorKind::Interrupted) && began.elapsed() < PATIENCE,
                "{} of {} frames were not sent: {error}",
                left.len(),
                frames.len()
            );
            thread::sleep(REST);
        }
        Ok(calls)
    }
}
