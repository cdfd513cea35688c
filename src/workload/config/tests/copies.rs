//! The primary's copies (spec 02 §4.3).

use rstest::rstest;

use super::*;
use crate::model::object::owner_references;
use crate::workload::testing::including;

/// Another Canary of the same namespace, whose target is named like it.
fn checkout() -> Release {
    let mut release = release();
    release.name = "checkout".into();
    release.uid = "c-2".into();
    release.target.name = "checkout".into();
    release
}

/// The checkout refers to what the frontend refers to.
fn checkout_target() -> Value {
    with(frontend(), json!({"metadata": {"name": "checkout", "uid": "d-2"}}))
}

/// Frontend and checkout, both released with the same settings.
fn shared() -> Cluster {
    let mut cluster = Cluster::released();
    cluster.put(checkout_target());
    cluster.create(&checkout());
    cluster
}

fn owners(object: &Value) -> Vec<(String, bool)> {
    let owners = object["metadata"]["ownerReferences"].as_array().expect("owners");
    let text = |owner: &Value| owner["name"].as_str().unwrap_or_default().to_owned();
    owners.iter().map(|owner| (text(owner), owner["controller"] == true)).collect()
}

/// The kinds and names that are written, in order.
fn written(writes: &[Write]) -> Vec<String> {
    writes.iter().map(|write| write.id().to_string()).collect()
}

// spec: 02/C80
#[rstest]
#[case::no_prefix(&[], json!(null))]
#[case::a_prefix(&["app.kubernetes.io/"], json!({"app.kubernetes.io/part-of": "shop"}))]
#[case::all(&["*"], json!({"app.kubernetes.io/part-of": "shop", "team": "web"}))]
fn a_copy_has_the_contents_and_the_included_labels_of_its_source(
    #[case] prefixes: &[&str],
    #[case] labels: Value,
) {
    let told = json!({"metadata": {
        "labels": {"app.kubernetes.io/part-of": "shop", "team": "web", "kustomize.toolkit.fluxcd.io/name": "shop"},
        "annotations": {"note": "x"},
    }});
    let mut cluster = Cluster::new();
    cluster.edit(&settings_id(), told);
    let settings = Settings { config_tracking: true, ..including(prefixes) };
    let read = workload().contents(&release(), &settings, &cluster.seen()).expect("contents");
    assert_eq!(read, [settings_id()]);
    let seen = cluster.seen_with(&read);
    let writes = workload().create_primary(&release(), &settings, &seen, "id").expect("writes");
    assert_eq!(
        written(&writes),
        ["ConfigMap frontend-settings-primary.shop", "Deployment frontend-primary.shop"]
    );
    cluster.carry_out(writes);
    let mut metadata = json!({
        "name": "frontend-settings-primary", "namespace": "shop", "resourceVersion": "1",
        "ownerReferences": owner_references("frontend", "c-1"),
    });
    if !labels.is_null() {
        metadata["labels"] = labels;
    }
    assert_eq!(
        *cluster.get(&copy_id()),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"currency": "EUR"}})
    );
    assert_eq!(reference(&cluster), "frontend-settings-primary");
}

// spec: 02/C80
#[test]
fn exactly_the_tracked_references_are_renamed() {
    let mut cluster = Cluster::new();
    let volumes = json!([
        {"name": "a", "configMap": {"name": "frontend-settings"}},
        {"name": "b", "configMap": {"name": "opted-out"}},
        {"name": "c", "configMap": {"name": "not-there", "optional": true}},
        {"name": "d", "secret": {"secretName": "frontend-settings"}},
        {"name": "e", "secret": {"secretName": "registry"}},
        {"name": "f", "projected": {"sources": [{"secret": {"name": "frontend-settings"}}]}},
    ]);
    cluster.edit(&target_id(), json!({"spec": {"template": {"spec": {"volumes": volumes}}}}));
    cluster.put(with(
        config_map("opted-out", json!({})),
        json!({"metadata": {"annotations": {"flagger.app/config-tracking": "disable"}}}),
    ));
    cluster.put(secret("frontend-settings", "kubernetes.io/tls"));
    cluster.put(secret("registry", "kubernetes.io/dockerconfigjson"));
    cluster.create(&release());
    let pod = &cluster.get(&primary_id())["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"],
        json!([
            {"name": "a", "configMap": {"name": "frontend-settings-primary"}},
            {"name": "b", "configMap": {"name": "opted-out"}},
            {"name": "c", "configMap": {"name": "not-there", "optional": true}},
            {"name": "d", "secret": {"secretName": "frontend-settings-primary"}},
            {"name": "e", "secret": {"secretName": "registry"}},
            {"name": "f", "projected": {"sources": [{"secret": {"name": "frontend-settings-primary"}}]}},
        ])
    );
    let copy = cluster.get(&Kind::SECRET.at("shop", "frontend-settings-primary"));
    assert_eq!(copy["type"], "kubernetes.io/tls");
    assert_eq!(copy["data"], json!({"apiKey": "dGVzdA==", "username": "dGVzdA=="}));
}

// spec: 02/C81
#[test]
fn binary_data_and_immutability_are_copied() {
    let mut cluster = Cluster::new();
    cluster.edit(&settings_id(), json!({"binaryData": {"logo": "AQI="}, "immutable": true}));
    cluster.create(&release());
    let copy = cluster.get(&copy_id());
    assert_eq!((&copy["binaryData"], &copy["immutable"]), (&json!({"logo": "AQI="}), &json!(true)));
}

// spec: 02/C80
#[test]
fn a_promotion_brings_the_copy_up_to_date_before_the_primary() {
    let mut cluster = Cluster::released();
    cluster.edit(&settings_id(), json!({"data": {"currency": null, "language": "de"}}));
    let (read, writes) = cluster.plan(&release(), promote);
    assert_eq!(read, [settings_id(), copy_id()]);
    assert_eq!(
        written(&writes),
        ["ConfigMap frontend-settings-primary.shop", "Deployment frontend-primary.shop"]
    );
    let Write::Patch { resource_version, patch, .. } = &writes[0] else { panic!("{writes:?}") };
    assert_eq!(
        (resource_version.as_str(), patch),
        ("1", &json!({"data": {"currency": null, "language": "de"}}))
    );
    cluster.carry_out(writes);
    assert_eq!(cluster.get(&copy_id())["data"], json!({"language": "de"}));
}

#[test]
fn a_promotion_that_is_repeated_reads_and_writes_nothing() {
    let mut cluster = Cluster::released();
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    cluster.promote(&release());
    assert_eq!(cluster.plan(&release(), promote), (vec![], vec![]));
}

// spec: 02/C82
#[test]
fn a_promotion_of_nothing_but_a_config_rolls_the_primarys_pods() {
    let mut cluster = Cluster::released();
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    let (_, mut writes) = cluster.plan(&release(), promote);
    let pods = |cluster: &Cluster| cluster.get(&primary_id())["spec"]["template"].clone();
    let before = pods(&cluster);
    // Died in between: the copy has it, the pods have not.
    let primary = writes.pop().expect("two writes");
    cluster.carry_out(writes);
    assert_eq!(pods(&cluster), before);
    let (read, again) = cluster.plan(&release(), promote);
    assert_eq!((read, written(&again)), (vec![], written(&[primary])));
    cluster.carry_out(again);
    assert_ne!(pods(&cluster), before);
}

#[rstest]
#[case::data(json!({"data": {"currency": "USD"}}))]
#[case::no_longer_immutable(json!({"immutable": null}))]
fn an_immutable_copy_is_replaced_as_its_source_was(#[case] changes: Value) {
    let mut cluster = Cluster::new();
    cluster.edit(&settings_id(), json!({"immutable": true}));
    cluster.create(&release());
    cluster.edit(&settings_id(), changes);
    let (read, writes) = cluster.plan(&release(), promote);
    assert_eq!(read, [settings_id()]);
    assert!(matches!(&writes[..2], [Write::Delete { .. }, Write::Create { .. }]), "{writes:?}");
    cluster.carry_out(writes);
    let (copy, source) = (cluster.get(&copy_id()), cluster.get(&settings_id()));
    assert_eq!((&copy["data"], copy.get("immutable")), (&source["data"], source.get("immutable")));
    assert_eq!(owners(copy), [("frontend".to_owned(), true)]);
}

#[test]
fn contents_that_were_not_read_are_never_copied() {
    let cluster = Cluster::new();
    let error = create(workload(), &release(), &settings(), &cluster.seen(), "id").expect_err("no contents");
    assert!(
        error.to_string().ends_with("contents of ConfigMap frontend-settings.shop were not read"),
        "{error}"
    );
}

// spec: 02/C78
#[test]
fn no_primary_is_made_without_its_configs() {
    let cluster = Cluster::of([frontend()]);
    let error = create(workload(), &release(), &settings(), &cluster.seen(), "id").expect_err("no config");
    assert_eq!(
        error.to_string(),
        "createPrimaryDeployment failed: CreatePrimaryConfigs failed: \
         configmap frontend-settings.shop get query error: configmaps \"frontend-settings\" not found"
    );
}

// spec: 02/C80
#[test]
fn canaries_that_want_the_same_share_a_copy() {
    let cluster = shared();
    assert_eq!(
        owners(cluster.get(&copy_id())),
        [("checkout".to_owned(), true), ("frontend".to_owned(), false)]
    );
    assert_eq!(reference(&cluster), "frontend-settings-primary");
}

#[test]
fn a_shared_copy_is_not_promoted_for_the_other_canary() {
    let mut cluster = shared();
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    cluster.promote(&release());
    let (usual, own) = (cluster.get(&copy_id()), cluster.get(&own_copy_id()));
    assert_eq!(usual["data"], json!({"currency": "EUR"}), "the checkout has not analysed it");
    assert_eq!(own["data"], json!({"currency": "USD"}));
    assert_eq!(reference(&cluster), "frontend-settings-primary-frontend");
    assert_eq!(owners(usual), [("checkout".to_owned(), true)], "it is the checkout's alone");
    assert_eq!(owners(own), [("frontend".to_owned(), true)]);
    assert_eq!(cluster.plan(&release(), promote), (vec![], vec![]));

    // Alone with it, the checkout promotes it under the usual name.
    cluster.promote(&checkout());
    assert_eq!(cluster.get(&copy_id())["data"], json!({"currency": "USD"}));
    assert_eq!(cluster.get(&Kind::CONFIG_MAP.at("shop", "frontend-settings-primary-checkout")), &Value::Null);
}

#[test]
fn a_second_canary_does_not_overwrite_what_the_first_one_runs() {
    let mut cluster = Cluster::released();
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    cluster.put(checkout_target());
    cluster.create(&checkout());
    assert_eq!(cluster.get(&copy_id())["data"], json!({"currency": "EUR"}));
    let own = cluster.get(&Kind::CONFIG_MAP.at("shop", "frontend-settings-primary-checkout"));
    assert_eq!(own["data"], json!({"currency": "USD"}));
}

#[test]
fn a_primary_that_is_rebuilt_gets_what_was_promoted() {
    let mut cluster = Cluster::released();
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    cluster.0.remove(&primary_id());
    cluster.create(&release());
    assert_eq!(cluster.get(&copy_id())["data"], json!({"currency": "EUR"}), "nobody has analysed dollars");
    assert_eq!(reference(&cluster), "frontend-settings-primary");
}

#[test]
fn what_an_earlier_canary_of_this_name_left_is_brought_up_to_date() {
    let mut cluster = Cluster::released();
    cluster.0.remove(&primary_id());
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    let reborn = Release { uid: "c-9".into(), ..release() };
    cluster.create(&reborn);
    assert_eq!(cluster.get(&copy_id())["data"], json!({"currency": "USD"}));
    assert_eq!(owners(cluster.get(&copy_id())), [("frontend".to_owned(), true)]);
}

#[rstest]
#[case::managed_by_another_controller(json!([{"kind": "App", "name": "shop", "uid": "u", "controller": true}]), json!({}))]
#[case::a_users_own(json!(null), json!({"currency": "GBP"}))]
#[case::a_users_own_that_happens_to_agree(json!(null), json!({"currency": "EUR"}))]
fn an_object_with_the_usual_name_that_is_no_copy_is_left_alone(#[case] owners: Value, #[case] data: Value) {
    let mut cluster = Cluster::new();
    let foreign =
        with(config_map("frontend-settings-primary", data), json!({"metadata": {"ownerReferences": owners}}));
    cluster.put(foreign.clone());
    cluster.create(&release());
    assert_eq!(*cluster.get(&copy_id()), foreign);
    assert_eq!(reference(&cluster), "frontend-settings-primary-frontend");
    assert_eq!(cluster.get(&own_copy_id())["data"], json!({"currency": "EUR"}));
}

#[test]
fn a_name_that_is_taken_twice_is_refused() {
    let mut cluster = Cluster::new();
    for name in ["frontend-settings-primary", "frontend-settings-primary-frontend"] {
        let owner = json!([{"kind": "App", "name": "shop", "uid": "u", "controller": true}]);
        cluster.put(with(config_map(name, json!({})), json!({"metadata": {"ownerReferences": owner}})));
    }
    let error = workload().contents(&release(), &settings(), &cluster.seen()).expect_err("a refusal");
    let expected = "ConfigMap frontend-settings-primary-frontend.shop belongs to App shop";
    assert!(error.to_string().starts_with(expected), "{error}");
}
