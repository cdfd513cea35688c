//! The traffic interlock: every route write passes through it (promise 1). It refuses to give more traffic to a side
//! without ready pods. The other side then keeps its traffic, so the last healthy side stays in service.

use serde::Serialize;

use crate::model::release::Release;
use crate::model::traffic::{RouteWish, Split};

use super::snapshot::{RoutesSeen, Snapshot};

/// A wish for the traffic that the interlock has let through. Only this module can make one, so no route write can
/// leave the interlock out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared(RouteWish);

impl Cleared {
    /// The wish that the router brings about.
    pub fn wish(&self) -> &RouteWish {
        &self.0
    }
}

/// The reason why the interlock refused a wish. The text names the side, its pods and the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Lets `wish` through, unless it gives more traffic than now to a side that has no ready pod. Mirrored requests count
/// as traffic for the canary.
///
/// # Errors
/// If the wish is refused; the error names the side and its numbers.
pub fn clear(world: &Snapshot, wish: RouteWish) -> Result<Cleared, Refusal> {
    let (primary, canary) = match &world.routes {
        RoutesSeen::Seen { state, .. } => (state.split.primary(), state.split.canary()),
        _ => (0, 0),
    };
    if wish.split.primary() > primary && world.primary_pods() == 0 {
        let wanted = world.primary.as_ref().map_or(0, |primary| primary.replicas);
        return Err(refusal(&world.release, "primary", &world.release.primary_name(), wish.split, wanted));
    }
    if (wish.split.canary() > canary || wish.mirror) && world.canary_pods() == 0 {
        let wanted = world.target.as_ref().map_or(0, |target| target.replicas);
        return Err(refusal(&world.release, "canary", &world.release.target.name, wish.split, wanted));
    }
    Ok(Cleared(wish))
}

fn refusal(release: &Release, side: &str, workload: &str, split: Split, wanted: i32) -> Refusal {
    Refusal(format!(
        "Halt {} advancement traffic interlock: {side} {workload}.{} has 0 of {wanted} pods ready, \
         refusing weights primary {} canary {}",
        release.title(),
        release.namespace,
        split.primary(),
        split.canary(),
    ))
}
