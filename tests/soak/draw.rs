//! Draws histories. What a seed gives must not change: the corpus and the documentation name seeds.

#![expect(clippy::match_overlapping_arm, reason = "the bounds of shares of a hundred are read in order")]

use super::chance::Chance;
use super::history::{
    Act, Broken, End, Fault, History, KINDS, Router, Side, Spec, Strategy, Trouble, Version,
};
use super::scenes;

/// The history of a seed. From [`SCENES_FROM`] on it has scenes as well.
pub fn history(seed: u64) -> History {
    let mut history = single_acts(seed);
    if seed < SCENES_FROM {
        return history;
    }
    let mut chance = Chance::seeded(seed.wrapping_mul(0x9e6c_63d0_876a_68ee) ^ 0x5ce7e);
    let push = history.script.iter().find(|(_, act)| *act == Act::Push(2)).map_or(0, |(at, _)| *at);
    if chance.percent(50) {
        // Whatever else happens hides what a scene shows.
        history.script.retain(|(at, _)| *at <= push);
        history.faults.clear();
    }
    let History { spec, versions, kind_from, .. } = &mut history;
    let kinds = if seed < ALL_SCENES_FROM { 9 } else { 11 };
    let scene = scenes::scenes(&mut chance, kinds, spec, versions, push, *kind_from);
    history.script.extend(scene.script);
    history.script.sort_by_key(|(at, _)| *at);
    history.faults.extend(scene.faults);
    history.faults.sort_by_key(|fault| fault.from);
    history
}

/// The first seed whose history has scenes.
const SCENES_FROM: u64 = 1001;

/// The first seed whose history may have each of the scenes.
pub const ALL_SCENES_FROM: u64 = 2001;

/// The part of a history whose acts and faults are drawn each by itself.
fn single_acts(seed: u64) -> History {
    let mut chance = Chance::seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
    let spec = spec(&mut chance);
    let versions = versions(&mut chance);
    let kind_from = chance.within(120, 480);
    let script = script(&mut chance, versions.len(), kind_from);
    let faults = faults(&mut chance, kind_from);
    let end = match chance.within(1, 100) {
        ..=50 => End::GoodPush,
        ..=70 => End::BadPush,
        ..=80 => End::Back,
        _ => End::Deletion,
    };
    let startup = if chance.percent(70) { chance.within(1, 6) } else { chance.within(7, 25) };
    let stop = if chance.percent(80) { 1 } else { chance.within(2, 20) };
    let rests_before_end = chance.percent(60);
    let mut spec = spec;
    // Of a DaemonSet one pod after the other is replaced, on as many nodes as there are replicas.
    let turns = if spec.daemon_set { spec.replicas } else { 1 };
    spec.deadline = spec.deadline.max(turns * (startup + stop + 5));
    History { seed, spec, versions, startup, stop, script, faults, kind_from, end, rests_before_end }
}

fn spec(chance: &mut Chance) -> Spec {
    let router = match chance.within(1, 10) {
        ..=5 => Router::Istio,
        ..=8 => Router::Gateway,
        _ => Router::Kubernetes,
    };
    let routed = router != Router::Kubernetes;
    let strategy = match chance.within(1, 100) {
        ..=45 if routed => {
            Strategy::By { step: chance.within(15, 60), max: chance.one(&[30, 50, 50, 60, 80, 100]) }
        }
        ..=60 if routed => chance
            .one(&[vec![10, 60], vec![5, 30, 80], vec![50, 100], vec![1, 100], vec![40]])
            .as_slice()
            .to_vec()
            .into(),
        ..=80 if routed => Strategy::AbTesting(chance.within(1, 3)),
        _ => Strategy::BlueGreen(chance.within(1, 3)),
    };
    let weighted = matches!(strategy, Strategy::By { .. } | Strategy::List(_));
    let mut hooks = Vec::new();
    if chance.percent(40) {
        for hook in [
            "confirm-rollout",
            "pre-rollout",
            "rollout",
            "confirm-traffic-increase",
            "confirm-promotion",
            "post-rollout",
            "rollback",
            "event",
        ] {
            if chance.percent(25) {
                hooks.push(hook);
            }
        }
    }
    let daemon_set = chance.percent(15);
    let mirror = routed && !matches!(strategy, Strategy::AbTesting(_)) && chance.percent(20);
    Spec {
        router,
        daemon_set,
        replicas: chance.within(1, 3),
        autoscaler: !daemon_set && chance.percent(30),
        recreate: !daemon_set && chance.percent(10),
        interval: chance.one(&[10, 10, 15, 20, 30]),
        threshold: chance.within(1, 4),
        deadline: chance.one(&[30, 40, 60, 120]),
        promotion_step: (weighted && chance.percent(25)).then(|| chance.within(20, 60)),
        mirror,
        affinity: weighted && !mirror && chance.percent(20),
        skip_analysis: chance.percent(7),
        revert: chance.percent(30),
        suspend: false,
        broken: false,
        holds: chance.percent(20),
        builtin: router == Router::Istio && chance.percent(50),
        hooks,
        timeout: 15,
        strategy,
    }
}

impl From<Vec<u64>> for Strategy {
    fn from(steps: Vec<u64>) -> Self {
        Self::List(steps)
    }
}

fn versions(chance: &mut Chance) -> Vec<Version> {
    let mut versions = vec![Version::Good];
    for _ in 0..chance.within(2, 4) {
        versions.push(match chance.within(1, 100) {
            ..=55 => Version::Good,
            ..=68 => Version::Errors,
            ..=76 => Version::Slow,
            ..=82 => Version::NeverReady,
            ..=88 => Version::Crashes,
            ..=93 => Version::NoImage,
            _ => Version::PrimaryNeverReady,
        });
    }
    versions
}

fn script(chance: &mut Chance, versions: usize, until: u64) -> Vec<(u64, Act)> {
    let mut script = vec![(chance.within(0, 30), Act::Push(2))];
    for _ in 0..chance.within(0, 6) {
        let at = chance.within(0, until - 1);
        let version = usize::try_from(chance.within(1, versions as u64)).expect("a number");
        let services = ["app", "app-primary", "app-canary"];
        let asks = ["pause", "resume", "approve", "promote", "abort", "retry"];
        let act = match chance.within(1, 100) {
            ..=32 => Act::Push(version),
            ..=36 => Act::Threshold(chance.within(1, 5)),
            ..=39 => Act::Timeout(chance.within(5, 9)),
            ..=41 => Act::SkipAnalysis(chance.percent(50)),
            ..=46 => Act::Suspend(true),
            ..=50 => Act::Suspend(false),
            ..=53 => Act::Break(true),
            ..=55 => Act::Break(false),
            ..=57 => Act::Reverting(chance.percent(70)),
            ..=59 => Act::Steps(chance.within(10, 70)),
            ..=69 => Act::Ask(chance.one(&asks)),
            ..=72 => Act::DeleteCanary,
            ..=74 => Act::CreateCanary,
            ..=76 => Act::DeleteTarget,
            ..=78 => Act::CreateTarget(version),
            ..=83 => Act::Die(Side::Canary),
            ..=87 => Act::Die(Side::Primary),
            ..=89 => Act::Recover,
            ..=91 => Act::DeletePrimary,
            ..=93 => Act::DeleteService(chance.one(&services)),
            ..=95 => Act::Drift(chance.within(0, 100)),
            ..=97 => Act::DeleteRoutes,
            ..=98 => Act::Scale(chance.within(0, 4)),
            _ => Act::Load(chance.within(20, 200)),
        };
        script.push((at, act));
        match act {
            Act::DeleteTarget if chance.percent(80) => {
                script.push((at + chance.within(0, 60), Act::CreateTarget(version)));
            }
            Act::DeleteCanary if chance.percent(80) => {
                script.push((at + chance.within(0, 60), Act::CreateCanary));
            }
            Act::Die(_) if chance.percent(80) => script.push((at + chance.within(1, 90), Act::Recover)),
            _ => {}
        }
    }
    script.retain(|(at, _)| *at < until);
    script.sort_by_key(|(at, _)| *at);
    script
}

fn faults(chance: &mut Chance, until: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    if chance.percent(10) {
        return faults;
    }
    for _ in 0..chance.within(1, 5) {
        let from = chance.within(0, until - 10);
        let long = chance.one(&[3, 10, 30, 60, 120]);
        let to = (from + chance.within(1, long)).min(until);
        let what = match chance.within(1, 100) {
            ..=8 => Trouble::Conflicts(chance.one(&[20, 50, 100])),
            ..=14 => Trouble::Throttled(
                chance.one(&[20, 60, 100]),
                u32::try_from(chance.within(1, 9)).expect("small"),
            ),
            ..=21 => Trouble::Fails(chance.one(&[20, 50, 100]), chance.one(&[500, 503, 504])),
            ..=25 => Trouble::Forbidden(chance.one(&KINDS)),
            ..=29 => Trouble::Refused(chance.one(&KINDS)),
            ..=36 => Trouble::Lost(chance.one(&[20, 50, 100])),
            ..=40 => Trouble::Dropped(chance.one(&[10, 50, 100])),
            ..=44 => Trouble::Late(chance.one(&[100, 700, 3000])),
            ..=48 => Trouble::WatchesEnd,
            ..=51 => Trouble::WatchesSilent,
            ..=55 => Trouble::WatchesLag,
            ..=58 => Trouble::Expired,
            ..=62 => Trouble::ClusterSlow(chance.one(&[500, 2000, 5000])),
            ..=69 => Trouble::Metrics(broken(chance)),
            ..=74 => Trouble::Hooks(broken(chance)),
            ..=93 => Trouble::Crash { write: chance.within(1, 12), after: chance.percent(50) },
            _ => Trouble::Handover,
        };
        faults.push(Fault { from, to, what });
    }
    faults.sort_by_key(|fault| fault.from);
    faults
}

fn broken(chance: &mut Chance) -> Broken {
    chance.one(&[
        Broken::Unreachable,
        Broken::Hangs,
        Broken::Refuses,
        Broken::Nothing,
        Broken::NotANumber,
        Broken::SaysNo,
    ])
}
