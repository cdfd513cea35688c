//! Event hooks: each event of a release, in order, told by one task that nobody waits for (spec 02 §6.4, E6.1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tracing::{error, warn};

use crate::api::hooks::HookType;
use crate::api::release::Release;
use crate::api::status::CanaryStatus;
use crate::http;
use crate::rollout::{Event, EventKind};
use crate::webhook::{self, Call, NO_METADATA, Notice, Payload, Verdict};

use super::caches::lock;
use super::clock::Clock;

/// Where events are left for their hooks. Clones are the same.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    clock: Clock,
    /// `-event-webhook`: called where a Canary has no event hook of its own.
    global: String,
}

#[derive(Default)]
struct Waiting {
    calls: VecDeque<(String, Call)>,
    closed: bool,
}

/// Delivers what is in the outbox.
pub struct Worker {
    outbox: Outbox,
    http: http::Client,
}

/// An outbox and the worker that empties it.
pub fn outbox(http: http::Client, clock: Clock, global: String) -> (Outbox, Worker) {
    let shared = Shared { waiting: Mutex::default(), wake: Notify::new(), clock, global };
    let outbox = Outbox(Arc::new(shared));
    (outbox.clone(), Worker { outbox, http })
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
        let mut calls: Vec<Call> = release
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
            if waiting.calls.len() >= OUTBOX {
                warn!("{OUTBOX} events wait for their hooks: the oldest is dropped");
                waiting.calls.pop_front();
            }
            waiting.calls.push_back((release.title(), call));
        }
        drop(waiting);
        self.0.wake.notify_one();
    }

    /// Takes nothing more; the worker ends when it has delivered what is left.
    pub fn close(&self) {
        lock(&self.0.waiting).closed = true;
        self.0.wake.notify_one();
    }

    async fn next(&self) -> Option<(String, Call)> {
        loop {
            {
                let mut waiting = lock(&self.0.waiting);
                if let Some(call) = waiting.calls.pop_front() {
                    return Some(call);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }
}

impl Worker {
    /// Delivers, one call after the other.
    pub async fn run(self) {
        while let Some((canary, call)) = self.outbox.next().await {
            if let Verdict::Failed(why) = super::ask::post(&self.http, call).await {
                error!(canary, "error sending event to webhook: {why}");
            }
        }
    }
}

const OUTBOX: usize = 1024;
