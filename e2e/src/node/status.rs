//! What a pod's status says, computed from its containers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::network;

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Waiting { reason: String, message: String },
    Running { pid: u32, since: Timestamp },
    Ended(Ended),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub since: Timestamp,
    pub until: Timestamp,
}

impl State {
    pub fn waiting(reason: &str) -> State {
        State::Waiting { reason: reason.to_owned(), message: String::new() }
    }

    fn to_value(&self) -> Value {
        match self {
            State::Waiting { reason, message } if message.is_empty() => {
                json!({"waiting": {"reason": reason}})
            }
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since, .. } => json!({"running": {"startedAt": text(*since)}}),
            State::Ended(ended) => ended.to_value(),
        }
    }
}

impl Ended {
    fn to_value(&self) -> Value {
        let reason = if self.code == 0 { "Completed" } else { "Error" };
        json!({"terminated": {
            "exitCode": self.code, "reason": reason, "startedAt": text(self.since), "finishedAt": text(self.until),
        }})
    }
}

/// One container, as the status shows it.
pub struct Shown<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub state: &'a State,
    pub last: Option<&'a Ended>,
    pub ready: bool,
    pub started: bool,
    pub restarts: u32,
}

/// Remembers when each condition last changed.
#[derive(Default)]
pub struct Conditions(BTreeMap<&'static str, (bool, Timestamp)>);

impl Conditions {
    fn show(&mut self, kind: &'static str, holds: bool, now: Timestamp, why_not: &str) -> Value {
        let entry = self.0.entry(kind).or_insert((holds, now));
        if entry.0 != holds {
            *entry = (holds, now);
        }
        let mut value = json!({
            "type": kind, "status": if holds { "True" } else { "False" },
            "lastProbeTime": null, "lastTransitionTime": text(entry.1),
        });
        if !holds {
            value["reason"] = json!(why_not);
        }
        value
    }
}

/// The whole pod.
pub struct Picture<'a> {
    pub address: Option<Ipv4Addr>,
    pub since: Timestamp,
    pub phase: &'a str,
    pub initialized: bool,
    pub init: Vec<Shown<'a>>,
    pub main: Vec<Shown<'a>>,
}

impl Picture<'_> {
    pub fn to_status(&self, conditions: &mut Conditions, now: Timestamp) -> Value {
        let done = matches!(self.phase, "Succeeded" | "Failed");
        let ready = !done && self.main.iter().all(|container| container.ready);
        let why_not = if done { "PodCompleted" } else { "ContainersNotReady" };
        let node = network::NODE.to_string();
        let mut status = json!({
            "phase": self.phase,
            "hostIP": node, "hostIPs": [{"ip": node}],
            "startTime": text(self.since),
            "conditions": [
                conditions.show("PodReadyToStartContainers", self.address.is_some(), now, "SandboxNotReady"),
                conditions.show("Initialized", self.initialized, now, "ContainersNotInitialized"),
                conditions.show("Ready", ready, now, why_not),
                conditions.show("ContainersReady", ready, now, why_not),
                conditions.show("PodScheduled", true, now, ""),
            ],
            "containerStatuses": self.main.iter().map(show).collect::<Vec<_>>(),
        });
        if !self.init.is_empty() {
            status["initContainerStatuses"] = self.init.iter().map(show).collect();
        }
        if let Some(address) = self.address {
            let address = address.to_string();
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{"ip": address}]);
        }
        status
    }
}

fn show(container: &Shown<'_>) -> Value {
    let mut value = json!({
        "name": container.name, "image": container.image, "imageID": "", "ready": container.ready,
        "started": container.started, "restartCount": container.restarts, "state": container.state.to_value(),
        "lastState": container.last.map_or_else(|| json!({}), Ended::to_value),
    });
    if let State::Running { pid, .. } = container.state {
        value["containerID"] = json!(format!("process://{pid}"));
    }
    value
}

fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_ready_when_all_its_containers_are() {
        let now = Timestamp::UNIX_EPOCH;
        let running = State::Running { pid: 7, since: now };
        let shown = |ready| Shown {
            name: "app",
            image: "shop/app:1",
            state: &running,
            last: None,
            ready,
            started: true,
            restarts: 0,
        };
        for (first, second, wanted) in [(true, true, "True"), (true, false, "False")] {
            let picture = Picture {
                address: Some(Ipv4Addr::LOCALHOST),
                since: now,
                phase: "Running",
                initialized: true,
                init: Vec::new(),
                main: vec![shown(first), shown(second)],
            };
            let status = picture.to_status(&mut Conditions::default(), now);
            let ready = status["conditions"]
                .as_array()
                .and_then(|all| all.iter().find(|c| c["type"] == "Ready"))
                .cloned();
            assert_eq!(ready.expect("condition")["status"], wanted);
        }
    }
}
