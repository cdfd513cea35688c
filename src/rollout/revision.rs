//! Whether the revision under release is still the one that it was, and what follows if it is not.

use crate::api::status::{APPROVED, Phase};
use crate::model::traffic::Split;
use crate::model::workload::{PrimaryFacts, TargetFacts};

use super::change::{Change, change, configs_changed};
use super::flow::{Flow, end, stop};
use super::snapshot::Snapshot;
use super::step::{Effect, Event, Plan};
use super::{messages, rollback, status, upkeep};

/// Another revision restarts the analysis at once; the promoted one ends it.
pub(super) fn changed(world: &Snapshot, target: &TargetFacts, primary: &PrimaryFacts) -> Flow<()> {
    match change(&world.status, target, Some(primary)) {
        // Copied to the primary, and died before that was recorded: go on from there (spec 02 §1.14).
        Change::None
            if primary.matches_target
                && world.status.last_applied_spec != world.status.last_promoted_spec =>
        {
            stop(promoted(world, Vec::new()))
        }
        Change::None => Flow::Continue(()),
        Change::Adopt => {
            let mut status = world.status.clone();
            status::record(&mut status, target);
            stop(Plan::status(status))
        }
        Change::Promoted => end(rollback::cancel(world)?),
        Change::New => stop(restart(world, target)?),
    }
}

fn restart(world: &Snapshot, target: &TargetFacts) -> Flow<Plan> {
    let mut status = status::started(world, target);
    let mut effects = Vec::new();
    if world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored()) {
        if world.primary_pods() > 0 {
            effects.push(Effect::Route(upkeep::last_route(world, Split::PRIMARY)?));
        } else {
            status.canary_weight = i64::from(world.canary_share());
        }
    }
    if configs_changed(&world.status, target) {
        effects.push(Effect::Renew);
    }
    let event = messages::normal(Phase::Progressing, messages::restarted(&world.release));
    Flow::Continue(Plan::status(status).effects(effects).events([event]))
}

/// Records that the primary has the template.
pub(super) fn promoted(world: &Snapshot, said: Vec<Event>) -> Plan {
    let mut status = status::checked(status::phase(world, Phase::Promoting), world);
    status.last_promoted_spec = status.last_applied_spec.clone();
    status::unhold(&mut status, APPROVED);
    Plan::status(status).events(said)
}
