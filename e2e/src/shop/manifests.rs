//! The manifests of the shop, as its people write them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NAME, Version};
use crate::pace;

/// How long a pod that is told to leave goes on serving, on a machine with nothing else to do.
const LAST_CALL: Duration = Duration::from_secs(5);

/// The frontend's Deployment in a version.
pub fn deployment(version: &Version) -> Value {
    // The gateway hears of a leaving pod a moment after the pod does: the busier the machine, the later.
    let last_call = pace::stretched(LAST_CALL).as_secs();
    let environment: Vec<Value> =
        version.environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "selector": {"matchLabels": {"app": NAME}},
            "progressDeadlineSeconds": 120,
            "template": {
                "metadata": {
                    "labels": {"app": NAME},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                },
                "spec": {
                    "terminationGracePeriodSeconds": last_call + 16,
                    "containers": [{
                        "name": NAME,
                        "image": format!("registry.example.com/shop/{NAME}:{}", version.tag),
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": environment,
                        "envFrom": [{"configMapRef": {"name": "frontend-config", "optional": true}}],
                        "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 300},
                        // A pod that says no is believed soon, one that a busy machine keeps from answering is not.
                        "readinessProbe": {
                            "httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 15,
                        },
                        "lifecycle": {"preStop": {"sleep": {"seconds": last_call}}},
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    }],
                },
            },
        },
    })
}

/// The frontend's Canary behind the gateway: steps of 10 up to 50, success rate and p99.
pub fn canary(namespace: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": NAME},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "progressDeadlineSeconds": 120,
            "service": {
                "port": 80, "targetPort": "http",
                "gateways": ["istio-system/public"],
                "hosts": [format!("{namespace}.example.com")],
            },
            "analysis": {
                "interval": "10s", "threshold": 3, "maxWeight": 50, "stepWeight": 10,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "20s"},
                    {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "20s"},
                ],
            },
        },
    })
}

/// The same for a good version: a machine that is busy for a while is no reason to roll it back, so nothing but the run's own
/// deadline ends its release.
pub fn patient(mut canary: Value) -> Value {
    canary["spec"]["analysis"]["threshold"] = json!(200);
    canary["spec"]["progressDeadlineSeconds"] = json!(600);
    for metric in canary["spec"]["analysis"]["metrics"].as_array_mut().into_iter().flatten() {
        if metric["name"] == "request-duration" {
            metric["thresholdRange"]["max"] =
                json!(pace::stretched(Duration::from_millis(500)).as_millis() as u64);
        }
    }
    canary
}

/// A VirtualService as a user has it before there is a Canary: everything to the apex Service.
pub fn plain_route(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"name": NAME},
        "spec": {
            "gateways": ["istio-system/public"],
            "hosts": [format!("{namespace}.example.com")],
            "http": [{"route": [{"destination": {"host": NAME}}]}],
        },
    })
}

/// The apex Service as a user has it.
pub fn plain_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}
