//! The load generator: requests at a constant rate, each remembered, bounded in number and in time.
//!
//! The rate does not wait for answers (as users do not), so a slow server is seen as latency and not as less load.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::header::SET_COOKIE;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::jar::Jar;

/// No run makes more requests than this.
const MOST_REQUESTS: u64 = 200_000;
const MOST_IN_FLIGHT: usize = 256;
const PATIENCE: Duration = Duration::from_secs(15);

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
}

impl Sample {
    /// Whether a user would call it lost: no answer, or the server's fault.
    pub fn lost(&self) -> bool {
        self.status == 0 || self.status >= 500
    }
}

/// A load that is going on.
pub struct Running {
    started: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Starts it.
    ///
    /// # Errors
    /// The target is neither this machine nor an address of the harness's own network.
    pub fn start(self) -> Result<Running> {
        ensure!(is_ours(self.target.ip()), "{} is not an address of this harness", self.target);
        let (stop, stopped) = watch::channel(false);
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let started = Instant::now();
        let task = tokio::spawn(generate(self, started, samples.clone(), stopped));
        Ok(Running { started, samples, stop, task })
    }
}

impl Running {
    /// How long it has been going on; the clock of the samples.
    pub fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    /// What has been answered so far.
    pub fn so_far(&self) -> Vec<Sample> {
        self.samples.lock().map(|samples| samples.clone()).unwrap_or_default()
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

async fn generate(
    load: Load,
    started: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    mut stop: watch::Receiver<bool>,
) {
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap_or_default();
    let slots = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
    let load = Arc::new(load);
    let mut tick = interval(Duration::from_secs(1) / load.rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let mut seats: BTreeMap<u64, Arc<tokio::sync::Mutex<Visitor>>> = BTreeMap::new();
    for n in 0..MOST_REQUESTS {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            _ = tick.tick() => {}
        }
        if started.elapsed() > load.longest {
            break;
        }
        while under_way.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let (seat, number) = load.clients.at(n);
        let visitor = match load.clients {
            Clients::Strangers => Arc::default(),
            Clients::Visitors { .. } => seats.entry(seat).or_default().clone(),
        };
        let (client, load, samples) = (client.clone(), load.clone(), samples.clone());
        under_way.spawn(async move {
            let mut visitor = visitor.lock().await;
            if visitor.number != number {
                *visitor = Visitor { number, jar: Jar::default() };
            }
            let sample = ask(&client, &load, &mut visitor, started).await;
            if let Ok(mut samples) = samples.lock() {
                samples.push(sample);
            }
            drop(slot);
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// A client and what it was given.
#[derive(Default)]
struct Visitor {
    number: u64,
    jar: Jar,
}

async fn ask(client: &reqwest::Client, load: &Load, visitor: &mut Visitor, started: Instant) -> Sample {
    let mut request = client.get(format!("http://{}{}", load.target, load.path)).header("host", &load.host);
    for (name, value) in &load.headers {
        request = request.header(name, value);
    }
    let sent = started.elapsed();
    let cookies = visitor.jar.open(sent);
    if !cookies.is_empty() {
        request = request.header("cookie", Jar::header(&cookies));
    }
    let mut given = Vec::new();
    let (status, note) = match request.send().await {
        Ok(response) => {
            let lines = response.headers().get_all(SET_COOKIE).iter();
            given.extend(lines.filter_map(|line| line.to_str().ok()).map(str::to_owned));
            let status = response.status().as_u16();
            let version =
                response.headers().get("x-version").and_then(|value| value.to_str().ok()).unwrap_or("");
            let version = version.to_owned();
            match response.bytes().await {
                Ok(body) if version.is_empty() => {
                    (status, String::from_utf8_lossy(&body).chars().take(120).collect())
                }
                Ok(_) => (status, version),
                Err(error) => (0, error.to_string()),
            }
        }
        Err(error) => (0, root_cause(&error)),
    };
    let done = started.elapsed();
    for line in &given {
        visitor.jar.put(line, done);
    }
    Sample { client: visitor.number, cookies, given, sent, done, status, note }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
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
