//! What a primary's configs say about it: taking over from Flagger, renewing the canary's pods.

use rstest::rstest;

use super::*;
use crate::model::workload::PrimaryFacts;
use crate::workload::config::MARK;
use crate::workload::testing::noon;

fn primary(cluster: &Cluster) -> PrimaryFacts {
    workload().primary(&release(), &settings(), &cluster.seen(), noon()).expect("a primary")
}

fn facts(cluster: &Cluster) -> (bool, bool) {
    let primary = primary(cluster);
    (primary.matches_target, primary.other_configs)
}

/// As Flagger leaves it: no mark, a copy without binary data.
fn flaggers() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.edit(&settings_id(), json!({"binaryData": {"logo": "AQI="}}));
    cluster.create(&release());
    cluster.edit(&copy_id(), json!({"binaryData": null}));
    cluster.edit(&primary_id(), json!({"spec": {"template": {"metadata": {"annotations": {MARK: null}}}}}));
    cluster
}

// spec: 02/C73
#[test]
fn a_primary_made_by_flagger_runs_what_its_copies_hold() {
    let mut cluster = flaggers();
    assert_eq!(facts(&cluster), (true, false));
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    assert_eq!(facts(&cluster), (false, true), "edited while nobody looked");
    cluster.0.remove(&copy_id());
    assert_eq!(facts(&cluster), (false, true), "its copy is gone");
}

// spec: 02/C73
#[test]
fn the_first_promotion_after_flagger_keeps_the_copies_names() {
    let mut cluster = flaggers();
    cluster.edit(&target_id(), json!({"spec": {"template": {"metadata": {"labels": {"tier": "edge"}}}}}));
    cluster.promote(&release());
    assert_eq!(reference(&cluster), "frontend-settings-primary");
    assert_eq!(cluster.get(&copy_id())["binaryData"], json!({"logo": "AQI="}));
    assert_eq!(facts(&cluster), (true, false));
}

#[test]
fn a_primary_that_was_promoted_with_other_contents_does_not_match() {
    let mut cluster = Cluster::released();
    assert_eq!(facts(&cluster), (true, false));
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    assert_eq!(facts(&cluster), (false, true));
    cluster.edit(&settings_id(), json!({"data": {"currency": "EUR"}}));
    assert_eq!(facts(&cluster), (true, false));
}

#[test]
fn a_primary_from_before_the_tracking_refers_to_the_source_and_matches() {
    let mut cluster = Cluster::new();
    let off = Settings { config_tracking: false, ..settings() };
    let writes = workload().create_primary(&release(), &off, &cluster.seen(), "id").expect("writes");
    cluster.carry_out(writes);
    assert_eq!(reference(&cluster), "frontend-settings");
    assert_eq!(facts(&cluster), (true, false));
    cluster.promote(&release());
    assert_eq!(reference(&cluster), "frontend-settings-primary");
}

#[test]
fn with_tracking_off_the_next_promotion_refers_to_the_source_again() {
    let mut cluster = Cluster::released();
    let off = Settings { config_tracking: false, ..settings() };
    let primary = workload().primary(&release(), &off, &cluster.seen(), noon()).expect("a primary");
    assert!(primary.matches_target, "switching it off starts nothing");
    let writes = workload().promote(&release(), &off, &cluster.seen(), "id").expect("writes");
    cluster.carry_out(writes);
    assert_eq!(reference(&cluster), "frontend-settings");
}

#[rstest]
#[case::the_copys_own_copy("frontend-settings-primary-primary")]
#[case::another_canarys_copy("frontend-settings-primary-checkout")]
fn a_primary_that_refers_to_something_else_does_not_match(#[case] name: &str) {
    let mut cluster = Cluster::released();
    let place = "/spec/template/spec/containers/0/env/2/valueFrom/configMapKeyRef/name";
    *cluster.0.get_mut(&primary_id()).and_then(|primary| primary.pointer_mut(place)).expect("a name") =
        json!(name);
    assert!(!primary(&cluster).matches_target);
}

// spec: 02/C82
#[test]
fn renewing_marks_the_running_pods_and_makes_no_revision() {
    let mut cluster = Cluster::released();
    let revision = |cluster: &Cluster| {
        workload().target(&release(), &settings(), &cluster.seen(), noon()).expect("facts").revision
    };
    let before = (revision(&cluster), cluster.get(&target_id()).clone());
    cluster.edit(&settings_id(), json!({"data": {"currency": "USD"}}));
    let renew = |cluster: &Cluster| workload().renew(&release(), &settings(), &cluster.seen());
    cluster.carry_out(renew(&cluster));
    let mark = cluster.get(&target_id())["spec"]["template"]["metadata"]["annotations"][MARK].clone();
    assert!(mark.is_string());
    assert_eq!(renew(&cluster), [], "once for the same contents");
    assert_eq!(revision(&cluster), before.0);

    cluster.promote(&release());
    assert_eq!(facts(&cluster), (true, false), "the mark is no difference");

    let park = workload().scale_to_zero(&release(), &cluster.seen());
    assert_eq!(park.len(), 1);
    cluster.carry_out(park);
    let parked = with(before.1, json!({"spec": {"replicas": 0}}));
    assert_eq!(*cluster.get(&target_id()), parked, "nothing of ours stays on the target");
    assert_eq!(renew(&cluster), [], "there are no pods to renew");
}
