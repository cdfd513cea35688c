//! HorizontalPodAutoscalers (spec 02 §5.1). One whose workload has no replicas rests by itself.

use serde_json::{Map, Value, json};

use super::{Kindred, override_bounds};
use crate::model::object::Kind;
use crate::model::release::{Autoscaler, Release, Settings};
use crate::workload::primary::is_included;

pub(super) struct Hpa;

impl Kindred for Hpa {
    fn kind(&self) -> Kind {
        Kind::HPA
    }

    fn called(&self) -> &'static str {
        "HorizontalPodAutoscaler"
    }

    fn spec(&self, release: &Release, scaler: &Autoscaler, source: &Value) -> Value {
        let mut spec = source["spec"].clone();
        // An absent lower bound is 1, and the API server says so on the twin.
        let min = Some(spec["minReplicas"].clone()).filter(|min| !min.is_null()).unwrap_or(json!(1));
        json_patch::merge(
            &mut spec,
            &json!({"scaleTargetRef": {"name": release.primary_name()}, "minReplicas": min}),
        );
        override_bounds(&mut spec, scaler, "minReplicas", "maxReplicas");
        spec
    }

    /// By the rule for primaries: tools mark the HPAs that they own with annotations, and a twin is not theirs.
    fn annotations(&self, settings: &Settings, source: &Value) -> Map<String, Value> {
        let annotations = source["metadata"]["annotations"].as_object().into_iter().flatten();
        annotations
            .filter(|(key, _)| is_included(key, &settings.include_label_prefixes))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn lower_bound(&self) -> &'static str {
        "minReplicas"
    }

    fn pause_annotation(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}
