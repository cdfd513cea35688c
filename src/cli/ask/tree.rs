//! A release as a tree: what leads to what, and what stands in the way.

use chrono::{DateTime, Utc};

use crate::api::status::{Blocker, BlockerKind, Measurement, Revision};
use crate::cli::picture::{self, Check, Measured, Pods, Verdict, phase_tone, words};
use crate::cli::print::{Line, Tone, wrap};

use super::known::waits_for;
use super::sight::{SideSight, Sight};

/// The tree in lines of at most `columns`, with the last `events` events.
pub(super) fn draw(sight: &Sight, now: DateTime<Utc>, columns: usize, events: usize) -> Vec<Line> {
    let mut lines = vec![heading(sight, now, columns), Line::new().with(Tone::Faint, &sight.about)];
    let (releasing, promoted) = (&sight.releasing, &sight.promoted);
    lines.extend(releasing.as_ref().map(|revision| self::revision("releasing", revision, now)));
    lines.extend(promoted.as_ref().map(|revision| self::revision("promoted ", revision, now)));
    // Running text keeps clear of the tree at its left, and is never so long that it is hard to read.
    let room = columns.saturating_sub(LEFT).clamp(NARROWEST, TEXT);
    let branches = [
        side("primary", &sight.primary, sight, columns),
        side("canary", &sight.canary, sight, columns),
        routes(sight, room),
        checks(sight, room),
        gates(sight),
        blockers(sight, now, room),
        conditions(sight, room),
        next(sight, now, room),
        hidden(sight, room),
        said(sight, now, events, room),
    ];
    let branches: Vec<Branch> = branches.into_iter().flatten().collect();
    let last = branches.len().saturating_sub(1);
    for (index, branch) in branches.into_iter().enumerate() {
        branch.draw(index == last, &mut lines);
    }
    lines.into_iter().map(|line| line.cut(columns)).collect()
}

/// A line of the tree with those below it.
struct Branch {
    name: &'static str,
    text: Vec<Line>,
    leaves: Vec<Vec<Line>>,
}

impl Branch {
    fn draw(self, last: bool, lines: &mut Vec<Line>) {
        let (knot, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let faint = |text: &str| Line::new().with(Tone::Faint, text);
        let head = faint(knot).with(Tone::Strong, format!("{:<11}", self.name));
        let mut text = self.text.into_iter();
        lines.push(head.and(text.next().unwrap_or_default()));
        let stem = if self.leaves.is_empty() { "" } else { "│" };
        lines.extend(text.map(|more| faint(trunk).with(Tone::Faint, format!("{stem:<11}")).and(more)));
        let end = self.leaves.len().saturating_sub(1);
        for (index, leaf) in self.leaves.into_iter().enumerate() {
            let (knot, more) = if index == end { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            for (row, line) in leaf.into_iter().enumerate() {
                lines.push(faint(trunk).with(Tone::Faint, if row == 0 { knot } else { more }).and(line));
            }
        }
    }
}

/// Title, phase and time; on a narrow terminal the time goes first.
fn heading(sight: &Sight, now: DateTime<Utc>, columns: usize) -> Line {
    let mut phase = Line::new().with(phase_tone(&sight.phase), format!("● {}", sight.known.phase()));
    if sight.suspended {
        phase = phase.with(Tone::Warning, " (suspended)");
    } else if sight.paused.is_some() {
        phase = phase.with(Tone::Warning, " (paused)");
    }
    let with_time = phase.clone().with(Tone::Faint, format!("  {} UTC", words::clock(now)));
    let title = Line::new().with(Tone::Strong, format!("Canary {}", sight.known.title()));
    let end = if title.width() + with_time.width() + 2 <= columns { with_time } else { phase };
    title.cut(columns.saturating_sub(end.width() + 1)).with_end(end, columns.min(WIDEST))
}

fn revision(what: &str, revision: &Revision, now: DateTime<Utc>) -> Line {
    let since =
        revision.since.map(|since| format!("  for {}", words::length(now - since))).unwrap_or_default();
    Line::new()
        .with(Tone::Faint, format!("{what} "))
        .plain(&revision.name)
        .with(Tone::Accent, format!("  {}", revision.images.join(", ")))
        .with(Tone::Faint, since)
}

fn side(name: &'static str, side: &SideSight, sight: &Sight, columns: usize) -> Option<Branch> {
    if side.workload.is_empty() {
        return None;
    }
    let image = side.images.first().cloned().unwrap_or_default();
    let pods = Pods { image, ready: side.ready_pods, wanted: side.pods };
    let others = [&sight.primary, &sight.canary].map(|side| {
        let image = side.images.first().cloned().unwrap_or_default();
        Pods { image, ..Pods::default() }.version().chars().count()
    });
    let label = others.into_iter().max().unwrap_or(0).clamp(4, 16);
    let tone = match name {
        "primary" => Tone::Accent,
        _ if sight.checks.iter().any(|check| as_check(check).is_failing()) => Tone::Bad,
        _ => Tone::Good,
    };
    // The tree takes 14 columns at the left. The pods have a line of their own.
    let room = columns.min(WIDEST).saturating_sub(14);
    let text = picture::workload(Line::new(), &pods, side.share.map(i64::from), label, tone, room, false);
    let state = match side.exists {
        Some(true) => Line::new().with(tone_of(side.ready_pods, side.pods), words::pods(&pods)),
        Some(false) => Line::new().with(Tone::Warning, "not there"),
        None => Line::new().with(Tone::Faint, "not shown"),
    };
    let endpoints = match (side.service_exists, side.endpoints) {
        (Some(false), _) => Line::new().with(Tone::Warning, "not there"),
        (None, _) => Line::new().with(Tone::Faint, "not shown"),
        (Some(true), None) => Line::new().with(Tone::Faint, "endpoints not known"),
        (Some(true), Some(1)) => "1 endpoint".into(),
        (Some(true), Some(0)) if side.share.is_some_and(|share| share > 0) => {
            Line::new().with(Tone::Bad, "no endpoints, and it gets traffic")
        }
        (Some(true), Some(0)) => "no endpoints".into(),
        (Some(true), Some(count)) => format!("{count} endpoints").as_str().into(),
    };
    let service = format!("Service {}", side.service);
    let width = side.workload.chars().count().max(service.chars().count()) + 2;
    let line = |what: &str, state: Line| vec![Line::new().plain(format!("{what:<width$}")).and(state)];
    let leaves = vec![line(&side.workload, state), line(&service, endpoints)];
    Some(Branch { name, text: vec![text], leaves })
}

fn tone_of(ready: i64, wanted: i64) -> Tone {
    if ready < wanted { Tone::Warning } else { Tone::Plain }
}

fn routes(sight: &Sight, room: usize) -> Option<Branch> {
    let routes = &sight.routes;
    if routes.mesh.is_empty() && routes.problem.is_none() {
        return None;
    }
    let text = match (sight.primary.share, sight.canary.share) {
        (Some(primary), Some(canary)) => {
            let mirrored = if routes.mirrored { ", requests are copied to the canary" } else { "" };
            Line::from(format!("primary {primary} %, canary {canary} %{mirrored}").as_str())
        }
        _ => Line::new().with(Tone::Faint, "the mesh is told nothing"),
    };
    let mut leaves: Vec<Vec<Line>> = Vec::new();
    // Its title names the kinds of its objects as well.
    let mesh = routes.mesh.split(" (").next().filter(|mesh| !mesh.is_empty());
    let mesh = mesh.map(|mesh| format!("{mesh}: ")).unwrap_or_default();
    let objects = if routes.objects.is_empty() { "no objects".to_owned() } else { routes.objects.join(", ") };
    leaves.push(wrapped("", &(mesh + &objects), Tone::Plain, room));
    leaves.extend(routes.problem.as_ref().map(|why| wrapped("", why, Tone::Warning, room)));
    Some(Branch { name: "routes", text: vec![text], leaves })
}

/// A check of the tree as the pictures draw it.
pub(super) fn as_check(check: &super::sight::CheckSight) -> Check {
    let measured = check.measured.as_ref();
    let verdict = |one: &Measurement| match one.verdict.as_str() {
        "Passed" => Verdict::Passed,
        "Failed" => Verdict::Failed,
        _ => Verdict::Open,
    };
    Check {
        name: check.name.clone(),
        min: check.min,
        max: check.max,
        measured: measured.map(|one| Measured { value: one.value, verdict: verdict(one) }),
        history: measured.map(|one| one.history.clone()).unwrap_or_default(),
    }
}

fn checks(sight: &Sight, room: usize) -> Option<Branch> {
    if sight.checks.is_empty() {
        return None;
    }
    let all: Vec<Check> = sight.checks.iter().map(as_check).collect();
    let text = match sight.threshold {
        // The counter is set back when a release ends.
        Some(threshold) if !sight.status.phase.is_stepping() => {
            Line::new().with(Tone::Faint, format!("{threshold} failed checks end a release"))
        }
        Some(threshold) => {
            let tone = if sight.failed_checks > 0 { Tone::Bad } else { Tone::Plain };
            Line::new().with(tone, format!("{} of {threshold} failed checks", sight.failed_checks))
        }
        None => Line::new(),
    };
    let leaves = sight.checks.iter().zip(&all).map(|(sight, check)| {
        let mut lines = vec![picture::check(check, &all)];
        let notes = sight.measured.as_ref().map(notes).unwrap_or_default();
        lines.extend(notes.into_iter().flat_map(|note| wrapped("    ", &note, Tone::Faint, room)));
        lines
    });
    Some(Branch { name: "checks", text: vec![text], leaves: leaves.collect() })
}

/// What else is known of a measurement.
fn notes(one: &Measurement) -> Vec<String> {
    let mut notes: Vec<String> = one.message.iter().cloned().collect();
    notes.extend(one.severity.map(|severity| format!("severity {}", format!("{severity:?}").to_lowercase())));
    if one.dry_run == Some(true) {
        notes.push("a dry run: its verdict has no effect".to_owned());
    }
    notes.extend(
        one.failures.filter(|count| *count > 0).map(|count| format!("failed {count} times in this run")),
    );
    notes
}

fn gates(sight: &Sight) -> Option<Branch> {
    if sight.gates.is_empty() {
        return None;
    }
    let width = |text: fn(&super::sight::Gate) -> &str| {
        sight.gates.iter().map(|gate| text(gate).chars().count()).max().unwrap_or(0)
    };
    let (name, kind) = (width(|gate| &gate.name), width(|gate| &gate.kind));
    let leaf = |gate: &super::sight::Gate| {
        let (mark, tone) = match gate.state {
            "closed" => ("■ closed  ", Tone::Warning),
            "approved" => ("✓ approved", Tone::Good),
            _ => ("·         ", Tone::Faint),
        };
        let line = Line::new().with(tone, format!("{mark}  "));
        let line = line.plain(format!("{:<name$}  {:<kind$}  ", gate.name, gate.kind));
        vec![line.with(Tone::Faint, &gate.url)]
    };
    Some(Branch { name: "gates", text: Vec::new(), leaves: sight.gates.iter().map(leaf).collect() })
}

fn blockers(sight: &Sight, now: DateTime<Utc>, room: usize) -> Option<Branch> {
    if sight.blockers.is_empty() {
        return None;
    }
    let leaf = |blocker: &Blocker| {
        let mut times = Vec::new();
        // The interval is counted from the last step, and not from the first.
        let since = blocker.since.filter(|_| blocker.kind != BlockerKind::NextCheck);
        times.extend(
            since.map(|since| format!("since {} ({})", words::clock(since), words::length(now - since))),
        );
        times.extend(blocker.until.map(|until| match (until - now).num_seconds() {
            seconds @ 1.. => format!("until {} (in {seconds} s)", words::clock(until)),
            _ => format!("until {}", words::clock(until)),
        }));
        let head = Line::new()
            .with(Tone::Warning, waits_for(blocker))
            .with(Tone::Faint, format!("  {}", times.join(", ")));
        let mut lines = vec![head];
        // That of the next check says nothing that is not in this line.
        if blocker.kind != BlockerKind::NextCheck {
            lines.extend(wrapped("  ", &blocker.message, Tone::Plain, room));
        }
        lines
    };
    Some(Branch { name: "waits for", text: Vec::new(), leaves: sight.blockers.iter().map(leaf).collect() })
}

fn conditions(sight: &Sight, room: usize) -> Option<Branch> {
    if sight.conditions.is_empty() {
        return None;
    }
    let leaves = sight.conditions.iter().map(|condition| {
        let head = format!("{} is {}: {}", condition.kind, condition.status, condition.reason);
        let mut lines = vec![Line::new().with(Tone::Bad, head)];
        lines.extend(wrapped("  ", &condition.message, Tone::Plain, room));
        lines
    });
    Some(Branch { name: "conditions", text: Vec::new(), leaves: leaves.collect() })
}

fn next(sight: &Sight, now: DateTime<Utc>, room: usize) -> Option<Branch> {
    let next = &sight.next;
    let when = next.at.map(|at| match (at - now).num_seconds() {
        seconds @ 1.. => format!("in {seconds} s ({}): ", words::clock(at)),
        _ => "now: ".to_owned(),
    });
    let text = wrap(&(when.unwrap_or_default() + &next.what), room).into_iter();
    let leaves = next.commands.iter().map(|command| vec![Line::new().with(Tone::Accent, command)]);
    Some(Branch {
        name: "next",
        text: text.map(|line| Line::new().plain(line)).collect(),
        leaves: leaves.collect(),
    })
}

fn hidden(sight: &Sight, room: usize) -> Option<Branch> {
    if sight.not_shown.is_empty() {
        return None;
    }
    let leaves = sight.not_shown.iter().map(|why| wrapped("", why, Tone::Warning, room)).collect();
    Some(Branch { name: "not shown", text: Vec::new(), leaves })
}

fn said(sight: &Sight, now: DateTime<Utc>, most: usize, room: usize) -> Option<Branch> {
    let first = sight.events.len().saturating_sub(most);
    let shown = &sight.events[first..];
    // Yesterday's events have a date.
    let today = |at: DateTime<Utc>| at.date_naive() == now.date_naive();
    let moment = match shown.iter().all(|event| today(event.at)) {
        true => "%H:%M:%S",
        false => "%m-%d %H:%M",
    };
    let leaves: Vec<Vec<Line>> = shown
        .iter()
        .map(|event| {
            let tone = if event.warning { Tone::Warning } else { Tone::Plain };
            let times = if event.times > 1 { format!(" ({} times)", event.times) } else { String::new() };
            let text = wrap(&format!("{}{times}", event.message), room.saturating_sub(4).max(NARROWEST));
            let line = |(row, text): (usize, String)| {
                let time = event.at.format(moment).to_string();
                let width = time.len();
                let time = if row == 0 { time } else { String::new() };
                Line::new().with(Tone::Faint, format!("{time:<width$}  ")).with(tone, text)
            };
            text.into_iter().enumerate().map(line).collect()
        })
        .collect();
    (!leaves.is_empty()).then_some(Branch { name: "events", text: Vec::new(), leaves })
}

fn wrapped(indent: &str, text: &str, tone: Tone, room: usize) -> Vec<Line> {
    wrap(text, room).into_iter().map(|line| Line::new().plain(indent).with(tone, line)).collect()
}

/// Columns of running text: longer lines are hard to read.
const TEXT: usize = 84;
/// Columns that the tree itself takes, and those that a text has at least.
const LEFT: usize = 15;
const NARROWEST: usize = 12;
/// Columns of bars and of the heading.
const WIDEST: usize = 100;
