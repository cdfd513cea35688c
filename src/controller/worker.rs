//! One look at one Canary: observe, decide, then ask, act or wait. While it waits for answers it goes on looking, so
//! that a new revision does not wait for a slow hook.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, select_all};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::api::status::{CanaryStatus, Phase};
use crate::model::object::ObjectId;
use crate::model::release::{Release, Strategy};
use crate::rollout::{
    self, Alert, Answer, Effect, Event, EventKind, Outcome, Plan, Question, Reason, Step, Turn, Wait,
    messages, status,
};

use super::Runtime;
use super::act::{Error, Writer};
use super::events::Rank;
use super::memory::Memory;
use super::observe::{FINALIZER, Foreign, Observation, Observed, Unusable, observe};
use super::owed;
use super::telemetry;
use super::turns::Next;

/// Looks at `id` until there is nothing left to do at this moment. `woken` tells of changes meanwhile.
pub async fn look(shared: &Arc<Runtime>, id: &ObjectId, memory: &mut Memory, woken: &Notify) -> Next {
    let mut asked: Vec<(Question, BoxFuture<'static, Answer>)> = Vec::new();
    loop {
        let desk = shared.desks.take(&id.namespace).await;
        if !shared.fence.claim().is_valid(Instant::now()) {
            return Next::Led;
        }
        let now = shared.clock.now();
        let mut world = match observe(&shared.caches, &shared.settings, id, memory, now) {
            Observation::Gone => return Next::Gone,
            Observation::NotYet(until) => return until.map_or(Next::Change, Next::At),
            Observation::Unusable(unusable) => {
                let safe = unusable.seen.as_deref();
                let Some((world, plan)) =
                    safe.and_then(|world| Some((world, rollout::protect(&world.snapshot)?)))
                else {
                    return refuse(shared, *unusable, memory).await;
                };
                match act(shared, &plan, world, memory).await {
                    Ok(()) => continue,
                    Err(next) => return next,
                }
            }
            Observation::Foreign(foreign) => return leave_alone(shared, &foreign, memory),
            Observation::Complete(world) => *world,
        };
        if world.snapshot.release.analysis.session_affinity.is_some() {
            world.snapshot.cookie_values = Some([shared.ids.cookie(), shared.ids.cookie()]);
        }
        if world.snapshot.is_exposed() || memory.exposed_at.is_none() {
            memory.exposed_at = Some(now);
        }
        world.snapshot.exposed_at = memory.exposed_at;
        shared.call(shared.rollouts.note(id, &world.snapshot.status, now));
        world.snapshot.turn = shared.rollouts.turn(id);
        renamed(shared, &world, memory);
        let (written, news) = owed::review(shared, id, &mut world, memory);
        announce(shared, &world, &world.snapshot.status, Rank::Transition, &news);
        shared.publish_series(&world.snapshot, memory);
        match blind(&world).unwrap_or_else(|| rollout::next(&world.snapshot)) {
            Step::Ask(questions) => {
                asked.retain(|(question, _)| questions.contains(question));
                for question in questions {
                    if asked.iter().all(|(open, _)| *open != question) {
                        debug!(canary = id.name, ?question, "asking");
                        asked.push((question.clone(), shared.inquirer.ask(&world.snapshot, &question)));
                    }
                }
                // Answers may take minutes. The objects are not needed for them, and make way for the next look.
                let Observed { snapshot, .. } = world;
                drop(desk);
                let answered = async {
                    let (answer, index, _) = select_all(asked.iter_mut().map(|(_, answer)| answer)).await;
                    (answer, index)
                };
                let mut stopping = shared.stopping.subscribe();
                tokio::select! {
                    biased;
                    () = woken.notified() => {}
                    // Whoever leads next asks again.
                    _ = stopping.wait_for(|stopping| *stopping) => return Next::Change,
                    (answer, index) = answered => {
                        let (question, _) = asked.swap_remove(index);
                        shared.note_answer(&snapshot, &question, &answer);
                        memory.heard(question, answer, shared.clock.now());
                    }
                }
            }
            Step::Act(plan) => {
                // Between the look and now another one may have taken the last place. A plan that goes ahead although it
                // was not its turn has a reason.
                let begins = plan.status.phase.is_stepping() && !world.snapshot.status.phase.is_stepping();
                if begins && world.snapshot.turn == Turn::Free && !shared.rollouts.begin(id) {
                    continue;
                }
                if !plan.records_wait {
                    asked.clear();
                }
                match act(shared, &plan, &world, memory).await {
                    Ok(()) => {}
                    Err(next) => return next,
                }
            }
            Step::Wait(wait) => {
                // In a run the next step's write comes soon enough.
                let soon = world.snapshot.status.phase.is_stepping() && wait.until.is_some();
                if let Some(written) = written.filter(|_| !soon)
                    && let Err(next) = strike_out(shared, &world, &written, memory).await
                {
                    return next;
                }
                return pause(shared, wait, &world, memory);
            }
        }
    }
}

/// Carries out a plan; `Err` says when to look again after a failure.
async fn act(shared: &Arc<Runtime>, plan: &Plan, world: &Observed, memory: &mut Memory) -> Result<(), Next> {
    let Observed { snapshot, scene, .. } = world;
    let started = Instant::now();
    let writer =
        Writer { caches: &shared.caches, settings: &shared.settings, ids: &shared.ids, clock: shared.clock };
    let plan = &owed::recorded(shared, plan, world);
    if let Some(refused) = memory.status_refused.clone().filter(|refused| refused.times >= UNRECORDED)
        && raises(plan, snapshot)
    {
        // A step that cannot be recorded would be taken back at once, again and again: the record comes first.
        let wanted = status::write_refused(snapshot, &refused.why);
        return match writer.status(&scene.canary, &snapshot.status, &wanted, memory, snapshot.now).await {
            Err(Error::NotLeading(_)) => Err(Next::Led),
            Err(_) => Err(Next::Retry),
            Ok(_) => {
                // A rule may let this through and refuse the step itself: that is not tried all the time.
                let over = refused.at > snapshot.now || snapshot.now >= refused.at + LAST_RETRY;
                memory.status_refused = (!over).then_some(refused);
                Err(Next::Retry)
            }
        };
    }
    let carried_out = writer.carry_out(plan, scene, &snapshot.status, memory, snapshot.now).await;
    if snapshot.is_exposed() && plan.effects.iter().any(|effect| matches!(effect, Effect::Route(_))) {
        // Users met the canary until then, however late the route came.
        memory.exposed_at = Some(shared.clock.now());
    }
    match carried_out {
        Ok(0) => {
            // Decided and yet nothing to write: looked at again, but not at once, or it would never end.
            debug!(canary = snapshot.release.title(), effects = ?plan.effects, "nothing to write");
            Err(Next::Retry)
        }
        Ok(_) if plan.records_wait => {
            memory.wait_recorded_at = Some(snapshot.now);
            Ok(())
        }
        Ok(_) => {
            memory.step_done();
            memory.refused_plans = 0;
            let moved = plan.status.phase != snapshot.status.phase || plan.outcome.is_some();
            let rank = if moved { Rank::Transition } else { Rank::Progress };
            announce(shared, world, &plan.status, rank, &plan.events);
            log_change(snapshot, plan);
            owed::tell(shared, plan, world, memory);
            if let Some(outcome) = plan.outcome {
                count(shared, &scene.release, outcome);
            }
            if plan.status.last_check_time != snapshot.status.last_check_time {
                series(shared, &scene.release).step(started.elapsed());
            }
            Ok(())
        }
        Err(Error::NotLeading(_)) => Err(Next::Led),
        Err(Error::Conflict(id)) => {
            debug!(object = %id, "changed meanwhile, looking again");
            Err(Next::Retry)
        }
        Err(error @ (Error::Refused(_) | Error::Api(_))) => {
            let event = messages::warning(snapshot.status.phase, error.to_string());
            if memory.published_events.first() != Some(&event) {
                announce(shared, world, &snapshot.status, Rank::Progress, std::slice::from_ref(&event));
                memory.published_events = vec![event];
            }
            memory.refused_plans = memory.refused_plans.saturating_add(1);
            if memory.refused_plans >= LASTING {
                let wanted = status::write_refused(snapshot, &error.to_string());
                // Where the status itself is refused, the event has to do.
                let _ = writer.status(&scene.canary, &snapshot.status, &wanted, memory, snapshot.now).await;
            }
            Err(Next::Retry)
        }
    }
}

/// Whether a plan gives the canary more traffic than it has, without need.
fn raises(plan: &Plan, world: &rollout::Snapshot) -> bool {
    let stands_in = world.primary_answers() == Some(false);
    !stands_in
        && plan.effects.iter().any(|effect| match effect {
            Effect::Route(cleared) => {
                let wish = cleared.wish();
                wish.split.canary() > world.canary_share() || wish.mirror && !world.routes.mirrored()
            }
            _ => false,
        })
}

/// The wait of a Canary that is being deleted, and whose traces are among objects that we cannot see now: to let it go
/// would leave them as they are for ever.
fn blind(world: &Observed) -> Option<Step> {
    let Observed { snapshot, scene, hidden } = world;
    let lifecycle = &snapshot.lifecycle;
    let undoes = scene.release.revert_on_deletion || lifecycle.needs_cleanup;
    let why = hidden.as_ref().filter(|_| lifecycle.deleting && lifecycle.has_finalizer && undoes)?;
    let text = format!(
        "What was changed for this Canary is undone when it can be seen again: {why} (to give that up, remove the \
         finalizer {FINALIZER})"
    );
    let wanted = status::blocked(snapshot, "KindUnavailable", &text);
    Some(if status::differs(&snapshot.status, &wanted) {
        let event = messages::warning(snapshot.status.phase, text.clone());
        Plan::status(wanted).waits(Reason::Blocked(text)).events([event]).into()
    } else {
        Wait::for_change(Reason::Blocked(text)).into()
    })
}

/// Says that the objects of the Service's former name are still there (spec 02 §1.2).
fn renamed(shared: &Arc<Runtime>, world: &Observed, memory: &mut Memory) {
    let name = &world.scene.release.apex;
    let Some(former) = memory.apex.replace(name.clone()).filter(|former| former != name) else { return };
    let text =
        format!("The service name changed to {name}, remove {former} objects to avoid routing conflicts");
    let event = messages::warning(world.snapshot.status.phase, text);
    announce(shared, world, &world.snapshot.status, Rank::Progress, &[event]);
}

/// Takes what is told from the status, and writes down whom alerts do not reach.
async fn strike_out(
    shared: &Arc<Runtime>,
    world: &Observed,
    written: &CanaryStatus,
    memory: &mut Memory,
) -> Result<(), Next> {
    let writer =
        Writer { caches: &shared.caches, settings: &shared.settings, ids: &shared.ids, clock: shared.clock };
    let (snapshot, canary) = (&world.snapshot, &world.scene.canary);
    match writer.status(canary, written, &snapshot.status, memory, snapshot.now).await {
        Ok(_) => Ok(()),
        Err(Error::NotLeading(_)) => Err(Next::Led),
        Err(_) => Err(Next::Retry),
    }
}

fn pause(shared: &Arc<Runtime>, wait: Wait, world: &Observed, memory: &mut Memory) -> Next {
    let now = world.snapshot.now;
    let mut until = wait.until;
    if wait.notices != memory.published_events {
        // Numbers that move (pods that become ready one by one) are told once per interval.
        let told_at = memory.events_published_at.filter(|at| *at <= now);
        let quiet_until = told_at.map_or(now, |at| at + world.snapshot.release.analysis.interval);
        if now >= quiet_until {
            announce(shared, world, &world.snapshot.status, Rank::Progress, &wait.notices);
            let moment = owed::moment(&world.snapshot.status, now);
            for alert in wait.alerts {
                shared.alert(&world.scene.release, &Alert { moment: Some(moment.clone()), ..alert });
            }
            memory.published_events = wait.notices;
            memory.events_published_at = Some(now);
        } else {
            until = Some(until.map_or(quiet_until, |until| until.min(quiet_until)));
        }
    }
    if wait.unrecorded_step {
        memory.unrecorded_step_at = Some(now);
        memory.answers.clear();
    }
    debug!(canary = world.snapshot.release.title(), why = %wait.why, ?until, "waiting");
    until.map_or(Next::Change, Next::At)
}

/// Says in status and event what is wrong with a manifest. Traffic and workloads stay as they are. A Canary that is
/// being deleted may go: nobody could revert what it cannot say, or what an older Canary uses now.
async fn refuse(shared: &Arc<Runtime>, unusable: Unusable, memory: &mut Memory) -> Next {
    let Unusable { object, status: observed, problems, .. } = unusable;
    let now = shared.clock.now();
    let writer =
        Writer { caches: &shared.caches, settings: &shared.settings, ids: &shared.ids, clock: shared.clock };
    if object["metadata"]["deletionTimestamp"].is_string() {
        return match writer.let_go(&object, memory, now).await {
            Ok(held) => {
                if held {
                    let text = format!("Deleted without reverting: {}", status::problem_text(&problems));
                    shared.publish(&object, Rank::Transition, &messages::warning(observed.phase, text));
                }
                Next::Change
            }
            Err(Error::NotLeading(_)) => Next::Led,
            Err(error) => {
                info!(canary = %super::act::id_of(&object), %error, "finalizer not removed");
                Next::Retry
            }
        };
    }
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    let wanted = status::refused(&observed, generation, &problems, now);
    if !status::differs(&observed, &wanted) {
        return Next::Change;
    }
    match writer.status(&object, &observed, &wanted, memory, now).await {
        Ok(_) => {
            let event = messages::warning(observed.phase, status::problem_text(&problems));
            shared.publish(&object, Rank::Transition, &event);
            Next::Change
        }
        Err(Error::NotLeading(_)) => Next::Led,
        Err(error) => {
            info!(canary = %super::act::id_of(&object), %error, "status not written");
            Next::Retry
        }
    }
}

/// Says that a status cannot be read. Whatever else we did would be done without knowing how far the release is.
fn leave_alone(shared: &Arc<Runtime>, foreign: &Foreign, memory: &mut Memory) -> Next {
    let event = messages::warning(Phase::Unset, foreign.to_string());
    if memory.published_events.first() != Some(&event) {
        shared.publish(&foreign.object, Rank::Transition, &event);
        memory.published_events = vec![event];
    }
    Next::Change
}

fn announce(shared: &Arc<Runtime>, world: &Observed, status: &CanaryStatus, rank: Rank, events: &[Event]) {
    let Observed { snapshot, scene, .. } = world;
    for event in events {
        shared.publish(&scene.canary, rank, event);
        shared.tell_hooks(&scene.release, status, event, snapshot.now);
    }
}

fn log_change(snapshot: &rollout::Snapshot, plan: &Plan) {
    let (before, after) = (&snapshot.status, &plan.status);
    if before.phase != after.phase || before.canary_weight != after.canary_weight {
        info!(
            canary = snapshot.release.title(),
            revision = after.last_applied_spec,
            phase = %after.phase,
            weight = after.canary_weight,
            "advanced"
        );
    }
}

fn count(shared: &Runtime, release: &Release, outcome: Outcome) {
    let strategy = match release.analysis.strategy {
        Strategy::Weighted(_) => telemetry::Strategy::Canary,
        Strategy::BlueGreen { .. } => telemetry::Strategy::BlueGreen,
        Strategy::AbTesting { .. } => telemetry::Strategy::AbTesting,
    };
    let series = series(shared, release);
    match outcome {
        Outcome::Completed => series.succeeded(strategy, telemetry::Analysis::Completed),
        Outcome::Skipped => series.succeeded(strategy, telemetry::Analysis::Skipped),
        Outcome::Failed => series.failed(strategy),
    }
}

pub(super) fn series<'a>(shared: &'a Runtime, release: &'a Release) -> telemetry::Target<'a> {
    shared.telemetry.target(&release.namespace, &release.target.name)
}

/// The object that events are about.
pub(super) fn subject(canary: &Value) -> super::events::Subject {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &canary["metadata"];
    super::events::Subject {
        api_version: "flagger.app/v1beta1".to_owned(),
        kind: "Canary".to_owned(),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        uid: text(&metadata["uid"]),
        resource_version: text(&metadata["resourceVersion"]),
    }
}

/// Type and log level of an event (spec 01 §8.2–8.4).
pub(super) fn typed(kind: EventKind) -> (super::events::EventType, super::events::LogAs) {
    use super::events::{EventType, LogAs};
    match kind {
        EventKind::Normal => (EventType::Normal, LogAs::Info),
        EventKind::Warning => (EventType::Warning, LogAs::Info),
        EventKind::Error => (EventType::Warning, LogAs::Error),
    }
}

/// After so many writes of the status in a row that are refused, no step is made that could not be recorded.
const UNRECORDED: u32 = 2;

/// After so many plans in a row whose writes are refused, it is not taken for a passing trouble of the API.
const LASTING: u32 = 4;

/// The first pause after a failure, and the longest.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(200);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(30);
/// Changes that come within this time after a look are looked at together. Nobody who waits for a release notices it.
pub(super) const BURST: Duration = Duration::from_millis(50);
