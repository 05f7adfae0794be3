//! From a log's lines to verdicts, with the model that ships: the capture thread allocates nothing once it is under way.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail and say what it measured")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use telltale_agent::load;
use telltale_agent::source::{LogSource, Pace, Source as _, SourceEvent};
use telltale_core::frame::CanFrame;
use telltale_core::pipeline::{Pipeline, PipelineConfig};

#[test]
fn from_a_logs_lines_to_verdicts_nothing_allocates() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("drive.log");
    let mut made = Command::new(env!("CARGO_BIN_EXE_telltale"));
    assert!(made.args(["simulate", "--hours", "3", "-o"]).arg(&log).status().unwrap().success());
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/cell-fault");
    let catalog = load::catalog(&models.join("catalog-sim.toml")).unwrap();
    let day = Duration::from_secs(86_400);
    let config = PipelineConfig { summary_period: day, bus_period: day, ..PipelineConfig::default() };
    let mut pipeline = Pipeline::new(&catalog, load::models(&[models], &catalog).unwrap(), config).unwrap();
    let mut source =
        LogSource::open(&[&log], None, Pace::AsFastAsPossible, |name| catalog.bus_of_channel(name)).unwrap();
    let mut frames: Vec<CanFrame> = Vec::with_capacity(256);
    // Two hours until all is warm: a model that says nothing for 35 minutes changes its verdicts first.
    let mut start = None;
    // Gives what was allocated in the steps that made no record.
    let mut run = |until_hours: u64| {
        // The log's clock begins where the log does.
        let until = Duration::from_secs(until_hours * 3600);
        let (mut allocated, mut records) = (0, 0);
        let mut is_over = false;
        while !is_over && start.is_none_or(|start| source.now().since(start) < until) {
            let mut event = None;
            let spent = allocation_counter::measure(|| {
                let next = source.next(&mut frames, Duration::ZERO).unwrap();
                frames.iter().for_each(|frame| pipeline.handle_frame(frame));
                event = Some(next);
            });
            match event {
                Some(SourceEvent::Frames(_)) => _ = start.get_or_insert(frames[0].at),
                Some(SourceEvent::Idle) => {}
                Some(SourceEvent::End) | None => is_over = true,
            }
            frames.clear();
            match std::iter::from_fn(|| pipeline.poll_record()).count() {
                0 => allocated += spent.count_total,
                made => records += made,
            }
        }
        (*pipeline.totals(), allocated, records)
    };
    let (before, ..) = run(2);
    let (after, allocated, records) = run(3);
    let (windows, counted) = (after.windows - before.windows, after.frames - before.frames);
    println!("{counted} frames, {windows} windows, {records} records: {allocated} allocations beside them");
    assert!(windows >= 10 && counted > 100_000, "{windows} windows of {counted} frames");
    assert!(records <= 4, "a calm drive has little to tell");
    assert_eq!(allocated, 0, "in {windows} windows");
}
