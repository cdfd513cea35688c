use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::Provider;
use crate::manifest::decode;
use crate::model::release::{Problem, ProviderFacts, Steps, Strategy};

mod defaults;
mod metrics;
mod old_forms;
mod refused;
mod strategy;

/// A manifest in today's form.
fn frontend() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop", "uid": "u-1", "generation": 3},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    })
}

/// `frontend` with `value` at `path`, which may be new; `null` takes it away.
fn with(path: &str, value: Value) -> Value {
    let mut manifest = frontend();
    set(&mut manifest, path, value);
    manifest
}

fn set(manifest: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = manifest.pointer_mut(parent).expect("in the manifest").as_object_mut().expect("an object");
    match value {
        Value::Null => parent.remove(name),
        value => parent.insert(name.to_owned(), value),
    };
}

/// Reads with providers that can do everything, but for `kubernetes`, which can do nothing, and `nginx`, which has
/// weights only.
fn read(manifest: &Value) -> Reading {
    read_with(manifest, &Settings::default())
}

fn read_with(manifest: &Value, settings: &Settings) -> Reading {
    let facts = |release: &Release| {
        let capabilities = match release.provider {
            Provider::Istio | Provider::Knative => Capabilities::ALL,
            Provider::Nginx => Capabilities::WEIGHTS,
            Provider::Kubernetes => Capabilities::default(),
            _ => return None,
        };
        Some(ProviderFacts { capabilities, ..ProviderFacts::default() })
    };
    let providers = Providers { known: "istio, knative or kubernetes", facts: &facts };
    release(&decode::canary(manifest).expect("can be decoded"), settings, &providers)
}

fn accepted(manifest: &Value) -> Release {
    *read(manifest).release.expect("accepted")
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn refusals(reading: Reading) -> Vec<String> {
    lines(&reading.release.expect_err("refused"))
}

fn warnings(manifest: &Value) -> Vec<String> {
    let reading = read(manifest);
    assert!(reading.release.is_ok(), "{:?}", reading.release);
    lines(&reading.warnings)
}

#[test]
fn a_manifest_in_todays_form_is_read_without_a_word() {
    let reading = read(&frontend());
    assert_eq!(reading.warnings, []);
    let release = reading.release.expect("accepted");
    assert_eq!((release.title(), release.generation), ("frontend.shop".into(), 3));
    assert_eq!(release.analysis.strategy, Strategy::Weighted(Steps::By { step: 10, max: 50 }));
}

#[test]
fn a_knative_service_is_a_target_of_its_own_kind() {
    let mut manifest = with("/spec/targetRef/apiVersion", json!("serving.knative.dev/v1"));
    manifest["spec"]["targetRef"]["kind"] = json!("Service");
    manifest["spec"]["provider"] = json!("knative");
    manifest["spec"]["service"] = Value::Null;
    assert_eq!(accepted(&manifest).target.kind, TargetKind::Knative);
}

#[test]
fn what_a_router_leaves_out_is_a_warning_and_the_release_goes_on() {
    let left_out = Problem { field: "spec.service.hosts".into(), message: "only a is used".into() };
    let facts = |_: &Release| {
        let warnings = vec![left_out.clone()];
        Some(ProviderFacts { capabilities: Capabilities::ALL, warnings, ..ProviderFacts::default() })
    };
    let providers = Providers { known: "istio", facts: &facts };
    let reading =
        release(&decode::canary(&frontend()).expect("can be decoded"), &Settings::default(), &providers);
    assert!(reading.release.is_ok());
    assert_eq!(lines(&reading.warnings), ["spec.service.hosts: only a is used"]);
}
