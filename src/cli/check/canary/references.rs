//! What a Canary refers to: MetricTemplates and their Secrets, AlertProviders, hooks. Judged before it is needed in the
//! middle of a release.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::alert;
use crate::cli::check::asker::{Asked, Asker};
use crate::cli::check::finding::Finding;
use crate::cli::check::proxy::{self, Named};
use crate::http::shown_url;
use crate::manifest::decode;
use crate::metrics;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Hook, MetricSource, Release};
use crate::model::secrets::Use;
use crate::router::endpoints::{self, ENDPOINT_SLICE};

use super::metrics::{ALERT_PROVIDER, METRIC_TEMPLATE, Metric};
use super::{Facts, Overseer};

/// What the objects say that a Canary refers to.
#[derive(Clone, Debug, Default)]
pub(in crate::cli::check) struct References {
    pub templates: BTreeMap<ObjectId, Referred>,
    pub alerts: BTreeMap<ObjectId, Referred>,
    pub hooks: Vec<Called>,
    pub metrics: Vec<Metric>,
}

/// An object and the Secret that it names.
#[derive(Clone, Debug)]
pub(in crate::cli::check) struct Referred {
    pub object: Asked<Option<Value>>,
    pub secret: Option<(String, Asked<Option<Value>>)>,
}

/// A hook and what is behind its address.
#[derive(Clone, Debug)]
pub(in crate::cli::check) struct Called {
    pub hook: Hook,
    /// The Service that the address names, with what the cluster says of it.
    pub service: Option<(Named, Asked<Option<Value>>)>,
    pub slices: Asked<Vec<Value>>,
    /// The Secrets of its headers and its signature, with the key that is needed.
    pub secrets: Vec<(String, Option<String>, Asked<Option<Value>>)>,
}

/// `data` of a Secret.
pub(super) type SecretData = BTreeMap<String, Vec<u8>>;

impl References {
    pub(super) async fn fetch(
        asker: &Asker,
        release: &Release,
        overseer: &Overseer,
        at_rest: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let mut it = Self::default();
        if !release.skip_analysis {
            for check in &release.analysis.metrics {
                let MetricSource::Template { name, namespace } = &check.source else { continue };
                let id = METRIC_TEMPLATE.at(namespace, name);
                if let Entry::Vacant(unknown) = it.templates.entry(id) {
                    let found = Referred::fetch(asker, unknown.key(), "/spec/provider/secretRef/name").await;
                    unknown.insert(found);
                }
            }
        }
        for alert in &release.analysis.alerts {
            let of = alert.provider_ref.namespace.as_deref().filter(|namespace| !namespace.is_empty());
            let id = ALERT_PROVIDER.at(of.unwrap_or(&release.namespace), &alert.provider_ref.name);
            if let Entry::Vacant(unknown) = it.alerts.entry(id) {
                let found = Referred::fetch(asker, unknown.key(), "/spec/secretRef/name").await;
                unknown.insert(found);
            }
        }
        for hook in &release.analysis.hooks {
            it.hooks.push(Called::fetch(asker, hook, release, &overseer.namespace).await);
        }
        it.metrics = Metric::fetch_all(asker, release, overseer, &it.templates, at_rest, now).await;
        it
    }
}

impl Referred {
    async fn fetch(asker: &Asker, id: &ObjectId, secret: &str) -> Self {
        let object = asker.get(id).await;
        let named = object.as_ref().ok().and_then(Option::as_ref).and_then(|object| object.pointer(secret));
        let secret = match named.and_then(Value::as_str) {
            Some(name) => Some((name.to_owned(), asker.get(&Kind::SECRET.at(&id.namespace, name)).await)),
            None => None,
        };
        Self { object, secret }
    }

    /// The contents of the Secret, if one is named and can be read.
    pub(super) fn data(&self) -> Option<SecretData> {
        let (_, secret) = self.secret.as_ref()?;
        secret.as_ref().ok()?.as_ref().map(data)
    }
}

impl Called {
    /// The hook is called from the controller's namespace, in which bare names are looked up.
    async fn fetch(asker: &Asker, hook: &Hook, release: &Release, from: &str) -> Self {
        let named = proxy::named(&hook.url, from);
        let mut it = Self { hook: hook.clone(), service: None, slices: Ok(Vec::new()), secrets: Vec::new() };
        if let Some(named) = named {
            let labels = format!("kubernetes.io/service-name={}", named.name);
            it.slices = asker.list(ENDPOINT_SLICE, Some(&named.namespace), &labels).await;
            let service = asker.get(&named.id()).await;
            it.service = Some((named, service));
        }
        let credentials = &hook.credentials;
        let headers = credentials.headers.iter().map(|name| (name, None));
        let signing = credentials.signing.iter().map(|(name, key)| (name, Some(key.clone())));
        for (name, key) in headers.chain(signing) {
            let secret = asker.get(&Kind::SECRET.at(&release.namespace, name)).await;
            it.secrets.push((name.clone(), key, secret));
        }
        it
    }
}

/// The contents of a Secret.
fn data(secret: &Value) -> SecretData {
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    let fields = secret["data"].as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.clone(), decoded(value))).collect()
}

/// Whether the owner of a Secret has labelled it for this use.
fn permitted(secret: &Value, wanted: Use) -> Result<(), String> {
    let labels = secret["metadata"]["labels"].as_object().into_iter().flatten();
    wanted.permitted(labels.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())))
}

fn title(id: &ObjectId) -> String {
    format!("{}.{}", id.name, id.namespace)
}

fn there(referred: &BTreeMap<ObjectId, Referred>, field: &str) -> Vec<Finding> {
    let each = referred.iter().map(|(id, found)| {
        let finding = match &found.object {
            Err(why) => Finding::unasked(why),
            Ok(Some(_)) => Finding::fine(""),
            Ok(None) => Finding::wrong(
                format!("there is no {} {} in namespace {}", id.kind.kind, id.name, id.namespace),
                format!("create it, or correct {field} of the Canary"),
            ),
        };
        finding.about(title(id))
    });
    each.collect()
}

pub(super) fn templates(it: &Facts) -> Vec<Finding> {
    there(&it.references.templates, "spec.analysis.metrics[].templateRef")
}

pub(super) fn alerts(it: &Facts) -> Vec<Finding> {
    there(&it.references.alerts, "spec.analysis.alerts[].providerRef")
}

/// What is said of the Secret of an object: it is there, may be used, and `make` is content with what is in it.
fn usable(
    id: &ObjectId,
    found: &Referred,
    wanted: Option<Use>,
    make: impl Fn(&Value, &SecretData) -> Result<(), String>,
) -> Option<Finding> {
    let (name, secret) = found.secret.as_ref()?;
    let object = found.object.as_ref().ok()?.as_ref()?;
    let of = format!("Secret {name} of namespace {}", id.namespace);
    let finding = match secret {
        Err(why) => Finding::unasked(why),
        Ok(None) => Finding::wrong(
            format!("there is no {of}"),
            format!("create it, or correct secretRef of {} {}", id.kind.kind, title(id)),
        ),
        Ok(Some(secret)) => {
            let permitted = wanted.map_or(Ok(()), |wanted| permitted(secret, wanted));
            match permitted.and_then(|()| make(object, &data(secret))) {
                Ok(()) => Finding::fine(of),
                Err(why) => Finding::wrong(
                    format!("{of}: {why}"),
                    "put the keys into it that docs/metrics.md and docs/alerts.md list, and the label that they ask for",
                ),
            }
        }
    };
    Some(finding.about(title(id)))
}

pub(super) fn template_secrets(it: &Facts) -> Vec<Finding> {
    let wanted = it.overseer.settings.require_secret_labels.then_some(Use::Metrics);
    let make = |object: &Value, data: &SecretData| {
        let template = decode::metric_template(object).map_err(|why| why.to_string())?;
        metrics::provider(&template.spec.provider, Some(data)).map(|_| ()).map_err(|why| why.to_string())
    };
    it.references.templates.iter().filter_map(|(id, found)| usable(id, found, wanted, make)).collect()
}

pub(super) fn alert_secrets(it: &Facts) -> Vec<Finding> {
    let wanted = it.overseer.settings.require_secret_labels.then_some(Use::Alerts);
    let make = |object: &Value, data: &SecretData| {
        let provider = decode::alert_provider(object).map_err(|why| why.to_string())?;
        alert::notifier(&provider.spec, Some(data)).map(|_| ()).map_err(|why| why.to_string())
    };
    it.references.alerts.iter().filter_map(|(id, found)| usable(id, found, wanted, make)).collect()
}

/// What is said of an AlertProvider that names no Secret.
pub(super) fn alert_usable(it: &Facts) -> Vec<Finding> {
    let plain = it.references.alerts.iter().filter(|(_, found)| found.secret.is_none());
    let judged = |(id, found): (&ObjectId, &Referred)| {
        let object = found.object.as_ref().ok()?.as_ref()?;
        let made = decode::alert_provider(object)
            .map_err(|why| why.to_string())
            .and_then(|provider| alert::notifier(&provider.spec, None).map_err(|why| why.to_string()));
        let finding = match made {
            Ok(Some(_)) => Finding::fine(""),
            Ok(None) => Finding::warning(
                "it has no address: nothing is sent to it",
                "write spec.address, or spec.secretRef with a key address",
            ),
            Err(why) => Finding::wrong(why, "correct it; docs/alerts.md has a section for each type"),
        };
        Some(finding.about(title(id)))
    };
    plain.filter_map(judged).collect()
}

pub(super) fn hook_services(it: &Facts) -> Vec<Finding> {
    let each = it.references.hooks.iter().map(|called| {
        let url = shown_url(&called.hook.url);
        let finding = match &called.service {
            None => Finding::skipped(format!("{url} is not in the cluster")),
            Some((named, Ok(None))) if !named.surely => Finding::skipped(format!("{url} is not in the cluster")),
            Some((_, Err(why))) => Finding::unasked(why),
            Some((named, Ok(None))) => Finding::wrong(
                format!("{url}: there is no Service {} in namespace {}", named.name, named.namespace),
                "install what answers there, or correct the url of the hook, with the namespace of the Service",
            ),
            Some((named, Ok(Some(service)))) => match named.lacks_port(service) {
                Some(why) => Finding::wrong(format!("{url}: {why}"), "correct the port in the url of the hook"),
                None => Finding::fine(named.title()),
            },
        };
        finding.about(called.hook.name.as_str())
    });
    each.collect()
}

pub(super) fn hook_endpoints(it: &Facts) -> Vec<Finding> {
    let judged = |called: &Called| {
        let (named, service) = called.service.as_ref()?;
        let service = service.as_ref().ok()?.as_ref()?;
        if service["spec"]["type"] == "ExternalName" {
            return None;
        }
        let finding = match &called.slices {
            Err(why) => Finding::unasked(why),
            Ok(slices) => {
                let reduced: Vec<Value> = slices.iter().map(endpoints::reduced).collect();
                match endpoints::ready(&reduced) {
                    Some(ready) if ready > 0 => Finding::fine(format!("{ready} ready")),
                    _ => Finding::wrong(
                        format!(
                            "no pod behind Service {}.{} is ready: the hook fails",
                            named.name, named.namespace
                        ),
                        format!(
                            "kubectl -n {} get endpointslices -l kubernetes.io/service-name={}; look at its pods",
                            named.namespace, named.name
                        ),
                    ),
                }
            }
        };
        Some(finding.about(called.hook.name.as_str()))
    };
    it.references.hooks.iter().filter_map(judged).collect()
}

pub(super) fn hook_secrets(it: &Facts) -> Vec<Finding> {
    let namespace = it.namespace();
    let judged = |called: &Called| {
        let hook = called.hook.name.clone();
        let each = called.secrets.iter().map(move |(name, key, secret)| {
            let of = format!("Secret {name} of namespace {namespace}");
            let finding = match secret {
                Err(why) => Finding::unasked(why),
                Ok(None) => Finding::wrong(format!("there is no {of}"), "create it, or correct the hook"),
                Ok(Some(secret)) => match permitted(secret, Use::Hooks) {
                    Err(why) => Finding::wrong(
                        format!("{of} {why}"),
                        format!("kubectl -n {namespace} label secret {name} flagger.app/use-in=hooks"),
                    ),
                    Ok(()) => match key {
                        Some(key) if data(secret).get(key).is_none_or(Vec::is_empty) => Finding::wrong(
                            format!("{of} has no key {key:?} to sign with"),
                            "add it, or correct signature.secretRef of the hook",
                        ),
                        None if data(secret).is_empty() => Finding::warning(
                            format!("{of} is empty: no header is sent"),
                            "add a key for each header",
                        ),
                        _ => Finding::fine(of),
                    },
                },
            };
            finding.about(hook.clone())
        });
        each.collect::<Vec<Finding>>()
    };
    it.references.hooks.iter().flat_map(judged).collect()
}
