//! What most commands of a fleet's models share: which database, who asks and why, and how an answer is printed.

use crate::store::Store;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long a command waits for a server that is writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who one is where no `--by` says so.
const USER: &str = "TELLTALE_USER";

#[derive(Debug, Args)]
pub(super) struct Db {
    /// The server's database.
    #[arg(long)]
    db: PathBuf,
}

impl Db {
    pub(super) async fn open(&self) -> Result<Store> {
        if !self.db.is_file() {
            bail!(
                "no database at {}: give the file that `telltale-cloud serve --db` uses",
                self.db.display()
            );
        }
        Ok(Store::open(&self.db, PATIENCE).await?)
    }
}

#[derive(Debug, Args)]
pub(super) struct By {
    /// Who decides this; kept with the decision [default: TELLTALE_USER of the environment].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why; kept with the decision.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) why: String,
}

impl By {
    /// The name; empty where none is given, which the store refuses.
    pub(super) fn name(&self) -> String {
        self.by.clone().or_else(|| std::env::var(USER).ok()).unwrap_or_default()
    }
}

/// Prints an answer as JSON.
pub(super) fn print_json<T: Serialize>(answer: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(answer).context("the answer has no JSON form")?;
    text.push('\n');
    print(&text)
}

/// Prints an answer. A reader that goes away is told of, and no panic.
pub(super) fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("can't print the answer")
}

/// Rows in columns, each as wide as its widest.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(wide).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(head.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = vec![vec!["1".to_owned(), "running".to_owned()], vec!["12".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["id", "phase"], &rows), "id  phase\n1   running\n12  x\n");
    }
}
