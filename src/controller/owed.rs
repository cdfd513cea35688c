//! Alerts that are not delivered yet. They stand in the status together with what they announce, and are taken out once
//! they are delivered. A process that starts later finds what a crash left undelivered, and sends it (promise 5).

use chrono::{DateTime, Utc};

use crate::api::status::{ALERTS, CanaryStatus};
use crate::model::moment::Moment;
use crate::model::object::ObjectId;
use crate::rollout::{Alert, Plan, status};
use crate::webhook::checksum;

use super::Runtime;
use super::memory::Memory;
use super::observe::Observed;

/// What an alert speaks of that is decided at `now` together with `status`.
pub(super) fn moment(status: &CanaryStatus, now: DateTime<Utc>) -> Moment {
    Moment::of(checksum(status), status, now)
}

/// `plan`, whose alerts say what they speak of, and whose status also records those of them that have a recipient.
pub(super) fn recorded(shared: &Runtime, plan: &Plan, world: &Observed) -> Plan {
    let mut plan = plan.clone();
    let moment = moment(&plan.status, world.snapshot.now);
    plan.alerts.iter_mut().for_each(|alert| alert.moment = Some(moment.clone()));
    let heard = |alert: &&Alert| shared.alerts.has_recipient(&world.scene.release, alert);
    let owed: Vec<Alert> = plan.alerts.iter().filter(heard).cloned().collect();
    status::owe(&mut plan.status, &owed, world.snapshot.now);
    plan
}

/// Sends the alerts of `plan`, whose status is written.
pub(super) fn tell(shared: &Runtime, plan: &Plan, world: &Observed, memory: &mut Memory) {
    memory.alerts_sent = record(&plan.status);
    for alert in &plan.alerts {
        shared.alert(&world.scene.release, alert);
    }
}

/// Sends the alerts that an earlier process left on record, and takes the delivered ones from the snapshot. The
/// answer is the status as it stands in the cluster, if that has to be written as well.
pub(super) fn review(
    shared: &Runtime,
    id: &ObjectId,
    world: &mut Observed,
    memory: &mut Memory,
) -> Option<CanaryStatus> {
    let record = record(&world.snapshot.status)?;
    if memory.alerts_sent.as_ref() != Some(&record) {
        for alert in status::owed(&world.snapshot.status) {
            shared.alert(&world.scene.release, &alert);
        }
        memory.alerts_sent = Some(record);
    }
    if shared.alerts.owes(id) {
        return None;
    }
    let written = world.snapshot.status.clone();
    status::paid(&mut world.snapshot.status);
    Some(written)
}

fn record(status: &CanaryStatus) -> Option<String> {
    status.condition(ALERTS).map(|condition| condition.message.clone())
}
