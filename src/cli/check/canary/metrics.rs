//! Whether each metric check of a Canary is answered with a number now. The queries are rendered and the answers read by
//! the same code as the controller's.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cli::check::asker::Asker;
use crate::cli::check::finding::{Finding, Outcome};
use crate::cli::check::reach::{self, Told};
use crate::judge::checks::{asked, refusal, render, unknown_metric};
use crate::manifest::decode;
use crate::metrics::{self, Prometheus, Provider};
use crate::model::answer::Measured;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{MetricCheck, MetricSource, Release, Settings, TargetKind};
use crate::router::checks::{Builtin, Checks};
use crate::router::registry;

use super::references::Referred;
use super::{Facts, Overseer};

pub(super) use crate::judge::checks::METRIC_TEMPLATE;
pub(super) const ALERT_PROVIDER: Kind =
    Kind::new("flagger.app", "v1beta1", "AlertProvider", "alertproviders");

/// A metric check, and what was heard when it was asked.
#[derive(Clone, Debug)]
pub(in crate::cli::check) struct Metric {
    pub name: String,
    /// Where it stands in the manifest.
    pub field: String,
    /// What the canary's value is, or why the check cannot be asked at all.
    pub canary: Result<Told<Measured>, String>,
    /// The same of the primary, where the canary has no traffic that could be measured.
    pub primary: Option<Told<Measured>>,
}

/// A check that can be asked.
struct Ready {
    provider: Box<dyn Provider>,
    query: String,
    builtin: Option<(&'static Checks, Builtin)>,
}

impl Metric {
    pub(super) async fn fetch_all(
        asker: &Asker,
        release: &Release,
        overseer: &Overseer,
        templates: &BTreeMap<ObjectId, Referred>,
        at_rest: bool,
        now: DateTime<Utc>,
    ) -> Vec<Self> {
        let mut all = Vec::new();
        if release.skip_analysis || release.target.kind == TargetKind::Knative {
            return all;
        }
        let primary = as_primary(release);
        for check in &release.analysis.metrics {
            let from = match &check.source {
                MetricSource::Template { name, namespace } => {
                    let id = METRIC_TEMPLATE.at(namespace, name);
                    let referred = templates.get(&id);
                    // What is not there, or not readable, is told by checks of its own.
                    let readable = |it: &Referred| {
                        matches!(it.object, Ok(Some(_)))
                            && it.secret.as_ref().is_none_or(|(_, secret)| matches!(secret, Ok(Some(_))))
                    };
                    let Some(referred) = referred.filter(|it| readable(it)) else { continue };
                    Some(referred)
                }
                _ => None,
            };
            let ask = async |release: &Release| {
                let ready = prepare(release, check, &overseer.settings, from)?;
                let asked = asked(check, ready.query, now);
                let told = reach::measure(asker, ready.provider.as_ref(), &asked, &overseer.namespace).await;
                Ok::<_, String>(match (told, ready.builtin) {
                    (Told::Said(measured), Some((checks, builtin))) => {
                        Told::Said(checks.read(builtin, measured))
                    }
                    (told, _) => told,
                })
            };
            let canary = ask(release).await;
            let silent = matches!(canary, Ok(Told::Said(Measured::NoData(_) | Measured::NotANumber)));
            let primary = if silent && at_rest { ask(&primary).await.ok() } else { None };
            all.push(Self { name: check.name.clone(), field: check.field.clone(), canary, primary });
        }
        all
    }
}

/// The release as if its primary were what is released, so that queries ask for the primary.
fn as_primary(release: &Release) -> Release {
    let mut primary = release.clone();
    primary.target.name = release.primary_name();
    primary
}

/// The backend and the query of a check.
///
/// # Errors
/// If it cannot be asked, with what to do.
fn prepare(
    release: &Release,
    check: &MetricCheck,
    settings: &Settings,
    from: Option<&Referred>,
) -> Result<Ready, String> {
    let server = || Prometheus::server(&release.metrics_server).map_err(|error| refusal(&error));
    if let Some(builtin) = Builtin::of(&check.source) {
        let checks = registry::checks(release, settings).map_err(|error| error.to_string())?;
        let query = checks.query(builtin, release, &check.interval);
        return Ok(Ready { provider: Box::new(server()?), query, builtin: Some((checks, builtin)) });
    }
    match (&check.source, from) {
        (MetricSource::Inline(text), _) => {
            let query = render(text, release, check).map_err(|error| format!("query: {error}"))?;
            Ok(Ready { provider: Box::new(server()?), query, builtin: None })
        }
        (MetricSource::Template { .. }, Some(referred)) => {
            let object = referred.object.as_ref().ok().and_then(Option::as_ref).unwrap_or(&Value::Null);
            let template = decode::metric_template(object).map_err(|error| error.to_string())?;
            let query = render(&template.spec.query, release, check)
                .map_err(|error| format!("the query of the MetricTemplate: {error}"))?;
            if query.trim().is_empty() {
                return Err("the query of the MetricTemplate is empty: write what is to be asked".to_owned());
            }
            let provider = metrics::provider(&template.spec.provider, referred.data().as_ref())
                .map_err(|error| refusal(&error))?;
            Ok(Ready { provider, query, builtin: None })
        }
        _ => Err(format!(
            "{}: add a templateRef, or write the name of a built-in one",
            unknown_metric(&check.name)
        )),
    }
}

pub(super) fn askable(it: &Facts) -> Vec<Finding> {
    let each = it.references.metrics.iter().map(|metric| {
        let finding = match &metric.canary {
            Ok(_) => Finding::fine(""),
            Err(why) => {
                Finding::wrong(why.clone(), format!("correct {}; docs/metrics.md says how", metric.field))
            }
        };
        finding.about(metric.name.as_str())
    });
    each.collect()
}

pub(super) fn answers(it: &Facts) -> Vec<Finding> {
    let judged = |metric: &Metric| {
        let canary = metric.canary.as_ref().ok()?;
        let finding = match (canary, &metric.primary) {
            (Told::Said(Measured::NoData(_) | Measured::NotANumber), Some(primary)) => {
                match told(primary, it) {
                    found if found.outcome == Outcome::Fine => Finding::fine(format!(
                        "{} for the primary, while the canary has no traffic",
                        found.says
                    )),
                    found => found,
                }
            }
            (told_of_canary, _) => told(told_of_canary, it),
        };
        Some(finding.about(metric.name.as_str()))
    };
    it.references.metrics.iter().filter_map(judged).collect()
}

fn told(told: &Told<Measured>, it: &Facts) -> Finding {
    let at_rest = it.status.phase.is_at_rest();
    match told {
        Told::Said(Measured::Value(value)) => Finding::fine(shown(*value)),
        Told::Said(Measured::NotANumber) => Finding::warning(
            "the result is NaN, which usually is a division of zero by zero",
            "is there traffic? If it comes and goes, send some by a hook of type rollout (docs/loadtester.md)",
        ),
        Told::Said(Measured::NoData(why)) => Finding::warning(
            if at_rest {
                format!("neither canary nor primary has a value now: {why}")
            } else {
                format!("there is no value now: {why}")
            },
            "is there traffic, are the pods scraped, and do the labels of the query mean them? Ask the query in the user \
             interface of the backend",
        ),
        Told::Said(Measured::Failed(why)) => Finding::wrong(
            why.clone(),
            "correct the query or the address; onMetricError says what a release does meanwhile",
        ),
        Told::Inside(why) => Finding::warning(
            format!("it can only be asked from inside the cluster: {why}"),
            "the status of a release shows what the controller has heard: vexil status",
        ),
        Told::Broken { why, cure } => Finding::wrong(why.clone(), cure.clone()),
        Told::NotAsked(why) => Finding::unasked(why),
    }
}

fn shown(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}
