//! Hooks and gates (spec 02 §2.8, §6).

use Phase::{Progressing, Promoting, Succeeded, WaitingPromotion};

use crate::api::hooks::HookType;
use crate::api::status::Phase;
use crate::model::release::Release;

use super::super::question::Ask;
use super::super::testing::{MESH, Stage, hook, release};

fn with(kind: HookType) -> Release {
    let mut release = release();
    release.analysis.hooks = vec![hook(kind, "gate")];
    release
}

#[test]
fn a_muted_gate_sends_no_alert() {
    // spec: 02/C94 04/AL-17
    let mut release = with(HookType::ConfirmRollout);
    release.analysis.hooks[0].mute_alert = true;
    let mut stage = Stage::initialized(release, MESH);
    stage.closed = vec!["gate".into()];
    stage.push("vx1-b");
    stage.settle();
    assert_eq!(stage.alerts, []);
}

// spec: 01/API-057 02/C52
#[test]
fn a_closed_promotion_gate_holds_a_weighted_run_and_the_analysis_goes_on() {
    let mut stage = Stage::detected(with(HookType::ConfirmPromotion), MESH);
    stage.closed = vec!["gate".into()];
    for _ in 0..3 {
        stage.tick();
    }
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (WaitingPromotion, 60, 60, 0, 0), "weight and iterations are kept");
    assert_eq!(stage.said(), ["Halt podinfo.test advancement waiting for promotion approval gate"]);
    assert_eq!(stage.alerts[0].message, "Canary promotion is waiting for approval.");
    stage.forget();
    stage.tick();
    assert_eq!(stage.said(), [""; 0]);
    assert_eq!(
        stage.asked,
        [Ask::Metric { index: 0 }, Ask::Hook { index: 0, phase: Progressing }],
        "the analysis first, then the gate"
    );
    stage.closed.clear();
    stage.tick();
    assert_eq!(stage.row().0, Promoting);
}

// spec: 02/C91 04/WH-08
#[test]
fn post_rollout_hooks_come_once_after_the_phase_and_before_the_last_word() {
    let mut release = with(HookType::PostRollout);
    release.skip_analysis = true;
    let mut stage = Stage::detected(release, MESH);
    stage.forget();
    stage.tick();
    assert_eq!(stage.row().0, Succeeded);
    assert_eq!(stage.asked, [Ask::Hook { index: 0, phase: Succeeded }]);
    assert_eq!(
        stage.said(),
        [
            "Copying podinfo.test template spec to podinfo-primary.test",
            "Post-rollout check gate passed",
            "Promotion completed! Canary analysis was skipped for podinfo.test"
        ]
    );
    stage.tick();
    assert_eq!(stage.asked.len(), 1);
}

#[test]
fn a_failing_pre_rollout_hook_is_a_failed_check_and_no_step() {
    let mut stage = Stage::detected(with(HookType::PreRollout), MESH);
    stage.closed = vec!["gate".into()];
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 0, 0, 0, 1));
    assert_eq!(
        stage.said(),
        [
            "Starting canary analysis for podinfo.test",
            "Halt podinfo.test advancement pre-rollout check gate failed closed"
        ]
    );
}

#[test]
fn a_failing_rollout_hook_is_a_failed_check_without_metrics() {
    // spec: 02/C95
    let mut stage = Stage::detected(with(HookType::Rollout), MESH);
    stage.tick();
    stage.closed = vec!["gate".into()];
    stage.forget();
    stage.tick();
    assert_eq!(stage.row(), (Progressing, 20, 20, 0, 1));
    assert_eq!(stage.said(), ["Halt podinfo.test advancement external check gate failed closed"]);
    assert_eq!(stage.asked, [Ask::Hook { index: 0, phase: Progressing }]);
}
