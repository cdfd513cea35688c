//! Requests by hand, each bound to a revision.

use rstest::rstest;
use serde_json::json;

use crate::api::hooks::{HookType, Severity};
use crate::api::status::{BlockerKind, PROMOTE, Phase};
use crate::model::answer::Measured;
use crate::model::by_hand::{REQUEST, Request};
use crate::model::workload::Readiness;

use super::super::step::{Outcome, Reason};
use super::super::testing::{MESH, Stage, hook, release};

/// Somebody sets the annotation, and everything that follows at once is done.
fn ask(stage: &mut Stage, text: &str) -> Reason {
    let canary = json!({"metadata": {
        "annotations": {REQUEST: text},
        "managedFields": [{"manager": "kubectl-annotate", "time": "2026-11-20T12:00:03Z"}],
    }});
    stage.world.request = Request::of(&canary);
    stage.settle()
}

fn running() -> Stage {
    let mut stage = Stage::initialized(release(), MESH);
    stage.push("vx1-b-rev");
    stage.settle();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    stage.forget();
    stage
}

/// A run that a closed gate holds up.
fn gated(kind: HookType, ticks: usize) -> Stage {
    let mut gated = release();
    gated.analysis.hooks = vec![hook(kind, "qa")];
    let mut stage = Stage::initialized(gated, MESH);
    stage.closed = vec!["qa".into()];
    stage.push("vx1-b-rev");
    stage.settle();
    for _ in 0..ticks {
        stage.tick();
    }
    assert_eq!(stage.world.status.blockers[0].kind, BlockerKind::Gate, "{:?}", stage.events);
    stage.forget();
    stage
}

#[test]
fn a_paused_run_keeps_its_traffic_until_it_is_resumed() {
    let mut stage = running();
    let why = ask(&mut stage, "pause vx1-b-rev by=alice");
    assert_eq!(why, Reason::Paused("paused by alice (kubectl-annotate, 12:00:03)".into()));
    assert_eq!(
        stage.said(),
        ["Request to pause vx1-b-rev by alice (kubectl-annotate, 12:00:03): traffic stays at weight 20"]
    );
    stage.metric = Measured::Value(0.0);
    for _ in 0..5 {
        stage.tick();
        assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    }
    let [blocker] = &stage.world.status.blockers[..] else { panic!("one blocker") };
    assert_eq!(blocker.kind, BlockerKind::Paused);

    stage.metric = Measured::Value(100.0);
    ask(&mut stage, "resume vx1-b-rev");
    assert_eq!(stage.row(), (Phase::Progressing, 40, 40, 0, 0));
}

#[test]
fn a_request_is_acted_upon_once_and_its_outcome_stands_in_a_condition() {
    let mut stage = running();
    ask(&mut stage, "pause vx1-b-rev");
    let condition = stage.world.status.condition("Request").expect("an answer").clone();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str()),
        ("True", "Granted", "pause vx1-b-rev: traffic stays at weight 20")
    );
    stage.forget();
    stage.tick();
    assert_eq!(stage.said(), Vec::<String>::new());

    ask(&mut stage, "pause vx1-b-rev again");
    let condition = stage.world.status.condition("Request").expect("an answer");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Refused"));
}

#[test]
fn a_paused_run_still_rolls_back_where_a_rollback_hook_says_so() {
    let mut hooked = release();
    hooked.analysis.hooks = vec![hook(HookType::Rollback, "stop")];
    let mut stage = Stage::initialized(hooked, MESH);
    stage.closed = vec!["stop".into()];
    stage.push("vx1-b-rev");
    stage.settle();
    stage.tick();
    ask(&mut stage, "pause vx1-b-rev");
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Progressing);
    stage.closed.clear();
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Failed, 0, 0, 0, 0));
}

#[test]
fn a_paused_run_starts_over_with_the_next_revision() {
    let mut stage = running();
    ask(&mut stage, "pause vx1-b-rev");
    stage.push("vx1-c-rev");
    stage.settle();
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 0));
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
}

#[test]
fn a_release_that_is_paused_before_it_starts_waits_although_its_gate_opens() {
    let mut stage = gated(HookType::ConfirmRollout, 0);
    ask(&mut stage, "pause vx1-b-rev");
    stage.closed.clear();
    stage.tick();
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Waiting);
    ask(&mut stage, "resume vx1-b-rev");
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Progressing);
}

#[rstest]
#[case::before_the_run(HookType::ConfirmRollout, 0, Phase::Progressing, 0)]
#[case::before_more_traffic(HookType::ConfirmTrafficIncrease, 1, Phase::Progressing, 20)]
#[case::before_the_promotion(HookType::ConfirmPromotion, 4, Phase::Promoting, 60)]
fn an_approval_opens_the_closed_gate_at_once(
    #[case] kind: HookType,
    #[case] ticks: usize,
    #[case] phase: Phase,
    #[case] share: u32,
) {
    let mut stage = gated(kind, ticks);
    ask(&mut stage, "approve vx1-b-rev by=bob");
    assert_eq!((stage.row().0, stage.row().1), (phase, share));
    assert_eq!(
        stage.said().first().map(String::as_str),
        Some("Request to approve vx1-b-rev by bob (kubectl-annotate, 12:00:03): gate qa is open")
    );
}

#[test]
fn an_approval_is_for_one_step() {
    let mut stage = gated(HookType::ConfirmTrafficIncrease, 1);
    ask(&mut stage, "approve vx1-b-rev");
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
    ask(&mut stage, "approve vx1-b-rev the second");
    assert_eq!(stage.row(), (Phase::Progressing, 40, 40, 0, 0));
}

#[test]
fn an_approval_of_one_gate_leaves_the_next_one_closed() {
    let mut stage = gated(HookType::ConfirmRollout, 0);
    stage.world.release.analysis.hooks.push(hook(HookType::ConfirmRollout, "boss"));
    stage.closed.push("boss".into());
    ask(&mut stage, "approve vx1-b-rev");
    assert_eq!(stage.world.status.phase, Phase::Waiting);
    assert_eq!(stage.world.status.blockers[0].name.as_deref(), Some("boss"));
    ask(&mut stage, "approve vx1-b-rev boss too");
    assert_eq!(stage.world.status.phase, Phase::Progressing);
}

#[test]
fn a_check_that_fails_after_an_approval_is_not_repeated_before_its_time() {
    let mut stage = gated(HookType::ConfirmPromotion, 4);
    stage.metric = Measured::Value(0.0);
    ask(&mut stage, "approve vx1-b-rev");
    assert_eq!(stage.row(), (Phase::WaitingPromotion, 60, 60, 0, 1));
    stage.metric = Measured::Value(100.0);
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Promoting, "the approval still holds");
}

#[rstest]
#[case::waiting(gated(HookType::ConfirmRollout, 0))]
#[case::progressing(running())]
#[case::waiting_for_promotion(gated(HookType::ConfirmPromotion, 4))]
fn a_promotion_by_hand_skips_checks_and_gates_but_not_readiness(#[case] mut stage: Stage) {
    stage.metric = Measured::Value(0.0);
    if stage.world.status.phase != Phase::Waiting {
        stage.target().readiness = Readiness::Waiting { why: "1 of 2 pods".into(), stuck_at: None };
        ask(&mut stage, "promote vx1-b-rev");
        assert_ne!(stage.world.status.phase, Phase::Promoting);
        stage.target().readiness = Readiness::Ready;
        stage.settle();
    } else {
        ask(&mut stage, "promote vx1-b-rev");
    }
    assert_eq!(stage.world.status.phase, Phase::Promoting);
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Succeeded, 0, 0, 0, 0));
    assert_eq!(stage.outcomes, [Outcome::Skipped]);
    assert_eq!(stage.world.status.condition(PROMOTE), None);
}

#[rstest]
#[case::waiting(gated(HookType::ConfirmRollout, 0))]
#[case::progressing(running())]
#[case::waiting_for_promotion(gated(HookType::ConfirmPromotion, 4))]
fn an_abort_rolls_back_at_once_and_the_revision_stays_failed(#[case] mut stage: Stage) {
    ask(&mut stage, "abort vx1-b-rev by=carol");
    assert_eq!(stage.row().1, 0, "no traffic is left on the canary");
    stage.tick();
    assert_eq!(stage.row(), (Phase::Failed, 0, 0, 0, 0));
    let said = stage.said();
    assert_eq!(said[0], "Request to abort vx1-b-rev by carol (kubectl-annotate, 12:00:03): rolling back");
    assert_eq!(said.last().map(String::as_str), Some("Canary failed! Scaling down podinfo.test"));
    assert_eq!(
        stage.alerts.iter().map(|alert| (alert.severity, alert.message.as_str())).collect::<Vec<_>>(),
        [(Severity::Warn, "Rolling back as requested by carol (kubectl-annotate, 12:00:03)")]
    );
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Failed);
}

#[test]
fn a_failed_revision_is_released_again_on_request() {
    let mut stage = running();
    ask(&mut stage, "abort vx1-b-rev");
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Failed);
    stage.forget();
    ask(&mut stage, "retry vx1-b-rev");
    assert_eq!(stage.row(), (Phase::Progressing, 0, 0, 0, 0));
    assert_eq!(
        stage.said(),
        [
            "Request to retry vx1-b-rev (kubectl-annotate, 12:00:03): it is released again",
            "New revision detected! Scaling up podinfo.test"
        ]
    );
    for _ in 0..8 {
        stage.tick();
    }
    assert_eq!(stage.world.status.phase, Phase::Succeeded);
}

#[test]
fn a_failed_promotion_goes_on_from_the_healthy_canary_on_request() {
    let mut stage = running();
    for _ in 0..3 {
        stage.tick();
    }
    assert_eq!(stage.world.status.phase, Phase::Promoting);
    stage.primary().readiness = Readiness::Stuck { why: "no image".into() };
    stage.tick();
    assert_eq!((stage.row().0, stage.row().1), (Phase::Failed, 100));
    stage.primary().readiness = Readiness::Ready;
    ask(&mut stage, "retry vx1-b-rev");
    stage.tick();
    stage.tick();
    assert_eq!(stage.row(), (Phase::Succeeded, 0, 0, 0, 0));
}

#[rstest]
#[case::nothing_under_way("abort vx1-a", "the revision is missing or too short")]
#[case::unknown("stop vx1-b-rev", "unknown action \"stop\"")]
#[case::no_gate("approve vx1-b-rev", "no gate waits for an approval")]
#[case::not_paused("resume vx1-b-rev", "it is not paused")]
#[case::not_failed(
    "retry vx1-b-rev",
    "only a failed revision can be released again, the phase is Progressing"
)]
fn a_request_that_makes_no_sense_is_refused_with_the_reason(#[case] text: &str, #[case] why: &str) {
    let mut stage = running();
    ask(&mut stage, text);
    let said = stage.said();
    assert!(said.len() == 1 && said[0].contains(" refused: ") && said[0].contains(why), "{said:?}");
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
}

#[test]
fn at_rest_and_while_the_primary_has_the_revision_there_is_nothing_to_hold_up() {
    let mut stage = running();
    for _ in 0..3 {
        stage.tick();
    }
    stage.forget();
    ask(&mut stage, "abort vx1-b-rev");
    assert!(
        stage.said()[0].ends_with("the primary has been given the revision already, it cannot be held up")
    );
    for _ in 0..3 {
        stage.tick();
    }
    assert_eq!(stage.world.status.phase, Phase::Succeeded);
    stage.forget();
    ask(&mut stage, "pause vx1-b-rev");
    assert!(stage.said()[0].ends_with("nothing is being released in phase Succeeded"));
}

#[rstest]
#[case::pause("pause")]
#[case::promote("promote")]
#[case::abort("abort")]
fn a_late_request_cannot_hit_the_next_release(#[case] action: &str) {
    let mut stage = running();
    stage.push("vx1-c-rev");
    stage.settle();
    stage.forget();
    ask(&mut stage, &format!("{action} vx1-b-rev"));
    assert_eq!(stage.world.status.phase, Phase::Progressing);
    assert_eq!(
        stage.said(),
        [format!(
            "Request \"{action} vx1-b-rev\" (kubectl-annotate, 12:00:03) refused: it is for revision vx1-b-rev, the \
             target is at vx1-c-rev"
        )]
    );
    stage.tick();
    assert_eq!(stage.row(), (Phase::Progressing, 20, 20, 0, 0));
}
