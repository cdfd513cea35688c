//! The demo as a picture: where the release stands, who gets the traffic, what the checks say, what was told.

use chrono::{DateTime, Utc};

use crate::cli::print::{Line, Tone, bar, wrap};

use super::view::{Check, Event, Pods, View};
use super::words;

/// What stands above a picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Title {
    pub main: String,
    /// What this release shows.
    pub more: String,
}

/// The release as `rows` lines of at most `columns`; the oldest events give way. `None` for as many as it takes.
pub(super) fn draw(
    view: &View,
    title: &Title,
    now: DateTime<Utc>,
    columns: usize,
    rows: Option<usize>,
) -> Vec<Line> {
    let mut lines = vec![heading(view, &title.main, now, columns)];
    if !title.more.is_empty() {
        lines.push(Line::new().with(Tone::Faint, &title.more));
    }
    lines.push(Line::new());
    let (primary, canary) =
        view.weights.map_or((None, None), |(primary, canary)| (Some(primary), Some(canary)));
    let versions = [&view.primary, &view.canary].map(|pods| pods.version().chars().count());
    let label = versions.into_iter().max().unwrap_or(0).clamp(4, 16);
    lines.push(workload("primary", &view.primary, primary, label, Tone::Accent, columns));
    lines.push(workload("canary", &view.canary, canary, label, canary_tone(view), columns));
    lines.push(Line::new());
    lines.extend(view.checks.iter().map(|check| self::check(check, &view.checks)));
    lines.push(standing(view, now));
    lines.push(Line::new());
    let room = rows.map_or(usize::MAX, |rows| rows.saturating_sub(lines.len()));
    lines.extend(events(&view.events, columns, room));
    lines.into_iter().take(rows.unwrap_or(usize::MAX)).map(|line| line.cut(columns)).collect()
}

fn heading(view: &View, title: &str, now: DateTime<Utc>, columns: usize) -> Line {
    let tone = phase_tone(&view.phase);
    let phase = if view.phase.is_empty() { "–" } else { &view.phase };
    let end =
        Line::new().with(tone, format!("● {phase}")).with(Tone::Faint, format!("  {}", words::clock(now)));
    Line::new().with(Tone::Strong, title).with_end(end, columns)
}

fn phase_tone(phase: &str) -> Tone {
    match phase {
        "Initialized" | "Succeeded" => Tone::Good,
        "Failed" => Tone::Bad,
        "" => Tone::Faint,
        _ => Tone::Warning,
    }
}

/// What the traffic of the canary says: it goes well, or not.
fn canary_tone(view: &View) -> Tone {
    let failing = view.checks.iter().any(|check| check.measured.is_some_and(|measured| !measured.passed));
    if failing { Tone::Bad } else { Tone::Good }
}

fn workload(name: &str, pods: &Pods, weight: Option<i64>, label: usize, tone: Tone, columns: usize) -> Line {
    let version: String = pods.version().chars().take(label).collect();
    let line = Line::new().plain(format!("  {name:<9}")).with(tone, format!("{version:<label$}  "));
    let share = match weight {
        Some(weight) => format!("{weight:>4} %"),
        None => format!("{:>6}", "–"),
    };
    let pods = format!("{:>9}", words::pods(pods));
    // On a narrow terminal the number of pods goes first, then the bar.
    let room = columns.saturating_sub(line.width() + share.len() + 2);
    let (with_pods, room) = match room.checked_sub(pods.len() + 2) {
        Some(rest) if rest >= SHORTEST_BAR => (true, rest),
        _ => (false, room),
    };
    let width = if room < SHORTEST_BAR { 0 } else { room.min(LONGEST_BAR) };
    let (full, empty) = bar(words::share(weight.unwrap_or(0)), width, '█', '░');
    let line = line.with(tone, full).with(Tone::Faint, empty).with(Tone::Strong, share);
    if with_pods { line.with(Tone::Faint, format!("  {pods}")) } else { line }
}

fn check(check: &Check, all: &[Check]) -> Line {
    let widest = |text: fn(&Check) -> String| all.iter().map(|c| text(c).chars().count()).max().unwrap_or(0);
    let (name, value) = (widest(|check| check.name.clone()), widest(words::measured).max(7));
    let (mark, tone) = match check.measured {
        None => ("·", Tone::Faint),
        Some(measured) if measured.passed => ("✓", Tone::Good),
        Some(_) => ("✗", Tone::Bad),
    };
    Line::new()
        .with(tone, format!("  {mark} "))
        .plain(format!("{:<name$}  ", check.name))
        .with(tone, format!("{:>value$}  ", words::measured(check)))
        .with(Tone::Faint, words::bounds(check))
}

/// How many checks failed, and when the next is due.
fn standing(view: &View, now: DateTime<Utc>) -> Line {
    let tone = if view.failed_checks > 0 { Tone::Bad } else { Tone::Faint };
    let line =
        Line::new().with(tone, format!("    {} of {} failed checks", view.failed_checks, view.threshold));
    match view.next_check.map(|due| (due - now).num_seconds()) {
        Some(seconds @ 1..) => line.with(Tone::Faint, format!(", next step in {seconds} s")),
        _ => line,
    }
}

/// The last of the events that `room` lines can show.
fn events(events: &[Event], columns: usize, room: usize) -> Vec<Line> {
    let lines: Vec<Line> = events.iter().flat_map(|event| self::event(event, columns)).collect();
    let skipped = lines.len().saturating_sub(room);
    lines.into_iter().skip(skipped).collect()
}

fn event(event: &Event, columns: usize) -> Vec<Line> {
    let time = words::clock(event.at);
    let tone = if event.warning { Tone::Warning } else { Tone::Plain };
    let indent = time.len() + 4;
    wrap(&event.message, columns.saturating_sub(indent))
        .into_iter()
        .enumerate()
        .map(|(index, text)| {
            let time = if index == 0 { time.as_str() } else { "" };
            Line::new().with(Tone::Faint, format!("  {time:<8}  ")).with(tone, text)
        })
        .collect()
}

const SHORTEST_BAR: usize = 8;
const LONGEST_BAR: usize = 50;
