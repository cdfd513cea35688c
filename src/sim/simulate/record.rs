//! What is written down of a simulated release while it goes: events, weights and checks, in their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use kubesim::Change;
use serde_json::Value;
use tokio::sync::Notify;

use super::outcome::Check;
use crate::api::status::Measurement;
use crate::controller::clock::Clock;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// The scenario does something.
    Scenario(String),
    /// An event of the Canary.
    Event { warning: bool, message: String },
    /// The canary's share of the users' requests in percent, as the mesh has it.
    Weight(u32),
    /// What the checks of a step found.
    Checks(Vec<Check>),
}

/// What is known of one Canary.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub phase: String,
    pub entries: Vec<(DateTime<Utc>, What)>,
    /// The checks that were noted last, with the time of their step.
    last: Value,
}

impl Story {
    /// The largest share that the canary ever had, in percent.
    pub fn highest_weight(&self) -> u32 {
        let weight = |what: &What| if let What::Weight(weight) = what { *weight } else { 0 };
        self.entries.iter().map(|(_, what)| weight(what)).max().unwrap_or_default()
    }
}

/// The record. Clones are the same.
#[derive(Clone)]
pub(super) struct Record {
    clock: Clock,
    stories: Arc<Mutex<BTreeMap<String, Story>>>,
    /// Whether metrics were asked for since checks were noted last.
    pub asked: Arc<AtomicBool>,
    /// Rings when a Canary has changed.
    pub canary_changed: Arc<Notify>,
    /// Rings when something has changed that requests depend on.
    pub flow_changed: Arc<Notify>,
}

impl Record {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            stories: Arc::default(),
            asked: Arc::default(),
            canary_changed: Arc::default(),
            flow_changed: Arc::default(),
        }
    }

    /// Takes note of a change in the cluster.
    pub fn note(&self, change: &Change) {
        let object = change.object.value();
        match object["kind"].as_str().unwrap_or_default() {
            "Canary" => {
                let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
                self.canary(&title(name, namespace), &object["status"]);
                self.canary_changed.notify_one();
            }
            "Event" if object["involvedObject"]["kind"] == "Canary" => {
                let about = &object["involvedObject"];
                let message = object["message"].as_str().unwrap_or_default().to_owned();
                let event = What::Event { warning: object["type"] == "Warning", message };
                self.say(&title(&about["name"], &about["namespace"]), event);
            }
            // No request goes by these.
            "Event" | "Deployment" | "ReplicaSet" | "Pod" | "HorizontalPodAutoscaler" | "Lease" => {}
            _ => self.flow_changed.notify_one(),
        }
    }

    /// Adds an entry, of now.
    pub fn say(&self, title: &str, what: What) {
        let now = self.clock.now();
        self.lock().entry(title.to_owned()).or_default().entries.push((now, what));
    }

    pub fn phase(&self, title: &str) -> String {
        self.lock().get(title).map(|story| story.phase.clone()).unwrap_or_default()
    }

    pub fn story(&self, title: &str) -> Story {
        self.lock().get(title).cloned().unwrap_or_default()
    }

    fn canary(&self, title: &str, status: &Value) {
        let now = self.clock.now();
        let mut stories = self.lock();
        let story = stories.entry(title.to_owned()).or_default();
        status["phase"].as_str().unwrap_or_default().clone_into(&mut story.phase);
        let step = Value::Array(vec![status["lastCheckTime"].clone(), status["measurements"].clone()]);
        // A status keeps what was found last, also through steps that ask for nothing.
        if step == story.last || !self.asked.swap(false, Ordering::Relaxed) {
            return;
        }
        let found: Vec<Measurement> =
            serde_json::from_value(status["measurements"].clone()).unwrap_or_default();
        if !found.is_empty() {
            story.entries.push((now, What::Checks(found.into_iter().map(Check::from).collect())));
        }
        story.last = step;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Story>> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn title(name: &Value, namespace: &Value) -> String {
    format!("{}.{}", name.as_str().unwrap_or_default(), namespace.as_str().unwrap_or_default())
}
