//! The text format: `# HELP`, `# TYPE`, then the samples of one metric together (Prometheus exposition format 0.0.4).

use std::fmt::Write as _;

/// A page as it is written.
#[derive(Default)]
pub(super) struct Exposition {
    page: String,
    metric: &'static str,
    /// The head of the metric under way; written with its first sample, because a metric without one is none.
    head: Option<String>,
}

impl Exposition {
    /// Begins a metric that only grows. Its name ends in `_total`.
    pub(super) fn counter(&mut self, metric: &'static str, help: &str) -> &mut Exposition {
        self.begin(metric, help, "counter")
    }

    /// Begins a metric that goes up and down.
    pub(super) fn gauge(&mut self, metric: &'static str, help: &str) -> &mut Exposition {
        self.begin(metric, help, "gauge")
    }

    fn begin(&mut self, metric: &'static str, help: &str, kind: &str) -> &mut Exposition {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.metric = metric;
        self.head = Some(format!("# HELP {metric} {help}\n# TYPE {metric} {kind}\n"));
        self
    }

    /// A sample of the metric that was begun last.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Exposition {
        if let Some(head) = self.head.take() {
            self.page.push_str(&head);
        }
        self.page.push_str(self.metric);
        for (place, (name, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Writing to a String cannot fail.
            let _ = write!(self.page, "{}{name}=\"{value}\"", if place == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page, "{close} {value}");
        self
    }

    pub(super) fn finish(self) -> String {
        self.page
    }
}

/// Reads a page as strictly as a scraper may.
#[cfg(test)]
pub(super) mod check {
    use std::collections::BTreeSet;

    /// Every way in which the page leaves the format.
    pub(crate) fn problems(page: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let (mut helped, mut typed, mut seen) = (None, None, BTreeSet::new());
        let mut done = BTreeSet::new();
        if !page.ends_with('\n') {
            problems.push("the last line has no end".into());
        }
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default().to_owned();
                if !done.insert(name.clone()) {
                    problems.push(format!("{name} comes twice"));
                }
                helped = Some(name);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_default();
                if helped.as_deref() != Some(name) || !["counter", "gauge"].contains(&kind) {
                    problems.push(format!("TYPE without its HELP, or of no kind: {line}"));
                }
                if (kind == "counter") != name.ends_with("_total") {
                    problems.push(format!("a counter's name ends in _total: {line}"));
                }
                typed = Some(name.to_owned());
            } else {
                match sample(line) {
                    Some(name) if typed.as_deref() == Some(&name) => {}
                    _ => problems.push(format!("no sample of {typed:?}: {line}")),
                }
                let series = line.rsplit_once(' ').map_or("", |(series, _)| series);
                if !seen.insert(series.to_owned()) {
                    problems.push(format!("{series} comes twice"));
                }
            }
        }
        problems
    }

    /// The name of a well-formed sample.
    fn sample(line: &str) -> Option<String> {
        let end = line.find(['{', ' '])?;
        let name = &line[..end];
        let is_name = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let mut rest = &line[end..];
        if let Some(mut labels) = rest.strip_prefix('{') {
            loop {
                let (label, value) = labels.split_once("=\"")?;
                let mut escaped = false;
                let close = value.char_indices().find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                if !is_name(label) {
                    return None;
                }
                labels = &value[close?.0 + 1..];
                match labels.strip_prefix(',') {
                    Some(more) => labels = more,
                    None => break,
                }
            }
            rest = labels.strip_prefix('}')?;
        }
        let value = rest.strip_prefix(' ')?;
        (is_name(name) && value.parse::<f64>().is_ok()).then(|| name.to_owned())
    }

    #[test]
    fn what_leaves_the_format_is_found() {
        let good = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\\\"},\"} 1\n";
        assert_eq!(problems(good), [""; 0]);
        for bad in [
            good.replace("a_total", "a"),
            good.replace(" 1\n", " 1"),
            good.replace(" 1\n", " one\n"),
            good.replace("\\\"", "\""),
            good.replace("# HELP a_total x\n", ""),
            good.replace("{b", "{1b"),
            format!("{good}a_total{{b=\"c\\\"}},\"}} 2\n"),
        ] {
            assert!(!problems(&bad).is_empty(), "{bad}");
        }
    }
}
