//! The messages of the bridge's line that are pinned, each in its frame.

use crate::{Case, link};
use telltale_wire::bridge::*;

pub(crate) fn messages() -> Vec<Case> {
    // A message that is missing below does not compile.
    let _listed = |message: LinkMessage| match message {
        LinkMessage::Hello(_)
        | LinkMessage::Frame(_)
        | LinkMessage::Loss(_)
        | LinkMessage::Frames(_)
        | LinkMessage::Beat(_) => (),
    };
    let _listed = |message: AgentMessage| match message {
        AgentMessage::Open(_) | AgentMessage::Grant(_) | AgentMessage::Filters(_) => (),
    };
    let frame = |id, kind, data: &[u8]| {
        let data = heapless::Vec::from_slice(data).unwrap();
        LinkMessage::Frame(BridgeFrame { seq: 0x0201, at_us: 0x0403_0201, id, kind, data })
    };
    let fd: [u8; 64] = core::array::from_fn(|i| i as u8);
    let mut batch = FrameBatch::new(0x0201, 0xFFFF_FFF0);
    let heard = |channel, id, kind, data| HeardFrame { at_us: 0, channel, id, kind, data };
    let (standard, extended) = (BridgeId::Standard(0x7FF), BridgeId::Extended(0x1FFF_FFFF));
    for (frame, since_us) in [
        (heard(0, standard, BridgeKind::Classic, &[1, 0, 2][..]), 0),
        (heard(1, extended, BridgeKind::Fd, &fd[..12]), 300),
        (heard(2, extended, BridgeKind::Remote, &[]), 70_000),
        (heard(SENSOR_CHANNEL, standard, BridgeKind::Error, &[255; 8]), 1),
    ] {
        assert!(batch.push(&frame, since_us));
    }
    let beat = Beat {
        session: 7,
        boot: 0x0403_0201,
        restarts: 1,
        clock_us: 1 << 40,
        next: 70_000,
        sent: 69_999,
        dropped: 300,
        filtered: 128,
        overruns: 2,
        refused: 3,
        filters: 0xDEAD_BEEF,
        stack_unused: 4_000,
    };
    let filter = Filter { channel: 31, extended: true, id: 0x1FFF_FFFF, mask: 0x1FFF_FF00 };
    let part = FilterPart { digest: 9, first: 16, total: 18, filters: [filter; 2].into_iter().collect() };
    vec![
        link("hello", LinkMessage::Hello(Hello { version: 1, boot: 7, next_seq: 0xFFFE, at_us: 256 })),
        link("frame-standard", frame(BridgeId::Standard(0x7FF), BridgeKind::Classic, &[0, 1, 0, 255])),
        link("frame-extended-fd", frame(BridgeId::Extended(0x1FFF_FFFF), BridgeKind::Fd, &fd)),
        link("frame-remote", frame(BridgeId::Standard(0), BridgeKind::Remote, &[])),
        link("loss", LinkMessage::Loss(LossReport { first_seq: 65_535, at_us: 9, count: 300 })),
        link("frames", LinkMessage::Frames(batch)),
        link("beat", LinkMessage::Beat(beat)),
        link("open", AgentMessage::Open(Open { version: 2, session: 0x0102_0304, window: 2_048 })),
        link("grant", AgentMessage::Grant(Grant { session: 0x0102_0304, taken: 1 << 33 })),
        link("filters", AgentMessage::Filters(part)),
    ]
}
