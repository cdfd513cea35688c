//! What a step waits for: the pods of both sides. Users who meet the canary are not left without a check for long.

use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts};

use super::flow::{Flow, end, stop, unready};
use super::rollback::{self, Cause};
use super::snapshot::Snapshot;
use super::step::{Plan, Step};
use super::{blockers, messages, status};

/// Goes on if the primary is ready, or if waiting for it would protect nobody.
pub(super) fn primary_ready(world: &Snapshot, primary: &PrimaryFacts) -> Flow<()> {
    match &world.within_deadline(&primary.readiness) {
        Readiness::Ready => Flow::Continue(()),
        // Only a new revision can repair it (spec 02 E1.15). Until then the pods that it still has serve, or the canary
        // stands in.
        Readiness::Stuck { .. } => Flow::Continue(()),
        Readiness::Waiting { .. } if world.canary_stands_in() => Flow::Continue(()),
        waiting @ Readiness::Waiting { .. } => not_ready(world, waiting),
    }
}

/// Waits for pods. Users who meet the canary are not left without a check for long: that is a failed one.
fn not_ready<T>(world: &Snapshot, readiness: &Readiness) -> Flow<T> {
    let Step::Wait(mut wait) = unready(world, readiness) else { return end(unready(world, readiness)) };
    let exposed = world.has_routes() && (world.canary_share() > 0 || world.routes.mirrored());
    if !exposed {
        return end(wait);
    }
    let limit = world.due() + world.release.analysis.interval * UNCHECKED_INTERVALS;
    if world.now < limit {
        wait.until = Some(wait.until.map_or(limit, |until| until.min(limit)));
        return end(wait);
    }
    let mut status = status::checked(status::touched(world), world);
    status.failed_checks += 1;
    let text = messages::unchecked(&world.release, world.canary_share(), &wait.why.to_string());
    status.blockers = vec![blockers::check("readiness", &text)];
    stop(Plan::status(status).events([messages::warning(world.status.phase, text)]))
}

/// Goes on if the canary is ready; past its deadline the run is rolled back.
pub(super) fn canary_ready(world: &Snapshot, target: &TargetFacts) -> Flow<()> {
    if let Some(why) = &target.config_problem {
        // The pods that run have what they started with: this costs nothing but time.
        return end(unready(world, &Readiness::Waiting { why: why.as_str().into(), stuck_at: None }));
    }
    match &world.within_deadline(&target.readiness) {
        Readiness::Ready => Flow::Continue(()),
        waiting @ Readiness::Waiting { .. } => not_ready(world, waiting),
        Readiness::Stuck { why } => {
            end(rollback::begin(world, &Cause::Deadline { why: &why.to_string() }, Vec::new())?)
        }
    }
}

/// How many intervals after a check was due users may meet the canary without one.
const UNCHECKED_INTERVALS: u32 = 2;
