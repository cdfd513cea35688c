//! What has to be so: `promote(error=2%) < 1%`. The grammar:
//!
//! ```text
//! assertion = function "(" [ argument { "," argument } ] ")" comparison value
//! function  = "promote" | "rollback" | "duration" | "hurt"
//! argument  = "p50" | "p90" | "p95" | "p99" | "never_ready" | name "=" value
//! name      = "error" | "base_error" | "latency" | "base_latency" | "rps" | "matching" | "metrics_down"
//! comparison = "<" | "<=" | ">" | ">="
//! ```
//!
//! It holds if the whole confidence interval lies on the right side of the value.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::sim::simulate::values::{Share, Time};
use crate::sim::simulate::{Interval, Settings, Study, Verdict, quantile};

/// One assertion, read.
#[derive(Clone, Debug)]
pub(super) struct Assertion {
    text: String,
    /// What its arguments change in the scenario.
    pub settings: Settings,
    function: Function,
    comparison: Comparison,
    bound: f64,
}

/// What an assertion came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    /// As it was written.
    pub text: String,
    pub decision: Decision,
    /// What was found, for people, one for each Canary.
    pub found: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Decision {
    Holds,
    Fails,
    Undecided,
}

/// Why a text is no assertion, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    text: String,
    /// In characters.
    at: usize,
    length: usize,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Promote,
    Rollback,
    /// With its quantile.
    Duration(f64),
    /// With its quantile.
    Hurt(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spaces, marks) = (" ".repeat(self.at), "^".repeat(self.length.max(1)));
        write!(f, "--assert: {}\n  {}\n  {spaces}{marks}", self.message, self.text)
    }
}

impl Assertion {
    /// Reads an assertion.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // It is shown on one line.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut reader = Reader { text: text.chars().collect(), at: 0 };
        let (name, at) = reader.word();
        let function = match name.as_str() {
            "promote" => Function::Promote,
            "rollback" => Function::Rollback,
            "duration" => Function::Duration(0.5),
            "hurt" => Function::Hurt(0.5),
            _ => {
                let message = format!("{name:?} is no function: write promote, rollback, duration or hurt");
                return Err(reader.error(at, name.chars().count(), message));
            }
        };
        let mut assertion =
            Self { text, settings: Settings::default(), function, comparison: Comparison::Less, bound: 0.0 };
        reader.expect('(')?;
        if !reader.takes(')') {
            loop {
                assertion.argument(&mut reader)?;
                if reader.takes(')') {
                    break;
                }
                reader.expect(',').map_err(|error| Error {
                    message: "a comma or a closing parenthesis is missing here".to_owned(),
                    ..error
                })?;
            }
        }
        assertion.comparison = reader.comparison()?;
        assertion.bound = assertion.value(&mut reader)?;
        let (rest, at) = reader.value();
        if !rest.is_empty() || reader.at < reader.text.len() {
            let left = reader.text.len() - at;
            return Err(reader.error(
                at,
                left,
                "nothing may follow here; write further assertions with --assert each",
            ));
        }
        Ok(assertion)
    }

    fn argument(&mut self, reader: &mut Reader) -> Result<(), Error> {
        let (name, at) = reader.word();
        let length = name.chars().count();
        if let Some(digits) = name.strip_prefix('p').filter(|digits| digits.parse::<u8>().is_ok()) {
            let wanted = match digits {
                "50" => 0.5,
                "90" => 0.9,
                "95" => 0.95,
                "99" => 0.99,
                _ => {
                    return Err(reader.error(
                        at,
                        length,
                        format!("{name} is not known: write p50, p90, p95 or p99"),
                    ));
                }
            };
            self.function = match self.function {
                Function::Duration(_) => Function::Duration(wanted),
                Function::Hurt(_) => Function::Hurt(wanted),
                Function::Promote | Function::Rollback => {
                    return Err(reader.error(
                        at,
                        length,
                        format!("{name} is for duration and hurt: a probability has none"),
                    ));
                }
            };
            return Ok(());
        }
        let settings = &mut self.settings;
        if name == "never_ready" && !reader.takes('=') {
            settings.never_ready = Some(true);
            return Ok(());
        }
        match name.as_str() {
            "error" => settings.error_rate = Some(reader.argument(&name)?),
            "base_error" => settings.base_error_rate = Some(reader.argument(&name)?),
            "latency" => settings.latency = Some(reader.argument(&name)?),
            "base_latency" => settings.base_latency = Some(reader.argument(&name)?),
            "matching" => settings.matching = Some(reader.argument(&name)?),
            "metrics_down" => settings.metrics_down = Some(reader.argument(&name)?),
            "rps" => settings.rps = Some(reader.argument::<Rate>(&name)?.0),
            // Its equals sign is taken already.
            "never_ready" => {
                let (value, at) = reader.value();
                settings.never_ready = Some(value.parse().map_err(|_| {
                    reader.error(at, value.chars().count(), format!("{value:?} is not true or false"))
                })?);
            }
            _ => {
                let message = format!(
                    "{name:?} is no argument: write error, latency, rps, never_ready, base_error, base_latency, matching or \
                     metrics_down"
                );
                return Err(reader.error(at, length, message));
            }
        }
        Ok(())
    }

    /// The value that is compared with, in the unit of the function.
    fn value(&self, reader: &mut Reader) -> Result<f64, Error> {
        let (value, at) = reader.value();
        let read = match self.function {
            Function::Promote | Function::Rollback => value.parse::<Share>().map(|share| share.0),
            Function::Duration(_) => value.parse::<Time>().map(|time| time.0.as_secs_f64()),
            Function::Hurt(_) => value
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .ok_or_else(|| format!("{value:?} is not a number of requests")),
        };
        read.map_err(|message| reader.error(at, value.chars().count(), message))
    }

    /// Whether it holds for every one of these studies.
    pub fn judge(&self, studies: &[Study]) -> Judged {
        let all: Vec<(Decision, String)> = studies.iter().map(|study| self.one(study)).collect();
        let any = |wanted| all.iter().any(|(decision, _)| *decision == wanted);
        let decision = if any(Decision::Fails) {
            Decision::Fails
        } else if any(Decision::Undecided) {
            Decision::Undecided
        } else {
            Decision::Holds
        };
        Judged { text: self.text.clone(), decision, found: all.into_iter().map(|(_, text)| text).collect() }
    }

    fn one(&self, study: &Study) -> (Decision, String) {
        let found = match self.function {
            Function::Promote => study.share(Verdict::Promoted),
            Function::Rollback => study.share(Verdict::RolledBack),
            Function::Duration(part) => quantile(&study.seconds, part),
            Function::Hurt(part) => quantile(&study.hurt, part),
        };
        let Interval { low, high, .. } = found;
        let (holds, fails) = match self.comparison {
            Comparison::Less => (high < self.bound, low >= self.bound),
            Comparison::AtMost => (high <= self.bound, low > self.bound),
            Comparison::More => (low > self.bound, high <= self.bound),
            Comparison::AtLeast => (low >= self.bound, high < self.bound),
        };
        let decision = match (holds, fails) {
            (true, _) => Decision::Holds,
            (_, true) => Decision::Fails,
            _ => Decision::Undecided,
        };
        let mut text = format!("{}: {} in {} releases", study.canary, self.words(found), study.runs());
        if decision == Decision::Undecided {
            text.push_str(", too few to tell: raise --runs");
        }
        (decision, text)
    }

    fn words(&self, found: Interval) -> String {
        let one = |value: f64| match self.function {
            _ if value.is_infinite() => "unknown".to_owned(),
            Function::Promote | Function::Rollback => super::words::percent(value),
            Function::Duration(_) => super::words::seconds(value),
            Function::Hurt(_) => super::words::count(value),
        };
        format!("{} ({} to {})", one(found.value), one(found.low), one(found.high))
    }
}

/// Requests in a second.
struct Rate(f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a number of requests in a second");
        text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0).map(Self).ok_or_else(wrong)
    }
}

/// Goes through the text of an assertion.
struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn error(&self, at: usize, length: usize, message: impl Into<String>) -> Error {
        Error { text: self.text.iter().collect(), at, length, message: message.into() }
    }

    fn skip_spaces(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, part_of: impl Fn(char) -> bool) -> (String, usize) {
        self.skip_spaces();
        let start = self.at;
        while self.text.get(self.at).is_some_and(|c| part_of(*c)) {
            self.at += 1;
        }
        (self.text[start..self.at].iter().collect(), start)
    }

    /// A name, and where it begins.
    fn word(&mut self) -> (String, usize) {
        self.take(|c| c.is_alphanumeric() || c == '_' || c == '-')
    }

    /// A value, and where it begins.
    fn value(&mut self) -> (String, usize) {
        let (value, at) = self.take(|c| !c.is_whitespace() && !",()<>=".contains(c));
        // The sign may stand apart: 2 %.
        let before = self.at;
        if value.ends_with(|c: char| c.is_ascii_digit()) && self.takes('%') {
            return (format!("{value}%"), at);
        }
        self.at = before;
        (value, at)
    }

    fn argument<T: FromStr<Err = String>>(&mut self, name: &str) -> Result<T, Error> {
        self.expect('=')
            .map_err(|error| Error { message: format!("{name} needs a value: write {name}=…"), ..error })?;
        let (value, at) = self.value();
        value.parse().map_err(|message: String| self.error(at, value.chars().count(), message))
    }

    fn takes(&mut self, wanted: char) -> bool {
        let before = self.at;
        self.skip_spaces();
        let found = self.text.get(self.at) == Some(&wanted);
        self.at = if found { self.at + 1 } else { before };
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), Error> {
        if self.takes(wanted) {
            return Ok(());
        }
        self.skip_spaces();
        Err(self.error(self.at, 1, format!("{wanted:?} is missing here")))
    }

    fn comparison(&mut self) -> Result<Comparison, Error> {
        let (sign, at) = self.take(|c| "<>=!".contains(c));
        match sign.as_str() {
            "<" => Ok(Comparison::Less),
            "<=" => Ok(Comparison::AtMost),
            ">" => Ok(Comparison::More),
            ">=" => Ok(Comparison::AtLeast),
            _ => Err(self.error(
                at,
                sign.chars().count(),
                "a comparison is missing here: write <, <=, > or >=",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("promote(error=2%) < 1%", Function::Promote, Comparison::Less, 0.01)]
    #[case(" rollback ( ) <= 0.05 ", Function::Rollback, Comparison::AtMost, 0.05)]
    #[case("duration(p95, error=0%, rps=7) < 30m", Function::Duration(0.95), Comparison::Less, 1800.0)]
    #[case("duration(never_ready) > 90s", Function::Duration(0.5), Comparison::More, 90.0)]
    #[case("hurt(p99,error=5 %,latency=2s) >= 100", Function::Hurt(0.99), Comparison::AtLeast, 100.0)]
    fn an_assertion_is_read(
        #[case] text: &str,
        #[case] function: Function,
        #[case] comparison: Comparison,
        #[case] bound: f64,
    ) {
        let read = Assertion::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((function, comparison), (read.function, read.comparison));
        assert!((bound - read.bound).abs() < 1e-9);
    }

    #[rstest]
    #[case(
        "promot(error=2%) < 1%",
        0,
        6,
        "\"promot\" is no function: write promote, rollback, duration or hurt"
    )]
    #[case("", 0, 0, "\"\" is no function: write promote, rollback, duration or hurt")]
    #[case("promote < 1%", 8, 1, "'(' is missing here")]
    #[case(
        "promote(errors=2%) < 1%",
        8,
        6,
        "\"errors\" is no argument: write error, latency, rps, never_ready, base_error, base_latency, matching or metrics_down"
    )]
    #[case("promote(error=2) < 1%", 14, 1, "\"2\" is more than all: write 2% or 0.02")]
    #[case("promote(error) < 1%", 13, 1, "error needs a value: write error=…")]
    #[case("promote(error=2% rps=1) < 1%", 17, 1, "a comma or a closing parenthesis is missing here")]
    #[case("promote(p95) < 1%", 8, 3, "p95 is for duration and hurt: a probability has none")]
    #[case("duration(p42) < 1m", 9, 3, "p42 is not known: write p50, p90, p95 or p99")]
    #[case("promote() == 1%", 10, 2, "a comparison is missing here: write <, <=, > or >=")]
    #[case("promote()", 9, 0, "a comparison is missing here: write <, <=, > or >=")]
    #[case("duration() < 5", 13, 1, "\"5\" is not a length of time: write it like 90s, 5m or 1h30m")]
    #[case("hurt() < few", 9, 3, "\"few\" is not a number of requests")]
    #[case(
        "promote() < 1% and more",
        15,
        8,
        "nothing may follow here; write further assertions with --assert each"
    )]
    #[case("promote() < 1%)", 14, 1, "nothing may follow here; write further assertions with --assert each")]
    #[case("promote(never_ready=perhaps) < 1%", 20, 7, "\"perhaps\" is not true or false")]
    #[case(
        "prömöte(\u{1f600}) < 1%",
        0,
        7,
        "\"prömöte\" is no function: write promote, rollback, duration or hurt"
    )]
    fn an_error_points_at_its_place(
        #[case] text: &str,
        #[case] at: usize,
        #[case] length: usize,
        #[case] message: &str,
    ) {
        let error = Assertion::parse(text).expect_err("broken");
        assert_eq!((at, length, message), (error.at, error.length, error.message.as_str()));
    }

    #[test]
    fn the_place_is_marked_below_the_text() {
        let error = Assertion::parse("hurt(p95) <\n many").expect_err("broken").to_string();
        let expected =
            "--assert: \"many\" is not a number of requests\n  hurt(p95) <  many\n               ^^^^";
        assert_eq!(expected, error);
    }

    fn study(promoted: u64, rolled_back: u64) -> Study {
        let runs = usize::try_from(promoted + rolled_back).expect("few");
        Study {
            canary: "frontend.shop".to_owned(),
            promoted,
            rolled_back,
            unfinished: 0,
            seconds: vec![300.0; runs],
            hurt: vec![12.0; runs],
        }
    }

    #[rstest]
    #[case("promote() < 1%", study(0, 400), Decision::Holds)]
    #[case("promote() < 1%", study(0, 100), Decision::Undecided)]
    #[case("promote() < 1%", study(40, 360), Decision::Fails)]
    #[case("rollback() > 99%", study(0, 400), Decision::Holds)]
    #[case("duration(p95) < 5m1s", study(0, 400), Decision::Holds)]
    #[case("duration(p95) < 5m", study(0, 400), Decision::Fails)]
    #[case("duration(p95) <= 5m", study(0, 400), Decision::Holds)]
    #[case("duration(p95) <= 10m", study(0, 3), Decision::Undecided)]
    #[case("hurt() < 12", study(0, 400), Decision::Fails)]
    fn the_whole_interval_has_to_be_on_the_right_side(
        #[case] text: &str,
        #[case] study: Study,
        #[case] expected: Decision,
    ) {
        let judged = Assertion::parse(text).expect("good").judge(&[study]);
        assert_eq!(expected, judged.decision, "{:?}", judged.found);
        assert_eq!(expected == Decision::Undecided, judged.found[0].ends_with("raise --runs"));
    }

    #[test]
    fn it_has_to_hold_for_every_canary() {
        let assertion = Assertion::parse("promote() < 1%").expect("good");
        assert_eq!(Decision::Fails, assertion.judge(&[study(0, 400), study(400, 0)]).decision);
        assert_eq!(Decision::Undecided, assertion.judge(&[study(0, 400), study(0, 4)]).decision);
    }
}
