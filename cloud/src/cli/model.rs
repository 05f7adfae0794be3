//! `telltale-cloud model`: the registry from the command line.

use super::person::{By, Db, print, print_json, table};
use crate::registry;
use crate::store::ota::ModelLine;
use crate::sync::now;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use telltale_seal::read_content_key;

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Take in the bundle of a folder, checked chunk by chunk.
    #[command(after_help = "\
Example:
  telltale-cloud model import --db fleet.db --by ann out/cell-fault

The folder is the one that `telltale bundle build` wrote, or a repository's: `index/FAMILY/NAME-RELEASE.index`, and the
chunks in `chunk`, each named by its SHA-256. Nothing is stored unless every byte is what the index says. A model is offered to
vehicles only after a second person approved it, a rollout released it, and the image repository signed its index.")]
    Import {
        #[command(flatten)]
        db: Db,
        #[command(flatten)]
        by: By,
        /// The content key of sealed bundles, as `telltale bundle build --seal` made it; needed for a family's first one.
        #[arg(long = "content-key", value_name = "FILE")]
        content_keys: Vec<PathBuf>,
        /// The folder.
        dir: PathBuf,
    },
    /// List the models.
    List {
        #[command(flatten)]
        db: Db,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a model: what it needs, where it comes from, who answers for it.
    Show {
        #[command(flatten)]
        one: One,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Approve a model that another person made and imported.
    #[command(
        after_help = "Example:\n  telltale-cloud model approve --db fleet.db --by ben cell-fault/cell-fault-3.index"
    )]
    Approve {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        by: By,
    },
    /// Revoke a model: it is offered to nobody from now on.
    #[command(after_help = "\
Example:
  telltale-cloud model revoke --db fleet.db --by ann --why 'trained on mislabelled data' cell-fault/cell-fault-3.index

Vehicles that run it keep it; `telltale-cloud command VEHICLE rollback` tells one to go back. The image repository's own
revocation, signed offline, is what a vehicle without this server heeds.")]
    Revoke {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    db: Db,
    /// The path of its index: FAMILY/NAME-RELEASE.index.
    path: String,
}

impl ModelCommand {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Import { db, by, content_keys, dir } => {
                let store = db.open().await?;
                let mut keys = store.content_keys().await?;
                for path in content_keys {
                    keys.push(Arc::new(read_content_key(&path)?));
                }
                let found = registry::import(&dir, &keys)?;
                for model in &found {
                    let is_new = store.add_model(model, &by.name(), now()).await?;
                    let path = model.index.path();
                    let verb = if is_new { "imported" } else { "is known already:" };
                    print(&format!(
                        "{verb} {path}: {} bytes, {} chunks\n",
                        model.index.length(),
                        model.chunks.len()
                    ))?;
                }
                print("next: telltale-cloud model approve, by a second person\n")
            }
            Self::List { db, json } => {
                let models = db.open().await?.models().await?;
                if json { print_json(&models) } else { print(&list(&models)) }
            }
            Self::Show { one, json } => {
                let model = one.db.open().await?.model(&one.path).await?;
                if json { print_json(&model) } else { print(&show(&model)) }
            }
            Self::Approve { one, by } => {
                one.db.open().await?.approve_model(&one.path, &by.name(), &by.why, now()).await?;
                print(&format!("approved {}\n", one.path))
            }
            Self::Revoke { one, by } => {
                one.db.open().await?.revoke_model(&one.path, &by.name(), &by.why, now()).await?;
                print(&format!("revoked {}: it is offered to nobody from now on\n", one.path))
            }
        }
    }
}

fn list(models: &[ModelLine]) -> String {
    let row = |model: &ModelLine| {
        let approver = model.approver.clone().unwrap_or_else(|| "-".into());
        vec![
            model.path.clone(),
            model.version.clone(),
            model.state.to_owned(),
            model.author.clone(),
            approver,
            model.imported.clone(),
        ]
    };
    table(
        &["model", "version", "state", "author", "approver", "imported"],
        &models.iter().map(row).collect::<Vec<_>>(),
    )
}

fn show(model: &ModelLine) -> String {
    let mut text = format!("{} {}, version {}, {}\n", model.family, model.path, model.version, model.state);
    let approver = model.approver.clone().unwrap_or_else(|| "nobody yet".into());
    let facts = [
        ("index", model.digest.clone()),
        ("author", model.author.clone()),
        ("imported by", format!("{}, {}", model.publisher, model.imported)),
        ("approved by", approver),
        ("hardware", model.hardware.join(", ")),
        ("oldest agent", model.min_agent.clone()),
        ("features", model.features.clone()),
        ("size", format!("{} bytes", model.bytes)),
        ("sealed", model.sealed.clone().map_or_else(|| "no".into(), |key| format!("with {key}"))),
        ("budget", format!("{} us, {} bytes of memory", model.latency_us, model.memory_bytes)),
    ];
    // Writing to a String cannot fail.
    for (name, value) in facts {
        let _ = writeln!(text, "  {name:<13} {value}");
    }
    if !model.lineage.is_empty() {
        text += "where it comes from:\n";
        for (name, value) in &model.lineage {
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    for line in &model.audit {
        let _ = writeln!(text, "{} {} by {}: {}", line.at, line.act, line.who, line.why);
    }
    text
}
