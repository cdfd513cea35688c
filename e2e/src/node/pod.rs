//! One pod's life, from its binding to its end.
//!
//! ```text
//! sandbox ─▶ volumes ─▶ init containers, one by one ─▶ containers + probes ─▶ (deleted) SIGTERM ─▶ gone
//! ```
//!
//! One task a pod. Containers and probes report to it by events; it alone changes the state and writes the status.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, Probe};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::plan::Given;
use super::probe::{self, Target};
use super::sandbox::Sandbox;
use super::status::{Conditions, Ended, Picture, Shown, State};
use super::{Shared, container, environment, health, images, volumes};
use crate::cluster::network;
use crate::process;

type News = watch::Receiver<Option<Arc<Pod>>>;

/// Runs a pod to its end.
pub async fn run(shared: Arc<Shared>, pod: Arc<Pod>, mut news: News) {
    let mut life = Life::new(shared, pod);
    tokio::select! {
        biased;
        () = gone(news.clone()) => {}
        () = life.live(&mut news) => {}
    }
    life.clean_up();
}

/// Ends when the object no longer exists: nothing of the pod may stay then.
async fn gone(mut news: News) {
    while news.borrow_and_update().is_some() {
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

pub(super) enum Event {
    /// A container's main process ended.
    Ended {
        slot: usize,
        generation: u32,
        code: i32,
    },
    Started {
        slot: usize,
        generation: u32,
    },
    Ready {
        slot: usize,
        generation: u32,
        ready: bool,
    },
    /// A liveness or startup probe failed for good.
    Unhealthy {
        slot: usize,
        generation: u32,
    },
    /// Time to try (again) what waits.
    Try {
        slot: usize,
    },
}

struct Slot {
    spec: Container,
    init: bool,
    state: State,
    last: Option<Ended>,
    started: bool,
    ready: bool,
    restarts: u32,
    generation: u32,
    environment: BTreeMap<String, String>,
    probes: Vec<AbortHandle>,
}

struct Life {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    api: Api<Pod>,
    http: reqwest::Client,
    folder: PathBuf,
    since: Timestamp,
    sandbox: Option<Sandbox>,
    volumes: volumes::Folders,
    slots: Vec<Slot>,
    conditions: Conditions,
    published: Value,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
}

impl Life {
    fn new(shared: Arc<Shared>, pod: Arc<Pod>) -> Life {
        let namespace = pod.namespace().unwrap_or_default();
        let uid = pod.uid().unwrap_or_default();
        let folder = shared.place.pods().join(format!(
            "{namespace}_{}_{}",
            pod.name_any(),
            uid.get(..8).unwrap_or("")
        ));
        let spec = pod.spec.clone().unwrap_or_default();
        let slot = |spec: Container, init: bool| Slot {
            spec,
            init,
            state: State::waiting(if init { "PodInitializing" } else { "ContainerCreating" }),
            last: None,
            started: false,
            ready: false,
            restarts: 0,
            generation: 0,
            environment: BTreeMap::new(),
            probes: Vec::new(),
        };
        let slots = spec
            .init_containers
            .into_iter()
            .flatten()
            .map(|container| slot(container, true))
            .chain(spec.containers.into_iter().map(|container| slot(container, false)))
            .collect();
        let (events, inbox) = mpsc::unbounded_channel();
        Life {
            api: Api::namespaced(shared.client.clone(), &namespace),
            shared,
            pod,
            // Every probe is a connection of its own, as a kubelet's.
            http: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap_or_default(),
            folder,
            since: Timestamp::now(),
            sandbox: None,
            volumes: BTreeMap::new(),
            slots,
            conditions: Conditions::default(),
            published: Value::Null,
            events,
            inbox,
        }
    }

    async fn live(&mut self, news: &mut News) {
        if !self.is_deleted(news) {
            self.publish().await;
            let prepared = tokio::select! {
                biased;
                () = deleted(news.clone()) => false,
                () = self.prepare() => true,
            };
            if prepared {
                self.advance().await;
                self.publish().await;
                self.follow(news).await;
            }
        }
        self.terminate(news).await;
    }

    fn is_deleted(&self, news: &News) -> bool {
        news.borrow().as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    /// Network and volumes; tries until it works, as a kubelet does.
    async fn prepare(&mut self) {
        loop {
            match self.try_to_prepare().await {
                Ok(()) => return,
                Err(error) => {
                    let message = format!("{error:#}");
                    for slot in self.slots.iter_mut().filter(|slot| !slot.init) {
                        slot.state =
                            State::Waiting { reason: "ContainerCreating".into(), message: message.clone() };
                    }
                    self.publish().await;
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn try_to_prepare(&mut self) -> Result<()> {
        std::fs::create_dir_all(self.folder.join("volumes"))?;
        let address = match &self.sandbox {
            Some(sandbox) => sandbox.address,
            None => {
                let (name, address) = (self.pod.name_any(), self.shared.address());
                let sandbox = tokio::task::spawn_blocking(move || Sandbox::create(&name, address)).await??;
                self.sandbox = Some(sandbox);
                address
            }
        };
        self.volumes =
            volumes::make(&self.shared.client, &self.pod, &self.folder.join("volumes"), address).await?;
        Ok(())
    }

    /// Handles events until the pod is to be deleted.
    async fn follow(&mut self, news: &mut News) {
        let mut retry: Option<Instant> = None;
        loop {
            let tick = retry.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                changed = news.changed() => {
                    if changed.is_err() || self.is_deleted(news) {
                        return;
                    }
                    continue;
                }
                event = self.inbox.recv() => match event {
                    Some(event) => self.handle(event).await,
                    None => return,
                },
                () = sleep_until(tick) => {}
            }
            retry = (!self.publish().await).then(|| Instant::now() + Duration::from_secs(1));
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Try { slot } => {
                if matches!(self.slots[slot].state, State::Waiting { .. }) {
                    self.start(slot).await;
                }
            }
            Event::Started { slot, generation } if generation == self.slots[slot].generation => {
                let slot = &mut self.slots[slot];
                slot.started = true;
                slot.ready = slot.spec.readiness_probe.is_none();
            }
            Event::Ready { slot, generation, ready } if generation == self.slots[slot].generation => {
                self.slots[slot].ready = ready;
            }
            Event::Unhealthy { slot, generation } if generation == self.slots[slot].generation => {
                if let State::Running { pid, .. } = self.slots[slot].state {
                    let _ = process::signal_group(pid, Signal::KILL);
                }
            }
            Event::Ended { slot, generation, code } if generation == self.slots[slot].generation => {
                self.ended(slot, code);
                self.advance().await;
            }
            _ => {}
        }
    }

    /// Starts what is due: the next init container, or all containers once the init containers are done.
    async fn advance(&mut self) {
        let open = self.slots.iter().position(|slot| slot.init && !succeeded(slot));
        match open {
            Some(slot) => {
                if matches!(&self.slots[slot].state, State::Waiting { reason, .. } if reason == "PodInitializing")
                {
                    self.start(slot).await;
                }
            }
            None => {
                for slot in 0..self.slots.len() {
                    let fresh = matches!(&self.slots[slot].state, State::Waiting { reason, .. } if reason == "ContainerCreating");
                    if !self.slots[slot].init && fresh {
                        self.start(slot).await;
                    }
                }
            }
        }
    }

    async fn start(&mut self, index: usize) {
        let image = self.slots[index].spec.image.clone().unwrap_or_default();
        let image = match images::find(&self.shared.place, &image) {
            Ok(image) => image,
            Err(error) => {
                self.slots[index].state =
                    State::Waiting { reason: "ErrImagePull".into(), message: format!("{error:#}") };
                return self.try_later(index, Duration::from_secs(5));
            }
        };
        if let Err(error) = self.try_to_start(index, image).await {
            self.slots[index].state =
                State::Waiting { reason: "CreateContainerConfigError".into(), message: format!("{error:#}") };
            self.try_later(index, Duration::from_secs(1));
        }
    }

    fn try_later(&self, slot: usize, delay: Duration) {
        let events = self.events.clone();
        tokio::spawn(async move {
            sleep(delay).await;
            let _ = events.send(Event::Try { slot });
        });
    }

    async fn try_to_start(&mut self, index: usize, image: images::Image) -> Result<()> {
        let sandbox = self.sandbox.as_ref().context("there is no sandbox")?;
        let (address, holder) = (sandbox.address, sandbox.pid());
        let spec = self.slots[index].spec.clone();
        let environment =
            environment::variables(&self.shared.client, &self.pod, &spec, address, &image.environment)
                .await?;
        let given = Given {
            pod: &self.pod,
            container: &spec,
            image: &image,
            environment: &environment,
            volumes: &self.volumes,
            address,
            folder: &self.folder,
        };
        let plan = given.plan()?;
        let plan_file = self.folder.join(format!("{}.json", spec.name));
        let namespace = self.pod.namespace().unwrap_or_default();
        let log = self
            .shared
            .place
            .logs()
            .join("pods")
            .join(namespace)
            .join(self.pod.name_any())
            .join(format!("{}.log", spec.name));
        let slot = &mut self.slots[index];
        slot.generation += 1;
        let generation = slot.generation;
        let events = self.events.clone();
        let (started, start) = oneshot::channel();
        // One thread from start to end: a program that wants to end with its parent, as Envoy does when it may be restarted
        // hot, ends with the thread that started it.
        std::thread::spawn(move || {
            let mut child = match container::start(&plan, &plan_file, holder, &log) {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = child.id();
            let _ = started.send(Ok(pid));
            let code = child.wait().map_or(255, process::exit_code);
            // What the container's main process left behind goes with it.
            let _ = process::signal_group(pid, Signal::KILL);
            let _ = events.send(Event::Ended { slot: index, generation, code });
        });
        let pid = start.await??;
        let slot = &mut self.slots[index];
        slot.state = State::Running { pid, since: Timestamp::now() };
        slot.environment = environment.clone();
        slot.started = spec.startup_probe.is_none();
        slot.ready = slot.started && spec.readiness_probe.is_none();
        if !slot.init {
            let target = Target { address, main_pid: pid, environment, container: spec };
            let task = tokio::spawn(health::watch(
                self.http.clone(),
                target,
                index,
                generation,
                self.events.clone(),
            ));
            slot.probes.push(task.abort_handle());
        }
        Ok(())
    }

    /// Notes the end of a container and decides whether and when it starts again.
    fn ended(&mut self, index: usize, code: i32) {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()).unwrap_or_default();
        let slot = &mut self.slots[index];
        slot.probes.drain(..).for_each(|task| task.abort());
        let State::Running { since, .. } = slot.state else { return };
        let ended = Ended { code, since, until: Timestamp::now() };
        (slot.started, slot.ready) = (false, false);
        let again = match policy.as_str() {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => !(slot.init && code == 0),
        };
        if !again {
            slot.state = State::Ended(ended);
            return;
        }
        let ran = ended.until.as_second() - ended.since.as_second();
        slot.last = Some(ended);
        // Shorter than a kubelet's, so that runs which kill the controller need not wait for minutes.
        let delay = if ran >= 10 { 0 } else { (1u64 << slot.restarts.min(5)) / 2 };
        slot.restarts += 1;
        slot.state = State::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: format!("back-off {delay}s restarting failed container={}", slot.spec.name),
        };
        self.try_later(index, Duration::from_secs(delay));
    }

    /// Writes the status if it changed; false when that failed and has to be tried again.
    async fn publish(&mut self) -> bool {
        let status = self.status();
        if status == self.published {
            return true;
        }
        let patch = json!({"metadata": {"uid": self.pod.uid()}, "status": status});
        let (name, parameters) = (self.pod.name_any(), PatchParams::default());
        let patch = Patch::Merge(&patch);
        let write = self.api.patch_status(&name, &parameters, &patch);
        match timeout(Duration::from_secs(15), write).await {
            Ok(Ok(_)) => {
                self.published = status;
                true
            }
            // Gone, or another pod of the same name: nothing to report any more.
            Ok(Err(kube::Error::Api(error))) if error.code == 404 || error.code == 409 => true,
            _ => false,
        }
    }

    fn status(&mut self) -> Value {
        let initialized = self.slots.iter().filter(|slot| slot.init).all(succeeded);
        let ends: Vec<Option<i32>> = self
            .slots
            .iter()
            .filter(|slot| !slot.init)
            .map(|slot| if let State::Ended(ended) = &slot.state { Some(ended.code) } else { None })
            .collect();
        let init_failed = self
            .slots
            .iter()
            .any(|slot| slot.init && matches!(&slot.state, State::Ended(ended) if ended.code != 0));
        let running = self
            .slots
            .iter()
            .any(|slot| !slot.init && (slot.generation > 0 || matches!(slot.state, State::Running { .. })));
        let phase = if init_failed
            || (ends.iter().all(Option::is_some) && ends.iter().any(|code| *code != Some(0)))
        {
            "Failed"
        } else if ends.iter().all(|code| *code == Some(0)) {
            "Succeeded"
        } else if running {
            "Running"
        } else {
            "Pending"
        };
        let show = |init: bool| -> Vec<Shown<'_>> {
            self.slots
                .iter()
                .filter(|slot| slot.init == init)
                .map(|slot| Shown {
                    name: &slot.spec.name,
                    image: slot.spec.image.as_deref().unwrap_or_default(),
                    state: &slot.state,
                    last: slot.last.as_ref(),
                    ready: if init { succeeded(slot) } else { slot.ready },
                    started: slot.started,
                    restarts: slot.restarts,
                })
                .collect()
        };
        let picture = Picture {
            address: self.sandbox.as_ref().map(|sandbox| sandbox.address),
            since: self.since,
            phase,
            initialized,
            init: show(true),
            main: show(false),
        };
        picture.to_status(&mut self.conditions, Timestamp::now())
    }

    /// Pre-stop hooks, SIGTERM, the grace period, SIGKILL; then the object is let go.
    async fn terminate(&mut self, news: &mut News) {
        let latest = news.borrow().clone();
        let Some(pod) = latest else { return };
        let grace =
            pod.metadata.deletion_grace_period_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(30);
        let deadline = Instant::now() + Duration::from_secs(grace);
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if let State::Running { pid, .. } = slot.state {
                let hook = slot.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone());
                let target = Target {
                    address: self.sandbox.as_ref().map_or(network::NODE, |sandbox| sandbox.address),
                    main_pid: pid,
                    environment: slot.environment.clone(),
                    container: slot.spec.clone(),
                };
                tokio::spawn(stop_gently(self.http.clone(), target, hook, deadline));
            }
        }
        while self.slots.iter().any(|slot| matches!(slot.state, State::Running { .. })) {
            tokio::select! {
                biased;
                event = self.inbox.recv() => match event {
                    Some(Event::Ended { slot, generation, code }) if generation == self.slots[slot].generation => {
                        let slot = &mut self.slots[slot];
                        slot.probes.drain(..).for_each(|task| task.abort());
                        (slot.started, slot.ready) = (false, false);
                        if let State::Running { since, .. } = slot.state {
                            slot.state = State::Ended(Ended { code, since, until: Timestamp::now() });
                        }
                        self.publish().await;
                    }
                    // Endpoints that still serve while they terminate are told by readiness.
                    Some(Event::Ready { slot, generation, ready }) if generation == self.slots[slot].generation => {
                        self.slots[slot].ready = ready;
                        self.publish().await;
                    }
                    Some(_) => {}
                    None => break,
                },
                () = sleep_until(deadline) => {
                    self.kill_all();
                    break;
                }
            }
        }
        self.kill_all();
        self.let_go().await;
    }

    fn kill_all(&self) {
        for slot in &self.slots {
            if let State::Running { pid, .. } = slot.state {
                let _ = process::signal_group(pid, Signal::KILL);
            }
        }
    }

    /// Deletes the object at last; tries until the API server has taken it.
    async fn let_go(&self) {
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = self.pod.name_any();
        loop {
            let delete = self.api.delete(&name, &parameters);
            match timeout(Duration::from_secs(15), delete).await {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(error))) if error.code == 404 || error.code == 409 => return,
                _ => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    fn clean_up(&mut self) {
        self.kill_all();
        for slot in &mut self.slots {
            slot.probes.drain(..).for_each(|task| task.abort());
        }
        self.sandbox = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn succeeded(slot: &Slot) -> bool {
    matches!(&slot.state, State::Ended(ended) if ended.code == 0)
}

/// Ends when the pod is to be deleted.
async fn deleted(mut news: News) {
    loop {
        if news.borrow_and_update().as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()) {
            return;
        }
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn stop_gently(
    http: reqwest::Client,
    target: Target,
    hook: Option<LifecycleHandler>,
    deadline: Instant,
) {
    if let Some(hook) = hook {
        let run = async {
            if let Some(pause) = hook.sleep {
                sleep(Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0))).await;
            } else {
                let as_probe = Probe {
                    exec: hook.exec,
                    http_get: hook.http_get,
                    timeout_seconds: Some(3600),
                    ..Probe::default()
                };
                // A hook that fails does not keep the container.
                let _ = probe::check(&http, &as_probe, &target).await;
            }
        };
        tokio::select! {
            () = run => {}
            () = sleep_until(deadline) => {}
        }
    }
    let _ = process::signal(target.main_pid, Signal::TERM);
}
