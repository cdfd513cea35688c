//! HorizontalPodAutoscalers (spec 02 §5.1). One whose workload has no replicas rests by itself.

use serde_json::{Map, Value, json};

use super::{Kindred, override_bounds};
use crate::model::object::Kind;
use crate::model::release::{Autoscaler, Release, Settings};
use crate::workload::inherited::included;

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

    /// The annotations with an included prefix, as on the primary itself: tools mark the HPAs that they own with
    /// annotations, and a copy is not theirs.
    fn annotations(&self, settings: &Settings, source: &Value) -> Map<String, Value> {
        included(settings, &source["metadata"]["annotations"])
    }

    fn lower_bound(&self) -> &'static str {
        "minReplicas"
    }

    fn pause_annotation(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}
