//! Whether the checks of a Canary can be asked, as the controller finds it out; and MetricTemplates and AlertProviders
//! by themselves.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::book::Book;
use super::code::Code;
use super::references::secret;
use super::world::{Object, World};
use crate::judge::{self, checks};
use crate::manifest::decode;
use crate::metrics::{self, SecretData, Template};
use crate::model::release::{MetricSource, Problem, Release, Settings};
use crate::{alert, api::schema::MetricBackend};

/// Writes down which checks of `release` could not be asked.
pub fn check(world: &World<'_>, release: &Release, settings: &Settings, book: &mut Book<'_>) {
    let seen = checks::look(world, settings, release, moment());
    for problem in seen.problems {
        // A reference that is refused need not lead anywhere.
        let is_refused =
            book.findings.iter().any(|found| found.field.starts_with(&format!("{}.", problem.field)));
        if let Some(code) = code(&problem).filter(|_| !is_refused) {
            book.problem(code, &problem);
        }
    }
    for problem in judge::exposed_templates(world, release) {
        book.problem(Code::Exposed, &Problem { field: format!("{}.metrics", book.analysis()), ..problem });
    }
    for (id, object) in seen.secrets {
        let Ok(template) = decode::metric_template(&object) else { continue };
        let Some(reference) = &template.spec.provider.secret_ref else { continue };
        let secret_id = crate::model::object::Kind::SECRET.at(&id.namespace, &reference.name);
        let Some(data) = world.find(&secret_id).and_then(|found| data(&found.value)) else { continue };
        let Ok(provider) = metrics::provider(&template.spec.provider, Some(&data)) else { continue };
        let asking = release.analysis.metrics.iter().filter(|check| {
            matches!(&check.source, MetricSource::Template { name, namespace }
                if *name == id.name && *namespace == id.namespace)
        });
        for check in asking {
            if let Some(why) = checks::unusable(&template, provider.as_ref(), release, check, moment()) {
                let title = format!("MetricTemplate {}.{}", id.name, id.namespace);
                book.say(Code::Query, &format!("{}.templateRef", check.field), &format!("{title}, {why}"));
            }
        }
    }
}

/// The code of what keeps a check from being asked; `None` if it is said of the MetricTemplate itself.
fn code(problem: &Problem) -> Option<Code> {
    let Problem { field, message } = problem;
    let says = |words: &str| message.contains(words);
    Some(match field.as_str() {
        _ if says("does not exist: create it, or did you mean") => Code::NearMiss,
        _ if says("does not exist") => Code::NoTemplate,
        _ if says("is no built-in metric") || says("there are no built-in checks") => Code::UnknownMetric,
        _ if field.ends_with("templateRef") => {
            let of_template = says(", spec.provider")
                || says("template parsing failed")
                || says("spec.query: is empty")
                || says("is required and");
            if of_template || !says(", spec.query: ") {
                return None;
            }
            Code::Query
        }
        _ if field.ends_with(".query") => Code::Query,
        _ => Code::Server,
    })
}

/// Writes down what is wrong with a MetricTemplate, whoever uses it.
pub fn metric_template(world: &World<'_>, object: &Object, namespace: &str, book: &mut Book<'_>) {
    let Ok(template) = decode::metric_template(&object.value) else { return };
    let spec = &template.spec;
    if spec.query.trim().is_empty() {
        book.say(Code::Query, "spec.query", "is empty: write what is to be asked");
    } else if let Err(error) = Template::parse(&spec.query) {
        book.say(Code::Query, "spec.query", &error.to_string());
    }
    if MetricBackend::of(&spec.provider.kind).is_none() {
        return;
    }
    let found = spec
        .provider
        .secret_ref
        .as_ref()
        .map(|reference| secret(world, namespace, &reference.name, "spec.provider.secretRef.name", book));
    let result = match found {
        None => metrics::provider(&spec.provider, None),
        Some(found) => match found.and_then(|found| data(&found)) {
            Some(data) => metrics::provider(&spec.provider, Some(&data)),
            None => return,
        },
    };
    if let Err(error) = result {
        let sentence = checks::refusal(&error);
        let (code, field) = match &error {
            metrics::Error::Address { .. } | metrics::Error::NoEndpoint { .. } => {
                (Code::Backend, "spec.provider.address")
            }
            _ if spec.provider.secret_ref.is_some() => (Code::SecretKey, "spec.provider.secretRef.name"),
            _ => (Code::Backend, "spec.provider"),
        };
        book.say(code, field, &sentence);
    }
}

/// Writes down what is wrong with an AlertProvider.
pub fn alert_provider(world: &World<'_>, object: &Object, namespace: &str, book: &mut Book<'_>) {
    let Ok(provider) = decode::alert_provider(&object.value) else { return };
    let spec = &provider.spec;
    if !book.findings.is_empty() {
        return;
    }
    let found = spec
        .secret_ref
        .as_ref()
        .map(|reference| secret(world, namespace, &reference.name, "spec.secretRef.name", book));
    let result = match found {
        None => alert::notifier(spec, None),
        Some(found) => match found.and_then(|found| data(&found)) {
            Some(data) => alert::notifier(spec, Some(&data)),
            None => return,
        },
    };
    match result {
        Err(error) => {
            let field = match &error {
                alert::Error::NoAddress => "spec.secretRef.name",
                alert::Error::Proxy { .. } => "spec.proxy",
                alert::Error::Spec { problem, .. } if problem.contains("spec.template") => "spec.template",
                alert::Error::Address { .. } => "spec.address",
                _ => "spec",
            };
            let code = if field == "spec.secretRef.name" { Code::SecretKey } else { Code::Receiver };
            book.say(code, field, &error.to_string());
        }
        Ok(None) => {
            book.say(Code::Receiver, "spec.address", "is empty, so that nothing is sent: write an address")
        }
        Ok(Some(_)) => {}
    }
}

/// What a Secret among the manifests holds; `None` if its values are put in elsewhere.
fn data(secret: &Value) -> Option<SecretData> {
    let mut data: SecretData = BTreeMap::new();
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        data.insert(key.clone(), STANDARD.decode(value.as_str()?.trim()).ok()?);
    }
    for (key, value) in secret["stringData"].as_object().into_iter().flatten() {
        data.insert(key.clone(), value.as_str()?.as_bytes().to_vec());
    }
    (!data.is_empty()).then_some(data)
}

/// Nothing that is asked here is sent, so that any moment will do.
fn moment() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}
