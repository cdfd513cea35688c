//! Finds the answers to the core's questions: metrics, hooks, whether the metric providers answer. Every question has a
//! deadline, and one that fails is answered as well.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use tracing::warn;

use crate::api::MetricTemplate;
use crate::api::status::{CanaryStatus, Phase};
use crate::http::{self, Party, Sort};
use crate::judge::checks::{self, METRIC_TEMPLATE, render};
use crate::manifest::decode;
use crate::metrics::{self, Asked, Prometheus, Provider, SecretData};
use crate::model::answer::{Measured, Verdict};
use crate::model::call::Call;
use crate::model::object::Kind;
use crate::model::release::{Hook, MetricCheck, MetricSource, Reference, Release, Settings, TargetKind};
use crate::model::secrets::Use;
use crate::rollout::{Answer, Ask, Question, Snapshot};
use crate::router::checks::{Builtin, Checks};
use crate::router::registry;
use crate::webhook::{self, Draft, Payload};

use super::caches::{Caches, State};
use super::calls::Calls;
use super::clock::Clock;
use super::lanes;

/// Why a check or a hook could not be asked at all. The texts are those of spec 02 §7.4.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error("Error fetching Knative service {namespace}/{name} it has no revision")]
    NoRevision { namespace: String, name: String },
    #[error("Error building Prometheus client for {address} {source}")]
    Server { address: String, source: metrics::Error },
    #[error("Metric template {reference} {trouble}")]
    Template { reference: String, trouble: Trouble },
    #[error("{0}")]
    NoChecks(String),
    #[error(transparent)]
    Query(#[from] metrics::TemplateError),
    #[error("no usable metrics template and query were configured: {0}")]
    NoQuery(String),
    #[error("secret {name} error: {source}")]
    Secret { name: String, source: SecretError },
    #[error("{0}")]
    Hook(String),
}

/// What is wrong with a MetricTemplate.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It is not there, or cannot be read.
    #[error("error: {0}")]
    Object(String),
    #[error("secret {name} error: {source}")]
    Secret { name: String, source: SecretError },
    #[error("provider {kind} error: {source}")]
    Provider { kind: String, source: metrics::Error },
    #[error("query render error: {0}")]
    Query(metrics::TemplateError),
}

/// The backend of a metric that does not answer. The texts are those of spec 01 §8.4, as they are written there.
#[derive(Debug, thiserror::Error)]
enum Offline {
    #[error("error building Prometheus client for {address} {source}")]
    Server { address: String, source: metrics::Error },
    #[error("prometheus not avaiable: {0}")]
    Prometheus(String),
    #[error("metric template {reference} {trouble}")]
    Template { reference: String, trouble: Trouble },
    #[error("{kind} in metric template {reference} not avaiable: {why}")]
    Provider { kind: String, reference: String, why: String },
}

/// Why a Secret cannot be read. The text is the API's.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct SecretError {
    text: String,
    /// Whether it may be over in a moment.
    passing: bool,
}

/// Finds answers. Clones share all they have.
#[derive(Clone)]
pub struct Inquirer(Arc<Sources>);

/// The clients and caches from which questions are answered.
#[derive(Clone)]
struct Sources {
    client: kube::Client,
    calls: Calls,
    caches: Arc<Caches>,
    settings: Settings,
    clock: Clock,
}

/// A backend, the query for it, and how the answer is to be read.
struct Checkable {
    provider: Box<dyn Provider>,
    query: String,
    builtin: Option<(&'static Checks, Builtin)>,
}

impl Inquirer {
    /// Answers from these clients and caches.
    pub fn new(
        client: kube::Client,
        http: http::Client,
        caches: Arc<Caches>,
        settings: Settings,
        clock: Clock,
    ) -> Self {
        let calls = Calls::new(client.clone(), http);
        Self(Arc::new(Sources { client, calls, caches, settings, clock }))
    }

    /// The answer to `question` about `world`. Dropping it takes the question back.
    pub fn ask(&self, world: &Snapshot, question: &Question) -> BoxFuture<'static, Answer> {
        let release = world.release.clone();
        let sort = match question.ask {
            Ask::Providers | Ask::Metric { .. } | Ask::Secrets { .. } => Sort::Query,
            Ask::Hook { .. } => Sort::Hook,
        };
        let shared = self.0.on_behalf_of(Party::new(sort, &release.namespace, &release.name));
        match &question.ask {
            Ask::Providers => async move {
                Answer::Providers(shared.probe(&release).await.map_err(|offline| offline.to_string()))
            }
            .boxed(),
            Ask::Secrets { .. } => async move { Answer::Secrets(shared.secrets(&release).await) }.boxed(),
            Ask::Metric { index } => {
                let check = release.analysis.metrics.get(*index).cloned();
                async move {
                    Answer::Metric(match check {
                        Some(check) => shared.measure(&release, &check).await,
                        None => Measured::Failed("the check is gone".to_owned()),
                    })
                }
                .boxed()
            }
            Ask::Hook { index, phase } => {
                let hook = release.analysis.hooks.get(*index).cloned();
                let (status, phase) = (world.status.clone(), *phase);
                async move {
                    Answer::Hook(match hook {
                        Some(hook) => shared.call(&release, &status, phase, &hook).await,
                        None => Verdict::Failed("the hook is gone".to_owned()),
                    })
                }
                .boxed()
            }
        }
    }
}

impl Sources {
    fn on_behalf_of(&self, party: Party) -> Self {
        Self { calls: self.calls.on_behalf_of(party), ..self.clone() }
    }

    async fn call(&self, release: &Release, status: &CanaryStatus, phase: Phase, hook: &Hook) -> Verdict {
        let payload = Payload::new(&release.name, &release.namespace, phase, status).metadata(&hook.metadata);
        let caller = Caller { client: self.client.clone(), calls: self.calls.clone(), clock: self.clock };
        caller.post(webhook::request(hook, &payload)).await
    }

    /// The release with the route that its metrics are found under: for Knative the latest revision.
    fn routed<'a>(&self, release: &'a Release) -> Result<Cow<'a, Release>, Unasked> {
        if release.target.kind != TargetKind::Knative {
            return Ok(Cow::Borrowed(release));
        }
        let id = Kind::KNATIVE_SERVICE.at(&release.namespace, &release.target.name);
        let service = self.caches.get(&id);
        let latest =
            service.as_ref().and_then(|service| service["status"]["latestCreatedRevisionName"].as_str());
        match latest {
            Some(revision) => {
                let route = Reference {
                    api_version: Kind::KNATIVE_REVISION.api_version(),
                    kind: Kind::KNATIVE_REVISION.kind.to_owned(),
                    name: revision.to_owned(),
                    namespace: release.namespace.clone(),
                };
                Ok(Cow::Owned(Release { route: Some(route), ..release.clone() }))
            }
            None => Err(Unasked::NoRevision {
                namespace: release.namespace.clone(),
                name: release.target.name.clone(),
            }),
        }
    }

    async fn measure(&self, release: &Release, check: &MetricCheck) -> Measured {
        let routed = match self.routed(release) {
            Ok(routed) => routed,
            Err(why) => return Measured::Failed(why.to_string()),
        };
        let release = routed.as_ref();
        let checkable = match self.checkable(release, check).await {
            Ok(checkable) => checkable,
            Err(why) => return Measured::Failed(why.to_string()),
        };
        let asked = checks::asked(check, checkable.query, self.clock.now());
        let measured = self.calls.measure(checkable.provider.as_ref(), &asked).await;
        match (checkable.builtin, &check.source) {
            (Some((checks, builtin)), _) => checks.read(builtin, measured),
            (None, MetricSource::Template { name, namespace }) => named(measured, name, namespace),
            (None, _) => measured,
        }
    }

    async fn checkable(&self, release: &Release, check: &MetricCheck) -> Result<Checkable, Unasked> {
        let server = || {
            Prometheus::server(&release.metrics_server)
                .map_err(|source| Unasked::Server { address: release.metrics_server.clone(), source })
        };
        if let Some(builtin) = Builtin::of(&check.source) {
            let checks = registry::checks(release, &self.settings)
                .map_err(|error| Unasked::NoChecks(error.to_string()))?;
            let query = checks.query(builtin, release, &check.interval);
            return Ok(Checkable { provider: Box::new(server()?), query, builtin: Some((checks, builtin)) });
        }
        match &check.source {
            MetricSource::Inline(text) => {
                let query = render(text, release, check)?;
                Ok(Checkable { provider: Box::new(server()?), query, builtin: None })
            }
            MetricSource::Template { name, namespace } => {
                let unasked =
                    |trouble| Unasked::Template { reference: format!("{name}.{namespace}"), trouble };
                let (template, provider) = self.template(name, namespace).await.map_err(unasked)?;
                let query = render(&template.spec.query, release, check)
                    .map_err(|error| unasked(Trouble::Query(error)))?;
                Ok(Checkable { provider, query, builtin: None })
            }
            MetricSource::SuccessRate | MetricSource::Duration | MetricSource::Unusable => {
                Err(Unasked::NoQuery(checks::unknown_metric(&check.name)))
            }
        }
    }

    /// A MetricTemplate and its backend.
    async fn template(
        &self,
        name: &str,
        namespace: &str,
    ) -> Result<(MetricTemplate, Box<dyn Provider>), Trouble> {
        let object = self.caches.get(&METRIC_TEMPLATE.at(namespace, name)).ok_or_else(|| {
            Trouble::Object(match self.caches.state(METRIC_TEMPLATE) {
                State::Unavailable(refusal) => refusal.why,
                State::Loading => "metric templates are still being listed".to_owned(),
                State::Ready => format!("metrictemplate.flagger.app \"{name}\" not found"),
            })
        })?;
        let template =
            decode::metric_template(&object).map_err(|error| Trouble::Object(error.to_string()))?;
        let secret = match &template.spec.provider.secret_ref {
            Some(reference) => {
                let wanted = self.settings.require_secret_labels.then_some(Use::Metrics);
                Some(
                    secret(&self.client, namespace, &reference.name, wanted)
                        .await
                        .map_err(|source| Trouble::Secret { name: reference.name.clone(), source })?,
                )
            }
            None => None,
        };
        let provider = metrics::provider(&template.spec.provider, secret.as_ref())
            .map_err(|source| Trouble::Provider { kind: template.spec.provider.kind.clone(), source })?;
        Ok((template, provider))
    }

    /// What is wrong with the Secrets of MetricTemplates, and with what can only be judged with them.
    async fn secrets(&self, release: &Release) -> Vec<String> {
        let mut read = BTreeMap::new();
        let mut problems = Vec::new();
        for check in &release.analysis.metrics {
            let MetricSource::Template { name, namespace } = &check.source else { continue };
            let template = match read.entry((name, namespace)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.template(name, namespace).await),
            };
            let why = match template {
                // What is wrong with the template itself is seen without its Secret.
                Ok((template, _)) if template.spec.provider.secret_ref.is_none() => None,
                Err(Trouble::Object(_) | Trouble::Query(_)) => None,
                Ok((template, provider)) => {
                    checks::unusable(template, provider.as_ref(), release, check, self.clock.now())
                }
                Err(Trouble::Secret { name, source }) => Some(format!(
                    "spec.provider.secretRef: Secret {name}.{namespace} cannot be used: {source}"
                )),
                Err(Trouble::Provider { source, .. }) => {
                    Some(format!("spec.provider: {}", checks::refusal(source)))
                }
            };
            let problem = why
                .map(|why| format!("{}.templateRef: MetricTemplate {name}.{namespace}, {why}", check.field));
            problems.extend(problem.filter(|problem| !problems.contains(problem)));
        }
        problems
    }

    /// Asks the backends of all metrics whether they are there, until one does not answer.
    async fn probe(&self, release: &Release) -> Result<(), Offline> {
        for check in &release.analysis.metrics {
            match &check.source {
                MetricSource::SuccessRate | MetricSource::Duration => {
                    let server = Prometheus::server(&release.metrics_server).map_err(|source| {
                        Offline::Server { address: release.metrics_server.clone(), source }
                    })?;
                    self.online(&server).await.map_err(Offline::Prometheus)?;
                }
                MetricSource::Template { name, namespace } => {
                    let reference = format!("{name}.{namespace}");
                    let (template, provider) = self
                        .template(name, namespace)
                        .await
                        .map_err(|trouble| Offline::Template { reference: reference.clone(), trouble })?;
                    let kind = template.spec.provider.kind;
                    self.online(provider.as_ref()).await.map_err(|why| Offline::Provider {
                        kind,
                        reference,
                        why,
                    })?;
                }
                MetricSource::Inline(_) | MetricSource::Unusable => {}
            }
        }
        Ok(())
    }

    async fn online(&self, provider: &dyn Provider) -> Result<(), String> {
        let interval = Duration::from_secs(60);
        self.calls.online(provider, &Asked { query: String::new(), interval, now: self.clock.now() }).await
    }
}

/// Several checks, also of several Canaries, may share a template: what goes wrong with it names it.
fn named(measured: Measured, name: &str, namespace: &str) -> Measured {
    let named = |why| format!("metric template {name}.{namespace}: {why}");
    match measured {
        Measured::NoData(why) => Measured::NoData(named(why)),
        Measured::Failed(why) => Measured::Failed(named(why)),
        number @ (Measured::Value(_) | Measured::NotANumber) => number,
    }
}

/// Calls hooks, with the secrets that they need: those are read when they are needed and never kept.
#[derive(Clone)]
pub(super) struct Caller {
    pub client: kube::Client,
    pub calls: Calls,
    pub clock: Clock,
}

impl Caller {
    /// Makes the call of a hook and judges the answer.
    pub async fn post(&self, draft: Draft) -> Verdict {
        match self.call(&draft).await {
            Ok(()) => Verdict::Passed,
            Err(trouble) => Verdict::Failed(trouble.why),
        }
    }

    /// Makes the call of a hook.
    ///
    /// # Errors
    /// If it was not made, or the hook did not say yes; and whether that may be over in a moment.
    pub async fn call(&self, draft: &Draft) -> Result<(), lanes::Trouble> {
        let shown = http::shown_url(draft.call.url());
        let call = match self.finished(draft).await {
            Ok(call) => call,
            Err(why) => {
                // Events of gates have no room for the reason.
                warn!(hook = shown, "not called: {why}");
                let passing = matches!(&why, Unasked::Secret { source, .. } if source.passing);
                return Err(lanes::Trouble { why: why.to_string(), reason: "NotCalled", passing });
            }
        };
        let (verdict, passing) = match self.calls.send(&call).await {
            Ok(answer) => (
                webhook::answered(&shown, answer.attempts, answer.status, &answer.body),
                answer.status == 429 || answer.status >= 500,
            ),
            Err(silence) => {
                (webhook::unanswered(&shown, silence.attempts, &silence.cause), !silence.hopeless)
            }
        };
        match verdict {
            Verdict::Failed(why) => {
                Err(lanes::Trouble { why: call.redact(&why), reason: "NotTaken", passing })
            }
            Verdict::Passed => Ok(()),
        }
    }

    async fn finished(&self, draft: &Draft) -> Result<Call, Unasked> {
        let credentials = &draft.credentials;
        let signing = credentials.signing.as_ref().map(|(secret, _)| secret);
        let mut secrets = BTreeMap::new();
        for name in credentials.headers.iter().chain(signing) {
            if secrets.contains_key(name) {
                continue;
            }
            let data = secret(&self.client, &draft.namespace, name, Some(Use::Hooks))
                .await
                .map_err(|source| Unasked::Secret { name: format!("{name}.{}", draft.namespace), source })?;
            secrets.insert(name.clone(), data);
        }
        draft.finish(&secrets, self.clock.now()).map_err(Unasked::Hook)
    }
}

/// Reads a Secret. It is read when it is needed and never kept; it is refused if it has to be labelled for `wanted` and
/// is not.
async fn secret(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    wanted: Option<Use>,
) -> Result<SecretData, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get(name).await.map_err(|error| match error {
        kube::Error::Api(status) => {
            SecretError { text: status.message.clone(), passing: status.code == 429 || status.code >= 500 }
        }
        other => SecretError { text: other.to_string(), passing: true },
    })?;
    permitted(&secret, wanted).map_err(|text| SecretError { text, passing: false })?;
    Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// Whether the owner of `secret` has labelled it for `wanted`.
///
/// # Errors
/// What the owner has to do.
pub(super) fn permitted(secret: &Secret, wanted: Option<Use>) -> Result<(), String> {
    let labels = secret.metadata.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    wanted.map_or(Ok(()), |wanted| wanted.permitted(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_with_a_template_names_it() {
        let named = |measured| named(measured, "errors", "ops");
        assert_eq!(
            Measured::Failed("metric template errors.ops: graphite request failed: x".into()),
            named(Measured::Failed("graphite request failed: x".into()))
        );
        assert_eq!(
            Measured::NoData("metric template errors.ops: no values found".into()),
            named(Measured::NoData("no values found".into()))
        );
        assert_eq!(Measured::Value(1.0), named(Measured::Value(1.0)));
    }
}
