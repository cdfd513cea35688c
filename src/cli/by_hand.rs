//! `vexil pause`, `resume`, `approve`, `promote`, `abort`, `retry`: asks the controller through the annotation that
//! `kubectl annotate` could set as well, names the revision that is meant, and says what became of it. What cannot
//! work is refused before anything is asked.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::api::status::{CanaryStatus, REQUEST as ANSWER};
use crate::controller::caches::plain;
use crate::controller::clock::Clock;
use crate::manifest::decode;
use crate::model::by_hand::{Action, REQUEST, Request, SHORTEST};
use crate::model::object::Kind;
use crate::rollout::{objection, status};

use super::cluster::{Cluster, Doing, Place, Trouble};
use super::print;

/// What the six subcommands share.
#[derive(Args)]
pub(super) struct Arguments {
    /// Name of the Canary
    canary: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wish: Wish,
}

/// What can be said of a request.
#[derive(Args, Clone)]
pub(super) struct Wish {
    /// The revision that is meant (by default the one under release; for retry the failed one)
    #[arg(long)]
    revision: Option<String>,
    /// Who asks, for the events (by default the user of the kubeconfig)
    #[arg(long)]
    by: Option<String>,
    /// Seconds to wait for the controller's answer
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE)]
    timeout: u64,
}

impl Default for Wish {
    fn default() -> Self {
        Self { revision: None, by: None, timeout: PATIENCE }
    }
}

/// Asks, and prints the answer.
pub(super) async fn run(action: Action, arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&arguments.place).await?;
    let said = ask(&cluster, action, &arguments.canary, &arguments.wish).await?;
    print::put(&format!("{said}\n"))
}

/// Asks for `action` on the Canary `name` in the namespace of `cluster`; what the controller answers.
///
/// # Errors
/// If it cannot be asked, cannot work, is refused, or is not answered in time.
pub(super) async fn ask(
    cluster: &Cluster,
    action: Action,
    name: &str,
    wish: &Wish,
) -> Result<String, Trouble> {
    let id = Kind::CANARY.at(&cluster.namespace, name);
    let title = format!("Canary {name}.{}", cluster.namespace);
    let canary = cluster.canary(name).await?;
    let revision = sensible(action, &canary, wish.revision.as_deref()).map_err(|why| {
        Trouble::new(format!("{title}: nothing was asked: {why}")).ends_with(REFUSED).cure(format!(
            "{} status {name} -n {} shows where it stands",
            print::program(),
            cluster.namespace
        ))
    })?;
    let text = text(action, &revision, who(cluster, wish).await.as_deref());
    let patch = json!({"metadata": {"annotations": {REQUEST: text}}});
    let parameters = PatchParams { field_manager: Some("vexil-cli".to_owned()), ..PatchParams::default() };
    let canaries = cluster.all(Kind::CANARY, Some(&cluster.namespace));
    let written = canaries.patch(name, &parameters, &Patch::Merge(&patch)).await;
    let written = written.map_err(|why| cluster.trouble(Doing::changing(&id), &why))?;
    let request = serde_json::to_value(&written).ok().and_then(|canary| Request::of(&canary));
    let request = request.ok_or_else(|| Trouble::new(format!("{title}: the annotation was not kept")))?;

    let deadline = Instant::now() + Duration::from_secs(wish.timeout);
    let fields = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut seen = watcher(canaries, fields).default_backoff().applied_objects().boxed();
    let mut broken = None;
    loop {
        match timeout_at(deadline, seen.next()).await {
            Ok(Some(Ok(object))) => {
                let status = plain(object).map(|canary| status_of(&canary)).unwrap_or_default();
                if let Some(answer) = answer(&status, &request) {
                    return answer
                        .map(|said| format!("{title}, revision {revision}: {said}"))
                        .map_err(|why| Trouble::new(format!("{title}: refused: {why}")).ends_with(REFUSED));
                }
            }
            // It is tried again.
            Ok(Some(Err(why))) => broken = Some(why.to_string()),
            Ok(None) | Err(_) => {
                let what = format!("{title}: asked, and no answer yet: is the controller running?");
                let trouble = Trouble::new(what).ends_with(UNANSWERED);
                let trouble = match broken {
                    Some(_) => trouble.cure("the answer could not be waited for: the connection broke"),
                    None => trouble,
                };
                return Err(trouble
                    .cure(format!("the request stays in the annotation {REQUEST}, and is answered later")));
            }
        }
    }
}

/// What the controller has made of `request`, if it has answered.
fn answer(status: &CanaryStatus, request: &Request) -> Option<Result<String, String>> {
    let condition = status.condition(ANSWER).filter(|_| status::is_answered(status, request))?;
    let said = condition.message.trim_start_matches(&request.text).trim_start_matches(": ").to_owned();
    Some(if condition.status == "True" { Ok(said) } else { Err(said) })
}

/// The revision that a request is for, or why the request cannot work.
fn sensible(action: Action, canary: &Value, named: Option<&str>) -> Result<String, String> {
    if canary["metadata"]["deletionTimestamp"].is_string() {
        return Err("the Canary is being deleted".to_owned());
    }
    if canary["spec"]["suspend"] == true {
        return Err("spec.suspend is true: until it is false, the controller looks at no request".to_owned());
    }
    let status = status_of(canary);
    let stalled = status.condition("Stalled").filter(|stalled| stalled.reason == "InvalidSpec");
    if let Some(stalled) = stalled {
        return Err(format!(
            "the controller refuses the manifest, and looks at no request: {}",
            stalled.message
        ));
    }
    let known = default_revision(action, &status);
    let about = known.as_deref().unwrap_or(&status.last_applied_spec);
    if let Some(why) = objection(&status, about, action) {
        return Err(why);
    }
    let Some(known) = known else { return Err(format!("there is no revision to {}", action.as_str())) };
    match named {
        None => Ok(known),
        Some(named) if named.len() < SHORTEST => {
            Err(format!("the revision {named} is too short: write at least {SHORTEST} characters of {known}"))
        }
        Some(named) if known.starts_with(named) => Ok(named.to_owned()),
        Some(named) => {
            let which = if action == Action::Retry { "the failed one" } else { "the one under release" };
            Err(format!("the revision {named} is not known here: {which} is {known}"))
        }
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
async fn who(cluster: &Cluster, wish: &Wish) -> Option<String> {
    if wish.by.is_some() {
        return wish.by.clone();
    }
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    review.status?.user_info?.username
}

fn status_of(canary: &Value) -> CanaryStatus {
    decode::status(&canary["status"]).unwrap_or_default()
}

/// For the help.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 granted; 1 the cluster cannot be asked; 3 it cannot work, or the controller refuses it; \
     4 no answer in time";
/// Seconds that an answer may take.
const PATIENCE: u64 = 15;
/// Exit code: it cannot work, or the controller refuses it.
const REFUSED: u8 = 3;
/// Exit code: nobody has answered in time.
const UNANSWERED: u8 = 4;
