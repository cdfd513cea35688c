//! Deliberate bugs, to see that histories find them. `make planted` writes them into a copy of the tree, where the
//! variable PLANTED says which of them is there; no build of this tree has any. docs/correctness.md has the table of what
//! was found after how long.

use std::path::Path;
use std::{env, fs};

/// A bug, as the place in the sources where it is planted.
struct Bug {
    name: &'static str,
    file: &'static str,
    /// What stands there once, in sound code.
    sound: &'static str,
    /// What stands there with the bug, which asks [`SWITCH`] whether it is planted.
    planted: &'static str,
}

const fn bug(name: &'static str, file: &'static str, sound: &'static str, planted: &'static str) -> Bug {
    Bug { name, file, sound, planted }
}

/// All bugs, the most blatant first.
const BUGS: &[Bug] = &[
    bug(
        "no wait while traffic settles",
        "src/rollout/rollback.rs",
        "let since = turned.map_or(since, |turned| turned.max(since));",
        "let since = turned.map_or(since, |turned| turned.max(since));
         let since = if crate::planted(\"no wait while traffic settles\") { since - world.settle } else { since };",
    ),
    bug(
        "failed checks count as passed",
        "src/rollout/progress.rs",
        "Judgement::Passed => Flow::Continue(judged.measurements),",
        "Judgement::Passed => Flow::Continue(judged.measurements),
         Judgement::Failed if crate::planted(\"failed checks count as passed\") => Flow::Continue(judged.measurements),",
    ),
    bug(
        "the threshold is never reached",
        "src/rollout/progress.rs",
        "let failed = world.status.failed_checks >= world.release.analysis.threshold;",
        "let failed = world.status.failed_checks >= world.release.analysis.threshold
             && !crate::planted(\"the threshold is never reached\");",
    ),
    bug(
        "safety is left out of each look",
        "src/rollout/safety.rs",
        "match demanded(world) {",
        "match demanded(world).filter(|_| !crate::planted(\"safety is left out of each look\")) {",
    ),
    bug(
        "safety is left out while suspended",
        "src/rollout/safety.rs",
        "if !world.has_routes() || is_handed_over(world) {",
        "let suspended = world.release.suspend && crate::planted(\"safety is left out while suspended\");
         if !world.has_routes() || is_handed_over(world) || suspended {",
    ),
    bug(
        "the promotion gate is left out",
        "src/rollout/progress.rs",
        "let round = gates::round(world, HookType::ConfirmPromotion, Phase::Progressing)?;",
        "if crate::planted(\"the promotion gate is left out\") {
             return Flow::Continue(());
         }
         let round = gates::round(world, HookType::ConfirmPromotion, Phase::Progressing)?;",
    ),
    bug(
        "the gate before a run is left out",
        "src/rollout/resting.rs",
        "let round = if holds::promotes(world) {",
        "let round = if holds::promotes(world) || crate::planted(\"the gate before a run is left out\") {",
    ),
    bug(
        "pre-rollout hooks that fail are ignored",
        "src/rollout/progress.rs",
        "let round = gates::round(world, HookType::PreRollout, Phase::Progressing)?;",
        "let mut round = gates::round(world, HookType::PreRollout, Phase::Progressing)?;
         if crate::planted(\"pre-rollout hooks that fail are ignored\") {
             round.closed = None;
         }",
    ),
    bug(
        "a new revision in a run goes unnoticed",
        "src/rollout/progress.rs",
        "revision::changed(world, target, primary)?;",
        "if !crate::planted(\"a new revision in a run goes unnoticed\") {
             revision::changed(world, target, primary)?;
         }",
    ),
    bug(
        "the interlock lets everything through",
        "src/rollout/interlock.rs",
        "let (primary, canary) = match &world.routes {",
        "if crate::planted(\"the interlock lets everything through\") {
             return Ok(Cleared(wish));
         }
         let (primary, canary) = match &world.routes {",
    ),
    bug(
        "a rollback stops the pods first",
        "src/rollout/rollback.rs",
        "let plan = Plan::status(settled(world, Phase::Failed)).effects(route.map(Effect::Route));",
        "let first = crate::planted(\"a rollback stops the pods first\").then_some(Effect::ScaleToZero);
         let plan = Plan::status(settled(world, Phase::Failed)).effects(first).effects(route.map(Effect::Route));",
    ),
    bug(
        "the status is written before what it tells of",
        "src/controller/act.rs",
        "        for effect in &plan.effects {
            let objects = self.with_contents(effect, scene).await?;",
        "        let early = crate::planted(\"the status is written before what it tells of\")
            && self.status(&scene.canary, observed, &plan.status, memory, now).await?;
        let observed = if early { &plan.status } else { observed };
        for effect in &plan.effects {
            let objects = self.with_contents(effect, scene).await?;",
    ),
    bug(
        "a promotion copies nothing",
        "src/controller/act.rs",
        "Effect::Promote => workload",
        "Effect::Promote if crate::planted(\"a promotion copies nothing\") => Ok(Vec::new()),
         Effect::Promote => workload",
    ),
    bug(
        "the finalizer goes before anything is reverted",
        "src/rollout/terminate.rs",
        "    if world.status.phase != Phase::Terminating {",
        "    if crate::planted(\"the finalizer goes before anything is reverted\") {
             return Flow::Continue(Plan::status(world.status.clone()).effects([Effect::RemoveFinalizer]).into());
         }
         if world.status.phase != Phase::Terminating {",
    ),
    bug(
        "a failed revision is released again",
        "src/rollout/change.rs",
        "    if status.last_applied_spec == target.revision {",
        "    if status.phase == Phase::Failed
             && !runs_on_primary
             && crate::planted(\"a failed revision is released again\")
         {
             return Change::New;
         }
         if status.last_applied_spec == target.revision {",
    ),
    bug(
        "steps come a second apart",
        "src/rollout/snapshot.rs",
        "Some(last) => last + interval,",
        "Some(last) if crate::planted(\"steps come a second apart\") => last + chrono::TimeDelta::seconds(1),
         Some(last) => last + interval,",
    ),
    bug(
        "each step is two",
        "src/rollout/strategy/weighted.rs",
        "(share < *max).then(|| (share + step).min(100))",
        "(share < *max).then(|| (share + step * if crate::planted(\"each step is two\") { 2 } else { 1 }).min(100))",
    ),
    bug(
        "the canary keeps its pods after a promotion",
        "src/rollout/promote.rs",
        "let effects = [Effect::PauseScaler, Effect::ScaleToZero, Effect::Prune];",
        "let keeps = crate::planted(\"the canary keeps its pods after a promotion\");
         let effects = [Effect::PauseScaler, Effect::ScaleToZero, Effect::Prune];
         let effects = effects.into_iter().filter(|effect| !keeps || *effect != Effect::ScaleToZero);",
    ),
    bug(
        "a promotion does not wait for the primary",
        "src/rollout/promote.rs",
        "    match &world.within_deadline(&primary.readiness) {",
        "    if crate::planted(\"a promotion does not wait for the primary\") {
             return Flow::Continue(());
         }
         match &world.within_deadline(&primary.readiness) {",
    ),
    bug(
        "no deadline for the canary's pods",
        "src/rollout/ready.rs",
        "        Readiness::Stuck { why } => {",
        "        Readiness::Stuck { why } if crate::planted(\"no deadline for the canary's pods\") => {
            not_ready(world, &Readiness::Waiting { why: why.clone(), stuck_at: None })
        }
        Readiness::Stuck { why } => {",
    ),
    bug(
        "the status does not say what is waited for",
        "src/rollout/account.rs",
        "        Step::Wait(wait) if",
        "        Step::Wait(wait) if crate::planted(\"the status does not say what is waited for\") => wait.into(),
        Step::Wait(wait) if",
    ),
    bug(
        "nobody remembers that users met the canary",
        "src/rollout/rollback.rs",
        ".max(world.exposed_at.filter(recent));",
        ".max(world.exposed_at.filter(recent).filter(|_| {
             !crate::planted(\"nobody remembers that users met the canary\")
         }));",
    ),
    bug(
        "workloads are believed, not endpoints",
        "src/rollout/snapshot.rs",
        "self.endpoints.primary.or_else(by_workload)",
        "match crate::planted(\"workloads are believed, not endpoints\") {
             true => by_workload().or(self.endpoints.primary),
             false => self.endpoints.primary.or_else(by_workload),
         }",
    ),
    bug(
        "endpoints that change wake nobody",
        "src/controller/observe.rs",
        "reads.extend(sides.iter().map(|service| ENDPOINT_SLICE.at(&service.namespace, &service.name)));",
        "if !crate::planted(\"endpoints that change wake nobody\") {
             reads.extend(sides.iter().map(|service| ENDPOINT_SLICE.at(&service.namespace, &service.name)));
         }",
    ),
    bug(
        "what failed is tried again at once",
        "src/controller/backoff.rs",
        "first.saturating_mul(1 << doublings).min(cap)",
        "match crate::planted(\"what failed is tried again at once\") {
             true => first.min(Duration::from_millis(50)),
             false => first.saturating_mul(1 << doublings).min(cap),
         }",
    ),
    bug(
        "pods are started before the run is on record",
        "src/rollout/resting.rs",
        "        effects.push(Effect::ResumeScaler);
    }",
        "        effects.push(Effect::ResumeScaler);
    } else if crate::planted(\"pods are started before the run is on record\") {
        effects.push(Effect::ScaleUp);
    }",
    ),
];

/// The function that planted code asks.
const SWITCH: &str = r#"
/// Whether the bug of this name is planted in this run.
pub fn planted(name: &str) -> bool {
    static PLANTED: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("PLANTED").unwrap_or_default());
    *PLANTED == name
}
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source file `file` with all bugs that belong there.
fn with_bugs(file: &str) -> String {
    let mut text = fs::read_to_string(root().join(file)).expect("a source file");
    if file == LIB {
        text.push_str(SWITCH);
    }
    for bug in BUGS.iter().filter(|bug| bug.file == file) {
        assert_eq!(text.matches(bug.sound).count(), 1, "{file} has to have once:\n{}", bug.sound);
        assert!(bug.planted.contains(&format!("planted(\"{}\")", bug.name)), "{} has no switch", bug.name);
        text = text.replacen(bug.sound, bug.planted, 1);
    }
    text
}

/// All files that differ in the copy.
fn files() -> Vec<&'static str> {
    let mut files: Vec<&str> = BUGS.iter().map(|bug| bug.file).chain([LIB]).collect();
    files.sort_unstable();
    files.dedup();
    files
}

#[test]
fn every_deliberate_bug_has_its_place_in_the_sources() {
    for file in files() {
        assert!(!with_bugs(file).is_empty());
    }
}

/// Writes the files with bugs into the copy of the tree at PLANT, and prints the bugs.
#[test]
#[ignore = "it is for make planted"]
fn plant() {
    let copy = env::var("PLANT").expect("the path of a copy of the tree");
    for file in files() {
        let (path, text) = (Path::new(&copy).join(file), with_bugs(file));
        // What is there already is not built again.
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, text).expect("a file of the copy");
        }
    }
    for bug in BUGS {
        println!("bug: {}", bug.name);
    }
}

const LIB: &str = "src/lib.rs";
