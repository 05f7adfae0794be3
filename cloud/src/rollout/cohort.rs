//! Which wave a vehicle belongs to: by a hash of its id, or by the groups that a person put it into.
//!
//! The hash is salted by the rollout, so that it is not always the same vehicles that go first, and it depends on
//! nothing else: a vehicle that is asked about twice, or enrolled later, lands where it always would have.

use super::plan::{Plan, Wave};
use telltale_wire::digest::Digest;

/// What stands before the salt, so that no other hash of an id is ever equal to this one by design.
const DOMAIN: &[u8] = b"telltale rollout cohort\0";

/// Where a vehicle stands in a rollout's order: uniform over 0 to 2^64 - 1.
#[must_use]
pub fn position(salt: &[u8; 16], vehicle: &str) -> u64 {
    let bytes = [DOMAIN, salt, vehicle.as_bytes()].concat();
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(&bytes).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first wave that takes a vehicle, by number from 0; `None` if the rollout leaves it out.
#[must_use]
pub fn wave_of(plan: &Plan, salt: &[u8; 16], vehicle: &str, groups: &[String]) -> Option<usize> {
    let position = position(salt, vehicle);
    plan.waves.iter().position(|wave| takes(wave, position, groups))
}

fn takes(wave: &Wave, position: u64, groups: &[String]) -> bool {
    let share = wave.percent.is_some_and(|percent| u128::from(position) < threshold(percent));
    share || wave.groups.iter().any(|group| groups.contains(group))
}

/// Positions below this one are among the first `percent` of all.
fn threshold(percent: f64) -> u128 {
    // Millionths are as fine as a share is meant: one vehicle of a million.
    let millionths = (percent * 10_000.0).round().clamp(0.0, 1_000_000.0) as u128;
    (millionths << 64) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = *b"0123456789abcdef";

    fn plan(waves: Vec<Wave>) -> Plan {
        Plan { waves, ..Plan::default() }
    }

    fn percent(percent: f64) -> Wave {
        Wave { percent: Some(percent), ..Wave::default() }
    }

    #[test]
    fn a_share_takes_its_share_and_all_take_all() {
        let plan = plan(vec![percent(1.0), percent(25.0), percent(100.0)]);
        let mut sizes = [0_u32; 3];
        for n in 0..20_000 {
            sizes[wave_of(&plan, &SALT, &format!("vehicle-{n}"), &[]).unwrap()] += 1;
        }
        assert!((150..250).contains(&sizes[0]), "{sizes:?}");
        assert!((4_600..5_000).contains(&sizes[1]), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<u32>(), 20_000);
    }

    #[test]
    fn the_same_vehicle_always_lands_in_the_same_place_and_another_salt_elsewhere() {
        assert_eq!(position(&SALT, "bench-01"), position(&SALT, "bench-01"));
        let order = |salt: &[u8; 16]| {
            let mut ids: Vec<u32> = (0..200).collect();
            ids.sort_by_key(|n| position(salt, &format!("v{n}")));
            ids
        };
        assert_ne!(order(&SALT), order(b"0123456789abcdeg"));
        // Fielded rollouts hold these positions: the hash must not change under them.
        assert_eq!(position(&SALT, "bench-01"), PINNED);
    }

    const PINNED: u64 = 2_655_495_816_435_665_002;

    #[test]
    fn a_group_goes_with_its_wave_wherever_its_hash_lies() {
        let bench = Wave { groups: vec!["bench".into()], ..Wave::default() };
        let plan = plan(vec![bench, percent(50.0)]);
        for n in 0..50 {
            assert_eq!(wave_of(&plan, &SALT, &format!("v{n}"), &["van".into(), "bench".into()]), Some(0));
        }
        let waves: Vec<_> = (0..200).map(|n| wave_of(&plan, &SALT, &format!("v{n}"), &[])).collect();
        assert!(waves.contains(&Some(1)) && waves.contains(&None) && !waves.contains(&Some(0)));
    }
}
