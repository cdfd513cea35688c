//! A release as its users see it, written down while it goes: each line is the interval that it falls into, the phase,
//! weight, iterations and failed checks in the status, and the rules of the routes with the shares of primary and
//! canary (a rule with one number has the primary alone); below it what the events say. A test holds the whole of it
//! against a table.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kubesim::Change;
use serde_json::Value;
use vexil::controller::clock::Clock;
use vexil::sim::{Running, Version, World};

/// The shop's frontend behind Istio, with another analysis.
const FRONTEND: &str = include_str!("../data/shop/frontend-quarters.yaml");
/// Two failed checks end a release.
const PACE: &str = "    interval: 30s\n    threshold: 2\n";
/// What is checked, unless a test says otherwise.
const METRICS: &str =
    "    metrics: [{name: request-success-rate, interval: 1m, thresholdRange: {min: 99}}]\n";
const INTERVAL: f64 = 30.0;
const HOUR: Duration = Duration::from_secs(3600);

/// A version that does what it should.
pub const GOOD: &str = "2.0.0";
/// A version whose requests fail.
pub const BAD: &str = "3.0.0-broken";

/// The frontend, initialised, and its story from then on.
pub struct Story {
    pub world: World,
    controller: Running,
    script: Arc<Mutex<Script>>,
}

impl Story {
    /// The frontend with these lines in its analysis, beside pace and metrics.
    pub async fn of(analysis: &str) -> Self {
        Self::with(analysis, "").await
    }

    /// The same, with these lines in its spec.
    pub async fn with(analysis: &str, spec: &str) -> Self {
        let (frontend, _) = FRONTEND.split_once("  analysis:\n").expect("a Canary with an analysis");
        let metrics = if analysis.contains("metrics:") { "" } else { METRICS };
        let manifest = format!("{frontend}{spec}  analysis:\n{PACE}{metrics}{analysis}");
        let world = World::builder().build();
        world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
        let script = Arc::new(Mutex::new(Script::new(world.clock())));
        let scribe = Arc::clone(&script);
        world.kube.observe(move |change| open(&scribe).note(change));
        let controller = world.start_controller();
        world.apply(&manifest).expect("a manifest that the cluster takes");
        let story = Self { world, controller, script };
        story.reaches("Initialized").await;
        story
    }

    /// The whole of a release that succeeds and of one that fails.
    pub async fn good_and_bad(&self) {
        self.release(GOOD).await;
        self.ends("Succeeded").await;
        self.release(BAD).await;
        self.ends("Failed").await;
    }

    /// Pushes a version; the story begins here.
    pub async fn release(&self, version: &str) {
        // Whatever the last release still had to do.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let mut script = open(&self.script);
        script.began = script.clock.now();
        script.lines.push(format!("-- version {version}"));
        drop(script);
        self.world.set_image("shop", "frontend", &format!("registry.example.com/shop/frontend:{version}"));
    }

    /// Waits until the Canary is in a phase.
    pub async fn reaches(&self, phase: &str) {
        let met = self.world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
        assert!(met, "{phase} never came:\n{}", open(&self.script).text());
    }

    /// Waits until so many intervals have passed since the version was pushed, and a bit.
    pub async fn interval(&self, number: u32) {
        let until = open(&self.script).began + Duration::from_secs_f64(INTERVAL) * number;
        self.world.clock().sleep_until(until + Duration::from_secs(10)).await;
    }

    /// Opens or closes a hook.
    pub fn close(&self, hook: &str, closed: bool) {
        let what = if closed { "closes" } else { "opens" };
        open(&self.script).lines.push(format!("-- {hook} {what}"));
        self.world.backend.close(hook, closed);
    }

    /// Waits for the end of the release, and notes what it leaves.
    pub async fn ends(&self, phase: &str) {
        self.reaches(phase).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let deployment = |name: &str| {
            let object = self.world.kube.get("deployments.apps", "shop", name).expect("a Deployment");
            let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
            let version =
                image.as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned();
            format!("{version} on {} pods", object["status"]["readyReplicas"].as_i64().unwrap_or_default())
        };
        let service = self.world.kube.get("services", "shop", "frontend").expect("the Service");
        let selected = service["spec"]["selector"]["app"].as_str().unwrap_or_default();
        let line = format!(
            "= primary {}, target {}, {selected} is served",
            deployment("frontend-primary"),
            deployment("frontend")
        );
        open(&self.script).lines.push(line);
    }

    /// Holds the story against a table.
    pub async fn shows(self, table: &str) {
        self.controller.stop().await;
        let words = |text: &str| -> Vec<String> {
            let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            text.lines().map(line).filter(|line| !line.is_empty()).collect()
        };
        let text = open(&self.script).text();
        assert!(words(&text) == words(table), "what happened:\n{text}\nwhat was expected:{table}");
    }
}

struct Script {
    clock: Clock,
    /// When the version was pushed.
    began: DateTime<Utc>,
    routes: String,
    state: String,
    /// Values of affinity cookies, in the order of their coming.
    cookies: Vec<String>,
    told: BTreeSet<String>,
    lines: Vec<String>,
}

impl Script {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            began: clock.now(),
            routes: "-".to_owned(),
            state: String::new(),
            cookies: Vec::new(),
            told: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    fn note(&mut self, change: &Change) {
        let object = change.object.value();
        match object["kind"].as_str() {
            Some("VirtualService") => self.routes = routes(object),
            Some("Canary") => self.canary(&object["status"]),
            Some("Event") if object["involvedObject"]["kind"] == "Canary" => self.event(object),
            _ => {}
        }
    }

    /// The status comes after the routes of the same step.
    fn canary(&mut self, status: &Value) {
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        let mut state = format!(
            "{:<16} {:>3} {} {}  {}",
            status["phase"].as_str().unwrap_or_default(),
            number("canaryWeight"),
            number("iterations"),
            number("failedChecks"),
            self.routes,
        );
        for (field, name) in [
            ("sessionAffinityCookie", "now"),
            ("previousSessionAffinityCookie", "before"),
            ("primarySessionAffinityCookie", "primary"),
        ] {
            if let Some(cookie) = status[field].as_str() {
                let value = cookie.split('=').next_back().unwrap_or_default();
                if !self.cookies.iter().any(|known| known == value) {
                    self.cookies.push(value.to_owned());
                }
                state += &format!(" ({name}: {cookie})");
            }
        }
        if state != self.state {
            let interval = (self.clock.now() - self.began).as_seconds_f64() / INTERVAL;
            self.lines.push(format!("{:>2} {state}", interval.floor()));
            self.state = state;
        }
    }

    fn event(&mut self, event: &Value) {
        let text = event["message"].as_str().unwrap_or_default();
        // The same text is counted in one object.
        let first = self.told.insert(format!("{} {}", event["metadata"]["name"], event["count"]));
        // How many pods are missing when is the cluster's story.
        let missing = ["canary deployment ", "frontend-primary.shop not ready"];
        if first && !missing.iter().any(|start| text.starts_with(start)) {
            let mark = if event["type"] == "Warning" { "! " } else { "" };
            self.lines.push(format!("    {mark}{text}"));
        }
    }

    /// From the first version on. Cookies are random: they are numbered.
    fn text(&self) -> String {
        let pushed = self.lines.iter().position(|line| line.starts_with("--")).unwrap_or_default();
        let text = self.lines[pushed..].join("\n");
        let numbered = self.cookies.iter().enumerate();
        numbered.fold(text, |text, (index, value)| text.replace(value, &format!("#{}", index + 1)))
    }
}

/// The rules of a VirtualService, with the shares of primary and canary.
fn routes(service: &Value) -> String {
    let rules = service["spec"]["http"].as_array().cloned().unwrap_or_default();
    rules.iter().map(rule).collect::<Vec<_>>().join(", ")
}

fn rule(rule: &Value) -> String {
    let mut text = String::new();
    let matches: Vec<String> = rule["match"].as_array().into_iter().flatten().map(condition).collect();
    if !matches.is_empty() {
        text += &format!("{}: ", matches.join(" or "));
    }
    let routes = rule["route"].as_array().cloned().unwrap_or_default();
    let shares: Vec<String> = routes.iter().map(|route| route["weight"].to_string()).collect();
    text += &shares.join("/");
    if let Some(host) = rule["mirror"]["host"].as_str() {
        let share = rule["mirrorPercentage"]["value"].as_f64().unwrap_or(100.0);
        text += &format!(" and {share}% copied to {host}");
    }
    for part in routes.iter().chain([rule]) {
        if let Some(cookie) = part["headers"]["response"]["add"]["Set-Cookie"].as_str() {
            text += &format!(" [{cookie}]");
        }
    }
    text
}

fn condition(entry: &Value) -> String {
    let headers = entry["headers"].as_object().cloned().unwrap_or_default();
    let conditions = headers.iter().map(|(name, wanted)| {
        let value = wanted.as_object().and_then(|wanted| wanted.values().next()).and_then(Value::as_str);
        format!("{name}={}", value.unwrap_or_default())
    });
    conditions.collect::<Vec<_>>().join(" and ")
}

fn open(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
