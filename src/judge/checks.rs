//! Finds out whether the checks of an analysis can be asked at all, without asking them: from the watched objects, and,
//! where a MetricTemplate names a Secret, with what is in that.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::Value;

use crate::api::schema::MetricBackend;
use crate::api::{MetricTemplate, duration};
use crate::manifest::legacy::{DURATION, SUCCESS_RATE};
use crate::manifest::{decode, defaults, nearest};
use crate::metrics::{self, Asked, Measured, Prometheus, Provider, Template, variables};
use crate::model::call::Next;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{MetricCheck, MetricSource, Problem, Release, Settings};
use crate::rollout::Checkable;
use crate::router::registry;

use super::Around;

/// The kind that templated checks come from.
pub const METRIC_TEMPLATE: Kind = Kind::new("flagger.app", "v1beta1", "MetricTemplate", "metrictemplates");

/// The MetricTemplates that the checks of `release` refer to.
pub fn templates(release: &Release) -> impl Iterator<Item = ObjectId> + '_ {
    release.analysis.metrics.iter().filter_map(|check| match &check.source {
        MetricSource::Template { name, namespace } => Some(METRIC_TEMPLATE.at(namespace, name)),
        _ => None,
    })
}

/// What the watched objects tell of the checks of `release`.
pub fn seen(around: &dyn Around, settings: &Settings, release: &Release, now: DateTime<Utc>) -> Checkable {
    let Seen { problems, secrets } = look(around, settings, release, now);
    let mut seen =
        Checkable { problems: problems.iter().map(Problem::to_string).collect(), ..Checkable::default() };
    if !secrets.is_empty() {
        let state = |(id, template): (&ObjectId, &Value)| {
            let metadata = &template["metadata"];
            format!(" {}.{}:{}:{}", id.name, id.namespace, metadata["uid"], metadata["generation"])
        };
        seen.secrets =
            Some(format!("{}{}", release.generation, secrets.iter().map(state).collect::<String>()));
    }
    seen
}

/// What is known of the checks of a release without a Secret.
#[derive(Debug, Default)]
pub struct Seen {
    /// What is wrong, each once: field, reason and remedy.
    pub problems: Vec<Problem>,
    /// The MetricTemplates that name a Secret and are right as far as one can tell without it.
    pub secrets: BTreeMap<ObjectId, Value>,
}

/// Looks at all checks of `release`; there is nothing to be asked where the analysis is skipped.
pub fn look(around: &dyn Around, settings: &Settings, release: &Release, now: DateTime<Utc>) -> Seen {
    let mut seen = Seen::default();
    if release.skip_analysis {
        return seen;
    }
    let look = Look { around, settings, release, now };
    for check in &release.analysis.metrics {
        match look.at(check) {
            Err(problem) if seen.problems.contains(&problem) => {}
            Err(problem) => seen.problems.push(problem),
            Ok(None) => {}
            Ok(Some((id, template))) => {
                seen.secrets.insert(id, template);
            }
        }
    }
    seen
}

struct Look<'a> {
    around: &'a dyn Around,
    settings: &'a Settings,
    release: &'a Release,
    now: DateTime<Utc>,
}

impl Look<'_> {
    /// What is wrong with `check`. If nothing is, and its MetricTemplate names a Secret, that template.
    fn at(&self, check: &MetricCheck) -> Result<Option<(ObjectId, Value)>, Problem> {
        let release = self.release;
        let at = |field: &str, message: String| Problem { field: format!("{}{field}", check.field), message };
        match &check.source {
            MetricSource::SuccessRate | MetricSource::Duration => {
                registry::checks(release, self.settings).map_err(|error| at(".name", error.to_string()))?;
                self.server().map(|_| None)
            }
            MetricSource::Inline(text) => {
                let query = render(text, release, check).map_err(|error| at(".query", error.to_string()))?;
                let asked = asked(check, query, self.now);
                unanswerable(&self.server()?, &asked).map_or(Ok(None), |why| Err(at(".query", why)))
            }
            MetricSource::Template { name, namespace } => self
                .template(check, &METRIC_TEMPLATE.at(namespace, name))
                .map_err(|why| at(".templateRef", why)),
            MetricSource::Unusable => Err(at(".name", self.unknown(&check.name))),
        }
    }

    /// The metrics server of built-in checks and inline queries.
    fn server(&self) -> Result<Prometheus, Problem> {
        let address = &self.release.metrics_server;
        Prometheus::server(address).map_err(|error| {
            let field = if *address == self.settings.metrics_server {
                "the flag -metrics-server"
            } else {
                "spec.metricsServer"
            };
            Problem { field: field.to_owned(), message: refusal(&error) }
        })
    }

    fn template(&self, check: &MetricCheck, id: &ObjectId) -> Result<Option<(ObjectId, Value)>, String> {
        let title = format!("MetricTemplate {}.{}", id.name, id.namespace);
        let Some(object) = self.around.get(id) else {
            return Err(match self.around.unreadable(METRIC_TEMPLATE) {
                Some(why) => format!("{title} cannot be read: {why}"),
                None => format!("{title} does not exist: {}", self.instead(id)),
            });
        };
        let template = decode::metric_template(&object).map_err(|error| format!("{title}, {error}"))?;
        let query = query(&template, self.release, check).map_err(|why| format!("{title}, {why}"))?;
        let kind = &template.spec.provider.kind;
        if MetricBackend::of(kind).is_none() {
            let known = metrics::known();
            let meant = nearest(kind, known.iter().copied())
                .map_or(format!("write one of {}", known.join(", ")), |meant| {
                    format!("did you mean {meant}?")
                });
            return Err(format!("{title}, spec.provider.type: {kind:?} is not known: {meant}"));
        }
        if template.spec.provider.secret_ref.is_some() {
            return Ok(Some((id.clone(), Value::clone(&object))));
        }
        let provider = metrics::provider(&template.spec.provider, None)
            .map_err(|error| format!("{title}, spec.provider: {}", refusal(&error)))?;
        match unanswerable(provider.as_ref(), &asked(check, query, self.now)) {
            Some(why) => Err(format!("{title}, spec.query: {why}")),
            None => Ok(None),
        }
    }

    /// What to do about a MetricTemplate that is not there.
    fn instead(&self, id: &ObjectId) -> String {
        let all = self.around.ids(METRIC_TEMPLATE);
        let beside = all.iter().filter(|other| other.namespace == id.namespace);
        if let Some(meant) = nearest(&id.name, beside.map(|other| other.name.as_str())) {
            return format!("create it, or did you mean {meant}?");
        }
        match all.iter().find(|other| other.name == id.name) {
            Some(other) if !self.settings.no_cross_namespace_refs => format!(
                "create it, or write templateRef.namespace: {} if that of that namespace is meant",
                other.namespace
            ),
            _ => "create it, or correct templateRef".to_owned(),
        }
    }

    /// What to do about a metric that is neither built in nor defined.
    fn unknown(&self, name: &str) -> String {
        let unknown = unknown_metric(name);
        if let Some(meant) = nearest(name, [SUCCESS_RATE, DURATION]) {
            return format!("{unknown}: did you mean {meant}?");
        }
        let all = self.around.ids(METRIC_TEMPLATE);
        let beside = all.iter().filter(|other| other.namespace == self.release.namespace);
        match nearest(name, beside.map(|template| template.name.as_str())) {
            Some(template) => format!("{unknown}: is templateRef.name: {template} missing?"),
            None => format!(
                "{unknown}: add the templateRef of a MetricTemplate, or write the name of a built-in one"
            ),
        }
    }
}

/// What is wrong with a metric of this name that has neither template nor query.
pub fn unknown_metric(name: &str) -> String {
    format!(
        "{name:?} is no built-in metric (those are {SUCCESS_RATE} and {DURATION}) and has neither templateRef nor query"
    )
}

/// What is wrong with a check whose MetricTemplate and Secret can be read.
pub fn unusable(
    template: &MetricTemplate,
    provider: &dyn Provider,
    release: &Release,
    check: &MetricCheck,
    now: DateTime<Utc>,
) -> Option<String> {
    let query = match query(template, release, check) {
        Ok(query) => query,
        Err(why) => return Some(why),
    };
    unanswerable(provider, &asked(check, query, now)).map(|why| format!("spec.query: {why}"))
}

/// The query of a check.
///
/// # Errors
/// If `text` is no template, or does not fit the check.
pub fn render(text: &str, release: &Release, check: &MetricCheck) -> Result<String, metrics::TemplateError> {
    Template::parse(text).and_then(|template| template.render(&variables(release, check)))
}

/// The question that a check puts to its backend. Its time is that of a whole second, so that all who ask the same in one
/// second ask the same to the letter.
pub fn asked(check: &MetricCheck, query: String, now: DateTime<Utc>) -> Asked {
    let interval = duration::parse(&check.interval).unwrap_or(defaults::INTERVAL);
    Asked { query, interval, now: now.trunc_subsecs(0) }
}

/// Why a backend cannot be used, with what to do where the text does not say it.
pub fn refusal(error: &metrics::Error) -> String {
    match error {
        metrics::Error::Address { .. } => {
            format!("{error}: write it with its scheme, like http://prometheus.monitoring:9090")
        }
        metrics::Error::NoEndpoint { .. } => format!("{error}: write its address"),
        error => error.to_string(),
    }
}

fn query(template: &MetricTemplate, release: &Release, check: &MetricCheck) -> Result<String, String> {
    match render(&template.spec.query, release, check) {
        Ok(query) if query.trim().is_empty() => {
            Err("spec.query: is empty: write what is to be asked".to_owned())
        }
        Ok(query) => Ok(query),
        Err(error) => Err(format!("spec.query: {error}")),
    }
}

/// Why `provider` gives up before it has sent anything. Nothing that it could hear would change that.
fn unanswerable(provider: &dyn Provider, asked: &Asked) -> Option<String> {
    match provider.next(asked, &[]) {
        Next::Done(Measured::Failed(why) | Measured::NoData(why)) => Some(why),
        _ => None,
    }
}
