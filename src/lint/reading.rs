//! What the controller would say of a Canary when it reads it, in its own words.

use serde_json::{Value, json};

use super::book::Book;
use super::code::Code;
use super::world::{Object, World};
use crate::judge;
use crate::model::release::{Problem, Release, Settings};
use crate::router::registry;

/// Reads the Canary as the controller does and writes down what it would refuse and warn of. The release, also of a
/// manifest that is refused, as far as one can be made of it.
pub fn check(
    world: &World<'_>,
    object: &Object,
    namespace: &str,
    settings: &Settings,
    book: &mut Book<'_>,
) -> Option<Box<Release>> {
    let canary = as_applied(object, namespace);
    let reading = judge::reading(&canary, settings, world);
    let problems = reading.release.as_ref().err().cloned().unwrap_or_default();
    let release = reading.release.ok().or(reading.refused);
    let of_router =
        release.as_ref().and_then(|release| registry::facts(release, settings)).unwrap_or_default();
    for problem in problems {
        // The schema has said it of a value that cannot even be read.
        let cannot_be_read = release.is_none() && !book.findings.is_empty();
        if cannot_be_read || said_better(book, &problem) {
            continue;
        }
        let code = if let Some(code) = super::route_templates::code(&problem) {
            code
        } else if of_router.problems.iter().any(|other| other.message == problem.message) {
            Code::Router
        } else {
            refused(&problem)
        };
        let advice = match problem.message.as_str() {
            text if text.contains("with Knative Service as target") => ": write provider: knative",
            text if text.contains("as target if provider is set to knative") => {
                ": name a Knative Service, or another provider"
            }
            _ => "",
        };
        book.say(code, &problem.field, &format!("{}{advice}", problem.message));
    }
    for warning in reading.warnings {
        let code = if of_router.warnings.contains(&warning) { Code::RouterWarns } else { warned(&warning) };
        // What the schema refuses is replaced by nobody; and a sentence that follows from the one before says nothing new.
        let said = matches!(code, Code::UnknownField | Code::Replaced) && book.has(&warning.field);
        if said || warning.message.starts_with("Setting canaryAnalysis.iterations") {
            continue;
        }
        let field = if warning.field == "spec.analysis" { book.analysis() } else { &warning.field };
        book.say(code, field, warning.message.trim_end_matches(", remove it"));
    }
    release
}

/// The object as the cluster shows it to the controller: in a namespace, and with what was applied noted down, so that
/// old versions are noticed.
fn as_applied(object: &Object, namespace: &str) -> Value {
    let mut canary = Value::clone(&object.value);
    let applied = canary.to_string();
    if canary["metadata"].is_object() {
        let annotations = &mut canary["metadata"]["annotations"];
        if annotations.is_null() || annotations.is_object() {
            annotations[LAST_APPLIED] = json!(applied);
        }
        if canary["metadata"]["namespace"].as_str().is_none_or(str::is_empty) {
            canary["metadata"]["namespace"] = json!(namespace);
        }
    }
    canary
}

/// Whether the schema has said something of this field; the controller's own words are better where both have some.
fn said_better(book: &mut Book<'_>, problem: &Problem) -> bool {
    let Problem { field, message } = problem;
    if message.starts_with("invalid type") || message.contains("is required and missing") {
        return book.has(field);
    }
    let too_long = message.contains("too long for a Service name");
    book.findings.retain(|found| {
        let of_schema = matches!(
            found.code,
            Code::NotInList | Code::OutOfShape | Code::Rule | Code::Combination | Code::Missing
        );
        let of_length = too_long && found.code == Code::Rule && found.field == "spec";
        !(of_length || of_schema && found.field == *field)
    });
    false
}

fn is_unknown(problem: &Problem) -> bool {
    problem.message.starts_with("is not a field of")
}

/// The code of what the controller refuses, by the field.
fn refused(problem: &Problem) -> Code {
    let Problem { field, message } = problem;
    let analysis = field.strip_prefix("spec.analysis").or_else(|| field.strip_prefix("spec.canaryAnalysis"));
    match (field.as_str(), analysis) {
        _ if message.contains("cross-namespace") => Code::Namespace,
        _ if message.contains("is required and missing") => Code::Missing,
        _ if message.starts_with("would be sent") => Code::Readable,
        (_, Some(of)) if of.starts_with(".metrics") => Code::Metric,
        (_, Some(of)) if of.starts_with(".webhooks") => Code::Hook,
        (_, Some(of)) if of.starts_with(".alerts") => Code::Alert,
        (_, Some(of)) if of.starts_with(".sessionAffinity") => Code::Affinity,
        (_, Some(of)) if of.starts_with(".match") => Code::Router,
        (_, Some(_)) => Code::Steps,
        ("spec.provider", _) => Code::Provider,
        (field, _) if field.starts_with("spec.targetRef") => Code::Target,
        (field, _) if field.starts_with("spec.service") => Code::Service,
        (field, _) if field.starts_with("spec.autoscalerRef") => Code::Autoscaler,
        _ => Code::Refused,
    }
}

/// The code of what the controller warns of, by its words.
fn warned(warning: &Problem) -> Code {
    let Problem { field, message } = warning;
    let says = |words: &str| message.contains(words);
    match field.as_str() {
        "apiVersion" => Code::OldVersion,
        _ if is_unknown(warning) => Code::UnknownField,
        _ if says("is the old name of analysis") => Code::OldAnalysis,
        _ if says("is ignored beside") => Code::TwoForms,
        _ if says("is an old name") => Code::OldMetric,
        _ if field.ends_with(".threshold") && says("is deprecated") => Code::OldThreshold,
        _ if field.ends_with(".query") && says("is deprecated") => Code::OldQuery,
        _ if says("has no bound") => Code::NoBound,
        _ if says("is checked more than once") => Code::CheckedTwice,
        _ if says("limits that have no effect") => Code::NoEffect,
        _ if says("sends its password") => Code::Exposed,
        _ if says("only events are sent as CloudEvents") => Code::NoEffect,
        _ if says("does not know it, remove it") => Code::Ignored,
        _ if says("not supported when using") || says("Setting canaryAnalysis.iterations") => Code::Unable,
        _ if says("is ignored: provider") => Code::RouterWarns,
        _ if says(" is used") || says("is too short") => Code::Replaced,
        field if field.starts_with("spec.analysis") || field.starts_with("spec.canaryAnalysis") => {
            Code::Steps
        }
        _ => Code::Warned,
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
