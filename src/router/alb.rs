//! AWS Application Load Balancers, through the Ingresses of the AWS Load Balancer Controller. The user's Ingress names an
//! action in place of a Service (`port: {name: use-annotation}`), and an annotation says what the action is: it forwards
//! to the target groups of primary and canary, each with its weight.
//!
//! A load balancer looks after the health of target groups in use alone. So both stay in the action at all times, at rest
//! the canary's with the weight 0, and what was there before comes back when the Canary goes. Kubernetes knows nothing of
//! target groups: [`Router::settles`] is the time that theirs take.
//!
//! In an A/B test a second action, `<apex>-match`, has the conditions; the user's Ingress names it before the first.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ingress::{self, INGRESS};
use super::kubernetes::APPLICATION;
use super::marks::annotation;
use super::{Access, Desired, Error, Mesh, Right, Router, View, right};
use crate::api::Provider;
use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

mod forward;
mod matching;

/// The AWS Load Balancer Controller.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Alb],
    title: "AWS ALB (Ingress)",
    router: &Alb,
    abilities: ABILITIES,
    checks: &APPLICATION,
    honours: &[],
    rights: RIGHTS,
};

const ABILITIES: Capabilities = Capabilities { matching: true, ..Capabilities::WEIGHTS };
const RIGHTS: &[Right] = &[right(INGRESS, Access::Change)];

/// What the annotations of the AWS Load Balancer Controller begin with.
const PREFIX: &str = "alb.ingress.kubernetes.io";
/// The port of a backend whose service is the name of an action.
const USE_ANNOTATION: &str = "use-annotation";
/// The type of paths that are compared in the order of the manifest.
const IN_ORDER: &str = "ImplementationSpecific";
/// The annotation that keeps what our annotations were before: null where there was none.
const BEFORE: &str = "flagger.app/original-actions";

/// What the load balancer takes beside its health checks: the controller writes rules and targets, and nodes of the load
/// balancer hear of them.
const REGISTRATION: Duration = Duration::from_secs(15);
/// A slower one is not waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// The router of the AWS Load Balancer Controller.
pub struct Alb;

impl Router for Alb {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        let of_match = matching::conditions(&release.analysis.matches).err();
        ingress::users(release).err().into_iter().chain(of_match).collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        ingress::users(release).into_iter().collect()
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let Ok(users) = ingress::users(view.release) else { return Ok(None) };
        let Some(live) = view.seen.get(&users) else { return Ok(None) };
        let names = Names::of(view.release);
        let key = if view.release.analysis.matches.is_empty() { &names.all } else { &names.matched };
        let Some(text) = annotation(live, key) else { return Ok(None) };
        let share = forward::canary_share(view.release, text)
            .map_err(|why| Error::Object(format!("{users}: {key} {why}")))?;
        Ok(share.map(|share| RouteState { split: Split::canary_gets(share), mirrored: false }))
    }

    fn settles(&self, view: &View<'_>) -> Duration {
        let live = ingress::users(view.release).ok().and_then(|users| view.seen.get(&users));
        let number = |name: &str, default: u64| {
            let text = live.and_then(|live| annotation(live, &format!("{PREFIX}/{name}")));
            text.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(default)
        };
        let checks =
            number("healthcheck-interval-seconds", 15).saturating_mul(number("healthy-threshold-count", 2));
        Duration::from_secs(checks).saturating_add(REGISTRATION).min(LONGEST)
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let users = ingress::users(view.release).map_err(Error::Unsupported)?;
        let (live, split) = match source(view, &users) {
            Ok(live) => (live, wish.split),
            // Its user leads the requests elsewhere: the canary must not keep a share of them.
            Err(error) => match view.seen.get(&users) {
                Some(live) if self.state(view)?.is_some_and(|state| state.split.canary() > 0) => {
                    (live, Split::PRIMARY)
                }
                _ => return Err(error),
            },
        };
        let names = Names::of(view.release);
        let mut before = before(live);
        let mut annotations = names.orders(view.release, live, split)?;
        for key in annotations.keys().filter(|key| !before.contains_key(*key)).cloned().collect::<Vec<_>>() {
            let present = annotation(live, &key);
            let ours = present.is_some_and(|text| forward::has_canary(view.release, text));
            if let Some(text) = present.filter(|_| !ours && key != names.conditions) {
                forward::leads_here(view.release, text)
                    .map_err(|why| Error::Object(format!("{users}: {key} {why}")))?;
            }
            before.insert(key, json!(present.filter(|_| !ours)));
        }
        annotations.insert(BEFORE.to_owned(), json!(Value::Object(before).to_string()));
        Ok(vec![Desired::new(users, json!({})).annotated(annotations).never_created()])
    }

    fn gives_back(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    fn always_releases(&self) -> bool {
        true
    }

    fn released(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let Ok(users) = ingress::users(view.release) else { return Ok(Vec::new()) };
        let Some(live) = view.seen.get(&users) else { return Ok(Vec::new()) };
        let names = Names::of(view.release);
        let mut before = before(live);
        let mut annotations = Map::new();
        for key in [&names.all, &names.matched, &names.conditions] {
            let Some(was) = before.remove(key) else { continue };
            // A path whose action says nothing is an error that keeps the whole load balancer as it is.
            let is_named = names.action(key).is_some_and(|action| has_path(live, action));
            let needed = was.is_null() && is_named;
            annotations
                .insert(key.clone(), if needed { json!(forward::to_the_apex(view.release)) } else { was });
        }
        if annotations.is_empty() {
            return Ok(Vec::new());
        }
        let left = (!before.is_empty()).then(|| Value::Object(before).to_string());
        annotations.insert(BEFORE.to_owned(), json!(left));
        Ok(vec![Desired::new(users, json!({})).annotated(annotations).never_created()])
    }
}

/// The annotations of a release, and the actions that they are for.
struct Names {
    /// The action of all requests.
    action: String,
    /// The action of those that match.
    match_action: String,
    all: String,
    matched: String,
    conditions: String,
}

impl Names {
    fn of(release: &Release) -> Self {
        let action = release.apex.clone();
        let match_action = format!("{action}-match");
        Self {
            all: format!("{PREFIX}/actions.{action}"),
            matched: format!("{PREFIX}/actions.{match_action}"),
            conditions: format!("{PREFIX}/conditions.{match_action}"),
            action,
            match_action,
        }
    }

    /// The action that an annotation is for.
    fn action(&self, key: &str) -> Option<&str> {
        match key {
            key if key == self.all => Some(&self.action),
            key if key == self.matched => Some(&self.match_action),
            _ => None,
        }
    }

    /// The annotations that say where the requests go.
    fn orders(&self, release: &Release, live: &Value, split: Split) -> Result<Map<String, Value>, Error> {
        let matches = &release.analysis.matches;
        let tests = !matches.is_empty();
        let mut orders = Map::new();
        let all = if tests { Split::PRIMARY } else { split };
        orders.insert(self.all.clone(), json!(forward::to_both(release, all)));
        // A path that is left of an A/B test leads where all others lead.
        if tests || has_path(live, &self.match_action) {
            orders.insert(self.matched.clone(), json!(forward::to_both(release, split)));
            let conditions = matching::conditions(matches).map_err(Error::Unsupported)?;
            let text = tests.then(|| Value::Array(conditions).to_string());
            orders.insert(self.conditions.clone(), json!(text));
        }
        Ok(orders)
    }
}

/// What the annotations were before, as far as that is on record.
fn before(live: &Value) -> Map<String, Value> {
    annotation(live, BEFORE).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The user's Ingress, if its paths lead to the action of the release.
fn source<'a>(view: &View<'a>, users: &ObjectId) -> Result<&'a Value, Error> {
    let live = ingress::source(view, users)?;
    let names = Names::of(view.release);
    if !has_path(live, &names.action) {
        return Err(Error::Object(format!(
            "{users} leads to Service {0} itself, so that no weight can be set: write port: {{name: {USE_ANNOTATION}}} for \
             backend {0}, and the annotation {1} is Vexil's",
            names.action, names.all
        )));
    }
    let target = format!("{PREFIX}/target-type");
    if annotation(live, &target) == Some("instance") {
        return Err(Error::Object(format!(
            "{users}: {target} is instance, which needs node ports that the Services of a release do not have: write ip"
        )));
    }
    if !view.release.analysis.matches.is_empty() {
        tells_apart(live, users, &names)?;
    }
    Ok(live)
}

/// Whether each path of the release comes after one for the requests that match.
fn tells_apart(live: &Value, users: &ObjectId, names: &Names) -> Result<(), Error> {
    for (index, rule) in ingress::rules(live).iter().enumerate() {
        let paths = ingress::paths(rule);
        for (place, path) in paths.iter().enumerate().filter(|(_, path)| is_action(path, &names.action)) {
            let in_order = |one: &Value| one["pathType"] == IN_ORDER && one["path"] == path["path"];
            let before =
                paths[..place].iter().any(|one| is_action(one, &names.match_action) && in_order(one));
            if !before || !in_order(path) {
                return Err(Error::Object(format!(
                    "{users}: spec.rules[{index}].http.paths[{place}] has no path before it for the requests that \
                     match: write one with the same path and backend {{name: {}, port: {{name: {USE_ANNOTATION}}}}}, and \
                     pathType: {IN_ORDER} for both, since these are compared in their order",
                    names.match_action
                )));
            }
        }
    }
    Ok(())
}

fn has_path(live: &Value, action: &str) -> bool {
    ingress::rules(live).iter().any(|rule| ingress::paths(rule).iter().any(|path| is_action(path, action)))
}

fn is_action(path: &Value, action: &str) -> bool {
    ingress::is_to(path, action) && path["backend"]["service"]["port"]["name"] == USE_ANNOTATION
}

#[cfg(test)]
mod tests;
