//! How the traffic is to move, and whether the provider can (spec 02, strategy selection and §2.1).

use super::plan::ALL_AT_ONCE;
use crate::api::analysis::Analysis;
use crate::manifest::defaults;
use crate::manifest::notes::Notes;
use crate::model::release::{Release, Steps, Strategy};
use crate::model::traffic::Capabilities;

/// Settles the strategy and takes out what the provider cannot do. What is wrong with the steps of a Canary that is
/// not analysed is only a warning.
pub(super) fn settle(
    release: &mut Release,
    analysis: &Analysis,
    path: &str,
    capabilities: Capabilities,
    notes: &mut Notes,
) {
    if !capabilities.weights {
        without_weights(release, notes);
    } else if matches!(release.analysis.strategy, Strategy::Weighted(_)) {
        let mut found = Notes::default();
        let steps = steps(analysis, path, &mut found);
        notes.warnings.append(&mut found.warnings);
        let unused = if release.skip_analysis { &mut notes.warnings } else { &mut notes.problems };
        unused.append(&mut found.problems);
        release.analysis.strategy = Strategy::Weighted(steps.unwrap_or(ALL_AT_ONCE));
    }
    take_out_unsupported(release, path, capabilities, notes);
}

/// Without weights a release is blue/green (spec 01 §8.3 W8–W10, whose texts these are).
fn without_weights(release: &mut Release, notes: &mut Notes) {
    let provider = &release.provider_name;
    let mut say = |message: String| {
        if !release.skip_analysis {
            notes.warn("spec.analysis", message);
        }
    };
    let plan = &mut release.analysis;
    if !plan.matches.is_empty() {
        say(format!("A/B testing is not supported when using the {provider} provider"));
        plan.matches.clear();
    }
    let iterations = match plan.strategy {
        Strategy::BlueGreen { iterations } | Strategy::AbTesting { iterations } => iterations,
        Strategy::Weighted(_) => {
            say(format!("Progressive traffic is not supported when using the {provider} provider"));
            say(format!("Setting canaryAnalysis.iterations: {}", defaults::ITERATIONS));
            defaults::ITERATIONS
        }
    };
    plan.strategy = Strategy::BlueGreen { iterations };
}

fn take_out_unsupported(release: &mut Release, path: &str, capabilities: Capabilities, notes: &mut Notes) {
    let provider = &release.provider_name;
    let plan = &mut release.analysis;
    if !plan.matches.is_empty() && !capabilities.matching {
        let field = format!("{path}.match");
        if matches!(plan.strategy, Strategy::AbTesting { .. }) && !release.skip_analysis {
            // Every request would match.
            let message = format!(
                "provider {provider} cannot tell requests apart: remove match or use another provider"
            );
            notes.refuse(&field, message);
        } else {
            notes.warn(&field, format!("is ignored: provider {provider} cannot tell requests apart"));
            plan.matches.clear();
        }
    }
    let can_mirror = match plan.strategy {
        Strategy::Weighted(_) => capabilities.mirror_weighted,
        Strategy::BlueGreen { .. } => capabilities.mirror_blue_green,
        Strategy::AbTesting { .. } => false,
    };
    let is_refused = |notes: &Notes, field: &str| notes.problems.iter().any(|problem| problem.field == field);
    if plan.mirror && !can_mirror && !is_refused(notes, &format!("{path}.mirror")) {
        let strategy = plan.strategy.label();
        let message = format!("is ignored: provider {provider} cannot copy requests in a {strategy} release");
        notes.warn(&format!("{path}.mirror"), message);
        plan.mirror = false;
    }
    if plan.session_affinity.is_some() && !capabilities.session_affinity {
        let field = format!("{path}.sessionAffinity");
        if !is_refused(notes, &field) {
            notes.warn(&field, format!("is ignored: provider {provider} cannot keep clients on a side"));
        }
        plan.session_affinity = None;
    }
}

/// The weights of a weighted release; `None` after a problem.
fn steps(analysis: &Analysis, path: &str, notes: &mut Notes) -> Option<Steps> {
    let list = analysis.step_weights.as_deref().unwrap_or_default();
    match analysis.step_weight {
        // Both can only be given in old manifests: steps of the one up to the last of the other (spec 02 E2.5).
        Some(step @ 1..) if step <= 100 => {
            let step = u32::try_from(step).ok()?;
            Some(Steps::By { step, max: max_weight(analysis, path, notes) })
        }
        Some(step) if step > 100 => {
            let message = format!("{step} is more than all of the traffic: write a weight from 1 to 100");
            notes.refuse(&format!("{path}.stepWeight"), message);
            None
        }
        _ if !list.is_empty() => step_list(list, &format!("{path}.stepWeights"), notes).map(Steps::List),
        Some(step) => {
            let message = format!(
                "{step} moves no traffic: write a weight from 1 to 100, or use stepWeights or iterations instead"
            );
            notes.refuse(&format!("{path}.stepWeight"), message);
            None
        }
        None => {
            no_steps(analysis, path, notes);
            None
        }
    }
}

fn no_steps(analysis: &Analysis, path: &str, notes: &mut Notes) {
    if analysis.step_weights.is_some() {
        let message =
            "is empty: list the weight of each step, like 5, 20, 50, or use stepWeight or iterations instead";
        notes.refuse(&format!("{path}.stepWeights"), message.to_owned());
    } else if let Some(iterations) = analysis.iterations {
        let message =
            format!("{iterations} checks nothing: write 1 or more, or use stepWeight or stepWeights instead");
        notes.refuse(&format!("{path}.iterations"), message);
    } else {
        notes.refuse(path, "has no steps: write stepWeight, stepWeights or iterations".to_owned());
    }
}

fn max_weight(analysis: &Analysis, path: &str, notes: &mut Notes) -> u32 {
    let last = analysis.step_weights.as_deref().and_then(<[i64]>::last).map(|last| (last, "stepWeights"));
    let written = analysis.max_weight.as_ref().map(|max| (max, "maxWeight"));
    match last.or(written) {
        Some((max @ 101.., field)) => {
            notes.warn(&format!("{path}.{field}"), more_than_all(*max));
            defaults::MAX_WEIGHT
        }
        Some((max @ 1.., _)) => u32::try_from(*max).unwrap_or(defaults::MAX_WEIGHT),
        Some((max, field)) if *max < 0 => {
            let message = format!("{max} is no share of the traffic, 100 is used: write 1 to 100");
            notes.warn(&format!("{path}.{field}"), message);
            defaults::MAX_WEIGHT
        }
        _ => defaults::MAX_WEIGHT,
    }
}

/// The list as weights of 1 to 100; `None` after a problem.
fn step_list(list: &[i64], path: &str, notes: &mut Notes) -> Option<Vec<u32>> {
    let mut before = 0;
    for (index, weight) in list.iter().enumerate() {
        if *weight <= before {
            let message = if index == 0 {
                format!("{weight} moves no traffic: begin with a weight from 1 to 100")
            } else {
                format!(
                    "{weight} does not rise over {before}, the step before: write the weights in rising order"
                )
            };
            notes.refuse(&format!("{path}[{index}]"), message);
            return None;
        }
        before = *weight;
    }
    if before > 100 {
        notes.warn(path, more_than_all(before));
    }
    let below = list.iter().copied().filter(|weight| *weight < 100);
    let end = list.iter().any(|weight| *weight >= 100).then_some(100);
    Some(below.chain(end).filter_map(|weight| u32::try_from(weight).ok()).collect())
}

fn more_than_all(weight: i64) -> String {
    format!("{weight} is more than all of the traffic, 100 is used")
}
