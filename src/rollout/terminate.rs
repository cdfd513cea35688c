//! The deletion of a Canary. With `revertOnDeletion` the target gets its pods back, then the traffic, then the Canary
//! may go (spec 02 §9.1). Without it only those objects are deleted that the cluster does not collect with the
//! Canary.

use crate::api::status::Phase;
use crate::model::workload::Readiness;

use super::flow::{Flow, SETTLE, taken_in, unready, wait};
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
        match &target.readiness {
            Readiness::Ready => {}
            late @ (Readiness::Waiting { .. } | Readiness::Stuck { .. }) => {
                return Flow::Continue(unready(world, late));
            }
        }
    }
    let Some((_, since)) = world.status.settling() else {
        let mut status = status::touched(world);
        status::settle(&mut status, Phase::Terminated, world.now);
        return Flow::Continue(
            Plan::status(status).effects([Effect::RevertService, Effect::RevertRoutes]).into(),
        );
    };
    let until = since + SETTLE;
    if world.now < until {
        return Flow::Continue(Wait::until(until, Reason::Settling(until)).into());
    }
    taken_in(world, since)?;
    let event = messages::normal(Phase::Terminating, messages::terminated(&world.release));
    Flow::Continue(
        Plan::status(world.status.clone()).effects([Effect::RemoveFinalizer]).events([event]).into(),
    )
}
