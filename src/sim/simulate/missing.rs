//! What a release needs and nobody gave: the target, its autoscaler, the route that it is copied from, its settings.

use serde_json::{Value, json};

use super::plan::namespace;
use crate::api::Provider;
use crate::api::hooks::HookType;
use crate::model::release::{AdoptedRoute, MetricSource, Reference, Release, ScalerKind, TargetKind};
use crate::model::secrets::USE_IN;

/// Adds what is missing, and notes it.
pub(super) fn add(release: &Release, objects: &mut Vec<Value>, notes: &mut Vec<String>) {
    let mut invent = |objects: &mut Vec<Value>, object: Value, how: &str| {
        let kind = object["kind"].as_str().unwrap_or_default();
        if has(objects, kind, namespace(&object), name(&object)) {
            return;
        }
        notes.push(format!("{kind} {}.{} is not among the files: {how}", name(&object), namespace(&object)));
        objects.push(object);
    };
    let space = release.namespace.as_str();
    let (object, how) = new_target(release);
    invent(objects, object, &how);
    if let Some(scaler) = &release.autoscaler {
        let (object, how) = new_scaler(release, scaler.kind, &scaler.name);
        invent(objects, object, how);
    }
    route(release).into_iter().for_each(|object| invent(objects, object, "invented, it leads to the target"));
    for adopted in &release.adopted {
        if let Some(object) = adopted_route(release, adopted) {
            invent(objects, object, "invented, it leads to the Service of the release");
        }
    }
    for check in &release.analysis.metrics {
        if let MetricSource::Template { name, namespace } = &check.source {
            let object = json!({
                "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "provider": {"type": "prometheus", "address": "http://simulated:9090"},
                    "query": format!("simulated{{template=\"{name}.{namespace}\"}}"),
                },
            });
            invent(objects, object, "invented");
        }
    }
    for alert in &release.analysis.alerts {
        let at = alert.provider_ref.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(space);
        let object = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider",
            "metadata": {"name": alert.provider_ref.name, "namespace": at},
            "spec": {"type": "slack", "address": "http://simulated/alerts"},
        });
        invent(objects, object, "invented, it takes every alert");
    }
    configs(release, objects, &mut invent);
    secrets(release, objects, &mut invent);
}

/// The target of a release among these objects.
pub(super) fn target<'a>(release: &Release, objects: &'a [Value]) -> Option<&'a Value> {
    let knative = release.target.kind == TargetKind::Knative;
    objects.iter().find(|object| {
        object["kind"] == release.target.kind.as_str()
            && name(object) == release.target.name
            && namespace(object) == release.namespace
            && (!knative
                || object["apiVersion"].as_str().is_some_and(|text| text.starts_with("serving.knative")))
    })
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn has(objects: &[Value], kind: &str, at: &str, called: &str) -> bool {
    objects.iter().any(|object| object["kind"] == kind && name(object) == called && namespace(object) == at)
}

fn new_target(release: &Release) -> (Value, String) {
    let (app, image) = (&release.target.name, format!("{}:old-version", release.target.name));
    let metadata = json!({"name": app, "namespace": release.namespace, "labels": {"app": app}});
    if release.target.kind == TargetKind::Knative {
        let object = json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata,
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        });
        return (object, format!("invented with {image}"));
    }
    let port = serde_json::to_value(&release.service.target_port).unwrap_or_default();
    let port = match (port, release.service.port) {
        (Value::String(name), _) if name.parse::<u16>().is_err() => {
            json!({"name": name, "containerPort": 8080})
        }
        (Value::Number(number), _) => json!({"containerPort": number}),
        (_, port) => json!({"containerPort": port}),
    };
    let container = json!({
        "name": app, "image": image, "ports": [port], "resources": {"requests": {"cpu": "100m"}},
    });
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": release.target.kind.as_str(), "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}},
        },
    });
    if release.target.kind == TargetKind::DaemonSet {
        return (object, format!("invented with a pod of {image} on each of 2 nodes"));
    }
    object["spec"]["replicas"] = json!(2);
    (object, format!("invented with 2 pods of {image}"))
}

fn new_scaler(release: &Release, kind: ScalerKind, called: &str) -> (Value, &'static str) {
    let target =
        json!({"apiVersion": "apps/v1", "kind": release.target.kind.as_str(), "name": release.target.name});
    let metadata = json!({"name": called, "namespace": release.namespace});
    match kind {
        ScalerKind::HorizontalPodAutoscaler => {
            let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}});
            let object = json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
                "spec": {
                    "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4,
                    "metrics": [{"type": "Resource", "resource": cpu}],
                },
            });
            (object, "invented for 2 to 4 pods")
        }
        ScalerKind::ScaledObject => {
            let target = json!({"name": release.target.name});
            let trigger = json!({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}});
            let object = json!({
                "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata,
                "spec": {"scaleTargetRef": target, "minReplicaCount": 2, "maxReplicaCount": 4, "triggers": [trigger]},
            });
            (object, "invented for 2 to 4 pods; nobody scales by it here")
        }
    }
}

/// A route that the release adopts, with a rule for each one that the manifest names.
fn adopted_route(release: &Release, adopted: &AdoptedRoute) -> Option<Value> {
    let reference = &adopted.route;
    let ports: Vec<i32> = match &adopted.ports[..] {
        [] => vec![release.service.port],
        ports => ports.iter().map(|port| i32::from(*port)).collect(),
    };
    let backends = |named: &dyn Fn(i32) -> Value| ports.iter().map(|port| named(*port)).collect::<Vec<_>>();
    let service = |port: i32| {
        let mut service = json!({"name": release.apex, "namespace": release.namespace, "port": port});
        if let Some(others) = &adopted.backends {
            let other = json!({"group": others.group, "kind": others.kind, "name": others.apex});
            json_patch::merge(&mut service, &other);
        }
        service
    };
    let field = match reference.kind.as_str() {
        "Ingress" => return Some(ingress(release, reference, "nginx", &adopted.rules)),
        "VirtualService" => "http",
        "HTTPProxy" => "routes",
        "TraefikService" => {
            return Some(invented(reference, json!({"weighted": {"services": backends(&service)}})));
        }
        kind if kind.ends_with("Route") => "rules",
        _ => return None,
    };
    let rule = match field {
        "http" => {
            let to = |port: i32| json!({"destination": {"host": release.apex, "port": {"number": port}}});
            json!({"route": backends(&to)})
        }
        "routes" => json!({"services": backends(&|port| json!({"name": release.apex, "port": port}))}),
        _ => json!({"backendRefs": backends(&service)}),
    };
    let names = adopted.rules.iter();
    let mut rules: Vec<Value> = names
        .map(|name| {
            let mut rule = rule.clone();
            rule["name"] = json!(name);
            rule
        })
        .collect();
    if rules.is_empty() {
        rules.push(rule);
    }
    Some(invented(reference, json!({field: rules})))
}

fn invented(reference: &Reference, spec: Value) -> Value {
    json!({
        "apiVersion": reference.api_version, "kind": reference.kind,
        "metadata": {"name": reference.name, "namespace": reference.namespace}, "spec": spec,
    })
}

/// An Ingress of a class that leads to the release, with a host for each rule that the manifest names.
fn ingress(release: &Release, reference: &Reference, class: &str, rules: &[String]) -> Value {
    let by_action = class == Provider::Alb.as_str();
    let path = |path: &str, service: &str| {
        let port = if by_action {
            json!({"name": "use-annotation"})
        } else {
            json!({"number": release.service.port})
        };
        let backend = json!({"service": {"name": service, "port": port}});
        // Paths of a load balancer are compared in their order, and those of an A/B test come twice.
        let kind = if by_action { "ImplementationSpecific" } else { "Prefix" };
        json!({"path": path, "pathType": kind, "backend": backend})
    };
    let paths = |at: &str| {
        let matched = (by_action && !release.analysis.matches.is_empty())
            .then(|| path(at, &format!("{}-match", release.apex)));
        matched.into_iter().chain([path(at, &release.apex)]).collect::<Vec<_>>()
    };
    let named = rules.iter().filter(|rule| rule.contains('.'));
    let mut all: Vec<Value> = named
        .map(|rule| {
            let (host, at) = rule.split_once('/').unwrap_or((rule, ""));
            json!({"host": host, "http": {"paths": paths(&format!("/{at}"))}})
        })
        .collect();
    if all.is_empty() {
        all.push(
            json!({"host": "app.example.com", "http": {"paths": paths(if by_action { "/*" } else { "/" })}}),
        );
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": reference.name, "namespace": reference.namespace},
        "spec": {"ingressClassName": class, "rules": all},
    })
}

/// The route that users of a mesh bring, which the router copies or changes.
fn route(release: &Release) -> Option<Value> {
    let (app, port) = (release.apex.as_str(), release.service.port);
    let metadata = |called: &str, at: &str| json!({"name": called, "namespace": at});
    if !release.adopted.is_empty() {
        return None;
    }
    match (release.provider, &release.ingress, &release.route, &release.upstream) {
        (Provider::Nginx | Provider::Skipper | Provider::Alb, Some(reference), _, _) => {
            Some(ingress(release, reference, release.provider.as_str(), &[]))
        }
        (Provider::Apisix, _, Some(route), _) => {
            let backend = json!({"serviceName": app, "servicePort": port});
            let rule = json!({"name": app, "match": {"hosts": ["app.example.com"], "paths": ["/*"]}, "backends": [backend]});
            Some(json!({
                "apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute",
                "metadata": metadata(&route.name, &route.namespace), "spec": {"http": [rule]},
            }))
        }
        (Provider::Gloo, _, _, Some(upstream)) => Some(json!({
            "apiVersion": "gloo.solo.io/v1", "kind": "Upstream",
            "metadata": metadata(&upstream.name, &upstream.namespace),
            "spec": {"static": {"hosts": [{"addr": "localhost", "port": 80}]}},
        })),
        _ => None,
    }
}

type Invent<'a> = dyn FnMut(&mut Vec<Value>, Value, &str) + 'a;

/// ConfigMaps and Secrets that the target's pods name.
fn configs(release: &Release, objects: &mut Vec<Value>, invent: &mut Invent<'_>) {
    let Some(template) = target(release, objects).map(|target| target["spec"]["template"].clone()) else {
        return;
    };
    let mut named = Vec::new();
    references(&template, &mut named);
    named.sort();
    named.dedup();
    for (kind, called) in named {
        let object = json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": called, "namespace": release.namespace},
        });
        invent(objects, object, "invented, empty");
    }
}

fn references(value: &Value, into: &mut Vec<(&'static str, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Object(fields) => {
            for (field, inner) in fields {
                let kind = match field.as_str() {
                    "configMap" | "configMapRef" | "configMapKeyRef" => Some("ConfigMap"),
                    "secret" | "secretRef" | "secretKeyRef" => Some("Secret"),
                    _ => None,
                };
                let called = inner["name"].as_str().or(inner["secretName"].as_str());
                match (kind, called) {
                    (Some(kind), Some(called)) if inner["optional"] != true => {
                        into.push((kind, called.to_owned()))
                    }
                    _ => references(inner, into),
                }
            }
        }
        _ => {}
    }
}

/// Secrets of hooks and of receivers.
fn secrets(release: &Release, objects: &mut Vec<Value>, invent: &mut Invent<'_>) {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for hook in &release.analysis.hooks {
        let signing = hook.credentials.signing.iter().map(|(name, _)| name);
        let names = hook.credentials.headers.iter().chain(signing);
        wanted.extend(names.map(|name| (name.clone(), release.namespace.clone())));
    }
    let receivers = objects.iter().filter(|object| object["kind"] == "AlertProvider");
    wanted.extend(receivers.filter_map(|receiver| {
        Some((receiver["spec"]["secretRef"]["name"].as_str()?.to_owned(), namespace(receiver).to_owned()))
    }));
    let keys = release.hooks(HookType::Rollout).chain(&release.analysis.hooks);
    let keys: Vec<String> =
        keys.filter_map(|hook| hook.credentials.signing.clone()).map(|(_, key)| key).collect();
    for (called, at) in wanted {
        let mut data = json!({"address": "http://simulated/alerts", "token": "simulated"});
        keys.iter().for_each(|key| data[key.as_str()] = json!("simulated"));
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": called, "namespace": at, "labels": {USE_IN: "hooks.metrics.alerts"}},
            "stringData": data,
        });
        invent(objects, object, "invented");
    }
}
