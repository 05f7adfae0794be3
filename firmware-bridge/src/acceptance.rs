//! The acceptance filters in force, and the set that is coming in part by part.

use telltale_wire::bridge::{BridgeId, Filter, FilterPart, FilterSet, MAX_FILTERS, SENSOR_CHANNEL};

/// What passes, and what will.
#[derive(Default)]
pub(crate) struct Acceptance {
    /// `None` until the agent has set one: everything passes.
    in_force: Option<(FilterSet, u32)>,
    coming: Coming,
}

struct Coming {
    digest: u32,
    places: [Option<Filter>; MAX_FILTERS],
}

impl Default for Coming {
    fn default() -> Self {
        Self { digest: 0, places: [None; MAX_FILTERS] }
    }
}

impl Acceptance {
    /// Whether such a frame is forwarded. Sensors are not filtered: the firmware decides what it samples.
    pub(crate) fn passes(&self, channel: u8, id: BridgeId) -> bool {
        let Some((set, _)) = &self.in_force else { return true };
        let (extended, id) = match id {
            BridgeId::Standard(id) => (false, u32::from(id)),
            BridgeId::Extended(id) => (true, id),
        };
        channel == SENSOR_CHANNEL || set.passes(channel, extended, id)
    }

    /// Names the set in force; zero for none.
    pub(crate) fn digest(&self) -> u32 {
        self.in_force.as_ref().map_or(0, |(_, digest)| *digest)
    }

    /// The set in force, for a controller that filters by itself.
    pub(crate) fn in_force(&self) -> Option<&FilterSet> {
        self.in_force.as_ref().map(|(set, _)| set)
    }

    /// Takes a part; `false` if it cannot belong to a set. A set takes force when it is whole and has its digest.
    pub(crate) fn take(&mut self, part: &FilterPart) -> bool {
        let (first, total) = (usize::from(part.first), usize::from(part.total));
        if total > MAX_FILTERS || first + part.filters.len() > total {
            return false;
        }
        if part.digest == self.digest() {
            return true;
        }
        if part.digest != self.coming.digest {
            self.coming = Coming { digest: part.digest, places: [None; MAX_FILTERS] };
        }
        for (place, filter) in self.coming.places.iter_mut().skip(first).zip(&part.filters) {
            *place = Some(*filter);
        }
        let set = FilterSet(self.coming.places.iter().take(total).map_while(|place| *place).collect());
        if set.0.len() == total && set.digest() == part.digest {
            self.in_force = Some((set, part.digest));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(filters: u32) -> FilterSet {
        let filter = |id| Filter { channel: 0, extended: false, id, mask: 0x7FF };
        FilterSet((0..filters).map(filter).collect())
    }

    fn passes(acceptance: &Acceptance, id: u16) -> bool {
        acceptance.passes(0, BridgeId::Standard(id))
    }

    #[test]
    fn a_set_takes_force_when_its_last_part_is_there_in_any_order() {
        let mut acceptance = Acceptance::default();
        assert!(passes(&acceptance, 0x700));
        let set = set(40);
        let mut parts: heapless::Vec<FilterPart, 4> = set.parts().collect();
        parts.reverse();
        for (n, part) in parts.iter().enumerate() {
            assert!(passes(&acceptance, 0x700), "part {n}");
            assert!(acceptance.take(part) && acceptance.take(part));
        }
        assert_eq!(acceptance.digest(), set.digest());
        assert!(passes(&acceptance, 39) && !passes(&acceptance, 40));
        assert!(
            !acceptance.passes(0, BridgeId::Extended(39)) && !acceptance.passes(1, BridgeId::Standard(39))
        );
        assert!(acceptance.passes(SENSOR_CHANNEL, BridgeId::Standard(40)));
    }

    #[test]
    fn a_second_set_replaces_the_first_whole_and_parts_that_fit_nowhere_are_refused() {
        let mut acceptance = Acceptance::default();
        set(5).parts().for_each(|part| assert!(acceptance.take(&part)));
        let other = set(20);
        let mut parts = other.parts();
        assert!(acceptance.take(&parts.next().unwrap()));
        assert!(!passes(&acceptance, 10), "half of the second set is in force");
        assert!(acceptance.take(&parts.next().unwrap()));
        assert!(passes(&acceptance, 10));
        let part = set(5).parts().next().unwrap();
        assert!(!acceptance.take(&FilterPart { total: 4, ..part.clone() }));
        assert!(!acceptance.take(&FilterPart { total: 65, ..part.clone() }));
        assert!(acceptance.take(&FilterPart { digest: 1, ..part }), "another digest is another set");
        assert_eq!(acceptance.digest(), other.digest(), "and never whole");
    }
}
