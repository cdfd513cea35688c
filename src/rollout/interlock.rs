//! The traffic interlock: the one door to a route write (P1). It refuses to give traffic to a side without
//! ready pods; whoever would lose traffic then keeps it, so the last healthy side never goes out of service.

use serde::Serialize;

use crate::model::release::Release;
use crate::model::traffic::{RouteWish, Split};

use super::snapshot::{RoutesSeen, Snapshot};

/// A wish that was let through. It can only be made here, so nobody can forget to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared(RouteWish);

impl Cleared {
    /// The wish, for the router.
    pub fn wish(&self) -> &RouteWish {
        &self.0
    }
}

/// A wish that was refused; the text has the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Lets `wish` through if no side is given more traffic than now while it has no ready pod.
///
/// # Errors
/// With the side and its numbers if it is refused.
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
