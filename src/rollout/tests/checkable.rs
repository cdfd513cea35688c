//! Checks that cannot be asked: said when they are seen, and no release starts on them.

use chrono::TimeDelta;

use crate::api::status::{ANALYSIS, Phase};

use super::super::question::Ask;
use super::super::snapshot::Checkable;
use super::super::step::Reason;
use super::super::testing::{MESH, Stage, release};

const PROBLEM: &str =
    "spec.analysis.metrics[0].templateRef: MetricTemplate errors.test does not exist: create it";
const OF: &str = "1 errors.test:u:1";

fn broken() -> Checkable {
    Checkable { problems: vec![PROBLEM.into()], ..Checkable::default() }
}

fn with_secret() -> Checkable {
    Checkable { secrets: Some(OF.into()), ..Checkable::default() }
}

fn conditions(stage: &Stage) -> Vec<(&str, &str, &str)> {
    let all = stage.world.status.conditions.iter().flatten();
    all.filter(|condition| [ANALYSIS, "Ready", "Stalled"].contains(&condition.kind.as_str()))
        .map(|condition| (condition.kind.as_str(), condition.status.as_str(), condition.reason.as_str()))
        .collect()
}

#[test]
fn a_canary_at_rest_whose_analysis_breaks_is_not_ready_until_it_is_mended() {
    let mut stage = Stage::initialized(release(), MESH);
    assert_eq!(conditions(&stage), [("Ready", "True", "Initialized")]);
    stage.world.checkable = broken();
    stage.settle();
    assert_eq!(stage.said(), [format!("The analysis cannot be asked: {PROBLEM}")]);
    assert_eq!(
        conditions(&stage),
        [("Ready", "False", "AnalysisUnusable"), (ANALYSIS, "False", "AnalysisUnusable")]
    );
    assert_eq!(stage.settle(), Reason::AtRest, "and is quiet");
    stage.world.checkable = Checkable::default();
    stage.settle();
    assert_eq!(stage.said(), ["The analysis can be asked"]);
    assert_eq!(conditions(&stage), [("Ready", "True", "Initialized")]);
}

#[test]
fn a_new_canary_says_it_when_it_is_initialized_and_never_claims_to_be_ready() {
    let mut stage = Stage::new(release(), MESH);
    stage.world.checkable = broken();
    for _ in 0..4 {
        stage.settle();
        assert!(!conditions(&stage).contains(&("Ready", "True", "Initialized")));
        stage.advance(TimeDelta::seconds(5));
    }
    assert_eq!(stage.world.status.phase, Phase::Initialized);
    let said = stage.said();
    assert_eq!(said.iter().filter(|text| text.contains(PROBLEM)).count(), 1, "{said:#?}");
}

#[test]
fn a_release_waits_for_its_analysis_to_be_mended_and_then_starts_by_itself() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.checkable = broken();
    stage.push("vx1-b");
    let Reason::Blocked(text) = stage.settle() else { panic!("{:?}", stage.world.status) };
    assert!(text.starts_with("Halt podinfo.test advancement the analysis cannot be asked: "), "{text}");
    assert!(text.contains(PROBLEM) && text.contains("skipAnalysis"), "{text}");
    assert_eq!(stage.world.status.blockers[0].message, text);
    assert_eq!((stage.row().0, stage.target().replicas), (Phase::Initialized, 0), "no pods are started");
    assert!(conditions(&stage).contains(&("Stalled", "True", "AnalysisUnusable")));
    for _ in 0..5 {
        stage.tick();
    }
    assert_eq!(stage.said().iter().filter(|said| **said == text).count(), 1, "told once");
    stage.world.checkable = Checkable::default();
    stage.settle();
    assert_eq!(stage.world.status.phase, Phase::Progressing);
    assert_eq!(conditions(&stage), [("Ready", "Unknown", "Progressing")]);
}

#[test]
fn what_is_not_to_be_analysed_needs_no_analysis() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.checkable = broken();
    stage.push("vx1-b");
    stage.settle();
    stage.world.release.skip_analysis = true;
    stage.settle();
    stage.tick();
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Succeeded, "{:#?}", stage.events);
    assert_eq!(conditions(&stage), [("Ready", "True", "Succeeded")]);
}

#[test]
fn a_release_under_way_goes_on_and_finds_out_at_its_next_check() {
    let mut stage = Stage::detected(release(), MESH);
    stage.tick();
    let weight = stage.row().2;
    stage.world.checkable = broken();
    stage.settle();
    assert_eq!((stage.row().0, stage.row().2), (Phase::Progressing, weight));
    assert!(conditions(&stage).contains(&(ANALYSIS, "False", "AnalysisUnusable")));
    stage.world.checkable = with_secret();
    stage.forget();
    stage.settle();
    assert!(!stage.asked.iter().any(|ask| matches!(ask, Ask::Secrets { .. })), "{:?}", stage.asked);
}

/// Seconds at which Secrets are asked for while nothing changes, for half an hour.
fn looks(stage: &mut Stage) -> Vec<i64> {
    let began = stage.now();
    let mut at = Vec::new();
    for _ in 0..1800 {
        stage.forget();
        stage.settle();
        at.extend(stage.asked.iter().map(|_| (stage.now() - began).num_seconds()));
        stage.advance(TimeDelta::seconds(1));
    }
    at
}

#[test]
fn secrets_are_looked_at_when_something_changes_and_not_at_rest() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.checkable = with_secret();
    assert_eq!(looks(&mut stage), [0]);
    stage.world.checkable.secrets = Some("1 errors.test:u:2".into());
    assert_eq!(looks(&mut stage), [0], "the template was edited");
}

#[test]
fn a_secret_that_is_missing_is_looked_for_a_few_times_since_it_often_comes_late() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.checkable = with_secret();
    stage.secrets = vec!["no Secret".into()];
    assert_eq!(looks(&mut stage), [0, 10, 20, 40, 80, 160, 320, 640]);
    assert!(conditions(&stage).contains(&("Ready", "False", "AnalysisUnusable")));
}

#[test]
fn a_release_looks_at_the_secret_again_and_waits_for_it_an_interval_at_a_time() {
    let mut stage = Stage::initialized(release(), MESH);
    stage.world.checkable = with_secret();
    stage.settle();
    stage.advance(TimeDelta::hours(5));
    stage.secrets = vec!["no Secret".into()];
    stage.push("vx1-b");
    stage.forget();
    assert!(matches!(stage.settle(), Reason::Blocked(text) if text.contains("no Secret")));
    assert_eq!(stage.asked.len(), 1, "somebody may have deleted it");
    stage.tick();
    assert_eq!(stage.asked.len(), 2);
    stage.secrets.clear();
    stage.tick();
    assert_eq!(stage.world.status.phase, Phase::Progressing);
}
