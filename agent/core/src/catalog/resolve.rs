//! From the entries of a catalog file to a checked [`Catalog`]: loads the DBC files, expands `{n}`, finds each
//! signal, and collects every problem on the way.

use super::file::{self, BusEntry, CatalogFile, Lines, RangeSource, Sign, SignalEntry};
use super::messages;
use super::names::{did_you_mean, expand, has_placeholder, is_vss_path, parse_range};
use super::quality;
use super::{
    BITRATES, Bus, Catalog, CatalogError, CatalogSignal, DEFAULT_BITRATE, DEFAULT_DATA_BITRATE,
    DEFAULT_STALE_AFTER, MAX_BUSES, MAX_DBC_FILES, MAX_SIGNALS, MAX_STALE_AFTER, SCHEMA, Source,
};
use crate::dbc::{Database, Diagnostic, Findings, Message, RawKind, Severity, Signal};
use crate::frame::BusId;
use crate::signal::SignalId;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use telltale_wire::digest::Digest;
use telltale_wire::unit::Unit;
use toml::Spanned;

pub(super) fn resolve(
    text: &str,
    origin: &str,
    load: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Catalog, CatalogError> {
    let lines = Lines::of(text);
    let mut findings = Findings::new(origin);
    let CatalogFile { buses, signals, checks, regimes, messages: entries } =
        file::read(text, &lines, &mut findings);
    let mut files = DbcFiles::new(text, load);
    let buses = resolve_buses(buses, &mut files, &lines, &mut findings);
    let (digest, dbc_diagnostics) = files.finish();
    let index = buses.iter().map(Index::of).collect();
    let mut resolver = Resolver {
        buses: &buses,
        index,
        lines: &lines,
        findings,
        signals: Vec::new(),
        by_vss: HashMap::new(),
    };
    for (line, entry) in &signals {
        resolver.entry(*line, entry);
    }
    let Resolver { signals, by_vss, mut findings, .. } = resolver;
    let mut agreements = quality::Resolver { signals: &signals, by_vss: &by_vss, findings: &mut findings };
    let checks = agreements.checks(checks);
    let regimes = agreements.regimes(regimes);
    let mut described = messages::of_signals(&buses, &signals);
    messages::apply(&entries, &buses, &mut described, &lines, &mut findings);
    let (mut problems, mut diagnostics): (Vec<Diagnostic>, Vec<Diagnostic>) =
        findings.finish().into_iter().partition(|finding| finding.severity == Severity::Error);
    if !problems.is_empty() {
        // A signal is often missing because the file that should describe it could not be read.
        problems.extend(dbc_diagnostics.into_iter().filter(|finding| finding.severity == Severity::Error));
        return Err(CatalogError { problems });
    }
    diagnostics.extend(dbc_diagnostics);
    Ok(Catalog { buses, signals, messages: described, checks, regimes, diagnostics, digest, by_vss })
}

/// The DBC files as they are loaded: each is read once, however many buses use it.
struct DbcFiles<'l> {
    load: &'l mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    loaded: HashMap<String, Arc<Database>>,
    diagnostics: Vec<Diagnostic>,
    hasher: Sha256,
}

impl<'l> DbcFiles<'l> {
    fn new(catalog: &str, load: &'l mut dyn FnMut(&str) -> Result<Vec<u8>, String>) -> Self {
        let mut files = Self { load, loaded: HashMap::new(), diagnostics: Vec::new(), hasher: Sha256::new() };
        files.hash(&SCHEMA.to_le_bytes());
        files.hash(catalog.as_bytes());
        files
    }

    fn get(&mut self, path: &str) -> Result<Arc<Database>, String> {
        if let Some(database) = self.loaded.get(path) {
            return Ok(Arc::clone(database));
        }
        if self.loaded.len() >= MAX_DBC_FILES {
            return Err(format!("a catalog uses at most {MAX_DBC_FILES} DBC files"));
        }
        let bytes = (self.load)(path)?;
        self.hash(path.as_bytes());
        self.hash(&bytes);
        let (database, diagnostics) = Database::parse(&bytes, path);
        self.diagnostics.extend(diagnostics);
        let database = Arc::new(database);
        self.loaded.insert(path.to_owned(), Arc::clone(&database));
        Ok(database)
    }

    /// Each part goes in behind its length, so that no two lists of parts give one digest.
    fn hash(&mut self, part: &[u8]) {
        self.hasher.update((part.len() as u64).to_le_bytes());
        self.hasher.update(part);
    }

    fn finish(self) -> (Digest, Vec<Diagnostic>) {
        (Digest(self.hasher.finalize().into()), self.diagnostics)
    }
}

fn resolve_buses(
    entries: Vec<(u32, BusEntry)>,
    files: &mut DbcFiles<'_>,
    lines: &Lines,
    findings: &mut Findings,
) -> Vec<Bus> {
    let mut buses: Vec<Bus> = Vec::new();
    for (line, entry) in entries {
        let name = entry.name.into_inner();
        if buses.len() >= MAX_BUSES {
            findings.error(line, &name, format!("a catalog has at most {MAX_BUSES} buses"));
            break;
        }
        if buses.iter().any(|bus| bus.name == name) {
            findings.error(line, &name, "a bus of this name already stands above".into());
        }
        let interface = entry.interface.unwrap_or_else(|| name.clone());
        let mut channels = vec![interface.clone()];
        channels.extend(entry.channels);
        channels.dedup();
        for channel in &channels {
            if let Some(other) = buses.iter().find(|bus| bus.channels.contains(channel)) {
                let text = format!("channel {channel} already belongs to bus {}", other.name);
                findings.error(line, &name, text);
            }
        }
        let mut databases = Vec::new();
        for path in &entry.dbc {
            match files.get(path.get_ref()) {
                Ok(database) => databases.push(database),
                Err(why) => {
                    let text = format!("DBC file {}: {why}", path.get_ref());
                    findings.error(lines.at(&path.span()), &name, text);
                }
            }
        }
        for (key, rate) in [("bitrate", entry.bitrate), ("data_bitrate", entry.data_bitrate)] {
            if rate.is_some_and(|rate| !BITRATES.contains(&rate)) {
                let text =
                    format!("`{key}` must be {} to {} bits a second", BITRATES.start(), BITRATES.end());
                findings.error(line, &name, text);
            }
        }
        let bitrate = entry.bitrate.unwrap_or(DEFAULT_BITRATE);
        let data_bitrate = entry.data_bitrate.unwrap_or(DEFAULT_DATA_BITRATE.max(bitrate));
        buses.push(Bus { name, interface, channels, databases, bitrate, data_bitrate });
    }
    if buses.is_empty() {
        findings.error(
            0,
            "",
            "the catalog has no bus: add a `[[bus]]` with its `name` and `dbc` files".into(),
        );
    }
    add_index_channels(&mut buses);
    buses
}

/// Logs that number their channels (GVRET) name a bus by its place, unless another bus claims that number.
fn add_index_channels(buses: &mut [Bus]) {
    for place in 0..buses.len() {
        let number = place.to_string();
        if !buses.iter().any(|bus| bus.channels.contains(&number)) {
            buses[place].channels.push(number);
        }
    }
}

/// The signals of a bus by name.
struct Index<'b>(HashMap<&'b str, Vec<Source>>);

impl<'b> Index<'b> {
    fn of(bus: &'b Bus) -> Self {
        let mut by_name: HashMap<&str, Vec<Source>> = HashMap::new();
        for (database, file) in bus.databases.iter().enumerate() {
            for (message, described) in file.messages.iter().enumerate() {
                for (signal, named) in described.signals.iter().enumerate() {
                    by_name.entry(&named.name).or_default().push(Source { database, message, signal });
                }
            }
        }
        Self(by_name)
    }
}

struct Resolver<'b> {
    buses: &'b [Bus],
    index: Vec<Index<'b>>,
    lines: &'b Lines,
    findings: Findings,
    signals: Vec<CatalogSignal>,
    by_vss: HashMap<String, SignalId>,
}

impl<'b> Resolver<'b> {
    fn entry(&mut self, line: u32, entry: &SignalEntry) {
        let Some(bus) = self.bus_of(line, entry) else { return };
        let Some(numbers) = self.numbers_of(line, entry) else { return };
        self.check_limits(line, entry);
        for n in numbers {
            let name = |text: &Spanned<String>| match n {
                Some(n) => expand(text.get_ref(), n),
                None => text.get_ref().clone(),
            };
            let (vss, signal) = (name(&entry.vss), name(&entry.signal));
            let message = entry.message.as_ref().map(name);
            if let Err(problem) = self.one(line, entry, bus, vss.clone(), message.as_deref(), &signal) {
                self.findings.error(problem.0, &vss, problem.1);
            }
        }
    }

    fn bus_of(&mut self, line: u32, entry: &SignalEntry) -> Option<BusId> {
        let subject = entry.vss.get_ref();
        let Some(name) = &entry.bus else {
            if self.buses.len() > 1 {
                self.findings.error(line, subject, "several buses: say which with `bus`".into());
                return None;
            }
            return (!self.buses.is_empty()).then_some(BusId(0));
        };
        let place = self.buses.iter().position(|bus| bus.name == *name.get_ref());
        if place.is_none() {
            let hint = did_you_mean(name.get_ref(), self.buses.iter().map(|bus| bus.name.as_str()));
            let text = format!("there is no bus {}{hint}", name.get_ref());
            self.findings.error(self.lines.at(&name.span()), subject, text);
        }
        place.map(|place| BusId(place as u8))
    }

    /// The numbers that an entry stands for; a single `None` for one without `n`.
    fn numbers_of(&mut self, line: u32, entry: &SignalEntry) -> Option<Vec<Option<u32>>> {
        let subject = entry.vss.get_ref();
        let in_vss = has_placeholder(subject);
        let in_source = [Some(&entry.signal), entry.message.as_ref()];
        let in_source = in_source.into_iter().flatten().any(|text| has_placeholder(text.get_ref()));
        let Some(n) = &entry.n else {
            if in_vss || in_source {
                self.findings.error(line, subject, "{n} needs a range: add `n = \"1..88\"`".into());
                return None;
            }
            return Some(vec![None]);
        };
        let line = self.lines.at(&n.span());
        let numbers: Option<RangeInclusive<u32>> = parse_range(n.get_ref());
        let text = match numbers {
            None => format!("n = \"{}\" is no range: write both ends, as in \"1..88\"", n.get_ref()),
            Some(_) if !in_vss => "`n` is given, but `vss` has no {n}".into(),
            Some(_) if !in_source => "`n` is given, but neither `signal` nor `message` has {n}".into(),
            Some(range) if (range.end() - range.start()) as usize >= MAX_SIGNALS => {
                format!("n = \"{}\" is more than the {MAX_SIGNALS} signals of a catalog", n.get_ref())
            }
            Some(range) => return Some(range.map(Some).collect()),
        };
        self.findings.error(line, subject, text);
        None
    }

    /// What can be checked without the DBC file, once an entry.
    fn check_limits(&mut self, line: u32, entry: &SignalEntry) {
        let subject = entry.vss.get_ref();
        let given = [("min", entry.min), ("max", entry.max), ("low", entry.low), ("high", entry.high)];
        for (name, _) in given.iter().filter(|(_, value)| value.is_some_and(|value| !value.is_finite())) {
            self.findings.error(line, subject, format!("`{name}` must be a finite number"));
        }
        for (low, high) in [(given[0], given[1]), (given[2], given[3])] {
            if let (Some(a), Some(b)) = (low.1, high.1)
                && a >= b
            {
                self.findings.error(
                    line,
                    subject,
                    format!("`{}` = {a} must be below `{}` = {b}", low.0, high.0),
                );
            }
        }
        if entry.range.is_some() && (entry.min.is_some() || entry.max.is_some()) {
            self.findings.error(line, subject, "give either `range = \"dbc\"` or `min` and `max`".into());
        }
        if entry.stale_ms.is_some_and(|ms| ms == 0 || u128::from(ms) > MAX_STALE_AFTER.as_millis()) {
            let text = format!("`stale_ms` must be 1 to {}", MAX_STALE_AFTER.as_millis());
            self.findings.error(line, subject, text);
        }
        if entry.cycle_ms.is_some_and(|ms| ms == 0 || u128::from(ms) > MAX_STALE_AFTER.as_millis()) {
            let text = format!("`cycle_ms` must be 1 to {}", MAX_STALE_AFTER.as_millis());
            self.findings.error(line, subject, text);
        }
    }

    fn one(
        &mut self,
        line: u32,
        entry: &SignalEntry,
        bus: BusId,
        vss: String,
        message: Option<&str>,
        signal: &str,
    ) -> Result<(), (u32, String)> {
        let vss_line = self.lines.at(&entry.vss.span());
        if !is_vss_path(&vss) {
            let text =
                "this is no VSS path: words of letters, digits and _, joined by dots, as in Vehicle.Speed";
            return Err((vss_line, text.into()));
        }
        if let Some(first) = self.by_vss.get(&vss).and_then(|id| self.signals.get(id.index())) {
            return Err((vss_line, format!("this path already stands at line {}", first.line)));
        }
        if self.signals.len() >= MAX_SIGNALS {
            return Err((line, format!("a catalog has at most {MAX_SIGNALS} signals")));
        }
        let source =
            self.find(bus, message, signal).map_err(|why| (self.lines.at(&entry.signal.span()), why))?;
        let (described, wanted) =
            self.described(bus, source).ok_or((line, "its place is lost".to_owned()))?;
        if !described.holds(wanted) {
            let text = format!("signal {signal} runs over message {}: correct the DBC file", described.name);
            return Err((line, text));
        }
        if let Some(bad) = entry.sentinels.iter().find(|value| !fits(wanted, **value)) {
            let text = format!("the {} bits of {signal} never hold the sentinel {bad}", wanted.layout.bits());
            return Err((line, text));
        }
        let unit = self.unit_of(line, entry, &vss, wanted)?;
        let inverted = entry.sign == Sign::Inverted;
        let (min, max) = self.range_of(line, entry, &vss, wanted, inverted);
        self.by_vss.insert(vss.clone(), SignalId(self.signals.len() as u16));
        self.signals.push(CatalogSignal {
            vss,
            unit,
            bus,
            id: described.id,
            message: described.name.clone(),
            signal: wanted.name.clone(),
            min,
            max,
            low: entry.low,
            high: entry.high,
            sentinels: entry.sentinels.clone(),
            stale_after: entry.stale_ms.map_or(DEFAULT_STALE_AFTER, Duration::from_millis),
            cycle: entry.cycle_ms.map(|ms| Duration::from_millis(u64::from(ms))),
            inverted,
            line,
            source,
        });
        Ok(())
    }

    fn described(&self, bus: BusId, source: Source) -> Option<(&'b Message, &'b Signal)> {
        let bus = self.buses.get(usize::from(bus.0))?;
        let message = bus.databases.get(source.database)?.messages.get(source.message)?;
        Some((message, message.signals.get(source.signal)?))
    }

    /// The one signal of this name on the bus, in the message if one is named.
    fn find(&self, bus: BusId, message: Option<&str>, signal: &str) -> Result<Source, String> {
        let index = &self.index[usize::from(bus.0)];
        let name_of =
            |source: &Source| self.described(bus, *source).map_or("", |(message, _)| message.name.as_str());
        let everywhere = index.0.get(signal).map(Vec::as_slice).unwrap_or_default();
        let found: Vec<Source> = everywhere
            .iter()
            .filter(|source| message.is_none_or(|name| name_of(source) == name))
            .copied()
            .collect();
        let bus_name = &self.buses[usize::from(bus.0)].name;
        match (found.as_slice(), message) {
            ([one], _) => Ok(*one),
            // Two files, or one file twice, describe one message: the first counts, as DBC diagnostics tell.
            ([first, ..], Some(_)) => Ok(*first),
            ([_, ..], None) => {
                let mut messages: Vec<&str> = found.iter().map(name_of).take(4).collect();
                messages.dedup();
                Err(format!(
                    "signal {signal} stands in several messages, say in which with `message`: {}",
                    messages.join(", ")
                ))
            }
            ([], Some(message)) if !everywhere.is_empty() => Err(format!(
                "message {message} of bus {bus_name} has no signal {signal}; {} has",
                name_of(&everywhere[0])
            )),
            ([], _) => {
                let hint = did_you_mean(signal, index.0.keys().copied());
                Err(format!("no DBC file of bus {bus_name} has a signal {signal}{hint}"))
            }
        }
    }

    fn unit_of(
        &mut self,
        line: u32,
        entry: &SignalEntry,
        vss: &str,
        wanted: &Signal,
    ) -> Result<Unit, (u32, String)> {
        let from_dbc = Unit::from_symbol(wanted.unit.trim());
        let Some(symbol) = &entry.unit else {
            return Ok(from_dbc.unwrap_or_else(|| {
                let text =
                    format!("the DBC's unit \"{}\" is not known, values have none: say `unit`", wanted.unit);
                self.findings.warn(line, vss, text);
                Unit::None
            }));
        };
        let line = self.lines.at(&symbol.span());
        let unit = Unit::from_symbol(symbol.get_ref()).ok_or_else(|| {
            let hint = did_you_mean(symbol.get_ref(), Unit::ALL.iter().map(|unit| unit.symbol()));
            (line, format!("the unit \"{}\" is not known{hint}", symbol.get_ref()))
        })?;
        if from_dbc.is_some_and(|dbc| dbc != unit && dbc != Unit::None) {
            let text =
                format!("the DBC's unit is {}, the catalog's {unit}: values are not converted", wanted.unit);
            self.findings.warn(line, vss, text);
        }
        Ok(unit)
    }

    fn range_of(
        &mut self,
        line: u32,
        entry: &SignalEntry,
        vss: &str,
        wanted: &Signal,
        inverted: bool,
    ) -> (f64, f64) {
        if entry.range != Some(RangeSource::Dbc) {
            return (entry.min.unwrap_or(f64::MIN), entry.max.unwrap_or(f64::MAX));
        }
        match wanted.range() {
            Some((min, max)) if inverted => (-max, -min),
            Some(range) => range,
            None => {
                self.findings.warn(line, vss, "the DBC file gives no range, values are not checked".into());
                (f64::MIN, f64::MAX)
            }
        }
    }
}

/// Whether the signal's bits can hold a sentinel, written signed or unsigned.
fn fits(signal: &Signal, value: i64) -> bool {
    let mask = signal.layout.mask();
    let as_unsigned = u64::try_from(value).is_ok_and(|value| value <= mask);
    let as_signed =
        signal.layout.kind() == RawKind::Signed && signal.layout.sign_extend(value as u64 & mask) == value;
    as_unsigned || as_signed
}
