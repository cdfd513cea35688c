//! The values that flags, scenario files and assertions share: shares, times, answers of hooks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::api::duration;

/// A share of the requests, from 0 to 1. Written `2%` or `0.02`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A length of time, as Go writes it (`90s`, `5m`, `1h30m`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// When something is so. Written as a length (`5m`, from the push on) or with its beginning (`5m@10m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it begins, after the push.
    pub from: Duration,
    /// When it ends, after the push.
    pub to: Duration,
}

/// What hooks answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Say {
    /// Checks pass and gates are open; a rollback hook asks for no rollback.
    #[default]
    Yes,
    /// Checks fail and gates stay closed; a rollback hook asks for no rollback either.
    No,
    /// Checks pass; gates open so long after the push.
    ApproveAfter(Duration),
    /// As yes, and a rollback hook asks for a rollback.
    Rollback,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a share: write it like 2% or 0.02");
        let (digits, scale) = match text.trim().strip_suffix('%') {
            Some(digits) => (digits.trim_end(), 100.0),
            None => (text.trim(), 1.0),
        };
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        let share = number / scale;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(match scale {
            1.0 if (1.0..=100.0).contains(&number) => {
                format!("{text:?} is more than all: write {number}% or {}", number / 100.0)
            }
            _ => format!("{text:?} is not between 0% and 100%"),
        })
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = duration::parse(text.trim())
            .map_err(|_| format!("{text:?} is not a length of time: write it like 90s, 5m or 1h30m"))?;
        if time > LONGEST {
            return Err(format!("{text:?} is longer than a year"));
        }
        Ok(Self(time))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (length, from) = text.split_once('@').map_or((text, "0s"), |(length, from)| (length, from));
        let (length, from): (Time, Time) = (length.parse()?, from.parse()?);
        if length.0.is_zero() {
            return Err(format!(
                "{text:?} lasts no time: write it like 5m, or 5m@10m to begin after ten minutes"
            ));
        }
        Ok(Self { from: from.0, to: from.0 + length.0 })
    }
}

impl FromStr for Say {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let after = text.strip_prefix("approve-after").map(|rest| rest.trim_start_matches([' ', '=']));
        match (text, after) {
            ("yes", _) => Ok(Self::Yes),
            ("no", _) => Ok(Self::No),
            ("rollback", _) => Ok(Self::Rollback),
            (_, Some(time)) => Ok(Self::ApproveAfter(time.parse::<Time>()?.0)),
            _ => Err(format!(
                "{text:?} is no answer of a hook: write yes, no, rollback or \"approve-after 10m\""
            )),
        }
    }
}

/// `2 %`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last digits of a product are those of the machine.
        write!(f, "{} %", (self.0 * 1e8).round() / 1e6)
    }
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::No => f.write_str("no"),
            Self::Rollback => f.write_str("rollback"),
            Self::ApproveAfter(time) => write!(f, "approve after {}", length(*time)),
        }
    }
}

/// `9 min 12 s`, `2 h 5 min`.
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

/// A number, or a text that `T` can be read from.
fn read<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<T, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    };
    text.parse().map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Say {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2%", Ok(0.02))]
    #[case("0.5 %", Ok(0.005))]
    #[case("0.02", Ok(0.02))]
    #[case("100%", Ok(1.0))]
    #[case("2", Err("\"2\" is more than all: write 2% or 0.02"))]
    #[case("101%", Err("\"101%\" is not between 0% and 100%"))]
    #[case("-1%", Err("\"-1%\" is not between 0% and 100%"))]
    #[case("NaN", Err("\"NaN\" is not between 0% and 100%"))]
    #[case("some", Err("\"some\" is not a share: write it like 2% or 0.02"))]
    fn a_share_is_a_part_of_all(#[case] text: &str, #[case] expected: Result<f64, &str>) {
        assert_eq!(expected.map_err(str::to_owned), text.parse::<Share>().map(|share| share.0));
    }

    #[rstest]
    #[case("5m", Ok((0, 300)))]
    #[case("5m@10m", Ok((600, 900)))]
    #[case("0s", Err("\"0s\" lasts no time: write it like 5m, or 5m@10m to begin after ten minutes"))]
    #[case("5", Err("\"5\" is not a length of time: write it like 90s, 5m or 1h30m"))]
    #[case("9999999h", Err("\"9999999h\" is not a length of time: write it like 90s, 5m or 1h30m"))]
    #[case("99999h", Err("\"99999h\" is longer than a year"))]
    fn a_span_has_a_length_and_may_begin_later(
        #[case] text: &str,
        #[case] expected: Result<(u64, u64), &str>,
    ) {
        let read = text.parse::<Span>().map(|span| (span.from.as_secs(), span.to.as_secs()));
        assert_eq!(expected.map_err(str::to_owned), read);
    }

    #[rstest]
    #[case("yes", Ok(Say::Yes))]
    #[case("no", Ok(Say::No))]
    #[case("rollback", Ok(Say::Rollback))]
    #[case("approve-after 10m", Ok(Say::ApproveAfter(Duration::from_secs(600))))]
    #[case("approve-after=90s", Ok(Say::ApproveAfter(Duration::from_secs(90))))]
    #[case("approve-after", Err("\"\" is not a length of time: write it like 90s, 5m or 1h30m"))]
    #[case(
        "maybe",
        Err("\"maybe\" is no answer of a hook: write yes, no, rollback or \"approve-after 10m\"")
    )]
    fn hooks_have_four_answers(#[case] text: &str, #[case] expected: Result<Say, &str>) {
        assert_eq!(expected.map_err(str::to_owned), text.parse::<Say>());
    }
}
