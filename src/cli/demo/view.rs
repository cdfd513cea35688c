//! What is known of the release, from what happens in the cluster: each object that is written, each event, each
//! measurement, in their order and with the cluster's time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::api::duration;
use crate::cli::picture::lines::News;
use crate::cli::picture::told::Event;
use crate::cli::picture::{Check, Measured, Pods, Verdict, history};
use crate::controller::clock::Clock;
use crate::model::release::Release;
use crate::sim::{Routes, Sample, World};
use kubesim::ChangeKind;

use super::shop::{APP, NAMESPACE};

/// The kind of a Knative Service.
const KNATIVE_SERVICE: &str = "serving.knative.dev/v1/Service";

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub at: DateTime<Utc>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Canary(Value),
    Workload {
        side: Side,
        image: String,
        ready: i64,
        wanted: i64,
    },
    Weights(i64, i64),
    Event {
        warning: bool,
        message: String,
    },
    Sample(Sample),
    /// The Canary was deleted, and all that it made with it.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Primary,
    Canary,
}

impl Seen {
    /// The traffic is shared so.
    pub(super) fn weights(at: DateTime<Utc>, (primary, canary): (i64, i64)) -> Self {
        Self { at, what: What::Weights(primary, canary) }
    }
}

/// The shop's frontend as it is, and everything that happens to it from now on.
pub(super) fn watch(world: &World) -> (View, Receiver<Seen>) {
    let (sender, receiver) = channel();
    let clock = world.clock();
    let mut view = View::default();
    let routes = world.routes();
    let release = routes.releases().into_iter().find(|release| release.name == APP);
    for (kind, name) in [("canaries.flagger.app", APP), ("deployments.apps", APP), (KNATIVE_SERVICE, APP)] {
        let object = world.kube.get(kind, NAMESPACE, name).unwrap_or_default();
        if let Some(what) = read(&object, &routes, release.as_ref()) {
            view.take(Seen { at: clock.now(), what });
        }
    }
    let samples = sender.clone();
    world.backend.observe(move |sample| tell(&samples, clock, What::Sample(sample.clone())));
    world.kube.observe(move |change| {
        let what = match (read(change.object.value(), &routes, release.as_ref()), change.kind) {
            (Some(What::Canary(_)), ChangeKind::Deleted) => Some(What::Gone),
            (_, ChangeKind::Deleted) => None,
            (what, _) => what,
        };
        if let Some(what) = what {
            tell(&sender, clock, what);
        }
    });
    (view, receiver)
}

fn tell(to: &Sender<Seen>, clock: Clock, what: What) {
    // Nobody listens any more: the demo is over.
    let _ = to.send(Seen { at: clock.now(), what });
}

fn read(object: &Value, routes: &Routes, release: Option<&Release>) -> Option<What> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = object["metadata"]["name"].as_str()?;
    if object["metadata"]["namespace"] != NAMESPACE {
        return None;
    }
    match object["kind"].as_str()? {
        "Canary" if name == APP => Some(What::Canary(object.clone())),
        "Deployment" => {
            let side = match name.strip_prefix(APP)? {
                "" => Side::Canary,
                "-primary" => Side::Primary,
                _ => return None,
            };
            Some(What::Workload {
                side,
                image: text(&object["spec"]["template"]["spec"]["containers"][0]["image"]),
                ready: object["status"]["readyReplicas"].as_i64().unwrap_or(0),
                wanted: object["spec"]["replicas"].as_i64().unwrap_or(0),
            })
        }
        "Event"
            if object["involvedObject"]["kind"] == "Canary" && object["involvedObject"]["name"] == APP =>
        {
            Some(What::Event { warning: object["type"] == "Warning", message: text(&object["message"]) })
        }
        "Service" if name == APP && object["spec"]["template"].is_object() => {
            let conditions = object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let is_ready = conditions.any(|one| one["type"] == "Ready" && one["status"] == "True");
            Some(What::Workload {
                side: Side::Canary,
                image: text(&object["spec"]["template"]["spec"]["containers"][0]["image"]),
                ready: is_ready.into(),
                wanted: 1,
            })
        }
        _ => {
            let split = routes.in_object(release?, object)?.split;
            Some(What::Weights(i64::from(split.primary()), i64::from(split.canary())))
        }
    }
}

/// The release as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    pub phase: String,
    pub primary: Pods,
    pub canary: Pods,
    /// Shares of the traffic, once there is a route.
    pub weights: Option<(i64, i64)>,
    pub checks: Vec<Check>,
    pub failed_checks: i64,
    pub threshold: i64,
    /// When the next step is due, while a release is under way.
    pub next_check: Option<DateTime<Utc>>,
    /// Since this release began.
    pub events: Vec<Event>,
    pub tally: Tally,
    /// Steps so far.
    pub steps: usize,
    last_check: Option<String>,
    /// What the primary ran when the last release began.
    from: Option<String>,
}

/// Counted since this release began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub began: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    pub passed: u32,
    pub failed: u32,
    /// The canary's largest share.
    pub highest: i64,
}

impl View {
    /// Takes note of something; what is new in it.
    pub(super) fn take(&mut self, seen: Seen) -> Option<News> {
        let at = seen.at;
        match seen.what {
            What::Canary(canary) => self.canary(at, &canary),
            What::Workload { side, image, ready, wanted } => {
                self.workload(side, Pods { image, ready, wanted })
            }
            What::Weights(primary, canary) => {
                self.tally.highest = self.tally.highest.max(canary);
                let weights = Some((primary, canary));
                (std::mem::replace(&mut self.weights, weights) != weights)
                    .then_some(News::Weights { primary, canary })
            }
            What::Event { warning, message } => {
                self.tell(at, warning, &message);
                Some(News::Event { warning, message })
            }
            What::Sample(sample) => self.sample(&sample),
            What::Gone => {
                let canary = std::mem::take(&mut self.canary);
                *self = Self { canary, ..Self::default() };
                Some(News::Gone)
            }
        }
    }

    /// A new release begins: what was counted and said before belongs to the last one.
    pub(super) fn turn_page(&mut self) {
        self.events.clear();
        self.tally = Tally::default();
        self.failed_checks = 0;
        self.forget_measurements();
    }

    /// The version, and from which one it comes.
    pub(super) fn versions(&self) -> String {
        match (&self.from, self.canary.version()) {
            (Some(from), to) if from != to => format!("{from} → {to}"),
            (_, version) => version.to_owned(),
        }
    }

    /// Whether a release is under way.
    pub(super) fn is_running(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "Progressing" | "Waiting" | "WaitingPromotion" | "Promoting" | "Finalising"
        )
    }

    fn tell(&mut self, at: DateTime<Utc>, warning: bool, message: &str) {
        match self.events.last_mut() {
            Some(last) if last.message == message => last.times += 1,
            _ => self.events.push(Event { at, warning, message: message.to_owned(), times: 1 }),
        }
    }

    fn canary(&mut self, at: DateTime<Utc>, canary: &Value) -> Option<News> {
        let analysis = &canary["spec"]["analysis"];
        self.threshold = analysis["threshold"].as_i64().unwrap_or(0);
        self.read_checks(analysis);
        let status = &canary["status"];
        let before = self.is_running();
        let phase = status["phase"].as_str().unwrap_or_default().to_owned();
        let news = (!phase.is_empty() && phase != self.phase).then(|| News::Phase(phase.clone()));
        self.phase = phase;
        match (before, self.is_running()) {
            (false, true) => {
                self.turn_page();
                self.tally.began = Some(at);
                self.from = Some(self.primary.version().to_owned());
            }
            (true, false) => self.tally.ended = Some(at),
            _ => {}
        }
        if self.is_running() {
            // At the end it is set back to zero: the last number tells more.
            self.failed_checks = status["failedChecks"].as_i64().unwrap_or(0);
        }
        let last_check = status["lastCheckTime"].as_str().map(str::to_owned);
        if last_check != self.last_check {
            self.steps += 1;
            self.last_check = last_check;
        }
        self.next_check = self.due(analysis["interval"].as_str());
        news
    }

    fn due(&self, interval: Option<&str>) -> Option<DateTime<Utc>> {
        let last: DateTime<Utc> = self.last_check.as_deref()?.parse().ok()?;
        let interval =
            interval.and_then(|text| duration::parse(text).ok()).unwrap_or(Duration::from_secs(60));
        self.is_running().then(|| last + interval)
    }

    fn read_checks(&mut self, analysis: &Value) {
        let metrics = analysis["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
        let checks = metrics.iter().map(|metric| {
            let name = metric["name"].as_str().unwrap_or_default().to_owned();
            let known = self.checks.iter().find(|check| check.name == name).cloned();
            let range = &metric["thresholdRange"];
            Check {
                name,
                min: range["min"].as_f64(),
                max: range["max"].as_f64(),
                ..known.unwrap_or_default()
            }
        });
        self.checks = checks.collect();
    }

    fn workload(&mut self, side: Side, pods: Pods) -> Option<News> {
        let running = self.is_running();
        let known = match side {
            Side::Primary => &mut self.primary,
            Side::Canary => &mut self.canary,
        };
        let before = std::mem::replace(known, pods);
        if side == Side::Primary {
            return None;
        }
        if before.image != known.image {
            return Some(News::Image(known.image.clone()));
        }
        let whole = known.ready == known.wanted && known.ready > 0;
        (running && whole && before.ready != known.ready).then_some(News::Ready(known.ready))
    }

    fn sample(&mut self, sample: &Sample) -> Option<News> {
        if (sample.namespace.as_str(), sample.target.as_str()) != (NAMESPACE, APP) {
            return None;
        }
        let check = self.checks.iter_mut().find(|check| check.name == sample.metric)?;
        let verdict = Verdict::of(check.allows(sample.value));
        check.measured = Some(Measured { value: sample.value, verdict });
        check.history = history(&check.history, sample.value);
        let counter =
            if verdict == Verdict::Passed { &mut self.tally.passed } else { &mut self.tally.failed };
        *counter += 1;
        Some(News::Check(check.clone()))
    }

    fn forget_measurements(&mut self) {
        for check in &mut self.checks {
            check.measured = None;
            check.history.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse::<DateTime<Utc>>().expect("a time") + chrono::TimeDelta::minutes(minute)
    }

    fn see(view: &mut View, minute: i64, what: What) -> Option<News> {
        view.take(Seen { at: at(minute), what })
    }

    fn canary(phase: &str, failed_checks: i64) -> What {
        What::Canary(json!({
            "spec": {"analysis": {
                "interval": "1m",
                "threshold": 5,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}},
                    {"name": "request-duration", "thresholdRange": {"max": 500}},
                ],
            }},
            "status": {"phase": phase, "failedChecks": failed_checks, "lastCheckTime": "2026-01-01T12:00:00Z"},
        }))
    }

    fn event(message: &str) -> What {
        What::Event { warning: false, message: message.to_owned() }
    }

    fn sample(metric: &'static str, value: Option<f64>) -> What {
        What::Sample(Sample { namespace: NAMESPACE.to_owned(), target: APP.to_owned(), metric, value })
    }

    #[rstest]
    #[case("request-success-rate", Some(99.0), true)]
    #[case("request-success-rate", Some(98.99), false)]
    #[case("request-duration", Some(500.0), true)]
    #[case("request-duration", Some(500.1), false)]
    #[case("request-duration", None, false)]
    fn a_check_is_judged_by_the_bounds_of_the_canary(
        #[case] metric: &'static str,
        #[case] value: Option<f64>,
        #[case] passed: bool,
    ) {
        let mut view = View::default();
        see(&mut view, 0, canary("Progressing", 0));
        let Some(News::Check(check)) = see(&mut view, 1, sample(metric, value)) else { panic!("no check") };
        let verdict = Verdict::of(passed);
        assert_eq!((metric, Some(Measured { value, verdict })), (check.name.as_str(), check.measured));
        assert_eq!((u32::from(passed), u32::from(!passed)), (view.tally.passed, view.tally.failed));
    }

    #[test]
    fn a_release_begins_with_a_clean_page() {
        let mut view = View::default();
        see(&mut view, 0, canary("Progressing", 0));
        see(&mut view, 1, sample("request-duration", Some(90.0)));
        see(&mut view, 1, event("Advance"));
        see(&mut view, 9, canary("Succeeded", 0));
        assert_eq!((Some(at(0)), Some(at(9))), (view.tally.began, view.tally.ended));
        see(&mut view, 20, canary("Progressing", 0));
        assert!(view.events.is_empty() && view.checks.iter().all(|check| check.measured.is_none()));
        assert_eq!(Tally { began: Some(at(20)), ..Tally::default() }, view.tally);
    }

    #[test]
    fn the_failed_checks_can_be_seen_after_the_end() {
        let mut view = View::default();
        see(&mut view, 0, canary("Progressing", 5));
        assert_eq!(Some(at(1)), view.next_check);
        assert_eq!(Some(News::Phase("Failed".to_owned())), see(&mut view, 1, canary("Failed", 0)));
        assert_eq!((5, None), (view.failed_checks, view.next_check));
    }

    #[test]
    fn what_is_said_twice_in_a_row_is_counted() {
        let mut view = View::default();
        for message in ["waiting", "waiting", "done", "waiting"] {
            see(&mut view, 0, event(message));
        }
        let told: Vec<_> = view.events.iter().map(|event| (event.message.as_str(), event.times)).collect();
        assert_eq!(vec![("waiting", 2), ("done", 1), ("waiting", 1)], told);
    }

    #[test]
    fn a_release_goes_from_one_version_to_another() {
        let workload =
            |side, tag: &str| What::Workload { side, image: format!("shop/x:{tag}"), ready: 1, wanted: 1 };
        let mut view = View::default();
        see(&mut view, 0, workload(Side::Primary, "1.0"));
        see(&mut view, 0, workload(Side::Canary, "1.0"));
        assert_eq!("1.0", view.versions());
        let news = see(&mut view, 1, workload(Side::Canary, "2.0"));
        assert_eq!(Some(News::Image("shop/x:2.0".to_owned())), news);
        see(&mut view, 1, canary("Progressing", 0));
        see(&mut view, 5, workload(Side::Primary, "2.0"));
        assert_eq!("1.0 → 2.0", view.versions());
    }

    #[test]
    fn a_canary_that_is_deleted_leaves_the_target() {
        let mut view = View::default();
        see(&mut view, 0, canary("Initialized", 0));
        see(&mut view, 0, What::Weights(100, 0));
        assert_eq!(Some(News::Gone), see(&mut view, 1, What::Gone));
        assert_eq!((String::new(), None), (view.phase, view.weights));
    }
}
