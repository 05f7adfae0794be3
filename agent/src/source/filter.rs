//! Kernel filters: frames that the catalog does not know never wake the agent.

use socketcan::CanFilter;
use telltale_core::frame::CanId;

/// `CAN_RAW_FILTER_MAX` of `linux/can.h`, less the filter for remote frames.
const MAX_IDS: usize = 511;

/// The filters that let these identifiers pass, and every remote frame; `None` if there are more than the kernel
/// takes, so that all frames have to pass.
pub(super) fn kernel_filters(ids: &[CanId]) -> Option<Vec<CanFilter>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_IDS {
        return None;
    }
    // With the remote bit in the mask the kernel finds a standard identifier by index and an extended one by hash,
    // instead of walking through a list for every frame (af_can.c, can_rcv_list_find).
    const FORMAT: u32 = libc::CAN_EFF_FLAG | libc::CAN_RTR_FLAG;
    let exact = ids.into_iter().map(|id| match id {
        CanId::Standard(id) => CanFilter::new(u32::from(id), libc::CAN_SFF_MASK | FORMAT),
        CanId::Extended(id) => CanFilter::new(id | libc::CAN_EFF_FLAG, libc::CAN_EFF_MASK | FORMAT),
    });
    let remote = CanFilter::new(libc::CAN_RTR_FLAG, libc::CAN_RTR_FLAG);
    Some(exact.chain([remote]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does (raw.c): a frame passes if any filter matches.
    fn passes(filters: &[CanFilter], can_id: u32) -> bool {
        filters
            .iter()
            .map(AsRef::as_ref)
            .any(|f: &libc::can_filter| can_id & f.can_mask == f.can_id & f.can_mask)
    }

    #[test]
    fn only_the_named_identifiers_pass_in_their_own_format() {
        let filters = kernel_filters(&[CanId::Standard(0x123), CanId::Extended(0x456)]).unwrap();
        assert!(passes(&filters, 0x123));
        assert!(passes(&filters, 0x456 | libc::CAN_EFF_FLAG));
        assert!(passes(&filters, 0x7FF | libc::CAN_RTR_FLAG));
        assert!(!passes(&filters, 0x123 | libc::CAN_EFF_FLAG));
        assert!(!passes(&filters, 0x456));
        assert!(!passes(&kernel_filters(&[]).unwrap(), 0x456));
    }

    #[test]
    fn more_than_the_kernel_takes_is_no_filter() {
        let ids = |n: u16| (0..n).chain(0..n).map(CanId::Standard).collect::<Vec<_>>();
        assert_eq!(kernel_filters(&ids(511)).unwrap().len(), 512);
        assert!(kernel_filters(&ids(512)).is_none());
    }
}
