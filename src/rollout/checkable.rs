//! Whether the checks of the analysis can be asked at all. That is found out when the Canary or a MetricTemplate
//! changes, and stands in the condition `AnalysisUsable`; a release does not start on checks that could only fail.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::status::{ANALYSIS, CanaryStatus, Phase};
use crate::model::answer::excerpt;

use super::flow::{Flow, end, stop};
use super::question::Ask;
use super::snapshot::{SecretsLooked, Snapshot};
use super::step::{Event, Plan, Reason, Step, Wait};
use super::{gates, holds, messages, status};

/// Records it if the checks can be asked no longer, or again. A new Canary comes to that at the end of its
/// initialization: what it refers to may be created a moment after it.
pub(super) fn review(world: &Snapshot) -> Flow<()> {
    if world.status.conditions.is_none() || matches!(world.status.phase, Phase::Unset | Phase::Initializing) {
        return Flow::Continue(());
    }
    let (status, event) = noted(world)?;
    match event {
        Some(event) => stop(Plan::status(status).events([event])),
        None => Flow::Continue(()),
    }
}

/// The status that says whether the checks can be asked, and an event if it is news.
pub(super) fn noted(world: &Snapshot) -> Flow<(CanaryStatus, Option<Event>)> {
    let problems = problems(world)?;
    let known = world.status.condition(ANALYSIS).map(|condition| condition.message.as_str());
    if problems.as_deref() == known {
        return Flow::Continue((world.status.clone(), None));
    }
    let phase = world.status.phase;
    let event = match &problems {
        Some(problems) => messages::warning(phase, messages::analysis_unusable(problems)),
        None if world.release.skip_analysis => messages::normal(phase, messages::ANALYSIS_SKIPPED),
        None => messages::normal(phase, messages::ANALYSIS_USABLE),
    };
    Flow::Continue((status::analysis(world, problems.as_deref()), Some(event)))
}

/// Keeps a release from starting on checks that cannot be asked. It goes on by itself when that is mended, and when
/// somebody says that there is to be no analysis.
pub(super) fn usable(world: &Snapshot) -> Flow<()> {
    if world.release.skip_analysis || holds::promotes(world) {
        return Flow::Continue(());
    }
    // Somebody may have created, edited or deleted a Secret since it was looked at.
    let again = looked(world).map(|looked| looked.at + world.release.analysis.interval);
    if let (Some(of), Some(again)) = (&world.checkable.secrets, again)
        && world.now >= again
    {
        return ask(world, of);
    }
    let Some(problems) = problems(world)? else { return Flow::Continue(()) };
    let text = messages::not_started(&world.release, &problems);
    let status = status::blocked(world, status::ANALYSIS_UNUSABLE, &text);
    if status::differs(&world.status, &status) {
        let event = messages::warning(world.status.phase, &text);
        return stop(Plan::status(status).waits(Reason::Blocked(text)).events([event]));
    }
    let mut wait = Wait::for_change(Reason::Blocked(text));
    wait.until = again.filter(|_| looked(world).is_some_and(|looked| !looked.problems.is_empty()));
    end(wait)
}

/// When the Secrets are looked at again although nothing has changed: a few times, with growing pauses, after it was
/// found that they cannot be used. They are often created a little after what refers to them.
pub(super) fn look_again(world: &Snapshot) -> Option<DateTime<Utc>> {
    let looked = looked(world).filter(|looked| !looked.problems.is_empty())?;
    let found = world.status.condition(ANALYSIS)?.last_transition_time?;
    let waited = looked.at - found;
    (waited < LONGEST).then(|| looked.at + waited.max(SHORTEST))
}

/// What is wrong, in one sentence. Asks for the Secrets where that is not known. A release under way finds it out at
/// its next step.
fn problems(world: &Snapshot) -> Flow<Option<String>> {
    if world.release.skip_analysis {
        return Flow::Continue(None);
    }
    let mut problems = world.checkable.problems.clone();
    if let Some(of) = &world.checkable.secrets {
        let stale = look_again(world).is_some_and(|at| world.now >= at);
        match looked(world) {
            _ if world.status.phase.is_stepping() => {}
            Some(looked) if !stale => problems.extend(looked.problems.iter().cloned()),
            _ => return ask(world, of),
        }
    }
    let text = problems.join("; ");
    Flow::Continue((!text.is_empty()).then(|| excerpt(text.as_bytes(), MOST)))
}

/// The last look at the Secrets, if the Canary and the templates are still the same.
fn looked(world: &Snapshot) -> Option<&SecretsLooked> {
    let of = world.checkable.secrets.as_ref()?;
    world.checkable.looked.as_ref().filter(|looked| looked.of == *of)
}

fn ask<T>(world: &Snapshot, of: &str) -> Flow<T> {
    end(Step::Ask(vec![gates::question(world, Ask::Secrets { of: of.to_owned() })]))
}

/// The most characters of what is said about the checks.
const MOST: usize = 700;

/// The first pause before Secrets are looked at again.
const SHORTEST: TimeDelta = TimeDelta::seconds(10);

/// How long it goes on after they were found to be unusable.
const LONGEST: TimeDelta = TimeDelta::minutes(10);
