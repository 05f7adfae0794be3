//! Stands in for devices that this machine does not have: a program runs as it is, and where it opens a device or calls it,
//! the test answers in the kernel's place. Everything else goes to the kernel.
//!
//! The kernel holds such a call back and hands it to the listener of a filter that the program got before its start
//! (`seccomp_unotify(2)`, Linux 5.14). The program's memory is read and written as `/proc/PID/mem`.
#![allow(unsafe_code)] // The only such file of this crate: seccomp(2), and the ioctls of its listener.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Duration;

/// The longest path of a device.
const MAX_PATH: usize = 64;

/// open(2), which newer architectures lack.
#[cfg(target_arch = "x86_64")]
const OPEN: i64 = libc::SYS_open;
#[cfg(not(target_arch = "x86_64"))]
const OPEN: i64 = libc::SYS_openat;

/// The calls of a program that the test may answer.
pub(crate) struct SystemCalls {
    listener: OwnedFd,
    memory: File,
}

/// A call that waits for its answer.
pub(crate) struct Asked {
    id: u64,
    pub(crate) call: Call,
}

/// What is asked.
pub(crate) enum Call {
    /// open(2) or openat(2) of this path.
    Open(String),
    /// ioctl(2).
    Ioctl { command: u32, argument: u64 },
}

impl SystemCalls {
    /// Starts a program whose open(2), openat(2) and ioctl(2) come here first. They are to be answered from then on.
    pub(crate) fn of(command: &mut Command) -> io::Result<(Child, SystemCalls)> {
        let (mut told, tells) = io::pipe()?;
        // SAFETY: between fork and exec the closure makes system calls alone, on memory of its own stack.
        unsafe {
            command.pre_exec(move || {
                let listener = listen()?;
                (&tells).write_all(&listener.to_ne_bytes())
            });
        }
        let mut child = command.spawn()?;
        match Self::behind(&child, &mut told) {
            Ok(calls) => Ok((child, calls)),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    fn behind(child: &Child, told: &mut io::PipeReader) -> io::Result<SystemCalls> {
        let mut listener = [0; 4];
        told.read_exact(&mut listener)?;
        let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let listener = pidfd_getfd(process, i32::from_ne_bytes(listener), PidfdGetfdFlags::empty())?;
        let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", child.id()))?;
        Ok(SystemCalls { listener, memory })
    }

    /// The next call, if one comes within that time.
    pub(crate) fn next(&self, wait: Duration) -> Option<Asked> {
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
        let mut polled = [PollFd::new(&self.listener, PollFlags::IN)];
        poll(&mut polled, Some(&timeout)).ok()?;
        if !polled[0].revents().contains(PollFlags::IN) {
            return None;
        }
        // SAFETY: a notification is made of integers, and the kernel asks for zeros.
        let mut asked: libc::seccomp_notif = unsafe { mem::zeroed() };
        // Who died meanwhile asks nothing any more.
        self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked).ok()?;
        let [first, second, third, ..] = asked.data.args;
        let number = i64::from(asked.data.nr);
        let call = if number == OPEN || number == libc::SYS_openat {
            let mut path = [0; MAX_PATH];
            let place = if number == OPEN { first } else { second };
            let read = self.memory.read_at(&mut path, place).unwrap_or(0);
            let path = path[..read].split(|byte| *byte == 0).next().unwrap_or_default();
            Call::Open(String::from_utf8_lossy(path).into_owned())
        } else {
            Call::Ioctl { command: second as u32, argument: third }
        };
        Some(Asked { id: asked.id, call })
    }

    /// Lets the kernel answer.
    pub(crate) fn pass_on(&self, asked: &Asked) {
        self.respond(asked, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    /// The call gives this value.
    pub(crate) fn answer(&self, asked: &Asked, value: i64) {
        self.respond(asked, value, 0);
    }

    /// Gives the program this file, and its number there as the call's answer.
    pub(crate) fn answer_with(&self, asked: &Asked, file: &impl AsFd) -> io::Result<()> {
        self.install(asked, file, libc::SECCOMP_ADDFD_FLAG_SEND as u32).map(|_| ())
    }

    /// Gives the program this file; tells its number there.
    pub(crate) fn give(&self, asked: &Asked, file: &impl AsFd) -> io::Result<i32> {
        self.install(asked, file, 0)
    }

    /// Reads the program's memory.
    pub(crate) fn read<const N: usize>(&self, address: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// Writes into it.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(bytes, address)
    }

    fn respond(&self, asked: &Asked, val: i64, flags: u32) {
        let mut response = libc::seccomp_notif_resp { id: asked.id, val, error: 0, flags };
        // Who died meanwhile needs no answer.
        let _ = self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }

    fn install(&self, asked: &Asked, file: &impl AsFd, flags: u32) -> io::Result<i32> {
        let srcfd = file.as_fd().as_raw_fd() as u32;
        let newfd_flags = libc::O_CLOEXEC as u32;
        let mut added = libc::seccomp_notif_addfd { id: asked.id, flags, srcfd, newfd: 0, newfd_flags };
        self.control(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut added)
    }

    fn control<T>(&self, command: libc::Ioctl, argument: *mut T) -> io::Result<i32> {
        // SAFETY: each caller hands over the structure that its command reads and writes, which lives through the call.
        match unsafe { libc::ioctl(self.listener.as_raw_fd(), command, argument) } {
            done @ 0.. => Ok(done),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Holds back open(2), openat(2) and ioctl(2) of this process from now on; gives the listener, which stays over an exec.
fn listen() -> io::Result<i32> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, equal, end) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let mut steps = [
        step(load, 0, 0, 0),
        step(equal, OPEN as u32, 2, 0),
        step(equal, libc::SYS_openat as u32, 1, 0),
        step(equal, libc::SYS_ioctl as u32, 0, 1),
        step(end, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
        step(end, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the filter's steps live through the calls; the others take numbers.
    let listener = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listener =
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) as i32;
        if listener < 0 || libc::fcntl(listener, libc::F_SETFD, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        listener
    };
    Ok(listener)
}
