//! For people: each finding with the line that it is about, in the form that compilers use.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Counts, counted, line_of, name_of};
use crate::lint::code::Severity;
use crate::lint::finding::{Finding, harmless};
use crate::lint::pace::people;
use crate::lint::sight::Sight;
use crate::lint::{Input, Outlook, Report};

/// How the text looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// With the colours of a terminal.
    pub colours: bool,
    /// The columns of the terminal.
    pub width: usize,
}

/// The findings with their lines, how good releases go, and how many findings there are.
pub fn text(inputs: &[Input], report: &Report, look: Look) -> String {
    let renderer = if look.colours { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(look.width.max(40));
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&shown(inputs, finding, &renderer));
        text.push_str("\n\n");
    }
    for outlook in &report.outlooks {
        text.push_str(&outlined(outlook));
    }
    if report.outlooks.iter().any(|outlook| outlook.sight.is_some()) || !report.outlooks.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(inputs, report));
    text.push('\n');
    text
}

fn shown(inputs: &[Input], finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let separator = if finding.field.is_empty() { "" } else { ": " };
    let title = format!("{}{separator}{}", finding.field, finding.message);
    let line = line_of(inputs, finding.input, finding.span.line);
    let (line, span) = marked(line, finding);
    let label = finding.object.as_ref().map(|object| harmless(&object.to_string()));
    let path = harmless(name_of(inputs, finding.input));
    let annotation = AnnotationKind::Primary.span(span).label(label);
    let snippet =
        Snippet::source(line).line_start(finding.span.line).path(path).fold(false).annotation(annotation);
    let title = level.primary_title(title).id(finding.code.id());
    let group = Group::with_title(title).element(snippet).element(Level::HELP.message(finding.cure.clone()));
    renderer.render(&[group])
}

/// The line without what would move the cursor, and the bytes of it that are marked.
fn marked(line: &str, finding: &Finding) -> (String, std::ops::Range<usize>) {
    let length = line.chars().count();
    let start = finding.span.column.saturating_sub(1).min(length);
    let end = if finding.span.end_line > finding.span.line {
        length
    } else {
        finding.span.end_column.saturating_sub(1)
    };
    let end = end.clamp(start, length);
    let mut shown = String::new();
    let (mut from, mut to) = (None, None);
    for (index, letter) in line.chars().enumerate() {
        if index == start {
            from = Some(shown.len());
        }
        if index == end {
            to = Some(shown.len());
        }
        shown.push(if letter.is_control() { ' ' } else { letter });
    }
    let from = from.unwrap_or(shown.len());
    let to = to.unwrap_or(shown.len()).max(from);
    (shown, from..to)
}

fn outlined(outlook: &Outlook) -> String {
    let mut text = format!(
        "{}: a good release takes {} at least ({})\n",
        harmless(&outlook.canary.to_string()),
        people(outlook.length),
        outlook.steps
    );
    if let Some(sight) = &outlook.sight {
        text.push_str(&seen(sight));
    }
    text
}

fn seen(sight: &Sight) -> String {
    let mut text = String::from("  canary gets   requests   may fail   sees an error rate of\n");
    let mut before = None;
    for step in &sight.steps {
        let row =
            format!("{:>10}   {:>8}   {:>20}\n", step.requests, step.allowed, format!("{:.1} %", step.seen));
        // Writing to a string cannot fail.
        let _ = write!(text, "  {:>9} % {row}", step.share);
        before = Some(step);
    }
    if before.is_some() {
        for (rate, chance) in &sight.promoted {
            let _ = writeln!(
                text,
                "  a version that fails {} of its requests is promoted: {}",
                percent(*rate),
                chances(*chance)
            );
        }
    }
    text
}

fn percent(value: f64) -> String {
    let text = format!("{value:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn chances(percent: f64) -> String {
    match percent {
        ..0.1 => "almost never".to_owned(),
        99.9.. => "almost always".to_owned(),
        percent => format!("{percent:.1} % of the time"),
    }
}

fn summary(inputs: &[Input], report: &Report) -> String {
    let many =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let files = many(inputs.len(), "file", "files");
    let looked_at = many(report.looked_at, "object of Vexil", "objects of Vexil");
    let among = many(report.objects, "object", "objects");
    let counts = counted(Counts::of(report));
    match (report.looked_at, counts.is_empty()) {
        (0, true) => {
            format!("nothing to check: no Canary, MetricTemplate or AlertProvider among {among} in {files}")
        }
        (_, true) => format!("nothing found in {looked_at} ({among} in {files})"),
        (_, false) => format!("{counts} in {looked_at} ({among} in {files})"),
    }
}
