//! The load generator: requests at a constant rate, each remembered, bounded in number and in time.
//!
//! The rate does not wait for answers (as users do not), so a slow server is seen as latency and not as less load.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http_body_util::Empty;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::{Answer, Client};
use super::jar::Jar;

/// No run makes more requests than this.
const MOST_REQUESTS: u64 = 200_000;
const MOST_IN_FLIGHT: usize = 256;
/// Longer than anything in between waits for a server: what has not been answered then never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// A load that is further behind than this lets the rest go: nobody comes later because others had to wait.
const BEHIND: Duration = Duration::from_secs(1);

/// How the names of the pods of the shop's primary begin.
const PRIMARY_PODS: &str = "frontend-primary-";

/// What to ask, and how often.
#[derive(Clone, Debug)]
pub struct Load {
    pub target: SocketAddr,
    pub host: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub clients: Clients,
    /// Requests a second.
    pub rate: u32,
    /// It ends by itself after this.
    pub longest: Duration,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// Somebody else each time, who knows no cookies.
    #[default]
    Strangers,
    /// So many at a time, each with cookies of its own, who waits for one answer before it asks again. After so many
    /// requests one leaves, and another takes its seat.
    Visitors { seats: u64, stay: u64 },
}

impl Clients {
    /// The seat and the number of the client that makes request `n`.
    fn at(self, n: u64) -> (u64, u64) {
        match self {
            Clients::Strangers => (0, n),
            Clients::Visitors { seats, stay } => {
                let (seats, stay) = (seats.max(1), stay.max(1));
                (n % seats, n / seats / stay * seats + n % seats)
            }
        }
    }
}

/// One request and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Who asked.
    pub client: u64,
    /// The cookies of its own that it sent, by name.
    pub cookies: BTreeMap<String, String>,
    /// The `Set-Cookie` lines of the answer.
    pub given: Vec<String>,
    /// When it was sent and answered, since the start of the load.
    pub sent: Duration,
    pub done: Duration,
    /// 0 when there was no answer.
    pub status: u16,
    /// The version that answered, or what went wrong.
    pub note: String,
    /// The pod that answered; empty if nobody did.
    pub pod: String,
    /// It was sent twice, as every client does when a used connection ends without a byte of the answer.
    pub retried: bool,
}

impl Sample {
    /// Whether a user would call it lost: no answer, or the server's fault.
    pub fn lost(&self) -> bool {
        self.status == 0 || self.status >= 500
    }

    /// Whether a pod of the shop's primary answered.
    pub fn by_primary(&self) -> bool {
        self.pod.starts_with(PRIMARY_PODS)
    }

    /// Whether a pod of the shop's canary answered.
    pub fn by_canary(&self) -> bool {
        !self.pod.is_empty() && !self.by_primary()
    }
}

/// What has been answered so far.
#[derive(Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<Sample>>>);

impl Samples {
    /// A copy of all of them.
    pub fn all(&self) -> Vec<Sample> {
        self.0.lock().map(|samples| samples.clone()).unwrap_or_default()
    }

    /// How many fit.
    pub fn count(&self, fits: impl Fn(&Sample) -> bool) -> usize {
        self.0.lock().map_or(0, |samples| samples.iter().filter(|sample| fits(sample)).count())
    }

    fn push(&self, sample: Sample) {
        if let Ok(mut samples) = self.0.lock() {
            samples.push(sample);
        }
    }
}

/// A load that is going on.
pub struct Running {
    started: Instant,
    samples: Samples,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Starts it.
    ///
    /// # Errors
    /// The target is neither this machine nor an address of the harness's own network.
    pub fn start(self) -> Result<Running> {
        self.start_at(Instant::now())
    }

    /// The same by a clock that others use too.
    ///
    /// # Errors
    /// As [`Load::start`].
    pub fn start_at(self, started: Instant) -> Result<Running> {
        ensure!(is_ours(self.target.ip()), "{} is not an address of this harness", self.target);
        self.request(&BTreeMap::new())?;
        let (stop, stopped) = watch::channel(false);
        let samples = Samples::default();
        let task = tokio::spawn(generate(self, started, samples.clone(), stopped));
        Ok(Running { started, samples, stop, task })
    }

    fn request(&self, cookies: &BTreeMap<String, String>) -> Result<Request<Empty<bytes::Bytes>>> {
        let mut request = Request::get(&self.path).header(HOST, &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !cookies.is_empty() {
            request = request.header(COOKIE, Jar::header(cookies));
        }
        request.body(Empty::new()).with_context(|| format!("cannot ask {} for {}", self.host, self.path))
    }
}

impl Running {
    /// How long it has been going on; the clock of the samples.
    pub fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the clock of the samples begins.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What has been answered so far.
    pub fn so_far(&self) -> Vec<Sample> {
        self.samples.all()
    }

    /// The same, for those who look while it goes on.
    pub fn samples(&self) -> Samples {
        self.samples.clone()
    }

    /// Waits until it ends by itself.
    pub async fn finish(mut self) -> Result<Vec<Sample>> {
        (&mut self.task).await?;
        Ok(self.so_far())
    }

    /// Ends it once the requests under way are answered.
    pub async fn stop(mut self) -> Vec<Sample> {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
        self.so_far()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn generate(load: Load, started: Instant, samples: Samples, mut stop: watch::Receiver<bool>) {
    let client = Arc::new(Client::new(load.target, PATIENCE));
    let slots = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
    let load = Arc::new(load);
    let mut tick = interval(Duration::from_secs(1) / load.rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let mut seats = Seats::default();
    for n in 0..MOST_REQUESTS {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            due = tick.tick() => if due.elapsed() > BEHIND { tick.reset() }
        }
        if started.elapsed() > load.longest {
            break;
        }
        while under_way.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        // Who asks, and after which request of the same user, is settled here and not by who is run first.
        let turn = seats.take(load.clients, n);
        let (client, load, samples) = (client.clone(), load.clone(), samples.clone());
        under_way.spawn(async move {
            samples.push(turn.ask(&client, &load, started).await);
            drop(slot);
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// The visitors that are here, by seat.
#[derive(Default)]
struct Seats(BTreeMap<u64, Seat>);

/// A visitor that is here.
struct Seat {
    number: u64,
    jar: Arc<Mutex<Jar>>,
    /// Ends with its latest request.
    latest: Option<oneshot::Receiver<()>>,
}

/// One request of one client.
struct Turn {
    number: u64,
    jar: Arc<Mutex<Jar>>,
    /// Ends with the client's request before this one.
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with this request.
    _done: oneshot::Sender<()>,
}

impl Seats {
    /// The turn of request `n`.
    fn take(&mut self, clients: Clients, n: u64) -> Turn {
        let (seat, number) = clients.at(n);
        let (done, latest) = oneshot::channel();
        if clients == Clients::Strangers {
            return Turn { number, jar: Arc::default(), before: None, _done: done };
        }
        let seat = self.0.entry(seat).or_insert_with(|| Seat::of(number));
        if seat.number != number {
            *seat = Seat::of(number);
        }
        let before = seat.latest.replace(latest);
        Turn { number, jar: seat.jar.clone(), before, _done: done }
    }
}

impl Seat {
    fn of(number: u64) -> Seat {
        Seat { number, jar: Arc::default(), latest: None }
    }
}

impl Turn {
    async fn ask(self, client: &Client, load: &Load, started: Instant) -> Sample {
        if let Some(before) = self.before {
            // Nothing is ever sent: it ends by being dropped.
            let _ = before.await;
        }
        let sent = started.elapsed();
        let cookies = self.jar.lock().map(|mut jar| jar.open(sent)).unwrap_or_default();
        let answer = match load.request(&cookies) {
            Ok(request) => client.ask(request).await,
            Err(error) => Err(format!("{error:#}")),
        };
        let done = started.elapsed();
        let mut sample = Sample { client: self.number, cookies, sent, done, ..Sample::default() };
        match answer {
            Ok(answer) => sample.take(&answer),
            Err(reason) => sample.note = reason,
        }
        if let Ok(mut jar) = self.jar.lock() {
            sample.given.iter().for_each(|line| jar.put(line, done));
        }
        sample
    }
}

impl Sample {
    fn take(&mut self, answer: &Answer) {
        let text = |name: &str| {
            let value = answer.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let lines = answer.headers.get_all(SET_COOKIE).iter();
        self.given.extend(lines.filter_map(|line| line.to_str().ok()).map(str::to_owned));
        (self.status, self.retried) = (answer.status, answer.retried);
        (self.note, self.pod) = (text("x-version"), text("x-pod"));
        if self.note.is_empty() {
            self.note = String::from_utf8_lossy(&answer.body).chars().take(120).collect();
        }
    }
}

/// This machine's loopback, or the network that the harness made for itself.
fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || matches!(v4.octets(), [10, 250, ..] | [10, 96, ..]),
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

/// What a load amounts to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub requests: usize,
    pub lost: usize,
    /// Sent twice, because a used connection ended before a byte of the answer.
    pub retried: usize,
    /// Answers by the version that gave them.
    pub versions: BTreeMap<String, usize>,
    /// Answers by status; `0` is none.
    pub statuses: BTreeMap<u16, usize>,
    /// Why requests were lost, with how often.
    pub reasons: BTreeMap<String, usize>,
    pub p50_ms: u128,
    pub p99_ms: u128,
}

impl Summary {
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Summary {
        let mut out = Summary::default();
        let mut latencies: Vec<u128> = Vec::new();
        for sample in samples {
            out.requests += 1;
            *out.statuses.entry(sample.status).or_default() += 1;
            latencies.push(sample.done.saturating_sub(sample.sent).as_millis());
            if sample.status == 0 || sample.note.contains(' ') {
                *out.reasons.entry(sample.note.clone()).or_default() += 1;
            } else {
                *out.versions.entry(sample.note.clone()).or_default() += 1;
            }
            out.lost += usize::from(sample.lost());
            out.retried += usize::from(sample.retried);
        }
        latencies.sort_unstable();
        let rank = |percent: usize| {
            latencies.get((latencies.len() * percent / 100).min(latencies.len().saturating_sub(1)))
        };
        out.p50_ms = rank(50).copied().unwrap_or(0);
        out.p99_ms = rank(99).copied().unwrap_or(0);
        out
    }

    /// # Errors
    /// A request was lost; the text says how many, and why.
    pub fn expect_none_lost(&self) -> Result<()> {
        let Summary { requests, lost, reasons, statuses, .. } = self;
        ensure!(*lost == 0, "{lost} of {requests} requests were lost: {reasons:?} {statuses:?}");
        Ok(())
    }

    /// How many requests there were when none was lost, in words.
    ///
    /// # Errors
    /// As [`Summary::expect_none_lost`].
    pub fn none_lost(&self) -> Result<String> {
        self.expect_none_lost()?;
        let again = if self.retried > 0 { format!(" ({} sent twice)", self.retried) } else { String::new() };
        Ok(format!("{} requests, 0 lost{again}", self.requests))
    }

    /// The share of the answers that a version gave, in per cent.
    pub fn share(&self, version: &str) -> f64 {
        let all: usize = self.versions.values().sum();
        let own = self.versions.get(version).copied().unwrap_or(0);
        if all == 0 { 0.0 } else { own as f64 * 100.0 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_load_goes_to_foreign_addresses() {
        for address in ["192.0.2.1", "10.0.0.1", "172.16.0.1", "2001:db8::1"] {
            assert!(!is_ours(address.parse().expect("address")), "{address}");
        }
        for address in ["127.0.0.1", "10.250.1.7", "10.96.0.10", "::1"] {
            assert!(is_ours(address.parse().expect("address")), "{address}");
        }
    }

    #[test]
    fn a_visitor_keeps_its_seat_for_its_stay() {
        let clients = Clients::Visitors { seats: 2, stay: 3 };
        let numbers: Vec<_> = (0..8).map(|n| clients.at(n)).collect();
        assert_eq!(numbers, [(0, 0), (1, 1), (0, 0), (1, 1), (0, 0), (1, 1), (0, 2), (1, 3)]);
    }

    #[tokio::test]
    async fn a_visitor_that_comes_late_keeps_its_cookies_and_its_place() {
        let clients = Clients::Visitors { seats: 1, stay: 2 };
        let mut seats = Seats::default();
        let mut turns: Vec<Turn> = (0..4).map(|n| seats.take(clients, n)).collect();
        // All four are run at once, the later ones first, as after a stall: each first visit gives a cookie.
        assert_eq!(turns.iter().map(|turn| turn.number).collect::<Vec<_>>(), [0, 0, 1, 1]);
        let mut second = turns.remove(3);
        let first = turns.remove(2);
        assert!(Arc::ptr_eq(&first.jar, &second.jar) && !Arc::ptr_eq(&first.jar, &turns[0].jar));
        let before = second.before.as_mut().expect("the first visit comes before the second");
        assert!(before.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        first.jar.lock().expect("a jar").put("version=new", Duration::ZERO);
        drop(first);
        let _ = before.await;
        assert_eq!(second.jar.lock().expect("a jar").open(Duration::ZERO).len(), 1);
        assert!(turns[0].jar.lock().expect("a jar").open(Duration::ZERO).is_empty());
    }

    #[test]
    fn a_summary_counts_versions_losses_and_latency() {
        let sample = |status, note: &str, ms: u64| Sample {
            sent: Duration::from_millis(10),
            done: Duration::from_millis(10 + ms),
            status,
            note: note.to_owned(),
            ..Sample::default()
        };
        let summary = Summary::of(&[
            sample(200, "1.0", 1),
            sample(200, "1.1", 2),
            sample(500, "1.1", 3),
            sample(0, "connection refused", 4),
        ]);
        assert_eq!((summary.requests, summary.lost, summary.p99_ms), (4, 2, 4));
        assert_eq!(summary.versions, BTreeMap::from([("1.0".into(), 1), ("1.1".into(), 2)]));
        assert_eq!(summary.reasons, BTreeMap::from([("connection refused".into(), 1)]));
    }
}
