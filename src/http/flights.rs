//! Questions that are being answered: whoever asks the same at the same moment gets the same answer, and the server is
//! asked once. The same means all of it: address, parameters, headers, credentials.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use super::error::Cause;
use super::request::Request;
use super::response::Response;

/// The outcome of a call, which several wait for. It goes on as long as one of them does.
pub(super) type Flight = Shared<BoxFuture<'static, Result<Response, Cause>>>;

/// The calls that are under way. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Vec<Sent>>>);

struct Sent {
    request: Request,
    at: Instant,
    outcome: WeakShared<BoxFuture<'static, Result<Response, Cause>>>,
}

impl Flights {
    /// The flight of the same request, if it was sent a moment ago.
    pub(super) fn join(&self, request: &Request) -> Option<Flight> {
        self.joined(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), request)
    }

    /// The same, or a new flight that makes `call`.
    pub(super) fn join_or_start(
        &self,
        request: &Request,
        call: impl FnOnce() -> BoxFuture<'static, Result<Response, Cause>>,
    ) -> Flight {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = self.joined(&mut sent, request) {
            return flight;
        }
        let flight = call().shared();
        if let Some(outcome) = flight.downgrade() {
            sent.push(Sent { request: request.clone(), at: Instant::now(), outcome });
        }
        flight
    }

    fn joined(&self, sent: &mut Vec<Sent>, request: &Request) -> Option<Flight> {
        sent.retain(|sent| sent.at.elapsed() < MOMENT && sent.outcome.upgrade().is_some());
        sent.iter().find(|sent| sent.request == *request)?.outcome.upgrade()
    }
}

/// Whoever comes later asks anew, since the answer would be that of another time.
const MOMENT: Duration = Duration::from_secs(1);
