//! The machine: the spool's folder and its disk, and the interfaces of a live bus.

use super::Check;
use crate::config::Config;
use rustix::fs::{Access, access, statvfs};
use std::path::Path;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Severity;

/// A folder that the agent writes to, or the nearest above it that is there; `None` if there is a finding.
pub(super) fn folder<'a>(check: &mut Check, setting: &str, dir: &'a Path) -> Option<&'a Path> {
    // A folder that is not there yet is made, where its nearest parent lets that be.
    let nearest = dir.ancestors().map(or_here).find(|path| path.exists())?;
    if !nearest.is_dir() {
        let text = format!("{} is no folder", nearest.display());
        check.add(setting, Severity::Error, text, None);
        return None;
    }
    if let Err(error) = access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        let text = format!("{} can't be written by this user: {error}", nearest.display());
        let hint = "run the check as the agent's user, or chown it";
        check.add(setting, Severity::Error, text, Some(hint));
        return None;
    }
    Some(nearest)
}

pub(super) fn spool(check: &mut Check, config: &Config) {
    let Some(nearest) = folder(check, "spool.dir", &config.spool.dir) else { return };
    let Ok(disk) = statvfs(nearest) else { return };
    let (free, cap) = (disk.f_bavail.saturating_mul(disk.f_frsize) >> 20, u64::from(config.spool.cap_mib));
    if free < cap {
        let text = format!("the disk of {} has {free} MiB left, the spool may take {cap}", nearest.display());
        check.add(
            "spool.cap_mib",
            Severity::Warning,
            text,
            Some("records will be lost, and counted, when it is full"),
        );
    }
}

pub(super) fn interfaces(check: &mut Check, config: &Config, catalog: &Catalog) {
    if !config.source.is_live() || !config.source.bridges().is_empty() {
        return;
    }
    for bus in &catalog.buses {
        if !Path::new("/sys/class/net").join(&bus.interface).exists() {
            let text =
                format!("the bus {} is on {}, which this machine does not have", bus.name, bus.interface);
            check.add(
                "source",
                Severity::Warning,
                text,
                Some("of no matter if it is checked on another machine"),
            );
        }
    }
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
