//! The change fence.

use rstest::rstest;

use crate::api::status::{AppliedTarget, CanaryStatus, Phase};
use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts};

use super::super::change::{Change, change};

fn target(revision: &str, generation: i64) -> TargetFacts {
    TargetFacts {
        uid: "u".into(),
        generation,
        revision: revision.into(),
        replicas: 1,
        ready_pods: 1,
        readiness: Readiness::Ready,
        configs: None,
        config_problem: None,
    }
}

fn primary(matches_target: bool) -> PrimaryFacts {
    PrimaryFacts {
        replicas: 1,
        ready_pods: 1,
        readiness: Readiness::Ready,
        matches_target,
        other_configs: false,
        replaced_at_once: false,
    }
}

fn status(phase: Phase, applied: &str, promoted: &str) -> CanaryStatus {
    CanaryStatus {
        phase,
        last_applied_spec: applied.into(),
        last_promoted_spec: promoted.into(),
        applied_target: Some(AppliedTarget { uid: "u".into(), generation: 3 }),
        ..CanaryStatus::default()
    }
}

// spec: 02/C71 02/C73 01/API-053 01/API-054
#[rstest]
#[case::unchanged(Phase::Succeeded, "vx1-a", "vx1-a", "vx1-a", 3, true, Change::None)]
#[case::an_edit_of_anything_else(Phase::Succeeded, "vx1-a", "vx1-a", "vx1-a", 9, true, Change::None)]
#[case::a_new_template(Phase::Succeeded, "vx1-a", "vx1-a", "vx1-b", 4, false, Change::New)]
#[case::another_encoding_of_the_same_edit(
    Phase::Succeeded,
    "vx1-a",
    "vx1-a",
    "vx1-b",
    3,
    false,
    Change::Adopt
)]
#[case::back_at_the_promoted(Phase::Failed, "vx1-b", "vx1-a", "vx1-a", 4, true, Change::Promoted)]
#[case::what_the_primary_runs(Phase::Succeeded, "vx1-x", "vx1-x", "vx1-a", 4, true, Change::Promoted)]
#[case::taken_over_at_rest(Phase::Succeeded, "5498f4fcd6", "5498f4fcd6", "vx1-a", 1, true, Change::Adopt)]
#[case::taken_over_with_an_edit(Phase::Succeeded, "5498f4fcd6", "5498f4fcd6", "vx1-b", 1, false, Change::New)]
#[case::taken_over_failed(Phase::Failed, "5498f4fcd6", "547d5765b7", "vx1-b", 1, false, Change::Adopt)]
#[case::taken_over_in_a_run(Phase::Progressing, "5498f4fcd6", "547d5765b7", "vx1-b", 1, false, Change::Adopt)]
#[case::never_applied(Phase::Initialized, "", "", "vx1-a", 1, false, Change::New)]
fn a_rollout_starts_only_if_somebody_asked_for_it(
    #[case] phase: Phase,
    #[case] applied: &str,
    #[case] promoted: &str,
    #[case] now: &str,
    #[case] generation: i64,
    #[case] runs_on_primary: bool,
    #[case] expected: Change,
) {
    let status = status(phase, applied, promoted);
    assert_eq!(change(&status, &target(now, generation), Some(&primary(runs_on_primary))), expected);
}

// spec: 02/C82
#[test]
fn a_changed_config_is_a_revision_and_newly_tracked_ones_are_not() {
    let mut status = status(Phase::Succeeded, "vx1-a", "vx1-a");
    let mut target = target("vx1-a", 3);
    target.configs = Some([("configmap/a".to_owned(), "11".to_owned())].into());
    assert_eq!(change(&status, &target, Some(&primary(true))), Change::Adopt);
    status.tracked_configs = target.configs.clone();
    assert_eq!(change(&status, &target, Some(&primary(true))), Change::None);
    target.configs = Some([("configmap/a".to_owned(), "22".to_owned())].into());
    assert_eq!(change(&status, &target, Some(&primary(true))), Change::New);
}
