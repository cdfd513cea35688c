//! Makes a load: a few connections, each with one request at a time, that share the rate.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::plan::Plan;
use super::report::{Code, Report};
use crate::http::Egress;

/// Is told of each request as it ends: its status or trouble, and how long it took.
pub type Meter = Arc<dyn Fn(&str, Duration) + Send + Sync>;

/// Sends what the plan says. Ends with the plan's time, or when it is dropped.
///
/// # Errors
/// If no request can be made at all.
pub async fn run(plan: &Plan, egress: &Egress, meter: Meter) -> Result<Report, String> {
    egress.check_literal(&plan.url).map_err(|denied| denied.to_string())?;
    crate::http::install_tls_provider();
    let shared = client(plan, egress)?;
    let report = Arc::new(Mutex::new(Report::default()));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..plan.connections {
        // Calls of gRPC would all go over one connection, and so to one pod behind a Service.
        let client = if plan.grpc.is_some() { client(plan, egress)? } else { shared.clone() };
        let (plan, meter, report) = (plan.clone(), Arc::clone(&meter), Arc::clone(&report));
        workers.spawn(async move { worker(&plan, number, start, &client, &meter, &report).await });
    }
    while workers.join_next().await.is_some() {}
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner).clone();
    report.took(start.elapsed());
    Ok(report)
}

fn client(plan: &Plan, egress: &Egress) -> Result<reqwest::Client, String> {
    let connections = usize::try_from(plan.connections).unwrap_or(usize::MAX);
    let builder = || {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("vexil-loadtester/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(egress.resolver())
            // The answer of the application is what counts, and a proxy would hide whom a request goes to.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(connections)
            .tls_danger_accept_invalid_certs(plan.insecure);
        if plan.grpc.is_some() { builder.http2_prior_knowledge() } else { builder.http1_only() }
    };
    // Without any root certificates plain HTTP works all the same, and needs none.
    let made = match plan.url.scheme() {
        "http" => builder().tls_certs_only([]).build(),
        _ => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
    };
    made.map_err(|error| format!("no client: {}", root(&error)))
}

async fn worker(
    plan: &Plan,
    number: u32,
    start: Instant,
    client: &reqwest::Client,
    meter: &Meter,
    report: &Mutex<Report>,
) {
    let one = Duration::from_secs(1) / plan.qps;
    let period = (one * plan.connections).max(Duration::from_micros(1));
    let mut clock = interval_at(start + one * number, period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (end, mut last) = (start + plan.duration, None::<Instant>);
    loop {
        let due = clock.tick().await;
        if due >= end {
            return;
        }
        let left_out = last.map_or(0, |last| ((due - last).as_nanos() / period.as_nanos()).saturating_sub(1));
        last = Some(due);
        let began = Instant::now();
        let answer = timeout(plan.timeout, exchange(plan, client)).await;
        let took = began.elapsed();
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.missed(u64::try_from(left_out).unwrap_or(u64::MAX));
        match answer {
            Ok(Ok(code)) => {
                meter(&code.name, took);
                report.answered(code, took);
            }
            Ok(Err(error)) => {
                let kind = if error.is_connect() { "connect" } else { "error" };
                report.lost(kind, root(&error));
                meter(kind, took);
            }
            Err(_) => {
                report.lost("timeout", format!("no answer within {:?}", plan.timeout));
                meter("timeout", took);
            }
        }
    }
}

/// What the answer means, once the whole of it is there. None of it is kept.
async fn exchange(plan: &Plan, client: &reqwest::Client) -> reqwest::Result<Code> {
    if let Some(grpc) = &plan.grpc {
        return grpc.call(client, &plan.url, &plan.headers).await;
    }
    let request = client.request(plan.method.clone(), plan.url.clone()).headers(plan.headers.clone());
    let request = if plan.body.is_empty() { request } else { request.body(plan.body.clone()) };
    let mut answer = request.send().await?;
    while answer.chunk().await?.is_some() {}
    Ok(Code::http(answer.status().as_u16()))
}

/// The innermost cause, which is the one that helps.
fn root(error: &reqwest::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    text
}
