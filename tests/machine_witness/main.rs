//! `machine_witness SPOOL DATABASE`: what of a spool that a machine left behind is at the cloud, record by record.
//!
//! Reads both past the programs that wrote them, and prints one JSON object: `durable`, the records of the spool;
//! `missing`, those of them that are not in the database with the same bytes; `stored`, the records of the database. The
//! spool is opened, which repairs it: give a copy.
#![allow(clippy::print_stdout)] // A program for a terminal.

use anyhow::{Context as _, Result, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeMap;
use std::path::Path;
use telltale_agent::files::Directory;
use telltale_core::spool::{BatchLimits, Spool, SpoolConfig};
use telltale_wire::ids::{BootId, Lane, Seq};
use telltale_wire::record::RawRecord;
use telltale_wire::sync::Ack;
use telltale_wire::time::{MonoTime, Stamp};

type Records = BTreeMap<(BootId, Lane, Seq), RawRecord>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [spool, database] = words.as_slice() else { anyhow::bail!("usage: machine_witness SPOOL DATABASE") };
    let held = held(Path::new(spool)).context("the spool")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stored = runtime.block_on(stored(Path::new(database))).context("the database")?;
    let missing = held.iter().filter(|(key, record)| stored.get(key) != Some(record)).count();
    println!("{{\"durable\":{},\"missing\":{missing},\"stored\":{}}}", held.len(), stored.len());
    Ok(())
}

/// All that waits in a spool.
fn held(directory: &Path) -> Result<Records> {
    let me = BootId::new(u32::MAX, 0);
    let now = Stamp { mono: MonoTime(0), wall: None };
    let files = Directory::open(directory)?;
    let (mut spool, report) = Spool::open(files, SpoolConfig::default(), me, now)?;
    ensure!(report.losses.is_empty(), "it lost records: {:?}", report.losses);
    let mut held = Records::new();
    loop {
        let batches = spool.next_batch(now, BatchLimits { records: 2_000, bytes: 1_000_000 });
        if batches.is_empty() {
            return Ok(held);
        }
        let mut acks = Vec::new();
        for batch in &batches {
            for (number, raw) in (batch.first_seq.0..).zip(&batch.records) {
                held.insert((batch.boot, batch.lane, Seq(number)), raw.clone());
            }
            let through = batch.last_seq().context("a batch without records")?;
            acks.push(Ack { boot: batch.boot, lane: batch.lane, through });
        }
        spool.ack(now, &acks);
    }
}

/// All that stands in a cloud's database, each once.
async fn stored(path: &Path) -> Result<Records> {
    let mut db: SqliteConnection = SqliteConnectOptions::new().filename(path).connect().await?;
    let rows: Vec<(i64, u8, i64, u16, Vec<u8>)> =
        sqlx::query_as("SELECT boot, lane, seq, kind, body FROM records").fetch_all(&mut db).await?;
    let count = rows.len();
    let mut records = Records::new();
    for (boot, lane, seq, kind, body) in rows {
        let lane = Lane::from_index(lane).context("a lane that is none")?;
        let key = (BootId(i64::cast_unsigned(boot)), lane, Seq(i64::cast_unsigned(seq)));
        records.insert(key, RawRecord { kind, body });
    }
    db.close().await?;
    ensure!(records.len() == count, "{} records stand there twice", count - records.len());
    Ok(records)
}
