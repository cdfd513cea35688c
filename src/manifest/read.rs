//! From a manifest to a [`Release`]: every default filled in, every old form understood, everything that is wrong
//! collected. Behind this door nobody judges a manifest again.

use std::time::Duration;

use super::defaults;
use super::notes::{Notes, shown};
use super::{legacy, unknown, validate};
use crate::api::Provider;
use crate::api::analysis::Analysis;
use crate::api::canary::{Canary, ObjectRef, RouteBackends, RouteRef};
use crate::api::reference::CrossRef;
use crate::api::service_field::ServiceField;
use crate::model::release::{
    AdoptedRoute, Autoscaler, Backends, Problem, ProviderFacts, Reading, Reference, Release, RoutedBy,
    ScalerKind, Settings, Target, TargetKind,
};
use crate::model::traffic::Capabilities;

mod checks;
mod plan;
mod strategy;

/// What the routers know of providers.
pub struct Providers<'a> {
    /// The names of those that can be used, for people: `istio, knative or kubernetes`.
    pub known: &'a str,
    /// What there is to know of the release's provider; `None` if it cannot be used.
    pub facts: &'a dyn Fn(&Release) -> Option<ProviderFacts>,
}

/// Reads a Canary. All that is wrong is reported, not the first only. A Canary that is being deleted is not refused
/// for what it asks: its finalizer must run, so problems are warnings then (spec 01 EC-27).
pub fn release(canary: &Canary, settings: &Settings, providers: &Providers<'_>) -> Reading {
    let mut notes = Notes::default();
    let manifest = legacy::last_applied(canary);
    legacy::note_api_version(canary, manifest.as_ref(), &mut notes);
    let analysis = legacy::analysis(canary, &mut notes);

    let kind = validate::target_kind(&canary.spec.target_ref, &mut notes);
    let mut release = draft(canary, settings, kind.unwrap_or(TargetKind::Deployment), analysis, &mut notes);
    validate::cross_namespace(canary, analysis, &release.namespace, settings, &mut notes);
    validate::knative(canary, &mut notes);
    validate::cookies(analysis, &mut notes);
    if kind.is_some() {
        validate::names(canary, release.target.kind, &release.apex, &mut notes);
    }

    let known = Provider::parse(&release.provider_name).is_some();
    let facts = Some(&release).filter(|_| known).and_then(|release| (providers.facts)(release));
    let facts = facts.unwrap_or_else(|| {
        notes.refuse("spec.provider", unusable_provider(&release, known, providers.known));
        // So that the rest of the manifest is judged all the same.
        ProviderFacts { capabilities: Capabilities::ALL, ..ProviderFacts::default() }
    });
    let ProviderFacts { capabilities, problems, warnings, ignored } = facts;
    notes.warnings.extend(warnings);
    if !ignored.contains(&ServiceField::Hosts) {
        validate::hosts(canary, &mut notes);
    }
    for field in ignored {
        let message = match (&release.template, release.adopted.is_empty()) {
            (Some(routed), _) => {
                format!("has no effect: {} does not use it, remove it here or write it there", routed.title())
            }
            (None, true) => {
                format!("has no effect: provider {} does not know it, remove it", release.provider_name)
            }
            (None, false) => {
                "has no effect beside spec.routeRefs: write it into those routes, and remove it here"
                    .to_owned()
            }
        };
        notes.warn(&format!("spec.service.{}", field.as_str()), message);
    }
    // Old manifests call it canaryAnalysis.
    let written = analysis.map_or("spec.analysis", |(_, path)| path);
    notes.problems.extend(
        problems
            .into_iter()
            .map(|problem| Problem { field: problem.field.replacen("spec.analysis", written, 1), ..problem }),
    );
    if let Some((analysis, path)) = analysis {
        strategy::settle(&mut release, analysis, path, capabilities, &mut notes);
    }
    for unknown in manifest.iter().flat_map(unknown::find) {
        let advice = unknown.meant.map_or("remove it".to_owned(), |meant| format!("did you mean {meant}?"));
        notes.warn(&unknown.path, format!("is not a field of a Canary and has no effect: {advice}"));
    }

    let Notes { problems, mut warnings } = notes;
    let deleted = canary.metadata.deletion_timestamp.is_some() && kind.is_some();
    let release = Box::new(release);
    if problems.is_empty() {
        Reading { release: Ok(release), warnings, refused: None }
    } else if deleted {
        warnings.extend(problems);
        Reading { release: Ok(release), warnings, refused: None }
    } else {
        Reading { release: Err(problems), warnings, refused: kind.map(|_| release) }
    }
}

/// All that does not depend on what the provider can do.
fn draft(
    canary: &Canary,
    settings: &Settings,
    kind: TargetKind,
    analysis: Option<(&Analysis, &str)>,
    notes: &mut Notes,
) -> Release {
    let spec = &canary.spec;
    let metadata = &canary.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let target = spec.target_ref.name.clone();
    let service = spec.service.clone().unwrap_or_default();
    let own_provider = spec.provider.clone().filter(|provider| !provider.is_empty());
    let provider_name = own_provider.clone().unwrap_or_else(|| settings.mesh_provider.clone());
    let or_target = |name: Option<&String>| defaults::name(name.map(String::as_str), &target).to_owned();
    let apex = or_target(service.name.as_ref());
    Release {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        // A name that means nothing is refused.
        provider: Provider::parse(&provider_name).unwrap_or(Provider::Kubernetes),
        provider_name,
        own_provider,
        metrics_server: defaults::name(spec.metrics_server.as_deref(), &settings.metrics_server).to_owned(),
        service,
        autoscaler: autoscaler(canary, notes),
        ingress: spec.ingress_ref.as_ref().map(|object| reference(object, &namespace)),
        route: spec.route_ref.as_ref().map(|object| reference(object, &namespace)),
        adopted: spec.route_refs.iter().flatten().map(|route| adopted(route, &namespace, &apex)).collect(),
        apex,
        template: spec.route_template_ref.as_ref().map(|template| routed_by(template, &namespace)),
        upstream: spec.upstream_ref.as_ref().map(|upstream| Reference {
            api_version: upstream.api_version.clone(),
            kind: upstream.kind.clone(),
            name: upstream.name.clone(),
            namespace: defaults::name(upstream.namespace.as_deref(), &namespace).to_owned(),
        }),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        analysis: analysis.map_or_else(plan::without_analysis, |(analysis, path)| {
            plan::read(analysis, path, &namespace, settings, notes)
        }),
        skip_analysis: spec.skip_analysis.unwrap_or_default() || analysis.is_none(),
        suspend: spec.suspend.unwrap_or_default(),
        revert_on_deletion: spec.revert_on_deletion.unwrap_or_default(),
        progress_deadline: progress_deadline(spec.progress_deadline_seconds, notes),
        target: Target { kind, name: target },
        namespace,
    }
}

fn autoscaler(canary: &Canary, notes: &mut Notes) -> Option<Autoscaler> {
    let scaler = canary.spec.autoscaler_ref.as_ref()?;
    validate::scaler_bounds(scaler, notes);
    let kind = match scaler.kind.as_str() {
        "HorizontalPodAutoscaler" => ScalerKind::HorizontalPodAutoscaler,
        "ScaledObject" => ScalerKind::ScaledObject,
        other => {
            let message =
                format!("{} is not known: write HorizontalPodAutoscaler or ScaledObject", shown(other));
            notes.refuse("spec.autoscalerRef.kind", message);
            return None;
        }
    };
    let bounds = scaler.primary_scaler_replicas.as_ref();
    Some(Autoscaler {
        kind,
        name: scaler.name.clone(),
        primary_queries: scaler.primary_scaler_queries.clone(),
        primary_min: bounds.and_then(|bounds| bounds.min_replicas),
        primary_max: bounds.and_then(|bounds| bounds.max_replicas),
    })
}

/// A deadline that is over at once would fail every release.
fn progress_deadline(seconds: Option<i64>, notes: &mut Notes) -> Duration {
    match seconds.map(|seconds| (seconds, u64::try_from(seconds))) {
        None => defaults::PROGRESS_DEADLINE,
        Some((_, Ok(seconds @ 1..))) => Duration::from_secs(seconds.min(LONGEST_DEADLINE)),
        Some((seconds, _)) => {
            let message =
                format!("{seconds} leaves no time, 600 is used: write the seconds that a rollout may take");
            notes.warn("spec.progressDeadlineSeconds", message);
            defaults::PROGRESS_DEADLINE
        }
    }
}

fn unusable_provider(release: &Release, known: bool, usable: &str) -> String {
    let provider = shown(&release.provider_name);
    let why = if known { "is not supported yet" } else { "is not known" };
    match release.own_provider {
        Some(_) => format!("{provider} {why}: write {usable}"),
        None => format!("is not set, and --mesh-provider is {provider}, which {why}: write {usable}"),
    }
}

fn adopted(route: &RouteRef, namespace: &str, apex: &str) -> AdoptedRoute {
    let reference = Reference {
        api_version: route.api_version.clone(),
        kind: route.kind.clone(),
        name: route.name.clone(),
        namespace: defaults::name(route.namespace.as_deref(), namespace).to_owned(),
    };
    let (rules, ports) = (route.rules.clone().unwrap_or_default(), route.ports.clone().unwrap_or_default());
    let backends = route.backends.as_ref().map(|written| backends(written, apex));
    AdoptedRoute { route: reference, rules, ports, backends }
}

fn backends(written: &RouteBackends, apex: &str) -> Backends {
    let apex = defaults::name(written.apex.as_deref(), apex);
    let side = |name: &Option<String>, side: &str| {
        defaults::name(name.as_deref(), &format!("{apex}-{side}")).to_owned()
    };
    let known = match written.kind.as_str() {
        "InferencePool" => "inference.networking.k8s.io",
        "ServiceImport" => "multicluster.x-k8s.io",
        _ => "",
    };
    Backends {
        group: defaults::name(written.group.as_deref(), known).to_owned(),
        kind: written.kind.clone(),
        primary: side(&written.primary, "primary"),
        canary: side(&written.canary, "canary"),
        apex: apex.to_owned(),
    }
}

/// The template is for those to find who know of other objects than the Canary.
fn routed_by(template: &CrossRef, namespace: &str) -> RoutedBy {
    let (name, namespace) =
        (template.name.clone(), defaults::name(template.namespace.as_deref(), namespace).to_owned());
    let found = Err(format!("RouteTemplate {name}.{namespace} cannot be looked at here"));
    RoutedBy { name, namespace, found }
}

fn reference(object: &ObjectRef, namespace: &str) -> Reference {
    Reference {
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        name: object.name.clone(),
        namespace: namespace.to_owned(),
    }
}

/// A century. Longer ones would not fit into a date.
const LONGEST_DEADLINE: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests;
