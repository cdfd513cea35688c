//! What users saw of a release, and whether that is what was promised.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use vexil_e2e::apps::load::Sample;
use vexil_e2e::routes::Held;
use vexil_e2e::shares::{self, TAKE_OVER};

use crate::apps::{COOKIE, Plan, Provider};
use crate::cluster::BROKEN;
use crate::run::OUTAGE;

/// So many answers say something where there is no chance in it.
const ENOUGH: usize = 30;
/// And so many where there is. A step has some 300, and a machine that is busy with other things makes fewer.
const ENOUGH_BY_CHANCE: usize = 60;

/// A part of a release.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub what: &'static str,
    pub from: Duration,
    pub to: Duration,
}

impl Span {
    fn holds(&self, sample: &Sample) -> bool {
        sample.sent >= self.from && sample.sent < self.to
    }
}

/// The requests of some users.
pub struct Heard {
    pub insiders: bool,
    pub samples: Vec<Sample>,
}

/// All of a release.
pub struct Seen {
    pub provider: Provider,
    pub plan: Plan,
    pub version: String,
    pub spans: Vec<Span>,
    pub heard: Vec<Heard>,
    /// The canary's weights as Traefik had them.
    pub held: Vec<Held>,
    pub events: Vec<String>,
    /// Why it did not come to its end.
    pub trouble: Option<String>,
}

/// Requests by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: usize,
    /// Not answered, or not by the application, or with an error that the version does not make by itself.
    pub failed: usize,
    /// Sent again on a fresh connection, because a used one ended before a byte of the answer.
    pub again: usize,
    /// Errors that the bad version makes.
    pub broken: usize,
    /// What went wrong, with how often.
    pub reasons: BTreeMap<String, usize>,
}

impl Count {
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Count {
        let mut count = Count::default();
        for sample in samples {
            count.requests += 1;
            count.again += usize::from(sample.retried);
            if sample.status == 200 && !sample.pod.is_empty() {
                continue;
            }
            if sample.status == 500 && sample.note.contains(BROKEN) {
                count.broken += 1;
                continue;
            }
            count.failed += 1;
            let what = format!("{} {}", sample.status, sample.note.trim());
            *count.reasons.entry(what).or_default() += 1;
        }
        count
    }
}

impl Seen {
    fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.heard.iter().flat_map(|heard| &heard.samples)
    }

    /// What became of the requests of a span.
    pub fn count(&self, span: &Span) -> Count {
        Count::of(self.samples().filter(|sample| span.holds(sample)))
    }

    /// The spans in which nothing may be lost.
    pub fn promised(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.what != OUTAGE)
    }

    /// When requests failed that may not, for who looks for the cause.
    pub fn failures(&self) -> Vec<String> {
        let may_not = |sample: &&Sample| self.promised().any(|span| span.holds(sample));
        let failed = self.samples().filter(may_not).filter(|sample| Count::of([*sample]).failed > 0);
        let told = failed
            .map(|s| format!("{:.2} s: {} {} {}", s.sent.as_secs_f64(), s.status, s.pod, s.note.trim()));
        told.take(20).collect()
    }

    /// The shares that a release promises, in words.
    ///
    /// # Errors
    /// They were others.
    pub fn shares(&self) -> Result<String> {
        match self.plan {
            Plan::Weights | Plan::Adopted | Plan::Rollback => self.weights(|_| true),
            // It is about something else.
            Plan::Outage => Ok(String::new()),
            Plan::Affinity => {
                Ok(format!("{}; {}", self.weights(|sample| sample.cookies.is_empty())?, self.loyalty()?))
            }
            Plan::BlueGreen => self.all_at_once(),
            Plan::Ab => self.insiders(),
        }
    }

    /// The version that came, from its push on.
    fn release(&self) -> (Duration, Duration) {
        let during = |span: &&Span| ["steps", "rollback", "promotion"].contains(&span.what);
        let from = self.spans.iter().find(during).map_or(Duration::MAX, |span| span.from);
        (from, self.spans.iter().rfind(during).map_or(Duration::MAX, |span| span.to))
    }

    fn span(&self, what: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.what == what)
    }

    fn weights(&self, fits: impl Fn(&Sample) -> bool) -> Result<String> {
        let (from, to) = self.release();
        let during = self.samples().filter(|sample| sample.sent > from && sample.sent < to);
        let samples: Vec<Sample> = during.filter(|sample| fits(sample)).cloned().collect();
        let steps = shares::by_step_of(&samples, &self.held, &self.version, ENOUGH_BY_CHANCE)?;
        ensure!(!steps.is_empty(), "Traefik never gave the canary a weight");
        Ok(shares::show(&steps))
    }

    /// Who has met the new version with its cookie stays with it for as long as the canary has a share.
    fn loyalty(&self) -> Result<String> {
        let last = self.held.iter().rfind(|held| held.weight() > 0).map_or(Duration::ZERO, |held| held.last);
        let holds = |sample: &&Sample| sample.cookies.contains_key(COOKIE) && sample.done < last;
        let holders: Vec<&Sample> = self.samples().filter(holds).collect();
        let strayed = holders.iter().find(|sample| sample.note != self.version);
        ensure!(strayed.is_none(), "a user with the canary's cookie met another version: {strayed:?}");
        ensure!(holders.len() >= ENOUGH, "only {} requests had the canary's cookie", holders.len());
        Ok(format!("{} of {0} with its cookie", holders.len()))
    }

    /// While Traefik gives all to the canary nobody else answers.
    fn all_at_once(&self) -> Result<String> {
        let whole: Vec<&Held> = self.held.iter().filter(|held| held.weight() == 100).collect();
        let inside =
            |s: &&Sample| whole.iter().any(|held| s.sent > held.first + TAKE_OVER && s.done < held.last);
        let samples: Vec<&Sample> = self.samples().filter(inside).collect();
        let other = samples.iter().find(|sample| !sample.by_canary() || sample.note != self.version);
        ensure!(other.is_none(), "all is the canary's, and another answered: {other:?}");
        ensure!(samples.len() >= ENOUGH, "only {} requests when all was the canary's", samples.len());
        Ok(format!("100 % → 100 % of {}", samples.len()))
    }

    /// Insiders meet the canary from the first of them on until the promotion begins; strangers never meet it.
    fn insiders(&self) -> Result<String> {
        let (from, to) = self.release();
        let during = |insiders: bool| {
            let heard = self.heard.iter().filter(move |heard| heard.insiders == insiders);
            heard
                .flat_map(|heard| &heard.samples)
                .filter(move |sample| sample.sent > from && sample.sent < to)
        };
        let stranger = during(false).find(|sample| sample.by_canary());
        ensure!(stranger.is_none(), "somebody without the header met the canary: {stranger:?}");
        let begun = during(true).filter(|sample| sample.by_canary()).map(|sample| sample.done).min();
        let over = self.span("promotion").map_or(to, |span| span.from);
        let inside = |s: &&Sample| begun.is_some_and(|begun| s.sent > begun + TAKE_OVER) && s.done < over;
        let insiders: Vec<&Sample> = during(true).filter(inside).collect();
        let other = insiders.iter().find(|sample| sample.note != self.version);
        ensure!(other.is_none(), "an insider met another version: {other:?}");
        ensure!(insiders.len() >= ENOUGH, "only {} requests of insiders met the canary", insiders.len());
        Ok(format!("insiders {} of {0}, others 0 of {}", insiders.len(), during(false).count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, status: u16, version: &str, pod: &str) -> Sample {
        let at = Duration::from_secs(at);
        Sample { sent: at, done: at, status, note: version.into(), pod: pod.into(), ..Sample::default() }
    }

    /// Steps from second 10 to 20, promotion from there to 30.
    fn seen(plan: Plan, heard: Vec<Heard>) -> Seen {
        let span =
            |what, from, to| Span { what, from: Duration::from_secs(from), to: Duration::from_secs(to) };
        Seen {
            provider: Provider::GatewayApi,
            plan,
            version: "2.0".into(),
            spans: vec![span("take-over", 0, 10), span("steps", 10, 20), span("promotion", 20, 30)],
            heard,
            held: vec![Held {
                weights: vec![100],
                first: Duration::from_secs(11),
                last: Duration::from_secs(19),
            }],
            events: Vec::new(),
            trouble: None,
        }
    }

    fn canary(at: u64) -> Sample {
        sample(at, 200, "2.0", "frontend-abc-1")
    }

    fn primary(at: u64) -> Sample {
        sample(at, 200, "1.0", "frontend-primary-abc-1")
    }

    #[test]
    fn what_is_not_answered_by_the_application_is_lost_and_what_a_bad_version_answers_is_not() {
        let count = Count::of(&[
            canary(1),
            sample(1, 500, "2.0-broken", "frontend-abc-1"),
            sample(1, 500, "2.0", "frontend-abc-1"),
            sample(1, 404, "404 page not found", ""),
            sample(1, 200, "somebody else's page", ""),
            sample(1, 0, "connection reset", ""),
            Sample { retried: true, ..canary(1) },
        ]);
        assert_eq!((count.requests, count.failed, count.broken, count.again), (7, 4, 1, 1));
        assert_eq!(count.reasons.len(), 4, "{:?}", count.reasons);
    }

    #[test]
    fn a_request_belongs_to_the_span_in_which_it_was_sent() {
        let seen = seen(
            Plan::Weights,
            vec![Heard { insiders: false, samples: [9, 10, 19, 20].map(primary).into() }],
        );
        let counts: Vec<usize> = seen.spans.iter().map(|span| seen.count(span).requests).collect();
        assert_eq!(counts, [1, 2, 1]);
    }

    #[test]
    fn insiders_have_to_meet_the_canary_and_nobody_else_may() {
        let heard = |insiders: Vec<Sample>, others: Vec<Sample>| {
            vec![Heard { insiders: true, samples: insiders }, Heard { insiders: false, samples: others }]
        };
        let many = |of: fn(u64) -> Sample| -> Vec<Sample> { (0..50).map(|n| of(12 + n / 10)).collect() };
        assert!(seen(Plan::Ab, heard(many(canary), many(primary))).shares().is_ok());
        let strayed = [many(canary), vec![primary(15)]].concat();
        assert!(seen(Plan::Ab, heard(strayed, many(primary))).shares().is_err());
        let leaked = [many(primary), vec![canary(15)]].concat();
        assert!(seen(Plan::Ab, heard(many(canary), leaked)).shares().is_err());
        assert!(seen(Plan::Ab, heard(many(primary), many(primary))).shares().is_err(), "no insider met it");
    }

    #[test]
    fn all_at_once_is_all() {
        let all =
            |samples: Vec<Sample>| seen(Plan::BlueGreen, vec![Heard { insiders: false, samples }]).shares();
        let many: Vec<Sample> = (0..50).map(|n| canary(12 + n / 10)).collect();
        assert!(all(many.clone()).is_ok());
        assert!(all([many, vec![primary(15)]].concat()).is_err());
        assert!(all(vec![canary(15)]).is_err(), "one says nothing");
    }

    #[test]
    fn who_holds_the_cookie_stays_with_the_new_version() {
        let with_cookie = |mut sample: Sample| {
            sample.cookies.insert(COOKIE.into(), "x".into());
            sample
        };
        let loyal =
            |samples: Vec<Sample>| seen(Plan::Affinity, vec![Heard { insiders: false, samples }]).loyalty();
        let many: Vec<Sample> = (0..50).map(|n| with_cookie(canary(12 + n / 10))).collect();
        assert!(loyal(many.clone()).is_ok());
        assert!(loyal([many, vec![with_cookie(primary(15))]].concat()).is_err());
    }
}
