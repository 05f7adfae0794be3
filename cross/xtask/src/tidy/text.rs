//! Rules on one file's text: the opening paragraph, the purity of agent/core, length, lints, paths of one machine.

use super::Finding;
use crate::code;

/// More lines of code than this in one file is a finding.
const MAX_LINES: usize = 500;
/// More lines of code than this in one file is a warning.
const WARN_LINES: usize = 400;

/// Files that may be longer than [`MAX_LINES`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Where machine paths may stand, each with its reason.
const MACHINE_PATH_FILES: &[(&str, &str)] = &[];

/// Folders of a particular machine or account. Split so that this file does not break its own rule.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// What agent/core must not reach, and where that belongs.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "the core is synchronous: the runtime lives in agent/src"),
    ("std::fs", "take bytes and give actions: files are opened in agent/src"),
    ("std::net", "sockets are opened in agent/src"),
    ("std::os", "the operating system's interfaces live in agent/src"),
    ("std::thread", "threads are started in agent/src"),
    ("std::process", "processes are the shell's"),
    ("std::env", "take the setting as a parameter: the environment is read in agent/src"),
    ("Instant::now", "take `now: MonoTime` as a parameter"),
    ("SystemTime::now", "take a `WallTime` as a parameter"),
];

/// All findings in one file.
pub(super) fn check(file: &str, content: &str) -> Vec<Finding> {
    let mut findings = machine_paths(file, content);
    if file.ends_with(".rs") {
        let stripped = code::strip(content);
        findings.extend(module_doc(file, content));
        findings.extend(length(file, &stripped, MAX_LINES));
        findings.extend(purity(file, &stripped));
    }
    if file.ends_with("Cargo.toml") {
        findings.extend(lints(file, content));
    }
    findings
}

/// What is not yet a finding.
pub(super) fn warnings(file: &str, content: &str) -> Option<Finding> {
    let over = |limit| file.ends_with(".rs").then(|| length(file, &code::strip(content), limit)).flatten();
    if over(MAX_LINES).is_some() { None } else { over(WARN_LINES) }
}

fn module_doc(file: &str, content: &str) -> Option<Finding> {
    let first = content.lines().position(|line| !line.trim().is_empty());
    let opens = first.is_some_and(|at| content.lines().nth(at).is_some_and(|line| line.starts_with("//!")));
    (!opens).then(|| Finding {
        file: file.to_owned(),
        line: first.unwrap_or(0) + 1,
        rule: "module-doc",
        advice: "open the file with a `//!` paragraph that says what this room is for".into(),
    })
}

/// A crate that forgets the workspace's lints is checked by none.
fn lints(file: &str, manifest: &str) -> Option<Finding> {
    let is_crate = manifest.lines().any(|line| line.trim() == "[package]");
    let mut after = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let inherits = after.next() == Some("workspace = true");
    (is_crate && !inherits).then(|| Finding {
        file: file.to_owned(),
        line: 1,
        rule: "workspace-lints",
        advice: "add `[lints]` with `workspace = true`: without it no lint of the workspace holds here"
            .into(),
    })
}

fn length(file: &str, stripped: &str, limit: usize) -> Option<Finding> {
    let lines = code::lines_of_code(stripped);
    let excepted = LONG_FILES.iter().any(|(name, _reason)| *name == file);
    (lines > limit && !excepted).then(|| Finding {
        file: file.to_owned(),
        line: 1,
        rule: "file-length",
        advice: format!("{lines} lines of code, over {limit}: split it by what its parts are for"),
    })
}

fn machine_paths(file: &str, content: &str) -> Vec<Finding> {
    if MACHINE_PATH_FILES.iter().any(|(name, _reason)| *name == file) {
        return Vec::new();
    }
    let found = |line: &str| MACHINE_PATHS.iter().find(|path| line.contains(*path)).copied();
    let lines = content.lines().enumerate().filter_map(|(at, line)| Some((at, found(line)?)));
    lines
        .map(|(at, path)| Finding {
            file: file.to_owned(),
            line: at + 1,
            rule: "machine-path",
            advice: format!(
                "`{path}` exists on one machine only: use a relative path, a temporary folder or a setting"
            ),
        })
        .collect()
}

fn purity(file: &str, stripped: &str) -> Vec<Finding> {
    let test_only = file.ends_with("/tests.rs") || file.contains("/tests/");
    if !file.starts_with("agent/core/src/") || test_only {
        return Vec::new();
    }
    let code = code::before_tests(stripped);
    let mut findings = Vec::new();
    for (what, instead) in IMPURE {
        for at in reaches(code, what) {
            findings.push(Finding {
                file: file.to_owned(),
                line: code[..at].matches('\n').count() + 1,
                rule: "core-purity",
                advice: format!("`{what}` has no place in the core: {instead}"),
            });
        }
    }
    findings
}

/// Where the code reaches a path, also through `use std::{fs, net}`.
fn reaches(code: &str, path: &str) -> Vec<usize> {
    let mut found: Vec<usize> = words(code, path).collect();
    if let Some((krate, item)) = path.split_once("::")
        && krate == "std"
    {
        for at in words(code, "std::{") {
            let inside = &code[at + "std::{".len()..];
            found.extend(top_level_items(inside).filter(|name| *name == item).map(|_| at));
        }
    }
    found
}

/// The places of `word` where no identifier goes on before or behind it.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let ident = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back().is_some_and(ident);
        let behind = !word.ends_with('{') && code[at + word.len()..].chars().next().is_some_and(ident);
        !before && !behind
    })
}

/// The first identifiers of a brace group's items: `fs::{self, File}, io}` gives `fs`, `io`.
fn top_level_items(inside: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let mut item_starts = true;
    let mut items = Vec::new();
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => item_starts = true,
            c if c.is_whitespace() => {}
            _ if item_starts => {
                item_starts = false;
                let end = inside[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
                items.push(&inside[at..end.map_or(inside.len(), |end| at + end)]);
            }
            _ => {}
        }
    }
    items.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str, content: &str) -> Vec<(&'static str, usize)> {
        check(file, content).into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn a_file_without_an_opening_paragraph_is_found() {
        assert_eq!(rules("a/b.rs", "\nfn f() {}\n"), [("module-doc", 2)]);
        assert_eq!(rules("a/b.rs", ""), [("module-doc", 1)]);
        assert_eq!(rules("a/b.rs", "//! What it is for.\nfn f() {}\n"), []);
        assert_eq!(rules("a/b.py", "x = 1\n"), []);
    }

    #[test]
    fn the_core_reaching_outside_is_found() {
        for impure in [
            "use std::fs;",
            "use std::{collections::HashMap, fs::File};",
            "use std::{\n    io,\n    net,\n};",
            "let t = std::time::Instant::now();",
            "let t = SystemTime::now();",
            "fn f() { std::thread::sleep(d) }",
            "use tokio::sync::mpsc;",
            "std::env::var(NAME)",
        ] {
            let source = format!("//! Doc.\n{impure}\n");
            assert_eq!(rules("agent/core/src/x.rs", &source), [("core-purity", 2)], "{impure}");
            assert_eq!(rules("agent/src/x.rs", &source), [], "only the core is bound: {impure}");
        }
    }

    #[test]
    fn prose_tests_and_lookalikes_are_no_reach() {
        for pure in [
            "// std::fs is for others",
            "let s = \"tokio\";",
            "use std::{fmt, io::{self, net_like}};",
            "use std::fs_like;",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
        ] {
            assert_eq!(rules("agent/core/src/x.rs", &format!("//! Doc.\n{pure}\n")), [], "{pure}");
        }
    }

    #[test]
    fn a_crate_without_the_workspaces_lints_is_found() {
        assert_eq!(rules("x/Cargo.toml", "[package]\nname = \"x\"\n"), [("workspace-lints", 1)]);
        assert_eq!(
            rules("x/Cargo.toml", "[package]\n\n[lints]\nunsafe_code = \"allow\"\n"),
            [("workspace-lints", 1)]
        );
        assert_eq!(rules("x/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"), []);
        assert_eq!(rules("Cargo.toml", "[workspace]\n"), []);
    }

    #[test]
    fn a_file_that_grew_too_long_is_found_and_warned_about_before() {
        let source = |lines: usize| format!("//! Doc.\n{}", "x();\n".repeat(lines));
        assert_eq!(rules("a.rs", &source(MAX_LINES + 1)), [("file-length", 1)]);
        assert_eq!(rules("a.rs", &source(MAX_LINES)), []);
        assert_eq!(
            warnings("a.rs", &source(WARN_LINES + 1)).map(|finding| finding.rule),
            Some("file-length")
        );
        assert_eq!(warnings("a.rs", &source(WARN_LINES)), None);
        assert_eq!(rules("a.rs", &format!("{}{}", source(MAX_LINES), "// prose\n\n".repeat(99))), []);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for path in MACHINE_PATHS {
            assert_eq!(rules("notes.md", &format!("ok\nsee {path}x\n")), [("machine-path", 2)]);
        }
        assert_eq!(rules("notes.md", "work/, home/ and root/ of the tree\n"), []);
    }
}
