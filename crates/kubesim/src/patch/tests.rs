use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

#[rstest]
#[case("application/json-patch+json", Some(PatchType::Json))]
#[case("application/merge-patch+json; charset=utf-8", Some(PatchType::Merge))]
#[case("application/strategic-merge-patch+json", Some(PatchType::Strategic))]
#[case("application/apply-patch+yaml", Some(PatchType::Apply))]
#[case("application/json", None)]
fn the_content_type_tells_what_a_patch_means(#[case] text: &str, #[case] expected: Option<PatchType>) {
    assert_eq!(expected, PatchType::from_content_type(text));
}

#[rstest]
#[case::add(json!([{"op": "add", "path": "/a/c", "value": 2}]), json!({"a": {"b": 1, "c": 2}, "l": [1]}))]
#[case::append(json!([{"op": "add", "path": "/l/-", "value": 2}]), json!({"a": {"b": 1}, "l": [1, 2]}))]
#[case::remove(json!([{"op": "remove", "path": "/a/b"}]), json!({"a": {}, "l": [1]}))]
#[case::replace(json!([{"op": "replace", "path": "/a/b", "value": 3}]), json!({"a": {"b": 3}, "l": [1]}))]
#[case::replace_of_a_missing_field_adds_it(
    json!([{"op": "replace", "path": "/a/x~1y", "value": 3}]),
    json!({"a": {"b": 1, "x/y": 3}, "l": [1]})
)]
#[case::test_against_null_holds_for_a_missing_field(
    json!([{"op": "test", "path": "/a/finalizers", "value": null},
           {"op": "add", "path": "/a/finalizers", "value": ["f"]}]),
    json!({"a": {"b": 1, "finalizers": ["f"]}, "l": [1]})
)]
#[case::test_holds(json!([{"op": "test", "path": "/a/b", "value": 1}]), json!({"a": {"b": 1}, "l": [1]}))]
#[case::moved(json!([{"op": "move", "from": "/a/b", "path": "/b"}]), json!({"a": {}, "b": 1, "l": [1]}))]
fn a_json_patch_changes_what_it_names(#[case] patch: Value, #[case] expected: Value) {
    assert_eq!(Ok(expected), apply_json_patch(&json!({"a": {"b": 1}, "l": [1]}), &patch));
}

#[rstest]
#[case::other_value(json!([{"op": "test", "path": "/a/b", "value": 2}]), 422)]
#[case::test_below_a_missing_parent(json!([{"op": "test", "path": "/x/y", "value": null}]), 422)]
#[case::test_of_a_missing_field(json!([{"op": "test", "path": "/a/x", "value": 1}]), 422)]
#[case::remove_missing(json!([{"op": "remove", "path": "/a/x"}]), 422)]
#[case::add_below_missing(json!([{"op": "add", "path": "/x/y", "value": 1}]), 422)]
#[case::index_out_of_range(json!([{"op": "add", "path": "/l/7", "value": 1}]), 422)]
#[case::remove_the_end(json!([{"op": "remove", "path": "/l/-"}]), 422)]
#[case::move_into_itself(json!([{"op": "move", "from": "/a", "path": "/a/b"}]), 422)]
#[case::no_list(json!({"op": "remove"}), 400)]
#[case::unknown_operation(json!([{"op": "frob", "path": "/a"}]), 400)]
#[case::bad_pointer(json!([{"op": "remove", "path": "a"}]), 400)]
fn a_json_patch_that_cannot_be_carried_out_is_refused(#[case] patch: Value, #[case] code: u16) {
    let refusal = apply_json_patch(&json!({"a": {"b": 1}, "l": []}), &patch).expect_err("refused");
    assert_eq!(code, refusal.status().code, "{refusal}");
}

#[rstest]
#[case(json!({"a": {"b": null}}), json!({"a": {"c": 1}, "l": [1]}))]
#[case(json!({"l": [2], "n": {"x": null, "y": 1}}), json!({"a": {"b": 1, "c": 1}, "l": [2], "n": {"y": 1}}))]
#[case(json!({"a": 3}), json!({"a": 3, "l": [1]}))]
fn a_merge_patch_merges_objects_and_replaces_the_rest(#[case] patch: Value, #[case] expected: Value) {
    assert_eq!(expected, apply_merge_patch(&json!({"a": {"b": 1, "c": 1}, "l": [1]}), &patch));
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web", "finalizers": ["a"], "annotations": {"x": "1"}},
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {
                "containers": [
                    {"name": "app", "image": "app:1", "args": ["-v"],
                     "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                     "ports": [{"containerPort": 80, "name": "http"}]},
                    {"name": "side", "image": "side:1"},
                ],
                "tolerations": [{"key": "a"}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            }},
        },
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    })
}

fn patched(patch: Value) -> Value {
    apply_strategic_patch(&deployment(), &patch, "apps", "Deployment").expect("a patch that fits")
}

fn pod_patch(spec: Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

#[test]
fn a_containers_image_changes_and_nothing_else() {
    let mut expected = deployment();
    expected["spec"]["template"]["spec"]["containers"][1]["image"] = json!("side:2");
    let patch = json!({
        "$setElementOrder/containers": [{"name": "app"}, {"name": "side"}],
        "containers": [{"name": "side", "image": "side:2"}],
    });
    assert_eq!(expected, patched(pod_patch(patch)));
}

#[test]
fn lists_merge_by_their_own_keys() {
    let patch = json!({
        "containers": [{"name": "app",
            "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            "ports": [{"containerPort": 80, "name": "web"}],
            "args": ["-q"]}],
    });
    let after = patched(pod_patch(patch));
    let app = &after["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]),
        app["env"]
    );
    assert_eq!(json!([{"containerPort": 80, "name": "web"}]), app["ports"]);
    assert_eq!(json!(["-q"]), app["args"]);
    assert_eq!("app:1", app["image"]);
}

#[rstest]
#[case::item(
    pod_patch(json!({"containers": [{"name": "side", "$patch": "delete"}]})),
    "/spec/template/spec/containers/1", Value::Null
)]
#[case::whole_list(
    pod_patch(json!({"containers": [{"$patch": "replace"}, {"name": "new", "image": "n"}]})),
    "/spec/template/spec/containers", json!([{"name": "new", "image": "n"}])
)]
#[case::object(
    json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}),
    "/spec/strategy", json!({"type": "Recreate"})
)]
#[case::retained_keys(
    json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
    "/spec/strategy", json!({"type": "Recreate"})
)]
#[case::emptied_object(json!({"metadata": {"annotations": {"$patch": "delete"}}}), "/metadata/annotations", json!({}))]
#[case::null_removes(json!({"metadata": {"annotations": {"x": null}}}), "/metadata/annotations", json!({}))]
#[case::a_set_grows(json!({"metadata": {"finalizers": ["b", "a"]}}), "/metadata/finalizers", json!(["b", "a"]))]
#[case::a_set_shrinks(
    json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
    "/metadata/finalizers", json!([])
)]
#[case::a_set_is_ordered(
    json!({"metadata": {"$setElementOrder/finalizers": ["a", "b"], "finalizers": ["b"]}}),
    "/metadata/finalizers", json!(["a", "b"])
)]
#[case::only_ordered(
    pod_patch(json!({"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}]})),
    "/spec/template/spec/containers/0/name", json!("side")
)]
#[case::atomic_list(pod_patch(json!({"tolerations": [{"key": "b"}]})), "/spec/template/spec/tolerations", json!([{"key": "b"}]))]
#[case::volume_source_is_exchanged(
    pod_patch(json!({"volumes": [{"name": "data", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]})),
    "/spec/template/spec/volumes", json!([{"name": "data", "configMap": {"name": "c"}}])
)]
#[case::condition(
    json!({"status": {"conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "False"}]}}),
    "/status/conditions",
    json!([{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "False"}])
)]
#[case::new_values_come_without_nulls_and_directives(
    json!({"spec": {"template": {"metadata": {"$patch": "merge", "labels": {"a": "b", "c": null}}}}}),
    "/spec/template/metadata", json!({"labels": {"a": "b"}})
)]
fn a_directive_is_obeyed(#[case] patch: Value, #[case] pointer: &str, #[case] expected: Value) {
    assert_eq!(expected, patched(patch).pointer(pointer).cloned().unwrap_or_default());
}

#[test]
fn ports_of_a_service_merge_by_port() {
    let service = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}});
    let patch = json!({"spec": {"ports": [{"port": 81, "targetPort": 9}]}});
    assert_eq!(
        Ok(
            json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "targetPort": 9}]}})
        ),
        apply_strategic_patch(&service, &patch, "", "Service")
    );
}

#[rstest]
#[case::no_key(pod_patch(json!({"containers": [{"image": "x"}]})))]
#[case::no_object(pod_patch(json!({"containers": ["x"]})))]
#[case::unknown_directive(json!({"spec": {"$patch": "frob"}}))]
#[case::stray_key(json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}))]
#[case::retain_no_list(json!({"spec": {"strategy": {"$retainKeys": 1}}}))]
#[case::delete_no_list(json!({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}))]
#[case::order_no_list(json!({"metadata": {"$setElementOrder/finalizers": 1}}))]
#[case::no_patch(json!([]))]
fn a_strategic_patch_that_makes_no_sense_is_a_bad_request(#[case] patch: Value) {
    let refusal = apply_strategic_patch(&deployment(), &patch, "apps", "Deployment").expect_err("refused");
    assert_eq!(400, refusal.status().code);
}

#[test]
fn custom_kinds_have_no_strategic_patch() {
    let refusal =
        apply_strategic_patch(&json!({}), &json!({}), "flagger.app", "Canary").expect_err("refused");
    assert_eq!(415, refusal.status().code);
    assert!(!refusal.status().message.contains("strategic"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn is_in(patch: &Value, object: &Value) -> bool {
    match (patch, object) {
        (Value::Object(patch), Value::Object(object)) => patch.iter().all(|(key, value)| match value {
            Value::Null => !object.contains_key(key),
            value => object.get(key).is_some_and(|found| is_in(value, found)),
        }),
        (patch, object) => patch == object,
    }
}

proptest! {
    #[test]
    fn a_merge_patch_leaves_what_it_says_and_the_second_time_changes_nothing(
        live in any_value(), patch in any_value()
    ) {
        let once = apply_merge_patch(&live, &patch);
        prop_assert!(is_in(&patch, &once));
        prop_assert_eq!(&once, &apply_merge_patch(&once, &patch));
    }

    #[test]
    fn no_patch_makes_the_server_panic(live in any_value(), patch in any_value(), path in "(/[abc01-]){0,3}", op in "add|remove|replace|test|move|copy") {
        let operation = json!([{"op": op, "path": path, "from": "/a", "value": patch}]);
        let _ = apply_json_patch(&live, &operation);
        let _ = apply_strategic_patch(&live, &patch, "apps", "Deployment");
    }
}
