//! The Services of an online shop's frontend.

use std::slice::from_ref;

use rstest::rstest;

use super::*;
use crate::model::workload::DiscoveredPort;
use crate::router::testing::{applied, foreign, patched, release, seen, service, serving, shape, with};

const SIDES: [Side; 3] = [Side::Canary, Side::Primary, Side::Apex];

fn shop(manifest: Value) -> Release {
    serving(service(with(&json!({"port": 80, "targetPort": 8080}), manifest)))
}

/// `with` for a manifest by value.
fn created(release: &Release, shape: &TargetShape, side: Side) -> Value {
    let mut objects = applied(&[], &plan(release, shape, side, &seen([])).expect("writes"));
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

fn planned(release: &Release, side: Side, live: &Value) -> Vec<Write> {
    plan(release, &shape(), side, &seen([live.clone()])).expect("writes")
}

fn port(name: &str, port: i32, protocol: &str) -> DiscoveredPort {
    DiscoveredPort { name: name.into(), port, protocol: protocol.into() }
}

fn discovering(ports: Vec<DiscoveredPort>) -> TargetShape {
    TargetShape { ports, ..shape() }
}

/// The user's own Service, as a cloud has it.
fn load_balancer() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "frontend", "namespace": "shop", "resourceVersion": "3",
            "labels": {"team": "web"},
            "annotations": {"cloud.example.com/address": "static"},
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.0.0.7",
            "clusterIPs": ["10.0.0.7"],
            "sessionAffinity": "ClientIP",
            "selector": {"app": "frontend", "tier": "web"},
            "ports": [
                {"name": "web", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080, "appProtocol": "http"},
                {"name": "admin", "port": 9000, "protocol": "TCP", "targetPort": 9000, "nodePort": 30900},
            ],
        },
    })
}

#[test]
fn a_canary_that_was_created_again_keeps_the_services_of_its_predecessor() {
    for side in SIDES {
        let mut live = created(&release(), &shape(), side);
        live["metadata"]["ownerReferences"][0]["uid"] = json!("an-earlier-one");
        let writes = planned(&release(), side, &live);
        let after = applied(from_ref(&live), &writes);
        assert_eq!(after[0]["metadata"]["ownerReferences"], owner_references("frontend", &release().uid));
        assert!(planned(&release(), side, &after[0]).is_empty());
    }
}

// spec: 03/SVC-01 03/SVC-02 03/SVC-10 03/SVC-11 03/OWN-01
#[test]
fn three_services_are_created_and_the_apex_leads_to_the_primary() {
    let release = shop(json!({}));
    let primary = created(&release, &shape(), Side::Primary);
    assert_eq!(
        primary,
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "frontend-primary",
                "namespace": "shop",
                "resourceVersion": "1",
                "labels": {"app": "frontend-primary", "flagger.app/side": "primary"},
                "annotations": {
                    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
                    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
                },
                "ownerReferences": [{
                    "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "frontend", "uid": "c-1",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "type": "ClusterIP",
                "selector": {"app": "frontend-primary"},
                "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
            },
        })
    );
    let selectors = SIDES.map(|side| created(&release, &shape(), side)["spec"]["selector"]["app"].clone());
    assert_eq!(selectors, ["frontend", "frontend-primary", "frontend-primary"]);
}

// spec: 03/SVC-18 03/SVC-28
#[rstest]
#[case(TargetKind::Deployment)]
#[case(TargetKind::DaemonSet)]
fn names_follow_the_service_name(#[case] kind: TargetKind) {
    let mut release = shop(json!({"name": "web"}));
    release.target.kind = kind;
    let names: Vec<_> = reads(&release).into_iter().map(|id| id.name).collect();
    assert_eq!(names, ["web-canary", "web-primary", "web"]);
    let canary = created(&release, &shape(), Side::Canary);
    assert_eq!(canary["metadata"]["labels"], json!({"app": "web-canary", "flagger.app/side": "canary"}));
    assert_eq!(canary["spec"]["selector"], json!({"app": "frontend"}));
}

// spec: 03/SVC-29
#[rstest]
#[case(TargetKind::Service)]
#[case(TargetKind::Knative)]
fn a_target_without_pods_of_its_own_gets_no_services(#[case] kind: TargetKind) {
    let mut release = shop(json!({}));
    release.target.kind = kind;
    assert_eq!(reads(&release), []);
    for side in SIDES {
        assert_eq!(plan(&release, &shape(), side, &seen([])), Ok(vec![]));
        assert_eq!(presence(&release, &shape(), side, &seen([])), Presence::InPlace);
    }
    assert_eq!(finalize(&release, &shape(), &seen([load_balancer()])), Ok(vec![]));
}

// spec: 01/API-040 01/API-041 03/SVC-02 03/SVC-03 03/SVC-04 03/SVC-05
#[rstest]
#[case::number(json!({}), json!({"name": "http", "targetPort": 8080}))]
#[case::no_target_port(json!({"targetPort": null}), json!({"name": "http", "targetPort": 80}))]
#[case::zero(json!({"targetPort": 0}), json!({"name": "http", "targetPort": 80}))]
#[case::zero_text(json!({"targetPort": "0"}), json!({"name": "http", "targetPort": 80}))]
#[case::number_as_text(json!({"targetPort": "8081"}), json!({"name": "http", "targetPort": 8081}))]
#[case::name(json!({"targetPort": "web"}), json!({"name": "http", "targetPort": "web"}))]
#[case::port_name(json!({"portName": "grpc", "appProtocol": "kubernetes.io/h2c"}), json!({"name": "grpc", "targetPort": 8080, "appProtocol": "kubernetes.io/h2c"}))]
fn the_main_port_is_as_the_manifest_says(#[case] manifest: Value, #[case] expected: Value) {
    let expected = with(&expected, json!({"port": 80, "protocol": "TCP"}));
    let apex = created(&shop(manifest), &shape(), Side::Apex);
    assert_eq!(apex["spec"]["ports"], json!([expected]));
}

// spec: 01/API-043 03/SVC-06 03/SVC-07
#[test]
fn all_three_are_headless_or_prefer_a_zone_if_asked() {
    let release = shop(json!({"headless": true, "trafficDistribution": "PreferClose"}));
    for side in SIDES {
        let spec = &created(&release, &shape(), side)["spec"];
        assert_eq!(
            (&spec["clusterIP"], &spec["trafficDistribution"]),
            (&json!("None"), &json!("PreferClose"))
        );
    }
}

// spec: 01/API-042 03/SVC-05 03/SVC-08 03/SVC-24 03/SVC-25
#[rstest]
#[case::plain(vec![port("metrics", 9090, "TCP")], json!([["http", 80, "TCP", 8080], ["metrics", 9090, "TCP", 9090]]))]
#[case::udp(vec![port("http3", 80, "UDP")], json!([["http", 80, "TCP", 8080], ["http3", 80, "UDP", 80]]))]
#[case::same_number(vec![port("web", 80, "TCP"), port("a", 9090, "TCP"), port("b", 9090, "TCP")], json!([["http", 80, "TCP", 8080], ["a", 9090, "TCP", 9090]]))]
#[case::same_name(vec![port("http", 9090, "TCP"), port("http", 53, "UDP")], json!([["http", 80, "TCP", 8080], ["tcp-9090", 9090, "TCP", 9090], ["udp-53", 53, "UDP", 53]]))]
fn discovered_ports_follow_without_doubles(#[case] ports: Vec<DiscoveredPort>, #[case] expected: Value) {
    let release = shop(json!({"appProtocol": "http"}));
    let spec = created(&release, &discovering(ports), Side::Primary)["spec"].clone();
    let ports = spec["ports"].as_array().expect("ports");
    let rows: Vec<_> =
        ports.iter().map(|p| json!([p["name"], p["port"], p["protocol"], p["targetPort"]])).collect();
    assert_eq!(json!(rows), expected);
    assert_eq!(ports[0]["appProtocol"], "http");
    assert!(ports[1..].iter().all(|port| port["appProtocol"].is_null()));
}

// spec: 03/SVC-17
#[test]
fn nothing_is_written_where_nothing_differs() {
    let release = shop(json!({"primary": {"labels": {"a": "b"}}, "trafficDistribution": "PreferClose"}));
    let shape = discovering(vec![port("metrics", 9090, "TCP"), port("dns", 53, "UDP")]);
    for side in SIDES {
        let mut live = created(&release, &shape, side);
        // In another order, and with what the API server adds.
        live["spec"]["ports"].as_array_mut().expect("ports").reverse();
        json_patch::merge(
            &mut live,
            &json!({"spec": {"clusterIP": "10.0.0.1", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None"}}),
        );
        assert_eq!(plan(&release, &shape, side, &seen([live.clone()])), Ok(vec![]));
        assert_eq!(presence(&release, &shape, side, &seen([live])), Presence::InPlace);
        assert_eq!(presence(&release, &shape, side, &seen([])), Presence::Absent);
    }
}

// spec: 03/SVC-16 03/ORD-04
#[rstest]
#[case::port(json!({"spec": {"ports": [{"name": "http", "port": 81, "protocol": "TCP", "targetPort": 8080}]}}))]
#[case::another_port(json!({"spec": {"ports": [
    {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080},
    {"name": "debug", "port": 6060, "protocol": "TCP", "targetPort": 6060},
]}}))]
#[case::app_protocol(json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "appProtocol": "h2"}]}}))]
#[case::selector(json!({"spec": {"selector": {"app": "frontend"}}}))]
#[case::narrower_selector(json!({"spec": {"selector": {"tier": "web"}}}))]
#[case::distribution(json!({"spec": {"trafficDistribution": "PreferClose"}}))]
#[case::label(json!({"metadata": {"labels": {"app": "other"}}}))]
#[case::mark(json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": null}}}))]
fn drift_of_our_own_service_is_undone(#[case] drift: Value) {
    let release = shop(json!({}));
    let live = created(&release, &shape(), Side::Apex);
    let drifted = with(&live, drift);
    assert_eq!(presence(&release, &shape(), Side::Apex, &seen([drifted.clone()])), Presence::Drifted);
    let writes = planned(&release, Side::Apex, &drifted);
    assert_eq!(applied(&[drifted], &writes), [live]);
}

#[rstest]
#[case::set(json!({}), json!({"trafficDistribution": "PreferSameZone"}))]
#[case::unset(json!({"trafficDistribution": "PreferSameZone"}), json!({}))]
#[case::port(json!({}), json!({"port": 8000, "targetPort": "web"}))]
#[case::port_name(json!({}), json!({"portName": "web"}))]
#[case::labels(json!({"apex": {"labels": {"a": "b"}}}), json!({"apex": {"labels": {"c": "d"}}}))]
#[case::app_protocol(json!({"appProtocol": "grpc"}), json!({}))]
fn an_edit_of_the_manifest_reaches_our_own_service(#[case] before: Value, #[case] after: Value) {
    let (before, after) = (shop(before), shop(after));
    let live = created(&before, &shape(), Side::Apex);
    let writes = planned(&after, Side::Apex, &live);
    assert_eq!(applied(&[live], &writes), [created(&after, &shape(), Side::Apex)]);
}

// spec: 03/SVC-12 03/SVC-13
#[rstest]
#[case::removed(json!({}), json!({}))]
#[case::kept(json!({"unmanagedMetadata": {"labels": ["l"], "annotations": ["a", "absent"]}}), json!({"l": "1", "a": "2"}))]
fn foreign_metadata_on_our_own_service_goes_unless_it_is_unmanaged(
    #[case] manifest: Value,
    #[case] expected: Value,
) {
    let release = shop(manifest);
    let own = created(&release, &shape(), Side::Canary);
    let live = with(&own, json!({"metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}}}));
    let result = applied(from_ref(&live), &planned(&release, Side::Canary, &live)).remove(0);
    let found = [("labels", "l"), ("annotations", "a")]
        .into_iter()
        .filter_map(|(map, key)| Some((key.to_owned(), result["metadata"][map].get(key)?.clone())));
    assert_eq!(Value::Object(found.collect()), expected);
}

// spec: 03/SVC-14 03/SVC-15 03/OWN-03
#[test]
fn a_users_service_is_taken_over_and_remains_what_it_is() {
    let writes = planned(&shop(json!({})), Side::Apex, &load_balancer());
    let patch = patched(&writes);
    assert_eq!(
        patch,
        json!({
            "metadata": {"annotations": {
                "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
                "helm.toolkit.fluxcd.io/driftDetection": "disabled",
            }},
            "spec": {
                "selector": {"app": "frontend-primary", "tier": null},
                "ports": [
                    {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080, "appProtocol": "http"},
                    {"name": "admin", "port": 9000, "protocol": "TCP", "targetPort": 9000, "nodePort": 30900},
                ],
            },
        })
    );
    let taken = applied(&[load_balancer()], &writes).remove(0);
    assert_eq!(planned(&shop(json!({})), Side::Apex, &taken), [], "once");
}

// spec: 03/SVC-15
#[test]
fn a_node_port_goes_with_the_name_of_its_port() {
    let own = created(&shop(json!({})), &shape(), Side::Apex);
    let live = with(
        &own,
        json!({"spec": {"type": "NodePort", "ports": [
            {"name": "http", "port": 8000, "protocol": "TCP", "targetPort": 8080, "nodePort": 30001},
            {"name": "other", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30002},
        ]}}),
    );
    let patch = patched(&planned(&shop(json!({})), Side::Apex, &live));
    assert_eq!(
        patch,
        json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30001}]}})
    );
}

#[test]
fn marks_alone_are_no_reason_to_touch_a_users_service() {
    let live = with(
        &load_balancer(),
        json!({"spec": {"selector": {"app": "frontend-primary", "tier": null}, "ports": [
            {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080},
        ]}}),
    );
    assert_eq!(planned(&shop(json!({"apex": {"labels": {"a": "b"}}})), Side::Apex, &live), []);
}

#[test]
fn the_service_of_another_canary_is_refused_where_it_would_have_to_change() {
    let release = shop(json!({}));
    let owner =
        json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "old", "controller": true}]);
    let same =
        with(&created(&release, &shape(), Side::Apex), json!({"metadata": {"ownerReferences": owner}}));
    assert_eq!(presence(&release, &shape(), Side::Apex, &seen([same.clone()])), Presence::InPlace);
    let other = with(&same, json!({"spec": {"selector": {"app": "other-primary"}}}));
    assert_eq!(
        presence(&release, &shape(), Side::Apex, &seen([other])),
        Presence::Refused(
            "Service frontend.shop belongs to Canary old.shop, delete that one or give frontend.shop another \
             spec.service.name"
                .into()
        )
    );
}

fn taken_over(applied_by_kubectl: Option<Value>) -> Value {
    let annotation = applied_by_kubectl.map(|object| object.to_string());
    let live = with(&load_balancer(), json!({"metadata": {"annotations": {LAST_APPLIED: annotation}}}));
    applied(from_ref(&live), &planned(&shop(json!({})), Side::Apex, &live)).remove(0)
}

// spec: 03/SVC-19 03/SVC-23
#[test]
fn a_users_service_gets_back_what_kubectl_applied() {
    let ports = json!([{"name": "web", "port": 80, "targetPort": "http"}]);
    let applied_object = json!({"spec": {"selector": {"app": "frontend", "tier": "web"}, "ports": ports}});
    let live = taken_over(Some(applied_object));
    let writes = finalize(&release(), &shape(), &seen([live.clone()])).expect("writes");
    let back = applied(&[live], &writes).remove(0);
    assert_eq!(back["spec"]["selector"], json!({"app": "frontend", "tier": "web"}));
    assert_eq!(
        back["spec"]["ports"],
        json!([{"name": "web", "port": 80, "targetPort": "http", "nodePort": 30080}])
    );
    assert_eq!(back["spec"]["type"], "LoadBalancer");
    let mut keys: Vec<_> = back["metadata"]["annotations"].as_object().expect("annotations").keys().collect();
    keys.retain(|key| *key != LAST_APPLIED);
    assert_eq!(keys, ["cloud.example.com/address"]);
    assert_eq!(finalize(&release(), &shape(), &seen([back])), Ok(vec![]), "once");
}

#[test]
fn marks_that_the_user_had_stay() {
    let applied_object = json!({
        "metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}},
        "spec": {"selector": {"app": "frontend"}},
    });
    let live = taken_over(Some(applied_object));
    let writes = finalize(&release(), &shape(), &seen([live.clone()])).expect("writes");
    let annotations = applied(&[live], &writes).remove(0)["metadata"]["annotations"].clone();
    assert_eq!(annotations["kustomize.toolkit.fluxcd.io/reconcile"], "disabled");
    assert_eq!(annotations["helm.toolkit.fluxcd.io/driftDetection"], json!(null));
}

// spec: 03/SVC-20 03/SVC-23
#[test]
fn without_kubectl_the_selector_is_the_targets() {
    let live = taken_over(None);
    let writes = finalize(&release(), &shape(), &seen([live.clone()])).expect("writes");
    let back = applied(&[live], &writes).remove(0);
    assert_eq!(back["spec"]["selector"], json!({"app": "frontend"}));
    assert_eq!(back["metadata"]["annotations"], json!({"cloud.example.com/address": "static"}));
}

// spec: 03/SVC-21 03/SVC-22
#[rstest]
#[case::missing(None)]
#[case::ours(Some(json!([{"kind": "Canary", "name": "frontend", "controller": true}])))]
#[case::anothers(Some(json!([{"kind": "Canary", "name": "other", "controller": true}])))]
fn there_is_nothing_to_give_back(#[case] owners: Option<Value>) {
    let live = owners.map(|owners| with(&taken_over(None), json!({"metadata": {"ownerReferences": owners}})));
    assert_eq!(finalize(&release(), &shape(), &seen(live)), Ok(vec![]));
}

#[test]
fn an_annotation_that_is_no_json_is_an_error_and_nothing_is_lost() {
    let live = with(&taken_over(None), json!({"metadata": {"annotations": {LAST_APPLIED: "{not json"}}}));
    let error = finalize(&release(), &shape(), &seen([live])).expect_err("an error").to_string();
    assert!(
        error.starts_with(
            "Service frontend.shop failed to unMarshal annotation kubectl.kubernetes.io/last-applied-configuration: "
        ),
        "{error}"
    );
}

#[test]
fn nonsense_does_no_harm() {
    let live = json!({"kind": "Service", "metadata": {"name": "frontend", "namespace": "shop", "ownerReferences": 3}, "spec": {"ports": [1, null, {"port": "x"}], "selector": []}});
    let repaired = applied(from_ref(&live), &planned(&shop(json!({})), Side::Apex, &live)).remove(0);
    assert_eq!(repaired["spec"]["selector"], json!({"app": "frontend-primary"}));
    assert!(finalize(&release(), &shape(), &seen([foreign(&live)])).is_ok());
}
