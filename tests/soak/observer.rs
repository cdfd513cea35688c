//! Sees every committed write and every request, and keeps what is known of the history in one place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubesim::{Change, ChangeKind, Fate, RequestInfo};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::check::Checker;
use super::evidence::Millis;
use super::facts::Facts;
use super::history::{History, Version};
use super::weather::Weather;

/// What observers, network and stage share.
pub struct Shared {
    seen: Mutex<Seen>,
    /// The Canary has changed.
    pub changed: Notify,
    /// The controller has died.
    pub died: Notify,
}

/// What is known of a history so far.
pub struct Seen {
    began: Instant,
    pub facts: Facts,
    pub checker: Checker,
    pub weather: Weather,
    versions: Vec<Version>,
    /// The writes that are made now are those of people.
    pub people: bool,
    /// What happened, if it is to be told.
    story: Option<Vec<String>>,
    digest: u64,
    pub writes: u64,
    /// Releases that came to an end.
    pub releases: u64,
}

impl Shared {
    pub fn new(history: &History, told: bool) -> Arc<Self> {
        let mut versions = history.versions.clone();
        // The last two pushes.
        versions.extend([Version::Good, Version::Errors]);
        let seen = Seen {
            began: Instant::now(),
            facts: Facts::default(),
            checker: Checker::new(history.spec.clone()),
            weather: Weather::fair(history.seed),
            versions,
            people: false,
            story: told.then(Vec::new),
            digest: 0xcbf2_9ce4_8422_2325,
            writes: 0,
            releases: 0,
        };
        Arc::new(Self { seen: Mutex::new(seen), changed: Notify::new(), died: Notify::new() })
    }

    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a committed write in, and looks at the promises.
    pub fn note(&self, change: &Change) {
        let value = change.object.value();
        if value["metadata"]["namespace"] != "shop" {
            return;
        }
        let mut seen = self.lock();
        let now = seen.now();
        seen.mix(now, change);
        let kind = value["kind"].as_str().unwrap_or_default();
        if kind == "Pod" || kind == "ReplicaSet" || kind == "Event" {
            if kind == "Event" && seen.story.is_some() {
                let message = value["message"].as_str().unwrap_or_default().to_owned();
                seen.say(|| format!("  event: {message}"));
            }
            return;
        }
        let (people, before) = (seen.people, seen.facts.brief());
        let known = seen.checker.broken.len();
        seen.checker.tick(&before, now);
        seen.facts.note(change);
        let after = seen.facts.brief();
        seen.tell(kind, change);
        seen.checker.write(&before, &after, change, people, now);
        seen.shout(known);
        if kind == "Canary" {
            let ended = matches!(after.phase.as_str(), "Succeeded" | "Failed");
            if ended && before.phase != after.phase && !before.phase.is_empty() {
                seen.releases += 1;
            }
            drop(seen);
            self.changed.notify_one();
        }
    }

    /// Says what becomes of a request of the controller.
    pub fn fate(&self, request: &RequestInfo) -> Fate {
        if request.caller != "vexil" {
            return Fate::Pass;
        }
        let mut seen = self.lock();
        let now = seen.now();
        let (fate, dies) = seen.weather.fate(request);
        let known = seen.checker.broken.len();
        seen.checker.request(request, now);
        seen.shout(known);
        seen.writes += u64::from(request.is_write());
        if request.is_write() || fate != Fate::Pass {
            seen.say(|| match &fate {
                Fate::Pass => format!("  {request}"),
                other => format!("  {request}  -- {}", short(other)),
            });
        }
        if dies {
            seen.say(|| "the controller dies".to_owned());
            self.died.notify_one();
        }
        fate
    }
}

impl Seen {
    /// How long the world has lived.
    pub fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How a version behaves.
    pub fn version(&self, version: usize) -> Version {
        version.checked_sub(1).and_then(|index| self.versions.get(index).copied()).unwrap_or(Version::Good)
    }

    /// Writes a line into the story, if there is one.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3}  {}", now as f64 / 1000.0, line()));
        }
    }

    /// Writes into the story what broke beyond the first `known`.
    pub fn shout(&mut self, known: usize) {
        for (promise, how) in self.checker.broken.split_off(known.min(self.checker.broken.len())) {
            self.say(|| format!("BROKEN {promise}: {how}"));
            self.checker.broken.push((promise, how));
        }
    }

    /// What happened.
    pub fn story(&self) -> Vec<String> {
        self.story.clone().unwrap_or_default()
    }

    /// A fingerprint of all writes and their times.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn mix(&mut self, now: Millis, change: &Change) {
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        mix(&now.to_le_bytes());
        mix(&change.revision.to_le_bytes());
        mix(change.id.key.name.as_bytes());
        if change.object.value()["kind"] != "Pod" {
            mix(&change.object.json());
        }
    }

    fn tell(&mut self, kind: &str, change: &Change) {
        if self.story.is_none() {
            return;
        }
        let name = change.id.key.name.to_string();
        if change.kind == ChangeKind::Deleted {
            return self.say(|| format!("    {kind} {name} is gone"));
        }
        let (before, now) = (change.before.as_ref().map(|object| object.value()), change.object.value());
        let text = |value: &Value| match kind {
            "Canary" => {
                let status = &value["status"];
                let blockers = status["blockers"].as_array().cloned().unwrap_or_default();
                let blockers: Vec<String> =
                    blockers.iter().map(|one| format!("{}: {}", one["type"], one["message"])).collect();
                let stalled = status["conditions"].as_array().cloned().unwrap_or_default();
                let held: Vec<String> = stalled
                    .iter()
                    .filter(|one| !matches!(one["type"].as_str(), Some("Promoted" | "Ready" | "Reconciling")))
                    .map(|one| format!("{}={} {}", one["type"], one["status"], one["message"]))
                    .collect();
                format!(
                    "{} weight {} iterations {} failed {} {blockers:?} {held:?}",
                    status["phase"], status["canaryWeight"], status["iterations"], status["failedChecks"]
                )
            }
            "VirtualService" | "HTTPRoute" => String::new(),
            "Deployment" | "DaemonSet" => format!(
                "{} replicas {} ready {} of generation {}",
                value["spec"]["template"]["spec"]["containers"][0]["image"],
                value["spec"]["replicas"],
                value["status"]["readyReplicas"],
                value["metadata"]["generation"],
            ),
            "EndpointSlice" => {
                let all = value["endpoints"].as_array().cloned().unwrap_or_default();
                let ready = all.iter().filter(|one| one["conditions"]["ready"] == true).count();
                format!("{ready} of {} ready", all.len())
            }
            "Service" => format!("selects {}", value["spec"]["selector"]),
            _ => String::new(),
        };
        if matches!(kind, "VirtualService" | "HTTPRoute") {
            let routes = self.facts.routes.unwrap_or_default();
            return self.say(|| {
                format!(
                    "    {kind} {name}: canary {}%, picked {}, mirrored {}",
                    routes.share, routes.picked, routes.mirrored
                )
            });
        }
        let line = text(now);
        if before.map(text).as_ref() != Some(&line) {
            self.say(|| format!("    {kind} {name}: {line}"));
        }
    }
}

fn short(fate: &Fate) -> String {
    match fate {
        Fate::Fail(status) => format!("refused: {}", status.code),
        Fate::FailAfter(status) => format!("carried out, answered {}", status.code),
        other => format!("{other:?}"),
    }
}
