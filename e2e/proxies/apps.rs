//! The applications under release: one in each namespace, called frontend, with the routes that its people brought before Vexil came.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::APP_PORT;

/// What routes the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// HTTPRoutes.
    GatewayApi,
    /// TraefikServices, under the names that Traefik gives them by itself.
    Crd,
    /// TraefikServices under the names of `--providers.kubernetescrd.safenaming`.
    CrdSafe,
    /// Ingresses of the class nginx, with the annotations of its canaries, which Traefik follows as well.
    Ingress,
}

/// How the new version comes to the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Two steps, and then it is promoted; afterwards the Canary is deleted.
    Weights,
    /// The same in a route that the Canary adopts.
    Adopted,
    /// One step, at which the metrics say no.
    Rollback,
    BlueGreen,
    /// For those alone that have a header.
    Ab,
    /// Two steps; who has met the new version stays with it.
    Affinity,
    /// All pods of the canary fail at once at the first step. What is lost then is measured; nobody can promise nothing.
    Outage,
}

/// The Gateway of the cluster.
pub const GATEWAY: (&str, &str) = ("gateways", "public");
/// Where the MetricTemplates are.
const METRICS: &str = "metrics";
const ERRORS: &str = "traefik-error-rate";
const LATENCY: &str = "traefik-latency-p95";
pub const NAME: &str = "frontend";
pub const INSIDERS: (&str, &str) = ("x-canary", "insider");
pub const COOKIE: &str = "frontend-canary";

impl Provider {
    pub fn title(self) -> &'static str {
        match self {
            Provider::GatewayApi => "Gateway API",
            Provider::Crd => "TraefikService",
            Provider::CrdSafe => "TraefikService, safenaming",
            Provider::Ingress => "Ingress (nginx)",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Provider::GatewayApi => "gateway",
            Provider::Crd => "crd",
            Provider::CrdSafe => "safe",
            Provider::Ingress => "ingress",
        }
    }

    /// As in `spec.provider`.
    fn name(self) -> &'static str {
        match self {
            Provider::GatewayApi => "gatewayapi:v1",
            Provider::Crd | Provider::CrdSafe => "traefik",
            Provider::Ingress => "nginx",
        }
    }
}

impl Plan {
    pub fn title(self) -> &'static str {
        match self {
            Plan::Weights => "weighted",
            Plan::Adopted => "weighted, adopted route",
            Plan::Rollback => "bad version",
            Plan::BlueGreen => "blue/green",
            Plan::Ab => "A/B",
            Plan::Affinity => "session affinity",
            Plan::Outage => "canary's pods fail",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Plan::Weights => "weights",
            Plan::Adopted => "adopted",
            Plan::Rollback => "rollback",
            Plan::BlueGreen => "blue-green",
            Plan::Ab => "ab",
            Plan::Affinity => "affinity",
            Plan::Outage => "outage",
        }
    }
}

/// The namespace of an application.
pub fn namespace(provider: Provider, plan: Plan) -> String {
    format!("{}-{}", provider.word(), plan.word())
}

/// Whom its users ask for.
pub fn host(namespace: &str) -> String {
    format!("{namespace}.example.com")
}

/// What everybody needs: classes, the Gateway, and the shipped templates for what Traefik measures.
///
/// # Errors
/// A template cannot be read.
pub fn common(web: u16, prometheus: &str) -> Result<Vec<Value>> {
    let (namespace, name) = GATEWAY;
    let mut objects = templates(prometheus)?;
    objects.extend([
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": "traefik"}, "spec": {"controllerName": "traefik.io/gateway-controller"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "gatewayClassName": "traefik",
                "listeners": [{"name": "web", "port": web, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}],
            },
        }),
    ]);
    Ok(objects)
}

fn templates(prometheus: &str) -> Result<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../metric-templates/prometheus");
    let template = |name: &&str| {
        let path = folder.join(format!("{name}.yaml"));
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut template: Value = serde_saphyr::from_str(&text)?;
        template["metadata"]["namespace"] = json!(METRICS);
        template["spec"]["provider"]["address"] = json!(prometheus);
        Ok(template)
    };
    [ERRORS, LATENCY].iter().map(template).collect()
}

/// An application that runs and is served without Vexil.
pub fn before(provider: Provider, plan: Plan, tag: &str) -> Vec<Value> {
    let namespace = namespace(provider, plan);
    let host = host(&namespace);
    let at = |name: &str| json!({"name": name, "namespace": namespace});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": at(NAME),
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": NAME}},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {"terminationGracePeriodSeconds": 120, "containers": [container(tag)]},
                },
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": at(NAME),
            "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": APP_PORT}]},
        }),
    ];
    match provider {
        Provider::GatewayApi => objects.push(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": at(route(plan)),
            "spec": {
                "parentRefs": [{"name": GATEWAY.1, "namespace": GATEWAY.0}],
                "hostnames": [host],
                "rules": [{"backendRefs": [{"name": NAME, "port": 80}]}],
            },
        })),
        Provider::Crd | Provider::CrdSafe => objects.extend([
            json!({
                "apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService", "metadata": at(route(plan)),
                "spec": {"weighted": {"services": [{"name": NAME, "port": 80, "weight": 1}]}},
            }),
            json!({
                "apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": at(NAME),
                "spec": {
                    "entryPoints": ["web"],
                    "routes": [{
                        "kind": "Rule", "match": format!("Host(`{host}`)"),
                        "services": [{"name": route(plan), "kind": "TraefikService"}],
                    }],
                },
            }),
        ]),
        Provider::Ingress => objects.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": at(NAME),
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": host, "http": {"paths": [{
                    "path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": NAME, "port": {"number": 80}}},
                }]}}],
            },
        })),
    }
    objects
}

/// A route that is adopted has a name of its own, so that nothing depends on its being that of the Service.
fn route(plan: Plan) -> &'static str {
    if plan == Plan::Adopted { "shop" } else { NAME }
}

/// The application's container in a version.
pub fn container(tag: &str) -> Value {
    json!({
        "name": NAME,
        "image": format!("registry.example.com/shop/{NAME}:{tag}"),
        "ports": [{"name": "http", "containerPort": APP_PORT}],
    })
}

/// The Canary that takes the application over.
pub fn canary(provider: Provider, plan: Plan) -> Value {
    let namespace = namespace(provider, plan);
    let mut service = json!({"port": 80, "targetPort": APP_PORT});
    if provider == Provider::GatewayApi && plan != Plan::Adopted {
        service["gatewayRefs"] = json!([{"name": GATEWAY.1, "namespace": GATEWAY.0}]);
        service["hosts"] = json!([host(&namespace)]);
    }
    let mut spec = json!({
        "provider": provider.name(),
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "progressDeadlineSeconds": 120,
        "revertOnDeletion": true,
        "service": service,
        "analysis": analysis(provider, plan),
    });
    if provider == Provider::Ingress {
        spec["ingressRef"] = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": NAME});
    }
    if plan == Plan::Adopted {
        let (version, kind) = match provider {
            Provider::GatewayApi => ("gateway.networking.k8s.io/v1", "HTTPRoute"),
            _ => ("traefik.io/v1alpha1", "TraefikService"),
        };
        spec["routeRefs"] = json!([{"apiVersion": version, "kind": kind, "name": route(plan)}]);
    }
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": spec,
    })
}

fn analysis(provider: Provider, plan: Plan) -> Value {
    let mut analysis = json!({"interval": "10s", "threshold": 5});
    // Without requests to the canary nothing can be measured: blue/green is judged by its pods alone.
    if plan != Plan::BlueGreen {
        analysis["metrics"] = checks(provider);
    }
    match plan {
        Plan::Weights | Plan::Adopted | Plan::Affinity | Plan::Outage => {
            analysis["stepWeights"] = json!([20, 50])
        }
        Plan::Rollback => {
            analysis["stepWeights"] = json!([30, 60]);
            // Where the first check finds nothing measured yet, the second one still fails by a number.
            analysis["threshold"] = json!(2);
        }
        Plan::BlueGreen => analysis["iterations"] = json!(1),
        Plan::Ab => {
            analysis["iterations"] = json!(2);
            analysis["match"] = json!([{"headers": {INSIDERS.0: {"exact": INSIDERS.1}}}]);
        }
    }
    if plan == Plan::Affinity {
        analysis["sessionAffinity"] = json!({"cookieName": COOKIE, "maxAge": 3600});
    }
    analysis
}

/// TraefikServices are what the built-in checks for Traefik ask for; for the others there are templates.
fn checks(provider: Provider) -> Value {
    let metric = |name: &str, range: Value| json!({"name": name, "thresholdRange": range, "interval": "10s"});
    let template = |name: &str, range: Value| {
        let mut metric = metric(name, range);
        metric["templateRef"] = json!({"name": name, "namespace": METRICS});
        metric
    };
    // How fast the machine is must not matter. That there is a number does, and Traefik knows none above five seconds.
    let any_latency = json!({"max": 6000});
    match provider {
        Provider::Crd | Provider::CrdSafe => json!([
            metric("request-success-rate", json!({"min": 95})),
            metric("request-duration", any_latency),
        ]),
        Provider::GatewayApi | Provider::Ingress => {
            json!([template(ERRORS, json!({"max": 5})), template(LATENCY, any_latency)])
        }
    }
}
