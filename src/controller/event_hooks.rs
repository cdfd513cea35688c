//! Event hooks: each event of a release, in order, told by one task that nobody waits for (spec 02 §6.4, E6.1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use crate::api::hooks::HookType;
use crate::api::status::CanaryStatus;
use crate::http;
use crate::model::release::Release;
use crate::rollout::{Event, EventKind};
use crate::webhook::{self, Draft, NO_METADATA, Notice, Payload, Verdict};

use super::ask::Caller;
use super::caches::lock;
use super::calls::Calls;
use super::clock::Clock;

/// Where events are left for their hooks. Clones are the same.
#[derive(Clone)]
pub struct Outbox(Arc<HookQueue>);

/// The events that wait for their hooks to be called.
struct HookQueue {
    waiting: Mutex<VecDeque<(String, Draft)>>,
    closed: watch::Sender<bool>,
    wake: Notify,
    clock: Clock,
    /// `-event-webhook`: called where a Canary has no event hook of its own.
    global: String,
}

/// Delivers what is in the outbox.
pub struct Worker {
    outbox: Outbox,
    caller: Caller,
}

/// An outbox and the worker that empties it.
pub fn outbox(client: kube::Client, http: http::Client, clock: Clock, global: String) -> (Outbox, Worker) {
    let shared = HookQueue {
        waiting: Mutex::default(),
        closed: watch::Sender::new(false),
        wake: Notify::new(),
        clock,
        global,
    };
    let outbox = Outbox(Arc::new(shared));
    (
        outbox.clone(),
        Worker { outbox, caller: Caller { client: client.clone(), calls: Calls::new(client, http), clock } },
    )
}

impl Outbox {
    /// Leaves `event` for the event hooks of `release`, or for the global one if it has none.
    pub fn tell(&self, release: &Release, status: &CanaryStatus, event: &Event) {
        let notice = Notice {
            message: &event.message,
            warning: event.kind != EventKind::Normal,
            time: self.0.clock.now(),
        };
        let payload = || Payload::new(&release.name, &release.namespace, event.phase, status).notice(notice);
        let mut calls: Vec<Draft> = release
            .hooks(HookType::Event)
            .map(|hook| webhook::request(hook, &payload().metadata(&hook.metadata)))
            .collect();
        if calls.is_empty() && !self.0.global.is_empty() {
            calls.push(webhook::global(&self.0.global, &payload().metadata(NO_METADATA)));
        }
        if calls.is_empty() {
            return;
        }
        let mut waiting = lock(&self.0.waiting);
        for call in calls {
            if waiting.len() >= OUTBOX {
                warn!("{OUTBOX} events wait for their hooks: the oldest is dropped");
                waiting.pop_front();
            }
            waiting.push_back((release.title(), call));
        }
        drop(waiting);
        self.0.wake.notify_one();
    }

    /// Takes nothing more; the worker ends when it has delivered what is left.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
        self.0.wake.notify_one();
    }

    async fn next(&self) -> Option<(String, Draft)> {
        loop {
            {
                let mut waiting = lock(&self.0.waiting);
                if let Some(call) = waiting.pop_front() {
                    return Some(call);
                }
                if *self.0.closed.borrow() {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }
}

impl Worker {
    /// Delivers, one call after the other, until the outbox is closed and empty; what is left then has a few seconds.
    pub async fn run(self) {
        let closed = self.outbox.0.closed.subscribe();
        tokio::select! {
            biased;
            () = self.deliver() => {}
            () = closed_for(closed, FLUSH) => warn!("the event hooks did not take the last events in time"),
        }
    }

    async fn deliver(&self) {
        while let Some((canary, call)) = self.outbox.next().await {
            if let Verdict::Failed(why) = self.caller.post(call).await {
                error!(canary, "error sending event to webhook: {why}");
            }
        }
    }
}

async fn closed_for(mut closed: watch::Receiver<bool>, grace: Duration) {
    // The sender lives in the outbox.
    let _ = closed.wait_for(|closed| *closed).await;
    tokio::time::sleep(grace).await;
}

const OUTBOX: usize = 1024;
const FLUSH: Duration = Duration::from_secs(5);
