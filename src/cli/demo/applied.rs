//! What a user applies to the demo: applications of all kinds, released as the tags of their images say.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::shop::{self, Mesh};
use crate::sim::World;

fn workload(kind: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "api", "namespace": "mine"},
        "spec": {
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "api", "image": image, "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

fn canary(kind: &str, provider: &str, strategy: &Value) -> Value {
    let mut analysis = json!({
        "interval": "10s", "threshold": 2,
        "metrics": [
            {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
            {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
        ],
    });
    json_patch::merge(&mut analysis, strategy);
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "api", "namespace": "mine"},
        "spec": {
            "provider": provider, "progressDeadlineSeconds": 60,
            "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": "api"},
            "service": {"port": 80}, "analysis": analysis,
        },
    })
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn whatever_is_applied_is_released_as_its_tags_say(
    #[values("Deployment", "DaemonSet")] kind: &str,
    #[values(
        ("istio", json!({"stepWeight": 50, "maxWeight": 50})),
        ("istio", json!({"iterations": 2, "match": [{"headers": {"x-canary": {"exact": "insider"}}}]})),
        ("istio", json!({"iterations": 2})),
        ("kubernetes", json!({"iterations": 2})),
    )]
    (provider, strategy): (&str, Value),
) {
    let world = shop::open(&Mesh::default(), None, Duration::from_secs(2)).expect("the shop");
    let controller = world.start_controller();
    let put = |object: Value| world.apply(&object.to_string()).expect("the cluster takes it");
    let ends = async |image: &str, phase: &str| {
        let met = |world: &World| world.phase("mine", "api") == phase;
        let met = world.until(Duration::from_secs(1800), met).await;
        assert!(met, "{kind} {strategy} {image}: {:#?}", world.events("mine", "api"));
    };
    put(workload(kind, "registry.example.com/mine/api:1.0"));
    put(canary(kind, provider, &strategy));
    ends("1.0", "Initialized").await;
    for (tag, phase, because) in [
        ("2.0", "Succeeded", "Promotion completed!"),
        ("3.0-errors-1.5", "Failed", "success rate 98.50% < 99%"),
        ("4.0-latency-800ms", "Failed", "request duration 800ms > 500ms"),
        ("5.0-crash", "Failed", "progress deadline exceeded"),
        ("6.0-missing", "Failed", "progress deadline exceeded"),
        ("7.0", "Succeeded", "Promotion completed!"),
    ] {
        put(workload(kind, &format!("registry.example.com/mine/api:{tag}")));
        ends(tag, "Progressing").await;
        ends(tag, phase).await;
        // What is said twice is counted, and stands where it was said first.
        let said = world.events("mine", "api");
        assert!(said.iter().any(|text| text.contains(because)), "{kind} {strategy} {tag}: {said:#?}");
    }
    controller.stop().await;
}
