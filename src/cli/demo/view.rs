//! What is known of the release, from what happens in the cluster: each object that is written, each event, each
//! measurement, in their order and with the cluster's time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::api::duration;
use crate::controller::clock::Clock;
use crate::sim::{Sample, World, weights_of};

use super::shop::{APP, NAMESPACE};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub at: DateTime<Utc>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Canary(Value),
    Workload { side: Side, image: String, ready: i64, wanted: i64 },
    Weights(i64, i64),
    Event { warning: bool, message: String },
    Sample(Sample),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Primary,
    Canary,
}

/// Everything that happens to the shop's frontend from now on.
pub(super) fn watch(world: &World) -> Receiver<Seen> {
    let (sender, receiver) = channel();
    let clock = world.clock();
    let samples = sender.clone();
    world.backend.observe(move |sample| tell(&samples, clock, What::Sample(sample.clone())));
    world.kube.observe(move |change| {
        if let Some(what) = read(change.object.value()) {
            tell(&sender, clock, what);
        }
    });
    receiver
}

fn tell(to: &Sender<Seen>, clock: Clock, what: What) {
    // Nobody listens any more: the demo is over.
    let _ = to.send(Seen { at: clock.now(), what });
}

fn read(object: &Value) -> Option<What> {
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
        "VirtualService" if name == APP => {
            let (primary, canary) = weights_of(object)?;
            Some(What::Weights(primary, canary))
        }
        "Event"
            if object["involvedObject"]["kind"] == "Canary" && object["involvedObject"]["name"] == APP =>
        {
            Some(What::Event { warning: object["type"] == "Warning", message: text(&object["message"]) })
        }
        _ => None,
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
    /// Since the last [`View::turn_page`].
    pub events: Vec<Event>,
    pub tally: Tally,
    last_check: Option<String>,
    /// Steps so far.
    pub steps: usize,
}

/// One of the two workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    pub image: String,
    pub ready: i64,
    pub wanted: i64,
}

impl Pods {
    /// The tag of the image.
    pub(super) fn version(&self) -> &str {
        self.image.rsplit_once(':').map_or(self.image.as_str(), |(_, tag)| tag)
    }
}

/// A metric of the analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Check {
    pub name: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub measured: Option<Measured>,
}

/// What was measured last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    /// Percent or milliseconds; nothing if there is no traffic to measure.
    pub value: Option<f64>,
    pub passed: bool,
}

impl Check {
    fn judge(&self, value: Option<f64>) -> Measured {
        let passed = value.is_some_and(|value| {
            self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
        });
        Measured { value, passed }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub at: DateTime<Utc>,
    pub warning: bool,
    pub message: String,
}

/// Counted since the last [`View::turn_page`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub began: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    pub passed: u32,
    pub failed: u32,
    /// The canary's largest share.
    pub highest: i64,
}

/// What is new, for those who print line by line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    Phase(String),
    Image(String),
    Ready { side: Side, pods: i64 },
    Weights { primary: i64, canary: i64 },
    Check(Check),
    Event { warning: bool, message: String },
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
                self.events.push(Event { at, warning, message: message.clone() });
                Some(News::Event { warning, message })
            }
            What::Sample(sample) => self.sample(&sample),
        }
    }

    /// A new release begins: what was counted and said before belongs to the last one.
    pub(super) fn turn_page(&mut self) {
        self.events.clear();
        self.tally = Tally::default();
        self.forget_measurements();
    }

    /// Whether a release is under way.
    pub(super) fn is_running(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "Progressing" | "Waiting" | "WaitingPromotion" | "Promoting" | "Finalising"
        )
    }

    fn canary(&mut self, at: DateTime<Utc>, canary: &Value) -> Option<News> {
        let analysis = &canary["spec"]["analysis"];
        self.threshold = analysis["threshold"].as_i64().unwrap_or(0);
        self.read_checks(analysis);
        let status = &canary["status"];
        self.failed_checks = status["failedChecks"].as_i64().unwrap_or(0);
        let before = self.is_running();
        let phase = status["phase"].as_str().unwrap_or_default().to_owned();
        let news = (!phase.is_empty() && phase != self.phase).then(|| News::Phase(phase.clone()));
        self.phase = phase;
        match (before, self.is_running()) {
            (false, true) => {
                self.forget_measurements();
                self.tally = Tally { began: Some(at), ..Tally::default() };
            }
            (true, false) => self.tally.ended = Some(at),
            _ => {}
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
            let measured =
                self.checks.iter().find(|check| check.name == name).and_then(|check| check.measured);
            let range = &metric["thresholdRange"];
            Check { name, min: range["min"].as_f64(), max: range["max"].as_f64(), measured }
        });
        self.checks = checks.collect();
    }

    fn workload(&mut self, side: Side, pods: Pods) -> Option<News> {
        let known = match side {
            Side::Primary => &mut self.primary,
            Side::Canary => &mut self.canary,
        };
        let before = std::mem::replace(known, pods);
        let Pods { image, ready, wanted } = known;
        if side == Side::Canary && before.image != *image {
            return Some(News::Image(image.clone()));
        }
        (before.ready != *ready && ready == wanted).then_some(News::Ready { side, pods: *ready })
    }

    fn sample(&mut self, sample: &Sample) -> Option<News> {
        if (sample.namespace.as_str(), sample.target.as_str()) != (NAMESPACE, APP) {
            return None;
        }
        let check = self.checks.iter_mut().find(|check| check.name == sample.metric)?;
        let measured = check.judge(sample.value);
        check.measured = Some(measured);
        let counter = if measured.passed { &mut self.tally.passed } else { &mut self.tally.failed };
        *counter += 1;
        Some(News::Check(check.clone()))
    }

    fn forget_measurements(&mut self) {
        for check in &mut self.checks {
            check.measured = None;
        }
    }
}
