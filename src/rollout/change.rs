//! The change fence: did the target change in a way that somebody asked for (DESIGN §4)?
//!
//! A hash alone cannot tell: it differs after an upgrade of this controller, after a take-over from another, or
//! when an API server begins to fill in a new default. So a hash is only believed if it is ours and the target
//! was edited since it was recorded, and a template that the primary already runs is never a new revision.

use crate::api::status::{AppliedTarget, CanaryStatus, Phase};
use crate::model::workload::{PrimaryFacts, TargetFacts, is_own_revision};

/// In place of a revision that is not to be compared with: the target counts as edited since.
pub const SUPERSEDED: &str = "vx1-superseded";

/// What became of the target since the last run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Nothing, but the record must be brought up to date: another hash for the same template.
    Adopt,
    /// It is back at what the primary runs.
    Promoted,
    /// A revision to release.
    New,
}

/// Compares the target with what `status` recorded.
pub fn change(status: &CanaryStatus, target: &TargetFacts, primary: Option<&PrimaryFacts>) -> Change {
    match revision_change(status, target, primary) {
        Change::None | Change::Promoted | Change::Adopt if configs_changed(status, target) => Change::New,
        Change::None if configs_unrecorded(status, target) => Change::Adopt,
        change => change,
    }
}

fn revision_change(status: &CanaryStatus, target: &TargetFacts, primary: Option<&PrimaryFacts>) -> Change {
    let runs_on_primary = primary.is_some_and(|primary| primary.matches_target);
    if status.last_applied_spec == target.revision {
        return Change::None;
    }
    // Where Flagger's hash can be computed it is the target's, and compared like one of ours.
    let comparable = is_own_revision(&status.last_applied_spec) || !is_own_revision(&target.revision);
    if comparable && !status.last_applied_spec.is_empty() {
        let same_object = status.applied_target.as_ref() == Some(&applied(target));
        return match () {
            // Nobody has edited the target since: only its encoding is another.
            () if same_object => Change::Adopt,
            // The promoted template together with ConfigMaps or Secrets that were not: nobody has analysed the two.
            () if primary.is_some_and(|primary| primary.other_configs) => Change::New,
            () if status.last_promoted_spec == target.revision || runs_on_primary => Change::Promoted,
            () => Change::New,
        };
    }
    match status.phase {
        // Recorded by somebody whose hash cannot be compared, in the middle of a run: go on with it. A failed
        // revision stays failed until it changes.
        Phase::Progressing
        | Phase::Waiting
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Failed
            if !status.last_applied_spec.is_empty() =>
        {
            Change::Adopt
        }
        _ if runs_on_primary => Change::Adopt,
        _ => Change::New,
    }
}

/// ConfigMaps or Secrets that the target refers to differ from those of the last run (spec 02 §4.4).
pub(super) fn configs_changed(status: &CanaryStatus, target: &TargetFacts) -> bool {
    match (&status.tracked_configs, &target.configs) {
        (Some(recorded), Some(now)) => recorded != now,
        _ => false,
    }
}

/// Tracking was switched on: adopt what is there instead of starting a run (spec 02 E4.3).
fn configs_unrecorded(status: &CanaryStatus, target: &TargetFacts) -> bool {
    status.tracked_configs.is_none() && target.configs.as_ref().is_some_and(|configs| !configs.is_empty())
}

/// The record of `target` for the status.
pub fn applied(target: &TargetFacts) -> AppliedTarget {
    AppliedTarget { uid: target.uid.clone(), generation: target.generation }
}
