//! What a RouteTemplate does, by example.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::RouteTemplateSpec;
use crate::model::object::Objects;
use crate::model::release::{Steps, Strategy};
use crate::router::testing::{canary_gets, release, shape};

fn spec(changes: Value) -> RouteTemplateSpec {
    let mut object = json!({
        "apiVersion": "mesh.example.com/v1",
        "kind": "Lane",
        "template": "spec:\n  backends:\n    - {name: {{ .primary }}, weight: {{ .primaryWeight }}}\n    - {name: {{ .canary }}, weight: {{ .canaryWeight }}}\n",
        "weights": {"backends": "spec.backends[]"},
    });
    json_patch::merge(&mut object, &changes);
    serde_json::from_value(json!({"objects": [object]})).expect("a template")
}

fn routed(spec: RouteTemplateSpec) -> Release {
    let by = RoutedBy { name: "lanes".into(), namespace: "shop".into(), found: Ok(Arc::new(spec)) };
    Release { template: Some(by), ..release() }
}

fn looking<T>(release: &Release, live: &[Value], look: impl Fn(&View<'_>) -> T) -> T {
    let kinds: Vec<Kind> = Templated.reads(release).into_iter().map(|id| id.kind).collect();
    let id = |object: &Value| {
        let kind = kinds.iter().find(|kind| object["kind"] == kind.kind).expect("a kind of the template");
        kind.at("shop", object["metadata"]["name"].as_str().unwrap_or_default())
    };
    let seen: Objects = live.iter().map(|object| (id(object), Arc::new(object.clone()))).collect();
    let (shape, settings) = (shape(), Settings::default());
    look(&View { release, shape: &shape, settings: &settings, seen: &seen })
}

/// A lane of ours with these backends.
fn lane(backends: Value) -> Value {
    json!({
        "kind": "Lane",
        "metadata": {"name": "frontend", "ownerReferences": [{
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "frontend", "uid": "u-1", "controller": true,
        }]},
        "spec": {"backends": backends},
    })
}

fn share(release: &Release, live: Value) -> Result<Option<u32>, String> {
    let state = looking(release, &[live], |view| Templated.state(view));
    state.map(|state| state.map(|state| state.split.canary())).map_err(|why| why.to_string())
}

#[rstest]
#[case::percent(json!([{"name": "frontend-primary", "weight": 90}, {"name": "frontend-canary", "weight": 10}]), Ok(Some(10)))]
#[case::in_relation(json!([{"name": "frontend-primary", "weight": 3}, {"name": "frontend-canary", "weight": 1}]), Ok(Some(25)))]
#[case::as_texts(json!([{"name": "frontend-primary", "weight": "900m"}, {"name": "frontend-canary", "weight": "100m"}]), Ok(Some(10)))]
#[case::without_weights(json!([{"name": "frontend-primary"}, {"name": "frontend-canary"}]), Ok(Some(50)))]
#[case::one_side(json!([{"name": "frontend-canary", "weight": 1}]), Ok(Some(100)))]
#[case::a_guest_without_a_share(json!([{"name": "frontend-primary", "weight": 1}, {"name": "guest", "weight": 0}]), Ok(Some(0)))]
#[case::a_guest(
    json!([{"name": "frontend-primary", "weight": 1}, {"name": "guest", "weight": 1}]),
    Err("does not divide the requests")
)]
#[case::nobody(json!([]), Err("does not divide the requests"))]
#[case::nothing(json!([{"name": "frontend-primary", "weight": 0}]), Err("does not divide the requests"))]
#[case::nonsense(json!([{"name": "frontend-primary", "weight": {}}]), Err("the weight {}"))]
#[case::no_list(json!("none"), Err("does not divide the requests"))]
fn the_share_is_read(#[case] backends: Value, #[case] expected: Result<Option<u32>, &str>) {
    let found = share(&routed(spec(json!({}))), lane(backends));
    match expected {
        Ok(expected) => assert_eq!(found, Ok(expected)),
        Err(why) => assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{found:?}"),
    }
}

#[test]
fn a_lane_of_a_user_that_leads_elsewhere_is_not_taken_over_yet() {
    let mut users = lane(json!([{"name": "elsewhere", "weight": 1}]));
    users["metadata"] = json!({"name": "frontend"});
    assert_eq!(share(&routed(spec(json!({}))), users), Ok(None));
}

#[rstest]
#[case::share(json!("10"), Ok(Some(10)))]
#[case::number(json!(35), Ok(Some(35)))]
#[case::too_much(json!(130), Ok(Some(100)))]
#[case::below_zero(json!(-1), Err("gives neither side a share"))]
#[case::nonsense(json!("some"), Err("where a weight should be"))]
#[case::nothing(json!(null), Err("where a weight should be"))]
fn the_share_is_read_from_one_place(#[case] weight: Value, #[case] expected: Result<Option<u32>, &str>) {
    let spec = spec(json!({
        "template": "spec: {share: {{ .canaryWeight }}}", "weights": {"backends": null, "canary": "spec.share"},
    }));
    let mut live = lane(json!([]));
    live["spec"] = json!({"share": weight});
    let found = share(&routed(spec), live);
    match expected {
        Ok(expected) => assert_eq!(found, Ok(expected)),
        Err(why) => assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{found:?}"),
    }
}

#[rstest]
#[case::group(json!({"apiVersion": "v1", "kind": "Secret"}), "spec.objects[0].apiVersion: \"v1\" with kind \"Secret\" is a kind of Kubernetes itself")]
#[case::rights(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}), "is a kind of Kubernetes itself")]
#[case::workload(json!({"apiVersion": "apps/v1", "kind": "Deployment"}), "is a kind of Kubernetes itself")]
#[case::canary(json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary"}), "is no route")]
#[case::policy(json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}), "is a kind of Kubernetes itself")]
#[case::scope(json!({"scope": "Everywhere"}), "spec.objects[0].scope: \"Everywhere\" is not known: write Namespaced or Cluster")]
#[case::plural(json!({"plural": "../secrets"}), "spec.objects[0].plural: \"../secrets\" cannot be one")]
#[case::template(json!({"template": "{{ if }}"}), "spec.objects[0].template: ")]
#[case::function(json!({"template": "spec: {{ env \"HOME\" }}"}), "function \"env\" not defined")]
#[case::no_weights(json!({"weights": null}), "spec.objects: has no object with weights")]
#[case::neither(json!({"weights": {"backends": null}}), "spec.objects[0].weights: says neither backends nor canary")]
#[case::no_list(json!({"weights": {"backends": "spec.backends"}}), "write spec.backends[]")]
#[case::path(json!({"weights": {"name": "a..b"}}), "spec.objects[0].weights.name: \"a..b\" has no name of a field")]
#[case::condition(json!({"match": {"conditions": ["headers.exakt"]}}), "did you mean headers.exact?")]
#[case::routed(json!({"match": {"conditions": [], "routed": "spec.x"}}), "spec.objects[0].match.routed: is for weights without backends")]
fn what_is_wrong_with_a_template_is_said_with_its_cure(#[case] changes: Value, #[case] expected: &str) {
    let said: Vec<String> = mistakes(&spec(changes), "shop").iter().map(Problem::to_string).collect();
    assert!(said.iter().any(|said| said.contains(expected)), "{said:?}");
}

#[rstest]
#[case::typo(json!({"template": "spec: {a: {{ .primaryWieght }}}"}), "line 1, column 14: map has no entry for key \"primaryWieght\": write one of .name")]
#[case::yaml(json!({"template": "spec: [{{ .port }}"}), "gives no YAML")]
#[case::text(json!({"template": "just a text"}), "gives no object")]
#[case::no_spec(json!({"template": "metadata: {}"}), "writes no spec")]
#[case::status(json!({"template": "spec: {a: 1}\nstatus: {}"}), "writes status")]
#[case::owner(json!({"template": "metadata: {ownerReferences: []}\nspec: {a: 1}"}), "writes metadata.ownerReferences")]
#[case::number(json!({"template": "metadata: {annotations: {a: 1}}\nspec: {a: 1}"}), "put it in quotes")]
#[case::kind(json!({"template": "kind: Street\nspec: {a: 1}"}), "writes kind \"Street\"")]
#[case::name(json!({"name": "{{ .canaryWeight }}"}), "map has no entry for key \"canaryWeight\"")]
#[case::bad_name(json!({"name": "../{{ .apex }}"}), "cannot be the name of an object")]
#[case::endless(json!({"template": "spec: {a: {{ range .hosts }}{{ end }}{{ template \"a\" }}}{{ define \"a\" }}{{ template \"a\" }}{{ end }}"}), "template")]
#[case::bomb(json!({"template": "spec:\n  a: &a [x, x]\n  b: [*a, *a]"}), "gives no YAML")]
fn what_does_not_fit_a_release_is_said_before_anything_happens(
    #[case] changes: Value,
    #[case] expected: &str,
) {
    let release = routed(spec(changes));
    let said: Vec<String> =
        Templated.problems(&release, &Settings::default()).iter().map(Problem::to_string).collect();
    assert!(said.iter().any(|said| said.contains(expected)), "{said:?}");
    assert!(
        said.iter()
            .all(|said| said.starts_with("spec.routeTemplateRef: RouteTemplate lanes.shop, spec.objects[0]")),
        "{said:?}"
    );
}

#[test]
fn what_a_template_does_not_write_is_refused_before_anything_happens() {
    let mut release = routed(spec(json!({})));
    release.analysis.strategy = Strategy::Weighted(Steps::By { step: 10, max: 50 });
    release.analysis.mirror = true;
    release.analysis.matches =
        serde_json::from_value(json!([{"headers": {"x-canary": {"regex": "a.*"}}}])).expect("a match");
    let said = |release: &Release| {
        let problems = Templated.problems(release, &Settings::default());
        problems.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let all = said(&release);
    assert!(
        all.iter().any(|said| said.starts_with("spec.analysis.match[0]: cannot be told apart")),
        "{all:?}"
    );
    assert!(all.iter().any(|said| said.starts_with("spec.analysis.mirror: is not possible")), "{all:?}");
    release.template =
        routed(spec(json!({"match": {"conditions": ["headers.exact"]}, "mirror": "spec.copy"}))).template;
    assert_eq!(
        said(&release),
        [
            "spec.analysis.match[0].headers.x-canary: asks for headers.regex, which RouteTemplate lanes.shop does not write: it \
          writes headers.exact"
        ]
    );
}

#[test]
fn a_template_that_is_not_there_is_said() {
    let found =
        Err("RouteTemplate lanes.shop does not exist: create it, or correct routeTemplateRef".to_owned());
    let mut release = routed(spec(json!({})));
    release.template = Some(RoutedBy { name: "lanes".into(), namespace: "shop".into(), found });
    let said: Vec<String> =
        Templated.problems(&release, &Settings::default()).iter().map(Problem::to_string).collect();
    assert_eq!(
        said,
        [
            "spec.routeTemplateRef: RouteTemplate lanes.shop does not exist: create it, or correct routeTemplateRef"
        ]
    );
}

#[test]
fn an_object_of_the_whole_cluster_that_is_somebody_elses_is_not_taken_over() {
    let release = routed(spec(json!({"scope": "Cluster"})));
    let id = Templated.reads(&release).remove(0);
    assert!(id.namespace.is_empty());
    let seen: Objects =
        [(id, Arc::new(json!({"metadata": {"name": "frontend"}, "spec": {}})))].into_iter().collect();
    let (shape, settings) = (shape(), Settings::default());
    let view = View { release: &release, shape: &shape, settings: &settings, seen: &seen };
    let refused = Templated.desired(&view, &canary_gets(10)).expect_err("refused").to_string();
    assert!(refused.contains("belongs to the whole cluster"), "{refused}");
}

#[test]
fn the_fields_of_the_service_that_a_template_uses_are_honoured() {
    let uses = |text: &str, field: ServiceField| {
        honours(routed(spec(json!({"template": text}))).template.as_ref().expect("routed"), field)
    };
    assert!(uses("{{ .service.timeout }}", ServiceField::Timeout));
    assert!(uses("{{ toJson .hosts }}", ServiceField::Hosts));
    assert!(!uses("{{ .service.timeouts }}", ServiceField::Timeout));
    assert!(!uses("timeout", ServiceField::Timeout));
}

#[test]
fn weights_come_out_as_numbers() {
    let release = routed(spec(json!({})));
    let desired = looking(&release, &[], |view| Templated.desired(view, &canary_gets(35))).expect("rendered");
    let backends = &desired[0].fields["spec"]["backends"];
    assert_eq!(backends[1], json!({"name": "frontend-canary", "weight": 35}));
}
