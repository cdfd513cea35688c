//! What a Canary refers to, as far as it is among the manifests: its target, autoscaler, Service, routes, Secrets and
//! receivers of alerts. What is not there may be in the cluster.

use std::sync::Arc;

use serde_json::Value;

use super::book::Book;
use super::code::{Code, Severity};
use super::world::{Object, World};
use crate::manifest::nearest;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Release, ScalerKind, Settings, TargetKind};
use crate::model::traffic::RouteWish;
use crate::model::workload::TargetShape;
use crate::router::{self, View, registry};
use crate::workload::{self, target_port};

/// The kind of the receivers of alerts.
pub const ALERT_PROVIDER: Kind = Kind::new("flagger.app", "v1beta1", "AlertProvider", "alertproviders");

/// Writes down what does not fit around `release`.
pub fn check(world: &World<'_>, release: &Release, settings: &Settings, book: &mut Book<'_>) {
    let target = target(world, release, book);
    if let Some(target) = target {
        fitness(world, release, settings, target, book);
        autoscaler(world, release, target, book);
        service(world, release, target, book);
    }
    generated(world, release, target, book);
    routes(world, release, settings, book);
    alerts(world, release, book);
    for hook in &release.analysis.hooks {
        let field = analysis_field(book, "webhooks");
        for name in
            hook.credentials.headers.iter().chain(hook.credentials.signing.iter().map(|(name, _)| name))
        {
            secret(world, &release.namespace, name, &field, book);
        }
    }
}

/// The target, if it is there.
fn target<'a>(world: &World<'a>, release: &'a Release, book: &mut Book<'_>) -> Option<&'a Object> {
    let kind = kind_of(release.target.kind);
    let found = world.find(&kind.at(&release.namespace, &release.target.name));
    if found.is_some() {
        return found;
    }
    let beside: Vec<&Object> = WORKLOADS
        .iter()
        .flat_map(|kind| world.of(*kind, &release.namespace))
        .filter(|object| kind.group != "serving.knative.dev" || object.is(kind))
        .collect();
    if beside.is_empty() || release.target.name.is_empty() {
        return None;
    }
    let called = format!("{} {}", kind.kind, release.target_title());
    let of_kind = || beside.iter().filter(|object| object.is(kind)).map(|object| object.name());
    let other_kind = beside.iter().find(|object| object.name() == release.target.name);
    let advice = match (nearest(&release.target.name, of_kind()), other_kind) {
        (_, Some(other)) => format!("write kind: {}, which has this name", other.kind()),
        (Some(meant), None) => format!("did you mean {meant}?"),
        (None, None) => "correct the reference, or add the workload".to_owned(),
    };
    let sentence = format!("{called} is not among the workloads of its namespace: {advice}");
    let field = if other_kind.is_some() { "spec.targetRef.kind" } else { "spec.targetRef.name" };
    // It may be in a file that is not looked at.
    let certain =
        other_kind.is_some() || sentence.ends_with('?') || beside.iter().any(|one| world.distance(one) == 0);
    book.say_as(Code::NoTarget, if certain { Severity::Warning } else { Severity::Note }, field, &sentence);
    None
}

/// Whether the target can be released as it is, by the code that releases it.
fn fitness(world: &World<'_>, release: &Release, settings: &Settings, target: &Object, book: &mut Book<'_>) {
    let workload = workload::registry::workload(release.target.kind);
    let objects = world.gather(workload.reads(release));
    if let Err(error) = workload.shape(release, settings, &objects) {
        let advice = match error.to_string().contains("must contain one of") {
            true => {
                ": add one of these labels to its selector and its pods, or to the controller's flag -selector-labels"
            }
            false => "",
        };
        let sentence = format!("cannot be released: {error}{advice}");
        book.say(Code::Unfit, "spec.targetRef", &sentence);
    }
    let id = kind_of(release.target.kind).at(&release.namespace, &release.target.name);
    if let Some(problem) = target_port::undeclared(release, &id, &target.value) {
        book.problem(Code::TargetPort, &problem);
    }
    if !matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet) {
        return;
    }
    let spec = &target.value["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    for (key, value) in spec["selector"]["matchLabels"].as_object().into_iter().flatten() {
        if labels[key] != *value {
            let sentence = format!(
                "{} selects pods by {key}={}, which its own pods do not have: correct its selector or its template",
                target.title(),
                text(value)
            );
            book.say(Code::Unfit, "spec.targetRef", &sentence);
        }
    }
    let ready = |container: &Value| !container["readinessProbe"].is_null();
    let containers = list(&spec["template"]["spec"]["containers"]);
    if !containers.is_empty() && !containers.iter().any(ready) {
        let sentence = format!(
            "{} has no readinessProbe, so that its pods get requests as soon as they start: add one to a container",
            target.title()
        );
        book.say(Code::NoReadiness, "spec.targetRef", &sentence);
    }
}

fn autoscaler(world: &World<'_>, release: &Release, target: &Object, book: &mut Book<'_>) {
    let scales = |scaler: &Object| {
        let of = &scaler.value["spec"]["scaleTargetRef"];
        let kind = of["kind"].as_str().unwrap_or("Deployment");
        kind == release.target.kind.as_str() && of["name"] == release.target.name.as_str()
    };
    let Some(named) = &release.autoscaler else {
        let mut scalers =
            [Kind::HPA, Kind::SCALED_OBJECT].into_iter().flat_map(|kind| world.of(kind, &release.namespace));
        if let Some(scaler) = scalers.find(|scaler| scales(scaler) && world.is_as_near(scaler, Some(target)))
        {
            let sentence = format!(
                "does not name {}, which scales the target, so that the primary is not scaled: add autoscalerRef with \
                 kind {} and name {}",
                scaler.title(),
                scaler.kind(),
                scaler.name()
            );
            book.say(Code::Unscaled, "spec", &sentence);
        }
        return;
    };
    let kind = match named.kind {
        ScalerKind::HorizontalPodAutoscaler => Kind::HPA,
        ScalerKind::ScaledObject => Kind::SCALED_OBJECT,
    };
    match world.find(&kind.at(&release.namespace, &named.name)) {
        None => {
            let scaling = world.of(kind, &release.namespace).find(|scaler| scales(scaler)).map(Object::name);
            let meant = scaling
                .or_else(|| nearest(&named.name, world.of(kind, &release.namespace).map(Object::name)));
            let advice = meant
                .map_or("correct the name, or add it".to_owned(), |meant| format!("did you mean {meant}?"));
            let sentence = format!(
                "{} {} is not among the manifests, though the target is: {advice}",
                kind.kind, named.name
            );
            // It may be in a file that is not looked at.
            let severity = if meant.is_some() { Severity::Warning } else { Severity::Note };
            book.say_as(Code::NoAutoscaler, severity, "spec.autoscalerRef.name", &sentence);
        }
        Some(scaler) if !scales(scaler) => {
            let of = &scaler.value["spec"]["scaleTargetRef"];
            let sentence = format!(
                "{} scales {} {}, not the target {}: correct one of the two references",
                scaler.title(),
                of["kind"].as_str().unwrap_or("nothing"),
                of["name"].as_str().unwrap_or_default(),
                release.target.name
            );
            book.say(Code::OtherAutoscaler, "spec.autoscalerRef.name", &sentence);
        }
        Some(_) => {}
    }
}

/// A Service of the user that leads to the target: the controller takes it over, and finds out at a release only that
/// it has never led anywhere.
fn service(world: &World<'_>, release: &Release, target: &Object, book: &mut Book<'_>) {
    if !matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet) {
        return;
    }
    let found = world.find(&Kind::SERVICE.at(&release.namespace, &release.apex));
    let Some(service) = found.filter(|service| world.is_as_near(service, Some(target))) else { return };
    let labels = &target.value["spec"]["template"]["metadata"]["labels"];
    let primary = |value: &Value, own: &Value| {
        own.as_str().is_some_and(|own| value.as_str() == Some(&format!("{own}-primary")))
    };
    for (key, value) in service.value["spec"]["selector"].as_object().into_iter().flatten() {
        if labels[key] != *value && !primary(value, &labels[key]) {
            let sentence = format!(
                "{} selects pods by {key}={}, which those of the target do not have: correct its selector, or write \
                 another spec.service.name",
                service.title(),
                text(value)
            );
            let field = if release.service.name.is_some() { "spec.service.name" } else { "spec.service" };
            book.say(Code::Selector, field, &sentence);
        }
    }
    let ports: Vec<&Value> = list(&service.value["spec"]["ports"]).iter().map(|port| &port["port"]).collect();
    if !ports.is_empty() && !ports.iter().any(|port| port.as_i64() == Some(release.service.port.into())) {
        let shown: Vec<String> = ports.iter().take(10).map(|port| port.to_string()).collect();
        let sentence = format!(
            "{} has no port {} (it has {}), and the controller changes its ports: write a port that its clients call",
            service.title(),
            release.service.port,
            shown.join(", ")
        );
        book.say(Code::Selector, "spec.service.port", &sentence);
    }
}

/// Objects with the names of those that the controller makes.
fn generated(world: &World<'_>, release: &Release, target: Option<&Object>, book: &mut Book<'_>) {
    let workload = kind_of(release.target.kind);
    let mut made: Vec<ObjectId> = Vec::new();
    if matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet) {
        made.push(workload.at(&release.namespace, &release.primary_name()));
        made.push(Kind::SERVICE.at(&release.namespace, &release.primary_service()));
        made.push(Kind::SERVICE.at(&release.namespace, &release.canary_service()));
    }
    for id in made {
        let foreign = |object: &&Object| {
            object.value["metadata"]["ownerReferences"].is_null() && world.is_as_near(object, target)
        };
        if let Some(object) = world.find(&id).filter(foreign) {
            let field = if id.kind == workload { "spec.targetRef.name" } else { "spec.service" };
            let sentence = format!(
                "{} is what the controller makes for this Canary: remove it from the manifests, or write another name",
                object.title()
            );
            book.say(Code::Generated, field, &sentence);
        }
    }
}

/// What the router says when it is to bring its routes about.
fn routes(world: &World<'_>, release: &Release, settings: &Settings, book: &mut Book<'_>) {
    let Some(router) = registry::router_of(release) else { return };
    if release.target.kind == TargetKind::Knative || release.template.is_some() {
        // What is wrong with a RouteTemplate is said by itself.
        return;
    }
    let reads = router.reads(release);
    let mut seen = world.gather(reads.iter().cloned());
    for id in &reads {
        let others = world.of(id.kind, &id.namespace).map(|object| id.kind.at(&id.namespace, object.name()));
        seen.note_names(others);
    }
    let workload = workload::registry::workload(release.target.kind);
    let targets = world.gather(workload.reads(release));
    let shape = workload.shape(release, settings, &targets).unwrap_or_else(|_| TargetShape::default());
    let view = View { release, shape: &shape, settings, seen: &seen };
    match router.desired(&view, &RouteWish::default()) {
        Ok(_) => {}
        Err(router::Error::Unsupported(problem)) if book.has(&problem.field) => {}
        Err(router::Error::Unsupported(problem)) => book.problem(Code::Router, &problem),
        Err(router::Error::Object(sentence) | router::Error::Held(sentence)) => {
            if let Some((field, text)) = sentence.split_once(": ").filter(|_| !release.adopted.is_empty()) {
                let absent = text.contains("does not exist");
                book.say(if absent { Code::Absent } else { Code::Router }, field, text);
                return;
            }
            let absent = sentence.contains("does not exist") || sentence.contains("not found: ");
            let field = ["spec.ingressRef", "spec.routeRef", "spec.upstreamRef"]
                .into_iter()
                .find(|field| sentence.contains(field))
                .unwrap_or("spec.provider");
            book.say(if absent { Code::Absent } else { Code::Router }, field, &sentence);
        }
    }
}

fn alerts(world: &World<'_>, release: &Release, book: &mut Book<'_>) {
    for (index, alert) in release.analysis.alerts.iter().enumerate() {
        let field = format!("{}[{index}].providerRef.name", analysis_field(book, "alerts"));
        let reference = &alert.provider_ref;
        let namespace = reference.namespace.clone().unwrap_or_default();
        if reference.name.is_empty() || world.find(&ALERT_PROVIDER.at(&namespace, &reference.name)).is_some()
        {
            continue;
        }
        let called = format!("AlertProvider {}.{namespace} is not among the manifests", reference.name);
        match nearest(&reference.name, world.of(ALERT_PROVIDER, &namespace).map(Object::name)) {
            Some(meant) => {
                book.say(
                    Code::NearMiss,
                    &field,
                    &format!("{called}, but one with a similar name is: did you mean {meant}?"),
                );
            }
            None => book.say(
                Code::NoReceiver,
                &field,
                &format!("{called}: create it, if the cluster does not have it"),
            ),
        }
    }
}

/// Notes a Secret that is not there. Where none are among the manifests they are kept elsewhere, as they should be.
pub fn secret(
    world: &World<'_>,
    namespace: &str,
    name: &str,
    field: &str,
    book: &mut Book<'_>,
) -> Option<Arc<Value>> {
    if let Some(found) = world.find(&Kind::SECRET.at(namespace, name)) {
        return Some(Arc::clone(&found.value));
    }
    let sealed = |object: &&Object| {
        ["SealedSecret", "ExternalSecret", "VaultStaticSecret"].contains(&object.kind())
            && object.name() == name
    };
    if name.is_empty() || world.objects.iter().any(|object| sealed(&object)) {
        return None;
    }
    match nearest(name, world.objects.iter().filter(|object| object.is(Kind::SECRET)).map(Object::name)) {
        Some(meant) => {
            let sentence = format!(
                "Secret {name} is not among the manifests, but one with a similar name is: did you mean {meant}?"
            );
            book.say_as(Code::NearMiss, Severity::Warning, field, &sentence);
        }
        None => {
            let sentence = format!(
                "Secret {name} is not among the manifests: create it, if the cluster does not have it"
            );
            book.say(Code::NoSecret, field, &sentence);
        }
    }
    None
}

fn analysis_field(book: &Book<'_>, list: &str) -> String {
    format!("{}.{list}", book.analysis())
}

/// The kind of a target.
pub fn kind_of(kind: TargetKind) -> Kind {
    match kind {
        TargetKind::Deployment => Kind::DEPLOYMENT,
        TargetKind::DaemonSet => Kind::DAEMON_SET,
        TargetKind::Service => Kind::SERVICE,
        TargetKind::Knative => Kind::KNATIVE_SERVICE,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whose presence tells that the workloads of a namespace are among the manifests.
const WORKLOADS: [Kind; 3] = [Kind::DEPLOYMENT, Kind::DAEMON_SET, Kind::KNATIVE_SERVICE];
