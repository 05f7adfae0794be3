//! `telltale-cloud repository`: what vehicles may be given, staged, signed and published.

#![allow(clippy::print_stdout, reason = "a command's output room")]

use super::person::Db;
use super::stick::Stick;
use crate::director::{self, OtaConfig};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use telltale_repository::key::{KeyId, PublicKey, SigningKey};
use telltale_repository::{Holders, Repository, RepositoryError, Side};
use telltale_wire::bundle::{BundleName, IndexPath};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// The repository of models. A change is staged, signed by those whose keys it needs, and published as a whole. Each
/// command that stages takes keys too: with all of them at hand it publishes at once.
#[derive(Debug, Subcommand)]
pub(super) enum RepositoryCommand {
    /// Stage the first roots of image repository and director.
    #[command(after_help = "\
Example:
  telltale-cloud repository init --dir repo --root anna.pub --root ben.pub --root eva.pub --targets anna-targets.pub \\
    --snapshot online/snapshot.pub --timestamp online/timestamp.pub --director online/director.pub")]
    Init(Init),
    /// Stage that a family of models is signed for by these keys alone.
    #[command(after_help = "\
Example:
  telltale-cloud repository delegate --dir repo --family cell-fault --signer eva-models.pub

Given again, the new keys take the place of the old ones.")]
    Delegate(Delegate),
    /// Copy a bundle in and stage its family's metadata, which its signers have to sign.
    #[command(after_help = "\
Example:
  telltale-cloud repository add --dir repo --from bundles cell-fault/cell-fault-7.index --key eva-models.pem \\
    --key online/snapshot.pem --key online/timestamp.pem")]
    Add(Add),
    /// Stage a family's metadata without this bundle: no vehicle takes it from then on.
    Withdraw(Withdraw),
    /// Stage a root with another key for a role: added, revoked, or both.
    #[command(after_help = "\
Example, for a timestamp key that was stolen:
  telltale-cloud repository rotate --dir repo --side image --role timestamp --revoke online/timestamp.pub \\
    --add online/timestamp-2.pub

The root is then signed by as many of its holders as before, and vehicles follow it by themselves.")]
    Rotate(Rotate),
    /// Sign everything staged, each file by those keys that may.
    Sign(Staged),
    /// Publish everything staged. Needs the keys of snapshot and timestamp; without anything staged it renews those.
    #[command(after_help = "\
Example, for a timer that runs every day:
  telltale-cloud repository publish --dir repo --key online/snapshot.pem --key online/timestamp.pem")]
    Publish(Staged),
    /// Stage again, for longer, what ends soon.
    Renew(Renew),
    /// Print every role: version, end, signatures; fails if one ends soon.
    Status(Status),
    /// Write a USB stick for one vehicle.
    #[command(after_help = "\
Example:
  telltale-cloud repository stick --dir repo --vehicle bench-01 --director online/director.pem --after 12 \\
    --out /media/usb cell-fault/cell-fault-7.index

A sealed model needs --content-key, and with --sealing-key what `telltale model key` prints at the vehicle.

The stick's metadata gets the versions after --after: the newest that the vehicle was given, by the server or by a
stick, 0 if none. The server has to go on from the one that is printed.")]
    Stick(Stick),
    /// Write a USB stick with what the server has for one vehicle now: models, configuration and commands.
    #[command(after_help = "\
Example:
  telltale-cloud repository export --dir repo --db fleet.db --director online/director.pem --vehicle bench-01 \\
    --out /media/usb

and at the vehicle, before the end that is printed: telltale model install /media/usb. Versions are those of the server's
database, so that the vehicle may be told by stick and over the air in any order.")]
    Export(Export),
}

/// The repository's folder, and keys to sign with.
#[derive(Debug, Args)]
pub(super) struct Staged {
    /// The repository's folder.
    #[arg(long)]
    dir: PathBuf,
    /// A private key to sign with; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
}

/// See [`RepositoryCommand::Init`].
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    staged: Staged,
    /// A public key of the roots' holders, for both repositories; at least two.
    #[arg(long = "root", required = true, value_name = "FILE")]
    roots: Vec<PathBuf>,
    /// How many of them must sign.
    #[arg(long, default_value_t = 2)]
    threshold: usize,
    /// The public key of the image repository's targets, offline.
    #[arg(long, value_name = "FILE")]
    targets: PathBuf,
    /// The public key of its snapshots.
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// The public key of its timestamps.
    #[arg(long, value_name = "FILE")]
    timestamp: PathBuf,
    /// The public key of the director, online.
    #[arg(long, value_name = "FILE")]
    director: PathBuf,
}

/// See [`RepositoryCommand::Delegate`].
#[derive(Debug, Args)]
pub(super) struct Delegate {
    #[command(flatten)]
    staged: Staged,
    /// The family.
    #[arg(long)]
    family: BundleName,
    /// A public key that signs for it; may be given several times.
    #[arg(long = "signer", required = true, value_name = "FILE")]
    signers: Vec<PathBuf>,
    /// How many of them must sign.
    #[arg(long, default_value_t = 1)]
    threshold: usize,
}

/// See [`RepositoryCommand::Add`].
#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    staged: Staged,
    /// The folder of `telltale bundle build`.
    #[arg(long)]
    from: PathBuf,
    /// The index, FAMILY/NAME-RELEASE.index.
    path: IndexPath,
}

/// See [`RepositoryCommand::Withdraw`].
#[derive(Debug, Args)]
pub(super) struct Withdraw {
    #[command(flatten)]
    staged: Staged,
    /// The index, FAMILY/NAME-RELEASE.index.
    path: IndexPath,
}

/// See [`RepositoryCommand::Rotate`].
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    staged: Staged,
    /// Whose root.
    #[arg(long)]
    side: Which,
    /// root, targets, snapshot or timestamp.
    #[arg(long)]
    role: String,
    /// A public key to add; may be given several times.
    #[arg(long, value_name = "FILE")]
    add: Vec<PathBuf>,
    /// A key to revoke: its file, or the first digits of its name; may be given several times.
    #[arg(long, value_name = "KEY")]
    revoke: Vec<String>,
    /// How many signatures the role needs from then on.
    #[arg(long)]
    threshold: Option<usize>,
}

/// See [`RepositoryCommand::Renew`].
#[derive(Debug, Args)]
pub(super) struct Renew {
    #[command(flatten)]
    staged: Staged,
    /// What ends within this many days.
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    within: u32,
}

/// See [`RepositoryCommand::Status`].
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The repository's folder.
    #[arg(long)]
    dir: PathBuf,
    /// Fail if something ends within this many days.
    #[arg(long, default_value_t = 1, value_name = "DAYS")]
    within: u32,
}

/// See [`RepositoryCommand::Export`].
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The repository's folder.
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    db: Db,
    /// The vehicle that it is for.
    #[arg(long, value_parser = super::vehicle_id)]
    vehicle: VehicleId,
    /// The director's private key.
    #[arg(long, value_name = "FILE")]
    director: PathBuf,
    /// The stick's folder.
    #[arg(long)]
    out: PathBuf,
}

/// Which of the two repositories.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Which {
    /// What there is.
    Image,
    /// What each vehicle gets.
    Director,
}

impl From<Which> for Side {
    fn from(which: Which) -> Self {
        match which {
            Which::Image => Side::Image,
            Which::Director => Side::Director,
        }
    }
}

impl RepositoryCommand {
    /// Does it.
    ///
    /// # Errors
    /// With what failed, on what, and what to do.
    pub(super) fn run(self) -> Result<()> {
        let now = now()?;
        match self {
            Self::Init(it) => it.staged.after(|repository| {
                let holders = |targets: &Path, snapshot: &Path, timestamp: &Path| {
                    Ok::<_, RepositoryError>(Holders {
                        root: public(&it.roots)?,
                        root_threshold: it.threshold,
                        targets: PublicKey::read(targets)?,
                        snapshot: PublicKey::read(snapshot)?,
                        timestamp: PublicKey::read(timestamp)?,
                    })
                };
                repository.init(Side::Image, &holders(&it.targets, &it.snapshot, &it.timestamp)?, now)?;
                repository.init(Side::Director, &holders(&it.director, &it.director, &it.director)?, now)
            }),
            Self::Delegate(it) => it.staged.after(|repository| {
                repository.delegate(&it.family, &public(&it.signers)?, it.threshold, now)
            }),
            Self::Add(it) => it.staged.after(|repository| repository.add(&it.from, &it.path, now)),
            Self::Withdraw(it) => it.staged.after(|repository| repository.withdraw(&it.path, now)),
            Self::Rotate(it) => it.run(now),
            Self::Sign(staged) => staged.sign().map(|_| ()),
            Self::Publish(staged) => {
                let keys = staged.sign()?;
                told(&Repository::open(&staged.dir).publish(&keys, now)?);
                Ok(())
            }
            Self::Renew(it) => it.staged.after(|repository| {
                for (side, role) in repository.renew(it.within, now)? {
                    println!("staged {} {role}, for longer", side.folder());
                }
                Ok(())
            }),
            Self::Status(it) => it.run(now),
            Self::Stick(it) => it.run(now),
            Self::Export(it) => super::runtime()?.block_on(it.run(now)),
        }
    }
}

impl Staged {
    /// Stages by `change`, signs with the keys that were given, and publishes if nothing is missing.
    fn after(&self, change: impl FnOnce(&Repository) -> Result<(), RepositoryError>) -> Result<()> {
        let repository = Repository::open(&self.dir);
        change(&repository)?;
        let keys = self.sign()?;
        match repository.publish(&keys, now()?) {
            Ok(paths) => told(&paths),
            Err(missing @ RepositoryError::NotSigned { .. }) => {
                println!("staged in {}: {missing}", self.dir.join("staged").display());
                println!(
                    "next: telltale-cloud repository sign --dir {0} --key FILE, then publish",
                    self.dir.display()
                );
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn sign(&self) -> Result<Vec<SigningKey>> {
        let keys = self.keys.iter().map(|path| SigningKey::read(path)).collect::<Result<Vec<_>, _>>()?;
        for (side, role, key) in Repository::open(&self.dir).sign(&keys)? {
            println!("signed {} {role} by {key}", side.folder());
        }
        Ok(keys)
    }
}

impl Rotate {
    fn run(self, now: WallTime) -> Result<()> {
        let side = Side::from(self.side);
        let repository = Repository::open(&self.staged.dir);
        let revoke =
            self.revoke.iter().map(|key| revoked(&repository, side, key)).collect::<Result<Vec<_>>>()?;
        let add = public(&self.add)?;
        self.staged
            .after(|repository| repository.rotate(side, &self.role, &add, &revoke, self.threshold, now))
    }
}

/// The key of a file, or of the first digits of its name.
fn revoked(repository: &Repository, side: Side, key: &str) -> Result<KeyId> {
    if Path::new(key).exists() {
        return Ok(PublicKey::read(Path::new(key))?.id());
    }
    let found = repository.find_key(side, key)?;
    found.with_context(|| {
        format!("{key} is neither a file nor the beginning of one key's name: see `repository status`")
    })
}

impl Status {
    fn run(self, now: WallTime) -> Result<()> {
        const DAY_US: i64 = 86_400_000_000;
        let mut soon = Vec::new();
        for it in Repository::open(&self.dir).status()? {
            let days = it.expires.as_unix_micros().saturating_sub(now.as_unix_micros()).div_euclid(DAY_US);
            let who = it.who.map_or_else(String::new, |who| {
                let keys: Vec<&str> = who.keyids.iter().map(KeyId::short).collect();
                format!("{} of {}", who.threshold, keys.join(" "))
            });
            let name = format!("{} {}", it.side.folder(), it.role);
            let state = match it.lacks.as_deref() {
                None => format!("{days} days left"),
                Some("") => "staged, signed".to_owned(),
                Some(lacks) => format!("staged: {lacks}"),
            };
            println!("{name:24} version {:<6} {state:18} {who}", it.version);
            if it.lacks.is_none() && days < i64::from(self.within) {
                soon.push(name);
            }
        }
        if soon.is_empty() { Ok(()) } else { bail!("within {} days ends: {}", self.within, soon.join(", ")) }
    }
}

impl Export {
    async fn run(self, now: WallTime) -> Result<()> {
        let store = self.db.open().await?;
        let config = OtaConfig { repository: self.dir, key: self.director };
        let director = director::Director::open(store.clone(), &config)?;
        let exported = director.export(&self.vehicle, &self.out, now).await?;
        store.close().await;
        let (out, vehicle) = (self.out.display(), &self.vehicle);
        println!("wrote {out} for {vehicle}: version {}, good until {}", exported.version, exported.ends);
        for bundle in exported.bundles {
            println!("  {bundle}");
        }
        Ok(())
    }
}

fn public(paths: &[PathBuf]) -> Result<Vec<PublicKey>, RepositoryError> {
    paths.iter().map(|path| PublicKey::read(path)).collect()
}

fn told(paths: &[PathBuf]) {
    for path in paths {
        println!("published {}", path.display());
    }
}

fn now() -> Result<WallTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(WallTime(i64::try_from(since.as_micros()).context("the clock stands far ahead")?))
}
