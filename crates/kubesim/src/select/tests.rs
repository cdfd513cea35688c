use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[rstest]
#[case::everything("", &[], true)]
#[case::blank("  ", &[("a", "b")], true)]
#[case::equal("app=web", &[("app", "web")], true)]
#[case::equal_twice("app==web", &[("app", "web")], true)]
#[case::other_value("app=web", &[("app", "db")], false)]
#[case::missing("app=web", &[], false)]
#[case::not_equal("app!=web", &[("app", "db")], true)]
#[case::not_equal_missing("app!=web", &[], true)]
#[case::one_of("app in (web, db)", &[("app", "db")], true)]
#[case::none_of("app notin (web,db)", &[("app", "db")], false)]
#[case::none_of_missing("app notin (web,db)", &[], true)]
#[case::exists("app", &[("app", "")], true)]
#[case::exists_not("!app", &[("app", "")], false)]
#[case::both("app=web,tier in (a,b)", &[("app", "web"), ("tier", "b")], true)]
#[case::one_fails("app=web,tier in (a,b)", &[("app", "web"), ("tier", "c")], false)]
#[case::empty_value("app=", &[("app", "")], true)]
#[case::prefixed("example.com/app=web", &[("example.com/app", "web")], true)]
#[case::above("size>3", &[("size", "4")], true)]
#[case::below("size<3", &[("size", "4")], false)]
#[case::a_key_called_in("in=web", &[("in", "web")], true)]
#[case::spaces(" app = web , !tier ", &[("app", "web")], true)]
fn a_label_selector_means_what_kubernetes_means(
    #[case] text: &str,
    #[case] pairs: &[(&str, &str)],
    #[case] yes: bool,
) {
    let selector = LabelSelector::parse(text).expect("a selector");
    assert_eq!(yes, selector.matches(&labels(pairs)));
}

#[rstest]
#[case("app=web,")]
#[case("=web")]
#[case("app in web")]
#[case("app in (web")]
#[case("app web")]
#[case("a b=c")]
#[case("app=we/b")]
#[case("-app=web")]
#[case("size>x")]
#[case("((((")]
fn what_is_no_selector_is_refused(#[case] text: &str) {
    assert!(LabelSelector::parse(text).is_err(), "{:?}", LabelSelector::parse(text));
}

#[rstest]
#[case::missing(Value::Null, &[], false)]
#[case::empty(json!({}), &[("a", "b")], true)]
#[case::labels(json!({"matchLabels": {"app": "web"}}), &[("app", "web"), ("x", "y")], true)]
#[case::labels_differ(json!({"matchLabels": {"app": "web"}}), &[("app", "db")], false)]
#[case::within(
    json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}),
    &[("app", "db")], true
)]
#[case::without(
    json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
    &[("app", "web")], false
)]
#[case::exists(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), &[("app", "x")], true)]
#[case::does_not_exist(
    json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
    &[("app", "x")], false
)]
fn an_objects_selector_means_the_same(
    #[case] selector: Value,
    #[case] pairs: &[(&str, &str)],
    #[case] yes: bool,
) {
    let selector = LabelSelector::from_object(&selector).expect("a selector");
    assert_eq!(yes, selector.matches(&labels(pairs)));
}

#[rstest]
#[case(json!("app=web"))]
#[case(json!({"matchLabels": {"app": 1}}))]
#[case(json!({"matchLabels": {"app": "a/b"}}))]
#[case(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a/b"]}]}))]
#[case(json!({"matchExpressions": [{"key": "app", "operator": "In"}]}))]
#[case(json!({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}))]
#[case(json!({"matchExpressions": [{"key": "app", "operator": "Like", "values": ["a"]}]}))]
#[case(json!({"matchExpressions": [7]}))]
fn an_object_that_is_no_selector_is_refused(#[case] selector: Value) {
    assert!(LabelSelector::from_object(&selector).is_err());
}

#[test]
fn a_services_empty_selector_means_no_pod() {
    let pod = labels(&[("app", "web")]);
    assert!(!LabelSelector::from_labels(&json!({})).matches(&pod));
    assert!(LabelSelector::from_labels(&json!({"app": "web"})).matches(&pod));
}

#[rstest]
#[case("metadata.name=web", true)]
#[case("metadata.name=db", false)]
#[case("metadata.namespace==shop,metadata.name!=db", true)]
#[case("involvedObject.name=web", true)]
#[case("involvedObject.uid=", true)]
#[case("spec.port=80", true)]
#[case("status.phase!=Running", true)]
#[case("source=kubelet", true)]
#[case(r"note=a\,b\=c", true)]
#[case("", true)]
fn a_field_selector_looks_at_the_fields(#[case] text: &str, #[case] yes: bool) {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "involvedObject": {"name": "web"},
        "source": {"component": "kubelet"},
        "note": "a,b=c",
        "spec": {"port": 80},
    });
    assert_eq!(yes, FieldSelector::parse(text).expect("a selector").matches(&object));
}

#[test]
fn a_field_selector_without_operator_is_refused() {
    assert!(FieldSelector::parse("metadata.name").is_err());
}

#[test]
fn only_some_fields_can_be_selected_by() {
    let selector = FieldSelector::parse("metadata.name=a,spec.nodeName=b").expect("a selector");
    assert_eq!(None, selector.unsupported_path("", "Pod"));
    assert_eq!(Some("spec.nodeName"), selector.unsupported_path("", "ConfigMap"));
    assert_eq!(Some("a"), selector.name());
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "[a-z=!<>(), \\\\.é]{0,30}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }

    #[test]
    fn a_selector_and_its_opposite_never_agree(key in "[a-c]", value in "[x-z]", have in proptest::option::of("[x-z]")) {
        let found: BTreeMap<String, String> = have.into_iter().map(|v| ("a".to_string(), v)).collect();
        for (yes, no) in [
            (format!("{key}={value}"), format!("{key}!={value}")),
            (format!("{key} in ({value},y)"), format!("{key} notin ({value},y)")),
            (key.clone(), format!("!{key}")),
        ] {
            let yes = LabelSelector::parse(&yes).expect("a selector").matches(&found);
            let no = LabelSelector::parse(&no).expect("a selector").matches(&found);
            prop_assert_ne!(yes, no);
        }
    }
}
