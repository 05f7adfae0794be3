//! The screen: who and how on top, buses, models and spool on the left, signals on the right.

use super::Screen;
use crate::status::{BusFacts, ModelFacts, SignalFacts, SpoolFacts, StatusReport, UplinkFacts};
use crate::update::UpdateFacts;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};

/// Subjects that a model's part lists; the ones that stand out come first.
const SUBJECTS: usize = 5;
/// Letters of a bus's name; what its state is needs room beside it.
const NAME: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let status = &screen.status;
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(status)), head);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Fill(1)]).areas(body);
    let models = status.models.iter().map(|model| 2 + model.subjects.len().min(SUBJECTS) as u16).sum::<u16>();
    let models = models + status.updates.iter().filter(|facts| facts.update.is_some()).count() as u16;
    let [buses, judged, spool, uplink] = Layout::vertical([
        Constraint::Length(2 + status.buses.len().max(1) as u16),
        Constraint::Min(models.min(2 + SUBJECTS as u16)),
        Constraint::Length(7),
        Constraint::Length(5),
    ])
    .areas(left);
    draw_buses(frame, buses, status);
    draw_models(frame, judged, &status.models, &status.updates);
    draw_spool(frame, spool, status.spool.as_ref());
    draw_uplink(frame, uplink, status.uplink.as_ref());
    draw_signals(frame, right, screen);
    let keys = "q quit   arrows scroll   a signals without a value";
    let line = match &screen.trouble {
        Some(trouble) => Line::from(format!("no answer: {trouble}")).fg(Color::Red),
        None => Line::from(keys).dim(),
    };
    frame.render_widget(line, foot);
}

fn heading(status: &StatusReport) -> Vec<Line<'static>> {
    let (agent, capture) = (&status.agent, &status.capture);
    let state = Style::new().fg(if capture.state == "running" { Color::Green } else { Color::Red });
    vec![
        Line::from(vec![
            Span::from(format!("{} ", agent.vehicle)).bold(),
            Span::from(format!(
                "telltale {}, boot {}, up {}  ",
                agent.version,
                agent.boot,
                span(agent.uptime_s)
            )),
            Span::styled(capture.state.clone(), state),
            Span::from(format!("  {}", capture.at.as_deref().unwrap_or("-"))),
        ]),
        Line::from(format!(
            "frames {} ({}/s), {} unknown, {} malformed, {} lost; samples {}/s; memory {:.1} MB",
            capture.frames,
            whole(capture.frames_per_s),
            capture.unknown,
            capture.malformed,
            capture.lost,
            whole(capture.samples_per_s),
            status.memory.pss_bytes as f64 / 1e6,
        )),
    ]
}

fn draw_buses(frame: &mut Frame<'_>, area: Rect, status: &StatusReport) {
    let row = |bus: &BusFacts| {
        let row = Row::new([
            bus.name.clone(),
            bus.interface.clone(),
            bus.frames.to_string(),
            format!("{}/s", whole(bus.frames_per_s)),
            bus.load.map_or_else(|| "-".into(), |load| format!("{:.0} %", load * 100.0)),
            bus_state(bus),
        ]);
        if bus.state == "active" && bus.lost.unwrap_or(0) == 0 { row } else { row.fg(Color::Yellow) }
    };
    let longest = status.buses.iter().map(|bus| bus.name.chars().count()).max().unwrap_or(0);
    let widths = [
        Constraint::Length(longest.min(NAME) as u16),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Fill(1),
    ];
    frame.render_widget(
        Table::new(status.buses.iter().map(row), widths).block(Block::bordered().title("buses")),
        area,
    );
}

/// The state, and what there is to say of it: how long nothing has come, error counters, losses.
fn bus_state(bus: &BusFacts) -> String {
    let mut text = bus.state.clone();
    if let Some(age) = bus.frame_age_s.filter(|age| *age >= 1.0) {
        text = format!("{text}, silent {}", span(age));
    }
    if let (Some(tx), Some(rx)) = (bus.tx_errors, bus.rx_errors) {
        text = format!("{text}, errors {tx}/{rx}");
    }
    if let Some(lost) = bus.lost.filter(|lost| *lost > 0) {
        text = format!("{text}, {lost} lost");
    }
    text
}

fn draw_models(frame: &mut Frame<'_>, area: Rect, models: &[ModelFacts], updates: &[UpdateFacts]) {
    let mut lines: Vec<Line<'_>> = updates.iter().filter_map(update).collect();
    for model in models {
        let held = |verdict: &str| model.subjects.iter().filter(|subject| subject.verdict == verdict).count();
        let window = model
            .window_age_s
            .map_or_else(|| "no window yet".into(), |age| format!("window {} ago", span(age)));
        lines.push(
            Line::from(format!(
                "{} {}: {} nominal, {} anomalous, {} indeterminate; {window}",
                model.name,
                model.version,
                held("nominal"),
                held("anomalous"),
                held("indeterminate")
            ))
            .bold(),
        );
        if let Some(off) = model.off_for_s {
            let text =
                format!("  switched off after {} failures, tried again in {}", model.failures, span(off));
            lines.push(Line::from(text).fg(Color::Red));
        }
        let mut subjects: Vec<_> = model.subjects.iter().collect();
        // Anomalous ones first, then by score.
        subjects.sort_by(|a, b| {
            let rank = |s: &crate::status::SubjectFacts| (s.verdict == "anomalous", s.score.unwrap_or(-1.0));
            rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal)
        });
        for subject in subjects.into_iter().take(SUBJECTS) {
            let score = subject.score.map_or_else(
                || subject.why.clone().unwrap_or_default(),
                |score| format!("{score:.3} {}", bar(score, 20)),
            );
            let colour = match subject.verdict.as_str() {
                "anomalous" => Color::Red,
                "nominal" => Color::Green,
                _ => Color::Yellow,
            };
            lines.push(
                Line::from(format!("  {:<10} {:<13} {score}", subject.subject, subject.verdict)).fg(colour),
            );
        }
    }
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("models")), area);
}

fn draw_spool(frame: &mut Frame<'_>, area: Rect, spool: Option<&SpoolFacts>) {
    let mut lines = Vec::new();
    if let Some(spool) = spool {
        for lane in &spool.lanes {
            let full = lane.disk_bytes as f64 / lane.cap_bytes.max(1) as f64;
            lines.push(Line::from(format!(
                "{:<9}{:>8} wait  {:>8} KiB  {}",
                lane.lane,
                lane.waiting,
                lane.disk_bytes / 1024,
                bar(full, 12)
            )));
        }
        let text =
            format!("{} appended, {} lost, {} disk errors", spool.appended, spool.lost, spool.storage_errors);
        let line = Line::from(text);
        lines.push(if spool.lost > 0 { line.fg(Color::Red) } else { line });
    }
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("spool")), area);
}

/// Where the update of a family stands, if there is or was one.
fn update(facts: &UpdateFacts) -> Option<Line<'static>> {
    let (update, state) = (facts.update.as_ref()?, facts.state.as_ref()?);
    let progress = facts.progress.map(|[windows, of, ..]| format!(", {windows} of {of} windows"));
    let line = Line::from(format!("{}: {update} {state}{}", facts.family, progress.unwrap_or_default()));
    Some(if facts.is_trial { line.fg(Color::Yellow) } else { line })
}

fn draw_uplink(frame: &mut Frame<'_>, area: Rect, uplink: Option<&UplinkFacts>) {
    let mut lines = Vec::new();
    match uplink {
        None => lines.push(Line::from("none configured")),
        Some(uplink) => {
            let taken = uplink.taken_age_s.map_or_else(|| "never".into(), |age| format!("{} ago", span(age)));
            lines.push(Line::from(format!("{} {}, last taken {taken}", uplink.state, uplink.url)));
            lines.push(Line::from(format!(
                "{} records in {} requests, {} failures, {:.1} kB up",
                uplink.acknowledged,
                uplink.requests,
                uplink.failures,
                uplink.bytes_up as f64 / 1e3
            )));
            lines.extend(uplink.trouble.clone().map(|trouble| Line::from(trouble).fg(Color::Red)));
        }
    }
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("uplink")), area);
}

fn draw_signals(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    const WIDTHS: [u16; 2] = [12, 13];
    // Borders and the gaps between three columns.
    let room = usize::from(area.width.saturating_sub(WIDTHS.iter().sum::<u16>() + 4));
    let row = |signal: &SignalFacts| {
        let value =
            signal.value.map_or_else(String::new, |value| format!("{} {}", rounded(value), signal.unit));
        let age = signal.age_s.map_or_else(String::new, |age| format!("{} ago", span(age)));
        let row = Row::new([tail(&signal.signal, room), value, signal.absent.clone().unwrap_or(age)]);
        if signal.absent.is_some() { row.fg(Color::Yellow) } else { row }
    };
    let absent = screen.status.signals.iter().filter(|signal| signal.absent.is_some()).count();
    let title = format!("signals: {}, {absent} without a usable value", screen.status.signals.len());
    let widths = [Constraint::Fill(1), Constraint::Length(WIDTHS[0]), Constraint::Length(WIDTHS[1])];
    let rows = screen.listed().skip(screen.scroll).map(row);
    frame.render_widget(Table::new(rows, widths).block(Block::bordered().title(title)), area);
}

/// The end of a path, which tells one signal from another.
fn tail(path: &str, room: usize) -> String {
    let letters = path.chars().count();
    if letters <= room {
        return path.to_owned();
    }
    let kept = room.saturating_sub(1);
    format!("…{}", path.chars().skip(letters - kept).collect::<String>())
}

/// Six figures at the most: what a screen has room for.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        x if x >= 1_000.0 => 0,
        x if x >= 100.0 => 1,
        x if x >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.0}"))
}

fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(width - full))
}

/// A span of seconds in few letters.
fn span(seconds: f64) -> String {
    match seconds as u64 {
        0..=9 => format!("{seconds:.1} s"),
        s @ 10..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}
