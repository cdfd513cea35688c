//! What of a manifest with `spec.routeTemplateRef` cannot be done, and what is wrong with the template.

use std::collections::BTreeSet;

use super::compiled::{Compiled, Weights};
use crate::api::analysis::AnalysisMatch;
use crate::api::service::StringMatch;
use crate::model::release::{Problem, Release, RoutedBy, Strategy, TargetKind};
use crate::model::traffic::{RouteWish, Split};
use crate::router::problem;

/// What cannot be done, with field and remedy.
pub(super) fn all(release: &Release, routed: &RoutedBy) -> Vec<Problem> {
    let mut found: Vec<Problem> = unfit_target(release).into_iter().collect();
    let compiled = match super::compiled(routed) {
        Ok(compiled) => compiled,
        Err(problems) => {
            let title = routed.title();
            found.extend(problems.into_iter().map(|wrong| of_template(&title, wrong)));
            return found;
        }
    };
    found.extend(unrendered(&compiled, release).map(|wrong| of_template(&routed.title(), wrong)));
    if !release.skip_analysis {
        found.extend(beyond(&compiled, release, routed));
    }
    found
}

/// What is wrong with a template is said of the reference to it.
fn of_template(title: &str, wrong: Problem) -> Problem {
    let message = if wrong.field.is_empty() { wrong.message } else { format!("{title}, {wrong}") };
    problem(FIELD, message)
}

fn unfit_target(release: &Release) -> Option<Problem> {
    let fits = matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet);
    (!fits).then(|| {
        let message = "needs a target whose Services Vexil makes: release a Deployment or a DaemonSet, or remove \
                       spec.routeTemplateRef";
        problem(FIELD, message)
    })
}

/// What a template says of a release, tried at both ends and in between: better now than at the first write.
fn unrendered(compiled: &Compiled, release: &Release) -> Option<Problem> {
    let mut ids = BTreeSet::new();
    for object in &compiled.objects {
        let wrong = |message: String| Some(problem(object.field.clone(), message));
        match object.id(release) {
            Err(why) => return wrong(why),
            Ok(id) if ids.contains(&id) => {
                return wrong(format!(
                    "is {id}, as another object of the template: give it a name of its own"
                ));
            }
            Ok(id) => ids.insert(id),
        };
        for (canary, mirror) in [(0, false), (50, false), (100, false), (0, true)] {
            let wish = RouteWish { split: Split::canary_gets(canary), mirror, ..RouteWish::default() };
            if mirror && object.mirror.is_none() {
                continue;
            }
            if let Err(why) = object.fields(release, &wish) {
                return wrong(why);
            }
        }
    }
    None
}

/// What the release asks for and the template does not write.
fn beyond(compiled: &Compiled, release: &Release, routed: &RoutedBy) -> Vec<Problem> {
    let mut found = Vec::new();
    let title = routed.title();
    let plan = &release.analysis;
    let matching: Vec<&str> =
        compiled.matching().flat_map(|matching| &matching.conditions).map(String::as_str).collect();
    for (index, entry) in plan.matches.iter().enumerate() {
        let field = format!("spec.analysis.match[{index}]");
        if compiled.matching().next().is_none() {
            let message = format!(
                "cannot be told apart: {title} has no match, add one there, or remove match here for a release by weight"
            );
            found.push(problem(field, message));
            continue;
        }
        let unwritten = conditions(entry).into_iter().filter(|(_, condition)| !matching.contains(condition));
        found.extend(unwritten.map(|(place, condition)| {
            let message = format!(
                "asks for {condition}, which {title} does not write: it writes {}",
                if matching.is_empty() { "none".to_owned() } else { matching.join(", ") }
            );
            problem(format!("{field}.{place}"), message)
        }));
    }
    let by_place =
        compiled.objects.iter().any(|object| matches!(object.weights, Some(Weights::Places { .. })));
    if !plan.matches.is_empty() && by_place && matches!(plan.strategy, Strategy::Weighted(_)) {
        let message = format!(
            "cannot be combined with weights, since {title} has one place for the weight: write iterations for an A/B \
             test, or remove match"
        );
        found.push(problem("spec.analysis.match", message));
    }
    if plan.mirror && !compiled.mirrors() {
        let message =
            format!("is not possible: {title} says nowhere that requests are copied, add mirror there");
        found.push(problem("spec.analysis.mirror", message));
    }
    if plan.session_affinity.is_some() {
        let message =
            "is not possible with spec.routeTemplateRef: remove it, or use the provider's own router";
        found.push(problem("spec.analysis.sessionAffinity", message));
    }
    found
}

/// The conditions of an entry: where each stands, and what it is called.
fn conditions(entry: &AnalysisMatch) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let mut note = |field: &str, name: &str, text: &StringMatch, words: [&'static str; 4]| {
        let written = [&text.exact, &text.prefix, &text.suffix, &text.regex];
        for (_, word) in written.into_iter().zip(words).filter(|(written, _)| written.is_some()) {
            found.push((format!("{field}.{name}"), word));
        }
    };
    for (name, text) in entry.headers.iter().flatten() {
        let words = ["headers.exact", "headers.prefix", "headers.suffix", "headers.regex"];
        note("headers", name, text, words);
    }
    for (name, text) in entry.query_params.iter().flatten() {
        let words = ["queryParams.exact", "queryParams.prefix", "queryParams.suffix", "queryParams.regex"];
        note("queryParams", name, text, words);
    }
    if entry.source_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        found.push(("sourceLabels".to_owned(), "sourceLabels"));
    }
    found
}

/// The field of a Canary that names a RouteTemplate.
pub(super) const FIELD: &str = "spec.routeTemplateRef";
