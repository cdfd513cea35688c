//! Deployments as targets: the frontend of an online shop.

use rstest::rstest;

use super::*;
use crate::model::object::{Write, owner_references};
use crate::model::release::{ScalerKind, Settings};
use crate::workload::testing::{
    applied, autoscaled, created, frontend, frontend_primary, hpa, including, noon, patched, release, seen,
    settings,
};
use crate::workload::{Error, Workload, revision};

fn with(object: Value, changes: Value) -> Value {
    let mut object = object;
    json_patch::merge(&mut object, &changes);
    object
}

fn create(target: Value, settings: &Settings) -> Value {
    let writes = Deployment.create_primary(&release(), settings, &seen([target]), "id-1").expect("writes");
    created(writes.into_iter().next().expect("a write"))
}

fn promote(release: &Release, settings: &Settings, target: Value, primary: Value) -> Vec<Write> {
    Deployment.promote(release, settings, &seen([target, primary]), "id-2").expect("writes")
}

fn new_image() -> Value {
    let mut target = frontend();
    target["spec"]["template"]["spec"]["containers"][0]["image"] = json!("shop/frontend:v0.10.2");
    target
}

// spec: 02/C59 02/C60 02/C61 02/C62
#[test]
fn the_primary_is_a_copy_with_its_own_names_and_selectors() {
    let primary = create(frontend(), &settings());
    let mut pods = frontend()["spec"]["template"]["spec"].clone();
    pods["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
        ["labelSelector"]["matchExpressions"][0]["values"] = json!(["frontend-primary"]);
    assert_eq!(
        primary,
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "frontend-primary",
                "namespace": "shop",
                "labels": {"app": "frontend-primary"},
                "ownerReferences": owner_references("frontend", "c-1"),
            },
            "spec": {
                "replicas": 3,
                "minReadySeconds": 5,
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 10,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "selector": {"matchLabels": {"app": "frontend-primary"}},
                "template": {
                    "metadata": {
                        "labels": {"app": "frontend-primary", "tier": "web"},
                        "annotations": {"prometheus.io/scrape": "true", "flagger-id": "id-1"},
                    },
                    "spec": pods,
                },
            },
        })
    );
}

// spec: 02/C59
#[rstest]
#[case::none(&[], json!({"app": "frontend-primary"}), json!(null))]
#[case::a_prefix(&["app.kubernetes.io/"], json!({"app": "frontend-primary", "app.kubernetes.io/part-of": "shop"}), json!({"app.kubernetes.io/owner": "web-team"}))]
#[case::all(&["*"], json!({"app": "frontend-primary", "app.kubernetes.io/part-of": "shop"}), json!({"app.kubernetes.io/owner": "web-team"}))]
#[case::an_empty_prefix_includes_nothing(&[""], json!({"app": "frontend-primary"}), json!(null))]
fn labels_and_annotations_of_included_prefixes_go_to_the_primary_at_creation_and_promotion_alike(
    #[case] prefixes: &[&str],
    #[case] labels: Value,
    #[case] annotations: Value,
) {
    let settings = including(prefixes);
    let primary = create(frontend(), &settings);
    assert_eq!(primary["metadata"]["labels"], labels);
    assert_eq!(primary["metadata"]["annotations"], annotations);

    let promoted = applied(&primary, &promote(&release(), &settings, new_image(), primary.clone()));
    assert_eq!(promoted["metadata"]["labels"], labels);
    assert_eq!(promoted["metadata"]["annotations"], annotations);
}

#[test]
fn promotion_leaves_what_others_put_on_the_primary() {
    let foreign = json!({"metadata": {
        "labels": {"team": "web"},
        "annotations": {"deployment.kubernetes.io/revision": "7", "app.kubernetes.io/gone": "x"},
        "finalizers": ["example.com/keep"],
    }});
    let primary = with(frontend_primary(), foreign);
    let promoted = applied(
        &primary,
        &promote(&release(), &including(&["app.kubernetes.io/"]), new_image(), primary.clone()),
    );
    assert_eq!(promoted["metadata"]["labels"]["team"], "web");
    assert_eq!(promoted["metadata"]["finalizers"], json!(["example.com/keep"]));
    assert_eq!(
        promoted["metadata"]["annotations"],
        json!({"deployment.kubernetes.io/revision": "7", "app.kubernetes.io/owner": "web-team"}),
        "what the target has no more is gone"
    );
}

// spec: 02/C59
#[test]
fn the_selector_value_may_differ_from_the_name() {
    let labels = json!({"app.kubernetes.io/name": "web-shop", "track": "stable"});
    let target = with(
        frontend(),
        json!({"spec": {
            "selector": {"matchLabels": {"app": null, "app.kubernetes.io/name": "web-shop", "track": "stable"}},
            "template": {"metadata": {"labels": labels}},
        }}),
    );
    let primary = create(target, &settings());
    assert_eq!(
        primary["spec"]["selector"],
        json!({"matchLabels": {"app.kubernetes.io/name": "web-shop-primary"}})
    );
    let labels = &primary["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/name"], "web-shop-primary");
    assert_eq!(labels["track"], "stable", "further labels of the selector stay");
}

// spec: 02/C62
#[rstest]
#[case::by_name("app", "frontend", "frontend-primary")]
#[case::by_selector_value("app", "web-shop", "web-shop-primary")]
#[case::another_workload("app", "checkout", "checkout")]
#[case::another_label("tier", "frontend", "frontend")]
#[case::a_label_that_the_pods_keep("name", "frontend", "frontend")]
#[case::a_selector_label_that_the_pods_lack("app.kubernetes.io/name", "frontend", "frontend-primary")]
fn pods_keep_away_from_their_own_kind(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    let by_label = json!({"matchLabels": {key: value}});
    let by_expression =
        json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["checkout-v2", value]}]});
    let target = with(
        frontend(),
        json!({"spec": {
            "selector": {"matchLabels": {"app": "web-shop"}},
            "template": {"metadata": {"labels": {"app": "web-shop", "name": "frontend"}}, "spec": {
                "topologySpreadConstraints": [{"labelSelector": by_label}, {"labelSelector": by_expression}, {"maxSkew": 1}],
                "affinity": {
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": by_label}]},
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"labelSelector": by_label}}],
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": by_expression}],
                    },
                },
            }},
        }}),
    );
    let spec = create(target, &settings())["spec"]["template"]["spec"].clone();
    let label = json!({"matchLabels": {key: expected}});
    let expression =
        json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["checkout-v2", expected]}]});
    assert_eq!(
        spec["topologySpreadConstraints"],
        json!([{"labelSelector": label}, {"labelSelector": expression}, {"maxSkew": 1}])
    );
    let rules = &spec["affinity"]["podAntiAffinity"];
    assert_eq!(
        rules["preferredDuringSchedulingIgnoredDuringExecution"],
        json!([{"podAffinityTerm": {"labelSelector": label}}])
    );
    assert_eq!(
        rules["requiredDuringSchedulingIgnoredDuringExecution"],
        json!([{"labelSelector": expression}])
    );
    assert_eq!(
        spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
        json!([{"labelSelector": by_label}]),
        "affinity to others is not ours"
    );
}

// spec: 02/C64 02/C65
#[rstest]
#[case(json!(5), 5)]
#[case(json!(0), 1)]
#[case(json!(null), 1)]
fn the_primary_starts_with_the_targets_replicas_and_at_least_one(
    #[case] target: Value,
    #[case] expected: i32,
) {
    let primary = create(with(frontend(), json!({"spec": {"replicas": target}})), &settings());
    assert_eq!(primary["spec"]["replicas"], expected);
}

#[test]
fn a_primary_that_exists_is_not_created_again() {
    let seen = seen([frontend(), frontend_primary()]);
    assert_eq!(Deployment.create_primary(&release(), &settings(), &seen, "id-2"), Ok(vec![]));
}

#[test]
fn somebody_elses_deployment_is_never_taken_for_the_primary() {
    let owners = json!([{"kind": "Rollout", "name": "frontend", "controller": true}]);
    let foreign = with(frontend_primary(), json!({"metadata": {"ownerReferences": owners}}));
    let seen = seen([new_image(), foreign]);
    let expected = Err(Error::Unusable(
        "Deployment frontend-primary.shop belongs to Rollout frontend and cannot serve the primary of \
         frontend.shop, delete or rename it"
            .into(),
    ));
    assert_eq!(Deployment.create_primary(&release(), &settings(), &seen, "id-2"), expected);
    assert_eq!(Deployment.promote(&release(), &settings(), &seen, "id-2"), expected);
}

#[test]
fn a_missing_target_is_named() {
    let error = Error::Missing(
        "deployment frontend.shop get query error: deployments.apps \"frontend\" not found".into(),
    );
    let (release, settings, nothing) = (release(), settings(), seen([]));
    assert_eq!(Deployment.shape(&release, &settings, &nothing), Err(error.clone()));
    assert_eq!(Deployment.target(&release, &settings, &nothing, noon()), Err(error.clone()));
    assert_eq!(Deployment.create_primary(&release, &settings, &nothing, "id"), Err(error.clone()));
    assert_eq!(Deployment.promote(&release, &settings, &nothing, "id"), Err(error));
    assert_eq!(Deployment.primary(&release, &settings, &nothing, noon()), None);
    assert_eq!(Deployment.scale_to_zero(&release, &nothing), []);
    assert_eq!(Deployment.revert(&release, &nothing), []);
}

// spec: 02/C58
#[test]
fn a_target_without_selector_label_gets_no_primary() {
    let target =
        with(frontend(), json!({"spec": {"selector": {"matchLabels": {"app": null, "tier": "web"}}}}));
    assert_eq!(
        Deployment.create_primary(&release(), &settings(), &seen([target]), "id"),
        Err(Error::Unusable(
            "createPrimaryDeployment failed: getSelectorLabel failed: deployment frontend.shop \
             spec.selector.matchLabels must contain one of [app name app.kubernetes.io/name]"
                .into()
        ))
    );
}

// spec: 02/C60
#[test]
fn promotion_gives_the_primary_the_new_template_and_a_new_id() {
    let patch = patched(promote(&release(), &settings(), new_image(), frontend_primary()));
    let template = &patch["spec"]["template"];
    assert_eq!(template["metadata"], json!({"annotations": {"flagger-id": "id-2"}}));
    assert_eq!(template["spec"]["containers"][0]["image"], "shop/frontend:v0.10.2");
    assert_eq!(patch["metadata"], json!(null), "names, owners and selector stay");
    assert_eq!(patch["spec"]["selector"], json!(null));
}

#[test]
fn promoting_what_is_promoted_writes_nothing() {
    let promoted =
        applied(&frontend_primary(), &promote(&release(), &settings(), new_image(), frontend_primary()));
    assert_eq!(promote(&release(), &settings(), new_image(), promoted), []);
}

#[test]
fn promotion_replaces_what_was_edited_on_the_primary() {
    let edited = with(
        frontend_primary(),
        json!({"spec": {"template": {"spec": {"hostNetwork": true}, "metadata": {"labels": {"x": "y"}}}}}),
    );
    let promoted = applied(&edited, &promote(&release(), &settings(), frontend(), edited.clone()));
    assert_eq!(promoted["spec"]["template"]["spec"]["hostNetwork"], json!(null));
    assert_eq!(
        promoted["spec"]["template"]["metadata"]["labels"],
        json!({"app": "frontend-primary", "tier": "web"})
    );
}

// spec: 02/C72
#[test]
fn settings_beside_the_template_are_copied_without_rolling_any_pod() {
    let target = with(
        frontend(),
        json!({"spec": {"minReadySeconds": null, "strategy": {"type": "Recreate", "rollingUpdate": null}}}),
    );
    let before = Deployment.target(&release(), &settings(), &seen([frontend()]), noon()).expect("facts");
    let after = Deployment.target(&release(), &settings(), &seen([target.clone()]), noon()).expect("facts");
    assert_eq!(before.revision, after.revision);

    let patch = patched(promote(&release(), &settings(), target, frontend_primary()));
    assert_eq!(
        patch,
        json!({"spec": {"minReadySeconds": null, "strategy": {"type": "Recreate", "rollingUpdate": null}}})
    );
}

#[test]
fn an_absent_setting_is_its_default() {
    let bare = json!({"spec": {"revisionHistoryLimit": null, "progressDeadlineSeconds": null}});
    assert_eq!(promote(&release(), &settings(), with(frontend(), bare), frontend_primary()), []);
}

// spec: 02/C72
#[rstest]
#[case::replicas(json!({"spec": {"replicas": 9}}))]
#[case::metadata(json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "generation": 4}}))]
#[case::strategy(json!({"spec": {"strategy": {"type": "Recreate"}, "progressDeadlineSeconds": 60, "paused": true}}))]
fn edits_beside_the_template_are_no_revision(#[case] changes: Value) {
    let facts =
        |target: Value| Deployment.target(&release(), &settings(), &seen([target]), noon()).expect("facts");
    assert_eq!(facts(with(frontend(), changes)).revision, facts(frontend()).revision);
}

// spec: 02/C64 02/C65
#[rstest]
#[case::the_targets(None, 5, 3, 5)]
#[case::the_targets_when_lower(None, 2, 3, 2)]
#[case::never_zero(None, 0, 3, 3)]
#[case::never_zero_at_all(None, 0, 0, 1)]
#[case::an_autoscalers_business(Some(ScalerKind::HorizontalPodAutoscaler), 2, 6, 6)]
#[case::but_enough_for_the_traffic(Some(ScalerKind::HorizontalPodAutoscaler), 8, 6, 8)]
#[case::and_never_zero(Some(ScalerKind::HorizontalPodAutoscaler), 0, 0, 1)]
fn a_promoted_primary_can_carry_the_traffic(
    #[case] scaler: Option<ScalerKind>,
    #[case] target: i32,
    #[case] primary: i32,
    #[case] expected: i32,
) {
    let release = scaler.map_or_else(release, autoscaled);
    let target = with(frontend(), json!({"spec": {"replicas": target}}));
    let primary = with(frontend_primary(), json!({"spec": {"replicas": primary}}));
    let promoted = applied(&primary, &promote(&release, &settings(), target, primary.clone()));
    assert_eq!(promoted["spec"]["replicas"], expected);
}

// spec: 02/C64
#[test]
fn a_parked_target_has_no_replicas_and_parking_it_again_writes_nothing() {
    let writes = Deployment.scale_to_zero(&release(), &seen([frontend()]));
    assert_eq!(
        writes,
        [Write::Patch {
            id: Kind::DEPLOYMENT.at("shop", "frontend"),
            resource_version: "41".into(),
            patch: json!({"spec": {"replicas": 0}})
        }]
    );
    assert_eq!(Deployment.scale_to_zero(&release(), &seen([applied(&frontend(), &writes)])), []);
}

// spec: 02/C64
#[rstest]
#[case::as_many_as_it_has(None, 2, Some(5), None, 2)]
#[case::as_many_as_the_primary(None, 0, Some(5), None, 5)]
#[case::one_if_the_primary_has_none(None, 0, Some(0), None, 1)]
#[case::one_without_primary(None, 0, None, None, 1)]
#[case::the_autoscalers_minimum(Some(ScalerKind::HorizontalPodAutoscaler), 0, Some(5), Some(json!(3)), 3)]
#[case::one_without_minimum(Some(ScalerKind::HorizontalPodAutoscaler), 0, Some(5), Some(json!(null)), 1)]
#[case::one_without_autoscaler_to_read(Some(ScalerKind::HorizontalPodAutoscaler), 0, Some(5), None, 1)]
fn a_target_that_is_scaled_up_gets(
    #[case] scaler: Option<ScalerKind>,
    #[case] present: i32,
    #[case] primary: Option<i32>,
    #[case] minimum: Option<Value>,
    #[case] expected: i32,
) {
    let release = scaler.map_or_else(release, autoscaled);
    let target = with(frontend(), json!({"spec": {"replicas": present}}));
    let mut objects = vec![target.clone()];
    objects.extend(primary.map(|replicas| with(frontend_primary(), json!({"spec": {"replicas": replicas}}))));
    objects.extend(minimum.map(|minimum| with(hpa(), json!({"spec": {"minReplicas": minimum}}))));
    let writes = Deployment.scale_up(&release, &seen(objects));
    assert_eq!(applied(&target, &writes)["spec"]["replicas"], expected);
    assert_eq!(writes.is_empty(), present == expected, "no write without need");
}

// spec: 02/C64
#[rstest]
#[case::the_primarys(0, Some(4), 4)]
#[case::the_primarys_also_in_a_run(1, Some(4), 4)]
#[case::never_none(0, Some(0), 1)]
#[case::what_it_has_without_primary(2, None, 2)]
#[case::one_without_primary(0, None, 1)]
fn a_reverted_target_gets_back(#[case] present: i32, #[case] primary: Option<i32>, #[case] expected: i32) {
    let target = with(frontend(), json!({"spec": {"replicas": present}}));
    let mut objects = vec![target.clone()];
    objects.extend(primary.map(|replicas| with(frontend_primary(), json!({"spec": {"replicas": replicas}}))));
    let writes = Deployment.revert(&release(), &seen(objects));
    assert_eq!(applied(&target, &writes)["spec"]["replicas"], expected);
}

#[test]
fn the_target_is_known_by_uid_generation_and_revision() {
    let facts = Deployment.target(&release(), &settings(), &seen([frontend()]), noon()).expect("facts");
    assert_eq!((facts.uid.as_str(), facts.generation), ("d-1", 3));
    assert_eq!((facts.replicas, facts.ready_pods), (3, 3));
    assert_eq!(facts.revision, revision::revision(&frontend()["spec"]["template"]));
    assert_eq!(facts.readiness, Readiness::Ready);
}

#[test]
fn pods_that_are_on_their_way_out_do_not_count() {
    let leaving = with(frontend(), json!({"spec": {"replicas": 0}, "metadata": {"generation": 4}}));
    let facts = Deployment.target(&release(), &settings(), &seen([leaving]), noon()).expect("facts");
    assert_eq!(facts.ready_pods, 0);
}

// spec: 02/C68
#[test]
fn readiness_says_of_whom_it_speaks_and_uses_each_sides_threshold() {
    let mut release = release();
    (release.analysis.canary_ready_threshold, release.analysis.primary_ready_threshold) = (100, 50);
    let short = json!({"status": {"availableReplicas": 1}});
    let seen = seen([with(frontend(), short.clone()), with(frontend_primary(), short)]);
    let why = |readiness: Readiness| match readiness {
        Readiness::Waiting { why, .. } => why.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        why(Deployment.target(&release, &settings(), &seen, noon()).expect("facts").readiness),
        "canary deployment frontend.shop not ready: waiting for rollout to finish: \
         1 of 3 (readyThreshold 100%) updated replicas are available"
    );
    assert_eq!(
        why(Deployment.primary(&release, &settings(), &seen, noon()).expect("facts").readiness),
        "frontend-primary.shop not ready: waiting for rollout to finish: \
         1 of 2 (readyThreshold 50%) updated replicas are available"
    );
}

// spec: 02/C73
#[rstest]
#[case::fresh(frontend(), true)]
#[case::changed(new_image(), false)]
fn the_primary_knows_whether_it_runs_what_the_target_asks(#[case] target: Value, #[case] matches: bool) {
    let seen = seen([target, frontend_primary()]);
    let facts = Deployment.primary(&release(), &settings(), &seen, noon()).expect("facts");
    assert_eq!(facts.matches_target, matches);
    assert_eq!((facts.replicas, facts.ready_pods), (3, 3));
}

#[test]
fn a_primary_without_target_still_has_facts() {
    let facts =
        Deployment.primary(&release(), &settings(), &seen([frontend_primary()]), noon()).expect("facts");
    assert!(!facts.matches_target);
    assert_eq!(facts.ready_pods, 3);
}

#[test]
fn it_looks_at_target_primary_and_their_autoscalers() {
    let names =
        |release: &Release| Deployment.reads(release).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&release()), ["Deployment frontend.shop", "Deployment frontend-primary.shop"]);
    assert_eq!(
        names(&autoscaled(ScalerKind::HorizontalPodAutoscaler))[2..],
        ["HorizontalPodAutoscaler frontend.shop", "HorizontalPodAutoscaler frontend-primary.shop"]
    );
}
