//! The network of a simulated release, in the place of real sockets: metrics servers that tell what was counted, hooks
//! that answer as the scenario says, receivers of alerts that take everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::chance::{mean, number, quantile};
use super::scenario::Scenario;
use super::traffic::{Counted, Traffic};
use super::values::Say;
use crate::api::duration;
use crate::api::hooks::HookType;
use crate::controller::clock::Clock;
use crate::http::{Cause, Request, Response, Transport};
use crate::metrics::{Template, variables};
use crate::model::release::{Hook, MetricCheck, MetricSource, Release, Settings};
use crate::router::checks::{Builtin, Checks, Unit};
use crate::router::registry;
use crate::sim::world::World;

/// Metadata of a hook that tells which of its Canary's hooks it is: two may have one address.
pub(super) const HOOK_MARK: &str = "vexil.simulate/hook";

/// The network. Clones are the same.
#[derive(Clone)]
pub(super) struct Network(Arc<Parts>);

struct Parts {
    world: World,
    clock: Clock,
    settings: Settings,
    scenario: Scenario,
    asked: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the new version was pushed.
    pushed: Option<DateTime<Utc>>,
    /// By the title of the Canary.
    traffic: BTreeMap<String, Traffic>,
}

/// A check that a query belongs to.
struct Asked {
    release: Release,
    check: MetricCheck,
    builtin: Option<(&'static Checks, Builtin)>,
}

impl Network {
    /// `asked` is set with every question for a check.
    pub fn new(world: World, settings: Settings, scenario: Scenario, asked: Arc<AtomicBool>) -> Self {
        let clock = world.clock();
        Self(Arc::new(Parts { world, clock, settings, scenario, asked, state: Mutex::default() }))
    }

    /// The new version is pushed now, and requests are counted from now on.
    pub fn push(&self, traffic: BTreeMap<String, Traffic>) {
        *self.state() = State { pushed: Some(self.0.clock.now()), traffic };
    }

    /// The time since the push; nothing before it.
    pub fn since_push(&self) -> Option<Duration> {
        let pushed = self.state().pushed?;
        (self.0.clock.now() - pushed).to_std().ok()
    }

    /// Does something with the requests around a Canary.
    pub fn with<T>(&self, title: &str, act: impl FnOnce(&mut Traffic) -> T) -> Option<T> {
        self.state().traffic.get_mut(title).map(act)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metrics(&self, query: &str) -> Result<Response, Cause> {
        let now = self.since_push();
        if query != PROBE {
            self.0.asked.store(true, Ordering::Relaxed);
        }
        if now.is_some_and(|now| self.0.scenario.metrics_are_down(now)) {
            return Err(Cause::Connect("dial tcp: connect: connection refused".to_owned()));
        }
        let value = if query == PROBE { Some(1.0) } else { self.value(query, now.unwrap_or_default()) };
        Ok(vector(value))
    }

    /// What a query has as its answer; nothing for no data.
    fn value(&self, query: &str, now: Duration) -> Option<f64> {
        let asked = self.asked(query)?;
        let names = match &asked.check.source {
            MetricSource::Template { name, .. } => vec![asked.check.name.as_str(), name.as_str()],
            _ => vec![asked.check.name.as_str()],
        };
        let unit = match asked.builtin {
            Some((checks, Builtin::Duration)) if checks.unit == Unit::Seconds => 1000.0,
            _ => 1.0,
        };
        let metrics = &self.0.scenario.metrics;
        if let Some(series) = names.into_iter().find_map(|name| metrics.get(name)) {
            return series.at(now).map(|value| value / unit);
        }
        let window = duration::parse(&asked.check.interval).unwrap_or(MINUTE);
        let counted = self.with(&asked.release.title(), |traffic| traffic.window(now, window))?;
        match asked.builtin {
            Some((_, builtin)) => measured(builtin, query, &counted).map(|value| value / unit),
            None if asked.check.rules.counts_samples => Some(number(counted.measured)),
            None => Some(passing(asked.check.min, asked.check.max)),
        }
    }

    /// The check that a query belongs to.
    fn asked(&self, query: &str) -> Option<Asked> {
        let world = &self.0.world;
        world.routes().releases().into_iter().find_map(|release| {
            let release = world.backend.routed(release);
            let checks = registry::checks(&release, &self.0.settings).ok();
            let builtin = |check: &MetricCheck| {
                [Builtin::SuccessRate, Builtin::Duration].into_iter().find_map(|builtin| {
                    let checks = checks?;
                    let text = checks.query(builtin, &release, &check.interval);
                    (same(&text, query)).then_some((checks, builtin))
                })
            };
            let custom =
                |check: &MetricCheck| self.text(&release, check).is_some_and(|text| same(&text, query));
            let of = |check: &&MetricCheck| match Builtin::of(&check.source) {
                Some(wanted) => builtin(check).is_some_and(|(_, found)| found == wanted),
                None => custom(check),
            };
            let check = release.analysis.metrics.iter().find(of)?.clone();
            Some(Asked { builtin: builtin(&check), release, check })
        })
    }

    /// The query of a check that is not built in.
    fn text(&self, release: &Release, check: &MetricCheck) -> Option<String> {
        let text = match &check.source {
            MetricSource::Inline(text) => text.clone(),
            MetricSource::Template { name, namespace } => {
                let template = self.0.world.kube.get("metrictemplates.flagger.app", namespace, name)?;
                template["spec"]["query"].as_str()?.to_owned()
            }
            MetricSource::SuccessRate | MetricSource::Duration | MetricSource::Unusable => return None,
        };
        Template::parse(&text).ok()?.render(&variables(release, check)).ok()
    }

    fn hook(&self, body: &Value) -> Response {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (text(&body["name"]), text(&body["namespace"]));
        let index: Option<usize> = body["metadata"][HOOK_MARK].as_str().and_then(|index| index.parse().ok());
        let releases = self.0.world.routes().releases();
        let release = releases.iter().find(|release| release.name == name && release.namespace == namespace);
        let hook = release.zip(index).and_then(|(release, index)| release.analysis.hooks.get(index));
        if hook.is_none_or(|hook| self.agrees(hook)) {
            return Response::new(200, r#"{"ok":true}"#);
        }
        Response::new(403, "Forbidden")
    }

    /// Whether a hook answers with success.
    fn agrees(&self, hook: &Hook) -> bool {
        let now = self.since_push().unwrap_or_default();
        let scenario = &self.0.scenario;
        let say = scenario.hooks.get(&hook.name).copied().unwrap_or_else(|| scenario.at(now).hooks);
        match hook.kind {
            HookType::Rollback => say == Say::Rollback,
            HookType::Event | HookType::PostRollout => true,
            HookType::ConfirmRollout | HookType::ConfirmPromotion | HookType::ConfirmTrafficIncrease => {
                match say {
                    Say::ApproveAfter(time) => now >= time,
                    say => say != Say::No,
                }
            }
            HookType::PreRollout | HookType::Rollout | HookType::Unset => say != Say::No,
        }
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move {
            if !request.url.contains("/api/v1/query") {
                return Ok(self.hook(&serde_json::from_slice(&request.body).unwrap_or_default()));
            }
            let own = request.query.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
            // A long query is posted.
            let posted = url::form_urlencoded::parse(&request.body);
            let query = own.chain(posted).find(|(key, _)| key == "query").map(|(_, query)| query);
            self.metrics(query.as_deref().unwrap_or_default())
        }
        .boxed()
    }
}

/// What a built-in check is told.
fn measured(builtin: Builtin, query: &str, counted: &Counted) -> Option<f64> {
    match builtin {
        Builtin::SuccessRate => (counted.measured > 0)
            .then(|| 100.0 * number(counted.measured - counted.measured_failed) / number(counted.measured)),
        // Some meshes have no more than a mean.
        Builtin::Duration if !query.contains("histogram_quantile") => mean(&counted.times),
        Builtin::Duration => quantile(&counted.times, 0.99),
    }
}

/// A value within the bounds.
fn passing(min: Option<f64>, max: Option<f64>) -> f64 {
    match (min, max) {
        (Some(min), Some(max)) => f64::midpoint(min, max),
        (Some(min), None) => min,
        (None, Some(max)) => max.min(0.0),
        (None, None) => 0.0,
    }
}

/// Whether two queries differ in white space alone: providers send them on one line.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

/// An answer of Prometheus with one sample, or none.
fn vector(value: Option<f64>) -> Response {
    let sample = |value: f64| json!({"metric": {}, "value": [1_767_258_000, value.to_string()]});
    let result: Vec<Value> = value.into_iter().map(sample).collect();
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Response::new(200, body.to_string())
}

/// What is asked to find out whether a server is there.
const PROBE: &str = "vector(1)";
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_passes_is_within_the_bounds() {
        for (min, max) in [(None, Some(5.0)), (None, Some(-5.0)), (Some(99.0), None), (Some(1.0), Some(3.0))]
        {
            let value = passing(min, max);
            assert!(min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max), "{value}");
        }
    }

    #[test]
    fn queries_are_the_same_on_one_line_and_on_many() {
        assert!(same("sum(\n  rate(x[1m])\n)", "sum( rate(x[1m]) )"));
        assert!(!same("sum(x)", "sum(y)"));
    }
}
