//! The machine: the spool's folder and its disk, the interfaces of a live bus, the devices of bridges.

use super::Check;
use crate::config::Config;
use crate::source::{BridgeLine, Place};
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;
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

/// The devices of bridges, as this user would open them.
pub(super) fn bridges(check: &mut Check, config: &Config) {
    for bridge in config.source.bridges() {
        let devices: Vec<(&Path, &str)> = match &bridge.line {
            BridgeLine::Stream { place: Place::Serial(path), .. } => vec![(path, "dialout")],
            BridgeLine::Stream { .. } => vec![],
            BridgeLine::Spi(spi) => vec![(&spi.device, "spi"), (&spi.ready.chip, "gpio")],
        };
        for (device, group) in devices {
            let (text, hint) = match access(device, Access::READ_OK | Access::WRITE_OK) {
                Ok(()) => continue,
                Err(Errno::NOENT) => (
                    format!("a bridge is on {}, which this machine does not have", device.display()),
                    "of no matter if it is checked on another machine".to_owned(),
                ),
                Err(error) => (
                    format!("a bridge is on {}, which this user cannot open: {error}", device.display()),
                    format!(
                        "run the check as the agent's user; add it to the device's group (often {group})"
                    ),
                ),
            };
            check.add("source", Severity::Warning, text, Some(&hint));
        }
    }
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(bridge: &str) -> Vec<String> {
        let text = format!(
            "vehicle = \"v\"\ncatalog = \"c\"\nspool = {{ dir = \"s\" }}\nsource = {{ bridge = {{ {bridge}, bus = \"b\" }} }}\n"
        );
        let config = Config::parse(&text).unwrap();
        let mut check = Check { file: "t.toml".into(), text, findings: Vec::new() };
        bridges(&mut check, &config);
        check.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn devices_of_bridges_that_are_not_here_are_told_of() {
        let said = findings(r#"spi = "/dev/spidev99.0", ready = "/dev/gpiochip99:1""#);
        assert_eq!(said.len(), 2);
        assert!(
            said[0].starts_with("t.toml:4: warning: a bridge is on /dev/spidev99.0, which"),
            "{}",
            said[0]
        );
        assert!(said[1].contains("/dev/gpiochip99, which this machine does not have"), "{}", said[1]);
        assert!(findings(r#"device = "/dev/ttyNONE""#)[0].contains("/dev/ttyNONE"));
        for here in [r#"spi = "/dev/null", ready = "/dev/null:1""#, r#"device = "unix:/nowhere""#] {
            assert!(findings(here).is_empty(), "{here}");
        }
    }
}
