//! The command line of `telltale-cloud`: what a person types, and what each command says back.

#![allow(clippy::print_stdout, reason = "a command's output room")]

mod command;
mod keys;
mod model;
mod person;
mod repository;
mod rollout;
mod stick;
mod vehicle;

pub(crate) use command::digest;

use crate::director::OtaConfig;
use crate::pki::{Existing, Pki, VEHICLE_DAYS, Validity};
use crate::server::{Config, Limits, Server};
use crate::store::Store;
use anyhow::{Context as _, Result, bail};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use telltale_wire::ids::VehicleId;
use tokio::signal::unix::{SignalKind, signal};

/// The Telltale fleet server: takes records from vehicles over mutual TLS, stores each exactly once, shows the fleet.
#[derive(Debug, Parser)]
#[command(
    name = "telltale-cloud",
    version,
    after_help = "\
Examples, from nothing to a fleet of one:
  telltale-cloud pki init --dir pki
  telltale-cloud enroll --pki pki --vehicle bench-01
  telltale-cloud serve --pki pki --db fleet.db
Then give the files in pki/vehicles/bench-01 to the vehicle, and open http://127.0.0.1:8080/

Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.
Set RUST_LOG=debug for more lines, RUST_LOG=warn for fewer."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a development certificate authority and the server's certificate.
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Make a key and a certificate for a vehicle.
    Enroll(Enroll),
    /// Take records from vehicles and show the fleet, until SIGTERM or SIGINT.
    Serve(Serve),
    /// Refuse a vehicle from now on, though its certificate is good.
    Revoke(Revoke),
    /// The registry of models: import, approve, revoke, list.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Bring a model to the fleet in waves, and watch what stops it.
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Groups of vehicles, for a rollout's first waves.
    #[command(subcommand)]
    Group(rollout::GroupCommand),
    /// The keys that sealed models are wrapped for.
    #[command(subcommand)]
    Vehicle(vehicle::VehicleCommand),
    /// Ask a vehicle's agent for something.
    #[command(name = "command")]
    Ask(command::CommandArgs),
    /// Make and show the keys that sign updates.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Sign and publish the models that vehicles may be given: the image repository, and the director's root.
    #[command(subcommand)]
    Repository(repository::RepositoryCommand),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  telltale-cloud completions bash > ~/.local/share/bash-completion/completions/telltale-cloud"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum PkiCommand {
    /// Make the authority (ca.pem, ca.key) and the server's certificate (server.pem, server.key), P-256.
    #[command(after_help = "\
Examples:
  telltale-cloud pki init --dir pki
  telltale-cloud pki init --dir pki --host fleet.example.org --host 192.0.2.7

The certificate always answers to localhost, 127.0.0.1 and ::1. Keep ca.key away from the server's machine when
vehicles are real: who holds it can enroll vehicles. The server does not read it.")]
    Init {
        /// The folder, made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// A further DNS name or IP address that vehicles call the server by; may be given several times.
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
        /// Replace what is there. Vehicles that were enrolled by the old authority are no longer taken.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  telltale-cloud enroll --pki pki --vehicle bench-01 --out /media/usb/bench-01

Writes vehicle.pem, vehicle.key (mode 0600) and ca.pem. The server knows a vehicle by its certificate alone, and lists
it from its first contact on.")]
struct Enroll {
    /// The folder of `pki init`.
    #[arg(long)]
    pki: PathBuf,
    /// The vehicle's id: 1 to 64 letters, digits, dots, underscores or hyphens.
    #[arg(long, value_parser = vehicle_id)]
    vehicle: VehicleId,
    /// Where the files go [default: vehicles/<ID> in the PKI's folder].
    #[arg(long)]
    out: Option<PathBuf>,
    /// For how many days the certificate is valid.
    #[arg(long, default_value_t = VEHICLE_DAYS, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Replace the files that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  telltale-cloud serve --pki pki --db fleet.db
  telltale-cloud serve --pki pki --db /var/lib/telltale/fleet.db --listen 0.0.0.0:8443

Vehicles POST to /v1/sync on the first address, with their client certificate. On the second, people find the fleet
at /, a vehicle at /vehicle/ID, and scripts the same as JSON at /api/vehicles and /api/vehicle/ID. Port 0 takes a free
port; the ready file then tells which: one line `vehicles ADDRESS`, one line `dashboard ADDRESS`.")]
struct Serve {
    /// The folder of `pki init`.
    #[arg(long)]
    pki: PathBuf,
    /// The SQLite database, made if it is not there.
    #[arg(long)]
    db: PathBuf,
    /// Where vehicles connect.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where people look; plain HTTP without a password, so on this machine only.
    #[arg(long, default_value = "127.0.0.1:8080")]
    dashboard: SocketAddr,
    /// Let the dashboard listen on an address that other machines reach.
    #[arg(long)]
    dangerous_public_dashboard: bool,
    /// The repository's folder, to update vehicles over the air.
    #[arg(long, value_name = "DIR", requires = "director_key")]
    repository: Option<PathBuf>,
    /// The director's private key, which the repository's director root names.
    #[arg(long, value_name = "FILE", requires = "repository")]
    director_key: Option<PathBuf>,
    /// Written, with both addresses, once the server takes connections.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  telltale-cloud revoke --db fleet.db --vehicle bench-01
  telltale-cloud revoke --db fleet.db --vehicle bench-01 --undo

Takes effect with the vehicle's next request, also while the server runs.")]
struct Revoke {
    /// The server's database.
    #[arg(long)]
    db: PathBuf,
    /// The vehicle's id.
    #[arg(long, value_parser = vehicle_id)]
    vehicle: VehicleId,
    /// Take the vehicle back.
    #[arg(long)]
    undo: bool,
}

/// Does what the command line asks.
///
/// # Errors
/// With what failed, on what, and what to do.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Pki(PkiCommand::Init { dir, hosts, force }) => {
            Pki::init(&dir, &hosts, existing(force))?;
            println!("made ca.pem, ca.key, server.pem and server.key in {}", dir.display());
            println!("next: telltale-cloud enroll --pki {} --vehicle ID", dir.display());
            Ok(())
        }
        Command::Enroll(enroll) => enroll.run(),
        Command::Serve(serve) => runtime()?.block_on(serve.run()),
        Command::Revoke(revoke) => runtime()?.block_on(revoke.run()),
        Command::Model(command) => runtime()?.block_on(command.run()),
        Command::Rollout(command) => runtime()?.block_on(command.run()),
        Command::Group(command) => runtime()?.block_on(command.run()),
        Command::Vehicle(command) => runtime()?.block_on(command.run()),
        Command::Ask(command) => runtime()?.block_on(command.run()),
        Command::Keys(command) => command.run(),
        Command::Repository(command) => command.run(),
        Command::Completions { shell } => {
            // Into memory first: it panics where a reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "telltale-cloud", &mut script);
            std::io::stdout().write_all(&script).context("can't print the script")
        }
    }
}

impl Enroll {
    fn run(self) -> Result<()> {
        let pki = Pki::open(&self.pki)?;
        let out = self.out.unwrap_or_else(|| pki.vehicle_dir(&self.vehicle));
        let files = pki.enroll(&self.vehicle, &out, Validity::days(self.days), existing(self.force))?;
        println!("enrolled {} for {} days", self.vehicle, self.days);
        for file in [files.certificate, files.key, files.authority] {
            println!("  {}", file.display());
        }
        Ok(())
    }
}

impl Serve {
    async fn run(self) -> Result<()> {
        let config = Config {
            pki: self.pki,
            db: self.db,
            listen: self.listen,
            dashboard: Some(self.dashboard),
            dangerous_public_dashboard: self.dangerous_public_dashboard,
            ota: self
                .repository
                .zip(self.director_key)
                .map(|(repository, key)| OtaConfig { repository, key }),
            limits: Limits::default(),
        };
        let shutdown = asked_to_stop()?;
        let server = Server::bind(config).await?;
        let (vehicles, people) = (server.vehicle_addr(), server.dashboard_addr());
        log::info!("vehicles: https://{vehicles}/v1/sync");
        if let Some(people) = people {
            log::info!("dashboard: http://{people}/");
        }
        if let Some(path) = &self.ready_file {
            write_ready(path, vehicles, people)?;
        }
        server.run(shutdown).await;
        log::info!("stopped");
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<()> {
        if !self.db.is_file() {
            bail!(
                "no database at {}: give the file that `telltale-cloud serve --db` uses",
                self.db.display()
            );
        }
        let store = Store::open(&self.db, Duration::from_secs(10)).await?;
        store.set_revoked(&self.vehicle, !self.undo).await?;
        store.close().await;
        println!(
            "{} is {} from its next request on",
            self.vehicle,
            if self.undo { "taken" } else { "refused" }
        );
        Ok(())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the threads")
}

/// Done at the first SIGTERM or SIGINT. The handlers stand before the server takes its first request.
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => log::info!("SIGTERM: finishing what runs"),
            _ = interrupt.recv() => log::info!("SIGINT: finishing what runs"),
        }
    })
}

/// Renamed into place, so that who waits for the file never reads half of it.
fn write_ready(path: &Path, vehicles: SocketAddr, people: Option<SocketAddr>) -> Result<()> {
    let mut text = format!("vehicles {vehicles}\n");
    if let Some(people) = people {
        text += &format!("dashboard {people}\n");
    }
    let beside = path.with_extension("partial");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}

fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Keep }
}

fn vehicle_id(text: &str) -> Result<VehicleId, String> {
    VehicleId::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_vehicle_id_that_climbs_is_refused_at_the_command_line() {
        let parsed = Cli::try_parse_from(["telltale-cloud", "enroll", "--pki", "p", "--vehicle", "../x"]);
        assert!(parsed.unwrap_err().to_string().contains("1 to 64 letters"));
    }
}
