//! Event hooks: each event of a release is told to them, and nobody waits for it (spec 02 §6.4, E6.1).
//!
//! Each Canary has a lane for each of its hooks, so that a hook hears of a release in order and delays no other. An event
//! that comes with a write of the status stands there until it is told (`owed.rs`): a restart tells it again, with the
//! same time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::hooks::HookType;
use crate::api::status::CanaryStatus;
use crate::http::{self, Party, Sort};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::Release;
use crate::rollout::{Event, EventKind};
use crate::webhook::{self, Draft, NO_METADATA, Notice, Payload};

use super::ask::Caller;
use super::caches::Noticed;
use super::calls::Calls;
use super::clock::Clock;
use super::lanes::{self, insist};

/// An event as its hooks are told of it, whenever that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What was being released then.
    pub checksum: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Told {
    /// `event`, which happened at `at` and left `status`.
    pub fn new(event: &Event, status: &CanaryStatus, at: DateTime<Utc>) -> Self {
        Self { at, checksum: webhook::checksum(status), event: event.clone() }
    }
}

/// Where events are left for their hooks. Clones are the same.
#[derive(Clone)]
pub struct Outbox {
    lanes: lanes::Outbox<Hook, Letter>,
    /// `-event-webhook`: called where a Canary has no event hook of its own.
    global: Arc<str>,
}

/// A hook of a Canary, by its address.
type Hook = (ObjectId, String);

/// An event on its way.
struct Letter {
    draft: Draft,
    text: String,
    told: Instant,
}

/// Delivers what is in the outbox.
pub struct Worker {
    lanes: lanes::Worker<Hook, Letter>,
    carrier: Carrier,
}

struct Carrier {
    client: kube::Client,
    calls: Calls,
    clock: Clock,
}

/// An outbox and the worker that empties it.
pub fn outbox(
    client: kube::Client,
    http: http::Client,
    clock: Clock,
    global: &str,
    settled: mpsc::UnboundedSender<Noticed>,
) -> (Outbox, Worker) {
    let (outbox, worker) = lanes::lanes("event", settled);
    let carrier = Carrier { client: client.clone(), calls: Calls::new(client, http), clock };
    (Outbox { lanes: outbox, global: global.into() }, Worker { lanes: worker, carrier })
}

impl Outbox {
    /// Leaves `told` for the event hooks of `release`, or for the global one if it has none.
    pub fn tell(&self, release: &Release, told: &Told) {
        let Told { at, checksum, event } = told;
        let notice = Notice { message: &event.message, warning: event.kind != EventKind::Normal, time: *at };
        let payload = || Payload::of(&release.name, &release.namespace, event.phase, checksum).notice(notice);
        let mut drafts: Vec<Draft> = release
            .hooks(HookType::Event)
            .map(|hook| webhook::request(hook, &payload().metadata(&hook.metadata)))
            .collect();
        if drafts.is_empty() && !self.global.is_empty() {
            drafts.push(webhook::global(&self.global, &payload().metadata(NO_METADATA)));
        }
        let canary = Kind::CANARY.at(&release.namespace, &release.name);
        for draft in drafts {
            let hook = (canary.clone(), draft.call.url().to_owned());
            let letter = Letter { draft, text: event.message.clone(), told: Instant::now() };
            self.lanes.put(hook, canary.clone(), letter);
        }
    }

    /// Whether anybody is to hear of the events of `release`.
    pub fn has_recipient(&self, release: &Release) -> bool {
        !self.global.is_empty() || release.hooks(HookType::Event).next().is_some()
    }

    /// Whether events of this Canary are still on their way.
    pub fn owes(&self, canary: &ObjectId) -> bool {
        self.lanes.owes(canary)
    }

    /// Takes nothing more; the worker ends when it has delivered what is left, or after a little while.
    pub fn close(&self) {
        self.lanes.close();
    }
}

impl Worker {
    /// Delivers until the outbox is closed and empty.
    pub async fn run(self) {
        self.lanes.run(&self.carrier).await;
    }
}

impl lanes::Carrier<Hook, Letter> for Carrier {
    fn carry<'a>(&'a self, (canary, _): &'a Hook, letter: &'a Letter) -> BoxFuture<'a, ()> {
        async move {
            let party = Party::new(Sort::Delivery, &canary.namespace, &canary.name);
            let calls = self.calls.on_behalf_of(party);
            let caller = Caller { client: self.client.clone(), calls, clock: self.clock };
            let title = format!("{}.{}", canary.name, canary.namespace);
            let attempt = || async {
                let outcome = caller.call(&letter.draft).await;
                outcome.map_err(|trouble| trouble.within("error sending event to webhook:"))
            };
            // The log has what became of it.
            let _ = insist(letter.told, &title, &letter.text, attempt).await;
        }
        .boxed()
    }
}
