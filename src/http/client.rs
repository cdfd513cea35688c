//! The client: what holds for every call, whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use url::Url;

use super::egress::Egress;
use super::error::{Cause, Error};
use super::flights::Flights;
use super::party::{Party, Sort, Waits};
use super::redact::origin;
use super::request::{Oversize, Request};
use super::response::Response;
use super::slots::{Limits, Slot, Slots};
use super::smtp;
use super::transport::{ReqwestTransport, Transport};

/// The one client of a process. Clones share their connections and limits.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    slots: Slots,
    flights: Flights,
    party: Party,
    waits: Waits,
    only_asks: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self::within(Egress::default())
    }
}

impl Client {
    /// A client of the real network that calls nothing that `egress` denies.
    pub fn within(egress: Egress) -> Self {
        Self::over(Arc::new(ReqwestTransport::new(egress)), Limits::default())
    }

    /// A client over a transport of one's own: a simulation, a test.
    pub fn over(transport: Arc<dyn Transport>, limits: Limits) -> Self {
        Self {
            transport,
            slots: Slots::new(limits),
            flights: Flights::default(),
            party: Party::default(),
            waits: Waits::default(),
            only_asks: false,
        }
    }

    /// The same client, which asks metrics servers and makes no other call: no hook, no alert.
    pub fn only_asking(&self) -> Self {
        Self { only_asks: true, ..self.clone() }
    }

    /// The same client, whose calls go over another transport and count with its own.
    pub fn through(&self, transport: Arc<dyn Transport>) -> Self {
        Self { transport, ..self.clone() }
    }

    /// The same client, whose calls count for `party`.
    pub fn on_behalf_of(&self, party: Party) -> Self {
        Self { party, waits: Waits::default(), ..self.clone() }
    }

    /// How long the calls of this client, and of its clones for the same party, have waited for a connection.
    pub fn waited(&self) -> Duration {
        self.waits.total()
    }

    /// The same client, which tells how long calls have waited from now on.
    pub fn counting_anew(&self) -> Self {
        self.on_behalf_of(self.party.clone())
    }

    /// Makes the call, again if that can help and as often as the request allows. Any status is an answer.
    ///
    /// # Errors
    /// When there is no answer, or none that may be read to its end.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut attempts = 0;
        loop {
            let outcome = self.attempt(&request).await;
            if !outcome.as_ref().is_err_and(|cause| cause.never_sent() || cause.no_place()) {
                attempts += 1;
            }
            match next_wait(&request, attempts, &outcome) {
                Some(wait) => sleep(wait).await,
                None => return finish(&request, attempts, outcome),
            }
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Response, Cause> {
        if self.only_asks && self.party.sort != Sort::Query {
            return Err(Cause::Shadowed);
        }
        let host = host_of(request)?;
        let call = |slot: Slot| exchange(Arc::clone(&self.transport), request.clone(), slot).boxed();
        if self.party.sort != Sort::Query || request.creates {
            return call(self.place(&host).await?).await;
        }
        if let Some(flight) = self.flights.join(request) {
            return flight.await;
        }
        let slot = self.place(&host).await?;
        // Somebody may have asked the same meanwhile. Who waits is not joined: it may have used up its share.
        self.flights.join_or_start(request, || call(slot)).await
    }

    async fn place(&self, host: &str) -> Result<Slot, Cause> {
        let _waiting = self.waits.begin();
        self.slots.take(&self.party, host).await
    }
}

/// Makes one call. Its time counts from here on, when it is really sent.
async fn exchange(transport: Arc<dyn Transport>, request: Request, _slot: Slot) -> Result<Response, Cause> {
    let (limit, start) = (request.timeout, Instant::now());
    let outcome = match timeout(limit, transport.send(request.clone())).await {
        Ok(answer) => answer.and_then(|answer| within_size(&request, answer)),
        Err(_) => Err(Cause::Timeout(limit)),
    };
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &outcome {
        Ok(answer) => {
            debug!(method = %request.method, to = origin(&request.url), status = answer.status, millis, "answer");
        }
        Err(cause) => {
            debug!(method = %request.method, to = origin(&request.url), %cause, millis, "no answer");
        }
    }
    outcome
}

/// Whom a call counts for, and whether it can be made at all.
fn host_of(request: &Request) -> Result<String, Cause> {
    let url = Url::parse(&request.url).map_err(|error| Cause::InvalidUrl(error.to_string()))?;
    let (known, port) = match (&request.mail, url.scheme()) {
        (None, "http" | "https") => (true, url.port_or_known_default()),
        (Some(_), "smtp" | "smtps") => (true, Some(smtp::port(&url))),
        _ => (false, None),
    };
    match (known, url.host_str().filter(|host| !host.is_empty())) {
        (true, Some(host)) => Ok(format!("{host}:{}", port.unwrap_or_default())),
        (true, None) => Err(Cause::InvalidUrl("it names no host".to_owned())),
        (false, _) => {
            let known = if request.mail.is_some() { "smtp nor smtps" } else { "http nor https" };
            Err(Cause::InvalidUrl(format!("scheme {:?} is neither {known}", url.scheme())))
        }
    }
}

fn within_size(request: &Request, mut answer: Response) -> Result<Response, Cause> {
    if answer.body.len() > request.max_bytes {
        match request.oversize {
            Oversize::Refuse => return Err(Cause::TooLarge { limit: request.max_bytes }),
            Oversize::Cut => answer.body.truncate(request.max_bytes),
        }
    }
    Ok(answer)
}

/// How long to wait before the next attempt; none if this was the last.
fn next_wait(request: &Request, attempts: u32, outcome: &Result<Response, Cause>) -> Option<Duration> {
    let (worth_it, asked_for) = match outcome {
        Ok(answer) => (answer.worth_retrying(), answer.retry_after()),
        Err(cause) => (cause.worth_retrying(), None),
    };
    if !worth_it || attempts > request.retries {
        return None;
    }
    match asked_for {
        // Neither hanging on for an hour nor coming back earlier than asked: better no further attempt.
        Some(wait) => (wait <= PATIENCE).then_some(wait),
        None => Some(FIRST_WAIT.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_WAIT)),
    }
}

fn finish(request: &Request, attempts: u32, outcome: Result<Response, Cause>) -> Result<Response, Error> {
    match outcome {
        Ok(answer) => Ok(Response { attempts, ..answer }),
        Err(cause) => {
            Err(Error { method: request.method.clone(), url: request.shown_url(), attempts, cause })
        }
    }
}

/// Before the second attempt; doubles from then on.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
