//! `telltale-cloud vehicle`: the keys that sealed models are wrapped for.

use super::person::{By, Db, print, print_json, table};
use crate::sync::now;
use anyhow::Result;
use clap::Subcommand;
use telltale_wire::ids::VehicleId;

#[derive(Debug, Subcommand)]
pub(super) enum VehicleCommand {
    /// List the public halves of the vehicles' sealing keys, as each told it over its own line.
    Keys {
        #[command(flatten)]
        db: Db,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget a vehicle's sealing key: the next one that it tells is taken.
    #[command(after_help = "\
Example:
  telltale-cloud vehicle forget-key --db fleet.db --by ann --why 'new ECU, ticket 4711' bench-01

A vehicle tells its key at each start, and the first is taken for good: whoever has stolen a vehicle's certificate can't
have models wrapped for a key of his own. After a lost or changed key a person decides. Compare what comes then with
what `telltale model key` prints at the vehicle. What the vehicle holds sealed for its old key it can't open any more: it goes
back to its configured model, and takes the release anew.")]
    ForgetKey {
        #[command(flatten)]
        db: Db,
        #[command(flatten)]
        by: By,
        /// The vehicle's id.
        #[arg(value_parser = super::vehicle_id)]
        vehicle: VehicleId,
    },
}

impl VehicleCommand {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Keys { db, json } => {
                let keys = db.open().await?.sealing_keys().await?;
                if json {
                    return print_json(&keys);
                }
                let rows: Vec<_> =
                    keys.into_iter().map(|key| vec![key.vehicle, key.public, key.received]).collect();
                print(&table(&["vehicle", "public key", "since"], &rows))
            }
            Self::ForgetKey { db, by, vehicle } => {
                db.open().await?.forget_sealing_key(&vehicle, &by.name(), &by.why, now()).await?;
                print(&format!(
                    "the sealing key of {vehicle} is forgotten: the next one that it tells is taken\n"
                ))
            }
        }
    }
}
