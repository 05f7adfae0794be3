//! An aarch64 machine: a real kernel of the vehicle's architecture, emulated, that runs one command and powers off.
//!
//! Debian's kernel boots with an initial RAM file system that holds the files it is given and, as its first process,
//! `cross/vm-init`. No disk, no network, no module: the serial console is the only way out. Nothing of the machine
//! outlives the call.

mod controllers;
mod initrd;
pub(crate) mod kernel;

use crate::{cross_build, needs, shell};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use initrd::{Initrd, Written};

/// The emulator, as Debian installs it.
const EMULATOR: &str = "qemu-system-aarch64";
/// The core of a common class of vehicle computers; and memory for the kernel, its file system and the command.
const HARDWARE: [&str; 6] = ["-machine", "virt", "-cpu", "cortex-a72", "-m", "512"];
/// Time goes by instructions, one a nanosecond, on a core with the dot product: counts repeat where seconds do not.
const COUNTING: [&str; 4] = ["-cpu", "cortex-a76", "-icount", "shift=0,sleep=off"];
/// Only the console is attached; a kernel that panics ends the emulator.
const NOTHING_ELSE: [&str; 9] =
    ["-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio"];
/// The kernel keeps quiet, and spares the emulator work that protects nobody here. A word that this kernel does not know
/// would reach the first process as if it were part of the command.
const KERNEL_ARGUMENTS: &str = "console=ttyAMA0 quiet loglevel=0 panic=-1 mitigations=off kpti=off";
/// A console that says more than this has gone astray.
const MAX_CONSOLE_BYTES: u64 = 1 << 20;
/// What the first process says before the command's status, and the status that is none of a failure.
const ENDED: &str = "vm-init: ";
const WELL: &str = "exit status: 0";

/// What is needed to start the machine.
pub(crate) struct Machine {
    kernel: PathBuf,
    init: PathBuf,
    counts: bool,
}

impl Machine {
    /// Gets the emulator and the kernel onto the host where they are missing, and builds the first process.
    pub(crate) fn prepare() -> Result<Machine> {
        needs::packages(&[needs::QEMU_SYSTEM, needs::AARCH64_GCC]);
        let kernel = kernel::arm64().context("no aarch64 machine here: its kernel is missing")?;
        Machine::with_kernel(kernel)
    }

    /// Builds the first process.
    fn with_kernel(kernel: PathBuf) -> Result<Machine> {
        ensure!(
            shell::find_program(EMULATOR).is_some(),
            "no aarch64 machine here: {EMULATOR} is missing, see the line above"
        );
        let target = cross_build::VEHICLE;
        needs::targets(&[target])?;
        let init = ["build", "--release", "--package=telltale-vm-init", "--target", target];
        shell::run(&mut shell::cargo(init))?;
        let init = shell::target_dir().join(target).join("release/telltale-vm-init");
        Ok(Machine { kernel, init, counts: false })
    }

    /// The same with a clock that counts instructions.
    pub(crate) fn counting(self) -> Machine {
        Machine { counts: true, ..self }
    }

    /// The kernel's release, such as `6.1.0-56-cloud-arm64`.
    pub(crate) fn kernel_release(&self) -> String {
        let name = self.kernel.file_name().unwrap_or_default().to_string_lossy();
        name.trim_start_matches(kernel::PREFIX).to_owned()
    }

    /// Boots, runs the command on these files and gives what it printed, on both of its streams.
    ///
    /// # Errors
    /// If the machine does not boot, is not done within `limit`, or the command fails; with what the console said.
    pub(crate) fn run(&self, mut files: Initrd, command: &[&str], limit: Duration) -> Result<String> {
        files.folder("proc")?;
        files.file("init", &self.init)?;
        let archive = shell::target_dir().join(format!("vm/initrd-{}", std::process::id()));
        let archive = files.write(archive)?;
        let console = self.boot(archive.path(), command, limit)?;
        let said = printed(&console).with_context(|| format!("the machine's console said:\n{console}"))?;
        Ok(said.to_owned())
    }

    fn boot(&self, initrd: &Path, command: &[&str], limit: Duration) -> Result<String> {
        let mut emulator = shell::program(EMULATOR);
        emulator
            .args(HARDWARE)
            .args(COUNTING.iter().filter(|_| self.counts))
            .args(NOTHING_ELSE)
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", &format!("{KERNEL_ARGUMENTS} -- {}", command.join(" "))])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running =
            Running(emulator.spawn().with_context(|| format!("{EMULATOR} could not be started"))?);
        let console = running.0.stdout.take().context("the machine has no console")?;
        let reader = thread::spawn(move || {
            let mut said = Vec::new();
            console.take(MAX_CONSOLE_BYTES).read_to_end(&mut said).map(|_| said)
        });
        let in_time = running.wait(limit)?;
        // The console ends with the emulator, and the reader with the console.
        drop(running);
        let said = reader.join().map_err(|_| anyhow!("the console's reader panicked"))?;
        let said = said.context("the machine's console cannot be read")?;
        let said = String::from_utf8_lossy(&said).replace('\r', "");
        ensure!(in_time, "the machine was not done after {} s; its console said:\n{said}", limit.as_secs());
        Ok(said)
    }
}

/// What the command printed, if it ended well.
fn printed(console: &str) -> Result<&str> {
    let Some((said, ended)) = console.rsplit_once(ENDED) else {
        bail!("the machine ended before its command did");
    };
    let ended = ended.lines().next().unwrap_or_default();
    ensure!(ended == WELL, "the command in the machine failed: {ended}");
    Ok(said)
}

/// The emulator, ended at the latest when this is dropped.
struct Running(Child);

impl Running {
    /// Whether it ended by itself within the limit.
    fn wait(&mut self, limit: Duration) -> Result<bool> {
        let began = Instant::now();
        while self.0.try_wait()?.is_none() {
            if began.elapsed() > limit {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(true)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_printed_is_told_apart_from_how_it_ended() {
        assert_eq!(printed("a\nb\nvm-init: exit status: 0\n").unwrap(), "a\nb\n");
        let failed = printed("a\nvm-init: exit status: 3\n").unwrap_err().to_string();
        assert!(failed.ends_with("failed: exit status: 3"), "{failed}");
        assert!(printed("Kernel panic\n").is_err());
    }

    #[test]
    fn a_machine_that_is_not_done_in_time_is_ended() {
        let child = shell::program("sleep").arg("60").spawn().unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let mut running = Running(child);
        assert!(!running.wait(Duration::from_millis(1)).unwrap());
        assert!(process.exists());
        drop(running);
        assert!(!process.exists());
    }
}
