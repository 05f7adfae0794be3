//! What the agent may take of the machine: what it sets itself, what it finds set, and whether it keeps within.

use crate::config::LimitSettings;
use rustix::process::{Resource, getrlimit, nice};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// With less than this the agent and one model do not fit.
const MEMORY_NEEDED: u64 = 24 * 1024 * 1024;

/// With less than this share of one processor capture may not keep up with four full buses.
const CPU_NEEDED_PERCENT: u64 = 5;

/// Takes the nice level, and names limits of the system that leave too little. For the start, before other threads
/// are there to inherit it.
pub(crate) fn apply(settings: &LimitSettings) {
    if settings.nice > 0
        && let Err(error) = nice(i32::from(settings.nice))
    {
        log::warn!("nice level {} can't be taken: {error}", settings.nice);
    }
    let found = Found::read();
    found.complaints().iter().for_each(|complaint| log::warn!("{complaint}"));
}

/// Limits that the system sets.
#[derive(Clone, Copy, Default)]
struct Found {
    address_space: Option<u64>,
    cgroup_memory: Option<u64>,
    cgroup_cpu_percent: Option<u64>,
}

impl Found {
    fn read() -> Found {
        let read = |name: &str| fs::read_to_string(cgroup()?.join(name)).ok();
        Found {
            address_space: getrlimit(Resource::As).current,
            cgroup_memory: read("memory.max").and_then(|text| text.trim().parse().ok()),
            cgroup_cpu_percent: read("cpu.max").as_deref().and_then(cpu_percent),
        }
    }

    fn complaints(self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (what, limit) in [
            ("the address space (RLIMIT_AS)", self.address_space),
            ("the cgroup's memory (memory.max)", self.cgroup_memory),
        ] {
            if let Some(bytes) = limit.filter(|bytes| *bytes < MEMORY_NEEDED) {
                let (mib, needed) = (bytes >> 20, MEMORY_NEEDED >> 20);
                complaints
                    .push(format!("{what} is limited to {mib} MiB: the agent and a model need {needed}"));
            }
        }
        if let Some(percent) = self.cgroup_cpu_percent.filter(|percent| *percent < CPU_NEEDED_PERCENT) {
            complaints.push(format!(
                "the cgroup's processor time (cpu.max) is limited to {percent} %: frames may be lost on busy buses"
            ));
        }
        complaints
    }
}

/// This process's folder below the unified hierarchy (`cgroups(7)`).
fn cgroup() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(path))
}

/// `max 100000` or `20000 100000`: microseconds in a period of microseconds.
fn cpu_percent(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.saturating_mul(100).checked_div(period)
}

/// What was used since the last look.
pub(crate) struct Usage {
    since: Instant,
    cpu: Duration,
}

impl Usage {
    pub(crate) fn begin() -> Usage {
        Usage { since: Instant::now(), cpu: cpu_time() }
    }

    /// What went beyond its limit since the last look, as sentences.
    pub(crate) fn check(&mut self, settings: &LimitSettings, pss_bytes: u64) -> Vec<String> {
        let before = std::mem::replace(self, Usage::begin());
        let took = self.since.duration_since(before.since).as_secs_f64();
        let percent = 100.0 * self.cpu.saturating_sub(before.cpu).as_secs_f64() / took.max(1e-3);
        let memory = settings.memory_mib.filter(|mib| pss_bytes > u64::from(*mib) << 20);
        // Loading takes a burst at the start, which says nothing of the rest.
        let cpu = settings.cpu_percent.filter(|limit| took >= 1.0 && percent > f64::from(*limit));
        let memory = memory.map(|mib| {
            format!(
                "the agent takes {} KiB, over its limit of {mib} MiB (`limits.memory_mib`)",
                pss_bytes >> 10
            )
        });
        let cpu = cpu.map(|limit| {
            format!("the agent took {percent:.0} % of a processor for {took:.0} s, over its limit of {limit} % (`limits.cpu_percent`)")
        });
        memory.into_iter().chain(cpu).collect()
    }
}

fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.max(0) as u64, spent.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_leave_too_little_are_named() {
        assert_eq!(cpu_percent("max 100000\n"), None);
        assert_eq!(cpu_percent("2000 100000\n"), Some(2));
        assert!(Found::default().complaints().is_empty());
        let tight = Found {
            address_space: Some(16 << 20),
            cgroup_memory: Some(64 << 20),
            cgroup_cpu_percent: cpu_percent("2000 100000"),
        };
        let complaints = tight.complaints();
        assert!(complaints.len() == 2, "{complaints:?}");
        assert!(complaints[0].contains("RLIMIT_AS") && complaints[0].contains("16 MiB"));
        assert!(complaints[1].contains("2 %"));
    }

    #[test]
    fn what_goes_beyond_its_limit_is_told() {
        let start = Instant::now();
        let mut usage = Usage { since: start - Duration::from_secs(2), cpu: Duration::ZERO };
        while cpu_time() < Duration::from_millis(60) {}
        let limits = LimitSettings { memory_mib: Some(8), cpu_percent: Some(1), ..LimitSettings::default() };
        let told = usage.check(&limits, 9 << 20);
        assert!(
            told.len() == 2 && told[0].contains("9216 KiB") && told[1].contains("`limits.cpu_percent`"),
            "{told:?}"
        );
        assert!(usage.check(&limits, 7 << 20).is_empty(), "just now nothing was used");
    }
}
