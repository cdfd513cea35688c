//! What happens to a release in a simulation: how much traffic there is, how the versions behave, what breaks when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::values::{Say, Share, Span, Time, length};
use crate::model::by_hand::Action;

/// What happens. All times count from the push of the new version.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// How the world is where no phase says otherwise.
    pub usual: Conditions,
    /// When the metrics servers do not answer.
    pub metrics_down: Vec<Span>,
    /// What hooks answer, by their names.
    pub hooks: BTreeMap<String, Say>,
    /// Values of checks, by the name of the check or of its MetricTemplate.
    pub metrics: BTreeMap<String, Series>,
    /// `--mesh-provider` of the controller.
    pub mesh_provider: Option<String>,
    /// How long a release is followed before it is given up as unfinished.
    pub limit: Duration,
    /// What changes in the course of time.
    pub phases: Vec<Phase>,
}

/// Traffic and behaviour at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Requests of users in a second.
    pub rps: f64,
    /// Share of the requests that fail on the new version.
    pub error: f64,
    /// Share of the requests that fail on the old version.
    pub base_error: f64,
    /// Milliseconds that 99 of 100 requests to the new version do not exceed.
    pub latency: f64,
    /// The same for the old version.
    pub base_latency: f64,
    /// Share of the requests that the rules of an A/B test pick.
    pub matching: f64,
    /// What hooks answer that have no answer of their own.
    pub hooks: Say,
    /// What the pods of the new version do.
    pub pods: Pods,
}

/// What the pods of a version do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pods {
    /// They get ready and stay so.
    #[default]
    Ready,
    /// They run and never get ready.
    NeverReady,
    /// They crash soon after each start.
    Crash,
    /// Their image cannot be pulled.
    BadImage,
}

impl Pods {
    /// As a sentence about them ends.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "get ready",
            Self::NeverReady => "never get ready",
            Self::Crash => "crash",
            Self::BadImage => "have an image that cannot be pulled",
        }
    }
}

/// The values that a check is answered with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Series {
    /// Always the same.
    Constant(f64),
    /// From each time on, until the next.
    Steps(Vec<Step>),
}

/// A value and since when it counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Since when, after the push.
    pub at: Time,
    /// The value; null for no data.
    pub value: Option<f64>,
}

/// What changes at a time, until another if one is said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// When it begins.
    pub at: Time,
    /// When it ends; never if unset.
    pub to: Option<Time>,
    /// The Canary that `push` and `do` are for, `name` or `name.namespace`; all if unset.
    pub canary: Option<String>,
    /// Requests of users in a second.
    pub rps: Option<f64>,
    /// Share of the requests that fail on the new version.
    pub error_rate: Option<Share>,
    /// Share of the requests that fail on the old version.
    pub base_error_rate: Option<Share>,
    /// What 99 of 100 requests to the new version do not exceed.
    pub latency: Option<Time>,
    /// The same for the old version.
    pub base_latency: Option<Time>,
    /// Share of the requests that an A/B test picks.
    pub matching: Option<Share>,
    /// Whether the metrics servers are away.
    pub metrics_down: Option<bool>,
    /// What hooks answer.
    pub hooks_say: Option<Say>,
    /// What the pods of the new version do.
    pub pods: Option<Pods>,
    /// Whether one more version is pushed, once.
    #[serde(default)]
    pub push: bool,
    /// What somebody asks of the release by hand, once: pause, resume, approve, promote, abort or retry.
    #[serde(rename = "do")]
    pub by_hand: Option<ByHand>,
}

/// What can be asked by hand, as a scenario file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each is the action of its name")]
pub enum ByHand {
    Pause,
    Resume,
    Approve,
    Promote,
    Abort,
    Retry,
}

impl ByHand {
    /// The action that it means.
    pub fn action(self) -> Action {
        match self {
            Self::Pause => Action::Pause,
            Self::Resume => Action::Resume,
            Self::Approve => Action::Approve,
            Self::Promote => Action::Promote,
            Self::Abort => Action::Abort,
            Self::Retry => Action::Retry,
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            usual: Conditions::default(),
            metrics_down: Vec::new(),
            hooks: BTreeMap::new(),
            metrics: BTreeMap::new(),
            mesh_provider: None,
            limit: LIMIT,
            phases: Vec::new(),
        }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            rps: 50.0,
            error: 0.0,
            base_error: 0.0,
            latency: 100.0,
            base_latency: 100.0,
            matching: 0.1,
            hooks: Say::Yes,
            pods: Pods::Ready,
        }
    }
}

/// A scenario file. What it leaves out keeps its default; flags win over it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a scenario, under their names in docs/simulate.md")]
pub struct Settings {
    pub rps: Option<f64>,
    pub error_rate: Option<Share>,
    pub base_error_rate: Option<Share>,
    pub latency: Option<Time>,
    pub base_latency: Option<Time>,
    pub matching: Option<Share>,
    pub never_ready: Option<bool>,
    pub metrics_down: Option<Span>,
    pub hooks_say: Option<Say>,
    #[serde(default)]
    pub hooks: BTreeMap<String, Say>,
    #[serde(default)]
    pub metrics: BTreeMap<String, Series>,
    pub mesh_provider: Option<String>,
    pub seed: Option<u64>,
    pub runs: Option<usize>,
    pub limit: Option<Time>,
    #[serde(default)]
    pub phases: Vec<Phase>,
}

impl Settings {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let read: Option<Self> = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        Ok(read.unwrap_or_default())
    }

    /// With these settings in the place of its own.
    pub fn overlaid(self, over: Self) -> Self {
        let mut hooks = self.hooks;
        hooks.extend(over.hooks);
        let mut metrics = self.metrics;
        metrics.extend(over.metrics);
        let mut phases = self.phases;
        phases.extend(over.phases);
        Self {
            rps: over.rps.or(self.rps),
            error_rate: over.error_rate.or(self.error_rate),
            base_error_rate: over.base_error_rate.or(self.base_error_rate),
            latency: over.latency.or(self.latency),
            base_latency: over.base_latency.or(self.base_latency),
            matching: over.matching.or(self.matching),
            never_ready: over.never_ready.or(self.never_ready),
            metrics_down: over.metrics_down.or(self.metrics_down),
            hooks_say: over.hooks_say.or(self.hooks_say),
            hooks,
            metrics,
            mesh_provider: over.mesh_provider.or(self.mesh_provider),
            seed: over.seed.or(self.seed),
            runs: over.runs.or(self.runs),
            limit: over.limit.or(self.limit),
            phases,
        }
    }

    /// The scenario: a new version behaves as the old one where nothing says otherwise.
    ///
    /// # Errors
    /// If a number is out of range, or the phases make no sense.
    pub fn scenario(&self) -> Result<Scenario, String> {
        let usual = Conditions::default();
        let base_error = self.base_error_rate.map_or(usual.base_error, |share| share.0);
        let base_latency = self.base_latency.map_or(usual.base_latency, millis);
        let usual = Conditions {
            rps: self.rps.map_or(Ok(usual.rps), |rps| positive("rps", rps))?,
            base_error,
            error: self.error_rate.map_or(base_error, |share| share.0),
            base_latency,
            latency: self.latency.map_or(base_latency, millis),
            matching: self.matching.map_or(usual.matching, |share| share.0),
            hooks: self.hooks_say.unwrap_or_default(),
            pods: if self.never_ready == Some(true) { Pods::NeverReady } else { Pods::Ready },
        };
        for phase in &self.phases {
            phase.check()?;
        }
        Ok(Scenario {
            usual,
            metrics_down: self.metrics_down.into_iter().collect(),
            hooks: self.hooks.clone(),
            metrics: self.metrics.clone(),
            mesh_provider: self.mesh_provider.clone(),
            limit: self.limit.map_or(LIMIT, |limit| limit.0),
            phases: self.phases.clone(),
        })
    }
}

impl Scenario {
    /// How the world is at a time.
    pub fn at(&self, time: Duration) -> Conditions {
        self.phases.iter().filter(|phase| phase.covers(time)).fold(self.usual, |now, phase| Conditions {
            rps: phase.rps.unwrap_or(now.rps),
            error: phase.error_rate.map_or(now.error, |share| share.0),
            base_error: phase.base_error_rate.map_or(now.base_error, |share| share.0),
            latency: phase.latency.map_or(now.latency, millis),
            base_latency: phase.base_latency.map_or(now.base_latency, millis),
            matching: phase.matching.map_or(now.matching, |share| share.0),
            hooks: phase.hooks_say.unwrap_or(now.hooks),
            pods: phase.pods.unwrap_or(now.pods),
        })
    }

    /// Whether the metrics servers are away at a time.
    pub fn metrics_are_down(&self, time: Duration) -> bool {
        let usual = self.metrics_down.iter().any(|span| (span.from..span.to).contains(&time));
        let said = self.phases.iter().filter(|phase| phase.covers(time));
        said.filter_map(|phase| phase.metrics_down).next_back().unwrap_or(usual)
    }

    /// The times at which something changes, in their order.
    pub fn changes(&self) -> Vec<Duration> {
        let spans = self.metrics_down.iter().flat_map(|span| [span.from, span.to]);
        let phases = self.phases.iter().flat_map(|phase| [Some(phase.at), phase.to]).flatten().map(|at| at.0);
        let mut all: Vec<Duration> = spans.chain(phases).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a version can be told to be worse than the old one: its failures, its times, its pods.
    pub fn is_worse(&self) -> bool {
        let worse = |now: Conditions| {
            now.error > now.base_error || now.latency > now.base_latency || now.pods != Pods::Ready
        };
        worse(self.usual) || self.changes().into_iter().any(|time| worse(self.at(time)))
    }

    /// The same with a new version that is as good as the old one.
    pub fn with_a_good_version(&self) -> Self {
        let mut good = self.clone();
        good.usual.error = good.usual.base_error;
        good.usual.latency = good.usual.base_latency;
        good.usual.pods = Pods::Ready;
        for phase in &mut good.phases {
            phase.error_rate = phase.base_error_rate;
            phase.latency = phase.base_latency;
            phase.pods = None;
        }
        good
    }
}

impl Phase {
    /// What changes at its beginning, for people; what is pushed or asked is not among it.
    pub(super) fn said(&self) -> Vec<String> {
        let until = self.to.map_or_else(String::new, |to| format!(" until {}", length(to.0)));
        let time = |time: Time| format!("{} ms", millis(time));
        let said = [
            self.rps.map(|rps| format!("{rps} requests in a second")),
            self.error_rate.map(|share| format!("{share} of the new version's requests fail")),
            self.base_error_rate.map(|share| format!("{share} of the old version's requests fail")),
            self.latency.map(|latency| format!("the new version takes {}", time(latency))),
            self.base_latency.map(|latency| format!("the old version takes {}", time(latency))),
            self.matching.map(|share| format!("{share} of the requests match")),
            self.hooks_say.map(|say| format!("hooks say {say}")),
            self.pods.map(|pods| format!("pods of the new version {}", pods.as_str())),
        ];
        said.into_iter().flatten().map(|text| text + &until).collect()
    }

    fn covers(&self, time: Duration) -> bool {
        time >= self.at.0 && self.to.is_none_or(|to| time < to.0)
    }

    fn check(&self) -> Result<(), String> {
        let at = length(self.at.0);
        if self.to.is_some_and(|to| to <= self.at) {
            return Err(format!("phase at {at}: \"to\" must be later than \"at\""));
        }
        if let Some(rps) = self.rps {
            positive("rps", rps).map_err(|why| format!("phase at {at}: {why}"))?;
        }
        Ok(())
    }
}

impl Series {
    /// The value at a time; nothing for no data.
    pub fn at(&self, time: Duration) -> Option<f64> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Steps(steps) => {
                steps.iter().filter(|step| step.at.0 <= time).max_by_key(|step| step.at)?.value
            }
        }
    }
}

fn millis(time: Time) -> f64 {
    time.0.as_secs_f64() * 1000.0
}

/// Requests in a second, as far as they can be counted.
fn positive(name: &str, value: f64) -> Result<f64, String> {
    if (0.0..=MOST).contains(&value) {
        return Ok(value);
    }
    Err(format!("{name}: {value} is not between 0 and {MOST} requests in a second"))
}

const MOST: f64 = 1e6;
/// Long enough for an analysis in small steps, and for a gate that somebody opens in the afternoon.
const LIMIT: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(number: u64) -> Duration {
        Duration::from_secs(60 * number)
    }

    #[test]
    fn a_phase_counts_from_its_beginning_to_its_end() {
        let yaml = "
            errorRate: 1%
            latency: 300ms
            phases:
              - {at: 2m, to: 5m, errorRate: 0.04, metricsDown: true}
              - {at: 3m, rps: 7, hooksSay: no, pods: crash}
        ";
        let scenario = Settings::parse(yaml).and_then(|read| read.scenario()).expect("a good file");
        let error = |minute: u64| scenario.at(minutes(minute)).error;
        assert_eq!([0.01, 0.04, 0.04, 0.01], [error(1), error(2), error(4), error(5)]);
        assert_eq!(300.0, scenario.at(minutes(9)).latency);
        let down = |minute: u64| scenario.metrics_are_down(minutes(minute));
        assert_eq!([false, true, true, false], [down(1), down(2), down(4), down(5)]);
        let late = scenario.at(minutes(60));
        assert_eq!((7.0, Say::No, Pods::Crash), (late.rps, late.hooks, late.pods));
        assert_eq!(vec![minutes(2), minutes(3), minutes(5)], scenario.changes());
    }

    #[test]
    fn a_new_version_is_as_the_old_one_unless_something_else_is_said() {
        let settings = Settings { base_error_rate: Some(Share(0.01)), ..Settings::default() };
        let scenario = settings.scenario().expect("in range");
        assert_eq!((0.01, false), (scenario.usual.error, scenario.is_worse()));
        let bad = Settings { error_rate: Some(Share(0.02)), ..settings }.scenario().expect("in range");
        assert!(bad.is_worse());
        assert!(!bad.with_a_good_version().is_worse());
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_place() {
        let error = |yaml: &str| Settings::parse(yaml).and_then(|read| read.scenario()).expect_err("broken");
        assert!(error("errorRat: 2%").contains("errorRat"), "{}", error("errorRat: 2%"));
        assert!(error("errorRate: 2").contains("write 2% or 0.02"), "{}", error("errorRate: 2"));
        assert!(error("rps: -1").contains("rps: -1 is not between"), "{}", error("rps: -1"));
        let backwards = error("phases: [{at: 5m, to: 3m}]");
        assert!(backwards.contains("phase at 5 min: \"to\" must be later"), "{backwards}");
    }

    #[test]
    fn a_series_holds_each_value_until_the_next() {
        let yaml =
            "metrics: {queue: [{at: 0s, value: 1}, {at: 5m, value: 9}, {at: 6m, value: null}], errors: 0.3}";
        let metrics = Settings::parse(yaml).expect("a good file").metrics;
        let queue = |minute| metrics["queue"].at(minutes(minute));
        assert_eq!([Some(1.0), Some(9.0), None], [queue(4), queue(5), queue(7)]);
        assert_eq!(Some(0.3), metrics["errors"].at(minutes(99)));
    }
}
