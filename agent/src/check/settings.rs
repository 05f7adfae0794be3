//! The configuration's own text: where a setting stands, and what was probably meant by one that does not exist.

use super::Finding;
use crate::config::Config;
use std::ops::Range;
use telltale_core::dbc::Severity;

/// Unknown keys of one file that are named; with more it is another kind of file.
const MAX_UNKNOWN: usize = 16;

/// A key at most this many letters away, and not half of them, is what was probably meant.
const NEAR: usize = 3;

/// What is wrong with the text by itself. Keys that do not exist are all named; of other errors the first.
pub(super) fn findings(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rest = text.to_owned();
    while let Err(error) = toml::from_str::<Config>(&rest) {
        let line = error.span().map_or(0, |span| line_at(text, span.start));
        let hint = hint(error.message());
        let is_unknown = error.message().starts_with("unknown field");
        let finding = Finding {
            file: file.to_owned(),
            line,
            severity: Severity::Error,
            text: error.message().trim_end().to_owned(),
            hint,
        };
        findings.push(finding);
        match error.span().filter(|_| is_unknown && findings.len() < MAX_UNKNOWN) {
            // The lines keep their numbers.
            Some(span) => blank(&mut rest, &span),
            None => break,
        }
    }
    if findings.is_empty()
        && let Err(error) = Config::parse(text)
    {
        let text_of = format!("{error:#}");
        let line = text_of.split('`').nth(1).map_or(0, |setting| line_of(text, setting));
        let finding =
            Finding { file: file.to_owned(), line, severity: Severity::Error, text: text_of, hint: None };
        findings.push(finding);
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// What was probably meant, from the parser's words: "unknown field `catlog`, expected one of `vehicle`, `catalog`".
pub(crate) fn hint(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let nearest = quoted.map(|known| (distance(unknown, known), known)).min()?;
    (nearest.0 <= NEAR.min(unknown.len() / 2)).then(|| format!("did you mean `{}`?", nearest.1))
}

/// The line where a setting such as `spool.dir` stands, from 1: of its key, else of its section; 0 if neither is there.
pub(crate) fn line_of(text: &str, setting: &str) -> u32 {
    let (section, key) = setting.rsplit_once('.').unwrap_or(("", setting));
    let (mut current, mut found) = (String::new(), 0);
    for (place, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = name.trim().to_owned();
            if current == section || current == setting {
                found = place;
            }
            continue;
        }
        let name = line.split('=').next().unwrap_or_default().trim();
        if current == section && name == key {
            return place;
        }
        if current.is_empty() && (name == section || name == setting) && !name.is_empty() {
            found = place;
        }
    }
    found
}

fn line_at(text: &str, at: usize) -> u32 {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() as u32
}

/// Turns the line of a key, or a section with all its lines, into spaces.
fn blank(text: &mut String, span: &Range<usize>) {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let is_section = text.get(start..).is_some_and(|line| line.trim_start().starts_with('['));
    let close = if is_section { "\n[" } else { "\n" };
    let end = text.get(span.start..).and_then(|after| after.find(close));
    let end = end.map_or(text.len(), |at| span.start + at);
    // Byte by byte: what follows keeps its place.
    let blanks = text.as_bytes().iter().skip(start).take(end.saturating_sub(start));
    let blanks: String = blanks.map(|byte| if *byte == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(start..end, &blanks);
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EXAMPLE;

    #[test]
    fn the_example_has_no_findings() {
        assert_eq!(findings("t", EXAMPLE), []);
    }

    #[test]
    fn every_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        let text = "vehicle = \"v\"\ncatalog = \"c\"\nsumary_s = 5\n\n[spool]\ndir = \"s\"\ncap_mb = 64\n\n[colour]\nx = 1\n";
        let found = findings("t.toml", text);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("t.toml:3: error: unknown field `sumary_s`"), "{told:?}");
        assert!(told[0].ends_with("did you mean `summary_s`?"), "{told:?}");
        assert!(
            told[1].starts_with("t.toml:7: ") && told[1].ends_with("did you mean `cap_mib`?"),
            "{told:?}"
        );
        assert!(told[2].starts_with("t.toml:9: ") && !told[2].contains("did you mean"), "{told:?}");
    }

    #[test]
    fn a_value_out_of_bounds_is_found_where_it_stands() {
        let text =
            "vehicle = \"v\"\ncatalog = \"c\"\nspool = { dir = \"s\" }\n[limits]\n# x\ninference_ms = 0\n";
        let [finding] = &findings("t", text)[..] else { panic!() };
        assert_eq!(finding.line, 6);
        assert_eq!(findings("t", "vehicle = \"v\"\ncatalog =\n")[0].line, 2);
    }

    #[test]
    fn settings_are_found_in_sections_and_inline() {
        let text = "a = 1\nspool = { dir = \"s\" }\n[uplink]\nurl = 1\nca = 2\n";
        for (setting, line) in
            [("a", 1), ("spool.dir", 2), ("uplink.ca", 5), ("uplink.cert", 3), ("x.y", 0), ("", 0)]
        {
            assert_eq!(line_of(text, setting), line, "{setting}");
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, n) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("cap_mb", "cap_mib", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (n, n));
        }
    }
}
