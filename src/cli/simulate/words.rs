//! The words that all reports share: shares, times, counts, sentences about a release.

use std::time::Duration;

use crate::sim::simulate::values::length;
use crate::sim::simulate::{Interval, Outcome, Study, Verdict, quantile};

/// `0.4 %`, of a share between 0 and 1.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // Near the ends the second digit counts.
    let digits = if (0.05..99.95).contains(&percent) { 10.0 } else { 100.0 };
    format!("{} %", (percent * digits).round() / digits)
}

/// `9 min 12 s`.
pub(super) fn seconds(seconds: f64) -> String {
    length(Duration::try_from_secs_f64(seconds.round()).unwrap_or_default())
}

/// `9:12`, `1:02:03`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    match whole / 3600 {
        0 => format!("{}:{:02}", whole / 60, whole % 60),
        hours => format!("{hours}:{:02}:{:02}", whole / 60 % 60, whole % 60),
    }
}

/// `1,234`.
pub(super) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same, of a count.
#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 requests")]
pub(super) fn counted(count: u64) -> String {
    self::count(count as f64)
}

/// `0.4 % (0.1 % to 1.3 %)`.
pub(super) fn interval(found: Interval) -> String {
    format!("{} ({} to {})", percent(found.value), percent(found.low), percent(found.high))
}

/// `Rolled back after 6 min 10 s`.
pub(super) fn verdict(outcome: &Outcome) -> String {
    let time = seconds(outcome.seconds);
    match outcome.verdict {
        Verdict::Promoted => format!("Promoted after {time}"),
        Verdict::RolledBack => format!("Rolled back after {time}"),
        Verdict::Unfinished => format!("Unfinished after {time}"),
    }
}

/// What there is to say of how it ended: a heading and a sentence each.
pub(super) fn facts(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let requests = &outcome.requests;
    let mut all = Vec::new();
    if let Some(check) = &outcome.stopped_by {
        all.push(("Stopped by", check.clone()));
    }
    if let Some(reason) = &outcome.reason {
        let name = if outcome.verdict == Verdict::Unfinished { "Waits for" } else { "Event" };
        all.push((name, reason.clone()));
    }
    all.push((
        "Users",
        format!(
            "{} of {} requests met the new version, {} of them failed",
            counted(requests.new_version),
            counted(requests.all),
            counted(requests.new_version_failed)
        ),
    ));
    let mut hurt =
        format!("{} requests failed that the old version would have answered", counted(requests.hurt));
    if requests.unanswered > 0 {
        hurt.push_str(&format!(", {} of them because no pod was ready", counted(requests.unanswered)));
    }
    all.push(("Hurt", hurt));
    if outcome.highest_weight > 0 {
        all.push(("Weight", format!("never over {} % of the users' requests", outcome.highest_weight)));
    }
    all
}

/// What many releases came to: a heading and a sentence each.
pub(super) fn study(study: &Study, good: Option<&Study>) -> Vec<(&'static str, String)> {
    let part = |values: &[f64], part: f64| quantile(values, part).value;
    let (half, most) = (part(&study.seconds, 0.5), part(&study.seconds, 0.95));
    let mut all = vec![
        ("Promoted", interval(study.share(Verdict::Promoted))),
        ("Rolled back", interval(study.share(Verdict::RolledBack))),
    ];
    if study.unfinished > 0 {
        all.push(("Unfinished", interval(study.share(Verdict::Unfinished))));
    }
    all.push(("Duration", format!("half within {}, 95 of 100 within {}", seconds(half), seconds(most))));
    let (half, most) = (part(&study.hurt, 0.5), part(&study.hurt, 0.95));
    all.push(("Hurt", format!("half at most {} requests, 95 of 100 at most {}", count(half), count(most))));
    let (of, what) = match good {
        Some(good) => (good, format!("of {} releases of a version as good as the old one", good.runs())),
        None => (study, "since the version is as good as the old one".to_owned()),
    };
    all.push(("False rollback", format!("{} {what}", interval(of.share(Verdict::RolledBack)))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        let shares = [0.0, 0.0004, 0.0038, 0.5, 0.9962, 0.9999, 1.0].map(percent);
        assert_eq!(
            ["0 %", "0.04 %", "0.4 %", "50 %", "99.6 %", "99.99 %", "100 %"].map(str::to_owned),
            shares
        );
        assert_eq!(["0:00", "9:12", "1:02:03"].map(str::to_owned), [0.2, 552.9, 3723.0].map(clock));
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
            [0.0, 999.0, 1000.0, 1_234_567.0].map(count)
        );
    }
}
