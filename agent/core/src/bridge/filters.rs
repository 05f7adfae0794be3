//! Acceptance filters for a bridge from the identifiers that a catalog knows.

use crate::frame::CanId;
use telltale_wire::bridge::{Filter, FilterSet, MAX_FILTERS};

/// Filters that let all of these frames pass, and as few others as the bridge has room for: beyond [`MAX_FILTERS`]
/// identifiers, neighbours share a filter.
#[must_use]
pub fn acceptance(wanted: &[(u8, CanId)]) -> FilterSet {
    let mut ignored_bits = 0;
    loop {
        let mut filters: Vec<Filter> =
            wanted.iter().map(|(channel, id)| filter(*channel, *id, ignored_bits)).collect();
        filters.sort_unstable_by_key(|filter| (filter.channel, filter.extended, filter.id));
        filters.dedup();
        if filters.len() <= MAX_FILTERS || ignored_bits == 29 {
            // At 29 bits there is one for each channel and format, which are 64.
            return FilterSet(filters.into_iter().take(MAX_FILTERS).collect());
        }
        ignored_bits += 1;
    }
}

fn filter(channel: u8, id: CanId, ignored_bits: u32) -> Filter {
    let (extended, all) = match id {
        CanId::Standard(_) => (false, CanId::MAX_STANDARD),
        CanId::Extended(_) => (true, CanId::MAX_EXTENDED),
    };
    let mask = all & !((1 << ignored_bits) - 1);
    Filter { channel, extended, id: id.raw() & mask, mask }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_passes_exactly() {
        let set = acceptance(&[
            (0, CanId::Standard(0x123)),
            (0, CanId::Standard(0x123)),
            (1, CanId::Extended(0x123)),
        ]);
        assert_eq!(set.0.len(), 2);
        assert!(set.passes(0, false, 0x123) && set.passes(1, true, 0x123));
        assert!(!set.passes(0, true, 0x123) && !set.passes(1, false, 0x123) && !set.passes(0, false, 0x122));
    }

    #[test]
    fn more_than_fit_share_filters_and_all_of_them_pass() {
        let wanted: Vec<(u8, CanId)> = (0..1_000_u32)
            .map(|n| (0, CanId::Extended(n * 7_919 % 0x1FFF_FFFF)))
            .chain((0..2_048).map(|n| ((n % 3) as u8, CanId::Standard(n))))
            .collect();
        let set = acceptance(&wanted);
        assert!(set.0.len() <= MAX_FILTERS);
        for (channel, id) in &wanted {
            assert!(set.passes(*channel, matches!(id, CanId::Extended(_)), id.raw()), "{channel} {id}");
        }
        assert!(!set.passes(5, false, 1), "a channel that nobody asked for");
    }

    #[test]
    fn nothing_wanted_lets_nothing_pass() {
        assert_eq!(acceptance(&[]).0.len(), 0);
    }
}
