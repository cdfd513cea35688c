//! Plays a history on the embedded cluster, with the real controller.

use std::sync::Arc;
use std::time::Duration;

use kubesim::{KubeSim, PodBehaviour, PodFacts, PodRules};
use serde_json::{Value, json};
use tokio::time::Instant;
use vexil::api::Provider;
use vexil::controller::fence::Claim;
use vexil::sim::{Running, World};

use super::history::{Act, End, History, Router, Side, Spec, Trouble, Version};
use super::manifest::{self, NAMESPACE, image, version_of};
use super::network::Network;
use super::observer::Shared;

/// What became of a history.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub broken: Vec<(&'static str, String)>,
    pub story: Vec<String>,
    pub digest: u64,
    /// Releases that came to an end.
    pub releases: u64,
    /// How long the world lived.
    pub lived: Duration,
    pub writes: u64,
    pub busiest: usize,
}

/// Plays a history; `told` says whether its story is written down.
pub fn play(history: &History, told: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut stage = Stage::open(history, told);
        if stage.initialised().await {
            stage.perform().await;
            if !stage.is_broken() {
                stage.end().await;
            }
        }
        stage.outcome()
    })
}

struct Stage<'a> {
    history: &'a History,
    world: World,
    kube: KubeSim,
    shared: Arc<Shared>,
    spec: Spec,
    running: Option<Running>,
    /// When a dead controller is started again.
    restart: Option<Instant>,
    began: Instant,
    /// Faults that are in force, by their place in the history.
    active: Vec<usize>,
    asked: u32,
}

enum Moment {
    Act(Act),
    Begins(usize),
    Ends(usize),
}

impl<'a> Stage<'a> {
    fn open(history: &'a History, told: bool) -> Self {
        let shared = Shared::new(history, told);
        let builder = World::builder();
        let world = match history.spec.router {
            Router::Istio => builder.build(),
            Router::Gateway => builder.mesh(Provider::GatewayApiV1).build(),
            Router::Kubernetes => builder.without_mesh().build(),
        };
        let kube = world.kube.clone();
        let observer = Arc::clone(&shared);
        kube.observe(move |change| observer.note(change));
        let weather = Arc::clone(&shared);
        kube.intercept(move |request| weather.fate(request));
        kube.set_pod_rules(rules(history));
        let mut stage = Self {
            history,
            kube,
            spec: history.spec.clone(),
            running: None,
            restart: None,
            began: Instant::now(),
            active: Vec::new(),
            asked: 0,
            shared,
            world,
        };
        stage.start();
        stage.by_people(|stage| {
            for object in manifest::templates().into_iter().chain(manifest::strangers()) {
                stage.put(object);
            }
            stage.put(manifest::target(&stage.spec, 1));
            if let Some(autoscaler) = manifest::autoscaler(&stage.spec) {
                stage.put(autoscaler);
            }
            stage.put(manifest::canary(&stage.spec));
        });
        stage
    }

    fn start(&mut self) {
        self.running = Some(self.world.start_controller_over(Arc::new(Network(Arc::clone(&self.shared)))));
    }

    fn by_people(&mut self, act: impl FnOnce(&mut Self)) {
        self.shared.lock().people = true;
        act(self);
        self.shared.lock().people = false;
    }

    fn put(&self, object: Value) {
        if let Err(why) = self.kube.apply("people", object) {
            panic!("the cluster refuses a manifest of seed {}: {why}", self.history.seed);
        }
    }

    fn say(&self, line: impl FnOnce() -> String) {
        self.shared.lock().say(line);
    }

    fn found(&self, promise: &'static str, how: String) {
        if self.is_broken() {
            // The history was cut short, and what was waited for could not come.
            return;
        }
        let mut seen = self.shared.lock();
        seen.say(|| format!("BROKEN {promise}: {how}"));
        seen.checker.found(promise, how);
    }

    fn is_broken(&self) -> bool {
        !self.shared.lock().checker.broken.is_empty()
    }

    /// Looks at the state that has lasted until now.
    fn tick(&self) {
        let mut seen = self.shared.lock();
        let now = seen.now();
        let state = seen.facts.brief();
        let super::observer::Seen { checker, facts, .. } = &mut *seen;
        let known = checker.broken.len();
        checker.tick(&state, now);
        checker.legible(&state, facts, now);
        seen.shout(known);
    }

    /// Waits until `met`, or for `limit`; whether it was met.
    async fn until(&mut self, limit: Duration, met: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !met(self) {
            if self.is_broken() {
                return false;
            }
            let shared = Arc::clone(&self.shared);
            if tokio::time::timeout_at(deadline, shared.changed.notified()).await.is_err() {
                return false;
            }
        }
        true
    }

    fn phase(&self) -> String {
        self.shared.lock().facts.phase().to_owned()
    }

    fn at_rest(&self) -> bool {
        matches!(self.phase().as_str(), "Initialized" | "Succeeded" | "Failed")
    }

    async fn initialised(&mut self) -> bool {
        let met = self.until(Duration::from_secs(900), |stage| stage.phase() == "Initialized").await;
        if !met {
            self.found("P11", "the Canary is never initialised".to_owned());
        }
        met
    }

    /// Does what the script says, under the faults of the history.
    async fn perform(&mut self) {
        self.began = Instant::now();
        self.say(|| "-- the script begins".to_owned());
        let history = self.history;
        let mut moments: Vec<(u64, Moment)> =
            history.script.iter().map(|(at, act)| (*at, Moment::Act(*act))).collect();
        for (index, fault) in history.faults.iter().enumerate() {
            moments.push((fault.from, Moment::Begins(index)));
            moments.push((fault.to.max(fault.from), Moment::Ends(index)));
        }
        moments.sort_by_key(|(at, _)| *at);
        for (at, moment) in moments {
            self.reach(self.began + Duration::from_secs(at)).await;
            self.tick();
            if self.is_broken() {
                return;
            }
            match moment {
                Moment::Act(act) => self.by_people(|stage| stage.act(act)),
                Moment::Begins(index) => self.begin(index),
                Moment::Ends(index) => self.finish(index),
            }
        }
        self.reach(self.began + Duration::from_secs(history.kind_from)).await;
        if let Some(at) = self.restart {
            self.reach(at).await;
        }
        self.tick();
    }

    /// Lets time pass until `at`. A controller that dies meanwhile is buried, and started again when it is time.
    async fn reach(&mut self, at: Instant) {
        loop {
            let next = self.restart.map_or(at, |restart| restart.min(at));
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                biased;
                () = shared.died.notified() => {
                    if let Some(running) = self.running.take() {
                        running.kill();
                    }
                    let ends = self.active.iter().filter_map(|index| {
                        let fault = &self.history.faults[*index];
                        matches!(fault.what, Trouble::Crash { .. }).then_some(fault.to)
                    });
                    let ends = self.began + Duration::from_secs(ends.max().unwrap_or(0));
                    self.restart = Some(ends.max(Instant::now() + Duration::from_secs(1)));
                    self.reckon(0, 0);
                }
                () = tokio::time::sleep_until(next) => {
                    if self.restart.is_some_and(|restart| restart <= Instant::now()) {
                        self.restart = None;
                        self.shared.lock().weather.dead = false;
                        self.say(|| "the controller is started again".to_owned());
                        self.start();
                        self.reckon(15_000, 3_000);
                    }
                    if at <= Instant::now() {
                        return;
                    }
                }
            }
        }
    }

    /// Says since when the controller can see and act: not before all faults have ended, and so many milliseconds more.
    fn reckon(&self, calm: u64, sighted: u64) {
        let mut seen = self.shared.lock();
        let now = seen.now();
        let dead = self.restart.is_some();
        let disturbed = dead || self.active.iter().any(|index| disturbs(self.history.faults[*index].what));
        let blinded = dead || self.active.iter().any(|index| blinds(self.history.faults[*index].what));
        let later = |before: Option<u64>, more: u64| Some(before.unwrap_or(0).max(now + more));
        seen.checker.calm = if disturbed { None } else { later(seen.checker.calm, calm) };
        seen.checker.sighted = if blinded { None } else { later(seen.checker.sighted, sighted) };
    }

    fn begin(&mut self, index: usize) {
        let fault = &self.history.faults[index];
        self.say(|| format!("++ fault {fault:?}"));
        self.active.push(index);
        {
            let mut seen = self.shared.lock();
            match fault.what {
                Trouble::Metrics(broken) => seen.weather.metrics = Some(broken),
                Trouble::Hooks(broken) => seen.weather.hooks = Some(broken),
                Trouble::Crash { write, after } => seen.weather.dies = Some((write - 1, after)),
                Trouble::WatchesEnd
                | Trouble::WatchesSilent
                | Trouble::WatchesLag
                | Trouble::Expired
                | Trouble::ClusterSlow(_)
                | Trouble::Handover => {}
                other => seen.weather.troubles.push(other),
            }
        }
        match fault.what {
            Trouble::WatchesEnd => self.kube.close_watches_of("vexil"),
            Trouble::WatchesSilent => self.kube.half_open_watches_of("vexil"),
            Trouble::WatchesLag => self.kube.stall_watches_of("vexil"),
            Trouble::Expired => {
                self.kube.expire(self.kube.revision());
                self.kube.close_watches_of("vexil");
            }
            Trouble::ClusterSlow(millis) => self.kube.set_controller_latency(Duration::from_millis(millis)),
            _ => {}
        }
        self.reckon(0, 0);
    }

    fn finish(&mut self, index: usize) {
        let fault = &self.history.faults[index];
        self.say(|| format!("++ ends: {:?}", fault.what));
        self.active.retain(|active| *active != index);
        {
            let mut seen = self.shared.lock();
            match fault.what {
                Trouble::Metrics(_) => seen.weather.metrics = None,
                Trouble::Hooks(_) => seen.weather.hooks = None,
                Trouble::Crash { .. } => seen.weather.dies = None,
                other => {
                    if let Some(place) = seen.weather.troubles.iter().position(|one| *one == other) {
                        seen.weather.troubles.remove(place);
                    }
                }
            }
        }
        match fault.what {
            Trouble::WatchesLag => self.kube.resume_watches(),
            Trouble::ClusterSlow(_) => self.kube.set_controller_latency(Duration::from_millis(10)),
            Trouble::Handover if !self.shared.lock().weather.dead => self.hand_over(),
            _ => {}
        }
        let after = match fault.what {
            Trouble::WatchesSilent => 90_000,
            Trouble::Forbidden(_) | Trouble::Dropped(_) | Trouble::Fails(..) | Trouble::Throttled(..) => {
                75_000
            }
            Trouble::Metrics(_) | Trouble::Hooks(_) => 0,
            _ => 45_000,
        };
        self.reckon(after, after);
    }

    /// Another controller leads, which has watched for a while.
    fn hand_over(&mut self) {
        let Some(before) = self.running.take() else { return };
        before.fence.publish(Claim::None);
        before.kill();
        self.start();
        self.say(|| "another controller leads".to_owned());
    }

    fn canary(&self) {
        self.put(manifest::canary(&self.spec));
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Spec)) {
        edit(&mut self.spec);
        {
            let mut seen = self.shared.lock();
            let now = seen.now();
            seen.checker.edited(self.spec.clone(), now);
        }
        if self.kube.get("canaries.flagger.app", NAMESPACE, "app").is_some() {
            self.canary();
        }
    }

    fn kind(&self) -> &'static str {
        if self.spec.daemon_set { "daemonsets.apps" } else { "deployments.apps" }
    }

    fn act(&mut self, act: Act) {
        self.say(|| format!("** {act:?}"));
        match act {
            Act::Push(version) => self.push(version),
            Act::Threshold(threshold) => self.edit(|spec| spec.threshold = threshold),
            Act::Timeout(timeout) => self.edit(|spec| spec.timeout = timeout),
            Act::SkipAnalysis(skip) => self.edit(|spec| spec.skip_analysis = skip),
            Act::Suspend(suspend) => self.edit(|spec| spec.suspend = suspend),
            Act::Break(broken) => self.edit(|spec| spec.broken = broken),
            Act::Reverting(revert) => self.edit(|spec| spec.revert = revert),
            Act::Steps(step) => self.edit(|spec| {
                if let super::history::Strategy::By { step: old, .. } = &mut spec.strategy {
                    *old = step;
                }
            }),
            Act::Ask(what) => self.ask(what),
            Act::DeleteCanary => drop(self.kube.delete("canaries.flagger.app", NAMESPACE, "app")),
            Act::CreateCanary => {
                if self.kube.get("canaries.flagger.app", NAMESPACE, "app").is_none() {
                    self.canary();
                }
            }
            Act::DeleteTarget => drop(self.kube.delete(self.kind(), NAMESPACE, "app")),
            Act::CreateTarget(version) => {
                if self.kube.get(self.kind(), NAMESPACE, "app").is_none() {
                    self.put(manifest::target(&self.spec, version));
                }
            }
            Act::Die(side) => self.readiness(Some(side)),
            Act::Recover => self.readiness(None),
            Act::DeletePrimary => drop(self.kube.delete(self.kind(), NAMESPACE, "app-primary")),
            Act::DeleteService(name) => drop(self.kube.delete("services", NAMESPACE, name)),
            Act::Drift(share) => self.drift(share),
            Act::DeleteRoutes => {
                self.kube.delete("virtualservices.networking.istio.io", NAMESPACE, "app");
                self.kube.delete("httproutes.gateway.networking.k8s.io", NAMESPACE, "app");
            }
            Act::Scale(replicas) if !self.spec.daemon_set && !self.spec.autoscaler => {
                let scaled = json!({"spec": {"replicas": replicas}});
                let _ = self.kube.patch("people", self.kind(), NAMESPACE, "app", scaled);
            }
            Act::Load(percent) if self.spec.autoscaler => {
                self.kube.set_utilization(NAMESPACE, "app-primary", percent as f64);
            }
            Act::Scale(_) | Act::Load(_) => {}
            Act::Close(hook) => self.shared.lock().weather.closed.push(hook),
            Act::Open(hook) => self.shared.lock().weather.closed.retain(|closed| *closed != hook),
            Act::Misdeed => {
                self.shared.lock().people = false;
                let scaled = json!({"spec": {"replicas": 0}});
                let _ = self.kube.patch("people", self.kind(), NAMESPACE, "app-primary", scaled);
            }
        }
    }

    fn push(&self, version: usize) {
        let Some(mut target) = self.kube.get(self.kind(), NAMESPACE, "app") else { return };
        target["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image(version));
        self.kube.put(target);
    }

    fn ask(&mut self, what: &'static str) {
        let status = self.world.status(NAMESPACE, "app");
        let name = match what {
            "retry" => status["lastAppliedSpec"].as_str(),
            _ => status["releasing"]["name"].as_str(),
        };
        let Some(name) = name.filter(|name| name.len() > 8) else { return };
        self.asked += 1;
        let text = format!("{what} {name} by=people id={}", self.asked);
        {
            let mut seen = self.shared.lock();
            let version = seen.facts.target.as_ref().map_or(0, |target| target.version);
            seen.checker.evidence.asked(version, what);
        }
        let asked = json!({"metadata": {"annotations": {"flagger.app/request": text}}});
        let _ = self.kube.patch("people", "canaries.flagger.app", NAMESPACE, "app", asked);
    }

    /// Makes all pods of a side unready, or leaves all pods to themselves again.
    fn readiness(&self, side: Option<Side>) {
        for pod in self.kube.list("pods", Some(NAMESPACE)) {
            let primary = pod["metadata"]["labels"]["app"] == "app-primary";
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            match side {
                None => self.kube.set_pod_ready(NAMESPACE, name, None),
                Some(side) if primary == (side == Side::Primary) => {
                    self.kube.set_pod_ready(NAMESPACE, name, Some(false));
                }
                Some(_) => {}
            }
        }
    }

    fn drift(&self, share: u64) {
        for (kind, rules, list) in [
            ("virtualservices.networking.istio.io", "http", "route"),
            ("httproutes.gateway.networking.k8s.io", "rules", "backendRefs"),
        ] {
            let Some(mut object) = self.kube.get(kind, NAMESPACE, "app") else { continue };
            let Some(rule) = object["spec"][rules].as_array_mut().and_then(|all| all.last_mut()) else {
                continue;
            };
            let Some(all) = rule[list].as_array_mut().filter(|all| all.len() == 2) else { continue };
            all[0]["weight"] = json!(100 - share);
            all[1]["weight"] = json!(share);
            self.kube.put(object);
        }
    }

    /// The faults have ended, and people have put right what they did.
    fn be_kind(&mut self) {
        self.say(|| "-- the world is kind from now on".to_owned());
        self.readiness(None);
        self.shared.lock().weather.closed.clear();
        let original = self.history.spec.clone();
        self.edit(|spec| {
            spec.suspend = false;
            spec.broken = false;
            spec.skip_analysis = original.skip_analysis;
            spec.threshold = spec.threshold.max(2);
        });
        if self.kube.get(self.kind(), NAMESPACE, "app").is_none() {
            self.put(manifest::target(&self.spec, 1));
        }
        let scaled = |(_, act): &(u64, Act)| matches!(act, Act::Scale(_));
        if self.history.script.iter().any(scaled) && self.phase() != "Failed" && self.at_rest() {
            // Pods that somebody started at rest are nobody else's to stop.
            self.act(Act::Scale(0));
        }
        if let Some(canary) = self.kube.get("canaries.flagger.app", NAMESPACE, "app")
            && canary["metadata"]["deletionTimestamp"].is_null()
            && canary["status"]["conditions"].to_string().contains("Paused")
        {
            self.ask("resume");
        }
    }

    /// The world is kind, and the last push or deletion ends as it deserves.
    async fn end(&mut self) {
        self.by_people(Self::be_kind);
        if let Some(canary) = self.kube.get("canaries.flagger.app", NAMESPACE, "app")
            && canary["metadata"]["deletionTimestamp"].is_string()
        {
            self.goes().await;
        }
        if self.shared.lock().facts.canary.is_none() {
            self.by_people(|stage| {
                // Nobody can initialise what does not run.
                if !stage.runs_well() {
                    stage.push(1);
                }
                stage.canary();
            });
            self.comes_to_rest().await;
        }
        if self.history.rests_before_end || matches!(self.phase().as_str(), "" | "Initializing") {
            self.comes_to_rest().await;
        }
        self.follow_the_remedy().await;
        self.tick();
        let last = self.history.versions.len();
        let skips = self.spec.skip_analysis;
        // After a promotion that has failed there is no way back, and a bad version has nobody to fall back to.
        let primary = self.shared.lock().facts.primary.as_ref().map_or(1, |primary| primary.version);
        let fails = self.shared.lock().version(primary) == Version::PrimaryNeverReady;
        match self.history.end {
            End::BadPush | End::Back if fails => self.ends_well(last + 1).await,
            End::GoodPush => self.ends_well(last + 1).await,
            End::BadPush if skips => self.ends_well(last + 2).await,
            End::BadPush => self.ends_badly(last + 2).await,
            End::Back => self.ends_well(primary).await,
            End::Deletion => self.is_deleted().await,
        }
    }

    /// What was begun comes to an end. A Canary cannot be initialised with a target that does not run: the status says
    /// so, and people give it a version that does.
    async fn comes_to_rest(&mut self) {
        if self.until(LONG, Self::at_rest).await {
            return;
        }
        let initializing = matches!(self.phase().as_str(), "" | "Initializing");
        if initializing && !self.runs_well() && self.says_why() {
            self.by_people(|stage| stage.act(Act::Push(1)));
            if self.until(LONG, Self::at_rest).await {
                return;
            }
        }
        if initializing
            && self.shared.lock().facts.status()["conditions"].to_string().contains("to have it made again")
        {
            self.by_people(|stage| stage.act(Act::DeletePrimary));
            if self.until(LONG, Self::at_rest).await {
                return;
            }
        }
        let phase = self.phase();
        self.found("P11", format!("what was begun does not come to an end, it stays {phase:?}"));
    }

    /// Whether the status says what is waited for.
    fn says_why(&self) -> bool {
        self.shared.lock().facts.status()["blockers"].as_array().is_some_and(|all| !all.is_empty())
    }

    /// Whether pods of the target's version become ready and stay so.
    fn runs_well(&self) -> bool {
        let seen = self.shared.lock();
        let version = seen.facts.target.as_ref().map_or(0, |target| target.version);
        matches!(seen.version(version), Version::Good | Version::Errors | Version::Slow)
    }

    /// The Canary is deleted. If its target does not run, that holds the deletion up, the status says so, and people
    /// give the target a version that does.
    async fn goes(&mut self) {
        let gone = |stage: &Self| stage.shared.lock().facts.canary.is_none();
        if self.until(LONG, gone).await {
            return;
        }
        if !self.runs_well() && self.says_why() {
            self.by_people(|stage| stage.act(Act::Push(1)));
            if self.until(LONG, gone).await {
                return;
            }
        }
        self.found("P11", "the deletion of the Canary does not end".to_owned());
    }

    /// A primary that is gone for good is rebuilt from the promoted revision, as the status says.
    async fn follow_the_remedy(&mut self) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let says = self.world.status(NAMESPACE, "app")["conditions"].to_string();
        if says.contains("set the target back to it to have the primary rebuilt") {
            let promoted = self.shared.lock().facts.promoted;
            self.by_people(|stage| stage.push(promoted));
            let back = |stage: &Self| stage.shared.lock().facts.primary.is_some();
            if !self.until(LONG, back).await || !self.until(LONG, Self::at_rest).await {
                self.found("P11", "the primary is not rebuilt, as the status says it would be".to_owned());
            }
        }
    }

    fn last_push(&mut self, version: usize) {
        self.by_people(|stage| {
            stage.say(|| format!("** the last push: version {version}"));
            stage.push(version);
        });
    }

    async fn ends_well(&mut self, version: usize) {
        self.last_push(version);
        let met = self
            .until(LONG, |stage| {
                let seen = stage.shared.lock();
                let facts = &seen.facts;
                matches!(facts.phase(), "Succeeded" | "Initialized")
                    && facts.primary.as_ref().is_some_and(|primary| primary.version == version)
            })
            .await;
        if !met {
            let phase = self.phase();
            return self
                .found("P11", format!("the good version {version} is not promoted, it stays {phase:?}"));
        }
        self.rests(version).await;
    }

    async fn ends_badly(&mut self, version: usize) {
        self.last_push(version);
        let runs = |stage: &Self| stage.shared.lock().facts.phase() == "Progressing";
        let begun = self.until(LONG, runs).await;
        let failed = begun && self.until(LONG, |stage| stage.phase() == "Failed").await;
        if !failed {
            let phase = self.phase();
            return self.found("P11", format!("the bad version {version} does not fail, it stays {phase:?}"));
        }
        let primary = self.shared.lock().facts.primary.as_ref().map(|primary| primary.version);
        if primary == Some(version) {
            self.found("P3", format!("the primary runs the bad version {version}"));
        }
        self.rests(primary.unwrap_or(0)).await;
    }

    async fn is_deleted(&mut self) {
        let finalizer = self.kube.get("canaries.flagger.app", NAMESPACE, "app");
        let finalizer = finalizer.is_some_and(|canary| canary["metadata"]["finalizers"].is_array());
        self.by_people(|stage| stage.act(Act::DeleteCanary));
        self.goes().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let seen = self.shared.lock();
        let brief = seen.facts.brief();
        drop(seen);
        if finalizer && self.spec.revert {
            // The Services were ours, and went with the Canary.
            if brief.target.is_none_or(|(_, replicas)| replicas == 0) {
                self.found("P11", format!("what was reverted does not serve: {brief:?}"));
            }
        }
    }

    /// The end state holds, and nothing is asked any more.
    async fn rests(&mut self, version: usize) {
        tokio::time::sleep(Duration::from_secs(90)).await;
        self.tick();
        self.kube.clear_requests();
        tokio::time::sleep(Duration::from_secs(120)).await;
        let loud = self.kube.requests_of("vexil").into_iter().find(|one| one.verb != kubesim::Verb::Watch);
        if let Some(request) = loud {
            self.found("P8", format!("at rest it still asks: {request}"));
        }
        let mut seen = self.shared.lock();
        let state = seen.facts.brief();
        if state.primary.is_none_or(|(primary, replicas)| primary != version || replicas == 0) {
            let how = format!("the primary is not what was promoted last: {:?}", state.primary);
            seen.checker.found("P4", how);
        }
        if state.ready[1] == 0 {
            seen.checker.found("P1", "at rest the primary has no ready pod".to_owned());
        }
        seen.checker.rest(&state, false);
    }

    fn outcome(self) -> Outcome {
        let seen = self.shared.lock();
        Outcome {
            broken: seen.checker.broken.clone(),
            story: seen.story(),
            digest: seen.digest(),
            releases: seen.releases,
            lived: Duration::from_millis(seen.now()),
            writes: seen.writes,
            busiest: seen.checker.busiest,
        }
    }
}

/// Whether a fault may keep the controller from acting in time.
fn disturbs(trouble: Trouble) -> bool {
    !matches!(trouble, Trouble::Metrics(_) | Trouble::Hooks(_) | Trouble::Crash { .. })
}

/// Whether a fault may keep the controller from seeing what is there.
fn blinds(trouble: Trouble) -> bool {
    !matches!(
        trouble,
        Trouble::Metrics(_)
            | Trouble::Hooks(_)
            | Trouble::Crash { .. }
            | Trouble::Conflicts(_)
            | Trouble::Refused(_)
            | Trouble::Lost(_)
    )
}

/// How pods of each version behave.
fn rules(history: &History) -> PodRules {
    let usual = PodBehaviour::ready_after(Duration::from_secs(history.startup))
        .stops_in(Duration::from_secs(history.stop));
    let versions = history.versions.clone();
    let mut rules = PodRules::default().otherwise(usual);
    for (index, version) in versions.into_iter().enumerate() {
        let number = index + 1;
        let behaviour = match version {
            Version::NeverReady | Version::PrimaryNeverReady => PodBehaviour { ready: false, ..usual },
            Version::Crashes => PodBehaviour { crash_after: Some(Duration::from_secs(3)), ..usual },
            Version::NoImage => PodBehaviour { pulls: false, ready: false, ..usual },
            Version::Good | Version::Errors | Version::Slow => continue,
        };
        let only_primary = version == Version::PrimaryNeverReady;
        let concerns = move |facts: &PodFacts| {
            version_of(&facts.image) == number && (!only_primary || facts.pod.starts_with("app-primary"))
        };
        rules = rules.rule(concerns, behaviour);
    }
    rules
}

/// The longest that a release may take once the world is kind.
const LONG: Duration = Duration::from_secs(3600);
