//! Whether `telltale bundle` seals what it builds, and with which content key.

#![allow(clippy::print_stdout, reason = "a command's output room")]

use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_seal::{ContentKey, create, read_content_key};

/// The end of the name of a content key's file, behind the family's.
const KEY: &str = ".content-key";

#[derive(clap::Args)]
pub(crate) struct SealArgs {
    /// Seal the chunks, so that only vehicles that the cloud wraps the key for can read them; the content key is the file
    /// FAMILY.content-key (mode 0600) in the output folder, made if it is not there
    #[arg(long)]
    seal: bool,
    /// Seal with this content key, the one of the family's earlier releases: what did not change is not fetched again
    #[arg(long, value_name = "FILE")]
    content_key: Option<PathBuf>,
}

impl SealArgs {
    /// The key, if the bundle is to be sealed.
    ///
    /// # Errors
    /// If the file can't be read or made.
    pub(crate) fn key(&self, family: &str, output: &Path) -> anyhow::Result<Option<Arc<ContentKey>>> {
        let path = match &self.content_key {
            Some(path) => path.clone(),
            None if self.seal => output.join(format!("{family}{KEY}")),
            None => return Ok(None),
        };
        if self.content_key.is_none() && !path.exists() {
            std::fs::create_dir_all(output).with_context(|| format!("can't make {}", output.display()))?;
            create(&path, &ContentKey::generate()?)?;
            println!(
                "made {}: keep it, and give it to no vehicle; telltale-cloud model import --content-key takes it",
                path.display()
            );
        }
        Ok(Some(Arc::new(read_content_key(&path)?)))
    }
}
