use chrono::TimeZone;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(second: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, second).single().expect("a time")
}

fn applier(name: &str, second: u32) -> Manager<'_> {
    Manager { name, operation: Operation::Apply, api_version: "apps/v1", subresource: None, now: at(second) }
}

fn updater(name: &str, second: u32) -> Manager<'_> {
    Manager { operation: Operation::Update, ..applier(name, second) }
}

fn deployments() -> MergeSchema {
    MergeSchema::for_builtin("apps", "Deployment")
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn apply(live: Option<&Value>, spec: Value, manager: &Manager<'_>) -> Result<Value, ApplyError> {
    server_side_apply(live, &deployment(spec), manager, false, &deployments())
}

fn updated(live: &Value, manager: &Manager<'_>, change: impl FnOnce(&mut Value)) -> Value {
    let mut after = live.clone();
    change(&mut after);
    track_update(Some(live), &mut after, manager, &deployments());
    after
}

fn entry<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"].as_array()?.iter().find(|e| e["manager"] == manager)
}

fn owned(object: &Value, manager: &str) -> Vec<String> {
    entry(object, manager).map(|e| FieldSet::from_value(&e["fieldsV1"]).paths()).unwrap_or_default()
}

fn containers(list: Value) -> Value {
    json!({"template": {"spec": {"containers": list}}})
}

#[test]
fn the_first_apply_makes_the_object_and_owns_what_it_says() {
    let spec = json!({
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]}]},
        },
    });
    let object = apply(None, spec.clone(), &applier("me", 5)).expect("no conflict");
    assert_eq!(spec, object["spec"]);
    assert_eq!(
        json!([{
            "manager": "me", "operation": "Apply", "apiVersion": "apps/v1",
            "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {
                        ".": {}, "f:image": {}, "f:name": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    }}},
                },
            }},
        }]),
        object["metadata"]["managedFields"]
    );
}

#[test]
fn a_field_of_another_manager_is_a_conflict_until_it_is_forced() {
    let live = apply(None, json!({"replicas": 2, "paused": false}), &applier("a", 1)).expect("new");
    let live = updated(&live, &updater("kubectl-edit", 2), |o| o["spec"]["replicas"] = json!(5));

    let refusal = apply(Some(&live), json!({"replicas": 3}), &applier("b", 3)).expect_err("a conflict");
    assert_eq!(
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas",
        refusal.to_string()
    );
    let body = refusal.status().to_value();
    assert_eq!(json!(409), body["code"]);
    assert_eq!(
        json!([{"reason": "FieldManagerConflict",
                "message": "conflict with \"kubectl-edit\" using apps/v1", "field": ".spec.replicas"}]),
        body["details"]["causes"]
    );

    let desired = deployment(json!({"replicas": 3}));
    let forced =
        server_side_apply(Some(&live), &desired, &applier("b", 3), true, &deployments()).expect("forced");
    assert_eq!(json!(3), forced["spec"]["replicas"]);
    assert_eq!(vec![".spec.replicas"], owned(&forced, "b"));
    assert_eq!(None, entry(&forced, "kubectl-edit"));
    assert_eq!(vec![".spec.paused"], owned(&forced, "a"));
}

#[test]
fn several_conflicts_are_told_manager_by_manager() {
    let live = apply(None, json!({"replicas": 2, "paused": false}), &applier("a", 1)).expect("new");
    let live = apply(Some(&live), json!({"minReadySeconds": 1}), &applier("b", 1)).expect("no conflict");
    let spec = json!({"replicas": 3, "paused": true, "minReadySeconds": 2});
    assert_eq!(
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas\n\
         conflicts with \"b\":\n- .spec.minReadySeconds",
        apply(Some(&live), spec, &applier("c", 2)).expect_err("conflicts").to_string()
    );
}

#[test]
fn the_same_value_is_owned_by_both() {
    let live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    let both = apply(Some(&live), json!({"replicas": 2}), &applier("b", 2)).expect("no conflict");
    assert_eq!(vec![".spec.replicas"], owned(&both, "a"));
    assert_eq!(vec![".spec.replicas"], owned(&both, "b"));

    let a_left = apply(Some(&both), json!({"paused": true}), &applier("a", 3)).expect("no conflict");
    assert_eq!(json!(2), a_left["spec"]["replicas"], "still owned by b");
    let b_left = apply(Some(&a_left), json!({}), &applier("b", 4)).expect("no conflict");
    assert_eq!(json!({"paused": true}), b_left["spec"]);
}

#[test]
fn what_a_manager_no_longer_applies_goes_with_all_that_nobody_owns_in_it() {
    let spec = containers(json!([{"name": "app", "image": "app:1"}, {"name": "side", "image": "side:1"}]));
    let mut live = apply(None, spec, &applier("a", 1)).expect("new");
    for container in [0, 1] {
        // As the server fills in: nobody's.
        live["spec"]["template"]["spec"]["containers"][container]["imagePullPolicy"] = json!("Always");
    }
    let spec = containers(json!([{"name": "app", "image": "app:1"}]));
    let after = apply(Some(&live), spec, &applier("a", 2)).expect("no conflict");
    assert_eq!(
        json!([{"name": "app", "image": "app:1", "imagePullPolicy": "Always"}]),
        after["spec"]["template"]["spec"]["containers"]
    );
}

#[test]
fn an_item_in_which_another_owns_a_field_stays() {
    let spec = containers(json!([{"name": "app", "image": "app:1", "command": ["run"]}]));
    let live = apply(None, spec, &applier("a", 1)).expect("new");
    let env = json!([{"name": "X", "value": "1"}]);
    let spec = containers(json!([{"name": "app", "env": env}]));
    let live = apply(Some(&live), spec, &applier("b", 2)).expect("no conflict");
    let after = apply(Some(&live), json!({"replicas": 1}), &applier("a", 3)).expect("no conflict");
    assert_eq!(json!([{"name": "app", "env": env}]), after["spec"]["template"]["spec"]["containers"]);
}

#[test]
fn the_values_of_a_set_have_owners_of_their_own() {
    let apply = |live: Option<&Value>, finalizers: Value, name: &str| {
        let mut config = deployment(json!({}));
        config["metadata"]["finalizers"] = finalizers;
        server_side_apply(live, &config, &applier(name, 1), false, &deployments()).expect("no conflict")
    };
    let live = apply(None, json!(["x", "y"]), "a");
    let live = apply(Some(&live), json!(["y", "z"]), "b");
    assert_eq!(json!(["x", "y", "z"]), live["metadata"]["finalizers"]);
    let live = apply(Some(&live), json!(["x"]), "a");
    assert_eq!(json!(["x", "y", "z"]), live["metadata"]["finalizers"]);
    let live = apply(Some(&live), json!(["z"]), "b");
    assert_eq!(json!(["x", "z"]), live["metadata"]["finalizers"]);
    assert_eq!(vec![".metadata.finalizers[=\"z\"]"], owned(&live, "b")[..1].to_vec());
}

#[test]
fn an_apply_that_changes_nothing_gives_back_the_same_object() {
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}});
    let live = apply(None, spec.clone(), &applier("a", 1)).expect("new");
    let mut live = updated(&live, &updater("b", 2), |o| o["spec"]["paused"] = json!(true));
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["resourceVersion"] = json!("7");
    live["metadata"]["generation"] = json!(2);
    live["status"] = json!({"replicas": 2});
    assert_eq!(Ok(live.clone()), apply(Some(&live), spec, &applier("a", 9)));
}

#[test]
fn the_time_of_an_entry_moves_only_when_it_changes() {
    let live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    let live = apply(Some(&live), json!({"paused": true}), &applier("b", 2)).expect("no conflict");
    let live = apply(Some(&live), json!({"replicas": 2}), &applier("a", 3)).expect("no conflict");
    let time = |object: &Value, name: &str| entry(object, name).map(|e| e["time"].clone());
    assert_eq!(Some(json!("2026-01-02T03:04:01Z")), time(&live, "a"));
    let live = apply(Some(&live), json!({"replicas": 4}), &applier("a", 4)).expect("no conflict");
    assert_eq!(Some(json!("2026-01-02T03:04:04Z")), time(&live, "a"));
    assert_eq!(Some(json!("2026-01-02T03:04:02Z")), time(&live, "b"));
}

#[test]
fn an_object_without_record_belongs_to_those_before() {
    let mut live = deployment(json!({"replicas": 2}));
    live["metadata"]["uid"] = json!("u");
    let refusal = apply(Some(&live), json!({"replicas": 3}), &applier("a", 1)).expect_err("a conflict");
    assert_eq!(
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas",
        refusal.to_string()
    );
}

#[test]
fn an_apply_to_the_object_leaves_its_status_alone_and_the_other_way_round() {
    let mut live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    live["status"] = json!({"replicas": 2});
    let mut config = deployment(json!({"replicas": 3}));
    config["status"] = json!({"replicas": 9});

    let main =
        server_side_apply(Some(&live), &config, &applier("a", 2), false, &deployments()).expect("applied");
    assert_eq!(
        (json!(3), json!({"replicas": 2})),
        (main["spec"]["replicas"].clone(), main["status"].clone())
    );
    assert_eq!(vec![".spec.replicas"], owned(&main, "a"));

    let status = Manager { subresource: Some("status"), ..applier("s", 2) };
    let after = server_side_apply(Some(&live), &config, &status, false, &deployments()).expect("applied");
    assert_eq!(
        (json!(2), json!({"replicas": 9})),
        (after["spec"]["replicas"].clone(), after["status"].clone())
    );
    assert_eq!(vec![".status.replicas"], owned(&after, "s"));
    assert_eq!(json!("status"), entry(&after, "s").expect("an entry")["subresource"]);
    assert_eq!(json!("web"), after["metadata"]["name"]);
}

#[rstest]
#[case::managed_fields(json!({"metadata": {"managedFields": [{}]}}), "metadata.managedFields must be nil")]
#[case::duplicate(
    json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "shop"},
           "spec": containers(json!([{"name": "a"}, {"name": "a"}]))}),
    "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): \
     .spec.template.spec.containers: duplicate entries for key [name=\"a\"]"
)]
#[case::no_key(
    json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web"},
           "spec": containers(json!([{"image": "a"}]))}),
    "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: \
     element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)"
)]
#[case::no_object(json!([1]), "the applied configuration is not an object")]
fn a_configuration_that_cannot_be_applied_is_a_bad_request(#[case] config: Value, #[case] why: &str) {
    let refusal =
        server_side_apply(None, &config, &applier("a", 1), false, &deployments()).expect_err("refused");
    assert_eq!((400, why.to_string()), (refusal.status().code, refusal.to_string()));
}

#[test]
fn a_null_in_a_built_in_kind_is_no_field() {
    let live = apply(None, json!({"replicas": 2, "paused": true}), &applier("a", 1)).expect("new");
    let after =
        apply(Some(&live), json!({"replicas": 2, "paused": null}), &applier("a", 2)).expect("applied");
    assert_eq!(json!({"replicas": 2}), after["spec"]);
}

#[test]
fn applied_items_keep_their_order_around_those_of_others() {
    let names = |object: &Value| -> Vec<String> {
        let list = object["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
        list.iter().map(|c| c["name"].as_str().unwrap_or_default().to_string()).collect()
    };
    let list = |names: &[&str]| containers(names.iter().map(|n| json!({"name": n})).collect());
    let live = apply(None, list(&["a", "b", "c"]), &applier("a", 1)).expect("new");
    let after = apply(Some(&live), list(&["c", "x", "a"]), &applier("b", 2)).expect("no conflict");
    assert_eq!(vec!["b", "c", "x", "a"], names(&after));
}

#[test]
fn a_create_owns_everything_it_wrote() {
    let mut object = deployment(json!({"replicas": 2, "strategy": {"rollingUpdate": {"maxSurge": 1}}}));
    object["metadata"]["labels"] = json!({"app": "web"});
    track_update(None, &mut object, &updater("kubectl-create", 1), &deployments());
    assert_eq!(
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}}},
        }),
        entry(&object, "kubectl-create").expect("an entry")["fieldsV1"]
    );
}

#[test]
fn a_write_takes_over_what_it_changes_and_nothing_else() {
    let live = apply(None, json!({"replicas": 2, "paused": false}), &applier("a", 1)).expect("new");
    let live = updated(&live, &updater("b", 2), |o| {
        o["spec"]["replicas"] = json!(3);
        o["spec"]["minReadySeconds"] = json!(1);
    });
    assert_eq!(vec![".spec.paused"], owned(&live, "a"));
    assert_eq!(vec![".spec.minReadySeconds", ".spec.replicas"], owned(&live, "b"));

    let live = updated(&live, &updater("c", 3), |o| {
        o["spec"].as_object_mut().expect("an object").remove("replicas");
    });
    assert_eq!(vec![".spec.minReadySeconds"], owned(&live, "b"));
    assert_eq!(None, entry(&live, "c"));
}

#[test]
fn a_status_write_is_recorded_apart() {
    let live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    let status = Manager { subresource: Some("status"), ..updater("a", 2) };
    let live = updated(&live, &status, |o| o["status"] = json!({"replicas": 1}));
    let entries = live["metadata"]["managedFields"].as_array().expect("a list");
    assert_eq!(2, entries.len());
    assert_eq!(json!({"f:status": {"f:replicas": {}}}), entries[1]["fieldsV1"]);
    assert_eq!(json!("status"), entries[1]["subresource"]);
}

#[test]
fn a_write_that_changes_nothing_leaves_the_record_alone_even_if_it_omits_it() {
    let live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    let after = updated(&live, &updater("b", 2), |o| {
        o["metadata"].as_object_mut().expect("an object").remove("managedFields");
    });
    assert_eq!(live, after);
}

#[test]
fn a_writer_may_change_or_clear_the_record() {
    let live = apply(None, json!({"replicas": 2}), &applier("a", 1)).expect("new");
    let cleared = updated(&live, &updater("b", 2), |o| o["metadata"]["managedFields"] = json!([{}]));
    assert_eq!(Value::Null, cleared["metadata"]["managedFields"]);
    let renamed = updated(&live, &updater("b", 2), |o| {
        o["metadata"]["managedFields"][0]["manager"] = json!("c");
    });
    assert_eq!(vec![".spec.replicas"], owned(&renamed, "c"));
}

#[test]
fn a_value_that_changes_its_type_changes_its_owner() {
    let schema = MergeSchema::from_crd_schema(&json!({"type": "object"}));
    let object = |spec: Value| json!({"metadata": {"name": "x"}, "spec": spec});
    let live = server_side_apply(None, &object(json!({"a": {"b": 1}})), &applier("a", 1), false, &schema)
        .expect("new");
    let refusal = server_side_apply(Some(&live), &object(json!({"a": 1})), &applier("b", 2), false, &schema);
    assert_eq!(Ok(()), refusal.map(drop), "nobody owns the object itself, only what is in it");
    let mut after = live.clone();
    after["spec"]["a"] = json!([1]);
    track_update(Some(&live), &mut after, &updater("b", 2), &schema);
    assert_eq!(None, entry(&after, "a"));
    assert_eq!(vec![".spec.a"], owned(&after, "b"));
}

fn any_spec() -> impl Strategy<Value = Value> {
    let container = ("[a-c]", proptest::option::of("[x-y]"), proptest::option::of("[x-y]")).prop_map(
        |(name, image, env)| {
            let mut out = json!({"name": name});
            if let Some(image) = image {
                out["image"] = json!(image);
            }
            if let Some(env) = env {
                out["env"] = json!([{"name": env, "value": "1"}]);
            }
            out
        },
    );
    let list = proptest::collection::vec(container, 0..4).prop_map(|mut list| {
        list.sort_by_key(|c| c["name"].to_string());
        list.dedup_by_key(|c| c["name"].to_string());
        list
    });
    let labels = proptest::collection::btree_map("[a-c]", "[x-y]", 0..3);
    (proptest::option::of(0..3i32), labels, list).prop_map(|(replicas, labels, list)| {
        let mut spec = json!({"template": {"metadata": {"labels": labels}, "spec": {"containers": list}}});
        if let Some(replicas) = replicas {
            spec["replicas"] = json!(replicas);
        }
        spec
    })
}

/// Whether everything that `part` says holds in `whole`; keyed lists are compared by name.
fn holds(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(k, v)| whole.get(k).is_some_and(|w| holds(v, w)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().all(|item| whole.iter().any(|w| w["name"] == item["name"] && holds(item, w)))
        }
        (part, whole) => part == whole,
    }
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in any_spec(), second in any_spec()) {
        let live = apply(None, first, &applier("a", 1)).expect("new");
        let desired = deployment(second);
        let once = server_side_apply(Some(&live), &desired, &applier("b", 2), true, &deployments()).expect("forced");
        let twice = server_side_apply(Some(&once), &desired, &applier("b", 3), false, &deployments()).expect("no conflict with itself");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn two_managers_never_lose_each_others_fields(first in any_spec(), second in any_spec(), third in any_spec()) {
        let mut live = apply(None, first.clone(), &applier("a", 1)).expect("new");
        let mut last = [first, json!({})];
        for (who, name, spec) in [(1, "b", second), (0, "a", third)] {
            match apply(Some(&live), spec.clone(), &applier(name, 2)) {
                Ok(after) => {
                    live = after;
                    last[who] = spec;
                }
                Err(ApplyError::Conflict(conflicts)) => prop_assert!(!conflicts.is_empty()),
                Err(other) => prop_assert!(false, "{}", other),
            }
            prop_assert!(holds(&last[0], &live["spec"]), "{} in {}", last[0], live);
            prop_assert!(holds(&last[1], &live["spec"]), "{} in {}", last[1], live);
        }
    }

    #[test]
    fn only_what_somebody_applied_remains(first in any_spec(), second in any_spec()) {
        let live = apply(None, first, &applier("a", 1)).expect("new");
        let after = apply(Some(&live), second.clone(), &applier("a", 2)).expect("no conflict with itself");
        prop_assert_eq!(
            walk::fields_of(&json!({"spec": second}), deployments().root()).to_value(),
            entry(&after, "a").map(|e| e["fieldsV1"].clone()).unwrap_or(json!({}))
        );
        prop_assert!(holds(&after["spec"]["template"]["spec"]["containers"], &second["template"]["spec"]["containers"]));
    }

    #[test]
    fn a_record_survives_being_written_and_read(spec in any_spec()) {
        let set = walk::fields_of(&spec, deployments().root().field("spec"));
        prop_assert_eq!(&set, &FieldSet::from_value(&set.to_value()));
    }
}
