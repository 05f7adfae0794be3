//! The aarch64 machine with two CAN controllers on one bus, a kernel that has their driver, and a debugger's socket.

use super::{HARDWARE, Initrd, KERNEL_ARGUMENTS, Machine, NOTHING_ELSE, Running, kernel, printed};
use crate::{needs, shell};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A bus, and two PCI cards with an SJA1000 each on it.
const CONTROLLERS: [&str; 6] =
    ["-object", "can-bus,id=bus", "-device", "kvaser_pci,canbus=bus", "-device", "kvaser_pci,canbus=bus"];
/// The driver and what it stands on, below the kernel's folder of modules.
const MODULES: [&str; 5] = [
    "net/can/can.ko",
    "net/can/can-raw.ko",
    "drivers/net/can/dev/can-dev.ko",
    "drivers/net/can/sja1000/sja1000.ko",
    "drivers/net/can/sja1000/kvaser_pci.ko",
];
/// The debugger's socket, in the machine's folder.
const DEBUGGER: &str = "debugger";
/// Lines that a console may say.
const MAX_LINES: usize = 10_000;

/// What is played against the machine: it gets the debugger's socket, and a way to wait for words on the console.
pub(crate) type Play = fn(&Path, &mut dyn FnMut(&str) -> Result<String>) -> Result<()>;

impl Machine {
    /// As [`Machine::prepare`], with a kernel that has the driver.
    pub(crate) fn prepare_with_controllers() -> Result<Machine> {
        needs::packages(&[needs::QEMU_SYSTEM, needs::AARCH64_GCC]);
        let kernel = kernel::arm64_with_modules(&MODULES).context("no kernel with CAN controllers")?;
        Machine::with_kernel(kernel)
    }

    /// Boots, runs the program on these files, plays against it, and gives what the console said.
    ///
    /// # Errors
    /// If the machine does not boot, is not done within `limit`, the program fails, or the play does.
    pub(crate) fn run_with_controllers(
        &self,
        mut files: Initrd,
        program: &str,
        limit: Duration,
        play: Play,
    ) -> Result<String> {
        files.folder("proc")?;
        files.file("init", &self.init)?;
        let modules = self.kernel.parent().context("the kernel has no folder")?;
        for module in MODULES {
            let name = module.rsplit('/').next().unwrap_or(module);
            files.file(&format!("modules/{name}"), &modules.join(name))?;
        }
        let folder = Folder::new()?;
        let archive = files.write(folder.0.join("initrd"))?;
        let mut emulator = shell::program(super::EMULATOR);
        emulator
            .args(HARDWARE)
            .args(NOTHING_ELSE)
            .args(CONTROLLERS)
            .args([
                "-chardev",
                &format!("socket,path={DEBUGGER},server=on,wait=off,id=gdb"),
                "-gdb",
                "chardev:gdb",
            ])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(archive.path())
            .args(["-append", &format!("{KERNEL_ARGUMENTS} -- {program}")])
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running(emulator.spawn().context("the emulator could not be started")?);
        let console = BufReader::new(running.0.stdout.take().context("the machine has no console")?);
        let (told, lines) = channel();
        let reader = thread::spawn(move || {
            for line in console.split(b'\n').map_while(Result::ok).take(MAX_LINES) {
                let line = String::from_utf8_lossy(&line).replace('\r', "");
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let mut said = String::new();
        let mut hear = |words: Option<&str>| -> Result<Option<String>> {
            loop {
                match lines.recv_timeout(limit.saturating_sub(began.elapsed())) {
                    Ok(line) => {
                        said.push_str(&line);
                        said.push('\n');
                        if words.is_some_and(|words| line.contains(words)) {
                            return Ok(Some(line));
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) if words.is_none() => return Ok(None),
                    Err(_) => bail!("the machine did not say {words:?}; its console said:\n{said}"),
                }
            }
        };
        let mut wait_for = |words: &str| hear(Some(words))?.context("the console ended");
        play(&folder.0.join(DEBUGGER), &mut wait_for)?;
        hear(None)?;
        ensure!(running.wait(limit)?, "the machine did not end");
        reader.join().ok().context("the console's reader panicked")?;
        Ok(printed(&said).with_context(|| format!("the machine's console said:\n{said}"))?.to_owned())
    }
}

/// The machine's folder, below that of temporary files: a socket's path has to be short. Removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder> {
        let folder = std::env::temp_dir().join(format!("telltale-controllers-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
