//! To whom an object belongs, by its controller reference (spec 03 §1.3, §2.2).

use serde_json::Value;

use super::Error;
use crate::model::object::{ObjectId, controller, is_any_canary};
use crate::model::release::Release;

/// Who made an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This release's Canary made it, or one of the same name before it: a Canary that was deleted and created again
    /// goes on with the objects that are there, and takes them over (`adopted`).
    Ours,
    /// Another Canary made it; this is its name.
    Sibling(String),
    /// A user or their tools made it: such an object is taken over, never owned.
    Foreign,
}

/// Annotation of an object that no owner reference can bind to its Canary, since that is in another cluster or the
/// object in no namespace: namespace and name of the Canary that made it.
pub(super) const MADE_BY: &str = "flagger.app/made-by";

/// The value of [`MADE_BY`] on the objects of a release.
pub(super) fn made_by(release: &Release) -> String {
    format!("{}/{}", release.namespace, release.name)
}

impl Owner {
    pub fn of(release: &Release, object: &Value) -> Self {
        if let Some(maker) = object["metadata"]["annotations"][MADE_BY].as_str() {
            return match maker.rsplit_once('/') {
                _ if maker == made_by(release) => Self::Ours,
                Some((namespace, name)) => Self::Sibling(format!("{name}.{namespace}")),
                None => Self::Sibling(maker.to_owned()),
            };
        }
        match controller(object) {
            Some(owner) if is_any_canary(owner) => match owner["name"].as_str().unwrap_or_default() {
                name if name == release.name => Self::Ours,
                name => Self::Sibling(format!("{name}.{}", release.namespace)),
            },
            _ => Self::Foreign,
        }
    }
}

/// The error for an object that belongs to another Canary.
pub(super) fn of_sibling(release: &Release, id: &ObjectId, canary: &str) -> Error {
    // What the name of the object follows from.
    let named_by = match id.kind.kind {
        "Ingress" if !release.adopted.is_empty() => "spec.routeRefs",
        "Ingress" => "spec.ingressRef",
        "Service" => "spec.service.name",
        _ if !release.adopted.is_empty() => "spec.routeRefs",
        _ if release.template.is_some() => "name in its RouteTemplate",
        _ => "spec.service.name",
    };
    Error::Object(format!(
        "{id} belongs to Canary {canary}, delete that one or give {} another {named_by}",
        release.title()
    ))
}
