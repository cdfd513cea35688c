//! `vexil wait`: for pipelines. Ends when a release has come where it should, or cannot come there any more.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, timeout_at};

use crate::api::duration;
use crate::api::status::Phase;
use crate::cli::cluster::{Cluster, Place, Trouble};
use crate::cli::print;
use crate::controller::clock::Clock;
use crate::model::workload::is_own_revision;
use crate::workload;

use super::known::Known;
use super::live::{Change, Depth, Live};
use super::seen::Seen;

/// The command line of `vexil wait`.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Name of the Canary
    canary: String,
    /// revision=NAME-OR-IMAGE, promoted, failed, phase=PHASE or condition=TYPE[=STATUS]
    #[arg(long = "for", value_name = "WHAT")]
    goal: Goal,
    /// How long, as in 90s, 15m or 1h30m
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = limit)]
    timeout: Duration,
    #[command(flatten)]
    place: Place,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    /// That this revision is promoted: its name, its image, or the tag of its image.
    Revision(String),
    /// That what the target is now is promoted.
    Promoted,
    /// That what the target is now has failed.
    Failed,
    Phase(Phase),
    Condition {
        kind: String,
        status: String,
    },
}

/// The error for a text that is nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct NoGoal(String);

impl FromStr for Goal {
    type Err = NoGoal;

    fn from_str(text: &str) -> Result<Self, NoGoal> {
        let (what, value) = text.split_once('=').map_or((text, None), |(what, value)| (what, Some(value)));
        match (what, value.filter(|value| !value.is_empty())) {
            ("promoted", None) => Ok(Self::Promoted),
            ("failed", None) => Ok(Self::Failed),
            ("revision" | "image", Some(revision)) => Ok(Self::Revision(revision.to_owned())),
            ("phase", Some(name)) => {
                let phase = Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(name));
                phase.map(Self::Phase).ok_or_else(|| {
                    let known: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
                    NoGoal(format!("there is no phase {name}; there are {}", known.join(", ")))
                })
            }
            ("condition", Some(condition)) => {
                let (kind, status) = condition.split_once('=').unwrap_or((condition, "True"));
                Ok(Self::Condition { kind: kind.to_owned(), status: status.to_owned() })
            }
            _ => Err(NoGoal(
                "write revision=NAME-OR-IMAGE, promoted, failed, phase=PHASE or condition=TYPE[=STATUS]"
                    .to_owned(),
            )),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "promotion of {revision}"),
            Self::Promoted => f.write_str("promotion"),
            Self::Failed => f.write_str("failure"),
            Self::Phase(phase) => write!(f, "phase {phase}"),
            Self::Condition { kind, status } => write!(f, "condition {kind}={status}"),
        }
    }
}

fn limit(text: &str) -> Result<Duration, String> {
    // A bare number is seconds, as elsewhere.
    let written = if text.parse::<u64>().is_ok() { format!("{text}s") } else { text.to_owned() };
    duration::parse(&written).map_err(|_| "write a time as in 90s, 15m or 1h30m".to_owned())
}

/// How far a release is from a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Distance {
    Reached,
    /// It cannot be reached any more, and why.
    Never(String),
    /// Not yet.
    Open,
}

/// What is known of a release that is waited for.
struct Standing<'a> {
    known: &'a Known,
    /// The revision that the target is at, if it can be told and compared with the status.
    target: Option<String>,
    images: Vec<String>,
    /// The revision that was promoted when the waiting began.
    promoted_before: &'a str,
}

/// Waits, and says what came.
pub(in crate::cli) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&arguments.place).await?;
    let deadline = Instant::now() + arguments.timeout;
    let mut live = Live::open(&cluster, &arguments.canary, None, Depth::Target).await?;
    let title = format!("Canary {}.{}", arguments.canary, cluster.namespace);
    let before =
        live.seen().map(|seen| Known::of(&seen.canary).status.last_promoted_spec).unwrap_or_default();
    let (mut last, mut warned) = (String::new(), false);
    loop {
        if let Some(seen) = live.seen() {
            last = standing_of(&Known::of(&seen.canary));
        }
        // Before the target was seen, what was promoted before would count.
        if let Some(seen) = live.seen().filter(|_| live.is_complete()) {
            for why in seen.hidden.values().filter(|_| !warned) {
                print::complain(format_args!(
                    "vexil: {why}; a change that the controller has not seen yet cannot be told from none"
                ));
            }
            warned |= !seen.hidden.is_empty();
            let known = Known::of(&seen.canary);
            match distance(&arguments.goal, &Standing::of(seen, &known, &before)) {
                Distance::Reached => {
                    return print::put(&format!(
                        "{title}: {} reached, phase {}\n",
                        arguments.goal,
                        known.phase()
                    ));
                }
                Distance::Never(why) => {
                    let trouble = Trouble::new(format!("{title}: no {}: {why}", arguments.goal));
                    return Err(trouble.cure(look(arguments, &cluster)).ends_with(OTHERWISE).into());
                }
                Distance::Open => {}
            }
        }
        match timeout_at(deadline, live.changed()).await {
            Ok(Change::Changed) => {}
            Ok(Change::Gone) => {
                return Err(Trouble::new(format!("{title} was deleted")).ends_with(OTHERWISE).into());
            }
            Ok(Change::Broken(why)) if why.is_passing() => {
                print::complain(format_args!("vexil: {}; trying again", why.what()))
            }
            Ok(Change::Broken(why)) => return Err(why.into()),
            Err(_) => {
                let time = duration::format(arguments.timeout);
                let what = format!("{title}: no {} within {time}; {last}", arguments.goal);
                return Err(Trouble::new(what).cure(look(arguments, &cluster)).ends_with(TOO_LATE).into());
            }
        }
    }
}

fn look(arguments: &Arguments, cluster: &Cluster) -> String {
    format!("{} status {} -n {} says why", print::program(), arguments.canary, cluster.namespace)
}

impl<'a> Standing<'a> {
    fn of(seen: &Seen, known: &'a Known, promoted_before: &'a str) -> Self {
        let mut standing = Self { known, target: None, images: Vec::new(), promoted_before };
        let Some(around) = &seen.around else { return standing };
        let workload = workload::registry::workload(around.release.target.kind);
        standing.images = workload.images(&around.release, &seen.objects);
        let now = Clock::system().now();
        let target = workload.target(&around.release, &around.settings, &seen.objects, now);
        let recorded: &str = &known.status.last_applied_spec;
        // What another controller, or a future one, has recorded cannot be compared.
        standing.target = target.ok().map(|target| target.revision).filter(|_| is_own_revision(recorded));
        standing
    }

    /// Whether the status speaks of the target as it is now.
    fn is_current(&self) -> bool {
        self.target.as_ref().is_none_or(|target| *target == self.known.status.last_applied_spec)
    }
}

fn distance(goal: &Goal, standing: &Standing<'_>) -> Distance {
    let status = &standing.known.status;
    let phase = status.phase;
    let promoted = matches!(phase, Phase::Initialized | Phase::Succeeded);
    match goal {
        Goal::Phase(wanted) if *wanted == phase => Distance::Reached,
        Goal::Condition { kind, status: wanted } => {
            let mut conditions = status.conditions.iter().flatten();
            let found = conditions.find(|condition| condition.kind.eq_ignore_ascii_case(kind));
            match found {
                Some(condition) if condition.status.eq_ignore_ascii_case(wanted) => Distance::Reached,
                _ => Distance::Open,
            }
        }
        Goal::Promoted if promoted && standing.is_current() => Distance::Reached,
        Goal::Promoted if phase == Phase::Failed && standing.is_current() => {
            Distance::Never(failure(standing))
        }
        Goal::Failed if phase == Phase::Failed && standing.is_current() => Distance::Reached,
        Goal::Failed
            if promoted && standing.is_current() && status.last_promoted_spec != standing.promoted_before =>
        {
            Distance::Never("it was promoted".to_owned())
        }
        Goal::Revision(wanted) => {
            let named = |name: &str, images: &[String]| is_meant(wanted, name, images);
            let images = status.promoted.as_ref().map(|revision| revision.images.clone()).unwrap_or_default();
            if promoted && named(&status.last_promoted_spec, &images) {
                return Distance::Reached;
            }
            let is_target = standing.is_current() && named(&status.last_applied_spec, &standing.images);
            if promoted && is_target {
                return Distance::Reached;
            }
            if phase == Phase::Failed && is_target {
                return Distance::Never(failure(standing));
            }
            if promoted && standing.is_current() && status.last_promoted_spec != standing.promoted_before {
                let other = format!("{} ({})", status.last_promoted_spec, standing.images.join(", "));
                return Distance::Never(format!("another revision was promoted meanwhile: {other}"));
            }
            Distance::Open
        }
        _ => Distance::Open,
    }
}

/// Where a release stands, for people who have waited in vain.
fn standing_of(known: &Known) -> String {
    match known.waits() {
        Some((what, _)) => format!("it is in phase {} and waits for {what}", known.phase()),
        None => format!("it is in phase {}", known.phase()),
    }
}

/// Whether `wanted` is the name of a revision, or its beginning, or one of its images, or the tag of one.
fn is_meant(wanted: &str, name: &str, images: &[String]) -> bool {
    let by_name = wanted.len() >= SHORTEST && name.starts_with(wanted);
    let by_image = |image: &String| {
        image == wanted || image.strip_suffix(wanted).is_some_and(|rest| rest.ends_with([':', '@']))
    };
    by_name || images.iter().any(by_image)
}

/// Why a release has failed, as far as the status tells.
fn failure(standing: &Standing<'_>) -> String {
    let failing = standing.known.status.measurements.iter().filter(|one| one.verdict == "Failed");
    let failing: Vec<String> = failing
        .map(|one| match one.value {
            Some(value) => format!("{} was {value}", one.name),
            None => format!("{} had no value", one.name),
        })
        .collect();
    let why = if failing.is_empty() { String::new() } else { format!(" ({})", failing.join(", ")) };
    format!("the release has failed and was rolled back{why}")
}

/// For the help.
pub(in crate::cli) const EXIT_CODES: &str = "Exit codes: 0 it has come there; 1 the cluster cannot be asked; 3 it cannot come there any more (failed, \
     deleted, another revision promoted); 4 the time is over";
/// Exit code: the release has come somewhere else, so that waiting on would be in vain.
const OTHERWISE: u8 = 3;
/// Exit code: the time is over.
const TOO_LATE: u8 = 4;
/// Characters that a revision is named by at least, as in a request by hand.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case("promoted", Goal::Promoted)]
    #[case("revision=2.0", Goal::Revision("2.0".into()))]
    #[case("phase=succeeded", Goal::Phase(Phase::Succeeded))]
    #[case("condition=Ready", Goal::Condition { kind: "Ready".into(), status: "True".into() })]
    #[case("condition=Ready=False", Goal::Condition { kind: "Ready".into(), status: "False".into() })]
    fn a_goal_is_read(#[case] text: &str, #[case] expected: Goal) {
        assert_eq!(Ok(expected), text.parse());
    }

    #[rstest]
    #[case("")]
    #[case("revision=")]
    #[case("promoted=yes")]
    #[case("phase=Done")]
    fn what_is_no_goal_is_refused_with_those_that_there_are(#[case] text: &str) {
        let error = text.parse::<Goal>().expect_err("no goal").to_string();
        assert!(error.contains("revision=") || error.contains("Succeeded"), "{error}");
    }

    #[rstest]
    #[case::name("vx1-5f6a1b2c", true)]
    #[case::too_short("vx1-5", false)]
    #[case::image("registry.example.com/shop/frontend:2.0", true)]
    #[case::tag("2.0", true)]
    #[case::end_of_a_tag(".0", false)]
    #[case::another("3.0", false)]
    fn a_revision_is_meant_by_its_name_or_image(#[case] wanted: &str, #[case] expected: bool) {
        let images = ["registry.example.com/shop/frontend:2.0".to_owned()];
        assert_eq!(expected, is_meant(wanted, "vx1-5f6a1b2c3d4e5f60", &images));
    }

    fn known(status: Value) -> Known {
        Known::of(&json!({"metadata": {"name": "a", "namespace": "b"}, "status": status}))
    }

    const OLD: &str = "vx1-00000000";
    const NEW: &str = "vx1-11111111";

    /// The target is at the new revision, with the image tag 2.0.
    fn far(goal: &str, status: Value) -> Distance {
        let known = known(status);
        let (target, images) = (Some(NEW.to_owned()), vec!["shop/a:2.0".to_owned()]);
        let standing = Standing { known: &known, target, images, promoted_before: OLD };
        distance(&goal.parse().expect("a goal"), &standing)
    }

    #[test]
    fn what_was_promoted_before_the_controller_saw_the_change_does_not_count() {
        let old = json!({"phase": "Succeeded", "lastAppliedSpec": OLD, "lastPromotedSpec": OLD});
        for goal in ["promoted", "failed", "revision=2.0"] {
            assert!(matches!(far(goal, old.clone()), Distance::Open), "{goal}");
        }
        let new = json!({"phase": "Succeeded", "lastAppliedSpec": NEW, "lastPromotedSpec": NEW});
        assert_eq!(Distance::Reached, far("promoted", new.clone()));
        assert_eq!(Distance::Reached, far("revision=2.0", new.clone()));
        assert!(matches!(far("failed", new), Distance::Never(_)));
    }

    #[test]
    fn a_failed_release_is_never_promoted() {
        let failed = json!({"phase": "Failed", "lastAppliedSpec": NEW, "lastPromotedSpec": OLD});
        assert!(matches!(far("promoted", failed.clone()), Distance::Never(_)));
        assert!(matches!(far("revision=2.0", failed.clone()), Distance::Never(_)));
        assert_eq!(Distance::Reached, far("failed", failed));
        // The failure of the revision before this one says nothing.
        let before = json!({"phase": "Failed", "lastAppliedSpec": OLD, "lastPromotedSpec": OLD});
        assert!(matches!(far("promoted", before), Distance::Open));
    }

    #[test]
    fn another_revision_that_is_promoted_meanwhile_ends_the_wait_for_this_one() {
        let other = json!({"phase": "Succeeded", "lastAppliedSpec": NEW, "lastPromotedSpec": NEW});
        assert!(matches!(far("revision=3.0", other), Distance::Never(_)));
    }
}
