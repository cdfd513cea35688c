//! A router in a file (`spec.routeTemplateRef`): a RouteTemplate says which objects a mesh reads, how they are written,
//! and where they say what the canary gets. All that keeps a release safe with the built-in routers, and the one way in
//! which their objects are written, does so with it.
//!
//! ```text
//! RouteTemplate ──compiled──▶ objects ──written──▶ Desired      (template, lists)
//!                                └─────read─────▶ RouteState   (weights, match, mirror)
//!                                                 Acceptance   (accepted)
//! ```
//!
//! A release stays a value: it has the text of the template, which is read when somebody asks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::kubernetes::APPLICATION;
use super::{Desired, Error, Mesh, Router, View};
use crate::api::{RouteTemplateSpec, ServiceField};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, RoutedBy, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish};

mod compiled;
mod kinds;
mod law;
mod problems;
mod reading;
#[cfg(test)]
mod tests;
mod words;
mod writing;

use compiled::{Compiled, Matching};

pub use law::{acceptance_is_told, lists};

/// The kind of the templates.
pub const ROUTE_TEMPLATE: Kind = Kind::new("flagger.app", "v1beta1", "RouteTemplate", "routetemplates");

/// Routes by a RouteTemplate, whatever the provider.
pub static MESH: Mesh = Mesh {
    providers: &[],
    title: "Routes by a RouteTemplate (spec.routeTemplateRef)",
    router: &Templated,
    abilities: Capabilities { session_affinity: false, ..Capabilities::ALL },
    checks: &APPLICATION,
    honours: &[],
    // Which ones follows from the templates: the chart gives them by its value rbac.routeTemplates.
    rights: &[],
};

/// The router of releases with `spec.routeTemplateRef`.
pub struct Templated;

impl Templated {
    fn compiled(release: &Release) -> Result<Rc<Compiled>, Error> {
        let Some(routed) = &release.template else {
            return Err(Error::Object(format!("{} is missing", problems::FIELD)));
        };
        compiled(routed).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            Error::Object(format!("{}: {}", routed.title(), all.join("; ")))
        })
    }
}

impl Router for Templated {
    fn capabilities(&self, release: &Release) -> Capabilities {
        // What a template cannot do is a problem of the manifest, and not left out.
        let can = Self::compiled(release).ok();
        let (matching, mirror) =
            can.map_or((true, true), |can| (can.matching().next().is_some(), can.mirrors()));
        Capabilities { matching, mirror_weighted: mirror, mirror_blue_green: mirror, ..Capabilities::WEIGHTS }
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        release.template.as_ref().map_or_else(Vec::new, |routed| problems::all(release, routed))
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let Ok(compiled) = Self::compiled(release) else { return Vec::new() };
        compiled.objects.iter().filter_map(|object| object.id(release).ok()).collect()
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        reading::state(&*Self::compiled(view.release)?, view)
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        match Self::compiled(view.release) {
            Ok(compiled) => reading::acceptance(&compiled, view),
            Err(why) => Acceptance::Pending(why.to_string()),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        writing::desired(&*Self::compiled(view.release)?, view, wish)
    }

    /// While one of them stood it would lead requests to what goes with the Canary.
    fn deletes(&self, release: &Release) -> Vec<ObjectId> {
        self.reads(release)
    }
}

/// The template that routes a release, read. A look asks for it several times, and for the same one.
fn compiled(routed: &RoutedBy) -> Read {
    let spec = match &routed.found {
        Ok(spec) => spec,
        Err(why) => return Err(vec![Problem { field: String::new(), message: why.clone() }]),
    };
    LAST.with_borrow_mut(|last| {
        if let Some((known, namespace, read)) = last
            && Arc::ptr_eq(known, spec)
            && *namespace == routed.namespace
        {
            return read.clone();
        }
        let read = Compiled::of(spec, &routed.namespace).map(Rc::new);
        *last = Some((Arc::clone(spec), routed.namespace.clone(), read.clone()));
        read
    })
}

/// A template, or what is wrong with it.
type Read = Result<Rc<Compiled>, Vec<Problem>>;

thread_local! {
    /// The template that this thread read last, with the text that it was read from: as long as that is kept, no other
    /// one has its place.
    static LAST: RefCell<Option<(Arc<RouteTemplateSpec>, String, Read)>> = const { RefCell::new(None) };
}

/// Whether the template by which a release is routed is there, and one that can be used.
pub fn is_usable(routed: &RoutedBy) -> bool {
    compiled(routed).is_ok()
}

/// Whether the template that routes a release uses this field of `spec.service`.
pub fn honours(routed: &RoutedBy, field: ServiceField) -> bool {
    let Ok(spec) = &routed.found else { return true };
    let name = field.as_str();
    let uses = |text: &str, words: &str| {
        let mut rest = text;
        while let Some(at) = rest.find(words) {
            rest = &rest[at + words.len()..];
            if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                return true;
            }
        }
        false
    };
    spec.objects.iter().any(|object| {
        uses(&object.template, &format!(".service.{name}"))
            || (field == ServiceField::Hosts && uses(&object.template, ".hosts"))
    })
}

/// What is wrong with a template by itself, whatever release it routes.
pub fn mistakes(spec: &RouteTemplateSpec, namespace: &str) -> Vec<Problem> {
    Compiled::of(spec, namespace).err().unwrap_or_default()
}

impl Compiled {
    fn matching(&self) -> impl Iterator<Item = &Matching> {
        self.objects.iter().filter_map(|object| object.matching.as_ref())
    }

    fn mirrors(&self) -> bool {
        self.objects.iter().any(|object| object.mirror.is_some())
    }
}
