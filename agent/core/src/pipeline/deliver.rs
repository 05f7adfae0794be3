//! From a frame of the catalog to the windows of whatever model wants its signals.

use super::Watcher;
use super::latest::Fan;
use super::trust::Trusted;
use crate::dbc::{Decoder, Disposition, MessageRef};
use crate::frame::CanFrame;
use crate::statistics::{Tally, Tap};

/// Hands a frame's samples to the windows. They are values if the frame is `WHOLE`, else all absent.
#[inline(always)]
pub(super) fn deliver<const WHOLE: bool>(
    decoder: &Decoder,
    watchers: &mut [Watcher],
    tallies: &mut [Tally],
    message: MessageRef<'_>,
    frame: &CanFrame,
) -> Disposition {
    let at = frame.at;
    match watchers {
        // The usual vehicle has one model: its windows are the decoder's sink.
        [only] => only.extractor.take(at, |next| {
            let sink = Tap { tallies, at, next };
            decoder.deliver(message, frame, &mut Trusted::<_, WHOLE>(sink))
        }),
        watchers => {
            let next = &mut Fan { at, watchers };
            let sink = Tap { tallies, at, next };
            decoder.deliver(message, frame, &mut Trusted::<_, WHOLE>(sink))
        }
    }
}

#[inline(never)]
pub(super) fn deliver_torn(
    decoder: &Decoder,
    watchers: &mut [Watcher],
    tallies: &mut [Tally],
    message: MessageRef<'_>,
    frame: &CanFrame,
) -> Disposition {
    deliver::<false>(decoder, watchers, tallies, message, frame)
}
