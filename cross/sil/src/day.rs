//! The day of a vehicle: trips along roads, breaks, charging, and the night; drawn by seed, or after a plan.

use crate::charger::{Plug, Session, Socket};
use crate::cycle::{Cycle, Road};
use crate::random::{Draws, Use};
use crate::spec::{Charging, Spec, Usage};

/// A drawn trip turns into another road after so many seconds.
const ROAD_S: [f64; 2] = [180.0, 900.0];
/// A trip ends, and charging starts, below this state of charge.
const EMPTY: f64 = 0.12;
/// The BMS stops the vehicle when a cell falls below this voltage.
const CELL_STOP_V: f64 = 2.7;
/// Legs of one plan.
const MAX_LEGS: usize = 1_000;

/// The parts of a WLTC with their lengths in seconds (UN GTR 15, annex 1).
const WLTC: [(Road, f64); 4] =
    [(Road::Urban, 589.0), (Road::Suburban, 433.0), (Road::Rural, 455.0), (Road::Motorway, 323.0)];
/// The length of the UDDS in seconds (40 CFR 86, appendix I).
const UDDS_S: f64 = 1_369.0;

/// One entry of a plan.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Entry {
    Road(Road, f64),
    Idle(f64),
    Park(f64),
    Charge(Plug),
}

/// Legs in order, over and over; empty for drawn days.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plan(Vec<Entry>);

/// A word of a plan that is no leg.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no leg: write urban, suburban, rural, motorway, idle or park with seconds from 1 to 1000000 as in \
     `urban:600`, or udds, wltc, dc-charge or ac-charge; {MAX_LEGS} at most, and not of parking alone"
)]
pub struct PlanError(String);

impl Plan {
    pub(crate) fn parse(words: &[String]) -> Result<Plan, PlanError> {
        let mut legs = Vec::new();
        for word in words {
            let refused = || PlanError(word.clone());
            let (name, seconds) = word.split_once(':').unwrap_or((word, ""));
            let timed = || {
                let seconds: f64 = seconds.parse().map_err(|_| refused())?;
                if (1.0..=1e6).contains(&seconds) { Ok(seconds) } else { Err(refused()) }
            };
            match name {
                "urban" => legs.push(Entry::Road(Road::Urban, timed()?)),
                "suburban" => legs.push(Entry::Road(Road::Suburban, timed()?)),
                "rural" => legs.push(Entry::Road(Road::Rural, timed()?)),
                "motorway" => legs.push(Entry::Road(Road::Motorway, timed()?)),
                "idle" => legs.push(Entry::Idle(timed()?)),
                "park" => legs.push(Entry::Park(timed()?)),
                "udds" if seconds.is_empty() => legs.push(Entry::Road(Road::Udds, UDDS_S)),
                "wltc" if seconds.is_empty() => {
                    legs.extend(WLTC.map(|(road, seconds)| Entry::Road(road, seconds)));
                }
                "dc-charge" if seconds.is_empty() => legs.push(Entry::Charge(Plug::Dc)),
                "ac-charge" if seconds.is_empty() => legs.push(Entry::Charge(Plug::Ac)),
                _ => return Err(refused()),
            }
            if legs.len() > MAX_LEGS {
                return Err(refused());
            }
        }
        if !legs.is_empty() && legs.iter().all(|leg| matches!(leg, Entry::Park(_))) {
            return Err(PlanError(words.concat()));
        }
        Ok(Plan(legs))
    }
}

/// What the driver looks at before each step.
#[derive(Clone, Copy)]
pub(crate) struct Dashboard {
    /// Seconds since the simulation's start.
    pub(crate) elapsed_s: f64,
    /// Hour of the day, 0 to 24.
    pub(crate) hour: f64,
    /// State of charge as the BMS counts it, 0 to 1.
    pub(crate) charge: f64,
    pub(crate) lowest_cell_v: f64,
    pub(crate) socket: Socket,
}

/// One step of the day.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Moment {
    /// The vehicle is on: its speed in m/s and the road's rise over its length.
    Drive { speed: f64, grade: f64 },
    /// The charger pushes so many amperes into the pack.
    Charge { amperes: f64, plug: Plug },
    /// The bus sleeps until this second after the start.
    Parked { until_s: f64 },
}

enum Leg {
    /// Along a road until then; a drawn trip changes it.
    Drive {
        until_s: f64,
        road_until_s: f64,
    },
    /// On, and standing.
    Idle {
        until_s: f64,
    },
    Charge(Plug, Session),
    Park {
        until_s: f64,
    },
}

/// The driver and the road.
pub(crate) struct Day {
    usage: Usage,
    charging: Charging,
    capacity_ah: f64,
    rise: f64,
    draws: Draws,
    plan: Plan,
    next: usize,
    leg: Leg,
    cycle: Cycle,
    /// Rise per length, and where it tends.
    grade: f64,
    next_grade: f64,
}

impl Day {
    pub(crate) fn new(seed: u64, spec: &Spec, plan: Plan) -> Day {
        let mut day = Day {
            usage: spec.usage.clone(),
            charging: spec.charging.clone(),
            capacity_ah: spec.pack.capacity_ah,
            rise: spec.vehicle.grade,
            draws: Draws::new(seed, Use::Road),
            plan,
            next: 0,
            leg: Leg::Park { until_s: 0.0 },
            cycle: Cycle::new(Road::Urban),
            grade: 0.0,
            next_grade: 0.0,
        };
        day.leg = if day.plan.0.is_empty() { day.trip(0.0) } else { day.planned(0.0) };
        day
    }

    /// What happens in the next `seconds`.
    pub(crate) fn step(&mut self, seconds: f64, seen: Dashboard) -> Moment {
        match &mut self.leg {
            Leg::Drive { until_s, road_until_s } => {
                let (until_s, turns) = (*until_s, seen.elapsed_s >= *road_until_s);
                let starved = seen.charge < EMPTY || seen.lowest_cell_v < CELL_STOP_V;
                if turns && self.plan.0.is_empty() {
                    let road_until_s = seen.elapsed_s + self.draws.between(ROAD_S[0], ROAD_S[1]);
                    let road = self.road();
                    self.cycle.turn_into(road);
                    self.leg = Leg::Drive { until_s, road_until_s };
                }
                let over = seen.elapsed_s >= until_s || starved;
                // From one planned road onto the next the vehicle rolls on.
                if over && !starved && matches!(self.upcoming(), Some(Entry::Road(..))) {
                    self.leg = self.planned(seen.elapsed_s);
                    return self.drive(seconds, false);
                }
                let moment = self.drive(seconds, over);
                if over && moment == (Moment::Drive { speed: 0.0, grade: self.grade }) {
                    self.leg = self.after_trip(seen, starved);
                }
                moment
            }
            Leg::Idle { until_s } => {
                if seen.elapsed_s >= *until_s {
                    self.leg = self.after_break(seen);
                }
                self.drive(seconds, true)
            }
            Leg::Charge(plug, session) => {
                let (plug, step) =
                    (*plug, session.step(seconds, &self.charging, self.capacity_ah, seen.socket));
                match step {
                    Some(amperes) => Moment::Charge { amperes, plug },
                    None => {
                        self.leg = if self.plan.0.is_empty() {
                            self.rest(seen)
                        } else {
                            self.planned(seen.elapsed_s)
                        };
                        Moment::Charge { amperes: 0.0, plug }
                    }
                }
            }
            Leg::Park { until_s } if seen.elapsed_s < *until_s => Moment::Parked { until_s: *until_s },
            Leg::Park { .. } => {
                self.leg = self.after_break(seen);
                // The bus sleeps for this one step more.
                Moment::Parked { until_s: seen.elapsed_s }
            }
        }
    }

    fn upcoming(&self) -> Option<Entry> {
        self.plan.0.get(self.next % self.plan.0.len().max(1)).copied()
    }

    /// The plan's next leg.
    fn planned(&mut self, now_s: f64) -> Leg {
        let entry = self.upcoming();
        self.next += 1;
        match entry {
            Some(Entry::Road(road, seconds)) => {
                self.cycle.turn_into(road);
                Leg::Drive { until_s: now_s + seconds, road_until_s: f64::INFINITY }
            }
            Some(Entry::Idle(seconds)) => Leg::Idle { until_s: now_s + seconds },
            Some(Entry::Charge(plug)) => Leg::Charge(plug, Session::new(plug)),
            Some(Entry::Park(seconds)) => Leg::Park { until_s: now_s + seconds },
            None => Leg::Park { until_s: now_s },
        }
    }

    fn trip(&mut self, now_s: f64) -> Leg {
        let [low, high] = self.usage.trip_minutes;
        let until_s = now_s + 60.0 * self.draws.between(low, high);
        let road = self.road();
        self.cycle.turn_into(road);
        Leg::Drive { until_s, road_until_s: now_s + self.draws.between(ROAD_S[0], ROAD_S[1]) }
    }

    fn road(&mut self) -> Road {
        let Usage { urban, suburban, rural, motorway, .. } = self.usage;
        let place = self.draws.between(0.0, urban + suburban + rural + motorway);
        match place {
            p if p < urban => Road::Urban,
            p if p < urban + suburban => Road::Suburban,
            p if p < urban + suburban + rural => Road::Rural,
            _ => Road::Motorway,
        }
    }

    fn after_trip(&mut self, seen: Dashboard, starved: bool) -> Leg {
        if starved {
            return Leg::Charge(Plug::Dc, Session::new(Plug::Dc));
        }
        if !self.plan.0.is_empty() {
            return self.planned(seen.elapsed_s);
        }
        let low = seen.charge < self.usage.recharge_below;
        match (self.is_night(seen.hour), low) {
            (true, _) => Leg::Charge(Plug::Ac, Session::new(Plug::Ac)),
            (false, true) => Leg::Charge(Plug::Dc, Session::new(Plug::Dc)),
            (false, false) => self.rest(seen),
        }
    }

    fn after_break(&mut self, seen: Dashboard) -> Leg {
        if !self.plan.0.is_empty() {
            self.planned(seen.elapsed_s)
        } else if self.is_night(seen.hour) {
            self.rest(seen)
        } else {
            self.trip(seen.elapsed_s)
        }
    }

    /// A break by day; by night until the morning.
    fn rest(&mut self, seen: Dashboard) -> Leg {
        if self.is_night(seen.hour) {
            let until = (self.usage.day_hours[0] + 24.0 - seen.hour) % 24.0 + self.draws.between(0.0, 0.5);
            return Leg::Park { until_s: seen.elapsed_s + 3_600.0 * until };
        }
        let [low, high] = self.usage.break_minutes;
        let until_s = seen.elapsed_s + 60.0 * self.draws.between(low, high);
        if self.draws.between(0.0, 1.0) < self.usage.idling {
            Leg::Idle { until_s }
        } else {
            Leg::Park { until_s }
        }
    }

    fn is_night(&self, hour: f64) -> bool {
        !(self.usage.day_hours[0]..self.usage.day_hours[1]).contains(&hour)
    }

    fn drive(&mut self, seconds: f64, stopping: bool) -> Moment {
        let speed = self.cycle.step(seconds, stopping, &mut self.draws);
        // A road's rise changes over some hundred metres; a hill that a vehicle stands on does not push its meter.
        if speed > 0.0 {
            let along = (speed * seconds / 300.0).min(1.0);
            self.grade += (self.next_grade - self.grade) * along;
            if self.draws.between(0.0, 1.0) < along {
                self.next_grade = self.draws.bell(self.rise);
            }
        }
        Moment::Drive { speed, grade: self.grade }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Socket = Socket { pack_v: 360.0, highest_cell_v: 3.9, coldest_c: 20.0, charge: 0.8 };
    const FULL: Dashboard =
        Dashboard { elapsed_s: 0.0, hour: 10.0, charge: 0.8, lowest_cell_v: 3.9, socket: SOCKET };

    fn day(plan: &[&str]) -> Day {
        let words: Vec<String> = plan.iter().map(|word| (*word).into()).collect();
        Day::new(5, &Spec::default(), Plan::parse(&words).unwrap())
    }

    /// Steps of a second from a time on; stops at a moment that `ends`.
    fn until(day: &mut Day, from_s: u32, mut seen: Dashboard, ends: &dyn Fn(Moment) -> bool) -> u32 {
        for second in from_s..from_s + 100_000 {
            seen.elapsed_s = f64::from(second);
            if ends(day.step(1.0, seen)) {
                return second;
            }
        }
        panic!("it never ends")
    }

    #[test]
    fn the_night_lasts_until_the_morning() {
        let Leg::Park { until_s } = day(&[]).rest(Dashboard { hour: 23.0, ..FULL }) else { panic!() };
        assert!((7.0 * 3_600.0..7.51 * 3_600.0).contains(&until_s));
    }

    #[test]
    fn an_empty_pack_or_cell_ends_the_trip_at_a_charger() {
        for seen in [Dashboard { lowest_cell_v: 2.5, ..FULL }, Dashboard { charge: 0.05, ..FULL }] {
            let mut day = day(&[]);
            let at =
                until(&mut day, 0, seen, &|moment| matches!(moment, Moment::Charge { plug: Plug::Dc, .. }));
            assert!(at < 120, "{at} s");
        }
    }

    #[test]
    fn a_plan_is_driven_in_order_and_again() {
        let mut day = day(&["urban:120", "motorway:120", "idle:60", "park:600", "ac-charge"]);
        let parks = |moment| matches!(moment, Moment::Parked { .. });
        let parked = until(&mut day, 0, FULL, &parks);
        assert!((300..400).contains(&parked), "two roads, a stop, a minute standing: {parked} s");
        let charges = |moment| matches!(moment, Moment::Charge { .. });
        let charged = until(&mut day, parked, FULL, &charges);
        assert!((600..610).contains(&(charged - parked)), "{charged} s");
        let full = Socket { charge: 0.99, ..SOCKET };
        let drives = |moment| matches!(moment, Moment::Drive { speed, .. } if speed > 0.0);
        until(&mut day, charged, Dashboard { socket: full, ..FULL }, &drives);
    }

    #[test]
    fn words_that_are_no_legs_are_refused() {
        for word in ["", "fly", "urban", "urban:0", "urban:x", "udds:5", "park:10"] {
            let refused = Plan::parse(&[word.into()]).unwrap_err().to_string();
            assert!(refused.contains("urban:600"), "{word}: {refused}");
        }
        assert_eq!(Plan::parse(&["wltc".into()]).unwrap().0.len(), 4);
    }
}
