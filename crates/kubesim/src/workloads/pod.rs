//! The life of a pod: it is placed on a node, starts, becomes ready, crashes and stops, as the rules say and on tokio's
//! clock.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::fields::{condition, int, list, metadata, text};
use super::jobs::{Context, Job};
use super::{PodBehaviour, PodFacts, PodRules};
use crate::store::{Key, Object, ObjectId, string_map};

/// What the node knows of a pod that it runs.
#[derive(Clone, Debug)]
struct PodRun {
    ip: String,
    started: String,
    containers: Vec<ContainerRun>,
    stopping: Option<Instant>,
}

#[derive(Clone, Debug)]
struct ContainerRun {
    state: State,
    /// When the state changes by itself.
    until: Option<Instant>,
    restarts: u32,
    /// When the running one started.
    since: Option<Instant>,
    since_stamp: String,
    last: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Creating,
    PullFailed,
    PullBackOff,
    Running,
    CrashBackOff,
}

const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// The scheduler, and the kubelet of every node.
pub struct Pods {
    rules: PodRules,
    /// What the nodes know of their pods, by the pod's uid.
    runs: BTreeMap<String, PodRun>,
    /// What the addresses of pods begin with.
    network: [u8; 2],
    /// How many addresses were given out.
    addresses: u32,
    /// How many pods each node was given.
    node_load: BTreeMap<String, u32>,
    /// Pods that were made ready or not ready from outside.
    readiness: BTreeMap<Key, bool>,
}

impl Pods {
    /// A scheduler that has placed nothing yet; containers behave by `rules`, and pods get addresses of
    /// `network`.
    pub fn new(rules: PodRules, network: Ipv4Addr) -> Self {
        let [first, second, ..] = network.octets();
        Self {
            rules,
            runs: BTreeMap::new(),
            network: [first, second],
            addresses: 0,
            node_load: BTreeMap::new(),
            readiness: BTreeMap::new(),
        }
    }

    /// Brings a pod one step further: placed, started, ready, stopped.
    pub fn sync(&mut self, cx: &mut Context<'_>, key: &Key) {
        let id = ObjectId { bucket: cx.slots.pods, key: key.clone() };
        let Some(pod) = cx.api.object(&id).cloned() else { return };
        if matches!(text(&pod.value()["status"]["phase"]), "Succeeded" | "Failed") {
            return;
        }
        if pod.is_terminating() {
            return self.stop(cx, &id, &pod);
        }
        if !pod.value()["spec"]["nodeName"].is_string() {
            return self.schedule(cx, &id, &pod);
        }
        let behaviours = self.behaviours(&pod);
        if !self.runs.contains_key(pod.uid()) {
            let run = self.start(cx, &pod);
            self.runs.insert(pod.uid().to_owned(), run);
        }
        let now = Instant::now();
        let (now_stamp, forced) = (cx.api.stamp(), self.readiness.get(key).copied());
        let Some(run) = self.runs.get_mut(pod.uid()) else { return };
        for (container, behaviour) in run.containers.iter_mut().zip(&behaviours) {
            container.advance(behaviour, now, &now_stamp);
        }
        let run = run.clone();
        let wakes = run
            .containers
            .iter()
            .zip(&behaviours)
            .filter_map(|(container, behaviour)| container.next_change(behaviour, now));
        if let Some(at) = wakes.min() {
            cx.jobs.add_at(at, Job::Pod(key.clone()));
        }
        let status = run.status(pod.value(), &behaviours, forced, now, &now_stamp);
        cx.api.update_status(&id, status);
    }

    /// Puts a pod on a node: the one with the fewest pods.
    fn schedule(&mut self, cx: &mut Context<'_>, id: &ObjectId, pod: &Object) {
        let slots = cx.slots;
        let selector = string_map(&pod.value()["spec"]["nodeSelector"]);
        let fits = |node: &Object| {
            let cordoned = node.value()["spec"]["unschedulable"] == true;
            !cordoned && selector.iter().all(|(k, v)| node.labels().get(k) == Some(v))
        };
        let nodes = cx.api.list(slots.nodes).filter(|(_, node)| fits(node));
        let load = |name: &str| self.node_load.get(name).copied().unwrap_or(0);
        let chosen = nodes.map(|(key, _)| key.name.clone()).min_by_key(|name| (load(name), name.clone()));
        let told = condition(&pod.value()["status"], "PodScheduled").is_some();
        if chosen.is_none() && told {
            return;
        }
        let mut value = pod.value().clone();
        let now = cx.api.stamp();
        match chosen {
            Some(node) => {
                *self.node_load.entry(node.to_string()).or_insert(0) += 1;
                value["spec"]["nodeName"] = json!(&*node);
                value["status"]["conditions"] =
                    json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": now}]);
            }
            None => {
                let total = cx.api.list(slots.nodes).count();
                value["status"]["conditions"] = json!([{
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now,
                    "message": format!("0/{total} nodes are available: {total} node(s) didn't match Pod's node affinity/selector."),
                }]);
            }
        }
        value["status"]["phase"] = json!("Pending");
        value["status"]["qosClass"] = json!("BestEffort");
        cx.api.update(id, value);
    }

    fn start(&mut self, cx: &Context<'_>, pod: &Object) -> PodRun {
        let n = self.addresses + 1;
        self.addresses = n;
        let container = ContainerRun {
            state: State::Creating,
            until: None,
            restarts: 0,
            since: None,
            since_stamp: String::new(),
            last: None,
        };
        PodRun {
            ip: format!("{}.{}.{}.{}", self.network[0], self.network[1], (n / 250) % 256, n % 250 + 1),
            started: cx.api.stamp(),
            containers: vec![container; list(&pod.value()["spec"]["containers"]).len()],
            stopping: None,
        }
    }

    fn behaviours(&self, pod: &Object) -> Vec<PodBehaviour> {
        let value = pod.value();
        let facts = |container: &Value| PodFacts {
            namespace: metadata(value, "namespace").to_owned(),
            pod: metadata(value, "name").to_owned(),
            labels: pod.labels().clone(),
            container: text(&container["name"]).to_owned(),
            image: text(&container["image"]).to_owned(),
            node: text(&value["spec"]["nodeName"]).to_owned(),
        };
        list(&value["spec"]["containers"]).iter().map(|c| self.rules.behaviour(&facts(c))).collect()
    }

    /// Lets a deleted pod go once its containers have stopped.
    fn stop(&mut self, cx: &mut Context<'_>, id: &ObjectId, pod: &Object) {
        let now = Instant::now();
        let grace = Duration::from_secs(
            u64::try_from(int(&pod.value()["metadata"]["deletionGracePeriodSeconds"])).unwrap_or(0),
        );
        let stop = self.behaviours(pod).iter().map(|b| b.stop).max().unwrap_or_default().min(grace);
        let due = match self.runs.get_mut(pod.uid()) {
            Some(run) => *run.stopping.get_or_insert(now + stop),
            None => now,
        };
        if due > now {
            cx.jobs.add_at(due, Job::Pod(id.key.clone()));
            return;
        }
        let mut value = pod.value().clone();
        value["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        cx.api.update(id, value);
    }

    /// Makes pods behave by these rules from now on, also those that run.
    pub fn set_rules(&mut self, cx: &mut Context<'_>, rules: PodRules) {
        self.rules = rules;
        for (key, _) in cx.api.list(cx.slots.pods) {
            cx.jobs.add(Job::Pod(key.clone()));
        }
    }

    /// Makes a pod ready or not ready, whatever its rule says; `None` leaves it to the rule again.
    pub fn force_readiness(&mut self, cx: &mut Context<'_>, key: Key, ready: Option<bool>) {
        match ready {
            Some(ready) => drop(self.readiness.insert(key.clone(), ready)),
            None => drop(self.readiness.remove(&key)),
        }
        cx.jobs.add(Job::Pod(key));
    }

    /// Forgets a pod that is gone.
    pub fn forget(&mut self, key: &Key, pod: &Object) {
        self.runs.remove(pod.uid());
        self.readiness.remove(key);
        if let Some(load) = self.node_load.get_mut(text(&pod.value()["spec"]["nodeName"])) {
            *load = load.saturating_sub(1);
        }
    }
}

impl ContainerRun {
    fn advance(&mut self, behaviour: &PodBehaviour, now: Instant, now_stamp: &str) {
        let due = self.until.is_none_or(|at| at <= now);
        match self.state {
            State::Creating if self.until.is_none() => {
                self.enter(State::Creating, Some(now + pull_time(behaviour)))
            }
            State::Creating if due && behaviour.pulls => self.run(now, now_stamp),
            State::Creating if due => self.enter(State::PullFailed, Some(now + FIRST_BACK_OFF)),
            State::PullFailed | State::PullBackOff if behaviour.pulls => self.run(now, now_stamp),
            State::PullFailed if due => self.enter(State::PullBackOff, None),
            State::Running => {
                let crash = self.crash_at(behaviour).filter(|at| *at <= now);
                if crash.is_some() {
                    self.crash(now, now_stamp);
                }
            }
            State::CrashBackOff if due => {
                self.restarts += 1;
                self.run(now, now_stamp);
            }
            _ => {}
        }
    }

    fn enter(&mut self, state: State, until: Option<Instant>) {
        self.state = state;
        self.until = until;
    }

    fn run(&mut self, now: Instant, now_stamp: &str) {
        self.enter(State::Running, None);
        self.since = Some(now);
        self.since_stamp = now_stamp.to_owned();
    }

    fn crash(&mut self, now: Instant, now_stamp: &str) {
        self.last = Some(json!({"terminated": {
            "exitCode": 1, "reason": "Error", "startedAt": self.since_stamp, "finishedAt": now_stamp,
        }}));
        self.since = None;
        let pause = FIRST_BACK_OFF.saturating_mul(1 << self.restarts.min(6)).min(LONGEST_BACK_OFF);
        self.enter(State::CrashBackOff, Some(now + pause));
    }

    fn crash_at(&self, behaviour: &PodBehaviour) -> Option<Instant> {
        Some(self.since? + behaviour.crash_after?)
    }

    fn ready_at(&self, behaviour: &PodBehaviour) -> Option<Instant> {
        let since = self.since.filter(|_| behaviour.ready && behaviour.pulls)?;
        Some(since + behaviour.startup.saturating_sub(pull_time(behaviour)))
    }

    fn next_change(&self, behaviour: &PodBehaviour, now: Instant) -> Option<Instant> {
        let running = self.state == State::Running;
        let crash = self.crash_at(behaviour).filter(|_| running);
        let ready = self.ready_at(behaviour).filter(|_| running);
        [self.until, crash, ready].into_iter().flatten().filter(|at| *at > now).min()
    }

    fn status(&self, container: &Value, ready: bool) -> Value {
        let (image, name) = (text(&container["image"]), text(&container["name"]));
        let state = match self.state {
            State::Creating => json!({"waiting": {"reason": "ContainerCreating"}}),
            State::PullFailed => json!({"waiting": {
                "reason": "ErrImagePull",
                "message": format!("failed to pull and unpack image {image:?}: {image}: not found"),
            }}),
            State::PullBackOff => {
                json!({"waiting": {"reason": "ImagePullBackOff", "message": format!("Back-off pulling image {image:?}")}})
            }
            State::Running => json!({"running": {"startedAt": self.since_stamp}}),
            State::CrashBackOff => json!({"waiting": {
                "reason": "CrashLoopBackOff",
                "message": format!("back-off restarting failed container {name}"),
            }}),
        };
        let running = self.state == State::Running;
        let mut status = json!({
            "name": name,
            "image": image,
            "imageID": if running { format!("sim://{image}") } else { String::new() },
            "ready": ready,
            "started": running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": self.last.clone().unwrap_or_else(|| json!({})),
        });
        if running {
            status["containerID"] = json!(format!("sim://{name}-{}", self.restarts));
        }
        status
    }
}

/// Pulling takes half of the time that a container needs to become ready, at most a second.
fn pull_time(behaviour: &PodBehaviour) -> Duration {
    (behaviour.startup / 2).min(Duration::from_secs(1))
}

impl PodRun {
    fn status(
        &self,
        pod: &Value,
        behaviours: &[PodBehaviour],
        forced: Option<bool>,
        now: Instant,
        now_stamp: &str,
    ) -> Value {
        let containers = list(&pod["spec"]["containers"]);
        let ready: Vec<bool> = self
            .containers
            .iter()
            .zip(behaviours)
            .map(|(run, behaviour)| {
                let by_rule = run.ready_at(behaviour).is_some_and(|at| at <= now);
                run.state == State::Running && forced.unwrap_or(by_rule)
            })
            .collect();
        let running = self.containers.iter().any(|c| c.since.is_some() || c.restarts > 0 || c.last.is_some());
        let all = !ready.is_empty() && ready.iter().all(|ready| *ready);
        let unready: Vec<&str> =
            containers.iter().zip(&ready).filter(|(_, r)| !**r).map(|(c, _)| text(&c["name"])).collect();
        let why = format!("containers with unready status: [{}]", unready.join(" "));
        let mut conditions = Vec::new();
        for (kind, holds) in [
            ("PodReadyToStartContainers", true),
            ("Initialized", true),
            ("Ready", all),
            ("ContainersReady", all),
            ("PodScheduled", true),
        ] {
            let mut shown = json!({"type": kind, "status": if holds { "True" } else { "False" }});
            if !holds {
                shown["reason"] = json!("ContainersNotReady");
                shown["message"] = json!(why);
            }
            let before = condition(&pod["status"], kind).filter(|c| c["status"] == shown["status"]);
            shown["lastTransitionTime"] =
                before.map_or_else(|| json!(now_stamp), |c| c["lastTransitionTime"].clone());
            conditions.push(shown);
        }
        let statuses: Vec<Value> = self
            .containers
            .iter()
            .zip(containers)
            .zip(&ready)
            .map(|((run, container), ready)| run.status(container, *ready))
            .collect();
        let mut status = json!({
            "phase": if running { "Running" } else { "Pending" },
            "conditions": conditions,
            "hostIP": "192.168.0.10",
            "hostIPs": [{"ip": "192.168.0.10"}],
            "startTime": self.started,
            "containerStatuses": statuses,
            "qosClass": "BestEffort",
        });
        if running {
            status["podIP"] = json!(self.ip);
            status["podIPs"] = json!([{"ip": self.ip}]);
        }
        status
    }
}
