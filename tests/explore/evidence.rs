//! What the checker notes of the history: which rounds of checks have passed for which revision, which gates were open,
//! what has failed. It is read off the answers that were given and the statuses that were stored, not off the core.

use vexil::api::analysis::{MetricSeverity, OnMetricError, OnNoData};
use vexil::api::hooks::HookType;
use vexil::api::status::{APPROVED, CanaryStatus, PROMOTE, Phase, REQUEST};
use vexil::model::release::{MetricCheck, Release, Steps, Strategy};

use super::view::{self, ERROR, NAN, NO, NO_DATA, YES};
use super::world::{NONE, REVISIONS, Rev, World};

/// Notes the answers that a plan is decided on.
pub fn decided(release: &Release, status: &CanaryStatus, world: &mut World) {
    let hooks = |kind: HookType| {
        let all = release.analysis.hooks.iter().enumerate();
        all.filter(move |(_, hook)| hook.kind == kind).map(|(index, _)| index)
    };
    let heard = |index: usize| {
        let mut all = world.memory.answers.iter();
        all.find(|(code, _)| view::hook_of(*code) == Some(index)).map(|(_, heard)| *heard)
    };
    let open = |kind: HookType| hooks(kind).all(|index| heard(index) == Some(YES));
    let started = open(HookType::PreRollout);
    let approved = status.said_of(APPROVED, REVISIONS[usize::from(world.target.rev)]).unwrap_or_default();
    let is_open = |index: usize| {
        let name = &release.analysis.hooks[index].name;
        heard(index) == Some(YES) || approved.contains(&format!("\"{name}\""))
    };
    let gate = hooks(HookType::ConfirmPromotion).all(is_open);
    let traffic = hooks(HookType::ConfirmTrafficIncrease).all(is_open);
    let metrics = &release.analysis.metrics;
    let passed = !metrics.is_empty()
        && open(HookType::Rollout)
        && metrics.iter().enumerate().all(|(index, check)| {
            let code = 0x100 + u16::try_from(index).expect("few metrics");
            world.heard(code).is_some_and(|heard| passes(release, check, heard))
        });
    let share = match world.primary.serving() {
        // It stands in for the primary: what it has earned is in the status.
        0 => world.routes.share.min(u8::try_from(status.canary_weight).unwrap_or(0)),
        _ => world.routes.share,
    };
    let ghost = &mut world.ghost;
    if ghost.rev != world.target.rev {
        return;
    }
    ghost.started |= started;
    ghost.gate = gate;
    ghost.traffic = traffic;
    if passed {
        ghost.share = ghost.share.max(share);
        ghost.rounds = (ghost.rounds + 1).min(6);
    }
}

fn passes(release: &Release, check: &MetricCheck, heard: u8) -> bool {
    if check.rules.dry_run || check.rules.severity == MetricSeverity::Warn || check.rules.counts_samples {
        return true;
    }
    match heard {
        YES => true,
        NO_DATA | NAN => release.analysis.on_no_data == OnNoData::Pass,
        NO => false,
        ERROR => {
            let _: OnMetricError = release.analysis.on_metric_error;
            false
        }
        _ => false,
    }
}

/// Notes what a status that is stored says of a run's beginning and end.
pub fn recorded(release: &Release, before: &CanaryStatus, after: &CanaryStatus, world: &mut World) {
    let rests = |phase: Phase| matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed);
    let runs = |phase: Phase| matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    let retried = |status: &CanaryStatus| {
        let answer = status.condition(REQUEST);
        answer.filter(|answer| answer.status == "True" && answer.message.starts_with("retry ")).cloned()
    };
    if retried(after).is_some_and(|retry| retried(before).is_none_or(|old| old.message != retry.message)) {
        world.ghost.failed = NONE;
    }
    let another = before.last_applied_spec != after.last_applied_spec;
    if runs(after.phase) && (another || !runs(before.phase)) {
        let ghost = &mut world.ghost;
        ghost.rev = rev_of(&after.last_applied_spec);
        (ghost.share, ghost.rounds, ghost.top, ghost.raised) = (0, 0, 0, None);
        ghost.gate = false;
        ghost.started = release.hooks(HookType::PreRollout).next().is_none();
    }
    if rests(after.phase) && after.phase != before.phase {
        let ghost = &mut world.ghost;
        (ghost.rev, ghost.share, ghost.rounds, ghost.top, ghost.raised) = (NONE, 0, 0, 0, None);
        (ghost.gate, ghost.started) = (false, false);
        let failed = after.phase == Phase::Failed;
        ghost.failed = if failed { rev_of(&after.last_applied_spec) } else { NONE };
        ghost.stood_in = failed && matches!(before.phase, Phase::Promoting | Phase::Finalising);
    }
}

fn rev_of(name: &str) -> Rev {
    let place = REVISIONS.iter().position(|known| *known == name);
    place.and_then(|place| Rev::try_from(place).ok()).unwrap_or(NONE)
}

/// The share after `earned`, by the manifest; `None` after the last.
pub fn next_share(steps: &Steps, earned: u32) -> Option<u32> {
    let next = match steps {
        Steps::By { max, .. } if earned >= *max => return None,
        Steps::By { step, .. } => earned + step,
        Steps::List(list) => *list.iter().find(|weight| **weight > earned)?,
    };
    Some(if next > 100 { 100 } else { next }).filter(|next| *next > earned)
}

/// Whether the revision of the target may be promoted: its checks have passed with every gate open, or somebody said
/// that there are to be none.
pub fn may_promote(release: &Release, status: &CanaryStatus, world: &World) -> bool {
    let by_hand = status.said_of(PROMOTE, REVISIONS[usize::from(world.target.rev)]).is_some();
    if release.skip_analysis || by_hand {
        return true;
    }
    let ghost = &world.ghost;
    let gated = release.hooks(HookType::ConfirmPromotion).next().is_some();
    has_passed(release, world) && (!gated || ghost.gate)
}

/// Whether the checks of the revision of the target have passed.
pub fn has_passed(release: &Release, world: &World) -> bool {
    let ghost = &world.ghost;
    let rounds = |needed: u32| u32::from(ghost.rounds) >= needed.min(6);
    ghost.rev == world.target.rev
        && match &release.analysis.strategy {
            Strategy::Weighted(steps) => rounds(1) && next_share(steps, u32::from(ghost.share)).is_none(),
            Strategy::AbTesting { iterations } => rounds(*iterations),
            Strategy::BlueGreen { iterations } => rounds(iterations + 1),
        }
}

/// The largest share that the canary may have now.
pub fn allowed(release: &Release, status: &CanaryStatus, world: &World) -> u32 {
    let ghost = &world.ghost;
    if may_promote(release, status, world) {
        return 100;
    }
    if ghost.rev != world.target.rev {
        return 0;
    }
    let all = |yes: bool| if yes { 100 } else { 0 };
    match &release.analysis.strategy {
        Strategy::Weighted(steps) => {
            let earned = u32::from(ghost.share);
            if ghost.started { next_share(steps, earned).unwrap_or(earned) } else { 0 }
        }
        Strategy::AbTesting { .. } => all(ghost.started),
        Strategy::BlueGreen { iterations } => all(u32::from(ghost.rounds) >= *iterations),
    }
}
