//! The byte budget of the line: buckets that fill with time and are emptied by what was really on the line.
//!
//! One bucket for everything and one for each lane. A bucket holds at most a day's bytes and fills at a day's bytes
//! a day: over any stretch of n days at most n + 1 days' bytes leave, n on average. Critical records always go; what
//! they cost is owed, so that the others wait the longer.
//!
//! While the agent runs only the monotonic clock fills the buckets. Over a restart of the agent the same clock goes
//! on; over a restart of the machine the wall clock says how long it was off, and is believed for a day at most, so
//! that a clock that was set to another year yields no more than one full bucket. What is stored is lower than the
//! truth by what may be spent until it is stored again: a power cut never gives bytes back.

use std::time::Duration;
use telltale_wire::ids::Lane;
use telltale_wire::time::{MonoTime, Stamp};

const DAY: Duration = Duration::from_secs(86_400);
const DAY_US: u128 = DAY.as_micros();

/// A bucket that was empty opens again with this much, or with a twenty-fourth of a day if that is less: single
/// records in requests of their own would cost more than they weigh.
const QUANTUM: i64 = 16 * 1024;

/// What is set aside in the stored state beyond the request at hand, at least and at most; a 128th of a day between.
/// A power cut costs the vehicle so much, and the flash sees at most about 128 writes a day and one for each larger
/// request.
const ASIDE: (i64, i64) = (4 * 1024, 1024 * 1024);

/// How much may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetConfig {
    /// Bytes a day, both directions, at least [`BudgetConfig::MIN`].
    pub bytes_per_day: u64,
    /// The most of it that each lane may take, in percent, by the lane's index. That of the critical lane has no
    /// effect: it may always send.
    pub shares: [u8; 4],
}

impl BudgetConfig {
    /// The least budget: below it a few handshakes (about 3 kB each) would use it up.
    pub const MIN: u64 = 64 * 1024;
    /// The most: 1 TiB.
    pub const MAX: u64 = 1 << 40;
}

/// One bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bucket {
    /// Bytes that it holds and that flow in each day.
    capacity: i64,
    /// What may be spent; below zero it is owed, down to a day's bytes.
    level: i64,
    /// What flowed in and is less than a byte yet, in bytes times [`DAY_US`].
    rest: u128,
    /// Whether it may be spent from. Shut when empty, open again from the quantum on.
    open: bool,
}

impl Bucket {
    fn new(capacity: u64) -> Self {
        let capacity = capacity.clamp(1, BudgetConfig::MAX) as i64;
        Self { capacity, level: capacity, rest: 0, open: true }
    }

    fn quantum(&self) -> i64 {
        (self.capacity / 24).clamp(1, QUANTUM)
    }

    fn fill(&mut self, elapsed: Duration) {
        let inflow = self.rest + elapsed.min(DAY * 2).as_micros() * self.capacity as u128;
        self.level = (self.level + (inflow / DAY_US) as i64).min(self.capacity);
        self.rest = if self.level == self.capacity { 0 } else { inflow % DAY_US };
        self.open |= self.level >= self.quantum();
    }

    fn with_level(self, level: i64) -> Self {
        let level = level.clamp(-self.capacity, self.capacity);
        Self { level, open: self.open && level > 0, ..self }
    }

    fn spend(&mut self, bytes: u64) {
        *self = self.with_level(self.level - bytes.min(BudgetConfig::MAX) as i64);
    }

    fn opens_in(&self) -> Duration {
        let missing = (self.quantum() - self.level).max(0) as u128;
        Duration::from_micros((missing * DAY_US).div_ceil(self.capacity as u128) as u64)
    }
}

/// The buckets of one vehicle. Memory: about 250 bytes.
#[derive(Clone, Debug)]
pub struct Budget {
    total: Bucket,
    lanes: [Bucket; 4],
    filled: MonoTime,
    /// The whole as it would come back from what is stored.
    stored: Option<Bucket>,
}

impl Budget {
    /// Full buckets, as of a vehicle that has never sent.
    #[must_use]
    pub fn new(config: BudgetConfig, now: MonoTime) -> Self {
        let lanes = config.shares.map(|percent| {
            let share = u128::from(config.bytes_per_day) * u128::from(percent.min(100)) / 100;
            Bucket::new(share as u64)
        });
        Self { total: Bucket::new(config.bytes_per_day), lanes, filled: now, stored: None }
    }

    /// Buckets as they were stored, filled by the time since then. `kernel` names the running machine's boot.
    #[must_use]
    pub fn restore(config: BudgetConfig, state: &BudgetState, now: Stamp, kernel: &str) -> Self {
        let mut budget = Self::new(config, now.mono);
        let [total, lanes @ ..] = state.levels;
        budget.total = budget.total.with_level(total);
        budget.lanes.iter_mut().zip(lanes).for_each(|(bucket, level)| *bucket = bucket.with_level(level));
        budget.fill(state.elapsed(now, kernel));
        budget
    }

    /// How many bytes of records may be fetched of each lane, by its index.
    #[must_use]
    pub fn allowance(&mut self, now: MonoTime) -> [usize; 4] {
        self.advance(now);
        Lane::ALL.map(|lane| match lane {
            Lane::Critical => usize::MAX,
            _ if self.total.open && self.lanes[lane as usize].open => {
                self.total.level.min(self.lanes[lane as usize].level).max(0) as usize
            }
            _ => 0,
        })
    }

    /// Whether anything but critical records may be sent, such as a request for news.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.total.open
    }

    /// When a lane that has to wait now may send again; `None` if none has to wait.
    #[must_use]
    pub fn next_opening(&self) -> Option<MonoTime> {
        let total = if self.total.open { Duration::ZERO } else { self.total.opens_in() };
        let [_critical, others @ ..] = &self.lanes;
        let waits = others.iter().map(|lane| if lane.open { total } else { lane.opens_in().max(total) });
        waits.filter(|wait| !wait.is_zero()).min().map(|wait| self.filled.plus(wait))
    }

    /// Takes what an exchange cost: `bytes` on the line, shared among the lanes as their `records` in it weighed.
    pub fn spend(&mut self, now: MonoTime, bytes: u64, records: [u64; 4]) {
        self.advance(now);
        self.total.spend(bytes);
        let weight: u128 = records.iter().map(|bytes| u128::from(*bytes)).sum();
        for (lane, records) in self.lanes.iter_mut().zip(records).filter(|(_, records)| *records > 0) {
            lane.spend((u128::from(bytes) * u128::from(records) / weight.max(1)) as u64);
        }
    }

    /// What may be spent of the whole, in bytes; below zero it is owed.
    #[must_use]
    pub fn level(&self) -> i64 {
        self.total.level
    }

    /// What has to be stored before a request of about `bytes` is sent: a state that is too low by that and a little
    /// more. `None` if what is stored is low enough still.
    #[must_use]
    pub fn store_ahead(&mut self, now: Stamp, kernel: &str, bytes: u64) -> Option<BudgetState> {
        self.advance(now.mono);
        let bytes = bytes.min(BudgetConfig::MAX) as i64;
        if self.stored.is_some_and(|stored| stored.level <= self.total.level - bytes) {
            return None;
        }
        let aside = bytes + (self.total.capacity / 128).clamp(ASIDE.0, ASIDE.1);
        self.stored = Some(self.total.with_level(self.total.level - aside));
        Some(self.state(now, kernel, aside))
    }

    /// The levels as they are, to store when the agent ends.
    #[must_use]
    pub fn store(&mut self, now: Stamp, kernel: &str) -> BudgetState {
        self.advance(now.mono);
        self.state(now, kernel, 0)
    }

    fn state(&self, at: Stamp, kernel: &str, aside: i64) -> BudgetState {
        let [a, b, c, d] = self.lanes.map(|lane| (lane.level - aside).max(lane.level.min(0)));
        let total = self.total.with_level(self.total.level - aside).level;
        BudgetState { at, levels: [total, a, b, c, d], kernel: kernel.to_owned() }
    }

    fn advance(&mut self, now: MonoTime) {
        let elapsed = now.since(self.filled);
        self.filled = self.filled.max(now);
        self.fill(elapsed);
    }

    fn fill(&mut self, elapsed: Duration) {
        self.total.fill(elapsed);
        if let Some(stored) = &mut self.stored {
            stored.fill(elapsed);
        }
        self.lanes.iter_mut().for_each(|lane| lane.fill(elapsed));
    }
}

/// The buckets at one moment, as they outlive the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BudgetState {
    at: Stamp,
    /// The whole, then the lanes by their index.
    levels: [i64; 5],
    /// The machine's boot, in whose monotonic time `at` stands.
    kernel: String,
}

impl BudgetState {
    /// One line: a version, the time, the levels and the machine's boot.
    #[must_use]
    pub fn to_text(&self) -> String {
        let wall = self.at.wall.map_or_else(|| "-".to_owned(), |wall| wall.0.to_string());
        let [total, a, b, c, d] = self.levels;
        format!("budget1 {} {wall} {total} {a} {b} {c} {d} {}\n", self.at.mono.0, self.kernel)
    }

    /// Reads what [`BudgetState::to_text`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next();
        if next()? != "budget1" {
            return None;
        }
        let mono = MonoTime(next()?.parse().ok()?);
        let wall = match next()? {
            "-" => None,
            wall => Some(telltale_wire::time::WallTime(wall.parse().ok()?)),
        };
        let mut levels = [0; 5];
        for level in &mut levels {
            *level = next()?.parse().ok()?;
        }
        let kernel = next().unwrap_or_default().to_owned();
        Some(Self { at: Stamp { mono, wall }, levels, kernel })
    }

    /// How much time has passed, as far as it is certain; a day at most on the word of a wall clock.
    fn elapsed(&self, now: Stamp, kernel: &str) -> Duration {
        if !kernel.is_empty() && kernel == self.kernel {
            return now.mono.since(self.at.mono);
        }
        let by_wall = self.at.wall.zip(now.wall).and_then(|(then, now)| now.0.checked_sub(then.0));
        let by_wall = Duration::from_micros(by_wall.and_then(|us| u64::try_from(us).ok()).unwrap_or(0));
        // The machine has started since: its uptime is certain.
        now.mono.since(MonoTime(0)).max(by_wall.min(DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::time::WallTime;

    const MB: u64 = 1_000_000;
    const HOUR_US: u64 = 3_600_000_000;
    const OPEN: [u8; 4] = [100; 4];

    fn config(shares: [u8; 4]) -> BudgetConfig {
        BudgetConfig { bytes_per_day: 24 * MB, shares }
    }

    fn hour(n: u64) -> MonoTime {
        MonoTime(n * HOUR_US)
    }

    fn stamp(mono: MonoTime, wall_h: i64) -> Stamp {
        Stamp { mono, wall: Some(WallTime(wall_h * HOUR_US as i64)) }
    }

    #[test]
    fn it_fills_by_the_hour_and_never_above_a_day() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        budget.spend(hour(0), 24 * MB, [0, 0, MB, 0]);
        assert_eq!(budget.allowance(hour(0)), [usize::MAX, 0, 0, 0]);
        assert_eq!(budget.allowance(hour(3)), [usize::MAX, 3_000_000, 3_000_000, 3_000_000]);
        assert_eq!(budget.allowance(hour(900))[1], 24_000_000);
        // In ten thousand steps as in one: no byte is lost to rounding.
        let mut fine = Budget::new(config(OPEN), hour(0));
        fine.spend(hour(0), 24 * MB, [0; 4]);
        (0..=10_000).for_each(|n| fine.advance(MonoTime(HOUR_US * n / 10_000)));
        assert_eq!(fine.level(), 1_000_000);
    }

    #[test]
    fn critical_records_always_go_and_the_others_wait_for_what_they_cost() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        budget.spend(hour(0), 26 * MB, [MB, 0, 0, 0]);
        assert_eq!(budget.allowance(hour(1)), [usize::MAX, 0, 0, 0]);
        assert_eq!((budget.level(), budget.is_open()), (-1_000_000, false));
        let opening = budget.next_opening().unwrap();
        assert_eq!(budget.allowance(MonoTime(opening.0 - 1_000_000))[2], 0);
        assert!(budget.allowance(opening)[2] >= QUANTUM as usize);
        assert_eq!(budget.next_opening(), None);
        // The debt ends at a day.
        budget.spend(opening, 999 * MB, [MB, 0, 0, 0]);
        assert_eq!(budget.level(), -24_000_000);
    }

    #[test]
    fn a_lane_that_has_its_share_leaves_the_rest_to_the_others() {
        let mut budget = Budget::new(config([100, 100, 100, 25]), hour(0));
        budget.spend(hour(0), 6 * MB, [0, 0, 0, 500]);
        assert_eq!(budget.allowance(hour(0)), [usize::MAX, 18_000_000, 18_000_000, 0]);
        assert!(budget.next_opening().unwrap() > hour(0));
        // Twice as many bytes on the line as records weigh: each lane bears its part.
        let mut shared = Budget::new(config(OPEN), hour(0));
        shared.spend(hour(0), 8 * MB, [0, MB, 3 * MB, 0]);
        assert_eq!(shared.lanes.map(|lane| lane.level / 1_000_000), [24, 22, 18, 24]);
    }

    #[test]
    fn over_a_year_and_many_requests_no_more_leaves_than_was_budgeted() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        let (mut sent, mut us) = (0, 0);
        while us < 365 * 24 * HOUR_US {
            let allowed = budget.allowance(MonoTime(us))[2].min(200_000) as u64;
            // The estimate of a request is too low by a tenth, as it is on a real line.
            budget.spend(MonoTime(us), allowed + allowed / 10, [0, 0, allowed, 0]);
            sent += allowed + allowed / 10;
            us += 60_000_000;
        }
        assert!(sent <= 366 * 24 * MB + 20_000, "{sent}");
        assert!(sent > 360 * 24 * MB, "{sent}");
    }

    #[test]
    fn the_state_outlives_restarts_and_a_clock_that_steps() {
        let mut budget = Budget::new(config(OPEN), hour(10));
        budget.spend(hour(10), 24 * MB, [0; 4]);
        let text = budget.store(stamp(hour(10), 1_000), "k1").to_text();
        let state = BudgetState::parse(&text).unwrap();
        let level = |now, kernel| Budget::restore(config(OPEN), &state, now, kernel).level() / MB as i64;
        assert_eq!(level(stamp(hour(12), 1_002), "k1"), 2, "the agent started again");
        assert_eq!(level(stamp(hour(12), 9_760), "k1"), 2, "and the clock had been set ahead by a year");
        assert_eq!(level(stamp(hour(0), 1_005), "k2"), 5, "the machine was off for five hours");
        assert_eq!(level(stamp(hour(0), 9_760), "k2"), 24, "a step ahead while off is worth one bucket");
        assert_eq!(level(stamp(hour(2), -7_760), "k2"), 2, "a step back leaves the uptime");
        assert_eq!(level(Stamp { mono: hour(1), wall: None }, "k2"), 1);
        for bad in ["", "budget2 1 1 1 1 1 1 1", "budget1 1 x 1 1 1 1 1 k", "budget1 1 1 1"] {
            assert_eq!(BudgetState::parse(bad), None, "{bad:?}");
        }
        // A smaller budget than before holds from now on.
        let less = BudgetConfig { bytes_per_day: MB, shares: OPEN };
        let full = Budget::new(config(OPEN), hour(0)).store(stamp(hour(0), 0), "k1");
        assert_eq!(Budget::restore(less, &full, stamp(hour(0), 0), "k1").level(), MB as i64);
    }

    #[test]
    fn a_power_cut_never_gives_bytes_back() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        let (mut stored, mut writes, mut dice) = (None, 0, 9_u64);
        for n in 0..2_000_u64 {
            // Now and then a day passes, and the buckets fill to the brim.
            let now = stamp(MonoTime(n * 1_000_000 + n / 100 * 30 * HOUR_US), 0);
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bytes = dice >> 50;
            if let Some(state) = budget.store_ahead(now, "k", bytes) {
                (stored, writes) = (Some(state), writes + 1);
            }
            budget.spend(now.mono, bytes, [0, 0, 1, 0]);
            // The power goes here.
            let after = Budget::restore(config(OPEN), stored.as_ref().unwrap(), now, "k");
            assert!(after.level() <= budget.level(), "{n}: {} {}", after.level(), budget.level());
            assert!(after.level() >= budget.level() - 300_000, "{n}: a cut costs too much");
        }
        assert!((20..300).contains(&writes), "{writes} writes");
    }
}
