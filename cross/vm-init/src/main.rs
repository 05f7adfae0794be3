//! The first process of a virtual machine that exists for one command.
//!
//! It mounts /proc, runs the command that the kernel was given after `--`, says on the console how it ended and
//! powers off. As a static binary it is, with the command, all that an initial RAM file system needs.
#![forbid(unsafe_code)]
// The console is how the host learns of anything.
#![allow(clippy::print_stdout)]

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use std::io::{Error, ErrorKind, Result};
use std::process::{Command, ExitCode};
use std::{env, io, process};

fn main() -> ExitCode {
    // Started by hand it would switch the developer's machine off.
    if process::id() != 1 {
        println!("vm-init: only for the first process of a virtual machine");
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(ended) => println!("vm-init: {ended}"),
        Err(why) => println!("vm-init: the command could not be run: {why}"),
    }
    // The kernel does not wait for its console when it powers off.
    let _ = rustix::termios::tcdrain(io::stdout());
    // Where this fails, the end of the first process makes the kernel panic, and the host sees the machine end.
    let _ = reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}

/// Runs the command and gives how it ended, such as `exit status: 0`.
fn run() -> Result<process::ExitStatus> {
    mount("proc", "/proc", "proc", MountFlags::empty(), None)?;
    let mut words = env::args_os().skip(1);
    let program =
        words.next().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the kernel was given none"))?;
    Command::new(program).args(words).status()
}
