//! How long ago something was, as kubectl writes it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// `47s`, `5m3s`, `42m`, `3h5m`, `2d4h`, `300d`, `2y10d`.
pub fn human_duration(span: TimeDelta) -> String {
    let (seconds, minutes) = (span.num_seconds(), span.num_minutes());
    let (hours, days) = (span.num_hours(), span.num_days());
    let years = days / 365;
    match seconds {
        ..=-2 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

/// The time since a timestamp of an object.
pub(super) fn since(timestamp: &Value, now: DateTime<Utc>) -> String {
    let time = timestamp.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    time.map_or_else(|| "<unknown>".into(), |time| human_duration(now - time))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(-5, "<invalid>")]
    #[case(-1, "0s")]
    #[case(0, "0s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(303, "5m3s")]
    #[case(600, "10m")]
    #[case(179 * 60, "179m")]
    #[case(180 * 60, "3h")]
    #[case(7 * 3600 + 300, "7h5m")]
    #[case(8 * 3600 + 300, "8h")]
    #[case(47 * 3600, "47h")]
    #[case(50 * 3600, "2d2h")]
    #[case(8 * 86400 + 7200, "8d")]
    #[case(729 * 86400, "729d")]
    #[case(740 * 86400, "2y10d")]
    #[case(3000 * 86400, "8y")]
    fn a_span_is_written_as_kubectl_writes_it(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(text, human_duration(TimeDelta::seconds(seconds)));
    }
}
