//! What all pages share: the frame, the style, and how times, numbers and states are written.

use crate::report::{State, When};
use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::OnceLock;
use std::time::Duration;
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

const STYLE: &str = include_str!("style.css");

/// How often a live page loads itself again, in seconds.
const RELOAD: u32 = 5;

/// A warning lamp (ISO 2575), as the page's icon: `#` and `"` stay out of it, because it stands in an address.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
    %3Cpath d='M16 3 30 28H2Z' fill='%23e69f00'/%3E%3Cpath d='M16 12v8M16 23v2' stroke='%23000' stroke-width='3'/%3E%3C/svg%3E";

/// The content security policy: the style by its digest, the icon, nothing else.
pub(super) fn content_policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let digest = base64::engine::general_purpose::STANDARD.encode(Digest::of(STYLE.as_bytes()).0);
        format!(
            "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        )
    })
}

/// A whole page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// The way here, the fleet first; empty on the fleet's own page.
    pub(super) trail: &'a str,
    /// Where the same is for scripts.
    pub(super) json: &'a str,
    pub(super) now: WallTime,
    /// Whether the page loads itself again.
    pub(super) live: bool,
}

impl Frame<'_> {
    pub(super) fn render(&self, main: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if self.live { meta http-equiv="refresh" content=(RELOAD); }
                    title { (self.title) " · Telltale" }
                    link rel="icon" href=(PreEscaped(ICON));
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header class="top" {
                        nav aria-label="Where you are" {
                            a class="brand" href="/" { span class="lamp" aria-hidden="true" {} "Telltale" }
                            " " a class="room" href="/models" { "Models" } " " a class="room" href="/rollouts" { "Rollouts" }
                            @if !self.trail.is_empty() { span class="sep" aria-hidden="true" { "/" } span { (self.trail) } }
                        }
                        p class="asof" {
                            "as of " (time(&self.now.to_string())) " UTC · "
                            @if self.live { a href="?" { "stop reloading" } } @else { a href="?live" { "reload every " (RELOAD) " s" } }
                        }
                    }
                    main { (main) }
                    footer { "All times UTC. The same as JSON: " a href=(self.json) { (self.json) } }
                }
            }
        }
    }
}

/// A page that says one thing.
pub(super) fn message(status: u16, text: &str) -> Markup {
    let now = crate::sync::now();
    let frame = Frame { title: "Not shown", trail: "", json: "/api/vehicles", now, live: false };
    frame.render(
        &html! { section class="card" { h1 { (status) } p { (text) } p { a href="/" { "To the fleet" } } } },
    )
}

/// A state as a word in its colour.
pub(super) fn badge(state: State) -> Markup {
    html! { span class={ "badge " (class(state)) } { (state.word()) } }
}

/// The style's name for a state.
pub(super) const fn class(state: State) -> &'static str {
    match state {
        State::Anomalous => "anomalous",
        State::Indeterminate => "indeterminate",
        State::NoData => "nodata",
        State::Nominal => "nominal",
    }
}

/// `2026-11-22 02:10:31`, with the whole time behind it.
pub(super) fn time(rfc3339: &str) -> Markup {
    html! { time datetime=(rfc3339) { (clock(rfc3339)) } }
}

/// When a vehicle says something was, or when it arrived if the vehicle did not know the time.
pub(super) fn when(when: &When) -> Markup {
    html! {
        (time(&when.at))
        @if when.clock == "received" { " " abbr title="the vehicle did not know the time: this is the arrival" { "arr." } }
    }
}

fn clock(rfc3339: &str) -> String {
    rfc3339.split('.').next().unwrap_or(rfc3339).replace('T', " ")
}

/// `3 min ago`.
pub(super) fn ago(then_us: i64, now: WallTime) -> String {
    let since = Duration::from_micros(u64::try_from(now.0.saturating_sub(then_us)).unwrap_or(0)).as_secs();
    match since {
        0..=1 => "now".to_owned(),
        2..=119 => format!("{since} s ago"),
        120..=7_199 => format!("{} min ago", since / 60),
        7_200..=172_799 => format!("{} h ago", since / 3_600),
        _ => format!("{} days ago", since / 86_400),
    }
}

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.5 MB`.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

/// A measured value: as many decimals as its size asks for, and a true minus sign.
pub(super) fn value(number: f32) -> String {
    let text = match number.abs() {
        0.0 => "0".to_owned(),
        1_000.0.. => format!("{number:.0}"),
        100.0.. => format!("{number:.1}"),
        0.1.. => format!("{number:.3}"),
        _ => format!("{number:.5}"),
    };
    minus(&text)
}

/// A score or confidence; a dash where there is none.
pub(super) fn score(score: Option<f32>) -> String {
    score.map_or_else(|| "–".to_owned(), |score| format!("{score:.2}"))
}

/// The hyphen of a number as a minus sign.
pub(super) fn minus(number: &str) -> String {
    number.replacen('-', "−", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [value(-0.0821), value(3.7), value(400.04), value(0.0)],
            ["−0.08210", "3.700", "400.0", "0"]
        );
        assert_eq!([bytes(12), bytes(1_500), bytes(15_800_000)], ["12 B", "1.5 kB", "15.8 MB"]);
        assert_eq!(score(None), "–");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(clock("2026-11-22T02:10:31.250Z"), "2026-11-22 02:10:31");
        let now = WallTime(10_000_000_000_000);
        let ago = |seconds: i64| ago(now.0 - seconds * 1_000_000, now);
        assert_eq!([ago(-5), ago(1), ago(90), ago(600)], ["now", "now", "90 s ago", "10 min ago"]);
        assert_eq!([ago(8_000), ago(200_000)], ["2 h ago", "2 days ago"]);
    }
}
