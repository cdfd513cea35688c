//! HorizontalPodAutoscaler: keeps its target within bounds, and scales it by a load that is set from outside.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::{int, list, text};
use super::index::{LabelIndex, labels_of};
use super::jobs::{Context, Job};
use crate::store::{Change, Key, ObjectId};

/// A change by less than a tenth is not made.
const TOLERANCE: f64 = 0.1;

/// What all pods of a target together use, in per cent of what one pod requests.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load(f64);

/// The controller of HorizontalPodAutoscalers.
#[derive(Default)]
pub struct Autoscalers {
    load: BTreeMap<Key, Load>,
    /// Autoscalers by kind and name of their targets.
    scaled: LabelIndex,
}

impl Autoscalers {
    /// Looks again at an autoscaler that has changed.
    pub fn note(&mut self, cx: &mut Context<'_>, change: &Change) {
        let (before, after) = labels_of(change, |hpa| target_label(hpa.value()));
        self.scaled.replace(&change.id.key, &before, &after);
        cx.jobs.add(Job::Autoscaler(change.id.key.clone()));
    }

    /// Looks again at the autoscalers of a workload that has changed.
    pub fn note_target(&self, cx: &mut Context<'_>, key: &Key, kind: &str) {
        let concerned: Vec<Key> = self.scaled.with(&key.namespace, kind, &key.name).cloned().collect();
        for key in concerned {
            cx.jobs.add(Job::Autoscaler(key));
        }
    }

    /// Sets the load so that the current pods are used to `percent`.
    pub fn set_utilization(&mut self, cx: &mut Context<'_>, key: Key, percent: f64) {
        let replicas = cx.api.get(cx.slots.autoscalers, &key).map_or(1, |hpa| {
            let target = scale_target(cx, hpa.value(), &key.namespace);
            target.and_then(|id| cx.api.object(&id)).map_or(1, |o| int(&o.value()["spec"]["replicas"]))
        });
        #[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
        self.load.insert(key.clone(), Load(percent * replicas.max(1) as f64));
        cx.jobs.add(Job::Autoscaler(key));
    }

    /// Scales the target of an autoscaler, and writes the autoscaler's status.
    pub fn sync(&self, cx: &mut Context<'_>, key: &Key) {
        let slots = cx.slots;
        let id = ObjectId { bucket: slots.autoscalers, key: key.clone() };
        let Some(hpa) = cx.api.object(&id).filter(|o| !o.is_terminating()).cloned() else { return };
        let spec = &hpa.value()["spec"];
        let now = cx.api.stamp();
        let mut status = hpa.value()["status"].clone();
        let say = |status: &mut Value, kind: &str, holds: bool, reason: &str, message: &str| {
            set_condition(status, kind, holds, reason, message, &now);
        };
        let Some(target) = scale_target(cx, hpa.value(), &key.namespace) else {
            let wanted = format!(
                "{} {:?}",
                text(&spec["scaleTargetRef"]["kind"]),
                text(&spec["scaleTargetRef"]["name"])
            );
            let why = format!(
                "the HPA controller was unable to get the target's current scale: {wanted} not found"
            );
            say(&mut status, "AbleToScale", false, "FailedGetScale", &why);
            return cx.api.update_status(&id, status);
        };
        let Some(object) = cx.api.object(&target).cloned() else { return };
        let current = int(&object.value()["spec"]["replicas"]);
        let (minimum, maximum) = (spec["minReplicas"].as_i64().unwrap_or(1), int(&spec["maxReplicas"]));
        say(
            &mut status,
            "AbleToScale",
            true,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        );
        let usage = self.load.get(key).filter(|_| current > 0).map(|load| load.0);
        let wanted = match current {
            0 => {
                say(
                    &mut status,
                    "ScalingActive",
                    false,
                    "ScalingDisabled",
                    "scaling is disabled since the replica count of the target is zero",
                );
                0
            }
            _ => {
                let (by_load, active) = match (usage, goal(spec)) {
                    (Some(usage), Some(goal)) => (wanted_by(usage, goal, current), true),
                    _ => (current, false),
                };
                match active {
                    true => say(
                        &mut status,
                        "ScalingActive",
                        true,
                        "ValidMetricFound",
                        "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)",
                    ),
                    false => say(
                        &mut status,
                        "ScalingActive",
                        false,
                        "FailedGetResourceMetric",
                        "the HPA was unable to compute the replica count: no utilization is known",
                    ),
                }
                let bounded = by_load.clamp(minimum, maximum.max(minimum));
                match by_load.cmp(&bounded) {
                    std::cmp::Ordering::Less => say(
                        &mut status,
                        "ScalingLimited",
                        true,
                        "TooFewReplicas",
                        "the desired replica count is less than the minimum replica count",
                    ),
                    std::cmp::Ordering::Greater => say(
                        &mut status,
                        "ScalingLimited",
                        true,
                        "TooManyReplicas",
                        "the desired replica count is more than the maximum replica count",
                    ),
                    std::cmp::Ordering::Equal => say(
                        &mut status,
                        "ScalingLimited",
                        false,
                        "DesiredWithinRange",
                        "the desired count is within the acceptable range",
                    ),
                }
                bounded
            }
        };
        status["currentReplicas"] = json!(int(&object.value()["status"]["replicas"]));
        status["desiredReplicas"] = json!(wanted);
        status["currentMetrics"] = current_metrics(usage, current);
        status["observedGeneration"] = hpa.value()["metadata"]["generation"].clone();
        if status["observedGeneration"].is_null() {
            drop(status.as_object_mut().and_then(|s| s.remove("observedGeneration")));
        }
        if wanted != current {
            status["lastScaleTime"] = json!(now);
            let mut value = object.value().clone();
            value["spec"]["replicas"] = json!(wanted);
            cx.api.update_scale(&target, value);
        }
        cx.api.update_status(&id, status);
    }
}

/// The object that an autoscaler scales, if there is one.
fn scale_target(cx: &Context<'_>, hpa: &Value, namespace: &str) -> Option<ObjectId> {
    let reference = &hpa["spec"]["scaleTargetRef"];
    let bucket = cx.api.scalable(text(&reference["apiVersion"]), text(&reference["kind"]))?;
    let id = ObjectId { bucket, key: Key::new(namespace, text(&reference["name"])) };
    cx.api.object(&id).is_some().then_some(id)
}

/// The label by which an autoscaler is found: kind and name of its target.
fn target_label(hpa: &Value) -> BTreeMap<String, String> {
    let target = &hpa["spec"]["scaleTargetRef"];
    BTreeMap::from([(text(&target["kind"]).to_owned(), text(&target["name"]).to_owned())])
}

/// The utilization that the first resource metric asks for.
fn goal(spec: &Value) -> Option<f64> {
    list(&spec["metrics"]).iter().find_map(|m| m["resource"]["target"]["averageUtilization"].as_f64())
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers of pods are small")]
fn wanted_by(usage: f64, goal: f64, current: i64) -> i64 {
    let ratio = usage / current as f64 / goal.max(1.0);
    if (ratio - 1.0).abs() <= TOLERANCE { current } else { (ratio * current as f64).ceil() as i64 }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers of pods are small")]
fn current_metrics(usage: Option<f64>, current: i64) -> Value {
    match usage {
        Some(usage) => {
            let average = (usage / current.max(1) as f64).round() as i64;
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": average, "averageValue": format!("{average}m")}}}])
        }
        None => Value::Null,
    }
}

fn set_condition(status: &mut Value, kind: &str, holds: bool, reason: &str, message: &str, now: &str) {
    let holds = if holds { "True" } else { "False" };
    let mut conditions = list(&status["conditions"]).to_vec();
    let mut condition = json!({"type": kind, "status": holds, "reason": reason, "message": message, "lastTransitionTime": now});
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(found) => {
            if found["status"] == condition["status"] {
                condition["lastTransitionTime"] = found["lastTransitionTime"].clone();
            }
            *found = condition;
        }
        None => conditions.push(condition),
    }
    status["conditions"] = Value::Array(conditions);
}
