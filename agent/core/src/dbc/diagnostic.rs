//! What a reader has to say about a DBC or catalog file, line by line, as compilers print it.

use std::fmt;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is lost.
    Note,
    /// It was read, but perhaps not as the author meant it.
    Warning,
    /// The statement or entry is not used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding. Prints as `bms.dbc:12: warning: BMS_01: signal Current runs over its message`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub origin: String,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: u32,
    /// How much it matters.
    pub severity: Severity,
    /// The message or entry that it is about, where there is one.
    pub subject: Option<String>,
    /// What was found, and what to do.
    pub text: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: ", self.severity)?;
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// The most findings that are kept of one file; the rest is counted in a last one. At about 200 bytes each this
/// is 200 kB.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Collects the findings of one file.
#[derive(Default)]
pub(crate) struct Findings {
    origin: String,
    list: Vec<Diagnostic>,
    unlisted: usize,
}

impl Findings {
    pub(crate) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), list: Vec::new(), unlisted: 0 }
    }

    pub(crate) fn note(&mut self, line: u32, subject: &str, text: String) {
        self.push(Severity::Note, line, subject, text);
    }

    pub(crate) fn warn(&mut self, line: u32, subject: &str, text: String) {
        self.push(Severity::Warning, line, subject, text);
    }

    pub(crate) fn error(&mut self, line: u32, subject: &str, text: String) {
        self.push(Severity::Error, line, subject, text);
    }

    fn push(&mut self, severity: Severity, line: u32, subject: &str, text: String) {
        if self.list.len() >= MAX_DIAGNOSTICS {
            self.unlisted += 1;
            return;
        }
        let subject = (!subject.is_empty()).then(|| subject.to_owned());
        self.list.push(Diagnostic { origin: self.origin.clone(), line, severity, subject, text });
    }

    /// The findings in the order of their lines.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|d| d.line);
        if self.unlisted > 0 {
            self.list.push(Diagnostic {
                origin: self.origin,
                line: 0,
                severity: Severity::Error,
                subject: None,
                text: format!("{} more findings are not listed", self.unlisted),
            });
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_print_as_compilers_do() {
        let mut findings = Findings::new("bms.dbc");
        findings.warn(12, "BMS_01", "signal Current runs over".into());
        findings.error(0, "", "the file is empty".into());
        let lines: Vec<String> = findings.finish().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["bms.dbc: error: the file is empty", "bms.dbc:12: warning: BMS_01: signal Current runs over"]
        );
    }

    #[test]
    fn findings_are_bounded_and_the_rest_is_counted() {
        let mut findings = Findings::new("x");
        for line in 0..MAX_DIAGNOSTICS + 7 {
            findings.note(line as u32, "", String::new());
        }
        let list = findings.finish();
        assert_eq!(list.len(), MAX_DIAGNOSTICS + 1);
        assert!(list[MAX_DIAGNOSTICS].text.starts_with("7 more"));
    }
}
