//! The byte budget of the line: what left in the last day is remembered hour by hour, and counts until it is a day old.
//!
//! One window for everything and one for each lane. In any 24 hours at most a day's bytes leave, and one exchange more:
//! the one that was under way when they ran out. Critical records always go; what they cost counts too, so that the
//! others wait the longer. An hour's bytes are forgiven together, when its last is a day old: of a budget that is always
//! wanted a twenty-fifth stays unused.
//!
//! While the agent runs the monotonic clock moves the windows. Over a restart of the agent the same clock goes on; over a
//! restart of the machine the wall clock says how long it was off: one that was set ahead by a day or more while the
//! machine was off forgives what was sent before, once. What is stored is more than was spent by what may be spent until
//! it is stored again: a power cut never gives bytes back.

use super::window::{SLOT, SLOTS, Window};
use std::time::Duration;
use telltale_wire::ids::Lane;
use telltale_wire::time::{MonoTime, Stamp};

/// What is set aside in the stored state beyond the request at hand, at least and at most; a 128th of a day between.
/// A power cut costs the vehicle so much, and the flash sees at most about 160 writes a day and one for each larger
/// request.
const ASIDE: (u64, u64) = (4 * 1024, 1024 * 1024);

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

/// The windows of one vehicle. Memory: about 1.3 kB.
#[derive(Clone, Debug)]
pub struct Budget {
    total: Window,
    lanes: [Window; 4],
    now: MonoTime,
    /// How much of the running hour has passed.
    into: Duration,
    /// The whole as it would come back from what is stored.
    stored: Option<Window>,
}

impl Budget {
    /// Empty windows, as of a vehicle that has never sent.
    #[must_use]
    pub fn new(config: BudgetConfig, now: MonoTime) -> Self {
        let lanes = config.shares.map(|percent| {
            let share = u128::from(config.bytes_per_day) * u128::from(percent.min(100)) / 100;
            Window::new(share as u64)
        });
        let total = Window::new(config.bytes_per_day);
        Self { total, lanes, now, into: Duration::ZERO, stored: None }
    }

    /// Windows as they were stored, moved by the time since then. `kernel` names the running machine's boot.
    #[must_use]
    pub fn restore(config: BudgetConfig, state: &BudgetState, now: Stamp, kernel: &str) -> Self {
        let mut budget = Self::new(config, now.mono);
        let windows = std::iter::once(&mut budget.total).chain(&mut budget.lanes);
        windows.zip(state.spent).for_each(|(window, spent)| window.spent = spent);
        budget.into = state.into.min(SLOT);
        budget.pass(state.elapsed(now, kernel));
        budget
    }

    /// How many bytes of records may be fetched of each lane, by its index.
    #[must_use]
    pub fn allowance(&mut self, now: MonoTime) -> [usize; 4] {
        self.advance(now);
        Lane::ALL.map(|lane| match lane {
            Lane::Critical => usize::MAX,
            _ => self.total.left().min(self.lanes[lane as usize].left()).max(0) as usize,
        })
    }

    /// Whether anything but critical records may be sent, such as a request for news.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.total.left() > 0
    }

    /// When a lane that has to wait now may send again; `None` if none has to wait.
    #[must_use]
    pub fn next_opening(&self) -> Option<MonoTime> {
        let total = self.total.opens_after();
        let [_critical, others @ ..] = &self.lanes;
        let waits = others.iter().map(|lane| lane.opens_after().max(total));
        let hours = waits.filter(|hours| *hours > 0).min()? as u32;
        Some(self.now.plus((SLOT * hours).saturating_sub(self.into)))
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

    /// What may be spent of the whole, in bytes; below zero it is owed, down to a day's bytes.
    #[must_use]
    pub fn level(&self) -> i64 {
        self.total.left().max(-self.total.capacity)
    }

    /// What has to be stored before a request of about `bytes` is sent: a state in which that and a little more is
    /// spent already. `None` if what is stored has spent enough still.
    #[must_use]
    pub fn store_ahead(&mut self, now: Stamp, kernel: &str, bytes: u64) -> Option<BudgetState> {
        self.advance(now.mono);
        if self.stored.is_some_and(|stored| stored.covers(&self.total, bytes)) {
            return None;
        }
        let aside = bytes.saturating_add((self.total.capacity as u64 / 128).clamp(ASIDE.0, ASIDE.1));
        let mut stored = self.total;
        stored.spend(aside);
        self.stored = Some(stored);
        Some(self.state(now, kernel, aside))
    }

    /// What was spent as it is, to store when the agent ends.
    #[must_use]
    pub fn store(&mut self, now: Stamp, kernel: &str) -> BudgetState {
        self.advance(now.mono);
        self.state(now, kernel, 0)
    }

    fn state(&self, at: Stamp, kernel: &str, aside: u64) -> BudgetState {
        let [a, b, c, d] = self.lanes.map(|mut lane| {
            lane.spend(aside.min(lane.left().max(0) as u64));
            lane.spent
        });
        let mut total = self.total;
        total.spend(aside);
        BudgetState { at, into: self.into, spent: [total.spent, a, b, c, d], kernel: kernel.to_owned() }
    }

    fn advance(&mut self, now: MonoTime) {
        let elapsed = now.since(self.now);
        self.now = self.now.max(now);
        self.pass(elapsed);
    }

    fn pass(&mut self, elapsed: Duration) {
        let into = self.into.saturating_add(elapsed);
        let hours = into.as_secs() / SLOT.as_secs();
        self.into = into - SLOT * u32::try_from(hours).unwrap_or(u32::MAX);
        let windows = std::iter::once(&mut self.total).chain(&mut self.lanes).chain(&mut self.stored);
        windows.for_each(|window| window.shift(hours as usize));
    }
}

/// The windows at one moment, as they outlive the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BudgetState {
    at: Stamp,
    /// How much of the running hour had passed.
    into: Duration,
    /// The whole, then the lanes by their index; each hour by hour, newest first.
    spent: [[u64; SLOTS]; 5],
    /// The machine's boot, in whose monotonic time `at` stands.
    kernel: String,
}

impl BudgetState {
    /// A version, the times, what was spent, a line a window, and the machine's boot: 2.7 kB at the most.
    #[must_use]
    pub fn to_text(&self) -> String {
        let wall = self.at.wall.map_or_else(|| "-".to_owned(), |wall| wall.0.to_string());
        let mut text = format!("budget2 {} {wall} {}\n", self.at.mono.0, self.into.as_micros());
        for window in &self.spent {
            let slots: Vec<String> = window.iter().map(u64::to_string).collect();
            text += &slots.join(" ");
            text.push('\n');
        }
        text + &self.kernel + "\n"
    }

    /// Reads what [`BudgetState::to_text`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next();
        if next()? != "budget2" {
            return None;
        }
        let mono = MonoTime(next()?.parse().ok()?);
        let wall = match next()? {
            "-" => None,
            wall => Some(telltale_wire::time::WallTime(wall.parse().ok()?)),
        };
        let into = Duration::from_micros(next()?.parse().ok()?);
        let mut spent = [[0; SLOTS]; 5];
        for slot in spent.as_flattened_mut() {
            *slot = next()?.parse().ok()?;
        }
        let kernel = next().unwrap_or_default().to_owned();
        Some(Self { at: Stamp { mono, wall }, into, spent, kernel })
    }

    /// How much time has passed, as far as it is certain; over a restart of the machine on the word of its wall clock.
    fn elapsed(&self, now: Stamp, kernel: &str) -> Duration {
        if !kernel.is_empty() && kernel == self.kernel {
            return now.mono.since(self.at.mono);
        }
        let by_wall = self.at.wall.zip(now.wall).and_then(|(then, now)| now.0.checked_sub(then.0));
        let by_wall = Duration::from_micros(by_wall.and_then(|us| u64::try_from(us).ok()).unwrap_or(0));
        // The machine has started since: its uptime is certain.
        now.mono.since(MonoTime(0)).max(by_wall)
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
    fn what_was_sent_counts_for_a_day() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        budget.spend(MonoTime(HOUR_US / 2), 20 * MB, [0, 0, MB, 0]);
        budget.spend(hour(3), 4 * MB, [0, 0, MB, 0]);
        assert_eq!(budget.allowance(hour(3)), [usize::MAX, 0, 0, 0]);
        assert_eq!(budget.allowance(hour(24))[2], 0, "sent in the last day, some of it");
        assert_eq!(budget.allowance(hour(25)), [usize::MAX, 20_000_000, 20_000_000, 20_000_000]);
        assert_eq!(budget.allowance(hour(28))[1], 24_000_000);
        assert_eq!(budget.allowance(hour(900_000))[1], 24_000_000);
    }

    #[test]
    fn critical_records_always_go_and_the_others_wait_for_what_they_cost() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        budget.spend(hour(0), 22 * MB, [0, 0, MB, 0]);
        budget.spend(hour(1), 4 * MB, [MB, 0, 0, 0]);
        assert_eq!(budget.allowance(hour(1)), [usize::MAX, 0, 0, 0]);
        assert_eq!((budget.level(), budget.is_open()), (-2_000_000, false));
        let opening = budget.next_opening().unwrap();
        assert_eq!(opening, hour(25));
        assert_eq!(budget.allowance(MonoTime(opening.0 - 1))[2], 0);
        assert_eq!(budget.allowance(opening)[2], 20_000_000);
        assert_eq!(budget.next_opening(), None);
        // What is owed ends with its day.
        budget.spend(opening, 999 * MB, [MB, 0, 0, 0]);
        assert_eq!(budget.level(), -24_000_000);
        assert_eq!(budget.next_opening(), Some(hour(50)));
    }

    #[test]
    fn a_lane_that_has_its_share_leaves_the_rest_to_the_others() {
        let mut budget = Budget::new(config([100, 100, 100, 25]), hour(0));
        budget.spend(hour(0), 6 * MB, [0, 0, 0, 500]);
        assert_eq!(budget.allowance(hour(0)), [usize::MAX, 18_000_000, 18_000_000, 0]);
        assert_eq!(budget.next_opening(), Some(hour(25)));
        // Twice as many bytes on the line as records weigh: each lane bears its part.
        let mut shared = Budget::new(config(OPEN), hour(0));
        shared.spend(hour(0), 8 * MB, [0, MB, 3 * MB, 0]);
        assert_eq!(shared.lanes.map(|lane| lane.left() / 1_000_000), [24, 22, 18, 24]);
    }

    #[test]
    fn in_no_24_hours_leaves_more_than_a_day_and_one_exchange() {
        let mut dice = 7_u64;
        let mut below = |n: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % n
        };
        let mut budget = Budget::new(config([100, 100, 100, 40]), hour(0));
        let (mut us, mut sent) = (0, Vec::new());
        while us < 90 * 24 * HOUR_US {
            // Mostly as fast as it may; now and then away for up to two days, and once in a while restarted.
            us += if below(500) == 0 { below(48 * HOUR_US) } else { below(HOUR_US / 2) };
            if below(50) == 0 {
                let text = budget.store(stamp(MonoTime(us), 0), "k").to_text();
                let state = BudgetState::parse(&text).unwrap();
                budget = Budget::restore(config([100, 100, 100, 40]), &state, stamp(MonoTime(us), 0), "k");
            }
            let lane = 2 + below(2) as usize;
            let allowed = budget.allowance(MonoTime(us))[lane].min(1_000_000) as u64;
            // The estimate of a request is too low by a tenth, as it is on a real line.
            let bytes = allowed + allowed / 10;
            budget.spend(
                MonoTime(us),
                bytes,
                [0, 0, allowed * u64::from(lane == 2), allowed * u64::from(lane == 3)],
            );
            sent.push((us, lane, bytes));
        }
        let most_in_a_day = |of: &dyn Fn(usize) -> bool| {
            let of_lanes: Vec<_> = sent.iter().filter(|(_, lane, _)| of(*lane)).collect();
            let day = |from: usize| {
                let within = |other: &&&(u64, usize, u64)| other.0 < of_lanes[from].0 + 24 * HOUR_US;
                of_lanes[from..].iter().take_while(within).map(|sent| sent.2).sum::<u64>()
            };
            (0..of_lanes.len()).map(day).max().unwrap()
        };
        let (all, bulk) = (most_in_a_day(&|_| true), most_in_a_day(&|lane| lane == 3));
        assert!((24 * MB..24 * MB + 1_100_000).contains(&all), "{all}");
        assert!((9 * MB..9_600_000 + 1_100_000).contains(&bulk), "{bulk}");
        let total: u64 = sent.iter().map(|sent| sent.2).sum();
        assert!(total > 70 * 24 * MB, "{total}");
    }

    #[test]
    fn the_state_outlives_restarts_and_a_clock_that_steps() {
        let mut budget = Budget::new(config(OPEN), hour(10));
        budget.spend(hour(10), 20 * MB, [0; 4]);
        budget.spend(hour(13), 4 * MB, [0; 4]);
        let text = budget.store(stamp(hour(20), 1_000), "k1").to_text();
        let state = BudgetState::parse(&text).unwrap();
        let level = |now, kernel| Budget::restore(config(OPEN), &state, now, kernel).level() / MB as i64;
        assert_eq!(level(stamp(hour(34), 1_014), "k1"), 0, "the agent started again");
        assert_eq!(level(stamp(hour(35), 1_015), "k1"), 20, "the day is over");
        assert_eq!(level(stamp(hour(21), 9_760), "k1"), 0, "and the clock had been set ahead by a year");
        assert_eq!(level(stamp(hour(0), 1_015), "k2"), 20, "the machine was off for 15 hours");
        assert_eq!(level(stamp(hour(0), 9_760), "k2"), 24, "a step ahead while off forgives what was sent");
        assert_eq!(level(stamp(hour(15), -7_760), "k2"), 20, "a step back leaves the uptime");
        assert_eq!(level(Stamp { mono: hour(15), wall: None }, "k2"), 20);
        let short: String = text.lines().take(3).collect();
        for bad in ["", "budget1 1 1 1 1 1 1 1", &text.replacen(' ', " x", 2), &short] {
            assert_eq!(BudgetState::parse(bad), None, "{bad:?}");
        }
        // A smaller budget than before holds from now on.
        let less = BudgetConfig { bytes_per_day: 8 * MB, shares: OPEN };
        assert_eq!(Budget::restore(less, &state, stamp(hour(20), 1_000), "k1").level(), -8 * MB as i64);
    }

    #[test]
    fn a_power_cut_never_gives_bytes_back() {
        let mut budget = Budget::new(config(OPEN), hour(0));
        let (mut stored, mut writes, mut dice) = (None, 0, 9_u64);
        for n in 0..2_000_u64 {
            // Six minutes between two requests; now and then a day passes, and all is forgiven.
            let now = stamp(MonoTime(n * HOUR_US / 10 + n / 500 * 30 * HOUR_US), 0);
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bytes = dice >> 48;
            if let Some(state) = budget.store_ahead(now, "k", bytes) {
                (stored, writes) = (Some(state), writes + 1);
            }
            budget.spend(now.mono, bytes, [0, 0, 1, 0]);
            // The power goes here, and comes back some time in the next day.
            for hours in 0..30 {
                let later = stamp(now.mono.plus(SLOT * hours), 0);
                let after = Budget::restore(config(OPEN), stored.as_ref().unwrap(), later, "k");
                let mut uncut = budget.clone();
                uncut.advance(later.mono);
                assert!(after.level() <= uncut.level(), "{n}: {} {}", after.level(), uncut.level());
                assert!(after.level() >= uncut.level() - 300_000, "{n}: a cut costs too much");
            }
        }
        assert!((200..600).contains(&writes), "{writes} writes in 12 days");
    }
}
