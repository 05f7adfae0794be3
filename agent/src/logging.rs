//! The log, on standard error: for a person with times and colours, for the journal with priorities
//! (`sd-daemon(3)`: `<N>` at the start of a line) and without times, which the journal has itself. What is said can
//! be changed while the agent runs.

use env_filter::{Builder, Filter};
use log::{Level, Log, Metadata, Record};
use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_wire::time::WallTime;

/// The crates that a bare level is meant for; libraries stay at warnings.
const OURS: [&str; 5] =
    ["telltale_agent", "telltale_core", "telltale_infer", "telltale_workbench", "telltale_sil"];

/// The one log of the process.
static LOG: OnceLock<Stderr> = OnceLock::new();

/// Not what a level is set by.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{directives}` sets no log level ({why}): write error, warn, info, debug, trace or off, \
     for a module telltale_agent::uplink=debug, and commas between several"
)]
pub struct LevelError {
    directives: String,
    why: String,
}

/// Starts the log. Before the first call nothing is said; a second one changes nothing.
///
/// # Errors
/// [`LevelError`].
pub fn start(directives: &str) -> Result<(), LevelError> {
    let filter = filter(directives)?;
    log::set_max_level(filter.filter());
    let log = LOG.get_or_init(|| Stderr { filter: RwLock::new(filter), style: Style::of_stderr() });
    // It fails where a log has been set already, and that one goes on.
    let _ = log::set_logger(log);
    Ok(())
}

/// Changes what is said, from now on.
///
/// # Errors
/// [`LevelError`]; what was said before is said on.
pub fn change(directives: &str) -> Result<(), LevelError> {
    let filter = filter(directives)?;
    if let Some(log) = LOG.get() {
        log::set_max_level(filter.filter());
        *log.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }
    Ok(())
}

/// Reads `info` or `info,telltale_agent::uplink=debug`.
///
/// # Errors
/// [`LevelError`].
pub fn filter(directives: &str) -> Result<Filter, LevelError> {
    let refuse = |why: String| LevelError { directives: directives.to_owned(), why };
    let mut whole = vec!["warn".to_owned()];
    for part in directives.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if part.contains('=') {
            let level = part.split_once('=').map_or("", |(_, level)| level.trim());
            level.parse::<log::LevelFilter>().map_err(|_| refuse(format!("`{level}` is no level")))?;
            whole.push(part.to_owned());
        } else {
            let level: log::LevelFilter =
                part.parse().map_err(|_| refuse(format!("`{part}` is no level")))?;
            whole.extend(OURS.iter().map(|name| format!("{name}={level}")));
            if level < log::LevelFilter::Warn {
                whole.push(level.to_string());
            }
        }
    }
    Builder::new().try_parse(&whole.join(",")).map(Builder::build).map_err(|error| refuse(error.to_string()))
}

struct Stderr {
    filter: RwLock<Filter>,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// Priorities, no times.
    Journal,
    Plain,
    Coloured,
}

impl Style {
    fn of_stderr() -> Style {
        if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
            Style::Journal
        } else if io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|text| text.is_empty()) {
            Style::Coloured
        } else {
            Style::Plain
        }
    }
}

/// Whether `device:inode` is this process's standard error (`systemd.exec(5)`, `JOURNAL_STREAM`).
fn is_stderr(stream: &str) -> bool {
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.read().unwrap_or_else(PoisonError::into_inner).matches(record) {
            return;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = WallTime::from_unix_micros(since.as_micros() as i64);
        let line = line(self.style, now, record.level(), &record.args().to_string());
        // One write a message: those of several threads do not mix. Where nobody reads there is nobody to tell.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

fn line(style: Style, now: WallTime, level: Level, message: &str) -> String {
    match style {
        Style::Journal => {
            let priority = match level {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            // Each line is an entry of its own to the journal.
            message.lines().map(|line| format!("<{priority}>{line}\n")).collect()
        }
        Style::Plain => format!("[{now} {level:<5}] {message}\n"),
        Style::Coloured => {
            let colour = match level {
                Level::Error => 31,
                Level::Warn => 33,
                Level::Info => 32,
                Level::Debug => 34,
                Level::Trace => 36,
            };
            format!("[{now} \x1b[{colour}m{level:<5}\x1b[0m] {message}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(directives: &str, target: &str, level: Level) -> bool {
        let metadata = Metadata::builder().target(target).level(level).build();
        filter(directives).unwrap().enabled(&metadata)
    }

    #[test]
    fn a_bare_level_is_meant_for_this_program_and_a_module_has_its_own() {
        assert!(says("info", "telltale_agent::uplink", Level::Info));
        assert!(!says("info", "telltale_agent::uplink", Level::Debug));
        assert!(!says("debug", "tract_core", Level::Info));
        assert!(says("debug", "tract_core", Level::Warn));
        assert!(says("warn, telltale_agent::uplink=trace", "telltale_agent::uplink", Level::Trace));
        assert!(!says("warn, telltale_agent::uplink=trace", "telltale_core", Level::Info));
        assert!(!says("error", "rustls", Level::Warn));
        assert!(!says("off", "telltale_agent", Level::Error));
    }

    #[test]
    fn what_is_no_level_is_refused_with_what_would_be() {
        for wrong in ["loud", "info,telltale_agent=loud", "telltale_agent="] {
            let error = filter(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("write error, warn"), "{error}");
        }
    }

    #[test]
    fn the_journal_gets_priorities_and_no_times() {
        let at = WallTime(0);
        assert_eq!(line(Style::Journal, at, Level::Warn, "one\ntwo"), "<4>one\n<4>two\n");
        assert_eq!(line(Style::Plain, at, Level::Info, "one"), "[1970-01-01T00:00:00.000Z INFO ] one\n");
        assert!(!is_stderr("0:0"));
    }
}
