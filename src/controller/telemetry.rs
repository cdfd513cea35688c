//! Our own Prometheus metrics. The `flagger_*` series have the names, labels and types of the reference (spec 01 §6),
//! so that existing dashboards and alert rules go on working; `vexil_*` are additions.
//!
//! The label `name` is the target's name, not the Canary's, as users know it. Unlike in the reference the series of
//! a Canary end with it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{
    AtomicF64, AtomicU64, GenericCounter, GenericCounterVec, GenericGauge, GenericGaugeVec,
};
use prometheus::{HistogramOpts, HistogramVec, Opts, Registry, TextEncoder};
use tokio::time::Instant;

use super::fence::{Claim, Fence};
use super::process::Process;
use crate::api::Phase;

/// Content type of [`Telemetry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All our series.
pub struct Telemetry {
    registry: Registry,
    fence: Fence,
    canary_total: Gauges,
    status: Gauges,
    weight: Gauges,
    duration: HistogramVec,
    analysis: Gauges,
    successes: Counters,
    failures: Counters,
    /// The series of each target whose labels cannot be derived from its name.
    known: Mutex<BTreeMap<(String, String), Known>>,
    reconciles: Counters,
    reconcile_duration: HistogramVec,
    queue_waiting: Gauge,
    queue_in_flight: Gauge,
    api_requests: Counters,
    api_duration: HistogramVec,
    events: Counters,
    watches: Gauges,
    leader: Gauge,
    shadow: Counters,
    process: ProcessSeries,
}

type Gauge = GenericGauge<AtomicF64>;
type Gauges = GenericGaugeVec<AtomicF64>;
type Counter = GenericCounter<AtomicF64>;
type Counters = GenericCounterVec<AtomicU64>;

#[derive(Default)]
struct Known {
    metrics: BTreeSet<String>,
    ends: BTreeSet<(Strategy, Analysis)>,
}

/// The label `deployment_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// `canary`: the canary's weight rises step by step.
    Canary,
    /// `blue-green`: all traffic moves at once.
    BlueGreen,
    /// `ab-testing`: requests that match go to the canary.
    AbTesting,
}

impl Strategy {
    fn label(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::AbTesting => "ab-testing",
        }
    }
}

/// The label `analysis_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Analysis {
    /// The checks were made to their end.
    Completed,
    /// The checks were skipped or cut short.
    Skipped,
}

impl Analysis {
    fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug)]
pub enum EventFate {
    /// It is an object in the cluster.
    Written,
    /// It says the same as one before, which counts it.
    Repeated,
    /// There were too many at once, and it is not written.
    Dropped,
    /// The API did not take it.
    Failed,
}

/// What one series is, for those who list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// `gauge`, `counter` or `histogram`.
    pub kind: &'static str,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it measures, and in which unit.
    pub help: &'static str,
}

impl Telemetry {
    /// `version` without a leading `v`; `mesh_provider` as the flag says it.
    pub fn new(version: &str, mesh_provider: &str, fence: Fence) -> Self {
        Self::made(version, mesh_provider, fence).0
    }

    /// All series, in the order in which they are made, also those that have no value yet.
    pub fn catalogue() -> Vec<Series> {
        Self::made("", "", Fence::new(Claim::None)).1
    }

    fn made(version: &str, mesh_provider: &str, fence: Fence) -> (Self, Vec<Series>) {
        let registry = Registry::new();
        let make = Make { registry: &registry, made: RefCell::default() };
        let info = make.gauges(
            "flagger_info",
            "Version of the controller and its default mesh provider",
            &["version", "mesh_provider"],
        );
        info.with_label_values(&[version, mesh_provider]).set(1.0);
        let target = &["name", "namespace"];
        let end = &["name", "namespace", "deployment_strategy", "analysis_status"];
        let telemetry = Self {
            canary_total: make.gauges("flagger_canary_total", "Canaries in a namespace", &["namespace"]),
            status: make.gauges(
                "flagger_canary_status",
                "Last known state: 0 in progress, 1 at rest or waiting, 2 failed",
                target,
            ),
            weight: make.gauges(
                "flagger_canary_weight",
                "Share of the traffic that a workload is given",
                &["workload", "namespace"],
            ),
            duration: make.histograms(
                "flagger_canary_duration_seconds",
                "Seconds spent on one step of an analysis",
                target,
            ),
            analysis: make.gauges(
                "flagger_canary_metric_analysis",
                "Last value of a metric that the analysis looked at",
                &["name", "namespace", "metric"],
            ),
            successes: make.counters("flagger_canary_successes_total", "Releases that were promoted", end),
            failures: make.counters("flagger_canary_failures_total", "Releases that failed", end),
            known: Mutex::default(),
            reconciles: make.counters(
                "vexil_reconciles_total",
                "Looks at a Canary, by how they ended",
                &["outcome"],
            ),
            reconcile_duration: make.histograms(
                "vexil_reconcile_duration_seconds",
                "Length of a look at a Canary",
                &[],
            ),
            queue_waiting: make.gauge("vexil_queue_waiting", "Canaries that wait for their time"),
            queue_in_flight: make.gauge("vexil_queue_in_flight", "Canaries that are being looked at"),
            api_requests: make.counters(
                "vexil_api_requests_total",
                "Requests to the Kubernetes API, each try counted",
                &["verb", "resource", "code"],
            ),
            api_duration: make.histograms(
                "vexil_api_request_duration_seconds",
                "Time until the Kubernetes API answered",
                &["verb"],
            ),
            events: make.counters(
                "vexil_events_total",
                "Kubernetes events, by what became of them",
                &["fate"],
            ),
            watches: make.gauges(
                "vexil_watch_up",
                "1 while what is known of a kind is up to date, 0 while the API does not show the kind",
                &["resource"],
            ),
            leader: make.gauge("vexil_leader", "1 while this instance may write"),
            shadow: make.counters(
                "vexil_shadow_steps_total",
                "Steps that another controller made and a shadow (-shadow) watched: same, different, or not compared",
                &["name", "namespace", "verdict"],
            ),
            process: ProcessSeries::new(&make),
            fence,
            registry: registry.clone(),
        };
        (telemetry, make.made.into_inner())
    }

    /// The number of Canaries of a namespace. The series of one that has none left ends.
    pub fn canary_total(&self, namespace: &str, total: usize) {
        if total == 0 {
            // It may have had none before.
            let _ = self.canary_total.remove_label_values(&[namespace]);
        } else {
            self.canary_total.with_label_values(&[namespace]).set(count(total));
        }
    }

    /// The series of one target.
    pub fn target<'a>(&'a self, namespace: &'a str, name: &'a str) -> Target<'a> {
        Target { telemetry: self, namespace, name }
    }

    /// A look at a Canary ended with `outcome`.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.with_label_values(&[outcome]).inc();
        self.reconcile_duration.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// The queue as it is now.
    pub fn queue(&self, waiting: usize, in_flight: usize) {
        self.queue_waiting.set(count(waiting));
        self.queue_in_flight.set(count(in_flight));
    }

    /// A request to the API was answered, with a status or the reason why there is none.
    pub fn api_request(&self, verb: &str, resource: &str, code: &str, took: Duration) {
        self.api_requests.with_label_values(&[verb, resource, code]).inc();
        self.api_duration.with_label_values(&[verb]).observe(took.as_secs_f64());
    }

    /// Whether what is known of a kind is up to date; `None` for a kind that the cluster does not have.
    pub fn watch(&self, resource: &str, up: Option<bool>) {
        match up {
            Some(up) => self.watches.with_label_values(&[resource]).set(if up { 1.0 } else { 0.0 }),
            // It may have had none before.
            None => drop(self.watches.remove_label_values(&[resource])),
        }
    }

    /// Counts an event of a Canary by what became of it.
    pub fn event(&self, fate: EventFate) {
        let label = match fate {
            EventFate::Written => "written",
            EventFate::Repeated => "repeated",
            EventFate::Dropped => "dropped",
            EventFate::Failed => "failed",
        };
        self.events.with_label_values(&[label]).inc();
    }

    /// A shadow has seen another controller make a step of a Canary, and has judged it so.
    pub fn shadowed(&self, namespace: &str, name: &str, verdict: &str) {
        self.shadow.with_label_values(&[name, namespace, verdict]).inc();
    }

    /// The series of a shadow for a Canary that is gone end.
    pub fn unshadowed(&self, namespace: &str, name: &str, verdicts: &[&str]) {
        for verdict in verdicts {
            // It may never have been made.
            let _ = self.shadow.remove_label_values(&[name, namespace, verdict]);
        }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let writes = self.fence.claim().is_valid(Instant::now()) && !self.fence.is_shadow();
        self.leader.set(if writes { 1.0 } else { 0.0 });
        self.process.update(&Process::look());
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// The series of one target.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    telemetry: &'a Telemetry,
    namespace: &'a str,
    name: &'a str,
}

impl Target<'_> {
    /// Shows the phase: 0 while a release is under way, 2 if the last one failed, 1 otherwise.
    pub fn phase(&self, phase: Phase) {
        let state = match phase {
            Phase::Progressing => 0.0,
            Phase::Failed => 2.0,
            _ => 1.0,
        };
        self.telemetry.status.with_label_values(&[self.name, self.namespace]).set(state);
    }

    /// Shows the shares of the traffic, in percent.
    pub fn weights(&self, primary: f64, canary: f64) {
        let weight = &self.telemetry.weight;
        weight.with_label_values(&[&self.primary(), self.namespace]).set(primary);
        weight.with_label_values(&[self.name, self.namespace]).set(canary);
    }

    /// One step of the analysis took so long.
    pub fn step(&self, took: Duration) {
        self.telemetry.duration.with_label_values(&[self.name, self.namespace]).observe(took.as_secs_f64());
    }

    /// A metric had this value: a success rate in per cent, a duration in seconds, others as they are.
    pub fn measured(&self, metric: &str, value: f64) {
        self.telemetry.analysis.with_label_values(&[self.name, self.namespace, metric]).set(value);
        self.know(|known| known.metrics.insert(metric.to_owned()));
    }

    /// Counts a release that ended with a promotion.
    pub fn succeeded(&self, strategy: Strategy, analysis: Analysis) {
        let labels = [self.name, self.namespace, strategy.label(), analysis.label()];
        self.telemetry.successes.with_label_values(&labels).inc();
        self.know(|known| known.ends.insert((strategy, analysis)));
    }

    /// Counts a release that failed.
    pub fn failed(&self, strategy: Strategy) {
        let labels = [self.name, self.namespace, strategy.label(), Analysis::Completed.label()];
        self.telemetry.failures.with_label_values(&labels).inc();
        self.know(|known| known.ends.insert((strategy, Analysis::Completed)));
    }

    /// The Canary is gone: its series end. A series that was never written is no error.
    pub fn forget(&self) {
        let telemetry = self.telemetry;
        let target = [self.name, self.namespace];
        let _ = telemetry.status.remove_label_values(&target);
        let _ = telemetry.duration.remove_label_values(&target);
        let _ = telemetry.weight.remove_label_values(&target);
        let _ = telemetry.weight.remove_label_values(&[&self.primary(), self.namespace]);
        let key = (self.namespace.to_owned(), self.name.to_owned());
        let known =
            telemetry.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&key).unwrap_or_default();
        for metric in &known.metrics {
            let _ = telemetry.analysis.remove_label_values(&[self.name, self.namespace, metric]);
        }
        for (strategy, analysis) in &known.ends {
            let labels = [self.name, self.namespace, strategy.label(), analysis.label()];
            let _ = telemetry.successes.remove_label_values(&labels);
            let _ = telemetry.failures.remove_label_values(&labels);
        }
    }

    fn primary(&self) -> String {
        format!("{}-primary", self.name)
    }

    fn know(&self, learn: impl FnOnce(&mut Known) -> bool) {
        let mut known = self.telemetry.known.lock().unwrap_or_else(PoisonError::into_inner);
        learn(known.entry((self.namespace.to_owned(), self.name.to_owned())).or_default());
    }
}

struct ProcessSeries {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start: Gauge,
}

impl ProcessSeries {
    fn new(make: &Make) -> Self {
        Self {
            cpu: make.counter("process_cpu_seconds_total", "User and system CPU time spent, in seconds"),
            resident: make.gauge("process_resident_memory_bytes", "Resident memory, in bytes"),
            virtual_memory: make.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes"),
            open_fds: make.gauge("process_open_fds", "Open file descriptors"),
            max_fds: make.gauge("process_max_fds", "Most file descriptors that may be open"),
            start: make
                .gauge("process_start_time_seconds", "Start of the process, in seconds since the epoch"),
        }
    }

    fn update(&self, process: &Process) {
        self.cpu.inc_by((process.cpu_seconds - self.cpu.get()).max(0.0));
        self.resident.set(process.resident_bytes);
        self.virtual_memory.set(process.virtual_bytes);
        self.open_fds.set(process.open_fds);
        self.max_fds.set(process.max_fds);
        self.start.set(process.start_seconds);
    }
}

/// Makes and registers series. The names are ours and constant, so neither step can fail.
struct Make<'a> {
    registry: &'a Registry,
    made: RefCell<Vec<Series>>,
}

impl Make<'_> {
    fn gauges(&self, name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Gauges {
        self.note(Series { name, kind: "gauge", labels, help });
        self.register(Gauges::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.note(Series { name, kind: "gauge", labels: &[], help });
        self.register(Gauge::with_opts(Opts::new(name, help)))
    }

    fn counters(&self, name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Counters {
        self.note(Series { name, kind: "counter", labels, help });
        self.register(Counters::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.note(Series { name, kind: "counter", labels: &[], help });
        self.register(Counter::with_opts(Opts::new(name, help)))
    }

    /// With the default buckets, which are those of the reference: 5 ms to 10 s.
    fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> HistogramVec {
        self.note(Series { name, kind: "histogram", labels, help });
        self.register(HistogramVec::new(HistogramOpts::new(name, help), labels))
    }

    fn note(&self, series: Series) {
        self.made.borrow_mut().push(series);
    }

    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("a constant name, help and labels that are valid");
        self.registry.register(Box::new(collector.clone())).expect("a name that is used once");
        collector
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 of them")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn telemetry() -> Telemetry {
        Telemetry::new("0.1.0", "istio", Fence::new(Claim::Always))
    }

    /// The lines of the exposition that begin with `prefix`.
    fn lines(telemetry: &Telemetry, prefix: &str) -> Vec<String> {
        telemetry.render().lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn names_labels_and_types_are_those_of_the_reference() {
        // spec: 01/API-100 01/API-103 04/MO-01
        let telemetry = telemetry();
        telemetry.canary_total("shop", 2);
        let target = telemetry.target("shop", "frontend");
        target.phase(Phase::Progressing);
        target.weights(95.0, 5.0);
        target.step(Duration::from_millis(20));
        target.measured("request-success-rate", 99.5);
        target.succeeded(Strategy::BlueGreen, Analysis::Skipped);
        target.failed(Strategy::Canary);
        let flagger: Vec<String> = lines(&telemetry, "flagger_")
            .into_iter()
            .filter(|line| !line.contains("_bucket") || line.contains("le=\"0.025\""))
            .collect();
        assert_eq!(
            vec![
                r#"flagger_canary_duration_seconds_bucket{name="frontend",namespace="shop",le="0.025"} 1"#,
                r#"flagger_canary_duration_seconds_sum{name="frontend",namespace="shop"} 0.02"#,
                r#"flagger_canary_duration_seconds_count{name="frontend",namespace="shop"} 1"#,
                r#"flagger_canary_failures_total{analysis_status="completed",deployment_strategy="canary",name="frontend",namespace="shop"} 1"#,
                r#"flagger_canary_metric_analysis{metric="request-success-rate",name="frontend",namespace="shop"} 99.5"#,
                r#"flagger_canary_status{name="frontend",namespace="shop"} 0"#,
                r#"flagger_canary_successes_total{analysis_status="skipped",deployment_strategy="blue-green",name="frontend",namespace="shop"} 1"#,
                r#"flagger_canary_total{namespace="shop"} 2"#,
                r#"flagger_canary_weight{namespace="shop",workload="frontend"} 5"#,
                r#"flagger_canary_weight{namespace="shop",workload="frontend-primary"} 95"#,
                r#"flagger_info{mesh_provider="istio",version="0.1.0"} 1"#,
            ],
            flagger
        );
        let types: Vec<String> = lines(&telemetry, "# TYPE flagger_");
        assert_eq!(
            vec![
                "# TYPE flagger_canary_duration_seconds histogram",
                "# TYPE flagger_canary_failures_total counter",
                "# TYPE flagger_canary_metric_analysis gauge",
                "# TYPE flagger_canary_status gauge",
                "# TYPE flagger_canary_successes_total counter",
                "# TYPE flagger_canary_total gauge",
                "# TYPE flagger_canary_weight gauge",
                "# TYPE flagger_info gauge",
            ],
            types
        );
        let buckets: Vec<String> = lines(&telemetry, "flagger_canary_duration_seconds_bucket")
            .iter()
            .filter_map(|line| line.split("le=\"").nth(1)?.split('"').next().map(str::to_owned))
            .collect();
        let reference =
            ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
        assert_eq!(reference.as_slice(), buckets);
    }

    #[rstest]
    #[case(Phase::Progressing, 0)]
    #[case(Phase::Failed, 2)]
    #[case(Phase::Initializing, 1)]
    #[case(Phase::Waiting, 1)]
    #[case(Phase::WaitingPromotion, 1)]
    #[case(Phase::Promoting, 1)]
    #[case(Phase::Finalising, 1)]
    #[case(Phase::Succeeded, 1)]
    #[tokio::test]
    async fn the_status_is_0_in_progress_2_failed_1_otherwise(#[case] phase: Phase, #[case] value: u32) {
        // spec: 01/API-101 04/MO-02
        let telemetry = telemetry();
        telemetry.target("shop", "frontend").phase(phase);
        let expected = format!(r#"flagger_canary_status{{name="frontend",namespace="shop"}} {value}"#);
        assert_eq!(vec![expected], lines(&telemetry, "flagger_canary_status"));
    }

    #[tokio::test]
    async fn the_series_of_a_deleted_canary_end_and_others_stay() {
        // spec: 01/API-104 04/MO-03
        let telemetry = telemetry();
        for name in ["frontend", "other"] {
            let target = telemetry.target("shop", name);
            target.phase(Phase::Succeeded);
            target.weights(100.0, 0.0);
            target.step(Duration::from_secs(1));
            target.measured("latency", 1.0);
            target.measured("errors", 1.0);
            target.succeeded(Strategy::AbTesting, Analysis::Completed);
            target.failed(Strategy::Canary);
        }
        telemetry.canary_total("shop", 2);
        telemetry.target("shop", "frontend").forget();
        telemetry.canary_total("shop", 0);
        telemetry.canary_total("else", 1);
        let left = lines(&telemetry, "flagger_canary");
        assert!(
            !left.iter().any(|line| line.contains("frontend") || line.contains("total{namespace=\"shop\"")),
            "{left:#?}"
        );
        assert_eq!(7 + 14, left.iter().filter(|line| line.contains("other")).count(), "{left:#?}");
        assert!(left.contains(&r#"flagger_canary_total{namespace="else"} 1"#.to_owned()));
    }

    #[tokio::test]
    async fn the_process_and_the_leadership_show() {
        // spec: 01/API-096
        let fence = Fence::new(Claim::None);
        let telemetry = Telemetry::new("0.1.0", "istio", fence.clone());
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            assert_eq!(1, lines(&telemetry, &format!("{name} ")).len(), "{name}");
        }
        assert_eq!(vec!["vexil_leader 0"], lines(&telemetry, "vexil_leader"));
        fence.publish(Claim::Always);
        assert_eq!(vec!["vexil_leader 1"], lines(&telemetry, "vexil_leader"));
    }
}
