//! Between the version in which an object is stored and the version in which it is asked for.

use serde_json::{Map, Value, json};

use super::kinds::ResourceKind;

/// How the objects of a served version differ from the stored ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// They do not differ.
    None,
    /// They differ only in `apiVersion`, which is this in stored objects.
    ApiVersion { served: String, stored: String },
    /// `events.k8s.io/v1` out of core events.
    Event,
    /// `autoscaling/v1` out of `autoscaling/v2`.
    Autoscaler,
}

impl Conversion {
    /// How the objects of a built-in kind differ from the stored ones.
    pub fn builtin(kind: &ResourceKind) -> Self {
        match (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()) {
            ("events.k8s.io", _, "Event") => Self::Event,
            ("autoscaling", "v1", "HorizontalPodAutoscaler") => Self::Autoscaler,
            _ => Self::None,
        }
    }

    /// Of a custom resource, whose versions have one schema or leave the difference to the client.
    pub fn between_versions(served: &str, stored: &str) -> Self {
        if served == stored {
            Self::None
        } else {
            Self::ApiVersion { served: served.into(), stored: stored.into() }
        }
    }

    /// A stored object as it is served.
    pub fn serve(&self, mut object: Value) -> Value {
        match self {
            Self::None => {}
            Self::ApiVersion { served, .. } => object["apiVersion"] = json!(served),
            Self::Event => {
                rename(&mut object, "events.k8s.io/v1", CORE_EVENT_TO_NEW);
                for field in ["reportingController", "reportingInstance"] {
                    if object[field] == "" {
                        take(&mut object, field);
                    }
                }
            }
            Self::Autoscaler => autoscaler_to_v1(&mut object),
        }
        object
    }

    /// A served object as it is stored.
    pub fn store(&self, mut object: Value) -> Value {
        match self {
            Self::None => {}
            Self::ApiVersion { stored, .. } => object["apiVersion"] = json!(stored),
            Self::Event => rename_back(&mut object, "v1", CORE_EVENT_TO_NEW),
            Self::Autoscaler => autoscaler_to_v2(&mut object),
        }
        object
    }
}

/// The same fields under two names.
const CORE_EVENT_TO_NEW: &[(&str, &str)] = &[
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(object: &mut Value, api_version: &str, names: &[(&str, &str)]) {
    object["apiVersion"] = json!(api_version);
    let Some(fields) = object.as_object_mut() else { return };
    for (old, new) in names {
        if let Some(value) = fields.remove(*old) {
            fields.insert((*new).into(), value);
        }
    }
}

fn rename_back(object: &mut Value, api_version: &str, names: &[(&str, &str)]) {
    let back: Vec<(&str, &str)> = names.iter().map(|(old, new)| (*new, *old)).collect();
    rename(object, api_version, &back);
}

/// Where `autoscaling/v1` keeps what it has no field for.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn autoscaler_to_v1(object: &mut Value) {
    object["apiVersion"] = json!("autoscaling/v1");
    let metrics = take(&mut object["spec"], "metrics");
    let (cpu, others): (Vec<Value>, Vec<Value>) = metrics
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .partition(|m| cpu_utilization(m).is_some());
    if let Some(target) = cpu.first().and_then(cpu_utilization) {
        object["spec"]["targetCPUUtilizationPercentage"] = json!(target);
    }
    if !others.is_empty() {
        object["metadata"]["annotations"][METRICS_ANNOTATION] = json!(Value::Array(others).to_string());
    }
    let behavior = take(&mut object["spec"], "behavior");
    if !behavior.is_null() {
        object["metadata"]["annotations"][BEHAVIOR_ANNOTATION] = json!(behavior.to_string());
    }
    if let Some(status) = object.get_mut("status") {
        let current = take(status, "currentMetrics");
        let value = current
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|m| m["resource"]["current"]["averageUtilization"].as_i64());
        if let Some(value) = value {
            status["currentCPUUtilizationPercentage"] = json!(value);
        }
        take(status, "conditions");
    }
}

fn autoscaler_to_v2(object: &mut Value) {
    object["apiVersion"] = json!("autoscaling/v2");
    let mut metrics = Vec::new();
    if let Some(target) = take(&mut object["spec"], "targetCPUUtilizationPercentage").as_i64() {
        metrics.push(json!({
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}},
        }));
    }
    if let Some(Value::Array(others)) = take_json(&mut object["metadata"], METRICS_ANNOTATION) {
        metrics.extend(others);
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = Value::Array(metrics);
    }
    if let Some(behavior) = take_json(&mut object["metadata"], BEHAVIOR_ANNOTATION) {
        object["spec"]["behavior"] = behavior;
    }
}

fn cpu_utilization(metric: &Value) -> Option<i64> {
    let resource = &metric["resource"];
    (resource["name"] == "cpu").then(|| resource["target"]["averageUtilization"].as_i64()).flatten()
}

fn take(object: &mut Value, field: &str) -> Value {
    object.as_object_mut().and_then(|fields| fields.remove(field)).unwrap_or_default()
}

fn take_json(metadata: &mut Value, annotation: &str) -> Option<Value> {
    let annotations: &mut Map<_, _> = metadata.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(annotation)?;
    serde_json::from_str(text.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_event_and_a_new_event_are_one_object() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "message": "hello", "involvedObject": {"name": "a"}, "count": 2});
        let new = Conversion::Event.serve(core.clone());
        assert_eq!(
            ("events.k8s.io/v1", "hello", 2),
            (
                new["apiVersion"].as_str().unwrap(),
                new["note"].as_str().unwrap(),
                new["deprecatedCount"].as_i64().unwrap() as i32
            )
        );
        assert_eq!(core, Conversion::Event.store(new));
    }

    #[test]
    fn an_old_autoscaler_keeps_all_metrics_through_a_round_trip() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2",
            "metadata": {"annotations": {}},
            "spec": {"maxReplicas": 4, "behavior": {"scaleDown": {}}, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}},
            ]},
        });
        let v1 = Conversion::Autoscaler.serve(v2.clone());
        assert_eq!(80, v1["spec"]["targetCPUUtilizationPercentage"]);
        assert_eq!(v2, Conversion::Autoscaler.store(v1));
    }
}
