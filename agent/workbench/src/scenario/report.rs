//! A suite's outcome for machines and people: JUnit XML, JSON, and one HTML page with plots of what failed.

use super::expect::Departure;
use super::file::Scenario;
use super::run::Outcome;
use super::suite::{Suite, Verdicts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

mod plot;

/// Failures that the page shows in full: each has a plot of some 10 kB.
const MAX_SHOWN: usize = 200;

/// The command that runs one scenario again, to the bit.
#[must_use]
pub fn command(scenario: &Scenario) -> String {
    let cut = scenario.cut_hours.map(|hours| format!(" --hours {hours}")).unwrap_or_default();
    format!("telltale sil run {} --only '{}'{cut}", scenario.file.display(), scenario.id)
}

/// JUnit XML, as CI systems read it: a suite a file, a case a scenario.
#[must_use]
pub fn junit(suite: &Suite) -> String {
    let told = suite.verdicts();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"telltale sil\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">\n",
        suite.runs.len(),
        told.failed,
        suite.took.as_secs_f64()
    );
    let name = |scenario: &Scenario| scenario.id.split('#').next().unwrap_or_default().to_owned();
    for runs in suite.runs.chunk_by(|(a, _), (b, _)| name(a) == name(b)) {
        let failed = runs.iter().filter(|(_, outcome)| !outcome.failures.is_empty()).count();
        let of = runs.first().map(|(scenario, _)| name(scenario)).unwrap_or_default();
        // A write into a string does not fail.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
            escaped(&of),
            runs.len()
        );
        for (scenario, outcome) in runs {
            let _ = write!(
                xml,
                "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\"",
                escaped(&of),
                escaped(&scenario.id),
                escaped(&scenario.settings),
                outcome.took.as_secs_f64()
            );
            let Some(first) = outcome.failures.first() else {
                xml.push_str("/>\n");
                continue;
            };
            let _ = write!(xml, ">\n      <failure message=\"{}\">", escaped(&first.to_string()));
            for failure in &outcome.failures {
                let _ = writeln!(xml, "{}", escaped(&failure.to_string()));
            }
            let _ = writeln!(xml, "{}</failure>\n    </testcase>", escaped(&command(scenario)));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml + "</testsuites>\n"
}

/// One object: what it came to, the coverage, and every scenario with its digest and failures.
#[must_use]
pub fn json(suite: &Suite) -> Value {
    let Verdicts { passed, failed, per_minute, realtime_factor, hours, digest } = suite.verdicts();
    let coverage = suite.coverage();
    let scenarios = suite.runs.iter().map(|(scenario, outcome)| {
        json!({
            "id": scenario.id,
            "settings": scenario.settings,
            "faults": scenario.spec.faults,
            "digest": outcome.digest.to_hex(),
            "passed": outcome.failures.is_empty(),
            "failures": outcome.failures,
            "events": outcome.events.iter().map(|event| json!({
                "at_s": event.at_s,
                "at_cloud_s": event.at_cloud_s,
                "model": event.model,
                "subject": event.subject,
                "verdict": event.verdict,
                "score": event.score,
                "departure": event.departure,
            })).collect::<Vec<_>>(),
            "frames": outcome.counts.frames,
            "records": outcome.delivered.records,
            "drifted": outcome.drifted,
            "command": command(scenario),
        })
    });
    let faults = coverage.faults().into_iter().map(|(kind, bins)| {
        let bins: Vec<Value> =
            bins.into_iter().map(|(from, n)| json!({ "from_celsius": from, "scenarios": n })).collect();
        json!({ "kind": kind, "bins": bins })
    });
    json!({
        "passed": passed,
        "failed": failed,
        "jobs": suite.jobs,
        "took_s": suite.took.as_secs_f64(),
        "scenarios_per_minute": per_minute,
        "realtime_factor": realtime_factor,
        "simulated_hours": hours,
        "digest": digest.to_hex(),
        "departures": suite.departures().into_iter().map(|(is, told)| (is.word(), told.into_iter().map(|(told, n)| {
            (told.map_or("none", Departure::word), n)
        }).collect::<BTreeMap<_, _>>())).collect::<BTreeMap<_, _>>(),
        "coverage": { "dimensions": coverage.dimensions(), "faults": faults.collect::<Vec<_>>() },
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2430}\
h1,h2{font-weight:600}table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.15rem .6rem;text-align:right;\
border-bottom:1px solid #d9dee5}td:first-child,th:first-child{text-align:left}code{background:#f0f2f5;padding:.1rem .3rem;\
border-radius:3px}section.f{border-left:4px solid #c0392b;padding-left:1rem;margin:1.5rem 0}.zero{background:#fbe9e7;\
color:#8c3b30}.ok{color:#1b7f4c}.bad{color:#c0392b}svg{max-width:100%;height:auto}";

/// One page that needs nothing else: what it came to, what failed with its plot, what was covered, every scenario.
#[must_use]
pub fn html(suite: &Suite) -> String {
    let told = suite.verdicts();
    let (class, word) = if told.failed == 0 { ("ok", "all held") } else { ("bad", "some did not hold") };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Scenarios: {} passed, {} failed</title>\
         <style>{STYLE}</style><h1>Scenarios: <span class=\"{class}\">{word}</span></h1>\
         <p>{} passed, {} failed; {:.0} simulated hours in {:.1} s on {} threads: {:.0} scenarios a minute, {:.0} times real \
         time. Digest of all verdicts and records: <code>{}</code></p>",
        told.passed,
        told.failed,
        told.passed,
        told.failed,
        told.hours,
        suite.took.as_secs_f64(),
        suite.jobs,
        told.per_minute,
        told.realtime_factor,
        told.digest.to_hex().get(..16).unwrap_or_default()
    );
    let failed: Vec<_> = suite.runs.iter().filter(|(_, outcome)| !outcome.failures.is_empty()).collect();
    if !failed.is_empty() {
        page.push_str("<h2>What failed</h2>");
    }
    for (scenario, outcome) in failed.iter().take(MAX_SHOWN) {
        failure(&mut page, scenario, outcome);
    }
    if failed.len() > MAX_SHOWN {
        let _ = write!(page, "<p>{} more failed: see the JUnit report.</p>", failed.len() - MAX_SHOWN);
    }
    coverage(&mut page, suite);
    page.push_str("<h2>Every scenario</h2><table><tr><th>scenario</th><th>settings</th><th>events</th><th>digest</th></tr>");
    for (scenario, outcome) in &suite.runs {
        let class = if outcome.failures.is_empty() { "ok" } else { "bad" };
        let _ = write!(
            page,
            "<tr><td class=\"{class}\">{}</td><td style=\"text-align:left\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escaped(&scenario.id),
            escaped(&scenario.settings),
            outcome.events.len(),
            outcome.digest.to_hex().get(..16).unwrap_or_default()
        );
    }
    page + "</table></html>\n"
}

fn failure(page: &mut String, scenario: &Scenario, outcome: &Outcome) {
    let _ = write!(
        page,
        "<section class=\"f\"><h3>{}</h3><p>{}</p><ul>",
        escaped(&scenario.id),
        escaped(&scenario.settings)
    );
    for failure in &outcome.failures {
        let _ = write!(page, "<li>{}</li>", escaped(&failure.to_string()));
    }
    let _ = write!(page, "</ul><p><code>{}</code></p>", escaped(&command(scenario)));
    if let Some(svg) = plot::scores(scenario, outcome) {
        page.push_str(&svg);
    }
    page.push_str("</section>");
}

fn coverage(page: &mut String, suite: &Suite) {
    let coverage = suite.coverage();
    page.push_str("<h2>Operating design domain</h2>");
    for dimension in coverage.dimensions() {
        let _ = write!(page, "<table><tr><th>{}</th>", escaped(dimension.name));
        let ends: Vec<f64> = dimension.bins.iter().map(|bin| bin.from).collect();
        for (place, from) in ends.iter().enumerate() {
            let to = ends.get(place + 1).map_or("up".to_owned(), |to| to.to_string());
            let _ = write!(page, "<th>{from} to {to}</th>");
        }
        page.push_str("</tr><tr><td>hours</td>");
        for bin in &dimension.bins {
            let class = if bin.hours > 0.0 { "" } else { " class=\"zero\"" };
            let _ = write!(page, "<td{class}>{:.1}</td>", bin.hours);
        }
        page.push_str("</tr></table>");
    }
    page.push_str("<table><tr><th>fault, scenarios by warmest cell, degC</th>");
    let faults = coverage.faults();
    for (from, _) in faults.first().map(|(_, bins)| bins.as_slice()).unwrap_or_default() {
        let _ = write!(page, "<th>from {from}</th>");
    }
    page.push_str("</tr>");
    for (kind, bins) in faults {
        let _ = write!(page, "<tr><td>{}</td>", escaped(kind));
        for (_, n) in bins {
            let class = if n > 0 { "" } else { " class=\"zero\"" };
            let _ = write!(page, "<td{class}>{n}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

/// Text for XML and HTML, within quotes too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
