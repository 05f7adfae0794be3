//! Debian's arm64 kernel on a host of another architecture.
//!
//! dpkg need not know that architecture: apt reads its lists into a folder of our own, and the package is unpacked,
//! not installed. The machine itself is left as it was.

use crate::shell;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the kernel's file is called before its release.
pub(super) const PREFIX: &str = "vmlinuz-";
/// Depends on the newest kernel with the drivers of virtual machines built in; half the size of the one for all machines.
const NEWEST: &str = "linux-image-cloud-arm64";

/// The kernel for all machines, with the drivers of all devices as modules.
const NEWEST_OF_ALL: &str = "linux-image-arm64";
/// A shell and its tools in one static file.
const BUSYBOX: &str = "busybox-static";
/// What a machine with buses, a network and a disk loads, in this order.
const CAN_MODULES: [&str; 16] = [
    "drivers/virtio/virtio_mmio.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
    "drivers/block/virtio_blk.ko",
    "lib/crc16.ko",
    "crypto/crc32c_generic.ko",
    "lib/libcrc32c.ko",
    "fs/mbcache.ko",
    "fs/jbd2/jbd2.ko",
    "fs/ext4/ext4.ko",
    "net/can/can.ko",
    "net/can/can-raw.ko",
    "drivers/net/can/dev/can-dev.ko",
    "drivers/net/can/vcan.ko",
    "drivers/net/can/vxcan.ko",
];

/// The kernel, fetched where it is not there yet.
pub(super) fn arm64() -> Result<PathBuf> {
    fetched(&shell::target_dir().join("vm"), NEWEST, &[])
}

/// A kernel with these modules beside it, each named by where it stands below `kernel/`.
pub(super) fn arm64_with_modules(modules: &[&str]) -> Result<PathBuf> {
    fetched(&shell::target_dir().join("vm/modules"), NEWEST_OF_ALL, modules)
}

/// A kernel with CAN and what its first process needs.
pub(crate) struct CanKernel {
    pub(crate) kernel: PathBuf,
    /// In the order in which they are loaded.
    pub(crate) modules: Vec<PathBuf>,
    pub(crate) busybox: PathBuf,
}

/// The kernel with modules for buses, a network and a disk, and a static busybox, fetched where they are not there yet.
pub(crate) fn arm64_with_can() -> Result<CanKernel> {
    let folder = shell::target_dir().join("vm/can");
    let kernel = fetched(&folder, NEWEST_OF_ALL, &CAN_MODULES)?;
    let busybox = folder.join("busybox");
    if !busybox.is_file() {
        eprintln!("fetching {BUSYBOX} for arm64: a shell for the machine's first process");
        let scratch = folder.join("fetching");
        let _ = fs::remove_dir_all(&scratch);
        let unpacked = update(&scratch).and_then(|()| unpack(&scratch, BUSYBOX));
        let kept = unpacked.and_then(|unpacked| Ok(fs::rename(unpacked.join("bin/busybox"), &busybox)?));
        let _ = fs::remove_dir_all(&scratch);
        kept.with_context(|| format!("{BUSYBOX} cannot be had"))?;
    }
    let place = |module: &&str| folder.join(module.rsplit('/').next().unwrap_or(module));
    Ok(CanKernel { kernel, modules: CAN_MODULES.iter().map(place).collect(), busybox })
}

fn fetched(folder: &Path, newest: &str, modules: &[&str]) -> Result<PathBuf> {
    if let Some(kernel) = kernel_in(folder) {
        return Ok(kernel);
    }
    for tool in ["apt-get", "dpkg-deb"] {
        ensure!(
            shell::find_program(tool).is_some(),
            "{tool} is missing, and without it Debian's kernel cannot be fetched: put an arm64 kernel at {}",
            folder.join(format!("{PREFIX}RELEASE")).display()
        );
    }
    eprintln!("fetching {newest}: the kernel that the vehicle's binary is run on");
    let scratch = folder.join("fetching");
    let _ = fs::remove_dir_all(&scratch);
    let fetched = fetch(&scratch, newest).and_then(|kernel| {
        let release = kernel.file_name().unwrap_or_default().to_string_lossy().replacen(PREFIX, "", 1);
        let from = scratch.join("unpacked/lib/modules").join(release).join("kernel");
        for module in modules {
            let name = module.rsplit('/').next().unwrap_or(module);
            fs::copy(from.join(module), folder.join(name))
                .with_context(|| format!("{newest} has no module {module}"))?;
        }
        // Last, because it says that the rest is there.
        let kept = folder.join(kernel.file_name().unwrap_or_default());
        fs::rename(&kernel, &kept).with_context(|| format!("{} cannot be kept", kernel.display()))?;
        Ok(kept)
    });
    let _ = fs::remove_dir_all(&scratch);
    fetched
}

fn fetch(scratch: &Path, newest: &str) -> Result<PathBuf> {
    update(scratch)?;
    let told = shell::output(apt("apt-cache", scratch).args(["depends", newest]))?;
    let package = dependency(&told).with_context(|| format!("{newest} names no kernel:\n{told}"))?;
    let unpacked = unpack(scratch, package)?;
    kernel_in(&unpacked.join("boot")).with_context(|| format!("{package} holds no kernel"))
}

/// Reads the lists of packages into a folder of our own.
fn update(scratch: &Path) -> Result<()> {
    for folder in ["lists/partial", "cache/archives/partial", "package"] {
        let folder = scratch.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    shell::output(apt("apt-get", scratch).arg("update"))?;
    Ok(())
}

/// Fetches a package and gives the folder that it is unpacked in.
fn unpack(scratch: &Path, package: &str) -> Result<PathBuf> {
    let package_folder = scratch.join("package");
    shell::output(apt("apt-get", scratch).args(["download", package]).current_dir(&package_folder))?;
    let deb = fs::read_dir(&package_folder)?.next().context("apt-get fetched nothing")??.path();
    let unpacked = scratch.join("unpacked");
    shell::output(shell::program("dpkg-deb").arg("--extract").arg(&deb).arg(&unpacked))?;
    Ok(unpacked)
}

/// apt for the other architecture, with the machine's sources and keys, but lists and a cache of its own.
fn apt(program: &str, scratch: &Path) -> Command {
    let mut command = shell::program(program);
    for option in ["APT::Architecture=arm64", "APT::Architectures=arm64", "Acquire::Languages=none"] {
        command.args(["-o", option]);
    }
    for (option, folder) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
        command.arg("-o").arg(format!("{option}={}", scratch.join(folder).display()));
    }
    // Its unprivileged user may not write below the target folder; signatures are checked all the same.
    command.args(["-o", "APT::Sandbox::User=root"]);
    command
}

/// The first package in `apt-cache depends`.
fn dependency(told: &str) -> Option<&str> {
    told.lines().find_map(|line| line.trim().strip_prefix("Depends: "))
}

fn kernel_in(folder: &Path) -> Option<PathBuf> {
    let mut paths = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_that_is_depended_on() {
        let told = "linux-image-cloud-arm64\n  Depends: linux-image-6.1.0-56-cloud-arm64\n";
        assert_eq!(dependency(told), Some("linux-image-6.1.0-56-cloud-arm64"));
        assert_eq!(dependency("linux-image-cloud-arm64\n"), None);
    }
}
