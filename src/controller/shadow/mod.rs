//! The shadow: it stands beside another controller, decides what it would do itself, writes nothing, and says where the
//! two differ.
//!
//! ```text
//! observe ──▶ has the other one moved? ──compare──▶ log, metrics, /shadow
//!    │                                                 ▲
//!    └──▶ forecast: decide, as if our writes were made ┘
//! ```
//!
//! The other controller drives: its status is taken for our own, and the question is what our next step would be. Hooks are
//! not called; they are taken for passed, which is said. That nothing is written does not depend on this room: the fence
//! of the API's client lets no write of a shadow through, and the client of the network makes no calls but questions to
//! metrics servers.

mod book;
mod compare;
mod forecast;
mod writes;

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::api::status::CanaryStatus;
use crate::model::object::ObjectId;
use crate::rollout::status;

use super::Runtime;
use super::memory::Memory;
use super::observe::{Observation, Observed, observe};
use super::turns::Next;

pub use book::{Entry, Report, Shadow};
pub use compare::{Position, Verdict};
pub use forecast::{Does, Intent};
pub use writes::Change;

/// Looks at `id` once: compares what the other controller did since the last look, and decides what would come next.
pub(super) async fn look(
    shared: &Arc<Runtime>,
    shadow: &Shadow,
    id: &ObjectId,
    memory: &mut Memory,
    woken: &Notify,
) -> Next {
    let now = shared.clock.now();
    let mut world = match observe(&shared.caches, &shared.settings, id, memory, now) {
        Observation::Gone => {
            shadow.forget(id);
            shared.telemetry.unshadowed(&id.namespace, &id.name, &Verdict::LABELS);
            return Next::Gone;
        }
        Observation::NotYet(until) => return until.map_or(Next::Change, Next::At),
        Observation::Unusable(unusable) => {
            let why = status::problem_text(&unusable.problems);
            judge(shared, shadow, id, &unusable.status, "");
            note(shadow, id, &unusable.status, "", Intent::new(Does::Refuse { why }));
            return Next::Change;
        }
        Observation::Foreign(foreign) => {
            let intent = Intent::new(Does::Refuse { why: foreign.to_string() });
            note(shadow, id, &CanaryStatus::default(), "", intent);
            return Next::Change;
        }
        Observation::Complete(world) => *world,
    };
    if world.snapshot.release.analysis.session_affinity.is_some() {
        world.snapshot.cookie_values = Some([shared.ids.cookie(), shared.ids.cookie()]);
    }
    shared.call(shared.rollouts.note(id, &world.snapshot.status, now));
    world.snapshot.turn = shared.rollouts.turn(id);
    let revision = revision(&world);
    judge(shared, shadow, id, &world.snapshot.status, &revision);
    let mut stopping = shared.stopping.subscribe();
    let intent = tokio::select! {
        biased;
        // Whoever woke us has put this Canary into the queue as well.
        () = woken.notified() => return Next::Change,
        _ = stopping.wait_for(|stopping| *stopping) => return Next::Change,
        intent = forecast::forecast(shared, &world, memory, shadow.asks()) => intent,
    };
    let interval = world.snapshot.release.analysis.interval;
    let next = intent.look_again(now, interval);
    note(shadow, id, &world.snapshot.status, &revision, intent);
    if let Some(why) = shadow.overdue(id, now, interval) {
        tell(shared, id, &Verdict::Different(why));
    }
    next
}

/// The revision that the target has now.
fn revision(world: &Observed) -> String {
    world.snapshot.target.as_ref().map_or_else(|_| String::new(), |target| target.revision.clone())
}

/// Compares a step of the other controller with what we would have done.
fn judge(shared: &Runtime, shadow: &Shadow, id: &ObjectId, status: &CanaryStatus, revision: &str) {
    let position = Position::of(status);
    if let Some(verdict) = shadow.moved(id, &position, revision, shared.clock.now()) {
        tell(shared, id, &verdict);
    }
}

fn note(shadow: &Shadow, id: &ObjectId, status: &CanaryStatus, revision: &str, intent: Intent) {
    let says = intent.to_string();
    if shadow.note(id, Position::of(status), revision, intent) {
        info!(canary = format!("{}.{}", id.name, id.namespace), "shadow: {says}");
    }
}

fn tell(shared: &Runtime, id: &ObjectId, verdict: &Verdict) {
    shared.telemetry.shadowed(&id.namespace, &id.name, verdict.label());
    let canary = format!("{}.{}", id.name, id.namespace);
    match verdict {
        Verdict::Same(what) => info!(canary, "shadow: the same: {what}"),
        Verdict::Different(what) => warn!(canary, "shadow: different: {what}"),
        Verdict::Uncompared(why) => info!(canary, "shadow: not compared: {why}"),
    }
}
