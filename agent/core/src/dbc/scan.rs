//! Cuts a DBC text into statements, each with its line, so that a fault stays within the statement that has it.
//!
//! A statement starts at the beginning of a line with a keyword of the format. Messages and signals end with
//! their line; the others end with a semicolon outside quotes, however many lines that takes.

use super::Findings;

/// The keywords that start a statement. The list of new symbols (`NS_`) names them too, alone on their lines.
const KEYWORDS: [&str; 29] = [
    "BO_",
    "SG_",
    "VAL_",
    "CM_",
    "BA_",
    "SIG_VALTYPE_",
    "SG_MUL_VAL_",
    "BA_DEF_",
    "BA_DEF_DEF_",
    "BA_DEF_REL_",
    "BA_DEF_DEF_REL_",
    "BA_REL_",
    "BA_DEF_SGTYPE_",
    "BA_SGTYPE_",
    "BO_TX_BU_",
    "BS_",
    "BU_",
    "CAT_",
    "CAT_DEF_",
    "ENVVAR_DATA_",
    "EV_",
    "EV_DATA_",
    "FILTER",
    "NS_",
    "SGTYPE_",
    "SIG_GROUP_",
    "SIG_TYPE_REF_",
    "VAL_TABLE_",
    "VERSION",
];

/// The longest string of a file, in bytes: a bound on the search for a closing quote.
const MAX_STRING_LEN: usize = 64 * 1024;

/// One statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Statement<'t> {
    /// The line that it starts on, from 1.
    pub(super) line: u32,
    /// One of the keywords.
    pub(super) keyword: &'static str,
    /// What follows the keyword, without the final semicolon.
    pub(super) rest: &'t str,
}

/// Cuts the text. What belongs to no statement is reported.
pub(super) fn statements<'t>(text: &'t str, findings: &mut Findings) -> Vec<Statement<'t>> {
    let mut scanner = Scanner { text, at: 0, line: 1, in_list: false };
    let mut found = Vec::new();
    while scanner.at < text.len() {
        scanner.step(&mut found, findings);
    }
    found
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    /// Whether the last statement was one whose list goes on over indented lines (`NS_`, `BU_`).
    in_list: bool,
}

impl<'t> Scanner<'t> {
    /// Takes one statement, or passes over one line that starts none.
    fn step(&mut self, found: &mut Vec<Statement<'t>>, findings: &mut Findings) {
        let line = first_line(&self.text[self.at..]);
        let body = line.trim();
        let Some(keyword) = keyword_of(body) else {
            let continues = self.in_list && line.starts_with([' ', '\t']);
            if !(body.is_empty() || body.starts_with("//") || continues) {
                findings.warn(
                    self.line,
                    "",
                    format!("`{}` starts no DBC statement, the line is ignored", shorten(body)),
                );
            }
            return self.advance(line.len() + 1);
        };
        let after = body[keyword.len()..].trim_start();
        if self.in_list && after.is_empty() {
            return self.advance(line.len() + 1);
        }
        self.in_list = matches!(keyword, "NS_" | "BU_");
        let start = self.at + (line.len() - line.trim_start().len()) + keyword.len();
        let (end, next) = match keyword {
            "BO_" | "SG_" | "NS_" | "BU_" | "BS_" | "VERSION" => {
                (self.at + line.len(), self.at + line.len() + 1)
            }
            _ => self.semicolon(start, findings),
        };
        found.push(Statement { line: self.line, keyword, rest: self.text[start..end].trim() });
        self.advance(next - self.at);
    }

    /// Where the statement that starts here ends, and where to go on.
    fn semicolon(&self, start: usize, findings: &mut Findings) -> (usize, usize) {
        let mut at = start;
        loop {
            let Some(offset) = self.text[at..].find([';', '"', '\n']) else {
                return (self.text.len(), self.text.len());
            };
            at += offset;
            match self.text.as_bytes()[at] {
                b';' => return (at, at + 1),
                b'"' => match self.closing_quote(at + 1) {
                    Some(close) => at = close + 1,
                    None => {
                        findings.error(
                            self.line_at(at),
                            "",
                            "the string has no closing quote, the rest of the line is ignored".into(),
                        );
                        let end = at + first_line(&self.text[at..]).len();
                        return (at, (end + 1).min(self.text.len()));
                    }
                },
                _ => {
                    at += 1;
                    let next = first_line(&self.text[at..]).trim();
                    if keyword_of(next).is_some() {
                        findings.warn(self.line, "", "the statement has no semicolon at its end".into());
                        return (at - 1, at);
                    }
                }
            }
        }
    }

    /// The quote that closes a string. A string over several lines must be followed by something that can follow
    /// a string; else its quote was forgotten, and the one that was found opens the next string.
    fn closing_quote(&self, start: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let limit = bytes.len().min(start + MAX_STRING_LEN);
        let close = (start..limit).find(|&i| bytes[i] == b'"' && (i == start || bytes[i - 1] != b'\\'))?;
        let one_line = !bytes[start..close].contains(&b'\n');
        let follows = first_line(&self.text[close + 1..]).trim_start();
        let plausible = follows.is_empty()
            || follows.starts_with([';', ',', '"', '-'])
            || follows.starts_with(|c: char| c.is_ascii_digit());
        (one_line || plausible).then_some(close)
    }

    fn line_at(&self, at: usize) -> u32 {
        self.line + newlines(&self.text[self.at..at])
    }

    fn advance(&mut self, len: usize) {
        let next = (self.at + len).min(self.text.len());
        self.line += newlines(&self.text[self.at..next]);
        self.at = next;
    }
}

fn newlines(text: &str) -> u32 {
    text.bytes().filter(|b| *b == b'\n').count() as u32
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

fn keyword_of(body: &str) -> Option<&'static str> {
    let end = body.find(|c: char| !(c.is_ascii_alphabetic() || c == '_')).unwrap_or(body.len());
    KEYWORDS.iter().find(|keyword| **keyword == &body[..end]).copied()
}

/// The beginning of a text, for a report.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> (Vec<(u32, &'static str, &str)>, usize) {
        let mut findings = Findings::new("t.dbc");
        let found = statements(text, &mut findings).iter().map(|s| (s.line, s.keyword, s.rest)).collect();
        (found, findings.finish().len())
    }

    #[test]
    fn statements_know_their_lines() {
        let text = "VERSION \"\"\n\nNS_ :\n\tCM_\n\tBA_\nBO_ 1 A: 8 X\n SG_ s : 0|1@1+\nCM_ \"two\nlines; still\";\nVAL_ 1 s 0 \"a;b\" ;";
        let (found, odd) = scan(text);
        assert_eq!(odd, 0);
        assert_eq!(
            found,
            [
                (1, "VERSION", "\"\""),
                (3, "NS_", ":"),
                (6, "BO_", "1 A: 8 X"),
                (7, "SG_", "s : 0|1@1+"),
                (8, "CM_", "\"two\nlines; still\""),
                (10, "VAL_", "1 s 0 \"a;b\""),
            ]
        );
    }

    #[test]
    fn a_forgotten_quote_costs_one_line() {
        let (found, odd) = scan("CM_ BO_ 1 \"open;\nVAL_ 1 s 0 \"zero\" ;\nBO_ 2 B: 8 X\n");
        assert_eq!(odd, 1);
        assert_eq!(found[1], (2, "VAL_", "1 s 0 \"zero\""));
        assert_eq!(found[2], (3, "BO_", "2 B: 8 X"));
    }

    #[test]
    fn a_forgotten_semicolon_costs_nothing() {
        let (found, odd) = scan("CM_ BO_ 1 \"x\"\nBO_ 2 B: 8 X");
        assert_eq!((found.len(), odd), (2, 1));
    }
}
