//! Keeps the line's budget over restarts: read at the start, stored before it is spent.

use crate::state;
use std::fs;
use std::path::PathBuf;
use telltale_core::uplink::{Budget, BudgetConfig, BudgetState};
use telltale_wire::time::Stamp;

/// What names the running kernel's boot, within which the monotonic clock goes on.
const KERNEL_BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A budget and the file that it outlives the agent in.
#[derive(Clone, Debug)]
pub struct Purse {
    /// How much may be sent.
    pub budget: BudgetConfig,
    /// Where the rest is kept.
    pub file: PathBuf,
}

/// The file at work.
pub(super) struct Keeper {
    file: PathBuf,
    kernel: String,
    complained: bool,
}

impl Purse {
    /// The budget as it was left, or a full one on the first start.
    pub(super) fn open(&self, now: Stamp) -> (Budget, Keeper) {
        let kernel = fs::read_to_string(KERNEL_BOOT).unwrap_or_default().trim().to_owned();
        let keeper = Keeper { file: self.file.clone(), kernel, complained: false };
        let kept = state::read_file(&self.file).unwrap_or_else(|error| {
            log::warn!("the byte budget begins anew: {error}");
            None
        });
        let Some(bytes) = kept else { return (Budget::new(self.budget, now.mono), keeper) };
        let state = std::str::from_utf8(&bytes).ok().and_then(BudgetState::parse);
        if state.is_none() {
            log::warn!("{} is damaged: the byte budget begins anew", self.file.display());
        }
        let budget = match state {
            Some(state) => Budget::restore(self.budget, &state, now, &keeper.kernel),
            None => Budget::new(self.budget, now.mono),
        };
        (budget, keeper)
    }
}

impl Keeper {
    /// Stores what a request of about `bytes` needs, before it is sent. A disk that refuses costs the memory of the
    /// budget, not the request.
    pub(super) fn before(&mut self, budget: &mut Budget, now: Stamp, bytes: usize) {
        if let Some(state) = budget.store_ahead(now, &self.kernel, bytes as u64) {
            self.write(&state);
        }
    }

    /// Stores the budget as it is, at the end.
    pub(super) fn close(&mut self, budget: &mut Budget, now: Stamp) {
        self.write(&budget.store(now, &self.kernel));
    }

    fn write(&mut self, state: &BudgetState) {
        match state::replace_file(&self.file, state.to_text().as_bytes()) {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                log::warn!("the byte budget will be forgotten at a restart: {error}");
            }
            Err(_) => {}
        }
    }
}
