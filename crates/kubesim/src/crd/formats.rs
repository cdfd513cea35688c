//! The formats of texts that an API server checks. Others say nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use chrono::{DateTime, NaiveDate, TimeDelta};

/// Whether the text is of that format; unknown formats fit every text.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_time(text),
        "date" => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        "duration" => duration(text).is_some(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "uuid" => is_uuid(text),
        "uri" => url::Url::parse(text).is_ok(),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && is_hostname(host)),
        "hostname" => is_hostname(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        _ => true,
    }
}

/// RFC 3339, with a space allowed where it has a `T`.
fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

/// Reads Go's durations: `1h30m`, `-1.5s`, `0`.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (name, nanos) = UNITS.iter().find(|(name, _)| rest[digits..].starts_with(name))?;
        total = total.checked_add(times(&rest[..digits], *nanos)?)?;
        rest = &rest[digits + name.len()..];
        if rest == "0" {
            return None;
        }
    }
    Some(TimeDelta::nanoseconds(if negative { -total } else { total }))
}

/// The units and how many nanoseconds each is. A name comes before those that begin it.
const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A decimal number of units, in nanoseconds.
fn times(number: &str, nanos: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    whole.checked_mul(nanos)?.checked_add((part * nanos as f64) as i64)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = if address.parse::<Ipv4Addr>().is_ok() {
        32
    } else if address.parse::<Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_uuid(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("date-time", "2026-01-02T03:04:05Z", true)]
    #[case("date-time", "2026-01-02T03:04:05.123+01:00", true)]
    #[case("date-time", "yesterday", false)]
    #[case("date", "2026-02-29", false)]
    #[case("duration", "1h30m", true)]
    #[case("duration", "-1.5h", true)]
    #[case("duration", "1h0", false)]
    #[case("duration", "1.2.3s", false)]
    #[case("duration", "-", false)]
    #[case("duration", "9999999999999999999h", false)]
    #[case("duration", "9999999h9999999h", false)]
    #[case("duration", "1.5s", true)]
    #[case("duration", "0", true)]
    #[case("duration", "", false)]
    #[case("duration", "1", false)]
    #[case("duration", "1x", false)]
    #[case("duration", ".s", false)]
    #[case("ipv4", "10.0.0.1", true)]
    #[case("ipv4", "10.0.0.256", false)]
    #[case("ipv6", "::1", true)]
    #[case("cidr", "10.0.0.0/8", true)]
    #[case("cidr", "10.0.0.0/33", false)]
    #[case("uuid", "123e4567-e89b-12d3-a456-426614174000", true)]
    #[case("uuid", "123", false)]
    #[case("uri", "https://example.com/a", true)]
    #[case("uri", "a b", false)]
    #[case("byte", "aGk=", true)]
    #[case("byte", "hi!", false)]
    #[case("hostname", "a.b-c", true)]
    #[case("hostname", "-a", false)]
    #[case("email", "a@b.c", true)]
    #[case("email", "a", false)]
    #[case("string", "anything", true)]
    fn a_text_is_of_its_format_or_not(#[case] format: &str, #[case] text: &str, #[case] yes: bool) {
        assert_eq!(yes, fits(format, text));
    }

    #[rstest]
    #[case("1h30m", 5_400_000)]
    #[case("-1.5s", -1_500)]
    #[case("250ms", 250)]
    #[case("0", 0)]
    fn a_duration_is_as_long_as_it_says(#[case] text: &str, #[case] millis: i64) {
        assert_eq!(Some(TimeDelta::milliseconds(millis)), duration(text));
    }
}
