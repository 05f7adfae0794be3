//! The column map: which column of a recording becomes which signal of a DBC file. A small TOML file; see
//! `models/cell-fault/columns-car2.toml`.

use chrono::NaiveDateTime;
use chrono::format::{Item, StrftimeItems};
use serde::Deserialize;

/// The most columns that one `n` stands for.
const MAX_TEMPLATE: u32 = 4_096;

/// A checked column map.
#[derive(Clone, PartialEq, Debug)]
pub struct ColumnMap {
    pub(super) time_column: String,
    pub(super) time_format: TimeFormat,
    pub(super) columns: Vec<Mapped>,
    pub(super) constants: Vec<Constant>,
    pub(super) protected: Vec<Protected>,
}

/// How a row's time is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TimeFormat {
    /// Seconds since 1970, with or without a fraction.
    Unix,
    /// A date and time in UTC, by `strftime`.
    Utc(String),
}

/// One column and its signal. Physical value = cell x scale + offset.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Mapped {
    pub(super) column: String,
    pub(super) signal: String,
    pub(super) scale: f64,
    pub(super) offset: f64,
    /// Cells with these numbers hold no value, like empty ones.
    pub(super) absent: Vec<f64>,
    /// What is sent for a cell without a value; without it the whole message is left out.
    pub(super) not_available: Option<i64>,
}

/// A signal with the same raw value in every row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Constant {
    pub(super) signal: String,
    pub(super) raw: i64,
}

/// A message whose counter and checksum are made here.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Protected {
    pub(super) message: String,
    pub(super) counter: String,
    pub(super) checksum: String,
}

/// Why a column map was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ColumnMapError {
    /// Not TOML, or not of this shape.
    #[error("{origin} is no column map: {message}")]
    Toml {
        /// The file.
        origin: String,
        /// What the parser says, with line and column.
        message: String,
    },
    /// A time format that no time can be read by.
    #[error("{origin}: `{format}` is neither `unix` nor a strftime format with date and time")]
    TimeFormat {
        /// The file.
        origin: String,
        /// The format.
        format: String,
    },
    /// An `n` that is no range, or that has nothing to fill.
    #[error("{origin}: `n = \"{n}\"` of `{name}`: write \"1..88\" (inclusive) and {{n}} in each name")]
    Template {
        /// The file.
        origin: String,
        /// The entry.
        name: String,
        /// The range as written.
        n: String,
    },
    /// A scale or an offset with which no value can be computed.
    #[error("{origin}: scale and offset of `{column}` have to be finite, and the scale not 0")]
    Scale {
        /// The file.
        origin: String,
        /// The column.
        column: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    time: TimeEntry,
    #[serde(default)]
    protect: Vec<Protected>,
    map: Vec<MapEntry>,
    #[serde(default)]
    constant: Vec<ConstantEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeEntry {
    column: String,
    format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapEntry {
    column: String,
    n: Option<String>,
    signal: String,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    absent: Vec<f64>,
    not_available: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantEntry {
    signal: String,
    n: Option<String>,
    raw: i64,
}

const fn one() -> f64 {
    1.0
}

impl ColumnMap {
    /// Reads a column map. `origin` names it in errors.
    ///
    /// # Errors
    /// Every [`ColumnMapError`].
    pub fn parse(text: &str, origin: &str) -> Result<ColumnMap, ColumnMapError> {
        let file: File = toml::from_str(text)
            .map_err(|e| ColumnMapError::Toml { origin: origin.into(), message: e.to_string() })?;
        let mut columns = Vec::new();
        for entry in file.map {
            let finite = entry.scale.is_finite() && entry.offset.is_finite() && entry.scale != 0.0;
            if !finite {
                return Err(ColumnMapError::Scale { origin: origin.into(), column: entry.column });
            }
            for [column, signal] in expand([&entry.column, &entry.signal], entry.n.as_deref(), origin)? {
                columns.push(Mapped {
                    column,
                    signal,
                    scale: entry.scale,
                    offset: entry.offset,
                    absent: entry.absent.clone(),
                    not_available: entry.not_available,
                });
            }
        }
        let mut constants = Vec::new();
        for entry in file.constant {
            let names = expand([&entry.signal], entry.n.as_deref(), origin)?;
            constants.extend(names.into_iter().map(|[signal]| Constant { signal, raw: entry.raw }));
        }
        let time_format = time_format(&file.time.format, origin)?;
        Ok(ColumnMap {
            time_column: file.time.column,
            time_format,
            columns,
            constants,
            protected: file.protect,
        })
    }
}

impl TimeFormat {
    /// Microseconds since 1970, within the years 1970 to 2200.
    pub(super) fn micros(&self, text: &str) -> Option<i64> {
        const LATEST_US: i64 = 7_258_118_400_000_000;
        let us = match self {
            TimeFormat::Unix => {
                let us = text.parse::<f64>().ok()? * 1e6;
                (us.abs() < 1e18).then_some(us.round() as i64)?
            }
            TimeFormat::Utc(format) => {
                NaiveDateTime::parse_from_str(text, format).ok()?.and_utc().timestamp_micros()
            }
        };
        (0..=LATEST_US).contains(&us).then_some(us)
    }
}

/// A format is good if it reads back what it writes.
fn time_format(format: &str, origin: &str) -> Result<TimeFormat, ColumnMapError> {
    if format == "unix" {
        return Ok(TimeFormat::Unix);
    }
    let sample = "2019-04-15T18:09:06";
    let known = !StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    let whole = known
        && sample.parse::<NaiveDateTime>().is_ok_and(|time| {
            let mut text = String::new();
            std::fmt::Write::write_fmt(&mut text, format_args!("{}", time.format(format))).is_ok()
                && NaiveDateTime::parse_from_str(&text, format) == Ok(time)
        });
    if whole {
        Ok(TimeFormat::Utc(format.into()))
    } else {
        Err(ColumnMapError::TimeFormat { origin: origin.into(), format: format.into() })
    }
}

/// The names with `{n}` filled in, or the names as they are if there is no `n`.
fn expand<const K: usize>(
    names: [&str; K],
    n: Option<&str>,
    origin: &str,
) -> Result<Vec<[String; K]>, ColumnMapError> {
    let Some(n) = n else {
        return Ok(vec![names.map(str::to_owned)]);
    };
    let range = n
        .split_once("..")
        .and_then(|(low, high)| Some((low.parse::<u32>().ok()?, high.parse::<u32>().ok()?)));
    match range {
        Some((low, high))
            if low <= high && high - low < MAX_TEMPLATE && names.iter().all(|name| name.contains("{n}")) =>
        {
            Ok((low..=high).map(|k| names.map(|name| name.replace("{n}", &k.to_string()))).collect())
        }
        _ => Err(ColumnMapError::Template { origin: origin.into(), name: names.concat(), n: n.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "[time]\ncolumn = \"t\"\nformat = \"unix\"\n";

    #[test]
    fn templates_fill_every_name() {
        let text = format!(
            "{TIME}[[map]]\ncolumn = \"V_{{n}}\"\nsignal = \"Cell{{n}}\"\nn = \"1..3\"\nscale = 2.0\n"
        );
        let map = ColumnMap::parse(&text, "m.toml").unwrap();
        let names: Vec<_> = map.columns.iter().map(|c| (c.column.as_str(), c.signal.as_str())).collect();
        assert_eq!(names, [("V_1", "Cell1"), ("V_2", "Cell2"), ("V_3", "Cell3")]);
    }

    #[test]
    fn maps_that_cannot_work_are_refused() {
        let entry = |more: &str| format!("{TIME}[[map]]\ncolumn = \"V\"\nsignal = \"S\"\n{more}");
        assert!(ColumnMap::parse(&entry(""), "m").is_ok());
        for refused in
            ["n = \"1..3\"", "n = \"3\"", "scale = 0.0", "scale = nan", "offset = inf", "colour = 1"]
        {
            assert!(ColumnMap::parse(&entry(refused), "m").is_err(), "{refused}");
        }
        for format in ["%Q", "%H:%M", "", "%Y-%m-%d"] {
            let text = entry("").replace("unix", format);
            assert!(
                matches!(ColumnMap::parse(&text, "m"), Err(ColumnMapError::TimeFormat { .. })),
                "{format}"
            );
        }
    }

    #[test]
    fn times_read_as_microseconds() {
        let utc = time_format("%Y-%m-%d %H:%M:%S", "m").unwrap();
        assert_eq!(utc.micros("2019-05-10 08:44:57"), Some(1_557_477_897_000_000));
        assert_eq!(utc.micros("2019-05-10"), None);
        assert_eq!(TimeFormat::Unix.micros("1557477897.25"), Some(1_557_477_897_250_000));
        for refused in ["-1", "1e300", "nan", "yesterday"] {
            assert_eq!(TimeFormat::Unix.micros(refused), None, "{refused}");
        }
    }
}
