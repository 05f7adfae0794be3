//! `telltale status`: what the running agent holds at this moment.

use crate::config::Config;
use crate::control::{self, Request};
use anyhow::Context as _;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

const HELP: &str = "\
Asks the running agent over its control socket. With --json one line with everything: agent, capture, buses, signals
(latest value, age, or why there is none), models with each subject's verdict and score, spool by lane, uplink, memory.
Without it a page for a person.

Example:
  telltale status
  telltale status --json | jq '.signals[] | select(.absent != null)'";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Where the agent listens.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The agent's configuration, which says where its socket is
    #[arg(long, default_value = "/etc/telltale/telltale.toml")]
    pub(crate) config: PathBuf,
    /// The control socket itself
    #[arg(long, conflicts_with = "config")]
    pub(crate) socket: Option<PathBuf>,
}

impl Place {
    /// The path of the socket.
    pub(crate) fn socket(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let config = Config::read(&self.config)
            .context("where the agent listens is not known: give --config or --socket")?;
        config.control_socket().with_context(|| {
            format!("{} turns the control socket off (`[control] socket = \"\"`)", self.config.display())
        })
    }
}

pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let status = control::ask(&args.place.socket()?, &Request::Status)?;
    let text = if args.json { format!("{status}\n") } else { page(&status) };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// The page for a person. Reads the document by its keys: a vehicle's build carries no parser of the whole.
fn page(status: &Value) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut page, status);
    page
}

fn write_page(page: &mut String, status: &Value) -> std::fmt::Result {
    let (agent, capture) = (&status["agent"], &status["capture"]);
    writeln!(
        page,
        "{} telltale {}, boot {}, up {}",
        text(&agent["vehicle"]),
        text(&agent["version"]),
        text(&agent["boot"]),
        span(&agent["uptime_s"])
    )?;
    writeln!(page, "capture   {} at {}", text(&capture["state"]), text(&capture["at"]))?;
    writeln!(
        page,
        "frames    {} ({}/s), {} lost; {} decoded, {} filtered, {} unknown, {} malformed",
        capture["frames"],
        rounded(&capture["frames_per_s"]),
        capture["lost"],
        capture["decoded"],
        capture["filtered"],
        capture["unknown"],
        capture["malformed"]
    )?;
    for bus in each(&status["buses"]) {
        let (name, interface) = (text(&bus["name"]), text(&bus["interface"]));
        writeln!(
            page,
            "bus       {name} ({interface}) {}, {} frames ({}/s), load {} of {} kbit/s, last {}, {}, {}",
            text(&bus["state"]),
            bus["frames"],
            rounded(&bus["frames_per_s"]),
            percent(&bus["load"]),
            bus["bitrate"].as_f64().unwrap_or(0.0) / 1e3,
            bus["frame_age_s"].as_f64().map_or_else(|| "never".into(), |age| format!("{age:.1} s ago")),
            bus["lost"].as_u64().map_or_else(|| "losses not told".into(), |lost| format!("{lost} lost")),
            error_counters(bus)
        )?;
    }
    let off: Vec<&str> = each(&status["switched_off"]).iter().filter_map(Value::as_str).collect();
    if !off.is_empty() {
        writeln!(page, "off       {}, by commands of the cloud", off.join(", "))?;
    }
    let signals = each(&status["signals"]);
    let absent = signals.iter().filter(|signal| !signal["absent"].is_null()).count();
    writeln!(page, "signals   {}, {absent} of them without a usable value", signals.len())?;
    for model in each(&status["models"]) {
        let subjects = each(&model["subjects"]);
        let held = |verdict: &str| subjects.iter().filter(|s| s["verdict"] == verdict).count();
        let estimates = each(&model["estimates"]);
        if !estimates.is_empty() {
            estimated(page, model, estimates)?;
            continue;
        }
        writeln!(
            page,
            "model     {} {}: {} nominal, {} anomalous, {} indeterminate",
            text(&model["name"]),
            text(&model["version"]),
            held("nominal"),
            held("anomalous"),
            held("indeterminate")
        )?;
        if let Some(seconds) = model["off_for_s"].as_f64() {
            writeln!(page, "          switched off after failures, tried again in {seconds:.0} s")?;
        }
        for subject in subjects.iter().filter(|subject| subject["verdict"] == "anomalous") {
            let score =
                subject["score"].as_f64().map_or_else(String::new, |score| format!(", score {score:.3}"));
            let kind = subject["departure"].as_str().map_or_else(String::new, |kind| format!(": {kind}"));
            let since =
                subject["since"].as_str().map_or_else(String::new, |since| format!(", since {since}"));
            writeln!(page, "          {} anomalous{kind}{score}{since}", text(&subject["subject"]))?;
        }
        drifted(page, model)?;
    }
    trips(page, &status["trip"])?;
    range(page, &status["range"])?;
    each(&status["condition"]).iter().try_for_each(|known| condition(page, known))?;
    for update in each(&status["updates"]) {
        super::model::write_line(page, update)?;
    }
    let spool = &status["spool"];
    writeln!(
        page,
        "spool     {} records wait, {} not durable yet, {} KiB, {} lost, in {}",
        spool["waiting"],
        spool["pending"],
        spool["disk_bytes"].as_u64().unwrap_or(0) / 1024,
        spool["lost"],
        text(&spool["dir"])
    )?;
    let uplink = &status["uplink"];
    if uplink.is_null() {
        writeln!(page, "uplink    none configured")?;
    } else {
        writeln!(
            page,
            "uplink    {} to {}, {} records acknowledged in {} requests, {} failures",
            text(&uplink["state"]),
            text(&uplink["url"]),
            uplink["acknowledged"],
            uplink["requests"],
            uplink["failures"]
        )?;
        if let Some(trouble) = uplink["trouble"].as_str() {
            writeln!(page, "          {trouble}")?;
        }
    }
    let kib = |key: &str| status["memory"][key].as_u64().unwrap_or(0) / 1024;
    writeln!(page, "memory    {} KiB PSS, {} KiB peak RSS", kib("pss_bytes"), kib("peak_rss_bytes"))
}

/// What a kilometre takes and how many there are.
fn range(page: &mut String, range: &Value) -> std::fmt::Result {
    let number = |key: &str| range[key].as_f64();
    let Some(energy) = number("wh_per_km") else { return Ok(()) };
    write!(page, "range     {energy:.0} Wh/km by {} trips", range["trips"])?;
    match (number("range_km"), number("range_km_low"), number("range_km_high")) {
        (Some(km), Some(low), Some(high)) => write!(page, ", {km:.0} km ({low:.0} to {high:.0})")?,
        _ => write!(page, ", range not told: {}", text(&range["why"]))?,
    }
    match range["ahead"].as_str() {
        Some(ahead) => writeln!(page, ", ahead {ahead} as the fleet says"),
        None => writeln!(page),
    }
}

/// One quantity of the drive's condition.
fn condition(page: &mut String, known: &Value) -> std::fmt::Result {
    let (name, unit) = (text(&known["quantity"]), text(&known["unit"]));
    write!(page, "condition {name}: ")?;
    match (known["value"].as_f64(), known["low"].as_f64(), known["high"].as_f64()) {
        (Some(value), Some(low), Some(high)) => write!(page, "{value:.4} {unit} ({low:.4} to {high:.4})")?,
        _ => write!(page, "{} observations, too few", known["observations"])?,
    }
    if let Some(change) = known["per_day"].as_f64() {
        write!(page, ", {change:+.5} a day")?;
    }
    if known["beyond_since"].is_string() {
        write!(page, ", beyond its limit since {}", text(&known["beyond_since"]))?;
    }
    if known["absent"].is_string() {
        write!(page, ", now {}", text(&known["absent"]))?;
    }
    writeln!(page)
}

/// Whether the vehicle is under way, and its latest trip.
fn trips(page: &mut String, trip: &Value) -> std::fmt::Result {
    write!(page, "trip      {}", text(&trip["state"]))?;
    if let Some(km) = trip["distance_km"].as_f64() {
        write!(page, " since {}, {km:.2} km", text(&trip["since"]))?;
    }
    writeln!(page)?;
    let latest = &trip["latest"];
    if let Some(km) = latest["distance_km"].as_f64() {
        let per = latest["kwh_per_100_km"].as_f64();
        let energy = per.map_or_else(
            || format!("energy not told: {}", text(&latest["energy_absent"])),
            |per| format!("{per:.1} kWh/100 km"),
        );
        writeln!(page, "          the latest from {}: {km:.2} km, {energy}", text(&latest["from"]))?;
    }
    Ok(())
}

/// What drifted, one line an input and horizon.
fn drifted(page: &mut String, model: &Value) -> std::fmt::Result {
    for drift in
        each(&model["drift"]).iter().filter(|drift| !matches!(text(&drift["severity"]), "-" | "none"))
    {
        writeln!(
            page,
            "          {} drift of {} ({}): index {:.2}, {} beyond what training saw",
            text(&drift["severity"]),
            text(&drift["input"]),
            text(&drift["horizon"]),
            drift["index"].as_f64().unwrap_or(0.0),
            percent(&drift["outside"])
        )?;
    }
    Ok(())
}

/// A model that estimates: the subject that has least, and how many could not be told.
fn estimated(page: &mut String, model: &Value, estimates: &[Value]) -> std::fmt::Result {
    let (name, version) = (text(&model["name"]), text(&model["version"]));
    let valued = estimates.iter().filter_map(|estimate| Some((estimate, estimate["value"].as_f64()?)));
    let absent = estimates.iter().filter(|estimate| estimate["value"].is_null()).count();
    match valued.min_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((least, value)) => writeln!(
            page,
            "model     {name} {version}: {} has {value:.3} ({:.3} to {:.3}), {absent} without a value",
            text(&least["subject"]),
            least["low"].as_f64().unwrap_or(f64::NAN),
            least["high"].as_f64().unwrap_or(f64::NAN)
        ),
        None => writeln!(
            page,
            "model     {name} {version}: nothing estimated: {}",
            estimates.first().map_or("no subject", |estimate| text(&estimate["why"]))
        ),
    }
}

fn each(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn rounded(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".into(), |value| format!("{value:.0}"))
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".into(), |share| format!("{:.1} %", share * 100.0))
}

fn error_counters(bus: &Value) -> String {
    let frames = &bus["error_frames"];
    match (bus["tx_errors"].as_u64(), bus["rx_errors"].as_u64()) {
        (Some(tx), Some(rx)) => format!("{frames} error frames, counters {tx} sending and {rx} receiving"),
        _ => format!("{frames} error frames"),
    }
}

fn span(seconds: &Value) -> String {
    let s = seconds.as_f64().unwrap_or(0.0) as u64;
    match s {
        0..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h", s / 3_600),
        _ => format!("{} days", s / 86_400),
    }
}
