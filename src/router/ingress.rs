//! What all who work by Ingresses have in common: the user brings one that leads to the apex Service. NGINX and Skipper
//! (spec 03 §13, §14) only read it, and a copy of it, `<ingress>-canary`, leads to the canary.

use serde_json::{Map, Value, json};

use super::marks::{COPIED, FLUX, LAST_APPLIED, ORIGINAL, annotation, flux};
use super::owner::Owner;
use super::{Access, Desired, Error, Right, View, problem, right};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release};

/// An Ingress.
pub(super) const INGRESS: Kind = Kind::new("networking.k8s.io", "v1", "Ingress", "ingresses");

/// What the controller may do with Ingresses where it makes copies.
pub(super) const RIGHTS: &[Right] = &[right(INGRESS, Access::Own)];

/// Annotation with which old manifests name the controller that serves an Ingress.
const CLASS: &str = "kubernetes.io/ingress.class";

/// The user's Ingress, and the copy that leads to the canary.
pub(super) struct Pair {
    /// The Ingress that `spec.ingressRef` names.
    pub users: ObjectId,
    /// The copy.
    pub canarys: ObjectId,
}

impl Pair {
    /// The two Ingresses of a release.
    ///
    /// # Errors
    /// If the manifest names none.
    pub fn of(release: &Release) -> Result<Self, Problem> {
        let users = users(release)?;
        let canarys = INGRESS.at(&release.namespace, &format!("{}-canary", users.name));
        Ok(Self { users, canarys })
    }

    /// What a router looks at.
    pub fn reads(release: &Release) -> Vec<ObjectId> {
        Self::of(release).map_or_else(|_| Vec::new(), |pair| vec![pair.users, pair.canarys])
    }

    /// The copy alone.
    pub fn copy(release: &Release) -> Vec<ObjectId> {
        Self::of(release).map_or_else(|_| Vec::new(), |pair| vec![pair.canarys])
    }

    /// The user's Ingress.
    ///
    /// # Errors
    /// If it is not there, or no path of it leads to the apex Service.
    pub fn source<'a>(&self, view: &View<'a>) -> Result<&'a Value, Error> {
        source(view, &self.users)
    }

    /// Refuses to turn into the copy what its user made for requests of its own.
    ///
    /// # Errors
    /// If there is an Ingress of that name that leads its requests elsewhere. One that is marked as a canary's
    /// (`is_canary`) has no requests of its own.
    pub fn free(&self, view: &View<'_>, is_canary: impl Fn(&Value) -> bool) -> Result<(), Error> {
        let canary = view.release.canary_service();
        match view.seen.get(&self.canarys) {
            Some(live)
                if Owner::of(view.release, live) == Owner::Foreign
                    && annotation(live, ORIGINAL).is_none()
                    && rules(live).iter().any(|rule| !paths(rule).is_empty())
                    && !rules(live).iter().any(|rule| leads_to(rule, &canary))
                    && !is_canary(live) =>
            {
                Err(Error::Object(format!(
                    "{} is in the way, since it leads requests of its own elsewhere: give it another name, for the \
                     canary's Ingress has to have this one",
                    self.canarys
                )))
            }
            _ => Ok(()),
        }
    }

    /// The spec of the copy, which has these rules and all else of the `source`.
    ///
    /// The default backend stays out: it would take the requests of every host, and cannot be divided.
    pub fn spec(source: &Value, rules: Vec<Value>) -> Value {
        let mut spec = json!({"ingressClassName": null, "tls": null});
        for (field, value) in map(&source["spec"]) {
            spec[field] = value.clone();
        }
        spec["defaultBackend"] = Value::Null;
        spec["rules"] = Value::Array(rules);
        spec
    }

    /// `wanted`, the copy, with labels and annotations of the `source`, but for those that are our orders (`is_order`).
    ///
    /// Those that the ingress controller reads, which begin with `prefix`, follow the source at all times. The others are
    /// copied once: other controllers write some of them on each Ingress by themselves, and would be fought with.
    pub fn metadata(
        &self,
        view: &View<'_>,
        source: &Value,
        mut wanted: Desired,
        prefix: &str,
        is_order: impl Fn(&str) -> bool,
    ) -> Desired {
        let live = view.seen.get(&self.canarys);
        let is_followed = |key: &str| key == CLASS || (key.starts_with(prefix) && !is_order(key));
        let is_copied =
            |key: &str| is_followed(key) || (live.is_none() && !is_private(key) && !is_order(key));
        let mut followed = Vec::new();
        for (key, value) in map(&source["metadata"]["annotations"]) {
            if is_followed(key) {
                followed.push(key.as_str());
            }
            if is_copied(key) {
                wanted.annotations.insert(key.clone(), value.clone());
            }
        }
        if live.is_none() {
            wanted.labels.extend(map(&source["metadata"]["labels"]).map(|(k, v)| (k.clone(), v.clone())));
        }
        // What was copied goes when it has gone from the source. What others wrote on the copy stays.
        let recorded = live.and_then(|live| annotation(live, COPIED));
        let recorded: Vec<String> =
            recorded.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        for key in recorded.iter().filter(|key| is_followed(key) && !followed.contains(&key.as_str())) {
            wanted.annotations.insert(key.clone(), Value::Null);
        }
        let record = if followed.is_empty() { Value::Null } else { json!(json!(followed).to_string()) };
        wanted.annotations.insert(COPIED.to_owned(), record);
        wanted.annotated(flux())
    }
}

/// The Ingress that `spec.ingressRef` names.
///
/// # Errors
/// If the manifest names none.
pub(super) fn users(release: &Release) -> Result<ObjectId, Problem> {
    match release.ingress.as_ref().filter(|ingress| !ingress.name.is_empty()) {
        Some(ingress) => Ok(INGRESS.at(&release.namespace, &ingress.name)),
        None => Err(problem(
            "spec.ingressRef",
            format!("is missing: name the Ingress that leads to Service {}", release.apex),
        )),
    }
}

/// The user's Ingress as it stands in the cluster.
///
/// # Errors
/// If it is not there, or no path of it leads to the apex Service.
pub(super) fn source<'a>(view: &View<'a>, users: &ObjectId) -> Result<&'a Value, Error> {
    let apex = &view.release.apex;
    let Some(source) = view.seen.get(users) else {
        return Err(Error::Object(format!(
            "{users} does not exist: create it, with Service {apex} as the backend of a path, or name another one in \
             spec.ingressRef"
        )));
    };
    if rules(source).iter().any(|rule| leads_to(rule, apex)) {
        return Ok(source);
    }
    Err(Error::Object(format!(
        "backend {apex} not found in ingress {}: make Service {apex} the backend of a path in {users}, or name another \
         Ingress in spec.ingressRef",
        users.name
    )))
}

/// Whether an annotation tells of its own object alone, so that a copy must not have it.
fn is_private(key: &str) -> bool {
    key == LAST_APPLIED
        || FLUX.contains(&key)
        || ["flagger.app/", "flagger.kubernetes.io/"].iter().any(|own| key.starts_with(own))
}

/// The class of an Ingress, as it is written or by the annotation of old manifests.
pub(super) fn class(ingress: &Value) -> Option<&str> {
    let written = ingress["spec"]["ingressClassName"].as_str().filter(|class| !class.is_empty());
    written.or_else(|| annotation(ingress, CLASS))
}

/// The rules of an Ingress.
pub(super) fn rules(ingress: &Value) -> &[Value] {
    ingress["spec"]["rules"].as_array().map_or(&[][..], Vec::as_slice)
}

/// The paths of a rule.
pub(super) fn paths(rule: &Value) -> &[Value] {
    rule["http"]["paths"].as_array().map_or(&[][..], Vec::as_slice)
}

/// Whether a path of the rule leads to the Service.
pub(super) fn leads_to(rule: &Value, service: &str) -> bool {
    paths(rule).iter().any(|path| is_to(path, service))
}

/// Whether the path leads to the Service.
pub(super) fn is_to(path: &Value, service: &str) -> bool {
    path["backend"]["service"]["name"] == service
}

/// The path, leading to another Service.
pub(super) fn led_to(path: &Value, service: &str) -> Value {
    let mut path = path.clone();
    path["backend"]["service"]["name"] = json!(service);
    path
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
