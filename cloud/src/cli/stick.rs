//! `telltale-cloud repository stick`: a USB stick for one vehicle, without a server.

#![allow(clippy::print_stdout, reason = "a command's output room")]

use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use telltale_repository::director::{Director, Versions};
use telltale_repository::key::SigningKey;
use telltale_repository::metadata::Target;
use telltale_repository::{Repository, Side};
use telltale_seal::{ContentKey, RecipientKey, read_content_key};
use telltale_wire::bundle::{BundleIndex, IndexPath};
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// What a stick is written from.
#[derive(Debug, Args)]
pub(super) struct Stick {
    /// The repository's folder.
    #[arg(long)]
    dir: PathBuf,
    /// The vehicle that it is for.
    #[arg(long, value_parser = super::vehicle_id)]
    vehicle: VehicleId,
    /// The director's private key.
    #[arg(long, value_name = "FILE")]
    director: PathBuf,
    /// The newest version of the director's metadata that the vehicle was given.
    #[arg(long, value_name = "VERSION")]
    after: u64,
    /// The stick's folder.
    #[arg(long)]
    out: PathBuf,
    /// The content key of a sealed bundle; may be given several times.
    #[arg(long = "content-key", value_name = "FILE", requires = "sealing_key")]
    content_keys: Vec<PathBuf>,
    /// The public half of the vehicle's sealing key, as `telltale model key` prints it there.
    #[arg(long, value_name = "HEX")]
    sealing_key: Option<RecipientKey>,
    /// What the vehicle shall have: the indexes.
    #[arg(required = true)]
    paths: Vec<IndexPath>,
}

impl Stick {
    pub(super) fn run(self, now: WallTime) -> Result<()> {
        let repository = Repository::open(&self.dir);
        let director = Director::new(&repository.root(Side::Director)?, SigningKey::read(&self.director)?)?;
        let keys = self.content_keys.iter().map(|path| read_content_key(path));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let mut targets = BTreeMap::new();
        for path in &self.paths {
            let target = repository.target(path)?.with_context(|| format!("{path} is not published"))?;
            targets.insert(path.to_string(), self.wrapped(path, target, &keys)?);
        }
        let before = Versions { targets: self.after, snapshot: self.after, timestamp: self.after };
        let issued = director.issue(&self.vehicle, before, &targets, now)?;
        repository.write_stick(&self.out, &issued, &self.paths)?;
        println!("wrote {} for {}: version {}", self.out.display(), self.vehicle, issued.versions.targets);
        Ok(())
    }

    /// What the director says of a bundle: of a sealed one with its content key, wrapped for the vehicle.
    fn wrapped(&self, path: &IndexPath, mut target: Target, keys: &[ContentKey]) -> Result<Target> {
        let file = self.dir.join("index").join(path.to_string());
        let body = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let index = BundleIndex::decode(&body).with_context(|| format!("{}", file.display()))?;
        let Some(seal) = index.seal else { return Ok(target) };
        let key = keys.iter().find(|key| key.id() == seal.key_id);
        let (Some(key), Some(recipient)) = (key, &self.sealing_key) else {
            bail!(
                "{path} is sealed with the content key {}: give its file with --content-key, and the vehicle's \
                 public key with --sealing-key",
                seal.key_id
            );
        };
        let wrapped = recipient.wrap(key, &self.vehicle, &index.family)?;
        if let Some(custom) = &mut target.custom {
            custom.content_key = Some(wrapped.to_hex());
        }
        Ok(target)
    }
}
