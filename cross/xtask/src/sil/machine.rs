//! The machines' processes: started with a job's folder and a disk, and ended as a cut of power ends one.

use super::Kind;
use super::console::Console;
use crate::shell;
use crate::vm::kernel::{CanKernel, arm64_with_can};
use crate::vm::{Initrd, Written};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What user-mode-linux takes: memory, the host's file system as its own, its console on the standard output, the kernel's
/// words on the standard error, and a network of slirp, in which the host is 10.0.2.2.
const UML: [&str; 10] = [
    "mem=512M",
    "rootfstype=hostfs",
    "rootflags=/",
    "rw",
    "quiet",
    "con=null",
    "con0=fd:0,fd:1",
    "console=tty1",
    "con1=null,fd:2",
    "eth0=slirp,,/usr/bin/slirp-fullbolt",
];
/// What it takes to boot a whole system from its own disk.
const SYSTEM: [&str; 9] = [
    "mem=768M",
    "root=/dev/ubda",
    "rootfstype=ext4",
    "rw",
    "quiet",
    "con=null",
    "con0=fd:0,fd:1",
    "console=tty1",
    "con1=null,fd:2",
];
/// The core of a common class of vehicle computers, a network in which the host is 10.0.2.2, a disk, a console.
const QEMU: [&str; 21] = [
    "-machine",
    "virt",
    "-cpu",
    "cortex-a72",
    "-m",
    "512",
    "-display",
    "none",
    "-monitor",
    "none",
    "-no-reboot",
    "-serial",
    "stdio",
    "-netdev",
    "user,id=n0",
    "-device",
    "virtio-net-device,netdev=n0",
    "-device",
    "virtio-blk-device,drive=d0",
    "-rtc",
    "base=utc",
];
/// The kernel keeps quiet, and spares the emulator work that protects nobody here.
const KERNEL_ARGUMENTS: &str =
    "console=ttyAMA0 quiet loglevel=0 panic=-1 mitigations=off kpti=off nokaslr rdinit=/init";

/// A machine that runs.
pub(super) struct Machine {
    child: Child,
    pub(super) console: Console,
    pub(super) began: Instant,
    /// Read while it boots.
    _initrd: Option<Written>,
}

impl Machine {
    /// Boots a machine with the files of a job's folder. `log` takes what its kernel says.
    pub(super) fn boot(kind: Kind, job: &Path, disk: &Path, log: &Path) -> Result<Machine> {
        let (command, initrd) = match kind {
            Kind::Uml => (uml(job, disk), None),
            Kind::Aarch64 => {
                let kernel = arm64_with_can().context("no aarch64 machine here: its kernel is missing")?;
                let initrd = initrd(&kernel, job)?;
                (qemu(&kernel, initrd.path(), disk), Some(initrd))
            }
        };
        Machine::start(command, initrd, log)
    }

    /// user-mode-linux from a disk of its own, which holds a whole system; without a network.
    pub(super) fn boot_system(disk: &Path, log: &Path) -> Result<Machine> {
        let mut command = first("linux.uml");
        command.args(SYSTEM).arg(format!("ubd0={}", disk.display()));
        Machine::start(command, None, log)
    }

    fn start(mut command: Command, initrd: Option<Written>, log: &Path) -> Result<Machine> {
        let log = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let began = Instant::now();
        let name = command.get_program().display().to_string();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let output = child.stdout.take().context("the machine has no console")?;
        Ok(Machine { child, console: Console::of(output), began, _initrd: initrd })
    }

    /// Ends it as a cut of power does: what it had in memory is gone, and what its disk was told is there.
    pub(super) fn cut_power(mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the machine had ended before its power was cut");
        self.end();
        Ok(())
    }

    /// Waits for its end.
    pub(super) fn wait(mut self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < limit, "the machine does not power off");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// With the processes that help it, which share its group.
    fn end(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether this user may start a process that goes before all ordinary ones.
fn may_go_first() -> bool {
    shell::output(shell::program("chrt").args(["-f", "1", "true"])).is_ok()
}

/// A machine's program, before what else this host does where that is allowed: its latencies are to be its own.
fn first(program: &str) -> Command {
    if !may_go_first() {
        return Command::new(program);
    }
    let mut command = Command::new("chrt");
    command.args(["-f", "1", program]);
    command
}

fn uml(job: &Path, disk: &Path) -> Command {
    let mut command = first("linux.uml");
    command.args(UML);
    let init = shell::root().join("cross/machine/uml-init");
    for (name, path) in [("init", init.as_path()), ("ubd0", disk), ("TELLTALE_JOB", job)] {
        command.arg(format!("{name}={}", path.display()));
    }
    command
}

fn qemu(kernel: &CanKernel, initrd: &Path, disk: &Path) -> Command {
    let mut command = Command::new("qemu-system-aarch64");
    command.args(QEMU).arg("-kernel").arg(&kernel.kernel).arg("-initrd").arg(initrd);
    let drive = format!("file={},format=raw,if=none,id=d0,cache=writethrough", disk.display());
    command.args(["-drive", &drive, "-append", KERNEL_ARGUMENTS]);
    command
}

/// The file system that the arm64 kernel boots with: busybox, modules, and the job's folder.
fn initrd(kernel: &CanKernel, job: &Path) -> Result<Written> {
    let mut files = Initrd::default();
    files.file("bin/busybox", &kernel.busybox)?;
    files.file("init", &shell::root().join("cross/machine/aarch64-init"))?;
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        files.file(&format!("modules/{name}.ko"), module)?;
        order.push_str(&name);
        order.push('\n');
    }
    files.text("modules/order", &order)?;
    for folder in ["proc", "sys", "dev", "tmp", "job/disk"] {
        files.folder(folder)?;
    }
    files.files("job", job)?;
    for folder in ["model", "parity"].into_iter().filter(|folder| job.join(folder).is_dir()) {
        files.files(&format!("job/{folder}"), &job.join(folder))?;
    }
    let place = job.with_extension("initrd");
    let _ = fs::remove_file(&place);
    files.write(place)
}
