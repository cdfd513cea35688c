use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn definition(schema: Value) -> Value {
    json!({
        "metadata": {"name": "gadgets.shop.example"},
        "spec": {
            "group": "shop.example",
            "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "shortNames": ["gd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Wide", "type": "integer", "jsonPath": ".spec.n", "priority": 1},
                ],
            }],
        },
    })
}

fn version(schema: Value) -> CrdVersion {
    parse_crd(&definition(schema)).expect("a definition").remove(0)
}

/// A version whose `spec` has this schema.
fn with_spec(spec: Value) -> CrdVersion {
    version(json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}))
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "shop.example/v1", "kind": "Gadget", "metadata": {"name": "a"}, "spec": spec})
}

fn complaints(version: &CrdVersion, spec: Value) -> Vec<String> {
    version.validate(&object(spec), None).iter().map(ToString::to_string).collect()
}

#[test]
fn a_definition_becomes_a_kind() {
    let version = version(json!({"type": "object"}));
    let kind = &version.kind;
    assert_eq!("shop.example/v1", kind.api_version());
    assert_eq!(
        ("Gadget", "GadgetList", "gadgets", "gadget"),
        (kind.kind.as_str(), kind.list_kind.as_str(), kind.plural.as_str(), kind.singular.as_str())
    );
    assert!(kind.namespaced && kind.has_status && kind.has_scale && version.served && version.storage);
    assert_eq!(vec!["gd"], kind.short_names);
    assert_eq!(vec![0, 1], version.printer_columns.iter().map(|c| c.priority).collect::<Vec<_>>());
    assert_eq!(Some(".spec.replicas"), version.scale.as_ref().map(|s| s.spec_replicas_path.as_str()));
    assert!(version.merge_schema().has_status_subresource());
}

#[rstest]
#[case("/spec/group", json!(""), "spec.group: Required value")]
#[case("/spec/names/kind", Value::Null, "spec.names.kind: Required value")]
#[case("/spec/scope", json!("World"), "spec.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespaced\"")]
#[case("/spec/versions", json!([]), "spec.versions: Required value: must have at least one version")]
#[case("/spec/versions/0/storage", json!(false), "spec.versions: Invalid value: 0: must have exactly one version marked as storage version")]
#[case("/spec/versions/0/name", json!(1), "spec.versions[0].name: Required value")]
#[case("/spec/versions/0/schema", json!({}), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required")]
#[case(
    "/spec/versions/0/schema/openAPIV3Schema", json!({"properties": {"spec": 3}}),
    "spec.versions[0].schema.openAPIV3Schema.properties[spec]: Invalid value: a schema is an object"
)]
#[case(
    "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
    Value::Null,
    "spec.versions[0].additionalPrinterColumns[0].jsonPath: Required value"
)]
fn a_broken_definition_is_refused_with_its_field(#[case] at: &str, #[case] value: Value, #[case] why: &str) {
    let mut broken = definition(json!({"type": "object"}));
    *broken.pointer_mut(at).expect("a field") = value;
    assert_eq!(Some(why.to_string()), parse_crd(&broken).err());
}

#[test]
fn a_definition_of_any_shape_makes_no_panic() {
    for value in [json!(null), json!([]), json!({"spec": []}), json!({"spec": {"versions": {}}})] {
        assert!(parse_crd(&value).is_err());
    }
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    let version = with_spec(json!({
        "type": "object",
        "default": {},
        "properties": {
            "interval": {"type": "string", "default": "60s"},
            "nested": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 1}}},
            "absent": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "integer", "default": 80}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"q": {"type": "boolean", "default": true}}}},
        },
    }));
    let mut empty = json!({"metadata": {}});
    version.default(&mut empty);
    assert_eq!(json!({"metadata": {}, "spec": {"interval": "60s", "nested": {"n": 1}}}), empty);

    let mut given = object(json!({"interval": "1s", "list": [{}, {"p": 1}], "map": {"a": {}}}));
    version.default(&mut given);
    assert_eq!(
        json!({"interval": "1s", "nested": {"n": 1}, "list": [{"p": 80}, {"p": 1}], "map": {"a": {"q": true}}}),
        given["spec"]
    );
}

#[test]
fn a_null_is_absent_unless_the_field_may_be_null() {
    let version = with_spec(json!({"type": "object", "properties": {
        "plain": {"type": "integer"},
        "defaulted": {"type": "integer", "default": 5},
        "nullable": {"type": "integer", "nullable": true, "default": 5},
        "free": {"x-kubernetes-preserve-unknown-fields": true},
    }}));
    let mut given = object(json!({"plain": null, "defaulted": null, "nullable": null, "free": null}));
    version.default(&mut given);
    assert_eq!(json!({"defaulted": 5, "nullable": null, "free": null}), given["spec"]);
    assert!(version.validate(&given, None).is_empty());
}

#[test]
fn unknown_fields_go_and_are_named() {
    let version = with_spec(json!({"type": "object", "properties": {
        "known": {"type": "object", "properties": {"a": {"type": "integer"}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "half": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
        "port": {"x-kubernetes-int-or-string": true},
    }}));
    let mut given = object(json!({
        "x": 1,
        "known": {"a": 1, "b": 2},
        "list": [{"a": 1}, {"b": {"c": 1}}],
        "map": {"k": {"a": 1, "b": 2}},
        "free": {"any": {"thing": 1}, "half": {"a": 1, "b": 2}},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "foo": 1}, "spec": {"any": 1}, "extra": 1},
        "port": "http",
    }));
    given["metadata"]["colour"] = json!("red");
    let mut gone = version.prune(&mut given);
    gone.sort();
    assert_eq!(
        vec![
            "metadata.colour",
            "spec.free.half.b",
            "spec.known.b",
            "spec.list[1].b",
            "spec.map.k.b",
            "spec.template.extra",
            "spec.template.metadata.foo",
            "spec.x",
        ],
        gone
    );
    assert_eq!(
        json!({
            "known": {"a": 1}, "list": [{"a": 1}, {}], "map": {"k": {"a": 1}},
            "free": {"any": {"thing": 1}, "half": {"a": 1}},
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"any": 1}},
            "port": "http",
        }),
        given["spec"]
    );
    assert_eq!(Vec::<String>::new(), version.prune(&mut given));
}

#[cfg(feature = "json-schema")]
#[rstest]
#[case::type_(json!({"type": "integer"}), json!("x"), r#"spec.f: Invalid value: "string": spec.f in body must be of type integer: "string""#)]
#[case::type_of_number(json!({"type": "integer"}), json!(1.5), r#"spec.f: Invalid value: "number": spec.f in body must be of type integer: "number""#)]
#[case::null(json!({"type": "string"}), Value::Null, r#"spec.f: Invalid value: "null": spec.f in body must be of type string: "null""#)]
#[case::int_or_string(json!({"x-kubernetes-int-or-string": true}), json!(true), r#"spec.f: Invalid value: "boolean": spec.f in body must be of type integer,string: "boolean""#)]
#[case::enum_(json!({"type": "string", "enum": ["istio", "linkerd"]}), json!("x"), r#"spec.f: Unsupported value: "x": supported values: "istio", "linkerd""#)]
#[case::minimum(json!({"type": "integer", "minimum": 1}), json!(0), "spec.f: Invalid value: 0: spec.f in body should be greater than or equal to 1")]
#[case::exclusive_minimum(json!({"type": "number", "minimum": 1, "exclusiveMinimum": true}), json!(1), "spec.f: Invalid value: 1: spec.f in body should be greater than 1")]
#[case::maximum(json!({"type": "integer", "maximum": 100}), json!(101), "spec.f: Invalid value: 101: spec.f in body should be less than or equal to 100")]
#[case::exclusive_maximum(json!({"type": "number", "maximum": 1, "exclusiveMaximum": true}), json!(1), "spec.f: Invalid value: 1: spec.f in body should be less than 1")]
#[case::multiple(json!({"type": "integer", "multipleOf": 5}), json!(7), "spec.f: Invalid value: 7: spec.f in body should be a multiple of 5")]
#[case::too_long(json!({"type": "string", "maxLength": 2}), json!("abc"), "spec.f: Too long: may not be more than 2 bytes")]
#[case::too_short(json!({"type": "string", "minLength": 2}), json!("a"), r#"spec.f: Invalid value: "a": spec.f in body should be at least 2 chars long"#)]
#[case::pattern(json!({"type": "string", "pattern": "^a+$"}), json!("b"), r#"spec.f: Invalid value: "b": spec.f in body should match '^a+$'"#)]
#[case::time(json!({"type": "string", "format": "date-time"}), json!("now"), r#"spec.f: Invalid value: "now": spec.f in body must be of type date-time: "now""#)]
#[case::int32(json!({"type": "integer", "format": "int32"}), json!(3_000_000_000_i64), r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32"#)]
#[case::too_many(json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}}), json!([1, 2]), "spec.f: Too many: 2: must have at most 1 item")]
#[case::too_few(json!({"type": "array", "minItems": 1, "items": {"type": "integer"}}), json!([]), "spec.f: Invalid value: []: spec.f in body should have at least 1 items")]
#[case::item(json!({"type": "array", "items": {"type": "integer"}}), json!([1, "x"]), r#"spec.f[1]: Invalid value: "string": spec.f[1] in body must be of type integer: "string""#)]
#[case::unique(json!({"type": "array", "uniqueItems": true, "items": {"type": "integer"}}), json!([1, 1]), "spec.f: Invalid value: [1,1]: spec.f in body shouldn't contain duplicates")]
#[case::set(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}), json!(["a", "a"]), r#"spec.f[1]: Duplicate value: "a""#)]
#[case::map(
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "integer"}}}}),
    json!([{"n": 1}, {"n": 1}]), r#"spec.f[1]: Duplicate value: {"n":1}"#
)]
#[case::required(json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}), json!({}), "spec.f.a: Required value")]
#[case::value_of_map(json!({"type": "object", "additionalProperties": {"type": "string"}}), json!({"k": 1}), r#"spec.f.k: Invalid value: "integer": spec.f.k in body must be of type string: "integer""#)]
#[case::too_few_properties(json!({"type": "object", "minProperties": 1, "x-kubernetes-preserve-unknown-fields": true}), json!({}), "spec.f: Invalid value: {}: spec.f in body should have at least 1 properties")]
#[case::none_of_one(
    json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
    json!({}), r#"<nil>: Invalid value: "": "spec.f" must validate one and only one schema (oneOf). Found none valid"#
)]
#[case::two_of_one(
    json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
    json!({"a": "x", "b": "y"}), r#"<nil>: Invalid value: "": "spec.f" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
)]
#[case::any(
    json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "string"}}}),
    json!({}), r#"<nil>: Invalid value: "": "spec.f" must validate at least one schema (anyOf)"#
)]
#[case::all(
    json!({"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}]}),
    json!("a"), r#"<nil>: Invalid value: "": "spec.f" must validate all the schemas (allOf)"#
)]
#[case::not(
    json!({"type": "object", "not": {"required": ["a"]}, "properties": {"a": {"type": "string"}}}),
    json!({"a": "x"}), r#"<nil>: Invalid value: "": "spec.f" must not validate the schema (not)"#
)]
#[case::embedded(
    json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
    json!({"kind": "Pod"}), "spec.f.apiVersion: Required value: must not be empty"
)]
fn a_value_against_its_schema_is_refused_in_the_api_servers_words(
    #[case] schema: Value,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let version = with_spec(json!({"type": "object", "properties": {"f": schema}}));
    let complaints = complaints(&version, json!({"f": value}));
    assert!(complaints.iter().any(|c| c == expected), "{complaints:#?}");
}

#[rstest]
#[case(json!({"type": "integer"}), json!(10.0))]
#[case(json!({"type": "number"}), json!(10))]
#[case(json!({"x-kubernetes-int-or-string": true}), json!("25%"))]
#[case(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+%?$"}), json!(25))]
#[case(json!({"type": "integer", "nullable": true}), Value::Null)]
#[case(json!({"type": "string", "format": "date-time"}), json!("2026-01-02T03:04:05Z"))]
#[case(json!({"type": "string", "format": "no-such-format"}), json!("x"))]
#[case(json!({"type": "string", "pattern": "["}), json!("x"))]
#[case(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), json!({"a": [1]}))]
#[case(json!({"x-kubernetes-preserve-unknown-fields": true}), json!([1, "a", null]))]
fn a_value_that_fits_is_accepted(#[case] schema: Value, #[case] value: Value) {
    let version = with_spec(json!({"type": "object", "properties": {"f": schema}}));
    assert_eq!(Vec::<String>::new(), complaints(&version, json!({"f": value})));
}

#[test]
fn a_missing_spec_is_told_by_its_name() {
    let version =
        version(json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object"}}}));
    let errors = version.validate(&json!({"metadata": {"name": "a"}}), None);
    assert_eq!(vec!["spec: Required value"], errors.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn values_that_were_there_before_need_not_fit_a_stricter_schema() {
    let version = with_spec(json!({"type": "object", "properties": {
        "old": {"type": "string", "maxLength": 1},
        "new": {"type": "string"},
    }}));
    let old = object(json!({"old": "long"}));
    assert!(version.validate(&object(json!({"old": "long", "new": "x"})), Some(&old)).is_empty());
    assert_eq!(1, version.validate(&object(json!({"old": "longer"})), Some(&old)).len());
}

#[test]
fn items_that_were_there_before_need_not_fit_either() {
    let version = with_spec(json!({"type": "object", "properties": {"list": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "properties": {"n": {"type": "integer"}, "v": {"type": "string", "maxLength": 1}}},
    }}}));
    let old = object(json!({"list": [{"n": 1, "v": "long"}]}));
    let new = object(json!({"list": [{"n": 2, "v": "x"}, {"n": 1, "v": "long"}]}));
    assert_eq!(0, version.validate(&new, Some(&old)).len());
    assert_eq!(1, version.validate(&new, None).len());
}

fn with_rules(rules: Value, properties: Value) -> CrdVersion {
    with_spec(json!({"type": "object", "properties": properties, "x-kubernetes-validations": rules}))
}

#[cfg(feature = "cel")]
#[rstest]
#[case::message(
    json!([{"rule": "self.min <= self.max", "message": "min is above max"}]),
    json!({"min": 3, "max": 2}), &[r#"spec: Invalid value: "object": min is above max"#]
)]
#[case::no_message(
    json!([{"rule": "self.min <= self.max"}]),
    json!({"min": 3, "max": 2}), &[r#"spec: Invalid value: "object": failed rule: self.min <= self.max"#]
)]
#[case::message_expression(
    json!([{"rule": "self.min <= self.max", "messageExpression": "'min is ' + string(self.min)"}]),
    json!({"min": 3, "max": 2}), &[r#"spec: Invalid value: "object": min is 3"#]
)]
#[case::reason_and_path(
    json!([{"rule": "has(self.min)", "message": "give it", "reason": "FieldValueRequired", "fieldPath": ".min"}]),
    json!({"max": 2}), &["spec.min: Required value: give it"]
)]
#[case::holds(json!([{"rule": "self.min <= self.max"}]), json!({"min": 1, "max": 2}), &[])]
#[case::missing_field(
    json!([{"rule": "self.min > 0", "message": "positive"}]),
    json!({"max": 2}), &[r#"spec: Invalid value: "object": No such key: min evaluating rule: positive"#]
)]
#[case::transition_of_a_new_object(json!([{"rule": "self.min == oldSelf.min"}]), json!({"min": 1}), &[])]
#[case::function_that_the_interpreter_lacks(json!([{"rule": "cel.bind(x, 1, x > 2)"}]), json!({"min": 1}), &[])]
#[case::extension_functions(
    json!([{"rule": "self.name.split('-').size() == 3 || isURL(self.name)", "message": "three parts"}]),
    json!({"name": "a-b"}), &[r#"spec: Invalid value: "object": three parts"#]
)]
#[case::escaped_names(
    json!([{"rule": "self.__namespace__ == 'x' && self.a__dash__b && self.c_d && self.e__underscores__f"}]),
    json!({"namespace": "x", "a-b": true, "c_d": true, "e__f": true}), &[]
)]
#[case::numbers(json!([{"rule": "self.ratio / 2.0 == 1.5"}]), json!({"ratio": 3}), &[])]
#[case::null(json!([{"rule": "true"}]), json!({"perhaps": null}), &[])]
#[case::times(json!([{"rule": "self.until > timestamp('2026-01-01T00:00:00Z') && self.pause >= duration('1s')"}]), json!({"until": "2026-01-02T00:00:00Z", "pause": "1500ms"}), &[])]
fn a_rule_holds_or_is_told(#[case] rules: Value, #[case] spec: Value, #[case] expected: &[&str]) {
    let version = with_rules(
        rules,
        json!({
            "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
            "namespace": {"type": "string"}, "a-b": {"type": "boolean"}, "c_d": {"type": "boolean"},
            "e__f": {"type": "boolean"}, "until": {"type": "string", "format": "date-time"},
            "pause": {"type": "string", "format": "duration"}, "ratio": {"type": "number"},
            "perhaps": {"type": "integer", "nullable": true, "x-kubernetes-validations": [{"rule": "self > 5"}]},
        }),
    );
    assert_eq!(expected, complaints(&version, spec));
}

#[cfg(feature = "cel")]
#[test]
fn a_rule_that_does_not_compile_shows_in_the_object() {
    let version = with_rules(json!([{"rule": "self.min >"}]), json!({"min": {"type": "integer"}}));
    let complaints = complaints(&version, json!({"min": 1}));
    assert_eq!(1, complaints.len());
    assert!(
        complaints[0].starts_with(r#"spec: Invalid value: "object": rule compile error: "#),
        "{complaints:?}"
    );
}

#[cfg(feature = "cel")]
#[rstest]
#[case::brackets("(", "true", ")", 39, true)]
#[case::brackets_without_end("(", "true", ")", 4000, false)]
#[case::lists("size([", "1", "]) == 1", 1, true)]
#[case::calls("size([", "1", "])", 2000, false)]
#[case::chained_conditions("false ? false : ", "true", "", 39, true)]
#[case::endless_conditions("false ? false : ", "true", "", 4000, false)]
fn a_rule_may_be_nested_deep_but_not_without_end(
    #[case] before: &str,
    #[case] core: &str,
    #[case] after: &str,
    #[case] times: usize,
    #[case] fine: bool,
) {
    let rule = format!("{}{core}{}", before.repeat(times), after.repeat(times));
    let version = with_rules(json!([{"rule": rule}]), json!({"a": {"type": "integer"}}));
    let complaints = complaints(&version, json!({"a": 1}));
    assert_eq!(fine, complaints.is_empty(), "{complaints:?}");
}

#[cfg(feature = "cel")]
#[test]
fn a_rule_can_compare_with_the_value_before() {
    let version = with_rules(
        json!([{"rule": "self.min == oldSelf.min", "message": "min is immutable"}]),
        json!({"min": {"type": "integer"}, "max": {"type": "integer"}}),
    );
    let old = object(json!({"min": 1}));
    assert_eq!(1, version.validate(&object(json!({"min": 2})), Some(&old)).len());
    assert_eq!(0, version.validate(&object(json!({"min": 1, "max": 2})), Some(&old)).len());
}

#[cfg(feature = "cel")]
#[test]
fn rules_on_values_that_were_there_before_are_not_asked_again() {
    let min =
        json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 5", "message": "above 5"}]});
    let version =
        with_spec(json!({"type": "object", "properties": {"min": min, "max": {"type": "integer"}}}));
    let old = object(json!({"min": 1}));
    assert_eq!(0, version.validate(&object(json!({"min": 1, "max": 2})), Some(&old)).len());
    assert_eq!(1, version.validate(&object(json!({"min": 2})), Some(&old)).len());
}

#[cfg(feature = "cel")]
#[test]
fn an_optional_old_value_can_be_asked_for() {
    let rule = json!([{"rule": "oldSelf.hasValue() || self.min == 0", "optionalOldSelf": true, "message": "start at 0"}]);
    let version = with_rules(rule, json!({"min": {"type": "integer"}}));
    assert_eq!(1, complaints(&version, json!({"min": 1})).len());
    assert_eq!(0, complaints(&version, json!({"min": 0})).len());
    assert_eq!(0, version.validate(&object(json!({"min": 2})), Some(&object(json!({"min": 0})))).len());
}

#[cfg(feature = "cel")]
#[test]
fn rules_below_are_checked_item_by_item() {
    let port = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "0 < self && self <= 65535", "message": "no port"}]});
    let version = with_spec(json!({"type": "object", "properties": {
        "ports": {"type": "array", "items": port},
        "byName": {"type": "object", "additionalProperties": {"type": "string", "x-kubernetes-validations": [{"rule": "self != '*'", "message": "no star"}]}},
    }}));
    assert_eq!(
        vec![
            r#"spec.byName.b-c: Invalid value: "string": no star"#,
            r#"spec.ports[1]: Invalid value: "integer": no port"#,
        ],
        complaints(&version, json!({"ports": [1, 0], "byName": {"a": "x", "b-c": "*"}}))
    );
}

#[test]
fn rules_wait_until_the_object_fits_its_schema() {
    let version = with_rules(json!([{"rule": "self.min > 0"}]), json!({"min": {"type": "integer"}}));
    let complaints = complaints(&version, json!({"min": "x"}));
    assert_eq!(2, complaints.len());
    assert!(
        complaints[1].starts_with(r#"<nil>: Invalid value: "null": some validation rules were not checked"#)
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("known|list|map|free|a|spec|metadata", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaulting_twice_is_once_and_nothing_panics(spec in any_value()) {
        let version = with_spec(json!({"type": "object", "properties": {
            "known": {"type": "object", "default": {}, "properties": {"a": {"type": "integer", "default": 1}}},
            "list": {"type": "array", "items": {"type": "object", "nullable": true, "properties": {"a": {"type": "integer", "default": 2}}}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }, "x-kubernetes-validations": [{"rule": "!has(self.known) || self.known.a > 0"}]}));
        let mut once = object(spec);
        version.prune(&mut once);
        version.default(&mut once);
        let mut twice = once.clone();
        prop_assert!(version.prune(&mut twice).is_empty());
        version.default(&mut twice);
        prop_assert_eq!(&once, &twice);
        let _ = version.validate(&once, None);
    }

    #[test]
    fn no_rule_text_makes_the_server_panic(rule in "[a-z0-9 .()\\[\\]'=!<>&|+*/?:,-]{1,20}") {
        let rules = json!([{"rule": rule}]);
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": rules}}});
        if let Ok(versions) = parse_crd(&definition(schema)) {
            let _ = complaints(&versions[0], json!({"a": 1}));
        }
    }
}
