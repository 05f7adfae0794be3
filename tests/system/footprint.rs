//! What a process takes of the machine, as the kernel tells it (`proc_pid_smaps(5)`), and whether that grows.

use std::fs;

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    /// The proportional set size in kB: private pages, and of shared ones this process's part. Others that run the same
    /// binary, and the kernel's page cache, move it.
    pub(crate) pss: u64,
    /// Its part of that in kB which is no file's: heap and stacks. Nothing but the process moves it.
    pub(crate) heap: u64,
    /// Open ones.
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Footprint {
    /// Of a process of this user; `None` if it has ended. Descriptors of files whose path contains `beside` are not
    /// counted.
    pub(crate) fn of(pid: u32, beside: &str) -> Option<Footprint> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let counted = |entry: &fs::DirEntry| {
            fs::read_link(entry.path()).is_ok_and(|path| !path.to_string_lossy().contains(beside))
        };
        // A process that has ended and was not waited for has a folder still, and no memory.
        let memory = read("smaps_rollup").ok()?;
        let kb = |name: &str| {
            memory.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        Some(Footprint {
            pss: kb("Pss:")?,
            heap: kb("Pss_Anon:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().filter(counted).count()
                as u64,
            threads: fs::read_dir(format!("/proc/{pid}/task")).ok()?.count() as u64,
        })
    }
}

/// The value in the middle of one figure of many looks: a descriptor that is open for a moment does not move it.
pub(crate) fn median(looks: &[Footprint], figure: fn(&Footprint) -> u64) -> u64 {
    let mut figures: Vec<u64> = looks.iter().map(figure).collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// How much the least-squares line through `(x, y)` rises from the first x to the last.
pub(crate) fn rise(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let along: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    along / spread * (points[points.len() - 1].0 - points[0].0)
}

#[test]
fn a_line_rises_by_its_slope_and_a_saw_does_not() {
    let line: Vec<_> = (0..=10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0)).collect();
    assert!((rise(&line) - 30.0).abs() < 1e-9);
    let saw: Vec<_> = (0..1_000).map(|x| (f64::from(x), f64::from(x % 10))).collect();
    assert!(rise(&saw).abs() < 0.1, "{}", rise(&saw));
}
