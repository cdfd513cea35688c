//! What came of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Wanted;
use crate::api::duration;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The status, or the code of gRPC: one of a few words.
    pub name: String,
    /// Whether the request has succeeded.
    pub good: bool,
    /// What there is to say of it.
    pub why: Option<String>,
}

impl Code {
    /// The answer with this status of HTTP.
    pub fn http(status: u16) -> Self {
        Self { name: status.to_string(), good: status < 400, why: None }
    }

    /// An answer as it should be.
    pub fn good(name: &str) -> Self {
        Self { name: name.to_owned(), good: true, why: None }
    }

    /// An answer that is a failure.
    pub fn bad(name: &str) -> Self {
        Self { good: false, ..Self::good(name) }
    }

    /// The failure for this reason.
    pub fn with(self, why: &str) -> Self {
        Self { good: false, why: (!why.is_empty()).then(|| why.to_owned()), ..self }
    }
}

/// The figures of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests that were sent.
    sent: u64,
    /// Requests whose answer had a status below 400, or the code OK.
    succeeded: u64,
    /// Requests that had any answer.
    answered: u64,
    /// Requests that were due while all connections were waiting, and were left out.
    missed: u64,
    /// In microseconds, of all requests that were answered.
    latencies: Histogram<u64>,
    /// How many had which status, or which trouble.
    codes: BTreeMap<String, u64>,
    /// The last trouble in words.
    trouble: Option<String>,
    took: Duration,
}

impl Default for Report {
    fn default() -> Self {
        let latencies = Histogram::new_with_max(LONGEST, 3).expect("constant bounds that it can hold");
        Self {
            sent: 0,
            succeeded: 0,
            answered: 0,
            missed: 0,
            latencies,
            codes: BTreeMap::new(),
            trouble: None,
            took: Duration::ZERO,
        }
    }
}

impl Report {
    /// Counts a request that was answered.
    pub fn answered(&mut self, code: Code, took: Duration) {
        self.sent += 1;
        self.answered += 1;
        self.succeeded += u64::from(code.good);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros.clamp(1, LONGEST));
        *self.codes.entry(code.name).or_default() += 1;
        self.trouble = code.why.or(self.trouble.take());
    }

    /// Counts a request that was not answered. `kind` is one of a few words.
    pub fn lost(&mut self, kind: &str, why: String) {
        self.sent += 1;
        self.trouble = Some(why);
        *self.codes.entry(kind.to_owned()).or_default() += 1;
    }

    /// Counts requests that were left out.
    pub fn missed(&mut self, count: u64) {
        self.missed += count;
    }

    /// The load is over.
    pub fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// How long a quantile (in percent) of the answered requests took at most; nothing if none was answered.
    pub fn quantile(&self, percent: f64) -> Option<Duration> {
        (self.answered > 0).then(|| Duration::from_micros(self.latencies.value_at_percentile(percent)))
    }

    /// In percent; nothing if no request was sent.
    #[expect(clippy::cast_precision_loss, reason = "a load has fewer requests than 2^52")]
    pub fn success_rate(&self) -> Option<f64> {
        (self.sent > 0).then(|| 100.0 * self.succeeded as f64 / self.sent as f64)
    }

    /// Whether the answers were what they had to be.
    ///
    /// # Errors
    /// If not, or if there were none; the text says all that is wrong.
    pub fn judge(&self, wanted: &Wanted) -> Result<(), String> {
        let mut wrong = Vec::new();
        if self.answered == 0 {
            wrong.push("no request was answered".to_owned());
        }
        if let (Some(least), Some(rate)) = (wanted.success_rate, self.success_rate())
            && rate < least
        {
            wrong.push(format!("success rate {rate:.2} % is below {least} %"));
        }
        for (percent, most) in &wanted.latencies {
            if let Some(found) = self.quantile(*percent).filter(|found| found > most) {
                wrong.push(format!("p{percent} {} is above {}", short(found), duration::format(*most)));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("load failed: {} ({self})", wrong.join(", "))) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests in {}", self.sent, short(self.took))?;
        let codes: Vec<String> = self.codes.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        write!(f, "; {}", if codes.is_empty() { "none sent".to_owned() } else { codes.join(", ") })?;
        for percent in [50.0, 90.0, 99.0] {
            if let Some(found) = self.quantile(percent) {
                write!(f, "; p{percent} {}", short(found))?;
            }
        }
        if self.missed > 0 {
            write!(f, "; {} left out because all connections were waiting", self.missed)?;
        }
        match &self.trouble {
            Some(trouble) => write!(f, "; last trouble: {trouble}"),
            None => Ok(()),
        }
    }
}

/// To the microsecond.
fn short(time: Duration) -> String {
    duration::format(Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
}

/// An hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        for millis in 1..=100 {
            report.answered(Code::http(if millis > 98 { 503 } else { 200 }), Duration::from_millis(millis));
        }
        report.took(Duration::from_secs(10));
        report
    }

    #[test]
    fn percentiles_are_those_of_the_answers() {
        let report = report();
        for (percent, millis) in [(50.0, 50_u64), (90.0, 90), (99.0, 99)] {
            let found = report.quantile(percent).expect("answers");
            let wanted = Duration::from_millis(millis);
            assert!(found >= wanted && found < wanted.mul_f64(1.01), "p{percent}: {found:?}");
        }
        assert_eq!(None, Report::default().quantile(50.0));
    }

    #[test]
    fn a_load_fails_with_the_numbers() {
        let report = report();
        assert_eq!(Ok(()), report.judge(&Wanted::default()));
        let wanted = Wanted {
            success_rate: Some(99.0),
            latencies: vec![(50.0, Duration::from_secs(1)), (99.0, Duration::from_millis(20))],
        };
        let why = report.judge(&wanted).expect_err("it failed");
        assert!(why.starts_with("load failed: success rate 98.00 % is below 99 %, p99 99"), "{why}");
        assert!(
            why.contains("100 requests in 10s; 200: 98, 503: 2") && !why.contains("p50 50ms is above"),
            "{why}"
        );
    }

    #[test]
    fn a_load_that_nobody_answers_fails_in_any_case() {
        let mut report = Report::default();
        report.lost("connect", "connection refused".into());
        let why = report.judge(&Wanted::default()).expect_err("it failed");
        assert!(why.contains("no request was answered") && why.contains("connection refused"), "{why}");
    }
}
