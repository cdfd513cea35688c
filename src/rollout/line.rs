//! The line before a run: where only so many releases may go on at once, a new one waits for its turn. Who has it is
//! decided outside, because it takes a look at all Canaries; what it means for a release is decided here.

use crate::api::status::{BlockerKind, CanaryStatus, Phase};

use super::flow::{Flow, end, stop, unrecorded_step};
use super::snapshot::{Snapshot, Turn};
use super::step::{Plan, Reason};
use super::{holds, messages, status};

/// Whether a release that stood in line has its turn now.
pub(super) fn is_called(world: &Snapshot) -> bool {
    world.turn == Turn::Free && stands(&world.status) && holds::pause(world).is_none()
}

/// Whether a status says that its release stands in line.
pub fn stands(status: &CanaryStatus) -> bool {
    status.phase == Phase::Waiting && status.blockers.iter().any(|blocker| blocker.kind == BlockerKind::Queue)
}

/// Why a release that stands in line waits on.
pub(super) fn waits(world: &Snapshot) -> Option<Reason> {
    reason(world).filter(|_| stands(&world.status))
}

fn reason(world: &Snapshot) -> Option<Reason> {
    match &world.turn {
        Turn::Waits(place) => Some(Reason::InLine(place.to_string())),
        Turn::Free => None,
    }
}

/// Makes a release wait for its turn, but for one that somebody has promoted by hand, and for the fix of a revision that
/// carries the traffic: nobody should have to wait for those.
pub(super) fn stand(world: &Snapshot) -> Flow<()> {
    let Some(reason) = reason(world) else { return Flow::Continue(()) };
    if holds::promotes(world) || world.canary_share() > 0 {
        return Flow::Continue(());
    }
    if world.status.phase == Phase::Waiting {
        return end(unrecorded_step(world, reason));
    }
    let event = messages::normal(Phase::Waiting, messages::in_line(&world.release, &reason));
    stop(Plan::status(status::checked(status::in_line(world), world)).events([event]).waits(reason))
}
