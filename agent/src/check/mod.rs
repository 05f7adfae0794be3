//! Everything that can be found wrong before the agent starts, at once, each with its place and what to do: the
//! configuration, the catalog and its DBC files, the models, the certificates and the spool's folder.

mod certificate;
mod intrusion;
mod place;
mod settings;
mod update;

pub(crate) use settings::{hint, line_of};

use crate::config::Config;
use crate::load;
use crate::logging;
use std::fmt;
use std::path::Path;
use telltale_core::catalog::{Catalog, CatalogError};
use telltale_core::dbc::{Diagnostic, Severity};

/// One finding. Prints as `telltale.toml:3: error: what is wrong`, and the hint below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1; 0 if it is about the file as a whole.
    pub(crate) line: u32,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: {}", self.severity, self.text)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n    {hint}"))
    }
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Finding {
        let subject = diagnostic.subject.as_ref().map_or_else(String::new, |subject| format!("{subject}: "));
        Finding {
            file: diagnostic.origin.clone(),
            line: diagnostic.line,
            severity: diagnostic.severity,
            text: format!("{subject}{}", diagnostic.text),
            hint: None,
        }
    }
}

/// The findings of one run.
pub(crate) struct Check {
    /// The configuration file and its text, to which findings on its settings point.
    file: String,
    text: String,
    findings: Vec<Finding>,
}

impl Check {
    /// Checks a configuration and everything that it names.
    pub(crate) fn run(path: &Path) -> Vec<Finding> {
        let file = path.display().to_string();
        let mut check = Check { file, text: String::new(), findings: Vec::new() };
        match load::read_text(path) {
            Ok(text) => check.text = text,
            Err(error) => {
                let hint = "`telltale run --example-config` prints a first one";
                check.add("", Severity::Error, format!("{error:#}"), Some(hint));
                return check.findings;
            }
        }
        check.findings = settings::findings(&check.file, &check.text);
        if check.findings.is_empty()
            && let Ok(config) = Config::read(path)
        {
            check.what_it_names(&config);
        }
        check.findings
    }

    fn what_it_names(&mut self, config: &Config) {
        if let Err(error) = logging::filter(&config.log.level) {
            self.add("log.level", Severity::Error, error.to_string(), None);
        }
        if let Some(address) = config.metrics.listen.filter(|address| !address.ip().is_loopback()) {
            let text = format!("the metrics on {address} are open to the network, without password and TLS");
            self.add("metrics.listen", Severity::Warning, text, Some("listen on 127.0.0.1"));
        }
        if let Some(catalog) = self.catalog(config) {
            for folder in &config.models {
                if let Err(error) = load::model(folder, &catalog) {
                    self.add("models", Severity::Error, format!("{error:#}"), None);
                }
            }
            intrusion::check(self, config, &catalog);
            place::interfaces(self, config, &catalog);
        }
        if config.models.is_empty() && config.intrusion.is_none() {
            let text = "no model is named: frames are decoded and counted, nothing is judged";
            self.add("models", Severity::Warning, text.into(), None);
        }
        place::bridges(self, config);
        place::spool(self, config);
        update::check(self, config);
        certificate::check(self, config);
    }

    /// The catalog with its own findings. Those of DBC files that do not hinder are only counted.
    fn catalog(&mut self, config: &Config) -> Option<Catalog> {
        match load::catalog(&config.catalog) {
            Ok(catalog) => {
                let (dbc, own): (Vec<_>, Vec<_>) =
                    catalog.diagnostics.iter().partition(|diagnostic| diagnostic.origin.ends_with(".dbc"));
                self.findings.extend(own.into_iter().map(Finding::from));
                if !dbc.is_empty() {
                    let text = format!("{} remarks on the DBC files", dbc.len());
                    self.add("catalog", Severity::Note, text, Some("`telltale dbc check` lists them"));
                }
                Some(catalog)
            }
            Err(error) => {
                match error.downcast_ref::<CatalogError>() {
                    Some(CatalogError { problems }) => {
                        self.findings.extend(problems.iter().map(Finding::from));
                    }
                    None => self.add("catalog", Severity::Error, format!("{error:#}"), None),
                }
                None
            }
        }
    }

    /// A finding on a setting, such as `spool.dir`.
    fn add(&mut self, setting: &str, severity: Severity, text: String, hint: Option<&str>) {
        let (file, line) = (self.file.clone(), line_of(&self.text, setting));
        self.findings.push(Finding { file, line, severity, text, hint: hint.map(Into::into) });
    }
}
