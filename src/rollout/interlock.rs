//! The traffic interlock: every route write passes through it (promise 1). It refuses to give more traffic to a side
//! whose ready pods could not carry it, and lowers a share that they can carry in part. The other side then keeps its
//! traffic, so the last healthy side stays in service. A side without pods that gets some is given nothing more before
//! the proxies had the time to hear of them: a proxy that knows the new weights first would find nobody to ask.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

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
pub struct Refusal {
    /// The reason, with the numbers, for the user.
    pub text: String,
    /// The part of the wish that the side can carry, where that is more than it has now.
    pub lowered: Option<Cleared>,
    /// When it is known at the latest, where the pods are ready and only those who lead to them have to hear of it.
    pub until: Option<DateTime<Utc>>,
}

/// How long a Service may take to lead to pods that are ready.
const ENDPOINTS_FOLLOW: TimeDelta = TimeDelta::seconds(5);

/// How much of a side has to be ready before it gets more traffic than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// As many pods as [`Snapshot::capacity`] asks for.
    Capacity,
    /// A single one: what the traffic would leave is worse than a side that is slow.
    AnyPod,
}

/// Lets `wish` through if no side is given more traffic than now that its ready pods could not carry.
///
/// # Errors
/// With the side and its numbers if it is refused.
pub fn clear(world: &Snapshot, wish: RouteWish, care: Care) -> Result<Cleared, Refusal> {
    let (primary, canary) = match &world.routes {
        RoutesSeen::Seen { state, .. } => (state.split.primary(), state.split.canary()),
        _ => (0, 0),
    };
    let share = wish.split.primary();
    let side = Side::primary(world);
    if share > primary && !side.carries(share, world.capacity, care) {
        let lowered = side.most(world.capacity).filter(|most| care == Care::Capacity && *most > primary);
        let lowered =
            lowered.map(|most| Cleared(RouteWish { split: Split::canary_gets(100 - most), ..wish.clone() }));
        return Err(side.refusal(world, share, wish.split, lowered));
    }
    let share = wish.split.canary();
    let side = Side::canary(world);
    let more = share > canary || wish.mirror;
    if more && !side.carries(share, world.capacity, care) {
        return Err(side.refusal(world, share, wish.split, None));
    }
    if care == Care::Capacity {
        known(world, wish.split.primary() > primary, more, wish.split)?;
    }
    Ok(Cleared(wish))
}

/// Goes on if the proxies have had the time to hear of the pods of each side that is given more.
fn known(world: &Snapshot, primary: bool, canary: bool, split: Split) -> Result<(), Refusal> {
    let sides = [
        (primary, world.endpoints.primary_since, Side::primary as fn(&Snapshot) -> Side),
        (canary, world.endpoints.canary_since, Side::canary),
    ];
    for (more, since, side) in sides {
        let Some(since) = since.filter(|since| more && world.now < *since + world.settle) else { continue };
        return Err(side(world).unheard(world, since, split));
    }
    Ok(())
}

/// One side of the traffic, by its pods.
struct Side {
    called: &'static str,
    workload: String,
    ready: i32,
    wanted: i32,
    /// Ready pods by the word of the workload itself.
    by_workload: i32,
}

impl Side {
    fn primary(world: &Snapshot) -> Self {
        Self {
            called: "primary",
            workload: world.release.primary_name(),
            ready: world.primary_pods(),
            wanted: world.primary.as_ref().map_or(0, |primary| primary.replicas),
            by_workload: world.primary.as_ref().map_or(0, |primary| primary.ready_pods),
        }
    }

    fn canary(world: &Snapshot) -> Self {
        Self {
            called: "canary",
            workload: world.release.target.name.clone(),
            ready: world.canary_pods(),
            wanted: world.target.as_ref().map_or(0, |target| target.replicas),
            by_workload: world.target.as_ref().map_or(0, |target| target.ready_pods),
        }
    }

    /// The pods that a share takes: that part of all that the side should have, times the capacity asked for.
    fn needed(&self, share: u32, capacity: u32) -> i64 {
        let parts = i64::from(self.wanted) * i64::from(share) * i64::from(capacity);
        parts.div_euclid(10_000) + i64::from(parts.rem_euclid(10_000) > 0)
    }

    fn carries(&self, share: u32, capacity: u32, care: Care) -> bool {
        let needed = match care {
            Care::Capacity => self.needed(share, capacity),
            Care::AnyPod => 1,
        };
        self.ready > 0 && i64::from(self.ready) >= needed
    }

    /// The largest share that the ready pods carry; `None` if there are none.
    fn most(&self, capacity: u32) -> Option<u32> {
        (1..=100).rev().find(|share| self.carries(*share, capacity, Care::Capacity))
    }

    fn refusal(&self, world: &Snapshot, share: u32, split: Split, lowered: Option<Cleared>) -> Refusal {
        let Self { called, workload, ready, wanted, .. } = self;
        let needed = match self.needed(share, world.capacity) {
            needed if self.ready > 0 => format!(" and needs {needed}"),
            _ => String::new(),
        };
        let lower = lowered.as_ref().map_or(String::new(), |cleared| {
            let split = cleared.0.split;
            format!(", taking primary {} canary {}", split.primary(), split.canary())
        });
        let text = format!(
            "Halt {} advancement traffic interlock: {called} {workload}.{} has {ready} of {wanted} pods ready{needed}, \
             refusing weights primary {} canary {}{lower}",
            world.release.title(),
            world.release.namespace,
            split.primary(),
            split.canary(),
        );
        let lags = self.ready == 0 && self.by_workload > 0;
        // EndpointSlices follow a moment after the workload.
        let since = world.endpoints.behind_since.filter(|_| lags);
        Refusal { text, lowered, until: since.map(|since| since + ENDPOINTS_FOLLOW) }
    }

    fn unheard(&self, world: &Snapshot, since: DateTime<Utc>, split: Split) -> Refusal {
        let until = since + world.settle;
        let text = format!(
            "{} {}.{} has been ready since {}: the proxies have until {} to hear of its pods before it gets weights \
             primary {} canary {}",
            self.called,
            self.workload,
            world.release.namespace,
            since.format("%H:%M:%S"),
            until.format("%H:%M:%S"),
            split.primary(),
            split.canary(),
        );
        Refusal { text, lowered: None, until: Some(until) }
    }
}
