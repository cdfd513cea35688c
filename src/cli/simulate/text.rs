//! The report for a terminal.

use super::assertion::Decision;
use super::report::{Release, Report};
use super::{chart, words};
use crate::cli::print::{Line, Tone, wrap};
use crate::sim::simulate::{Check, Entry, EntryKind, Verdict};

/// Writes it, with a terminal's codes if `colours`.
pub(super) fn write(report: &Report, colours: bool) -> String {
    let mut lines = Vec::new();
    for (index, release) in report.releases.iter().enumerate() {
        head(release, &mut lines);
        if index == 0 {
            preamble(report, &mut lines);
        }
        release.outcome.timeline.iter().for_each(|entry| lines.extend(moment(entry)));
        lines.push(Line::new());
        plot(release, &mut lines);
        end(release, &mut lines);
        if let Some((study, good)) = report.study(index) {
            lines.push(Line::new());
            let seeds = format!("  seeds {} and following", report.seed);
            let title = format!("{} releases", words::counted(study.runs()));
            lines.push(Line::new().with(Tone::Strong, title).with(Tone::Faint, seeds));
            table(words::study(study, good), &mut lines);
            spread("seconds until the end", &study.seconds, &mut lines);
            spread("requests hurt", &study.hurt, &mut lines);
        }
        lines.push(Line::new());
    }
    assertions(report, &mut lines);
    let show = |line: &Line| if colours { line.coloured() } else { line.text() };
    lines.iter().map(|line| show(line) + "\n").collect()
}

fn head(release: &Release, lines: &mut Vec<Line>) {
    let line = Line::new().with(Tone::Strong, release.outcome.canary.clone());
    lines.push(line.with(Tone::Faint, format!("  {}  from {}", release.strategy, release.image)));
    lines.push(Line::new());
}

fn preamble(report: &Report, lines: &mut Vec<Line>) {
    let about = format!("{}; seed {}.", report.scenario.join("; "), report.seed);
    lines.extend(hanging("Scenario  ", &about, Tone::Plain));
    for note in &report.notes {
        lines.extend(hanging("Note      ", note, Tone::Faint));
    }
    lines.push(Line::new());
}

/// A heading, and words beside it.
fn hanging(heading: &str, text: &str, tone: Tone) -> Vec<Line> {
    let width = heading.chars().count();
    let parts = wrap(text, WIDTH - width);
    (0..)
        .zip(parts)
        .map(|(index, part)| {
            let start = if index == 0 { heading.to_owned() } else { " ".repeat(width) };
            Line::new().with(Tone::Faint, start).with(tone, part)
        })
        .collect()
}

fn moment(entry: &Entry) -> Vec<Line> {
    let start = |shown: bool| match shown {
        true => {
            Line::new().with(Tone::Faint, format!("{:>8}  {:>3} %  ", words::clock(entry.at), entry.weight))
        }
        false => Line::new().plain(" ".repeat(18)),
    };
    let (mark, tone) = match entry.kind {
        EntryKind::Scenario => ("▸ ", Tone::Accent),
        EntryKind::Event => ("  ", Tone::Plain),
        EntryKind::Warning => ("! ", Tone::Warning),
        EntryKind::Checks => {
            let lines = |(index, check): (usize, &Check)| {
                let (mark, tone) = match check.verdict.as_str() {
                    "Passed" => ("✓ ", Tone::Good),
                    "Failed" => ("✗ ", Tone::Bad),
                    _ => ("· ", Tone::Warning),
                };
                let parts = wrap(&check.text(), WIDTH - 20).into_iter().enumerate();
                let part = move |(part, text): (usize, String)| {
                    let mark = if part == 0 { mark } else { "  " };
                    start(index + part == 0).with(tone, mark).plain(text)
                };
                parts.map(part).collect::<Vec<Line>>()
            };
            return entry.checks.iter().enumerate().flat_map(lines).collect();
        }
    };
    let parts = wrap(&entry.text, WIDTH - 20);
    let line = |(index, part): (usize, String)| {
        let mark = if index == 0 { mark } else { "  " };
        start(index == 0).with(tone, format!("{mark}{part}"))
    };
    parts.into_iter().enumerate().map(line).collect()
}

fn plot(release: &Release, lines: &mut Vec<Line>) {
    let outcome = &release.outcome;
    let shares: Vec<Option<f64>> = outcome.plot.iter().map(|point| Some(point.share)).collect();
    let errors: Vec<Option<f64>> = outcome.plot.iter().map(|point| point.error_rate).collect();
    draw("Share of the canary", &shares, Tone::Accent, outcome.seconds, lines);
    draw("Failed requests of the canary", &errors, Tone::Bad, outcome.seconds, lines);
}

fn draw(title: &str, values: &[Option<f64>], tone: Tone, seconds: f64, lines: &mut Vec<Line>) {
    let values = chart::squeezed(values, COLUMNS);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    lines.push(Line::new().with(Tone::Faint, title));
    let rows = chart::columns(&values, most, ROWS);
    for (index, row) in rows.into_iter().enumerate() {
        let label = if index == 0 { words::percent(most / 100.0) } else { String::new() };
        lines.push(Line::new().with(Tone::Faint, format!("{label:>9} ┤")).with(tone, row));
    }
    let end = words::clock(seconds);
    let line = "─".repeat(values.len());
    lines.push(Line::new().with(Tone::Faint, format!("{:>9} └{line}", "0 %")));
    let gap = " ".repeat(values.len().saturating_sub(4 + end.len()));
    lines.push(Line::new().with(Tone::Faint, format!("{:>11}0:00{gap}{end}", "")));
    lines.push(Line::new());
}

fn end(release: &Release, lines: &mut Vec<Line>) {
    let outcome = &release.outcome;
    let (mark, tone) = match outcome.verdict {
        Verdict::Promoted => ("✓", Tone::Good),
        Verdict::RolledBack => ("✗", Tone::Bad),
        Verdict::Unfinished => ("…", Tone::Warning),
    };
    lines.push(Line::new().with(tone, format!("{mark} {}", words::verdict(outcome))));
    table(words::facts(outcome), lines);
}

fn table(rows: Vec<(&'static str, String)>, lines: &mut Vec<Line>) {
    for (heading, text) in rows {
        lines.extend(hanging(&format!("  {heading:<15}"), &text, Tone::Plain));
    }
}

/// How values are spread, as a row of columns between the least and the most.
fn spread(title: &str, values: &[f64], lines: &mut Vec<Line>) {
    let Some((least, most)) = values.first().zip(values.last()).filter(|(least, most)| least < most) else {
        return;
    };
    let bars = histogram(values, *least, *most, 40);
    let highest = bars.iter().flatten().copied().fold(0.0, f64::max);
    let row = chart::columns(&bars, highest, 1).concat();
    let line = Line::new()
        .with(Tone::Faint, format!("  {:>15}", words::count(*least)))
        .plain("▕")
        .with(Tone::Accent, row);
    lines.push(line.plain("▏").with(Tone::Faint, format!("{} {title}", words::count(*most))));
}

/// How many values fall into each of `bars` parts between `least` and `most`.
pub(super) fn histogram(values: &[f64], least: f64, most: f64, bars: u32) -> Vec<Option<f64>> {
    let mut counts = vec![0.0; bars as usize];
    for value in values {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and the number of bars"
        )]
        let bar = ((value - least) / (most - least) * f64::from(bars)).floor() as usize;
        counts[bar.min(bars as usize - 1)] += 1.0;
    }
    counts.into_iter().map(Some).collect()
}

fn assertions(report: &Report, lines: &mut Vec<Line>) {
    for judged in &report.judged {
        let (mark, tone, word) = match judged.decision {
            Decision::Holds => ("✓", Tone::Good, "holds"),
            Decision::Fails => ("✗", Tone::Bad, "does not hold"),
            Decision::Undecided => ("?", Tone::Warning, "undecided"),
        };
        lines.push(Line::new().with(tone, format!("{mark} {}  {word}", judged.text.trim())));
        judged.found.iter().for_each(|found| lines.extend(hanging("    ", found, Tone::Plain)));
    }
}

/// What most terminals show, and logs.
const WIDTH: usize = 110;
const COLUMNS: usize = 72;
const ROWS: usize = 4;
