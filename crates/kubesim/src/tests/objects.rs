//! Writing and reading objects.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Service};
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::{ApiResource, GroupVersionKind, PartialObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::*;

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("not an answer of the API: {other}"),
    }
}

fn widget_api(sim: &KubeSim) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", "v1", "Widget"), "widgets");
    Api::namespaced_with(sim.client("tester"), "shop", &resource)
}

fn widget(spec: Value) -> DynamicObject {
    typed(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}))
}

#[tokio::test(start_paused = true)]
async fn a_new_object_has_what_the_server_gives() {
    let sim = KubeSim::builder().build();
    let made = create(&sim, &deployment("web", 2, "web:1")).await;
    assert_eq!(Some(1), made.metadata.generation);
    assert_eq!("2026-01-01T00:00:00Z", serde_json::to_value(&made).unwrap()["metadata"]["creationTimestamp"]);
    assert_eq!(36, made.uid().unwrap().len());
    let spec = made.spec;
    assert_eq!((Some(600), Some(10)), (spec.progress_deadline_seconds, spec.revision_history_limit));
    let again = api(&sim).create(&PostParams::default(), &deployment("web", 2, "web:1")).await;
    assert_eq!((409, "AlreadyExists".to_owned()), code(again.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn generated_names_differ_and_repeat_with_the_seed() {
    let names = async || {
        let sim = KubeSim::builder().seed(3).build();
        let mut object = config_map("x", "1");
        object.metadata.name = None;
        object.metadata.generate_name = Some("job-".into());
        [create(&sim, &object).await.name_any(), create(&sim, &object).await.name_any()]
    };
    let first = names().await;
    assert_ne!(first[0], first[1]);
    assert!(first[0].starts_with("job-") && first[0].len() == 9);
    assert_eq!(first, names().await);
}

#[tokio::test(start_paused = true)]
async fn the_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations() {
    let sim = KubeSim::builder().without_workloads().build();
    create(&sim, &deployment("web", 2, "web:1")).await;
    let api: Api<Deployment> = api(&sim);
    let merge = async |patch: Value| {
        api.patch("web", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
            .metadata
            .generation
            .unwrap()
    };
    assert_eq!(1, merge(json!({"metadata": {"labels": {"a": "b"}}})).await);
    assert_eq!(2, merge(json!({"metadata": {"annotations": {"a": "b"}}})).await);
    assert_eq!(3, merge(json!({"spec": {"replicas": 3}})).await);
    assert_eq!(3, merge(json!({"status": {"replicas": 9}})).await);
    let status = Patch::Merge(json!({"spec": {"replicas": 7}, "status": {"replicas": 3}}));
    let after = api.patch_status("web", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(
        (Some(3), Some(3), Some(3)),
        (after.metadata.generation, after.spec.replicas, after.status.unwrap().replicas)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_keeps_the_resource_version() {
    let sim = KubeSim::builder().build();
    let made = create(&sim, &config_map("a", "1")).await;
    let api: Api<ConfigMap> = api(&sim);
    let same = api.replace("a", &PostParams::default(), &made).await.unwrap();
    assert_eq!(made.resource_version(), same.resource_version());
    let patched =
        api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "1"}}))).await.unwrap();
    assert_eq!(made.resource_version(), patched.resource_version());
}

#[tokio::test(start_paused = true)]
async fn a_write_under_an_old_resource_version_is_a_conflict() {
    let sim = KubeSim::builder().build();
    let old = create(&sim, &config_map("a", "1")).await;
    let api: Api<ConfigMap> = api(&sim);
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    let put = api.replace("a", &PostParams::default(), &old).await;
    assert_eq!((409, "Conflict".to_owned()), code(put.unwrap_err()));
    let patch = json!({"metadata": {"resourceVersion": old.resource_version()}, "data": {"key": "3"}});
    let patched = api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await;
    assert_eq!((409, "Conflict".to_owned()), code(patched.unwrap_err()));
    let mut blind = old;
    blind.metadata.resource_version = None;
    api.replace("a", &PostParams::default(), &blind).await.expect("a PUT without version is unconditional");
}

#[tokio::test(start_paused = true)]
async fn an_object_with_finalizers_waits_for_them() {
    let sim = KubeSim::builder().build();
    let mut object = config_map("a", "1");
    object.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    create(&sim, &object).await;
    let api: Api<ConfigMap> = api(&sim);
    let marked =
        api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object is answered");
    assert!(marked.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    assert_eq!(422, code(api.patch("a", &PatchParams::default(), &more).await.unwrap_err()).0);
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}})))
        .await
        .unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn kube_own_finalizer_patch_is_understood() {
    // A JSON patch whose first operation tests a missing path against null.
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    let patch: json_patch::Patch = typed(json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]},
    ]));
    let api: Api<ConfigMap> = api(&sim);
    let patched =
        api.patch::<ConfigMap>("a", &PatchParams::default(), &Patch::Json(patch.clone())).await.unwrap();
    assert_eq!(["example.com/hold"], patched.finalizers());
    let again = api.patch::<ConfigMap>("a", &PatchParams::default(), &Patch::Json(patch)).await;
    assert_eq!(422, code(again.unwrap_err()).0);
}

#[tokio::test(start_paused = true)]
async fn deletion_keeps_to_its_preconditions() {
    let sim = KubeSim::builder().build();
    let made = create(&sim, &config_map("a", "1")).await;
    let api: Api<ConfigMap> = api(&sim);
    let only = |uid: String| DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(409, code(api.delete("a", &only("another".into())).await.unwrap_err()).0);
    let done = api.delete("a", &only(made.uid().unwrap())).await.unwrap();
    assert!(done.is_right(), "what is gone at once is answered by a status");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let sim = KubeSim::builder().build();
    let api: Api<ConfigMap> = api(&sim);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry, &config_map("a", "1")).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
    create(&sim, &config_map("a", "1")).await;
    let patch = PatchParams { dry_run: true, ..PatchParams::default() };
    let seen = api.patch("a", &patch, &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    assert_eq!("2", seen.data.unwrap()["key"]);
    assert_eq!("1", api.get("a").await.unwrap().data.unwrap()["key"]);
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_owner_unless_orphaned() {
    let sim = KubeSim::builder().build();
    let api: Api<ConfigMap> = api(&sim);
    for (policy, left) in [
        (PropagationPolicy::Background, false),
        (PropagationPolicy::Foreground, false),
        (PropagationPolicy::Orphan, true),
    ] {
        let owner = create(&sim, &config_map("owner", "1")).await;
        let mut child = config_map("child", "1");
        child.metadata.owner_references = Some(vec![typed(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(), "blockOwnerDeletion": true, "controller": true,
        }))]);
        create(&sim, &child).await;
        let params = DeleteParams { propagation_policy: Some(policy.clone()), ..DeleteParams::default() };
        api.delete("owner", &params).await.unwrap();
        pass(1).await;
        assert!(api.get_opt("owner").await.unwrap().is_none(), "{policy:?}");
        let child = api.get_opt("child").await.unwrap();
        assert_eq!(left, child.is_some(), "{policy:?}");
        assert!(child.is_none_or(|c| c.owner_references().is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_owner_never_was_is_collected() {
    let sim = KubeSim::builder().build();
    let mut child = config_map("child", "1");
    child.metadata.owner_references =
        Some(vec![typed(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "no-such"}))]);
    create(&sim, &child).await;
    pass(1).await;
    assert!(api::<ConfigMap>(&sim).get_opt("child").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_content_along() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    create(&sim, &deployment("web", 2, "web:1")).await;
    pass(10).await;
    assert!(sim.delete("namespace", "", "shop"));
    let refused = api(&sim).create(&PostParams::default(), &config_map("b", "1")).await;
    assert_eq!((403, "Forbidden".to_owned()), code(refused.unwrap_err()));
    pass(60).await;
    assert_eq!(None, sim.get("namespace", "", "shop"));
    assert!(sim.list("pods", Some("shop")).is_empty() && sim.list("configmaps", Some("shop")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn lists_are_selected_and_paged_at_one_version() {
    let sim = KubeSim::builder().build();
    for n in 0..7 {
        create(&sim, &config_map(&format!("c{n}"), "1")).await;
    }
    let api: Api<ConfigMap> = api(&sim);
    let some = api.list(&ListParams::default().labels("app in (c1, c2),app!=c2")).await.unwrap();
    assert_eq!(vec!["c1"], some.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    let one = api.list(&ListParams::default().fields("metadata.name=c3")).await.unwrap();
    assert_eq!(1, one.items.len());
    let first = api.list(&ListParams::default().limit(3)).await.unwrap();
    create(&sim, &config_map("c9", "1")).await;
    api.delete("c5", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let rest = api.list(&ListParams::default().limit(100).continue_token(&token)).await.unwrap();
    assert_eq!(first.metadata.resource_version, rest.metadata.resource_version);
    assert_eq!(vec!["c3", "c4", "c5", "c6"], rest.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    sim.expire(sim.revision());
    let late = api.list(&ListParams::default().continue_token(&token)).await;
    assert_eq!((410, "Expired".to_owned()), code(late.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_can_be_asked_for() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    let list = api::<ConfigMap>(&sim).list_metadata(&ListParams::default()).await.unwrap();
    let one: &PartialObjectMeta<ConfigMap> = &list.items[0];
    assert_eq!("a", one.name_any());
    let patched = api::<ConfigMap>(&sim)
        .patch_metadata(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}})),
        )
        .await
        .unwrap();
    assert_eq!("y", patched.labels()["x"]);
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_owns_and_defends() {
    let sim = KubeSim::builder().without_workloads().build();
    let api: Api<Deployment> = api(&sim);
    let mut wanted = serde_json::to_value(deployment("web", 2, "web:1")).unwrap();
    wanted["apiVersion"] = json!("apps/v1");
    wanted["kind"] = json!("Deployment");
    let made = api.patch("web", &PatchParams::apply("alice"), &Patch::Apply(&wanted)).await.unwrap();
    assert_eq!(Some(2), made.spec.replicas);
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}});
    let refused = api.patch("web", &PatchParams::apply("bob"), &Patch::Apply(&other)).await.unwrap_err();
    assert_eq!((409, "Conflict".to_owned()), code(refused));
    let forced = api.patch("web", &PatchParams::apply("bob").force(), &Patch::Apply(&other)).await.unwrap();
    assert_eq!(Some(5), forced.spec.replicas);
    let anonymous = api.patch("web", &PatchParams::default(), &Patch::Apply(&other)).await.unwrap_err();
    assert_eq!(422, code(anonymous).0);
}

#[tokio::test(start_paused = true)]
async fn the_scale_of_a_deployment_is_its_replicas() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 2, "web:1")).await;
    let api: Api<Deployment> = api(&sim);
    pass(5).await;
    let scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(Some("app=web"), scale.status.unwrap().selector.as_deref());
    let patched = api
        .patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await
        .unwrap();
    assert_eq!(Some(4), patched.spec.unwrap().replicas);
    assert_eq!(Some(2), api.get("web").await.unwrap().metadata.generation);
}

#[tokio::test(start_paused = true)]
async fn a_definition_serves_defaults_prunes_and_validates_at_once() {
    let sim = KubeSim::builder().build();
    let api = widget_api(&sim);
    assert_eq!(404, code(api.list(&ListParams::default()).await.unwrap_err()).0);
    let definition = sim.put(widgets());
    assert_eq!(
        json!(["NamesAccepted", "Established"]),
        json!([definition["status"]["conditions"][0]["type"], definition["status"]["conditions"][1]["type"]])
    );
    let made =
        api.create(&PostParams::default(), &widget(json!({"colour": "red", "unknown": 1}))).await.unwrap();
    assert_eq!(json!({"size": 3, "colour": "red"}), made.data["spec"]);
    let wrong = api
        .patch("w", &PatchParams::default(), &Patch::Merge(json!({"spec": {"size": 0}})))
        .await
        .unwrap_err();
    assert_eq!((422, "Invalid".to_owned()), code(wrong));
    let strict = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let refused = api.patch("w", &strict, &Patch::Merge(json!({"spec": {"siez": 4}}))).await.unwrap_err();
    assert_eq!(400, code(refused).0);
    sim.delete("crd", "", "widgets.example.com");
    assert_eq!(404, code(api.list(&ListParams::default()).await.unwrap_err()).0);
}

#[tokio::test(start_paused = true)]
async fn a_custom_object_counts_generations_and_keeps_its_status_apart() {
    let sim = KubeSim::builder().with_object(widgets()).build();
    let api = widget_api(&sim);
    api.create(&PostParams::default(), &widget(json!({}))).await.unwrap();
    let merge =
        async |patch: Value| api.patch("w", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let main = merge(json!({"status": {"phase": "Done"}})).await;
    assert!(main.data.get("status").is_none());
    let status = api
        .patch_status("w", &PatchParams::default(), &Patch::Merge(json!({"status": {"phase": "Done"}})))
        .await
        .unwrap();
    assert_eq!(
        (Some(1), "Done"),
        (status.metadata.generation, status.data["status"]["phase"].as_str().unwrap())
    );
    assert_eq!(Some(2), merge(json!({"spec": {"size": 5}})).await.metadata.generation);
    let mut blind = merge(json!({})).await;
    blind.metadata.resource_version = None;
    let refused = api.replace("w", &PostParams::default(), &blind).await.unwrap_err();
    assert_eq!(422, code(refused).0);
}

#[tokio::test(start_paused = true)]
async fn the_two_groups_of_events_are_one_storage() {
    let sim = KubeSim::builder().build();
    let event: Event = typed(json!({
        "metadata": {"name": "e"}, "type": "Normal", "reason": "Synced", "message": "hello",
        "involvedObject": {"kind": "Deployment", "name": "web", "namespace": "shop"},
    }));
    create(&sim, &event).await;
    let new = api::<k8s_openapi::api::events::v1::Event>(&sim).get("e").await.unwrap();
    assert_eq!(Some("hello"), new.note.as_deref());
    let found = api::<Event>(&sim)
        .list(&ListParams::default().fields("involvedObject.name=web,reason=Synced"))
        .await
        .unwrap();
    assert_eq!(1, found.items.len());
}

#[tokio::test(start_paused = true)]
async fn a_service_is_given_an_address_that_stays() {
    let sim = KubeSim::builder().build();
    let service =
        |name: &str| typed::<Service>(json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}));
    let first = create(&sim, &service("a")).await.spec.unwrap();
    let second = create(&sim, &service("b")).await.spec.unwrap();
    assert!(first.cluster_ip.as_ref().unwrap().starts_with("10.96."));
    assert_ne!(first.cluster_ip, second.cluster_ip);
    let port = json!(first.ports.unwrap()[0]);
    assert_eq!(json!({"port": 80, "protocol": "TCP", "targetPort": 80}), port);
    let change = Patch::Merge(json!({"spec": {"clusterIP": "10.96.9.9"}}));
    let refused = api::<Service>(&sim).patch("a", &PatchParams::default(), &change).await.unwrap_err();
    assert_eq!(422, code(refused).0);
}

#[tokio::test(start_paused = true)]
async fn the_selector_of_a_deployment_is_immutable() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 2, "web:1")).await;
    let patch = json!({"spec": {"selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}}}}});
    let refused = api::<Deployment>(&sim)
        .patch("web", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else { panic!() };
    assert!(
        status.message.starts_with("Deployment.apps \"web\" is invalid: spec.selector: Invalid value:"),
        "{}",
        status.message
    );
    assert!(status.message.contains("field is immutable"), "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn ill_typed_objects_are_refused_with_the_reason() {
    let sim = KubeSim::builder().with_object(widgets()).build();
    let post = async |path: &str, body: &str| {
        let request = http::Request::post(path).body(body.as_bytes().to_vec()).unwrap();
        match sim.client("tester").request::<Value>(request).await {
            Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
            other => panic!("{other:?}"),
        }
    };
    let deployments = "/apis/apps/v1/namespaces/shop/deployments";
    for (path, body, part) in [
        (
            deployments,
            r#"{"metadata":{"name":"a"},"spec":{"replicas":"three"}}"#,
            "cannot be handled as a Deployment: spec.replicas: invalid type: string \"three\", expected i32",
        ),
        (deployments, r#"{"metadata":"a"}"#, "metadata must be an object"),
        (
            deployments,
            r#"{"metadata":{"name":"a","labels":{"x":1}}}"#,
            "metadata.labels must be an object whose values are strings",
        ),
        (deployments, r#"{"metadata":{"name":"a"},"spec":7}"#, "cannot be handled as a Deployment"),
        (deployments, r#"["#, "the body cannot be read"),
        (deployments, r#"[]"#, "the body is not a JSON object"),
        (deployments, "", "the request has no body"),
        (deployments, r#"{"kind":"Pod"}"#, "does not match the expected kind"),
        (
            deployments,
            r#"{"metadata":{"namespace":"other"}}"#,
            "the namespace of the provided object does not match",
        ),
        ("/apis/example.com/v1/namespaces/shop/widgets", r#"{"metadata":{"name":"w"},"spec":"x"}"#, "spec"),
    ] {
        let (code, message) = post(path, body).await;
        assert!(matches!(code, 400 | 422) && message.contains(part), "{body}: {code} {message}");
    }
    assert_eq!(422, post(deployments, r#"{"spec":{}}"#).await.0);
    assert_eq!(413, post(deployments, &" ".repeat(4_000_000)).await.0);
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_and_methods_are_said_to_be() {
    let sim = KubeSim::builder().build();
    let ask = async |method: &str, path: &str| {
        let request = http::Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
        match sim.client("tester").request::<Value>(request).await {
            Err(kube::Error::Api(status)) => status.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(404, ask("GET", "/apis/none/v1/things").await);
    assert_eq!(404, ask("GET", "/metrics").await);
    assert_eq!(405, ask("POST", "/api/v1/namespaces/shop/pods/x").await);
    assert_eq!(404, ask("GET", "/api/v1/namespaces/shop/configmaps/x/status").await);
}

#[tokio::test(start_paused = true)]
async fn an_apply_of_a_field_that_the_kind_lacks_is_refused() {
    let sim = KubeSim::builder().with_object(widgets()).build();
    let api = widget_api(&sim);
    let applied = widget(json!({"size": 4, "siez": 5}));
    let refused = api.patch("w", &PatchParams::apply("tester"), &Patch::Apply(&applied)).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("not an answer of the API") };
    assert_eq!(500, status.code);
    assert!(status.message.ends_with(".spec.siez: field not declared in schema"), "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn items_of_a_list_name_their_type_only_for_custom_kinds() {
    let sim = KubeSim::builder().with_object(widgets()).build();
    create(&sim, &config_map("a", "1")).await;
    widget_api(&sim).create(&PostParams::default(), &widget(json!({}))).await.unwrap();
    let items = async |path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        sim.client("tester").request::<Value>(request).await.unwrap()["items"][0]["kind"].clone()
    };
    assert_eq!(Value::Null, items("/api/v1/namespaces/shop/configmaps").await);
    assert_eq!("Widget", items("/apis/example.com/v1/namespaces/shop/widgets").await);
}
