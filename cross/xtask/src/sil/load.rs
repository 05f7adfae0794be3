//! `cargo xtask sil load`: frames lost and time to a score against the load, on user-mode-linux, as a table and a plot.
//!
//! The plot is written by hand as SVG: two panels over one axis are fewer lines than a plotting crate's set-up, and this
//! crate builds before every other.

use super::bench::{Bench, Step};
use super::{Kind, Load, Options, Programs};
use crate::{needs, shell};
use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::fs;

/// Frames a second on four buses together.
const RATES: [u32; 9] = [1_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 36_000, 40_000];
/// Where the plot stands.
const PLOT: &str = "cross/machine/load.svg";
/// A panel: its left, its width, its height, and the tops of the two.
const LEFT: f64 = 70.0;
const WIDTH: f64 = 660.0;
const HEIGHT: f64 = 150.0;
const TOPS: [f64; 2] = [40.0, 240.0];

/// Sends at every rate, prints the table and writes the plot.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::for_machines(true, false)?;
    let programs = Programs::build()?;
    let load = Load::of(Kind::Uml, options)?;
    let steps = Bench::new(Kind::Uml, &programs, &load)?.sweep(&RATES)?;
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8}",
        "frames/s", "sent/s", "sent", "heard", "lost", "p50 us", "p99 us"
    );
    for step in &steps {
        let Step { rate, sent_per_s, sent, heard, lost, p50_us, p99_us } = step;
        println!("{rate:>10} {sent_per_s:>10.0} {sent:>10} {heard:>10} {lost:>8} {p50_us:>8} {p99_us:>8}");
        ensure!(
            sent == &(heard + lost),
            "{rate} frames a second: of {sent} sent {heard} were heard and {lost} told as lost"
        );
    }
    fs::write(shell::root().join(PLOT), plot(&steps)).with_context(|| format!("{PLOT} cannot be written"))?;
    println!("{PLOT}: written");
    Ok(())
}

/// Share of frames lost above, latencies below, both over the frames sent a second.
fn plot(steps: &[Step]) -> String {
    let most = steps.iter().map(|step| step.sent_per_s).fold(1.0, f64::max);
    let x = |step: &Step| LEFT + WIDTH * step.sent_per_s / most;
    let share = |step: &Step| 100.0 * step.lost as f64 / step.sent.max(1) as f64;
    let worst_share = steps.iter().map(share).fold(1.0, f64::max);
    let worst_ms = steps.iter().map(|step| step.p99_us as f64 / 1e3).fold(1.0, f64::max);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 440\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"440\" fill=\"#fff\"/>\n",
    );
    let titles = ["frames lost, %", "from the frame to the score, ms: median and 99th percentile"];
    for ((top, title), high) in TOPS.into_iter().zip(titles).zip([worst_share, worst_ms]) {
        // A write into a string does not fail.
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"600\">{title}</text>\n\
             <path d=\"M{LEFT} {top}v{HEIGHT}h{WIDTH}\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{high:.1}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>",
            top - 12.0,
            LEFT - 6.0,
            top + 4.0,
            LEFT - 6.0,
            top + HEIGHT + 4.0
        );
    }
    let bottom = TOPS[1] + HEIGHT;
    for step in steps {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(step),
            bottom + 18.0,
            step.rate / 1_000
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">thousand frames a second on four buses together</text>",
        LEFT + WIDTH / 2.0,
        bottom + 38.0
    );
    let mut line = |top: f64, high: f64, colour: &str, value: &dyn Fn(&Step) -> f64| {
        let place = |step: &Step| format!("{:.1},{:.1}", x(step), top + HEIGHT * (1.0 - value(step) / high));
        let points: Vec<String> = steps.iter().map(place).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for point in &points {
            let (cx, cy) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>");
        }
    };
    line(TOPS[0], worst_share, "#c0392b", &share);
    line(TOPS[1], worst_ms, "#0072b2", &|step| step.p50_us as f64 / 1e3);
    line(TOPS[1], worst_ms, "#d55e00", &|step| step.p99_us as f64 / 1e3);
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_stands_in_the_plot_three_times() {
        let step = |rate: u32, lost| Step {
            rate,
            sent_per_s: f64::from(rate),
            sent: 10_000,
            heard: 10_000 - lost,
            lost,
            p50_us: 300,
            p99_us: 900,
        };
        let svg = plot(&[step(1_000, 0), step(40_000, 5_000)]);
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(
            svg.contains(">50.0<") && svg.contains("730.0,40.0"),
            "half of the frames lost is the top: {svg}"
        );
    }
}
