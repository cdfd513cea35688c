//! Charts for the page.

use std::fmt::Write;

use super::super::text;
use super::super::words;
use crate::sim::simulate::{Study, Verdict};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 8.0;
const HEIGHT: f64 = 130.0;

/// A value in percent over time, which holds until the next; `None` is a gap.
pub(super) fn steps(title: &str, colour: &str, values: &[(f64, Option<f64>)], seconds: f64) -> String {
    let most = values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
    if most <= 0.0 || seconds <= 0.0 {
        return String::new();
    }
    let top = nice(most);
    let x = |at: f64| LEFT + (WIDTH - LEFT) * (at / seconds).clamp(0.0, 1.0);
    let y = |value: f64| TOP + HEIGHT * (1.0 - (value / top).min(1.0));
    let (mut curve, mut area) = (String::new(), String::new());
    let mut before = None;
    for (index, (at, value)) in values.iter().enumerate() {
        let end = values.get(index + 1).map_or(seconds, |(at, _)| *at);
        if let Some(value) = value {
            let (from, to, level, ground) = (x(*at), x(end), y(*value), y(0.0));
            // Writing to a string cannot fail.
            let joint = if before.is_some() { "L" } else { "M" };
            let _ = write!(curve, "{joint}{from:.1} {level:.1}L{to:.1} {level:.1}");
            let _ = write!(area, "M{from:.1} {ground:.1}V{level:.1}H{to:.1}V{ground:.1}Z");
        }
        before = *value;
    }
    let mut axes = String::new();
    for part in [0.0, 0.5, 1.0] {
        let (level, label) = (y(top * part), label(top * part));
        let _ = write!(
            axes,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{level:.1}\" y2=\"{level:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            level + 4.0
        );
    }
    for (index, part) in [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().enumerate() {
        let anchor = ["start", "middle", "middle", "middle", "end"][index];
        let _ = write!(
            axes,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            x(seconds * part),
            TOP + HEIGHT + 18.0,
            words::clock(seconds * part)
        );
    }
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{title}\">\
         {axes}<path class=\"area f-{colour}\" d=\"{area}\"/><path class=\"curve s-{colour}\" d=\"{curve}\"/></svg></figure>",
        TOP + HEIGHT + 24.0
    )
}

/// How many releases were promoted, rolled back and neither, as one bar.
pub(super) fn shares(study: &Study) -> String {
    let parts = [(Verdict::Promoted, "good"), (Verdict::RolledBack, "bad"), (Verdict::Unfinished, "open")];
    let mut from = 0.0;
    let mut bars = String::new();
    for (verdict, colour) in parts {
        let width = study.share(verdict).value * WIDTH;
        if width > 0.0 {
            let _ = write!(
                bars,
                "<rect class=\"f-{colour}\" x=\"{from:.1}\" y=\"0\" width=\"{width:.1}\" height=\"14\">\
                 <title>{} {}</title></rect>",
                verdict.as_str(),
                words::percent(study.share(verdict).value)
            );
        }
        from += width;
    }
    format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} 14\" role=\"img\" aria-label=\"how the releases ended\">{bars}</svg></figure>"
    )
}

/// How many releases had which value.
pub(super) fn histogram(title: &str, colour: &str, values: &[f64], show: fn(f64) -> String) -> String {
    let Some((least, most)) = values.first().zip(values.last()) else { return String::new() };
    // The table above says it.
    if least >= most {
        return String::new();
    }
    const BARS: u32 = 30;
    const WIDE: f64 = 440.0;
    let counts = text::histogram(values, *least, *most, BARS);
    let highest = counts.iter().flatten().copied().fold(1.0, f64::max);
    let width = WIDE / f64::from(BARS);
    let mut bars = String::new();
    for (index, count) in (0_u32..).zip(counts.iter().flatten()) {
        let height = if *count > 0.0 { (HEIGHT * count / highest).max(1.0) } else { 0.0 };
        let (left, top) = (f64::from(index) * width, TOP + HEIGHT - height);
        let from = least + (most - least) * f64::from(index) / f64::from(BARS);
        let _ = write!(
            bars,
            "<rect class=\"f-{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
             <title>{count} from {} on</title></rect>",
            width - 1.5,
            show(from)
        );
    }
    let ground = TOP + HEIGHT;
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDE} {:.0}\" role=\"img\" aria-label=\"{title}\">\
         <line class=\"grid\" x1=\"0\" x2=\"{WIDE}\" y1=\"{ground}\" y2=\"{ground}\"/>{bars}\
         <text x=\"0\" y=\"{:.1}\">{}</text><text x=\"{WIDE}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></svg></figure>",
        ground + 24.0,
        ground + 18.0,
        show(*least),
        ground + 18.0,
        show(*most)
    )
}

/// The end of an axis that is at least `most`: 1, 2 or 5 and zeros.
fn nice(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let ends = [1.0, 2.0, 5.0, 10.0].map(|end| end * power);
    ends.into_iter().find(|end| *end >= most).unwrap_or(most).min(100.0)
}

fn label(percent: f64) -> String {
    format!("{} %", (percent * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let close = |expected: f64, found: f64| (expected - found).abs() < 1e-9;
        for (most, expected) in
            [(0.3, 0.5), (3.0, 5.0), (5.0, 5.0), (11.0, 20.0), (60.0, 100.0), (100.0, 100.0)]
        {
            assert!(close(expected, nice(most)), "{most}: {}", nice(most));
        }
    }
}
