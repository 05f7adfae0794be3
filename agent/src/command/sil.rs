//! `telltale sil run`: scenarios through the vehicle's own loop in virtual time, and what they came to.
#![allow(clippy::print_stdout)]

use crate::load;
use anyhow::{Context as _, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use telltale_workbench::scenario::{
    Departure, Outcome, Scenario, Suite, Workshop, command, html, json, junit, read, run_all, shrink,
};

const HELP: &str = "\
A scenario is a simulated vehicle, its trips, what fails and when, times without a bus or a line to the cloud, and what is
to be said of it: of which cell, not before, not later than, and of nothing else. A file's matrix makes many of one. Each
goes through the decoder, the windows, the model and the limits, the spool and the uplink of the vehicle, in virtual time.
One file gives the same records to the bit, on any machine and any number of threads: the digest tells.

With --json one object: passed, failed, scenarios_per_minute, realtime_factor, simulated_hours, digest, coverage
{dimensions, faults}, departures {kind: {told: n}}, scenarios [{id, settings, digest, passed, failures, events, command, ...}].

Examples:
  telltale sil run cross/sil/scenarios/ci
  telltale sil run cross/sil/scenarios --jobs 4 --junit junit.xml --html report.html
  telltale sil run cross/sil/scenarios/ci/cell-faults.toml --only 'cell-faults#17' --shrink

Exit status: 0 if every scenario held, 1 if not.";

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run scenarios and hold them against what they expect
    #[command(after_help = HELP)]
    Run(Args),
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenario files, or folders of them, however deep
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Threads [default: as many as there are processors]
    #[arg(long)]
    jobs: Option<usize>,
    /// The signal catalog
    #[arg(long, default_value = "models/cell-fault/catalog-sim.toml")]
    catalog: PathBuf,
    /// A model's folder; may be given several times [default: the catalog's, if it holds one]
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Only the scenario of this identity, such as `cell-faults#17`
    #[arg(long)]
    only: Option<String>,
    /// End each drive after so many hours; what is due later is not asked for
    #[arg(long)]
    hours: Option<f64>,
    /// Make each failing one smaller before it is told
    #[arg(long)]
    shrink: bool,
    /// Where to write JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Where to write a page with plots of what failed
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    let Command::Run(args) = command;
    // Hundreds of agents start and stop: what each says of that helps nobody, unless -v asks for more.
    if log::max_level() == log::LevelFilter::Info {
        log::set_max_level(log::LevelFilter::Warn);
    }
    if let Some(hours) = args.hours {
        ensure!(hours > 0.0 && hours.is_finite(), "--hours {hours}: a number above 0");
    }
    let all = scenarios(&args.paths)?;
    let cut = |scenario: Scenario| match args.hours {
        Some(hours) => scenario.cut(hours),
        None => scenario,
    };
    let wanted: Vec<Scenario> = all
        .iter()
        .filter(|s| args.only.as_ref().is_none_or(|only| s.id == *only))
        .cloned()
        .map(cut)
        .collect();
    if wanted.is_empty() {
        bail!("no scenario is called {}", args.only.as_deref().unwrap_or("anything: the folder is empty"));
    }
    let catalog = Arc::new(load::catalog(&args.catalog)?);
    let folders = load::model_folders(&args.model, &args.catalog);
    ensure!(!folders.is_empty(), "no model: --model names a model's folder");
    let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    // One workshop a thread, made here, where a model that cannot be loaded is an error like any other.
    let workshop = || anyhow::Ok(Workshop::new(Arc::clone(&catalog), load::models(&folders, &catalog)?));
    let ready = (0..jobs.clamp(1, wanted.len())).map(|_| workshop()).collect::<anyhow::Result<Vec<_>>>()?;
    let suite = run_all(wanted, ready, |scenario, outcome| {
        log::debug!("{}: {} events, {}", scenario.id, outcome.event_count(), scenario.settings);
    });
    let suite = suite.map_err(|failed| anyhow::Error::new(failed.1).context(failed.0))?;
    if let Some(path) = &args.junit {
        write(path, &junit(&suite))?;
    }
    if let Some(path) = &args.html {
        write(path, &html(&suite))?;
    }
    if args.json {
        println!("{}", json(&suite));
    }
    let failed: Vec<&(Scenario, Outcome)> =
        suite.runs.iter().filter(|(_, o)| !o.failures.is_empty()).collect();
    if !args.json {
        failed.iter().for_each(|(scenario, outcome)| tell(scenario, outcome));
        summary(&suite);
    }
    if args.shrink && !failed.is_empty() {
        let workshop = workshop()?;
        for (scenario, _) in &failed {
            let (least, outcome, tried) = shrink(&workshop, scenario, &all)?;
            eprintln!(
                "{} is, after {tried} tries, as small as this ({:.2} hours):",
                scenario.id, least.spec.hours
            );
            tell_to(&mut std::io::stderr(), &least, &outcome)?;
        }
    }
    ensure!(failed.is_empty(), "{} of {} scenarios did not hold", failed.len(), suite.runs.len());
    Ok(())
}

/// The scenarios of files and folders. A file's name goes into their identities and is told once only.
fn scenarios(paths: &[PathBuf]) -> anyhow::Result<Vec<Scenario>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files).with_context(|| format!("{} can't be read", path.display()))?;
    }
    files.sort();
    files.dedup();
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut all = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(other) = names.insert(name.clone(), file.clone()) {
            bail!("{} and {} have one name: rename one", other.display(), file.display());
        }
        all.extend(read(file.clone(), &name, &load::read_text(&file)?)?);
    }
    Ok(all)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|end| end == "toml") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn tell(scenario: &Scenario, outcome: &Outcome) {
    // A reader that went away has had enough.
    let _ = tell_to(&mut std::io::stdout(), scenario, outcome);
}

fn tell_to(out: &mut impl std::io::Write, scenario: &Scenario, outcome: &Outcome) -> std::io::Result<()> {
    writeln!(out, "FAILED {}: {}", scenario.id, scenario.settings)?;
    for failure in &outcome.failures {
        writeln!(out, "  {failure}")?;
    }
    writeln!(out, "  digest {}\n  {}", outcome.digest, command(scenario))
}

fn summary(suite: &Suite) {
    let told = suite.verdicts();
    println!(
        "{} passed, {} failed; {:.0} hours in {:.1} s on {} threads: {:.0} scenarios a minute, {:.0} times real time",
        told.passed,
        told.failed,
        told.hours,
        suite.took.as_secs_f64(),
        suite.jobs,
        told.per_minute,
        told.realtime_factor
    );
    println!("digest {}", told.digest);
    for (is, kinds) in suite.departures() {
        let each = kinds.iter().map(|(told, n)| format!("{} {n}", told.map_or("no kind", Departure::word)));
        println!("{}: told as {}", is.word(), each.collect::<Vec<_>>().join(", "));
    }
}
