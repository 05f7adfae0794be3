//! What a process holds of the heap, apart from what its allocator keeps for it: `heap.c`, loaded before the allocator,
//! counts each block that is taken and given back.

use crate::rig;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process that has nothing to do finishes what it had within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes by which an agent at rest differs from one second to the next: what it is told of itself waits for its sync.
const NEARLY: i64 = 2 * 1024;

/// The account of one process.
pub(crate) struct Heap {
    library: PathBuf,
    account: PathBuf,
}

/// What is held at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    /// As the allocator rounds them.
    pub(crate) bytes: i64,
    pub(crate) blocks: i64,
}

impl Heap {
    /// An account in this folder; `None` on a system whose allocator is not glibc's.
    pub(crate) fn new(folder: &Path) -> Option<Heap> {
        if !cfg!(target_env = "gnu") {
            return None;
        }
        let heap = Heap { library: folder.join("heap.so"), account: folder.join("heap") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/heap.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&heap.library)
            .arg(source)
            .status();
        assert!(compiled.unwrap().success(), "heap.c is not compiled");
        Some(heap)
    }

    /// What a process is started with to be counted.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", rig::text(&self.library)), ("TELLTALE_HEAP", rig::text(&self.account))]
    }

    pub(crate) fn held(&self) -> Held {
        let bytes = fs::read(&self.account).unwrap();
        let at = |index: usize| i64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().unwrap());
        Held { bytes: at(0), blocks: at(1) }
    }

    /// What is held by a process that is asked for nothing, beneath what it does each second: the least that is seen in
    /// a second, once that is nearly the same for five of them. More than `expected` is waited for to go: an exchange
    /// with a slow server holds a batch of records.
    pub(crate) fn at_rest(&self, expected: i64) -> Held {
        let start = Instant::now();
        let mut least: Vec<Held> = Vec::new();
        loop {
            let looks = (0..20).map(|_| {
                sleep(Duration::from_millis(50));
                self.held()
            });
            least.extend(looks.min_by_key(|held| held.bytes));
            let recent = least.iter().rev().take(5).map(|held| held.bytes);
            let (low, high) =
                recent.fold((i64::MAX, 0), |(low, high), bytes| (low.min(bytes), high.max(bytes)));
            let (rests, is_late) = (least.len() >= 5 && high - low <= NEARLY, start.elapsed() > PATIENCE);
            if rests && (low <= expected || is_late) {
                return least[least.len() - 1];
            }
            assert!(!is_late, "it does not come to rest: {least:?}");
        }
    }
}
