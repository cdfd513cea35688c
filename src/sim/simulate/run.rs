//! One release in the simulated world, from the push to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kubesim::{PodBehaviour, PodRules};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::chance::{Chance, number};
use super::flow::{NEW, flow};
use super::network::Network;
use super::outcome::{Check, Entry, EntryKind, Outcome, Point, Requests, Verdict};
use super::plan::{Plan, Subject};
use super::record::{Record, Story, What};
use super::scenario::{ByHand, Pods, Scenario};
use super::traffic::{Cell, Counted, Traffic};
use super::values::length;
use crate::model::by_hand::REQUEST;
use crate::model::release::TargetKind;
use crate::sim::world::World;

/// Releases a new version of everything that `plan` has, under `scenario`; chance follows from `seed`.
///
/// # Errors
/// If the Canaries do not come up.
pub fn run(plan: &Plan, scenario: &Scenario, seed: u64) -> Result<Vec<Outcome>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.map_err(|why| format!("no runtime: {why}"))?.block_on(async {
        let mut stage = Stage::open(plan, scenario)?;
        let controller = stage.world.start_controller_over(Arc::new(stage.network.clone()));
        stage.come_up().await?;
        stage.release(seed).await;
        let outcomes = plan.subjects.iter().map(|subject| stage.outcome(subject)).collect();
        stage.watcher.abort();
        controller.stop().await;
        Ok(outcomes)
    })
}

struct Stage<'a> {
    plan: &'a Plan,
    scenario: &'a Scenario,
    world: World,
    network: Network,
    record: Record,
    /// Follows where requests go.
    watcher: JoinHandle<()>,
    pushed: DateTime<Utc>,
    /// How many versions were pushed.
    versions: u32,
    pods: Pods,
    /// When each Canary came to its end, by its title.
    ended: BTreeMap<String, Duration>,
}

impl<'a> Stage<'a> {
    fn open(plan: &'a Plan, scenario: &'a Scenario) -> Result<Self, String> {
        let world = plan.empty_world();
        let pods = scenario.at(Duration::ZERO).pods;
        set_pods(&world, pods);
        for object in &plan.objects {
            world.kube.apply("kubectl", object.clone()).map_err(|why| why.to_string())?;
        }
        let record = Record::new(world.clock());
        let notes = record.clone();
        world.kube.observe(move |change| notes.note(change));
        let asked = Arc::clone(&record.asked);
        let network = Network::new(world.clone(), plan.settings.clone(), scenario.clone(), asked);
        let watcher =
            tokio::spawn(follow(world.clone(), plan.subjects.clone(), network.clone(), record.clone()));
        let pushed = world.now();
        Ok(Self {
            plan,
            scenario,
            world,
            network,
            record,
            watcher,
            pushed,
            versions: 0,
            pods,
            ended: BTreeMap::new(),
        })
    }

    /// Waits until the controller has made primaries, Services and routes of all Canaries.
    async fn come_up(&self) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + UP;
        loop {
            let down = |subject: &&Subject| self.record.phase(&subject.title()) != "Initialized";
            let Some(waiting) = self.plan.subjects.iter().find(down) else { break };
            let changed = self.record.canary_changed.notified();
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let title = waiting.title();
                let said =
                    self.record.story(&title).entries.into_iter().rev().find_map(|(_, what)| match what {
                        What::Event { warning: true, message } => Some(message),
                        _ => None,
                    });
                let said = said.unwrap_or_else(|| "the controller does not say why".to_owned());
                return Err(format!("Canary {title} does not come up within {}: {said}", length(UP)));
            }
        }
        // The last that is said of it.
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Pushes, lets happen what the scenario says, and waits until all have ended.
    async fn release(&mut self, seed: u64) {
        self.pushed = self.world.now();
        let start = self.scenario.at(Duration::ZERO);
        let traffic = (1..).zip(&self.plan.subjects).map(|(index, subject)| {
            let chance = Chance::seeded(seed.wrapping_mul(1_000_003).wrapping_add(index));
            (subject.title(), Traffic::new(chance, start))
        });
        self.network.push(traffic.collect());
        self.record.flow_changed.notify_one();
        self.push(None);
        let mut changes = self.scenario.changes().into_iter().peekable();
        let (canary_changed, clock) = (Arc::clone(&self.record.canary_changed), self.world.clock());
        loop {
            let next = changes.peek().copied().filter(|at| *at < self.scenario.limit);
            if next.is_none_or(|_| !self.acts_later()) && self.all_ended() {
                break;
            }
            let due = self.pushed + next.unwrap_or(self.scenario.limit);
            tokio::select! {
                biased;
                () = canary_changed.notified() => self.note_ends(),
                () = clock.sleep_until(due) => match changes.next_if(|_| next.is_some()) {
                    Some(at) => self.change(at),
                    None => break,
                },
            }
        }
        // The last events are written.
        tokio::time::sleep(PAUSE).await;
    }

    /// Whether the scenario still does something that could begin another release.
    fn acts_later(&self) -> bool {
        let now = self.now();
        let acts = |phase: &super::scenario::Phase| phase.push || phase.by_hand.is_some();
        self.scenario.phases.iter().any(|phase| phase.at.0 > now && acts(phase))
    }

    fn now(&self) -> Duration {
        (self.world.now() - self.pushed).to_std().unwrap_or_default()
    }

    fn all_ended(&self) -> bool {
        self.ended.len() == self.plan.subjects.len()
    }

    fn note_ends(&mut self) {
        let now = self.now();
        for subject in &self.plan.subjects {
            let title = subject.title();
            if matches!(self.record.phase(&title).as_str(), "Succeeded" | "Failed") {
                self.ended.entry(title).or_insert(now);
            } else {
                self.ended.remove(&title);
            }
        }
    }

    /// Does what the scenario says for a time.
    fn change(&mut self, at: Duration) {
        let conditions = self.scenario.at(at);
        for subject in &self.plan.subjects {
            self.network.with(&subject.title(), |traffic| traffic.behaves(at, conditions));
        }
        if self.scenario.metrics_are_down(at) != self.scenario.metrics_are_down(at.saturating_sub(MOMENT)) {
            let gone = if self.scenario.metrics_are_down(at) { "do not answer" } else { "answer again" };
            self.say_all(&format!("the metrics servers {gone}"));
        }
        if std::mem::replace(&mut self.pods, conditions.pods) != conditions.pods {
            set_pods(&self.world, conditions.pods);
        }
        for phase in self.scenario.phases.iter().filter(|phase| phase.at.0 == at) {
            for text in phase.said() {
                self.say_all(&text);
            }
            if phase.push {
                self.push(phase.canary.as_deref());
            }
            if let Some(request) = phase.by_hand {
                self.ask(phase.canary.as_deref(), request);
            }
        }
    }

    fn say_all(&self, text: &str) {
        for subject in &self.plan.subjects {
            self.record.say(&subject.title(), What::Scenario(text.to_owned()));
        }
    }

    fn chosen(&self, canary: Option<&str>) -> Vec<&'a Subject> {
        let named = |subject: &&Subject| {
            canary.is_none_or(|wanted| wanted == subject.release.name || wanted == subject.title())
        };
        self.plan.subjects.iter().filter(named).collect()
    }

    /// Gives the targets an image of one more version.
    fn push(&mut self, canary: Option<&str>) {
        self.versions += 1;
        for subject in self.chosen(canary) {
            let release = &subject.release;
            let image = new_image(&subject.image, self.versions);
            self.record.say(&subject.title(), What::Scenario(format!("push {image}")));
            self.ended.remove(&subject.title());
            self.world.set_image(&release.namespace, &release.target.name, &image);
        }
    }

    /// Asks for something by hand, as `vexil pause` and the others do.
    fn ask(&self, canary: Option<&str>, request: ByHand) {
        let action = request.action().as_str();
        for subject in self.chosen(canary) {
            let (namespace, name) = (&subject.release.namespace, &subject.release.name);
            let status = self.world.status(namespace, name);
            let revision = status["releasing"]["name"].as_str().or(status["lastAppliedSpec"].as_str());
            let text =
                format!("{action} {} by=scenario at={}", revision.unwrap_or_default(), self.now().as_secs());
            self.record.say(&subject.title(), What::Scenario(format!("somebody asks to {action}")));
            let patch = json!({"metadata": {"annotations": {REQUEST: text}}});
            // A Canary that is gone cannot be asked.
            let _ = self.world.kube.patch("vexil-cli", "canaries.flagger.app", namespace, name, patch);
        }
    }

    fn outcome(&self, subject: &Subject) -> Outcome {
        let title = subject.title();
        let story = self.record.story(&title);
        let now = self.ended.get(&title).copied().unwrap_or_else(|| self.now());
        let verdict = match (self.ended.contains_key(&title), story.phase.as_str()) {
            (true, "Succeeded") => Verdict::Promoted,
            (true, _) => Verdict::RolledBack,
            (false, _) => Verdict::Unfinished,
        };
        let timeline = self.timeline(&story);
        let cells = self.network.with(&title, |traffic| traffic.cells(now).to_vec()).unwrap_or_default();
        let status = self.world.status(&subject.release.namespace, &subject.release.name);
        Outcome {
            reason: reason(verdict, &timeline, &status),
            stopped_by: stopped_by(verdict, &timeline),
            highest_weight: story.highest_weight(),
            requests: requests(&cells, now),
            plot: plot(&cells, now),
            canary: title,
            verdict,
            seconds: now.as_secs_f64(),
            timeline,
        }
    }

    /// Weights become part of what follows them. What was measured at a step was measured before the step changed the
    /// weight.
    fn timeline(&self, story: &Story) -> Vec<Entry> {
        let (mut weight, mut before, mut changed) = (0, 0, f64::MIN);
        let mut entries: Vec<Entry> = Vec::new();
        let later = story.entries.iter().filter(|(at, _)| *at >= self.pushed);
        for (at, what) in later {
            let at = (*at - self.pushed).to_std().unwrap_or_default().as_secs_f64();
            let (kind, text, checks) = match what {
                What::Weight(share) => {
                    (before, weight, changed) = (weight, *share, at);
                    continue;
                }
                What::Scenario(text) => (EntryKind::Scenario, text.clone(), Vec::new()),
                What::Event { warning: true, message } => (EntryKind::Warning, message.clone(), Vec::new()),
                What::Event { warning: false, message } => (EntryKind::Event, message.clone(), Vec::new()),
                What::Checks(checks) => (EntryKind::Checks, String::new(), checks.clone()),
            };
            let measured_before = kind == EntryKind::Checks && at - changed < 1.0;
            let weight = if measured_before { before } else { weight };
            entries.push(Entry { at, weight, kind, text, checks });
        }
        entries
    }
}

/// Lets the pods of new versions behave so.
fn set_pods(world: &World, pods: Pods) {
    let behaviour = match pods {
        Pods::Ready => PodBehaviour::ready_after(STARTUP),
        Pods::NeverReady => PodBehaviour::never_ready(),
        Pods::Crash => PodBehaviour::crashes_after(CRASH),
        Pods::BadImage => PodBehaviour::bad_image(),
    };
    let rules = PodRules::default().otherwise(PodBehaviour::ready_after(STARTUP));
    world.kube.set_pod_rules(rules.image(NEW, behaviour));
}

/// Follows where the requests of all releases go.
async fn follow(world: World, subjects: Vec<Subject>, network: Network, record: Record) {
    let routes = world.routes();
    let mut weights: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        for Subject { release, .. } in &subjects {
            let title = release.title();
            let routed = if release.target.kind == TargetKind::Knative {
                world.backend.routed(release.clone())
            } else {
                release.clone()
            };
            let flow = flow(&world, &routes, &routed);
            let Some(now) = network.since_push() else { continue };
            let Some(share) = network.with(&title, |traffic| traffic.flows(now, flow)) else { continue };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a percentage")]
            let weight = (share * 100.0).round() as u32;
            if weights.insert(title.clone(), weight).unwrap_or_default() != weight {
                record.say(&title, What::Weight(weight));
            }
        }
        record.flow_changed.notified().await;
    }
}

/// The image of a version that is pushed.
fn new_image(image: &str, version: u32) -> String {
    let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
    let name = match without_digest.rsplit_once(':') {
        // A port of the registry is no tag.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => without_digest,
    };
    let number = if version > 1 { format!("-{version}") } else { String::new() };
    format!("{name}{NEW}{number}")
}

fn requests(cells: &[Cell], now: Duration) -> Requests {
    let mut all = Counted::default();
    cells.iter().filter(|cell| cell.from < now).for_each(|cell| all.add(&cell.counted));
    let beyond = (number(all.new_failed) - all.new_expected).max(0.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    let beyond = beyond as u64;
    Requests {
        all: all.users,
        new_version: all.new,
        new_version_failed: all.new_failed,
        hurt: beyond + all.unanswered,
        old_version_failed: all.old_failed,
        unanswered: all.unanswered,
    }
}

/// The cells in so many groups that a picture can show them.
fn plot(cells: &[Cell], now: Duration) -> Vec<Point> {
    let width = (now.as_secs_f64() / POINTS).max(5.0);
    let mut points: Vec<Point> = Vec::new();
    let mut group: Vec<&Cell> = Vec::new();
    let mut flush = |group: &mut Vec<&Cell>| {
        let Some(first) = group.first() else { return };
        let mut all = Counted::default();
        let mut share: f64 = 0.0;
        for cell in group.iter() {
            all.add(&cell.counted);
            share = share.max(cell.share);
        }
        let failed = all.new_failed + all.old_failed + all.unanswered;
        points.push(Point {
            at: first.from.as_secs_f64(),
            share: share * 100.0,
            measured: all.measured,
            error_rate: (all.measured > 0)
                .then(|| 100.0 * number(all.measured_failed) / number(all.measured)),
            users_error_rate: if all.users == 0 { 0.0 } else { 100.0 * number(failed) / number(all.users) },
        });
        group.clear();
    };
    let mut ends = width;
    for cell in cells.iter().filter(|cell| cell.from < now) {
        if cell.from.as_secs_f64() >= ends {
            flush(&mut group);
            while cell.from.as_secs_f64() >= ends {
                ends += width;
            }
        }
        group.push(cell);
    }
    flush(&mut group);
    points
}

fn reason(verdict: Verdict, timeline: &[Entry], status: &Value) -> Option<String> {
    match verdict {
        Verdict::Promoted => None,
        Verdict::RolledBack => {
            let told = |text: &str| text.starts_with("Rolling back ") || text.starts_with("Promotion of ");
            let entry = timeline.iter().rev().find(|entry| told(&entry.text));
            entry
                .or(timeline.iter().rev().find(|entry| entry.kind == EntryKind::Warning))
                .map(|entry| entry.text.clone())
        }
        Verdict::Unfinished => {
            let blocker = status["blockers"].as_array().and_then(|blockers| {
                let not_time = |blocker: &&Value| blocker["type"] != "NextCheck";
                blockers.iter().find(not_time).or(blockers.first())
            });
            let blocked = blocker.and_then(|blocker| blocker["message"].as_str()).map(str::to_owned);
            blocked.or_else(|| {
                timeline
                    .iter()
                    .rev()
                    .find(|entry| entry.kind == EntryKind::Warning)
                    .map(|entry| entry.text.clone())
            })
        }
    }
}

/// The check that failed last before a rollback, with its numbers; else the last warning before it.
fn stopped_by(verdict: Verdict, timeline: &[Entry]) -> Option<String> {
    if verdict == Verdict::Promoted {
        return None;
    }
    let end = timeline.iter().rposition(|entry| entry.text.starts_with("Rolling back "))?;
    if !timeline[end].text.contains("failed checks threshold") && !timeline[end].text.contains("limit") {
        return None;
    }
    let before = timeline[..end].iter().rev();
    let halt = before.clone().find(|entry| entry.kind == EntryKind::Warning)?;
    let checks = before.filter(|entry| entry.kind == EntryKind::Checks).flat_map(|entry| &entry.checks);
    let failed: Vec<&Check> = checks.filter(|check| check.verdict == "Failed").collect();
    let Some(last) = failed.first() else { return Some(halt.text.clone()) };
    let times = failed.iter().filter(|check| check.name == last.name).count();
    Some(format!("{}, failed {times} {}", last.text(), if times == 1 { "time" } else { "times" }))
}

/// How long a Canary may take to come up.
const UP: Duration = Duration::from_secs(3600);
/// After that nothing more is said of what has just happened.
const PAUSE: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_nanos(1);
/// Of a pod, from its creation until it is ready.
const STARTUP: Duration = Duration::from_secs(10);
/// Of a pod, from its start until it crashes.
const CRASH: Duration = Duration::from_secs(15);
/// As many as a chart can show.
const POINTS: f64 = 120.0;
