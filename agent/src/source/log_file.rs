//! Recorded logs, one after another, as fast as they can be read or at a multiple of real time.
//!
//! Frames carry the log's times either way, so that what is judged does not depend on the pace.

use super::lines::{Line, Lines};
use super::timeline::{Placed, Timeline};
use super::{BadLine, MAX_BATCH, MIN_BATCH, Source, SourceError, SourceEvent, SourceReport};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};
use telltale_core::clock::ClockAnchor;
use telltale_core::frame::{BusId, CanFrame};
use telltale_core::trace::{Format, LineParser, TraceError};
use telltale_wire::time::MonoTime;

/// Bad lines that are kept for the report; all are counted.
const KEPT_BAD_LINES: usize = 8;

/// Channels whose bus is remembered. A log with more, which no vehicle writes, is asked for every frame.
const CACHED_CHANNELS: usize = 64;

/// Notes that are kept: a few for each of a few dozen logs.
const KEPT_NOTES: usize = 64;

/// How fast a log is replayed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// Without any wait.
    AsFastAsPossible,
    /// As it was recorded, times this factor, which is finite and above zero.
    RealTime {
        /// 2 is twice as fast as recorded.
        factor: f64,
    },
}

/// Neither `max` nor a factor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a pace: `max`, or a factor of real time above 0 such as 1 or 60")]
pub struct NotAPace;

impl FromStr for Pace {
    type Err = NotAPace;

    fn from_str(text: &str) -> Result<Pace, NotAPace> {
        if text == "max" {
            return Ok(Pace::AsFastAsPossible);
        }
        let factor = text.strip_suffix('x').unwrap_or(text).parse().map_err(|_| NotAPace)?;
        if f64::is_finite(factor) && factor > 0.0 { Ok(Pace::RealTime { factor }) } else { Err(NotAPace) }
    }
}

/// Logs as a source.
pub struct LogSource<F> {
    waiting: VecDeque<PathBuf>,
    current: Option<OpenLog>,
    format: Option<Format>,
    clock: ReplayClock,
    channels: Channels<F>,
    timeline: Timeline,
    /// Read, but not yet due.
    pending: Option<CanFrame>,
    /// The time of the latest frame that was given.
    given: MonoTime,
    /// What ended the reading while frames were still to be given.
    failed: Option<SourceError>,
    /// The parser of the log before this one: the latest frame may be from there.
    parser: Option<LineParser>,
    report: SourceReport,
}

struct OpenLog {
    name: String,
    lines: Lines<Box<dyn Read + Send>>,
    parser: LineParser,
    line: u64,
    has_frames: bool,
}

impl<F: Fn(&str) -> BusId> LogSource<F> {
    /// Opens the first log; the others are opened when their turn comes. `-` is standard input, whose reads cannot
    /// be waited for with a limit. Without a format, each log's own is found from its first lines. `bus_of` says
    /// which bus a channel of the logs is.
    ///
    /// # Errors
    /// If the first log cannot be opened or is in no known format.
    pub fn open<P: AsRef<Path>>(
        logs: &[P],
        format: Option<Format>,
        pace: Pace,
        bus_of: F,
    ) -> Result<LogSource<F>, SourceError> {
        let mut source = LogSource {
            waiting: logs.iter().map(|p| p.as_ref().to_owned()).collect(),
            current: None,
            format,
            clock: ReplayClock { pace, start: None },
            channels: Channels { bus_of, known: Vec::new() },
            timeline: Timeline::default(),
            pending: None,
            given: MonoTime(0),
            failed: None,
            parser: None,
            report: SourceReport::default(),
        };
        source.open_next()?;
        Ok(source)
    }

    /// From the first frame to the latest, in microseconds of the frames' clock.
    #[must_use]
    pub fn span_micros(&self) -> u64 {
        self.timeline.first().map_or(0, |first| self.timeline.latest().as_micros() - first.as_micros())
    }

    /// Opens the next log that holds anything; `false` if there is none.
    fn open_next(&mut self) -> Result<bool, SourceError> {
        self.close();
        while let Some(path) = self.waiting.pop_front() {
            let name = path.display().to_string();
            let reader: Box<dyn Read + Send> = if path.as_os_str() == "-" {
                Box::new(io::stdin())
            } else {
                let file = File::open(&path);
                Box::new(file.map_err(|source| SourceError::Open { file: name.clone(), source })?)
            };
            let mut lines = Lines::new(reader);
            let Some(format) = sniff(&mut lines, self.format, &name)? else {
                push_note(&mut self.report, format!("{name}: the log is empty"));
                continue;
            };
            let parser = LineParser::new(format);
            self.current = Some(OpenLog { name, lines, parser, line: 0, has_frames: false });
            return Ok(true);
        }
        Ok(false)
    }

    fn close(&mut self) {
        if let Some(log) = self.current.take() {
            for note in log.parser.notes() {
                push_note(&mut self.report, format!("{}: {note}", log.name));
            }
            self.parser = Some(log.parser);
        }
    }

    /// The next frame of any log; `None` at the end, when no log is open any more, or if a read was interrupted.
    fn read_frame(&mut self) -> Result<Option<CanFrame>, SourceError> {
        loop {
            let Some(log) = &mut self.current else { return Ok(None) };
            let line = match log.lines.next() {
                Ok(line) => line,
                Err(source) => {
                    return Err(SourceError::Read { file: log.name.clone(), line: log.line, source });
                }
            };
            let parsed = match line {
                Line::Text(text) => log.parser.parse(text),
                Line::TooLong => Err(TraceError::TooLong),
                Line::Interrupted => return Ok(None),
                Line::End => {
                    self.open_next()?;
                    continue;
                }
            };
            log.line += 1;
            match parsed {
                Ok(Some(frame)) => {
                    let (at, placed) = self.timeline.place(frame.at_us);
                    let bus = self.channels.bus(frame.channel, &mut self.report);
                    let is_first = !std::mem::replace(&mut log.has_frames, true);
                    account(&mut self.report, placed, is_first, (&log.name, log.line));
                    return Ok(Some(frame.into_frame(at, bus)));
                }
                Ok(None) => {}
                Err(reason) => bad_line(&mut self.report, &log.name, log.line, reason),
            }
        }
    }

    /// Moves frames that are due to the caller, until there is no room or one is not yet due.
    fn fill(&mut self, frames: &mut Vec<CanFrame>, room: usize) -> Result<Option<Duration>, SourceError> {
        while frames.len() < room {
            let next = match self.pending.take() {
                Some(frame) => Some(frame),
                None => self.read_frame()?,
            };
            let Some(frame) = next else { break };
            if let Some(early) = self.clock.until(frame.at) {
                self.pending = Some(frame);
                return Ok(Some(early));
            }
            frames.push(frame);
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.current.is_none() && self.pending.is_none()
    }
}

impl<F: Fn(&str) -> BusId> Source for LogSource<F> {
    fn next(&mut self, frames: &mut Vec<CanFrame>, wait: Duration) -> Result<SourceEvent, SourceError> {
        frames.clear();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let room = frames.capacity().clamp(MIN_BATCH, MAX_BATCH);
        frames.reserve(room);
        let filled = match self.fill(frames, room) {
            Ok(Some(early)) if frames.is_empty() => {
                thread::sleep(early.min(wait));
                if early > wait { Ok(None) } else { self.fill(frames, room) }
            }
            filled => filled,
        };
        match (filled, frames.last()) {
            (Err(error), None) => Err(error),
            (filled, Some(last)) => {
                // What was read before the failure comes first.
                self.failed = filled.err();
                self.given = last.at;
                self.report.frames += frames.len() as u64;
                Ok(SourceEvent::Frames(frames.len()))
            }
            (Ok(_), None) if self.is_over() => Ok(SourceEvent::End),
            (Ok(_), None) => Ok(SourceEvent::Idle),
        }
    }

    /// At a pace, time runs on between frames, but not past a frame that has yet to come.
    fn now(&self) -> MonoTime {
        match (self.clock.now(), &self.pending) {
            _ if self.is_over() => self.given,
            (Some(now), Some(pending)) => now.clamp(self.given, pending.at),
            (Some(now), None) => now.max(self.given),
            (None, _) => self.given,
        }
    }

    fn anchor(&self) -> Option<ClockAnchor> {
        let (logged, mono) = self.timeline.latest_pair()?;
        let current = self.current.as_ref().filter(|log| log.has_frames).map(|log| &log.parser);
        let wall = current.or(self.parser.as_ref())?.wall_at(logged)?;
        Some(ClockAnchor { mono, wall })
    }

    /// A log loses nothing by being read.
    fn lost(&self) -> u64 {
        0
    }

    fn report(&self) -> SourceReport {
        let mut report = self.report.clone();
        if let Some(log) = &self.current {
            log.parser.notes().for_each(|note| push_note(&mut report, format!("{}: {note}", log.name)));
        }
        report
    }
}

/// The format of the log that starts here; `None` if it is empty.
fn sniff<R: Read>(
    lines: &mut Lines<R>,
    given: Option<Format>,
    name: &str,
) -> Result<Option<Format>, SourceError> {
    if given.is_some() {
        return Ok(given);
    }
    let mut sniffed = 0;
    loop {
        let ahead = lines.ahead();
        let whole = ahead.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        if whole > sniffed
            && let Some(format) = Format::sniff(&ahead[..whole])
        {
            return Ok(Some(format));
        }
        sniffed = whole;
        let read = lines.read_ahead();
        if !read.map_err(|source| SourceError::Read { file: name.to_owned(), line: 0, source })? {
            break;
        }
    }
    match Format::sniff(lines.ahead()) {
        None if lines.ahead().trim_ascii().is_empty() => Ok(None),
        None => Err(SourceError::UnknownFormat { file: name.to_owned() }),
        found => Ok(found),
    }
}

fn push_note(report: &mut SourceReport, note: String) {
    if report.notes.len() < KEPT_NOTES && !report.notes.contains(&note) {
        report.notes.push(note);
    }
}

fn bad_line(report: &mut SourceReport, file: &str, line: u64, reason: TraceError) {
    report.bad_lines += 1;
    if report.first_bad_lines.len() < KEPT_BAD_LINES {
        report.first_bad_lines.push(BadLine { file: file.to_owned(), line, reason });
    }
}

/// Tells what became of a time. The first frame of a further log may well lie before the end of the one before.
fn account(report: &mut SourceReport, placed: Placed, is_first: bool, (file, line): (&str, u64)) {
    match placed {
        Placed::AsLogged => {}
        Placed::MovedUp | Placed::StartedAnew if is_first => {
            push_note(
                report,
                format!("{file}: starts before the end of the log before it, and is joined to it"),
            );
        }
        Placed::MovedUp => report.clock_steps += 1,
        Placed::StartedAnew => {
            report.clock_steps += 1;
            push_note(report, format!("{file}:{line}: the log's clock jumped back; time goes on from there"));
        }
    }
}

/// Which bus a channel is, asked once a channel.
struct Channels<F> {
    bus_of: F,
    known: Vec<(Box<str>, BusId)>,
}

impl<F: Fn(&str) -> BusId> Channels<F> {
    fn bus(&mut self, channel: &str, report: &mut SourceReport) -> BusId {
        if let Some((_, bus)) = self.known.iter().find(|(name, _)| **name == *channel) {
            return *bus;
        }
        let bus = (self.bus_of)(channel);
        if self.known.len() < CACHED_CHANNELS {
            self.known.push((channel.into(), bus));
            if bus == BusId::UNMAPPED {
                push_note(report, format!("channel {channel} is no bus of the catalog"));
            }
        }
        bus
    }
}

/// When a frame of a log is due.
struct ReplayClock {
    pace: Pace,
    /// When the first frame was given, and its own time.
    start: Option<(Instant, MonoTime)>,
}

impl ReplayClock {
    /// How long it is until a frame is due; `None` if it is. Counted from the start each time, so that the error of
    /// one sleep is not carried into the next.
    fn until(&mut self, at: MonoTime) -> Option<Duration> {
        let Pace::RealTime { factor } = self.pace else { return None };
        let now = Instant::now();
        let (began, first) = *self.start.get_or_insert((now, at));
        let after = at.since(first).as_secs_f64() / factor;
        let due = Duration::try_from_secs_f64(after).ok().and_then(|after| began.checked_add(after));
        due.map_or(Some(Duration::MAX), |due| {
            due.checked_duration_since(now).filter(|early| !early.is_zero())
        })
    }

    /// Now, on the log's clock.
    fn now(&self) -> Option<MonoTime> {
        let (Pace::RealTime { factor }, Some((began, first))) = (self.pace, self.start) else { return None };
        let passed = began.elapsed().as_secs_f64() * factor;
        Some(first.plus(Duration::try_from_secs_f64(passed).unwrap_or(Duration::MAX)))
    }
}

#[cfg(test)]
mod tests;
