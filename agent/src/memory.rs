//! What the process takes of the machine's memory, as the kernel tells it (`Documentation/filesystems/proc.rst`).

use std::fs;

/// The proportional set size in bytes: private pages, and of shared ones this process's part. 0 if the kernel does
/// not tell.
#[must_use]
pub fn pss_bytes() -> u64 {
    kib("/proc/self/smaps_rollup", "Pss:") * 1024
}

/// The highest resident set size so far, in bytes; 0 if the kernel does not tell.
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    kib("/proc/self/status", "VmHWM:") * 1024
}

/// The value of a `Name:   123 kB` line.
fn kib(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = |line: &str| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_some() {
        assert!(peak_rss_bytes() > 500_000);
        assert!(pss_bytes() > 100_000);
    }
}
