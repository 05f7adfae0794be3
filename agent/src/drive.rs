//! The capture loop: one source, one pipeline, records out. The same code for a live bus and for a log.

use crate::mailbox::Mailbox;
use crate::source::{Source, SourceError, SourceEvent};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use telltale_core::frame::CanFrame;
use telltale_core::pipeline::Pipeline;
use telltale_wire::record::{LossRecord, LossStage, Record};
use telltale_wire::time::MonoTime;

/// Frames taken from a source at once.
const BATCH: usize = 256;

/// The longest wait for frames, so that a request to stop is soon seen.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Frames lost in the receive buffer are told once in this time, in one record, as long as the loss goes on.
const LOSS_RECORD_PERIOD: Duration = Duration::from_secs(1);

/// What the source lost and has not been told yet.
#[derive(Default)]
struct Losing {
    told: u64,
    last: MonoTime,
}

/// Drives the pipeline until the source ends or `stop` is set. Every record goes to `sink`; letters are answered
/// between two batches of frames.
///
/// # Errors
/// If the source fails; what was judged until then has gone to `sink`.
pub fn drive(
    source: &mut dyn Source,
    pipeline: &mut Pipeline,
    stop: &AtomicBool,
    mailbox: &Mailbox,
    mut sink: impl FnMut(&Pipeline, Record),
) -> Result<(), SourceError> {
    let mut frames: Vec<CanFrame> = Vec::with_capacity(BATCH);
    let mut losing = Losing::default();
    let ended = loop {
        if stop.load(Ordering::Relaxed) {
            break Ok(());
        }
        mailbox.serve(source, pipeline);
        let wait = match pipeline.poll_timeout() {
            Some(due) => due.since(source.now()).min(MAX_WAIT),
            None => MAX_WAIT,
        };
        match source.next(&mut frames, wait) {
            Ok(SourceEvent::Frames(_)) => {
                pipeline.set_anchor(source.anchor());
                frames.iter().for_each(|frame| pipeline.handle_frame(frame));
            }
            Ok(SourceEvent::Idle) => pipeline.handle_timeout(source.now()),
            Ok(SourceEvent::End) => break Ok(()),
            Err(error) => break Err(error),
        }
        if let Some(loss) = losing.account(source.lost(), source.now(), pipeline) {
            sink(pipeline, loss);
        }
        while let Some(record) = pipeline.poll_record() {
            sink(pipeline, record);
        }
    };
    if let Some(loss) = losing.tell(source.lost(), source.now(), pipeline) {
        sink(pipeline, loss);
    }
    pipeline.finish();
    while let Some(record) = pipeline.poll_record() {
        sink(pipeline, record);
    }
    ended
}

impl Losing {
    /// The record that is due: at once when losing begins, then once a period.
    fn account(&mut self, lost: u64, now: MonoTime, pipeline: &mut Pipeline) -> Option<Record> {
        let quiet = self.told > 0 && now.since(self.last) < LOSS_RECORD_PERIOD;
        if quiet { None } else { self.tell(lost, now, pipeline) }
    }

    /// What was lost since it was last told.
    fn tell(&mut self, lost: u64, now: MonoTime, pipeline: &mut Pipeline) -> Option<Record> {
        let count = lost.saturating_sub(self.told);
        if count == 0 {
            return None;
        }
        self.told = lost;
        self.last = now;
        pipeline.count_lost(count);
        log::warn!("{count} frames lost before the agent could read them: the receive buffer was full");
        Some(Record::Loss(LossRecord {
            at: pipeline.stamp(now),
            stage: LossStage::Receive,
            count,
            range: None,
            why: "the kernel's receive buffer was full".into(),
        }))
    }
}
