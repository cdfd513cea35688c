//! DaemonSets as targets: a node agent.

use rstest::rstest;

use super::*;
use crate::model::release::Settings;
use crate::model::workload::{PrimaryFacts, TargetFacts};
use crate::workload::Workload;
use crate::workload::testing::{applied, created, noon, patched, release, seen, settings};

fn agent_release() -> Release {
    let mut release = release();
    release.target.kind = crate::model::release::TargetKind::DaemonSet;
    release.target.name = "node-agent".into();
    release
}

fn agent() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "node-agent", "namespace": "shop", "uid": "s-1", "generation": 2, "resourceVersion": "7",
            "labels": {"app": "node-agent"},
        },
        "spec": {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "selector": {"matchLabels": {"app": "node-agent"}},
            "template": {
                "metadata": {"labels": {"app": "node-agent"}},
                "spec": {"containers": [{"name": "agent", "image": "shop/agent:1"}]},
            },
        },
        "status": {
            "observedGeneration": 2, "desiredNumberScheduled": 4, "currentNumberScheduled": 4,
            "updatedNumberScheduled": 4, "numberAvailable": 4, "numberReady": 4,
        },
    })
}

fn parked() -> Value {
    applied(&agent(), &DaemonSet.scale_to_zero(&agent_release(), &seen([agent()])))
}

fn primary() -> Value {
    let writes = DaemonSet.create_primary(&agent_release(), &settings(), &seen([parked()]), "id-1");
    let mut primary = created(writes.expect("writes").remove(0));
    primary["status"] = agent()["status"].clone();
    primary
}

fn facts(target: Value) -> TargetFacts {
    DaemonSet.target(&agent_release(), &settings(), &seen([target]), noon()).expect("facts")
}

// spec: 02/C66
#[test]
fn a_parked_daemon_set_wants_a_node_that_nobody_has() {
    assert_eq!(
        parked()["spec"]["template"]["spec"]["nodeSelector"],
        json!({"flagger.app/scale-to-zero": "true"})
    );
    assert_eq!(DaemonSet.scale_to_zero(&agent_release(), &seen([parked()])), []);
    assert_eq!((facts(parked()).replicas, facts(parked()).ready_pods), (0, 0));
    assert!(!facts(parked()).readiness.is_ready());
}

// spec: 02/C66
#[rstest]
#[case::alone(json!(null))]
#[case::beside_others(json!({"disk": "ssd"}))]
fn scaling_up_takes_only_the_mark_away(#[case] selector: Value) {
    let mut target = agent();
    if !selector.is_null() {
        target["spec"]["template"]["spec"]["nodeSelector"] = selector.clone();
    }
    let (release, mut up) = (agent_release(), target.clone());
    for step in [DaemonSet::scale_to_zero, DaemonSet::scale_up] {
        let writes = step(&DaemonSet, &release, &seen([up.clone()]));
        up = applied(&up, &writes);
    }
    assert_eq!(facts(up.clone()).revision, facts(target.clone()).revision);
    assert_eq!(facts(up.clone()).replicas, 1);
    assert_eq!(DaemonSet.scale_up(&release, &seen([target])), [], "nothing to take away");
    let mut parked_again = up.clone();
    for step in [DaemonSet::scale_to_zero, DaemonSet::revert] {
        let writes = step(&DaemonSet, &release, &seen([parked_again.clone()]));
        parked_again = applied(&parked_again, &writes);
    }
    assert_eq!(parked_again, up);
}

// spec: 02/C66
#[test]
fn parking_is_no_revision_and_does_not_reach_the_primary() {
    assert_eq!(facts(parked()).revision, facts(agent()).revision);
    assert_eq!(
        primary()["spec"]["template"]["spec"]["nodeSelector"].as_object().map(serde_json::Map::len),
        Some(0)
    );
    let seen = seen([parked(), primary()]);
    let facts = DaemonSet.primary(&agent_release(), &settings(), &seen, noon()).expect("facts");
    assert!(facts.matches_target);
    assert_eq!((facts.replicas, facts.ready_pods), (1, 4));
    assert_eq!(facts.readiness, Readiness::Ready);
}

// spec: 02/C66
#[test]
fn promotion_copies_template_and_settings() {
    let mut target = parked();
    target["spec"]["template"]["spec"]["containers"][0]["image"] = json!("shop/agent:2");
    target["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!("25%");
    let seen_now = seen([target.clone(), primary()]);
    let writes = DaemonSet.promote(&agent_release(), &settings(), &seen_now, "id-2").expect("writes");
    let patch = patched(writes.clone());
    assert_eq!(patch["spec"]["updateStrategy"], json!({"rollingUpdate": {"maxUnavailable": "25%"}}));
    assert_eq!(patch["spec"]["template"]["metadata"], json!({"annotations": {"flagger-id": "id-2"}}));
    assert_eq!(patch["spec"]["replicas"], json!(null));
    let promoted = applied(&primary(), &writes);
    assert_eq!(
        DaemonSet.promote(&agent_release(), &settings(), &seen([target, promoted]), "id-3"),
        Ok(vec![]),
        "repeating it rolls nothing"
    );
}

// spec: 02/C67
#[test]
fn a_daemon_set_that_does_not_roll_is_refused() {
    let mut target = agent();
    target["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    let error = Error::Unusable(
        "daemonset node-agent.shop must have RollingUpdate strategy but have OnDelete".into(),
    );
    let seen = seen([target]);
    assert_eq!(DaemonSet.create_primary(&agent_release(), &settings(), &seen, "id"), Err(error.clone()));
    assert_eq!(DaemonSet.target(&agent_release(), &settings(), &seen, noon()), Err(error));
}

// spec: 02/C68
#[test]
fn readiness_says_of_whom_it_speaks() {
    let short = |mut object: Value| {
        object["status"]["numberAvailable"] = json!(3);
        object
    };
    let seen = seen([short(agent()), short(primary())]);
    let Readiness::Waiting { why, stuck_at: None } =
        DaemonSet.target(&agent_release(), &settings(), &seen, noon()).expect("facts").readiness
    else {
        panic!("it waits")
    };
    assert_eq!(
        why.to_string(),
        "canary damonset node-agent.shop not ready with retryable true: waiting for rollout to finish: \
         3 of 4 (readyThreshold 100%) updated pods are available"
    );
    let Some(PrimaryFacts { readiness: Readiness::Waiting { why, .. }, .. }) =
        DaemonSet.primary(&agent_release(), &settings(), &seen, noon())
    else {
        panic!("it waits")
    };
    assert!(
        why.to_string().starts_with("primary daemonset node-agent-primary.shop not ready: waiting"),
        "{why}"
    );
}

// spec: 02/C77 02/C80 02/C82
#[test]
fn the_settings_of_a_daemon_set_are_copied_and_its_pods_renewed() {
    let mut target = agent();
    target["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "a", "configMap": {"name": "agent-settings"}}]);
    let settings = Settings::default();
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "agent-settings", "namespace": "shop", "resourceVersion": "1"},
        "data": {"interval": "10s"},
    });
    let objects = |target: &Value| seen([target.clone(), config.clone()]);
    let writes =
        DaemonSet.create_primary(&agent_release(), &settings, &objects(&target), "id").expect("writes");
    let [copy, primary]: [Value; 2] =
        writes.into_iter().map(created).collect::<Vec<_>>().try_into().expect("two");
    assert_eq!(
        (&copy["metadata"]["name"], &copy["data"]),
        (&json!("agent-settings-primary"), &config["data"])
    );
    let volume = &primary["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(volume["configMap"]["name"], "agent-settings-primary");

    let renewed = applied(&target, &DaemonSet.renew(&agent_release(), &settings, &objects(&target)));
    assert_ne!(renewed["spec"]["template"]["metadata"], target["spec"]["template"]["metadata"]);
    assert_eq!(facts(renewed.clone()).revision, facts(target.clone()).revision);
    let park = |target: &Value| applied(target, &DaemonSet.scale_to_zero(&agent_release(), &objects(target)));
    let mut parked = park(&renewed);
    assert_eq!(parked["spec"]["template"]["metadata"]["annotations"], json!({}), "the mark is gone");
    parked["spec"]["template"]["metadata"] = target["spec"]["template"]["metadata"].clone();
    assert_eq!(parked, park(&target));
    assert_eq!(DaemonSet.renew(&agent_release(), &settings, &objects(&parked)), [], "no pods to renew");
}
