//! `telltale model`: the models that came over the air. Asks the running agent, and where none runs works on what is
//! kept on disk.

use crate::command::status::Place;
use crate::config::Config;
use crate::control::{self, AskError, Request};
use crate::update::{Depot, ModelOrder, sealing_key};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use telltale_seal::Keyring;

const HELP: &str = "\
Asks the running agent over its control socket; where none runs, what is kept in `update.dir` is read and changed.
What changes something is for the agent's own user and root.

Example:
  telltale model list
  telltale model rollback cell-fault --release 7
  telltale model pin cell-fault
  telltale model install /media/usb";

const INSTALL_HELP: &str = "\
The folder is what `telltale-cloud repository export` or `stick` wrote for this vehicle. The agent itself must be able to
read it. Keep it there until `telltale model list` says `self-tested` or later; commands on it are carried out too.

Example:
  telltale model install /media/usb && telltale model list";

const KEY_HELP: &str = "\
The cloud wraps the keys of sealed models for it: the agent tells it over its own line, once. Where a vehicle is made,
compare it with what `telltale-cloud vehicle keys` prints.

Example:
  telltale model key --config telltale.toml";

#[derive(clap::Subcommand)]
#[command(after_help = HELP)]
pub(crate) enum Command {
    /// What speaks, what is on its way, and what failed, of each family
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Keep a family at what it runs: offers are refused
    Pin {
        /// The family
        family: String,
        /// Follow what is offered again
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Go back to the model before, or to the configured one; what is left is held to be bad
    Rollback {
        /// The family
        family: String,
        /// Only if this release is what runs, or is on its way
        #[arg(long)]
        release: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
    /// Take what a USB stick brings, verified and tried like what comes over the air; needs the running agent
    #[command(after_help = INSTALL_HELP)]
    Install {
        /// The stick's folder, with director/, image/, index/ and chunk/
        folder: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Print the public half of the vehicle's sealing key, which is made if it is not there
    #[command(after_help = KEY_HELP)]
    Key {
        #[command(flatten)]
        place: Place,
    },
    /// Delete a release that does not run, and hold it to be bad no longer: it may be offered again
    Forget {
        /// The family
        family: String,
        /// Its release
        #[arg(long)]
        release: u32,
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn main(command: &Command) -> anyhow::Result<()> {
    let (order, place, json) = match command {
        Command::List { json, place } => (ModelOrder::List, place, *json),
        Command::Pin { family, off, place } => {
            (ModelOrder::Pin { family: family.clone(), on: !off }, place, false)
        }
        Command::Rollback { family, release, place } => {
            (ModelOrder::Rollback { family: family.clone(), release: *release }, place, false)
        }
        Command::Install { folder, place } => {
            let folder = folder.canonicalize();
            let folder = folder.with_context(|| "the stick's folder can't be found")?;
            (ModelOrder::Install { folder }, place, false)
        }
        Command::Key { place } => return key(place),
        Command::Forget { family, release, place } => {
            (ModelOrder::Forget { family: family.clone(), release: *release }, place, false)
        }
    };
    let families = carry_out(order, place)?;
    let text = if json { format!("{families}\n") } else { page(&families) };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

fn key(place: &Place) -> anyhow::Result<()> {
    let config = Config::read(&place.config)?;
    let path = config.update.and_then(|settings| settings.sealing_key);
    let path = path.with_context(|| format!("{} has no `update.sealing_key`", place.config.display()))?;
    Ok(writeln!(io::stdout().lock(), "{}", sealing_key(&path)?.public())?)
}

/// By the running agent, or without it.
fn carry_out(order: ModelOrder, place: &Place) -> anyhow::Result<Value> {
    match control::ask(&place.socket()?, &Request::Model(order.clone())) {
        Err(AskError::NobodyThere(_))
            if place.socket.is_none() && !matches!(order, ModelOrder::Install { .. }) =>
        {
            offline(&order, place)
        }
        asked => Ok(asked?),
    }
}

fn offline(order: &ModelOrder, place: &Place) -> anyhow::Result<Value> {
    let config = Config::read(&place.config)?;
    let Some(settings) = &config.update else {
        bail!("{} has no `[update]`: the configured models run", place.config.display());
    };
    if order.only_looks() && !settings.dir.exists() {
        return Ok(Value::Array(Vec::new()));
    }
    // Nothing is loaded here, so that nothing is opened.
    let depot = Depot::open(settings, &config.models, Keyring::empty(config.vehicle.clone()))?;
    order.apply(&depot)?;
    if !order.only_looks() {
        log::info!("no agent runs: the next start finds it so; no record tells of it");
        depot.sweep().context("`update.dir`")?;
    }
    Ok(serde_json::to_value(depot.facts())?)
}

fn page(families: &Value) -> String {
    let mut page = String::new();
    let families = families.as_array().map_or(&[][..], Vec::as_slice);
    if families.is_empty() {
        return "no family is known yet\n".into();
    }
    for family in families {
        // Writing to a String cannot fail.
        let _ = write_line(&mut page, family);
    }
    page
}

/// One family, as `telltale status` tells it too.
pub(crate) fn write_line(page: &mut String, family: &Value) -> std::fmt::Result {
    let text = |key: &str| family[key].as_str().unwrap_or("-");
    let trial = if family["is_trial"] == true { ", on trial" } else { "" };
    let pinned = if family["is_pinned"] == true { ", pinned" } else { "" };
    writeln!(page, "update    {}: {} speaks{trial}{pinned}", text("family"), text("speaks"))?;
    if let (Some(update), Some(state)) = (family["update"].as_str(), family["state"].as_str()) {
        write!(page, "          {update} {state}")?;
        if let Some([windows, of, seconds, to]) = family["progress"].as_array().map(Vec::as_slice) {
            write!(page, ", {windows} of {of} windows, {seconds} of {to} s")?;
        }
        match family["attempts"].as_u64() {
            Some(starts) if starts > 1 => writeln!(page, ", {starts} starts")?,
            _ => writeln!(page)?,
        }
    }
    if family["release"] != 0 {
        writeln!(page, "          before it: {}; the floor is {}", text("before"), family["floor"])?;
    }
    let bad: Vec<&str> = family["bad"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if bad.is_empty() { Ok(()) } else { writeln!(page, "          failed here: {}", bad.join(", ")) }
}
