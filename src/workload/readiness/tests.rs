//! The tables of spec 02 §3.5.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::workload::testing::{after, frontend, noon};

fn standard(threshold: u32) -> Standard {
    Standard { threshold, scaled_from: None, deadline: Duration::from_secs(600), now: noon() }
}

fn deployment_with(spec: Value, status: Value) -> Value {
    let mut object = frontend();
    json_patch::merge(&mut object, &json!({"spec": spec, "status": status}));
    object
}

fn text(readiness: Readiness) -> String {
    match readiness {
        Readiness::Ready => "ready".into(),
        Readiness::Waiting { why, stuck_at: None } => why.to_string(),
        Readiness::Waiting { why, stuck_at: Some(at) } => {
            format!("{why}; stuck in {}s", (at - noon()).num_seconds())
        }
        Readiness::Stuck { why } => format!("stuck: {why}"),
    }
}

// spec: 02/C68 02/C65
#[rstest]
#[case::ready(json!({}), json!({}), "ready")]
#[case::not_seen_yet(json!({}), json!({"observedGeneration": 2}), "waiting for rollout to finish: observed deployment generation less than desired generation")]
#[case::never_seen(json!({}), json!({"observedGeneration": null}), "waiting for rollout to finish: observed deployment generation less than desired generation")]
#[case::none_wanted(json!({"replicas": 0}), json!({"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}), "waiting for rollout to finish: 0 replicas wanted")]
#[case::none_wanted_after_a_failure(json!({"replicas": 0}), json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}), "waiting for rollout to finish: 0 replicas wanted")]
#[case::own_deadline(json!({}), json!({"updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}), "stuck: deployment \"frontend\" exceeded its progress deadline")]
#[case::own_deadline_comes_before_the_counts(json!({}), json!({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}), "stuck: deployment \"frontend\" exceeded its progress deadline")]
#[case::updating(json!({}), json!({"updatedReplicas": 1}), "waiting for rollout to finish: 1 out of 3 new replicas have been updated")]
#[case::one_replica_unless_said(json!({"replicas": null}), json!({"replicas": 1, "updatedReplicas": null}), "waiting for rollout to finish: 0 out of 1 new replicas have been updated")]
#[case::old_ones_left(json!({}), json!({"replicas": 5}), "waiting for rollout to finish: 2 old replicas are pending termination")]
#[case::unavailable(json!({}), json!({"availableReplicas": 2}), "waiting for rollout to finish: 2 of 3 (readyThreshold 100%) updated replicas are available")]
#[case::paused(json!({"paused": true}), json!({"updatedReplicas": 0}), "waiting for rollout to finish: 0 out of 3 new replicas have been updated, deployment \"frontend\" is paused, set spec.paused to false")]
#[case::paused_but_complete(json!({"paused": true}), json!({}), "ready")]
fn a_deployment_is_ready_or_says_with_numbers_why_not(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] expected: &str,
) {
    assert_eq!(text(deployment(&deployment_with(spec, status), standard(100))), expected);
}

/// Two pods at least, and an autoscaler that has asked for more.
#[rstest]
#[case::none_of_the_new_ones_yet(8, 2, 2, 2, "ready")]
#[case::created_and_not_ready(8, 8, 8, 3, "ready")]
#[case::shrinking(2, 5, 5, 5, "ready")]
#[case::fewer_than_it_keeps(
    8,
    8,
    8,
    1,
    "waiting for rollout to finish: 1 of 2 (readyThreshold 100%) updated replicas are available"
)]
#[case::old_ones_left(8, 8, 5, 5, "waiting for rollout to finish: 3 old replicas are pending termination")]
fn an_autoscaler_at_work_does_not_make_a_workload_unready(
    #[case] wanted: i32,
    #[case] pods: i32,
    #[case] updated: i32,
    #[case] available: i32,
    #[case] expected: &str,
) {
    let rolled_out = json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
    let object = deployment_with(
        json!({"replicas": wanted}),
        json!({
            "replicas": pods,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": rolled_out
        }),
    );
    assert_eq!(text(deployment(&object, Standard { scaled_from: Some(2), ..standard(100) })), expected);
}

#[test]
fn a_revision_that_is_still_rolled_out_is_measured_by_all_its_pods_autoscaler_or_not() {
    let rolling = json!([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]);
    let object = deployment_with(
        json!({"replicas": 8}),
        json!({"replicas": 8, "updatedReplicas": 8, "availableReplicas": 3, "conditions": rolling}),
    );
    assert_eq!(
        text(deployment(&object, Standard { scaled_from: Some(2), ..standard(100) })),
        "waiting for rollout to finish: 3 of 8 (readyThreshold 100%) updated replicas are available"
    );
}

// spec: 02/C69
#[rstest]
#[case::exact(4, 50, 2, "ready")]
#[case::one_short(
    4,
    50,
    1,
    "waiting for rollout to finish: 1 of 2 (readyThreshold 50%) updated replicas are available"
)]
#[case::rounded_up(
    3,
    50,
    1,
    "waiting for rollout to finish: 1 of 2 (readyThreshold 50%) updated replicas are available"
)]
#[case::at_least_one(
    1,
    99,
    0,
    "waiting for rollout to finish: 0 of 1 (readyThreshold 99%) updated replicas are available"
)]
#[case::at_least_one_even_of_nothing(
    1,
    0,
    0,
    "waiting for rollout to finish: 0 of 1 (readyThreshold 0%) updated replicas are available"
)]
fn thresholds_are_rounded_up_and_at_least_one(
    #[case] pods: i32,
    #[case] threshold: u32,
    #[case] available: i32,
    #[case] expected: &str,
) {
    let status = json!({"replicas": pods, "updatedReplicas": pods, "availableReplicas": available});
    let object = deployment_with(json!({"replicas": pods}), status);
    assert_eq!(text(deployment(&object, standard(threshold))), expected);
}

fn unavailable_since_noon() -> Value {
    let unavailable = json!({
        "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
        "lastUpdateTime": "2026-11-20T12:00:00Z",
    });
    let progressing = json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"});
    deployment_with(json!({}), json!({"availableReplicas": 0, "conditions": [unavailable, progressing]}))
}

// spec: 02/C68
#[rstest]
#[case::before(599, false)]
#[case::at_the_deadline(600, true)]
#[case::after(601, true)]
fn the_canarys_own_deadline_runs_from_the_moment_of_unavailability(
    #[case] seconds: i64,
    #[case] stuck: bool,
) {
    let readiness = deployment(&unavailable_since_noon(), Standard { now: after(seconds), ..standard(100) });
    let why = "waiting for rollout to finish: 0 of 3 (readyThreshold 100%) updated replicas are available";
    let expected = if stuck { format!("stuck: {why}") } else { format!("{why}; stuck in 600s") };
    assert_eq!(text(readiness), expected);
}

#[rstest]
#[case::no_sign_of_progress("Progressing")]
#[case::available("Available")]
fn without_both_conditions_the_canarys_deadline_does_not_run(#[case] missing: &str) {
    let mut object = unavailable_since_noon();
    let conditions = object["status"]["conditions"].as_array_mut().expect("conditions");
    conditions.retain(|condition| condition["type"] != missing);
    assert!(matches!(deployment(&object, standard(100)), Readiness::Waiting { stuck_at: None, .. }));
}

#[test]
fn a_deadline_beyond_all_time_never_comes() {
    let standard = Standard { deadline: Duration::MAX, now: after(1_000_000), ..standard(100) };
    assert!(matches!(
        deployment(&unavailable_since_noon(), standard),
        Readiness::Waiting { stuck_at: None, .. }
    ));
}

#[rstest]
#[case(json!(null))]
#[case(json!("a text"))]
#[case(json!({"metadata": {"generation": "x"}, "spec": [], "status": {"conditions": {"a": 1}, "updatedReplicas": 1.5}}))]
#[case(json!({"spec": {"replicas": 99_999_999_999_i64}, "status": {"conditions": [1, null], "availableReplicas": -5}}))]
fn nonsense_is_not_ready_and_does_no_harm(#[case] object: Value) {
    assert!(!deployment(&object, standard(100)).is_ready());
    assert!(!daemon_set(&object, standard(100)).is_ready());
}

// spec: 02/C68
#[rstest]
#[case::ready(json!({}), 100, "ready")]
#[case::not_seen_yet(json!({"observedGeneration": 1}), 100, "waiting for rollout to finish: observed daemonset generation less than desired generation")]
#[case::updating(json!({"updatedNumberScheduled": 1}), 100, "waiting for rollout to finish: 1 out of 4 new pods have been updated")]
#[case::unavailable(json!({"numberAvailable": 1}), 50, "waiting for rollout to finish: 1 of 2 (readyThreshold 50%) updated pods are available")]
#[case::enough(json!({"numberAvailable": 2}), 50, "ready")]
#[case::no_node(json!({"desiredNumberScheduled": 0, "updatedNumberScheduled": 0, "numberAvailable": 0}), 100, "waiting for rollout to finish: 0 pods wanted, no node fits")]
fn a_daemon_set_is_ready_or_says_with_numbers_why_not(
    #[case] status: Value,
    #[case] threshold: u32,
    #[case] expected: &str,
) {
    let mut object = json!({
        "metadata": {"name": "node-agent", "generation": 2},
        "status": {
            "observedGeneration": 2, "desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberAvailable": 4,
        },
    });
    json_patch::merge(&mut object, &json!({"status": status}));
    assert_eq!(text(daemon_set(&object, standard(threshold))), expected);
}
