//! Autoscalers and their twins.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::workload::testing::{applied, autoscaled, created, hpa, including, patched, seen, settings};

fn scaled_object() -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {
            "name": "frontend", "namespace": "shop", "resourceVersion": "9",
            "labels": {"team": "web", "helm.toolkit.fluxcd.io/name": "shop"},
            "annotations": {
                "scaledobject.keda.sh/transfer-hpa-ownership": "true",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
        },
        "spec": {
            "scaleTargetRef": {"name": "frontend", "envSourceContainerName": "server"},
            "pollingInterval": 10,
            "minReplicaCount": 2,
            "maxReplicaCount": 20,
            "initialCooldownPeriod": 60,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"name": "frontend"},
                "scalingModifiers": {"formula": "a + b"},
            },
            "triggers": [
                {"type": "prometheus", "name": "a", "metadata": {"query": "rate(x{app=\"frontend\"}[1m])"}},
                {"type": "cron", "metadata": {"start": "0 8 * * *"}},
            ],
        },
    })
}

fn source(kind: ScalerKind) -> Value {
    match kind {
        ScalerKind::HorizontalPodAutoscaler => hpa(),
        ScalerKind::ScaledObject => scaled_object(),
    }
}

fn create(release: &Release, settings: &Settings, source: Value) -> Value {
    let write = of(release).expect("a scaler").reconcile(settings, &seen([source]), false);
    created(write.expect("no error").expect("a write"))
}

fn update(release: &Release, settings: &Settings, source: Value, twin: Value, update: bool) -> Vec<Write> {
    let write = of(release).expect("a scaler").reconcile(settings, &seen([source, twin]), update);
    write.expect("no error").into_iter().collect()
}

// spec: 02/C83
#[test]
fn the_primarys_hpa_is_a_copy_aimed_at_the_primary() {
    let twin = create(&autoscaled(ScalerKind::HorizontalPodAutoscaler), &settings(), hpa());
    assert_eq!(
        twin,
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "frontend-primary",
                "namespace": "shop",
                "labels": {"team": "web"},
                "ownerReferences": owner_references("frontend", "c-1"),
            },
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend-primary"},
                "minReplicas": 3,
                "maxReplicas": 12,
                "metrics": hpa()["spec"]["metrics"],
                "behavior": hpa()["spec"]["behavior"],
            },
        })
    );
}

// spec: 02/C83
#[rstest]
#[case::metrics(json!({"metrics": [{"type": "Resource", "resource": {"name": "memory"}}]}))]
#[case::behavior(json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}))]
#[case::minimum(json!({"minReplicas": 4}))]
#[case::maximum(json!({"maxReplicas": 40}))]
#[case::less(json!({"behavior": null}))]
#[case::a_field_that_nobody_knows_yet(json!({"tolerance": "0.1"}))]
fn an_edit_of_the_hpa_reaches_the_primarys_when_it_is_updated(#[case] edit: Value) {
    let release = autoscaled(ScalerKind::HorizontalPodAutoscaler);
    let twin = create(&release, &settings(), hpa());
    let mut edited = hpa();
    json_patch::merge(&mut edited["spec"], &edit);

    assert_eq!(update(&release, &settings(), edited.clone(), twin.clone(), false), [], "only with update");
    let writes = update(&release, &settings(), edited.clone(), twin.clone(), true);
    let updated = applied(&twin, &writes);
    assert_eq!(updated, create(&release, &settings(), edited.clone()));
    assert_eq!(update(&release, &settings(), edited, updated, true), []);
}

#[test]
fn labels_and_annotations_reach_the_twin_and_those_of_others_stay_on_it() {
    let (release, settings) = (autoscaled(ScalerKind::HorizontalPodAutoscaler), including(&["example.com/"]));
    let mut twin = create(&release, &settings, hpa());
    json_patch::merge(
        &mut twin,
        &json!({"metadata": {"labels": {"watched": "yes"}, "annotations": {"seen": "1"}}}),
    );
    let mut edited = hpa();
    json_patch::merge(
        &mut edited,
        &json!({"metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/owner": "web"}}}),
    );
    let patch = patched(update(&release, &settings, edited, twin, true));
    assert_eq!(
        patch,
        json!({"metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/owner": "web"}}})
    );
}

// spec: 02/C83
#[rstest]
#[case(ScalerKind::HorizontalPodAutoscaler, "minReplicas", "maxReplicas")]
#[case(ScalerKind::ScaledObject, "minReplicaCount", "maxReplicaCount")]
fn bounds_of_the_canary_win(#[case] kind: ScalerKind, #[case] min: &str, #[case] max: &str) {
    let mut release = autoscaled(kind);
    let scaler = release.autoscaler.as_mut().expect("a scaler");
    (scaler.primary_min, scaler.primary_max) = (Some(5), Some(50));
    let twin = create(&release, &settings(), source(kind));
    assert_eq!((&twin["spec"][min], &twin["spec"][max]), (&json!(5), &json!(50)));
}

#[test]
fn an_absent_minimum_is_one() {
    let release = autoscaled(ScalerKind::HorizontalPodAutoscaler);
    let mut bare = hpa();
    json_patch::merge(&mut bare, &json!({"spec": {"minReplicas": null}}));
    let twin = create(&release, &settings(), bare.clone());
    assert_eq!(twin["spec"]["minReplicas"], 1);
    assert_eq!(update(&release, &settings(), bare, twin, true), []);
}

// spec: 02/C84
#[rstest]
#[case(
    ScalerKind::HorizontalPodAutoscaler,
    "HorizontalPodAutoscaler frontend.shop get query error: horizontalpodautoscalers.autoscaling \"frontend\" not found"
)]
#[case(
    ScalerKind::ScaledObject,
    "Keda ScaledObject frontend.shop get query error: scaledobjects.keda.sh \"frontend\" not found"
)]
fn a_missing_source_is_named(#[case] kind: ScalerKind, #[case] expected: &str) {
    let release = autoscaled(kind);
    let scaler = of(&release).expect("a scaler");
    assert_eq!(scaler.reconcile(&settings(), &seen([]), true), Err(Error::Missing(expected.into())));
    assert_eq!(scaler.presence(&settings(), &seen([]), false), Presence::Refused(expected.into()));
}

#[rstest]
#[case(ScalerKind::HorizontalPodAutoscaler)]
#[case(ScalerKind::ScaledObject)]
fn presence_follows_the_twin(#[case] kind: ScalerKind) {
    let release = autoscaled(kind);
    let scaler = of(&release).expect("a scaler");
    let twin = create(&release, &settings(), source(kind));
    let mut drifted = twin.clone();
    drifted["spec"]["scaleTargetRef"]["name"] = json!("frontend");
    let presence = |objects: Vec<Value>, update: bool| scaler.presence(&settings(), &seen(objects), update);
    assert_eq!(presence(vec![source(kind)], false), Presence::Absent);
    assert_eq!(presence(vec![source(kind), twin.clone()], true), Presence::InPlace);
    assert_eq!(presence(vec![source(kind), drifted.clone()], true), Presence::Drifted);
    assert_eq!(presence(vec![source(kind), drifted], false), Presence::InPlace);
}

#[test]
fn somebody_elses_autoscaler_is_never_taken_for_the_twin() {
    let release = autoscaled(ScalerKind::HorizontalPodAutoscaler);
    let mut foreign = create(&release, &settings(), hpa());
    foreign["metadata"]["ownerReferences"] =
        json!([{"kind": "ScaledObject", "name": "x", "controller": true}]);
    let presence = of(&release).expect("a scaler").presence(&settings(), &seen([hpa(), foreign]), true);
    assert!(matches!(presence, Presence::Refused(_)), "{presence:?}");
}

#[test]
fn an_hpa_rests_by_itself() {
    let release = autoscaled(ScalerKind::HorizontalPodAutoscaler);
    let scaler = of(&release).expect("a scaler");
    assert_eq!((scaler.pause(&seen([hpa()])), scaler.resume(&seen([hpa()]))), (None, None));
}

// spec: 02/C85
#[test]
fn the_primarys_scaled_object_watches_the_primary() {
    let twin = create(&autoscaled(ScalerKind::ScaledObject), &settings(), scaled_object());
    assert_eq!(
        twin["metadata"]["annotations"],
        json!({"scaledobject.keda.sh/transfer-hpa-ownership": "true"})
    );
    assert_eq!(twin["metadata"]["labels"], json!({"team": "web"}));
    let spec = &twin["spec"];
    assert_eq!(
        spec["scaleTargetRef"],
        json!({"name": "frontend-primary", "envSourceContainerName": "server"})
    );
    assert_eq!(spec["advanced"]["horizontalPodAutoscalerConfig"], json!({"name": "frontend-primary"}));
    assert_eq!(spec["triggers"][0]["metadata"]["query"], "rate(x{app=\"frontend-primary\"}[1m])");
    assert_eq!(spec["triggers"][1], scaled_object()["spec"]["triggers"][1]);
}

// spec: 02/C85
#[rstest]
#[case::replaced(&[("a", "own query")], "own query")]
#[case::not_named(&[], "rate(x{app=\"frontend\"}[1m])")]
fn queries_of_the_canary_win(#[case] queries: &[(&str, &str)], #[case] expected: &str) {
    let mut release = autoscaled(ScalerKind::ScaledObject);
    let queries: BTreeMap<_, _> = queries.iter().map(|&(key, value)| (key.into(), value.into())).collect();
    release.autoscaler.as_mut().expect("a scaler").primary_queries = Some(queries);
    let twin = create(&release, &settings(), scaled_object());
    assert_eq!(twin["spec"]["triggers"][0]["metadata"]["query"], expected);
}

// spec: 02/C85 02/C86
#[test]
fn pausing_touches_one_annotation_of_the_users_object() {
    let release = autoscaled(ScalerKind::ScaledObject);
    let scaler = of(&release).expect("a scaler");
    let pause = scaler.pause(&seen([scaled_object()])).expect("a write");
    assert_eq!(
        patched(vec![pause.clone()]),
        json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "0"}}})
    );
    let paused = applied(&scaled_object(), &[pause]);
    assert_eq!(scaler.pause(&seen([paused.clone()])), None, "once is enough");
    assert_eq!(
        create(&release, &settings(), paused.clone())["metadata"]["annotations"],
        json!({"scaledobject.keda.sh/transfer-hpa-ownership": "true"}),
        "the primary is not paused"
    );
    let resume = scaler.resume(&seen([paused.clone()])).expect("a write");
    assert_eq!(applied(&paused, &[resume]), scaled_object());
    assert_eq!(scaler.resume(&seen([scaled_object()])), None);
}

// spec: 02/C86
#[test]
fn fields_that_are_not_known_here_are_copied() {
    let twin = create(&autoscaled(ScalerKind::ScaledObject), &settings(), scaled_object());
    assert_eq!(twin["spec"]["initialCooldownPeriod"], 60);
    assert_eq!(twin["spec"]["advanced"]["scalingModifiers"], json!({"formula": "a + b"}));
}
