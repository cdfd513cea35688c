//! The manifests of a history.

use serde_json::{Value, json};

use super::history::{Router, Spec, Strategy};

pub const NAMESPACE: &str = "shop";

/// The image of a version.
pub fn image(version: usize) -> String {
    format!("registry.test/app:{version}")
}

/// The version of an image; 0 if it is none of ours.
pub fn version_of(image: &str) -> usize {
    image.rsplit_once(':').and_then(|(_, version)| version.parse().ok()).unwrap_or(0)
}

/// The target, with this version.
pub fn target(spec: &Spec, version: usize) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": "app"}},
        "spec": {"containers": [{
            "name": "app",
            "image": image(version),
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m"}},
        }]},
    });
    let mut target = json!({
        "apiVersion": "apps/v1",
        "kind": if spec.daemon_set { "DaemonSet" } else { "Deployment" },
        "metadata": {"name": "app", "namespace": NAMESPACE, "labels": {"app": "app"}},
        "spec": {"selector": {"matchLabels": {"app": "app"}}, "template": template},
    });
    if !spec.daemon_set && !spec.autoscaler {
        target["spec"]["replicas"] = json!(spec.replicas);
    }
    if spec.recreate {
        target["spec"]["strategy"] = json!({"type": "Recreate"});
    }
    target
}

/// The autoscaler of the target.
pub fn autoscaler(spec: &Spec) -> Option<Value> {
    spec.autoscaler.then(|| {
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "app", "namespace": NAMESPACE},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                "minReplicas": spec.replicas,
                "maxReplicas": spec.replicas + 2,
                "metrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
                }}],
            },
        })
    })
}

/// The checks as templates.
pub fn templates() -> Vec<Value> {
    let template = |name: &str| {
        json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "MetricTemplate",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "provider": {"type": "prometheus", "address": "http://prometheus.test:9090"},
                "query": format!("{name}{{target=\"{{{{ target }}}}\"}}"),
            },
        })
    };
    vec![template("success"), template("duration")]
}

/// Objects that are nobody's but ours: whoever changes them breaks a promise.
pub fn strangers() -> Vec<Value> {
    let named = |kind: &str, api: &str, spec: Value| {
        json!({
            "apiVersion": api, "kind": kind, "spec": spec,
            "metadata": {"name": "stranger", "namespace": NAMESPACE, "labels": {"app": "stranger"}},
        })
    };
    vec![
        named("Service", "v1", json!({"selector": {"app": "stranger"}, "ports": [{"port": 80}]})),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"colour": "blue"},
            "metadata": {"name": "stranger", "namespace": NAMESPACE},
        }),
    ]
}

/// The Canary.
pub fn canary(spec: &Spec) -> Value {
    let provider = match spec.router {
        Router::Istio => "istio",
        Router::Gateway => "gatewayapi:v1",
        Router::Kubernetes => "kubernetes",
    };
    let mut service = json!({"port": 80, "targetPort": 8080});
    if spec.router == Router::Gateway {
        service["gatewayRefs"] = json!([{"name": "public", "namespace": "edge"}]);
    }
    if spec.router == Router::Istio {
        service["timeout"] = json!(format!("{}s", spec.timeout));
    }
    let mut canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "provider": provider,
            "targetRef": {
                "apiVersion": "apps/v1",
                "kind": if spec.daemon_set { "DaemonSet" } else { "Deployment" },
                "name": "app",
            },
            "progressDeadlineSeconds": spec.deadline,
            "service": service,
            "skipAnalysis": spec.skip_analysis,
            "suspend": spec.suspend,
            "revertOnDeletion": spec.revert,
            "analysis": analysis(spec),
        },
    });
    if spec.autoscaler {
        canary["spec"]["autoscalerRef"] =
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"});
    }
    canary
}

fn analysis(spec: &Spec) -> Value {
    let mut analysis = json!({
        "interval": format!("{}s", spec.interval),
        "threshold": spec.threshold,
        "metrics": metrics(spec),
        "webhooks": spec.hooks.iter().map(|hook| hook_of(hook)).collect::<Vec<_>>(),
    });
    match &spec.strategy {
        Strategy::By { step, max } => {
            analysis["stepWeight"] = json!(step);
            analysis["maxWeight"] = json!(max);
        }
        Strategy::List(steps) => analysis["stepWeights"] = json!(steps),
        Strategy::AbTesting(iterations) => {
            analysis["iterations"] = json!(iterations);
            analysis["match"] = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
        }
        Strategy::BlueGreen(iterations) => analysis["iterations"] = json!(iterations),
    }
    if let Some(step) = spec.promotion_step {
        analysis["stepWeightPromotion"] = json!(step);
    }
    if spec.mirror {
        analysis["mirror"] = json!(true);
    }
    if spec.affinity {
        analysis["sessionAffinity"] = json!({"cookieName": "side", "primaryCookieName": "side-primary"});
    }
    if spec.broken {
        // Two cookies of the same name.
        analysis["sessionAffinity"] = json!({"cookieName": "side", "primaryCookieName": "side"});
    }
    if spec.holds {
        analysis["onNoData"] = json!("hold");
        analysis["onMetricError"] = json!("hold");
    }
    analysis
}

fn metrics(spec: &Spec) -> Value {
    if spec.builtin {
        return json!([
            {"name": "request-success-rate", "interval": "1m", "thresholdRange": {"min": 99}},
            {"name": "request-duration", "interval": "1m", "thresholdRange": {"max": 500}},
        ]);
    }
    json!([
        {"name": "success", "interval": "1m", "thresholdRange": {"min": 99}, "templateRef": {"name": "success"}},
        {"name": "duration", "interval": "1m", "thresholdRange": {"max": 500}, "templateRef": {"name": "duration"}},
    ])
}

fn hook_of(kind: &str) -> Value {
    json!({"name": kind, "type": kind, "url": format!("http://hooks.test/{kind}"), "timeout": "5s"})
}
