//! The plot of the measured day, as SVG.

use std::fmt::Write as _;

use super::comparison::{PlanComparison, RefreshWay};
use crate::plan::Interval;

/// A chart of one value over the day.
struct Panel {
    title: &'static str,
    value: fn(&Interval) -> Option<f64>,
}

const PANELS: [Panel; 3] = [
    Panel { title: "price of a call (clicks missed)", value: |interval| interval.price },
    Panel { title: "calls used today (calls)", value: |interval| Some(interval.used.into()) },
    Panel {
        title: "clicks missed per answer (clicks, mean of 5 min)",
        value: |interval| (interval.answers > 0).then(|| interval.missed as f64 / interval.answers as f64),
    },
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const PLOT_WIDTH: f64 = 670.0;
const TOP: f64 = 60.0;
const PANEL_HEIGHT: f64 = 130.0;
const PANEL_STEP: f64 = 180.0;

/// Colours for light and dark mode.
const STYLE: &str = "svg{background:#fff;font:12px sans-serif}text{fill:#222}.grid{stroke:#ccc}\
    .line{fill:none;stroke-width:1.5}.planned{stroke:#0b62c4}.fixed{stroke:#c2410c}\
    @media(prefers-color-scheme:dark){svg{background:#14171a}text{fill:#ddd}.grid{stroke:#444}\
    .planned{stroke:#6cb4ff}.fixed{stroke:#ff9d5c}}";

/// Draws planned refresh and the fixed lifetime over the measured day; returns the SVG.
pub(super) fn day_plot(comparison: &PlanComparison) -> String {
    let height = TOP + PANEL_STEP * PANELS.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>A simulated day</title>\n<style>{STYLE}</style>\n"
    );
    let mut x = LEFT;
    for row in comparison.plotted() {
        let (class, name) = (class(row.refresh), row.refresh.as_str());
        let (text, end) = (x + 26.0, x + 20.0);
        // Writing to a String cannot fail.
        let _written = writeln!(
            svg,
            "<line class=\"line {class}\" x1=\"{x}\" y1=\"18\" x2=\"{end}\" y2=\"18\"/>\
             <text x=\"{text}\" y=\"22\">{name} ({})</text>",
            row.sharing.as_str()
        );
        x += 220.0;
    }
    for (index, panel) in PANELS.iter().enumerate() {
        draw_panel(&mut svg, comparison, panel, TOP + PANEL_STEP * index as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, comparison: &PlanComparison, panel: &Panel, top: f64) {
    let start = comparison.measured_from;
    let day = |interval: &&Interval| interval.until > start;
    let values = comparison.plotted().flat_map(|row| row.outcome.timeline.iter().filter(day));
    let most = nice(values.filter_map(panel.value).fold(0.0, f64::max));
    let bottom = top + PANEL_HEIGHT;
    let _written = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", top - 8.0, panel.title);
    for step in 0..=2 {
        let value = (most * f64::from(step) * 5e5).round() / 1e6;
        let y = bottom - PANEL_HEIGHT * f64::from(step) / 2.0;
        let _written = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{value}</text>",
            LEFT + PLOT_WIDTH,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for hour in (0..=24).step_by(4) {
        let x = LEFT + PLOT_WIDTH * f64::from(hour) / 24.0;
        let zone = if hour == 0 { " UTC" } else { "" };
        let _written = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{hour}:00{zone}</text>",
            bottom + 16.0
        );
    }
    for row in comparison.plotted() {
        let mut path = String::new();
        let mut pen = 'M';
        for interval in row.outcome.timeline.iter().filter(day) {
            let Some(value) = (panel.value)(interval) else {
                pen = 'M';
                continue;
            };
            let hours = (interval.until - start).as_secs_f64() / 3600.0;
            let (x, y) = (LEFT + PLOT_WIDTH * hours / 24.0, bottom - PANEL_HEIGHT * value / most);
            let _written = write!(path, "{pen}{x:.1} {y:.1}");
            pen = 'L';
        }
        if !path.is_empty() {
            let _written = writeln!(svg, "<path class=\"line {}\" d=\"{path}\"/>", class(row.refresh));
        }
    }
}

const fn class(way: RefreshWay) -> &'static str {
    match way {
        RefreshWay::FixedLifetime => "fixed",
        RefreshWay::Planned | RefreshWay::PlannedWithDerivation | RefreshWay::PlannedWithProbe => "planned",
    }
}

/// Rounds up to 1, 2 or 5 times a power of ten, for the end of an axis.
fn nice(most: f64) -> f64 {
    if !(most > 0.0 && most.is_finite()) {
        return 1.0;
    }
    let power = 10.0_f64.powi(most.log10().floor() as i32);
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= most).unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_figure() {
        assert_eq!([0.0, 0.7, 1.2, 33.0, 9_990.0].map(nice), [1.0, 1.0, 2.0, 50.0, 10_000.0]);
    }
}
