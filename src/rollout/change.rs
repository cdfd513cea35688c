//! The change fence: did somebody change the target, so that there is a revision to release?
//!
//! A hash alone cannot tell: it differs after an upgrade of this controller, after a take-over from another, or
//! when an API server begins to fill in a new default. So a hash is only believed if it is ours and the target
//! was edited since it was recorded, and a template that the primary already runs is never a new revision.

use crate::api::status::{AppliedTarget, CanaryStatus, Phase};
use crate::model::workload::{PrimaryFacts, TargetFacts, is_own_revision};

/// Stands in the status in place of a revision that nothing equals: the target then counts as edited.
pub const SUPERSEDED: &str = "vx1-superseded";

/// What became of the target since the last run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has not changed.
    None,
    /// It has not changed, but its hash has: the record in the status takes the new hash over.
    Adopt,
    /// It is back at the revision that the primary runs.
    Promoted,
    /// It has a new revision to release.
    New,
}

/// Compares the target with the record of it in `status`.
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
            () if runs_on_primary => Change::Promoted,
            // A primary that runs something else was given it by a promotion that died before it was on record.
            () if status.last_promoted_spec == target.revision && primary.is_none() => Change::Promoted,
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

/// Whether ConfigMaps or Secrets that the target refers to differ from those of the last run (spec 02 §4.4).
pub(super) fn configs_changed(status: &CanaryStatus, target: &TargetFacts) -> bool {
    match (&status.tracked_configs, &target.configs) {
        (Some(recorded), Some(now)) => recorded != now,
        _ => false,
    }
}

/// Whether the tracking of ConfigMaps and Secrets was switched on since the last record. What is there is then adopted,
/// and no run starts (spec 02 E4.3).
fn configs_unrecorded(status: &CanaryStatus, target: &TargetFacts) -> bool {
    status.tracked_configs.is_none() && target.configs.as_ref().is_some_and(|configs| !configs.is_empty())
}

/// The record of `target` that the status keeps: which object it was, and at which generation.
pub fn applied(target: &TargetFacts) -> AppliedTarget {
    AppliedTarget { uid: target.uid.clone(), generation: target.generation }
}
