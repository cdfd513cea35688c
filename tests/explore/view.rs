//! What the controller sees of a small world: the snapshot, as its `observe` makes it from the caches.

use chrono::TimeDelta;
use vexil::api::hooks::HookType;
use vexil::api::status::Phase;
use vexil::model::answer::{Measured, Verdict};
use vexil::model::by_hand::{Action, Request, Wish};
use vexil::model::traffic::{Acceptance, RouteState, SETTLE, Split};
use vexil::model::workload::{Form, Lack, Presence, PrimaryFacts, Readiness, TargetFacts};
use vexil::rollout::{
    Answer, Answers, Ask, Checkable, Endpoints, Lifecycle, Question, RoutesSeen, ServicesSeen, Snapshot,
    Turn, cookies,
};

use super::canon::{Statuses, now};
use super::spec::Spec;
use super::world::{Ago, Pods, REVISIONS, Rev, Seen, World};

/// What can be heard of a question.
pub const YES: u8 = 1;
pub const NO: u8 = 2;
pub const NO_DATA: u8 = 3;
pub const NAN: u8 = 4;
pub const ERROR: u8 = 5;

/// A snapshot of which most can be used again for the next world.
pub fn blank(spec: &Spec) -> Snapshot {
    Snapshot {
        now: now(),
        release: spec.manifests[0].clone(),
        status: Default::default(),
        warnings: Vec::new(),
        target_warnings: Vec::new(),
        lifecycle: Lifecycle::default(),
        capabilities: spec.capabilities,
        target: Err(String::new()),
        primary: None,
        primary_remembered: false,
        services: ServicesSeen {
            apex: Presence::Absent,
            primary: Presence::Absent,
            canary: Presence::Absent,
        },
        endpoints: Endpoints::default(),
        capacity: 50,
        scaler: Presence::InPlace,
        routes: RoutesSeen::Absent,
        acceptance: Acceptance::Accepted,
        settle: SETTLE,
        groundwork: Presence::InPlace,
        checkable: Checkable::default(),
        turn: Turn::Free,
        answers: Answers::default(),
        unrecorded_step_at: None,
        exposed_at: None,
        wait_recorded_at: None,
        images: Vec::new(),
        request: None,
        cookie_values: None,
    }
}

/// Fills `snapshot` with what is seen of `world`. `shown` is the manifest that is in it already.
pub fn look(spec: &Spec, statuses: &Statuses, world: &mut World, snapshot: &mut Snapshot, shown: &mut u8) {
    if *shown != world.manifest {
        snapshot.release = spec.manifests[usize::from(world.manifest)].clone();
        *shown = world.manifest;
    }
    let release = &mut snapshot.release;
    release.generation = i64::from(world.generation);
    snapshot.status = statuses.get(world.status).clone();
    snapshot.lifecycle =
        Lifecycle { deleting: world.deleting, has_finalizer: world.finalizer, needs_cleanup: false };
    let scaled = release.autoscaler.is_some();
    let configs = |pods: &Pods| {
        spec.configs.then(|| [("configmap/podinfo".to_owned(), format!("v{}", pods.config))].into())
    };
    let target = &world.target;
    snapshot.target = if target.there {
        Ok(TargetFacts {
            uid: format!("uid-{}", target.uid),
            generation: i64::from(target.generation),
            revision: REVISIONS[usize::from(target.rev)].to_owned(),
            replicas: i32::from(target.want),
            ready_pods: i32::from(target.serving().min(target.want)),
            readiness: readiness(target, scaled),
            configs: configs(target),
            config_problem: None,
        })
    } else {
        Err("deployment podinfo.test get query error: not found".to_owned())
    };
    let primary = &world.primary;
    snapshot.primary = primary.there.then(|| PrimaryFacts {
        replicas: i32::from(primary.want),
        ready_pods: i32::from(primary.serving().min(primary.want)),
        readiness: readiness(primary, scaled),
        matches_target: target.there && primary.rev == target.rev && primary.config == target.config,
        other_configs: target.there && primary.config != target.config,
        replaced_at_once: target.there && spec.recreate,
    });
    world.memory.primary |= primary.there;
    snapshot.primary_remembered = !primary.there && world.memory.primary;
    let usable = target.there;
    let presence = |there: bool| if there || !usable { Presence::InPlace } else { Presence::Absent };
    let [apex, front, canary] = world.services.map(presence);
    snapshot.services = ServicesSeen { apex, primary: front, canary };
    let [front, canary] = world.endpoints();
    let lags = |known: Option<u8>, pods: &Pods| known == Some(0) && pods.there && pods.serving() > 0;
    let behind = lags(front, primary) || lags(canary, target);
    world.memory.behind = behind.then(|| world.memory.behind.unwrap_or(0));
    for (since, known) in world.memory.answering.iter_mut().zip([front, canary]) {
        *since = known.filter(|known| *known > 0).map(|_| since.unwrap_or(0));
    }
    let at = |ago: Ago| ago.map(|ago| now() - TimeDelta::seconds(i64::from(ago)));
    snapshot.endpoints = Endpoints {
        primary: front.map(i32::from),
        canary: canary.map(i32::from),
        behind_since: at(world.memory.behind),
        primary_since: at(world.memory.answering[0]),
        canary_since: at(world.memory.answering[1]),
    };
    snapshot.scaler = presence(world.scaler || !scaled);
    let split = Split::canary_gets(u32::from(world.routes.share));
    snapshot.routes = match world.routes.seen {
        Seen::Absent => RoutesSeen::Absent,
        Seen::Refused => RoutesSeen::Refused("the routes cannot be watched: forbidden".to_owned()),
        Seen::There => {
            let in_place = !usable || !world.routes.drifted && has_cookies(&snapshot.status, world, split);
            RoutesSeen::Seen { state: RouteState { split, mirrored: world.routes.mirrored }, in_place }
        }
    };
    snapshot.acceptance = match world.routes.accepted {
        true => Acceptance::Accepted,
        false => Acceptance::Pending("the mesh has not accepted the route yet".to_owned()),
    };
    snapshot.unrecorded_step_at = at(world.memory.unrecorded);
    snapshot.wait_recorded_at = at(world.memory.wait_recorded);
    snapshot.request = world.request.map(|(action, rev, word)| Request {
        text: request_text(action, rev, word),
        wish: Ok(Wish { action: action_of(action), revision: REVISIONS[usize::from(rev)].to_owned() }),
        by: None,
        manager: None,
        at: None,
    });
    snapshot.cookie_values = snapshot.release.analysis.session_affinity.is_some().then(|| {
        let used =
            [&snapshot.status.session_affinity_cookie, &snapshot.status.previous_session_affinity_cookie];
        let taken =
            |letter: &&str| used.iter().any(|cookie| cookie.as_deref().is_some_and(|c| c.ends_with(*letter)));
        let fresh = ["a", "b", "c"].into_iter().find(|letter| !taken(letter)).unwrap_or("c");
        [fresh.to_owned(), "p".to_owned()]
    });
    snapshot.answers.clear();
    for (code, heard) in world.memory.answers.into_iter().filter(|(code, _)| *code > 0) {
        let revision = REVISIONS[usize::from(target.rev)].to_owned();
        let question = Question { revision, step: snapshot.status.last_check_time, ask: ask_of(code) };
        snapshot.answers.insert(question, answer_of(code, heard));
    }
}

/// As `workload::readiness` judges a Deployment with thresholds of 100 %.
fn readiness(pods: &Pods, scaled: bool) -> Readiness {
    let waiting = |lack: Lack| Readiness::Waiting { why: lack.into(), stuck_at: None };
    let (want, fresh) = (i32::from(pods.want), i32::from(pods.fresh()));
    if pods.want == 0 {
        return waiting(Lack::NothingWanted(Form::Deployment));
    }
    if pods.stuck {
        return Readiness::Stuck { why: Lack::PastOwnDeadline("podinfo".to_owned()).into() };
    }
    // Pods that an autoscaler adds are no part of a rollout that is complete.
    if scaled && fresh > 0 && pods.old() == 0 {
        return Readiness::Ready;
    }
    if pods.old() > 0 && fresh >= want {
        return waiting(Lack::OldReplicas(i32::from(pods.old())));
    }
    if fresh < want {
        let lack =
            Lack::NotAvailable { form: Form::Deployment, available: fresh, needed: want, threshold: 100 };
        return waiting(lack);
    }
    Readiness::Ready
}

fn has_cookies(status: &vexil::api::status::CanaryStatus, world: &World, split: Split) -> bool {
    let wanted = letters(&cookies(status, split));
    let told = world.routes.cookies;
    match split.canary() {
        0 => wanted[2] == told[2],
        _ => wanted[..2] == told[..2],
    }
}

/// The letters that tell cookies apart.
pub fn letters(cookies: &vexil::model::traffic::Cookies) -> [u8; 3] {
    [&cookies.canary, &cookies.primary, &cookies.previous]
        .map(|cookie| cookie.as_ref().and_then(|cookie| cookie.bytes().last()).unwrap_or(0))
}

/// The text of a request.
pub fn request_text(action: u8, rev: Rev, word: u8) -> String {
    format!("{} {} id={word}", action_of(action).as_str(), REVISIONS[usize::from(rev)])
}

/// The action of this number, from 1.
pub fn action_of(number: u8) -> Action {
    Action::ALL[usize::from(number) - 1]
}

const PHASES: [Phase; 12] = [
    Phase::Unset,
    Phase::Initializing,
    Phase::Initialized,
    Phase::Waiting,
    Phase::Progressing,
    Phase::WaitingPromotion,
    Phase::Promoting,
    Phase::Finalising,
    Phase::Succeeded,
    Phase::Failed,
    Phase::Terminating,
    Phase::Terminated,
];

/// A number for a question, never 0.
pub fn code_of(ask: &Ask) -> u16 {
    match ask {
        Ask::Providers => 1,
        Ask::Secrets { .. } => 2,
        Ask::Metric { index } => 0x100 + *index as u16,
        Ask::Hook { index, phase } => 0x200 + ((*phase as u16) << 4) + *index as u16,
    }
}

fn ask_of(code: u16) -> Ask {
    match code {
        1 => Ask::Providers,
        2 => Ask::Secrets { of: String::new() },
        code if code < 0x200 => Ask::Metric { index: usize::from(code & 0xff) },
        code => Ask::Hook { index: usize::from(code & 0xf), phase: PHASES[usize::from((code >> 4) & 0xf)] },
    }
}

/// The metric or hook that a code is about.
pub fn metric_of(code: u16) -> Option<usize> {
    (0x100..0x200).contains(&code).then_some(usize::from(code & 0xff))
}

/// The hook that a code is about.
pub fn hook_of(code: u16) -> Option<usize> {
    (code >= 0x200).then_some(usize::from(code & 0xf))
}

fn answer_of(code: u16, heard: u8) -> Answer {
    match (ask_of(code), heard) {
        (Ask::Providers, YES) => Answer::Providers(Ok(())),
        (Ask::Providers, _) => Answer::Providers(Err("prometheus: connection refused".into())),
        (Ask::Secrets { .. }, _) => Answer::Secrets(Vec::new()),
        (Ask::Hook { .. }, YES) => Answer::Hook(Verdict::Passed),
        (Ask::Hook { .. }, _) => Answer::Hook(Verdict::Failed("it says no".into())),
        (Ask::Metric { .. }, heard) => Answer::Metric(match heard {
            YES => Measured::Value(100.0),
            NO => Measured::Value(10.0),
            NO_DATA => Measured::NoData("no values found".into()),
            NAN => Measured::NotANumber,
            _ => Measured::Failed("connection refused".into()),
        }),
    }
}

/// The sort of hook that a code is about.
pub fn hook_kind(spec: &Spec, world: &World, code: u16) -> Option<HookType> {
    let hooks = &spec.manifests[usize::from(world.manifest)].analysis.hooks;
    hook_of(code).and_then(|index| hooks.get(index)).map(|hook| hook.kind)
}
