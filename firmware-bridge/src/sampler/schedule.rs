//! When a sampler's turn is.

/// A period on the firmware's clock. Turns that were missed are left out, not made up for.
#[derive(Clone, Debug)]
pub struct Schedule {
    period_us: u64,
    due_us: u64,
}

impl Schedule {
    /// The first turn is now.
    #[must_use]
    pub const fn new(now_us: u64, period_us: u64) -> Self {
        Self { period_us, due_us: now_us }
    }

    /// Whether it is time, once a period.
    pub fn is_due(&mut self, now_us: u64) -> bool {
        let Some(late) = now_us.checked_sub(self.due_us) else { return false };
        let missed = late.checked_div(self.period_us).unwrap_or(0);
        self.due_us += (missed + 1) * self.period_us;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_grid_and_missed_ones_are_left_out() {
        let mut schedule = Schedule::new(1_000, 100);
        let due: heapless::Vec<u64, 16> = [1_000, 1_050, 1_100, 1_130, 1_555, 1_599, 1_600]
            .into_iter()
            .filter(|at| schedule.is_due(*at))
            .collect();
        assert_eq!(due, [1_000, 1_100, 1_555, 1_600]);
        assert!(Schedule::new(0, 0).is_due(5), "a period of zero is always due");
    }
}
