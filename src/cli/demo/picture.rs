//! The demo as a picture: where the release stands, who gets the traffic, what the checks say, what was told.

use chrono::{DateTime, Utc};

use crate::cli::picture::told::events;
use crate::cli::picture::{Check, check, phase_tone, words, workload};
use crate::cli::print::{Line, Tone};

use super::view::View;

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
    lines.push(workload("  primary  ", &view.primary, primary, label, Tone::Accent, columns, true));
    lines.push(workload("  canary   ", &view.canary, canary, label, canary_tone(view), columns, true));
    lines.push(Line::new());
    lines.extend(view.checks.iter().map(|one| Line::from("  ").and(check(one, &view.checks))));
    lines.push(standing(view, now));
    lines.push(Line::new());
    let room = rows.map_or(usize::MAX, |rows| rows.saturating_sub(lines.len()));
    lines.extend(events(&view.events, columns, room));
    lines.into_iter().take(rows.unwrap_or(usize::MAX)).map(|line| line.cut(columns)).collect()
}

/// The phase must be seen; on a narrow terminal the time goes first, then the end of the title.
fn heading(view: &View, title: &str, now: DateTime<Utc>, columns: usize) -> Line {
    let phase = if view.phase.is_empty() { "–" } else { &view.phase };
    let phase = Line::new().with(phase_tone(&view.phase), format!("● {phase}"));
    let with_time = phase.clone().with(Tone::Faint, format!("  {}", words::clock(now)));
    let title = Line::new().with(Tone::Strong, title);
    let fits = title.width() + with_time.width() + 2 <= columns;
    let end = if fits { with_time } else { phase };
    title.cut(columns.saturating_sub(end.width() + 1)).with_end(end, columns)
}

/// What the traffic of the canary says: it goes well, or not.
fn canary_tone(view: &View) -> Tone {
    let failing = view.checks.iter().any(Check::is_failing);
    if failing { Tone::Bad } else { Tone::Good }
}

/// How many checks failed, and when the next is due.
fn standing(view: &View, now: DateTime<Utc>) -> Line {
    if view.threshold == 0 {
        return Line::new();
    }
    if !view.is_running() && view.checks.iter().all(|check| check.measured.is_none()) {
        return Line::new().with(Tone::Faint, format!("    {} failed checks end a release", view.threshold));
    }
    let tone = if view.failed_checks > 0 { Tone::Bad } else { Tone::Faint };
    let line =
        Line::new().with(tone, format!("    {} of {} failed checks", view.failed_checks, view.threshold));
    match view.next_check.map(|due| (due - now).num_seconds()) {
        Some(seconds @ 1..) => line.with(Tone::Faint, format!(", next step in {seconds} s")),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::picture::told::Event;
    use crate::cli::picture::{Check, Measured, Pods, Verdict};

    fn noon() -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse().expect("a time")
    }

    fn view() -> View {
        let check = |name: &str, min, max, value, passed| Check {
            name: name.to_owned(),
            min,
            max,
            measured: Some(Measured { value: Some(value), verdict: Verdict::of(passed) }),
            ..Check::default()
        };
        let event =
            |warning, message: &str, times| Event { at: noon(), warning, message: message.to_owned(), times };
        let mut view = View::default();
        view.phase = "Progressing".to_owned();
        view.primary = Pods { image: "shop/frontend:1.0".to_owned(), ready: 3, wanted: 3 };
        view.canary = Pods { image: "shop/frontend:2.0-rc1".to_owned(), ready: 2, wanted: 3 };
        view.weights = Some((75, 25));
        view.threshold = 5;
        view.failed_checks = 1;
        view.next_check = Some(noon() + chrono::TimeDelta::seconds(30));
        view.checks = vec![
            check("request-success-rate", Some(99.0), None, 98.25, false),
            check("request-duration", None, Some(500.0), 104.4, true),
        ];
        view.events = vec![
            event(false, "Advance frontend.shop canary weight 25", 1),
            event(true, "Halt frontend.shop advancement success rate 98.25% < 99%", 2),
        ];
        view
    }

    fn drawn(columns: usize, rows: Option<usize>) -> Vec<String> {
        let title = Title { main: "Release of 2.0".to_owned(), more: "A good one.".to_owned() };
        draw(&view(), &title, noon(), columns, rows).iter().map(Line::text).collect()
    }

    #[test]
    fn the_picture_tells_phase_traffic_checks_and_events() {
        let expected = "\
Release of 2.0                          ● Progressing  12:00:00
A good one.

  primary  1.0      ██████████████████░░░░░░  75 %   3/3 pods
  canary   2.0-rc1  ██████░░░░░░░░░░░░░░░░░░  25 %   2/3 pods

  ✗ request-success-rate  98.25 %  at least 99 %
  ✓ request-duration       104 ms  at most 500 ms
    1 of 5 failed checks, next step in 30 s

  12:00:00  Advance frontend.shop canary weight 25
  12:00:00  Halt frontend.shop advancement success rate 98.25%
            < 99% (2 times)";
        assert_eq!(expected, drawn(63, None).join("\n"));
    }

    #[test]
    fn the_picture_fits_into_every_terminal() {
        for columns in 0..130 {
            for rows in 0..30 {
                let picture = drawn(columns, Some(rows));
                assert!(picture.len() <= rows, "{columns}x{rows}: {} rows", picture.len());
                let widest = picture.iter().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= columns, "{columns}x{rows}: {widest} columns");
            }
        }
    }

    #[test]
    fn in_a_low_terminal_the_newest_events_stay() {
        let picture = drawn(80, Some(12));
        assert_eq!(
            Some("  12:00:00  Halt frontend.shop advancement success rate 98.25% < 99% (2 times)"),
            picture.last().map(String::as_str)
        );
    }

    #[test]
    fn in_a_narrow_terminal_the_phase_stays() {
        assert_eq!(Some("Rele… ● Progressing"), drawn(19, None).first().map(String::as_str));
    }

    #[test]
    fn before_the_first_measurement_the_bounds_are_shown() {
        let mut view = view();
        view.phase = "Initialized".to_owned();
        view.checks.iter_mut().for_each(|check| check.measured = None);
        let picture = draw(&view, &Title::default(), noon(), 80, None);
        let text: Vec<String> = picture.iter().map(Line::text).collect();
        assert!(text.contains(&"  · request-success-rate        –  at least 99 %".to_owned()), "{text:#?}");
        assert!(text.contains(&"    5 failed checks end a release".to_owned()), "{text:#?}");
    }
}
