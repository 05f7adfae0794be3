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

/// What the source lost at one stage and has not been told yet.
struct Losing {
    stage: LossStage,
    why: &'static str,
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
    let mut losing = [
        Losing::new(LossStage::Receive, "the kernel's receive buffer was full"),
        Losing::new(LossStage::Bridge, "lost in the bridge or on the line from it"),
    ];
    let mut judged = Judged(pipeline.totals().windows);
    let ended = loop {
        if stop.load(Ordering::Relaxed) {
            break Ok(());
        }
        mailbox.serve(source, pipeline, &mut sink);
        let wait = match pipeline.poll_timeout() {
            Some(due) => due.since(source.now()).min(MAX_WAIT),
            None => MAX_WAIT,
        };
        match source.next(&mut frames, wait) {
            Ok(SourceEvent::Frames(_)) => {
                pipeline.set_anchor(source.anchor());
                for frame in &frames {
                    pipeline.handle_frame(frame);
                    if judged.again(pipeline) {
                        pipeline.note_latency(source.now().since(frame.at));
                    }
                }
            }
            // A window that a timer closes has no frame to count from.
            Ok(SourceEvent::Idle) => {
                pipeline.handle_timeout(source.now());
                judged = Judged(pipeline.totals().windows);
            }
            Ok(SourceEvent::End) => break Ok(()),
            Err(error) => break Err(error),
        }
        while let Some(news) = source.poll_link() {
            pipeline.set_anchor(source.anchor());
            pipeline.handle_link(&news);
        }
        for (losing, lost) in losing.iter_mut().zip(lost(source)) {
            if let Some(loss) = losing.account(lost, source.now(), pipeline) {
                sink(pipeline, loss);
            }
        }
        while let Some(record) = pipeline.poll_record() {
            sink(pipeline, record);
        }
    };
    for (losing, lost) in losing.iter_mut().zip(lost(source)) {
        if let Some(loss) = losing.tell(lost, source.now(), pipeline) {
            sink(pipeline, loss);
        }
    }
    pipeline.finish();
    pipeline.end_trip();
    while let Some(record) = pipeline.poll_record() {
        sink(pipeline, record);
    }
    ended
}

/// How many windows were judged when it was last asked.
struct Judged(u64);

impl Judged {
    /// Whether one was judged since then. A pipeline that takes another's place goes on from its counts.
    fn again(&mut self, pipeline: &Pipeline) -> bool {
        let windows = pipeline.totals().windows;
        std::mem::replace(&mut self.0, windows) != windows
    }
}

/// What was lost so far, by stage.
fn lost(source: &dyn Source) -> [u64; 2] {
    let in_bridge = source.lost_in_bridge();
    [source.lost().saturating_sub(in_bridge), in_bridge]
}

impl Losing {
    const fn new(stage: LossStage, why: &'static str) -> Losing {
        Losing { stage, why, told: 0, last: MonoTime(0) }
    }

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
        log::warn!("{count} frames lost before the agent could read them: {}", self.why);
        Some(Record::Loss(LossRecord {
            at: pipeline.stamp(now),
            stage: self.stage,
            count,
            range: None,
            why: self.why.into(),
        }))
    }
}
