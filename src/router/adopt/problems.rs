//! What of a manifest with `spec.routeRefs` cannot be done, and what its user has to see to.

use super::ingresses::{self, Adopted as Ingress};
use super::kinds::{self, Dialect};
use super::requests;
use super::route::Route;
use crate::model::nearest;
use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release, Strategy, TargetKind};
use crate::router::problem;

/// What cannot be done, with field and remedy.
pub(super) fn all(release: &Release) -> Vec<Problem> {
    let mut found = unknown_kinds(release);
    found.extend(unfit_target(release));
    found.extend(named_twice(release));
    found.extend(unfit_backends(release));
    found.extend(Ingress::all(release).iter().flat_map(Ingress::problems));
    if !release.skip_analysis {
        found.extend(beyond(release));
    }
    found
}

/// The routes of the Gateway API that lead into another namespace, for which somebody has to give leave there.
pub(super) fn grants(release: &Release) -> Vec<Problem> {
    let routes = Route::all(release);
    let elsewhere = routes.iter().filter(|route| {
        matches!(route.form.dialect, Dialect::Gateway(_)) && route.id.namespace != release.namespace
    });
    let warning = |route: &Route<'_>| {
        problem(
            format!("{}.namespace", route.field),
            format!(
                "{} leads into namespace {}: a ReferenceGrant there has to let {}s of {} refer to {}, or to all",
                route.id,
                release.namespace,
                route.id.kind.kind,
                route.id.namespace,
                route.names.sides()
            ),
        )
    };
    elsewhere.map(warning).collect()
}

fn unknown_kinds(release: &Release) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, entry) in release.adopted.iter().enumerate() {
        let route = &entry.route;
        if kinds::form(&route.api_version, &route.kind).is_some() || ingresses::is_one(entry) {
            continue;
        }
        let versions = kinds::versions(&route.kind);
        let field = format!("spec.routeRefs[{index}]");
        found.push(if versions.is_empty() {
            let names = kinds::names();
            let meant = nearest(&route.kind, names.iter().copied());
            let meant = meant.map_or_else(
                || format!("write one of {}", names.join(", ")),
                |meant| format!("did you mean {meant}?"),
            );
            problem(format!("{field}.kind"), format!("{:?} cannot be adopted: {meant}", route.kind))
        } else {
            let message = format!(
                "{:?} of {} is not known: write {}",
                route.api_version,
                route.kind,
                versions.join(" or ")
            );
            problem(format!("{field}.apiVersion"), message)
        });
    }
    found
}

fn unfit_target(release: &Release) -> Option<Problem> {
    let fits = matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet);
    (!release.adopted.is_empty() && !fits).then(|| {
        let message = "needs a target whose Services Vexil makes: release a Deployment or a DaemonSet, or remove \
                       spec.routeRefs";
        problem("spec.routeRefs", message)
    })
}

/// Backends of other kinds that cannot be told apart, or that the route cannot name.
fn unfit_backends(release: &Release) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, entry) in release.adopted.iter().enumerate() {
        let Some(backends) = &entry.backends else { continue };
        let field = format!("spec.routeRefs[{index}].backends");
        let form = kinds::form(&entry.route.api_version, &entry.route.kind);
        if !form.is_some_and(|form| matches!(form.dialect, Dialect::Gateway(_))) {
            let text = format!(
                "is known to routes of the Gateway API alone: a {} leads to the Services of the release, remove it",
                entry.route.kind
            );
            found.push(problem(field, text));
            continue;
        }
        if backends.group.is_empty() && backends.kind != "Service" {
            let text = format!("is missing: write the group of {}", backends.kind);
            found.push(problem(format!("{field}.group"), text));
        }
        if backends.canary == backends.primary || backends.canary == backends.apex {
            let text = format!(
                "is {}, as the primary's: write the name of a {} that leads to the canary's pods alone",
                backends.canary, backends.kind
            );
            found.push(problem(format!("{field}.canary"), text));
        }
    }
    found
}

/// Two entries for one object would each undo what the other has done.
fn named_twice(release: &Release) -> Vec<Problem> {
    let routes = Route::all(release).into_iter().map(|route| (route.field, route.id));
    let ingresses = Ingress::all(release).into_iter().map(|ingress| (ingress.field.clone(), ingress.id()));
    let all: Vec<(String, ObjectId)> = routes.chain(ingresses).collect();
    let is = |one: &ObjectId, other: &ObjectId| {
        let same_kind = one.kind.group == other.kind.group && one.kind.kind == other.kind.kind;
        same_kind && one.namespace == other.namespace && one.name == other.name
    };
    let again = all
        .iter()
        .enumerate()
        .filter(|(index, (_, id))| all[..*index].iter().any(|(_, before)| is(before, id)));
    let message = |(field, id): &(String, ObjectId)| {
        let text = format!("names {id} once more: write all of its rules and ports into one entry");
        problem(field.clone(), text)
    };
    again.map(|(_, one)| message(one)).collect()
}

/// What the analysis asks for and an adopted route cannot do.
fn beyond(release: &Release) -> Vec<Problem> {
    let plan = &release.analysis;
    let mut found = Vec::new();
    let routes = Route::all(release);
    let matches = matches!(plan.strategy, Strategy::AbTesting { .. }) && !plan.matches.is_empty();
    for route in &routes {
        let dialect = route.form.dialect;
        let able = dialect.lists().iter().any(|list| dialect.tells_requests_apart(list));
        if matches {
            let refused = if able {
                requests::conditions(dialect, release).err()
            } else {
                let message = format!(
                    "asks {} ({}) to tell requests apart, which {} does not do there: remove match and release by weights, \
                     or adopt an HTTPRoute, a GRPCRoute or a VirtualService",
                    route.id, route.field, route.id.kind.kind
                );
                Some(problem("spec.analysis.match", message))
            };
            found.extend(refused);
        }
        if plan.mirror && !able {
            let message = format!(
                "asks {} ({}) to copy requests, which {} does not do there: remove mirror, or adopt an HTTPRoute, a \
                 GRPCRoute or a VirtualService",
                route.id, route.field, route.id.kind.kind
            );
            found.push(problem("spec.analysis.mirror", message));
        }
    }
    if plan.session_affinity.is_some() {
        let message = "is not kept by adopted routes: remove it, or remove spec.routeRefs";
        found.push(problem("spec.analysis.sessionAffinity", message));
    }
    found.dedup();
    found
}
