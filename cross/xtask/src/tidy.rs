//! `cargo xtask tidy`: the rules of the house that no lint can say.
//!
//! `text` looks at each committed file by itself, `listening` at what the vehicle's programs do to a bus, `graph` at who
//! depends on whom. A rule is a function from what
//! it looks at to findings, so that each has a test with a sample that breaks it.

mod graph;
mod listening;
mod text;

use crate::shell;
use anyhow::{Result, bail};
use std::fmt;
use std::fs;

/// One broken rule, with the way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The rule's short name.
    pub(crate) rule: &'static str,
    /// What to do about it.
    pub(crate) advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.advice)
    }
}

/// Checks the whole repository and prints each finding.
pub(crate) fn run() -> Result<()> {
    let files = committed_files()?;
    let mut findings = Vec::new();
    let mut read = 0_usize;
    for file in &files {
        // A file that is not text has no lines to check, and a file that is gone from the tree no bytes.
        let Ok(content) = fs::read_to_string(shell::root().join(file)) else { continue };
        read += 1;
        findings.extend(text::check(file, &content));
        findings.extend(listening::check(file, &content));
        if let Some(warning) = text::warnings(file, &content) {
            println!("warning: {warning}");
        }
    }
    findings.extend(graph::check()?);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!(
                "tidy: {read} text files, the layers, the lock file and the vehicle's build keep the rules"
            );
            Ok(())
        }
        1 => bail!("tidy: one finding, with its way out above"),
        n => bail!("tidy: {n} findings, each with its way out above"),
    }
}

/// Every file that is committed or about to be.
fn committed_files() -> Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = shell::output(shell::program("git").args(list))?;
    Ok(listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_file_line_rule_and_advice() {
        let finding =
            Finding { file: "a.rs".into(), line: 3, rule: "module-doc", advice: "write one".into() };
        assert_eq!(finding.to_string(), "a.rs:3: module-doc: write one");
    }

    #[test]
    fn this_repository_is_seen() {
        let files = committed_files().unwrap();
        assert!(files.iter().any(|file| file == "cross/xtask/src/tidy.rs"));
        assert!(!files.iter().any(|file| file.starts_with("target/")));
    }
}
