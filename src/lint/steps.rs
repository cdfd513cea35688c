//! Steps that do not go where they are meant to, and fields beside them that do nothing.

use super::book::Book;
use super::code::Code;
use super::pace;
use crate::api::canary::Canary;
use crate::model::release::{Release, Steps, Strategy};

/// Writes down what is odd about the steps of `release`.
pub fn check(canary: &Canary, release: &Release, book: &mut Book<'_>) {
    let path = book.analysis();
    let Some(analysis) = canary.spec.analysis.as_ref().or(canary.spec.canary_analysis.as_ref()) else {
        return;
    };
    if release.skip_analysis {
        return;
    }
    if let Strategy::Weighted(Steps::By { step, max }) = release.analysis.strategy {
        let shares: Vec<u32> = pace::steps(release).iter().map(|step| step.share).collect();
        if let Some(last) = shares.last().filter(|last| **last > max) {
            let field = if analysis.max_weight.is_some() { "maxWeight" } else { "stepWeight" };
            let mut listed: Vec<String> = (1..)
                .map(|n| n * step)
                .take_while(|share| *share < max)
                .map(|share| share.to_string())
                .collect();
            listed.push(max.to_string());
            let advice = match listed.len() {
                ..=8 => format!("write stepWeights: [{}], or maxWeight: {last}", listed.join(", ")),
                _ => format!("write maxWeight: {last}, or a stepWeight that divides {max}"),
            };
            let sentence = format!(
                "steps of {step} go over {max}, the canary gets {last} per cent in the end: {advice}"
            );
            book.say(Code::Overshoot, &format!("{path}.{field}"), &sentence);
        }
    }
    let mut idle = |field: &str, why: &str| {
        book.say(Code::NoEffect, &format!("{path}.{field}"), &format!("has no effect {why}: remove it"));
    };
    if analysis.max_weight.is_some_and(|max| max > 0) {
        match (&analysis.step_weights, release.analysis.strategy.clone()) {
            (Some(list), _) if !list.is_empty() && analysis.step_weight.is_none() => {
                idle("maxWeight", "beside stepWeights, whose last weight is the highest");
            }
            (_, Strategy::BlueGreen { .. } | Strategy::AbTesting { .. }) if analysis.iterations.is_some() => {
                idle("maxWeight", "beside iterations");
            }
            _ => {}
        }
    }
    if analysis.mirror_weight.is_some_and(|weight| weight > 0) && !analysis.mirror.unwrap_or_default() {
        idle("mirrorWeight", "without mirror: true");
    }
    if analysis.step_weight_promotion.is_some_and(|step| step > 0)
        && !matches!(release.analysis.strategy, Strategy::Weighted(_))
    {
        idle("stepWeightPromotion", "where the traffic is not moved in steps");
    }
}
