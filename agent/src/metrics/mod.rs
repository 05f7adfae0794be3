//! Figures for a monitoring system: the status as a Prometheus text page (exposition format 0.0.4) over HTTP.

mod exposition;
mod server;

pub(crate) use server::serve;

use crate::status::StatusReport;
use exposition::Exposition;

/// The page.
fn page(status: &StatusReport) -> String {
    let mut page = Exposition::default();
    let agent = &status.agent;
    page.gauge("telltale_info", "Who runs: always 1.").sample(
        &[
            ("vehicle", &agent.vehicle),
            ("version", &agent.version),
            ("boot", &agent.boot),
            ("catalog", &agent.catalog),
        ],
        1.0,
    );
    page.gauge("telltale_uptime_seconds", "Since the agent's start.").sample(&[], agent.uptime_s);
    let capture = &status.capture;
    page.gauge("telltale_capture_running", "1 while the capture loop answers, else 0.")
        .sample(&[], f64::from(u8::from(capture.state == "running")));
    let frames = page.counter("telltale_frames_total", "Frames read, by what became of them.");
    for (fate, count) in [
        ("decoded", capture.decoded),
        ("filtered", capture.filtered),
        ("unknown", capture.unknown),
        ("malformed", capture.malformed),
    ] {
        frames.sample(&[("fate", fate)], count as f64);
    }
    page.counter("telltale_frames_lost_total", "Frames lost before they could be read.")
        .sample(&[], capture.lost as f64);
    page.counter("telltale_samples_total", "Signal values decoded.").sample(&[], capture.samples as f64);
    page.counter("telltale_windows_total", "Windows judged.").sample(&[], capture.windows as f64);
    let verdicts = page.counter("telltale_verdicts_total", "Verdicts, one a window and subject.");
    for (verdict, count) in [
        ("nominal", capture.nominal),
        ("anomalous", capture.anomalous),
        ("indeterminate", capture.indeterminate),
    ] {
        verdicts.sample(&[("verdict", verdict)], count as f64);
    }
    let buses = page.counter("telltale_bus_frames_total", "Frames read, by bus.");
    for bus in &status.buses {
        buses.sample(&[("bus", &bus.name), ("interface", &bus.interface)], bus.frames as f64);
    }
    buses_stand(&mut page, status);
    signals(&mut page, status);
    models(&mut page, status);
    spool(&mut page, status);
    uplink(&mut page, status);
    page.gauge("telltale_memory_pss_bytes", "Proportional set size.")
        .sample(&[], status.memory.pss_bytes as f64);
    page.gauge("telltale_memory_peak_rss_bytes", "Highest resident set size.")
        .sample(&[], status.memory.peak_rss_bytes as f64);
    page.finish()
}

/// How each bus stands; what the kernel or the clock does not tell is left out.
fn buses_stand(page: &mut Exposition, status: &StatusReport) {
    let active = page.gauge("telltale_bus_active", "1 while the controller takes part without restriction.");
    for bus in &status.buses {
        active.sample(&[("bus", &bus.name)], f64::from(u8::from(bus.state == "active")));
    }
    let load = page.gauge("telltale_bus_load", "Share of the time in which the bus is busy.");
    for (bus, share) in status.buses.iter().filter_map(|bus| Some((bus, bus.load?))) {
        load.sample(&[("bus", &bus.name)], share);
    }
    let lost = page.gauge("telltale_bus_lost_frames", "Frames lost in the controller or its driver.");
    for (bus, count) in status.buses.iter().filter_map(|bus| Some((bus, bus.lost?))) {
        lost.sample(&[("bus", &bus.name)], count as f64);
    }
    let errors = page.counter("telltale_bus_error_frames_total", "Error frames read.");
    for bus in &status.buses {
        errors.sample(&[("bus", &bus.name)], bus.error_frames as f64);
    }
}

fn signals(page: &mut Exposition, status: &StatusReport) {
    let known = status.signals.len();
    let usable = status.signals.iter().filter(|signal| signal.absent.is_none()).count();
    page.gauge("telltale_signals", "Signals of the catalog.").sample(&[], known as f64);
    page.gauge("telltale_signals_usable", "Signals that have a value that is not stale.")
        .sample(&[], usable as f64);
}

fn models(page: &mut Exposition, status: &StatusReport) {
    let subjects = page.gauge("telltale_model_subjects", "Subjects, by what is held of them.");
    for model in &status.models {
        for verdict in ["nominal", "anomalous", "indeterminate"] {
            let held = model.subjects.iter().filter(|subject| subject.verdict == verdict).count();
            subjects.sample(&[("model", &model.name), ("verdict", verdict)], held as f64);
        }
    }
    let highest = page.gauge("telltale_model_score_max", "The highest score of the latest window.");
    for model in &status.models {
        if let Some(score) = model.subjects.iter().filter_map(|subject| subject.score).reduce(f64::max) {
            highest.sample(&[("model", &model.name)], score);
        }
    }
    let failures = page.counter("telltale_model_failures_total", "Runs that failed, slow ones included.");
    for model in &status.models {
        failures.sample(&[("model", &model.name)], model.failures as f64);
    }
    let off = page.gauge("telltale_model_off", "1 while a model is switched off after failures.");
    for model in &status.models {
        off.sample(&[("model", &model.name)], f64::from(u8::from(model.off_for_s.is_some())));
    }
    drift(page, status);
}

fn drift(page: &mut Exposition, status: &StatusReport) {
    let each = || status.models.iter().flat_map(|model| model.drift.iter().map(|drift| (&model.name, drift)));
    let index = page
        .gauge("telltale_drift_index", "The population stability index of an input against the training.");
    for (model, drift) in each() {
        index.sample(&[("model", model), ("input", &drift.input), ("horizon", &drift.horizon)], drift.index);
    }
    let outside =
        page.gauge("telltale_drift_outside", "The share of an input beyond everything that training saw.");
    for (model, drift) in each() {
        outside
            .sample(&[("model", model), ("input", &drift.input), ("horizon", &drift.horizon)], drift.outside);
    }
    let severity = page
        .gauge("telltale_drift_severity", "0 none, 1 moderate, 2 severe; nothing until the horizon is full.");
    for (model, drift) in each() {
        let known =
            ["none", "moderate", "severe"].iter().position(|known| Some(*known) == drift.severity.as_deref());
        if let Some(place) = known {
            severity.sample(
                &[("model", model), ("input", &drift.input), ("horizon", &drift.horizon)],
                place as f64,
            );
        }
    }
}

fn spool(page: &mut Exposition, status: &StatusReport) {
    let Some(spool) = &status.spool else { return };
    let waiting = page.gauge("telltale_spool_waiting_records", "Durable records that wait for the cloud.");
    for lane in &spool.lanes {
        waiting.sample(&[("lane", &lane.lane)], lane.waiting as f64);
    }
    let bytes = page.gauge("telltale_spool_bytes", "Bytes on disk.");
    for lane in &spool.lanes {
        bytes.sample(&[("lane", &lane.lane)], lane.disk_bytes as f64);
    }
    let caps = page.gauge("telltale_spool_cap_bytes", "The most that a lane may take.");
    for lane in &spool.lanes {
        caps.sample(&[("lane", &lane.lane)], lane.cap_bytes as f64);
    }
    page.counter("telltale_records_total", "Records appended.").sample(&[], spool.appended as f64);
    page.counter("telltale_records_lost_total", "Records counted as lost.").sample(&[], spool.lost as f64);
    page.counter("telltale_storage_errors_total", "Operations that the disk refused.")
        .sample(&[], spool.storage_errors as f64);
}

fn uplink(page: &mut Exposition, status: &StatusReport) {
    let Some(uplink) = &status.uplink else { return };
    page.counter("telltale_uplink_requests_total", "Requests sent.").sample(&[], uplink.requests as f64);
    page.counter("telltale_uplink_failures_total", "Requests without an answer that counts.")
        .sample(&[], uplink.failures as f64);
    page.counter("telltale_uplink_refusals_total", "Requests that were refused.")
        .sample(&[], uplink.refusals as f64);
    page.counter("telltale_uplink_acknowledged_total", "Records that the cloud has stored.")
        .sample(&[], uplink.acknowledged as f64);
    let bytes = page.counter("telltale_uplink_bytes_total", "Bytes of message bodies.");
    bytes.sample(&[("direction", "up")], uplink.bytes_up as f64);
    bytes.sample(&[("direction", "down")], uplink.bytes_down as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{BusFacts, DriftFacts, LaneFacts, ModelFacts, SpoolFacts, SubjectFacts, UplinkFacts};

    /// What a full page has, with names that have to be escaped.
    fn status() -> StatusReport {
        let subject =
            |verdict: &str, score| SubjectFacts { verdict: verdict.into(), score, ..SubjectFacts::default() };
        let mut status = StatusReport {
            buses: vec![BusFacts {
                name: "a\"b\\c\nd".into(),
                frames: 7,
                state: "active".into(),
                load: Some(0.5),
                lost: Some(3),
                ..BusFacts::default()
            }],
            models: vec![ModelFacts {
                name: "cell-fault".into(),
                failures: 3,
                off_for_s: Some(60.0),
                subjects: vec![
                    subject("nominal", Some(0.25)),
                    subject("anomalous", Some(0.75)),
                    subject("indeterminate", None),
                ],
                drift: vec![DriftFacts {
                    input: "pack_level".into(),
                    horizon: "fast".into(),
                    severity: Some("moderate".into()),
                    index: 2.5,
                    outside: 0.5,
                }],
                ..ModelFacts::default()
            }],
            spool: Some(SpoolFacts {
                lanes: vec![LaneFacts { lane: "critical".into(), waiting: 5, ..LaneFacts::default() }],
                ..SpoolFacts::default()
            }),
            uplink: Some(UplinkFacts::default()),
            ..StatusReport::default()
        };
        status.capture.state = "running".into();
        status.capture.unknown = u64::from(u32::MAX) * 10;
        status
    }

    #[test]
    fn the_page_keeps_the_format() {
        let page = page(&status());
        let problems = exposition::check::problems(&page);
        assert!(problems.is_empty(), "{problems:?}\n{page}");
        for line in [
            "telltale_capture_running 1",
            "telltale_frames_total{fate=\"unknown\"} 42949672950",
            "telltale_bus_frames_total{bus=\"a\\\"b\\\\c\\nd\",interface=\"\"} 7",
            "telltale_bus_active{bus=\"a\\\"b\\\\c\\nd\"} 1",
            "telltale_bus_load{bus=\"a\\\"b\\\\c\\nd\"} 0.5",
            "telltale_bus_lost_frames{bus=\"a\\\"b\\\\c\\nd\"} 3",
            "telltale_model_subjects{model=\"cell-fault\",verdict=\"anomalous\"} 1",
            "telltale_model_score_max{model=\"cell-fault\"} 0.75",
            "telltale_model_off{model=\"cell-fault\"} 1",
            "telltale_drift_index{model=\"cell-fault\",input=\"pack_level\",horizon=\"fast\"} 2.5",
            "telltale_drift_severity{model=\"cell-fault\",input=\"pack_level\",horizon=\"fast\"} 1",
            "telltale_spool_waiting_records{lane=\"critical\"} 5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}
