//! The demo line by line: one for each thing that happens, for pipes, logs and terminals that cannot draw.

use chrono::{DateTime, Utc};

use crate::cli::print::bar;

use super::view::{News, Side};
use super::words;

/// What is new, as a line.
pub(super) fn line(at: DateTime<Utc>, news: &News) -> String {
    let (what, text) = match news {
        News::Phase(phase) => ("phase", phase.clone()),
        News::Image(image) => ("image", image.clone()),
        News::Ready { side, pods: 0 } => ("pods", format!("{} has none", name(*side))),
        News::Ready { side, pods } => ("pods", format!("{} has {pods} of {pods} ready", name(*side))),
        News::Weights { primary, canary } => ("traffic", weights(*primary, *canary)),
        News::Check(check) => {
            let passed = check.measured.is_some_and(|measured| measured.passed);
            let verdict = if passed { "passed" } else { "FAILED" };
            (
                "check",
                format!("{} {}, {}: {verdict}", check.name, words::measured(check), words::bounds(check)),
            )
        }
        News::Event { warning: false, message } => ("event", message.clone()),
        News::Event { warning: true, message } => ("warning", message.clone()),
    };
    format!("{}  {what:<8}{text}", words::clock(at))
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Primary => "primary",
        Side::Canary => "canary",
    }
}

fn weights(primary: i64, canary: i64) -> String {
    let (full, rest) = bar(words::share(primary), BAR, '=', '#');
    format!("[{full}{rest}] primary {primary} %, canary {canary} %")
}

const BAR: usize = 20;
