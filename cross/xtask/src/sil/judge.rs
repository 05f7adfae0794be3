//! What a machine told, held against what it was to do.

use super::Kind;
use super::bench::{Course, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// From the kernel's time of a frame to the score that it completed, at the 99th percentile, on native code.
const MAX_P99_US: u64 = 5_000;
/// Fewer latencies make no 99th percentile.
const MIN_SCORES: u64 = 100;
/// The rate that user-mode-linux is to take, on four buses together; the sender may be so much late.
const MIN_PER_SECOND: f64 = 0.97 * 32_000.0;

/// Fewer cuts of power leave most of an update untried: where the host is slower than the machine, a state is passed by.
const MIN_CUTS: u64 = 4;

/// The table's rows.
pub(super) const ROWS: [&str; 14] = [
    "kernel",
    "boot, s",
    "frames a second",
    "frames under load",
    "lost",
    "score latency p50, us",
    "score latency p99, us",
    "scores",
    "PSS, MB",
    "recorded car's frames",
    "durable at the cut",
    "records at the cloud",
    "power cuts in an update",
    "drives judged as here",
];

/// A machine's course.
pub(super) struct Report {
    pub(super) kind: Kind,
    pub(super) kernel: String,
    pub(super) boot_s: f64,
    /// Frames of other kinds that the agent is to hear.
    heard: u64,
    /// What the sender said of each step, and the agent's status after it.
    sent: BTreeMap<String, Value>,
    status: BTreeMap<String, Value>,
    /// Whether a recording was played.
    pub(super) recording: bool,
    /// Records at the cloud when the power was cut, and the cloud's line on the vehicle at the end.
    pub(super) at_cut: u64,
    pub(super) cloud: Value,
    pub(super) witness: Value,
    /// The load once more.
    pub(super) again: Vec<Step>,
    /// What became of the update that the power was cut in.
    pub(super) update: Course,
    /// Drives that were judged in the machine as they are here.
    pub(super) same_verdicts: u64,
}

impl Report {
    pub(super) fn new(kind: Kind, heard: u64) -> Report {
        Report {
            kind,
            kernel: String::new(),
            boot_s: 0.0,
            heard,
            sent: BTreeMap::new(),
            status: BTreeMap::new(),
            recording: false,
            at_cut: 0,
            cloud: Value::Null,
            witness: Value::Null,
            again: Vec::new(),
            update: Course::default(),
            same_verdicts: 0,
        }
    }

    pub(super) fn take(&mut self, word: &str, name: &str, told: Value) {
        let of = if word == "sent" { &mut self.sent } else { &mut self.status };
        of.insert(name.to_owned(), told);
    }

    fn sent(&self, step: &str) -> Option<u64> {
        self.sent.get(step)?["sent"].as_u64()
    }

    fn capture(&self, step: &str, what: &str) -> Option<u64> {
        self.status.get(step)?["capture"][what].as_u64()
    }

    fn latency(&self, what: &str) -> Option<u64> {
        self.status.get("load")?["capture"]["score_latency"][what].as_u64()
    }

    /// Of the runs under load, the least 99th percentile and its median: the host's other work only adds.
    fn least(&self) -> Option<(u64, u64)> {
        let first = self.latency("p99_us").zip(self.latency("p50_us"));
        first.into_iter().chain(self.again.iter().map(|step| (step.p99_us, step.p50_us))).min()
    }

    fn per_second(&self) -> Option<f64> {
        self.sent.get("load")?["per_second"].as_f64()
    }

    fn pss(&self) -> Option<u64> {
        self.status.get("load")?["memory"]["pss_bytes"].as_u64().filter(|bytes| *bytes > 0)
    }

    /// All that was lost in any step.
    fn lost(&self) -> u64 {
        let last = ["load", "kinds", "updown", "tunnel"];
        let of_first = last.iter().filter_map(|step| self.capture(step, "lost")).max().unwrap_or(u64::MAX);
        let alone = ["recording", "after"].iter().filter_map(|step| self.capture(step, "lost")).sum::<u64>();
        let again: u64 =
            self.again.iter().map(|step| step.lost + step.sent.abs_diff(step.heard + step.lost)).sum();
        of_first.saturating_add(alone).saturating_add(again)
    }

    /// What did not hold.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                failures.push(format!("{}: {what}", self.kind.name()));
            }
        };
        // One agent hears the first four steps; the others begin anew.
        let mut before = 0;
        for (step, heard) in [
            ("load", self.sent("load")),
            ("kinds", Some(self.heard)),
            ("updown", self.sent("updown")),
            ("tunnel", self.sent("tunnel")),
        ] {
            let frames = self.capture(step, "frames");
            let expected = heard.map(|heard| before + heard);
            check(
                frames.is_some() && frames == expected,
                format!("{step}: {frames:?} frames heard instead of {expected:?}"),
            );
            before = frames.unwrap_or(before);
        }
        for step in ["recording", "after"].into_iter().filter(|step| self.recording || *step == "after") {
            let (frames, sent) = (self.capture(step, "frames"), self.sent(step));
            check(frames.is_some() && frames == sent, format!("{step}: {frames:?} heard of {sent:?}"));
        }
        check(self.lost() == 0, format!("{} frames lost", self.lost()));
        check(self.pss().is_some(), "the agent tells no PSS".to_owned());
        let scores = self.latency("count").unwrap_or(0);
        check(scores >= MIN_SCORES, format!("only {scores} scores under load"));
        if self.kind == Kind::Uml {
            let p99 = self.least().map_or(u64::MAX, |(p99, _)| p99);
            check(p99 < MAX_P99_US, format!("{p99} us from frame to score at the 99th percentile"));
            let rate = self.per_second().unwrap_or(0.0);
            check(rate >= MIN_PER_SECOND, format!("only {rate} frames a second were sent"));
        }
        let count = |name: &str| self.cloud["counts"][name].as_u64();
        for wrong in ["conflicts", "unknown", "malformed", "lost_frames", "lost_records", "unexplained_gaps"]
        {
            check(count(wrong) == Some(0), format!("the cloud counts {:?} {wrong}", count(wrong)));
        }
        check(count("records") > Some(self.at_cut), "nothing was synced after the cut".to_owned());
        check(self.update.cuts >= MIN_CUTS, format!("only {} cuts of power in an update", self.update.cuts));
        check(self.same_verdicts > 0, "no drive was judged as here".to_owned());
        let durable = self.witness["durable"].as_u64().unwrap_or(0);
        check(durable > 0, "no record was durable when the power was cut: nothing was at stake".to_owned());
        let missing = self.witness["missing"].as_u64();
        check(missing == Some(0), format!("{missing:?} of {durable} durable records never arrived"));
        failures
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "machine": self.kind.name(),
            "kernel": self.kernel,
            "passed": self.failures().is_empty(),
            "boot_s": (self.boot_s * 1e3).round() / 1e3,
            "frames_per_s": self.per_second(),
            "frames": self.capture("load", "frames"),
            "lost": self.lost(),
            "p50_us": self.least().map(|(_, p50)| p50),
            "p99_us": self.least().map(|(p99, _)| p99),
            "p99_us_of_each_run": self.latency("p99_us").into_iter().chain(self.again.iter().map(|step| step.p99_us)).collect::<Vec<_>>(),
            "max_us": self.latency("max_us"),
            "scores": self.latency("count"),
            "pss_bytes": self.pss(),
            "recorded_frames": self.capture("recording", "frames"),
            "records_at_cut": self.at_cut,
            "durable_at_cut": self.witness["durable"],
            "missing": self.witness["missing"],
            "records": self.cloud["counts"]["records"],
            "came_twice": self.cloud["counts"]["duplicates"],
            "boots": self.cloud["boots"],
            "update_cuts": self.update.cuts,
            "update_states": self.update.found,
            "same_verdicts": self.same_verdicts,
            "failures": self.failures(),
        })
    }

    pub(super) fn rows(&self) -> [String; ROWS.len()] {
        let told = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        [
            self.kernel.clone(),
            format!("{:.1}", self.boot_s),
            self.per_second().map_or("-".to_owned(), |rate| format!("{rate:.0}")),
            told(self.capture("load", "frames")),
            self.lost().to_string(),
            told(self.least().map(|(_, p50)| p50)),
            told(self.least().map(|(p99, _)| p99)),
            told(self.latency("count")),
            self.pss().map_or("-".to_owned(), |bytes| format!("{:.2}", bytes as f64 / 1e6)),
            told(self.capture("recording", "frames")),
            told(self.witness["durable"].as_u64()),
            told(self.cloud["counts"]["records"].as_u64()),
            self.update.cuts.to_string(),
            self.same_verdicts.to_string(),
        ]
    }

    /// What failed, for a person who waits.
    pub(super) fn lines(&self) -> Vec<String> {
        let failures = self.failures();
        let figures = ROWS.iter().zip(self.rows()).map(|(name, value)| format!("{name} {value}"));
        let verdict = if failures.is_empty() { "passed" } else { "failed" };
        let told = format!("{} {verdict}: {}", self.kind.name(), figures.collect::<Vec<_>>().join("; "));
        std::iter::once(told).chain(failures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine tells in which all holds.
    fn sound() -> Report {
        let mut report = Report::new(Kind::Uml, 1_600);
        let status = |frames: u64| {
            json!({
                "capture": {
                    "frames": frames,
                    "lost": 0,
                    "score_latency": { "count": 300, "p50_us": 900, "p99_us": 1_900, "max_us": 2_000 },
                },
                "memory": { "pss_bytes": 9_000_000 },
            })
        };
        for (step, sent, heard) in [
            ("load", 640_000, 640_000),
            ("kinds", 2_000, 641_600),
            ("updown", 500, 642_100),
            ("tunnel", 500, 642_600),
            ("after", 800, 800),
        ] {
            report.take("sent", step, json!({ "sent": sent, "per_second": 31_990.0 }));
            report.take("status", step, status(heard));
        }
        report.at_cut = 280;
        let counts = json!({
            "records": 300, "conflicts": 0, "unknown": 0, "malformed": 0, "lost_frames": 0, "lost_records": 0,
            "unexplained_gaps": 0,
        });
        report.cloud = json!({ "counts": counts, "boots": 3 });
        report.update.cuts = 9;
        report.same_verdicts = 3;
        report.witness = json!({ "durable": 50, "missing": 0, "stored": 300 });
        report
    }

    #[test]
    fn a_sound_machine_passes_and_each_fault_is_told() {
        assert_eq!(sound().failures(), Vec::<String>::new());
        type Break = fn(&mut Report);
        let faults: [(&str, Break); 11] = [
            ("load: Some(639999)", |r| {
                r.status.get_mut("load").unwrap()["capture"]["frames"] = json!(639_999)
            }),
            ("updown", |r| drop(r.status.remove("updown"))),
            ("7 frames lost", |r| r.status.get_mut("kinds").unwrap()["capture"]["lost"] = json!(7)),
            ("5100 us", |r| {
                r.status.get_mut("load").unwrap()["capture"]["score_latency"]["p99_us"] = json!(5_100)
            }),
            ("only 20000 frames", |r| r.sent.get_mut("load").unwrap()["per_second"] = json!(20_000.0)),
            ("3) of 50 durable", |r| r.witness["missing"] = json!(3)),
            ("nothing was at stake", |r| r.witness["durable"] = json!(0)),
            ("no drive was judged", |r| r.same_verdicts = 0),
            ("only 2 cuts", |r| r.update.cuts = 2),
            ("nothing was synced", |r| r.at_cut = 300),
            ("1) unexplained_gaps", |r| r.cloud["counts"]["unexplained_gaps"] = json!(1)),
        ];
        for (said, fault) in faults {
            let mut report = sound();
            fault(&mut report);
            let failures = report.failures();
            assert!(failures.iter().any(|failure| failure.contains(said)), "{said}: {failures:?}");
            assert_eq!(report.json()["passed"], json!(false));
        }
    }
}
