//! Routes of the user's that are adopted (`spec.routeRefs`): Vexil writes no route of its own, but sets the weights of the
//! backends that lead to the release, in the rules that its user wrote, and leaves everything else alone.
//!
//! At rest a route is to the letter what its user wrote: a backend that is the apex Service, which selects the primary's
//! pods. As long as the canary has a share, primary and canary stand in its place; the annotation [`ADOPTED`] remembers
//! what was there, and both are one write. So at rest there is nothing that GitOps could call out of sync, and nothing
//! to be undone when the Canary goes; what is left of a release that is cut short is undone by the record.
//!
//! The rules of the Gateway API are one list that a single field manager owns as a whole, and so are those of Istio,
//! Contour and Traefik. By server-side apply all of it would become ours; the patch that we write instead carries the
//! list as it was looked at, with our weights in it, and is valid only for that version of the object.
//!
//! An Ingress has no weights: [`ingresses`] goes by what the controller of its class offers in their place.

use std::time::Duration;

use super::ingress::INGRESS;
use super::kubernetes::APPLICATION;
use super::{Access, Desired, Error, Mesh, Right, Router, View, contour, gateway, right};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Acceptance, Capabilities, RouteState, RouteWish, Split};

mod backends;
mod classes;
mod ingresses;
mod kinds;
mod look;
mod managers;
mod parts;
mod problems;
mod record;
mod requests;
mod route;

use ingresses::Adopted as Ingress;
use kinds::{Dialect, FORMS};
use look::Look;
use parts::Parts;
use route::Route;

pub use record::ADOPTED;

/// The routes that Canaries adopt, whatever their provider.
pub static MESH: Mesh = Mesh {
    providers: &[],
    title: "Adopted routes (spec.routeRefs)",
    router: &Adopted,
    abilities: ABILITIES,
    checks: &APPLICATION,
    honours: &[],
    rights: &RIGHTS,
};

const ABILITIES: Capabilities = Capabilities { session_affinity: false, ..Capabilities::ALL };

const RIGHTS: [Right; FORMS.len() + 1] = {
    // Some controllers of Ingresses need one of ours beside the user's.
    let mut rights = [right(INGRESS, Access::Own); FORMS.len() + 1];
    let mut index = 0;
    while index < FORMS.len() {
        rights[index] = right(FORMS[index].kind, Access::Change);
        index += 1;
    }
    rights
};

/// Whether objects of this kind are routes that can be adopted, which the API server has by a CRD.
pub fn is_route(kind: Kind) -> bool {
    FORMS.iter().any(|form| form.kind == kind)
}

/// The kind that a manifest means by these two; `None` if it cannot be adopted.
pub fn kind(api_version: &str, kind: &str) -> Option<Kind> {
    let is_ingress = kind == INGRESS.kind && api_version == INGRESS.api_version();
    kinds::form(api_version, kind).map(|form| form.kind).or(is_ingress.then_some(INGRESS))
}

/// The router of releases with `spec.routeRefs`.
pub struct Adopted;

impl Router for Adopted {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        // What a kind cannot do of it is a problem of the manifest, and not left out.
        ABILITIES
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        problems::all(release)
    }

    fn warnings(&self, release: &Release) -> Vec<Problem> {
        problems::grants(release)
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        let routes = Route::all(release).into_iter().map(|route| route.id);
        routes.chain(Ingress::all(release).iter().flat_map(Ingress::reads)).collect()
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let parts = Parts::of(view);
        let looks = look::all(view, parts.are_out(view))?;
        let states = parts.states(view, is_out(&looks, &parts, view))?;
        if looks.is_empty() && states.is_empty() && !Ingress::all(view.release).is_empty() {
            // Nobody has been told anything yet.
            return Ok(None);
        }
        let told = looks.iter().map(|look| look.told.canary);
        let canary = told.chain(states.iter().map(|state| state.split.canary())).max().unwrap_or(0);
        let taken_back = looks.iter().find(|look| look.is_taken_back());
        let held = looks.iter().find(|look| look.is_held());
        match (canary, taken_back, held) {
            (0, _, Some(held)) => Err(Error::Held(held.words(true))),
            (0, Some(taken_back), None) => Err(Error::Object(taken_back.words(false))),
            _ => Ok(Some(RouteState {
                split: Split::canary_gets(canary),
                mirrored: looks.iter().any(|look| look.told.mirrored),
            })),
        }
    }

    fn acceptance(&self, view: &View<'_>) -> Acceptance {
        let looks = look::all(view, Parts::of(view).are_out(view)).unwrap_or_default();
        if let Some(held) = looks.iter().find(|look| look.is_held()) {
            return Acceptance::Pending(held.words(true));
        }
        let said = looks.iter().map(|look| match look.route.form.dialect {
            Dialect::Gateway(_) => gateway::accepted_by_its_parents(&look.route.id, look.live),
            Dialect::Contour => contour::accepted(&look.route.id, look.live),
            Dialect::Istio | Dialect::Traefik => Acceptance::Accepted,
        });
        said.into_iter().find(|said| *said != Acceptance::Accepted).unwrap_or_default()
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let parts = Parts::of(view);
        let looks = look::all(view, parts.are_out(view))?;
        let is_out = is_out(&looks, &parts, view);
        let moves = wish.split.canary() > 0 || wish.mirror;
        let mut all = Vec::new();
        for look in looks {
            let desired = if moves { look.taken(view, wish) } else { Ok(look.given_back(view)) };
            all.extend(desired.map_err(Error::Object)?);
        }
        all.extend(parts.desired(view, wish, is_out)?);
        Ok(all)
    }

    fn settles(&self, view: &View<'_>) -> Duration {
        Parts::of(view).settle(view)
    }

    fn gives_back(&self, release: &Release) -> Vec<ObjectId> {
        Ingress::all(release).iter().flat_map(Ingress::copy).collect()
    }

    fn deletes(&self, release: &Release) -> Vec<ObjectId> {
        Ingress::all(release).iter().flat_map(Ingress::copy).collect()
    }

    fn always_releases(&self) -> bool {
        true
    }

    fn released(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let routes = Route::all(view.release).into_iter();
        let looks = routes.filter_map(|route| Look::at(route, view));
        let mut all: Vec<Desired> = looks.filter_map(|look| look.released(view)).collect();
        all.extend(Parts::of(view).released(view)?);
        Ok(all)
    }
}

/// Whether the canary has a share of the traffic, by a route or an Ingress.
fn is_out(looks: &[Look<'_>], parts: &Parts, view: &View<'_>) -> bool {
    looks.iter().any(|look| look.told.canary > 0) || parts.are_out(view)
}
