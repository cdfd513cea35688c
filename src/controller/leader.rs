//! Leader election: the loop around [`lease`](super::lease). It keeps the lease, publishes the claim at the
//! [`Fence`], and gives both back at the end.
//!
//! ```text
//! follow ──ran out, given back──▶ lead ──taken by another──▶ lost (the process ends)
//!    │                           │    ▲
//!    │          not renewed in time   │ still ours
//!    │                           ▼    │
//!    │                         fence closed
//!    └────────── shutdown ───────┴──▶ fence closed, writes over, lease given back
//! ```
//!
//! Who follows watches the lease, and so knows at once that it was given back.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ApiResource, DynamicObject, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, error, info, warn};

use super::clock::Clock;
use super::fence::{Claim, Fence};
use super::lease::{self, Move, Record, Sighting, Timing};

/// A candidate for leadership.
pub struct Leader {
    leases: Api<DynamicObject>,
    namespace: String,
    identity: String,
    timing: Timing,
    clock: Clock,
    fence: Fence,
    seen: Option<Seen>,
}

/// The lease as we last saw or wrote it.
struct Seen {
    lease: DynamicObject,
    sighting: Sighting,
}

/// How leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// We were asked to stop, and others may lead now.
    Released,
    /// Another leads now. The process must end: its caches and plans may be old.
    Lost,
}

/// What one try at the lease brought.
enum Tried {
    Held,
    Follows { holder: String, until: Instant },
}

impl Leader {
    /// A candidate for the lease in `namespace`, named `<hostname>_<uuid>`.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        identity: String,
        timing: Timing,
        clock: Clock,
        fence: Fence,
    ) -> Self {
        let leases = Api::namespaced_with(client, namespace, &ApiResource::erase::<Lease>(&()));
        Self { leases, namespace: namespace.to_owned(), identity, timing, clock, fence, seen: None }
    }

    /// Stands for election until `stop` is done or leadership is lost. The fence must be closed at the start.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Ended {
        info!(
            "Starting leader election id: {} configmap: {} namespace: {}",
            self.identity,
            lease::NAME,
            self.namespace
        );
        let lost = tokio::select! {
            biased;
            () = stop => false,
            () = self.lead() => true,
        };
        self.fence.publish(Claim::None);
        if lost {
            error!("Leadership lost");
            return Ended::Lost;
        }
        self.release().await;
        Ended::Released
    }

    /// Follows, then leads, and returns when another has taken the lease.
    async fn lead(&mut self) {
        let mut leader_known = String::new();
        let mut has_led = false;
        loop {
            let started = Instant::now();
            let held_until = match self.fence.claim() {
                Claim::Until(end) if end <= started => {
                    // Others may take it from now on, and nothing is written. If nobody does, we go on.
                    warn!("The lease could not be renewed in time");
                    self.fence.publish(Claim::None);
                    None
                }
                Claim::Until(end) => Some(end),
                Claim::None | Claim::Always => None,
            };
            let deadline = held_until.map_or(started + TRY_LIMIT, |end| end.min(started + TRY_LIMIT));
            let next = match timeout_at(deadline, self.attempt()).await {
                Ok(Ok(Tried::Held)) => {
                    // Counted from before the request was sent: others saw the renewal later than that.
                    self.fence.publish(Claim::Until(started + self.timing.renew_deadline));
                    if held_until.is_none() {
                        info!("Acting as elected leader");
                    }
                    has_led = true;
                    started + self.timing.retry
                }
                Ok(Ok(Tried::Follows { .. })) if has_led => return,
                Ok(Ok(Tried::Follows { holder, until })) => {
                    if holder != leader_known {
                        info!("Another instance has been elected as leader: {holder}");
                        leader_known = holder;
                    }
                    self.follow(until).await;
                    started
                }
                failed => {
                    report(failed.map(|tried| tried.err()).unwrap_or_default());
                    // Whether the write arrived is not known: look before the next one.
                    self.forget_version();
                    let pause = if held_until.is_some() { HURRY } else { self.timing.retry };
                    let next = started + pause;
                    // A claim ends in time, whatever the next try would bring.
                    held_until.map_or(next, |end| next.min(end))
                }
            };
            sleep_until(next.max(Instant::now() + PAUSE)).await;
        }
    }

    /// Watches the lease of another until it can be taken, or has to be looked at: it ran out or is gone, or the watch
    /// told nothing until then.
    async fn follow(&mut self, mut until: Instant) {
        let version = self.seen.as_ref().and_then(|seen| seen.lease.metadata.resource_version.clone());
        let only = format!("metadata.name={}", lease::NAME);
        let params = WatchParams::default().fields(&only).disable_bookmarks();
        let began = Instant::now();
        let watch = self.leases.watch(&params, version.as_deref().unwrap_or("0"));
        let changes = match timeout_at(began + TRY_LIMIT, watch).await {
            Ok(Ok(changes)) => changes,
            Ok(Err(problem)) => {
                debug!(error = %problem, "the lease is looked at, since it cannot be watched");
                return sleep_until(until.min(began + self.timing.retry)).await;
            }
            Err(_) => return,
        };
        pin_mut!(changes);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(until) => return,
                change = changes.next() => match change {
                    Some(Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease))) => {
                        self.note(lease);
                        match self.next() {
                            Move::Follow { until: later, .. } => until = later,
                            Move::Create(_) | Move::Replace(_) => return,
                        }
                    }
                    Some(Ok(WatchEvent::Bookmark(_))) => {}
                    Some(Ok(WatchEvent::Deleted(_))) => return,
                    // The watch has ended, and a look says where we are.
                    Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => {
                        return sleep_until(until.min(began + self.timing.retry)).await;
                    }
                },
            }
        }
    }

    /// One try: looks at the lease if it is not known for sure, and makes the move.
    async fn attempt(&mut self) -> Result<Tried, kube::Error> {
        let renews = self.seen.as_ref().is_some_and(|seen| {
            seen.sighting.record.holder == self.identity && seen.lease.metadata.resource_version.is_some()
        });
        if !renews {
            self.look().await?;
        }
        match self.next() {
            Move::Follow { holder, until } => return Ok(Tried::Follows { holder, until }),
            Move::Create(record) => {
                let lease = self.leases.create(&PostParams::default(), &blank(&record)).await?;
                self.note(lease);
            }
            Move::Replace(record) => self.replace(&record).await?,
        }
        Ok(Tried::Held)
    }

    /// The next move, by what was seen last.
    fn next(&self) -> Move {
        let sighting = self.seen.as_ref().map(|seen| &seen.sighting);
        lease::next(&self.identity, sighting, Instant::now(), self.clock.now(), &self.timing)
    }

    /// Reads the lease.
    async fn look(&mut self) -> Result<(), kube::Error> {
        match self.leases.get_opt(lease::NAME).await? {
            Some(lease) => self.note(lease),
            None => self.seen = None,
        }
        Ok(())
    }

    /// Writes `record` into the version of the lease that we know; anybody else's change in between is a conflict.
    async fn replace(&mut self, record: &Record) -> Result<(), kube::Error> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut lease = seen.lease.clone();
        record.write_into(&mut lease.data);
        let lease = self.leases.replace(lease::NAME, &PostParams::default(), &lease).await?;
        self.note(lease);
        Ok(())
    }

    fn note(&mut self, lease: DynamicObject) {
        let before = self.seen.take().map(|seen| seen.sighting);
        let sighting = Sighting::look(before, Record::read(&lease.data), Instant::now());
        self.seen = Some(Seen { lease, sighting });
    }

    /// Makes the next attempt read the lease first. What was seen keeps its age.
    fn forget_version(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.lease.metadata.resource_version = None;
        }
    }

    /// Gives the lease back, if it is ours and no write of ours is on its way any more.
    async fn release(&mut self) {
        let deadline = Instant::now() + RELEASE_LIMIT;
        if timeout_at(deadline, self.fence.drained()).await.is_err() {
            warn!("writes are still on their way: the lease is left to run out");
            return;
        }
        // A renewal that was cut off may still arrive between our look and our write: then look once more.
        for _ in 0..3 {
            match timeout_at(deadline, self.give_back()).await {
                Ok(Ok(())) => return,
                Ok(Err(problem)) if conflict(&problem) => {}
                Ok(Err(problem)) => {
                    return warn!(error = %problem, "the lease cannot be given back; it will run out");
                }
                Err(_) => return warn!("no answer about the lease; it will run out"),
            }
        }
    }

    async fn give_back(&mut self) -> Result<(), kube::Error> {
        if self.seen.is_none() {
            return Ok(());
        }
        self.look().await?;
        let Some(record) = self.seen.as_ref().map(|seen| &seen.sighting.record) else { return Ok(()) };
        if record.holder != self.identity {
            return Ok(());
        }
        let released = record.released(self.clock.now());
        self.replace(&released).await
    }
}

/// A new Lease object.
fn blank(record: &Record) -> DynamicObject {
    let mut data: Value = json!({});
    record.write_into(&mut data);
    DynamicObject { data, ..DynamicObject::new(lease::NAME, &ApiResource::erase::<Lease>(&())) }
}

/// Tells the log why a try failed; no problem at all means that no answer came.
fn report(problem: Option<kube::Error>) {
    match problem {
        Some(problem) if conflict(&problem) => debug!("the lease changed under our hands: {problem}"),
        Some(problem) => warn!(error = %problem, "the lease {} cannot be read or written", lease::NAME),
        None => warn!("no answer about the lease {} within {TRY_LIMIT:?}", lease::NAME),
    }
}

fn conflict(problem: &kube::Error) -> bool {
    matches!(problem, kube::Error::Api(status) if status.code == 409)
}

/// The longest that one try may take: a leader has time for another before its claim ends.
const TRY_LIMIT: Duration = Duration::from_secs(4);
/// Between the tries of a leader whose last one failed.
const HURRY: Duration = Duration::from_secs(1);
/// The shortest pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that giving back may take, the last writes included.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
