//! A chart: a frame, its grid, lines with marks.

use super::axis::{Axis, label};
use std::fmt::Write as _;

/// Place on the page, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) colour: &'static str,
    pub(super) dashed: bool,
    pub(super) marks: bool,
    /// Value, and whether it is to be trusted.
    pub(super) points: Vec<(f64, f64, bool)>,
}

/// What is drawn where.
pub(super) struct Chart<'a> {
    pub(super) place: Place,
    pub(super) title: &'a str,
    /// What the values are.
    pub(super) unit: &'a str,
    /// What stands below.
    pub(super) below: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// Room of a chart around its frame.
const LEFT: f64 = 46.0;
const ABOVE: f64 = 44.0;
const BELOW: f64 = 40.0;

/// Text as XML wants it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Chart<'_> {
    /// Appends it. Writing to a text cannot fail.
    pub(super) fn draw(&self, out: &mut String) {
        let Place { x, y, width, height } = self.place;
        let inner = Place { x: x + LEFT, y: y + ABOVE, width: width - LEFT - 12.0, height: height - ABOVE - BELOW };
        let (title, unit) = (escape(self.title), escape(self.unit));
        let _ = writeln!(out, r#"<text x="{x:.1}" y="{:.1}" class="title">{title}</text>"#, y + 14.0);
        let _ = writeln!(out, r#"<text x="{x:.1}" y="{:.1}" class="unit">{unit}</text>"#, y + 31.0);
        self.grid(inner, out);
        for series in &self.series {
            self.line(series, inner, out);
        }
    }

    fn grid(&self, inner: Place, out: &mut String) {
        let Place { x, y, width, height } = inner;
        for tick in &self.y.ticks {
            let at = y + height * (1.0 - self.y.place(*tick));
            let class = if self.y.place(*tick) == 0.0 { "base" } else { "grid" };
            let _ = writeln!(out, r#"<path d="M{x:.1} {at:.1}h{width:.1}" class="{class}"/>"#);
            let text = label(*tick);
            let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}" class="tick end">{text}</text>"#, x - 7.0, at + 4.0);
        }
        let floor = y + height;
        for tick in &self.x.ticks {
            let at = x + width * self.x.place(*tick);
            let _ = writeln!(out, r#"<path d="M{at:.1} {floor:.1}v5" class="base"/>"#);
            let text = label(*tick);
            let _ = writeln!(out, r#"<text x="{at:.1}" y="{:.1}" class="tick middle">{text}</text>"#, floor + 18.0);
        }
        let below = escape(self.below);
        let (middle, at) = (x + width / 2.0, floor + 34.0);
        let _ = writeln!(out, r#"<text x="{middle:.1}" y="{at:.1}" class="unit middle">{below}</text>"#);
    }

    fn line(&self, series: &Series, inner: Place, out: &mut String) {
        let place = |value: (f64, f64)| {
            let at = inner.x + inner.width * self.x.place(value.0);
            (at, inner.y + inner.height * (1.0 - self.y.place(value.1)))
        };
        let mut path = String::new();
        for (n, point) in series.points.iter().enumerate() {
            let (at, up) = place((point.0, point.1));
            let _ = write!(path, "{}{at:.1} {up:.1}", if n == 0 { 'M' } else { 'L' });
        }
        let (colour, class) = (series.colour, if series.dashed { "line dashed" } else { "line" });
        if series.points.len() > 1 {
            let _ = writeln!(out, r#"<path d="{path}" class="{class}" stroke="{colour}"/>"#);
        }
        for point in series.points.iter().filter(|_| series.marks || series.points.len() == 1) {
            let (at, up) = place((point.0, point.1));
            if self.y.is_beyond(point.1) {
                let _ = writeln!(
                    out,
                    r#"<text x="{:.1}" y="{:.1}" class="tick">↑ {}</text>"#,
                    at + 8.0,
                    up + 4.0,
                    label((point.1 * 10.0).round() / 10.0)
                );
            }
            let fill = if point.2 { colour } else { "#ffffff" };
            let _ = writeln!(
                out,
                r#"<circle cx="{at:.1}" cy="{up:.1}" r="3.6" fill="{fill}" stroke="{colour}" stroke-width="1.6"/>"#
            );
        }
    }
}
