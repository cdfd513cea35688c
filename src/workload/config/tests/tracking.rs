//! What is tracked, and by which checksum (spec 02 §4.1, §4.2).

use rstest::rstest;

use super::*;
use crate::workload::config::{reads, track, understood, unreadable};
use crate::workload::testing::noon;

/// A pod that refers to configs in every way.
fn template() -> Value {
    json!({"spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccountName": "shop",
        "volumes": [
            {"name": "a", "configMap": {"name": "pages"}},
            {"name": "b", "secret": {"secretName": "certificate"}},
            {"name": "c", "projected": {"sources": [
                {"configMap": {"name": "flags", "optional": true}},
                {"secret": {"name": "keys"}},
                {"serviceAccountToken": {"path": "token"}},
            ]}},
            {"name": "d", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi"}}},
            {"name": "e", "emptyDir": {}},
        ],
        "containers": [{
            "name": "web",
            "env": [
                {"name": "PLAIN", "value": "1"},
                {"name": "CURRENCY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "currency"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "features"}}, {"secretRef": {"name": "mail"}}],
        }],
        "initContainers": [{
            "name": "migrate",
            "env": [{"name": "N", "valueFrom": {"configMapKeyRef": {"name": "migrations", "key": "n"}}}],
            "envFrom": [{"secretRef": {"name": "vault"}}],
        }],
        "ephemeralContainers": [{"name": "debug", "envFrom": [{"configMapRef": {"name": "debugging"}}]}],
    }})
}

fn record(template: &Value, objects: impl IntoIterator<Item = Value>) -> Option<BTreeMap<String, String>> {
    let seen = Cluster::of(objects).seen();
    track(&release(), &settings(), template, &seen).expect("tracking is on").record()
}

// spec: 02/C77
#[test]
fn every_way_of_referring_to_configs_is_followed() {
    let named = |kind: Kind| -> Vec<String> {
        reads(&release(), &template())
            .into_iter()
            .filter(|id| id.kind == kind && !id.name.contains("-primary"))
            .map(|id| id.name)
            .collect()
    };
    assert_eq!(named(Kind::CONFIG_MAP), ["features", "flags", "migrations", "pages", "settings"]);
    assert_eq!(named(Kind::SECRET), ["certificate", "database", "keys", "mail", "vault"]);
}

// spec: 02/C77 01/API-051
#[rstest]
#[case::opaque("Opaque", json!({}), true)]
#[case::basic_auth("kubernetes.io/basic-auth", json!({}), true)]
#[case::ssh_auth("kubernetes.io/ssh-auth", json!({}), true)]
#[case::tls("kubernetes.io/tls", json!({}), true)]
#[case::a_registrys_password("kubernetes.io/dockerconfigjson", json!({}), false)]
#[case::a_token("kubernetes.io/service-account-token", json!({}), false)]
#[case::anything_else("example.com/own", json!({}), false)]
#[case::opted_out("Opaque", json!({"flagger.app/config-tracking": "disabled"}), false)]
#[case::opted_out_in_short("Opaque", json!({"flagger.app/config-tracking": "disable"}), false)]
#[case::another_value("Opaque", json!({"flagger.app/config-tracking": "enabled"}), true)]
#[case::another_annotation("Opaque", json!({"team": "disable"}), true)]
fn secrets_of_usual_types_are_tracked_unless_they_opt_out(
    #[case] kind: &str,
    #[case] annotations: Value,
    #[case] tracked: bool,
) {
    let template = json!({"spec": {"volumes": [{"name": "a", "secret": {"secretName": "keys"}}]}});
    let object = with(secret("keys", kind), json!({"metadata": {"annotations": annotations}}));
    let expected = tracked.then(|| ("secret/keys".to_owned(), "a55ffd9095ef2828".to_owned()));
    assert_eq!(record(&template, [object]), Some(expected.into_iter().collect()));
}

// spec: 02/C77
#[test]
fn a_config_map_opts_out_as_well() {
    let template = json!({"spec": {"volumes": [{"name": "a", "configMap": {"name": "pages"}}]}});
    let object = with(
        config_map("pages", json!({"color": "red"})),
        json!({"metadata": {"annotations": {"flagger.app/config-tracking": "disabled"}}}),
    );
    assert_eq!(record(&template, [object]), Some(BTreeMap::new()));
}

// spec: 02/C78
#[rstest]
#[case::mandatory(&[None], true)]
#[case::said_to_be_mandatory(&[Some(false)], true)]
#[case::optional(&[Some(true)], false)]
#[case::the_last_says_optional(&[None, Some(true)], false)]
#[case::the_last_says_mandatory(&[Some(true), None], true)]
fn a_missing_object_matters_if_the_last_reference_cannot_do_without(
    #[case] references: &[Option<bool>],
    #[case] matters: bool,
) {
    let sources: Vec<Value> = references
        .iter()
        .map(|optional| {
            with(json!({"configMapRef": {"name": "pages"}}), json!({"configMapRef": {"optional": optional}}))
        })
        .collect();
    let template = json!({"spec": {"containers": [{"name": "web", "envFrom": sources}]}});
    let seen = Objects::default();
    let tracked = track(&release(), &settings(), &template, &seen).expect("tracking is on");
    let expected = "configmap pages.shop get query error: configmaps \"pages\" not found";
    assert_eq!(tracked.problem(), matters.then(|| expected.to_owned()));
    assert_eq!(tracked.record(), (!matters).then(BTreeMap::new), "what is missing is no change");
}

// spec: 02/C78
#[rstest]
#[case("volumes", "containers", "/envFrom/0/configMapRef", true)]
#[case("containers", "initContainers", "/envFrom/0/configMapRef", true)]
fn volumes_come_before_containers_and_those_before_init_containers(
    #[case] first: &str,
    #[case] last: &str,
    #[case] place: &str,
    #[case] optional: bool,
) {
    let reference = |list: &str, optional: bool| match list {
        "volumes" => json!([{"name": "a", "configMap": {"name": "pages", "optional": optional}}]),
        _ => json!([{"name": "a", "envFrom": [{"configMapRef": {"name": "pages", "optional": optional}}]}]),
    };
    let template = json!({"spec": {first: reference(first, !optional), last: reference(last, optional)}});
    assert!(template["spec"][last][0].pointer(place).is_some());
    assert_eq!(record(&template, []), Some(BTreeMap::new()));
}

// spec: 02/C79 01/API-051
#[rstest]
#[case::one_key(json!({"color": "red"}), "241889ca0604e333")]
#[case::two_keys(json!({"b": "2", "a": "1"}), "21f76dfbfe6dfe21")]
#[case::none(Value::Null, "74234e98afe7498f")]
fn checksums_are_those_that_flagger_records(#[case] data: Value, #[case] expected: &str) {
    let template = json!({"spec": {"volumes": [{"name": "a", "configMap": {"name": "pages"}}]}});
    let object = with(config_map("pages", Value::Null), json!({"data": data}));
    assert_eq!(
        record(&template, [object]),
        Some([("configmap/pages".to_owned(), expected.to_owned())].into())
    );
}

// spec: 02/C81
#[test]
fn binary_data_count_where_there_are_some_and_nowhere_else() {
    let sum = |binary: Value| {
        let template = json!({"spec": {"volumes": [{"name": "a", "configMap": {"name": "pages"}}]}});
        let object = with(config_map("pages", json!({"color": "red"})), json!({"binaryData": binary}));
        record(&template, [object]).expect("a record")["configmap/pages"].clone()
    };
    assert_eq!(sum(json!({})), "241889ca0604e333");
    assert_ne!(sum(json!({"logo": "AQI="})), "241889ca0604e333");
    assert_ne!(sum(json!({"logo": "AQI="})), sum(json!({"logo": "AQM="})));
    assert_eq!(sum(json!({"logo": "AQI="})).len(), 16);
}

// spec: 02/C81 02/C73
#[test]
fn what_flagger_recorded_of_binary_data_is_understood() {
    let object = with(config_map("pages", json!({"color": "red"})), json!({"binaryData": {"logo": "AQI="}}));
    let template = json!({"spec": {"volumes": [{"name": "a", "configMap": {"name": "pages"}}]}});
    let now = record(&template, [object.clone()]).expect("a record");
    let mut recorded = BTreeMap::from([("configmap/pages".to_owned(), "241889ca0604e333".to_owned())]);
    understood(&mut recorded, &Cluster::of([object]).seen());
    assert_eq!(recorded, now);

    let mut other = BTreeMap::from([("configmap/pages".to_owned(), "0000000000000000".to_owned())]);
    let before = other.clone();
    understood(&mut other, &Cluster::of([config_map("pages", json!({"color": "red"}))]).seen());
    assert_eq!(other, before, "a real difference stays one");
}

#[test]
fn what_the_api_refuses_to_show_is_unknown_and_not_missing() {
    let template = json!({"spec": {"volumes": [
        {"name": "a", "configMap": {"name": "pages"}}, {"name": "b", "secret": {"secretName": "keys"}},
    ]}});
    let mut seen = Cluster::of([config_map("pages", json!({}))]).seen();
    seen.insert(Kind::SECRET.at("shop", "keys"), Arc::new(unreadable("secrets is forbidden")));
    let tracked = track(&release(), &settings(), &template, &seen).expect("tracking is on");
    assert_eq!(tracked.record(), None);
    assert_eq!(tracked.problem().as_deref(), Some("secret keys.shop get query error: secrets is forbidden"));
}

#[test]
fn nothing_is_tracked_with_tracking_off() {
    let off = Settings { config_tracking: false, ..settings() };
    let facts =
        workload().target(&release(), &off, &Cluster::of([frontend()]).seen(), noon()).expect("facts");
    assert_eq!((facts.configs, facts.config_problem), (None, None));
    let on = workload().target(&release(), &settings(), &Cluster::new().seen(), noon()).expect("facts");
    assert_eq!(
        on.configs.expect("a record").into_keys().collect::<Vec<_>>(),
        ["configmap/frontend-settings"]
    );
}

#[test]
fn caches_keep_no_contents() {
    let told = json!({"metadata": {
        "labels": {"app": "shop"},
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"apiKey\":\"dGVzdA==\"}}",
            "flagger.app/config-tracking": "enabled",
        },
        "ownerReferences": [{"kind": "App", "name": "shop", "uid": "u"}],
    }, "immutable": true});
    let object = with(secret("keys", "Opaque"), told);
    let kept = reduced(&object);
    assert!(!kept.to_string().contains("dGVzdA") && !kept.to_string().contains("apiKey"), "{kept}");
    assert_eq!(kept["metadata"]["labels"], object["metadata"]["labels"]);
    assert_eq!(kept["metadata"]["ownerReferences"], object["metadata"]["ownerReferences"]);
    assert_eq!(kept["metadata"]["resourceVersion"], "1");
    assert_eq!(kept["metadata"]["annotations"], json!({"flagger.app/config-tracking": "enabled"}));
    assert_eq!((&kept["type"], &kept["immutable"]), (&json!("Opaque"), &json!(true)));
    assert_eq!(reduced(&kept), kept, "once is enough");
}

#[rstest]
#[case(json!(null))]
#[case(json!("a text"))]
#[case(json!({"spec": {"volumes": [3, {"configMap": []}], "containers": [{"env": "x", "envFrom": [null]}]}}))]
#[case(json!({"spec": {"volumes": [{"configMap": {"name": ""}}, {"secret": {"secretName": 7}}]}}))]
fn nonsense_refers_to_nothing(#[case] template: Value) {
    assert_eq!(reads(&release(), &template), []);
}
