//! `telltale-cloud keys`: the keys that sign updates, each in a file of its own.

#![allow(clippy::print_stdout, reason = "a command's output room")]

use anyhow::{Context as _, Result};
use clap::Subcommand;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use telltale_repository::key::{PublicKey, SigningKey};

/// Keys that sign updates: Ed25519, PKCS #8 in PEM.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make keys: NAME.pem (private, mode 0600) and NAME.pub (to be given to whoever runs the repository).
    #[command(after_help = "\
Examples:
  telltale-cloud keys generate /media/anna/root-anna
  telltale-cloud keys generate online/snapshot online/timestamp online/director

Each holder of an offline key makes it on a machine of his own and hands over the .pub file alone. Nothing is ever
overwritten. The procedure is in cloud/repository/CEREMONY.md.")]
    Generate {
        /// Where to, without an ending.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<PathBuf>,
    },
    /// Print the names of keys, of private or public files.
    Show {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl KeysCommand {
    /// Does it.
    ///
    /// # Errors
    /// If a file exists already, can't be written or holds no key.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Generate { names } => names.iter().try_for_each(|name| generate(name)),
            Self::Show { files } => files.iter().try_for_each(|file| {
                println!("{}  {}", PublicKey::read(file)?.id(), file.display());
                Ok(())
            }),
        }
    }
}

fn generate(name: &Path) -> Result<()> {
    let (private, public) = (with_ending(name, ".pem"), with_ending(name, ".pub"));
    if let Some(folder) = name.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let key = SigningKey::generate()?;
    key.write(&private)?;
    key.public().write(&public)?;
    println!("{}  {} and {}", key.id(), private.display(), public.display());
    Ok(())
}

/// Not `with_extension`, which would cut `root.anna` to `root`.
fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = name.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
