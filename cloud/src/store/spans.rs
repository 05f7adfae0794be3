//! Arithmetic on runs of sequence numbers, both ends included.

/// A run of numbers from the first to the last.
pub(super) type Span = (u64, u64);

/// What is left of `span` without `hole`: nothing, one run or two. A hole that ends before it begins is none.
pub(super) fn without(span: Span, hole: Span) -> impl Iterator<Item = Span> {
    let (before, after) = if hole.0 > hole.1 || hole.1 < span.0 || hole.0 > span.1 {
        (Some(span), None)
    } else {
        let before = (hole.0 > span.0).then(|| (span.0, hole.0 - 1));
        let after = (hole.1 < span.1).then(|| (hole.1 + 1, span.1));
        (before, after)
    };
    before.into_iter().chain(after)
}

/// Whether the holes together cover the whole of `span`.
pub(super) fn covered(span: Span, holes: &[Span]) -> bool {
    let mut left = vec![span];
    for hole in holes {
        left = left.into_iter().flat_map(|span| without(span, *hole)).collect();
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(span: Span, hole: Span) -> Vec<Span> {
        without(span, hole).collect()
    }

    #[test]
    fn every_way_two_runs_can_lie() {
        assert_eq!(left((5, 9), (1, 3)), [(5, 9)]);
        assert_eq!(left((5, 9), (1, 4)), [(5, 9)]);
        assert_eq!(left((5, 9), (1, 5)), [(6, 9)]);
        assert_eq!(left((5, 9), (6, 8)), [(5, 5), (9, 9)]);
        assert_eq!(left((5, 9), (5, 9)), []);
        assert_eq!(left((5, 9), (1, 20)), []);
        assert_eq!(left((5, 9), (9, 20)), [(5, 8)]);
        assert_eq!(left((5, 9), (10, 20)), [(5, 9)]);
        assert_eq!(left((5, 9), (8, 6)), [(5, 9)]);
        assert_eq!(left((1, u64::MAX), (0, u64::MAX)), []);
    }

    #[test]
    fn several_losses_may_explain_one_gap() {
        assert!(covered((5, 9), &[(8, 12), (1, 7)]));
        assert!(!covered((5, 9), &[(8, 12), (1, 6)]));
        assert!(!covered((5, 9), &[]));
    }
}
