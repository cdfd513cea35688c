//! Durations as manifests and flags write them: Go's grammar (`1h30m`, `1.5s`, `500ms`), all of it, and Go's way
//! to print them, since both show in messages that users compare (spec 01 §8.1).

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a duration. The first three read as Go words them, since they appear inside compatible
/// messages (spec 01 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not digits and units, or more than 2⁶³ nanoseconds.
    #[error("time: invalid duration {}", quoted(.0))]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration {}", quoted(.0))]
    MissingUnit(String),
    /// Something else than ns, us, ms, s, m, h.
    #[error("time: unknown unit {} in duration {}", quoted(.unit), quoted(.text))]
    UnknownUnit {
        /// The unit as it is written.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Well formed, but below zero where that makes no sense.
    #[error("duration {} is negative", quoted(.0))]
    Negative(String),
}

/// Reads a duration that is not negative.
///
/// # Errors
/// If `text` is not a duration, or a negative one.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let nanos = parse_nanos(text)?;
    match u64::try_from(nanos) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(DurationError::Negative(text.to_owned())),
    }
}

/// Reads a duration in nanoseconds, which may be negative.
///
/// # Errors
/// If `text` is not a duration or does not fit.
pub fn parse_nanos(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, magnitude) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if magnitude == "0" {
        return Ok(0);
    }
    if magnitude.is_empty() {
        return Err(invalid());
    }

    let mut total: u64 = 0;
    let mut rest = magnitude;
    while !rest.is_empty() {
        let (number, after) = Decimal::leading(rest).ok_or_else(invalid)?;
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let scale = nanos_of(unit)
            .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
        let part = number.times(scale).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|total| *total <= LIMIT).ok_or_else(invalid)?;
        rest = after;
    }
    match (negative, i64::try_from(total)) {
        (true, Ok(nanos)) => Ok(-nanos),
        (false, Ok(nanos)) => Ok(nanos),
        // Exactly 2⁶³, which only fits below zero.
        (true, Err(_)) => Ok(i64::MIN),
        (false, Err(_)) => Err(invalid()),
    }
}

/// Writes a duration as Go does: `0s`, `500ms`, `1.515s`, `2m0s`, `1h0m0.5s`.
pub fn format(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    match duration.as_secs() {
        0 if nanos == 0 => "0s".to_owned(),
        0 if nanos < 1_000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => format!("{}µs", with_fraction(0, nanos, 3)),
        0 => format!("{}ms", with_fraction(0, nanos, 6)),
        seconds => {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            let seconds_part = with_fraction(seconds % 60, nanos, 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds_part}s"),
                (0, _) => format!("{minutes}m{seconds_part}s"),
                _ => format!("{hours}h{minutes}m{seconds_part}s"),
            }
        }
    }
}

/// `nanos` with the decimal point before the last `digits`, added to `whole`, without trailing zeros.
fn with_fraction(whole: u64, nanos: u32, digits: usize) -> String {
    let one = 10_u64.pow(u32::try_from(digits).unwrap_or(9));
    let whole = whole + u64::from(nanos) / one;
    let fraction = format!("{:0digits$}", u64::from(nanos) % one);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

/// A number as it stands before a unit: `whole.fraction`, the fraction as `fraction / scale`.
struct Decimal {
    whole: u64,
    fraction: u64,
    scale: f64,
}

impl Decimal {
    /// The number at the start of `text`, and what follows it; `None` if there is none or it is too large.
    fn leading(text: &str) -> Option<(Self, &str)> {
        let (digits, mut rest) = split_digits(text);
        let whole =
            if digits.is_empty() { 0 } else { digits.parse().ok().filter(|whole| *whole <= LIMIT)? };
        let mut number = Self { whole, fraction: 0, scale: 1.0 };
        if let Some(after) = rest.strip_prefix('.') {
            let (fraction, after) = split_digits(after);
            if digits.is_empty() && fraction.is_empty() {
                return None;
            }
            number.read_fraction(fraction);
            rest = after;
        } else if digits.is_empty() {
            return None;
        }
        Some((number, rest))
    }

    /// Digits that no longer fit are below a nanosecond and left out.
    fn read_fraction(&mut self, digits: &str) {
        for digit in digits.bytes().map(|digit| u64::from(digit - b'0')) {
            match self.fraction.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
                Some(longer) if longer <= LIMIT => {
                    self.fraction = longer;
                    self.scale *= 10.0;
                }
                _ => return,
            }
        }
    }

    /// This many units of `unit` nanoseconds; `None` if that is too large. The fraction goes through a float, as
    /// in Go, so that a third of an hour written with 19 digits is twenty minutes.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn times(&self, unit: u64) -> Option<u64> {
        let whole = self.whole.checked_mul(unit).filter(|nanos| *nanos <= LIMIT)?;
        let fraction = (self.fraction as f64 * (unit as f64 / self.scale)) as u64;
        whole.checked_add(fraction).filter(|nanos| *nanos <= LIMIT)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanos_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Micro sign and Greek mu look alike; both are used.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// In double quotes, with everything but printable ASCII as `\x..`.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// The magnitude of the smallest `i64`.
const LIMIT: u64 = 1 << 63;

#[cfg(test)]
mod tests;
