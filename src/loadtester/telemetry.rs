//! The metrics of the load tester. The reference has none of its own; ours begin with `vexil_loadtester_`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::book::Kind;
use super::load::{Report, STATUSES};
use super::payload::Canary;

/// All series.
pub struct Telemetry {
    registry: Registry,
    tasks: IntCounterVec,
    refused: IntCounterVec,
    checks: IntCounterVec,
    gates: GaugeVec,
    running: Gauge,
    waiting: Gauge,
    requests: IntCounterVec,
    durations: HistogramVec,
    latencies: GaugeVec,
    success: GaugeVec,
    /// Canaries with series of their loads, the last used one at the end.
    known: Mutex<VecDeque<Canary>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let registry = Registry::new();
        let name = |name: &str| format!("vexil_loadtester_{name}");
        let counters = |text: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name(text), help), labels))
        };
        let gauges = |text: &str, help: &str, labels: &[&str]| {
            register(&registry, GaugeVec::new(Opts::new(name(text), help), labels))
        };
        let gauge = |text: &str, help: &str| register(&registry, Gauge::new(name(text), help));
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let durations =
            HistogramOpts::new(name("request_duration_seconds"), "Time that requests of loads took")
                .buckets(buckets);
        let of_canary = ["namespace", "name"];
        Self {
            tasks: counters(
                "tasks_total",
                "Tasks that have ended, by type and outcome",
                &["type", "outcome"],
            ),
            refused: counters("refused_total", "Calls that were refused, by reason", &["reason"]),
            checks: counters(
                "gate_checks_total",
                "Gates that were asked about, by kind and answer",
                &["kind", "answer"],
            ),
            gates: gauges("gates_open", "Gates that are open, by kind", &["kind"]),
            running: gauge("tasks_running", "Tasks that run"),
            waiting: gauge("tasks_waiting", "Tasks that wait for a place"),
            requests: counters(
                "requests_total",
                "Requests of loads, by status or trouble",
                &["namespace", "name", "code"],
            ),
            durations: register(&registry, HistogramVec::new(durations, &of_canary)),
            latencies: gauges(
                "load_latency_seconds",
                "Percentiles of the last load that has ended",
                &["namespace", "name", "quantile"],
            ),
            success: gauges(
                "load_success_percent",
                "Requests of the last load with a status below 400 or the code OK",
                &of_canary,
            ),
            known: Mutex::default(),
            registry: registry.clone(),
        }
    }
}

/// A series as its page lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

/// All series, in the order of the page.
pub fn series() -> Vec<Series> {
    // None can be forgotten: a field that is not named here does not compile.
    let Telemetry {
        registry: _,
        tasks,
        refused,
        checks,
        gates,
        running,
        waiting,
        requests,
        durations,
        latencies,
        success,
        known: _,
    } = Telemetry::default();
    let all: [&dyn Collector; 10] =
        [&tasks, &running, &waiting, &refused, &gates, &checks, &requests, &durations, &latencies, &success];
    let kind =
        |collector: &dyn Collector| match collector.collect().first().map(|family| family.get_field_type()) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::HISTOGRAM) => "histogram",
            _ => "gauge",
        };
    let described =
        all.iter().flat_map(|collector| collector.desc().into_iter().map(|desc| (kind(*collector), desc)));
    described
        .map(|(kind, desc)| Series {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        })
        .collect()
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("a constant name, help and labels that are valid");
    registry.register(Box::new(made.clone())).expect("a name that is used once");
    made
}

impl Telemetry {
    /// The text for Prometheus.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Counts a task that has ended.
    pub fn task(&self, kind: &str, outcome: &str) {
        self.tasks.with_label_values(&[kind, outcome]).inc();
    }

    /// Counts a call that was refused. `reason` is one of a few words.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a check of a gate.
    pub fn check(&self, kind: Kind, open: bool) {
        self.checks.with_label_values(&[kind.word(), if open { "open" } else { "closed" }]).inc();
    }

    /// How many gates are open.
    pub fn gates(&self, kind: Kind, open: usize) {
        self.gates.with_label_values(&[kind.word()]).set(figure(open));
    }

    /// How many tasks run and wait.
    pub fn queue(&self, running: usize, waiting: usize) {
        self.running.set(figure(running));
        self.waiting.set(figure(waiting));
    }

    /// Counts a request of a load.
    pub fn request(&self, canary: &Canary, code: &str, took: Duration) {
        let (namespace, name) = (canary.namespace.as_str(), canary.name.as_str());
        self.requests.with_label_values(&[namespace, name, code]).inc();
        self.durations.with_label_values(&[namespace, name]).observe(took.as_secs_f64());
    }

    /// A load begins: the canaries that were not loaded for longest lose their series if there are too many.
    pub fn load_begins(&self, canary: &Canary) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| other != canary);
        known.push_back(canary.clone());
        while known.len() > MOST {
            let Some(oldest) = known.pop_front() else { return };
            self.forget(&oldest);
        }
    }

    /// The percentiles of a load that has ended.
    pub fn load_ended(&self, canary: &Canary, report: &Report) {
        let (namespace, name) = (canary.namespace.as_str(), canary.name.as_str());
        for (percent, quantile) in QUANTILES {
            if let Some(found) = report.quantile(percent) {
                self.latencies.with_label_values(&[namespace, name, quantile]).set(found.as_secs_f64());
            }
        }
        if let Some(rate) = report.success_rate() {
            self.success.with_label_values(&[namespace, name]).set(rate);
        }
    }

    fn forget(&self, canary: &Canary) {
        let (namespace, name) = (canary.namespace.as_str(), canary.name.as_str());
        // They may have been there or not.
        let _ = self.durations.remove_label_values(&[namespace, name]);
        let _ = self.success.remove_label_values(&[namespace, name]);
        for (_, quantile) in QUANTILES {
            let _ = self.latencies.remove_label_values(&[namespace, name, quantile]);
        }
        let words = ["connect", "error", "timeout", "NOT_SERVING"].into_iter().chain(STATUSES);
        for code in (100..600).map(|code| code.to_string()).chain(words.map(str::to_owned)) {
            let _ = self.requests.remove_label_values(&[namespace, name, &code]);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn figure(count: usize) -> f64 {
    count as f64
}

const QUANTILES: [(f64, &str); 4] = [(50.0, "0.5"), (90.0, "0.9"), (95.0, "0.95"), (99.0, "0.99")];
/// Canaries with series of their own.
const MOST: usize = 500;
