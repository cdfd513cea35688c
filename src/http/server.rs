//! The server for pages of our own: plain HTTP, a bounded number of connections. When they are used up, the one that has
//! been quiet for longest makes room, so that a probe always gets its answer; a caller that waits for its task is not quiet.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

/// Says that a connection waits for a task of ours.
#[derive(Clone, Default)]
pub struct Working(Arc<AtomicUsize>);

impl Working {
    /// It waits, for as long as what is returned is there.
    pub fn begin(&self) -> Until {
        self.0.fetch_add(1, Ordering::Relaxed);
        Until(self.clone())
    }
}

/// The time for which a connection waits.
pub struct Until(Working);

impl Drop for Until {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Guest {
    active: Arc<Mutex<Instant>>,
    working: Working,
    task: AbortHandle,
}

/// Serves `pages` to `most` connections at once until `stop` is done, then lets requests that have begun come to their
/// end, for `grace` at most. Whether all of them did.
pub async fn serve(
    listener: TcpListener,
    pages: Router,
    most: usize,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    let (mut running, mut present, mut came) = (JoinSet::new(), BTreeMap::<u64, Guest>::new(), 0);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(left) = running.join_next() => {
                // One that had to make room is not among them any more.
                if let Ok(number) = left {
                    present.remove(&number);
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if !make_room(&mut present, most) {
                        continue;
                    }
                    came += 1;
                    let guest = seat(stream, came, pages.clone(), &graceful, &mut running);
                    present.insert(came, guest);
                }
                Err(problem) => {
                    // Mostly a lack of descriptors; others have to give some back.
                    warn!(error = %problem, "HTTP server takes no connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
    drop(listener);
    let ended = timeout(grace, graceful.shutdown()).await.is_ok();
    running.abort_all();
    ended
}

/// Whether there is room, after the quietest has left if need be.
fn make_room(present: &mut BTreeMap<u64, Guest>, most: usize) -> bool {
    if present.len() < most {
        return true;
    }
    let idle = present.iter().filter(|(_, guest)| guest.working.0.load(Ordering::Relaxed) == 0);
    let quietest = idle.min_by_key(|(_, guest)| *guest.active.lock().unwrap_or_else(PoisonError::into_inner));
    let Some(number) = quietest.map(|(number, _)| *number) else {
        warn!("HTTP server: {most} callers wait for tasks, another one is turned away");
        return false;
    };
    if let Some(guest) = present.remove(&number) {
        guest.task.abort();
    }
    true
}

fn seat(
    stream: TcpStream,
    number: u64,
    pages: Router,
    graceful: &GracefulShutdown,
    running: &mut JoinSet<u64>,
) -> Guest {
    let (active, working) = (Arc::new(Mutex::new(Instant::now())), Working::default());
    let (asks, works) = (Arc::clone(&active), working.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        *asks.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        request.extensions_mut().insert(works.clone());
        let pages = pages.clone();
        async move { pages.oneshot(request).await.map_err(|never: Infallible| never) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    let task = running.spawn(async move {
        if let Err(problem) = connection.await {
            debug!(error = %problem, "HTTP server: a connection ended");
        }
        number
    });
    Guest { active, working, task }
}

/// How long a client may take to send the head of its request.
const HEADERS: Duration = Duration::from_secs(10);
