//! A release line by line: one for each thing that happens, for pipes, logs and terminals that cannot draw.

use chrono::{DateTime, Utc};

use crate::cli::print::bar;

use super::{Check, Verdict, words};

/// What is new, for those who print line by line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum News {
    Phase(String),
    Image(String),
    /// The canary's pods can take traffic.
    Ready(i64),
    Weights {
        primary: i64,
        canary: i64,
    },
    Check(Check),
    Event {
        warning: bool,
        message: String,
    },
    /// What it waits for now; nothing if it waits for nothing.
    Waits(Option<String>),
    /// The Canary was deleted.
    Gone,
}

/// What is new, as a line.
pub(in crate::cli) fn line(at: DateTime<Utc>, news: &News) -> String {
    let (what, text) = match news {
        News::Phase(phase) => ("phase", phase.clone()),
        News::Image(image) => ("image", image.clone()),
        News::Ready(pods) => ("pods", format!("all {pods} of the canary are ready")),
        News::Weights { primary, canary } => ("traffic", weights(*primary, *canary)),
        News::Check(check) => {
            let verdict = match check.measured.map(|measured| measured.verdict) {
                Some(Verdict::Passed) => "passed",
                Some(Verdict::Open) => "not yet",
                Some(Verdict::Failed) | None => "FAILED",
            };
            (
                "check",
                format!("{} {}, {}: {verdict}", check.name, words::measured(check), words::bounds(check)),
            )
        }
        News::Event { warning: false, message } => ("event", message.clone()),
        News::Event { warning: true, message } => ("warning", message.clone()),
        News::Waits(Some(what)) => ("waits", format!("for {what}")),
        News::Waits(None) => ("waits", "for nothing any more".to_owned()),
        News::Gone => ("phase", "the Canary was deleted".to_owned()),
    };
    format!("{}  {what:<9}{text}", words::clock(at))
}

fn weights(primary: i64, canary: i64) -> String {
    let (full, rest) = bar(words::share(primary), BAR, '=', '#');
    format!("[{full}{rest}] primary {primary} %, canary {canary} %")
}

const BAR: usize = 20;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cli::picture::Measured;

    fn check(value: Option<f64>, passed: bool) -> News {
        let name = "request-success-rate".to_owned();
        News::Check(Check {
            name,
            min: Some(99.0),
            max: None,
            measured: Some(Measured { value, verdict: Verdict::of(passed) }),
            ..Check::default()
        })
    }

    #[rstest]
    #[case(News::Phase("Progressing".into()), "12:00:00  phase    Progressing")]
    #[case(News::Weights { primary: 75, canary: 25 }, "12:00:00  traffic  [===============#####] primary 75 %, canary 25 %")]
    #[case(check(Some(99.5), true), "12:00:00  check    request-success-rate 99.50 %, at least 99 %: passed")]
    #[case(
        check(Some(93.0), false),
        "12:00:00  check    request-success-rate 93.00 %, at least 99 %: FAILED"
    )]
    #[case(check(None, false), "12:00:00  check    request-success-rate no data, at least 99 %: FAILED")]
    #[case(News::Event { warning: true, message: "Canary failed!".into() }, "12:00:00  warning  Canary failed!")]
    fn what_happens_is_a_line_with_the_time_of_the_cluster(#[case] news: News, #[case] expected: &str) {
        let noon = "2026-01-01T12:00:00Z".parse().expect("a time");
        assert_eq!(expected, line(noon, &news));
    }
}
