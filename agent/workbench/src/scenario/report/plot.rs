//! The scores of a failing scenario over its drive: what the model saw, when it spoke, and when it was to speak.

use crate::scenario::expect::Word;
use crate::scenario::file::Scenario;
use crate::scenario::run::Outcome;
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 260);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// An SVG; `None` where there is nothing to draw.
pub(super) fn scores(scenario: &Scenario, outcome: &Outcome) -> Option<String> {
    draw(scenario, outcome).ok()
}

fn draw(scenario: &Scenario, outcome: &Outcome) -> Result<String, Box<dyn std::error::Error>> {
    let end_h = outcome.simulated.as_secs_f64() / 3_600.0;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..end_h.max(0.01), 0.0..1.05)?;
        chart.configure_mesh().x_desc("hours").y_desc("score").light_line_style(WHITE).draw()?;
        // When a verdict was expected, as a band; when one came, as a line.
        for expected in &scenario.expect {
            let band = [(expected.not_before_s / 3_600.0, 0.0), (expected.by_s / 3_600.0, 1.05)];
            chart.draw_series([Rectangle::new(band, RGBColor(0, 158, 115).mix(0.12).filled())])?;
        }
        for event in outcome.events.iter().filter(|event| event.verdict == Word::Anomalous) {
            let at_h = event.at_s / 3_600.0;
            chart.draw_series(LineSeries::new([(at_h, 0.0), (at_h, 1.05)], RED.stroke_width(1)))?;
            let label =
                Text::new(event.subject.clone(), (at_h, 1.03), ("sans-serif", 12).into_font().color(&RED));
            chart.draw_series([label])?;
        }
        for (curve, colour) in outcome.curves.iter().zip(COLOURS) {
            let points = curve.points.iter().map(|(at_s, score)| (at_s / 3_600.0, *score));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(curve.subject.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        }
        if !outcome.curves.is_empty() {
            chart
                .configure_series_labels()
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}
