//! KEDA's ScaledObjects (spec 02 §5.2). They scale a workload without replicas up again, so the target's is
//! paused while the target is parked.

use serde_json::{Map, Value, json};

use super::{Kindred, override_bounds};
use crate::model::object::Kind;
use crate::model::release::{Autoscaler, Release, Settings};
use crate::workload::inherited::{is_copyable, is_flux};
use crate::workload::selectors::items;

pub(super) struct ScaledObject;

impl Kindred for ScaledObject {
    fn kind(&self) -> Kind {
        Kind::SCALED_OBJECT
    }

    fn called(&self) -> &'static str {
        "Keda ScaledObject"
    }

    fn spec(&self, release: &Release, scaler: &Autoscaler, source: &Value) -> Value {
        let mut spec = source["spec"].clone();
        json_patch::merge(
            &mut spec,
            &json!({
                "scaleTargetRef": {"name": release.primary_name()},
                "advanced": {"horizontalPodAutoscalerConfig": {}},
            }),
        );
        if let Some(name) = spec.pointer_mut("/advanced/horizontalPodAutoscalerConfig/name")
            && let Some(text) = name.as_str().filter(|text| !text.is_empty())
        {
            *name = json!(format!("{text}-primary"));
        }
        for trigger in items(&mut spec, "/triggers") {
            let trigger_name = trigger["name"].as_str().unwrap_or_default().to_owned();
            let Some(query) = trigger.pointer_mut("/metadata/query") else {
                continue;
            };
            let Some(text) = query.as_str() else { continue };
            match &scaler.primary_queries {
                Some(queries) => {
                    if let Some(own) = queries.get(&trigger_name) {
                        *query = json!(own);
                    }
                }
                None => *query = json!(primary_query(text, &release.target.name)),
            }
        }
        override_bounds(&mut spec, scaler, "minReplicaCount", "maxReplicaCount");
        spec
    }

    /// All annotations of the source are copied, since KEDA reads some of them (`transfer-hpa-ownership` for example),
    /// except the pause, which is the target's alone.
    fn annotations(&self, _settings: &Settings, source: &Value) -> Map<String, Value> {
        let annotations = source["metadata"]["annotations"].as_object().into_iter().flatten();
        annotations
            .filter(|(key, _)| !is_flux(key) && is_copyable(key) && *key != PAUSED)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn lower_bound(&self) -> &'static str {
        "minReplicaCount"
    }

    fn pause_annotation(&self) -> Option<(&'static str, &'static str)> {
        Some((PAUSED, "0"))
    }
}

/// The query with every mention of the target, or of its canary, turned to the primary. A longer name that only
/// contains the target's is another workload's; `frontend-.*` however means the target's pods.
fn primary_query(query: &str, target: &str) -> String {
    let mut rewritten = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find(target).filter(|_| !target.is_empty()) {
        let (before, after) = (&rest[..at], &rest[at + target.len()..]);
        rewritten.push_str(before);
        rewritten.push_str(target);
        let starts = !rewritten[..rewritten.len() - target.len()].ends_with(is_part_of_name);
        if starts && let Some(tail) = tail_of_mention(after) {
            rewritten.push_str("-primary");
            rest = tail;
        } else {
            rest = after;
        }
    }
    rewritten + rest
}

/// What follows a mention of the target, if that is where its name ends.
fn tail_of_mention(after: &str) -> Option<&str> {
    for suffix in ["-canary", "-primary"] {
        if let Some(tail) = after.strip_prefix(suffix)
            && !goes_on(tail)
        {
            return Some(tail);
        }
    }
    (!goes_on(after)).then_some(after)
}

/// Whether a name goes on with this text.
fn goes_on(text: &str) -> bool {
    let mut next = text.chars();
    match next.next() {
        Some('-') => next.next().is_some_and(|c| c.is_ascii_alphanumeric()),
        Some(c) => c.is_ascii_alphanumeric() || c == '_',
        None => false,
    }
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // spec: 02/C85
    #[rstest]
    #[case(r#"sum(rate(x{app="frontend"}[1m]))"#, r#"sum(rate(x{app="frontend-primary"}[1m]))"#)]
    #[case(
        r#"x{app="frontend-canary"} + y{app="frontend"}"#,
        r#"x{app="frontend-primary"} + y{app="frontend-primary"}"#
    )]
    #[case(r#"x{pod=~"frontend-.*"}"#, r#"x{pod=~"frontend-primary-.*"}"#)]
    #[case(r#"x{pod=~"frontend-canary-[a-z]+"}"#, r#"x{pod=~"frontend-primary-[a-z]+"}"#)]
    #[case::already(r#"x{app="frontend-primary"}"#, r#"x{app="frontend-primary"}"#)]
    #[case::a_longer_name(
        r#"x{app="frontend-admin", b="old-frontend"}"#,
        r#"x{app="frontend-admin", b="old-frontend"}"#
    )]
    #[case::a_metric(
        r#"frontend_requests_total{host="frontend.shop"}"#,
        r#"frontend_requests_total{host="frontend-primary.shop"}"#
    )]
    fn queries_are_turned_to_the_primary(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(primary_query(query, "frontend"), expected);
    }
}
