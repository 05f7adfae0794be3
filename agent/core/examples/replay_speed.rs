//! How many times real time a log is replayed on one core: from its lines to records, through the whole loop of the
//! agent, without a model. The log is read into memory first and then goes round and round, its time going on.
//!
//! ```text
//! cargo run --release -p telltale-core --example replay_speed -- CATALOG LOG ROUNDS [loop|decode|lines]
//! ```
//!
//! The last word says how far a frame goes: `lines` are parsed, `decode` takes their signals too, and `loop`, the
//! default, has statistics, bus accounts, the snapshots' ring and the limits besides. What one costs beyond another is
//! the difference; `valgrind --tool=callgrind` on two numbers of rounds gives it in instructions a frame, to the unit.

#![allow(clippy::print_stdout)] // It is a program that reports.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use telltale_core::catalog::Catalog;
use telltale_core::dbc::Disposition;
use telltale_core::frame::CanFrame;
use telltale_core::pipeline::{Pipeline, PipelineConfig};
use telltale_core::signal::{NoData, SampleSink, SignalId};
use telltale_core::trace::{Format, LineParser, line_end};
use telltale_wire::time::MonoTime;

const USAGE: &str = "usage: replay_speed CATALOG LOG ROUNDS [loop|decode|lines]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [catalog, log, rounds, rest @ ..] = arguments else { return Err(USAGE.into()) };
    let rounds: u64 = rounds.parse().map_err(|_| USAGE.to_owned())?;
    let folder = Path::new(catalog).parent().unwrap_or(Path::new("."));
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let text = String::from_utf8(read(Path::new(catalog))?).map_err(|error| error.to_string())?;
    let catalog = Catalog::parse(&text, catalog, &mut |name| read(&folder.join(name)))
        .map_err(|error| error.to_string())?;
    let log = Log { text: read(Path::new(log))?, rounds };
    let began = Instant::now();
    let (frames, log_us, said) = match rest.first().map_or("loop", String::as_str) {
        "lines" => log.lines(&catalog)?,
        "decode" => log.decode(&catalog)?,
        "loop" => log.capture(&catalog)?,
        _ => return Err(USAGE.into()),
    };
    let took = began.elapsed().as_secs_f64();
    println!(
        "{frames} frames, {said}; {:.0} s of the log in {took:.2} s: {:.0} times real time, {:.2} million frames/s",
        log_us as f64 / 1e6,
        log_us as f64 / 1e6 / took,
        frames as f64 / 1e6 / took
    );
    Ok(())
}

struct Log {
    text: Vec<u8>,
    rounds: u64,
}

/// Frames, microseconds of the log, and what came of them.
type Outcome = Result<(u64, u64, String), String>;

impl Log {
    fn lines(&self, catalog: &Catalog) -> Outcome {
        let mut bytes = 0;
        let (frames, us) = self.replay(catalog, |frame| bytes += frame.payload().len())?;
        Ok((frames, us, format!("{bytes} bytes of payload")))
    }

    fn decode(&self, catalog: &Catalog) -> Outcome {
        let decoder = catalog.decoder();
        let (mut sum, mut samples) = (Sum::default(), 0);
        let (frames, us) = self.replay(catalog, |frame| {
            if let Disposition::Decoded(count) = decoder.dispatch(frame, &mut sum) {
                samples += u64::from(count);
            }
        })?;
        Ok((frames, us, format!("{samples} samples, {} absent, sum {}", sum.absent, sum.sum)))
    }

    fn capture(&self, catalog: &Catalog) -> Outcome {
        let mut pipeline = Pipeline::new(catalog, Vec::new(), PipelineConfig::default())
            .map_err(|error| error.to_string())?;
        let mut records = 0_u64;
        let (frames, us) = self.replay(catalog, |frame| {
            pipeline.handle_frame(frame);
            while pipeline.poll_record().is_some() {
                records += 1;
            }
        })?;
        let samples = pipeline.totals().samples;
        Ok((frames, us, format!("{samples} samples, {records} records")))
    }

    /// Each line to a frame, each frame at its time after the rounds before.
    fn replay(&self, catalog: &Catalog, mut take: impl FnMut(&CanFrame)) -> Result<(u64, u64), String> {
        let format = Format::sniff(&self.text).ok_or("the log is in no known format")?;
        let (mut frames, mut before, mut bus) = (0, 0, None::<(String, _)>);
        for _ in 0..self.rounds {
            let mut parser = LineParser::new(format);
            let (mut first, mut last) = (None, 0);
            let mut text = self.text.as_slice();
            while let Some(end) = line_end(text) {
                let (line, rest) = text.split_at(end + 1);
                text = rest;
                let Ok(Some(frame)) = parser.parse(line) else { continue };
                let at =
                    u64::try_from(frame.at_us - *first.get_or_insert(frame.at_us)).unwrap_or(last).max(last);
                last = at;
                let of = match &bus {
                    Some((channel, of)) if channel == frame.channel => *of,
                    _ => {
                        let of = catalog.bus_of_channel(frame.channel);
                        bus = Some((frame.channel.to_owned(), of));
                        of
                    }
                };
                take(&frame.into_frame(MonoTime(before + at), of));
                frames += 1;
            }
            before += last;
        }
        Ok((frames, before))
    }
}

#[derive(Default)]
struct Sum {
    sum: f64,
    absent: u64,
}

impl SampleSink for Sum {
    #[inline]
    fn value(&mut self, _signal: SignalId, value: f64) {
        self.sum += value;
    }

    #[inline]
    fn absent(&mut self, _signal: SignalId, _why: NoData) {
        self.absent += 1;
    }
}
