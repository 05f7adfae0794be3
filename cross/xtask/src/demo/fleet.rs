//! What the cloud says about the fleet, as JSON and on its pages, and whether that is the truth of the demo.

use super::http;
use super::vehicle::{Vehicle, middle};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A charge may miss the truth of the pack's middle cell by so much: half the interval that the model states.
const HEALTH_APART: f64 = 0.03;

/// The cloud's answers at one moment.
pub(super) struct Fleet {
    vehicles: Vec<Answer>,
}

/// What the cloud knows of one vehicle; `None` before its first contact.
struct Answer {
    report: Option<Value>,
    page: String,
}

impl Fleet {
    /// Asks for each vehicle's report and page.
    pub(super) fn ask(dashboard: SocketAddr, vehicles: &[Vehicle]) -> Result<Self> {
        let list: Value =
            serde_json::from_str(&http::get(dashboard, "/api/vehicles")?).context("/api/vehicles")?;
        let known: BTreeSet<&str> = lines(&list).iter().filter_map(|line| line["vehicle"].as_str()).collect();
        let answer = |vehicle: &Vehicle| -> Result<Answer> {
            if !known.contains(vehicle.id()) {
                return Ok(Answer { report: None, page: String::new() });
            }
            let path = format!("/api/vehicle/{}", vehicle.id());
            let report = serde_json::from_str(&http::get(dashboard, &path)?).context(path)?;
            let page = http::get(dashboard, &format!("/vehicle/{}", vehicle.id()))?;
            Ok(Answer { report: Some(report), page })
        };
        Ok(Self { vehicles: vehicles.iter().map(answer).collect::<Result<_>>()? })
    }
}

/// The list of vehicles, bare or as the field `vehicles`.
fn lines(list: &Value) -> &[Value] {
    let list = if list.is_array() { list } else { &list["vehicles"] };
    list.as_array().map_or(&[], Vec::as_slice)
}

impl Answer {
    /// The subjects that were ever told anomalous.
    fn anomalous(&self) -> BTreeSet<&str> {
        let Some(report) = &self.report else { return BTreeSet::new() };
        let of = |list: &str| report[list].as_array().map_or(&[][..], Vec::as_slice).iter();
        let told = of("events").chain(of("open_anomalies")).filter(|event| event["verdict"] == "anomalous");
        told.filter_map(|event| event["subject"].as_str()).collect()
    }

    /// Whether it was judged at all: without that, "no anomaly" says nothing. A vehicle that parks at the end of its
    /// drive may be indeterminate by then, so its own count of verdicts speaks too.
    fn was_judged(&self) -> bool {
        let Some(report) = &self.report else { return false };
        let verdicts = &report["status"]["totals"]["nominal"];
        matches!(report["state"].as_str(), Some("nominal" | "anomalous"))
            || verdicts.as_u64().is_some_and(|n| n > 0)
    }

    /// The states of health that the latest charge showed, as shares, one a cell that has one.
    fn health(&self) -> Vec<f64> {
        let estimates = self.report.as_ref().and_then(|report| report["estimates"].as_array());
        let latest = estimates.into_iter().flatten().find(|line| line["quantity"] == "state of health");
        let subjects = latest.and_then(|line| line["subjects"].as_array());
        subjects.into_iter().flatten().filter_map(|subject| subject["value"].as_f64()).collect()
    }

    fn evidence(&self, subject: &str) -> String {
        let events = self.report.as_ref().and_then(|report| report["events"].as_array());
        let event =
            events.into_iter().flatten().find(|e| e["subject"] == subject && e["verdict"] == "anomalous");
        let first = event.map(|event| &event["evidence"][0]);
        first.map_or_else(String::new, |evidence| {
            match (evidence["what"].as_str(), evidence["value"].as_f64()) {
                (Some(what), Some(value)) => {
                    let unit = evidence["unit"].as_str().unwrap_or_default();
                    format!(" ({what} {value:.3} {unit})").replace(" )", ")")
                }
                _ => String::new(),
            }
        })
    }
}

/// What has been seen so far.
pub(super) struct Progress<'a> {
    vehicles: &'a [Vehicle],
    heard: BTreeSet<&'a str>,
    told: BTreeSet<(&'a str, String)>,
    found: Option<Duration>,
    charged: BTreeSet<&'a str>,
}

impl<'a> Progress<'a> {
    /// Nothing yet.
    pub(super) fn new(vehicles: &'a [Vehicle]) -> Self {
        Self {
            vehicles,
            heard: BTreeSet::new(),
            told: BTreeSet::new(),
            found: None,
            charged: BTreeSet::new(),
        }
    }

    /// A line for each thing that is new.
    pub(super) fn news(&mut self, fleet: &Fleet, after: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        for (vehicle, answer) in self.vehicles.iter().zip(&fleet.vehicles) {
            let (id, seconds) = (vehicle.id(), after.as_secs());
            if answer.report.is_some() && self.heard.insert(id) {
                lines.push(format!("{id}: first sync with the cloud after {seconds} s"));
            }
            let health = answer.health();
            if let Some(share) = middle(health.clone())
                && self.charged.insert(id)
            {
                let (cells, percent) = (health.len(), share * 100.0);
                lines.push(format!(
                    "{id}: a charge showed the state of health of {cells} cells, {percent:.1} % in the middle, after {seconds} s"
                ));
            }
            for subject in answer.anomalous() {
                if self.told.insert((id, subject.to_owned())) {
                    let evidence = answer.evidence(subject);
                    lines.push(format!("{id}: {subject} is anomalous, after {seconds} s{evidence}"));
                }
                let is_it = vehicle.fault().as_deref() == Some(subject);
                if is_it && self.found.is_none() && shows(&answer.page, subject) {
                    self.found = Some(after);
                    lines.push(format!("{id}: its page shows {subject}"));
                }
            }
        }
        lines
    }

    /// What came to light, for a demo that is ended by hand.
    pub(super) fn told(&self) -> String {
        let faulty = self.vehicles.iter().find_map(|vehicle| Some((vehicle.id(), vehicle.fault()?)));
        match (faulty, self.found) {
            (Some((id, subject)), Some(after)) => {
                format!("{subject} of {id} found, synced and shown after {} s", after.as_secs())
            }
            _ => "no fault was found yet".into(),
        }
    }

    /// Whether the cloud tells the truth: the faulty cell, nothing else, on every vehicle, and a state of health near
    /// the simulator's own where one charges.
    pub(super) fn judge(
        &mut self,
        fleet: &Fleet,
        after: Duration,
        truth: &dyn Fn(&Vehicle) -> Option<f64>,
    ) -> Result<String> {
        self.news(fleet, after);
        for (vehicle, answer) in self.vehicles.iter().zip(&fleet.vehicles) {
            let id = vehicle.id();
            ensure!(answer.report.is_some(), "{id} was never heard of");
            ensure!(answer.was_judged(), "{id} was heard, but nothing was judged in it");
            let fault = vehicle.fault();
            let anomalous = answer.anomalous();
            if let Some(subject) = &fault {
                ensure!(anomalous.contains(subject.as_str()), "{subject} of {id} was not found");
                ensure!(self.found.is_some(), "{subject} of {id} was synced, but its page does not show it");
            }
            let false_alarms: Vec<&str> =
                anomalous.into_iter().filter(|subject| Some(*subject) != fault.as_deref()).collect();
            ensure!(false_alarms.is_empty(), "false alarm in {id}: {}", false_alarms.join(", "));
            if vehicle.charges() {
                let told = middle(answer.health());
                let told =
                    told.with_context(|| format!("{id} charged, but no state of health came of it"))?;
                let truth = truth(vehicle).with_context(|| format!("{id}: the simulator told no truth"))?;
                ensure!(
                    (told - truth).abs() <= HEALTH_APART,
                    "{id}: a state of health of {told:.3}, and its cells have {truth:.3}"
                );
                let shown = visible_text(&answer.page).to_lowercase().contains("state of health");
                ensure!(shown, "{id}: its page does not show the state of health");
            }
        }
        Ok(self.told())
    }
}

/// Whether a person who reads the page sees this subject called anomalous: the word stands right behind its name.
fn shows(page: &str, subject: &str) -> bool {
    let text = visible_text(page).to_lowercase();
    let subject = subject.to_lowercase();
    text.match_indices(&subject).any(|(at, _)| {
        let behind = &text[at + subject.len()..];
        if behind.starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let gap = behind.split("anomalous").next().unwrap_or_default();
        gap.len() < behind.len() && gap.trim().is_empty()
    })
}

/// The page's text without tags, scripts and styles, spaces joined.
fn visible_text(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag_on)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let hidden = ["script", "style"].into_iter().find(|name| tag_on.starts_with(name));
        rest = match hidden {
            Some(name) => tag_on.split_once(&format!("</{name}>")).map_or("", |(_, behind)| behind),
            None => tag_on.split_once('>').map_or("", |(_, behind)| behind),
        };
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::vehicle;
    use super::*;
    use serde_json::json;

    fn event(subject: &str, verdict: &str) -> Value {
        json!({ "subject": subject, "verdict": verdict, "evidence": [{ "what": "deviation", "value": -0.0211, "unit": "V" }] })
    }

    fn healthy() -> Answer {
        let report =
            json!({ "state": "nominal", "events": [event("Cell7", "nominal")], "open_anomalies": [] });
        Answer { report: Some(report), page: "<h1>demo</h1> nothing is anomalous".into() }
    }

    /// Healthy, after a charge that told these states of health of its cells.
    fn charged(values: &[Option<f64>]) -> Answer {
        let mut answer = healthy();
        let subjects: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
        let line = json!({ "quantity": "state of health", "subjects": subjects });
        answer.report.as_mut().unwrap()["estimates"] = json!([line]);
        answer.page.push_str("<h2>State of health</h2>");
        answer
    }

    fn faulty() -> Answer {
        let report = json!({ "state": "anomalous", "events": [event("Cell42", "anomalous")] });
        Answer { report: Some(report), page: "<td>Cell42</td><td>anomalous</td>".into() }
    }

    fn judge(vehicles: [Answer; 3]) -> Result<String, String> {
        let demo = vehicle::fleet(3);
        let fleet = Fleet { vehicles: vehicles.into() };
        let judged = Progress::new(&demo).judge(&fleet, Duration::from_secs(14), &|_| Some(0.9));
        judged.map_err(|error| error.to_string())
    }

    #[test]
    fn the_truth_passes() {
        let told = judge([charged(&[Some(0.9)]), faulty(), healthy()]).unwrap();
        assert_eq!(told, "Cell42 of demo-02 found, synced and shown after 14 s");
    }

    #[test]
    fn everything_short_of_the_truth_fails() {
        let whole = || charged(&[Some(0.89), Some(0.91), Some(0.92)]);
        let blank = Answer { page: String::new(), ..whole() };
        let not_shown = Answer { page: "<td>Cell42</td>".into(), ..faulty() };
        let unheard = Answer { report: None, page: String::new() };
        let unjudged = Answer { report: Some(json!({ "state": "no_data", "events": [] })), ..healthy() };
        for (vehicles, why) in [
            ([whole(), healthy(), healthy()], "Cell42 of demo-02 was not found"),
            ([whole(), not_shown, healthy()], "does not show it"),
            ([faulty(), faulty(), healthy()], "false alarm in demo-01: Cell42"),
            ([whole(), faulty(), unheard], "demo-03 was never heard of"),
            ([healthy(), faulty(), healthy()], "demo-01 charged, but no state of health came of it"),
            ([charged(&[None, None]), faulty(), healthy()], "no state of health came of it"),
            (
                [charged(&[Some(0.8), None]), faulty(), healthy()],
                "a state of health of 0.800, and its cells have 0.900",
            ),
            ([blank, faulty(), healthy()], "its page does not show the state of health"),
            ([unjudged, faulty(), healthy()], "nothing was judged"),
        ] {
            let told = judge(vehicles).unwrap_err();
            assert!(told.contains(why), "{told} does not tell {why}");
        }
    }

    #[test]
    fn a_vehicle_that_parked_in_the_end_was_judged_by_its_own_count() {
        let parked = |nominal: u64| Answer {
            report: Some(json!({ "state": "indeterminate", "status": { "totals": { "nominal": nominal } } })),
            page: String::new(),
        };
        assert!(judge([charged(&[Some(0.9)]), faulty(), parked(7)]).is_ok());
        let unjudged = judge([charged(&[Some(0.9)]), faulty(), parked(0)]).unwrap_err();
        assert!(unjudged.contains("nothing was judged"), "{unjudged}");
    }

    #[test]
    fn another_cell_of_the_faulty_vehicle_is_a_false_alarm() {
        let mut both = faulty();
        both.report = Some(
            json!({ "state": "anomalous", "events": [event("Cell42", "anomalous"), event("Cell4", "anomalous")] }),
        );
        assert!(
            judge([charged(&[Some(0.9)]), both, healthy()])
                .unwrap_err()
                .contains("false alarm in demo-02: Cell4")
        );
    }

    #[test]
    fn news_is_told_once_with_its_evidence() {
        let demo = vehicle::fleet(3);
        let fleet = Fleet { vehicles: vec![charged(&[Some(0.9)]), faulty(), healthy()] };
        let mut progress = Progress::new(&demo);
        let lines = progress.news(&fleet, Duration::from_secs(9));
        assert_eq!(lines.len(), 6, "{lines:?}");
        let health =
            "demo-01: a charge showed the state of health of 1 cells, 90.0 % in the middle, after 9 s";
        assert_eq!(lines[1], health);
        assert_eq!(lines[3], "demo-02: Cell42 is anomalous, after 9 s (deviation -0.021 V)");
        assert_eq!(progress.news(&fleet, Duration::from_secs(10)), [""; 0]);
    }

    #[test]
    fn only_what_a_person_sees_beside_the_cell_counts() {
        assert!(shows("<tr><td>Cell42<td class=bad>Anomalous since 3 h", "Cell42"));
        assert!(shows("<li><span>Cell42 <span>anomalous</span></span><span>\u{2212}84</span>", "Cell42"));
        for hidden in [
            "<script>var x = 'Cell42 anomalous'</script>",
            "<td title='anomalous'>Cell42</td>",
            "<td>Cell421</td><td>anomalous</td>",
            "<td>Cell4</td><td>anomalous</td>",
            "<li>Cell42 <b>+3</b><li>Cell43 <b>anomalous</b>",
            "<li>Cell41 <b>anomalous</b> <b>-84</b><li>Cell42 <b>+3</b>",
        ] {
            assert!(!shows(hidden, "Cell42"), "{hidden}");
        }
    }
}
