//! Whatever is sent, the cluster answers and goes on working.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use super::*;

/// Fields that the cluster looks at, so that nonsense gets deep.
const FIELDS: &[&str] = &[
    "metadata",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "name",
    "generateName",
    "deletionTimestamp",
    "spec",
    "status",
    "template",
    "selector",
    "matchLabels",
    "containers",
    "image",
    "ports",
    "targetPort",
    "port",
    "replicas",
    "strategy",
    "rollingUpdate",
    "maxSurge",
    "type",
    "conditions",
    "metrics",
    "scaleTargetRef",
    "behavior",
    "behaviour",
    "nodeSelector",
    "app",
    "clusterIP",
    "endpoints",
    "involvedObject",
    "reportingController",
    "versions",
    "names",
    "schema",
    "openAPIV3Schema",
    "paused",
    "volumes",
    "data",
];

const PATHS: &[&str] = &[
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/apps/v1/namespaces/default/replicasets",
    "/apis/apps/v1/namespaces/default/daemonsets",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/secrets",
    "/api/v1/namespaces/default/events",
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/apis/events.k8s.io/v1/namespaces/default/events",
    "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
    "/apis/coordination.k8s.io/v1/namespaces/default/leases",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/example.com/v1/namespaces/default/widgets",
];

const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

fn nonsense() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..70_000).prop_map(Value::from),
        prop_oneof![
            Just("a"),
            Just(""),
            Just("25%"),
            Just("web:1"),
            Just("2026-01-01T00:00:00Z"),
            Just("ü/%")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(FIELDS), inner), 0..5).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())
            }),
        ]
    })
}

/// An object that is fine but for some field deep in it.
fn almost_fine() -> impl Strategy<Value = Value> {
    let base = json!({
        "metadata": {"name": "x", "labels": {"app": "a"}},
        "spec": {
            "replicas": 1, "maxReplicas": 2, "selector": {"matchLabels": {"app": "a"}},
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
            "ports": [{"port": 80}],
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}},
            "containers": [{"name": "c", "image": "web:1"}],
        },
        "addressType": "IPv4", "endpoints": [], "involvedObject": {}, "regarding": {},
    });
    (prop::collection::vec(prop::sample::select(FIELDS), 1..5), nonsense()).prop_map(move |(path, value)| {
        let mut object = base.clone();
        let mut at = &mut object;
        for field in path {
            if !at.is_object() {
                break;
            }
            at = &mut at[field];
        }
        *at = value;
        object
    })
}

async fn send(sim: &KubeSim, method: &str, path: &str, content_type: &str, body: &Value) -> u16 {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(http_body_util::Full::new(bytes::Bytes::from(body.to_string())))
        .expect("a request");
    sim.service("tester").oneshot(request).await.expect("an answer").status().as_u16()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_body_brings_the_cluster_down(
        bodies in prop::collection::vec((prop::sample::select(PATHS), prop_oneof![nonsense(), almost_fine()]), 1..8),
        patches in prop::collection::vec((prop::sample::select(PATHS), prop::sample::select(PATCHES), nonsense()), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async move {
            let sim = KubeSim::builder().with_object(widgets()).build();
            for (path, body) in &bodies {
                send(&sim, "POST", path, "application/json", body).await;
                send(&sim, "PUT", &format!("{path}/x"), "application/json", body).await;
            }
            pass(3).await;
            for (path, content_type, body) in &patches {
                for part in ["", "/status", "/scale"] {
                    send(&sim, "PATCH", &format!("{path}/x{part}?fieldManager=tester&force=true"), content_type, body).await;
                }
            }
            pass(3).await;
            for path in PATHS {
                send(&sim, "DELETE", path, "application/json", &json!({})).await;
            }
            // The controllers still run: a new Deployment becomes ready.
            sim.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fresh"}}));
            let mut good = serde_json::to_value(deployment("good", 1, "web:1")).expect("a fixture is JSON");
            good["apiVersion"] = json!("apps/v1");
            good["kind"] = json!("Deployment");
            good["metadata"]["namespace"] = json!("other");
            sim.put(good);
            pass(10).await;
            assert_eq!(1, sim.get("deploy", "other", "good").expect("it is there")["status"]["availableReplicas"]);
        });
    }
}
