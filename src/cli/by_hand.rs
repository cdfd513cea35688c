//! `vexil pause`, `resume`, `approve`, `promote`, `abort`, `retry`: asks the controller through the annotation that
//! `kubectl annotate` could set as well, names the revision that is meant, and says what became of it.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::status::CanaryStatus;
use crate::controller::caches::resource;
use crate::controller::clock::Clock;
use crate::model::by_hand::{Action, REQUEST, Request};
use crate::model::object::Kind;
use crate::rollout::status;

/// What the six subcommands share.
#[derive(Args)]
pub(super) struct Arguments {
    /// Name of the Canary
    canary: String,
    /// Namespace of the Canary (by default the kubeconfig's)
    #[arg(short, long)]
    namespace: Option<String>,
    /// The revision that is meant (by default the one under release; for retry the failed one)
    #[arg(long)]
    revision: Option<String>,
    /// Who asks, for the events (by default the user of the kubeconfig)
    #[arg(long)]
    by: Option<String>,
    /// Seconds to wait for the controller's answer
    #[arg(long, default_value_t = 15)]
    timeout: u64,
}

/// Asks, and prints the answer.
pub(super) fn run(action: Action, arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(ask(action, arguments))
}

async fn ask(action: Action, arguments: &Arguments) -> anyhow::Result<()> {
    let config = kube::Config::infer().await.context("no cluster: there is no usable kubeconfig")?;
    let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = kube::Client::try_from(config).context("the kubeconfig cannot be used")?;
    let canaries: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &namespace, &resource(Kind::CANARY));
    let title = format!("Canary {}.{namespace}", arguments.canary);
    let read =
        || async { canaries.get(&arguments.canary).await.with_context(|| format!("cannot read {title}")) };

    let seen = status_of(&read().await?);
    let revision = match &arguments.revision {
        Some(revision) => revision.clone(),
        None => default_revision(action, &seen).with_context(|| {
            format!("{title}: nothing to {} in phase {}", action.as_str(), seen.phase.as_str())
        })?,
    };
    let text = text(action, &revision, who(&client, arguments).await.as_deref());
    let patch = json!({"metadata": {"annotations": {REQUEST: text}}});
    let parameters = PatchParams { field_manager: Some("vexil-cli".to_owned()), ..PatchParams::default() };
    let written = canaries
        .patch(&arguments.canary, &parameters, &Patch::Merge(&patch))
        .await
        .with_context(|| format!("cannot annotate {title}"))?;
    let request = serde_json::to_value(&written).ok().and_then(|canary| Request::of(&canary));
    let request = request.context("the annotation was not kept")?;

    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    loop {
        let seen = status_of(&read().await?);
        if let Some(condition) =
            seen.condition(crate::api::status::REQUEST).filter(|_| status::is_answered(&seen, &request))
        {
            let outcome = condition.message.trim_start_matches(&request.text).trim_start_matches(": ");
            if condition.status == "True" {
                println!("{title}, revision {revision}: {outcome}");
                return Ok(());
            }
            bail!("{title}: refused: {outcome}");
        }
        if Instant::now() >= deadline {
            bail!("{title}: asked, and no answer yet: is the controller running? (annotation {REQUEST})");
        }
        sleep(PAUSE).await;
    }
}

/// The revision that a request is for when nobody names one.
fn default_revision(action: Action, status: &CanaryStatus) -> Option<String> {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    match (action, &status.releasing) {
        (Action::Retry, _) => named(&status.last_applied_spec),
        (_, Some(releasing)) => named(&releasing.name),
        // An older CRD keeps no more than this.
        (_, None) if !status.phase.is_at_rest() => named(&status.last_applied_spec),
        (_, None) => None,
    }
}

/// The time makes a request differ from an equal one before it.
fn text(action: Action, revision: &str, by: Option<&str>) -> String {
    let at = Clock::system().now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let by = by.map(|by| format!(" by={}", by.split_whitespace().collect::<Vec<_>>().join("_")));
    format!("{} {revision}{} at={at}", action.as_str(), by.unwrap_or_default())
}

/// As the cluster knows the user; older clusters do not say.
async fn who(client: &kube::Client, arguments: &Arguments) -> Option<String> {
    if arguments.by.is_some() {
        return arguments.by.clone();
    }
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    review.status?.user_info?.username
}

fn status_of(canary: &DynamicObject) -> CanaryStatus {
    let status = canary.data.get("status").cloned().unwrap_or(Value::Null);
    serde_json::from_value(status).unwrap_or_default()
}

const PAUSE: Duration = Duration::from_millis(200);
