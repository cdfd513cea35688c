//! The words that the picture and the plain lines share: values with their units, bounds, shares, times.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::number::shortest;

use super::{Check, Pods, Verdict};

/// `99.81 %`, `96 ms`.
pub(in crate::cli) fn measured(check: &Check) -> String {
    let Some(measured) = check.measured else { return "–".to_owned() };
    match (measured.value, unit(check)) {
        (None, _) if measured.verdict == Verdict::Open => "not yet".to_owned(),
        (None, _) => "no data".to_owned(),
        (Some(value), " ms") => format!("{value:.0} ms"),
        (Some(value), unit) => format!("{value:.2}{unit}"),
    }
}

/// `at least 99 %`, `at most 500 ms`.
pub(in crate::cli) fn bounds(check: &Check) -> String {
    let unit = unit(check);
    match (check.min, check.max) {
        (Some(min), Some(max)) => format!("{} to {}{unit}", shortest(min), shortest(max)),
        (Some(min), None) => format!("at least {}{unit}", shortest(min)),
        (None, Some(max)) => format!("at most {}{unit}", shortest(max)),
        (None, None) => "any value".to_owned(),
    }
}

fn unit(check: &Check) -> &'static str {
    match check.name.as_str() {
        "request-success-rate" => " %",
        "request-duration" => " ms",
        _ => "",
    }
}

/// `3/3 pods`.
pub(in crate::cli) fn pods(pods: &Pods) -> String {
    match (pods.ready, pods.wanted) {
        (0, 0) => "no pods".to_owned(),
        (1, 1) => "1/1 pod".to_owned(),
        (ready, wanted) => format!("{ready}/{wanted} pods"),
    }
}

/// A weight as a share that a bar can show.
pub(in crate::cli) fn share(weight: i64) -> u32 {
    u32::try_from(weight.clamp(0, 100)).unwrap_or(0)
}

/// `09:03:10`.
pub(in crate::cli) fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S").to_string()
}

/// How long something lasts, in the way of kubectl: `12s`, `5m`, `3h`, `2d`.
pub(in crate::cli) fn age(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// `9 min 12 s`.
pub(in crate::cli) fn length(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    if seconds >= 172_800 {
        return format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600);
    }
    if seconds >= 7200 {
        let hours = format!("{} h", seconds / 3600);
        let minutes = seconds % 3600 / 60;
        return if minutes == 0 { hours } else { format!("{hours} {minutes} min") };
    }
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}
