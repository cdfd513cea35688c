//! The deletion of a Canary. With `revertOnDeletion` the target gets its pods back, then the Service, then the traffic,
//! then the Canary may go (spec 02 §9.1). Without it only those objects are deleted that the cluster does not collect with the
//! Canary.

use chrono::{DateTime, Utc};

use crate::api::status::Phase;
use crate::model::workload::Readiness;

use super::flow::{Flow, blocked, end, taken_in, unready, wait};
use super::snapshot::Snapshot;
use super::step::{Effect, Plan, Reason, Step, Wait};
use super::{messages, status};

pub(super) fn deleting(world: &Snapshot) -> Flow<Step> {
    if !world.lifecycle.has_finalizer {
        return Flow::Continue(wait(Reason::Deleting, []));
    }
    if !world.release.revert_on_deletion {
        let cleanup = world.lifecycle.needs_cleanup.then_some(Effect::RemoveRoutes);
        let effects = cleanup.into_iter().chain([Effect::RemoveFinalizer]);
        return Flow::Continue(Plan::status(world.status.clone()).effects(effects).into());
    }
    if world.status.phase != Phase::Terminating {
        let status = status::phase(world, Phase::Terminating);
        let event = messages::normal(Phase::Terminating, messages::terminating(&world.release));
        return Flow::Continue(
            Plan::status(status).effects([Effect::ResumeScaler, Effect::RevertTarget]).events([event]).into(),
        );
    }
    // A target that is gone needs no pods (spec 02 E9.1).
    if let Ok(target) = &world.target {
        if target.replicas == 0 {
            return Flow::Continue(Plan::status(world.status.clone()).effects([Effect::RevertTarget]).into());
        }
        match &world.within_deadline(&target.readiness) {
            Readiness::Ready => {}
            late @ Readiness::Waiting { .. } => return Flow::Continue(unready(world, late)),
            // Nobody would answer if the traffic were given back: it stays with the primary.
            Readiness::Stuck { why } => {
                let text = messages::not_reverted(&world.release, &why.to_string());
                return blocked(world, "TargetNotReady", &text);
            }
        }
    }
    // First the Service leads to the target, then the routes lead to the Service: the proxies hear of its new pods while
    // nothing goes there yet.
    match world.status.settling() {
        Some((Phase::Terminated, since)) => settled(world, since)?,
        Some((_, since)) => {
            heard(world, since)?;
            return given_back(world, Phase::Terminated, Effect::RevertRoutes);
        }
        None => {
            if let Some(since) = world.endpoints.canary_since {
                heard(world, since)?;
            }
            return given_back(world, Phase::Terminating, Effect::RevertService);
        }
    }
    let event = messages::normal(Phase::Terminating, messages::terminated(&world.release));
    Flow::Continue(
        Plan::status(world.status.clone()).effects([Effect::RemoveFinalizer]).events([event]).into(),
    )
}

/// Writes `effect`, and gives the proxies time to hear of it. `then` says in the status how far this is.
fn given_back(world: &Snapshot, then: Phase, effect: Effect) -> Flow<Step> {
    let mut status = status::touched(world);
    status::settle(&mut status, then, world.now);
    Flow::Continue(Plan::status(status).effects([effect]).into())
}

/// Goes on once every proxy takes the routes that were given back at `since`.
fn settled(world: &Snapshot, since: DateTime<Utc>) -> Flow<()> {
    heard(world, since)?;
    taken_in(world, since)
}

/// Goes on once every proxy has had the time to hear of what changed at `since`.
fn heard(world: &Snapshot, since: DateTime<Utc>) -> Flow<()> {
    let until = since + world.settle;
    if world.now < until {
        return end(Wait::until(until, Reason::Settling(until)));
    }
    Flow::Continue(())
}
