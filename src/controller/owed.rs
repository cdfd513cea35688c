//! What is not told yet: alerts, and events to their hooks. They stand in the status together with what they announce,
//! and are taken out once they are told. A process that starts later finds what a crash left, and tells it (promise 5).
//! Whom alerts do not reach stands there as well.
//!
//! None of this costs a write of its own in a run; at rest one, when all is told.

use chrono::{DateTime, Utc};

use crate::api::status::{ALERTS, CanaryStatus, EVENTS};
use crate::model::moment::Moment;
use crate::model::object::ObjectId;
use crate::rollout::{Alert, Event, Plan, messages, status};
use crate::webhook::checksum;

use super::Runtime;
use super::event_hooks::Told;
use super::memory::Memory;
use super::observe::Observed;

/// What an alert speaks of that is decided at `now` together with `status`.
pub(super) fn moment(status: &CanaryStatus, now: DateTime<Utc>) -> Moment {
    Moment::of(checksum(status), status, now)
}

/// `plan`, whose alerts say what they speak of, and whose status also records those of its alerts and events that
/// somebody is to hear of.
pub(super) fn recorded(shared: &Runtime, plan: &Plan, world: &Observed) -> Plan {
    let (release, now) = (&world.scene.release, world.snapshot.now);
    let mut plan = plan.clone();
    let moment = moment(&plan.status, now);
    plan.alerts.iter_mut().for_each(|alert| alert.moment = Some(moment.clone()));
    // An event alone is not worth a write: it belongs to something that is found again as it was.
    let writes = !plan.records_wait && status::differs(&world.snapshot.status, &plan.status);
    if writes && shared.hooks.has_recipient(release) {
        let events: Vec<Told> = plan.events.iter().map(|event| Told::new(event, &plan.status, now)).collect();
        status::owe(&mut plan.status, EVENTS, &events, now);
    }
    let heard = |alert: &&Alert| shared.alerts.has_recipient(release, alert);
    let alerts: Vec<Alert> = plan.alerts.iter().filter(heard).cloned().collect();
    status::owe(&mut plan.status, ALERTS, &alerts, now);
    plan
}

/// Sends the alerts of `plan`, which is carried out and whose events are told.
pub(super) fn tell(shared: &Runtime, plan: &Plan, world: &Observed, memory: &mut Memory) {
    // A plan without a status leaves what stands on record, and that has been told.
    if status::differs(&world.snapshot.status, &plan.status) {
        memory.alerts_sent = record(&plan.status, ALERTS);
        memory.events_sent = record(&plan.status, EVENTS);
    }
    for alert in &plan.alerts {
        shared.alert(&world.scene.release, alert);
    }
}

/// Tells what an earlier process left on record, and takes what is told from the snapshot, whose status then also says
/// whom alerts do not reach. The answer is the status as it stands in the cluster, if that has to be written as well,
/// and events that nobody has heard of yet.
pub(super) fn review(
    shared: &Runtime,
    id: &ObjectId,
    world: &mut Observed,
    memory: &mut Memory,
) -> (Option<CanaryStatus>, Vec<Event>) {
    let before = world.snapshot.status.clone();
    let release = &world.scene.release;
    if let Some(record) = record(&before, ALERTS) {
        if memory.alerts_sent.as_ref() != Some(&record) {
            for alert in status::owed(&before, ALERTS) {
                shared.alert(release, &alert);
            }
            memory.alerts_sent = Some(record);
        }
        if !shared.alerts.owes(id) {
            status::paid(&mut world.snapshot.status, ALERTS);
        }
    }
    if let Some(record) = record(&before, EVENTS) {
        if memory.events_sent.as_ref() != Some(&record) {
            for told in status::owed(&before, EVENTS) {
                shared.hooks.tell(release, &told);
            }
            memory.events_sent = Some(record);
        }
        if !shared.hooks.owes(id) {
            status::paid(&mut world.snapshot.status, EVENTS);
        }
    }
    let news = unreached(shared, id, world, memory);
    ((before != world.snapshot.status).then_some(before), news)
}

/// Records whom alerts do not reach; the events that tell of it for the first time.
fn unreached(shared: &Runtime, id: &ObjectId, world: &mut Observed, memory: &mut Memory) -> Vec<Event> {
    let Observed { snapshot, scene, .. } = world;
    let recipients = shared.alerts.all_recipients(&scene.release);
    let version = |recipient: &_| shared.alerts.version(recipient);
    let report = shared.alerts.health.report(id, &snapshot.status, &recipients, version);
    for recipient in report.doubtful {
        let known = report.faults.contains_key(&recipient);
        if memory.alerts_checked.insert(recipient.clone()) || known {
            shared.alerts.check(id, &recipient);
        }
    }
    // A change of their AlertProviders is a reason to look again.
    let faulty = report.faults.keys().filter_map(super::alerts::Recipient::provider).cloned();
    if let Some(reads) = &mut memory.reads {
        reads.extend(faulty);
    }
    let said =
        snapshot.status.condition(crate::api::status::ALERTS_DELIVERED).map(|said| said.message.clone());
    let fault = report.condition.as_ref().map(|(reason, message)| (reason.as_str(), message.as_str()));
    status::alerts_delivered(&mut snapshot.status, fault, snapshot.now);
    memory.faults_told.retain(|recipient| report.faults.contains_key(recipient));
    let mut news = Vec::new();
    for (recipient, why) in &report.faults {
        let known = said.as_ref().is_some_and(|said| said.contains(&format!("{recipient} ")));
        if memory.faults_told.insert(recipient.clone()) && !known {
            news.push(messages::undelivered(snapshot.status.phase, why));
        }
    }
    news
}

fn record(status: &CanaryStatus, kind: &str) -> Option<String> {
    status.condition(kind).map(|condition| condition.message.clone())
}
