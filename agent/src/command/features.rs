//! `telltale features`: what the vehicle computes, as a table for training.

use crate::load;
use crate::source::{LogSource, Pace, Source as _, SourceEvent};
use anyhow::Context as _;
use std::path::PathBuf;
use std::time::Duration;
use telltale_core::dbc::Decoder;
use telltale_core::feature::{Extractor, FeatureSpec, FeatureTable as Computed};
use telltale_core::frame::CanFrame;
use telltale_workbench::feature_table::{FeatureTable, Provenance};

const HELP: &str = "\
One row a window and subject: `window`, `end_us` (the log's clock; microseconds since 1970 where the log has wall
time), `subject` (its number, from 1), then a column a feature as the model takes it: offset, scaled, clipped. A
subject without enough values has nulls. A specification of charges gives a row a charge and subject, and a last column
`resistance_ohm`. The digests of specification and catalog stand in the file's metadata.

Example:
  telltale features --catalog catalog-car2.toml --spec features.toml car2.log -o car2.parquet";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The signal catalog
    #[arg(long)]
    catalog: PathBuf,
    /// The feature specification
    #[arg(long)]
    spec: PathBuf,
    /// The logs, one after another; `-` is standard input
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// The Parquet file to write
    #[arg(short, long)]
    output: PathBuf,
}

/// Room for the frames of one read.
const BATCH: usize = 256;

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let catalog = load::catalog(&args.catalog)?;
    let spec = FeatureSpec::parse(&load::read_text(&args.spec)?, &args.spec.display().to_string())?;
    let mut extractor = Extractor::new(&spec, &catalog)?;
    let mut names: Vec<String> = spec.features.iter().map(|f| f.name.clone()).collect();
    if spec.charge.is_some() {
        names.push("resistance_ohm".into());
    }
    let made_by = Provenance { spec: spec.digest, catalog: catalog.digest() };
    let mut table = FeatureTable::create(&args.output, &names, &made_by)?;
    let decoder: Decoder = catalog.decoder();
    let bus_of = |channel: &str| catalog.bus_of_channel(channel);
    let mut source = LogSource::open(&args.logs, None, Pace::AsFastAsPossible, bus_of)?;

    let columns = names.len();
    let mut rows = Rows { table: &mut table, columns, window: 0, failed: Ok(()) };
    let mut frames: Vec<CanFrame> = Vec::with_capacity(BATCH);
    loop {
        match source.next(&mut frames, Duration::ZERO)? {
            SourceEvent::End => break,
            SourceEvent::Idle | SourceEvent::Frames(_) => {}
        }
        let anchor = source.anchor();
        for frame in &frames {
            extractor.advance(frame.at, |window, computed| {
                let end = window.end();
                rows.push(
                    anchor.map_or(end.as_micros() as i64, |a| a.wall_at(end).as_unix_micros()),
                    computed,
                );
            });
            extractor.take(frame.at, |samples| decoder.dispatch(frame, samples));
        }
    }
    let windows = rows.window;
    rows.failed?;
    table.finish().with_context(|| format!("can't complete {}", args.output.display()))?;
    let report = source.report();
    report.notes.iter().for_each(|note| log::warn!("{note}"));
    log::info!(
        "{windows} windows of {} subjects from {} frames, in {}",
        extractor.subjects().len(),
        report.frames,
        args.output.display()
    );
    Ok(())
}

/// The table's rows; the first error ends the writing.
struct Rows<'a, W: std::io::Write + Send> {
    table: &'a mut FeatureTable<W>,
    columns: usize,
    window: u64,
    failed: anyhow::Result<()>,
}

impl<W: std::io::Write + Send> Rows<'_, W> {
    fn push(&mut self, end_us: i64, computed: &Computed) {
        let mut row: Vec<Option<f32>> = vec![None; self.columns];
        for subject in 0..computed.subjects() {
            row[computed.channels()..].fill(computed.resistance(subject));
            for (channel, value) in row.iter_mut().enumerate().take(computed.channels()) {
                *value = computed.state(subject).is_ok().then(|| computed.normalised_at(channel, subject));
            }
            if self.failed.is_ok() {
                let pushed = self.table.push(end_us, self.window, subject as u16 + 1, &row);
                self.failed = pushed.map_err(anyhow::Error::from);
            }
        }
        self.window += 1;
    }
}
