//! The connections of the HTTP server: how many there may be, and who makes room.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;
use tracing::debug;

/// All open connections.
pub(super) struct Guests {
    pages: Router,
    running: JoinSet<u64>,
    present: BTreeMap<u64, Guest>,
    came: u64,
    graceful: GracefulShutdown,
}

/// One connection.
struct Guest {
    /// When it came, or last asked for something.
    active: Arc<Mutex<Instant>>,
    task: AbortHandle,
}

impl Guests {
    /// No connection yet; all will be served `pages`.
    pub fn new(pages: Router) -> Self {
        let (running, present) = (JoinSet::new(), BTreeMap::new());
        Self { pages, running, present, came: 0, graceful: GracefulShutdown::new() }
    }

    /// Serves a connection. If there are too many, the one that has been quiet for longest is closed.
    pub fn seat(&mut self, stream: TcpStream) {
        while self.present.len() >= MOST {
            let quietest = self.present.iter().min_by_key(|(_, guest)| *lock(&guest.active));
            let Some(number) = quietest.map(|(number, _)| *number) else { break };
            if let Some(guest) = self.present.remove(&number) {
                debug!("HTTP server: {MOST} connections are open, the quietest is closed");
                guest.task.abort();
            }
        }
        self.came += 1;
        let number = self.came;
        let active = Arc::new(Mutex::new(Instant::now()));
        let (pages, asks) = (self.pages.clone(), Arc::clone(&active));
        let service = service_fn(move |request| {
            *lock(&asks) = Instant::now();
            let pages = pages.clone();
            async move { pages.oneshot(request).await.map_err(|never: Infallible| never) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        let task = self.running.spawn(async move {
            if let Err(problem) = connection.await {
                debug!(error = %problem, "HTTP server: a connection ended");
            }
            number
        });
        self.present.insert(number, Guest { active, task });
    }

    /// Waits until a connection has ended; for ever if there is none.
    pub async fn one_left(&mut self) {
        match self.running.join_next().await {
            Some(Ok(number)) => drop(self.present.remove(&number)),
            // One that had to make room, and was struck off then.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// Lets requests that have begun come to their end, until `deadline`; whether all did.
    pub async fn see_off(self, deadline: Instant) -> bool {
        let Self { mut running, graceful, .. } = self;
        let ended = timeout_at(deadline, graceful.shutdown()).await.is_ok();
        running.abort_all();
        ended
    }
}

fn lock(active: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    active.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections at once. Two Prometheus servers and the kubelet need a handful; the rest of the process's descriptors is
/// for its own calls.
pub(super) const MOST: usize = 128;
/// How long a client may take to send the head of its request.
const HEADERS: Duration = Duration::from_secs(10);
