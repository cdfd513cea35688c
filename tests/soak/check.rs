//! The promises of ARCHITECTURE.md, as an observer of the cluster can hold them after every write. Nothing here knows
//! how the controller decides.

use std::collections::VecDeque;

use kubesim::{Change, ChangeKind, RequestInfo, Verb};
use serde_json::Value;

use super::evidence::{Evidence, Millis};
use super::facts::{Brief, Facts, SERVICES};
use super::history::Spec;

/// How long a side without ready pods may keep its share.
const REACTION: Millis = 2_500;
/// How long proxies take to hear of a route.
const SETTLE: Millis = 5_000; // counted from the whole second
/// How long the last write of another may go unseen.
const UNSEEN: Millis = 2_000;
/// How long proxies are given at least to hear of the first pods of a side, of the five seconds that they should have.
const HEARD: Millis = 3_000;
/// Requests of the controller in a minute, whatever goes wrong.
const BUDGET: usize = 400;
/// How long a release may stand still without a word.
const SILENT: Millis = 180_000;

/// Holds the promises.
pub struct Checker {
    pub evidence: Evidence,
    /// The manifests that may still be acted upon, with the time when each was replaced.
    specs: Vec<(Spec, Millis)>,
    /// What is broken: the promise, and how.
    pub broken: Vec<(&'static str, String)>,
    /// Since when the controller can act as fast as it should; `None` while a fault keeps it from that.
    pub calm: Option<Millis>,
    /// Since when it sees what is there; `None` while it cannot.
    pub sighted: Option<Millis>,
    /// The Canary has been initialised once.
    known: bool,
    hurt_since: Option<Millis>,
    unserved: [Option<Millis>; 3],
    /// Since when each of them has pods that answer.
    served: [Millis; 3],
    /// When users could meet the canary last.
    met: Millis,
    pushed: Millis,
    raised: Millis,
    requests: VecDeque<Millis>,
    pub busiest: usize,
    still_since: Millis,
    /// A revision that failed, while its target stays as it is.
    failed: Option<usize>,
}

impl Checker {
    pub fn new(spec: Spec) -> Self {
        Self {
            evidence: Evidence::default(),
            specs: vec![(spec, Millis::MAX)],
            broken: Vec::new(),
            calm: Some(0),
            sighted: Some(0),
            known: false,
            hurt_since: None,
            unserved: [Some(0); 3],
            served: [0; 3],
            met: 0,
            pushed: 0,
            raised: 0,
            requests: VecDeque::new(),
            busiest: 0,
            still_since: 0,
            failed: None,
        }
    }

    fn breaks(&mut self, promise: &'static str, how: String) {
        // The rest follows from the first.
        if self.broken.len() < 3 {
            self.broken.push((promise, how));
        }
    }

    /// Somebody has changed the manifest.
    pub fn edited(&mut self, spec: Spec, now: Millis) {
        if let Some(last) = self.specs.last_mut() {
            last.1 = now;
        }
        self.specs.push((spec, Millis::MAX));
    }

    /// The manifests that the controller may act on now.
    fn in_force(&self, now: Millis) -> Vec<Spec> {
        let lately = |until: Millis| {
            until == Millis::MAX || now < until + 5_000 || self.sighted.is_none_or(|at| until + 5_000 > at)
        };
        self.specs.iter().filter(|(_, until)| lately(*until)).map(|(spec, _)| spec.clone()).collect()
    }

    /// Looks at the state that has lasted until now.
    pub fn tick(&mut self, state: &Brief, now: Millis) {
        let hurt = hurt(state);
        let held =
            state.canary && self.known && !matches!(state.phase.as_str(), "" | "Initializing" | "Terminated");
        match (hurt, self.calm) {
            (Some(how), Some(calm)) if held => {
                let since = *self.hurt_since.get_or_insert(now);
                if now.saturating_sub(since.max(calm)) > REACTION {
                    self.breaks("P1", format!("{how}, for {} ms", now - since));
                }
            }
            (Some(_), None) if held => {
                self.hurt_since.get_or_insert(now);
            }
            _ => self.hurt_since = None,
        }
        for (index, ready) in state.ready.iter().enumerate() {
            match ready {
                0 => {
                    self.unserved[index].get_or_insert(now);
                }
                _ => {
                    if self.unserved[index].take().is_some() {
                        self.served[index] = now;
                    }
                }
            }
        }
        if state.met {
            self.met = now;
        }
    }

    /// A request of the controller.
    pub fn request(&mut self, request: &RequestInfo, now: Millis) {
        if request.verb == Verb::Watch && self.calm.is_none() {
            return;
        }
        self.requests.push_back(now);
        while self.requests.front().is_some_and(|at| *at + 60_000 < now) {
            self.requests.pop_front();
        }
        self.busiest = self.busiest.max(self.requests.len());
        if self.requests.len() > BUDGET {
            self.requests.clear();
            self.breaks("P8", format!("more than {BUDGET} requests in a minute, the last is {request}"));
        }
    }

    /// Looks at a write; `people` says who made it.
    pub fn write(&mut self, before: &Brief, after: &Brief, change: &Change, people: bool, now: Millis) {
        let value = change.object.value();
        let kind = value["kind"].as_str().unwrap_or_default();
        self.known |= after.phase == "Initialized" || after.phase == "Succeeded";
        if !after.canary {
            self.known = false;
        }
        if before.target.map(|target| target.0) != after.target.map(|target| target.0) {
            self.pushed = now;
            self.failed = None;
        }
        if value["metadata"]["name"] == "stranger" && !people && change.kind != ChangeKind::Added {
            self.breaks("P9", format!("{kind} stranger is written"));
        }
        if !people {
            self.traffic(before, after, now);
            self.exposure(before, after, now);
            self.stopped(before, after, now);
            self.primary(before, after, change, now);
        }
        if kind == "Canary" {
            self.status(before, after, change, now);
        }
        self.tick(after, now);
    }

    fn is_sighted(&self, now: Millis) -> bool {
        self.sighted.is_some_and(|since| since <= now)
    }

    /// P1: traffic does not go where nobody has been for a while, nor at once where somebody is again.
    fn traffic(&mut self, before: &Brief, after: &Brief, now: Millis) {
        let (was, is) = (before.shares(), after.shares());
        for index in 0..3 {
            let empty = self.unserved[index].is_some_and(|since| now - since >= UNSEEN);
            let others = (0..3).any(|other| other != index && was[other] > 0 && after.ready[other] > 0);
            if is[index] > was[index] && empty && others && self.is_sighted(now) && after.canary {
                self.breaks(
                    "P1",
                    format!("{} is given {}% and nobody answers there", SERVICES[index], is[index]),
                );
            }
            let since = now.saturating_sub(self.served[index]);
            let watched = self.calm.is_some_and(|calm| calm + 10_000 < now) && self.known;
            // The primary gets back at once what the canary has without having earned it.
            let canary = index == 2;
            if canary
                && is[index] > was[index]
                && !empty
                && since < HEARD
                && others
                && watched
                && after.canary
            {
                self.breaks(
                    "P1",
                    format!("{} is given {}% {since} ms after its first pod", SERVICES[index], is[index]),
                );
            }
        }
    }

    /// P2: the canary has no more than it has earned.
    fn exposure(&mut self, before: &Brief, after: &Brief, now: Millis) {
        let canary = |brief: &Brief| match brief.routes {
            Some(routes) if routes.picked && self.spec().affinity => routes.share,
            Some(routes) if routes.picked => 100,
            Some(routes) => routes.share,
            None => 0,
        };
        let (was, is) = (canary(before), canary(after));
        let Some((version, _)) = after.target else { return };
        let promoted = after.primary.is_some_and(|(primary, _)| primary == version);
        let stands_in = after.ready[1] == 0;
        let fresh = now - self.pushed < UNSEEN || !self.is_sighted(now);
        if is <= was || promoted || stands_in || fresh || !after.canary || !self.known {
            return;
        }
        let shown = self.evidence.of(version);
        let allowed = self.in_force(now).iter().map(|spec| shown.allowed(spec)).max().unwrap_or(0);
        if is > allowed {
            self.breaks(
                "P2",
                format!("version {version} is given {is}% and has earned {allowed}%: {shown:?}"),
            );
        }
        let interval = self.spec().interval * 1000;
        if now - self.raised + 1_500 < interval && was > 0 && self.specs.len() == 1 && !self.spec().affinity {
            self.breaks(
                "P2",
                format!("version {version} is given {is}% {} ms after {was}%", now - self.raised),
            );
        }
        self.raised = now;
    }

    fn spec(&self) -> &Spec {
        &self.specs[self.specs.len() - 1].0
    }

    /// P1: pods that users may be sent to are not stopped.
    fn stopped(&mut self, before: &Brief, after: &Brief, now: Millis) {
        let (Some((_, was)), Some((_, is))) = (before.target, after.target) else { return };
        // The apex Service may lead to the primary.
        let by_apex = if before.apex.as_deref() == Some("app") { before.ready[0] } else { 0 };
        if was == 0 || is > 0 || before.ready[2].max(by_apex) == 0 {
            return;
        }
        if after.met {
            self.breaks("P1", "the target's pods are stopped while users are sent to them".to_owned());
        } else if now - self.met < SETTLE - 1_000 && after.routes.is_some() {
            self.breaks(
                "P1",
                format!("the target's pods are stopped {} ms after users were sent to them", now - self.met),
            );
        }
        // A Service that was made just now has no endpoints to speak of yet.
        let led = after.primary_served && (after.routes.is_some() || by_apex > 0);
        if led && after.ready[1] == 0 && self.unserved[1].is_some_and(|since| now - since > UNSEEN) {
            self.breaks("P1", "the target's pods are stopped, and the primary has none".to_owned());
        }
    }

    /// P3: the primary is not scaled to zero, and gets a version only by a promotion that was earned.
    fn primary(&mut self, before: &Brief, after: &Brief, change: &Change, now: Millis) {
        let (Some((was, _)), Some((is, replicas))) = (before.primary, after.primary) else { return };
        if replicas == 0 && before.primary.is_some_and(|(_, replicas)| replicas > 0) {
            self.breaks("P3", "the primary is scaled to zero".to_owned());
        }
        if was == is || change.kind != ChangeKind::Modified {
            return;
        }
        if after.phase == "Initializing" || after.phase.is_empty() {
            return;
        }
        let shown = self.evidence.of(is);
        let objections: Vec<_> = self.in_force(now).iter().map(|spec| shown.objection(spec)).collect();
        if objections.iter().all(Option::is_some) {
            let why = objections.into_iter().flatten().next().unwrap_or_default();
            self.breaks("P3", format!("the primary is given version {is}: {why}; {shown:?}"));
        }
        if after.target.is_some_and(|(version, _)| version != is)
            && now - self.pushed > UNSEEN
            && self.is_sighted(now)
        {
            self.breaks("P3", format!("the primary is given version {is}, which nobody asks for"));
        }
    }

    /// What a new status says of the run.
    fn status(&mut self, before: &Brief, after: &Brief, change: &Change, now: Millis) {
        let old = change.before.as_ref().map_or(&Value::Null, |object| &object.value()["status"]);
        let new = &change.object.value()["status"];
        if old != new {
            self.still_since = now;
        }
        let rests = |phase: &str| matches!(phase, "Initialized" | "Succeeded" | "Failed");
        let steps = |phase: &str| matches!(phase, "Progressing" | "WaitingPromotion");
        let another = old["lastAppliedSpec"] != new["lastAppliedSpec"];
        let version = after.target.map_or(0, |target| target.0);
        if steps(&after.phase) && (!steps(&before.phase) || another) {
            let shown = self.evidence.of(version);
            let open = self.in_force(now).iter().any(|spec| shown.may_begin(spec));
            let fresh = now - self.pushed < UNSEEN || !self.is_sighted(now);
            if !open && !steps(&before.phase) && !fresh {
                self.breaks(
                    "P3",
                    format!("the release of version {version} begins before its gate says yes"),
                );
            }
            if self.failed == Some(version) && !another && !fresh {
                let retried = new["conditions"].to_string().contains("retry ");
                if !retried {
                    self.breaks("P4", format!("version {version} has failed and is released again"));
                }
            }
            self.evidence.run_began();
        }
        if rests(&after.phase) && after.phase != before.phase {
            self.evidence.run_ended();
            self.failed = (after.phase == "Failed" && now - self.pushed >= UNSEEN).then_some(version);
        }
    }

    /// P10: a release that stands still says why.
    pub fn legible(&mut self, state: &Brief, facts: &Facts, now: Millis) {
        let status = facts.status();
        let rests = matches!(state.phase.as_str(), "Initialized" | "Succeeded" | "Failed");
        let calm = self.calm.is_some_and(|since| now.saturating_sub(since) > SILENT);
        if !state.canary || rests || !calm || now - self.still_since < SILENT {
            return;
        }
        // The next check and proxies are never waited for so long.
        let brief = |kind: &Value| matches!(kind.as_str(), Some("NextCheck" | "Settling" | "Check"));
        let blockers = status["blockers"].as_array().map_or(&[][..], Vec::as_slice);
        let says = blockers.iter().any(|blocker| !brief(&blocker["type"]));
        let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let stalled = conditions.iter().any(|one| one["type"] == "Stalled" && one["status"] == "True");
        if !says && !stalled {
            self.breaks(
                "P10",
                format!(
                    "in phase {:?} nothing has moved for {} ms, and the status does not say why",
                    state.phase,
                    now - self.still_since
                ),
            );
        }
    }

    /// P4: at rest all traffic is on the primary, and the canary has no pods.
    pub fn rest(&mut self, state: &Brief, excepted: bool) {
        if excepted {
            return;
        }
        if let Some(routes) = state.routes
            && routes.exposed()
        {
            self.breaks("P4", format!("in phase {} the mesh is told {routes:?}", state.phase));
        }
        if state.target.is_some_and(|(_, replicas)| replicas > 0) {
            self.breaks("P4", format!("in phase {} the target keeps its pods", state.phase));
        }
    }

    /// A break that the stage has found.
    pub fn found(&mut self, promise: &'static str, how: String) {
        self.breaks(promise, how);
    }
}

/// How requests go where nobody answers while another side would.
fn hurt(state: &Brief) -> Option<String> {
    let routes = state.routes?;
    let [_, primary, canary] = state.ready;
    let shares = state.shares();
    if shares[2] > 0 && canary == 0 && primary > 0 {
        return Some(format!("the canary has {routes:?} and no ready pod, the primary has {primary}"));
    }
    if shares[1] > 0 && primary == 0 && canary > 0 && !(routes.picked && routes.share == 0) {
        return Some(format!("the primary has {}% and no ready pod, the canary has {canary}", shares[1]));
    }
    None
}
